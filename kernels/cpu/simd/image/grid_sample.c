/* grid_sample.c: images sampled at given places, and the gradients of that.
 *
 * A place becomes a few taps: offsets into the image and weights, which all channels share.  Forward and the gradient
 * of the grid are split by places; the gradient of the image is split by channels, since several places meet in one
 * element: each sum is one thread's, in the order of the places.
 */
#include "cpu/scratch.h"
#include "cpu/simd/iterate.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 128, MOST_TAPS = 16, MOST_CHANNELS = 32 };

/* w(t) of the four neighbours, t the way from the second to the third, highest power first: Keys 1981, a = -0.75. */
static const double cubic[4][4] = {
    { -0.75, 1.5, -0.75, 0 }, { 1.25, -2.25, 0, 1 }, { -1.25, 1.5, 0.75, 0 }, { 0.75, -0.75, 0, 0 }
};

typedef struct sampling {
    wk_grid_sample_opts opts;
    int axes, width, taps;               /* width: taps along one axis */
    int64_t size[3], by[3];              /* of the image: D, H, W or H, W; and its strides */
    int64_t places;                      /* of one image */
    int64_t out[3], grid_by[3], y_by[3]; /* shape of the places, strides of grid and result along it */
    const wk_tensor *grid, *x, *y;
} sampling;

/* One axis of one place. */
typedef struct axis_taps {
    int64_t index[4];
    bool inside[4];
    double weight[4], slant[4]; /* and its derivative by the place */
    double slope, start;        /* the way from the tap below is slope · g + start */
} axis_taps;

static double reflected(double u, double low, double span, double *sign) {
    if (span <= 0) return *sign = 0, 0;
    double away = fabs(u - low), flips = floor(away / span), rest = away - flips * span;
    *sign = u < low ? -1 : 1;
    bool odd = fmod(flips, 2) != 0;
    if (odd) *sign = -*sign;
    return odd ? low + span - rest : low + rest;
}

/* What a place outside stands for; *slope is multiplied. */
static double padded(const sampling *s, double u, int64_t size, double *slope) {
    double sign = 1, last = (double)(size - 1);
    if (s->opts.padding == WK_GRID_REFLECTION) {
        u = s->opts.align_corners ? reflected(u, 0, last, &sign) : reflected(u, -0.5, (double)size, &sign);
        *slope *= sign;
    }
    if (u <= 0 || u >= last) *slope = 0;
    return u <= 0 ? 0 : u >= last ? last : u;
}

static void set_index(const sampling *s, axis_taps *a, int k, double place, int64_t size, bool pad) {
    double ignored = 1;
    if (pad) place = padded(s, place, size, &ignored);
    a->inside[k] = place >= 0 && place < (double)size;
    a->index[k] = a->inside[k] ? (int64_t)place : 0;
}

static void taps_of_axis(const sampling *s, axis_taps *a, double g, int64_t size) {
    bool corners = s->opts.align_corners, pads = s->opts.padding != WK_GRID_ZEROS;
    double u = corners ? (g + 1) / 2 * (double)(size - 1) : ((g + 1) * (double)size - 1) / 2;
    a->slope = (double)(corners ? size - 1 : size) / 2;
    if (pads && s->opts.mode != WK_GRID_CUBIC && u == u) u = padded(s, u, size, &a->slope);
    if (!(fabs(u) < 0x1p30)) u = -100, a->slope = 0; /* also NaN */
    double below = s->opts.mode == WK_GRID_NEAREST ? nearbyint(u) : floor(u), t = u - below;
    a->start = a->slope == 0 ? t : t - a->slope * g;
    if (s->width == 1) {
        a->weight[0] = 1, a->slant[0] = 0, a->slope = 0;
        set_index(s, a, 0, below, size, false);
    } else if (s->width == 2) {
        a->weight[0] = 1 - t, a->weight[1] = t, a->slant[0] = -1, a->slant[1] = 1;
        for (int k = 0; k < 2; k++) set_index(s, a, k, below + k, size, false);
    } else {
        for (int k = 0; k < 4; k++) {
            const double *c = cubic[k];
            a->weight[k] = ((c[0] * t + c[1]) * t + c[2]) * t + c[3];
            a->slant[k] = (3 * c[0] * t + 2 * c[1]) * t + c[2];
            set_index(s, a, k, below - 1 + k, size, pads);
        }
    }
}

/* All taps of a place: the last axis of the image is the first number of the grid, and runs fastest. */
typedef struct place_taps {
    int64_t offset[MOST_TAPS], flat[MOST_TAPS]; /* by strides, and in row-major order */
    bool inside[MOST_TAPS];
    double weight[MOST_TAPS], slant[3][MOST_TAPS]; /* by each number of the grid, its slope included */
    axis_taps axis[3];                             /* in the grid's order */
} place_taps;

