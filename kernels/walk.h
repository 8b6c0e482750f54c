/* walk.h: any number of strided operands, element by element: one shape and a stride per operand.
 *
 * Kernels of the CPU and of CUDA begin with it.  wk_walk_simplify sorts the axes by operand 0 (the output: writes are
 * then sequential whatever the layout) and joins axes that are contiguous to each other in all operands, so that equal
 * layouts, row major, channels last or otherwise, end as one long row.  A launch takes a walk by value.
 */
#ifndef WICK_KERNELS_WALK_H
#define WICK_KERNELS_WALK_H

#include "wick/op.h"

#include <string.h>

enum { WK_WALK_OPERANDS = 4 };

typedef struct wk_walk {
    int operands, rank; /* rank ≥ 1 once simplified; the last axis is the row */
    int64_t count;      /* of elements; what is made by hand has it once simplified */
    int64_t shape[WK_MAX_RANK];
    int64_t stride[WK_WALK_OPERANDS][WK_MAX_RANK]; /* in elements; 0 on broadcast axes */
} wk_walk;

static inline int64_t wk_walk_count(const wk_walk *walk) {
    int64_t count = 1;
    for (int i = 0; i < walk->rank; i++) count *= walk->shape[i];
    return count;
}

/* Add a tensor, aligned at the last axis and broadcast to the walk's shape. */
static inline void wk_walk_add(wk_walk *walk, const wk_tensor *t) {
    int64_t *stride = walk->stride[walk->operands++];
    int missing = walk->rank - t->rank;
    for (int i = 0; i < walk->rank; i++)
        stride[i] = i < missing || t->shape[i - missing] == 1 ? 0 : t->stride[i - missing];
}

/* A walk over `t`'s shape with `t` as operand 0. */
static inline wk_walk wk_walk_of(const wk_tensor *t) {
    wk_walk walk;
    memset(&walk, 0, sizeof walk);
    walk.rank = t->rank;
    walk.count = t->count;
    for (int i = 0; i < t->rank; i++) walk.shape[i] = t->shape[i];
    wk_walk_add(&walk, t);
    return walk;
}

static inline void wk_walk_swap(wk_walk *walk, int a, int b) {
    int64_t held = walk->shape[a];
    walk->shape[a] = walk->shape[b];
    walk->shape[b] = held;
    for (int k = 0; k < walk->operands; k++) {
        held = walk->stride[k][a];
        walk->stride[k][a] = walk->stride[k][b];
        walk->stride[k][b] = held;
    }
}

/* Axis b can follow axis a in one row if a steps over exactly b's extent in every operand. */
static inline bool wk_walk_joins(const wk_walk *walk, int a, int b) {
    for (int k = 0; k < walk->operands; k++)
        if (walk->stride[k][a] != walk->stride[k][b] * walk->shape[b]) return false;
    return true;
}

/* Whether axis a steps further than axis b, in the first operand that tells. */
static inline bool wk_walk_before(const wk_walk *walk, int a, int b) {
    for (int k = 0; k < walk->operands; k++)
        if (walk->stride[k][a] != walk->stride[k][b]) return walk->stride[k][a] > walk->stride[k][b];
    return false;
}

/* Axes of more than one element first, sorted if so asked: how many. */
static inline int wk_walk_drop_ones(wk_walk *walk, bool sort) {
    int rank = 0;
    for (int i = 0; i < walk->rank; i++) {
        if (walk->shape[i] == 1) continue;
        if (rank != i) wk_walk_swap(walk, rank, i);
        for (int j = rank; sort && j > 0 && wk_walk_before(walk, j, j - 1); j--) wk_walk_swap(walk, j, j - 1);
        rank++;
    }
    return rank;
}

/* Neighbours among the first `rank` axes made one where they can be. */
static inline void wk_walk_join(wk_walk *walk, int rank) {
    int last = 0;
    for (int i = 1; i < rank; i++) {
        if (wk_walk_joins(walk, last, i)) {
            walk->shape[last] *= walk->shape[i];
            for (int k = 0; k < walk->operands; k++) walk->stride[k][last] = walk->stride[k][i];
        } else if (++last != i) {
            wk_walk_swap(walk, last, i);
        }
    }
    walk->rank = last + 1;
    if (rank == 0) {
        walk->shape[0] = 1;
        for (int k = 0; k < walk->operands; k++) walk->stride[k][0] = 0;
    }
    walk->count = wk_walk_count(walk);
}

static inline void wk_walk_simplify(wk_walk *walk) {
    wk_walk_join(walk, wk_walk_drop_ones(walk, true));
}

/* The same, and elements stay in their order. */
static inline void wk_walk_simplify_in_order(wk_walk *walk) {
    wk_walk_join(walk, wk_walk_drop_ones(walk, false));
}

/* Over the first `rank` axes of out and x but one: the lines along that. */
static inline wk_walk wk_walk_besides(const wk_tensor *out, const wk_tensor *x, int axis, int rank) {
    wk_walk walk;
    memset(&walk, 0, sizeof walk);
    walk.operands = 2;
    for (int i = 0; i < rank; i++) {
        if (i == axis) continue;
        walk.stride[0][walk.rank] = out->stride[i];
        walk.stride[1][walk.rank] = x->stride[i];
        walk.shape[walk.rank++] = out->shape[i];
    }
    wk_walk_simplify(&walk);
    return walk;
}

#endif
