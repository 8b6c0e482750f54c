/* image.h: what the rows of images share. */
#ifndef WICK_SRC_TENSOR_OPS_IMAGE_H
#define WICK_SRC_TENSOR_OPS_IMAGE_H

#include "wick/op.h"
#include "wick/ops/image.h"

/* Dense, channels last: shape (N, C, …). */
wk_desc wk__channels_last(wk_dtype dtype, int rank, const int64_t *shape);
/* The convolution's gradient for x, of shape `dims`: also what a transposed convolution is. */
wk_tensor *wk__conv_backward_input(wk_tensor *dy, wk_tensor *weight, const wk_conv_opts *conv, wk_dims dims);

#endif
