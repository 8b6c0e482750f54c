/* registry.c: components by name: a file's, the built-in ones, and those of the folders in WICK_COMPONENT_PATH.
 *
 * Only the file that holds the name is read, so that a broken file hurts nobody but its own components.
 */
#include "launcher/component/component.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void wk__component_free(wk__component *component) {
    if (component) wk__yaml_free(component->doc);
}

/* Where "file.yaml" ends in "file.yaml:name"; NULL if the word is no such thing. */
static const char *file_end(const char *word) {
    static const char *const endings[] = { ".yaml:", ".yml:" };
    for (size_t i = 0; i < WK_COUNT(endings); i++) {
        const char *at = strstr(word, endings[i]);
        if (at) return at + strlen(endings[i]) - 1;
    }
    return NULL;
}

bool wk__component_is_path(const char *word) {
    return file_end(word) != NULL;
}

/* The component of that name; NULL without an error: the document has none.  Takes the document over. */
static wk__component *take_from(wk__yaml *doc, const char *name) {
    const wk__yaml_node *components = NULL;
    if (!doc) return NULL;
    if (wk__components_of(doc, &components) == WK_OK) {
        const wk__yaml_node *node = wk__yaml_find(components, name);
        wk__component *out = node ? wk__arena_take(&doc->arena, sizeof *out) : NULL;
        if (out && wk__component_read(doc, node, out) == WK_OK) return out;
    }
    wk__yaml_free(doc);
    return NULL;
}

static wk__component *find_in_file(const char *word) {
    const char *end = file_end(word);
    const wk__yaml_node *components = NULL;
    char *path = wk_format("%.*s", (int)(end - word), word);
    wk__yaml *doc = path ? wk__yaml_load(path) : NULL;
    wk_free(path);
    if (!doc) return NULL;
    if (wk__components_of(doc, &components) == WK_OK && !wk__yaml_find(components, end + 1)) {
        const char *names[256];
        size_t count = 0;
        for (const wk__yaml_node *c = components->first; c && count < WK_COUNT(names); c = c->next)
            names[count++] = c->key;
        const char *near = wk__nearest(end + 1, names, count);
        (void)wk_fail(WK_NOT_FOUND, "%s has no component \"%.80s\"%s%s%s", doc->name, end + 1,
                      near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
        wk__yaml_free(doc);
        return NULL;
    }
    return take_from(doc, end + 1);
}

/* ---- folders ---- */

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_yaml(const struct dirent *entry) {
    size_t size = strlen(entry->d_name);
    return size > 5 && strcmp(entry->d_name + size - 5, ".yaml") == 0;
}

/* Call `visit` with the path of every YAML file of the folders, until it returns true. */
static void visit_path(bool (*visit)(void *context, const char *file), void *context) {
    const char *at = getenv("WICK_COMPONENT_PATH");
    bool done = false;
    while (at && *at && !done) {
        size_t size = strcspn(at, ":");
        struct dirent **entries = NULL;
        char *folder = wk_format("%.*s", (int)size, at);
        int count = folder && size ? scandir(folder, &entries, is_yaml, by_name) : 0;
        for (int i = 0; i < count; i++) {
            char *file = done ? NULL : wk_format("%s/%s", folder, entries[i]->d_name);
            if (file) done = visit(context, file);
            wk_free(file);
            free(entries[i]);
        }
        free(entries);
        wk_free(folder);
        at += size + (at[size] == ':');
    }
}

typedef struct search {
    const char *name;
    wk__component *found;
    wk_status status;
    char *fault; /* what was wrong with a file that might have held it */
} search;

static bool look_in(void *context, const char *file) {
    search *s = context;
    wk__error aside = { 0 };
    wk__error *former = wk__error_bind(&aside);
    wk__yaml *doc = wk__yaml_load(file);
    const wk__yaml_node *components = NULL;
    bool holds = doc && wk__components_of(doc, &components) == WK_OK && wk__yaml_find(components, s->name);
    (void)wk__error_bind(former);
    if (holds) {
        s->found = take_from(doc, s->name);
        return true;
    }
    wk__yaml_free(doc);
    if (aside.code != WK_OK) wk_log_write(WK_LOG_WARNING, "%s: left out: %s", file, aside.message);
    return false;
}

wk__component *wk__component_find(const char *name) {
    if (wk__component_is_path(name)) return find_in_file(name);
    for (const wk__component_source *s = wk__builtin_components; s->name; s++) {
        if (!strstr(s->text, name)) continue;
        wk__component *found = take_from(wk__yaml_parse(s->text, strlen(s->text), s->name), name);
        if (found || wk_failed()) return found;
    }
    search s = { .name = name };
    visit_path(look_in, &s);
    if (!s.found && !wk_failed())
        (void)wk_fail(WK_NOT_FOUND, "no component \"%.80s\"; `wick builtins` lists them", name);
    return s.found;
}

/* ---- lists ---- */

typedef struct list {
    wk__component_entry *entries;
    size_t count, room;
    wk_status status;
} list;

static void add(list *l, const char *name, const char *where, const char *text, bool broken) {
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 32;
        wk__component_entry *more = wk_realloc(l->entries, room * sizeof *more);
        if (!more) {
            l->status = wk_error_code();
            return;
        }
        l->entries = more;
        l->room = room;
    }
    wk__component_entry *e = &l->entries[l->count++];
    *e = (wk__component_entry){ .broken = broken };
    (void)snprintf(e->name, sizeof e->name, "%s", name);
    (void)snprintf(e->where, sizeof e->where, "%s", where);
    (void)snprintf(e->text, sizeof e->text, "%.159s", text);
}

