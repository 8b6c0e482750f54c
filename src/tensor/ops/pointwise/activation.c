/* activation.c: activations.
 *
 * Those of straight pieces share one backward row, which knows the slope of each piece.  The curves have a backward row
 * each: made of parts, silu's would pass over memory six times instead of once.  Those rows' own gradient is that of
 * the parts.
 */
#define WK_NO_CALL_SITES
#include "tensor/ops/pointwise/rows.h"

#include <math.h>

#define INF ((double)INFINITY)

/* ---- attributes ---- */

#define OPTIONAL(field, type, default_value, text) \
    { #field, WK_ATTR_OPTIONAL, offsetof(type, field), 0, NULL, default_value, text }
static const wk_attr_def gelu_attrs[] = { { "approximate", WK_ATTR_ENUM, offsetof(wk_gelu_opts, approximate), 0,
                                            "erf|tanh", 0, "by which function" } };
static const wk_attr_def softplus_attrs[] = { OPTIONAL(beta, wk_softplus_opts, 1, "scale of x"),
                                              OPTIONAL(threshold, wk_softplus_opts, 20, "x itself above it") };
#define NUMBER(field, type, text) \
    { #field, WK_ATTR_FLOAT, offsetof(type, field), 0, NULL, 0, text }
static const wk_attr_def elu_backward_attrs[] = { NUMBER(alpha, wk_elu_attrs, "minus the limit at -∞"),
                                                  NUMBER(scale, wk_elu_attrs, "of the result"),
                                                  NUMBER(input_scale, wk_elu_attrs, "of x below 0") };
static const wk_attr_def piecewise_attrs[] = {
    NUMBER(low, wk_piecewise_attrs, "where the piece between begins"),
    NUMBER(high, wk_piecewise_attrs, "where it ends"),
    NUMBER(below, wk_piecewise_attrs, "slope below it"),
    NUMBER(between, wk_piecewise_attrs, "its slope"),
    NUMBER(above, wk_piecewise_attrs, "slope above it"),
    { "open", WK_ATTR_BOOL, offsetof(wk_piecewise_attrs, open), 0, NULL, 0, "its ends do not belong to it" },
};

/* ---- samples ---- */

#define CASES(s, first, second)                                                                   \
    WK_CASE(s, "small", first, { .dims = WK_DIMS(2, 3), .margin = 0.05 });                        \
    WK_CASE(s, "wide", second, { .dims = WK_DIMS(64), .low = -9, .high = 9, .margin = 0.05 });    \
    WK_CASE(s, "scalar", first, { .dims = WK_SCALAR, .margin = 0.05 });                           \
    WK_CASE(s, "empty", first, { .dims = WK_DIMS(3, 0, 2) });                                     \
    WK_CASE(s, "strided", second, { .dims = WK_DIMS(5, 6, 7), .margin = 0.05, .strided = true }); \
    WK_CASE(s, "large", second, { .dims = WK_DIMS(129, 257), .margin = 0.05 });                   \
    WK_HUGE_CASE(s, "huge", second, { .dims = WK_DIMS(512, 1024), .margin = 0.05 })
static void plain_samples(wk_sampler *s) {
    CASES(s, NULL, NULL);
    WK_CASE(s, "far", NULL, { .dims = WK_DIMS(40), .low = -9, .high = 9, .margin = 0.05 });
}
static void leaky_relu_samples(wk_sampler *s) {
    const wk_leaky_relu_opts plain = { { 0 } }, steep = { WK_SET(0.3) };
    CASES(s, &plain, &steep);
}
static void hardtanh_samples(wk_sampler *s) {
    const wk_hardtanh_opts plain = { .min = { 0 } }, wide = { WK_SET(-0.53), WK_SET(1.26) };
    CASES(s, &plain, &wide);
}
static void shrink_samples(wk_sampler *s) {
    const wk_shrink_opts plain = { { 0 } }, more = { WK_SET(0.83) };
    CASES(s, &plain, &more);
}
static void threshold_samples(wk_sampler *s) {
    const wk_threshold_opts plain = { 0.11, 20 }, other = { -0.7, -1.5 };
    CASES(s, &plain, &other);
}
static void gelu_samples(wk_sampler *s) {
    const wk_gelu_opts by_erf = { 0 }, by_tanh = { WK_GELU_TANH };
    CASES(s, &by_erf, &by_tanh);
    WK_CASE(s, "tanh, far", &by_tanh, { .dims = WK_DIMS(40), .low = -9, .high = 9 });
    WK_CASE(s, "erf, strided", &by_erf, { .dims = WK_DIMS(5, 6, 7), .strided = true });
    WK_HUGE_CASE(s, "huge erf", &by_erf, { .dims = WK_DIMS(512, 1024) });
}
static void softplus_samples(wk_sampler *s) {
    const wk_softplus_opts plain = { .beta = { 0 } }, sharp = { WK_SET(2), WK_SET(3) };
    CASES(s, &plain, &sharp);
}
static void elu_samples(wk_sampler *s) {
    const wk_elu_opts plain = { { 0 } }, more = { WK_SET(1.5) };
    CASES(s, &plain, &more);
}
static void prelu_samples(wk_sampler *s) {
    WK_CASE(s, "one", NULL, { .dims = WK_DIMS(4, 5), .margin = 0.05 }, { .dims = WK_DIMS(1) });
    WK_CASE(s, "channels", NULL, { .dims = WK_DIMS(2, 3, 4), .margin = 0.05, .strided = true }, { .dims = WK_DIMS(3) });
    WK_CASE(s, "vector", NULL, { .dims = WK_DIMS(5), .margin = 0.05 }, { .dims = WK_DIMS(1) });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(4, 33, 65), .margin = 0.05 }, { .dims = WK_DIMS(33) });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(16, 64, 512), .margin = 0.05 }, { .dims = WK_DIMS(64) });
}
static void broadcast_samples(wk_sampler *s) {
    WK_CASE(s, "same", NULL, { .dims = WK_DIMS(4, 5), .margin = 0.05 }, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "column", NULL, { .dims = WK_DIMS(2, 3, 4), .margin = 0.05 }, { .dims = WK_DIMS(3, 1) });
}
static void glu_samples(wk_sampler *s) {
    const wk_glu_opts last = { { 0 } }, first = { WK_SET(0) };
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(3, 8) });
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(6, 5), .strided = true });
    WK_CASE(s, "empty", &last, { .dims = WK_DIMS(3, 0) });
    WK_CASE(s, "large", &last, { .dims = WK_DIMS(129, 256) });
    WK_HUGE_CASE(s, "huge", &last, { .dims = WK_DIMS(512, 1024) });
}

