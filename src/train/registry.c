/* registry.c: names in a run's file, and what they build. */
#include "train/builtin.h"
#include "train/config.h"

#include <float.h>
#include <string.h>
#include <strings.h>

enum { MOST = 256 };
static const wk_model_entry *models[MOST];
static const wk_data_entry *datas[MOST];
static size_t model_count, data_count;

__attribute__((constructor)) static void add_builtin(void) {
    for (size_t i = 0; wk__builtin_models[i].name; i++) models[model_count++] = &wk__builtin_models[i];
    for (size_t i = 0; wk__builtin_data[i].name; i++) datas[data_count++] = &wk__builtin_data[i];
}

const wk_model_entry *wk__find_model(const char *name) {
    for (size_t i = 0; i < model_count; i++)
        if (strcmp(models[i]->name, name) == 0) return models[i];
    return NULL;
}

const wk_data_entry *wk__find_data(const char *name) {
    for (size_t i = 0; i < data_count; i++)
        if (strcmp(datas[i]->name, name) == 0) return datas[i];
    return NULL;
}

size_t wk__model_names(const char **names, size_t most) {
    size_t n = 0;
    for (; n < model_count && n < most; n++) names[n] = models[n]->name;
    return n;
}

size_t wk__data_names(const char **names, size_t most) {
    size_t n = 0;
    for (; n < data_count && n < most; n++) names[n] = datas[n]->name;
    return n;
}

wk_status wk_register_model(const wk_model_entry *entry) {
    if (wk__find_model(entry->name)) return wk_fail(WK_EXISTS, "a model \"%s\" is registered already", entry->name);
    if (model_count == MOST) return wk_fail(WK_STATE, "the table of models is full (%d)", MOST);
    models[model_count++] = entry;
    return WK_OK;
}

wk_status wk_register_data(const wk_data_entry *entry) {
    if (wk__find_data(entry->name)) return wk_fail(WK_EXISTS, "data \"%s\" is registered already", entry->name);
    if (data_count == MOST) return wk_fail(WK_STATE, "the table of data is full (%d)", MOST);
    datas[data_count++] = entry;
    return WK_OK;
}

/* ---- building ---- */

wk_module *wk__build_model(const wk__run_config *c) {
    const wk_model_entry *entry = wk__find_model(c->model.name);
    wk_module *model = entry->build(&c->model.args);
    if (model && !wk_failed()) return model;
    wk_module_destroy(model);
    wk_error_prefix("model \"%s\"", c->model.name);
    return NULL;
}

wk_status wk__build_data(const wk__run_config *c, wk_dataset **train, wk_dataset **evaluation) {
    *train = *evaluation = NULL;
    const wk_data_entry *entry = wk__find_data(c->data.name);
    wk_status status = entry->build(&c->data.args, train, evaluation);
    return status == WK_OK && wk_failed() ? wk_error_code() : status;
}

static const char *const optimizer_names[] = { "SGD", "Adam", "AdamW" };

