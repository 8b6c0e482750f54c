/* progress.h: what a person sees while training runs: a bar on a terminal, plain lines elsewhere. */
#ifndef WICK_SRC_TRAIN_PROGRESS_H
#define WICK_SRC_TRAIN_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct wk__progress {
    bool enabled, is_terminal;
    double shown;         /* when the bar was last drawn */
    double epoch_started; /* or, after a resume, this process's part of it, */
    int64_t first_batch;  /* from this batch on */
    int64_t every;        /* batches between two drawings */
} wk__progress;

void wk__progress_start(wk__progress *progress, bool enabled);
void wk__progress_epoch(wk__progress *progress, int64_t first_batch);
/* Ten times a second at most, each `every` batches, and at the last batch of an epoch. */
bool wk__progress_is_due(const wk__progress *progress, int64_t batch, int64_t batches);
/* After a step: `numbers` is ", loss=0.25, …". */
void wk__progress_step(wk__progress *progress, int64_t epoch, int64_t epochs, int64_t batch, int64_t batches,
                       const char *numbers);
/* Take the bar away before a line is printed. */
void wk__progress_clear(wk__progress *progress);
/* "1:23:45", "0:19" */
void wk__duration(double seconds, char *buffer /* (16) */);

#endif
