/* mpi.c: the transport over Open MPI: the plugin wick_mpi.so.
 *
 * Non-blocking collectives, tested by the group's thread.  Open MPI makes no progress by itself, and its blocking calls
 * poll without rest: on a machine whose cores all compute, a rank that waits in one takes the core from its own
 * training. Large sums, which is what gradients are, go round a ring of sends and receives instead (ring.c).
 */
#include "dist/mpi/ring.h"
#include "dist/transport.h"

#include <mpi.h>
#include <pthread.h>
#include <stdlib.h>

typedef struct mpi_state {
    MPI_Comm comm;
    MPI_Request request;
    bool is_ours;         /* we called MPI_Init, so we call MPI_Finalize */
    wk_transfer transfer; /* under way */
    bool in_ring;
    wk_ring ring;
} mpi_state;

wk_status wk__mpi_check(int code, const char *what) {
    if (code == MPI_SUCCESS) return WK_OK;
    char text[MPI_MAX_ERROR_STRING] = "";
    int size = 0;
    (void)MPI_Error_string(code, text, &size);
    return wk_fail(WK_RANK_FAILED, "mpi: %s failed: %s", what, text);
}

static wk_status mpi_open(void **out, int *rank, int *ranks) {
    int is_initialised = 0, provided = 0;
    mpi_state *state = wk_alloc(sizeof *state);
    if (!state) return WK_NO_MEMORY;
    (void)MPI_Initialized(&is_initialised);
    if (!is_initialised) {
        /* The watchdog may call MPI_Abort beside the group's thread. */
        if (MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided) != MPI_SUCCESS) {
            wk_free(state);
            return wk_fail(WK_RANK_FAILED, "mpi: MPI_Init failed; was this program started by mpirun?");
        }
        state->is_ours = true;
    } else {
        (void)MPI_Query_thread(&provided);
    }
    wk_status status = WK_OK;
    if (provided < MPI_THREAD_MULTIPLE)
        status =
            wk_fail(WK_UNSUPPORTED, "mpi: the library offers thread level %d, MPI_THREAD_MULTIPLE is needed", provided);
    if (status == WK_OK) status = wk__mpi_check(MPI_Comm_dup(MPI_COMM_WORLD, &state->comm), "MPI_Comm_dup");
    if (status == WK_OK) {
        (void)MPI_Comm_set_errhandler(state->comm, MPI_ERRORS_RETURN);
        (void)MPI_Comm_rank(state->comm, rank);
        (void)MPI_Comm_size(state->comm, ranks);
        state->ring = (wk_ring){ .comm = state->comm, .rank = *rank, .ranks = *ranks };
        *out = state;
        return WK_OK;
    }
    if (state->is_ours) (void)MPI_Finalize();
    wk_free(state);
    return status;
}

static bool type_of(wk_dtype dtype, MPI_Datatype *type) {
    switch (dtype) {
    case WK_F32: *type = MPI_FLOAT; return true;
    case WK_F64: *type = MPI_DOUBLE; return true;
    case WK_I64: *type = MPI_INT64_T; return true;
    case WK_I32: *type = MPI_INT32_T; return true;
    case WK_I16: *type = MPI_INT16_T; return true;
    case WK_I8: *type = MPI_INT8_T; return true;
    case WK_U8:
    case WK_BOOL: *type = MPI_UINT8_T; return true;
    default: return false;
    }
}

static wk_status mpi_begin(void *context, const wk_transfer *t) {
    mpi_state *s = context;
    s->transfer = *t;
    s->in_ring = wk__ring_takes(&s->ring, t);
    if (s->in_ring) return wk__ring_begin(&s->ring, t);
    MPI_Datatype type = MPI_BYTE;
    int64_t count = t->count;
    bool moves = t->kind == WK_BROADCAST || t->kind == WK_ALL_GATHER;
    if (moves)
        count *= (int64_t)wk_dtype_size(t->dtype);
    else if (t->kind != WK_BARRIER && !type_of(t->dtype, &type))
        return wk_fail(WK_DTYPE, "mpi: %s cannot be reduced; convert to f32", wk_dtype_name(t->dtype));
    if (count > INT32_MAX)
        return wk_fail(WK_UNSUPPORTED, "mpi: a transfer of %lld elements, at most 2^31 - 1", (long long)count);
    MPI_Op op = t->op == WK_REDUCE_MAX ? MPI_MAX : t->op == WK_REDUCE_MIN ? MPI_MIN : MPI_SUM;
    int n = (int)count;
    switch (t->kind) {
    case WK_ALL_REDUCE:
        return wk__mpi_check(MPI_Iallreduce(MPI_IN_PLACE, t->out, n, type, op, s->comm, &s->request), "MPI_Iallreduce");
    case WK_BROADCAST: return wk__mpi_check(MPI_Ibcast(t->out, n, type, t->root, s->comm, &s->request), "MPI_Ibcast");
    case WK_ALL_GATHER:
        return wk__mpi_check(MPI_Iallgather(t->in, n, type, t->out, n, type, s->comm, &s->request), "MPI_Iallgather");
    case WK_REDUCE_SCATTER:
        return wk__mpi_check(MPI_Ireduce_scatter_block(t->in, t->out, n, type, op, s->comm, &s->request),
                             "MPI_Ireduce_scatter_block");
    default: return wk__mpi_check(MPI_Ibarrier(s->comm, &s->request), "MPI_Ibarrier");
    }
}

static wk_status mpi_test(void *context, bool *done) {
    mpi_state *s = context;
    if (s->in_ring) return wk__ring_test(&s->ring, done);
    int flag = 0;
    WK_TRY(wk__mpi_check(MPI_Test(&s->request, &flag, MPI_STATUS_IGNORE), "MPI_Test"));
    *done = flag != 0;
    const wk_transfer *t = &s->transfer;
    bool reduces = t->kind == WK_ALL_REDUCE || t->kind == WK_REDUCE_SCATTER;
    if (*done && reduces && t->scale != 1) wk__scale(t->out, t->count, t->dtype, t->scale);
    return WK_OK;
}

static void mpi_close(void *context) {
    mpi_state *s = context;
    wk_free(s->ring.arriving);
    (void)MPI_Comm_free(&s->comm);
    if (s->is_ours) (void)MPI_Finalize();
    wk_free(s);
}

static void mpi_abort(void *context, int code) {
    (void)MPI_Abort(((mpi_state *)context)->comm, code);
    _Exit(code); /* MPI_Abort does not return, but nothing promises it */
}

static const wk_transport transport = {
    WK_TRANSPORT_API, sizeof(wk_transport), "mpi", mpi_open, mpi_begin, mpi_test, mpi_close, mpi_abort
};

WK_API const wk_transport *wk_transport_plugin(void);
const wk_transport *wk_transport_plugin(void) {
    return &transport;
}
