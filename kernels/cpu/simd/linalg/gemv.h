/* gemv.h: a matrix times a vector, for f32 and f64.
 *
 * The matrix is read once and that is all the time it takes, so there is nothing to pack.  Rows that are contiguous are
 * sums in LANES lanes, which are then added in pairs; columns that are contiguous are added up side by side, a tile at
 * a time.  Either way an element's sum does not depend on how the rows are shared between threads.
 */
#ifndef WICK_KERNELS_GEMV_H
#define WICK_KERNELS_GEMV_H

#include "cpu/simd/iterate.h"

enum { WK_GEMV_LANES = 32, WK_GEMV_TILE = 128 };

/* y[i] = relu(Σ_k a[i · row + k · col] x[k] + bias) for i in [begin, end); row or col is 1, x contiguous. */
#define WK_GEMV(suffix, type)                                                                                          \
    static inline type wk_gemv_row_##suffix(const type *restrict a, const type *restrict x, int64_t k) {               \
        type lane[WK_GEMV_LANES], rest = 0;                                                                            \
        int64_t i = 0;                                                                                                 \
        for (int j = 0; j < WK_GEMV_LANES; j++) lane[j] = 0;                                                           \
        for (; i + WK_GEMV_LANES <= k; i += WK_GEMV_LANES)                                                             \
            for (int j = 0; j < WK_GEMV_LANES; j++) lane[j] += a[i + j] * x[i + j];                                    \
        for (; i < k; i++) rest += a[i] * x[i];                                                                        \
        for (int half = WK_GEMV_LANES / 2; half; half /= 2)                                                            \
            for (int j = 0; j < half; j++) lane[j] += lane[j + half];                                                  \
        return lane[0] + rest;                                                                                         \
    }                                                                                                                  \
    static inline void wk_gemv_tile_##suffix(type *restrict sum, const type *a, int64_t col, const type *x, int64_t k, \
                                             int64_t count) {                                                          \
        for (int64_t j = 0; j < count; j++) sum[j] = 0;                                                                \
        for (int64_t i = 0; i < k; i++) {                                                                              \
            const type *restrict from = a + i * col;                                                                   \
            type factor = x[i];                                                                                        \
            for (int64_t j = 0; j < count; j++) sum[j] += factor * from[j];                                            \
        }                                                                                                              \
    }                                                                                                                  \
    static inline void wk_gemv_##suffix(type *y, const type *a, int64_t row, int64_t col, const type *x, int64_t k,    \
                                        const type *bias, bool relu, int64_t begin, int64_t end) {                     \
        for (int64_t at = begin; at < end; at += WK_GEMV_TILE) {                                                       \
            int64_t count = end - at < WK_GEMV_TILE ? end - at : WK_GEMV_TILE;                                         \
            type sum[WK_GEMV_TILE];                                                                                    \
            if (col == 1)                                                                                              \
                for (int64_t j = 0; j < count; j++) sum[j] = wk_gemv_row_##suffix(a + (at + j) * row, x, k);           \
            else if (count == WK_GEMV_TILE)                                                                            \
                wk_gemv_tile_##suffix(sum, a + at, col, x, k, WK_GEMV_TILE);                                           \
            else                                                                                                       \
                wk_gemv_tile_##suffix(sum, a + at, col, x, k, count);                                                  \
            for (int64_t j = 0; j < count; j++) {                                                                      \
                type value = sum[j] + (bias ? *bias : 0);                                                              \
                y[at + j] = relu && value < 0 ? 0 : value;                                                             \
            }                                                                                                          \
        }                                                                                                              \
    }
WK_GEMV(f32, float)
WK_GEMV(f64, double)

#endif
