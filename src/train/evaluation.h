/* evaluation.h: what the last validation of a classification found, class by class, for the run's report. */
#ifndef WICK_SRC_TRAIN_EVALUATION_H
#define WICK_SRC_TRAIN_EVALUATION_H

#include "wick/train.h"

/* Matrices of more classes are neither kept nor drawn: nobody reads 70,000 cells. */
enum { WK__EVALUATION_CLASSES = 256, WK__EVALUATION_SAMPLES = 16 };

typedef struct wk__guess {
    int64_t item; /* of the data */
    int target, predicted;
    double probability; /* of what was predicted */
} wk__guess;
typedef struct wk__evaluation {
    wk_metric *confusion; /* NULL: the data has no classes, or too many */
    wk__guess guess[WK__EVALUATION_SAMPLES];
    int guesses;
    double *matrix; /* (classes, classes) of the last whole validation over all ranks; NULL: none yet */
    wk__guess shown[WK__EVALUATION_SAMPLES];
    int n_shown;
    int64_t step, epoch; /* of it */
} wk__evaluation;

/* Before each validation, and on all ranks behind it. */
wk_status wk__evaluation_start(wk_trainer *t);
wk_status wk__evaluation_end(wk_trainer *t);
void wk__evaluation_free(wk__evaluation *evaluation);
/* evaluation.json, on rank 0, where there is something to tell. */
wk_status wk__evaluation_write(wk_trainer *t);

#endif
