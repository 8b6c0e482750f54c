/* mobilenet_v2.c: inverted residuals.  Sandler, Howard, Zhu, Zhmoginov & Chen 2018, "MobileNetV2: inverted residuals
 * and linear bottlenecks"; as torchvision.models.mobilenet_v2.
 */
#include "models/models.h"

static wk_module *norm(int64_t channels) {
    return wk_nn_batch_norm2d(channels, (wk_nn_batch_norm_opts){ 0 });
}
/* A convolution that keeps the image's size but for its stride. */
static wk_module *conv(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t groups) {
    const wk_conv_opts opts = { .stride = { stride, stride }, .padding = { kernel / 2, kernel / 2 }, .groups = groups };
    return wk_nn_conv2d(in, out, kernel, (wk_nn_conv2d_opts){ .conv = opts, .no_bias = true });
}
static wk_module *conv_norm_relu6(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t groups) {
    return wk_nn_sequential(conv(in, out, kernel, stride, groups), norm(out), wk_nn_relu6());
}

/* ---- the block: widen by 1×1, filter each channel alone, narrow by 1×1 without an activation ---- */

typedef struct inverted_residual {
    wk_module base;
    wk_module *conv;
    bool adds_input;
} inverted_residual;

static wk_tensor *inverted_residual_forward(wk_module *self, wk_tensor *x) {
    const inverted_residual *b = (const inverted_residual *)self;
    wk_tensor *y = wk_forward(b->conv, x);
    return b->adds_input ? wk_add(x, y) : y;
}
static const wk_module_class inverted_residual_class = { .name = "InvertedResidual",
                                                         .size = sizeof(inverted_residual),
                                                         .forward = inverted_residual_forward,
                                                         .is_block = true };

static wk_module *make_inverted_residual(int64_t in, int64_t out, int64_t stride, int64_t expansion) {
    inverted_residual *b = (inverted_residual *)wk_module_create(&inverted_residual_class);
    if (!b) return NULL;
    const int64_t wide = in * expansion;
    wk_module *layers = wk_nn_sequential_of(NULL, 0);
    if (expansion != 1) (void)wk_module_append(layers, conv_norm_relu6(in, wide, 1, 1, 1));
    (void)wk_module_append(layers, conv_norm_relu6(wide, wide, 3, stride, wide));
    (void)wk_module_append(layers, conv(wide, out, 1, 1, 1));
    (void)wk_module_append(layers, norm(out));
    b->conv = wk_module_add(&b->base, "conv", layers);
    b->adds_input = stride == 1 && in == out;
    return &b->base;
}

/* ---- the network ---- */

typedef struct mobilenet {
    wk_module base;
    wk_module *features, *classifier;
} mobilenet;

static wk_tensor *mobilenet_forward(wk_module *self, wk_tensor *x) {
    const mobilenet *m = (const mobilenet *)self;
    x = wk_adaptive_avg_pool2d(wk_forward(m->features, x), (wk_adaptive_pool_opts){ { 1, 1 } });
    return wk_forward(m->classifier, wk_flatten(x, 1));
}
static const wk_module_class mobilenet_class = { .name = "MobileNetV2",
                                                 .size = sizeof(mobilenet),
                                                 .forward = mobilenet_forward };

/* The multiple of 8 nearest to a number of channels, at least 8 and not more than a tenth below it. */
static int64_t rounded(double channels) {
    int64_t nearest = (int64_t)(channels + 4) / 8 * 8;
    if (nearest < 8) nearest = 8;
    return (double)nearest < 0.9 * channels ? nearest + 8 : nearest;
}

/* Table 2 of the paper. */
static const struct {
    int expansion, channels, repeats, stride;
} stages[] = { { 1, 16, 1, 1 }, { 6, 24, 2, 2 },  { 6, 32, 3, 2 }, { 6, 64, 4, 2 },
               { 6, 96, 3, 1 }, { 6, 160, 3, 2 }, { 6, 320, 1, 1 } };

static wk_module *make_features(int64_t in_channels, double width, int64_t last) {
    int64_t in = rounded(32 * width);
    wk_module *features = wk_nn_sequential(conv_norm_relu6(in_channels, in, 3, 2, 1));
    for (size_t s = 0; s < WK_COUNT(stages); s++) {
        const int64_t out = rounded(stages[s].channels * width);
        for (int i = 0; i < stages[s].repeats; i++, in = out)
            (void)wk_module_append(features,
                                   make_inverted_residual(in, out, i ? 1 : stages[s].stride, stages[s].expansion));
    }
    (void)wk_module_append(features, conv_norm_relu6(in, last, 1, 1, 1));
    return features;
}

/* Batch normalisation begins with ones and zeros as it is. */
static void initialise(void *context, wk_module *m) {
    (void)context;
    if (wk__is(m, "Conv2d")) {
        (void)wk_init_kaiming_normal(wk__own(m, "weight"), (wk_kaiming_opts){ .fan_out = true });
    } else if (wk__is(m, "Linear")) {
        (void)wk_init_normal(wk__own(m, "weight"), 0, 0.01);
        (void)wk_init_zeros(wk__own(m, "bias"));
    }
}

wk_module *wk_mobilenet_v2(wk_mobilenet_v2_opts opts) {
    const char *who = "wk_mobilenet_v2";
    const int64_t in = wk__or(opts.in_channels, 3), classes = wk__or(opts.classes, 1000);
    const double width = opts.width_mult == 0 ? 1 : opts.width_mult, dropout = wk_optional_or(opts.dropout, 0.2);
    if (wk_failed() || !wk__size_fits(who, "in_channels", in, 1) || !wk__size_fits(who, "classes", classes, 1)
        || !wk__probability_fits(who, "dropout", dropout))
        return NULL;
    if (!(width > 0 && width <= 1000))
        return wk_fail_null(WK_INVALID, "%s: width_mult is %g, expected more than 0 and at most 1000", who, width);
    mobilenet *m = (mobilenet *)wk_module_create(&mobilenet_class);
    if (!m) return NULL;
    const int64_t last = rounded(1280 * (width > 1 ? width : 1));
    m->features = wk_module_add(&m->base, "features", make_features(in, width, last));
    m->classifier =
        wk_module_add(&m->base, "classifier",
                      wk_nn_sequential(wk_nn_dropout(dropout), wk_nn_linear(last, classes, (wk_layer_opts){ 0 })));
    wk_module_apply(&m->base, initialise, NULL);
    return wk__finished(&m->base);
}
