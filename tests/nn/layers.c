/* layers.c: every layer without weights is its operation, layer by layer, and says its options as PyTorch does. */
#define WK_NO_CALL_SITES
#include "support/golden.h"
#include "wick/nn.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* x (2, 4, …) of that rank, numbers of both signs without a pattern. */
static wk_tensor *input(int rank) {
    static const int64_t sizes[] = { 2, 4, 6, 5, 7 };
    wk_dims dims = { .rank = rank };
    for (int i = 0; i < rank; i++) dims.size[i] = sizes[i];
    wk_tensor *x = wk_empty(WK_F32, dims);
    float *value = wk_data(x);
    for (int64_t i = 0; i < wk_count(x); i++) value[i] = (float)(3 * sin(1.7 * (double)i + 0.3));
    return x;
}

/* The layer's class, its options in words, and that it computes `wanted`. */
static void check(wk_module *layer, const char *title, const char *options, wk_tensor *x, wk_tensor *wanted) {
    cr_assert_not_null(layer, "%s: %s", title, wk_message());
    char text[200] = "";
    cr_expect_str_eq(layer->class_->name, title);
    if (layer->class_->describe) layer->class_->describe(layer, text, sizeof text);
    cr_expect_str_eq(text, options, "%s says \"%s\"", title, text);
    golden_expect_equal(wk_forward(layer, x), wanted, title);
    wk_module_destroy(layer);
}

Test(layers, activations) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = input(2);
#define PLAIN(id, title) check(wk_nn_##id(), title, "", x, wk_##id(x));
    PLAIN(relu, "ReLU")
    PLAIN(relu6, "ReLU6")
    PLAIN(gelu, "GELU")
    PLAIN(gelu_tanh, "GELU")
    PLAIN(silu, "SiLU")
    PLAIN(mish, "Mish")
    PLAIN(sigmoid, "Sigmoid")
    PLAIN(logsigmoid, "LogSigmoid")
    PLAIN(tanh, "Tanh")
    PLAIN(tanhshrink, "Tanhshrink")
    PLAIN(softsign, "Softsign")
    PLAIN(selu, "SELU")
    PLAIN(hardsigmoid, "Hardsigmoid")
    PLAIN(hardswish, "Hardswish")
#define WITH(id, title, type, ...)                               \
    {                                                            \
        const type opts = __VA_ARGS__;                           \
        check(wk_nn_##id(opts), title, "", x, wk_##id(x, opts)); \
    }
    WITH(leaky_relu, "LeakyReLU", wk_leaky_relu_opts, { .slope = WK_SET(0.3) })
    WITH(elu, "ELU", wk_elu_opts, { .alpha = WK_SET(0.5) })
    WITH(celu, "CELU", wk_elu_opts, { .alpha = WK_SET(0.5) })
    WITH(hardtanh, "Hardtanh", wk_hardtanh_opts, { .min = WK_SET(-0.5) })
    WITH(hardshrink, "Hardshrink", wk_shrink_opts, { .lambda = WK_SET(1) })
    WITH(softshrink, "Softshrink", wk_shrink_opts, { .lambda = WK_SET(1) })
    WITH(threshold, "Threshold", wk_threshold_opts, { .threshold = 0.25, .value = 7 })
    WITH(softplus, "Softplus", wk_softplus_opts, { .beta = WK_SET(2) })
    WITH(glu, "GLU", wk_glu_opts, { 0 })
    WITH(softmax, "Softmax", wk_axis_opts, { WK_SET(0) })
    WITH(log_softmax, "LogSoftmax", wk_axis_opts, { { 0 } })
    check(wk_nn_prelu((wk_nn_prelu_opts){ 0 }), "PReLU", "num_parameters=1", x,
          wk_leaky_relu(x, (wk_leaky_relu_opts){ WK_SET(0.25) }));
    wk_scope_end(scope);
}

