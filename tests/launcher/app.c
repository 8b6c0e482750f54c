/* libwickapp: results, tracking, errors, ranks.  Files are compared with those of TorchX 0.7, byte for byte. */
#include "launcher/harness.h"

#include "wick/app.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(app, .init = state_begin, .fini = state_end);

static const char *below(const char *rest) {
    static char path[2048];
    (void)snprintf(path, sizeof path, "%s/%s", state_dir(), rest);
    return path;
}

static char *content(const char *path) {
    outcome o = run_program((const char *const[]){ "cat", path, NULL });
    wk_free(o.err);
    return o.out;
}

static void holds(const char *path, const char *expected) {
    char *text = content(path);
    cr_expect_str_eq(text, expected, "%s holds %s", path, text);
    wk_free(text);
}

/* The one file of a folder whose name is a time; free with wk_free. */
static char *only_file(const char *folder) {
    char *found = NULL;
    DIR *directory = opendir(folder);
    cr_assert_not_null(directory, "%s", folder);
    for (struct dirent *e; (e = readdir(directory));)
        if (e->d_name[0] != '.') {
            cr_assert_null(found);
            cr_expect_eq(strlen(e->d_name), 19, "%s", e->d_name);
            found = wk_format("%s/%s", folder, e->d_name);
        }
    (void)closedir(directory);
    return found;
}

/* json.dumps of Python, as FsspecResultTracker writes it. */
Test(app, results_are_torchx_bytes) {
    wk_field fields[] = { wk_field_float("l2norm/mean", 0.1),
                          wk_field_int("n", 3),
                          wk_field_text("t\xc3\xa9\n", "q\"\xf0\x9f\x98\x80"),
                          wk_field_float("a", 1e16),
                          wk_field_float("b", 1e-5),
                          wk_field_float("c", 123456789.25),
                          wk_field_float("d", 2),
                          wk_field_float("e", 1e22),
                          wk_field_float("f", 0.0001),
                          wk_field_float("g", -1.5e300),
                          wk_field_float("h", 9007199254740993.0),
                          wk_field_float("i", INFINITY),
                          wk_field_bool("j", true) };
    cr_assert_eq(wk_results_put(state_dir(), "attempt_1/out", fields, WK_COUNT(fields)), WK_OK);
    holds(below("attempt_1/out"),
          "{\n  \"l2norm/mean\": 0.1,\n  \"n\": 3,\n  \"t\\u00e9\\n\": \"q\\\"\\ud83d\\ude00\",\n  \"a\": 1e+16,\n"
          "  \"b\": 1e-05,\n  \"c\": 123456789.25,\n  \"d\": 2.0,\n  \"e\": 1e+22,\n  \"f\": 0.0001,\n  \"g\": "
          "-1.5e+300,\n"
          "  \"h\": 9007199254740992.0,\n  \"i\": Infinity,\n  \"j\": true\n}");
    cr_assert_eq(wk_results_put(state_dir(), "1", fields, 3), WK_OK);
    wk_fields *back = wk_results_get(state_dir(), "1");
    cr_assert_not_null(back);
    cr_expect_eq(back->count, 3);
    cr_expect_eq(wk_fields_find(back, "l2norm/mean")->number, 0.1);
    cr_expect_eq(wk_fields_find(back, "n")->integer, 3);
    cr_expect_str_eq(wk_fields_find(back, "t\xc3\xa9\n")->text, "q\"\xf0\x9f\x98\x80");
    wk_fields_free(back);
    back = wk_results_get(state_dir(), "none");
    cr_assert_not_null(back);
    cr_expect_eq(back->count, 0);
    wk_fields_free(back);
    cr_expect_null(wk_results_get(state_dir(), "../x"));
    assert_contains(wk_message(), "results: expected a folder and a key");
    wk_clear_error();
    (void)write_file("torn", "{\"a\": ");
    cr_expect_null(wk_results_get(state_dir(), "torn"));
    assert_contains(wk_message(), "/torn:1:");
    wk_clear_error();
}

#define RUN      "local://torchx/app-x1"
#define RUN_32   "NRXWGYLMHIXS65DPOJRWQ6BPMFYHALLYGE======"
#define PARENT   "slurm://torchx/7"
#define PARENT32 "ONWHK4TNHIXS65DPOJRWQ6BPG4======"

