/* transformer.c: encoder and decoder layers, and stacks of them. */
#define WK_NO_CALL_SITES
#include "nn/support.h"

#include <string.h>

typedef struct layer {
    wk_module base;
    wk_module *self_attn, *cross_attn, *linear1, *dropout, *linear2, *norm[3], *drop[3];
    wk_nn_transformer_opts opts;
    bool decodes;
} layer;

typedef struct masks {
    wk_tensor *memory, *mask, *padding, *memory_mask, *memory_padding;
} masks;

static wk_tensor *slot(const wk_args *in, const char *name) {
    for (int i = 1; i < in->count; i++)
        if (in->slot[i].name && strcmp(in->slot[i].name, name) == 0) return in->slot[i].tensor;
    return NULL;
}
static masks masks_of(const wk_args *in) {
    return (masks){ slot(in, "memory"), slot(in, "mask"), slot(in, "key_padding_mask"), slot(in, "memory_mask"),
                    slot(in, "memory_key_padding_mask") };
}

/* ---- blocks, each ended by its dropout ---- */

static wk_tensor *look(const layer *m, wk_tensor *x, wk_tensor *memory, wk_tensor *mask, wk_tensor *padding) {
    wk_attend_opts opts = { .attn_mask = mask, .key_padding_mask = padding };
    wk_module *attn = memory ? m->cross_attn : m->self_attn;
    return wk_forward(m->drop[memory ? 1 : 0], wk_nn_attend(attn, x, memory, NULL, opts, NULL));
}
static wk_tensor *feed(const layer *m, wk_tensor *x) {
    wk_tensor *hidden = wk_forward(m->linear1, x);
    hidden = wk_forward(m->dropout, m->opts.gelu ? wk_gelu(hidden) : wk_relu(hidden));
    return wk_forward(m->drop[m->decodes ? 2 : 1], wk_forward(m->linear2, hidden));
}

static wk_tensor *block(const layer *m, int which, wk_tensor *x, const masks *k) {
    if (which == 0) return look(m, x, NULL, k->mask, k->padding);
    if (m->decodes && which == 1) return look(m, x, k->memory, k->memory_mask, k->memory_padding);
    return feed(m, x);
}

static wk_status forward_args(wk_module *self, const wk_args *in, wk_args *out) {
    const layer *m = (layer *)self;
    wk_tensor *x = in->slot[0].tensor;
    masks k = masks_of(in);
    if (m->decodes && !k.memory) k.memory = in->count > 1 && !in->slot[1].name ? in->slot[1].tensor : NULL;
    if (m->decodes && !k.memory)
        return wk_fail(WK_INVALID, "%s (layer \"%s\") needs \"memory\"", self->class_->name, self->path);
    for (int i = 0; i < (m->decodes ? 3 : 2); i++) {
        if (m->opts.norm_first)
            x = wk_add(x, block(m, i, wk_forward(m->norm[i], x), &k));
        else
            x = wk_forward(m->norm[i], wk_add(x, block(m, i, x, &k)));
    }
    *out = (wk_args){ .count = 1, .slot = { { NULL, x } } };
    return x ? WK_OK : wk_error_code();
}

static const wk_module_class encoder_layer_class = {
    .name = "TransformerEncoderLayer", .size = sizeof(layer), .forward_args = forward_args, .is_block = true
};
static const wk_module_class decoder_layer_class = {
    .name = "TransformerDecoderLayer", .size = sizeof(layer), .forward_args = forward_args, .is_block = true
};

/* ---- construction ---- */

static wk_module *make_layer(bool decodes, int64_t width, int64_t heads, wk_nn_transformer_opts opts) {
    const wk_module_class *class_ = decodes ? &decoder_layer_class : &encoder_layer_class;
    layer *m = wk_failed() ? NULL : (layer *)wk_module_create(class_);
    if (!m) return NULL;
    m->opts = opts, m->decodes = decodes;
    static const char *const norms[] = { "norm1", "norm2", "norm3" }, *const drops[] = { "dropout1", "dropout2",
                                                                                         "dropout3" };
    double p = wk_optional_or(opts.dropout, 0.1);
    int64_t feedforward = opts.feedforward ? opts.feedforward : 2048;
    int blocks = decodes ? 3 : 2;
    wk_nn_attention_opts attention = { .dropout = p, .no_bias = opts.no_bias, .batch_first = opts.batch_first };
    wk_layer_opts plain = { .no_bias = opts.no_bias };
    wk_nn_norm_opts norm = { .eps = opts.eps, .no_bias = opts.no_bias };
    wk_module *base = &m->base;
    m->self_attn = wk_module_add(base, "self_attn", wk_nn_multihead_attention(width, heads, attention));
    if (decodes)
        m->cross_attn = wk_module_add(base, "multihead_attn", wk_nn_multihead_attention(width, heads, attention));
    m->linear1 = wk_module_add(base, "linear1", wk_nn_linear(width, feedforward, plain));
    m->dropout = wk_module_add(base, "dropout", wk_nn_dropout(p));
    m->linear2 = wk_module_add(base, "linear2", wk_nn_linear(feedforward, width, plain));
    for (int i = 0; i < blocks; i++) m->norm[i] = wk_module_add(base, norms[i], wk_nn_layer_norm(WK_DIMS(width), norm));
    for (int i = 0; i < blocks; i++) m->drop[i] = wk_module_add(base, drops[i], wk_nn_dropout(p));
    return wk__finished(base);
}
wk_module *wk_nn_transformer_encoder_layer(int64_t width, int64_t heads, wk_nn_transformer_opts opts) {
    return make_layer(false, width, heads, opts);
}
wk_module *wk_nn_transformer_decoder_layer(int64_t width, int64_t heads, wk_nn_transformer_opts opts) {
    return make_layer(true, width, heads, opts);
}

