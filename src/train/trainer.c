/* trainer.c: the training loop.
 *
 * Every decision that all ranks must share (may the run start, is it resumed) is agreed on before anything else
 * happens.  Once training runs, a rank that fails ends the others.  Rank 0 holds all that a checkpoint needs, so it can
 * save at the end of any step without asking anybody.
 */
#include "train/trainer.h"

#include "tensor/backend.h"
#include "train/agree.h"
#include "train/device.h"
#include "train/machine.h"
#include "train/progress.h"
#include "wick/step.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct trainer {
    const wk__run_config *config;
    wk_group *group;
    const volatile sig_atomic_t *stop;
    int rank, ranks;
    wk_dataset *train_data, *val_data;
    wk_loader *loader, *val_loader;
    wk_module *model;
    wk_device device;
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
    double window_start; /* since the last row of metrics, or this process's start */
    int64_t timed_steps; /* since then */
} trainer;

/* ---- setting up ---- */

static wk_loader *make_loader(const trainer *t, const wk_dataset *dataset, bool training) {
    wk_loader_opts opts = {
        .batch_size = t->config->batch_size,
        .sampler = { .rank = t->rank, .ranks = t->ranks, .shuffle = training, .seed = t->config->seed },
        .workers = (int)t->config->workers,
    };
    return wk_loader_create(dataset, opts);
}

static bool same_dims(wk_dims a, wk_dims b) {
    bool same = a.rank == b.rank;
    for (int i = 0; same && i < a.rank; i++) same = a.size[i] == b.size[i];
    return same;
}

static wk_status check_data(const trainer *t) {
    const wk_dataset *a = t->train_data, *b = t->val_data;
    if (same_dims(a->input_dims, b->input_dims) && a->input_dtype == b->input_dtype && a->classes == b->classes)
        return WK_OK;
    return wk_fail(WK_CONFIG,
                   "data \"%s\": the items to evaluate on are not of the shape, dtype and classes of those to train on",
                   t->config->data.name);
}

static wk_status check_classes(const trainer *t) {
    /* A forward of one item tells whether model and data fit, before hours are spent. */
    wk_dims dims = { .rank = t->train_data->input_dims.rank + 1, .size = { 1 } };
    memcpy(dims.size + 1, t->train_data->input_dims.size, (size_t)t->train_data->input_dims.rank * sizeof dims.size[0]);
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_module_train(t->model, false);
    wk_tensor *item = wk_to_device(wk_zeros(t->train_data->input_dtype, dims), t->device);
    wk_tensor *logits = wk_forward(t->model, item);
    wk_module_train(t->model, true);
    wk_no_grad_end(was);
    wk_status status = logits ? WK_OK : wk_error_code();
    if (status == WK_OK && (wk_rank(logits) != 2 || wk_size(logits, 1) != t->train_data->classes))
        status = wk_fail(WK_CONFIG, "model \"%s\" gives %lld scores for an item, the data has %d classes",
                         t->config->model.name, (long long)wk_size(logits, -1), t->train_data->classes);
    wk_scope_end(scope);
    return status;
}

/* The model is drawn on the CPU: equal seeds, equal weights. */
static wk_status choose_device(trainer *t) {
    char own[WK__DEVICE_NAME];
    if (wk_device_parse(wk__own_device(t->config->device, own), &t->device) == WK_OK)
        return wk_module_to_device(t->model, t->device);
    wk_error_prefix("device");
    return wk_error_code();
}

