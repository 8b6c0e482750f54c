/* averaging.c: averages of the weights: EMA, and stochastic weight averaging (Izmailov et al. 2018).
 *
 * The model trains on its own weights.  To validate, and to keep, the averages are put in their place and taken out
 * again, so both metrics and the saved best speak of the same weights; EMA's checkpoints hold both.
 */
#include "train/callbacks/callbacks.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- EMA ---- */

const wk_arg wk__ema_args[] = {
    { "decay", WK_ARG_NUMBER, "0.999", "average += (1 - decay)(weights - average)" },
    { "every_n_steps", WK_ARG_INT, "1", NULL },
    { "use_buffers", WK_ARG_BOOL, "false", "average buffers too; else they are copied" },
    { "validate", WK_ARG_BOOL, "true", "validate with the averages" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

typedef struct averager {
    wk_callback base;
    wk_average *average;
    double decay;
    int64_t every, last_step;
    bool use_buffers, validates, swapped;
    /* SWA */
    double start; /* epochs, or a part of all */
    double lr;    /* NAN: as it is */
    int64_t anneal;
    double lr_before;
} averager;

static wk_status ema_setup(wk_callback *self, wk_trainer *t) {
    averager *a = (averager *)self;
    const wk_average_opts opts = { .decay = WK_SET(a->decay), .use_buffers = a->use_buffers };
    a->average = wk_average_create(wk_trainer_model(t), opts);
    return a->average ? WK_OK : wk_error_code();
}

static wk_status ema_after_batch(wk_callback *self, wk_trainer *t) {
    averager *a = (averager *)self;
    int64_t step = wk_trainer_step(t);
    if (step == a->last_step || step % a->every != 0) return WK_OK;
    a->last_step = step;
    return wk_average_update(a->average);
}

static wk_status swap(averager *a) {
    a->swapped = !a->swapped;
    return wk_average_swap(a->average);
}
static wk_status ema_in(wk_callback *self, wk_trainer *t) {
    averager *a = (averager *)self;
    bool has_some = wk_trainer_stage(t) != WK_STAGE_SANITY && a->last_step > 0;
    return a->validates && has_some && !a->swapped ? swap(a) : WK_OK;
}
static wk_status ema_out(wk_callback *self, wk_trainer *t) {
    (void)t;
    averager *a = (averager *)self;
    return a->swapped ? swap(a) : WK_OK;
}
/* A signal within a validation has the run saved there: its own weights belong into the checkpoint. */
static wk_status ema_before_save(wk_callback *self, wk_trainer *t) {
    return ema_out(self, t);
}
/* The run's result is the average. */
static wk_status ema_end(wk_callback *self, wk_trainer *t) {
    averager *a = (averager *)self;
    char *path = wk_trainer_rank(t) == 0 && a->last_step > 0
                     ? wk_format("%s/checkpoints/ema.safetensors", wk_trainer_folder(t))
                     : NULL;
    if (!path || t->params->fast_dev_run) {
        wk_free(path);
        return wk_failed() ? wk_error_code() : WK_OK;
    }
    wk_status status = wk_average_swap(a->average);
    if (status == WK_OK) status = wk_module_save(wk_trainer_model(t), path);
    if (status == WK_OK) status = wk_average_swap(a->average);
    wk_free(path);
    return status;
}

static wk_named_tensors average_tensors(wk_callback *self) {
    return wk_average_state(((averager *)self)->average);
}
static void average_destroy(wk_callback *self) {
    wk_average_destroy(((averager *)self)->average);
}
static const char *const ema_names[] = { "last_step" };
static char *ema_state(wk_callback *self) {
    const double value = (double)((const averager *)self)->last_step;
    return wk__numbers_write(ema_names, &value, 1);
}
static wk_status ema_load(wk_callback *self, const char *text) {
    double value;
    WK_TRY(wk__numbers_read(text, ema_names, &value, 1));
    ((averager *)self)->last_step = (int64_t)value;
    return WK_OK;
}

static const wk_callback_class ema_class = { .name = "EMA",
                                             .size = sizeof(averager),
                                             .setup = ema_setup,
                                             .train_batch_end = ema_after_batch,
                                             .validation_start = ema_in,
                                             .validation_end = ema_out,
                                             .save_checkpoint = ema_before_save,
                                             .train_end = ema_end,
                                             .tensors = average_tensors,
                                             .state = ema_state,
                                             .load_state = ema_load,
                                             .destroy = average_destroy,
                                             .never_stops = true };

wk_callback *wk__ema_build(const wk_config *args) {
    averager *a = (averager *)wk_callback_create(&ema_class);
    if (!a) return NULL;
    a->decay = wk_config_double(args, "decay", 0, 1, 0.999);
    a->every = wk_config_int(args, "every_n_steps", 1, INT64_MAX, 1);
    a->use_buffers = wk_config_bool(args, "use_buffers", false);
    a->validates = wk_config_bool(args, "validate", true);
    return &a->base;
}

/* ---- StochasticWeightAveraging ---- */

const wk_arg wk__swa_args[] = {
    { "swa_lrs", WK_ARG_NUMBER, NULL, "the rate that the optimizer is brought to" },
    { "swa_epoch_start", WK_ARG_NUMBER, "0.8", "an epoch (from 1), or a part of all" },
    { "annealing_epochs", WK_ARG_INT, "10", "epochs on the way to that rate" },
    { "annealing_strategy", WK_ARG_TEXT, "cos", "cos" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

static int64_t first_epoch(const averager *a, const wk_trainer *t) {
    return a->start < 1 ? (int64_t)(a->start * (double)wk_trainer_epochs(t)) : (int64_t)a->start - 1;
}

static wk_status swa_setup(wk_callback *self, wk_trainer *t) {
    averager *a = (averager *)self;
    if (t->driven[0].schedule.lr && !wk_failed())
        return wk_fail(WK_CONFIG, "it drives the learning rate to swa_lrs: leave the section schedule out");
    a->average = wk_average_create(wk_trainer_model(t), (wk_average_opts){ 0 });
    return a->average ? WK_OK : wk_error_code();
}

/* torch.optim.swa_utils.SWALR: a cosine from the rate before to the new one. */
static wk_status swa_epoch_start(wk_callback *self, wk_trainer *t) {
    averager *a = (averager *)self;
    int64_t since = wk_trainer_epoch(t) - first_epoch(a, t);
    wk_optim *optimizer = wk_trainer_optimizer(t, 0);
    if (since < 0) return WK_OK;
    if (!(a->lr_before > 0)) a->lr_before = wk_optim_lr(optimizer);
    wk__rates_raise(t);
    double part = a->anneal > 0 ? fmin(1, (double)(since + 1) / (double)a->anneal) : 1;
    double alpha = (1 - cos(3.14159265358979323846 * part)) / 2;
    for (int g = 0; g < wk_optim_groups(optimizer); g++) {
        const double before = a->lr_before * wk__rate_ratio(&t->driven[0], g);
        WK_TRY(wk_optim_set(optimizer, g, "lr", a->lr * alpha + before * (1 - alpha)));
    }
    wk__rates_lower(t);
    return WK_OK;
}

static wk_status swa_load_checkpoint(wk_callback *self, wk_trainer *t) {
    if (t->resets_lr) ((averager *)self)->lr_before = 0;
    return WK_OK;
}

static wk_status swa_epoch_end(wk_callback *self, wk_trainer *t) {
    averager *a = (averager *)self;
    if (wk_trainer_epoch(t) < first_epoch(a, t) || wk_trainer_step(t) == a->last_step) return WK_OK;
    a->last_step = wk_trainer_step(t);
    return wk_average_update(a->average);
}

/* One pass over the training data, for statistics that belong to the averaged weights. */
typedef struct pass {
    wk_trainer *trainer;
    int64_t left;
} pass;
static wk_tensor *next_input(void *context) {
    pass *p = context;
    wk_batch batch;
    if (p->left-- <= 0 || !wk_loader_next(p->trainer->loader, &batch)) return NULL;
    return wk_to_device(batch.input, p->trainer->device);
}
static void find_norms(void *context, wk_module *module) {
    if (strncmp(module->class_->name, "BatchNorm", 9) == 0) *(bool *)context = true;
}

static wk_status swa_end(wk_callback *self, wk_trainer *t) {
    averager *a = (averager *)self;
    if (a->last_step == 0) return WK_OK;
    bool has_norms = false;
    pass p = { t, wk_trainer_batches(t) };
    WK_TRY(wk_average_swap(a->average)); /* the model keeps the average: it is the result */
    wk_module_apply(wk_trainer_model(t), find_norms, &has_norms);
    if (has_norms) {
        WK_TRY(wk_loader_start(t->loader, 0, 0));
        WK_TRY(wk_update_batch_norm(wk_trainer_model(t), next_input, &p));
    }
    if (wk_trainer_rank(t) != 0 || t->params->fast_dev_run) return WK_OK;
    char *path = wk_format("%s/checkpoints/swa.safetensors", wk_trainer_folder(t));
    wk_status status = path ? wk_module_save(wk_trainer_model(t), path) : WK_NO_MEMORY;
    wk_free(path);
    return status;
}

static const char *const swa_names[] = { "last_step", "lr_before" };
static char *swa_state(wk_callback *self) {
    const averager *a = (const averager *)self;
    const double values[] = { (double)a->last_step, a->lr_before };
    return wk__numbers_write(swa_names, values, 2);
}
static wk_status swa_load(wk_callback *self, const char *text) {
    double values[2];
    WK_TRY(wk__numbers_read(text, swa_names, values, 2));
    ((averager *)self)->last_step = (int64_t)values[0];
    ((averager *)self)->lr_before = values[1];
    return WK_OK;
}

static const wk_callback_class swa_class = { .name = "StochasticWeightAveraging",
                                             .size = sizeof(averager),
                                             .setup = swa_setup,
                                             .load_checkpoint = swa_load_checkpoint,
                                             .train_epoch_start = swa_epoch_start,
                                             .train_epoch_end = swa_epoch_end,
                                             .train_end = swa_end,
                                             .tensors = average_tensors,
                                             .state = swa_state,
                                             .load_state = swa_load,
                                             .destroy = average_destroy,
                                             .never_stops = true };

wk_callback *wk__swa_build(const wk_config *args) {
    static const char *const strategies[] = { "cos", NULL };
    averager *a = (averager *)wk_callback_create(&swa_class);
    if (!a) return NULL;
    a->lr = wk_config_double(args, "swa_lrs", DBL_MIN, DBL_MAX, 0.05);
    a->start = wk_config_double(args, "swa_epoch_start", 0, 1e6, 0.8);
    a->anneal = wk_config_int(args, "annealing_epochs", 0, INT32_MAX, 10);
    (void)wk_config_choice(args, "annealing_strategy", strategies, 0);
    return &a->base;
}
