/* config.h: a run's file, and the names in it resolved. */
#ifndef WICK_SRC_TRAIN_CONFIG_H
#define WICK_SRC_TRAIN_CONFIG_H

#include "io/yaml.h"
#include "wick/train.h"

struct wk_config {
    const wk__yaml *document;
    const wk__yaml_node *node; /* a mapping, or NULL: empty */
};

/* { name, args } of one section. */
typedef struct wk__spec {
    const char *name;
    wk_config args;
    wk_config section;
} wk__spec;

typedef struct wk__run_config {
    wk__yaml *document;
    uint64_t seed;
    const char *output, *device;
    wk__spec data, model, loss, optimizer, schedule;
    bool has_schedule;
    int64_t batch_size, workers;
    int64_t max_epochs, max_steps, log_every_n_steps;
    double gradient_clip;
    bool recompute;
    int64_t every_n_epochs, every_n_steps;
} wk__run_config;

/* Load, apply "key=value" overrides, check every key and resolve every name.  Free with wk__run_config_free. */
WK_API wk_status wk__run_config_load(wk__run_config *config, const char *path, const char *const *overrides,
                                     int n_overrides);
WK_API void wk__run_config_free(wk__run_config *config);

WK_API wk_module *wk__build_model(const wk__run_config *config);
wk_status wk__build_data(const wk__run_config *config, wk_dataset **train, wk_dataset **evaluation);
wk_optim *wk__build_optimizer(const wk__run_config *config, wk_module *model);
wk_status wk__build_schedule(const wk__run_config *config, const wk_optim *optimizer, int64_t total_steps,
                             wk_schedule *schedule);
/* Cross-entropy options of the loss section. */
wk_status wk__build_loss(const wk__run_config *config, wk_cross_entropy_opts *opts);

/* Fail at a section with the names that exist and the nearest one. */
wk_status wk__unknown_name(const wk__spec *spec, const char *kind, const char *const *names, size_t count);
wk_status wk__check_args(const wk__spec *spec, const char *kind, const char *const *args);
WK_API const wk_model_entry *wk__find_model(const char *name);
const wk_data_entry *wk__find_data(const char *name);
size_t wk__model_names(const char **names, size_t most);
size_t wk__data_names(const char **names, size_t most);

#endif
