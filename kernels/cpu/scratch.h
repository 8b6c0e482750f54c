/* scratch.h: working memory of kernels, cached per thread. */
#ifndef WICK_KERNELS_CPU_SCRATCH_H
#define WICK_KERNELS_CPU_SCRATCH_H

#include <stddef.h>

/* One block per slot and thread.  Kernels that call each other must use different slots. */
typedef enum wk_scratch_slot {
    WK_SCRATCH_PACK,    /* packed panels of the matrix product */
    WK_SCRATCH_KERNEL,  /* whatever the running kernel needs, in one block */
    WK_SCRATCH_LIBRARY, /* oneDNN's scratchpad */
    WK_SCRATCH_REORDER, /* operands in the layout that a primitive wants */
    WK_SCRATCH_SLOTS
} wk_scratch_slot;

/* At least `bytes` bytes aligned to 64, uninitialised, valid until the slot's next request on this thread; NULL with
 * WK_NO_MEMORY pending. */
void *wk__cpu_scratch(wk_scratch_slot slot, size_t bytes);

#endif
