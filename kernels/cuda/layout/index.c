/* index.c: the rows that take an index: choices by it, values put, added or folded where it says, and gradients.
 *
 * An index is checked on the CPU before anything is written.  Here that would make the host wait for the device, so an
 * index outside reads 0 and writes nothing.
 */
#include "cuda/cuda.h"
#include "cuda/layout/copy.h"
#include "cuda/layout/fill.h"
#include "cuda/layout/scatter.h"
#include "walk.h"

#include <string.h>

static int size_of(const wk_tensor *tensor) {
    return (int)wk_dtype_size((wk_dtype)tensor->dtype);
}

/* Stride of the index along axis d of the values: its own, or that of its one axis (index_select). */
static int64_t index_stride(const wk_tensor *index, bool select, int64_t axis, int d) {
    if (!select) return index->shape[d] == 1 ? 0 : index->stride[d];
    return d == axis && index->count > 1 ? index->stride[0] : 0;
}

static wk_status gather_along(wk_kernel_ctx *ctx, const wk_call *call, bool select) {
    const wk_tensor *x = call->in[0], *index = call->in[1], *out = call->out[0];
    int64_t axis = ((const wk_index_opts *)call->attrs)->axis;
    if (out->count == 0) return WK_OK;
    wk_walk walk = wk_walk_of(out);
    walk.operands = 3;
    for (int d = 0; d < out->rank; d++) {
        walk.stride[1][d] = index_stride(index, select, axis, d);
        walk.stride[2][d] = d == axis ? 0 : x->stride[d];
    }
    wk_walk_simplify(&walk);
    return wk__cuda_launched(call,
                             wk__cuda_gather(out->data, index->data, x->data, size_of(x), &walk,
                                             x->rank ? x->stride[axis] : 0, x->rank ? x->shape[axis] : 1, ctx->stream));
}

static wk_status index_select(wk_kernel_ctx *ctx, const wk_call *call) {
    return gather_along(ctx, call, true);
}

static wk_status gather(wk_kernel_ctx *ctx, const wk_call *call) {
    return gather_along(ctx, call, false);
}

/* out (…, C) = weight[index (…)], row by row. */
static wk_status embedding(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *weight = call->in[0], *index = call->in[1], *out = call->out[0];
    if (out->count == 0) return WK_OK;
    wk_walk walk = wk_walk_of(out);
    walk.operands = 3;
    for (int d = 0; d < out->rank - 1; d++) walk.stride[1][d] = index->stride[d];
    walk.stride[2][out->rank - 1] = weight->stride[1];
    wk_walk_simplify(&walk);
    return wk__cuda_launched(call, wk__cuda_gather(out->data, index->data, weight->data, size_of(weight), &walk,
                                                   weight->stride[0], weight->shape[0], ctx->stream));
}

/* ---- values joined with what is there ---- */

static wk_status join_at(wk_kernel_ctx *ctx, const wk_call *call, const wk_tensor *source, int64_t axis, bool select,
                         wk_cuda_scatter_kind kind) {
    const wk_tensor *out = call->out[0], *index = call->in[1];
    const int64_t *shape = select ? source->shape : index->shape;
    if ((select ? source->count : index->count) == 0) return WK_OK;
    wk_cuda_scatter s;
    memset(&s, 0, sizeof s);
    s.kind = kind, s.dtype = out->dtype, s.length = s.limit = 1;
    s.out = out->data, s.source = source->data, s.index = index->data;
    s.lines = (wk_walk){ .operands = 3, .count = 1 };
    for (int d = 0; d < out->rank; d++) {
        if (d == axis) continue;
        s.lines.stride[0][s.lines.rank] = out->stride[d];
        s.lines.stride[1][s.lines.rank] = source->stride[d];
        s.lines.stride[2][s.lines.rank] = index_stride(index, select, axis, d);
        s.lines.count *= shape[d];
        s.lines.shape[s.lines.rank++] = shape[d];
    }
    wk_walk_simplify(&s.lines);
    if (out->rank) {
        s.length = shape[axis], s.limit = out->shape[axis];
        s.source_step = source->stride[axis], s.index_step = index_stride(index, select, axis, (int)axis);
        s.jump = out->stride[axis];
    }
    return wk__cuda_launched(call, wk__cuda_scatter(&s, ctx->stream));
}

static wk_status scatter_with(wk_kernel_ctx *ctx, const wk_call *call, int64_t axis, wk_cuda_scatter_kind kind) {
    const wk_tensor *x = call->in[0], *out = call->out[0];
    if (out->count == 0) return WK_OK;
    wk_walk all = wk_walk_of(out);
    wk_walk_add(&all, x);
    wk_walk_simplify(&all);
    WK_TRY(wk__cuda_launched(call, wk__cuda_copy(out->data, x->data, size_of(out), &all, ctx->stream)));
    return join_at(ctx, call, call->in[2], axis, false, kind);
}

static wk_status scatter(wk_kernel_ctx *ctx, const wk_call *call) {
    return scatter_with(ctx, call, ((const wk_index_opts *)call->attrs)->axis, WK_CUDA_PUT);
}

static wk_status scatter_add(wk_kernel_ctx *ctx, const wk_call *call) {
    return scatter_with(ctx, call, ((const wk_index_opts *)call->attrs)->axis, WK_CUDA_ADD);
}

static wk_status scatter_fold(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_scatter_fold_attrs *attrs = call->attrs;
    return scatter_with(ctx, call, attrs->axis,
                        attrs->reduce == WK_SCATTER_PROD   ? WK_CUDA_MULTIPLY
                        : attrs->reduce == WK_SCATTER_AMAX ? WK_CUDA_MOST
                                                           : WK_CUDA_LEAST);
}

/* The gradients of gather and index_select: dy added into zeros, or to what is there. */
static wk_status add_back(wk_kernel_ctx *ctx, const wk_call *call, bool select) {
    const wk_tensor *dx = call->out[0];
    const wk_index_grad_attrs *attrs = call->attrs;
    if (!attrs->add) WK_TRY(wk__cuda_launched(call, wk__cuda_fill(dx->data, 0, size_of(dx), dx->count, ctx->stream)));
    return join_at(ctx, call, call->in[0], attrs->axis, select, WK_CUDA_ADD);
}

static wk_status index_select_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return add_back(ctx, call, true);
}

static wk_status gather_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return add_back(ctx, call, false);
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
const wk_cuda_entry wk__cuda_index[] = {
    { "index_select", ANY, index_select },
    { "gather", ANY, gather },
    { "embedding", WK_FLOATS, embedding },
    { "scatter", WK_NUMBERS, scatter },
    { "scatter_add", WK_NUMBERS, scatter_add },
    { "scatter_fold", WK_NUMBERS, scatter_fold },
    { "index_select_backward", WK_NUMBERS, index_select_backward },
    { "gather_backward", WK_NUMBERS, gather_backward },
    { NULL, 0, NULL },
};
