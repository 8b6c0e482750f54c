/* errors_pointwise.c: what bad calls of pointwise operations, reductions, order and counting say. */
#include "support/refused.h"
#include "wick/ops.h"

#include <string.h>

SCOPED_SUITE(errors_pointwise);

static wk_tensor *f32(wk_dims dims) {
    return wk_zeros(WK_F32, dims);
}

Test(errors_pointwise, elements) {
    wk_tensor *integers = wk_zeros(WK_I32, WK_DIMS(3));
    REFUSED(wk_floor_divide(integers, integers), WK_INVALID, "floor_divide: an integer is divided by zero");
    REFUSED(wk_remainder(integers, wk_scalar(WK_I32, 0)), WK_INVALID, "remainder: an integer is divided by zero");
    REFUSED(wk_pow_scalar(integers, 0.5), WK_INVALID,
            "pow_scalar: exponent 0.5 of i32: expected a whole number of at least 0; or use wk_cast");
    REFUSED(wk_pow_scalar(integers, -1), WK_INVALID,
            "pow_scalar: exponent -1 of i32: expected a whole number of at least 0; or use wk_cast");
    REFUSED(wk_polygamma(f32(WK_DIMS(3)), -1), WK_INVALID, "polygamma: order -1, expected 0 to 100");
    REFUSED(wk_bitwise_and(f32(WK_DIMS(3)), integers), WK_DTYPE,
            "bitwise_and: input 0 is f32, expected i64, i32, i16, i8, u8, bool");
    REFUSED(wk_clamp_tensor(f32(WK_DIMS(3)), NULL, NULL), WK_INVALID, "clamp_tensor: input 1 is NULL");
    REFUSED(wk_lerp(f32(WK_DIMS(3)), f32(WK_DIMS(4)), f32(WK_DIMS(3))), WK_SHAPE,
            "lerp: (3) f32, (4) f32, (3) f32 do not broadcast: sizes of an axis, counted from the last, must be equal "
            "or 1");
    REFUSED(wk_prelu(f32(WK_DIMS(2, 3)), f32(WK_DIMS(2))), WK_SHAPE,
            "prelu: weight (2) f32 for x (2, 3) f32: expected one number, or one for each of x's axis 1");
    REFUSED(wk_glu(f32(WK_DIMS(2, 3)), (wk_glu_opts){ { 0 } }), WK_SHAPE,
            "glu: axis 1 has size 3, expected an even one");
}

Test(errors_pointwise, pairs) {
    REFUSED(wk_cdist(f32(WK_DIMS(2, 3)), f32(WK_DIMS(2, 1)), (wk_cdist_opts){ { 0 } }), WK_SHAPE,
            "cdist: (2, 3) f32 and (2, 1) f32: expected (…, M, D) and (…, N, D)");
    REFUSED(wk_cross(f32(WK_DIMS(2, 3)), f32(WK_DIMS(2, 2))), WK_SHAPE,
            "cross: the last axis of input 1 has not 3 elements");
}

Test(errors_pointwise, reductions) {
    REFUSED(wk_var(f32(WK_DIMS(2, 3)), (wk_var_opts){ .axes = WK_DIMS(2) }), WK_INVALID,
            "mean: axis 2 of a tensor (2, 3) f32 in var");
    REFUSED(wk_norm(f32(WK_DIMS(2, 3)), (wk_norm_opts){ .p = WK_SET(-1) }), WK_INVALID,
            "norm: p is -1, expected at least 0, or an infinity");
    REFUSED(wk_cumsum(f32(WK_DIMS(2, 3)), (wk_scan_opts){ .axis = WK_SET(-3) }), WK_INVALID,
            "cumsum: axis -3 of a tensor (2, 3) f32");
    REFUSED(wk_argmin(f32(WK_DIMS(2, 0)), (wk_axis_opts){ { 0 } }), WK_SHAPE, "argmin: axis 1 is empty");
}

Test(errors_pointwise, order) {
    REFUSED(wk_topk(f32(WK_DIMS(2, 3)), NULL, (wk_topk_opts){ .k = 4 }), WK_INVALID,
            "topk: k is 4, expected 0 to 3, the size of axis 1");
    REFUSED(wk_kthvalue(f32(WK_DIMS(2, 3)), NULL, (wk_kthvalue_opts){ .k = 0 }), WK_INVALID,
            "kthvalue: k is 0, expected 1 to 3, the size of axis 1");
    REFUSED(wk_median(f32(WK_DIMS(2, 0)), NULL, (wk_median_opts){ .keep_dims = false }), WK_SHAPE,
            "median: axis 1 is empty");
    REFUSED(wk_sort(f32(WK_DIMS(2, 3)), NULL, (wk_sort_opts){ .axis = WK_SET(2) }), WK_INVALID,
            "sort: axis 2 of a tensor (2, 3) f32");
    REFUSED(wk_quantile(f32(WK_DIMS(3)), wk_scalar(WK_F32, 1.5), (wk_quantile_opts){ .interpolation = 0 }), WK_INVALID,
            "quantile: q[0] is 1.5, expected 0 ≤ q ≤ 1");
    REFUSED(wk_bincount(wk_from_array(WK_I64, WK_DIMS(2), (int64_t[]){ 3, -1 }), NULL, (wk_bincount_opts){ 0 }),
            WK_INVALID, "bincount: x[1] is -1, expected at least 0");
    REFUSED(wk_histc(f32(WK_DIMS(3)), (wk_histc_opts){ .min = 2, .max = 1 }), WK_INVALID,
            "histc: min is 2 and max 1, expected min ≤ max");
    REFUSED(
        wk_searchsorted(f32(WK_DIMS(2, 3)), f32(WK_DIMS(3, 3)), (wk_searchsorted_opts){ false }), WK_SHAPE,
        "searchsorted: sorted (2, 3) f32, values (3, 3) f32: expected sorted (N), or the same axes but for the last");
    REFUSED(wk_unique_padded(f32(WK_DIMS(3)), NULL, NULL, NULL, -1), WK_INVALID,
            "unique_padded: size is -1, expected at least 0");
}
