/* cards.h: collectives of a group whose tensors lie on devices. */
#ifndef WICK_SRC_DIST_CARDS_H
#define WICK_SRC_DIST_CARDS_H

#include "dist/transport.h"
#include "tensor/backend.h"

#include <stdatomic.h>

/* Of one rank; zeroed: not joined yet. */
typedef struct wk__cards {
    const wk_device_exchange *exchange;
    void *state;
    atomic_int device; /* the first that a collective named; 0: none has */
    enum { WK__CARDS_APART, WK__CARDS_NAMING, WK__CARDS_JOINING, WK__CARDS_JOINED } joining;
    bool is_under_way;
    char id[WK_EXCHANGE_ID];
} wk__cards;

/* A rank has one device: whether this is it. */
wk_status wk__cards_check(wk__cards *cards, int device, const char *who);
/* Go on with a transfer of memory on a device as far as it goes without waiting.  The first one of a group makes the
 * ranks' devices known to each other: their common id goes through the transport. */
wk_status wk__cards_step(wk__cards *cards, const wk_transport *transport, void *state, int rank, int ranks,
                         const wk_transfer *transfer, bool *done);
void wk__cards_leave(wk__cards *cards);
void wk__cards_abort(wk__cards *cards);

#endif
