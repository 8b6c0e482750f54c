/* together.h: numbers of the threads that share a line made one, the same in all of them and in every run. */
#ifndef WICK_KERNELS_CUDA_TOGETHER_H
#define WICK_KERNELS_CUDA_TOGETHER_H

#include "cuda/device.h"

/* Largest value, or sum; NaN is the largest. */
template <bool LARGEST, class R> __device__ __forceinline__ R wk_joined(R value, R other) {
    return !LARGEST ? value + other : value > other || value != value ? value : other;
}

/* Of a warp, all of whose threads call it. */
template <bool LARGEST, class R> __device__ __forceinline__ R wk_warp_together(R value) {
    for (int by = 16; by > 0; by /= 2) value = wk_joined<LARGEST>(value, __shfl_xor_sync(0xFFFFFFFFu, value, by));
    return value;
}

/* Of a warp (threads = 32) or of a block of 256, all of whose threads call it. */
template <bool LARGEST, class R> __device__ __forceinline__ R wk_together(R value, int threads) {
    value = wk_warp_together<LARGEST>(value);
    if (threads == 32) return value;
    WK_SHARED(R, warps, [8]);
    __syncthreads();
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
    __syncthreads();
    value = warps[0];
    for (int w = 1; w < 8; w++) value = wk_joined<LARGEST>(value, warps[w]);
    return value;
}

/* Of the eight warps of a block of 256, each lane for itself: 32 lines side by side.  All threads call it. */
template <bool LARGEST, class R> __device__ __forceinline__ R wk_across_together(R value) {
    WK_SHARED(R, parts, [8][32]);
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    __syncthreads();
    parts[warp][lane] = value;
    __syncthreads();
    value = parts[0][lane];
    for (int w = 1; w < 8; w++) value = wk_joined<LARGEST>(value, parts[w][lane]);
    return value;
}

/* Who works on which line, in blocks of 256: `threads` of them share it, this one begins at element `lane`.  ACROSS:
 * not elements but lines are dense, a block takes 32 of them, and its warps share their elements out. */
template <bool ACROSS> struct wk_share {
    int64_t line, lane;
    int threads;

    __device__ __forceinline__ explicit wk_share(int of) {
        const int64_t thread = (int64_t)blockIdx.x * 256 + threadIdx.x;
        threads = ACROSS ? 8 : of;
        line = ACROSS ? (int64_t)blockIdx.x * 32 + threadIdx.x % 32 : thread / threads;
        lane = ACROSS ? (int)threadIdx.x / 32 : (int)threadIdx.x % threads;
    }
    template <bool LARGEST, class R> __device__ __forceinline__ R together(R value) const {
        return ACROSS ? wk_across_together<LARGEST>(value) : wk_together<LARGEST>(value, threads);
    }
};
static inline int64_t wk_blocks_of_lines(int64_t lines, bool across, int threads) {
    return across ? (lines + 31) / 32 : (lines * threads + 255) / 256;
}

#endif
