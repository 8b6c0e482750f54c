/* trainer.c: the training loop.
 *
 * Every decision that all ranks must share (may the run start, is it resumed) is made on one rank and agreed on before
 * anything else happens, so that no rank waits for one that has stopped.
 */
#include "train/trainer.h"

#include "train/progress.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct trainer {
    const wk__run_config *config;
    wk_group *group;
    int rank, ranks;
    wk_dataset *train_data, *val_data;
    wk_loader *loader, *val_loader;
    wk_module *model;
    wk_optim *optimizer;
    wk_ddp *ddp;
    wk_schedule schedule;
    wk_cross_entropy_opts loss;
    int64_t steps_an_epoch, total_steps;
    wk__standing standing;
    wk__folder folder;
    wk__progress progress;
    double started; /* of this process's part of the run */
    int64_t first_step;
    double window_start; /* since the last logged row */
    int64_t window_steps;
    double window_loss;
} trainer;

/* ---- agreeing ---- */

/* WK_OK if every rank says so.  A rank that has no error of its own gets one that names the first that has, already
 * reported there. */
static wk_status agree(const trainer *t, wk_status mine) {
    if (t->ranks < 2) return mine;
    wk__error *slot = wk__error_slot(), kept = *slot;
    wk_clear_error();
    wk_scope scope = wk_scope_begin();
    int64_t flag = mine != WK_OK;
    wk_tensor *in = wk_from_array(WK_I64, WK_DIMS(1), &flag), *all = wk_zeros(WK_I64, WK_DIMS(t->ranks));
    wk_status status = in && all ? wk_all_gather(t->group, in, all, NULL) : wk_error_code();
    int failed = -1;
    for (int i = t->ranks - 1; status == WK_OK && i >= 0; i--)
        if (((const int64_t *)wk_data(all))[i]) failed = i;
    wk_scope_end(scope);
    if (mine != WK_OK) {
        *slot = kept;
        return mine;
    }
    if (status == WK_OK && failed >= 0)
        return wk_fail(WK_CANCELLED, "rank %d could not start; its message says why", failed);
    return status;
}

/* ---- setting up ---- */

static wk_loader *make_loader(const trainer *t, const wk_dataset *dataset, bool training) {
    wk_loader_opts opts = {
        .batch_size = t->config->batch_size,
        .sampler = { .rank = t->rank, .ranks = t->ranks, .shuffle = training, .seed = t->config->seed },
        .workers = (int)t->config->workers,
    };
    return wk_loader_create(dataset, opts);
}

static wk_status check_classes(const trainer *t) {
    /* A forward of one item tells whether model and data fit, before hours are spent. */
    wk_dims dims = { .rank = t->train_data->input_dims.rank + 1, .size = { 1 } };
    memcpy(dims.size + 1, t->train_data->input_dims.size, (size_t)t->train_data->input_dims.rank * sizeof dims.size[0]);
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_module_train(t->model, false);
    wk_tensor *logits = wk_forward(t->model, wk_zeros(t->train_data->input_dtype, dims));
    wk_module_train(t->model, true);
    wk_no_grad_end(was);
    wk_status status = logits ? WK_OK : wk_error_code();
    if (status == WK_OK && (wk_rank(logits) != 2 || wk_size(logits, 1) != t->train_data->classes))
        status = wk_fail(WK_CONFIG, "model \"%s\" gives %lld scores for an item, the data has %d classes",
                         t->config->model.name, (long long)wk_size(logits, -1), t->train_data->classes);
    wk_scope_end(scope);
    return status;
}

static wk_status build(trainer *t) {
    WK_TRY(wk__build_data(t->config, &t->train_data, &t->val_data));
    wk_manual_seed(t->config->seed);
    t->model = wk__build_model(t->config);
    if (!t->model) return wk_error_code();
    WK_TRY(check_classes(t));
    t->optimizer = wk__build_optimizer(t->config, t->model);
    if (!t->optimizer) return wk_error_code();
    t->loader = make_loader(t, t->train_data, true);
    t->val_loader = t->loader ? make_loader(t, t->val_data, false) : NULL;
    if (!t->val_loader) return wk_error_code();
    t->steps_an_epoch = wk_loader_batches(t->loader);
    t->total_steps = t->steps_an_epoch * t->config->max_epochs;
    if (t->config->max_steps && t->config->max_steps < t->total_steps) t->total_steps = t->config->max_steps;
    WK_TRY(wk__build_schedule(t->config, t->optimizer, t->total_steps, &t->schedule));
    return wk__build_loss(t->config, &t->loss);
}

