/* run.h: the inside of a run, for the files that make up the trainer. */
#ifndef WICK_SRC_TRAIN_RUN_H
#define WICK_SRC_TRAIN_RUN_H

#include "train/checkpoint.h"
#include "train/evaluation.h"
#include "train/folder.h"
#include "train/progress.h"
#include "train/registry.h"
#include "train/trainer.h"
#include "train/writer.h"
#include "wick/profile.h"

enum { WK__MOST_OPTIMIZERS = 8, WK__MOST_METRICS = 64, WK__NAME = 64, WK__MOST_GROUPS = 33 };

/* What is to know of a group's learning rate where rates.c made the group; zeros else. */
typedef struct wk__rate {
    double ratio;       /* to the first group's, which schedules and searches drive */
    int freezer;        /* the number of the FreezeUnfreeze that lets it learn step by step; 0: none */
    double part, whole; /* for now it has this part of its rate, which is `whole`; part 0: all of it */
} wk__rate;

/* An optimizer, its schedule, and the time that the schedule has been set to. */
typedef struct wk__driven {
    wk_optim *optimizer;
    wk_built_schedule schedule;
    int64_t time;
    wk__rate rate[WK__MOST_GROUPS];
    wk_zero *zero; /* where it is shared out among the ranks */
} wk__driven;

/* The checkpoint that a run begins with. */
typedef struct wk__origin {
    char *path;     /* NULL: none */
    unsigned parts; /* WK__PART_… */
    bool is_last;   /* the run's own last, with --resume */
} wk__origin;

typedef struct wk__value {
    char name[WK__NAME];
    double value;
    bool is_fresh; /* goes with the next row */
    bool in_bar;
    bool is_passing; /* of the machine and the moment: no checkpoint keeps it */
} wk__value;
/* What is averaged over an epoch, or a validation. */
typedef struct wk__sum {
    char name[WK__NAME];
    double sum, weight;
} wk__sum;
typedef struct wk__sums {
    wk__sum item[WK__MOST_METRICS];
    int count;
} wk__sums;

struct wk_trainer {
    const wk__run_config *config;
    const wk__params *params;
    wk_group *group;
    const volatile sig_atomic_t *stop;
    int rank, ranks;
    wk_dataset *train_data, *val_data;
    wk_dataset *first_train, *first_val; /* after others took their places: wrappers may know them */
    int64_t loaded;                      /* the epoch in which the data was built */
    wk_loader *loader, *val_loader;
    wk_wrapper *wrapper;
    wk_module *model; /* the wrapper's */
    wk_device device;
    wk__driven driven[WK__MOST_OPTIMIZERS];
    int optimizers;
    wk_ddp *ddp;
    wk_grad_scaler *scaler;
    wk_callback *callback[WK__MOST_PARTS];
    int callbacks;
    bool asks_after_batches; /* a callback may stop the run from there on one rank alone */
    wk_logger *logger[WK__MOST_PARTS];
    int loggers;
    int64_t batch_size, batches, steps_an_epoch, val_batches, val_interval, total_steps, epochs;
    wk__standing standing;
    wk__origin origin;
    bool resets_optimizer, resets_lr; /* what this part does not take from the checkpoint it goes on from */
    wk__folder folder;
    wk__saver *saver; /* on rank 0 */
    char unsaved[1200];
    bool told_unsaved;
    wk__progress progress;
    double started; /* of this process's part of the run */
    int64_t first_step;
    double window_start;   /* since the last row of metrics, or this process's start */
    int64_t timed_batches; /* since then */
    /* What callbacks see. */
    wk_stage stage;
    int64_t epoch;
    const wk_batch *batch;
    wk_tensor *loss;
    double loss_value;
    bool in_step, stepped, skips_window;
    int64_t skipped; /* in a row */
    bool should_stop;
    char stop_reason[200];
    wk__value value[WK__MOST_METRICS];
    int values, last_value; /* the one found last */
    wk__sums train_sums, val_sums;
    wk__evaluation evaluation;
    json_t *record;      /* run.json, on rank 0 while the run is under way */
    double part_started; /* this process's part of it */
};

/* callbacks/timer.c: for trainer.max_time. */
wk_callback *wk__timer_create(double seconds);

/* hooks.c */
wk_status wk__callbacks_make(wk_trainer *t);
void wk__callbacks_destroy(wk_trainer *t);
wk_status wk__hook(wk_trainer *t, size_t offset);
#define WK__HOOK(t, name) wk__hook((t), offsetof(wk_callback_class, name))
/* Whether any rank was asked to stop. */
wk_status wk__stop_agreed(wk_trainer *t, bool *stops);

/* log.c */
wk_status wk__metric_set(wk_trainer *t, const char *name, double value, bool in_bar);
/* For those who ask by name; in no row. */
wk_status wk__metric_note(wk_trainer *t, const char *name, double value);
/* What is not of the run but of the machine. */
wk_status wk__metric_passing(wk_trainer *t, const char *name, double value);
wk_status wk__sums_add(wk__sums *sums, const char *name, double value, double weight);
/* The means over all ranks become values. */
wk_status wk__sums_reduce(wk_trainer *t, wk__sums *sums);
/* On rank 0 the sums over all ranks, on the others none: before rank 0 alone writes them down. */
wk_status wk__sums_gather(wk_trainer *t, wk__sums *sums);
/* A row of what is fresh. */
wk_status wk__row(wk_trainer *t);

