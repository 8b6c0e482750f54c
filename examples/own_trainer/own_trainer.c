/* own_trainer.c: a model, a loss, data, a callback, a training wrapper and a file system of one's own, as a plug-in of
 * a run's file.  README.md beside it says how it is built and run.
 *
 * The data are points around two circles; the wrapper's validation counts the points that are right, and how sure the
 * model is of them.
 */
#include <wick/files.h>
#include <wick/op.h>
#include <wick/train.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define END \
    { NULL, WK_ARG_INT, NULL, NULL }

/* ---- a model: a hidden layer as wide as the file says ---- */

static wk_module *build_rings_net(const wk_config *args) {
    int64_t width = wk_config_int(args, "width", 1, 4096, 16);
    wk_layer_opts plain = { 0 };
    if (wk_failed()) return NULL;
    return wk_nn_sequential(wk_nn_linear(2, width, plain), wk_nn_tanh(), wk_nn_linear(width, 2, plain));
}
static const wk_arg rings_net_args[] = { { "width", WK_ARG_INT, "16", "of the hidden layer" }, END };
static const wk_model_entry rings_net = { { "rings-net", "two layers for points", rings_net_args }, build_rings_net };

/* ---- a model of another one: a spec in its args ---- */

static wk_module *build_scaled(const wk_config *args) {
    wk_module *inner = wk_make_model(args, "inner_spec");
    return inner ? wk_nn_sequential(inner, wk_nn_tanh()) : NULL;
}
static const wk_arg scaled_args[] = { { "inner_spec", WK_ARG_SPEC, NULL, "the model whose scores are bounded" }, END };
static const wk_model_entry scaled = { { "bounded", "another model's scores, bounded", scaled_args }, build_scaled };

/* ---- a loss, with an option and a number of its own to log ---- */

typedef struct margin_loss {
    wk_loss base;
    double margin;
} margin_loss;

/* Multi-class hinge: mean over items of max(0, margin - (score of the class - the other's)). */
static wk_tensor *margin_compute(wk_loss *self, wk_trainer *trainer, wk_tensor *scores, const wk_batch *batch) {
    const margin_loss *m = (const margin_loss *)self;
    const wk_multi_margin_opts opts = { .margin = WK_SET(m->margin) };
    const bool fits = wk_trainer_stage(trainer) == WK_STAGE_FIT;
    const wk_log_opts mean = { .on_epoch = true, .no_step = true };
    (void)wk_trainer_log(trainer, fits ? "margin" : "val_margin", m->margin, mean);
    wk_tensor *loss = wk_multi_margin_loss(scores, batch->target, NULL, opts);
    if (loss) (void)wk_trainer_log(trainer, fits ? "hinge" : "val_hinge", wk_item(loss), mean);
    return loss;
}
static const wk_loss_class margin_class = { "margin", sizeof(margin_loss), margin_compute, NULL };
static wk_loss *build_margin(const wk_config *args) {
    wk_loss *loss = wk_loss_create(&margin_class);
    if (loss) ((margin_loss *)loss)->margin = wk_config_double(args, "margin", 0, 100, 1);
    return loss;
}
static const wk_arg margin_args[] = { { "margin", WK_ARG_NUMBER, "1", NULL }, END };
static const wk_loss_entry margin = { { "margin", "multi-class hinge", margin_args }, build_margin };

/* ---- data: made as they are asked for ---- */

static wk_status rings_fetch(const wk_dataset *self, const int64_t *indices, int64_t n, void *input, void *target) {
    float *points = input;
    int64_t *labels = target;
    (void)self;
    for (int64_t i = 0; i < n; i++) {
        const double angle = (double)indices[i] * 2.399963; /* the golden angle: never the same point twice */
        labels[i] = indices[i] % 2;
        const double radius = labels[i] ? 1.5 : 0.5;
        points[2 * i] = (float)(radius * cos(angle));
        points[2 * i + 1] = (float)(radius * sin(angle));
    }
    return WK_OK;
}
static const wk_dataset_class rings_class = { .name = "rings", .size = sizeof(wk_dataset), .fetch = rings_fetch };

