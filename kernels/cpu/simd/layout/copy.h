/* copy.h: the strided copy, for the files that move elements without looking at them. */
#ifndef WICK_KERNELS_COPY_H
#define WICK_KERNELS_COPY_H

#include "cpu/simd/iterate.h"

/* Copy elements of `size` bytes along a walk of two operands, 0 to and 1 from, which gets simplified. */
#define wk__copy_strided WK_JOIN(wk__copy_strided, WK_ISA)
void wk__copy_strided(wk_walk *walk, void *to, const void *from, size_t size, int team);

/* Every element of a dense tensor becomes `value`. */
#define wk__fill_dense WK_JOIN(wk__fill_dense, WK_ISA)
void wk__fill_dense(const wk_kernel_ctx *ctx, const wk_tensor *t, double value);

#endif