/* Names and bytes as FsspecTracker of TorchX 0.7.0 wrote them for the same calls. */
Test(app, tracker_is_torchx_bytes) {
    wk_tracker *tracker = wk_tracker_open(state_dir());
    wk_field fields[] = { wk_field_float("lr", 0.001),
                          wk_field_text("name", "a b"),
                          { .name = "none", .type = WK_FIELD_NONE } };
    cr_assert_not_null(tracker);
    cr_assert_eq(wk_tracker_add_metadata(tracker, RUN, fields, 3), WK_OK);
    cr_assert_eq(wk_tracker_add_artifact(tracker, RUN, "model", "/m/1", NULL, 0), WK_OK);
    cr_assert_eq(wk_tracker_add_source(tracker, RUN, PARENT, "model"), WK_OK);
    char *metadata = only_file(below(RUN_32 "/metadata"));
    holds(metadata, "{\"metadata\": {\"lr\": 0.001, \"name\": \"a b\", \"none\": null}}");
    char *artifact = only_file(below(RUN_32 "/artifacts"));
    holds(artifact, "{\"name\": \"model\", \"path\": \"/m/1\", \"metadata\": null}");
    holds(below(RUN_32 "/sources/" PARENT32), "model\n");
    cr_expect_neq(access(below(PARENT32), F_OK), 0); /* a source learns of it only if it keeps descendants */
    wk_free(metadata);
    wk_free(artifact);
    cr_assert_eq(wk_tracker_add_source(tracker, RUN, PARENT, NULL), WK_OK);
    holds(below(RUN_32 "/sources/" PARENT32), "\n");
    (void)mkdir(below(PARENT32), 0700);
    (void)mkdir(below(PARENT32 "/descendants"), 0700);
    cr_assert_eq(wk_tracker_add_source(tracker, RUN, PARENT, "model"), WK_OK);
    holds(below(PARENT32 "/descendants/" RUN_32), "model\n");
    wk_tracker_close(tracker);
}

Test(app, tracker_reads_what_runs_noted) {
    wk_tracker *tracker = wk_tracker_open(state_dir());
    wk_field first[] = { wk_field_int("a", 1), wk_field_bool("b", false) };
    wk_field later[] = { wk_field_int("a", 2), { .name = "c", .type = WK_FIELD_JSON, .text = "[1, {\"x\": 2}]" } };
    cr_assert_eq(wk_tracker_add_metadata(tracker, RUN, first, 2), WK_OK);
    cr_assert_eq(wk_tracker_add_metadata(tracker, RUN, later, 2), WK_OK);
    wk_fields *fields = wk_tracker_metadata(tracker, RUN);
    cr_assert_not_null(fields);
    cr_expect_eq(fields->count, 3);
    cr_expect_eq(wk_fields_find(fields, "a")->integer, 2);
    cr_expect_eq(wk_fields_find(fields, "b")->type, WK_FIELD_BOOL);
    cr_expect_str_eq(wk_fields_find(fields, "c")->text, "[1, {\"x\": 2}]");
    wk_fields_free(fields);
    cr_assert_eq(wk_tracker_add_artifact(tracker, RUN, "model", "/old", NULL, 0), WK_OK);
    cr_assert_eq(wk_tracker_add_artifact(tracker, RUN, "model", "/new", first, 1), WK_OK);
    wk_tracked *found = wk_tracker_artifacts(tracker, RUN);
    cr_assert_eq(found->count, 1);
    cr_expect_str_eq(found->items[0].path, "/new");
    cr_expect_str_eq(found->items[0].metadata, "{\"a\": 1}");
    wk_tracked_free(found);
    cr_assert_eq(wk_tracker_add_source(tracker, RUN, PARENT, NULL), WK_OK);
    found = wk_tracker_runs(tracker, PARENT);
    cr_assert_eq(found->count, 1);
    cr_expect_str_eq(found->items[0].run, RUN);
    wk_tracked_free(found);
    found = wk_tracker_sources(tracker, RUN, NULL);
    cr_assert_eq(found->count, 1);
    cr_expect_str_eq(found->items[0].run, PARENT);
    cr_expect_null(found->items[0].artifact);
    wk_tracked_free(found);
    found = wk_tracker_sources(tracker, RUN, "model");
    cr_expect_eq(found->count, 0);
    wk_tracked_free(found);
    wk_tracker_close(tracker);
    cr_expect_null(wk_tracker_open("/nowhere/at/all"));
    assert_contains(wk_message(), "tracker: the folder \"/nowhere/at/all\" does not exist");
    wk_clear_error();
    const char *conf = write_file("s3.conf", "# c\nprotocol=s3\nroot_path=x\n");
    cr_expect_null(wk_tracker_configure(conf));
    assert_contains(wk_message(),
                    "s3.conf: tracker: s3://x: the scheme \"s3\" is not known; known: file, memory, http, https;");
    wk_clear_error();
}

