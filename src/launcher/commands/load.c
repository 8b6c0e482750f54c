/* load.c: what `wick run` runs: a file, or a component with its arguments; with what the configuration adds. */
#include "launcher/commands/run.h"
#include "launcher/component/component.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool wk__is_file(const char *what) {
    size_t size = strlen(what);
    return !wk__component_is_path(what)
           && (strchr(what, '/') || (size > 5 && strcmp(what + size - 5, ".yaml") == 0)
               || (size > 4 && strcmp(what + size - 4, ".yml") == 0));
}

/* "… did you mean "utils.echo"?" */
static wk_appdef *nothing_like(const char *what) {
    wk__component_entry *entries = NULL;
    size_t count = 0;
    wk_clear_error();
    if (wk__component_list(&entries, &count) != WK_OK) return NULL;
    const char **names = wk_alloc((count + 1) * sizeof *names);
    size_t known = 0;
    for (size_t i = 0; names && i < count; i++)
        if (!entries[i].broken) names[known++] = entries[i].name;
    const char *nearest = names ? wk__nearest(what, names, known) : NULL;
    if (nearest)
        (void)wk_fail(WK_NOT_FOUND, "\"%s\" is neither a file nor a component; did you mean \"%s\"?", what, nearest);
    else
        (void)wk_fail(WK_NOT_FOUND, "\"%s\" is neither a file nor a component (wick builtins lists those)", what);
    wk_free(names);
    wk_free(entries);
    return NULL;
}

static wk_appdef *load_file(const wk__run_options *o) {
    if (o->rest_count)
        return wk_fail_null(WK_CONFIG, "%s: arguments after -- are for components; a file has its own \"args\"",
                            o->what);
    return wk_appdef_compose(o->what, o->overrides, o->override_count);
}

/* The component's parameters, what the configuration says of them, and for which scheduler it is made. */
static wk_appdef *build(wk__run_options *o, const wk__component *c) {
    const wk_pair *pairs = NULL;
    size_t count = 0;
    char *section = wk_format("component:%s", c->name);
    wk_status status = section ? wk__config_section(o->config, section, &pairs, &count) : wk_error_code();
    wk_free(section);
    const wk_scheduler_ops *made_for = !o->scheduler && c->scheduler ? wk_scheduler(c->scheduler) : NULL;
    if (made_for) o->scheduler = made_for->name;
    if (status == WK_OK && o->override_count)
        (void)wk_fail(WK_CONFIG, "-o changes a file; %s has parameters (wick run %s --help)", c->name, c->name);
    return wk_failed() ? NULL : wk__component_build(c, o->rest_count, o->rest, pairs, count);
}

static wk_appdef *load(wk__run_options *o) {
    if (wk__is_file(o->what)) return load_file(o);
    wk__component *c = wk__component_find(o->what);
    if (!c && wk_error_code() == WK_NOT_FOUND && !wk__component_is_path(o->what)) {
        wk_clear_error();
        return access(o->what, F_OK) == 0 ? load_file(o) : nothing_like(o->what);
    }
    wk_appdef *app = c ? build(o, c) : NULL;
    wk__component_free(c);
    return app;
}

int wk__run_component_help(const char *what) {
    wk__component *c = wk__component_find(what);
    char *text = c ? wk__component_help(c) : NULL;
    if (text) (void)fputs(text, stdout);
    wk_free(text);
    wk__component_free(c);
    if (!wk_failed()) return 0;
    (void)wk_report(stderr);
    return 2;
}

/* ---- what the run adds ---- */

/* A variable of every role, unless the role sets it. */
static wk_status add_variable(wk_appdef *app, const char *name, const char *value) {
    wk__yaml *doc = app->document;
    for (wk__yaml_node *role = wk__yaml_find(doc->root, "roles")->first; role; role = role->next) {
        wk__yaml_node *env = wk__yaml_find(role, "env");
        if (!env) {
            if (!(env = wk__yaml_new(doc, WK__YAML_MAPPING, NULL))) return wk_error_code();
            WK_TRY(wk__yaml_append(doc, role, "env", env));
        }
        if (wk__yaml_find(env, name)) continue;
        wk__yaml_node *node = wk__yaml_new(doc, WK__YAML_SCALAR, value);
        if (!node) return wk_error_code();
        node->quoted = true;
        WK_TRY(wk__yaml_append(doc, env, name, node));
    }
    return WK_OK;
}

