/* convert.h: stored types and the types that are computed in: halves and f32 in float, f64 in double. */
#ifndef WICK_KERNELS_CUDA_CONVERT_H
#define WICK_KERNELS_CUDA_CONVERT_H

#include "cuda/device.h"
#include "wick/tensor.h"

template <class T> struct wk_computed { using type = float; };
template <> struct wk_computed<double> { using type = double; };
template <class T> using wk_real = typename wk_computed<T>::type;

__device__ __forceinline__ float wk_get(float x) {
    return x;
}
__device__ __forceinline__ double wk_get(double x) {
    return x;
}
__device__ __forceinline__ float wk_get(__nv_bfloat16 x) {
    return __bfloat162float(x);
}
__device__ __forceinline__ float wk_get(__half x) {
    return __half2float(x);
}

__device__ __forceinline__ void wk_put(float *to, float x) {
    *to = x;
}
__device__ __forceinline__ void wk_put(double *to, double x) {
    *to = x;
}
__device__ __forceinline__ void wk_put(__nv_bfloat16 *to, float x) {
    *to = __float2bfloat16_rn(x);
}
__device__ __forceinline__ void wk_put(__half *to, float x) {
    *to = __float2half_rn(x);
}

/* FUNCTION<T>(…) by dtype; every macro WK_CASES_OF_… is one or more cases of a switch over a dtype. */
/* clang-format off */
#define WK_CASES_OF_FLOATS(FUNCTION, ...)                      \
    case WK_F32: return FUNCTION<float>(__VA_ARGS__);          \
    case WK_F64: return FUNCTION<double>(__VA_ARGS__);         \
    case WK_BF16: return FUNCTION<__nv_bfloat16>(__VA_ARGS__); \
    case WK_F16: return FUNCTION<__half>(__VA_ARGS__)
/* clang-format on */

/* The same as a function's last statement; 1 (cudaErrorInvalidValue) for other dtypes. */
#define WK_FLOAT_CASES(dtype, FUNCTION, ...)       \
    switch (dtype) {                               \
        WK_CASES_OF_FLOATS(FUNCTION, __VA_ARGS__); \
    default: return 1;                             \
    }

#endif
