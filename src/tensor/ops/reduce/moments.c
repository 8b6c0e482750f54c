/* moments.c: variance, norms, and what divides by them.
 *
 * Variance is two passes, the mean and then the squares around it: in one pass x² - mean² loses the digits that mean
 * and deviation do not share.  The half types are computed in f32.
 */
#define WK_NO_CALL_SITES
#include "tensor/ops/reduce/rows.h"

#include <math.h>

static bool is_half(const wk_tensor *x) {
    return x->dtype == WK_BF16 || x->dtype == WK_F16;
}
static wk_tensor *widened(wk_tensor *x) {
    return is_half(x) ? wk_cast(x, WK_F32) : x;
}

/* √x whose gradient at 0 is 0. */
static wk_tensor *root(wk_tensor *x) {
    if (!x) return NULL;
    wk_tensor *flat = wk_eq(x, wk__number(x, 0));
    return wk_where(flat, wk__number(x, 0), wk_sqrt(wk_where(flat, wk__number(x, 1), x)));
}
/* x^p for x ≥ 0, whose gradient at 0 is 0. */
static wk_tensor *power(wk_tensor *x, double p) {
    if (!x) return NULL;
    wk_tensor *flat = wk_eq(x, wk__number(x, 0));
    return wk_where(flat, wk__number(x, 0), wk_pow_scalar(wk_where(flat, wk__number(x, 1), x), p));
}

/* ---- variance ---- */

/* x (f32 or f64) -> variance, and the mean in *mean. */
static wk_tensor *variance(const wk_call *call, wk_tensor *x, wk_tensor **mean) {
    const wk_var_opts *opts = call->attrs;
    const wk_reduce_opts over = { opts->axes, opts->keep_dims };
    wk_tensor *center = wk_mean(x, (wk_reduce_opts){ opts->axes, true });
    wk_tensor *squares = wk__magnitude(wk_sub(x, center), over, WK_SUM_OF_SQUARES);
    if (!squares) return NULL;
    *mean = opts->keep_dims ? center : wk_reshape(center, wk__dims(squares));
    double per = squares->count ? (double)x->count / (double)squares->count : 0;
    double divisor = fmax(0, per - wk_optional_or(opts->correction, 1));
    return divisor == 0 ? wk_div(squares, wk__number(squares, 0)) : wk_scale(squares, 1 / divisor);
}
static wk_status var_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *mean, *y = variance(call, widened(call->in[0]), &mean);
    return give(out, y ? wk_cast(y, (wk_dtype)call->in[0]->dtype) : NULL);
}
static wk_status std_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *mean, *y = root(variance(call, widened(call->in[0]), &mean));
    return give(out, y ? wk_cast(y, (wk_dtype)call->in[0]->dtype) : NULL);
}
static wk_status var_mean_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *mean, *y = variance(call, widened(call->in[0]), &mean);
    if (!y) return wk_error_code();
    out[1] = wk_cast(mean, (wk_dtype)call->in[0]->dtype);
    return give(out, wk_cast(y, (wk_dtype)call->in[0]->dtype));
}

/* ---- norms ---- */

static wk_tensor *norm_of(wk_tensor *x, wk_reduce_opts over, double p) {
    if (p == 2) return root(wk__magnitude(x, over, WK_SUM_OF_SQUARES));
    if (p == 1) return wk__magnitude(x, over, WK_SUM_OF_SIZES);
    if (isinf(p)) return wk__magnitude(x, over, p > 0 ? WK_LARGEST_SIZE : WK_LEAST_SIZE);
    if (p == 0) return wk_cast(wk_count_nonzero(x, over), (wk_dtype)x->dtype);
    return power(wk_sum(power(wk_abs(x), p), over), 1 / p);
}
static wk_status norm_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_norm_opts *opts = call->attrs;
    double p = wk_optional_or(opts->p, 2);
    if (p != p) return wk_bad_call(call, WK_INVALID, "p is NaN");
    if (p == 0 || isinf(p) || p > 0) {
        wk_tensor *y = norm_of(widened(call->in[0]), (wk_reduce_opts){ opts->axes, opts->keep_dims }, p);
        return give(out, y ? wk_cast(y, (wk_dtype)call->in[0]->dtype) : NULL);
    }
    return wk_bad_call(call, WK_INVALID, "p is %g, expected at least 0, or an infinity", p);
}
static wk_status normalize_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_normalize_opts *opts = call->attrs;
    wk_tensor *x = call->in[0];
    int axis = wk__axis("normalize", x, (int64_t)wk_optional_or(opts->axis, 1));
    if (axis < 0) return wk_error_code();
    const wk_norm_opts norm = { WK_DIMS(axis), true, opts->p };
    const wk_clamp_opts floor = { .min = WK_SET(wk_optional_or(opts->eps, 1e-12)) };
    return give(out, wk_div(x, wk_clamp(wk_norm(x, norm), floor)));
}
static wk_status cosine_similarity_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_cosine_similarity_opts *opts = call->attrs;
    const wk_clamp_opts least = { .min = WK_SET(wk_optional_or(opts->eps, 1e-8)) };
    wk_tensor *product = wk_mul(call->in[0], call->in[1]);
    if (!product) return wk_error_code();
    int axis = wk__axis("cosine_similarity", product, (int64_t)wk_optional_or(opts->axis, 1));
    if (axis < 0) return wk_error_code();
    const wk_reduce_opts over = { .axes = WK_DIMS(axis) };
    wk_tensor *lengths[2];
    for (int i = 0; i < 2; i++) {
        wk_tensor *x = wk_expand(call->in[i], wk__dims(product));
        lengths[i] = wk_clamp(wk_norm(x, (wk_norm_opts){ .axes = over.axes }), least);
    }
    return give(out, wk_div(wk_sum(product, over), wk_mul(lengths[0], lengths[1])));
}
static wk_status softmin_parts(const wk_call *call, wk_tensor *out[]) {
    return give(out, wk_softmax(wk_neg(call->in[0]), *(const wk_axis_opts *)call->attrs));
}

