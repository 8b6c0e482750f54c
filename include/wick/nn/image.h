/* wick/nn/image.h: modules of images of one to three axes, under PyTorch's names.
 *
 * See wick/ops/image.h, pool.h, resize.h and layout.h for what they compute.
 */
#ifndef WICK_NN_IMAGE_H
#define WICK_NN_IMAGE_H

#include "wick/nn/containers.h"
#include "wick/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_nn_conv_opts {
    wk_conv_opts conv; /* stride, padding, dilation, groups, pad */
    bool no_bias;
    int64_t kernel[3]; /* of each axis, where they differ; 0: the number given */
    int padding_mode;  /* wk_pad_mode: what the padding is made of; constant means zeros */
} wk_nn_conv_opts;
typedef wk_nn_conv_opts wk_nn_conv2d_opts;
/* weight (out, in / groups, kernel…) and bias (out), uniform in ± 1 / sqrt(in / groups · kernel…) */
WK_API wk_module *wk_nn_conv1d(int64_t in_channels, int64_t out_channels, int64_t kernel, wk_nn_conv_opts opts);
WK_API wk_module *wk_nn_conv2d(int64_t in_channels, int64_t out_channels, int64_t kernel, wk_nn_conv_opts opts);
WK_API wk_module *wk_nn_conv3d(int64_t in_channels, int64_t out_channels, int64_t kernel, wk_nn_conv_opts opts);

typedef struct wk_nn_conv_transpose_opts {
    wk_conv_transpose_opts conv;
    bool no_bias;
    int64_t kernel[3]; /* of each axis, where they differ; 0: the number given */
} wk_nn_conv_transpose_opts;
/* weight (in, out / groups, kernel…) and bias (out), uniform in ± 1 / sqrt(out / groups · kernel…) */
WK_API wk_module *wk_nn_conv_transpose1d(int64_t in_channels, int64_t out_channels, int64_t kernel,
                                         wk_nn_conv_transpose_opts opts);
WK_API wk_module *wk_nn_conv_transpose2d(int64_t in_channels, int64_t out_channels, int64_t kernel,
                                         wk_nn_conv_transpose_opts opts);
WK_API wk_module *wk_nn_conv_transpose3d(int64_t in_channels, int64_t out_channels, int64_t kernel,
                                         wk_nn_conv_transpose_opts opts);

WK_API wk_module *wk_nn_max_pool1d(wk_pool_opts opts);
WK_API wk_module *wk_nn_max_pool2d(wk_pool_opts opts);
WK_API wk_module *wk_nn_max_pool3d(wk_pool_opts opts);
WK_API wk_module *wk_nn_avg_pool1d(wk_pool_opts opts);
WK_API wk_module *wk_nn_avg_pool2d(wk_pool_opts opts);
WK_API wk_module *wk_nn_avg_pool3d(wk_pool_opts opts);
WK_API wk_module *wk_nn_lp_pool1d(wk_lp_pool_opts opts);
WK_API wk_module *wk_nn_lp_pool2d(wk_lp_pool_opts opts);
WK_API wk_module *wk_nn_lp_pool3d(wk_lp_pool_opts opts);
WK_API wk_module *wk_nn_adaptive_max_pool1d(wk_adaptive_pool_opts opts);
WK_API wk_module *wk_nn_adaptive_max_pool2d(wk_adaptive_pool_opts opts);
WK_API wk_module *wk_nn_adaptive_max_pool3d(wk_adaptive_pool_opts opts);
WK_API wk_module *wk_nn_adaptive_avg_pool1d(wk_adaptive_pool_opts opts);
WK_API wk_module *wk_nn_adaptive_avg_pool2d(wk_adaptive_pool_opts opts);
WK_API wk_module *wk_nn_adaptive_avg_pool3d(wk_adaptive_pool_opts opts);

/* Slots: x, then its indices.  The size is what pooling with kernel, stride and padding would have come from. */
WK_API wk_module *wk_nn_max_unpool1d(wk_pool_opts opts);
WK_API wk_module *wk_nn_max_unpool2d(wk_pool_opts opts);
WK_API wk_module *wk_nn_max_unpool3d(wk_pool_opts opts);
WK_API wk_tensor *wk_max_unpool_forward(wk_module *module, wk_tensor *x, wk_tensor *indices);

/* ConstantPad, ReflectionPad, ReplicationPad, CircularPad by opts.mode; ZeroPad is ConstantPad of 0.  before and after
 * have one number for each axis. */
WK_API wk_module *wk_nn_pad1d(wk_pad_opts opts);
WK_API wk_module *wk_nn_pad2d(wk_pad_opts opts);
WK_API wk_module *wk_nn_pad3d(wk_pad_opts opts);

WK_API wk_module *wk_nn_upsample(wk_interpolate_opts opts);
WK_API wk_module *wk_nn_pixel_shuffle(int factor);
WK_API wk_module *wk_nn_pixel_unshuffle(int factor);
WK_API wk_module *wk_nn_channel_shuffle(int64_t groups);
WK_API wk_module *wk_nn_unfold(wk_unfold_opts opts);
WK_API wk_module *wk_nn_fold(wk_fold_opts opts);
/* One axis becomes several. */
WK_API wk_module *wk_nn_unflatten(int axis, wk_dims sizes);

#ifdef __cplusplus
}
#endif
#endif
