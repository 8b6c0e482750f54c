/* pool.c: max and average pooling of images of two and three axes, forward and backward.
 *
 * Windows are tables, one for each axis: where each starts and which of its taps lie in the image; so padding,
 * dilation, windows that hang over the end and adaptive windows are the same loops.  With channels last a window is a
 * few vectors, so forward runs over 64 channels at a time; any other layout goes through channels last, or element by
 * element where channels are few.  Backward asks, for each element of dx, which windows cover it: one write an element,
 * no clearing, no atomics, and a fixed order where windows overlap.  If dx is channels last but dy is not (the gradient
 * of flattening), only dy is turned.
 */
#include "cpu/convolution.h"
#include "cpu/scratch.h"
#include "cpu/simd/iterate.h"

#include <math.h>
#include <string.h>

enum { CHUNK = 64, BROAD = 16 };
#define WK_EXPANDED __attribute__((always_inline))

/* An image without depth has 1 of it. */
typedef struct layout {
    void *data;
    int64_t stride[5]; /* N, C, D, H, W */
} layout;

typedef struct window_axis {
    int64_t size, steps, kernel, dilation;
    int64_t stride;                      /* between windows; 0: adaptive */
    int64_t *start, *from, *to, *length; /* (steps): first element (padding is negative), taps inside, for means */
    int64_t *first, *last;               /* (size): the windows that may cover an element */
    int64_t inside, outside; /* the windows all of whose taps lie in the image: the first, one past the last */
} window_axis;

typedef struct pooling {
    int64_t n, c;
    window_axis axis[3];
    int64_t divisor; /* of means; 0: the product of the lengths */
    bool by_channels, wide, planes;
    bool broad;         /* adaptive windows of row-major planes, none of them narrower than BROAD */
    int64_t reach[256]; /* of tap k from its window's start, in elements of a row-major plane */
    void *taps;         /* of maxima, laid out as y: one byte, or `wide` i32 */
} pooling;

static inline int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline double divisor_of(const pooling *s, const int64_t *at /* window */) {
    const window_axis *a = s->axis;
    return (double)(s->divisor ? s->divisor : a[0].length[at[0]] * a[1].length[at[1]] * a[2].length[at[2]]);
}

/* Which tap of window `o` element `i` is; -1: none of them. */
static inline int64_t tap_at(const window_axis *axis, int64_t o, int64_t i) {
    int64_t reach = i - axis->start[o];
    return axis->dilation == 1 ? reach : reach % axis->dilation ? -1 : reach / axis->dilation;
}

/* How far tap k lies from its window's start, in elements of a row-major plane. */
static inline int64_t reach_of(const pooling *s, int64_t k) {
    const window_axis *a = s->axis;
    int64_t v = k % a[2].kernel, r = k / a[2].kernel % a[1].kernel, t = k / a[2].kernel / a[1].kernel;
    return (t * a[0].dilation * a[1].size + r * a[1].dilation) * a[2].size + v * a[2].dilation;
}

#define WK_BODY "cpu/simd/image/pool_body.h"
#include "cpu/simd/each_float.h"

/* ---- tables ---- */

static void regular_windows(window_axis *axis, const wk_pool_opts *opts, int i) {
    int64_t stride = opts->stride[i] ? opts->stride[i] : opts->kernel[i], padding = opts->padding[i];
    axis->kernel = opts->kernel[i];
    axis->stride = stride;
    axis->dilation = opts->dilation[i] ? opts->dilation[i] : 1;
    for (int64_t o = 0; o < axis->steps; o++) {
        int64_t start = o * stride - padding, room = axis->size - start + axis->dilation - 1;
        axis->start[o] = start;
        axis->from[o] = start < 0 ? (-start + axis->dilation - 1) / axis->dilation : 0;
        axis->to[o] = least(axis->kernel, room / axis->dilation);
        axis->length[o] = opts->exclude_padding ? axis->to[o] - axis->from[o]
                                                : least(start + axis->kernel, axis->size + padding) - start;
    }
}

/* Windows that share the axis as evenly as they can, overlapping where it does not divide. */
static void adaptive_windows(window_axis *axis) {
    axis->dilation = 1, axis->kernel = axis->stride = 0;
    for (int64_t o = 0; o < axis->steps; o++) {
        axis->start[o] = o * axis->size / axis->steps;
        int64_t length = ((o + 1) * axis->size + axis->steps - 1) / axis->steps - axis->start[o];
        axis->from[o] = 0, axis->to[o] = axis->length[o] = length;
        if (length > axis->kernel) axis->kernel = length;
    }
}

