/* special_values.c: what samples cannot say: NaN, infinities, ties, saturation, random masks, an optimizer told to
 * stand still.
 */
#define WK_NO_CALL_SITES
#include "support/sample.h"
#include "tensor/op_attrs.h"
#include "wick/ops.h"
#include "wick/random.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static wk_tensor *floats(wk_dtype dtype, int64_t count, const float *values) {
    return wk_cast(wk_from_array(WK_F32, WK_DIMS(count), values), dtype);
}
static void expect_values(wk_tensor *got, const double *wanted, const char *what) {
    cr_assert_not_null(got, "%s: %s", what, wk_message());
    for (int64_t i = 0; i < wk_count(got); i++) {
        double value = wk_at(got, i);
        cr_expect(value == wanted[i] || (isnan(value) && isnan(wanted[i])), "%s, element %lld: %g, expected %g", what,
                  (long long)i, value, wanted[i]);
    }
}

static const wk_dtype float_types[] = { WK_F32, WK_F64, WK_F16, WK_BF16 };

Test(special_values, nan_wins) {
    wk_scope scope = wk_scope_begin();
    for (int t = 0; t < 4; t++) {
        wk_dtype dtype = float_types[t];
        const char *name = wk_dtype_name(dtype);
        wk_tensor *a = floats(dtype, 5, (float[]){ NAN, 1, 2, -INFINITY, INFINITY });
        wk_tensor *b = floats(dtype, 5, (float[]){ 1, NAN, 1, 0, 0 });
        expect_values(wk_maximum(a, b), (double[]){ NAN, NAN, 2, 0, INFINITY }, name);
        expect_values(wk_minimum(a, b), (double[]){ NAN, NAN, 1, -INFINITY, 0 }, name);
        expect_values(wk_relu(a), (double[]){ NAN, 1, 2, 0, INFINITY }, name);
        expect_values(wk_amax(a, (wk_reduce_opts){ 0 }), (double[]){ NAN }, name);
        expect_values(wk_amin(b, (wk_reduce_opts){ 0 }), (double[]){ NAN }, name);
        expect_values(wk_argmax(b, (wk_axis_opts){ { 0 } }), (double[]){ 1 }, name);
        expect_values(wk_eq(a, a), (double[]){ 0, 1, 1, 1, 1 }, name);
        expect_values(wk_ne(a, a), (double[]){ 1, 0, 0, 0, 0 }, name);
    }
    wk_scope_end(scope);
}

/* Long enough for the vector loops, the odd one in each place in turn. */
Test(special_values, nan_and_ties_anywhere_in_a_long_row) {
    enum { LENGTH = 67 };
    for (int at = 0; at < LENGTH; at++) {
        wk_scope scope = wk_scope_begin();
        float row[LENGTH] = { 0 };
        row[at] = NAN;
        expect_values(wk_amax(floats(WK_F32, LENGTH, row), (wk_reduce_opts){ 0 }), (double[]){ NAN }, "amax");
        expect_values(wk_argmax(floats(WK_F32, LENGTH, row), (wk_axis_opts){ { 0 } }), (double[]){ at },
                      "argmax of NaN");
        for (int type = 0; type < 4; type++) { /* every place, every type */

            wk_tensor *x = floats(float_types[type], LENGTH, row);
            wk_tensor *negative = wk_neg(x);
            wk_tensor *pair = wk_contiguous(wk_transpose(wk_stack((wk_tensor *[]){ x, negative }, 2, 0), 0, 1));
            expect_values(wk_amin(x, (wk_reduce_opts){ 0 }), (double[]){ NAN }, "amin");
            expect_values(wk_amin(negative, (wk_reduce_opts){ 0 }), (double[]){ NAN }, "amin of -NaN");
            expect_values(wk_amax(negative, (wk_reduce_opts){ 0 }), (double[]){ NAN }, "amax of -NaN");
            expect_values(wk_argmin(pair, (wk_axis_opts){ WK_SET(0) }), (double[]){ at, at }, "argmin of neighbours");
            expect_values(wk_argmax(pair, (wk_axis_opts){ WK_SET(0) }), (double[]){ at, at }, "argmax of neighbours");
        }
        for (int i = at; i < LENGTH; i++) row[i] = 3;
        expect_values(wk_argmax(floats(WK_F32, LENGTH, row), (wk_axis_opts){ { 0 } }), (double[]){ at },
                      "argmax of equals");
        wk_scope_end(scope);
    }
}

