/* Ranks that meet over TCP: plain processes, connected by their environment alone. */
#include "dist/tcp/wire.h"
#include "support/program.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORKER WICK_BUILD_DIR "/bin/tests/dist_worker"

enum { MOST = 4, MOST_WISHES = 8 };

static char folder[400], file[500];
static int port;
static const char *wishes[MOST_WISHES + 1]; /* more of the environment, "KEY=value" */
static program p[MOST];

/* One that is free now. */
static int free_port(void) {
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("tcp"));
    (void)snprintf(file, sizeof file, "%s/state", folder);
    port = free_port();
    memset(wishes, 0, sizeof wishes);
}
static void tear_down(void) {
    remove_folder(folder);
}
TestSuite(tcp, .init = set_up, .fini = tear_down);

static void wish(const char *variable) {
    for (size_t i = 0; i < MOST_WISHES; i++) {
        if (wishes[i]) continue;
        wishes[i] = variable;
        return;
    }
    cr_assert_fail("too many wishes");
}

static program start_rank(int rank, int ranks, const char *scenario, const char *extra) {
    static char numbers[3][64];
    char run[64], *all[MOST_WISHES + 10];
    size_t count = 0;
    (void)snprintf(numbers[0], sizeof numbers[0], "RANK=%d", rank);
    (void)snprintf(numbers[1], sizeof numbers[1], "WORLD_SIZE=%d", ranks);
    (void)snprintf(numbers[2], sizeof numbers[2], "MASTER_PORT=%d", port);
    (void)snprintf(run, sizeof run, "TORCHELASTIC_RUN_ID=test-%d", port);
    for (size_t i = 0; i < 3; i++) all[count++] = numbers[i];
    all[count++] = run;
    all[count++] = "MASTER_ADDR=127.0.0.1";
    all[count++] = "OMP_NUM_THREADS=1";
    all[count++] = "WICK_DIST_TIMEOUT=45";
    for (size_t i = 0; wishes[i]; i++) all[count++] = (char *)(uintptr_t)wishes[i];
    all[count] = NULL;
    char *argv[] = { WORKER, (char *)(uintptr_t)scenario, file, (char *)(uintptr_t)extra, NULL };
    return start(folder, argv, all);
}

static void start_ranks(int ranks, const char *scenario, const char *extra) {
    for (int r = 0; r < ranks; r++) p[r] = start_rank(r, ranks, scenario, extra);
}

static void expect_codes(int ranks, const char *what) {
    for (int r = 0; r < ranks; r++) {
        int code = finish(&p[r], 60);
        char *err = read_bytes(p[r].err, NULL);
        cr_expect_eq(code, 0, "%s, rank %d of %d: exit code %d\n%s", what, r, ranks, code, err);
        free(err);
    }
}

static void expect_success(int ranks, const char *scenario, const char *extra) {
    start_ranks(ranks, scenario, extra);
    expect_codes(ranks, scenario);
}

/* The rank ends with an error, and says all of the words. */
static void expect_words(int rank, const char *first, const char *second) {
    int code = finish(&p[rank], 40);
    char *err = read_bytes(p[rank].err, NULL);
    cr_expect_neq(code, 0, "rank %d", rank);
    cr_expect_neq(code, -1, "rank %d did not end:\n%s", rank, err);
    cr_expect_not_null(strstr(err, first), "rank %d: expected \"%s\" in:\n%s", rank, first, err);
    cr_expect_not_null(strstr(err, second), "rank %d: expected \"%s\" in:\n%s", rank, second, err);
    free(err);
}

/* ---- collectives ---- */

Test(tcp, collectives) {
    for (int ranks = 1; ranks <= MOST; ranks++) {
        wishes[0] = ranks == 1 ? "WICK_TRANSPORT=tcp" : NULL;
        expect_success(ranks, "collectives", NULL);
    }
}

Test(tcp, every_collective_of_every_dtype) {
    for (int ranks = 2; ranks <= MOST; ranks++) expect_success(ranks, "moves", NULL);
}

Test(tcp, sums_in_shared_memory) {
    expect_success(2, "sums", "shared");
    expect_success(4, "sums", "shared");
}

Test(tcp, sums_by_messages) {
    wish("WICK_COMM=ring");
    expect_success(3, "sums", "ring");
    expect_success(4, "sums", "ring");
}

