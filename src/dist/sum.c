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

/* By WK_REDUCE_SUM, _MAX, _MIN. */
typedef struct ways {
    combine *sum, *most, *least;
} ways;

static ways ways_of(wk_dtype dtype) {
    switch (dtype) {
    case WK_F32: return (ways){ add_f32, most_f32, least_f32 };
    case WK_F64: return (ways){ add_f64, most_f64, least_f64 };
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