Test(special_values, transcendentals_at_their_ends) {
    wk_scope scope = wk_scope_begin();
    for (int t = 0; t < 2; t++) {
        wk_dtype dtype = float_types[t];
        wk_tensor *x = floats(dtype, 4, (float[]){ INFINITY, -INFINITY, NAN, 0 });
        expect_values(wk_exp(x), (double[]){ INFINITY, 0, NAN, 1 }, "exp");
        expect_values(wk_log(x), (double[]){ INFINITY, NAN, NAN, -INFINITY }, "log");
        expect_values(wk_sqrt(x), (double[]){ INFINITY, NAN, NAN, 0 }, "sqrt");
        expect_values(wk_tanh(x), (double[]){ 1, -1, NAN, 0 }, "tanh");
        expect_values(wk_sigmoid(x), (double[]){ 1, 0, NAN, 0.5 }, "sigmoid");
        expect_values(wk_erf(x), (double[]){ 1, -1, NAN, 0 }, "erf");
        expect_values(wk_sin(x), (double[]){ NAN, NAN, NAN, 0 }, "sin");
        expect_values(wk_cos(x), (double[]){ NAN, NAN, NAN, 1 }, "cos");
        expect_values(wk_gelu(x), (double[]){ INFINITY, 0, NAN, 0 }, "gelu"); /* the limit; PyTorch: −∞ · 0 */
        expect_values(wk_exp(floats(dtype, 2, (float[]){ 1000, -1000 })), (double[]){ INFINITY, 0 }, "exp, far out");
    }
    wk_scope_end(scope);
}

/* erfinv(x) = √π/2 (x + π/12 x³ + …): small arguments keep their digits. */
Test(special_values, erfinv_of_small_numbers) {
    wk_scope scope = wk_scope_begin();
    const double x[] = { 1e-15, -1e-9, 1e-6, -1e-4 };
    const double wanted[] = { 8.86226925452758083e-16, -8.86226925452758069e-10, 8.86226925452989987e-07,
                              -8.86226927772894734e-05 };
    wk_tensor *y = wk_erfinv(wk_from_array(WK_F64, WK_DIMS(4), x));
    cr_assert_not_null(y, "%s", wk_message());
    for (int i = 0; i < 4; i++)
        cr_expect_lt(fabs(wk_at(y, i) - wanted[i]), 1e-15 * fabs(wanted[i]), "erfinv(%g) is %.17g", x[i], wk_at(y, i));
    wk_scope_end(scope);
}

/* A causal mask that is moved beyond either end: every query sees all keys, or none. */
Test(special_values, attention_with_offsets_at_their_ends) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *q = wk_reshape(wk_cast(wk_arange(12), WK_F32), WK_DIMS(1, 3, 4)), *k = wk_scale(q, 0.1);
    wk_tensor *plain = wk_scaled_dot_product_attention(q, k, q, NULL, NULL, (wk_attention_opts){ 0 });
    wk_attention_opts far = { .causal = true, .offset = INT64_MAX }, before = { .causal = true, .offset = INT64_MIN };
    wk_tensor *all = wk_scaled_dot_product_attention(q, k, q, NULL, NULL, far);
    wk_tensor *none = wk_scaled_dot_product_attention(q, k, q, NULL, NULL, before);
    cr_assert(all && none, "%s", wk_message());
    for (int64_t i = 0; i < 12; i++) {
        cr_expect_eq(wk_at(all, i), wk_at(plain, i));
        cr_expect_eq(wk_at(none, i), 0);
    }
    wk_scope_end(scope);
}