Test(tcp, sums_across_hosts) {
    wish("WICK_COMM_HOSTS=2");
    expect_success(4, "sums", "hierarchical");
    expect_success(3, "sums", "ring"); /* two ranks here, one there */
}

Test(tcp, half_types_and_a_shared_out_optimizer) {
    expect_success(2, "halves", NULL);
    expect_success(2, "fp16", NULL);
    expect_success(3, "zero", NULL);
}

Test(tcp, several_groups_of_a_process) {
    expect_success(3, "groups", NULL);
}

Test(tcp, over_ipv6) {
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
    bool has_six = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0) (void)close(fd);
    if (!has_six) cr_skip_test("this machine has no IPv6");
    wish("MASTER_ADDR=::1");
    expect_success(3, "collectives", NULL);
}

Test(tcp, ways_that_cannot_be_are_refused) {
    static const char *const cases[][2] = {
        { "WICK_COMM=rnig", "WICK_COMM is \"rnig\", expected ring, shared, hierarchical or mpi" },
        { "WICK_COMM=hierarchical", "needs several hosts with as many ranks each" },
        { "WICK_COMM=mpi", "WICK_COMM is mpi, but these ranks met over TCP" },
        { "WICK_COMM_HOSTS=two", "WICK_COMM_HOSTS is \"two\", expected a number of hosts" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wishes[0] = cases[i][0];
        start_ranks(2, "collectives", NULL);
        for (int r = 0; r < 2; r++) expect_words(r, cases[i][1], "");
    }
}

Test(tcp, ranks_out_of_step_are_told) {
    wish("WICK_COMM=ring");
    start_ranks(2, "disorder", NULL);
    expect_words(0, "wick: rank 0 of 2 ends the job: all_reduce ", "the same collectives with the same shapes");
    expect_words(1, "wick: rank 1 of 2 ends the job: all_reduce ", "");
}

/* ---- training ---- */

static void name_state(char *path, const char *what, int rank) {
    (void)snprintf(path, 600, "%s.%s%d", file, what, rank);
}

static void keep_states(int ranks, const char *as) {
    char from[600], to[600];
    for (int r = 0; r < ranks; r++) {
        name_state(from, "", r);
        name_state(to, as, r);
        cr_assert_eq(rename(from, to), 0);
    }
}

static void expect_same(const char *a, int rank_a, const char *b, int rank_b) {
    char x[600], y[600];
    name_state(x, a, rank_a);
    name_state(y, b, rank_b);
    cr_expect(same_bytes(x, y), "%s and %s differ", x, y);
}

/* The order of a sum in shared memory is that of the ranks, whatever carries the rest. */
Test(tcp, training_has_the_bits_of_mpi) {
    if (access(WICK_BUILD_DIR "/lib/wick_mpi.so", R_OK) != 0) cr_skip_test("built without MPI");
    char *mpirun[] = { "mpirun", "--oversubscribe", "--bind-to", "none", "-n", "2", WORKER, "train", file, NULL };
    char *environment[] = { "ASAN_OPTIONS=detect_leaks=0", "OMPI_ALLOW_RUN_AS_ROOT=1",
                            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", "OMP_NUM_THREADS=1", NULL };
    char *err;
    cr_assert_eq(run_program(folder, mpirun, environment, 60, &err), 0, "%s", err);
    free(err);
    keep_states(2, "mpi.");
    expect_success(2, "train", NULL);
    for (int r = 0; r < 2; r++) expect_same("mpi.", 0, "", r);
}

Test(tcp, training_by_messages_repeats_bit_for_bit) {
    wish("WICK_COMM=ring");
    expect_success(3, "train", NULL);
    keep_states(3, "first.");
    expect_success(3, "train", NULL);
    for (int r = 0; r < 3; r++) expect_same("first.", 0, "", r);
}

Test(tcp, training_across_hosts_and_with_branches) {
    wish("WICK_COMM_HOSTS=2");
    expect_success(4, "train", NULL);
    for (int r = 1; r < 4; r++) expect_same("", 0, "", r);
    expect_success(2, "branch", NULL);
    expect_same("", 0, "", 1);
    expect_success(2, "buffers", NULL);
    expect_success(2, "different", NULL);
}

/* The id of NCCL goes through this transport, too. */
Test(tcp, memory_of_devices) {
    if (access(WICK_BUILD_DIR "/lib/wick_cudaemu.so", R_OK) != 0) cr_skip_test("built without the emulated device");
    wish("WICK_TEST_DEVICE=cudaemu");
    expect_success(2, "collectives", NULL);
    expect_success(2, "train", NULL);
    expect_same("", 0, "", 1);
}

/* ---- meeting ---- */

Test(tcp, rank_0_may_be_late) {
    for (int r = 2; r >= 0; r--) {
        p[r] = start_rank(r, 3, "collectives", NULL);
        pause_seconds(0.3);
    }
    expect_codes(3, "rank 0 late");
}

Test(tcp, who_did_not_come_is_named) {
    wish("WICK_MEET_TIMEOUT=30");
    p[2] = start_rank(2, 4, "collectives", NULL);
    wishes[0] = "WICK_MEET_TIMEOUT=2";
    p[0] = start_rank(0, 4, "collectives", NULL);
    expect_words(0, "2 of 4 ranks did not come to rank 0 on ", "within 2 s (WICK_MEET_TIMEOUT): rank 1, 3");
    expect_words(2, "sends rank 2 away: process group: 2 of 4 ranks did not come", "rank 1, 3");
    wishes[0] = "WICK_MEET_TIMEOUT=1";
    p[1] = start_rank(1, 2, "collectives", NULL);
    expect_words(1, "rank 1 did not reach rank 0 at 127.0.0.1:", "within 1 s (WICK_MEET_TIMEOUT): Connection refused");
}

static int call(void) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), tries = 500;
    while (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && --tries) pause_seconds(0.02);
    cr_assert_gt(tries, 0, "nobody listens at port %d", port);
    return fd;
}