wk_optim *wk__build_optimizer(const wk__run_config *c, wk_module *model) {
    static const char *const sgd_args[] = { "lr", "momentum", "dampening", "weight_decay", "nesterov", NULL };
    static const char *const adam_args[] = { "lr", "beta1", "beta2", "eps", "weight_decay", NULL };
    const wk__spec *spec = &c->optimizer;
    const wk_config *args = &spec->args;
    wk_named_tensors parameters = model ? wk_parameters(model) : (wk_named_tensors){ 0 };
    double decay = wk_config_double(args, "weight_decay", 0, DBL_MAX, -1);
    double lr = wk_config_double(args, "lr", DBL_MIN, DBL_MAX, 1e-3);
    bool has_decay = decay >= 0;
    if (strcasecmp(spec->name, "SGD") == 0) {
        if (wk__check_args(spec, "optimizer", sgd_args) != WK_OK) return NULL;
        wk_sgd_opts opts = { .lr = lr,
                             .momentum = wk_config_double(args, "momentum", 0, DBL_MAX, 0),
                             .dampening = wk_config_double(args, "dampening", 0, DBL_MAX, 0),
                             .weight_decay = has_decay ? decay : 0,
                             .nesterov = wk_config_bool(args, "nesterov", false) };
        return wk_sgd(parameters, opts);
    }
    bool is_adamw = strcasecmp(spec->name, "AdamW") == 0;
    if (!is_adamw && strcasecmp(spec->name, "Adam") != 0) {
        (void)wk__unknown_name(spec, "optimizer", optimizer_names, WK_COUNT(optimizer_names));
        return NULL;
    }
    if (wk__check_args(spec, "optimizer", adam_args) != WK_OK) return NULL;
    wk_optional beta1 = WK_SET(wk_config_double(args, "beta1", 0, 1, 0.9)),
                beta2 = WK_SET(wk_config_double(args, "beta2", 0, 1, 0.999));
    double eps = wk_config_double(args, "eps", DBL_MIN, DBL_MAX, 1e-8);
    const wk_adamw_opts adamw = {
        .lr = lr, .beta1 = beta1, .beta2 = beta2, .eps = eps, .weight_decay = { has_decay, decay }
    };
    const wk_adam_opts adam = {
        .lr = lr, .beta1 = beta1, .beta2 = beta2, .eps = eps, .weight_decay = has_decay ? decay : 0
    };
    return is_adamw ? wk_adamw(parameters, adamw) : wk_adam(parameters, adam);
}

wk_status wk__build_schedule(const wk__run_config *c, const wk_optim *optimizer, int64_t total_steps,
                             wk_schedule *schedule) {
    static const char *const names[] = { "constant", "StepLR", "cosine" };
    static const char *const step_args[] = { "step_size", "gamma", NULL },
                             *const cosine_args[] = { "warmup_steps", "min_lr", NULL }, *const none[] = { NULL };
    *schedule = (wk_schedule){ .base_lr = wk_optim_lr(optimizer) };
    if (!c->has_schedule) return WK_OK;
    const wk__spec *spec = &c->schedule;
    if (strcasecmp(spec->name, "constant") == 0) return wk__check_args(spec, "schedule", none);
    if (strcasecmp(spec->name, "StepLR") == 0) {
        WK_TRY(wk__check_args(spec, "schedule", step_args));
        schedule->kind = WK_SCHEDULE_STEP;
        schedule->step_size = wk_config_int(&spec->args, "step_size", 1, INT64_MAX, 1);
        schedule->gamma = WK_SET(wk_config_double(&spec->args, "gamma", 0, DBL_MAX, 0.1));
    } else if (strcasecmp(spec->name, "cosine") == 0) {
        WK_TRY(wk__check_args(spec, "schedule", cosine_args));
        schedule->kind = WK_SCHEDULE_COSINE;
        schedule->warmup_steps = wk_config_int(&spec->args, "warmup_steps", 0, INT64_MAX, 0);
        schedule->min_lr = wk_config_double(&spec->args, "min_lr", 0, DBL_MAX, 0);
        schedule->total_steps = total_steps;
    } else {
        return wk__unknown_name(spec, "schedule", names, WK_COUNT(names));
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_status wk__build_loss(const wk__run_config *c, wk_cross_entropy_opts *opts) {
    static const char *const names[] = { "cross_entropy" };
    static const char *const args[] = { "label_smoothing", NULL };
    *opts = (wk_cross_entropy_opts){ 0 };
    if (!c->loss.name) return WK_OK;
    if (strcmp(c->loss.name, "cross_entropy") != 0) return wk__unknown_name(&c->loss, "loss", names, 1);
    WK_TRY(wk__check_args(&c->loss, "loss", args));
    opts->label_smoothing = wk_config_double(&c->loss.args, "label_smoothing", 0, 0.999, 0);
    return wk_failed() ? wk_error_code() : WK_OK;
}
