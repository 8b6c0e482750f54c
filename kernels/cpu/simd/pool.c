/* pool.c: max and average pooling, forward and backward.
 *
 * With channels last a window is a few vectors, so forward runs over 64 channels at a time; any other layout goes
 * element by element through the same code.  Backward asks, for each element of dx, which windows cover it: one write
 * an element, no clearing, no atomics, and a fixed order where windows overlap.  If dx is channels last but dy is not
 * (the gradient of flattening), dy is turned first: it is the smaller one.
 */
#include "cpu/convolution.h"
#include "cpu/scratch.h"
#include "cpu/simd/narrow.h"

#include <math.h>

enum { CHUNK = 64 };
#define WK_EXPANDED __attribute__((always_inline))

typedef struct layout {
    void *data;
    int64_t stride[4]; /* N, C, H, W */
} layout;

typedef struct pooling {
    int64_t n, c, h, w, p, q; /* x (N, C, H, W), y (N, C, P, Q) */
    int64_t kernel[2], stride[2], padding[2];
    bool exclude_padding, by_channels;
    uint8_t *indices; /* laid out as y */
} pooling;

/* One window: where it starts (padding is negative), the part of it that lies in the image, what a mean divides by. */
typedef struct window {
    int64_t h_start, w_start, h_from, h_to, w_from, w_to, kernel_w;
    int64_t divisor;
} window;

/* The windows that cover one element of x. */
typedef struct windows {
    int64_t p_from, p_to, q_from, q_to;
} windows;

static inline int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline window window_at(const pooling *s, int64_t p, int64_t q) {
    window v = { .h_start = p * s->stride[0] - s->padding[0], .w_start = q * s->stride[1] - s->padding[1] };
    int64_t h_end = least(v.h_start + s->kernel[0], s->h + s->padding[0]);
    int64_t w_end = least(v.w_start + s->kernel[1], s->w + s->padding[1]);
    v.kernel_w = s->kernel[1];
    v.h_from = v.h_start < 0 ? 0 : v.h_start, v.h_to = least(h_end, s->h);
    v.w_from = v.w_start < 0 ? 0 : v.w_start, v.w_to = least(w_end, s->w);
    v.divisor =
        s->exclude_padding ? (v.h_to - v.h_from) * (v.w_to - v.w_from) : (h_end - v.h_start) * (w_end - v.w_start);
    return v;
}

/* Windows [from, to) along one axis that cover padded position `at`. */
static inline void windows_over(int64_t *from, int64_t *to, int64_t at, int64_t kernel, int64_t stride, int64_t count) {
    *from = at < kernel ? 0 : (at - kernel) / stride + 1;
    *to = least(at / stride + 1, count);
}

#define T        float
#define REAL     float
#define LOAD(x)  (x)
#define STORE(x) (x)
#define NAME(x)  x##_f32
#include "cpu/simd/pool_body.h"
#undef T
#undef REAL
#undef LOAD
#undef STORE
#undef NAME

#define T        double
#define REAL     double
#define LOAD(x)  (x)
#define STORE(x) (x)
#define NAME(x)  x##_f64
#include "cpu/simd/pool_body.h"
#undef T
#undef REAL
#undef LOAD
#undef STORE
#undef NAME

#define T        uint16_t
#define REAL     float
#define LOAD(x)  wk_load_bf16(x)
#define STORE(x) wk_store_bf16(x)
#define NAME(x)  x##_bf16
#include "cpu/simd/pool_body.h"
#undef LOAD
#undef STORE
#undef NAME

#define LOAD(x)  wk_load_f16(x)
#define STORE(x) wk_store_f16(x)
#define NAME(x)  x##_f16
#include "cpu/simd/pool_body.h"
#undef T
#undef REAL
#undef LOAD
#undef STORE
#undef NAME

/* Indices travel the same way as values of one byte. */
static void channels_last_u8(uint8_t *restrict to /* (N, H, W, C) */, const layout *x, const int64_t *shape) {
    for (int64_t n = 0; n < shape[0]; n++)
        for (int64_t h = 0; h < shape[2]; h++)
            for (int64_t w = 0; w < shape[3]; w++)
                for (int64_t c = 0; c < shape[1]; c++)
                    *to++ = ((const uint8_t *)
                                 x->data)[n * x->stride[0] + c * x->stride[1] + h * x->stride[2] + w * x->stride[3]];
}

static layout layout_of(const wk_tensor *x) {
    return (layout){ x->data, { x->stride[0], x->stride[1], x->stride[2], x->stride[3] } };
}

static pooling pooling_of(const wk_pool_opts *opts, const int64_t *x, const int64_t *y) {
    pooling s = { .n = x[0], .c = x[1], .h = x[2], .w = x[3], .p = y[2], .q = y[3] };
    for (int i = 0; i < 2; i++) {
        s.kernel[i] = opts->kernel[i], s.padding[i] = opts->padding[i];
        s.stride[i] = opts->stride[i] ? opts->stride[i] : opts->kernel[i];
    }
    s.exclude_padding = opts->exclude_padding;
    return s;
}

