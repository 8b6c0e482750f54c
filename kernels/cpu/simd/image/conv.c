/* conv.c: convolution on Wick's own matrix product, for what the library does not take.
 *
 * 3 × 3 filters of f32 images go to winograd.c where that was chosen.  Of the rest, a tile of output pixels is unrolled
 * into columns that fit the second-level cache (never the whole image), and multiplied by the filters.  Every stride,
 * padding, dilation, group count, layout and float type goes this way; f16 and bf16 are computed in f32.  Images are
 * split over the team; weight gradients are summed per share and joined in a fixed order, so a repeat with the same
 * number of threads gives the same bits.
 */
#include "cpu/convolution.h"
#include "cpu/scratch.h"
#include "cpu/simd/image/winograd.h"
#include "cpu/simd/linalg/gemm.h"
#include "cpu/simd/half.h"

#include <string.h>

typedef struct convolution {
    wk_convolution_shape shape;
    const wk_tensor *x, *weight, *bias, *y; /* gradients stand for what they are gradients of */
    bool relu;
    bool pointwise;                       /* 1 × 1, stride 1, one group: the image is its own matrix of columns */
    int64_t tile;                         /* pixels */
    size_t columns_at, image_at, sums_at; /* in a share's scratch, which begins with the product's panels */
} convolution;

static size_t dtype_size(wk_dtype dtype) {
    return dtype == WK_F64 ? 8 : dtype == WK_F32 ? 4 : 2;
}

static size_t round_up(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

static inline float load_narrow(const wk_tensor *x, int64_t i) {
    uint16_t bits = ((const uint16_t *)x->data)[i];
    return x->dtype == WK_BF16 ? wk_load_bf16(bits) : wk_load_f16(bits);
}

static inline void store_narrow(const wk_tensor *x, int64_t i, float value) {
    ((uint16_t *)x->data)[i] = x->dtype == WK_BF16 ? wk_store_bf16(value) : wk_store_f16(value);
}

static inline int64_t area_of(const int64_t size[3]) {
    return size[0] * size[1] * size[2];
}
static inline int64_t taps_of(const wk_convolution_shape *s) {
    return area_of(s->kernel);
}

#define REAL       float
#define NAME(x)    x##_f32
#define REAL_DTYPE WK_F32
#include "cpu/simd/image/conv_body.h"
#undef REAL
#undef NAME
#undef REAL_DTYPE

#define REAL       double
#define NAME(x)    x##_f64
#define REAL_DTYPE WK_F64
#include "cpu/simd/image/conv_body.h"
#undef REAL
#undef NAME
#undef REAL_DTYPE

/* A copy of x (f32) in `room` whose channels lie together. */
static const wk_tensor *rearranged(const wk_tensor *x, wk_tensor *copy, float *room /* (N, H, W, C) */, int threads) {
    enum { SQUARE = 16 };
    const int64_t *stride = x->stride, channels = x->shape[1], width = x->shape[3], lines = x->shape[0] * x->shape[2];
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t line = 0; line < lines; line++) {
        const float *from = (const float *)x->data + line / x->shape[2] * stride[0] + line % x->shape[2] * stride[2];
        float *to = room + line * width * channels;
        for (int64_t w0 = 0; w0 < width; w0 += SQUARE)
            for (int64_t c0 = 0; c0 < channels; c0 += SQUARE)
                for (int64_t w = w0; w < w0 + SQUARE && w < width; w++)
                    for (int64_t c = c0; c < c0 + SQUARE && c < channels; c++)
                        to[w * channels + c] = from[w * stride[3] + c * stride[1]];
    }
    *copy = *x;
    copy->data = room;
    return copy;
}

