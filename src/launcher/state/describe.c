/* describe.c: an app's status, from its row, its lock and its replicas' files.
 *
 * Everything here is read by processes that did not start the app.  Whether a supervisor lives is asked of its lock,
 * which the kernel drops with it, so a reused pid cannot answer in its place.
 */
#include "launcher/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* True if an app's supervisor (or the client about to start it) is alive. */
static bool is_held(const char *app_id) {
    char *path = wk__app_path(app_id, "lock");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    bool held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd >= 0) (void)close(fd);
    wk_free(path);
    return held;
}

/* On a shared file system another host's lock may not show here; only that host can tell. */
static bool is_elsewhere(const char *app_id) {
    char own[128] = "";
    char host[128] = "";
    if (!wk__is_on_network(wk__state_dir())) return false;
    char *path = wk__app_path(app_id, "attempt");
    char *text = path ? wk__read_file(path, 1 << 16, NULL) : NULL;
    (void)gethostname(own, sizeof own - 1);
    bool elsewhere = text && sscanf(text, "%*d %*d %*u %127s", host) == 1 && strcmp(host, own) != 0;
    wk_free(path);
    wk_free(text);
    return elsewhere;
}

enum { SUBMIT_SECONDS = 10 };

void wk__reconcile(wk__store *store, wk__record *record) {
    for (size_t i = 0; wk__scheduler_at(i); i++) /* a scheduler that must be asked has no supervisor of ours */
        if (strcmp(wk__scheduler_at(i)->name, record->scheduler) == 0 && wk__scheduler_at(i)->poll_seconds > 0) return;
    if (wk_app_state_is_terminal(record->state) || is_held(record->app_id) || is_elsewhere(record->app_id)) return;
    /* Between its row and its lock an app is for some milliseconds without a holder. */
    if (record->state == WK_APP_UNSUBMITTED && wk_wall_time() - record->created_at < SUBMIT_SECONDS) return;
    wk__record again;
    if (wk__store_get(store, record->app_id, &again) == WK_OK && wk_app_state_is_terminal(again.state)) {
        *record = again; /* it ended between our two looks */
        return;
    }
    const char *message =
        record->state == WK_APP_UNSUBMITTED
            ? "never submitted: the client ended before its supervisor started"
            : "its supervisor is gone (killed, or the machine was restarted); its replicas end by themselves";
    (void)wk__store_update(store, record->app_id, WK_APP_FAILED, 0, message);
    (void)wk__store_get(store, record->app_id, record);
}

wk_status wk__app_state_of(const char *app_id, wk_app_state *state) {
    wk__record record = { 0 };
    wk__store *store = wk__store_open();
    if (!store) return wk_error_code();
    wk_status status = wk__store_get(store, app_id, &record);
    if (status == WK_OK) wk__reconcile(store, &record);
    *state = record.state;
    wk__store_close(store);
    return status;
}

void wk__last_line(const char *path, char *line, size_t size) {
    char tail[1024];
    *line = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = end > (off_t)sizeof tail - 1 ? end - (off_t)sizeof tail + 1 : 0;
    ssize_t got = pread(fd, tail, sizeof tail - 1, from);
    (void)close(fd);
    if (got <= 0) return;
    tail[got] = '\0';
    while (got > 0 && strchr("\r\n\t ", tail[got - 1])) tail[--got] = '\0';
    const char *start = tail;
    for (const char *at = tail; *at; at++)
        if (*at == '\n' || *at == '\r') start = at + 1;
    (void)snprintf(line, size, "%s", start);
}

/* ---- structured error files ---- */

/* {"message": {"message": "…", …}} or {"message": "…", "errorCode": 5}, as torch writes them. */
static char *message_of(const json_t *root, int *code) {
    const json_t *message = json_object_get(root, "message");
    const json_t *number = json_object_get(root, "errorCode");
    if (json_is_object(message)) {
        if (!number) number = json_object_get(message, "errorCode");
        message = json_object_get(message, "message");
    }
    if (json_is_integer(number)) *code = (int)json_integer_value(number);
    return json_is_string(message) ? wk_strdup(json_string_value(message)) : NULL;
}