static wk__checkpoint_context context_of(const trainer *t) {
    return (wk__checkpoint_context){ t->config, t->model, t->optimizer, t->ranks };
}

static wk_status load_last(trainer *t, wk__start start, bool *resumed) {
    char *path = wk__checkpoint_path(t->config->output, "last");
    if (!path) return WK_NO_MEMORY;
    bool exists = access(path, F_OK) == 0;
    wk_status status = WK_OK;
    *resumed = false;
    if (exists && start == WK__START_NEW) {
        status = wk_fail(
            WK_EXISTS,
            "%s holds a run already: pass --resume to go on with it, --overwrite to start anew, or -o output=DIRECTORY",
            t->config->output);
    } else if (exists && start == WK__START_RESUME) {
        const wk__checkpoint_context context = context_of(t);
        status = wk__checkpoint_load(path, &context, &t->standing);
        *resumed = status == WK_OK;
    }
    wk_free(path);
    return status;
}

/* Each rank draws its own masks: the same counter under a seed of its own. */
static void set_random(const trainer *t) {
    wk_generator *generator = wk_default_generator();
    generator->seed = t->standing.random_seed + UINT64_C(0x9E3779B97F4A7C15) * (uint64_t)t->rank;
    generator->counter = t->standing.random_counter;
}

static wk_status set_up(trainer *t, wk__start start) {
    wk_status status = build(t);
    bool resumed = false;
    t->standing = (wk__standing){ .best_accuracy = -1, .random_seed = t->config->seed };
    if (status == WK_OK) status = load_last(t, start, &resumed);
    /* No rank may write before all have looked. */
    WK_TRY(agree(t, status));
    if (t->rank == 0) status = wk__folder_open(&t->folder, t->config, resumed ? t->standing.step : -1);
    WK_TRY(agree(t, status));
    set_random(t);
    if (t->ranks > 1) {
        t->ddp = wk_ddp_create(t->group, t->model, (wk_ddp_opts){ 0 });
        if (!t->ddp) return wk_error_code();
    }
    wk__folder_say(
        &t->folder, "model %s: %lld parameters; %lld training and %lld evaluation items; %d rank%s × %d thread%s",
        t->config->model.name, (long long)wk_parameter_count(t->model), (long long)t->train_data->count,
        (long long)t->val_data->count, t->ranks, t->ranks == 1 ? "" : "s", wk_threads(), wk_threads() == 1 ? "" : "s");
    if (resumed)
        wk__folder_say(&t->folder, "resumed at epoch %lld, step %lld", (long long)t->standing.epoch + 1,
                       (long long)t->standing.step);
    return WK_OK;
}

static void tear_down(trainer *t) {
    wk_ddp_destroy(t->ddp);
    wk_loader_destroy(t->loader);
    wk_loader_destroy(t->val_loader);
    wk_optim_destroy(t->optimizer);
    wk_module_destroy(t->model);
    wk_dataset_destroy(t->train_data);
    wk_dataset_destroy(t->val_data);
    wk__folder_close(&t->folder);
}

/* ---- evaluation ---- */

/* The sampler fills every rank up to the same length by repeating items; those are not counted. */
static int64_t hide_repeats(const trainer *t, const wk_batch *batch) {
    int64_t first = batch->index * t->config->batch_size, valid = 0;
    int64_t *target = wk_data(batch->target);
    for (int64_t i = 0; target && i < batch->size; i++) {
        if ((first + i) * t->ranks + t->rank < t->val_data->count)
            valid++;
        else
            target[i] = -100;
    }
    return valid;
}

