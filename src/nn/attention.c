/* attention.c: MultiheadAttention, and its memory of earlier steps. */
#define WK_NO_CALL_SITES
#include "nn/support.h"
#include "wick/inplace.h"

#include <math.h>
#include <string.h>

/* ---- keys and values of earlier steps ---- */

struct wk_kv_cache {
    wk_tensor *keys, *values; /* (N, H, capacity, D), kept */
    int64_t length;
};

wk_kv_cache *wk_kv_cache_create(int64_t batch, int64_t heads, int64_t capacity, int64_t head_width, wk_dtype dtype) {
    if (wk_failed()) return NULL;
    wk_kv_cache *cache = wk_alloc(sizeof *cache);
    if (!cache) return NULL;
    cache->keys = wk_kept_zeros(dtype, WK_DIMS(batch, heads, capacity, head_width));
    cache->values = cache->keys ? wk_kept_zeros(dtype, WK_DIMS(batch, heads, capacity, head_width)) : NULL;
    if (cache->values) return cache;
    wk_kv_cache_destroy(cache);
    return NULL;
}

void wk_kv_cache_destroy(wk_kv_cache *cache) {
    if (!cache) return;
    wk_release(cache->keys);
    wk_release(cache->values);
    wk_free(cache);
}

int64_t wk_kv_cache_length(const wk_kv_cache *cache) {
    return cache ? cache->length : 0;
}

wk_status wk_kv_cache_truncate(wk_kv_cache *cache, int64_t length) {
    if (!cache || length < 0 || length > cache->length)
        return wk_fail(WK_INVALID, "wk_kv_cache_truncate: length %lld of %lld", (long long)length,
                       (long long)wk_kv_cache_length(cache));
    cache->length = length;
    return WK_OK;
}

wk_status wk_kv_cache_append(wk_kv_cache *cache, wk_tensor **keys, wk_tensor **values) {
    if (wk_failed()) return WK_PENDING;
    if (!cache || !*keys || !*values) return wk_fail(WK_INVALID, "wk_kv_cache_append: cache, keys or values are NULL");
    const wk_tensor *k = *keys, *v = *values, *all = cache->keys;
    bool fits = k->rank == 4 && v->rank == 4 && k->shape[2] <= all->shape[2] - cache->length;
    for (int axis = 0; fits && axis < 4; axis++)
        fits = k->shape[axis] == v->shape[axis] && (axis == 2 || k->shape[axis] == all->shape[axis]);
    char one[160], two[160], three[160];
    if (!fits)
        return wk_fail(WK_SHAPE, "the cache %s holds %lld steps and does not take keys %s and values %s",
                       wk_describe(all, one, sizeof one), (long long)cache->length, wk_describe(k, two, sizeof two),
                       wk_describe(v, three, sizeof three));
    int64_t end = cache->length + k->shape[2];
    bool was = wk_no_grad_begin();
    (void)wk_copy_(wk_slice(cache->keys, 2, cache->length, end, 1), wk_detach(*keys));
    (void)wk_copy_(wk_slice(cache->values, 2, cache->length, end, 1), wk_detach(*values));
    *keys = wk_slice(cache->keys, 2, 0, end, 1);
    *values = wk_slice(cache->values, 2, 0, end, 1);
    wk_no_grad_end(was);
    if (wk_failed()) return wk_error_code();
    cache->length = end;
    return WK_OK;
}

/* ---- the module ---- */

typedef struct attention {
    wk_module base;
    wk_tensor *in_weight, *in_bias;
    wk_module *out;
    int64_t width, heads;
    wk_nn_attention_opts opts;
} attention;

/* Part `part` (query, key, value) of the input projection. */
static wk_tensor *project(const attention *m, wk_tensor *x, int part, int parts) {
    int64_t from = part * m->width, to = (part + parts) * m->width;
    wk_tensor *bias = m->in_bias ? wk_slice(m->in_bias, 0, from, to, 1) : NULL;
    return wk_linear(x, wk_slice(m->in_weight, 0, from, to, 1), bias, (wk_linear_opts){ 0 });
}

/* (N, T, E) as (N, H, T, D), a view */
static wk_tensor *split_heads(const attention *m, wk_tensor *x) {
    if (!x) return NULL;
    return wk_transpose(wk_reshape(x, WK_DIMS(x->shape[0], x->shape[1], m->heads, m->width / m->heads)), 1, 2);
}

static void project_all(const attention *m, wk_tensor *const *in, wk_tensor **q, wk_tensor **k, wk_tensor **v) {
    if (in[0] == in[1] && in[1] == in[2]) { /* one product */
        wk_tensor *all = project(m, in[0], 0, 3);
        wk_tensor **part[] = { q, k, v };
        for (int i = 0; i < 3; i++) *part[i] = split_heads(m, wk_slice(all, 2, i * m->width, (i + 1) * m->width, 1));
        return;
    }
    *q = split_heads(m, project(m, in[0], 0, 1));
    *k = split_heads(m, project(m, in[1], 1, 1));
    *v = split_heads(m, project(m, in[2], 2, 1));
}