static wk_status by_winograd(const convolution *v, wk_convolution_pass pass, int threads) {
    const wk_tensor *x = v->x, *y = v->y;
    wk_tensor copies[2];
    float *room = NULL;
    bool copy_x = pass != WK_BACKWARD_INPUT && !wk__is_channels_last(x),
         copy_y = pass != WK_FORWARD && !wk__is_channels_last(y);
    int64_t elements = (copy_x ? x->count : 0) + (copy_y ? y->count : 0);
    if (elements > 0 && !(room = wk__cpu_scratch(WK_SCRATCH_REORDER, (size_t)elements * sizeof(float))))
        return WK_NO_MEMORY;
    if (copy_x) x = rearranged(x, &copies[0], room, threads);
    if (copy_y) y = rearranged(y, &copies[1], room + (copy_x ? x->count : 0), threads);
    const wk_winograd w = { &v->shape, x, v->weight, v->bias, y, v->relu, threads };
    return pass == WK_BACKWARD_WEIGHT ? WK_WINOGRAD_WEIGHT(&w) : WK_WINOGRAD_IMAGE(&w, pass == WK_BACKWARD_INPUT);
}

static wk_status run(wk_kernel_ctx *ctx, convolution *v, wk_convolution_pass pass, const wk_conv_opts *opts) {
    const wk_convolution_shape *s = &v->shape;
    v->shape = wk__convolution_shape(opts, v->x, v->weight, v->y);
    v->pointwise = pass == WK_FORWARD && s->groups == 1;
    for (int i = 0; i < 3; i++)
        v->pointwise = v->pointwise && s->kernel[i] == 1 && s->stride[i] == 1 && s->padding[i] == 0;
    int64_t work = v->y->count * (s->c / s->groups) * taps_of(s);
    int threads = work < 1 << 19 ? 1 : ctx->threads;
    if (wk__is_own_winograd((wk_dtype)v->y->dtype, s, pass, ctx->threads)) return by_winograd(v, pass, threads);
    return v->y->dtype == WK_F64 ? run_f64(v, pass, threads) : run_f32(v, pass, threads);
}

static wk_status conv(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_conv_opts *opts = call->attrs;
    convolution v = { .x = call->in[0], .weight = call->in[1], .bias = call->in[2], .y = call->out[0] };
    v.relu = opts->activation == WK_ACTIVATION_RELU;
    wk_tensor dense;
    if (v.bias && v.bias->stride[0] != 1 && v.bias->shape[0] > 1) {
        size_t element = dtype_size((wk_dtype)v.bias->dtype);
        dense = *v.bias;
        dense.data = wk__cpu_scratch(WK_SCRATCH_PACK, (size_t)dense.count * element);
        if (!dense.data) return WK_NO_MEMORY;
        for (int64_t k = 0; k < dense.count; k++)
            memcpy((char *)dense.data + (size_t)k * element,
                   (const char *)v.bias->data + (size_t)(k * v.bias->stride[0]) * element, element);
        v.bias = &dense;
    }
    return run(ctx, &v, WK_FORWARD, opts);
}

static wk_status conv_backward_input(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_conv_grad_attrs *attrs = call->attrs;
    convolution v = { .x = call->out[0], .weight = call->in[1], .y = call->in[0] };
    return run(ctx, &v, WK_BACKWARD_INPUT, &attrs->conv);
}

static wk_status conv_backward_weight(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_conv_grad_attrs *attrs = call->attrs;
    convolution v = { .x = call->in[0], .weight = call->out[0], .bias = call->out[1], .y = call->in[1] };
    return run(ctx, &v, WK_BACKWARD_WEIGHT, &attrs->conv);
}

WK_CPU_TABLE(conv) = {
    { "conv2d", WK_FLOATS, conv },
    { "conv2d_backward_input", WK_FLOATS, conv_backward_input },
    { "conv2d_backward_weight", WK_FLOATS, conv_backward_weight },
    { "conv3d", WK_FLOATS, conv },
    { "conv3d_backward_input", WK_FLOATS, conv_backward_input },
    { "conv3d_backward_weight", WK_FLOATS, conv_backward_weight },
    { 0 },
};
