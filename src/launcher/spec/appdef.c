/* appdef.c: an AppDef out of YAML, version 1.
 *
 * An AppDef is a checked view of its YAML document: the fields point into the tree, and the tree stays.  So a copy is
 * a copy of the tree, a dump is a dump of the tree, and what a scheduler does not understand is still there to be
 * named.  Field names are TorchX's, which has no file format of its own; checks name line, column and the nearest
 * known word, because a misspelled key that is dropped costs a night on a cluster.
 */
#include "launcher/launcher.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { MOST_REPLICAS = 100000, MOST_NAME = 63 };

static const char *const app_keys[] = { "version", "name", "metadata", "roles" };
static const char *const role_keys[] = { "name",         "image",        "entrypoint",  "args",         "env",
                                         "num_replicas", "min_replicas", "max_retries", "retry_policy", "resource",
                                         "port_map",     "mounts",       "metadata",    "workspace" };
static const char *const policies[] = { "APPLICATION", "ROLE", "REPLICA" };

/* A role's name becomes a folder of the log tree and an application context of mpirun. */
bool wk__is_role_name(const char *text) {
    size_t size = strlen(text);
    if (size == 0 || size > MOST_NAME || !isalnum((unsigned char)text[0])) return false;
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("-_.", text[i])) return false;
    return true;
}

/* A list of texts. */
static wk_status read_texts(wk__yaml *doc, const wk__yaml_node *list, const char ***out, size_t *count) {
    *count = 0;
    if (!list) return WK_OK;
    WK_TRY(wk__yaml_list(doc, list, NULL));
    const char **texts = wk__arena_take(&doc->arena, (list->count + 1) * sizeof *texts);
    if (!texts) return wk_error_code();
    for (const wk__yaml_node *item = list->first; item; item = item->next)
        WK_TRY(wk__yaml_string(doc, item, "an item of args", &texts[(*count)++]));
    *out = texts;
    return WK_OK;
}

/* A mapping from text to text; with `ports`, to port numbers. */
static wk_status read_pairs(wk__yaml *doc, const wk__yaml_node *map, bool ports, wk_pair **out, size_t *count) {
    *count = 0;
    if (!map) return WK_OK;
    WK_TRY(wk__yaml_map(doc, map, NULL));
    wk_pair *pairs = wk__arena_take(&doc->arena, (map->count + 1) * sizeof *pairs);
    if (!pairs) return wk_error_code();
    for (const wk__yaml_node *item = map->first; item; item = item->next) {
        int64_t port = 0;
        char what[128];
        (void)snprintf(what, sizeof what, "%s.%.80s", map->key, item->key);
        if (ports) WK_TRY(wk__yaml_int(doc, item, what, 1, 65535, &port));
        if (!ports && (item->key[0] == '\0' || strchr(item->key, '=')))
            return wk__yaml_fail_key(doc, item, "\"%.80s\" is no name of an environment variable", item->key);
        pairs[*count].key = item->key;
        WK_TRY(wk__yaml_string(doc, item, what, &pairs[*count].value));
        (*count)++;
    }
    *out = pairs;
    return WK_OK;
}

static wk_status read_text(wk__yaml *doc, const wk__yaml_node *map, const char *key, const char **out) {
    const wk__yaml_node *node = wk__yaml_find(map, key);
    return node ? wk__yaml_string(doc, node, NULL, out) : WK_OK;
}

static wk_status read_number(wk__yaml *doc, const wk__yaml_node *map, const char *key, int64_t least, int64_t most,
                             int64_t *out) {
    const wk__yaml_node *node = wk__yaml_find(map, key);
    return node ? wk__yaml_int(doc, node, NULL, least, most, out) : WK_OK;
}

wk_status wk__yaml_choice(wk__yaml *doc, const wk__yaml_node *node, const char *const *words, size_t count,
                          size_t *out) {
    const char *text = NULL;
    WK_TRY(wk__yaml_string(doc, node, NULL, &text));
    for (*out = 0; *out < count; (*out)++)
        if (strcmp(text, words[*out]) == 0) return WK_OK;
    const char *nearest = wk__nearest(text, words, count);
    wk_text known = { 0 };
    for (size_t i = 0; i < count; i++)
        wk_text_printf(&known, "%s%s", i == 0 ? "" : i + 1 == count ? " or " : ", ", words[i]);
    wk_status status =
        wk__yaml_fail(doc, node, "%s must be %s, not \"%.80s\"%s%s%s", node->key, wk_text_get(&known), text,
                      nearest ? "; did you mean \"" : "", nearest ? nearest : "", nearest ? "\"?" : "");
    wk_text_free(&known);
    return status;
}

