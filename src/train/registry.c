/* registry.c: names in a run's file, and what they build. */
#include "train/registry.h"

#include "train/builtin.h"

#include <string.h>
#include <strings.h>

enum { MOST = 512, MOST_ARGS = 64 };
const char *const wk__kind_names[WK__KINDS] = { "model",    "data",     "transform", "loss",   "optimizer",
                                                "schedule", "callback", "logger",    "wrapper" };
/* Names of things where a file may write either case, as torch.optim's. */
static const bool any_case[WK__KINDS] = { [WK__KIND_OPTIMIZER] = true, [WK__KIND_SCHEDULE] = true };
static const wk_entry *table[WK__KINDS][MOST];
static size_t counts[WK__KINDS];

static void add_builtin(wk__kind kind, const void *entries, size_t size) {
    const char *at = entries;
    for (; ((const wk_entry *)(const void *)at)->name; at += size)
        table[kind][counts[kind]++] = (const wk_entry *)(const void *)at;
}

/* Before the constructors without a number: floors above add theirs behind these. */
__attribute__((constructor(200))) static void add_all_builtin(void) {
    add_builtin(WK__KIND_MODEL, wk__builtin_models, sizeof wk__builtin_models[0]);
    add_builtin(WK__KIND_DATA, wk__builtin_data, sizeof wk__builtin_data[0]);
    add_builtin(WK__KIND_TRANSFORM, wk__builtin_transforms, sizeof wk__builtin_transforms[0]);
    add_builtin(WK__KIND_LOSS, wk__builtin_losses, sizeof wk__builtin_losses[0]);
    add_builtin(WK__KIND_OPTIMIZER, wk__builtin_optimizers, sizeof wk__builtin_optimizers[0]);
    add_builtin(WK__KIND_SCHEDULE, wk__builtin_schedules, sizeof wk__builtin_schedules[0]);
    add_builtin(WK__KIND_CALLBACK, wk__builtin_callbacks, sizeof wk__builtin_callbacks[0]);
    add_builtin(WK__KIND_LOGGER, wk__builtin_loggers, sizeof wk__builtin_loggers[0]);
    add_builtin(WK__KIND_WRAPPER, wk__builtin_wrappers, sizeof wk__builtin_wrappers[0]);
}

const wk_entry *wk__entry_find(wk__kind kind, const char *name) {
    for (size_t i = 0; i < counts[kind]; i++) {
        const char *known = table[kind][i]->name;
        if (strcmp(known, name) == 0 || (any_case[kind] && strcasecmp(known, name) == 0)) return table[kind][i];
    }
    return NULL;
}

size_t wk__entry_count(wk__kind kind) {
    return counts[kind];
}

const wk_entry *wk__entry_at(wk__kind kind, size_t i) {
    return table[kind][i];
}

static wk_status add(wk__kind kind, int api, const wk_entry *entry) {
    if (api != WK_TRAIN_API)
        return wk_fail(WK_FORMAT, "%s \"%s\" was compiled for version %d of wick/train, this is %d: compile it again",
                       wk__kind_names[kind], entry->name, api, WK_TRAIN_API);
    if (wk__entry_find(kind, entry->name))
        return wk_fail(WK_EXISTS, "%s \"%s\" is registered already", wk__kind_names[kind], entry->name);
    if (counts[kind] == MOST)
        return wk_fail(WK_STATE, "the table of %s names is full (%d)", wk__kind_names[kind], MOST);
    table[kind][counts[kind]++] = entry;
    return WK_OK;
}

#define REGISTER(lower, UPPER)                                                      \
    wk_status wk_register_##lower##_for(int api, const wk_##lower##_entry *entry) { \
        return add(WK__KIND_##UPPER, api, &entry->about);                           \
    }
REGISTER(model, MODEL)
REGISTER(data, DATA)
REGISTER(transform, TRANSFORM)
REGISTER(loss, LOSS)
REGISTER(optimizer, OPTIMIZER)
REGISTER(schedule, SCHEDULE)
REGISTER(callback, CALLBACK)
REGISTER(logger, LOGGER)
REGISTER(wrapper, WRAPPER)

/* ---- checking a spec ---- */

