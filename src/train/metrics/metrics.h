/* metrics.h: the inside of a metric. */
#ifndef WICK_SRC_TRAIN_METRICS_H
#define WICK_SRC_TRAIN_METRICS_H

#include "wick/train/metrics.h"

typedef enum wk__metric_kind {
    WK__METRIC_MEAN,
    WK__METRIC_ACCURACY,
    WK__METRIC_PRECISION,
    WK__METRIC_RECALL,
    WK__METRIC_F1,
    WK__METRIC_CONFUSION,
    WK__METRIC_AUROC,
    WK__METRIC_MSE,
    WK__METRIC_MAE,
    WK__METRIC_R2,
    WK__METRIC_PERPLEXITY,
    WK__METRIC_PSNR
} wk__metric_kind;

struct wk_metric {
    wk__metric_kind kind;
    wk_metric_opts opts;
    /* By class: the confusion matrix, the items, the items whose class is among the top k.  Of pairs: the sum of
     * errors, the items, the sums of targets and of their squares. */
    double *sums;
    int64_t n_sums;
    double *scores; /* (n_scores, 2): score and target, of auroc */
    int64_t n_scores;
};

#endif
