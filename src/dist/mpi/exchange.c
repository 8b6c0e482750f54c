/* exchange.c: collectives as Open MPI's non-blocking ones; large sums, which is what gradients are, go round a ring of
 * sends and receives instead (ring.c).
 */
#include "dist/mpi/exchange.h"

#include "dist/sum.h"

wk_status wk__mpi_check(int code, const char *what) {
    if (code == MPI_SUCCESS) return WK_OK;
    char text[MPI_MAX_ERROR_STRING] = "";
    int size = 0;
    (void)MPI_Error_string(code, text, &size);
    return wk_fail(WK_RANK_FAILED, "mpi: %s failed: %s", what, text);
}

void wk__exchange_open(wk_exchange *e, MPI_Comm comm) {
    *e = (wk_exchange){ .comm = comm, .ring = { .comm = comm } };
    (void)MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    (void)MPI_Comm_rank(comm, &e->ring.rank);
    (void)MPI_Comm_size(comm, &e->ring.ranks);
}

void wk__exchange_close(wk_exchange *e) {
    wk_free(e->ring.arriving);
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

/* What MPI is to be told of a transfer. */
typedef struct terms {
    int count;
    MPI_Datatype type;
    MPI_Op op;
} terms;

static wk_status terms_of(const wk_transfer *t, terms *of) {
    int64_t count = t->count;
    of->type = MPI_BYTE;
    if (t->kind == WK_BROADCAST || t->kind == WK_ALL_GATHER)
        count *= (int64_t)wk_dtype_size(t->dtype);
    else if (t->kind != WK_BARRIER && !type_of(t->dtype, &of->type))
        return wk_fail(WK_DTYPE, "mpi: %s cannot be reduced; convert to f32", wk_dtype_name(t->dtype));
    if (count > INT32_MAX)
        return wk_fail(WK_UNSUPPORTED, "mpi: a transfer of %lld elements, at most 2^31 - 1", (long long)count);
    of->count = (int)count;
    of->op = t->op == WK_REDUCE_MAX ? MPI_MAX : t->op == WK_REDUCE_MIN ? MPI_MIN : MPI_SUM;
    return WK_OK;
}

static void end(const wk_transfer *t) {
    bool reduces = t->kind == WK_ALL_REDUCE || t->kind == WK_REDUCE_SCATTER;
    if (reduces && t->scale != 1) wk__scale(t->out, t->count, t->dtype, t->scale);
}

wk_status wk__exchange_begin(wk_exchange *e, const wk_transfer *t) {
    e->transfer = *t;
    e->in_ring = wk__ring_takes(&e->ring, t);
    if (e->in_ring) return wk__ring_begin(&e->ring, t);
    terms of = { 0 };
    WK_TRY(terms_of(t, &of));
    int n = of.count;
    switch (t->kind) {
    case WK_ALL_REDUCE:
        return wk__mpi_check(MPI_Iallreduce(MPI_IN_PLACE, t->out, n, of.type, of.op, e->comm, &e->request),
                             "MPI_Iallreduce");
    case WK_BROADCAST:
        return wk__mpi_check(MPI_Ibcast(t->out, n, of.type, t->root, e->comm, &e->request), "MPI_Ibcast");
    case WK_ALL_GATHER:
        return wk__mpi_check(MPI_Iallgather(t->in, n, of.type, t->out, n, of.type, e->comm, &e->request),
                             "MPI_Iallgather");
    case WK_REDUCE_SCATTER:
        return wk__mpi_check(MPI_Ireduce_scatter_block(t->in, t->out, n, of.type, of.op, e->comm, &e->request),
                             "MPI_Ireduce_scatter_block");
    default: return wk__mpi_check(MPI_Ibarrier(e->comm, &e->request), "MPI_Ibarrier");
    }
}

wk_status wk__exchange_blocking(wk_exchange *e, const wk_transfer *t) {
    terms of = { 0 };
    WK_TRY(terms_of(t, &of));
    WK_TRY(wk__mpi_check(MPI_Allreduce(MPI_IN_PLACE, t->out, of.count, of.type, of.op, e->comm), "MPI_Allreduce"));
    end(t);
    return WK_OK;
}

wk_status wk__exchange_test(wk_exchange *e, bool *done) {
    if (e->in_ring) return wk__ring_test(&e->ring, done);
    int flag = 0;
    WK_TRY(wk__mpi_check(MPI_Test(&e->request, &flag, MPI_STATUS_IGNORE), "MPI_Test"));
    *done = flag != 0;
    if (*done) end(&e->transfer);
    return WK_OK;
}
