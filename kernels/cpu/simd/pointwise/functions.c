/* functions.c: functions of one operand that vector_math.h does not have: from the C library's vector half, and
 * roundings. */
#include "cpu/simd/pointwise/rows.h"

#define LIBRARY_KERNEL(id, function)                                                                 \
    static void id##_f32(void *restrict out, const void *const *in, int64_t n, const void *params) { \
        (void)params;                                                                                \
        wk_##function##_f32s(out, in[0], n);                                                         \
    }                                                                                                \
    static void id##_f64(void *restrict out, const void *const *in, int64_t n, const void *params) { \
        (void)params;                                                                                \
        wk_##function##_f64s(out, in[0], n);                                                         \
    }                                                                                                \
    static const wk_row id##_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(id) };                          \
    WK_MAP_KERNEL(id, 1)
LIBRARY_KERNEL(exp2_, exp2)
LIBRARY_KERNEL(expm1_, expm1)
LIBRARY_KERNEL(log2_, log2)
LIBRARY_KERNEL(log10_, log10)
LIBRARY_KERNEL(log1p_, log1p)
LIBRARY_KERNEL(tan_, tan)
LIBRARY_KERNEL(asin_, asin)
LIBRARY_KERNEL(acos_, acos)
LIBRARY_KERNEL(atan_, atan)
LIBRARY_KERNEL(sinh_, sinh)
LIBRARY_KERNEL(cosh_, cosh)
LIBRARY_KERNEL(asinh_, asinh)
LIBRARY_KERNEL(acosh_, acosh)
LIBRARY_KERNEL(atanh_, atanh)
LIBRARY_KERNEL(erfc_, erfc)

/* Integers are whole already. */
WK_NUMBER_KERNEL(floor_, 1, wk_none, floor(x), x)
WK_NUMBER_KERNEL(ceil_, 1, wk_none, ceil(x), x)
WK_NUMBER_KERNEL(round_, 1, wk_none, rint(x), x)
WK_NUMBER_KERNEL(trunc_, 1, wk_none, trunc(x), x)
WK_FLOAT_KERNEL(frac, 1, wk_none, x - trunc(x))

/* log(z / (1 - z)), z = x brought into [eps, 1 - eps] where that is asked for. */
#define INTO(x, low, high) ((x) < (low) ? (low) : (x) > (high) ? (high) : (x))
#define ODDS(z)            ((z) / (1 - (z)))
WK_FLOAT_KERNEL_BY(logit, wk_logit_opts, log,
                   p->eps.is_set ? ODDS(INTO(x, (real)p->eps.value, 1 - (real)p->eps.value)) : ODDS(x), t)

/* Bounds of an integer operand: the whole numbers between the two. */
typedef struct bounds {
    double low, high;
    int64_t whole_low, whole_high;
} bounds;

/* NaN as a bound gives NaN, as in PyTorch. */
#define CLAMP_FLOAT                                                                              \
    ((real)p->high < x || p->high != p->high ? (real)p->high                                     \
     : x < (real)p->low || p->low != p->low  ? (p->high < p->low ? (real)p->high : (real)p->low) \
                                             : x)
#define CLAMP_INTEGER                                                                   \
    (p->whole_high < x  ? p->whole_high                                                 \
     : x < p->whole_low ? (p->whole_high < p->whole_low ? p->whole_high : p->whole_low) \
                        : x)
WK_FLOAT_ROWS(WK_ROW_1, clamp, bounds, CLAMP_FLOAT)
WK_INTEGER_ROWS(WK_INTEGER_ROW_1, clamp, bounds, CLAMP_INTEGER)
static const wk_row clamp_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(clamp), WK_INTEGER_TABLE(clamp) };

static int64_t whole(double value) {
    return value >= 0x1p63 ? INT64_MAX : value <= -0x1p63 ? INT64_MIN : (int64_t)value;
}

/* The range of an integer dtype: a bound outside of it must not be cut off to a number inside. */
static void integer_range(unsigned dtype, int64_t *least, int64_t *most) {
    int bits = 8 * (int)wk_size_of(dtype);
    *least = dtype == WK_U8 ? 0 : -(INT64_MAX >> (64 - bits)) - 1;
    *most = dtype == WK_U8 ? 255 : INT64_MAX >> (64 - bits);
}

static int64_t between(int64_t value, int64_t least, int64_t most) {
    return value < least ? least : value > most ? most : value;
}

static wk_status clamp(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_clamp_opts *opts = call->attrs;
    unsigned dtype = call->in[0]->dtype;
    bounds b = { wk_optional_or(opts->min, -(double)INFINITY), wk_optional_or(opts->max, (double)INFINITY), 0, 0 };
    if (!(WK_FLOATS & WK_SET_OF(dtype))) {
        int64_t least, most;
        integer_range(dtype, &least, &most);
        b.whole_low = between(whole(ceil(b.low)), least, most);
        b.whole_high = between(whole(floor(b.high)), least, most);
    }
    return wk_map(ctx, call, 1, clamp_rows[dtype], &b);
}

typedef struct replacements {
    double nan, high, low;
} replacements;
WK_FLOAT_ROWS(WK_ROW_1, nan_to_num, replacements,
              x != x                 ? (real)p->nan
              : x == (real)INFINITY  ? (real)p->high
              : x == -(real)INFINITY ? (real)p->low
                                     : x)
WK_INTEGER_ROWS(WK_INTEGER_ROW_1, nan_to_num, wk_none, x)
static const wk_row nan_to_num_rows[WK_DTYPE_COUNT] = { WK_FLOAT_TABLE(nan_to_num), WK_INTEGER_TABLE(nan_to_num) };

static wk_status nan_to_num(wk_kernel_ctx *ctx, const wk_call *call) {
    static const double largest[WK_DTYPE_COUNT] = {
        [WK_F32] = 0x1.fffffep127, [WK_F64] = 0x1.fffffffffffffp1023, [WK_BF16] = 0x1.fep127, [WK_F16] = 65504
    };
    const wk_nan_to_num_opts *opts = call->attrs;
    double most = largest[call->in[0]->dtype];
    replacements r = { opts->nan, wk_optional_or(opts->posinf, most), wk_optional_or(opts->neginf, -most) };
    return wk_map(ctx, call, 1, nan_to_num_rows[call->in[0]->dtype], &r);
}

WK_CPU_TABLE(functions) = {
    { "exp2", WK_FLOATS, exp2_ },
    { "expm1", WK_FLOATS, expm1_ },
    { "log2", WK_FLOATS, log2_ },
    { "log10", WK_FLOATS, log10_ },
    { "log1p", WK_FLOATS, log1p_ },
    { "tan", WK_FLOATS, tan_ },
    { "asin", WK_FLOATS, asin_ },
    { "acos", WK_FLOATS, acos_ },
    { "atan", WK_FLOATS, atan_ },
    { "sinh", WK_FLOATS, sinh_ },
    { "cosh", WK_FLOATS, cosh_ },
    { "asinh", WK_FLOATS, asinh_ },
    { "acosh", WK_FLOATS, acosh_ },
    { "atanh", WK_FLOATS, atanh_ },
    { "erfc", WK_FLOATS, erfc_ },
    { "floor", WK_NUMBERS, floor_ },
    { "ceil", WK_NUMBERS, ceil_ },
    { "round", WK_NUMBERS, round_ },
    { "trunc", WK_NUMBERS, trunc_ },
    { "frac", WK_FLOATS, frac },
    { "logit", WK_FLOATS, logit },
    { "clamp", WK_NUMBERS, clamp },
    { "nan_to_num", WK_NUMBERS, nan_to_num },
    { 0 },
};
