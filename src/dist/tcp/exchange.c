/* exchange.c: collectives as steps, each a message to one rank and one from another (exchange.h).
 *
 *   gather    small sums, and the barrier: every rank gets every rank's elements in log2(ranks) steps (Bruck 1997) and
 *             sums them itself, in order of rank
 *   ring      large sums: parts travel round, each rank adding its own, then the sums do (Patarasuk & Yuan 2009)
 *   scatter   the first half of that;   collect   the second
 *   tree      broadcast, in log2(ranks) steps
 *
 * Who adds what to what depends on the number of ranks alone, never on what arrives first.
 */
#include "dist/tcp/exchange.h"

#include "dist/sum.h"

#include <string.h>

enum { SMALL = 8 * 1024, SMALL_ROOM = 256 * 1024 };

/* The next step into e->step, false where there is none; what follows the step; room for what arrives. */
struct wk__plan {
    bool (*next)(wk__exchange *e);
    void (*end)(wk__exchange *e);
    int64_t (*room)(const wk__exchange *e); /* elements */
};

/* ---- helpers ---- */

static size_t size_of(const wk__exchange *e, int64_t count) {
    return (size_t)count * wk_dtype_size(e->transfer.dtype);
}

static wk__link *link_of(const wk__exchange *e, int member) {
    return &e->links[e->members[(member % e->count + e->count) % e->count]];
}

static int wrap(const wk__exchange *e, int number) {
    return (number % e->count + e->count) % e->count;
}

static void combine(const wk__exchange *e, void *out, const void *a, const void *b, int64_t count, double scale) {
    const char *in[2] = { a, b };
    char *outs[1] = { out };
    wk__combine(outs, 1, in, 2, count, e->transfer.dtype, e->transfer.op, scale);
}

/* ---- gather ---- */

static char *block(const wk__exchange *e, int number) {
    return e->room + (size_t)number * size_of(e, e->transfer.count);
}

static int64_t gather_room(const wk__exchange *e) {
    return e->transfer.count * e->count;
}

/* Block i of the room is that of rank me + i. */
static bool gather_next(wk__exchange *e) {
    const int distance = e->number < 30 ? 1 << e->number : e->count;
    if (e->number == 0 && e->transfer.count) memcpy(e->room, e->transfer.out, size_of(e, e->transfer.count));
    if (distance >= e->count) return false;
    const int blocks = distance < e->count - distance ? distance : e->count - distance;
    const size_t bytes = size_of(e, e->transfer.count * blocks);
    e->step = (wk__step){
        link_of(e, e->me - distance), link_of(e, e->me + distance), e->room, block(e, distance), bytes, bytes
    };
    return true;
}

static void gather_end(wk__exchange *e) {
    const wk_transfer *t = &e->transfer;
    char *out[1] = { t->out };
    if (1 << (e->number + 1) < e->count) return;
    for (int i = 0; i < e->count; i++) e->parts[i] = block(e, wrap(e, i - e->me));
    wk__combine(out, 1, e->parts, e->count, t->count, t->dtype, t->op, t->scale);
}

/* ---- ring ---- */

static int64_t part_start(const wk__exchange *e, int part) {
    return e->transfer.count * part / e->count;
}
static int64_t part_count(const wk__exchange *e, int part) {
    return part_start(e, part + 1) - part_start(e, part);
}
static char *part_data(const wk__exchange *e, int part) {
    return (char *)e->transfer.out + size_of(e, part_start(e, part));
}

static int64_t ring_room(const wk__exchange *e) {
    return e->transfer.count / e->count + 1;
}

/* The same parts for both halves. */
static bool ring_next(wk__exchange *e) {
    const int out = wrap(e, e->me - e->number), in = wrap(e, out - 1);
    if (e->number == 2 * (e->count - 1)) return false;
    e->step = (wk__step){ link_of(e, e->me + 1),
                          link_of(e, e->me - 1),
                          part_data(e, out),
                          e->number < e->count - 1 ? e->room : part_data(e, in),
                          size_of(e, part_count(e, out)),
                          size_of(e, part_count(e, in)) };
    return true;
}

static void ring_end(wk__exchange *e) {
    const int part = wrap(e, e->me - e->number - 1);
    if (e->number >= e->count - 1) return;
    const double scale = e->number == e->count - 2 ? e->transfer.scale : 1; /* complete now: this rank owns it */
    combine(e, part_data(e, part), part_data(e, part), e->room, part_count(e, part), scale);
}

/* ---- scatter ---- */

static int64_t scatter_room(const wk__exchange *e) {
    return 2 * e->transfer.count;
}

static const char *own_part(const wk__exchange *e, int part) {
    return (const char *)e->transfer.in + (size_t)part * size_of(e, e->transfer.count);
}

/* What arrives goes into one half of the room while what arrived before leaves the other. */
static bool scatter_next(wk__exchange *e) {
    const size_t bytes = size_of(e, e->transfer.count);
    if (e->number == e->count - 1) return false;
    const void *out = e->number ? block(e, (e->number + 1) % 2) : own_part(e, wrap(e, e->me - 1));
    e->step = (wk__step){ link_of(e, e->me + 1), link_of(e, e->me - 1), out, block(e, e->number % 2), bytes, bytes };
    return true;
}

static void scatter_end(wk__exchange *e) {
    const bool last = e->number == e->count - 2;
    combine(e, last ? e->transfer.out : e->step.in, own_part(e, wrap(e, e->me - e->number - 2)), e->step.in,
            e->transfer.count, last ? e->transfer.scale : 1);
}

/* ---- collect ---- */

