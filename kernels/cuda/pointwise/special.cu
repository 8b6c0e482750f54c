// special.cu: the inverse error function, the gamma function's logarithm and that one's derivatives.
//
// All compute in f64, by the formulas of kernels/cpu/simd/pointwise/special.c, where their errors are given.  Each
// element is read and written once; roof: f64 arithmetic.
#include "cuda/pointwise/functor.h"
#include "cuda/pointwise/pointwise.h"

namespace {

constexpr double pi = 3.14159265358979323846;

// ---- erfinv

// p(w) x with w = -log(1 - x²): Giles, "Approximating the erfinv function" (2011), for single precision.
__device__ __forceinline__ double giles(double w, double x) {
    if (w < 5) {
        w -= 2.5;
        return x
               * ((((((((2.81022636e-08 * w + 3.43273939e-07) * w - 3.5233877e-06) * w - 4.39150654e-06) * w
                      + 0.00021858087)
                         * w
                     - 0.00125372503)
                        * w
                    - 0.00417768164)
                       * w
                   + 0.246640727)
                      * w
                  + 1.50140941);
    }
    w = sqrt(w) - 3;
    return x
           * ((((((((-0.000200214257 * w + 0.000100950558) * w + 0.00134934322) * w - 0.00367342844) * w
                  + 0.00573950773)
                     * w
                 - 0.0076224613)
                    * w
                + 0.00943887047)
                   * w
               + 1.00167406)
                  * w
              + 2.83297682);
}

// From that on, or from erfc(y) ≈ e^-y² / (y √π) far out, three of Halley's steps on erfc(|y|) = 1 - |x|, or on
// erf(|y|) = |x| below 1/2, where the difference from 1 would have lost the digits.
__device__ double inverse_erf(double x) {
    const double size = fabs(x);
    if (!(size < 1)) return size == 1 ? x * INFINITY : NAN;
    const double w = -log((1 - size) * (1 + size));
    double y = w < 16 ? giles(w, size) : sqrt(w - 0.5 * log(pi * w) + 0.69314718055994531);
    for (int step = 0; step < 3; step++) {
        const double left = size < 0.5 ? erf(y) - size : 1 - size - erfc(y);
        const double error = left / (1.1283791670955126 * exp(-y * y));
        y -= error / (1 + y * error);
    }
    return copysign(y, x);
}

// ---- gamma

// ψ(z) = log z - 1/(2 z) - 1/(12 z²) + …, arguments below 1/2 mirrored: ψ(x) = ψ(1 - x) - π / tan πx, those below 8
// carried 8 further.  Whole numbers below 0 have none.
__device__ double digamma(double x) {
    if (x == 0) return copysign((double)INFINITY, -x);
    if (isinf(x)) return x > 0 ? x : NAN;
    if (x < 0 && x == rint(x)) return NAN;
    const double mirrored = x < 0.5 ? 1 - x : x, z = mirrored < 8 ? mirrored + 8 : mirrored, u = 1 / (z * z);
    const double series =
        ((((((u / 12 - 691.0 / 32760) * u + 1.0 / 132) * u - 1.0 / 240) * u + 1.0 / 252) * u - 1.0 / 120) * u
         + 1.0 / 12)
        * u;
    double steps = 0;
    for (int k = 0; k < 8 && mirrored < 8; k++) steps += 1 / (mirrored + k);
    const double value = log(z) - 0.5 / z - series - steps;
    return x < 0.5 ? value - pi * cospi(x - rint(x)) / sinpi(x - rint(x)) : value;
}

__device__ double inverse_power(double x, int s) {
    double result = 1, square = 1 / x;
    for (int rest = s; rest; rest >>= 1, square *= square)
        if (rest & 1) result *= square;
    return result;
}

// Hurwitz' ζ(s, q) = Σ (q + k)^-s for s ≥ 2, q > 0: the terms below 16, then Euler and Maclaurin's formula.
__device__ double hurwitz_zeta(double q, int s) {
    // (2j)! / B(2j)
    constexpr double terms[] = { 12,
                                 -720,
                                 30240,
                                 -1209600,
                                 47900160,
                                 -1.8924375803183791606e9,
                                 7.47242496e10,
                                 -2.950130727918164224e12,
                                 1.1646782814350067249e14,
                                 -4.5979787224074726105e15 };
    double sum = 0;
    for (int k = 0; k < 16; k++) {
        if (q >= 16) break;
        sum += inverse_power(q, s);
        q += 1;
    }
    const double r = 1 / q, power = inverse_power(q, s);
    double next = power * r, factor = s;
    sum += power * q / (s - 1) + 0.5 * power;
    WK_UNROLL
    for (int j = 0; j < 10; j++) {
        sum += factor / terms[j] * next;
        factor *= (double)(s + 2 * j + 1) * (s + 2 * j + 2);
        next *= r * r;
    }
    return sum;
}

// For x ≤ 0 the terms on both sides of 0 are two sums over positive numbers.
__device__ double mirrored_zeta(double x, int s) {
    const double steps = -floor(x), part = x + steps;
    return hurwitz_zeta(part, s) + (s & 1 ? -1 : 1) * (hurwitz_zeta(1 - part, s) - hurwitz_zeta(steps + 1 - part, s));
}

// ψ⁽ⁿ⁾(x) = (-1)^(n+1) n! ζ(n + 1, x); number = the factor, whole = n
__device__ double polygamma(double x, const wk_numbers &p) {
    const int order = (int)p.whole[0];
    if (order == 0) return digamma(x);
    if (x > 0) return isinf(x) ? 0 * p.number[0] : p.number[0] * hurwitz_zeta(x, order + 1);
    if (x != x || isinf(x)) return NAN;
    return p.number[0] * (x == floor(x) ? INFINITY : mirrored_zeta(x, order + 1));
}

WK_HEAVY(erfinv_of, WK_X, inverse_erf((double)x))
WK_HEAVY(lgamma_of, WK_X, lgamma((double)x))
WK_HEAVY(digamma_of, WK_X, digamma((double)x))
WK_HEAVY(polygamma_of, WK_X, polygamma((double)x, p))

} // namespace

WK_CUDA_SPECIAL(WK_CUDA_LAUNCHER)
