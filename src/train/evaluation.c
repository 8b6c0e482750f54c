/* evaluation.c: see evaluation.h.
 *
 * Counting goes along with validation: no pass of its own.  Every rank has part of the items; rank 0 keeps the first
 * few of its own as examples, whose inputs are fetched again when the file is written.
 */
#include "io/file.h"
#include "io/png.h"
#include "train/run.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

static const wk_dataset *data_of(const wk_trainer *t) {
    return t->params->overfit.value > 0 ? t->train_data : t->val_data;
}

wk_status wk__evaluation_start(wk_trainer *t) {
    wk__evaluation *e = &t->evaluation;
    const wk_dataset *data = data_of(t);
    bool counts = data->classes >= 2 && data->classes <= WK__EVALUATION_CLASSES && data->target_dims.rank == 0;
    e->guesses = 0;
    if (e->confusion)
        wk_metric_reset(e->confusion);
    else if (counts)
        e->confusion = wk_metric_create("confusion_matrix", (wk_metric_opts){ .classes = data->classes });
    return !counts || e->confusion ? WK_OK : wk_error_code();
}

/* The first items of rank 0's part of the data: the sampler deals them out in turn. */
static void keep_guesses(wk_trainer *t, const double *scores, const int64_t *targets, int64_t items, int64_t classes) {
    wk__evaluation *e = &t->evaluation;
    for (int64_t i = 0; i < items && e->guesses < WK__EVALUATION_SAMPLES; i++) {
        const double *row = scores + i * classes;
        int64_t best = 0;
        double sum = 0;
        for (int64_t c = 1; c < classes; c++)
            if (row[c] > row[best]) best = c;
        for (int64_t c = 0; c < classes; c++) sum += exp(row[c] - row[best]);
        e->guess[e->guesses++] = (wk__guess){ .item = (t->batch->index * t->batch_size + i) * t->ranks + t->rank,
                                              .target = (int)targets[i],
                                              .predicted = (int)best,
                                              .probability = 1 / sum };
    }
}

wk_status wk_trainer_log_predictions(wk_trainer *t, wk_tensor *scores, wk_tensor *targets) {
    const wk__evaluation *e = &t->evaluation;
    if (!e->confusion || t->stage == WK_STAGE_FIT) return wk_failed() ? wk_error_code() : WK_OK;
    wk_tensor *here = wk_contiguous(wk_cast(wk_to_device(scores, WK_CPU), WK_F64));
    wk_tensor *classes = wk_contiguous(wk_to_device(targets, WK_CPU));
    if (!here || !classes) return wk_error_code();
    if (wk_rank(here) != 2 || wk_dtype_get(classes) != WK_I64) {
        char a[100], b[100];
        return wk_fail(WK_SHAPE,
                       "wk_trainer_log_predictions: scores are %s and targets %s, expected (N, classes) and i64 (N)",
                       wk_describe(scores, a, sizeof a), wk_describe(targets, b, sizeof b));
    }
    WK_TRY(wk_metric_update(e->confusion, here, classes));
    if (t->rank == 0 && t->batch) keep_guesses(t, wk_data(here), wk_data(classes), wk_size(here, 0), wk_size(here, 1));
    return WK_OK;
}

wk_status wk__evaluation_end(wk_trainer *t) {
    wk__evaluation *e = &t->evaluation;
    int64_t classes = data_of(t)->classes;
    double counted = 0;
    if (!e->confusion) return WK_OK;
    double *matrix = wk_alloc((size_t)(classes * classes) * sizeof *matrix);
    wk_status status = matrix ? wk_metric_compute(e->confusion, t->group, matrix, classes * classes) : WK_NO_MEMORY;
    for (int64_t i = 0; status == WK_OK && i < classes * classes; i++) counted += matrix[i];
    if (status != WK_OK || counted == 0) { /* the wrapper tells of no predictions */
        wk_free(matrix);
        return status;
    }
    wk_free(e->matrix);
    e->matrix = matrix;
    memcpy(e->shown, e->guess, sizeof e->shown);
    e->n_shown = e->guesses;
    e->step = t->standing.step;
    e->epoch = t->epoch + 1;
    return WK_OK;
}

