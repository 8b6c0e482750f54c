/* files.c: the table of apps on a network file system: <state>/store/APP_ID.json, one file an app.
 *
 * SQLite's locks and shared memory cannot be trusted between hosts; a rename can.  So a record is replaced whole, and a
 * reader on any host sees the former or the new one.  A lock on one file keeps two writers of a record apart where the
 * file system has locks; where it has none, writers are the supervisor alone until it is gone.
 */
#include "launcher/state/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static char *path_of(const char *folder, const char *app_id) {
    if (strchr(app_id, '/')) return wk_fail_null(WK_INVALID, "\"%s\" is no app id", app_id);
    return wk_format("%s/%s.json", folder, app_id);
}

static int take_lock(const char *folder) {
    char *path = wk_format("%s/.lock", folder);
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) (void)flock(fd, LOCK_EX);
    wk_free(path);
    return fd;
}

static void drop_lock(int fd) {
    if (fd >= 0) (void)close(fd);
}

static void copy_text(char *to, size_t room, const json_t *root, const char *key) {
    const char *text = json_string_value(json_object_get(root, key));
    (void)snprintf(to, room, "%s", text ? text : "");
}

/* WK_NOT_FOUND, without a message, if there is none. */
static wk_status read_record(const char *path, wk__record *out) {
    char *text = wk__read_file(path, 1 << 20, NULL);
    if (!text) return wk_failed() ? wk_error_code() : WK_NOT_FOUND;
    json_t *root = json_loads(text, 0, NULL);
    wk_free(text);
    if (!json_is_object(root)) {
        json_decref(root);
        return wk_fail(WK_FORMAT, "%s: not a record of an app", path);
    }
    *out = (wk__record){ .state = (wk_app_state)json_integer_value(json_object_get(root, "state")),
                         .restarts = (int)json_integer_value(json_object_get(root, "restarts")),
                         .created_at = json_number_value(json_object_get(root, "created_at")),
                         .ended_at = json_number_value(json_object_get(root, "ended_at")) };
    copy_text(out->app_id, sizeof out->app_id, root, "app_id");
    copy_text(out->name, sizeof out->name, root, "name");
    copy_text(out->scheduler, sizeof out->scheduler, root, "scheduler");
    copy_text(out->message, sizeof out->message, root, "message");
    json_decref(root);
    return WK_OK;
}

static wk_status write_record(const char *path, const wk__record *r) {
    json_t *root = json_object();
    (void)json_object_set_new(root, "app_id", wk__json_text(r->app_id));
    (void)json_object_set_new(root, "name", wk__json_text(r->name));
    (void)json_object_set_new(root, "scheduler", wk__json_text(r->scheduler));
    (void)json_object_set_new(root, "state", json_integer(r->state));
    (void)json_object_set_new(root, "restarts", json_integer(r->restarts));
    (void)json_object_set_new(root, "created_at", json_real(r->created_at));
    (void)json_object_set_new(root, "ended_at", json_real(r->ended_at));
    (void)json_object_set_new(root, "message", wk__json_text(r->message));
    char *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    wk_status status = text ? wk__write_file(path, text, strlen(text)) : wk_fail(WK_NO_MEMORY, "out of memory");
    free(text);
    return status;
}

wk_status wk__files_insert(const char *folder, const char *app_id, const char *name, const char *scheduler) {
    wk__record record = { .created_at = wk_wall_time() };
    char *path = path_of(folder, app_id);
    wk_status status = path ? WK_OK : wk_error_code();
    (void)snprintf(record.app_id, sizeof record.app_id, "%s", app_id);
    (void)snprintf(record.name, sizeof record.name, "%s", name);
    (void)snprintf(record.scheduler, sizeof record.scheduler, "%s", scheduler);
    if (status == WK_OK && wk__exists(path)) status = wk_fail(WK_EXISTS, "%s: there is such an app already", path);
    if (status == WK_OK) status = write_record(path, &record);
    wk_free(path);
    return status;
}

wk_status wk__files_update(const char *folder, const char *app_id, wk_app_state state, int restarts,
                           const char *message) {
    wk__record record = { 0 };
    char *path = path_of(folder, app_id);
    if (!path) return wk_error_code();
    int lock = take_lock(folder);
    wk_status status = read_record(path, &record);
    if (status == WK_NOT_FOUND || (status == WK_OK && wk_app_state_is_terminal(record.state)))
        status = WK_OK; /* one that has ended never changes again */
    else if (status == WK_OK) {
        record.state = state;
        record.restarts = restarts > record.restarts ? restarts : record.restarts;
        record.ended_at = wk_app_state_is_terminal(state) ? wk_wall_time() : 0;
        if (message) (void)snprintf(record.message, sizeof record.message, "%s", message);
        status = write_record(path, &record);
    }
    drop_lock(lock);
    wk_free(path);
    return status;
}

wk_status wk__files_remove(const char *folder, const char *app_id) {
    char *path = path_of(folder, app_id);
    if (!path) return wk_error_code();
    wk_status status = unlink(path) == 0 || errno == ENOENT ? WK_OK : wk_fail(WK_IO, "%s: %s", path, strerror(errno));
    wk_free(path);
    return status;
}

wk_status wk__files_get(const char *folder, const char *app_id, wk__record *record) {
    char *path = path_of(folder, app_id);
    wk_status status = path ? read_record(path, record) : wk_error_code();
    wk_free(path);
    return status;
}

static int newest_first(const void *a, const void *b) {
    const wk__record *x = a;
    const wk__record *y = b;
    if (x->created_at != y->created_at) return x->created_at < y->created_at ? 1 : -1;
    return strcmp(x->app_id, y->app_id);
}

static int is_record(const struct dirent *entry) {
    size_t size = strlen(entry->d_name);
    return size > 5 && strcmp(entry->d_name + size - 5, ".json") == 0;
}

wk_status wk__files_list(const char *folder, const char *scheduler, wk__record **records, size_t *count) {
    struct dirent **names = NULL;
    wk_status status = WK_OK;
    *count = 0;
    int found = scandir(folder, &names, is_record, NULL);
    *records = wk_alloc((size_t)(found > 0 ? found : 0) * sizeof **records);
    if (!*records) status = wk_error_code();
    for (int i = 0; i < found && status == WK_OK; i++) {
        wk__record *next = &(*records)[*count];
        char *path = wk_format("%s/%s", folder, names[i]->d_name);
        status = path ? read_record(path, next) : wk_error_code();
        if (status == WK_OK && (!scheduler || strcmp(scheduler, next->scheduler) == 0)) (*count)++;
        if (status == WK_NOT_FOUND) status = WK_OK; /* removed since */
        if (status == WK_FORMAT) {                  /* one that cannot be read must not hide the others */
            wk_log_write(WK_LOG_WARNING, "%s", wk_message());
            wk_clear_error();
            status = WK_OK;
        }
        wk_free(path);
    }
    for (int i = 0; i < found; i++) free(names[i]);
    free(names);
    if (status == WK_OK) {
        qsort(*records, *count, sizeof **records, newest_first);
        return WK_OK;
    }
    wk_free(*records);
    *records = NULL;
    *count = 0;
    return status;
}