/* The example under `wick run`, with the tracker that .torchxconfig names: what it noted is listed. */
Test(app, the_example_is_tracked) {
    char text[2048];
    (void)mkdir(below("runs"), 0700);
    (void)snprintf(text, sizeof text, "protocol=file\nroot_path=%s/runs\n", state_dir());
    (void)write_file("fsspec.conf", text);
    (void)snprintf(text, sizeof text, "[torchx:tracker]\nfsspec =\n[tracker:fsspec]\nconfig = %s/fsspec.conf\n",
                   state_dir());
    (void)setenv("TORCHXCONFIG", write_file("config", text), 1);
    outcome o = WICK("run", "--wait", "--log", "--parent_run_id", "experiment-7", "utils.binary", "--entrypoint",
                     WICK_EXAMPLE_APP, "--num_replicas", "2", "--", below("results"));
    const char *handle = handle_of(&o);
    assert_contains(o.err, "rank 1 of 2: loss 0.75\n");
    holds(below("results/trial_0"), "{\n  \"loss/mean\": 0.75\n}");
    outcome list = WICK("tracker", "list", "metadata", handle);
    cr_expect_str_eq(list.out, "ID      VALUE\n------  -------\nlr      0.1\nepochs  3\ndata    fashion\n", "%s%s",
                     list.out, list.err);
    forget(&list);
    list = WICK("tracker", "list", "artifacts", "--json", handle);
    cr_expect_str_eq(list.out,
                     "[\n  {\n    \"artifact\": \"model\",\n    \"path\": \"/models/fashion.safetensors\",\n"
                     "    \"metadata\": {\n      \"parameters\": 7850\n    }\n  }\n]\n",
                     "%s", list.err);
    forget(&list);
    list = WICK("tracker", "list", "jobs", "--parent-run-id", "experiment-7");
    assert_contains(list.out, handle);
    forget(&list);
    list = WICK("tracker", "list", "jobs", "--parent-run-id", "experiment-8");
    cr_expect_str_eq(list.out, "JOB ID\n--------\n");
    forget(&list);
    list = WICK("tracker", "list", "lineage", "experiment-7");
    assert_contains(list.out, "descendant  local://");
    forget(&list);
    list = WICK("tracker", "list", "lineage", "--sources-only", handle);
    assert_contains(list.out, "source      experiment-7  ");
    forget(&list);
    (void)setenv("TORCHXCONFIG", "", 1);
    list = WICK("tracker", "list", "jobs");
    cr_expect_eq(list.code, 2);
    assert_contains(list.err, "wick: no tracker is configured");
    forget(&list);
    list = WICK("tracker", "list", "metadata");
    cr_expect_eq(list.code, 2);
    assert_contains(list.err, "`list metadata` takes the id of a run");
    forget(&list);
    forget(&o);
}

