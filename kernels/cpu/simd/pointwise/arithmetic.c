/* arithmetic.c: quotients with their roundings, powers, and what mixes two or three operands. */
#include "cpu/simd/pointwise/rows.h"

/* ---- fmod ---- */

/* a - trunc(a / b) b is exact in f64 for operands of f32 while the quotient has less than 29 bits; the others are rare
 * and go to libm afterwards. */
static void wk_fmod_f32s(float *restrict out, const float *restrict a, const float *restrict b, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        double x = (double)a[i], y = (double)b[i];
        out[i] = copysignf((float)(x - trunc(x / y) * y), a[i]);
    }
    for (int64_t i = 0; i < n; i++)
        if (!(fabsf(a[i]) < 0x1p29f * fabsf(b[i])) || isinf(b[i])) out[i] = fmodf(a[i], b[i]);
}

static void wk_fmod_f64s(double *restrict out, const double *restrict a, const double *restrict b, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = fmod(a[i], b[i]);
}

/* t = fmod(a, b), then an expression of a, b and t. */
#define MODULO_ROW(name, type, modulo, expression)                                                \
    static void name(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        type *restrict out = out_, held[WK_CHUNK];                                                \
        const type *restrict first = in[0], *restrict second = in[1];                             \
        (void)params;                                                                             \
        for (int64_t at = 0; at < n; at += WK_CHUNK) {                                            \
            int64_t part = n - at < WK_CHUNK ? n - at : WK_CHUNK;                                 \
            modulo(held, first + at, second + at, part);                                          \
            for (int64_t i = 0; i < part; i++) {                                                  \
                type a = first[at + i], b = second[at + i], t = held[i];                          \
                (void)a, (void)b;                                                                 \
                out[at + i] = (type)(expression);                                                 \
            }                                                                                     \
        }                                                                                         \
    }
#define OTHER_SIGN(t, b)  ((t) != 0 && ((t) < 0) != ((b) < 0))
#define LESS_ONE(q, t, b) ((q) - (OTHER_SIGN(t, b) ? 1 : 0))
/* (a - t) / b is a whole number up to rounding. */
#define FLOORED(a, b, t) ((b) == 0 ? (a) / (b) : rint(LESS_ONE(((a) - (t)) / (b), t, b)))

/* The smallest integer divided by -1 is itself, as everywhere in arithmetic that wraps around; the instruction traps.
 */
#define QUOTIENT(a, b) ((b) == -1 ? (int64_t)(0u - (uint64_t)(a)) : (a) / (b))
static inline int64_t rest_of(int64_t a, int64_t b) {
    return b == -1 ? 0 : a % b;
}
static inline int64_t floored_rest(int64_t a, int64_t b) {
    int64_t t = rest_of(a, b);
    return OTHER_SIGN(t, b) ? t + b : t;
}
static inline int64_t floored_quotient(int64_t a, int64_t b) {
    int64_t q = QUOTIENT(a, b);
    return q - ((a ^ b) < 0 && (uint64_t)q * (uint64_t)b != (uint64_t)a);
}

