/* kept.c: logs at a URL: copied there through a scheduler's own streams, and read again.
 *
 * Where a supervisor of ours stands beside an app it copies files (keep.c).  A cluster's nodes have no wick and know no
 * URL: there whoever waits for the end copies what `wick log` would show (`wick run --wait`), or does so afterwards
 * (`wick log --keep`).  The places are the same, so both are read alike: status.json says which replicas there are.
 */
#include "launcher/launcher.h"
#include "wick/files.h"

#include <jansson.h>
#include <string.h>

enum { MOST_STATUS = 64 << 20 };

/* URL/ROLE/K/NAME; an empty name: the folder. */
static char *place(const char *url, const char *role, size_t k, const char *name) {
    char number[32];
    (void)snprintf(number, sizeof number, "%zu", k);
    char *of_role = wk_url_join(url, role);
    char *folder = of_role ? wk_url_join(of_role, number) : NULL;
    char *whole = folder && *name ? wk_url_join(folder, name) : folder;
    if (whole != folder) wk_free(folder);
    wk_free(of_role);
    return whole;
}

/* ---- copy ---- */

static wk_status copy_stream(const wk_scheduler_ops *ops, const char *app_id, const char *role, size_t k,
                             wk_log_kind kind, const char *url) {
    char bytes[1 << 16];
    size_t got = 0;
    wk_status status = WK_OK;
    wk_log_stream *stream = ops->log_open(app_id, role, (int)k, kind);
    wk_file *file = stream ? wk_file_create(url) : NULL;
    if (!file) status = wk_error_code();
    do {
        if (status == WK_OK) status = wk_log_read(stream, bytes, sizeof bytes, &got);
        if (status == WK_OK && got > 0) status = wk_file_write(file, bytes, got);
    } while (status == WK_OK && got > 0);
    if (status == WK_OK) status = wk_file_commit(file);
    wk_file_close(file);
    wk_log_close(stream);
    return status;
}

static wk_status copy_replica(const wk_scheduler_ops *ops, const char *app_id, const char *role, size_t k,
                              const wk_replica_status *replica, const char *url) {
    static const char *const names[] = { "stdout.log", "stderr.log", "error.json" };
    char *folder = place(url, role, k, "");
    wk_status status = folder ? wk_folder_make(folder) : wk_error_code();
    for (int i = 0; i < 3 && status == WK_OK; i++) {
        char *path = wk_url_join(folder, names[i]);
        if (!path)
            status = wk_error_code();
        else if (i < 2)
            status = copy_stream(ops, app_id, role, k, i ? WK_LOG_STDERR : WK_LOG_STDOUT, path);
        else if (*replica->error_json)
            status = wk_file_save(path, replica->error_json, strlen(replica->error_json));
        wk_free(path);
    }
    wk_free(folder);
    return status;
}

wk_status wk__logs_fetch(const wk_handle *handle, const wk_app_status *app, const char *url) {
    const wk_scheduler_ops *ops = wk_scheduler(handle->scheduler);
    wk_status status = ops ? WK_OK : wk_error_code();
    for (size_t i = 0; i < app->role_count && status == WK_OK; i++)
        for (size_t k = 0; k < app->roles[i].replica_count && status == WK_OK; k++)
            status = copy_replica(ops, handle->app_id, app->roles[i].role, k, &app->roles[i].replicas[k], url);
    char *text = status == WK_OK ? wk_app_status_json(app) : NULL;
    char *last = text ? wk_url_join(url, "status.json") : NULL;
    if (status == WK_OK) status = last ? wk_file_save(last, text, strlen(text)) : wk_error_code();
    wk_free(last);
    wk_free(text);
    return status;
}

/* ---- read ---- */