/* log_state.c: values and the epoch's sums as text (to be freed), and back.  Errors: WK_FORMAT. */
char *wk__log_write(const wk_trainer *t);
WK_API wk_status wk__log_read(wk_trainer *t, const char *text);

/* watch.c: trainer.profiler and trainer.detect_anomaly, from before the first step to behind the last.  What a profile
 * tells is written also of a run that fails. */
typedef struct wk__watch {
    wk_profile *profile;
    int anomaly; /* what was on before */
} wk__watch;
wk_status wk__watch_begin(wk_trainer *t, wk__watch *watch);
wk_status wk__watch_end(wk_trainer *t, const wk__watch *watch);

/* step.c */
wk_status wk__train_batch(wk_trainer *t, const wk_batch *batch, double *loss, bool *counts);
void wk__schedules_advance(wk_trainer *t, int64_t step, int64_t epoch);
wk_status wk__schedules_metric(wk_trainer *t);
wk_autocast wk__autocast(const wk_trainer *t);
/* The batch's tensor on the run's device, its floats of the run's type. */
wk_tensor *wk__place(const wk_trainer *t, wk_tensor *tensor);
/* layers.c: the first module whose result is not finite for this batch, in words; "" where there is none. */
void wk__blame_layer(wk_trainer *t, const wk_batch *batch, char *words, size_t size);

/* validate.c */
wk_status wk__validate(wk_trainer *t, int64_t most_batches);

/* build.c: data, model and loaders that the configuration describes; optimizers and callbacks, where the standing says
 * how far the run is. */
wk_status wk__build(wk_trainer *t);
wk_status wk__build_optimizers(wk_trainer *t);
/* After a checkpoint was read. */
wk_status wk__plan_steps(wk_trainer *t);
/* The data and its loaders anew, where reload_dataloaders_every_n_epochs says so; the epoch is about to start. */
wk_status wk__reload(wk_trainer *t);
/* The type of the model's floats. */
wk_dtype wk__float_type(const wk_trainer *t);
void wk__tear_down(wk_trainer *t);

/* load.c: load_path, load_prefix_map, replace_head, lora; the adapters as files at the end. */
wk_status wk__tune(wk_trainer *t);
wk_status wk__adapter_save(wk_trainer *t);

/* freezing.c: parameters that stand still, by name; who lets them learn later, or NULL where unfreeze_at names none. */
wk_status wk__freeze(wk_trainer *t);
wk_callback *wk__unfreezer_create(const wk__run_config *config);
/* wk_named_matching, of which there must be some.  Errors: WK_CONFIG, with names that there are. */
wk_named_tensors wk__named_by(wk_named_tensors all, const char *key, const char *pattern);

/* rates.c: the optimizer that a section names, with the groups of `lr_groups`. */
wk_optim *wk__make_grouped(const wk_trainer *t, const wk_config *config, const char *key, wk_named_tensors parameters,
                           wk__rate rate[WK__MOST_GROUPS]);
/* The part of its rate that the group of a FreezeUnfreeze (the first is 1) has from now on. */
void wk__rates_warm(wk_trainer *t, int freezer, double part);
/* Around whatever drives the rates: it sees the whole ones. */
void wk__rates_raise(wk_trainer *t);
void wk__rates_lower(wk_trainer *t);
/* A rate of the first group: the others keep their ratio to it. */
void wk__set_rates(const wk__driven *driven, double lr);
double wk__rate_ratio(const wk__driven *driven, int group);

/* save.c */
wk__checkpoint_context wk__context_of(wk_trainer *t);
wk_status wk__save(wk_trainer *t, const char *name);
/* Whether that leaves a file. */
bool wk__has_checkpoints(const wk_trainer *t);
/* What a job of the saver has told: WK_IO is told once, and WK_OK. */
wk_status wk__saved(wk_trainer *t, wk_status status);
/* Until all that was saved is on the disk. */
wk_status wk__saves_settle(wk_trainer *t);
/* The same at the run's end.  Errors: WK_IO, where the last checkpoint could not be written. */
wk_status wk__saves_finish(wk_trainer *t);

/* gather.c: with `shard_optimizer` and several ranks */
bool wk__is_shared_out(const wk_trainer *t);
/* Before state is loaded. */
wk_status wk__share_out(wk_trainer *t);
/* On rank 0, which is to write all state: the others are in wk__saves_end, or will be next. */
wk_status wk__gather(wk_trainer *t);
void wk__gathered(const wk_trainer *t);
/* On every rank, wherever rank 0 alone may have saved: the others serve it, until it is here too. */
wk_status wk__saves_end(wk_trainer *t);
wk_status wk__say_shares(wk_trainer *t);

/* start.c */
wk_status wk__set_up(wk_trainer *t, wk__start start, bool *resumed);
bool wk__has_epochs(const wk_trainer *t);
/* All ranks have as much data. */
wk_status wk__same_data(const wk_trainer *t);
/* sources.c */
void wk__sources_copy(wk_trainer *t);
void wk__say_memory(wk_trainer *t);
void wk__say_end(wk_trainer *t, bool had_work);

#endif
