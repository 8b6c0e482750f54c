/* models.c: the models that come with Wick, by the names that a run's file gives them. */
#include "train/builtin.h"

#include "base/base.h"
#include "wick/models.h"

#include <float.h>
#include <string.h>

/* in_dim, out_dim, hidden_list: as many hidden layers as the list is long. */
static wk_module *build_listed_mlp(const wk_config *args) {
    enum { MOST_HIDDEN = 32 };
    int64_t widths[MOST_HIDDEN + 2] = { wk_config_int(args, "in_dim", 1, 1 << 24, 784) };
    const int hidden = wk_config_ints(args, "hidden_list", widths + 1, MOST_HIDDEN);
    widths[hidden + 1] = wk_config_int(args, "out_dim", 1, 1 << 20, 10);
    for (int i = 1; i <= hidden && !wk_failed(); i++)
        if (widths[i] < 1)
            (void)wk_config_fail(args, "hidden_list", "a width is %lld, expected at least 1", (long long)widths[i]);
    return wk_failed() ? NULL : wk_mlp_of(widths, hidden + 2);
}

static wk_module *build_mlp(const wk_config *args) {
    if (wk_config_has(args, "in_dim") || wk_config_has(args, "out_dim") || wk_config_has(args, "hidden_list"))
        return build_listed_mlp(args);
    const wk_mlp_opts opts = { .in_features = wk_config_int(args, "in_features", 1, 1 << 24, 784),
                               .hidden = wk_config_int(args, "hidden", 1, 1 << 20, 128),
                               .classes = wk_config_int(args, "classes", 1, 1 << 20, 10) };
    return wk_failed() ? NULL : wk_mlp(opts);
}

/* Two 3×3 convolutions, pooling, two linear layers, dropout between (`cnn` of the benchmarks): PyTorch's MNIST example.
 */
static wk_module *build_cnn(const wk_config *args) {
    int64_t channels = wk_config_int(args, "in_channels", 1, 1 << 16, 1),
            size = wk_config_int(args, "image_size", 6, 4096, 28);
    int64_t classes = wk_config_int(args, "classes", 1, 1 << 20, 10);
    bool drops = wk_config_bool(args, "dropout", true);
    if (wk_failed()) return NULL;
    wk_nn_conv2d_opts conv = { 0 };
    wk_layer_opts plain = { 0 };
    wk_pool_opts two = { .kernel = { 2, 2 } };
    int64_t side = (size - 4) / 2;
    return wk_nn_sequential(wk_nn_conv2d(channels, 32, 3, conv), wk_nn_relu(), wk_nn_conv2d(32, 64, 3, conv),
                            wk_nn_relu(), wk_nn_max_pool2d(two), wk_nn_dropout(drops ? 0.25 : 0), wk_nn_flatten(),
                            wk_nn_linear(64 * side * side, 128, plain), wk_nn_relu(), wk_nn_dropout(drops ? 0.5 : 0),
                            wk_nn_linear(128, classes, plain));
}

/* The same with batch normalisation in place of dropout. */
static wk_module *build_cnn_bn(const wk_config *args) {
    int64_t channels = wk_config_int(args, "in_channels", 1, 1 << 16, 1),
            size = wk_config_int(args, "image_size", 6, 4096, 28);
    int64_t classes = wk_config_int(args, "classes", 1, 1 << 20, 10);
    if (wk_failed()) return NULL;
    wk_nn_conv2d_opts conv = { .no_bias = true };
    wk_layer_opts plain = { 0 };
    const wk_nn_batch_norm_opts norm = { .eps = { 0 } };
    wk_pool_opts two = { .kernel = { 2, 2 } };
    int64_t side = ((size - 2) / 2 - 2) / 2;
    return wk_nn_sequential(wk_nn_conv2d(channels, 32, 3, conv), wk_nn_batch_norm2d(32, norm), wk_nn_relu(),
                            wk_nn_max_pool2d(two), wk_nn_conv2d(32, 64, 3, conv), wk_nn_batch_norm2d(64, norm),
                            wk_nn_relu(), wk_nn_max_pool2d(two), wk_nn_flatten(),
                            wk_nn_linear(64 * side * side, classes, plain));
}

/* Options of wk_lenet and the others: 0, and nothing, are the published network's. */
static int64_t size_of(const wk_config *args, const char *key) {
    return wk_config_int(args, key, 1, 1 << 24, 0);
}
static wk_optional number_of(const wk_config *args, const char *key, double most) {
    return (wk_optional){ wk_config_has(args, key), wk_config_double(args, key, 0, most, 0) };
}