/* ---- straight pieces ---- */

static wk_op_def piecewise_backward_row;
wk_tensor *wk__piecewise_backward(wk_tensor *dy, wk_tensor *x, const wk_piecewise_attrs *attrs) {
    return wk_op_run2(&piecewise_backward_row, attrs, dy, x);
}
/* Linear in dy; flat in x but for the steps. */
static wk_status piecewise_backward_grad(wk_grad *g) {
    if (g->needs[0])
        g->din[0] = wk__sum_to(wk_op_run2(&piecewise_backward_row, g->attrs, g->dout[0], g->in[1]), g->in[0]);
    if (g->needs[1]) g->din[1] = wk_zeros((wk_dtype)g->in[1]->dtype, wk__dims(g->in[1]));
    return WK_OK;
}
static void piecewise_samples(wk_sampler *s) {
    const wk_piecewise_attrs attrs = { -0.53, 0.77, 0.25, 2, -1, true }, closed = { 0.53, 0.77, 0.25, 2, -1, false };
    WK_CASE(s, "same", &attrs, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "strided", &closed, { .dims = WK_DIMS(3, 4, 5), .strided = true }, { .dims = WK_DIMS(3, 4, 5) });
    WK_CASE(s, "large", &closed, { .dims = WK_DIMS(129, 257) }, { .dims = WK_DIMS(129, 257) });
}

