/* params.c: the sections `trainer` and `checkpoint`: the keys of Lightning's Trainer, with their meaning and defaults
 * where docs/train.md says nothing else. */
#include "train/callbacks/callbacks.h"

#include "wick/device.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { MOST_EPOCHS = 1000000 };
const wk_arg wk__trainer_args[] = {
    { "max_epochs", WK_ARG_INT, "1", "epochs of the whole run; with max_steps alone, or -1, there is no limit" },
    { "min_epochs", WK_ARG_INT, "0", "not stopped by a callback before" },
    { "max_steps", WK_ARG_INT, "-1", "optimizer steps of the whole run; -1 or 0: no limit" },
    { "min_steps", WK_ARG_INT, "0", "not stopped by a callback before" },
    { "max_time", WK_ARG_TEXT, "", "DD:HH:MM:SS" },
    { "limit_train_batches", WK_ARG_NUMBER, "1.0", "batches of an epoch: a number, or a part (0.5)" },
    { "limit_val_batches", WK_ARG_NUMBER, "1.0", "the same for validation; 0: none" },
    { "limit_test_batches", WK_ARG_NUMBER, "1.0", "the same for wick eval" },
    { "limit_predict_batches", WK_ARG_NUMBER, "1.0", "changes nothing: a run predicts nothing" },
    { "overfit_batches", WK_ARG_NUMBER, "0", "train and validate on these first batches alone, unshuffled" },
    { "val_check_interval", WK_ARG_NUMBER, "1.0", "validate after so many batches, or after this part of an epoch" },
    { "check_val_every_n_epoch", WK_ARG_INT, "1", NULL },
    { "num_sanity_val_steps", WK_ARG_INT, "2", "batches to validate before training, to meet errors early" },
    { "accumulate_grad_batches", WK_ARG_INT, "1", "batches for one optimizer step" },
    { "gradient_clip_val", WK_ARG_NUMBER, "0", "0: no clipping" },
    { "gradient_clip_algorithm", WK_ARG_TEXT, "norm", "norm or value" },
    { "precision", WK_ARG_TEXT, "32", "32, bf16-mixed, 16-mixed, 64-true, 16-true, bf16-true" },
    { "log_every_n_steps", WK_ARG_INT, "50", "rows of metrics; 0: at the ends of epochs alone" },
    { "fast_dev_run", WK_ARG_BOOL, "false", "one batch (or so many) of everything, nothing saved" },
    { "barebones", WK_ARG_BOOL, "false", "nothing beside training: no checkpoints, bar, summary, sanity check, rows" },
    { "deterministic", WK_ARG_TEXT, "true", "always so: false and warn change nothing" },
    { "benchmark", WK_ARG_BOOL, "true", "always so: kernels are chosen by what was measured; false changes nothing" },
    { "detect_anomaly", WK_ARG_BOOL, "false", "a NaN among gradients ends the run and names operation and module" },
    { "profiler", WK_ARG_TEXT, "", "simple: where the time went, as a table; advanced: call by call too" },
    { "recompute", WK_ARG_BOOL, "false", "blocks are run again in backward" },
    { "nan", WK_ARG_TEXT, "stop", "a loss that is not finite: stop, or skip the batch" },
    { "reload_dataloaders_every_n_epochs", WK_ARG_INT, "0", "build the data anew; 0: never" },
    { "use_distributed_sampler", WK_ARG_BOOL, "true", "deal items out to the ranks; false: each trains on all" },
    { "enable_checkpointing", WK_ARG_BOOL, "true", "false: nothing is saved" },
    { "default_root_dir", WK_ARG_TEXT, "", "where the run's directory lies that no output names" },
    { "enable_progress_bar", WK_ARG_BOOL, "true", NULL },
    { "enable_model_summary", WK_ARG_BOOL, "false", "print the model's layers" },
    { "num_nodes", WK_ARG_INT, "", "hosts that the ranks must be on" },
    { "devices", WK_ARG_INT, "0", "start so many ranks on this host; 0: those that there are; a list: GPUs" },
    { "gpus", WK_ARG_INT, "0", "an older name of devices" },
    { "strategy", WK_ARG_TEXT, "auto", "auto, ddp, dp (one batch is split among the ranks), …; or { name, args }" },
    { "sync_batchnorm", WK_ARG_BOOL, "false", "batch normalisation over the batches of all ranks" },
    { "accelerator", WK_ARG_TEXT, "auto", "cpu, gpu, cuda: the device, where the key device says none; auto: cpu" },
    { NULL, WK_ARG_INT, NULL, NULL },
};
const wk_arg wk__checkpoint_args[] = {
    { "every_n_epochs", WK_ARG_INT, "1", "save the last checkpoint" },
    { "every_n_train_steps", WK_ARG_INT, "0", "and within epochs" },
    { "async", WK_ARG_BOOL, "false", "checkpoints are copied, and written while training goes on" },
    { "monitor", WK_ARG_TEXT, "", "any of the keys from here on: a ModelCheckpoint with these args" },
    { "mode", WK_ARG_TEXT, "min", NULL },
    { "dirpath", WK_ARG_TEXT, "", NULL },
    { "filename", WK_ARG_TEXT, "", NULL },
    { "save_last", WK_ARG_TEXT, "", NULL },
    { "save_top_k", WK_ARG_INT, "1", NULL },
    { "save_weights_only", WK_ARG_BOOL, "false", NULL },
    { "auto_insert_metric_name", WK_ARG_BOOL, "true", NULL },
    { "train_time_interval", WK_ARG_TEXT, "", NULL },
    { "save_on_train_epoch_end", WK_ARG_BOOL, "", NULL },
    { "save_on_exception", WK_ARG_BOOL, "false", NULL },
    { "enable_version_counter", WK_ARG_BOOL, "true", NULL },
    { "verbose", WK_ARG_BOOL, "false", NULL },
    { NULL, WK_ARG_INT, NULL, NULL },
};

