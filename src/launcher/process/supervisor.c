/* supervisor.c: `wick __supervise APP_ID`: one process an app, from its start to its last word.
 *
 * It starts mpirun or the wrappers, waits, and enforces the gang: when one replica fails, or somebody cancels, all are
 * told to end (stop.K), have their grace, and are killed with everything below them.  A failed app is started again,
 * whole, as often as the failed role allows.  A role with min_replicas loses replicas as long as so many are left, and
 * the others go on: what a lost one means to them is their affair (agents make a new round of it).  It decides by the
 * wrappers' status files: mpirun's own exit code says 0 for lost ranks and 1 for good ones often enough.
 *
 * Nothing is kept in memory that `wick status` needs; when the supervisor is killed its lock falls, the wrappers see
 * it gone, and the next who asks writes FAILED.
 */
#include "launcher/launcher.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOCK_FD = 3, READY_FD = 4 };

typedef struct child {
    pid_t pid; /* 0 once it is reaped */
    int how;
    const wk__request_role *role; /* NULL: mpirun */
    int replica;
    bool lost; /* it failed, and not because it was told to end */
} child;

typedef struct supervisor {
    const char *app_id;
    char *directory, *cancel_path;
    wk_request *request;
    wk__store *store;
    int signals;
    int attempt;
    child *children; /* mpirun alone, or one wrapper a rank */
    size_t child_count, alive;
    bool asked_by_signal, cancelled, stopping, told;
    double stop_at;
    const wk__request_role *culprit;
    int culprit_replica;
    char message[1800];
} supervisor;

static char *path_in(const supervisor *s, const char *name) {
    return wk_format("%s/%s.%d", s->directory, name, s->attempt);
}

static bool exists_in(const supervisor *s, const char *name) {
    char *path = path_in(s, name);
    bool there = path && wk__exists(path);
    wk_free(path);
    return there;
}

/* ---- start ---- */

/* A port that is free now.  Another may take it before rank 0 does; then that attempt fails and says so. */
static int free_port(void) {
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t size = sizeof address;
    int port = 29500;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0
        && getsockname(fd, (struct sockaddr *)&address, &size) == 0)
        port = ntohs(address.sin_port);
    if (fd >= 0) (void)close(fd);
    return port;
}

static wk_status write_attempt(const supervisor *s) {
    char host[128] = "";
    wk_text text = { 0 };
    (void)gethostname(host, sizeof host - 1);
    wk_text_printf(&text, "%d %ld %llu %s", s->attempt, (long)getpid(), (unsigned long long)wk__process_start(getpid()),
                   host);
    for (size_t i = 0; i < s->request->role_count; i++) wk_text_printf(&text, " %d", free_port());
    wk_text_puts(&text, "\n");
    char *path = wk_format("%s/attempt", s->directory);
    wk_status status = path && !text.failed ? wk__write_file(path, text.data, text.size) : wk_error_code();
    wk_free(path);
    wk_text_free(&text);
    return status;
}

/* Folders of all replicas; what an earlier attempt left moves aside as NAME.K.EXTENSION. */
static wk_status prepare_folders(const supervisor *s) {
    static const char *const names[][2] = {
        { "stdout", ".log" }, { "stderr", ".log" }, { "error", ".json" }, { "status", "" }, { "times", "" }
    };
    for (size_t i = 0; i < s->request->role_count; i++)
        for (int k = 0; k < s->request->roles[i].replicas; k++) {
            char folder[4096];
            (void)snprintf(folder, sizeof folder, "%s/%s/%d", s->directory, s->request->roles[i].name, k);
            WK_TRY(wk__make_dirs(folder));
            for (size_t n = 0; s->attempt > 0 && n < WK_COUNT(names); n++) {
                char *from = wk_format("%s/%s%s", folder, names[n][0], names[n][1]);
                char *to = wk_format("%s/%s.%d%s", folder, names[n][0], s->attempt - 1, names[n][1]);
                if (from && to) (void)rename(from, to);
                wk_free(from);
                wk_free(to);
            }
        }
    return WK_OK;
}

/* A job that itself runs under mpirun hands down the names of that world; ours would take itself for a part of it. */
static void leave_outer_world(void) {
    static const char *const prefixes[] = { "OMPI_COMM_WORLD_", "OMPI_MCA_ess", "OMPI_MCA_orte",
                                            "OMPI_UNIVERSE",    "PMIX_",        "PMI_" };
    if (!getenv("OMPI_COMM_WORLD_RANK")) return;
    for (char **at = environ; *at;) {
        bool ours = false;
        for (size_t i = 0; i < WK_COUNT(prefixes); i++)
            ours = ours || strncmp(*at, prefixes[i], strlen(prefixes[i])) == 0;
        char *name = ours ? wk_format("%.*s", (int)strcspn(*at, "="), *at) : NULL;
        if (name)
            (void)unsetenv(name); /* the next one moves to this place */
        else
            at++;
        wk_free(name);
    }
}

