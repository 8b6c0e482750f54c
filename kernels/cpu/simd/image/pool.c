/* pool.c: max and average pooling, forward and backward.
 *
 * With channels last a window is a few vectors, so forward runs over 64 channels at a time; any other layout goes
 * through channels last, or element by element where channels are few.  Backward asks, for each element of dx, which
 * windows cover it: one write an element, no clearing, no atomics, and a fixed order where windows overlap.  If dx is
 * channels last but dy is not (the gradient of flattening), only dy is turned.
 */
#include "cpu/convolution.h"
#include "cpu/scratch.h"
#include "cpu/simd/half.h"

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

#define WK_BODY "cpu/simd/image/pool_body.h"
#include "cpu/simd/each_float.h"

/* Indices, one byte each. */
static void turn_u8(const layout *to, const layout *from, const int64_t *shape /* N, C, H, W */, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t n = 0; n < shape[0]; n++)
        for (int64_t h = 0; h < shape[2]; h++)
            for (int64_t w = 0; w < shape[3]; w++) {
                const uint8_t *x =
                    (const uint8_t *)from->data + n * from->stride[0] + h * from->stride[2] + w * from->stride[3];
                uint8_t *y = (uint8_t *)to->data + n * to->stride[0] + h * to->stride[2] + w * to->stride[3];
                for (int64_t c = 0; c < shape[1]; c++) y[c * to->stride[1]] = x[c * from->stride[1]];
            }
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

static int64_t size_of(uint8_t dtype) {
    return dtype == WK_U8 ? 1 : dtype == WK_F64 ? 8 : dtype == WK_F32 ? 4 : 2;
}

static void turn(const layout *to, const layout *from, const int64_t *shape, uint8_t dtype, int threads) {
    switch (dtype) {
    case WK_U8: turn_u8(to, from, shape, threads); return;
    case WK_F32: turn_f32(to, from, shape, threads); return;
    case WK_F64: turn_f64(to, from, shape, threads); return;
    case WK_BF16: turn_bf16(to, from, shape, threads); return;
    default: turn_f16(to, from, shape, threads);
    }
}

/* Tensors of one call, and channels-last stand-ins for those in another layout. */
typedef struct stand_in {
    const wk_tensor *tensor;
    layout used;
    bool turned;
} stand_in;

static bool needs_turn(const wk_tensor *x) {
    return x->stride[1] != 1 && x->shape[1] > 1;
}

/* Elements in any layout run one by one at about 10 ns; turning both ways costs 1 to 2 ns an element, so from eight
 * channels on everything is computed with channels last. */
static wk_status open_all(stand_in *all, int count, bool turned, int outputs, int threads) {
    size_t bytes = 0, at = 0;
    for (int i = 0; i < count; i++) {
        all[i].used = layout_of(all[i].tensor);
        all[i].turned = turned && needs_turn(all[i].tensor);
        if (all[i].turned) bytes += (size_t)(all[i].tensor->count * size_of(all[i].tensor->dtype) + 63) / 64 * 64;
    }
    char *room = bytes ? wk__cpu_scratch(WK_SCRATCH_KERNEL, bytes) : NULL;
    if (bytes && !room) return WK_NO_MEMORY;
    for (int i = 0; i < count; i++) {
        const wk_tensor *x = all[i].tensor;
        if (!all[i].turned) continue;
        layout *last = &all[i].used;
        last->data = room + at;
        last->stride[1] = 1, last->stride[3] = x->shape[1], last->stride[2] = x->shape[3] * x->shape[1];
        last->stride[0] = x->shape[2] * last->stride[2];
        at += (size_t)(x->count * size_of(x->dtype) + 63) / 64 * 64;
        layout from = layout_of(x);
        if (i >= outputs) turn(last, &from, x->shape, x->dtype, threads);
    }
    return WK_OK;
}

static void close_all(const stand_in *all, int outputs, int threads) {
    for (int i = 0; i < outputs; i++) {
        layout to = layout_of(all[i].tensor);
        if (all[i].turned) turn(&to, &all[i].used, all[i].tensor->shape, all[i].tensor->dtype, threads);
    }
}

static wk_status forward(wk_kernel_ctx *ctx, const wk_call *call, bool is_max) {
    const wk_tensor *x = call->in[0], *y = call->out[0];
    pooling s = pooling_of(call->attrs, x->shape, y->shape);
    int threads = wk_cpu_team(ctx, x->count * size_of(x->dtype)), outputs = is_max ? 2 : 1;
    stand_in all[3] = { { .tensor = y }, { .tensor = is_max ? call->out[1] : x }, { .tensor = x } };
    bool turned = x->shape[1] >= 8;
    WK_TRY(open_all(all, outputs + 1, turned, outputs, threads));
    const layout *to = &all[0].used, *from = &all[outputs].used;
    s.by_channels = turned || (from->stride[1] == 1 && to->stride[1] == 1);
    s.indices = is_max ? all[1].used.data : NULL;
    switch (x->dtype) {
    case WK_F32: forward_f32(&s, from, to, is_max, threads); break;
    case WK_F64: forward_f64(&s, from, to, is_max, threads); break;
    case WK_BF16: forward_bf16(&s, from, to, is_max, threads); break;
    default: forward_f16(&s, from, to, is_max, threads);
    }
    close_all(all, outputs, threads);
    return WK_OK;
}

static wk_status backward(wk_kernel_ctx *ctx, const wk_call *call, const wk_tensor *indices) {
    const wk_pool_grad_attrs *attrs = call->attrs;
    const wk_tensor *dy = call->in[0], *dx = call->out[0];
    pooling s = pooling_of(&attrs->pool, dx->shape, dy->shape);
    int threads = wk_cpu_team(ctx, dx->count * size_of(dx->dtype));
    stand_in all[3] = { { .tensor = dx }, { .tensor = dy }, { .tensor = indices } };
    s.by_channels = dx->shape[1] >= 8 || (dx->shape[1] > 1 && dx->stride[1] == 1);
    WK_TRY(open_all(all, indices ? 3 : 2, s.by_channels, 1, threads));
    const layout *to = &all[0].used, *from = &all[1].used, *at = indices ? &all[2].used : NULL;
    switch (dx->dtype) {
    case WK_F32: backward_f32(&s, to, from, at, threads); break;
    case WK_F64: backward_f64(&s, to, from, at, threads); break;
    case WK_BF16: backward_bf16(&s, to, from, at, threads); break;
    default: backward_f16(&s, to, from, at, threads);
    }
    close_all(all, 1, threads);
    return WK_OK;
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
