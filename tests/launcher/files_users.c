/* What takes a path takes a URL: AppDefs, runs of training, logs, artifacts, trackers, results. */
#include "launcher/file_server.h"
#include "wick/app.h"
#include "wick/files.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(files_users, .init = file_server_begin, .fini = file_server_end, .timeout = 90);

#define BASE (http_base())

static void serves(const char *name, const char *part) {
    char *text = served(name);
    cr_expect(strstr(text, part), "expected \"%s\" in %s:\n%s", part, name, text);
    wk_free(text);
}

Test(files_users, an_appdef_is_run) {
    serve_text("apps/base.yaml", "version: 1\nname: far\nroles:\n  - {name: r, entrypoint: echo, args: [from afar]}\n");
    serve_text("apps/app.yaml", "version: 1\ndefaults: [base, {size: small}]\nroles: [{name: r, env: {A: b}}]\n");
    serve_text("apps/size/small.yaml", "roles: [{name: r, num_replicas: 2}]\n");
    serve_text("apps/size/huge.yaml", "roles: [{name: r, num_replica: 2}]\n");
    serve_text("apps/parts.yaml",
               "version: 1\ncomponents:\n  tell:\n    doc: tell\n    example: wick run tell --word x\n"
               "    parameters: {word: {type: str, help: what}}\n    app: {name: t, roles: [{name: "
               "t, entrypoint: echo, args: [\"${word}\"]}]}\n");
    outcome o = WICK("run", at(BASE, "apps/app.yaml?any"), "--wait", "--log");
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "r/1 from afar\n");
    forget(&o);
    char *user = wk_format("http://user:hidden@%s", BASE + strlen("http://"));
    o = WICK("run", at(user, "none.yaml"), "--dryrun");
    cr_expect_eq(o.code, 2);
    cr_expect_null(strstr(o.err, "hidden"), "%s", o.err);
    forget(&o);
    wk_free(user);
    char *place = wk_format("%s:4:15: ", at(BASE, "apps/bad.yaml"));
    serve_text("apps/bad.yaml", "version: 1\nname: far\nroles:\n  - {name: r, entrypoin: echo}\n");
    o = WICK("run", at(BASE, "apps/bad.yaml"), "--dryrun");
    cr_expect_eq(o.code, 2);
    cr_expect(strncmp(o.err, place, strlen(place)) == 0 && strstr(o.err, "did you mean \"entrypoint\"?"), "%s", o.err);
    forget(&o);
    wk_free(place);
    o = WICK("run", at(BASE, "apps/app.yaml"), "-o", "size=huge", "--dryrun");
    cr_expect_eq(o.code, 2);
    assert_contains(o.err, "/apps/size/huge.yaml:1:");
    assert_contains(o.err, "did you mean \"num_replicas\"?");
    forget(&o);
    o = WICK("run", at(BASE, "apps/none.yaml"));
    cr_expect_eq(o.code, 2);
    assert_contains(o.err, "/apps/none.yaml: the server answered 404 (not found)");
    forget(&o);
    o = WICK("run", at(BASE, "apps/parts.yaml:tell"), "--word", "parted", "--wait", "--log");
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "parted\n");
    forget(&o);
}

Test(files_users, a_run_of_training) {
    if (access(WICK_BUILD_DIR "/lib/libwickrun.so", F_OK) != 0) cr_skip_test("this build has no engine");
    char *config = wk_file_load(WICK_SOURCE_DIR "/examples/fashion_mnist/config.yaml", 1 << 16, NULL);
    cr_assert_not_null(config);
    serve_text("train/config.yaml", config);
    wk_free(config);
    char *output = wk_format("output=%s/run", state_dir());
    outcome o = WICK("train", "-c", at(BASE, "train/config.yaml"), "-o", output, "-o", "data.args.limit=128", "-o",
                     "trainer.max_steps=1");
    cr_assert_eq(o.code, 0, "%s", o.err);
    forget(&o);
    cr_expect_eq(requests("GET /train/config.yaml"), 1);
    char *kept = wk_format("%s/run/config.yaml", state_dir());
    cr_expect_eq(access(kept, F_OK), 0);
    o = WICK("train", "-c", at(BASE, "train/none.yaml"));
    cr_expect_neq(o.code, 0);
    assert_contains(o.err, "/train/none.yaml: the server answered 404 (not found)");
    forget(&o);
    wk_free(kept);
    wk_free(output);
}

