/* walk_make.h: walks made of tensors, as in kernels/cpu/simd/iterate.h: axes are sorted by the strides of operand 0
 * (the output: neighbouring threads then write neighbouring elements whatever the layout), and joined where all
 * operands allow it, so that equal layouts end as one long row. */
#ifndef WICK_KERNELS_CUDA_WALK_MAKE_H
#define WICK_KERNELS_CUDA_WALK_MAKE_H

#include "cuda/walk.h"
#include "wick/op.h"

/* Add a tensor, aligned at the last axis and broadcast to the walk's shape. */
static inline void wk_cuda_walk_add(wk_cuda_walk *walk, const wk_tensor *tensor) {
    int64_t *stride = walk->stride[walk->operands++];
    int missing = walk->rank - tensor->rank;
    for (int i = 0; i < walk->rank; i++)
        stride[i] = i < missing || tensor->shape[i - missing] == 1 ? 0 : tensor->stride[i - missing];
}

/* A walk over the tensor's shape with it as operand 0. */
static inline wk_cuda_walk wk_cuda_walk_of(const wk_tensor *tensor) {
    wk_cuda_walk walk = { .rank = tensor->rank, .count = tensor->count };
    for (int i = 0; i < tensor->rank; i++) walk.shape[i] = tensor->shape[i];
    wk_cuda_walk_add(&walk, tensor);
    return walk;
}

static inline void wk_cuda_walk_swap(wk_cuda_walk *walk, int a, int b) {
    int64_t held = walk->shape[a];
    walk->shape[a] = walk->shape[b];
    walk->shape[b] = held;
    for (int k = 0; k < walk->operands; k++) {
        held = walk->stride[k][a];
        walk->stride[k][a] = walk->stride[k][b];
        walk->stride[k][b] = held;
    }
}

static inline bool wk_cuda_walk_joins(const wk_cuda_walk *walk, int a, int b) {
    for (int k = 0; k < walk->operands; k++)
        if (walk->stride[k][a] != walk->stride[k][b] * walk->shape[b]) return false;
    return true;
}

/* Whether axis a steps further than axis b, in the first operand that tells. */
static inline bool wk_cuda_walk_before(const wk_cuda_walk *walk, int a, int b) {
    for (int k = 0; k < walk->operands; k++)
        if (walk->stride[k][a] != walk->stride[k][b]) return walk->stride[k][a] > walk->stride[k][b];
    return false;
}

/* Joins neighbours; without `sort` the order of the elements stays as it is. */
static inline void wk_cuda_walk_simplify(wk_cuda_walk *walk, bool sort) {
    int rank = 0, last = 0;
    for (int i = 0; i < walk->rank; i++) { /* drop axes of one element */
        if (walk->shape[i] == 1) continue;
        if (rank != i) wk_cuda_walk_swap(walk, rank, i);
        for (int j = rank; sort && j > 0 && wk_cuda_walk_before(walk, j, j - 1); j--) wk_cuda_walk_swap(walk, j, j - 1);
        rank++;
    }
    for (int i = 1; i < rank; i++) {
        if (wk_cuda_walk_joins(walk, last, i)) {
            walk->shape[last] *= walk->shape[i];
            for (int k = 0; k < walk->operands; k++) walk->stride[k][last] = walk->stride[k][i];
        } else if (++last != i) {
            wk_cuda_walk_swap(walk, last, i);
        }
    }
    walk->rank = last + 1;
    if (rank) return;
    walk->shape[0] = 1;
    for (int k = 0; k < walk->operands; k++) walk->stride[k][0] = 0;
}

#endif
