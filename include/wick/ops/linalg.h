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

/* ---- decompositions, by LAPACK: f32 and f64, leading axes are a batch ----
 *
 * Signs that a decomposition leaves open are chosen so that results are unique: R's diagonal is not negative, the
 * largest element of each eigenvector and of each column of U is positive.  Gradients exist where singular values and
 * eigenvalues differ. */

/* Symmetric positive definite x (…, N, N), taken as (x + xᵀ) / 2: lower triangular L with L Lᵀ = x.  Errors: not
 * positive definite, with the matrix's number. */
WK_API wk_tensor *wk_cholesky(wk_tensor *x);
/* x (…, M, N): orthonormal q (…, M, K) and upper triangular r (…, K, N), K = min(M, N). */
WK_API wk_status wk_qr(wk_tensor *x, wk_tensor **q, wk_tensor **r);
/* Symmetric x (…, N, N), taken as (x + xᵀ) / 2: eigenvalues (…, N), ascending, and eigenvectors in columns. */
WK_API wk_status wk_eigh(wk_tensor *x, wk_tensor **values, wk_tensor **vectors);
/* x (…, M, N) = u diag(s) vh: u (…, M, K), s (…, K) descending, vh (…, K, N). */
WK_API wk_status wk_svd(wk_tensor *x, wk_tensor **u, wk_tensor **s, wk_tensor **vh);
/* a x = b: a (…, N, N), b (…, N, K).  Errors: a singular matrix, with its number. */
WK_API wk_tensor *wk_solve(wk_tensor *a, wk_tensor *b);
typedef struct wk_solve_triangular_opts {
    bool upper, unit_diagonal;
} wk_solve_triangular_opts;
/* The same with a triangular a, of which the rest is not looked at; a zero on the diagonal gives infinities. */
WK_API wk_tensor *wk_solve_triangular(wk_tensor *a, wk_tensor *b, wk_solve_triangular_opts opts);
WK_API wk_tensor *wk_inverse(wk_tensor *x);
WK_API wk_tensor *wk_det(wk_tensor *x); /* (…, N, N) -> (…) */
/* Sign and logarithm of the size of the determinant. */
WK_API wk_status wk_slogdet(wk_tensor *x, wk_tensor **sign, wk_tensor **logarithm);

#ifndef WK_NO_CALL_SITES
#    define wk_matmul(...)           (WK_HERE, wk_matmul(__VA_ARGS__))
#    define wk_linear(...)           (WK_HERE, wk_linear(__VA_ARGS__))
#    define wk_outer(...)            (WK_HERE, wk_outer(__VA_ARGS__))
#    define wk_dot(...)              (WK_HERE, wk_dot(__VA_ARGS__))
#    define wk_mv(...)               (WK_HERE, wk_mv(__VA_ARGS__))
#    define wk_addmm(...)            (WK_HERE, wk_addmm(__VA_ARGS__))
#    define wk_baddbmm(...)          (WK_HERE, wk_baddbmm(__VA_ARGS__))
#    define wk_bilinear(...)         (WK_HERE, wk_bilinear(__VA_ARGS__))
#    define wk_tensordot(...)        (WK_HERE, wk_tensordot(__VA_ARGS__))
#    define wk_kron(...)             (WK_HERE, wk_kron(__VA_ARGS__))
#    define wk_cross(...)            (WK_HERE, wk_cross(__VA_ARGS__))
#    define wk_cdist(...)            (WK_HERE, wk_cdist(__VA_ARGS__))
#    define wk_trace(...)            (WK_HERE, wk_trace(__VA_ARGS__))
#    define wk_matrix_power(...)     (WK_HERE, wk_matrix_power(__VA_ARGS__))
#    define wk_einsum(...)           (WK_HERE, wk_einsum(__VA_ARGS__))
#    define wk_cholesky(...)         (WK_HERE, wk_cholesky(__VA_ARGS__))
#    define wk_qr(...)               (WK_HERE, wk_qr(__VA_ARGS__))
#    define wk_eigh(...)             (WK_HERE, wk_eigh(__VA_ARGS__))
#    define wk_svd(...)              (WK_HERE, wk_svd(__VA_ARGS__))
#    define wk_solve(...)            (WK_HERE, wk_solve(__VA_ARGS__))
#    define wk_solve_triangular(...) (WK_HERE, wk_solve_triangular(__VA_ARGS__))
#    define wk_inverse(...)          (WK_HERE, wk_inverse(__VA_ARGS__))
#    define wk_det(...)              (WK_HERE, wk_det(__VA_ARGS__))
#    define wk_slogdet(...)          (WK_HERE, wk_slogdet(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
