/* watch.c: what is in the cluster, without asking again and again.
 *
 * The first look is a list; from then on a watch tells each change, and a look costs no request.  A watch ends whenever
 * the server likes, and goes on from the version last seen; a server that has forgotten that version (410) is asked for
 * a list again.  A process that looks once, such as `wick status`, opens no watch.
 */
#include "launcher/kube/kube.h"

#include <jansson.h>
#include <string.h>

enum { MOST_LINE = 64 << 20 };

typedef struct view {
    struct view *next;
    char *folder; /* "/api/v1/namespaces/NS/pods?labelSelector=…" */
    json_t *items;
    char version[64];
    wk__http_stream *stream;
    wk_text line; /* an event not yet whole */
    double opened_at;
} view;

static view *views; /* of this process */

static const char *name_of(const json_t *object) {
    const char *name = json_string_value(json_object_get(json_object_get(object, "metadata"), "name"));
    return name ? name : "";
}

static void take_version(view *v, const json_t *object) {
    const char *text = json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion"));
    if (text) (void)snprintf(v->version, sizeof v->version, "%s", text);
}

static wk_status list(wk__kube *k, view *v) {
    json_t *root = NULL;
    WK_TRY(wk__kube_call(k, "GET", v->folder, NULL, 0, NULL, &root));
    json_decref(v->items);
    v->items = json_object();
    take_version(v, root);
    const json_t *items = json_object_get(root, "items");
    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *item = json_array_get(items, i);
        (void)json_object_set(v->items, name_of(item), item);
    }
    json_decref(root);
    return v->items ? WK_OK : wk_fail(WK_NO_MEMORY, "kubernetes: no memory for a list");
}

static void stop(view *v) {
    wk__http_close(v->stream);
    v->stream = NULL;
    v->line.size = 0;
}

static wk_status start(wk__kube *k, view *v) {
    char *path =
        wk_format("%s&watch=1&allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion=%s", v->folder, v->version);
    if (path) v->stream = wk__http_open(&k->server, path);
    wk_free(path);
    v->opened_at = wk_now();
    return wk_error_code();
}

/* One event; false: the version is too old. */
static bool apply(view *v, const char *text, size_t size) {
    json_t *event = json_loadb(text, size, 0, NULL);
    const char *type = json_string_value(json_object_get(event, "type"));
    json_t *object = json_object_get(event, "object");
    bool good = type && strcmp(type, "ERROR") != 0;
    if (good) take_version(v, object);
    if (good && strcmp(type, "DELETED") == 0)
        (void)json_object_del(v->items, name_of(object));
    else if (good && strcmp(type, "BOOKMARK") != 0)
        (void)json_object_set(v->items, name_of(object), object);
    json_decref(event);
    return good;
}

/* Everything that has come; false: a list is needed. */
static bool drain(view *v) {
    char chunk[16384];
    size_t got = 0;
    do {
        if (wk__http_read(v->stream, chunk, sizeof chunk, &got) != WK_OK) return true;
        for (const char *at = chunk, *end = chunk + got; at < end;) {
            const char *newline = memchr(at, '\n', (size_t)(end - at));
            wk_text_add(&v->line, at, (size_t)((newline ? newline : end) - at));
            if (!newline) break;
            bool good = v->line.size == 0 || apply(v, v->line.data, v->line.size);
            v->line.size = 0;
            if (!good) return false;
            at = newline + 1;
        }
        if (v->line.size > MOST_LINE) return false;
    } while (got > 0);
    return true;
}

static wk_status follow(wk__kube *k, view *v) {
    if (!v->stream) return start(k, v);
    bool known = drain(v);
    if (wk_failed()) return wk_error_code();
    if (known && !wk__http_ended(v->stream)) return WK_OK;
    long status = wk__http_status(v->stream);
    bool hasty = wk_now() - v->opened_at < 1; /* a server that ends each watch at once is asked for lists */
    stop(v);
    if (!known || status != 200 || hasty) return list(k, v);
    return start(k, v);
}

static view *find(const char *folder) {
    for (view *v = views; v; v = v->next)
        if (strcmp(v->folder, folder) == 0) return v;
    return NULL;
}

static view *add(wk__kube *k, const char *folder) {
    view *v = wk_alloc(sizeof *v);
    if (v && (v->folder = wk_strdup(folder)) && list(k, v) == WK_OK) {
        v->next = views;
        return views = v;
    }
    if (v) wk_free(v->folder);
    wk_free(v);
    return NULL;
}

wk_status wk__kube_look(wk__kube *k, const wk__kube_app *app, bool pods, bool fresh, const json_t **items) {
    const wk__kube_type *type = wk__kube_type_of(app->kind);
    *items = NULL;
    char *folder = wk_format("%s%s/%s?labelSelector=app.kubernetes.io%%2Finstance%%3D%s",
                             pods ? "/api/v1/namespaces/" : type->folder, app->name_space, pods ? "pods" : type->plural,
                             app->name);
    if (!folder) return wk_error_code();
    view *v = find(folder);
    wk_status status = !v ? WK_OK : fresh ? list(k, v) : follow(k, v);
    if (v && fresh) stop(v); /* its news are older than the list */
    if (!v) v = add(k, folder);
    wk_free(folder);
    if (v) *items = v->items;
    return v ? status : wk_error_code();
}
