/* dcgan.c: a generator and its critic, two optimizers in a step, as a plug-in of a run's file.
 * README.md beside it says how it is built and run.
 *
 * Radford et al. 2015, in the steps of PyTorch's example: the critic learns from real images and from drawn ones, then
 * the generator from what the critic makes of the drawn ones.  The wrapper zeroes, runs backward and steps by itself,
 * through the trainer, so that clipping, mixed precision and hooks are as everywhere.
 */
#include <wick/models.h>
#include <wick/op.h>
#include <wick/train.h>

enum { CRITIC, GENERATOR };

typedef struct dcgan {
    wk_wrapper base;
    wk_module *critic, *generator;
    int64_t latent;
} dcgan;

static wk_status configure(wk_wrapper *self, wk_trainer *trainer, const wk_config *run) {
    dcgan *me = (dcgan *)self;
    wk_module *const parts[] = { [CRITIC] = me->critic, [GENERATOR] = me->generator };
    for (int i = 0; i < 2; i++) {
        wk_optim *optimizer = wk_make_optimizer(run, "optimizer", wk_parameters(parts[i]));
        wk_built_schedule none = { 0 };
        WK_TRY(optimizer ? wk_trainer_add_optimizer(trainer, optimizer, none) : wk_error_code());
    }
    return WK_OK;
}

/* Mean binary cross-entropy of the critic's probabilities with one label for all. */
static wk_tensor *judged(wk_module *critic, wk_tensor *images, double label) {
    wk_tensor *p = wk_forward(critic, images);
    wk_tensor *labels = p ? wk_to_device(wk_full(wk_dtype_get(p), wk_dims_get(p), label), wk_device_of(p)) : NULL;
    return wk_binary_cross_entropy(p, labels, NULL, (wk_loss_opts){ 0 });
}

static wk_tensor *draw(dcgan *me, wk_trainer *trainer, int64_t n) {
    const wk_normal_opts opts = { .dims = WK_DIMS(n, me->latent, 1, 1), .dtype = WK_F32 };
    return wk_forward(me->generator, wk_to_device(wk_normal(wk_random_key(), opts), wk_trainer_device(trainer)));
}

/* The critic works on 64 × 64. */
static wk_tensor *enlarged(wk_tensor *images) {
    return wk_interpolate(images, (wk_interpolate_opts){ .size = { 64, 64 }, .mode = WK_INTERPOLATE_LINEAR });
}

static wk_tensor *training_step(wk_wrapper *self, wk_trainer *trainer, const wk_batch *batch) {
    dcgan *me = (dcgan *)self;
    const wk_log_opts shown = { .prog_bar = true };
    if (wk_trainer_zero_grad(trainer, CRITIC) != WK_OK) return NULL;
    wk_tensor *drawn = draw(me, trainer, batch->size);
    wk_tensor *real = judged(me->critic, enlarged(batch->input), 1), *fake = judged(me->critic, wk_detach(drawn), 0);
    wk_tensor *critic_loss = wk_add(real, fake);
    if (wk_trainer_backward(trainer, critic_loss) != WK_OK) return NULL;
    if (wk_trainer_optimizer_step(trainer, CRITIC) != WK_OK) return NULL;

    if (wk_trainer_zero_grad(trainer, GENERATOR) != WK_OK) return NULL;
    wk_tensor *generator_loss = judged(me->critic, drawn, 1);
    if (wk_trainer_backward(trainer, generator_loss) != WK_OK) return NULL;
    if (wk_trainer_optimizer_step(trainer, GENERATOR) != WK_OK) return NULL;
    if (wk_trainer_log(trainer, "critic_loss", wk_item(critic_loss), shown) != WK_OK) return NULL;
    if (wk_trainer_log(trainer, "generator_loss", wk_item(generator_loss), shown) != WK_OK) return NULL;
    return generator_loss;
}

