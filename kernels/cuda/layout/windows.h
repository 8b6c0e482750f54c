/* windows.h: launcher of windows.cu. */
#ifndef WICK_KERNELS_CUDA_LAYOUT_WINDOWS_H
#define WICK_KERNELS_CUDA_LAYOUT_WINDOWS_H

#include "walk.h"

/* x at `at` along an axis is the sum of y's elements k of windows w with w · step + k · dilation = at. */
typedef struct wk_cuda_windows {
    wk_walk lines;                 /* (x, y), without the axis and without the windows */
    int64_t length, windows, size; /* of x along the axis; how many windows; elements of one */
    int64_t step, dilation;
    int64_t x_by, window_by, element_by; /* strides */
    void *x;
    const void *y;
} wk_cuda_windows;

#ifdef __cplusplus
extern "C" {
#endif

/* dtype: a wk_dtype.  Returns a cudaError_t. */
int wk__cuda_add_windows(const wk_cuda_windows *w, int dtype, void *stream);

#ifdef __cplusplus
}
#endif
#endif
