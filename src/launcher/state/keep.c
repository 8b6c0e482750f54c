/* keep.c: a copy of an ended app's logs, for where its machine will not be (`-cfg log_dir=URL`).
 *
 *   LOG_DIR/APP_ID/ROLE/K/{stdout,stderr}.log, error.json, those of earlier attempts (stdout.0.log), times
 *   LOG_DIR/APP_ID/status.json          what `wick status --json` would say; the last file, so all is there with it
 */
#include "launcher/launcher.h"
#include "wick/files.h"

#include <string.h>

static bool is_log(const char *name) {
    static const char *const begins[] = { "stdout.", "stderr.", "error.", "times" };
    for (size_t i = 0; i < WK_COUNT(begins); i++)
        if (strncmp(name, begins[i], strlen(begins[i])) == 0) return true;
    return false;
}

static wk_status keep_replica(const wk_request *r, const char *role, int replica, const char *to) {
    char rest[256];
    (void)snprintf(rest, sizeof rest, "%s/%d", role, replica);
    char *from = wk__app_path(r->app_id, rest);
    wk_file_list *list = from ? wk_folder_list(from) : NULL;
    wk_status status = list ? wk_folder_make(to) : wk_error_code();
    for (size_t i = 0; status == WK_OK && i < list->count; i++) {
        if (!is_log(list->items[i].name) || list->items[i].info.kind != WK_FILE_PLAIN) continue;
        char *source = wk_url_join(from, list->items[i].name);
        char *target = source ? wk_url_join(to, list->items[i].name) : NULL;
        status = target ? wk_file_copy(source, target, (wk_copy_opts){ 0 }, NULL) : wk_error_code();
        wk_free(source);
        wk_free(target);
    }
    wk_file_list_free(list);
    wk_free(from);
    return status;
}

static wk_status keep_status(const wk_request *r, wk_app_state state, const char *message) {
    wk__record record;
    wk__store *store = wk__store_open();
    wk_status status = store ? wk__store_get(store, r->app_id, &record) : wk_error_code();
    wk__store_close(store);
    if (status != WK_OK) return status;
    record.state = state; /* the store learns of it when all is kept */
    (void)snprintf(record.message, sizeof record.message, "%s", message);
    wk_app_status *whole = wk__status_of(&record);
    char *text = whole ? wk_app_status_json(whole) : NULL;
    char *url = text ? wk_url_join(r->log_url, "status.json") : NULL;
    status = url ? wk_file_save(url, text, strlen(text)) : wk_error_code();
    wk_free(url);
    wk_free(text);
    wk_app_status_free(whole);
    return status;
}

wk_status wk__logs_keep(const wk_request *r, wk_app_state state, const char *message) {
    wk_status status = WK_OK;
    for (size_t i = 0; i < r->role_count && status == WK_OK; i++) {
        char *role = wk_url_join(r->log_url, r->roles[i].name);
        if (!role) status = wk_error_code();
        for (int k = 0; k < r->roles[i].replicas && status == WK_OK; k++) {
            char number[16];
            (void)snprintf(number, sizeof number, "%d", k);
            char *to = wk_url_join(role, number);
            status = to ? keep_replica(r, r->roles[i].name, k, to) : wk_error_code();
            wk_free(to);
        }
        wk_free(role);
    }
    return status == WK_OK ? keep_status(r, state, message) : status;
}
