/* row_norm.c: layer_norm, rms_norm and group_norm, which all normalise rows: the last axes, or a group of channels.
 *
 * One row at a time stays in the cache: forward makes three sweeps over it, backward two.  Gradients of weight and bias
 * are sums over rows: each block of rows (a fixed number of them, whatever the team) has sums of its own, which are
 * joined in order, so results do not depend on the number of threads.
 */
#include "cpu/scratch.h"
#include "cpu/simd/rows.h"

#include <math.h>

enum { MOST_BLOCKS = 32, ROWS_A_BLOCK = 8 };

typedef struct row_norm {
    wk_rows x, dy, y;
    int64_t groups, channels, area; /* a row is (channels, area); row r has the weights of group r mod groups */
    bool centred;
    double eps;
    const void *weight, *bias; /* (groups · channels), dense in the compute type */
    void *mean, *rstd;         /* (rows) */
    double *plane_sums;        /* (rows, 2, channels): Σ dy x̂, Σ dy, where area > 1 */
} row_norm;

typedef struct kernels {
    void (*forward)(const row_norm *v, int64_t row, char *room);
    void (*backward)(const row_norm *v, int64_t row, char *room, void *part);
    double (*part_of)(const void *part, int64_t i);
} kernels;

#define REAL    float
#define NAME(x) x##_f32
#include "cpu/simd/network/row_norm_body.h"
#undef REAL
#undef NAME
#define REAL    double
#define NAME(x) x##_f64
#include "cpu/simd/network/row_norm_body.h"
#undef REAL
#undef NAME