Test(files_users, logs_are_kept) {
    char *cfg = wk_format("log_dir=%s", at(BASE, "logs"));
    /* Neither ends before both have written: the first to fail takes the other along. */
    char *command =
        wk_format("n=$TORCHELASTIC_RESTART_COUNT; echo out $RANK $n; echo err >&2; cd %s; : >wrote.$RANK.$n; "
                  "until test -e wrote.0.$n -a -e wrote.1.$n; do sleep 0.01; done; test $n = 1",
                  state_dir());
    outcome o = WICK("run", "utils.sh", "-j", "2", "--max_retries", "1", "-cfg", cfg, "--wait", "--", command);
    wk_free(command);
    cr_assert_eq(o.code, 0, "%s", o.err);
    char name[300];
    const char *id = strrchr(handle_of(&o), '/') + 1;
    (void)snprintf(name, sizeof name, "logs/%s/sh/1/stdout.log", id);
    serves(name, "out 1 1\n");
    (void)snprintf(name, sizeof name, "logs/%s/sh/0/stderr.0.log", id);
    serves(name, "err\n");
    (void)snprintf(name, sizeof name, "logs/%s/status.json", id);
    serves(name, "\"state\": \"SUCCEEDED\"");
    /* They are read where they lie, whatever became of the app: all attempts in turn. */
    outcome gone = WICK("delete", handle_of(&o));
    forget(&gone);
    outcome log = WICK("log", "--log-dir", at(BASE, "logs"), "--streams", "stdout", handle_of(&o));
    cr_expect_str_eq(log.out, "sh/0 out 0 0\nsh/0 out 0 1\nsh/1 out 1 0\nsh/1 out 1 1\n");
    forget(&log);
    log = WICK("log", "--log-dir", at(BASE, "elsewhere"), handle_of(&o));
    cr_expect_eq(log.code, 1);
    assert_contains(log.err,
                    "no logs of an app that has ended are there (they are kept by -cfg log_dir=URL, or by `wick log "
                    "--keep URL HANDLE`): http://");
    forget(&log);
    log = WICK("log", "-f", "--log-dir", at(BASE, "logs"), handle_of(&o));
    cr_expect_eq(log.code, 2);
    assert_contains(log.err, "log: what was kept has ended; --follow goes without --log-dir");
    forget(&log);
    forget(&o);
    /* And copied afterwards, when it has ended. */
    o = WICK("run", "utils.sh", "--", "echo later; while ! test -e \"$WICK_REPLICA_DIR/go\"; do sleep 0.05; done");
    const char *handle = handle_of(&o);
    cr_assert(becomes(handle, "RUNNING", 10));
    log = WICK("log", "--keep", at(BASE, "afterwards"), handle);
    cr_expect_eq(log.code, 1);
    assert_contains(log.err, " is RUNNING; its logs can be kept when it has ended");
    forget(&log);
    char *go = wk_format("%s/apps/%s/sh/0/go", state_dir(), strrchr(handle, '/') + 1);
    cr_expect_eq(wk_file_save(go, "", 0), WK_OK);
    wk_free(go);
    cr_assert(becomes(handle, "SUCCEEDED", 10));
    log = WICK("log", "--keep", "memory://there", handle);
    cr_expect_eq(log.code, 2);
    assert_contains(log.err,
                    "log: --keep memory://there: that is the memory of this process; name a folder or a server");
    forget(&log);
    log = WICK("log", "--keep", at(BASE, "afterwards"), handle);
    cr_expect_eq(log.code, 0, "%s", log.err);
    forget(&log);
    log = WICK("log", "--log-dir", at(BASE, "afterwards"), handle);
    cr_expect_str_eq(log.out, "sh/0 later\n");
    forget(&log);
    forget(&o);
    /* A folder will do; one that fails is said, and the app stays what it was. */
    char *folder = wk_format("log_dir=%s/kept", state_dir());
    o = WICK("run", "utils.sh", "-cfg", folder, "--wait", "--", "echo here; exit 3");
    cr_expect_eq(o.code, 1);
    (void)snprintf(name, sizeof name, "%s/kept/%s/sh/0/stdout.log", state_dir(), strrchr(o.out, '/') + 1);
    name[strcspn(name, "\n")] = '/';
    char *text = wk_file_load(name, 100, NULL);
    cr_expect(text && strcmp(text, "here\n") == 0, "%s", wk_message());
    wk_free(text);
    wk_clear_error();
    forget(&o);
    o = WICK("run", "utils.sh", "-cfg", "log_dir=http://user:hidden@127.0.0.1:1/logs", "--wait", "--", "true");
    cr_expect_eq(o.code, 0, "%s", o.err);
    outcome status = WICK("status", handle_of(&o));
    assert_contains(status.out, "State: SUCCEEDED");
    assert_contains(status.out, "the logs could not be kept: http://user:***@127.0.0.1:1/logs/");
    forget(&status);
    forget(&o);
    o = WICK("run", "utils.sh", "-cfg", "log_dir=http://user:hidden@h/logs", "--dryrun", "--", "true");
    assert_contains(o.out, "logs are kept at: http://user:***@h/logs/sh-dryrun\n");
    forget(&o);
    static const char *const bad[][2] = { { "log_dir=s3://b/k", "log_dir: s3://b/k: the scheme \"s3\" is not known" },
                                          { "log_dir=memory://x", "the memory of a process that ends" } };
    for (size_t i = 0; i < WK_COUNT(bad); i++) {
        o = WICK("run", "utils.sh", "-cfg", bad[i][0], "--dryrun", "--", "true");
        cr_expect_eq(o.code, 2);
        assert_contains(o.err, bad[i][1]);
        forget(&o);
    }
    wk_free(folder);
    wk_free(cfg);
}

