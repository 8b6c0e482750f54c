/* mpi.c: the transport over Open MPI: the plugin wick_mpi.so.
 *
 * All that is begun is tested by whoever drives the group.  Open MPI makes no progress by itself, and its blocking
 * calls poll without rest: on a machine whose cores all compute, a rank that waits in one takes the core from its own
 * training.
 *
 * An all-reduce goes one of three ways, chosen when the group is made:
 *
 *   shared         all ranks are on one host: through shared memory (shared.c)
 *   hierarchical   several hosts with as many ranks each: every rank makes the sum of its part within the host, sums
 *                  that with its fellows of the other hosts by messages, and spreads it within the host
 *   ring           by messages alone (exchange.c)
 *
 * WICK_COMM forces one of them, or `mpi`: Open MPI's own MPI_Allreduce, for comparison.  WICK_COMM_HOSTS=N takes the
 * ranks of each host for those of N hosts.  Rank 0's environment counts.
 */
#include "dist/mpi/exchange.h"
#include "dist/mpi/segment.h"
#include "dist/mpi/shared.h"
#include "dist/mpi/sum.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef enum algorithm { RING, SHARED, HIERARCHICAL, LIBRARY, ALGORITHMS } algorithm;
static const char *const algorithm_names[] = { "ring", "shared", "hierarchical", "mpi" };

/* Of an all-reduce; a way without hierarchy has one stage. */
typedef enum stage { WITHIN, ACROSS, SPREAD } stage;

typedef struct mpi_state {
    MPI_Comm comm, host, fellows; /* all; those of this host; those with this rank's number on the other hosts */
    int hosts, host_rank, host_ranks;
    bool is_even; /* as many ranks on each host */
    bool is_ours; /* we called MPI_Init, so we call MPI_Finalize */
    algorithm algorithm;
    void *segment;
    wk_shared shared;
    wk_exchange all, across;
    wk_transfer transfer; /* under way */
    bool by_messages, is_over;
    stage stage;
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

/* Rank 0's environment, so that all ranks read the same. */
typedef struct wishes {
    char algorithm[32], hosts[32];
} wishes;

static wk_status ask(const mpi_state *s, wishes *asked) {
    const char *name = getenv("WICK_COMM"), *hosts = getenv("WICK_COMM_HOSTS");
    (void)snprintf(asked->algorithm, sizeof asked->algorithm, "%s", name ? name : "");
    (void)snprintf(asked->hosts, sizeof asked->hosts, "%s", hosts && *hosts ? hosts : "1");
    return wk__mpi_check(MPI_Bcast(asked, sizeof *asked, MPI_BYTE, 0, s->comm), "MPI_Bcast");
}

static wk_status read_hosts(const char *text, int *hosts) {
    char *end;
    long number = strtol(text, &end, 10);
    if (*end || number < 1 || number > INT32_MAX)
        return wk_fail(WK_CONFIG, "WICK_COMM_HOSTS is \"%s\", expected a number of hosts, 1 or more", text);
    *hosts = (int)number;
    return WK_OK;
}

/* Who is on this host, and who has this rank's number elsewhere. */
static wk_status find_hosts(mpi_state *s, int rank, int pretended) {
    MPI_Comm real;
    WK_TRY(wk__mpi_check(MPI_Comm_split_type(s->comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &real),
                         "MPI_Comm_split_type"));
    (void)MPI_Comm_rank(real, &s->host_rank);
    (void)MPI_Comm_size(real, &s->host_ranks);
    int host = (int)((int64_t)s->host_rank * pretended / s->host_ranks);
    wk_status status = wk__mpi_check(MPI_Comm_split(real, host, rank, &s->host), "MPI_Comm_split");
    (void)MPI_Comm_free(&real);
    WK_TRY(status);
    (void)MPI_Comm_rank(s->host, &s->host_rank);
    (void)MPI_Comm_size(s->host, &s->host_ranks);
    WK_TRY(wk__mpi_check(MPI_Comm_split(s->comm, s->host_rank, rank, &s->fellows), "MPI_Comm_split"));
    int firsts = s->host_rank == 0, most[2] = { s->host_ranks, -s->host_ranks };
    WK_TRY(wk__mpi_check(MPI_Allreduce(&firsts, &s->hosts, 1, MPI_INT, MPI_SUM, s->comm), "MPI_Allreduce"));
    WK_TRY(wk__mpi_check(MPI_Allreduce(MPI_IN_PLACE, most, 2, MPI_INT, MPI_MAX, s->comm), "MPI_Allreduce"));
    s->is_even = most[0] == -most[1];
    return WK_OK;
}

static wk_status open_segment(mpi_state *s) {
    size_t bytes = wk__shared_size(s->host_ranks);
    s->segment = wk__segment_map(s->host, bytes);
    int good = s->segment && wk__shared_open(&s->shared, s->segment, s->host_rank, s->host_ranks) == WK_OK;
    WK_TRY(wk__mpi_check(MPI_Allreduce(MPI_IN_PLACE, &good, 1, MPI_INT, MPI_MIN, s->comm), "MPI_Allreduce"));
    return good ? WK_OK : wk_fail(WK_UNSUPPORTED, "mpi: the ranks of a host cannot map one memory");
}

/* ---- the choice ---- */

static wk_status read_algorithm(const char *name, algorithm *asked) {
    for (*asked = 0; *asked < ALGORITHMS; (*asked)++)
        if (strcmp(name, algorithm_names[*asked]) == 0) return WK_OK;
    return *name ? wk_fail(WK_CONFIG, "WICK_COMM is \"%s\", expected ring, shared, hierarchical or mpi", name) : WK_OK;
}

static bool needs_segment(algorithm a) {
    return a == SHARED || a == HIERARCHICAL;
}

static algorithm best(const mpi_state *s) {
    if (s->hosts == 1) return SHARED;
    return s->is_even && s->host_ranks > 1 ? HIERARCHICAL : RING;
}

static wk_status check_hosts(const mpi_state *s, algorithm asked) {
    if (!needs_segment(asked) || asked == best(s)) return WK_OK;
    return wk_fail(WK_UNSUPPORTED,
                   asked == SHARED ? "WICK_COMM is shared, but the ranks are on %d hosts"
                                   : "WICK_COMM is hierarchical, which needs several hosts with as many ranks each, at "
                                     "least 2; there are %d hosts (WICK_COMM_HOSTS pretends)",
                   s->hosts);
}

static wk_status choose(mpi_state *s, const char *name) {
    algorithm asked;
    WK_TRY(read_algorithm(name, &asked));
    bool is_free = asked == ALGORITHMS;
    if (s->all.ring.ranks == 1) asked = RING;
    WK_TRY(check_hosts(s, asked));
    s->algorithm = asked == ALGORITHMS ? best(s) : asked;
    if (!needs_segment(s->algorithm) || open_segment(s) == WK_OK) return WK_OK;
    if (!is_free) return wk_error_code();
    wk_clear_error();
    s->algorithm = RING;
    return WK_OK;
}

static wk_status join(mpi_state *s, int *rank, int *ranks) {
    wishes asked;
    int pretended = 1;
    WK_TRY(initialise(s));
    WK_TRY(wk__mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &s->comm), "MPI_Comm_dup"));
    wk__exchange_open(&s->all, s->comm);
    *rank = s->all.ring.rank;
    *ranks = s->all.ring.ranks;
    WK_TRY(ask(s, &asked));
    WK_TRY(read_hosts(asked.hosts, &pretended));
    WK_TRY(find_hosts(s, *rank, pretended));
    wk__exchange_open(&s->across, s->fellows);
    return choose(s, asked.algorithm);
}

