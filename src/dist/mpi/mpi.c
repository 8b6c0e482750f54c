/* mpi.c: the transport over Open MPI: the plugin wick_mpi.so.
 *
 * All that is begun is tested by whoever drives the group.  Open MPI makes no progress by itself, and its blocking
 * calls poll without rest: on a machine whose cores all compute, a rank that waits in one takes the core from its own
 * training.
 *
 * An all-reduce goes one of the ways of route.h, chosen when the group is made.  WICK_COMM forces one,
 * WICK_COMM_HOSTS=N takes the ranks of each host for those of N hosts.  Rank 0's environment counts.
 */
#include "dist/mpi/exchange.h"
#include "dist/route.h"
#include "dist/segment.h"
#include "dist/sum.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct mpi_state {
    MPI_Comm comm, host, fellows; /* all; those of this host; those with this rank's number on the other hosts */
    wk_hosts hosts;
    bool is_ours; /* we called MPI_Init, so we call MPI_Finalize */
    void *segment;
    wk_exchange all, across;
    wk_route route;
    bool is_over; /* by MPI_Allreduce */
} mpi_state;

/* ---- joining ---- */

static wk_status initialise(mpi_state *s) {
    int is_initialised = 0, provided = 0;
    (void)MPI_Initialized(&is_initialised);
    if (!is_initialised) {
        /* The watchdog may call MPI_Abort beside whoever drives the group. */
        if (MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided) != MPI_SUCCESS)
            return wk_fail(WK_RANK_FAILED, "mpi: MPI_Init failed; was this program started by mpirun?");
        s->is_ours = true;
    } else {
        (void)MPI_Query_thread(&provided);
    }
    return provided >= MPI_THREAD_MULTIPLE
               ? WK_OK
               : wk_fail(WK_UNSUPPORTED, "mpi: the library offers thread level %d, MPI_THREAD_MULTIPLE is needed",
                         provided);
}

/* Who is on this host, and who has this rank's number elsewhere. */
static wk_status find_hosts(mpi_state *s, int rank, int pretended) {
    MPI_Comm real;
    wk_hosts *h = &s->hosts;
    WK_TRY(wk__mpi_check(MPI_Comm_split_type(s->comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &real),
                         "MPI_Comm_split_type"));
    (void)MPI_Comm_rank(real, &h->host_rank);
    (void)MPI_Comm_size(real, &h->host_ranks);
    int host = (int)((int64_t)h->host_rank * pretended / h->host_ranks);
    wk_status status = wk__mpi_check(MPI_Comm_split(real, host, rank, &s->host), "MPI_Comm_split");
    (void)MPI_Comm_free(&real);
    WK_TRY(status);
    (void)MPI_Comm_rank(s->host, &h->host_rank);
    (void)MPI_Comm_size(s->host, &h->host_ranks);
    WK_TRY(wk__mpi_check(MPI_Comm_split(s->comm, h->host_rank, rank, &s->fellows), "MPI_Comm_split"));
    int firsts = h->host_rank == 0, most[2] = { h->host_ranks, -h->host_ranks };
    WK_TRY(wk__mpi_check(MPI_Allreduce(&firsts, &h->hosts, 1, MPI_INT, MPI_SUM, s->comm), "MPI_Allreduce"));
    WK_TRY(wk__mpi_check(MPI_Allreduce(MPI_IN_PLACE, most, 2, MPI_INT, MPI_MAX, s->comm), "MPI_Allreduce"));
    h->is_even = most[0] == -most[1];
    return WK_OK;
}

/* Memory that all ranks of the host have mapped, or NULL on all ranks of the job.  All must call it. */
static wk_status map_segment(const mpi_state *s, size_t bytes, void **memory) {
    const bool is_first = s->hosts.host_rank == 0;
    wk_segment_place place = { 0 };
    int descriptor = is_first ? wk__segment_create(bytes, &place) : -1;
    wk_status status = wk__mpi_check(MPI_Bcast(&place, sizeof place, MPI_BYTE, 0, s->host), "MPI_Bcast");
    if (!is_first && status == WK_OK) descriptor = wk__segment_find(&place);
    *memory = status == WK_OK ? wk__segment_map(descriptor, bytes, &place) : NULL;
    int good = *memory != NULL;
    if (status == WK_OK)
        status = wk__mpi_check(MPI_Allreduce(MPI_IN_PLACE, &good, 1, MPI_INT, MPI_MIN, s->comm), "MPI_Allreduce");
    if (descriptor >= 0) (void)close(descriptor); /* all have opened it, or nobody uses it */
    if (*memory && (status != WK_OK || !good)) {
        (void)munmap(*memory, bytes);
        *memory = NULL;
    }
    return status;
}

