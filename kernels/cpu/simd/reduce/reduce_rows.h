/* reduce_rows.h: the loops of reduce.c, once for each operation and type: along a row, and down a tile of columns. */
#ifndef WICK_KERNELS_REDUCE_ROWS_H
#define WICK_KERNELS_REDUCE_ROWS_H

#include "cpu/simd/iterate.h"

#include <math.h>

enum { TILE = 128 }; /* columns that are reduced side by side */

typedef union wide {
    double f;
    int64_t i;
    uint64_t u; /* sums of integers wrap around, which signed ones may not */
} wide;

/* Reduce n elements, `step` apart, into *total. */
typedef void (*row_reduction)(wide *total, const void *x, int64_t step, int64_t n);
/* Add n rows, `step` apart, of `columns` elements, `column_step` apart, to totals (columns). */
typedef void (*column_reduction)(wide *totals, const void *x, int64_t step, int64_t n, int64_t column_step,
                                 int64_t columns);

/* Sums and products run in LANES lanes, whole vectors of them, so that the chain of additions is not what limits; the
 * rest of a row in eight, for many rows are short.  Four elements at a time meet in the type `early` before they join a
 * lane: widening each to f64 is what takes the time of a sum of floats, and two roundings to f32, in sums that stay as
 * short as four, are at most one unit in the last place of the elements' sizes.  The order depends on n alone. */
enum { LANES = 32, FEW = 8 };
#define FOUR(early, operator, load, x, step)                                                                    \
    ((early)load((x)[0]) operator(early) load((x)[step])) operator((early)load((x)[2 * (step)]) operator(early) \
                                                                       load((x)[3 * (step)]))
#define FOLD_ROW(name, type, early, total_type, field, load, neutral, operator)                                      \
    /* The part of a long row that fills the lanes, folded to FEW of them; how far it went. */                       \
    static __attribute__((noinline)) int64_t name##_in_lanes(total_type *few, const type *x, int64_t n) {            \
        total_type lane[LANES];                                                                                      \
        int64_t i = 0;                                                                                               \
        for (int j = 0; j < LANES; j++) lane[j] = neutral;                                                           \
        for (; i + 4 * LANES <= n; i += 4 * LANES)                                                                   \
            for (int j = 0; j < LANES; j++)                                                                          \
                lane[j] = lane[j] operator(total_type)(FOUR(early, operator, load, x + i + j, LANES));               \
        for (int j = 0; j < LANES / 2; j++) lane[j] = lane[j] operator lane[j + LANES / 2];                          \
        for (int j = 0; j < FEW; j++) few[j] = lane[j] operator lane[j + FEW];                                       \
        return i;                                                                                                    \
    }                                                                                                                \
    static void name(wide *total, const void *x_, int64_t step, int64_t n) {                                         \
        const type *x = x_;                                                                                          \
        total_type lane[FEW], result = neutral;                                                                      \
        int64_t i = 0;                                                                                               \
        for (int j = 0; j < FEW; j++) lane[j] = neutral;                                                             \
        if (step == 1 && n >= 4 * LANES) i = name##_in_lanes(lane, x, n);                                            \
        for (; step == 1 && i + 4 * FEW <= n; i += 4 * FEW)                                                          \
            _Pragma("omp simd") for (int j = 0; j < FEW; j++) lane[j] =                                              \
                lane[j] operator(total_type)(FOUR(early, operator, load, x + i + j, FEW));                           \
        for (; step == 1 && i + FEW <= n; i += FEW)                                                                  \
            _Pragma("omp simd") for (int j = 0; j < FEW; j++) lane[j] = lane[j] operator(total_type) load(x[i + j]); \
        for (; i < n; i++) result = result operator(total_type) load(x[i * step]);                                   \
        for (int j = 0; j < FEW / 2; j++) lane[j] = lane[j] operator lane[j + FEW / 2];                              \
        result = result operator((lane[0] operator lane[2]) operator(lane[1] operator lane[3]));                     \
        total->field = total->field operator result;                                                                 \
    }
