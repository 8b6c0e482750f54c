/* route.h: which way an all-reduce goes between the ranks, and going it.  Transports bring the messages. */
#ifndef WICK_SRC_DIST_ROUTE_H
#define WICK_SRC_DIST_ROUTE_H

#include "dist/shared.h"

/*   ring           by messages alone
 *   shared         all ranks are on one host: through shared memory (shared.c)
 *   hierarchical   several hosts with as many ranks each: every rank makes the sum of its part within the host, sums
 *                  that with its fellows of the other hosts by messages, and spreads it within the host
 *   mpi            Open MPI's own MPI_Allreduce, which its transport does by itself */
typedef enum wk_way { WK_WAY_RING, WK_WAY_SHARED, WK_WAY_HIERARCHICAL, WK_WAY_LIBRARY, WK_WAYS } wk_way;
WK_API const char *wk__way_name(wk_way way);
/* Whether the ranks of a host need common memory. */
WK_API bool wk__way_shares(wk_way way);

/* Who is where. */
typedef struct wk_hosts {
    int rank, ranks, hosts;
    int host_rank, host_ranks; /* among those of this host */
    bool is_even;              /* as many ranks on each host */
} wk_hosts;

/* What rank 0 wishes, WICK_COMM and WICK_COMM_HOSTS of its environment, so that all ranks read the same. */
typedef struct wk_wishes {
    char way[32], hosts[32];
} wk_wishes;
WK_API void wk__wishes_read(wk_wishes *wishes);
/* Ranks of one host are taken for those of so many. */
WK_API wk_status wk__wishes_hosts(const wk_wishes *wishes, int *hosts);
/* The way to go, and whether another may take its place where hosts have no common memory.  Errors: WK_CONFIG for a
 * word that is none, WK_UNSUPPORTED for a way that cannot be. */
WK_API wk_status wk__wishes_way(const wk_wishes *wishes, const wk_hosts *hosts, wk_way *way, bool *is_free);

/* Collectives between some ranks by messages; one at a time. */
typedef struct wk_messages {
    wk_status (*begin)(void *context, const wk_transfer *transfer);
    wk_status (*test)(void *context, bool *done);
    void *context;
} wk_messages;

typedef struct wk_route {
    wk_way way;
    wk_shared shared;        /* opened by whoever has the memory, where the way needs it */
    wk_messages all, across; /* across: between this rank and those with its number on the other hosts */
    wk_transfer transfer;    /* under way */
    bool by_messages;
    enum { WK_STAGE_WITHIN, WK_STAGE_ACROSS, WK_STAGE_SPREAD } stage;
} wk_route;

/* Any collective: an all-reduce goes the route's way, the others by messages. */
WK_API wk_status wk__route_begin(wk_route *route, const wk_transfer *transfer);
WK_API wk_status wk__route_test(wk_route *route, bool *done);

#endif
