/* bert.c: BERT (Devlin et al. 2018), as Hugging Face's BertModel names it, and two networks on top of it; RoBERTa (Liu
 * et al. 2019), which is the same encoder with other places, and its classifier. */
#include "models/models.h"

static const double deviation = 0.02;

static wk_module *linear(int64_t in, int64_t out) {
    wk_module *m = wk_nn_linear(in, out, (wk_layer_opts){ 0 });
    (void)wk_init_normal(wk_module_tensor(m, "weight"), 0, deviation);
    (void)wk_init_zeros(wk_module_tensor(m, "bias"));
    return m;
}
static wk_module *layer_norm(const wk_bert_opts *o) {
    return wk_nn_layer_norm(WK_DIMS(o->width), (wk_nn_norm_opts){ .eps = o->eps });
}

/* ---- slots ---- */

/* The one tensor that a block takes beside x. */
static wk_tensor *second(const wk_args *in) {
    return in->count > 1 ? in->slot[1].tensor : NULL;
}
static wk_status give(wk_args *out, wk_tensor *y) {
    *out = (wk_args){ .count = 1, .slot = { { NULL, y } } };
    return wk_failed() ? wk_error_code() : WK_OK;
}
/* A module with x and one named tensor more (NULL: without it). */
static wk_tensor *run_with(wk_module *m, wk_tensor *x, const char *name, wk_tensor *more) {
    wk_args in = { .count = more ? 2 : 1, .slot = { { NULL, x }, { name, more } } }, out;
    return wk_forward_args(m, &in, &out) == WK_OK ? out.slot[0].tensor : NULL;
}

/* ---- embeddings: of each token, its segment and its place ---- */

/* What RoBERTa does otherwise: its padding is token 1, and places are counted from behind that. */
typedef struct family {
    const char *who;
    int64_t padding, first;
} family;
static const family bert_family = { "wk_bert", 0, 0 }, roberta_family = { "wk_roberta", 1, 2 };

typedef struct embeddings {
    wk_module base;
    wk_module *word, *position, *token_type, *norm, *dropout;
    int64_t first;
} embeddings;

static wk_status embeddings_forward(wk_module *self, const wk_args *in, wk_args *out) {
    const embeddings *m = (embeddings *)self;
    wk_tensor *tokens = in->slot[0].tensor, *types = second(in);
    if (!types) types = wk_zeros(WK_I64, WK_DIMS(1, wk_size(tokens, 1)));
    wk_tensor *x = wk_add(wk_forward(m->word, tokens), wk_forward(m->token_type, types));
    const int64_t end = m->first + wk_size(tokens, 1);
    x = wk_add(x, wk_forward(m->position, wk_slice(wk_arange(end), 0, m->first, end, 1)));
    return give(out, wk_forward(m->dropout, wk_forward(m->norm, x)));
}
static const wk_module_class embeddings_class = { .name = "BertEmbeddings",
                                                  .size = sizeof(embeddings),
                                                  .forward_args = embeddings_forward };

static wk_module *table(int64_t count, int64_t width, wk_optional padding) {
    wk_module *m = wk_nn_embedding(count, width, (wk_nn_embedding_opts){ .padding_idx = padding });
    wk_tensor *weight = wk_module_tensor(m, "weight");
    (void)wk_init_normal(weight, 0, deviation);
    float *row = weight && padding.is_set ? (float *)wk_data(weight) + (int64_t)padding.value * width : NULL;
    for (int64_t i = 0; row && i < width; i++) row[i] = 0;
    return m;
}

