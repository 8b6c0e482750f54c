/* gpt2.c: GPT-2 (Radford et al. 2019), as Hugging Face's GPT2LMHeadModel names it, and generation with it.
 *
 * Blocks are modules whose forward sees all tokens at once.  Where keys and values are kept from call to call, the same
 * functions are called with a cache, which no module can be handed by its slots.
 */
#include "models/models.h"

#include <math.h>

/* ---- Conv1D: a linear layer whose weight is stored (in, out) ---- */

typedef struct conv1d {
    wk_module base;
    wk_tensor *weight, *bias;
} conv1d;

static wk_tensor *conv1d_forward(wk_module *self, wk_tensor *x) {
    const conv1d *m = (conv1d *)self;
    return wk_linear(x, wk_transpose(m->weight, 0, 1), m->bias, (wk_linear_opts){ 0 });
}
static void conv1d_describe(const wk_module *self, char *buffer, size_t size) {
    const conv1d *m = (const conv1d *)self;
    (void)snprintf(buffer, size, "nf=%lld, nx=%lld", (long long)wk_size(m->weight, 1),
                   (long long)wk_size(m->weight, 0));
}
static wk_status conv1d_freeze(wk_module *self, const wk_freeze_opts *opts) {
    conv1d *m = (conv1d *)self;
    wk_tensor *stored = wk_module_freeze_weight(self, "weight", opts);
    if (!stored) return wk_error_code();
    m->weight = stored;
    stored = wk_module_freeze_weight(self, "bias", opts);
    if (!stored) return wk_error_code();
    m->bias = stored;
    return WK_OK;
}
static const wk_module_class conv1d_class = { .name = "Conv1D",
                                              .size = sizeof(conv1d),
                                              .forward = conv1d_forward,
                                              .describe = conv1d_describe,
                                              .freeze = conv1d_freeze };

static wk_module *conv1d_create(int64_t in, int64_t out, double deviation) {
    conv1d *m = (conv1d *)wk_module_create(&conv1d_class);
    if (!m) return NULL;
    m->weight = wk_module_add_parameter(&m->base, "weight", wk_kept_zeros(WK_F32, WK_DIMS(in, out)));
    m->bias = wk_module_add_parameter(&m->base, "bias", wk_kept_zeros(WK_F32, WK_DIMS(out)));
    (void)wk_init_normal(m->weight, 0, deviation);
    return wk__finished(&m->base);
}

/* ---- causal self attention ---- */

static const double deviation = 0.02;
/* Of weights whose result is added to the residual path: 2 · layers of them. */
static double residual_deviation(const wk_gpt2_opts *o) {
    return deviation / sqrt(2 * (double)o->layers);
}

typedef struct attention {
    wk_module base;
    wk_module *c_attn, *c_proj, *resid_dropout;
    int64_t heads;
    double dropout;
} attention;

/* (N, T, E) → (N, H, T, E / H), a view */
static wk_tensor *split_heads(wk_tensor *x, int64_t heads) {
    return x ? wk_transpose(wk_reshape(x, WK_DIMS(wk_size(x, 0), wk_size(x, 1), heads, wk_size(x, 2) / heads)), 1, 2)
             : NULL;
}

/* x (N, T, E): the steps behind those that the cache holds, which takes them up (NULL: the first ones). */
static wk_tensor *attend(const attention *m, wk_tensor *x, wk_kv_cache *cache) {
    wk_tensor *part[3] = { NULL };
    if (!x || wk_split(wk_forward(m->c_attn, x), 2, wk_size(x, 2), part, 3) != 3) return NULL;
    wk_tensor *q = split_heads(part[0], m->heads), *k = split_heads(part[1], m->heads),
              *v = split_heads(part[2], m->heads);
    wk_attention_opts how = { .causal = true, .offset = wk_kv_cache_length(cache) };
    if (m->base.training) how.dropout = m->dropout;
    if (cache && wk_kv_cache_append(cache, &k, &v) != WK_OK) return NULL;
    wk_tensor *y = wk_scaled_dot_product_attention(q, k, v, NULL, how.dropout > 0 ? wk_random_key() : NULL, how);
    y = wk_reshape(wk_transpose(y, 1, 2), wk_dims_get(x));
    return wk_forward(m->resid_dropout, wk_forward(m->c_proj, y));
}
static wk_tensor *attention_forward(wk_module *self, wk_tensor *x) {
    return attend((attention *)self, x, NULL);
}
static const wk_module_class attention_class = { .name = "GPT2Attention",
                                                 .size = sizeof(attention),
                                                 .forward = attention_forward };

