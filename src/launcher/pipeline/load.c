/* load.c: a pipeline's file, spread out into stages.
 *
 *   version: 1
 *   name: train-and-compare
 *   parameters: {sizes: [small, large]}
 *   stages:
 *     - {name: data, run: data.yaml, outputs: {set: ~}, cache: true}
 *     - {name: train, after: data, each: "${{sizes}}", app: {roles: […]}, retries: 1}
 *     - {name: tell, after: train, when: always, run: utils.echo, arguments: [--msg, done]}
 *     - {name: more, after: train, pipeline: more.yaml, parameters: {a: 1}}
 *
 * A stage may come only after stages before it, so there are no circles.
 */
#include "launcher/pipeline/pipeline.h"
#include "wick/files.h"

#include <stdlib.h>
#include <string.h>

static const char *const file_keys[] = { "version", "name", "parameters", "stages", "scheduler", "cfg", "fail_fast" };
static const char *const stage_keys[] = { "name",      "after",    "each",       "app",       "run",
                                          "arguments", "pipeline", "parameters", "when",      "retries",
                                          "cache",     "adds",     "outputs",    "scheduler", "cfg" };

typedef struct loader {
    wk__pipeline *p;
    wk__yaml *file;
    const wk__yaml_node *scope; /* parameters */
    const char *prefix, *path /* of the file */, *scheduler, *cfg;
    size_t first_after; /* what a stage without `after` comes after; SIZE_MAX: nothing */
    size_t begin;       /* the first stage of this file */
    int depth;
} loader;

static wk_status read_stages(loader *l, const wk__yaml_node *list);

static wk__stage *push(wk__pipeline *p) {
    if (p->count == p->room) {
        size_t room = p->room ? 2 * p->room : 16;
        wk__stage *stages = wk_realloc(p->stages, room * sizeof *stages);
        if (!stages) return NULL;
        p->stages = stages;
        p->room = room;
    }
    wk__stage *stage = &p->stages[p->count++];
    *stage = (wk__stage){ 0 };
    return stage;
}

/* ---- edges ---- */

static wk_status add_edge(loader *l, wk__stage *stage, size_t to) {
    for (size_t i = 0; i < stage->after_count; i++)
        if (stage->after[i] == to) return WK_OK;
    size_t *longer = wk__arena_take(&l->p->arena, (stage->after_count + 1) * sizeof *longer);
    if (!longer) return wk_error_code();
    if (stage->after_count) memcpy(longer, stage->after, stage->after_count * sizeof *longer);
    longer[stage->after_count++] = to;
    stage->after = longer;
    return WK_OK;
}

