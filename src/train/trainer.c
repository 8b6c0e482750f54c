/* trainer.c: the training loop.
 *
 * Once training runs, a rank that fails ends the others.  Rank 0 holds all that a checkpoint needs, so it can save at
 * the end of any step without asking anybody.
 *
 * How a run begins: start.c.  What a step is: step.c.  What validation is: validate.c.  Callbacks: hooks.c.
 */
#include "train/run.h"

#include "train/agree.h"
#include "train/batch_size.h"
#include "train/record.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static bool has_steps(const wk_trainer *t) {
    return t->standing.batch < t->batches && (!t->params->max_steps || t->standing.step < t->params->max_steps);
}

/* ---- signals ---- */

static bool is_stopped(const wk_trainer *t) {
    return t->rank == 0 && t->stop && *t->stop;
}

static wk_status stop(wk_trainer *t) {
    (void)alarm(0); /* the step has ended */
    WK_TRY(wk__save(t, "last"));
    WK_TRY(wk__saves_finish(t));
    return wk_fail(WK_CANCELLED, "%s after step %lld: %s", strsignal(*t->stop), (long long)t->standing.step,
                   wk__has_checkpoints(t) ? "the checkpoint is saved, --resume goes on from it"
                                          : "nothing is saved, as the file says");
}

/* ---- validation ---- */

/* What decides which checkpoint is the best, larger is better; NAN where validation logs neither. */
static double score(const wk_trainer *t) {
    double value;
    if (wk_trainer_metric(t, "val_accuracy", &value)) return value;
    return wk_trainer_metric(t, "val_loss", &value) ? -value : NAN;
}

static wk_status validate(wk_trainer *t, bool *is_best) {
    double paused = wk_now();
    wk_status status = wk__validate(t, t->val_batches);
    if (status == WK_CANCELLED && !wk_failed()) return stop(t);
    WK_TRY(status);
    WK_TRY(wk__schedules_metric(t));
    double now = score(t);
    *is_best = now > t->standing.best_score || (isnan(t->standing.best_score) && !isnan(now));
    if (*is_best) t->standing.best_score = now;
    t->window_start += wk_now() - paused; /* the rate is that of training alone */
    return WK_OK;
}

static bool can_validate(const wk_trainer *t) {
    return t->val_loader && t->val_batches > 0 && (t->epoch + 1) % t->params->val_every_n_epochs == 0;
}

static wk_status sanity_check(wk_trainer *t) {
    int64_t most = t->params->sanity_steps < 0 ? t->val_batches : t->params->sanity_steps;
    if (!t->val_loader || t->val_batches == 0 || most == 0) return WK_OK;
    t->stage = WK_STAGE_SANITY;
    WK_TRY(WK__HOOK(t, sanity_check_start));
    wk_status status = wk__validate(t, most < t->val_batches ? most : t->val_batches);
    t->stage = WK_STAGE_FIT;
    if (status == WK_CANCELLED && !wk_failed()) return stop(t);
    WK_TRY(status);
    return WK__HOOK(t, sanity_check_end);
}

/* ---- steps ---- */

static double rate_since(double start, int64_t batches, const wk_trainer *t) {
    double seconds = wk_now() - start;
    return seconds > 0 ? (double)(batches * t->batch_size * t->ranks) / seconds : 0;
}

static void say_window(wk_trainer *t, double rate, double loss) {
    const wk__standing *s = &t->standing;
    if (t->progress.is_terminal || !t->progress.enabled) return;
    char left[16];
    wk_text more = { 0 };
    for (int i = 0; i < t->values; i++)
        if (t->value[i].in_bar) wk_text_printf(&more, "  %s %.4f", t->value[i].name, t->value[i].value);
    wk__duration((double)(t->total_steps - s->step) * (wk_now() - t->started) / (double)(s->step - t->first_step),
                 left);
    wk__folder_say(&t->folder, "epoch %lld/%lld  step %lld/%lld  %.0f img/s  loss %.4f%s  eta %s",
                   (long long)s->epoch + 1, (long long)t->epochs, (long long)s->step, (long long)t->total_steps, rate,
                   loss, wk_text_get(&more), left);
    wk_text_free(&more);
}

