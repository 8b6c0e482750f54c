/* tensorboard.c: Lightning's TensorBoardLogger: NAME/version_N with event files, hparams.yaml and, for TensorBoard's
 * page of hyperparameters, what the run's file says, with hp_metric. */
#include "train/loggers/text.h"

#include "io/event_file.h"
#include "io/file.h"
#include "io/yaml.h"
#include "train/flatten.h"
#include "train/folder.h"

#include <stdlib.h>
#include <string.h>

const wk_arg wk__tensorboard_args[] = {
    { "name", WK_ARG_TEXT, "default", "the folder below the run's" },
    { "hparams", WK_ARG_BOOL, "true", "the file's values as hyperparameters" },
    { "metric", WK_ARG_TEXT, "val_loss", "what stands beside them as hp_metric" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

typedef struct tensorboard {
    wk_logger base;
    const char *name, *metric;
    bool hparams;
    char *folder;
    wk__event_file *events;
} tensorboard;

/* ---- the file's scalars, as "model.args.width" ---- */

static wk__hparam hparam_of(const wk__setting *setting) {
    const wk__yaml_node *node = setting->node;
    char *end = NULL;
    wk__hparam h = { setting->name, node->text, WK__HPARAM_TEXT };
    (void)strtod(node->text, &end);
    bool is_plain = !node->quoted && *node->text;
    if (is_plain && !*end) h.kind = WK__HPARAM_NUMBER;
    if (is_plain && (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0)) h.kind = WK__HPARAM_BOOL;
    return h;
}

typedef struct flat {
    wk__setting setting[WK__MOST_SETTINGS];
    wk__hparam item[WK__MOST_SETTINGS];
    int count;
} flat;

static wk_status write_hparams(tensorboard *t, const char *config) {
    static const char *const metrics[] = { "hp_metric" };
    wk__yaml *document = wk__yaml_parse(config, strlen(config), "config.yaml");
    flat *all = document ? wk_alloc(sizeof *all) : NULL;
    wk_text records = { 0 };
    if (all && document->root) {
        all->count = wk__settings(document, all->setting);
        for (int i = 0; i < all->count; i++) all->item[i] = hparam_of(&all->setting[i]);
        wk__event_hparams(&records, wk_wall_time(), all->item, all->count, metrics, 1);
        wk__event_scalar(&records, wk_wall_time(), 0, "hp_metric", -1); /* until there is one */
    }
    wk_status status = all ? wk__event_file_put(t->events, &records) : wk_error_code();
    wk_free(all);
    wk__yaml_free(document);
    return status;
}

static wk_status start(wk_logger *self, const char *folder, const char *config, int64_t resumed_step) {
    tensorboard *t = (tensorboard *)self;
    t->folder = wk__version_folder(folder, t->name, resumed_step);
    t->events = t->folder ? wk__event_file_open(t->folder) : NULL;
    char *hparams = t->events ? wk_format("%s/hparams.yaml", t->folder) : NULL;
    wk_status status = hparams ? wk__write_file(hparams, config, strlen(config)) : wk_error_code();
    wk_free(hparams);
    if (status == WK_OK) status = wk__event_file_restart(t->events, wk_wall_time(), resumed_step + 1);
    return status == WK_OK && t->hparams ? write_hparams(t, config) : status;
}

static wk_status add(wk_logger *self, int64_t step, int64_t epoch, const wk_logged *values, int count) {
    const tensorboard *t = (const tensorboard *)self;
    double now = wk_wall_time();
    WK_TRY(wk__event_file_scalar(t->events, now, step, "epoch", (float)(epoch - 1)));
    for (int i = 0; i < count; i++) {
        WK_TRY(wk__event_file_scalar(t->events, now, step, values[i].name, (float)values[i].value));
        if (t->hparams && strcmp(values[i].name, t->metric) == 0)
            WK_TRY(wk__event_file_scalar(t->events, now, step, "hp_metric", (float)values[i].value));
    }
    return WK_OK;
}

static wk_status flush(wk_logger *self) {
    return wk__event_file_flush(((tensorboard *)self)->events);
}

/* Whoever comes here without a pending error has come to the end. */
static void destroy(wk_logger *self) {
    tensorboard *t = (tensorboard *)self;
    wk_text records = { 0 };
    if (t->events && t->hparams) {
        wk__event_session_end(&records, wk_wall_time(), wk_failed() ? WK__SESSION_FAILURE : WK__SESSION_SUCCESS);
        (void)wk__event_file_put(t->events, &records);
    }
    wk__event_file_close(t->events);
    wk_free(t->folder);
}

static const wk_logger_class class_ = { "tensorboard", sizeof(tensorboard), start, add, flush, destroy };

wk_logger *wk__tensorboard_build(const wk_config *args) {
    tensorboard *t = (tensorboard *)wk_logger_create(&class_);
    if (!t) return NULL;
    t->name = wk_config_string(args, "name", "default");
    t->metric = wk_config_string(args, "metric", "val_loss");
    t->hparams = wk_config_bool(args, "hparams", true);
    return &t->base;
}
