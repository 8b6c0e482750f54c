/* arrange.c: elements put elsewhere: reversed, inside a constant, on a diagonal, windows added up.
 *
 * All are a strided walk over memory that a shape rule could not describe as a view of the input: a reversed axis is a
 * negative stride, the inside of a padded tensor and a diagonal are a start and strides of the output.
 */
#include "cpu/simd/layout/copy.h"

#include <string.h>

/* A walk over x's shape with `stride` as operand 0 and x as operand 1. */
static wk_walk walk_into(const int64_t stride[], const wk_tensor *x) {
    wk_walk walk = { .operands = 1, .rank = x->rank };
    for (int i = 0; i < x->rank; i++) {
        walk.shape[i] = x->shape[i];
        walk.stride[0][i] = stride[i];
    }
    wk_walk_add(&walk, x);
    return walk;
}

static void copy_into(wk_kernel_ctx *ctx, const wk_tensor *out, int64_t start, const int64_t stride[],
                      const wk_tensor *x) {
    size_t size = wk_size_of(x->dtype);
    if (!x->count) return;
    wk_walk walk = walk_into(stride, x);
    wk__copy_strided(&walk, (char *)out->data + start * (int64_t)size, x->data, size,
                     wk_moving_team(ctx, 2 * x->count * (int64_t)size));
}

/* ---- flip ---- */

static wk_status flip(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_dims *axes = &((const wk_flip_opts *)call->attrs)->axes;
    const wk_tensor *x = call->in[0], *out = call->out[0];
    int64_t stride[WK_MAX_RANK] = { 0 }, start = 0;
    uint32_t mask = axes->rank ? 0 : ~0u;
    for (int i = 0; i < axes->rank; i++) mask |= 1u << (axes->size[i] < 0 ? axes->size[i] + x->rank : axes->size[i]);
    for (int i = 0; i < x->rank; i++) {
        bool reversed = mask >> i & 1;
        stride[i] = reversed ? -out->stride[i] : out->stride[i];
        if (reversed) start += (out->shape[i] - 1) * out->stride[i];
    }
    copy_into(ctx, out, start, stride, x);
    return WK_OK;
}

/* ---- roll ---- */

/* Each rolled axis has two parts that change places: a copy for every choice of parts. */
static wk_status roll_axes(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_dims *shifts = &((const wk_roll_opts *)call->attrs)->shifts;
    const wk_tensor *x = call->in[0], *out = call->out[0];
    size_t size = wk_size_of(x->dtype);
    int axis[WK_MAX_RANK], axes = 0;
    for (int i = 0; i < x->rank; i++)
        if (shifts->size[i]) axis[axes++] = i;
    for (unsigned parts = 0; parts < 1u << axes; parts++) {
        wk_walk walk = wk_walk_of(out);
        wk_walk_add(&walk, x);
        int64_t to = 0, from = 0;
        for (int k = 0; k < axes; k++) {
            int at = axis[k];
            int64_t shift = shifts->size[at], before = x->shape[at] - shift;
            bool behind = parts >> k & 1;
            walk.shape[at] = behind ? shift : before;
            if (behind)
                from += before * x->stride[at];
            else
                to += shift * out->stride[at];
        }
        wk__copy_strided(&walk, (char *)out->data + to * (int64_t)size, (const char *)x->data + from * (int64_t)size,
                         size, wk_moving_team(ctx, 2 * wk_walk_count(&walk) * (int64_t)size));
    }
    return WK_OK;
}

/* ---- a constant around ---- */

static wk_status pad_constant(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_pad_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0], *out = call->out[0];
    int64_t start = 0;
    for (int i = 0; i < opts->before.rank; i++)
        start += opts->before.size[i] * out->stride[x->rank - opts->before.rank + i];
    wk__fill_dense(ctx, out, opts->value);
    copy_into(ctx, out, start, out->stride, x);
    return WK_OK;
}

/* ---- its own elements around ---- */

enum { MOST_NEAR = 32 };

/* Rows of out, and where the row of x that each repeats stands. */
typedef struct edges {
    const wk_tensor *x, *out;
    const wk_pad_opts *opts;
    size_t size;
    int64_t near[MOST_NEAR]; /* of the first elements around a row: where they stand in it */
} edges;

