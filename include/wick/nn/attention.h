/* wick/nn/attention.h: multi-head attention and the layers of transformers, under PyTorch's names. */
#ifndef WICK_NN_ATTENTION_H
#define WICK_NN_ATTENTION_H

#include "wick/nn/containers.h"
#include "wick/ops.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_nn_attention_opts {
    double dropout;
    bool no_bias, batch_first;
} wk_nn_attention_opts;
/* in_proj_weight (3 E, E), in_proj_bias, out_proj.weight, out_proj.bias; E divided into `heads`.  By wk_forward: self
 * attention of x (T, N, E), or (N, T, E) with batch_first, or (T, E). */
WK_API wk_module *wk_nn_multihead_attention(int64_t width, int64_t heads, wk_nn_attention_opts opts);

/* Keys and values of the steps so far, in memory for `capacity` steps. */
typedef struct wk_kv_cache wk_kv_cache;
WK_API wk_kv_cache *wk_kv_cache_create(int64_t batch, int64_t heads, int64_t capacity, int64_t head_width,
                                       wk_dtype dtype);
WK_API void wk_kv_cache_destroy(wk_kv_cache *cache); /* NULL is fine */
WK_API int64_t wk_kv_cache_length(const wk_kv_cache *cache);
/* Append keys and values (N, heads, T, head_width) of T more steps, which become those of all steps, as views of the
 * cache.  Not part of any graph; converted to the cache's dtype.  Errors: another shape, no room. */
WK_API wk_status wk_kv_cache_append(wk_kv_cache *cache, wk_tensor **keys, wk_tensor **values);
/* Forget all but the first `length` steps. */
WK_API wk_status wk_kv_cache_truncate(wk_kv_cache *cache, int64_t length);

typedef struct wk_attend_opts {
    wk_tensor *key_padding_mask; /* (N, S): bool, true where a key is left out, or float, added to the scores */
    wk_tensor *attn_mask;        /* (T, S) or (N · heads, T, S), the same */
    bool causal;                 /* each query sees the keys up to its own step */
    wk_kv_cache *cache;          /* of self attention: key and value are appended (never part of a graph), and all steps
                                    of the cache are attended to */
} wk_attend_opts;
/* key and value NULL: self attention.  weights, if not NULL, receives their mean over heads, (N, T, S), at the cost of
 * holding them.  Masks mean what PyTorch's do. */
WK_API wk_tensor *wk_nn_attend(wk_module *attention, wk_tensor *query, wk_tensor *key, wk_tensor *value,
                               wk_attend_opts opts, wk_tensor **weights);

typedef struct wk_nn_transformer_opts {
    int64_t feedforward; /* 0 means 2048 */
    wk_optional dropout; /* 0.1 */
    wk_optional eps;     /* 1e-5 */
    bool gelu;           /* instead of relu */
    bool norm_first, batch_first, no_bias;
} wk_nn_transformer_opts;
/* self_attn, linear1, dropout, linear2, norm1, norm2, dropout1, dropout2.  Vaswani et al. 2017 */
WK_API wk_module *wk_nn_transformer_encoder_layer(int64_t width, int64_t heads, wk_nn_transformer_opts opts);
/* self_attn, multihead_attn, linear1, dropout, linear2, norm1 to norm3, dropout1 to dropout3 */
WK_API wk_module *wk_nn_transformer_decoder_layer(int64_t width, int64_t heads, wk_nn_transformer_opts opts);
/* `count` layers that begin with the same weights (as PyTorch's copies do), under "layers.0", …; norm NULL: none.
 * Takes norm over. */
WK_API wk_module *wk_nn_transformer_encoder(int64_t width, int64_t heads, int count, wk_nn_transformer_opts opts,
                                            wk_module *norm);
WK_API wk_module *wk_nn_transformer_decoder(int64_t width, int64_t heads, int count, wk_nn_transformer_opts opts,
                                            wk_module *norm);

/* Encoders, and layers of them, take slots x, "mask" and "key_padding_mask"; decoders x, "memory", "mask",
 * "memory_mask", "key_padding_mask" and "memory_key_padding_mask". */
typedef struct wk_transform_opts {
    wk_tensor *mask, *key_padding_mask, *memory_mask, *memory_key_padding_mask;
} wk_transform_opts;
/* memory: of decoders, else NULL */
WK_API wk_tensor *wk_nn_transform(wk_module *module, wk_tensor *x, wk_tensor *memory, wk_transform_opts opts);
/* (T, T) bool, true above the diagonal: a mask that lets each step see itself and those before it. */
WK_API wk_tensor *wk_causal_mask(int64_t steps);

#ifdef __cplusplus
}
#endif
#endif
