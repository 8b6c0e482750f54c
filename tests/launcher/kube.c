/* The scheduler `kubernetes` on a cluster whose pods are processes (kube/server.py), over TLS. */
#include "launcher/kube_cluster.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(kube, .init = kube_begin, .fini = kube_end, .timeout = 120);

static void succeed(const char *const *argv) {
    outcome o = run_program(argv);
    cr_expect_eq(o.code, 0, "%s%s", o.out, o.err);
    forget(&o);
}

static const char two_roles[] =
    "version: 1\nname: two\nroles:\n  - name: a\n    image: i\n    num_replicas: 2\n    entrypoint: sh\n"
    "    env: {API_TOKEN: \"hush, 'x'\", V: \"1,2 ${replica_id}\"}\n    resource: {cpu: 1}\n"
    "    args: [-c, 'echo $ROLE_NAME $RANK/$WORLD_SIZE local $LOCAL_RANK arg $1 tok $API_TOKEN v $V omp "
    "$OMP_NUM_THREADS "
    "master $MASTER_ADDR; echo oops >&2', x, \"<${replica_id}>\"]\n"
    "  - {name: b, image: i, entrypoint: echo, args: [hello, \"${app_id}\", \"$(RANK) $$HOME\"]}\n";

Test(kube, two_roles_run) {
    kube_needed();
    outcome o = WICK("run", write_file("two.yaml", two_roles), "-s", "kubernetes", "--wait", "--log");
    const char *handle = handle_of(&o);
    assert_contains(o.err, "a/0 a 0/2 local 0 arg <0> tok hush, 'x' v 1,2 0 omp 1 master two-");
    assert_contains(o.err, "a/1 a 1/2 local 0 arg <1> tok hush, 'x' v 1,2 1 omp 1 master two-");
    assert_contains(o.err, "a/1 oops\n");
    assert_contains(o.err, " $(RANK) $HOME\n");
    outcome status = WICK("status", handle);
    cr_assert_str_eq(status.out, "AppStatus:\n    State: SUCCEEDED\n    Num Restarts: 0\n    Roles: \n"
                                 " *a[0]:SUCCEEDED\n  a[1]:SUCCEEDED\n *b[0]:SUCCEEDED\n    Msg: \n"
                                 "    Structured Error Msg: <NONE>\n    UI URL: None\n");
    forget(&status);
    status = WICK("list");
    assert_contains(status.out, handle);
    forget(&status);
    status = WICK("describe", "--native", handle);
    assert_contains(status.out, "kind: \"Job\"");
    assert_contains(status.out, "0.API_TOKEN: \"***\"");
    cr_assert_null(strstr(status.out, "hush"));
    forget(&status);
    status = WICK("log", handle);
    assert_contains(status.out, "b/0 hello two-");
    forget(&status);
    cr_expect_eq(kube_requests("dryRun=All"), 4, "each object is checked first");
    succeed((const char *const[]){ WICK_BINARY, "delete", handle, NULL });
    char *left = kube_get("/api/v1/namespaces/tests/secrets");
    assert_contains(left, "\"items\": []");
    wk_free(left);
    left = kube_get("/apis/batch/v1/namespaces/tests/jobs");
    assert_contains(left, "\"items\": []");
    wk_free(left);
    forget(&o);
}

/* What utils.compute_world_size runs; the pods of this cluster share one network. */
Test(kube, computes_the_world_size) {
    kube_needed();
    char text[PATH_MAX + 400];
    (void)snprintf(text, sizeof text,
                   "version: 1\nname: world\nroles:\n  - {name: w, image: i, entrypoint: %s, args: [__world], "
                   "num_replicas: 3, env: {MASTER_ADDR: 127.0.0.1}}\n",
                   WICK_BINARY);
    outcome o = WICK("run", write_file("app.yaml", text), "-s", "kubernetes", "--wait", "--log");
    cr_assert_eq(o.code, 0, "%s", o.err);
    for (int r = 0; r < 3; r++) {
        char line[80];
        (void)snprintf(line, sizeof line, "w/%d rank %d of 3: computed world size 3\n", r, r);
        assert_contains(o.err, line);
    }
    forget(&o);
}

