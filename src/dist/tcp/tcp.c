/* tcp.c: the transport between processes that nothing but their environment connects (RANK, WORLD_SIZE, MASTER_ADDR,
 * MASTER_PORT), as `wick agent`, torchrun and the scheduler `local` start them.
 *
 * Every rank has a connection to every other (meet.c); collectives are messages over these (exchange.c), an all-reduce
 * goes one of the ways of route.h.  While one is under way all connections are looked at now and then: that is how
 * ranks that wait in shared memory, or for a rank that waits itself, learn of one that died.
 */
#include "dist/segment.h"
#include "dist/tcp/exchange.h"
#include "dist/tcp/meet.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

typedef struct tcp_state {
    pthread_mutex_t lock; /* `abort` may come from another thread */
    wk__link *links;      /* (ranks) */
    wk_hosts hosts;
    int *all, *host, *fellows; /* ranks: everybody, those of this host, those with this one's number on the others */
    wk__exchange among_all, in_host, across;
    wk_route route;
    void *segment;
    uint32_t begun; /* collectives */
    double looked;  /* at all connections */
} tcp_state;

static const double LOOK_EVERY = 0.05; /* seconds */

/* ---- who is where ---- */

/* Which of so many parts of its host a rank is in. */
static int part_of(const wk__seat *seats, int ranks, int rank, int parts) {
    int before = 0, all = 0;
    for (int r = 0; r < ranks; r++) {
        before += r < rank && seats[r].host == seats[rank].host;
        all += seats[r].host == seats[rank].host;
    }
    return (int)((int64_t)before * parts / all);
}

typedef struct group {
    uint64_t host;
    int part, size;
} group;

/* The hosts, or parts of hosts, in order of their first ranks; `of[rank]` is each rank's. */
static int make_groups(const wk__seat *seats, int ranks, int pretended, group *groups, int *of) {
    int count = 0;
    for (int r = 0; r < ranks; r++) {
        const group found = { .host = seats[r].host, .part = part_of(seats, ranks, r, pretended) };
        int g = 0;
        while (g < count && (groups[g].host != found.host || groups[g].part != found.part)) g++;
        if (g == count) groups[count++] = found;
        groups[g].size++;
        of[r] = g;
    }
    return count;
}

/* Fills s->hosts and the three lists. */
static wk_status find_hosts(tcp_state *s, const wk__meeting *m, int pretended) {
    const size_t ranks = (size_t)m->ranks;
    wk_hosts *h = &s->hosts;
    group *groups = wk_alloc(ranks * sizeof *groups);
    int *of = wk_alloc(ranks * sizeof *of), *number = wk_alloc(ranks * sizeof *number), fellows = 0;
    s->all = wk_alloc(ranks * sizeof *s->all);
    s->host = wk_alloc(ranks * sizeof *s->host);
    s->fellows = wk_alloc(ranks * sizeof *s->fellows);
    const bool good = groups && of && number && s->all && s->host && s->fellows;
    *h = (wk_hosts){ .rank = m->rank, .ranks = m->ranks, .is_even = true };
    if (good) h->hosts = make_groups(m->seats, m->ranks, pretended, groups, of);
    for (int r = 0; good && r < m->ranks; r++) {
        s->all[r] = r;
        for (int k = 0; k < r; k++) number[r] += of[k] == of[r];
        h->is_even = h->is_even && groups[of[r]].size == groups[0].size;
        if (of[r] == of[m->rank]) s->host[h->host_ranks++] = r;
    }
    if (good) h->host_rank = number[m->rank];
    for (int r = 0; good && r < m->ranks; r++)
        if (number[r] == h->host_rank) s->fellows[fellows++] = r;
    wk_free(groups);
    wk_free(of);
    wk_free(number);
    if (!good) return WK_NO_MEMORY;
    WK_TRY(wk__tcp_exchange_open(&s->among_all, s->links, s->all, h->ranks, h->rank, 0));
    WK_TRY(wk__tcp_exchange_open(&s->in_host, s->links, s->host, h->host_ranks, h->rank, 1));
    return wk__tcp_exchange_open(&s->across, s->links, s->fellows, fellows, h->rank, 2);
}

/* ---- small transfers that are waited for, before the watchdog is there ---- */

