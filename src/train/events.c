/* events.c: what a run shows in TensorBoard besides its metrics and media (media.c, embedding.c). */
#include "train/events.h"

#include "base/base.h"
#include "io/png.h"

#include <math.h>

wk_status wk__put_events(wk_trainer *t, wk_text *records) {
    WK_TRY(wk__event_file_put(t->folder.events, records));
    return wk__event_file_flush(t->folder.events);
}

const float *wk__as_floats(wk_tensor *tensor) {
    wk_tensor *here = wk_contiguous(wk_cast(wk_to_device(tensor, WK_CPU), WK_F32));
    return here ? wk_data(here) : NULL;
}

wk_status wk_trainer_log_text(wk_trainer *t, const char *tag, const char *text) {
    wk_text records = { 0 };
    if (!t->folder.events) return WK_OK;
    wk__event_text(&records, wk_wall_time(), t->standing.step, tag, text);
    return wk__put_events(t, &records);
}

static const double *numbers(wk_tensor *tensor) {
    wk_tensor *here = wk_contiguous(wk_cast(wk_to_device(tensor, WK_CPU), WK_F64));
    return here ? wk_data(here) : NULL;
}

wk_status wk_trainer_log_histogram(wk_trainer *t, const char *tag, wk_tensor *values) {
    wk_text records = { 0 };
    if (!t->folder.events) return WK_OK;
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    const double *data = numbers(values);
    if (data) wk__event_histogram(&records, wk_wall_time(), t->standing.step, tag, data, wk_count(values));
    wk_no_grad_end(was);
    wk_scope_end(scope);
    return data ? wk__put_events(t, &records) : wk_error_code();
}

/* img/TAG-STEP.png of the run's directory, for those who look without TensorBoard. */
static wk_status write_image(wk_trainer *t, const char *tag, const unsigned char *pixels, int64_t height, int64_t width,
                             int64_t channels) {
    if (t->params->fast_dev_run) return WK_OK;
    char *name = wk__tag_file_name(tag),
         *path = name ? wk_format("%s/img/%s-%lld.png", t->config->output, name, (long long)t->standing.step) : NULL;
    wk_status status = path ? wk__png_write(path, pixels, (int)height, (int)width, (int)channels) : WK_NO_MEMORY;
    wk_free(path);
    wk_free(name);
    return wk__saved(t, status);
}

wk_status wk_trainer_log_image(wk_trainer *t, const char *tag, wk_tensor *image) {
    wk_text records = { 0 };
    if (!t->folder.events) return WK_OK;
    int64_t c = wk_rank(image) == 3 ? wk_size(image, 0) : 0;
    if (c != 1 && c != 3 && c != 4)
        return wk_failed() ? wk_error_code()
                           : wk_fail(WK_SHAPE, "wk_trainer_log_image: expected (C, H, W) of 1, 3 or 4 channels");
    int64_t height = wk_size(image, 1), width = wk_size(image, 2);
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    const double *data = numbers(image);
    unsigned char *pixels = data ? wk_alloc((size_t)(height * width * c)) : NULL;
    for (int64_t i = 0; pixels && i < height * width * c; i++) {
        double value = data[i % c * height * width + i / c];
        pixels[i] = (unsigned char)(value > 0 ? value < 1 ? value * 255 + 0.5 : 255 : 0);
    }
    wk_no_grad_end(was);
    wk_scope_end(scope);
    wk_status status = pixels ? wk__event_image(&records, wk_wall_time(), t->standing.step, tag, pixels, (int)height,
                                                (int)width, (int)c)
                              : wk_error_code();
    if (status == WK_OK) status = wk__put_events(t, &records);
    if (status == WK_OK) status = write_image(t, tag, pixels, height, width, c);
    wk_free(pixels);
    return status;
}

/* Counts at each threshold: an item is positive there if its score's bucket is not below. */
static wk_status fill_curve(const double *score, const double *target, int64_t count, int n,
                            float *row /* (WK__PR_ROWS, n) */) {
    double positives[WK__PR_MOST] = { 0 }, negatives[WK__PR_MOST] = { 0 }, tp = 0, fp = 0, all[2] = { 0, 0 };
    const double least = 1e-7; /* TensorBoard's, so that 0 / 0 is 0 */
    for (int64_t i = 0; i < count; i++) {
        if (!(score[i] >= 0 && score[i] <= 1) || (target[i] != 0 && target[i] != 1))
            return wk_fail(WK_INVALID,
                           "wk_trainer_log_pr_curve: item %lld has score %g and target %g, expected [0, 1] and 0 or 1",
                           (long long)i, score[i], target[i]);
        const int bucket = (int)(score[i] * (n - 1));
        (target[i] > 0 ? positives : negatives)[bucket]++;
        all[target[i] > 0]++;
    }
    for (int i = n - 1; i >= 0; i--) {
        tp += positives[i], fp += negatives[i];
        const double of[WK__PR_ROWS] = { tp,
                                         fp,
                                         all[0] - fp,
                                         all[1] - tp,
                                         tp > 0 ? tp / fmax(tp + fp, least) : 0,
                                         tp > 0 ? tp / fmax(all[1], least) : 0 };
        for (int k = 0; k < WK__PR_ROWS; k++) row[k * n + i] = (float)of[k];
    }
    return WK_OK;
}

wk_status wk_trainer_log_pr_curve(wk_trainer *t, const char *tag, wk_tensor *scores, wk_tensor *targets,
                                  int thresholds) {
    float row[WK__PR_ROWS * WK__PR_MOST];
    wk_text records = { 0 };
    const int n = thresholds == 0 ? WK__PR_MOST : thresholds;
    if (!t->folder.events) return WK_OK;
    if (!scores || !targets || wk_rank(scores) != 1 || wk_rank(targets) != 1 || wk_count(scores) != wk_count(targets))
        return wk_failed() ? wk_error_code()
                           : wk_fail(WK_SHAPE, "wk_trainer_log_pr_curve: expected scores (N) and targets (N)");
    if (n < 2 || n > WK__PR_MOST)
        return wk_fail(WK_INVALID, "wk_trainer_log_pr_curve: %d thresholds, expected 2 to %d", n, WK__PR_MOST);
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    const double *score = numbers(scores), *target = score ? numbers(targets) : NULL;
    wk_status status = target ? fill_curve(score, target, wk_count(scores), n, row) : wk_error_code();
    wk_no_grad_end(was);
    wk_scope_end(scope);
    WK_TRY(status);
    wk__event_pr_curve(&records, wk_wall_time(), t->standing.step, tag, row, n);
    return wk__put_events(t, &records);
}

wk_status wk_trainer_log_layout(wk_trainer *t, const wk_board_chart *charts, int count) {
    enum { MOST = 64 };
    wk__board_chart all[MOST];
    wk_text records = { 0 };
    if (count < 1 || count > MOST)
        return wk_fail(WK_INVALID, "wk_trainer_log_layout: %d charts, expected 1 to %d", count, MOST);
    if (!t->folder.events) return WK_OK;
    for (int i = 0; i < count; i++)
        all[i] = (wk__board_chart){ charts[i].category, charts[i].title, charts[i].pattern };
    wk__event_layout(&records, wk_wall_time(), all, count);
    return wk__put_events(t, &records);
}