static wk_module *attention_create(const wk_gpt2_opts *o) {
    attention *m = (attention *)wk_module_create(&attention_class);
    if (!m) return NULL;
    m->heads = o->heads, m->dropout = o->dropout.value;
    m->c_attn = wk_module_add(&m->base, "c_attn", conv1d_create(o->width, 3 * o->width, deviation));
    m->c_proj = wk_module_add(&m->base, "c_proj", conv1d_create(o->width, o->width, residual_deviation(o)));
    m->resid_dropout = wk_module_add(&m->base, "resid_dropout", wk_nn_dropout(o->dropout.value));
    return wk__finished(&m->base);
}

/* ---- the layer that looks at each token alone ---- */

typedef struct mlp {
    wk_module base;
    wk_module *c_fc, *c_proj, *dropout;
} mlp;

static wk_tensor *mlp_forward(wk_module *self, wk_tensor *x) {
    const mlp *m = (mlp *)self;
    x = wk_gelu_tanh(wk_forward(m->c_fc, x));
    return wk_forward(m->dropout, wk_forward(m->c_proj, x));
}
static const wk_module_class mlp_class = { .name = "GPT2MLP", .size = sizeof(mlp), .forward = mlp_forward };

static wk_module *mlp_create(const wk_gpt2_opts *o) {
    mlp *m = (mlp *)wk_module_create(&mlp_class);
    if (!m) return NULL;
    m->c_fc = wk_module_add(&m->base, "c_fc", conv1d_create(o->width, o->feedforward, deviation));
    m->c_proj = wk_module_add(&m->base, "c_proj", conv1d_create(o->feedforward, o->width, residual_deviation(o)));
    m->dropout = wk_module_add(&m->base, "dropout", wk_nn_dropout(o->dropout.value));
    return wk__finished(&m->base);
}

/* ---- a block: both, on normalised input, added to it ---- */

typedef struct block {
    wk_module base;
    wk_module *ln_1, *attn, *ln_2, *mlp;
} block;

static wk_tensor *block_run(const block *m, wk_tensor *x, wk_kv_cache *cache) {
    wk_tensor *normal = wk_forward(m->ln_1, x);
    x = wk_add(x, cache ? attend((attention *)m->attn, normal, cache) : wk_forward(m->attn, normal));
    return wk_add(x, wk_forward(m->mlp, wk_forward(m->ln_2, x)));
}
static wk_tensor *block_forward(wk_module *self, wk_tensor *x) {
    return block_run((block *)self, x, NULL);
}
static const wk_module_class block_class = {
    .name = "GPT2Block", .size = sizeof(block), .forward = block_forward, .is_block = true
};

static wk_module *layer_norm(const wk_gpt2_opts *o) {
    return wk_nn_layer_norm(WK_DIMS(o->width), (wk_nn_norm_opts){ .eps = o->eps });
}

static wk_module *block_create(const wk_gpt2_opts *o) {
    block *m = (block *)wk_module_create(&block_class);
    if (!m) return NULL;
    m->ln_1 = wk_module_add(&m->base, "ln_1", layer_norm(o));
    m->attn = wk_module_add(&m->base, "attn", attention_create(o));
    m->ln_2 = wk_module_add(&m->base, "ln_2", layer_norm(o));
    m->mlp = wk_module_add(&m->base, "mlp", mlp_create(o));
    return wk__finished(&m->base);
}

/* ---- keys and values of all layers ---- */

