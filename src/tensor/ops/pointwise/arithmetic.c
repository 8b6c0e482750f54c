/* arithmetic.c: quotients with their roundings, powers, bounds, and what mixes two or three operands. */
#define WK_NO_CALL_SITES
#include "tensor/ops/pointwise/rows.h"

#include <math.h>

static wk_tensor *as_number(wk_tensor *truth, const wk_tensor *like) {
    return wk_cast(truth, (wk_dtype)like->dtype);
}
static wk_tensor *without(wk_tensor *x, wk_tensor *where) {
    return x ? wk_where(where, zero(x), x) : NULL;
}

/* ---- samples ---- */

static void divisor_samples(wk_sampler *s) {
    WK_CASE(s, "same", NULL, { .dims = WK_DIMS(4, 5), .margin = 0.1 }, { .dims = WK_DIMS(4, 5), .margin = 0.3 });
    WK_CASE(s, "far", NULL, { .dims = WK_DIMS(40), .low = -30, .high = 30 }, { .dims = WK_DIMS(40), .margin = 0.3 });
    WK_CASE(s, "both", NULL, { .dims = WK_DIMS(3, 1, 5), .margin = 0.1 }, { .dims = WK_DIMS(4, 1), .margin = 0.3 });
    WK_CASE(s, "scalar", NULL, { .dims = WK_DIMS(2, 3), .margin = 0.1 }, { .dims = WK_SCALAR, .margin = 0.4 });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(5, 6, 7), .margin = 0.1, .strided = true },
            { .dims = WK_DIMS(5, 6, 7), .margin = 0.3 });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0, 3) }, { .dims = WK_DIMS(1, 3), .margin = 0.3 });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(129, 257), .margin = 0.1 },
            { .dims = WK_DIMS(129, 257), .margin = 0.3 });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024), .margin = 0.1 },
                 { .dims = WK_DIMS(512, 1024), .margin = 0.3 });
}

static void positive_pairs(wk_sampler *s) {
    WK_CASE(s, "same", NULL, { .dims = WK_DIMS(4, 5), .low = 0.3, .high = 3 }, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "both", NULL, { .dims = WK_DIMS(3, 1, 5), .low = 0.3, .high = 3 }, { .dims = WK_DIMS(4, 1) });
    WK_CASE(s, "scalar", NULL, { .dims = WK_SCALAR, .low = 0.3, .high = 3 }, { .dims = WK_DIMS(2, 3) });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(5, 6, 7), .low = 0.3, .high = 3, .strided = true },
            { .dims = WK_DIMS(5, 6, 7) });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0, 3), .low = 0.3, .high = 3 }, { .dims = WK_DIMS(1, 3) });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(129, 257), .low = 0.3, .high = 3 }, { .dims = WK_DIMS(129, 257) });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024), .low = 0.3, .high = 3 },
                 { .dims = WK_DIMS(512, 1024) });
}

static void xlogy_samples(wk_sampler *s) {
    WK_CASE(s, "same", NULL, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5), .low = 0.3, .high = 3 });
    WK_CASE(s, "column", NULL, { .dims = WK_DIMS(3, 1) }, { .dims = WK_DIMS(3, 7), .low = 0.3, .high = 3 });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(5, 6, 7), .strided = true },
            { .dims = WK_DIMS(5, 6, 7), .low = 0.3, .high = 3 });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0) }, { .dims = WK_DIMS(0) });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(129, 257) }, { .dims = WK_DIMS(129, 257), .low = 0.3, .high = 3 });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .low = 0.3, .high = 3 });
}

