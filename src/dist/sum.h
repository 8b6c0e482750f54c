/* sum.h: elements of several ranks made one. */
#ifndef WICK_SRC_DIST_SUM_H
#define WICK_SRC_DIST_SUM_H

#include "dist/transport.h"

/* Whether elements of this dtype can be summed. */
WK_API bool wk__combines(wk_dtype dtype);
/* Each of out[0 … outs - 1] = (in[0] op in[1] op … in[ins - 1]) · scale, each (count).  Always in this order, so that
 * the bits do not depend on who computes them.  An output may be one of the inputs. */
WK_API void wk__combine(char *const out[], int outs, const char *const in[], int ins, int64_t count, wk_dtype dtype,
                        wk_reduce op, double scale);
WK_API void wk__scale(void *values, int64_t count, wk_dtype dtype, double scale);

#endif
