/* pool.h: launchers of image/pool.cu. */
#ifndef WICK_KERNELS_CUDA_IMAGE_POOL_H
#define WICK_KERNELS_CUDA_IMAGE_POOL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Windows of images of up to three axes; strides in elements: N, C, D, H, W. */
typedef struct wk_cuda_pooling {
    int64_t n, c;
    int64_t size[3], steps[3], kernel[3], dilation[3], padding[3];
    int64_t stride[3]; /* between windows; 0: adaptive */
    int64_t x[5], y[5], taps[5];
    int64_t divisor;           /* of means; 0: the windows' own */
    int exclude_padding, wide; /* wide: taps are i32, else u8 */
} wk_cuda_pooling;

/* All give a cudaError_t; dtype is a wk_dtype of floats. */
int wk__cuda_max_pool(const wk_cuda_pooling *pooling, int dtype, const void *x, void *y, void *taps, void *stream);
int wk__cuda_avg_pool(const wk_cuda_pooling *pooling, int dtype, const void *x, void *y, void *stream);
/* taps NULL: of means. */
int wk__cuda_pool_backward(const wk_cuda_pooling *pooling, int dtype, const void *dy, const void *taps, void *dx,
                           void *stream);
/* positions: i64, row major. */
int wk__cuda_max_pool_positions(const wk_cuda_pooling *pooling, const void *taps, int64_t *positions, void *stream);

#ifdef __cplusplus
}
#endif
#endif