/* [torchx:tracker] NAME = …: the job is told their names, and each one's configuration. */
static wk_status add_trackers(wk_appdef *app, wk__config *config) {
    const wk_pair *trackers = NULL;
    size_t count = 0;
    wk_text names = { 0 };
    WK_TRY(wk__config_section(config, "torchx:tracker", &trackers, &count));
    wk_status status = WK_OK;
    for (size_t i = 0; i < count && status == WK_OK; i++) {
        char section[160];
        char variable[200];
        (void)snprintf(section, sizeof section, "tracker:%.120s", trackers[i].key);
        (void)snprintf(variable, sizeof variable, "TORCHX_TRACKER_%.120s_CONFIG", trackers[i].key);
        for (char *at = variable; *at; at++)
            if (*at >= 'a' && *at <= 'z') *at = (char)(*at - 'a' + 'A');
        const char *value = wk__config_get(config, section, "config");
        wk_text_printf(&names, "%s%s", i ? "," : "", trackers[i].key);
        if (value) status = add_variable(app, variable, value);
    }
    if (status == WK_OK && count) status = add_variable(app, "TORCHX_TRACKERS", wk_text_get(&names));
    wk_text_free(&names);
    return status;
}

/* The workspace of the first role, as in TorchX; "" takes it away. */
static wk_status set_workspace(wk_appdef *app, const char *folder) {
    wk__yaml *doc = app->document;
    wk__yaml_node *role = wk__yaml_find(doc->root, "roles")->first;
    wk__yaml_node *node = wk__yaml_find(role, "workspace");
    if (!node) {
        if (!(node = wk__yaml_new(doc, WK__YAML_SCALAR, folder))) return wk_error_code();
        WK_TRY(wk__yaml_append(doc, role, "workspace", node));
    } else {
        node->kind = WK__YAML_SCALAR;
        node->first = node->last = NULL;
        node->count = 0;
        if (!(node->text = wk__arena_text(&doc->arena, "%s", folder))) return wk_error_code();
    }
    node->quoted = true;
    return WK_OK;
}

/* A name for this call that an outer one may have given already. */
static const char *session_id(const wk__run_options *o) {
    static char id[40];
    unsigned char b[16] = { 0 };
    const char *given = getenv("TORCHX_INTERNAL_SESSION_ID");
    if (given && *given) return given;
    if (o->dryrun) return "drawn-at-each-run";
    FILE *random = fopen("/dev/urandom", "rbe");
    if (random) (void)!fread(b, sizeof b, 1, random);
    if (random) (void)fclose(random);
    b[6] = (unsigned char)((b[6] & 0x0F) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3F) | 0x80);
    (void)snprintf(id, sizeof id, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
                   b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    return id;
}

static wk_status complete(wk__run_options *o, wk_appdef *app) {
    const char *parent = getenv("TORCHX_PARENT_RUN_ID");
    const char *workspace = o->workspace ? o->workspace : wk__config_get(o->config, "cli:run", "workspace");
    if (!parent || !*parent) parent = o->parent_run_id;
    if (workspace) WK_TRY(set_workspace(app, workspace));
    WK_TRY(add_variable(app, "TORCHX_INTERNAL_SESSION_ID", session_id(o)));
    if (parent) WK_TRY(add_variable(app, "TORCHX_PARENT_RUN_ID", parent));
    return add_trackers(app, o->config);
}

wk_appdef *wk__run_load(wk__run_options *o) {
    wk_appdef *app = load(o);
    if (!o->scheduler) o->scheduler = wk__config_get(o->config, "cli:run", "scheduler");
    if (!o->scheduler) o->scheduler = "local";
    if (!app) return NULL;
    if (complete(o, app) != WK_OK) {
        wk_appdef_free(app);
        return NULL;
    }
    wk__yaml *doc = app->document; /* the view anew, since the tree has changed */
    return wk__appdef_from(doc);
}
