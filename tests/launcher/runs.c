#include "launcher/harness.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(runs, .init = state_begin, .fini = state_end);

/* Words of a script that find it again in /proc and nobody else's. */
static const char *mark(const char *script) {
    static char text[4096];
    (void)snprintf(text, sizeof text, "MARK='%s'; %s", state_dir(), script);
    return text;
}

static void succeeds(const char *scheduler) {
    outcome o = WICK(
        "run", "utils.sh", "-s", scheduler, "-j", "2", "--wait", "--log", "--",
        "echo rank $RANK of $WORLD_SIZE local $LOCAL_RANK/$LOCAL_WORLD_SIZE group $GROUP_RANK role "
        "$ROLE_NAME:$ROLE_RANK/$ROLE_WORLD_SIZE omp ${OMP_NUM_THREADS:-unset} restart $TORCHELASTIC_RESTART_COUNT app "
        "$WICK_APP_ID; test \"$TORCHELASTIC_RUN_ID\" = \"$WICK_APP_ID\"; test \"$MASTER_PORT\" -gt 0; read x || echo "
        "eof");
    const char *handle = handle_of(&o);
    char line[512];
    cr_assert_eq(strncmp(handle, scheduler, strlen(scheduler)), 0);
    for (int rank = 0; rank < 2; rank++) {
        (void)snprintf(line, sizeof line, "sh/%d rank %d of 2 local %d/2 group 0 role sh:%d/2 omp ", rank, rank, rank,
                       rank);
        assert_contains(o.err, line);
        (void)snprintf(line, sizeof line, "sh/%d eof\n", rank);
        assert_contains(o.err, line);
    }
    (void)snprintf(line, sizeof line, "restart 0 app %s\n", strrchr(handle, '/') + 1);
    assert_contains(o.err, line);
    assert_contains(o.err, ": SUCCEEDED\n");
    cr_assert_null(strstr(o.err, "omp unset"));
    outcome status = WICK("status", handle);
    cr_assert_str_eq(status.out, "AppStatus:\n    State: SUCCEEDED\n    Num Restarts: 0\n    Roles: \n"
                                 " *sh[0]:SUCCEEDED\n  sh[1]:SUCCEEDED\n    Msg: \n    Structured Error Msg: <NONE>\n"
                                 "    UI URL: None\n");
    forget(&status);
    forget(&o);
}

Test(runs, local_succeeds) {
    succeeds("local");
}

Test(runs, mpi_succeeds) {
    succeeds("mpi");
}

/* mpirun's world has the size that it began with; who asks for fewer is told once. */
Test(runs, elastic_roles_are_told_what_is_not_done) {
    const char *file = write_file("app.yaml", "version: 1\nname: e\nroles:\n"
                                              "  - {name: a, entrypoint: 'true', num_replicas: 3, min_replicas: 1}\n"
                                              "  - {name: b, entrypoint: 'true', num_replicas: 3, min_replicas: 2}\n"
                                              "  - {name: c, entrypoint: 'true', num_replicas: 2, min_replicas: 2}\n");
    outcome o = WICK("run", file, "-s", "mpi", "--wait");
    cr_expect_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "mpi ignores min_replicas: it starts all replicas or none; to go on with fewer run");
    cr_expect_null(strstr(strstr(o.err, "min_replicas") + 1, "min_replicas"), "%s", o.err);
    forget(&o);
}

Test(runs, two_roles_of_one_mpirun) {
    const char *file = write_file(
        "app.yaml",
        "version: 1\nname: pair\nroles:\n"
        "  - {name: a, entrypoint: sh, args: [-c, 'echo $ROLE_NAME $RANK/$WORLD_SIZE $LOCAL_RANK'], num_replicas: 2}\n"
        "  - {name: b, entrypoint: sh, args: [-c, 'echo $ROLE_NAME $RANK/$WORLD_SIZE $LOCAL_RANK "
        "${OMPI_COMM_WORLD_SIZE}']}\n");
    outcome o = WICK("run", file, "-s", "mpi", "--wait", "--log");
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "a/0 a 0/2 0\n");
    assert_contains(o.err, "a/1 a 1/2 1\n");
    assert_contains(o.err, "b/0 b 0/1 0 3\n");
    forget(&o);
}