static double grid_value(const sampling *s, int64_t at) {
    switch (s->grid->dtype) {
    case WK_F32: return (double)((const float *)s->grid->data)[at];
    case WK_F64: return ((const double *)s->grid->data)[at];
    case WK_BF16: return (double)wk_load_bf16(((const uint16_t *)s->grid->data)[at]);
    default: return (double)wk_load_f16(((const uint16_t *)s->grid->data)[at]);
    }
}

static int64_t at_place(const sampling *s, const int64_t *by, int64_t place) {
    int64_t at = 0;
    for (int i = s->axes - 1; i >= 0; i--) at += place % s->out[i] * by[i], place /= s->out[i];
    return at;
}

static void taps_of_place(const sampling *s, place_taps *p, int64_t n, int64_t place) {
    const wk_tensor *grid = s->grid;
    int64_t at = n * grid->stride[0] + at_place(s, s->grid_by, place), step = grid->stride[grid->rank - 1];
    for (int d = 0; d < s->axes; d++)
        taps_of_axis(s, &p->axis[d], grid_value(s, at + d * step), s->size[s->axes - 1 - d]);
    for (int t = 0; t < s->taps; t++) {
        int64_t offset = 0, flat = 0, area = 1;
        double weight = 1, slant[3] = { 1, 1, 1 };
        bool inside = true;
        for (int d = 0, rest = t; d < s->axes; d++, rest /= s->width) {
            const axis_taps *a = &p->axis[d];
            int k = rest % s->width, axis = s->axes - 1 - d;
            offset += a->index[k] * s->by[axis], flat += a->index[k] * area, area *= s->size[axis];
            inside = inside && a->inside[k];
            weight *= a->weight[k];
            for (int e = 0; e < s->axes; e++) slant[e] *= e == d ? a->slant[k] * a->slope : a->weight[k];
        }
        p->offset[t] = inside ? offset : 0, p->flat[t] = flat, p->inside[t] = inside;
        p->weight[t] = inside ? weight : 0;
        for (int e = 0; e < s->axes; e++) p->slant[e][t] = inside ? slant[e] : 0;
    }
}

/* ---- two axes of two taps, the frequent case: a block of places at once ---- */

/* One axis.  A tap outside has weight, slant and index 0. */
typedef struct axis_block {
    int32_t index[2][BLOCK];
    double weight[2][BLOCK], slant[2][BLOCK], slope[BLOCK];
} axis_block;
typedef struct pixel_block {
    axis_block axis[2]; /* in the grid's order */
    int64_t y[BLOCK];
} pixel_block;

static bool has_pixels(const sampling *s) {
    return s->axes == 2 && s->width == 2 && s->size[0] < 1 << 30 && s->size[1] < 1 << 30;
}

static void any_axis_of_block(const sampling *s, axis_block *b, const double *g, int64_t size, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        axis_taps a;
        taps_of_axis(s, &a, g[i], size);
        b->slope[i] = a.slope;
        for (int k = 0; k < 2; k++) {
            b->index[k][i] = (int32_t)a.index[k];
            b->weight[k][i] = a.inside[k] ? a.weight[k] : 0, b->slant[k][i] = a.inside[k] ? a.slant[k] : 0;
        }
    }
}

/* taps_of_axis without its questions, by vectors. */
static void axis_of_block(axis_block *restrict b, const double *restrict g, bool corners, int64_t size) {
    const double end = (double)size, reach = corners ? end - 1 : end, back = corners ? 0 : 1;
    for (int64_t i = 0; i < BLOCK; i++) {
        double u = ((g[i] + 1) * reach - back) / 2, slope = fabs(u) < 0x1p30 ? reach / 2 : 0; /* also NaN */
        double place = fabs(u) < 0x1p30 ? u : -100, below = floor(place), t = place - below;
        double first = below >= 0 ? 1 : 0, second = below >= -1 ? 1 : 0; /* whether the tap lies inside */
        first = below < end ? first : 0, second = below < end - 1 ? second : 0;
        b->slope[i] = slope;
        b->index[0][i] = (int32_t)(first * below), b->index[1][i] = (int32_t)(second * (below + 1));
        b->weight[0][i] = first * (1 - t), b->weight[1][i] = second * t;
        b->slant[0][i] = -first, b->slant[1][i] = second;
    }
}

