/* wick/ops/image.h: convolution and pooling.  See wick/ops.h. */
#ifndef WICK_OPS_IMAGE_H
#define WICK_OPS_IMAGE_H

#include "wick/ops/call_site.h"
#include "wick/ops/linalg.h" /* wk_activation */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_conv2d_opts {
    int64_t stride[2]; /* 0 means 1 */
    int64_t padding[2];
    int64_t dilation[2]; /* 0 means 1 */
    int64_t groups;      /* 0 means 1 */
    int activation;      /* wk_activation, fused */
} wk_conv2d_opts;
/* Cross-correlation.  x (N, C, H, W)   weight (K, C/groups, R, S)   bias (K) or NULL   ->   (N, K, H', W'),
 * H' = floor((H + 2·padding − dilation·(R − 1) − 1) / stride) + 1.  The result is laid out channels last. */
WK_API wk_tensor *wk_conv2d(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_conv2d_opts opts);

typedef struct wk_pool_opts {
    int64_t kernel[2];
    int64_t stride[2];    /* 0 means the kernel's size */
    int64_t padding[2];   /* at most half the kernel */
    bool ceil_mode;       /* round the output's size up: windows may hang over the end */
    bool exclude_padding; /* average: divide by the elements that are there */
} wk_pool_opts;
WK_API wk_tensor *wk_max_pool2d(wk_tensor *x, wk_pool_opts opts); /* (N, C, H, W); NaN wins */
WK_API wk_tensor *wk_avg_pool2d(wk_tensor *x, wk_pool_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_conv2d(...)     (WK_HERE, wk_conv2d(__VA_ARGS__))
#    define wk_max_pool2d(...) (WK_HERE, wk_max_pool2d(__VA_ARGS__))
#    define wk_avg_pool2d(...) (WK_HERE, wk_avg_pool2d(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
