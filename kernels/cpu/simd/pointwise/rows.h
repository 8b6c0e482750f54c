/* rows.h: how the files of this folder write row kernels: one expression, once for each type.
 *
 * In an expression `real` is the type that is computed in (f32 for the half types), a, b, c (or x) are the operands,
 * and p points to the attributes.  <tgmath.h> picks floorf for a float and floor for a double.
 */
#ifndef WICK_KERNELS_POINTWISE_ROWS_H
#define WICK_KERNELS_POINTWISE_ROWS_H

#include "cpu/simd/iterate.h"
#include "cpu/simd/vector_library.h"
#include "cpu/simd/vector_math.h"

#include <tgmath.h>

/* Options are copied to the stack: a load that only one side of a choice makes would keep the loop scalar. */
typedef struct wk_none {
    bool unused;
} wk_none;
#define WK_OPTS(opts)                                             \
    const opts held_opts = _Generic((opts *)NULL, wk_none *       \
                                    : (wk_none){ false }, default \
                                    : *(const opts *)params),     \
               *p = &held_opts;                                   \
    (void)params

/* out[i] = expression of a, b, c; rows of fewer operands do not use the later ones. */
#define WK_ROW_1(name, opts, in_type, out_type, expression)                                       \
    static void name(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        typedef in_type real;                                                                     \
        WK_OPTS(opts);                                                                            \
        out_type *restrict out = out_;                                                            \
        const real *restrict first = in[0];                                                       \
        (void)p;                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                         \
            real x = first[i];                                                                    \
            out[i] = (out_type)(expression);                                                      \
        }                                                                                         \
    }
#define WK_ROW_2(name, opts, in_type, out_type, expression)                                       \
    static void name(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        typedef in_type real;                                                                     \
        WK_OPTS(opts);                                                                            \
        out_type *restrict out = out_;                                                            \
        const real *restrict first = in[0], *restrict second = in[1];                             \
        (void)p;                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                         \
            real a = first[i], b = second[i];                                                     \
            out[i] = (out_type)(expression);                                                      \
        }                                                                                         \
    }
#define WK_ROW_3(name, opts, in_type, out_type, expression)                                       \
    static void name(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        typedef in_type real;                                                                     \
        WK_OPTS(opts);                                                                            \
        out_type *restrict out = out_;                                                            \
        const real *restrict first = in[0], *restrict second = in[1], *restrict third = in[2];    \
        (void)p;                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                         \
            real a = first[i], b = second[i], c = third[i];                                       \
            out[i] = (out_type)(expression);                                                      \
        }                                                                                         \
    }

/* Integers are computed in i64: `type` stores them. */
#define WK_INTEGER_ROW_1(name, opts, type, expression)                                            \
    static void name(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        WK_OPTS(opts);                                                                            \
        type *restrict out = out_;                                                                \
        const type *restrict first = in[0];                                                       \
        (void)p;                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                         \
            int64_t x = first[i];                                                                 \
            out[i] = (type)(expression);                                                          \
        }                                                                                         \
    }
#define WK_INTEGER_ROW_2(name, opts, type, expression)                                            \
    static void name(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        enum { bits = 8 * sizeof(type) };                                                         \
        WK_OPTS(opts);                                                                            \
        type *restrict out = out_;                                                                \
        const type *restrict first = in[0], *restrict second = in[1];                             \
        (void)p;                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                         \
            int64_t a = first[i], b = second[i];                                                  \
            (void)bits;                                                                           \
            out[i] = (type)(expression);                                                          \
        }                                                                                         \
    }
#define WK_INTEGER_ROW_3(name, opts, type, expression)                                            \
    static void name(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        WK_OPTS(opts);                                                                            \
        type *restrict out = out_;                                                                \
        const type *restrict first = in[0], *restrict second = in[1], *restrict third = in[2];    \
        (void)p;                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                         \
            int64_t a = first[i], b = second[i], c = third[i];                                    \
            out[i] = (type)(expression);                                                          \
        }                                                                                         \
    }
