/* resnet.c: residual networks.  He, Zhang, Ren & Sun 2015, "Deep residual learning for image recognition"; as
 * torchvision.models.resnet, whose Bottleneck takes the stride in its 3×3 convolution ("v1.5") where the paper takes it
 * in the first 1×1.
 */
#include "models/models.h"

static wk_module *conv(int64_t in, int64_t out, int64_t kernel, int64_t stride) {
    const wk_conv_opts opts = { .stride = { stride, stride }, .padding = { kernel / 2, kernel / 2 } };
    return wk_nn_conv2d(in, out, kernel, (wk_nn_conv2d_opts){ .conv = opts, .no_bias = true });
}
static wk_module *norm(int64_t channels) {
    return wk_nn_batch_norm2d(channels, (wk_nn_batch_norm_opts){ 0 });
}

/* ---- blocks: relu(x + f(x)), or relu(downsample(x) + f(x)) where f changes the size ---- */

typedef struct block {
    wk_module base;
    wk_module *conv1, *bn1, *conv2, *bn2, *conv3, *bn3; /* the last two: of a bottleneck */
    wk_module *downsample;                              /* or NULL */
} block;

static wk_tensor *shortcut(const block *b, wk_tensor *x) {
    return b->downsample ? wk_forward(b->downsample, x) : x;
}

static wk_tensor *basic_forward(wk_module *self, wk_tensor *x) {
    const block *b = (const block *)self;
    wk_tensor *y = wk_forward_activated(b->conv1, b->bn1, x, WK_ACTIVATION_RELU);
    y = wk_forward_activated(b->conv2, b->bn2, y, WK_ACTIVATION_NONE);
    return wk_relu(wk_add(y, shortcut(b, x)));
}
static wk_tensor *bottleneck_forward(wk_module *self, wk_tensor *x) {
    const block *b = (const block *)self;
    wk_tensor *y = wk_forward_activated(b->conv1, b->bn1, x, WK_ACTIVATION_RELU);
    y = wk_forward_activated(b->conv2, b->bn2, y, WK_ACTIVATION_RELU);
    y = wk_forward_activated(b->conv3, b->bn3, y, WK_ACTIVATION_NONE);
    return wk_relu(wk_add(y, shortcut(b, x)));
}
static wk_status block_freeze(wk_module *self, const wk_freeze_opts *opts) {
    const block *b = (const block *)self;
    (void)opts;
    WK_TRY(wk_module_fold(b->conv1, b->bn1));
    WK_TRY(wk_module_fold(b->conv2, b->bn2));
    return b->conv3 ? wk_module_fold(b->conv3, b->bn3) : WK_OK;
}
static const wk_module_class basic_class = {
    .name = "BasicBlock", .size = sizeof(block), .forward = basic_forward, .freeze = block_freeze, .is_block = true
};
static const wk_module_class bottleneck_class = {
    .name = "Bottleneck", .size = sizeof(block), .forward = bottleneck_forward, .freeze = block_freeze, .is_block = true
};

/* A block from `in` channels to expansion · width. */
static wk_module *make_block(bool bottleneck, int64_t in, int64_t width, int64_t stride, bool zero_last) {
    const int64_t out = bottleneck ? 4 * width : width;
    block *b = (block *)wk_module_create(bottleneck ? &bottleneck_class : &basic_class);
    if (!b) return NULL;
    wk_module *self = &b->base;
    b->conv1 = wk_module_add(self, "conv1", bottleneck ? conv(in, width, 1, 1) : conv(in, width, 3, stride));
    b->bn1 = wk_module_add(self, "bn1", norm(width));
    b->conv2 = wk_module_add(self, "conv2", bottleneck ? conv(width, width, 3, stride) : conv(width, width, 3, 1));
    b->bn2 = wk_module_add(self, "bn2", norm(width));
    if (bottleneck) {
        b->conv3 = wk_module_add(self, "conv3", conv(width, out, 1, 1));
        b->bn3 = wk_module_add(self, "bn3", norm(out));
    }
    if (stride != 1 || in != out)
        b->downsample = wk_module_add(self, "downsample", wk_nn_sequential(conv(in, out, 1, stride), norm(out)));
    wk_module *last = bottleneck ? b->bn3 : b->bn2;
    if (zero_last && last) (void)wk_init_zeros(wk__own(last, "weight"));
    return self;
}

/* ---- the network ---- */

typedef struct resnet {
    wk_module base;
    wk_module *conv1, *bn1, *maxpool, *layer[4], *avgpool, *fc;
} resnet;

