/* trainer.h: one run. */
#ifndef WICK_SRC_TRAIN_TRAINER_H
#define WICK_SRC_TRAIN_TRAINER_H

#include "train/folder.h"
#include "wick/dist.h"

#include <signal.h>

/* Train to the end; the group has all ranks of the run.  With an error the caller reports it.  When *stop becomes the
 * number of a signal, rank 0 saves after the step under way and the run ends with WK_CANCELLED; an alarm that guards
 * the end of the step is taken back first. */
wk_status wk__train(const wk__run_config *config, wk_group *group, wk__start start, const volatile sig_atomic_t *stop);
/* Validate a checkpoint and print what that logs, "loss 0.25", on rank 0. */
wk_status wk__evaluate_checkpoint(const wk__run_config *config, wk_group *group, const char *checkpoint, FILE *out);

#endif
