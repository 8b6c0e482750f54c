/* winograd.h: 3 × 3 convolution with a quarter of the multiplications, one per instruction set, for conv.c beside it.
 */
#ifndef WICK_KERNELS_CPU_SIMD_WINOGRAD_H
#define WICK_KERNELS_CPU_SIMD_WINOGRAD_H

#include "cpu/convolution.h"

typedef struct wk_winograd {
    const wk_convolution_shape *shape;      /* 3 × 3, stride 1, padding up to 1, channels in sixteens */
    const wk_tensor *x, *weight, *bias, *y; /* gradients stand for what they are gradients of; f32; x and y lie channels
                                               last, whatever their strides say */
    bool relu;
    int threads; /* any number gives the same bits */
} wk_winograd;

#define WK_WINOGRAD_IMAGE  WK_JOIN(wk__winograd_image, WK_ISA)
#define WK_WINOGRAD_WEIGHT WK_JOIN(wk__winograd_weight, WK_ISA)
/* y = activation(conv(x, weight) + bias), or (backward) x from y; the other one's memory is written.  WK_NO_MEMORY. */
wk_status WK_WINOGRAD_IMAGE(const wk_winograd *w, bool backward);
/* The gradients of weight and bias from x and y.  WK_NO_MEMORY. */
wk_status WK_WINOGRAD_WEIGHT(const wk_winograd *w);

#endif