/* Rank 1 ends itself with SIGKILL: rank 0 ends long before it would, and it is said who, how, where, and what it said
 * last. */
static void killed_rank(const char *scheduler) {
    outcome o = WICK("run", "utils.sh", "-s", scheduler, "-j", "2", "--wait", "--",
                     mark("if [ $RANK = 1 ]; then sleep 0.2; echo last words >&2; kill -9 $$; fi; sleep 50 & wait"));
    char expected[PATH_MAX];
    cr_assert_eq(o.code, 1);
    cr_assert_lt(o.seconds, 25.0);
    o.out[strcspn(o.out, "\n")] = '\0';
    const char *id = strrchr(o.out, '/') + 1;
    assert_contains(o.err, "FAILED: sh/1 (rank 1) was killed by SIGKILL on host ");
    (void)snprintf(expected, sizeof expected, "; last line of stderr: last words; log: %s/apps/%s/sh/1/stderr.log\n",
                   state_dir(), id);
    assert_contains(o.err, expected);
    outcome status = WICK("status", o.out);
    assert_contains(status.out, " *sh[0]:CANCELLED (signal: SIGTERM)\n  sh[1]:FAILED (signal: SIGKILL)\n");
    assert_contains(status.out, "        error_msg: last words\n");
    forget(&status);
    status = WICK("status", "--json", o.out);
    assert_contains(status.out, "\"signal\": \"SIGKILL\"");
    assert_contains(status.out, "\"state\": \"FAILED\"");
    forget(&status);
    cr_assert(vanishes(state_dir(), 15));
    forget(&o);
}

Test(runs, local_killed_rank) {
    killed_rank("local");
}

Test(runs, mpi_killed_rank) {
    killed_rank("mpi");
}

static bool both_run(const char *handle, double seconds) {
    bool both = false;
    for (double end = wk_now() + seconds; !both && wk_now() < end; pause_for(0.05)) {
        outcome status = WICK("status", handle);
        both = strstr(status.out, "sh[0]:RUNNING") && strstr(status.out, "sh[1]:RUNNING");
        forget(&status);
    }
    return both;
}

Test(runs, wrapper_killed) {
    for (int turn = 0; turn < 2; turn++) {
        outcome o = WICK("run", "utils.sh", "-s", turn ? "mpi" : "local", "-j", "2", "--", mark("sleep 50 & wait"));
        const char *handle = handle_of(&o);
        cr_assert(both_run(handle, 10));
        (void)kill(find_process("wick __rank", state_dir()), SIGKILL);
        cr_assert(becomes(handle, "FAILED", 10));
        outcome status = WICK("status", handle);
        assert_contains(status.out, "ended without a word (its wrapper was killed) on host ");
        assert_contains(status.out, ":FAILED (no reply file)");
        cr_assert(vanishes(state_dir(), 5));
        forget(&status);
        forget(&o);
    }
}

/* Children that ignore SIGTERM or left the session are found too. */
#define STUBBORN                                                                                                      \
    "trap '' TERM; (setsid sh -c \"M='$MARK'; trap '' TERM; while :; do sleep 0.2; done\") & while :; do sleep 0.2; " \
    "done"