/* mpirun does not survive us (SIGKILL: its ranks' wrappers clean up better than it does); a wrapper ends by itself. */
static wk_status spawn(supervisor *s, const char *const *argv, const char *log, bool dies_with_us) {
    (void)fflush(NULL);
    pid_t self = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        if (dies_with_us) (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != self) _exit(127);
        (void)setpgid(0, 0);
        int out = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
        if (out >= 0) {
            (void)dup2(out, STDOUT_FILENO);
            (void)dup2(out, STDERR_FILENO);
        }
        if (dies_with_us) {
            leave_outer_world();
            if (getuid() == 0) {
                (void)setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
                (void)setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
            }
        }
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)execv(argv[0], (char *const *)(uintptr_t)argv);
        (void)dprintf(STDERR_FILENO, "wick: cannot run %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    if (pid < 0) return wk_fail(WK_IO, "fork: %s", strerror(errno));
    s->children[s->child_count++] = (child){ .pid = pid };
    s->alive++;
    return WK_OK;
}

static wk_status start(supervisor *s) {
    const wk_request *r = s->request;
    s->child_count = s->alive = 0;
    s->stopping = s->told = false;
    s->culprit = NULL;
    WK_TRY(prepare_folders(s));
    WK_TRY(write_attempt(s));
    if (r->launcher_count) {
        char *log = path_in(s, "mpirun.log");
        wk_status status = log ? spawn(s, r->launcher, log, true) : wk_error_code();
        wk_free(log);
        return status;
    }
    for (size_t i = 0; i < r->role_count; i++)
        for (int k = 0; k < r->roles[i].replicas; k++) {
            char number[16];
            (void)snprintf(number, sizeof number, "%d", k);
            const char *argv[] = { r->wick, "__rank", s->directory, r->roles[i].name, number, NULL };
            WK_TRY(spawn(s, argv, NULL, false));
            s->children[s->child_count - 1].role = &r->roles[i];
            s->children[s->child_count - 1].replica = k;
        }
    return WK_OK;
}

/* ---- watch ---- */

static char *replica_folder(const supervisor *s, const wk__request_role *role, int k) {
    return wk_format("%s/%s/%d", s->directory, role->name, k);
}

static bool read_status(const supervisor *s, const wk__request_role *role, int k, wk__replica *out) {
    char *folder = replica_folder(s, role, k);
    bool there = folder && wk__replica_read(folder, out) && out->attempt == s->attempt;
    wk_free(folder);
    return there;
}

/* Are all replicas that ever started at their end?  On the way, wake the wrappers of this host. */
static bool all_ended(const supervisor *s, bool wake) {
    bool ended = true;
    char host[128] = "";
    (void)gethostname(host, sizeof host - 1);
    for (size_t i = 0; i < s->request->role_count; i++)
        for (int k = 0; k < s->request->roles[i].replicas; k++) {
            wk__replica status;
            if (!read_status(s, &s->request->roles[i], k, &status) || status.ended) continue;
            ended = false;
            if (wake && strcmp(host, status.host) == 0 && wk__process_start(status.wrapper))
                (void)kill(status.wrapper, SIGUSR1);
        }
    return ended;
}

static void signal_children(const supervisor *s, int signal_number) {
    for (size_t i = 0; i < s->child_count; i++)
        if (s->children[i].pid) (void)kill(s->children[i].pid, signal_number);
}

static char *sentence_of(const supervisor *s, const wk__request_role *role, int k) {
    wk__replica status;
    char *folder = replica_folder(s, role, k);
    (void)read_status(s, role, k, &status);
    char *sentence = folder ? wk__replica_sentence(role->name, k, &status, folder) : NULL;
    wk_free(folder);
    return sentence;
}

static int count_lost(const supervisor *s, const wk__request_role *role) {
    int lost = 0;
    for (size_t i = 0; i < s->child_count; i++) lost += s->children[i].lost && s->children[i].role == role;
    return lost;
}

/* A wrapper or mpirun failed: the gang ends, or does without.  Of a wrapper that was killed itself nobody knows what it
 * has left behind, so that is never borne. */
