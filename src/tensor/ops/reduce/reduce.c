/* reduce.c: sums, means and extrema over axes. */
#define WK_NO_CALL_SITES
#include "tensor/ops/reduce/rows.h"

#include <float.h>
#include <math.h>

static wk_status truth_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(reduce_shape(call, out));
    out->dtype = WK_BOOL;
    return WK_OK;
}
static wk_status count_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(reduce_shape(call, out));
    out->dtype = WK_I64;
    return WK_OK;
}
static wk_status magnitude_shape(const wk_call *call, wk_desc out[]) {
    const wk_magnitude_attrs *attrs = call->attrs;
    return attrs->kind >= WK_LARGEST_SIZE ? extremum_shape(call, out) : reduce_shape(call, out);
}

static wk_status argmax_shape(const wk_call *call, wk_desc out[]) {
    const wk_axis_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0];
    int axis = wk__axis(call->op->name, x, (int64_t)wk_optional_or(opts->axis, -1));
    if (axis < 0) return wk_error_code();
    if (x->shape[axis] == 0) return wk_bad_call(call, WK_SHAPE, "axis %d is empty", axis);
    reduced(x, 1u << axis, false, out);
    out->dtype = WK_I64;
    return WK_OK;
}

/* ---- gradients ---- */

static wk_status sum_grad(wk_grad *g) {
    const wk_reduce_opts *opts = g->attrs;
    g->din[0] = spread(g->dout[0], g->in[0], opts->axes);
    return WK_OK;
}

static wk_status mean_grad(wk_grad *g) {
    const wk_reduce_opts *opts = g->attrs;
    double per = g->in[0]->count ? (double)g->out[0]->count / (double)g->in[0]->count : 0;
    g->din[0] = spread(wk_scale(g->dout[0], per), g->in[0], opts->axes);
    return WK_OK;
}

/* Ties share the gradient equally. */
static wk_status extremum_grad(wk_grad *g) {
    const wk_reduce_opts *opts = g->attrs;
    wk_tensor *x = g->in[0];
    wk_tensor *hits = wk_cast(wk_eq(x, spread(g->out[0], x, opts->axes)), (wk_dtype)x->dtype);
    wk_tensor *share = wk_div(g->dout[0], wk_sum(hits, *opts));
    g->din[0] = wk_mul(hits, spread(share, x, opts->axes));
    return WK_OK;
}

/* What is not NaN has the gradient of a sum. */
static wk_status nansum_grad(wk_grad *g) {
    const wk_reduce_opts *opts = g->attrs;
    wk_tensor *x = g->in[0], *d = spread(g->dout[0], x, opts->axes);
    g->din[0] = wk_where(wk_isnan(x), wk__number(x, 0), d);
    return WK_OK;
}
static wk_status logsumexp_grad(wk_grad *g) {
    const wk_reduce_opts *opts = g->attrs;
    wk_tensor *x = g->in[0], *share = wk_exp(wk_sub(x, spread(g->out[0], x, opts->axes)));
    g->din[0] = wk_mul(spread(g->dout[0], x, opts->axes), share);
    return WK_OK;
}

/* x with the reduced axes as its last one, and the order of axes that leads there. */
static wk_tensor *reduced_last(wk_tensor *x, uint32_t mask, wk_dims *order) {
    wk_dims kept = { 0 };
    *order = (wk_dims){ .rank = x->rank };
    int at = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < x->rank; i++)
            if ((int)(mask >> i & 1) == pass) order->size[at++] = i;
    for (int i = 0; i < x->rank; i++)
        if (!(mask >> i & 1)) kept.size[kept.rank++] = x->shape[i];
    int64_t behind = 1;
    for (int i = 0; i < x->rank; i++) behind *= mask >> i & 1 ? x->shape[i] : 1;
    kept.size[kept.rank++] = behind;
    return wk_reshape(wk_permute(x, *order), kept);
}
/* Whether each product can be divided by its factors: none is 0, infinite, NaN or so small that digits are lost. */
static bool can_be_divided(wk_tensor *products) {
    static const double least[WK_DTYPE_COUNT] = {
        [WK_F64] = DBL_MIN, [WK_F32] = FLT_MIN, [WK_BF16] = FLT_MIN, [WK_F16] = 0x1p-14
    };
    wk_tensor *size = wk_abs(products);
    if (!size || size->count == 0) return true;
    double low = wk_item(wk_amin(size, (wk_reduce_opts){ 0 })), high = wk_item(wk_amax(size, (wk_reduce_opts){ 0 }));
    return low >= least[products->dtype] && high < (double)INFINITY;
}

/* dx is dy times the product of all other elements: y / x, or where that has no value, the product of those before and
 * of those behind. */
