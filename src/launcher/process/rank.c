/* rank.c: `wick __rank APP_DIR ROLE [REPLICA]`: what stands around each replica.
 *
 * It gives the program its environment and its log files, and outlives it by as much as it takes to write down how it
 * ended and to end what it left behind.  It does not trust anyone above: it ends its program when asked to (the file
 * stop.K, a signal), but also when its parent (mpirun) is gone or the supervisor is, whichever way they went.  And
 * nobody below escapes it: the program gets SIGKILL from the kernel if the wrapper dies, and the wrapper is a
 * subreaper, so whatever the program starts stays a descendant.
 *
 * A wrapper below mpirun whose program failed lingers until it is told to go: mpirun would meet its exit with a blunt
 * end of all other ranks, while the supervisor lets them have their grace.
 */
#include "launcher/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONGEST_LINGER = 15 };

typedef struct wrapper {
    const char *app_dir;
    wk_request *request;
    const wk__request_role *role;
    int replica;
    char *directory; /* of this replica */
    char *stop_path;
    char *failed_path;
    int attempt, port;
    pid_t supervisor; /* 0 on another host */
    uint64_t supervisor_start;
    pid_t parent;
    int local_rank, local_size, group_rank;
    int signals; /* signalfd */
    bool hurry;  /* a signal came: what sent it will not wait for our grace */
    bool by_mpi, orphan;
    wk__replica status;
} wrapper;

static int environment_int(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text && *text ? (int)strtol(text, NULL, 10) : otherwise;
}

/* The file `attempt`: "ATTEMPT SUPERVISOR START HOST PORT…", a port for each role. */
static wk_status read_attempt(wrapper *w, const char *app_dir) {
    char *path = wk_format("%s/attempt", app_dir);
    char *text = path ? wk__read_file(path, 1 << 16, NULL) : NULL;
    wk_status status = WK_OK;
    char host[128];
    long pid = 0;
    unsigned long long start = 0;
    int used = 0;
    if (!text || sscanf(text, "%d %ld %llu %127s%n", &w->attempt, &pid, &start, host, &used) != 4)
        status = wk_fail(WK_FORMAT, "%s/attempt cannot be read; on several hosts the state directory must be shared",
                         app_dir);
    else {
        if (strcmp(host, w->status.host) == 0) {
            w->supervisor = (pid_t)pid;
            w->supervisor_start = start;
        }
        const char *at = text + used;
        for (size_t i = 0; i < w->request->role_count; i++) {
            char *end = NULL;
            long port = strtol(at, &end, 10);
            if (&w->request->roles[i] == w->role) w->port = (int)port;
            at = end;
        }
    }
    wk_free(path);
    wk_free(text);
    return status;
}

/* Which replica, and where it stands among its neighbours.  Ranks of roles follow each other in mpirun's world. */
static wk_status find_place(wrapper *w, const char *replica) {
    int ranks = wk__request_ranks(w->request);
    if (replica) {
        w->replica = (int)strtol(replica, NULL, 10);
        w->local_rank = w->replica;
        w->local_size = w->role->replicas;
    } else {
        int rank = environment_int("OMPI_COMM_WORLD_RANK", -1);
        int size = environment_int("OMPI_COMM_WORLD_SIZE", -1);
        if (rank < 0 || size != ranks)
            return wk_fail(WK_STATE, "expected to be one of %d ranks of Open MPI, but OMPI_COMM_WORLD_SIZE is %d",
                           ranks, size);
        w->by_mpi = true;
        w->replica = rank - w->role->first_rank;
        w->local_rank = environment_int("OMPI_COMM_WORLD_LOCAL_RANK", 0);
        w->local_size = environment_int("OMPI_COMM_WORLD_LOCAL_SIZE", 1);
        if (w->local_size == ranks) { /* one host: the role's own numbers are known */
            w->local_rank = w->replica;
            w->local_size = w->role->replicas;
        }
        /* "JOB.NODE;tcp://…" of this host's daemon */
        const char *uri = getenv("OMPI_MCA_orte_local_daemon_uri");
        const char *dot = uri ? strchr(uri, '.') : NULL;
        w->group_rank = dot ? (int)strtol(dot + 1, NULL, 10) : 0;
    }
    if (w->replica < 0 || w->replica >= w->role->replicas)
        return wk_fail(WK_STATE, "role %s has no replica %d", w->role->name, w->replica);
    return WK_OK;
}