/* A sheet of images a validation, for TensorBoard: (channels, rows · 64, columns · 64) from -1 to 1. */
static wk_status show(dcgan *me, wk_trainer *trainer) {
    enum { ROWS = 4, COLUMNS = 8, SIDE = 64 };
    wk_tensor *drawn = draw(me, trainer, ROWS * COLUMNS);
    if (!drawn) return wk_error_code();
    const int64_t channels = wk_dims_get(drawn).size[1];
    wk_tensor *images = wk_reshape(drawn, WK_DIMS(ROWS, COLUMNS, channels, SIDE, SIDE));
    wk_tensor *lines = wk_permute(images, WK_DIMS(2, 0, 3, 1, 4)); /* channel, row, line, column, pixel */
    wk_tensor *sheet = wk_reshape(wk_contiguous(lines), WK_DIMS(channels, ROWS * SIDE, COLUMNS * SIDE));
    WK_TRY(wk_trainer_log_image(trainer, "drawn", wk_affine(sheet, (wk_affine_opts){ 0.5, 0.5 })));
    return wk_trainer_log_histogram(trainer, "drawn/brightness", sheet);
}

static wk_status log_mean(wk_trainer *trainer, const char *name, wk_tensor *values) {
    wk_tensor *mean = wk_mean(values, (wk_reduce_opts){ 0 });
    return mean ? wk_trainer_log(trainer, name, wk_item(mean), (wk_log_opts){ 0 }) : wk_error_code();
}

/* How often the critic is right, about a half when the generator is good; and, which asks no critic, how far the mean
 * of a batch of drawn images lies from that of real ones, pixel by pixel, from 0 to 2. */
static wk_status validation_step(wk_wrapper *self, wk_trainer *trainer, const wk_batch *batch) {
    dcgan *me = (dcgan *)self;
    const wk_reduce_opts of_batch = { .axes = WK_DIMS(0) };
    wk_tensor *real = enlarged(batch->input), *drawn = draw(me, trainer, batch->size);
    if (!real || !drawn) return wk_error_code();
    if (batch->index == 0 && wk_trainer_stage(trainer) == WK_STAGE_VALIDATE) WK_TRY(show(me, trainer));
    WK_TRY(log_mean(trainer, "val_real", wk_forward(me->critic, real)));
    WK_TRY(log_mean(trainer, "val_drawn", wk_forward(me->critic, drawn)));
    return log_mean(trainer, "val_gap", wk_abs(wk_sub(wk_mean(real, of_batch), wk_mean(drawn, of_batch))));
}

static const wk_wrapper_class dcgan_class = { .name = "dcgan",
                                              .size = sizeof(dcgan),
                                              .configure_optimizers = configure,
                                              .training_step = training_step,
                                              .steps_itself = true,
                                              .validation_step = validation_step };

static wk_wrapper *build(const wk_config *args, const wk_config *run) {
    static const char *const names[] = { "critic", "generator" };
    const wk_dcgan_opts opts = { .latent = wk_config_int(args, "latent", 1, 4096, 100),
                                 .width = wk_config_int(args, "width", 1, 4096, 64),
                                 .channels = wk_config_int(args, "channels", 1, 16, 1) };
    (void)run;
    wk_wrapper *self = wk_wrapper_create(&dcgan_class);
    if (!self) return NULL;
    dcgan *me = (dcgan *)self;
    me->latent = opts.latent;
    me->generator = wk_dcgan_generator(opts); /* drawn first, as in PyTorch's example */
    me->critic = wk_dcgan_discriminator(opts);
    wk_module *const children[] = { me->critic, me->generator };
    self->module = wk_nn_module_dict_of(names, children, 2);
    return self;
}
static const wk_arg args[] = { { "latent", WK_ARG_INT, "100", "numbers an image is drawn from" },
                               { "width", WK_ARG_INT, "64", "channels next to the image" },
                               { "channels", WK_ARG_INT, "1", "of the images" },
                               { NULL, WK_ARG_INT, NULL, NULL } };
static const wk_wrapper_entry entry = { { "dcgan", "a generator and its critic", args }, build };

static wk_status load(void) {
    return wk_register_wrapper(&entry);
}

WK_API extern const wk_plugin wick_plugin;
const wk_plugin wick_plugin = { WK_PLUGIN_API, "dcgan", load };
