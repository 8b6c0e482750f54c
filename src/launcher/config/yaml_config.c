/* yaml_config.c: wick.yaml, which says the same as .torchxconfig, typed and checked.
 *
 *   version: 1
 *   schedulers: {slurm: {partition: gpu, sbatch: [--exclusive]}}
 *   components: {dist.ddp: {j: 2x8, env: {A: 1}}}
 *   run: {component: dist.ddp, scheduler: slurm, workspace: .}
 *   named_resources: {big: {cpu: 64, gpu: 8, memMB: 500000}}
 */
#include "launcher/config/config.h"

#include <string.h>

static const char *const keys[] = { "version", "schedulers", "components", "run", "named_resources" };
static const char *const run_keys[] = { "component", "scheduler", "workspace" };

static bool needs_quotes(const char *text) {
    return strpbrk(text, ",;=:'\"") != NULL;
}

/* A list or dict in the grammar of its reader: -cfg's (a;b, k:v;k2:v2) or that of a component's arguments (a,b, k=v).
 */
static wk_status put_value(const wk__yaml *doc, const wk__yaml_node *node, bool scheduler, wk_text *out) {
    const char *text = NULL;
    if (node->kind == WK__YAML_SCALAR) {
        WK_TRY(wk__yaml_string(doc, node, NULL, &text));
        wk_text_puts(out, text);
        return WK_OK;
    }
    for (const wk__yaml_node *item = node->first; item; item = item->next) {
        WK_TRY(wk__yaml_string(doc, item, "an item", &text));
        const char *quote = scheduler && needs_quotes(text) ? strchr(text, '"') ? "'" : "\"" : "";
        if (item != node->first) wk_text_puts(out, scheduler ? ";" : ",");
        if (item->key) wk_text_printf(out, "%s%s", item->key, scheduler ? ":" : "=");
        wk_text_printf(out, "%s%s%s", quote, text, quote);
    }
    return WK_OK;
}

static wk_status add_members(wk__config *config, const wk__yaml *doc, const wk__yaml_node *map, const char *section,
                             bool scheduler) {
    WK_TRY(wk__yaml_map(doc, map, section));
    for (const wk__yaml_node *member = map->first; member; member = member->next) {
        wk_text value = { 0 };
        wk_text_puts(&value, "");
        bool none = wk__yaml_is_null(member);
        const char *where = wk__arena_text(&config->arena, "%s:%d", doc->name, member->key_line);
        wk_status status = none ? WK_OK : put_value(doc, member, scheduler, &value);
        const char *text = none ? NULL : wk__arena_text(&config->arena, "%s", wk_text_get(&value));
        wk_text_free(&value);
        WK_TRY(status);
        if (!where || (!none && !text)) return wk_error_code();
        WK_TRY(wk__config_add(config, section, wk__arena_text(&config->arena, "%s", member->key), text, where));
    }
    return WK_OK;
}

static wk_status add_sections(wk__config *config, const wk__yaml *doc, const wk__yaml_node *map, const char *prefix,
                              bool scheduler) {
    if (!map) return WK_OK;
    WK_TRY(wk__yaml_map(doc, map, NULL));
    for (const wk__yaml_node *member = map->first; member; member = member->next) {
        const char *section = wk__arena_text(&config->arena, "%s%s", prefix, member->key);
        if (!section) return wk_error_code();
        WK_TRY(add_members(config, doc, member, section, scheduler));
    }
    return WK_OK;
}

/* Resources are read with this file's positions in messages, and kept for the process. */
static wk_status add_resources(wk__yaml *doc, const wk__yaml_node *map) {
    if (!map) return WK_OK;
    WK_TRY(wk__yaml_map(doc, map, NULL));
    for (const wk__yaml_node *member = map->first; member; member = member->next) {
        wk_resource resource;
        WK_TRY(wk__resource_read(doc, member, member->key, &resource));
        WK_TRY(wk_resource_register(member->key, &resource));
    }
    return WK_OK;
}

static wk_status read_document(wk__config *config, wk__yaml *doc) {
    int64_t version = 0;
    if (!doc->root) return WK_OK;
    WK_TRY(wk__yaml_map(doc, doc->root, "wick.yaml"));
    WK_TRY(wk__yaml_known(doc, doc->root, "wick.yaml", keys, WK_COUNT(keys)));
    WK_TRY(wk__interpolate(doc, doc->root, false));
    const wk__yaml_node *node = wk__yaml_find(doc->root, "version");
    if (!node) return wk__yaml_fail(doc, doc->root, "no version; begin the file with \"version: 1\"");
    WK_TRY(wk__yaml_int(doc, node, NULL, 1, 1, &version));
    WK_TRY(add_sections(config, doc, wk__yaml_find(doc->root, "schedulers"), "", true));
    WK_TRY(add_sections(config, doc, wk__yaml_find(doc->root, "components"), "component:", false));
    if ((node = wk__yaml_find(doc->root, "run"))) {
        WK_TRY(wk__yaml_map(doc, node, NULL));
        WK_TRY(wk__yaml_known(doc, node, "run", run_keys, WK_COUNT(run_keys)));
        WK_TRY(add_members(config, doc, node, "cli:run", false));
    }
    return add_resources(doc, wk__yaml_find(doc->root, "named_resources"));
}

wk_status wk__yaml_config_read(wk__config *config, const char *path) {
    wk__yaml *doc = wk__yaml_load(path);
    if (!doc) return wk_error_code();
    wk_status status = read_document(config, doc);
    wk__yaml_free(doc);
    return status;
}
