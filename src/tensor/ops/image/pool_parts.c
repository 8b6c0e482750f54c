/* pool_parts.c: pooling that is made of other rows: along one axis, with the positions of maxima, and its reverse.
 *
 * One axis is two axes of which one has a single element: views, no copies.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/ops/image/image.h"
#include "tensor/registry.h"

#include <string.h>

static wk_status check_rank(const wk_call *call, int axes) {
    static const char *const axis_names[] = { "", "L", "H, W", "D, H, W" };
    char text[160];
    if (call->in[0]->rank == axes + 2) return WK_OK;
    return wk_bad_call(call, WK_SHAPE, "x %s, expected (N, C, %s)", wk_describe(call->in[0], text, sizeof text),
                       axis_names[axes]);
}

/* Options of one axis as those of an image of height 1. */
static wk_pool_opts lifted(wk_pool_opts opts) {
    opts.kernel[1] = opts.kernel[0], opts.stride[1] = opts.stride[0], opts.padding[1] = opts.padding[0];
    opts.dilation[1] = opts.dilation[0];
    opts.kernel[0] = opts.stride[0] = opts.dilation[0] = 1, opts.padding[0] = 0;
    return opts;
}
static wk_tensor *lowered(wk_tensor *y) {
    return wk_squeeze(y, (wk_squeeze_opts){ WK_DIMS(2) });
}

static wk_status avg_pool1d_parts(const wk_call *call, wk_tensor *out[]) {
    WK_TRY(check_rank(call, 1));
    out[0] = lowered(wk_avg_pool2d(wk_unsqueeze(call->in[0], 2), lifted(*(const wk_pool_opts *)call->attrs)));
    return WK_OK;
}

/* Maxima, and where they stood if out has room for it (with). */
static wk_status max_parts(const wk_call *call, wk_tensor *out[], int axes, bool adaptive, bool with) {
    WK_TRY(check_rank(call, axes));
    wk_tensor *x = axes == 1 ? wk_unsqueeze(call->in[0], 2) : call->in[0], *both[WK_MAX_OUT] = { NULL };
    wk_pool_opts opts = { .kernel = { 0 } };
    wk_adaptive_pool_opts sizes = { .size = { 0 } };
    if (adaptive)
        sizes = *(const wk_adaptive_pool_opts *)call->attrs;
    else
        opts = *(const wk_pool_opts *)call->attrs;
    if (axes == 1) opts = lifted(opts), sizes.size[1] = sizes.size[0], sizes.size[0] = 1;
    static const char *const names[2][2] = { { "max_pool2d", "max_pool3d" },
                                             { "adaptive_max_pool2d", "adaptive_max_pool3d" } };
    const wk_op_def *row = wk_op_find(names[adaptive][axes == 3]);
    const void *attrs = adaptive ? (const void *)&sizes : &opts;
    WK_TRY(x ? wk_op_run(row, &x, 1, both, attrs) : wk_error_code());
    if (with) both[1] = wk__max_pool_positions(both[1], &opts, wk__dims(x), adaptive);
    for (int k = 0; k < 1 + with; k++) out[k] = axes == 1 ? lowered(both[k]) : both[k];
    return WK_OK;
}

/* (Σ x^p)^(1/p), by the mean of powers; the sign is PyTorch's way to let 0 through without a gradient. */
static wk_status lp_parts(const wk_call *call, wk_tensor *out[], int axes) {
    const wk_lp_pool_opts *opts = call->attrs;
    WK_TRY(check_rank(call, axes));
    if (!(opts->p != 0)) return wk_bad_call(call, WK_INVALID, "p is %g, expected another number than 0", opts->p);
    wk_pool_opts pool = { .ceil_mode = opts->ceil_mode };
    double taps = 1;
    for (int i = 0; i < axes; i++) {
        pool.kernel[i] = opts->kernel[i], pool.stride[i] = opts->stride[i];
        taps *= (double)opts->kernel[i];
    }
    wk_tensor *powers = wk_pow_scalar(call->in[0], opts->p);
    wk_tensor *mean = axes == 1   ? wk_avg_pool1d(powers, pool)
                      : axes == 2 ? wk_avg_pool2d(powers, pool)
                                  : wk_avg_pool3d(powers, pool);
    wk_tensor *kept = wk_mul(wk_sign(mean), wk_relu(wk_abs(mean)));
    out[0] = wk_pow_scalar(wk_scale(kept, taps), 1 / opts->p);
    return WK_OK;
}

/* ---- the reverse ---- */