/* Say the bytes; close at once, or when the other end has. */
static void say(const void *bytes, size_t size, bool waits) {
    char answer[512];
    int fd = call();
    (void)!write(fd, bytes, size);
    while (waits && read(fd, answer, sizeof answer) > 0) continue;
    (void)close(fd);
}

/* Of a rank of this protocol, and what was changed in it. */
static void say_hello(size_t at, unsigned char value) {
    wk__hello h = { .version = WK__WIRE_VERSION, .ranks = 2, .rank = 1, .port = 9, .name = "elsewhere" };
    unsigned char bytes[WK__HELLO_BYTES] = "WICKRANK";
    bytes[8] = (unsigned char)h.version;
    bytes[12] = (unsigned char)h.ranks;
    bytes[16] = (unsigned char)h.rank;
    bytes[20] = (unsigned char)h.port;
    memcpy(bytes + 40, h.name, sizeof h.name);
    bytes[at] = value;
    say(bytes, sizeof bytes, true);
}

Test(tcp, strangers_are_sent_away) {
    static const char web[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    unsigned char noise[2000];
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (unsigned char)(i * 37 % 251);
    p[0] = start_rank(0, 2, "collectives", NULL);
    int silent[80];
    for (size_t i = 0; i < 80; i++) silent[i] = call(); /* more than there is room for */
    say(web, sizeof web, true);
    say(noise, sizeof noise, true);
    say("WICKRANK", 8, false);
    say_hello(8, 77);  /* another version */
    say_hello(24, 77); /* another run */
    say_hello(14, 77); /* a number of ranks that cannot be */
    p[1] = start_rank(1, 2, "collectives", NULL);
    expect_codes(2, "among strangers");
    for (size_t i = 0; i < 80; i++) (void)close(silent[i]);
    char *err = read_bytes(p[0].err, NULL);
    static const char *const told[] = { "it does not speak the protocol of ranks",
                                        "rank 0 speaks version 1 of the protocol, this one version 77",
                                        "rank 1 on elsewhere belongs to another run, or to another attempt of it",
                                        "it is no rank", "from 127.0.0.1" };
    for (size_t i = 0; i < sizeof told / sizeof *told; i++)
        cr_expect_not_null(strstr(err, told[i]), "expected \"%s\" in:\n%s", told[i], err);
    free(err);
}

/* What answers at the port is not rank 0 until it is. */
Test(tcp, another_program_at_the_port) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(fd, 9), 0);
    p[0] = start_rank(0, 2, "collectives", NULL); /* waits for the port */
    p[1] = start_rank(1, 2, "collectives", NULL);
    char hello[WK__HELLO_BYTES], nonsense[WK__ANSWER_BYTES] = "220 mail ready";
    int caller = accept(fd, NULL, NULL);
    cr_assert_eq(recv(caller, hello, sizeof hello, MSG_WAITALL), WK__HELLO_BYTES);
    (void)!write(caller, nonsense, sizeof nonsense);
    (void)close(caller);
    (void)close(fd);
    expect_codes(2, "after another program");
}

