/* product.h: launcher of product.cu, and what matmul and linear ask for (as kernels/cpu/product.h). */
#ifndef WICK_KERNELS_CUDA_LINALG_PRODUCT_H
#define WICK_KERNELS_CUDA_LINALG_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

enum { WK_CUDA_BATCH_RANK = 8 };

typedef struct wk_cuda_product {
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col, bias_step; /* strides in elements; C is row major, products behind each other */
    int rank;                                      /* batch axes */
    int64_t size[WK_CUDA_BATCH_RANK], a_batch[WK_CUDA_BATCH_RANK], b_batch[WK_CUDA_BATCH_RANK];
    int64_t count; /* products */
    bool relu;
} wk_cuda_product;

#ifdef __cplusplus
extern "C" {
#endif

/* c = a b + bias, then ReLU if asked for; bias may be NULL.  Any strides, any float dtype; the result's is the same, or
 * f32 of halves. */
int wk__cuda_product(const wk_cuda_product *product, int dtype, int result, const void *a, const void *b,
                     const void *bias, void *c, void *stream);

#ifdef __cplusplus
}
#endif
#endif