/* What is neither number nor text and only passed on. */
static wk_status read_rest(wk__yaml *doc, wk__yaml_node *node, const char *where, wk_role *role) {
    WK_TRY(wk__resource_read(doc, wk__yaml_find(node, "resource"), where, &role->resource));
    WK_TRY(wk__mounts_read(doc, wk__yaml_find(node, "mounts"), where, role));
    WK_TRY(wk__workspace_read(doc, wk__yaml_find(node, "workspace"), role));
    if ((role->metadata = wk__yaml_find(node, "metadata"))) WK_TRY(wk__yaml_map(doc, role->metadata, NULL));
    const wk__yaml_node *policy = wk__yaml_find(node, "retry_policy");
    size_t index = 0;
    if (policy) WK_TRY(wk__yaml_choice(doc, policy, policies, WK_COUNT(policies), &index));
    role->retry_policy = (wk_retry_policy)index;
    return WK_OK;
}

static wk_status read_role(wk__yaml *doc, wk__yaml_node *node, size_t index, wk_role *role) {
    char where[96];
    (void)snprintf(where, sizeof where, "role %zu", index + 1);
    *role = (wk_role){ .image = "", .num_replicas = 1 };
    WK_TRY(wk__yaml_map(doc, node, where));
    const wk__yaml_node *name = wk__yaml_find(node, "name");
    if (name) {
        WK_TRY(wk__yaml_string(doc, name, NULL, &role->name));
        if (!wk__is_role_name(role->name))
            return wk__yaml_fail(doc, name,
                                 "\"%.80s\" is no name for a role: letters, digits, - _ . and at most %d of them",
                                 role->name, MOST_NAME);
        (void)snprintf(where, sizeof where, "role \"%s\"", role->name);
    }
    WK_TRY(wk__yaml_known(doc, node, where, role_keys, WK_COUNT(role_keys)));
    if (!name) return wk__yaml_fail(doc, node, "%s has no name", where);
    WK_TRY(read_text(doc, node, "image", &role->image));
    WK_TRY(read_text(doc, node, "entrypoint", &role->entrypoint));
    if (!role->entrypoint || !*role->entrypoint)
        return wk__yaml_fail(doc, node, "%s has no entrypoint (the program to run)", where);
    WK_TRY(read_texts(doc, wk__yaml_find(node, "args"), &role->args, &role->arg_count));
    WK_TRY(read_pairs(doc, wk__yaml_find(node, "env"), false, &role->env, &role->env_count));
    WK_TRY(read_pairs(doc, wk__yaml_find(node, "port_map"), true, &role->port_map, &role->port_count));
    WK_TRY(read_number(doc, node, "num_replicas", 1, MOST_REPLICAS, &role->num_replicas));
    WK_TRY(read_number(doc, node, "min_replicas", 1, role->num_replicas, &role->min_replicas));
    WK_TRY(read_number(doc, node, "max_retries", 0, INT32_MAX, &role->max_retries));
    return read_rest(doc, node, where, role);
}

static wk_status read_roles(wk__yaml *doc, const wk__yaml_node *list, wk_appdef *app) {
    if (!list || (list->kind == WK__YAML_SEQUENCE && list->count == 0))
        return wk__yaml_fail(doc, list ? list : doc->root, "an AppDef needs at least one role under \"roles\"");
    WK_TRY(wk__yaml_list(doc, list, NULL));
    app->roles = wk__arena_take(&doc->arena, list->count * sizeof *app->roles);
    if (!app->roles) return wk_error_code();
    for (wk__yaml_node *node = list->first; node; node = node->next) {
        wk_role *role = &app->roles[app->role_count];
        WK_TRY(read_role(doc, node, app->role_count, role));
        for (size_t i = 0; i < app->role_count; i++)
            if (strcmp(app->roles[i].name, role->name) == 0)
                return wk__yaml_fail(doc, wk__yaml_find(node, "name"),
                                     "duplicate role \"%s\"; each role needs its own name", role->name);
        app->role_count++;
    }
    return WK_OK;
}

static wk_status read_app(wk__yaml *doc, wk_appdef *app) {
    int64_t version = 0;
    if (!doc->root) return wk_fail(WK_CONFIG, "%s: empty; an AppDef has version, name and roles", doc->name);
    WK_TRY(wk__yaml_map(doc, doc->root, "an AppDef"));
    WK_TRY(wk__yaml_known(doc, doc->root, "the AppDef", app_keys, WK_COUNT(app_keys)));
    const wk__yaml_node *node = wk__yaml_find(doc->root, "version");
    if (!node) return wk__yaml_fail(doc, doc->root, "no version; begin the file with \"version: 1\"");
    WK_TRY(wk__yaml_int(doc, node, NULL, 1, INT32_MAX, &version));
    if (version != 1) return wk__yaml_fail(doc, node, "version %lld; this wick reads version 1", (long long)version);
    WK_TRY(read_text(doc, doc->root, "name", &app->name));
    if (!app->name || !*app->name) return wk__yaml_fail(doc, doc->root, "the AppDef has no name");
    if (strlen(app->name) > MOST_NAME)
        return wk__yaml_fail(doc, wk__yaml_find(doc->root, "name"), "the name has more than %d characters", MOST_NAME);
    if ((app->metadata = wk__yaml_find(doc->root, "metadata"))) WK_TRY(wk__yaml_map(doc, app->metadata, NULL));
    return read_roles(doc, wk__yaml_find(doc->root, "roles"), app);
}

