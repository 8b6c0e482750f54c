/* unary.c: operations on one operand.
 *
 * Like pointwise.c, a row per operation and type.  f32 uses the functions of vector_math.h, so that loops stay vector
 * code (exp in cache, one thread: 0.3 ns an element under AVX-512, 3.0 with expf); f64 calls libm.
 */
#include "cpu/simd/iterate.h"
#include "cpu/simd/vector_math.h"

/* out[i] = expression of x; `affine` alone reads params. */
#define ROW(name, type, expression)                                                               \
    static void name(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        (void)params;                                                                             \
        type *restrict out = out_;                                                                \
        const type *restrict first = in[0];                                                       \
        for (int64_t i = 0; i < n; i++) {                                                         \
            type x = first[i];                                                                    \
            out[i] = (type)(expression);                                                          \
        }                                                                                         \
    }

#define KERNEL(name)                                                               \
    static wk_status name(wk_kernel_ctx *ctx, const wk_call *call) {               \
        return wk_map(ctx, call, 1, name##_rows[call->in[0]->dtype], call->attrs); \
    }

#define FLOAT_ROWS(name) [WK_F32] = name##_f32, [WK_BF16] = name##_f32, [WK_F16] = name##_f32, [WK_F64] = name##_f64

#define FLOAT_KERNEL(name, of_f32, of_f64)                                  \
    ROW(name##_f32, float, of_f32)                                          \
    ROW(name##_f64, double, of_f64)                                         \
    static const wk_row name##_rows[WK_DTYPE_COUNT] = { FLOAT_ROWS(name) }; \
    KERNEL(name)

FLOAT_KERNEL(exponential, wk_exp_f32(x), exp(x))
FLOAT_KERNEL(logarithm, wk_log_f32(x), log(x))
FLOAT_KERNEL(square_root, sqrtf(x), sqrt(x))
FLOAT_KERNEL(tangent, wk_tanh_f32(x), tanh(x))
FLOAT_KERNEL(error_function, wk_erf_f32(x), erf(x))
FLOAT_KERNEL(sigmoid, wk_sigmoid_f32(x), x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x)))
FLOAT_KERNEL(relu, x < 0 ? 0 : x, x < 0 ? 0 : x) /* NaN is not below 0 */

/* Large arguments are rare and go to libm afterwards. */
#define TRIGONOMETRY(name, quadrant, from_libm)                                                         \
    static void name##_f32(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        (void)params;                                                                                   \
        float *restrict out = out_;                                                                     \
        const float *restrict x = in[0];                                                                \
        for (int64_t i = 0; i < n; i++) out[i] = wk_trigonometry_f32(x[i], quadrant);                   \
        for (int64_t i = 0; i < n; i++)                                                                 \
            if (!(fabsf(x[i]) <= WK_TRIGONOMETRY_LIMIT)) out[i] = from_libm##f(x[i]);                   \
    }                                                                                                   \
    ROW(name##_f64, double, from_libm(x))                                                               \
    static const wk_row name##_rows[WK_DTYPE_COUNT] = { FLOAT_ROWS(name) };                             \
    KERNEL(name)

TRIGONOMETRY(sine, 0, sin)
TRIGONOMETRY(cosine, 1, cos)

/* Negation by unsigned arithmetic: the smallest integer gives itself instead of undefined behaviour. */
#define SIGNED_KERNEL(name, of_float, of_integer, of_u8)                     \
    ROW(name##_f32, float, of_float)                                         \
    ROW(name##_f64, double, of_float)                                        \
    ROW(name##_i64, int64_t, of_integer)                                     \
    ROW(name##_i32, int32_t, of_integer)                                     \
    ROW(name##_i16, int16_t, of_integer)                                     \
    ROW(name##_i8, int8_t, of_integer)                                       \
    ROW(name##_u8, uint8_t, of_u8)                                           \
    static const wk_row name##_rows[WK_DTYPE_COUNT] = {                      \
        FLOAT_ROWS(name),      [WK_I64] = name##_i64, [WK_I32] = name##_i32, \
        [WK_I16] = name##_i16, [WK_I8] = name##_i8,   [WK_U8] = name##_u8,   \
    };                                                                       \
    KERNEL(name)

SIGNED_KERNEL(negate, -x, 0u - (uint64_t)x, 0u - x)
SIGNED_KERNEL(absolute, fabs(x), x < 0 ? 0u - (uint64_t)x : (uint64_t)x, x)
SIGNED_KERNEL(sign, x > 0 ? 1 : x < 0 ? -1 : x, (x > 0) - (x < 0), x > 0)

/* f32 computes in f32, with the two numbers rounded once. */
static void affine_f32(void *restrict out_, const void *const *in, int64_t n, const void *params) {
    const wk_affine_opts *opts = params;
    float *restrict out = out_, scale = (float)opts->scale, shift = (float)opts->shift;
    const float *restrict x = in[0];
    for (int64_t i = 0; i < n; i++) out[i] = x[i] * scale + shift;
}

static void affine_f64(void *restrict out_, const void *const *in, int64_t n, const void *params) {
    const wk_affine_opts *opts = params;
    double *restrict out = out_, scale = opts->scale, shift = opts->shift;
    const double *restrict x = in[0];
    for (int64_t i = 0; i < n; i++) out[i] = x[i] * scale + shift;
}

static const wk_row affine_rows[WK_DTYPE_COUNT] = { FLOAT_ROWS(affine) };
KERNEL(affine)

#define SIGNED ((wk_dtype_set)(WK_NUMBERS & ~WK_SET_OF(WK_U8)))
WK_CPU_TABLE(unary) = {
    { "neg", SIGNED, negate },
    { "abs", WK_NUMBERS, absolute },
    { "sign", WK_NUMBERS, sign },
    { "exp", WK_FLOATS, exponential },
    { "log", WK_FLOATS, logarithm },
    { "sqrt", WK_FLOATS, square_root },
    { "sin", WK_FLOATS, sine },
    { "cos", WK_FLOATS, cosine },
    { "erf", WK_FLOATS, error_function },
    { "tanh", WK_FLOATS, tangent },
    { "sigmoid", WK_FLOATS, sigmoid },
    { "relu", WK_FLOATS, relu },
    { "affine", WK_FLOATS, affine },
    { 0 },
};