struct wk_gpt2_cache {
    const wk_module *of;
    int64_t batch, length, capacity;
    int layers;
    wk_kv_cache **layer; /* (layers) */
};

/* ---- the transformer: tokens and their places, the blocks, a last normalisation ---- */

typedef struct transformer {
    wk_module base;
    wk_module *wte, *wpe, *drop, *h, *ln_f;
} transformer;

/* tokens (N, T) behind those of the cache → (N, T, E) */
static wk_tensor *transformer_run(const transformer *m, wk_tensor *tokens, wk_gpt2_cache *cache) {
    const int64_t before = cache ? cache->length : 0, after = before + wk_size(tokens, 1);
    wk_tensor *places = wk_slice(wk_arange(after), 0, before, after, 1);
    wk_tensor *x = wk_forward(m->drop, wk_add(wk_forward(m->wte, tokens), wk_forward(m->wpe, places)));
    for (int i = 0; i < wk_module_count(m->h); i++) {
        wk_module *layer = wk_module_child(m->h, i);
        x = cache ? block_run((block *)layer, x, cache->layer[i]) : wk_forward(layer, x);
    }
    return wk_forward(m->ln_f, x);
}
static wk_tensor *transformer_forward(wk_module *self, wk_tensor *tokens) {
    return transformer_run((transformer *)self, tokens, NULL);
}
static const wk_module_class transformer_class = { .name = "GPT2Model",
                                                   .size = sizeof(transformer),
                                                   .forward = transformer_forward };

static wk_module *embedding_create(int64_t count, int64_t width) {
    wk_module *m = wk_nn_embedding(count, width, (wk_nn_embedding_opts){ .sparse = false });
    (void)wk_init_normal(wk_module_tensor(m, "weight"), 0, deviation);
    return m;
}

static wk_module *transformer_create(const wk_gpt2_opts *o) {
    transformer *m = (transformer *)wk_module_create(&transformer_class);
    if (!m) return NULL;
    m->wte = wk_module_add(&m->base, "wte", embedding_create(o->vocabulary, o->width));
    m->wpe = wk_module_add(&m->base, "wpe", embedding_create(o->context, o->width));
    m->drop = wk_module_add(&m->base, "drop", wk_nn_dropout(o->dropout.value));
    m->h = wk_module_add(&m->base, "h", wk_nn_module_list_of(NULL, 0));
    for (int64_t i = 0; i < o->layers && !wk_failed(); i++) (void)wk_module_append(m->h, block_create(o));
    m->ln_f = wk_module_add(&m->base, "ln_f", layer_norm(o));
    return wk__finished(&m->base);
}

/* ---- the network ---- */

typedef struct gpt2 {
    wk_module base;
    wk_module *transformer, *lm_head;
    wk_tensor *table; /* wte's weight, which is lm_head's */
    wk_gpt2_opts opts;
} gpt2;

/* (N, T) tokens for which `before` others leave room. */
static bool check_tokens(const gpt2 *m, const wk_tensor *tokens, int64_t before) {
    char text[160];
    if (wk_rank(tokens) != 2 || wk_dtype_get(tokens) != WK_I64)
        (void)wk_fail(WK_SHAPE, "GPT2LMHeadModel (layer \"%s\"): tokens %s, expected (N, T) i64", m->base.path,
                      wk_describe(tokens, text, sizeof text));
    else if (wk_size(tokens, 1) > m->opts.context - before)
        (void)wk_fail(WK_SHAPE, "GPT2LMHeadModel (layer \"%s\"): %lld tokens behind %lld: the context holds %lld",
                      m->base.path, (long long)wk_size(tokens, 1), (long long)before, (long long)m->opts.context);
    return !wk_failed();
}

static wk_tensor *gpt2_forward(wk_module *self, wk_tensor *tokens) {
    const gpt2 *m = (gpt2 *)self;
    return check_tokens(m, tokens, 0) ? wk_forward(m->lm_head, wk_forward(m->transformer, tokens)) : NULL;
}
static const wk_module_class gpt2_class = { .name = "GPT2LMHeadModel", .size = sizeof(gpt2), .forward = gpt2_forward };

