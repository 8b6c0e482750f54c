#include "launcher/config/config.h"
#include "launcher/harness.h"
#include "wick/app.h"
#include "wick/files.h"
#include "launcher/pipeline/pipeline.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

/* To the objects of a cluster. */
static bool cluster_way(void) {
    static const char *const kinds[] = { "kind=job", "kind=jobset,namespace=n", "kind=volcano,queue=q" };
    static const char role[] =
        "version: 1\nname: j\nroles:\n  - name: t\n    image: i\n    entrypoint: sh\n"
        "    args: [\"$ \\xFF ${replica_id}\"]\n    env: {A_KEY: b, C: d}\n    port_map: {p: 1}\n"
        "    resource: {h: aws_p4d.24xlarge_2}\n    mounts: [\"type=bind,src=/a,dst=/b\"]\n"
        "    metadata: {kubernetes: {spec: {nodeName: x}}}\n";
    const wk_scheduler_ops *ops = wk_scheduler("kubernetes");
    bool good = true;
    for (size_t i = 0; i < WK_COUNT(kinds) && good; i++) {
        wk_appdef *app = wk_appdef_parse(role, strlen(role), "app.yaml");
        wk_cfg *cfg = app ? wk_cfg_parse("kubernetes", ops->runopts, ops->runopt_count, kinds[i]) : NULL;
        wk_request *request = cfg ? ops->dryrun(app, cfg, "j-1") : NULL;
        char *printed = request ? wk_request_print(request) : NULL;
        good = printed && !wk_failed();
        wk_free(printed);
        wk_request_free(request);
        wk_cfg_free(cfg);
        wk_appdef_free(app);
    }
    return good;
}

/* A pipeline, drawn and written for Airflow. */
static const char *pipeline_file;
static bool pipeline_way(void) {
    static const char *const parameters[] = { "b=[1,2]" };
    wk__pipeline *p = wk__pipeline_load(pipeline_file, parameters, 1, state_dir());
    char *tree = p ? wk__pipeline_tree(p) : NULL;
    char *svg = tree ? wk__pipeline_svg(p) : NULL;
    char *dag = svg ? wk__pipeline_airflow(p) : NULL;
    bool good = dag && !wk_failed();
    wk_free(tree);
    wk_free(svg);
    wk_free(dag);
    wk__pipeline_free(p);
    return good;
}

static bool config_way(void) {
    wk__config *config = wk_alloc(sizeof *config);
    bool good = config && wk__ini_read(config, "[a]\nk = v\n  w\nl: None\n[b]\nx=1\n", "f") == WK_OK;
    wk__config_free(config);
    return good && !wk_failed();
}

/* What a run notes, and reading it back; each turn in a folder of its own, or later ones would have more to read. */
static bool tracking_way(void) {
    static int turn;
    char root[1024];
    (void)snprintf(root, sizeof root, "%s/%d", state_dir(), turn++);
    (void)mkdir(root, 0700);
    wk_field fields[] = { wk_field_float("lr", 0.1), wk_field_text("name", "x") };
    wk_tracker *tracker = wk_tracker_open(root);
    bool good = tracker && wk_tracker_add_metadata(tracker, "a://b/c", fields, 2) == WK_OK
                && wk_tracker_add_artifact(tracker, "a://b/c", "m", "/m", fields, 2) == WK_OK
                && wk_tracker_add_source(tracker, "a://b/c", "d", "m") == WK_OK
                && wk_results_put(root, "r", fields, 2) == WK_OK;
    wk_fields *results = good ? wk_results_get(root, "r") : NULL;
    wk_fields *metadata = results ? wk_tracker_metadata(tracker, "a://b/c") : NULL;
    wk_tracked *artifacts = metadata ? wk_tracker_artifacts(tracker, "a://b/c") : NULL;
    wk_tracked *sources = artifacts ? wk_tracker_sources(tracker, "a://b/c", NULL) : NULL;
    wk_tracked *runs = sources ? wk_tracker_runs(tracker, "d") : NULL;
    good = runs && runs->count == 1 && !wk_failed();
    wk_tracked_free(runs);
    wk_tracked_free(sources);
    wk_tracked_free(artifacts);
    wk_fields_free(metadata);
    wk_fields_free(results);
    wk_tracker_close(tracker);
    return good;
}

/* Files, their names and copies. */
static bool files_way(void) {
    char folder[1024], file[1100];
    (void)snprintf(folder, sizeof folder, "%s/copy", state_dir());
    (void)snprintf(file, sizeof file, "%s/sub/a", folder);
    bool good = wk_file_save("memory://w/sub/a", "hello", 5) == WK_OK && wk_folder_make("memory://w/b") == WK_OK
                && wk_file_copy("memory://w", folder, (wk_copy_opts){ .recursive = true }, NULL) == WK_OK
                && wk_file_copy(file, "memory://w/b", (wk_copy_opts){ 0 }, NULL) == WK_OK;
    char *read = good ? wk_file_load("memory://w/b/a", 10, NULL) : NULL;
    wk_file_list *list = read ? wk_folder_list(folder) : NULL;
    char *mask = list ? wk_url_mask("http://u:p@h/x?y") : NULL;
    good = mask && list->count == 2 && strcmp(read, "hello") == 0 && !wk_failed();
    wk_free(mask);
    wk_file_list_free(list);
    wk_free(read);
    return good;
}

/* Every allocation fails once: the result is WK_NO_MEMORY, nothing crashes, nothing leaks (seen by the sanitizer). */
static void fails_at_each(bool (*way)(void)) {
    wk_allocator counting = { .allocate = allocate, .release = release };
    bool good = false;
    size_t k = 0;
    wk_set_allocator(&counting);
    for (; !good && k < 20000; k++) {
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

Test(memory, of_tracking, .init = state_begin, .fini = state_end) {
    fails_at_each(tracking_way);
}

Test(memory, of_files, .init = state_begin, .fini = state_end) {
    fails_at_each(files_way);
}

Test(memory, of_a_cluster, .init = state_begin, .fini = state_end) {
    (void)setenv("KUBECONFIG", "/nonexistent", 1);
    fails_at_each(cluster_way);
}

Test(memory, of_a_pipeline, .init = state_begin, .fini = state_end) {
    pipeline_file =
        write_file("p.yaml", "version: 1\nname: p\nparameters: {b: []}\nstages:\n"
                             "  - {name: a, each: \"${{b}}\", outputs: {o: ~}, app: {roles: [{name: r, entrypoint: "
                             "x, args: [\"${{each}}\", \"${{out.o}}\"]}]}}\n"
                             "  - {name: c, after: a, run: utils.echo, arguments: [--msg, \"${{a.o}}\"]}\n");
    fails_at_each(pipeline_way);
}
