/* config.h: a run's file, and the names in it resolved. */
#ifndef WICK_SRC_TRAIN_CONFIG_H
#define WICK_SRC_TRAIN_CONFIG_H

#include "io/yaml.h"
#include "wick/dist.h"
#include "wick/train.h"

struct wk_config {
    const wk__yaml *document;
    const wk__yaml_node *node; /* a mapping, or NULL: empty */
};

/* { name, args } of one section. */
typedef struct wk__spec {
    const char *name; /* NULL: the section is not there */
    wk_config args;
    wk_config section;
} wk__spec;

/* A number of batches: a whole number of them, or a part of all. */
typedef struct wk__limit {
    bool is_fraction;
    double value;
} wk__limit;

/* What is done with a run's directory that holds a run.  AGAIN: a launcher has started the run once more; what a resume
 * resets is done once. */
typedef enum wk__start { WK__START_NEW, WK__START_OVERWRITE, WK__START_RESUME, WK__START_AGAIN } wk__start;
static inline bool wk__resumes(wk__start start) {
    return start == WK__START_RESUME || start == WK__START_AGAIN;
}

/* Mixed: weights are f32, and autocast chooses.  The last three: all floats of model and data are of that type. */
typedef enum wk__precision {
    WK__PRECISION_32,
    WK__PRECISION_BF16_MIXED,
    WK__PRECISION_F16_MIXED,
    WK__PRECISION_F64,
    WK__PRECISION_F16,
    WK__PRECISION_BF16
} wk__precision;
typedef enum wk__profiler { WK__PROFILER_NONE, WK__PROFILER_SIMPLE, WK__PROFILER_ADVANCED } wk__profiler;

/* From this epoch on a step takes so many batches. */
typedef struct wk__window {
    int64_t epoch, batches;
} wk__window;

/* The section `trainer`. */
enum { WK__MOST_WINDOWS = 32 };
typedef struct wk__params {
    int64_t max_epochs, min_epochs, max_steps, min_steps; /* max_steps, min_steps 0: none */
    double max_seconds;                                   /* 0: none */
    wk__limit limit_train, limit_val, limit_test, overfit, val_check;
    int64_t val_every_n_epochs, sanity_steps, log_every_n_steps;
    wk__window window[WK__MOST_WINDOWS]; /* accumulate_grad_batches from epoch 0 on, or its schedule */
    int windows;
    double clip;
    bool clip_by_value, recompute, skip_nan, fast_dev_run, progress_bar, summary;
    wk__precision precision;
    bool saves, bare, own_order, detect_anomaly; /* own_order: each rank goes through all items to train on */
    wk__profiler profiler;
    int64_t reload_every; /* epochs after which the data is built anew; 0: never */
    int64_t hosts;        /* that the ranks must be on; 0: any number */
    int64_t devices;      /* ranks to start on this host; 0: as many as there are */
    char gpus[128];       /* those that they may see, as "0,1"; "": all */
    bool split_batch;     /* dp: the batch size is that of all ranks together */
    wk_ddp_opts ddp;
    bool sync_batch_norm, shard_optimizer, own_buffers;
} wk__params;

enum { WK__MOST_PARTS = 32 };
typedef struct wk__run_config {
    wk__yaml *document;
    char *text; /* the file as run: merged, keys in their order and under the names that were used */
    uint64_t seed;
    const char *output, *device, *load_path, *final_path;
    const char *resume; /* a checkpoint to begin with: last, best or a file; NULL: none */
    bool resumes_steps, resumes_optimizer, load_strict, copies_sources, resets_optimizer, resets_lr;
    wk_config root;
    wk__spec data, wrapper, callback[WK__MOST_PARTS], logger[WK__MOST_PARTS];
    int callbacks, loggers;
    int64_t batch_size, workers;
    wk__params params;
    int64_t every_n_epochs, every_n_steps;
    bool saves_async;
} wk__run_config;

/* Load, take in what it includes, fill in the environment, apply "key=value" overrides, check every key and resolve
 * every name.  Free with wk__run_config_free. */
WK_API wk_status wk__run_config_load(wk__run_config *config, const char *path, const char *const *overrides,
                                     int n_overrides);
/* The same for a run that is to be trained: where its file names a checkpoint to begin with, the model is the one that
 * the checkpoint tells of. */
wk_status wk__run_config_load_to_train(wk__run_config *config, const char *path, const char *const *overrides,
                                       int n_overrides, wk__start start);
WK_API void wk__run_config_free(wk__run_config *config);

/* merge.c: the file with everything that it includes; `${NAME}` filled in. */
wk__yaml *wk__config_read(const char *path);
wk_status wk__config_environment(wk__yaml *document);
/* layouts.c: the two layouts of other trainers' files in the words of this one. */
wk_status wk__config_translate(wk__yaml *document);
/* Where such a file's run lies, or one with trainer.default_root_dir, if it does not say: the key `output`. */
wk_status wk__config_place(wk__yaml *document);
/* "save/NAME_TAG"; without a name "save/_FILE_TAG", without a tag nothing of it.  Free it with wk_free. */
char *wk__save_folder(const char *file, const char *name, const char *tag);
/* resume.c: the model that the checkpoint tells of, from which a run of this file would begin. */
wk_status wk__resume_model(wk__yaml *document, wk__start start);
/* The path of a checkpoint: `last` and `best` are those of the run's folder.  Free it with wk_free. */
char *wk__resume_path(const char *folder, const char *word);
/* load.c: the sections load_prefix_map, replace_head and lora, checked. */
wk_status wk__fine_tuning_check(const wk__run_config *config);
bool wk__has_lora(const wk__run_config *config);
/* freezing.c: freeze and unfreeze_at, checked. */
wk_status wk__freezing_check(const wk__run_config *config);
bool wk__has_freezing(const wk__run_config *config);
/* That it is a regular expression, before anything is built. */
wk_status wk__pattern_check(const wk__run_config *config, const char *key, const char *pattern);
/* rates.c: `lr` in the place of optimizer.args.lr; lr_groups, checked. */
wk_status wk__config_take_lr(wk__yaml *document);
wk_status wk__lr_groups_check(const wk__run_config *config);
bool wk__has_lr_groups(const wk__run_config *config);
/* "features.0.weight" is below "features". */
bool wk__is_below(const char *name, const char *path);
/* params.c */
wk_status wk__params_read(wk__run_config *config);
int64_t wk__limit_of(wk__limit limit, int64_t batches);
/* callbacks/accumulation.c: the schedule of batches a step, where a callback has one; those of an epoch, the most. */
wk_status wk__windows_read(wk__run_config *config);
int64_t wk__accumulate(const wk__params *params, int64_t epoch);
bool wk__accumulates(const wk__params *params);
/* The trainer's keys, for --schema and `wick config explain`. */
extern const wk_arg wk__trainer_args[], wk__checkpoint_args[], wk__strategy_args[];
/* strategy.c: trainer.strategy and trainer.sync_batchnorm. */
void wk__strategy_read(const wk_config *trainer, wk__params *params);

/* { name, args } under a key of a mapping, or the node itself with key NULL. */
wk_status wk__spec_read(const wk_config *config, const char *key, bool required, wk__spec *spec);
wk_status wk__spec_of(const wk__yaml *document, const wk__yaml_node *node, const char *what, wk__spec *spec);

#endif
