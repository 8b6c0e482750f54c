/* together.h: numbers of the threads that share a line made one, the same in all of them and in every run. */
#ifndef WICK_KERNELS_CUDA_TOGETHER_H
#define WICK_KERNELS_CUDA_TOGETHER_H

#include "cuda/device.h"

/* Largest value, or sum, of a warp (threads = 32) or of a block of 256, all of whose threads call it. */
template <bool LARGEST> __device__ __forceinline__ double wk_together(double value, int threads) {
    for (int by = 16; by > 0; by /= 2) {
        double other = __shfl_xor_sync(0xFFFFFFFFu, value, by);
        value = !LARGEST ? value + other : value > other || value != value ? value : other;
    }
    if (threads == 32) return value;
    WK_SHARED(double, warps, [8]);
    __syncthreads();
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
    __syncthreads();
    value = warps[0];
    for (int w = 1; w < 8; w++) {
        double other = warps[w];
        value = !LARGEST ? value + other : value > other || value != value ? value : other;
    }
    return value;
}

#endif
