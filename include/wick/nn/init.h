/* wick/nn/init.h: initial values of parameters, drawn as torch.nn.init draws them: the same seed gives the same values.
 *
 * Each changes a kept f32 or f64 tensor in place and gives it back (NULL with an error pending), taking its numbers
 * from wk_default_generator.  fan_in and fan_out of a weight (out, in, …) are in · … and out · ….
 */
#ifndef WICK_NN_INIT_H
#define WICK_NN_INIT_H

#include "wick/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

WK_API wk_tensor *wk_init_uniform(wk_tensor *tensor, double low, double high);
WK_API wk_tensor *wk_init_normal(wk_tensor *tensor, double mean, double deviation);
/* Normal, drawn again where it lies outside [low, high] (as PyTorch 2.15 draws it). */
WK_API wk_tensor *wk_init_truncated_normal(wk_tensor *tensor, double mean, double deviation, double low, double high);
WK_API wk_tensor *wk_init_constant(wk_tensor *tensor, double value);
WK_API wk_tensor *wk_init_zeros(wk_tensor *tensor);
WK_API wk_tensor *wk_init_ones(wk_tensor *tensor);
/* A matrix's identity. */
WK_API wk_tensor *wk_init_eye(wk_tensor *tensor);
/* Convolutions (rank 3 to 5) that keep as many channels as they can; groups: 0 means 1. */
WK_API wk_tensor *wk_init_dirac(wk_tensor *tensor, int64_t groups);
/* Glorot & Bengio 2010: variance gain² · 2 / (fan_in + fan_out).  gain: 0 means 1. */
WK_API wk_tensor *wk_init_xavier_uniform(wk_tensor *tensor, double gain);
WK_API wk_tensor *wk_init_xavier_normal(wk_tensor *tensor, double gain);

typedef enum wk_nonlinearity {
    WK_NONLINEARITY_LEAKY_RELU, /* PyTorch's default */
    WK_NONLINEARITY_RELU,
    WK_NONLINEARITY_LINEAR, /* also convolutions and sigmoid: gain 1 */
    WK_NONLINEARITY_TANH,
    WK_NONLINEARITY_SELU
} wk_nonlinearity;
/* torch.nn.init.calculate_gain; slope: of leaky relu. */
WK_API double wk_init_gain(wk_nonlinearity nonlinearity, double slope);
typedef struct wk_kaiming_opts {
    double slope; /* a: of leaky relu */
    bool fan_out; /* keep the variance of gradients instead of that of activations */
    wk_nonlinearity nonlinearity;
} wk_kaiming_opts;
/* He et al. 2015: variance gain² / fan. */
WK_API wk_tensor *wk_init_kaiming_uniform(wk_tensor *tensor, wk_kaiming_opts opts);
WK_API wk_tensor *wk_init_kaiming_normal(wk_tensor *tensor, wk_kaiming_opts opts);
/* Saxe et al. 2014: (semi-)orthogonal rows or columns of (out, in · …), times gain (0 means 1). */
WK_API wk_tensor *wk_init_orthogonal(wk_tensor *tensor, double gain);
/* Martens 2010: normal, with the given fraction of each column zero. */
WK_API wk_tensor *wk_init_sparse(wk_tensor *tensor, double sparsity, double deviation);

#ifdef __cplusplus
}
#endif
#endif
