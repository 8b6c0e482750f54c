/* table.h: what the table's printers and the op reference say alike. */
#ifndef WICK_SRC_INSPECT_TABLE_H
#define WICK_SRC_INSPECT_TABLE_H

#include "wick/op.h"

extern const char *const wk__attr_types[]; /* by wk_attr_type: "int", "float", … */
bool wk__is_differentiable(const wk_op_def *op);

#endif