static wk_module *embeddings_create(const wk_bert_opts *o, const family *f) {
    embeddings *m = (embeddings *)wk_module_create(&embeddings_class);
    if (!m) return NULL;
    wk_module *base = &m->base;
    const wk_optional padding = WK_SET(f->padding), none = { 0 };
    m->first = f->first;
    m->word = wk_module_add(base, "word_embeddings", table(o->vocabulary, o->width, padding));
    m->position =
        wk_module_add(base, "position_embeddings", table(f->first + o->context, o->width, f->first ? padding : none));
    m->token_type = wk_module_add(base, "token_type_embeddings", table(o->types, o->width, none));
    m->norm = wk_module_add(base, "LayerNorm", layer_norm(o));
    m->dropout = wk_module_add(base, "dropout", wk_nn_dropout(o->dropout.value));
    return wk__finished(base);
}

/* ---- self attention ---- */

typedef struct self_attention {
    wk_module base;
    wk_module *query, *key, *value;
    int64_t heads;
    double dropout;
    wk_tensor *weight, *bias; /* of all three, once it is frozen: one product takes less than three */
} self_attention;

/* (N, S, E) → (N, H, S, E / H) */
static wk_tensor *split_heads(wk_tensor *x, int64_t heads) {
    return x ? wk_transpose(wk_reshape(x, WK_DIMS(wk_size(x, 0), wk_size(x, 1), heads, wk_size(x, 2) / heads)), 1, 2)
             : NULL;
}

/* x (N, S, E) → query, key and value, each (N, H, S, E / H) */
static void project(const self_attention *m, wk_tensor *x, wk_tensor *part[3]) {
    wk_module *const layers[] = { m->query, m->key, m->value };
    wk_tensor *all = m->weight ? wk_linear(x, m->weight, m->bias, (wk_linear_opts){ 0 }) : NULL;
    const int64_t width = wk_size(x, 2);
    for (int i = 0; i < 3; i++)
        part[i] = split_heads(m->weight ? wk_slice(all, 2, i * width, (i + 1) * width, 1) : wk_forward(layers[i], x),
                              m->heads);
}

/* Slots x (N, S, E) and "attention_mask" (N, 1, 1, S), bool, true where a key takes part. */
static wk_status self_attention_forward(wk_module *self, const wk_args *in, wk_args *out) {
    const self_attention *m = (self_attention *)self;
    wk_tensor *x = in->slot[0].tensor, *part[3];
    project(m, x, part);
    wk_attention_opts how = { .dropout = self->training ? m->dropout : 0 };
    wk_tensor *key = how.dropout > 0 ? wk_random_key() : NULL;
    wk_tensor *y = wk_scaled_dot_product_attention(part[0], part[1], part[2], second(in), key, how);
    return give(out, wk_reshape(wk_transpose(y, 1, 2), wk_dims_get(x)));
}
static wk_status self_attention_freeze(wk_module *self, const wk_freeze_opts *opts) {
    self_attention *m = (self_attention *)self;
    return wk__linear_join((wk_module *const[]){ m->query, m->key, m->value }, 3, opts, &m->weight, &m->bias);
}
static void self_attention_destroy(wk_module *self) {
    self_attention *m = (self_attention *)self;
    wk_release(m->weight);
    wk_release(m->bias);
}
static const wk_module_class self_attention_class = { .name = "BertSelfAttention",
                                                      .size = sizeof(self_attention),
                                                      .forward_args = self_attention_forward,
                                                      .freeze = self_attention_freeze,
                                                      .destroy = self_attention_destroy };

static wk_module *self_attention_create(const wk_bert_opts *o) {
    self_attention *m = (self_attention *)wk_module_create(&self_attention_class);
    if (!m) return NULL;
    m->heads = o->heads, m->dropout = o->dropout.value;
    m->query = wk_module_add(&m->base, "query", linear(o->width, o->width));
    m->key = wk_module_add(&m->base, "key", linear(o->width, o->width));
    m->value = wk_module_add(&m->base, "value", linear(o->width, o->width));
    return wk__finished(&m->base);
}

/* ---- what ends each half of a layer: a linear layer, added to what came into the half, normalised ---- */

typedef struct output {
    wk_module base;
    wk_module *dense, *norm, *dropout;
} output;