static wk_status unpool_parts(const wk_call *call, wk_tensor *out[], int axes) {
    const wk_unpool_opts *opts = call->attrs;
    wk_tensor *x = call->in[0], *indices = call->in[1];
    char one[160], other[160];
    WK_TRY(check_rank(call, axes));
    if (indices->rank != x->rank || memcmp(indices->shape, x->shape, sizeof x->shape[0] * (size_t)x->rank) != 0)
        return wk_bad_call(call, WK_SHAPE, "x %s and indices %s: expected one shape", wk_describe(x, one, sizeof one),
                           wk_describe(indices, other, sizeof other));
    wk_dims dims = { .rank = x->rank, .size = { x->shape[0], x->shape[1] } };
    int64_t area = 1;
    for (int i = 0; i < axes; i++) {
        dims.size[2 + i] = opts->size[i];
        if (opts->size[i] < 1 || opts->size[i] > INT64_MAX / 2 / area)
            return wk_bad_call(call, WK_INVALID, "size %lld, expected at least 1", (long long)opts->size[i]);
        area *= opts->size[i];
    }
    wk_tensor *zeros = wk_expand(wk__number(x, 0), WK_DIMS(x->shape[0], x->shape[1], area)); /* copied out, not read */
    out[0] = wk_reshape(wk_scatter(zeros, wk_flatten(indices, 2), wk_flatten(x, 2), 2), dims);
    return WK_OK;
}

/* ---- samples ---- */

static const wk_pool_opts line = { .kernel = { 3 }, .stride = { 2 }, .padding = { 1 } },
                          far = { .kernel = { 2 }, .stride = { 1 }, .dilation = { 3 } },
                          plane = { .kernel = { 3, 2 }, .stride = { 2, 2 }, .padding = { 1, 0 } },
                          volume = { .kernel = { 2, 2, 2 }, .stride = { 1, 2, 2 } };
