/* batch_norm.c: batch normalisation over all axes but the second, forward and backward.
 *
 * Two layouts are computed on: channels last (all channels of a row at once) and row major (a channel's plane at once);
 * operands in any other layout, or in one that differs from x's, are copied to it first.  Forward reads x twice,
 * backward reads x and dy twice: statistics need all values before the first result.  Per-channel numbers are doubles
 * while they are joined: blocks, then parts in order.  How many parts there are follows from the shape, not from the
 * team, so every number of threads gives the same bits.
 */
#include "cpu/convolution.h"
#include "cpu/scratch.h"
#include "cpu/simd/half.h"

#include <math.h>
#include <string.h>

enum { BLOCK_BYTES = 128 * 1024 }; /* of x between two joins: half of a small second-level cache */
enum { MOST_PARTS = 64, PART_BYTES = 64 * 1024 };

typedef struct moments {
    double *mean, *squares; /* (C) */
    void *work;             /* (2, C) of the compute type */
} moments;

typedef struct norm {
    int64_t n, channels, area;
    bool by_rows;       /* channels last */
    const void *x, *dy; /* dense in that layout */
    void *y;
    void *coefficients; /* (4, C): mean, scale, shift, slope */
} norm;

typedef struct kernels {
    void (*gather)(const norm *v, moments *m, int share, int shares, bool backward);
    void (*map)(const norm *v, int share, int shares, bool backward);
    void (*set_coefficient)(const norm *v, int which, int64_t c, double value);
} kernels;

#define WK_BODY "cpu/simd/network/batch_norm_body.h"
#include "cpu/simd/each_float.h"

static const kernels *kernels_for(wk_dtype dtype) {
    switch (dtype) {
    case WK_F32: return &kernels_of_f32;
    case WK_F64: return &kernels_of_f64;
    case WK_BF16: return &kernels_of_bf16;
    default: return &kernels_of_f16;
    }
}

static size_t size_of(wk_dtype dtype) {
    return dtype == WK_F64 ? 8 : dtype == WK_F32 ? 4 : 2;
}

/* Per-channel vectors come in any float type and stride. */
static double get(const wk_tensor *x, int64_t i, double otherwise) {
    if (!x) return otherwise;
    i *= x->stride[0];
    switch (x->dtype) {
    case WK_F32: return (double)((const float *)x->data)[i];
    case WK_F64: return ((const double *)x->data)[i];
    case WK_BF16: return (double)wk_load_bf16(((const uint16_t *)x->data)[i]);
    default: return (double)wk_load_f16(((const uint16_t *)x->data)[i]);
    }
}

static void put(const wk_tensor *x, int64_t i, double value) {
    i *= x->stride[0];
    switch (x->dtype) {
    case WK_F32: ((float *)x->data)[i] = (float)value; break;
    case WK_F64: ((double *)x->data)[i] = value; break;
    case WK_BF16: ((uint16_t *)x->data)[i] = wk_store_bf16((float)value); break;
    default: ((uint16_t *)x->data)[i] = wk_store_f16((float)value);
    }
}

/* ---- layouts ---- */

static bool has_layout(const wk_tensor *x, const int64_t *stride) {
    for (int axis = 0; axis < x->rank; axis++)
        if (x->shape[axis] != 1 && x->stride[axis] != stride[axis]) return false;
    return true;
}

static void layouts(const wk_tensor *x, int64_t *last, int64_t *row_major) {
    int64_t expected = 1, channels = x->shape[1];
    for (int axis = x->rank - 1; axis >= 0; axis--) row_major[axis] = expected, expected *= x->shape[axis];
    for (int axis = 0; axis < x->rank; axis++)
        last[axis] = axis == 1 ? 1 : axis == 0 ? row_major[0] : row_major[axis] * channels;
}

static void copy(char *to, const int64_t *to_stride, const char *from, const int64_t *from_stride, const int64_t *shape,
                 int rank, size_t element) {
    if (rank == 0) {
        memcpy(to, from, element);
        return;
    }
    for (int64_t i = 0; i < shape[0]; i++)
        copy(to + (size_t)(i * to_stride[0]) * element, to_stride + 1, from + (size_t)(i * from_stride[0]) * element,
             from_stride + 1, shape + 1, rank - 1, element);
}