static double patience(void) {
    const char *text = getenv("WICK_DIST_TIMEOUT");
    double seconds = text ? strtod(text, NULL) : 0;
    return seconds > 0 ? seconds : 60;
}

static wk_status look(tcp_state *s) {
    if (wk_now() - s->looked < LOOK_EVERY) return WK_OK;
    s->looked = wk_now();
    return wk__links_look(s->links, s->hosts.ranks, s->begun);
}

static wk_status wait_for(tcp_state *s, wk__exchange *e, const wk_transfer *t) {
    const double seconds = patience(), end = wk_now() + seconds;
    bool done = false;
    WK_TRY(wk__tcp_exchange_begin(e, t));
    while (!done) {
        WK_TRY(wk__tcp_exchange_test(e, &done));
        if (!done) WK_TRY(look(s));
        if (!done && wk_now() > end)
            return wk_fail(WK_TIMEOUT, "tcp: the ranks did not agree on common memory within %.0f s", seconds);
        if (!done) (void)sched_yield();
    }
    return WK_OK;
}

/* Memory that all ranks of the host have mapped, or NULL on all ranks of the job.  All must call it. */
static wk_status map_segment(tcp_state *s, size_t bytes, void **memory) {
    wk_segment_place place = { 0 };
    const bool is_first = s->hosts.host_rank == 0;
    int descriptor = is_first ? wk__segment_create(bytes, &place) : -1;
    const wk_transfer name = { .kind = WK_BROADCAST, .out = &place, .count = sizeof place, .dtype = WK_U8, .scale = 1 };
    wk_status status = wait_for(s, &s->in_host, &name);
    if (!is_first && status == WK_OK) descriptor = wk__segment_find(&place);
    *memory = status == WK_OK ? wk__segment_map(descriptor, bytes, &place) : NULL;
    int32_t good = *memory != NULL;
    const wk_transfer all_good = {
        .kind = WK_ALL_REDUCE, .out = &good, .count = 1, .dtype = WK_I32, .op = WK_REDUCE_MIN, .scale = 1
    };
    if (status == WK_OK) status = wait_for(s, &s->among_all, &all_good);
    if (descriptor >= 0) (void)close(descriptor); /* all have opened it, or nobody uses it */
    if (*memory && (status != WK_OK || !good)) {
        (void)munmap(*memory, bytes);
        *memory = NULL;
    }
    return status;
}

/* ---- life ---- */

static wk_status choose(tcp_state *s, const wk_wishes *wishes) {
    const wk_hosts *h = &s->hosts;
    wk_route *r = &s->route;
    bool is_free;
    WK_TRY(wk__wishes_way(wishes, h, &r->way, &is_free));
    if (r->way == WK_WAY_LIBRARY)
        return wk_fail(WK_UNSUPPORTED, "WICK_COMM is mpi, but these ranks met over TCP: expected ring, shared or "
                                       "hierarchical, or ranks that mpirun started");
    if (!wk__way_shares(r->way)) return WK_OK;
    WK_TRY(map_segment(s, wk__shared_size(h->host_ranks), &s->segment));
    if (s->segment) return wk__shared_open(&r->shared, s->segment, h->host_rank, h->host_ranks);
    if (!is_free) return wk_fail(WK_UNSUPPORTED, "tcp: the ranks of a host cannot map one memory");
    r->way = WK_WAY_RING;
    return WK_OK;
}

static wk_status begin_messages(void *exchange, const wk_transfer *t) {
    return wk__tcp_exchange_begin(exchange, t);
}
static wk_status test_messages(void *exchange, bool *done) {
    return wk__tcp_exchange_test(exchange, done);
}

static wk_status take_over(tcp_state *s, wk__meeting *m) {
    int pretended = 1;
    s->links = wk_alloc((size_t)m->ranks * sizeof *s->links);
    if (!s->links) return WK_NO_MEMORY;
    s->hosts.ranks = m->ranks;
    for (int r = 0; r < m->ranks; r++) {
        s->links[r] = (wk__link){ .fd = m->fds[r], .rank = r };
        memcpy(s->links[r].name, m->seats[r].name, sizeof s->links[r].name);
        m->fds[r] = -1;
    }
    WK_TRY(wk__wishes_hosts(&m->wishes, &pretended));
    WK_TRY(find_hosts(s, m, pretended));
    s->route.all = (wk_messages){ begin_messages, test_messages, &s->among_all };
    s->route.across = (wk_messages){ begin_messages, test_messages, &s->across };
    return choose(s, &m->wishes);
}

