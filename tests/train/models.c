/* models.c: models by the names that a run's file gives them. */
#include "support/program.h"
#include "train/config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static char folder[400], path[500];

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("train_models"));
    (void)snprintf(path, sizeof path, "%s/config.yaml", folder);
}
static void tear_down(void) {
    remove_folder(folder);
}
TestSuite(models, .init = set_up, .fini = tear_down);

/* The model of a file whose model section is as given; NULL with an error pending. */
static wk_module *build(const char *model) {
    char text[500];
    int size = snprintf(text, sizeof text,
                        "data: { name: idx, args: { root: /nowhere, batch_size: 2 } }\n"
                        "model: %s\n"
                        "optimizer: { name: SGD, args: { lr: 0.1 } }\n"
                        "output: %s/run\n",
                        model, folder);
    write_bytes(path, text, (size_t)size);
    wk__run_config config;
    if (wk__run_config_load(&config, path, NULL, 0) != WK_OK) return NULL;
    wk_module *module = wk_make_model(&config.root, "model");
    wk__run_config_free(&config);
    return module;
}

Test(models, of_the_literature_by_name) {
    static const struct {
        const char *model, *parameter;
        int64_t parameters; /* torchvision's for these arguments */
    } cases[] = {
        { "{ name: lenet }", "fc3.bias", 61706 },
        { "{ name: vgg, args: { depth: 11, hidden: 8, classes: 10, batch_norm: true, dropout: 0 } }",
          "features.26.weight", 9426858 },
        { "{ name: resnet, args: { depth: 18, classes: 10, in_channels: 1, zero_init_residual: true } }",
          "layer4.1.bn2.weight", 11175370 },
        { "{ name: resnet, args: { depth: 18, classes: 10, small_images: true } }", "layer4.1.bn2.weight", 11173962 },
        { "{ name: mobilenet_v2, args: { width_mult: 0.35, classes: 10, dropout: 0.1 } }", "classifier.1.weight",
          408938 },
        { "{ name: convnext, args: { size: tiny, classes: 10, stochastic_depth: 0, layer_scale: 0.1 } }",
          "features.7.2.layer_scale", 27827818 },
        { "{ name: vit, args: { size: b_32, layers: 2, width: 64, heads: 4, feedforward: 128, classes: 10 } }",
          "encoder.layers.encoder_layer_1.mlp.3.bias", 267658 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wk_module *module = build(cases[i].model);
        cr_assert_not_null(module, "%s: %s", cases[i].model, wk_message());
        cr_expect_eq(wk_parameter_count(module), cases[i].parameters, "%s: %lld", cases[i].model,
                     (long long)wk_parameter_count(module));
        cr_expect_not_null(wk_module_tensor(module, cases[i].parameter), "%s", wk_message());
        wk_clear_error();
        wk_module_destroy(module);
    }
}

Test(models, arguments_that_are_refused) {
    static const char *const cases[][2] = {
        { "{ name: resnet, args: { depth: 20 } }",
          "model \"resnet\": wk_resnet: depth is 20, expected 18, 34, 50, 101 or 152" },
        { "{ name: resnet, args: { classes: 0 } }", "classes" },
        { "{ name: vgg, args: { dropout: 1 } }", "model \"vgg\": wk_vgg: dropout is 1, expected 0 ≤ dropout < 1" },
        { "{ name: mobilenet_v2, args: { width: 1 } }", "unknown key \"width\"" },
        { "{ name: convnext, args: { size: huge } }",
          "model \"convnext\": size is \"huge\", expected tiny, small, base or large" },
        { "{ name: vit, args: { size: b } }", "model \"vit\": size is \"b\", expected b_16, b_32, l_16, l_32 or h_14" },
        { "{ name: vit, args: { width: 30, heads: 4 } }", "model \"vit\": wk_vit: width 30 is no multiple of 4 heads" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_null(build(cases[i][0]));
        cr_expect(strstr(wk_message(), cases[i][1]), "%s: %s", cases[i][0], wk_message());
        wk_clear_error();
    }
}
