/* list.c: the callbacks by name. */
#include "train/callbacks/callbacks.h"

#include "train/builtin.h"

const wk_callback_entry wk__builtin_callbacks[] = {
    { { "EarlyStopping", "stop when a metric gets no better", wk__early_stopping_args }, wk__early_stopping_build },
    { { "ModelCheckpoint", "keep the best checkpoints by a metric", wk__model_checkpoint_args },
      wk__model_checkpoint_build },
    { { "EpochFiles", "ckpt/epoch-N.pth, epoch-last.pth and epoch-best.pth", wk__epoch_files_args },
      wk__epoch_files_build },
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
    { { "GradientAccumulationScheduler", "how many batches a step takes, epoch by epoch", wk__accumulation_args },
      wk__accumulation_build },
    { { "ThroughputMonitor", "log batches, items and operations a second", wk__throughput_args },
      wk__throughput_build },
    { { "PredictionWriter", "write what the model says of the items to evaluate on", wk__predictions_args },
      wk__predictions_build },
    { { "OnExceptionCheckpoint", "save where the run was when it failed", wk__on_exception_args },
      wk__on_exception_build },
    { { "ProgressBar", "how often the bar is drawn", wk__progress_bar_args }, wk__progress_bar_build },
    { { "ModelSummary", "the model's parts and their parameters", wk__model_summary_args }, wk__model_summary_build },
    { { "BatchSizeFinder", "train with the largest batch that memory holds", wk__batch_size_finder_args },
      wk__batch_size_finder_build },
    { { NULL, NULL, NULL }, NULL },
};
