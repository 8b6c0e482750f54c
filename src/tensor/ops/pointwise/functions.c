/* functions.c: elementary and special functions of one operand, and roundings. */
#define WK_NO_CALL_SITES
#include "tensor/ops/pointwise/rows.h"

#include <math.h>

/* ---- samples ---- */

#define SAMPLES(name, least, most)                                                                              \
    static void name(wk_sampler *s) {                                                                           \
        WK_CASE(s, "small", NULL, { .dims = WK_DIMS(2, 3), .low = least, .high = most });                       \
        WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(5, 6, 7), .low = least, .high = most, .strided = true }); \
        WK_CASE(s, "scalar", NULL, { .dims = WK_SCALAR, .low = least, .high = most });                          \
        WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0) });                                                      \
        WK_CASE(s, "large", NULL, { .dims = WK_DIMS(129, 257), .low = least, .high = most });                   \
        WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024), .low = least, .high = most });              \
    }
SAMPLES(inside_samples, -0.9, 0.9)
SAMPLES(quarter_samples, -1.2, 1.2)
SAMPLES(above_one_samples, 1.1, 6)
SAMPLES(above_minus_one_samples, -0.8, 4)

static void gamma_samples(wk_sampler *s) {
    above_one_samples(s);
    WK_CASE(s, "below 1", NULL, { .dims = WK_DIMS(9), .low = 0.2, .high = 0.95 });
    WK_CASE(s, "below 0", NULL, { .dims = WK_DIMS(9), .low = -0.8, .high = -0.2 });
    WK_CASE(s, "far below 0", NULL, { .dims = WK_DIMS(9), .low = -6.8, .high = -6.2 });
    WK_CASE(s, "large numbers", NULL, { .dims = WK_DIMS(40), .low = 8, .high = 90 });
}
static void polygamma_samples(wk_sampler *s) {
    static const char *const labels[] = { "0", "1", "2", "3" };
    for (int i = 0; i < 4; i++) {
        const wk_polygamma_opts opts = { i };
        WK_CASE(s, labels[i], &opts, { .dims = WK_DIMS(4, 5), .low = 0.7, .high = 9, .strided = i == 2 });
    }
    const wk_polygamma_opts one = { 1 };
    WK_CASE(s, "below 0", &one, { .dims = WK_DIMS(9), .low = -3.7, .high = -3.3 });
    WK_CASE(s, "empty", &one, { .dims = WK_DIMS(0) });
    WK_CASE(s, "large", &one, { .dims = WK_DIMS(33, 65), .low = 0.3, .high = 20 });
    WK_HUGE_CASE(s, "huge", &one, { .dims = WK_DIMS(512, 1024), .low = 0.3, .high = 20 });
}
static void logit_samples(wk_sampler *s) {
    const wk_logit_opts none = { { 0 } }, tenth = { WK_SET(0.1) };
    WK_CASE(s, "plain", &none, { .dims = WK_DIMS(4, 5), .low = 0.05, .high = 0.95 });
    WK_CASE(s, "eps", &tenth, { .dims = WK_DIMS(3, 4, 5), .low = -0.2, .high = 1.2, .strided = true });
    WK_CASE(s, "large", &none, { .dims = WK_DIMS(129, 257), .low = 0.05, .high = 0.95 });
    WK_HUGE_CASE(s, "huge", &none, { .dims = WK_DIMS(512, 1024), .low = 0.05, .high = 0.95 });
}
static void whole_samples(wk_sampler *s) {
    unary_samples(s);
    WK_CASE(s, "wide", NULL, { .dims = WK_DIMS(64), .low = -9, .high = 9 });
}

/* ---- gradients ---- */

/* a x² + b */
static wk_tensor *square_and(wk_tensor *x, double a, double b) {
    return wk_affine(wk_square(x), (wk_affine_opts){ a, b });
}
#define TIMES(name, slope)                       \
    static wk_status name(wk_grad *g) {          \
        wk_tensor *x = g->in[0], *y = g->out[0]; \
        (void)x, (void)y;                        \
        g->din[0] = wk_mul(g->dout[0], slope);   \
        return WK_OK;                            \
    }