#define WK_INTEGER_ROWS(ROW, name, opts, expression) \
    ROW(name##_i64, opts, int64_t, expression)       \
    ROW(name##_i32, opts, int32_t, expression)       \
    ROW(name##_i16, opts, int16_t, expression)       \
    ROW(name##_i8, opts, int8_t, expression)         \
    ROW(name##_u8, opts, uint8_t, expression)
#define WK_FLOAT_ROWS(ROW, name, opts, expression)  \
    ROW(name##_f32, opts, float, float, expression) \
    ROW(name##_f64, opts, double, double, expression)

#define WK_FLOAT_TABLE(name) [WK_F32] = name##_f32, [WK_BF16] = name##_f32, [WK_F16] = name##_f32, [WK_F64] = name##_f64
#define WK_INTEGER_TABLE(name) \
    [WK_I64] = name##_i64, [WK_I32] = name##_i32, [WK_I16] = name##_i16, [WK_I8] = name##_i8, [WK_U8] = name##_u8

/* The kernel of an operation: its rows by the dtype of the first input, its attributes as they are. */
#define WK_MAP_KERNEL(name, inputs)                                                     \
    static wk_status name(wk_kernel_ctx *ctx, const wk_call *call) {                    \
        return wk_map(ctx, call, inputs, name##_rows[call->in[0]->dtype], call->attrs); \
    }
#define WK_FLOAT_FUNCTION(name, inputs, opts, expression)  \
    WK_FLOAT_ROWS(WK_ROW_##inputs, name, opts, expression) \
    static const wk_row name##_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(name) };
#define WK_FLOAT_KERNEL(name, inputs, opts, expression) \
    WK_FLOAT_FUNCTION(name, inputs, opts, expression)   \
    WK_MAP_KERNEL(name, inputs)
#define WK_NUMBER_KERNEL(name, inputs, opts, of_floats, of_integers)                                    \
    WK_FLOAT_ROWS(WK_ROW_##inputs, name, opts, of_floats)                                               \
    WK_INTEGER_ROWS(WK_INTEGER_ROW_##inputs, name, opts, of_integers)                                   \
    static const wk_row name##_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(name), WK_INTEGER_TABLE(name) }; \
    WK_MAP_KERNEL(name, inputs)

/* t = function(before(x)), out = after(x, t), through a chunk that stays in the first-level cache. */
#define WK_ROW_BY(name, opts, type, function, before, after)                                      \
    static void name(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        typedef type real;                                                                        \
        WK_OPTS(opts);                                                                            \
        real *restrict out = out_, held[WK_CHUNK];                                                \
        const real *restrict first = in[0];                                                       \
        (void)p;                                                                                  \
        for (int64_t at = 0; at < n; at += WK_CHUNK) {                                            \
            int64_t part = n - at < WK_CHUNK ? n - at : WK_CHUNK;                                 \
            for (int64_t i = 0; i < part; i++) {                                                  \
                real x = first[at + i];                                                           \
                held[i] = (real)(before);                                                         \
            }                                                                                     \
            function(held, held, part);                                                           \
            for (int64_t i = 0; i < part; i++) {                                                  \
                real x = first[at + i], t = held[i];                                              \
                (void)x;                                                                          \
                out[at + i] = (real)(after);                                                      \
            }                                                                                     \
        }                                                                                         \
    }
/* The same of two operands a and b. */
#define WK_ROW_BY_2(name, opts, type, function, before, after)                                    \
    static void name(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        typedef type real;                                                                        \
        WK_OPTS(opts);                                                                            \
        real *restrict out = out_, held[WK_CHUNK];                                                \
        const real *restrict first = in[0], *restrict second = in[1];                             \
        (void)p;                                                                                  \
        for (int64_t at = 0; at < n; at += WK_CHUNK) {                                            \
            int64_t part = n - at < WK_CHUNK ? n - at : WK_CHUNK;                                 \
            for (int64_t i = 0; i < part; i++) {                                                  \
                real a = first[at + i], b = second[at + i];                                       \
                (void)a;                                                                          \
                held[i] = (real)(before);                                                         \
            }                                                                                     \
            function(held, held, part);                                                           \
            for (int64_t i = 0; i < part; i++) {                                                  \
                real a = first[at + i], b = second[at + i], t = held[i];                          \
                (void)b;                                                                          \
                out[at + i] = (real)(after);                                                      \
            }                                                                                     \
        }                                                                                         \
    }
#define WK_FLOAT_FUNCTION_BY(name, opts, function, before, after)            \
    WK_ROW_BY(name##_f32, opts, float, wk_##function##_f32s, before, after)  \
    WK_ROW_BY(name##_f64, opts, double, wk_##function##_f64s, before, after) \
    static const wk_row name##_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(name) };
#define WK_FLOAT_KERNEL_BY(name, opts, function, before, after) \
    WK_FLOAT_FUNCTION_BY(name, opts, function, before, after)   \
    WK_MAP_KERNEL(name, 1)
#define WK_FLOAT_KERNEL_BY_2(name, opts, function, before, after)               \
    WK_ROW_BY_2(name##_f32, opts, float, wk_##function##_f32s, before, after)   \
    WK_ROW_BY_2(name##_f64, opts, double, wk_##function##_f64s, before, after)  \
    static const wk_row name##_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(name) }; \
    WK_MAP_KERNEL(name, 2)

#endif