static void killed_supervisor(const char *scheduler) {
    outcome o = WICK("run", "utils.sh", "-s", scheduler, "-cfg", "grace=0.5", "-j", "2", "--", mark(STUBBORN));
    const char *handle = handle_of(&o);
    char *id = strrchr(handle, '/') + 1;
    cr_assert(becomes(handle, "RUNNING", 20));
    pause_for(0.5);
    pid_t supervisor = find_process("wick __supervise", id);
    double start = wk_now();
    (void)kill(supervisor, SIGKILL);
    cr_assert(becomes(handle, "FAILED", 5));
    outcome status = WICK("status", handle);
    assert_contains(status.out, "State: FAILED");
    assert_contains(status.out, "Msg: its supervisor is gone (killed, or the machine was restarted)");
    cr_assert(vanishes(state_dir(), 15));
    cr_assert_lt(wk_now() - start, 15.0);
    outcome list = WICK("list");
    assert_contains(list.out, "FAILED");
    forget(&list);
    forget(&status);
    forget(&o);
}

Test(runs, local_killed_supervisor) {
    killed_supervisor("local");
}

Test(runs, mpi_killed_supervisor) {
    killed_supervisor("mpi");
}

Test(runs, killed_mpirun) {
    outcome o = WICK("run", "utils.sh", "-s", "mpi", "-cfg", "grace=0.5", "-j", "2", "--", mark(STUBBORN));
    const char *handle = handle_of(&o);
    cr_assert(becomes(handle, "RUNNING", 20));
    pause_for(0.5);
    (void)kill(find_process("mpirun", strrchr(handle, '/') + 1), SIGKILL);
    cr_assert(becomes(handle, "FAILED", 10));
    outcome status = WICK("status", handle);
    assert_contains(status.out, "Msg: mpirun was killed by SIGKILL");
    cr_assert(vanishes(state_dir(), 5));
    forget(&status);
    forget(&o);
}

static void cancelled(const char *scheduler) {
    outcome o = WICK("run", "utils.sh", "-s", scheduler, "-cfg", "grace=0.5", "-j", "2", "--", mark(STUBBORN));
    const char *handle = handle_of(&o);
    cr_assert(becomes(handle, "RUNNING", 20));
    pause_for(0.3);
    outcome cancel = WICK("cancel", handle);
    cr_assert_eq(cancel.code, 0);
    assert_contains(cancel.err, ": CANCELLED\n");
    cr_assert_lt(cancel.seconds, 25.0);
    cr_assert(vanishes(state_dir(), 15));
    cr_assert_str_eq(state_of(handle), "CANCELLED");
    forget(&cancel);
    cancel = WICK("cancel", handle); /* of an ended app: no effect */
    cr_assert_eq(cancel.code, 0);
    forget(&cancel);
    forget(&o);
}

Test(runs, local_cancelled) {
    cancelled("local");
}

Test(runs, mpi_cancelled) {
    cancelled("mpi");
}

Test(runs, grace_lets_a_program_finish) {
    outcome o = WICK("run", "utils.sh", "-s", "mpi", "-j", "2", "--",
                     mark("trap 'sleep 1.5; echo saved; exit 3' TERM; echo ready; while :; do sleep 0.05; done"));
    const char *handle = handle_of(&o);
    char *log = NULL;
    for (double end = wk_now() + 20; wk_now() < end && !(log && *log); pause_for(0.05)) {
        wk_free(log);
        log = app_file(handle, "sh/1/stdout.log");
    }
    cr_assert(log && *log);
    wk_free(log);
    outcome cancel = WICK("cancel", handle);
    forget(&cancel);
    log = app_file(handle, "sh/1/stdout.log");
    cr_assert_str_eq(log, "ready\nsaved\n");
    wk_free(log);
    forget(&o);
}

Test(runs, retries_restart_the_whole_app) {
    outcome o = WICK("run", "utils.sh", "-s", "mpi", "-j", "2", "--max_retries", "2", "--wait", "--",
                     "echo attempt $TORCHELASTIC_RESTART_COUNT of $TORCHELASTIC_MAX_RESTARTS; "
                     "if [ $RANK = 1 ] && [ $TORCHELASTIC_RESTART_COUNT -lt 2 ]; then exit 5; fi; sleep 0.1");
    const char *handle = handle_of(&o);
    outcome status = WICK("status", handle);
    assert_contains(status.out, "State: SUCCEEDED\n    Num Restarts: 2\n");
    const char *const files[] = { "sh/1/stdout.0.log", "sh/1/stdout.1.log", "sh/1/stdout.log" };
    for (int i = 0; i < 3; i++) {
        char expected[32];
        char *log = app_file(handle, files[i]);
        (void)snprintf(expected, sizeof expected, "attempt %d of 2\n", i);
        cr_assert_str_eq(log, expected);
        wk_free(log);
    }
    forget(&status);
    forget(&o);
}