char *wk__error_file_message(const char *path, int *code, char **json) {
    size_t size = 0;
    *code = 0;
    char *text = wk__read_file(path, 1 << 20, &size);
    if (!text) return NULL;
    json_t *root = json_loadb(text, size, 0, NULL);
    char *message = root ? message_of(root, code) : NULL;
    json_decref(root);
    if (!message) message = wk_strdup(text);
    if (json)
        *json = text;
    else
        wk_free(text);
    return message;
}

/* ---- one replica in words ---- */

char *wk__replica_sentence(const char *role, int replica, const wk__replica *r, const char *directory) {
    wk_text text = { 0 };
    char line[400];
    int code = 0;
    char *error_file = wk_format("%s/error.json", directory);
    char *stderr_log = wk_format("%s/stderr.log", directory);
    char *error = error_file ? wk__error_file_message(error_file, &code, NULL) : NULL;
    wk_text_printf(&text, "%s/%d (rank %d) ", role, replica, replica);
    if (r->error[0])
        wk_text_printf(&text, "did not start: %s;", r->error);
    else if (!r->ended)
        wk_text_puts(&text, "ended without a word (its wrapper was killed)");
    else if (r->signal)
        wk_text_printf(&text, "was killed by %s", wk__signal_name(r->signal));
    else
        wk_text_printf(&text, "ended with exit code %d", r->exit_code);
    wk_text_printf(&text, " on host %s", r->host);
    if (r->ended) wk_text_printf(&text, " after %.1f s", r->ended_at - r->started_at);
    if (error) wk_text_printf(&text, "; error: %.400s", error);
    wk__last_line(stderr_log ? stderr_log : "", line, sizeof line);
    if (*line && !r->error[0]) wk_text_printf(&text, "; last line of stderr: %s", line);
    wk_text_printf(&text, "; log: %s", stderr_log ? stderr_log : directory);
    wk_free(error);
    wk_free(error_file);
    wk_free(stderr_log);
    if (text.failed) wk_text_free(&text);
    return text.data;
}

/* ---- the whole ---- */

static wk_app_state state_of(const wk__replica *r, wk_app_state app) {
    if (!r->ended) return wk_app_state_is_terminal(app) ? WK_APP_FAILED : WK_APP_RUNNING;
    if (r->stopped) return WK_APP_CANCELLED;
    return r->exit_code == 0 && r->signal == 0 && !r->error[0] ? WK_APP_SUCCEEDED : WK_APP_FAILED;
}

static void fill_replica(wk__arena *arena, const char *app_id, const char *role, int k, wk_app_state app,
                         wk_replica_status *out) {
    wk__replica r;
    char rest[256];
    char line[400];
    (void)snprintf(rest, sizeof rest, "%s/%d", role, k);
    char *directory = wk__app_path(app_id, rest);
    *out =
        (wk_replica_status){ .id = k, .hostname = "", .error = "", .error_json = "", .last_line = "", .directory = "" };
    if (!directory) return;
    bool there = wk__replica_read(directory, &r);
    char *error_path = wk_format("%s/error.json", directory);
    char *stderr_path = wk_format("%s/stderr.log", directory);
    char *json = NULL;
    char *error = error_path ? wk__error_file_message(error_path, &out->error_code, &json) : NULL;
    wk__last_line(stderr_path ? stderr_path : "", line, sizeof line);
    out->directory = wk__arena_text(arena, "%s", directory);
    out->state = there ? state_of(&r, app) : wk_app_state_is_terminal(app) ? WK_APP_CANCELLED : WK_APP_PENDING;
    out->hostname = wk__arena_text(arena, "%s", there ? r.host : "");
    out->exit_code = r.exit_code;
    out->signal = r.signal;
    out->ended = r.ended;
    out->stopped = r.stopped;
    out->started_at = r.started_at;
    out->ended_at = r.ended_at;
    out->error = wk__arena_text(arena, "%s", error ? error : r.error);
    out->error_json = wk__arena_text(arena, "%s", json ? json : "");
    out->last_line = wk__arena_text(arena, "%s", line);
    wk_free(error);
    wk_free(json);
    wk_free(error_path);
    wk_free(stderr_path);
    wk_free(directory);
}

