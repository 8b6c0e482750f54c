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

/* ---- more products; every one broadcasts leading axes ---- */

WK_API wk_tensor *wk_outer(wk_tensor *a, wk_tensor *b); /* (…, M), (…, N) -> (…, M, N) */
WK_API wk_tensor *wk_dot(wk_tensor *a, wk_tensor *b);   /* (…, K), (…, K) -> (…) */
WK_API wk_tensor *wk_mv(wk_tensor *a, wk_tensor *x);    /* (…, M, K), (…, K) -> (…, M) */
/* scale · x + factor · (a · b); zero means 1, WK_SET(0) nothing. */
typedef struct wk_addmm_opts {
    wk_optional scale, factor; /* PyTorch's beta and alpha */
} wk_addmm_opts;
WK_API wk_tensor *wk_addmm(wk_tensor *x, wk_tensor *a, wk_tensor *b, wk_addmm_opts opts);   /* (M, K), (K, N) */
WK_API wk_tensor *wk_baddbmm(wk_tensor *x, wk_tensor *a, wk_tensor *b, wk_addmm_opts opts); /* (B, M, K), (B, K, N) */
/* y_o = a weight_o b + bias_o:  a (…, I), b (…, J), weight (O, I, J), bias (O) or NULL -> (…, O) */
WK_API wk_tensor *wk_bilinear(wk_tensor *a, wk_tensor *b, wk_tensor *weight, wk_tensor *bias);
/* Sum over the last `count` axes of a and the first of b. */
typedef struct wk_tensordot_opts {
    int64_t count;
} wk_tensordot_opts;
WK_API wk_tensor *wk_tensordot(wk_tensor *a, wk_tensor *b, int count);
/* Kronecker product of matrices: (M, N), (P, Q) -> (M P, N Q) */
WK_API wk_tensor *wk_kron(wk_tensor *a, wk_tensor *b);
/* Vectors of three along the last axis. */
WK_API wk_tensor *wk_cross(wk_tensor *a, wk_tensor *b);
typedef struct wk_cdist_opts {
    wk_optional p; /* 2 */
} wk_cdist_opts;
/* Distances between all pairs of rows: (…, M, D), (…, N, D) -> (…, M, N); the gradient at distance 0 is 0. */
WK_API wk_tensor *wk_cdist(wk_tensor *a, wk_tensor *b, wk_cdist_opts opts);
WK_API wk_tensor *wk_trace(wk_tensor *x); /* (…, N, N) -> (…) */
/* a^n of square matrices, n ≥ 0. */
typedef struct wk_matrix_power_opts {
    int64_t n;
} wk_matrix_power_opts;
WK_API wk_tensor *wk_matrix_power(wk_tensor *x, int64_t n);

enum { WK_EINSUM_LENGTH = 128 };
typedef struct wk_einsum_opts {
    char equation[WK_EINSUM_LENGTH]; /* "bij,bjk->bik" */
} wk_einsum_opts;
/* Sums of products by Einstein's convention: a letter for each axis of each operand, "..." for axes that broadcast;
 * without "->" the letters that stand once, in alphabetical order.  Operands are contracted from left to right. */
WK_API wk_tensor *wk_einsum(const char *equation, wk_tensor *const *operands, int count);

#ifndef WK_NO_CALL_SITES
#    define wk_matmul(...)       (WK_HERE, wk_matmul(__VA_ARGS__))
#    define wk_linear(...)       (WK_HERE, wk_linear(__VA_ARGS__))
#    define wk_outer(...)        (WK_HERE, wk_outer(__VA_ARGS__))
#    define wk_dot(...)          (WK_HERE, wk_dot(__VA_ARGS__))
#    define wk_mv(...)           (WK_HERE, wk_mv(__VA_ARGS__))
#    define wk_addmm(...)        (WK_HERE, wk_addmm(__VA_ARGS__))
#    define wk_baddbmm(...)      (WK_HERE, wk_baddbmm(__VA_ARGS__))
#    define wk_bilinear(...)     (WK_HERE, wk_bilinear(__VA_ARGS__))
#    define wk_tensordot(...)    (WK_HERE, wk_tensordot(__VA_ARGS__))
#    define wk_kron(...)         (WK_HERE, wk_kron(__VA_ARGS__))
#    define wk_cross(...)        (WK_HERE, wk_cross(__VA_ARGS__))
#    define wk_cdist(...)        (WK_HERE, wk_cdist(__VA_ARGS__))
#    define wk_trace(...)        (WK_HERE, wk_trace(__VA_ARGS__))
#    define wk_matrix_power(...) (WK_HERE, wk_matrix_power(__VA_ARGS__))
#    define wk_einsum(...)       (WK_HERE, wk_einsum(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