Test(runs, log_shows_every_attempt) {
    outcome o = WICK("run", "utils.sh", "--max_retries", "3", "--wait", "--log", "--",
                     "echo attempt $TORCHELASTIC_RESTART_COUNT; test $TORCHELASTIC_RESTART_COUNT = 3");
    const char *handle = handle_of(&o);
    const char *const expected = "sh/0 attempt 0\nsh/0 attempt 1\nsh/0 attempt 2\nsh/0 attempt 3\n";
    assert_contains(o.err, expected);
    outcome log = WICK("log", handle);
    cr_assert_str_eq(log.out, expected);
    forget(&log);
    forget(&o);
}

Test(runs, retries_end) {
    outcome o = WICK("run", "utils.sh", "--max_retries", "1", "--wait", "--", "echo no >&2; exit 5");
    cr_assert_eq(o.code, 1);
    assert_contains(o.err, "FAILED: sh/0 (rank 0) ended with exit code 5 on host ");
    o.out[strcspn(o.out, "\n")] = '\0';
    outcome status = WICK("status", o.out);
    assert_contains(status.out, "Num Restarts: 1\n");
    forget(&status);
    forget(&o);
}

Test(runs, program_not_found) {
    for (int turn = 0; turn < 2; turn++) {
        const char *file =
            write_file("app.yaml", "version: 1\nname: j\nroles: [{name: t, entrypoint: no-such-thing}]\n");
        outcome o = WICK("run", file, "-s", turn ? "mpi" : "local", "--wait");
        cr_assert_eq(o.code, 1);
        assert_contains(o.err, "t/0 (rank 0) did not start: cannot run \"no-such-thing\": no such program in PATH");
        forget(&o);
    }
}

Test(runs, structured_error_file) {
    outcome o = WICK("run", "utils.sh", "--wait", "--",
                     "printf '{\"message\": {\"message\": \"ValueError: boom\", \"errorCode\": 7}}' > "
                     "$TORCHELASTIC_ERROR_FILE; exit 7");
    cr_assert_eq(o.code, 1);
    assert_contains(o.err, "; error: ValueError: boom;");
    o.out[strcspn(o.out, "\n")] = '\0';
    outcome status = WICK("status", o.out);
    assert_contains(status.out, " *sh[0]:FAILED (exitcode: 7)\n");
    assert_contains(status.out, "        error_msg: ValueError: boom\n");
    assert_contains(status.out, "    Structured Error Msg: {\"message\": {\"message\": \"ValueError: boom\"");
    forget(&status);
    forget(&o);
}

Test(runs, json_is_utf8_whatever_a_program_writes) {
    outcome o = WICK("run", "utils.sh", "--wait", "--", "printf 'caf\\303\\251 \\377\\376 end' >&2; exit 1");
    cr_assert_eq(o.code, 1);
    o.out[strcspn(o.out, "\n")] = '\0';
    outcome status = WICK("status", "--json", o.out);
    cr_assert_eq(status.code, 0);
    assert_contains(status.out, "\"last_line\": \"caf\xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd end\"");
    assert_contains(status.out, "\"msg\": \"sh/0 (rank 0) ended with exit code 1");
    forget(&status);
    forget(&o);
}