static wk_status fill_roles(wk__arena *arena, const json_t *roles, wk_app_status *out) {
    out->role_count = json_array_size(roles);
    out->roles = wk__arena_take(arena, (out->role_count + 1) * sizeof *out->roles);
    if (!out->roles) return wk_error_code();
    for (size_t i = 0; i < out->role_count; i++) {
        const json_t *role = json_array_get(roles, i);
        const char *name = json_string_value(json_object_get(role, "role"));
        out->roles[i] = (wk_role_status){ .role = wk__arena_text(arena, "%s", name ? name : ""),
                                          .replica_count = json_array_size(json_object_get(role, "replicas")) };
        if (!wk__is_role_name(out->roles[i].role)) /* it becomes part of a path */
            return wk_fail(WK_FORMAT, "status.json there: \"%.80s\" is no name for a role", out->roles[i].role);
    }
    return wk_error_code();
}

wk_app_status *wk__kept_describe(const char *url) {
    size_t size = 0;
    char *path = wk_url_join(url, "status.json");
    char *text = path ? wk_file_load(path, MOST_STATUS, &size) : NULL;
    json_t *root = text ? json_loadb(text, size, 0, NULL) : NULL;
    wk__arena *arena = root ? wk_alloc(sizeof *arena) : NULL;
    wk_app_status *out = arena ? wk__arena_take(arena, sizeof *out) : NULL;
    if (text && !root) (void)wk_fail(WK_FORMAT, "%s is no JSON", path);
    if (wk_error_code() == WK_NOT_FOUND)
        wk_error_prefix(
            "no logs of an app that has ended are there (they are kept by -cfg log_dir=URL, or by `wick log "
            "--keep URL HANDLE`)");
    if (out) {
        *out = (wk_app_status){ .state = WK_APP_UNKNOWN, .structured_error = "", .ui_url = "", .message = "" };
        out->owner = arena;
        if (fill_roles(arena, json_object_get(root, "roles"), out) != WK_OK) {
            wk_app_status_free(out);
            out = NULL;
        }
    } else
        wk_free(arena);
    json_decref(root);
    wk_free(text);
    wk_free(path);
    return out;
}

typedef struct kept_stream {
    wk_log_stream stream;
    wk_file *file;
    char *folder;
    const char *name;
    int attempt; /* earlier ones are stdout.0.log, …; -1: the last was opened */
} kept_stream;

/* The next attempt's log; no file where there is none left. */
static wk_status open_next(kept_stream *s) {
    char name[40];
    bool there = false;
    (void)snprintf(name, sizeof name, "%s.%d.log", s->name, s->attempt);
    char *url = wk_url_join(s->folder, name);
    wk_status status = url ? wk_file_exists(url, &there) : wk_error_code();
    s->attempt = there ? s->attempt + 1 : -1;
    if (status == WK_OK && !there) {
        wk_free(url);
        (void)snprintf(name, sizeof name, "%s.log", s->name);
        url = wk_url_join(s->folder, name);
        status = url ? wk_file_exists(url, &there) : wk_error_code();
    }
    if (status == WK_OK && there && !(s->file = wk_file_open(url))) status = wk_error_code();
    wk_free(url);
    return status;
}

static wk_status read_kept(wk_log_stream *of, char *bytes, size_t size, size_t *got) {
    kept_stream *s = (kept_stream *)of;
    while (s->file || s->attempt >= 0) {
        if (!s->file) WK_TRY(open_next(s));
        if (!s->file) break;
        WK_TRY(wk_file_read(s->file, bytes, size, got));
        if (*got > 0) return WK_OK;
        wk_file_close(s->file);
        s->file = NULL;
    }
    return WK_OK;
}

static void close_kept(wk_log_stream *of) {
    kept_stream *s = (kept_stream *)of;
    wk_file_close(s->file);
    wk_free(s->folder);
    wk_free(s);
}

wk_log_stream *wk__kept_log_open(const char *url, const char *role, int replica, wk_log_kind kind) {
    kept_stream *s = wk_alloc(sizeof *s);
    if (!s) return NULL;
    *s = (kept_stream){ .stream = { read_kept, close_kept },
                        .folder = place(url, role, (size_t)replica, ""),
                        .name = kind == WK_LOG_STDOUT ? "stdout" : "stderr" };
    if (s->folder) return &s->stream;
    wk_free(s);
    return NULL;
}
