/* The scheduler `slurm` on a real Slurm of two virtual nodes, and what it reads of other versions. */
#include "launcher/slurm_cluster.h"
#include "launcher/slurm/slurm.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(slurm, .init = cluster_begin, .fini = cluster_end);

static void succeed(const char *const *argv) {
    outcome o = run_program(argv);
    cr_expect_eq(o.code, 0, "%s%s", o.out, o.err);
    forget(&o);
}

static const char two_roles[] =
    "version: 1\nname: two\nroles:\n  - name: a\n    num_replicas: 3\n    entrypoint: bash\n"
    "    env: {API_TOKEN: \"hush, '${replica_id}'\", V: \"1,2\"}\n    resource: {cpu: 1}\n    args: [-c, 'echo "
    "$ROLE_NAME $RANK/$WORLD_SIZE local $LOCAL_RANK/$LOCAL_WORLD_SIZE arg $1 tok $API_TOKEN v $V omp "
    "$OMP_NUM_THREADS; test $MASTER_PORT -gt 0 && echo master $MASTER_ADDR id $WICK_APP_ID; echo oops >&2', x, "
    "\"<${replica_id}>\"]\n    metadata: {replicas_per_node: 2}\n"
    "  - {name: b, entrypoint: echo, args: [hello, \"${app_id}\"]}\n";

Test(slurm, roles_are_groups) {
    cluster_needed();
    /* 4 processors in all: 2 nodes are a's, so b needs a place; --overcommit gives it one */
    char *one = wk_strdup(two_roles);
    char *at = strstr(one, "num_replicas: 3");
    at[strlen("num_replicas: ")] = '2';
    outcome o = WICK("run", write_file("two.yaml", one), "-s", "slurm", "--wait", "--log");
    wk_free(one);
    const char *handle = handle_of(&o);
    assert_contains(o.err, "a/0 a 0/2 local 0/2 arg <0> tok hush, '0' v 1,2 omp 1\n");
    assert_contains(o.err, "a/1 a 1/2 local 1/2 arg <1> tok hush, '1' v 1,2 omp 1\n");
    assert_contains(o.err, "a/1 oops\n");
    assert_contains(o.err, "a/0 master 127.0.0.1 id two-");
    assert_contains(o.err, "b/0 hello two-");
    outcome status = WICK("status", handle);
    cr_assert_str_eq(status.out, "AppStatus:\n    State: SUCCEEDED\n    Num Restarts: 0\n    Roles: \n"
                                 " *a[0]:SUCCEEDED\n  a[1]:SUCCEEDED\n *b[0]:SUCCEEDED\n    Msg: \n"
                                 "    Structured Error Msg: <NONE>\n    UI URL: None\n");
    forget(&status);
    status = WICK("list");
    assert_contains(status.out, handle);
    forget(&status);
    /* the secret is in none of the texts that others may see */
    char *script = app_file(handle, "job.sh");
    cr_assert_null(strstr(script, "hush"));
    wk_free(script);
    forget(&o);
}

Test(slurm, logs_are_kept_by_who_waits) {
    cluster_needed();
    char *url = wk_format("%s/kept", state_dir());
    char *cfg = wk_format("log_dir=%s", url);
    const char *app = write_file("app.yaml", "version: 1\nname: k\nroles:\n  - {name: a, entrypoint: bash, "
                                             "args: [-c, 'echo out $RANK; echo err >&2'], num_replicas: 2}\n");
    outcome o = WICK("run", app, "-s", "slurm", "-cfg", cfg, "--wait");
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
    o = WICK("run", app, "-s", "slurm", "-cfg", cfg);
    handle = handle_of(&o);
    assert_contains(o.err,
                    "slurm cannot write to log_dir itself: --wait copies the logs there at the end, `wick log --keep "
                    "URL HANDLE` afterwards");
    cr_assert(becomes(handle, "SUCCEEDED", 60));
    succeed((const char *const[]){ WICK_BINARY, "log", "--keep", url, handle, NULL });
    char word[300];
    (void)snprintf(word, sizeof word, "%s/a/1", handle);
    log = WICK("log", "--log-dir", url, "--streams", "stdout", word);
    cr_expect_str_eq(log.out, "a/1 out 1\n");
    forget(&log);
    forget(&o);
    wk_free(cfg);
    wk_free(url);
}

