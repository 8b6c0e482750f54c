/* map.h: out[i] = f(a[i], b[i], c[i]) of one dtype, broadcast and strided: what a launcher of this folder is given. */
#ifndef WICK_KERNELS_CUDA_POINTWISE_MAP_H
#define WICK_KERNELS_CUDA_POINTWISE_MAP_H

#include "walk.h"

typedef struct wk_cuda_map {
    int dtype;    /* wk_dtype of the operands */
    bool dense;   /* one row: out without gaps, operands without gaps or one number each, aligned to 16 bytes */
    wk_walk walk; /* out, then the operands */
    void *out;
    const void *in[3];
    double number[6]; /* the row's attributes, as its functor wants them */
    int64_t whole[2];
    void *stream;
} wk_cuda_map;

#endif
