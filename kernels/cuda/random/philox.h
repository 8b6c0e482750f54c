/* philox.h: Philox 4x32-10 (Salmon et al. 2011), the same words as kernels/cpu/simd/philox.h gives. */
#ifndef WICK_KERNELS_CUDA_PHILOX_H
#define WICK_KERNELS_CUDA_PHILOX_H

#include "cuda/device.h"
#include "cuda/random/random.h"

/* The four words of one counter. */
__device__ __forceinline__ void wk_philox_block(const wk_cuda_key &key, uint64_t counter, uint32_t word[4]) {
    const uint64_t seed = key.at ? key.at[0] : key.seed, draw = key.at ? key.at[1] : key.draw;
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = (uint32_t)draw, c3 = (uint32_t)(draw >> 32),
             k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    WK_UNROLL
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)c0 * 0xD2511F53u, b = (uint64_t)c2 * 0xCD9E8D57u;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)b;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
}

/* In [0, 1): 24 bits, 53 bits. */
__device__ __forceinline__ float wk_unit_f32(uint32_t word) {
    return (float)(word >> 8) * 0x1p-24f;
}
__device__ __forceinline__ double wk_unit_f64(const uint32_t *words) {
    return (double)(((uint64_t)words[0] << 32 | words[1]) >> 11) * 0x1p-53;
}

/* The upper half of the product of two 64-bit numbers, from products of halves. */
__device__ __forceinline__ uint64_t wk_below(const uint32_t *words, uint64_t range) {
    const uint64_t a1 = words[0], a0 = words[1], b1 = range >> 32, b0 = range & 0xffffffffu;
    const uint64_t low = a0 * b0, middle = a1 * b0 + (low >> 32), other = a0 * b1 + (middle & 0xffffffffu);
    return a1 * b1 + (middle >> 32) + (other >> 32);
}

#endif
