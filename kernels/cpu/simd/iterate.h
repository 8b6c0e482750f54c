/* iterate.h: one way to go along a wk_walk, and one to run a row kernel over its operands.
 *
 * Threads get equal pieces of the flattened element range, cut anywhere in a row, in multiples of 64 elements (two
 * threads never write one cache line).
 *
 * A row kernel (wk_row) sees contiguous operands of the type it computes in.  What is not like that (broadcast, gaps,
 * bf16, f16) goes through buffers of WK_CHUNK elements that stay in the first-level cache.  So each operation is one
 * loop, which the compiler vectorises, not one per combination of strides: a third of the code.
 */
#ifndef WICK_KERNELS_ITERATE_H
#define WICK_KERNELS_ITERATE_H

#include "cpu/simd/half.h"
#include "walk.h"

#include <omp.h>

/* Under a sanitizer clang cannot vectorise every loop that `omp simd` marks: slower, not wrong, and no reason to warn.
 */
#ifdef __clang__
#    pragma clang diagnostic ignored "-Wpass-failed"
#endif

enum { WK_CHUNK = 256, WK_SMALL = 8192 };

/* One row, or a part of one: where each operand stands, in elements from its start. */
typedef void (*wk_walk_visit)(const void *context, const int64_t offset[], int64_t n);

static inline size_t wk_size_of(unsigned dtype) {
    static const uint8_t sizes[WK_DTYPE_COUNT] = {
#define WK_SIZE(name, text, type, bytes, stored) [WK_##name] = bytes,
        WK_DTYPE_MAP(WK_SIZE)
#undef WK_SIZE
    };
    return sizes[dtype];
}

/* Where element i in row-major order stands, in elements from the tensor's start. */
static inline int64_t wk_element_at(const wk_tensor *t, int64_t i) {
    if (t->flags & WK_TENSOR_CONTIGUOUS) return i;
    int64_t at = 0;
    for (int d = t->rank - 1; d >= 0; d--) {
        at += i % t->shape[d] * t->stride[d];
        i /= t->shape[d];
    }
    return at;
}

/* The team for work that only moves bytes, from the caches mostly: a core moves about 100 GB/s, so the 1 µs that waking
 * the team costs is worth 100 KB and not WK_CPU_GRAIN.  (add of (64, 128) f32: 0.9 µs on one thread, 1.3 on two.) */
static inline int wk_moving_team(const wk_kernel_ctx *ctx, int64_t bytes) {
    return wk_cpu_team(ctx, bytes / 4);
}

/* Visit elements [begin, end) of the flattened walk. */
static inline void wk_walk_range(const wk_walk *walk, int64_t begin, int64_t end, wk_walk_visit visit,
                                 const void *context) {
    if (begin >= end) return;
    int last = walk->rank - 1;
    int64_t index[WK_MAX_RANK], offset[WK_WALK_OPERANDS] = { 0 }, rest = begin;
    for (int i = last; i >= 0; i--) {
        index[i] = rest % walk->shape[i];
        rest /= walk->shape[i];
        for (int k = 0; k < walk->operands; k++) offset[k] += index[i] * walk->stride[k][i];
    }
    for (;;) {
        int64_t n = walk->shape[last] - index[last];
        if (n > end - begin) n = end - begin;
        visit(context, offset, n);
        begin += n;
        if (begin >= end) return;
        for (int k = 0; k < walk->operands; k++) offset[k] -= index[last] * walk->stride[k][last];
        index[last] = 0;
        for (int i = last - 1; i >= 0; i--) {
            for (int k = 0; k < walk->operands; k++) offset[k] += walk->stride[k][i];
            if (++index[i] < walk->shape[i]) break;
            for (int k = 0; k < walk->operands; k++) offset[k] -= walk->shape[i] * walk->stride[k][i];
            index[i] = 0;
        }
    }
}

