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

/* Every allocation fails once: the result is WK_NO_MEMORY, nothing crashes, nothing leaks (seen by the sanitizer). */
Test(memory, every_allocation_fails_once, .init = state_begin, .fini = state_end) {
    wk_allocator counting = { .allocate = allocate, .release = release };
    bool good = false;
    size_t k = 0;
    wk_set_allocator(&counting);
    for (; !good && k < 5000; k++) {
        left = k;
        good = whole_way();
        if (!good) cr_expect_eq(wk_error_code(), WK_NO_MEMORY, "allocation %zu: %s", k, wk_message());
        wk_clear_error();
    }
    wk_set_allocator(NULL);
    cr_assert(good);
    cr_assert_gt(k, 10);
}
