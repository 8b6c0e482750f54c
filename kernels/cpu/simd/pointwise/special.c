/* special.c: the inverse error function, the gamma function's logarithm and that one's derivatives.
 *
 * All but erfinv of f32 compute in f64.  Largest errors found against 120 bits (mpmath), 12,000 to 60,000 arguments
 * each, half of them spread over the orders of magnitude: erfinv f32 3.3 ulp, f64 2.4; lgamma and digamma f32 0.5;
 * relative to the larger of |result| and 1, digamma f64 1.4e-15 (arguments from -20 to 60) and lgamma f64, which is
 * libm's, 4e-16.
 */
#include "cpu/simd/pointwise/rows.h"

static const double pi = 3.14159265358979323846;

/* ---- erfinv ---- */

/* p(w) x with w = -log(1 - x²): Giles, "Approximating the erfinv function" (2011), for single precision. */
#define GILES(real, w_, x) \
    ((x) * ((w_) < 5 ? NEAR(real, (w_) - (real)2.5) : TAIL(real, sqrt((w_) < 5 ? (real)5 : (w_)) - (real)3)))
#define NEAR(real, w)                                                                              \
    ((((((((((real)2.81022636e-08 * (w) + (real)3.43273939e-07) * (w) - (real)3.5233877e-06) * (w) \
           - (real)4.39150654e-06)                                                                 \
              * (w)                                                                                \
          + (real)0.00021858087)                                                                   \
             * (w)                                                                                 \
         - (real)0.00125372503)                                                                    \
            * (w)                                                                                  \
        - (real)0.00417768164)                                                                     \
           * (w)                                                                                   \
       + (real)0.246640727)                                                                        \
          * (w)                                                                                    \
      + (real)1.50140941))
#define TAIL(real, w)                                                                               \
    ((((((((((real)-0.000200214257 * (w) + (real)0.000100950558) * (w) + (real)0.00134934322) * (w) \
           - (real)0.00367342844)                                                                   \
              * (w)                                                                                 \
          + (real)0.00573950773)                                                                    \
             * (w)                                                                                  \
         - (real)0.0076224613)                                                                      \
            * (w)                                                                                   \
        + (real)0.00943887047)                                                                      \
           * (w)                                                                                    \
       + (real)1.00167406)                                                                          \
          * (w)                                                                                     \
      + (real)2.83297682))

static void erfinv_f32(void *restrict out_, const void *const *in, int64_t n, const void *params) {
    float *restrict out = out_;
    const float *restrict x = in[0];
    (void)params;
    for (int64_t i = 0; i < n; i++) {
        float w = -wk_log_f32((1 - x[i]) * (1 + x[i]));
        float y = GILES(float, w, x[i]);
        out[i] = fabsf(x[i]) == 1 ? x[i] * INFINITY : fabsf(x[i]) < 1 ? y : NAN;
    }
}

/* From that on, or from erfc(y) ≈ e^-y² / (y √π) far out, three of Halley's steps on erfc(|y|) = 1 - |x|, or on
 * erf(|y|) = |x| below 1/2, where the difference from 1 would have lost the digits. */
static void erfinv_chunk(double *y, const double *x, int64_t n) {
    double far[WK_CHUNK], near[WK_CHUNK], slope[WK_CHUNK], w[WK_CHUNK];
    for (int64_t i = 0; i < n; i++) w[i] = (1 - fabs(x[i])) * (1 + fabs(x[i]));
    wk_log_f64s(w, w, n);
    for (int64_t i = 0; i < n; i++) w[i] = -w[i], far[i] = pi * (w[i] > 16 ? w[i] : 16);
    wk_log_f64s(far, far, n);
    for (int64_t i = 0; i < n; i++)
        y[i] = w[i] < 16 ? GILES(double, w[i], fabs(x[i])) : sqrt(w[i] - 0.5 * far[i] + 0.69314718055994531);
    for (int step = 0; step < 3; step++) {
        for (int64_t i = 0; i < n; i++) slope[i] = -y[i] * y[i];
        wk_exp_f64s(slope, slope, n);
        wk_erfc_f64s(far, y, n);
        wk_erf_f64s(near, y, n);
        for (int64_t i = 0; i < n; i++) {
            double left = fabs(x[i]) < 0.5 ? near[i] - fabs(x[i]) : 1 - fabs(x[i]) - far[i];
            double error = left / (1.1283791670955126 * slope[i]);
            y[i] -= error / (1 + y[i] * error);
        }
    }
    for (int64_t i = 0; i < n; i++)
        y[i] = fabs(x[i]) == 1 ? x[i] * (double)INFINITY : fabs(x[i]) < 1 ? copysign(y[i], x[i]) : (double)NAN;
}

