/* wick/train/trainer.h: a run under way, as losses, wrappers and callbacks see it. */
#ifndef WICK_TRAIN_TRAINER_H
#define WICK_TRAIN_TRAINER_H

#include "wick/dist.h"
#include "wick/train/registry.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wk_trainer wk_trainer;
typedef enum wk_stage { WK_STAGE_FIT, WK_STAGE_SANITY, WK_STAGE_VALIDATE } wk_stage;

/* ---- where it stands ---- */

WK_API int64_t wk_trainer_step(const wk_trainer *trainer);        /* optimizer steps taken */
WK_API int64_t wk_trainer_epoch(const wk_trainer *trainer);       /* from 0 */
WK_API int64_t wk_trainer_batch_index(const wk_trainer *trainer); /* batches of this epoch trained so far */
WK_API int64_t wk_trainer_batches(const wk_trainer *trainer);     /* an epoch has */
WK_API int64_t wk_trainer_total_steps(const wk_trainer *trainer);
WK_API int64_t wk_trainer_epochs(const wk_trainer *trainer); /* max_epochs */
WK_API wk_stage wk_trainer_stage(const wk_trainer *trainer);
WK_API const char *wk_trainer_folder(const wk_trainer *trainer); /* the run's directory */
WK_API int wk_trainer_rank(const wk_trainer *trainer);
WK_API int wk_trainer_ranks(const wk_trainer *trainer);
WK_API wk_group *wk_trainer_group(const wk_trainer *trainer);

/* ---- its parts; they belong to the trainer ---- */

WK_API wk_module *wk_trainer_model(const wk_trainer *trainer); /* the wrapper's module */
WK_API wk_wrapper *wk_trainer_wrapper(const wk_trainer *trainer);
WK_API wk_device wk_trainer_device(const wk_trainer *trainer);
WK_API int wk_trainer_optimizers(const wk_trainer *trainer);
WK_API wk_optim *wk_trainer_optimizer(const wk_trainer *trainer, int i);        /* NULL beyond the last */
WK_API const wk_dataset *wk_trainer_data(const wk_trainer *trainer);            /* to train on */
WK_API const wk_dataset *wk_trainer_validation_data(const wk_trainer *trainer); /* NULL: there is none */
/* The batch of the step under way (in train_batch_start and train_batch_end as the loader gave it), its loss from
 * before_backward to before_optimizer_step, and the loss' value after that; NULL and NAN elsewhere. */
WK_API const wk_batch *wk_trainer_batch(const wk_trainer *trainer);
WK_API wk_tensor *wk_trainer_loss(const wk_trainer *trainer);
WK_API double wk_trainer_loss_value(const wk_trainer *trainer);

/* ---- metrics ---- */

typedef struct wk_log_opts {
    bool on_epoch; /* training: the mean over the epoch, weighted by items, over all ranks */
    bool no_step;  /* training: not with the rows of every log_every_n_steps; with on_epoch alone the name is as given,
                      with both there are NAME_step and NAME_epoch */
    bool prog_bar; /* show it in the line of progress */
    bool is_passing; /* of the machine and the moment, as a rate: it stands as it is, and no checkpoint keeps it */
    int64_t weight;  /* items that the value is the mean of; 0: those of the batch */
} wk_log_opts;
/* Note a number.  In a training step it goes with the next row of metrics; while validating it is averaged over all
 * items and ranks.  In hooks outside of steps it stands as it is and goes with the next row.  Every rank logs the same
 * names.  Errors: WK_INVALID (an empty name, more than 64 names). */
WK_API wk_status wk_trainer_log(wk_trainer *trainer, const char *name, double value, wk_log_opts opts);
/* The last value of "train_loss", "val_loss", "lr" or whatever was logged; false where there is none yet. */
WK_API bool wk_trainer_metric(const wk_trainer *trainer, const char *name, double *value);
/* To the run's event file, for TensorBoard, on rank 0 (others return at once): text in Markdown; a histogram of any
 * tensor's values; an image (C, H, W) of 1, 3 or 4 channels, whose values from 0 to 1 are dark to bright, and which is
 * img/TAG-STEP.png in the run's directory too (in place of a slash of the tag "%2f"). */
WK_API wk_status wk_trainer_log_text(wk_trainer *trainer, const char *tag, const char *text);
WK_API wk_status wk_trainer_log_histogram(wk_trainer *trainer, const char *tag, wk_tensor *values);
WK_API wk_status wk_trainer_log_image(wk_trainer *trainer, const char *tag, wk_tensor *image);
/* To the same file: the curve of precision over recall of yes-or-no predictions, at `thresholds` from 0 to 1 (0: 127,
 * at most so many): scores (N) in [0, 1], any float type, targets (N) i64, 0 or 1.  Of this rank's items.  Errors:
 * WK_SHAPE, WK_INVALID (a score or a target outside). */