/* ---- samples ---- */

static void var_samples(wk_sampler *s) {
    const wk_var_opts all = { .axes = { 0 } }, last = { .axes = WK_DIMS(-1), .correction = WK_SET(0) },
                      two = { .axes = WK_DIMS(0, 2), .keep_dims = true }, first = { .axes = WK_DIMS(0) };
    WK_CASE(s, "all", &all, { .dims = WK_DIMS(3, 4, 5) });
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(7, 9), .low = 10, .high = 12 });
    WK_CASE(s, "keep", &two, { .dims = WK_DIMS(3, 4, 5), .strided = true });
    WK_CASE(s, "large", &last, { .dims = WK_DIMS(65, 1031) });
    WK_CASE(s, "large first", &first, { .dims = WK_DIMS(1031, 65) });
    WK_HUGE_CASE(s, "huge", &last, { .dims = WK_DIMS(512, 1024) });
    WK_HUGE_CASE(s, "huge first", &first, { .dims = WK_DIMS(512, 1024) });
}
static void norm_samples(wk_sampler *s) {
    static const double powers[] = { 0, 0.5, 1, 2, 3, 0, 0 };
    static const char *const labels[] = { "0", "0.5", "1", "2", "3", "inf", "-inf" };
    for (int i = 0; i < 7; i++) {
        double p = i < 5 ? powers[i] : i == 5 ? (double)INFINITY : -(double)INFINITY;
        const wk_norm_opts opts = { .axes = WK_DIMS(1), .keep_dims = i % 2, .p = WK_SET(p) };
        WK_CASE(s, labels[i], &opts, { .dims = WK_DIMS(3, 5, 2), .margin = 0.1, .strided = i == 3 });
    }
    const wk_norm_opts all = { .axes = { 0 } }, last = { .axes = WK_DIMS(-1) };
    WK_CASE(s, "all", &all, { .dims = WK_DIMS(3, 5), .margin = 0.1 });
    WK_CASE(s, "large", &last, { .dims = WK_DIMS(65, 1031) });
    WK_HUGE_CASE(s, "huge", &last, { .dims = WK_DIMS(512, 1024) });
}
static void normalize_samples(wk_sampler *s) {
    const wk_normalize_opts plain = { .axis = { 0 } }, first = { .axis = WK_SET(0), .p = WK_SET(1) };
    WK_CASE(s, "plain", &plain, { .dims = WK_DIMS(4, 5), .margin = 0.1 });
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(4, 3, 2), .margin = 0.1, .strided = true });
    WK_CASE(s, "large", &plain, { .dims = WK_DIMS(65, 257) });
    WK_HUGE_CASE(s, "huge", &plain, { .dims = WK_DIMS(512, 1024), .margin = 0.1 });
}
static void cosine_similarity_samples(wk_sampler *s) {
    const wk_cosine_similarity_opts plain = { .axis = { 0 } }, last = { .axis = WK_SET(-1) };
    WK_CASE(s, "plain", &plain, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "broadcast", &last, { .dims = WK_DIMS(3, 1, 5), .strided = true }, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "large", &plain, { .dims = WK_DIMS(65, 257) }, { .dims = WK_DIMS(65, 257) });
    WK_HUGE_CASE(s, "huge", &plain, { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(512, 1024) });
}
static void softmin_samples(wk_sampler *s) {
    const wk_axis_opts last = { { 0 } }, first = { WK_SET(0) };
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(5, 10) });
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(5, 3), .strided = true });
    WK_HUGE_CASE(s, "huge", &last, { .dims = WK_DIMS(512, 1024) });
}

/* ---- rows ---- */

