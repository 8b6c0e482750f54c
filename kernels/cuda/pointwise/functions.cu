// functions.cu: functions of one operand: elementary ones, roundings, bounds.  Each element is read and written once;
// roof: memory bandwidth (of f64: the arithmetic of the function).
#include "cuda/pointwise/functor.h"
#include "cuda/pointwise/pointwise.h"

namespace {

#define U(x) ((uint64_t)(x))
WK_N(neg_of, WK_X, -x, 0u - U(x))
WK_N(abs_of, WK_X, fabs(x), x < 0 ? 0u - U(x) : U(x))
WK_N(sign_of, WK_X, x > 0 ? 1 : x < 0 ? -1 : x, (x > 0) - (x < 0))
WK_F(affine_of, WK_X, x *(real)p.number[0] + (real)p.number[1])

#define WK_FUNCTION(name) WK_F(name##_of, WK_X, name(x))
WK_FUNCTION(exp)
WK_FUNCTION(log)
WK_FUNCTION(sqrt)
WK_FUNCTION(erf)
WK_FUNCTION(tanh)
WK_FUNCTION(exp2)
WK_FUNCTION(expm1)
WK_FUNCTION(log2)
WK_FUNCTION(log10)
WK_FUNCTION(log1p)
WK_FUNCTION(asin)
WK_FUNCTION(acos)
WK_FUNCTION(atan)
WK_FUNCTION(sinh)
WK_FUNCTION(cosh)
WK_FUNCTION(asinh)
WK_FUNCTION(acosh)
WK_FUNCTION(atanh)
WK_FUNCTION(erfc)

// Integers are whole already.
WK_N(floor_of, WK_X, floor(x), x)
WK_N(ceil_of, WK_X, ceil(x), x)
WK_N(round_of, WK_X, rint(x), x)
WK_N(trunc_of, WK_X, trunc(x), x)
WK_F(frac_of, WK_X, x - trunc(x))

// log(z / (1 - z)), z = x brought into [eps, 1 - eps] where that is asked for (eps ≥ 0).
template <class T> __device__ __forceinline__ T into(T x, T low, T high) {
    return x < low ? low : x > high ? high : x;
}
template <class T> __device__ __forceinline__ T odds(T z) {
    return z / (1 - z);
}
WK_F(logit_of, WK_X, log(p.whole[0] ? odds(into(x, (real)p.number[0], 1 - (real)p.number[0])) : odds(x)))

// NaN as a bound gives NaN.
template <class T> __device__ __forceinline__ T between(T x, const wk_numbers &p) {
    double low = p.number[0], high = p.number[1];
    if ((T)high < x || high != high) return (T)high;
    return x < (T)low || low != low ? (high < low ? (T)high : (T)low) : x;
}
__device__ __forceinline__ int64_t between(int64_t x, const wk_numbers &p) {
    int64_t low = p.whole[0], high = p.whole[1];
    return high < x ? high : x < low ? (high < low ? high : low) : x;
}
WK_N(clamp_of, WK_X, between(x, p), between(x, p))
WK_N(nan_to_num_of, WK_X,
     x != x                 ? (real)p.number[0]
     : x == (real)INFINITY  ? (real)p.number[1]
     : x == -(real)INFINITY ? (real)p.number[2]
                            : x,
     x)

} // namespace

WK_CUDA_FUNCTIONS(WK_CUDA_LAUNCHER)
