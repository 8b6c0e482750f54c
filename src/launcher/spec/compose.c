/* compose.c: an AppDef out of several files, the environment, and changes on the command line.
 *
 *   defaults:
 *     - base              # base.yaml, beside this file
 *     - size: small       # size/small.yaml; `-o size=large` chooses another of its folder
 *
 * Files are laid under this one in that order: mappings join, a role joins the role of its name, anything else is
 * replaced.  Then overrides are set, and last ${env:NAME} is replaced, so a default may come from the environment.
 */
#include "launcher/launcher.h"
#include "wick/files.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_DEFAULTS_DEPTH = 8 };

typedef struct composer {
    wk__yaml *doc; /* gets everything */
    const char *const *overrides;
    bool *used; /* (count): chose a file */
    size_t count;
} composer;

/* ---- ${env:NAME} ---- */

wk_status wk__escape_macros(wk_text *out, const char *text) {
    static const char *const macros[] = { "${app_id}", "${replica_id}", "${img_root}", "${rank0_env}" };
    for (; *text; text++) {
        bool macro = false;
        for (size_t i = 0; *text == '$' && i < WK_COUNT(macros); i++)
            macro = macro || strncmp(text, macros[i], strlen(macros[i])) == 0;
        wk_text_add(out, text, 1);
        if (*text == '$' && !macro) wk_text_puts(out, "$");
    }
    return out->failed ? wk_error_code() : WK_OK;
}

static void add_plain(wk_text *out, const char *text, bool in_macros) {
    for (; *text; text++) {
        wk_text_add(out, text, 1);
        if (in_macros && *text == '$') wk_text_puts(out, "$");
    }
}

/* "NAME" or "NAME,otherwise", up to the brace. */
static wk_status put_variable(const wk__yaml *doc, const wk__yaml_node *node, const char *body, size_t size,
                              bool in_macros, wk_text *out) {
    const char *comma = memchr(body, ',', size);
    size_t name_size = comma ? (size_t)(comma - body) : size;
    char *name = wk_format("%.*s", (int)name_size, body);
    char *otherwise = comma ? wk_format("%.*s", (int)(size - name_size - 1), comma + 1) : NULL;
    wk_status status = wk_error_code();
    const char *value = name ? getenv(name) : NULL;
    if (!value) value = otherwise;
    if (status == WK_OK && !value)
        status =
            wk__yaml_fail(doc, node, "the environment has no %s; set it, or write ${env:%s,otherwise}", name, name);
    if (status == WK_OK) add_plain(out, value, in_macros);
    wk_free(name);
    wk_free(otherwise);
    return status;
}

/* The length of "${env:", if a variable stands here with its brace at *close; else 0. */
static size_t opens_variable(const char *at, const char **close) {
    static const char *const openings[] = { "${env:", "${oc.env:" };
    for (size_t i = 0; i < WK_COUNT(openings); i++) {
        const size_t size = strlen(openings[i]);
        if (strncmp(at, openings[i], size) == 0 && (*close = strchr(at, '}')) != NULL) return size;
    }
    return 0;
}

/* The app is dumped, stored and read again, and must be the same then. */
static wk_status check_result(const wk__yaml *doc, const wk__yaml_node *node, const char *text) {
    const char *close;
    for (const char *at = text; *at; at += at[0] == '$' && at[1] == '$' ? 2 : 1)
        if (opens_variable(at, &close))
            return wk__yaml_fail(doc, node,
                                 "no variable can stand within another, but \"%.*s\" is left when it is replaced",
                                 (int)(close + 1 - at), at);
    return WK_OK;
}

static wk_status interpolate_text(wk__yaml *doc, wk__yaml_node *node, bool in_macros) {
    if (!strstr(node->text, "env:")) return WK_OK;
    wk_text out = { 0 };
    wk_text_puts(&out, "");
    wk_status status = WK_OK;
    for (const char *at = node->text, *close; *at && status == WK_OK;) {
        const size_t skip = opens_variable(at, &close);
        if (skip) {
            status = put_variable(doc, node, at + skip, (size_t)(close - at) - skip, in_macros, &out);
            at = close + 1;
        } else if (at[0] == '$' && at[1] == '$') { /* a dollar sign, whatever follows */
            wk_text_add(&out, at, 2);
            at += 2;
        } else
            wk_text_add(&out, at++, 1);
    }
    if (status == WK_OK && !out.failed) status = check_result(doc, node, wk_text_get(&out));
    if (status == WK_OK && !out.failed) node->text = wk__arena_text(&doc->arena, "%s", wk_text_get(&out));
    wk_text_free(&out);
    return status == WK_OK ? wk_error_code() : status;
}