static wk_status output_forward(wk_module *self, const wk_args *in, wk_args *out) {
    const output *m = (output *)self;
    wk_tensor *y = wk_forward(m->dropout, wk_forward(m->dense, in->slot[0].tensor));
    return give(out, wk_forward(m->norm, wk_add(y, second(in))));
}
static const wk_module_class output_class = { .name = "BertOutput",
                                              .size = sizeof(output),
                                              .forward_args = output_forward };

static wk_module *output_create(int64_t in, const wk_bert_opts *o) {
    output *m = (output *)wk_module_create(&output_class);
    if (!m) return NULL;
    m->dense = wk_module_add(&m->base, "dense", linear(in, o->width));
    m->norm = wk_module_add(&m->base, "LayerNorm", layer_norm(o));
    m->dropout = wk_module_add(&m->base, "dropout", wk_nn_dropout(o->dropout.value));
    return wk__finished(&m->base);
}

/* ---- a layer ---- */

typedef struct layer {
    wk_module base;
    wk_module *attend, *attend_output, *intermediate, *output;
} layer;

static wk_status layer_forward(wk_module *self, const wk_args *in, wk_args *out) {
    const layer *m = (layer *)self;
    wk_tensor *x = in->slot[0].tensor;
    wk_tensor *attended = run_with(m->attend, x, "attention_mask", second(in));
    x = run_with(m->attend_output, attended, "residual", x);
    return give(out, run_with(m->output, wk_gelu(wk_forward(m->intermediate, x)), "residual", x));
}
static const wk_module_class layer_class = {
    .name = "BertLayer", .size = sizeof(layer), .forward_args = layer_forward, .is_block = true
};

static wk_module *layer_create(const wk_bert_opts *o) {
    layer *m = (layer *)wk_module_create(&layer_class);
    if (!m) return NULL;
    wk_module *attention = wk_module_add(&m->base, "attention", wk_nn_module_dict_of(NULL, NULL, 0));
    m->attend = wk_module_add(attention, "self", self_attention_create(o));
    m->attend_output = wk_module_add(attention, "output", output_create(o->width, o));
    wk_module *intermediate = wk_module_add(&m->base, "intermediate", wk_nn_module_dict_of(NULL, NULL, 0));
    m->intermediate = wk_module_add(intermediate, "dense", linear(o->width, o->feedforward));
    m->output = wk_module_add(&m->base, "output", output_create(o->feedforward, o));
    return wk__finished(&m->base);
}

/* ---- the encoder ---- */

typedef struct bert {
    wk_module base;
    wk_module *embeddings, *layers, *pooler;
    wk_bert_opts opts;
} bert;

/* Bool (N, 1, 1, S), which broadcasts over heads and queries; NULL without error: none. */
static wk_tensor *mask_of_keys(wk_tensor *mask) {
    if (!mask) return NULL;
    return wk_reshape(wk_cast(mask, WK_BOOL), WK_DIMS(wk_size(mask, 0), 1, 1, wk_size(mask, 1)));
}

static bool check_inputs(const bert *m, const wk_tensor *tokens, const wk_tensor *types, const wk_tensor *mask) {
    char one[160], other[160];
    if (wk_rank(tokens) != 2 || wk_dtype_get(tokens) != WK_I64)
        return wk_fail(WK_SHAPE, "BertModel (layer \"%s\"): tokens %s, expected (N, T) i64", m->base.path,
                       wk_describe(tokens, one, sizeof one)),
               false;
    if (wk_size(tokens, 1) > m->opts.context || wk_size(tokens, 1) < 1)
        return wk_fail(WK_SHAPE, "BertModel (layer \"%s\"): %lld tokens, expected 1 to the %lld of the context",
                       m->base.path, (long long)wk_size(tokens, 1), (long long)m->opts.context),
               false;
    const wk_tensor *more[] = { types, mask };
    for (int i = 0; i < 2; i++)
        if (more[i]
            && (wk_rank(more[i]) != 2 || wk_size(more[i], 0) != wk_size(tokens, 0)
                || wk_size(more[i], 1) != wk_size(tokens, 1)))
            return wk_fail(WK_SHAPE, "BertModel (layer \"%s\"): %s %s, expected the shape of tokens %s", m->base.path,
                           i ? "attention_mask" : "token_type_ids", wk_describe(more[i], one, sizeof one),
                           wk_describe(tokens, other, sizeof other)),
                   false;
    return true;
}

