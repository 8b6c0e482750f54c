/* product.h: what matmul and linear ask for, as one or more plain matrix products.
 *
 * Leading axes that lie behind each other in memory become one, and where B is the same for all of them (linear, or a
 * broadcast operand) they become rows of A: (64, 128, 768) · (768, 768) is one product of 8192 rows.
 */
#ifndef WICK_KERNELS_CPU_PRODUCT_H
#define WICK_KERNELS_CPU_PRODUCT_H

#include "cpu/cpu.h"

typedef struct wk_product {
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col, c_row; /* strides in elements; C's columns are adjacent */
    int rank;                                  /* batch axes that are left */
    int64_t size[WK_MAX_RANK], a_batch[WK_MAX_RANK], b_batch[WK_MAX_RANK];
    int64_t count; /* products: batch c starts at c · m · c_row */
} wk_product;

/* Removes axes of one element and joins neighbours that both operands walk in one stride. */
static inline void wk__product_join(wk_product *p) {
    int rank = 0;
    for (int axis = 0; axis < p->rank; axis++) {
        if (p->size[axis] == 1) continue;
        if (rank > 0 && p->a_batch[rank - 1] == p->a_batch[axis] * p->size[axis]
            && p->b_batch[rank - 1] == p->b_batch[axis] * p->size[axis]) {
            p->size[rank - 1] *= p->size[axis];
            p->a_batch[rank - 1] = p->a_batch[axis], p->b_batch[rank - 1] = p->b_batch[axis];
            continue;
        }
        p->size[rank] = p->size[axis];
        p->a_batch[rank] = p->a_batch[axis], p->b_batch[rank] = p->b_batch[axis];
        rank++;
    }
    p->rank = rank;
    /* The last batch axis continues A's rows (or A has one row): more rows of one product. */
    if (rank > 0 && p->b_batch[rank - 1] == 0 && (p->m == 1 || p->a_batch[rank - 1] == p->m * p->a_row)) {
        if (p->m == 1) p->a_row = p->a_batch[rank - 1];
        p->m *= p->size[rank - 1];
        p->rank--;
    }
    p->count = 1;
    for (int axis = 0; axis < p->rank; axis++) p->count *= p->size[axis];
}

static inline wk_product wk__product_of_matmul(const wk_call *call) {
    const wk_tensor *a = call->in[0], *b = call->in[1], *c = call->out[0];
    int rank = c->rank;
    wk_product p = { .m = c->shape[rank - 2], .n = c->shape[rank - 1], .k = a->shape[a->rank - 1], .rank = rank - 2 };
    p.a_row = a->stride[a->rank - 2], p.a_col = a->stride[a->rank - 1];
    p.b_row = b->stride[b->rank - 2], p.b_col = b->stride[b->rank - 1];
    p.c_row = p.n;
    for (int axis = 0; axis < p.rank; axis++) {
        int in_a = axis - (rank - a->rank), in_b = axis - (rank - b->rank);
        p.size[axis] = c->shape[axis];
        p.a_batch[axis] = in_a < 0 || a->shape[in_a] == 1 ? 0 : a->stride[in_a];
        p.b_batch[axis] = in_b < 0 || b->shape[in_b] == 1 ? 0 : b->stride[in_b];
    }
    wk__product_join(&p);
    return p;
}

static inline wk_product wk__product_of_linear(const wk_call *call) {
    const wk_tensor *x = call->in[0], *weight = call->in[1];
    int rank = x->rank;
    wk_product p = { .m = 1, .n = weight->shape[0], .k = weight->shape[1], .rank = rank - 1 };
    p.a_col = x->stride[rank - 1];
    p.b_row = weight->stride[1], p.b_col = weight->stride[0], p.c_row = p.n;
    for (int axis = 0; axis < rank - 1; axis++) p.size[axis] = x->shape[axis], p.a_batch[axis] = x->stride[axis];
    wk__product_join(&p);
    return p;
}

/* Where product number `index` finds its operands. */
static inline void wk__product_at(const wk_product *p, int64_t index, int64_t *a_offset, int64_t *b_offset) {
    *a_offset = *b_offset = 0;
    for (int axis = p->rank - 1; axis >= 0; axis--) {
        int64_t at = index % p->size[axis];
        index /= p->size[axis];
        *a_offset += at * p->a_batch[axis], *b_offset += at * p->b_batch[axis];
    }
}

#endif
