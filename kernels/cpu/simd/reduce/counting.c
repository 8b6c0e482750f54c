/* counting.c: distinct values, how often each whole number comes, histograms, places in an ordered row.
 *
 * Counting scatters; it runs on one thread.  Searches are shared between the threads.
 */
#include "cpu/simd/reduce/along.h"
#include "cpu/simd/reduce/order.h"

#include "cpu/scratch.h"

#include <math.h>

/* Each element in row-major order, whatever the layout. */
static wk_walk row_major(const wk_tensor *x) {
    wk_walk walk = wk_walk_of(x);
    if (x->rank) return walk;
    walk.rank = 1;
    walk.shape[0] = 1;
    walk.stride[0][0] = 0;
    return walk;
}

/* ---- unique ---- */

typedef struct gathering {
    const wk_tensor *x;
    char *to;
    int64_t *done;
} gathering;

static void gather_visit(const void *context, const int64_t offset[], int64_t n) {
    const gathering *g = context;
    int64_t size = (int64_t)wk_size_of(g->x->dtype), step = g->x->rank ? g->x->stride[g->x->rank - 1] : 0;
    for (int64_t i = 0; i < n; i++)
        memcpy(g->to + (*g->done)++ * size, (const char *)g->x->data + (offset[0] + i * step) * size, (size_t)size);
}

/* NaN is distinct from NaN. */
static bool differ(wk_pair a, wk_pair b, bool is_float) {
    return a.key != b.key || (is_float && a.key == UINT64_MAX);
}

/* Outputs: values (size), inverse (as x), counts (size), number.  What is beyond `size` is counted in `number` alone.
 */
static wk_status unique_padded(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *values = call->out[0];
    int64_t n = x->count, done = 0, size = (int64_t)wk_size_of(x->dtype), most = values->count, number = -1;
    int64_t *inverse = call->out[1]->data, *counts = call->out[2]->data;
    (void)ctx;
    memset(values->data, 0, (size_t)(most * size));
    memset(counts, 0, (size_t)most * sizeof *counts);
    char *row = wk__cpu_scratch(WK_SCRATCH_KERNEL, (size_t)n * (2 * sizeof(wk_pair) + (size_t)size) + 64);
    if (!row) return WK_NO_MEMORY;
    wk_pair *pairs = (wk_pair *)(void *)row;
    char *elements = row + (size_t)n * 2 * sizeof *pairs;
    wk_walk walk = row_major(x);
    gathering g = { x, elements, &done };
    wk_walk_range(&walk, 0, n, gather_visit, &g);
    wk_pair_up(pairs, elements, x->dtype, 1, n, false);
    pairs = wk_radix_pairs(pairs, pairs + n, n, 8);
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || differ(pairs[i - 1], pairs[i], (WK_FLOATS & WK_SET_OF(x->dtype)) != 0)) {
            if (++number < most)
                memcpy((char *)values->data + number * size, elements + (int64_t)pairs[i].place * size, (size_t)size);
        }
        inverse[pairs[i].place] = number < most ? number : -1;
        if (number < most) counts[number]++;
    }
    *(int64_t *)call->out[3]->data = number + 1;
    return WK_OK;
}

/* ---- bincount ---- */

static int64_t integer_at(const wk_tensor *x, int64_t i) {
    int64_t at = x->rank ? i * x->stride[0] : 0;
    switch (x->dtype) {
    case WK_I64: return ((const int64_t *)x->data)[at];
    case WK_I32: return ((const int32_t *)x->data)[at];
    case WK_I16: return ((const int16_t *)x->data)[at];
    case WK_I8: return ((const int8_t *)x->data)[at];
    default: return ((const uint8_t *)x->data)[at];
    }
}

static wk_status bincount(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *out = call->out[0];
    (void)ctx;
    memset(out->data, 0, (size_t)out->count * sizeof(int64_t));
    for (int64_t i = 0; i < x->count; i++) ((int64_t *)out->data)[integer_at(x, i)]++;
    return WK_OK;
}

/* ---- histc ---- */

typedef struct histogram {
    const wk_tensor *x;
    double low, high;
    int64_t *counts, bins;
    double *least, *most; /* of the first pass */
} histogram;

static double float_at(const wk_tensor *x, int64_t at) {
    switch (x->dtype) {
    case WK_F32: return (double)((const float *)x->data)[at];
    case WK_F64: return ((const double *)x->data)[at];
    case WK_BF16: return (double)wk_load_bf16(((const uint16_t *)x->data)[at]);
    default: return (double)wk_load_f16(((const uint16_t *)x->data)[at]);
    }
}
static void range_visit(const void *context, const int64_t offset[], int64_t n) {
    const histogram *h = context;
    int64_t step = h->x->rank ? h->x->stride[h->x->rank - 1] : 0;
    for (int64_t i = 0; i < n; i++) {
        double v = float_at(h->x, offset[0] + i * step);
        if (*h->least == *h->least && !(v >= *h->least)) *h->least = v; /* NaN stays */
        if (!(v <= *h->most)) *h->most = v;
    }
}
static void count_visit(const void *context, const int64_t offset[], int64_t n) {
    const histogram *h = context;
    int64_t step = h->x->rank ? h->x->stride[h->x->rank - 1] : 0;
    for (int64_t i = 0; i < n; i++) {
        double v = float_at(h->x, offset[0] + i * step);
        if (!(v >= h->low && v <= h->high)) continue;
        int64_t bin = (int64_t)((v - h->low) / (h->high - h->low) * (double)h->bins);
        h->counts[bin < h->bins ? bin : h->bins - 1]++;
    }
}