/* Piece `part` of `parts` of [0, total), in multiples of `grain`. */
static inline void wk_share(int64_t total, int64_t grain, int part, int parts, int64_t *begin, int64_t *end) {
    int64_t units = (total + grain - 1) / grain;
    *begin = units * part / parts * grain;
    *end = units * (part + 1) / parts * grain;
    if (*begin > total) *begin = total;
    if (*end > total) *end = total;
}

/* Split over the team in multiples of `grain` elements. */
static inline void wk_walk_split(const wk_walk *walk, int team, int64_t grain, wk_walk_visit visit,
                                 const void *context) {
    int64_t total = wk_walk_count(walk);
    if (team == 1) {
        wk_walk_range(walk, 0, total, visit, context);
        return;
    }
#pragma omp parallel num_threads(team)
    {
        int64_t begin, end;
        wk_share(total, grain, omp_get_thread_num(), omp_get_num_threads(), &begin, &end);
        wk_walk_range(walk, begin, end, visit, context);
    }
}

static inline void wk_walk_team(const wk_walk *walk, int team, wk_walk_visit visit, const void *context) {
    wk_walk_split(walk, team, 64, visit, context);
}

/* Elements of the walk are whole lines of work. */
static inline void wk_walk_lines(const wk_walk *walk, int team, wk_walk_visit visit, const void *context) {
    wk_walk_split(walk, team, 1, visit, context);
}

/* The axes of a reduction as two walks: the kept ones over (out, x), the others over (x). */
static inline void wk_split_axes(wk_walk *kept, wk_walk *rest, const wk_tensor *x, const wk_tensor *out,
                                 const wk_reduce_opts *opts) {
    bool reduced[WK_MAX_RANK] = { false };
    for (int i = 0; i < opts->axes.rank; i++)
        reduced[opts->axes.size[i] < 0 ? opts->axes.size[i] + x->rank : opts->axes.size[i]] = true;
    int out_axis = 0;
    *kept = (wk_walk){ .operands = 2 };
    *rest = (wk_walk){ .operands = 1 };
    for (int i = 0; i < x->rank; i++) {
        bool reduce = reduced[i] || opts->axes.rank == 0;
        if (reduce) {
            rest->stride[0][rest->rank] = x->stride[i];
            rest->shape[rest->rank++] = x->shape[i];
        } else {
            kept->stride[0][kept->rank] = out->stride[out_axis];
            kept->stride[1][kept->rank] = x->stride[i];
            kept->shape[kept->rank++] = x->shape[i];
        }
        if (!reduce || opts->keep_dims) out_axis++;
    }
    wk_walk_simplify(kept);
    wk_walk_simplify(rest);
}

/* ---- row kernels ----------------------------------------------------------------------------------------------------
 */

typedef void (*wk_row)(void *out, const void *const *in, int64_t n, const void *params);

typedef struct wk_map_plan {
    wk_row row;
    const void *params;
    char *data[WK_WALK_OPERANDS];
    int64_t step[WK_WALK_OPERANDS]; /* along the row, in elements */
    uint8_t dtype[WK_WALK_OPERANDS];
    int operands;
    bool direct; /* no operand needs a buffer */
} wk_map_plan;

typedef union wk_staging {
    float f32[WK_CHUNK];
    double f64[WK_CHUNK];
    uint64_t b8[WK_CHUNK];
    uint32_t b4[WK_CHUNK];
    uint16_t b2[WK_CHUNK];
    uint8_t b1[WK_CHUNK];
} wk_staging;

