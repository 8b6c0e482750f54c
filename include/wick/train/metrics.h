/* wick/train/metrics.h: numbers that say how good predictions are, gathered batch by batch and over ranks.
 *
 *     wk_metric *f1 = wk_metric_create("f1", (wk_metric_opts){ .classes = 10 });
 *     for each batch: wk_metric_update(f1, scores, target);
 *     wk_metric_compute(f1, group, &value, 1);
 *     wk_metric_reset(f1);
 *
 * A state is a vector of sums, so that it does not matter how items are spread over batches and ranks (auroc keeps its
 * scores, and gathers them).  Definitions are scikit-learn's, and torchmetrics' where that has none.
 */
#ifndef WICK_TRAIN_METRICS_H
#define WICK_TRAIN_METRICS_H

#include "wick/dist.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum wk_average_kind {
    WK_AVERAGE_MACRO,    /* the mean over classes that occur in predictions or targets */
    WK_AVERAGE_MICRO,    /* over all items alike */
    WK_AVERAGE_WEIGHTED, /* over classes, by how many targets each has */
    WK_AVERAGE_NONE      /* a number for each class */
} wk_average_kind;
typedef struct wk_metric_opts {
    int64_t classes;    /* of accuracy, precision, recall, f1 and confusion_matrix */
    int average;        /* wk_average_kind; accuracy is micro unless `average` is set to weighted or none */
    int64_t top_k;      /* of accuracy: a target among the k largest scores is right; 0 means 1 */
    wk_optional ignore; /* targets of this value do not count (perplexity, classes) */
} wk_metric_opts;
typedef struct wk_metric wk_metric;

/* By name:
 *   mean               predictions (…) are averaged; the target is weights of the same shape, or NULL
 *   accuracy precision recall f1 confusion_matrix
 *                      predictions (N, C) scores or (N) class numbers, target (N) i64
 *   auroc              predictions (N) scores, or (N, 2) of which the second column counts, target (N) of 0 and 1
 *   mse mae r2 psnr    predictions and targets of one shape; psnr in decibels, of values whose range is 1
 *   perplexity         predictions (…, C) logits, target (…) i64
 * Tensors may lie on any device; nothing is recorded for gradients.  NULL with an error pending: an unknown name. */
WK_API wk_metric *wk_metric_create(const char *name, wk_metric_opts opts);
WK_API void wk_metric_destroy(wk_metric *metric);
WK_API const char *wk_metric_name(const wk_metric *metric);
WK_API wk_status wk_metric_update(wk_metric *metric, wk_tensor *prediction, wk_tensor *target);
WK_API void wk_metric_reset(wk_metric *metric);
/* How many numbers wk_metric_compute gives: 1, the classes, or their square (rows are targets). */
WK_API int64_t wk_metric_count(const wk_metric *metric);
/* Over all ranks of the group (NULL: this one alone); the state stays.  NAN where there is nothing to tell, as of a
 * class that no target has.  Errors: WK_INVALID (room for too few numbers). */
WK_API wk_status wk_metric_compute(wk_metric *metric, wk_group *group, double *values, int64_t room);

/* scikit-learn's classification_report of a confusion matrix (classes × classes, rows are targets): a line a class and
 * the averages, with the classes' names or their numbers (NULL).  Free with wk_free. */
WK_API char *wk_classification_report(const double *matrix, int64_t classes, const char *const *names);

/* A loss smoothed as pytorch-quik shows it: m = beta m + (1 - beta) v, given as m / (1 - beta^n). */
typedef struct wk_smoothed {
    double beta; /* 0 means 0.99 */
    double mean;
    int64_t count;
} wk_smoothed;
WK_API double wk_smoothed_add(wk_smoothed *smoothed, double value);

/* pytorch-quik's table of losses.  Zero-initialised it is empty, and its clock starts with the first loss:
 *
 *     for each batch: wk_loss_table_add(&table, loss);
 *     wk_loss_table_add_valid(&table, losses, sizes, batches);
 *     wk_loss_table_write(&table);                              a row an epoch
 */
typedef struct wk_loss_row {
    int64_t epoch; /* from 0 */
    double train_loss, valid_loss, seconds;
} wk_loss_row;
typedef struct wk_loss_table {
    wk_smoothed smoothed; /* over all batches so far */
    double train_loss, valid_loss, started;
    wk_loss_row *row;
    int64_t count, capacity;
} wk_loss_table;
WK_API void wk_loss_table_add(wk_loss_table *table, double loss);
/* The mean of losses of batches, by their items; NAN without items. */
WK_API void wk_loss_table_add_valid(wk_loss_table *table, const double *losses, const int64_t *sizes, int64_t count);
/* A row of what stands there now; or any row. */
WK_API wk_status wk_loss_table_write(wk_loss_table *table);
WK_API wk_status wk_loss_table_put(wk_loss_table *table, wk_loss_row row);
/* As pandas prints it: "   epoch  train_loss  valid_loss   time", minutes and seconds since the start; free with
 * wk_free. */
WK_API char *wk_loss_table_text(const wk_loss_table *table);
WK_API void wk_loss_table_free(wk_loss_table *table);

#ifdef __cplusplus
}
#endif
#endif