#define QUOTIENT_ROWS(name, of_floats, of_integers)               \
    MODULO_ROW(name##_f32, float, wk_fmod_f32s, of_floats)        \
    MODULO_ROW(name##_f64, double, wk_fmod_f64s, of_floats)       \
    WK_INTEGER_ROWS(WK_INTEGER_ROW_2, name, wk_none, of_integers) \
    static const wk_row name##_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(name), WK_INTEGER_TABLE(name) }
QUOTIENT_ROWS(floor_divide, FLOORED(a, b, t), floored_quotient(a, b));
QUOTIENT_ROWS(remainder, OTHER_SIGN(t, b) ? t + b : t, floored_rest(a, b));
QUOTIENT_ROWS(fmod, t, rest_of(a, b));

WK_FLOAT_ROWS(WK_ROW_2, trunc_divide, wk_none, trunc(a / b))
WK_INTEGER_ROWS(WK_INTEGER_ROW_2, trunc_divide, wk_none, QUOTIENT(a, b))
static const wk_row trunc_divide_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(trunc_divide),
                                                          WK_INTEGER_TABLE(trunc_divide) };

/* ---- integers have no quotient by zero ---- */

typedef struct zero_search {
    const char *data;
    int64_t size, step;
    bool *found;
} zero_search;

#define SEARCH_ZERO(type)                                                           \
    for (int64_t i = 0; i < n; i++) zero |= ((const type *)data)[i * s->step] == 0; \
    break
static void search_zero(const void *context, const int64_t offset[], int64_t n) {
    const zero_search *s = context;
    const void *data = s->data + offset[0] * s->size;
    bool zero = false;
    switch (s->size) {
    case 1: SEARCH_ZERO(uint8_t);
    case 2: SEARCH_ZERO(uint16_t);
    case 4: SEARCH_ZERO(uint32_t);
    default: SEARCH_ZERO(uint64_t);
    }
    *s->found |= zero;
}

static wk_status divide_map(const wk_kernel_ctx *ctx, const wk_call *call, const wk_row *rows) {
    const wk_tensor *b = call->in[1];
    if (!(WK_FLOATS & WK_SET_OF(b->dtype)) && call->out[0]->count) {
        bool found = false;
        wk_walk walk = wk_walk_of(b);
        wk_walk_simplify(&walk);
        zero_search s = { b->data, (int64_t)wk_size_of(b->dtype), walk.stride[0][walk.rank - 1], &found };
        wk_walk_range(&walk, 0, b->count, search_zero, &s);
        if (found) return wk_fail(WK_INVALID, "%s: an integer is divided by zero", call->op->name);
    }
    return wk_map(ctx, call, 2, rows[b->dtype], NULL);
}
static wk_status floor_divide(wk_kernel_ctx *ctx, const wk_call *call) {
    return divide_map(ctx, call, floor_divide_rows);
}
static wk_status trunc_divide(wk_kernel_ctx *ctx, const wk_call *call) {
    return divide_map(ctx, call, trunc_divide_rows);
}
static wk_status floored_remainder(wk_kernel_ctx *ctx, const wk_call *call) {
    return divide_map(ctx, call, remainder_rows);
}
static wk_status truncated_remainder(wk_kernel_ctx *ctx, const wk_call *call) {
    return divide_map(ctx, call, fmod_rows);
}

/* ---- powers ---- */

/* By squaring, wrapping around; negative powers are 0 but for bases 1 and -1. */
static inline int64_t integer_power(int64_t base, int64_t exponent) {
    if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent & 1 ? -1 : 1) : 0;
    uint64_t result = 1, square = (uint64_t)base;
    for (uint64_t rest = (uint64_t)exponent; rest; rest >>= 1) {
        if (rest & 1) result *= square;
        square *= square;
    }
    return (int64_t)result;
}

#define LIBRARY_ROW_2(name, type, function)                                                      \
    static void name(void *restrict out, const void *const *in, int64_t n, const void *params) { \
        (void)params;                                                                            \
        function(out, in[0], in[1], n);                                                          \
    }
LIBRARY_ROW_2(power_f32, float, wk_pow_f32s)
LIBRARY_ROW_2(power_f64, double, wk_pow_f64s)
WK_INTEGER_ROWS(WK_INTEGER_ROW_2, power, wk_none, integer_power(a, b))
static const wk_row power_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(power), WK_INTEGER_TABLE(power) };
WK_MAP_KERNEL(power, 2)

