/* list.c: the callbacks by name. */
#include "train/callbacks/callbacks.h"

#include "train/builtin.h"

const wk_callback_entry wk__builtin_callbacks[] = {
    { { "EarlyStopping", "stop when a metric gets no better", wk__early_stopping_args }, wk__early_stopping_build },
    { { "ModelCheckpoint", "keep the best checkpoints by a metric", wk__model_checkpoint_args },
      wk__model_checkpoint_build },
    { { "LearningRateMonitor", "log every optimizer's rate", wk__lr_monitor_args }, wk__lr_monitor_build },
    { { "EMA", "validate and save an exponential average of the weights", wk__ema_args }, wk__ema_build },
    { { "StochasticWeightAveraging", "an equal average of the weights of the last epochs", wk__swa_args },
      wk__swa_build },
    { { "Timer", "stop after a time", wk__timer_args }, wk__timer_build },
    { { "DeviceStatsMonitor", "log memory and processor time", wk__device_stats_args }, wk__device_stats_build },
    { { "GraphLogger", "show the graph of the first loss in TensorBoard", wk__graph_logger_args },
      wk__graph_logger_build },
    { { "FreezeUnfreeze", "freeze parts of the model for some epochs", wk__freeze_args }, wk__freeze_build },
    { { "LearningRateFinder", "look for a good rate before training", wk__lr_finder_args }, wk__lr_finder_build },
    { { "Plots", "draw learning curves and the confusion matrix into the run's directory", wk__plots_args },
      wk__plots_build },
    { { NULL, NULL, NULL }, NULL },
};
