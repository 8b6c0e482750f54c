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
TestSuite(cards, .init = set_up, .fini = tear_down);

/* Open MPI leaks and unloads the modules that did, so no suppression can name them: with several ranks the leak checker
 * rests. */
static char *const environment[] = {
    "ASAN_OPTIONS=detect_leaks=0", "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
    "OMP_NUM_THREADS=1",           "WICK_DIST_TIMEOUT=45",     NULL
};

/* More of it for the ranks of one test, as "KEY=value", ended by NULL. */
static char *wishes[4];

static program start_ranks(const char *ranks, const char *scenario, const char *extra) {
    char *all[sizeof environment / sizeof *environment + 3];
    size_t count = 0;
    for (size_t i = strcmp(ranks, "1") == 0 ? 1 : 0; environment[i]; i++) all[count++] = environment[i];
    for (size_t i = 0; wishes[i]; i++) all[count++] = wishes[i];
    all[count] = NULL;
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
    return start(folder, argv, all);
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

Test(ranks, every_collective_of_every_dtype) {
    expect_success("3", "moves");
}

static void expect_sums(const char *ranks, const char *comm, const char *hosts, const char *algorithm) {
    char *err;
    char line[100];
    size_t count = 0;
    memset(wishes, 0, sizeof wishes);
    wishes[count++] = "WICK_LOG=info";
    if (comm) wishes[count++] = (char *)(uintptr_t)comm;
    if (hosts) wishes[count++] = (char *)(uintptr_t)hosts;
    int code = run_ranks(ranks, "sums", algorithm, &err);
    cr_expect_eq(code, 0, "%s ranks, %s: exit code %d\n%s", ranks, algorithm, code, err);
    (void)snprintf(line, sizeof line, "process group: ranks %s, ", ranks);
    char *told = strstr(err, line);
    cr_assert_not_null(told, "%s", err);
    (void)snprintf(line, sizeof line, "algorithm of all_reduce %s\n", algorithm);
    cr_expect_not_null(strstr(told, line), "%s", err);
    free(err);
}

Test(ranks, sums_in_shared_memory) {
    expect_sums("1", NULL, NULL, "none");
    expect_sums("2", NULL, NULL, "shared");
    expect_sums("3", NULL, NULL, "shared");
    expect_sums("4", "WICK_COMM=shared", NULL, "shared");
}

Test(ranks, sums_across_hosts) {
    expect_sums("4", NULL, "WICK_COMM_HOSTS=2", "hierarchical");
    expect_sums("4", "WICK_COMM=ring", "WICK_COMM_HOSTS=2", "ring");
    expect_sums("3", NULL, "WICK_COMM_HOSTS=2", "ring"); /* two ranks here, one there */
    expect_sums("2", NULL, "WICK_COMM_HOSTS=2", "ring"); /* one rank on each */
}

Test(ranks, sums_by_messages) {
    expect_sums("3", "WICK_COMM=ring", NULL, "ring");
    expect_sums("2", "WICK_COMM=mpi", NULL, "mpi");
}

static void expect_refusal(const char *comm, const char *text) {
    char *err;
    wishes[0] = (char *)(uintptr_t)comm;
    cr_expect_neq(run_ranks("2", "collectives", NULL, &err), 0);
    cr_expect_not_null(strstr(err, text), "%s", err);
    free(err);
}

Test(ranks, algorithms_that_cannot_be_are_refused) {
    expect_refusal("WICK_COMM=rnig", "WICK_COMM is \"rnig\", expected ring, shared, hierarchical or mpi");
    expect_refusal("WICK_COMM=hierarchical", "needs several hosts with as many ranks each");
    wishes[1] = "WICK_COMM_HOSTS=2";
    expect_refusal("WICK_COMM=shared", "WICK_COMM is shared, but the ranks are on 2 hosts");
    wishes[1] = NULL;
    expect_refusal("WICK_COMM_HOSTS=two", "WICK_COMM_HOSTS is \"two\", expected a number of hosts");
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

/* Several ranks in one scenario are one rank in another, within rounding, and each other bit for bit. */
static void compare_ranks(const char *ranks, const char *scenario, const char *alone) {
    char one[600], first[600], other[600], kept[600], *err;
    (void)snprintf(one, sizeof one, "%s.0", file);
    (void)snprintf(kept, sizeof kept, "%s.one", file);
    cr_assert_eq(run_ranks("1", alone, NULL, &err), 0, "%s", err);
    free(err);
    cr_assert_eq(rename(one, kept), 0);
    cr_assert_eq(run_ranks(ranks, scenario, NULL, &err), 0, "%s", err);
    free(err);
    (void)snprintf(first, sizeof first, "%s.0", file);
    for (long rank = 1; rank < strtol(ranks, NULL, 10); rank++) {
        (void)snprintf(other, sizeof other, "%s.%ld", file, rank);
        cr_expect(same_bytes(first, other), "the replicas 0 and %ld differ", rank);
    }
    double difference = largest_difference(kept, first);
    cr_expect_lt(difference, 2e-5, "%s ranks differ from one by %g", ranks, difference);
}

static void compare(const char *scenario, const char *alone) {
    compare_ranks("2", scenario, alone);
}

Test(ranks, two_equal_one_with_twice_the_batch) {
    compare("train", "train");
}

Test(ranks, four_on_two_hosts_equal_one) {
    wishes[0] = "WICK_COMM_HOSTS=2";
    compare_ranks("4", "train", "train");
}

Test(ranks, three_without_shared_memory_equal_one) {
    wishes[0] = "WICK_COMM=ring";
    compare_ranks("3", "train", "train");
}

Test(ranks, accumulation_without_exchange) {
    compare("accumulate", "train");
}

Test(ranks, parameters_used_twice_by_one_rank_and_by_none) {
    compare("branch", "branch");
}

Test(ranks, buckets_follow_the_order_of_arrival) {
    compare("reorder", "reorder");
    compare("keep_order", "keep_order");
    wishes[0] = "WICK_COMM=ring";
    compare_ranks("3", "reorder", "reorder");
}

Test(ranks, the_last_bucket_is_small) {
    expect_success("2", "last_bucket");
}

Test(ranks, buckets_follow_rank_0_where_orders_differ) {
    expect_success("2", "disagree");
}

Test(ranks, half_types_are_summed) {
    expect_success("2", "halves");
    wishes[0] = "WICK_COMM=ring";
    expect_success("2", "halves");
}

Test(ranks, gradients_travel_in_half_types) {
    expect_success("2", "fp16");
    expect_success("2", "bf16");
}

/* The line of a case: its name, and the weights one behind the other. */
static void expect_weights(const char *line, const char *stem) {
    char path[2][700], name[64];
    int used = 0, count = 0;
    cr_assert_eq(sscanf(line, "%63s%n", name, &used), 1);
    for (int rank = 0; rank < 2; rank++) (void)snprintf(path[rank], sizeof path[0], "%s.%s.%d", stem, name, rank);
    cr_expect(same_bytes(path[0], path[1]), "%s: the replicas differ", name);
    wk_scope scope = wk_scope_begin();
    wk_safetensors *found = wk_safetensors_open(path[0]);
    cr_assert_not_null(found, "%s", wk_message());
    static const char *const names[] = { "0.weight", "0.bias", "2.weight", "2.bias" };
    char *at = (char *)(uintptr_t)line + used;
    double largest = 0;
    for (int i = 0; i < 4; i++) {
        wk_tensor *t = wk_safetensors_get(found, names[i]);
        cr_assert_not_null(t, "%s", wk_message());
        for (int64_t k = 0; k < wk_count(t); k++, count++) largest = fmax(largest, fabs(strtod(at, &at) - wk_at(t, k)));
    }
    cr_expect_eq(count, 114);
    cr_expect_eq(*at, '\n', "%s: PyTorch has as many", name);
    cr_expect_lt(largest, 2e-5, "%s: PyTorch's weights are %g away", name, largest);
    wk_safetensors_close(found);
    wk_scope_end(scope);
}

/* PowerSGD and post-local SGD: the weights that PyTorch's hooks give, and the same bits on each rank. */
Test(ranks, communication_hooks_are_those_of_pytorch) {
    expect_success("2", "hooks");
    char *golden = read_bytes(WICK_SOURCE_DIR "/tests/golden/power_sgd.txt", NULL);
    cr_assert_not_null(golden);
    int lines = 0;
    for (const char *line = golden; *line; line = strchr(line, '\n') + 1, lines++) expect_weights(line, file);
    cr_expect_eq(lines, 6);
    free(golden);
}

Test(ranks, gradients_of_zero_stay_zero_with_power_sgd) {
    expect_success("2", "hooks_of_nothing");
}

Test(ranks, ignored_parameters_are_each_ranks_own) {
    expect_success("2", "ignored");
}

Test(ranks, those_without_batches_go_along) {
    compare("join", "join");
}

Test(ranks, batch_normalisation_over_unequal_batches_equals_that_of_one_rank) {
    compare("sync", "sync");
}

Test(ranks, shared_out_optimizer_has_the_same_bits_in_a_part_of_the_memory) {
    char path[4][600];
    expect_success("3", "zero");
    for (int rank = 0; rank < 3; rank++) {
        for (int shares = 0; shares < 2; shares++)
            (void)snprintf(path[shares], sizeof path[0], "%s.net.%d.%d", file, shares, rank);
        cr_expect(same_bytes(path[0], path[1]), "weights of rank %d differ", rank);
    }
    for (int shares = 0; shares < 2; shares++)
        (void)snprintf(path[2 + shares], sizeof path[0], "%s.optim.%d", file, shares);
    cr_expect(same_bytes(path[2], path[3]), "gathered state differs");
    expect_success("2", "zero_refused");
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

static void expect_end_with_killed_rank(const char *ranks, const char *scenario) {
    program p = start_ranks(ranks, scenario, NULL);
    (void)pid_of(0);
    pid_t victim = pid_of(1);
    pause_seconds(0.2);
    cr_assert_eq(kill(victim, SIGKILL), 0);
    int code = finish(&p, 40);
    cr_expect_eq(code, 137, "exit code %d", code);
}

Test(ranks, killed_rank_ends_the_other) {
    expect_end_with_killed_rank("2", "loop");
}

Test(ranks, killed_rank_ends_the_others_in_the_middle_of_a_sum) {
    expect_end_with_killed_rank("3", "large_loop");
}

Test(ranks, killed_rank_ends_those_of_both_hosts) {
    wishes[0] = "WICK_COMM_HOSTS=2";
    expect_end_with_killed_rank("4", "large_loop");
}

static void expect_name_of_hanging_rank(const char *scenario) {
    wishes[wishes[0] ? 1 : 0] = "WICK_DIST_TIMEOUT=2";
    program p = start_ranks("2", scenario, NULL);
    (void)pid_of(0);
    cr_assert_eq(kill(pid_of(1), SIGSTOP), 0);
    int code = finish(&p, 40);
    char *err = read_bytes(p.err, NULL);
    cr_expect_neq(code, 0);
    cr_expect_neq(code, -1, "the job did not end");
    cr_expect_not_null(strstr(err, "wick: rank 0 of 2 ends the job: all_reduce "), "%s", err);
    cr_expect_not_null(strstr(err, "did not end within 2 s; missing: rank 1 (last: "), "%s", err);
    free(err);
}

Test(ranks, hanging_rank_is_named) {
    expect_name_of_hanging_rank("loop");
}

Test(ranks, hanging_rank_is_named_in_the_middle_of_a_sum) {
    expect_name_of_hanging_rank("large_loop");
}

/* Stopped as Ctrl-Z stops it, for longer than the timeout, and continued: it goes on. */
Test(ranks, stopped_and_continued_job_goes_on) {
    wishes[0] = "WICK_DIST_TIMEOUT=2";
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
    cr_expect_not_null(
        strstr(wk_message(), "WORLD_SIZE is 2, but these ranks were not started by MPI, and without RANK"), "%s",
        wk_message());
}

Test(ranks, unknown_transport) {
    cr_assert_null(wk_group_create("pigeon"));
    cr_expect_eq(wk_error_code(), WK_NOT_FOUND);
    cr_expect_not_null(strstr(wk_message(), "the transport \"pigeon\" cannot be opened"), "%s", wk_message());
}

/* ---- memory of devices: the same scenarios, carried by NCCL, which the emulated device has too ---- */

static void use_cards(void) {
    if (access(WICK_BUILD_DIR "/lib/wick_cudaemu.so", R_OK) != 0) cr_skip_test("built without the emulated device");
    wishes[0] = "WICK_TEST_DEVICE=cudaemu";
}

Test(cards, collectives) {
    use_cards();
    expect_success("1", "collectives");
    expect_success("2", "collectives");
    expect_success("3", "collectives");
}

Test(cards, two_equal_one_with_twice_the_batch) {
    use_cards();
    compare("train", "train");
}

Test(cards, accumulation_without_exchange) {
    use_cards();
    compare("accumulate", "train");
}

Test(cards, parameters_used_twice_by_one_rank_and_by_none) {
    use_cards();
    compare("branch", "branch");
}

Test(cards, buffers_are_those_of_rank_0) {
    use_cards();
    expect_success("2", "buffers");
}

Test(cards, hanging_rank_is_named) {
    use_cards();
    expect_name_of_hanging_rank("loop");
}

/* Open MPI is told to let the others go on, so that they tell. */
Test(cards, killed_rank_is_named) {
    use_cards();
    wishes[1] = "OMPI_MCA_orte_enable_recovery=1";
    program p = start_ranks("2", "large_loop", NULL);
    (void)pid_of(0);
    pid_t victim = pid_of(1);
    pause_seconds(0.2);
    cr_assert_eq(kill(victim, SIGKILL), 0);
    int code = finish(&p, 40);
    char *err = read_bytes(p.err, NULL);
    cr_expect_neq(code, -1, "the job did not end");
    cr_expect_not_null(strstr(err, "wick: rank 0 of 2 ends the job: all_reduce "), "%s", err);
    cr_expect_not_null(strstr(err, "rank 1 of 2 (process "), "%s", err);
    cr_expect_not_null(strstr(err, ") is gone"), "%s", err);
    free(err);
}

Test(cards, two_devices_of_one_rank_are_refused) {
    use_cards();
    wishes[1] = "WICK_CUDAEMU_DEVICES=2";
    expect_success("2", "two_devices");
}
