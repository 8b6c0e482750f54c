/* walk.h: the shape that a kernel runs over, and the strides of its operands: how strided and broadcast operands reach
 * every kernel that goes element by element.  Read by C, which makes it, and by the device, which gets it by value.
 */
#ifndef WICK_KERNELS_CUDA_WALK_H
#define WICK_KERNELS_CUDA_WALK_H

#include <stdbool.h>
#include <stdint.h>

enum { WK_CUDA_OPERANDS = 4, WK_CUDA_RANK = 8 };

typedef struct wk_cuda_walk {
    int operands, rank; /* rank ≥ 1 */
    int64_t count;
    int64_t shape[WK_CUDA_RANK];
    int64_t stride[WK_CUDA_OPERANDS][WK_CUDA_RANK]; /* in elements; 0 on broadcast axes */
} wk_cuda_walk;

#endif