static const wk_adaptive_pool_opts thirds = { { 3 } }, grid = { { 3, 2 } }, cells = { { 2, 1, 3 } };
static void max_pool1d_samples(wk_sampler *s) {
    WK_CASE(s, "line", &line, { .dims = WK_DIMS(2, 3, 9), .margin = 0.01 });
    WK_CASE(s, "dilated", &far, { .dims = WK_DIMS(2, 2, 8), .margin = 0.01, .strided = true });
    WK_CASE(s, "large", &line, { .dims = WK_DIMS(4, 16, 301), .margin = 0.00005 });
    const wk_pool_opts two = { .kernel = { 2 }, .stride = { 2 } };
    WK_HUGE_CASE(s, "huge", &line, { .dims = WK_DIMS(16, 64, 512), .margin = 0.000001 });
    WK_HUGE_CASE(s, "huge two", &two, { .dims = WK_DIMS(16, 64, 512), .margin = 0.000001 });
}
static void max_pool2d_with_indices_samples(wk_sampler *s) {
    WK_CASE(s, "plane", &plane, { .dims = WK_DIMS(2, 2, 5, 6), .margin = 0.01 });
    WK_CASE(s, "strided", &plane, { .dims = WK_DIMS(1, 9, 5, 4), .margin = 0.001, .strided = true });
    WK_HUGE_CASE(s, "huge", &plane, { .dims = WK_DIMS(8, 32, 56, 56), .margin = 0.000001 });
}
static void max_pool3d_with_indices_samples(wk_sampler *s) {
    WK_CASE(s, "volume", &volume, { .dims = WK_DIMS(1, 2, 3, 4, 5), .margin = 0.005 });
    WK_HUGE_CASE(s, "huge", &volume, { .dims = WK_DIMS(2, 16, 16, 28, 28), .margin = 0.000001 });
}
#define max_pool1d_with_indices_samples max_pool1d_samples
static void avg_pool1d_samples(wk_sampler *s) {
    const wk_pool_opts hang = {
        .kernel = { 3 }, .stride = { 2 }, .padding = { 1 }, .ceil_mode = true, .exclude_padding = true
    };
    WK_CASE(s, "line", &line, { .dims = WK_DIMS(2, 3, 9) });
    WK_CASE(s, "ceil", &hang, { .dims = WK_DIMS(2, 2, 8), .strided = true });
    WK_CASE(s, "large", &line, { .dims = WK_DIMS(4, 16, 301) });
    WK_HUGE_CASE(s, "huge", &line, { .dims = WK_DIMS(16, 64, 512) });
}
static void adaptive_max_pool1d_samples(wk_sampler *s) {
    WK_CASE(s, "thirds", &thirds, { .dims = WK_DIMS(2, 3, 7), .margin = 0.01 });
    WK_HUGE_CASE(s, "huge", &thirds, { .dims = WK_DIMS(16, 64, 512), .margin = 0.000001 });
}
#define adaptive_max_pool1d_with_indices_samples adaptive_max_pool1d_samples
static void adaptive_max_pool2d_with_indices_samples(wk_sampler *s) {
    WK_CASE(s, "grid", &grid, { .dims = WK_DIMS(2, 2, 5, 5), .margin = 0.005 });
    WK_CASE(s, "large", &grid, { .dims = WK_DIMS(1, 9, 40, 50), .margin = 0.00001 });
    WK_HUGE_CASE(s, "huge", &grid, { .dims = WK_DIMS(16, 64, 28, 28), .margin = 0.000001 });
}
static void adaptive_max_pool3d_with_indices_samples(wk_sampler *s) {
    WK_CASE(s, "cells", &cells, { .dims = WK_DIMS(1, 2, 3, 4, 5), .margin = 0.005 });
    WK_HUGE_CASE(s, "huge", &cells, { .dims = WK_DIMS(2, 16, 16, 28, 28), .margin = 0.000001 });
}
/* A single column of windows, so that no two positions drawn are the same element's. */
static void max_unpool1d_samples(wk_sampler *s) {
    const wk_unpool_opts nine = { { 9 } };
    WK_CASE(s, "one", &nine, { .dims = WK_DIMS(3, 4, 1) },
            { .dims = WK_DIMS(3, 4, 1), .kind = WK_SAMPLE_INDEX, .high = 9 });
    WK_HUGE_CASE(s, "huge", &nine, { .dims = WK_DIMS(64, 2048, 1) },
                 { .dims = WK_DIMS(64, 2048, 1), .kind = WK_SAMPLE_INDEX, .high = 9 });
}
static void max_unpool2d_samples(wk_sampler *s) {
    const wk_unpool_opts six = { { 3, 2 } };
    WK_CASE(s, "one", &six, { .dims = WK_DIMS(3, 4, 1, 1) },
            { .dims = WK_DIMS(3, 4, 1, 1), .kind = WK_SAMPLE_INDEX, .high = 6 });
    const wk_unpool_opts four = { { 2, 2 } };
    WK_HUGE_CASE(s, "huge", &four, { .dims = WK_DIMS(64, 4096, 1, 1) },
                 { .dims = WK_DIMS(64, 4096, 1, 1), .kind = WK_SAMPLE_INDEX, .high = 4 });
}
static void max_unpool3d_samples(wk_sampler *s) {
    const wk_unpool_opts eight = { { 2, 2, 2 } };
    WK_CASE(s, "one", &eight, { .dims = WK_DIMS(3, 4, 1, 1, 1) },
            { .dims = WK_DIMS(3, 4, 1, 1, 1), .kind = WK_SAMPLE_INDEX, .high = 8 });
    WK_HUGE_CASE(s, "huge", &eight, { .dims = WK_DIMS(64, 2048, 1, 1, 1) },
                 { .dims = WK_DIMS(64, 2048, 1, 1, 1), .kind = WK_SAMPLE_INDEX, .high = 8 });
}

static void lp_pool1d_samples(wk_sampler *s) {
    const wk_lp_pool_opts square = { .p = 2, .kernel = { 3 }, .stride = { 2 } };
    WK_CASE(s, "square", &square, { .dims = WK_DIMS(2, 3, 7), .low = 0.5, .high = 2 });
    WK_HUGE_CASE(s, "huge", &square, { .dims = WK_DIMS(16, 64, 512), .low = 0.5, .high = 2 });
}
static void lp_pool2d_samples(wk_sampler *s) {
    const wk_lp_pool_opts square = { .p = 2, .kernel = { 2, 3 } },
                          broken = { .p = 1.5, .kernel = { 2, 2 }, .stride = { 2, 1 }, .ceil_mode = true };
    WK_CASE(s, "square", &square, { .dims = WK_DIMS(2, 2, 4, 6), .low = 0.5, .high = 2 });
    WK_CASE(s, "broken", &broken, { .dims = WK_DIMS(1, 2, 5, 4), .low = 0.5, .high = 2, .strided = true });
    WK_HUGE_CASE(s, "huge", &square, { .dims = WK_DIMS(8, 32, 56, 56), .low = 0.5, .high = 2 });
}
static void lp_pool3d_samples(wk_sampler *s) {
    const wk_lp_pool_opts cube = { .p = 3, .kernel = { 2, 2, 2 } };
    WK_CASE(s, "cube", &cube, { .dims = WK_DIMS(1, 2, 2, 4, 4), .low = 0.5, .high = 2 });
    WK_HUGE_CASE(s, "huge", &cube, { .dims = WK_DIMS(2, 16, 16, 28, 28), .low = 0.5, .high = 2 });
}

