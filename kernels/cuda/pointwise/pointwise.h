/* pointwise.h: the rows of this folder, each once: its launcher, name, operands, the set that its .cu file serves, and
 * how its attributes become numbers (a function of pointwise.c; `plain`: it has none).  The .cu files make the
 * launchers of their list, pointwise.c the kernels and the table. */
#ifndef WICK_KERNELS_CUDA_POINTWISE_H
#define WICK_KERNELS_CUDA_POINTWISE_H

#include "cuda/pointwise/map.h"

/* clang-format off */
#define WK_CUDA_ARITHMETIC(X) \
    X(add, "add", 2, numbers, plain) X(sub, "sub", 2, numbers, plain) X(mul, "mul", 2, numbers, plain) \
    X(div, "div", 2, floats, plain) \
    X(maximum, "maximum", 2, numbers, plain) X(minimum, "minimum", 2, numbers, plain) \
    X(floor_divide, "floor_divide", 2, numbers, plain) X(trunc_divide, "trunc_divide", 2, numbers, plain) \
    X(remainder, "remainder", 2, numbers, plain) X(fmod, "fmod", 2, numbers, plain) \
    X(pow, "pow", 2, numbers, plain) X(pow_scalar, "pow_scalar", 1, numbers, exponent) \
    X(square, "square", 1, numbers, plain) X(reciprocal, "reciprocal", 1, floats, plain) \
    X(rsqrt, "rsqrt", 1, floats, plain) X(atan2, "atan2", 2, floats, plain) X(hypot, "hypot", 2, floats, plain) \
    X(copysign, "copysign", 2, floats, plain) X(heaviside, "heaviside", 2, numbers, plain) \
    X(logaddexp, "logaddexp", 2, floats, plain) X(xlogy, "xlogy", 2, floats, plain) X(lerp, "lerp", 3, floats, plain) \
    X(addcmul, "addcmul", 3, numbers, factor) X(addcdiv, "addcdiv", 3, floats, factor) \
    X(clamp_tensor, "clamp_tensor", 3, numbers, plain)
#define WK_CUDA_FUNCTIONS(X) \
    X(neg, "neg", 1, numbers, plain) X(abs, "abs", 1, numbers, plain) X(sign, "sign", 1, numbers, plain) \
    X(affine, "affine", 1, floats, scale_and_shift) \
    X(exp, "exp", 1, floats, plain) X(log, "log", 1, floats, plain) X(sqrt, "sqrt", 1, floats, plain) \
      X(erf, "erf", 1, floats, plain) \
    X(tanh, "tanh", 1, floats, plain) X(exp2, "exp2", 1, floats, plain) X(expm1, "expm1", 1, floats, plain) \
    X(log2, "log2", 1, floats, plain) X(log10, "log10", 1, floats, plain) X(log1p, "log1p", 1, floats, plain) \
     X(asin, "asin", 1, floats, plain) X(acos, "acos", 1, floats, plain) \
    X(atan, "atan", 1, floats, plain) X(sinh, "sinh", 1, floats, plain) X(cosh, "cosh", 1, floats, plain) \
    X(asinh, "asinh", 1, floats, plain) X(acosh, "acosh", 1, floats, plain) X(atanh, "atanh", 1, floats, plain) \
    X(erfc, "erfc", 1, floats, plain) \
    X(floor, "floor", 1, numbers, plain) X(ceil, "ceil", 1, numbers, plain) X(round, "round", 1, numbers, plain) \
    X(trunc, "trunc", 1, numbers, plain) X(frac, "frac", 1, floats, plain) X(logit, "logit", 1, floats, margin) \
    X(clamp, "clamp", 1, numbers, bounds) X(nan_to_num, "nan_to_num", 1, numbers, replacements)
#define WK_CUDA_TRIGONOMETRY(X) \
    X(sin, "sin", 1, floats, plain) X(cos, "cos", 1, floats, plain) X(tan, "tan", 1, floats, plain)
#define WK_CUDA_SPECIAL(X) \
    X(erfinv, "erfinv", 1, floats, plain) X(lgamma, "lgamma", 1, floats, plain) \
    X(digamma, "digamma", 1, floats, plain) X(polygamma, "polygamma", 1, floats, derivative)
