/* index.c: concat, index_select, gather, and what the gradient of a slice copies back.
 *
 * index_select is gather with an index that is broadcast over the other axes: one walk over (out, index, x), where x
 * stands still along the indexed axis and the index says how far to jump.  Rows that share one index are memcpy.
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
        walk.stride[1][d] = wk_index_stride(index, select, axis, d);
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

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
WK_CPU_TABLE(index) = {
    { "concat", ANY, concat },
    { "slice_backward", ANY, slice_backward },
    { "index_select", ANY, index_select },
    { "gather", ANY, gather },
    { 0 },
};
