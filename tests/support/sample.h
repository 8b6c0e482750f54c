/* sample.h: exact views of tensors as doubles. */
#ifndef WICK_TESTS_SAMPLE_H
#define WICK_TESTS_SAMPLE_H

#include "tensor/sample.h"

/* All elements, row major; free() it.  Decodes f16 and bf16 by itself: dtype.c is under test too. */
double *tensor_values(const wk_tensor *tensor);
double element_value(const void *data, wk_dtype dtype, int64_t i);
/* Offset in elements of a row-major index. */
int64_t element_offset(const wk_tensor *tensor, int64_t index);
/* True if both have the same shape and dtype, and each element the same bits, however they lie. */
bool same_bits(const wk_tensor *a, const wk_tensor *b);

#endif
