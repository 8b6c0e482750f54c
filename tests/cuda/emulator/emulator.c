/* emulator.c: what the emulated device is held to: right kernels are right in every order, wrong ones are caught. */
#include "cuda/emulator/harness.h"

#include <criterion/criterion.h>
#include <cuda_runtime_api.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#    define SANITIZED true
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define SANITIZED true
#    endif
#endif
#ifndef SANITIZED
#    define SANITIZED false
#endif

static const char *const orders[] = { "forward", "reverse", "1", "2", "3", "4", "5" };
enum { ORDERS = sizeof orders / sizeof orders[0] };

static void use_order(const char *order) {
    (void)setenv("WICK_CUDAEMU_ORDER", order, 1);
}

static const struct {
    const char *name;
    run_case *run;
} kernels[] = { { "add", run_add },          { "layer_norm", run_layer_norm }, { "cross_entropy", run_cross_entropy },
                { "matmul", run_matmul },    { "compact", run_compact },       { "shuffles", run_shuffles },
                { "products", run_products } };

Test(emulator, right_kernels_give_the_hosts_results_in_every_order) {
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        for (int o = 0; o < ORDERS; o++) {
            outcome result = { 0 };
            use_order(orders[o]);
            kernels[i].run(NO_FAULT, &result);
            cr_expect(!result.error && result.distance < close_enough, "%s in order %s: %s, distance %g",
                      kernels[i].name, orders[o], result.error ? result.message : "no error", result.distance);
        }
    }
}

/* How a fault shows: by a message in every order, or by results that are wrong in at least one. */
static const struct {
    const char *kernel;
    run_case *run;
    int fault;
    const char *message; /* NULL: by results.  With the race detector: */
    const char *race;    /* NULL: the same */
} faults[] = {
    { "add", run_add, TAIL_OFF_BY_ONE, "4084 bytes was written at byte 4084", NULL },
    { "add", run_add, TAIL_UNCHECKED, "4084 bytes was written at byte 4084", NULL },
    { "add", run_add, MISALIGNED, "is not aligned to 16 bytes", NULL },
    { "layer_norm", run_layer_norm, DROPPED_BARRIER, NULL, "race on shared memory" },
    { "layer_norm", run_layer_norm, WRITE_AFTER_READ, NULL, "race on shared memory" },
    { "layer_norm", run_layer_norm, WRONG_STRIDE, NULL, NULL },
    { "layer_norm", run_layer_norm, DIVERGED_BARRIER, "diverged barrier: this thread waits at", NULL },
    { "layer_norm", run_layer_norm, BARRIER_AFTER_EXIT, "diverged barrier: 224 of 256 threads wait at", NULL },
    { "layer_norm", run_layer_norm, SHARED_WRITE_BEYOND, "written behind the end of a variable of 32 bytes", NULL },
    { "layer_norm", run_layer_norm, SHARED_READ_BEYOND, NULL, NULL },
    { "cross_entropy", run_cross_entropy, MISSING_MASK, NULL, "race on global memory" },
    { "matmul", run_matmul, DROPPED_BARRIER, NULL, "race on shared memory" },
    { "matmul", run_matmul, WRITE_AFTER_READ, NULL, "race on shared memory" },
    { "compact", run_compact, MASK_WITHOUT_CALLER, "is not in its mask 0000ffff", NULL },
    { "compact", run_compact, MASK_OF_THE_GONE, "lanes ffff0000 of the mask never come", NULL },
    { "shuffles", run_shuffles, SOURCE_OUT_OF_MASK, " is not in the mask ", NULL },
    { "products", run_products, MISALIGNED, "is not aligned to 16 bytes", NULL },
    { "products", run_products, WARP_NOT_WHOLE, "lanes ffff0000 of the mask never come", NULL },
    { "products", run_products, COPY_LEFT_BEHIND, "ends without a wait for its last copies", NULL },
    { "products", run_products, COPY_NOT_AWAITED, NULL, NULL },
    { "products", run_products, DROPPED_BARRIER, NULL, "race on shared memory" },
    { "products", run_products, WRITE_AFTER_READ, NULL, "race on shared memory" },
#ifdef WICK_CUDAEMU_RACE
    { "compact", run_compact, BLOCKS_SHARE, NULL, "race on global memory" },
#endif
};

static const char *message_of(size_t i) {
#ifdef WICK_CUDAEMU_RACE
    if (faults[i].race) return faults[i].race;
#endif
    return faults[i].message;
}

static bool is_caught(size_t i) {
    const char *message = message_of(i);
    outcome result = { 0 };
    faults[i].run(faults[i].fault, &result);
    if (message) return result.error && strstr(result.message, message);
    return result.error || result.distance > close_enough;
}

/* In a process of its own, which the address sanitizer may end: that too is caught. */
static bool is_caught_in(const char *order, size_t i) {
    enum { CAUGHT = 42 };
    int status = 0;
    use_order(order);
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        if (SANITIZED) (void)!freopen("/dev/null", "w", stderr);
        _exit(is_caught(i) ? CAUGHT : 0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    bool ended = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    return (WIFEXITED(status) && WEXITSTATUS(status) == CAUGHT) || (SANITIZED && ended);
}

Test(emulator, planted_faults_are_caught) {
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        int caught = 0, wanted = faults[i].message ? ORDERS : 1;
        for (int o = 0; o < ORDERS; o++) caught += is_caught_in(orders[o], i);
        cr_expect(caught >= wanted, "%s with fault %d: caught in %d of %d orders", faults[i].kernel, faults[i].fault,
                  caught, ORDERS);
    }
}

Test(emulator, a_fault_names_kernel_block_and_thread_and_stays) {
    outcome result = { 0 };
    use_order("forward");
    float *memory;
    cr_assert_eq(cudaMalloc((void **)&memory, 4096), cudaSuccess);
    cr_assert_eq(launch_add(memory, memory, memory, 1000, MISALIGNED), cudaErrorLaunchFailure);
    const char *text = cudaGetErrorString(cudaErrorLaunchFailure);
    cr_expect(strstr(text, "kernel add block (0,0,0) thread (0,0,0)"), "%s", text);
    cr_expect_eq(cudaMemset(memory, 0, 4096), cudaErrorLaunchFailure);
    cr_assert_eq(cudaDeviceReset(), cudaSuccess);
    cr_expect_eq(cudaMemset(memory, 0, 4096), cudaSuccess);
    cr_expect_eq(cudaFree(memory), cudaSuccess);
    run_layer_norm(NO_FAULT, &result);
    cr_expect(!result.error && result.distance < close_enough);
}

Test(emulator, launches_beyond_the_limits_are_refused) {
    cr_expect_eq(launch_nothing(1, 1024, 48 << 10), cudaSuccess);
    cr_expect_eq(launch_nothing(1, 1025, 0), cudaErrorInvalidConfiguration);
    cr_expect_eq(launch_nothing(0, 32, 0), cudaErrorInvalidConfiguration);
    cr_expect_eq(launch_nothing(0x80000000u, 32, 0), cudaErrorInvalidConfiguration);
    cr_expect_eq(launch_nothing(1, 32, (48 << 10) + 1), cudaErrorInvalidValue);
}
