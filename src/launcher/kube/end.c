/* end.c: cancel and delete.
 *
 * Cancelling suspends, which each kind of object knows in its own place; of a Volcano Job a Command asks its controller
 * to abort it, as `vcctl` does.  Deleting takes everything that bears the app's name.
 */
#include "launcher/kube/kube.h"

#include <jansson.h>
#include <string.h>

static char *path_of(const wk__kube_app *app, const wk__kube_type *type, const char *name) {
    return wk_format("%s%s/%s/%s", type->folder, app->name_space, type->plural, name);
}

static wk_status suspend(wk__kube *k, const wk__kube_app *app, const char *name) {
    char *path = path_of(app, wk__kube_type_of(app->kind), name);
    json_t *patch = app->kind == WK__KUBE_MPIJOB ? json_pack("{s:{s:{s:b}}}", "spec", "runPolicy", "suspend", 1)
                                                 : json_pack("{s:{s:b}}", "spec", "suspend", 1);
    wk_status status = path && patch ? wk__kube_call(k, "PATCH", path, patch, 404, NULL, NULL)
                                     : wk_fail(WK_NO_MEMORY, "kubernetes: no memory for a request");
    json_decref(patch);
    wk_free(path);
    return status;
}

static wk_status command(wk__kube *k, const wk__kube_app *app, const char *name, const json_t *object) {
    const char *uid = json_string_value(json_object_get(json_object_get(object, "metadata"), "uid"));
    char *path = wk_format("/apis/bus.volcano.sh/v1alpha1/namespaces/%s/commands", app->name_space);
    json_t *target = json_pack("{s:s,s:s,s:s,s:s,s:b}", "apiVersion", "batch.volcano.sh/v1alpha1", "kind", "Job",
                               "name", name, "uid", uid ? uid : "", "controller", 1);
    json_t *body = json_pack("{s:s,s:s,s:{s:s+,s:s,s:[O]},s:s,s:O}", "apiVersion", "bus.volcano.sh/v1alpha1", "kind",
                             "Command", "metadata", "generateName", name, "-abort-", "namespace", app->name_space,
                             "ownerReferences", target, "action", "AbortJob", "target", target);
    wk_status status = path && body ? wk__kube_call(k, "POST", path, body, 0, NULL, NULL)
                                    : wk_fail(WK_NO_MEMORY, "kubernetes: no memory for a request");
    json_decref(body);
    json_decref(target);
    wk_free(path);
    return status;
}

wk_status wk__kube_cancel(const char *app_id) {
    wk__kube_app app;
    const json_t *objects = NULL;
    const char *name = NULL;
    json_t *object = NULL;
    wk_app_status *now = wk__kube_describe(app_id);
    if (!now) return wk_error_code();
    bool over = wk_app_state_is_terminal(now->state);
    wk_app_status_free(now);
    char *path = wk__app_path(app_id, "cancel");
    wk_status status = !path ? wk_error_code() : over ? WK_OK : wk__write_file(path, "cancel\n", 7);
    wk_free(path);
    if (status != WK_OK || over || !wk__kube_app_read(app_id, &app)) return status;
    wk__kube *k = wk__kube_of(&app);
    status = k ? wk__kube_look(k, &app, false, false, &objects) : wk_error_code();
    json_object_foreach((json_t *)(uintptr_t)objects, name, object) if (status == WK_OK) status =
        app.kind == WK__KUBE_VOLCANO ? command(k, &app, name, object) : suspend(k, &app, name);
    return status;
}

static wk_status remove_one(wk__kube *k, const wk__kube_app *app, const wk__kube_type *type, const char *name) {
    char *plain = path_of(app, type, name);
    char *path = plain ? wk_format("%s?propagationPolicy=Background", plain) : NULL;
    wk_status status = path ? wk__kube_call(k, "DELETE", path, NULL, 404, NULL, NULL) : wk_error_code();
    wk_free(plain);
    wk_free(path);
    return status;
}

wk_status wk__kube_forget(const char *app_id) {
    wk__kube_app app;
    const json_t *objects = NULL;
    const char *name = NULL;
    json_t *object = NULL;
    if (!wk__kube_app_read(app_id, &app)) return WK_OK;
    wk__kube *k = wk__kube_of(&app);
    wk_status status = k ? wk__kube_look(k, &app, false, false, &objects) : wk_error_code();
    json_object_foreach((json_t *)(uintptr_t)objects, name, object) if (status == WK_OK) status =
        remove_one(k, &app, wk__kube_type_of(app.kind), name);
    char *path = wk__app_path(app_id, "request");
    wk_request *r = path ? wk__request_read(path) : NULL;
    if (status == WK_OK && r && wk__kube_has_secrets(r))
        status = remove_one(k, &app, wk__kube_type_named("v1", "Secret"), app.name);
    if (status == WK_OK && app.kind == WK__KUBE_JOB)
        status = remove_one(k, &app, wk__kube_type_named("v1", "Service"), app.name);
    wk_request_free(r);
    wk_free(path);
    return status;
}