static wk_status log_window(wk_trainer *t) {
    wk__standing *s = &t->standing;
    double loss = s->window_steps ? s->window_loss / (double)s->window_steps : NAN;
    double rate = rate_since(t->window_start, t->timed_batches, t);
    WK_TRY(wk__metric_set(t, "lr", wk_optim_lr(t->driven[0].optimizer), false));
    WK_TRY(wk__metric_set(t, "train_loss", loss, false));
    WK_TRY(wk__metric_passing(t, "images_per_second", rate));
    wk_status status = wk__row(t);
    say_window(t, rate, loss);
    t->window_start = wk_now();
    t->timed_batches = 0;
    s->window_steps = 0;
    s->window_loss = 0;
    return status;
}

/* What a batch has changed; `steps`: the optimizers have stepped. */
static void count_batch(wk_trainer *t, double loss, bool counts, bool steps) {
    wk__standing *s = &t->standing;
    s->batch++;
    s->step += steps;
    t->timed_batches++;
    t->loss_value = loss;
    if (!counts) return;
    s->loss_sum += loss;
    s->window_steps++;
    s->window_loss += loss;
}

static void show_progress(wk_trainer *t, double loss) {
    const wk__standing *s = &t->standing;
    if (!wk__progress_is_due(&t->progress, s->batch, t->batches)) return;
    wk_text numbers = { 0 };
    wk_text_printf(&numbers, ", loss=%.4f", loss);
    for (int i = 0; i < t->values; i++)
        if (t->value[i].in_bar) wk_text_printf(&numbers, ", %s=%.4f", t->value[i].name, t->value[i].value);
    wk__progress_step(&t->progress, s->epoch + 1, t->epochs, s->batch, t->batches, wk_text_get(&numbers));
    wk_text_free(&numbers);
}

/* Within an epoch; its end, and that of the run, validate by themselves. */
static bool is_validation_due(const wk_trainer *t) {
    return can_validate(t) && has_steps(t) && t->standing.batch % t->val_interval == 0;
}

static wk_status validate_between(wk_trainer *t) {
    bool is_best = false;
    WK_TRY(validate(t, &is_best));
    WK_TRY(wk__row(t));
    return is_best ? wk__save(t, "best") : WK_OK;
}

static wk_status train_one(wk_trainer *t, const wk_batch *batch, bool *ends) {
    const wk__standing *s = &t->standing;
    double loss = NAN;
    bool counts;
    WK_TRY(wk__train_batch(t, batch, &loss, &counts));
    bool closes = (s->batch + 1) % wk__accumulate(t->params, s->epoch) == 0 || s->batch + 1 == t->batches;
    bool steps = t->wrapper->class_->steps_itself || (closes && !t->skips_window);
    count_batch(t, loss, counts, steps);
    show_progress(t, loss);
    t->batch = batch;
    wk_status status = WK__HOOK(t, train_batch_end);
    t->batch = NULL;
    WK_TRY(status);
    if (steps && s->step % t->params->log_every_n_steps == 0) WK_TRY(log_window(t));
    if (is_validation_due(t)) WK_TRY(validate_between(t));
    bool saves = t->config->every_n_steps && steps && s->step % t->config->every_n_steps == 0 && s->batch < t->batches;
    if (saves) WK_TRY(wk__sums_gather(t, &t->train_sums));
    if (saves) WK_TRY(wk__save(t, "last"));
    if (closes && is_stopped(t)) return stop(t);
    if (closes) WK_TRY(wk__saves_end(t)); /* where rank 0 stops, the others must serve it */
    return closes && t->asks_after_batches ? wk__stop_agreed(t, ends) : WK_OK;
}

/* ---- epochs ---- */

static void say_epoch(wk_trainer *t, double train_loss, bool validated) {
    wk_text line = { 0 };
    wk_text_printf(&line, "epoch %lld/%lld  train loss %.4f", (long long)t->epoch + 1, (long long)t->epochs,
                   train_loss);
    for (int i = 0; validated && i < t->values; i++) {
        const wk__value *v = &t->value[i];
        if (strncmp(v->name, "val_", 4) != 0) continue;
        bool known = strcmp(v->name, "val_loss") == 0 || strcmp(v->name, "val_accuracy") == 0;
        wk_text_printf(&line, "  %s%s %.4f", known ? "test " : "", known ? v->name + 4 : v->name, v->value);
    }
    wk__progress_clear(&t->progress);
    wk__folder_say(&t->folder, "%s", wk_text_get(&line));
    wk_text_free(&line);
}

