/* builtin.c: the models and data that come with Wick. */
#include "train/builtin.h"

#include "base/base.h"
#include "wick/models.h"

#include <float.h>
#include <string.h>

/* ---- models ---- */

static wk_module *build_mlp(const wk_config *args) {
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

static const char *const mlp_args[] = { "in_features", "hidden", "classes", NULL };
static const char *const cnn_args[] = { "in_channels", "image_size", "classes", "dropout", NULL };
static const char *const cnn_bn_args[] = { "in_channels", "image_size", "classes", NULL };
static const char *const vgg_args[] = { "depth", "batch_norm", "in_channels", "classes", "hidden", "dropout", NULL };
static const char *const resnet_args[] = {
    "depth", "in_channels", "classes", "zero_init_residual", "small_images", NULL
};
static const char *const mobilenet_v2_args[] = { "in_channels", "classes", "width_mult", "dropout", NULL };
static const char *const convnext_args[] = {
    "size", "in_channels", "classes", "stochastic_depth", "layer_scale", NULL
};
static const char *const vit_args[] = { "size",       "patch",       "layers",  "heads",   "width", "feedforward",
                                        "image_size", "in_channels", "classes", "dropout", NULL };
const wk_model_entry wk__builtin_models[] = {
    { "mlp", mlp_args, build_mlp },
    { "cnn", cnn_args, build_cnn },
    { "cnn_bn", cnn_bn_args, build_cnn_bn },
    { "lenet", cnn_bn_args, build_lenet },
    { "vgg", vgg_args, build_vgg },
    { "resnet", resnet_args, build_resnet },
    { "mobilenet_v2", mobilenet_v2_args, build_mobilenet_v2 },
    { "convnext", convnext_args, build_convnext },
    { "vit", vit_args, build_vit },
    { NULL, NULL, NULL },
};

/* ---- data ---- */

static wk_dataset *open_split(const wk_config *args, const char *split, int64_t limit) {
    const char *root = wk_config_string(args, "root", "/usr/share/datasets/fashion-mnist");
    double mean = wk_config_double(args, "mean", -DBL_MAX, DBL_MAX, 0),
           deviation = wk_config_double(args, "std", DBL_MIN, DBL_MAX, 1);
    int64_t classes = wk_config_int(args, "classes", 1, 256, 10);
    if (wk_failed()) return NULL;
    static const char *const endings[] = { "", ".gz" };
    wk_dataset *dataset = NULL;
    for (size_t i = 0; i < WK_COUNT(endings) && !dataset; i++) {
        char *images = wk_format("%s/%s-images-idx3-ubyte%s", root, split, endings[i]);
        char *labels = wk_format("%s/%s-labels-idx1-ubyte%s", root, split, endings[i]);
        FILE *there = images && labels ? fopen(images, "rb") : NULL;
        if (there) (void)fclose(there);
        if (there || i + 1 == WK_COUNT(endings)) {
            wk_idx_opts opts = { images, labels, mean, deviation, (int)classes, limit };
            dataset = wk_idx_dataset(opts);
            if (!dataset && wk_error_code() == WK_IO)
                wk_error_prefix("data \"idx\" (root %s; Fashion-MNIST comes with the package dataset-fashion-mnist, "
                                "see tools/install-deps)",
                                root);
        }
        wk_free(images);
        wk_free(labels);
        if (there) break;
    }
    return dataset;
}

static wk_status build_idx(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    int64_t limit = wk_config_int(args, "limit", 0, INT64_MAX, 0);
    *train = open_split(args, "train", limit);
    *evaluation = *train ? open_split(args, "t10k", limit) : NULL;
    if (*evaluation) return WK_OK;
    wk_dataset_destroy(*train);
    *train = NULL;
    return wk_failed() ? wk_error_code() : WK_INTERNAL;
}

static const char *const idx_args[] = { "root", "mean", "std", "classes", "limit", "batch_size", "workers", NULL };
const wk_data_entry wk__builtin_data[] = {
    { "idx", idx_args, build_idx },
    { NULL, NULL, NULL },
};
