/* traffic.c: what the kernels of one call move, as the emulated device counts it, beside what none can do without.
 *
 * A figure that needs no card: bytes are exact, and so are requests that touch more sectors than their bytes fill.
 * Products by cuBLASLt are not Wick's kernels and are not counted.
 */
#define WK_NO_CALL_SITES
#include "bench/bench.h"

#include "base/base.h"
#include "tensor/backend.h"

enum { MOST_KERNELS = 64 };

static wk_status run(const wk__subject *subject, wk__bench_mode mode) {
    wk_tensor *out[WK__BENCH_MOST_OUT];
    wk_scope scope = wk_scope_begin();
    (void)wk__subject_run(subject, mode, out, NULL);
    (void)wk_device_synchronise(subject->device);
    wk_scope_end(scope);
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* Percent of the bytes in the sectors that requests touch which they asked for. */
static double used(const wk_kernel_traffic *t) {
    return t->sectors ? 100.0 * (double)t->asked / (32.0 * (double)t->sectors) : 100;
}

static void print(const wk_kernel_traffic *t) {
    (void)printf("    %-44.44s launches %lld, read %.3f MB, written %.3f MB, sectors used %.0f %%", t->kernel,
                 (long long)t->launches, 1e-6 * (double)t->read, 1e-6 * (double)t->written, used(t));
    if (t->shared_requests)
        (void)printf(", shared requests %lld, bank conflicts %.3f each", (long long)t->shared_requests,
                     (double)t->conflicts / (double)t->shared_requests);
    (void)putchar('\n');
}

static wk_kernel_traffic sum(const wk_kernel_traffic *rows, int count) {
    wk_kernel_traffic all = { .launches = 0 };
    for (int i = 0; i < count; i++) {
        all.launches += rows[i].launches;
        all.read += rows[i].read, all.written += rows[i].written;
        all.sectors += rows[i].sectors, all.asked += rows[i].asked;
        all.shared_requests += rows[i].shared_requests, all.conflicts += rows[i].conflicts;
    }
    return all;
}

wk_status wk__subject_count_traffic(const wk__subject *subject, wk__bench_mode mode, char *note, size_t size) {
    static wk_kernel_traffic rows[MOST_KERNELS];
    const wk_traffic_function traffic = wk__device_traffic(subject->device);
    if (!traffic || traffic(rows, MOST_KERNELS) < 0)
        return wk_fail(
            WK_CONFIG,
            "--mode traffic: the emulated device counts where its plugin is built to (cmake --build build "
            "--target wick_cudaemu_counting; then --device cudaemu with WICK_PLUGIN_PATH=build/lib/counting)");
    WK_TRY(run(subject, mode));
    const int count = traffic(rows, MOST_KERNELS);
    for (int i = 0; i < count; i++) print(&rows[i]);
    const wk_kernel_traffic all = sum(rows, count);
    const double moved = (double)(all.read + all.written), least = wk__subject_cost(subject, mode).bytes;
    (void)traffic(rows, MOST_KERNELS); /* the cost was of one more run */
    (void)snprintf(note, size, "%.3f MB in %lld launches, %.3f x the least; sectors used %.0f %%; bank conflicts %.3f",
                   1e-6 * moved, (long long)all.launches, least > 0 ? moved / least : 0, used(&all),
                   all.shared_requests ? (double)all.conflicts / (double)all.shared_requests : 0);
    return WK_OK;
}
