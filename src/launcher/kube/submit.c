/* submit.c: an app to the cluster.
 *
 * First the server checks every object without creating any; then they are created, what others refer to first.  An
 * object that is there already and bears our app's name is ours: the answer to an earlier try was lost.  Secret and
 * Service are given to the first object that runs pods, so that they go when it is deleted by whatever hand.
 */
#include "launcher/kube/kube.h"
#include "wick/scheduler.h"

#include <jansson.h>
#include <string.h>

/* The next document of a manifest. */
static bool next_document(const char **at, const char **begin, size_t *size) {
    static const char bar[] = "---\n";
    if (!**at) return false;
    *begin = *at;
    const char *end = strncmp(*at, bar, sizeof bar - 1) == 0 ? *at : strstr(*at, "\n---\n");
    *size = end ? (size_t)(end + 1 - *at) : strlen(*at);
    *at += *size + (end ? sizeof bar - 1 : 0);
    return true;
}

/* What the printed Secret shows as ***. */
static void fill_secret(const wk_request *r, json_t *object) {
    json_t *data = json_object_get(object, "stringData");
    for (size_t i = 0; i < r->role_count; i++) {
        const wk__program *p = &r->roles[i].programs[0];
        for (size_t k = 0; k < p->env_count; k++) {
            char key[300];
            (void)snprintf(key, sizeof key, "%zu.%s", i, p->env[k].key);
            if (json_object_get(data, key)) (void)json_object_set_new(data, key, json_string(p->env[k].value));
        }
    }
}

/* All objects, as an array. */
static json_t *read_manifest(const wk_request *r) {
    json_t *objects = json_array();
    const char *at = r->script;
    const char *begin = NULL;
    size_t size = 0;
    while (!wk_failed() && next_document(&at, &begin, &size)) {
        wk__yaml *doc = wk__yaml_parse(begin, size, "manifest");
        json_t *object = doc && doc->root ? wk__json_of(doc->root) : NULL;
        wk__yaml_free(doc);
        const char *kind = json_string_value(json_object_get(object, "kind"));
        if (kind && strcmp(kind, "Secret") == 0) fill_secret(r, object);
        if (object) (void)json_array_append_new(objects, object);
    }
    if (!wk_failed()) return objects;
    json_decref(objects);
    return NULL;
}

static const char *text_in(const json_t *object, const char *map, const char *key) {
    const char *text = json_string_value(json_object_get(map ? json_object_get(object, map) : object, key));
    return text ? text : "";
}

/* Its place: the collection, or itself. */
static char *path_of(const json_t *object, const char *after) {
    const char *api_version = text_in(object, NULL, "apiVersion");
    const char *kind = text_in(object, NULL, "kind");
    const wk__kube_type *type = wk__kube_type_named(api_version, kind);
    if (!type) return wk_fail_null(WK_UNSUPPORTED, "kubernetes: wick submits no %s of %s", kind, api_version);
    return wk_format("%s%s/%s%s", type->folder, text_in(object, "metadata", "namespace"), type->plural, after);
}

static bool is_ours(const json_t *object, const char *name) {
    const json_t *labels = json_object_get(json_object_get(object, "metadata"), "labels");
    return strcmp(text_in(labels, NULL, "app.kubernetes.io/instance"), name) == 0;
}

static wk_status already_there(wk__kube *k, const json_t *object, const wk__kube_app *app, json_t **made) {
    char *after = wk_format("/%s", text_in(object, "metadata", "name"));
    char *path = after ? path_of(object, after) : NULL;
    wk_status status = path ? wk__kube_call(k, "GET", path, NULL, 0, NULL, made) : wk_error_code();
    if (status == WK_OK && !is_ours(*made, app->name))
        status = wk_fail(WK_EXISTS, "kubernetes: there is another %s named %s", text_in(object, NULL, "kind"),
                         text_in(object, "metadata", "name"));
    wk_free(after);
    wk_free(path);
    return status;
}