static bool fill_in(wk_gpt2_opts *o) {
    static const int64_t sizes[][3] = { [WK_GPT2_124M] = { 12, 12, 768 },
                                        [WK_GPT2_355M] = { 24, 16, 1024 },
                                        [WK_GPT2_774M] = { 36, 20, 1280 },
                                        [WK_GPT2_1558M] = { 48, 25, 1600 } };
    if ((unsigned)o->size >= WK_COUNT(sizes))
        return wk_fail(WK_INVALID, "wk_gpt2: size is %d, expected one of wk_gpt2_size", (int)o->size), false;
    o->layers = wk__or(o->layers, sizes[o->size][0]);
    o->heads = wk__or(o->heads, sizes[o->size][1]);
    o->width = wk__or(o->width, sizes[o->size][2]);
    if (!wk__transformer_fits("wk_gpt2", o->layers, o->heads, o->width)) return false;
    o->vocabulary = wk__or(o->vocabulary, 50257);
    o->context = wk__or(o->context, 1024);
    o->feedforward = wk__or(o->feedforward, 4 * o->width);
    o->dropout = WK_SET(wk_optional_or(o->dropout, 0.1));
    return wk__size_fits("wk_gpt2", "vocabulary", o->vocabulary, 1)
           && wk__size_fits("wk_gpt2", "context", o->context, 1)
           && wk__size_fits("wk_gpt2", "feedforward", o->feedforward, 1)
           && wk__probability_fits("wk_gpt2", "dropout", o->dropout.value);
}

wk_module *wk_gpt2(wk_gpt2_opts opts) {
    if (wk_failed() || !fill_in(&opts)) return NULL;
    gpt2 *m = (gpt2 *)wk_module_create(&gpt2_class);
    if (!m) return NULL;
    m->opts = opts;
    m->transformer = wk_module_add(&m->base, "transformer", transformer_create(&opts));
    m->table = wk_module_tensor(m->transformer, "wte.weight");
    m->lm_head = wk_module_add(&m->base, "lm_head", wk_nn_linear_tied(m->table, NULL));
    return wk__finished(&m->base);
}

static const gpt2 *gpt2_of(const wk_module *module, const char *who) {
    if (wk_failed() || !module) return NULL;
    if (module->class_ == &gpt2_class) return (const gpt2 *)module;
    return wk_fail_null(WK_INVALID, "%s: module \"%s\" (%s) is no GPT2LMHeadModel", who, module->path,
                        module->class_->name);
}

wk_gpt2_opts wk_gpt2_options(const wk_module *module) {
    const gpt2 *m = gpt2_of(module, "wk_gpt2_options");
    return m ? m->opts : (wk_gpt2_opts){ 0 };
}

wk_tensor *wk_gpt2_loss(wk_module *module, wk_tensor *tokens, wk_tensor *next, wk_linear_cross_entropy_opts opts) {
    const gpt2 *m = gpt2_of(module, "wk_gpt2_loss");
    if (!m || !tokens || !next || !check_tokens(m, tokens, 0)) return NULL;
    return wk_linear_cross_entropy(wk_forward(m->transformer, tokens), m->table, NULL, next, opts);
}

/* ---- going on from what was seen ---- */

wk_gpt2_cache *wk_gpt2_cache_create(wk_module *module, int64_t batch, int64_t capacity) {
    const gpt2 *m = gpt2_of(module, "wk_gpt2_cache_create");
    if (!m) return NULL;
    const int64_t layers = m->opts.layers, heads = m->opts.heads;
    if (capacity == 0) capacity = m->opts.context;
    if (!wk__size_fits("wk_gpt2_cache_create", "batch", batch, 1)) return NULL;
    if (capacity < 1 || capacity > m->opts.context)
        return wk_fail_null(WK_INVALID, "wk_gpt2_cache_create: capacity is %lld, expected 1 to the %lld of the context",
                            (long long)capacity, (long long)m->opts.context);
    wk_gpt2_cache *cache = wk_alloc(sizeof *cache);
    if (!cache) return NULL;
    *cache = (wk_gpt2_cache){ .of = module, .batch = batch, .capacity = capacity, .layers = (int)layers };
    cache->layer = wk_alloc((size_t)layers * sizeof(wk_kv_cache *));
    for (int i = 0; cache->layer && i < layers; i++)
        cache->layer[i] = wk_kv_cache_create(batch, heads, capacity, m->opts.width / heads, wk_dtype_get(m->table));
    if (!wk_failed()) return cache;
    wk_gpt2_cache_destroy(cache);
    return NULL;
}

