/* text.c: ${{…}} in a stage: a parameter, `each` (or `each.KEY`), STAGE.OUTPUT, and out.OUTPUT of its own.
 *
 * Two braces keep them apart from ${app_id} and the like, which are replaced later.  Where it is the whole text the
 * value itself takes its place, a list or a mapping too; the output of a fan-out is a list, within text parted by
 * spaces.
 */
#include "launcher/pipeline/pipeline.h"

#include <string.h>

/* ---- what a name stands for ---- */

static wk__yaml_node *text_node(wk__yaml *doc, const char *text) {
    wk__yaml_node *node = wk__yaml_new(doc, WK__YAML_SCALAR, text);
    if (node) node->quoted = true;
    return node;
}

static const char *output_of(const wk__stage *stage, const char *name) {
    for (size_t i = 0; i < stage->output_count; i++)
        if (strcmp(stage->outputs[i].key, name) == 0) return stage->outputs[i].value;
    return NULL;
}

/* "STAGE.OUTPUT": of each stage of that written name. */
static wk__yaml_node *outputs(wk__pipeline *p, const wk__stage *stage, wk__yaml *doc, const char *name) {
    const char *dot = strrchr(name, '.');
    wk__yaml_node *list = NULL;
    wk__yaml_node *only = NULL;
    if (!dot) return NULL;
    char *written = wk_format("%s%.*s", stage->prefix, (int)(dot - name), name);
    for (size_t i = 0; written && i < p->count; i++) {
        const char *url = output_of(&p->stages[i], dot + 1);
        bool exact = strcmp(p->stages[i].name, written) == 0;
        if (!url || (!exact && strcmp(p->stages[i].written, written) != 0)) continue;
        only = text_node(doc, url);
        if (exact || !only) break;
        if (!list) list = wk__yaml_new(doc, WK__YAML_SEQUENCE, NULL);
        if (!list || wk__yaml_append(doc, list, NULL, only) != WK_OK) break;
    }
    wk_free(written);
    return list ? list : only;
}

static wk__yaml_node *value_of(wk__pipeline *p, const wk__stage *stage, wk__yaml *doc, const char *name) {
    if (strncmp(name, "out.", 4) == 0) {
        const char *url = output_of(stage, name + 4);
        return url ? text_node(doc, url) : NULL;
    }
    if (stage->each && strcmp(name, "each") == 0) return wk__yaml_copy(doc, stage->each);
    if (stage->each && strncmp(name, "each.", 5) == 0 && stage->each->kind == WK__YAML_MAPPING) {
        const wk__yaml_node *member = wk__yaml_find(stage->each, name + 5);
        return member ? wk__yaml_copy(doc, member) : NULL;
    }
    const wk__yaml_node *parameter = stage->scope ? wk__yaml_find(stage->scope, name) : NULL;
    return parameter ? wk__yaml_copy(doc, parameter) : outputs(p, stage, doc, name);
}

static wk__yaml_node *unknown(const wk__pipeline *p, const wk__stage *stage, const wk__yaml_node *node,
                              const char *name) {
    const char *names[64];
    size_t count = 0;
    for (const wk__yaml_node *n = stage->scope ? stage->scope->first : NULL; n && count < 60; n = n->next)
        names[count++] = n->key;
    if (stage->each) names[count++] = "each";
    const char *near = wk__nearest(name, names, count);
    (void)wk__yaml_fail(p->doc, node, "stage \"%s\": there is no ${{%s}}%s%s%s", stage->name, name,
                        near ? "; did you mean ${{" : "", near ? near : "", near ? "}}?" : "");
    return NULL;
}

/* ---- texts ---- */

static void put(wk_text *out, const wk__yaml_node *value) {
    if (value->kind == WK__YAML_SCALAR) wk_text_puts(out, value->text ? value->text : "");
    for (const wk__yaml_node *item = value->first; item && value->kind != WK__YAML_SCALAR; item = item->next) {
        put(out, item);
        if (item->next) wk_text_puts(out, " ");
    }
}

static wk__yaml_node *look_up(wk__pipeline *p, const wk__stage *stage, wk__yaml *doc, const wk__yaml_node *node,
                              const char *begin, size_t size) {
    char name[200];
    while (size && *begin == ' ') begin++, size--;
    while (size && begin[size - 1] == ' ') size--;
    (void)snprintf(name, sizeof name, "%.*s", (int)size, begin);
    wk__yaml_node *value = value_of(p, stage, doc, name);
    return value || wk_failed() ? value : unknown(p, stage, node, name);
}

static wk__yaml_node *fill_text(wk__pipeline *p, const wk__stage *stage, wk__yaml *doc, const wk__yaml_node *node) {
    const char *at = node->text;
    const char *open = strstr(at, "${{");
    const char *close = open ? strstr(open, "}}") : NULL;
    if (!close) return wk__yaml_copy(doc, node);
    if (open == at && !close[2]) return look_up(p, stage, doc, node, open + 3, (size_t)(close - open - 3));
    wk_text out = { 0 };
    wk_text_puts(&out, "");
    for (; close; open = strstr(at, "${{"), close = open ? strstr(open, "}}") : NULL) {
        wk_text_add(&out, at, (size_t)(open - at));
        const wk__yaml_node *value = look_up(p, stage, doc, node, open + 3, (size_t)(close - open - 3));
        if (!value) {
            wk_text_free(&out);
            return NULL;
        }
        put(&out, value);
        at = close + 2;
    }
    wk_text_puts(&out, at);
    wk__yaml_node *filled = out.failed ? NULL : wk__yaml_new(doc, WK__YAML_SCALAR, out.data);
    if (filled) filled->quoted = node->quoted;
    wk_text_free(&out);
    return filled;
}

wk__yaml_node *wk__pipeline_fill(wk__pipeline *p, const wk__stage *stage, wk__yaml *doc, const wk__yaml_node *node) {
    if (node->kind == WK__YAML_SCALAR) return fill_text(p, stage, doc, node);
    wk__yaml_node *copy = wk__yaml_new(doc, node->kind, NULL);
    for (const wk__yaml_node *child = node->first; child && copy; child = child->next) {
        wk__yaml_node *filled = wk__pipeline_fill(p, stage, doc, child);
        bool spliced = filled && node->kind == WK__YAML_SEQUENCE && child->kind == WK__YAML_SCALAR
                       && filled->kind == WK__YAML_SEQUENCE; /* a list within a list joins it */
        if (!filled) return NULL;
        if (!spliced && wk__yaml_append(doc, copy, child->key, filled) != WK_OK) return NULL;
        for (wk__yaml_node *item = spliced ? filled->first : NULL, *next; item; item = next) {
            next = item->next;
            item->next = NULL;
            if (wk__yaml_append(doc, copy, NULL, item) != WK_OK) return NULL;
        }
    }
    return copy;
}
