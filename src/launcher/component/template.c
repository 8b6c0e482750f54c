/* template.c: a component's `app` with values in place.
 *
 *   "${args}"                    alone: the value itself, a list is spliced into a list, a dict as a key into a
 * mapping, and what has no value is left out "run-${name}"                within text: its text {when: C, then: X,
 * else: Y}  X or Y (or nothing)      C: `x`, `not x`, `x == text`, `x != text`, joined by `and` {join: [...], with: "
 * "}     one text of many
 *
 * Values that go where macros are replaced later have their `$` doubled, so that they arrive as they were given; the
 * four macros themselves still work in an argument, as they do in TorchX.
 */
#include "launcher/component/component.h"

#include <string.h>

/* ---- conditions ---- */

static const char *trim(const char *text, size_t *size) {
    while (*size && *text == ' ') text++, (*size)--;
    while (*size && text[*size - 1] == ' ') (*size)--;
    return text;
}

wk__condition wk__condition_of(const wk__component *c, const char *text, size_t size) {
    wk__condition out = { 0 };
    text = trim(text, &size);
    if (size > 4 && strncmp(text, "not ", 4) == 0) {
        out.negated = true;
        text += 4;
        size -= 4;
    }
    out.name = text;
    out.name_size = size;
    for (size_t i = 0; i + 1 < size; i++)
        if ((text[i] == '=' || text[i] == '!') && text[i + 1] == '=') {
            out.negated = out.negated != (text[i] == '!');
            out.name_size = i;
            out.literal_size = size - i - 2;
            out.literal = trim(text + i + 2, &out.literal_size);
            break;
        }
    out.name = trim(out.name, &out.name_size);
    out.reference = wk__reference_of(c, out.name, out.name_size);
    return out;
}

static bool is_set(const wk__yaml_node *value) {
    if (!value) return false;
    if (value->kind != WK__YAML_SCALAR) return value->count > 0;
    return *value->text && (value->quoted || (strcmp(value->text, "false") != 0 && strcmp(value->text, "0") != 0));
}

static wk_status holds(const wk__filled *f, const wk__yaml_node *node, bool *out) {
    const char *text = NULL;
    WK_TRY(wk__yaml_string(f->component->doc, node, "when", &text));
    *out = true;
    for (const char *at = text; at;) {
        const char *and = strstr(at, " and ");
        wk__condition c = wk__condition_of(f->component, at, and? (size_t)(and-at) : strlen(at));
        if (!c.reference.parameter || wk__reference_fault(&c.reference))
            return wk__yaml_fail(f->component->doc, node, "when: \"%.*s\" is no parameter of %s", (int)c.name_size,
                                 c.name, f->component->name);
        wk__yaml_node *value = wk__resolve(f, &c.reference);
        if (wk_failed()) return wk_error_code();
        bool truth = is_set(value);
        if (c.literal)
            truth = value && value->kind == WK__YAML_SCALAR && strlen(value->text) == c.literal_size
                    && memcmp(value->text, c.literal, c.literal_size) == 0;
        *out = *out && truth != c.negated;
        at = and? and+5 : NULL;
    }
    return WK_OK;
}

/* ---- text ---- */

/* The reference that begins with `$` at `at`, and where it ends; NULL if it is none of ours. */
static const char *reference_at(const wk__component *c, const char *at, wk__reference *out) {
    const char *close = at[0] == '$' && at[1] == '{' ? strchr(at, '}') : NULL;
    if (!close) return NULL;
    *out = wk__reference_of(c, at + 2, (size_t)(close - at - 2));
    return out->parameter ? close + 1 : NULL;
}

static wk_status put_value(const wk__filled *f, const wk__reference *r, bool in_macros, wk_text *out) {
    wk__yaml_node *value = wk__resolve(f, r);
    if (!value) return wk_error_code();
    wk_text text = { 0 };
    wk_text_puts(&text, "");
    wk_status status = wk__node_text(&text, value);
    if (status == WK_OK && in_macros)
        status = wk__escape_macros(out, wk_text_get(&text));
    else
        wk_text_puts(out, wk_text_get(&text));
    wk_text_free(&text);
    return status;
}