/* 200 strings of quotes, blanks, substitutions and bytes that are no UTF-8, through each scheduler. */
Test(slurm, hostile_strings) {
    const char *argv[HOSTILE_COUNT + 12] = { WICK_BINARY, "run",          "utils.binary", "-s", NULL,
                                             "--wait",    "--entrypoint", "printf",       "--", "%s\\0" };
    wk_text expected = { 0 };
    hostile_strings(argv + 10, &expected, false);
    static const char *const schedulers[] = { "local", "mpi", "slurm" };
    for (size_t s = 0; s < WK_COUNT(schedulers); s++) {
        if (s == 2) cluster_needed();
        char path[PATH_MAX];
        argv[4] = schedulers[s];
        outcome o = run_program(argv);
        const char *handle = handle_of(&o);
        (void)snprintf(path, sizeof path, "%s/apps/%s/torchx_utils_binary/0/stdout.log", state_dir(),
                       strrchr(handle, '/') + 1);
        assert_file_holds(path, &expected);
        forget(&o);
    }
    wk_text_free(&expected);
}

/* The AppDef of the README as it stands, by each scheduler; where it runs, the configuration is that of a short run. */
Test(slurm, the_main_job_trains_by_each_scheduler) {
    static const char *const schedulers[] = { "local", "mpi", "slurm" };
    if (tests_are_brief()) {
        cluster_end(); /* a test that is skipped is not finished */
        cr_skip_test("trains");
    }
    outcome o = run_program((const char *const[]){
        "sh", "-c",
        "mkdir -p \"$1/examples/fashion_mnist\" && sed 's/max_epochs: 4/max_steps: 4, limit_val_batches: 2/' "
        "\"$2/examples/fashion_mnist/config.yaml\" >\"$1/examples/fashion_mnist/config.yaml\"",
        "sh", state_dir(), WICK_SOURCE_DIR, NULL });
    cr_assert_eq(o.code, 0, "%s", o.err);
    forget(&o);
    cr_assert_eq(chdir(state_dir()), 0);
    (void)setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    (void)setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    (void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* Open MPI's, of components that it has unloaded by then */
    for (size_t i = 0; i < WK_COUNT(schedulers); i++) {
        if (i == 2) cluster_needed();
        o = WICK("run", WICK_SOURCE_DIR "/examples/fashion_mnist/app.yaml", "-s", schedulers[i], "--wait", "--log");
        cr_assert_eq(o.code, 0, "%s: %s", schedulers[i], o.err);
        assert_contains(o.err, "2 ranks × 1 thread");
        assert_contains(o.err, "rank 1 of 2: training");
        assert_contains(o.err, "done in");
        forget(&o);
    }
}

Test(slurm, one_failure_ends_the_gang) {
    cluster_needed();
    const char *file = write_file(
        "app.yaml",
        "version: 1\nname: gang\nroles:\n"
        "  - {name: a, entrypoint: bash, num_replicas: 2, args: [-c, 'if [ $RANK = 1 ]; then sleep 0.3; echo "
        "last words >&2; exit 7; fi; sleep 60']}\n"
        "  - {name: b, entrypoint: sleep, args: [60]}\n");
    outcome o = WICK("run", file, "-s", "slurm", "--wait", "--propagate-exit-code");
    cr_assert_eq(o.code, 7, "%d %s", o.code, o.err);
    cr_assert_lt(o.seconds, 20);
    o.out[strcspn(o.out, "\n")] = '\0';
    assert_contains(o.err, "FAILED: a/1 (rank 1) ended with exit code 7 on host ");
    assert_contains(o.err, "; last line of stderr: last words; log: ");
    outcome status = WICK("status", o.out);
    assert_contains(status.out, "  a[1]:FAILED (exitcode: 7)\n");
    cr_assert_null(strstr(status.out, "RUNNING"), "%s", status.out);
    forget(&status);
    forget(&o);
}

Test(slurm, cancel_running_and_waiting) {
    cluster_needed();
    outcome o = WICK("run", "utils.sh", "-s", "slurm", "--", "sleep 60");
    const char *handle = handle_of(&o);
    cr_assert(becomes(handle, "RUNNING", 15));
    /* a client that died before it noted the job's id: the job is found by its name */
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/apps/%s/job", state_dir(), strrchr(handle, '/') + 1);
    cr_assert_eq(unlink(path), 0);
    cr_assert_str_eq(state_of(handle), "RUNNING");
    cr_assert_eq(access(path, F_OK), 0);
    succeed((const char *const[]){ WICK_BINARY, "cancel", handle, NULL });
    cr_assert_str_eq(state_of(handle), "CANCELLED");
    forget(&o);
    o = WICK("run", "utils.sh", "-s", "slurm", "-cfg", "sbatch=--hold,comment=\"it's, = a test\",time=5", "--", "true");
    handle = handle_of(&o);
    cr_assert(becomes(handle, "PENDING", 10));
    outcome status = WICK("status", handle);
    assert_contains(status.out, "Msg: JobHeldUser");
    forget(&status);
    succeed((const char *const[]){ WICK_BINARY, "cancel", handle, NULL });
    cr_assert_str_eq(state_of(handle), "CANCELLED");
    succeed((const char *const[]){ WICK_BINARY, "cancel", handle, NULL }); /* once more changes nothing */
    forget(&o);
}

/* Slurm puts a requeued job off for two minutes; the test does not wait for them, but for the end of the
 * first attempt's script, which Slurm would take for that of the second. */
static void start_now(const char *handle) {
    char *job = app_file(handle, "job");
    char command[400];
    job[strcspn(job, "\n")] = '\0';
    (void)snprintf(
        command, sizeof command,
        "for i in $(seq 150); do s=$(scontrol show job -o %s); case $s in\n"
        "  *Restarts=1*JobState=RUNNING*|*JobState=RUNNING*Restarts=1*|*JobState=COMPLETED*) exit 0;;\n"
        "  *Reason=BeginTime*) sleep 1; scontrol update JobId=%s StartTime=now;;\nesac; sleep 0.1; done; exit 1",
        job, job);
    succeed((const char *const[]){ "sh", "-c", command, NULL });
    wk_free(job);
}

Test(slurm, a_failed_job_is_queued_again) {
    cluster_needed();
    outcome o = WICK("run", "utils.sh", "-s", "slurm", "--max_retries", "1", "--",
                     "echo attempt $TORCHELASTIC_RESTART_COUNT; exit $((1 - TORCHELASTIC_RESTART_COUNT))");
    const char *handle = handle_of(&o);
    start_now(handle);
    cr_assert(becomes(handle, "SUCCEEDED", 20), "%s", state_of(handle));
    outcome status = WICK("status", handle);
    assert_contains(status.out, "Num Restarts: 1\n");
    forget(&status);
    char *log = app_file(handle, "sh/0/stdout.log");
    cr_assert_str_eq(log, "attempt 0\nattempt 1\n");
    wk_free(log);
    forget(&o);
}

/* The warning before a preemption or the time limit reaches the program; what it saved, the next attempt finds. */
Test(slurm, warned_programs_save_and_resume) {
    char script[PATH_MAX];
    char command[200];
    cluster_needed();
    (void)snprintf(
        script, sizeof script,
        "if [ -e %s/saved ]; then echo resumed; exit 0; fi; trap 'echo saving; touch %s/saved; exit 3' USR1; echo up; "
        "while :; do sleep 0.1; done",
        state_dir(), state_dir());
    outcome o = WICK("run", "utils.sh", "-s", "slurm", "-cfg", "signal=USR1@60,requeue=yes,time=10", "--", script);
    const char *handle = handle_of(&o);
    char *log = NULL;
    for (int turn = 0; turn < 150; turn++, pause_for(0.1)) {
        log = app_file(handle, "sh/0/stdout.log");
        bool up = strcmp(log, "up\n") == 0;
        wk_free(log);
        if (up) break;
    }
    char *job = app_file(handle, "job");
    (void)snprintf(command, sizeof command, "scancel --batch --signal=USR1 %s", job);
    command[strcspn(command, "\n")] = '\0';
    succeed((const char *const[]){ "sh", "-c", command, NULL });
    start_now(handle);
    cr_assert(becomes(handle, "SUCCEEDED", 20), "%s", state_of(handle));
    log = app_file(handle, "sh/0/stdout.log");
    cr_assert_str_eq(log, "up\nsaving\nresumed\n");
    wk_free(log);
    wk_free(job);
    forget(&o);
}

Test(slurm, refusals) {
    cluster_needed();
    outcome o = WICK("run", "utils.echo", "-s", "slurm", "-cfg", "partition=nowhere");
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "slurm: sbatch: error: ");
    forget(&o);
    o = WICK("run", "utils.binary", "--entrypoint", "./nothing", "-s", "slurm");
    cr_expect_eq(o.code, 2);
    assert_contains(o.err, "wick: slurm: role \"torchx_utils_binary\": \"./nothing\" is no program here (in ");
    forget(&o);
}

