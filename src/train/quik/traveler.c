/* traveler.c: a model, its data, and how it is trained. */
#include "train/quik/quik.h"

#include "base/base.h"
#include "io/tensor_file.h"
#include "train/registry.h"

#include <stdlib.h>
#include <string.h>

wk_quik_traveler *wk_quik_traveler_create(wk_quik_trek *trek, const char *type) {
    static const char *const types[] = { "train", "valid", "test" };
    bool known = false;
    for (size_t i = 0; i < WK_COUNT(types); i++) known = known || strcmp(type, types[i]) == 0;
    if (wk_failed()) return NULL;
    if (!known)
        return wk_fail_null(WK_INVALID, "a traveler is of type \"train\", \"valid\" or \"test\", not \"%s\"", type);
    wk_quik_traveler *t = wk_alloc(sizeof *t);
    if (!t) return NULL;
    t->trek = trek;
    t->trains = strcmp(type, "train") == 0;
    return t;
}

void wk_quik_traveler_destroy(wk_quik_traveler *t) {
    if (!t) return;
    wk_metric_destroy(t->confusion);
    wk_grad_scaler_destroy(t->scaler);
    wk_lr_destroy(t->schedule.lr);
    wk_free(t->schedule.context);
    wk_optim_destroy(t->optimizer);
    wk_ddp_destroy(t->ddp);
    wk_loader_destroy(t->loader);
    wk_free(t);
}

/* ---- the model ---- */

static const char *own_name(const char *name) {
    return strncmp(name, "module.", 7) == 0 ? name + 7 : name;
}

/* The file's name of a tensor of the model; NULL with an error pending. */
static const char *name_in(wk__tensor_file *file, const char *name) {
    const int count = wk__tensor_file_count(file);
    for (int i = 0; i < count; i++)
        if (strcmp(own_name(wk__tensor_file_name(file, i)), name) == 0) return wk__tensor_file_name(file, i);
    return wk_fail_null(WK_NOT_FOUND, "it has no tensor \"%s\"", name);
}

/* Every shape is looked at before the first weight changes. */
static wk_status fits(wk__tensor_file *file, const char *name, const wk_tensor *target, bool copies) {
    const char *there = name_in(file, name);
    wk_scope scope = wk_scope_begin();
    wk_tensor *source = there ? wk__tensor_file_get(file, there) : NULL;
    wk_status status = source ? WK_OK : wk_error_code();
    if (source && (wk_count(source) != wk_count(target) || wk_rank(source) != wk_rank(target))) {
        char a[100], b[100];
        status = wk_fail(WK_SHAPE, "\"%s\" is %s, the model has %s", name, wk_describe(source, a, sizeof a),
                         wk_describe(target, b, sizeof b));
    }
    if (status == WK_OK && copies) status = wk_copy_into((wk_tensor *)(uintptr_t)target, source);
    wk_scope_end(scope);
    return status;
}

static wk_status load(wk_module *model, const char *path) {
    wk__tensor_file file = { 0 };
    wk_status status = wk__tensor_file_open(&file, path);
    const wk_named_tensors state = wk_state(model);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < state.count && status == WK_OK; i++)
            status = fits(&file, state.name[i], state.tensor[i], pass == 1);
    if (status == WK_OK && wk__tensor_file_count(&file) != state.count)
        status = wk_fail(WK_INVALID, "it has %d tensors, the model %d", wk__tensor_file_count(&file), state.count);
    wk__tensor_file_close(&file);
    if (status != WK_OK) wk_error_prefix("%s", path);
    return status;
}

wk_status wk_quik_add_model(wk_quik_traveler *t, wk_module *model, const char *state_dict) {
    if (wk_failed()) return WK_PENDING;
    if (t->model) return wk_fail(WK_STATE, "wk_quik_add_model: this traveler has a model already");
    if (state_dict) WK_TRY(load(model, state_dict));
    WK_TRY(wk_module_to_device(model, t->trek->world.device));
    if (t->trek->world.is_ddp && t->trains && !(t->ddp = wk_ddp_create(t->trek->group, model, (wk_ddp_opts){ 0 })))
        return wk_error_code();
    bool casts = t->trek->args.mixed_precision && t->trek->world.device != WK_CPU;
    if (casts && t->trains && !(t->scaler = wk_grad_scaler_create((wk_grad_scaler_opts){ 0 }))) return wk_error_code();
    t->model = model;
    return WK_OK;
}

/* ---- data ---- */

wk_status wk_quik_add_data(wk_quik_traveler *t, const wk_dataset *dataset) {
    const wk_quik_world *w = &t->trek->world;
    const wk_quik_args *a = &t->trek->args;
    if (wk_failed()) return WK_PENDING;
    wk_loader *loader = wk_loader_create(
        dataset, (wk_loader_opts){ .batch_size = a->bs < dataset->count ? a->bs : dataset->count,
                                   .sampler = { .rank = w->rank_id, .ranks = w->world_size, .shuffle = w->is_ddp },
                                   .workers = a->num_workers ? a->num_workers : 1 });
    if (!loader) return wk_error_code();
    wk_loader_destroy(t->loader);
    t->loader = loader;
    t->dataset = dataset;
    return WK_OK;
}