/* In elements from x's start, along one axis. */
static int64_t edge_at(const edges *e, int axis, int64_t i) {
    const wk_dims *before = &e->opts->before;
    int padded = axis - (e->x->rank - before->rank);
    if (padded >= 0) i = wk__pad_source(i - before->size[padded], e->x->shape[axis], e->opts->mode);
    return i * e->x->stride[axis];
}

/* Of element i of a row of out, which is number `k` of those around. */
static inline int64_t around(const edges *e, int64_t i, int64_t k) {
    return k < MOST_NEAR ? e->near[k] : edge_at(e, e->x->rank - 1, i);
}

static void find_near(edges *e) {
    const int last = e->x->rank - 1;
    const int64_t before = e->opts->before.size[e->opts->before.rank - 1], n = e->x->shape[last];
    const int64_t count = e->out->shape[last] - n;
    for (int64_t k = 0; k < count && k < MOST_NEAR; k++) e->near[k] = edge_at(e, last, k < before ? k : k + n);
}

#define EDGE_LOOP(type, first, behind, source) \
    for (int64_t i = (first); i < (behind); i++) ((type *)(void *)to)[i] = ((const type *)(const void *)from)[source]
#define EDGE_CASE(bytes, type)                                                   \
    case bytes:                                                                  \
        EDGE_LOOP(type, 0, before, around(e, i, i));                             \
        EDGE_LOOP(type, before + n, total, around(e, i, i - n));                 \
        if (step != 1) EDGE_LOOP(type, before, before + n, (i - before) * step); \
        return;
static void edge_row(const edges *e, char *to, const char *from) {
    int last = e->x->rank - 1;
    int64_t n = e->x->shape[last], total = e->out->shape[last];
    int64_t before = e->opts->before.size[e->opts->before.rank - 1], step = e->x->stride[last];
    if (step == 1) wk_copy_short(to + before * (int64_t)e->size, from, n * (int64_t)e->size);
    switch (e->size) {
        EDGE_CASE(1, uint8_t)
        EDGE_CASE(2, uint16_t)
        EDGE_CASE(4, uint32_t)
        EDGE_CASE(8, uint64_t)
    default: return;
    }
}

static void edge_rows(const edges *e, int64_t begin, int64_t end) {
    int last = e->x->rank - 1;
    int64_t index[WK_MAX_RANK] = { 0 }, at[WK_MAX_RANK] = { 0 }, from = 0, rest = begin;
    for (int i = last - 1; i >= 0; i--) {
        index[i] = rest % e->out->shape[i];
        rest /= e->out->shape[i];
        from += at[i] = edge_at(e, i, index[i]);
    }
    for (int64_t row = begin; row < end; row++) {
        edge_row(e, (char *)e->out->data + row * e->out->shape[last] * (int64_t)e->size,
                 (const char *)e->x->data + from * (int64_t)e->size);
        for (int i = last - 1; i >= 0; i--) {
            bool carries = ++index[i] == e->out->shape[i];
            if (carries) index[i] = 0;
            from -= at[i];
            from += at[i] = edge_at(e, i, index[i]);
            if (!carries) break;
        }
    }
}

static wk_status pad_edges(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *out = call->out[0];
    edges e = { .x = x, .out = out, .opts = call->attrs, .size = wk_size_of(x->dtype) };
    find_near(&e);
    int64_t rows = out->count / out->shape[x->rank - 1];
    int team = wk_moving_team(ctx, 2 * out->count * (int64_t)e.size);
    if (team == 1) {
        edge_rows(&e, 0, rows);
        return WK_OK;
    }
#pragma omp parallel num_threads(team)
    {
        int64_t begin, end;
        wk_share(rows, 1, omp_get_thread_num(), omp_get_num_threads(), &begin, &end);
        edge_rows(&e, begin, end);
    }
    return WK_OK;
}

/* ---- gradients of views ---- */

