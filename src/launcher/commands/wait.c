/* wait.c: `wick run --wait`: until the app has ended, and how it went.
 *
 * Ctrl-C leaves the app alone: a job that ran for a day must not end with a terminal.
 */
#include "launcher/commands/run.h"

#include <jansson.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

/* Of the replica that failed first: its exit code, or 128 + its signal; 1 if there is none. */
static int first_exit_code(const wk_app_status *status) {
    const wk_replica_status *first = NULL;
    for (size_t i = 0; i < status->role_count; i++)
        for (size_t k = 0; k < status->roles[i].replica_count; k++) {
            const wk_replica_status *r = &status->roles[i].replicas[k];
            bool failed = r->state == WK_APP_FAILED && r->ended && !r->stopped;
            if (failed && (!first || r->ended_at < first->ended_at)) first = r;
        }
    int code = !first ? 1 : first->signal ? 128 + first->signal : first->exit_code;
    return code ? code : 1;
}

static void print_json(const char *name, const wk_app_status *status, int code) {
    char *text = wk_app_status_json(status);
    json_t *root = json_object();
    (void)json_object_set_new(root, "handle", json_string(name));
    (void)json_object_set_new(root, "exit_code", json_integer(code));
    json_t *inner = text ? json_loads(text, 0, NULL) : NULL;
    (void)json_object_set_new(root, "status", inner ? inner : json_null());
    (void)json_dumpf(root, stdout, JSON_INDENT(2));
    (void)fputc('\n', stdout);
    json_decref(root);
    wk_free(text);
}

/* Nobody stands beside an app on a cluster: who waits for it keeps its logs.  A copy that fails changes nothing else.
 */
static void keep_logs(const wk_handle *handle, const wk_app_status *status) {
    const wk_scheduler_ops *ops = wk_scheduler(handle->scheduler);
    char *path = ops && ops->poll_seconds > 0 ? wk__app_path(handle->app_id, "request") : NULL;
    wk_request *request = path && wk__exists(path) ? wk__request_read(path) : NULL;
    if (request && *request->log_url && wk__logs_fetch(handle, status, request->log_url) != WK_OK)
        (void)fprintf(stderr, "wick: the logs could not be kept: %s\n", wk_message());
    wk_request_free(request);
    wk_free(path);
    wk_clear_error();
}

int wk__run_wait(const wk_handle *handle, const char *name, const wk__run_options *o) {
    struct sigaction action = { .sa_handler = on_interrupt };
    (void)sigaction(SIGINT, &action, NULL);
    wk_app_state state = WK_APP_UNKNOWN;
    const wk__log_filter all = { .colour = wk__has_colour(STDERR_FILENO) };
    if (o->log || o->tee_logs) (void)wk__log_print(handle, &all, true, STDERR_FILENO, &interrupted);
    while (!interrupted && !wk_failed()) {
        if (wk_app_wait(handle, 0.5, &state) != WK_TIMEOUT) break;
        wk_clear_error();
    }
    if (interrupted) {
        wk_clear_error();
        (void)fprintf(stderr, "wick: %s goes on without this terminal; end it with: wick cancel %s\n", handle->app_id,
                      name);
        return 130;
    }
    wk_app_status *status = wk_failed() ? NULL : wk_app_describe(handle);
    if (!status) {
        (void)wk_report(stderr);
        return 1;
    }
    keep_logs(handle, status);
    int code = status->state == WK_APP_SUCCEEDED ? 0 : o->propagate ? first_exit_code(status) : 1;
    (void)fprintf(stderr, "wick: %s: %s%s%s\n", handle->app_id, wk_app_state_name(status->state),
                  *status->message ? ": " : "", status->message);
    if (o->json) print_json(name, status, code);
    wk_app_status_free(status);
    return code;
}
