/* flatten.h: a document's scalars by their dotted paths. */
#ifndef WICK_SRC_TRAIN_FLATTEN_H
#define WICK_SRC_TRAIN_FLATTEN_H

#include "io/yaml.h"

typedef struct wk__setting {
    const char *name; /* "model.args.width", "callbacks.0.name"; belongs to the document */
    const wk__yaml_node *node;
} wk__setting;
enum { WK__MOST_SETTINGS = 256 };
/* In the order of the file; how many, at most WK__MOST_SETTINGS. */
int wk__settings(wk__yaml *document, wk__setting *settings);

#endif
