/* builtin.h: the names that come with Wick, each list ended by an entry without a name. */
#ifndef WICK_SRC_TRAIN_BUILTIN_H
#define WICK_SRC_TRAIN_BUILTIN_H

#include "wick/train.h"

extern const wk_model_entry wk__builtin_models[];         /* models.c */
extern const wk_data_entry wk__builtin_data[];            /* datasets.c */
extern const wk_transform_entry wk__builtin_transforms[]; /* transforms.c */
extern const wk_loss_entry wk__builtin_losses[];          /* losses.c */
extern const wk_optimizer_entry wk__builtin_optimizers[]; /* optimizers.c */
extern const wk_schedule_entry wk__builtin_schedules[];   /* schedules.c */
extern const wk_callback_entry wk__builtin_callbacks[];   /* callbacks/ */
extern const wk_logger_entry wk__builtin_loggers[];       /* loggers/ */
extern const wk_wrapper_entry wk__builtin_wrappers[];     /* wrappers.c */

#endif