/* -j 2x2: two nodes, two ranks on each, counted on each from 0. */
Test(slurm, ranks_lie_on_nodes) {
    cluster_needed();
    const char *script =
        write_file("show", "#!/bin/sh\necho rank $RANK/$WORLD_SIZE local $LOCAL_RANK/$LOCAL_WORLD_SIZE node "
                           "$GROUP_RANK $SLURMD_NODENAME port $MASTER_PORT\n");
    cr_assert_eq(chmod(script, 0700), 0);
    outcome o = WICK("run", "dist.ddp", "-j", "2x2", "--script", script, "-s", "slurm", "--wait", "--log");
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "show/0 rank 0/4 local 0/2 node 0 n1 port 2");
    assert_contains(o.err, "show/1 rank 1/4 local 1/2 node 0 n1 port 2");
    assert_contains(o.err, "show/2 rank 2/4 local 0/2 node 1 n2 port 2");
    assert_contains(o.err, "show/3 rank 3/4 local 1/2 node 1 n2 port 2");
    forget(&o);
}

/* What utils.compute_world_size runs, over both nodes: each rank meets all others.  (The names of this cluster's nodes
 * are its own: no resolver knows them.) */
Test(slurm, computes_the_world_size) {
    cluster_needed();
    char text[PATH_MAX + 400];
    (void)snprintf(text, sizeof text,
                   "version: 1\nname: world\nroles:\n"
                   "  - {name: w, entrypoint: %s, args: [__world], num_replicas: 4, env: {MASTER_ADDR: 127.0.0.1}, "
                   "metadata: {replicas_per_node: 2}}\n",
                   WICK_BINARY);
    outcome o = WICK("run", write_file("app.yaml", text), "-s", "slurm", "--wait", "--log");
    cr_assert_eq(o.code, 0, "%s", o.err);
    for (int r = 0; r < 4; r++) {
        char line[80];
        (void)snprintf(line, sizeof line, "w/%d rank %d of 4: computed world size 4\n", r, r);
        assert_contains(o.err, line);
    }
    forget(&o);
}