static void pow_scalar_samples(wk_sampler *s) {
    static const double whole[] = { 0, 1, 2, 3, 4, 5 };
    static const char *const labels[] = { "0", "1", "2", "3", "4", "5" };
    for (int i = 0; i < 6; i++) {
        const wk_pow_scalar_opts opts = { whole[i] };
        WK_CASE(s, labels[i], &opts, { .dims = WK_DIMS(4, 5), .margin = 0.1 });
    }
    const wk_pow_scalar_opts six = { 6 };
    WK_CASE(s, "empty", &six, { .dims = WK_DIMS(3, 0) });
    WK_CASE(s, "strided", &six, { .dims = WK_DIMS(3, 4, 5), .strided = true, .margin = 0.1 });
    WK_CASE(s, "large", &six, { .dims = WK_DIMS(129, 257), .margin = 0.1 });
    WK_HUGE_CASE(s, "huge", &six, { .dims = WK_DIMS(512, 1024), .margin = 0.1 });
}

static void three_samples(wk_sampler *s, const void *some, const void *other, double least) {
    WK_CASE(s, "same", some, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5) },
            { .dims = WK_DIMS(4, 5), .margin = least });
    WK_CASE(s, "broadcast", other, { .dims = WK_DIMS(3, 1, 5) }, { .dims = WK_DIMS(4, 1) },
            { .dims = WK_SCALAR, .margin = least });
    WK_CASE(s, "strided", other, { .dims = WK_DIMS(3, 4, 5), .strided = true }, { .dims = WK_DIMS(3, 4, 5) },
            { .dims = WK_DIMS(3, 4, 5), .margin = least });
    WK_CASE(s, "empty", some, { .dims = WK_DIMS(0, 3) }, { .dims = WK_DIMS(1, 3) }, { .dims = WK_DIMS(3) });
    WK_CASE(s, "large", other, { .dims = WK_DIMS(129, 257) }, { .dims = WK_DIMS(129, 257) },
            { .dims = WK_DIMS(129, 257), .margin = least });
    WK_HUGE_CASE(s, "huge", other, { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .margin = least });
}
static void lerp_samples(wk_sampler *s) {
    three_samples(s, NULL, NULL, 0);
}
static void addcmul_samples(wk_sampler *s) {
    const wk_addcmul_opts one = { { 0 } }, three = { WK_SET(-3) };
    three_samples(s, &one, &three, 0);
}
static void addcdiv_samples(wk_sampler *s) {
    const wk_addcmul_opts one = { { 0 } }, half = { WK_SET(-0.5) };
    three_samples(s, &one, &half, 0.3);
}

static void clamp_samples(wk_sampler *s) {
    const wk_clamp_opts both = { WK_SET(-0.76), WK_SET(1.03) }, low = { .min = WK_SET(0.26) },
                        high = { .max = WK_SET(-0.26) }, crossed = { WK_SET(1.03), WK_SET(-0.76) },
                        none = { .min = { 0 } };
    WK_CASE(s, "both", &both, { .dims = WK_DIMS(7, 5) });
    WK_CASE(s, "low", &low, { .dims = WK_DIMS(7, 5), .strided = true });
    WK_CASE(s, "high", &high, { .dims = WK_DIMS(7, 5) });
    WK_CASE(s, "crossed", &crossed, { .dims = WK_DIMS(7, 5) });
    WK_CASE(s, "none", &none, { .dims = WK_DIMS(3) });
    WK_CASE(s, "empty", &both, { .dims = WK_DIMS(0) });
    WK_CASE(s, "large", &both, { .dims = WK_DIMS(129, 257) });
    WK_HUGE_CASE(s, "huge", &both, { .dims = WK_DIMS(512, 1024) });
}
static void clamp_tensor_samples(wk_sampler *s) {
    WK_CASE(s, "same", NULL, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5), .low = -2, .high = 0.1 },
            { .dims = WK_DIMS(4, 5), .low = -0.1, .high = 2 });
    WK_CASE(s, "broadcast", NULL, { .dims = WK_DIMS(3, 1, 5) }, { .dims = WK_DIMS(4, 1), .low = -2, .high = -0.1 },
            { .dims = WK_SCALAR, .margin = 0.7 });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(3, 4, 5), .strided = true },
            { .dims = WK_DIMS(3, 4, 5), .low = -2, .high = 0.1 }, { .dims = WK_DIMS(3, 4, 5), .low = -0.1, .high = 2 });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(129, 257) }, { .dims = WK_DIMS(129, 257), .low = -2, .high = 0.1 },
            { .dims = WK_DIMS(129, 257), .low = -0.1, .high = 2 });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .low = -2, .high = 0.1 },
                 { .dims = WK_DIMS(512, 1024), .low = -0.1, .high = 2 });
}
static void nan_to_num_samples(wk_sampler *s) {
    const wk_nan_to_num_opts plain = { 0 }, all = { 1.5, WK_SET(2), WK_SET(-3) };
    WK_CASE(s, "plain", &plain, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "all", &all, { .dims = WK_DIMS(3, 4, 5), .strided = true });
    WK_CASE(s, "large", &all, { .dims = WK_DIMS(129, 257) });
    WK_HUGE_CASE(s, "huge", &all, { .dims = WK_DIMS(512, 1024) });
}

