/* merge.c: a run's file with the files that it includes, and with the environment filled in.
 *
 *   include: [ base.yaml ]      mappings are joined, key by key; what stands here goes before what is included, and a
 *                               later file of the list before an earlier one.  A { name, args } of another name keeps
 *                               nothing of the included one's args: they belong to something else.
 *   root: ${DATA:-/data}/mnist  a variable of the environment, with what stands for it where it is unset; one that is
 *                               the whole value is read as if it stood there plain: "${LR}" may be a number
 *
 * Each node of another origin than "this file, here" says so (wk__yaml_node.origin), for messages and for `wick config
 * explain`.
 */
#include "train/config.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_DEPTH = 16 };

static const char *keep(wk__yaml *document, const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = wk__arena_take(&document->arena, size);
    return copy ? memcpy(copy, text, size) : NULL;
}

/* ---- includes ---- */

/* Every node says in which file it stood. */
static wk_status mark(wk__yaml *document, wk__yaml_node *node) {
    if (!node->origin && node->line) {
        char *place = wk_format("%s:%d:%d", document->name, node->line, node->column);
        if (place) node->origin = keep(document, place);
        wk_free(place);
        if (!node->origin) return wk_error_code();
    }
    for (wk__yaml_node *child = node->first; child; child = child->next) WK_TRY(mark(document, child));
    return WK_OK;
}

static bool is_other_spec(const wk__yaml_node *a, const wk__yaml_node *b) {
    const wk__yaml_node *x = wk__yaml_find(a, "name"), *y = wk__yaml_find(b, "name");
    return x && y && x->kind == WK__YAML_SCALAR && y->kind == WK__YAML_SCALAR && strcmp(x->text, y->text) != 0;
}

/* Join a mapping of another document into `into`; `wins`: its values replace those that are there. */
static wk_status join(wk__yaml *document, wk__yaml_node *into, const wk__yaml_node *from, bool wins) {
    for (const wk__yaml_node *child = from->first; child; child = child->next) {
        wk__yaml_node *there = wk__yaml_find(into, child->key);
        if (there && there->kind == WK__YAML_MAPPING && child->kind == WK__YAML_MAPPING
            && !is_other_spec(there, child)) {
            WK_TRY(join(document, there, child, wins));
            continue;
        }
        if (there && !wins) continue;
        wk__yaml_node *copy = wk__yaml_copy(document, child);
        if (!copy) return wk_error_code();
        if (!there) {
            WK_TRY(wk__yaml_append(document, into, child->key, copy));
            continue;
        }
        copy->key = there->key;
        copy->next = there->next;
        *there = *copy;
    }
    return WK_OK;
}

static wk__yaml *read_at(const char *path, int depth);

/* `name` beside the file that asks for it. */
static char *beside(const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    if (name[0] == '/' || !slash) return wk_strdup(name);
    return wk_format("%.*s/%s", (int)(slash - path), path, name);
}

static wk_status include_one(wk__yaml *document, const wk__yaml_node *node, wk__yaml_node *into, int depth) {
    const char *name = NULL;
    WK_TRY(wk__yaml_string(document, node, "include", &name));
    if (depth >= MOST_DEPTH)
        return wk__yaml_fail(document, node, "files include each other %d deep: does \"%s\" include itself?",
                             MOST_DEPTH, name);
    char *path = beside(document->name, name);
    wk__yaml *other = path ? read_at(path, depth + 1) : NULL;
    wk_status status = other ? WK_OK : wk_error_code();
    if (status == WK_OK && other->root) {
        status = wk__yaml_map(other, other->root, "an included file");
        if (status == WK_OK) status = mark(other, other->root);
        if (status == WK_OK) status = join(document, into, other->root, true);
    }
    wk__yaml_free(other);
    wk_free(path);
    return status;
}

static void take_out(wk__yaml_node *parent, const char *key) {
    wk__yaml_node *before = NULL;
    for (wk__yaml_node *child = parent->first; child; before = child, child = child->next) {
        if (!child->key || strcmp(child->key, key) != 0) continue;
        if (before)
            before->next = child->next;
        else
            parent->first = child->next;
        if (parent->last == child) parent->last = before;
        parent->count--;
        return;
    }
}

