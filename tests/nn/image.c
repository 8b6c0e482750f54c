/* image.c: modules of images against torch.nn's (tests/golden/nn_image.py): state after construction with seed 0,
 * results, gradients. */
#define WK_NO_CALL_SITES
#include "support/golden.h"
#include "wick/nn.h"

#include <stdio.h>
#include <string.h>

static wk_module *conv1d(void) {
    return wk_nn_conv1d(
        4, 6, 3, (wk_nn_conv_opts){ .conv = { .stride = { 2 }, .padding = { 2 } }, .padding_mode = WK_PAD_CIRCULAR });
}
static wk_module *conv2d(void) {
    return wk_nn_conv2d(4, 6, 3,
                        (wk_nn_conv_opts){ .conv = { .padding = { 1, 2 }, .groups = 2 },
                                           .kernel = { 0, 2 },
                                           .padding_mode = WK_PAD_REFLECT });
}
static wk_module *conv2d_same(void) {
    return wk_nn_conv2d(
        2, 3, 3,
        (wk_nn_conv_opts){
            .conv = { .pad = WK_CONV_SAME }, .no_bias = true, .kernel = { 3, 2 }, .padding_mode = WK_PAD_REPLICATE });
}
static wk_module *conv3d(void) {
    return wk_nn_conv3d(2, 3, 2, (wk_nn_conv_opts){ .conv = { .dilation = { 1, 1, 2 } }, .kernel = { 2, 3, 2 } });
}
static wk_module *conv_transpose1d(void) {
    return wk_nn_conv_transpose1d(4, 6, 3, (wk_nn_conv_transpose_opts){ .conv = { .stride = { 2 }, .groups = 2 } });
}
static wk_module *conv_transpose2d(void) {
    return wk_nn_conv_transpose2d(
        3, 4, 3,
        (wk_nn_conv_transpose_opts){ .conv = { .stride = { 2, 2 }, .output_padding = { 1, 1 } }, .kernel = { 2 } });
}
static wk_module *conv_transpose3d(void) {
    return wk_nn_conv_transpose3d(2, 3, 2,
                                  (wk_nn_conv_transpose_opts){ .conv = { .padding = { 1, 1, 1 } }, .no_bias = true });
}
static wk_module *max_pool1d(void) {
    return wk_nn_max_pool1d((wk_pool_opts){ .kernel = { 3 }, .stride = { 2 }, .dilation = { 2 } });
}
static wk_module *max_pool3d(void) {
    return wk_nn_max_pool3d((wk_pool_opts){ .kernel = { 2, 2, 2 } });
}
static wk_module *avg_pool2d(void) {
    return wk_nn_avg_pool2d((wk_pool_opts){ .kernel = { 2, 3 }, .ceil_mode = true, .exclude_padding = true });
}
static wk_module *lp_pool2d(void) {
    return wk_nn_lp_pool2d((wk_lp_pool_opts){ .p = 2, .kernel = { 2, 2 } });
}
static wk_module *adaptive_avg_pool2d(void) {
    return wk_nn_adaptive_avg_pool2d((wk_adaptive_pool_opts){ { 2, 0 } });
}
static wk_module *adaptive_max_pool1d(void) {
    return wk_nn_adaptive_max_pool1d((wk_adaptive_pool_opts){ { 3 } });
}
static wk_module *reflection_pad2d(void) {
    return wk_nn_pad2d((wk_pad_opts){ .before = WK_DIMS(0, 1), .after = WK_DIMS(1, 2), .mode = WK_PAD_REFLECT });
}
static wk_module *constant_pad1d(void) {
    return wk_nn_pad1d((wk_pad_opts){ .before = WK_DIMS(1), .after = WK_DIMS(2), .value = 0.5 });
}
static wk_module *replication_pad3d(void) {
    return wk_nn_pad3d(
        (wk_pad_opts){ .before = WK_DIMS(1, 1, 1), .after = WK_DIMS(1, 1, 1), .mode = WK_PAD_REPLICATE });
}
static wk_module *upsample(void) {
    return wk_nn_upsample((wk_interpolate_opts){ .scale = { 2 }, .mode = WK_INTERPOLATE_LINEAR });
}
static wk_module *pixel_shuffle(void) {
    return wk_nn_pixel_shuffle(2);
}
static wk_module *fold(void) {
    const wk_unfold_opts two = { .kernel = { 2, 2 } };
    return wk_nn_sequential(wk_nn_unfold(two), wk_nn_fold((wk_fold_opts){ { 4, 5 }, two }));
}
static wk_module *unflatten(void) {
    return wk_nn_unflatten(1, WK_DIMS(2, 3));
}

