/* cards.c: see cards.h.  Who joins, who carries and who is asked how far it is are the group's thread or its caller, as
 * with every other collective: so the queue's order is every rank's, and the watchdog sees devices that hang too. */
#include "dist/cards.h"

#include "tensor/tensor.h"

#include <string.h>

_Static_assert((int)WK_COMBINE_MEAN == (int)WK_REDUCE_MEAN && (int)WK_COMBINE_MIN == (int)WK_REDUCE_MIN,
               "in the order of wk_reduce");

wk_status wk__cards_check(wk__cards *c, int device, const char *who) {
    int first = 0;
    if (!device || atomic_compare_exchange_strong(&c->device, &first, device) || first == device) return WK_OK;
    return wk_fail(WK_DEVICE, "%s: the group exchanges memory of %s, not of %s: a rank has one device", who,
                   wk_device_name(first), wk_device_name(device));
}

/* ---- joining ---- */

static wk_status send_id(wk__cards *c, const wk_transport *transport, void *state, int rank) {
    if (rank == 0) WK_TRY(c->exchange->make_id(c->id));
    const wk_transfer id = {
        .kind = WK_BROADCAST, .in = c->id, .out = c->id, .count = WK_EXCHANGE_ID, .dtype = WK_U8, .scale = 1
    };
    c->joining = WK__CARDS_NAMING;
    return transport->begin(state, &id);
}

static wk_status join(wk__cards *c, const wk_transport *transport, void *state, int rank, int ranks, int device) {
    bool done = true;
    if (c->joining == WK__CARDS_APART) {
        c->exchange = wk__backend_of(device)->exchange;
        WK_TRY(send_id(c, transport, state, rank));
    }
    if (c->joining == WK__CARDS_NAMING) {
        WK_TRY(transport->test(state, &done));
        if (!done) return WK_OK;
        WK_TRY(c->exchange->join(&c->state, wk__ordinal(device), c->id, rank, ranks));
        c->joining = WK__CARDS_JOINING;
    }
    WK_TRY(c->exchange->test(c->state, &done));
    if (done) c->joining = WK__CARDS_JOINED;
    return WK_OK;
}

/* ---- transfers ---- */

/* One rank has what it gives. */
static wk_status keep(const wk_transfer *t) {
    const size_t bytes = (size_t)t->count * wk_dtype_size(t->dtype);
    return t->in == t->out ? WK_OK : wk__copy_bytes(t->out, t->device, t->in, t->device, bytes);
}

static wk_status begin(wk__cards *c, const wk_transfer *t) {
    const bool mean = t->op == WK_REDUCE_SUM && t->scale != 1;
    c->is_under_way = true;
    return c->exchange->begin(c->state, &(wk_device_transfer){ .kind = t->kind,
                                                               .in = t->in,
                                                               .out = t->out,
                                                               .count = t->count,
                                                               .dtype = (int)t->dtype,
                                                               .combine = mean ? WK_COMBINE_MEAN : (wk_combine)t->op,
                                                               .root = t->root });
}

wk_status wk__cards_step(wk__cards *c, const wk_transport *transport, void *state, int rank, int ranks,
                         const wk_transfer *t, bool *done) {
    *done = false;
    if (ranks == 1 || t->count == 0) {
        *done = true;
        return ranks == 1 ? keep(t) : WK_OK;
    }
    if (c->joining != WK__CARDS_JOINED) WK_TRY(join(c, transport, state, rank, ranks, t->device));
    if (c->joining != WK__CARDS_JOINED) return WK_OK;
    if (!c->is_under_way) WK_TRY(begin(c, t));
    WK_TRY(c->exchange->test(c->state, done));
    c->is_under_way = !*done;
    return WK_OK;
}

void wk__cards_leave(wk__cards *c) {
    if (c->state) c->exchange->leave(c->state);
    c->state = NULL;
    c->joining = WK__CARDS_APART;
}

void wk__cards_abort(wk__cards *c) {
    if (c->state) c->exchange->abort(c->state);
}
