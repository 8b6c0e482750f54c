/* monitor.c: `wick monitor`: a program that serves others, such as TensorBoard, from when it is wanted until it is not.
 *
 * The program gets a process group of its own, so that all it started ends with it; signals to the monitor are passed
 * on.  Everything happens in one loop that sleeps until a signal comes or it is time to look at the files again.
 */
#include "launcher/launcher.h"
#include "wick/files.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_TIMEOUT = 34, EXIT_NO_PROGRAM = 127 }; /* 34: TorchX's */
static const double LEAST_PAUSE = 0.01;                            /* between two looks at the files */

static const char help[] =
    "usage: wick monitor [options] [--] PROGRAM [ARGUMENT...]\n"
    "\n"
    "Runs a program until it ends, a file appears, or time is up, and then sees that nothing of it is left.\n"
    "\n"
    "  --timeout SECONDS        from now on; 0: no end (0)\n"
    "  --start-on-file FILE     wait for this file before starting\n"
    "  --exit-on-file FILE      end the program when this file appears\n"
    "                           (both: a path or a URL)\n"
    "  --poll-rate SECONDS      how often to look (5)\n"
    "  --kill-timeout SECONDS   from SIGTERM to SIGKILL (60)\n"
    "\n"
    "Exit code: that of the program (128 + its signal); 0 if a file ended it; 34 if time was up; 127 if it cannot be\n"
    "run.\n"
    "\n"
    "example: wick monitor --exit-on-file runs/done tensorboard --logdir runs\n";

typedef struct options {
    double timeout, poll, grace;
    const char *start_file, *exit_file;
    char **program;
} options;

/* ---- the command line ---- */

static int usage(const char *problem, const char *word) {
    (void)fprintf(stderr, "wick: monitor: %s%s%s\n%s", problem, *word ? " " : "", word, help);
    return EXIT_USAGE;
}

static bool read_seconds(const char *text, double *seconds) {
    char *end = NULL;
    *seconds = text ? strtod(text, &end) : -1;
    return text && end != text && *end == '\0' && *seconds >= 0 && *seconds <= 1e9;
}

/* TorchX writes these with underscores. */
static bool is(const char *word, const char *name) {
    if (strncmp(word, "--", 2) != 0 || strlen(word) != strlen(name) + 2) return false;
    for (size_t i = 0; name[i]; i++)
        if (word[i + 2] != name[i] && !(word[i + 2] == '_' && name[i] == '-')) return false;
    return true;
}

/* -1: go on, else the exit code. */
static int read_options(int argc, char **argv, options *o) {
    int at = 1;
    while (at < argc && argv[at][0] == '-') {
        const struct {
            const char *name;
            double *seconds;
        } numbers[] = { { "timeout", &o->timeout }, { "poll-rate", &o->poll }, { "kill-timeout", &o->grace } };
        const char *word = argv[at], *value = argv[at + 1];
        bool known = false;
        if (strcmp(word, "--") == 0) {
            at++;
            break;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) return fputs(help, stdout) < 0;
        for (size_t i = 0; i < WK_COUNT(numbers); i++)
            if (is(word, numbers[i].name)) {
                known = true;
                if (!read_seconds(value, numbers[i].seconds)) return usage("expected seconds behind", word);
            }
        if (is(word, "start-on-file")) known = true, o->start_file = value;
        if (is(word, "exit-on-file")) known = true, o->exit_file = value;
        if (!known) return usage("unknown option", word);
        if (!value) return usage("expected a word behind", word);
        at += 2;
    }
    if (at >= argc) return usage("a program is missing", "");
    if (o->poll < LEAST_PAUSE) o->poll = LEAST_PAUSE;
    o->program = argv + at;
    return -1;
}

/* ---- the program ---- */

static void block(sigset_t *all, sigset_t *former) {
    (void)sigemptyset(all);
    const int numbers[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT };
    for (size_t i = 0; i < WK_COUNT(numbers); i++) (void)sigaddset(all, numbers[i]);
    (void)sigprocmask(SIG_BLOCK, all, former);
}