#define CONSTANT_POWER_ROW(name, type, function)                                                  \
    static void name(void *restrict out_, const void *const *in, int64_t n, const void *params) { \
        const wk_pow_scalar_opts *p = params;                                                     \
        type *out = out_, exponent[WK_CHUNK];                                                     \
        const type *x = in[0];                                                                    \
        for (int64_t i = 0; i < WK_CHUNK && i < n + 16; i++) exponent[i] = (type)p->exponent;     \
        for (int64_t at = 0; at < n; at += WK_CHUNK)                                              \
            function(out + at, x + at, exponent, n - at < WK_CHUNK ? n - at : WK_CHUNK);          \
    }
CONSTANT_POWER_ROW(constant_power_f32, float, wk_pow_f32s)
CONSTANT_POWER_ROW(constant_power_f64, double, wk_pow_f64s)
WK_INTEGER_ROWS(WK_INTEGER_ROW_1, constant_power, wk_pow_scalar_opts, integer_power(x, (int64_t)p->exponent))
static const wk_row constant_power_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(constant_power),
                                                            WK_INTEGER_TABLE(constant_power) };

WK_NUMBER_KERNEL(square, 1, wk_none, x *x, (uint64_t)x *(uint64_t)x)
WK_FLOAT_FUNCTION(cube, 1, wk_none, x *x *x)
WK_FLOAT_KERNEL(reciprocal, 1, wk_none, 1 / x)
WK_FLOAT_FUNCTION(reciprocal_square, 1, wk_none, 1 / (x * x))
WK_FLOAT_FUNCTION(square_root, 1, wk_none, sqrt(x))
WK_FLOAT_KERNEL(rsqrt, 1, wk_none, 1 / sqrt(x))

/* Whole exponents up to 64, by squaring in f64, which holds every power that f32 does: rounded once, and nothing
 * overflows or vanishes on the way that does not in the end. */
static void whole_power_f32(void *restrict out_, const void *const *in, int64_t n, const void *params) {
    double exponent = ((const wk_pow_scalar_opts *)params)->exponent, power[WK_CHUNK], square[WK_CHUNK];
    float *restrict out = out_;
    const float *restrict x = in[0];
    for (int64_t at = 0; at < n; at += WK_CHUNK) {
        int64_t part = n - at < WK_CHUNK ? n - at : WK_CHUNK;
        for (int64_t i = 0; i < part; i++) power[i] = 1, square[i] = x[at + i];
        for (unsigned rest = (unsigned)fabs(exponent); rest; rest >>= 1) {
            for (int64_t i = 0; (rest & 1) && i < part; i++) power[i] *= square[i];
            for (int64_t i = 0; i < part; i++) square[i] *= square[i];
        }
        if (exponent < 0)
            for (int64_t i = 0; i < part; i++) out[at + i] = (float)(1 / power[i]);
        else
            for (int64_t i = 0; i < part; i++) out[at + i] = (float)power[i];
    }
}

/* The frequent exponents are cheaper than a power, and exact where a power is not. */
static wk_status pow_scalar(wk_kernel_ctx *ctx, const wk_call *call) {
    static const struct {
        double exponent;
        const wk_row *rows;
    } known[] = { { 2, square_rows },        { 3, cube_rows },     { -1, reciprocal_rows },
                  { 0.5, square_root_rows }, { -0.5, rsqrt_rows }, { -2, reciprocal_square_rows } };
    unsigned dtype = call->in[0]->dtype;
    double exponent = ((const wk_pow_scalar_opts *)call->attrs)->exponent;
    const wk_row *rows = constant_power_rows;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].exponent == exponent && known[i].rows[dtype]) rows = known[i].rows;
    bool whole = fabs(exponent) <= 64 && exponent == floor(exponent) && rows == constant_power_rows;
    if (whole && rows[dtype] == constant_power_f32) return wk_map(ctx, call, 1, whole_power_f32, call->attrs);
    return wk_map(ctx, call, 1, rows[dtype], call->attrs);
}

/* ---- two and three operands ---- */