/* ---- gamma ---- */

/* Arguments below 1/2 are mirrored to 1 - x; those below 8 are carried 8 further. */
static inline double mirrored(double x) {
    return x < 0.5 ? 1 - x : x;
}
static inline double carried(double x) {
    return mirrored(x) < 8 ? mirrored(x) + 8 : mirrored(x);
}
static inline double product_of_steps(double r) {
    return r < 8 ? r * (r + 1) * (r + 2) * (r + 3) * ((r + 4) * (r + 5)) * ((r + 6) * (r + 7)) : 1;
}
static inline double sum_of_steps(double r) {
    double sum =
        1 / r + 1 / (r + 1) + 1 / (r + 2) + 1 / (r + 3) + 1 / (r + 4) + 1 / (r + 5) + 1 / (r + 6) + 1 / (r + 7);
    return r < 8 ? sum : 0;
}

/* Stirling's series: log Γ(z) = (z - 1/2)(log z - 1) - 1/2 + log(2π) / 2 + 1/(12 z) - …; and
 * log Γ(x) = log(π / |sin πx|) - log Γ(1 - x). */
static void lgamma_chunk(double *y, const double *x, int64_t n) {
    double z[WK_CHUNK], steps[WK_CHUNK], sine[WK_CHUNK];
    for (int64_t i = 0; i < n; i++) {
        z[i] = carried(x[i]);
        steps[i] = product_of_steps(mirrored(x[i]));
        sine[i] = pi * (x[i] - rint(x[i]));
    }
    wk_log_f64s(y, z, n);
    wk_log_f64s(steps, steps, n);
    wk_sin_f64s(sine, sine, n);
    for (int64_t i = 0; i < n; i++) sine[i] = pi / fabs(sine[i]);
    wk_log_f64s(sine, sine, n);
    for (int64_t i = 0; i < n; i++) {
        double u = 1 / (z[i] * z[i]);
        double series =
            ((((((u / 156 - 691.0 / 360360) * u + 1.0 / 1188) * u - 1.0 / 1680) * u + 1.0 / 1260) * u - 1.0 / 360) * u
             + 1.0 / 12)
            / z[i];
        double value = (z[i] - 0.5) * (y[i] - 1) + (0.41893853320467274 + series) - steps[i];
        value = x[i] < 0.5 ? sine[i] - value : value;
        y[i] = isinf(x[i]) ? (double)INFINITY : value;
    }
}

/* ψ(z) = log z - 1/(2 z) - 1/(12 z²) + …;  ψ(x) = ψ(1 - x) - π / tan πx.  Whole numbers below 0 have none. */
static void digamma_chunk(double *y, const double *x, int64_t n) {
    double z[WK_CHUNK], tangent[WK_CHUNK];
    for (int64_t i = 0; i < n; i++) {
        z[i] = carried(x[i]);
        tangent[i] = pi * (x[i] - rint(x[i]));
    }
    wk_log_f64s(y, z, n);
    wk_tan_f64s(tangent, tangent, n);
    for (int64_t i = 0; i < n; i++) {
        double u = 1 / (z[i] * z[i]);
        double series =
            ((((((u / 12 - 691.0 / 32760) * u + 1.0 / 132) * u - 1.0 / 240) * u + 1.0 / 252) * u - 1.0 / 120) * u
             + 1.0 / 12)
            * u;
        double value = y[i] - 0.5 / z[i] - series - sum_of_steps(mirrored(x[i]));
        value = x[i] < 0.5 ? value - pi / tangent[i] : value;
        value = x[i] < 0 && x[i] == rint(x[i]) ? (double)NAN : value;
        y[i] = x[i] == 0 ? copysign((double)INFINITY, -x[i]) : isinf(x[i]) && x[i] > 0 ? x[i] : value;
    }
}

