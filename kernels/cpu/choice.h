/* choice.h: which implementation takes which shape. */
#ifndef WICK_KERNELS_CPU_CHOICE_H
#define WICK_KERNELS_CPU_CHOICE_H

#include "cpu/cpu.h"

typedef enum wk_product_by { WK_PRODUCT_OWN, WK_PRODUCT_OPENBLAS, WK_PRODUCT_ONEDNN } wk_product_by;
typedef enum wk_convolution_by { WK_CONVOLUTION_OWN, WK_CONVOLUTION_DIRECT, WK_CONVOLUTION_WINOGRAD } wk_convolution_by;
typedef enum wk_convolution_pass { WK_FORWARD, WK_BACKWARD_INPUT, WK_BACKWARD_WEIGHT } wk_convolution_pass;

/* (M, K) · (K, N), `count` of them */
wk_product_by wk__choose_product(wk_dtype dtype, int64_t count, int64_t m, int64_t n, int64_t k);

typedef struct wk_convolution_shape {
    int64_t n, c, h, w, k, p, q; /* x (N, C, H, W), y (N, K, P, Q) */
    int64_t kernel[2], stride[2], padding[2], dilation[2], groups;
} wk_convolution_shape;
wk_convolution_by wk__choose_convolution(wk_dtype dtype, const wk_convolution_shape *shape);

#endif