/* Every stage of that written name, or of the pipeline of that name. */
static wk_status add_edges(loader *l, wk__stage *stage, const wk__yaml_node *node) {
    const char *word = NULL;
    WK_TRY(wk__yaml_string(l->file, node, "an item of after", &word));
    char *name = wk_format("%s%s", l->prefix, word);
    size_t size = name ? strlen(name) : 0;
    size_t own = (size_t)(stage - l->p->stages);
    bool found = false;
    for (size_t i = 0; name && i < own; i++) {
        const char *written = l->p->stages[i].written;
        bool inside = strncmp(written, name, size) == 0 && written[size] == '.';
        if (strcmp(written, name) != 0 && !inside) continue;
        found = true;
        if (add_edge(l, stage, i) != WK_OK) break;
    }
    wk_free(name);
    if (found || wk_failed()) return wk_error_code();
    const char *names[64];
    size_t count = 0;
    for (size_t i = l->begin; i < own && count < WK_COUNT(names); i++)
        names[count++] = l->p->stages[i].written + strlen(l->prefix);
    const char *near = wk__nearest(word, names, count);
    return wk__yaml_fail(l->file, node, "no stage \"%.80s\" before this one%s%s%s", word,
                         near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static wk_status read_after(loader *l, wk__stage *stage, const wk__yaml_node *after) {
    if (!after && l->first_after != SIZE_MAX) return add_edge(l, stage, l->first_after);
    if (!after) return WK_OK;
    if (after->kind == WK__YAML_SCALAR) return add_edges(l, stage, after);
    WK_TRY(wk__yaml_list(l->file, after, NULL));
    for (const wk__yaml_node *item = after->first; item; item = item->next) WK_TRY(add_edges(l, stage, item));
    return WK_OK;
}

/* ---- one stage ---- */

/* outputs: {model: URL}, or {model: ~}: a file in the run's folder. */
static wk_status read_outputs(loader *l, wk__stage *stage, const wk__yaml_node *node) {
    if (!node) return WK_OK;
    WK_TRY(wk__yaml_map(l->file, node, NULL));
    stage->outputs = wk__arena_take(&l->p->arena, (node->count + 1) * sizeof *stage->outputs);
    if (!stage->outputs) return wk_error_code();
    for (const wk__yaml_node *item = node->first; item; item = item->next) {
        const char *url = wk__arena_text(&l->p->arena, "%s/%s/%s", l->p->directory, stage->name, item->key);
        if (!wk__yaml_is_null(item)) {
            wk__yaml_node *filled = wk__pipeline_fill(l->p, stage, l->p->doc, item);
            if (!filled) return wk_error_code();
            WK_TRY(wk__yaml_string(l->file, filled, "an output", &url));
        }
        stage->outputs[stage->output_count++] = (wk_pair){ item->key, url };
    }
    return wk_error_code();
}

static wk_status read_words(loader *l, wk__stage *stage) {
    static const char *const whens[] = { "success", "failure", "always" };
    const wk__yaml_node *node = NULL;
    size_t when = 0;
    if ((node = wk__yaml_find(stage->node, "when"))) {
        WK_TRY(wk__yaml_choice(l->file, node, whens, WK_COUNT(whens), &when));
        stage->when = (wk__stage_when)when;
    }
    if ((node = wk__yaml_find(stage->node, "retries")))
        WK_TRY(wk__yaml_int(l->file, node, NULL, 0, 1000, &stage->retries));
    if ((node = wk__yaml_find(stage->node, "cache"))) WK_TRY(wk__yaml_bool(l->file, node, NULL, &stage->cache));
    if ((node = wk__yaml_find(stage->node, "adds"))) WK_TRY(wk__yaml_bool(l->file, node, NULL, &stage->adds));
    stage->scheduler = l->scheduler;
    stage->cfg = l->cfg;
    if ((node = wk__yaml_find(stage->node, "scheduler")))
        WK_TRY(wk__yaml_string(l->file, node, NULL, &stage->scheduler));
    if ((node = wk__yaml_find(stage->node, "cfg"))) WK_TRY(wk__yaml_string(l->file, node, NULL, &stage->cfg));
    if (stage->cache && !wk__yaml_find(stage->node, "outputs"))
        return wk__yaml_fail(l->file, stage->node, "stage \"%s\" has nothing to cache: it names no outputs",
                             stage->name);
    return WK_OK;
}

static wk_status make_stage(loader *l, const wk__yaml_node *node, const char *name, const wk__yaml_node *each, long k) {
    wk__stage *stage = push(l->p);
    if (!stage) return wk_error_code();
    size_t index = l->p->count - 1;
    stage->node = node;
    stage->each = each;
    stage->scope = l->scope;
    stage->prefix = l->prefix;
    stage->file = l->path;
    stage->written = wk__arena_text(&l->p->arena, "%s%s", l->prefix, name);
    stage->name = each ? wk__arena_text(&l->p->arena, "%s%s-%ld", l->prefix, name, k) : stage->written;
    if (!stage->written || !stage->name) return wk_error_code();
    for (size_t i = 0; i < index; i++)
        if (strcmp(l->p->stages[i].name, stage->name) == 0)
            return wk__yaml_fail(l->file, node, "two stages are named \"%s\"", stage->name);
    WK_TRY(read_after(l, stage, wk__yaml_find(node, "after")));
    WK_TRY(read_words(l, stage));
    return read_outputs(l, stage, wk__yaml_find(node, "outputs"));
}

/* A stage for each item of a list. */
static wk_status fan_out(loader *l, const wk__yaml_node *node, const char *name, const wk__yaml_node *each) {
    const wk__stage seen = { .scope = l->scope, .prefix = l->prefix, .name = name, .written = name };
    wk__yaml_node *list = wk__pipeline_fill(l->p, &seen, l->p->doc, each);
    long k = 0;
    if (!list) return wk_error_code();
    if (list->kind != WK__YAML_SEQUENCE)
        return wk__yaml_fail(l->file, each, "each must be a list, or ${{NAME}} of one");
    for (const wk__yaml_node *item = list->first; item; item = item->next, k++)
        WK_TRY(make_stage(l, node, name, item, k));
    return WK_OK;
}

/* ---- files ---- */

static wk_status override(wk__pipeline *p, wk__yaml_node *scope, const wk__yaml_node *given, const wk__yaml *file) {
    for (const wk__yaml_node *item = given ? given->first : NULL; item; item = item->next) {
        wk__yaml_node *there = wk__yaml_find(scope, item->key);
        if (!there) {
            const char *names[64];
            size_t count = 0;
            for (const wk__yaml_node *n = scope->first; n && count < WK_COUNT(names); n = n->next)
                names[count++] = n->key;
            const char *near = wk__nearest(item->key, names, count);
            return wk__yaml_fail(file, item, "no parameter \"%.80s\"%s%s%s", item->key, near ? "; did you mean \"" : "",
                                 near ? near : "", near ? "\"?" : "");
        }
        wk__yaml_node *copy = wk__yaml_copy(p->doc, item);
        if (!copy) return wk_error_code();
        copy->key = there->key;
        copy->next = there->next;
        if (there == scope->last) scope->last = there;
        *there = *copy;
    }
    return WK_OK;
}

static wk_status read_file(loader *l, const wk__yaml_node *given, const wk__yaml *given_by) {
    const wk__yaml_node *root = l->file->root;
    int64_t version = 0;
    if (!root) return wk_fail(WK_CONFIG, "%s: it is empty", l->file->name);
    WK_TRY(wk__yaml_map(l->file, root, "a pipeline"));
    WK_TRY(wk__yaml_known(l->file, root, "a pipeline", file_keys, WK_COUNT(file_keys)));
    const wk__yaml_node *node = wk__yaml_find(root, "version");
    if (!node) return wk__yaml_fail(l->file, root, "a pipeline has no version: version: 1");
    WK_TRY(wk__yaml_int(l->file, node, NULL, 1, 1, &version));
    const wk__yaml_node *parameters = wk__yaml_find(root, "parameters");
    wk__yaml_node *scope =
        parameters ? wk__yaml_copy(l->p->doc, parameters) : wk__yaml_new(l->p->doc, WK__YAML_MAPPING, NULL);
    if (!scope) return wk_error_code();
    WK_TRY(wk__yaml_map(l->file, scope, "parameters"));
    WK_TRY(override(l->p, scope, given, given_by));
    l->scope = scope;
    if ((node = wk__yaml_find(root, "scheduler"))) WK_TRY(wk__yaml_string(l->file, node, NULL, &l->scheduler));
    if ((node = wk__yaml_find(root, "cfg"))) WK_TRY(wk__yaml_string(l->file, node, NULL, &l->cfg));
    node = wk__yaml_find(root, "stages");
    if (!node) return wk__yaml_fail(l->file, root, "a pipeline has no stages");
    return read_stages(l, node);
}

/* A pipeline within this one: its stages are named after it. */
static wk_status include(loader *l, const wk__yaml_node *node, const char *name, const wk__yaml_node *which) {
    const char *word = NULL;
    const wk__stage seen = { .scope = l->scope, .prefix = l->prefix, .name = name, .written = name };
    WK_TRY(wk__yaml_string(l->file, which, NULL, &word));
    char *beside = wk_url_beside(l->path, word);
    const char *path = beside ? wk__arena_text(&l->p->arena, "%s", beside) : NULL;
    wk_free(beside);
    if (l->depth >= 8 || l->p->file_count == WK_COUNT(l->p->files))
        return wk__yaml_fail(l->file, which,
                             "pipelines lie within each other too deep (8), or there are too many (64)");
    wk__yaml *file = path ? wk__yaml_load(path) : NULL;
    if (!file) return wk_error_code();
    l->p->files[l->p->file_count++] = file;
    loader inner = { .p = l->p, .file = file, .scheduler = l->scheduler, .cfg = l->cfg, .depth = l->depth + 1 };
    inner.prefix = wk__arena_text(&l->p->arena, "%s%s.", l->prefix, name);
    inner.path = path;
    inner.begin = l->p->count;
    inner.first_after = SIZE_MAX;
    const wk__yaml_node *given = wk__yaml_find(node, "parameters");
    wk__yaml_node *filled = given ? wk__pipeline_fill(l->p, &seen, l->p->doc, given) : NULL;
    if (given && !filled) return wk_error_code();
    WK_TRY(read_file(&inner, filled, l->file));
    /* those that come after nothing in it come after what it comes after */
    for (size_t i = inner.begin; i < l->p->count; i++)
        if (!l->p->stages[i].after_count) WK_TRY(read_after(l, &l->p->stages[i], wk__yaml_find(node, "after")));
    return WK_OK;
}

static wk_status read_stage(loader *l, const wk__yaml_node *node) {
    const char *name = NULL;
    int ways = 0;
    WK_TRY(wk__yaml_map(l->file, node, "a stage"));
    WK_TRY(wk__yaml_known(l->file, node, "a stage", stage_keys, WK_COUNT(stage_keys)));
    const wk__yaml_node *item = wk__yaml_find(node, "name");
    if (!item) return wk__yaml_fail(l->file, node, "a stage has no name");
    WK_TRY(wk__yaml_string(l->file, item, NULL, &name));
    if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != strlen(name))
        return wk__yaml_fail(l->file, item, "the name of a stage is letters, digits, - and _, not \"%.80s\"", name);
    static const char *const what[] = { "app", "run", "pipeline" };
    for (size_t i = 0; i < WK_COUNT(what); i++) ways += wk__yaml_find(node, what[i]) != NULL;
    if (ways != 1)
        return wk__yaml_fail(l->file, node,
                             "stage \"%s\" needs one of app (an AppDef), run (a file or a component) and "
                             "pipeline",
                             name);
    if ((item = wk__yaml_find(node, "pipeline"))) return include(l, node, name, item);
    item = wk__yaml_find(node, "each");
    return item ? fan_out(l, node, name, item) : make_stage(l, node, name, NULL, 0);
}

static wk_status read_stages(loader *l, const wk__yaml_node *list) {
    WK_TRY(wk__yaml_list(l->file, list, "stages"));
    for (const wk__yaml_node *node = list->first; node; node = node->next) WK_TRY(read_stage(l, node));
    return WK_OK;
}

wk_status wk__pipeline_add(wk__pipeline *p, wk__yaml *file, const wk__yaml_node *list, const wk__stage *like,
                           size_t after) {
    loader l = { .p = p,
                 .file = file,
                 .scope = like->scope,
                 .prefix = like->prefix,
                 .path = like->file,
                 .scheduler = like->scheduler,
                 .cfg = like->cfg,
                 .first_after = after };
    return read_stages(&l, list);
}

/* ---- the whole ---- */

/* "NAME=VALUE", the value as YAML. */
static wk__yaml_node *read_parameters(wk__pipeline *p, const char *const *words, size_t count) {
    wk__yaml_node *map = wk__yaml_new(p->doc, WK__YAML_MAPPING, NULL);
    for (size_t i = 0; map && i < count; i++) {
        const char *equals = strchr(words[i], '=');
        if (!equals) return wk_fail_null(WK_CONFIG, "-p %s: expected NAME=VALUE", words[i]);
        const char *key = wk__arena_text(&p->arena, "%.*s", (int)(equals - words[i]), words[i]);
        wk__yaml *value = wk__yaml_parse(equals + 1, strlen(equals + 1), words[i]);
        wk__yaml_node *node = value && value->root ? wk__yaml_copy(p->doc, value->root)
                              : value              ? wk__yaml_new(p->doc, WK__YAML_SCALAR, "")
                                                   : NULL;
        wk__yaml_free(value);
        if (!node || !key || wk__yaml_append(p->doc, map, key, node) != WK_OK) return NULL;
        node->origin = wk__arena_text(&p->arena, "-p %s", words[i]);
    }
    return map;
}

static wk_status load(wk__pipeline *p, const char *path, const char *const *parameters, size_t count) {
    loader l = { .p = p, .file = p->doc, .prefix = "", .first_after = SIZE_MAX };
    l.path = wk__arena_text(&p->arena, "%s", path);
    const wk__yaml_node *name = p->doc->root ? wk__yaml_find(p->doc->root, "name") : NULL;
    const wk__yaml_node *fail_fast = p->doc->root ? wk__yaml_find(p->doc->root, "fail_fast") : NULL;
    p->name = "pipeline";
    if (name) WK_TRY(wk__yaml_string(p->doc, name, NULL, &p->name));
    if (fail_fast) WK_TRY(wk__yaml_bool(p->doc, fail_fast, NULL, &p->fail_fast));
    wk__yaml_node *given = read_parameters(p, parameters, count);
    if (!given) return wk_error_code();
    WK_TRY(read_file(&l, given, p->doc));
    return p->count ? WK_OK : wk_fail(WK_CONFIG, "%s: a pipeline without stages", path);
}

wk__pipeline *wk__pipeline_load(const char *path, const char *const *parameters, size_t count, const char *directory) {
    wk__pipeline *p = wk_alloc(sizeof *p);
    if (!p) return NULL;
    p->directory = wk__arena_text(&p->arena, "%s", directory);
    p->doc = p->directory ? wk__yaml_load(path) : NULL;
    if (p->doc && load(p, path, parameters, count) == WK_OK && !wk_failed()) return p;
    wk__pipeline_free(p);
    return NULL;
}

void wk__pipeline_free(wk__pipeline *p) {
    if (!p) return;
    for (size_t i = 0; i < p->file_count; i++) wk__yaml_free(p->files[i]);
    wk__yaml_free(p->doc);
    wk_free(p->stages);
    wk__arena_destroy(&p->arena);
    wk_free(p);
}