static size_t round_up(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

static size_t real_of(const wk_tensor *x) {
    return x->dtype == WK_F64 ? 8 : 4;
}

/* x as (rows, channels · area): the last `axes` axes, or groups of axis 1. */
static wk_rows rows_of(const wk_tensor *t, int axes, int64_t groups) {
    if (!groups) return wk_rows_of(t, t->rank - axes);
    int64_t shape[WK_ROWS_RANK], stride[WK_ROWS_RANK];
    int rank = t->rank + 1;
    for (int i = 0; i < rank; i++) shape[i] = t->shape[i > 1 ? i - 1 : i], stride[i] = t->stride[i > 1 ? i - 1 : i];
    shape[1] = groups, shape[2] = t->shape[1] / groups;
    stride[1] = shape[2] * t->stride[1];
    return wk_rows_make(t->data, t->dtype, shape, stride, rank, 2);
}

/* The block that a call works in: weight and bias, partial sums, buffers of each thread. */
typedef struct plan {
    row_norm v;
    const kernels *k;
    int team;
    int64_t blocks;
    char *rooms, *parts; /* a buffer a thread; sums a block */
    size_t room, part;
} plan;

static void set_rows(plan *p, const wk_tensor *x, const wk_tensor *y, int axes, int64_t groups) {
    p->k = x->dtype == WK_F64 ? &kernels_of_f64 : &kernels_of_f32;
    p->v.x = rows_of(x, axes, groups), p->v.y = rows_of(y, axes, groups);
    p->v.groups = groups ? groups : 1, p->v.area = 1;
    p->v.channels = groups ? x->shape[1] / groups : p->v.x.length;
    for (int i = 2; groups && i < x->rank; i++) p->v.area *= x->shape[i];
    p->blocks = (p->v.x.count + ROWS_A_BLOCK - 1) / ROWS_A_BLOCK;
    if (p->blocks > MOST_BLOCKS) p->blocks = MOST_BLOCKS;
}

/* Dense weight and bias, then rooms and sums, in one block of scratch. */
static wk_status take_memory(plan *p, wk_kernel_ctx *ctx, const wk_tensor *x, const wk_tensor *weight,
                             const wk_tensor *bias, int buffers, bool sums) {
    size_t real = real_of(x), vector = round_up((size_t)(p->v.groups * p->v.channels) * real);
    p->team = wk_cpu_team(ctx, x->count * (int64_t)real);
    p->room = round_up((size_t)(p->v.x.length * buffers) * real);
    p->part = sums ? 2 * vector : 0;
    size_t planes = sums && p->v.area > 1 ? round_up((size_t)(p->v.x.count * 2 * p->v.channels) * sizeof(double)) : 0;
    size_t parts = p->v.area > 1 ? 0 : p->part * (size_t)p->blocks;
    char *at = wk__cpu_scratch(WK_SCRATCH_KERNEL, 2 * vector + p->room * (size_t)p->team + parts + planes + 64);
    if (!at) return WK_NO_MEMORY;
    if (weight) p->v.weight = wk_rows_dense(weight, at);
    if (bias) p->v.bias = wk_rows_dense(bias, at + vector);
    p->rooms = at + 2 * vector;
    p->parts = parts ? p->rooms + p->room * (size_t)p->team : NULL;
    p->v.plane_sums = (double *)(void *)(p->rooms + p->room * (size_t)p->team + parts);
    if (parts) memset(p->parts, 0, parts);
    return WK_OK;
}

static void run_rows(const plan *p, bool backward) {
    int64_t rows = p->v.x.count;
#pragma omp parallel for num_threads(p->team) schedule(static) if (p->team > 1)
    for (int64_t block = 0; block < p->blocks; block++) {
        char *room = p->rooms + p->room * (size_t)(p->team > 1 ? omp_get_thread_num() : 0);
        void *part = p->parts ? p->parts + p->part * (size_t)block : NULL;
        for (int64_t row = rows * block / p->blocks; row < rows * (block + 1) / p->blocks; row++)
            if (backward)
                p->k->backward(&p->v, row, room, part);
            else
                p->k->forward(&p->v, row, room);
    }
}

static void set_element(const wk_tensor *t, int64_t i, double value) {
    switch (t->dtype) {
    case WK_F32: ((float *)t->data)[i] = (float)value; break;
    case WK_F64: ((double *)t->data)[i] = value; break;
    case WK_BF16: ((uint16_t *)t->data)[i] = wk_store_bf16((float)value); break;
    default: ((uint16_t *)t->data)[i] = wk_store_f16((float)value);
    }
}

/* Joined in order of blocks, or of samples. */
static void join_sums(const plan *p, const wk_tensor *dweight, const wk_tensor *dbias) {
    int64_t channels = p->v.channels, all = p->v.groups * channels;
    for (int64_t i = 0; i < all; i++) {
        double by_x = 0, alone = 0;
        if (p->v.area == 1) {
            for (int64_t block = 0; block < p->blocks; block++) {
                const char *part = p->parts + p->part * (size_t)block;
                by_x += p->k->part_of(part, i), alone += p->k->part_of(part, all + i);
            }
        } else {
            for (int64_t row = i / channels; row < p->v.x.count; row += p->v.groups) {
                const double *sums = p->v.plane_sums + row * 2 * channels + i % channels;
                by_x += sums[0], alone += sums[channels];
            }
        }
        set_element(dweight, i, by_x);
        if (dbias) set_element(dbias, i, alone);
    }
}

typedef struct form {
    int axes;
    int64_t groups;
    bool centred;
    double eps;
} form;

static wk_status forward(wk_kernel_ctx *ctx, const wk_call *call, form f, const wk_tensor *bias, wk_tensor *mean,
                         wk_tensor *rstd) {
    const wk_tensor *x = call->in[0];
    if (!x->count) { /* rows of nothing have statistics all the same */
        for (int64_t i = 0; mean && i < mean->count; i++) set_element(mean, i, 0);
        for (int64_t i = 0; i < rstd->count; i++) set_element(rstd, i, 0);
        return WK_OK;
    }
    plan p = { .v = { .centred = f.centred, .eps = f.eps } };
    set_rows(&p, x, call->out[0], f.axes, f.groups);
    WK_TRY(take_memory(&p, ctx, x, call->in[1], bias, 2, false));
    p.v.mean = mean ? mean->data : NULL, p.v.rstd = rstd->data;
    run_rows(&p, false);
    return WK_OK;
}

/* (dy, x, weight, …) */
static wk_status backward(wk_kernel_ctx *ctx, const wk_call *call, form f, const wk_tensor *mean, const wk_tensor *rstd,
                          const wk_tensor *dbias) {
    const wk_tensor *x = call->in[1];
    plan p = { .v = { .centred = f.centred, .eps = f.eps } };
    set_rows(&p, x, call->out[0], f.axes, f.groups);
    p.v.dy = rows_of(call->in[0], f.axes, f.groups);
    WK_TRY(take_memory(&p, ctx, x, call->in[2], NULL, 3, true));
    bool known = rstd && (rstd->flags & WK_TENSOR_CONTIGUOUS);
    if (known && mean) known = (mean->flags & WK_TENSOR_CONTIGUOUS) != 0;
    p.v.mean = known && mean ? mean->data : NULL, p.v.rstd = known ? rstd->data : NULL;
    if (x->count) run_rows(&p, true);
    if (!x->count) p.blocks = 0, p.v.x.count = 0;
    join_sums(&p, call->out[1], dbias);
    return WK_OK;
}

/* ---- rows of the op table ---- */

static form layer_form(const wk_call *call) {
    const wk_layer_norm_opts *opts = call->attrs;
    const wk_tensor *given = call->in[1] ? call->in[1] : call->in[2];
    return (form){ given ? given->rank : opts->axes ? (int)opts->axes : 1, 0, true, wk_optional_or(opts->eps, 1e-5) };
}
static wk_status layer_norm(wk_kernel_ctx *ctx, const wk_call *call) {
    return forward(ctx, call, layer_form(call), call->in[2], call->out[1], call->out[2]);
}
static wk_status layer_norm_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_layer_norm_opts *opts = call->attrs;
    form f = { opts->axes ? (int)opts->axes : 1, 0, true, wk_optional_or(opts->eps, 1e-5) };
    return backward(ctx, call, f, call->in[3], call->in[4], call->out[2]);
}