/* Arguments and variables reach the program byte for byte. */
static void hostile(const char *scheduler) {
    static const char text[] =
        "version: 1\nname: j\nroles:\n  - name: t\n    entrypoint: sh\n    args:\n      - -c\n"
        "      - 'for a in \"$@\" \"$V\"; do printf \"%s|\" \"$a\"; done'\n      - sh\n"
        "      - \"\"\n      - \"a b\"\n      - \"$(touch /tmp/x)`id`;&|<>*?[]{}~#!\"\n      - \"quote ' and \\\" \\\\ "
        "end\"\n"
        "      - \"line\\nbreak\\ttab\\x01\"\n      - \"--mca\"\n      - \":\"\n      - \"-n\"\n      - \"h\xc3\xa9\"\n"
        "      - \"$${app_id} %s,%d=\"\n    env: {V: \"x=1,y;'\\\"\\n$HOME\"}\n";
    const char *file = write_file("app.yaml", text);
    outcome o = WICK("run", file, "-s", scheduler, "--wait");
    const char *handle = handle_of(&o);
    char *log = app_file(handle, "t/0/stdout.log");
    cr_assert_str_eq(
        log, "|a b|$(touch /tmp/x)`id`;&|<>*?[]{}~#!|quote ' and \" \\ end|line\nbreak\ttab\x01|--mca|:|-n|h\xc3\xa9|"
             "${app_id} %s,%d=|x=1,y;'\"\n$HOME|");
    wk_free(log);
    forget(&o);
    o = WICK("run", "utils.echo", "-s", scheduler, "--wait", "--msg=\xff\xfe not UTF-8 \x80");
    handle = handle_of(&o);
    log = app_file(handle, "echo/0/stdout.log");
    cr_assert_str_eq(log, "\xff\xfe not UTF-8 \x80\n");
    wk_free(log);
    forget(&o);
}

Test(runs, local_hostile_strings) {
    hostile("local");
}

Test(runs, mpi_hostile_strings) {
    hostile("mpi");
}

/* A log followed from another process: every line whole, from both streams, until the app ends. */
Test(runs, log_follows_to_the_end) {
    outcome o = WICK(
        "run", "utils.sh", "-j", "2", "--",
        "i=0; while [ $i -lt 40 ]; do echo line $i; echo error $i >&2; i=$((i+1)); sleep 0.01; done; printf unended");
    const char *handle = handle_of(&o);
    outcome log = WICK("log", "-f", handle);
    cr_assert_eq(log.code, 0);
    for (int rank = 0; rank < 2; rank++)
        for (int i = 0; i < 40; i++) {
            char line[64];
            (void)snprintf(line, sizeof line, "sh/%d line %d\n", rank, i);
            assert_contains(log.out, line);
            (void)snprintf(line, sizeof line, "sh/%d error %d\n", rank, i);
            assert_contains(log.out, line);
        }
    assert_contains(log.out, "sh/1 unended\n");
    size_t lines = 0;
    for (const char *at = log.out; (at = strchr(at, '\n')); at++) lines++;
    cr_assert_eq(lines, 162);
    cr_assert(wk_app_state_is_terminal(strcmp(state_of(handle), "SUCCEEDED") == 0 ? WK_APP_SUCCEEDED : WK_APP_RUNNING));
    forget(&log);
    char word[256];
    (void)snprintf(word, sizeof word, "%s/sh/1", handle);
    log = WICK("log", word);
    cr_assert_null(strstr(log.out, "sh/0"));
    assert_contains(log.out, "sh/1 line 39\n");
    forget(&log);
    (void)snprintf(word, sizeof word, "%s/sh/7", handle);
    log = WICK("log", word);
    cr_assert_eq(log.code, 1);
    cr_assert_str_eq(log.err, "wick: the app has no replica sh/7\n");
    forget(&log);
    forget(&o);
}