#define WK_CUDA_ACTIVATIONS(X) \
    X(sigmoid, "sigmoid", 1, floats, plain) X(relu, "relu", 1, floats, plain) \
    X(relu_backward, "relu_backward", 2, floats, plain) X(hardtanh, "hardtanh", 1, floats, edges) \
    X(leaky_relu, "leaky_relu", 1, floats, slope) X(prelu_broadcast, "prelu_broadcast", 2, floats, plain) \
    X(hardsigmoid, "hardsigmoid", 1, floats, plain) X(hardswish, "hardswish", 1, floats, plain) \
    X(hardswish_backward, "hardswish_backward", 2, floats, plain) X(hardshrink, "hardshrink", 1, floats, shrink) \
    X(softshrink, "softshrink", 1, floats, shrink) X(threshold, "threshold", 1, floats, step) \
    X(softsign, "softsign", 1, floats, plain) X(piecewise_backward, "piecewise_backward", 2, floats, pieces) \
    X(silu, "silu", 1, floats, plain) X(silu_backward, "silu_backward", 2, floats, plain) \
    X(gate, "gate", 2, floats, plain) X(gate_backward, "gate_backward", 3, floats, plain) \
    X(mish, "mish", 1, floats, plain) X(mish_backward, "mish_backward", 2, floats, plain) \
    X(elu_backward, "elu_backward", 2, floats, unit) X(softplus, "softplus", 1, floats, soft) \
    X(softplus_backward, "softplus_backward", 2, floats, soft) X(logsigmoid, "logsigmoid", 1, floats, plain) \
    X(rounded_distance, "rounded_distance", 2, floats, edge_and_factor) \
    WK_CUDA_CHOSEN_ACTIVATIONS(X)
/* Launchers whose kernels choose between them, or share one. */
#define WK_CUDA_CHOSEN_ACTIVATIONS(X) \
    X(gelu, "gelu", 1, floats, plain) X(gelu_backward, "gelu_backward", 2, floats, plain) \
    X(gelu_tanh, "gelu", 1, floats, plain) X(gelu_tanh_backward, "gelu_backward", 2, floats, plain) \
    X(elu, "elu", 1, floats, unit)
#define WK_CUDA_LOGIC(X) \
    X(eq, "eq", 2, truths, plain) X(ne, "ne", 2, truths, plain) X(lt, "lt", 2, truths, plain) \
    X(le, "le", 2, truths, plain) X(gt, "gt", 2, truths, plain) X(ge, "ge", 2, truths, plain) \
    X(logical_and, "logical_and", 2, truths, plain) X(logical_or, "logical_or", 2, truths, plain) \
    X(logical_xor, "logical_xor", 2, truths, plain) X(logical_not, "logical_not", 1, truths, plain) \
    X(isnan, "isnan", 1, truths, plain) X(isinf, "isinf", 1, truths, plain) X(isfinite, "isfinite", 1, truths, plain) \
    X(isclose, "isclose", 2, truths, tolerances) \
    X(bitwise_and, "bitwise_and", 2, bits, plain) X(bitwise_or, "bitwise_or", 2, bits, plain) \
    X(bitwise_xor, "bitwise_xor", 2, bits, plain) X(bitwise_not, "bitwise_not", 1, integers, plain) \
    X(left_shift, "left_shift", 2, integers, width) X(right_shift, "right_shift", 2, integers, width)
/* clang-format on */

#ifdef __cplusplus
extern "C" {
#endif
#define WK_CUDA_DECLARE_MAP(name, row, inputs, set, fill) int wk__cuda_map_##name(const wk_cuda_map *map);
WK_CUDA_ARITHMETIC(WK_CUDA_DECLARE_MAP)
WK_CUDA_FUNCTIONS(WK_CUDA_DECLARE_MAP)
WK_CUDA_TRIGONOMETRY(WK_CUDA_DECLARE_MAP)
WK_CUDA_SPECIAL(WK_CUDA_DECLARE_MAP)
WK_CUDA_ACTIVATIONS(WK_CUDA_DECLARE_MAP)
WK_CUDA_LOGIC(WK_CUDA_DECLARE_MAP)
#undef WK_CUDA_DECLARE_MAP
#ifdef __cplusplus
}
#endif

#endif
