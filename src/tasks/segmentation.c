/* segmentation.c: wrapper "segmentation": the class of each pixel.  Validation tells the part of pixels that are right,
 * and the mean over classes of intersection by union, both from one confusion matrix of all batches and ranks. */
#include "tasks/tasks.h"

typedef struct segmenter {
    wk_wrapper base;
    wk_metric *matrix;
    int64_t classes;
} segmenter;

static wk_tensor *loss_of(wk_tensor *scores, const wk_batch *batch) {
    return wk_cross_entropy(scores, batch->target, (wk_cross_entropy_opts){ .reduction = 0 });
}

static wk_status setup(wk_wrapper *self, wk_trainer *t) {
    segmenter *me = (segmenter *)self;
    const wk_dataset *data = wk_trainer_data(t);
    const wk_dims in = data->input_dims, out = data->target_dims;
    char text[160];
    if (in.rank != 3 || out.rank != 2 || data->classes < 2)
        return wk_fail(WK_CONFIG,
                       "wrapper \"segmentation\" needs images (C, H, W) and classes (H, W), as data \"shapes\" has");
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_module_train(self->module, false);
    wk_tensor *image = wk_zeros(WK_F32, WK_DIMS(1, in.size[0], in.size[1], in.size[2]));
    wk_tensor *scores = wk_forward(self->module, wk_to_device(image, wk_trainer_device(t)));
    wk_module_train(self->module, true);
    wk_no_grad_end(was);
    wk_status status = scores ? WK_OK : wk_error_code();
    if (scores
        && (wk_rank(scores) != 4 || wk_size(scores, 1) != data->classes || wk_size(scores, 2) != out.size[0]
            || wk_size(scores, 3) != out.size[1]))
        status = wk_fail(WK_CONFIG, "segmentation: the model gives %s for an image, expected (1, %d, %lld, %lld)",
                         wk_describe(scores, text, sizeof text), data->classes, (long long)out.size[0],
                         (long long)out.size[1]);
    wk_scope_end(scope);
    me->classes = data->classes;
    if (status == WK_OK) me->matrix = wk_metric_create("confusion_matrix", (wk_metric_opts){ .classes = me->classes });
    return status == WK_OK && wk_failed() ? wk_error_code() : status;
}

static wk_tensor *training_step(wk_wrapper *self, wk_trainer *t, const wk_batch *batch) {
    (void)t;
    return loss_of(wk_forward(self->module, batch->input), batch);
}

static wk_status validation_step(wk_wrapper *self, wk_trainer *t, const wk_batch *batch) {
    const segmenter *me = (segmenter *)self;
    wk_tensor *scores = wk_forward(self->module, batch->input), *loss = loss_of(scores, batch);
    wk_tensor *classes = wk_argmax(scores, (wk_axis_opts){ .axis = WK_SET(1) });
    if (!loss || !classes) return wk_error_code();
    WK_TRY(wk_metric_update(me->matrix, wk_reshape(classes, WK_DIMS(-1)), wk_reshape(batch->target, WK_DIMS(-1))));
    return wk_trainer_log(t, "val_loss", wk_item(loss), (wk_log_opts){ 0 });
}

static wk_status validation_start(wk_wrapper *self, wk_trainer *t) {
    (void)t;
    wk_metric_reset(((segmenter *)self)->matrix);
    return WK_OK;
}

/* A class that nobody has and nobody was given does not count. */
static wk_status validation_end(wk_wrapper *self, wk_trainer *t) {
    const segmenter *me = (segmenter *)self;
    const int64_t n = me->classes;
    double *m = wk_alloc((size_t)(n * n) * sizeof *m), right = 0, all = 0, sum = 0, met = 0;
    if (!m) return wk_error_code();
    wk_status status = wk_metric_compute(me->matrix, wk_trainer_group(t), m, n * n);
    for (int64_t i = 0; i < n; i++) {
        double either = 0;
        for (int64_t k = 0; k < n; k++) either += m[i * n + k] + (k == i ? 0 : m[k * n + i]), all += m[i * n + k];
        right += m[i * n + i];
        if (either > 0) sum += m[i * n + i] / either, met++;
    }
    wk_free(m);
    if (status == WK_OK) status = wk_trainer_log(t, "val_pixel_accuracy", right / all, (wk_log_opts){ 0 });
    return status == WK_OK ? wk_trainer_log(t, "val_iou", sum / met, (wk_log_opts){ 0 }) : status;
}

static void destroy(wk_wrapper *self) {
    wk_metric_destroy(((segmenter *)self)->matrix);
}

static const wk_wrapper_class segmenter_class = { .name = "segmentation",
                                                  .size = sizeof(segmenter),
                                                  .setup = setup,
                                                  .training_step = training_step,
                                                  .validation_step = validation_step,
                                                  .validation_start = validation_start,
                                                  .validation_end = validation_end,
                                                  .destroy = destroy };

static wk_wrapper *build(const wk_config *args, const wk_config *run) {
    wk_wrapper *self = wk_wrapper_create(&segmenter_class);
    (void)args;
    if (self) self->module = wk_make_model(run, "model");
    return self;
}
const wk_wrapper_entry wk__segmentation = {
    { "segmentation", "the section model tells each pixel's class; validation logs val_pixel_accuracy and val_iou",
      NULL },
    build
};
