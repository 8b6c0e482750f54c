/* sections.c: a run's file, whole: every section read, every key and name checked.
 *
 * Everything is checked before anything is built: a key that nobody reads is a mistake of the person who wrote it, and
 * three hours of training are a bad way to learn of it.
 */
#include "train/registry.h"
#include "wick/op.h"

#include <string.h>

static const char *const known[] = { "version",
                                     "seed",
                                     "device",
                                     "output",
                                     "plugins",
                                     "data",
                                     "wrapper",
                                     "model",
                                     "loss",
                                     "optimizer",
                                     "schedule",
                                     "trainer",
                                     "checkpoint",
                                     "callbacks",
                                     "logger",
                                     "load_path",
                                     "load_strict",
                                     "final_path",
                                     "load_prefix_map",
                                     "replace_head",
                                     "lora",
                                     "freeze",
                                     "unfreeze_at",
                                     "lr",
                                     "lr_groups",
                                     "reset_optimizer",
                                     "reset_lr",
                                     "copy_sources",
                                     "resume",
                                     "run_step",
                                     "load_optimizer" };

/* Before any name is looked up. */
static wk_status open_plugins(const wk__run_config *c) {
    const char *paths[WK__MOST_PARTS];
    int count = wk_config_strings(&c->root, "plugins", paths, WK__MOST_PARTS);
    for (int i = 0; i < count; i++)
        if (wk_plugin_open(paths[i]) != WK_OK) {
            wk_error_prefix("plugins");
            return wk_error_code();
        }
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* A list of { name, args }, or one of them. */
static wk_status read_parts(const wk__run_config *c, const char *key, wk__kind kind, wk__spec *specs, int *count) {
    const wk__yaml_node *node = wk__yaml_find(c->root.node, key);
    *count = 0;
    if (!node || wk__yaml_is_null(node)) return WK_OK;
    if (node->kind == WK__YAML_MAPPING) {
        *count = 1;
        WK_TRY(wk__spec_of(c->document, node, key, &specs[0]));
        return wk__entry_of(kind, &specs[0]) ? WK_OK : wk_error_code();
    }
    WK_TRY(wk__yaml_list(c->document, node, key));
    if (node->count > WK__MOST_PARTS)
        return wk__yaml_fail(c->document, node, "%s has %zu items, expected at most %d", key, node->count,
                             WK__MOST_PARTS);
    for (const wk__yaml_node *item = node->first; item; item = item->next) {
        WK_TRY(wk__spec_of(c->document, item, key, &specs[*count]));
        if (!wk__entry_of(kind, &specs[(*count)++])) return wk_error_code();
    }
    return WK_OK;
}

/* `checkpoint` with a key of ModelCheckpoint's is one, with the section as its args. */
static wk_status add_checkpoint(wk__run_config *c) {
    const wk__yaml_node *node = wk__yaml_find(c->root.node, "checkpoint");
    bool wants = false;
    for (const wk__yaml_node *child = node && node->kind == WK__YAML_MAPPING ? node->first : NULL; child;
         child = child->next)
        wants = wants
                || (strcmp(child->key, "every_n_epochs") != 0 && strcmp(child->key, "every_n_train_steps") != 0
                    && strcmp(child->key, "async") != 0);
    if (!wants) return WK_OK;
    if (c->callbacks == WK__MOST_PARTS)
        return wk__yaml_fail(c->document, node, "more than %d callbacks", WK__MOST_PARTS - 1);
    c->callback[c->callbacks++] = (wk__spec){ "ModelCheckpoint", { c->document, node }, { c->document, node } };
    return WK_OK;
}

static wk_status check_spec(const wk__run_config *c, const char *key, wk__kind kind) {
    wk__spec spec;
    WK_TRY(wk__spec_read(&c->root, key, false, &spec));
    return !spec.name || wk__entry_of(kind, &spec) ? WK_OK : wk_error_code();
}

/* The wrapper that trains a model with a loss is the one that needs both sections. */
static wk_status read_wrapper(wk__run_config *c) {
    WK_TRY(wk__spec_read(&c->root, "wrapper", false, &c->wrapper));
    if (!c->wrapper.name) c->wrapper.name = "base";
    if (!wk__entry_of(WK__KIND_WRAPPER, &c->wrapper)) return wk_error_code();
    if (strcmp(c->wrapper.name, "base") != 0) return WK_OK;
    wk__spec needed;
    WK_TRY(wk__spec_read(&c->root, "model", true, &needed));
    return wk__spec_read(&c->root, "optimizer", true, &needed);
}

static wk_status read_all(wk__run_config *c, const char *path) {
    wk__yaml *document = c->document;
    if (!document->root)
        return wk_fail(WK_CONFIG,
                       "%s: the file is empty; examples/fashion_mnist/config.yaml shows what a run looks like", path);
    WK_TRY(wk__yaml_map(document, document->root, "a run"));
    WK_TRY(wk__yaml_known(document, document->root, "a run", known, WK_COUNT(known)));
    c->root = (wk_config){ document, document->root };
    (void)wk_config_int(&c->root, "version", 1, 1, 1);
    c->seed = (uint64_t)wk_config_int(&c->root, "seed", 0, INT64_MAX, 0);
    c->device = wk_config_string(&c->root, "device", "cpu");
    c->output = wk_config_string(&c->root, "output", "runs/run");
    c->copies_sources = wk_config_bool(&c->root, "copy_sources", false);
    c->load_path = wk_config_string(&c->root, "load_path", NULL);
    c->load_strict = wk_config_bool(&c->root, "load_strict", true);
    c->final_path = wk_config_string(&c->root, "final_path", NULL);
    c->resume = wk_config_string(&c->root, "resume", NULL);
    c->resumes_steps = wk_config_bool(&c->root, "run_step", true);
    c->resumes_optimizer = wk_config_bool(&c->root, "load_optimizer", true);
    if (c->resume && c->load_path)
        return wk_config_fail(&c->root, "load_path",
                              "load_path and resume both say what the weights are: keep one (resume with run_step: "
                              "false and load_optimizer: false takes nothing but them)");
    if (!wk_failed() && !*c->output)
        return wk__yaml_fail(document, wk__yaml_find(document->root, "output"),
                             "output is empty, expected a directory");
    WK_TRY(open_plugins(c));
    WK_TRY(wk__spec_read(&c->root, "data", true, &c->data));
    WK_TRY(read_wrapper(c));
    WK_TRY(check_spec(c, "model", WK__KIND_MODEL));
    WK_TRY(check_spec(c, "data", WK__KIND_DATA));
    WK_TRY(check_spec(c, "loss", WK__KIND_LOSS));
    WK_TRY(check_spec(c, "optimizer", WK__KIND_OPTIMIZER));
    WK_TRY(check_spec(c, "schedule", WK__KIND_SCHEDULE));
    WK_TRY(read_parts(c, "callbacks", WK__KIND_CALLBACK, c->callback, &c->callbacks));
    WK_TRY(read_parts(c, "logger", WK__KIND_LOGGER, c->logger, &c->loggers));
    WK_TRY(add_checkpoint(c));
    c->batch_size = wk_config_int(&c->data.args, "batch_size", 1, 1 << 20, 64);
    c->workers = wk_config_int(&c->data.args, "workers", 1, 64, 1);
    c->resets_optimizer = wk_config_bool(&c->root, "reset_optimizer", false);
    c->resets_lr = wk_config_bool(&c->root, "reset_lr", false);
    WK_TRY(wk__fine_tuning_check(c));
    WK_TRY(wk__freezing_check(c));
    WK_TRY(wk__lr_groups_check(c));
    return wk__params_read(c);
}

/* `start` NULL: not to train. */
static wk_status load(wk__run_config *c, const char *path, const char *const *overrides, int n_overrides,
                      const wk__start *start) {
    *c = (wk__run_config){ .document = wk__config_read(path) };
    if (!c->document) return wk_error_code();
    wk_status status = WK_OK;
    for (int i = 0; i < n_overrides && status == WK_OK; i++) status = wk__yaml_set(c->document, overrides[i]);
    if (status == WK_OK) status = wk__config_environment(c->document);
    if (status == WK_OK) status = wk__config_place(c->document);
    if (status == WK_OK && start) status = wk__resume_model(c->document, *start);
    if (status == WK_OK && c->document->root && !(c->text = wk__yaml_dump(c->document->root))) status = wk_error_code();
    if (status == WK_OK) status = wk__config_translate(c->document);
    if (status == WK_OK) status = wk__config_take_lr(c->document);
    if (status == WK_OK) status = read_all(c, path);
    if (status != WK_OK) wk__run_config_free(c);
    return status;
}

wk_status wk__run_config_load(wk__run_config *c, const char *path, const char *const *overrides, int n_overrides) {
    return load(c, path, overrides, n_overrides, NULL);
}

wk_status wk__run_config_load_to_train(wk__run_config *c, const char *path, const char *const *overrides,
                                       int n_overrides, wk__start start) {
    return load(c, path, overrides, n_overrides, &start);
}

void wk__run_config_free(wk__run_config *c) {
    wk__yaml_free(c->document);
    wk_free(c->text);
    c->document = NULL;
    c->text = NULL;
}