/* The client may go at once, and a pipe on its stdout sees its end although the app runs. */
Test(runs, run_returns_when_submitted) {
    outcome o = WICK("run", "utils.sh", "--", mark("sleep 50 & wait"));
    const char *handle = handle_of(&o);
    cr_assert_lt(o.seconds, 25.0);
    cr_assert(becomes(handle, "RUNNING", 20));
    outcome list = WICK("list", "--json");
    assert_contains(list.out, handle);
    assert_contains(list.out, "\"state\": \"RUNNING\"");
    forget(&list);
    forget(&o);
}

Test(runs, interrupt_leaves_the_app_running) {
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    pid_t client = fork();
    if (client == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)execl(WICK_BINARY, WICK_BINARY, "run", "utils.sh", "--wait", "--", mark("sleep 50 & wait"), (char *)NULL);
        _exit(126);
    }
    (void)close(ends[1]);
    char handle[256] = "";
    ssize_t got = read(ends[0], handle, sizeof handle - 1);
    cr_assert_gt(got, 0);
    handle[strcspn(handle, "\n")] = '\0';
    cr_assert(becomes(handle, "RUNNING", 20));
    (void)kill(client, SIGINT);
    int how = 0;
    (void)waitpid(client, &how, 0);
    cr_assert_eq(WEXITSTATUS(how), 130);
    cr_assert_str_eq(state_of(handle), "RUNNING");
    (void)close(ends[0]);
}

/* A client that stands on a rank of another mpirun starts a world of its own. */
Test(runs, mpi_within_mpi) {
    (void)setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    (void)setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    outcome o = run_program((const char *const[]){ "mpirun", "-n", "1", WICK_BINARY, "run", "utils.sh", "-s", "mpi",
                                                   "-j", "2", "--wait", "--", "test $OMPI_COMM_WORLD_SIZE = 2", NULL });
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "SUCCEEDED");
    forget(&o);
}

Test(runs, mpirun_that_cannot_place_the_ranks) {
    outcome o = WICK("run", "utils.echo", "-s", "mpi", "-j", "64", "-cfg", "oversubscribe=no", "--wait");
    cr_assert_eq(o.code, 1);
    assert_contains(o.err,
                    "FAILED: mpirun ended with exit code 1 before all replicas had started: There are not enough "
                    "slots available");
    forget(&o);
}

/* Many at once share one store. */
Test(runs, eight_clients_at_once) {
    outcome o = run_program((const char *const[]){
        "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do " WICK_BINARY " run utils.echo --msg $i & done; wait", NULL });
    size_t lines = 0;
    for (const char *at = o.out; (at = strchr(at, '\n')); at++) lines++;
    cr_assert_eq(lines, 8, "%s", o.err);
    cr_assert_str_eq(o.err, "");
    forget(&o);
}

Test(runs, library_calls) {
    char *words[] = { "--msg", "hello" };
    wk_appdef *app = wk_component_build("utils.echo", 2, words);
    wk_handle handle;
    wk_app_state state = WK_APP_UNKNOWN;
    cr_assert_eq(wk_app_run(app, "local", "grace=1", &handle), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_app_wait(&handle, 10, &state), WK_OK, "%s", wk_message());
    cr_assert_eq(state, WK_APP_SUCCEEDED);
    wk_app_status *status = wk_app_describe(&handle);
    cr_assert_eq(status->roles[0].replicas[0].exit_code, 0);
    wk_app_status_free(status);
    wk_appdef_free(app);
}

/* Of eight GPUs two replicas with two each and one with three get the first seven; too few are said, and nobody gets
 * any. */
