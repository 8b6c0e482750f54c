/* sync_batch_norm.c: batch normalisation over the batches of all ranks.
 *
 * Forward gathers mean, variance and number of items of every rank (2 C + 1 numbers), which are joined in order of rank
 * and in double, so that all ranks have the same bits; x is then normalised by the kernel that evaluation uses.
 * Backward adds up over the ranks what the gradient of x needs of them, Σ dy and Σ dy (x − mean); those of weight and
 * bias stay this rank's, for DDP averages them.  What is exchanged goes through the CPU.
 */
#define WK_NO_CALL_SITES
#include "dist/group.h"
#include "nn/nn.h"
#include "tensor/tensor.h"
#include "wick/ops.h"

#include <math.h>

typedef struct sync_attrs {
    wk_group *group;
    double total; /* items of a channel, on all ranks */
} sync_attrs;

/* All axes but that of channels, 1. */
static wk_dims other_axes(const wk_tensor *x) {
    wk_dims axes = { 0 };
    for (int i = 0; i < x->rank; i++)
        if (i != 1) axes.size[axes.rank++] = i;
    return axes;
}

/* (C) as it is broadcast over x. */
static wk_tensor *along(wk_tensor *channels, const wk_tensor *x) {
    wk_dims dims = { .rank = x->rank - 1, .size = { x->shape[1] } };
    for (int i = 1; i < dims.rank; i++) dims.size[i] = 1;
    return wk_reshape(channels, dims);
}

static wk_tensor *widened(wk_tensor *x) {
    return x->dtype == WK_F64 ? x : wk_cast(x, WK_F32);
}

static double number(const wk_tensor *t, int64_t i) {
    return t->dtype == WK_F64 ? ((const double *)t->data)[i] : (double)((const float *)t->data)[i];
}

/* ---- forward ---- */

/* This rank's mean, variance and count, one behind the other, on the CPU; zeros where it has no items. */
static wk_tensor *own_statistics(wk_tensor *x) {
    const int64_t channels = x->shape[1];
    wk_tensor *mine = wk_zeros(WK_F64, WK_DIMS(2 * channels + 1));
    if (!mine || x->count == 0) return mine;
    wk_tensor *wide = widened(x);
    wk_tensor *mean = wk_mean(wide, (wk_reduce_opts){ .axes = other_axes(x) });
    wk_tensor *variance = wk_var(wide, (wk_var_opts){ .axes = other_axes(x), .correction = WK_SET(0) });
    mean = wk_contiguous(wk_to_device(mean, WK_CPU));
    variance = wk_contiguous(wk_to_device(variance, WK_CPU));
    if (!mean || !variance) return NULL;
    double *values = mine->data;
    for (int64_t c = 0; c < channels; c++) {
        values[c] = number(mean, c);
        values[channels + c] = number(variance, c);
    }
    values[2 * channels] = (double)(x->count / channels);
    return mine;
}

/* Joined: mean (C) and biased variance (C), f64 on the CPU. */
static wk_status join(wk_group *group, wk_tensor *x, wk_tensor **mean, wk_tensor **variance, double *total) {
    const int64_t channels = x->shape[1], each = 2 * channels + 1;
    const int ranks = wk_group_size(group);
    wk_tensor *mine = own_statistics(x), *all = wk_zeros(WK_F64, WK_DIMS(ranks, each));
    *mean = wk_zeros(WK_F64, WK_DIMS(channels));
    *variance = wk_zeros(WK_F64, WK_DIMS(channels));
    if (!mine || !all || !*mean || !*variance) return wk_error_code();
    WK_TRY(wk_all_gather(group, mine, all, NULL));
    const double *of = all->data;
    double *m = (*mean)->data, *v = (*variance)->data;
    *total = 0;
    for (int r = 0; r < ranks; r++) *total += of[r * each + 2 * channels];
    if (*total < 2)
        return wk_fail(WK_INVALID, "batch normalisation over all ranks: %g items a channel, expected more than one",
                       *total);
    for (int64_t c = 0; c < channels; c++) {
        for (int r = 0; r < ranks; r++) m[c] += of[r * each + 2 * channels] / *total * of[r * each + c];
        for (int r = 0; r < ranks; r++) {
            const double off = of[r * each + c] - m[c], variance_there = of[r * each + channels + c];
            v[c] += of[r * each + 2 * channels] / *total * (variance_there + off * off);
        }
    }
    return WK_OK;
}

/* running = (1 − momentum) · running + momentum · now · factor */
static wk_status follow(wk_tensor *running, wk_tensor *now, double momentum, double factor) {
    if (!running) return WK_OK;
    wk_tensor *moved = wk_to_device(wk_cast(now, (wk_dtype)running->dtype), running->device);
    moved = wk_add(wk_affine(running, (wk_affine_opts){ .scale = 1 - momentum }),
                   wk_affine(moved, (wk_affine_opts){ .scale = momentum * factor }));
    return moved ? wk_copy_into(running, moved) : wk_error_code();
}

static wk_status sync_grad(wk_grad *g);
static const wk_op_def row = { .name = "sync_batch_norm",
                               .doc = "batch normalisation over all ranks",
                               .n_in = 5,
                               .n_out = 1,
                               .optional_in = 6,
                               .saves_in = 27, /* x, weight, mean, 1/std */
                               .attrs_size = sizeof(sync_attrs),
                               .grad = sync_grad };

