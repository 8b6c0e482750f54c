/* vector_math.h: elementary functions of f32 that the compiler can vectorise.
 *
 * A call into libm keeps a loop scalar (expf: 3 ns an element); these are straight-line code without branches or
 * tables, so a loop over them runs 16 lanes at a time under AVX-512.  Coefficients of exp, log, tanh, sin and cos are
 * those of Moshier's Cephes library (1984-1992); those of the error function were fitted here.
 *
 * Largest error found, against f64, over every 21st of the 2^32 arguments (sin and cos, |x| <= 8192: every 35th):
 *   exp 1.1 ulp   log 0.8   tanh 1.4   sigmoid 2.4   erf 1.3   sin 1.5   cos 1.5   normal_cdf 5.8 (x >= -12)
 * (without FMA: erf 1.8, normal_cdf 7.0).
 * Overflow, underflow, subnormals, infinities and NaN follow C's annex F.  f64 kernels call libm.
 */
#ifndef WICK_KERNELS_VECTOR_MATH_H
#define WICK_KERNELS_VECTOR_MATH_H

#include "cpu/simd/half.h"

#include <math.h>

/* Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits, on sets without a rounding instruction too. */
#define WK_ROUND_F32 0x1.8p23f
#define WK_ROUND_F64 0x1.8p52

/* exp(r) for |r| ≤ ln 2 / 2. */
static inline float wk_exp_near_zero(float r) {
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    return p * (r * r) + r + 1.0f;
}

/* exp(x + low) for a small correction `low`: the argument in more than f32's precision.
 * x = n ln 2 + r; exp = 2^n p(r).  2^n is applied as two factors, since n reaches past both ends of the exponent. */
static inline float wk_exp_sum(float x, float low) {
    float bounded = x < -104.0f ? -104.0f : x;
    bounded = bounded > 89.0f ? 89.0f : bounded;
    float shifted = bounded * 1.44269504f + WK_ROUND_F32, n = shifted - WK_ROUND_F32;
    float r = (bounded - n * 0x1.62ep-1f) - n * 0x1.0bfbe8p-15f + low;
    float p = wk_exp_near_zero(r);
    uint32_t exponent = wk_bits_of(shifted) - wk_bits_of(WK_ROUND_F32) + 256u;
    uint32_t half = (exponent >> 1) - 128u, rest = exponent - 256u - half;
    return p * wk_float_of((half + 127u) << 23) * wk_float_of((rest + 127u) << 23);
}

static inline float wk_exp_f32(float x) {
    return wk_exp_sum(x, 0.0f);
}

/* 2^64 exp(x + low) for x in [-104, 0] and a small correction `low`: one factor for the exponent, which then cannot
 * leave the type; the caller's other factor takes the 2^64 back. */
static inline float wk_exp_raised(float x, float low) {
    float shifted = x * 1.44269504f + WK_ROUND_F32, n = shifted - WK_ROUND_F32;
    float r = (x - n * 0x1.62ep-1f) - n * 0x1.0bfbe8p-15f + low;
    float p = wk_exp_near_zero(r);
    return p * wk_float_of((wk_bits_of(shifted) - wk_bits_of(WK_ROUND_F32) + 64u + 127u) << 23);
}

/* exp(x) for x <= 0, the same bits as wk_exp_f32 with two thirds of its instructions; rounding may have left x a little
 * above, not +inf. */
static inline float wk_exp_of_negative(float x) {
    return wk_exp_raised(x < -104.0f ? -104.0f : x, 0.0f) * 0x1p-64f;
}

/* x = 2^e m with m in [sqrt(1/2), sqrt(2)); log = e ln 2 + log(1 + (m - 1)). */
static inline float wk_log_f32(float x) {
    float scaled = x < 0x1p-126f ? x * 0x1p23f : x;
    uint32_t bits = wk_bits_of(scaled) - 0x3f3504f3u;
    float e = (float)((int32_t)bits >> 23) - (x < 0x1p-126f ? 23.0f : 0.0f);
    float f = wk_float_of((bits & 0x7fffffu) + 0x3f3504f3u) - 1.0f, square = f * f;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    float y = p * f * square - e * 2.12194440e-4f - 0.5f * square;
    y = (f + y) + e * 0.693359375f;
    y = x == INFINITY ? INFINITY : y;
    y = x == 0.0f ? -INFINITY : y;
    return x < 0.0f || x != x ? NAN : y;
}

