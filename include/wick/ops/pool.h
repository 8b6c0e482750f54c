/* wick/ops/pool.h: pooling of images of one to three axes.  See wick/ops.h.
 *
 * x is (N, C, …) of a float type; arrays of options hold one number for each axis of the image, in their order. Results
 * keep x's layout.  NaN wins a maximum; the first among equals is taken.  As torch.nn.functional's of the same name.
 */
#ifndef WICK_OPS_POOL_H
#define WICK_OPS_POOL_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_pool_opts {
    int64_t kernel[3];
    int64_t stride[3];    /* 0 means the kernel's size */
    int64_t padding[3];   /* at most half the kernel */
    bool ceil_mode;       /* round the output's size up: windows may hang over the end */
    bool exclude_padding; /* average: divide by the elements that are there (count_include_pad is false) */
    int64_t dilation[3];  /* maximum only; 0 means 1 */
    int64_t divisor;      /* average: divide by this; 0: by the window's size */
} wk_pool_opts;
WK_API wk_tensor *wk_max_pool1d(wk_tensor *x, wk_pool_opts opts);
WK_API wk_tensor *wk_max_pool2d(wk_tensor *x, wk_pool_opts opts);
WK_API wk_tensor *wk_max_pool3d(wk_tensor *x, wk_pool_opts opts);
/* Also where each maximum stood, i64, counted in its image's elements in row-major order: what wk_max_unpool takes. */
WK_API wk_tensor *wk_max_pool1d_with_indices(wk_tensor *x, wk_pool_opts opts, wk_tensor **indices);
WK_API wk_tensor *wk_max_pool2d_with_indices(wk_tensor *x, wk_pool_opts opts, wk_tensor **indices);
WK_API wk_tensor *wk_max_pool3d_with_indices(wk_tensor *x, wk_pool_opts opts, wk_tensor **indices);
WK_API wk_tensor *wk_avg_pool1d(wk_tensor *x, wk_pool_opts opts);
WK_API wk_tensor *wk_avg_pool2d(wk_tensor *x, wk_pool_opts opts);
WK_API wk_tensor *wk_avg_pool3d(wk_tensor *x, wk_pool_opts opts);

typedef struct wk_unpool_opts {
    int64_t size[3]; /* of the result's image */
} wk_unpool_opts;
/* Zeros with x's elements where `indices` (i64, x's shape) says. */
WK_API wk_tensor *wk_max_unpool1d(wk_tensor *x, wk_tensor *indices, wk_unpool_opts opts);
WK_API wk_tensor *wk_max_unpool2d(wk_tensor *x, wk_tensor *indices, wk_unpool_opts opts);
WK_API wk_tensor *wk_max_unpool3d(wk_tensor *x, wk_tensor *indices, wk_unpool_opts opts);

typedef struct wk_adaptive_pool_opts {
    int64_t size[3]; /* of the result's image; 0: as x's */
} wk_adaptive_pool_opts;
/* Windows that share each axis as evenly as they can: window i of n goes from floor(i · size / n) to
 * ceil((i + 1) · size / n). */
WK_API wk_tensor *wk_adaptive_max_pool1d(wk_tensor *x, wk_adaptive_pool_opts opts);
WK_API wk_tensor *wk_adaptive_max_pool2d(wk_tensor *x, wk_adaptive_pool_opts opts);
WK_API wk_tensor *wk_adaptive_max_pool3d(wk_tensor *x, wk_adaptive_pool_opts opts);
WK_API wk_tensor *wk_adaptive_max_pool1d_with_indices(wk_tensor *x, wk_adaptive_pool_opts opts, wk_tensor **indices);
WK_API wk_tensor *wk_adaptive_max_pool2d_with_indices(wk_tensor *x, wk_adaptive_pool_opts opts, wk_tensor **indices);
WK_API wk_tensor *wk_adaptive_max_pool3d_with_indices(wk_tensor *x, wk_adaptive_pool_opts opts, wk_tensor **indices);

