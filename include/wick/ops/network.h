/* wick/ops/network.h: normalisation and dropout.  See wick/ops.h. */
#ifndef WICK_OPS_NETWORK_H
#define WICK_OPS_NETWORK_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_batch_norm_opts {
    bool training;        /* use the batch's statistics and update the running ones */
    wk_optional momentum; /* of the running statistics, default 0.1 */
    wk_optional eps;      /* default 1e-5 */
} wk_batch_norm_opts;
/* x (N, C, …)   weight, bias (C) or NULL   running_mean, running_variance (C) or NULL (training only); the running
 * variance is the unbiased one.  Ioffe & Szegedy 2015; matches torch.nn.functional.batch_norm. */
WK_API wk_tensor *wk_batch_norm(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_tensor *running_mean,
                                wk_tensor *running_variance, wk_batch_norm_opts opts);

typedef struct wk_layer_norm_opts {
    int64_t axes;    /* how many last axes make a row, where neither weight nor bias says it; 0 means 1 */
    wk_optional eps; /* default 1e-5; of rms_norm: the distance from 1 to the next number of x's dtype */
} wk_layer_norm_opts;
/* (x − mean) / sqrt(variance + eps) · weight + bias over the last axes, whose shape is that of weight and bias; either
 * may be NULL, and each is of x's dtype, or f32 beside a half type.  Ba et al. 2016; torch.nn.functional.layer_norm. */
WK_API wk_tensor *wk_layer_norm(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_layer_norm_opts opts);
/* x / sqrt(mean of x² + eps) · weight.  Zhang & Sennrich 2019; torch.nn.functional.rms_norm. */
WK_API wk_tensor *wk_rms_norm(wk_tensor *x, wk_tensor *weight, wk_layer_norm_opts opts);
typedef struct wk_group_norm_opts {
    int64_t groups;  /* at least 1, divides the channels */
    wk_optional eps; /* default 1e-5 */
} wk_group_norm_opts;
/* x (N, C, …)   weight, bias (C) or NULL: normalised over C / groups channels at a time, of each sample.  Wu & He 2018;
 * torch.nn.functional.group_norm. */
WK_API wk_tensor *wk_group_norm(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_group_norm_opts opts);
typedef struct wk_instance_norm_opts {
    wk_optional eps; /* default 1e-5 */
} wk_instance_norm_opts;
/* x (N, C, L, …)   weight, bias (C) or NULL: each channel of each sample alone (by running statistics: wk_batch_norm
 * does it).  Ulyanov et al. 2016; torch.nn.functional.instance_norm. */
WK_API wk_tensor *wk_instance_norm(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_instance_norm_opts opts);
typedef struct wk_local_response_norm_opts {
    int64_t size;               /* channels that take part, around each */
    wk_optional alpha, beta, k; /* 1e-4, 0.75, 1 */
} wk_local_response_norm_opts;
/* x (N, C, L, …) / (k + alpha · mean of x² over the channels around)^beta.  Krizhevsky et al. 2012;
 * torch.nn.functional.local_response_norm. */
WK_API wk_tensor *wk_local_response_norm(wk_tensor *x, wk_local_response_norm_opts opts);

/* ---- dropout ---- */

typedef struct wk_dropout_opts {
    double p; /* probability of zero, in [0, 1) */
} wk_dropout_opts;
/* Zero with probability p, else x / (1 − p).  key: i64 (2), a seed and a counter; equal keys give equal masks (Philox
 * 4x32-10, Salmon et al. 2011), and backward draws the mask again instead of storing it. */
WK_API wk_tensor *wk_dropout(wk_tensor *x, wk_tensor *key, wk_dropout_opts opts);
/* Whole channels of x (N, C, …): dropout of rank 3, 4 and 5 is torch.nn.functional.dropout1d, 2d and 3d.  Tompson et
 * al. 2015. */
WK_API wk_tensor *wk_feature_dropout(wk_tensor *x, wk_tensor *key, wk_dropout_opts opts);
/* For networks of SELU: what is dropped takes SELU's lower limit, and a scale and a shift restore mean 0 and variance
 * 1. Klambauer et al. 2017; torch.nn.functional.alpha_dropout, and feature_alpha_dropout of x (N, C, …). */
WK_API wk_tensor *wk_alpha_dropout(wk_tensor *x, wk_tensor *key, wk_dropout_opts opts);
WK_API wk_tensor *wk_feature_alpha_dropout(wk_tensor *x, wk_tensor *key, wk_dropout_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_batch_norm(...)            (WK_HERE, wk_batch_norm(__VA_ARGS__))
#    define wk_layer_norm(...)            (WK_HERE, wk_layer_norm(__VA_ARGS__))
#    define wk_rms_norm(...)              (WK_HERE, wk_rms_norm(__VA_ARGS__))
#    define wk_group_norm(...)            (WK_HERE, wk_group_norm(__VA_ARGS__))
#    define wk_instance_norm(...)         (WK_HERE, wk_instance_norm(__VA_ARGS__))
#    define wk_local_response_norm(...)   (WK_HERE, wk_local_response_norm(__VA_ARGS__))
#    define wk_dropout(...)               (WK_HERE, wk_dropout(__VA_ARGS__))
#    define wk_feature_dropout(...)       (WK_HERE, wk_feature_dropout(__VA_ARGS__))
#    define wk_alpha_dropout(...)         (WK_HERE, wk_alpha_dropout(__VA_ARGS__))
#    define wk_feature_alpha_dropout(...) (WK_HERE, wk_feature_alpha_dropout(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