Test(kube, logs_are_kept_by_who_waits) {
    kube_needed();
    char *url = wk_format("%s/kept", state_dir());
    char *cfg = wk_format("log_dir=%s", url);
    const char *app =
        write_file("app.yaml", "version: 1\nname: k\nroles:\n  - {name: a, image: i, entrypoint: bash, "
                               "args: [-c, 'echo out $RANK; sleep 0.1; echo err >&2'], num_replicas: 2}\n");
    outcome o = WICK("run", app, "-s", "kubernetes", "-cfg", cfg, "--wait");
    const char *handle = handle_of(&o);
    cr_expect_eq(o.code, 0, "%s", o.err);
    succeed((const char *const[]){ WICK_BINARY, "delete", handle, NULL });
    outcome log = WICK("log", "--log-dir", url, handle);
    assert_contains(log.out, "a/0 out 0\n");
    assert_contains(log.out, "a/1 out 1\n");
    assert_contains(log.out, "a/1 err\n");
    forget(&log);
    forget(&o);
    /* Nobody waits: that is said, and can be made good. */
    o = WICK("run", app, "-s", "kubernetes", "-cfg", cfg);
    handle = handle_of(&o);
    assert_contains(
        o.err, "kubernetes cannot write to log_dir itself: --wait copies the logs there at the end, `wick log --keep "
               "URL HANDLE` afterwards");
    cr_assert(becomes(handle, "SUCCEEDED", 60));
    succeed((const char *const[]){ WICK_BINARY, "log", "--keep", url, handle, NULL });
    char word[300];
    (void)snprintf(word, sizeof word, "%s/a/1", handle);
    log = WICK("log", "--log-dir", url, word);
    cr_expect_str_eq(log.out, "a/1 out 1\na/1 err\n"); /* a cluster keeps both streams as one */
    forget(&log);
    forget(&o);
    wk_free(cfg);
    wk_free(url);
}

/* 200 strings of quotes, substitutions and bytes that are no UTF-8, to a program in a pod. */
Test(kube, hostile_strings) {
    static char script[PATH_MAX + 40];
    const char *argv[HOSTILE_COUNT + 16] = { WICK_BINARY, "run",          "utils.binary", "-s",   "kubernetes",
                                             "--wait",    "--entrypoint", "sh",           "-cfg", "image=i",
                                             "--",        "-c",           script,         "x" };
    wk_text expected = { 0 };
    kube_needed();
    (void)snprintf(script, sizeof script, "printf '%%s\\0' \"$@\" >'%s/got'", kube_dir());
    /* once with bytes that are no UTF-8, once without: then no shell stands between */
    for (int turn = 0; turn < 2; turn++) {
        char path[PATH_MAX + 8];
        expected.size = 0;
        hostile_strings(argv + 14, &expected, turn == 1);
        outcome o = run_program(argv);
        cr_assert_eq(o.code, 0, "%s", o.err);
        (void)snprintf(path, sizeof path, "%s/got", kube_dir());
        assert_file_holds(path, &expected);
        forget(&o);
    }
    wk_text_free(&expected);
}

static const char failing[] =
    "version: 1\nname: gang\nroles:\n  - {name: r, image: i, entrypoint: sh, num_replicas: 2, args: [-c, "
    "'if [ $RANK = 1 ]; then sleep 0.3; echo last words; exit 7; fi; sleep 60']}\n";

Test(kube, one_failure_ends_the_gang) {
    kube_needed();
    outcome o = WICK("run", write_file("app.yaml", failing), "-s", "kubernetes", "--wait", "--propagate-exit-code");
    cr_assert_eq(o.code, 7, "%d %s", o.code, o.err);
    cr_assert_lt(o.seconds, 20);
    o.out[strcspn(o.out, "\n")] = '\0';
    assert_contains(o.err, "FAILED: r/1 (rank 1) ended with exit code 7 on host node-1 after ");
    assert_contains(o.err, "; last line of stderr: last words; log: ");
    assert_contains(o.err, "(BackoffLimitExceeded: Job has reached the specified backoff limit)");
    outcome status = WICK("status", o.out);
    assert_contains(status.out, " *r[0]:CANCELLED");
    assert_contains(status.out, "  r[1]:FAILED (exitcode: 7)\n");
    forget(&status);
    forget(&o);
}

Test(kube, structured_error_is_the_termination_message) {
    kube_needed();
    const char *file = write_file(
        "app.yaml",
        "version: 1\nname: e\nroles:\n  - {name: r, image: i, entrypoint: sh, args: [-c, 'echo "
        "\"{\\\"message\\\": {\\\"message\\\": \\\"it broke\\\"}}\" >$TORCHELASTIC_ERROR_FILE; kill -9 $$$$']}\n");
    outcome o = WICK("run", file, "-s", "kubernetes", "--wait");
    cr_assert_eq(o.code, 1);
    assert_contains(o.err, "was killed by SIGKILL on host node-1");
    assert_contains(o.err, "error: it broke");
    forget(&o);
}

