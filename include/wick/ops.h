/* wick/ops.h: the operations.
 *
 * Each takes tensors and gives a tensor of the current scope, or NULL with an error pending; a NULL argument where a
 * tensor must be, and any call while an error is pending, gives NULL.  Shapes are written (N, C, H, W); "float" means
 * f32, f64, bf16 or f16.  Binary operations broadcast as NumPy does and convert operands to their common dtype. Options
 * are structs by value whose zero means the default.
 */
#ifndef WICK_OPS_H
#define WICK_OPS_H

#include "wick/ops/pointwise.h"
#include "wick/ops/activation.h"
#include "wick/ops/reduce.h"
#include "wick/ops/order.h"
#include "wick/ops/layout.h"
#include "wick/ops/index.h"
#include "wick/ops/linalg.h"
#include "wick/ops/image.h"
#include "wick/ops/pool.h"
#include "wick/ops/resize.h"
#include "wick/ops/network.h"
#include "wick/ops/attention.h"
#include "wick/ops/recurrent.h"
#include "wick/ops/loss.h"
#include "wick/ops/spectral.h"
#include "wick/ops/random.h"

#endif