/* What is added to scores, from what leaves keys out. */
static wk_tensor *added(wk_tensor *mask, wk_dtype dtype) {
    if (!mask || mask->dtype != WK_BOOL) return mask ? wk_cast(mask, dtype) : NULL;
    return wk_where(mask, wk_full(dtype, WK_SCALAR, -INFINITY), wk_zeros(dtype, WK_SCALAR));
}

/* Both masks as one that broadcasts to (N, H, T, S); NULL without error: none. */
static wk_tensor *joined_masks(const attention *m, const wk_attend_opts *opts, wk_tensor *q, int64_t keys) {
    int64_t batch = q->shape[0], queries = q->shape[2];
    wk_dtype dtype = (wk_dtype)q->dtype;
    wk_tensor *padding = opts->key_padding_mask, *mask = opts->attn_mask;
    char text[160];
    if (padding && (padding->rank != 2 || padding->shape[0] != batch || padding->shape[1] != keys))
        return wk_fail_null(WK_SHAPE, "MultiheadAttention: key_padding_mask %s, expected (%lld, %lld)",
                            wk_describe(padding, text, sizeof text), (long long)batch, (long long)keys);
    if (padding) padding = added(wk_reshape(padding, WK_DIMS(batch, 1, 1, keys)), dtype);
    if (!mask) return padding;
    bool each = mask->rank == 3 && mask->shape[0] == batch * m->heads;
    if ((mask->rank != 2 && !each) || mask->shape[mask->rank - 2] != queries || mask->shape[mask->rank - 1] != keys)
        return wk_fail_null(WK_SHAPE, "MultiheadAttention: attn_mask %s, expected (%lld, %lld) or (%lld, …)",
                            wk_describe(mask, text, sizeof text), (long long)queries, (long long)keys,
                            (long long)(batch * m->heads));
    if (each) mask = wk_reshape(mask, WK_DIMS(batch, m->heads, queries, keys));
    mask = added(mask, dtype);
    return padding ? wk_add(mask, padding) : mask;
}

/* With the weights held, for those who ask for them. */
static wk_tensor *attend_openly(const attention *m, wk_tensor *q, wk_tensor *k, wk_tensor *v, wk_tensor *mask,
                                const wk_attend_opts *opts, int64_t before, wk_tensor **weights) {
    int64_t queries = q->shape[2], keys = k->shape[2];
    wk_dtype dtype = (wk_dtype)q->dtype;
    wk_tensor *scores = wk_scale(wk_matmul(q, wk_transpose(k, -1, -2)), 1 / sqrt((double)(m->width / m->heads)));
    if (mask) scores = wk_add(scores, mask);
    if (opts->causal) {
        wk_tensor *above = wk_triu(wk_full(WK_F32, WK_DIMS(queries, keys), 1), (wk_triangle_opts){ before + 1 });
        scores = wk_where(wk_cast(above, WK_BOOL), wk_full(dtype, WK_SCALAR, -INFINITY), scores);
    }
    wk_tensor *p = wk_softmax(scores, (wk_axis_opts){ { 0 } });
    if (m->base.training && m->opts.dropout > 0)
        p = wk_dropout(p, wk_random_key(), (wk_dropout_opts){ m->opts.dropout });
    *weights = wk_mean(p, (wk_reduce_opts){ .axes = WK_DIMS(1) });
    return wk_matmul(p, v);
}

/* query, key, value (N, …, E) */
static wk_tensor *attend(const attention *m, wk_tensor *const *in, const wk_attend_opts *opts, wk_tensor **weights) {
    wk_tensor *q = NULL, *k = NULL, *v = NULL;
    project_all(m, in, &q, &k, &v);
    if (wk_failed()) return NULL;
    int64_t before = opts->cache ? opts->cache->length : 0;
    if (opts->cache && wk_kv_cache_append(opts->cache, &k, &v) != WK_OK) return NULL;
    wk_tensor *mask = joined_masks(m, opts, q, k->shape[2]), *y;
    if (wk_failed()) return NULL;
    if (weights) {
        y = attend_openly(m, q, k, v, mask, opts, before, weights);
    } else {
        wk_attention_opts how = { .causal = opts->causal, .offset = before };
        if (m->base.training) how.dropout = m->opts.dropout;
        y = wk_scaled_dot_product_attention(q, k, v, mask, how.dropout > 0 ? wk_random_key() : NULL, how);
    }
    if (!y) return NULL;
    y = wk_reshape(wk_transpose(y, 1, 2), WK_DIMS(y->shape[0], y->shape[2], m->width));
    return wk_forward(m->out, y);
}

