/* sample.h: tensors drawn from the op table's sample specifications. */
#ifndef WICK_SRC_TENSOR_SAMPLE_H
#define WICK_SRC_TENSOR_SAMPLE_H

#include "wick/op.h"

/* How a drawn tensor lies in memory.  Values do not depend on it. */
typedef enum wk__sample_layout {
    WK__SAMPLE_AS_SAID,  /* row major, or with gaps where the sample says `strided` */
    WK__SAMPLE_PERMUTED, /* dense, axes in reversed order in memory: the general case of channels last */
    WK__SAMPLE_GAPS,     /* reversed, and every second element is someone else's */
    WK__SAMPLE_LAYOUTS
} wk__sample_layout;

/* A scoped tensor for input `slot`; NULL for WK_SAMPLE_ABSENT.  Equal arguments give equal values on every machine. */
WK_API wk_tensor *wk__sample_draw(const wk_sample_in *in, int slot, wk_dtype dtype, wk__sample_layout layout);
/* The same with floats rounded to eight significant bits, so that every float type holds the same numbers. */
WK_API wk_tensor *wk__sample_draw_exact(const wk_sample_in *in, int slot, wk_dtype dtype, wk__sample_layout layout);
/* An optimizer's step over lists of parameters, gradients and states. */
WK_API bool wk__sample_is_step(const wk_op_def *row);
/* The dtype of an input when the row runs in `dtype`. */
WK_API wk_dtype wk__sample_dtype(const wk_op_def *row, const wk_sample_in *in, int slot, wk_dtype dtype);
/* Whether the row can be run in this dtype: its key input takes it. */
WK_API bool wk__sample_serves(const wk_op_def *row, wk_dtype dtype);
/* Whether kernels of every device read this input on the host, so that it stays on the CPU. */
WK_API bool wk__sample_stays(const wk_op_def *row, wk_tensor *const *in, int n_in, const void *attrs, int slot);
/* Lay the values of a scoped tensor out anew. */
WK_API wk_tensor *wk__sample_lay_out(wk_tensor *values, wk__sample_layout layout);

#endif
