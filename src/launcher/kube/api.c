/* api.c: calls to the API server, and which server an app's is.
 *
 * The server's errors are sentences with the field in them ("spec.template…: Required value"), so they are passed on as
 * they are.  A token that ran out (401) is asked for once more.
 */
#include "launcher/kube/kube.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* What a Status object says, or the beginning of what came in its place. */
static wk_status refuse(const char *method, const char *path, long status, const char *body) {
    json_t *root = json_loads(body, 0, NULL);
    const char *message = json_string_value(json_object_get(root, "message"));
    wk_status code = status == 404 ? WK_NOT_FOUND : status == 409 ? WK_EXISTS : status == 410 ? WK_END : WK_STATE;
    if (status == 401)
        (void)wk_fail(WK_CONFIG, "kubernetes: the server does not know us (401): %.300s",
                      message ? message : "log in, or see the user of the kubeconfig");
    else if (message)
        (void)wk_fail(code, "kubernetes: %.900s", message);
    else
        (void)wk_fail(code, "kubernetes: %s %s: status %ld: %.*s", method, path, status, (int)strcspn(body, "\n"),
                      body);
    json_decref(root);
    return wk_error_code();
}

static const char *content_type(const char *method, bool has_body) {
    if (!has_body) return NULL;
    return strcmp(method, "PATCH") == 0 ? "application/merge-patch+json" : "application/json";
}

wk_status wk__kube_call(wk__kube *k, const char *method, const char *path, const json_t *body, long bear, long *status,
                        json_t **out) {
    wk__http_answer answer = { 0 };
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    wk_status done = !body || text ? WK_OK : wk_fail(WK_NO_MEMORY, "kubernetes: no memory for a request");
    if (out) *out = NULL;
    for (int turn = 0; turn < 2 && done == WK_OK; turn++) {
        if (k->exec && (turn || !k->logged_in)) done = wk__kube_login(k);
        wk_text_free(&answer.body);
        if (done == WK_OK) done = wk__http_request(&k->server, method, path, content_type(method, body), text, &answer);
        if (answer.status != 401 || !k->exec) break;
    }
    free(text);
    if (done != WK_OK) return done;
    if (status) *status = answer.status;
    if (answer.status >= 400 && answer.status != bear)
        done = refuse(method, path, answer.status, wk_text_get(&answer.body));
    else if (out && !(*out = json_loadb(wk_text_get(&answer.body), answer.body.size, 0, NULL)))
        done = wk_fail(WK_FORMAT, "kubernetes: %s answers %s with something that is no JSON", k->server.base, path);
    wk_text_free(&answer.body);
    return done;
}

/* ---- an app's cluster ---- */

static const char *const app_keys[] = { "kind", "name", "namespace", "kubeconfig", "context" };

wk_status wk__kube_app_write(const wk__kube_app *app) {
    const char *const values[] = { wk__kube_kind_names[app->kind], app->name, app->name_space, app->kubeconfig,
                                   app->context };
    wk_text text = { 0 };
    for (size_t i = 0; i < WK_COUNT(app_keys); i++) wk_text_printf(&text, "%s=%s\n", app_keys[i], values[i]);
    char *path = wk__app_path(app->app_id, "cluster");
    wk_status status = path && !text.failed ? wk__write_file(path, text.data, text.size) : wk_error_code();
    wk_text_free(&text);
    wk_free(path);
    return status;
}

static void take_line(wk__kube_app *app, const char *key, const char *value) {
    const struct {
        const char *key;
        char *to;
        size_t size;
    } texts[] = { { "name", app->name, sizeof app->name },
                  { "namespace", app->name_space, sizeof app->name_space },
                  { "kubeconfig", app->kubeconfig, sizeof app->kubeconfig },
                  { "context", app->context, sizeof app->context } };
    for (size_t i = 0; i < WK_COUNT(texts); i++)
        if (strcmp(key, texts[i].key) == 0) (void)snprintf(texts[i].to, texts[i].size, "%s", value);
    for (int i = 0; i < WK__KUBE_KINDS && strcmp(key, "kind") == 0; i++)
        if (strcmp(value, wk__kube_kind_names[i]) == 0) app->kind = (wk__kube_kind)i;
}

bool wk__kube_app_read(const char *app_id, wk__kube_app *app) {
    char *path = wk__app_path(app_id, "cluster");
    char *text = path ? wk__read_file(path, 1 << 16, NULL) : NULL;
    *app = (wk__kube_app){ 0 };
    (void)snprintf(app->app_id, sizeof app->app_id, "%s", app_id);
    wk_free(path);
    if (!text) return false;
    for (char *line = text, *end; *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end) *end++ = '\0';
        char *equals = strchr(line, '=');
        if (equals) *equals = '\0';
        if (equals) take_line(app, line, equals + 1);
    }
    wk_free(text);
    return *app->name != '\0';
}

wk__kube *wk__kube_of(const wk__kube_app *app) {
    static wk__kube *open; /* the last one: a process rarely speaks to two clusters */
    const char *kubeconfig = open && open->kubeconfig ? open->kubeconfig : "";
    const char *context = open && open->context ? open->context : "";
    if (open && strcmp(kubeconfig, app->kubeconfig) == 0 && strcmp(context, app->context) == 0) return open;
    wk__kube_close(open);
    return open = wk__kube_open(app->kubeconfig, app->context);
}
