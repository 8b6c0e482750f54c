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
    int64_t n, c, k;         /* images, channels of x, channels of y */
    int64_t size[3], out[3]; /* depth, height, width of x and of y; an image without depth has 1 of it */
    int64_t kernel[3], stride[3], padding[3], dilation[3], groups;
    int axes; /* 2 or 3 */
} wk_convolution_shape;
wk_convolution_by wk__choose_convolution(wk_dtype dtype, const wk_convolution_shape *shape);

#endif