static wk_status unknown_name(wk__kind kind, const wk__spec *spec) {
    const char *names[MOST];
    wk_text known = { 0 };
    for (size_t i = 0; i < counts[kind]; i++) {
        names[i] = table[kind][i]->name;
        wk_text_printf(&known, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = wk__nearest(spec->name, names, counts[kind]);
    const wk__yaml_node *at = wk__yaml_find(spec->section.node, "name");
    wk_status status = wk__yaml_fail(spec->section.document, at, "unknown %s \"%s\"%s%s%s (known: %s)",
                                     wk__kind_names[kind], spec->name, near ? "; did you mean \"" : "",
                                     near ? near : "", near ? "\"?" : "", wk_text_get(&known));
    wk_text_free(&known);
    return status;
}

static wk_status check_args(wk__kind kind, const wk_entry *entry, const wk__spec *spec) {
    static const char *const of_data[] = { "batch_size", "workers" }; /* the trainer reads them */
    const char *names[MOST_ARGS];
    size_t count = 0;
    for (const wk_arg *arg = entry->args; arg && arg->name && count < MOST_ARGS - WK_COUNT(of_data); arg++) {
        names[count++] = arg->name;
        if (!arg->otherwise && !wk_config_has(&spec->args, arg->name))
            return wk__yaml_fail(spec->section.document, spec->section.node, "%s \"%s\" needs the arg \"%s\"%s%s",
                                 wk__kind_names[kind], entry->name, arg->name, arg->what ? ": " : "",
                                 arg->what ? arg->what : "");
    }
    for (size_t i = 0; kind == WK__KIND_DATA && i < WK_COUNT(of_data); i++) names[count++] = of_data[i];
    if (!spec->args.node) return WK_OK;
    char where[200];
    (void)snprintf(where, sizeof where, "the args of %s \"%s\"", wk__kind_names[kind], spec->name);
    return wk__yaml_known(spec->args.document, spec->args.node, where, names, count);
}

const wk_entry *wk__entry_of(wk__kind kind, const wk__spec *spec) {
    const wk_entry *entry = wk__entry_find(kind, spec->name);
    if (!entry) {
        (void)unknown_name(kind, spec);
        return NULL;
    }
    return check_args(kind, entry, spec) == WK_OK ? entry : NULL;
}

/* ---- building ---- */

/* The struct of the entry that a spec names. */
#define ENTRY(type, entry) ((const type *)(const void *)(entry))

static const wk_entry *entry_under(wk__kind kind, const wk_config *config, const char *key, wk__spec *spec) {
    if (wk_failed() || wk__spec_read(config, key, true, spec) != WK_OK) return NULL;
    return wk__entry_of(kind, spec);
}

/* What a builder gave, unless it left an error. */
static bool is_built(wk__kind kind, const wk__spec *spec, const void *built) {
    if (built && !wk_failed()) return true;
    if (!wk_failed())
        (void)wk__yaml_fail(spec->section.document, spec->section.node, "%s \"%s\": its builder gave nothing",
                            wk__kind_names[kind], spec->name);
    else if (kind == WK__KIND_MODEL || wk_error_code() != WK_CONFIG)
        wk_error_prefix("%s \"%s\"", wk__kind_names[kind], spec->name);
    return false;
}

static wk_module *make_model(const wk__spec *spec) {
    const wk_entry *entry = wk__entry_of(WK__KIND_MODEL, spec);
    wk_module *model = entry ? ENTRY(wk_model_entry, entry)->build(&spec->args) : NULL;
    if (!entry || is_built(WK__KIND_MODEL, spec, model)) return model;
    wk_module_destroy(model);
    return NULL;
}

wk_module *wk_make_model(const wk_config *config, const char *key) {
    wk__spec spec;
    return wk_failed() || wk__spec_read(config, key, true, &spec) != WK_OK ? NULL : make_model(&spec);
}

/* The arg stands before those of the file, in a mapping that lives as long as this call. */
wk_module *wk_make_model_with(const wk_config *config, const char *key, const char *arg, int64_t value) {
    wk__spec spec;
    char text[24];
    if (wk_failed() || wk__spec_read(config, key, true, &spec) != WK_OK) return NULL;
    if (wk_config_has(&spec.args, arg)) {
        const int64_t given = wk_config_int(&spec.args, arg, INT64_MIN, INT64_MAX, value);
        if (given != value && !wk_failed())
            (void)wk_config_fail(&spec.args, arg, "%s is %lld, and has to be %lld here: it may be left out", arg,
                                 (long long)given, (long long)value);
        return wk_failed() ? NULL : make_model(&spec);
    }
    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    const wk__yaml_node *given = spec.args.node;
    const wk__yaml_node *at = given ? given : spec.section.node;
    wk__yaml_node number = { .kind = WK__YAML_SCALAR,
                             .line = at->line,
                             .column = at->column,
                             .origin = at->origin,
                             .text = text,
                             .key = arg,
                             .next = given ? given->first : NULL };
    wk__yaml_node all = { .kind = WK__YAML_MAPPING,
                          .line = at->line,
                          .column = at->column,
                          .origin = at->origin,
                          .key = "args",
                          .count = (given ? given->count : 0) + 1,
                          .first = &number,
                          .last = given && given->last ? given->last : &number };
    spec.args.node = &all;
    return make_model(&spec);
}

wk_loss *wk_make_loss(const wk_config *config, const char *key) {
    wk__spec spec;
    const wk_entry *entry = entry_under(WK__KIND_LOSS, config, key, &spec);
    wk_loss *loss = entry ? ENTRY(wk_loss_entry, entry)->build(&spec.args) : NULL;
    if (!entry || is_built(WK__KIND_LOSS, &spec, loss)) return loss;
    wk_loss_destroy(loss);
    return NULL;
}

wk_optim *wk_make_optimizer(const wk_config *config, const char *key, wk_named_tensors parameters) {
    wk__spec spec;
    const wk_entry *entry = entry_under(WK__KIND_OPTIMIZER, config, key, &spec);
    wk_optim *optim = entry ? ENTRY(wk_optimizer_entry, entry)->build(&spec.args, parameters) : NULL;
    if (!entry || is_built(WK__KIND_OPTIMIZER, &spec, optim)) return optim;
    wk_optim_destroy(optim);
    return NULL;
}

wk_status wk_make_schedule(const wk_config *config, const char *key, const wk_schedule_site *site,
                           wk_built_schedule *built) {
    wk__spec spec;
    *built = (wk_built_schedule){ 0 };
    const wk_entry *entry = entry_under(WK__KIND_SCHEDULE, config, key, &spec);
    if (!entry) return wk_error_code();
    wk_status status = ENTRY(wk_schedule_entry, entry)->build(&spec.args, site, built);
    return status == WK_OK && wk_failed() ? wk_error_code() : status;
}

wk_status wk_make_data(const wk_config *config, const char *key, wk_dataset **train, wk_dataset **evaluation) {
    wk__spec spec;
    *train = *evaluation = NULL;
    const wk_entry *entry = entry_under(WK__KIND_DATA, config, key, &spec);
    if (!entry) return wk_error_code();
    wk_status status = ENTRY(wk_data_entry, entry)->build(&spec.args, train, evaluation);
    if (status == WK_OK && is_built(WK__KIND_DATA, &spec, *train)) return WK_OK;
    wk_dataset_destroy(*train);
    wk_dataset_destroy(*evaluation);
    *train = *evaluation = NULL;
    return wk_failed() ? wk_error_code() : status;
}

/* One item of a list of transforms. */
static wk_transform *make_transform(const wk_config *config, const wk__yaml_node *node, const char *key) {
    wk__spec spec;
    if (wk__spec_of(config->document, node, key, &spec) != WK_OK) return NULL;
    const wk_entry *entry = wk__entry_of(WK__KIND_TRANSFORM, &spec);
    wk_transform *transform = entry ? ENTRY(wk_transform_entry, entry)->build(&spec.args) : NULL;
    if (!entry || is_built(WK__KIND_TRANSFORM, &spec, transform)) return transform;
    wk_transform_destroy(transform);
    return NULL;
}

int wk_make_transforms(const wk_config *config, const char *key, wk_transform **transforms, int most) {
    const wk__yaml_node *node = config->node && !wk_failed() ? wk__yaml_find(config->node, key) : NULL;
    int count = 0;
    if (!node || wk__yaml_is_null(node) || wk__yaml_list(config->document, node, key) != WK_OK) return 0;
    if (node->count > (size_t)most)
        (void)wk__yaml_fail(config->document, node, "%s has %zu items, expected at most %d", key, node->count, most);
    for (const wk__yaml_node *item = node->first; item && !wk_failed(); item = item->next)
        if ((transforms[count] = make_transform(config, item, key))) count++;
    if (!wk_failed()) return count;
    while (count > 0) wk_transform_destroy(transforms[--count]);
    return 0;
}

wk_callback *wk__make_callback(const wk__spec *spec) {
    const wk_entry *entry = wk__entry_of(WK__KIND_CALLBACK, spec);
    wk_callback *callback = entry ? ENTRY(wk_callback_entry, entry)->build(&spec->args) : NULL;
    if (!entry || is_built(WK__KIND_CALLBACK, spec, callback)) return callback;
    wk_callback_destroy(callback);
    return NULL;
}

wk_logger *wk__make_logger(const wk__spec *spec) {
    const wk_entry *entry = wk__entry_of(WK__KIND_LOGGER, spec);
    wk_logger *logger = entry ? ENTRY(wk_logger_entry, entry)->build(&spec->args) : NULL;
    if (!entry || is_built(WK__KIND_LOGGER, spec, logger)) return logger;
    wk_logger_destroy(logger);
    return NULL;
}

wk_wrapper *wk__make_wrapper(const wk__spec *spec, const wk_config *run) {
    const wk_entry *entry = wk__entry_of(WK__KIND_WRAPPER, spec);
    wk_wrapper *wrapper = entry ? ENTRY(wk_wrapper_entry, entry)->build(&spec->args, run) : NULL;
    if (!entry || is_built(WK__KIND_WRAPPER, spec, wrapper)) return wrapper;
    wk_wrapper_destroy(wrapper);
    return NULL;
}