static double log_gamma(double x) {
    int sign; /* lgamma would write a global */
    return lgamma_r(x, &sign);
}

/* out = x^-s for s ≥ 1; x is lost. */
static void inverse_powers(double *restrict out, double *restrict x, int s, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = 1 / x[i], out[i] = 1;
    for (int rest = s; rest; rest >>= 1) {
        if (rest & 1)
            for (int64_t i = 0; i < n; i++) out[i] *= x[i];
        for (int64_t i = 0; i < n; i++) x[i] *= x[i];
    }
}

/* Σ (a + k)^-s over `steps` terms below `steps`, for s of 2 to 4, into out; a moves to where the sum ends. */
static inline void sum_of_powers(double *restrict out, double *restrict a, int s, int steps, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double at = a[i], sum = 0;
        for (int k = 0; k < steps; k++) {
            double r = 1 / at, square = r * r;
            sum += at >= steps ? 0 : s == 2 ? square : s == 3 ? square * r : square * square;
            at += at < steps ? 1 : 0;
        }
        a[i] = at, out[i] = sum;
    }
}

/* Hurwitz' ζ(s, q) = Σ (q + k)^-s for s ≥ 2, q > 0 and n ≤ WK_CHUNK: the terms below 16 (9 to 12, where s is small),
 * then Euler and Maclaurin's formula. */
static void hurwitz_zeta(double *restrict out, const double *restrict q, int s, int64_t n) {
    /* (2j)! / B(2j) */
    static const double terms[] = { 12,
                                    -720,
                                    30240,
                                    -1209600,
                                    47900160,
                                    -1.8924375803183791606e9,
                                    7.47242496e10,
                                    -2.950130727918164224e12,
                                    1.1646782814350067249e14,
                                    -4.5979787224074726105e15 };
    double a[WK_CHUNK], lost[WK_CHUNK], power[WK_CHUNK], factors[10], factor = s;
    for (int j = 0; j < 10; j++) {
        factors[j] = factor / terms[j];
        factor *= (double)(s + 2 * j + 1) * (s + 2 * j + 2);
    }
    for (int64_t i = 0; i < n; i++) a[i] = q[i], out[i] = 0;
    switch (s) {
    case 2: sum_of_powers(out, a, 2, 9, n); break;
    case 3: sum_of_powers(out, a, 3, 10, n); break;
    case 4: sum_of_powers(out, a, 4, 12, n); break;
    default: break;
    }
    for (int k = 0; k < 16 && s > 4; k++) {
        memcpy(lost, a, (size_t)n * sizeof *a);
        inverse_powers(power, lost, s, n);
        for (int64_t i = 0; i < n; i++) {
            out[i] += a[i] < 16 ? power[i] : 0;
            a[i] += a[i] < 16 ? 1 : 0;
        }
    }
    memcpy(lost, a, (size_t)n * sizeof *a);
    inverse_powers(power, lost, s, n);
    for (int64_t i = 0; i < n; i++) {
        double r = 1 / a[i], sum = power[i] * a[i] / (s - 1) + 0.5 * power[i], next = power[i] * r;
        for (int j = 0; j < 10; j++, next *= r * r) sum += factors[j] * next;
        out[i] += sum;
    }
}

/* For x ≤ 0 the terms on both sides of 0 are two sums over positive numbers. */
static double mirrored_zeta(double x, int s) {
    double steps = -floor(x), part = x + steps, q[3] = { part, 1 - part, steps + 1 - part }, zeta[3];
    hurwitz_zeta(zeta, q, s, 3);
    return zeta[0] + (s & 1 ? -1 : 1) * (zeta[1] - zeta[2]);
}

