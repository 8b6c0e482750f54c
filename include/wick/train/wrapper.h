/* wick/train/wrapper.h: what a step is: losses and training wrappers. */
#ifndef WICK_TRAIN_WRAPPER_H
#define WICK_TRAIN_WRAPPER_H

#include "wick/train/trainer.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- losses: of a prediction and a batch ---- */

typedef struct wk_loss_class {
    const char *name;
    size_t size; /* of the struct that starts with a wk_loss */
    /* The mean over the items: a scalar of the current scope.  More numbers go through wk_trainer_log.  `batch` lies on
     * the model's device. */
    wk_tensor *(*compute)(wk_loss *self, wk_trainer *trainer, wk_tensor *prediction, const wk_batch *batch);
    void (*destroy)(wk_loss *self); /* optional */
} wk_loss_class;
struct wk_loss {
    const wk_loss_class *class_;
};
/* Zeroed but for its class; NULL with an error pending. */
WK_API wk_loss *wk_loss_create(const wk_loss_class *class_);
WK_API void wk_loss_destroy(wk_loss *loss);

/* ---- wrappers: a model and how it is trained ---- */

typedef struct wk_wrapper_class {
    const char *name;
    size_t size; /* of the struct that starts with a wk_wrapper */
    /* Optional: after the module went to its device, before there are optimizers: whether model and data fit. */
    wk_status (*setup)(wk_wrapper *self, wk_trainer *trainer);
    /* Optional: wk_trainer_add_optimizer for each.  Without it: the run's sections `optimizer` and `schedule` over all
     * parameters. */
    wk_status (*configure_optimizers)(wk_wrapper *self, wk_trainer *trainer, const wk_config *run);
    /* The loss of one batch, which lies on the model's device: the trainer runs backward and steps.  With
     * `steps_itself` it zeroes, runs backward and steps through the trainer, and gives the loss to show. */
    wk_tensor *(*training_step)(wk_wrapper *self, wk_trainer *trainer, const wk_batch *batch);
    bool steps_itself;
    /* Optional: logs what it finds; without gradients, in evaluation mode. */
    wk_status (*validation_step)(wk_wrapper *self, wk_trainer *trainer, const wk_batch *batch);
    /* Optional: before the first of them, and, on all ranks, behind the last: for metrics that are no means
     * (wk_metric), which are logged there as they are. */
    wk_status (*validation_start)(wk_wrapper *self, wk_trainer *trainer);
    wk_status (*validation_end)(wk_wrapper *self, wk_trainer *trainer);
    void (*destroy)(wk_wrapper *self); /* optional: what it holds besides the module */
    /* Optional: on rank 0, once the run's directory is open: files in it that whoever uses the model needs beside the
     * checkpoint, as a tokenizer. */
    wk_status (*files)(wk_wrapper *self, wk_trainer *trainer);
} wk_wrapper_class;
struct wk_wrapper {
    const wk_wrapper_class *class_;
    wk_module *module; /* the root of everything with parameters; destroyed with the wrapper */
};
WK_API wk_wrapper *wk_wrapper_create(const wk_wrapper_class *class_);
WK_API void wk_wrapper_destroy(wk_wrapper *wrapper);

/* ---- loggers: where rows of metrics go ---- */

typedef struct wk_logged {
    const char *name;
    double value;
} wk_logged;
typedef struct wk_logger_class {
    const char *name;
    size_t size;
    /* All on rank 0 alone.  `resumed_step` ≥ 0: rows of later steps did not happen. */
    wk_status (*start)(wk_logger *self, const char *folder, const char *config, int64_t resumed_step);
    wk_status (*row)(wk_logger *self, int64_t step, int64_t epoch, const wk_logged *values, int count);
    wk_status (*flush)(wk_logger *self); /* optional: after each epoch and at the end */
    void (*destroy)(wk_logger *self);
} wk_logger_class;
struct wk_logger {
    const wk_logger_class *class_;
};
WK_API wk_logger *wk_logger_create(const wk_logger_class *class_);
WK_API void wk_logger_destroy(wk_logger *logger);

#ifdef __cplusplus
}
#endif
#endif
