/* wick/ops/loss.h: losses.  See wick/ops.h. */
#ifndef WICK_OPS_LOSS_H
#define WICK_OPS_LOSS_H

#include "wick/ops/call_site.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum wk_reduction { WK_REDUCTION_MEAN, WK_REDUCTION_SUM, WK_REDUCTION_NONE } wk_reduction;
typedef struct wk_cross_entropy_opts {
    wk_optional ignore_index; /* default -100 */
    double label_smoothing;   /* in [0, 1) */
    int reduction;            /* wk_reduction */
} wk_cross_entropy_opts;
/* Cross-entropy of class scores: logits (N, C) or (N, C, d1, …), float; target (N) or (N, d1, …), i64 in [0, C).
 * Entries equal to ignore_index add neither loss nor gradient; the mean is over the others, 0 if there are none
 * (PyTorch: NaN). Errors: a target outside [0, C), named with its position.  Matches torch.nn.functional.cross_entropy
 * with class indices. */
WK_API wk_tensor *wk_cross_entropy(wk_tensor *logits, wk_tensor *target, wk_cross_entropy_opts opts);
/* The same with a weight (C) for each class: the mean is weighted by those of the targets. */
WK_API wk_tensor *wk_cross_entropy_weighted(wk_tensor *logits, wk_tensor *target, wk_tensor *weight,
                                            wk_cross_entropy_opts opts);
/* The same with class probabilities as target, of the logits' shape; weight (C) or NULL; ignore_index has no part. */
WK_API wk_tensor *wk_cross_entropy_probabilities(wk_tensor *logits, wk_tensor *target, wk_tensor *weight,
                                                 wk_cross_entropy_opts opts);
/* The cross-entropy of a linear layer's scores, wk_cross_entropy(wk_linear(x, weight, bias), target), of which never
 * more than `chunk` rows exist: for vocabularies, whose logits take more memory than everything else.
 *
 *   x (…, D)   weight (V, D)   bias (V) or NULL, all of one float type   target (…), i64 in [0, V)
 *   returns a scalar, or with WK_REDUCTION_NONE the shape of the target, of the dtype f32 (f64 for f64)
 *
 * Where gradients are wanted they are made in the same pass (backward only scales them), which is as much work as the
 * layer and its gradient; with WK_REDUCTION_NONE, for gradients of gradients and for a second backward through a
 * retained graph the logits are made again, also by chunks but for gradients of gradients.  The weight's gradient is
 * summed in f32 (f64 for f64).  Under autocast products are made in the half type and everything else in f32, x and
 * weight stay what they are.  Errors: as wk_linear and wk_cross_entropy.  The idea: Hsu et al. 2024, Liger Kernel. */
typedef struct wk_linear_cross_entropy_opts {
    wk_optional ignore_index; /* default -100 */
    double label_smoothing;   /* in [0, 1) */
    int reduction;            /* wk_reduction */
    int64_t chunk;            /* rows whose logits exist at a time; 0: as many as take about 64 MiB */
} wk_linear_cross_entropy_opts;
WK_API wk_tensor *wk_linear_cross_entropy(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_tensor *target,
                                          wk_linear_cross_entropy_opts opts);
/* Negative log-likelihood: log-probabilities (N, C, d1, …), target (N, d1, …), weight (C) or NULL. */
typedef struct wk_nll_loss_opts {
    wk_optional ignore_index; /* default -100 */
    int reduction;            /* wk_reduction; the mean is weighted */
} wk_nll_loss_opts;
WK_API wk_tensor *wk_nll_loss(wk_tensor *log_probabilities, wk_tensor *target, wk_tensor *weight,
                              wk_nll_loss_opts opts);

/* ---- of two tensors, element by element; they broadcast ---- */