static wk_status prepare(wrapper *w, int argc, char **argv) {
    if (argc < 3) return wk_fail(WK_INVALID, "__rank is wick's own command: __rank APP_DIR ROLE [REPLICA]");
    (void)gethostname(w->status.host, sizeof w->status.host - 1);
    w->parent = getppid();
    w->app_dir = argv[1];
    char *path = wk_format("%s/request", argv[1]);
    w->request = path ? wk__request_read(path) : NULL;
    wk_free(path);
    if (!w->request) return wk_error_code();
    for (size_t i = 0; i < w->request->role_count; i++)
        if (strcmp(w->request->roles[i].name, argv[2]) == 0) w->role = &w->request->roles[i];
    if (!w->role) return wk_fail(WK_NOT_FOUND, "no role \"%s\" in %s", argv[2], argv[1]);
    WK_TRY(find_place(w, argc > 3 ? argv[3] : NULL));
    WK_TRY(read_attempt(w, argv[1]));
    w->directory = wk_format("%s/%s/%d", argv[1], w->role->name, w->replica);
    w->stop_path = wk_format("%s/stop.%d", argv[1], w->attempt);
    w->failed_path = wk_format("%s/failed.%d", argv[1], w->attempt);
    if (!w->directory || !w->stop_path || !w->failed_path) return wk_error_code();
    sigset_t set;
    (void)sigemptyset(&set);
    const int watched[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
    for (size_t i = 0; i < WK_COUNT(watched); i++) (void)sigaddset(&set, watched[i]);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    w->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (w->signals < 0) return wk_fail(WK_IO, "signalfd: %s", strerror(errno));
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    return WK_OK;
}

/* ---- the child ---- */

static void set_int(const char *name, int value) {
    char text[16];
    (void)snprintf(text, sizeof text, "%d", value);
    (void)setenv(name, text, 1);
}

static bool has_env(const wk__program *program, const char *name) {
    for (size_t i = 0; i < program->env_count; i++)
        if (strcmp(program->env[i].key, name) == 0) return true;
    return false;
}

/* The role's variables first; what says who a replica is comes after them, because it cannot be otherwise. */
static void set_environment(const wrapper *w, const wk__program *program) {
    for (size_t i = 0; i < program->env_count; i++) (void)setenv(program->env[i].key, program->env[i].value, 1);
    const struct {
        const char *name;
        int value;
    } numbers[] = { { "RANK", w->replica },
                    { "WORLD_SIZE", w->role->replicas },
                    { "LOCAL_RANK", w->local_rank },
                    { "LOCAL_WORLD_SIZE", w->local_size },
                    { "GROUP_RANK", w->group_rank },
                    { "ROLE_RANK", w->replica },
                    { "ROLE_WORLD_SIZE", w->role->replicas },
                    { "TORCHELASTIC_RESTART_COUNT", w->attempt },
                    { "TORCHELASTIC_MAX_RESTARTS", w->role->max_retries } };
    for (size_t i = 0; i < WK_COUNT(numbers); i++) set_int(numbers[i].name, numbers[i].value);
    char text[4096];
    (void)snprintf(text, sizeof text, "%s://%s/%s", w->request->scheduler, WK__SESSION, w->request->app_id);
    (void)setenv("TORCHX_JOB_ID", text, 1);
    (void)snprintf(text, sizeof text, "%s/error.json", w->directory);
    (void)setenv("TORCHELASTIC_ERROR_FILE", text, 1);
    (void)setenv("TORCHX_RANK0_HOST", w->request->master, 1);
    (void)snprintf(text, sizeof text, "%s/torchelastic/%s", w->app_dir, w->role->name);
    (void)setenv("PET_LOG_DIR", text, 0); /* torchrun's --log-dir */
    (void)setenv("PYTHONUNBUFFERED", "x", 0);
    (void)setenv("TORCHELASTIC_RUN_ID", w->request->app_id, 1);
    (void)setenv("WICK_APP_ID", w->request->app_id, 1);
    (void)setenv("WICK_REPLICA_DIR", w->directory, 1);
    (void)setenv("ROLE_NAME", w->role->name, 1);
    if (!has_env(program, "MASTER_ADDR")) (void)setenv("MASTER_ADDR", w->request->master, 1);
    if (!has_env(program, "MASTER_PORT")) set_int("MASTER_PORT", w->port);
    if (!getenv("OMP_NUM_THREADS")) {
        int threads = wk__core_count() / (w->request->bound || w->local_size < 1 ? 1 : w->local_size);
        set_int("OMP_NUM_THREADS", threads > 0 ? threads : 1);
    }
}

static int open_log(const wrapper *w, const char *name) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", w->directory, name);
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static const char *folder_of(const wrapper *w) {
    return *w->role->directory ? w->role->directory : w->request->directory;
}

/* Never returns: becomes the program, or sends errno to the wrapper. */
static _Noreturn void become_program(const wrapper *w, const wk__program *program, int report) {
    sigset_t none;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != w->status.wrapper) _exit(127); /* the wrapper died before the line above */
    (void)setpgid(0, 0);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out = open_log(w, "stdout.log");
    int err = open_log(w, "stderr.log");
    if (null >= 0 && out >= 0 && err >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0
        && dup2(err, STDERR_FILENO) >= 0 && chdir(folder_of(w)) == 0) {
        set_environment(w, program);
        const int restored[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1, SIGPIPE };
        for (size_t i = 0; i < WK_COUNT(restored); i++) (void)signal(restored[i], SIG_DFL);
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)execvp(program->argv[0], (char *const *)(uintptr_t)program->argv);
    }
    int error = errno;
    (void)!write(report, &error, sizeof error);
    _exit(127);
}

