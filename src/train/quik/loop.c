/* loop.c: a traveler under way, and what it brings home. */
#include "train/quik/quik.h"

#include "base/base.h"
#include "plot/plot.h"

#include <math.h>
#include <string.h>

static wk_status needs(const void *part, const char *who, const char *what) {
    if (wk_failed()) return WK_PENDING;
    return part ? WK_OK : wk_fail(WK_STATE, "%s: the traveler has no %s", who, what);
}

wk_status wk_quik_start(wk_quik_traveler *t, int64_t epoch) {
    WK_TRY(needs(t->model, "wk_quik_start", "model: call wk_quik_add_model"));
    WK_TRY(needs(t->loader, "wk_quik_start", "data: call wk_quik_add_data"));
    wk_module_train(t->model, t->trains);
    return wk_loader_start(t->loader, epoch, 0);
}

bool wk_quik_next(wk_quik_traveler *t, wk_batch *batch) {
    const wk_device device = t->trek->world.device;
    if (needs(t->loader, "wk_quik_next", "data: call wk_quik_add_data") != WK_OK || !wk_loader_next(t->loader, batch))
        return false;
    batch->input = wk_to_device(batch->input, device);
    batch->target = wk_to_device(batch->target, device);
    return batch->input && batch->target;
}

/* ---- a step ---- */

static wk_autocast cast(const wk_quik_traveler *t) {
    return wk_autocast_begin(WK_F16, t->trek->args.mixed_precision && t->trek->world.device != WK_CPU);
}

wk_tensor *wk_quik_forward(wk_quik_traveler *t, wk_tensor *input) {
    if (needs(t->model, "wk_quik_forward", "model: call wk_quik_add_model") != WK_OK) return NULL;
    wk_autocast was = cast(t);
    wk_tensor *outputs = wk_forward(t->model, input);
    wk_autocast_end(was);
    return outputs;
}

wk_tensor *wk_quik_loss(wk_quik_traveler *t, wk_tensor *outputs, wk_tensor *targets) {
    if (needs((const void *)(uintptr_t)t->criterion, "wk_quik_loss", "criterion: call wk_quik_set_criterion") != WK_OK)
        return NULL;
    wk_autocast was = cast(t);
    wk_tensor *loss = t->criterion(outputs, targets);
    wk_autocast_end(was);
    return loss;
}

wk_status wk_quik_backward(wk_quik_traveler *t, wk_tensor *loss, bool clip) {
    WK_TRY(needs(t->optimizer, "wk_quik_backward", "optimizer: call wk_quik_set_optimizer"));
    WK_TRY(needs(loss, "wk_quik_backward", "loss to go back from"));
    if (t->scaler && !(loss = wk_grad_scaler_scale(t->scaler, loss))) return wk_error_code();
    WK_TRY(wk_backward(loss));
    if (t->scaler) WK_TRY(wk_grad_scaler_unscale(t->scaler, t->optimizer));
    if (clip) WK_TRY(wk_clip_grad_norm(t->optimizer, 1, NULL));
    WK_TRY(t->scaler ? wk_grad_scaler_step(t->scaler, t->optimizer) : wk_optim_step(t->optimizer));
    if (t->scaler) WK_TRY(wk_grad_scaler_update(t->scaler));
    wk_zero_grad(t->optimizer);
    return WK_OK;
}

wk_status wk_quik_scheduler_step(wk_quik_traveler *t) {
    WK_TRY(needs(t->schedule.lr, "wk_quik_scheduler_step", "scheduler: call wk_quik_set_scheduler"));
    return wk_lr_step(t->schedule.lr);
}

/* ---- losses ---- */

wk_status wk_quik_add_loss(wk_quik_traveler *t, wk_tensor *loss) {
    WK_TRY(needs(loss, "wk_quik_add_loss", "loss to add"));
    wk_loss_table_add(&t->trek->metrics, wk_item(loss));
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_status wk_quik_add_vloss(wk_quik_traveler *t, const double *losses, const int64_t *sizes, int64_t count) {
    double sums[2] = { 0, 0 };
    if (wk_failed()) return WK_PENDING;
    for (int64_t i = 0; i < count; i++) {
        sums[0] += losses[i] * (double)sizes[i];
        sums[1] += (double)sizes[i];
    }
    wk_status status = WK_OK;
    if (t->trek->world.is_ddp) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *all = wk_from_array(WK_F64, WK_DIMS(2), sums);
        status = all ? wk_all_reduce(t->trek->group, all, WK_REDUCE_SUM, NULL) : wk_error_code();
        if (status == WK_OK) memcpy(sums, wk_data(all), sizeof sums);
        wk_scope_end(scope);
    }
    if (status == WK_OK) t->trek->metrics.valid_loss = sums[1] > 0 ? sums[0] / sums[1] : NAN;
    return status;
}

/* ---- files ---- */

wk_status wk_quik_save_state_dict(wk_quik_traveler *t, const char *epoch) {
    WK_TRY(needs(t->model, "wk_quik_save_state_dict", "model: call wk_quik_add_model"));
    if (!t->trek->world.is_logger) return WK_OK;
    char *path = wk_quik_id_str(&t->trek->args, "state_dict", epoch, NULL, NULL);
    wk_status status = path ? wk_torch_save(path, wk_state(t->model)) : wk_error_code();
    wk_free(path);
    return status;
}

wk_status wk_quik_add_results(wk_quik_traveler *t, wk_tensor *predictions, wk_tensor *targets) {
    WK_TRY(needs(t->dataset, "wk_quik_add_results", "data: call wk_quik_add_data"));
    if (t->dataset->classes < 2) return wk_fail(WK_STATE, "wk_quik_add_results: the data is not one of classes");
    if (!t->confusion)
        t->confusion = wk_metric_create("confusion_matrix", (wk_metric_opts){ .classes = t->dataset->classes });
    return t->confusion ? wk_metric_update(t->confusion, predictions, targets) : wk_error_code();
}

static wk_status draw(const wk_quik_args *args, const wk__matrix *matrix) {
    double side = wk__matrix_side(matrix);
    char *path = wk_quik_id_str(args, "confusion", NULL, NULL, NULL);
    wk__picture *picture = path ? wk__picture_open(path, side, side) : NULL;
    wk_status status = wk_error_code();
    if (picture) {
        wk__draw_matrix(picture, (wk__box){ 0, 0, side, side }, matrix);
        status = wk__picture_close(picture, path);
    }
    wk_free(path);
    return status;
}

char *wk_quik_record_results(wk_quik_traveler *t, const char *const *names) {
    if (needs(t->confusion, "wk_quik_record_results", "results: call wk_quik_add_results") != WK_OK) return NULL;
    const int64_t classes = t->dataset->classes;
    double *counts = wk_alloc((size_t)(classes * classes) * sizeof *counts);
    const wk__matrix matrix = { counts, (int)classes, names };
    char *report = NULL;
    if (counts && wk_metric_compute(t->confusion, t->trek->group, counts, classes * classes) == WK_OK
        && (!t->trek->world.is_logger || draw(&t->trek->args, &matrix) == WK_OK))
        report = wk_classification_report(counts, classes, names);
    wk_free(counts);
    return report;
}
