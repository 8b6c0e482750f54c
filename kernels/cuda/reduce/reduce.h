/* reduce.h: launchers of reduce.cu, logsumexp.cu and argmax.cu. */
#ifndef WICK_KERNELS_CUDA_REDUCE_H
#define WICK_KERNELS_CUDA_REDUCE_H

#include "walk.h"

typedef enum wk_cuda_reduction_kind {
    WK_CUDA_SUM,
    WK_CUDA_MAX,
    WK_CUDA_MIN,
    WK_CUDA_PRODUCT,
    WK_CUDA_COUNT,        /* of what is not 0 */
    WK_CUDA_PRESENT,      /* sum of what is not NaN */
    WK_CUDA_SQUARES,      /* sum of squares */
    WK_CUDA_SIZES,        /* sum of absolute values */
    WK_CUDA_LARGEST_SIZE, /* of the absolute values */
    WK_CUDA_LEAST_SIZE
} wk_cuda_reduction_kind;

typedef struct wk_cuda_reduction {
    int kind, dtype, out_dtype;
    wk_walk kept;    /* (out, x) */
    wk_walk reduced; /* (x) */
    int threads;     /* that share one result's part: 1, 32 or 256 */
    int64_t parts;   /* of the reduced elements, each a total of its own in `totals` */
    double divisor;  /* of a mean, else 1 */
    int64_t least;   /* a count that makes a truth value true */
    const void *x;
    void *out;
    void *totals; /* (parts, results) of 8 bytes, where there is more than one part */
} wk_cuda_reduction;

#ifdef __cplusplus
extern "C" {
#endif

int wk__cuda_reduce(const wk_cuda_reduction *reduction, void *stream);
int wk__cuda_logsumexp(const wk_cuda_reduction *reduction, void *stream);
/* Index (i64) of the largest, or least, along the reduced walk, the first among equals, NaN before all. */
int wk__cuda_argmax(const wk_cuda_reduction *reduction, bool least, void *stream);

#ifdef __cplusplus
}
#endif
#endif
