/* cuda_fp16.h (emulator): f16 as stored, and its conversions.  Wick's kernels compute in float. */
#ifndef WICK_CUDAEMU_FP16_H
#define WICK_CUDAEMU_FP16_H

#ifdef __cplusplus
#    include <cstdint>
#    include <cstring>

struct __half {
    unsigned short bits;
};
struct alignas(4) __half2 {
    __half x, y;
};
typedef __half half;
typedef __half2 half2;

namespace cudaemu {
static inline float float_of(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
static inline uint32_t bits_of(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}
} // namespace cudaemu

/* Shifting the fields into place leaves the exponent 112 too small; a product corrects it, for subnormals too. */
static inline float __half2float(__half value) {
    uint32_t sign = (value.bits & 0x8000u) << 16, rest = (value.bits & 0x7FFFu) << 13;
    uint32_t finite = cudaemu::bits_of(cudaemu::float_of(rest) * 0x1p112f);
    return cudaemu::float_of(sign | (rest >= 0x0F800000u ? rest | 0x7F800000u : finite));
}
/* To nearest, ties to even: normal numbers; subnormal ones (adding 0.5 makes the adder do the rounding); the rest. */
static inline __half __float2half_rn(float value) {
    uint32_t bits = cudaemu::bits_of(value), sign = bits >> 16 & 0x8000u, size = bits & 0x7FFFFFFFu;
    uint32_t normal = (size - 0x38000000u + 0xFFFu + (size >> 13 & 1u)) >> 13;
    uint32_t small = cudaemu::bits_of(cudaemu::float_of(size < 0x38800000u ? size : 0) + 0.5f) - 0x3F000000u;
    if (size > 0x7F800000u) return __half{ 0x7FFFu };
    return __half{ (unsigned short)(sign | (size >= 0x47800000u ? 0x7C00u : size < 0x38800000u ? small : normal)) };
}
static inline __half __float2half(float value) {
    return __float2half_rn(value);
}
static inline __half2 __floats2half2_rn(float x, float y) {
    return __half2{ __float2half_rn(x), __float2half_rn(y) };
}
static inline __half __ushort_as_half(unsigned short bits) {
    return __half{ bits };
}
static inline unsigned short __half_as_ushort(__half value) {
    return value.bits;
}
#endif

#endif