static wk_status end_epoch(wk_trainer *t) {
    wk__standing *s = &t->standing;
    double train_loss = s->batch ? s->loss_sum / (double)s->batch : NAN;
    bool is_best = false, whole = s->batch == t->batches, validates = can_validate(t);
    validates = validates && (!whole || s->batch % t->val_interval == 0);
    WK_TRY(wk__metric_note(t, "train_loss_epoch", train_loss));
    if (s->step < t->params->log_every_n_steps) WK_TRY(wk__metric_note(t, "train_loss", train_loss)); /* no row yet */
    WK_TRY(wk__sums_reduce(t, &t->train_sums));
    if (validates) WK_TRY(validate(t, &is_best));
    say_epoch(t, train_loss, validates);
    WK_TRY(wk__metric_set(t, "lr", wk_optim_lr(t->driven[0].optimizer), false));
    if (whole) { /* max_steps may end it earlier: a longer run goes on from there */
        s->epoch++;
        s->batch = 0;
        s->loss_sum = 0;
    }
    WK_TRY(WK__HOOK(t, train_epoch_end));
    WK_TRY(wk__row(t));
    for (int i = 0; i < t->loggers; i++)
        if (t->logger[i]->class_->flush) WK_TRY(t->logger[i]->class_->flush(t->logger[i]));
    if (is_best) WK_TRY(wk__save(t, "best"));
    return WK_OK;
}