static wk_status build(trainer *t) {
    WK_TRY(wk__build_data(t->config, &t->train_data, &t->val_data));
    WK_TRY(check_data(t));
    wk_manual_seed(t->config->seed);
    t->model = wk__build_model(t->config);
    if (!t->model) return wk_error_code();
    WK_TRY(choose_device(t));
    WK_TRY(check_classes(t));
    if (t->config->recompute && wk_module_recompute(t->model, true) == 0)
        return wk_fail(WK_CONFIG, "trainer.recompute: model \"%s\" has no blocks that could be run again",
                       t->config->model.name);
    t->optimizer = wk__build_optimizer(t->config, t->model);
    if (!t->optimizer) return wk_error_code();
    t->loader = make_loader(t, t->train_data, true);
    t->val_loader = t->loader ? make_loader(t, t->val_data, false) : NULL;
    if (!t->val_loader) return wk_error_code();
    t->steps_an_epoch = wk_loader_batches(t->loader);
    return wk__build_loss(t->config, &t->loss);
}

static wk__checkpoint_context context_of(const trainer *t) {
    return (wk__checkpoint_context){ t->config, t->model, t->optimizer, t->rank, t->ranks, t->steps_an_epoch };
}

static bool has_checkpoint(const trainer *t, const char *name) {
    char *path = wk__checkpoint_path(t->config->output, name);
    bool exists = path && access(path, F_OK) == 0;
    wk_free(path);
    return exists;
}

static wk_status load_last(trainer *t, wk__start start, bool *resumed) {
    *resumed = false;
    if (start == WK__START_NEW && (has_checkpoint(t, "last") || has_checkpoint(t, "best")))
        return wk_fail(
            WK_EXISTS,
            "%s holds a run already: pass --resume to go on with it, --overwrite to start anew, or -o output=DIRECTORY",
            t->config->output);
    if (start != WK__START_RESUME || !has_checkpoint(t, "last")) return WK_OK;
    char *path = wk__checkpoint_path(t->config->output, "last");
    const wk__checkpoint_context context = context_of(t);
    wk_status status = path ? wk__checkpoint_load(path, &context, &t->standing) : WK_NO_MEMORY;
    *resumed = status == WK_OK;
    wk_free(path);
    return status;
}

/* All ranks train on the same data from the same standing. */
static wk_status check_ranks(const trainer *t) {
    char standing[100], data[100];
    (void)snprintf(standing, sizeof standing, "%lld %lld %lld", (long long)t->standing.epoch,
                   (long long)t->standing.batch, (long long)t->standing.step);
    (void)snprintf(data, sizeof data, "%lld %lld", (long long)t->train_data->count, (long long)t->val_data->count);
    WK_TRY(wk__same(t->group, wk__hash(0, data), "the number of items in the data", ""));
    return wk__same(t->group, wk__hash(0, standing), "the last checkpoint",
                    ": the output directory must be on a file system that all ranks share");
}

/* Each rank draws its own masks: the same counter under a seed of its own. */
static void set_random(const trainer *t) {
    wk_generator *generator = wk_default_generator();
    generator->seed = t->standing.random_seed + UINT64_C(0x9E3779B97F4A7C15) * (uint64_t)t->rank;
    generator->counter = t->standing.random_counter;
}

static void set_lr(trainer *t, int64_t step) {
    int64_t time = t->schedule.kind == WK_SCHEDULE_STEP ? t->standing.epoch : step;
    wk_optim_set_lr(t->optimizer, wk_schedule_lr(&t->schedule, time));
}

static bool has_steps(const trainer *t) {
    return !t->config->max_steps || t->standing.step < t->config->max_steps;
}

static bool has_epochs(const trainer *t) {
    return t->standing.epoch < t->config->max_epochs && has_steps(t);
}

/* The steps of the whole run, for the schedule and the time left; the number of ranks may have changed on the way. */
static wk_status plan_steps(trainer *t) {
    const wk__standing *s = &t->standing;
    int64_t epochs = t->config->max_epochs - s->epoch;
    t->total_steps = s->step + (epochs > 0 ? epochs * t->steps_an_epoch - s->batch : 0);
    if (t->config->max_steps && t->config->max_steps < t->total_steps) t->total_steps = t->config->max_steps;
    WK_TRY(wk__build_schedule(t->config, t->optimizer, t->total_steps, &t->schedule));
    if (s->step > 0) set_lr(t, s->step - 1); /* an evaluation may come before the next step */
    return WK_OK;
}

