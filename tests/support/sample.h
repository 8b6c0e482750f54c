/* sample.h: tensors drawn from the op table's sample specifications, and exact views of tensors as doubles. */
#ifndef WICK_TESTS_SAMPLE_H
#define WICK_TESTS_SAMPLE_H

#include "wick/op.h"

/* How a drawn tensor lies in memory.  Values do not depend on it. */
typedef enum sample_layout {
    SAMPLE_AS_SAID,  /* row major, or with gaps where the sample says `strided` */
    SAMPLE_PERMUTED, /* dense, axes in reversed order in memory: the general case of channels last */
    SAMPLE_GAPS,     /* reversed, and every second element is someone else's */
    SAMPLE_LAYOUTS
} sample_layout;

/* A scoped tensor for input `slot`; NULL for WK_SAMPLE_ABSENT.  Equal arguments give equal values on every machine. */
wk_tensor *sample_draw(const wk_sample_in *in, int slot, wk_dtype dtype, sample_layout layout);
/* The same with floats rounded to eight significant bits, so that every float type holds the same numbers. */
wk_tensor *sample_draw_exact(const wk_sample_in *in, int slot, wk_dtype dtype, sample_layout layout);
/* An optimizer's step over lists of parameters, gradients and states. */
bool sample_is_step(const wk_op_def *row);
/* The dtype of an input when the row runs in `dtype`. */
wk_dtype sample_dtype(const wk_op_def *row, const wk_sample_in *in, int slot, wk_dtype dtype);
/* Whether the row can be run in this dtype: its key input takes it. */
bool sample_serves(const wk_op_def *row, wk_dtype dtype);
/* Lay the values of a scoped tensor out anew. */
wk_tensor *sample_lay_out(wk_tensor *values, sample_layout layout);

/* All elements, row major; free() it.  Decodes f16 and bf16 by itself: dtype.c is under test too. */
double *tensor_values(const wk_tensor *tensor);
double element_value(const void *data, wk_dtype dtype, int64_t i);
/* Offset in elements of a row-major index. */
int64_t element_offset(const wk_tensor *tensor, int64_t index);
/* True if both have the same shape and dtype, and each element the same bits, however they lie. */
bool same_bits(const wk_tensor *a, const wk_tensor *b);

#endif
