/* draws.h: random numbers of one item of a dataset: a function of the seed and the item's number alone. */
#ifndef WICK_SRC_TASKS_DRAWS_H
#define WICK_SRC_TASKS_DRAWS_H

#include "wick/random.h"

typedef struct wk__draws {
    uint32_t counter[4], key[2], word[4];
    int left;
} wk__draws;

static inline wk__draws wk__draws_of(uint64_t seed, uint64_t number) {
    return (wk__draws){ .counter = { 0, 0, (uint32_t)number, (uint32_t)(number >> 32) },
                        .key = { (uint32_t)seed, (uint32_t)(seed >> 32) } };
}

/* Uniform in [0, 1). */
static inline double wk__draw(wk__draws *d) {
    if (d->left == 0) {
        wk_philox(d->counter, d->key, d->word);
        d->counter[0]++;
        d->left = 4;
    }
    return d->word[--d->left] / 4294967296.0;
}

/* Uniform in [0, count). */
static inline int64_t wk__draw_below(wk__draws *d, int64_t count) {
    return (int64_t)(wk__draw(d) * (double)count);
}

#endif
