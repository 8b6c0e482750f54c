/* mixed.h: how a batch is mixed with itself, for a share or rectangle that was drawn. */
#ifndef WICK_SRC_DATA_MIXED_H
#define WICK_SRC_DATA_MIXED_H

#include "wick/data.h"

/* (n, dims): each picture times `share`, plus the one before it, of the first the last, times the rest; last: a copy of
 * the last. */
WK_API void wk__mix_add(float *input, const float *last, int64_t n, wk_dims dims, double share);
/* Rows box[0] … box[2] - 1 and columns box[1] … box[3] - 1 are those of the one before. */
WK_API void wk__mix_paste(float *input, const float *last, int64_t n, wk_dims dims, const int64_t box[4]);
WK_API void wk__mix_targets(float *out /* (n, classes) */, const int64_t *label, int64_t n, int classes, double share);

#endif
