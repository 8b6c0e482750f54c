/* sum.c: sums, greatest and least elements, a block at a time.
 *
 * The block is small enough to stay in the first-level cache, so each input is read and each output is written once,
 * however many there are.  Sums of integers are made on unsigned ones, which wrap as MPI's do.
 */
#include "dist/sum.h"

#include <string.h>

enum { BLOCK = 4096 /* bytes */ };

typedef void combine(void *sum, const void *a, const void *b, int64_t count);

#define COMBINE(NAME, TYPE, EXPRESSION)                                                    \
    static void NAME(void *sum, const void *a, const void *b, int64_t count) {             \
        TYPE *s = sum;                                                                     \
        const TYPE *x = a, *y = b;                                                         \
        _Pragma("omp simd") for (int64_t i = 0; i < count; i++) s[i] = (TYPE)(EXPRESSION); \
    }
#define MOST(NAME, TYPE)                                  \
    COMBINE(most_##NAME, TYPE, x[i] > y[i] ? x[i] : y[i]) \
    COMBINE(least_##NAME, TYPE, x[i] < y[i] ? x[i] : y[i])

COMBINE(add_f32, float, x[i] + y[i])
COMBINE(add_f64, double, x[i] + y[i])
COMBINE(add_64, uint64_t, x[i] + y[i])
COMBINE(add_32, uint32_t, x[i] + y[i])
COMBINE(add_16, uint16_t, x[i] + y[i])
COMBINE(add_8, uint8_t, x[i] + y[i])
MOST(f32, float)
MOST(f64, double)
MOST(i64, int64_t)
MOST(i32, int32_t)
MOST(i16, int16_t)
MOST(i8, int8_t)
MOST(u8, uint8_t)

/* ---- the half types: added as f32, and each sum rounded to the nearest, ties to even ---- */

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}
static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float from_bf16(uint16_t half) {
    return float_of((uint32_t)half << 16);
}
static uint16_t to_bf16(float value) {
    uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40); /* stays no number */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float from_f16(uint16_t half) {
    uint32_t rest = half & 0x7fff, sign = (uint32_t)(half & 0x8000) << 16;
    if (rest >= 0x7c00) return float_of(sign | 0x7f800000 | rest << 13);
    return float_of(sign | bits_of(float_of(rest << 13) * 0x1p112F)); /* also of those below the least normal one */
}
static uint16_t to_f16(float value) {
    uint32_t bits = bits_of(value), rest = bits & 0x7fffffff;
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (rest > 0x7f800000) return sign | 0x7e00;
    if (rest >= 0x477ff000) return sign | 0x7c00; /* 65520 and more */
    if (rest < 0x38800000)                        /* below 2^-14: the addition rounds to multiples of 2^-24 */
        return (uint16_t)(sign | (bits_of(float_of(rest) + 0.5F) - bits_of(0.5F)));
    return (uint16_t)(sign | (rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13);
}

COMBINE(add_bf16, uint16_t, to_bf16(from_bf16(x[i]) + from_bf16(y[i])))
COMBINE(add_f16, uint16_t, to_f16(from_f16(x[i]) + from_f16(y[i])))
COMBINE(most_bf16, uint16_t, from_bf16(x[i]) > from_bf16(y[i]) ? x[i] : y[i])
COMBINE(least_bf16, uint16_t, from_bf16(x[i]) < from_bf16(y[i]) ? x[i] : y[i])
COMBINE(most_f16, uint16_t, from_f16(x[i]) > from_f16(y[i]) ? x[i] : y[i])
COMBINE(least_f16, uint16_t, from_f16(x[i]) < from_f16(y[i]) ? x[i] : y[i])

/* By WK_REDUCE_SUM, _MAX, _MIN. */
typedef struct ways {
    combine *sum, *most, *least;
} ways;

static ways ways_of(wk_dtype dtype) {
    switch (dtype) {
    case WK_F32: return (ways){ add_f32, most_f32, least_f32 };
    case WK_F64: return (ways){ add_f64, most_f64, least_f64 };
    case WK_BF16: return (ways){ add_bf16, most_bf16, least_bf16 };
    case WK_F16: return (ways){ add_f16, most_f16, least_f16 };
    case WK_I64: return (ways){ add_64, most_i64, least_i64 };
    case WK_I32: return (ways){ add_32, most_i32, least_i32 };
    case WK_I16: return (ways){ add_16, most_i16, least_i16 };
    case WK_I8: return (ways){ add_8, most_i8, least_i8 };
    case WK_U8:
    case WK_BOOL: return (ways){ add_8, most_u8, least_u8 };
    default: return (ways){ 0 };
    }
}

bool wk__combines(wk_dtype dtype) {
    return ways_of(dtype).sum != NULL;
}

void wk__scale(void *values, int64_t count, wk_dtype dtype, double scale) {
    if (dtype == WK_F32) {
        float *v = values, factor = (float)scale;
#pragma omp simd
        for (int64_t i = 0; i < count; i++) v[i] *= factor;
    } else if (dtype == WK_F64) {
        double *v = values;
#pragma omp simd
        for (int64_t i = 0; i < count; i++) v[i] *= scale;
    }
}

void wk__combine(char *const out[], int outs, const char *const in[], int ins, int64_t count, wk_dtype dtype,
                 wk_reduce op, double scale) {
    _Alignas(64) char block[BLOCK];
    ways of = ways_of(dtype);
    combine *join = op == WK_REDUCE_MAX ? of.most : op == WK_REDUCE_MIN ? of.least : of.sum;
    if (!join) return; /* callers have asked wk__combines */
    int64_t size = (int64_t)wk_dtype_size(dtype), most = BLOCK / size;
    for (int64_t done = 0; done < count; done += most) {
        int64_t n = count - done < most ? count - done : most, at = done * size;
        const void *sum = in[0] + at;
        for (int i = 1; i < ins; i++, sum = block) join(block, sum, in[i] + at, n);
        if (ins == 1) sum = memcpy(block, sum, (size_t)(n * size));
        if (scale != 1) wk__scale(block, n, dtype, scale);
        for (int i = 0; i < outs; i++) memcpy(out[i] + at, sum, (size_t)(n * size));
    }
}
