/* layouts.c: the layouts of the LIIF-style trainers' files, in the words of this one.
 *
 *   data_module, train_wrapper { base: model_spec, loss_spec, optim_spec, scheduler_spec }, trainer_params
 *   train_dataset, val_dataset { dataset, wrapper, batch_size, shuffle }, model, optimizer, scheduler, loss, epoch_max,
 *   epoch_val, epoch_save; LIIF's own: data_norm, eval_type, eval_bsize, multi_step_lr
 *
 * Nodes are moved, not copied, so messages still name the line where somebody wrote them.
 */
#include "train/config.h"

#include <string.h>

/* Take a member out of its mapping. */
static wk__yaml_node *detach(wk__yaml_node *parent, const char *key) {
    wk__yaml_node *before = NULL, *child = parent ? parent->first : NULL;
    for (; child && strcmp(child->key, key) != 0; child = child->next) before = child;
    if (!child) return NULL;
    if (before)
        before->next = child->next;
    else
        parent->first = child->next;
    if (parent->last == child) parent->last = before;
    parent->count--;
    child->next = NULL;
    return child;
}

static wk_status move(wk__yaml *document, wk__yaml_node *from, const char *key, wk__yaml_node *to, const char *name) {
    wk__yaml_node *node = detach(from, key);
    if (!node) return WK_OK;
    if (wk__yaml_find(to, name))
        return wk__yaml_fail_key(document, node, "\"%s\" and \"%s\" say the same thing: keep one", key, name);
    int line = node->key_line, column = node->key_column;
    WK_TRY(wk__yaml_append(document, to, name, node));
    node->key_line = line, node->key_column = column;
    return WK_OK;
}

static wk__yaml_node *mapping_in(wk__yaml *document, wk__yaml_node *parent, const char *key) {
    wk__yaml_node *node = wk__yaml_find(parent, key);
    if (node && wk__yaml_is_null(node)) {
        (void)detach(parent, key);
        node = NULL;
    }
    if (node) return node->kind == WK__YAML_MAPPING ? node : NULL;
    node = wk__yaml_new(document, WK__YAML_MAPPING, NULL);
    return node && wk__yaml_append(document, parent, key, node) == WK_OK ? node : NULL;
}

static bool has(const wk__yaml_node *mapping, const char *key) {
    const wk__yaml_node *node = wk__yaml_find(mapping, key);
    return node && !wk__yaml_is_null(node);
}

/* What a file of that layout means where it says nothing. */
static wk_status set_default(wk__yaml *document, wk__yaml_node *mapping, const char *key, const char *text) {
    if (has(mapping, key)) return WK_OK;
    (void)detach(mapping, key);
    wk__yaml_node *node = wk__yaml_new(document, WK__YAML_SCALAR, text);
    return node ? wk__yaml_append(document, mapping, key, node) : wk_error_code();
}

/* Those trainers keep the sources of each run. */
static wk_status keep_sources(wk__yaml *document, wk__yaml_node *root) {
    return set_default(document, root, "copy_sources", "true");
}

static bool is_plain(const wk__yaml_node *root) {
    return has(root, "train_dataset") || has(root, "epoch_max");
}

/* ---- where their runs lie ---- */

char *wk__save_folder(const char *file, const char *name, const char *tag) {
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
    const char *separator = tag ? "_" : "", *end = tag ? tag : "";
    size_t size = strlen(base);
    if (size > 5 && strcmp(base + size - 5, ".yaml") == 0) size -= 5;
    return name ? wk_format("save/%s%s%s", name, separator, end)
                : wk_format("save/_%.*s%s%s", (int)size, base, separator, end);
}