typedef struct wk_loss_opts {
    int reduction; /* wk_reduction */
} wk_loss_opts;
WK_API wk_tensor *wk_mse_loss(wk_tensor *a, wk_tensor *b, wk_loss_opts opts); /* (a − b)² */
WK_API wk_tensor *wk_l1_loss(wk_tensor *a, wk_tensor *b, wk_loss_opts opts);  /* |a − b| */
typedef struct wk_huber_opts {
    wk_optional delta; /* 1: where the parabola ends */
    int reduction;
} wk_huber_opts;
/* |d| ≤ delta ? d² / 2 : delta (|d| − delta / 2) */
WK_API wk_tensor *wk_huber_loss(wk_tensor *a, wk_tensor *b, wk_huber_opts opts);
typedef struct wk_smooth_l1_opts {
    wk_optional beta; /* 1: where the parabola ends; 0: l1_loss */
    int reduction;
} wk_smooth_l1_opts;
/* |d| < beta ? d² / (2 beta) : |d| − beta / 2 */
WK_API wk_tensor *wk_smooth_l1_loss(wk_tensor *a, wk_tensor *b, wk_smooth_l1_opts opts);
typedef struct wk_kl_div_opts {
    int reduction;   /* wk_reduction; 3, "batchmean": the sum over the size of the first axis */
    bool log_target; /* target holds logarithms too */
} wk_kl_div_opts;
/* target (log target − a), a: log-probabilities */
WK_API wk_tensor *wk_kl_div(wk_tensor *a, wk_tensor *target, wk_kl_div_opts opts);
/* −weight (t log p + (1 − t) log(1 − p)); logarithms at least −100; weight or NULL. */
WK_API wk_tensor *wk_binary_cross_entropy(wk_tensor *p, wk_tensor *target, wk_tensor *weight, wk_loss_opts opts);
/* The same of sigmoid(logits), without overflow; pos_weight multiplies the terms of t; either weight may be NULL. */
WK_API wk_tensor *wk_bce_with_logits(wk_tensor *logits, wk_tensor *target, wk_tensor *weight, wk_tensor *pos_weight,
                                     wk_loss_opts opts);
typedef struct wk_focal_opts {
    wk_optional alpha, gamma; /* 0.25 (below 0: no balance), 2 */
    int reduction;
} wk_focal_opts;
/* Lin et al. 2017, of sigmoid(logits). */
WK_API wk_tensor *wk_focal_loss(wk_tensor *logits, wk_tensor *target, wk_focal_opts opts);
typedef struct wk_dice_opts {
    wk_optional smooth; /* 1: added above and below */
    int reduction;      /* over the first axis */
} wk_dice_opts;
/* 1 − (2 Σ p t + smooth) / (Σ p + Σ t + smooth) for each element of the first axis.  Milletari et al. 2016 */
WK_API wk_tensor *wk_dice_loss(wk_tensor *p, wk_tensor *target, wk_dice_opts opts);
typedef struct wk_poisson_nll_opts {
    bool rate_given; /* a is the rate itself, not its logarithm */
    bool full;       /* add Stirling's approximation of log t! */
    wk_optional eps; /* 1e-8, added to a rate before its logarithm */
    int reduction;
} wk_poisson_nll_opts;
WK_API wk_tensor *wk_poisson_nll_loss(wk_tensor *a, wk_tensor *target, wk_poisson_nll_opts opts);
typedef struct wk_gaussian_nll_opts {
    bool full;       /* add log(2π) / 2 */
    wk_optional eps; /* 1e-6: the least variance */
    int reduction;
} wk_gaussian_nll_opts;
/* (log v + (a − t)² / v) / 2 */
WK_API wk_tensor *wk_gaussian_nll_loss(wk_tensor *a, wk_tensor *target, wk_tensor *variance, wk_gaussian_nll_opts opts);

/* ---- with a margin; y holds 1 and −1 ---- */

typedef struct wk_margin_opts {
    wk_optional margin; /* 1 with hinge_embedding, else 0 */
    int reduction;
} wk_margin_opts;
/* y = 1: x; y = −1: max(0, margin − x) */
WK_API wk_tensor *wk_hinge_embedding_loss(wk_tensor *x, wk_tensor *y, wk_margin_opts opts);
/* max(0, −y (a − b) + margin) */
WK_API wk_tensor *wk_margin_ranking_loss(wk_tensor *a, wk_tensor *b, wk_tensor *y, wk_margin_opts opts);
/* log(1 + e^(−y x)) */
WK_API wk_tensor *wk_soft_margin_loss(wk_tensor *x, wk_tensor *y, wk_loss_opts opts);
/* a, b (N, D), y (N):  y = 1: 1 − cos(a, b); y = −1: max(0, cos(a, b) − margin) */
WK_API wk_tensor *wk_cosine_embedding_loss(wk_tensor *a, wk_tensor *b, wk_tensor *y, wk_margin_opts opts);
typedef struct wk_triplet_opts {
    wk_optional margin, p, eps; /* 1, 2, 1e-6 */
    bool swap;                  /* the negative's distance to the positive counts where it is smaller */
    int reduction;
} wk_triplet_opts;
/* max(0, margin + |anchor − positive|_p − |anchor − negative|_p) over (N, D) */
WK_API wk_tensor *wk_triplet_margin_loss(wk_tensor *anchor, wk_tensor *positive, wk_tensor *negative,
                                         wk_triplet_opts opts);
