/* route.c: see route.h. */
#include "dist/route.h"

#include "dist/sum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = { "ring", "shared", "hierarchical", "mpi" };

const char *wk__way_name(wk_way way) {
    return names[way];
}

bool wk__way_shares(wk_way way) {
    return way == WK_WAY_SHARED || way == WK_WAY_HIERARCHICAL;
}

/* ---- the choice ---- */

void wk__wishes_read(wk_wishes *wishes) {
    const char *way = getenv("WICK_COMM"), *hosts = getenv("WICK_COMM_HOSTS");
    memset(wishes, 0, sizeof *wishes);
    (void)snprintf(wishes->way, sizeof wishes->way, "%s", way ? way : "");
    (void)snprintf(wishes->hosts, sizeof wishes->hosts, "%s", hosts && *hosts ? hosts : "1");
}

wk_status wk__wishes_hosts(const wk_wishes *wishes, int *hosts) {
    char *end;
    long number = strtol(wishes->hosts, &end, 10);
    if (*end || number < 1 || number > INT32_MAX)
        return wk_fail(WK_CONFIG, "WICK_COMM_HOSTS is \"%s\", expected a number of hosts, 1 or more", wishes->hosts);
    *hosts = (int)number;
    return WK_OK;
}

static wk_way best(const wk_hosts *h) {
    if (h->hosts == 1) return WK_WAY_SHARED;
    return h->is_even && h->host_ranks > 1 ? WK_WAY_HIERARCHICAL : WK_WAY_RING;
}

static wk_status check_hosts(const wk_hosts *h, wk_way asked) {
    if (!wk__way_shares(asked) || asked == best(h)) return WK_OK;
    return wk_fail(WK_UNSUPPORTED,
                   asked == WK_WAY_SHARED
                       ? "WICK_COMM is shared, but the ranks are on %d hosts"
                       : "WICK_COMM is hierarchical, which needs several hosts with as many ranks each, at "
                         "least 2; there are %d hosts (WICK_COMM_HOSTS pretends)",
                   h->hosts);
}

wk_status wk__wishes_way(const wk_wishes *wishes, const wk_hosts *hosts, wk_way *way, bool *is_free) {
    *is_free = !*wishes->way;
    *way = best(hosts);
    for (wk_way asked = 0; !*is_free; asked++) {
        if (asked == WK_WAYS)
            return wk_fail(WK_CONFIG, "WICK_COMM is \"%s\", expected ring, shared, hierarchical or mpi", wishes->way);
        *way = asked;
        if (strcmp(wishes->way, names[asked]) == 0) break;
    }
    if (hosts->ranks == 1) *way = WK_WAY_RING;
    return check_hosts(hosts, *way);
}

/* ---- going it ---- */

static void begin_spread(wk_route *r) {
    r->stage = WK_STAGE_SPREAD;
    wk__shared_begin(&r->shared, &r->transfer, WK_SHARED_SPREAD);
}

/* This rank's part, which is the host's sum now, with its fellows' parts. */
static wk_status begin_across(wk_route *r) {
    wk_transfer part = r->transfer;
    part.region = NULL;
    wk__shared_part(&r->shared, &part.out, &part.count);
    part.in = part.out;
    if (!part.count) return begin_spread(r), WK_OK;
    r->stage = WK_STAGE_ACROSS;
    return r->across.begin(r->across.context, &part);
}

wk_status wk__route_begin(wk_route *r, const wk_transfer *t) {
    r->transfer = *t;
    r->by_messages = t->kind != WK_ALL_REDUCE || !wk__way_shares(r->way) || !wk__combines(t->dtype);
    if (r->by_messages) return r->all.begin(r->all.context, t);
    wk_transfer within = *t;
    bool one_host = r->way == WK_WAY_SHARED;
    if (!one_host) within.scale = 1;
    r->stage = WK_STAGE_WITHIN;
    wk__shared_begin(&r->shared, &within, one_host ? wk__shared_choose(&within) : WK_SHARED_REDUCE);
    return WK_OK;
}

wk_status wk__route_test(wk_route *r, bool *done) {
    *done = false;
    if (r->by_messages) return r->all.test(r->all.context, done);
    if (r->stage == WK_STAGE_WITHIN && wk__shared_test(&r->shared)) {
        *done = r->way == WK_WAY_SHARED;
        if (!*done) WK_TRY(begin_across(r));
    }
    if (r->stage == WK_STAGE_ACROSS) {
        bool summed = false;
        WK_TRY(r->across.test(r->across.context, &summed));
        if (summed) begin_spread(r);
    }
    if (r->stage == WK_STAGE_SPREAD) *done = wk__shared_test(&r->shared);
    return WK_OK;
}