#define OVER(name, slope)                      \
    static wk_status name(wk_grad *g) {        \
        wk_tensor *x = g->in[0];               \
        g->din[0] = wk_div(g->dout[0], slope); \
        return WK_OK;                          \
    }
TIMES(exp2_grad, wk_scale(y, M_LN2))
TIMES(expm1_grad, wk_affine(y, (wk_affine_opts){ 1, 1 }))
OVER(log2_grad, wk_scale(x, M_LN2))
OVER(log10_grad, wk_scale(x, M_LN10))
OVER(log1p_grad, wk_affine(x, (wk_affine_opts){ 1, 1 }))
TIMES(tan_grad, square_and(y, 1, 1))
TIMES(asin_grad, wk_rsqrt(square_and(x, -1, 1)))
TIMES(acos_grad, wk_neg(wk_rsqrt(square_and(x, -1, 1))))
OVER(atan_grad, square_and(x, 1, 1))
TIMES(sinh_grad, wk_cosh(x))
TIMES(cosh_grad, wk_sinh(x))
TIMES(asinh_grad, wk_rsqrt(square_and(x, 1, 1)))
TIMES(acosh_grad, wk_rsqrt(square_and(x, 1, -1)))
OVER(atanh_grad, square_and(x, -1, 1))
TIMES(erfc_grad, wk_scale(wk_exp(wk_neg(wk_square(x))), -M_2_SQRTPI))
TIMES(erfinv_grad, wk_scale(wk_exp(wk_square(y)), 1 / M_2_SQRTPI))
TIMES(lgamma_grad, wk_digamma(x))
TIMES(digamma_grad, wk_polygamma(x, 1))
TIMES(polygamma_grad, wk_polygamma(x, ((const wk_polygamma_opts *)g->attrs)->order + 1))
static wk_status frac_grad(wk_grad *g) {
    g->din[0] = g->dout[0];
    return WK_OK;
}
/* 1 / (x (1 - x)); where x was brought into [eps, 1 - eps], 0 */
static wk_status logit_grad(wk_grad *g) {
    const wk_logit_opts *opts = g->attrs;
    double eps = wk_optional_or(opts->eps, 0);
    wk_tensor *x = g->in[0], *d = wk_div(g->dout[0], wk_mul(x, wk_affine(x, (wk_affine_opts){ -1, 1 })));
    const wk_piecewise_attrs attrs = { .low = eps, .high = 1 - eps, .between = 1 };
    g->din[0] = opts->eps.is_set ? wk__piecewise_backward(d, x, &attrs) : d;
    return WK_OK;
}

/* ---- rows ---- */

static wk_status polygamma_shape(const wk_call *call, wk_desc out[]) {
    int64_t order = ((const wk_polygamma_opts *)call->attrs)->order;
    if (order < 0 || order > 100)
        return wk_bad_call(call, WK_INVALID, "order %lld, expected 0 to 100", (long long)order);
    return like_operands(call, out);
}

