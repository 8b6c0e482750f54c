/* wick/train/registry.h: names in a run's file, and what they build.
 *
 * Each kind of thing has a table of entries: a name, what it is in a line, the list of its args, a builder.  A program
 * registers its own with one call a thing; a shared library does so from its `load` when a run's file names it:
 *
 *     plugins: [ ./mine.so ]
 *     model: { name: mine, args: { width: 64 } }
 *
 * and exports `const wk_plugin wick_plugin = { WK_PLUGIN_API, "mine", load };` (wick/op.h).  Args that an entry does
 * not list are refused before anything is built.  A builder may build others from specs inside of its args
 * (wk_make_model and its kin).  Entries and what they point to must stay valid.
 */
#ifndef WICK_TRAIN_REGISTRY_H
#define WICK_TRAIN_REGISTRY_H

#include "wick/data.h"
#include "wick/lr.h"
#include "wick/train/config.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The layout of the structs of wick/train: what is registered by code that was compiled for another one is refused. */
#define WK_TRAIN_API 3

typedef enum wk_arg_kind {
    WK_ARG_INT,
    WK_ARG_NUMBER,
    WK_ARG_BOOL,
    WK_ARG_TEXT,
    WK_ARG_LIST,
    WK_ARG_SPEC, /* { name: …, args: { … } } of another entry */
    WK_ARG_MAP   /* of names that the user chooses */
} wk_arg_kind;
typedef struct wk_arg {
    const char *name; /* NULL ends the list */
    wk_arg_kind kind;
    const char *otherwise; /* the default as a file would write it; NULL: it must be given; "": none */
    const char *what;      /* in a few words, for --schema; may be NULL */
} wk_arg;
typedef struct wk_entry {
    const char *name, *what;
    const wk_arg *args;
} wk_entry;

typedef struct wk_loss wk_loss;
typedef struct wk_callback wk_callback;
typedef struct wk_logger wk_logger;
typedef struct wk_wrapper wk_wrapper;

typedef struct wk_model_entry {
    wk_entry about;
    wk_module *(*build)(const wk_config *args);
} wk_model_entry;
typedef struct wk_data_entry {
    wk_entry about;
    /* Datasets to train on and to evaluate on; the latter may stay NULL.  Every data entry has the args batch_size (64)
     * and workers (1) besides its own: the trainer reads them. */
    wk_status (*build)(const wk_config *args, wk_dataset **train, wk_dataset **evaluation);
} wk_data_entry;
typedef struct wk_transform_entry {
    wk_entry about;
    wk_transform *(*build)(const wk_config *args);
} wk_transform_entry;
typedef struct wk_loss_entry {
    wk_entry about;
    wk_loss *(*build)(const wk_config *args);
} wk_loss_entry;
typedef struct wk_optimizer_entry {
    wk_entry about;
    wk_optim *(*build)(const wk_config *args, wk_named_tensors parameters);
} wk_optimizer_entry;
/* What a schedule may want to know of the run. */
typedef struct wk_schedule_site {
    wk_optim *optimizer;
    int64_t total_steps, steps_an_epoch, epochs;
} wk_schedule_site;
typedef struct wk_built_schedule {
    wk_lr *lr;
    bool per_step;       /* it counts optimizer steps; else epochs */
    bool wants_metric;   /* wk_lr_step_metric after each validation, with the metric: */
    const char *monitor; /* must stay valid */
    void *context;       /* of a function of its own; given to wk_free after the schedule's end */
} wk_built_schedule;
typedef struct wk_schedule_entry {
    wk_entry about;
    wk_status (*build)(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built);
} wk_schedule_entry;
typedef struct wk_callback_entry {
    wk_entry about;
    wk_callback *(*build)(const wk_config *args);
} wk_callback_entry;
typedef struct wk_logger_entry {
    wk_entry about;
    wk_logger *(*build)(const wk_config *args);
} wk_logger_entry;
typedef struct wk_wrapper_entry {
    wk_entry about;
    /* `run` is the whole file: wk_make_model(run, "model") builds what its section says. */
    wk_wrapper *(*build)(const wk_config *args, const wk_config *run);
} wk_wrapper_entry;

/* Add an entry.  Errors: WK_EXISTS (the name is taken), WK_FORMAT (compiled for another WK_TRAIN_API), WK_STATE (512
 * of a kind). */
#define wk_register_model(entry)     wk_register_model_for(WK_TRAIN_API, (entry))
#define wk_register_data(entry)      wk_register_data_for(WK_TRAIN_API, (entry))
#define wk_register_transform(entry) wk_register_transform_for(WK_TRAIN_API, (entry))
#define wk_register_loss(entry)      wk_register_loss_for(WK_TRAIN_API, (entry))
#define wk_register_optimizer(entry) wk_register_optimizer_for(WK_TRAIN_API, (entry))
#define wk_register_schedule(entry)  wk_register_schedule_for(WK_TRAIN_API, (entry))
#define wk_register_callback(entry)  wk_register_callback_for(WK_TRAIN_API, (entry))
#define wk_register_logger(entry)    wk_register_logger_for(WK_TRAIN_API, (entry))
#define wk_register_wrapper(entry)   wk_register_wrapper_for(WK_TRAIN_API, (entry))
WK_API wk_status wk_register_model_for(int api, const wk_model_entry *entry);
WK_API wk_status wk_register_data_for(int api, const wk_data_entry *entry);
WK_API wk_status wk_register_transform_for(int api, const wk_transform_entry *entry);
WK_API wk_status wk_register_loss_for(int api, const wk_loss_entry *entry);
WK_API wk_status wk_register_optimizer_for(int api, const wk_optimizer_entry *entry);
WK_API wk_status wk_register_schedule_for(int api, const wk_schedule_entry *entry);
WK_API wk_status wk_register_callback_for(int api, const wk_callback_entry *entry);
WK_API wk_status wk_register_logger_for(int api, const wk_logger_entry *entry);
WK_API wk_status wk_register_wrapper_for(int api, const wk_wrapper_entry *entry);

/* What the spec under `key` names, built; the caller owns it.  NULL with an error pending: no such member, an unknown
 * name (with the nearest), an arg that its entry does not list, and what its builder reports. */
WK_API wk_module *wk_make_model(const wk_config *config, const char *key);
/* The same with an arg that the caller knows, so that a file need not tell it; one that does must agree. */
WK_API wk_module *wk_make_model_with(const wk_config *config, const char *key, const char *arg, int64_t value);
WK_API wk_loss *wk_make_loss(const wk_config *config, const char *key);
WK_API wk_optim *wk_make_optimizer(const wk_config *config, const char *key, wk_named_tensors parameters);
WK_API wk_status wk_make_data(const wk_config *config, const char *key, wk_dataset **train, wk_dataset **evaluation);
/* A list of specs: how many transforms there are now, which the caller owns; 0 where there is no member, and with an
 * error pending. */
WK_API int wk_make_transforms(const wk_config *config, const char *key, wk_transform **transforms /* (most) */,
                              int most);
WK_API wk_status wk_make_schedule(const wk_config *config, const char *key, const wk_schedule_site *site,
                                  wk_built_schedule *built);

#ifdef __cplusplus
}
#endif
#endif
