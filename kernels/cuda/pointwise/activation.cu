// activation.cu: activations and their gradients, one pass each: every operand is read once and the result written
// once; roof: memory bandwidth.  The exponential of a large argument is avoided by the forms that take exp(-|x|).
#include "cuda/pointwise/functor.h"
#include "cuda/pointwise/pointwise.h"

namespace {

template <class T> __device__ __forceinline__ T sigmoid(T x) {
    T e = exp(-fabs(x));
    return (x < 0 ? e : 1) / (1 + e);
}
#define NUMBER(i) ((real)p.number[i])

// ---- straight pieces

WK_F(sigmoid_of, WK_X, sigmoid(x))
WK_F(relu_of, WK_X, x < 0 ? 0 : x) // NaN is not below 0
WK_F(relu_backward_of, WK_AB, b > 0 ? a : 0)
WK_F(hardtanh_of, WK_X, x<NUMBER(0) ? NUMBER(0) : x> NUMBER(1) ? NUMBER(1) : x)
WK_F(leaky_relu_of, WK_X, x > 0 ? x : x * NUMBER(0))
WK_F(prelu_broadcast_of, WK_AB, a > 0 ? a : a * b)
WK_F(hardsigmoid_of, WK_X, x + 3 < 0 ? 0 : x + 3 > 6 ? 1 : (x + 3) / 6)
WK_F(hardswish_of, WK_X, x + 3 < 0 ? 0 * x : x + 3 > 6 ? x : x * ((x + 3) / 6))
WK_F(hardswish_backward_of, WK_AB, b <= -3 ? 0 : b < 3 ? a * (b / 3 + (real)0.5) : a)
WK_F(hardshrink_of, WK_X, x >= -NUMBER(0) && x <= NUMBER(0) ? 0 : x)
WK_F(softshrink_of, WK_X, x > NUMBER(0) ? x - NUMBER(0) : x < -NUMBER(0) ? x + NUMBER(0) : 0 * x)
WK_F(threshold_of, WK_X, x <= NUMBER(0) ? NUMBER(1) : x)
WK_F(softsign_of, WK_X, x / (1 + fabs(x)))
// dy times the slope of the piece that b lies in: number = low, high, below, between, above.
WK_F(piecewise_backward_of, WK_AB,
     a *(b<NUMBER(0) || (p.whole[0] && b == NUMBER(0)) ? NUMBER(2) : b> NUMBER(1) || (p.whole[0] && b == NUMBER(1))
             ? NUMBER(4)
             : NUMBER(3)))

// ---- curves

WK_F(silu_of, WK_X, x *sigmoid(x))
WK_F(gate_of, WK_AB, a *sigmoid(b))
WK_F(gate_backward_of, WK_ABC, a *b *sigmoid(c) * (1 - sigmoid(c)))
WK_F(silu_backward_of, WK_AB, a *sigmoid(b) * (1 + b * (1 - sigmoid(b))))

// 0.5 x (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
#define TWICE_U(x) ((real)1.5957691216057308 * ((x) + (real)0.044715 * (x) * (x) * (x)))
#define SLOPE_U(x) ((real)1.5957691216057308 * (1 + (real)0.134145 * (x) * (x)))
WK_F(gelu_tanh_of, WK_X, x == -(real)INFINITY ? 0 : x * sigmoid(TWICE_U(x)))
WK_F(gelu_tanh_backward_of, WK_AB, a *sigmoid(TWICE_U(b)) * (1 + b * (1 - sigmoid(TWICE_U(b))) * SLOPE_U(b)))
// x Φ(x), and Φ(x) + x φ(x)
#define CDF(x) ((real)0.5 * erfc((real)-0.70710678118654752 * (x)))
WK_F(gelu_of, WK_X, x == -(real)INFINITY ? 0 : x * CDF(x))
WK_F(gelu_backward_of, WK_AB, a *(CDF(b) + b * (real)0.39894228040143268 * exp((real)-0.5 * b * b)))

// tanh(softplus(x)) = n / (n + 2) with n = w (w + 2), w = e^x; beyond 20 it is 1 in f32 and f64.
template <class T> __device__ __forceinline__ T mish(T x) {
    T w = exp(x > 20 ? (T)20 : x), n = w * (w + 2);
    return x == -(T)INFINITY ? 0 : x * (n / (n + 2));
}
template <class T> __device__ __forceinline__ T mish_slope(T x) {
    T w = exp(x > 20 ? (T)20 : x), n = w * (w + 2), sech2 = 4 * (w + 1) * (w + 1) / ((n + 2) * (n + 2));
    return n / (n + 2) + (x > 20 ? 0 : x * sech2 * (w / (1 + w)));
}
WK_F(mish_of, WK_X, mish(x))
WK_F(mish_backward_of, WK_AB, a *mish_slope(b))

// scale · (x > 0 ? x : alpha · (e^(input_scale · x) - 1)); number = alpha, scale, input_scale
WK_F(elu_of, WK_X, NUMBER(1) * (x > 0 ? x : NUMBER(0) * expm1(x * NUMBER(2))))
WK_F(elu_backward_of, WK_AB, a *NUMBER(1) * (b > 0 ? 1 : (real)(p.number[0] * p.number[2]) * exp(NUMBER(2) * b)))

// max(z, 0) + log1p(e^-|z|) over beta, z = beta x; x itself beyond the threshold
WK_F(softplus_of, WK_X,
     x *NUMBER(0) > NUMBER(1)
         ? x
         : ((x * NUMBER(0) > 0 ? x * NUMBER(0) : 0) + log1p(exp(-fabs(x * NUMBER(0))))) / NUMBER(0))
WK_F(softplus_backward_of, WK_AB, a *(b *NUMBER(0) > NUMBER(1) ? 1 : sigmoid(b * NUMBER(0))))
WK_F(logsigmoid_of, WK_X, (x < 0 ? x : 0 * x) - log1p(exp(-fabs(x))))

// The product of the clamped d and what is left: one formula on both sides of the edge.  number = edge, factor
template <class T> __device__ __forceinline__ T rounded(T d, T edge) {
    T clamped = d < -edge ? -edge : d > edge ? edge : d;
    return clamped * (d - (T)0.5 * clamped);
}
WK_F(rounded_distance_of, WK_AB, NUMBER(1) * rounded(a - b, NUMBER(0)))

} // namespace

WK_CUDA_ACTIVATIONS(WK_CUDA_LAUNCHER)
