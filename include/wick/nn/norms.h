/* wick/nn/norms.h: normalisation, dropout and embedding as modules, under PyTorch's names. */
#ifndef WICK_NN_NORMS_H
#define WICK_NN_NORMS_H

#include "wick/nn/containers.h"
#include "wick/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_nn_norm_opts {
    wk_optional eps; /* 1e-5; RMSNorm: the distance from 1 to the next number of the input's dtype */
    bool no_affine;  /* neither weight nor bias */
    bool no_bias;    /* LayerNorm: weight only */
} wk_nn_norm_opts;
/* weight (ones) and bias (zeros) of the shape that is normalised, the last axes of the input */
WK_API wk_module *wk_nn_layer_norm(wk_dims normalized_shape, wk_nn_norm_opts opts);
/* weight (ones) */
WK_API wk_module *wk_nn_rms_norm(wk_dims normalized_shape, wk_nn_norm_opts opts);
/* weight (ones), bias (channels) */
WK_API wk_module *wk_nn_group_norm(int64_t groups, int64_t channels, wk_nn_norm_opts opts);

typedef struct wk_nn_instance_norm_opts {
    wk_optional eps, momentum; /* 1e-5, 0.1 */
    bool affine;               /* weight (ones), bias */
    bool running_statistics;   /* buffers running_mean, running_var, num_batches_tracked, used in evaluation */
} wk_nn_instance_norm_opts;
/* x (N, C, L) or (C, L); with two and three axes more in 2d and 3d */
WK_API wk_module *wk_nn_instance_norm1d(int64_t channels, wk_nn_instance_norm_opts opts);
WK_API wk_module *wk_nn_instance_norm2d(int64_t channels, wk_nn_instance_norm_opts opts);
WK_API wk_module *wk_nn_instance_norm3d(int64_t channels, wk_nn_instance_norm_opts opts);
WK_API wk_module *wk_nn_local_response_norm(wk_local_response_norm_opts opts);

/* Whole channels: x (N, C, L) or (C, L) for 1d, and so on.  In evaluation, nothing. */
WK_API wk_module *wk_nn_dropout1d(double p);
WK_API wk_module *wk_nn_dropout2d(double p);
WK_API wk_module *wk_nn_dropout3d(double p);
WK_API wk_module *wk_nn_alpha_dropout(double p);
WK_API wk_module *wk_nn_feature_alpha_dropout(double p);
/* Whole samples of x (N, …), for residual branches.  Huang et al. 2016; torchvision.ops.StochasticDepth(p, "row"). */
WK_API wk_module *wk_nn_stochastic_depth(double p);

typedef struct wk_nn_embedding_opts {
    wk_optional padding_idx; /* its row begins as zeros and gets no gradient; negative counts from the end */
    bool sparse;             /* gradients as rows; see wk_gradient_rows */
} wk_nn_embedding_opts;
/* weight (count, width), normal with deviation 1; takes i64 positions of any shape */
WK_API wk_module *wk_nn_embedding(int64_t count, int64_t width, wk_nn_embedding_opts opts);

#ifdef __cplusplus
}
#endif
#endif