Test(special_values, casts_saturate) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_from_array(WK_F64, WK_DIMS(6), (double[]){ 1e30, -1e30, NAN, 300.9, -300.9, -0.5 });
    expect_values(wk_cast(x, WK_I8), (double[]){ 127, -128, 0, 127, -128, 0 }, "i8");
    expect_values(wk_cast(x, WK_U8), (double[]){ 255, 0, 0, 255, 0, 0 }, "u8");
    expect_values(wk_cast(x, WK_I16), (double[]){ 32767, -32768, 0, 300, -300, 0 }, "i16");
    expect_values(wk_cast(x, WK_I32), (double[]){ INT32_MAX, INT32_MIN, 0, 300, -300, 0 }, "i32");
    expect_values(wk_cast(x, WK_BOOL), (double[]){ 1, 1, 1, 1, 1, 1 }, "bool");
    wk_tensor *wide = wk_cast(x, WK_I64);
    cr_assert_eq(((int64_t *)wk_data(wide))[0], INT64_MAX);
    cr_assert_eq(((int64_t *)wk_data(wide))[1], INT64_MIN);
    wk_tensor *single = wk_cast(wk_cast(x, WK_F32), WK_I64);
    cr_assert_eq(((int64_t *)wk_data(single))[0], INT64_MAX);
    wk_scope_end(scope);
}

Test(special_values, promotion) {
    wk_scope scope = wk_scope_begin();
    static const struct {
        wk_dtype a, b, common;
    } cases[] = { { WK_F32, WK_F64, WK_F64 }, { WK_F16, WK_BF16, WK_F32 }, { WK_I64, WK_F16, WK_F16 },
                  { WK_I8, WK_U8, WK_I16 },   { WK_I32, WK_I64, WK_I64 },  { WK_U8, WK_I32, WK_I32 },
                  { WK_BF16, WK_F32, WK_F32 } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int turn = 0; turn < 2; turn++) {
            wk_tensor *a = wk_full(turn ? cases[i].b : cases[i].a, WK_DIMS(3), 2);
            wk_tensor *sum = wk_add(a, wk_full(turn ? cases[i].a : cases[i].b, WK_DIMS(3), 3));
            cr_assert_not_null(sum, "%s", wk_message());
            cr_expect_eq(wk_dtype_get(sum), cases[i].common, "case %zu", i);
            cr_expect_eq(wk_at(sum, 2), 5.0);
        }
    wk_scope_end(scope);
}

/* ---- dropout ---- */

static wk_tensor *mask_of(wk_tensor *x, int64_t seed, int64_t counter, double p) {
    return wk_dropout(x, wk_from_array(WK_I64, WK_DIMS(2), (int64_t[]){ seed, counter }), (wk_dropout_opts){ p });
}

Test(dropout, zeros_a_fraction_and_scales_the_rest) {
    for (int t = 0; t < 4; t++) {
        wk_scope scope = wk_scope_begin();
        double p = 0.25, zeros = 0;
        wk_tensor *x = wk_full(float_types[t], WK_DIMS(200, 500), 3), *y = mask_of(x, 7, 0, p);
        cr_assert_not_null(y, "%s", wk_message());
        double *values = tensor_values(y);
        for (int64_t i = 0; i < wk_count(y); i++) {
            zeros += values[i] == 0;
            cr_assert(values[i] == 0 || fabs(values[i] - 4) < 0.05, "%g", values[i]);
        }
        free(values);
        /* 100 000 draws: five standard deviations are 0.0068. */
        cr_expect_lt(fabs(zeros / 1e5 - p), 0.0068);
        wk_scope_end(scope);
    }
}

Test(dropout, equal_keys_give_equal_masks) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_full(WK_F32, WK_DIMS(3, 50, 41), 1), *y = mask_of(x, 1, 5, 0.5);
    cr_expect(same_bits(y, mask_of(x, 1, 5, 0.5)));
    cr_expect_not(same_bits(y, mask_of(x, 1, 6, 0.5)), "another counter");
    cr_expect_not(same_bits(y, mask_of(x, 2, 5, 0.5)), "another seed");
    wk_set_threads(1);
    cr_expect(same_bits(y, mask_of(x, 1, 5, 0.5)), "one thread");
    wk_set_threads(2);
    cr_expect(same_bits(y, mask_of(x, 1, 5, 0.5)), "two threads");
    cr_expect(same_bits(wk_cast(y, WK_F64), mask_of(wk_cast(x, WK_F64), 1, 5, 0.5)), "f64");
    cr_expect(same_bits(wk_cast(y, WK_BF16), mask_of(wk_cast(x, WK_BF16), 1, 5, 0.5)), "bf16");
    for (int layout = 0; layout < WK__SAMPLE_LAYOUTS; layout++)
        cr_expect(same_bits(y, mask_of(wk__sample_lay_out(x, (wk__sample_layout)layout), 1, 5, 0.5)), "layout %d",
                  layout);
    wk_scope_end(scope);
}