static wk_status forward(wk_kernel_ctx *ctx, const wk_call *call, bool is_max) {
    const wk_tensor *x = call->in[0], *y = call->out[0];
    pooling s = pooling_of(call->attrs, x->shape, y->shape);
    s.by_channels = x->stride[1] == 1 && y->stride[1] == 1;
    s.indices = is_max ? call->out[1]->data : NULL;
    layout from = layout_of(x), to = layout_of(y);
    int64_t element = x->dtype == WK_F64 ? 8 : x->dtype == WK_F32 ? 4 : 2;
    int threads = wk_cpu_team(ctx, x->count * element);
    switch (x->dtype) {
    case WK_F32: forward_f32(&s, &from, &to, is_max, threads); return WK_OK;
    case WK_F64: forward_f64(&s, &from, &to, is_max, threads); return WK_OK;
    case WK_BF16: forward_bf16(&s, &from, &to, is_max, threads); return WK_OK;
    default: forward_f16(&s, &from, &to, is_max, threads); return WK_OK;
    }
}

static void set_channels_last(layout *x, void *data, const int64_t *shape) {
    x->data = data;
    x->stride[1] = 1, x->stride[3] = shape[1], x->stride[2] = shape[3] * shape[1];
    x->stride[0] = shape[2] * x->stride[2];
}

/* dy and indices with channels beside each other, copied where they are not. */
static wk_status turn(const wk_tensor *dy, layout *from, layout *at, int threads) {
    bool turn_dy = from->stride[1] != 1, turn_at = at && at->stride[1] != 1;
    if (!turn_dy && !turn_at) return WK_OK;
    size_t element = dy->dtype == WK_F64 ? 8 : dy->dtype == WK_F32 ? 4 : 2, count = (size_t)dy->count;
    char *copy = wk__cpu_scratch(WK_SCRATCH_KERNEL, count * (element + 1));
    if (!copy) return WK_NO_MEMORY;
    if (turn_dy) {
        if (element == 8)
            channels_last_f64((double *)(void *)copy, from, dy->shape, threads);
        else if (element == 4)
            channels_last_f32((float *)(void *)copy, from, dy->shape, threads);
        else if (dy->dtype == WK_BF16)
            channels_last_bf16((uint16_t *)(void *)copy, from, dy->shape, threads);
        else
            channels_last_f16((uint16_t *)(void *)copy, from, dy->shape, threads);
        set_channels_last(from, copy, dy->shape);
    }
    if (turn_at) {
        channels_last_u8((uint8_t *)copy + count * element, at, dy->shape);
        set_channels_last(at, copy + count * element, dy->shape);
    }
    return WK_OK;
}

static wk_status backward(wk_kernel_ctx *ctx, const wk_call *call, const wk_tensor *indices) {
    const wk_pool_grad_attrs *attrs = call->attrs;
    const wk_tensor *dy = call->in[0], *dx = call->out[0];
    pooling s = pooling_of(&attrs->pool, dx->shape, dy->shape);
    layout from = layout_of(dy), to = layout_of(dx), at = indices ? layout_of(indices) : from;
    int64_t element = dx->dtype == WK_F64 ? 8 : dx->dtype == WK_F32 ? 4 : 2;
    int threads = wk_cpu_team(ctx, dx->count * element);
    s.by_channels = to.stride[1] == 1 && s.c > 1;
    if (s.by_channels) WK_TRY(turn(dy, &from, indices ? &at : NULL, threads));
    layout *used = indices ? &at : NULL;
    switch (dx->dtype) {
    case WK_F32: backward_f32(&s, &to, &from, used, threads); return WK_OK;
    case WK_F64: backward_f64(&s, &to, &from, used, threads); return WK_OK;
    case WK_BF16: backward_bf16(&s, &to, &from, used, threads); return WK_OK;
    default: backward_f16(&s, &to, &from, used, threads); return WK_OK;
    }
}

static wk_status max_pool2d(wk_kernel_ctx *ctx, const wk_call *call) {
    return forward(ctx, call, true);
}
static wk_status avg_pool2d(wk_kernel_ctx *ctx, const wk_call *call) {
    return forward(ctx, call, false);
}
static wk_status max_pool2d_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return backward(ctx, call, call->in[1]);
}
static wk_status avg_pool2d_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return backward(ctx, call, NULL);
}

WK_CPU_TABLE(pool) = {
    { "max_pool2d", WK_FLOATS, max_pool2d },
    { "max_pool2d_backward", WK_FLOATS, max_pool2d_backward },
    { "avg_pool2d", WK_FLOATS, avg_pool2d },
    { "avg_pool2d_backward", WK_FLOATS, avg_pool2d_backward },
    { 0 },
};
