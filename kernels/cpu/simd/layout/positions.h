/* positions.h: an index: checked before anything is written, and where it lies. */
#ifndef WICK_KERNELS_POSITIONS_H
#define WICK_KERNELS_POSITIONS_H

#include "cpu/simd/iterate.h"

typedef struct wk_positions {
    const int64_t *data;
    uint64_t size;
    int64_t step;
    bool *outside;
} wk_positions;

static inline void wk_positions_visit(const void *context, const int64_t offset[], int64_t n) {
    const wk_positions *p = context;
    const int64_t *at = p->data + offset[0];
    uint64_t bad = 0;
    if (p->step == 1)
        for (int64_t i = 0; i < n; i++) bad |= (uint64_t)at[i] >= p->size;
    else
        for (int64_t i = 0; i < n; i++) bad |= (uint64_t)at[i * p->step] >= p->size;
    if (bad) *p->outside = true;
}

/* The number, row major, of the first element outside of [0, size), and what it is; -1: there is none.  All are looked
 * at in any order first, those of broadcast axes once; only where one is wrong is it searched for. */
static inline int64_t wk_first_outside(const wk_tensor *index, int64_t size, int64_t *value) {
    bool outside = false;
    if (!index->count) return -1;
    wk_walk walk = wk_walk_of(index);
    for (int d = 0; d < walk.rank; d++)
        if (walk.stride[0][d] == 0) walk.shape[d] = 1;
    wk_walk_simplify(&walk);
    const wk_positions all = { index->data, (uint64_t)size, walk.stride[0][walk.rank - 1], &outside };
    wk_walk_range(&walk, 0, wk_walk_count(&walk), wk_positions_visit, &all);
    for (int64_t i = 0; outside && i < index->count; i++) {
        *value = ((const int64_t *)index->data)[wk_element_at(index, i)];
        if (*value < 0 || *value >= size) return i;
    }
    return -1;
}

/* Each index lies in axis `axis` of operand `of`, which has `size` elements there. */
static inline wk_status wk_check_index(const char *op, const wk_tensor *index, int64_t size, int64_t axis,
                                       const char *of) {
    int64_t value = 0, at = wk_first_outside(index, size, &value);
    if (at < 0) return WK_OK;
    return wk_fail(WK_INVALID, "%s: index[%lld] is %lld, expected 0 ≤ index < %lld (axis %lld of %s)", op,
                   (long long)at, (long long)value, (long long)size, (long long)axis, of);
}

/* Stride of the index along axis d of the values: its own, or that of its one axis (index_select). */
static inline int64_t wk_index_stride(const wk_tensor *index, bool select, int64_t axis, int d) {
    if (!select) return index->shape[d] == 1 ? 0 : index->stride[d];
    return d == axis && index->count > 1 ? index->stride[0] : 0;
}

#endif