static pid_t start(const options *o, const sigset_t *former) {
    pid_t pid = fork();
    if (pid != 0) {
        if (pid > 0) (void)setpgid(pid, pid); /* whichever of the two comes first */
        return pid;
    }
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)sigprocmask(SIG_SETMASK, former, NULL);
    (void)execvp(o->program[0], o->program);
    (void)fprintf(stderr, "wick: monitor: %s: %s\n", o->program[0], strerror(errno));
    _exit(EXIT_NO_PROGRAM);
}

/* The signal that came within so many seconds, 0: none. */
static int next_signal(const sigset_t *all, double seconds) {
    const struct timespec wait = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
    const int number = sigtimedwait(all, NULL, &wait);
    return number > 0 ? number : 0;
}

static double least(double a, double b) {
    return a < b ? a : b;
}

/* A server that does not answer now may do so at the next look. */
static bool exists(const char *url) {
    bool there = false;
    if (!url || !*url || wk_file_exists(url, &there) == WK_OK) return there;
    wk_log_write(WK_LOG_WARNING, "monitor: %s", wk_message());
    wk_clear_error();
    return false;
}

/* True once it may start; false: *code is the exit code. */
static bool wait_for_start(const options *o, const sigset_t *all, double end, int *code) {
    while (o->start_file && *o->start_file && !exists(o->start_file)) {
        const double left = end - wk_now();
        if (left <= 0) {
            (void)fprintf(stderr, "wick: monitor: %s did not appear in %g s\n", o->start_file, o->timeout);
            *code = EXIT_TIMEOUT;
            return false;
        }
        const int number = next_signal(all, least(o->poll, left));
        if (number == 0 || number == SIGCHLD) continue;
        *code = 128 + number;
        return false;
    }
    return true;
}

/* SIGTERM, and SIGKILL to what is left; the program's own end is waited for. */
static int end_program(const options *o, const sigset_t *all, pid_t pid) {
    int how = 0;
    const double begin = wk_now();
    (void)kill(-pid, SIGTERM);
    while (waitpid(pid, &how, WNOHANG) == 0) {
        const double left = begin + o->grace - wk_now();
        if (left <= 0) {
            (void)kill(-pid, SIGKILL);
            (void)waitpid(pid, &how, 0);
            break;
        }
        (void)next_signal(all, least(left, 0.2));
    }
    (void)kill(-pid, SIGKILL); /* what it had started */
    return WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
}

static int watch(const options *o, const sigset_t *all, pid_t pid, double end) {
    for (;;) {
        int how = 0;
        if (waitpid(pid, &how, WNOHANG) == pid) {
            (void)kill(-pid, SIGKILL);
            return WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
        }
        if (exists(o->exit_file)) {
            (void)end_program(o, all, pid);
            return 0;
        }
        const double left = end - wk_now();
        if (left <= 0) {
            (void)fprintf(stderr, "wick: monitor: %g s are over\n", o->timeout);
            (void)end_program(o, all, pid);
            return EXIT_TIMEOUT;
        }
        const int number = next_signal(all, least(o->poll, left));
        if (number && number != SIGCHLD) return end_program(o, all, pid);
    }
}

int wk_monitor_main(int argc, char **argv) {
    options o = { .poll = 5, .grace = 60 };
    sigset_t all, former;
    int code = read_options(argc, argv, &o);
    if (code >= 0) return code;
    const double end = o.timeout > 0 ? wk_now() + o.timeout : wk_now() + 1e12;
    block(&all, &former);
    if (!wait_for_start(&o, &all, end, &code)) return code;
    const pid_t pid = start(&o, &former);
    if (pid > 0) return watch(&o, &all, pid, end);
    (void)fprintf(stderr, "wick: monitor: no process for %s: %s\n", o.program[0], strerror(errno));
    return 1;
}
