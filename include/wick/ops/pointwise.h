/* wick/ops/pointwise.h: element by element: arithmetic, functions, comparisons, logic, choices, conversion.  See
 * wick/ops.h.
 *
 * A number as an operand is a tensor without axes: wk_sub(wk_scalar(WK_F32, 2), x).  As in PyTorch such a tensor does
 * not raise the dtype of operands that have axes, unless it is a float and they are not: with x in bf16 the result is
 * bf16. Cheaper where they fit: wk_affine (a x + b), wk_reciprocal, wk_pow_scalar.
 *
 * Functions take floats unless said otherwise.  Errors of functions: dtype not accepted, shapes that do not broadcast.
 */
#ifndef WICK_OPS_POINTWISE_H
#define WICK_OPS_POINTWISE_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- arithmetic ---- */

static inline wk_tensor *wk_scalar(wk_dtype dtype, double value) {
    return wk_full(dtype, WK_SCALAR, value);
}

WK_API wk_tensor *wk_add(wk_tensor *a, wk_tensor *b); /* numbers */
WK_API wk_tensor *wk_sub(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_mul(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_div(wk_tensor *a, wk_tensor *b); /* floats */
/* Quotients rounded down and towards 0, and their rests: remainder has the sign of b (Python), fmod that of a (C).
 * Numbers; an integer divided by 0 is an error.  torch.floor_divide, torch.div(rounding_mode="trunc"), torch.remainder,
 * torch.fmod. */
WK_API wk_tensor *wk_floor_divide(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_trunc_divide(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_remainder(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_fmod(wk_tensor *a, wk_tensor *b);
/* a^b.  Integers to integer powers stay integers and wrap around; negative ones give 0 but for the bases 1 and -1. */
WK_API wk_tensor *wk_pow(wk_tensor *a, wk_tensor *b);
typedef struct wk_pow_scalar_opts {
    double exponent;
} wk_pow_scalar_opts;
/* x^exponent; for integers a whole exponent of at least 0. */
WK_API wk_tensor *wk_pow_scalar(wk_tensor *x, double exponent);
WK_API wk_tensor *wk_square(wk_tensor *x);                  /* numbers */
WK_API wk_tensor *wk_reciprocal(wk_tensor *x);              /* 1 / x */
WK_API wk_tensor *wk_rsqrt(wk_tensor *x);                   /* 1 / √x */
WK_API wk_tensor *wk_hypot(wk_tensor *a, wk_tensor *b);     /* √(a² + b²) without overflow on the way */
WK_API wk_tensor *wk_logaddexp(wk_tensor *a, wk_tensor *b); /* log(e^a + e^b) */
WK_API wk_tensor *wk_xlogy(wk_tensor *a, wk_tensor *b);     /* a log b; 0 where a is 0 and b is no NaN */

/* y = scale · x + shift */
typedef struct wk_affine_opts {
    double scale, shift;
} wk_affine_opts;
WK_API wk_tensor *wk_affine(wk_tensor *x, wk_affine_opts opts);
static inline wk_tensor *wk_scale(wk_tensor *x, double scale) {
    wk_affine_opts opts = { scale, 0 };
    return wk_affine(x, opts);
}
/* a + weight (b − a); all three broadcast. */
WK_API wk_tensor *wk_lerp(wk_tensor *a, wk_tensor *b, wk_tensor *weight);
typedef struct wk_addcmul_opts {
    wk_optional value; /* default 1; cut off to a whole number for integers */
} wk_addcmul_opts;
/* x + value · a · b (numbers), x + value · a / b; all three broadcast. */
WK_API wk_tensor *wk_addcmul(wk_tensor *x, wk_tensor *a, wk_tensor *b, wk_addcmul_opts opts);
WK_API wk_tensor *wk_addcdiv(wk_tensor *x, wk_tensor *a, wk_tensor *b, wk_addcmul_opts opts);

/* ---- functions of one operand ---- */

WK_API wk_tensor *wk_neg(wk_tensor *x);  /* signed numbers */
WK_API wk_tensor *wk_abs(wk_tensor *x);  /* numbers */
WK_API wk_tensor *wk_sign(wk_tensor *x); /* numbers */
WK_API wk_tensor *wk_exp(wk_tensor *x);
WK_API wk_tensor *wk_exp2(wk_tensor *x);
WK_API wk_tensor *wk_expm1(wk_tensor *x);
WK_API wk_tensor *wk_log(wk_tensor *x);
WK_API wk_tensor *wk_log2(wk_tensor *x);
WK_API wk_tensor *wk_log10(wk_tensor *x);
WK_API wk_tensor *wk_log1p(wk_tensor *x);
WK_API wk_tensor *wk_sqrt(wk_tensor *x);
WK_API wk_tensor *wk_sin(wk_tensor *x);
WK_API wk_tensor *wk_cos(wk_tensor *x);
WK_API wk_tensor *wk_tan(wk_tensor *x);
WK_API wk_tensor *wk_asin(wk_tensor *x);
WK_API wk_tensor *wk_acos(wk_tensor *x);
WK_API wk_tensor *wk_atan(wk_tensor *x);
WK_API wk_tensor *wk_atan2(wk_tensor *a, wk_tensor *b); /* the angle of the point (b, a) */
WK_API wk_tensor *wk_sinh(wk_tensor *x);
WK_API wk_tensor *wk_cosh(wk_tensor *x);
WK_API wk_tensor *wk_tanh(wk_tensor *x);
WK_API wk_tensor *wk_asinh(wk_tensor *x);
WK_API wk_tensor *wk_acosh(wk_tensor *x);
WK_API wk_tensor *wk_atanh(wk_tensor *x);
WK_API wk_tensor *wk_erf(wk_tensor *x);
WK_API wk_tensor *wk_erfc(wk_tensor *x);
WK_API wk_tensor *wk_erfinv(wk_tensor *x);
WK_API wk_tensor *wk_lgamma(wk_tensor *x);  /* log |Γ(x)| */
WK_API wk_tensor *wk_digamma(wk_tensor *x); /* its derivative */
typedef struct wk_polygamma_opts {
    int64_t order; /* at least 0, which is digamma */
} wk_polygamma_opts;
/* The derivative of that order of digamma. */
WK_API wk_tensor *wk_polygamma(wk_tensor *x, int64_t order);
typedef struct wk_logit_opts {
    wk_optional eps; /* x is first brought into [eps, 1 − eps]; not set: NaN outside of [0, 1] */
} wk_logit_opts;
/* log(x / (1 − x)) */
WK_API wk_tensor *wk_logit(wk_tensor *x, wk_logit_opts opts);
WK_API wk_tensor *wk_floor(wk_tensor *x); /* numbers, as the next three */
WK_API wk_tensor *wk_ceil(wk_tensor *x);
WK_API wk_tensor *wk_round(wk_tensor *x); /* halves to the even neighbour */
WK_API wk_tensor *wk_trunc(wk_tensor *x);
WK_API wk_tensor *wk_frac(wk_tensor *x); /* x − trunc(x) */

/* ---- comparisons and choices ---- */

WK_API wk_tensor *wk_maximum(wk_tensor *a, wk_tensor *b); /* NaN wins; equal operands share the gradient */
WK_API wk_tensor *wk_minimum(wk_tensor *a, wk_tensor *b);
typedef struct wk_clamp_opts {
    wk_optional min, max; /* not set: no bound; where they cross, max wins */
} wk_clamp_opts;
/* Numbers.  The gradient passes where min < x < max. */
WK_API wk_tensor *wk_clamp(wk_tensor *x, wk_clamp_opts opts);
/* The same with tensors as bounds, all broadcast; one of them may be NULL.  On a bound, x and bound share the gradient.
 */
WK_API wk_tensor *wk_clamp_tensor(wk_tensor *x, wk_tensor *min, wk_tensor *max);
typedef struct wk_nan_to_num_opts {
    double nan;                 /* what NaN becomes */
    wk_optional posinf, neginf; /* what infinities become; default the dtype's largest and least */
} wk_nan_to_num_opts;
WK_API wk_tensor *wk_nan_to_num(wk_tensor *x, wk_nan_to_num_opts opts); /* numbers */
WK_API wk_tensor *wk_copysign(wk_tensor *a, wk_tensor *b);              /* |a| with the sign of b */
WK_API wk_tensor *wk_heaviside(wk_tensor *x, wk_tensor *values); /* 0, values or 1 where x is below, at or above 0 */

/* Comparisons give bool. */
WK_API wk_tensor *wk_eq(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_ne(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_lt(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_le(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_gt(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_ge(wk_tensor *a, wk_tensor *b);
typedef struct wk_isclose_opts {
    wk_optional rtol, atol; /* default 1e-5 and 1e-8 */
    bool equal_nan;         /* NaN is close to NaN */
} wk_isclose_opts;
/* |a − b| ≤ atol + rtol |b|, or equal. */
WK_API wk_tensor *wk_isclose(wk_tensor *a, wk_tensor *b, wk_isclose_opts opts);
WK_API wk_tensor *wk_isnan(wk_tensor *x);
WK_API wk_tensor *wk_isinf(wk_tensor *x);
WK_API wk_tensor *wk_isfinite(wk_tensor *x);

/* Of any dtype, what is not 0 being true; they give bool. */
WK_API wk_tensor *wk_logical_and(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_logical_or(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_logical_xor(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_logical_not(wk_tensor *x);
/* Of integers and bool, bit by bit. */
WK_API wk_tensor *wk_bitwise_and(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_bitwise_or(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_bitwise_xor(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_bitwise_not(wk_tensor *x);
/* Of integers.  Shifting by less than 0 or by all bits leaves 0, or -1 of a negative number shifted right. */
WK_API wk_tensor *wk_left_shift(wk_tensor *a, wk_tensor *b);
WK_API wk_tensor *wk_right_shift(wk_tensor *a, wk_tensor *b);

/* condition (bool) ? a : b, all broadcast */
WK_API wk_tensor *wk_where(wk_tensor *condition, wk_tensor *a, wk_tensor *b);

typedef struct wk_cast_opts {
    wk_dtype dtype;
} wk_cast_opts;
/* Round to nearest even between floats, truncate towards zero to integers, non-zero is true.  Out-of-range values to
 * integers saturate; NaN becomes 0.  The same dtype gives the tensor itself. */
WK_API wk_tensor *wk_cast(wk_tensor *x, wk_dtype dtype);

#ifndef WK_NO_CALL_SITES
#    define wk_add(...)          (WK_HERE, wk_add(__VA_ARGS__))
#    define wk_sub(...)          (WK_HERE, wk_sub(__VA_ARGS__))
#    define wk_mul(...)          (WK_HERE, wk_mul(__VA_ARGS__))
#    define wk_div(...)          (WK_HERE, wk_div(__VA_ARGS__))
#    define wk_floor_divide(...) (WK_HERE, wk_floor_divide(__VA_ARGS__))
#    define wk_trunc_divide(...) (WK_HERE, wk_trunc_divide(__VA_ARGS__))
#    define wk_remainder(...)    (WK_HERE, wk_remainder(__VA_ARGS__))
#    define wk_fmod(...)         (WK_HERE, wk_fmod(__VA_ARGS__))
#    define wk_pow(...)          (WK_HERE, wk_pow(__VA_ARGS__))
#    define wk_pow_scalar(...)   (WK_HERE, wk_pow_scalar(__VA_ARGS__))
#    define wk_square(...)       (WK_HERE, wk_square(__VA_ARGS__))
#    define wk_reciprocal(...)   (WK_HERE, wk_reciprocal(__VA_ARGS__))
#    define wk_rsqrt(...)        (WK_HERE, wk_rsqrt(__VA_ARGS__))
#    define wk_hypot(...)        (WK_HERE, wk_hypot(__VA_ARGS__))
#    define wk_logaddexp(...)    (WK_HERE, wk_logaddexp(__VA_ARGS__))
#    define wk_xlogy(...)        (WK_HERE, wk_xlogy(__VA_ARGS__))
#    define wk_affine(...)       (WK_HERE, wk_affine(__VA_ARGS__))
#    define wk_scale(...)        (WK_HERE, wk_scale(__VA_ARGS__))
#    define wk_lerp(...)         (WK_HERE, wk_lerp(__VA_ARGS__))
#    define wk_addcmul(...)      (WK_HERE, wk_addcmul(__VA_ARGS__))
#    define wk_addcdiv(...)      (WK_HERE, wk_addcdiv(__VA_ARGS__))
#    define wk_neg(...)          (WK_HERE, wk_neg(__VA_ARGS__))
#    define wk_abs(...)          (WK_HERE, wk_abs(__VA_ARGS__))
#    define wk_sign(...)         (WK_HERE, wk_sign(__VA_ARGS__))
#    define wk_exp(...)          (WK_HERE, wk_exp(__VA_ARGS__))
#    define wk_exp2(...)         (WK_HERE, wk_exp2(__VA_ARGS__))
#    define wk_expm1(...)        (WK_HERE, wk_expm1(__VA_ARGS__))
#    define wk_log(...)          (WK_HERE, wk_log(__VA_ARGS__))
#    define wk_log2(...)         (WK_HERE, wk_log2(__VA_ARGS__))
#    define wk_log10(...)        (WK_HERE, wk_log10(__VA_ARGS__))
#    define wk_log1p(...)        (WK_HERE, wk_log1p(__VA_ARGS__))
#    define wk_sqrt(...)         (WK_HERE, wk_sqrt(__VA_ARGS__))
#    define wk_sin(...)          (WK_HERE, wk_sin(__VA_ARGS__))
#    define wk_cos(...)          (WK_HERE, wk_cos(__VA_ARGS__))
#    define wk_tan(...)          (WK_HERE, wk_tan(__VA_ARGS__))
#    define wk_asin(...)         (WK_HERE, wk_asin(__VA_ARGS__))
#    define wk_acos(...)         (WK_HERE, wk_acos(__VA_ARGS__))
#    define wk_atan(...)         (WK_HERE, wk_atan(__VA_ARGS__))
#    define wk_atan2(...)        (WK_HERE, wk_atan2(__VA_ARGS__))
#    define wk_sinh(...)         (WK_HERE, wk_sinh(__VA_ARGS__))
#    define wk_cosh(...)         (WK_HERE, wk_cosh(__VA_ARGS__))
#    define wk_tanh(...)         (WK_HERE, wk_tanh(__VA_ARGS__))
#    define wk_asinh(...)        (WK_HERE, wk_asinh(__VA_ARGS__))
#    define wk_acosh(...)        (WK_HERE, wk_acosh(__VA_ARGS__))
#    define wk_atanh(...)        (WK_HERE, wk_atanh(__VA_ARGS__))
#    define wk_erf(...)          (WK_HERE, wk_erf(__VA_ARGS__))
#    define wk_erfc(...)         (WK_HERE, wk_erfc(__VA_ARGS__))
#    define wk_erfinv(...)       (WK_HERE, wk_erfinv(__VA_ARGS__))
#    define wk_lgamma(...)       (WK_HERE, wk_lgamma(__VA_ARGS__))
#    define wk_digamma(...)      (WK_HERE, wk_digamma(__VA_ARGS__))
#    define wk_polygamma(...)    (WK_HERE, wk_polygamma(__VA_ARGS__))
#    define wk_logit(...)        (WK_HERE, wk_logit(__VA_ARGS__))
#    define wk_floor(...)        (WK_HERE, wk_floor(__VA_ARGS__))
#    define wk_ceil(...)         (WK_HERE, wk_ceil(__VA_ARGS__))
#    define wk_round(...)        (WK_HERE, wk_round(__VA_ARGS__))
#    define wk_trunc(...)        (WK_HERE, wk_trunc(__VA_ARGS__))
#    define wk_frac(...)         (WK_HERE, wk_frac(__VA_ARGS__))
#    define wk_maximum(...)      (WK_HERE, wk_maximum(__VA_ARGS__))
#    define wk_minimum(...)      (WK_HERE, wk_minimum(__VA_ARGS__))
#    define wk_clamp(...)        (WK_HERE, wk_clamp(__VA_ARGS__))
#    define wk_clamp_tensor(...) (WK_HERE, wk_clamp_tensor(__VA_ARGS__))
#    define wk_nan_to_num(...)   (WK_HERE, wk_nan_to_num(__VA_ARGS__))
#    define wk_copysign(...)     (WK_HERE, wk_copysign(__VA_ARGS__))
#    define wk_heaviside(...)    (WK_HERE, wk_heaviside(__VA_ARGS__))
#    define wk_eq(...)           (WK_HERE, wk_eq(__VA_ARGS__))
#    define wk_ne(...)           (WK_HERE, wk_ne(__VA_ARGS__))
#    define wk_lt(...)           (WK_HERE, wk_lt(__VA_ARGS__))
#    define wk_le(...)           (WK_HERE, wk_le(__VA_ARGS__))
#    define wk_gt(...)           (WK_HERE, wk_gt(__VA_ARGS__))
#    define wk_ge(...)           (WK_HERE, wk_ge(__VA_ARGS__))
#    define wk_isclose(...)      (WK_HERE, wk_isclose(__VA_ARGS__))
#    define wk_isnan(...)        (WK_HERE, wk_isnan(__VA_ARGS__))
#    define wk_isinf(...)        (WK_HERE, wk_isinf(__VA_ARGS__))
#    define wk_isfinite(...)     (WK_HERE, wk_isfinite(__VA_ARGS__))
#    define wk_logical_and(...)  (WK_HERE, wk_logical_and(__VA_ARGS__))
#    define wk_logical_or(...)   (WK_HERE, wk_logical_or(__VA_ARGS__))
#    define wk_logical_xor(...)  (WK_HERE, wk_logical_xor(__VA_ARGS__))
#    define wk_logical_not(...)  (WK_HERE, wk_logical_not(__VA_ARGS__))
#    define wk_bitwise_and(...)  (WK_HERE, wk_bitwise_and(__VA_ARGS__))
#    define wk_bitwise_or(...)   (WK_HERE, wk_bitwise_or(__VA_ARGS__))
#    define wk_bitwise_xor(...)  (WK_HERE, wk_bitwise_xor(__VA_ARGS__))
#    define wk_bitwise_not(...)  (WK_HERE, wk_bitwise_not(__VA_ARGS__))
#    define wk_left_shift(...)   (WK_HERE, wk_left_shift(__VA_ARGS__))
#    define wk_right_shift(...)  (WK_HERE, wk_right_shift(__VA_ARGS__))
#    define wk_where(...)        (WK_HERE, wk_where(__VA_ARGS__))
#    define wk_cast(...)         (WK_HERE, wk_cast(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
