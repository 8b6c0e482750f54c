/* rotary.h: launcher of rotary.cu. */
#ifndef WICK_KERNELS_CUDA_ROTARY_H
#define WICK_KERNELS_CUDA_ROTARY_H

#include "walk.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Operands y, x, cosines, sines: `rows` walks over all axes but the last, along which `stride` goes. */
typedef struct wk_cuda_rotary {
    wk_walk rows;
    int64_t stride[4];
    int64_t width, pairs; /* of x's last axis; 2 pairs ≤ width */
    bool interleaved, back;
    void *y;
    const void *x, *cosines, *sines;
} wk_cuda_rotary;

/* dtype: a wk_dtype, of all operands.  Returns a cudaError_t. */
int wk__cuda_rotate(const wk_cuda_rotary *r, int dtype, void *stream);

#ifdef __cplusplus
}
#endif
#endif
