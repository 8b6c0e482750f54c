/* blocks.h: which entry of a launch's list a block works on.  Blocks are dealt to entries in their order. */
#ifndef WICK_KERNELS_CUDA_OPTIM_BLOCKS_H
#define WICK_KERNELS_CUDA_OPTIM_BLOCKS_H

#include "cuda/device.h"

/* By halving; entries have the first of their blocks. */
template <class L> __device__ __forceinline__ int wk_entry_of_block(const L &list, int32_t block) {
    int low = 0, high = list.n - 1;
    while (low < high) {
        const int middle = (low + high + 1) / 2;
        if (list.entry[middle].first_block <= block)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

#endif
