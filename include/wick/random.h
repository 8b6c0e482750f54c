/* wick/random.h: random numbers.
 *
 * Two generators stand side by side.  The sequential one is mt19937 with PyTorch's ways of drawing from it, so that
 * equal seeds give PyTorch's initial weights and permutations.  The counter-based one (Philox 4x32-10) serves dropout:
 * a mask is a function of (seed, counter, element), so it can be drawn again in backward and does not depend on the
 * thread count.
 */
#ifndef WICK_RANDOM_H
#define WICK_RANDOM_H

#include "wick/base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_generator {
    uint32_t state[624];
    int32_t next;       /* word of the state to draw; 624: renew first */
    int32_t has_normal; /* the second of a pair of normals waits */
    double waiting_normal;
    uint64_t seed;    /* of the counter-based stream */
    uint64_t counter; /* masks drawn so far */
} wk_generator;

/* As torch.manual_seed does; resets both streams. */
WK_API void wk_generator_seed(wk_generator *generator, uint64_t seed);
WK_API uint32_t wk_random_u32(wk_generator *generator);
WK_API uint64_t wk_random_u64(wk_generator *generator);
/* torch.Tensor.uniform_(from, to) for `count` floats or doubles. */
WK_API void wk_random_uniform_f32(wk_generator *generator, float *values /* (count) */, int64_t count, double from,
                                  double to);
WK_API void wk_random_uniform_f64(wk_generator *generator, double *values /* (count) */, int64_t count, double from,
                                  double to);
/* torch.Tensor.normal_(mean, deviation): fewer than 16 values are drawn one by one, more in blocks of 16.  Equal to
 * PyTorch's within the rounding of log and cos. */
WK_API void wk_random_normal_f32(wk_generator *generator, float *values /* (count) */, int64_t count, double mean,
                                 double deviation);
WK_API void wk_random_normal_f64(wk_generator *generator, double *values /* (count) */, int64_t count, double mean,
                                 double deviation);
/* torch.randperm(count) for count < 2^32. */
WK_API void wk_random_permutation(wk_generator *generator, int64_t *order /* (count) */, int64_t count);

/* Philox 4x32-10 (Salmon et al. 2011): four words of a counter and two of a key to four random words. */
WK_API void wk_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* The generator of the current context, seeded with 0 at first. */
WK_API wk_generator *wk_default_generator(void);
WK_API void wk_manual_seed(uint64_t seed);

#ifdef __cplusplus
}
#endif
#endif