wk_appdef *wk__appdef_from(wk__yaml *document) {
    if (!document) return NULL;
    wk_appdef *app = wk__arena_take(&document->arena, sizeof *app);
    if (app) {
        *app = (wk_appdef){ .document = document };
        if (read_app(document, app) == WK_OK) return app;
    }
    wk__yaml_free(document);
    return NULL;
}

void wk_appdef_free(wk_appdef *app) {
    if (app) wk__yaml_free(app->document);
}

/* ---- dump, and what a scheduler leaves out ---- */

bool wk__is_secret(const char *env_name) {
    static const char *const parts[] = { "TOKEN", "PASSWORD", "PASSWD", "SECRET", "KEY", "CREDENTIAL" };
    for (size_t i = 0; i < WK_COUNT(parts); i++)
        if (strcasestr(env_name, parts[i])) return true;
    return false;
}

static void mask(wk__yaml_node *role) {
    wk__yaml_node *env = wk__yaml_find(role, "env");
    for (wk__yaml_node *value = env ? env->first : NULL; value; value = value->next)
        if (wk__is_secret(value->key)) {
            value->text = "***";
            value->quoted = true;
        }
}

static void leave_out(wk__yaml_node *role) {
    wk__yaml_node *env = wk__yaml_find(role, "env"), *last = NULL;
    for (wk__yaml_node **at = env ? &env->first : NULL; at && *at;) {
        if (wk__is_secret((*at)->key)) {
            *at = (*at)->next;
            env->count--;
            continue;
        }
        last = *at;
        at = &last->next;
    }
    if (env) env->last = last;
}

/* `secrets`: what becomes of a role's; NULL: nothing. */
static char *dump(const wk_appdef *app, void (*secrets)(wk__yaml_node *role)) {
    char *text = NULL;
    wk__yaml copy = { .name = "copy" };
    wk__yaml_node *root = wk__yaml_copy(&copy, app->document->root);
    if (root) {
        wk__yaml_node *roles = wk__yaml_find(root, "roles");
        for (wk__yaml_node *role = roles->first; role && secrets; role = role->next) secrets(role);
        text = wk__yaml_dump(root);
    }
    wk__arena_destroy(&copy.arena);
    return text;
}

char *wk_appdef_dump(const wk_appdef *app) {
    return dump(app, mask);
}

char *wk__appdef_dump_without_secrets(const wk_appdef *app) {
    return dump(app, leave_out);
}

wk_status wk_appdef_save(const wk_appdef *app, const char *path) {
    char *text = dump(app, NULL);
    wk_status status = text ? wk__write_file(path, text, strlen(text)) : wk_error_code();
    wk_free(text);
    return status;
}

static bool honours(const wk_scheduler_ops *scheduler, const char *key) {
    for (const char *const *at = scheduler->honoured; at && *at; at++)
        if (strcmp(*at, key) == 0) return true;
    return false;
}

void wk__appdef_say_ignored(const wk_appdef *app, const wk_scheduler_ops *scheduler) {
    static const char *const keys[] = { "image",
                                        "min_replicas",
                                        "resource.cpu",
                                        "resource.gpu",
                                        "resource.memMB",
                                        "resource.capabilities",
                                        "resource.devices",
                                        "port_map",
                                        "mounts",
                                        "workspace" };
    for (size_t k = 0; k < WK_COUNT(keys); k++)
        for (size_t i = 0; i < app->role_count; i++) {
            const wk_role *r = &app->roles[i];
            const bool said[] = { *r->image,
                                  r->min_replicas
                                      && r->min_replicas<r->num_replicas, r->resource.cpu >= 0, r->resource.gpu> 0,
                                  r->resource.memory_mb >= 0,
                                  r->resource.capability_count > 0,
                                  r->resource.device_count > 0,
                                  r->port_count > 0,
                                  r->mount_count > 0,
                                  r->workspace_count > 0 };
            if (!said[k] || honours(scheduler, keys[k])) continue;
            const bool is_elastic = strcmp(keys[k], "min_replicas") == 0;
            wk_log_write(WK_LOG_WARNING, "%s ignores %s%s", scheduler->name, keys[k],
                         is_elastic ? ": it starts all replicas or none; to go on with fewer run `wick agent --nnodes "
                                      "MIN:MAX` on each node"
                                    : "");
            break;
        }
    for (size_t i = 0; i < app->role_count; i++)
        if (app->roles[i].retry_policy != WK_RETRY_APPLICATION && !honours(scheduler, "retry_policy")) {
            wk_log_write(WK_LOG_WARNING, "%s restarts the whole app (retry_policy APPLICATION) in place of %s",
                         scheduler->name, policies[app->roles[i].retry_policy]);
            break;
        }
}
