/* arrange.c: the rows that put elements elsewhere: copies, reversals, concatenation, padding, gradients of views.
 *
 * All are a copy along strides that a shape rule could not describe as a view of the input: a reversed axis is a
 * negative stride, the inside of a padded tensor and a diagonal are a start and strides of the output.
 */
#include "cuda/cuda.h"
#include "cuda/layout/copy.h"
#include "cuda/layout/fill.h"
#include "walk.h"

#include <string.h>

static int size_of(const wk_tensor *tensor) {
    return (int)wk_dtype_size((wk_dtype)tensor->dtype);
}

/* A copy of x to out's elements from `start` on, `stride` apart. */
static wk_status copy_into(wk_kernel_ctx *ctx, const wk_call *call, const wk_tensor *out, int64_t start,
                           const int64_t stride[], const wk_tensor *x) {
    if (x->count == 0) return WK_OK;
    wk_walk walk = { .operands = 1, .rank = x->rank, .count = x->count };
    for (int i = 0; i < x->rank; i++) walk.shape[i] = x->shape[i], walk.stride[0][i] = stride[i];
    wk_walk_add(&walk, x);
    wk_walk_simplify(&walk);
    char *to = (char *)out->data + start * size_of(out);
    return wk__cuda_launched(call, wk__cuda_copy(to, x->data, size_of(x), &walk, ctx->stream));
}

/* Every element of a dense tensor becomes the number. */
static wk_status fill_with(wk_kernel_ctx *ctx, const wk_call *call, const wk_tensor *out, double value) {
    return wk__cuda_launched(
        call, wk__cuda_fill(out->data, wk__cuda_element(out->dtype, value), size_of(out), out->count, ctx->stream));
}

static wk_status copy(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *out = call->out[0];
    wk_tensor x = *call->in[0];
    wk_walk walk = wk_walk_of(out);
    if (out->count == 0) return WK_OK;
    wk_walk_add(&walk, &x); /* broadcast, should it be smaller */
    wk_walk_simplify(&walk);
    return wk__cuda_launched(call, wk__cuda_copy(out->data, x.data, size_of(out), &walk, ctx->stream));
}

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
    return copy_into(ctx, call, out, start, stride, x);
}

/* Each rolled axis has two parts that change places: a copy for every choice of parts. */
static wk_status roll_axes(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_dims *shifts = &((const wk_roll_opts *)call->attrs)->shifts;
    const wk_tensor *x = call->in[0], *out = call->out[0];
    int axis[WK_MAX_RANK], axes = 0;
    for (int i = 0; i < x->rank; i++)
        if (shifts->size[i]) axis[axes++] = i;
    for (unsigned parts = 0; parts < 1u << axes; parts++) {
        wk_tensor part = *x;
        int64_t to = 0, from = 0;
        for (int k = 0; k < axes; k++) {
            int at = axis[k];
            int64_t shift = shifts->size[at], before = x->shape[at] - shift;
            bool behind = parts >> k & 1;
            part.shape[at] = behind ? shift : before;
            from += behind ? before * x->stride[at] : 0;
            to += behind ? 0 : shift * out->stride[at];
        }
        part.count = 1;
        for (int i = 0; i < part.rank; i++) part.count *= part.shape[i];
        part.data = (char *)x->data + from * size_of(x);
        WK_TRY(copy_into(ctx, call, out, to, out->stride, &part));
    }
    return WK_OK;
}

static wk_status concat(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_concat_opts *opts = call->attrs;
    const wk_tensor *out = call->out[0];
    int64_t at = 0;
    for (int i = 0; i < call->n_in; i++) {
        WK_TRY(copy_into(ctx, call, out, at * out->stride[opts->axis], out->stride, call->in[i]));
        at += call->in[i]->shape[opts->axis];
    }
    return WK_OK;
}

static wk_status pad_constant(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_pad_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0], *out = call->out[0];
    int64_t start = 0;
    for (int i = 0; i < opts->before.rank; i++)
        start += opts->before.size[i] * out->stride[x->rank - opts->before.rank + i];
    WK_TRY(fill_with(ctx, call, out, opts->value));
    return copy_into(ctx, call, out, start, out->stride, x);
}

static wk_status pad_edges(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_pad_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0], *out = call->out[0];
    wk_cuda_edges edges = { .mode = (int)opts->mode };
    wk_walk walk = wk_walk_of(out);
    if (out->count == 0) return WK_OK;
    for (int i = 0; i < x->rank; i++) {
        int padded = i - (x->rank - opts->before.rank);
        edges.before[i] = padded < 0 ? 0 : opts->before.size[padded];
        edges.size[i] = x->shape[i];
        walk.stride[1][i] = x->stride[i];
    }
    walk.operands = 2;
    return wk__cuda_launched(call, wk__cuda_pad_edges(out->data, x->data, size_of(x), &walk, &edges, ctx->stream));
}

static wk_status slice_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_slice_opts *slice = &((const wk_slice_grad_attrs *)call->attrs)->slice;
    const wk_tensor *dy = call->in[0], *dx = call->out[0];
    int64_t stride[WK_MAX_RANK];
    for (int i = 0; i < dy->rank; i++) stride[i] = dx->stride[i] * (i == slice->axis && slice->step ? slice->step : 1);
    WK_TRY(fill_with(ctx, call, dx, 0));
    return copy_into(ctx, call, dx, slice->start * dx->stride[slice->axis], stride, dy);
}

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
    WK_TRY(fill_with(ctx, call, dx, 0));
    return copy_into(ctx, call, dx, opts->offset < 0 ? -opts->offset * dx->stride[a] : opts->offset * dx->stride[b],
                     stride, dy);
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
const wk_cuda_entry wk__cuda_arrange[] = {
    { "copy", ANY, copy },
    { "flip", ANY, flip },
    { "roll_axes", ANY, roll_axes },
    { "concat", ANY, concat },
    { "pad_constant", ANY, pad_constant },
    { "pad_edges", ANY, pad_edges },
    { "slice_backward", ANY, slice_backward },
    { "diagonal_backward", ANY, diagonal_backward },
    { NULL, 0, NULL },
};
