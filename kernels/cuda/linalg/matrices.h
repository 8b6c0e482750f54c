/* matrices.h: launchers of factor.cu and spectrum.cu: decompositions of each matrix of a batch. */
#ifndef WICK_KERNELS_CUDA_LINALG_MATRICES_H
#define WICK_KERNELS_CUDA_LINALG_MATRICES_H

#include "walk.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Matrices a (m, n) of a batch and, of systems, b (n, columns), strided; results are dense and row-major. */
typedef struct wk_cuda_matrices {
    wk_walk batch; /* operands: a, b */
    int64_t m, n, columns;
    int64_t a_row, a_column, b_row, b_column; /* strides */
    bool upper, unit_diagonal;                /* of a triangle */
    const void *a, *b;
    void *out[3];
    void *work; /* of the size that the launcher's comment says, for each matrix */
} wk_cuda_matrices;

/* All: dtype is WK_F32 or WK_F64; they return a cudaError_t.  What the CPU refuses (a singular or an indefinite matrix)
 * gives infinities and NaN: the host does not wait for the numbers. */
/* out: x with a x = b.  work: (n, n). */
int wk__cuda_solve(const wk_cuda_matrices *p, int dtype, void *stream);
/* The same of a triangle; no work. */
int wk__cuda_solve_triangular(const wk_cuda_matrices *p, int dtype, void *stream);
/* out: sign and logarithm of the determinant.  work: (n, n). */
int wk__cuda_slogdet(const wk_cuda_matrices *p, int dtype, void *stream);
/* out: L with L Lᵀ = a; no work. */
int wk__cuda_cholesky(const wk_cuda_matrices *p, int dtype, void *stream);
/* out: q (m, k), r (k, n) with k the lesser side, r's diagonal not negative.  work: (m, n) and k. */
int wk__cuda_qr(const wk_cuda_matrices *p, int dtype, void *stream);
/* out: eigenvalues (n), ascending, and eigenvectors (n, n), the largest element of each positive.  work: f64,
 * 2 (n, n) and n + 1. */
int wk__cuda_eigh(const wk_cuda_matrices *p, int dtype, void *stream);
/* out: u (m, k), s (k), descending, vh (k, n); the largest element of each column of u positive.  work: f64, (m, n),
 * (k, k) and k. */
int wk__cuda_svd(const wk_cuda_matrices *p, int dtype, void *stream);

#ifdef __cplusplus
}
#endif
#endif