/* Bring n ≤ WK_CHUNK elements together. */
static inline void wk_gather_row(wk_staging *to, const void *from, size_t size, int64_t step, int64_t n) {
    if (step == 0) { /* one element for all: a loop that a broadcast operand should not wait for */
        uint64_t b8 = size == 8 ? *(const uint64_t *)from : 0;
        uint32_t b4 = size == 4 ? *(const uint32_t *)from : 0;
        uint16_t b2 = size == 2 ? *(const uint16_t *)from : 0;
        for (int64_t i = 0; i < n && size == 8; i++) to->b8[i] = b8;
        for (int64_t i = 0; i < n && size == 4; i++) to->b4[i] = b4;
        for (int64_t i = 0; i < n && size == 2; i++) to->b2[i] = b2;
        if (size == 1) memset(to->b1, *(const uint8_t *)from, (size_t)n);
        return;
    }
    switch (size) {
    case 1:
        for (int64_t i = 0; i < n; i++) to->b1[i] = ((const uint8_t *)from)[i * step];
        return;
    case 2:
        for (int64_t i = 0; i < n; i++) to->b2[i] = ((const uint16_t *)from)[i * step];
        return;
    case 4:
        for (int64_t i = 0; i < n; i++) to->b4[i] = ((const uint32_t *)from)[i * step];
        return;
    default:
        for (int64_t i = 0; i < n; i++) to->b8[i] = ((const uint64_t *)from)[i * step];
    }
}

static inline void wk_scatter_row(void *to, const wk_staging *from, size_t size, int64_t step, int64_t n) {
    switch (size) {
    case 1:
        for (int64_t i = 0; i < n; i++) ((uint8_t *)to)[i * step] = from->b1[i];
        return;
    case 2:
        for (int64_t i = 0; i < n; i++) ((uint16_t *)to)[i * step] = from->b2[i];
        return;
    case 4:
        for (int64_t i = 0; i < n; i++) ((uint32_t *)to)[i * step] = from->b4[i];
        return;
    default:
        for (int64_t i = 0; i < n; i++) ((uint64_t *)to)[i * step] = from->b8[i];
    }
}

/* n ≤ WK_CHUNK elements, contiguous, bf16 and f16 as f32: in `buffer`, or where they are if they are like that. */
static inline const void *wk_stage_in(wk_staging *buffer, const void *from, unsigned dtype, int64_t step, int64_t n) {
    if (!wk_is_half(dtype)) {
        if (step == 1) return from;
        wk_gather_row(buffer, from, wk_size_of(dtype), step, n);
        return buffer;
    }
    wk_staging together;
    const void *halves = from;
    if (step != 1) wk_gather_row(&together, from, 2, step, n), halves = &together;
    wk_widen(buffer->f32, halves, n, dtype);
    return buffer;
}

/* The reverse, for results that were computed in `buffer`. */
static inline void wk_stage_out(void *to, const wk_staging *buffer, unsigned dtype, int64_t step, int64_t n) {
    if (!wk_is_half(dtype)) {
        wk_scatter_row(to, buffer, wk_size_of(dtype), step, n);
    } else if (step == 1) {
        wk_narrow(to, buffer->f32, n, dtype);
    } else {
        wk_staging together;
        wk_narrow(together.b2, buffer->f32, n, dtype);
        wk_scatter_row(to, &together, 2, step, n);
    }
}

static inline void wk_map_chunks(const wk_map_plan *plan, char *const at[], int64_t n) {
    wk_staging buffer[WK_WALK_OPERANDS];
    const void *in[WK_WALK_OPERANDS] = { NULL };
    bool out_direct = plan->step[0] == 1 && !wk_is_half(plan->dtype[0]);
    for (int64_t done = 0; done < n; done += WK_CHUNK) {
        int64_t part = n - done < WK_CHUNK ? n - done : WK_CHUNK;
        for (int k = 1; k < plan->operands; k++) {
            if (plan->step[k] == 0 && done > 0) continue; /* the first chunk's copies still stand */
            const char *from = at[k] + done * plan->step[k] * (int64_t)wk_size_of(plan->dtype[k]);
            in[k - 1] = wk_stage_in(&buffer[k], from, plan->dtype[k], plan->step[k], part);
        }
        char *to = at[0] + done * plan->step[0] * (int64_t)wk_size_of(plan->dtype[0]);
        plan->row(out_direct ? (void *)to : &buffer[0], in, part, plan->params);
        if (!out_direct) wk_stage_out(to, &buffer[0], plan->dtype[0], plan->step[0], part);
    }
}