/* A straggler of an earlier attempt comes first, and again and again. */
Test(tcp, other_attempts_are_sent_away) {
    wish("WICK_MEET_TIMEOUT=2");
    wish("TORCHELASTIC_RESTART_COUNT=0");
    p[2] = start_rank(1, 2, "collectives", NULL);
    wishes[0] = "WICK_MEET_TIMEOUT=10";
    wishes[1] = "TORCHELASTIC_RESTART_COUNT=1";
    p[0] = start_rank(0, 2, "collectives", NULL);
    expect_words(2, "rank 1 did not reach rank 0 at 127.0.0.1:", "belongs to another run, or to another attempt of it");
    p[1] = start_rank(1, 2, "collectives", NULL);
    expect_codes(2, "the right attempt");
}

/* Ranks 0 and 1 wait for rank 2 when this returns. */
static void start_rank_1_of_3(void) {
    wish("WICK_LOG=debug");
    p[0] = start_rank(0, 3, "collectives", NULL);
    p[1] = start_rank(1, 3, "collectives", NULL);
    cr_assert(wait_for_text(p[0].err, " has come", 20), "rank 1 did not come");
}

Test(tcp, ranks_that_do_not_fit_are_sent_away) {
    start_rank_1_of_3();
    p[3] = start_rank(1, 2, "collectives", NULL);
    expect_words(3, "sends rank 1 away: ", "WORLD_SIZE is 2 for rank 1 on ");
    p[3] = start_rank(1, 3, "collectives", NULL);
    expect_words(3, "sends rank 1 away: there is a rank 1 already: on ", "RANK must be another number for each");
    p[2] = start_rank(2, 3, "collectives", NULL);
    expect_codes(3, "those that fit");
}