#define PIECES(name, ...)                                                              \
    static wk_status name(wk_grad *g) {                                                \
        const wk_piecewise_attrs attrs = __VA_ARGS__;                                  \
        g->din[0] = wk_op_run2(&piecewise_backward_row, &attrs, g->dout[0], g->in[0]); \
        return WK_OK;                                                                  \
    }
#define OPTS(type) ((const type *)g->attrs)
#define LAMBDA     wk_optional_or(OPTS(wk_shrink_opts)->lambda, 0.5)
PIECES(leaky_relu_grad, { 0, INF, wk_optional_or(OPTS(wk_leaky_relu_opts)->slope, 0.01), 1, 1, true })
PIECES(hardtanh_grad, { wk_optional_or(OPTS(wk_hardtanh_opts)->min, -1), wk_optional_or(OPTS(wk_hardtanh_opts)->max, 1),
                        0, 1, 0, true })
PIECES(hardsigmoid_grad, { -3, 3, 0, 1.0 / 6, 0, true })
PIECES(shrink_grad, { -LAMBDA, LAMBDA, 1, 0, 1, false })
PIECES(threshold_grad, { OPTS(wk_threshold_opts)->threshold, INF, 0, 1, 1, true })

/* ---- curves, by their parts ---- */

/* a x + b */
static wk_tensor *line(wk_tensor *x, double a, double b) {
    return wk_affine(x, (wk_affine_opts){ a, b });
}
static wk_tensor *two_pieces(wk_tensor *x, double at, wk_tensor *below, wk_tensor *above) {
    return wk_where(wk_gt(x, wk__number(x, at)), above, below);
}

/* s (1 + x (1 - s)) */
static wk_tensor *silu_slope(wk_tensor *x, const void *attrs) {
    (void)attrs;
    wk_tensor *s = wk_sigmoid(x);
    return wk_mul(s, line(wk_mul(x, line(s, -1, 1)), 1, 1));
}
/* tanh(p) + x (1 - tanh²(p)) s, p = softplus(x) */
static wk_tensor *mish_slope(wk_tensor *x, const void *attrs) {
    (void)attrs;
    wk_tensor *t = wk_tanh(wk_softplus(x, (wk_softplus_opts){ .threshold = WK_SET(INF) }));
    return wk_add(t, wk_mul(wk_mul(x, line(wk_square(t), -1, 1)), wk_sigmoid(x)));
}
static wk_tensor *hardswish_slope(wk_tensor *x, const void *attrs) {
    (void)attrs;
    wk_tensor *none = wk__number(x, 0), *full = wk__number(x, 1);
    wk_tensor *rest = wk_where(wk_lt(x, wk__number(x, 3)), line(x, 1.0 / 3, 0.5), full);
    return two_pieces(x, -3, none, rest);
}
/* by erf: Φ(x) + x φ(x); by tanh: s (1 + x (1 - s) v'), s = sigmoid(v), v = 2 √(2/π) (x + 0.044715 x³) */
static wk_tensor *gelu_slope(wk_tensor *x, const void *attrs) {
    if (((const wk_gelu_opts *)attrs)->approximate == WK_GELU_TANH) {
        wk_tensor *square = wk_square(x), *scaled = line(square, 0.044715, 1);
        wk_tensor *s = wk_sigmoid(wk_scale(wk_mul(x, scaled), 1.5957691216057308));
        wk_tensor *inner = line(square, 1.5957691216057308 * 0.134145, 1.5957691216057308);
        return wk_mul(s, line(wk_mul(wk_mul(x, line(s, -1, 1)), inner), 1, 1));
    }
    wk_tensor *cdf = line(wk_erf(wk_scale(x, 0.7071067811865476)), 0.5, 0.5);
    wk_tensor *density = wk_scale(wk_exp(wk_scale(wk_square(x), -0.5)), 0.39894228040143268);
    return wk_add(cdf, wk_mul(x, density));
}
static wk_tensor *softplus_slope(wk_tensor *x, const void *attrs) {
    const wk_softplus_opts *opts = attrs;
    double beta = wk_optional_or(opts->beta, 1);
    wk_tensor *z = wk_scale(x, beta), *full = wk__number(x, 1);
    return two_pieces(z, wk_optional_or(opts->threshold, 20), wk_sigmoid(z), full);
}
static wk_tensor *elu_slope(wk_tensor *x, const void *attrs) {
    const wk_elu_attrs *a = attrs;
    wk_tensor *rises = wk_scale(wk_exp(wk_scale(x, a->input_scale)), a->alpha * a->input_scale * a->scale);
    return two_pieces(x, 0, rises, wk__number(x, a->scale));
}

