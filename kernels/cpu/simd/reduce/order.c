/* order.c: sort, the k largest or least, the k-th least and the median of each line along an axis.
 *
 * Lines are brought together as keys with their places (order.h), which are put in order; values are then copied from
 * x, so that they keep their bits.  Threads share lines.
 */
#include "cpu/simd/reduce/along.h"
#include "cpu/simd/reduce/order.h"

#include "cpu/scratch.h"

typedef struct ordering {
    unsigned dtype;
    bool reversed;
    bool is_median; /* NaN wins */
    bool unsorted;  /* the k in the order of their places */
    int64_t first;  /* k-th least: counted from 0; else -1 */
} ordering;

static void copy_element(char *to, const char *from, int64_t size) {
    switch (size) {
    case 1: *to = *from; return;
    case 2: memcpy(to, from, 2); return;
    case 4: memcpy(to, from, 4); return;
    default: memcpy(to, from, 8);
    }
}

static void give(const wk_along *along, char *const at[], int64_t j, int64_t place) {
    copy_element(at[0] + j * along->step[0] * along->size[0], at[2] + place * along->step[2] * along->size[2],
                 along->size[0]);
    ((int64_t *)(void *)at[1])[j * along->step[1]] = place;
}

/* The place of the first NaN, or -1. */
static int64_t find_nan(const wk_along *along, const char *x, unsigned dtype) {
    if (dtype == WK_F64 || dtype == WK_F32 || dtype == WK_BF16 || dtype == WK_F16)
        for (int64_t i = 0; i < along->length[2]; i++)
            if (wk_wide_key(x + i * along->step[2] * along->size[2], dtype) == UINT64_MAX) return i;
    return -1;
}

/* Operands: values (k), places (k), x (n). */
#define LINES(name, type, fill, key_byte, PLACE)                                                  \
    static void sort_##name(const wk_along *along, char *const at[]) {                            \
        const ordering *o = along->params;                                                        \
        int64_t n = along->length[2];                                                             \
        type *a = (type *)(void *)wk_along_scratch(along);                                        \
        fill(a, at[2], o->dtype, along->step[2], n, o->reversed);                                 \
        a = wk_radix_##name(a, a + n, n, key_byte);                                               \
        for (int64_t j = 0; j < n; j++) give(along, at, j, (int64_t)PLACE(a[j]));                 \
    }                                                                                             \
    static void top_##name(const wk_along *along, char *const at[]) {                             \
        const ordering *o = along->params;                                                        \
        int64_t n = along->length[2], k = along->length[0];                                       \
        type *a = (type *)(void *)wk_along_scratch(along);                                        \
        fill(a, at[2], o->dtype, along->step[2], n, o->reversed);                                 \
        wk_part_##name(a, a + n, n, k);                                                           \
        if (o->unsorted)                                                                          \
            for (int64_t i = 0; i < k; i++) a[i] = by_place_##name(a[i]);                         \
        a = wk_radix_##name(a, a + n, k, 0);                                                      \
        for (int64_t j = 0; j < k; j++)                                                           \
            give(along, at, j, (int64_t)PLACE((o->unsorted ? by_place_##name(a[j]) : a[j])));     \
    }                                                                                             \
    static void pick_##name(const wk_along *along, char *const at[]) {                            \
        const ordering *o = along->params;                                                        \
        int64_t n = along->length[2], nan = o->is_median ? find_nan(along, at[2], o->dtype) : -1; \
        if (nan >= 0) {                                                                           \
            give(along, at, 0, nan);                                                              \
            return;                                                                               \
        }                                                                                         \
        type *a = (type *)(void *)wk_along_scratch(along);                                        \
        fill(a, at[2], o->dtype, along->step[2], n, false);                                       \
        wk_part_##name(a, a + n, n, o->first + 1);                                                \
        give(along, at, 0, (int64_t)PLACE(a[o->first]));                                          \
    }
#define PACKED_PLACE(e) ((e)&UINT32_MAX)
#define PAIR_PLACE(e)   ((e).place)
static inline uint64_t by_place_packed(uint64_t e) {
    return e << 32 | e >> 32;
}
static inline wk_pair by_place_pairs(wk_pair e) {
    return (wk_pair){ e.key, e.place };
}
LINES(packed, uint64_t, wk_pack, 4, PACKED_PLACE)
LINES(pairs, wk_pair, wk_pair_up, 8, PAIR_PLACE)

typedef void (*line_kernel)(const wk_along *along, char *const at[]);

static wk_status run(const wk_kernel_ctx *ctx, const wk_call *call, wk_optional axis, line_kernel packed,
                     line_kernel pairs, ordering o) {
    const wk_tensor *x = call->in[0];
    const wk_tensor *const tensors[] = { call->out[0], call->out[1], x };
    if (!call->out[0]->count) return WK_OK;
    int at = wk_along_axis(x, axis);
    int64_t n = x->rank ? x->shape[at] : 1;
    bool packs = wk_packs(x->dtype, n);
    o.dtype = x->dtype;
    wk_along along = { .operands = 3, .line = packs ? packed : pairs, .params = &o };
    along.scratch_bytes = (size_t)n * 2 * (packs ? sizeof(uint64_t) : sizeof(wk_pair));
    along.scratch_bytes = (along.scratch_bytes + 63) / 64 * 64;
    along.scratch = wk__cpu_scratch(WK_SCRATCH_KERNEL, along.scratch_bytes * (size_t)ctx->threads);
    if (!along.scratch) return WK_NO_MEMORY;
    wk_along_run(&along, ctx, tensors, x, at, 8);
    return WK_OK;
}

static wk_status sort(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_sort_opts *opts = call->attrs;
    return run(ctx, call, opts->axis, sort_packed, sort_pairs, (ordering){ .reversed = opts->descending });
}
static wk_status topk(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_topk_opts *opts = call->attrs;
    return run(ctx, call, opts->axis, top_packed, top_pairs,
               (ordering){ .reversed = !opts->smallest, .unsorted = opts->unsorted });
}
static wk_status kthvalue(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_kthvalue_opts *opts = call->attrs;
    return run(ctx, call, opts->axis, pick_packed, pick_pairs, (ordering){ .first = opts->k - 1 });
}
static wk_status median(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_median_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0];
    int64_t n = x->rank ? x->shape[wk_along_axis(x, opts->axis)] : 1;
    return run(ctx, call, opts->axis, pick_packed, pick_pairs, (ordering){ .first = (n - 1) / 2, .is_median = true });
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
WK_CPU_TABLE(order) = {
    { "sort", ANY, sort }, { "topk", ANY, topk }, { "kthvalue", ANY, kthvalue }, { "median", ANY, median }, { 0 },
};