void wk__evaluation_free(wk__evaluation *e) {
    wk_metric_destroy(e->confusion);
    wk_free(e->matrix);
    *e = (wk__evaluation){ 0 };
}

/* ---- evaluation.json ---- */

/* (C, H, W) of 1 or 3 channels, not larger than a thumb's nail of a page. */
static bool is_image(const wk_dataset *d) {
    const int64_t *size = d->input_dims.size;
    return d->input_dims.rank == 3 && (size[0] == 1 || size[0] == 3) && size[1] <= 256 && size[2] <= 256
           && d->input_dtype == WK_F32;
}

/* From its darkest to its brightest value: what was done to it before it came to the model is not known here. */
static json_t *image_of(const float *values, const int64_t size[3]) {
    int64_t channels = size[0], area = size[1] * size[2];
    float least = values[0], most = values[0];
    for (int64_t i = 0; i < channels * area; i++) {
        least = fminf(least, values[i]);
        most = fmaxf(most, values[i]);
    }
    wk_text png = { 0 }, letters = { 0 };
    unsigned char *pixels = wk_alloc((size_t)(channels * area));
    for (int64_t i = 0; pixels && i < channels * area; i++) {
        float value = values[i % channels * area + i / channels];
        pixels[i] = (unsigned char)(most > least ? 255 * (value - least) / (most - least) + 0.5f : 0);
    }
    json_t *text = NULL;
    if (pixels && wk__png_encode(&png, pixels, (int)size[1], (int)size[2], (int)channels) == WK_OK) {
        wk__base64(&letters, png.data, png.size);
        text = json_string(wk_text_get(&letters));
    }
    wk_free(pixels);
    wk_text_free(&letters);
    wk_text_free(&png);
    return text;
}

static json_t *sample_of(const wk_dataset *d, const wk__guess *g, float *input, void *target) {
    json_t *sample = json_pack("{s:I, s:i, s:i, s:f}", "item", (json_int_t)g->item, "target", g->target, "predicted",
                               g->predicted, "probability", g->probability);
    if (input && g->item < d->count && d->class_->fetch(d, &g->item, 1, input, target) == WK_OK)
        (void)json_object_set_new(sample, "image", image_of(input, d->input_dims.size));
    return sample;
}

static json_t *samples_of(const wk_trainer *t) {
    const wk_dataset *d = data_of(t);
    json_t *samples = json_array();
    size_t size = wk_dtype_size(d->input_dtype);
    for (int i = 0; i < d->input_dims.rank; i++) size *= (size_t)d->input_dims.size[i];
    float *input = is_image(d) ? wk_alloc(size) : NULL;
    void *target = wk_alloc(wk_dtype_size(d->target_dtype));
    for (int i = 0; target && i < t->evaluation.n_shown; i++)
        (void)json_array_append_new(samples, sample_of(d, &t->evaluation.shown[i], input, target));
    wk_free(target);
    wk_free(input);
    return samples;
}

static json_t *names_of(const wk_dataset *d) {
    json_t *names = json_array();
    for (int c = 0; c < d->classes; c++) {
        char number[16];
        (void)snprintf(number, sizeof number, "%d", c);
        json_t *name = json_string(d->class_names ? d->class_names[c] : number);
        (void)json_array_append_new(names, name ? name : json_string(number)); /* a name that is no UTF-8 */
    }
    return names;
}

wk_status wk__evaluation_write(wk_trainer *t) {
    const wk__evaluation *e = &t->evaluation;
    if (t->rank != 0 || !e->matrix) return WK_OK;
    const wk_dataset *d = data_of(t);
    json_t *matrix = json_array();
    for (int64_t row = 0; row < d->classes; row++) {
        json_t *cells = json_array();
        for (int64_t c = 0; c < d->classes; c++)
            (void)json_array_append_new(cells, json_integer((json_int_t)e->matrix[row * d->classes + c]));
        (void)json_array_append_new(matrix, cells);
    }
    json_t *all = json_pack("{s:I, s:I, s:o, s:o, s:o}", "step", (json_int_t)e->step, "epoch", (json_int_t)e->epoch,
                            "classes", names_of(d), "matrix", matrix, "samples", samples_of(t));
    wk_status status = wk_failed() ? wk_error_code() : wk__folder_json(&t->folder, "evaluation.json", all);
    json_decref(all);
    return status;
}