static const void *dense(const wk_tensor *x, const int64_t *stride, char *room) {
    if (has_layout(x, stride)) return x->data;
    copy(room, stride, x->data, x->stride, x->shape, x->rank, size_of((wk_dtype)x->dtype));
    return room;
}

/* ---- one call ---- */

typedef struct plan {
    norm v;
    const kernels *k;
    int64_t stride[WK_MAX_RANK]; /* of the layout computed in */
    moments part[MOST_PARTS];    /* of rows, or the first one alone; that is the total afterwards */
    int parts, shares;           /* shares: of the team */
    char *y_room;
} plan;

static size_t round_up(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* Parts of rows: large enough that their vectors (`each` bytes) are a small part of what is read. */
static int parts_of(size_t whole, size_t each) {
    size_t least = 32 * each > PART_BYTES ? 32 * each : PART_BYTES, parts = whole / least;
    return parts < 1 ? 1 : parts > MOST_PARTS ? MOST_PARTS : (int)parts;
}

static wk_status prepare(plan *p, wk_kernel_ctx *ctx, const wk_tensor *x, const wk_tensor *dy, const wk_tensor *y) {
    int64_t last[WK_MAX_RANK], row_major[WK_MAX_RANK], channels = x->shape[1];
    layouts(x, last, row_major);
    p->v.by_rows = has_layout(x, last);
    memcpy(p->stride, p->v.by_rows ? last : row_major, sizeof last);
    p->v.n = x->shape[0], p->v.channels = channels;
    p->v.area = 1;
    for (int axis = 2; axis < x->rank; axis++) p->v.area *= x->shape[axis];
    p->k = kernels_for((wk_dtype)x->dtype);
    size_t element = size_of((wk_dtype)x->dtype), whole = round_up((size_t)x->count * element);
    p->shares = wk_cpu_team(ctx, x->count * (int64_t)element);
    size_t vectors = round_up((size_t)channels * 2 * sizeof(double)), each = 2 * vectors;
    p->parts = p->v.by_rows ? parts_of(whole, each) : 1;
    size_t coefficients = 2 * vectors, room = 0;
    size_t x_at = room += coefficients + each * (size_t)p->parts;
    if (!has_layout(x, p->stride)) room += whole;
    size_t dy_at = room;
    if (dy && !has_layout(dy, p->stride)) room += whole;
    size_t y_at = room;
    bool y_fits = has_layout(y, p->stride);
    if (!y_fits) room += whole;
    char *scratch = wk__cpu_scratch(WK_SCRATCH_KERNEL, room);
    if (!scratch) return WK_NO_MEMORY;
    p->v.coefficients = scratch;
    memset(scratch, 0, coefficients + each * (size_t)p->parts);
    for (int part = 0; part < p->parts; part++) {
        char *at = scratch + coefficients + each * (size_t)part;
        p->part[part] = (moments){ (double *)(void *)at, (double *)(void *)at + channels, at + vectors };
    }
    p->v.x = dense(x, p->stride, scratch + x_at);
    p->v.dy = dy ? dense(dy, p->stride, scratch + dy_at) : NULL;
    p->y_room = y_fits ? NULL : scratch + y_at;
    p->v.y = y_fits ? y->data : p->y_room;
    return WK_OK;
}

static void gather(plan *p, bool backward) {
    /* With planes every share owns its channels, so all write to the same vectors. */
    const bool by_rows = p->v.by_rows;
    const int pieces = by_rows ? p->parts : p->shares;
#pragma omp parallel for num_threads(p->shares) schedule(static) if (p->shares > 1 && pieces > 1)
    for (int piece = 0; piece < pieces; piece++)
        p->k->gather(&p->v, &p->part[by_rows ? piece : 0], piece, pieces, backward);
    moments *all = &p->part[0];
    int64_t rows = p->v.n * p->v.area;
    for (int part = 1; part < p->parts; part++) {
        const moments *m = &p->part[part];
        int64_t before = rows * part / p->parts, count = rows * (part + 1) / p->parts - before;
        for (int64_t c = 0; c < p->v.channels && count > 0; c++) {
            if (!backward) {
                join_f64(all, c, (double)count, m->mean[c], m->squares[c], (double)before);
                continue;
            }
            all->mean[c] += m->mean[c], all->squares[c] += m->squares[c];
        }
    }
}

static void map(plan *p, bool backward, const wk_tensor *y) {
#pragma omp parallel for num_threads(p->shares) schedule(static) if (p->shares > 1)
    for (int share = 0; share < p->shares; share++) p->k->map(&p->v, share, p->shares, backward);
    if (p->y_room) copy(y->data, y->stride, p->y_room, p->stride, y->shape, y->rank, size_of((wk_dtype)y->dtype));
}

static wk_status batch_norm(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_batch_norm_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0], *weight = call->in[1], *bias = call->in[2];
    const wk_tensor *running_mean = call->in[3], *running_variance = call->in[4];
    double momentum = wk_optional_or(opts->momentum, 0.1), eps = wk_optional_or(opts->eps, 1e-5);
    plan p;
    WK_TRY(prepare(&p, ctx, x, NULL, call->out[0]));
    double count = (double)(p.v.n * p.v.area);
    if (opts->training) gather(&p, false);
    for (int64_t c = 0; c < p.v.channels; c++) {
        double mean = opts->training ? p.part[0].mean[c] : get(running_mean, c, 0);
        double variance =
            opts->training ? (count > 0 ? p.part[0].squares[c] / count : NAN) : get(running_variance, c, 1);
        double rstd = 1 / sqrt(variance + eps);
        put(call->out[1], c, mean);
        put(call->out[2], c, rstd);
        p.k->set_coefficient(&p.v, 0, c, mean);
        p.k->set_coefficient(&p.v, 1, c, rstd * get(weight, c, 1));
        p.k->set_coefficient(&p.v, 2, c, get(bias, c, 0));
        if (!opts->training || count < 2) continue;
        if (running_mean) put(running_mean, c, get(running_mean, c, 0) * (1 - momentum) + mean * momentum);
        if (running_variance) {
            double unbiased = p.part[0].squares[c] / (count - 1);
            put(running_variance, c, get(running_variance, c, 1) * (1 - momentum) + unbiased * momentum);
        }
    }
    map(&p, false, call->out[0]);
    return WK_OK;
}