void wk_gpt2_cache_destroy(wk_gpt2_cache *cache) {
    if (!cache) return;
    for (int i = 0; cache->layer && i < cache->layers; i++) wk_kv_cache_destroy(cache->layer[i]);
    wk_free(cache->layer);
    wk_free(cache);
}

/* What was appended to some of the layers before another one failed is forgotten. */
static void settle(wk_gpt2_cache *cache, int64_t length) {
    cache->length = length;
    for (int i = 0; i < cache->layers; i++)
        if (wk_kv_cache_length(cache->layer[i]) > length) (void)wk_kv_cache_truncate(cache->layer[i], length);
}

/* (N, T, E) of the last step → (N, vocabulary) */
static wk_tensor *last_logits(const gpt2 *m, wk_tensor *states) {
    return states ? wk_forward(m->lm_head, wk_select(states, 1, wk_size(states, 1) - 1)) : NULL;
}

static bool check_next(const gpt2 *m, const wk_tensor *tokens, const wk_gpt2_cache *cache) {
    char text[160];
    if (!cache || cache->of != &m->base)
        return wk_fail(WK_INVALID, "wk_gpt2_next: the cache is %s", cache ? "another model's" : "NULL"), false;
    if (!check_tokens(m, tokens, cache->length)) return false;
    if (wk_size(tokens, 0) != cache->batch || wk_size(tokens, 1) < 1)
        (void)wk_fail(WK_SHAPE, "wk_gpt2_next: tokens %s, expected (%lld, T), one or more",
                      wk_describe(tokens, text, sizeof text), (long long)cache->batch);
    else if (wk_size(tokens, 1) > cache->capacity - cache->length)
        (void)wk_fail(WK_SHAPE, "wk_gpt2_next: %lld tokens behind %lld: the cache holds %lld",
                      (long long)wk_size(tokens, 1), (long long)cache->length, (long long)cache->capacity);
    return !wk_failed();
}

wk_tensor *wk_gpt2_next(wk_module *module, wk_tensor *tokens, wk_gpt2_cache *cache) {
    const gpt2 *m = gpt2_of(module, "wk_gpt2_next");
    if (!m || !tokens || !check_next(m, tokens, cache)) return NULL;
    const int64_t more = wk_size(tokens, 1);
    bool was = wk_no_grad_begin();
    wk_scope scope = wk_scope_begin();
    wk_autocast outer = wk__frozen_autocast_begin(module);
    wk_tensor *logits = last_logits(m, transformer_run((transformer *)m->transformer, tokens, cache));
    settle(cache, logits ? cache->length + more : cache->length);
    logits = wk_scope_return(scope, logits);
    wk_autocast_end(outer);
    wk_scope_end(scope);
    wk_no_grad_end(was);
    return logits;
}

/* ---- generation ---- */

/* One token (N, 1) by logits (N, V): the likeliest, or the first of the k likeliest up to which their probabilities
 * add up to more than u (N, 1), uniform. */