static wk_status prod_grad(wk_grad *g) {
    const wk_reduce_opts *opts = g->attrs;
    wk_tensor *x = g->in[0];
    uint32_t mask;
    if (can_be_divided(g->out[0])) {
        wk_tensor *quotient = wk_div(spread(g->out[0], x, opts->axes), x);
        g->din[0] = wk_mul(spread(g->dout[0], x, opts->axes), quotient);
        return WK_OK;
    }
    wk_dims order, back = { .rank = x->rank }, sizes = { .rank = x->rank };
    if (!wk__axes_mask(g->call, opts->axes, &mask)) return wk_error_code();
    wk_tensor *others = wk__product_of_others(reduced_last(x, mask, &order));
    for (int i = 0; i < x->rank; i++) {
        back.size[order.size[i]] = i;
        sizes.size[i] = x->shape[order.size[i]];
    }
    others = wk_permute(wk_reshape(others, sizes), back);
    g->din[0] = wk_mul(spread(g->dout[0], x, opts->axes), others);
    return WK_OK;
}
/* 2 x;  the sign;  the sign where |x| is the extremum, shared among those */
static wk_status magnitude_grad(wk_grad *g) {
    const wk_magnitude_attrs *attrs = g->attrs;
    wk_tensor *x = g->in[0], *d = g->dout[0];
    if (attrs->kind == WK_SUM_OF_SQUARES) {
        g->din[0] = wk_scale(wk_mul(spread(d, x, attrs->over.axes), x), 2);
    } else if (attrs->kind == WK_SUM_OF_SIZES) {
        g->din[0] = wk_mul(spread(d, x, attrs->over.axes), wk_sign(x));
    } else {
        wk_tensor *hits = wk_cast(wk_eq(wk_abs(x), spread(g->out[0], x, attrs->over.axes)), (wk_dtype)x->dtype);
        wk_tensor *share = wk_div(d, wk_sum(hits, attrs->over));
        g->din[0] = wk_mul(wk_mul(hits, wk_sign(x)), spread(share, x, attrs->over.axes));
    }
    return WK_OK;
}

/* ---- samples ---- */

static void sum_samples(wk_sampler *s) {
    reduce_samples(s);
    const wk_reduce_opts first = { .axes = WK_DIMS(0) };
    WK_CASE(s, "empty", &first, { .dims = WK_DIMS(0, 3) });
}

static void prod_samples(wk_sampler *s) {
    const wk_reduce_opts all = { 0 }, last = { .axes = WK_DIMS(-1) },
                         two = { .axes = WK_DIMS(0, 2), .keep_dims = true };
    WK_CASE(s, "all", &all, { .dims = WK_DIMS(2, 2, 3) });
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(7, 5) });
    WK_CASE(s, "keep", &two, { .dims = WK_DIMS(2, 4, 3), .strided = true });
    WK_CASE(s, "one", &all, { .dims = WK_SCALAR });
    WK_CASE(s, "empty", &last, { .dims = WK_DIMS(3, 0) });
    WK_CASE(s, "large", &last, { .dims = WK_DIMS(1031, 7) });
    WK_CASE(s, "large first", &(const wk_reduce_opts){ .axes = WK_DIMS(0) }, { .dims = WK_DIMS(7, 1031) });
    WK_HUGE_CASE(s, "huge", &last, { .dims = WK_DIMS(512, 1024), .low = 0.9, .high = 1.1 });
    const wk_reduce_opts first = { .axes = WK_DIMS(0) };
    WK_HUGE_CASE(s, "huge first", &first, { .dims = WK_DIMS(512, 1024), .low = 0.9, .high = 1.1 });
}
static void truth_samples(wk_sampler *s) {
    reduce_samples(s);
    const wk_reduce_opts last = { .axes = WK_DIMS(-1) };
    WK_CASE(s, "short", &last, { .dims = WK_DIMS(60, 2), .low = 0, .high = 0.5 });
    WK_CASE(s, "empty", &last, { .dims = WK_DIMS(3, 0) });
}
static void magnitude_samples(wk_sampler *s) {
    static const char *const labels[][3] = { { "squares", "squares, keep", "squares, large" },
                                             { "sizes", "sizes, keep", "sizes, large" },
                                             { "largest", "largest, keep", "largest, large" },
                                             { "least", "least, keep", "least, large" } };
    for (int kind = 0; kind < 4; kind++) {
        const wk_magnitude_attrs last = { { .axes = WK_DIMS(-1) }, kind };
        const wk_magnitude_attrs keep = { { .axes = WK_DIMS(0, 2), .keep_dims = true }, kind };
        WK_CASE(s, labels[kind][0], &last, { .dims = WK_DIMS(5, 7), .margin = 0.05 });
        WK_CASE(s, labels[kind][1], &keep, { .dims = WK_DIMS(3, 4, 5), .margin = 0.05, .strided = true });
        WK_CASE(s, labels[kind][2], &last, { .dims = WK_DIMS(65, 1031), .margin = 0.05 });
    }
}