/* A stage writes to the server, the next one reads from it; what is still there is not made again. */
Test(files_users, artifacts_of_a_pipeline) {
    char text[2000];
    (void)snprintf(
        text, sizeof text,
        "version: 1\nname: far\nstages:\n"
        "  - name: data\n    outputs: {set: \"%s\"}\n    cache: true\n    run: make.yaml\n"
        "  - name: use\n    after: data\n    outputs: {got: ~}\n    cache: true\n"
        "    app: {roles: [{name: r, entrypoint: wick, args: [copy, \"${{data.set}}\", \"${{out.got}}\"]}]}\n",
        at(BASE, "sets/one"));
    serve_text("pipes/p.yaml", text);
    (void)snprintf(text, sizeof text,
                   "version: 1\nname: make\nroles: [{name: r, entrypoint: wick, args: [copy, \"%s\", "
                   "\"${{out.set}}\"]}]\n",
                   at(BASE, "raw"));
    serve_text("pipes/make.yaml", text);
    serve_text("raw", "the set");
    outcome o = WICK("pipeline", "run", at(BASE, "pipes/p.yaml"));
    cr_assert_eq(o.code, 0, "%s", o.err);
    forget(&o);
    serves("sets/one", "the set");
    cr_expect_eq(requests("PUT /sets/one"), 1);
    o = WICK("pipeline", "run", at(BASE, "pipes/p.yaml"));
    cr_assert_eq(o.code, 0, "%s", o.err);
    forget(&o);
    cr_expect_eq(requests("PUT /sets/one"), 1, "the second run takes it from the first");
    cr_assert_eq(wk_file_remove(at(BASE, "sets/one")), WK_OK);
    o = WICK("pipeline", "run", at(BASE, "pipes/p.yaml"));
    cr_assert_eq(o.code, 0, "%s", o.err);
    forget(&o);
    cr_expect_eq(requests("PUT /sets/one"), 2, "what is gone is made again");
    o = WICK("pipeline", "show", at(BASE, "pipes/p.yaml"));
    cr_expect_eq(o.code, 0, "%s", o.err);
    assert_contains(o.out, "use");
    forget(&o);
}

