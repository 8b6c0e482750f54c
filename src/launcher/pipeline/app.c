/* app.c: the AppDef of a stage: written in it, in a file, or made by a component; ${{…}} replaced.
 *
 * Its roles find WICK_PIPELINE, WICK_STAGE, the URL of each output in WICK_OUTPUT_NAME, and, where the stage may add
 * stages, the file for them in WICK_STAGES.
 */
#include "launcher/pipeline/pipeline.h"
#include "wick/files.h"

#include <ctype.h>
#include <string.h>

char *wk__pipeline_stages_file(const wk__pipeline *p, const wk__stage *stage) {
    return wk_format("%s/%s.stages.yaml", p->directory, stage->name);
}

/* ---- three ways ---- */

static wk_appdef *of_component(wk__pipeline *p, const wk__stage *stage, const char *name) {
    const wk__yaml_node *node = wk__yaml_find(stage->node, "arguments");
    wk__yaml scratch = { .name = p->doc->name };
    wk__yaml_node *list = node ? wk__pipeline_fill(p, stage, &scratch, node) : NULL;
    size_t count = list ? list->count : 0;
    char **argv = wk__arena_take(&p->arena, (count + 1) * sizeof *argv);
    size_t at = 0;
    if (list && wk__yaml_list(&scratch, list, "arguments") != WK_OK) argv = NULL;
    for (const wk__yaml_node *item = argv && list ? list->first : NULL; item; item = item->next)
        argv[at++] = wk__arena_text(&p->arena, "%s", item->text ? item->text : "");
    wk__arena_destroy(&scratch.arena);
    return argv && !wk_failed() ? wk_component_build(name, (int)at, argv) : NULL;
}

static wk_appdef *of_run(wk__pipeline *p, const wk__stage *stage, const wk__yaml_node *run) {
    wk__yaml scratch = { .name = p->doc->name };
    wk__yaml_node *filled = wk__pipeline_fill(p, stage, &scratch, run);
    const char *word = NULL;
    wk_appdef *app = NULL;
    if (filled && wk__yaml_string(p->doc, filled, "run", &word) == WK_OK) {
        size_t size = strlen(word);
        bool is_file = size > 5 && strcmp(word + size - 5, ".yaml") == 0;
        char *path = wk_url_beside(stage->file, word);
        if (path) app = is_file ? wk_appdef_compose(path, NULL, 0) : of_component(p, stage, word);
        wk_free(path);
    }
    wk__arena_destroy(&scratch.arena);
    return app;
}

/* ---- the tree that is run ---- */

static void put(wk__yaml *doc, wk__yaml_node *map, const char *key, const char *value) {
    wk__yaml_node *node = wk__yaml_find(map, key) ? NULL : wk__yaml_new(doc, WK__YAML_SCALAR, value);
    if (!node) return;
    node->quoted = true;
    (void)wk__yaml_append(doc, map, key, node);
}

static void put_environment(wk__pipeline *p, const wk__stage *stage, wk__yaml *doc, wk__yaml_node *role) {
    wk__yaml_node *env = wk__yaml_find(role, "env");
    char name[200];
    if (!env) {
        if (!(env = wk__yaml_new(doc, WK__YAML_MAPPING, NULL))) return;
        if (wk__yaml_append(doc, role, "env", env) != WK_OK) return;
    }
    put(doc, env, "WICK_PIPELINE", p->id ? p->id : p->name);
    put(doc, env, "WICK_STAGE", stage->name);
    for (size_t i = 0; i < stage->output_count; i++) {
        (void)snprintf(name, sizeof name, "WICK_OUTPUT_%.150s", stage->outputs[i].key);
        for (char *at = name; *at; at++) *at = isalnum((unsigned char)*at) ? (char)toupper((unsigned char)*at) : '_';
        put(doc, env, name, stage->outputs[i].value);
    }
    char *path = stage->adds ? wk__pipeline_stages_file(p, stage) : NULL;
    if (path) put(doc, env, "WICK_STAGES", path);
    wk_free(path);
}

/* `version` and `name` may be left out of an AppDef that stands in a stage. */
static wk__yaml_node *complete(wk__pipeline *p, const wk__stage *stage, wk__yaml *doc, wk__yaml_node *app) {
    wk__yaml_node *root = wk__yaml_new(doc, WK__YAML_MAPPING, NULL);
    wk__yaml_node *version = wk__yaml_new(doc, WK__YAML_SCALAR, "1");
    char name[64];
    (void)snprintf(name, sizeof name, "%.30s-%.30s", p->name, stage->name);
    for (char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("-_.", *at)) *at = '-';
    if (!root || !version) return NULL;
    if (!wk__yaml_find(app, "version") && wk__yaml_append(doc, root, "version", version) != WK_OK) return NULL;
    if (!wk__yaml_find(app, "name")) put(doc, root, "name", name);
    for (wk__yaml_node *child = app->first, *next; child; child = next) {
        next = child->next;
        child->next = NULL;
        if (wk__yaml_append(doc, root, child->key, child) != WK_OK) return NULL;
    }
    const wk__yaml_node *roles = wk__yaml_find(root, "roles");
    for (wk__yaml_node *role = roles ? roles->first : NULL; role; role = role->next)
        if (role->kind == WK__YAML_MAPPING) put_environment(p, stage, doc, role);
    return root;
}

wk_appdef *wk__pipeline_app(wk__pipeline *p, wk__stage *stage) {
    wk__yaml scratch = { .name = p->doc->name };
    const wk__yaml_node *written = wk__yaml_find(stage->node, "app");
    wk_appdef *given = written ? NULL : of_run(p, stage, wk__yaml_find(stage->node, "run"));
    const wk__yaml_node *from = written ? written : given ? given->document->root : NULL;
    wk__yaml_node *filled = from ? wk__pipeline_fill(p, stage, &scratch, from) : NULL;
    wk_appdef *app = NULL;
    if (filled && wk__yaml_map(p->doc, filled, "app") == WK_OK) {
        wk__yaml_node *root = complete(p, stage, &scratch, filled);
        char *text = root && !wk_failed() ? wk__yaml_dump(root) : NULL;
        if (text) app = wk_appdef_parse(text, strlen(text), stage->name);
        if (!app) wk_error_prefix("stage \"%s\"", stage->name);
        wk_free(text);
    }
    wk_appdef_free(given);
    wk__arena_destroy(&scratch.arena);
    return app;
}
