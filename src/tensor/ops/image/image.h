/* image.h: what the rows of images share. */
#ifndef WICK_SRC_TENSOR_OPS_IMAGE_H
#define WICK_SRC_TENSOR_OPS_IMAGE_H

#include "wick/op.h"
#include "wick/ops/image.h"
#include "wick/ops/pool.h"
#include "wick/ops/resize.h"

/* Dense, channels last: shape (N, C, …). */
wk_desc wk__channels_last(wk_dtype dtype, int rank, const int64_t *shape);
/* The convolution's gradient for x, of shape `dims`: also what a transposed convolution is. */
wk_tensor *wk__conv_backward_input(wk_tensor *dy, wk_tensor *weight, const wk_conv_opts *conv, wk_dims dims);
/* Channels last, for a rank of 4 or 5, and not row major as well. */
bool wk__is_channels_last(const wk_tensor *x);
/* The row-major position of each maximum in its image (i64, shape of `taps`), from the second output of max pooling. */
wk_tensor *wk__max_pool_positions(wk_tensor *taps, const wk_pool_opts *opts, wk_dims x, bool adaptive);
/* The same of `dims`' image, elements picked by position: x (N, C, …), positions (N, C, …) -> positions' shape. */
wk_tensor *wk__pick_positions(wk_tensor *x, wk_tensor *positions);

#endif
