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

/* ---- dropout ---- */

typedef struct wk_dropout_opts {
    double p; /* probability of zero, in [0, 1) */
} wk_dropout_opts;
/* Zero with probability p, else x / (1 − p).  key: i64 (2), a seed and a counter; equal keys give equal masks (Philox
 * 4x32-10, Salmon et al. 2011), and backward draws the mask again instead of storing it. */
WK_API wk_tensor *wk_dropout(wk_tensor *x, wk_tensor *key, wk_dropout_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_batch_norm(...) (WK_HERE, wk_batch_norm(__VA_ARGS__))
#    define wk_dropout(...)    (WK_HERE, wk_dropout(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