LIBRARY_ROW_2(angle_f32, float, wk_atan2_f32s)
LIBRARY_ROW_2(angle_f64, double, wk_atan2_f64s)
static const wk_row angle_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(angle) };
WK_MAP_KERNEL(angle, 2)
LIBRARY_ROW_2(hypotenuse_f32, float, wk_hypot_f32s)
LIBRARY_ROW_2(hypotenuse_f64, double, wk_hypot_f64s)
static const wk_row hypotenuse_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(hypotenuse) };
WK_MAP_KERNEL(hypotenuse, 2)

WK_FLOAT_KERNEL(copy_sign, 2, wk_none, copysign(a, b))
WK_NUMBER_KERNEL(heaviside, 2, wk_none, a != a ? a : a == 0 ? b : a > 0 ? 1 : 0, a == 0 ? b : a > 0)
/* max + log1p(exp(-|a - b|)); equal infinities have no difference. */
#define EXPONENT_OF_DISTANCE exp(a == b ? (real)0 : -fabs(a - b))
WK_ROW_BY_2(logaddexp_f32, wk_none, float, wk_log1p_f32s, wk_exp_f32(a == b ? 0 : -fabsf(a - b)),
            (a > b || a != a ? a : b) + t)
WK_ROW_BY_2(logaddexp_f64, wk_none, double, wk_log1p_f64s, EXPONENT_OF_DISTANCE, (a > b || a != a ? a : b) + t)
static const wk_row logaddexp_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(logaddexp) };
WK_MAP_KERNEL(logaddexp, 2)
WK_FLOAT_KERNEL_BY_2(xlogy, wk_none, log, b, a == 0 && b == b ? 0 : a * t)

/* From the nearer end, so that weight 1 gives b exactly. */
WK_FLOAT_KERNEL(lerp, 3, wk_none, fabs(c) < (real)0.5 ? a + c * (b - a) : b - (b - a) * (1 - c))
WK_NUMBER_KERNEL(addcmul, 3, wk_addcmul_opts, a + (real)wk_optional_or(p->value, 1) * b * c,
                 (uint64_t)a + (uint64_t)(int64_t)wk_optional_or(p->value, 1) * (uint64_t)b * (uint64_t)c)
WK_FLOAT_KERNEL(addcdiv, 3, wk_addcmul_opts, a + (real)wk_optional_or(p->value, 1) * (b / c))

/* NaN in any operand gives NaN; where the bounds cross, the upper one wins. */
#define ABOVE(a, b) ((a) < (b) || (b) != (b) ? (b) : (a))
#define BELOW(a, c) ((a) > (c) || (c) != (c) ? (c) : (a))
WK_NUMBER_KERNEL(clamp_tensor, 3, wk_none, BELOW(ABOVE(a, b), c), BELOW(ABOVE(a, b), c))

WK_CPU_TABLE(arithmetic) = {
    { "floor_divide", WK_NUMBERS, floor_divide },
    { "trunc_divide", WK_NUMBERS, trunc_divide },
    { "remainder", WK_NUMBERS, floored_remainder },
    { "fmod", WK_NUMBERS, truncated_remainder },
    { "pow", WK_NUMBERS, power },
    { "pow_scalar", WK_NUMBERS, pow_scalar },
    { "square", WK_NUMBERS, square },
    { "reciprocal", WK_FLOATS, reciprocal },
    { "rsqrt", WK_FLOATS, rsqrt },
    { "atan2", WK_FLOATS, angle },
    { "hypot", WK_FLOATS, hypotenuse },
    { "copysign", WK_FLOATS, copy_sign },
    { "heaviside", WK_NUMBERS, heaviside },
    { "logaddexp", WK_FLOATS, logaddexp },
    { "xlogy", WK_FLOATS, xlogy },
    { "lerp", WK_FLOATS, lerp },
    { "addcmul", WK_NUMBERS, addcmul },
    { "addcdiv", WK_FLOATS, addcdiv },
    { "clamp_tensor", WK_NUMBERS, clamp_tensor },
    { 0 },
};
