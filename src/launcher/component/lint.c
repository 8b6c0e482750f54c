/* lint.c: what is wrong with a component file, before anybody runs it.
 *
 * Declarations, defaults, every ${…} and condition of the template, and at last the AppDef that comes of it with sample
 * arguments.  What only looks wrong (a parameter nobody reads, one without help) is a warning.
 */
#include "launcher/component/component.h"

#include <ctype.h>
#include <string.h>

typedef struct linter {
    wk_text *out;
    const char *path;
    const wk__component *component;
    bool *used; /* (component->count) */
    int errors;
} linter;

static void say(linter *l, const wk__yaml_node *node, bool at_key, const char *severity, const char *format, ...)
    WK_PRINTF(5, 6);
static void say(linter *l, const wk__yaml_node *node, bool at_key, const char *severity, const char *format, ...) {
    char text[900];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    int line = at_key && node->key_line ? node->key_line : node->line;
    int column = at_key && node->key_line ? node->key_column : node->column;
    wk_text_printf(l->out, "%s:%d:%d: %s: %s\n", l->path, line, column, severity, text);
    l->errors += severity[0] == 'e';
}

/* The pending error as a line; its own place stays in front. */
static void say_pending(linter *l, const char *prefix) {
    const char *message = wk_message();
    size_t size = strlen(l->path);
    int used = 0;
    bool placed =
        size && strncmp(message, l->path, size) == 0 && sscanf(message + size, ":%*d:%*d: %n", &used) == 0 && used;
    if (placed)
        wk_text_printf(l->out, "%.*serror: %s%s\n", (int)size + used, message, prefix, message + size + used);
    else
        wk_text_printf(l->out, "%s: error: %s%s\n", l->path, prefix, message);
    l->errors++;
    wk_clear_error();
}

static void mark(linter *l, const char *name) {
    const wk__parameter *p = name ? wk__parameter_find(l->component, name, strlen(name)) : NULL;
    if (p) l->used[p - l->component->parameters] = true;
}

/* ---- references ---- */

static const char *nearest(const linter *l, const char *name) {
    const char *names[64];
    size_t count = 0;
    for (size_t i = 0; i < l->component->count && count < WK_COUNT(names); i++)
        names[count++] = l->component->parameters[i].name;
    return wk__nearest(name, names, count);
}

static bool is_macro(const char *body, size_t size) {
    static const char *const macros[] = { "app_id", "replica_id", "img_root", "rank0_env" };
    for (size_t i = 0; i < WK_COUNT(macros); i++)
        if (strlen(macros[i]) == size && memcmp(macros[i], body, size) == 0) return true;
    return strncmp(body, "env:", 4) == 0 || strncmp(body, "oc.env:", 7) == 0;
}