static void end(tcp_state *s) {
    wk__shared_close(&s->route.shared);
    if (s->segment) (void)munmap(s->segment, wk__shared_size(s->hosts.host_ranks));
    wk__tcp_exchange_close(&s->among_all);
    wk__tcp_exchange_close(&s->in_host);
    wk__tcp_exchange_close(&s->across);
    wk_free(s->all);
    wk_free(s->host);
    wk_free(s->fellows);
    wk_free(s->links);
    (void)pthread_mutex_destroy(&s->lock);
    wk_free(s);
}

static void tcp_close(void *context) {
    tcp_state *s = context;
    wk__links_leave(s->links, s->hosts.ranks, s->begun, patience());
    end(s);
}

/* The others must not wait for a rank that cannot go on. */
static void tell_failure(tcp_state *s) {
    wk__error why = *wk__error_slot();
    wk__links_abort(s->links, s->hosts.ranks, why.message);
    wk__links_leave(s->links, s->hosts.ranks, s->begun, 0);
    *wk__error_slot() = why;
}

static wk_status tcp_open(void **out, int *rank, int *ranks) {
    wk__meeting m;
    tcp_state *s = wk_alloc(sizeof *s);
    if (!s) return WK_NO_MEMORY;
    (void)pthread_mutex_init(&s->lock, NULL);
    wk_status status = wk__meet(&m);
    if (status == WK_OK) status = take_over(s, &m);
    *rank = m.rank;
    *ranks = m.ranks;
    wk__meeting_leave(&m);
    if (status == WK_OK) {
        *out = s;
        return WK_OK;
    }
    if (s->links) tell_failure(s);
    end(s);
    return status;
}

/* ---- collectives ---- */

static wk_status tcp_begin(void *context, const wk_transfer *t) {
    tcp_state *s = context;
    (void)pthread_mutex_lock(&s->lock);
    s->begun++;
    s->looked = wk_now();
    wk_status status = wk__route_begin(&s->route, t);
    (void)pthread_mutex_unlock(&s->lock);
    return status;
}

static wk_status tcp_test(void *context, bool *done) {
    tcp_state *s = context;
    (void)pthread_mutex_lock(&s->lock);
    wk_status status = wk__route_test(&s->route, done);
    if (status == WK_OK && !*done) status = look(s);
    (void)pthread_mutex_unlock(&s->lock);
    return status;
}

/* Whoever drives the group holds the lock for moments only, unless it hangs itself. */
static void tcp_abort(void *context, int code, const char *reason) {
    tcp_state *s = context;
    char words[WK__ABORT_BYTES + 1];
    struct timespec until;
    (void)snprintf(words, sizeof words, "%s", reason);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    if (pthread_mutex_timedlock(&s->lock, &until) == 0) wk__links_abort(s->links, s->hosts.ranks, words);
    _Exit(code);
}

static const char *tcp_algorithm(const void *context) {
    const tcp_state *s = context;
    return s->hosts.ranks == 1 ? "none" : wk__way_name(s->route.way);
}

static wk_status tcp_share(void *context, size_t bytes, wk_region *region) {
    tcp_state *s = context;
    const wk_hosts *h = &s->hosts;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), each = (bytes + page - 1) / page * page;
    void *memory = NULL;
    if (!wk__way_shares(s->route.way)) return WK_OK;
    (void)pthread_mutex_lock(&s->lock);
    wk_status status = map_segment(s, each * (size_t)h->host_ranks, &memory);
    (void)pthread_mutex_unlock(&s->lock);
    if (memory) *region = (wk_region){ .memory = memory, .bytes = each, .part = h->host_rank, .parts = h->host_ranks };
    return status;
}

static const wk_transport transport = { .api_version = WK_TRANSPORT_API,
                                        .size = sizeof(wk_transport),
                                        .name = "tcp",
                                        .open = tcp_open,
                                        .begin = tcp_begin,
                                        .test = tcp_test,
                                        .close = tcp_close,
                                        .abort = tcp_abort,
                                        .algorithm = tcp_algorithm,
                                        .share = tcp_share };

const wk_transport *wk__transport_tcp(void) {
    return &transport;
}
