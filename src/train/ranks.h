/* ranks.h: a run that starts its own ranks. */
#ifndef WICK_SRC_TRAIN_RANKS_H
#define WICK_SRC_TRAIN_RANKS_H

#include "train/config.h"

/* Whether somebody started this process as one of several ranks. */
bool wk__is_rank(void);
/* Whether trainer.devices asks for ranks and nobody has started any. */
bool wk__ranks_wanted(const wk__run_config *config, const wk_group *group);
/* mpirun with so many times this program and argv (argc words behind it), ended by NULL; `program` holds what it names.
 * NULL with an error pending. */
char **wk__ranks_command(int64_t count, int argc, char **argv, char *program, size_t room);
/* Become mpirun, or wick agent where there is none, with so many times this command line; comes back, with an error
 * pending, only where that fails.  The group, of one rank, is of no use after it. */
void wk__ranks_start(const wk__run_config *config, int argc, char **argv, wk_group *group);

#endif