Test(kube, kinds_run_and_restart) {
    static const char *const kinds[] = { "jobset", "volcano" };
    kube_needed();
    const char *file = write_file(
        "app.yaml", "version: 1\nname: again\nroles:\n  - {name: r, image: i, entrypoint: sh, num_replicas: "
                    "2, max_retries: 1, args: [-c, 'echo rank $RANK try $TORCHELASTIC_RESTART_COUNT; F=\"$0\"; "
                    "if [ $RANK = 1 ] && ! [ -e \"$F\" ]; then touch \"$F\"; exit 3; fi', \"${env:MARK}\"]}\n");
    char *copy = wk_strdup(file);
    for (size_t i = 0; i < WK_COUNT(kinds); i++) {
        char mark[PATH_MAX];
        char cfg[64];
        (void)snprintf(mark, sizeof mark, "%s/mark-%s", kube_dir(), kinds[i]);
        (void)snprintf(cfg, sizeof cfg, "kind=%s,queue=q", kinds[i]);
        (void)setenv("MARK", mark, 1);
        outcome o = WICK("run", copy, "-s", "kubernetes", "-cfg", cfg, "--wait");
        cr_assert_eq(o.code, 0, "%s", o.err);
        o.out[strcspn(o.out, "\n")] = '\0';
        outcome status = WICK("status", o.out);
        assert_contains(status.out, "Num Restarts: 1\n");
        assert_contains(status.out, "  r[1]:SUCCEEDED\n");
        forget(&status);
        status = WICK("log", o.out);
        assert_contains(status.out, i == 0 ? "r/1 rank 1 try 1\n" : "r/1 rank 1 try 0\n");
        forget(&status);
        forget(&o);
    }
    wk_free(copy);
}

Test(kube, mpijob_runs) {
    kube_needed();
    (void)setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    outcome o = WICK("run", "utils.sh", "-s", "kubernetes", "-cfg", "kind=mpijob", "--wait", "--log", "-j", "2",
                     "--image", "i", "--", "echo I am \"$RANK's\" of $WORLD_SIZE");
    if (o.code != 0 && strstr(o.err, "not enough slots")) cr_skip_test("one processor");
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "I am 1's of 2");
    forget(&o);
}

Test(kube, cancel_suspends) {
    static const char *const kinds[] = { "job", "volcano" };
    kube_needed();
    for (size_t i = 0; i < WK_COUNT(kinds); i++) {
        char cfg[64];
        (void)snprintf(cfg, sizeof cfg, "kind=%s,queue=q", kinds[i]);
        outcome o = WICK("run", "utils.sh", "-s", "kubernetes", "-cfg", cfg, "--image", "i", "--", "sleep 60");
        const char *handle = handle_of(&o);
        cr_assert(becomes(handle, "RUNNING", 15), "%s", state_of(handle));
        succeed((const char *const[]){ WICK_BINARY, "cancel", handle, NULL });
        cr_assert_str_eq(state_of(handle), "CANCELLED");
        char *left = kube_get(i ? "/apis/batch.volcano.sh/v1alpha1/namespaces/tests/jobs"
                                : "/apis/batch/v1/namespaces/tests/jobs");
        assert_contains(left, i ? "\"phase\": \"Aborted\"" : "\"suspend\": true");
        wk_free(left);
        succeed((const char *const[]){ WICK_BINARY, "delete", handle, NULL });
        forget(&o);
    }
}

/* ---- what goes wrong ---- */

Test(kube, busy_deaf_and_forgetful_servers) {
    kube_needed();
    kube_fault("{\"busy\": 2, \"deaf\": 2, \"forget\": 1, \"hang_up\": 1, \"lose\": 1}");
    double begin = wk_now();
    outcome o = WICK("run", "utils.sh", "-s", "kubernetes", "--image", "i", "--wait", "--log", "--",
                     "for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.3; done");
    cr_assert_eq(o.code, 0, "%s", o.err);
    cr_expect_geq(wk_now() - begin, 2, "Retry-After is waited for");
    cr_expect_geq(kube_requests(" 429"), 2);
    cr_expect_geq(kube_requests(" 409"), 1, "what was created when the connection broke is found again");
    for (int i = 1; i <= 8; i++) { /* each line once */
        char line[32];
        (void)snprintf(line, sizeof line, "sh/0 line %d\n", i);
        const char *at = strstr(o.err, line);
        cr_expect(at && !strstr(at + 1, line), "%s in %s", line, o.err);
    }
    forget(&o);
}

