/* index.c: concat, index_select, gather and what their gradients add or copy back.
 *
 * index_select is gather with an index that is broadcast over the other axes: one walk over (out, index, x), where x
 * stands still along the indexed axis and the index says how far to jump.  Rows that share one index are memcpy.
 *
 * Backward adds dy into zeros.  Equal indices meet in one element of dx, so the work is split over the other axes only,
 * and each thread goes through the index in order: no atomics, no workspace, the same sums on every run.  An index is
 * checked before anything is written.
 */
#include "cpu/simd/layout/copy.h"
#include "cpu/simd/layout/positions.h"

/* ---- concat, slice_backward
 * ------------------------------------------------------------------------------------------ */

static wk_status concat(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_concat_opts *opts = call->attrs;
    const wk_tensor *out = call->out[0];
    int64_t size = (int64_t)wk_size_of(out->dtype), at = 0;
    int team = wk_moving_team(ctx, 2 * out->count * size);
    for (int i = 0; i < call->n_in; i++) {
        const wk_tensor *x = call->in[i];
        if (x->count) {
            wk_walk walk = { .operands = 1, .rank = x->rank };
            for (int axis = 0; axis < x->rank; axis++) {
                walk.shape[axis] = x->shape[axis];
                walk.stride[0][axis] = out->stride[axis];
            }
            wk_walk_add(&walk, x);
            char *to = (char *)out->data + at * out->stride[opts->axis] * size;
            wk__copy_strided(&walk, to, x->data, (size_t)size, team);
        }
        at += x->shape[opts->axis];
    }
    return WK_OK;
}

static wk_status slice_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_slice_opts *slice = &((const wk_slice_grad_attrs *)call->attrs)->slice;
    const wk_tensor *dy = call->in[0], *dx = call->out[0];
    int64_t size = (int64_t)wk_size_of(dy->dtype), step = slice->step ? slice->step : 1;
    wk__fill_dense(ctx, dx, 0);
    if (!dy->count) return WK_OK;
    wk_walk walk = { .operands = 1, .rank = dy->rank };
    for (int i = 0; i < dy->rank; i++) {
        walk.shape[i] = dy->shape[i];
        walk.stride[0][i] = dx->stride[i] * (i == slice->axis ? step : 1);
    }
    wk_walk_add(&walk, dy);
    char *to = (char *)dx->data + slice->start * dx->stride[slice->axis] * size;
    wk__copy_strided(&walk, to, dy->data, (size_t)size, wk_moving_team(ctx, 2 * dy->count * size));
    return WK_OK;
}

/* ---- index_select, gather
 * -------------------------------------------------------------------------------------------- */

/* Stride of the index along axis d of the values: its own, or that of its one axis (index_select). */
static int64_t index_stride(const wk_tensor *index, bool select, int64_t axis, int d) {
    if (!select) return index->shape[d] == 1 ? 0 : index->stride[d];
    return d == axis && index->count > 1 ? index->stride[0] : 0;
}

typedef struct gather_plan {
    char *out;
    const int64_t *index;
    const char *x;
    int64_t size, axis_stride;
    int64_t out_step, index_step, x_step; /* along the walk's rows */
} gather_plan;

#define PICK(type)                                                                                       \
    {                                                                                                    \
        type *to = (type *)(void *)out;                                                                  \
        const type *from = (const type *)(const void *)x;                                                \
        if (plan->out_step == 1 && index_step == 1 && plan->x_step == 0) {                               \
            for (int64_t i = 0; i < n; i++) to[i] = from[index[i] * plan->axis_stride];                  \
            return;                                                                                      \
        }                                                                                                \
        for (int64_t i = 0; i < n; i++)                                                                  \
            to[i * plan->out_step] = from[index[i * index_step] * plan->axis_stride + i * plan->x_step]; \
        return;                                                                                          \
    }