static wk_module *build_lenet(const wk_config *args) {
    const wk_lenet_opts opts = { .in_channels = size_of(args, "in_channels"),
                                 .image_size = size_of(args, "image_size"),
                                 .classes = size_of(args, "classes") };
    return wk_failed() ? NULL : wk_lenet(opts);
}

static wk_module *build_vgg(const wk_config *args) {
    const wk_vgg_opts opts = { .depth = size_of(args, "depth"),
                               .batch_norm = wk_config_bool(args, "batch_norm", false),
                               .in_channels = size_of(args, "in_channels"),
                               .classes = size_of(args, "classes"),
                               .hidden = size_of(args, "hidden"),
                               .dropout = number_of(args, "dropout", 1) };
    return wk_failed() ? NULL : wk_vgg(opts);
}

static wk_module *build_resnet(const wk_config *args) {
    const wk_resnet_opts opts = { .depth = size_of(args, "depth"),
                                  .in_channels = size_of(args, "in_channels"),
                                  .classes = size_of(args, "classes"),
                                  .zero_init_residual = wk_config_bool(args, "zero_init_residual", false),
                                  .small_images = wk_config_bool(args, "small_images", false) };
    return wk_failed() ? NULL : wk_resnet(opts);
}

/* The grey-scale network of the LIIF-style trainers: torchvision's, but for its first convolution's channels. */
static wk_module *build_resnet18(const wk_config *args) {
    const wk_resnet_opts opts = { .depth = 18,
                                  .in_channels = wk_config_int(args, "in_channels", 1, 1 << 16, 1),
                                  .classes = wk_config_int(args, "num_classes", 1, 1 << 20, 10) };
    return wk_failed() ? NULL : wk_resnet(opts);
}

static wk_module *build_mobilenet_v2(const wk_config *args) {
    const wk_mobilenet_v2_opts opts = { .in_channels = size_of(args, "in_channels"),
                                        .classes = size_of(args, "classes"),
                                        .width_mult = wk_config_double(args, "width_mult", DBL_MIN, DBL_MAX, 1),
                                        .dropout = number_of(args, "dropout", 1) };
    return wk_failed() ? NULL : wk_mobilenet_v2(opts);
}

static wk_module *build_convnext(const wk_config *args) {
    static const char *const sizes[] = { "tiny", "small", "base", "large" };
    const char *size = wk_config_string(args, "size", sizes[WK_CONVNEXT_TINY]);
    wk_convnext_opts opts = { .in_channels = size_of(args, "in_channels"),
                              .classes = size_of(args, "classes"),
                              .stochastic_depth = number_of(args, "stochastic_depth", 1),
                              .layer_scale = number_of(args, "layer_scale", DBL_MAX) };
    if (wk_failed()) return NULL;
    while (opts.size < (int)WK_COUNT(sizes) && strcmp(size, sizes[opts.size]) != 0) opts.size++;
    if (opts.size == (int)WK_COUNT(sizes))
        return wk_fail_null(WK_INVALID, "size is \"%s\", expected tiny, small, base or large", size);
    return wk_convnext(opts);
}

static wk_module *build_vit(const wk_config *args) {
    static const char *const sizes[] = { "b_16", "b_32", "l_16", "l_32", "h_14" };
    const char *size = wk_config_string(args, "size", sizes[WK_VIT_B_16]);
    wk_vit_opts opts = { .patch = size_of(args, "patch"),
                         .layers = size_of(args, "layers"),
                         .heads = size_of(args, "heads"),
                         .width = size_of(args, "width"),
                         .feedforward = size_of(args, "feedforward"),
                         .image = size_of(args, "image_size"),
                         .channels = size_of(args, "in_channels"),
                         .classes = size_of(args, "classes"),
                         .dropout = number_of(args, "dropout", 1).value };
    if (wk_failed()) return NULL;
    for (size_t i = 0; i < WK_COUNT(sizes); i++)
        if (strcmp(size, sizes[i]) == 0) {
            opts.size = (wk_vit_size)i;
            return wk_vit(opts);
        }
    return wk_fail_null(WK_INVALID, "size is \"%s\", expected b_16, b_32, l_16, l_32 or h_14", size);
}