#define SUM_ROW(name, type, early, total_type, field, load) FOLD_ROW(name, type, early, total_type, field, load, 0, +)
#define PRODUCT_ROW(name, type, total_type, field, load)    FOLD_ROW(name, type, total_type, total_type, field, load, 1, *)
#define SUM_COLUMNS(name, type, early, total_type, field, load)                                                      \
    static void name(wide *totals, const void *x_, int64_t step, int64_t n, int64_t column_step, int64_t columns) {  \
        total_type *restrict total = &totals->field;                                                                 \
        int64_t i = 0;                                                                                               \
        for (; i + 4 <= n && column_step == 1; i += 4) {                                                             \
            const type *x0 = (const type *)x_ + i * step, *x1 = x0 + step, *x2 = x1 + step, *x3 = x2 + step;         \
            for (int64_t j = 0; j < columns; j++)                                                                    \
                total[j] += (total_type)(((early)load(x0[j]) + (early)load(x1[j]))                                   \
                                         + ((early)load(x2[j]) + (early)load(x3[j])));                               \
        }                                                                                                            \
        for (; i + 2 <= n && column_step == 1; i += 2) {                                                             \
            const type *x0 = (const type *)x_ + i * step, *x1 = x0 + step;                                           \
            for (int64_t j = 0; j < columns; j++) total[j] += (total_type)((early)load(x0[j]) + (early)load(x1[j])); \
        }                                                                                                            \
        for (; i < n; i++) {                                                                                         \
            const type *x = (const type *)x_ + i * step;                                                             \
            for (int64_t j = 0; j < columns; j++) total[j] += (total_type)load(x[j * column_step]);                  \
        }                                                                                                            \
    }

#define PRODUCT_COLUMNS(name, type, total_type, field, load)                                                        \
    static void name(wide *totals, const void *x_, int64_t step, int64_t n, int64_t column_step, int64_t columns) { \
        total_type *restrict total = &totals->field;                                                                \
        for (int64_t i = 0; i < n; i++) {                                                                           \
            const type *x = (const type *)x_ + i * step;                                                            \
            for (int64_t j = 0; j < columns; j++) total[j] *= (total_type)load(x[j * column_step]);                 \
        }                                                                                                           \
    }

/* NaN wins: a total that is NaN stays, since no comparison with it holds; a NaN element is asked for. */
#define BETTER(v, total, operator) (((v) operator(total)) | ((v) != (v)))
/* Lanes are of the type that is stored: four times as many as of f64. */
enum { MOST_LANES = 64 };
#define FOLD_LANES(half, operator)                               \
    _Pragma("omp simd") for (int j = 0; j < half; j++) lane[j] = \
        BETTER(lane[j + half], lane[j], operator) ? lane[j + half] : lane[j];
#define EXTREMUM_ROW(name, type, lane_type, total_type, field, load, operator)                              \
    static void name(wide *total, const void *x_, int64_t step, int64_t n) {                                \
        const type *x = x_;                                                                                 \
        if (n == 0) return;                                                                                 \
        lane_type lane[MOST_LANES], best = (lane_type)load(x[0]);                                           \
        int64_t i = 0;                                                                                      \
        for (int j = 0; j < FEW; j++) lane[j] = best;                                                       \
        if (step == 1 && n >= MOST_LANES) {                                                                 \
            for (int j = FEW; j < MOST_LANES; j++) lane[j] = best;                                          \
            for (; i + MOST_LANES <= n; i += MOST_LANES)                                                    \
                for (int j = 0; j < MOST_LANES; j++) {                                                      \
                    lane_type v = (lane_type)load(x[i + j]);                                                \
                    lane[j] = BETTER(v, lane[j], operator) ? v : lane[j];                                   \
                }                                                                                           \
            FOLD_LANES(32, operator) FOLD_LANES(16, operator) FOLD_LANES(8, operator)                       \
        }                                                                                                   \
        for (; step == 1 && i + FEW <= n; i += FEW) _Pragma("omp simd") for (int j = 0; j < FEW; j++) {     \
                lane_type v = (lane_type)load(x[i + j]);                                                    \
                lane[j] = BETTER(v, lane[j], operator) ? v : lane[j];                                       \
            }                                                                                               \
        for (; i < n; i++) {                                                                                \
            lane_type v = (lane_type)load(x[i * step]);                                                     \
            best = BETTER(v, best, operator) ? v : best;                                                    \
        }                                                                                                   \
        FOLD_LANES(4, operator)                                                                             \
        bool has_nan = best != best;                                                                        \
        for (int j = 0; j < FEW / 2; j++) { /* without branches, which nobody could predict */              \
            has_nan |= lane[j] != lane[j];                                                                  \
            best = lane[j] operator best ? lane[j] : best;                                                  \
        }                                                                                                   \
        total_type result = (total_type)best, held = total->field;                                          \
        total->field = has_nan ? NOT_A_NUMBER(total_type) : BETTER(result, held, operator) ? result : held; \
    }