wk_status wk__interpolate(wk__yaml *doc, wk__yaml_node *node, bool in_macros) {
    static const char *const replaced[] = { "args", "env", "metadata" };
    if (node->kind == WK__YAML_SCALAR) return interpolate_text(doc, node, in_macros);
    for (wk__yaml_node *child = node->first; child; child = child->next) {
        bool below = in_macros;
        for (size_t i = 0; child->key && i < WK_COUNT(replaced); i++)
            below = below || strcmp(child->key, replaced[i]) == 0;
        WK_TRY(wk__interpolate(doc, child, below));
    }
    return WK_OK;
}

/* ---- laying one tree over another ---- */

static wk__yaml_node *role_of(wk__yaml_node *roles, const wk__yaml_node *name) {
    for (wk__yaml_node *role = roles->first; role; role = role->next) {
        const wk__yaml_node *other = wk__yaml_find(role, "name");
        if (other && name && other->kind == WK__YAML_SCALAR && name->kind == WK__YAML_SCALAR
            && strcmp(other->text, name->text) == 0)
            return role;
    }
    return NULL;
}

static wk_status lay_over(wk__yaml *doc, wk__yaml_node *under, const wk__yaml_node *over);

/* What stands there becomes a copy of the other; its place in its parent stays. */
static wk_status replace(wk__yaml *doc, wk__yaml_node *node, const wk__yaml_node *by) {
    wk__yaml_node *copy = wk__yaml_copy(doc, by);
    if (!copy) return wk_error_code();
    copy->key = node->key;
    copy->key_line = by->key_line;
    copy->key_column = by->key_column;
    copy->next = node->next;
    *node = *copy;
    return WK_OK;
}

static wk_status join_roles(wk__yaml *doc, wk__yaml_node *under, const wk__yaml_node *over) {
    for (const wk__yaml_node *role = over->first; role; role = role->next) {
        wk__yaml_node *same = role_of(under, wk__yaml_find(role, "name"));
        if (same) {
            WK_TRY(lay_over(doc, same, role));
            continue;
        }
        wk__yaml_node *copy = wk__yaml_copy(doc, role);
        if (!copy) return wk_error_code();
        WK_TRY(wk__yaml_append(doc, under, NULL, copy));
    }
    return WK_OK;
}

static wk_status lay_over(wk__yaml *doc, wk__yaml_node *under, const wk__yaml_node *over) {
    if (under->kind != WK__YAML_MAPPING || over->kind != WK__YAML_MAPPING) return replace(doc, under, over);
    for (const wk__yaml_node *member = over->first; member; member = member->next) {
        wk__yaml_node *there = wk__yaml_find(under, member->key);
        if (!there) {
            wk__yaml_node *copy = wk__yaml_copy(doc, member);
            if (!copy) return wk_error_code();
            WK_TRY(wk__yaml_append(doc, under, member->key, copy));
            copy->key_line = member->key_line;
            copy->key_column = member->key_column;
        } else if (strcmp(member->key, "roles") == 0 && there->kind == WK__YAML_SEQUENCE
                   && member->kind == WK__YAML_SEQUENCE)
            WK_TRY(join_roles(doc, there, member));
        else
            WK_TRY(lay_over(doc, there, member));
    }
    return WK_OK;
}

/* A message about a value of another file must name that file. */
static wk_status set_origins(wk__yaml *doc, wk__yaml_node *node, const char *file) {
    if (!(node->origin = wk__arena_text(&doc->arena, "%s:%d:%d", file, node->line, node->column)))
        return wk_error_code();
    for (wk__yaml_node *child = node->first; child; child = child->next) WK_TRY(set_origins(doc, child, file));
    return WK_OK;
}

/* ---- defaults ---- */

static wk_status lay_file(composer *c, const char *path, int depth);

/* The option that an override chooses for the group, else the one written. */
static const char *chosen(composer *c, const char *group, const char *written) {
    size_t size = strlen(group);
    for (size_t i = 0; i < c->count; i++)
        if (strncmp(c->overrides[i], group, size) == 0 && c->overrides[i][size] == '=') {
            c->used[i] = true;
            written = c->overrides[i] + size + 1;
        }
    return written;
}

static wk_status lay_default(composer *c, const wk__yaml *file, const wk__yaml_node *item, const char *beside,
                             int depth) {
    const char *name = NULL;
    char *relative = NULL;
    if (item->kind == WK__YAML_MAPPING && item->count == 1) {
        WK_TRY(wk__yaml_string(file, item->first, NULL, &name));
        relative = wk_format("%s/%s.yaml", item->first->key, chosen(c, item->first->key, name));
    } else {
        WK_TRY(wk__yaml_string(file, item, "an item of defaults", &name));
        relative = wk_format("%s.yaml", name);
    }
    char *path = relative ? wk_url_beside(beside, relative) : NULL;
    wk_status status = path ? lay_file(c, path, depth + 1) : wk_error_code();
    if (status == WK_IO || status == WK_NOT_FOUND) {
        wk__error kept = *wk__error_slot();
        wk_clear_error();
        status = wk__yaml_fail(file, item, "%s", kept.message);
    }
    wk_free(path);
    wk_free(relative);
    return status;
}

