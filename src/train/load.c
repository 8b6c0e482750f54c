/* load.c: a model's first weights: from whichever file, under other names, all of them or those that fit; another head,
 * and adapters. */
#include "train/run.h"

#include "base/base.h"
#include "io/file.h"
#include "io/mismatch.h"
#include "io/tensor_file.h"

#include <string.h>

/* ---- names ---- */

/* The model's name for one of the file's: without what checkpoints and wrapped models put before it, and by the first
 * pair of `load_prefix_map` whose beginning it has. */
static char *name_in_model(const wk__run_config *c, const char *name, const char *prefix) {
    if (strncmp(name, prefix, strlen(prefix)) == 0) name += strlen(prefix);
    const wk__yaml_node *map = wk__yaml_find(c->root.node, "load_prefix_map");
    for (const wk__yaml_node *to = map && map->kind == WK__YAML_MAPPING ? map->first : NULL; to; to = to->next) {
        const size_t size = strlen(to->key);
        if (strncmp(name, to->key, size) == 0)
            return wk_format("%s%s", wk__yaml_is_null(to) ? "" : to->text, name + size);
    }
    return wk_strdup(name);
}

/* "model." of a run's checkpoint, "module." of a model that was saved inside of DistributedDataParallel, where all of
 * the model's tensors have it. */
static const char *prefix_of(const wk__tensor_file *file) {
    static const char *const known[] = { "model.", "module." };
    const int count = wk__tensor_file_count(file);
    int with = 0;
    for (int i = 0; i < count; i++) with += strncmp(wk__tensor_file_name(file, i), known[0], 6) == 0;
    if (with) return known[0]; /* beside it lie the optimizer's */
    for (int i = 0; i < count; i++) with += strncmp(wk__tensor_file_name(file, i), known[1], 7) == 0;
    return count && with == count ? known[1] : "";
}

/* ---- tensors ---- */

typedef struct pair {
    wk_tensor *target;
    const char *source; /* its name in the file; NULL: none */
} pair;

static bool fits(wk_tensor *target, const wk_tensor *source) {
    bool same = wk_rank(source) == wk_rank(target);
    for (int i = 0; same && i < wk_rank(target); i++) same = wk_size(source, i) == wk_size(target, i);
    return same
           && (wk_dtype_get(source) == wk_dtype_get(target)
               || (wk_dtype_is_float(wk_dtype_get(source)) && wk_dtype_is_float(wk_dtype_get(target))));
}

static wk_status match_file(const wk__run_config *c, const wk__tensor_file *file, wk_named_tensors state, pair *pairs,
                            wk__mismatch *differ) {
    const char *prefix = prefix_of(file);
    for (int i = 0; i < wk__tensor_file_count(file); i++) {
        const char *name = wk__tensor_file_name(file, i);
        if (strcmp(prefix, "model.") == 0 && strncmp(name, prefix, 6) != 0) continue;
        char *own = name_in_model(c, name, prefix);
        int at = 0;
        while (own && at < state.count && strcmp(state.name[at], own) != 0) at++;
        if (own && at < state.count)
            pairs[at].source = name;
        else if (own)
            wk__mismatch_note(differ, WK__UNEXPECTED, own, "");
        wk_free(own);
        if (!own) return WK_NO_MEMORY;
    }
    return WK_OK;
}

static wk_status check_pairs(wk__tensor_file *file, wk_named_tensors state, pair *pairs, wk__mismatch *differ,
                             int *taken) {
    for (int i = 0; i < state.count; i++) {
        pairs[i].target = state.tensor[i];
        if (!pairs[i].source) {
            wk__mismatch_note(differ, WK__MISSING, state.name[i], "");
            continue;
        }
        wk_scope scope = wk_scope_begin();
        const wk_tensor *there = wk__tensor_file_get(file, pairs[i].source);
        char one[160], other[160], more[400];
        if (there && !fits(pairs[i].target, there)) {
            (void)snprintf(more, sizeof more, " (%s in the file, %s in the model)", wk_describe(there, one, sizeof one),
                           wk_describe(pairs[i].target, other, sizeof other));
            wk__mismatch_note(differ, WK__OTHER_SHAPE, state.name[i], more);
            pairs[i].source = NULL;
        } else if (there) {
            ++*taken;
        }
        wk_scope_end(scope);
        if (!there) return wk_error_code();
    }
    return WK_OK;
}