static wk__yaml_node *put_in(const wk__filled *f, const wk__yaml_node *node, bool in_macros) {
    wk_text out = { 0 };
    wk_status status = WK_OK;
    bool changed = false;
    wk_text_puts(&out, "");
    for (const char *at = node->text; *at && status == WK_OK;) {
        wk__reference r;
        const char *end = reference_at(f->component, at, &r);
        if (end) {
            status = put_value(f, &r, in_macros, &out);
            changed = true;
            at = end;
        } else if (at[0] == '$' && at[1] == '$') {
            wk_text_add(&out, at, 2);
            at += 2;
        } else
            wk_text_add(&out, at++, 1);
    }
    wk__yaml_node *copy = status == WK_OK && !out.failed ? wk__yaml_copy(f->doc, node) : NULL;
    if (copy && changed) {
        copy->text = wk__arena_text(&f->doc->arena, "%s", wk_text_get(&out));
        copy->quoted = true;
    }
    wk_text_free(&out);
    return copy && copy->text ? copy : NULL;
}

/* A copy whose texts survive the macros. */
static wk__yaml_node *protect(const wk__filled *f, const wk__yaml_node *value, bool in_macros) {
    wk__yaml_node *copy = wk__yaml_copy(f->doc, value);
    if (!copy || !in_macros) return copy;
    if (copy->kind == WK__YAML_SCALAR) {
        wk_text out = { 0 };
        wk_text_puts(&out, "");
        copy->text = wk__escape_macros(&out, value->text) == WK_OK
                         ? wk__arena_text(&f->doc->arena, "%s", wk_text_get(&out))
                         : NULL;
        wk_text_free(&out);
        return copy->text ? copy : NULL;
    }
    copy->first = copy->last = NULL;
    copy->count = 0;
    for (const wk__yaml_node *child = value->first; child; child = child->next) {
        wk__yaml_node *safe = protect(f, child, true);
        if (!safe || wk__yaml_append(f->doc, copy, child->key, safe) != WK_OK) return NULL;
    }
    return copy;
}

/* ---- trees ---- */

/* Zero, one or (in a list) many nodes; `out` is a list that they are put into. */
static wk_status expand(const wk__filled *f, const wk__yaml_node *node, bool in_macros, wk__yaml_node *out);

/* The one node that comes of it; NULL without an error: none. */
static wk_status expand_one(const wk__filled *f, const wk__yaml_node *node, bool in_macros, wk__yaml_node **out) {
    wk__reference r;
    const char *end = node->kind == WK__YAML_SCALAR ? reference_at(f->component, node->text, &r) : NULL;
    *out = NULL;
    if (end && !*end) { /* the value itself: a list stays a list */
        wk__yaml_node *value = wk__resolve(f, &r);
        if (value) *out = protect(f, value, in_macros);
        return wk_error_code();
    }
    const wk__yaml_node *when = wk__yaml_find(node, "when");
    const wk__yaml_node *then = wk__yaml_find(node, "then");
    if (when && then) {
        bool truth = false;
        WK_TRY(holds(f, when, &truth));
        const wk__yaml_node *branch = truth ? then : wk__yaml_find(node, "else");
        return branch ? expand_one(f, branch, in_macros, out) : WK_OK;
    }
    wk__yaml_node *list = wk__yaml_new(f->doc, WK__YAML_SEQUENCE, NULL);
    if (!list) return wk_error_code();
    WK_TRY(expand(f, node, in_macros, list));
    *out = list->first;
    return WK_OK;
}

static wk_status add_copies(const wk__filled *f, const wk__yaml_node *from, wk__yaml_node *to) {
    for (const wk__yaml_node *child = from->first; child; child = child->next) {
        wk__yaml_node *copy = wk__yaml_copy(f->doc, child);
        if (!copy) return wk_error_code();
        wk__yaml_node *there = child->key ? wk__yaml_find(to, child->key) : NULL;
        if (there)
            there->text = copy->text;
        else
            WK_TRY(wk__yaml_append(f->doc, to, child->key, copy));
    }
    return WK_OK;
}

