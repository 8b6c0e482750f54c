/* cuda_bf16.h (emulator): bf16 as stored, and its conversions.  Wick's kernels compute in float. */
#ifndef WICK_CUDAEMU_BF16_H
#define WICK_CUDAEMU_BF16_H

#ifdef __cplusplus
#    include <cstdint>
#    include <cstring>

struct __nv_bfloat16 {
    unsigned short bits;
};
struct alignas(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};

static inline float __bfloat162float(__nv_bfloat16 half) {
    uint32_t bits = (uint32_t)half.bits << 16;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
/* To nearest, ties to even; every NaN becomes the device's one. */
static inline __nv_bfloat16 __float2bfloat16_rn(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    return __nv_bfloat16{ (unsigned short)(value != value ? 0x7FFFu : rounded) };
}
static inline __nv_bfloat16 __float2bfloat16(float value) {
    return __float2bfloat16_rn(value);
}
static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
    return __nv_bfloat162{ __float2bfloat16_rn(x), __float2bfloat16_rn(y) };
}
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) {
    return __nv_bfloat16{ bits };
}
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 value) {
    return value.bits;
}
#endif

#endif