/* Six that watch for four seconds cost Slurm a question in 1.5 s, not thirty; counted by a squeue before the real one.
 */
Test(slurm, watchers_share_one_question) {
    char path[PATH_MAX];
    char command[PATH_MAX];
    cluster_needed();
    outcome o = WICK("run", "utils.sh", "-s", "slurm", "--", "sleep 60");
    const char *handle = handle_of(&o);
    cr_assert(becomes(handle, "RUNNING", 15));
    const char *wrapper = write_file("squeue", "#!/bin/sh\necho asked >>\"$0.calls\"\nexec /usr/bin/squeue \"$@\"\n");
    cr_assert_eq(chmod(wrapper, 0700), 0);
    (void)snprintf(path, sizeof path, "%s:%s", state_dir(), getenv("PATH"));
    (void)setenv("PATH", path, 1);
    (void)snprintf(
        command, sizeof command,
        "for i in 1 2 3 4 5 6; do (for k in 1 2 3 4 5; do %s status %s >/dev/null; sleep 0.7; done) & done; wait",
        WICK_BINARY, handle);
    double start = wk_now();
    succeed((const char *const[]){ "sh", "-c", command, NULL });
    double seconds = wk_now() - start;
    (void)snprintf(command, sizeof command, "wc -l <%s/squeue.calls", state_dir());
    outcome count = run_program((const char *const[]){ "sh", "-c", command, NULL });
    cr_expect_leq(atoi(count.out), (int)(seconds / 1.5) + 2, "%s in %.1f s", count.out, seconds);
    cr_expect_geq(atoi(count.out), 1);
    forget(&count);
    forget(&o);
}