static wk_status evaluate_batch(const trainer *t, const wk_batch *batch, double sums[3]) {
    int64_t valid = hide_repeats(t, batch);
    wk_scope scope = wk_scope_begin();
    wk_tensor *logits = wk_forward(t->model, batch->input);
    wk_tensor *loss = wk_cross_entropy(logits, batch->target, (wk_cross_entropy_opts){ .reduction = WK_REDUCTION_SUM });
    wk_tensor *hits = wk_sum(wk_eq(wk_argmax(logits, (wk_axis_opts){ { 0 } }), batch->target), (wk_reduce_opts){ 0 });
    if (!wk_failed()) {
        sums[0] += wk_item(loss);
        sums[1] += wk_item(hits);
        sums[2] += (double)valid;
    }
    wk_scope_end(scope);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status evaluate(trainer *t, double *loss, double *accuracy) {
    double sums[3] = { 0 };
    wk_batch batch;
    wk_module_train(t->model, false);
    bool was = wk_no_grad_begin();
    wk_status status = wk_loader_start(t->val_loader, 0, 0);
    while (status == WK_OK && wk_loader_next(t->val_loader, &batch)) status = evaluate_batch(t, &batch, sums);
    if (status == WK_OK && wk_failed()) status = wk_error_code();
    wk_no_grad_end(was);
    wk_module_train(t->model, true);
    WK_TRY(status);
    wk_scope scope = wk_scope_begin();
    wk_tensor *total = wk_from_array(WK_F64, WK_DIMS(3), sums);
    status = total ? wk_all_reduce(t->group, total, WK_REDUCE_SUM, NULL) : wk_error_code();
    if (status == WK_OK) {
        const double *all = wk_data(total);
        *loss = all[0] / all[2];
        *accuracy = all[1] / all[2];
    }
    wk_scope_end(scope);
    return status;
}

/* ---- steps ---- */

static wk_status train_step(trainer *t, const wk_batch *batch, double *loss_value) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *loss = wk_cross_entropy(wk_forward(t->model, batch->input), batch->target, t->loss);
    wk_zero_grad(t->optimizer);
    wk_status status = wk_backward(loss);
    if (status == WK_OK && t->config->gradient_clip > 0)
        status = wk_clip_grad_norm(t->optimizer, t->config->gradient_clip, NULL);
    int64_t time = t->schedule.kind == WK_SCHEDULE_STEP ? t->standing.epoch : t->standing.step;
    wk_optim_set_lr(t->optimizer, wk_schedule_lr(&t->schedule, time));
    wk_status stepped = wk_optim_step(t->optimizer);
    if (status == WK_OK) status = stepped;
    if (status == WK_OK) *loss_value = wk_item(loss);
    wk_scope_end(scope);
    if (status == WK_OK && !isfinite(*loss_value))
        status = wk_fail(WK_STATE, "the loss is %g at step %lld: a smaller learning rate or gradient clipping may help",
                         *loss_value, (long long)t->standing.step + 1);
    return status;
}

static double rate_since(double start, int64_t steps, const trainer *t) {
    double seconds = wk_now() - start;
    return seconds > 0 ? (double)(steps * t->config->batch_size * t->ranks) / seconds : 0;
}

static wk_status log_window(trainer *t) {
    wk__standing *s = &t->standing;
    double loss = t->window_loss / (double)t->window_steps, rate = rate_since(t->window_start, t->window_steps, t);
    wk__metrics row = { s->step, s->epoch + 1, wk_optim_lr(t->optimizer), loss, rate, NAN, NAN };
    wk_status status = wk__folder_metrics(&t->folder, &row);
    if (!t->progress.is_terminal && t->progress.enabled) {
        char left[16];
        wk__duration((double)(t->total_steps - s->step) * (wk_now() - t->started) / (double)(s->step - t->first_step),
                     left);
        wk__folder_say(&t->folder, "epoch %lld/%lld  step %lld/%lld  %.0f img/s  loss %.4f  eta %s",
                       (long long)s->epoch + 1, (long long)t->config->max_epochs, (long long)s->step,
                       (long long)t->total_steps, rate, loss, left);
    }
    t->window_start = wk_now();
    t->window_steps = 0;
    t->window_loss = 0;
    return status;
}

static wk_status save(trainer *t, const char *name) {
    if (t->rank != 0) return WK_OK;
    t->standing.random_seed = wk_default_generator()->seed;
    t->standing.random_counter = wk_default_generator()->counter;
    char *path = wk__checkpoint_path(t->config->output, name);
    const wk__checkpoint_context context = context_of(t);
    wk_status status = path ? wk__checkpoint_save(path, &context, &t->standing) : WK_NO_MEMORY;
    wk_free(path);
    return status;
}

