/* predictions.c: what the model says of the items to evaluate on, as files: Lightning's BasePredictionWriter.
 *
 * OUTPUT/predictions/step-N holds those of the validation after step N: one file (`write_interval: epoch`) or one a
 * batch.  A row is an item, in the order of the data; with several ranks each writes its own items, RANK, RANK + ranks,
 * ….  A row of csv begins with the item's number; npy has the shape that the model gave.
 */
#include "train/callbacks/callbacks.h"

#include "io/file.h"
#include "wick/io.h"

#include <string.h>

const wk_arg wk__predictions_args[] = {
    { "write_interval", WK_ARG_TEXT, "epoch", "epoch: a file a validation; batch: a file a batch" },
    { "format", WK_ARG_TEXT, "npy", "npy or csv" },
    { "dirpath", WK_ARG_TEXT, "", "OUTPUT/predictions" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

typedef struct writer {
    wk_callback base;
    const char *folder;
    bool per_batch, as_csv;
    /* of the validation under way, where it is one file */
    float *row;
    int64_t rows, room, width;
    wk_dims item; /* the shape of one prediction */
} writer;

static wk_status begin(wk_callback *self, wk_trainer *t) {
    (void)t;
    ((writer *)self)->rows = 0;
    return WK_OK;
}

/* The model is in evaluation mode, and no gradients are kept. */
static wk_tensor *predict(wk_trainer *t) {
    wk_autocast was = wk__autocast(t);
    wk_tensor *y = wk_forward(wk_trainer_model(t), wk_trainer_batch(t)->input);
    wk_autocast_end(was);
    return wk_contiguous(wk_cast(wk_to_device(y, WK_CPU), WK_F32));
}

static wk_status add(writer *w, wk_tensor *y) {
    const int64_t items = wk_size(y, 0);
    w->item = (wk_dims){ .rank = wk_rank(y) - 1 };
    for (int i = 0; i < w->item.rank; i++) w->item.size[i] = wk_size(y, i + 1);
    w->width = items > 0 ? wk_count(y) / items : 0;
    if (w->rows + items > w->room) {
        const int64_t room = 2 * (w->rows + items);
        float *more = wk_realloc(w->row, (size_t)(room * w->width) * sizeof *more);
        if (!more) return WK_NO_MEMORY;
        w->row = more;
        w->room = room;
    }
    memcpy(w->row + w->rows * w->width, wk_data(y), (size_t)wk_count(y) * sizeof *w->row);
    w->rows += items;
    return WK_OK;
}

static wk_status write_csv(const writer *w, const wk_trainer *t, const char *path, int64_t first) {
    wk_text text = { 0 };
    wk_text_puts(&text, "item");
    for (int64_t k = 0; k < w->width; k++) wk_text_printf(&text, ",prediction_%lld", (long long)k);
    wk_text_puts(&text, "\n");
    for (int64_t i = 0; i < w->rows; i++) {
        wk_text_printf(&text, "%lld", (long long)((first + i) * t->ranks + t->rank));
        for (int64_t k = 0; k < w->width; k++) wk_text_printf(&text, ",%.9g", (double)w->row[i * w->width + k]);
        wk_text_puts(&text, "\n");
    }
    wk_status status = text.failed ? WK_NO_MEMORY : wk__write_file(path, wk_text_get(&text), text.size);
    wk_text_free(&text);
    return status;
}

static wk_status write_npy(const writer *w, const char *path) {
    wk_dims dims = { .rank = w->item.rank + 1, .size = { w->rows } };
    memcpy(dims.size + 1, w->item.size, (size_t)w->item.rank * sizeof dims.size[0]);
    wk_tensor *all = wk_from_array(WK_F32, dims, w->row);
    return all ? wk_npy_save(path, all) : wk_error_code();
}

/* The rows that there are, the first of which is this rank's item number `first`, to FOLDER/NAME[-rank-R].EXTENSION. */
static wk_status write_rows(writer *w, wk_trainer *t, const char *folder, const char *name, int64_t first) {
    char rank[24] = "";
    if (t->ranks > 1) (void)snprintf(rank, sizeof rank, "-rank-%d", t->rank);
    char *path = wk_format("%s/%s%s.%s", folder, name, rank, w->as_csv ? "csv" : "npy");
    wk_status status = path ? wk__make_folder(folder) : WK_NO_MEMORY;
    if (status == WK_OK) status = w->as_csv ? write_csv(w, t, path, first) : write_npy(w, path);
    wk_free(path);
    w->rows = 0;
    return status;
}

static char *folder_of(const writer *w, const wk_trainer *t) {
    return w->folder ? wk_strdup(w->folder) : wk_format("%s/predictions", wk_trainer_folder(t));
}

static bool is_wanted(const wk_trainer *t) {
    return wk_trainer_stage(t) != WK_STAGE_SANITY && !t->params->fast_dev_run;
}

static wk_status write_batch(writer *w, wk_trainer *t) {
    const wk_batch *batch = wk_trainer_batch(t);
    char name[40], *root = folder_of(w, t),
                   *folder = root ? wk_format("%s/step-%lld", root, (long long)wk_trainer_step(t)) : NULL;
    (void)snprintf(name, sizeof name, "batch-%lld", (long long)batch->index);
    wk_status status = folder ? write_rows(w, t, folder, name, batch->index * t->batch_size) : WK_NO_MEMORY;
    wk_free(folder);
    wk_free(root);
    return status;
}

static wk_status batch_end(wk_callback *self, wk_trainer *t) {
    writer *w = (writer *)self;
    if (!is_wanted(t)) return WK_OK;
    wk_tensor *y = predict(t);
    WK_TRY(y && wk_rank(y) > 0 ? add(w, y)
           : wk_failed()       ? wk_error_code()
                               : wk_fail(WK_SHAPE, "the model gives one number for a batch, expected one an item"));
    return w->per_batch ? write_batch(w, t) : WK_OK;
}

static wk_status end(wk_callback *self, wk_trainer *t) {
    writer *w = (writer *)self;
    if (!is_wanted(t) || w->per_batch || w->rows == 0) return WK_OK;
    char name[40], *folder = folder_of(w, t);
    (void)snprintf(name, sizeof name, "step-%lld", (long long)wk_trainer_step(t));
    wk_scope scope = wk_scope_begin();
    wk_status status = folder ? write_rows(w, t, folder, name, 0) : WK_NO_MEMORY;
    wk_scope_end(scope);
    wk_free(folder);
    return status;
}

static void destroy(wk_callback *self) {
    wk_free(((writer *)self)->row);
}

static const wk_callback_class class_ = { .name = "PredictionWriter",
                                          .size = sizeof(writer),
                                          .validation_start = begin,
                                          .validation_batch_end = batch_end,
                                          .validation_end = end,
                                          .destroy = destroy };

wk_callback *wk__predictions_build(const wk_config *args) {
    static const char *const intervals[] = { "epoch", "batch", NULL }, *const formats[] = { "npy", "csv", NULL };
    writer *w = (writer *)wk_callback_create(&class_);
    if (!w) return NULL;
    w->per_batch = wk_config_choice(args, "write_interval", intervals, 0) == 1;
    w->as_csv = wk_config_choice(args, "format", formats, 0) == 1;
    w->folder = wk_config_string(args, "dirpath", NULL);
    return &w->base;
}
