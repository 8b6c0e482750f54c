/* dropouts.c: dropout of channels and of samples, alpha dropout; Embedding. */
#define WK_NO_CALL_SITES
#include "nn/support.h"

/* ---- dropout ---- */

typedef struct dropout {
    wk_module base;
    double p;
    int axes; /* behind the channels; 0: any shape */
    wk_tensor *(*apply)(wk_tensor *x, wk_tensor *key, wk_dropout_opts opts);
} dropout;

static wk_tensor *forward(wk_module *self, wk_tensor *x) {
    const dropout *m = (dropout *)self;
    bool alone = m->axes && x->rank == m->axes + 1;
    if (m->axes && !alone && x->rank != m->axes + 2) return wk__bad_input(self, x, "(N, C, …) or (C, …) of its rank");
    if (!self->training || m->p == 0) return x;
    wk_tensor *y = m->apply(alone ? wk_unsqueeze(x, 0) : x, wk_random_key(), (wk_dropout_opts){ m->p });
    return alone && y ? wk_select(y, 0, 0) : y;
}
static void describe(const wk_module *self, char *buffer, size_t size) {
    (void)snprintf(buffer, size, "p=%g", ((const dropout *)self)->p);
}
static wk_module *make(const wk_module_class *class_, double p, int axes,
                       wk_tensor *(*apply)(wk_tensor *x, wk_tensor *key, wk_dropout_opts opts)) {
    if (wk_failed()) return NULL;
    if (!(p >= 0 && p < 1)) return wk_fail_null(WK_INVALID, "%s: p is %g, expected 0 ≤ p < 1", class_->name, p);
    dropout *m = (dropout *)wk_module_create(class_);
    if (m) m->p = p, m->axes = axes, m->apply = apply;
    return m ? &m->base : NULL;
}
#define DROPOUT(id, title, axes, apply)                                                  \
    static const wk_module_class id##_class = {                                          \
        .name = title, .size = sizeof(dropout), .forward = forward, .describe = describe \
    };                                                                                   \
    wk_module *wk_nn_##id(double p) {                                                    \
        return make(&id##_class, p, axes, apply);                                        \
    }
DROPOUT(dropout1d, "Dropout1d", 1, wk_feature_dropout)
DROPOUT(dropout2d, "Dropout2d", 2, wk_feature_dropout)
DROPOUT(dropout3d, "Dropout3d", 3, wk_feature_dropout)
DROPOUT(alpha_dropout, "AlphaDropout", 0, wk_alpha_dropout)
DROPOUT(feature_alpha_dropout, "FeatureAlphaDropout", 0, wk_feature_alpha_dropout)

/* Whole samples. */
static wk_tensor *drop_samples(wk_tensor *x, wk_tensor *key, wk_dropout_opts opts) {
    wk_dims dims = wk_dims_get(x);
    for (int i = 1; i < dims.rank; i++) dims.size[i] = 1;
    return wk_mul(x, wk_dropout(wk_full(x->dtype, dims, 1), key, opts));
}
DROPOUT(stochastic_depth, "StochasticDepth", 0, drop_samples)

/* ---- Embedding ---- */

typedef struct embedding {
    wk_module base;
    wk_tensor *weight;
    wk_embedding_opts opts;
} embedding;

static wk_tensor *embedding_forward(wk_module *self, wk_tensor *x) {
    const embedding *m = (embedding *)self;
    return wk_embedding(m->weight, x, m->opts);
}
static void embedding_describe(const wk_module *self, char *buffer, size_t size) {
    const embedding *m = (const embedding *)self;
    size_t used = (size_t)snprintf(buffer, size, "%lld, %lld", (long long)wk_size(m->weight, 0),
                                   (long long)wk_size(m->weight, 1));
    if (m->opts.padding_idx.is_set && used < size)
        used += (size_t)snprintf(buffer + used, size - used, ", padding_idx=%g", m->opts.padding_idx.value);
    if (m->opts.sparse && used < size) (void)snprintf(buffer + used, size - used, ", sparse=true");
}
static const wk_module_class embedding_class = {
    .name = "Embedding", .size = sizeof(embedding), .forward = embedding_forward, .describe = embedding_describe
};
wk_module *wk_nn_embedding(int64_t count, int64_t width, wk_nn_embedding_opts opts) {
    if (wk_failed() || !wk__positive("Embedding", "num_embeddings", count)
        || !wk__positive("Embedding", "embedding_dim", width))
        return NULL;
    int64_t padding = opts.padding_idx.is_set ? (int64_t)opts.padding_idx.value : 0;
    if (padding < 0) padding += count;
    if (padding < 0 || padding >= count)
        return wk_fail_null(WK_INVALID, "Embedding: padding_idx %g is no row of %lld", opts.padding_idx.value,
                            (long long)count);
    embedding *m = (embedding *)wk_module_create(&embedding_class);
    if (!m) return NULL;
    wk_tensor *weight = wk_kept_zeros(WK_F32, WK_DIMS(count, width));
    if (weight) (void)wk_init_normal(weight, 0, 1);
    for (int64_t i = 0; weight && opts.padding_idx.is_set && i < width; i++)
        ((float *)weight->data)[padding * width + i] = 0;
    if (opts.padding_idx.is_set) m->opts.padding_idx = WK_SET(padding);
    m->opts.sparse = opts.sparse;
    m->weight = wk_module_add_parameter(&m->base, "weight", weight);
    return wk__finished(&m->base);
}
