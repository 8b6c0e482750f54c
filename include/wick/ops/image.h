/* wick/ops/image.h: convolution of images of one to three axes.  See wick/ops.h. */
#ifndef WICK_OPS_IMAGE_H
#define WICK_OPS_IMAGE_H

#include "wick/ops/call_site.h"
#include "wick/ops/linalg.h" /* wk_activation */

#ifdef __cplusplus
extern "C" {
#endif

/* Arrays hold one number for each axis, in their order.  Results are laid out
 * channels last (the strides say so, the shape does not).  f16 and bf16 are computed in f32. */

typedef enum wk_conv_pad {
    WK_CONV_PADDING, /* as `padding` says */
    WK_CONV_VALID,   /* none */
    WK_CONV_SAME     /* so that the result is as large as x; an odd zero comes behind; stride 1 only */
} wk_conv_pad;
typedef struct wk_conv_opts {
    int64_t stride[3];   /* 0 means 1 */
    int64_t padding[3];  /* zeros on each side */
    int64_t dilation[3]; /* 0 means 1 */
    int64_t groups;      /* 0 means 1 */
    int activation;      /* wk_activation, fused */
    int pad;             /* wk_conv_pad */
} wk_conv_opts;
typedef wk_conv_opts wk_conv1d_opts, wk_conv2d_opts, wk_conv3d_opts;
/* Cross-correlation.  x (N, C, H, W)   weight (K, C/groups, R, S)   bias (K) or NULL   ->   (N, K, H', W'),
 * H' = floor((H + 2·padding − dilation·(R − 1) − 1) / stride) + 1; with one axis and with three likewise. */
WK_API wk_tensor *wk_conv1d(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_conv_opts opts);
WK_API wk_tensor *wk_conv2d(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_conv_opts opts);
WK_API wk_tensor *wk_conv3d(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_conv_opts opts);

typedef struct wk_conv_transpose_opts {
    int64_t stride[3]; /* 0 means 1 */
    int64_t padding[3];
    int64_t output_padding[3]; /* of several sizes that the convolution maps to one: less than stride or dilation */
    int64_t dilation[3];       /* 0 means 1 */
    int64_t groups;            /* 0 means 1 */
} wk_conv_transpose_opts;
/* The transpose of a convolution: what its gradient does.  x (N, C, H, W)   weight (C, K/groups, R, S)   bias (K) or
 * NULL   ->   (N, K, H', W'), H' = (H − 1)·stride − 2·padding + dilation·(R − 1) + output_padding + 1. */
WK_API wk_tensor *wk_conv_transpose1d(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_conv_transpose_opts opts);
WK_API wk_tensor *wk_conv_transpose2d(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_conv_transpose_opts opts);
WK_API wk_tensor *wk_conv_transpose3d(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_conv_transpose_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_conv1d(...)           (WK_HERE, wk_conv1d(__VA_ARGS__))
#    define wk_conv2d(...)           (WK_HERE, wk_conv2d(__VA_ARGS__))
#    define wk_conv3d(...)           (WK_HERE, wk_conv3d(__VA_ARGS__))
#    define wk_conv_transpose1d(...) (WK_HERE, wk_conv_transpose1d(__VA_ARGS__))
#    define wk_conv_transpose2d(...) (WK_HERE, wk_conv_transpose2d(__VA_ARGS__))
#    define wk_conv_transpose3d(...) (WK_HERE, wk_conv_transpose3d(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
