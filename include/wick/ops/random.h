/* wick/ops/random.h: tensors of random numbers.  See wick/ops.h.
 *
 * key: i64 (2), a seed and a draw number; equal keys give equal numbers, whatever the threads (Philox 4x32-10, Salmon
 * et al. 2011).  wk_random_key takes the next key of the context's generator.  PyTorch's own streams, for initial
 * weights, are in wick/random.h.
 */
#ifndef WICK_OPS_RANDOM_H
#define WICK_OPS_RANDOM_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The seed and the next draw number of wk_default_generator, as a scoped tensor. */
WK_API wk_tensor *wk_random_key(void);

typedef struct wk_uniform_opts {
    wk_dims dims;
    wk_dtype dtype;        /* a float type */
    wk_optional low, high; /* 0, 1 */
} wk_uniform_opts;
/* Uniform in [low, high). */
WK_API wk_tensor *wk_uniform(wk_tensor *key, wk_uniform_opts opts);

typedef struct wk_normal_opts {
    wk_dims dims;
    wk_dtype dtype; /* a float type */
    double mean;
    wk_optional deviation; /* 1 */
} wk_normal_opts;
/* Normal, by Box and Muller. */
WK_API wk_tensor *wk_normal(wk_tensor *key, wk_normal_opts opts);

typedef struct wk_exponential_opts {
    wk_dims dims;
    wk_dtype dtype;   /* a float type */
    wk_optional rate; /* 1 */
} wk_exponential_opts;
/* Exponential with mean 1 / rate. */
WK_API wk_tensor *wk_exponential(wk_tensor *key, wk_exponential_opts opts);

typedef struct wk_randint_opts {
    wk_dims dims;
    int64_t low, high;
} wk_randint_opts;
/* Whole numbers (i64) in [low, high). */
WK_API wk_tensor *wk_randint(wk_tensor *key, wk_randint_opts opts);

/* 1 with the probability that each element of p (float, in [0, 1]) says, else 0. */
WK_API wk_tensor *wk_bernoulli(wk_tensor *p, wk_tensor *key);

typedef struct wk_permutation_opts {
    int64_t count;
} wk_permutation_opts;
/* The numbers 0 to count − 1 (i64) in random order. */
WK_API wk_tensor *wk_permutation(wk_tensor *key, int64_t count);

typedef struct wk_truncated_normal_opts {
    wk_dims dims;
    wk_dtype dtype; /* a float type */
    double mean;
    wk_optional deviation; /* 1 */
    wk_optional low, high; /* -2, 2 */
} wk_truncated_normal_opts;
/* Normal, of the numbers in [low, high] alone, by the inverse distribution function; precise where low and high lie
 * within some five deviations of the mean.  torch.nn.init.trunc_normal_. */
WK_API wk_tensor *wk_truncated_normal(wk_tensor *key, wk_truncated_normal_opts opts);

typedef struct wk_multinomial_opts {
    int64_t count;
    bool replacement;
} wk_multinomial_opts;
/* For each line of weights p (…, K), float, from 0, which need not sum to 1: `count` positions (i64) drawn in
 * proportion, (…, count).  Without replacement none comes twice.  Errors: a weight that is negative or not finite, or
 * too few that are positive.  torch.multinomial. */
WK_API wk_tensor *wk_multinomial(wk_tensor *p, wk_tensor *key, wk_multinomial_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_uniform(...)          (WK_HERE, wk_uniform(__VA_ARGS__))
#    define wk_normal(...)           (WK_HERE, wk_normal(__VA_ARGS__))
#    define wk_exponential(...)      (WK_HERE, wk_exponential(__VA_ARGS__))
#    define wk_randint(...)          (WK_HERE, wk_randint(__VA_ARGS__))
#    define wk_bernoulli(...)        (WK_HERE, wk_bernoulli(__VA_ARGS__))
#    define wk_permutation(...)      (WK_HERE, wk_permutation(__VA_ARGS__))
#    define wk_truncated_normal(...) (WK_HERE, wk_truncated_normal(__VA_ARGS__))
#    define wk_multinomial(...)      (WK_HERE, wk_multinomial(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
