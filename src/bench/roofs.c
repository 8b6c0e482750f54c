/* roofs.c: what this machine can do at best, measured when it is asked for: no data sheet knows the clock, the memory
 * or the neighbours of today.
 *
 * Each figure is the best of many short runs of a kernel that does nothing else (kernels/cpu/simd/bench/roofs.c).  A
 * row cannot be faster than the larger of its operations over the peak and its bytes over the bandwidth of the level
 * that holds them.
 */
#define WK_NO_CALL_SITES
#include "bench/bench.h"

#include "base/base.h"
#include "tensor/backend.h"
#include "wick/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const double SECONDS = 0.005; /* for each figure */

/* ---- one figure ---- */

/* A kernel that is no row, on tensors of the current scope. */
typedef struct probe {
    wk_kernel kernel;
    wk_kernel_ctx ctx;
    wk_op_def op;
    wk_tensor *in[1], *out[1];
} probe;

static wk_status begin(probe *p, const char *name, wk_dtype dtype, int threads, wk_tensor *in, wk_tensor *out) {
    *p = (probe){ .kernel = wk__cpu_roof(name, dtype), .ctx = { .threads = threads } };
    p->op.name = name;
    p->in[0] = in;
    p->out[0] = out;
    if (!in || !out) return wk_error_code();
    return p->kernel ? WK_OK : wk_fail(WK_INTERNAL, "the CPU has no kernel \"%s\"", name);
}

static wk_status run(probe *p, int64_t repeats, double *seconds) {
    const wk_roof_attrs attrs = { repeats };
    const wk_call call = { .op = &p->op, .in = p->in, .out = p->out, .attrs = &attrs, .n_in = 1, .n_out = 1 };
    double start = wk_now();
    wk_status status = p->kernel(&p->ctx, &call);
    *seconds = wk_now() - start;
    return status;
}

/* How many repeats fill a run.  One that was interrupted looks full too early, so the best of three counts. */
static wk_status fill(probe *p, int64_t *repeats) {
    for (*repeats = 1;; *repeats *= 2) {
        double best = INFINITY, seconds;
        for (int i = 0; i < 3; i++) {
            WK_TRY(run(p, *repeats, &seconds));
            best = fmin(best, seconds);
        }
        if (best >= 1e-4) return WK_OK;
    }
}

/* Seconds of one repeat at best. */
static wk_status measure(probe *p, double *least) {
    int64_t repeats;
    double seconds, until;
    WK_TRY(fill(p, &repeats));
    *least = INFINITY;
    until = wk_now() + SECONDS;
    do {
        WK_TRY(run(p, repeats, &seconds));
        *least = fmin(*least, seconds / (double)repeats);
    } while (wk_now() < until);
    return WK_OK;
}

/* ---- bandwidth ---- */

/* Bytes a second where all that is touched has `bytes`: read, written or copied, whichever is most. */
static wk_status bandwidth(wk_tensor *memory, int64_t bytes, int threads, double *rate) {
    static const struct {
        const char *name;
        int streams;
    } ways[] = { { "roof_read", 1 }, { "roof_write", 1 }, { "roof_copy", 2 } };
    *rate = 0;
    for (size_t i = 0; i < WK_COUNT(ways); i++) {
        int64_t each = bytes / 4 / ways[i].streams, behind = bytes / 4 - each;
        double seconds;
        probe p;
        WK_TRY(begin(&p, ways[i].name, WK_F32, threads, wk_slice(memory, 0, 0, each, 1),
                     wk_slice(memory, 0, behind, behind + each, 1)));
        WK_TRY(measure(&p, &seconds));
        *rate = fmax(*rate, (double)bytes / seconds);
    }
    return WK_OK;
}

static void release(void *context, void *data) {
    (void)context;
    free(data);
}

/* In large pages where the system has them: with small ones a far walk is one through page tables too. */
static wk_tensor *make_memory(int64_t bytes) {
    const size_t page = 2 << 20;
    void *data = NULL;
    if (posix_memalign(&data, page, (size_t)bytes) != 0)
        return (void)wk_fail(WK_NO_MEMORY, "roofs: no %lld bytes to measure memory with", (long long)bytes), NULL;
    (void)madvise(data, (size_t)bytes, MADV_HUGEPAGE);
    memset(data, 0, (size_t)bytes);
    return wk_from_memory(WK_F32, WK_DIMS(bytes / 4), data, release, NULL);
}

static int power_of(double bytes) {
    int power = (int)floor(log2(fmax(bytes, 1)));
    return power < WK__ROOF_LEAST ? WK__ROOF_LEAST : power > WK__ROOF_MOST ? WK__ROOF_MOST : power;
}

