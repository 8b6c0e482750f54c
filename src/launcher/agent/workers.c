/* workers.c: the ranks of one node in one round.
 *
 * Each is a process group that the kernel kills if the agent dies.  The environment is put together before the fork:
 * the rendezvous may run in another thread, and what a fork leaves of malloc is not to be used.
 */
#include "launcher/agent/agent.h"
#include "wick/app.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- folders ---- */

wk_status wk__workers_open(wk__workers *w, const wk__agent_options *options) {
    const char *replica = getenv("WICK_REPLICA_DIR");
    const char *temporary = getenv("TMPDIR");
    *w = (wk__workers){ .options = options, .culprit = -1 };
    if (!options->log_dir && replica)
        w->folder = wk_format("%s/ranks", replica);
    else { /* agents of several nodes may share the folder: each has its own below it, as with torchrun */
        w->own_folder = !options->log_dir;
        if (options->log_dir) WK_TRY(wk__make_dirs(options->log_dir));
        w->folder = options->log_dir ? wk_format("%s/%s_XXXXXX", options->log_dir, options->id)
                                     : wk_format("%s/wick-agent-XXXXXX", temporary && *temporary ? temporary : "/tmp");
        if (w->folder && !mkdtemp(w->folder)) return wk_fail(WK_IO, "%s: %s", w->folder, strerror(errno));
    }
    w->count = (size_t)options->procs;
    w->items = w->folder ? wk_alloc(w->count * sizeof *w->items) : NULL;
    for (size_t i = 0; w->items && i < w->count; i++) w->items[i].ended = true; /* none lives before the first round */
    return w->items ? wk__make_dirs(w->folder) : wk_error_code();
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    (void)remove(path);
    return 0;
}