static const wk_arg mlp_args[] = {
    { "in_features", WK_ARG_INT, "784", NULL },
    { "hidden", WK_ARG_INT, "128", NULL },
    { "classes", WK_ARG_INT, "10", NULL },
    { "in_dim", WK_ARG_INT, "784", "with hidden_list: features" },
    { "out_dim", WK_ARG_INT, "10", "and classes" },
    { "hidden_list", WK_ARG_LIST, "", "widths of hidden layers, as many as wanted" },
    { NULL, WK_ARG_INT, NULL, NULL },
};
static const wk_arg cnn_args[] = {
    { "in_channels", WK_ARG_INT, "1", NULL }, { "image_size", WK_ARG_INT, "28", NULL },
    { "classes", WK_ARG_INT, "10", NULL },    { "dropout", WK_ARG_BOOL, "true", NULL },
    { NULL, WK_ARG_INT, NULL, NULL },
};
static const wk_arg cnn_bn_args[] = {
    { "in_channels", WK_ARG_INT, "1", NULL },
    { "image_size", WK_ARG_INT, "28", NULL },
    { "classes", WK_ARG_INT, "10", NULL },
    { NULL, WK_ARG_INT, NULL, NULL },
};
static const wk_arg lenet_args[] = {
    { "in_channels", WK_ARG_INT, "1", NULL },
    { "image_size", WK_ARG_INT, "28", NULL },
    { "classes", WK_ARG_INT, "10", NULL },
    { NULL, WK_ARG_INT, NULL, NULL },
};
static const wk_arg vgg_args[] = {
    { "depth", WK_ARG_INT, "16", NULL },      { "batch_norm", WK_ARG_BOOL, "false", NULL },
    { "in_channels", WK_ARG_INT, "3", NULL }, { "classes", WK_ARG_INT, "1000", NULL },
    { "hidden", WK_ARG_INT, "4096", NULL },   { "dropout", WK_ARG_NUMBER, "0.5", NULL },
    { NULL, WK_ARG_INT, NULL, NULL },
};
static const wk_arg resnet_args[] = {
    { "depth", WK_ARG_INT, "50", NULL },
    { "in_channels", WK_ARG_INT, "3", NULL },
    { "classes", WK_ARG_INT, "1000", NULL },
    { "zero_init_residual", WK_ARG_BOOL, "false", NULL },
    { "small_images", WK_ARG_BOOL, "false", "a first convolution of 3 x 3 and no pooling" },
    { NULL, WK_ARG_INT, NULL, NULL },
};
static const wk_arg resnet18_args[] = {
    { "num_classes", WK_ARG_INT, "10", NULL },
    { "in_channels", WK_ARG_INT, "1", NULL },
    { NULL, WK_ARG_INT, NULL, NULL },
};
static const wk_arg mobilenet_v2_args[] = {
    { "in_channels", WK_ARG_INT, "3", NULL },   { "classes", WK_ARG_INT, "1000", NULL },
    { "width_mult", WK_ARG_NUMBER, "1", NULL }, { "dropout", WK_ARG_NUMBER, "0.2", NULL },
    { NULL, WK_ARG_INT, NULL, NULL },
};
static const wk_arg convnext_args[] = {
    { "size", WK_ARG_TEXT, "tiny", "tiny, small, base, large" },
    { "in_channels", WK_ARG_INT, "3", NULL },
    { "classes", WK_ARG_INT, "1000", NULL },
    { "stochastic_depth", WK_ARG_NUMBER, "", NULL },
    { "layer_scale", WK_ARG_NUMBER, "", NULL },
    { NULL, WK_ARG_INT, NULL, NULL },
};
static const wk_arg vit_args[] = {
    { "size", WK_ARG_TEXT, "b_16", "b_16, b_32, l_16, l_32, h_14" },
    { "patch", WK_ARG_INT, "", NULL },
    { "layers", WK_ARG_INT, "", NULL },
    { "heads", WK_ARG_INT, "", NULL },
    { "width", WK_ARG_INT, "", NULL },
    { "feedforward", WK_ARG_INT, "", NULL },
    { "image_size", WK_ARG_INT, "", NULL },
    { "in_channels", WK_ARG_INT, "", NULL },
    { "classes", WK_ARG_INT, "", NULL },
    { "dropout", WK_ARG_NUMBER, "0", NULL },
    { NULL, WK_ARG_INT, NULL, NULL },
};
const wk_model_entry wk__builtin_models[] = {
    { { "mlp", "fully connected", mlp_args }, build_mlp },
    { { "cnn", "two convolutions, two linear layers, dropout", cnn_args }, build_cnn },
    { { "cnn_bn", "the same with batch normalisation", cnn_bn_args }, build_cnn_bn },
    { { "lenet", "LeNet-5", lenet_args }, build_lenet },
    { { "vgg", "VGG", vgg_args }, build_vgg },
    { { "resnet", "ResNet", resnet_args }, build_resnet },
    { { "resnet18", "ResNet-18 for grey images", resnet18_args }, build_resnet18 },
    { { "mobilenet_v2", "MobileNetV2", mobilenet_v2_args }, build_mobilenet_v2 },
    { { "convnext", "ConvNeXt", convnext_args }, build_convnext },
    { { "vit", "vision transformer", vit_args }, build_vit },
    { { NULL, NULL, NULL }, NULL },
};