wk_status wk__config_place(wk__yaml *document) {
    wk__yaml_node *root = document->root;
    if (!root || root->kind != WK__YAML_MAPPING || has(root, "output")) return WK_OK;
    const bool is_theirs = has(root, "train_wrapper") || is_plain(root);
    const wk__yaml_node *trainer = wk__yaml_find(root, has(root, "trainer_params") ? "trainer_params" : "trainer"),
                        *below = has(trainer, "default_root_dir") ? wk__yaml_find(trainer, "default_root_dir") : NULL;
    if (!is_theirs && !below) return WK_OK;
    const char *folder = "";
    if (below) WK_TRY(wk__yaml_string(document, below, "default_root_dir", &folder));
    char *run = is_theirs ? wk__save_folder(document->name, NULL, NULL) : wk_strdup("runs/run"),
         *place = run ? wk_format("%s%s%s", folder, *folder ? "/" : "", run) : NULL;
    const wk_status status = place ? set_default(document, root, "output", place) : WK_NO_MEMORY;
    wk_free(place);
    wk_free(run);
    return status;
}

static bool is_text(const wk__yaml_node *mapping, const char *key, const char *text) {
    const wk__yaml_node *node = wk__yaml_find(mapping, key);
    return node && node->kind == WK__YAML_SCALAR && strcmp(node->text, text) == 0;
}

/* What Lightning's Trainer and their ModelCheckpoint do where the file says nothing. */
static wk_status lightning_defaults(wk__yaml *document, wk__yaml_node *root) {
    wk__yaml_node *trainer = mapping_in(document, root, "trainer");
    if (!trainer) return wk_failed() ? wk_error_code() : WK_OK; /* of another kind: refused later */
    const bool has_steps = has(trainer, "max_steps") && !is_text(trainer, "max_steps", "-1");
    if (!has_steps && !has(trainer, "max_time")) WK_TRY(set_default(document, trainer, "max_epochs", "1000"));
    bool is_bare = false, saves = true;
    if (has(trainer, "barebones"))
        WK_TRY(wk__yaml_bool(document, wk__yaml_find(trainer, "barebones"), "barebones", &is_bare));
    if (has(trainer, "enable_checkpointing"))
        WK_TRY(wk__yaml_bool(document, wk__yaml_find(trainer, "enable_checkpointing"), "enable_checkpointing", &saves));
    if (is_bare) return WK_OK;
    WK_TRY(set_default(document, trainer, "enable_model_summary", "true"));
    wk__yaml_node *checkpoint = saves ? mapping_in(document, root, "checkpoint") : NULL;
    if (!checkpoint) return wk_failed() ? wk_error_code() : WK_OK;
    return set_default(document, checkpoint, "save_last", "true");
}

static wk_status from_wrapper(wk__yaml *document, wk__yaml_node *root) {
    static const char *const parts[][2] = { { "model_spec", "model" },
                                            { "loss_spec", "loss" },
                                            { "optim_spec", "optimizer" },
                                            { "scheduler_spec", "schedule" } };
    const bool is_theirs = has(root, "train_wrapper");
    if (is_theirs) WK_TRY(keep_sources(document, root));
    WK_TRY(move(document, root, "data_module", root, "data"));
    WK_TRY(move(document, root, "train_wrapper", root, "wrapper"));
    WK_TRY(move(document, root, "trainer_params", root, "trainer"));
    if (is_theirs) WK_TRY(lightning_defaults(document, root));
    const wk__yaml_node *wrapper = wk__yaml_find(root, "wrapper"), *name = wk__yaml_find(wrapper, "name");
    wk__yaml_node *args = wk__yaml_find(wrapper, "args");
    if (!args || !name || name->kind != WK__YAML_SCALAR || strcmp(name->text, "base") != 0) return WK_OK;
    for (size_t i = 0; i < WK_COUNT(parts); i++) WK_TRY(move(document, args, parts[i][0], root, parts[i][1]));
    return WK_OK;
}

