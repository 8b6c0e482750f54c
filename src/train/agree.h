/* agree.h: what all ranks must decide alike.  Every rank calls these at the same place. */
#ifndef WICK_SRC_TRAIN_AGREE_H
#define WICK_SRC_TRAIN_AGREE_H

#include "wick/dist.h"

/* WK_OK if every rank says so.  A message is left to the first rank that has it: a rank with the same one, or with none
 * of its own, gets WK_RANK_FAILED, which says who will report. */
wk_status wk__agree(wk_group *group, wk_status mine);
/* WK_OK if `number` is the same on all ranks; else WK_CONFIG everywhere: "WHAT of rank 1 differs from that of rank
 * 0…HINT". */
wk_status wk__same(wk_group *group, uint64_t number, const char *what, const char *hint);
/* On how many hosts the ranks are, by their names. */
wk_status wk__hosts(wk_group *group, int *count);

#endif
