/* pointwise.c: operations on two operands, and `where`.
 *
 * A row per operation and type; iterate.h brings every layout to them.  Integers wrap around, which unsigned arithmetic
 * gives without undefined behaviour and lets signed and unsigned share a row; `gt` and `ge` are `lt` and `le` with the
 * operands exchanged; bf16 and f16 share the rows of f32.
 */
#include "cpu/simd/iterate.h"

/* out[i] = expression of a and b */
#define ROW(name, in_type, out_type, expression)                                                  \
    static void name(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        (void)params;                                                                             \
        out_type *restrict out = out_;                                                            \
        const in_type *restrict first = in[0], *restrict second = in[1];                          \
        for (int64_t i = 0; i < n; i++) {                                                         \
            in_type a = first[i], b = second[i];                                                  \
            out[i] = (out_type)(expression);                                                      \
        }                                                                                         \
    }

/* The same, and the rows in which one operand is a single number. */
#define ONCE_ROW(name, type, expression, first_step, second_step)                                 \
    static void name(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        (void)params;                                                                             \
        type *restrict out = out_;                                                                \
        const type *restrict first = in[0], *restrict second = in[1];                             \
        for (int64_t i = 0; i < n; i++) {                                                         \
            type a = first[i * first_step], b = second[i * second_step];                          \
            out[i] = expression;                                                                  \
        }                                                                                         \
    }