/* ---- gradients ---- */

/* r = a - q b with a quotient q of steps. */
static wk_status rest_grad(wk_grad *g, wk_tensor *(*quotient)(wk_tensor *, wk_tensor *)) {
    if (g->needs[0]) g->din[0] = wk__sum_to(g->dout[0], g->in[0]);
    if (g->needs[1]) g->din[1] = wk__sum_to(wk_neg(wk_mul(g->dout[0], quotient(g->in[0], g->in[1]))), g->in[1]);
    return WK_OK;
}
static wk_status remainder_grad(wk_grad *g) {
    return rest_grad(g, wk_floor_divide);
}
static wk_status fmod_grad(wk_grad *g) {
    return rest_grad(g, wk_trunc_divide);
}

/* da = dy b a^(b-1), 0 where b is 0;  db = dy y log a, 0 where a is 0 and b is not below it */
static wk_status pow_grad(wk_grad *g) {
    wk_tensor *d = g->dout[0], *a = g->in[0], *b = g->in[1], *none = zero(d);
    if (g->needs[0]) {
        wk_tensor *slope = wk_mul(b, wk_pow(a, wk_sub(b, wk__number(b, 1))));
        g->din[0] = wk__sum_to(wk_mul(d, without(slope, wk_eq(b, none))), a);
    }
    if (g->needs[1]) {
        wk_tensor *flat = wk_logical_and(wk_eq(a, none), wk_ge(b, none));
        g->din[1] = wk__sum_to(wk_mul(d, without(wk_mul(wk_pow(a, b), wk_log(a)), flat)), b);
    }
    return WK_OK;
}

static wk_status pow_scalar_grad(wk_grad *g) {
    double exponent = ((const wk_pow_scalar_opts *)g->attrs)->exponent;
    if (exponent == 0) return flat_grad(g);
    wk_tensor *power = exponent == 1 ? NULL : exponent == 2 ? g->in[0] : wk_pow_scalar(g->in[0], exponent - 1);
    g->din[0] = wk_scale(power ? wk_mul(g->dout[0], power) : g->dout[0], exponent);
    return WK_OK;
}
static wk_status square_grad(wk_grad *g) {
    g->din[0] = wk_scale(wk_mul(g->dout[0], g->in[0]), 2);
    return WK_OK;
}
static wk_status reciprocal_grad(wk_grad *g) {
    g->din[0] = wk_neg(wk_mul(g->dout[0], wk_square(g->out[0])));
    return WK_OK;
}
static wk_status rsqrt_grad(wk_grad *g) {
    g->din[0] = wk_scale(wk_mul(g->dout[0], wk_pow_scalar(g->out[0], 3)), -0.5);
    return WK_OK;
}

