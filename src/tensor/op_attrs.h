/* op_attrs.h: attributes of rows that users do not call themselves: gradients and optimizer steps.  Kernels read them.
 */
#ifndef WICK_SRC_TENSOR_OP_ATTRS_H
#define WICK_SRC_TENSOR_OP_ATTRS_H

#include "wick/ops.h"

/* conv2d_backward_input (dy, weight) -> dx;  conv2d_backward_weight (x, dy) -> dweight, dbias (K)
 * `dims` is the shape of dx or of dweight. */
typedef struct wk_conv2d_grad_attrs {
    wk_conv2d_opts conv; /* activation is always none here */
    wk_dims dims;
} wk_conv2d_grad_attrs;

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

/* elu_backward (dy, x) -> dx of scale · (x > 0 ? x : alpha · (e^(input_scale · x) − 1)), which elu, selu and celu are
 */
typedef struct wk_elu_attrs {
    double alpha, scale, input_scale;
} wk_elu_attrs;
#define WK_SELU_ALPHA 1.6732632423543772848170429916717
#define WK_SELU_SCALE 1.0507009873554804934193349852946

/* piecewise_backward (dy, x) -> dy times one of three slopes: x below `low`, between, above `high`; with `open` the two
 * ends belong to what is outside of them */
typedef struct wk_piecewise_attrs {
    double low, high, below, between, above;
    bool open;
} wk_piecewise_attrs;

/* magnitude (x) -> squares, absolute values, the largest or the least of these, over axes: what norms are made of */
typedef enum wk_magnitude { WK_SUM_OF_SQUARES, WK_SUM_OF_SIZES, WK_LARGEST_SIZE, WK_LEAST_SIZE } wk_magnitude;
typedef struct wk_magnitude_attrs {
    wk_reduce_opts over; /* first: the kernel of reductions reads it */
    int kind;            /* wk_magnitude */
} wk_magnitude_attrs;

#endif
