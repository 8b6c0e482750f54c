/* narrow.h: bf16 and f16 to and from f32, in integer arithmetic that every compiler vectorises for every instruction
 * set.
 *
 * The hardware's conversions (F16C, AVX512-BF16) are not in all sets and bf16's flushes denormals; the loops below run
 * at the speed of memory from AVX2 on.  Rounding is to nearest even, NaN stays NaN, overflow becomes infinity.
 */
#ifndef WICK_KERNELS_CPU_SIMD_NARROW_H
#define WICK_KERNELS_CPU_SIMD_NARROW_H

#include <stdint.h>

static inline float wk_bits_to_f32(uint32_t bits) {
    union {
        uint32_t bits;
        float value;
    } both = { .bits = bits };
    return both.value;
}

static inline uint32_t wk_f32_to_bits(float value) {
    union {
        float value;
        uint32_t bits;
    } both = { .value = value };
    return both.bits;
}

static inline float wk_load_bf16(uint16_t x) {
    return wk_bits_to_f32((uint32_t)x << 16);
}

static inline uint16_t wk_store_bf16(float x) {
    uint32_t bits = wk_f32_to_bits(x);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    uint32_t quiet = bits >> 16 | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

/* The exponent is moved by an integer addition; denormals by letting the FPU normalise 2^-14 + fraction. */
static inline float wk_load_f16(uint16_t x) {
    uint32_t sign = (uint32_t)(x & 0x8000u) << 16, magnitude = x & 0x7fffu;
    uint32_t normal = (magnitude << 13) + ((127u - 15u) << 23);
    uint32_t special = normal + ((128u - 16u) << 23);
    uint32_t denormal = wk_f32_to_bits(wk_bits_to_f32((magnitude << 13) + (113u << 23)) - wk_bits_to_f32(113u << 23));
    uint32_t bits = magnitude < 0x400u ? denormal : magnitude >= 0x7c00u ? special : normal;
    return wk_bits_to_f32(bits | sign);
}

/* Below 2^-14 the addition of 0.5 makes the FPU round at the last bit of a denormal f16. */
static inline uint16_t wk_store_f16(float x) {
    uint32_t bits = wk_f32_to_bits(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    uint32_t normal = (magnitude - ((127u - 15u) << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
    uint32_t denormal = wk_f32_to_bits(wk_bits_to_f32(magnitude) + 0.5f) - (126u << 23);
    uint32_t special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
    uint32_t result = magnitude < (113u << 23) ? denormal : magnitude >= (143u << 23) ? special : normal;
    return (uint16_t)(result | sign);
}

#endif
