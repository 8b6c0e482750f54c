/* cross.h: launcher of cross.cu. */
#ifndef WICK_KERNELS_CUDA_LINALG_CROSS_H
#define WICK_KERNELS_CUDA_LINALG_CROSS_H

#include "walk.h"

#ifdef __cplusplus
extern "C" {
#endif

/* out = a × b of vectors of three; `vectors` (out, a, b) walks over all other axes, step is along the three.  dtype: a
 * wk_dtype.  Returns a cudaError_t. */
int wk__cuda_cross(void *out, const void *a, const void *b, const wk_walk *vectors, const int64_t step[3], int dtype,
                   void *stream);

#ifdef __cplusplus
}
#endif
#endif