static inline void wk_map_visit(const void *context, const int64_t offset[], int64_t n) {
    const wk_map_plan *plan = context;
    char *at[WK_WALK_OPERANDS] = { NULL };
    for (int k = 0; k < plan->operands; k++) at[k] = plan->data[k] + offset[k] * (int64_t)wk_size_of(plan->dtype[k]);
    if (plan->direct) {
        const void *in[] = { at[1], at[2], at[3] };
        plan->row(at[0], in, n, plan->params);
    } else {
        wk_map_chunks(plan, at, n);
    }
}

/* The walk of a call and how its operands stand along a row; the bytes that move. */
static int64_t wk_map_prepare(wk_map_plan *plan, wk_walk *walk, const wk_call *call) {
    int64_t bytes = 0;
    *walk = wk_walk_of(call->out[0]);
    plan->direct = true;
    for (int k = 0; k < plan->operands; k++) {
        const wk_tensor *t = k ? call->in[k - 1] : call->out[0];
        if (k) wk_walk_add(walk, t);
        plan->data[k] = t->data;
        plan->dtype[k] = t->dtype;
        bytes += t->count * (int64_t)wk_size_of(t->dtype);
    }
    wk_walk_simplify(walk);
    for (int k = 0; k < plan->operands; k++) {
        plan->step[k] = walk->stride[k][walk->rank - 1];
        if (walk->shape[walk->rank - 1] == 1) plan->step[k] = 1;
        if (plan->step[k] != 1 || wk_is_half(plan->dtype[k])) plan->direct = false;
    }
    return bytes;
}

/* out[0] = row(in[0], …) over any layouts.  inputs: how many of the call's inputs take part, 1 to 3. */
static wk_status wk_map_general(const wk_kernel_ctx *ctx, const wk_call *call, int inputs, wk_row row,
                                const void *params) {
    wk_map_plan plan = { .row = row, .params = params, .operands = inputs + 1 };
    wk_walk walk;
    const int64_t bytes = wk_map_prepare(&plan, &walk, call);
    wk_walk_team(&walk, wk_moving_team(ctx, bytes), wk_map_visit, &plan);
    return WK_OK;
}

/* The same of two operands, one of which may be a single number along each row: `once` are the rows for that (which may
 * be NULL), of the first and of the second operand.  (512, 1) · (1, 1024), one thread: 51 µs with a buffer of equal
 * numbers, 37 so. */
static inline wk_status wk_map_pair(const wk_kernel_ctx *ctx, const wk_call *call, wk_row row, const wk_row once[2]) {
    wk_map_plan plan = { .row = row, .operands = 3 };
    wk_walk walk;
    const int64_t bytes = wk_map_prepare(&plan, &walk, call);
    for (int k = 1; k < 3; k++) {
        const bool others = plan.step[0] == 1 && plan.step[3 - k] == 1 && !wk_is_half(plan.dtype[0]);
        if (once[k - 1] && plan.step[k] == 0 && others) plan.row = once[k - 1], plan.direct = true;
    }
    wk_walk_team(&walk, wk_moving_team(ctx, bytes), wk_map_visit, &plan);
    return WK_OK;
}

/* The same; small operands that need no buffer are answered first, since an operation on one element should cost a
 * call and not a plan (measured: 5 ns against 50). */
static inline wk_status wk_map(const wk_kernel_ctx *ctx, const wk_call *call, int inputs, wk_row row,
                               const void *params) {
    const wk_tensor *out = call->out[0];
    const void *in[WK_WALK_OPERANDS] = { NULL };
    bool direct = out->count <= WK_SMALL && (out->flags & WK_TENSOR_CONTIGUOUS) && !wk_is_half(out->dtype);
    for (int k = 0; k < inputs && direct; k++) {
        const wk_tensor *t = call->in[k];
        direct = t->count == out->count && (t->flags & WK_TENSOR_CONTIGUOUS) && !wk_is_half(t->dtype);
        in[k] = t->data;
    }
    if (!direct) return out->count ? wk_map_general(ctx, call, inputs, row, params) : WK_OK;
    if (out->count) row(out->data, in, out->count, params);
    return WK_OK;
}

#endif