void wk__workers_close(wk__workers *w) {
    if (w->own_folder && w->folder) (void)nftw(w->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    for (size_t i = 0; w->items && i < w->count; i++) wk_free(w->items[i].folder);
    wk_free(w->items);
    wk_free(w->folder);
}

/* ---- start ---- */

typedef struct environment {
    wk__arena arena;
    char **items;
    size_t count;
} environment;

/* NAME=VALUE takes the place of what NAME was; `weak`: only if it was not set. */
static void set(environment *e, bool weak, const char *name, const char *format, ...) WK_PRINTF(4, 5);
static void set(environment *e, bool weak, const char *name, const char *format, ...) {
    char text[4096];
    va_list list;
    size_t size = strlen(name);
    size_t at = 0;
    while (at < e->count && !(strncmp(e->items[at], name, size) == 0 && e->items[at][size] == '=')) at++;
    if (weak && at < e->count) return;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    char *item = wk__arena_text(&e->arena, "%s=%s", name, text);
    if (!item) return;
    e->items[at] = item;
    e->count += at == e->count;
}

/* Who the agent is among the processes of an mpirun or srun that started it; its ranks are other processes. */
static bool is_of_mpi(const char *item) {
    static const char *const prefixes[] = { "OMPI_COMM_WORLD_", "PMIX_", "PMI_" };
    for (size_t i = 0; i < WK_COUNT(prefixes); i++)
        if (strncmp(item, prefixes[i], strlen(prefixes[i])) == 0) return true;
    return false;
}

/* torchrun's variables (pytorch, local_elastic_agent.py); WICK_AGENT_ROUND counts also the rounds that a node which
 * came or went has begun, and those are no restarts.  The port is rank 0's to listen at: the rendezvous speaks no
 * language of PyTorch's store. */
static wk_status fill_environment(environment *e, const wk__workers *w, size_t local_rank) {
    const wk__round *r = &w->round;
    int rank = (int)local_rank;
    size_t most = 0;
    while (environ[most]) most++;
    e->items = wk__arena_take(&e->arena, (most + 32) * sizeof *e->items);
    if (!e->items) return wk_error_code();
    for (size_t i = 0; i < most; i++)
        if (!is_of_mpi(environ[i])) e->items[e->count++] = environ[i];
    set(e, false, "LOCAL_RANK", "%d", rank);
    set(e, false, "RANK", "%d", r->first_rank + rank);
    set(e, false, "GROUP_RANK", "%d", r->group_rank);
    set(e, false, "ROLE_RANK", "%d", r->role_first + rank);
    set(e, false, "ROLE_NAME", "%s", w->options->role);
    set(e, false, "LOCAL_WORLD_SIZE", "%zu", w->count);
    set(e, false, "WORLD_SIZE", "%d", r->world);
    set(e, false, "GROUP_WORLD_SIZE", "%d", r->group_size);
    set(e, false, "ROLE_WORLD_SIZE", "%d", r->role_world);
    set(e, false, "MASTER_ADDR", "%s", r->master);
    set(e, false, "MASTER_PORT", "%d", r->port);
    set(e, false, "TORCHELASTIC_RESTART_COUNT", "%d", r->restarts);
    set(e, false, "TORCHELASTIC_MAX_RESTARTS", "%d", w->options->max_restarts);
    set(e, false, "WICK_AGENT_ROUND", "%d", r->number);
    set(e, false, "TORCHELASTIC_RUN_ID", "%s", w->options->id);
    set(e, false, "TORCHELASTIC_USE_AGENT_STORE", "%s", "False");
    set(e, false, "TORCHELASTIC_ERROR_FILE", "%s/error.json", w->items[local_rank].folder);
    set(e, true, "TORCH_NCCL_ASYNC_ERROR_HANDLING", "%s", "1");
    int threads = wk__core_count() / (int)w->count;
    set(e, true, "OMP_NUM_THREADS", "%d", threads > 0 ? threads : 1);
    e->items[e->count] = NULL;
    return wk_error_code();
}

static _Noreturn void become(const wk__workers *w, char **variables, const int streams[2], int report, pid_t agent) {
    sigset_t none;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != agent) _exit(127);
    (void)setpgid(0, 0);
    for (int i = 0; i < 2; i++)
        if (streams[i] >= 0) (void)dup2(streams[i], i + 1);
    for (int s = 1; s < NSIG; s++)
        if (s != SIGKILL && s != SIGSTOP) (void)signal(s, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execvpe(w->options->argv[0], (char *const *)(uintptr_t)w->options->argv, variables);
    int error = errno;
    (void)!write(report, &error, sizeof error);
    _exit(127);
}

static int open_log(const wk__workers *w, size_t i, int stream) {
    char path[4096];
    if (!((w->options->tee | w->options->redirects) >> stream & 1u)) return -1;
    (void)snprintf(path, sizeof path, "%s/%s.log", w->items[i].folder, stream ? "stderr" : "stdout");
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static wk_status start_one(wk__workers *w, size_t i) {
    environment e = { 0 };
    int report[2];
    int error = 0;
    wk__worker *worker = &w->items[i];
    wk_free(worker->folder);
    *worker =
        (wk__worker){ .ended = true, .folder = wk_format("%s/attempt_%d/%zu", w->folder, w->round.number - 1, i) };
    if (!worker->folder) return wk_error_code();
    WK_TRY(wk__make_dirs(worker->folder));
    wk_status status = fill_environment(&e, w, i);
    if (status == WK_OK && pipe2(report, O_CLOEXEC) != 0) status = wk_fail(WK_IO, "pipe: %s", strerror(errno));
    if (status == WK_OK) {
        int streams[2] = { open_log(w, i, 0), open_log(w, i, 1) };
        pid_t self = getpid();
        (void)fflush(NULL);
        worker->pid = fork();
        if (worker->pid == 0) become(w, e.items, streams, report[1], self);
        if (worker->pid < 0) error = errno;
        (void)close(report[1]);
        for (int k = 0; k < 2; k++)
            if (streams[k] >= 0) (void)close(streams[k]);
        if (worker->pid > 0 && read(report[0], &error, sizeof error) != sizeof error) error = 0;
        (void)close(report[0]);
        worker->ended = worker->pid <= 0;
        w->alive += !worker->ended;
        if (error) status = wk_fail(WK_NOT_FOUND, "cannot run \"%s\": %s", w->options->argv[0], strerror(error));
    }
    wk__arena_destroy(&e.arena);
    return status;
}

wk_status wk__workers_start(wk__workers *w, const wk__round *round) {
    w->round = *round;
    w->alive = 0;
    w->culprit = -1;
    w->stopping = false;
    for (size_t i = 0; i < w->count; i++) w->items[i].ended = true;
    for (size_t i = 0; i < w->count; i++) WK_TRY(start_one(w, i));
    return WK_OK;
}

/* ---- watch and end ---- */

bool wk__workers_reap(wk__workers *w) {
    int how = 0;
    for (pid_t pid; (pid = waitpid(-1, &how, WNOHANG)) > 0;)
        for (size_t i = 0; i < w->count; i++) {
            if (w->items[i].pid != pid || w->items[i].ended) continue;
            w->items[i].ended = true;
            w->items[i].how = how;
            w->alive--;
            /* Of two that are found at once: one that was killed, not the one that complains of it. */
            if (how != 0 && !w->stopping
                && (w->culprit < 0 || (WIFSIGNALED(how) && !WIFSIGNALED(w->items[w->culprit].how))))
                w->culprit = (int)i;
        }
    return w->alive > 0;
}

/* A process that is killed closes its connections a moment before it can be reaped: one that complains of it may have
 * ended in between. */
static const double HEARSAY_SECONDS = 0.3;

void wk__workers_settle(wk__workers *w) {
    const double end = wk_now() + HEARSAY_SECONDS;
    while (w->alive > 0 && !WIFSIGNALED(w->items[w->culprit].how) && wk_now() < end) {
        wk__sleep(0.01);
        (void)wk__workers_reap(w);
    }
}

void wk__workers_signal(const wk__workers *w, int signal_number) {
    for (size_t i = 0; i < w->count; i++)
        if (!w->items[i].ended) (void)kill(-w->items[i].pid, signal_number);
}

void wk__workers_stop(wk__workers *w, int signal_number) {
    if (w->stopping) return;
    w->stopping = true;
    w->kill_at = wk_now() + w->options->grace;
    wk__workers_signal(w, signal_number);
    wk__workers_signal(w, SIGCONT);
}

/* Groups and what left them; ranks that have ended may have left something behind, too. */
void wk__workers_press(wk__workers *w) {
    if (!w->stopping) return;
    bool over = w->alive == 0;
    if (over && wk__signal_descendants(0) == 0) return;
    if (wk_now() >= w->kill_at || over) (void)wk__signal_descendants(SIGKILL);
}

/* ---- say what went wrong ---- */

int wk__workers_code(const wk__workers *w) {
    int how = w->culprit >= 0 ? w->items[w->culprit].how : 0;
    return WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
}

char *wk__workers_sentence(const wk__workers *w) {
    char host[128] = "";
    char line[400] = "";
    wk_text text = { 0 };
    if (w->culprit < 0) return wk_strdup("a rank failed");
    const wk__worker *worker = &w->items[w->culprit];
    (void)gethostname(host, sizeof host - 1);
    wk_text_printf(&text, "rank %d (local rank %d) ", w->round.first_rank + w->culprit, w->culprit);
    if (WIFSIGNALED(worker->how))
        wk_text_printf(&text, "was killed by %s", wk__signal_name(WTERMSIG(worker->how)));
    else
        wk_text_printf(&text, "ended with exit code %d", WEXITSTATUS(worker->how));
    wk_text_printf(&text, " on host %s", host);
    char *error = wk_format("%s/error.json", worker->folder);
    int code = 0;
    char *message = error ? wk__error_file_message(error, &code, NULL) : NULL;
    if (message) wk_text_printf(&text, "; error: %.1000s", message);
    char *log = wk_format("%s/stderr.log", worker->folder);
    if (log) wk__last_line(log, line, sizeof line);
    if (*line) wk_text_printf(&text, "; last line of stderr: %s", line);
    if (*line && !w->own_folder) wk_text_printf(&text, "; log: %s", log);
    wk_free(message);
    wk_free(error);
    wk_free(log);
    return text.data;
}

void wk__workers_pass_on_error(const wk__workers *w, const char *sentence) {
    const char *target = getenv("TORCHELASTIC_ERROR_FILE");
    if (!target || !*target || w->culprit < 0) return;
    char *path = wk_format("%s/error.json", w->items[w->culprit].folder);
    json_t *root = path ? json_load_file(path, 0, NULL) : NULL;
    json_t *message = json_object_get(root, "message");
    if (message) {
        (void)json_object_set_new(json_is_object(message) ? message : root, "errorCode",
                                  json_integer(wk__workers_code(w)));
        char *text = json_dumps(root, 0);
        if (text) (void)wk__write_file(target, text, strlen(text));
        free(text);
    } else
        (void)wk_record_error(sentence, wk__workers_code(w));
    json_decref(root);
    wk_free(path);
}
