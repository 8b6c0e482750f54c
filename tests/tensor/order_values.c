/* order_values.c: what samples cannot say of pointwise operations, reductions, order and counting: NaN, ties, zeros,
 * rows that are in order, an element's bits wherever it stands.  Expected values are PyTorch's.
 */
#define WK_NO_CALL_SITES
#include "support/sample.h"
#include "support/refused.h"
#include "wick/autograd.h"
#include "wick/ops.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INF ((double)INFINITY)

SCOPED_SUITE(order_values);

static wk_tensor *row_of(wk_dtype dtype, int64_t count, const double *values) {
    return wk_cast(wk_from_array(WK_F64, WK_DIMS(count), values), dtype);
}
#define ROW(dtype, ...) \
    row_of(dtype, (int64_t)(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)), (double[]){ __VA_ARGS__ })

static void expect_row(wk_tensor *got, const char *what, int64_t count, const double *wanted) {
    cr_assert_not_null(got, "%s: %s", what, wk_message());
    cr_expect_eq(wk_count(got), count, "%s: %lld elements, expected %lld", what, (long long)wk_count(got),
                 (long long)count);
    for (int64_t i = 0; i < count && i < wk_count(got); i++) {
        double value = wk_at(got, i);
        cr_expect(value == wanted[i] || (isnan(value) && isnan(wanted[i])), "%s, element %lld: %.9g, expected %.9g",
                  what, (long long)i, value, wanted[i]);
    }
}
#define EXPECT(got, ...) \
    expect_row(got, #got, (int64_t)(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)), (double[]){ __VA_ARGS__ })

static const wk_dtype float_types[] = { WK_F32, WK_F64, WK_F16, WK_BF16 };

Test(order_values, nan_is_the_largest) {
    for (int t = 0; t < 4; t++) {
        wk_tensor *x = ROW(float_types[t], 1, NAN, 3, NAN), *places;
        EXPECT(wk_topk(x, &places, (wk_topk_opts){ .k = 3 }), NAN, NAN, 3);
        EXPECT(places, 1, 3, 2);
        EXPECT(wk_topk(x, &places, (wk_topk_opts){ .k = 2, .smallest = true }), 1, 3);
        EXPECT(places, 0, 2);
        EXPECT(wk_sort(x, &places, (wk_sort_opts){ .descending = true }), NAN, NAN, 3, 1);
        EXPECT(places, 1, 3, 2, 0);
        EXPECT(wk_argsort(x, (wk_sort_opts){ .descending = false }), 0, 2, 1, 3);
        EXPECT(wk_kthvalue(x, &places, (wk_kthvalue_opts){ .k = 3 }), NAN);
        EXPECT(places, 1);
        EXPECT(wk_median(x, &places, (wk_median_opts){ .keep_dims = false }), NAN);
        EXPECT(places, 1);
        EXPECT(wk_argmin(x, (wk_axis_opts){ { 0 } }), 1);
        EXPECT(wk_nansum(x, (wk_reduce_opts){ 0 }), 4);
        EXPECT(wk_nanmean(x, (wk_reduce_opts){ 0 }), 2);
        EXPECT(wk_any(ROW(float_types[t], NAN), (wk_reduce_opts){ 0 }), 1);
    }
}

Test(order_values, infinities_and_signed_zeros_in_order) {
    for (int t = 0; t < 4; t++) {
        wk_tensor *places;
        wk_tensor *y = wk_sort(ROW(float_types[t], INF, 0.0, -1, -0.0, -INF, 2, NAN), &places,
                               (wk_sort_opts){ .descending = false });
        EXPECT(y, -INF, -1, 0, 0, 2, INF, NAN);
        EXPECT(places, 4, 2, 1, 3, 5, 0, 6);
        cr_expect(signbit(wk_at(y, 3)) && !signbit(wk_at(y, 2)), "zeros keep their place and their sign");
    }
    EXPECT(wk_sort(ROW(WK_I64, -1, 3, -0x1p62, 0x1p62), NULL, (wk_sort_opts){ .descending = false }), -0x1p62, -1, 3,
           0x1p62);
    EXPECT(wk_sort(ROW(WK_I32, 2147483647, -1, 3, -2147483648.0), NULL, (wk_sort_opts){ .descending = true }),
           2147483647, 3, -1, -2147483648.0);
}

/* Lines long enough for every way through: insertion, radix sort, partition, with many equal elements. */
Test(order_values, long_lines_with_ties) {
    static const wk_dtype types[] = { WK_F32, WK_F64, WK_BF16, WK_I64, WK_I16, WK_U8 };
    for (int t = 0; t < 6; t++) {
        enum { LENGTH = 3000 };
        static double values[LENGTH];
        for (int i = 0; i < LENGTH; i++) values[i] = (double)((i * 7919 + 13) % 97);
        wk_tensor *x = row_of(types[t], LENGTH, values), *places, *kth_place;
        wk_tensor *y = wk_sort(x, &places, (wk_sort_opts){ .descending = false });
        for (int64_t i = 1; i < LENGTH; i++) {
            bool before = wk_at(y, i - 1) < wk_at(y, i)
                          || (wk_at(y, i - 1) == wk_at(y, i) && wk_at(places, i - 1) < wk_at(places, i));
            cr_assert(before, "%s, element %lld", wk_dtype_name(types[t]), (long long)i);
            cr_assert_eq(wk_at(y, i), values[(int64_t)wk_at(places, i)]);
        }
        static const int64_t some[] = { 1, 2, 17, 1500, 2999, 3000 };
        for (int i = 0; i < 6; i++) {
            wk_tensor *kth = wk_kthvalue(x, &kth_place, (wk_kthvalue_opts){ .k = some[i] });
            cr_expect_eq(wk_item(kth), wk_at(y, some[i] - 1));
            cr_expect_eq(wk_item(kth_place), wk_at(places, some[i] - 1));
            wk_tensor *least = wk_topk(x, &kth_place, (wk_topk_opts){ .k = some[i], .smallest = true });
            for (int64_t j = 0; j < some[i]; j++) {
                cr_assert_eq(wk_at(least, j), wk_at(y, j));
                cr_assert_eq(wk_at(kth_place, j), wk_at(places, j));
            }
        }
    }
}

Test(order_values, scans_keep_nan_and_take_the_last_of_equals) {
    wk_tensor *places;
    EXPECT(wk_cummax(ROW(WK_F32, 1, 1, 2, NAN, 1, NAN), &places, (wk_axis_opts){ { 0 } }), 1, 1, 2, NAN, NAN, NAN);
    EXPECT(places, 0, 1, 2, 3, 3, 5);
    EXPECT(wk_cummin(ROW(WK_F64, 2, NAN, 1), &places, (wk_axis_opts){ { 0 } }), 2, NAN, NAN);
    EXPECT(places, 0, 1, 1);
    EXPECT(wk_logcumsumexp(ROW(WK_F64, -INF, -INF, 0, INF), (wk_scan_opts){ .reverse = false }), -INF, -INF, 0, INF);
    EXPECT(wk_logsumexp(ROW(WK_F32, -INF, -INF), (wk_reduce_opts){ 0 }), -INF);
    EXPECT(wk_logsumexp(ROW(WK_F32, 1, INF), (wk_reduce_opts){ 0 }), INF);
}

Test(order_values, distinct_and_counted) {
    wk_tensor *inverse, *counts, *number;
    EXPECT(wk_unique(ROW(WK_F32, 1, NAN, 3, NAN, 1), &inverse, &counts), 1, 3, NAN, NAN);
    EXPECT(inverse, 0, 2, 1, 3, 0);
    EXPECT(counts, 2, 1, 1, 1);
    EXPECT(wk_unique_padded(ROW(WK_I32, 5, -1, 5, 7), &inverse, &counts, &number, 2), -1, 5);
    EXPECT(inverse, 1, 0, 1, -1);
    EXPECT(counts, 1, 2);
    EXPECT(number, 3);
    EXPECT(wk_bincount(ROW(WK_U8, 1, 1, 4), NULL, (wk_bincount_opts){ 0 }), 0, 2, 0, 0, 1);
    EXPECT(wk_bincount(ROW(WK_I64, 1, 1, 0), ROW(WK_F32, 0.5, 2, 4), (wk_bincount_opts){ 4 }), 4, 2.5, 0, 0);
    EXPECT(wk_histc(ROW(WK_F32, 0, 1, 2, 3, NAN, -5), (wk_histc_opts){ 3, 0, 3 }), 1, 1, 2);
    EXPECT(wk_histc(ROW(WK_F64, 2, 2), (wk_histc_opts){ .bins = 2 }), 0, 2);
}

Test(order_values, searched) {
    static const wk_dtype types[] = { WK_F32, WK_F64, WK_F16, WK_BF16, WK_I64, WK_I32, WK_I16, WK_I8, WK_U8 };
    for (int t = 0; t < 9; t++) {
        wk_tensor *sorted = ROW(types[t], 1, 3, 3, 5, 9), *values = ROW(types[t], 0, 1, 3, 4, 9, 10);
        EXPECT(wk_searchsorted(sorted, values, (wk_searchsorted_opts){ false }), 0, 0, 1, 3, 4, 5);
        EXPECT(wk_searchsorted(sorted, values, (wk_searchsorted_opts){ true }), 0, 1, 3, 3, 5, 5);
        EXPECT(wk_bucketize(values, sorted, (wk_searchsorted_opts){ true }), 0, 1, 3, 3, 5, 5);
        wk_tensor *rows = wk_reshape(ROW(types[t], 1, 2, 3, 4, 5, 6), WK_DIMS(2, 3));
        EXPECT(wk_searchsorted(rows, wk_reshape(ROW(types[t], 2, 5), WK_DIMS(2, 1)), (wk_searchsorted_opts){ false }),
               1, 1);
    }
    EXPECT(wk_searchsorted(ROW(WK_F32, 1, 2), ROW(WK_F32, NAN, 2, 3), (wk_searchsorted_opts){ false }), 2, 1, 2);
}

Test(order_values, quantiles_of_exact_places) {
    static const double values[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
    for (int how = 0; how < 5; how++)
        EXPECT(
            wk_quantile(row_of(WK_F32, 11, values), ROW(WK_F32, 0.7, 0, 1), (wk_quantile_opts){ .interpolation = how }),
            7, 0, 10);
    EXPECT(wk_quantile(ROW(WK_F64, 1, NAN, 3), ROW(WK_F64, 0.2), (wk_quantile_opts){ .interpolation = 0 }), NAN);
}

/* ---- gradients where a formula would divide by 0 ---- */

static wk_tensor *one_output(wk_tensor *(*function)(wk_tensor *x), int64_t count, const double *values) {
    wk_tensor *x = wk_require_grad(wk_kept_zeros(WK_F64, WK_DIMS(count)), true);
    memcpy(wk_data(x), values, (size_t)count * sizeof *values);
    wk_tensor *total = wk_sum(function(x), (wk_reduce_opts){ 0 }), *gradient = NULL;
    cr_expect_eq(wk_gradients(&total, 1, NULL, &x, 1, &gradient, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    gradient = gradient ? wk_scale(gradient, 1) : NULL;
    wk_release(x);
    return gradient;
}
#define GRADIENT(function, ...) \
    one_output(function, (int64_t)(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)), (double[]){ __VA_ARGS__ })

static wk_tensor *product(wk_tensor *x) {
    return wk_prod(x, (wk_reduce_opts){ 0 });
}
static wk_tensor *products(wk_tensor *x) {
    return wk_cumprod(x, (wk_scan_opts){ .reverse = false });
}
static wk_tensor *deviation(wk_tensor *x) {
    return wk_std(x, (wk_var_opts){ .keep_dims = false });
}
static double norm_power;
static wk_tensor *norm(wk_tensor *x) {
    return wk_norm(x, (wk_norm_opts){ .p = WK_SET(norm_power) });
}
static wk_tensor *distances_to_zero(wk_tensor *x) {
    return wk_cdist(wk_reshape(x, WK_DIMS(2, 2)), wk_zeros(WK_F64, WK_DIMS(1, 2)),
                    (wk_cdist_opts){ WK_SET(norm_power) });
}
static wk_tensor *clamped(wk_tensor *x) {
    return wk_clamp(x, (wk_clamp_opts){ WK_SET(0), WK_SET(1) });
}
static wk_tensor *clamped_by_tensors(wk_tensor *x) {
    return wk_clamp_tensor(x, wk_scalar(WK_F64, 0), wk_scalar(WK_F64, 1));
}
static wk_tensor *angle(wk_tensor *x) {
    return wk_atan2(x, wk_scalar(WK_F64, 0));
}
static wk_tensor *power_of_zero(wk_tensor *x) {
    return wk_pow(wk_scalar(WK_F64, 0), x);
}

Test(order_values, gradients_at_zeros) {
    EXPECT(GRADIENT(product, 0, 2, 3), 6, 0, 0);
    EXPECT(GRADIENT(product, 0, 0, 3), 0, 0, 0);
    EXPECT(GRADIENT(product, 1e200, 1e200), 1e200, 1e200); /* whose product is infinite, or 0 */
    EXPECT(GRADIENT(product, 1e-200, 1e-200), 1e-200, 1e-200);
    EXPECT(GRADIENT(products, 0, 2, 3), 9, 0, 0);
    EXPECT(GRADIENT(products, 2, 0, 3), 1, 8, 0);
    EXPECT(GRADIENT(deviation, 1, 1), 0, 0);
    static const double powers[] = { 0.5, 1, 2, 3, INFINITY, -INFINITY };
    for (int i = 0; i < 6; i++) {
        norm_power = powers[i];
        EXPECT(GRADIENT(norm, 0, 0), 0, 0);
    }
    norm_power = 1;
    EXPECT(GRADIENT(distances_to_zero, 0, 0, 3, -4), 0, 0, 1, -1);
    norm_power = 2;
    EXPECT(GRADIENT(distances_to_zero, 0, 0, 0, -4), 0, 0, 0, -1);
    norm_power = 0.5;
    EXPECT(GRADIENT(norm, 0, 1), 0, 1);
    norm_power = INF;
    EXPECT(GRADIENT(norm, 1, -1, 0), 0.5, -0.5, 0);
    EXPECT(GRADIENT(angle, 0), 0);
    EXPECT(GRADIENT(power_of_zero, 0, 1), 0, 0);
}

static wk_tensor *hardtanh(wk_tensor *x) {
    return wk_hardtanh(x, (wk_hardtanh_opts){ WK_SET(0), WK_SET(1) });
}
static wk_tensor *hardshrink(wk_tensor *x) {
    return wk_hardshrink(x, (wk_shrink_opts){ { 0 } });
}
static wk_tensor *softshrink(wk_tensor *x) {
    return wk_softshrink(x, (wk_shrink_opts){ { 0 } });
}
static wk_tensor *threshold(wk_tensor *x) {
    return wk_threshold(x, (wk_threshold_opts){ 1, 2 });
}
static wk_tensor *celu(wk_tensor *x) {
    return wk_celu(x, (wk_elu_opts){ WK_SET(2) });
}

Test(order_values, gradients_at_kinks) {
    EXPECT(GRADIENT(clamped, 0, 1, 0.5), 0, 0, 1);
    EXPECT(GRADIENT(clamped_by_tensors, 0, 1, 0.5), 0.5, 0.5, 1);
    EXPECT(GRADIENT(hardtanh, 0, 1, 0.5), 0, 0, 1);
    EXPECT(GRADIENT(wk_relu6, 0, 6), 0, 0);
    EXPECT(GRADIENT(hardshrink, -0.5, 0.5, 0.6), 0, 0, 1);
    EXPECT(GRADIENT(softshrink, -0.5, 0.5, 0.6), 0, 0, 1);
    EXPECT(GRADIENT(wk_hardsigmoid, -3, 3), 0, 0);
    EXPECT(GRADIENT(wk_hardswish, -3, 3, 0), 0, 1, 0.5);
    EXPECT(GRADIENT(threshold, 1, 2), 0, 1);
    EXPECT(GRADIENT(celu, 0), 1);
    EXPECT(GRADIENT(wk_abs, 0), 0);
}

/* ---- special values of functions ---- */

Test(order_values, functions_at_their_ends) {
    for (int t = 0; t < 2; t++) {
        wk_dtype dtype = float_types[t];
        wk_tensor *x = ROW(dtype, INF, -INF, NAN, 0);
        EXPECT(wk_expm1(x), INF, -1, NAN, 0);
        EXPECT(wk_exp2(x), INF, 0, NAN, 1);
        EXPECT(wk_log1p(x), INF, NAN, NAN, 0);
        EXPECT(wk_log2(x), INF, NAN, NAN, -INF);
        EXPECT(wk_log10(x), INF, NAN, NAN, -INF);
        EXPECT(wk_asinh(x), INF, -INF, NAN, 0);
        EXPECT(wk_sinh(x), INF, -INF, NAN, 0);
        EXPECT(wk_cosh(x), INF, INF, NAN, 1);
        EXPECT(wk_erfc(x), 0, 2, NAN, 1);
        EXPECT(wk_lgamma(x), INF, INF, NAN, INF);
        EXPECT(wk_digamma(x), INF, NAN, NAN, -INF);
        EXPECT(wk_tan(x), NAN, NAN, NAN, 0);
        EXPECT(wk_reciprocal(x), 0, 0, NAN, INF);
        EXPECT(wk_rsqrt(x), 0, NAN, NAN, INF);
        EXPECT(wk_silu(x), INF, NAN, NAN, 0);
        EXPECT(wk_softplus(x, (wk_softplus_opts){ .beta = { 0 } }), INF, 0, NAN,
               (double)(dtype == WK_F32 ? logf(2) : log(2)));
        EXPECT(wk_isfinite(x), 0, 0, 0, 1);
        EXPECT(wk_isinf(x), 1, 1, 0, 0);
        EXPECT(wk_isnan(x), 0, 0, 1, 0);
        EXPECT(wk_logical_not(x), 0, 0, 0, 1);
        EXPECT(wk_nan_to_num(x, (wk_nan_to_num_opts){ 5, WK_SET(6), WK_SET(7) }), 6, 7, 5, 0);
        EXPECT(wk_clamp(x, (wk_clamp_opts){ WK_SET(-1), WK_SET(1) }), 1, -1, NAN, 0);
        EXPECT(wk_erfinv(ROW(dtype, 1, -1, 1.5, NAN, 0)), INF, -INF, NAN, NAN, 0);
        EXPECT(wk_logit(ROW(dtype, 1, 0, 1.5), (wk_logit_opts){ { 0 } }), INF, -INF, NAN);
        EXPECT(wk_isclose(x, x, (wk_isclose_opts){ .equal_nan = true }), 1, 1, 1, 1);
        EXPECT(wk_isclose(x, ROW(dtype, -INF, -INF, NAN, 1e-9), (wk_isclose_opts){ .equal_nan = false }), 0, 1, 0, 1);
        EXPECT(wk_logaddexp(ROW(dtype, INF, -INF, INF, NAN), ROW(dtype, INF, -INF, 1, 1)), INF, -INF, INF, NAN);
        EXPECT(wk_xlogy(ROW(dtype, 0, 0, 1), ROW(dtype, 0, NAN, 0)), 0, NAN, -INF);
        EXPECT(wk_hypot(ROW(dtype, INF, 3), ROW(dtype, NAN, 4)), INF, 5);
    }
}

Test(order_values, quotients) {
    for (int t = 0; t < 2; t++) {
        wk_dtype dtype = float_types[t];
        wk_tensor *a = ROW(dtype, 7, -7, 7, -7, 1, INF, 5, 1e30), *b = ROW(dtype, 3, 3, -3, -3, 0, 2, INF, 3);
        EXPECT(wk_remainder(wk_slice(a, 0, 0, 7, 1), wk_slice(b, 0, 0, 7, 1)), 1, 2, -2, -1, NAN, NAN, 5);
        EXPECT(wk_fmod(wk_slice(a, 0, 0, 7, 1), wk_slice(b, 0, 0, 7, 1)), 1, -1, 1, -1, NAN, NAN, 5);
        EXPECT(wk_floor_divide(wk_slice(a, 0, 0, 5, 1), wk_slice(b, 0, 0, 5, 1)), 2, -3, -3, 2, INF);
        EXPECT(wk_trunc_divide(wk_slice(a, 0, 0, 5, 1), wk_slice(b, 0, 0, 5, 1)), 2, -2, -2, 2, INF);
        double far = dtype == WK_F32 ? (double)fmodf(1e30f, 3) : fmod(1e30, 3);
        EXPECT(wk_fmod(wk_slice(a, 0, 7, 8, 1), wk_slice(b, 0, 7, 8, 1)), far);
    }
    wk_tensor *least = ROW(WK_I64, -0x1p63, -7, 7), *by = ROW(WK_I64, -1, 2, -2);
    EXPECT(wk_floor_divide(least, by), -0x1p63, -4, -4);
    EXPECT(wk_remainder(least, by), 0, 1, -1);
    EXPECT(wk_pow(ROW(WK_I32, 2, -1, 3, 1, -1), ROW(WK_I32, -1, -3, 4, -5, -2)), 0, -1, 81, 1, 1);
    EXPECT(wk_left_shift(ROW(WK_I8, 1, 3, 1), ROW(WK_I8, 7, 8, -1)), -128, 0, 0);
    EXPECT(wk_right_shift(ROW(WK_I8, -8, -8, 8), ROW(WK_I8, 1, 9, 9)), -4, -1, 0);
}

/* A number beside a tensor does not raise its dtype. */
Test(order_values, a_number_as_operand) {
    wk_tensor *x = ROW(WK_BF16, 1, 4);
    cr_expect_eq(wk_dtype_get(wk_sub(wk_scalar(WK_F64, 2), x)), WK_BF16);
    cr_expect_eq(wk_dtype_get(wk_mul(ROW(WK_I8, 1, 2), wk_scalar(WK_I64, 2))), WK_I8);
    cr_expect_eq(wk_dtype_get(wk_mul(ROW(WK_I8, 1, 2), wk_scalar(WK_F32, 2))), WK_F32);
    cr_expect_eq(wk_dtype_get(wk_mul(wk_scalar(WK_F32, 2), wk_scalar(WK_F64, 2))), WK_F64);
    cr_expect_eq(wk_dtype_get(wk_mul(x, ROW(WK_F32, 2))), WK_F32);
    EXPECT(wk_sub(wk_scalar(WK_F32, 2), x), 1, -2);
    EXPECT(wk_pow(wk_scalar(WK_F32, 2), x), 2, 16);
}

/* The vector functions: whole registers and the rest give the same bits. */
Test(order_values, bits_do_not_depend_on_the_place) {
    static wk_tensor *(*const functions[])(wk_tensor *) = {
        wk_exp2, wk_expm1, wk_log1p, wk_log2, wk_log10,  wk_tan,    wk_asin,    wk_acos,       wk_atan, wk_sinh,
        wk_cosh, wk_asinh, wk_atanh, wk_erfc, wk_erfinv, wk_lgamma, wk_digamma, wk_logsigmoid, wk_mish, wk_selu,
    };
    enum { LENGTH = 67 };
    double values[LENGTH];
    for (int i = 0; i < LENGTH; i++) values[i] = 0.01 + 0.0143 * i;
    for (int t = 0; t < 2; t++) {
        wk_tensor *x = row_of(float_types[t], LENGTH, values);
        for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++) {
            wk_tensor *y = functions[f](x);
            for (int64_t i = 0; i < LENGTH; i++) {
                wk_tensor *alone = functions[f](wk_slice(x, 0, i, i + 1, 1));
                cr_assert(same_bits(alone, wk_slice(y, 0, i, i + 1, 1)), "function %zu, element %lld", f, (long long)i);
            }
        }
    }
}
