#include "launcher/config/config.h"
#include "launcher/harness.h"

#include <stdlib.h>
#include <string.h>

static size_t left;

static void *allocate(void *context, size_t size, size_t alignment) {
    (void)context;
    if (left-- == 0) {
        left = 0; /* once failed, memory stays short */
        return NULL;
    }
    return aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

static void release(void *context, void *memory, size_t size) {
    (void)context, (void)size;
    free(memory);
}

static const char text[] =
    "version: 1\nname: j\nroles:\n  - name: t\n    entrypoint: sh\n    args: [\"${app_id}\", b]\n"
    "    num_replicas: 2\n    env: {A: \"${replica_id}\"}\n    metadata: {a: [1, \"2\"]}\n"
    "    resource: {h: aws_p4d.24xlarge_2, devices: {x: 1}}\n    mounts: [\"type=bind,src=~/a,dst=/b\"]\n"
    "    port_map: {p: 1}\n    image: \"${env:HOME,x}\"\n"
    "    workspace: {\"" WICK_SOURCE_DIR "/cmake\": y}\n";

/* From YAML to the printed request; true if all of it worked. */
static bool whole_way(void) {
    bool good = false;
    char *printed = NULL;
    const wk_scheduler_ops *ops = wk_scheduler("mpi");
    wk_appdef *app = wk_appdef_parse(text, strlen(text), "app.yaml");
    wk_cfg *cfg = app ? wk_cfg_parse("mpi", ops->runopts, ops->runopt_count, "mpirun=/bin/true,mca=a:b;c:d") : NULL;
    wk_request *request = cfg ? ops->dryrun(app, cfg, "j-1") : NULL;
    if (request) {
        printed = wk_request_print(request);
        good = printed && !wk_failed();
    }
    wk_free(printed);
    wk_request_free(request);
    wk_cfg_free(cfg);
    wk_appdef_free(app);
    return good;
}

/* From a component's words to a job's script. */
static bool component_way(void) {
    static char *const words[] = { "-j", "2:4x8", "--env", "A=1,B=2", "--script", "a b.py", "--", "x", "${app_id}" };
    bool good = false;
    const wk_scheduler_ops *ops = wk_scheduler("slurm");
    wk_appdef *app = wk_component_build("dist.ddp", WK_COUNT(words), words);
    wk_cfg *cfg = app ? wk_cfg_parse("slurm", ops->runopts, ops->runopt_count,
                                     "slurm_version=24.11,signal=USR1@5,sbatch=a;b,srun=c,partition=p q")
                      : NULL;
    wk_request *request = cfg ? ops->dryrun(app, cfg, "j-1") : NULL;
    char *printed = request ? wk_request_print(request) : NULL;
    good = printed && !wk_failed();
    wk_free(printed);
    wk_request_free(request);
    wk_cfg_free(cfg);
    wk_appdef_free(app);
    return good;
}

static bool config_way(void) {
    wk__config *config = wk_alloc(sizeof *config);
    bool good = config && wk__ini_read(config, "[a]\nk = v\n  w\nl: None\n[b]\nx=1\n", "f") == WK_OK;
    wk__config_free(config);
    return good && !wk_failed();
}

/* Every allocation fails once: the result is WK_NO_MEMORY, nothing crashes, nothing leaks (seen by the sanitizer). */
static void fails_at_each(bool (*way)(void)) {
    wk_allocator counting = { .allocate = allocate, .release = release };
    bool good = false;
    size_t k = 0;
    wk_set_allocator(&counting);
    for (; !good && k < 5000; k++) {
        left = k;
        good = way();
        if (!good) cr_expect_eq(wk_error_code(), WK_NO_MEMORY, "allocation %zu: %s", k, wk_message());
        wk_clear_error();
    }
    wk_set_allocator(NULL);
    cr_assert(good);
    cr_assert_gt(k, 3);
}

Test(memory, every_allocation_fails_once, .init = state_begin, .fini = state_end) {
    fails_at_each(whole_way);
}

Test(memory, of_a_component_and_of_slurm, .init = state_begin, .fini = state_end) {
    fails_at_each(component_way);
}

Test(memory, of_a_configuration, .init = state_begin, .fini = state_end) {
    fails_at_each(config_way);
}
