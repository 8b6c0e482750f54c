/* order.h: launchers of order.cu. */
#ifndef WICK_KERNELS_CUDA_ORDER_H
#define WICK_KERNELS_CUDA_ORDER_H

#include "walk.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An element as an unsigned number that orders as it does, and where it stood in its line. */
typedef struct wk_cuda_pair {
    uint64_t key, place;
} wk_cuda_pair;

/* Lines of x: `lines` walks over all axes but the one that is put in order, along which elements are `step` apart. */
typedef struct wk_cuda_lines {
    wk_walk lines; /* operands: x; or values, places, x */
    int64_t length, step[3];
    int dtype;
    bool flat; /* a line has one element, and places count lines */
    const void *x;
} wk_cuda_lines;

/* All return a cudaError_t. */
/* pairs (lines, length) of x's elements in their order; reversed: the largest key belongs to the least element. */
int wk__cuda_order_fill(const wk_cuda_lines *of, bool reversed, wk_cuda_pair *pairs, void *stream);
/* Each line of pairs (lines, length) in order; `other` is as large.  *sorted: the one of both that holds the result. */
int wk__cuda_order_sort(wk_cuda_pair *pairs, wk_cuda_pair *other, int64_t lines, int64_t length, wk_cuda_pair **sorted,
                        void *stream);
/* to (lines, k): the first k pairs of each line, with their places as keys. */
int wk__cuda_order_by_place(wk_cuda_pair *to, const wk_cuda_pair *sorted, int64_t lines, int64_t length, int64_t k,
                            void *stream);
/* values and places (lines, k) of pairs (lines, length) from position `first` on; where `nan` is set and a line has a
 * NaN, the first of those instead. */
int wk__cuda_order_give(const wk_cuda_lines *of, const wk_cuda_pair *sorted, int64_t length, int64_t first, int64_t k,
                        bool nan, void *values, int64_t *places, void *stream);
/* Distinct elements of one line of sorted pairs: starts (n), values and counts (most), inverse (n), number. */
int wk__cuda_order_unique(const wk_cuda_lines *of, const wk_cuda_pair *sorted, int64_t n, int64_t most, int64_t *starts,
                          void *values, int64_t *inverse, int64_t *counts, int64_t *number, void *stream);

/* counts[x[i]]++, for integers x (n), `step` apart; counts are 0 before. */
int wk__cuda_bincount(const void *x, int dtype, int64_t n, int64_t step, int64_t *counts, void *stream);
/* How many elements of its row are below each value (right: not above it).  Operands: out, values, rows; rows have
 * `length` elements, `step` apart. */
int wk__cuda_searchsorted(const wk_walk *walk, int dtype, int64_t length, int64_t step, bool right, int64_t *out,
                          const void *values, const void *rows, void *stream);

#ifdef __cplusplus
}
#endif
#endif
