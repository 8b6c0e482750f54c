/* shard.h: what ZeRO asks of an optimizer. */
#ifndef WICK_SRC_OPTIM_SHARD_H
#define WICK_SRC_OPTIM_SHARD_H

#include "optim/optim.h"

int wk__optim_count(const wk_optim *optim);
wk_tensor *wk__optim_parameter(const wk_optim *optim, int i);
/* Entries that are `elsewhere` (one flag each) have no state here and are not stepped; `stepped` runs at the end of
 * each wk_optim_step.  Errors: WK_UNSUPPORTED. */
wk_status wk__optim_shard(wk_optim *optim, const bool *elsewhere, wk__optim_stepped stepped, void *context);
void wk__optim_unshard(wk_optim *optim);
/* Room for the state of what is elsewhere, which wk_optim_state then gives too; and without it again. */
wk_status wk__optim_complete(wk_optim *optim);
void wk__optim_thin(wk_optim *optim);
/* Each tensor of an entry's state, in the same order on all ranks; of an entry that is elsewhere, and has no room here,
 * tensors that only live for the call. */
typedef wk_status (*wk__optim_visit)(void *context, wk_tensor *state);
wk_status wk__optim_each_state(wk_optim *optim, int i, wk__optim_visit visit, void *context);

#endif