/* ---- rows ---- */

static wk_cost cost(const wk_call *call) {
    return (wk_cost){ 2 * (double)call->in[0]->count, wk__operand_bytes(call) };
}

#define POOL_ATTRS(axes)                                                                                     \
    { "kernel", WK_ATTR_INTS, offsetof(wk_pool_opts, kernel), axes, NULL, 0, "window" },                     \
        { "stride", WK_ATTR_INTS, offsetof(wk_pool_opts, stride), axes, NULL, 0, "0 means the window" },     \
        { "padding", WK_ATTR_INTS, offsetof(wk_pool_opts, padding), axes, NULL, 0, "at most half of it" }, { \
        "ceil_mode", WK_ATTR_BOOL, offsetof(wk_pool_opts, ceil_mode), 0, NULL, 0, "round sizes up"           \
    }
#define MAX_ATTRS(axes)                                                                        \
    POOL_ATTRS(axes), {                                                                        \
        "dilation", WK_ATTR_INTS, offsetof(wk_pool_opts, dilation), axes, NULL, 0, "0 means 1" \
    }
#define SIZE_ATTRS(type, axes, text) \
    { "size", WK_ATTR_INTS, offsetof(type, size), axes, NULL, 0, text }
static const wk_attr_def avg_attrs[] = { POOL_ATTRS(1),
                                         { "exclude_padding", WK_ATTR_BOOL, offsetof(wk_pool_opts, exclude_padding), 0,
                                           NULL, 0, "average over what is there" },
                                         { "divisor", WK_ATTR_INT, offsetof(wk_pool_opts, divisor), 0, NULL, 0,
                                           "0: the window's size" } };
static const wk_attr_def max_attrs[3][5] = { { MAX_ATTRS(1) }, { MAX_ATTRS(2) }, { MAX_ATTRS(3) } };
static const wk_attr_def adaptive_attrs[3][1] = { { SIZE_ATTRS(wk_adaptive_pool_opts, 1, "of the result; 0: as x") },
                                                  { SIZE_ATTRS(wk_adaptive_pool_opts, 2, "of the result; 0: as x") },
                                                  { SIZE_ATTRS(wk_adaptive_pool_opts, 3, "of the result; 0: as x") } };
static const wk_attr_def unpool_attrs[3][1] = { { SIZE_ATTRS(wk_unpool_opts, 1, "of the result") },
                                                { SIZE_ATTRS(wk_unpool_opts, 2, "of the result") },
                                                { SIZE_ATTRS(wk_unpool_opts, 3, "of the result") } };

#define COMPOSITE(id, text, inputs, outputs, attrs_, n, type, allowed_) \
    static wk_op_def id##_row = { .name = #id,                          \
                                  .doc = text,                          \
                                  .n_in = inputs,                       \
                                  .n_out = outputs,                     \
                                  .internal_out = outputs == 2 ? 2 : 0, \
                                  .composite = true,                    \
                                  .attrs = attrs_,                      \
                                  .n_attrs = n,                         \
                                  .attrs_size = sizeof(type),           \
                                  .dtype = { .allowed = allowed_ },     \
                                  .decompose = id##_parts,              \
                                  .cost = cost,                         \
                                  .samples = id##_samples };
#define ONE(...) \
    { __VA_ARGS__ }
#define MAX_ROW(id, axes, adaptive, with, attrs_, n, type)                                                         \
    static wk_status id##_parts(const wk_call *call, wk_tensor *out[]) {                                           \
        return max_parts(call, out, axes, adaptive, with);                                                         \
    }                                                                                                              \
    COMPOSITE(id, with ? "largest of each window, and where it stood" : "largest of each window along an axis", 1, \
              1 + with, attrs_[axes - 1], n, type, ONE(WK_FLOATS))
#define WITH_INDICES(id, axes, adaptive, attrs_, n, type)              \
    MAX_ROW(id, axes, adaptive, 1, attrs_, n, type)                    \
    wk_tensor *wk_##id(wk_tensor *x, type opts, wk_tensor **indices) { \
        wk_tensor *out[WK_MAX_OUT] = { NULL };                         \
        wk_status status = wk_op_run(&id##_row, &x, 1, out, &opts);    \
        *indices = status == WK_OK ? out[1] : NULL;                    \
        return status == WK_OK ? out[0] : NULL;                        \
    }