static wk_status run_batches(wk_trainer *t, bool *ends) {
    wk_batch batch;
    WK_TRY(wk_loader_start(t->loader, t->standing.epoch, t->standing.batch));
    wk__progress_epoch(&t->progress, t->standing.batch);
    while (!*ends && has_steps(t) && wk_loader_next(t->loader, &batch)) WK_TRY(train_one(t, &batch, ends));
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status run_epochs(wk_trainer *t) {
    bool ends = false;
    while (wk__has_epochs(t) && !ends) {
        t->epoch = t->standing.epoch;
        WK_TRY(wk__reload(t));
        WK_TRY(WK__HOOK(t, train_epoch_start));
        WK_TRY(run_batches(t, &ends));
        WK_TRY(end_epoch(t));
        if (!ends) WK_TRY(wk__stop_agreed(t, &ends));
        bool last = ends || !wk__has_epochs(t);
        if (last || t->standing.epoch % t->config->every_n_epochs == 0) WK_TRY(wk__save(t, "last"));
    }
    if (ends)
        wk_trainer_say(t, "stopped after step %lld: %s", (long long)t->standing.step,
                       *t->stop_reason ? t->stop_reason : "another rank asked for it");
    return WK_OK;
}

static wk_status fit(wk_trainer *t, bool resumed) {
    t->epoch = t->standing.epoch;
    t->started = t->window_start = wk_now();
    t->first_step = t->standing.step;
    WK_TRY(WK__HOOK(t, fit_start));
    const bool goes_on = resumed || (t->origin.parts & WK__PART_STANDING);
    if (!goes_on && wk__has_epochs(t)) WK_TRY(sanity_check(t));
    WK_TRY(WK__HOOK(t, train_start));
    t->started = t->window_start = wk_now();
    t->first_step = t->standing.step;
    WK_TRY(run_epochs(t));
    WK_TRY(WK__HOOK(t, train_end));
    WK_TRY(WK__HOOK(t, fit_end));
    WK_TRY(wk__saves_finish(t));
    WK_TRY(wk__adapter_save(t));
    if (!t->config->final_path || t->rank != 0) return WK_OK;
    if (wk__has_lora(t->config) && wk_lora_merge(t->model) == 0) return wk_error_code();
    return wk_module_save(t->model, t->config->final_path);
}

static wk_status fit_watched(wk_trainer *t, bool resumed) {
    wk__watch watch;
    WK_TRY(wk__watch_begin(t, &watch));
    const wk_status status = fit(t, resumed);
    wk__error kept = *wk__error_slot();
    wk_clear_error();
    const wk_status told = wk__watch_end(t, &watch);
    if (status == WK_OK) return told;
    *wk__error_slot() = kept; /* the first reason counts */
    return status;
}

/* The run cannot go on here: leave the reason in its log, and let no other rank wait. */
static void give_up(wk_trainer *t) {
    wk__progress_clear(&t->progress);
    wk__folder_note(&t->folder, wk_message());
    wk__error kept = *wk__error_slot();
    wk_clear_error();
    (void)WK__HOOK(t, exception);
    wk_clear_error();
    (void)wk__saves_settle(t); /* what is under way: aborting waits for nobody */
    *wk__error_slot() = kept;
    wk_group_abort(t->group, wk_message());
}

/* What the run leaves to be read; an earlier error counts before one of its writing. */
static wk_status record_end(wk_trainer *t, wk_status status) {
    wk__error kept = *wk__error_slot();
    wk_clear_error();
    wk_status written = wk__record_end(t, status, kept.code != WK_OK ? kept.message : "");
    if (status == WK_OK) return written;
    *wk__error_slot() = kept;
    return status;
}

static void finish(wk_trainer *t) {
    wk__error kept = *wk__error_slot();
    wk_clear_error();
    (void)WK__HOOK(t, teardown);
    if (kept.code != WK_OK) *wk__error_slot() = kept; /* the first reason counts */
    wk__tear_down(t);
}

wk_status wk__train(const wk__run_config *config, wk_group *group, wk__start start, const volatile sig_atomic_t *stop) {
    wk_trainer *t = wk_alloc(sizeof *t);
    if (!t) return WK_NO_MEMORY;
    wk__run_config own = *config;
    t->config = &own;
    t->params = &own.params;
    t->group = group;
    t->stop = stop;
    t->rank = wk_group_rank(group);
    t->ranks = wk_group_size(group);
    t->loss_value = NAN;
    bool resumed = false;
    wk_status status = wk__batch_size_choose(&own, group, wk__resumes(start));
    if (status == WK_OK) status = wk__set_up(t, start, &resumed);
    if (status == WK_OK) {
        wk__progress_start(&t->progress, t->rank == 0 && t->params->progress_bar);
        bool had_work = wk__has_epochs(t);
        status = had_work ? fit_watched(t, resumed) : WK_OK;
        if (status == WK_OK && had_work) status = wk__say_shares(t);
        if (status == WK_OK && had_work) wk__say_memory(t);
        if (status == WK_OK)
            wk__say_end(t, had_work);
        else
            give_up(t);
    }
    status = record_end(t, status);
    finish(t);
    wk_free(t);
    return status == WK_OK && wk_failed() ? wk_error_code() : status;
}

wk_status wk__evaluate_checkpoint(const wk__run_config *config, wk_group *group, const char *checkpoint, FILE *out) {
    wk_trainer *t = wk_alloc(sizeof *t);
    if (!t) return WK_NO_MEMORY;
    t->config = config;
    t->params = &config->params;
    t->group = group;
    t->rank = wk_group_rank(group);
    t->ranks = wk_group_size(group);
    wk_status status = wk__build(t);
    if (status == WK_OK && !t->val_loader)
        status = wk_fail(WK_CONFIG, "this run has no data to evaluate on, or its wrapper does not validate");
    if (status == WK_OK) status = wk__checkpoint_load_model(checkpoint, t->model);
    status = wk__agree(group, status);
    if (status == WK_OK) status = wk__same(group, (uint64_t)t->val_data->count, "the number of items in the data", "");
    const bool overfits = t->params->overfit.value > 0;
    const int64_t most = status != WK_OK || overfits
                             ? t->val_batches
                             : wk__limit_of(t->params->limit_test, wk_loader_batches(t->val_loader));
    if (status == WK_OK && (status = wk__validate(t, most)) != WK_OK) give_up(t);
    for (int i = 0; status == WK_OK && t->rank == 0 && i < t->values; i++) {
        bool is_accuracy = strcmp(t->value[i].name, "val_accuracy") == 0;
        const char *name = t->value[i].name + (strncmp(t->value[i].name, "val_", 4) == 0 ? 4 : 0);
        (void)fprintf(out, is_accuracy ? "%s %.4f\n" : "%s %.6f\n", name, t->value[i].value);
    }
    wk__tear_down(t);
    wk_free(t);
    return status;
}
