/* flatten.c: see flatten.h. */
#include "train/flatten.h"

#include <string.h>

static int flatten(wk__yaml *document, const wk__yaml_node *node, const char *path, wk__setting *all, int count) {
    int index = 0;
    for (const wk__yaml_node *child = node->first; child && count < WK__MOST_SETTINGS; child = child->next, index++) {
        char name[300];
        if (child->key)
            (void)snprintf(name, sizeof name, "%s%s%s", path, *path ? "." : "", child->key);
        else
            (void)snprintf(name, sizeof name, "%s.%d", path, index);
        if (child->kind != WK__YAML_SCALAR) {
            count = flatten(document, child, name, all, count);
            continue;
        }
        char *kept = wk__arena_take(&document->arena, strlen(name) + 1);
        if (!kept) return count;
        memcpy(kept, name, strlen(name) + 1);
        all[count++] = (wk__setting){ kept, child };
    }
    return count;
}

int wk__settings(wk__yaml *document, wk__setting *settings) {
    return document && document->root ? flatten(document, document->root, "", settings, 0) : 0;
}