static wk_dataset *make_rings(int64_t count) {
    wk_dataset *data = wk_dataset_create(&rings_class);
    if (!data) return NULL;
    data->count = count;
    data->input_dims = WK_DIMS(2);
    data->input_dtype = WK_F32;
    data->target_dtype = WK_I64;
    data->classes = 2;
    return data;
}
static wk_status build_rings(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    int64_t points = wk_config_int(args, "points", 2, INT64_MAX, 512);
    if (wk_failed()) return wk_error_code();
    *train = make_rings(points);
    *evaluation = *train ? make_rings(points / 4 > 0 ? points / 4 : 1) : NULL;
    return wk_failed() ? wk_error_code() : WK_OK;
}
static const wk_arg rings_args[] = { { "points", WK_ARG_INT, "512", "to train on; a quarter as many to validate" },
                                     END };
static const wk_data_entry rings = { { "rings", "points around two circles", rings_args }, build_rings };

/* ---- a callback: says every hook that it meets, and stops the run after some steps ---- */

typedef struct teller {
    wk_callback base;
    int64_t stop_after;
    bool tells;
    char last[40]; /* to say a repeated hook once */
} teller;

static wk_status tell(wk_callback *self, wk_trainer *trainer, const char *hook) {
    teller *me = (teller *)self;
    if (me->tells && strcmp(me->last, hook) != 0) wk_trainer_say(trainer, "hook %s", hook);
    (void)snprintf(me->last, sizeof me->last, "%s", hook);
    if (me->stop_after > 0 && wk_trainer_step(trainer) >= me->stop_after)
        wk_trainer_stop(trainer, "the teller has told enough");
    return WK_OK;
}
#define TELL(hook)                                                         \
    static wk_status tell_##hook(wk_callback *self, wk_trainer *trainer) { \
        return tell(self, trainer, #hook);                                 \
    }
WK_HOOK_MAP(TELL)
#define ENTER(hook) .hook = tell_##hook,
static const wk_callback_class teller_class = { .name = "Teller", .size = sizeof(teller), WK_HOOK_MAP(ENTER) };

static wk_callback *build_teller(const wk_config *args) {
    teller *me = (teller *)wk_callback_create(&teller_class);
    if (!me) return NULL;
    me->stop_after = wk_config_int(args, "stop_after", 0, INT64_MAX, 0);
    me->tells = wk_config_bool(args, "tells", true);
    return &me->base;
}
static const wk_arg teller_args[] = { { "stop_after", WK_ARG_INT, "0", "steps; 0: never" },
                                      { "tells", WK_ARG_BOOL, "true", NULL },
                                      END };
static const wk_callback_entry teller_entry = { { "Teller", "says every hook", teller_args }, build_teller };

/* ---- a wrapper with its own validation ---- */

typedef struct confident {
    wk_wrapper base;
    wk_loss *loss;
} confident;

static wk_tensor *confident_train(wk_wrapper *self, wk_trainer *trainer, const wk_batch *batch) {
    wk_loss *loss = ((confident *)self)->loss;
    return loss->class_->compute(loss, trainer, wk_forward(self->module, batch->input), batch);
}
static wk_status confident_validate(wk_wrapper *self, wk_trainer *trainer, const wk_batch *batch) {
    wk_tensor *scores = wk_forward(self->module, batch->input);
    wk_tensor *sure = wk_amax(wk_softmax(scores, (wk_axis_opts){ { 0 } }), (wk_reduce_opts){ .axes = WK_DIMS(-1) });
    wk_tensor *right = wk_eq(wk_argmax(scores, (wk_axis_opts){ { 0 } }), batch->target);
    if (!sure || !right) return wk_failed() ? WK_INVALID : WK_OK;
    double hits = wk_item(wk_sum(right, (wk_reduce_opts){ 0 })), items = (double)batch->size;
    if (batch->index == 0) { /* the first batch's curve of precision over recall, for TensorBoard */
        wk_tensor *outer = wk_select(wk_softmax(scores, (wk_axis_opts){ { 0 } }), 1, 1);
        if (wk_trainer_log_pr_curve(trainer, "val_outer", outer, batch->target, 11) != WK_OK) return WK_INVALID;
    }
    if (wk_trainer_log(trainer, "val_right", hits / items, (wk_log_opts){ 0 }) != WK_OK) return WK_INVALID;
    return wk_trainer_log(trainer, "val_confidence", wk_item(wk_mean(sure, (wk_reduce_opts){ 0 })), (wk_log_opts){ 0 });
}
/* Once a run: what TensorBoard shows side by side. */
static wk_status confident_files(wk_wrapper *self, wk_trainer *trainer) {
    static const wk_board_chart charts[] = { { "rings", "losses", ".*loss" }, { "rings", "certainty", "val_.*" } };
    (void)self;
    return wk_trainer_log_layout(trainer, charts, 2);
}
static void confident_destroy(wk_wrapper *self) {
    wk_loss_destroy(((confident *)self)->loss);
}
static const wk_wrapper_class confident_class = { .name = "confident",
                                                  .size = sizeof(confident),
                                                  .training_step = confident_train,
                                                  .validation_step = confident_validate,
                                                  .destroy = confident_destroy,
                                                  .files = confident_files };