/* Mean and 1/std of the batches of all ranks (f32, or x's f64), and x normalised by them. */
static wk_tensor *normalise(wk_group *group, wk_tensor *in[5], wk_tensor *running_mean, wk_tensor *running_variance,
                            wk_batch_norm_opts opts, double *total) {
    wk_tensor *x = in[0], *mean, *variance;
    const wk_dtype dtype = x->dtype == WK_F64 ? WK_F64 : WK_F32;
    const double momentum = wk_optional_or(opts.momentum, 0.1), eps = wk_optional_or(opts.eps, 1e-5);
    const wk_device was = wk_device_use(WK_CPU);
    wk_status status = join(group, x, &mean, &variance, total);
    (void)wk_device_use(was);
    if (status != WK_OK) return NULL;
    if (follow(running_mean, mean, momentum, 1) != WK_OK
        || follow(running_variance, variance, momentum, *total / (*total - 1)) != WK_OK)
        return NULL;
    wk_tensor *here = wk_to_device(wk_cast(variance, dtype), x->device);
    in[3] = wk_to_device(wk_cast(mean, dtype), x->device);
    in[4] = wk_to_device(wk_cast(wk_rsqrt(wk_affine(variance, (wk_affine_opts){ .scale = 1, .shift = eps })), dtype),
                         x->device);
    opts.training = false;
    return wk_batch_norm(x, in[1], in[2], in[3], here, opts);
}

static wk_tensor *together(void *context, wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_tensor *running_mean,
                           wk_tensor *running_variance, wk_batch_norm_opts opts) {
    wk_group *group = context;
    wk_context *now = wk__context();
    if (!now || !x || wk_failed()) return NULL;
    if (now->mode & WK__MODE_CAPTURE) wk__step_refuse(now, "batch normalisation exchanges statistics with other ranks");
    wk_tensor *in[5] = { x, weight, bias };
    sync_attrs attrs = { .group = group };
    const bool was = wk_no_grad_begin();
    wk_tensor *y = normalise(group, in, running_mean, running_variance, opts, &attrs.total);
    wk_no_grad_end(was);
    if (!y) return NULL;
    const wk_call call = { .op = &row, .in = in, .out = &y, .attrs = &attrs, .n_in = 5, .n_out = 1 };
    return wk__tape_record(now, &call) == WK_OK ? y : NULL;
}

/* ---- backward ---- */

/* Σ dy and Σ dy (x − mean) of all ranks, (2, C). */
static wk_tensor *summed(const sync_attrs *attrs, wk_tensor *sum_dy, wk_tensor *sum_dy_xmu) {
    wk_tensor *both = wk_stack((wk_tensor *[]){ wk_cast(sum_dy, WK_F64), wk_cast(sum_dy_xmu, WK_F64) }, 2, 0);
    both = wk_contiguous(wk_to_device(both, WK_CPU));
    if (!both || wk_all_reduce(attrs->group, both, WK_REDUCE_SUM, NULL) != WK_OK) return NULL;
    return both;
}

/* dx = weight / std · (dy − Σ dy / N − (x − mean) / std² · Σ dy (x − mean) / N), the sums over all ranks, as
 * a · dy + b · x + c with a channel's own a, b, c. */
static wk_tensor *gradient_of_x(const sync_attrs *attrs, const wk_grad *g, wk_tensor *dy, wk_tensor *both) {
    wk_tensor *x = g->in[0], *weight = g->in[1], *mean = g->in[3], *inverse = g->in[4];
    const wk_dtype dtype = (wk_dtype)mean->dtype;
    both = wk_to_device(wk_cast(wk_affine(both, (wk_affine_opts){ .scale = 1 / attrs->total }), dtype), x->device);
    wk_tensor *a = weight ? wk_mul(wk_cast(weight, dtype), inverse) : inverse;
    wk_tensor *b = wk_neg(wk_mul(wk_mul(a, wk_mul(inverse, inverse)), wk_select(both, 0, 1)));
    wk_tensor *c = wk_neg(wk_add(wk_mul(a, wk_select(both, 0, 0)), wk_mul(b, mean)));
    wk_tensor *dx = wk_add(wk_mul(dy, along(a, x)), wk_mul(widened(x), along(b, x)));
    return wk_cast(wk_add(dx, along(c, x)), (wk_dtype)x->dtype);
}

static wk_status sync_grad(wk_grad *g) {
    const sync_attrs *attrs = g->attrs;
    wk_tensor *x = g->in[0], *weight = g->in[1], *bias = g->in[2];
    if (!(wk__context()->mode & WK__MODE_NO_GRAD))
        return wk_fail(WK_UNSUPPORTED, "batch normalisation over all ranks has no gradients of gradients");
    wk_tensor *dy = widened(g->dout[0]);
    const wk_reduce_opts others = { .axes = other_axes(x) };
    wk_tensor *sum_dy = wk_sum(dy, others);
    wk_tensor *sum_dy_xmu = wk_sum(wk_mul(dy, wk_sub(widened(x), along(g->in[3], x))), others);
    if (!sum_dy || !sum_dy_xmu) return wk_error_code();
    wk_tensor *both = summed(attrs, sum_dy, sum_dy_xmu); /* also where x wants none: the other ranks' may */
    if (!both) return wk_error_code();
    if (g->needs[0]) g->din[0] = gradient_of_x(attrs, g, dy, both);
    if (weight && g->needs[1]) g->din[1] = wk_cast(wk_mul(sum_dy_xmu, g->in[4]), (wk_dtype)weight->dtype);
    if (bias && g->needs[2]) g->din[2] = wk_cast(sum_dy, (wk_dtype)bias->dtype);
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* ---- modules ---- */

typedef struct conversion {
    wk_group *group;
    int count;
} conversion;

static void convert(void *context, wk_module *module) {
    conversion *c = context;
    c->count += wk__batch_norm_replace(module, c->group ? together : NULL, c->group);
}

int wk_sync_batch_norm(wk_module *module, wk_group *group) {
    conversion c = { .group = group && wk_group_size(group) > 1 ? group : NULL };
    if (module) wk__module_visit(module, convert, &c);
    return c.count;
}
