/* names.h: names of checkpoints. */
#ifndef WICK_SRC_TRAIN_CALLBACKS_NAMES_H
#define WICK_SRC_TRAIN_CALLBACKS_NAMES_H

#include "base/base.h"
#include "wick/train.h"

/* "{epoch:02d}-{val_loss:.2f}" as "epoch=02-val_loss=0.32", not `named` as "02-0.32"; a metric that is not there is 0.
 * Free with wk_free; NULL with an error pending. */
WK_API char *wk__checkpoint_name(const char *format, bool named, const wk_trainer *trainer);
/* One field's value by Python's format: [0][width][.precision][d|f|e|g]; false: another one. */
WK_API bool wk__format_number(wk_text *out, const char *format, size_t size, double value, bool is_whole);

#endif
