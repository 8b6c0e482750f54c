/* conv.c: conv2d and conv3d, forward and both gradients: by cuDNN, else on the kernels of conv.cu. */
#include "cuda/image/conv.h"

#include "cuda/cudnn/convolution.h"

/* Strides of N, C (K, C of a weight) and three axes. */
static void strides_of(const wk_tensor *t, int64_t stride[5]) {
    const int axes = t->rank - 2;
    stride[0] = t->stride[0], stride[1] = t->stride[1];
    for (int axis = 0; axis < 3; axis++) {
        const int i = axis - (3 - axes);
        stride[2 + axis] = i < 0 ? 0 : t->stride[2 + i];
    }
}

static wk_cuda_convolution shape_of(const wk_conv_opts *opts, const wk_tensor *x, const wk_tensor *weight,
                                    const wk_tensor *y) {
    wk_cuda_convolution s = { .n = x->shape[0], .c = x->shape[1], .k = y->shape[1] };
    const int axes = x->rank - 2;
    int64_t before[3];
    s.groups = opts->groups ? opts->groups : 1;
    wk__conv_padding(opts, axes, &weight->shape[2], before);
    for (int axis = 0; axis < 3; axis++) {
        const int i = axis - (3 - axes);
        s.size[axis] = i < 0 ? 1 : x->shape[2 + i];
        s.out[axis] = i < 0 ? 1 : y->shape[2 + i];
        s.kernel[axis] = i < 0 ? 1 : weight->shape[2 + i];
        s.stride[axis] = i >= 0 && opts->stride[i] ? opts->stride[i] : 1;
        s.padding[axis] = i < 0 ? 0 : before[i];
        s.dilation[axis] = i >= 0 && opts->dilation[i] ? opts->dilation[i] : 1;
    }
    strides_of(x, s.x);
    strides_of(y, s.y);
    strides_of(weight, s.w);
    return s;
}

static wk_status by_library(wk_kernel_ctx *ctx, const wk_call *call, int kind, const wk_cuda_convolution *s,
                            const wk_cudnn_operands *operands, bool relu) {
    const wk_tensor *out = call->out[0];
    wk_cudnn_key key = { .shape = *s,
                         .kind = kind,
                         .axes = call->in[0]->rank - 2,
                         .dtype = out->dtype,
                         .bias = operands->bias != NULL,
                         .relu = relu };
    return wk__cudnn_convolution(ctx, call, &key, operands);
}

static wk_status relu_in_place(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_tensor *const y[] = { call->out[0] };
    const wk_call relu = { .op = call->op, .in = y, .out = call->out, .n_in = 1, .n_out = 1, .device = call->device };
    return wk__cuda_kernel("relu", (wk_dtype)y[0]->dtype)(ctx, &relu);
}

static wk_status conv(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_conv_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0], *weight = call->in[1], *bias = call->in[2], *y = call->out[0];
    const wk_cuda_convolution s = shape_of(opts, x, weight, y);
    const bool relu = opts->activation == WK_ACTIVATION_RELU, bias_fits = !bias || bias->stride[0] == 1 || s.k == 1;
    const wk_cudnn_operands operands = { x->data, weight->data, y->data, bias ? bias->data : NULL };
    /* cuDNN has no engine that keeps f32 for ReLU without a bias before it. */
    const bool relu_behind = relu && !bias && y->dtype == WK_F32;
    wk_status status = WK_UNSUPPORTED;
    if (bias_fits)
        status = by_library(ctx, call, WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, &s, &operands,
                            relu && !relu_behind);
    if (status == WK_OK && relu_behind) return relu_in_place(ctx, call);
    if (status != WK_UNSUPPORTED) return status;
    return wk__cuda_launched(call, wk__cuda_conv_forward(&s, x->dtype, x->data, weight->data, operands.bias,
                                                         bias ? bias->stride[0] : 0, relu, y->data, ctx->stream));
}

static wk_status conv_backward_input(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_conv_grad_attrs *attrs = call->attrs;
    const wk_tensor *dy = call->in[0], *weight = call->in[1], *dx = call->out[0];
    const wk_cuda_convolution s = shape_of(&attrs->conv, dx, weight, dy);
    const wk_cudnn_operands operands = { dx->data, weight->data, dy->data, NULL };
    const wk_status status =
        by_library(ctx, call, WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, &s, &operands, false);
    if (status != WK_UNSUPPORTED) return status;
    return wk__cuda_launched(
        call, wk__cuda_conv_backward_input(&s, dx->dtype, dy->data, weight->data, dx->data, ctx->stream));
}

static wk_status weight_by_kernel(wk_kernel_ctx *ctx, const wk_call *call, const wk_cuda_convolution *s) {
    const wk_tensor *x = call->in[0], *dy = call->in[1], *dweight = call->out[0];
    const size_t bytes = (size_t)wk__cuda_conv_scratch(s, x->dtype);
    void *scratch = wk__cuda_scratch_take(ctx, bytes);
    if (!scratch) return wk_error_code();
    const wk_status status = wk__cuda_launched(
        call, wk__cuda_conv_backward_weight(s, x->dtype, x->data, dy->data, dweight->data, scratch, ctx->stream));
    wk__cuda_scratch_give(ctx, scratch, bytes);
    return status;
}

static wk_status conv_backward_weight(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_conv_grad_attrs *attrs = call->attrs;
    const wk_tensor *x = call->in[0], *dy = call->in[1], *dweight = call->out[0], *dbias = call->out[1];
    const wk_cuda_convolution s = shape_of(&attrs->conv, x, dweight, dy);
    const wk_cudnn_operands operands = { x->data, dweight->data, dy->data, NULL };
    wk_status status =
        by_library(ctx, call, WK_CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, &s, &operands, false);
    if (status == WK_UNSUPPORTED) status = weight_by_kernel(ctx, call, &s);
    if (status != WK_OK) return status;
    return wk__cuda_launched(call, wk__cuda_conv_backward_bias(&s, x->dtype, dy->data, dbias->data, ctx->stream));
}

const wk_cuda_entry wk__cuda_conv[] = {
    { "conv2d", WK_FLOATS, conv },
    { "conv2d_backward_input", WK_FLOATS, conv_backward_input },
    { "conv2d_backward_weight", WK_FLOATS, conv_backward_weight },
    { "conv3d", WK_FLOATS, conv },
    { "conv3d_backward_input", WK_FLOATS, conv_backward_input },
    { "conv3d_backward_weight", WK_FLOATS, conv_backward_weight },
    { 0 },
};
