/* kernels.h: small kernels that use what the emulator offers, each with faults that can be planted in it. */
#ifndef WICK_TESTS_CUDA_EMULATOR_KERNELS_H
#define WICK_TESTS_CUDA_EMULATOR_KERNELS_H

#ifdef __cplusplus
extern "C" {
#endif

/* What is wrong in a kernel. */
enum fault {
    NO_FAULT,
    TAIL_OFF_BY_ONE,     /* add: the element behind the last is written */
    TAIL_UNCHECKED,      /* add: as many elements as there are threads */
    MISALIGNED,          /* add, products: accesses of 16 bytes begin at element 1 */
    DROPPED_BARRIER,     /* what other threads wrote is read at once */
    WRITE_AFTER_READ,    /* what other threads still read is written over */
    WRONG_STRIDE,        /* layer_norm: half of the threads' elements are left out */
    MISSING_MASK,        /* cross_entropy: columns behind the last take part */
    DIVERGED_BARRIER,    /* layer_norm: two halves of a block wait at two places */
    BARRIER_AFTER_EXIT,  /* layer_norm: some threads are gone */
    SHARED_WRITE_BEYOND, /* layer_norm: one number behind the end of a shared array */
    SHARED_READ_BEYOND,  /* layer_norm: a part that nobody wrote is added */
    MASK_WITHOUT_CALLER, /* compact: half of the lanes do not stand in the mask that they name */
    MASK_OF_THE_GONE,    /* compact: the mask names lanes that have returned */
    SOURCE_OUT_OF_MASK,  /* shuffles: a value is taken from a lane that takes no part */
    BLOCKS_SHARE,        /* compact: blocks count without an atomic */
    COPY_NOT_AWAITED,    /* products: what still comes in the background is read */
    COPY_LEFT_BEHIND,    /* products: the kernel ends before its last copy */
    WARP_NOT_WHOLE       /* products: half of the lanes of a warp have returned */
};

/* Every function returns a cudaError_t.  y[i] = a[i] + b[i], n of them. */
int launch_add(float *y, const float *a, const float *b, int n, int fault);
/* y (rows, n) = (x - mean) / sqrt(variance + 1e-5), rows of x one by one; 256 threads a row. */
int launch_layer_norm(float *y, const float *x, int rows, int n, int fault);
/* loss (rows) of logits (rows, n) and targets (rows); gradient (rows, n) in place of the logits. */
int launch_cross_entropy(float *loss, float *logits, const int *target, int rows, int n, int fault);
/* c (n, n) = a b, n a multiple of 16. */
int launch_matmul(float *c, const float *a, const float *b, int n, int fault);
/* Counts the positive of x (n) and writes them to y in the order of each warp; *count begins as 0. */
int launch_compact(int *y, int *count, const int *x, int n, int fault);
/* results (8, 32) of the ways to exchange the lanes' numbers. */
int launch_shuffles(int *results, int fault);
/* c (n, n) = a b of bf16, with matrix instructions and copies in the background; n a multiple of 32. */
int launch_products(float *c, const void *a, const void *b, int n, int fault);
/* A launch of this shape that does nothing. */
int launch_nothing(unsigned grid, unsigned block, unsigned long shared);

#ifdef __cplusplus
}
#endif

#endif
