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

void wk__ranks_start(const wk__run_config *config, int argc, char **argv, wk_group *group) {
    enum { OWN = 9 };
    (void)group;
    char count[24], self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    char **words = wk_alloc(((size_t)argc + OWN) * sizeof *words);
    if (!words || size < 0) return;
    self[size] = '\0';
    (void)snprintf(count, sizeof count, "%lld", (long long)config->params.devices);
    char *const first[] = { "mpirun", "--oversubscribe", "--bind-to", "none", "-n", count, self };
    memcpy(words, first, sizeof first);
    for (int i = 0; i < argc; i++) words[WK_COUNT(first) + (size_t)i] = argv[i]; /* argv[0] is "train" */
    (void)execvp("mpirun", words);
    (void)wk_fail(WK_NOT_FOUND,
                  "trainer.devices is %s: mpirun cannot be started: %s; install Open MPI or start the ranks yourself",
                  count, strerror(errno));
    wk_free(words);
}
