/* along.h: work along one axis: a function sees one line of each operand; lines are shared between the threads. */
#ifndef WICK_KERNELS_ALONG_H
#define WICK_KERNELS_ALONG_H

#include "cpu/simd/iterate.h"

enum { WK_TILE = 64 };

/* Where operand k has its lines: their start is given to the function, their elements are `step` apart. */
typedef struct wk_along {
    char *data[WK_WALK_OPERANDS];
    int64_t length[WK_WALK_OPERANDS], step[WK_WALK_OPERANDS], row_step[WK_WALK_OPERANDS], size[WK_WALK_OPERANDS];
    int operands;
    void (*line)(const struct wk_along *along, char *const at[]);
    /* Up to WK_TILE neighbouring lines at once, side by side; NULL: one by one. */
    void (*tile)(const struct wk_along *along, char *const at[], int64_t lines);
    const void *params;
    char *scratch; /* `scratch_bytes` for each thread */
    size_t scratch_bytes;
} wk_along;

/* The scratch of the thread that runs a line. */
static inline char *wk_along_scratch(const wk_along *along) {
    return along->scratch + (size_t)omp_get_thread_num() * along->scratch_bytes;
}

static inline void wk_along_visit(const void *context, const int64_t offset[], int64_t n) {
    const wk_along *along = context;
    char *at[WK_WALK_OPERANDS] = { NULL };
    bool side_by_side = along->tile && along->row_step[0] == 1 && along->step[0] != 1;
    for (int64_t i = 0, lines = 1; i < n; i += lines) {
        for (int k = 0; k < along->operands; k++)
            at[k] = along->data[k] + (offset[k] + i * along->row_step[k]) * along->size[k];
        if (side_by_side) {
            lines = n - i < WK_TILE ? n - i : WK_TILE;
            along->tile(along, at, lines);
        } else {
            along->line(along, at);
        }
    }
}

/* Lines along axis `axis` of `shaped`, one of the operands, for all operands: their other axes agree with its; those of
 * a lower rank have lost the axis. `per_element` weighs the work, 1 for what only moves bytes. */
static inline void wk_along_run(wk_along *along, const wk_kernel_ctx *ctx, const wk_tensor *const *tensors,
                                const wk_tensor *shaped, int axis, int per_element) {
    wk_walk walk = { .operands = along->operands };
    for (int i = 0; i < shaped->rank; i++) {
        if (i == axis) continue;
        for (int k = 0; k < along->operands; k++) {
            int own = tensors[k]->rank == shaped->rank || i < axis ? i : i - 1;
            walk.stride[k][walk.rank] = tensors[k]->stride[own];
        }
        walk.shape[walk.rank++] = shaped->shape[i];
    }
    wk_walk_simplify(&walk);
    for (int k = 0; k < along->operands; k++) {
        const wk_tensor *t = tensors[k];
        bool has = t->rank == shaped->rank && t->rank > 0;
        along->data[k] = t->data;
        along->size[k] = (int64_t)wk_size_of(t->dtype);
        along->length[k] = has ? t->shape[axis] : 1;
        along->step[k] = along->length[k] > 1 ? t->stride[axis] : 1;
        along->row_step[k] = walk.stride[k][walk.rank - 1];
    }
    wk_walk_lines(&walk, wk_cpu_team(ctx, shaped->count * along->size[0] * per_element), wk_along_visit, along);
}

/* The axis of options, which the shape rule has checked. */
static inline int wk_along_axis(const wk_tensor *x, wk_optional axis) {
    int resolved = (int)wk_optional_or(axis, -1);
    return resolved < 0 ? resolved + (x->rank ? x->rank : 1) : resolved;
}

#endif