WK_API wk_tensor *wk_adaptive_avg_pool1d(wk_tensor *x, wk_adaptive_pool_opts opts);
WK_API wk_tensor *wk_adaptive_avg_pool2d(wk_tensor *x, wk_adaptive_pool_opts opts);
WK_API wk_tensor *wk_adaptive_avg_pool3d(wk_tensor *x, wk_adaptive_pool_opts opts);

typedef struct wk_lp_pool_opts {
    double p;
    int64_t kernel[3];
    int64_t stride[3]; /* 0 means the kernel's size */
    bool ceil_mode;
} wk_lp_pool_opts;
/* (Σ x^p)^(1/p) of each window. */
WK_API wk_tensor *wk_lp_pool1d(wk_tensor *x, wk_lp_pool_opts opts);
WK_API wk_tensor *wk_lp_pool2d(wk_tensor *x, wk_lp_pool_opts opts);
WK_API wk_tensor *wk_lp_pool3d(wk_tensor *x, wk_lp_pool_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_max_pool1d(...)                       (WK_HERE, wk_max_pool1d(__VA_ARGS__))
#    define wk_max_pool2d(...)                       (WK_HERE, wk_max_pool2d(__VA_ARGS__))
#    define wk_max_pool3d(...)                       (WK_HERE, wk_max_pool3d(__VA_ARGS__))
#    define wk_max_pool1d_with_indices(...)          (WK_HERE, wk_max_pool1d_with_indices(__VA_ARGS__))
#    define wk_max_pool2d_with_indices(...)          (WK_HERE, wk_max_pool2d_with_indices(__VA_ARGS__))
#    define wk_max_pool3d_with_indices(...)          (WK_HERE, wk_max_pool3d_with_indices(__VA_ARGS__))
#    define wk_avg_pool1d(...)                       (WK_HERE, wk_avg_pool1d(__VA_ARGS__))
#    define wk_avg_pool2d(...)                       (WK_HERE, wk_avg_pool2d(__VA_ARGS__))
#    define wk_avg_pool3d(...)                       (WK_HERE, wk_avg_pool3d(__VA_ARGS__))
#    define wk_max_unpool1d(...)                     (WK_HERE, wk_max_unpool1d(__VA_ARGS__))
#    define wk_max_unpool2d(...)                     (WK_HERE, wk_max_unpool2d(__VA_ARGS__))
#    define wk_max_unpool3d(...)                     (WK_HERE, wk_max_unpool3d(__VA_ARGS__))
#    define wk_adaptive_max_pool1d(...)              (WK_HERE, wk_adaptive_max_pool1d(__VA_ARGS__))
#    define wk_adaptive_max_pool2d(...)              (WK_HERE, wk_adaptive_max_pool2d(__VA_ARGS__))
#    define wk_adaptive_max_pool3d(...)              (WK_HERE, wk_adaptive_max_pool3d(__VA_ARGS__))
#    define wk_adaptive_max_pool1d_with_indices(...) (WK_HERE, wk_adaptive_max_pool1d_with_indices(__VA_ARGS__))
#    define wk_adaptive_max_pool2d_with_indices(...) (WK_HERE, wk_adaptive_max_pool2d_with_indices(__VA_ARGS__))
#    define wk_adaptive_max_pool3d_with_indices(...) (WK_HERE, wk_adaptive_max_pool3d_with_indices(__VA_ARGS__))
#    define wk_adaptive_avg_pool1d(...)              (WK_HERE, wk_adaptive_avg_pool1d(__VA_ARGS__))
#    define wk_adaptive_avg_pool2d(...)              (WK_HERE, wk_adaptive_avg_pool2d(__VA_ARGS__))
#    define wk_adaptive_avg_pool3d(...)              (WK_HERE, wk_adaptive_avg_pool3d(__VA_ARGS__))
#    define wk_lp_pool1d(...)                        (WK_HERE, wk_lp_pool1d(__VA_ARGS__))
#    define wk_lp_pool2d(...)                        (WK_HERE, wk_lp_pool2d(__VA_ARGS__))
#    define wk_lp_pool3d(...)                        (WK_HERE, wk_lp_pool3d(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
