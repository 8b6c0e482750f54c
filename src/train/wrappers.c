/* wrappers.c: how a model is trained where a run's file says nothing of it: one model, one loss, the accuracy of
 * classifications. */
#include "train/builtin.h"
#include "train/config.h"

#include "base/base.h"

#include <string.h>

typedef struct base_wrapper {
    wk_wrapper base;
    wk_loss *loss;
    const char *model_name;
    bool classifies;
} base_wrapper;

/* A forward of one item tells whether model and data fit, before hours are spent. */
static wk_status base_setup(wk_wrapper *self, wk_trainer *t) {
    base_wrapper *w = (base_wrapper *)self;
    const wk_dataset *data = wk_trainer_data(t);
    wk_dims dims = { .rank = data->input_dims.rank + 1, .size = { 1 } };
    memcpy(dims.size + 1, data->input_dims.size, (size_t)data->input_dims.rank * sizeof dims.size[0]);
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_module_train(self->module, false);
    wk_tensor *scores = wk_forward(self->module, wk_to_device(wk_zeros(data->input_dtype, dims), wk_trainer_device(t)));
    wk_module_train(self->module, true);
    wk_no_grad_end(was);
    wk_status status = scores ? WK_OK : wk_error_code();
    w->classifies = data->classes > 0 && data->target_dims.rank == 0;
    if (status == WK_OK && w->classifies && (wk_rank(scores) != 2 || wk_size(scores, 1) != data->classes))
        status = wk_fail(WK_CONFIG, "model \"%s\" gives %lld scores for an item, the data has %d classes",
                         w->model_name, (long long)wk_size(scores, -1), data->classes);
    wk_scope_end(scope);
    return status;
}

static wk_tensor *base_training_step(wk_wrapper *self, wk_trainer *t, const wk_batch *batch) {
    wk_loss *loss = ((base_wrapper *)self)->loss;
    return loss->class_->compute(loss, t, wk_forward(self->module, batch->input), batch);
}

static wk_status base_validation_step(wk_wrapper *self, wk_trainer *t, const wk_batch *batch) {
    const base_wrapper *w = (base_wrapper *)self;
    wk_tensor *scores = wk_forward(self->module, batch->input);
    wk_tensor *loss = w->loss->class_->compute(w->loss, t, scores, batch);
    if (!loss) return wk_error_code();
    WK_TRY(wk_trainer_log(t, "val_loss", wk_item(loss), (wk_log_opts){ 0 }));
    if (!w->classifies) return wk_failed() ? wk_error_code() : WK_OK;
    wk_tensor *hits = wk_sum(wk_eq(wk_argmax(scores, (wk_axis_opts){ { 0 } }), batch->target), (wk_reduce_opts){ 0 });
    if (!hits) return wk_error_code();
    return wk_trainer_log(t, "val_accuracy", wk_item(hits) / (double)batch->size, (wk_log_opts){ 0 });
}

static void base_destroy(wk_wrapper *self) {
    wk_loss_destroy(((base_wrapper *)self)->loss);
}

static const wk_wrapper_class base_class = { .name = "base",
                                             .size = sizeof(base_wrapper),
                                             .setup = base_setup,
                                             .training_step = base_training_step,
                                             .validation_step = base_validation_step,
                                             .destroy = base_destroy };

static wk_loss *loss_of(const wk_config *run) {
    if (wk_config_has(run, "loss")) return wk_make_loss(run, "loss");
    const wk_config nothing = { run->document, NULL };
    for (const wk_loss_entry *e = wk__builtin_losses; e->about.name; e++)
        if (strcmp(e->about.name, "cross_entropy") == 0) return e->build(&nothing);
    return NULL;
}

static wk_wrapper *build_base(const wk_config *args, const wk_config *run) {
    (void)args;
    wk_wrapper *self = wk_wrapper_create(&base_class);
    if (!self) return NULL;
    base_wrapper *w = (base_wrapper *)self;
    wk__spec model;
    if (wk__spec_read(run, "model", true, &model) != WK_OK) return self; /* the error is pending: destroyed */
    w->model_name = model.name;
    w->loss = loss_of(run);
    self->module = w->loss ? wk_make_model(run, "model") : NULL;
    return self;
}

const wk_wrapper_entry wk__builtin_wrappers[] = {
    { { "base", "the sections model and loss; validation logs val_loss and val_accuracy", NULL }, build_base },
    { { NULL, NULL, NULL }, NULL },
};
