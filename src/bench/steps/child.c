/* child.c: one measurement in a process of its own.
 *
 * The process leads a group of its own, gets SIGTERM where this program dies before it (mpirun and torchrun end their
 * ranks then), and whatever is left of the group when it has ended, or when its time is over, is killed.  Both of its
 * streams come through one pipe: the result is the last line that begins with a brace, the rest is shown where there is
 * none.
 */
#include "bench/steps/steps.h"

#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const double GRACE = 10; /* seconds from SIGTERM to SIGKILL: for mpirun and torchrun to end their ranks */

/* ---- the process ---- */

static void become(char *const argv[], pid_t parent, int to) {
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(127);
    int null = open("/dev/null", O_RDONLY);
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(to, STDOUT_FILENO);
    (void)dup2(to, STDERR_FILENO);
    (void)execvp(argv[0], argv);
    (void)dprintf(STDERR_FILENO, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static wk_status begin(char *const argv[], pid_t *pid, int *from) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return wk_fail(WK_IO, "no pipe for a process: %s", strerror(errno));
    (void)fflush(NULL);
    pid_t self = getpid();
    *pid = fork();
    if (*pid == 0) become(argv, self, ends[1]);
    (void)close(ends[1]);
    *from = ends[0];
    if (*pid > 0) {
        (void)setpgid(*pid, *pid); /* whichever of the two comes first */
        return WK_OK;
    }
    (void)close(ends[0]);
    return wk_fail(WK_IO, "fork: %s", strerror(errno));
}

/* Whether it has ended; it stays to be waited for. */
static bool has_ended(pid_t pid) {
    siginfo_t info = { 0 };
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid;
}

/* False at the end of both streams. */
static bool read_some(int from, wk_text *output) {
    enum { MOST = 1 << 20 };
    char bytes[4096];
    ssize_t count = read(from, bytes, sizeof bytes);
    if (count <= 0) return count < 0 && errno == EINTR;
    wk_text_add(output, bytes, (size_t)count);
    if (output->size < MOST) return true;
    size_t half = output->size / 2; /* the end is what counts */
    output->size -= half;
    memmove(output->data, output->data + half, output->size + 1);
    return true;
}

/* Read what it prints until it has ended; false where time ran out.  A process that it left behind may hold the streams
 * open for longer, so their end is not waited for. */
static bool follow(pid_t pid, int from, double until, wk_text *output) {
    const int slice = 100; /* ms */
    bool open = true;
    while (wk_now() < until) {
        struct pollfd ready = { .fd = open ? from : -1, .events = POLLIN };
        bool ended = has_ended(pid); /* before the last look at what it printed */
        if (poll(&ready, 1, ended ? 0 : slice) > 0)
            open = read_some(from, output);
        else if (ended)
            return true;
    }
    return false;
}

/* The exit code, or 128 + signal.  The group is killed while its leader's number cannot be another's yet. */
static int end(pid_t pid, bool in_time) {
    int state = 0;
    if (!in_time) {
        (void)kill(-pid, SIGTERM);
        for (double until = wk_now() + GRACE; wk_now() < until && !has_ended(pid);)
            (void)nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
    }
    (void)kill(-pid, SIGKILL);
    while (waitpid(pid, &state, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
}

/* ---- its result ---- */

static json_t *find_result(const char *output) {
    const char *last = *output == '{' ? output : NULL;
    for (const char *at = output; (at = strstr(at, "\n{")); at++) last = at + 1;
    return last ? json_loads(last, JSON_DISABLE_EOF_CHECK, NULL) : NULL;
}

/* The last lines, as many as a message takes. */
static const char *end_of(const wk_text *output) {
    enum { MOST = 700 };
    const char *text = wk_text_get(output);
    if (output->size <= MOST) return text;
    const char *at = text + output->size - MOST, *line = strchr(at, '\n');
    return line && line[1] ? line + 1 : at;
}

json_t *wk__child_run(char *const argv[], const char *who, double patience, double *began) {
    pid_t pid = 0;
    int from = -1;
    wk_text output = { 0 };
    *began = wk_now();
    if (begin(argv, &pid, &from) != WK_OK) return NULL;
    bool in_time = follow(pid, from, *began + patience, &output);
    int code = end(pid, in_time);
    (void)close(from);
    json_t *result = in_time && code == 0 ? find_result(wk_text_get(&output)) : NULL;
    if (!in_time)
        (void)wk_fail(WK_TIMEOUT, "%s: did not end within %g s; its output ends with:\n%s", who, patience,
                      end_of(&output));
    else if (code != 0)
        (void)wk_fail(WK_IO, "%s: ended with code %d; its output ends with:\n%s", who, code, end_of(&output));
    else if (!result)
        (void)wk_fail(WK_FORMAT, "%s: printed no result; its output ends with:\n%s", who, end_of(&output));
    wk_text_free(&output);
    return result;
}
