/* link.h: messages over one connection between two ranks, without waiting. */
#ifndef WICK_SRC_DIST_TCP_LINK_H
#define WICK_SRC_DIST_TCP_LINK_H

#include "dist/tcp/wire.h"

typedef struct wk__link {
    int fd; /* -1: of this rank itself, or closed */
    int rank;
    char name[WK__NAME_BYTES]; /* of its host */
    bool sends, receives;      /* a message is under way */
    wk__frame outgoing, expected;
    const char *out;
    char *in;
    unsigned char out_head[WK__FRAME_BYTES], in_head[WK__FRAME_BYTES];
    uint64_t out_at, in_at; /* bytes that have gone and come, heads included */
} wk__link;

/* A message each way at a time.  Memory must stay until it is over. */
void wk__link_send(wk__link *link, const wk__frame *frame, const void *out);
void wk__link_receive(wk__link *link, const wk__frame *expected, void *in);
/* Go on with what is under way as far as it goes.  Errors: the other rank is gone or has ended the job (by name, with
 * its reason), or sends something else than expected. */
wk_status wk__link_go(wk__link *link);
/* Whether all those whose turn it is not are still there, in one look; the first that is not is the error.  `sequence`
 * is the number of the collective under way: one that left before it will not come. */
wk_status wk__links_look(wk__link *links, int count, uint32_t sequence);
/* Tell all why this rank ends the job; a message under way is ended first.  Takes half a second at most. */
void wk__links_abort(wk__link *links, int count, const char *reason);
/* Leave in peace after collective `sequence`: say so, and wait until all have, so that a closed connection always means
 * a dead rank. */
void wk__links_leave(wk__link *links, int count, uint32_t sequence, double seconds);

#endif