static void lose(supervisor *s, child *c) {
    wk__replica status;
    c->lost = true;
    s->told = s->told || !c->role || !read_status(s, c->role, c->replica, &status) || !status.ended
              || c->role->replicas - count_lost(s, c->role) < c->role->least;
    char *sentence = s->told ? NULL : sentence_of(s, c->role, c->replica);
    if (!sentence) return;
    (void)snprintf(s->message, sizeof s->message, "%d of %d replicas of %s left (min_replicas %d): %s",
                   c->role->replicas - count_lost(s, c->role), c->role->replicas, c->role->name, c->role->least,
                   sentence);
    (void)wk__store_update(s->store, s->app_id, WK_APP_RUNNING, s->attempt, s->message);
    wk_free(sentence);
}

static void reap(supervisor *s) {
    int how = 0;
    for (pid_t pid; (pid = waitpid(-1, &how, WNOHANG)) > 0;)
        for (size_t i = 0; i < s->child_count; i++)
            if (s->children[i].pid == pid) {
                s->children[i].pid = 0;
                s->children[i].how = how;
                s->alive--;
                if (how != 0 && !s->stopping) lose(s, &s->children[i]);
            }
}

static void await_event(supervisor *s) {
    struct pollfd poll_fd = { .fd = s->signals, .events = POLLIN };
    struct signalfd_siginfo info;
    (void)poll(&poll_fd, 1, s->stopping ? 50 : 250);
    while (read(s->signals, &info, sizeof info) == sizeof info)
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) s->asked_by_signal = s->cancelled = true;
}

static void begin_stop(supervisor *s) {
    char *path = path_in(s, "stop");
    if (path) (void)wk__write_file(path, "stop\n", 5);
    wk_free(path);
    s->stopping = true;
    s->stop_at = wk_now();
    (void)all_ended(s, true);
}

/* Stages after the word was given: all ended or grace over: TERM to mpirun; 3 s more: KILL to all that descends. */
static void press(supervisor *s, int *stage) {
    double since = wk_now() - s->stop_at;
    if (*stage == 0 && (since > s->request->grace + 1 || all_ended(s, false))) {
        if (s->request->launcher_count || since > s->request->grace + 1) signal_children(s, SIGTERM);
        *stage = 1;
        s->stop_at = wk_now();
    } else if (*stage == 1 && since > 3) {
        (void)wk__signal_descendants(SIGKILL);
        s->stop_at = wk_now();
    }
}

static void watch(supervisor *s) {
    int stage = 0;
    while (s->alive > 0) {
        await_event(s);
        reap(s);
        if (wk__exists(s->cancel_path)) s->cancelled = true;
        if (!s->stopping && s->alive > 0
            && (s->cancelled || s->told || (s->request->launcher_count && exists_in(s, "failed"))))
            begin_stop(s);
        if (s->stopping) press(s, &stage);
    }
    /* mpirun was killed: its wrappers are ours now, and end their programs with grace as they always do. */
    if (!s->stopping && wk__signal_descendants(0) > 0) {
        begin_stop(s);
        for (double end = wk_now() + s->request->grace + 1; wk_now() < end && wk__signal_descendants(0) > 0;) {
            await_event(s);
            reap(s);
        }
    }
    wk__end_descendants(1);
}

/* ---- judge ---- */

/* The first that failed, as it wrote itself; else the first that neither succeeded nor was told to end. */
static void find_culprit(supervisor *s) {
    char *path = path_in(s, "failed");
    char *text = path ? wk__read_file(path, 256, NULL) : NULL;
    char role[128];
    int replica = 0;
    if (text && sscanf(text, "%127s %d", role, &replica) == 2)
        for (size_t i = 0; i < s->request->role_count; i++)
            if (strcmp(s->request->roles[i].name, role) == 0) {
                s->culprit = &s->request->roles[i];
                s->culprit_replica = replica;
            }
    wk_free(path);
    wk_free(text);
}

static bool succeeded(const wk__replica *r) {
    return r->ended && !r->stopped && r->exit_code == 0 && r->signal == 0 && r->error[0] == '\0';
}

/* Counts, and a culprit if none is known: one that left no last word before one that was stopped. */
static void survey(supervisor *s, int *good, int *seen) {
    const wk__request_role *worst = NULL;
    int worst_replica = 0;
    *good = *seen = 0;
    for (size_t i = 0; i < s->request->role_count; i++)
        for (int k = 0; k < s->request->roles[i].replicas; k++) {
            wk__replica status;
            bool there = read_status(s, &s->request->roles[i], k, &status);
            *seen += there;
            if (there && succeeded(&status))
                (*good)++;
            else if (!worst && there && !status.stopped) {
                worst = &s->request->roles[i];
                worst_replica = k;
            }
        }
    if (!s->culprit && worst) {
        s->culprit = worst;
        s->culprit_replica = worst_replica;
    }
}

