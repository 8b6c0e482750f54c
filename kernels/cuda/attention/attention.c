/* attention.c: scaled dot-product attention and its gradient on the kernels of attention.cu. */
#include "cuda/attention/attention.h"

#include "cuda/cuda.h"

#include <math.h>

enum { MOST_BLOCKS = 65535 }; /* along a grid's second axis */

static int64_t last(const wk_tensor *t, int axis) {
    return t->rank >= axis ? t->shape[t->rank - axis] : 1;
}

/* Strides of (B, H, rows, columns); an axis of one element, or none, has stride 0. */
static wk_cuda_matrices matrices_of(const wk_tensor *t) {
    int64_t stride[4] = { 0 };
    for (int axis = 1; axis <= 4; axis++)
        if (last(t, axis) > 1) stride[4 - axis] = t->stride[t->rank - axis];
    return (wk_cuda_matrices){ t->data, stride[0], stride[1], stride[2], stride[3] };
}

static wk_cuda_mask kind_of_mask(const wk_tensor *mask, const wk_tensor *q) {
    if (!mask) return WK_CUDA_MASK_NONE;
    if (mask->dtype == WK_BOOL) return WK_CUDA_MASK_BOOL;
    return mask->dtype == q->dtype ? WK_CUDA_MASK_OF_Q : WK_CUDA_MASK_OF_SUMS;
}

/* in: q, k, v, mask, key.  False: no kernel for these. */
static bool describe(const wk_call *call, wk_tensor *const *in, wk_cuda_attention *a) {
    const wk_attention_opts *opts = call->attrs;
    const wk_tensor *q = in[0], *k = in[1], *v = in[2], *mask = in[3];
    *a = (wk_cuda_attention){ .batches = last(q, 4), .heads = last(q, 3), .queries = last(q, 2), .keys = last(k, 2) };
    a->group = last(k, 3) ? a->heads / last(k, 3) : 1;
    a->width = last(q, 1), a->value_width = last(v, 1);
    a->causal = opts->causal;
    /* Beyond these every query sees all keys, or none. */
    a->offset = opts->offset < -a->queries ? -a->queries : opts->offset > a->keys ? a->keys : opts->offset;
    a->scale = wk_optional_or(opts->scale, 1 / sqrt((double)a->width));
    a->dropout = opts->dropout;
    a->q = matrices_of(q), a->k = matrices_of(k), a->v = matrices_of(v);
    a->mask_kind = kind_of_mask(mask, q);
    if (mask) a->mask = matrices_of(mask);
    return q->rank <= 4 && a->batches * a->heads <= MOST_BLOCKS
           && wk__cuda_attention_fits(a->width, a->value_width, q->dtype == WK_F64 ? 8 : 4);
}

/* The operand `key`, which lies on the host. */
static wk_status take_key(wk_kernel_ctx *ctx, const wk_tensor *key, wk_cuda_attention *a) {
    return a->dropout > 0 ? wk_cuda_key_of(ctx, key, &a->key) : WK_OK;
}

static wk_status forward(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_cuda_attention a;
    if (!describe(call, call->in, &a)) return WK_UNSUPPORTED;
    WK_TRY(take_key(ctx, call->in[4], &a));
    if (!wk_cuda_launches(ctx)) return WK_OK;
    a.y = matrices_of(call->out[0]);
    a.lse = call->out[1]->data;
    return wk__cuda_launched(call, wk__cuda_attention_forward(&a, call->in[0]->dtype, ctx->stream));
}

/* (dy, q, k, v, mask, key, y, lse) -> dq, dk, dv */
static wk_status backward(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_cuda_attention a;
    const wk_tensor *lse = call->in[7];
    if (!wk_cuda_is_plain(lse) || !describe(call, call->in + 1, &a)) return WK_UNSUPPORTED;
    if (a.batches * a.heads == 0 || a.queries + a.keys == 0) return WK_OK;
    WK_TRY(take_key(ctx, call->in[5], &a));
    if (!wk_cuda_launches(ctx)) return WK_OK;
    a.dy = matrices_of(call->in[0]), a.y = matrices_of(call->in[6]);
    a.dq = matrices_of(call->out[0]), a.dk = matrices_of(call->out[1]), a.dv = matrices_of(call->out[2]);
    a.lse = lse->data;
    const size_t bytes = (size_t)lse->count * wk_dtype_size((wk_dtype)lse->dtype);
    a.delta = wk__cuda_scratch_take(ctx, bytes);
    if (!a.delta) return wk_error_code();
    wk_status status = wk__cuda_launched(call, wk__cuda_attention_backward(&a, call->in[1]->dtype, ctx->stream));
    wk__cuda_scratch_give(ctx, a.delta, bytes);
    return status;
}

const wk_cuda_entry wk__cuda_attention[] = {
    { "scaled_dot_product_attention", WK_FLOATS, forward },
    { "scaled_dot_product_attention_backward", WK_FLOATS, backward },
    { 0 },
};
