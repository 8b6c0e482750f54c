/* Ranks under mpirun: collectives, data-parallel training, and what happens when a rank fails, dies or hangs. */
#include "support/program.h"
#include "wick/dist.h"
#include "wick/io.h"

#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WORKER WICK_BUILD_DIR "/bin/tests/dist_worker"

static char folder[400], file[500];

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("dist"));
    (void)snprintf(file, sizeof file, "%s/state", folder);
}
static void tear_down(void) {
    remove_folder(folder);
}
TestSuite(ranks, .init = set_up, .fini = tear_down);

/* Open MPI leaks and unloads the modules that did, so no suppression can name them: with several ranks the leak checker
 * rests. */
static char *const environment[] = {
    "ASAN_OPTIONS=detect_leaks=0", "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
    "OMP_NUM_THREADS=1",           "WICK_DIST_TIMEOUT=2",      NULL
};

static program start_ranks(const char *ranks, const char *scenario, const char *extra) {
    char *argv[] = { "mpirun",
                     "--oversubscribe",
                     "--bind-to",
                     "none",
                     "--mca",
                     "pml",
                     "ob1",
                     "--mca",
                     "btl",
                     "self,vader",
                     "--mca",
                     "odls_base_sigkill_timeout",
                     "1",
                     "-n",
                     (char *)(uintptr_t)ranks,
                     WORKER,
                     (char *)(uintptr_t)scenario,
                     file,
                     (char *)(uintptr_t)extra,
                     NULL };
    return start(folder, argv, strcmp(ranks, "1") == 0 ? environment + 1 : environment);
}

static int run_ranks(const char *ranks, const char *scenario, const char *extra, char **err) {
    program p = start_ranks(ranks, scenario, extra);
    int code = finish(&p, 60);
    *err = read_bytes(p.err, NULL);
    return code;
}

static void expect_success(const char *ranks, const char *scenario) {
    char *err;
    int code = run_ranks(ranks, scenario, NULL, &err);
    cr_expect_eq(code, 0, "%s ranks, %s: exit code %d\n%s", ranks, scenario, code, err);
    free(err);
}

Test(ranks, collectives) {
    expect_success("1", "collectives");
    expect_success("2", "collectives");
    expect_success("3", "collectives");
}

Test(ranks, different_models_are_refused_everywhere) {
    expect_success("2", "different");
}

static double largest_difference(const char *a, const char *b) {
    wk_scope scope = wk_scope_begin();
    wk_safetensors *x = wk_safetensors_open(a), *y = wk_safetensors_open(b);
    cr_assert(x && y, "%s", wk_message());
    double largest = 0;
    for (int i = 0; i < wk_safetensors_count(x); i++) {
        wk_tensor *p = wk_safetensors_get(x, wk_safetensors_name(x, i)),
                  *q = wk_safetensors_get(y, wk_safetensors_name(x, i));
        for (int64_t k = 0; k < wk_count(p); k++) largest = fmax(largest, fabs(wk_at(p, k) - wk_at(q, k)));
    }
    wk_safetensors_close(x);
    wk_safetensors_close(y);
    wk_scope_end(scope);
    return largest;
}

/* Two ranks in one scenario are one rank in another, within rounding, and each other bit for bit. */
static void compare(const char *scenario, const char *alone) {
    char one[600], first[600], second[600], kept[600], *err;
    (void)snprintf(one, sizeof one, "%s.0", file);
    (void)snprintf(kept, sizeof kept, "%s.one", file);
    cr_assert_eq(run_ranks("1", alone, NULL, &err), 0, "%s", err);
    free(err);
    cr_assert_eq(rename(one, kept), 0);
    cr_assert_eq(run_ranks("2", scenario, NULL, &err), 0, "%s", err);
    free(err);
    (void)snprintf(first, sizeof first, "%s.0", file);
    (void)snprintf(second, sizeof second, "%s.1", file);
    cr_expect(same_bytes(first, second), "the replicas differ");
    double difference = largest_difference(kept, first);
    cr_expect_lt(difference, 2e-5, "two ranks differ from one by %g", difference);
}

Test(ranks, two_equal_one_with_twice_the_batch) {
    compare("train", "train");
}

Test(ranks, accumulation_without_exchange) {
    compare("accumulate", "train");
}

