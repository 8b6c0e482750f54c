/* lines.h: softmax arithmetic on parts of a line, once for f32 and once for f64.
 *
 * A line (the classes of one sample) is seen in chunks of up to WK_CHUNK contiguous elements, which wk_stage_in brings
 * together from any stride or dtype.  Sums run in the element type within a chunk and in f64 across chunks, so that the
 * error does not grow with the number of classes.  `omp simd reduction` allows the compiler to reorder a chunk's sum
 * into vector lanes, which plain C forbids.
 */
#ifndef WICK_KERNELS_LINES_H
#define WICK_KERNELS_LINES_H

#include "cpu/simd/iterate.h"
#include "cpu/simd/vector_math.h"

/* A chunk's: maximum (NaN is passed over; the sum of exponentials brings it back), sum, sum of products, and
 * sum of exp(x - shift), which are written to e; no x is above shift. */
#define WK_LINES(suffix, type, exponential)                                                                          \
    static inline double wk_chunk_max_##suffix(const type *x, int64_t n) {                                           \
        type lane[16], best = (type)-INFINITY;                                                                       \
        int64_t i = 0;                                                                                               \
        for (int j = 0; j < 16; j++) lane[j] = best;                                                                 \
        for (; i + 16 <= n; i += 16)                                                                                 \
            for (int j = 0; j < 16; j++) lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];                          \
        for (; i < n; i++) best = x[i] > best ? x[i] : best;                                                         \
        for (int j = 0; j < 16; j++) best = lane[j] > best ? lane[j] : best;                                         \
        return (double)best;                                                                                         \
    }                                                                                                                \
    static inline double wk_chunk_sum_##suffix(const type *x, int64_t n) {                                           \
        type total = 0;                                                                                              \
        _Pragma("omp simd reduction(+ : total)") for (int64_t i = 0; i < n; i++) total += x[i];                      \
        return (double)total;                                                                                        \
    }                                                                                                                \
    static inline double wk_chunk_dot_##suffix(const type *x, const type *y, int64_t n) {                            \
        type total = 0;                                                                                              \
        _Pragma("omp simd reduction(+ : total)") for (int64_t i = 0; i < n; i++) total += x[i] * y[i];               \
        return (double)total;                                                                                        \
    }                                                                                                                \
    static inline double wk_chunk_exp_##suffix(type *restrict e, const type *restrict x, double shift_, int64_t n) { \
        type shift = (type)shift_, total = 0;                                                                        \
        _Pragma("omp simd reduction(+ : total)") for (int64_t i = 0; i < n; i++) {                                   \
            e[i] = exponential(x[i] - shift);                                                                        \
            total += e[i];                                                                                           \
        }                                                                                                            \
        return (double)total;                                                                                        \
    }
WK_LINES(f32, float, wk_exp_of_negative)
WK_LINES(f64, double, exp)

/* One line in memory. */
typedef struct wk_line {
    const char *data;
    int64_t step, n; /* elements apart, elements */
    unsigned dtype;
} wk_line;

/* Elements [at, at + count) of a line, staged. */
static inline const void *wk_line_chunk(const wk_line *line, int64_t at, int64_t count, wk_staging *buffer) {
    const char *from = line->data + at * line->step * (int64_t)wk_size_of(line->dtype);
    return wk_stage_in(buffer, from, line->dtype, line->step, count);
}

static inline int64_t wk_chunk_length(int64_t at, int64_t n) {
    return n - at < WK_CHUNK ? n - at : WK_CHUNK;
}

static inline double wk_line_max(const wk_line *line) {
    wk_staging buffer;
    double best = -(double)INFINITY;
    for (int64_t at = 0; at < line->n; at += WK_CHUNK) {
        int64_t n = wk_chunk_length(at, line->n);
        const void *x = wk_line_chunk(line, at, n, &buffer);
        double part = line->dtype == WK_F64 ? wk_chunk_max_f64(x, n) : wk_chunk_max_f32(x, n);
        best = part > best ? part : best;
    }
    return best;
}

static inline double wk_line_sum(const wk_line *line) {
    wk_staging buffer;
    double total = 0;
    for (int64_t at = 0; at < line->n; at += WK_CHUNK) {
        int64_t n = wk_chunk_length(at, line->n);
        const void *x = wk_line_chunk(line, at, n, &buffer);
        total += line->dtype == WK_F64 ? wk_chunk_sum_f64(x, n) : wk_chunk_sum_f32(x, n);
    }
    return total;
}

/* Sum of exp(x - shift), shift being finite and the largest x. */
static inline double wk_line_exp_sum(const wk_line *line, double shift) {
    wk_staging buffer, e;
    double total = 0;
    for (int64_t at = 0; at < line->n; at += WK_CHUNK) {
        int64_t n = wk_chunk_length(at, line->n);
        const void *x = wk_line_chunk(line, at, n, &buffer);
        total += line->dtype == WK_F64 ? wk_chunk_exp_f64(e.f64, x, shift, n) : wk_chunk_exp_f32(e.f32, x, shift, n);
    }
    return total;
}

#endif