static void add_document(list *l, wk__yaml *doc, const char *where) {
    const wk__yaml_node *components = NULL;
    wk__error aside = { 0 };
    wk__error *former = wk__error_bind(&aside);
    bool good = doc && wk__components_of(doc, &components) == WK_OK;
    for (const wk__yaml_node *c = good ? components->first : NULL; c; c = c->next) {
        const wk__yaml_node *text = wk__yaml_find(c, "doc");
        add(l, c->key, where, text && text->kind == WK__YAML_SCALAR ? text->text : "", false);
    }
    (void)wk__error_bind(former);
    if (!good) add(l, "", where, aside.message, true);
    wk__yaml_free(doc);
}

static bool list_file(void *context, const char *file) {
    wk__error aside = { 0 };
    wk__error *former = wk__error_bind(&aside);
    wk__yaml *doc = wk__yaml_load(file);
    (void)wk__error_bind(former);
    if (doc)
        add_document(context, doc, file);
    else
        add(context, "", file, aside.message, true);
    return false;
}

wk_status wk__component_list(wk__component_entry **entries, size_t *count) {
    list l = { 0 };
    for (const wk__component_source *s = wk__builtin_components; s->name; s++)
        add_document(&l, wk__yaml_parse(s->text, strlen(s->text), s->name), "built in");
    visit_path(list_file, &l);
    *entries = l.entries;
    *count = l.count;
    if (l.status != WK_OK) {
        wk_free(l.entries);
        *entries = NULL;
        *count = 0;
    }
    return l.status;
}

/* ---- build ---- */

/* The version of the format belongs to files; a template need not repeat it. */
static wk_status add_version(wk__yaml *doc) {
    if (wk__yaml_find(doc->root, "version")) return WK_OK;
    wk__yaml_node *version = wk__yaml_new(doc, WK__YAML_SCALAR, "1");
    if (!version) return wk_error_code();
    wk__yaml_node *first = doc->root->first;
    wk__yaml_node *last = doc->root->last;
    size_t members = doc->root->count;
    doc->root->first = doc->root->last = NULL;
    WK_TRY(wk__yaml_append(doc, doc->root, "version", version));
    version->next = first;
    doc->root->last = last ? last : version;
    doc->root->count = members + 1;
    return WK_OK;
}

wk_appdef *wk__component_build(const wk__component *component, int argc, char *const *argv, const wk_pair *config,
                               size_t config_count) {
    wk__yaml *doc = wk_alloc(sizeof *doc);
    if (!doc) return NULL;
    wk__filled filled = { .component = component, .doc = doc };
    doc->name = wk__arena_text(&doc->arena, "%s", component->doc->name);
    if (doc->name && wk__component_fill(&filled, argc, argv, config, config_count) == WK_OK
        && (doc->root = wk__template_expand(&filled, component->app)) && add_version(doc) == WK_OK)
        return wk__appdef_from(doc);
    wk__yaml_free(doc);
    return NULL;
}

wk_appdef *wk_component_build(const char *name, int argc, char *const *argv) {
    wk__component *component = wk__component_find(name);
    wk_appdef *app = component ? wk__component_build(component, argc, argv, NULL, 0) : NULL;
    wk__component_free(component);
    return app;
}
