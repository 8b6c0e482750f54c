/* resize.h: launcher of resize.cu. */
#ifndef WICK_KERNELS_CUDA_RESIZE_H
#define WICK_KERNELS_CUDA_RESIZE_H

#include "walk.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One axis of x becomes another size in y; `rows` (operands y, x) walks over all others. */
typedef struct wk_cuda_resize {
    wk_walk rows;
    int64_t y_stride, x_stride; /* along the axis */
    int64_t from, to;           /* of the interpolation; transposed, x has `to` elements and y has `from` */
    double step;                /* elements of `from` between two of `to` */
    int mode;                   /* wk_interpolate_mode */
    bool align_corners, transposed, wide /* f64 */, axis_last;
    void *y;
    const void *x;
} wk_cuda_resize;

/* dtype: a wk_dtype.  Returns a cudaError_t. */
int wk__cuda_resize_axis(const wk_cuda_resize *r, int dtype, void *stream);

#ifdef __cplusplus
}
#endif
#endif
