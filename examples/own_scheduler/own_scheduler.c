/* own_scheduler.c: a scheduler of one's own: `serial`, which runs an app's replicas one after the other.
 *
 *   cc -shared -fPIC own_scheduler.c -lwicklaunch -o serial.so
 *   WICK_PLUGINS=./serial.so wick run utils.echo -j 3 -s serial --wait --log
 *
 * A child process of its own runs them, so that the client may go; the state of the whole is a word in the app's
 * folder.
 */
#include "wick/scheduler.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static wk_request *dryrun(const wk_appdef *app, const wk_cfg *cfg, const char *app_id) {
    (void)cfg;
    return wk_request_new(app, "serial", app_id);
}

/* ---- in the child ---- */

static void redirect(const char *app_id, const wk_request_replica *r, const char *stream, int to) {
    char name[256];
    (void)snprintf(name, sizeof name, "%s/%d/%s.log", r->role, r->replica, stream);
    char *path = wk_app_file(app_id, name);
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (fd >= 0) (void)dup2(fd, to);
    wk_free(path);
}

static void become(const char *app_id, const wk_request_replica *r) {
    char number[16];
    redirect(app_id, r, "stdout", STDOUT_FILENO);
    redirect(app_id, r, "stderr", STDERR_FILENO);
    for (size_t i = 0; i < r->env_count; i++) (void)setenv(r->env[i].key, r->env[i].value, 1);
    (void)snprintf(number, sizeof number, "%d", r->replica);
    (void)setenv("RANK", number, 1);
    if (chdir(r->directory) == 0) (void)execvp(r->argv[0], (char *const *)(uintptr_t)r->argv);
    _exit(127);
}

static bool was_cancelled(const char *app_id) {
    char *path = wk_app_file(app_id, "cancel");
    bool there = path && access(path, F_OK) == 0;
    wk_free(path);
    return there;
}

static void tell(const char *app_id, const char *name, const char *word) {
    char *path = wk_app_file(app_id, name);
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
    if (fd >= 0 && write(fd, word, strlen(word)) >= 0) (void)close(fd);
    wk_free(path);
}

/* Each in its turn, until one fails or somebody cancels. */
static void run_all(const wk_request *request) {
    const char *app_id = wk_request_app_id(request);
    const char *outcome = "SUCCEEDED";
    wk_request_replica r;
    for (size_t i = 0; wk_request_replica_at(request, i, &r); i++) {
        int how = 0;
        if (was_cancelled(app_id)) {
            outcome = "CANCELLED";
            break;
        }
        (void)wk_replica_told(app_id, r.role, r.replica, false, 0);
        pid_t pid = fork();
        if (pid == 0) become(app_id, &r);
        (void)waitpid(pid, &how, 0);
        (void)wk_replica_told(app_id, r.role, r.replica, true, how);
        if (how == 0) continue;
        outcome = "FAILED";
        break;
    }
    tell(app_id, "outcome", outcome);
}

/* ---- what wick calls ---- */

static wk_status schedule(wk_request *request) {
    WK_TRY(wk_request_store(request));
    pid_t pid = fork();
    if (pid < 0) return wk_fail(WK_IO, "fork failed");
    if (pid > 0) return WK_OK;
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++) (void)dup2(null, fd);
    (void)setsid();
    run_all(request);
    _exit(0);
}

static wk_app_status *describe(const char *app_id) {
    char word[16] = "RUNNING";
    char *path = wk_app_file(app_id, "outcome");
    int fd = path ? open(path, O_RDONLY) : -1;
    ssize_t got = fd >= 0 ? read(fd, word, sizeof word - 1) : 0;
    if (got > 0) word[got] = '\0';
    if (fd >= 0) (void)close(fd);
    wk_free(path);
    wk_app_state state = WK_APP_RUNNING;
    for (int s = WK_APP_SUCCEEDED; s <= WK_APP_CANCELLED; s++)
        if (strcmp(word, wk_app_state_name((wk_app_state)s)) == 0) state = (wk_app_state)s;
    return wk_app_status_of(app_id, state, "");
}

static wk_status cancel(const char *app_id) {
    tell(app_id, "cancel", "cancel\n");
    return WK_OK;
}

static wk_status list(wk_app_entry **entries, size_t *count);

static const wk_scheduler_ops serial = {
    .api_version = WK_SCHEDULER_API,
    .size = sizeof(wk_scheduler_ops),
    .name = "serial",
    .doc = "replicas one after the other (an example)",
    .dryrun = dryrun,
    .schedule = schedule,
    .describe = describe,
    .log_open = wk_app_log_open,
    .cancel = cancel,
    .list = list,
    .poll_seconds = 0.1, /* describe is the truth, not a lock of wick's */
};

static wk_status list(wk_app_entry **entries, size_t *count) {
    return wk_apps_of(&serial, entries, count);
}

WK_API const wk_scheduler_ops *wk_scheduler_plugin(void);
const wk_scheduler_ops *wk_scheduler_plugin(void) {
    return &serial;
}
