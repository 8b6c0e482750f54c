/* wrappers.c: how a model is trained where a run's file says nothing of it: one model, one loss, the accuracy of
 * classifications. */
#include "train/builtin.h"
#include "train/config.h"

#include "base/base.h"
#include "wick/train/metrics.h"

#include <string.h>

enum { MOST = 16 };
typedef struct base_wrapper {
    wk_wrapper base;
    wk_loss *loss;
    const char *model_name;
    bool classifies;
    const char *metric_name[MOST]; /* args.metrics: "f1", "recall_weighted", … */
    wk_metric *metric[MOST];
    int metrics;
} base_wrapper;

/* Targets are shares of the classes, as wk_mixed_dataset makes them. */
static bool is_mixed(const wk_dataset *data) {
    return data->target_dims.rank == 1 && data->target_dims.size[0] == data->classes && data->target_dtype == WK_F32;
}

/* "f1_weighted" is the metric f1 with that average. */
static wk_metric *make_metric(const char *name, int64_t classes) {
    static const char *const averages[] = { "_macro", "_micro", "_weighted" };
    wk_metric_opts opts = { .classes = classes };
    size_t size = strlen(name);
    char plain[64];
    for (int i = 0; i < 3; i++) {
        size_t end = strlen(averages[i]);
        if (size <= end || strcmp(name + size - end, averages[i]) != 0) continue;
        opts.average = i;
        size -= end;
        break;
    }
    (void)snprintf(plain, sizeof plain, "%.*s", (int)size, name);
    wk_metric *metric = wk_metric_create(plain, opts);
    if (!metric || wk_metric_count(metric) == 1) return metric;
    wk_metric_destroy(metric);
    return wk_fail_null(WK_CONFIG, "metric %s is more than one number: it cannot be a column", name);
}

static wk_status make_metrics(base_wrapper *w, int64_t classes) {
    for (int i = 0; i < w->metrics; i++)
        if (!(w->metric[i] = make_metric(w->metric_name[i], classes))) {
            wk_error_prefix("wrapper.args.metrics");
            return wk_error_code();
        }
    return WK_OK;
}

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
    w->classifies = data->classes > 0 && (data->target_dims.rank == 0 || is_mixed(data));
    if (status == WK_OK && w->classifies && (wk_rank(scores) != 2 || wk_size(scores, 1) != data->classes))
        status = wk_fail(WK_CONFIG, "model \"%s\" gives %lld scores for an item, the data has %d classes",
                         w->model_name, (long long)wk_size(scores, -1), data->classes);
    wk_scope_end(scope);
    return status == WK_OK ? make_metrics(w, data->classes) : status;
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
    for (int i = 0; i < w->metrics; i++) WK_TRY(wk_metric_update(w->metric[i], scores, batch->target));
    if (!w->classifies || wk_rank(batch->target) != 1) return wk_failed() ? wk_error_code() : WK_OK;
    WK_TRY(wk_trainer_log_predictions(t, scores, batch->target));
    wk_tensor *hits = wk_sum(wk_eq(wk_argmax(scores, (wk_axis_opts){ { 0 } }), batch->target), (wk_reduce_opts){ 0 });
    if (!hits) return wk_error_code();
    return wk_trainer_log(t, "val_accuracy", wk_item(hits) / (double)batch->size, (wk_log_opts){ 0 });
}

static wk_status base_validation_start(wk_wrapper *self, wk_trainer *t) {
    const base_wrapper *w = (const base_wrapper *)self;
    (void)t;
    for (int i = 0; i < w->metrics; i++) wk_metric_reset(w->metric[i]);
    return WK_OK;
}

static wk_status base_validation_end(wk_wrapper *self, wk_trainer *t) {
    const base_wrapper *w = (const base_wrapper *)self;
    for (int i = 0; i < w->metrics; i++) {
        char name[72];
        double value;
        WK_TRY(wk_metric_compute(w->metric[i], wk_trainer_group(t), &value, 1));
        (void)snprintf(name, sizeof name, "val_%.60s", w->metric_name[i]);
        WK_TRY(wk_trainer_log(t, name, value, (wk_log_opts){ 0 }));
    }
    return WK_OK;
}

static void base_destroy(wk_wrapper *self) {
    const base_wrapper *w = (const base_wrapper *)self;
    for (int i = 0; i < w->metrics; i++) wk_metric_destroy(w->metric[i]);
    wk_loss_destroy(w->loss);
}

static const wk_wrapper_class base_class = { .name = "base",
                                             .size = sizeof(base_wrapper),
                                             .setup = base_setup,
                                             .training_step = base_training_step,
                                             .validation_step = base_validation_step,
                                             .validation_start = base_validation_start,
                                             .validation_end = base_validation_end,
                                             .destroy = base_destroy };

static wk_loss *loss_of(const wk_config *run) {
    if (wk_config_has(run, "loss")) return wk_make_loss(run, "loss");
    const wk_config nothing = { run->document, NULL };
    for (const wk_loss_entry *e = wk__builtin_losses; e->about.name; e++)
        if (strcmp(e->about.name, "cross_entropy") == 0) return e->build(&nothing);
    return NULL;
}

static wk_wrapper *build_base(const wk_config *args, const wk_config *run) {
    wk_wrapper *self = wk_wrapper_create(&base_class);
    if (!self) return NULL;
    base_wrapper *w = (base_wrapper *)self;
    w->metrics = wk_config_strings(args, "metrics", w->metric_name, MOST);
    wk__spec model;
    if (wk__spec_read(run, "model", true, &model) != WK_OK) return self; /* the error is pending: destroyed */
    w->model_name = model.name;
    w->loss = loss_of(run);
    self->module = w->loss ? wk_make_model(run, "model") : NULL;
    return self;
}

static const wk_arg base_args[] = {
    { "metrics", WK_ARG_LIST, "", "more to validate: f1, recall_weighted, auroc, mse, perplexity, …" },
    { NULL, WK_ARG_INT, NULL, NULL },
};
const wk_wrapper_entry wk__builtin_wrappers[] = {
    { { "base", "the sections model and loss; validation logs val_loss and val_accuracy", base_args }, build_base },
    { { NULL, NULL, NULL }, NULL },
};
