/* divide.h: numbers taken apart into places along axes.  A division of 64 bits costs a device ten times one of 32, and
 * what is divided nearly always fits: all threads of a warp go one way. */
#ifndef WICK_KERNELS_CUDA_DIVIDE_H
#define WICK_KERNELS_CUDA_DIVIDE_H

#include "cuda/device.h"

/* a / b and, in `rest`, a % b, of a ≥ 0 and b > 0. */
__device__ __forceinline__ int64_t wk_divide(int64_t a, int64_t b, int64_t *rest) {
    if (((uint64_t)a | (uint64_t)b) >> 32 == 0) {
        const uint32_t quotient = (uint32_t)a / (uint32_t)b;
        *rest = (uint32_t)a - quotient * (uint32_t)b;
        return quotient;
    }
    const int64_t quotient = a / b;
    *rest = a - quotient * b;
    return quotient;
}

/* The place along the innermost axis; what is left counts the others. */
__device__ __forceinline__ int64_t wk_place(int64_t *number, int64_t size) {
    int64_t place;
    *number = wk_divide(*number, size, &place);
    return place;
}

#endif
