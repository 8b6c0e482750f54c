/* elements.h: what kernels that go element by element have in common: numbers of every dtype and the type that they are
 * computed in (float for the halves and f32, double, int64_t for integers), and where element i of a walk stands. */
#ifndef WICK_KERNELS_CUDA_ELEMENTS_H
#define WICK_KERNELS_CUDA_ELEMENTS_H

#include "cuda/convert.h"
#include "walk.h"

template <> struct wk_computed<int64_t> { using type = int64_t; };
template <> struct wk_computed<int32_t> { using type = int64_t; };
template <> struct wk_computed<int16_t> { using type = int64_t; };
template <> struct wk_computed<int8_t> { using type = int64_t; };
template <> struct wk_computed<uint8_t> { using type = int64_t; };

#define WK_INTEGER_ELEMENT(T)                                  \
    __device__ __forceinline__ int64_t wk_get(T x) {           \
        return x;                                              \
    }                                                          \
    __device__ __forceinline__ void wk_put(T *to, int64_t x) { \
        *to = (T)x;                                            \
    }
WK_INTEGER_ELEMENT(int64_t)
WK_INTEGER_ELEMENT(int32_t)
WK_INTEGER_ELEMENT(int16_t)
WK_INTEGER_ELEMENT(int8_t)
WK_INTEGER_ELEMENT(uint8_t)
#undef WK_INTEGER_ELEMENT

/* Beside WK_CASES_OF_FLOATS. */
/* clang-format off */
#define WK_CASES_OF_INTEGERS(FUNCTION, ...)             \
    case WK_I64: return FUNCTION<int64_t>(__VA_ARGS__); \
    case WK_I32: return FUNCTION<int32_t>(__VA_ARGS__); \
    case WK_I16: return FUNCTION<int16_t>(__VA_ARGS__); \
    case WK_I8: return FUNCTION<int8_t>(__VA_ARGS__);   \
    case WK_U8: return FUNCTION<uint8_t>(__VA_ARGS__)
/* clang-format on */

/* Offsets of element i in row-major order of the walk, for its first K operands. */
template <int K> __device__ __forceinline__ void wk_walk_offsets(const wk_walk &walk, int64_t i, int64_t *offset) {
    for (int k = 0; k < K; k++) offset[k] = 0;
    if (walk.count <= 0x7FFFFFFF) { /* 64-bit division costs ten times as much */
        uint32_t rest = (uint32_t)i;
        WK_NO_UNROLL
        for (int d = walk.rank - 1; d >= 0; d--) {
            uint32_t size = (uint32_t)walk.shape[d], next = d ? rest / size : 0, at = rest - next * size;
            for (int k = 0; k < K; k++) offset[k] += at * walk.stride[k][d];
            rest = next;
        }
        return;
    }
    WK_NO_UNROLL
    for (int d = walk.rank - 1; d >= 0; d--) {
        int64_t next = d ? i / walk.shape[d] : 0, at = i - next * walk.shape[d];
        for (int k = 0; k < K; k++) offset[k] += at * walk.stride[k][d];
        i = next;
    }
}

/* Blocks of 256 threads for a loop over the grid: enough to fill the largest device several times, no more than there
 * is work for. */
static inline unsigned wk_blocks_for(int64_t threads) {
    int64_t blocks = (threads + 255) / 256;
    return (unsigned)(blocks < 1 ? 1 : blocks > 4096 ? 4096 : blocks);
}

#endif