static wk_status section(const wk_config *root, const char *key, const wk_arg *args, wk_config *out) {
    const char *names[64];
    size_t count = 0;
    for (; args[count].name; count++) names[count] = args[count].name;
    const wk__yaml_node *node = wk__yaml_find(root->node, key);
    *out = (wk_config){ root->document, NULL };
    if (!node || wk__yaml_is_null(node)) return WK_OK;
    WK_TRY(wk__yaml_map(root->document, node, key));
    out->node = node;
    return wk__yaml_known(root->document, node, key, names, count);
}

/* 10 is ten batches, 1.0 all of them: the point tells. */
static wk__limit limit(const wk_config *config, const char *key, wk__limit otherwise) {
    const wk__yaml_node *node = config->node ? wk__yaml_find(config->node, key) : NULL;
    if (!node || wk__yaml_is_null(node)) return otherwise;
    bool is_whole = node->kind == WK__YAML_SCALAR && strspn(node->text, "0123456789") == strlen(node->text);
    wk__limit value = { !is_whole, is_whole ? (double)wk_config_int(config, key, 0, INT64_C(1) << 53, 0)
                                            : wk_config_double(config, key, 0, 1, 1) };
    return value;
}

int64_t wk__limit_of(wk__limit limit, int64_t batches) {
    double count = limit.is_fraction ? floor(limit.value * (double)batches) : limit.value;
    if (limit.is_fraction && limit.value > 0 && count < 1) count = 1;
    return count < (double)batches ? (int64_t)count : batches;
}

static void read_precision(const wk_config *trainer, wk__params *p) {
    static const char *const words[] = { "32", "32-true", "bf16-mixed", "bf16",      "16-mixed", "16",
                                         "64", "64-true", "16-true",    "bf16-true", NULL };
    static const wk__precision meanings[] = { WK__PRECISION_32,         WK__PRECISION_32,
                                              WK__PRECISION_BF16_MIXED, WK__PRECISION_BF16_MIXED,
                                              WK__PRECISION_F16_MIXED,  WK__PRECISION_F16_MIXED,
                                              WK__PRECISION_F64,        WK__PRECISION_F64,
                                              WK__PRECISION_F16,        WK__PRECISION_BF16 };
    p->precision = meanings[wk_config_choice(trainer, "precision", words, 0)];
}

/* What Lightning calls an accelerator is the device of a file that names none. */
static void read_accelerator(wk__run_config *c, const wk_config *trainer) {
    static const char *const words[] = { "auto", "cpu", "gpu", "cuda", NULL };
    enum { AUTO, CPU };
    const int chosen = wk_config_choice(trainer, "accelerator", words, AUTO);
    if (chosen == AUTO || wk_failed()) return;
    const char *device = chosen == CPU ? "cpu" : "cuda";
    if (!wk_config_has(&c->root, "device"))
        c->device = device;
    else if ((strcmp(c->device, "cpu") == 0) != (chosen == CPU))
        (void)wk_config_fail(trainer, "accelerator", "accelerator is %s, and device is %s: keep one of them",
                             words[chosen], c->device);
}

/* A rank for each of these. */
static void read_gpus(wk__run_config *c, const wk_config *trainer, const char *key) {
    enum { MOST = 32 };
    wk__params *p = &c->params;
    int64_t number[MOST];
    p->devices = wk_config_ints(trainer, key, number, MOST);
    for (int64_t i = 0, used = 0; i < p->devices && !wk_failed(); i++) {
        if (number[i] < 0 || number[i] > 999)
            (void)wk_config_fail(trainer, key, "%s holds %lld, expected numbers of GPUs", key, (long long)number[i]);
        used += snprintf(p->gpus + used, sizeof p->gpus - (size_t)used, "%s%d", i ? "," : "", (int)number[i]);
    }
    if (p->devices && !wk_config_has(&c->root, "device")) c->device = "cuda";
}

