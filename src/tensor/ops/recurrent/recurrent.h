/* recurrent.h: what the functions that users call ask of the rows. */
#ifndef WICK_SRC_TENSOR_RECURRENT_H
#define WICK_SRC_TENSOR_RECURRENT_H

#include "tensor/op_attrs.h"
#include "wick/op.h"

const wk_op_def *wk__recurrent_row(wk_recurrent_kind kind, bool projected);
/* The loop over time in operations; in: xg, w_hh, h0, extra, lengths; projection and c_n may be NULL. */
wk_status wk__recurrent_parts(const wk_recurrent_opts *opts, wk_recurrent_kind kind, wk_tensor *const *in,
                              wk_tensor *projection, wk_tensor **y, wk_tensor **c_n);

#endif
