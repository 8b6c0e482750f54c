/* exchange.h: one collective at a time between some of the ranks, by messages over TCP. */
#ifndef WICK_SRC_DIST_TCP_EXCHANGE_H
#define WICK_SRC_DIST_TCP_EXCHANGE_H

#include "dist/tcp/link.h"

/* What a collective is made of: a message to one rank and a message from one, at the same time; NULL: none. */
typedef struct wk__step {
    wk__link *to, *from;
    const void *out;
    void *in;
    uint64_t out_bytes, in_bytes;
} wk__step;

typedef struct wk__plan wk__plan;

typedef struct wk__exchange {
    wk__link *links;    /* of all ranks, not owned */
    const int *members; /* (count) ranks that take part, in order; not owned */
    int count, me;      /* members[me] is this rank */
    uint32_t tag, sequence;
    const wk__plan *plan; /* of the transfer under way; NULL: none */
    wk_transfer transfer;
    int number; /* of the step under way */
    wk__step step;
    char *room; /* for what arrives and is not a result yet */
    size_t room_bytes;
    const char **parts; /* (count) */
} wk__exchange;

/* tag: which exchange it is, the same on every member. */
wk_status wk__tcp_exchange_open(wk__exchange *e, wk__link *links, const int *members, int count, int rank,
                                uint32_t tag);
void wk__tcp_exchange_close(wk__exchange *e);
wk_status wk__tcp_exchange_begin(wk__exchange *e, const wk_transfer *transfer);
wk_status wk__tcp_exchange_test(wk__exchange *e, bool *done);

#endif
