/* checkpoint.h: where a run stands, and how that is stored. */
#ifndef WICK_SRC_TRAIN_CHECKPOINT_H
#define WICK_SRC_TRAIN_CHECKPOINT_H

#include "io/file.h"
#include "train/config.h"

/* The next batch to train is number `batch` of `epoch`; after the last one the epoch waits for its evaluation. */
typedef struct wk__standing {
    int64_t epoch, batch, step;
    double loss_sum;    /* of this epoch so far, on rank 0 */
    double window_loss; /* of the `window_steps` since the last row of metrics */
    int64_t window_steps;
    double best_score;                    /* of the metric that decides what is best, larger is better; NAN: none yet */
    uint64_t random_seed, random_counter; /* of the counter-based stream, as on rank 0 */
    int64_t schedule_step, schedule_epoch; /* where schedules begin: 0, or where reset_lr had them begin anew */
} wk__standing;

/* What a checkpoint holds under a prefix besides the model. */
typedef struct wk__section {
    char prefix[80];
    wk_named_tensors tensors;
    bool optional; /* a file without it is fine */
    bool partial;  /* the file has more of it: other ranks' */
    unsigned part; /* which of the following it belongs to */
} wk__section;
/* What is taken from a checkpoint beside parameters and buffers. */
enum {
    WK__PART_OPTIMIZER = 1, /* optimizers, the loss scale */
    WK__PART_STANDING = 2,  /* epoch, step, random state, schedules, callbacks, metrics */
    WK__PART_ALL = 3
};
/* Text that it holds besides the numbers. */
typedef struct wk__note {
    char key[80];
    char *text;
} wk__note;
enum { WK__MOST_SECTIONS = 64 };

typedef struct wk__checkpoint_context {
    const wk__run_config *config;
    wk_trainer *trainer;
    wk_module *model;
    const char *model_name;
    wk_optim *optimizer; /* the first, or NULL */
    int rank, ranks;
    int64_t batches, batch_size; /* an epoch's; a rank's */
    bool resets_lr;              /* the schedules' state stays what it is */
    bool own_order;              /* each rank goes through all items */
} wk__checkpoint_context;

/* Parameters, buffers, optimizer state, random state and standing, atomically; with `standing` NULL parameters and
 * buffers alone, as "model.…".  Errors: WK_STATE for a parameter that is not finite (the file from before is worth
 * more), WK_IO. */
wk_status wk__checkpoint_save(const char *path, const wk__checkpoint_context *context, const wk__standing *standing);
/* The bytes of that file, in place of what is in `to`. */
wk_status wk__checkpoint_pack(const wk__checkpoint_context *context, const wk__standing *standing, wk__pages *to);
/* The reverse, of these parts; without WK__PART_STANDING *standing stays as it is; nothing is changed if anything does
 * not fit.  Where the number of ranks or the batch size has changed, `batch` is the last one whose items all come after
 * those that were trained, or a few before.  Warns where bits may differ. */
wk_status wk__checkpoint_load(const char *path, const wk__checkpoint_context *context, unsigned parts,
                              wk__standing *standing);
/* The standing alone, of the file as wk__checkpoint_load would convert it; `has_reset`: a part of the run that resets
 * something has written it. */
WK_API wk_status wk__checkpoint_look(const char *path, const wk__checkpoint_context *context, wk__standing *standing,
                                     bool *has_reset);
/* Parameters and buffers alone, of a run's checkpoint or of a file of weights. */
wk_status wk__checkpoint_load_model(const char *path, wk_module *model);

/* state.c: sections and notes of a trainer: optimizers, scaler, schedules, callbacks.  Notes' text is to be freed. */
int wk__state_sections(wk_trainer *trainer, wk__section sections[WK__MOST_SECTIONS]);
wk_status wk__state_notes(wk_trainer *trainer, wk__note notes[WK__MOST_SECTIONS], int *count);
/* After the sections of these parts were read; `get` gives a note by its key, or NULL. */
wk_status wk__state_loaded(wk_trainer *trainer, unsigned parts, const char *(*get)(void *file, const char *key),
                           void *file);

#endif
