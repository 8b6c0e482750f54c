/* lr_finder.c: a range test for the learning rate (Smith 2017), as Lightning's LearningRateFinder.
 *
 * Before the first step, some batches are trained with a rate that grows from step to step; the rate where the smoothed
 * loss falls fastest is taken.  Then everything is as it was: weights, optimizer and random numbers come back from a
 * checkpoint, so the run is the one that a file with that rate would have been.
 */
#include "train/callbacks/callbacks.h"

#include <float.h>
#include <math.h>
#include <unistd.h>

const wk_arg wk__lr_finder_args[] = {
    { "min_lr", WK_ARG_NUMBER, "1e-8", NULL },
    { "max_lr", WK_ARG_NUMBER, "1", NULL },
    { "num_training_steps", WK_ARG_INT, "100", "batches to try" },
    { "early_stop_threshold", WK_ARG_NUMBER, "4", "end once the loss is so many times the best" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

enum { MOST = 4096, SKIP_BEGIN = 10, SKIP_END = 1 };
typedef struct finder {
    wk_callback base;
    double least, most, threshold, found; /* found 0: not yet */
    int64_t steps;
} finder;

static void set_rates(wk_trainer *t, double lr) {
    for (int i = 0; i < t->optimizers; i++) wk__set_rates(&t->driven[i], lr);
}

/* A schedule begins at the rate that its optimizer has when it is made. */
static wk_status take(wk_trainer *t, double lr) {
    wk__driven *d = &t->driven[0];
    set_rates(t, lr);
    if (!d->schedule.lr) return WK_OK;
    wk_lr_destroy(d->schedule.lr);
    wk_free(d->schedule.context);
    wk_optim_begin_rates(d->optimizer);
    const wk_schedule_site site = wk_trainer_schedule_site(t, d->optimizer);
    d->time = 0;
    return wk_make_schedule(&t->config->root, "schedule", &site, &d->schedule);
}

static wk_status try_rates(finder *f, wk_trainer *t, double *lr, double *loss, int *count) {
    double average = 0, best = INFINITY;
    WK_TRY(wk_loader_start(t->loader, 0, 0));
    for (int64_t i = 0; i < f->steps; i++) {
        wk_batch batch;
        double value = NAN;
        bool counts;
        if (!wk_loader_next(t->loader, &batch)) {
            if (wk_failed()) return wk_error_code();
            WK_TRY(wk_loader_start(t->loader, i, 0));
            if (!wk_loader_next(t->loader, &batch)) return wk_failed() ? wk_error_code() : WK_END;
        }
        lr[i] = f->least * pow(f->most / f->least, (double)i / (double)(f->steps > 1 ? f->steps - 1 : 1));
        set_rates(t, lr[i]);
        WK_TRY(wk__train_batch(t, &batch, &value, &counts));
        t->standing.batch = (t->standing.batch + 1) % t->batches;
        if (!isfinite(value)) break;
        average = 0.98 * average + 0.02 * value;
        loss[(*count)++] = average / (1 - pow(0.98, (double)(i + 1)));
        if (i > 0 && loss[i] > f->threshold * best) break;
        best = fmin(best, loss[i]);
    }
    return WK_OK;
}

/* Where the loss falls fastest: numpy.gradient of what is neither beginning nor end. */
static int steepest(const double *loss, int count) {
    int first = SKIP_BEGIN, last = count - SKIP_END - 1, at = -1;
    double least = INFINITY;
    for (int i = first; i <= last && last > first; i++) {
        double slope = i == first  ? loss[i + 1] - loss[i]
                       : i == last ? loss[i] - loss[i - 1]
                                   : (loss[i + 1] - loss[i - 1]) / 2;
        if (slope < least) least = slope, at = i;
    }
    return at;
}

/* Training as it would be, with nobody looking on. */
static wk_status search(finder *f, wk_trainer *t) {
    wk__params lenient = *t->params;
    const wk__params *params = t->params;
    int callbacks = t->callbacks, count = 0;
    double *lr = wk_alloc(MOST * sizeof *lr), *loss = wk_alloc(MOST * sizeof *loss);
    lenient.skip_nan = true;
    t->params = &lenient;
    t->callbacks = 0;
    wk_status status = lr && loss ? try_rates(f, t, lr, loss, &count) : WK_NO_MEMORY;
    t->params = params;
    t->callbacks = callbacks;
    t->train_sums.count = 0;
    int at = status == WK_OK ? steepest(loss, count) : -1;
    if (at >= 0) f->found = lr[at];
    wk_free(loss);
    wk_free(lr);
    return status;
}

static wk_status restore(wk_trainer *t, const char *path, const wk__standing *standing, const wk_generator *generator) {
    const wk__checkpoint_context context = wk__context_of(t);
    wk__standing unused;
    wk_status status = wk__checkpoint_load(path, &context, WK__PART_ALL, &unused);
    t->standing = *standing;
    *wk_default_generator() = *generator;
    return status;
}

static wk_status find(wk_callback *self, wk_trainer *t) {
    finder *f = (finder *)self;
    if (wk_trainer_step(t) > 0 || t->params->fast_dev_run)
        return WK_OK; /* what was found has come with the checkpoint */
    const wk__standing standing = t->standing;
    wk_generator *generator = wk_alloc(sizeof *generator);
    char *path = wk_format("%s/checkpoints/lr_finder.safetensors", wk_trainer_folder(t));
    double before = wk_optim_lr(t->driven[0].optimizer);
    if (!generator || !path) return WK_NO_MEMORY;
    *generator = *wk_default_generator();
    wk_status status = wk_trainer_save(t, path, false);
    if (status == WK_OK) status = wk__saves_end(t);
    if (status == WK_OK) status = wk__saves_settle(t);
    if (status == WK_OK) status = wk_barrier(t->group);
    if (status == WK_OK) status = search(f, t);
    double found = f->found;
    if (status == WK_OK) status = restore(t, path, &standing, generator);
    f->found = found; /* the checkpoint is from before */
    if (status == WK_OK) status = wk_barrier(t->group);
    if (wk_trainer_rank(t) == 0) (void)unlink(path);
    wk_free(path);
    wk_free(generator);
    if (status == WK_OK && f->found > 0)
        wk_trainer_say(t, "LearningRateFinder: %g, where the loss falls fastest", f->found);
    else if (status == WK_OK)
        wk_trainer_say(t, "LearningRateFinder: too few steps to tell; the rate stays %g", before);
    return status == WK_OK ? take(t, f->found > 0 ? f->found : before) : status;
}

static wk_status again(wk_callback *self, wk_trainer *t) {
    finder *f = (finder *)self;
    if (t->resets_lr) f->found = 0;
    return f->found > 0 ? take(t, f->found) : WK_OK;
}

static const char *const names[] = { "found" };
static char *state(wk_callback *self) {
    return wk__numbers_write(names, &((const finder *)self)->found, 1);
}
static wk_status load_state(wk_callback *self, const char *text) {
    return wk__numbers_read(text, names, &((finder *)self)->found, 1);
}

static const wk_callback_class class_ = { .name = "LearningRateFinder",
                                          .size = sizeof(finder),
                                          .load_checkpoint = again,
                                          .fit_start = find,
                                          .state = state,
                                          .load_state = load_state,
                                          .never_stops = true };

wk_callback *wk__lr_finder_build(const wk_config *args) {
    finder *f = (finder *)wk_callback_create(&class_);
    if (!f) return NULL;
    f->least = wk_config_double(args, "min_lr", DBL_MIN, 1e6, 1e-8);
    f->most = wk_config_double(args, "max_lr", DBL_MIN, 1e6, 1);
    f->steps = wk_config_int(args, "num_training_steps", 1, MOST, 100);
    f->threshold = wk_config_double(args, "early_stop_threshold", 0, DBL_MAX, 4);
    if (!wk_failed() && f->most <= f->least)
        (void)wk_config_fail(args, "max_lr", "max_lr is %g, expected more than min_lr, %g", f->most, f->least);
    return &f->base;
}