static wk_status expand_list(const wk__filled *f, const wk__yaml_node *node, bool in_macros, wk__yaml_node *list) {
    for (const wk__yaml_node *item = node->first; item; item = item->next) {
        wk__yaml_node *one = NULL;
        bool splices = item->kind == WK__YAML_SCALAR || wk__yaml_find(item, "then");
        WK_TRY(expand_one(f, item, in_macros, &one));
        if (one && splices && one->kind == WK__YAML_SEQUENCE)
            WK_TRY(add_copies(f, one, list));
        else if (one)
            WK_TRY(wk__yaml_append(f->doc, list, NULL, one));
    }
    return WK_OK;
}

static wk_status expand_map(const wk__filled *f, const wk__yaml_node *node, bool in_macros, wk__yaml_node *map) {
    static const char *const replaced[] = { "args", "env", "metadata" };
    for (const wk__yaml_node *member = node->first; member; member = member->next) {
        wk__reference r;
        const char *end = reference_at(f->component, member->key, &r);
        if (end && !*end) { /* a dict as a key: all of its members */
            wk__yaml_node *dict = wk__resolve(f, &r);
            wk__yaml_node *safe = dict ? protect(f, dict, in_macros) : NULL;
            if (safe) WK_TRY(add_copies(f, safe, map));
            if (wk_failed()) return wk_error_code();
            continue;
        }
        bool below = in_macros;
        for (size_t i = 0; i < WK_COUNT(replaced); i++) below = below || strcmp(member->key, replaced[i]) == 0;
        wk__yaml_node *one = NULL;
        WK_TRY(expand_one(f, member, below, &one));
        if (!one) continue;
        WK_TRY(wk__yaml_append(f->doc, map, member->key, one));
        one->key_line = member->key_line;
        one->key_column = member->key_column;
    }
    return WK_OK;
}

static wk_status join(const wk__filled *f, const wk__yaml_node *node, bool in_macros, wk__yaml_node *out) {
    const char *with = " ";
    const wk__yaml_node *separator = wk__yaml_find(node, "with");
    const wk__yaml_node *list = wk__yaml_find(node, "join");
    WK_TRY(wk__yaml_list(f->component->doc, list, NULL));
    if (separator) WK_TRY(wk__yaml_string(f->component->doc, separator, NULL, &with));
    wk__yaml_node *items = wk__yaml_new(f->doc, WK__YAML_SEQUENCE, NULL);
    if (!items) return wk_error_code();
    WK_TRY(expand_list(f, list, in_macros, items));
    wk_text text = { 0 };
    wk_status status = WK_OK;
    wk_text_puts(&text, "");
    for (const wk__yaml_node *item = items->first; item && status == WK_OK; item = item->next) {
        if (item != items->first) wk_text_puts(&text, with);
        status = wk__node_text(&text, item);
    }
    wk__yaml_node *joined = status == WK_OK ? wk__yaml_new(f->doc, WK__YAML_SCALAR, wk_text_get(&text)) : NULL;
    wk_text_free(&text);
    if (!joined) return wk_error_code();
    joined->quoted = true;
    return wk__yaml_append(f->doc, out, NULL, joined);
}

static wk_status expand(const wk__filled *f, const wk__yaml_node *node, bool in_macros, wk__yaml_node *out) {
    if (node->kind == WK__YAML_MAPPING && wk__yaml_find(node, "join")) return join(f, node, in_macros, out);
    wk__yaml_node *made = NULL;
    if (node->kind == WK__YAML_SCALAR)
        made = put_in(f, node, in_macros);
    else if ((made = wk__yaml_new(f->doc, node->kind, NULL))) {
        made->line = node->line;
        made->column = node->column;
        WK_TRY(node->kind == WK__YAML_SEQUENCE ? expand_list(f, node, in_macros, made)
                                               : expand_map(f, node, in_macros, made));
    }
    return made ? wk__yaml_append(f->doc, out, NULL, made) : wk_error_code();
}

wk__yaml_node *wk__template_expand(const wk__filled *f, const wk__yaml_node *app) {
    wk__yaml_node *root = NULL;
    /* The template's own ${env:…} first: a value is not looked at again. */
    wk__yaml_node *copy = wk__yaml_copy(f->doc, app);
    if (!copy || wk__interpolate(f->doc, copy, false) != WK_OK) return NULL;
    return expand_one(f, copy, false, &root) == WK_OK ? root : NULL;
}
