/* Ranks that meet over TCP on two hosts: network namespaces of this machine (tests/launcher/hosts.sh).  Where the
 * kernel refuses namespaces the tests are skipped, and say so. */
#include "support/program.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOSTS  WICK_SOURCE_DIR "/tests/launcher/hosts.sh"
#define WORKER WICK_BUILD_DIR "/bin/tests/dist_worker"

static char folder[400], file[500], prefix[8], host[2][16];

static int do_with_hosts(char *word, char *a, char *b, char *c) {
    char *err = NULL;
    int code = run_program(folder, (char *[]){ HOSTS, word, a, b, c, NULL }, NULL, 30, &err);
    if (code) (void)fprintf(stderr, "%s %s: %s", HOSTS, word, err);
    free(err);
    return code;
}

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("tcp-hosts"));
    (void)snprintf(file, sizeof file, "%s/state", folder);
    (void)snprintf(prefix, sizeof prefix, "t%d", (int)(getpid() % 100000));
    for (int i = 0; i < 2; i++) (void)snprintf(host[i], sizeof host[i], "%s%d", prefix, i + 1);
    if (do_with_hosts("up", folder, prefix, "2") == 0) return;
    (void)fprintf(stderr, "SKIPPED, LOUDLY: no network namespaces here, so ranks on two hosts are not tested\n");
    (void)do_with_hosts("down", folder, prefix, "2");
    cr_skip_test("the kernel refuses network namespaces");
}

static void tear_down(void) {
    (void)do_with_hosts("kill", prefix, "1", NULL);
    (void)do_with_hosts("kill", prefix, "2", NULL);
    (void)do_with_hosts("down", folder, prefix, "2");
    remove_folder(folder);
}
TestSuite(tcp_hosts, .init = set_up, .fini = tear_down, .timeout = 100);

/* The agent of each host, with two ranks of a scenario. */
static void start_agents(program agents[2], char *scenario, char *extra) {
    char endpoint[64];
    char temporary[500]; /* an agent that is killed leaves its files */
    char *environment[] = { "OMP_NUM_THREADS=1", "WICK_DIST_TIMEOUT=20", "WICK_LOG=info", temporary, NULL };
    (void)snprintf(temporary, sizeof temporary, "TMPDIR=%s", folder);
    (void)snprintf(endpoint, sizeof endpoint, "--rdzv-endpoint=%s:29500", host[0]);
    for (int i = 1; i >= 0; i--)
        agents[i] =
            start(folder,
                  (char *[]){ HOSTS, "on", folder, host[i], WICK_PROGRAM, "agent", "--nnodes=2", "--nproc-per-node=2",
                              "--rdzv-id=hosts", "--rdzv-conf=heartbeat_timeout=30,join_timeout=30", "--grace=15",
                              endpoint, WORKER, scenario, file, extra, NULL },
                  environment);
}

static void expect_text(const program *p, const char *part) {
    char *err = read_bytes(p->err, NULL);
    cr_expect_not_null(strstr(err, part), "expected \"%s\" in:\n%s", part, err);
    free(err);
}

static void expect_success(char *scenario, char *extra) {
    program agents[2];
    start_agents(agents, scenario, extra);
    for (int i = 0; i < 2; i++) {
        int code = finish(&agents[i], 60);
        char *err = read_bytes(agents[i].err, NULL);
        cr_expect_eq(code, 0, "%s on host %d: exit code %d\n%s", scenario, i + 1, code, err);
        free(err);
    }
}

Test(tcp_hosts, collectives_of_two_hosts) {
    expect_success("moves", NULL);
    expect_success("sums", "hierarchical");
}

Test(tcp_hosts, training_on_two_hosts) {
    char first[600], other[600];
    expect_success("train", NULL);
    (void)snprintf(first, sizeof first, "%s.0", file);
    for (int rank = 1; rank < 4; rank++) {
        (void)snprintf(other, sizeof other, "%s.%d", file, rank);
        cr_expect(same_bytes(first, other), "the replicas 0 and %d differ", rank);
    }
}

/* Each rank leaves its number when it has begun. */
static void wait_for_ranks(void) {
    char path[600];
    for (int rank = 0; rank < 4; rank++) {
        (void)snprintf(path, sizeof path, "%s.pid.%d", file, rank);
        cr_assert(wait_for_text(path, "\n", 30), "rank %d did not start", rank);
    }
    pause_seconds(0.3);
}

/* Nobody says a word more, and no connection is closed: the ranks of both halves notice it by themselves.  The agents
 * are patient here, so that the ranks are first. */
Test(tcp_hosts, cut_cable_is_noticed_by_the_ranks) {
    program agents[2];
    start_agents(agents, "loop", NULL);
    wait_for_ranks();
    cr_assert_eq(do_with_hosts("cut", prefix, "2", NULL), 0);
    for (int i = 0; i < 2; i++) {
        char part[100];
        cr_expect(wait_for_text(agents[i].err, " of 4 ends the job: all_reduce ", 30),
                  "the ranks of host %d did not notice", i + 1);
        (void)snprintf(part, sizeof part, " on %s", host[!i]);
        expect_text(&agents[i], part);
    }
}
