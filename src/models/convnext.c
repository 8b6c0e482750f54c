/* convnext.c: convolutions after the pattern of transformers.  Liu, Mao, Wu, Feichtenhofer, Darrell & Xie 2022, "A
 * ConvNet for the 2020s"; as torchvision.models.convnext.
 */
#include "models/models.h"

static wk_module *conv(int64_t in, int64_t out, int64_t kernel, wk_conv_opts opts) {
    return wk_nn_conv2d(in, out, kernel, (wk_nn_conv2d_opts){ .conv = opts });
}

/* ---- Permute, LayerNorm2d: between channels as the second axis, for convolutions, and as the last ---- */

typedef struct permute {
    wk_module base;
    wk_dims order;
} permute;
static wk_tensor *permute_forward(wk_module *self, wk_tensor *x) {
    return wk_permute(x, ((const permute *)self)->order);
}
static void permute_describe(const wk_module *self, char *buffer, size_t size) {
    const int64_t *axis = ((const permute *)self)->order.size;
    (void)snprintf(buffer, size, "%d, %d, %d, %d", (int)axis[0], (int)axis[1], (int)axis[2], (int)axis[3]);
}
static const wk_module_class permute_class = {
    .name = "Permute", .size = sizeof(permute), .forward = permute_forward, .describe = permute_describe
};
static wk_module *make_permute(wk_dims order) {
    permute *m = (permute *)wk_module_create(&permute_class);
    if (m) m->order = order;
    return m ? &m->base : NULL;
}

static const wk_dims channels_last = { 4, { 0, 2, 3, 1 } }, channels_second = { 4, { 0, 3, 1, 2 } };
static const wk_optional eps = { true, 1e-6 };

typedef struct layer_norm2d {
    wk_module base;
    wk_tensor *weight, *bias; /* (C) */
} layer_norm2d;
static wk_tensor *layer_norm2d_forward(wk_module *self, wk_tensor *x) {
    const layer_norm2d *m = (const layer_norm2d *)self;
    x = wk_layer_norm(wk_permute(x, channels_last), m->weight, m->bias, (wk_layer_norm_opts){ .eps = eps });
    return wk_permute(x, channels_second);
}
static const wk_module_class layer_norm2d_class = { .name = "LayerNorm2d",
                                                    .size = sizeof(layer_norm2d),
                                                    .forward = layer_norm2d_forward };
static wk_module *make_layer_norm2d(int64_t channels) {
    layer_norm2d *m = (layer_norm2d *)wk_module_create(&layer_norm2d_class);
    if (!m) return NULL;
    const wk_dims dims = WK_DIMS(channels);
    m->weight = wk_module_add_parameter(&m->base, "weight", wk_init_ones(wk_kept_zeros(WK_F32, dims)));
    m->bias = wk_module_add_parameter(&m->base, "bias", wk_kept_zeros(WK_F32, dims));
    return &m->base;
}

/* ---- the block: filter each channel alone, then mix channels as a transformer's feed-forward layer does ---- */

typedef struct cn_block {
    wk_module base;
    wk_tensor *layer_scale; /* (C, 1, 1) */
    wk_module *block, *stochastic_depth;
} cn_block;

static wk_tensor *cn_block_forward(wk_module *self, wk_tensor *x) {
    const cn_block *b = (const cn_block *)self;
    wk_tensor *y = wk_mul(b->layer_scale, wk_forward(b->block, x));
    return wk_add(wk_forward(b->stochastic_depth, y), x);
}
static const wk_module_class cn_block_class = {
    .name = "CNBlock", .size = sizeof(cn_block), .forward = cn_block_forward, .is_block = true
};

static wk_module *make_cn_block(int64_t dim, double layer_scale, double drop) {
    cn_block *b = (cn_block *)wk_module_create(&cn_block_class);
    if (!b) return NULL;
    const wk_conv_opts each_channel = { .padding = { 3, 3 }, .groups = dim };
    const wk_layer_opts plain = { 0 };
    wk_tensor *scale = wk_init_constant(wk_kept_zeros(WK_F32, WK_DIMS(dim, 1, 1)), layer_scale);
    b->layer_scale = wk_module_add_parameter(&b->base, "layer_scale", scale);
    b->block = wk_module_add(&b->base, "block",
                             wk_nn_sequential(conv(dim, dim, 7, each_channel), make_permute(channels_last),
                                              wk_nn_layer_norm(WK_DIMS(dim), (wk_nn_norm_opts){ .eps = eps }),
                                              wk_nn_linear(dim, 4 * dim, plain), wk_nn_gelu(),
                                              wk_nn_linear(4 * dim, dim, plain), make_permute(channels_second)));
    b->stochastic_depth = wk_module_add(&b->base, "stochastic_depth", wk_nn_stochastic_depth(drop));
    return &b->base;
}

/* ---- the network ---- */

typedef struct convnext {
    wk_module base;
    wk_module *features, *avgpool, *classifier;
} convnext;

