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
typedef struct wk_loss_opts {
    int reduction; /* wk_reduction */
} wk_loss_opts;
/* (a − b)², reduced */
WK_API wk_tensor *wk_mse_loss(wk_tensor *a, wk_tensor *b, wk_loss_opts opts);

#ifndef WK_NO_CALL_SITES
#    define wk_cross_entropy(...) (WK_HERE, wk_cross_entropy(__VA_ARGS__))
#    define wk_mse_loss(...)      (WK_HERE, wk_mse_loss(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