static void backward_cases(wk_sampler *s, const void *attrs, const char *first, const char *second) {
    WK_CASE(s, first, attrs, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5), .margin = 0.05 });
    WK_CASE(s, second, attrs, { .dims = WK_DIMS(3, 4, 5), .strided = true },
            { .dims = WK_DIMS(3, 4, 5), .margin = 0.05 });
}
#define BACKWARD(id, attr_list, count, size, ...)                                                       \
    static wk_status id##_backward_parts(const wk_call *call, wk_tensor *out[]) {                       \
        out[0] = wk_mul(call->in[0], id##_slope(call->in[1], call->attrs));                             \
        return out[0] ? WK_OK : wk_error_code();                                                        \
    }                                                                                                   \
    static void id##_backward_samples(wk_sampler *s) {                                                  \
        __VA_ARGS__                                                                                     \
    }                                                                                                   \
    static wk_op_def id##_backward_row = { .name = #id "_backward",                                     \
                                           .internal = true,                                            \
                                           .doc = "dy times the slope of " #id,                         \
                                           .n_in = 2,                                                   \
                                           .n_out = 1,                                                  \
                                           .elementwise = true,                                         \
                                           .saves_in = IN0 | IN1,                                       \
                                           .attrs = attr_list,                                          \
                                           .n_attrs = count,                                            \
                                           .attrs_size = size,                                          \
                                           .dtype = { .allowed = { WK_FLOATS, WK_FLOATS }, .same = 3 }, \
                                           .shape = like_operands,                                      \
                                           .grad = wk__grad_by_parts,                                   \
                                           .decompose = id##_backward_parts,                            \
                                           .cost = dear,                                                \
                                           .samples = id##_backward_samples }
#define BACKWARD_OF_OPTS(id, attr_list, count, size, ...)                           \
    BACKWARD(id, attr_list, count, size, __VA_ARGS__);                              \
    static wk_status id##_grad(wk_grad *g) {                                        \
        g->din[0] = wk_op_run2(&id##_backward_row, g->attrs, g->dout[0], g->in[0]); \
        return WK_OK;                                                               \
    }
BACKWARD_OF_OPTS(silu, NULL, 0, 0, backward_cases(s, NULL, "same", "strided");)
BACKWARD_OF_OPTS(mish, NULL, 0, 0, backward_cases(s, NULL, "same", "strided");)
BACKWARD_OF_OPTS(hardswish, NULL, 0, 0, backward_cases(s, NULL, "same", "strided");)
BACKWARD_OF_OPTS(gelu, gelu_attrs, 1, sizeof(wk_gelu_opts), const wk_gelu_opts by_erf = { 0 };
                 const wk_gelu_opts by_tanh = { WK_GELU_TANH }; backward_cases(s, &by_erf, "erf", "erf, strided");
                 backward_cases(s, &by_tanh, "tanh", "tanh, strided");)
BACKWARD_OF_OPTS(softplus, softplus_attrs, 2, sizeof(wk_softplus_opts),
                 const wk_softplus_opts plain = { .beta = { 0 } };
                 const wk_softplus_opts sharp = { WK_SET(2), WK_SET(3) }; backward_cases(s, &plain, "same", "strided");
                 backward_cases(s, &sharp, "sharp", "sharp, strided");)