typedef struct wk_multi_margin_opts {
    wk_optional margin, p; /* 1; 1 or 2 */
    int reduction;
} wk_multi_margin_opts;
/* x (N, C), target (N) i64, weight (C) or NULL:  Σ_{i ≠ t} weight[t] max(0, margin − x[t] + x[i])^p / C */
WK_API wk_tensor *wk_multi_margin_loss(wk_tensor *x, wk_tensor *target, wk_tensor *weight, wk_multi_margin_opts opts);
/* x (N, C), target (N, C) i64, the labels up to a first −1:  Σ_{t, i not a label} max(0, 1 − x[t] + x[i]) / C */
WK_API wk_tensor *wk_multilabel_margin_loss(wk_tensor *x, wk_tensor *target, wk_loss_opts opts);
/* x, y (N, C), y in [0, 1], weight (C) or NULL: mean over C of the binary cross-entropies of sigmoid(x) */
WK_API wk_tensor *wk_multilabel_soft_margin_loss(wk_tensor *x, wk_tensor *y, wk_tensor *weight, wk_loss_opts opts);

/* ---- sequences ---- */

typedef struct wk_ctc_opts {
    int64_t blank;      /* the class that stands for nothing */
    int reduction;      /* mean: each loss over its target's length, then over the batch */
    bool zero_infinity; /* losses of targets that do not fit count 0 instead of infinite */
} wk_ctc_opts;
/* Connectionist temporal classification (Graves et al. 2006): log-probabilities (T, N, C), targets (N, S) i64, lengths
 * of inputs and targets (N) i64.  Every derivative exists. */
WK_API wk_tensor *wk_ctc_loss(wk_tensor *log_probabilities, wk_tensor *targets, wk_tensor *input_lengths,
                              wk_tensor *target_lengths, wk_ctc_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_cross_entropy(...)               (WK_HERE, wk_cross_entropy(__VA_ARGS__))
#    define wk_cross_entropy_weighted(...)      (WK_HERE, wk_cross_entropy_weighted(__VA_ARGS__))
#    define wk_cross_entropy_probabilities(...) (WK_HERE, wk_cross_entropy_probabilities(__VA_ARGS__))
#    define wk_linear_cross_entropy(...)        (WK_HERE, wk_linear_cross_entropy(__VA_ARGS__))
#    define wk_nll_loss(...)                    (WK_HERE, wk_nll_loss(__VA_ARGS__))
#    define wk_mse_loss(...)                    (WK_HERE, wk_mse_loss(__VA_ARGS__))
#    define wk_l1_loss(...)                     (WK_HERE, wk_l1_loss(__VA_ARGS__))
#    define wk_huber_loss(...)                  (WK_HERE, wk_huber_loss(__VA_ARGS__))
#    define wk_smooth_l1_loss(...)              (WK_HERE, wk_smooth_l1_loss(__VA_ARGS__))
#    define wk_kl_div(...)                      (WK_HERE, wk_kl_div(__VA_ARGS__))
#    define wk_binary_cross_entropy(...)        (WK_HERE, wk_binary_cross_entropy(__VA_ARGS__))
#    define wk_bce_with_logits(...)             (WK_HERE, wk_bce_with_logits(__VA_ARGS__))
#    define wk_focal_loss(...)                  (WK_HERE, wk_focal_loss(__VA_ARGS__))
#    define wk_dice_loss(...)                   (WK_HERE, wk_dice_loss(__VA_ARGS__))
#    define wk_poisson_nll_loss(...)            (WK_HERE, wk_poisson_nll_loss(__VA_ARGS__))
#    define wk_gaussian_nll_loss(...)           (WK_HERE, wk_gaussian_nll_loss(__VA_ARGS__))
#    define wk_hinge_embedding_loss(...)        (WK_HERE, wk_hinge_embedding_loss(__VA_ARGS__))
#    define wk_margin_ranking_loss(...)         (WK_HERE, wk_margin_ranking_loss(__VA_ARGS__))
#    define wk_soft_margin_loss(...)            (WK_HERE, wk_soft_margin_loss(__VA_ARGS__))
#    define wk_cosine_embedding_loss(...)       (WK_HERE, wk_cosine_embedding_loss(__VA_ARGS__))
#    define wk_triplet_margin_loss(...)         (WK_HERE, wk_triplet_margin_loss(__VA_ARGS__))
#    define wk_multi_margin_loss(...)           (WK_HERE, wk_multi_margin_loss(__VA_ARGS__))
#    define wk_multilabel_margin_loss(...)      (WK_HERE, wk_multilabel_margin_loss(__VA_ARGS__))
#    define wk_multilabel_soft_margin_loss(...) (WK_HERE, wk_multilabel_soft_margin_loss(__VA_ARGS__))
#    define wk_ctc_loss(...)                    (WK_HERE, wk_ctc_loss(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
