/* command.c: `wick profile`: any program, with WICK_PROFILE in its environment; then what it wrote. */
#include "base/base.h"
#include "wick/profile.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum { EXIT_USAGE = 2, MOST_PATH = 4096 };
extern char **environ;

static const char help[] =
    "usage: wick profile [-o FOLDER] -- PROGRAM [ARGUMENTS]...\n"
    "\n"
    "Runs the program and shows where its time went.  Each process that used Wick leaves in FOLDER (\"profile\"):\n"
    "\n"
    "  NAME.txt          the table printed here: operations, and modules by phase\n"
    "  NAME.trace.json   every call, for chrome://tracing or ui.perfetto.dev\n"
    "  NAME.flames.svg   a flame graph, for a browser\n"
    "\n"
    "example: wick profile -- wick train -c examples/fashion_mnist/config.yaml -o trainer.max_epochs=1\n";

static int usage(const char *problem, const char *word) {
    (void)fprintf(stderr, "wick: profile: %s%s%s\n%s", problem, *word ? " " : "", word, help);
    return EXIT_USAGE;
}

/* The program's exit code, 128 + signal, or -1 with an error pending. */
static int run(char *const argv[]) {
    pid_t pid;
    int state, code = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);
    if (code != 0) return (void)wk_fail(WK_IO, "cannot run %s: %s", argv[0], strerror(code)), -1;
    (void)signal(SIGINT, SIG_IGN); /* the program decides what an interrupt means */
    while (waitpid(pid, &state, 0) < 0)
        if (errno != EINTR) return (void)wk_fail(WK_IO, "cannot wait for %s: %s", argv[0], strerror(errno)), -1;
    return WIFSIGNALED(state) ? 128 + WTERMSIG(state) : WEXITSTATUS(state);
}

static bool show(const char *path) {
    FILE *from = fopen(path, "re");
    char line[1000];
    if (!from) return false;
    (void)printf("\n== %s\n", path);
    while (fgets(line, sizeof line, from)) (void)fputs(line, stdout);
    return fclose(from) == 0;
}

static int is_table(const struct dirent *entry) {
    size_t length = strlen(entry->d_name);
    return length > 4 && strcmp(entry->d_name + length - 4, ".txt") == 0;
}

/* The tables that were written since the program began; how many. */
static int show_all(const char *folder, const struct timespec *since) {
    struct dirent **names;
    int count = scandir(folder, &names, is_table, alphasort), shown = 0;
    for (int i = 0; i < count; i++) {
        char path[MOST_PATH];
        struct stat info;
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        bool fresh = stat(path, &info) == 0
                     && (info.st_mtim.tv_sec > since->tv_sec
                         || (info.st_mtim.tv_sec == since->tv_sec && info.st_mtim.tv_nsec >= since->tv_nsec));
        if (fresh) shown += show(path);
        free(names[i]);
    }
    if (count >= 0) free(names);
    return shown;
}

int wk_profile_main(int argc, char **argv) {
    const char *folder = "profile";
    int at = 1;
    for (; at < argc && strcmp(argv[at], "--") != 0 && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) return (void)fputs(help, stdout), 0;
        if (strcmp(argv[at], "-o") != 0) return usage("unknown option", argv[at]);
        if (++at == argc) return usage("nothing stands behind", "-o");
        folder = argv[at];
    }
    if (at < argc && strcmp(argv[at], "--") == 0) at++;
    if (at >= argc) return usage("expected a program to run", "");
    char place[MOST_PATH];
    struct timespec since;
    if ((mkdir(folder, 0777) != 0 && errno != EEXIST) || !realpath(folder, place)) {
        (void)fprintf(stderr, "wick: profile: the folder \"%s\" cannot be made: %s\n", folder, strerror(errno));
        return 1;
    }
    (void)setenv("WICK_PROFILE", place, 1);
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &since); /* the clock that files are dated with */
    int code = run(argv + at);
    if (code < 0) return (void)wk_report(stderr), 1;
    if (show_all(folder, &since) > 0) return code;
    (void)fprintf(stderr, "wick: profile: \"%s\" (exit code %d) ran no operation of Wick%s\n", argv[at], code,
                  code ? ", or ended before it could write" : "");
    return code ? code : 1;
}