/* The host that mpirun lost, as it says itself.  It kills its own ranks then, and which of all ranks still leaves a
 * word is a race that tells nothing. */
static bool find_lost_host(const supervisor *s, char host[256]) {
    char *path = s->request->launcher_count ? path_in(s, "mpirun.log") : NULL;
    char *text = path ? wk__read_file(path, 1 << 20, NULL) : NULL;
    const char *lost = text ? strstr(text, "lost communication with a remote daemon") : NULL;
    const char *daemon = lost ? strstr(lost, "Remote daemon:") : NULL;
    const char *node = daemon ? strstr(daemon, " on node ") : NULL;
    const bool found = node && sscanf(node, " on node %255s", host) == 1;
    wk_free(text);
    wk_free(path);
    return found;
}

/* The first replica that ran there. */
static void blame_host(supervisor *s, const char *host) {
    for (size_t i = 0; i < s->request->role_count; i++)
        for (int k = 0; k < s->request->roles[i].replicas; k++) {
            wk__replica status;
            if (!read_status(s, &s->request->roles[i], k, &status) || strcmp(status.host, host) != 0) continue;
            s->culprit = &s->request->roles[i];
            s->culprit_replica = k;
            return;
        }
}

/* The first words of mpirun's lengthy explanation, on one line; rules and blank lines left out. */
static void first_words(const char *path, char *words, size_t size) {
    size_t used = 0;
    char *text = wk__read_file(path, 4096, NULL);
    *words = '\0';
    for (char *line = text, *end; line && *line && used < 240; line = end) {
        end = line + strcspn(line, "\n");
        if (*end) *end++ = '\0';
        line += strspn(line, " -");
        if (*line) used += (size_t)snprintf(words + used, size - used, "%s%.200s", used ? " " : ": ", line);
    }
    wk_free(text);
}

static void describe_children(supervisor *s, bool all_started) {
    int how = 0;
    for (size_t i = 0; i < s->child_count && how == 0; i++) how = s->children[i].how;
    const char *who = s->request->launcher_count ? "mpirun" : "a wrapper";
    char *log = s->request->launcher_count ? path_in(s, "mpirun.log") : wk_format("%s/supervisor.log", s->directory);
    char how_text[64];
    char words[600] = "";
    if (log && s->request->launcher_count) first_words(log, words, sizeof words);
    if (WIFSIGNALED(how))
        (void)snprintf(how_text, sizeof how_text, "was killed by %s", wk__signal_name(WTERMSIG(how)));
    else
        (void)snprintf(how_text, sizeof how_text, "ended with exit code %d", WEXITSTATUS(how));
    (void)snprintf(s->message, sizeof s->message, "%s %s%s%s; log: %s", who, how_text,
                   all_started ? "" : " before all replicas had started", words, log ? log : "?");
    wk_free(log);
}

/* Did all succeed but those that could be done without?  The message still says the last of them. */
static bool went_on(const supervisor *s, int good) {
    int lost = 0;
    for (size_t i = 0; i < s->child_count; i++) lost += s->children[i].lost;
    return !s->told && !s->cancelled && lost > 0 && good + lost == wk__request_ranks(s->request);
}

/* The role that lost too many, where that was more than one. */
static void say_too_few(supervisor *s) {
    const size_t size = strlen(s->message);
    for (size_t i = 0; i < s->request->role_count; i++) {
        const wk__request_role *role = &s->request->roles[i];
        const int left = role->replicas - count_lost(s, role);
        if (s->request->launcher_count || role->least == role->replicas || left >= role->least) continue;
        (void)snprintf(s->message + size, sizeof s->message - size,
                       "; %d of %d replicas of %s were left, fewer than min_replicas %d", left, role->replicas,
                       role->name, role->least);
        return;
    }
}