/* 2, auto, -1 (a rank for each GPU), or the numbers of GPUs as a list. */
static void read_devices(wk__run_config *c, const wk_config *trainer) {
    wk__params *p = &c->params;
    const char *key = wk_config_has(trainer, "gpus") ? "gpus" : "devices";
    const wk__yaml_node *node = trainer->node ? wk__yaml_find(trainer->node, key) : NULL;
    if (node && node->kind == WK__YAML_SEQUENCE) {
        read_gpus(c, trainer, key);
        return;
    }
    const char *text = wk_config_string(trainer, key, "auto");
    p->devices = !text || strcmp(text, "auto") == 0 ? 0 : wk_config_int(trainer, key, -1, 4096, 0);
    if (p->devices < 0) p->devices = wk_device_count("cuda", NULL, 0);
}

static void read_ranks(wk__run_config *c, const wk_config *trainer) {
    wk__params *p = &c->params;
    wk__strategy_read(trainer, p);
    read_devices(c, trainer);
    read_accelerator(c, trainer);
    p->hosts = wk_config_int(trainer, "num_nodes", 1, 1 << 20, 0);
    p->own_order = !wk_config_bool(trainer, "use_distributed_sampler", true);
}

/* Lightning refuses a file that asks for training alone and for something beside it, and so does this. */
static void read_barebones(const wk__run_config *c, const wk_config *trainer, wk__params *p) {
    static const char *const extras[] = { "enable_checkpointing", "enable_progress_bar", "enable_model_summary",
                                          "detect_anomaly" };
    static const char *const numbers[] = { "num_sanity_val_steps", "log_every_n_steps" };
    static const char words[] = "trainer.barebones leaves %s out: keep one of them";
    p->bare = wk_config_bool(trainer, "barebones", false);
    if (!p->bare) return;
    for (size_t i = 0; i < WK_COUNT(extras); i++)
        if (wk_config_bool(trainer, extras[i], false)) (void)wk_config_fail(trainer, extras[i], words, extras[i]);
    for (size_t i = 0; i < WK_COUNT(numbers); i++)
        if (wk_config_int(trainer, numbers[i], -1, INT64_MAX, 0))
            (void)wk_config_fail(trainer, numbers[i], words, numbers[i]);
    if (p->profiler) (void)wk_config_fail(trainer, "profiler", words, "profiler");
    if (p->fast_dev_run) (void)wk_config_fail(trainer, "fast_dev_run", words, "fast_dev_run");
    if (c->loggers) (void)wk_config_fail(&c->root, "logger", words, "logger");
    p->saves = p->progress_bar = p->summary = false;
    p->sanity_steps = 0;
    p->log_every_n_steps = INT64_MAX;
}

/* Whoever wants no checkpoints has named none. */
static void check_saving(const wk__run_config *c) {
    const wk__yaml_node *section = wk__yaml_find(c->root.node, "checkpoint");
    const char *why = c->params.bare ? "barebones" : "enable_checkpointing: false";
    if (c->params.saves || wk_failed()) return;
    if (section && section->count)
        (void)wk__yaml_fail_key(c->document, section,
                                "trainer.%s saves nothing, and there is a section checkpoint: "
                                "keep one of them",
                                why);
    for (int i = 0; i < c->callbacks && !wk_failed(); i++)
        if (strcmp(c->callback[i].name, "ModelCheckpoint") == 0)
            (void)wk_config_fail(&c->callback[i].section, "name",
                                 "trainer.%s saves nothing, and there is a ModelCheckpoint: keep one of them", why);
}

/* `fast_dev_run: 3`: three batches of one epoch; `true`: one. */
static void read_fast_dev_run(const wk_config *trainer, wk__params *p) {
    const char *text = wk_config_string(trainer, "fast_dev_run", "false");
    bool is_number = text && *text && strspn(text, "0123456789") == strlen(text);
    int64_t batches = is_number ? wk_config_int(trainer, "fast_dev_run", 0, 1 << 20, 0)
                                : wk_config_bool(trainer, "fast_dev_run", false);
    if (batches == 0) return;
    p->fast_dev_run = true;
    p->max_epochs = 1;
    p->max_steps = 0;
    p->sanity_steps = 0;
    p->limit_train = p->limit_val = (wk__limit){ false, (double)batches };
    p->val_check = (wk__limit){ true, 1 };
    p->val_every_n_epochs = 1;
}

