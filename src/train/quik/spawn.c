/* spawn.c: ranks that a program starts of itself: mpirun with so many times this command line.
 *
 * A process that has threads, or a card, must not fork and go on in the child; so ranks are new processes, which come
 * by wk_quik_traverse as this one did and find that they are ranks.  mpirun is a child, so that the caller learns how
 * it went; the kernel tells it to end if the caller dies, however that happens, and it then ends its ranks.
 */
#include "train/quik/quik.h"

#include "base/base.h"
#include "train/ranks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The words of this process's command line behind the program; NULL with an error pending. */
static char **own_arguments(wk_text *line, int *count) {
    FILE *file = fopen("/proc/self/cmdline", "re");
    char chunk[4096];
    for (size_t got; file && (got = fread(chunk, 1, sizeof chunk, file)) > 0;) wk_text_add(line, chunk, got);
    if (file) (void)fclose(file);
    if (line->failed || !line->size) return wk_fail_null(WK_IO, "/proc/self/cmdline cannot be read");
    *count = 0;
    char **words = wk_alloc((line->size + 1) * sizeof *words);
    for (size_t at = strlen(line->data) + 1; words && at < line->size; at += strlen(line->data + at) + 1)
        words[(*count)++] = line->data + at;
    return words;
}

/* Never returns. */
static _Noreturn void become(char **command, pid_t parent, int report) {
    sigset_t none;
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(127);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execvp(command[0], command);
    int error = errno;
    (void)!write(report, &error, sizeof error);
    _exit(127);
}

static wk_status run(char **command, int count) {
    int ends[2], error = 0, how = 0;
    if (pipe2(ends, O_CLOEXEC) != 0) return wk_fail(WK_IO, "pipe: %s", strerror(errno));
    (void)fflush(NULL);
    const pid_t self = getpid(), child = fork();
    if (child == 0) become(command, self, ends[1]);
    if (child < 0) error = errno;
    (void)close(ends[1]);
    if (child > 0 && read(ends[0], &error, sizeof error) != sizeof error) error = 0;
    (void)close(ends[0]);
    while (child > 0 && waitpid(child, &how, 0) < 0 && errno == EINTR) continue;
    if (error)
        return wk_fail(WK_NOT_FOUND,
                       "%d ranks: mpirun cannot be started: %s; install Open MPI or start the ranks yourself", count,
                       strerror(error));
    if (WIFSIGNALED(how))
        return wk_fail(WK_RANK_FAILED, "%d ranks: mpirun was killed by signal %d", count, WTERMSIG(how));
    if (WEXITSTATUS(how))
        return wk_fail(WK_RANK_FAILED, "%d ranks: they ended with exit code %d; the first that failed says why above",
                       count, WEXITSTATUS(how));
    return WK_OK;
}

wk_status wk__quik_spawn(int count) {
    wk_text line = { 0 };
    char program[4096];
    int words = 0;
    char **arguments = own_arguments(&line, &words);
    char **command = arguments ? wk__ranks_command(count, words, arguments, program, sizeof program) : NULL;
    wk_status status = command ? run(command, count) : wk_error_code();
    wk_free(command);
    wk_free(arguments);
    wk_text_free(&line);
    return status;
}