static void argmax_samples(wk_sampler *s) {
    const wk_axis_opts last = { { 0 } }, first = { WK_SET(0) };
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(7, 33) });
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(33, 7), .strided = true });
    WK_CASE(s, "large", &last, { .dims = WK_DIMS(129, 257) });
    WK_HUGE_CASE(s, "huge", &last, { .dims = WK_DIMS(512, 1024), .margin = 0.000001 });
    WK_HUGE_CASE(s, "huge first", &first, { .dims = WK_DIMS(512, 1024), .margin = 0.000001 });
}

/* ---- rows ---- */

static const wk_attr_def reduce_attrs[] = { REDUCE_ATTRS(wk_reduce_opts) };
REDUCTION(sum, "sum over axes; 0 over none", 0, WK_CAST_F32, 0, 0, sum_shape, sum_grad, sum_samples)
REDUCTION(mean, "mean over axes", WK_FLOATS, WK_CAST_AS_IS, 0, 0, reduce_shape, mean_grad, reduce_samples)
REDUCTION(amax, "largest over axes; NaN wins", WK_NUMBERS, WK_CAST_AS_IS, 1, 1, extremum_shape, extremum_grad,
          reduce_samples)
REDUCTION(amin, "smallest over axes; NaN wins", WK_NUMBERS, WK_CAST_AS_IS, 1, 1, extremum_shape, extremum_grad,
          reduce_samples)

REDUCTION(prod, "product over axes; 1 over none", 0, WK_CAST_F32, 1, 1, sum_shape, prod_grad, prod_samples)
REDUCTION(nansum, "sum of what is not NaN", WK_FLOATS, WK_CAST_AS_IS, 1, 0, reduce_shape, nansum_grad, sum_samples)
REDUCTION(logsumexp, "log Σ e^x", WK_FLOATS, WK_CAST_F32, 1, 1, reduce_shape, logsumexp_grad, sum_samples)

#define QUESTION(id, text, shape_rule, why)                             \
    static wk_op_def id##_row = { .name = #id,                          \
                                  .doc = text,                          \
                                  .n_in = 1,                            \
                                  .n_out = 1,                           \
                                  .attrs = reduce_attrs,                \
                                  .n_attrs = 2,                         \
                                  .attrs_size = sizeof(wk_reduce_opts), \
                                  .shape = shape_rule,                  \
                                  .not_differentiable = why,            \
                                  .cost = one_per_input,                \
                                  .samples = truth_samples };           \
    wk_tensor *wk_##id(wk_tensor *x, wk_reduce_opts opts) {             \
        return wk_op_run1(&id##_row, &opts, x);                         \
    }
QUESTION(any, "one is not 0", truth_shape, "its result is a truth value")
QUESTION(all, "none is 0", truth_shape, "its result is a truth value")
QUESTION(count_nonzero, "how many are not 0", count_shape, "its result is a count")

static const wk_attr_def magnitude_attrs[] = {
    { "axes", WK_ATTR_DIMS, offsetof(wk_magnitude_attrs, over.axes), 0, NULL, 0, "reduced axes; none: all" },
    { "keep_dims", WK_ATTR_BOOL, offsetof(wk_magnitude_attrs, over.keep_dims), 0, NULL, 0, "leave them as size 1" },
    { "kind", WK_ATTR_ENUM, offsetof(wk_magnitude_attrs, kind), 0, "squares|sizes|largest|least", 0, "of what" },
};
static wk_op_def magnitude_row = { .name = "magnitude",
                                   .internal = true,
                                   .doc = "sum of squares or of absolute values, largest or least of these",
                                   .n_in = 1,
                                   .n_out = 1,
                                   .saves_in = 1,
                                   .saves_out = 1,
                                   .attrs = magnitude_attrs,
                                   .n_attrs = 3,
                                   .attrs_size = sizeof(wk_magnitude_attrs),
                                   .dtype = { .allowed = { WK_FLOATS } },
                                   .shape = magnitude_shape,
                                   .grad = magnitude_grad,
                                   .cost = one_per_input,
                                   .samples = magnitude_samples };
wk_tensor *wk__magnitude(wk_tensor *x, wk_reduce_opts over, wk_magnitude kind) {
    const wk_magnitude_attrs attrs = { over, (int)kind };
    return wk_op_run1(&magnitude_row, &attrs, x);
}