Test(runs, gpus_are_split) {
    static const char yaml[] =
        "version: 1\nname: j\nroles:\n"
        "  - {name: a, entrypoint: sh, args: [-c, 'echo has $CUDA_VISIBLE_DEVICES'], num_replicas: 2, "
        "resource: {gpu: 2}}\n"
        "  - {name: b, entrypoint: sh, args: [-c, 'echo has $CUDA_VISIBLE_DEVICES'], resource: {gpu: 3}}\n"
        "  - {name: c, entrypoint: sh, args: [-c, 'echo has $CUDA_VISIBLE_DEVICES'], resource: {gpu: 1}, "
        "env: {CUDA_VISIBLE_DEVICES: mine}}\n";
    const char *file = write_file("app.yaml", yaml);
    static const char *const schedulers[] = { "local", "mpi" };
    for (int i = 0; i < 2; i++) {
        (void)setenv("CUDA_VISIBLE_DEVICES", "8,9,10,11,GPU-x,5,6,7", 1);
        outcome o = WICK("run", file, "-s", schedulers[i], "--wait", "--log");
        cr_expect_eq(o.code, 0, "%s", o.err);
        assert_contains(o.err, "a/0 has 8,9\n");
        assert_contains(o.err, "a/1 has 10,11\n");
        assert_contains(o.err, "b/0 has GPU-x,5,6\n");
        assert_contains(o.err, "c/0 has mine\n");
        forget(&o);
        (void)setenv("CUDA_VISIBLE_DEVICES", "0,1", 1);
        o = WICK("run", file, "-s", schedulers[i], "--wait", "--log");
        char line[160];
        (void)snprintf(line, sizeof line,
                       "wick warning: %s: 8 GPUs are asked for and this machine has 2: CUDA_VISIBLE_DEVICES is "
                       "left as it is\n",
                       schedulers[i]);
        assert_contains(o.err, line);
        assert_contains(o.err, "a/0 has 0,1\n");
        forget(&o);
    }
    outcome o = WICK("run", file, "-s", "local", "-cfg", "auto_set_cuda_visible_devices=no", "--dryrun");
    cr_expect_null(strstr(o.out, "CUDA_VISIBLE_DEVICES=0"));
    forget(&o);
    (void)unsetenv("CUDA_VISIBLE_DEVICES");
}

/* What a program that was written for TorchX looks for; what the role sets stays. */
Test(runs, environment_of_torchx) {
    outcome o =
        WICK("run", "--wait", "--log", "utils.sh", "--env", "PYTHONUNBUFFERED=0", "--",
             "echo $TORCHX_RANK0_HOST ${PET_LOG_DIR#$WICK_STATE_DIR/apps/$WICK_APP_ID} ${TORCHELASTIC_ERROR_FILE##*/} "
             "$PYTHONUNBUFFERED ${TORCHX_JOB_ID%/*}");
    cr_expect_eq(o.code, 0);
    assert_contains(o.err, "sh/0 localhost /torchelastic/sh error.json 0 local://wick\n");
    forget(&o);
}

/* The store of a network file system, a file an app: the same from start to end, also where a supervisor is killed. */
Test(runs, store_in_files) {
    (void)setenv("WICK_STATE_STORE", "files", 1);
    outcome o = WICK("run", "utils.sh", "--wait", "--", "exit 3");
    cr_expect_eq(o.code, 1);
    o.out[strcspn(o.out, "\n")] = '\0';
    cr_expect_str_eq(state_of(o.out), "FAILED");
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/wick.sqlite", state_dir());
    cr_expect_neq(access(path, F_OK), 0);
    (void)snprintf(path, sizeof path, "%s/store/%s.json", state_dir(), strrchr(o.out, '/') + 1);
    cr_expect_eq(access(path, R_OK), 0);
    outcome delete = WICK("delete", o.out);
    cr_expect_eq(delete.code, 0, "%s", delete.err);
    cr_expect_neq(access(path, F_OK), 0);
    forget(&delete);
    outcome status = WICK("status", o.out);
    assert_contains(status.err, "is known in");
    forget(&status);
    forget(&o);
    killed_supervisor("local");
    for (int i = 0; i < 3; i++) {
        o = WICK("run", "utils.echo", "--wait");
        forget(&o);
    }
    outcome list = WICK("list");
    size_t lines = 0;
    for (const char *at = list.out; (at = strstr(at, "SUCCEEDED")); at++) lines++;
    cr_expect_eq(lines, 3, "%s", list.out);
    forget(&list);
}
