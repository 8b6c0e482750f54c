/* batch_norm.h: launchers of network/batch_norm.cu. */
#ifndef WICK_KERNELS_CUDA_NETWORK_BATCH_NORM_H
#define WICK_KERNELS_CUDA_NETWORK_BATCH_NORM_H

#include "walk.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A number a channel, of any float type; data NULL: absent. */
typedef struct wk_cuda_vector {
    void *data;
    int64_t stride;
    int dtype;
} wk_cuda_vector;

typedef struct wk_cuda_batch_norm {
    int64_t channels, count; /* values a channel */
    wk_walk walk;            /* over one channel: x, then y or dx, then dy */
    int64_t step[3];         /* between channels, of the same */
    int64_t parts;           /* that a channel's sums are made in */
    wk_cuda_vector weight, bias, mean, rstd, running_mean, running_variance, dweight, dbias;
    double momentum, eps;
    int training;
} wk_cuda_batch_norm;

/* Bytes of scratch. */
int64_t wk__cuda_batch_norm_scratch(const wk_cuda_batch_norm *v);
int wk__cuda_batch_norm_forward(const wk_cuda_batch_norm *v, int dtype, const void *x, void *y, void *scratch,
                                void *stream);
int wk__cuda_batch_norm_backward(const wk_cuda_batch_norm *v, int dtype, const void *x, const void *dy, void *dx,
                                 void *scratch, void *stream);

#ifdef __cplusplus
}
#endif
#endif