/* ---- without a cluster ---- */

static wk_request *dryrun(const char *text, const char *cfg_text) {
    const wk_scheduler_ops *ops = wk_scheduler("slurm");
    wk_appdef *app = wk_appdef_parse(text, strlen(text), "app.yaml");
    wk_cfg *cfg = app ? wk_cfg_parse(ops->name, ops->runopts, ops->runopt_count, cfg_text) : NULL;
    wk_request *request = cfg ? ops->dryrun(app, cfg, "job-1") : NULL;
    wk_cfg_free(cfg);
    wk_appdef_free(app);
    return request;
}

static void directives(const char *resource, const char *cfg, const char *expected) {
    char text[600];
    (void)snprintf(text, sizeof text,
                   "version: 1\nname: j\nroles:\n  - name: t\n    entrypoint: x\n    num_replicas: 4\n%s", resource);
    wk_request *request = dryrun(text, cfg);
    cr_assert_not_null(request, "%s", wk_message());
    char *printed = wk_request_print(request);
    char *at = strstr(printed, "#SBATCH");
    at[strcspn(at, "\n")] = '\0';
    cr_expect_str_eq(at, expected);
    wk_free(printed);
    wk_request_free(request);
}

TestSuite(slurm_script, .init = state_begin, .fini = state_end);

Test(slurm_script, directives) {
    directives("", NULL, "#SBATCH --no-requeue --ntasks=4 --cpus-per-task=1");
    directives("    resource: {cpu: 2, memMB: 1024, gpu: 1}\n", "slurm_version=23.02",
               "#SBATCH --no-requeue --ntasks=4 --cpus-per-task=2 --mem-per-cpu=512 --gpus-per-task=1");
    directives("    resource: {cpu: 2, memMB: 1024, gpu: 1}\n    metadata: {replicas_per_node: 2}\n",
               "slurm_version=24.11",
               "#SBATCH --no-requeue --ntasks=4 --nodes=2 --ntasks-per-node=2 --cpus-per-task=2 --mem=2048 "
               "--gpus-per-node=2");
    directives("    max_retries: 2\n    resource: {memMB: 1024}\n",
               "mem=no,partition=gpu,time=1:00:00,constraint=\"a&b\",qos=high low",
               "#SBATCH --requeue --partition=gpu --time=1:00:00 --constraint=a&b --qos=\"high low\" --ntasks=4 "
               "--cpus-per-task=1");
}

