/* logic.c: truth values, bits, and questions about floats. */
#define WK_NO_CALL_SITES
#include "tensor/ops/pointwise/rows.h"

#define ANY  ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
#define BITS ((wk_dtype_set)(WK_INTEGERS | WK_SET_OF(WK_BOOL)))

static void shift_samples(wk_sampler *s) {
    WK_CASE(s, "same", NULL, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5), .low = 0, .high = 1.2 });
    WK_CASE(s, "column", NULL, { .dims = WK_DIMS(3, 1) }, { .dims = WK_DIMS(3, 7), .low = 0, .high = 1.2 });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(5, 6, 7), .strided = true },
            { .dims = WK_DIMS(5, 6, 7), .low = 0, .high = 1.2 });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0) }, { .dims = WK_DIMS(0) });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(129, 257) }, { .dims = WK_DIMS(129, 257), .low = 0, .high = 1.2 });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .low = 0, .high = 1.2 });
}
static void isclose_samples(wk_sampler *s) {
    const wk_isclose_opts plain = { .equal_nan = false }, loose = { WK_SET(0.5), WK_SET(0.1), true };
    WK_CASE(s, "plain", &plain, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "loose", &loose, { .dims = WK_DIMS(4, 1) }, { .dims = WK_DIMS(5), .strided = true });
    WK_CASE(s, "large", &loose, { .dims = WK_DIMS(129, 257) }, { .dims = WK_DIMS(129, 257) });
    WK_HUGE_CASE(s, "huge", &plain, { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(512, 1024) });
}

#define TRUTH "its result is a truth value"
#define WHOLE "its operands are integers"
#define ROW(id, text, inputs, dtypes, rule, reason, cases)                                                 \
    static wk_op_def id##_row = {                                                                          \
        .name = #id,                                                                                       \
        .doc = text,                                                                                       \
        .n_in = inputs,                                                                                    \
        .n_out = 1,                                                                                        \
        .elementwise = true,                                                                               \
        .dtype = { .allowed = { dtypes, dtypes }, .same = (1 << (inputs)) - 1, .promote = (inputs) == 2 }, \
        .shape = rule,                                                                                     \
        .not_differentiable = reason,                                                                      \
        .cost = cheap,                                                                                     \
        .samples = cases                                                                                   \
    }
#define QUESTION(id, text, inputs, cases) ROW(id, text, inputs, ANY, like_operands_bool, TRUTH, cases)
QUESTION(logical_and, "both are not 0", 2, binary_samples);
QUESTION(logical_or, "one is not 0", 2, binary_samples);
QUESTION(logical_xor, "exactly one is not 0", 2, binary_samples);
QUESTION(logical_not, "x is 0", 1, unary_samples);
QUESTION(isnan, "x is NaN", 1, unary_samples);
QUESTION(isinf, "x is an infinity", 1, unary_samples);
QUESTION(isfinite, "x is neither NaN nor an infinity", 1, unary_samples);
ROW(bitwise_and, "a & b", 2, BITS, like_operands, WHOLE, binary_samples);
ROW(bitwise_or, "a | b", 2, BITS, like_operands, WHOLE, binary_samples);
ROW(bitwise_xor, "a ^ b", 2, BITS, like_operands, WHOLE, binary_samples);
ROW(bitwise_not, "~x; of a truth value the other one", 1, BITS, like_operands, WHOLE, unary_samples);
ROW(left_shift, "a << b", 2, WK_INTEGERS, like_operands, WHOLE, shift_samples);
ROW(right_shift, "a >> b, keeping the sign", 2, WK_INTEGERS, like_operands, WHOLE, shift_samples);

#define CALL_1(id)                             \
    wk_tensor *wk_##id(wk_tensor *x) {         \
        return wk_op_run1(&id##_row, NULL, x); \
    }
#define CALL_2(id)                                   \
    wk_tensor *wk_##id(wk_tensor *a, wk_tensor *b) { \
        return wk_op_run2(&id##_row, NULL, a, b);    \
    }
CALL_2(logical_and)
CALL_2(logical_or)
CALL_2(logical_xor)
CALL_1(logical_not)
CALL_1(isnan)
CALL_1(isinf)
CALL_1(isfinite)
CALL_2(bitwise_and)
CALL_2(bitwise_or)
CALL_2(bitwise_xor)
CALL_1(bitwise_not)
CALL_2(left_shift)
CALL_2(right_shift)

static const wk_attr_def isclose_attrs[] = {
    { "rtol", WK_ATTR_OPTIONAL, offsetof(wk_isclose_opts, rtol), 0, NULL, 1e-5, "relative tolerance" },
    { "atol", WK_ATTR_OPTIONAL, offsetof(wk_isclose_opts, atol), 0, NULL, 1e-8, "absolute tolerance" },
    { "equal_nan", WK_ATTR_BOOL, offsetof(wk_isclose_opts, equal_nan), 0, NULL, 0, "NaN is close to NaN" },
};
static wk_op_def isclose_row = { .name = "isclose",
                                 .doc = "|a - b| <= atol + rtol |b|, or equal",
                                 .n_in = 2,
                                 .n_out = 1,
                                 .elementwise = true,
                                 .attrs = isclose_attrs,
                                 .n_attrs = 3,
                                 .attrs_size = sizeof(wk_isclose_opts),
                                 .dtype = { .allowed = { ANY, ANY }, .same = 3, .promote = true },
                                 .shape = like_operands_bool,
                                 .not_differentiable = TRUTH,
                                 .cost = cheap,
                                 .samples = isclose_samples };
wk_tensor *wk_isclose(wk_tensor *a, wk_tensor *b, wk_isclose_opts opts) {
    return wk_op_run2(&isclose_row, &opts, a, b);
}

wk_op_def *const wk__rows_logic[] = {
    &logical_and_row, &logical_or_row, &logical_xor_row, &logical_not_row, &isnan_row,
    &isinf_row,       &isfinite_row,   &bitwise_and_row, &bitwise_or_row,  &bitwise_xor_row,
    &bitwise_not_row, &left_shift_row, &right_shift_row, &isclose_row,     NULL,
};