/* Operands to (N, T, E) and the result back. */
static wk_tensor *attend_laid_out(const attention *m, wk_tensor *const *given, const wk_attend_opts *opts,
                                  wk_tensor **weights) {
    wk_tensor *in[3];
    bool alone = given[0]->rank == 2, turn = !m->opts.batch_first && !alone;
    wk_attend_opts own = *opts;
    for (int i = 0; i < 3; i++) {
        if (given[i]->rank != given[0]->rank || (given[i]->rank != 3 && !alone)
            || given[i]->shape[given[i]->rank - 1] != m->width)
            return wk__bad_input(&m->base, given[i], turn ? "(T, N, embed_dim)" : "(N, T, embed_dim)");
        in[i] = i && given[i] == given[i - 1] ? in[i - 1]
                : alone                       ? wk_unsqueeze(given[i], 0)
                : turn                        ? wk_transpose(given[i], 0, 1)
                                              : given[i];
    }
    if (alone && own.key_padding_mask) own.key_padding_mask = wk_unsqueeze(own.key_padding_mask, 0);
    wk_tensor *y = wk_failed() ? NULL : attend(m, in, &own, weights);
    if (!y) return NULL;
    if (alone && weights) *weights = wk_select(*weights, 0, 0);
    return alone ? wk_select(y, 0, 0) : turn ? wk_transpose(y, 0, 1) : y;
}

static wk_tensor *forward(wk_module *self, wk_tensor *x) {
    wk_tensor *const in[] = { x, x, x };
    return attend_laid_out((attention *)self, in, &(wk_attend_opts){ 0 }, NULL);
}
static void describe(const wk_module *self, char *buffer, size_t size) {
    const attention *m = (const attention *)self;
    (void)snprintf(buffer, size, "%lld, %lld", (long long)m->width, (long long)m->heads);
}
static wk_status freeze(wk_module *self, const wk_freeze_opts *opts) {
    attention *m = (attention *)self;
    wk_tensor *stored = wk_module_freeze_weight(self, "in_proj_weight", opts);
    if (!stored) return wk_error_code();
    m->in_weight = stored;
    if (!m->in_bias) return WK_OK;
    stored = wk_module_freeze_weight(self, "in_proj_bias", opts);
    if (!stored) return wk_error_code();
    m->in_bias = stored;
    return WK_OK;
}
static const wk_module_class class_ = {
    .name = "MultiheadAttention", .size = sizeof(attention), .forward = forward, .describe = describe, .freeze = freeze
};

wk_tensor *wk_nn_attend(wk_module *module, wk_tensor *query, wk_tensor *key, wk_tensor *value, wk_attend_opts opts,
                        wk_tensor **weights) {
    if (weights) *weights = NULL;
    if (wk_failed() || !module || !query) return NULL;
    if (module->class_ != &class_)
        return wk_fail_null(WK_INVALID, "module \"%s\" (%s) is no MultiheadAttention", module->path,
                            module->class_->name);
    if (!key) key = query;
    wk_tensor *const in[] = { query, key, value ? value : key };
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = wk_scope_return(scope, attend_laid_out((attention *)module, in, &opts, weights));
    if (weights) *weights = wk_scope_return(scope, *weights);
    wk_scope_end(scope);
    return y;
}

wk_module *wk_nn_multihead_attention(int64_t width, int64_t heads, wk_nn_attention_opts opts) {
    if (wk_failed() || !wk__positive("MultiheadAttention", "embed_dim", width)
        || !wk__positive("MultiheadAttention", "num_heads", heads))
        return NULL;
    if (width % heads || !(opts.dropout >= 0 && opts.dropout < 1))
        return wk_fail_null(
            WK_INVALID,
            "MultiheadAttention: embed_dim %lld, num_heads %lld, dropout %g: expected heads that divide "
            "embed_dim, and 0 ≤ dropout < 1",
            (long long)width, (long long)heads, opts.dropout);
    attention *m = (attention *)wk_module_create(&class_);
    if (!m) return NULL;
    m->width = width, m->heads = heads, m->opts = opts;
    /* Drawn in PyTorch's order: out_proj first, whose bias is cleared afterwards. */
    m->in_weight =
        wk_module_add_parameter(&m->base, "in_proj_weight", wk_kept_zeros(WK_F32, WK_DIMS(3 * width, width)));
    if (!opts.no_bias)
        m->in_bias = wk_module_add_parameter(&m->base, "in_proj_bias", wk_kept_zeros(WK_F32, WK_DIMS(3 * width)));
    m->out =
        wk_module_add(&m->base, "out_proj", wk_nn_linear(width, width, (wk_layer_opts){ .no_bias = opts.no_bias }));
    if (!wk_failed()) (void)wk_init_xavier_uniform(m->in_weight, 1);
    if (!wk_failed() && !opts.no_bias) (void)wk_init_zeros(wk_module_tensor(m->out, "bias"));
    return wk__finished(&m->base);
}
