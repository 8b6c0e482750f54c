/* ranks.c: `trainer: { devices: 2 }`: the process becomes mpirun, which starts this program twice.
 *
 * Nothing has been opened yet but a group of one rank; the ranks see from mpirun's variables that they are ranks.
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
    return !wk__is_rank() && config->params.devices > 1 && wk_group_size(group) == 1;
}

char **wk__ranks_command(int64_t count, int argc, char **argv, char *program, size_t room) {
    static const char *const first[] = { "mpirun", "--oversubscribe", "--bind-to", "none", "-n" };
    enum { DIGITS = 24 };
    const size_t own = WK_COUNT(first);
    ssize_t size = readlink("/proc/self/exe", program, room - DIGITS - 1);
    if (size < 0) return wk_fail_null(WK_IO, "/proc/self/exe: %s", strerror(errno));
    char *number = program + size + 1; /* behind the path */
    program[size] = '\0';
    (void)snprintf(number, DIGITS, "%lld", (long long)count);
    char **words = wk_alloc(((size_t)argc + own + 3) * sizeof *words);
    if (!words) return NULL;
    memcpy((void *)words, first, sizeof first);
    words[own] = number;
    words[own + 1] = program;
    for (int i = 0; i < argc; i++) words[own + 2 + (size_t)i] = argv[i];
    return words;
}

void wk__ranks_start(const wk__run_config *config, int argc, char **argv, wk_group *group) {
    char program[PATH_MAX];
    (void)group;
    char **words = wk__ranks_command(config->params.devices, argc, argv, program, sizeof program);
    if (!words) return;
    (void)execvp(words[0], words);
    (void)wk_fail(WK_NOT_FOUND,
                  "trainer.devices is %lld: mpirun cannot be started: %s; install Open MPI or start the ranks yourself",
                  (long long)config->params.devices, strerror(errno));
    wk_free((void *)words);
}
