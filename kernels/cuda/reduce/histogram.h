/* histogram.h: launchers of histogram.cu. */
#ifndef WICK_KERNELS_CUDA_HISTOGRAM_H
#define WICK_KERNELS_CUDA_HISTOGRAM_H

#include "walk.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { WK_CUDA_RANGE_PARTS = 256 };

/* out[bin] = how many elements of x lie there; bins of equal width from low to high, which belongs to the last. */
typedef struct wk_cuda_histogram {
    wk_walk walk; /* of x */
    double low, high;
    bool of_values; /* from the least to the greatest value */
    int64_t bins;
    const void *x;
    void *out;
    double *range;              /* (2, PARTS): scratch, if of_values */
    unsigned long long *counts; /* (bins): scratch */
} wk_cuda_histogram;

/* dtype: a wk_dtype.  Returns a cudaError_t. */
int wk__cuda_histogram(const wk_cuda_histogram *h, int dtype, void *stream);

#ifdef __cplusplus
}
#endif
#endif
