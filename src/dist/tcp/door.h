/* door.h: those who come to a listening rank. */
#ifndef WICK_SRC_DIST_TCP_DOOR_H
#define WICK_SRC_DIST_TCP_DOOR_H

#include "dist/tcp/meet.h"

/* Take in ranks first, first + 1, … until all are there: m->fds and m->seats are filled.  Errors: WK_TIMEOUT after
 * `end`, naming those that are missing (`seconds`: how long that was); WK_RANK_FAILED when one leaves again, except at
 * rank 0's door, to which it may come back. */
wk_status wk__door_gather(wk__meeting *m, const wk__hello *mine, int listener, int first, double seconds, double end);

#endif