static wk_tensor *resnet_forward(wk_module *self, wk_tensor *x) {
    const resnet *m = (const resnet *)self;
    x = wk_forward_activated(m->conv1, m->bn1, x, WK_ACTIVATION_RELU);
    x = wk_forward(m->maxpool, x);
    for (int i = 0; i < 4; i++) x = wk_forward(m->layer[i], x);
    x = wk_forward(m->avgpool, x);
    return wk_forward(m->fc, wk_flatten(x, 1));
}
static wk_status resnet_freeze(wk_module *self, const wk_freeze_opts *opts) {
    const resnet *m = (const resnet *)self;
    (void)opts;
    return wk_module_fold(m->conv1, m->bn1);
}
static const wk_module_class resnet_class = {
    .name = "ResNet", .size = sizeof(resnet), .forward = resnet_forward, .freeze = resnet_freeze
};

static const struct shape {
    int64_t depth;
    bool bottleneck;
    int blocks[4];
} shapes[] = {
    { 18, false, { 2, 2, 2, 2 } },  { 34, false, { 3, 4, 6, 3 } },  { 50, true, { 3, 4, 6, 3 } },
    { 101, true, { 3, 4, 23, 3 } }, { 152, true, { 3, 8, 36, 3 } },
};

static const struct shape *shape_of(int64_t depth) {
    for (size_t i = 0; i < WK_COUNT(shapes); i++)
        if (shapes[i].depth == depth) return &shapes[i];
    return wk_fail_null(WK_INVALID, "wk_resnet: depth is %lld, expected 18, 34, 50, 101 or 152", (long long)depth);
}

/* Blocks of one width; the first of them changes the size. */
static wk_module *make_layer(const struct shape *shape, int number, int64_t *channels, bool zero_last) {
    const int64_t width = 64 << number;
    wk_module *layer = wk_nn_sequential_of(NULL, 0);
    for (int i = 0; i < shape->blocks[number]; i++) {
        const int64_t stride = i == 0 && number > 0 ? 2 : 1;
        (void)wk_module_append(layer, make_block(shape->bottleneck, *channels, width, stride, zero_last));
        *channels = shape->bottleneck ? 4 * width : width;
    }
    return layer;
}

/* Batch normalisation begins with ones and zeros as it is, Linear keeps its own values. */
static void initialise(void *context, wk_module *m) {
    (void)context;
    if (wk__is(m, "Conv2d"))
        (void)wk_init_kaiming_normal(wk__own(m, "weight"),
                                     (wk_kaiming_opts){ .fan_out = true, .nonlinearity = WK_NONLINEARITY_RELU });
}

wk_module *wk_resnet(wk_resnet_opts opts) {
    static const char *const names[] = { "layer1", "layer2", "layer3", "layer4" };
    const int64_t in = wk__or(opts.in_channels, 3), classes = wk__or(opts.classes, 1000);
    if (wk_failed() || !wk__size_fits("wk_resnet", "in_channels", in, 1)
        || !wk__size_fits("wk_resnet", "classes", classes, 1))
        return NULL;
    const struct shape *shape = shape_of(wk__or(opts.depth, 50));
    resnet *m = shape ? (resnet *)wk_module_create(&resnet_class) : NULL;
    if (!m) return NULL;
    const wk_pool_opts pool = { .kernel = { 3, 3 }, .stride = { 2, 2 }, .padding = { 1, 1 } };
    int64_t channels = 64;
    m->conv1 =
        wk_module_add(&m->base, "conv1", opts.small_images ? conv(in, channels, 3, 1) : conv(in, channels, 7, 2));
    m->bn1 = wk_module_add(&m->base, "bn1", norm(channels));
    m->maxpool = wk_module_add(&m->base, "maxpool", opts.small_images ? wk_nn_identity() : wk_nn_max_pool2d(pool));
    for (int i = 0; i < 4; i++)
        m->layer[i] = wk_module_add(&m->base, names[i], make_layer(shape, i, &channels, opts.zero_init_residual));
    m->avgpool = wk_module_add(&m->base, "avgpool", wk_nn_adaptive_avg_pool2d((wk_adaptive_pool_opts){ { 1, 1 } }));
    m->fc = wk_module_add(&m->base, "fc", wk_nn_linear(channels, classes, (wk_layer_opts){ 0 }));
    wk_module_apply(&m->base, initialise, NULL);
    return wk__finished(&m->base);
}