static wk_status diagonal_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_diagonal_opts *opts = &((const wk_diagonal_grad_attrs *)call->attrs)->diagonal;
    const wk_tensor *dy = call->in[0], *dx = call->out[0];
    int a = (int)wk_optional_or(opts->axis_a, 0), b = (int)wk_optional_or(opts->axis_b, 1), last = 0;
    int64_t stride[WK_MAX_RANK] = { 0 };
    if (a < 0) a += dx->rank;
    if (b < 0) b += dx->rank;
    for (int axis = 0; axis < dx->rank; axis++)
        if (axis != a && axis != b) stride[last++] = dx->stride[axis];
    stride[last] = dx->stride[a] + dx->stride[b];
    wk__fill_dense(ctx, dx, 0);
    copy_into(ctx, dx, opts->offset < 0 ? -opts->offset * dx->stride[a] : opts->offset * dx->stride[b], stride, dy);
    return WK_OK;
}

/* out += x along rows; bf16 and f16 add in f32 and round at each step, as they are added up one window after another.
 */
typedef struct add_plan {
    char *to;
    const char *from;
    int64_t to_step, from_step;
    unsigned dtype;
} add_plan;

#define ADD_LOOP(type, sum, to_step, from_step)                \
    for (int64_t i = 0; i < n; i++) {                          \
        type a = to[i * (to_step)], b = from[i * (from_step)]; \
        to[i * (to_step)] = (type)(sum);                       \
    }
#define ADD_CASE(dtype_name, type, sum)                                                 \
    case dtype_name: {                                                                  \
        type *restrict to = (type *)(void *)plan->to + offset[0];                       \
        const type *restrict from = (const type *)(const void *)plan->from + offset[1]; \
        if (plan->to_step == 1 && plan->from_step == 1)                                 \
            ADD_LOOP(type, sum, 1, 1)                                                   \
        else                                                                            \
            ADD_LOOP(type, sum, plan->to_step, plan->from_step)                         \
        return;                                                                         \
    }
static void add_rows(const void *context, const int64_t offset[], int64_t n) {
    const add_plan *plan = context;
    switch (plan->dtype) {
        ADD_CASE(WK_F32, float, a + b)
        ADD_CASE(WK_F64, double, a + b)
        ADD_CASE(WK_BF16, uint16_t, wk_store_bf16(wk_load_bf16(a) + wk_load_bf16(b)))
        ADD_CASE(WK_F16, uint16_t, wk_store_f16(wk_load_f16(a) + wk_load_f16(b)))
        ADD_CASE(WK_I64, uint64_t, a + b)
        ADD_CASE(WK_I32, uint32_t, a + b)
        ADD_CASE(WK_I16, uint16_t, 1u * a + b)
        ADD_CASE(WK_I8, uint8_t, 1u * a + b)
        ADD_CASE(WK_U8, uint8_t, 1u * a + b)
    default: return;
    }
}

/* Windows of one position do not overlap each other, so each position is one walk. */
static wk_status windows_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_windows_opts *opts = &((const wk_windows_grad_attrs *)call->attrs)->windows;
    const wk_tensor *dy = call->in[0], *dx = call->out[0];
    int64_t size = (int64_t)wk_size_of(dy->dtype), axis = opts->axis;
    wk__fill_dense(ctx, dx, 0);
    if (!dy->count) return WK_OK;
    for (int64_t k = 0; k < opts->size; k++) {
        wk_walk walk = { .operands = 2, .rank = dx->rank };
        for (int i = 0; i < dx->rank; i++) {
            walk.shape[i] = dy->shape[i];
            walk.stride[0][i] = dx->stride[i] * (i == axis ? opts->step : 1);
            walk.stride[1][i] = dy->stride[i];
        }
        wk_walk_simplify(&walk);
        const add_plan plan = { (char *)dx->data + k * opts->dilation * dx->stride[axis] * size,
                                (const char *)dy->data + k * dy->stride[dx->rank] * size, walk.stride[0][walk.rank - 1],
                                walk.stride[1][walk.rank - 1], dy->dtype };
        wk_walk_team(&walk, wk_moving_team(ctx, 3 * wk_walk_count(&walk) * size), add_rows, &plan);
    }
    return WK_OK;
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
WK_CPU_TABLE(arrange) = {
    { "flip", ANY, flip },
    { "roll_axes", ANY, roll_axes },
    { "pad_constant", ANY, pad_constant },
    { "pad_edges", ANY, pad_edges },
    { "diagonal_backward", ANY, diagonal_backward },
    { "windows_backward", WK_NUMBERS, windows_backward },
    { 0 },
};