static wk_status create(wk__kube *k, const json_t *object, const wk__kube_app *app, bool only_check, json_t **made) {
    long status = 0;
    char *path = path_of(object, only_check ? "?dryRun=All" : "");
    wk_status done = path ? wk__kube_call(k, "POST", path, object, 409, &status, made) : wk_error_code();
    wk_free(path);
    if (done != WK_OK || status != 409) return done;
    json_decref(*made);
    *made = NULL;
    return already_there(k, object, app, made);
}

/* A Secret or Service belongs to what runs pods. */
static void give_to(wk__kube *k, const json_t *object, const json_t *owner) {
    char *after = wk_format("/%s", text_in(object, "metadata", "name"));
    char *path = after ? path_of(object, after) : NULL;
    json_t *patch = json_pack("{s:{s:[{s:s,s:s,s:s,s:s}]}}", "metadata", "ownerReferences", "apiVersion",
                              text_in(owner, NULL, "apiVersion"), "kind", text_in(owner, NULL, "kind"), "name",
                              text_in(owner, "metadata", "name"), "uid", text_in(owner, "metadata", "uid"));
    if (!path || !patch || wk__kube_call(k, "PATCH", path, patch, 0, NULL, NULL) != WK_OK) {
        wk_log_write(WK_LOG_WARNING, "%s", wk_message()); /* then `wick delete` removes it */
        wk_clear_error();
    }
    json_decref(patch);
    wk_free(path);
    wk_free(after);
}

static bool runs_pods(const json_t *object) {
    const char *kind = text_in(object, NULL, "kind");
    return strcmp(kind, "Secret") != 0 && strcmp(kind, "Service") != 0;
}

static wk_status create_all(wk__kube *k, const json_t *objects, const wk__kube_app *app, bool only_check) {
    json_t *owner = NULL;
    wk_status status = WK_OK;
    for (size_t i = 0; i < json_array_size(objects) && status == WK_OK; i++) {
        const json_t *object = json_array_get(objects, i);
        json_t *made = NULL;
        status = create(k, object, app, only_check, &made);
        if (status == WK_OK && !owner && runs_pods(object))
            owner = made;
        else
            json_decref(made);
    }
    for (size_t i = 0; i < json_array_size(objects) && status == WK_OK && !only_check; i++)
        if (!runs_pods(json_array_get(objects, i))) give_to(k, json_array_get(objects, i), owner);
    json_decref(owner);
    return status;
}

static wk_status keep(const wk_request *r, const wk__kube_app *app) {
    WK_TRY(wk_request_store(r));
    char *path = wk__app_path(r->app_id, "manifest.yaml");
    wk_status status = path ? wk__write_file(path, r->script, strlen(r->script)) : wk_error_code();
    wk_free(path);
    return status == WK_OK ? wk__kube_app_write(app) : status;
}

wk_status wk__kube_schedule(wk_request *r) {
    wk__kube_app app = { 0 };
    (void)snprintf(app.app_id, sizeof app.app_id, "%s", r->app_id);
    (void)snprintf(app.name, sizeof app.name, "%s", r->cluster[1]);
    (void)snprintf(app.name_space, sizeof app.name_space, "%s", r->cluster[2]);
    (void)snprintf(app.kubeconfig, sizeof app.kubeconfig, "%s", r->cluster[3]);
    (void)snprintf(app.context, sizeof app.context, "%s", r->cluster[4]);
    for (int i = 0; i < WK__KUBE_KINDS; i++)
        if (strcmp(r->cluster[0], wk__kube_kind_names[i]) == 0) app.kind = (wk__kube_kind)i;
    wk__kube *k = wk__kube_of(&app);
    json_t *objects = k ? read_manifest(r) : NULL;
    wk_status status = objects ? WK_OK : wk_error_code();
    if (status == WK_OK && r->preflight) status = create_all(k, objects, &app, true);
    if (status == WK_OK) status = keep(r, &app);
    if (status == WK_OK) status = create_all(k, objects, &app, false);
    json_decref(objects);
    wk__store *store = status == WK_OK ? wk__store_open() : NULL;
    if (store) status = wk__store_update(store, r->app_id, WK_APP_SUBMITTED, 0, NULL);
    wk__store_close(store);
    return status;
}