static wk_status bert_forward(wk_module *self, const wk_args *in, wk_args *out) {
    const bert *m = (bert *)self;
    static const char *const names[] = { "token_type_ids", "attention_mask" };
    wk_tensor *tokens = in->slot[0].tensor, *more[2];
    if (!wk__slots(self, in, names, 2, more) || !check_inputs(m, tokens, more[0], more[1])) return wk_error_code();
    wk_tensor *x = run_with(m->embeddings, tokens, "token_type_ids", more[0]), *mask = mask_of_keys(more[1]);
    for (int i = 0; i < wk_module_count(m->layers) && !wk_failed(); i++)
        x = run_with(wk_module_child(m->layers, i), x, "attention_mask", mask);
    WK_TRY(give(out, x));
    out->slot[0].name = "sequence";
    if (!m->pooler) return WK_OK;
    out->slot[out->count].name = "pooled";
    out->slot[out->count++].tensor = wk_tanh(wk_forward(m->pooler, wk_select(x, 1, 0)));
    return wk_failed() ? wk_error_code() : WK_OK;
}
static const wk_module_class bert_class = { .name = "BertModel", .size = sizeof(bert), .forward_args = bert_forward };
static const wk_module_class roberta_class = { .name = "RobertaModel",
                                               .size = sizeof(bert),
                                               .forward_args = bert_forward };

static bool fill_in(wk_bert_opts *o, const family *f) {
    const bool is_roberta = f == &roberta_family;
    static const int64_t sizes[][3] = { [WK_BERT_BASE] = { 12, 12, 768 }, [WK_BERT_LARGE] = { 24, 16, 1024 } };
    if ((unsigned)o->size >= WK_COUNT(sizes))
        return wk_fail(WK_INVALID, "%s: size is %d, expected one of wk_bert_size", f->who, (int)o->size), false;
    o->layers = wk__or(o->layers, sizes[o->size][0]);
    o->heads = wk__or(o->heads, sizes[o->size][1]);
    o->width = wk__or(o->width, sizes[o->size][2]);
    if (!wk__transformer_fits(f->who, o->layers, o->heads, o->width)) return false;
    o->feedforward = wk__or(o->feedforward, 4 * o->width);
    o->vocabulary = wk__or(o->vocabulary, is_roberta ? 50265 : 30522);
    o->context = wk__or(o->context, 512);
    o->types = wk__or(o->types, is_roberta ? 1 : 2);
    o->dropout = WK_SET(wk_optional_or(o->dropout, 0.1));
    o->eps = WK_SET(wk_optional_or(o->eps, is_roberta ? 1e-5 : 1e-12));
    return wk__size_fits(f->who, "feedforward", o->feedforward, 1) && wk__size_fits(f->who, "context", o->context, 1)
           && wk__size_fits(f->who, "vocabulary", o->vocabulary, 1) && wk__size_fits(f->who, "types", o->types, 1)
           && wk__probability_fits(f->who, "dropout", o->dropout.value);
}