/* Why exec failed, in words; also into the replica's own log, where people look first. */
static void explain_start(wrapper *w, const wk__program *program, int error) {
    const char *name = program->argv[0];
    const char *path = has_env(program, "PATH") ? "the role's PATH" : "PATH";
    if (error == ENOENT && !strchr(name, '/'))
        (void)snprintf(w->status.error, sizeof w->status.error, "cannot run \"%.200s\": no such program in %s", name,
                       path);
    else
        (void)snprintf(w->status.error, sizeof w->status.error, "cannot run \"%.200s\" in %.150s: %s", name,
                       folder_of(w), strerror(error));
    int fd = open_log(w, "stderr.log");
    if (fd < 0) return;
    (void)dprintf(fd, "wick: %s\n", w->status.error);
    (void)close(fd);
}

static void start(wrapper *w) {
    const wk__program *program = &w->role->programs[w->replica];
    int ends[2];
    wk__container_end(w->directory, program->argv[0], NULL); /* of an attempt whose wrapper was killed */
    w->status.attempt = w->attempt;
    w->status.wrapper = getpid();
    w->status.started_at = wk_wall_time();
    if (pipe2(ends, O_CLOEXEC) != 0) {
        (void)snprintf(w->status.error, sizeof w->status.error, "pipe: %s", strerror(errno));
        return;
    }
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0) become_program(w, program, ends[1]);
    (void)close(ends[1]);
    int error = child < 0 ? errno : 0;
    if (child > 0 && read(ends[0], &error, sizeof error) != sizeof error) error = 0;
    (void)close(ends[0]);
    if (error) {
        explain_start(w, program, error);
        if (child > 0) (void)waitpid(child, NULL, 0);
    } else
        w->status.pid = child;
}

/* ---- watching ---- */

static bool above_is_gone(wrapper *w) {
    if (getppid() != w->parent) w->orphan = true;
    if (w->supervisor && wk__process_start(w->supervisor) != w->supervisor_start) w->orphan = true;
    return w->orphan;
}

/* Wait up to `milliseconds` for a signal; true if one came that asks for the end. */
static bool await_signal(wrapper *w, int milliseconds) {
    struct pollfd poll_fd = { .fd = w->signals, .events = POLLIN };
    struct signalfd_siginfo info;
    bool asked = false;
    (void)poll(&poll_fd, 1, milliseconds);
    while (read(w->signals, &info, sizeof info) == sizeof info)
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT || info.ssi_signo == SIGHUP) asked = true;
    return asked;
}

