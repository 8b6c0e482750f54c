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

typedef uint64_t wk_line_of_bytes __attribute__((vector_size(64), aligned(1), may_alias));
typedef uint64_t wk_half_line __attribute__((vector_size(32), aligned(1), may_alias));

/* A short row without a call: the last line overlaps the one before; below a line, halves of it. */
static inline void wk_copy_short(char *restrict to, const char *restrict from, int64_t bytes) {
    if (bytes >= 64) {
        for (int64_t at = 0; at + 64 < bytes; at += 64)
            *(wk_line_of_bytes *)(void *)(to + at) = *(const wk_line_of_bytes *)(const void *)(from + at);
        *(wk_line_of_bytes *)(void *)(to + bytes - 64) = *(const wk_line_of_bytes *)(const void *)(from + bytes - 64);
    } else if (bytes >= 32) {
        *(wk_half_line *)(void *)to = *(const wk_half_line *)(const void *)from;
        *(wk_half_line *)(void *)(to + bytes - 32) = *(const wk_half_line *)(const void *)(from + bytes - 32);
    } else {
        memcpy(to, from, (size_t)bytes);
    }
}

#endif
