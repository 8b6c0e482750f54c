/* config.c: which files, in which order, and what is asked of them. */
#include "launcher/config/config.h"

#include <stdlib.h>
#include <string.h>

void wk__config_free(wk__config *config) {
    if (!config) return;
    wk_free(config->entries);
    wk__arena_destroy(&config->arena);
    wk_free(config);
}

wk_status wk__config_add(wk__config *c, const char *section, const char *key, const char *value, const char *where) {
    if (c->count == c->room) {
        size_t room = c->room ? 2 * c->room : 32;
        wk__config_entry *more = wk_realloc(c->entries, room * sizeof *more);
        if (!more) return wk_error_code();
        c->entries = more;
        c->room = room;
    }
    c->entries[c->count++] = (wk__config_entry){ section, key, value, where };
    return WK_OK;
}

static wk_status read_ini(wk__config *config, const char *path, bool must) {
    char *text = wk__read_file(path, 1 << 20, NULL);
    if (!text && wk_failed()) return wk_error_code();
    if (!text) return must ? wk_fail(WK_CONFIG, "%s (from TORCHXCONFIG): there is no such file", path) : WK_OK;
    const char *kept = wk__arena_text(&config->arena, "%s", path);
    wk_status status = kept ? wk__ini_read(config, text, kept) : wk_error_code();
    wk_free(text);
    return status;
}

static wk_status read_torchx(wk__config *config) {
    const char *named = getenv("TORCHXCONFIG");
    const char *home = getenv("HOME");
    if (named) return *named ? read_ini(config, named, true) : WK_OK;
    if (home && *home) {
        char *path = wk_format("%s/.torchxconfig", home);
        wk_status status = path ? read_ini(config, path, false) : wk_error_code();
        wk_free(path);
        WK_TRY(status);
    }
    return read_ini(config, ".torchxconfig", false);
}

static wk_status read_wick(wk__config *config) {
    const char *named = getenv("WICK_CONFIG");
    if (named) return *named ? wk__yaml_config_read(config, named) : WK_OK;
    return wk__exists("wick.yaml") ? wk__yaml_config_read(config, "wick.yaml") : WK_OK;
}

wk__config *wk__config_load(void) {
    wk__config *config = wk_alloc(sizeof *config);
    if (!config) return NULL;
    if (read_wick(config) == WK_OK && read_torchx(config) == WK_OK) return config;
    wk__config_free(config);
    return NULL;
}

static const wk__config_entry *first(const wk__config *c, const char *section, const char *key) {
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->entries[i].section, section) == 0 && strcmp(c->entries[i].key, key) == 0) return &c->entries[i];
    return NULL;
}

const char *wk__config_get(const wk__config *config, const char *section, const char *key) {
    const wk__config_entry *entry = first(config, section, key);
    return entry ? entry->value : NULL;
}

wk_status wk__config_section(wk__config *c, const char *section, const wk_pair **pairs, size_t *count) {
    wk_pair *list = wk__arena_take(&c->arena, (c->count + 1) * sizeof *list);
    *count = 0;
    if (!list) return wk_error_code();
    for (size_t i = 0; i < c->count; i++) {
        const wk__config_entry *e = &c->entries[i];
        if (strcmp(e->section, section) == 0 && e->value && first(c, section, e->key) == e)
            list[(*count)++] = (wk_pair){ e->key, e->value };
    }
    *pairs = list;
    return WK_OK;
}

/* A value of [named_resources] is JSON, which YAML's flow style holds. */
wk_status wk__config_resources(const wk__config *c) {
    for (size_t i = 0; i < c->count; i++) {
        const wk__config_entry *e = &c->entries[i];
        if (strcmp(e->section, "named_resources") != 0 || !e->value || first(c, e->section, e->key) != e) continue;
        wk_resource resource;
        wk__yaml *doc = wk__yaml_parse(e->value, strlen(e->value), e->where);
        wk_status status = doc ? wk__resource_read(doc, doc->root, e->key, &resource) : wk_error_code();
        if (status == WK_OK) status = wk_resource_register(e->key, &resource);
        wk__yaml_free(doc);
        WK_TRY(status);
    }
    return WK_OK;
}

wk_cfg *wk__config_cfg(const wk__config *c, const wk_scheduler_ops *ops, const char *text) {
    wk_cfg *cfg = wk__cfg_begin(ops->name, ops->runopts, ops->runopt_count, text);
    for (size_t i = 0; cfg && c && i < c->count; i++) {
        const wk__config_entry *e = &c->entries[i];
        if (strcmp(e->section, ops->name) != 0 || first(c, e->section, e->key) != e) continue;
        if (wk__cfg_add(cfg, e->key, e->value, e->where) == WK_OK) continue;
        wk_cfg_free(cfg);
        return NULL;
    }
    return cfg ? wk__cfg_finish(cfg) : NULL;
}
