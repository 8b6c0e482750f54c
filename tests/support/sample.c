/* sample.c: what lies in a tensor, read by the tests' own code. */
#define WK_NO_CALL_SITES
#include "support/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double half_value(uint16_t bits, int fraction_bits, int bias) {
    int fraction = bits & ((1 << fraction_bits) - 1), exponent = (bits & 0x7fff) >> fraction_bits;
    double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == 2 * bias + 1) return fraction ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
}

double element_value(const void *data, wk_dtype dtype, int64_t i) {
    switch (dtype) {
    case WK_F32: return ((const float *)data)[i];
    case WK_F64: return ((const double *)data)[i];
    case WK_BF16: return half_value(((const uint16_t *)data)[i], 7, 127);
    case WK_F16: return half_value(((const uint16_t *)data)[i], 10, 15);
    case WK_I64: return (double)((const int64_t *)data)[i];
    case WK_I32: return ((const int32_t *)data)[i];
    case WK_I16: return ((const int16_t *)data)[i];
    case WK_I8: return ((const int8_t *)data)[i];
    default: return ((const uint8_t *)data)[i];
    }
}

int64_t element_offset(const wk_tensor *tensor, int64_t index) {
    int64_t offset = 0;
    for (int axis = tensor->rank - 1; axis >= 0; axis--) {
        offset += index % tensor->shape[axis] * tensor->stride[axis];
        index /= tensor->shape[axis];
    }
    return offset;
}

double *tensor_values(const wk_tensor *tensor) {
    double *values = malloc(((size_t)tensor->count + 1) * sizeof *values);
    for (int64_t i = 0; values && i < tensor->count; i++)
        values[i] = element_value(tensor->data, (wk_dtype)tensor->dtype, element_offset(tensor, i));
    return values;
}

bool same_bits(const wk_tensor *a, const wk_tensor *b) {
    if (a->rank != b->rank || a->dtype != b->dtype || memcmp(a->shape, b->shape, a->rank * sizeof a->shape[0]) != 0)
        return false;
    size_t size = wk_dtype_size((wk_dtype)a->dtype);
    for (int64_t i = 0; i < a->count; i++)
        if (memcmp((const char *)a->data + element_offset(a, i) * (int64_t)size,
                   (const char *)b->data + element_offset(b, i) * (int64_t)size, size)
            != 0)
            return false;
    return true;
}
