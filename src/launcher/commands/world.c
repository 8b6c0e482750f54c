/* world.c: `wick __world`, what the component utils.compute_world_size runs: the smoke test of a scheduler.
 *
 * Every rank gives a one at its own place and all add them up, so a rank that was told a wrong number, or that cannot
 * reach the first one, shows.
 */
#include "launcher/launcher.h"
#include "wick/app.h"

#include <string.h>

static int compute(int argc, char **argv) {
    int world = wk_job_world_size();
    double places = 0;
    if (argc > 1 && strcmp(argv[1], "throws") == 0) {
        (void)wk_fail(WK_INVALID, "raised because throws was asked for");
        return 1;
    }
    /* One-hot vectors summed: each place must come to 1. */
    for (int place = 0; place < world; place++) {
        double sum = 0;
        if (wk_job_sum(place == wk_job_rank(), 60, &sum) != WK_OK) return 1;
        places += sum;
        if (sum != 1) (void)wk_fail(WK_STATE, "%g ranks say that they are rank %d", sum, place);
    }
    if (wk_failed()) return 1;
    (void)printf("rank %d of %d: computed world size %g\n", wk_job_rank(), world, places);
    return 0;
}

int wk_world_main(int argc, char **argv) {
    return wk_record(compute, argc, argv);
}