static wk_tensor *convnext_forward(wk_module *self, wk_tensor *x) {
    const convnext *m = (const convnext *)self;
    x = wk_forward(m->avgpool, wk_forward(m->features, x));
    return wk_forward(m->classifier, x);
}
static const wk_module_class convnext_class = { .name = "ConvNeXt",
                                                .size = sizeof(convnext),
                                                .forward = convnext_forward };

static const struct shape {
    int64_t depths[4], dims[4];
    double drop;
} shapes[] = {
    [WK_CONVNEXT_TINY] = { { 3, 3, 9, 3 }, { 96, 192, 384, 768 }, 0.1 },
    [WK_CONVNEXT_SMALL] = { { 3, 3, 27, 3 }, { 96, 192, 384, 768 }, 0.4 },
    [WK_CONVNEXT_BASE] = { { 3, 3, 27, 3 }, { 128, 256, 512, 1024 }, 0.5 },
    [WK_CONVNEXT_LARGE] = { { 3, 3, 27, 3 }, { 192, 384, 768, 1536 }, 0.5 },
};

/* The shape of a size, with the numbers that were given in place of its own. */
static bool choose_shape(const char *who, const wk_convnext_opts *opts, struct shape *shape) {
    if (opts->size < 0 || opts->size >= (int)WK_COUNT(shapes)) {
        (void)wk_fail(WK_INVALID, "%s: size is %d, expected one of wk_convnext_size", who, opts->size);
        return false;
    }
    *shape = shapes[opts->size];
    for (int i = 0; i < 4; i++) {
        shape->depths[i] = wk__or(opts->depths[i], shape->depths[i]);
        shape->dims[i] = wk__or(opts->dims[i], shape->dims[i]);
        if (!wk__size_fits(who, "depths", shape->depths[i], 1) || !wk__size_fits(who, "dims", shape->dims[i], 1))
            return false;
        if (shape->depths[i] > 1000) {
            (void)wk_fail(WK_INVALID, "%s: depths is %lld, expected 1 to 1000", who, (long long)shape->depths[i]);
            return false;
        }
    }
    shape->drop = wk_optional_or(opts->stochastic_depth, shape->drop);
    return wk__probability_fits(who, "stochastic_depth", shape->drop);
}

/* Later blocks are dropped more often, the first never. */
static wk_module *make_features(int64_t in, const struct shape *shape, double layer_scale) {
    const int64_t *depths = shape->depths, *dims = shape->dims;
    const int64_t blocks = depths[0] + depths[1] + depths[2] + depths[3];
    const wk_conv_opts fourth = { .stride = { 4, 4 } }, half = { .stride = { 2, 2 } };
    wk_module *features = wk_nn_sequential(wk_nn_sequential(conv(in, dims[0], 4, fourth), make_layer_norm2d(dims[0])));
    int64_t number = 0;
    for (int i = 0; i < 4 && !wk_failed(); i++) {
        wk_module *stage = wk_nn_sequential_of(NULL, 0);
        for (int64_t k = 0; k < depths[i] && !wk_failed(); k++, number++) {
            const double drop = shape->drop * (double)number / (double)(blocks - 1);
            (void)wk_module_append(stage, make_cn_block(dims[i], layer_scale, drop));
        }
        (void)wk_module_append(features, stage);
        if (i < 3)
            (void)wk_module_append(features,
                                   wk_nn_sequential(make_layer_norm2d(dims[i]), conv(dims[i], dims[i + 1], 2, half)));
    }
    return features;
}

static void initialise(void *context, wk_module *m) {
    (void)context;
    if (!wk__is(m, "Conv2d") && !wk__is(m, "Linear")) return;
    (void)wk_init_truncated_normal(wk__own(m, "weight"), 0, 0.02, -2, 2);
    (void)wk_init_zeros(wk__own(m, "bias"));
}

wk_module *wk_convnext(wk_convnext_opts opts) {
    const char *who = "wk_convnext";
    const int64_t in = wk__or(opts.in_channels, 3), classes = wk__or(opts.classes, 1000);
    struct shape shape;
    if (wk_failed() || !wk__size_fits(who, "in_channels", in, 1) || !wk__size_fits(who, "classes", classes, 1)
        || !choose_shape(who, &opts, &shape))
        return NULL;
    convnext *m = (convnext *)wk_module_create(&convnext_class);
    if (!m) return NULL;
    m->features =
        wk_module_add(&m->base, "features", make_features(in, &shape, wk_optional_or(opts.layer_scale, 1e-6)));
    m->avgpool = wk_module_add(&m->base, "avgpool", wk_nn_adaptive_avg_pool2d((wk_adaptive_pool_opts){ { 1, 1 } }));
    m->classifier = wk_module_add(&m->base, "classifier",
                                  wk_nn_sequential(make_layer_norm2d(shape.dims[3]), wk_nn_flatten(),
                                                   wk_nn_linear(shape.dims[3], classes, (wk_layer_opts){ 0 })));
    wk_module_apply(&m->base, initialise, NULL);
    return wk__finished(&m->base);
}
