/* callbacks.h: the callbacks that come with Wick; list.c names them. */
#ifndef WICK_SRC_TRAIN_CALLBACKS_H
#define WICK_SRC_TRAIN_CALLBACKS_H

#include "train/run.h"

#define WK__CALLBACK(name)                   \
    extern const wk_arg wk__##name##_args[]; \
    wk_callback *wk__##name##_build(const wk_config *args);
WK__CALLBACK(early_stopping)
WK__CALLBACK(model_checkpoint)
WK__CALLBACK(epoch_files)
WK__CALLBACK(lr_monitor)
WK__CALLBACK(ema)
WK__CALLBACK(swa)
WK__CALLBACK(timer)
WK__CALLBACK(device_stats)
WK__CALLBACK(graph_logger)
WK__CALLBACK(freeze)
WK__CALLBACK(lr_finder)
WK__CALLBACK(plots)
WK__CALLBACK(accumulation)
WK__CALLBACK(throughput)
WK__CALLBACK(predictions)
WK__CALLBACK(on_exception)
WK__CALLBACK(progress_bar)
WK__CALLBACK(model_summary)
WK__CALLBACK(batch_size_finder)
#undef WK__CALLBACK

/* state_text.c: numbers of a callback in a checkpoint's text, "wait=3 best=0.25 …", exact. */
char *wk__numbers_write(const char *const *names, const double *values, int count);
wk_status wk__numbers_read(const char *text, const char *const *names, double *values, int count);

/* "DD:HH:MM:SS"; 0 where the key is missing. */
double wk__config_seconds(const wk_config *config, const char *key);

#endif
