/* softmax.h: launcher of softmax.cu. */
#ifndef WICK_KERNELS_CUDA_SOFTMAX_H
#define WICK_KERNELS_CUDA_SOFTMAX_H

#include "walk.h"

typedef enum wk_cuda_softmax_kind {
    WK_CUDA_SOFTMAX,
    WK_CUDA_LOG_SOFTMAX,
    WK_CUDA_SOFTMAX_GRAD,    /* of dy and y */
    WK_CUDA_LOG_SOFTMAX_GRAD /* likewise */
} wk_cuda_softmax_kind;

/* Lines of `length` elements `step` apart: operand 0 is the result, then x, or dy and y. */
typedef struct wk_cuda_softmax {
    int kind, dtype;
    wk_walk lines;
    int64_t length, step[3];
    void *out;
    const void *in[2];
} wk_cuda_softmax;

#ifdef __cplusplus
extern "C" {
#endif

int wk__cuda_softmax(const wk_cuda_softmax *softmax, void *stream);

#ifdef __cplusplus
}
#endif
#endif