static wk_status choose(mpi_state *s, const wk_wishes *asked) {
    bool is_free;
    const wk_hosts *h = &s->hosts;
    wk_route *r = &s->route;
    WK_TRY(wk__wishes_way(asked, h, &r->way, &is_free));
    if (!wk__way_shares(r->way)) return WK_OK;
    WK_TRY(map_segment(s, wk__shared_size(h->host_ranks), &s->segment));
    if (s->segment) return wk__shared_open(&r->shared, s->segment, h->host_rank, h->host_ranks);
    if (!is_free) return wk_fail(WK_UNSUPPORTED, "mpi: the ranks of a host cannot map one memory");
    r->way = WK_WAY_RING;
    return WK_OK;
}

static wk_status begin_messages(void *exchange, const wk_transfer *t) {
    return wk__exchange_begin(exchange, t);
}
static wk_status test_messages(void *exchange, bool *done) {
    return wk__exchange_test(exchange, done);
}

static wk_status join(mpi_state *s, int *rank, int *ranks) {
    wk_wishes asked;
    int pretended = 1;
    WK_TRY(initialise(s));
    WK_TRY(wk__mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &s->comm), "MPI_Comm_dup"));
    wk__exchange_open(&s->all, s->comm);
    s->hosts.rank = *rank = s->all.ring.rank;
    s->hosts.ranks = *ranks = s->all.ring.ranks;
    wk__wishes_read(&asked);
    WK_TRY(wk__mpi_check(MPI_Bcast(&asked, sizeof asked, MPI_BYTE, 0, s->comm), "MPI_Bcast"));
    WK_TRY(wk__wishes_hosts(&asked, &pretended));
    WK_TRY(find_hosts(s, *rank, pretended));
    wk__exchange_open(&s->across, s->fellows);
    s->route.all = (wk_messages){ begin_messages, test_messages, &s->all };
    s->route.across = (wk_messages){ begin_messages, test_messages, &s->across };
    return choose(s, &asked);
}

static void mpi_close(void *context) {
    mpi_state *s = context;
    MPI_Comm *comms[] = { &s->fellows, &s->host, &s->comm };
    wk__shared_close(&s->route.shared);
    if (s->segment) (void)munmap(s->segment, wk__shared_size(s->hosts.host_ranks));
    wk__exchange_close(&s->all);
    wk__exchange_close(&s->across);
    for (size_t i = 0; i < WK_COUNT(comms); i++)
        if (*comms[i] != MPI_COMM_NULL) (void)MPI_Comm_free(comms[i]);
    if (s->is_ours) (void)MPI_Finalize();
    wk_free(s);
}

static wk_status mpi_open(void **out, int *rank, int *ranks) {
    mpi_state *s = wk_alloc(sizeof *s);
    if (!s) return WK_NO_MEMORY;
    s->comm = s->host = s->fellows = MPI_COMM_NULL;
    wk_status status = join(s, rank, ranks);
    if (status == WK_OK)
        *out = s;
    else
        mpi_close(s);
    return status;
}

/* ---- collectives ---- */

static wk_status mpi_begin(void *context, const wk_transfer *t) {
    mpi_state *s = context;
    s->is_over = s->route.way == WK_WAY_LIBRARY && t->kind == WK_ALL_REDUCE && wk__combines(t->dtype);
    return s->is_over ? wk__exchange_blocking(&s->all, t) : wk__route_begin(&s->route, t);
}

static wk_status mpi_test(void *context, bool *done) {
    mpi_state *s = context;
    *done = s->is_over;
    return s->is_over ? WK_OK : wk__route_test(&s->route, done);
}

static void mpi_abort(void *context, int code, const char *reason) {
    (void)reason; /* mpirun has every rank's stderr */
    (void)MPI_Abort(((mpi_state *)context)->comm, code);
    _Exit(code); /* MPI_Abort does not return, but nothing promises it */
}

static const char *mpi_algorithm(const void *context) {
    return wk__way_name(((const mpi_state *)context)->route.way);
}

static wk_status mpi_share(void *context, size_t bytes, wk_region *region) {
    const mpi_state *s = context;
    const wk_hosts *h = &s->hosts;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), each = (bytes + page - 1) / page * page;
    void *memory;
    if (!wk__way_shares(s->route.way)) return WK_OK;
    WK_TRY(map_segment(s, each * (size_t)h->host_ranks, &memory));
    if (memory) *region = (wk_region){ .memory = memory, .bytes = each, .part = h->host_rank, .parts = h->host_ranks };
    return WK_OK;
}

static const wk_transport transport = { .api_version = WK_TRANSPORT_API,
                                        .size = sizeof(wk_transport),
                                        .name = "mpi",
                                        .open = mpi_open,
                                        .begin = mpi_begin,
                                        .test = mpi_test,
                                        .close = mpi_close,
                                        .abort = mpi_abort,
                                        .algorithm = mpi_algorithm,
                                        .share = mpi_share };

WK_API const wk_transport *wk_transport_plugin(void);
const wk_transport *wk_transport_plugin(void) {
    return &transport;
}