/* ---- stacks ---- */

typedef struct stack {
    wk_module base;
    wk_module *layers, *norm;
} stack;

static wk_status stack_args(wk_module *self, const wk_args *in, wk_args *out) {
    const stack *m = (stack *)self;
    wk_args next = *in;
    for (int i = 0; i < wk_module_count(m->layers); i++) {
        WK_TRY(wk_forward_args(wk_module_child(m->layers, i), &next, out));
        next.slot[0].tensor = out->slot[0].tensor;
    }
    wk_tensor *y = next.slot[0].tensor;
    if (m->norm) y = wk_forward(m->norm, y);
    *out = (wk_args){ .count = 1, .slot = { { NULL, y } } };
    return y ? WK_OK : wk_error_code();
}
static const wk_module_class encoder_class = { .name = "TransformerEncoder",
                                               .size = sizeof(stack),
                                               .forward_args = stack_args };
static const wk_module_class decoder_class = { .name = "TransformerDecoder",
                                               .size = sizeof(stack),
                                               .forward_args = stack_args };

/* Layers are drawn once: PyTorch copies the first one. */
static wk_module *copies(bool decodes, int64_t width, int64_t heads, int count, wk_nn_transformer_opts opts) {
    wk_module *list = wk_nn_module_list_of(NULL, 0);
    wk_generator after = { 0 };
    for (int i = 0; i < count && !wk_failed(); i++) {
        wk_module *one = wk_module_append(list, make_layer(decodes, width, heads, opts));
        if (i == 0) after = *wk_default_generator();
        if (i == 0 || !one) continue;
        wk_named_tensors from = wk_parameters(wk_module_child(list, 0)), to = wk_parameters(one);
        for (int k = 0; k < to.count; k++)
            memcpy(to.tensor[k]->data, from.tensor[k]->data, (size_t)to.tensor[k]->count * sizeof(float));
    }
    if (count > 0 && !wk_failed()) *wk_default_generator() = after;
    if (!wk_failed()) return list;
    wk_module_destroy(list);
    return NULL;
}

static wk_module *make_stack(bool decodes, int64_t width, int64_t heads, int count, wk_nn_transformer_opts opts,
                             wk_module *norm) {
    const wk_module_class *class_ = decodes ? &decoder_class : &encoder_class;
    stack *m =
        wk_failed() || !wk__positive(class_->name, "num_layers", count) ? NULL : (stack *)wk_module_create(class_);
    if (!m) {
        wk_module_destroy(norm);
        return NULL;
    }
    m->layers = wk_module_add(&m->base, "layers", copies(decodes, width, heads, count, opts));
    if (norm) m->norm = wk_module_add(&m->base, "norm", norm);
    return wk__finished(&m->base);
}
wk_module *wk_nn_transformer_encoder(int64_t width, int64_t heads, int count, wk_nn_transformer_opts opts,
                                     wk_module *norm) {
    return make_stack(false, width, heads, count, opts, norm);
}
wk_module *wk_nn_transformer_decoder(int64_t width, int64_t heads, int count, wk_nn_transformer_opts opts,
                                     wk_module *norm) {
    return make_stack(true, width, heads, count, opts, norm);
}

wk_tensor *wk_nn_transform(wk_module *module, wk_tensor *x, wk_tensor *memory, wk_transform_opts opts) {
    wk_args in = { .count = 1, .slot = { { NULL, x } } }, out;
    const struct {
        const char *name;
        wk_tensor *tensor;
    } more[] = { { "memory", memory },
                 { "mask", opts.mask },
                 { "key_padding_mask", opts.key_padding_mask },
                 { "memory_mask", opts.memory_mask },
                 { "memory_key_padding_mask", opts.memory_key_padding_mask } };
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
        if (more[i].tensor) in.slot[in.count].name = more[i].name, in.slot[in.count++].tensor = more[i].tensor;
    return x && wk_forward_args(module, &in, &out) == WK_OK ? out.slot[0].tensor : NULL;
}

wk_tensor *wk_causal_mask(int64_t steps) {
    wk_tensor *at = wk_arange(steps);
    if (!at) return NULL;
    return wk_gt(wk_reshape(at, WK_DIMS(1, steps)), wk_reshape(at, WK_DIMS(steps, 1)));
}