/* (b, -a) / (a² + b²); 0 at the origin */
static wk_status atan2_grad(wk_grad *g) {
    wk_tensor *a = g->in[0], *b = g->in[1], *length = wk_add(wk_square(a), wk_square(b));
    wk_tensor *d = without(wk_div(g->dout[0], length), wk_eq(length, zero(a)));
    if (g->needs[0]) g->din[0] = wk__sum_to(wk_mul(d, b), a);
    if (g->needs[1]) g->din[1] = wk__sum_to(wk_neg(wk_mul(d, a)), b);
    return WK_OK;
}
static wk_status hypot_grad(wk_grad *g) {
    wk_tensor *d = wk_div(g->dout[0], g->out[0]);
    for (int i = 0; i < 2; i++)
        if (g->needs[i]) g->din[i] = wk__sum_to(wk_mul(d, g->in[i]), g->in[i]);
    return WK_OK;
}
static wk_status copysign_grad(wk_grad *g) {
    wk_tensor *turned = wk_mul(wk_sign(g->in[0]), wk_sign(g->out[0]));
    if (g->needs[0]) g->din[0] = wk__sum_to(wk_mul(g->dout[0], turned), g->in[0]);
    if (g->needs[1]) g->din[1] = wk_zeros((wk_dtype)g->in[1]->dtype, wk__dims(g->in[1]));
    return WK_OK;
}
static wk_status logaddexp_grad(wk_grad *g) {
    for (int i = 0; i < 2; i++)
        if (g->needs[i])
            g->din[i] = wk__sum_to(wk_mul(g->dout[0], wk_sigmoid(wk_sub(g->in[i], g->in[1 - i]))), g->in[i]);
    return WK_OK;
}
static wk_status xlogy_grad(wk_grad *g) {
    wk_tensor *d = g->dout[0], *a = g->in[0], *b = g->in[1];
    if (g->needs[0]) {
        wk_tensor *nothing = wk_logical_and(wk_eq(a, zero(a)), wk_le(b, zero(b)));
        g->din[0] = wk__sum_to(wk_mul(d, without(wk_log(b), nothing)), a);
    }
    if (g->needs[1]) g->din[1] = wk__sum_to(wk_mul(d, wk_div(a, b)), b);
    return WK_OK;
}
static wk_status lerp_grad(wk_grad *g) {
    wk_tensor *d = g->dout[0], *weight = g->in[2];
    if (g->needs[0]) g->din[0] = wk__sum_to(wk_mul(d, wk_affine(weight, (wk_affine_opts){ -1, 1 })), g->in[0]);
    if (g->needs[1]) g->din[1] = wk__sum_to(wk_mul(d, weight), g->in[1]);
    if (g->needs[2]) g->din[2] = wk__sum_to(wk_mul(d, wk_sub(g->in[1], g->in[0])), weight);
    return WK_OK;
}
static wk_status addcmul_grad(wk_grad *g) {
    double value = wk_optional_or(((const wk_addcmul_opts *)g->attrs)->value, 1);
    wk_tensor *d = wk_scale(g->dout[0], value);
    if (g->needs[0]) g->din[0] = wk__sum_to(g->dout[0], g->in[0]);
    if (g->needs[1]) g->din[1] = wk__sum_to(wk_mul(d, g->in[2]), g->in[1]);
    if (g->needs[2]) g->din[2] = wk__sum_to(wk_mul(d, g->in[1]), g->in[2]);
    return WK_OK;
}
static wk_status addcdiv_grad(wk_grad *g) {
    double value = wk_optional_or(((const wk_addcmul_opts *)g->attrs)->value, 1);
    wk_tensor *d = wk_div(wk_scale(g->dout[0], value), g->in[2]);
    if (g->needs[0]) g->din[0] = wk__sum_to(g->dout[0], g->in[0]);
    if (g->needs[1]) g->din[1] = wk__sum_to(d, g->in[1]);
    if (g->needs[2]) g->din[2] = wk__sum_to(wk_neg(wk_mul(d, wk_div(g->in[1], g->in[2]))), g->in[2]);
    return WK_OK;
}