BACKWARD(elu, elu_backward_attrs, 3, sizeof(wk_elu_attrs), const wk_elu_attrs attrs = { 1.5, 0.7, 0.6 };
         backward_cases(s, &attrs, "same", "strided"););

static wk_status scaled_elu_grad(wk_grad *g, double alpha, double scale, double input_scale) {
    const wk_elu_attrs attrs = { alpha, scale, input_scale };
    g->din[0] = wk_op_run2(&elu_backward_row, &attrs, g->dout[0], g->in[0]);
    return WK_OK;
}
static wk_status plain_elu_grad(wk_grad *g) {
    return scaled_elu_grad(g, wk_optional_or(OPTS(wk_elu_opts)->alpha, 1), 1, 1);
}
static wk_status selu_grad(wk_grad *g) {
    return scaled_elu_grad(g, WK_SELU_ALPHA, WK_SELU_SCALE, 1);
}
static wk_status celu_grad(wk_grad *g) {
    double alpha = wk_optional_or(OPTS(wk_elu_opts)->alpha, 1);
    return scaled_elu_grad(g, alpha, 1, 1 / alpha);
}
/* sigmoid(-x) */
static wk_status logsigmoid_grad(wk_grad *g) {
    g->din[0] = wk_mul(g->dout[0], wk_sigmoid(wk_neg(g->in[0])));
    return WK_OK;
}
static wk_status softsign_grad(wk_grad *g) {
    g->din[0] = wk_div(g->dout[0], wk_square(line(wk_abs(g->in[0]), 1, 1)));
    return WK_OK;
}

/* ---- rows ---- */

#define CURVE(id, text, cast, rule, cases) UNARY_CAST(id, text, WK_FLOATS, cast, IN0, 0, rule, dear, cases)
#define SHAPED(id, text, opts_type, cast, rule, cases) \
    UNARY_WITH(id, text, WK_FLOATS, opts_type, cast, IN0, 0, rule, dear, cases)

static wk_op_def piecewise_backward_row = { .name = "piecewise_backward",
                                            .internal = true,
                                            .doc = "dy times the slope of the piece that x lies in",
                                            .n_in = 2,
                                            .n_out = 1,
                                            .elementwise = true,
                                            .saves_in = IN1,
                                            .attrs = piecewise_attrs,
                                            .n_attrs = 6,
                                            .attrs_size = sizeof(wk_piecewise_attrs),
                                            .dtype = { .allowed = { WK_FLOATS, WK_FLOATS }, .same = 3 },
                                            .shape = like_operands,
                                            .grad = piecewise_backward_grad,
                                            .cost = cheap,
                                            .samples = piecewise_samples };

static const wk_attr_def leaky_relu_attrs[] = { OPTIONAL(slope, wk_leaky_relu_opts, 0.01, "below 0") };
static const wk_attr_def hardtanh_attrs[] = { OPTIONAL(min, wk_hardtanh_opts, -1, "least result"),
                                              OPTIONAL(max, wk_hardtanh_opts, 1, "largest result") };