static const wk_attr_def axis_attrs[] = { AXIS_ATTR(wk_axis_opts) };
#define POSITION(id, text)                                                        \
    static wk_op_def id##_row = { .name = #id,                                    \
                                  .doc = text,                                    \
                                  .n_in = 1,                                      \
                                  .n_out = 1,                                     \
                                  .attrs = axis_attrs,                            \
                                  .n_attrs = 1,                                   \
                                  .attrs_size = sizeof(wk_axis_opts),             \
                                  .dtype = { .allowed = { WK_NUMBERS } },         \
                                  .shape = argmax_shape,                          \
                                  .not_differentiable = "its result is an index", \
                                  .cost = one_per_input,                          \
                                  .samples = argmax_samples };                    \
    wk_tensor *wk_##id(wk_tensor *x, wk_axis_opts opts) {                         \
        return wk_op_run1(&id##_row, &opts, x);                                   \
    }
POSITION(argmax, "index of the largest along an axis, the first among equals; NaN wins")
POSITION(argmin, "index of the least along an axis, the first among equals; NaN wins")

/* ---- of parts ---- */

static wk_status nanmean_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x = call->in[0], *sum = wk_nansum(x, *(const wk_reduce_opts *)call->attrs);
    wk_tensor *there = wk_count_nonzero(wk_eq(x, x), *(const wk_reduce_opts *)call->attrs);
    return give(out, wk_div(sum, there));
}
static wk_status aminmax_parts(const wk_call *call, wk_tensor *out[]) {
    out[0] = wk_amin(call->in[0], *(const wk_reduce_opts *)call->attrs);
    out[1] = wk_amax(call->in[0], *(const wk_reduce_opts *)call->attrs);
    return out[1] ? WK_OK : wk_error_code();
}
#define COMPOSITE(id, text, dtypes, outputs_, cases)                    \
    static wk_op_def id##_row = { .name = #id,                          \
                                  .doc = text,                          \
                                  .n_in = 1,                            \
                                  .n_out = outputs_,                    \
                                  .composite = true,                    \
                                  .attrs = reduce_attrs,                \
                                  .n_attrs = 2,                         \
                                  .attrs_size = sizeof(wk_reduce_opts), \
                                  .dtype = { .allowed = { dtypes } },   \
                                  .decompose = id##_parts,              \
                                  .cost = one_per_input,                \
                                  .samples = cases }
COMPOSITE(nanmean, "mean of what is not NaN", WK_FLOATS, 1, reduce_samples);
COMPOSITE(aminmax, "smallest and largest over axes; NaN wins", WK_NUMBERS, 2, reduce_samples);
wk_tensor *wk_nanmean(wk_tensor *x, wk_reduce_opts opts) {
    return wk_op_run1(&nanmean_row, &opts, x);
}
wk_tensor *wk_aminmax(wk_tensor *x, wk_tensor **most, wk_reduce_opts opts) {
    return run_two(&aminmax_row, &opts, x, most);
}

/* Of halves, for the gradients of leaves in f32 that autocast made halves of. */
static wk_status sum_wide_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(reduce_shape(call, out));
    out->dtype = WK_F32;
    return WK_OK;
}

static wk_status sum_wide_parts(const wk_call *call, wk_tensor *out[]) {
    out[0] = wk_sum(wk_cast(call->in[0], WK_F32), *(const wk_reduce_opts *)call->attrs);
    return out[0] ? WK_OK : wk_error_code();
}

static wk_op_def sum_wide_row = { .name = "sum_wide",
                                  .doc = "sum of halves over axes in f32, not rounded",
                                  .n_in = 1,
                                  .n_out = 1,
                                  .internal = true,
                                  .attrs = reduce_attrs,
                                  .n_attrs = 2,
                                  .attrs_size = sizeof(wk_reduce_opts),
                                  .dtype = { .allowed = { WK_HALVES } },
                                  .shape = sum_wide_shape,
                                  .decompose = sum_wide_parts,
                                  .not_differentiable = "it makes gradients that nothing is derived of",
                                  .cost = one_per_input,
                                  .samples = reduce_samples };

wk_tensor *wk__sum_rows(wk_tensor *x, wk_tensor *sink) {
    const wk_reduce_opts over = { .axes = WK_DIMS(0) };
    const bool wide = sink && x && sink->dtype != x->dtype;
    return wk__run_sink(wide ? &sum_wide_row : &sum_row, &over, x, NULL, sink);
}

wk_op_def *const wk__rows_reduce[] = {
    &sum_row,    &sum_wide_row,      &mean_row,      &amax_row,    &amin_row,      &argmax_row,
    &argmin_row, &prod_row,          &nansum_row,    &nanmean_row, &logsumexp_row, &any_row,
    &all_row,    &count_nonzero_row, &magnitude_row, &aminmax_row, NULL,
};
