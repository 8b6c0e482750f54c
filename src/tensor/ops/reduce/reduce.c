/* reduce.c: sums, means and extrema over axes. */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

/* Shape of x with the masked axes of size 1 (keep) or gone. */
static void reduced(const wk_tensor *x, uint32_t mask, bool keep, wk_desc *out) {
    out->rank = 0;
    for (int axis = 0; axis < x->rank; axis++) {
        if (!(mask >> axis & 1))
            out->shape[out->rank++] = x->shape[axis];
        else if (keep)
            out->shape[out->rank++] = 1;
    }
}

static wk_status reduce_shape(const wk_call *call, wk_desc out[]) {
    const wk_reduce_opts *opts = call->attrs;
    uint32_t mask;
    if (!wk__axes_mask(call, opts->axes, &mask)) return wk_error_code();
    reduced(call->in[0], mask, opts->keep_dims, out);
    out->dtype = (wk_dtype)call->in[0]->dtype;
    return WK_OK;
}

static wk_status sum_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(reduce_shape(call, out));
    if (!wk_dtype_is_float(out->dtype)) out->dtype = WK_I64;
    return WK_OK;
}

static wk_status extremum_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(reduce_shape(call, out));
    const wk_tensor *x = call->in[0];
    int64_t kept = 1;
    for (int i = 0; i < out->rank; i++) kept *= out->shape[i];
    if (x->count == 0 && kept > 0) return wk_bad_call(call, WK_SHAPE, "an empty axis has no extremum");
    return WK_OK;
}

static wk_status argmax_shape(const wk_call *call, wk_desc out[]) {
    const wk_axis_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0];
    int axis = wk__axis("argmax", x, (int64_t)wk_optional_or(opts->axis, -1));
    if (axis < 0) return wk_error_code();
    if (x->shape[axis] == 0) return wk_bad_call(call, WK_SHAPE, "axis %d is empty", axis);
    reduced(x, 1u << axis, false, out);
    out->dtype = WK_I64;
    return WK_OK;
}

static wk_cost one_per_input(const wk_call *call) {
    return (wk_cost){ (double)call->in[0]->count, wk__operand_bytes(call) };
}

/* ---- gradients ---- */

/* A tensor of the reduced shape, spread over the axes again. */
static wk_tensor *spread(wk_tensor *reduced_tensor, const wk_tensor *x, wk_dims axes) {
    wk_dims kept = wk__dims(x);
    for (int i = 0; i < axes.rank; i++) kept.size[axes.size[i] < 0 ? axes.size[i] + x->rank : axes.size[i]] = 1;
    for (int i = 0; axes.rank == 0 && i < x->rank; i++) kept.size[i] = 1;
    return wk_expand(wk_reshape(reduced_tensor, kept), wk__dims(x));
}

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

/* ---- samples ---- */

static void reduce_samples(wk_sampler *s) {
    const wk_reduce_opts all = { 0 }, last = { .axes = WK_DIMS(-1) }, first = { .axes = WK_DIMS(0) };
    const wk_reduce_opts two = { .axes = WK_DIMS(0, 2), .keep_dims = true }, images = { .axes = WK_DIMS(0, 2, 3) };
    WK_CASE(s, "all", &all, { .dims = WK_DIMS(3, 4, 5) });
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(7, 33) });
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(33, 7) });
    WK_CASE(s, "keep", &two, { .dims = WK_DIMS(3, 4, 5) });
    WK_CASE(s, "strided", &two, { .dims = WK_DIMS(3, 4, 5), .strided = true });
    WK_CASE(s, "images", &images, { .dims = WK_DIMS(2, 3, 5, 4), .strided = true });
    WK_CASE(s, "one", &all, { .dims = WK_SCALAR });
    WK_CASE(s, "large", &last, { .dims = WK_DIMS(65, 1031) });
    WK_CASE(s, "large first", &first, { .dims = WK_DIMS(1031, 65) });
}

static void sum_samples(wk_sampler *s) {
    reduce_samples(s);
    const wk_reduce_opts first = { .axes = WK_DIMS(0) };
    WK_CASE(s, "empty", &first, { .dims = WK_DIMS(0, 3) });
}

static void argmax_samples(wk_sampler *s) {
    const wk_axis_opts last = { { 0 } }, first = { WK_SET(0) };
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(7, 33) });
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(33, 7), .strided = true });
    WK_CASE(s, "large", &last, { .dims = WK_DIMS(129, 257) });
}

/* ---- rows ---- */

static const wk_attr_def reduce_attrs[] = {
    { "axes", WK_ATTR_DIMS, offsetof(wk_reduce_opts, axes), 0, NULL, 0, "reduced axes; none: all" },
    { "keep_dims", WK_ATTR_BOOL, offsetof(wk_reduce_opts, keep_dims), 0, NULL, 0, "leave them as size 1" },
};
#define REDUCTION(id, text, dtypes, keep_in, keep_out, shape_rule, rule, cases) \
    static wk_op_def id##_row = { .name = #id,                                  \
                                  .doc = text,                                  \
                                  .n_in = 1,                                    \
                                  .n_out = 1,                                   \
                                  .saves_in = keep_in,                          \
                                  .saves_out = keep_out,                        \
                                  .attrs = reduce_attrs,                        \
                                  .n_attrs = 2,                                 \
                                  .attrs_size = sizeof(wk_reduce_opts),         \
                                  .dtype = { .allowed = { dtypes } },           \
                                  .shape = shape_rule,                          \
                                  .grad = rule,                                 \
                                  .cost = one_per_input,                        \
                                  .samples = cases };                           \
    wk_tensor *wk_##id(wk_tensor *x, wk_reduce_opts opts) {                     \
        return wk_op_run1(&id##_row, &opts, x);                                 \
    }
REDUCTION(sum, "sum over axes; 0 over none", 0, 0, 0, sum_shape, sum_grad, sum_samples)
REDUCTION(mean, "mean over axes", WK_FLOATS, 0, 0, reduce_shape, mean_grad, reduce_samples)
REDUCTION(amax, "largest over axes; NaN wins", WK_NUMBERS, 1, 1, extremum_shape, extremum_grad, reduce_samples)
REDUCTION(amin, "smallest over axes; NaN wins", WK_NUMBERS, 1, 1, extremum_shape, extremum_grad, reduce_samples)

static const wk_attr_def axis_attrs[] = { { "axis", WK_ATTR_OPTIONAL, offsetof(wk_axis_opts, axis), 0, NULL, -1,
                                            "default the last" } };
static wk_op_def argmax_row = { .name = "argmax",
                                .doc = "index of the largest along an axis, the first among equals; NaN wins",
                                .n_in = 1,
                                .n_out = 1,
                                .attrs = axis_attrs,
                                .n_attrs = 1,
                                .attrs_size = sizeof(wk_axis_opts),
                                .dtype = { .allowed = { WK_NUMBERS } },
                                .shape = argmax_shape,
                                .not_differentiable = "its result is an index",
                                .cost = one_per_input,
                                .samples = argmax_samples };
wk_tensor *wk_argmax(wk_tensor *x, wk_axis_opts opts) {
    return wk_op_run1(&argmax_row, &opts, x);
}

wk_op_def *const wk__rows_reduce[] = { &sum_row, &mean_row, &amax_row, &amin_row, &argmax_row, NULL };