int64_t wk_quik_steps(const wk_quik_traveler *t) {
    return t->loader ? wk_loader_batches(t->loader) : 0;
}
int64_t wk_quik_total_steps(const wk_quik_traveler *t) {
    return wk_quik_steps(t) * t->trek->args.epochs;
}

/* ---- criterion, optimizer, scheduler ---- */

wk_tensor *wk_quik_mse_loss(wk_tensor *outputs, wk_tensor *targets) {
    return wk_mse_loss(outputs, targets, (wk_loss_opts){ 0 });
}
wk_tensor *wk_quik_cross_entropy_loss(wk_tensor *outputs, wk_tensor *targets) {
    return wk_cross_entropy(outputs, targets, (wk_cross_entropy_opts){ 0 });
}

wk_status wk_quik_set_criterion(wk_quik_traveler *t, wk_quik_criterion criterion) {
    t->criterion = criterion;
    return criterion ? WK_OK : wk_fail(WK_INVALID, "wk_quik_set_criterion: there is no function");
}

/* "SECTION: { name: NAME, args: { … } }", as in a run's file. */
static wk__yaml *document_of(const char *section, const char *name, const char *args) {
    char *text = wk_format("%s: { name: %s, args: %s }", section, name, args ? args : "{}");
    wk__yaml *document = text ? wk__yaml_parse(text, strlen(text), section) : NULL;
    wk__spec spec;
    bool is_spec = document && wk__spec_read(&(wk_config){ document, document->root }, section, true, &spec) == WK_OK;
    wk_free(text);
    if (is_spec) return document;
    wk__yaml_free(document);
    return NULL;
}

static bool has_arg(const wk_entry *entry, const char *name) {
    for (const wk_arg *a = entry ? entry->args : NULL; a && a->name; a++)
        if (strcmp(a->name, name) == 0) return true;
    return false;
}

/* OptKwargs: what this optimizer knows of them, where its own args are silent. */
static wk_status add_common(wk__yaml *document, const wk_quik_args *a, const char *name) {
    const wk_entry *entry = wk__entry_find(WK__KIND_OPTIMIZER, name);
    const struct {
        const char *name;
        double first, second;
    } common[] = { { "lr", a->lr, 0 },
                   { "weight_decay", a->weight_decay, 0 },
                   { "eps", a->eps, 0 },
                   { "betas", a->beta1, a->beta2 } };
    for (size_t i = 0; i < WK_COUNT(common); i++) {
        const wk__yaml_node *args = wk__yaml_find(wk__yaml_find(document->root, "optimizer"), "args");
        char word[100];
        bool pair = strcmp(common[i].name, "betas") == 0;
        if (!has_arg(entry, common[i].name) || wk__yaml_find(args, common[i].name)) continue;
        (void)snprintf(word, sizeof word, pair ? "optimizer.args.%s=[%.17g, %.17g]" : "optimizer.args.%s=%.17g",
                       common[i].name, common[i].first, common[i].second);
        WK_TRY(wk__yaml_set(document, word));
    }
    return WK_OK;
}

wk_status wk_quik_set_optimizer(wk_quik_traveler *t, const char *name, const char *args) {
    if (wk_failed()) return WK_PENDING;
    if (!t->model) return wk_fail(WK_STATE, "wk_quik_set_optimizer: add the model first");
    wk__yaml *document = document_of("optimizer", name, args);
    if (!document) return wk_error_code();
    const wk_config config = { document, document->root };
    wk_status status = add_common(document, &t->trek->args, name);
    wk_optim *optimizer = status == WK_OK ? wk_make_optimizer(&config, "optimizer", wk_parameters(t->model)) : NULL;
    wk__yaml_free(document);
    if (!optimizer) return wk_error_code();
    wk_optim_destroy(t->optimizer);
    t->optimizer = optimizer;
    return WK_OK;
}

wk_status wk_quik_set_scheduler(wk_quik_traveler *t, const char *name, const char *args) {
    if (wk_failed()) return WK_PENDING;
    if (!t->optimizer || !t->loader)
        return wk_fail(WK_STATE, "wk_quik_set_scheduler: add the data and set the optimizer first");
    wk__yaml *document = document_of("schedule", name, args);
    if (!document) return wk_error_code();
    const wk_schedule_site site = { t->optimizer, wk_quik_total_steps(t), wk_quik_steps(t), t->trek->args.epochs };
    wk_built_schedule built = { 0 };
    wk_status status = wk_make_schedule(&(wk_config){ document, document->root }, "schedule", &site, &built);
    wk__yaml_free(document);
    if (status == WK_OK && built.wants_metric) {
        wk_lr_destroy(built.lr);
        wk_free(built.context);
        return wk_fail(WK_UNSUPPORTED, "wk_quik_set_scheduler: %s follows a metric: use wk_lr_step_metric yourself",
                       name);
    }
    WK_TRY(status);
    wk_lr_destroy(t->schedule.lr);
    wk_free(t->schedule.context);
    t->schedule = built;
    return WK_OK;
}