/* Extrema of `rows` short rows of floats, `row_step` apart: the bits as integers of the same order (all but the sign
 * turned over where it is set), whose extrema the compiler finds in whole vectors; NaN lie outside both infinities. */
typedef void (*short_reduction)(wide *totals, const void *x, int64_t row_step, int64_t n, int64_t rows, bool is_max);
enum { SHORT = 128 };
#define SHORT_ROWS(name, type, integer, infinity, load)                                                             \
    static inline void name(wide *totals, const void *x_, int64_t row_step, int64_t n, int64_t rows, bool is_max) { \
        const integer mask = (integer)(((uint64_t)1 << (sizeof(integer) * 8 - 1)) - 1), above = infinity;           \
        const integer below = (integer)~above;                                                                      \
        for (int64_t i = 0; i < rows; i++) {                                                                        \
            const integer *restrict x = (const integer *)x_ + i * row_step;                                         \
            integer most = (integer)~mask, least = mask;                                                            \
            _Pragma("omp simd reduction(max : most) reduction(min : least)") for (int64_t j = 0; j < n; j++) {      \
                integer key = (integer)(x[j] ^ (x[j] < 0 ? mask : 0));                                              \
                most = key > most ? key : most;                                                                     \
                least = key < least ? key : least;                                                                  \
            }                                                                                                       \
            integer best = is_max ? most : least;                                                                   \
            type value;                                                                                             \
            best = (integer)(best ^ (best < 0 ? mask : 0));                                                         \
            memcpy(&value, &best, sizeof value);                                                                    \
            totals[i].f = most > above || least < below ? (double)NAN : (double)load(value);                        \
        }                                                                                                           \
    }
/* Never asked of integers. */
#define NOT_A_NUMBER(type) ((type) _Generic((type)0, double : (double)NAN, default : 0))
#define EXTREMUM_COLUMNS(name, type, lane_type, total_type, field, load, operator)                                  \
    static void name(wide *totals, const void *x_, int64_t step, int64_t n, int64_t column_step, int64_t columns) { \
        total_type *restrict total = &totals->field;                                                                \
        lane_type best[TILE];                                                                                       \
        int64_t i = 0;                                                                                              \
        if (column_step == 1 && n > 1) {                                                                            \
            for (int64_t j = 0; j < columns; j++) best[j] = (lane_type)load(((const type *)x_)[j]);                 \
            for (i = 1; i < n; i++) {                                                                               \
                const type *restrict x = (const type *)x_ + i * step;                                               \
                for (int64_t j = 0; j < columns; j++) {                                                             \
                    lane_type v = (lane_type)load(x[j]);                                                            \
                    best[j] = BETTER(v, best[j], operator) ? v : best[j];                                           \
                }                                                                                                   \
            }                                                                                                       \
            for (int64_t j = 0; j < columns; j++) {                                                                 \
                total_type v = (total_type)best[j];                                                                 \
                total[j] = BETTER(v, total[j], operator) ? v : total[j];                                            \
            }                                                                                                       \
        }                                                                                                           \
        for (; i < n; i++) {                                                                                        \
            const type *x = (const type *)x_ + i * step;                                                            \
            for (int64_t j = 0; j < columns; j++) {                                                                 \
                total_type v = (total_type)load(x[j * column_step]);                                                \
                total[j] = BETTER(v, total[j], operator) ? v : total[j];                                            \
            }                                                                                                       \
        }                                                                                                           \
    }

#define AS_IS(x)   (x)
#define IS_TRUE(x) ((x) != 0)
#define NUMBER_TYPES(X)                                          \
    X(f32, float, float, double, f, double, f, AS_IS)            \
    X(f64, double, double, double, f, double, f, AS_IS)          \
    X(bf16, uint16_t, float, double, f, double, f, wk_load_bf16) \
    X(f16, uint16_t, float, double, f, double, f, wk_load_f16)   \
    X(i64, int64_t, int64_t, uint64_t, u, int64_t, i, AS_IS)     \
    X(i32, int32_t, int32_t, uint64_t, u, int64_t, i, AS_IS)     \
    X(i16, int16_t, int16_t, uint64_t, u, int64_t, i, AS_IS)     \
    X(i8, int8_t, int8_t, uint64_t, u, int64_t, i, AS_IS)        \
    X(u8, uint8_t, uint8_t, uint64_t, u, int64_t, i, AS_IS)      \
    X(bool, uint8_t, uint8_t, uint64_t, u, int64_t, i, IS_TRUE)

