/* progress.h: what a person sees while training runs: a bar on a terminal, plain lines elsewhere. */
#ifndef WICK_SRC_TRAIN_PROGRESS_H
#define WICK_SRC_TRAIN_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct wk__progress {
    bool enabled, is_terminal;
    double shown; /* when the bar was last drawn */
} wk__progress;

void wk__progress_start(wk__progress *progress, bool enabled);
/* After each step; draws at most ten times a second. */
void wk__progress_step(wk__progress *progress, int64_t epoch, int64_t epochs, int64_t batch, int64_t batches,
                       double rate, double loss, double eta);
/* Take the bar away before a line is printed. */
void wk__progress_clear(wk__progress *progress);
/* "1:23:45", "0:19" */
void wk__duration(double seconds, char *buffer /* (16) */);

#endif
