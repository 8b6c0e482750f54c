/* The scheduler `mpi` on two hosts, network namespaces of this machine with an agent in place of ssh (hosts.sh).  Where
 * the kernel refuses namespaces the tests are skipped, and say so. */
#include "launcher/harness.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOSTS    WICK_SOURCE_DIR "/tests/launcher/hosts.sh"
#define RUN(...) run_program((const char *const[]){ HOSTS, __VA_ARGS__, NULL })

static char prefix[8];

static void hosts_begin(void) {
    state_begin();
    (void)snprintf(prefix, sizeof prefix, "w%d", (int)(getpid() % 100000));
    (void)setenv("WICK_TEST_HOSTS", state_dir(), 1);
    outcome o = RUN("up", state_dir(), prefix, "2");
    if (o.code != 0) {
        (void)fprintf(stderr, "SKIPPED, LOUDLY: no network namespaces here, so `mpi` is not tested on two hosts: %s",
                      o.err);
        outcome down = RUN("down", state_dir(), prefix, "2");
        forget(&down);
    }
    int code = o.code;
    forget(&o);
    if (code != 0) cr_skip_test("the kernel refuses network namespaces");
}

static void hosts_end(void) {
    state_end_apps();
    outcome o = RUN("kill", prefix, "1");
    forget(&o);
    o = RUN("kill", prefix, "2");
    forget(&o);
    o = RUN("down", state_dir(), prefix, "2");
    forget(&o);
    state_end_files();
}

TestSuite(hosts, .init = hosts_begin, .fini = hosts_end, .timeout = 100);

/* "hostfile=…,rsh=…,grace=1" */
static const char *options(void) {
    static char text[2048];
    char slots[64];
    (void)snprintf(slots, sizeof slots, "%s1 slots=1\n%s2 slots=1\n", prefix, prefix);
    (void)snprintf(text, sizeof text, "hostfile=%s,rsh=%s,grace=1", write_file("hostfile", slots), HOSTS);
    return text;
}

/* `wick` on the first host. */
static outcome wick_there(const char *const *words) {
    const char *argv[32] = { HOSTS, "on", state_dir(), NULL, WICK_BINARY };
    char host[16];
    (void)snprintf(host, sizeof host, "%s1", prefix);
    argv[3] = host;
    for (size_t i = 0; words[i] && i < 26; i++) argv[5 + i] = words[i];
    return run_program(argv);
}
#define THERE(...) wick_there((const char *const[]){ __VA_ARGS__, NULL })

/* Words of a script that find it again in /proc and nobody else's. */
static const char *mark(const char *script) {
    static char text[4096];
    (void)snprintf(text, sizeof text, "MARK='%s'; %s", state_dir(), script);
    return text;
}

#define SLEEP                                                                                                         \
    "trap '' TERM; (setsid sh -c \"M='$MARK'; trap '' TERM; while :; do sleep 0.2; done\") & while :; do sleep 0.2; " \
    "done"

static bool both_run(const char *handle) {
    bool both = false;
    for (double end = wk_now() + 15; !both && wk_now() < end; pause_for(0.1)) {
        outcome status = WICK("status", handle);
        both = strstr(status.out, "sh[0]:RUNNING") && strstr(status.out, "sh[1]:RUNNING");
        forget(&status);
    }
    return both;
}

Test(hosts, a_rank_on_each) {
    char line[128];
    outcome o =
        THERE("run", "-s", "mpi", "-cfg", options(), "--wait", "--log", "utils.sh", "-j", "2", "--",
              "echo on $(hostname) rank $RANK of $WORLD_SIZE local $LOCAL_RANK/$LOCAL_WORLD_SIZE group $GROUP_RANK "
              "master $MASTER_ADDR");
    cr_expect_eq(o.code, 0, "%s", o.err);
    for (int k = 0; k < 2; k++) {
        (void)snprintf(line, sizeof line, "sh/%d on %s%d rank %d of 2 local 0/1 group %d master %s1\n", k, prefix,
                       k + 1, k, k, prefix);
        assert_contains(o.err, line);
    }
    forget(&o);
    o = THERE("run", "-s", "mpi", "-cfg", options(), "--wait", "--log", "utils.compute_world_size", "-j", "2");
    cr_expect_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "compute_world_size/1 rank 1 of 2: computed world size 2\n");
    forget(&o);
}

/* The message names rank and host; the other host's rank ends too. */
Test(hosts, a_failure_names_rank_and_host) {
    char part[128];
    outcome o = THERE("run", "-s", "mpi", "-cfg", options(), "--wait", "utils.sh", "-j", "2", "--",
                      mark("if [ $RANK = 1 ]; then sleep 0.5; echo last words >&2; kill -9 $$; fi; sleep 50 & wait"));
    cr_expect_eq(o.code, 1);
    cr_expect_lt(o.seconds, 15.0);
    (void)snprintf(part, sizeof part, "sh/1 (rank 1) was killed by SIGKILL on host %s2 after ", prefix);
    assert_contains(o.err, part);
    assert_contains(o.err, "last line of stderr: last words");
    cr_expect(vanishes(state_dir(), 5));
    forget(&o);
}

/* How the app ends within `seconds` of something that befell the second host, and that nothing is left on either. */
static void ends_after(const char *what, double seconds) {
    outcome o = THERE("run", "-s", "mpi", "-cfg", options(), "utils.sh", "-j", "2", "--", mark(SLEEP));
    const char *handle = handle_of(&o);
    cr_assert(both_run(handle));
    pause_for(0.5);
    double begin = wk_now();
    outcome done = RUN(what, prefix, "2");
    cr_assert_eq(done.code, 0, "%s", done.err);
    forget(&done);
    cr_expect(becomes(handle, "FAILED", seconds), "%s", state_of(handle));
    cr_expect_lt(wk_now() - begin, seconds);
    outcome status = WICK("status", handle);
    char name[16];
    (void)snprintf(name, sizeof name, "%s2", prefix);
    assert_contains(status.out, name);
    cr_expect(vanishes(state_dir(), 15), "%d are left", count_processes(state_dir()));
    cr_expect_lt(wk_now() - begin, 15.0 + seconds);
    forget(&status);
    forget(&o);
}

/* A cable that is cut says nothing: Open MPI is told to ask, every second after two of silence. */
Test(hosts, a_cut_link_is_noticed) {
    ends_after("cut", 12);
}

Test(hosts, half_of_the_machine_dies) {
    ends_after("kill", 12);
}