WK_API wk_status wk_trainer_log_pr_curve(wk_trainer *trainer, const char *tag, wk_tensor *scores, wk_tensor *targets,
                                         int thresholds);
/* Sound: samples (frames) or (channels, frames) of any float type, -1 to 1, `rate` of them a second. */
WK_API wk_status wk_trainer_log_audio(wk_trainer *trainer, const char *tag, wk_tensor *samples, int rate);
/* Points in space (batch, N, 3), their colours (batch, N, 3) from 0 to 255 and triangles (batch, M, 3), the points'
 * numbers (both NULL: none).  `config`: JSON of how Three.js shows them ({"camera": …, "lights": …, "material": …}), or
 * NULL. */
typedef struct wk_board_mesh {
    wk_tensor *points, *colours, *faces;
    const char *config;
} wk_board_mesh;
WK_API wk_status wk_trainer_log_mesh(wk_trainer *trainer, const char *tag, wk_board_mesh mesh);
/* The graph behind a tensor, which has a gradient: operations and the model's parameters, by module.  A run's file asks
 * for that of the first loss by the callback GraphLogger. */
WK_API wk_status wk_trainer_log_graph(wk_trainer *trainer, wk_tensor *of);
/* For the page "projector": points (N, dimensions), any float type, with a label each (NULL: none; tabs and line ends
 * become spaces) and a picture each (N, C, H, W) of 1, 3 or 4 channels in 0 … 1 (NULL: none).  Files below
 * STEP/TAG of the run's directory, as torch.utils.tensorboard names them. */
typedef struct wk_board_points {
    wk_tensor *points;
    const char *const *labels; /* (N) */
    wk_tensor *pictures;
} wk_board_points;
WK_API wk_status wk_trainer_log_embedding(wk_trainer *trainer, const char *tag, wk_board_points points);
/* Which scalars TensorBoard's page "custom scalars" shows together: a chart has all tags that match its pattern (a
 * regular expression); charts of one category stand next to each other in the list.  Once a run. */
typedef struct wk_board_chart {
    const char *category, *title, *pattern;
} wk_board_chart;
WK_API wk_status wk_trainer_log_layout(wk_trainer *trainer, const wk_board_chart *charts, int count);
/* For the run's report, of a validation_step whose batch is classified: scores (N, classes), any float type, and the
 * classes (N) i64.  They are counted in a confusion matrix over all items and ranks; the first of rank 0 become
 * examples. Nothing happens where the data has no classes, or more than 256.  Errors: WK_SHAPE; a class outside. */
WK_API wk_status wk_trainer_log_predictions(wk_trainer *trainer, wk_tensor *scores, wk_tensor *targets);
/* A line to the run's log and standard error, on rank 0. */
WK_API void wk_trainer_say(wk_trainer *trainer, const char *format, ...) WK_PRINTF(2, 3);

/* ---- acting on it ---- */

/* End training after the batch or epoch under way, once min_epochs and min_steps are reached.  One rank is enough where
 * a hook of a batch asks for it; `reason` is said. */
WK_API void wk_trainer_stop(wk_trainer *trainer, const char *reason);
/* Write a checkpoint that `--resume` can go on from (weights_only: parameters and buffers).  Rank 0 writes, others
 * return at once.  With `checkpoint: { async: true }` the file appears later, but in the order of these calls.  A file
 * that cannot be written (a full disk) is told once and no error. */
WK_API wk_status wk_trainer_save(wk_trainer *trainer, const char *path, bool weights_only);
/* For configure_optimizers: the trainer takes over optimizer and schedule (zeroed: none).  Eight at most. */
WK_API wk_status wk_trainer_add_optimizer(wk_trainer *trainer, wk_optim *optimizer, wk_built_schedule schedule);
/* For schedules made there. */
WK_API wk_schedule_site wk_trainer_schedule_site(const wk_trainer *trainer, wk_optim *optimizer);

/* Of a wrapper that steps by itself: what the trainer does for the others, with hooks, scaler and clipping. */
WK_API wk_status wk_trainer_zero_grad(wk_trainer *trainer, int optimizer);
WK_API wk_status wk_trainer_backward(wk_trainer *trainer, wk_tensor *loss);
WK_API wk_status wk_trainer_optimizer_step(wk_trainer *trainer, int optimizer);

#ifdef __cplusplus
}
#endif
#endif