static wk_status after_step(trainer *t, double loss) {
    wk__standing *s = &t->standing;
    s->batch++;
    s->step++;
    s->loss_sum += loss;
    t->window_steps++;
    t->window_loss += loss;
    double elapsed = wk_now() - t->started, done = (double)(s->step - t->first_step);
    wk__progress_step(&t->progress, s->epoch + 1, t->config->max_epochs, s->batch, t->steps_an_epoch,
                      rate_since(t->started, s->step - t->first_step, t), loss,
                      elapsed / done * (double)(t->total_steps - s->step));
    if (s->step % t->config->log_every_n_steps == 0) WK_TRY(log_window(t));
    if (t->config->every_n_steps && s->step % t->config->every_n_steps == 0 && s->batch < t->steps_an_epoch)
        return save(t, "last");
    return WK_OK;
}

static wk_status end_epoch(trainer *t) {
    wk__standing *s = &t->standing;
    double loss, accuracy, train_loss = s->batch ? s->loss_sum / (double)s->batch : NAN, paused = wk_now();
    WK_TRY(evaluate(t, &loss, &accuracy));
    wk__progress_clear(&t->progress);
    wk__folder_say(&t->folder, "epoch %lld/%lld  train loss %.4f  test loss %.4f  test accuracy %.4f",
                   (long long)s->epoch + 1, (long long)t->config->max_epochs, train_loss, loss, accuracy);
    wk__metrics row = { s->step, s->epoch + 1, wk_optim_lr(t->optimizer), NAN, NAN, loss, accuracy };
    WK_TRY(wk__folder_metrics(&t->folder, &row));
    bool is_best = accuracy > s->best_accuracy;
    if (is_best) s->best_accuracy = accuracy;
    s->epoch++;
    s->batch = 0;
    s->loss_sum = 0;
    if (is_best) WK_TRY(save(t, "best"));
    bool last = s->step >= t->total_steps;
    if (last || s->epoch % t->config->every_n_epochs == 0) WK_TRY(save(t, "last"));
    t->window_start += wk_now() - paused; /* the rate is that of training alone */
    return WK_OK;
}

static wk_status run_epochs(trainer *t) {
    t->started = t->window_start = wk_now();
    t->first_step = t->standing.step;
    while (t->standing.step < t->total_steps) {
        WK_TRY(wk_loader_start(t->loader, t->standing.epoch, t->standing.batch));
        wk_batch batch;
        while (t->standing.step < t->total_steps && wk_loader_next(t->loader, &batch)) {
            double loss = NAN;
            WK_TRY(train_step(t, &batch, &loss));
            WK_TRY(after_step(t, loss));
        }
        if (wk_failed()) return wk_error_code();
        WK_TRY(end_epoch(t));
    }
    return WK_OK;
}

wk_status wk__train(const wk__run_config *config, wk_group *group, wk__start start) {
    trainer t = { .config = config, .group = group, .rank = wk_group_rank(group), .ranks = wk_group_size(group) };
    wk_status status = set_up(&t, start);
    bool running = status == WK_OK;
    wk__progress_start(&t.progress, t.rank == 0);
    if (running) status = run_epochs(&t);
    if (running && status != WK_OK) {
        wk__progress_clear(&t.progress);
        wk_group_abort(group, wk_message());
    }
    if (status == WK_OK && t.rank == 0) {
        char duration[16];
        wk__duration(wk_now() - t.started, duration);
        wk__folder_say(&t.folder, "done in %s; best test accuracy %.4f; run directory %s", duration,
                       t.standing.best_accuracy, config->output);
    }
    tear_down(&t);
    return status;
}

wk_status wk__evaluate_checkpoint(const wk__run_config *config, wk_group *group, const char *checkpoint, double *loss,
                                  double *accuracy) {
    trainer t = { .config = config, .group = group, .rank = wk_group_rank(group), .ranks = wk_group_size(group) };
    wk_status status = build(&t);
    if (status == WK_OK) status = wk__checkpoint_load_model(checkpoint, t.model);
    status = agree(&t, status);
    if (status == WK_OK) status = evaluate(&t, loss, accuracy);
    tear_down(&t);
    return status;
}