/* Forward of (2, 16, 64, 64), one thread, AVX-512 in whole: 145 us, 242 place by place. */
static void load_block_of_pixels(const sampling *s, pixel_block *b, int64_t n, int64_t first, int64_t count) {
    double g[2][BLOCK] = { { 0 } };
    int64_t row = first / s->out[1], column = first % s->out[1], step = s->grid->stride[s->grid->rank - 1];
    for (int64_t i = 0; i < count; i++) {
        int64_t at = n * s->grid->stride[0] + row * s->grid_by[0] + column * s->grid_by[1];
        g[0][i] = grid_value(s, at), g[1][i] = grid_value(s, at + step);
        b->y[i] = row * s->y_by[0] + column * s->y_by[1];
        if (++column == s->out[1]) column = 0, row++;
    }
    for (int d = 0; d < 2; d++)
        if (s->opts.padding == WK_GRID_ZEROS)
            axis_of_block(&b->axis[d], g[d], s->opts.align_corners, s->size[1 - d]);
        else
            any_axis_of_block(s, &b->axis[d], g[d], s->size[1 - d], count);
}

/* ---- f32 images whose rows are dense: two taps of a row are one load ---- */

typedef float quad __attribute__((vector_size(16)));
typedef struct pair_block {
    int64_t offset[BLOCK][2]; /* of the pair in the upper row, and in the lower one */
    quad weight[BLOCK];
} pair_block;

/* Along a row: the two neighbours that hold both taps.  The left tap alone, at the right end, is the second of its
 * pair; the right tap alone, at the left end, the first of its own. */
static void pairs_of_block(const sampling *s, const pixel_block *p, pair_block *b, int64_t count) {
    const axis_block *x = &p->axis[0], *y = &p->axis[1];
    const int32_t most = (int32_t)s->size[1] - 2;
    int32_t left[BLOCK];
    float across[2][BLOCK], down[2][BLOCK];
    for (int64_t i = 0; i < count; i++) {
        float low = (float)x->weight[0][i], high = (float)x->weight[1][i];
        bool ends = x->index[0][i] > most, begins = x->slant[0][i] == 0;
        left[i] = ends ? most : x->index[0][i];
        across[0][i] = begins ? high : ends ? 0 : low, across[1][i] = begins ? 0 : ends ? low : high;
        down[0][i] = (float)y->weight[0][i], down[1][i] = (float)y->weight[1][i];
    }
    for (int64_t i = 0; i < count; i++) {
        quad pair = { across[0][i], across[1][i], across[0][i], across[1][i] };
        b->weight[i] = pair * (quad){ down[0][i], down[0][i], down[1][i], down[1][i] };
        for (int k = 0; k < 2; k++) b->offset[i][k] = y->index[k][i] * s->by[0] + left[i];
    }
}

static inline quad weighed_pairs(const pair_block *b, const float *plane, int64_t i) {
    typedef double halves __attribute__((vector_size(16)));
    double upper, lower; /* two floats each: moved as one, and never through memory */
    memcpy(&upper, plane + b->offset[i][0], sizeof upper);
    memcpy(&lower, plane + b->offset[i][1], sizeof lower);
    return (quad)(halves){ upper, lower } * b->weight[i];
}
/* Sums of neighbours: of a in the lower half, of b in the upper one. */
static inline quad sums_of_pairs(quad a, quad b) {
    return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
}

/* y: where each place goes; dense: one behind the other. */
static void plane_by_pairs(const pair_block *b, const int64_t *y, bool dense, const float *plane, float *to,
                           int64_t count) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
        quad upper = sums_of_pairs(weighed_pairs(b, plane, i), weighed_pairs(b, plane, i + 1));
        quad lower = sums_of_pairs(weighed_pairs(b, plane, i + 2), weighed_pairs(b, plane, i + 3));
        quad four = sums_of_pairs(upper, lower);
        if (dense)
            memcpy(to + y[i], &four, sizeof four);
        else
            for (int k = 0; k < 4; k++) to[y[i + k]] = four[k];
    }
    for (; i < count; i++) {
        quad v = weighed_pairs(b, plane, i);
        to[y[i]] = (v[0] + v[1]) + (v[2] + v[3]);
    }
}

static void block_by_pairs(const sampling *s, int64_t n, int64_t first, int64_t count) {
    pixel_block p;
    pair_block b;
    load_block_of_pixels(s, &p, n, first, count);
    pairs_of_block(s, &p, &b, count);
    const bool dense = s->y_by[1] == 1 && s->y_by[0] == s->out[1];
    for (int64_t c = 0; c < s->x->shape[1]; c++)
        plane_by_pairs(&b, p.y, dense, (const float *)s->x->data + n * s->x->stride[0] + c * s->x->stride[1],
                       (float *)s->y->data + n * s->y->stride[0] + c * s->y->stride[1], count);
}

