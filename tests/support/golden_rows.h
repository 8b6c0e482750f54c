/* golden_rows.h: what PyTorch computes for the samples of the op table, from tests/golden/rows (one file a family). */
#ifndef WICK_TESTS_GOLDEN_ROWS_H
#define WICK_TESTS_GOLDEN_ROWS_H

#include "wick/io.h"

/* Long results are stored as every n-th element, so that at most this many stay. */
enum { GOLDEN_MOST_ELEMENTS = 256 };

/* "row/label/class/out.K" or "…/grad.K", scoped; NULL if there is none.  The values are f64, i64 or bool. */
wk_tensor *golden_rows_find(const char *row, const char *label, const char *class_, const char *what, int k);
bool golden_rows_has(const char *row);

#endif
