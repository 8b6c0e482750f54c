/* operands.c: tensors of random values, layouts and, where nothing is said, of any shape and dtype. */
#define WK_NO_CALL_SITES
#include "fuzz_ops/fuzz_ops.h"

#include "support/sample.h"
#include "wick/ops.h"

#include <math.h>

static double special(chance *c) {
    static const double values[] = { 0, -0.0, 1, -1, 1e-40, 1e30, -1e30, 70000, HUGE_VAL, -HUGE_VAL };
    return happens(c, 20) ? NAN : values[draw_below(c, 10)];
}

static int64_t bad_index(chance *c) {
    static const int64_t values[] = { -1, -2, -100, 100, 1LL << 31, 1LL << 40, INT64_MAX, INT64_MIN };
    return values[draw_below(c, 8)];
}

static double plain(chance *c, const wk_sample_in *in, wk_dtype dtype) {
    double low = in->low, high = in->high;
    if (low == 0 && high == 0) low = -2, high = 2;
    if (in->kind == WK_SAMPLE_BOOL) return (double)draw_below(c, 2);
    if (in->kind == WK_SAMPLE_SIGN) return happens(c, 50) ? -1 : 1;
    double value = low + draw_unit(c) * (high - low);
    if (in->kind == WK_SAMPLE_INDEX) return floor(value);
    if (wk_dtype_is_float(dtype)) return happens(c, 15) ? rint(value) : value;
    if (dtype == WK_BOOL) return value > 0;
    return dtype == WK_U8 ? floor(fabs(value) * 7) : floor(value * 4);
}

static wk_tensor *fill(chance *c, const wk_sample_in *in, wk_dtype dtype) {
    wk_tensor *wide = wk_empty(WK_F64, in->dims), *values = wk_empty(dtype, in->dims);
    if (!wide || !values) return NULL;
    int odd = !happens(c, 6) || in->kind == WK_SAMPLE_BOOL ? 0 : 25; /* per cent of the elements */
    for (int64_t i = 0; i < wide->count; i++) {
        double *at = (double *)wide->data + i;
        *at = plain(c, in, dtype);
        if (in->kind != WK_SAMPLE_INDEX && odd && happens(c, odd)) *at = wk_dtype_is_float(dtype) ? special(c) : *at;
    }
    if (wk_copy_into(values, wide) != WK_OK) return NULL;
    for (int64_t i = 0; in->kind == WK_SAMPLE_INDEX && dtype == WK_I64 && odd && i < values->count; i++)
        if (happens(c, odd)) ((int64_t *)values->data)[i] = bad_index(c);
    return values;
}

wk_tensor *draw_operand(chance *c, const wk_sample_in *in, wk_dtype dtype) {
    wk_tensor *values = fill(c, in, dtype);
    wk__sample_layout layout =
        happens(c, 50) ? WK__SAMPLE_AS_SAID : (wk__sample_layout)draw_below(c, WK__SAMPLE_LAYOUTS);
    return values ? wk__sample_lay_out(values, layout) : NULL;
}

wk_tensor *draw_any(chance *c) {
    static const int64_t sizes[] = { 0, 1, 1, 2, 3, 4, 5, 8 };
    wk_sample_in in = { .dims.rank = (int)draw_below(c, 6) };
    for (int axis = 0; axis < in.dims.rank; axis++) in.dims.size[axis] = sizes[draw_below(c, 8)];
    return draw_operand(c, &in, (wk_dtype)draw_below(c, WK_DTYPE_COUNT));
}
