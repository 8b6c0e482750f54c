/* validate.c: a pass over the evaluation data, its metrics averaged over all items and ranks. */
#include "train/run.h"

#include "base/base.h"
#include "wick/step.h"

/* The sampler fills every rank up to the same length by repeating items: of this batch so many, from its beginning, are
 * new. */
static int64_t new_items(const wk_trainer *t, const wk_batch *batch) {
    int64_t first = batch->index * t->batch_size, left = t->val_data->count - t->rank - first * t->ranks;
    int64_t all = left > 0 ? (left + t->ranks - 1) / t->ranks : 0;
    return all < batch->size ? all : batch->size;
}

static wk_tensor *place(const wk_trainer *t, wk_tensor *tensor, int64_t items, int64_t size) {
    return wk__place(t, items < size ? wk_slice(tensor, 0, 0, items, 1) : tensor);
}

static wk_status one_batch(wk_trainer *t, const wk_batch *batch) {
    wk_batch here = { .index = batch->index, .size = new_items(t, batch) };
    if (here.size == 0) return WK_OK;
    t->batch = batch;
    WK_TRY(WK__HOOK(t, validation_batch_start));
    wk_scope scope = wk_scope_begin();
    wk_status status = wk_step_begin("validate");
    here.input = place(t, batch->input, here.size, batch->size);
    here.target = place(t, batch->target, here.size, batch->size);
    t->batch = &here;
    t->in_step = true;
    if (status == WK_OK && here.input && here.target) {
        wk_autocast was = wk__autocast(t);
        status = t->wrapper->class_->validation_step(t->wrapper, t, &here);
        wk_autocast_end(was);
    }
    t->in_step = false;
    if (status == WK_OK && wk_failed()) status = wk_error_code();
    if (status == WK_OK) status = wk_step_end();
    if (status == WK_OK) status = WK__HOOK(t, validation_batch_end);
    if (status == WK_OK) status = wk_device_synchronise(t->device); /* the loader has its memory back */
    wk_scope_end(scope);
    t->batch = NULL;
    return status;
}

static wk_status all_batches(wk_trainer *t, int64_t most) {
    wk_batch batch;
    int64_t done = 0;
    if (!t->params->own_buffers) WK_TRY(wk_ddp_broadcast_buffers(t->ddp));
    WK_TRY(wk_loader_start(t->val_loader, 0, 0));
    while (done < most && wk_loader_next(t->val_loader, &batch)) {
        WK_TRY(one_batch(t, &batch));
        done++;
        if (t->rank == 0 && t->stop && *t->stop && !wk__is_shared_out(t)) return WK_CANCELLED; /* the caller saves */
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_status wk__validate(wk_trainer *t, int64_t most_batches) {
    wk_stage before = t->stage;
    t->stage = before == WK_STAGE_SANITY ? before : WK_STAGE_VALIDATE;
    t->val_sums.count = 0;
    WK_TRY(wk__evaluation_start(t));
    WK_TRY(WK__HOOK(t, validation_start));
    WK_TRY(WK__HOOK(t, validation_epoch_start));
    const wk_wrapper_class *wrapper = t->wrapper->class_;
    wk_module_train(t->model, false);
    bool was = wk_no_grad_begin();
    wk_status status = wrapper->validation_start ? wrapper->validation_start(t->wrapper, t) : WK_OK;
    if (status == WK_OK) status = all_batches(t, most_batches);
    wk_no_grad_end(was);
    wk_module_train(t->model, true);
    WK_TRY(status);
    if (t->stage == WK_STAGE_SANITY) {
        t->val_sums.count = 0; /* of untrained weights, and of a part of the data */
    } else {
        WK_TRY(wk__sums_reduce(t, &t->val_sums));
        if (wrapper->validation_end) WK_TRY(wrapper->validation_end(t->wrapper, t));
        WK_TRY(wk__evaluation_end(t));
    }
    WK_TRY(WK__HOOK(t, validation_epoch_end));
    WK_TRY(WK__HOOK(t, validation_end));
    t->stage = before;
    return WK_OK;
}
