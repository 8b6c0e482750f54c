/* batch_norm.c: the rows batch_norm and batch_norm_backward. */
#include "cuda/network/batch_norm.h"

#include "cuda/cuda.h"
#include "walk.h"

static wk_cuda_vector vector_of(const wk_tensor *t) {
    return t ? (wk_cuda_vector){ t->data, t->stride[0], t->dtype } : (wk_cuda_vector){ 0 };
}

/* The tensor without its channels. */
static wk_tensor channel_of(const wk_tensor *t) {
    wk_tensor one = *t;
    one.rank = (uint8_t)(t->rank - 1);
    one.count = t->shape[1] ? t->count / t->shape[1] : 0;
    for (int axis = 1; axis < one.rank; axis++)
        one.shape[axis] = t->shape[axis + 1], one.stride[axis] = t->stride[axis + 1];
    return one;
}

/* Enough parts for a card, of at least 1024 values a channel; the number follows from the shape alone. */
static int64_t parts_of(int64_t channels, int64_t count) {
    const int64_t wanted = channels ? (1024 + channels - 1) / channels : 1, most = count / 1024;
    const int64_t parts = wanted < most ? wanted : most;
    return parts < 1 ? 1 : parts;
}

static wk_cuda_batch_norm norm_of(const wk_tensor *x, const wk_tensor *out, const wk_tensor *dy,
                                  const wk_batch_norm_opts *opts) {
    const wk_tensor *const operands[] = { x, out, dy };
    wk_cuda_batch_norm v = { .channels = x->shape[1],
                             .training = opts->training,
                             .momentum = wk_optional_or(opts->momentum, 0.1),
                             .eps = wk_optional_or(opts->eps, 1e-5) };
    for (int i = 0; i < 3 && operands[i]; i++) {
        const wk_tensor one = channel_of(operands[i]);
        if (i == 0)
            v.walk = wk_walk_of(&one);
        else
            wk_walk_add(&v.walk, &one);
        v.step[i] = operands[i]->stride[1];
    }
    wk_walk_simplify(&v.walk);
    v.count = v.walk.count;
    v.parts = parts_of(v.channels, v.count);
    return v;
}

static wk_status forward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *y = call->out[0];
    wk_cuda_batch_norm v = norm_of(x, y, NULL, call->attrs);
    v.weight = vector_of(call->in[1]);
    v.bias = vector_of(call->in[2]);
    v.running_mean = vector_of(call->in[3]);
    v.running_variance = vector_of(call->in[4]);
    v.mean = vector_of(call->out[1]);
    v.rstd = vector_of(call->out[2]);
    const size_t bytes = (size_t)wk__cuda_batch_norm_scratch(&v);
    void *scratch = wk__cuda_scratch_take(ctx, bytes);
    if (!scratch) return wk_error_code();
    wk_status status =
        wk__cuda_launched(call, wk__cuda_batch_norm_forward(&v, x->dtype, x->data, y->data, scratch, ctx->stream));
    wk__cuda_scratch_give(ctx, scratch, bytes);
    return status;
}

static wk_status backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *dy = call->in[0], *x = call->in[1], *dx = call->out[0];
    if (dy->dtype != x->dtype) return WK_UNSUPPORTED;
    wk_cuda_batch_norm v = norm_of(x, dx, dy, call->attrs);
    v.weight = vector_of(call->in[2]);
    v.mean = vector_of(call->in[3]);
    v.rstd = vector_of(call->in[4]);
    v.dweight = vector_of(call->out[1]);
    v.dbias = vector_of(call->out[2]);
    const size_t bytes = (size_t)wk__cuda_batch_norm_scratch(&v);
    void *scratch = wk__cuda_scratch_take(ctx, bytes);
    if (!scratch) return wk_error_code();
    wk_status status = wk__cuda_launched(
        call, wk__cuda_batch_norm_backward(&v, x->dtype, x->data, dy->data, dx->data, scratch, ctx->stream));
    wk__cuda_scratch_give(ctx, scratch, bytes);
    return status;
}

const wk_cuda_entry wk__cuda_batch_norm[] = {
    { "batch_norm", WK_FLOATS, forward },
    { "batch_norm_backward", WK_FLOATS, backward },
    { 0 },
};