/* What four elements are added up in. */
typedef float early_f32, early_bf16, early_f16;
typedef double early_f64;
typedef uint64_t early_i64, early_i32, early_i16, early_i8, early_u8, early_bool;

/* What an operation takes of an element. */
#define LOADS(text, type, lane_type, sum_type, sum_field, best_type, best_field, load) \
    static inline uint64_t is_true_##text(type x) {                                    \
        return load(x) != 0;                                                           \
    }
NUMBER_TYPES(LOADS)
#define FLOAT_LOADS(text, type, load)                   \
    static inline early_##text present_##text(type x) { \
        early_##text v = load(x);                       \
        return v != v ? 0 : v;                          \
    }                                                   \
    static inline double square_##text(type x) {        \
        double v = (double)load(x);                     \
        return v * v;                                   \
    }                                                   \
    static inline early_##text size_##text(type x) {    \
        early_##text v = load(x);                       \
        return (early_##text)fabs((double)v);           \
    }
#define FLOAT_TYPES(X)              \
    X(f32, float, AS_IS)            \
    X(f64, double, AS_IS)           \
    X(bf16, uint16_t, wk_load_bf16) \
    X(f16, uint16_t, wk_load_f16)
FLOAT_TYPES(FLOAT_LOADS)

#define DEFINE(text, type, lane_type, sum_type, sum_field, best_type, best_field, load)   \
    SUM_ROW(sum_row_##text, type, early_##text, sum_type, sum_field, load)                \
    SUM_COLUMNS(sum_columns_##text, type, early_##text, sum_type, sum_field, load)        \
    PRODUCT_ROW(product_row_##text, type, sum_type, sum_field, load)                      \
    PRODUCT_COLUMNS(product_columns_##text, type, sum_type, sum_field, load)              \
    SUM_ROW(count_row_##text, type, uint64_t, uint64_t, u, is_true_##text)                \
    SUM_COLUMNS(count_columns_##text, type, uint64_t, uint64_t, u, is_true_##text)        \
    EXTREMUM_ROW(max_row_##text, type, lane_type, best_type, best_field, load, >)         \
    EXTREMUM_COLUMNS(max_columns_##text, type, lane_type, best_type, best_field, load, >) \
    EXTREMUM_ROW(min_row_##text, type, lane_type, best_type, best_field, load, <)         \
    EXTREMUM_COLUMNS(min_columns_##text, type, lane_type, best_type, best_field, load, <)
NUMBER_TYPES(DEFINE)
SHORT_ROWS(short_f32, float, int32_t, 0x7f800000, AS_IS)
SHORT_ROWS(short_f64, double, int64_t, 0x7ff0000000000000, AS_IS)
SHORT_ROWS(short_bf16, uint16_t, int16_t, 0x7f80, wk_load_bf16)
SHORT_ROWS(short_f16, uint16_t, int16_t, 0x7c00, wk_load_f16)
#define DEFINE_OF_FLOATS(text, type, load)                                                 \
    SUM_ROW(present_row_##text, type, early_##text, double, f, present_##text)             \
    SUM_COLUMNS(present_columns_##text, type, early_##text, double, f, present_##text)     \
    SUM_ROW(squares_row_##text, type, double, double, f, square_##text)                    \
    SUM_COLUMNS(squares_columns_##text, type, double, double, f, square_##text)            \
    SUM_ROW(sizes_row_##text, type, early_##text, double, f, size_##text)                  \
    SUM_COLUMNS(sizes_columns_##text, type, early_##text, double, f, size_##text)          \
    EXTREMUM_ROW(largest_size_row_##text, type, double, double, f, size_##text, >)         \
    EXTREMUM_COLUMNS(largest_size_columns_##text, type, double, double, f, size_##text, >) \
    EXTREMUM_ROW(least_size_row_##text, type, double, double, f, size_##text, <)           \
    EXTREMUM_COLUMNS(least_size_columns_##text, type, double, double, f, size_##text, <)
FLOAT_TYPES(DEFINE_OF_FLOATS)

#endif