static wk_module *encoder_create(const wk_module_class *class_, wk_bert_opts opts, const family *f) {
    if (wk_failed() || !fill_in(&opts, f)) return NULL;
    bert *m = (bert *)wk_module_create(class_);
    if (!m) return NULL;
    m->opts = opts;
    m->embeddings = wk_module_add(&m->base, "embeddings", embeddings_create(&opts, f));
    wk_module *encoder = wk_module_add(&m->base, "encoder", wk_nn_module_dict_of(NULL, NULL, 0));
    m->layers = wk_module_add(encoder, "layer", wk_nn_module_list_of(NULL, 0));
    for (int64_t i = 0; i < opts.layers && !wk_failed(); i++) (void)wk_module_append(m->layers, layer_create(&opts));
    if (!opts.no_pooler) {
        wk_module *pooler = wk_module_add(&m->base, "pooler", wk_nn_module_dict_of(NULL, NULL, 0));
        m->pooler = wk_module_add(pooler, "dense", linear(opts.width, opts.width));
    }
    return wk__finished(&m->base);
}

wk_module *wk_bert(wk_bert_opts opts) {
    return encoder_create(&bert_class, opts, &bert_family);
}
wk_module *wk_roberta(wk_bert_opts opts) {
    return encoder_create(&roberta_class, opts, &roberta_family);
}

/* Of an encoder, or of what has one as its first child. */
wk_bert_opts wk_bert_options(const wk_module *module) {
    const wk_module *m = module;
    if (wk_failed() || !m) return (wk_bert_opts){ 0 };
    if (m->class_ != &bert_class && m->class_ != &roberta_class) m = wk_module_child(m, 0);
    if (m && (m->class_ == &bert_class || m->class_ == &roberta_class)) return ((const bert *)m)->opts;
    (void)wk_fail(WK_INVALID, "wk_bert_options: module \"%s\" (%s) is no BERT", module->path, module->class_->name);
    return (wk_bert_opts){ 0 };
}

/* ---- classes of whole sequences ---- */

typedef struct classifier {
    wk_module base;
    wk_module *bert, *dropout, *classifier;
} classifier;

static wk_status classifier_forward(wk_module *self, const wk_args *in, wk_args *out) {
    const classifier *m = (classifier *)self;
    wk_args encoded;
    WK_TRY(wk_forward_args(m->bert, in, &encoded));
    return give(out, wk_forward(m->classifier, wk_forward(m->dropout, encoded.slot[1].tensor)));
}
static const wk_module_class classifier_class = { .name = "BertForSequenceClassification",
                                                  .size = sizeof(classifier),
                                                  .forward_args = classifier_forward };

wk_module *wk_bert_for_sequence_classification(int64_t labels, wk_bert_opts opts) {
    opts.no_pooler = false;
    if (wk_failed() || !fill_in(&opts, &bert_family)
        || !wk__size_fits("wk_bert_for_sequence_classification", "labels", labels, 1))
        return NULL;
    classifier *m = (classifier *)wk_module_create(&classifier_class);
    if (!m) return NULL;
    m->bert = wk_module_add(&m->base, "bert", wk_bert(opts));
    m->dropout = wk_module_add(&m->base, "dropout", wk_nn_dropout(opts.dropout.value));
    m->classifier = wk_module_add(&m->base, "classifier", linear(opts.width, labels));
    return wk__finished(&m->base);
}

/* RoBERTa's has no pooler: a layer more on each first token. */
typedef struct roberta_classifier {
    wk_module base;
    wk_module *roberta, *dropout, *dense, *out_proj;
} roberta_classifier;

static wk_status roberta_classifier_forward(wk_module *self, const wk_args *in, wk_args *out) {
    const roberta_classifier *m = (roberta_classifier *)self;
    wk_args encoded;
    WK_TRY(wk_forward_args(m->roberta, in, &encoded));
    wk_tensor *x = wk_forward(m->dropout, wk_select(encoded.slot[0].tensor, 1, 0));
    x = wk_forward(m->dropout, wk_tanh(wk_forward(m->dense, x)));
    return give(out, wk_forward(m->out_proj, x));
}
static const wk_module_class roberta_classifier_class = { .name = "RobertaForSequenceClassification",
                                                          .size = sizeof(roberta_classifier),
                                                          .forward_args = roberta_classifier_forward };

