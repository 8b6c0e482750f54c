/* conv.h: launchers of image/conv.cu. */
#ifndef WICK_KERNELS_CUDA_IMAGE_CONV_H
#define WICK_KERNELS_CUDA_IMAGE_CONV_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A convolution of images of up to three axes: those that are missing have size 1.  Strides in elements: N, C, D, H, W
 * of the images, K, C, D, H, W of the weight. */
typedef struct wk_cuda_convolution {
    int64_t n, c, k, groups;
    int64_t size[3], out[3], kernel[3], stride[3], padding[3], dilation[3];
    int64_t x[5], y[5], w[5];
} wk_cuda_convolution;

/* All give a cudaError_t; dtype is a wk_dtype of floats.  bias (k) or NULL, its stride in elements. */
int wk__cuda_conv_forward(const wk_cuda_convolution *shape, int dtype, const void *x, const void *weight,
                          const void *bias, int64_t bias_stride, int relu, void *y, void *stream);
int wk__cuda_conv_backward_input(const wk_cuda_convolution *shape, int dtype, const void *dy, const void *weight,
                                 void *dx, void *stream);
/* Bytes of scratch for the sums over parts of the batch. */
int64_t wk__cuda_conv_scratch(const wk_cuda_convolution *shape, int dtype);
int wk__cuda_conv_backward_weight(const wk_cuda_convolution *shape, int dtype, const void *x, const void *dy,
                                  void *dweight, void *scratch, void *stream);
/* dbias (k), without gaps. */
int wk__cuda_conv_backward_bias(const wk_cuda_convolution *shape, int dtype, const void *dy, void *dbias, void *stream);

#ifdef __cplusplus
}
#endif
#endif