static wk_status clamp_grad(wk_grad *g) {
    const wk_clamp_opts *opts = g->attrs;
    const wk_piecewise_attrs attrs = { .low = wk_optional_or(opts->min, -(double)INFINITY),
                                       .high = wk_optional_or(opts->max, (double)INFINITY),
                                       .below = !opts->min.is_set,
                                       .between = 1,
                                       .above = !opts->max.is_set,
                                       .open = true };
    g->din[0] = wk__piecewise_backward(g->dout[0], g->in[0], &attrs);
    return WK_OK;
}
/* Inside, the gradient is x's; outside, that of the bound; on a bound both have half, unless the bounds are equal.
 * Where they cross it is max's. */
static wk_status clamp_tensor_grad(wk_grad *g) {
    wk_tensor *d = g->dout[0], *x = g->in[0], *min = g->in[1], *max = g->in[2];
    wk_tensor *half = wk_scale(d, 0.5), *none = zero(d), *apart = wk_lt(min, max);
    wk_tensor *at_min = wk_logical_and(wk_eq(x, min), apart), *at_max = wk_logical_and(wk_eq(x, max), apart);
    wk_tensor *inside = wk_logical_and(wk_ge(x, min), wk_le(x, max));
    wk_tensor *below = wk_logical_and(wk_lt(x, min), wk_le(min, max));
    wk_tensor *above = wk_logical_or(wk_gt(x, max), wk_lt(max, min));
    wk_tensor *shares[] = { wk_where(inside, wk_where(wk_logical_or(at_min, at_max), half, d), none),
                            wk_where(below, d, wk_where(at_min, half, none)),
                            wk_where(above, d, wk_where(at_max, half, none)) };
    for (int i = 0; i < 3; i++)
        if (g->needs[i]) g->din[i] = wk__sum_to(shares[i], g->in[i]);
    return WK_OK;
}
static wk_status nan_to_num_grad(wk_grad *g) {
    g->din[0] = wk_mul(g->dout[0], as_number(wk_isfinite(g->in[0]), g->dout[0]));
    return WK_OK;
}

/* ---- rows ---- */

static wk_status pow_scalar_shape(const wk_call *call, wk_desc out[]) {
    double exponent = ((const wk_pow_scalar_opts *)call->attrs)->exponent;
    wk_dtype dtype = (wk_dtype)call->in[0]->dtype;
    if (!wk_dtype_is_float(dtype) && !(exponent >= 0 && exponent < 0x1p62 && exponent == (double)(int64_t)exponent))
        return wk_bad_call(call, WK_INVALID, "exponent %g of %s: expected a whole number of at least 0; or use wk_cast",
                           exponent, wk_dtype_name(dtype));
    return like_operands(call, out);
}

#define WK__DEAR_BINARY(id, text, cast, keep_in, keep_out, rule, cases) \
    BINARY_CAST(id, text, WK_FLOATS, cast, keep_in, keep_out, rule, dear, cases)
BINARY_CAST(floor_divide, "a / b rounded down", WK_NUMBERS, WK_CAST_AS_IS, 0, 0, flat_grad, cheap, divisor_samples)
BINARY_CAST(trunc_divide, "a / b rounded towards 0", WK_NUMBERS, WK_CAST_AS_IS, 0, 0, flat_grad, cheap, divisor_samples)
BINARY_CAST(remainder, "a - floor(a / b) b", WK_NUMBERS, WK_CAST_AS_IS, IN0 | IN1, 0, remainder_grad, cheap,
            divisor_samples)