/* ψ⁽ⁿ⁾(x) = (-1)^(n+1) n! ζ(n + 1, x) */
static void polygamma_chunk(double *y, const double *x, int order, int64_t n) {
    double scale = (order & 1 ? 1 : -1) * tgamma(order + 1.0);
    hurwitz_zeta(y, x, order + 1, n);
    for (int64_t i = 0; i < n; i++) {
        if (!(x[i] > 0))
            y[i] = x[i] != x[i] || isinf(x[i]) ? (double)NAN
                   : x[i] == floor(x[i])       ? (double)INFINITY
                                               : mirrored_zeta(x[i], order + 1);
        else if (isinf(x[i]))
            y[i] = 0;
        y[i] *= scale;
    }
}
static void polygamma_f64(void *restrict out, const void *const *in, int64_t n, const void *params) {
    for (int64_t at = 0; at < n; at += WK_CHUNK)
        polygamma_chunk((double *)out + at, (const double *)in[0] + at, (int)((const wk_polygamma_opts *)params)->order,
                        n - at < WK_CHUNK ? n - at : WK_CHUNK);
}
static void polygamma_f32(void *restrict out_, const void *const *in, int64_t n, const void *params) {
    float *restrict out = out_;
    const float *restrict x = in[0];
    double wide[WK_CHUNK], result[WK_CHUNK];
    for (int64_t at = 0; at < n; at += WK_CHUNK) {
        int64_t part = n - at < WK_CHUNK ? n - at : WK_CHUNK;
        for (int64_t i = 0; i < part; i++) wide[i] = (double)x[at + i];
        polygamma_chunk(result, wide, (int)((const wk_polygamma_opts *)params)->order, part);
        for (int64_t i = 0; i < part; i++) out[at + i] = (float)result[i];
    }
}

/* ---- rows ---- */

/* f32 through chunks of f64. */
#define CHUNK_ROWS(name, chunk)                                                                           \
    static void name##_f64(void *restrict out, const void *const *in, int64_t n, const void *params) {    \
        (void)params;                                                                                     \
        for (int64_t at = 0; at < n; at += WK_CHUNK)                                                      \
            chunk((double *)out + at, (const double *)in[0] + at, n - at < WK_CHUNK ? n - at : WK_CHUNK); \
    }
#define WIDE_ROWS(name, chunk)                                                                          \
    static void name##_f32(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        float *restrict out = out_;                                                                     \
        const float *restrict x = in[0];                                                                \
        double wide[WK_CHUNK], result[WK_CHUNK];                                                        \
        (void)params;                                                                                   \
        for (int64_t at = 0; at < n; at += WK_CHUNK) {                                                  \
            int64_t part = n - at < WK_CHUNK ? n - at : WK_CHUNK;                                       \
            for (int64_t i = 0; i < part; i++) wide[i] = (double)x[at + i];                             \
            chunk(result, wide, part);                                                                  \
            for (int64_t i = 0; i < part; i++) out[at + i] = (float)result[i];                          \
        }                                                                                               \
    }
CHUNK_ROWS(erfinv, erfinv_chunk)
WIDE_ROWS(log_gamma, lgamma_chunk)
WK_ROW_1(log_gamma_f64, wk_none, double, double, log_gamma(x))
CHUNK_ROWS(digamma, digamma_chunk)
WIDE_ROWS(digamma, digamma_chunk)

#define TABLE(name)                                                             \
    static const wk_row name##_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(name) }; \
    WK_MAP_KERNEL(name, 1)
TABLE(erfinv)
TABLE(digamma)

static const wk_row lgamma_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(log_gamma) };
static wk_status log_gamma_kernel(wk_kernel_ctx *ctx, const wk_call *call) {
    return wk_map(ctx, call, 1, lgamma_rows[call->in[0]->dtype], NULL);
}

static const wk_row polygamma_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(polygamma) };
static wk_status polygamma(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_polygamma_opts *opts = call->attrs;
    const wk_row *rows = opts->order == 0 ? digamma_rows : polygamma_rows;
    return wk_map(ctx, call, 1, rows[call->in[0]->dtype], opts);
}

WK_CPU_TABLE(special) = {
    { "erfinv", WK_FLOATS, erfinv },
    { "lgamma", WK_FLOATS, log_gamma_kernel },
    { "digamma", WK_FLOATS, digamma },
    { "polygamma", WK_FLOATS, polygamma },
    { 0 },
};
