/* logic.c: truth values, bits, and questions about floats.  What is not 0 is true, NaN too. */
#include "cpu/simd/pointwise/rows.h"

#define TRUTH_ROWS(inputs, name, opts, expression)                                                          \
    WK_ROW_##inputs(name##_f32, opts, float, uint8_t, expression)                                           \
        WK_ROW_##inputs(name##_f64, opts, double, uint8_t, expression)                                      \
            WK_ROW_##inputs(name##_i64, opts, int64_t, uint8_t, expression)                                 \
                WK_ROW_##inputs(name##_i32, opts, int32_t, uint8_t, expression)                             \
                    WK_ROW_##inputs(name##_i16, opts, int16_t, uint8_t, expression)                         \
                        WK_ROW_##inputs(name##_i8, opts, int8_t, uint8_t, expression)                       \
                            WK_ROW_##inputs(name##_u8, opts, uint8_t, uint8_t,                              \
                                            expression) static const wk_row name##_rows[WK_DTYPE_COUNT] = { \
                                WK_FLOAT_TABLE(name), WK_INTEGER_TABLE(name), [WK_BOOL] = name##_u8         \
                            };                                                                              \
    WK_MAP_KERNEL(name, inputs)
TRUTH_ROWS(2, logical_and, wk_none, (a != 0) & (b != 0))
TRUTH_ROWS(2, logical_or, wk_none, (a != 0) | (b != 0))
TRUTH_ROWS(2, logical_xor, wk_none, (a != 0) ^ (b != 0))
TRUTH_ROWS(1, logical_not, wk_none, x == 0)
/* Integers are numbers all of them. */
TRUTH_ROWS(1, is_nan, wk_none, x != x)
TRUTH_ROWS(1, is_inf, wk_none, (double)x == (double)INFINITY || (double)x == -(double)INFINITY)
TRUTH_ROWS(1, is_finite, wk_none, x - x == 0)
/* An infinite distance is close to nothing, an infinity to itself. */
#define NEAR(a, b)                                                                                                  \
    (fabs((double)a - (double)b) <= wk_optional_or(p->atol, 1e-8) + wk_optional_or(p->rtol, 1e-5) * fabs((double)b) \
     && fabs((double)a - (double)b) < (double)INFINITY)
TRUTH_ROWS(2, is_close, wk_isclose_opts, a == b || (p->equal_nan && a != a && b != b) || NEAR(a, b))

#define BIT_ROWS(inputs, name, expression)                                      \
    WK_ROW_##inputs(name##_i64, wk_none, int64_t, int64_t, expression)          \
        WK_ROW_##inputs(name##_i32, wk_none, int32_t, int32_t, expression)      \
            WK_ROW_##inputs(name##_i16, wk_none, int16_t, int16_t, expression)  \
                WK_ROW_##inputs(name##_i8, wk_none, int8_t, int8_t, expression) \
                    WK_ROW_##inputs(name##_u8, wk_none, uint8_t, uint8_t, expression)
#define BIT_KERNEL(inputs, name, of_bool)                                                              \
    static const wk_row name##_rows[WK_DTYPE_COUNT] = { WK_INTEGER_TABLE(name), [WK_BOOL] = of_bool }; \
    WK_MAP_KERNEL(name, inputs)
BIT_ROWS(2, bitwise_and, a &b)
BIT_KERNEL(2, bitwise_and, bitwise_and_u8)
BIT_ROWS(2, bitwise_or, a | b)
BIT_KERNEL(2, bitwise_or, bitwise_or_u8)
BIT_ROWS(2, bitwise_xor, a ^ b)
BIT_KERNEL(2, bitwise_xor, bitwise_xor_u8)
BIT_ROWS(1, bitwise_not, ~x)
BIT_KERNEL(1, bitwise_not, logical_not_u8)

/* Shifts by what is not in [0, bits) leave nothing but the sign. */
WK_INTEGER_ROWS(WK_INTEGER_ROW_2, left_shift, wk_none, b < 0 || b >= bits ? 0 : (uint64_t)a << b)
static const wk_row left_shift_rows[WK_DTYPE_COUNT] = { WK_INTEGER_TABLE(left_shift) };
WK_MAP_KERNEL(left_shift, 2)
WK_INTEGER_ROWS(WK_INTEGER_ROW_2, right_shift, wk_none, b < 0 || b >= bits ? (a < 0 ? -1 : 0) : a >> b)
static const wk_row right_shift_rows[WK_DTYPE_COUNT] = { WK_INTEGER_TABLE(right_shift) };
WK_MAP_KERNEL(right_shift, 2)

#define ANY  ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
#define BITS ((wk_dtype_set)(WK_INTEGERS | WK_SET_OF(WK_BOOL)))
WK_CPU_TABLE(logic) = {
    { "logical_and", ANY, logical_and },
    { "logical_or", ANY, logical_or },
    { "logical_xor", ANY, logical_xor },
    { "logical_not", ANY, logical_not },
    { "isnan", ANY, is_nan },
    { "isinf", ANY, is_inf },
    { "isfinite", ANY, is_finite },
    { "isclose", ANY, is_close },
    { "bitwise_and", BITS, bitwise_and },
    { "bitwise_or", BITS, bitwise_or },
    { "bitwise_xor", BITS, bitwise_xor },
    { "bitwise_not", BITS, bitwise_not },
    { "left_shift", WK_INTEGERS, left_shift },
    { "right_shift", WK_INTEGERS, right_shift },
    { 0 },
};
