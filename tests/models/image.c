/* image.c: models of images against torchvision's (tests/golden/models/image.py). */
#define WK_NO_CALL_SITES
#include "models/check.h"

#define GOLDEN "models/image.safetensors"

#define MAKE(id, call)            \
    static wk_module *id(void) {  \
        return call;              \
    }
#define INPUT(id, ...)                             \
    static wk_tensor *id(void) {                   \
        return model_noise(WK_DIMS(__VA_ARGS__));   \
    }

MAKE(lenet, wk_lenet((wk_lenet_opts){ 0 }))
MAKE(vgg11, wk_vgg((wk_vgg_opts){ .depth = 11, .hidden = 16, .classes = 5, .dropout = WK_SET(0) }))
MAKE(vgg13_bn,
     wk_vgg((wk_vgg_opts){ .depth = 13, .hidden = 16, .classes = 5, .dropout = WK_SET(0), .batch_norm = true }))
MAKE(vgg16, wk_vgg((wk_vgg_opts){ .hidden = 16, .classes = 5 }))
MAKE(vgg19_bn, wk_vgg((wk_vgg_opts){ .depth = 19, .hidden = 16, .classes = 5, .batch_norm = true }))
MAKE(resnet18, wk_resnet((wk_resnet_opts){ .depth = 18, .classes = 5 }))
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
#define DEEP(id, which)                                                                                     \
    MAKE(id, wk_convnext((wk_convnext_opts){ .size = which, .dims = { 4, 6, 8, 10 }, .classes = 5 }))
DEEP(convnext_small_deep, WK_CONVNEXT_SMALL)
DEEP(convnext_base_deep, WK_CONVNEXT_BASE)
DEEP(convnext_large_deep, WK_CONVNEXT_LARGE)
#define WIDE(id, which)                                                                                     \
    MAKE(id, wk_convnext((wk_convnext_opts){ .size = which, .depths = { 1, 1, 1, 1 }, .classes = 5 }))
WIDE(convnext_base, WK_CONVNEXT_BASE)
WIDE(convnext_large, WK_CONVNEXT_LARGE)
MAKE(unet, wk_unet((wk_unet_opts){ .width = 8, .levels = 3 }))

INPUT(digits, 3, 1, 28, 28)
INPUT(two, 2, 3, 64, 64)
INPUT(four, 4, 3, 64, 64)
INPUT(gray, 2, 1, 32, 40)

/* `within`: of the result in f32, about four times what was seen. */
#define CASE(id, input, within)                                              \
    Test(image, id##_as_pytorch) {                                           \
        const model_case c = { #id, id, input, NULL, MODEL_REFILL, within }; \
        model_check_exact(GOLDEN, &c, 1);                                    \
    }
CASE(lenet, digits, 1e-6)
CASE(vgg11, two, 2e-5)
CASE(vgg13_bn, four, 8e-5)
CASE(resnet18, four, 5e-5)
CASE(resnet50, four, 4e-4)
CASE(mobilenet_v2, four, 1e-4)
CASE(convnext, two, 2e-6)
CASE(unet, gray, 4e-5)

#define DIGEST(id, name, make)                     \
    Test(image, id##_begins_as_pytorch) {          \
        model_check_digest(GOLDEN, name, make);    \
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