/* The mask is a function of (seed, counter, element): neighbours must not repeat each other. */
Test(dropout, elements_are_independent) {
    wk_scope scope = wk_scope_begin();
    enum { COUNT = 100000 };
    wk_tensor *y = mask_of(wk_full(WK_F32, WK_DIMS(COUNT), 1), 11, 3, 0.5);
    const float *v = wk_data(y);
    for (int lag = 1; lag <= 16; lag++) {
        double equal = 0;
        for (int i = 0; i + lag < COUNT; i++) equal += (v[i] == 0) == (v[i + lag] == 0);
        cr_expect_lt(fabs(equal / (COUNT - lag) - 0.5), 0.008, "lag %d: %g", lag, equal / (COUNT - lag));
    }
    wk_scope_end(scope);
}

Test(dropout, nothing_dropped_is_nothing_changed) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk__sample_draw(&(wk_sample_in){ .dims = WK_DIMS(33, 7) }, 0, WK_F32, WK__SAMPLE_AS_SAID);
    cr_expect(same_bits(x, mask_of(x, 0, 0, 0)));
    wk_scope_end(scope);
}

/* ---- optimizers ---- */

/* A call of a rule's largest form: scalars, and one operand of 40 elements a list (numbers and the step count: one). */
static int make_call(wk_tensor *list[], const wk_step_attrs *attrs, double found_inf) {
    const double scalars[WK_STEP_SCALARS] = { 0.1, 1, found_inf, 0.1, 0.6, 0.8, 0.01, 0.5, 0.4 };
    int n = 0;
    list[n++] = wk_from_array(WK_F64, WK_DIMS(WK_STEP_SCALARS), scalars);
    list[n++] = wk_full(WK_F32, WK_DIMS(40), 1);
    list[n++] = wk_full(WK_F32, WK_DIMS(40), 2);
    list[n++] = wk_full(WK_I64, WK_SCALAR, 6);
    for (int i = 0; i < attrs->numbers; i++) list[n++] = wk_full(WK_F64, WK_SCALAR, 0.5);
    for (int i = 0; i < WK_STEP_STATES; i++)
        if (attrs->states >> i & 1) list[n++] = wk_full(WK_F32, WK_DIMS(40), i ? 0.5 : 3);
    return n;
}

static void check_predicate(const char *row, int64_t states, int64_t numbers) {
    wk_scope scope = wk_scope_begin();
    const wk_step_attrs attrs = { 1, numbers, states, false, false };
    wk_tensor *list[16], *untouched[16];
    int n = make_call(list, &attrs, 1);
    (void)make_call(untouched, &attrs, 1);
    cr_assert_eq(wk_op_run(wk_op_find(row), list, n, NULL, &attrs), WK_OK, "%s", wk_message());
    for (int i = 0; i < n; i++) cr_expect(same_bits(list[i], untouched[i]), "%s moved operand %d", row, i);
    (void)make_call(list, &attrs, 0);
    cr_assert_eq(wk_op_run(wk_op_find(row), list, n, NULL, &attrs), WK_OK, "%s", wk_message());
    cr_expect_neq(wk_at(list[1], 39), 1.0, "%s", row);
    cr_expect_eq(wk_item(list[3]), 7.0, "%s", row);
    wk_scope_end(scope);
}

Test(optimizer_rows, nothing_moves_when_an_infinity_was_found) {
#define CHECK(name, states, least, numbers) check_predicate(#name "_step", states, numbers);
    WK_STEP_ROWS(CHECK)
}