static int64_t no_room(const wk__exchange *e) {
    (void)e;
    return 0;
}
static void no_end(wk__exchange *e) {
    (void)e;
}

static bool collect_next(wk__exchange *e) {
    const size_t bytes = size_of(e, e->transfer.count);
    char *all = e->transfer.out;
    if (e->number == 0 && bytes) memmove(all + (size_t)e->me * bytes, e->transfer.in, bytes);
    if (e->number == e->count - 1) return false;
    const int out = wrap(e, e->me - e->number), in = wrap(e, out - 1);
    e->step = (wk__step){
        link_of(e, e->me + 1), link_of(e, e->me - 1), all + (size_t)out * bytes, all + (size_t)in * bytes, bytes, bytes
    };
    return true;
}

/* ---- tree ---- */

/* Counted from the root, rank v hears from v without its lowest bit, then tells those that have one bit more below it.
 */
static bool tree_next(wk__exchange *e) {
    const int v = wrap(e, e->me - e->transfer.root);
    const size_t bytes = size_of(e, e->transfer.count);
    int top = 1, hears = v ? 1 : 0;
    while (v ? !(v & top) : top < e->count) top <<= 1;
    e->step = (wk__step){ .out = e->transfer.out, .in = e->transfer.out };
    if (hears && e->number == 0) {
        e->step.from = link_of(e, e->me - top);
        e->step.in_bytes = bytes;
        return true;
    }
    int told = e->number - hears; /* so many have been told */
    for (int bit = top >> 1; bit; bit >>= 1) {
        if (v + bit >= e->count || told-- > 0) continue;
        e->step.to = link_of(e, e->me + bit);
        e->step.out_bytes = bytes;
        return true;
    }
    return false;
}

static const wk__plan gather = { gather_next, gather_end, gather_room }, ring = { ring_next, ring_end, ring_room },
                      scatter = { scatter_next, scatter_end, scatter_room },
                      collect = { collect_next, no_end, no_room }, tree = { tree_next, no_end, no_room };

/* ---- going on ---- */

wk_status wk__tcp_exchange_open(wk__exchange *e, wk__link *links, const int *members, int count, int rank,
                                uint32_t tag) {
    *e = (wk__exchange){ .links = links, .members = members, .count = count, .tag = tag };
    while (members[e->me] != rank) e->me++;
    e->parts = wk_alloc((size_t)count * sizeof *e->parts);
    return e->parts ? WK_OK : WK_NO_MEMORY;
}

void wk__tcp_exchange_close(wk__exchange *e) {
    wk_free(e->room);
    wk_free((void *)e->parts);
}

/* A message of no bytes is one, too: a barrier is made of them. */
static void begin_step(wk__exchange *e) {
    const wk__step *s = &e->step;
    wk__frame frame = { .kind = WK__FRAME_DATA + e->tag, .sequence = e->sequence };
    frame.bytes = s->out_bytes;
    if (s->to) wk__link_send(s->to, &frame, s->out);
    frame.bytes = s->in_bytes;
    if (s->from) wk__link_receive(s->from, &frame, s->in);
}

static const wk__plan *plan_of(const wk__exchange *e, const wk_transfer *t) {
    const size_t bytes = size_of(e, t->count);
    switch (t->kind) {
    case WK_ALL_REDUCE: return bytes <= SMALL && bytes * (size_t)e->count <= SMALL_ROOM ? &gather : &ring;
    case WK_REDUCE_SCATTER: return &scatter;
    case WK_ALL_GATHER: return &collect;
    case WK_BROADCAST: return &tree;
    default: return &gather;
    }
}

static wk_status make_room(wk__exchange *e, size_t bytes) {
    if (bytes <= e->room_bytes) return WK_OK;
    wk_free(e->room);
    e->room = wk_alloc_data(bytes);
    e->room_bytes = e->room ? bytes : 0;
    return e->room ? WK_OK : WK_NO_MEMORY;
}

static wk_status begin_alone(const wk_transfer *t) {
    if ((t->kind == WK_ALL_GATHER || t->kind == WK_REDUCE_SCATTER) && t->count)
        memmove(t->out, t->in, (size_t)t->count * wk_dtype_size(t->dtype));
    return WK_OK;
}

wk_status wk__tcp_exchange_begin(wk__exchange *e, const wk_transfer *t) {
    const bool reduces = t->kind == WK_ALL_REDUCE || t->kind == WK_REDUCE_SCATTER;
    e->plan = NULL;
    e->transfer = *t;
    if (reduces && !wk__combines(t->dtype))
        return wk_fail(WK_DTYPE, "tcp: %s cannot be reduced; convert to f32", wk_dtype_name(t->dtype));
    if (e->count == 1) return begin_alone(t);
    const wk__plan *plan = plan_of(e, t);
    WK_TRY(make_room(e, size_of(e, plan->room(e)) + 1));
    e->plan = plan;
    e->number = 0;
    e->sequence++;
    if (!plan->next(e)) e->plan = NULL;
    if (e->plan) begin_step(e);
    return WK_OK;
}

wk_status wk__tcp_exchange_test(wk__exchange *e, bool *done) {
    *done = false;
    while (e->plan) {
        wk__link *to = e->step.to, *from = e->step.from;
        if (to) WK_TRY(wk__link_go(to));
        if (from && from != to) WK_TRY(wk__link_go(from));
        if ((to && to->sends) || (from && from->receives)) return WK_OK;
        e->plan->end(e);
        e->number++;
        if (e->plan->next(e))
            begin_step(e);
        else
            e->plan = NULL;
    }
    *done = true;
    return WK_OK;
}
