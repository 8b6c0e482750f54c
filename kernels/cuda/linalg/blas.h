/* blas.h: what blas.c takes from plan.c: a product as cuBLASLt wants it, with its descriptors and algorithm. */
#ifndef WICK_KERNELS_CUDA_LINALG_BLAS_H
#define WICK_KERNELS_CUDA_LINALG_BLAS_H

#include "cuda/cuda.h"

#include <cublasLt.h>

/* Everything that a plan depends on.  Compared as bytes: all of it is written, also what is not used. */
typedef struct wk_cublas_key {
    int64_t m, n, k; /* of the row-major result (m, n) */
    int64_t a_ld, b_ld, count, a_batch, b_batch;
    int32_t dtype, result, device, a_turned, b_turned; /* of operands, of the result */
    int32_t bias, relu, alignment;
} wk_cublas_key;

typedef struct wk_cublas_plan {
    wk_cublas_key key;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulHeuristicResult_t choice;
    bool usable;
} wk_cublas_plan;

/* c = a b, then the plan's epilogue.  `workspace`: of choice.workspaceSize bytes, or NULL for none. */
cublasStatus_t wk__cublas_run(const wk_cublas_plan *plan, const void *a, const void *b, const void *bias, void *c,
                              void *workspace, cudaStream_t stream);
/* The plan of a product, made when it is first asked for; `usable` says whether cuBLASLt takes it.  NULL with an error
 * pending. */
const wk_cublas_plan *wk__cublas_plan(const wk_cublas_key *key);
/* Of this device; NULL with an error pending. */
cublasLtHandle_t wk__cublas_handle(int device);
wk_status wk__cublas_status(const wk_call *call, cublasStatus_t status);

#endif
