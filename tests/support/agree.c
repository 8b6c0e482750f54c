/* agree.c: how far a result may lie from its reference. */
#include "support/agree.h"

#include "support/sample.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ref_tensor ref_dense(const wk_tensor *tensor) {
    ref_tensor d = { .rank = tensor->rank, .count = tensor->count };
    memcpy(d.shape, tensor->shape, sizeof d.shape);
    d.v = tensor_values(tensor);
    d.size = malloc(((size_t)d.count + 1) * sizeof *d.size);
    for (int64_t i = 0; i < d.count; i++) d.size[i] = -1;
    return d;
}

void ref_free(ref_tensor *dense) {
    free(dense->v);
    free(dense->size);
}

double rounding_unit(wk_dtype dtype) {
    switch (dtype) {
    case WK_F64: return 0x1p-53;
    case WK_F32: return 0x1p-24;
    case WK_F16: return 0x1p-11;
    case WK_BF16: return 0x1p-8;
    default: return 0;
    }
}

/* Half of the smallest number that is not 0: what flushing or a rounding down there loses. */
static double smallest_of(wk_dtype dtype) {
    switch (dtype) {
    case WK_F64: return 0x1p-1074;
    case WK_F32: return 0x1p-149;
    case WK_F16: return 0x1p-25;
    case WK_BF16: return 0x1p-134;
    default: return 0;
    }
}

/* What lies beyond becomes infinite. */
static double largest_of(wk_dtype dtype) {
    switch (dtype) {
    case WK_F32: return 0x1.fffffep127;
    case WK_F16: return 65504;
    case WK_BF16: return 0x1.fep127;
    default: return HUGE_VAL;
    }
}

/* Half types are computed in f32 and rounded once at the end.  Among denormals each step loses as much as flushing
 * does. */
static double tolerance(const ref_call *call, const ref_row *row, wk_dtype working, wk_dtype stored, double value,
                        double size) {
    const wk_dtype computed = working == WK_F64 ? WK_F64 : WK_F32;
    const double terms = (double)(call->terms > 1 ? call->terms : 1), steps = row->steps * sqrt(terms);
    if (size < 0) size = fabs(value);
    return 1.001 * rounding_unit(stored) * fabs(value)
           + steps * (rounding_unit(computed) * size + smallest_of(computed)) + smallest_of(stored);
}

static double wrapped(double value, wk_dtype dtype) {
    if (dtype == WK_I64 || wk_dtype_is_float(dtype)) return value;
    double range = ldexp(1, 8 * (int)wk_dtype_size(dtype)), low = dtype == WK_U8 || dtype == WK_BOOL ? 0 : -range / 2;
    return value - floor((value - low) / range) * range;
}

bool ref_agrees(const ref_call *call, const ref_row *row, wk_dtype working, const wk_tensor *got,
                const ref_tensor *expected, char *text, size_t size) {
    wk_dtype dtype = (wk_dtype)got->dtype;
    for (int64_t i = 0; i < got->count; i++) {
        double value = element_value(got->data, dtype, element_offset(got, i)), wanted = wrapped(expected->v[i], dtype);
        double most = tolerance(call, row, working, dtype, wanted, expected->size[i]);
        if (fabs(value - wanted) <= most || (isnan(value) && isnan(wanted)) || value == wanted) continue;
        if (isinf(value) && fabs(wanted) > largest_of(dtype) && (value > 0) == (wanted > 0)) continue;
        (void)snprintf(text, size, "element %lld is %.9g, expected %.9g ± %.2g", (long long)i, value, wanted, most);
        return false;
    }
    return true;
}
