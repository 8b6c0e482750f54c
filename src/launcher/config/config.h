/* config.h: what a user has written down once: `.torchxconfig` (as TorchX reads it) and `wick.yaml`.
 *
 * Both become entries [section] key = value; the first entry of a key counts, so files are read from the strongest to
 * the weakest: wick.yaml, then $TORCHXCONFIG alone, or ~/.torchxconfig before ./.torchxconfig.
 */
#ifndef WICK_SRC_LAUNCHER_CONFIG_H
#define WICK_SRC_LAUNCHER_CONFIG_H

#include "launcher/launcher.h"

typedef struct wk__config_entry {
    const char *section, *key, *value /* NULL: None, "not set" */, *where /* "file:line" */;
} wk__config_entry;

typedef struct wk__config {
    wk__arena arena;
    wk__config_entry *entries;
    size_t count, room;
} wk__config;

/* All files that apply here; NULL with an error pending if one is malformed or named and missing. */
wk__config *wk__config_load(void);
WK_API void wk__config_free(wk__config *config);
/* The value, or NULL. */
const char *wk__config_get(const wk__config *config, const char *section, const char *key);
/* Entries of a section that have a value, as pairs (in the config's arena). */
wk_status wk__config_section(wk__config *config, const char *section, const wk_pair **pairs, size_t *count);
/* Register what [named_resources] says. */
wk_status wk__config_resources(const wk__config *config);
/* Options of a scheduler: the text after -cfg, then the section of its name, then defaults. */
wk_cfg *wk__config_cfg(const wk__config *config, const wk_scheduler_ops *scheduler, const char *text);

/* ini.c, yaml_config.c: the two formats */
wk_status wk__config_add(wk__config *config, const char *section, const char *key, const char *value,
                         const char *where);
WK_API wk_status wk__ini_read(wk__config *config, const char *text, const char *path);
wk_status wk__yaml_config_read(wk__config *config, const char *path);

#endif