/* True once the program itself has ended; its adopted children are reaped on the way. */
static bool reap(wrapper *w) {
    int how = 0;
    for (pid_t pid; (pid = waitpid(-1, &how, WNOHANG)) > 0;) {
        if (pid != w->status.pid) continue;
        w->status.ended = true;
        w->status.ended_at = wk_wall_time();
        if (WIFSIGNALED(how))
            w->status.signal = WTERMSIG(how);
        else
            w->status.exit_code = WEXITSTATUS(how);
    }
    return w->status.ended;
}

static void watch(wrapper *w) {
    double kill_at = 0;
    wk__times *times = wk__times_open(w->directory);
    while (!reap(w)) {
        double look_at = wk__times_note(times);
        bool asked = await_signal(w, (int)((look_at - wk_now()) * 1e3) + 1);
        if (asked) w->hurry = true;
        if (reap(w)) break;
        bool gone = above_is_gone(w); /* asked first: it also says that nobody else will clean up */
        if (!w->status.stopped && (asked || gone || wk__exists(w->stop_path))) {
            w->status.stopped = true;
            kill_at = wk_now() + (w->hurry ? 0.7 : w->request->grace);
            (void)kill(-w->status.pid, SIGTERM);
            (void)kill(-w->status.pid, SIGCONT);
        } else if (w->status.stopped && w->hurry && kill_at > wk_now() + 0.7)
            kill_at = wk_now() + 0.7;
        if (w->status.stopped && wk_now() >= kill_at) {
            (void)kill(-w->status.pid, SIGKILL);
            (void)wk__signal_descendants(SIGKILL);
        }
    }
    wk__times_close(times);
    double left = w->status.stopped ? kill_at - wk_now() : 1.0;
    wk__end_descendants(left > 0.05 ? left : 0.05);
}

/* What Open MPI leaves when it has no time to clean up after itself. */
static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    (void)remove(path);
    return 0;
}

static void clean_after_mpi(const wrapper *w) {
    const char *name_space = getenv("PMIX_NAMESPACE");
    char path[256];
    if (name_space) {
        (void)snprintf(path, sizeof path, "/dev/shm/vader_segment.%.80s.%lu.%lx.%d", w->status.host,
                       (unsigned long)getuid(), strtoul(name_space, NULL, 10), environment_int("PMIX_RANK", 0));
        (void)unlink(path);
    }
    const char *session = getenv("PMIX_SERVER_TMPDIR");
    if (w->orphan && session && strstr(session, "/ompi.") && strstr(session, "/pid."))
        (void)nftw(session, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* The first to fail makes the file; that it was the first is what O_EXCL says. */
static void tell_failure(const wrapper *w) {
    int fd = open(w->failed_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)dprintf(fd, "%s %d\n", w->role->name, w->replica);
        (void)close(fd);
    }
    if (w->supervisor) (void)kill(w->supervisor, SIGUSR1);
}

static void linger(wrapper *w) {
    for (double end = wk_now() + LONGEST_LINGER; wk_now() < end;) {
        if (above_is_gone(w)) return;
        if (await_signal(w, 200)) return;
        while (waitpid(-1, NULL, WNOHANG) > 0) continue;
    }
}

int wk_rank_main(int argc, char **argv) {
    wrapper w = { .signals = -1 };
    int code = 1;
    if (prepare(&w, argc, argv) != WK_OK) {
        (void)wk_report(stderr);
        goto done;
    }
    start(&w);
    (void)wk__replica_write(w.directory, &w.status);
    if (w.status.pid)
        watch(&w);
    else {
        w.status.ended = true;
        w.status.exit_code = 127;
        w.status.ended_at = wk_wall_time();
    }
    wk__container_end(w.directory, w.role->programs[w.replica].argv[0], &w.status);
    code = w.status.signal ? 128 + w.status.signal : w.status.exit_code;
    (void)wk__replica_write(w.directory, &w.status);
    if (code != 0 || w.status.stopped) {
        if (w.by_mpi) clean_after_mpi(&w);
        if (!w.status.stopped) tell_failure(&w);
        if (w.by_mpi && !w.hurry && !w.orphan) linger(&w);
    }
    if (wk_failed()) (void)wk_report(stderr);
done:
    if (w.signals >= 0) (void)close(w.signals);
    wk_free(w.directory);
    wk_free(w.stop_path);
    wk_free(w.failed_path);
    wk_request_free(w.request);
    return code;
}