Test(kube, waiting_costs_no_polling) {
    kube_needed();
    outcome o = WICK("run", "utils.sh", "-s", "kubernetes", "--image", "i", "--wait", "--", "sleep 4");
    cr_assert_eq(o.code, 0, "%s", o.err);
    cr_expect_leq(kube_requests("GET /apis/batch/v1/namespaces/tests/jobs?"), 4);
    cr_expect_leq(kube_requests("GET /api/v1/namespaces/tests/pods?"), 4);
    forget(&o);
}

Test(kube, an_image_that_is_not_there) {
    kube_needed();
    outcome o = WICK("run", "utils.echo", "-s", "kubernetes", "--image", "missing:1");
    const char *handle = handle_of(&o);
    cr_assert(becomes(handle, "PENDING", 10));
    outcome status = WICK("status", handle);
    assert_contains(status.out, "Msg: ErrImagePull: no such image: missing:1\n");
    forget(&status);
    forget(&o);
}

Test(kube, what_the_server_refuses) {
    kube_needed();
    outcome o = WICK("run",
                     write_file("app.yaml", "version: 1\nname: a\nroles: [{name: r, image: i, entrypoint: x, metadata: "
                                            "{kubernetes: {spec: {tolerationz: []}}}}]\n"),
                     "-s", "kubernetes");
    cr_assert_eq(o.code, 1);
    assert_contains(o.err, "wick: kubernetes: Job \"a-");
    assert_contains(o.err, "unknown field \"spec.template.spec.tolerationz\"");
    forget(&o);
    char *none = kube_get("/api/v1/namespaces/tests/services");
    assert_contains(none, "\"items\": []"); /* nothing was created before all was checked */
    wk_free(none);
}

Test(kube, ways_to_log_in) {
    char user[6][2048];
    char path[PATH_MAX];
    kube_needed();
    (void)snprintf(user[0], sizeof user[0], "{client-certificate: client.crt, client-key: client.key}");
    (void)snprintf(user[1], sizeof user[1], "{username: user, password: word}");
    (void)snprintf(user[2], sizeof user[2], "{tokenFile: token}");
    (void)snprintf(user[3], sizeof user[3],
                   "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, args: [x], env: [{name: "
                   "GREETING, value: hello}]}}");
    (void)write_file("cluster/token", "the-token-of-the-tests\n");
    (void)snprintf(path, sizeof path, "%s",
                   write_file("cluster/plugin", "#!/bin/sh\ntest $1 = x && test $GREETING = hello && case "
                                                "$KUBERNETES_EXEC_INFO in *ExecCredential*) ;; *) exit 1;; esac\n"
                                                "echo '{\"status\": {\"token\": \"the-token-of-the-tests\"}}'\n"));
    (void)chmod(path, 0700);
    for (int i = 0; i < 4; i++) {
        (void)kube_config(user[i]);
        outcome o = WICK("run", "utils.echo", "-s", "kubernetes", "--image", "i", "--wait");
        cr_expect_eq(o.code, 0, "%s: %s", user[i], o.err);
        forget(&o);
    }
    static const char *const bad[][2] = {
        { "{token: wrong}", "the server does not know us (401): Unauthorized" },
        { "{exec: {command: ./none, installHint: get it}}", "no exec plug-in " },
        { "{exec: {command: \"false\"}}", "exec plug-in false ended with exit code 1" },
        { "{exec: {command: echo}}", "exec plug-in echo printed neither a token nor a certificate" },
        { "{auth-provider: {name: gcp}}", "auth-provider is gone from Kubernetes (1.26)" },
        { "{client-certificate-data: \"%%\"}", "client-certificate-data is no base64" },
        { "{tokenFile: nowhere}", "nowhere cannot be read" },
    };
    for (size_t i = 0; i < WK_COUNT(bad); i++) {
        (void)kube_config(bad[i][0]);
        outcome o = WICK("run", "utils.echo", "-s", "kubernetes", "--image", "i");
        cr_expect_neq(o.code, 0);
        cr_expect(strstr(o.err, bad[i][1]) != NULL, "%s: %s", bad[i][0], o.err);
        forget(&o);
    }
    (void)kube_config("{token: the-token-of-the-tests}");
    outcome o = WICK("run", "utils.echo", "-s", "kubernetes", "-cfg", "context=tset", "--image", "i");
    assert_contains(o.err, "wick: kubeconfig: no context \"tset\"\n");
    forget(&o);
    (void)setenv("KUBECONFIG", "/nonexistent", 1);
    o = WICK("run", "utils.echo", "-s", "kubernetes", "--image", "i");
    assert_contains(o.err, "wick: no kubeconfig: neither /nonexistent nor a service account; ");
    forget(&o);
    o = WICK("run", "utils.echo", "-s", "kubernetes", "--image", "i", "--dryrun");
    cr_expect_eq(o.code, 0, "a dry run needs no cluster: %s", o.err);
    forget(&o);
}