static void cover(window_axis *axis) {
    int64_t first = 0, last = 0;
    axis->inside = 0, axis->outside = axis->steps;
    while (axis->inside < axis->steps && axis->from[axis->inside] > 0) axis->inside++;
    while (axis->outside > axis->inside && axis->to[axis->outside - 1] < axis->kernel) axis->outside--;
    for (int64_t i = 0; i < axis->size; i++) {
        while (first < axis->steps && axis->start[first] + (axis->to[first] - 1) * axis->dilation < i) first++;
        while (last < axis->steps && axis->start[last] <= i) last++;
        axis->first[i] = first, axis->last[i] = last;
    }
}

static size_t tables_bytes(const pooling *s) {
    int64_t count = 0;
    for (int i = 0; i < 3; i++) count += 4 * s->axis[i].steps + 2 * s->axis[i].size;
    return ((size_t)count * sizeof(int64_t) + 63) / 64 * 64;
}

static void make_tables(pooling *s, int64_t *room, const wk_pool_opts *opts, int axes) {
    for (int i = 0; i < 3; i++) {
        window_axis *axis = &s->axis[i];
        int64_t **tables[] = { &axis->start, &axis->from, &axis->to, &axis->length, &axis->first, &axis->last };
        for (int k = 0; k < 6; k++) *tables[k] = room, room += k < 4 ? axis->steps : axis->size;
        int option = i - (3 - axes);
        if (option < 0 || !opts)
            adaptive_windows(axis);
        else
            regular_windows(axis, opts, option);
        cover(axis);
    }
}

/* ---- layouts ---- */

/* Bits are moved, whatever they mean. */
static void turn_u8(const layout *to, const layout *from, const int64_t *shape /* N, C, D, H, W */, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t n = 0; n < shape[0]; n++)
        for (int64_t d = 0; d < shape[2]; d++)
            for (int64_t h = 0; h < shape[3]; h++)
                for (int64_t w = 0; w < shape[4]; w++) {
                    const uint8_t *x = (const uint8_t *)from->data + n * from->stride[0] + d * from->stride[2]
                                       + h * from->stride[3] + w * from->stride[4];
                    uint8_t *y = (uint8_t *)to->data + n * to->stride[0] + d * to->stride[2] + h * to->stride[3]
                                 + w * to->stride[4];
                    for (int64_t c = 0; c < shape[1]; c++) y[c * to->stride[1]] = x[c * from->stride[1]];
                }
}

static void shape_of(const wk_tensor *x, int64_t shape[5]) {
    bool flat = x->rank == 4;
    shape[0] = x->shape[0], shape[1] = x->shape[1], shape[2] = flat ? 1 : x->shape[2];
    shape[3] = x->shape[x->rank - 2], shape[4] = x->shape[x->rank - 1];
}

static layout layout_of(const wk_tensor *x) {
    layout l = { x->data, { x->stride[0], x->stride[1], x->rank == 4 ? 0 : x->stride[2] } };
    l.stride[3] = x->stride[x->rank - 2], l.stride[4] = x->stride[x->rank - 1];
    return l;
}

static int64_t size_of(uint8_t dtype) {
    return dtype == WK_U8 ? 1 : dtype == WK_F64 ? 8 : dtype == WK_F32 || dtype == WK_I32 ? 4 : 2;
}

