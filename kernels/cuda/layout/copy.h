/* copy.h: launchers of copy.cu: elements by their size in bytes (1, 2, 4 or 8), whatever they are. */
#ifndef WICK_KERNELS_CUDA_LAYOUT_COPY_H
#define WICK_KERNELS_CUDA_LAYOUT_COPY_H

#include "walk.h"

/* Where an element of a padded axis comes from, where not straight from x. */
typedef struct wk_cuda_edges {
    int mode;                                       /* of a row's attributes: wk_pad_mode */
    int64_t before[WK_MAX_RANK], size[WK_MAX_RANK]; /* of each axis of the result; the extent in x */
} wk_cuda_edges;

#ifdef __cplusplus
extern "C" {
#endif

/* The bytes of a number as an element, the low ones first. */
uint64_t wk__cuda_element(int dtype, double value);
/* out = x; the walk is over (out, x), strides may be negative. */
int wk__cuda_copy(void *out, const void *x, int size, const wk_walk *walk, void *stream);
/* out = x at positions: the walk is over (out, index, x without the axis), one step along the axis is `jump` elements.
 */
int wk__cuda_gather(void *out, const int64_t *index, const void *x, int size, const wk_walk *walk, int64_t jump,
                    int64_t limit, void *stream);
/* out = x with its own elements around; the walk is over out in its own order, with x's strides as operand 1. */
int wk__cuda_pad_edges(void *out, const void *x, int size, const wk_walk *walk, const wk_cuda_edges *edges,
                       void *stream);

#ifdef __cplusplus
}
#endif
#endif
