/* wick/ops/linalg.h: products of matrices.  See wick/ops.h. */
#ifndef WICK_OPS_LINALG_H
#define WICK_OPS_LINALG_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

/* (…, M, K) · (…, K, N) -> (…, M, N), leading axes broadcast; both operands have rank ≥ 2. */
WK_API wk_tensor *wk_matmul(wk_tensor *a, wk_tensor *b);

typedef enum wk_activation { WK_ACTIVATION_NONE, WK_ACTIVATION_RELU } wk_activation;
typedef struct wk_linear_opts {
    int activation; /* wk_activation, fused */
} wk_linear_opts;
/* x (…, K)   weight (N, K)   bias (N) or NULL   ->   activation(x · weightᵀ + bias) (…, N) */
WK_API wk_tensor *wk_linear(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_linear_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_matmul(...) (WK_HERE, wk_matmul(__VA_ARGS__))
#    define wk_linear(...) (WK_HERE, wk_linear(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