#define CASE(name) \
    { #name, name }
static const struct {
    const char *name;
    wk_module *(*make)(void);
} cases[] = {
    CASE(conv1d),
    CASE(conv2d),
    CASE(conv2d_same),
    CASE(conv3d),
    CASE(conv_transpose1d),
    CASE(conv_transpose2d),
    CASE(conv_transpose3d),
    CASE(max_pool1d),
    CASE(max_pool3d),
    CASE(avg_pool2d),
    CASE(lp_pool2d),
    CASE(adaptive_avg_pool2d),
    CASE(adaptive_max_pool1d),
    CASE(reflection_pad2d),
    CASE(constant_pad1d),
    CASE(replication_pad3d),
    CASE(upsample),
    CASE(pixel_shuffle),
    CASE(fold),
    CASE(unflatten),
};

static void check(wk_safetensors *file, const char *name, wk_module *module) {
    char what[120];
    wk_named_tensors state = wk_state(module), parameters = wk_parameters(module);
    for (int i = 0; i < state.count; i++) {
        (void)snprintf(what, sizeof what, "%s/state.%s", name, state.name[i]);
        golden_expect_equal(state.tensor[i], golden_get(file, "%s", what), what);
    }
    wk_tensor *x = wk_require_grad(wk_keep(golden_get(file, "%s/x", name)), true);
    wk_tensor *y = wk_forward(module, x);
    cr_assert(y, "%s: %s", name, wk_message());
    golden_expect_close(wk_contiguous(y), golden_get(file, "%s/y", name), 1e-5, name);
    cr_assert_eq(wk_backward(wk_sum(wk_mul(y, y), (wk_reduce_opts){ 0 })), WK_OK, "%s: %s", name, wk_message());
    golden_expect_close(wk_contiguous(wk_gradient(x)), golden_get(file, "%s/dx", name), 5e-5, name);
    for (int i = 0; i < parameters.count; i++)
        golden_expect_close(wk_contiguous(wk_gradient(parameters.tensor[i])),
                            golden_get(file, "%s/grad.%s", name, parameters.name[i]), 5e-5, name);
    wk_release(x);
}

Test(image, equals_pytorch) {
    wk_safetensors *file = golden_open("nn_image.safetensors");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wk_scope scope = wk_scope_begin();
        wk_manual_seed(0);
        wk_module *module = cases[i].make();
        cr_assert(module, "%s: %s", cases[i].name, wk_message());
        check(file, cases[i].name, module);
        wk_scope_end(scope);
        wk_module_destroy(module);
    }
    wk_safetensors_close(file);
}

Test(image, what_was_pooled_can_be_put_back) {
    wk_scope scope = wk_scope_begin();
    const float values[] = { 1, 5, 2, 0, 3, 4, 8, 7, 6, 9, 1, 2, 0, 3, 5, 4 };
    const wk_pool_opts two = { .kernel = { 2, 2 } };
    wk_module *module = wk_nn_max_unpool2d(two);
    wk_tensor *indices,
        *y = wk_max_pool2d_with_indices(wk_from_array(WK_F32, WK_DIMS(1, 1, 4, 4), values), two, &indices);
    wk_tensor *x = wk_max_unpool_forward(module, y, indices);
    cr_assert(x, "%s", wk_message());
    static const int places[] = { 1, 6, 9, 14 };
    static const double maxima[] = { 5, 8, 9, 5 };
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(wk_at(indices, i), places[i]);
        cr_expect_eq(wk_at(x, places[i]), maxima[i]);
    }
    cr_expect_eq(wk_item(wk_sum(x, (wk_reduce_opts){ 0 })), 27);
    wk_module_destroy(module);
    wk_scope_end(scope);
}

static void expect_summary(wk_module *module, const char *text) {
    char *summary = wk_module_summary(module);
    cr_expect_str_eq(summary, text);
    wk_free(summary);
    wk_module_destroy(module);
}
Test(image, summaries) {
    expect_summary(conv2d(), "Conv2d(4, 6, kernel=3x2, stride=1, padding=1x2, bias=true)\n");
    expect_summary(conv2d_same(), "Conv2d(2, 3, kernel=3x2, stride=1, padding=same, bias=false)\n");
    expect_summary(conv_transpose1d(), "ConvTranspose1d(4, 6, kernel=3, stride=2, padding=0, bias=true)\n");
    expect_summary(max_pool3d(), "MaxPool3d(kernel=2x2x2)\n");
    expect_summary(reflection_pad2d(), "ReflectionPad2d((0, 1), (1, 2))\n");
}