static const wk_attr_def hardshrink_attrs[] = { OPTIONAL(lambda, wk_shrink_opts, 0.5, "0 up to that size") };
static const wk_attr_def softshrink_attrs[] = { OPTIONAL(lambda, wk_shrink_opts, 0.5, "how much nearer to 0") };
static const wk_attr_def elu_attrs[] = { OPTIONAL(alpha, wk_elu_opts, 1, "minus the limit at -∞") };
static const wk_attr_def celu_attrs[] = { OPTIONAL(alpha, wk_elu_opts, 1, "minus the limit at -∞") };
static const wk_attr_def threshold_attrs[] = {
    { "threshold", WK_ATTR_FLOAT, offsetof(wk_threshold_opts, threshold), 0, NULL, 0, "what is above it stays" },
    { "value", WK_ATTR_FLOAT, offsetof(wk_threshold_opts, value), 0, NULL, 0, "of the rest" },
};
SHAPED(leaky_relu, "x > 0 ? x : slope x", wk_leaky_relu_opts, WK_CAST_AS_IS, leaky_relu_grad, leaky_relu_samples)
SHAPED(hardtanh, "x brought into [min, max]", wk_hardtanh_opts, WK_CAST_AS_IS, hardtanh_grad, hardtanh_samples)
SHAPED(hardshrink, "0 where |x| <= lambda, else x", wk_shrink_opts, WK_CAST_AS_IS, shrink_grad, shrink_samples)
SHAPED(softshrink, "x nearer to 0 by lambda", wk_shrink_opts, WK_CAST_AS_IS, shrink_grad, shrink_samples)
SHAPED(threshold, "x > threshold ? x : value", wk_threshold_opts, WK_CAST_AS_IS, threshold_grad, threshold_samples)
SHAPED(softplus, "log(1 + e^(beta x)) / beta", wk_softplus_opts, WK_CAST_F32, softplus_grad, softplus_samples)
SHAPED(elu, "x > 0 ? x : alpha (e^x - 1)", wk_elu_opts, WK_CAST_AS_IS, plain_elu_grad, elu_samples)
SHAPED(celu, "x > 0 ? x : alpha (e^(x / alpha) - 1)", wk_elu_opts, WK_CAST_AS_IS, celu_grad, elu_samples)
CURVE(selu, "elu with the scales that keep mean and variance", WK_CAST_AS_IS, selu_grad, plain_samples)
CURVE(silu, "x sigmoid(x)", WK_CAST_AS_IS, silu_grad, plain_samples)
CURVE(mish, "x tanh(softplus(x))", WK_CAST_AS_IS, mish_grad, plain_samples)
CURVE(hardswish, "x hardsigmoid(x)", WK_CAST_AS_IS, hardswish_grad, plain_samples)
CURVE(hardsigmoid, "(x + 3) / 6 brought into [0, 1]", WK_CAST_AS_IS, hardsigmoid_grad, plain_samples)
CURVE(logsigmoid, "log sigmoid(x)", WK_CAST_AS_IS, logsigmoid_grad, plain_samples)
CURVE(softsign, "x / (1 + |x|)", WK_CAST_AS_IS, softsign_grad, plain_samples)

static wk_op_def gelu_row = { .name = "gelu",
                              .doc = "x Φ(x)",
                              .n_in = 1,
                              .n_out = 1,
                              .elementwise = true,
                              .saves_in = IN0,
                              .attrs = gelu_attrs,
                              .n_attrs = 1,
                              .attrs_size = sizeof(wk_gelu_opts),
                              .dtype = { .allowed = { WK_FLOATS } },
                              .shape = like_operands,
                              .grad = gelu_grad,
                              .cost = dear,
                              .samples = gelu_samples };
wk_tensor *wk_gelu(wk_tensor *x) {
    return wk_op_run1(&gelu_row, NULL, x);
}
wk_tensor *wk_gelu_tanh(wk_tensor *x) {
    const wk_gelu_opts opts = { WK_GELU_TANH };
    return wk_op_run1(&gelu_row, &opts, x);
}

/* ---- a gate: what glu does with its halves ---- */