/* By a message and by a signal: the error file says it, and so does `wick status`. */
Test(app, errors_are_recorded) {
    static const struct {
        const char *wish, *message;
    } cases[] = { { "error", "error: images: expected 28x28, got 32x32;" },
                  { "crash", "error: Signal 11 (SIGSEGV) received" } };
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        outcome o = WICK("run", "--wait", "utils.binary", "--entrypoint", WICK_EXAMPLE_APP, "--", "x", cases[i].wish);
        cr_expect_eq(o.code, 1);
        assert_contains(o.err, cases[i].message);
        o.out[strcspn(o.out, "\n")] = '\0';
        outcome status = WICK("status", "--json", o.out);
        assert_contains(status.out, "py_callstack");
        if (i == 1) assert_contains(status.out, "example_app");
        forget(&status);
        forget(&o);
    }
    char path[2048];
    (void)snprintf(path, sizeof path, "%s", below("error.json"));
    (void)setenv("TORCHELASTIC_ERROR_FILE", path, 1);
    cr_expect_eq(wk_record_error("first", 3), WK_OK);
    cr_expect_eq(wk_record_error("second", 0), WK_OK);
    char *text = content(path);
    cr_expect_eq(
        strncmp(text,
                "{\"message\": {\"message\": \"first\", \"errorCode\": 3, \"extraInfo\": {\"py_callstack\": \"\", "
                "\"timestamp\": \"1",
                40),
        0, "%s", text);
    wk_free(text);
    (void)unsetenv("TORCHELASTIC_ERROR_FILE");
    cr_expect_eq(wk_record_error("nobody asks", 3), WK_OK);
}

static void world_on(const char *scheduler) {
    outcome o = WICK("run", "utils.compute_world_size", "-s", scheduler, "-j", "3", "--wait", "--log");
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "compute_world_size/2 rank 2 of 3: computed world size 3\n");
    forget(&o);
    o = WICK("run", "utils.compute_world_size", "-s", scheduler, "--throws", "true", "--wait");
    cr_assert_eq(o.code, 1);
    assert_contains(o.err, "error: raised because throws was asked for");
    forget(&o);
}

Test(app, world_size_on_local) {
    world_on("local");
}

Test(app, world_size_on_mpi) {
    world_on("mpi");
}

/* Two roles, each a world of its own, whose ranks meet at different ports. */
Test(app, each_role_is_a_world) {
    const char *file =
        write_file("app.yaml", "version: 1\nname: pair\nroles:\n"
                               "  - {name: coordinator, entrypoint: wick, args: [__world]}\n"
                               "  - {name: worker, entrypoint: wick, args: [__world], num_replicas: 2}\n");
    static const char *const schedulers[] = { "local", "mpi" };
    for (size_t i = 0; i < WK_COUNT(schedulers); i++) {
        outcome o = WICK("run", file, "-s", schedulers[i], "--wait", "--log");
        cr_expect_eq(o.code, 0, "%s", o.err);
        assert_contains(o.err, "coordinator/0 rank 0 of 1: computed world size 1\n");
        assert_contains(o.err, "worker/1 rank 1 of 2: computed world size 2\n");
        forget(&o);
    }
}

/* Alone, and where the others do not come. */
Test(app, ranks_of_the_environment) {
    double sum = 0;
    cr_expect_eq(wk_job_rank(), 0);
    cr_expect_eq(wk_job_world_size(), 1);
    cr_expect_str_eq(wk_job_id(), "<UNDEFINED>");
    cr_expect_eq(wk_job_sum(2.5, 1, &sum), WK_OK);
    cr_expect_eq(sum, 2.5);
    (void)setenv("WORLD_SIZE", "3", 1);
    (void)setenv("RANK", "x", 1); /* no number: not set */
    cr_expect_eq(wk_job_rank(), 0);
    cr_expect_eq(wk_job_barrier(1), WK_STATE);
    assert_contains(wk_message(), "rank 0 of 3 has no MASTER_ADDR and MASTER_PORT");
    wk_clear_error();
    (void)setenv("MASTER_ADDR", "127.0.0.1", 1);
    (void)setenv("MASTER_PORT", "48231", 1);
    cr_expect_eq(wk_job_barrier(0.2), WK_TIMEOUT);
    assert_contains(wk_message(), "these ranks had not come to rank 0: 1, 2");
    wk_clear_error();
    (void)setenv("RANK", "1", 1);
    cr_expect_eq(wk_job_barrier(0.2), WK_TIMEOUT);
    assert_contains(wk_message(), "rank 1 did not reach rank 0 at 127.0.0.1:48231");
    wk_clear_error();
}
