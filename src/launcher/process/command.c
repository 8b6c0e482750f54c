/* command.c: run another program to its end and have what it said. */
#include "launcher/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_OUTPUT = 64 << 20 };

static _Noreturn void become(const char *const *argv, const wk_pair *env, size_t env_count, int out, int err,
                             int report) {
    int null = open("/dev/null", O_RDONLY);
    sigset_t none;
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(out, STDOUT_FILENO);
    (void)dup2(err, STDERR_FILENO);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    for (size_t i = 0; i < env_count; i++) (void)setenv(env[i].key, env[i].value, 1);
    (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    int error = errno;
    (void)!write(report, &error, sizeof error);
    _exit(127);
}

/* Both streams until both are closed; false if it took longer than that. */
static bool drain(int out, int err, wk__command *c, double seconds) {
    struct pollfd fds[2] = { { .fd = out, .events = POLLIN }, { .fd = err, .events = POLLIN } };
    wk_text *texts[2] = { &c->out, &c->err };
    for (double end = wk_now() + seconds; fds[0].fd >= 0 || fds[1].fd >= 0;) {
        char chunk[16384];
        double left = end - wk_now();
        if (left <= 0 || c->out.size > MOST_OUTPUT) return false;
        (void)poll(fds, 2, (int)(left * 1e3) + 1);
        for (int i = 0; i < 2; i++) {
            ssize_t got = fds[i].fd >= 0 && fds[i].revents ? read(fds[i].fd, chunk, sizeof chunk) : -1;
            if (got > 0) wk_text_add(texts[i], chunk, (size_t)got);
            if (got == 0) fds[i].fd = -1;
        }
    }
    return true;
}

wk_status wk__command_run(const char *const *argv, double seconds, wk__command *c) {
    return wk__command_run_with(argv, NULL, 0, seconds, c);
}

wk_status wk__command_run_with(const char *const *argv, const wk_pair *env, size_t env_count, double seconds,
                               wk__command *c) {
    int pipes[3][2];
    int how = 0;
    int error = 0;
    *c = (wk__command){ 0 };
    wk_text_puts(&c->out, "");
    wk_text_puts(&c->err, "");
    for (int i = 0; i < 3; i++)
        if (pipe2(pipes[i], O_CLOEXEC) != 0) return wk_fail(WK_IO, "pipe: %s", strerror(errno));
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) become(argv, env, env_count, pipes[0][1], pipes[1][1], pipes[2][1]);
    for (int i = 0; i < 3; i++) (void)close(pipes[i][1]);
    bool in_time = pid > 0 && drain(pipes[0][0], pipes[1][0], c, seconds);
    if (pid > 0 && !in_time) (void)kill(pid, SIGKILL);
    while (pid > 0 && waitpid(pid, &how, 0) < 0 && errno == EINTR) continue;
    if (read(pipes[2][0], &error, sizeof error) != sizeof error) error = 0;
    for (int i = 0; i < 3; i++) (void)close(pipes[i][0]);
    c->code = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
    if (pid < 0) return wk_fail(WK_IO, "fork: %s", strerror(errno));
    if (error == ENOENT) return wk_fail(WK_NOT_FOUND, "no program \"%s\" in PATH", argv[0]);
    if (error) return wk_fail(WK_IO, "cannot run %s: %s", argv[0], strerror(error));
    if (!in_time) return wk_fail(WK_TIMEOUT, "%s did not end within %.0f s", argv[0], seconds);
    return c->out.failed || c->err.failed ? wk_error_code() : WK_OK;
}

void wk__command_free(wk__command *c) {
    wk_text_free(&c->out);
    wk_text_free(&c->err);
}
