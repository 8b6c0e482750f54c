/* vit.c: the Vision Transformer (Dosovitskiy et al. 2020), as torchvision builds it.
 *
 * An image is cut into patches; each becomes a token by one layer (a convolution whose stride is its kernel), a learnt
 * token comes before them, and what the encoder makes of that one is classified.
 */
#include "models/models.h"

#include <math.h>

/* ---- one layer of the encoder: attention and an MLP, each on normalised input and added to it ---- */

typedef struct encoder_block {
    wk_module base;
    wk_module *ln_1, *self_attention, *dropout, *ln_2, *mlp;
} encoder_block;

/* x (N, S, E) */
static wk_tensor *encoder_block_forward(wk_module *self, wk_tensor *x) {
    const encoder_block *m = (encoder_block *)self;
    wk_tensor *attended = wk_forward(m->self_attention, wk_forward(m->ln_1, x));
    x = wk_add(x, wk_forward(m->dropout, attended));
    return wk_add(x, wk_forward(m->mlp, wk_forward(m->ln_2, x)));
}
static const wk_module_class encoder_block_class = {
    .name = "EncoderBlock", .size = sizeof(encoder_block), .forward = encoder_block_forward, .is_block = true
};

static wk_module *layer_norm(int64_t width) {
    return wk_nn_layer_norm(WK_DIMS(width), (wk_nn_norm_opts){ .eps = WK_SET(1e-6) });
}

/* Children "0" and "3" are the layers. */
static wk_module *mlp_block(const wk_vit_opts *o) {
    const wk_layer_opts plain = { 0 };
    wk_module *mlp =
        wk_nn_sequential(wk_nn_linear(o->width, o->feedforward, plain), wk_nn_gelu(), wk_nn_dropout(o->dropout),
                         wk_nn_linear(o->feedforward, o->width, plain), wk_nn_dropout(o->dropout));
    static const char *const layers[][2] = { { "0.weight", "0.bias" }, { "3.weight", "3.bias" } };
    for (int i = 0; i < 2; i++) {
        (void)wk_init_xavier_uniform(wk_module_tensor(mlp, layers[i][0]), 1);
        (void)wk_init_normal(wk_module_tensor(mlp, layers[i][1]), 0, 1e-6);
    }
    return mlp;
}

static wk_module *encoder_block_create(const wk_vit_opts *o) {
    encoder_block *m = (encoder_block *)wk_module_create(&encoder_block_class);
    if (!m) return NULL;
    const wk_nn_attention_opts attention = { .dropout = o->attention_dropout, .batch_first = true };
    m->ln_1 = wk_module_add(&m->base, "ln_1", layer_norm(o->width));
    m->self_attention =
        wk_module_add(&m->base, "self_attention", wk_nn_multihead_attention(o->width, o->heads, attention));
    m->dropout = wk_module_add(&m->base, "dropout", wk_nn_dropout(o->dropout));
    m->ln_2 = wk_module_add(&m->base, "ln_2", layer_norm(o->width));
    m->mlp = wk_module_add(&m->base, "mlp", mlp_block(o));
    return wk__finished(&m->base);
}

/* ---- the encoder ---- */

typedef struct encoder {
    wk_module base;
    wk_tensor *pos_embedding; /* (1, S, E) */
    wk_module *dropout, *layers, *ln;
} encoder;

static wk_tensor *encoder_forward(wk_module *self, wk_tensor *x) {
    const encoder *m = (encoder *)self;
    x = wk_forward(m->dropout, wk_add(x, m->pos_embedding));
    return wk_forward(m->ln, wk_forward(m->layers, x));
}
static const wk_module_class encoder_class = { .name = "Encoder", .size = sizeof(encoder), .forward = encoder_forward };

static wk_module *encoder_create(int64_t tokens, const wk_vit_opts *o) {
    encoder *m = (encoder *)wk_module_create(&encoder_class);
    if (!m) return NULL;
    m->pos_embedding =
        wk_module_add_parameter(&m->base, "pos_embedding", wk_kept_zeros(WK_F32, WK_DIMS(1, tokens, o->width)));
    (void)wk_init_normal(m->pos_embedding, 0, 0.02);
    m->dropout = wk_module_add(&m->base, "dropout", wk_nn_dropout(o->dropout));
    m->layers = wk_module_add(&m->base, "layers", wk_nn_sequential_of(NULL, 0));
    for (int64_t i = 0; i < o->layers && !wk_failed(); i++) {
        char name[40];
        (void)snprintf(name, sizeof name, "encoder_layer_%lld", (long long)i);
        (void)wk_module_add(m->layers, name, encoder_block_create(o));
    }
    m->ln = wk_module_add(&m->base, "ln", layer_norm(o->width));
    return wk__finished(&m->base);
}

/* ---- the network ---- */

typedef struct vit {
    wk_module base;
    wk_tensor *class_token; /* (1, 1, E) */
    wk_module *conv_proj, *encoder, *heads;
    int64_t image, channels, width;
} vit;