static wk_status gate_parts(const wk_call *call, wk_tensor *out[]) {
    out[0] = wk_mul(call->in[0], wk_sigmoid(call->in[1]));
    return out[0] ? WK_OK : wk_error_code();
}
static wk_status gate_backward_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *s = wk_sigmoid(call->in[2]);
    out[0] = wk_mul(wk_mul(call->in[0], call->in[1]), wk_mul(s, line(s, -1, 1)));
    return out[0] ? WK_OK : wk_error_code();
}
static void gate_samples(wk_sampler *s) {
    WK_CASE(s, "same", NULL, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(3, 4, 5), .strided = true }, { .dims = WK_DIMS(3, 4, 5) });
}
static void gate_backward_samples(wk_sampler *s) {
    WK_CASE(s, "same", NULL, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(3, 4, 5), .strided = true }, { .dims = WK_DIMS(3, 4, 5) },
            { .dims = WK_DIMS(3, 4, 5) });
}
static wk_op_def gate_backward_row = { .name = "gate_backward",
                                       .internal = true,
                                       .doc = "the gradient of gate by b: dy a σ'(b)",
                                       .n_in = 3,
                                       .n_out = 1,
                                       .elementwise = true,
                                       .saves_in = IN0 | IN1 | IN2,
                                       .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS }, .same = 7 },
                                       .shape = like_operands,
                                       .grad = wk__grad_by_parts,
                                       .decompose = gate_backward_parts,
                                       .cost = dear,
                                       .samples = gate_backward_samples };
static wk_status gate_grad(wk_grad *g);
static wk_op_def gate_row = { .name = "gate",
                              .internal = true,
                              .doc = "a σ(b)",
                              .n_in = 2,
                              .n_out = 1,
                              .elementwise = true,
                              .saves_in = IN0 | IN1,
                              .dtype = { .allowed = { WK_FLOATS, WK_FLOATS }, .same = 3 },
                              .shape = like_operands,
                              .grad = gate_grad,
                              .decompose = gate_parts,
                              .cost = dear,
                              .samples = gate_samples };
static wk_status gate_grad(wk_grad *g) {
    if (g->needs[0]) g->din[0] = wk_op_run2(&gate_row, NULL, g->dout[0], g->in[1]);
    if (g->needs[1]) g->din[1] = wk_op_run3(&gate_backward_row, NULL, g->dout[0], g->in[0], g->in[1]);
    return WK_OK;
}

/* ---- of parts ---- */

static wk_status give(wk_tensor *out[], wk_tensor *y) {
    out[0] = y;
    return y ? WK_OK : wk_error_code();
}
static wk_status relu6_parts(const wk_call *call, wk_tensor *out[]) {
    return give(out, wk_hardtanh(call->in[0], (wk_hardtanh_opts){ WK_SET(0), WK_SET(6) }));
}
static wk_status tanhshrink_parts(const wk_call *call, wk_tensor *out[]) {
    return give(out, wk_sub(call->in[0], wk_tanh(call->in[0])));
}
static wk_status glu_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x = call->in[0];
    int axis = wk__axis("glu", x, (int64_t)wk_optional_or(((const wk_glu_opts *)call->attrs)->axis, -1));
    if (axis < 0) return wk_error_code();
    int64_t size = x->shape[axis];
    if (size % 2)
        return wk_bad_call(call, WK_SHAPE, "axis %d has size %lld, expected an even one", axis, (long long)size);
    wk_tensor *halves[] = { wk_slice(x, axis, 0, size / 2, 1), wk_slice(x, axis, size / 2, size, 1) };
    return give(out, wk_op_run2(&gate_row, NULL, halves[0], halves[1]));
}

static wk_status prelu_broadcast_grad(wk_grad *g) {
    wk_tensor *d = g->dout[0], *x = g->in[0], *rises = wk_gt(x, zero(x));
    if (g->needs[0]) g->din[0] = wk__sum_to(wk_where(rises, d, wk_mul(d, g->in[1])), x);
    if (g->needs[1]) g->din[1] = wk__sum_to(wk_where(rises, zero(d), wk_mul(d, x)), g->in[1]);
    return WK_OK;
}
static wk_op_def prelu_broadcast_row = { .name = "prelu_broadcast",
                                         .internal = true,
                                         .doc = "a > 0 ? a : a b",
                                         .n_in = 2,
                                         .n_out = 1,
                                         .saves_in = IN0 | IN1,
                                         .dtype = { .allowed = { WK_FLOATS, WK_FLOATS }, .same = 3 },
                                         .shape = like_operands,
                                         .grad = prelu_broadcast_grad,
                                         .cost = cheap,
                                         .samples = broadcast_samples };