static wk_status measure_sizes(wk__roofs *r) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *memory = make_memory((int64_t)1 << WK__ROOF_MOST);
    wk_status status = memory ? WK_OK : wk_error_code();
    for (int power = WK__ROOF_LEAST; power <= WK__ROOF_MOST && status == WK_OK; power++)
        status = bandwidth(memory, (int64_t)1 << power, r->threads, &r->rate[power]);
    wk_scope_end(scope);
    /* A larger size cannot be faster; where it seems so, the clock or the neighbours changed. */
    for (int power = WK__ROOF_MOST; power > WK__ROOF_LEAST; power--)
        r->rate[power - 1] = fmax(r->rate[power - 1], r->rate[power]);
    return status;
}

/* Half of what a cache holds; how much the last one holds is not asked: it may be shared with strangers. */
static void name_levels(wk__roofs *r) {
    long first = sysconf(_SC_LEVEL1_DCACHE_SIZE), second = sysconf(_SC_LEVEL2_CACHE_SIZE);
    const double l1 = (double)(first > 0 ? first : 32 << 10) * r->threads;
    const double l2 = (double)(second > 0 ? second : 1 << 20) * r->threads;
    r->level[0] = (wk__roof_level){ "L1", r->rate[power_of(l1 / 2)] };
    r->level[1] = (wk__roof_level){ "L2", r->rate[power_of(l2 / 2)] };
    r->level[2] = (wk__roof_level){ "L3", r->rate[power_of(4 * l2)] };
    r->level[3] = (wk__roof_level){ "memory", r->rate[WK__ROOF_MOST] };
}

/* ---- operations, the team ---- */

/* Operations a second; 0 where the processor has no such instruction. */
static wk_status peak(wk_dtype dtype, int threads, double *rate) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *count = wk_zeros(WK_F64, WK_SCALAR);
    probe p;
    double seconds, one;
    *rate = 0;
    wk_status status = begin(&p, "roof_multiply_add", dtype, threads, count, wk_zeros(WK_F64, WK_DIMS(threads)));
    if (status == WK_OK) status = run(&p, 1, &seconds);
    if (status == WK_OK) {
        status = measure(&p, &seconds);
        if (status == WK_OK) status = run(&p, 1, &one); /* which counts the operations of one repeat */
        *rate = status == WK_OK ? wk_at(count, 0) / seconds : 0;
    } else if (status == WK_UNSUPPORTED) {
        status = WK_OK;
    }
    wk_scope_end(scope);
    return status;
}

static wk_status fork_join(int threads, double *seconds) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *nothing = wk_zeros(WK_F32, WK_DIMS(1));
    probe p;
    wk_status status = begin(&p, "roof_fork_join", WK_F32, threads, nothing, nothing);
    if (status == WK_OK) status = measure(&p, seconds);
    wk_scope_end(scope);
    return status;
}

/* The system may start the team on one core and part it only after tens of milliseconds; until then a join waits for a
 * turn of the scheduler. */
static wk_status wait_for_cores(int threads) {
    double seconds = INFINITY, until = wk_now() + 0.3;
    while (seconds > 2e-5 && wk_now() < until) WK_TRY(fork_join(threads, &seconds));
    return WK_OK;
}

wk_status wk__roofs_measure(wk__roofs *roofs, int threads) {
    *roofs = (wk__roofs){ .threads = threads };
    WK_TRY(wait_for_cores(threads));
    WK_TRY(peak(WK_F32, threads, &roofs->f32));
    WK_TRY(peak(WK_F64, threads, &roofs->f64));
    WK_TRY(peak(WK_BF16, threads, &roofs->bf16));
    WK_TRY(fork_join(threads, &roofs->fork_join));
    WK_TRY(measure_sizes(roofs));
    name_levels(roofs);
    return WK_OK;
}

/* ---- what they say of a row ---- */

double wk__roofs_limit(const wk__roofs *r, wk_dtype dtype, wk_cost cost, bool cold) {
    double peak_rate = dtype == WK_F64 ? r->f64 : dtype == WK_BF16 ? fmax(r->bf16, r->f32) : r->f32;
    double rate = r->rate[cold ? WK__ROOF_MOST : power_of(cost.bytes)];
    return fmax(cost.bytes / rate, cost.operations / peak_rate);
}

void wk__roofs_print(const wk__roofs *r, FILE *to) {
    (void)fprintf(to, "roofs:");
    for (int i = 0; i < WK__ROOF_LEVELS && r->level[i].name; i++)
        (void)fprintf(to, " %s %.0f,", r->level[i].name, r->level[i].rate / 1e9);
    (void)fprintf(to, " GB/s; f32 %.0f, f64 %.0f", r->f32 / 1e9, r->f64 / 1e9);
    if (r->bf16 > 0) (void)fprintf(to, ", bf16 %.0f", r->bf16 / 1e9);
    (void)fprintf(to, " Gop/s; fork and join %.2f us\n", 1e6 * r->fork_join);
}