static wk_status find_start(trainer *t, wk__start start, bool *resumed) {
    t->standing = (wk__standing){ .best_accuracy = -1, .random_seed = t->config->seed };
    wk_status status = build(t);
    if (status == WK_OK && t->rank == 0) status = wk__folder_lock(&t->folder, t->config->output);
    WK_TRY(wk__agree(t->group, status));
    WK_TRY(wk__agree(t->group, load_last(t, start, resumed)));
    WK_TRY(check_ranks(t));
    return plan_steps(t);
}

static wk_status open_folder(trainer *t, wk__start start, bool resumed) {
    if (t->rank != 0) return WK_OK;
    if (start == WK__START_OVERWRITE) WK_TRY(wk__folder_clear(&t->folder));
    return wk__folder_open(&t->folder, t->config, resumed ? t->standing.step : -1);
}

static void say_device(trainer *t) {
    wk_device_info info;
    if (t->device != WK_CPU && wk_device_describe(t->device, &info) == WK_OK)
        wk__folder_say(&t->folder, "training on %s: %s, %.1f GiB", wk_device_name(t->device), info.name,
                       (double)info.memory / 1073741824);
}

static void say_start(trainer *t, wk__start start, bool resumed) {
    /* Each rank's own log tells that it took part. */
    if (t->rank != 0) (void)fprintf(stderr, "rank %d of %d: training; rank 0 reports\n", t->rank, t->ranks);
    wk__folder_say(
        &t->folder, "model %s: %lld parameters; %lld training and %lld evaluation items; %d rank%s × %d thread%s",
        t->config->model.name, (long long)wk_parameter_count(t->model), (long long)t->train_data->count,
        (long long)t->val_data->count, t->ranks, t->ranks == 1 ? "" : "s", wk_threads(), wk_threads() == 1 ? "" : "s");
    char machine[160];
    wk__folder_say(&t->folder, "each rank may use %s", wk__processors_describe(machine, sizeof machine));
    say_device(t);
    if (resumed && has_epochs(t))
        wk__folder_say(&t->folder, "resumed after step %lld, in epoch %lld", (long long)t->standing.step,
                       (long long)t->standing.epoch + 1);
    if (!resumed && start == WK__START_RESUME)
        wk__folder_say(&t->folder, "%s holds no checkpoint to resume from: starting anew", t->config->output);
}

static wk_status set_up(trainer *t, wk__start start) {
    bool resumed = false;
    WK_TRY(find_start(t, start, &resumed));
    WK_TRY(wk__agree(t->group, open_folder(t, start, resumed)));
    set_random(t);
    if (t->ranks > 1) {
        t->ddp = wk_ddp_create(t->group, t->model, (wk_ddp_opts){ 0 });
        WK_TRY(wk__agree(t->group, t->ddp ? WK_OK : wk_error_code()));
    }
    say_start(t, start, resumed);
    return WK_OK;
}

static void tear_down(trainer *t) {
    wk_ddp_destroy(t->ddp);
    wk_loader_destroy(t->loader);
    wk_loader_destroy(t->val_loader);
    wk_step_forget(NULL); /* plans hold parameters */
    wk_optim_destroy(t->optimizer);
    wk_module_destroy(t->model);
    wk_dataset_destroy(t->train_data);
    wk_dataset_destroy(t->val_data);
    wk__folder_close(&t->folder);
}

/* ---- checkpoints ---- */

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

static bool is_stopped(const trainer *t) {
    return t->rank == 0 && t->stop && *t->stop;
}