static bool goes_by_pairs(const sampling *s) {
    return has_pixels(s) && s->x->dtype == WK_F32 && s->by[1] == 1 && s->size[1] >= 2 && s->size[0] >= 1;
}

static sampling sampling_of(const wk_grid_sample_opts *opts, const wk_tensor *x, const wk_tensor *grid,
                            const wk_tensor *y) {
    sampling s = { .opts = *opts, .axes = grid->rank - 2, .grid = grid, .x = x, .y = y, .taps = 1, .places = 1 };
    s.width = opts->mode == WK_GRID_NEAREST ? 1 : opts->mode == WK_GRID_CUBIC ? 4 : 2;
    for (int i = 0; i < s.axes; i++) {
        s.taps *= s.width, s.places *= grid->shape[1 + i];
        s.out[i] = grid->shape[1 + i], s.grid_by[i] = grid->stride[1 + i];
        if (x) s.size[i] = x->shape[2 + i], s.by[i] = x->stride[2 + i];
        if (y) s.y_by[i] = y->stride[2 + i];
    }
    return s;
}

/* The taps of up to BLOCK places, those of one place together, as the loops over channels want them. */
#define WK_BODY "cpu/simd/image/grid_sample_body.h"
#include "cpu/simd/each_float.h"

#define BY_TYPE(dtype, call_f32, call_f64, call_bf16, call_f16) \
    switch (dtype) {                                            \
    case WK_F32: call_f32; break;                               \
    case WK_F64: call_f64; break;                               \
    case WK_BF16: call_bf16; break;                             \
    default: call_f16; break;                                   \
    }

static wk_status grid_sample(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *x = call->in[0], *y = call->out[0];
    if (!y->count) return WK_OK;
    const sampling s = sampling_of(call->attrs, x, call->in[1], y);
    int threads = wk_cpu_team(ctx, y->count * s.taps * 4);
    BY_TYPE(x->dtype, forward_f32(&s, threads), forward_f64(&s, threads), forward_bf16(&s, threads),
            forward_f16(&s, threads))
    return WK_OK;
}

static wk_status grid_sample_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_grid_sample_opts *opts = call->attrs;
    const wk_tensor *dy = call->in[0], *x = call->in[1], *dx = call->out[0], *dgrid = call->out[1];
    sampling s = sampling_of(opts, x, call->in[2], dy);
    int threads = wk_cpu_team(ctx, (dy->count * s.taps + dx->count) * 4);
    BY_TYPE(x->dtype, backward_grid_f32(&s, dgrid, threads), backward_grid_f64(&s, dgrid, threads),
            backward_grid_bf16(&s, dgrid, threads), backward_grid_f16(&s, dgrid, threads))
    /* Sums of some channels' images, row major, in the working type. */
    int64_t area = 1, bytes = x->dtype == WK_F64 ? 8 : 4, channels;
    for (int i = s.axes - 1; i >= 0; i--) s.by[i] = area, area *= s.size[i];
    channels = area ? (4 << 20) / (area * bytes) : 1;
    channels = channels < 1 ? 1 : channels > MOST_CHANNELS ? MOST_CHANNELS : channels;
    if (channels > x->shape[1]) channels = x->shape[1] ? x->shape[1] : 1;
    int64_t each = (channels * area * bytes + 63) / 64 * 64;
    char *sums = wk__cpu_scratch(WK_SCRATCH_KERNEL, (size_t)(each * threads));
    if (!sums) return WK_NO_MEMORY;
    BY_TYPE(x->dtype, backward_image_f32(&s, dx, sums, each, channels, area, threads),
            backward_image_f64(&s, dx, sums, each, channels, area, threads),
            backward_image_bf16(&s, dx, sums, each, channels, area, threads),
            backward_image_f16(&s, dx, sums, each, channels, area, threads))
    return WK_OK;
}

static wk_status grid_taps(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_grid_attrs *attrs = call->attrs;
    const wk_tensor *grid = call->in[0];
    if (!call->out[0]->count) return WK_OK;
    sampling s = sampling_of(&attrs->sample, NULL, grid, NULL);
    for (int i = 0; i < s.axes; i++) s.size[i] = attrs->image.size[2 + i];
    int threads = wk_cpu_team(ctx, call->out[0]->count * 16);
    BY_TYPE(grid->dtype, taps_f32(&s, call->out, threads), taps_f64(&s, call->out, threads),
            taps_bf16(&s, call->out, threads), taps_f16(&s, call->out, threads))
    return WK_OK;
}

WK_CPU_TABLE(grid_sample) = {
    { "grid_sample", WK_FLOATS, grid_sample },
    { "grid_sample_backward", WK_FLOATS, grid_sample_backward },
    { "grid_taps", WK_FLOATS, grid_taps },
    { 0 },
};