BINARY_CAST(fmod, "a - trunc(a / b) b", WK_NUMBERS, WK_CAST_AS_IS, IN0 | IN1, 0, fmod_grad, cheap, divisor_samples)
BINARY_CAST(pow, "a^b", WK_NUMBERS, WK_CAST_F32, IN0 | IN1, 0, pow_grad, dear, positive_pairs)
WK__DEAR_BINARY(atan2, "angle of (b, a)", WK_CAST_WIDEST, IN0 | IN1, 0, atan2_grad, binary_samples)
WK__DEAR_BINARY(hypot, "√(a² + b²)", WK_CAST_AS_IS, IN0 | IN1, OUT0, hypot_grad, binary_samples)
WK__DEAR_BINARY(logaddexp, "log(e^a + e^b)", WK_CAST_AS_IS, IN0 | IN1, 0, logaddexp_grad, binary_samples)
WK__DEAR_BINARY(xlogy, "a log b", WK_CAST_AS_IS, IN0 | IN1, 0, xlogy_grad, xlogy_samples)
BINARY(copysign, "|a| with the sign of b", WK_FLOATS, IN0, OUT0, copysign_grad)
BINARY(heaviside, "0, b or 1 where a is below, at or above 0", WK_NUMBERS, 0, 0, flat_grad)
UNARY(square, "x²", WK_NUMBERS, IN0, 0, square_grad, cheap, unary_samples)
UNARY_CAST(reciprocal, "1 / x", WK_FLOATS, WK_CAST_F32, 0, OUT0, reciprocal_grad, cheap, unary_samples)
UNARY_CAST(rsqrt, "1 / √x", WK_FLOATS, WK_CAST_F32, 0, OUT0, rsqrt_grad, cheap, positive_samples)

static const wk_attr_def pow_scalar_attrs[] = { { "exponent", WK_ATTR_FLOAT, offsetof(wk_pow_scalar_opts, exponent), 0,
                                                  NULL, 0, "of the power" } };
static wk_op_def pow_scalar_row = { .name = "pow_scalar",
                                    .doc = "x^exponent",
                                    .n_in = 1,
                                    .n_out = 1,
                                    .elementwise = true,
                                    .saves_in = IN0,
                                    .attrs = pow_scalar_attrs,
                                    .n_attrs = 1,
                                    .attrs_size = sizeof(wk_pow_scalar_opts),
                                    .dtype = { .allowed = { WK_NUMBERS }, .autocast = WK_CAST_F32 },
                                    .shape = pow_scalar_shape,
                                    .grad = pow_scalar_grad,
                                    .cost = dear,
                                    .samples = pow_scalar_samples };
wk_tensor *wk_pow_scalar(wk_tensor *x, double exponent) {
    const wk_pow_scalar_opts opts = { exponent };
    return wk_op_run1(&pow_scalar_row, &opts, x);
}

static const wk_attr_def addcmul_attrs[] = { { "value", WK_ATTR_OPTIONAL, offsetof(wk_addcmul_opts, value), 0, NULL, 1,
                                               "factor" } };
#define THREE(id, text, dtypes, cast, keep_in, rule, attr_list, count, size, cases)                       \
    static wk_op_def id##_row = {                                                                         \
        .name = #id,                                                                                      \
        .doc = text,                                                                                      \
        .n_in = 3,                                                                                        \
        .n_out = 1,                                                                                       \
        .elementwise = true,                                                                              \
        .saves_in = keep_in,                                                                              \
        .attrs = attr_list,                                                                               \
        .n_attrs = count,                                                                                 \
        .attrs_size = size,                                                                               \
        .dtype = { .allowed = { dtypes, dtypes, dtypes }, .same = 7, .promote = true, .autocast = cast }, \
        .shape = like_operands,                                                                           \
        .grad = rule,                                                                                     \
        .cost = cheap,                                                                                    \
        .samples = cases                                                                                  \
    }
