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

/* Each index lies in axis `axis` of operand `of`, which has `size` elements there. */
static inline wk_status wk_check_index(const char *op, const wk_tensor *index, int64_t size, int64_t axis,
                                       const char *of) {
    for (int64_t i = 0; i < index->count; i++) {
        int64_t value = ((const int64_t *)index->data)[wk_element_at(index, i)];
        if (value < 0 || value >= size)
            return wk_fail(WK_INVALID, "%s: index[%lld] is %lld, expected 0 ≤ index < %lld (axis %lld of %s)", op,
                           (long long)i, (long long)value, (long long)size, (long long)axis, of);
    }
    return WK_OK;
}

#endif