static void check_reference(linter *l, const wk__yaml_node *node, bool at_key, const wk__reference *r, const char *body,
                            size_t size) {
    if (r->parameter) {
        const char *fault = wk__reference_fault(r);
        l->used[r->parameter - l->component->parameters] = true;
        if (fault) say(l, node, at_key, "error", "%.*s: %s", (int)size, body, fault);
        return;
    }
    char name[128];
    (void)snprintf(name, sizeof name, "%.*s", (int)(size < 120 ? size : 120), body);
    name[strcspn(name, ".|")] = '\0';
    const char *near = nearest(l, name);
    say(l, node, at_key, "error", "\"%.*s\" is neither a parameter nor a macro%s%s%s", (int)size, body,
        near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static void check_text(linter *l, const wk__yaml_node *node, bool at_key, const char *text) {
    for (const char *at = text; (at = strchr(at, '$')); at++) {
        if (at[1] == '$') {
            if (at[2] == '$') continue; /* $$${macro} */
            at++;
            continue;
        }
        const char *close = at[1] == '{' ? strchr(at, '}') : NULL;
        if (!close || strchr(":-", at[2]) || is_macro(at + 2, (size_t)(close - at - 2))) continue;
        if (at[2] == '$') continue; /* ${${rank0_env}:=…}, the shell's */
        wk__reference r = wk__reference_of(l->component, at + 2, (size_t)(close - at - 2));
        check_reference(l, node, at_key, &r, at + 2, (size_t)(close - at - 2));
    }
}

static void check_condition(linter *l, const wk__yaml_node *node) {
    for (const char *at = node->text; at;) {
        const char *and = strstr(at, " and ");
        wk__condition c = wk__condition_of(l->component, at, and? (size_t)(and-at) : strlen(at));
        check_reference(l, node, false, &c.reference, c.name, c.name_size);
        at = and? and+5 : NULL;
    }
}

static void walk(linter *l, const wk__yaml_node *node) {
    bool conditional = wk__yaml_find(node, "then") != NULL;
    if (node->kind == WK__YAML_SCALAR) check_text(l, node, false, node->text);
    for (const wk__yaml_node *child = node->first; child; child = child->next) {
        if (child->key && strstr(child->key, "${")) check_text(l, child, true, child->key);
        if (conditional && strcmp(child->key, "when") == 0 && child->kind == WK__YAML_SCALAR)
            check_condition(l, child);
        else
            walk(l, child);
    }
}

/* ---- declarations ---- */

static void check_parameter(linter *l, const wk__parameter *p, wk__yaml *scratch) {
    wk__filled filled = { .component = l->component, .doc = scratch };
    if (p->initial && p->initial->kind == WK__YAML_SCALAR
        && !wk__parameter_value(&filled, p, "default", p->initial->text)) {
        say(l, p->initial, false, "error", "parameter \"%s\": %s", p->name, wk_message());
        wk_clear_error();
    }
    if (!*p->help) say(l, p->node, true, "warning", "parameter \"%s\" has no help", p->name);
    mark(l, p->host);
    if (p->type == WK__RUN_NAME) {
        mark(l, p->of[0]);
        mark(l, p->of[1]);
    }
}

static const char *sample(const wk__parameter *p) {
    static const char *const samples[WK__PARAMETER_TYPES] = { "x", "1", "1", "true", "1", "x=1", "x", "1x1", "/" };
    return samples[p->type];
}

/* The AppDef of sample arguments must be one. */
static void try_build(linter *l) {
    const wk__component *c = l->component;
    const char *words[128];
    wk__yaml scratch = { .name = "sample" };
    size_t count = 0;
    const char *chosen = c->exactly_one && c->exactly_one->first ? c->exactly_one->first->text : "";
    for (size_t i = 0; i < c->count && count + 1 < WK_COUNT(words); i++) {
        const wk__parameter *p = &c->parameters[i];
        if (p->type == WK__VARARGS || ((p->optional || p->initial) && strcmp(p->name, chosen) != 0)) continue;
        if ((words[count] = wk__arena_text(&scratch.arena, "--%s=%s", p->name, sample(p)))) count++;
    }
    for (size_t i = 0; i < c->count && count + 2 < WK_COUNT(words); i++)
        if (c->parameters[i].type == WK__VARARGS) {
            words[count++] = "--";
            words[count++] = "x";
            break;
        }
    wk_appdef *app = wk__component_build(c, (int)count, (char *const *)(uintptr_t)words, NULL, 0);
    if (!app) say_pending(l, "the AppDef it makes: ");
    wk_appdef_free(app);
    wk__arena_destroy(&scratch.arena);
}

static void check_component(linter *l, wk__yaml *doc, const wk__yaml_node *node) {
    wk__component c;
    if (wk__component_read(doc, node, &c) != WK_OK) {
        say_pending(l, "");
        return;
    }
    int before = l->errors;
    l->component = &c;
    l->used = wk_alloc((c.count + 1) * sizeof *l->used);
    if (!l->used) {
        l->component = NULL;
        return;
    }
    for (size_t i = 0; i < c.count; i++) check_parameter(l, &c.parameters[i], doc);
    if (!*c.text) say(l, node, true, "warning", "component \"%s\" has no doc", c.name);
    for (const wk__yaml_node *item = c.exactly_one ? c.exactly_one->first : NULL; item; item = item->next)
        mark(l, item->text);
    walk(l, c.app);
    for (size_t i = 0; i < c.count; i++)
        if (!l->used[i])
            say(l, c.parameters[i].node, true, "warning", "parameter \"%s\" is used nowhere", c.parameters[i].name);
    if (l->errors == before) try_build(l);
    wk_free(l->used);
    l->component = NULL;
}

int wk__component_lint_document(wk__yaml *doc, const char *name, wk_text *out) {
    linter l = { .out = out, .path = doc ? doc->name : "" };
    const wk__yaml_node *components = NULL;
    if (!doc || wk__components_of(doc, &components) != WK_OK) {
        say_pending(&l, "");
        return l.errors;
    }
    bool seen = false;
    for (const wk__yaml_node *node = components->first; node; node = node->next) {
        if (name && strcmp(node->key, name) != 0) continue;
        seen = true;
        check_component(&l, doc, node);
    }
    if (name && !seen) say(&l, components, false, "error", "there is no component \"%s\"", name);
    return l.errors;
}

int wk__component_lint(const char *path, const char *name, wk_text *out) {
    wk__yaml *doc = wk__yaml_load(path);
    int errors = wk__component_lint_document(doc, name, out);
    wk__yaml_free(doc);
    return errors;
}
