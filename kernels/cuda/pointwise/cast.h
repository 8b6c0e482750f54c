/* cast.h: launchers of cast.cu. */
#ifndef WICK_KERNELS_CUDA_POINTWISE_CAST_H
#define WICK_KERNELS_CUDA_POINTWISE_CAST_H

#include "walk.h"

#ifdef __cplusplus
extern "C" {
#endif

/* out = x in another dtype; the walk is over out and x. */
int wk__cuda_cast(void *out, int out_dtype, const void *x, int x_dtype, const wk_walk *walk, void *stream);
/* out = condition ? a : b, elements of `size` bytes; the walk is over out, condition, a and b. */
int wk__cuda_where(void *out, const unsigned char *condition, const void *a, const void *b, int size,
                   const wk_walk *walk, void *stream);

#ifdef __cplusplus
}
#endif
#endif