static void turn(const layout *to, const layout *from, const int64_t *shape, uint8_t dtype, int threads) {
    switch (dtype) {
    case WK_U8: turn_u8(to, from, shape, threads); return;
    case WK_I32:
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

static size_t stand_in_bytes(const wk_tensor *x) {
    return (size_t)(x->count * size_of(x->dtype) + 63) / 64 * 64;
}

/* Elements in any layout run one by one at about 10 ns; turning both ways costs 1 to 2 ns an element, so from eight
 * channels on everything is computed with channels last.  The scratch begins with the tables. */
static wk_status open_all(stand_in *all, int count, bool turned, int outputs, int threads, size_t tables,
                          int64_t **room) {
    size_t bytes = tables, at = tables;
    for (int i = 0; i < count; i++) {
        const wk_tensor *x = all[i].tensor;
        all[i].used = layout_of(x);
        all[i].turned = turned && x->stride[1] != 1 && x->shape[1] > 1;
        if (all[i].turned) bytes += stand_in_bytes(x);
    }
    char *scratch = wk__cpu_scratch(WK_SCRATCH_KERNEL, bytes);
    if (!scratch) return WK_NO_MEMORY;
    *room = (int64_t *)(void *)scratch;
    for (int i = 0; i < count; i++) {
        if (!all[i].turned) continue;
        int64_t shape[5];
        shape_of(all[i].tensor, shape);
        layout *last = &all[i].used, from = *last;
        last->data = scratch + at;
        last->stride[1] = 1, last->stride[4] = shape[1], last->stride[3] = shape[4] * shape[1];
        last->stride[2] = shape[3] * last->stride[3], last->stride[0] = shape[2] * last->stride[2];
        at += stand_in_bytes(all[i].tensor);
        if (i >= outputs) turn(last, &from, shape, all[i].tensor->dtype, threads);
    }
    return WK_OK;
}

static void close_all(const stand_in *all, int outputs, int threads) {
    for (int i = 0; i < outputs; i++) {
        layout to = layout_of(all[i].tensor);
        int64_t shape[5];
        shape_of(all[i].tensor, shape);
        if (all[i].turned) turn(&to, &all[i].used, shape, all[i].tensor->dtype, threads);
    }
}

/* ---- kernels ---- */

static pooling pooling_of(const wk_tensor *x, const wk_tensor *y) {
    int64_t size[5], steps[5];
    shape_of(x, size), shape_of(y, steps);
    pooling s = { .n = size[0], .c = size[1] };
    for (int i = 0; i < 3; i++) s.axis[i].size = size[2 + i], s.axis[i].steps = steps[2 + i];
    return s;
}

/* opts NULL: adaptive */
static wk_status forward(wk_kernel_ctx *ctx, const wk_call *call, const wk_pool_opts *opts, bool is_max) {
    const wk_tensor *x = call->in[0], *y = call->out[0];
    pooling s = pooling_of(x, y);
    int threads = wk_cpu_team(ctx, x->count * size_of(x->dtype)), outputs = is_max ? 2 : 1;
    stand_in all[3] = { { .tensor = y }, { .tensor = is_max ? call->out[1] : x }, { .tensor = x } };
    s.broad = !opts && is_max && s.axis[2].steps && s.axis[2].size / s.axis[2].steps >= BROAD;
    bool planes = (opts || s.broad) && (x->flags & WK_TENSOR_CONTIGUOUS) && (y->flags & WK_TENSOR_CONTIGUOUS);
    s.broad = s.broad && planes;
    bool turned = x->shape[1] >= 8 && !planes;
    int64_t *room;
    WK_TRY(open_all(all, outputs + 1, turned, outputs, threads, tables_bytes(&s), &room));
    make_tables(&s, room, opts, x->rank - 2);
    const layout *to = &all[0].used, *from = &all[outputs].used;
    s.by_channels = turned || (!planes && from->stride[1] == 1 && to->stride[1] == 1);
    s.divisor = is_max ? 0 : opts->divisor;
    s.taps = is_max ? all[1].used.data : NULL;
    s.wide = is_max && call->out[1]->dtype == WK_I32;
    switch (x->dtype) {
    case WK_F32: forward_f32(&s, from, to, is_max, threads); break;
    case WK_F64: forward_f64(&s, from, to, is_max, threads); break;
    case WK_BF16: forward_bf16(&s, from, to, is_max, threads); break;
    default: forward_f16(&s, from, to, is_max, threads);
    }
    close_all(all, outputs, threads);
    return WK_OK;
}

static wk_status backward(wk_kernel_ctx *ctx, const wk_call *call, const wk_tensor *taps) {
    const wk_pool_grad_attrs *attrs = call->attrs;
    const wk_tensor *dy = call->in[0], *dx = call->out[0];
    pooling s = pooling_of(dx, dy);
    int threads = wk_cpu_team(ctx, dx->count * size_of(dx->dtype));
    stand_in all[3] = { { .tensor = dx }, { .tensor = dy }, { .tensor = taps } };
    /* Planes of one's own take each window's share where it belongs; half types would round each time. */
    bool wide_type = dx->dtype == WK_F32 || dx->dtype == WK_F64;
    bool planes = wide_type && (dx->flags & WK_TENSOR_CONTIGUOUS) && dx->stride[1] != 1;
    s.by_channels = !planes && (dx->shape[1] >= 8 || (dx->shape[1] > 1 && dx->stride[1] == 1));
    s.planes = planes;
    int64_t *room;
    WK_TRY(open_all(all, taps ? 3 : 2, s.by_channels, 1, threads, tables_bytes(&s), &room));
    make_tables(&s, room, attrs->adaptive ? NULL : &attrs->pool, dx->rank - 2);
    s.divisor = attrs->pool.divisor;
    for (int64_t k = 0; planes && k < 256; k++) s.reach[k] = reach_of(&s, k);
    s.wide = taps && taps->dtype == WK_I32;
    const layout *to = &all[0].used, *from = &all[1].used, *at = taps ? &all[2].used : NULL;
    switch (dx->dtype) {
    case WK_F32: backward_f32(&s, to, from, at, threads); break;
    case WK_F64: backward_f64(&s, to, from, at, threads); break;
    case WK_BF16: backward_bf16(&s, to, from, at, threads); break;
    default: backward_f16(&s, to, from, at, threads);
    }
    close_all(all, 1, threads);
    return WK_OK;
}

static bool has_empty_window(const pooling *s) {
    for (int i = 0; i < 3; i++)
        for (int64_t o = 0; o < s->axis[i].steps; o++)
            if (s->axis[i].from[o] >= s->axis[i].to[o]) return true;
    return false;
}

/* Where each maximum stood, of taps that all lie in the image and are bytes. */
static void positions_by_reach(const pooling *s, int64_t *restrict to, const layout *taps, int64_t n, int64_t c) {
    const window_axis *a = s->axis;
    for (int64_t o = 0; o < a[0].steps; o++)
        for (int64_t p = 0; p < a[1].steps; p++, to += a[2].steps) {
            const uint8_t *restrict tap = (const uint8_t *)taps->data + n * taps->stride[0] + c * taps->stride[1]
                                          + o * taps->stride[2] + p * taps->stride[3];
            int64_t row = (a[0].start[o] * a[1].size + a[1].start[p]) * a[2].size, step = taps->stride[4];
            for (int64_t q = 0; q < a[2].steps; q++) to[q] = row + a[2].start[q] + s->reach[tap[q * step]];
        }
}

/* Where in its image (D · H · W) each maximum stood.  A window without elements points to the nearest one. */
static void positions_of_plane(const pooling *s, int64_t *to, const layout *taps, int64_t n, int64_t c) {
    const window_axis *a = s->axis;
    int64_t at[3];
    for (at[0] = 0; at[0] < a[0].steps; at[0]++)
        for (at[1] = 0; at[1] < a[1].steps; at[1]++)
            for (at[2] = 0; at[2] < a[2].steps; at[2]++) {
                int64_t from = n * taps->stride[0] + c * taps->stride[1] + at[0] * taps->stride[2]
                               + at[1] * taps->stride[3] + at[2] * taps->stride[4];
                int64_t rest = s->wide ? ((const int32_t *)taps->data)[from] : ((const uint8_t *)taps->data)[from];
                int64_t tap[3] = { 0, 0, rest % a[2].kernel }, flat = 0;
                rest /= a[2].kernel, tap[1] = rest % a[1].kernel, tap[0] = rest / a[1].kernel;
                for (int i = 0; i < 3; i++) {
                    int64_t place = a[i].start[at[i]] + tap[i] * a[i].dilation;
                    place = place < 0 ? 0 : least(place, a[i].size - 1);
                    flat = flat * a[i].size + place;
                }
                *to++ = flat;
            }
}

static wk_status max_pool_positions(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_pool_grad_attrs *attrs = call->attrs;
    const wk_tensor *taps = call->in[0], *y = call->out[0];
    wk_tensor x = { .rank = (uint8_t)attrs->dims.rank };
    memcpy(x.shape, attrs->dims.size, sizeof x.shape);
    pooling s = pooling_of(&x, taps);
    int64_t *room = wk__cpu_scratch(WK_SCRATCH_KERNEL, tables_bytes(&s));
    if (!room) return WK_NO_MEMORY;
    make_tables(&s, room, attrs->adaptive ? NULL : &attrs->pool, x.rank - 2);
    s.wide = taps->dtype == WK_I32;
    bool by_reach = !s.wide && !has_empty_window(&s);
    for (int64_t k = 0; by_reach && k < 256; k++) s.reach[k] = reach_of(&s, k);
    const layout from = layout_of(taps);
    int64_t planes = s.n * s.c, plane = planes ? y->count / planes : 0;
    int threads = wk_cpu_team(ctx, y->count * 8);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (int64_t i = 0; i < planes; i++)
        (by_reach ? positions_by_reach : positions_of_plane)(&s, (int64_t *)y->data + i * plane, &from, i / s.c,
                                                             i % s.c);
    return WK_OK;
}

static wk_status max_pool(wk_kernel_ctx *ctx, const wk_call *call) {
    return forward(ctx, call, call->attrs, true);
}
static wk_status adaptive_max_pool(wk_kernel_ctx *ctx, const wk_call *call) {
    return forward(ctx, call, NULL, true);
}
static wk_status avg_pool(wk_kernel_ctx *ctx, const wk_call *call) {
    return forward(ctx, call, call->attrs, false);
}
static wk_status max_pool_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return backward(ctx, call, call->in[1]);
}
static wk_status avg_pool_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return backward(ctx, call, NULL);
}

WK_CPU_TABLE(pool) = {
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