/* Operands: out, index, x at index 0. */
static void gather_visit(const void *context, const int64_t offset[], int64_t n) {
    const gather_plan *plan = context;
    char *out = plan->out + offset[0] * plan->size;
    const int64_t *index = plan->index + offset[1];
    const char *x = plan->x + offset[2] * plan->size;
    int64_t index_step = plan->index_step;
    if (index_step == 0 && plan->out_step == 1 && plan->x_step == 1) {
        memcpy(out, x + *index * plan->axis_stride * plan->size, (size_t)(n * plan->size));
        return;
    }
    switch (plan->size) {
    case 1: PICK(uint8_t)
    case 2: PICK(uint16_t)
    case 4: PICK(uint32_t)
    default: PICK(uint64_t)
    }
}

static wk_status gather_along(wk_kernel_ctx *ctx, const wk_call *call, bool select) {
    const wk_tensor *x = call->in[0], *index = call->in[1], *out = call->out[0];
    int64_t axis = ((const wk_index_opts *)call->attrs)->axis;
    WK_TRY(wk_check_index(select ? "index_select" : "gather", index, x->shape[axis], axis, "x"));
    if (!out->count) return WK_OK;
    wk_walk walk = wk_walk_of(out);
    walk.operands = 3;
    for (int d = 0; d < out->rank; d++) {
        walk.stride[1][d] = index_stride(index, select, axis, d);
        walk.stride[2][d] = d == axis ? 0 : x->stride[d];
    }
    wk_walk_simplify(&walk);
    int last = walk.rank - 1;
    gather_plan plan = { out->data,
                         index->data,
                         x->data,
                         (int64_t)wk_size_of(x->dtype),
                         x->stride[axis],
                         walk.stride[0][last],
                         walk.stride[1][last],
                         walk.stride[2][last] };
    wk_walk_team(&walk, wk_moving_team(ctx, 2 * out->count * plan.size), gather_visit, &plan);
    return WK_OK;
}

static wk_status index_select(wk_kernel_ctx *ctx, const wk_call *call) {
    return gather_along(ctx, call, true);
}
static wk_status gather(wk_kernel_ctx *ctx, const wk_call *call) {
    return gather_along(ctx, call, false);
}

/* ---- their gradients
 * --------------------------------------------------------------------------------------------------- */

/* to[index[i · index_step] · jump + i · to_step] += from[i · from_step], n elements; index_step 0: one position for
 * all. */
typedef struct steps {
    int64_t to, from, index, jump;
} steps;
typedef void (*addition)(void *to, const void *from, const int64_t *index, const steps *step, int64_t n);
#define ADDITION(name, type, sum)                                                                        \
    static void name(void *to_, const void *from_, const int64_t *index, const steps *step, int64_t n) { \
        if (step->index == 0 && step->to == 1 && step->from == 1) {                                      \
            type *restrict to = (type *)to_ + *index * step->jump;                                       \
            const type *restrict from = from_;                                                           \
            for (int64_t i = 0; i < n; i++) {                                                            \
                type a = to[i], b = from[i];                                                             \
                to[i] = (type)(sum);                                                                     \
            }                                                                                            \
            return;                                                                                      \
        }                                                                                                \
        type *to = to_;                                                                                  \
        const type *from = from_;                                                                        \
        for (int64_t i = 0; i < n; i++, to += step->to, from += step->from) {                            \
            type *at = to + index[i * step->index] * step->jump, a = *at, b = *from;                     \
            *at = (type)(sum);                                                                           \
        }                                                                                                \
    }