Test(tcp, environments_that_make_no_sense) {
    static const char *const cases[][2] = {
        { "RANK=2", "process group: RANK is \"2\", expected a number from 0 to 1" },
        { "RANK=one", "process group: RANK is \"one\", expected a number from 0 to 1" },
        { "WORLD_SIZE=2x", "process group: WORLD_SIZE is \"2x\", expected a number from 1 to 65536" },
        { "MASTER_PORT=0", "process group: MASTER_PORT is \"0\", expected a number from 1 to 65535" },
        { "MASTER_ADDR=", "process group: MASTER_ADDR is empty, expected the host of rank 0" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wishes[0] = cases[i][0];
        p[0] = start_rank(0, 2, "collectives", NULL);
        expect_words(0, cases[i][1], "");
    }
}

/* More ranks than this process may have files open. */
Test(tcp, too_many_ranks_for_the_limit_of_files) {
    struct rlimit limit = { 512, 512 };
    wish("WORLD_SIZE=5000");
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    p[0] = start_rank(0, 2, "collectives", NULL);
    expect_words(0, "process group: each of 5000 ranks has a connection to every other, but may open 512 files",
                 "raise the limit (ulimit -Hn), or use MPI");
}

/* A rank that dies while the others still wait for one may be started again. */
Test(tcp, a_rank_that_died_while_they_met_comes_again) {
    start_rank_1_of_3();
    (void)kill(p[1].pid, SIGKILL);
    (void)finish(&p[1], 5);
    cr_expect(wait_for_text(p[0].err, " has left while the ranks met", 5));
    for (int r = 1; r < 3; r++) p[r] = start_rank(r, 3, "collectives", NULL);
    expect_codes(3, "the second rank 1");
}

/* ---- failures ---- */

static void wait_for_pids(int ranks) {
    for (int r = 0; r < ranks; r++) {
        char path[600];
        (void)snprintf(path, sizeof path, "%s.pid.%d", file, r);
        cr_assert(wait_for_text(path, "\n", 20), "rank %d did not start", r);
    }
}

static void expect_name_of_killed_rank(int ranks, const char *scenario) {
    start_ranks(ranks, scenario, NULL);
    wait_for_pids(ranks);
    pause_seconds(0.2);
    cr_assert_eq(kill(p[1].pid, SIGKILL), 0);
    for (int r = 0; r < ranks; r++) {
        char ends[100];
        (void)snprintf(ends, sizeof ends, "wick: rank %d of %d ends the job: all_reduce ", r, ranks);
        if (r != 1) expect_words(r, ends, "rank 1 on ");
        char *err = r != 1 ? read_bytes(p[r].err, NULL) : NULL;
        if (err) cr_expect_not_null(strstr(err, " is gone: its connection "), "%s", err);
        free(err);
    }
    cr_expect_eq(finish(&p[1], 5), 137);
}

Test(tcp, killed_rank_is_named) {
    expect_name_of_killed_rank(3, "loop");
}

Test(tcp, killed_rank_is_named_in_the_middle_of_a_sum) {
    expect_name_of_killed_rank(3, "large_loop");
}

/* The one that is killed has sent half of a message. */
Test(tcp, killed_rank_is_named_in_the_middle_of_a_message) {
    wish("WICK_COMM=ring");
    expect_name_of_killed_rank(4, "large_loop");
}

Test(tcp, killed_rank_is_named_on_both_hosts) {
    wish("WICK_COMM_HOSTS=2");
    expect_name_of_killed_rank(4, "large_loop");
}

static void expect_name_of_hanging_rank(const char *scenario) {
    wish("WICK_DIST_TIMEOUT=3");
    start_ranks(2, scenario, NULL);
    wait_for_pids(2);
    cr_assert_eq(kill(p[1].pid, SIGSTOP), 0);
    expect_words(0, "wick: rank 0 of 2 ends the job: all_reduce ", "did not end within 3 s; missing: rank 1 (last: ");
    (void)kill(p[1].pid, SIGCONT);
    expect_words(1, "wick: rank 1 of 2 ends the job: all_reduce ", "rank 0 on ");
}

Test(tcp, hanging_rank_is_named) {
    expect_name_of_hanging_rank("loop");
}

Test(tcp, hanging_rank_is_named_in_the_middle_of_a_message) {
    wish("WICK_COMM=ring");
    expect_name_of_hanging_rank("large_loop");
}

/* Stopped as Ctrl-Z stops it, for longer than the timeout, and continued: it goes on. */
Test(tcp, stopped_and_continued_job_goes_on) {
    wish("WICK_DIST_TIMEOUT=2");
    start_ranks(2, "loop", NULL);
    wait_for_pids(2);
    for (int r = 0; r < 2; r++) cr_assert_eq(kill(p[r].pid, SIGSTOP), 0);
    pause_seconds(4);
    for (int r = 0; r < 2; r++) cr_assert_eq(kill(p[r].pid, SIGCONT), 0);
    pause_seconds(1);
    for (int r = 0; r < 2; r++) cr_expect_eq(kill(p[r].pid, 0), 0, "rank %d ended", r);
    (void)kill(p[0].pid, SIGKILL);
    (void)finish(&p[0], 10);
    expect_words(1, "rank 0 on ", " is gone");
}

/* The reason reaches all, from whoever met it. */
Test(tcp, failing_step_is_told_everywhere) {
    wish("WICK_COMM=ring");
    start_ranks(2, "fail", "3");
    expect_words(1, "wick: rank 1 of 2 ends the job: its step failed: ", "was made to fail by a test");
    expect_words(0, "wick: rank 0 of 2 ends the job: ", "has ended the job: its step failed: ");
}

/* Another rank is left alone by one that ends with an error of its own. */
Test(tcp, rank_that_ends_is_named) {
    wish("WICK_COMM=ring");
    p[0] = start_rank(0, 2, "loop", NULL);
    p[1] = start_rank(1, 2, "none", NULL);
    expect_words(0, "wick: rank 0 of 2 ends the job: ", "rank 1 on ");
    expect_words(1, "", "");
}
