// cast.cu: from any dtype to any; choices between two operands; copies of any layout.
//
// A float becomes an integer by truncation, the nearest bound beyond the range, and 0 for NaN; what is not 0 is true
// (NaN is).  An f64 is rounded once on its way to a half.  Every element is read and written once, neighbouring threads
// writing neighbouring elements; roof: memory bandwidth.
#include "cuda/elements.h"
#include "cuda/pointwise/cast.h"

#include <math.h>

namespace {

// A truth value, apart from u8.
struct truth {
    uint8_t value;
};

// ---- one element

__device__ __forceinline__ float read(float x) {
    return x;
}
__device__ __forceinline__ double read(double x) {
    return x;
}
__device__ __forceinline__ float read(__nv_bfloat16 x) {
    return wk_get(x);
}
__device__ __forceinline__ float read(__half x) {
    return wk_get(x);
}
__device__ __forceinline__ int64_t read(truth x) {
    return x.value != 0;
}
template <class T> __device__ __forceinline__ int64_t read(T x) {
    return x;
}

// f64 to f32 keeping what a second rounding needs: towards zero, lowest bit set if anything was cut off.
__device__ __forceinline__ float sticky(double x) {
    float nearest = (float)x;
    if ((double)nearest == x || x != x) return nearest;
    uint32_t bits = __float_as_uint(nearest);
    if (fabs((double)nearest) > fabs(x)) bits -= 1;
    return __uint_as_float(bits | 1u);
}
__device__ __forceinline__ float sticky(float x) {
    return x;
}
__device__ __forceinline__ float sticky(int64_t x) {
    return (float)x;
}

template <class T> struct limits {
    static constexpr bool has_sign = (T)-1 < (T)0;
    static constexpr int64_t most = (int64_t)(~0ull >> (64 - 8 * sizeof(T) + has_sign)),
                             least = has_sign ? -most - 1 : 0;
};

template <class T, class R> __device__ __forceinline__ void write(T *to, R x) {
    if constexpr (sizeof(R) == 8 && (R)0.5 == 0) { // of an integer
        *to = (T)(x > limits<T>::most ? limits<T>::most : x < limits<T>::least ? limits<T>::least : x);
    } else {
        double v = (double)x;
        *to = v >= (double)limits<T>::most + (sizeof(T) < 8) ? (T)limits<T>::most
              : v <= (double)limits<T>::least                ? (T)limits<T>::least
              : v == v                                       ? (T)v
                                                             : (T)0;
    }
}
template <class R> __device__ __forceinline__ void write(float *to, R x) {
    *to = (float)x;
}
template <class R> __device__ __forceinline__ void write(double *to, R x) {
    *to = (double)x;
}
template <class R> __device__ __forceinline__ void write(__nv_bfloat16 *to, R x) {
    *to = __float2bfloat16_rn(sticky(x));
}
template <class R> __device__ __forceinline__ void write(__half *to, R x) {
    *to = __float2half_rn(sticky(x));
}
template <class R> __device__ __forceinline__ void write(truth *to, R x) {
    to->value = x != 0;
}

// ---- kernels

template <class In, class Out> __global__ void __launch_bounds__(256) cast(Out *out, const In *x, wk_walk walk) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < walk.count; i += threads) {
        int64_t at[2];
        wk_walk_offsets<2>(walk, i, at);
        write(out + at[0], read(x[at[1]]));
    }
}

template <class T>
__global__ void __launch_bounds__(256)
    where(T *out, const uint8_t *condition, const T *a, const T *b, wk_walk walk) {
    const int64_t threads = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < walk.count; i += threads) {
        int64_t at[4];
        wk_walk_offsets<4>(walk, i, at);
        out[at[0]] = condition[at[1]] ? a[at[2]] : b[at[3]];
    }
}

template <class In> struct from {
    template <class Out> static int to(void *out, const void *x, const wk_walk *walk, void *stream) {
        return WK_LAUNCH((cast<In, Out>), wk_blocks_for(walk->count), 256, 0, stream, static_cast<Out *>(out),
                         static_cast<const In *>(x), *walk);
    }
};

template <class In> int cast_from(void *out, int out_dtype, const void *x, const wk_walk *walk, void *stream) {
    switch (out_dtype) {
        WK_CASES_OF_FLOATS(from<In>::template to, out, x, walk, stream);
        WK_CASES_OF_INTEGERS(from<In>::template to, out, x, walk, stream);
    case WK_BOOL: return from<In>::template to<truth>(out, x, walk, stream);
    default: return (int)cudaErrorInvalidValue;
    }
}

template <class T>
int launch_where(void *out, const unsigned char *condition, const void *a, const void *b, const wk_walk *walk,
                 void *stream) {
    return WK_LAUNCH((where<T>), wk_blocks_for(walk->count), 256, 0, stream, static_cast<T *>(out), condition,
                     static_cast<const T *>(a), static_cast<const T *>(b), *walk);
}

} // namespace

extern "C" int wk__cuda_cast(void *out, int out_dtype, const void *x, int x_dtype, const wk_walk *walk,
                             void *stream) {
    switch (x_dtype) {
        WK_CASES_OF_FLOATS(cast_from, out, out_dtype, x, walk, stream);
        WK_CASES_OF_INTEGERS(cast_from, out, out_dtype, x, walk, stream);
    case WK_BOOL: return cast_from<truth>(out, out_dtype, x, walk, stream);
    default: return (int)cudaErrorInvalidValue;
    }
}

extern "C" int wk__cuda_where(void *out, const unsigned char *condition, const void *a, const void *b, int size,
                              const wk_walk *walk, void *stream) {
    switch (size) {
    case 1: return launch_where<uint8_t>(out, condition, a, b, walk, stream);
    case 2: return launch_where<uint16_t>(out, condition, a, b, walk, stream);
    case 4: return launch_where<uint32_t>(out, condition, a, b, walk, stream);
    default: return launch_where<uint64_t>(out, condition, a, b, walk, stream);
    }
}