/* A wrapper around a dataset is data with an arg `dataset`. */
static wk_status wrap_dataset(wk__yaml *document, wk__yaml_node *side, bool *wrapped) {
    wk__yaml_node *wrapper = wk__yaml_find(side, "wrapper");
    if (!wrapper || wk__yaml_is_null(wrapper)) return WK_OK;
    WK_TRY(wk__yaml_map(document, wrapper, "wrapper"));
    wk__yaml_node *args = mapping_in(document, wrapper, "args");
    if (!args) return wk_failed() ? wk_error_code() : wk__yaml_map(document, wk__yaml_find(wrapper, "args"), "args");
    WK_TRY(move(document, side, "dataset", args, "dataset"));
    WK_TRY(move(document, side, "wrapper", side, "dataset"));
    *wrapped = true;
    return WK_OK;
}

/* data_norm: { inp: { sub, div }, gt: { sub, div } } */
static wk_status from_norm(wk__yaml *document, wk__yaml_node *root, wk__yaml_node *args) {
    static const char *const known[] = { "inp", "gt" }, *const parts[] = { "sub", "div" };
    static const char *const names[2][2] = { { "inp_sub", "inp_div" }, { "gt_sub", "gt_div" } };
    wk__yaml_node *norm = detach(root, "data_norm");
    if (!norm) return WK_OK;
    WK_TRY(wk__yaml_map(document, norm, "data_norm"));
    WK_TRY(wk__yaml_known(document, norm, "data_norm", known, WK_COUNT(known)));
    for (size_t i = 0; i < WK_COUNT(known); i++) {
        wk__yaml_node *one = wk__yaml_find(norm, known[i]);
        if (!one) continue;
        WK_TRY(wk__yaml_map(document, one, known[i]));
        WK_TRY(wk__yaml_known(document, one, known[i], parts, WK_COUNT(parts)));
        for (size_t k = 0; k < WK_COUNT(parts); k++) WK_TRY(move(document, one, parts[k], args, names[i][k]));
    }
    return WK_OK;
}

/* Data of queries is trained on with the wrapper "implicit", which LIIF's files need not name. */
static wk_status from_implicit(wk__yaml *document, wk__yaml_node *root) {
    wk__yaml_node *wrapper = mapping_in(document, root, "wrapper");
    if (!wrapper) return wk_failed() ? wk_error_code() : WK_OK; /* of another kind: refused later */
    if (!wk__yaml_find(wrapper, "name")) {
        wk__yaml_node *name = wk__yaml_new(document, WK__YAML_SCALAR, "implicit");
        if (!name || wk__yaml_append(document, wrapper, "name", name) != WK_OK) return wk_error_code();
    }
    wk__yaml_node *args = mapping_in(document, wrapper, "args");
    if (!args) return wk_failed() ? wk_error_code() : WK_OK;
    WK_TRY(from_norm(document, root, args));
    WK_TRY(move(document, root, "eval_type", args, "eval_type"));
    return move(document, root, "eval_bsize", args, "eval_bsize");
}

/* multi_step_lr: { milestones, gamma } */
static wk_status from_milestones(wk__yaml *document, wk__yaml_node *root) {
    if (!wk__yaml_find(root, "multi_step_lr")) return WK_OK;
    wk__yaml_node *name = wk__yaml_new(document, WK__YAML_SCALAR, "MultiStepLR");
    wk__yaml_node *schedule = mapping_in(document, root, "schedule");
    if (!name || !schedule) return wk_failed() ? wk_error_code() : WK_OK;
    if (wk__yaml_find(schedule, "name"))
        return wk__yaml_fail_key(document, schedule, "\"multi_step_lr\" is a schedule too: keep one");
    WK_TRY(wk__yaml_append(document, schedule, "name", name));
    return move(document, root, "multi_step_lr", schedule, "args");
}