static wk_status lay_document(composer *c, wk__yaml *file, const char *path, int depth) {
    if (!file->root) return WK_OK;
    if (file->root->kind != WK__YAML_MAPPING) return wk__yaml_map(file, file->root, "an AppDef");
    wk__yaml_node *defaults = wk__yaml_find(file->root, "defaults");
    wk_status status = WK_OK;
    if (defaults && status == WK_OK) status = wk__yaml_list(file, defaults, NULL);
    if (defaults && status == WK_OK && depth >= MOST_DEFAULTS_DEPTH)
        status =
            wk__yaml_fail(file, defaults, "defaults of defaults, more than %d deep: a circle?", MOST_DEFAULTS_DEPTH);
    for (const wk__yaml_node *item = defaults ? defaults->first : NULL; item && status == WK_OK; item = item->next)
        status = lay_default(c, file, item, path, depth);
    WK_TRY(status);
    if (depth) WK_TRY(set_origins(c->doc, file->root, file->name));
    wk__yaml_node *root = c->doc->root;
    if (!root && !(root = c->doc->root = wk__yaml_new(c->doc, WK__YAML_MAPPING, NULL))) return wk_error_code();
    if (depth == 0) {
        root->line = file->root->line;
        root->column = file->root->column;
    }
    return lay_over(c->doc, root, file->root);
}

static wk_status lay_file(composer *c, const char *path, int depth) {
    wk__yaml *file = wk__yaml_load(path);
    if (!file) return wk_error_code();
    wk_status status = lay_document(c, file, path, depth);
    wk__yaml_free(file);
    return status;
}

/* "defaults" has done its work; the tree that stays is whole. */
static void remove_member(wk__yaml_node *map, const char *key) {
    wk__yaml_node *before = NULL;
    for (wk__yaml_node *child = map->first; child; before = child, child = child->next) {
        if (strcmp(child->key, key) != 0) continue;
        if (before)
            before->next = child->next;
        else
            map->first = child->next;
        if (map->last == child) map->last = before;
        map->count--;
        return;
    }
}

/* ---- overrides ---- */

/* "roles.trainer.x=1": the name becomes the index; names may hold dots, so the longest that fits counts. */
static wk_status set_override(wk__yaml *doc, const char *text) {
    const wk__yaml_node *roles = doc->root ? wk__yaml_find(doc->root, "roles") : NULL;
    size_t best = 0;
    size_t index = 0;
    size_t at = 0;
    for (const wk__yaml_node *role = roles ? roles->first : NULL; role; role = role->next, at++) {
        const wk__yaml_node *name = wk__yaml_find(role, "name");
        size_t size = name && name->kind == WK__YAML_SCALAR ? strlen(name->text) : 0;
        if (size > best && strncmp(text, "roles.", 6) == 0 && strncmp(text + 6, name->text, size) == 0
            && text[6 + size] == '.') {
            best = size;
            index = at;
        }
    }
    if (!best) return wk__yaml_set(doc, text);
    char *by_index = wk_format("roles.%zu%s", index, text + 6 + best);
    wk_status status = by_index ? wk__yaml_set(doc, by_index) : wk_error_code();
    wk_free(by_index);
    return status;
}

wk_appdef *wk_appdef_compose(const char *path, const char *const *overrides, size_t count) {
    composer c = { .overrides = overrides, .count = count };
    c.doc = wk_alloc(sizeof *c.doc);
    if (!c.doc) return NULL;
    c.used = wk__arena_take(&c.doc->arena, (count + 1) * sizeof *c.used);
    char *name = wk_url_mask(path);
    c.doc->name = name ? wk__arena_text(&c.doc->arena, "%s", name) : NULL;
    wk_free(name);
    if (!c.used || !c.doc->name) goto failed;
    memset(c.used, 0, (count + 1) * sizeof *c.used);
    if (lay_file(&c, path, 0) != WK_OK) goto failed;
    if (c.doc->root) remove_member(c.doc->root, "defaults");
    for (size_t i = 0; i < count; i++)
        if (!c.used[i] && set_override(c.doc, overrides[i]) != WK_OK) goto failed;
    if (c.doc->root && wk__interpolate(c.doc, c.doc->root, false) != WK_OK) goto failed;
    return wk__appdef_from(c.doc);
failed:
    wk__yaml_free(c.doc);
    return NULL;
}

wk_appdef *wk_appdef_load(const char *path) {
    return wk_appdef_compose(path, NULL, 0);
}

wk_appdef *wk_appdef_parse(const char *text, size_t size, const char *name) {
    wk__yaml *doc = wk__yaml_parse(text, size, name);
    if (!doc) return NULL;
    if (doc->root && wk__interpolate(doc, doc->root, false) != WK_OK) {
        wk__yaml_free(doc);
        return NULL;
    }
    return wk__appdef_from(doc);
}
