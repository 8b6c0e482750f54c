/* half.h: bf16 and f16, stored as uint16_t.
 *
 * Kernels compute in f32: 16-bit numbers are widened on the way in and rounded to nearest even on the way out; NaN
 * stays NaN.  The scalar conversions are free of branches, so that loops over them vectorise on every instruction set.
 * F16C does f16 in one instruction instead of a dozen; the bulk conversions use it where the file is compiled with it
 * (1 M elements under AVX-512, one thread: to f32 61 µs against 96 by arithmetic, from f32 60 against 195).
 */
#ifndef WICK_KERNELS_HALF_H
#define WICK_KERNELS_HALF_H

#include "cpu/cpu.h"

#include <string.h>
#ifdef __F16C__
#    include <immintrin.h>
#endif

static inline float wk_float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t wk_bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float wk_load_bf16(uint16_t half) {
    return wk_float_of((uint32_t)half << 16);
}

static inline uint16_t wk_store_bf16(float value) {
    uint32_t bits = wk_bits_of(value);
    uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
    return (uint16_t)((value != value ? bits | 0x400000u : rounded) >> 16);
}

/* Shifting the fields into place leaves the exponent 112 too small; a product corrects it, for subnormals too. */
static inline float wk_load_f16(uint16_t half) {
    uint32_t sign = ((uint32_t)half & 0x8000u) << 16, rest = ((uint32_t)half & 0x7fffu) << 13;
    uint32_t finite = wk_bits_of(wk_float_of(rest) * 0x1p112f);
    return wk_float_of(sign | (rest >= 0x0f800000u ? rest | 0x7f800000u : finite));
}

/* Three cases, all computed, one selected: normal; subnormal (adding 0.5 makes the adder do the rounding); not finite.
 */
static inline uint16_t wk_store_f16(float value) {
    uint32_t bits = wk_bits_of(value), sign = (bits >> 16) & 0x8000u, size = bits & 0x7fffffffu;
    uint32_t normal = (size - 0x38000000u + 0xfffu + ((size >> 13) & 1u)) >> 13;
    uint32_t small = wk_bits_of(wk_float_of(size < 0x38800000u ? size : 0) + 0.5f) - 0x3f000000u;
    uint32_t large = size > 0x7f800000u ? 0x7e00u | ((size >> 13) & 0x3ffu) : 0x7c00u;
    uint32_t finite = size < 0x38800000u ? small : normal;
    return (uint16_t)(sign | (size >= 0x47800000u ? large : finite));
}

static inline void wk_widen_bf16(float *restrict out, const uint16_t *restrict in, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = wk_load_bf16(in[i]);
}

static inline void wk_narrow_bf16(uint16_t *restrict out, const float *restrict in, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = wk_store_bf16(in[i]);
}

static inline void wk_widen_f16(float *restrict out, const uint16_t *restrict in, int64_t n) {
    int64_t i = 0;
#ifdef __F16C__
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(in + i))));
#endif
    for (; i < n; i++) out[i] = wk_load_f16(in[i]);
}

static inline void wk_narrow_f16(uint16_t *restrict out, const float *restrict in, int64_t n) {
    int64_t i = 0;
#ifdef __F16C__
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(out + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(in + i), _MM_FROUND_TO_NEAREST_INT));
#endif
    for (; i < n; i++) out[i] = wk_store_f16(in[i]);
}

static inline bool wk_is_half(unsigned dtype) {
    return dtype == WK_BF16 || dtype == WK_F16;
}

/* `dtype` is WK_BF16 or WK_F16. */
static inline void wk_widen(float *restrict out, const uint16_t *restrict in, int64_t n, unsigned dtype) {
    if (dtype == WK_BF16)
        wk_widen_bf16(out, in, n);
    else
        wk_widen_f16(out, in, n);
}

static inline void wk_narrow(uint16_t *restrict out, const float *restrict in, int64_t n, unsigned dtype) {
    if (dtype == WK_BF16)
        wk_narrow_bf16(out, in, n);
    else
        wk_narrow_f16(out, in, n);
}

#endif