static wk_status fill(wk__arena *arena, const wk_request *request, wk_app_status *out) {
    out->role_count = request->role_count;
    out->roles = wk__arena_take(arena, (request->role_count + 1) * sizeof *out->roles);
    if (!out->roles) return wk_error_code();
    double first = 0;
    for (size_t i = 0; i < request->role_count; i++) {
        wk_role_status *role = &out->roles[i];
        role->role = wk__arena_text(arena, "%s", request->roles[i].name);
        role->replica_count = (size_t)request->roles[i].replicas;
        role->replicas = wk__arena_take(arena, (role->replica_count + 1) * sizeof *role->replicas);
        if (!role->role || !role->replicas) return wk_error_code();
        for (size_t k = 0; k < role->replica_count; k++) {
            wk_replica_status *r = &role->replicas[k];
            fill_replica(arena, request->app_id, role->role, (int)k, out->state, r);
            /* The app's structured error is that of the replica that failed first. */
            if (r->error_json && *r->error_json && !r->stopped && (first <= 0 || r->ended_at < first)) {
                out->structured_error = r->error_json;
                first = r->ended_at;
            }
        }
    }
    return wk_error_code();
}

wk_app_status *wk__supervised_describe(const char *app_id) {
    wk__record record;
    wk__store *store = wk__store_open();
    if (!store) return NULL;
    wk_status status = wk__store_get(store, app_id, &record);
    if (status == WK_OK) wk__reconcile(store, &record);
    wk__store_close(store);
    return status == WK_OK ? wk__status_of(&record) : NULL;
}

/* Where to look at it: by its metadata, else what a replica wrote into its folder once it knew. */
static const char *ui_url(wk__arena *arena, const char *app_id, const wk_app_status *status) {
    char *path = wk__app_path(app_id, "ui_url");
    char *text = path ? wk__read_file(path, 4096, NULL) : NULL;
    wk_free(path);
    for (size_t i = 0; i < status->role_count && !text; i++)
        for (size_t k = 0; k < status->roles[i].replica_count && !text; k++) {
            path = wk_format("%s/ui_url", status->roles[i].replicas[k].directory);
            text = path ? wk__read_file(path, 4096, NULL) : NULL;
            wk_free(path);
        }
    const char *kept = text ? wk__arena_text(arena, "%.*s", (int)strcspn(text, "\r\n"), text) : "";
    wk_free(text);
    return kept ? kept : "";
}

wk_app_status *wk__status_of(const wk__record *record) {
    wk__arena *arena = wk_alloc(sizeof *arena);
    wk_app_status *out = arena ? wk__arena_take(arena, sizeof *out) : NULL;
    if (!out) {
        wk_free(arena);
        return NULL;
    }
    *out = (wk_app_status){ .state = record->state,
                            .num_restarts = record->restarts,
                            .structured_error = "",
                            .ui_url = "",
                            .message = wk__arena_text(arena, "%s", record->message),
                            .owner = arena };
    char *path = wk__app_path(record->app_id, "request");
    wk_request *request = path && wk__exists(path) ? wk__request_read(path) : NULL;
    if (request) (void)fill(arena, request, out);
    if (!wk_failed()) out->ui_url = ui_url(arena, record->app_id, out);
    wk_request_free(request);
    wk_free(path);
    if (wk_failed()) {
        wk_app_status_free(out);
        return NULL;
    }
    return out;
}

void wk_app_status_free(wk_app_status *status) {
    if (!status) return;
    wk__arena *arena = status->owner;
    wk__arena_destroy(arena);
    wk_free(arena);
}