static wk_cost ten_per_input(const wk_call *call) {
    return (wk_cost){ 10 * (double)call->in[0]->count, wk__operand_bytes(call) };
}
static const wk_attr_def var_attrs[] = {
    REDUCE_ATTRS(wk_var_opts),
    { "correction", WK_ATTR_OPTIONAL, offsetof(wk_var_opts, correction), 0, NULL, 1, "taken from the count" },
};
static const wk_attr_def norm_attrs[] = {
    REDUCE_ATTRS(wk_norm_opts),
    { "p", WK_ATTR_OPTIONAL, offsetof(wk_norm_opts, p), 0, NULL, 2, "power" },
};
static const wk_attr_def normalize_attrs[] = {
    { "axis", WK_ATTR_OPTIONAL, offsetof(wk_normalize_opts, axis), 0, NULL, 1, "along which" },
    { "p", WK_ATTR_OPTIONAL, offsetof(wk_normalize_opts, p), 0, NULL, 2, "power of the norm" },
    { "eps", WK_ATTR_OPTIONAL, offsetof(wk_normalize_opts, eps), 0, NULL, 1e-12, "least divisor" },
};
static const wk_attr_def cosine_attrs[] = {
    { "axis", WK_ATTR_OPTIONAL, offsetof(wk_cosine_similarity_opts, axis), 0, NULL, 1, "along which" },
    { "eps", WK_ATTR_OPTIONAL, offsetof(wk_cosine_similarity_opts, eps), 0, NULL, 1e-8, "least norm" },
};
static const wk_attr_def axis_attrs[] = { AXIS_ATTR(wk_axis_opts) };
#define COMPOSITE(id, text, inputs, outputs_, cast, attr_list, type, cases)          \
    static wk_op_def id##_row = { .name = #id,                                       \
                                  .doc = text,                                       \
                                  .n_in = inputs,                                    \
                                  .n_out = outputs_,                                 \
                                  .composite = true,                                 \
                                  .attrs = attr_list,                                \
                                  .n_attrs = sizeof attr_list / sizeof attr_list[0], \
                                  .attrs_size = sizeof(type),                        \
                                  .dtype = { .allowed = { WK_FLOATS, WK_FLOATS },    \
                                             .same = (1 << (inputs)) - 1,            \
                                             .promote = (inputs) == 2,               \
                                             .autocast = cast },                     \
                                  .decompose = id##_parts,                           \
                                  .cost = ten_per_input,                             \
                                  .samples = cases }
COMPOSITE(var, "variance over axes", 1, 1, WK_CAST_AS_IS, var_attrs, wk_var_opts, var_samples);
COMPOSITE(std, "standard deviation over axes", 1, 1, WK_CAST_AS_IS, var_attrs, wk_var_opts, var_samples);
COMPOSITE(var_mean, "variance and mean over axes", 1, 2, WK_CAST_AS_IS, var_attrs, wk_var_opts, var_samples);
COMPOSITE(norm, "(Σ |x|^p)^(1/p) over axes", 1, 1, WK_CAST_F32, norm_attrs, wk_norm_opts, norm_samples);
COMPOSITE(normalize, "x / max(norm, eps) along an axis", 1, 1, WK_CAST_F32, normalize_attrs, wk_normalize_opts,
          normalize_samples);
COMPOSITE(cosine_similarity, "Σ a b over the product of norms", 2, 1, WK_CAST_F32, cosine_attrs,
          wk_cosine_similarity_opts, cosine_similarity_samples);
COMPOSITE(softmin, "softmax of -x", 1, 1, WK_CAST_F32, axis_attrs, wk_axis_opts, softmin_samples);

wk_tensor *wk_var(wk_tensor *x, wk_var_opts opts) {
    return wk_op_run1(&var_row, &opts, x);
}
wk_tensor *wk_std(wk_tensor *x, wk_var_opts opts) {
    return wk_op_run1(&std_row, &opts, x);
}
wk_tensor *wk_var_mean(wk_tensor *x, wk_tensor **mean, wk_var_opts opts) {
    return run_two(&var_mean_row, &opts, x, mean);
}
wk_tensor *wk_norm(wk_tensor *x, wk_norm_opts opts) {
    return wk_op_run1(&norm_row, &opts, x);
}
wk_tensor *wk_normalize(wk_tensor *x, wk_normalize_opts opts) {
    return wk_op_run1(&normalize_row, &opts, x);
}
wk_tensor *wk_cosine_similarity(wk_tensor *a, wk_tensor *b, wk_cosine_similarity_opts opts) {
    return wk_op_run2(&cosine_similarity_row, &opts, a, b);
}
wk_tensor *wk_softmin(wk_tensor *x, wk_axis_opts opts) {
    return wk_op_run1(&softmin_row, &opts, x);
}

wk_op_def *const wk__rows_moments[] = {
    &var_row, &std_row, &var_mean_row, &norm_row, &normalize_row, &cosine_similarity_row, &softmin_row, NULL
};
