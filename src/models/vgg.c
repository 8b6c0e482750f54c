/* vgg.c: plain deep convolutions.  Simonyan & Zisserman 2014, "Very deep convolutional networks for large-scale image
 * recognition", configurations A, B, D and E; as torchvision.models.vgg.
 */
#include "models/models.h"

typedef struct vgg {
    wk_module base;
    wk_module *features, *avgpool, *classifier;
} vgg;

static wk_tensor *vgg_forward(wk_module *self, wk_tensor *x) {
    const vgg *m = (const vgg *)self;
    x = wk_forward(m->avgpool, wk_forward(m->features, x));
    return wk_forward(m->classifier, wk_flatten(x, 1));
}
static const wk_module_class vgg_class = { .name = "VGG", .size = sizeof(vgg), .forward = vgg_forward };

/* How many convolutions stand before each of the five poolings. */
static const struct {
    int64_t depth;
    int convolutions[5];
} configurations[] = {
    { 11, { 1, 1, 2, 2, 2 } },
    { 13, { 2, 2, 2, 2, 2 } },
    { 16, { 2, 2, 3, 3, 3 } },
    { 19, { 2, 2, 4, 4, 4 } },
};

static const int *configuration_of(int64_t depth) {
    for (size_t i = 0; i < WK_COUNT(configurations); i++)
        if (configurations[i].depth == depth) return configurations[i].convolutions;
    return wk_fail_null(WK_INVALID, "wk_vgg: depth is %lld, expected 11, 13, 16 or 19", (long long)depth);
}

static wk_module *make_features(const int convolutions[5], int64_t in, bool batch_norm) {
    static const int64_t widths[] = { 64, 128, 256, 512, 512 };
    const wk_nn_conv2d_opts padded = { .conv = { .padding = { 1, 1 } } };
    wk_module *features = wk_nn_sequential_of(NULL, 0);
    for (int stage = 0; stage < 5; stage++) {
        const int64_t out = widths[stage];
        for (int i = 0; i < convolutions[stage]; i++, in = out) {
            (void)wk_module_append(features, wk_nn_conv2d(in, out, 3, padded));
            if (batch_norm) (void)wk_module_append(features, wk_nn_batch_norm2d(out, (wk_nn_batch_norm_opts){ 0 }));
            (void)wk_module_append(features, wk_nn_relu());
        }
        (void)wk_module_append(features, wk_nn_max_pool2d((wk_pool_opts){ .kernel = { 2, 2 } }));
    }
    return features;
}

static void initialise(void *context, wk_module *m) {
    (void)context;
    if (wk__is(m, "Conv2d"))
        (void)wk_init_kaiming_normal(wk__own(m, "weight"),
                                     (wk_kaiming_opts){ .fan_out = true, .nonlinearity = WK_NONLINEARITY_RELU });
    else if (wk__is(m, "Linear"))
        (void)wk_init_normal(wk__own(m, "weight"), 0, 0.01);
    else
        return;
    (void)wk_init_zeros(wk__own(m, "bias"));
}

wk_module *wk_vgg(wk_vgg_opts opts) {
    const char *who = "wk_vgg";
    const int64_t channels = wk__or(opts.in_channels, 3), hidden = wk__or(opts.hidden, 4096),
                  classes = wk__or(opts.classes, 1000);
    const double dropout = wk_optional_or(opts.dropout, 0.5);
    if (wk_failed() || !wk__size_fits(who, "in_channels", channels, 1) || !wk__size_fits(who, "hidden", hidden, 1)
        || !wk__size_fits(who, "classes", classes, 1) || !wk__probability_fits(who, "dropout", dropout))
        return NULL;
    const int *convolutions = configuration_of(wk__or(opts.depth, 16));
    vgg *m = convolutions ? (vgg *)wk_module_create(&vgg_class) : NULL;
    if (!m) return NULL;
    const wk_layer_opts plain = { 0 };
    m->features = wk_module_add(&m->base, "features", make_features(convolutions, channels, opts.batch_norm));
    m->avgpool = wk_module_add(&m->base, "avgpool", wk_nn_adaptive_avg_pool2d((wk_adaptive_pool_opts){ { 7, 7 } }));
    m->classifier =
        wk_module_add(&m->base, "classifier",
                      wk_nn_sequential(wk_nn_linear(512 * 7 * 7, hidden, plain), wk_nn_relu(), wk_nn_dropout(dropout),
                                       wk_nn_linear(hidden, hidden, plain), wk_nn_relu(), wk_nn_dropout(dropout),
                                       wk_nn_linear(hidden, classes, plain)));
    wk_module_apply(&m->base, initialise, NULL);
    return wk__finished(&m->base);
}
