/* gemm.h: Wick's own matrix product, one per instruction set, for the kernels beside it. */
#ifndef WICK_KERNELS_CPU_SIMD_GEMM_H
#define WICK_KERNELS_CPU_SIMD_GEMM_H

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
    void *buffer;       /* of wk__gemm_buffer bytes, aligned to 64; NULL: the thread's scratch */
    const void *addend; /* what to accumulate on instead of C: (M, N) with rows addend_row apart; `packed` only */
    int64_t addend_row;
    const void *packed; /* B as wk__gemm_pack left it, for a matrix that many products share; else NULL */
} wk_gemm;

#define WK_GEMM_BUFFER WK_JOIN(wk__gemm_buffer, WK_ISA)
#define WK_GEMM        WK_JOIN(wk__gemm, WK_ISA)
size_t WK_GEMM_BUFFER(const wk_gemm *g);
wk_status WK_GEMM(const wk_gemm *g);
/* Pack the whole of B (k, n, b, c_dtype and threads are looked at) into wk__gemm_packed bytes, aligned to 64. */
#define WK_GEMM_PACKED WK_JOIN(wk__gemm_packed, WK_ISA)
#define WK_GEMM_PACK   WK_JOIN(wk__gemm_pack, WK_ISA)
size_t WK_GEMM_PACKED(const wk_gemm *g);
void WK_GEMM_PACK(const wk_gemm *g, void *packed);

#endif