static wk_status prelu_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x = call->in[0], *weight = call->in[1];
    bool many = weight->count > 1;
    char one[160], other[160];
    if (weight->rank > 1 || weight->count == 0 || (many && (x->rank < 2 || weight->count != x->shape[1])))
        return wk_bad_call(call, WK_SHAPE, "weight %s for x %s: expected one number, or one for each of x's axis 1",
                           wk_describe(weight, one, sizeof one), wk_describe(x, other, sizeof other));
    wk_dims dims = { .rank = many ? x->rank - 1 : 0 };
    for (int i = 0; i < dims.rank; i++) dims.size[i] = i ? 1 : weight->count;
    return give(out, wk_op_run2(&prelu_broadcast_row, NULL, x, wk_reshape(weight, dims)));
}

#define COMPOSITE(id, text, inputs, cast, cases)                                                         \
    static wk_op_def id##_row = {                                                                        \
        .name = #id,                                                                                     \
        .doc = text,                                                                                     \
        .n_in = inputs,                                                                                  \
        .n_out = 1,                                                                                      \
        .composite = true,                                                                               \
        .dtype = { .allowed = { WK_FLOATS, WK_FLOATS }, .same = (1 << (inputs)) - 1, .autocast = cast }, \
        .decompose = id##_parts,                                                                         \
        .cost = dear,                                                                                    \
        .samples = cases                                                                                 \
    }
COMPOSITE(relu6, "x brought into [0, 6]", 1, WK_CAST_AS_IS, plain_samples);
COMPOSITE(tanhshrink, "x - tanh(x)", 1, WK_CAST_AS_IS, plain_samples);
COMPOSITE(prelu, "x > 0 ? x : weight x", 2, WK_CAST_LOW, prelu_samples);
wk_tensor *wk_relu6(wk_tensor *x) {
    return wk_op_run1(&relu6_row, NULL, x);
}
wk_tensor *wk_tanhshrink(wk_tensor *x) {
    return wk_op_run1(&tanhshrink_row, NULL, x);
}
wk_tensor *wk_prelu(wk_tensor *x, wk_tensor *weight) {
    return wk_op_run2(&prelu_row, NULL, x, weight);
}

static const wk_attr_def glu_attrs[] = { OPTIONAL(axis, wk_glu_opts, -1, "that is halved; default the last") };
static wk_op_def glu_row = { .name = "glu",
                             .doc = "the first half times the sigmoid of the second",
                             .n_in = 1,
                             .n_out = 1,
                             .attrs = glu_attrs,
                             .n_attrs = 1,
                             .attrs_size = sizeof(wk_glu_opts),
                             .composite = true,
                             .dtype = { .allowed = { WK_FLOATS } },
                             .decompose = glu_parts,
                             .cost = dear,
                             .samples = glu_samples };
wk_tensor *wk_glu(wk_tensor *x, wk_glu_opts opts) {
    return wk_op_run1(&glu_row, &opts, x);
}

wk_op_def *const wk__rows_activation[] = {
    &leaky_relu_row,
    &hardtanh_row,
    &hardshrink_row,
    &softshrink_row,
    &threshold_row,
    &softplus_row,
    &elu_row,
    &celu_row,
    &selu_row,
    &silu_row,
    &mish_row,
    &hardswish_row,
    &hardsigmoid_row,
    &logsigmoid_row,
    &softsign_row,
    &gelu_row,
    &relu6_row,
    &tanhshrink_row,
    &prelu_row,
    &glu_row,
    &piecewise_backward_row,
    &prelu_broadcast_row,
    &silu_backward_row,
    &mish_backward_row,
    &hardswish_backward_row,
    &gelu_backward_row,
    &softplus_backward_row,
    &elu_backward_row,
    &gate_row,
    &gate_backward_row,
    NULL,
};
