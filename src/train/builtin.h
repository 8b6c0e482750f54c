/* builtin.h: the models and data that come with Wick, ended by an entry without a name. */
#ifndef WICK_SRC_TRAIN_BUILTIN_H
#define WICK_SRC_TRAIN_BUILTIN_H

#include "wick/train.h"

extern const wk_model_entry wk__builtin_models[];
extern const wk_data_entry wk__builtin_data[];

#endif
