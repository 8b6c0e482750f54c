/* batch_size.h: the largest batch that memory holds. */
#ifndef WICK_SRC_TRAIN_BATCH_SIZE_H
#define WICK_SRC_TRAIN_BATCH_SIZE_H

#include "train/config.h"

#include <stdio.h>

typedef struct wk__batch_size_opts {
    bool by_halves;               /* binsearch; else power */
    int64_t memory;               /* bytes; 0: what the device has */
    int64_t first, steps, trials; /* the size to begin with; steps of a trial, at least 3; trials at most */
    FILE *told;                   /* a line a trial */
} wk__batch_size_opts;
/* Errors: WK_NO_MEMORY (not even the first size fits), WK_INVALID (several ranks), and those of a run's first steps. */
wk_status wk__find_batch_size(const wk__run_config *config, wk_group *group, wk__batch_size_opts opts, int64_t *found);
/* Where a callback of the run is a BatchSizeFinder: the size that it finds, or that of the checkpoint which the run is
 * to go on from, in config->batch_size. */
wk_status wk__batch_size_choose(wk__run_config *config, wk_group *group, bool resumes);

#endif