static form rms_form(const wk_layer_norm_opts *opts, const wk_tensor *x, const wk_tensor *weight) {
    static const double smallest[] = { [WK_F32] = 0x1p-23, [WK_F64] = 0x1p-52, [WK_BF16] = 0x1p-7, [WK_F16] = 0x1p-10 };
    return (form){ weight       ? weight->rank
                   : opts->axes ? (int)opts->axes
                                : 1,
                   0, false, wk_optional_or(opts->eps, smallest[x->dtype]) };
}
static wk_status rms_norm(wk_kernel_ctx *ctx, const wk_call *call) {
    return forward(ctx, call, rms_form(call->attrs, call->in[0], call->in[1]), NULL, NULL, call->out[1]);
}
static wk_status rms_norm_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return backward(ctx, call, rms_form(call->attrs, call->in[1], call->in[2]), NULL, call->in[3], NULL);
}

static form group_form(const wk_call *call) {
    const wk_group_norm_opts *opts = call->attrs;
    return (form){ 0, opts->groups, true, wk_optional_or(opts->eps, 1e-5) };
}
static wk_status group_norm(wk_kernel_ctx *ctx, const wk_call *call) {
    return forward(ctx, call, group_form(call), call->in[2], call->out[1], call->out[2]);
}
static wk_status group_norm_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    return backward(ctx, call, group_form(call), call->in[3], call->in[4], call->out[2]);
}

WK_CPU_TABLE(row_norm) = {
    { "layer_norm", WK_FLOATS, layer_norm },
    { "layer_norm_backward", WK_FLOATS, layer_norm_backward },
    { "rms_norm", WK_FLOATS, rms_norm },
    { "rms_norm_backward", WK_FLOATS, rms_norm_backward },
    { "group_norm", WK_FLOATS, group_norm },
    { "group_norm_backward", WK_FLOATS, group_norm_backward },
    { 0 },
};