Test(slurm_script, overlays) {
    directives(
        "    metadata: {slurm: {sbatch: {partition: cpu, exclusive: ~, __del__:mem-per-cpu: ~, gres: \"a b\"}}}\n"
        "    resource: {memMB: 100}\n",
        "partition=gpu,time=5",
        "#SBATCH --no-requeue --partition=cpu --time=5 --ntasks=4 --cpus-per-task=1 --exclusive --gres=\"a b\"");
    char text[900];
    const char *file =
        write_file("overlay.yaml", "sbatch: {__put__:time: 9}\nsrun: {cpu-bind: \"co'res\", label: ~}\n");
    (void)snprintf(text, sizeof text, "    metadata: {slurm: \"file://%s\"}\n", file);
    directives(text, "time=5", "#SBATCH --no-requeue --time=9 --ntasks=4 --cpus-per-task=1");
    (void)snprintf(text, sizeof text, "version: 1\nname: j\nroles: [{name: t, entrypoint: x, metadata: {slurm: %s}}]\n",
                   file);
    wk_request *request = dryrun(text, NULL);
    cr_assert_not_null(request, "%s", wk_message());
    char *printed = wk_request_print(request);
    assert_contains(printed, " --cpu-bind='co'\\''res' --label bash -c ");
    wk_free(printed);
    wk_request_free(request);
    cr_expect_null(
        dryrun("version: 1\nname: j\nroles: [{name: t, entrypoint: x, metadata: {slurm: {sbach: {}}}}]\n", NULL));
    cr_expect_str_eq(wk_message(), "app.yaml:3:53: unknown key \"sbach\" in metadata.slurm; did you mean \"sbatch\"?");
    wk_clear_error();
}

Test(slurm_script, containers) {
    static const char text[] =
        "version: 1\nname: a\nroles: [{name: r, image: \"nvcr.io#x:1\", entrypoint: /opt/x, mounts: "
        "[{type: bind, src: /d, dst: /data, read_only: true}]}]\n";
    const wk_scheduler_ops *ops = wk_scheduler("slurm");
    static const char *const hows[] = { "container=pyxis", "container=oci", "container=docker" };
    for (size_t i = 0; i < WK_COUNT(hows); i++) {
        wk_appdef *app = wk_appdef_parse(text, strlen(text), "app.yaml");
        wk_cfg *cfg = wk_cfg_parse("slurm", ops->runopts, ops->runopt_count, hows[i]);
        wk_request *request = ops->dryrun(app, cfg, "a-1");
        char *out = request ? wk_request_print(request) : wk_strdup(wk_message());
        char pyxis[PATH_MAX];
        (void)snprintf(
            pyxis, sizeof pyxis,
            " --container-image='nvcr.io#x:1' --container-mounts='%s/apps/a-1:%s/apps/a-1,/d:/data:ro' bash -c ",
            state_dir(), state_dir());
        const char *const expected[] = { pyxis, " --container='nvcr.io#x:1' bash -c ",
                                         "slurm: container is pyxis or oci, not \"docker\"" };
        assert_contains(out, expected[i]);
        wk_clear_error();
        wk_free(out);
        wk_request_free(request);
        wk_cfg_free(cfg);
        wk_appdef_free(app);
    }
}

Test(slurm_script, refusals) {
    static const char *const cases[][2] = {
        { "signal=usr1", "slurm: signal must be like USR1@60, not \"usr1\"" },
        { "signal=USR1@x", "slurm: signal must be like USR1@60, not \"USR1@x\"" },
        { "slurm_version=new", "slurm: slurm_version must be like 24.11, not \"new\"" },
        { "partition=\"a\nb\"", "slurm: partition cannot hold a new line" },
        { "partitio=x", "slurm: unknown option \"partitio\"; did you mean \"partition\"?" },
    };
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        cr_expect_null(dryrun("version: 1\nname: j\nroles: [{name: t, entrypoint: x}]\n", cases[i][0]));
        cr_expect_str_eq(wk_message(), cases[i][1]);
        wk_clear_error();
    }
    char *path = wk_strdup(getenv("PATH"));
    (void)setenv("PATH", "/nonexistent", 1);
    outcome o = WICK("run", "utils.echo", "-s", "slurm");
    (void)setenv("PATH", path, 1);
    cr_expect_eq(o.code, 2);
    cr_expect_str_eq(o.err,
                     "wick: slurm: no program \"sbatch\"; install Slurm's client (slurm-client), or run without it: "
                     "-s local\n");
    forget(&o);
    wk_free(path);
}