wk_status wk__params_read(wk__run_config *c) {
    static const char *const algorithms[] = { "norm", "value", NULL }, *const nans[] = { "stop", "skip", NULL };
    static const char *const profilers[] = { "none", "simple", "advanced", NULL };
    const wk__limit all = { true, 1 }, none = { false, 0 };
    wk_config trainer, checkpoint;
    WK_TRY(section(&c->root, "trainer", wk__trainer_args, &trainer));
    WK_TRY(section(&c->root, "checkpoint", wk__checkpoint_args, &checkpoint));
    wk__params *p = &c->params;
    p->max_steps = wk_config_int(&trainer, "max_steps", -1, INT64_MAX, -1);
    if (p->max_steps < 0) p->max_steps = 0;
    bool endless = (p->max_steps > 0 || wk_config_has(&trainer, "max_time")) && !wk_config_has(&trainer, "max_epochs");
    p->max_epochs = wk_config_int(&trainer, "max_epochs", -1, MOST_EPOCHS, endless ? MOST_EPOCHS : 1);
    if (p->max_epochs == 0)
        return wk_config_fail(&trainer, "max_epochs", "max_epochs is 0, expected at least 1, or -1 for no limit");
    if (p->max_epochs < 0) p->max_epochs = MOST_EPOCHS;
    p->min_epochs = wk_config_int(&trainer, "min_epochs", 0, 1000000, 0);
    p->min_steps = wk_config_int(&trainer, "min_steps", 0, INT64_MAX, 0);
    p->max_seconds = wk__config_seconds(&trainer, "max_time");
    p->limit_train = limit(&trainer, "limit_train_batches", all);
    p->limit_val = limit(&trainer, "limit_val_batches", all);
    p->limit_test = limit(&trainer, "limit_test_batches", all);
    (void)limit(&trainer, "limit_predict_batches", all);
    p->overfit = limit(&trainer, "overfit_batches", none);
    p->val_check = limit(&trainer, "val_check_interval", all);
    p->val_every_n_epochs = wk_config_int(&trainer, "check_val_every_n_epoch", 1, 1000000, 1);
    p->sanity_steps = wk_config_int(&trainer, "num_sanity_val_steps", -1, INT64_MAX, 2);
    p->window[0].batches = wk_config_int(&trainer, "accumulate_grad_batches", 1, 1 << 20, 1);
    p->windows = 1;
    p->clip = wk_config_double(&trainer, "gradient_clip_val", 0, DBL_MAX, 0);
    p->clip_by_value = wk_config_choice(&trainer, "gradient_clip_algorithm", algorithms, 0) == 1;
    p->log_every_n_steps = wk_config_int(&trainer, "log_every_n_steps", 0, INT64_MAX, 50);
    if (p->log_every_n_steps == 0) p->log_every_n_steps = INT64_MAX;
    const char *deterministic = wk_config_string(&trainer, "deterministic", "true");
    if (deterministic && strcmp(deterministic, "warn") != 0) (void)wk_config_bool(&trainer, "deterministic", true);
    (void)wk_config_bool(&trainer, "benchmark", true);
    p->detect_anomaly = wk_config_bool(&trainer, "detect_anomaly", false);
    p->profiler = (wk__profiler)wk_config_choice(&trainer, "profiler", profilers, WK__PROFILER_NONE);
    p->reload_every = wk_config_int(&trainer, "reload_dataloaders_every_n_epochs", 0, MOST_EPOCHS, 0);
    p->saves = wk_config_bool(&trainer, "enable_checkpointing", true);
    p->recompute = wk_config_bool(&trainer, "recompute", false);
    p->skip_nan = wk_config_choice(&trainer, "nan", nans, 0) == 1;
    p->progress_bar = wk_config_bool(&trainer, "enable_progress_bar", true);
    p->summary = wk_config_bool(&trainer, "enable_model_summary", false);
    read_precision(&trainer, p);
    read_ranks(c, &trainer);
    read_fast_dev_run(&trainer, p);
    read_barebones(c, &trainer, p);
    check_saving(c);
    if (!wk_failed() && (p->limit_train.value == 0 || p->val_check.value == 0))
        return wk_config_fail(&trainer, p->limit_train.value == 0 ? "limit_train_batches" : "val_check_interval",
                              "0 batches: expected at least one, or a part of more than 0");
    c->every_n_epochs = wk_config_int(&checkpoint, "every_n_epochs", 1, 1000000, 1);
    c->every_n_steps = wk_config_int(&checkpoint, "every_n_train_steps", 0, INT64_MAX, 0);
    c->saves_async = wk_config_bool(&checkpoint, "async", false);
    return wk_failed() ? wk_error_code() : wk__windows_read(c);
}