static void mpi_close(void *context) {
    mpi_state *s = context;
    MPI_Comm *comms[] = { &s->fellows, &s->host, &s->comm };
    wk__shared_close(&s->shared);
    if (s->segment) (void)munmap(s->segment, wk__shared_size(s->host_ranks));
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

static void begin_spread(mpi_state *s) {
    s->stage = SPREAD;
    wk__shared_begin(&s->shared, &s->transfer, WK_SHARED_SPREAD);
}

/* This rank's part, which is the host's sum now, with its fellows' parts. */
static wk_status begin_across(mpi_state *s) {
    wk_transfer part = s->transfer;
    part.region = NULL;
    wk__shared_part(&s->shared, &part.out, &part.count);
    if (!part.count) return begin_spread(s), WK_OK;
    s->stage = ACROSS;
    return wk__exchange_begin(&s->across, &part);
}

static wk_status mpi_begin(void *context, const wk_transfer *t) {
    mpi_state *s = context;
    s->transfer = *t;
    s->is_over = false;
    s->by_messages = t->kind != WK_ALL_REDUCE || s->algorithm == RING || !wk__combines(t->dtype);
    if (s->by_messages) return wk__exchange_begin(&s->all, t);
    if (s->algorithm == LIBRARY) {
        s->is_over = true;
        return wk__exchange_blocking(&s->all, t);
    }
    wk_transfer within = *t;
    s->stage = WITHIN;
    if (s->algorithm == HIERARCHICAL) within.scale = 1;
    wk__shared_begin(&s->shared, &within, s->algorithm == HIERARCHICAL ? WK_SHARED_REDUCE : wk__shared_choose(&within));
    return WK_OK;
}

static wk_status mpi_test(void *context, bool *done) {
    mpi_state *s = context;
    *done = s->is_over;
    if (s->is_over) return WK_OK;
    if (s->by_messages) return wk__exchange_test(&s->all, done);
    if (s->stage == WITHIN && wk__shared_test(&s->shared)) {
        *done = s->algorithm == SHARED;
        if (!*done) WK_TRY(begin_across(s));
    }
    if (s->stage == ACROSS) {
        bool summed = false;
        WK_TRY(wk__exchange_test(&s->across, &summed));
        if (summed) begin_spread(s);
    }
    if (s->stage == SPREAD) *done = wk__shared_test(&s->shared);
    return WK_OK;
}

static void mpi_abort(void *context, int code) {
    (void)MPI_Abort(((mpi_state *)context)->comm, code);
    _Exit(code); /* MPI_Abort does not return, but nothing promises it */
}

static const char *mpi_algorithm(const void *context) {
    return algorithm_names[((const mpi_state *)context)->algorithm];
}

static wk_status mpi_share(void *context, size_t bytes, wk_region *region) {
    const mpi_state *s = context;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), each = (bytes + page - 1) / page * page;
    if (!needs_segment(s->algorithm)) return WK_OK;
    char *memory = wk__segment_map(s->host, each * (size_t)s->host_ranks);
    int good = memory != NULL;
    wk_status status = wk__mpi_check(MPI_Allreduce(MPI_IN_PLACE, &good, 1, MPI_INT, MPI_MIN, s->comm), "MPI_Allreduce");
    *region = (wk_region){ .memory = memory, .bytes = each, .part = s->host_rank, .parts = s->host_ranks };
    if ((status != WK_OK || !good) && memory) wk__region_release(region);
    return status;
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