/* The text with @state and @here replaced. */
static void replace(wk_text *out, const char *text) {
    char here[PATH_MAX];
    cr_assert_not_null(getcwd(here, sizeof here));
    for (; *text; text++) {
        if (strncmp(text, "@state", 6) == 0) {
            wk_text_puts(out, state_dir());
            text += 5;
        } else if (strncmp(text, "@here", 5) == 0) {
            wk_text_puts(out, here);
            text += 4;
        } else
            wk_text_add(out, text, 1);
    }
}

Test(slurm_script, golden) {
    wk_text golden = { 0 };
    wk_request *request =
        dryrun(two_roles, "signal=TERM@30,account=lab,srun=\"--cpu-bind=cores;-v\",mpi=pmix,requeue=yes");
    cr_assert_not_null(request, "%s", wk_message());
    char *printed = wk_request_print(request);
    const char *at = strstr(printed, "=== SCHEDULER REQUEST ===\n");
    outcome file =
        run_program((const char *const[]){ "cat", WICK_SOURCE_DIR "/tests/launcher/golden/slurm.txt", NULL });
    replace(&golden, file.out);
    cr_assert_str_eq(at, wk_text_get(&golden));
    wk_text_free(&golden);
    forget(&file);
    wk_free(printed);
    wk_request_free(request);
}

/* ---- answers of other versions ---- */

static void reads(bool found, const wk__slurm_answer *a, wk_app_state state, long long job, int restarts) {
    cr_expect(found);
    cr_expect_eq(a->state, state, "%s", a->word);
    cr_expect_eq(a->job, job);
    cr_expect_eq(a->restarts, restarts);
}

Test(slurm_query, json_of_several_versions) {
    static const struct {
        const char *text;
        wk_app_state state;
        int restarts;
    } cases[] = {
        { "{\"meta\":{},\"jobs\":[{\"job_id\":6,\"name\":\"x\",\"job_state\":\"FAILED\"},{\"job_id\":7,\"name\":\"me\","
          "\"job_state\":\"RUNNING\",\"restart_cnt\":1,\"het_job_id\":0}]}", /* squeue 21.08, 22.05 */
          WK_APP_RUNNING, 1 },
        { "{\"jobs\":[{\"job_id\":7,\"name\":\"me\",\"job_state\":\"COMPLETED\",\"het_job_id\":7,\"het_job_offset\":0,"
          "\"job_resources\":null},{\"job_id\":8,\"name\":\"me\",\"job_state\":\"FAILED\",\"het_job_id\":7}]}",
          WK_APP_FAILED, 0 }, /* a het job */
        { "{\"jobs\":[{\"job_id\":7,\"name\":\"me\",\"job_state\":\"PENDING\",\"state_reason\":\"Priority\","
          "\"het_job_id\":{\"set\":true,\"infinite\":false,\"number\":0},\"restart_cnt\":2}]}", /* 23.02 */
          WK_APP_PENDING, 2 },
        { "{\"jobs\":[{\"job_id\":7,\"name\":\"me\",\"job_state\":[\"RUNNING\",\"COMPLETING\"],\"restart_cnt\":0,"
          "\"het_job_id\":{\"set\":false,\"infinite\":false,\"number\":0}}]}", /* 23.11, 24.05 */
          WK_APP_RUNNING, 0 },
        { "squeue: warning\n{\"jobs\":[{\"job_id\":7,\"name\":\"me\",\"job_state\":[\"TIMEOUT\"],\"job_resources\":{"
          "\"nodes\":{\"list\":\"n1\",\"allocation\":[]}}}],\"last_update\":{\"number\":1}}", /* 24.11 */
          WK_APP_FAILED, 0 },
        { "{\"jobs\":[{\"job_id\":7,\"name\":\"me\",\"state\":{\"current\":\"CANCELLED\",\"reason\":\"None\"},"
          "\"het\":{\"job_id\":0}}]}", /* sacct 21.08 */
          WK_APP_CANCELLED, 0 },
        { "{\"jobs\":[{\"job_id\":7,\"name\":\"me\",\"state\":{\"current\":[\"COMPLETED\"]},\"restart_cnt\":3,"
          "\"het\":{\"job_id\":0,\"job_offset\":{\"set\":false,\"number\":0}}}]}", /* sacct 23.11 */
          WK_APP_SUCCEEDED, 3 },
    };
    wk__slurm_answer a;
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        reads(wk__slurm_read_json(cases[i].text, 7, NULL, &a), &a, cases[i].state, 7, cases[i].restarts);
        reads(wk__slurm_read_json(cases[i].text, 0, "me", &a), &a, cases[i].state, 7, cases[i].restarts);
        cr_expect_not(wk__slurm_read_json(cases[i].text, 9, "nobody", &a));
    }
    static const char *const broken[] = { "",
                                          "{",
                                          "[]",
                                          "{\"jobs\":3}",
                                          "{\"jobs\":[1,null,{\"job_id\":7}]}",
                                          "{\"jobs\":[{\"job_id\":7,\"job_state\":[]}]}" };
    for (size_t i = 0; i < WK_COUNT(broken); i++) cr_expect_not(wk__slurm_read_json(broken[i], 7, NULL, &a));
    cr_assert(wk__slurm_read_json(cases[2].text, 7, NULL, &a));
    cr_assert_str_eq(a.reason, "Priority");
}