static void track(wk_tracker *tracker) {
    const wk_field fields[] = { wk_field_int("a", 1) };
    cr_assert_eq(wk_tracker_add_metadata(tracker, "local://wick/x", fields, 1), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_tracker_add_artifact(tracker, "local://wick/x", "model", "s3://m", NULL, 0), WK_OK, "%s",
                 wk_message());
    cr_assert_eq(wk_tracker_add_source(tracker, "local://wick/x", "parent", "set"), WK_OK, "%s", wk_message());
}

Test(files_users, trackers_and_results) {
    wk_tracker *tracker = wk_tracker_open("memory://runs");
    cr_assert_not_null(tracker, "%s", wk_message());
    track(tracker);
    wk_fields *fields = wk_tracker_metadata(tracker, "local://wick/x");
    cr_expect(fields && fields->count == 1 && fields->items[0].integer == 1, "%s", wk_message());
    wk_fields_free(fields);
    wk_tracked *found = wk_tracker_artifacts(tracker, "local://wick/x");
    cr_expect(found && found->count == 1 && strcmp(found->items[0].path, "s3://m") == 0);
    wk_tracked_free(found);
    found = wk_tracker_runs(tracker, "parent");
    cr_expect(found && found->count == 1 && strcmp(found->items[0].run, "local://wick/x") == 0);
    wk_tracked_free(found);
    wk_tracker_close(tracker);
    /* A server takes what is noted; what it has it cannot list. */
    char *root = wk_format("protocol=http\nroot_path=%s/runs\n", BASE + strlen("http://"));
    tracker = wk_tracker_configure(write_file("http.conf", root));
    cr_assert_not_null(tracker, "%s", wk_message());
    track(tracker);
    cr_expect_eq(requests("PUT /runs/NRXWGYLMHIXS653JMNVS66A="), 3);
    cr_expect_null(wk_tracker_metadata(tracker, "local://wick/x"));
    assert_contains(wk_message(), "files there cannot be listed");
    wk_clear_error();
    wk_tracker_close(tracker);
    wk_free(root);
    const wk_field field = wk_field_int("v", 3);
    cr_assert_eq(wk_results_put(at(BASE, "results"), "a/b", &field, 1), WK_OK, "%s", wk_message());
    serves("results/a/b", "\"v\": 3");
    fields = wk_results_get(at(BASE, "results"), "a/b");
    cr_expect(fields && fields->count == 1 && fields->items[0].integer == 3);
    wk_fields_free(fields);
    fields = wk_results_get(at(BASE, "results"), "none");
    cr_expect(fields && fields->count == 0);
    wk_fields_free(fields);
}

/* The program has libwickapp alone, which opens the plug-in by itself. */
Test(files_users, a_program_has_them_from_libwickapp) {
    outcome o = WICK("run", "--wait", "--log", "utils.binary", "--entrypoint", WICK_EXAMPLE_APP, "--num_replicas", "1",
                     "--", at(BASE, "of-app"));
    cr_assert_eq(o.code, 0, "%s", o.err);
    forget(&o);
    serves("of-app/trial_0", "\"loss/mean\": 1.0");
}

Test(files_users, a_monitor_waits_for_a_url) {
    serve_text("go", "");
    outcome o = WICK("monitor", "--poll-rate", "0.05", "--timeout", "20", "--start-on-file", at(BASE, "go"),
                     "--exit-on-file", at(BASE, "go"), "sleep", "60");
    cr_expect_eq(o.code, 0, "%s", o.err);
    cr_expect(requests("HEAD /go") >= 2);
    forget(&o);
}
