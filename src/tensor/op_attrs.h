/* op_attrs.h: attributes of rows that users do not call themselves: gradients and optimizer steps.  Kernels read them.
 */
#ifndef WICK_SRC_TENSOR_OP_ATTRS_H
#define WICK_SRC_TENSOR_OP_ATTRS_H

#include "wick/ops.h"

/* conv2d_backward_input (dy, weight) -> dx;  conv2d_backward_weight (x, dy) -> dweight, dbias (K); also of conv3d.
 * `dims` is the shape of dx or of dweight. */
typedef struct wk_conv_grad_attrs {
    wk_conv_opts conv; /* activation is always none here */
    wk_dims dims;
} wk_conv_grad_attrs;

/* Zeros before the image along each of its axes.  What stands behind it follows from the result's size. */
static inline void wk__conv_padding(const wk_conv_opts *opts, int axes, const int64_t *kernel, int64_t *before) {
    for (int i = 0; i < axes; i++) {
        int64_t dilation = opts->dilation[i] ? opts->dilation[i] : 1;
        before[i] = opts->pad == WK_CONV_SAME    ? dilation * (kernel[i] - 1) / 2
                    : opts->pad == WK_CONV_VALID ? 0
                                                 : opts->padding[i];
    }
}

/* max_pool2d_backward (dy, indices) -> dx;  avg_pool2d_backward (dy) -> dx */
typedef struct wk_pool_grad_attrs {
    wk_pool_opts pool;
    wk_dims dims;       /* of dx */
    bool channels_last; /* layout of dx */
} wk_pool_grad_attrs;

/* slice_backward (dy) -> dx;  index_select_backward, gather_backward (dy, index) -> dx: dy added into zeros of `dims`
 */
typedef struct wk_slice_grad_attrs {
    wk_slice_opts slice; /* resolved: axis, start ≥ 0, step ≥ 1 */
    wk_dims dims;
} wk_slice_grad_attrs;
/* diagonal_backward (dy) -> dx;  windows_backward (dy) -> dx, overlapping elements added */
typedef struct wk_diagonal_grad_attrs {
    wk_diagonal_opts diagonal;
    wk_dims dims; /* of dx */
} wk_diagonal_grad_attrs;
typedef struct wk_windows_grad_attrs {
    wk_windows_opts windows; /* axis ≥ 0; nothing is 0 */
    wk_dims dims;            /* of dx */
} wk_windows_grad_attrs;
/* scatter_fold (x, index, source): product, amax or amin */
typedef struct wk_scatter_fold_attrs {
    int64_t axis; /* ≥ 0 */
    int reduce;   /* wk_scatter_reduce_kind */
} wk_scatter_fold_attrs;
/* nonzero_positions (mask, bool) -> (size, rank) i64, rows beyond those found filled */
typedef struct wk_positions_attrs {
    int64_t size, fill;
} wk_positions_attrs;
typedef struct wk_index_grad_attrs {
    int64_t axis; /* ≥ 0 */
    wk_dims dims;
} wk_index_grad_attrs;

/* sgd_step (scalars, parameter…, gradient…, momentum…)     scalars: f64 (4): lr, step count (from 1), gradient factor,
 * found_inf d = g · factor + weight_decay · p;  m = step == 1 ? d : momentum · m + (1 − dampening) · d;  d = nesterov ?
 * d + momentum · m : m; p −= lr · d            (torch.optim.SGD).  Without momentum the third list is left out. Nothing
 * moves if found_inf ≠ 0. */
typedef struct wk_sgd_attrs {
    double momentum, dampening, weight_decay;
    bool nesterov;
    int64_t count; /* parameters in the list */
} wk_sgd_attrs;
/* adam_step (scalars, parameter…, gradient…, m…, v…)
 *   g = g · factor;  decoupled: p *= 1 − lr · weight_decay, else g += weight_decay · p;
 *   m += (g − m)(1 − beta1);  v = beta2 · v + (1 − beta2) · g²;
 *   p −= lr / (1 − beta1^t) · m / (sqrt(v) / sqrt(1 − beta2^t) + eps)            (torch.optim.Adam, AdamW) */
typedef struct wk_adam_attrs {
    double beta1, beta2, eps, weight_decay;
    bool decoupled;
    int64_t count;
} wk_adam_attrs;
/* global_norm (tensor…) -> f64 scalar: square root of the sum of all squares, accumulated in f64, in a fixed order */

#endif