static wk_app_state judge(supervisor *s) {
    int good = 0;
    int seen = 0;
    char lost[256] = "";
    find_culprit(s);
    if (!s->culprit && find_lost_host(s, lost)) blame_host(s, lost);
    survey(s, &good, &seen);
    if (went_on(s, good)) return WK_APP_SUCCEEDED;
    s->message[0] = '\0';
    if (good == wk__request_ranks(s->request)) return WK_APP_SUCCEEDED;
    if (s->cancelled) {
        (void)snprintf(s->message, sizeof s->message, "%s",
                       s->asked_by_signal ? "cancelled: the supervisor was told to end by a signal" : "cancelled");
        return WK_APP_CANCELLED;
    }
    if (s->culprit) {
        char *sentence = sentence_of(s, s->culprit, s->culprit_replica);
        (void)snprintf(s->message, sizeof s->message, "%s%s%s%s", *lost ? "mpirun lost the connection to host " : "",
                       lost, *lost ? "; " : "", sentence ? sentence : "a replica failed");
        wk_free(sentence);
        say_too_few(s);
    } else if (s->child_count)
        describe_children(s, seen == wk__request_ranks(s->request));
    else
        (void)snprintf(s->message, sizeof s->message, "%s", wk_message());
    return WK_APP_FAILED;
}

/* ---- the whole life ---- */

static wk_app_state run_once(supervisor *s) {
    if (start(s) != WK_OK) {
        /* Half a gang may stand: it ends like a gang that failed. */
        s->told = true;
        if (s->alive == 0) return judge(s);
    }
    (void)wk__store_update(s->store, s->app_id, WK_APP_RUNNING, s->attempt, NULL);
    watch(s);
    return judge(s);
}

/* Before the last word, so that who waits for that finds them; a copy that fails does not make a good run a bad one. */
static void keep_logs(supervisor *s, wk_app_state state) {
    if (!*s->request->log_url || wk__logs_keep(s->request, state, s->message) == WK_OK) return;
    const size_t size = strlen(s->message);
    (void)snprintf(s->message + size, sizeof s->message - size, "%sthe logs could not be kept: %s", size ? "; " : "",
                   wk_message());
    wk_clear_error();
}

static void run(supervisor *s) {
    for (;;) {
        wk_app_state state = run_once(s);
        wk_clear_error();
        int allowed = s->culprit ? s->culprit->max_retries : s->request->roles[0].max_retries;
        if (state != WK_APP_FAILED || s->attempt >= allowed || wk__exists(s->cancel_path)) {
            keep_logs(s, state);
            (void)wk__store_update(s->store, s->app_id, state, s->attempt, s->message);
            return;
        }
        char note[2000];
        s->attempt++;
        (void)snprintf(note, sizeof note, "restart %d of %d after %s", s->attempt, allowed, s->message);
        (void)wk__store_update(s->store, s->app_id, WK_APP_PENDING, s->attempt, note);
    }
}

static wk_status prepare(supervisor *s, int argc, char **argv) {
    if (argc < 2 || fcntl(LOCK_FD, F_SETFD, FD_CLOEXEC) != 0 || fcntl(READY_FD, F_SETFD, FD_CLOEXEC) != 0)
        return wk_fail(WK_INVALID, "__supervise is wick's own command; use wick run");
    s->app_id = argv[1];
    s->directory = wk__app_path(s->app_id, NULL);
    s->cancel_path = wk__app_path(s->app_id, "cancel");
    char *request = wk__app_path(s->app_id, "request");
    if (s->directory && s->cancel_path && request) s->request = wk__request_read(request);
    wk_free(request);
    if (!s->request || !(s->store = wk__store_open())) return wk_error_code();
    s->children = wk_alloc((size_t)wk__request_ranks(s->request) * sizeof *s->children);
    if (!s->children) return wk_error_code();
    sigset_t set;
    (void)sigemptyset(&set);
    const int watched[] = { SIGCHLD, SIGTERM, SIGINT, SIGUSR1 };
    for (size_t i = 0; i < WK_COUNT(watched); i++) (void)sigaddset(&set, watched[i]);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->signals < 0) return wk_fail(WK_IO, "signalfd: %s", strerror(errno));
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    return wk__store_update(s->store, s->app_id, WK_APP_SUBMITTED, 0, NULL);
}

int wk_supervise_main(int argc, char **argv) {
    supervisor s = { .signals = -1 };
    wk_status status = prepare(&s, argc, argv);
    (void)dprintf(READY_FD, "%s", status == WK_OK ? "ok" : wk_message());
    (void)close(READY_FD);
    if (status == WK_OK)
        run(&s);
    else
        (void)wk_report(stderr);
    if (s.signals >= 0) (void)close(s.signals);
    wk__store_close(s.store);
    wk_request_free(s.request);
    wk_free(s.children);
    wk_free(s.directory);
    wk_free(s.cancel_path);
    return status == WK_OK ? 0 : 1;
}