static wk_status decide(const wk__run_config *c, const wk__mismatch *differ, int taken, int all) {
    char *words = wk__mismatch_told(differ);
    wk_status status = WK_OK;
    if (taken == 0)
        status = wk_fail(WK_FORMAT, "load_path: %s has no tensor with the name and shape of one of the model's%s%s",
                         c->load_path, words ? ": " : "", words ? words : "");
    else if (words && c->load_strict)
        status =
            wk_fail(WK_FORMAT,
                    "load_path: %s: it belongs to another model: %s; load_strict: false takes the %d of %d tensors "
                    "that fit",
                    c->load_path, words, taken, all);
    else if (words)
        wk_log_write(WK_LOG_WARNING, "load_path: %d of %d tensors are taken; %s", taken, all, words);
    wk_free(words);
    return status;
}

static wk_status take(wk__tensor_file *file, const pair *pairs, int count) {
    for (int i = 0; i < count; i++) {
        if (!pairs[i].source) continue;
        wk_scope scope = wk_scope_begin();
        wk_tensor *there = wk__tensor_file_get(file, pairs[i].source);
        if (there) there = wk_to_device(wk_cast(there, wk_dtype_get(pairs[i].target)), wk_device_of(pairs[i].target));
        wk_status status = there ? wk_copy_into(pairs[i].target, there) : wk_error_code();
        wk_scope_end(scope);
        WK_TRY(status);
    }
    return WK_OK;
}

static wk_status load_weights(wk_trainer *t) {
    const wk__run_config *c = t->config;
    wk_named_tensors state = wk_state(t->model);
    wk__tensor_file file = { 0 };
    wk__mismatch differ = { 0 };
    int taken = 0;
    pair *pairs = wk_alloc(((size_t)state.count + 1) * sizeof *pairs);
    wk_status status = pairs ? wk__tensor_file_open(&file, c->load_path) : WK_NO_MEMORY;
    if (status == WK_OK) status = match_file(c, &file, state, pairs, &differ);
    if (status == WK_OK) status = check_pairs(&file, state, pairs, &differ, &taken);
    if (status == WK_OK) status = decide(c, &differ, taken, state.count);
    if (status == WK_OK) status = take(&file, pairs, state.count);
    wk__tensor_file_close(&file);
    wk__mismatch_free(&differ);
    wk_free(pairs);
    return status;
}

/* ---- what comes after them ---- */

static wk_status section(const wk_config *root, const char *key, const char *const *known, size_t count,
                         wk_config *out) {
    const wk__yaml_node *node = wk__yaml_find(root->node, key);
    *out = (wk_config){ root->document, NULL };
    if (!node || wk__yaml_is_null(node)) return WK_OK;
    WK_TRY(wk__yaml_map(root->document, node, key));
    out->node = node;
    return wk__yaml_known(root->document, node, key, known, count);
}

static const char *const head_keys[] = { "module", "classes" }, *const lora_keys[] = { "rank", "alpha", "modules" };

wk_status wk__fine_tuning_check(const wk__run_config *c) {
    wk_config one;
    const wk__yaml_node *map = wk__yaml_find(c->root.node, "load_prefix_map");
    if (map && !wk__yaml_is_null(map)) {
        WK_TRY(wk__yaml_map(c->document, map, "load_prefix_map"));
        for (const wk__yaml_node *one_pair = map->first; one_pair; one_pair = one_pair->next)
            if (one_pair->kind != WK__YAML_SCALAR)
                return wk__yaml_fail(c->document, one_pair, "load_prefix_map: \"%s\" is no text", one_pair->key);
    }
    WK_TRY(section(&c->root, "replace_head", head_keys, WK_COUNT(head_keys), &one));
    if (one.node && !wk_config_has(&one, "classes"))
        return wk__yaml_fail(c->document, one.node,
                             "replace_head has no classes: expected { module: fc, classes: 10 }");
    (void)wk_config_int(&one, "classes", 1, 1 << 24, 1);
    WK_TRY(section(&c->root, "lora", lora_keys, WK_COUNT(lora_keys), &one));
    (void)wk_config_int(&one, "rank", 1, 1 << 16, 8);
    (void)wk_config_double(&one, "alpha", 0, 1e9, 0);
    return wk_failed() ? wk_error_code() : WK_OK;
}

bool wk__has_lora(const wk__run_config *c) {
    const wk__yaml_node *node = wk__yaml_find(c->root.node, "lora");
    return node && !wk__yaml_is_null(node);
}

static wk_status replace_head(const wk_trainer *t, const wk_config *head) {
    const char *path = wk_config_string(head, "module", "fc");
    wk_module *module = wk_module_find(t->model, path);
    if (!module || wk_linear_resize(module, wk_config_int(head, "classes", 1, 1 << 24, 1)) != WK_OK) {
        wk_error_prefix("replace_head");
        return wk_error_code();
    }
    return WK_OK;
}

