/* group.h: what data-parallel training asks of a group beside the public collectives. */
#ifndef WICK_SRC_DIST_GROUP_H
#define WICK_SRC_DIST_GROUP_H

#include "dist/transport.h"

/* Make memory in which this rank's tensors can be summed with the others' without copies; all ranks must call it.  On
 * return region->memory is NULL, on all of them, where there can be none: use memory of one's own. */
wk_status wk__group_share(wk_group *group, size_t bytes, wk_region *region);
/* wk_all_reduce of a tensor that lies in a region, on every rank at the same place. */
wk_status wk__group_all_reduce_in(wk_group *group, const wk_region *region, wk_tensor *tensor, wk_reduce op,
                                  wk_work **work);
/* The caller has a moment: go on with what is under way.  Costs nothing where nothing is. */
void wk__group_advance(wk_group *group);

#endif