Test(slurm_query, lines_of_old_versions) {
    static const char scontrol[] = /* 20.11: no --json */
        "JobId=6 JobName=x UserId=root(0) JobState=RUNNING Reason=None Restarts=0\n"
        "JobId=7 JobName=me UserId=root(0) JobState=NODE_FAIL Reason=NodeDown Dependency=(null) Requeue=1 Restarts=2 "
        "Comment=JobState=RUNNING\n"
        "JobId=11 HetJobId=10 HetJobOffset=1 JobName=het JobState=RUNNING Reason=None Restarts=0\n"
        "JobId=10 HetJobId=10 HetJobOffset=0 JobName=het JobState=PENDING Reason=Resources Restarts=0\n";
    static const char sacct[] = "6|x|RUNNING\n7|me|CANCELLED by 0\n7.batch|batch|CANCELLED\n7.0|bash|FAILED\n"
                                "10+0|het|COMPLETED\n10+1|het|OUT_OF_MEMORY\n";
    wk__slurm_answer a;
    reads(wk__slurm_read_scontrol(scontrol, 7, NULL, &a), &a, WK_APP_FAILED, 7, 2);
    cr_expect_str_eq(a.word, "NODE_FAIL");
    reads(wk__slurm_read_scontrol(scontrol, 0, "het", &a), &a, WK_APP_RUNNING, 10, 0);
    cr_expect_not(wk__slurm_read_scontrol("slurm_load_jobs error: Invalid job id specified\n", 7, NULL, &a));
    reads(wk__slurm_read_sacct(sacct, 7, NULL, &a), &a, WK_APP_CANCELLED, 7, 0);
    reads(wk__slurm_read_sacct(sacct, 0, "het", &a), &a, WK_APP_FAILED, 10, 0);
    cr_expect_not(wk__slurm_read_sacct("Slurm accounting storage is disabled\n", 7, NULL, &a));
    cr_expect_eq(wk__slurm_state("NEVER_HEARD_OF"), WK_APP_UNKNOWN);
    cr_expect_eq(wk__slurm_state("PREEMPTED"), WK_APP_FAILED);
    cr_expect_eq(wk__slurm_state("CONFIGURING"), WK_APP_PENDING);
    int major = 0;
    int minor = 0;
    cr_expect(wk__slurm_read_version("slurm 24.11.5\n", &major, &minor));
    cr_expect_eq(major * 100 + minor, 2411);
    cr_expect(wk__slurm_read_version("slurm-wlm 22.05.8\n", &major, &minor));
    cr_expect_eq(major, 22);
    cr_expect_not(wk__slurm_read_version("sinfo: error\n", &major, &minor));
}