THREE(lerp, "a + weight (b - a)", WK_FLOATS, WK_CAST_AS_IS, 7, lerp_grad, NULL, 0, 0, lerp_samples);
THREE(addcmul, "x + value a b", WK_NUMBERS, WK_CAST_WIDEST, 6, addcmul_grad, addcmul_attrs, 1, sizeof(wk_addcmul_opts),
      addcmul_samples);
THREE(addcdiv, "x + value a / b", WK_FLOATS, WK_CAST_WIDEST, 6, addcdiv_grad, addcmul_attrs, 1, sizeof(wk_addcmul_opts),
      addcdiv_samples);
THREE(clamp_tensor, "x brought between two others", WK_NUMBERS, WK_CAST_AS_IS, 7, clamp_tensor_grad, NULL, 0, 0,
      clamp_tensor_samples);

wk_tensor *wk_lerp(wk_tensor *a, wk_tensor *b, wk_tensor *weight) {
    return wk_op_run3(&lerp_row, NULL, a, b, weight);
}
wk_tensor *wk_addcmul(wk_tensor *x, wk_tensor *a, wk_tensor *b, wk_addcmul_opts opts) {
    return wk_op_run3(&addcmul_row, &opts, x, a, b);
}
wk_tensor *wk_addcdiv(wk_tensor *x, wk_tensor *a, wk_tensor *b, wk_addcmul_opts opts) {
    return wk_op_run3(&addcdiv_row, &opts, x, a, b);
}
wk_tensor *wk_clamp_tensor(wk_tensor *x, wk_tensor *min, wk_tensor *max) {
    if (!x || (!min && !max)) return wk_op_run3(&clamp_tensor_row, NULL, x, min, max);
    if (!wk_dtype_is_float((wk_dtype)x->dtype)) { /* which have no infinity to stand for no bound */
        if (!min) return wk_minimum(x, max);
        if (!max) return wk_maximum(x, min);
    }
    if (!min) min = wk__number(x, -(double)INFINITY);
    if (!max) max = wk__number(x, (double)INFINITY);
    return wk_op_run3(&clamp_tensor_row, NULL, x, min, max);
}

static const wk_attr_def clamp_attrs[] = {
    { "min", WK_ATTR_OPTIONAL, offsetof(wk_clamp_opts, min), 0, NULL, 0, "least result" },
    { "max", WK_ATTR_OPTIONAL, offsetof(wk_clamp_opts, max), 0, NULL, 0, "largest result" },
};
UNARY_WITH(clamp, "x brought into [min, max]", WK_NUMBERS, wk_clamp_opts, WK_CAST_AS_IS, IN0, 0, clamp_grad, cheap,
           clamp_samples)
static const wk_attr_def nan_to_num_attrs[] = {
    { "nan", WK_ATTR_FLOAT, offsetof(wk_nan_to_num_opts, nan), 0, NULL, 0, "in the place of NaN" },
    { "posinf", WK_ATTR_OPTIONAL, offsetof(wk_nan_to_num_opts, posinf), 0, NULL, 0, "of infinity; the largest" },
    { "neginf", WK_ATTR_OPTIONAL, offsetof(wk_nan_to_num_opts, neginf), 0, NULL, 0, "of -infinity; the least" },
};
UNARY_WITH(nan_to_num, "numbers in the place of NaN and infinities", WK_NUMBERS, wk_nan_to_num_opts, WK_CAST_AS_IS, IN0,
           0, nan_to_num_grad, cheap, nan_to_num_samples)

wk_op_def *const wk__rows_arithmetic[] = {
    &floor_divide_row, &trunc_divide_row, &remainder_row,  &fmod_row,  &pow_row,     &pow_scalar_row,
    &square_row,       &reciprocal_row,   &rsqrt_row,      &atan2_row, &hypot_row,   &logaddexp_row,
    &xlogy_row,        &copysign_row,     &heaviside_row,  &lerp_row,  &addcmul_row, &addcdiv_row,
    &clamp_row,        &clamp_tensor_row, &nan_to_num_row, NULL,
};