/* Only the adapters learn, and a head that is new. */
static wk_status add_lora(const wk_trainer *t, const wk_config *lora, const wk_config *head) {
    wk_module_require_grad(t->model, false);
    const wk_lora_opts opts = { .rank = wk_config_int(lora, "rank", 1, 1 << 16, 8),
                                .alpha = wk_config_double(lora, "alpha", 0, 1e9, 0),
                                .modules = wk_config_string(lora, "modules", NULL) };
    if (wk_lora_add(t->model, opts) == 0) {
        wk_error_prefix("lora");
        return wk_error_code();
    }
    if (head->node) wk_module_require_grad(wk_module_find(t->model, wk_config_string(head, "module", "fc")), true);
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_status wk__tune(wk_trainer *t) {
    wk_config head, lora;
    if (t->config->load_path) WK_TRY(load_weights(t));
    WK_TRY(section(&t->config->root, "replace_head", head_keys, WK_COUNT(head_keys), &head));
    WK_TRY(section(&t->config->root, "lora", lora_keys, WK_COUNT(lora_keys), &lora));
    if (head.node) WK_TRY(replace_head(t, &head));
    if (lora.node) WK_TRY(add_lora(t, &lora, &head));
    if (head.node || lora.node) WK_TRY(wk_module_to_device(t->model, t->device));
    return wk__freeze(t);
}

/* ---- the adapters alone, as the PEFT library names and reads them ---- */

static bool is_adapter(const char *name) {
    return strstr(name, ".lora_A.weight") || strstr(name, ".lora_B.weight") || strncmp(name, "lora_", 5) == 0;
}

static wk_status write_adapter_config(const char *folder, const wk_config *lora, wk_named_tensors all) {
    static const char ending[] = ".lora_A.weight";
    const int64_t rank = wk_config_int(lora, "rank", 1, 1 << 16, 8);
    wk_text text = { 0 };
    wk_text_printf(&text,
                   "{\n  \"peft_type\": \"LORA\",\n  \"r\": %lld,\n  \"lora_alpha\": %.17g,\n  \"lora_dropout\": 0.0,\n"
                   "  \"bias\": \"none\",\n  \"inference_mode\": true,\n  \"target_modules\": [",
                   (long long)rank, wk_config_double(lora, "alpha", 0, 1e9, (double)rank));
    bool first = true;
    for (int i = 0; i < all.count; i++) {
        const size_t size = strlen(all.name[i]), own = sizeof ending - 1;
        if (size <= own || strcmp(all.name[i] + size - own, ending) != 0) continue;
        wk_text_printf(&text, "%s\n    \"%.*s\"", first ? "" : ",", (int)(size - own), all.name[i]);
        first = false;
    }
    wk_text_puts(&text, "\n  ]\n}\n");
    char *path = wk_format("%s/adapter_config.json", folder);
    wk_status status = path && !text.failed ? wk__write_file(path, wk_text_get(&text), text.size) : WK_NO_MEMORY;
    wk_free(path);
    wk_text_free(&text);
    return status;
}

wk_status wk__adapter_save(wk_trainer *t) {
    wk_config lora;
    WK_TRY(section(&t->config->root, "lora", lora_keys, WK_COUNT(lora_keys), &lora));
    if (!lora.node || t->rank != 0 || t->params->fast_dev_run) return WK_OK;
    wk_named_tensors all = wk_parameters(t->model);
    wk_tensor **tensor = wk_alloc(((size_t)all.count + 1) * sizeof *tensor);
    char **name = wk_alloc(((size_t)all.count + 1) * sizeof *name);
    char *folder = wk_format("%s/adapter", t->config->output),
         *path = wk_format("%s/adapter/adapter_model.safetensors", t->config->output);
    const wk_metadata format = { "format", "pt" };
    int count = 0;
    wk_status status = tensor && name && folder && path ? wk__make_folder(folder) : WK_NO_MEMORY;
    for (int i = 0; i < all.count && status == WK_OK; i++) {
        if (!is_adapter(all.name[i])) continue;
        tensor[count] = all.tensor[i];
        if (!(name[count++] = wk_format("base_model.model.%s", all.name[i]))) status = WK_NO_MEMORY;
    }
    const wk_named_tensors adapters = { tensor, (const char *const *)name, count };
    if (status == WK_OK) status = wk_safetensors_save(path, adapters, &format, 1);
    if (status == WK_OK) status = write_adapter_config(folder, &lora, all);
    for (int i = 0; name && i < count; i++) wk_free(name[i]);
    wk_free(path);
    wk_free(folder);
    wk_free(name);
    wk_free(tensor);
    return status;
}