Test(kube, deleted_by_another_hand) {
    kube_needed();
    outcome o = WICK("run", "utils.sh", "-s", "kubernetes", "--image", "i", "--", "sleep 60");
    const char *handle = handle_of(&o);
    cr_assert(becomes(handle, "RUNNING", 15));
    char url[PATH_MAX];
    (void)snprintf(url, sizeof url, "https://127.0.0.1:%d/apis/batch/v1/namespaces/tests/jobs/%s-sh", kube_port(),
                   strrchr(handle, '/') + 1);
    char script[2 * PATH_MAX];
    (void)snprintf(
        script, sizeof script,
        "import ssl, urllib.request as u; u.urlopen(u.Request('%s', method='DELETE', headers={'Authorization': "
        "'Bearer the-token-of-the-tests'}), context=ssl.create_default_context(cafile='%s/ca.crt'))",
        url, kube_dir());
    succeed((const char *const[]){ "python3", "-c", script, NULL });
    outcome status = WICK("status", handle);
    assert_contains(status.out, "State: RUNNING"); /* it may only be late */
    forget(&status);
    pause_for(10.5);
    status = WICK("status", handle);
    assert_contains(status.out, "State: FAILED");
    assert_contains(status.out, "Msg: its objects are gone from the cluster\n");
    forget(&status);
    forget(&o);
}

/* What the published schemas of Kubernetes say of everything built-in that was submitted. */
Test(kube, published_schemas) {
    kube_needed();
    outcome tool = run_program((const char *const[]){ WICK_SOURCE_DIR "/tests/launcher/kube/published", "--install",
                                                      WICK_BUILD_DIR "/pypi", NULL });
    if (tool.code != 0) {
        (void)fprintf(stderr, "\n*** SKIPPED: kubernetes-validate of PyPI is not to be had: %s\n", tool.err);
        cr_skip_test("no kubernetes-validate");
    }
    forget(&tool);
    outcome o = WICK("run", write_file("two.yaml", two_roles), "-s", "kubernetes");
    cr_assert_eq(o.code, 0, "%s", o.err);
    forget(&o);
    o = WICK("run", write_file("two.yaml", two_roles), "-s", "kubernetes", "-cfg", "kind=jobset");
    cr_assert_eq(o.code, 0, "%s", o.err);
    forget(&o);
    char submitted[PATH_MAX];
    (void)snprintf(submitted, sizeof submitted, "%s/submitted", kube_dir());
    o = run_program((const char *const[]){ WICK_SOURCE_DIR "/tests/launcher/kube/published", WICK_BUILD_DIR "/pypi",
                                           submitted, NULL });
    cr_assert_eq(o.code, 0, "%s%s", o.out, o.err);
    forget(&o);
}

/* A cluster of one's own: WICK_TEST_KUBECONFIG, and WICK_TEST_IMAGE with a shell in it (busybox). */
Test(kube, a_real_server) {
    const char *config = getenv("WICK_TEST_KUBECONFIG");
    const char *image = getenv("WICK_TEST_IMAGE");
    if (!config || !*config) cr_skip_test("WICK_TEST_KUBECONFIG is not set");
    (void)setenv("KUBECONFIG", config, 1);
    outcome o = WICK("run", "utils.sh", "-s", "kubernetes", "--image", image && *image ? image : "busybox", "-j", "2",
                     "--wait", "--log", "--", "echo I am $RANK of $WORLD_SIZE");
    const char *handle = handle_of(&o);
    assert_contains(o.err, "sh/1 I am 1 of 2\n");
    succeed((const char *const[]){ WICK_BINARY, "delete", handle, NULL });
    forget(&o);
}