static wk_wrapper *build_confident(const wk_config *args, const wk_config *run) {
    wk_wrapper *self = wk_wrapper_create(&confident_class);
    if (!self) return NULL;
    ((confident *)self)->loss = wk_make_loss(args, "loss_spec");
    self->module = wk_make_model(run, "model");
    return self;
}
static const wk_arg confident_args[] = { { "loss_spec", WK_ARG_SPEC, NULL, "the loss" }, END };
static const wk_wrapper_entry confident_entry = { { "confident", "validates its certainty", confident_args },
                                                  build_confident };

/* ---- a file system: `shelf://NAME` is a file to read in the folder that the variable SHELF names ---- */

static const char shelf_root[] = "shelf://";

static wk_status shelf_open(const char *url, int64_t begin, int64_t end, void **file) {
    const char *folder = getenv("SHELF"), *name = url + sizeof shelf_root - 1;
    char path[4096];
    if (!folder || !*name || strchr(name, '/')) return wk_fail(WK_NOT_FOUND, "expected a name in the folder SHELF");
    if (end >= 0) return wk_fail(WK_UNSUPPORTED, "files of the shelf are read to their end");
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *stream = fopen(path, "rb");
    if (!stream) return wk_fail(WK_NOT_FOUND, "%s: %s", path, strerror(errno));
    *file = stream;
    return fseek(stream, (long)begin, SEEK_SET) == 0 ? WK_OK : wk_fail(WK_IO, "%s: %s", path, strerror(errno));
}
static wk_status shelf_read(void *file, void *bytes, size_t size, size_t *got) {
    *got = fread(bytes, 1, size, file);
    return ferror((FILE *)file) ? wk_fail(WK_IO, "%s", strerror(errno)) : WK_OK;
}
static void shelf_close(void *file) {
    (void)fclose(file);
}
static wk_status shelf_stat(const char *url, wk_file_info *info) {
    void *file;
    wk_status status = shelf_open(url, 0, -1, &file);
    if (status != WK_OK) return status;
    *info = (wk_file_info){ .kind = WK_FILE_PLAIN, .size = -1 };
    shelf_close(file);
    return WK_OK;
}
static const char *const shelf_schemes[] = { "shelf", NULL };
static const wk_file_system shelf = { .api_version = WK_FILES_API,
                                      .size = sizeof(wk_file_system),
                                      .schemes = shelf_schemes,
                                      .open = shelf_open,
                                      .read = shelf_read,
                                      .close = shelf_close,
                                      .stat = shelf_stat };

/* ---- the plug-in ---- */

static wk_status load(void) {
    wk_status status = wk_register_model(&rings_net);
    if (status == WK_OK) status = wk_register_model(&scaled);
    if (status == WK_OK) status = wk_register_loss(&margin);
    if (status == WK_OK) status = wk_register_data(&rings);
    if (status == WK_OK) status = wk_register_callback(&teller_entry);
    if (status == WK_OK) status = wk_file_system_register(&shelf);
    return status == WK_OK ? wk_register_wrapper(&confident_entry) : status;
}

WK_API extern const wk_plugin wick_plugin;
const wk_plugin wick_plugin = { WK_PLUGIN_API, "own_trainer", load };
