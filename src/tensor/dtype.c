/* dtype.c: element types: names, sizes, and one element at a time as a double (for fills, prints and tests; kernels
 * have their own loops). */
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

static const char *const names[] = {
#define NAME(name, text, type, bytes, stored) #text,
    WK_DTYPE_MAP(NAME)
#undef NAME
};
static const uint8_t sizes[] = {
#define SIZE(name, text, type, bytes, stored) bytes,
    WK_DTYPE_MAP(SIZE)
#undef SIZE
};

const char *wk_dtype_name(wk_dtype dtype) {
    return (unsigned)dtype < WK_DTYPE_COUNT ? names[dtype] : "?";
}

size_t wk_dtype_size(wk_dtype dtype) {
    return (unsigned)dtype < WK_DTYPE_COUNT ? sizes[dtype] : 0;
}

bool wk_dtype_is_float(wk_dtype dtype) {
    return dtype == WK_F32 || dtype == WK_F64 || dtype == WK_BF16 || dtype == WK_F16;
}

static double from_bf16(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

static double from_f16(uint16_t bits) {
    int exponent = (bits >> 10) & 31, fraction = bits & 1023;
    double sign = bits & 0x8000 ? -1.0 : 1.0;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexp(fraction, -24);
    return sign * ldexp(1024 + fraction, exponent - 25);
}

/* Round to nearest even through f32, as kernels do. */
static uint16_t to_bf16(double wide) {
    float value = (float)wide;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value)) return (uint16_t)((bits >> 16) | 0x40);
    bits += 0x7fff + ((bits >> 16) & 1);
    return (uint16_t)(bits >> 16);
}

static uint16_t to_f16(double wide) {
    float value = (float)wide;
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    double size = fabs((double)value);
    if (isnan(value)) return (uint16_t)(sign | 0x7e00);
    if (size >= 65520.0) return (uint16_t)(sign | 0x7c00);
    if (size < 0x1p-14) return (uint16_t)(sign | (uint16_t)nearbyint(ldexp(size, 24)));
    int exponent;
    (void)frexp(size, &exponent);
    int fraction =
        (int)nearbyint(ldexp(size, 11 - exponent)); /* in [1024, 2048]: its leading bit counts one up in the exponent */
    return (uint16_t)(sign | (uint16_t)(((exponent + 13) << 10) + fraction));
}

double wk__element_get(const void *data, wk_dtype dtype, int64_t i) {
    switch (dtype) {
    case WK_F32: return ((const float *)data)[i];
    case WK_F64: return ((const double *)data)[i];
    case WK_BF16: return from_bf16(((const uint16_t *)data)[i]);
    case WK_F16: return from_f16(((const uint16_t *)data)[i]);
    case WK_I64: return (double)((const int64_t *)data)[i];
    case WK_I32: return ((const int32_t *)data)[i];
    case WK_I16: return ((const int16_t *)data)[i];
    case WK_I8: return ((const int8_t *)data)[i];
    case WK_U8:
    case WK_BOOL: return ((const uint8_t *)data)[i];
    default: return 0;
    }
}

void wk__element_set(void *data, wk_dtype dtype, int64_t i, double value) {
    switch (dtype) {
    case WK_F32: ((float *)data)[i] = (float)value; break;
    case WK_F64: ((double *)data)[i] = value; break;
    case WK_BF16: ((uint16_t *)data)[i] = to_bf16(value); break;
    case WK_F16: ((uint16_t *)data)[i] = to_f16(value); break;
    case WK_I64: ((int64_t *)data)[i] = (int64_t)value; break;
    case WK_I32: ((int32_t *)data)[i] = (int32_t)value; break;
    case WK_I16: ((int16_t *)data)[i] = (int16_t)value; break;
    case WK_I8: ((int8_t *)data)[i] = (int8_t)value; break;
    case WK_U8: ((uint8_t *)data)[i] = (uint8_t)value; break;
    case WK_BOOL: ((uint8_t *)data)[i] = value != 0; break;
    default: break;
    }
}

void wk__elements_fill(void *data, wk_dtype dtype, int64_t count, double value) {
    const size_t from_cache = 1 << 14;
    if (count <= 0) return;
    wk__element_set(data, dtype, 0, value);
    size_t done = wk_dtype_size(dtype), bytes = (size_t)count * done;
    while (done < bytes) {
        size_t part = done < from_cache ? done : from_cache;
        if (part > bytes - done) part = bytes - done;
        memcpy((char *)data + done, data, part);
        done += part;
    }
}