static wk_status stop(trainer *t) {
    (void)alarm(0); /* the step has ended */
    WK_TRY(save(t, "last"));
    return wk_fail(WK_CANCELLED, "%s after step %lld: the checkpoint is saved, --resume goes on from it",
                   strsignal(*t->stop), (long long)t->standing.step);
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
    (void)wk_step_begin("validate");
    wk_tensor *target = wk_to_device(batch->target, t->device);
    wk_tensor *logits = wk_forward(t->model, wk_to_device(batch->input, t->device));
    wk_tensor *loss = wk_cross_entropy(logits, target, (wk_cross_entropy_opts){ .reduction = WK_REDUCTION_SUM });
    wk_tensor *hits = wk_sum(wk_eq(wk_argmax(logits, (wk_axis_opts){ { 0 } }), target), (wk_reduce_opts){ 0 });
    if (!wk_failed()) {
        sums[0] += wk_item(loss);
        sums[1] += wk_item(hits);
        sums[2] += (double)valid;
        (void)wk_step_end();
    }
    wk_scope_end(scope);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status evaluate_part(trainer *t, double sums[3]) {
    wk_batch batch;
    WK_TRY(wk_ddp_broadcast_buffers(t->ddp));
    WK_TRY(wk_loader_start(t->val_loader, 0, 0));
    while (wk_loader_next(t->val_loader, &batch)) {
        WK_TRY(evaluate_batch(t, &batch, sums));
        if (is_stopped(t)) return stop(t);
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status evaluate(trainer *t, double *loss, double *accuracy) {
    double sums[3] = { 0 }; /* loss, hits, items */
    wk_module_train(t->model, false);
    bool was = wk_no_grad_begin();
    wk_status status = evaluate_part(t, sums);
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

static wk_status step_in_scope(trainer *t, const wk_batch *batch, double *loss_value) {
    wk_zero_grad(t->optimizer); /* before forward: a loss may write gradients into their memory */
    wk_tensor *input = wk_to_device(batch->input, t->device), *target = wk_to_device(batch->target, t->device);
    wk_tensor *loss = wk_cross_entropy(wk_forward(t->model, input), target, t->loss);
    if (!loss) return wk_error_code();
    *loss_value = wk_item(loss);
    /* Before backward: no rank's weights have taken anything from this step yet. */
    if (!isfinite(*loss_value))
        return wk_fail(WK_STATE, "the loss is %s at step %lld: a smaller learning rate or gradient clipping may help",
                       isnan(*loss_value) ? "not a number" : "infinite", (long long)t->standing.step + 1);
    WK_TRY(wk_backward(loss));
    if (t->config->gradient_clip > 0) WK_TRY(wk_clip_grad_norm(t->optimizer, t->config->gradient_clip, NULL));
    set_lr(t, t->standing.step);
    return wk_optim_step(t->optimizer);
}

static wk_status train_step(trainer *t, const wk_batch *batch, double *loss) {
    wk_scope scope = wk_scope_begin();
    wk_status status = wk_step_begin("train");
    if (status == WK_OK) status = step_in_scope(t, batch, loss);
    if (status == WK_OK) status = wk_step_end();
    wk_scope_end(scope);
    return status;
}

static double rate_since(double start, int64_t steps, const trainer *t) {
    double seconds = wk_now() - start;
    return seconds > 0 ? (double)(steps * t->config->batch_size * t->ranks) / seconds : 0;
}

static wk_status log_window(trainer *t) {
    wk__standing *s = &t->standing;
    double loss = s->window_loss / (double)s->window_steps, rate = rate_since(t->window_start, t->timed_steps, t);
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
    t->timed_steps = 0;
    s->window_steps = 0;
    s->window_loss = 0;
    return status;
}

static wk_status after_step(trainer *t, double loss) {
    wk__standing *s = &t->standing;
    s->batch++;
    s->step++;
    s->loss_sum += loss;
    s->window_steps++;
    s->window_loss += loss;
    t->timed_steps++;
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
    if (s->batch == t->steps_an_epoch) { /* max_steps may end it earlier: a longer run goes on from there */
        s->epoch++;
        s->batch = 0;
        s->loss_sum = 0;
    }
    if (is_best) WK_TRY(save(t, "best"));
    bool last = s->step >= t->total_steps;
    if (last || s->epoch % t->config->every_n_epochs == 0) WK_TRY(save(t, "last"));
    t->window_start += wk_now() - paused; /* the rate is that of training alone */
    return WK_OK;
}

static wk_status run_epochs(trainer *t) {
    t->started = t->window_start = wk_now();
    t->first_step = t->standing.step;
    while (has_epochs(t)) {
        WK_TRY(wk_loader_start(t->loader, t->standing.epoch, t->standing.batch));
        wk_batch batch;
        while (has_steps(t) && wk_loader_next(t->loader, &batch)) {
            double loss = NAN;
            WK_TRY(train_step(t, &batch, &loss));
            WK_TRY(after_step(t, loss));
            if (is_stopped(t)) return stop(t);
        }
        if (wk_failed()) return wk_error_code();
        WK_TRY(end_epoch(t));
    }
    return WK_OK;
}

static double mib(int64_t bytes) {
    return (double)bytes / 1048576;
}

/* One rank's, and the batch that would fill this machine's. */
static void say_memory(trainer *t) {
    const wk_memory m = wk_memory_of(t->model, t->optimizer);
    wk_device_info device;
    wk__folder_say(&t->folder, "memory in MiB: parameters %.1f, gradients %.1f, optimizer %.1f, steps %.1f, cache %.1f",
                   mib(m.parameters), mib(m.gradients), mib(m.optimizer), mib(m.steps), mib(m.cache));
    if (wk__cpu_device_info(&device) != WK_OK) return;
    int64_t largest = wk_memory_largest_batch(m, t->config->batch_size, device.memory / t->ranks);
    if (largest > 0)
        wk__folder_say(&t->folder, "the %.1f GiB of this machine hold batches of about %lld items a rank",
                       mib(device.memory) / 1024, (long long)largest);
}

static void say_end(trainer *t, bool had_work) {
    char duration[16];
    wk__duration(wk_now() - t->started, duration);
    if (had_work)
        wk__folder_say(&t->folder, "done in %s; best test accuracy %.4f; run directory %s", duration,
                       t->standing.best_accuracy, t->config->output);
    else
        wk__folder_say(&t->folder, "nothing is left to do: the run has ended before");
}

/* The run cannot go on here: leave the reason in its log, and let no other rank wait. */
static void give_up(trainer *t) {
    wk__progress_clear(&t->progress);
    wk__folder_note(&t->folder, wk_message());
    wk_group_abort(t->group, wk_message());
}

wk_status wk__train(const wk__run_config *config, wk_group *group, wk__start start, const volatile sig_atomic_t *stop) {
    trainer t = {
        .config = config, .group = group, .stop = stop, .rank = wk_group_rank(group), .ranks = wk_group_size(group)
    };
    wk_status status = set_up(&t, start);
    if (status == WK_OK) {
        wk__progress_start(&t.progress, t.rank == 0);
        bool had_work = has_epochs(&t);
        status = run_epochs(&t);
        if (status == WK_OK && had_work) say_memory(&t);
        if (status == WK_OK)
            say_end(&t, had_work);
        else
            give_up(&t);
    }
    tear_down(&t);
    return status;
}

wk_status wk__evaluate_checkpoint(const wk__run_config *config, wk_group *group, const char *checkpoint, double *loss,
                                  double *accuracy) {
    trainer t = { .config = config, .group = group, .rank = wk_group_rank(group), .ranks = wk_group_size(group) };
    wk_status status = build(&t);
    if (status == WK_OK) status = wk__checkpoint_load_model(checkpoint, t.model);
    status = wk__agree(group, status);
    if (status == WK_OK) status = wk__same(group, (uint64_t)t.val_data->count, "the number of items in the data", "");
    if (status == WK_OK) {
        status = evaluate(&t, loss, accuracy);
        if (status != WK_OK) give_up(&t);
    }
    tear_down(&t);
    return status;
}