static wk_status include_all(wk__yaml *document, int depth) {
    wk__yaml_node *list = document->root ? wk__yaml_find(document->root, "include") : NULL;
    if (!list) return WK_OK;
    wk__yaml_node *all = wk__yaml_new(document, WK__YAML_MAPPING, NULL);
    if (!all) return wk_error_code();
    if (list->kind == WK__YAML_SCALAR) {
        WK_TRY(include_one(document, list, all, depth));
    } else {
        WK_TRY(wk__yaml_list(document, list, "include"));
        for (const wk__yaml_node *item = list->first; item; item = item->next)
            WK_TRY(include_one(document, item, all, depth));
    }
    take_out(document->root, "include");
    WK_TRY(join(document, all, document->root, true));
    document->root = all;
    return WK_OK;
}

static wk__yaml *read_at(const char *path, int depth) {
    wk__yaml *document = wk__yaml_load(path);
    if (!document) return NULL;
    if (include_all(document, depth) == WK_OK) return document;
    wk__yaml_free(document);
    return NULL;
}

wk__yaml *wk__config_read(const char *path) {
    return read_at(path, 0);
}

/* ---- environment ---- */

/* One `${NAME}` or `${NAME:-otherwise}` at `at`, which is behind the brace; gives what is behind its end. */
static const char *expand(const wk__yaml *document, const wk__yaml_node *node, const char *at, wk_text *out) {
    const char *end = strchr(at, '}');
    size_t name_size = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
    bool has_otherwise = end && at + name_size < end && strncmp(at + name_size, ":-", 2) == 0;
    if (!end || name_size == 0 || (at + name_size != end && !has_otherwise)) {
        (void)wk__yaml_fail(document, node,
                            "\"%s\": expected ${NAME} or ${NAME:-otherwise}, a variable of the environment; write $${ "
                            "for the characters themselves",
                            node->text);
        return NULL;
    }
    char name[256];
    (void)snprintf(name, sizeof name, "%.*s", (int)name_size, at);
    const char *value = getenv(name);
    if (value && *value) {
        wk_text_puts(out, value);
    } else if (has_otherwise) {
        wk_text_add(out, at + name_size + 2, (size_t)(end - at) - name_size - 2);
    } else {
        (void)wk__yaml_fail(document, node,
                            "${%s}: the environment has no variable %s; set it, or write ${%s:-otherwise}", name, name,
                            name);
        return NULL;
    }
    return end + 1;
}

static wk_status expand_text(wk__yaml *document, wk__yaml_node *node) {
    wk_text out = { 0 };
    bool found = false;
    const char *at = node->text, *end = strchr(at, '}');
    bool is_alone = strncmp(at, "${", 2) == 0 && end && !end[1]; /* then quotes are there for the braces' sake */
    while (at && *at) {
        if (strncmp(at, "$${", 3) == 0) {
            wk_text_puts(&out, "${");
            at += 3;
            found = true;
        } else if (strncmp(at, "${", 2) == 0) {
            at = expand(document, node, at + 2, &out);
            found = true;
        } else {
            wk_text_add(&out, at++, 1);
        }
    }
    wk_status status = !at ? wk_error_code() : out.failed ? WK_NO_MEMORY : WK_OK;
    if (status == WK_OK && found) {
        char *place = node->origin ? wk_format("%s (%s)", node->origin, node->text)
                                   : wk_format("%s:%d:%d (%s)", document->name, node->line, node->column, node->text);
        node->origin = place ? keep(document, place) : NULL;
        node->text = keep(document, wk_text_get(&out));
        wk_free(place);
        if (is_alone) node->quoted = false;
        if (!node->origin || !node->text) status = wk_error_code();
    }
    wk_text_free(&out);
    return status;
}

static wk_status fill_in(wk__yaml *document, wk__yaml_node *node) {
    if (node->kind == WK__YAML_SCALAR)
        return node->text && strstr(node->text, "${") ? expand_text(document, node) : WK_OK;
    for (wk__yaml_node *child = node->first; child; child = child->next) WK_TRY(fill_in(document, child));
    return WK_OK;
}

wk_status wk__config_environment(wk__yaml *document) {
    return document->root ? fill_in(document, document->root) : WK_OK;
}
