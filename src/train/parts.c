/* parts.c: making and destroying losses, wrappers, callbacks and loggers: structs that start with their class. */
#include "base/base.h"
#include "wick/train.h"

static void *zeroed(size_t size, size_t least) {
    return wk_failed() ? NULL : wk_alloc(size < least ? least : size);
}

wk_loss *wk_loss_create(const wk_loss_class *class_) {
    wk_loss *loss = zeroed(class_->size, sizeof *loss);
    if (loss) loss->class_ = class_;
    return loss;
}
void wk_loss_destroy(wk_loss *loss) {
    if (loss && loss->class_->destroy) loss->class_->destroy(loss);
    wk_free(loss);
}

wk_wrapper *wk_wrapper_create(const wk_wrapper_class *class_) {
    wk_wrapper *wrapper = zeroed(class_->size, sizeof *wrapper);
    if (wrapper) wrapper->class_ = class_;
    return wrapper;
}
void wk_wrapper_destroy(wk_wrapper *wrapper) {
    if (!wrapper) return;
    if (wrapper->class_->destroy) wrapper->class_->destroy(wrapper);
    wk_module_destroy(wrapper->module);
    wk_free(wrapper);
}

wk_callback *wk_callback_create(const wk_callback_class *class_) {
    wk_callback *callback = zeroed(class_->size, sizeof *callback);
    if (callback) callback->class_ = class_;
    return callback;
}
void wk_callback_destroy(wk_callback *callback) {
    if (callback && callback->class_->destroy) callback->class_->destroy(callback);
    wk_free(callback);
}

wk_logger *wk_logger_create(const wk_logger_class *class_) {
    wk_logger *logger = zeroed(class_->size, sizeof *logger);
    if (logger) logger->class_ = class_;
    return logger;
}
void wk_logger_destroy(wk_logger *logger) {
    if (logger && logger->class_->destroy) logger->class_->destroy(logger);
    wk_free(logger);
}
