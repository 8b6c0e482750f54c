/* checkpoint.h: where a run stands, and how that is stored. */
#ifndef WICK_SRC_TRAIN_CHECKPOINT_H
#define WICK_SRC_TRAIN_CHECKPOINT_H

#include "train/config.h"

/* The next batch to train is number `batch` of `epoch`; after the last one the epoch waits for its evaluation. */
typedef struct wk__standing {
    int64_t epoch, batch, step;
    double loss_sum;    /* of this epoch so far, on rank 0 */
    double window_loss; /* of the `window_steps` since the last row of metrics */
    int64_t window_steps;
    double best_accuracy;                 /* < 0: none yet */
    uint64_t random_seed, random_counter; /* of the counter-based stream, as on rank 0 */
} wk__standing;

typedef struct wk__checkpoint_context {
    const wk__run_config *config;
    wk_module *model;
    wk_optim *optimizer;
    int rank, ranks;
    int64_t batches; /* an epoch */
} wk__checkpoint_context;

/* Parameters, buffers, optimizer state, random state and standing, atomically.  Errors: WK_STATE for a parameter that
 * is not finite (the file from before is worth more), WK_IO. */
WK_API wk_status wk__checkpoint_save(const char *path, const wk__checkpoint_context *context,
                                     const wk__standing *standing);
/* The reverse; nothing is changed if anything does not fit.  Where the number of ranks or the batch size has changed,
 * `batch` is the last one whose items all come after those that were trained, or a few before.  Warns where bits may
 * differ. */
WK_API wk_status wk__checkpoint_load(const char *path, const wk__checkpoint_context *context, wk__standing *standing);
/* Parameters and buffers alone. */
WK_API wk_status wk__checkpoint_load_model(const char *path, wk_module *model);

#endif
