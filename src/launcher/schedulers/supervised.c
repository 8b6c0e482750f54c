/* supervised.c: what `local` and `mpi` share: an app is run by a supervisor process of its own.
 *
 * The client takes the app's lock before it forks and the supervisor inherits it, so there is no moment in which a
 * living app has no holder: whoever can take the lock knows that the app has none left.  The client waits for one word
 * from the supervisor through a pipe, and is free to go.
 */
#include "launcher/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOCK_FD = 3, READY_FD = 4 };

/* In the grandchild: only stdio, the lock and the pipe stay; exec gives a process without the client's memory. */
static _Noreturn void become_supervisor(const wk_request *r, const char *log, int lock, int ready) {
    int null = open("/dev/null", O_RDONLY);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    lock = fcntl(lock, F_DUPFD, 16); /* out of the way of the numbers they shall have */
    ready = fcntl(ready, F_DUPFD, 16);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(out, STDERR_FILENO);
    (void)dup2(lock, LOCK_FD);
    (void)dup2(ready, READY_FD);
    (void)close_range(READY_FD + 1, ~0U, 0);
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    for (int s = 1; s < NSIG; s++)
        if (s != SIGKILL && s != SIGSTOP) (void)signal(s, SIG_DFL);
    (void)execl(r->wick, r->wick, "__supervise", r->app_id, (char *)NULL);
    (void)dprintf(READY_FD, "cannot run %s: %s", r->wick, strerror(errno));
    _exit(127);
}

/* The supervisor's answer: "ok", or why not. */
static wk_status await_ready(int pipe_end, const char *log) {
    char answer[1024];
    size_t size = 0;
    for (ssize_t got; size < sizeof answer - 1;) {
        got = read(pipe_end, answer + size, sizeof answer - 1 - size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        size += (size_t)got;
    }
    answer[size] = '\0';
    if (strcmp(answer, "ok") == 0) return WK_OK;
    return wk_fail(WK_STATE, "the supervisor did not start: %s (its log: %s)",
                   size ? answer : "it ended without a word", log);
}

static wk_status start_supervisor(const wk_request *r, int lock, const char *log) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return wk_fail(WK_IO, "pipe: %s", strerror(errno));
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) { /* the middle one goes at once, so that the supervisor is nobody's zombie */
        (void)setsid();
        pid_t grandchild = fork();
        if (grandchild == 0) become_supervisor(r, log, lock, ends[1]);
        _exit(grandchild < 0);
    }
    int error = errno;
    (void)close(ends[1]);
    wk_status status = WK_OK;
    if (child < 0)
        status = wk_fail(WK_IO, "fork: %s", strerror(error));
    else {
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR) continue;
        status = await_ready(ends[0], log);
    }
    (void)close(ends[0]);
    return status;
}

wk_status wk__supervised_schedule(wk_request *r) {
    wk_status status = WK_OK;
    int lock = -1;
    char *directory = wk__app_path(r->app_id, NULL);
    char *request = wk__app_path(r->app_id, "request");
    char *yaml = wk__app_path(r->app_id, "app.yaml");
    char *lock_path = wk__app_path(r->app_id, "lock");
    char *log = wk__app_path(r->app_id, "supervisor.log");
    if (!directory || !request || !yaml || !lock_path || !log) {
        status = wk_error_code();
        goto done;
    }
    WK_TRY_DONE(wk__make_dirs(directory));
    WK_TRY_DONE(wk__request_copy_workspaces(r));
    WK_TRY_DONE(wk__request_write(r, request));
    WK_TRY_DONE(wk__write_file(yaml, r->app_yaml, strlen(r->app_yaml)));
    lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) != 0) {
        status = wk_fail(WK_IO, "%s: %s", lock_path, strerror(errno));
        goto done;
    }
    status = start_supervisor(r, lock, log);
done:
    if (lock >= 0) (void)close(lock);
    wk_free(directory);
    wk_free(request);
    wk_free(yaml);
    wk_free(lock_path);
    wk_free(log);
    return status;
}

wk_status wk__supervised_cancel(const char *app_id) {
    wk_app_state state = WK_APP_UNKNOWN;
    WK_TRY(wk__app_state_of(app_id, &state));
    if (wk_app_state_is_terminal(state)) return WK_OK;
    char *path = wk__app_path(app_id, "cancel");
    wk_status status = path ? wk__write_file(path, "cancel\n", 7) : wk_error_code();
    wk_free(path);
    return status;
}

void wk__entry_of(const wk__record *record, wk_app_entry *entry) {
    (void)snprintf(entry->handle.scheduler, sizeof entry->handle.scheduler, "%s", record->scheduler);
    (void)snprintf(entry->handle.session, sizeof entry->handle.session, "%s", WK__SESSION);
    (void)snprintf(entry->handle.app_id, sizeof entry->handle.app_id, "%s", record->app_id);
    (void)snprintf(entry->name, sizeof entry->name, "%s", record->name);
    entry->state = record->state;
    entry->created_at = record->created_at;
}

wk_status wk__supervised_list(const char *scheduler, wk_app_entry **entries, size_t *count) {
    wk__record *records = NULL;
    *entries = NULL;
    *count = 0;
    wk__store *store = wk__store_open();
    if (!store) return wk_error_code();
    wk_status status = wk__store_list(store, scheduler, &records, count);
    if (status == WK_OK && !(*entries = wk_alloc(*count * sizeof **entries))) status = wk_error_code();
    for (size_t i = 0; i < *count && status == WK_OK; i++) {
        wk__reconcile(store, &records[i]);
        wk__entry_of(&records[i], &(*entries)[i]);
    }
    wk_free(records);
    wk__store_close(store);
    return status;
}

wk_status wk__local_list(wk_app_entry **entries, size_t *count) {
    return wk__supervised_list("local", entries, count);
}

wk_status wk__mpi_list(wk_app_entry **entries, size_t *count) {
    return wk__supervised_list("mpi", entries, count);
}
