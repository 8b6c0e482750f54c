/* positions.h: launcher of positions.cu. */
#ifndef WICK_KERNELS_CUDA_LAYOUT_POSITIONS_H
#define WICK_KERNELS_CUDA_LAYOUT_POSITIONS_H

#include "wick/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { WK_CUDA_POSITIONS_CHUNK = 4096 };

/* The places of true elements of a dense mask, in their order, as rows of out (size, rank); rows behind them hold
 * `fill`. */
typedef struct wk_cuda_positions {
    const uint8_t *mask;
    int64_t count, size, fill;
    int rank;
    int64_t shape[WK_MAX_RANK];
    int64_t *out;
    int64_t *found; /* one a chunk of the mask, and one: scratch */
} wk_cuda_positions;

/* Returns a cudaError_t. */
int wk__cuda_positions(const wk_cuda_positions *p, void *stream);

#ifdef __cplusplus
}
#endif
#endif
