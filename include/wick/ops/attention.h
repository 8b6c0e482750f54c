/* wick/ops/attention.h: attention and rotary positions.  See wick/ops.h. */
#ifndef WICK_OPS_ATTENTION_H
#define WICK_OPS_ATTENTION_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_attention_opts {
    bool causal;       /* query i takes part in keys 0 to i + offset */
    int64_t offset;    /* how many keys stand before the first query; with causal only */
    wk_optional scale; /* of the scores, default 1 / sqrt(D) */
    double dropout;    /* of the weights, in [0, 1); needs a key */
} wk_attention_opts;
/* softmax(q kᵀ · scale + mask) v
 *
 *   q     (…, H, T, D)     k  (…, G, S, D)     v  (…, G, S, E)     with H a multiple of G: each head of k and v serves
 *         H / G of q (without an axis of heads: (T, D), (S, D), (S, E))
 *   mask  broadcasts to (…, H, T, S): bool, true where a key takes part, or float, added to the scores; NULL: none
 *   key   i64 (2), of dropout (see wk_random_key), or NULL
 *   returns (…, H, T, E)
 *
 * A query that no key takes part in gives zeros.  Neither forward nor backward holds the (T, S) scores: they are made
 * in tiles (Dao et al. 2022); gradients of gradients, and the gradient of a float mask, do.  Vaswani et al. 2017;
 * matches torch.nn.functional.scaled_dot_product_attention. */
WK_API wk_tensor *wk_scaled_dot_product_attention(wk_tensor *q, wk_tensor *k, wk_tensor *v, wk_tensor *mask,
                                                  wk_tensor *key, wk_attention_opts opts);

typedef struct wk_rotary_opts {
    bool interleaved; /* pairs (0, 1), (2, 3), …; else (0, R), (1, R + 1), … */
    bool back;        /* rotate the other way */
} wk_rotary_opts;
/* Pairs of the last axis of x (…, T, D) rotated by angles whose cosines and sines (each (T, R), or with leading axes
 * that broadcast) are given; elements from 2 R on are left alone.  Su et al. 2021. */
WK_API wk_tensor *wk_rotary(wk_tensor *x, wk_tensor *cosines, wk_tensor *sines, wk_rotary_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_scaled_dot_product_attention(...) (WK_HERE, wk_scaled_dot_product_attention(__VA_ARGS__))
#    define wk_rotary(...)                       (WK_HERE, wk_rotary(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