#define ROWS_OF_PAIRS(name, type, expression)      \
    ROW(name, type, type, expression)              \
    ONCE_ROW(name##_first, type, expression, 0, 1) \
    ONCE_ROW(name##_second, type, expression, 1, 0)

/* The kernel of an operation: its rows by the dtype of the inputs. */
#define KERNEL(name)                                                        \
    static wk_status name(wk_kernel_ctx *ctx, const wk_call *call) {        \
        return wk_map(ctx, call, 2, name##_rows[call->in[0]->dtype], NULL); \
    }

#define PAIR_KERNEL(name)                                                                                      \
    static const wk_row name##_once[WK_DTYPE_COUNT][2] = {                                                     \
        [WK_F32] = { name##_f32_first, name##_f32_second }, [WK_F64] = { name##_f64_first, name##_f64_second } \
    };                                                                                                         \
    static wk_status name(wk_kernel_ctx *ctx, const wk_call *call) {                                           \
        const unsigned dtype = call->in[0]->dtype;                                                             \
        const bool spreads = call->in[0]->count != call->in[1]->count;                                         \
        return spreads && call->out[0]->count ? wk_map_pair(ctx, call, name##_rows[dtype], name##_once[dtype]) \
                                              : wk_map(ctx, call, 2, name##_rows[dtype], NULL);                \
    }

/* `1u *` widens what would otherwise be promoted to int, where a product of two u16 can overflow. */
#define ARITHMETIC(name, operator)                                            \
    ROWS_OF_PAIRS(name##_f32, float, a operator b)                            \
    ROWS_OF_PAIRS(name##_f64, double, a operator b)                           \
    ROW(name##_b8, uint64_t, uint64_t, a operator b)                          \
    ROW(name##_b4, uint32_t, uint32_t, a operator b)                          \
    ROW(name##_b2, uint16_t, uint16_t, 1u * a operator b)                     \
    ROW(name##_b1, uint8_t, uint8_t, 1u * a operator b)                       \
    static const wk_row name##_rows[WK_DTYPE_COUNT] = {                       \
        [WK_F32] = name##_f32, [WK_BF16] = name##_f32, [WK_F16] = name##_f32, \
        [WK_F64] = name##_f64, [WK_I64] = name##_b8,   [WK_I32] = name##_b4,  \
        [WK_I16] = name##_b2,  [WK_I8] = name##_b1,    [WK_U8] = name##_b1,   \
    };                                                                        \
    PAIR_KERNEL(name)

ARITHMETIC(add, +)
static wk_status add_into(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_call sum = *call;
    sum.out = (wk_tensor *[]){ call->in[0] };
    sum.n_out = 1;
    return add(ctx, &sum);
}
ARITHMETIC(sub, -)
ARITHMETIC(mul, *)

ROWS_OF_PAIRS(divide_f32, float, a / b)
ROWS_OF_PAIRS(divide_f64, double, a / b)
static const wk_row divide_rows[WK_DTYPE_COUNT] = {
    [WK_F32] = divide_f32, [WK_BF16] = divide_f32, [WK_F16] = divide_f32, [WK_F64] = divide_f64
};
PAIR_KERNEL(divide)

/* NaN wins: a comparison with NaN is false, so a NaN in b is taken by itself and one in a is asked for. */
#define EXTREMUM(name, operator)                                              \
    ROW(name##_f32, float, float, a operator b || a != a ? a : b)             \
    ROW(name##_f64, double, double, a operator b || a != a ? a : b)           \
    ROW(name##_i64, int64_t, int64_t, a operator b ? a : b)                   \
    ROW(name##_i32, int32_t, int32_t, a operator b ? a : b)                   \
    ROW(name##_i16, int16_t, int16_t, a operator b ? a : b)                   \
    ROW(name##_i8, int8_t, int8_t, a operator b ? a : b)                      \
    ROW(name##_u8, uint8_t, uint8_t, a operator b ? a : b)                    \
    static const wk_row name##_rows[WK_DTYPE_COUNT] = {                       \
        [WK_F32] = name##_f32, [WK_BF16] = name##_f32, [WK_F16] = name##_f32, \
        [WK_F64] = name##_f64, [WK_I64] = name##_i64,  [WK_I32] = name##_i32, \
        [WK_I16] = name##_i16, [WK_I8] = name##_i8,    [WK_U8] = name##_u8,   \
    };                                                                        \
    KERNEL(name)

EXTREMUM(maximum, >)
EXTREMUM(minimum, <)

#define COMPARISON(name, operator)                                                                   \
    ROW(name##_f32, float, uint8_t, a operator b)                                                    \
    ROW(name##_f64, double, uint8_t, a operator b)                                                   \
    ROW(name##_i64, int64_t, uint8_t, a operator b)                                                  \
    ROW(name##_i32, int32_t, uint8_t, a operator b)                                                  \
    ROW(name##_i16, int16_t, uint8_t, a operator b)                                                  \
    ROW(name##_i8, int8_t, uint8_t, a operator b)                                                    \
    ROW(name##_u8, uint8_t, uint8_t, a operator b)                                                   \
    static const wk_row name##_rows[WK_DTYPE_COUNT] = {                                              \
        [WK_F32] = name##_f32, [WK_BF16] = name##_f32, [WK_F16] = name##_f32, [WK_F64] = name##_f64, \
        [WK_I64] = name##_i64, [WK_I32] = name##_i32,  [WK_I16] = name##_i16, [WK_I8] = name##_i8,   \
        [WK_U8] = name##_u8,   [WK_BOOL] = name##_u8,                                                \
    };                                                                                               \
    KERNEL(name)

COMPARISON(eq, ==)
COMPARISON(ne, !=)
COMPARISON(lt, <)
COMPARISON(le, <=)

static wk_status exchanged(wk_kernel_ctx *ctx, const wk_call *call, wk_kernel kernel) {
    wk_tensor *const in[] = { call->in[1], call->in[0] };
    wk_call other = *call;
    other.in = in;
    return kernel(ctx, &other);
}

static wk_status gt(wk_kernel_ctx *ctx, const wk_call *call) {
    return exchanged(ctx, call, lt);
}

static wk_status ge(wk_kernel_ctx *ctx, const wk_call *call) {
    return exchanged(ctx, call, le);
}

/* relu_backward (dy, y) -> dx: dy where the result was above 0 */
ROW(relu_backward_f32, float, float, b > 0 ? a : 0)
ROW(relu_backward_f64, double, double, b > 0 ? a : 0)
static const wk_row relu_backward_rows[WK_DTYPE_COUNT] = { [WK_F32] = relu_backward_f32,
                                                           [WK_BF16] = relu_backward_f32,
                                                           [WK_F16] = relu_backward_f32,
                                                           [WK_F64] = relu_backward_f64 };
KERNEL(relu_backward)

/* where (condition, a, b): by element size.  16-bit floats are widened and narrowed again by wk_map, which is exact. */
#define WHERE(name, type)                                                                         \
    static void name(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        (void)params;                                                                             \
        type *restrict out = out_;                                                                \
        const uint8_t *restrict condition = in[0];                                                \
        const type *restrict a = in[1], *restrict b = in[2];                                      \
        for (int64_t i = 0; i < n; i++) {                                                         \
            type yes = a[i], no = b[i];                                                           \
            out[i] = condition[i] ? yes : no;                                                     \
        }                                                                                         \
    }
WHERE(where_b8, uint64_t)
WHERE(where_b4, uint32_t)
WHERE(where_b2, uint16_t)
WHERE(where_b1, uint8_t)
static const wk_row where_rows[WK_DTYPE_COUNT] = {
    [WK_F32] = where_b4, [WK_F64] = where_b8, [WK_BF16] = where_b4, [WK_F16] = where_b4, [WK_I64] = where_b8,
    [WK_I32] = where_b4, [WK_I16] = where_b2, [WK_I8] = where_b1,   [WK_U8] = where_b1,  [WK_BOOL] = where_b1,
};
static wk_status where(wk_kernel_ctx *ctx, const wk_call *call) {
    return wk_map(ctx, call, 3, where_rows[call->in[1]->dtype], NULL);
}

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
WK_CPU_TABLE(pointwise) = {
    { "add", WK_NUMBERS, add },
    { "add_into", WK_NUMBERS, add_into },
    { "sub", WK_NUMBERS, sub },
    { "mul", WK_NUMBERS, mul },
    { "div", WK_FLOATS, divide },
    { "maximum", WK_NUMBERS, maximum },
    { "minimum", WK_NUMBERS, minimum },
    { "eq", ANY, eq },
    { "ne", ANY, ne },
    { "lt", ANY, lt },
    { "le", ANY, le },
    { "gt", ANY, gt },
    { "ge", ANY, ge },
    { "where", ANY, where },
    { "relu_backward", WK_FLOATS, relu_backward },
    { 0 },
};
