/* pool.c: the rows of pooling on the kernels of pool.cu. */
#include "cuda/image/pool.h"

#include "cuda/cuda.h"

static void strides_of(const wk_tensor *t, int64_t stride[5]) {
    const int axes = t->rank - 2;
    stride[0] = t->stride[0], stride[1] = t->stride[1];
    for (int axis = 0; axis < 3; axis++) {
        const int i = axis - (3 - axes);
        stride[2 + axis] = i < 0 ? 0 : t->stride[2 + i];
    }
}

/* Adaptive windows: the longest of an axis counts as its kernel, by which taps are numbered. */
static int64_t longest(int64_t size, int64_t steps) {
    int64_t most = 0;
    for (int64_t o = 0; o < steps; o++) {
        const int64_t length = ((o + 1) * size + steps - 1) / steps - o * size / steps;
        if (length > most) most = length;
    }
    return most;
}

/* opts NULL: adaptive; `shape` is x's, y has the windows. */
static wk_cuda_pooling pooling_of(const int64_t *shape, const wk_tensor *y, const wk_pool_opts *opts) {
    wk_cuda_pooling s = { .n = shape[0], .c = shape[1] };
    const int axes = y->rank - 2;
    for (int axis = 0; axis < 3; axis++) {
        const int i = axis - (3 - axes);
        s.size[axis] = i < 0 ? 1 : shape[2 + i];
        s.steps[axis] = i < 0 ? 1 : y->shape[2 + i];
        s.dilation[axis] = 1;
        if (i < 0 || !opts) {
            s.kernel[axis] = longest(s.size[axis], s.steps[axis]);
            continue;
        }
        s.kernel[axis] = opts->kernel[i];
        s.stride[axis] = opts->stride[i] ? opts->stride[i] : opts->kernel[i];
        s.padding[axis] = opts->padding[i];
        if (opts->dilation[i]) s.dilation[axis] = opts->dilation[i];
    }
    s.divisor = opts ? opts->divisor : 0;
    s.exclude_padding = opts && opts->exclude_padding;
    return s;
}

static wk_status forward_max(wk_kernel_ctx *ctx, const wk_call *call, const wk_pool_opts *opts) {
    const wk_tensor *x = call->in[0], *y = call->out[0], *taps = call->out[1];
    wk_cuda_pooling s = pooling_of(x->shape, y, opts);
    strides_of(x, s.x);
    strides_of(y, s.y);
    strides_of(taps, s.taps);
    s.wide = taps->dtype == WK_I32;
    return wk__cuda_launched(call, wk__cuda_max_pool(&s, x->dtype, x->data, y->data, taps->data, ctx->stream));
}
static wk_status max_pool(wk_kernel_ctx *ctx, const wk_call *call) {
    return forward_max(ctx, call, call->attrs);
}
static wk_status adaptive_max_pool(wk_kernel_ctx *ctx, const wk_call *call) {
    return forward_max(ctx, call, NULL);
}

static wk_status avg_pool(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *y = call->out[0];
    wk_cuda_pooling s = pooling_of(x->shape, y, call->attrs);
    strides_of(x, s.x);
    strides_of(y, s.y);
    return wk__cuda_launched(call, wk__cuda_avg_pool(&s, x->dtype, x->data, y->data, ctx->stream));
}

static wk_status backward(wk_kernel_ctx *ctx, const wk_call *call, const wk_tensor *taps) {
    const wk_pool_grad_attrs *attrs = call->attrs;
    const wk_tensor *dy = call->in[0], *dx = call->out[0];
    wk_cuda_pooling s = pooling_of(dx->shape, dy, attrs->adaptive ? NULL : &attrs->pool);
    strides_of(dx, s.x);
    strides_of(dy, s.y);
    if (taps) strides_of(taps, s.taps);
    s.wide = taps && taps->dtype == WK_I32;
    s.divisor = attrs->pool.divisor;
    return wk__cuda_launched(
        call, wk__cuda_pool_backward(&s, dx->dtype, dy->data, taps ? taps->data : NULL, dx->data, ctx->stream));
}
static wk_status max_pool_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return backward(ctx, call, call->in[1]);
}
static wk_status avg_pool_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return backward(ctx, call, NULL);
}

static wk_status max_pool_positions(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_pool_grad_attrs *attrs = call->attrs;
    const wk_tensor *taps = call->in[0], *y = call->out[0];
    wk_cuda_pooling s = pooling_of(attrs->dims.size, taps, attrs->adaptive ? NULL : &attrs->pool);
    strides_of(taps, s.taps);
    s.wide = taps->dtype == WK_I32;
    return wk__cuda_launched(call, wk__cuda_max_pool_positions(&s, taps->data, y->data, ctx->stream));
}

const wk_cuda_entry wk__cuda_pool[] = {
    { "max_pool2d", WK_FLOATS, max_pool },
    { "max_pool3d", WK_FLOATS, max_pool },
    { "adaptive_max_pool2d", WK_FLOATS, adaptive_max_pool },
    { "adaptive_max_pool3d", WK_FLOATS, adaptive_max_pool },
    { "max_pool_backward", WK_FLOATS, max_pool_backward },
    { "max_pool_positions", WK_SET_OF(WK_U8) | WK_SET_OF(WK_I32), max_pool_positions },
    { "avg_pool2d", WK_FLOATS, avg_pool },
    { "avg_pool3d", WK_FLOATS, avg_pool },
    { "avg_pool_backward", WK_FLOATS, avg_pool_backward },
    { 0 },
};
