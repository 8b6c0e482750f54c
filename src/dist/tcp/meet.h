/* meet.h: how ranks that were started apart find each other. */
#ifndef WICK_SRC_DIST_TCP_MEET_H
#define WICK_SRC_DIST_TCP_MEET_H

#include "dist/tcp/wire.h"

typedef struct wk__meeting {
    int rank, ranks;
    int *fds;         /* (ranks) a connection to each other rank, not blocking; -1: this rank's own */
    wk__seat *seats;  /* (ranks) */
    wk_wishes wishes; /* rank 0's */
} wk__meeting;

/* Join the others of RANK and WORLD_SIZE: rank 0 listens at MASTER_PORT, the others come to MASTER_ADDR as often as
 * they must, so it does not matter who is first.  Then each connects to those below it.  Those of another run, or of an
 * earlier attempt of this one, are sent away with a word; what does not speak this protocol is closed and logged.
 *
 * Waits WICK_MEET_TIMEOUT seconds (300) at most.  Errors: WK_TIMEOUT, naming those who did not come; WK_RANK_FAILED
 * when rank 0 sends this rank away; WK_CONFIG for an environment that makes no sense; WK_IO.  Leave with
 * wk__meeting_leave in any case: connections that somebody took over are set to -1 first. */
wk_status wk__meet(wk__meeting *m);
void wk__meeting_leave(wk__meeting *m);

#endif
