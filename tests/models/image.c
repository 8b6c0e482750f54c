/* image.c: models of images against torchvision's (tests/golden/models/image.py). */
#define WK_NO_CALL_SITES
#include "models/check.h"
#include "support/allocator.h"
#include "support/brief.h"
#include "support/refused.h"

#include <math.h>
#include <string.h>

#define GOLDEN "models/image.safetensors"

#define MAKE(id, call)           \
    static wk_module *id(void) { \
        return call;             \
    }
#define INPUT(id, ...)                            \
    static wk_tensor *id(void) {                  \
        return model_noise(WK_DIMS(__VA_ARGS__)); \
    }

MAKE(lenet, wk_lenet((wk_lenet_opts){ 0 }))
MAKE(vgg11, wk_vgg((wk_vgg_opts){ .depth = 11, .hidden = 16, .classes = 5, .dropout = WK_SET(0) }))
MAKE(vgg13_bn,
     wk_vgg((wk_vgg_opts){ .depth = 13, .hidden = 16, .classes = 5, .dropout = WK_SET(0), .batch_norm = true }))
MAKE(vgg16, wk_vgg((wk_vgg_opts){ .hidden = 16, .classes = 5 }))
MAKE(vgg19_bn, wk_vgg((wk_vgg_opts){ .depth = 19, .hidden = 16, .classes = 5, .batch_norm = true }))
MAKE(resnet18, wk_resnet((wk_resnet_opts){ .depth = 18, .classes = 5 }))
MAKE(resnet18_small, wk_resnet((wk_resnet_opts){ .depth = 18, .classes = 5, .small_images = true }))
MAKE(resnet34, wk_resnet((wk_resnet_opts){ .depth = 34 }))
MAKE(resnet50, wk_resnet((wk_resnet_opts){ .classes = 5, .zero_init_residual = true }))
MAKE(resnet101, wk_resnet((wk_resnet_opts){ .depth = 101 }))
MAKE(resnet152, wk_resnet((wk_resnet_opts){ .depth = 152 }))
MAKE(mobilenet_v2, wk_mobilenet_v2((wk_mobilenet_v2_opts){ .width_mult = 0.35, .classes = 5, .dropout = WK_SET(0) }))
MAKE(mobilenet_v2_whole, wk_mobilenet_v2((wk_mobilenet_v2_opts){ 0 }))
MAKE(mobilenet_v2_wide, wk_mobilenet_v2((wk_mobilenet_v2_opts){ .width_mult = 1.4 }))
MAKE(convnext, wk_convnext((wk_convnext_opts){ .depths = { 1, 1, 3, 2 },
                                               .dims = { 16, 24, 32, 48 },
                                               .classes = 5,
                                               .stochastic_depth = WK_SET(0),
                                               .layer_scale = WK_SET(0.5) }))
MAKE(convnext_tiny, wk_convnext((wk_convnext_opts){ 0 }))
#define DEEP(id, which) \
    MAKE(id, wk_convnext((wk_convnext_opts){ .size = which, .dims = { 4, 6, 8, 10 }, .classes = 5 }))
DEEP(convnext_small_deep, WK_CONVNEXT_SMALL)
DEEP(convnext_base_deep, WK_CONVNEXT_BASE)
DEEP(convnext_large_deep, WK_CONVNEXT_LARGE)
#define WIDE(id, which) \
    MAKE(id, wk_convnext((wk_convnext_opts){ .size = which, .depths = { 1, 1, 1, 1 }, .classes = 5 }))
WIDE(convnext_base, WK_CONVNEXT_BASE)
WIDE(convnext_large, WK_CONVNEXT_LARGE)
MAKE(unet, wk_unet((wk_unet_opts){ .width = 8, .levels = 3 }))

INPUT(digits, 3, 1, 28, 28)
INPUT(two, 2, 3, 64, 64)
INPUT(four, 4, 3, 64, 64)
INPUT(four_of_48, 4, 3, 48, 48)
INPUT(four_of_32, 4, 3, 32, 32)
INPUT(gray, 2, 1, 32, 40)

