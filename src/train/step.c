/* step.c: one batch of training: forward, backward, and, where a window of accumulated batches ends, the optimizers. */
#include "train/run.h"

#include "base/base.h"
#include "wick/step.h"

#include <math.h>
#include <string.h>

enum { MOST_SKIPPED = 100 };

/* ---- schedules ---- */

/* Rates as they are for this step (counted from 0) of this epoch: also after a resume, when a schedule begins at 0.
 * Where reset_lr had it begin anew, it counts from there. */
void wk__schedules_advance(wk_trainer *t, int64_t step, int64_t epoch) {
    step -= t->standing.schedule_step;
    epoch -= t->standing.schedule_epoch;
    wk__rates_raise(t);
    for (int i = 0; i < t->optimizers; i++) {
        wk__driven *d = &t->driven[i];
        int64_t time = d->schedule.per_step ? step : epoch;
        if (!d->schedule.lr || d->schedule.wants_metric) continue;
        for (; d->time < time && !wk_failed(); d->time++) (void)wk_lr_step(d->schedule.lr);
    }
    wk__rates_lower(t);
}

wk_status wk__schedules_metric(wk_trainer *t) {
    wk__rates_raise(t);
    for (int i = 0; i < t->optimizers; i++) {
        const wk_built_schedule *s = &t->driven[i].schedule;
        double value;
        if (!s->lr || !s->wants_metric) continue;
        if (!wk_trainer_metric(t, s->monitor, &value))
            return wk_fail(WK_CONFIG, "schedule: there is no metric \"%s\" to monitor after validation", s->monitor);
        WK_TRY(wk_lr_step_metric(s->lr, value));
    }
    wk__rates_lower(t);
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* ---- the parts of a step ---- */

wk_autocast wk__autocast(const wk_trainer *t) {
    const wk__precision p = t->params->precision;
    return wk_autocast_begin(p == WK__PRECISION_F16_MIXED ? WK_F16 : WK_BF16,
                             p == WK__PRECISION_F16_MIXED || p == WK__PRECISION_BF16_MIXED);
}

wk_tensor *wk__place(const wk_trainer *t, wk_tensor *tensor) {
    const wk_dtype own = wk__float_type(t);
    wk_tensor *here = wk_to_device(tensor, t->device);
    return here && own != WK_F32 && wk_dtype_get(here) == WK_F32 ? wk_cast(here, own) : here;
}

static wk_status check_index(const wk_trainer *t, const char *who, int i) {
    if (i >= 0 && i < t->optimizers) return WK_OK;
    return wk_fail(WK_INVALID, "%s: optimizer %d of %d", who, i, t->optimizers);
}

wk_status wk_trainer_zero_grad(wk_trainer *t, int i) {
    WK_TRY(check_index(t, "wk_trainer_zero_grad", i));
    WK_TRY(WK__HOOK(t, before_zero_grad));
    wk_zero_grad(t->driven[i].optimizer);
    return WK_OK;
}

wk_status wk_trainer_backward(wk_trainer *t, wk_tensor *loss) {
    if (!loss) return wk_failed() ? wk_error_code() : wk_fail(WK_INVALID, "wk_trainer_backward: there is no loss");
    t->loss = loss;
    WK_TRY(WK__HOOK(t, before_backward));
    const int64_t window = wk__accumulate(t->params, t->standing.epoch);
    if (window > 1) loss = wk_affine(loss, (wk_affine_opts){ 1 / (double)window, 0 });
    if (t->scaler) loss = wk_grad_scaler_scale(t->scaler, loss);
    if (!loss) return wk_error_code();
    WK_TRY(wk_backward(loss));
    return WK__HOOK(t, after_backward);
}

static wk_status clip(wk_trainer *t, wk_optim *optimizer) {
    const wk__params *p = t->params;
    if (!(p->clip > 0)) return WK_OK;
    return p->clip_by_value ? wk_clip_grad_value(optimizer, p->clip) : wk_clip_grad_norm(optimizer, p->clip, NULL);
}

wk_status wk_trainer_optimizer_step(wk_trainer *t, int i) {
    WK_TRY(check_index(t, "wk_trainer_optimizer_step", i));
    wk_optim *optimizer = t->driven[i].optimizer;
    if (t->scaler) WK_TRY(wk_grad_scaler_unscale(t->scaler, optimizer));
    WK_TRY(WK__HOOK(t, before_optimizer_step));
    WK_TRY(clip(t, optimizer));
    wk__schedules_advance(t, t->standing.step, t->standing.epoch);
    t->stepped = true;
    return t->scaler ? wk_grad_scaler_step(t->scaler, optimizer) : wk_optim_step(optimizer);
}

/* ---- a loss that is not finite ---- */

static wk_status any_rank(wk_trainer *t, bool *flag) {
    double number = *flag;
    if (t->ranks < 2) return WK_OK;
    wk_scope scope = wk_scope_begin();
    wk_tensor *any = wk_from_array(WK_F64, WK_DIMS(1), &number);
    wk_status status = any ? wk_all_reduce(t->group, any, WK_REDUCE_MAX, NULL) : wk_error_code();
    if (status == WK_OK) *flag = *(const double *)wk_data(any) > 0;
    wk_scope_end(scope);
    return status;
}

/* Stop with what is known, or leave the window of this batch out, on all ranks. */
static wk_status handle_nan(wk_trainer *t, const wk_batch *batch, double loss) {
    bool bad = !isfinite(loss);
    if (t->params->skip_nan) WK_TRY(any_rank(t, &bad));
    if (!bad) {
        t->skipped = 0;
        return WK_OK;
    }
    char words[300] = "";
    if (!isfinite(loss)) wk__blame_layer(t, batch, words, sizeof words);
    const char *what = isnan(loss) ? "not a number" : isfinite(loss) ? "not finite on another rank" : "infinite";
    if (!t->params->skip_nan)
        return wk_fail(WK_STATE,
                       "the loss is %s at step %lld%s%s: a smaller learning rate or gradient clipping may help", what,
                       (long long)t->standing.step + 1, *words ? "; " : "", words);
    t->skips_window = true;
    wk_trainer_say(t, "step %lld is skipped: the loss is %s%s%s", (long long)t->standing.step + 1, what,
                   *words ? "; " : "", words);
    if (++t->skipped < MOST_SKIPPED) return WK_OK;
    return wk_fail(WK_STATE, "%d steps in a row had a loss that is not finite: the run goes nowhere", MOST_SKIPPED);
}

/* ---- steps ---- */

static wk_status zero_all(wk_trainer *t) {
    WK_TRY(WK__HOOK(t, before_zero_grad));
    for (int i = 0; i < t->optimizers; i++) wk_zero_grad(t->driven[i].optimizer);
    return WK_OK;
}

static wk_tensor *forward(wk_trainer *t, const wk_batch *batch) {
    wk_autocast was = wk__autocast(t);
    wk_tensor *loss = t->wrapper->class_->training_step(t->wrapper, t, batch);
    wk_autocast_end(was);
    if (!loss && !wk_failed()) (void)wk_fail(WK_INVALID, "wrapper \"%s\" gave no loss", t->wrapper->class_->name);
    return loss;
}

/* L-BFGS asks for loss and gradients of the same batch as often as it needs them. */
typedef struct repeated {
    wk_trainer *trainer;
    const wk_batch *batch;
    double first;
    bool again;
} repeated;

static wk_status repeat(void *context, double *loss) {
    repeated *r = context;
    wk_trainer *t = r->trainer;
    wk_scope scope = wk_scope_begin();
    wk_status status = zero_all(t);
    wk_tensor *one = status == WK_OK ? forward(t, r->batch) : NULL;
    if (!one && status == WK_OK) status = wk_error_code();
    if (status == WK_OK) *loss = wk_item(one);
    if (status == WK_OK && !r->again) {
        r->first = *loss;
        status = handle_nan(t, r->batch, *loss);
    }
    r->again = true;
    if (status == WK_OK) status = wk_trainer_backward(t, one);
    t->loss = NULL;
    wk_scope_end(scope);
    return status;
}

static wk_status step_repeatedly(wk_trainer *t, const wk_batch *batch, double *value) {
    repeated r = { .trainer = t, .batch = batch };
    WK_TRY(WK__HOOK(t, before_optimizer_step));
    wk__schedules_advance(t, t->standing.step, t->standing.epoch);
    t->stepped = true;
    wk_status status = wk_optim_step_closure(t->driven[0].optimizer, repeat, &r, value);
    *value = r.first;
    return status;
}

/* The trainer runs backward and the optimizers. */
static wk_status step_for_wrapper(wk_trainer *t, const wk_batch *batch, bool first, bool last, double *value) {
    if (strcmp(wk_optim_name(t->driven[0].optimizer), "LBFGS") == 0) return step_repeatedly(t, batch, value);
    if (first) WK_TRY(zero_all(t)); /* before forward: a loss may write gradients into their memory */
    wk_tensor *loss = forward(t, batch);
    if (!loss) return wk_error_code();
    *value = wk_item(loss);
    /* Before backward: no rank's weights have taken anything from this step yet. */
    WK_TRY(handle_nan(t, batch, *value));
    if (t->skips_window) return WK_OK;
    if (t->ddp) wk_ddp_no_sync(t->ddp, !last);
    WK_TRY(wk_trainer_backward(t, loss));
    for (int i = 0; i < t->optimizers && last; i++) WK_TRY(wk_trainer_optimizer_step(t, i));
    return WK_OK;
}

static wk_status wrapper_steps(wk_trainer *t, const wk_batch *batch, double *value) {
    wk_tensor *loss = forward(t, batch);
    if (!loss) return wk_error_code();
    t->loss = loss;
    *value = wk_item(loss);
    if (isfinite(*value)) return WK_OK;
    return wk_fail(WK_STATE, "the loss is %s at step %lld, and wrapper \"%s\" has stepped already",
                   isnan(*value) ? "not a number" : "infinite", (long long)t->standing.step + 1,
                   t->wrapper->class_->name);
}

static wk_status in_scope(wk_trainer *t, const wk_batch *batch, bool first, bool last, double *value) {
    wk_batch here = *batch;
    here.input = wk__place(t, batch->input);
    here.target = wk__place(t, batch->target);
    if (!here.input || !here.target) return wk_error_code();
    t->batch = &here;
    t->in_step = true;
    wk_status status = t->wrapper->class_->steps_itself ? wrapper_steps(t, &here, value)
                                                        : step_for_wrapper(t, &here, first, last, value);
    if (status == WK_OK && t->scaler && t->stepped) status = wk_grad_scaler_update(t->scaler);
    t->in_step = false;
    t->batch = NULL;
    t->loss = NULL;
    return status;
}

/* Batches of a window do different things: each place in it is a step that repeats. */
static const char *step_name(int64_t window, bool first, bool last) {
    if (window == 1) return "train";
    return first && last ? "train, alone" : first ? "train, first" : last ? "train, last" : "train, between";
}

wk_status wk__train_batch(wk_trainer *t, const wk_batch *batch, double *loss, bool *counts) {
    int64_t k = wk__accumulate(t->params, t->standing.epoch), at = t->standing.batch % k;
    bool first = at == 0, last = at == k - 1 || t->standing.batch + 1 == t->batches;
    if (first) t->skips_window = false;
    *counts = false;
    if (t->skips_window) return WK_OK;
    wk__sums *kept = t->params->skip_nan ? wk_alloc(sizeof *kept) : NULL;
    if (kept) *kept = t->train_sums;
    t->stepped = false;
    t->batch = batch;
    wk_scope scope = wk_scope_begin();
    wk_status status = WK__HOOK(t, train_batch_start);
    if (status == WK_OK) status = wk_step_begin(step_name(k, first, last));
    if (status == WK_OK) status = in_scope(t, batch, first, last, loss);
    if (status == WK_OK) status = wk_step_end();
    wk_scope_end(scope);
    if (status == WK_OK && t->stepped) status = wk_ddp_stepped(t->ddp);
    t->batch = NULL;
    if (kept && t->skips_window) t->train_sums = *kept;
    wk_free(kept);
    *counts = !t->skips_window;
    return status == WK_OK && wk_failed() ? wk_error_code() : status;
}