#define PLAIN(id, type)                           \
    wk_tensor *wk_##id(wk_tensor *x, type opts) { \
        return wk_op_run1(&id##_row, &opts, x);   \
    }
MAX_ROW(max_pool1d, 1, false, 0, max_attrs, 5, wk_pool_opts)
PLAIN(max_pool1d, wk_pool_opts)
WITH_INDICES(max_pool1d_with_indices, 1, false, max_attrs, 5, wk_pool_opts)
WITH_INDICES(max_pool2d_with_indices, 2, false, max_attrs, 5, wk_pool_opts)
WITH_INDICES(max_pool3d_with_indices, 3, false, max_attrs, 5, wk_pool_opts)
MAX_ROW(adaptive_max_pool1d, 1, true, 0, adaptive_attrs, 1, wk_adaptive_pool_opts)
PLAIN(adaptive_max_pool1d, wk_adaptive_pool_opts)
WITH_INDICES(adaptive_max_pool1d_with_indices, 1, true, adaptive_attrs, 1, wk_adaptive_pool_opts)
WITH_INDICES(adaptive_max_pool2d_with_indices, 2, true, adaptive_attrs, 1, wk_adaptive_pool_opts)
WITH_INDICES(adaptive_max_pool3d_with_indices, 3, true, adaptive_attrs, 1, wk_adaptive_pool_opts)
COMPOSITE(avg_pool1d, "mean of each window along an axis", 1, 1, avg_attrs, 6, wk_pool_opts, ONE(WK_FLOATS))
PLAIN(avg_pool1d, wk_pool_opts)

#define UNPOOL(id, axes)                                                                                 \
    static wk_status id##_parts(const wk_call *call, wk_tensor *out[]) {                                 \
        return unpool_parts(call, out, axes);                                                            \
    }                                                                                                    \
    COMPOSITE(id, "zeros with maxima where they stood", 2, 1, unpool_attrs[axes - 1], 1, wk_unpool_opts, \
              ONE(WK_FLOATS, WK_SET_OF(WK_I64)))                                                         \
    wk_tensor *wk_##id(wk_tensor *x, wk_tensor *indices, wk_unpool_opts opts) {                          \
        return wk_op_run2(&id##_row, &opts, x, indices);                                                 \
    }
UNPOOL(max_unpool1d, 1)
UNPOOL(max_unpool2d, 2)
UNPOOL(max_unpool3d, 3)

#define LP_ATTRS(axes)                                                                                       \
    {                                                                                                        \
        { "p", WK_ATTR_FLOAT, offsetof(wk_lp_pool_opts, p), 0, NULL, 0, "of the norm" },                     \
            { "kernel", WK_ATTR_INTS, offsetof(wk_lp_pool_opts, kernel), axes, NULL, 0, "window" },          \
            { "stride", WK_ATTR_INTS, offsetof(wk_lp_pool_opts, stride), axes, NULL, 0, "0: the window" }, { \
            "ceil_mode", WK_ATTR_BOOL, offsetof(wk_lp_pool_opts, ceil_mode), 0, NULL, 0, "round sizes up"    \
        }                                                                                                    \
    }
static const wk_attr_def lp_attrs[3][4] = { LP_ATTRS(1), LP_ATTRS(2), LP_ATTRS(3) };
#define LP(id, axes)                                                                                   \
    static wk_status id##_parts(const wk_call *call, wk_tensor *out[]) {                               \
        return lp_parts(call, out, axes);                                                              \
    }                                                                                                  \
    COMPOSITE(id, "norm of each window", 1, 1, lp_attrs[axes - 1], 4, wk_lp_pool_opts, ONE(WK_FLOATS)) \
    PLAIN(id, wk_lp_pool_opts)
LP(lp_pool1d, 1)
LP(lp_pool2d, 2)
LP(lp_pool3d, 3)

wk_op_def *const wk__rows_pool_parts[] = { &max_pool1d_row,
                                           &max_pool1d_with_indices_row,
                                           &max_pool2d_with_indices_row,
                                           &max_pool3d_with_indices_row,
                                           &adaptive_max_pool1d_row,
                                           &adaptive_max_pool1d_with_indices_row,
                                           &adaptive_max_pool2d_with_indices_row,
                                           &adaptive_max_pool3d_with_indices_row,
                                           &avg_pool1d_row,
                                           &lp_pool1d_row,
                                           &lp_pool2d_row,
                                           &lp_pool3d_row,
                                           &max_unpool1d_row,
                                           &max_unpool2d_row,
                                           &max_unpool3d_row,
                                           NULL };
