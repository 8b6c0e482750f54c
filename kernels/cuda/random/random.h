/* random.h: launchers of random/random.cu. */
#ifndef WICK_KERNELS_CUDA_RANDOM_H
#define WICK_KERNELS_CUDA_RANDOM_H

#include "walk.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_cuda_key {
    uint64_t seed, draw;
    const uint64_t *at; /* on the device: read there instead, by a launch of a graph; or NULL */
} wk_cuda_key;

/* Distributions: uniform from a to b, normal of mean a and deviation b, exponential of rate a. */
enum { WK_CUDA_UNIFORM, WK_CUDA_NORMAL, WK_CUDA_EXPONENTIAL };
int wk__cuda_draw(int distribution, wk_cuda_key key, double a, double b, int dtype, void *out, int64_t count,
                  void *stream);
int wk__cuda_randint(wk_cuda_key key, int64_t low, uint64_t range, int64_t *out, int64_t count, void *stream);
/* Walks in logical order over out and p, over out and x. */
int wk__cuda_bernoulli(wk_cuda_key key, int dtype, void *out, const void *p, const wk_walk *walk, void *stream);
int wk__cuda_dropout(wk_cuda_key key, double p, int dtype, void *out, const void *x, const wk_walk *walk, void *stream);
int wk__cuda_permutation(wk_cuda_key key, int64_t *order, int64_t count, void *stream);

#ifdef __cplusplus
}
#endif
#endif