wk_module *wk_roberta_for_sequence_classification(int64_t labels, wk_bert_opts opts) {
    opts.no_pooler = true;
    if (wk_failed() || !fill_in(&opts, &roberta_family)
        || !wk__size_fits("wk_roberta_for_sequence_classification", "labels", labels, 1))
        return NULL;
    roberta_classifier *m = (roberta_classifier *)wk_module_create(&roberta_classifier_class);
    if (!m) return NULL;
    m->roberta = wk_module_add(&m->base, "roberta", wk_roberta(opts));
    wk_module *head = wk_module_add(&m->base, "classifier", wk_nn_module_dict_of(NULL, NULL, 0));
    m->dense = wk_module_add(head, "dense", linear(opts.width, opts.width));
    m->dropout = wk_module_add(head, "dropout", wk_nn_dropout(opts.dropout.value));
    m->out_proj = wk_module_add(head, "out_proj", linear(opts.width, labels));
    return wk__finished(&m->base);
}

/* ---- masked tokens ---- */

typedef struct masked_lm {
    wk_module base;
    wk_module *bert, *dense, *norm, *decoder;
} masked_lm;

static wk_status masked_lm_forward(wk_module *self, const wk_args *in, wk_args *out) {
    const masked_lm *m = (masked_lm *)self;
    wk_args encoded;
    WK_TRY(wk_forward_args(m->bert, in, &encoded));
    wk_tensor *x = wk_forward(m->norm, wk_gelu(wk_forward(m->dense, encoded.slot[0].tensor)));
    return give(out, wk_forward(m->decoder, x));
}
static const wk_module_class masked_lm_class = { .name = "BertForMaskedLM",
                                                 .size = sizeof(masked_lm),
                                                 .forward_args = masked_lm_forward };

wk_module *wk_bert_for_masked_lm(wk_bert_opts opts) {
    opts.no_pooler = true;
    if (wk_failed() || !fill_in(&opts, &bert_family)) return NULL;
    masked_lm *m = (masked_lm *)wk_module_create(&masked_lm_class);
    if (!m) return NULL;
    m->bert = wk_module_add(&m->base, "bert", wk_bert(opts));
    wk_tensor *words = wk_module_tensor(m->bert, "embeddings.word_embeddings.weight");
    wk_module *cls = wk_module_add(&m->base, "cls", wk_nn_module_dict_of(NULL, NULL, 0));
    wk_module *predictions = wk_module_add(cls, "predictions", wk_nn_module_dict_of(NULL, NULL, 0));
    wk_tensor *bias = wk_module_add_parameter(predictions, "bias", wk_kept_zeros(WK_F32, WK_DIMS(opts.vocabulary)));
    wk_module *transform = wk_module_add(predictions, "transform", wk_nn_module_dict_of(NULL, NULL, 0));
    m->dense = wk_module_add(transform, "dense", linear(opts.width, opts.width));
    m->norm = wk_module_add(transform, "LayerNorm", layer_norm(&opts));
    m->decoder = wk_module_add(predictions, "decoder", wk_nn_linear_tied(words, bias));
    return wk__finished(&m->base);
}

/* ---- typed ---- */

wk_tensor *wk_bert_run(wk_module *module, wk_tensor *tokens, wk_bert_inputs inputs, wk_tensor **pooled) {
    if (pooled) *pooled = NULL;
    if (wk_failed() || !module || !tokens) return NULL;
    wk_args in = { .count = 1, .slot = { { NULL, tokens } } }, out;
    if (inputs.token_type_ids)
        in.slot[in.count].name = "token_type_ids", in.slot[in.count++].tensor = inputs.token_type_ids;
    if (inputs.attention_mask)
        in.slot[in.count].name = "attention_mask", in.slot[in.count++].tensor = inputs.attention_mask;
    if (wk_forward_args(module, &in, &out) != WK_OK) return NULL;
    if (pooled && out.count > 1) *pooled = out.slot[1].tensor;
    return out.slot[0].tensor;
}
