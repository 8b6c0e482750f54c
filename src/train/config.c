/* config.c: a run's YAML file: typed look-ups, sections, checks.
 *
 * Everything is checked before anything is built: a key that nobody reads is a mistake of the person who wrote it, and
 * three hours of training are a bad way to learn of it.
 */
#include "train/config.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- typed look-ups ---- */

static const wk__yaml_node *member(const wk_config *config, const char *key) {
    const wk__yaml_node *node = config && config->node && !wk_failed() ? wk__yaml_find(config->node, key) : NULL;
    return node && !wk__yaml_is_null(node) ? node : NULL;
}

int64_t wk_config_int(const wk_config *config, const char *key, int64_t least, int64_t most, int64_t otherwise) {
    const wk__yaml_node *node = member(config, key);
    int64_t value = otherwise;
    return node && wk__yaml_int(config->document, node, key, least, most, &value) != WK_OK ? otherwise : value;
}

double wk_config_double(const wk_config *config, const char *key, double least, double most, double otherwise) {
    const wk__yaml_node *node = member(config, key);
    double value = otherwise;
    if (!node || wk__yaml_double(config->document, node, key, &value) != WK_OK) return otherwise;
    if (value >= least && value <= most) return value;
    if (!isfinite(value))
        (void)wk__yaml_fail(config->document, node, "%s is %g, expected a finite number", key, value);
    else if (least > 0 && least <= DBL_MIN)
        (void)wk__yaml_fail(config->document, node, "%s is %g, expected more than 0", key, value);
    else if (most >= DBL_MAX)
        (void)wk__yaml_fail(config->document, node, "%s is %g, expected at least %g", key, value, least);
    else
        (void)wk__yaml_fail(config->document, node, "%s is %g, expected %g to %g", key, value, least, most);
    return otherwise;
}

bool wk_config_bool(const wk_config *config, const char *key, bool otherwise) {
    const wk__yaml_node *node = member(config, key);
    bool value = otherwise;
    return node && wk__yaml_bool(config->document, node, key, &value) != WK_OK ? otherwise : value;
}

const char *wk_config_string(const wk_config *config, const char *key, const char *otherwise) {
    const wk__yaml_node *node = member(config, key);
    const char *value = otherwise;
    return node && wk__yaml_string(config->document, node, key, &value) != WK_OK ? otherwise : value;
}

bool wk_config_has(const wk_config *config, const char *key) {
    return member(config, key) != NULL;
}

/* ---- sections ---- */

wk_status wk__unknown_name(const wk__spec *spec, const char *kind, const char *const *names, size_t count) {
    wk_text known = { 0 };
    for (size_t i = 0; i < count; i++) wk_text_printf(&known, "%s%s", i ? ", " : "", names[i]);
    const char *near = wk__nearest(spec->name, names, count);
    const wk__yaml_node *at = wk__yaml_find(spec->section.node, "name");
    wk_status status =
        wk__yaml_fail(spec->section.document, at, "unknown %s \"%s\"%s%s%s (known: %s)", kind, spec->name,
                      near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "", wk_text_get(&known));
    wk_text_free(&known);
    return status;
}

wk_status wk__check_args(const wk__spec *spec, const char *kind, const char *const *args) {
    if (!spec->args.node) return WK_OK;
    size_t count = 0;
    while (args[count]) count++;
    char where[200];
    (void)snprintf(where, sizeof where, "the args of %s \"%s\"", kind, spec->name);
    return wk__yaml_known(spec->args.document, spec->args.node, where, args, count);
}

static wk_status read_spec(const wk__yaml *document, const char *key, bool required, wk__spec *spec, bool *present) {
    static const char *const known[] = { "name", "args" };
    const wk__yaml_node *node = wk__yaml_find(document->root, key);
    *spec = (wk__spec){ .section = { document, node }, .args = { document, NULL } };
    if (present) *present = node && !wk__yaml_is_null(node);
    if (!node || wk__yaml_is_null(node)) {
        if (required)
            return wk__yaml_fail(document, document->root,
                                 "the section \"%s\" is missing: expected { name: …, args: { … } }", key);
        return WK_OK;
    }
    WK_TRY(wk__yaml_map(document, node, key));
    WK_TRY(wk__yaml_known(document, node, key, known, WK_COUNT(known)));
    const wk__yaml_node *name = wk__yaml_find(node, "name"), *args = wk__yaml_find(node, "args");
    if (!name) return wk__yaml_fail(document, node, "%s has no name", key);
    WK_TRY(wk__yaml_string(document, name, "name", &spec->name));
    if (args && !wk__yaml_is_null(args)) {
        WK_TRY(wk__yaml_map(document, args, "args"));
        spec->args.node = args;
    }
    return WK_OK;
}

