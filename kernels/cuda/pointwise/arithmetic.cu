// arithmetic.cu: sums, products, quotients with their roundings, powers, and what mixes two or three operands.  Each
// element of an operand is read once and of the result written once; roof: memory bandwidth.  Integers wrap around.
#include "cuda/pointwise/functor.h"
#include "cuda/pointwise/pointwise.h"

namespace {

#define U(x) ((uint64_t)(x))
WK_N(add_of, WK_AB, a + b, U(a) + U(b))
WK_N(sub_of, WK_AB, a - b, U(a) - U(b))
WK_N(mul_of, WK_AB, a *b, U(a) * U(b))
WK_F(div_of, WK_AB, a / b)
// NaN wins: a comparison with NaN is false, so a NaN in b is taken by itself and one in a is asked for.
WK_N(maximum_of, WK_AB, a > b || a != a ? a : b, a > b ? a : b)
WK_N(minimum_of, WK_AB, a < b || a != a ? a : b, a < b ? a : b)

// ---- quotients

__device__ __forceinline__ float modulo(float a, float b) {
    return fmodf(a, b);
}
__device__ __forceinline__ double modulo(double a, double b) {
    return fmod(a, b);
}
// The host refuses to divide an integer by zero; here nobody can wait to be told, so the quotient is -1 and the rest
// the number itself.  The smallest integer divided by -1 is itself.
__device__ __forceinline__ int64_t quotient(int64_t a, int64_t b) {
    return b == 0 ? -1 : b == -1 ? (int64_t)(0u - U(a)) : a / b;
}
__device__ __forceinline__ int64_t modulo(int64_t a, int64_t b) {
    return b == 0 ? a : b == -1 ? 0 : a % b;
}
template <class T> __device__ __forceinline__ bool other_sign(T rest, T b) {
    return rest != 0 && (rest < 0) != (b < 0);
}
template <class T> __device__ __forceinline__ T floored_rest(T a, T b) {
    T rest = modulo(a, b);
    return b != 0 && other_sign(rest, b) ? rest + b : rest;
}
// (a - rest) / b is a whole number up to rounding.
template <class T> __device__ __forceinline__ T floored(T a, T b) {
    T rest = modulo(a, b);
    return b == 0 ? a / b : rint((a - rest) / b - (other_sign(rest, b) ? 1 : 0));
}
__device__ __forceinline__ int64_t floored(int64_t a, int64_t b) {
    return quotient(a, b) - (b != 0 && other_sign(modulo(a, b), b) ? 1 : 0);
}
WK_N(floor_divide_of, WK_AB, floored(a, b), floored(a, b))
WK_N(trunc_divide_of, WK_AB, trunc(a / b), quotient(a, b))
WK_N(remainder_of, WK_AB, floored_rest(a, b), floored_rest(a, b))
WK_N(fmod_of, WK_AB, modulo(a, b), modulo(a, b))

// ---- powers

// By squaring, wrapping around; negative powers are 0 but for bases 1 and -1.
__device__ __forceinline__ int64_t power(int64_t base, int64_t exponent) {
    if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent & 1 ? -1 : 1) : 0;
    uint64_t result = 1, square = U(base);
    for (uint64_t rest = U(exponent); rest; rest >>= 1, square *= square)
        if (rest & 1) result *= square;
    return (int64_t)result;
}
__device__ __forceinline__ float power(float x, float exponent) {
    return powf(x, exponent);
}
__device__ __forceinline__ double power(double x, double exponent) {
    return pow(x, exponent);
}
// Whole exponents up to 64, by squaring in f64, which holds every power that f32 does: rounded once.
__device__ __forceinline__ double whole_power(double x, int exponent) {
    double result = 1;
    for (unsigned rest = (unsigned)(exponent < 0 ? -exponent : exponent); rest; rest >>= 1, x *= x)
        if (rest & 1) result *= x;
    return exponent < 0 ? 1 / result : result;
}
// The frequent exponents are cheaper than a power, and exact where a power is not.
template <class T> __device__ __forceinline__ T constant_power(T x, double exponent) {
    if (exponent == 2) return x * x;
    if (exponent == 3) return x * x * x;
    if (exponent == -1) return 1 / x;
    if (exponent == 0.5) return sqrt(x);
    if (exponent == -0.5) return 1 / sqrt(x);
    if (exponent == -2) return 1 / (x * x);
    if (sizeof(T) == 4 && fabs(exponent) <= 64 && exponent == floor(exponent))
        return (T)whole_power((double)x, (int)exponent);
    return power(x, (T)exponent);
}
WK_N(pow_of, WK_AB, power(a, b), power(a, b))
WK_N(pow_scalar_of, WK_X, constant_power(x, p.number[0]), power(x, p.whole[0]))
WK_N(square_of, WK_X, x *x, U(x) * U(x))
WK_F(reciprocal_of, WK_X, 1 / x)
WK_F(rsqrt_of, WK_X, 1 / sqrt(x))

// ---- two and three operands

WK_F(atan2_of, WK_AB, atan2(a, b))
WK_F(hypot_of, WK_AB, hypot(a, b))
WK_F(copysign_of, WK_AB, copysign(a, b))
WK_N(heaviside_of, WK_AB, a != a ? a : a == 0 ? b : a > 0 ? 1 : 0, a == 0 ? b : a > 0)
// max + log1p(exp(-|a - b|)); equal infinities have no difference.
WK_F(logaddexp_of, WK_AB, (a > b || a != a ? a : b) + log1p(exp(a == b ? (real)0 : -fabs(a - b))))
WK_F(xlogy_of, WK_AB, a == 0 && b == b ? 0 : a * log(b))
// From the nearer end, so that weight 1 gives b exactly.
WK_F(lerp_of, WK_ABC, fabs(c) < (real)0.5 ? a + c * (b - a) : b - (b - a) * (1 - c))
WK_N(addcmul_of, WK_ABC, a + (real)p.number[0] * b * c, U(a) + U((int64_t)p.number[0]) * U(b) * U(c))
WK_F(addcdiv_of, WK_ABC, a + (real)p.number[0] * (b / c))
// NaN in any operand gives NaN; where the bounds cross, the upper one wins.
template <class T> __device__ __forceinline__ T above(T a, T b) {
    return a < b || b != b ? b : a;
}
template <class T> __device__ __forceinline__ T below(T a, T c) {
    return a > c || c != c ? c : a;
}
WK_N(clamp_tensor_of, WK_ABC, below(above(a, b), c), below(above(a, b), c))

} // namespace

WK_CUDA_ARITHMETIC(WK_CUDA_LAUNCHER)