#define FUNCTION(id, text, cast, keep_in, keep_out, cases) \
    UNARY_CAST(id, text, WK_FLOATS, cast, keep_in, keep_out, id##_grad, dear, cases)
FUNCTION(exp2, "2^x", WK_CAST_AS_IS, 0, OUT0, unary_samples)
FUNCTION(expm1, "e^x - 1", WK_CAST_F32, 0, OUT0, unary_samples)
FUNCTION(log2, "logarithm of base 2", WK_CAST_F32, IN0, 0, positive_samples)
FUNCTION(log10, "logarithm of base 10", WK_CAST_F32, IN0, 0, positive_samples)
FUNCTION(log1p, "log(1 + x)", WK_CAST_F32, IN0, 0, above_minus_one_samples)
FUNCTION(tan, "tangent", WK_CAST_F32, 0, OUT0, quarter_samples)
FUNCTION(asin, "inverse sine", WK_CAST_F32, IN0, 0, inside_samples)
FUNCTION(acos, "inverse cosine", WK_CAST_F32, IN0, 0, inside_samples)
FUNCTION(atan, "inverse tangent", WK_CAST_AS_IS, IN0, 0, unary_samples)
FUNCTION(sinh, "hyperbolic sine", WK_CAST_F32, IN0, 0, unary_samples)
FUNCTION(cosh, "hyperbolic cosine", WK_CAST_F32, IN0, 0, unary_samples)
FUNCTION(asinh, "inverse hyperbolic sine", WK_CAST_AS_IS, IN0, 0, unary_samples)
FUNCTION(acosh, "inverse hyperbolic cosine", WK_CAST_AS_IS, IN0, 0, above_one_samples)
FUNCTION(atanh, "inverse hyperbolic tangent", WK_CAST_AS_IS, IN0, 0, inside_samples)
FUNCTION(erfc, "1 - erf(x)", WK_CAST_AS_IS, IN0, 0, unary_samples)
FUNCTION(erfinv, "inverse of erf", WK_CAST_F32, 0, OUT0, inside_samples)
FUNCTION(lgamma, "log |Γ(x)|", WK_CAST_AS_IS, IN0, 0, gamma_samples)
FUNCTION(digamma, "derivative of lgamma", WK_CAST_AS_IS, IN0, 0, gamma_samples)
UNARY(floor, "rounded down", WK_NUMBERS, 0, 0, flat_grad, cheap, whole_samples)
UNARY(ceil, "rounded up", WK_NUMBERS, 0, 0, flat_grad, cheap, whole_samples)
UNARY(round, "rounded, halves to even", WK_NUMBERS, 0, 0, flat_grad, cheap, whole_samples)
UNARY(trunc, "rounded towards 0", WK_NUMBERS, 0, 0, flat_grad, cheap, whole_samples)
UNARY(frac, "x - trunc(x)", WK_FLOATS, 0, 0, frac_grad, cheap, unary_samples)

static const wk_attr_def logit_attrs[] = { { "eps", WK_ATTR_OPTIONAL, offsetof(wk_logit_opts, eps), 0, NULL, 0,
                                             "x is brought into [eps, 1 - eps]" } };
UNARY_WITH(logit, "log(x / (1 - x))", WK_FLOATS, wk_logit_opts, WK_CAST_AS_IS, IN0, 0, logit_grad, dear, logit_samples)

static const wk_attr_def polygamma_attrs[] = { { "order", WK_ATTR_INT, offsetof(wk_polygamma_opts, order), 0, NULL, 0,
                                                 "of the derivative" } };
static wk_op_def polygamma_row = { .name = "polygamma",
                                   .doc = "derivative of digamma",
                                   .n_in = 1,
                                   .n_out = 1,
                                   .elementwise = true,
                                   .saves_in = IN0,
                                   .attrs = polygamma_attrs,
                                   .n_attrs = 1,
                                   .attrs_size = sizeof(wk_polygamma_opts),
                                   .dtype = { .allowed = { WK_FLOATS } },
                                   .shape = polygamma_shape,
                                   .grad = polygamma_grad,
                                   .cost = dear,
                                   .samples = polygamma_samples };
wk_tensor *wk_polygamma(wk_tensor *x, int64_t order) {
    const wk_polygamma_opts opts = { order };
    return wk_op_run1(&polygamma_row, &opts, x);
}

wk_op_def *const wk__rows_functions[] = {
    &exp2_row,  &expm1_row, &log2_row,  &log10_row, &log1p_row, &tan_row,   &asin_row,      &acos_row,   &atan_row,
    &sinh_row,  &cosh_row,  &asinh_row, &acosh_row, &atanh_row, &erfc_row,  &erfinv_row,    &lgamma_row, &digamma_row,
    &floor_row, &ceil_row,  &round_row, &trunc_row, &frac_row,  &logit_row, &polygamma_row, NULL,
};
