/* events.c: what a run shows in TensorBoard besides its metrics. */
#include "train/run.h"

#include "base/base.h"

static wk_status put(wk_trainer *t, wk_text *records) {
    WK_TRY(wk__event_file_put(t->folder.events, records));
    return wk__event_file_flush(t->folder.events);
}

wk_status wk_trainer_log_text(wk_trainer *t, const char *tag, const char *text) {
    wk_text records = { 0 };
    if (!t->folder.events) return WK_OK;
    wk__event_text(&records, wk_wall_time(), t->standing.step, tag, text);
    return put(t, &records);
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
    return data ? put(t, &records) : wk_error_code();
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
    wk_free(pixels);
    return status == WK_OK ? put(t, &records) : status;
}
