/* dcgan.c: a generator of images and its critic.  Radford, Metz & Chintala 2015, "Unsupervised representation learning
 * with deep convolutional generative adversarial networks"; as the example `dcgan` of PyTorch, images of 64 × 64.
 */
#include "models/models.h"

typedef struct dcgan {
    wk_module base;
    wk_module *main;
} dcgan;

static wk_tensor *generator_forward(wk_module *self, wk_tensor *z) {
    return wk_forward(((const dcgan *)self)->main, z);
}
static wk_tensor *discriminator_forward(wk_module *self, wk_tensor *x) {
    return wk_reshape(wk_forward(((const dcgan *)self)->main, x), WK_DIMS(-1));
}
static const wk_module_class generator_class = { .name = "Generator",
                                                 .size = sizeof(dcgan),
                                                 .forward = generator_forward };
static const wk_module_class discriminator_class = { .name = "Discriminator",
                                                     .size = sizeof(dcgan),
                                                     .forward = discriminator_forward };

/* The example's weights_init. */
static void initialise(void *context, wk_module *m) {
    (void)context;
    if (wk__is(m, "Conv2d") || wk__is(m, "ConvTranspose2d"))
        (void)wk_init_normal(wk__own(m, "weight"), 0, 0.02);
    else if (wk__is(m, "BatchNorm2d"))
        (void)wk_init_normal(wk__own(m, "weight"), 1, 0.02);
}

static wk_module *finish(const wk_module_class *class_, wk_module *main) {
    wk_module *self = wk_module_create(class_);
    if (self)
        ((dcgan *)self)->main = wk_module_add(self, "main", main);
    else
        wk_module_destroy(main);
    wk_module_apply(self, initialise, NULL);
    return wk__finished(self);
}

static bool opts_fit(const char *who, wk_dcgan_opts *opts) {
    opts->latent = wk__or(opts->latent, 100), opts->width = wk__or(opts->width, 64);
    opts->channels = wk__or(opts->channels, 3);
    return !wk_failed() && wk__size_fits(who, "latent", opts->latent, 1) && wk__size_fits(who, "width", opts->width, 1)
           && wk__size_fits(who, "channels", opts->channels, 1);
}

/* 1 → 4 → 8 → 16 → 32 → 64 */
wk_module *wk_dcgan_generator(wk_dcgan_opts opts) {
    if (!opts_fit("wk_dcgan_generator", &opts)) return NULL;
    const wk_nn_conv_transpose_opts first = { .no_bias = true },
                                    twice = { .conv = { .stride = { 2, 2 }, .padding = { 1, 1 } }, .no_bias = true };
    wk_module *main = wk_nn_sequential_of(NULL, 0);
    for (int i = 0; i < 4; i++) {
        const int64_t in = i ? 16 * opts.width >> i : opts.latent, out = 8 * opts.width >> i;
        (void)wk_module_append(main, wk_nn_conv_transpose2d(in, out, 4, i ? twice : first));
        (void)wk_module_append(main, wk_nn_batch_norm2d(out, (wk_nn_batch_norm_opts){ 0 }));
        (void)wk_module_append(main, wk_nn_relu());
    }
    (void)wk_module_append(main, wk_nn_conv_transpose2d(opts.width, opts.channels, 4, twice));
    (void)wk_module_append(main, wk_nn_tanh());
    return finish(&generator_class, main);
}

/* 64 → 32 → 16 → 8 → 4 → 1 */
wk_module *wk_dcgan_discriminator(wk_dcgan_opts opts) {
    if (!opts_fit("wk_dcgan_discriminator", &opts)) return NULL;
    const wk_nn_conv2d_opts half = { .conv = { .stride = { 2, 2 }, .padding = { 1, 1 } }, .no_bias = true },
                            last = { .no_bias = true };
    wk_module *main = wk_nn_sequential_of(NULL, 0);
    for (int i = 0; i < 4; i++) {
        const int64_t in = i ? opts.width << (i - 1) : opts.channels, out = opts.width << i;
        (void)wk_module_append(main, wk_nn_conv2d(in, out, 4, half));
        if (i > 0) (void)wk_module_append(main, wk_nn_batch_norm2d(out, (wk_nn_batch_norm_opts){ 0 }));
        (void)wk_module_append(main, wk_nn_leaky_relu((wk_leaky_relu_opts){ WK_SET(0.2) }));
    }
    (void)wk_module_append(main, wk_nn_conv2d(8 * opts.width, 1, 4, last));
    (void)wk_module_append(main, wk_nn_sigmoid());
    return finish(&discriminator_class, main);
}