static wk_status section(const wk__yaml *document, const char *key, const char *const *known, size_t count,
                         wk_config *out) {
    const wk__yaml_node *node = wk__yaml_find(document->root, key);
    *out = (wk_config){ document, NULL };
    if (!node || wk__yaml_is_null(node)) return WK_OK;
    WK_TRY(wk__yaml_map(document, node, key));
    out->node = node;
    return wk__yaml_known(document, node, key, known, count);
}

static wk_status read_trainer(wk__run_config *c) {
    static const char *const trainer_keys[] = { "max_epochs", "max_steps", "log_every_n_steps", "gradient_clip_val",
                                                "recompute" };
    static const char *const checkpoint_keys[] = { "every_n_epochs", "every_n_train_steps" };
    wk_config trainer, checkpoint;
    WK_TRY(section(c->document, "trainer", trainer_keys, WK_COUNT(trainer_keys), &trainer));
    WK_TRY(section(c->document, "checkpoint", checkpoint_keys, WK_COUNT(checkpoint_keys), &checkpoint));
    c->max_epochs = wk_config_int(&trainer, "max_epochs", 1, 1000000, 1);
    c->max_steps = wk_config_int(&trainer, "max_steps", 0, INT64_MAX, 0);
    c->log_every_n_steps = wk_config_int(&trainer, "log_every_n_steps", 1, INT64_MAX, 50);
    c->gradient_clip = wk_config_double(&trainer, "gradient_clip_val", 0, DBL_MAX, 0);
    c->recompute = wk_config_bool(&trainer, "recompute", false);
    c->every_n_epochs = wk_config_int(&checkpoint, "every_n_epochs", 1, 1000000, 1);
    c->every_n_steps = wk_config_int(&checkpoint, "every_n_train_steps", 0, INT64_MAX, 0);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status read_all(wk__run_config *c, const char *path) {
    static const char *const known[] = { "version", "seed",      "device",   "output",  "data",      "model",
                                         "loss",    "optimizer", "schedule", "trainer", "checkpoint" };
    wk__yaml *document = c->document;
    if (!document->root)
        return wk_fail(WK_CONFIG,
                       "%s: the file is empty; examples/fashion_mnist/config.yaml shows what a run looks like", path);
    WK_TRY(wk__yaml_map(document, document->root, "a run"));
    WK_TRY(wk__yaml_known(document, document->root, "a run", known, WK_COUNT(known)));
    const wk_config root = { document, document->root };
    (void)wk_config_int(&root, "version", 1, 1, 1);
    c->seed = (uint64_t)wk_config_int(&root, "seed", 0, INT64_MAX, 0);
    c->device = wk_config_string(&root, "device", "cpu");
    c->output = wk_config_string(&root, "output", "runs/run");
    if (!wk_failed() && !*c->output)
        return wk__yaml_fail(document, wk__yaml_find(document->root, "output"),
                             "output is empty, expected a directory");
    WK_TRY(read_spec(document, "data", true, &c->data, NULL));
    WK_TRY(read_spec(document, "model", true, &c->model, NULL));
    WK_TRY(read_spec(document, "loss", false, &c->loss, NULL));
    WK_TRY(read_spec(document, "optimizer", true, &c->optimizer, NULL));
    WK_TRY(read_spec(document, "schedule", false, &c->schedule, &c->has_schedule));
    c->batch_size = wk_config_int(&c->data.args, "batch_size", 1, 1 << 20, 64);
    c->workers = wk_config_int(&c->data.args, "workers", 1, 64, 1);
    return read_trainer(c);
}

/* Every name and argument, by building nothing but looking up everything. */
static wk_status check_names(const wk__run_config *c) {
    const char *names[64];
    const wk_model_entry *model = wk__find_model(c->model.name);
    if (!model) return wk__unknown_name(&c->model, "model", names, wk__model_names(names, WK_COUNT(names)));
    WK_TRY(wk__check_args(&c->model, "model", model->args));
    const wk_data_entry *data = wk__find_data(c->data.name);
    if (!data) return wk__unknown_name(&c->data, "data", names, wk__data_names(names, WK_COUNT(names)));
    WK_TRY(wk__check_args(&c->data, "data", data->args));
    wk_cross_entropy_opts loss;
    WK_TRY(wk__build_loss(c, &loss));
    wk_schedule schedule;
    return wk__build_schedule(c, NULL, 1, &schedule);
}

wk_status wk__run_config_load(wk__run_config *c, const char *path, const char *const *overrides, int n_overrides) {
    *c = (wk__run_config){ .document = wk__yaml_load(path) };
    if (!c->document) return wk_error_code();
    wk_status status = WK_OK;
    for (int i = 0; i < n_overrides && status == WK_OK; i++) status = wk__yaml_set(c->document, overrides[i]);
    if (status == WK_OK) status = read_all(c, path);
    if (status == WK_OK) status = check_names(c);
    if (status != WK_OK) wk__run_config_free(c);
    return status;
}

void wk__run_config_free(wk__run_config *c) {
    wk__yaml_free(c->document);
    c->document = NULL;
}
