/* attention.h: launchers of attention.cu. */
#ifndef WICK_KERNELS_CUDA_ATTENTION_H
#define WICK_KERNELS_CUDA_ATTENTION_H

#include "cuda/random/random.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A matrix for each head; strides in elements, 0 where heads share one. */
typedef struct wk_cuda_matrices {
    void *data;
    int64_t batch, head, row, col;
} wk_cuda_matrices;

typedef enum wk_cuda_mask {
    WK_CUDA_MASK_NONE,
    WK_CUDA_MASK_BOOL,
    WK_CUDA_MASK_OF_Q,
    WK_CUDA_MASK_OF_SUMS
} wk_cuda_mask;

typedef struct wk_cuda_attention {
    int64_t batches, heads, group; /* `group` heads of q share one of k and v */
    int64_t queries, keys, width, value_width;
    int64_t offset; /* with `causal`, query i sees keys 0 to i + offset */
    bool causal;
    double scale, dropout; /* dropout: of the weights, as the row `dropout` draws it for all of (B, H, T, S) */
    wk_cuda_key key;
    wk_cuda_matrices q, k, v, mask; /* (T, D), (S, D), (S, E), (T, S) */
    wk_cuda_mask mask_kind;         /* its elements: bool, of q's dtype, or of that of sums */
    wk_cuda_matrices y, dy, dq, dk, dv;
    void *lse;   /* (B, H, T), f32 (f64 for f64): the logarithm of the sum of exponentials */
    void *delta; /* the same, in scratch: dy yᵀ of each query */
} wk_cuda_attention;

enum { WK_CUDA_ATTENTION_WIDTH = 128 }; /* of a head, at most */

/* Whether the tiles of such heads fit into a block's shared memory; elements of sums have `real` bytes. */
bool wk__cuda_attention_fits(int64_t width, int64_t value_width, size_t real);
/* dtype: a wk_dtype, of q.  They return a cudaError_t. */
int wk__cuda_attention_forward(const wk_cuda_attention *a, int dtype, void *stream);
int wk__cuda_attention_backward(const wk_cuda_attention *a, int dtype, void *stream);
/* The same on tensor cores (flash.cu), for what it takes: halves, heads of 64 or 128 elements that lie side by side,
 * rows aligned to 16 bytes.  Matrices whose data is NULL do not matter. */
bool wk__cuda_flash_takes(const wk_cuda_attention *a, int dtype);
int wk__cuda_flash_forward(const wk_cuda_attention *a, int dtype, void *stream);
int wk__cuda_flash_backward(const wk_cuda_attention *a, int dtype, void *stream);

#ifdef __cplusplus
}
#endif
#endif