/* In training, with the normalised x̂ = (x - mean) · rstd over m values:
 *   dx = weight · rstd · (dy - Σdy / m - x̂ · Σ(dy · x̂) / m)                          Ioffe & Szegedy 2015 */
static wk_status batch_norm_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_batch_norm_opts *opts = call->attrs;
    const wk_tensor *dy = call->in[0], *x = call->in[1], *weight = call->in[2], *mean = call->in[3],
                    *rstd = call->in[4];
    if (dy->dtype != x->dtype) return WK_UNSUPPORTED;
    plan p;
    WK_TRY(prepare(&p, ctx, x, dy, call->out[0]));
    for (int64_t c = 0; c < p.v.channels; c++) p.k->set_coefficient(&p.v, 0, c, get(mean, c, 0));
    gather(&p, true);
    double count = (double)(p.v.n * p.v.area);
    for (int64_t c = 0; c < p.v.channels; c++) {
        double sum = p.part[0].mean[c], deviation = get(rstd, c, 1), product = p.part[0].squares[c] * deviation;
        double scale = get(weight, c, 1) * deviation;
        put(call->out[1], c, product);
        put(call->out[2], c, sum);
        bool through = opts->training && count > 0;
        p.k->set_coefficient(&p.v, 1, c, scale);
        p.k->set_coefficient(&p.v, 2, c, through ? -scale * sum / count : 0);
        p.k->set_coefficient(&p.v, 3, c, through ? -scale * product / count * deviation : 0);
    }
    map(&p, true, call->out[0]);
    return WK_OK;
}

WK_CPU_TABLE(batch_norm) = {
    { "batch_norm", WK_FLOATS, batch_norm },
    { "batch_norm_backward", WK_FLOATS, batch_norm_backward },
    { 0 },
};