/* `within`: of the result in f32, about four times what was seen. */
#define CASE(id, input, within)                                              \
    Test(image, id##_as_pytorch) {                                           \
        const model_case c = { #id, id, input, NULL, MODEL_REFILL, within }; \
        model_check_exact(GOLDEN, &c, 1);                                    \
    }
CASE(lenet, digits, 1e-6)
CASE(vgg11, two, 2e-5)
CASE(vgg13_bn, four_of_32, 5e-5)
CASE(resnet18, four, 5e-5)
CASE(resnet18_small, four_of_32, 5e-5)
CASE(resnet50, four_of_48, 4e-4)
CASE(mobilenet_v2, four, 1e-4)
CASE(convnext, two, 2e-6)
CASE(unet, gray, 4e-5)

#define DIGEST(id, name, make)                  \
    Test(image, id##_begins_as_pytorch) {       \
        model_check_digest(GOLDEN, name, make); \
    }
DIGEST(vgg16, "vgg16", vgg16)
DIGEST(vgg19_bn, "vgg19_bn", vgg19_bn)
DIGEST(resnet34, "resnet34", resnet34)
DIGEST(resnet101, "resnet101", resnet101)
DIGEST(resnet152, "resnet152", resnet152)
DIGEST(mobilenet_v2, "mobilenet_v2_1.0", mobilenet_v2_whole)
DIGEST(mobilenet_v2_wide, "mobilenet_v2_1.4", mobilenet_v2_wide)
DIGEST(convnext_tiny, "convnext_tiny", convnext_tiny)
DIGEST(convnext_small_deep, "convnext_deep", convnext_small_deep)
DIGEST(convnext_base_deep, "convnext_deep", convnext_base_deep)
DIGEST(convnext_large_deep, "convnext_deep", convnext_large_deep)
DIGEST(convnext_base, "convnext_base", convnext_base)
DIGEST(convnext_large, "convnext_large", convnext_large)

Test(image, any_number_of_threads) {
    static const model_case cases[] = {
        { "lenet", lenet, digits, NULL, MODEL_REFILL, 0 },
        { "resnet18", resnet18, four, NULL, MODEL_REFILL, 0 },
        { "mobilenet_v2", mobilenet_v2, four, NULL, MODEL_REFILL, 0 },
        { "convnext", convnext, two, NULL, MODEL_REFILL, 0 },
        { "unet", unet, gray, NULL, MODEL_REFILL, 0 },
    };
    model_check_threads(cases, (int)(sizeof cases / sizeof cases[0]));
}

Test(image, replayed_steps) {
    static const model_case cases[] = {
        { "lenet", lenet, digits, NULL, 0, 0 },     { "vgg13_bn", vgg13_bn, four_of_32, NULL, 0, 0 },
        { "resnet18", resnet18, four, NULL, 0, 0 }, { "mobilenet_v2", mobilenet_v2, four, NULL, 0, 0 },
        { "convnext", convnext, two, NULL, 0, 0 },  { "unet", unet, gray, NULL, 0, 0 },
    };
    model_check_replay(cases, tests_are_brief() ? 1 : (int)(sizeof cases / sizeof cases[0]));
}

Test(image, frozen_for_inference) {
    static const model_case cases[] = {
        { "lenet", lenet, digits, NULL, MODEL_REFILL, 0 },
        { "vgg11", vgg11, two, NULL, MODEL_REFILL, 0 },
        { "vgg13_bn", vgg13_bn, four_of_32, NULL, MODEL_REFILL, 0 },
        { "resnet18", resnet18, four, NULL, MODEL_REFILL, 0 },
        { "resnet18_small", resnet18_small, four_of_32, NULL, MODEL_REFILL, 0 },
        { "resnet50", resnet50, four_of_48, NULL, MODEL_REFILL, 0 },
        { "mobilenet_v2", mobilenet_v2, four, NULL, MODEL_REFILL, 0 },
        { "convnext", convnext, two, NULL, MODEL_REFILL, 0 },
        { "unet", unet, gray, NULL, MODEL_REFILL, 0 },
    };
    model_check_frozen(cases, tests_are_brief() ? 1 : (int)(sizeof cases / sizeof cases[0]));
}

/* ---- what is refused ---- */

Test(image, options_that_are_refused) {
    REFUSED_PLAINLY(wk_lenet((wk_lenet_opts){ .image_size = 11 }), WK_INVALID,
                    "wk_lenet: image_size is 11, expected 12 to 16777216");
    REFUSED_PLAINLY(wk_lenet((wk_lenet_opts){ .classes = -1 }), WK_INVALID,
                    "wk_lenet: classes is -1, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_vgg((wk_vgg_opts){ .depth = 12 }), WK_INVALID, "wk_vgg: depth is 12, expected 11, 13, 16 or 19");
    REFUSED_PLAINLY(wk_vgg((wk_vgg_opts){ .hidden = INT64_MAX }), WK_INVALID,
                    "wk_vgg: hidden is 9223372036854775807, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_vgg((wk_vgg_opts){ .dropout = WK_SET(1) }), WK_INVALID,
                    "wk_vgg: dropout is 1, expected 0 ≤ dropout < 1");
    REFUSED_PLAINLY(wk_resnet((wk_resnet_opts){ .depth = 20 }), WK_INVALID,
                    "wk_resnet: depth is 20, expected 18, 34, 50, 101 or 152");
    REFUSED_PLAINLY(wk_resnet((wk_resnet_opts){ .depth = -18 }), WK_INVALID,
                    "wk_resnet: depth is -18, expected 18, 34, 50, 101 or 152");
    REFUSED_PLAINLY(wk_resnet((wk_resnet_opts){ .in_channels = -3 }), WK_INVALID,
                    "wk_resnet: in_channels is -3, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_mobilenet_v2((wk_mobilenet_v2_opts){ .width_mult = -1 }), WK_INVALID,
                    "wk_mobilenet_v2: width_mult is -1, expected more than 0 and at most 1000");
    REFUSED_PLAINLY(wk_mobilenet_v2((wk_mobilenet_v2_opts){ .width_mult = NAN }), WK_INVALID,
                    "wk_mobilenet_v2: width_mult is nan, expected more than 0 and at most 1000");
    REFUSED_PLAINLY(wk_mobilenet_v2((wk_mobilenet_v2_opts){ .dropout = WK_SET(-0.5) }), WK_INVALID,
                    "wk_mobilenet_v2: dropout is -0.5, expected 0 ≤ dropout < 1");
    REFUSED_PLAINLY(wk_convnext((wk_convnext_opts){ .size = 4 }), WK_INVALID,
                    "wk_convnext: size is 4, expected one of wk_convnext_size");
    REFUSED_PLAINLY(wk_convnext((wk_convnext_opts){ .depths = { 3, 1001 } }), WK_INVALID,
                    "wk_convnext: depths is 1001, expected 1 to 1000");
    REFUSED_PLAINLY(wk_convnext((wk_convnext_opts){ .dims = { 0, -8 } }), WK_INVALID,
                    "wk_convnext: dims is -8, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_convnext((wk_convnext_opts){ .stochastic_depth = WK_SET(NAN) }), WK_INVALID,
                    "wk_convnext: stochastic_depth is nan, expected 0 ≤ stochastic_depth < 1");
    REFUSED_PLAINLY(wk_unet((wk_unet_opts){ .levels = 9 }), WK_INVALID, "wk_unet: levels is 9, expected 1 to 8");
    REFUSED_PLAINLY(wk_unet((wk_unet_opts){ .width = -64 }), WK_INVALID,
                    "wk_unet: width is -64, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_vae((wk_vae_opts){ .latent = -1 }), WK_INVALID, "wk_vae: latent is -1, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_dcgan_generator((wk_dcgan_opts){ .latent = -1 }), WK_INVALID,
                    "wk_dcgan_generator: latent is -1, expected 1 to 16777216");
    REFUSED_PLAINLY(wk_dcgan_discriminator((wk_dcgan_opts){ .width = -1 }), WK_INVALID,
                    "wk_dcgan_discriminator: width is -1, expected 1 to 16777216");
}

/* Sizes that are allowed one by one, but make weights of no machine together; then a constructor with that pending. */
Test(image, weights_that_do_not_fit) {
    cr_expect_null(wk_lenet((wk_lenet_opts){ .image_size = 1 << 24 }));
    cr_expect(wk_failed());
    wk_clear_error();
    cr_expect_null(wk_vae((wk_vae_opts){ .features = 1 << 24, .hidden = 1 << 24 }));
    cr_expect(wk_failed());
    cr_expect_null(wk_resnet((wk_resnet_opts){ .depth = 18 }));
    wk_clear_error();
}

/* The layer that an image is too small for, or that expects other channels, is named. */
Test(image, images_that_are_refused) {
    static const struct {
        wk_module *(*make)(void);
        wk_dims dims;
        const char *message;
    } refusals[] = {
        { lenet, { 4, { 2, 1, 20, 20 } }, "fc1" },
        { vgg11, { 4, { 2, 3, 16, 16 } }, "features.20" },
        { resnet18, { 4, { 2, 1, 32, 32 } }, "conv1" },
        { mobilenet_v2, { 3, { 3, 32, 32 } }, "features.0.0" },
        { convnext, { 4, { 2, 3, 16, 16 } }, "features.6.1" },
        { unet,
          { 4, { 2, 1, 32, 36 } },
          "UNet (layer \"\"): x (2, 1, 32, 36) f32, expected (N, 1, H, W) with H and W multiples of 8" },
    };
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        wk_scope scope = wk_scope_begin();
        wk_module *model = refusals[i].make();
        cr_expect_null(wk_forward(model, wk_zeros(WK_F32, refusals[i].dims)));
        cr_expect(strstr(wk_message(), refusals[i].message), "%s, expected %s", wk_message(), refusals[i].message);
        wk_clear_error();
        wk_module_destroy(model);
        wk_scope_end(scope);
    }
}

/* ---- no memory ---- */

MAKE(small_lenet, wk_lenet((wk_lenet_opts){ .image_size = 12 }))
MAKE(small_convnext, wk_convnext((wk_convnext_opts){ .depths = { 1, 1, 1, 1 }, .dims = { 2, 2, 2, 2 }, .classes = 2 }))
MAKE(small_unet, wk_unet((wk_unet_opts){ .width = 2, .levels = 2 }))
MAKE(small_edsr, wk_edsr((wk_edsr_opts){ .blocks = 1, .width = 2 }))
static wk_module *small_liif(void) {
    const wk_liif_opts opts = { .no_feat_unfold = true };
    const int64_t widths[] = { wk_liif_width(2, opts), 3, 3 };
    wk_module *encoder = wk_edsr((wk_edsr_opts){ .blocks = 1, .width = 2, .no_upsampling = true });
    return wk_liif(encoder, wk_mlp_of(widths, 3), opts);
}
MAKE(small_generator, wk_dcgan_generator((wk_dcgan_opts){ .latent = 2, .width = 1 }))
MAKE(small_discriminator, wk_dcgan_discriminator((wk_dcgan_opts){ .width = 1 }))
MAKE(small_vae, wk_vae((wk_vae_opts){ .features = 4, .hidden = 3, .latent = 2 }))

/* Made, and converted. */
static bool is_made(wk_module *(*make)(void)) {
    wk_module *model = make();
    bool done = model && wk_module_to(model, WK_F64) == WK_OK;
    wk_module_destroy(model);
    wk_memory_trim();
    return done;
}

/* Each allocation fails once: an error, and nothing left behind. */
Test(image, every_allocation_of_a_constructor) {
    wk_module *(*const make[])(void) = { small_lenet, small_convnext,  small_unet,          small_edsr,
                                         small_liif,  small_generator, small_discriminator, small_vae };
    allocator_watch();
    wk_set_threads(1);
    for (size_t i = 0; i < sizeof make / sizeof make[0]; i++) {
        cr_assert(is_made(make[i]), "%s", wk_message());
        const long held = allocator_held();
        long k = 0;
        for (bool failed = true; failed;) {
            allocator_fail_at(++k);
            bool made = is_made(make[i]);
            failed = allocator_has_failed();
            allocator_fail_at(0);
            if (failed) cr_assert(!made && wk_error_code() == WK_NO_MEMORY, "model %zu, %ld: %s", i, k, wk_message());
            wk_clear_error();
            cr_assert_eq(allocator_held(), held, "model %zu, %ld: %ld blocks more", i, k, allocator_held() - held);
        }
        cr_expect(k > 50, "%ld", k);
    }
    wk_set_threads(0);
}