Test(layers, pooling) {
    wk_scope scope = wk_scope_begin();
    const wk_pool_opts pool = { .kernel = { 2, 3, 2 } };
    const wk_lp_pool_opts lp = { .p = 2, .kernel = { 2, 3, 2 } };
    const wk_adaptive_pool_opts adaptive = { { 3, 2, 4 } };
#define POOL(id, title, axes, opts, options) \
    check(wk_nn_##id(opts), title, options, input(2 + (axes)), wk_##id(input(2 + (axes)), opts));
    POOL(max_pool1d, "MaxPool1d", 1, pool, "kernel=2")
    POOL(max_pool2d, "MaxPool2d", 2, pool, "kernel=2x3")
    POOL(max_pool3d, "MaxPool3d", 3, pool, "kernel=2x3x2")
    POOL(avg_pool1d, "AvgPool1d", 1, pool, "kernel=2")
    POOL(avg_pool2d, "AvgPool2d", 2, pool, "kernel=2x3")
    POOL(avg_pool3d, "AvgPool3d", 3, pool, "kernel=2x3x2")
    POOL(lp_pool1d, "LPPool1d", 1, lp, "kernel=2")
    POOL(lp_pool2d, "LPPool2d", 2, lp, "kernel=2x3")
    POOL(lp_pool3d, "LPPool3d", 3, lp, "kernel=2x3x2")
    POOL(adaptive_max_pool1d, "AdaptiveMaxPool1d", 1, adaptive, "size=3")
    POOL(adaptive_max_pool2d, "AdaptiveMaxPool2d", 2, adaptive, "size=3x2")
    POOL(adaptive_max_pool3d, "AdaptiveMaxPool3d", 3, adaptive, "size=3x2x4")
    POOL(adaptive_avg_pool1d, "AdaptiveAvgPool1d", 1, adaptive, "size=3")
    POOL(adaptive_avg_pool2d, "AdaptiveAvgPool2d", 2, adaptive, "size=3x2")
    POOL(adaptive_avg_pool3d, "AdaptiveAvgPool3d", 3, adaptive, "size=3x2x4")
    wk_scope_end(scope);
    cr_expect_null(wk_nn_avg_pool2d((wk_pool_opts){ .kernel = { 2 } }));
    cr_expect_str_eq(wk_message(), "AvgPool2d: kernel=2x0, expected at least 1 along each axis");
    wk_clear_error();
}

/* In evaluation they pass their input; what they drop, tests/nn/network.c counts. */
Test(layers, dropouts) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = input(5);
#define DROPOUT(id, title, rank)                                                                     \
    {                                                                                                \
        wk_module *layer = wk_nn_##id(0.25);                                                         \
        wk_module_train(layer, false);                                                               \
        check(layer, title, "p=0.25", input(rank), input(rank));                                     \
        cr_expect_null(wk_nn_##id(1.5));                                                             \
        cr_expect(strstr(wk_message(), title ": p is 1.5, expected 0 ≤ p < 1"), "%s", wk_message()); \
        wk_clear_error();                                                                            \
    }
    DROPOUT(dropout1d, "Dropout1d", 3)
    DROPOUT(dropout2d, "Dropout2d", 4)
    DROPOUT(dropout3d, "Dropout3d", 5)
    DROPOUT(alpha_dropout, "AlphaDropout", 2)
    DROPOUT(feature_alpha_dropout, "FeatureAlphaDropout", 4)
    DROPOUT(stochastic_depth, "StochasticDepth", 4)
    wk_module *layer = wk_nn_dropout2d(0.5);
    cr_expect_null(wk_forward(layer, x));
    cr_expect(strstr(wk_message(), "Dropout2d"), "%s", wk_message());
    wk_clear_error();
    wk_module_destroy(layer);
    wk_scope_end(scope);
}

static void expect_words(wk_module *layer, const char *options) {
    char text[200] = "";
    cr_assert_not_null(layer, "%s", wk_message());
    layer->class_->describe(layer, text, sizeof text);
    cr_expect_str_eq(text, options, "%s", text);
    wk_module_destroy(layer);
}

/* What layers with weights say of themselves, as the table of layers and PyTorch's repr do. */
Test(layers, say_their_options) {
    expect_words(wk_nn_layer_norm(WK_DIMS(4, 5), (wk_nn_norm_opts){ .eps = WK_SET(1e-6) }),
                 "(4, 5), eps=1e-06, elementwise_affine=true");
    expect_words(wk_nn_rms_norm(WK_DIMS(4), (wk_nn_norm_opts){ .no_affine = true }), "(4), elementwise_affine=false");
    expect_words(wk_nn_group_norm(2, 4, (wk_nn_norm_opts){ .no_bias = true }), "2, 4, eps=1e-05, affine=true");
    expect_words(wk_nn_instance_norm2d(4, (wk_nn_instance_norm_opts){ .affine = false }),
                 "4, eps=1e-05, momentum=0.1, affine=false, track_running_stats=false");
    expect_words(wk_nn_embedding(7, 3, (wk_nn_embedding_opts){ .padding_idx = WK_SET(2), .sparse = true }),
                 "7, 3, padding_idx=2, sparse=true");
    cr_expect_null(wk_nn_group_norm(3, 4, (wk_nn_norm_opts){ .no_bias = true }));
    cr_expect(strstr(wk_message(), "GroupNorm: 3 groups do not divide 4 channels evenly"), "%s", wk_message());
    wk_clear_error();
    cr_expect_null(wk_nn_embedding(7, 3, (wk_nn_embedding_opts){ .padding_idx = WK_SET(9) }));
    cr_expect(strstr(wk_message(), "Embedding: padding_idx 9 is no row of 7"), "%s", wk_message());
    wk_clear_error();
}
