/* agree.h: results of rows held against the naive references, within what rounding explains. */
#ifndef WICK_TESTS_AGREE_H
#define WICK_TESTS_AGREE_H

#include "tensor/reference.h"

/* Half the distance of neighbouring numbers of a float type, relative to them; 0 for others. */
double rounding_unit(wk_dtype dtype);
/* All elements of a tensor, row major, no size known; ref_free gives them back. */
ref_tensor ref_dense(const wk_tensor *tensor);
void ref_free(ref_tensor *dense);
/* Whether each element lies within the row's tolerance: one rounding to the dtype it is stored in, and `row->steps`
 * roundings of `working` (f32 or f64) for each term that it is made of, as a walk of random signs.  If not, `text` says
 * which one does not. */
bool ref_agrees(const ref_call *call, const ref_row *row, wk_dtype working, const wk_tensor *got,
                const ref_tensor *expected, char *text, size_t size);

#endif