/* data: { name: datasets, args: { train: spec, val: spec, batch_size } } */
static wk_status from_datasets(wk__yaml *document, wk__yaml_node *root) {
    static const char *const known[] = { "dataset", "wrapper", "batch_size", "shuffle" };
    bool wrapped = false;
    wk__yaml_node *train = detach(root, "train_dataset"), *val = detach(root, "val_dataset");
    if (!train) return val ? wk__yaml_fail_key(document, val, "val_dataset without train_dataset") : WK_OK;
    WK_TRY(wk__yaml_map(document, train, "train_dataset"));
    WK_TRY(wk__yaml_known(document, train, "train_dataset", known, WK_COUNT(known)));
    WK_TRY(wrap_dataset(document, train, &wrapped));
    if (wrapped) WK_TRY(from_implicit(document, root));
    wk__yaml_node *data = mapping_in(document, root, "data");
    wk__yaml_node *name = data ? wk__yaml_new(document, WK__YAML_SCALAR, "datasets") : NULL;
    if (!name || wk__yaml_append(document, data, "name", name) != WK_OK) return wk_error_code();
    wk__yaml_node *args = mapping_in(document, data, "args");
    if (!args) return wk_error_code();
    WK_TRY(move(document, train, "dataset", args, "train"));
    WK_TRY(move(document, train, "batch_size", args, "batch_size"));
    WK_TRY(move(document, train, "shuffle", args, "shuffle"));
    if (!val || wk__yaml_is_null(val)) return WK_OK;
    WK_TRY(wk__yaml_map(document, val, "val_dataset"));
    WK_TRY(wk__yaml_known(document, val, "val_dataset", known, WK_COUNT(known)));
    WK_TRY(wrap_dataset(document, val, &wrapped));
    return move(document, val, "dataset", args, "val"); /* its batch size changes no mean: the trainer's is used */
}

/* Before the file's own callbacks: ckpt/epoch-last.pth and its fellows, and with `epoch_save` those of epochs. */
static wk_status add_epoch_files(wk__yaml *document, wk__yaml_node *root) {
    wk__yaml_node *own = detach(root, "callbacks"), *all = wk__yaml_new(document, WK__YAML_SEQUENCE, NULL),
                  *files = wk__yaml_new(document, WK__YAML_MAPPING, NULL);
    if (!all || !files) return wk_error_code();
    WK_TRY(set_default(document, files, "name", "EpochFiles"));
    wk__yaml_node *args = mapping_in(document, files, "args");
    if (!args) return wk_error_code();
    WK_TRY(move(document, root, "epoch_save", args, "every_n_epochs"));
    WK_TRY(wk__yaml_append(document, all, NULL, files));
    if (own && own->kind == WK__YAML_SEQUENCE) {
        files->next = own->first;
        all->count += own->count;
        if (own->last) all->last = own->last;
    } else if (own && !wk__yaml_is_null(own)) {
        WK_TRY(wk__yaml_append(document, all, NULL, own));
    }
    return wk__yaml_append(document, root, "callbacks", all);
}

static wk_status from_plain(wk__yaml *document, wk__yaml_node *root) {
    if (!is_plain(root)) return WK_OK;
    WK_TRY(keep_sources(document, root));
    WK_TRY(from_datasets(document, root));
    WK_TRY(move(document, root, "scheduler", root, "schedule"));
    WK_TRY(from_milestones(document, root));
    wk__yaml_node *trainer = mapping_in(document, root, "trainer");
    if (!trainer) return wk_failed() ? wk_error_code() : WK_OK; /* of another kind: refused later */
    WK_TRY(move(document, root, "epoch_max", trainer, "max_epochs"));
    WK_TRY(move(document, root, "epoch_val", trainer, "check_val_every_n_epoch"));
    return add_epoch_files(document, root);
}

wk_status wk__config_translate(wk__yaml *document) {
    wk__yaml_node *root = document->root;
    if (!root || root->kind != WK__YAML_MAPPING) return WK_OK;
    (void)detach(root, "cmd_args"); /* what those trainers add to the file themselves */
    WK_TRY(from_wrapper(document, root));
    return from_plain(document, root);
}