Test(ranks, parameters_used_twice_by_one_rank_and_by_none) {
    compare("branch", "branch");
}

Test(ranks, buffers_are_those_of_rank_0) {
    expect_success("2", "buffers");
}

Test(ranks, each_failing_call_ends_the_job_by_name) {
    int failures = 0;
    for (int call = 1; call < 60; call++) {
        char number[16], stepped[2][600], *err;
        (void)snprintf(number, sizeof number, "%d", call);
        int code = run_ranks("2", "fail", number, &err);
        for (int rank = 0; rank < 2; rank++)
            (void)snprintf(stepped[rank], sizeof stepped[rank], "%s.stepped.%d", file, rank);
        /* Where the optimizer itself fails the exchange is over: rank 0 may have stepped, as it had every right to. */
        bool moved = (access(stepped[0], F_OK) == 0 && !strstr(err, "sgd_step")) || access(stepped[1], F_OK) == 0;
        if (code == 0) {
            cr_expect(moved);
            free(err);
            break;
        }
        failures++;
        cr_expect_not_null(strstr(err, "wick: rank 1 of 2 ends the job: its step failed: "),
                           "call %d, exit code %d:\n%s", call, code, err);
        cr_expect_not_null(strstr(err, "was made to fail by a test"), "call %d:\n%s", call, err);
        cr_expect_not(moved, "call %d: a weight was changed", call);
        free(err);
    }
    cr_expect_gt(failures, 12, "only %d calls failed", failures);
}

static pid_t pid_of(int rank) {
    char path[600];
    (void)snprintf(path, sizeof path, "%s.pid.%d", file, rank);
    cr_assert(wait_for_text(path, "\n", 20), "rank %d did not start", rank);
    char *text = read_bytes(path, NULL);
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    free(text);
    return pid;
}

Test(ranks, killed_rank_ends_the_other) {
    program p = start_ranks("2", "loop", NULL);
    (void)pid_of(0);
    cr_assert_eq(kill(pid_of(1), SIGKILL), 0);
    int code = finish(&p, 10);
    cr_expect_eq(code, 137, "exit code %d", code);
}

Test(ranks, hanging_rank_is_named) {
    program p = start_ranks("2", "loop", NULL);
    (void)pid_of(0);
    cr_assert_eq(kill(pid_of(1), SIGSTOP), 0);
    int code = finish(&p, 15);
    char *err = read_bytes(p.err, NULL);
    cr_expect_neq(code, 0);
    cr_expect_neq(code, -1, "the job did not end");
    cr_expect_not_null(strstr(err, "wick: rank 0 of 2 ends the job: all_reduce "), "%s", err);
    cr_expect_not_null(strstr(err, "did not end within 2 s; missing: rank 1 (last: "), "%s", err);
    free(err);
}

/* Stopped as Ctrl-Z stops it, for longer than the timeout, and continued: it goes on. */
Test(ranks, stopped_and_continued_job_goes_on) {
    program p = start_ranks("2", "loop", NULL);
    pid_t pids[2] = { pid_of(0), pid_of(1) };
    for (int i = 0; i < 2; i++) cr_assert_eq(kill(pids[i], SIGSTOP), 0);
    pause_seconds(4);
    for (int i = 0; i < 2; i++) cr_assert_eq(kill(pids[i], SIGCONT), 0);
    pause_seconds(1.5);
    for (int i = 0; i < 2; i++) cr_expect_eq(kill(pids[i], 0), 0, "rank %d ended", i);
    (void)kill(pids[0], SIGKILL);
    (void)finish(&p, 10);
}

Test(ranks, world_without_mpi_is_refused) {
    (void)setenv("WORLD_SIZE", "2", 1);
    cr_assert_null(wk_group_create(NULL));
    cr_expect_eq(wk_error_code(), WK_UNSUPPORTED);
    cr_expect_not_null(strstr(wk_message(), "WORLD_SIZE is 2, but these ranks were not started by MPI"), "%s",
                       wk_message());
}

Test(ranks, unknown_transport) {
    cr_assert_null(wk_group_create("pigeon"));
    cr_expect_eq(wk_error_code(), WK_NOT_FOUND);
    cr_expect_not_null(strstr(wk_message(), "the transport \"pigeon\" cannot be opened"), "%s", wk_message());
}