static wk_status histc(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *out = call->out[0];
    const wk_histc_opts *opts = call->attrs;
    double least = (double)INFINITY, most = -(double)INFINITY;
    (void)ctx;
    histogram h = { x, opts->min, opts->max, NULL, out->count, &least, &most };
    wk_walk walk = row_major(x);
    if (h.low == h.high && x->count) {
        wk_walk_range(&walk, 0, x->count, range_visit, &h);
        h.low = least, h.high = most;
        if (h.low == h.high) h.low -= 1, h.high += 1;
    }
    if (!(h.high - h.low < (double)INFINITY) || h.low > h.high)
        return wk_fail(WK_INVALID, "histc: the range [%g, %g] of the values is not finite", h.low, h.high);
    h.counts = wk__cpu_scratch(WK_SCRATCH_KERNEL, (size_t)h.bins * sizeof(int64_t) + 64);
    if (!h.counts) return WK_NO_MEMORY;
    memset(h.counts, 0, (size_t)h.bins * sizeof(int64_t));
    if (x->count && h.low < h.high) wk_walk_range(&walk, 0, x->count, count_visit, &h);
    for (int64_t at = 0; at < h.bins; at += WK_CHUNK) {
        wk_staging held;
        int64_t n = h.bins - at < WK_CHUNK ? h.bins - at : WK_CHUNK;
        for (int64_t i = 0; i < n; i++) {
            if (x->dtype == WK_F64)
                held.f64[i] = (double)h.counts[at + i];
            else
                held.f32[i] = (float)h.counts[at + i];
        }
        wk_stage_out((char *)out->data + at * (int64_t)wk_size_of(out->dtype), &held, out->dtype, 1, n);
    }
    return WK_OK;
}

/* ---- searchsorted ---- */

typedef struct search {
    int64_t *out;
    const char *values, *sorted;
    int64_t size, length, step;                /* of the sorted rows */
    int64_t out_step, value_step, sorted_step; /* along the walk's rows */
    bool right;
    int64_t (*find)(const struct search *s, const char *value, const char *sorted);
} search;

/* How many elements are below the value (right: not above it); NaN as a value is above all. */
#define FIND(name, type, load)                                                               \
    static int64_t name(const search *s, const char *value_, const char *sorted_) {          \
        const type *sorted = (const type *)(const void *)sorted_;                            \
        int64_t low = 0, count = s->length;                                                  \
        type raw = *(const type *)(const void *)value_;                                      \
        while (count > 0) {                                                                  \
            int64_t half = count / 2;                                                        \
            type here = sorted[(low + half) * s->step];                                      \
            bool beyond = s->right ? !(load(here) > load(raw)) : !(load(here) >= load(raw)); \
            low = beyond ? low + half + 1 : low;                                             \
            count = beyond ? count - half - 1 : half;                                        \
        }                                                                                    \
        return low;                                                                          \
    }
#define AS_IS(x) (x)
FIND(find_f32, float, AS_IS)
FIND(find_f64, double, AS_IS)
FIND(find_bf16, uint16_t, wk_load_bf16)
FIND(find_f16, uint16_t, wk_load_f16)
FIND(find_i64, int64_t, AS_IS)
FIND(find_i32, int32_t, AS_IS)
FIND(find_i16, int16_t, AS_IS)
FIND(find_i8, int8_t, AS_IS)
FIND(find_u8, uint8_t, AS_IS)

static void search_visit(const void *context, const int64_t offset[], int64_t n) {
    const search *s = context;
    for (int64_t i = 0; i < n; i++)
        s->out[offset[0] + i * s->out_step] = s->find(s, s->values + (offset[1] + i * s->value_step) * s->size,
                                                      s->sorted + (offset[2] + i * s->sorted_step) * s->size);
}

static wk_status searchsorted(wk_kernel_ctx *ctx, const wk_call *call) {
    static int64_t (*const find_of[WK_DTYPE_COUNT])(const search *, const char *, const char *) = {
        [WK_F32] = find_f32, [WK_F64] = find_f64, [WK_BF16] = find_bf16, [WK_F16] = find_f16, [WK_I64] = find_i64,
        [WK_I32] = find_i32, [WK_I16] = find_i16, [WK_I8] = find_i8,     [WK_U8] = find_u8,
    };
    const wk_tensor *sorted = call->in[0], *values = call->in[1], *out = call->out[0];
    if (!out->count) return WK_OK;
    wk_walk walk = wk_walk_of(out);
    wk_walk_add(&walk, values);
    walk.operands = 3;
    for (int i = 0; i < out->rank; i++)
        walk.stride[2][i] = sorted->rank > 1 && i < out->rank - 1 ? sorted->stride[i] : 0;
    wk_walk_simplify(&walk);
    int last = walk.rank - 1;
    const search s = { .out = out->data,
                       .values = values->data,
                       .sorted = sorted->data,
                       .size = (int64_t)wk_size_of(values->dtype),
                       .length = sorted->shape[sorted->rank - 1],
                       .step = sorted->stride[sorted->rank - 1],
                       .out_step = walk.stride[0][last],
                       .value_step = walk.stride[1][last],
                       .sorted_step = walk.stride[2][last],
                       .right = ((const wk_searchsorted_opts *)call->attrs)->right,
                       .find = find_of[values->dtype] };
    wk_walk_team(&walk, wk_cpu_team(ctx, 8 * out->count * s.size), search_visit, &s);
    return WK_OK;
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
WK_CPU_TABLE(counting) = {
    { "unique_padded", ANY, unique_padded },
    { "bincount", WK_INTEGERS, bincount },
    { "histc", WK_FLOATS, histc },
    { "searchsorted", WK_NUMBERS, searchsorted },
    { 0 },
};
