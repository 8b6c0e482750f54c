/* registry.h: the tables of names. */
#ifndef WICK_SRC_TRAIN_REGISTRY_H
#define WICK_SRC_TRAIN_REGISTRY_H

#include "train/config.h"

typedef enum wk__kind {
    WK__KIND_MODEL,
    WK__KIND_DATA,
    WK__KIND_TRANSFORM,
    WK__KIND_LOSS,
    WK__KIND_OPTIMIZER,
    WK__KIND_SCHEDULE,
    WK__KIND_CALLBACK,
    WK__KIND_LOGGER,
    WK__KIND_WRAPPER,
    WK__KINDS
} wk__kind;
extern const char *const wk__kind_names[WK__KINDS];

/* Every entry's struct begins with its wk_entry. */
const wk_entry *wk__entry_find(wk__kind kind, const char *name);
size_t wk__entry_count(wk__kind kind);
const wk_entry *wk__entry_at(wk__kind kind, size_t i);
/* The entry that a spec names; NULL with an error pending: an unknown name, an arg that it does not list or that lacks,
 * also in specs inside of its args. */
const wk_entry *wk__entry_of(wk__kind kind, const wk__spec *spec);

/* What the spec of a section builds. */
wk_callback *wk__make_callback(const wk__spec *spec);
wk_logger *wk__make_logger(const wk__spec *spec);
wk_wrapper *wk__make_wrapper(const wk__spec *spec, const wk_config *run);

/* `--schema [KIND [NAME]]`: what registration knows, as YAML. */
wk_status wk__schema_print(FILE *out, const char *kind, const char *name);
wk_status wk__schema_args(wk_text *out, const wk_arg *args, int indent);

#endif
