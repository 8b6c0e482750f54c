/* Roles with min_replicas: an app goes on while so many are left, and is over when they are not. */
#include "launcher/harness.h"

#include <string.h>

TestSuite(elastic, .init = state_begin, .fini = state_end);

/* Three agents, of which at least two; node 0 keeps the rendezvous.  What each rank does, `script` says. */
static const char *three_agents(const char *script) {
    char text[4096];
    (void)snprintf(
        text, sizeof text,
        "version: 1\nname: e\nroles:\n  - name: t\n    entrypoint: sh\n    num_replicas: 3\n    min_replicas: 2\n"
        "    args:\n      - -c\n      - >-\n        exec %s agent --nnodes=2:3 --rdzv-conf=is_host=$((RANK == 0)),"
        "last_call_timeout=0.5,rejoin_timeout=60 sh -c \"$SCRIPT\"\n    env:\n      SCRIPT: \"DIR=%s; %s\"\n",
        WICK_BINARY, state_dir(), script);
    return write_file("app.yaml", text);
}

/* Each round writes its world; in the first one the agent of replica 1 is killed for good. */
Test(elastic, agents_go_on_without_one_that_is_lost) {
    outcome o = WICK("run",
                     three_agents("echo $WICK_AGENT_ROUND of $WORLD_SIZE >>$DIR/worlds; "
                                  "while [ $WICK_AGENT_ROUND = 1 ]; do sleep 0.05; "
                                  "if [ $(grep -c '1 of 3' $DIR/worlds) = 3 ]; then "
                                  "case $WICK_REPLICA_DIR in */1) kill -9 $PPID;; esac; fi; done"),
                     "-s", "local", "--wait");
    cr_expect_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, ": SUCCEEDED: 2 of 3 replicas of t left (min_replicas 2): t/1 (rank 1) ended with exit code "
                           "137 on host ");
    cr_expect_null(strstr(o.err, "ignores min_replicas"), "%s", o.err);
    char *handle = o.out;
    handle[strcspn(handle, "\n")] = '\0';
    outcome status = WICK("status", handle);
    assert_contains(status.out, "State: SUCCEEDED\n    Num Restarts: 0\n");
    assert_contains(status.out, " *t[0]:SUCCEEDED\n  t[1]:FAILED (exitcode: 137)\n");
    assert_contains(status.out, "  t[2]:SUCCEEDED\n");
    forget(&status);
    char *worlds = app_file(handle, "../../worlds");
    cr_expect_str_eq(worlds, "1 of 3\n1 of 3\n1 of 3\n2 of 2\n2 of 2\n");
    wk_free(worlds);
    forget(&o);
}

Test(elastic, fewer_than_min_replicas_are_the_end) {
    outcome o = WICK("run",
                     three_agents("case $WICK_REPLICA_DIR.$WICK_AGENT_ROUND in */1.1|*/2.2) kill -9 $PPID;; esac; "
                                  "sleep 60"),
                     "--wait");
    cr_expect_eq(o.code, 1);
    cr_expect_lt(o.seconds, 30.0); /* the rendezvous alone would wait for a minute */
    assert_contains(o.err, ": FAILED: t/");
    assert_contains(o.err, " ended with exit code 137 on host ");
    assert_contains(o.err, "; 1 of 3 replicas of t were left, fewer than min_replicas 2\n");
    cr_expect(vanishes(state_dir(), 5));
    forget(&o);
}

/* While it goes on `wick status` says so; any program may be a replica, and one that has succeeded is none lost. */
Test(elastic, status_says_who_is_lost_while_the_others_run) {
    const char *file =
        write_file("app.yaml", "version: 1\nname: e\nroles:\n"
                               "  - {name: a, entrypoint: sh, args: [-c, 'test $RANK = 0 || exit 3'], num_replicas: 2, "
                               "min_replicas: 1}\n"
                               "  - {name: b, entrypoint: sleep, args: ['60']}\n");
    outcome o = WICK("run", file);
    const char *handle = handle_of(&o);
    bool said = false;
    for (double end = wk_now() + 20; !said && wk_now() < end; pause_for(0.05)) {
        outcome status = WICK("status", handle);
        said = strstr(status.out, "State: RUNNING") && strstr(status.out, "a[0]:SUCCEEDED")
               && strstr(status.out, "a[1]:FAILED (exitcode: 3)")
               && strstr(status.out, "Msg: 1 of 2 replicas of a left (min_replicas 1): a/1 (rank 1) ended with");
        forget(&status);
    }
    cr_expect(said);
    outcome cancelled = WICK("cancel", handle);
    cr_expect(becomes(handle, "CANCELLED", 15));
    forget(&cancelled);
    forget(&o);
}

/* A failed role that has no replica to spare ends all; the app then starts again, whole, with all of its replicas. */
Test(elastic, restarts_start_all_again) {
    const char *file = write_file(
        "app.yaml", "version: 1\nname: e\nroles:\n"
                    "  - {name: a, entrypoint: sh, args: [-c, 'test $RANK = 0 && sleep 0.5; "
                    "test $TORCHELASTIC_RESTART_COUNT = 1 && test $RANK != 2'], num_replicas: 3, min_replicas: 2, "
                    "max_retries: 1}\n");
    outcome o = WICK("run", file, "--wait");
    cr_expect_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err,
                    ": SUCCEEDED: 2 of 3 replicas of a left (min_replicas 2): a/2 (rank 2) ended with exit code 1");
    o.out[strcspn(o.out, "\n")] = '\0';
    outcome status = WICK("status", o.out);
    assert_contains(status.out, "Num Restarts: 1\n");
    forget(&status);
    forget(&o);
}

/* A wrapper that is killed itself may leave anything behind: then the gang ends, however many are left. */
Test(elastic, a_killed_wrapper_ends_the_gang) {
    const char *file = write_file(
        "app.yaml",
        "version: 1\nname: e\nroles:\n"
        "  - {name: a, entrypoint: sh, args: [-c, 'while ! ls $WICK_REPLICA_DIR/"
        "../0/status $WICK_REPLICA_DIR/../1/status $WICK_REPLICA_DIR/../2/status; "
        "do sleep 0.05; done; test $RANK = 1 && kill -9 $PPID; sleep 60'], num_replicas: 3, min_replicas: 1}\n");
    outcome o = WICK("run", file, "--wait");
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "FAILED: a/1 (rank 1) ended without a word (its wrapper was killed)");
    forget(&o);
}
