/* order.h: launchers of order.cu. */
#ifndef WICK_KERNELS_CUDA_ORDER_H
#define WICK_KERNELS_CUDA_ORDER_H

#include "cuda/walk.h"

typedef struct wk_cuda_order {
    int dtype;
    bool reversed, median; /* median: the first NaN wins where there is one */
    bool by_place;         /* what is given stands in the order of the places */
    int64_t first, given;  /* which elements of the order become results */
    wk_cuda_walk lines;    /* (values, places, x), without the axis */
    int64_t length, room;  /* of a line; the next power of two */
    int64_t step[3];
    void *values;
    int64_t *places;
    const void *x;
    uint64_t *keys; /* (lines, room) */
    int64_t *from;  /* (lines, room): where each key came from */
} wk_cuda_order;

#ifdef __cplusplus
extern "C" {
#endif

int wk__cuda_order(const wk_cuda_order *order, void *stream);

#ifdef __cplusplus
}
#endif
#endif
