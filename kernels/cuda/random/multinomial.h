/* multinomial.h: launchers of multinomial.cu. */
#ifndef WICK_KERNELS_CUDA_MULTINOMIAL_H
#define WICK_KERNELS_CUDA_MULTINOMIAL_H

#include "cuda/random/random.h"
#include "cuda/reduce/order.h"

#ifdef __cplusplus
extern "C" {
#endif

/* `count` positions out of each line of weights, into out (lines, count). */
typedef struct wk_cuda_multinomial {
    wk_cuda_key key;
    wk_walk lines; /* of the weights, along which they are `step` apart */
    int64_t categories, step, count;
    const void *weights;
    int64_t *out;
} wk_cuda_multinomial;

/* All: dtype is a wk_dtype; they return a cudaError_t. */
/* With replacement; sums (lines, categories): scratch. */
int wk__cuda_multinomial_draw(const wk_cuda_multinomial *m, double *sums, int dtype, void *stream);
/* Without: times (lines, categories) to sort, and the first of each line of what was sorted. */
int wk__cuda_multinomial_wait(const wk_cuda_multinomial *m, wk_cuda_pair *times, int dtype, void *stream);
int wk__cuda_multinomial_first(const wk_cuda_multinomial *m, const wk_cuda_pair *sorted, void *stream);

#ifdef __cplusplus
}
#endif
#endif