ADDITION(add_f32, float, a + b)
ADDITION(add_f64, double, a + b)
ADDITION(add_bf16, uint16_t, wk_store_bf16(wk_load_bf16(a) + wk_load_bf16(b)))
ADDITION(add_f16, uint16_t, wk_store_f16(wk_load_f16(a) + wk_load_f16(b)))
ADDITION(add_b8, uint64_t, a + b)
ADDITION(add_b4, uint32_t, a + b)
ADDITION(add_b2, uint16_t, 1u * a + b)
ADDITION(add_b1, uint8_t, 1u * a + b)
static const addition addition_of[WK_DTYPE_COUNT] = {
    [WK_F32] = add_f32, [WK_F64] = add_f64, [WK_BF16] = add_bf16, [WK_F16] = add_f16, [WK_I64] = add_b8,
    [WK_I32] = add_b4,  [WK_I16] = add_b2,  [WK_I8] = add_b1,     [WK_U8] = add_b1,
};

typedef struct scatter_plan {
    char *dx;
    const char *dy;
    const int64_t *index;
    int64_t size, length; /* bytes an element; of dy along the axis */
    steps axis, row;      /* along the axis, and along the walk's rows */
    addition add;
} scatter_plan;

/* Operands: dx, dy, index, all without the axis.  Whichever of the two runs through memory in smaller steps is the
 * inner loop; either way each element's sum is in the order of the index. */
static void scatter_visit(const void *context, const int64_t offset[], int64_t n) {
    const scatter_plan *plan = context;
    char *dx = plan->dx + offset[0] * plan->size;
    const char *dy = plan->dy + offset[1] * plan->size;
    const int64_t *index = plan->index + offset[2];
    if (n > 1 && plan->row.from <= plan->axis.from) {
        for (int64_t k = 0; k < plan->length; k++)
            plan->add(dx, dy + k * plan->axis.from * plan->size, index + k * plan->axis.index, &plan->row, n);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        plan->add(dx + i * plan->row.to * plan->size, dy + i * plan->row.from * plan->size, index + i * plan->row.index,
                  &plan->axis, plan->length);
}

static wk_status scatter_along(wk_kernel_ctx *ctx, const wk_call *call, bool select) {
    const wk_tensor *dy = call->in[0], *index = call->in[1], *dx = call->out[0];
    int64_t axis = ((const wk_index_grad_attrs *)call->attrs)->axis, size = (int64_t)wk_size_of(dy->dtype);
    WK_TRY(wk_check_index(select ? "index_select_backward" : "gather_backward", index, dx->shape[axis], axis, "x"));
    wk__fill_dense(ctx, dx, 0);
    if (!dy->count) return WK_OK;
    wk_walk walk = { .operands = 3 };
    for (int d = 0; d < dy->rank; d++) {
        if (d == axis) continue;
        walk.stride[0][walk.rank] = dx->stride[d];
        walk.stride[1][walk.rank] = dy->stride[d];
        walk.stride[2][walk.rank] = index_stride(index, select, axis, d);
        walk.shape[walk.rank++] = dy->shape[d];
    }
    wk_walk_simplify(&walk);
    int last = walk.rank - 1;
    scatter_plan plan = {
        .dx = dx->data, .dy = dy->data, .index = index->data, .size = size, .length = dy->shape[axis]
    };
    plan.axis = (steps){ 0, dy->stride[axis], index_stride(index, select, axis, (int)axis), dx->stride[axis] };
    plan.row = (steps){ walk.stride[0][last], walk.stride[1][last], walk.stride[2][last], dx->stride[axis] };
    plan.add = addition_of[dy->dtype];
    wk_walk_split(&walk, wk_moving_team(ctx, 3 * dy->count * size), 16, scatter_visit, &plan);
    return WK_OK;
}

static wk_status index_select_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return scatter_along(ctx, call, true);
}
static wk_status gather_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return scatter_along(ctx, call, false);
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
WK_CPU_TABLE(index) = {
    { "concat", ANY, concat },
    { "slice_backward", ANY, slice_backward },
    { "index_select", ANY, index_select },
    { "gather", ANY, gather },
    { "index_select_backward", WK_NUMBERS, index_select_backward },
    { "gather_backward", WK_NUMBERS, gather_backward },
    { 0 },
};
