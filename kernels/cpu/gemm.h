/* gemm.h: one matrix product as kernels ask for it, whoever computes it. */
#ifndef WICK_KERNELS_CPU_GEMM_H
#define WICK_KERNELS_CPU_GEMM_H

#include "cpu/cpu.h"

/* C (M, N) = activation(A (M, K) · B (K, N) + bias), or C += A · B.  A and B may have any strides and each its own
 * float type; bf16 and f16 are multiplied and summed in f32, f64 in f64 (then all are f64). */
typedef struct wk_gemm_operand {
    const void *data;
    int64_t row, col; /* strides in elements */
    wk_dtype dtype;
} wk_gemm_operand;
typedef struct wk_gemm {
    int64_t m, n, k;
    wk_gemm_operand a, b;
    void *c; /* row stride c_row, column stride 1 */
    int64_t c_row;
    wk_dtype c_dtype;
    const void *bias; /* (N) of c_dtype, or NULL */
    bool relu;
    bool accumulate; /* add to what is in C; c_dtype f32 or f64, no bias, no activation */
    int threads;
    void *buffer;        /* of wk__gemm_buffer bytes or more, aligned to 64; NULL: the thread's scratch */
    size_t buffer_bytes; /* 0: as many as wk__gemm_buffer says of f32, where tiles are not used */
    const void *addend;  /* what to accumulate on instead of C: (M, N) with rows addend_row apart; `packed` only */
    int64_t addend_row;
    const void *packed; /* B as wk__gemm_pack left it, for a matrix that many products share; else NULL */
} wk_gemm;

/* By oneDNN, without bias and activation; WK_UNSUPPORTED, before anything is written, for types and strides that it
 * does not take, for products that are too small for it, and in builds without it. */
wk_status wk__gemm_by_library(const wk_gemm *g);

#endif
