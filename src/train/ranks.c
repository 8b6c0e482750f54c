/* ranks.c: `trainer: { devices: 2 }`: the process becomes mpirun, which starts this program twice; where there is no
 * mpirun, `wick agent`, which starts it on this machine without one.
 *
 * Nothing has been opened yet but a group of one rank; the ranks see from the starter's variables that they are ranks.
 */
#include "train/ranks.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool wk__is_rank(void) {
    static const char *const started[] = { "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "RANK", "SLURM_PROCID" };
    for (size_t i = 0; i < WK_COUNT(started); i++)
        if (getenv(started[i])) return true;
    return false;
}

bool wk__ranks_wanted(const wk__run_config *config, const wk_group *group) {
    const bool is_alone = config->params.hosts <= 1; /* those of several hosts are started by somebody else */
    return is_alone && !wk__is_rank() && config->params.devices > 1 && wk_group_size(group) == 1;
}

enum { DIGITS = 24 };

/* The words of a starter, the number of ranks, this program and its words; `program` has the room for both. */
static char **command_of(const char *const *first, size_t own, int64_t count, int argc, char **argv, char *program) {
    char *number = program + strlen(program) + 1; /* behind the path */
    (void)snprintf(number, DIGITS, "%lld", (long long)count);
    char **words = wk_alloc(((size_t)argc + own + 3) * sizeof *words);
    if (!words) return NULL;
    memcpy((void *)words, (const void *)first, own * sizeof *words);
    words[own] = number;
    words[own + 1] = program;
    for (int i = 0; i < argc; i++) words[own + 2 + (size_t)i] = argv[i];
    return words;
}

static wk_status find_program(char *program, size_t room) {
    const ssize_t size = readlink("/proc/self/exe", program, room - DIGITS - 1);
    if (size < 0) return wk_fail(WK_IO, "/proc/self/exe: %s", strerror(errno));
    program[size] = '\0';
    return WK_OK;
}

char **wk__ranks_command(int64_t count, int argc, char **argv, char *program, size_t room) {
    static const char *const first[] = { "mpirun", "--oversubscribe", "--bind-to", "none", "-n" };
    if (find_program(program, room) != WK_OK) return NULL;
    return command_of(first, WK_COUNT(first), count, argc, argv, program);
}

/* Ranks of one machine meet without MPI. */
static void become_agent(int64_t count, int argc, char **argv) {
    char program[PATH_MAX];
    const char *const first[] = { program, "agent", "--nproc-per-node" };
    char **words = find_program(program, sizeof program) == WK_OK
                       ? command_of(first, WK_COUNT(first), count, argc, argv, program)
                       : NULL;
    if (words) (void)execv(program, words);
    wk_free((void *)words);
}

void wk__ranks_start(const wk__run_config *config, int argc, char **argv, wk_group *group) {
    char program[PATH_MAX];
    const int64_t count = config->params.devices;
    (void)group;
    char **words = wk__ranks_command(count, argc, argv, program, sizeof program);
    if (!words) return;
    (void)execvp(words[0], words);
    if (errno == ENOENT) become_agent(count, argc, argv);
    (void)wk_fail(WK_NOT_FOUND, "trainer.devices is %lld: neither mpirun nor wick agent can be started: %s",
                  (long long)count, strerror(errno));
    wk_free((void *)words);
}
