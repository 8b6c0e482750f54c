/* hooks.c: a run's callbacks, called in order, and what they see of it. */
#include "train/run.h"

#include "base/base.h"

#include <string.h>

static wk_status add(wk_trainer *t, wk_callback *callback) {
    if (!callback) return wk_error_code();
    t->callback[t->callbacks++] = callback;
    bool at_batches = callback->class_->train_batch_start || callback->class_->train_batch_end;
    if (at_batches && !callback->class_->never_stops) t->asks_after_batches = true;
    return WK_OK;
}

/* Those that run last behind the others; within each half the order of the file. */
static void sort(wk_trainer *t) {
    wk_callback *sorted[WK__MOST_PARTS];
    int count = 0;
    for (int last = 0; last < 2; last++)
        for (int i = 0; i < t->callbacks; i++)
            if (t->callback[i]->class_->runs_last == last) sorted[count++] = t->callback[i];
    memcpy(t->callback, sorted, (size_t)count * sizeof sorted[0]);
}

wk_status wk__callbacks_make(wk_trainer *t) {
    for (int i = 0; i < t->config->callbacks; i++) WK_TRY(add(t, wk__make_callback(&t->config->callback[i])));
    wk_callback *unfreezer = wk__unfreezer_create(t->config);
    if (unfreezer || wk_failed()) WK_TRY(add(t, unfreezer));
    if (t->params->max_seconds > 0) WK_TRY(add(t, wk__timer_create(t->params->max_seconds)));
    sort(t);
    return WK_OK;
}

void wk__callbacks_destroy(wk_trainer *t) {
    for (int i = 0; i < t->callbacks; i++) wk_callback_destroy(t->callback[i]);
    t->callbacks = 0;
}

/* Those in which a callback may save. */
static bool may_save(size_t offset) {
    static const size_t hooks[] = {
        offsetof(wk_callback_class, train_start),     offsetof(wk_callback_class, train_epoch_start),
        offsetof(wk_callback_class, train_batch_end), offsetof(wk_callback_class, validation_end),
        offsetof(wk_callback_class, train_epoch_end), offsetof(wk_callback_class, train_end),
        offsetof(wk_callback_class, fit_end),
    };
    for (size_t i = 0; i < WK_COUNT(hooks); i++)
        if (hooks[i] == offset) return true;
    return false;
}

wk_status wk__hook(wk_trainer *t, size_t offset) {
    for (int i = 0; i < t->callbacks; i++) {
        wk_hook_function hook;
        memcpy(&hook, (const char *)t->callback[i]->class_ + offset, sizeof hook);
        if (!hook) continue;
        wk_status status = hook(t->callback[i], t);
        if (status == WK_OK && wk_failed()) status = wk_error_code();
        if (status == WK_OK && may_save(offset)) status = wk__saves_end(t);
        if (status == WK_OK) continue;
        if (!wk_failed()) (void)wk_fail(status, "the hook failed and gave no reason");
        wk_error_prefix("callback %s", t->callback[i]->class_->name);
        return wk_error_code();
    }
    return WK_OK;
}

wk_status wk__stop_agreed(wk_trainer *t, bool *stops) {
    double flag = t->should_stop;
    if (t->ranks > 1) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *any = wk_from_array(WK_F64, WK_DIMS(1), &flag);
        wk_status status = any ? wk_all_reduce(t->group, any, WK_REDUCE_MAX, NULL) : wk_error_code();
        if (status == WK_OK) flag = *(const double *)wk_data(any);
        wk_scope_end(scope);
        WK_TRY(status);
    }
    bool may = t->standing.step >= t->params->min_steps && t->standing.epoch >= t->params->min_epochs;
    *stops = flag > 0 && may;
    if (flag > 0) t->should_stop = true; /* asked for earlier than it may: kept until then */
    return WK_OK;
}

/* ---- what callbacks see and do ---- */

int64_t wk_trainer_step(const wk_trainer *t) {
    return t->standing.step;
}
int64_t wk_trainer_epoch(const wk_trainer *t) {
    return t->epoch;
}
int64_t wk_trainer_batch_index(const wk_trainer *t) {
    return t->standing.batch;
}
int64_t wk_trainer_batches(const wk_trainer *t) {
    return t->batches;
}
int64_t wk_trainer_total_steps(const wk_trainer *t) {
    return t->total_steps;
}
int64_t wk_trainer_epochs(const wk_trainer *t) {
    return t->epochs;
}
wk_stage wk_trainer_stage(const wk_trainer *t) {
    return t->stage;
}
const char *wk_trainer_folder(const wk_trainer *t) {
    return t->config->output;
}
int wk_trainer_rank(const wk_trainer *t) {
    return t->rank;
}
int wk_trainer_ranks(const wk_trainer *t) {
    return t->ranks;
}
wk_group *wk_trainer_group(const wk_trainer *t) {
    return t->group;
}
wk_module *wk_trainer_model(const wk_trainer *t) {
    return t->model;
}
wk_wrapper *wk_trainer_wrapper(const wk_trainer *t) {
    return t->wrapper;
}
wk_device wk_trainer_device(const wk_trainer *t) {
    return t->device;
}
int wk_trainer_optimizers(const wk_trainer *t) {
    return t->optimizers;
}
wk_optim *wk_trainer_optimizer(const wk_trainer *t, int i) {
    return i >= 0 && i < t->optimizers ? t->driven[i].optimizer : NULL;
}
const wk_dataset *wk_trainer_data(const wk_trainer *t) {
    return t->train_data;
}
const wk_dataset *wk_trainer_validation_data(const wk_trainer *t) {
    return t->val_data;
}
const wk_batch *wk_trainer_batch(const wk_trainer *t) {
    return t->batch;
}
wk_tensor *wk_trainer_loss(const wk_trainer *t) {
    return t->loss;
}

double wk_trainer_loss_value(const wk_trainer *t) {
    return t->loss_value;
}

void wk_trainer_say(wk_trainer *t, const char *format, ...) {
    char line[900];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(line, sizeof line, format, list);
    va_end(list);
    wk__progress_clear(&t->progress);
    wk__folder_say(&t->folder, "%s", line);
}

void wk_trainer_stop(wk_trainer *t, const char *reason) {
    if (!t->should_stop) (void)snprintf(t->stop_reason, sizeof t->stop_reason, "%s", reason);
    t->should_stop = true;
}

wk_schedule_site wk_trainer_schedule_site(const wk_trainer *t, wk_optim *optimizer) {
    return (wk_schedule_site){ optimizer, t->total_steps - t->standing.schedule_step, t->steps_an_epoch,
                               t->epochs - t->standing.schedule_epoch };
}

wk_status wk_trainer_add_optimizer(wk_trainer *t, wk_optim *optimizer, wk_built_schedule schedule) {
    if (optimizer && t->optimizers < WK__MOST_OPTIMIZERS) {
        t->driven[t->optimizers++] = (wk__driven){ .optimizer = optimizer, .schedule = schedule };
        return WK_OK;
    }
    wk_lr_destroy(schedule.lr);
    wk_free(schedule.context);
    wk_optim_destroy(optimizer);
    return wk_failed() ? wk_error_code() : wk_fail(WK_STATE, "more than %d optimizers", WK__MOST_OPTIMIZERS);
}