static wk_tensor *choose(wk_tensor *logits, wk_tensor *u, const wk_gpt2_generate_opts *o) {
    if (!logits) return NULL;
    logits = wk_cast(logits, WK_F32);
    if (o->temperature == 0) return wk_reshape(wk_argmax(logits, (wk_axis_opts){ { 0 } }), WK_DIMS(-1, 1));
    const int64_t k = wk__or(o->top_k, wk_size(logits, 1));
    wk_tensor *index, *best = wk_topk(logits, &index, (wk_topk_opts){ .k = k });
    wk_tensor *p = wk_softmax(wk_scale(best, 1 / o->temperature), (wk_axis_opts){ { 0 } });
    /* The last sum is 1 but for rounding, and is not asked. */
    wk_tensor *sums = wk_slice(wk_cumsum(p, (wk_scan_opts){ .reverse = false }), 1, 0, k - 1, 1);
    return wk_gather(index, wk_searchsorted(sums, u, (wk_searchsorted_opts){ .right = true }), 1);
}

/* All tokens, one column more each round. */
static wk_tensor *generate(wk_module *module, wk_tensor *tokens, int64_t count, const wk_gpt2_generate_opts *o,
                           wk_gpt2_cache *cache) {
    const gpt2 *m = (gpt2 *)module;
    const int64_t batch = wk_size(tokens, 0);
    wk_tensor *uniform = NULL, *fresh = tokens;
    if (o->temperature > 0)
        uniform = wk_uniform(o->key ? o->key : wk_random_key(), (wk_uniform_opts){ .dims = WK_DIMS(batch, count) });
    for (int64_t i = 0; i < count && tokens; i++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *logits =
            cache ? wk_gpt2_next(module, fresh, cache) : last_logits(m, wk_forward(m->transformer, tokens));
        fresh = wk_scope_return(scope, choose(logits, uniform ? wk_slice(uniform, 1, i, i + 1, 1) : NULL, o));
        wk_scope_end(scope);
        tokens = wk_concat((wk_tensor *[]){ tokens, fresh }, 2, 1);
    }
    return tokens;
}

static bool check_generation(const gpt2 *m, const wk_tensor *prompt, int64_t count, const wk_gpt2_generate_opts *o) {
    if (!check_tokens(m, prompt, 0)) return false;
    const int64_t given = wk_size(prompt, 1), rows = wk_size(prompt, 0);
    if (given < 1 || rows < 1 || count < 1)
        (void)wk_fail(WK_INVALID,
                      "wk_gpt2_generate: %lld tokens behind (%lld, %lld), expected at least one behind at least one",
                      (long long)count, (long long)rows, (long long)given);
    else if (count > m->opts.context - given)
        (void)wk_fail(WK_SHAPE, "wk_gpt2_generate: %lld tokens behind %lld: the context holds %lld", (long long)count,
                      (long long)given, (long long)m->opts.context);
    else if (o->temperature != 0 && !(o->temperature >= 1e-6 && isfinite(o->temperature)))
        (void)wk_fail(WK_INVALID, "wk_gpt2_generate: temperature is %g, expected 0, or 1e-6 and more", o->temperature);
    else if (o->top_k < 0 || o->top_k > m->opts.vocabulary)
        (void)wk_fail(WK_INVALID, "wk_gpt2_generate: top_k is %lld, expected 0 to the %lld of the vocabulary",
                      (long long)o->top_k, (long long)m->opts.vocabulary);
    return !wk_failed();
}

wk_tensor *wk_gpt2_generate(wk_module *module, wk_tensor *prompt, int64_t count, wk_gpt2_generate_opts opts) {
    const gpt2 *m = gpt2_of(module, "wk_gpt2_generate");
    if (!m || !prompt || !check_generation(m, prompt, count, &opts)) return NULL;
    wk_gpt2_cache *cache = NULL;
    if (!opts.recompute) {
        cache = wk_gpt2_cache_create(module, wk_size(prompt, 0), wk_size(prompt, 1) + count);
        if (!cache) return NULL;
    }
    bool was = wk_no_grad_begin();
    wk_scope scope = wk_scope_begin();
    wk_autocast outer = wk__frozen_autocast_begin(module);
    wk_tensor *tokens = wk_scope_return(scope, generate(module, prompt, count, &opts, cache));
    wk_autocast_end(outer);
    wk_scope_end(scope);
    wk_no_grad_end(was);
    wk_gpt2_cache_destroy(cache);
    return tokens;
}
