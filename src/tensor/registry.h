/* registry.h: the families of rows, one file of src/tensor/ops each. */
#ifndef WICK_SRC_TENSOR_REGISTRY_H
#define WICK_SRC_TENSOR_REGISTRY_H

#include "tensor/op_attrs.h"
#include "tensor/tensor.h"
#include "wick/ops.h"

/* Add a file here, under the name of its folder (the family), and define `wk_op_def *const wk__rows_FILE[]`, ended by
 * NULL, in src/tensor/ops/FOLDER/FILE.c. */
/* clang-format off */
#define WK__ROW_FAMILIES(X)                                                                                               \
    X(pointwise, pointwise) X(pointwise, arithmetic) X(pointwise, functions) X(pointwise, activation) X(pointwise, logic) \
    X(reduce, reduce) X(reduce, softmax) X(reduce, moments) X(reduce, scan) X(reduce, order) X(reduce, counting)          \
    X(layout, layout) X(layout, views) X(layout, windows) X(layout, join) X(layout, arrange) X(layout, pad)                              \
    X(layout, index) X(layout, transfer) X(layout, scatter) X(layout, lookup) X(layout, condition)                                            \
    X(linalg, matmul) X(linalg, products) X(linalg, einsum) X(linalg, factor) X(linalg, solve) X(linalg, distance)                            \
    X(image, conv) X(image, conv_transpose) X(image, pool) X(image, pool_parts) X(image, resize) X(image, grid_sample)    \
    X(network, norm) X(network, dropout) X(network, layer_norm) X(network, group_norm) X(network, dropouts)               \
    X(attention, attention) X(attention, rotary) X(recurrent, recurrent)                                                  \
    X(loss, loss) X(loss, linear_cross_entropy) X(loss, classes) X(loss, pairs) X(loss, binary) X(loss, margin) X(loss, ctc)                            \
    X(spectral, fft) X(random, random)                                                                                                     \
    X(optim, tensor_list) X(optim, optimizer_steps)
/* clang-format on */
#define WK__DECLARE(folder, file) extern wk_op_def *const wk__rows_##file[];
WK__ROW_FAMILIES(WK__DECLARE)
#undef WK__DECLARE

WK_API const char *wk__row_lacks(const wk_op_def *op);

/* The kernel of "to_device", of every device (transfer.c). */
wk_status wk__run_to_device(wk_kernel_ctx *ctx, const wk_call *call);

/* Helpers of shape rules and of the functions users call. */

/* wk_bad_call before there is a call. */
wk_status wk__bad_argument(const char *op, wk_status code, const char *format, ...) WK_PRINTF(3, 4);
/* Resolve an axis that may be negative; -1 with WK_INVALID pending. */
int wk__axis(const char *who, const wk_tensor *x, int64_t axis);
/* The axes of a reduction as a bit mask: all when none are named; false with an error pending. */
bool wk__axes_mask(const wk_call *call, wk_dims axes, uint32_t *mask);
bool wk__same_shape(const wk_tensor *a, const wk_tensor *b);
/* The sum over the first axis, straight into `sink` (may be NULL; f32 for halves, too). */
wk_tensor *wk__sum_rows(wk_tensor *x, wk_tensor *sink);
/* Sum over the axes on which `like` is smaller (or missing), to its shape: the gradient of a broadcast. */
wk_tensor *wk__sum_to(wk_tensor *x, const wk_tensor *like);
/* A number beside a tensor, of its dtype; NULL beside NULL. */
static inline wk_tensor *wk__number(const wk_tensor *like, double value) {
    return like ? wk_scalar((wk_dtype)like->dtype, value) : NULL;
}
/* dy where y > 0, else 0. */
wk_tensor *wk__relu_backward(wk_tensor *dy, wk_tensor *y);
/* Rows of an axis (…, K, …) added by index (K) into zeros of `dims`: the gradient of index_select. */
wk_tensor *wk__rows_added(wk_tensor *rows, wk_tensor *index, int axis, wk_dims dims);
/* sum[index[k], …] += rows[k, …], in place; `sum` is row major and of the dtype of `rows`. */
wk_status wk__rows_add_to(wk_tensor *sum, wk_tensor *rows, wk_tensor *index);
/* For each element of the last axis, the product of the others. */
wk_tensor *wk__product_of_others(wk_tensor *x);
/* The row "magnitude". */
wk_tensor *wk__magnitude(wk_tensor *x, wk_reduce_opts over, wk_magnitude kind);
/* dy (…, K) added into zeros of `dims` at `index` along an axis: the gradient of gather. */
wk_tensor *wk__add_at(wk_tensor *dy, wk_tensor *index, int axis, wk_dims dims);
/* Run a row of a gradient rule whose first output goes straight into `sink` (may be NULL). */
wk_tensor *wk__run_sink(const wk_op_def *op, const void *attrs, wk_tensor *a, wk_tensor *b, wk_tensor *sink);
/* The gradient rule of a fused row by its decomposition: the parts are run again on detached operands, and their
 * gradient is taken.  Refuses, by name, to be noted for a third derivative.  Defined by the autograd floor. */
wk_status wk__grad_by_parts(wk_grad *grad);
/* What a fused backward row is made of: the gradient of its forward row's parts at operands `in`, for the gradients
 * `dout` of its outputs (NULL: not used).  din[i] is NULL where nothing comes.  So no backward row is written twice,
 * and its derivatives, of any order, are those of the forward's parts.  Defined by the autograd floor. */
wk_status wk__gradient_of_parts(const wk_op_def *forward, wk_tensor *const *in, const void *attrs,
                                wk_tensor *const *dout, wk_tensor **din);
/* Cost of rows that touch each operand once, with `per_element` operations an element of output 0. */
wk_cost wk__cost_elements(const wk_call *call, double per_element);
/* Cost of rows that only move elements, and of those that touch none. */
wk_cost wk__cost_move(const wk_call *call);
wk_cost wk__cost_nothing(const wk_call *call);
/* Bytes of all operands. */
double wk__operand_bytes(const wk_call *call);

#endif