/* Near 0 a polynomial, which keeps the relative error; elsewhere 1 - 2 e / (1 + e), e = exp(-2|x|). */
static inline float wk_tanh_f32(float x) {
    float size = fabsf(x), square = x * x;
    float p = -5.70498872745e-3f;
    p = p * square + 2.06390887954e-2f;
    p = p * square - 5.37397155531e-2f;
    p = p * square + 1.33314422036e-1f;
    p = p * square - 3.33332819422e-1f;
    float near = p * square * x + x;
    float e = wk_exp_of_negative(-2.0f * size), far = copysignf(1.0f - 2.0f * e / (1.0f + e), x);
    return size < 0.625f ? near : far;
}

/* exp of a negative number only: no overflow on either side. */
static inline float wk_sigmoid_f32(float x) {
    float e = wk_exp_of_negative(-fabsf(x));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

/* scale exp(z^2) erfc(z) for 0 <= z <= 14: a rational function without a negative coefficient, so that no digit cancels
 * (minimax on [0, 9.5]: 5e-9). */
static inline float wk_erfc_scaled_f32(float z, float scale) {
    float p = 0.03225242346525192f, q = 0.05716514214873314f;
    p = p * z + 0.22662030160427094f, q = q * z + 0.4017030894756317f;
    p = p * z + 0.7261443734169006f, q = q * z + 1.3151779174804688f;
    p = p * z + 1.2331870794296265f, q = q * z + 2.390878677368164f;
    p = p * z + 1.0f, q = q * z + 2.3615667819976807f;
    return p * scale / (q * z + 1.0f);
}

/* Near 0 a polynomial, which keeps the relative error; elsewhere 1 - erfc. */
static inline float wk_erf_f32(float x) {
    float size = fabsf(x), square = x * x, bounded = size > 10.0f ? 10.0f : size;
    float p = -0.0006549597601406276f; /* erf(x) / x - 1 */
    p = p * square + 0.005087439902126789f;
    p = p * square - 0.026822108775377274f;
    p = p * square + 0.11283142864704132f;
    p = p * square - 0.3761260509490967f;
    p = p * square + 0.12837916612625122f;
    float far = 1.0f - wk_erfc_scaled_f32(bounded, 0x1p-64f) * wk_exp_raised(-bounded * bounded, 0.0f);
    return size < 0.8f ? p * x + x : copysignf(far, x);
}

/* Phi(x), the normal distribution's integral: 1/2 erfc(|x| / sqrt(2)), mirrored for x > 0.  -x^2 / 2 is formed as the
 * exact square of x's upper half plus a correction, since a rounded square would cost 12 ulp at x = -7. */
static inline float wk_normal_cdf_f32(float x) {
    float size = fabsf(x), bounded = size > 14.4f ? 14.4f : size;
    float upper = wk_float_of(wk_bits_of(bounded) & 0xfffff000u), lower = bounded - upper;
    float tail = wk_erfc_scaled_f32(bounded * 0.70710678f, 0x1p-65f)
                 * wk_exp_raised(-0.5f * upper * upper, -0.5f * lower * (bounded + upper));
    return x > 0.0f ? 1.0f - tail : tail;
}

/* sin (quadrant 0) or cos (quadrant 1) for |x| <= WK_TRIGONOMETRY_LIMIT; callers send larger arguments to libm.  The
 * argument is reduced in f64 by a pi/2 of two parts: n times the
 * first is exact, so multiples of pi keep their relative error. */
#define WK_TRIGONOMETRY_LIMIT 8192.0f
static inline float wk_trigonometry_f32(float x, uint64_t quadrant) {
    double shifted = (double)x * 0x1.45f306dc9c883p-1 + WK_ROUND_F64, n = shifted - WK_ROUND_F64;
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    uint32_t turn = (uint32_t)(bits + quadrant);
    float r = (float)(((double)x - n * 0x1.921fb544p0) - n * 0x1.0b4611a626331p-34), square = r * r;
    float sine = ((-1.9515295891e-4f * square + 8.3321608736e-3f) * square - 1.6666654611e-1f) * square * r + r;
    float cosine =
        ((2.443315711809948e-5f * square - 1.388731625493765e-3f) * square + 4.166664568298827e-2f) * square * square
        - 0.5f * square + 1.0f;
    float value = turn & 1u ? cosine : sine;
    return wk_float_of(wk_bits_of(value) ^ ((turn & 2u) << 30));
}

#endif