static wk_tensor *vit_forward(wk_module *self, wk_tensor *x) {
    const vit *m = (vit *)self;
    char text[160];
    if (wk_rank(x) != 4 || wk_size(x, 1) != m->channels || wk_size(x, 2) != m->image || wk_size(x, 3) != m->image)
        return wk_fail_null(WK_SHAPE, "VisionTransformer (layer \"%s\"): x %s, expected (N, %lld, %lld, %lld)",
                            self->path, wk_describe(x, text, sizeof text), (long long)m->channels, (long long)m->image,
                            (long long)m->image);
    wk_tensor *patches = wk_transpose(wk_flatten(wk_forward(m->conv_proj, x), 2), 1, 2); /* (N, S, E) */
    wk_tensor *first = wk_expand(m->class_token, WK_DIMS(wk_size(x, 0), 1, m->width));
    wk_tensor *encoded = wk_forward(m->encoder, wk_concat((wk_tensor *[]){ first, patches }, 2, 1));
    return wk_forward(m->heads, wk_select(encoded, 1, 0));
}
static const wk_module_class vit_class = { .name = "VisionTransformer", .size = sizeof(vit), .forward = vit_forward };

static void init_truncated(wk_module *layer, int64_t fan_in) {
    (void)wk_init_truncated_normal(wk_module_tensor(layer, "weight"), 0, sqrt(1 / (double)fan_in), -2, 2);
    (void)wk_init_zeros(wk_module_tensor(layer, "bias"));
}

/* "head", or "pre_logits", "act" and "head". */
static wk_module *heads_create(const wk_vit_opts *o) {
    const wk_layer_opts plain = { 0 };
    const int64_t features = wk__or(o->representation, o->width);
    wk_module *heads = wk_nn_sequential_of(NULL, 0);
    if (o->representation) {
        (void)wk_module_add(heads, "pre_logits", wk_nn_linear(o->width, features, plain));
        (void)wk_module_add(heads, "act", wk_nn_tanh());
    }
    (void)wk_module_add(heads, "head", wk_nn_linear(features, o->classes, plain));
    return heads;
}

/* Drawn last, as by torchvision. */
static void init_ends(const vit *m, const wk_vit_opts *o) {
    init_truncated(m->conv_proj, o->channels * o->patch * o->patch);
    if (o->representation) init_truncated(wk_module_child(m->heads, 0), o->width);
    (void)wk_init_zeros(wk_module_tensor(m->heads, "head.weight"));
    (void)wk_init_zeros(wk_module_tensor(m->heads, "head.bias"));
}

static bool fill_in(wk_vit_opts *o) {
    static const struct {
        int64_t patch, layers, heads, width, feedforward;
    } sizes[] = { [WK_VIT_B_16] = { 16, 12, 12, 768, 3072 },
                  [WK_VIT_B_32] = { 32, 12, 12, 768, 3072 },
                  [WK_VIT_L_16] = { 16, 24, 16, 1024, 4096 },
                  [WK_VIT_L_32] = { 32, 24, 16, 1024, 4096 },
                  [WK_VIT_H_14] = { 14, 32, 16, 1280, 5120 } };
    if ((unsigned)o->size >= WK_COUNT(sizes))
        return wk_fail(WK_INVALID, "wk_vit: size is %d, expected one of wk_vit_size", (int)o->size), false;
    o->patch = wk__or(o->patch, sizes[o->size].patch);
    o->layers = wk__or(o->layers, sizes[o->size].layers);
    o->heads = wk__or(o->heads, sizes[o->size].heads);
    o->width = wk__or(o->width, sizes[o->size].width);
    o->feedforward = wk__or(o->feedforward, sizes[o->size].feedforward);
    o->image = wk__or(o->image, 224);
    o->channels = wk__or(o->channels, 3);
    o->classes = wk__or(o->classes, 1000);
    if (!wk__transformer_fits("wk_vit", o->layers, o->heads, o->width) || !wk__size_fits("wk_vit", "image", o->image, 1)
        || !wk__size_fits("wk_vit", "patch", o->patch, 1) || !wk__size_fits("wk_vit", "channels", o->channels, 1)
        || !wk__size_fits("wk_vit", "classes", o->classes, 1)
        || !wk__size_fits("wk_vit", "feedforward", o->feedforward, 1)
        || !wk__size_fits("wk_vit", "representation", o->representation, 0)
        || !wk__probability_fits("wk_vit", "dropout", o->dropout)
        || !wk__probability_fits("wk_vit", "attention_dropout", o->attention_dropout))
        return false;
    if (o->image % o->patch)
        (void)wk_fail(WK_INVALID, "wk_vit: an image of %lld pixels is no whole number of patches of %lld",
                      (long long)o->image, (long long)o->patch);
    return !wk_failed();
}

wk_module *wk_vit(wk_vit_opts opts) {
    if (wk_failed() || !fill_in(&opts)) return NULL;
    vit *m = (vit *)wk_module_create(&vit_class);
    if (!m) return NULL;
    const int64_t across = opts.image / opts.patch;
    const wk_nn_conv2d_opts cut = { .conv = { .stride = { opts.patch, opts.patch } } };
    m->image = opts.image, m->channels = opts.channels, m->width = opts.width;
    m->conv_proj = wk_module_add(&m->base, "conv_proj", wk_nn_conv2d(opts.channels, opts.width, opts.patch, cut));
    m->class_token = wk_module_add_parameter(&m->base, "class_token", wk_kept_zeros(WK_F32, WK_DIMS(1, 1, opts.width)));
    m->encoder = wk_module_add(&m->base, "encoder", encoder_create(across * across + 1, &opts));
    m->heads = wk_module_add(&m->base, "heads", heads_create(&opts));
    init_ends(m, &opts);
    return wk__finished(&m->base);
}
