/* exchange.c: collectives among the devices of a group's ranks, by NCCL.
 *
 * The communicator does not block: each call may answer that it is in progress, and is asked again until it is not; so
 * a rank that waits for one that is gone goes on looking, and the group's watchdog can end it.  Collectives run in a
 * stream of their own, which waits for what was put into the compute stream before; their end is an event that is
 * looked at and never waited for.
 */
#include "cuda/cuda.h"
#include "cuda/exchange/nccl.h"

#include <string.h>

typedef enum stage { IDLE, ENQUEUED, RUNNING } stage;

typedef struct exchange {
    const wk_nccl *nccl;
    ncclComm_t comm;
    int device;
    wk_stream *stream;
    stage stage;
    bool joined;
    wk_event *end;
} exchange;

/* ---- answers ---- */

static wk_status refuse(const exchange *e, ncclResult_t result, const char *what) {
    const char *more = e->nccl->get_last_error(e->comm);
    return wk_fail(WK_DEVICE, "NCCL: %s: %s%s%s", what, e->nccl->get_error_string(result), more && *more ? ": " : "",
                   more ? more : "");
}

static wk_status answer(const exchange *e, ncclResult_t result, const char *what) {
    return result == ncclSuccess || result == ncclInProgress ? WK_OK : refuse(e, result, what);
}

/* ---- joining and leaving ---- */

static wk_status make_id(char id[WK_EXCHANGE_ID]) {
    const wk_nccl *nccl = wk__nccl();
    if (!nccl) return wk_error_code();
    ncclUniqueId made;
    const ncclResult_t result = nccl->get_unique_id(&made);
    if (result != ncclSuccess) return wk_fail(WK_DEVICE, "NCCL: no id for a group: %s", nccl->get_error_string(result));
    memcpy(id, made.internal, WK_EXCHANGE_ID);
    return WK_OK;
}

static void leave(void *state) {
    exchange *e = state;
    if (!e) return;
    (void)wk__cuda_enter(e->device);
    if (e->comm && e->stage == IDLE && e->joined) {
        ncclResult_t result = e->nccl->comm_finalize(e->comm);
        while (result == ncclInProgress && e->nccl->comm_get_async_error(e->comm, &result) == ncclSuccess) {}
        (void)e->nccl->comm_destroy(e->comm);
    } else if (e->comm) {
        (void)e->nccl->comm_abort(e->comm);
    }
    wk__cuda_event_destroy(e->end);
    wk__cuda_stream_destroy(e->stream);
    wk_free(e);
}

static wk_status join(void **state, int device, const char id[WK_EXCHANGE_ID], int rank, int ranks) {
    *state = NULL;
    const wk_nccl *nccl = wk__nccl();
    if (!nccl) return wk_error_code();
    WK_TRY(wk__cuda_enter(device));
    exchange *e = wk_alloc(sizeof *e);
    if (!e) return WK_NO_MEMORY;
    *e = (exchange){ .nccl = nccl, .device = device, .stage = ENQUEUED };
    ncclUniqueId group;
    ncclConfig_t config = NCCL_CONFIG_NOT_BLOCKING;
    memcpy(group.internal, id, WK_EXCHANGE_ID);
    wk_status status = wk__cuda_stream_create(device, &e->stream);
    if (status == WK_OK)
        status = answer(e, nccl->comm_init_rank_config(&e->comm, ranks, group, rank, &config), "joining");
    if (status != WK_OK) leave(e);
    *state = status == WK_OK ? e : NULL;
    return status;
}

/* ---- collectives ---- */

/* Truth values and 16-bit integers have no type there: those are moved as bytes, and never summed. */
static bool type_of(int dtype, bool sums, ncclDataType_t *type, size_t *each) {
    *each = 1;
    switch (dtype) {
    case WK_F32: *type = ncclFloat32; return true;
    case WK_F64: *type = ncclFloat64; return true;
    case WK_BF16: *type = ncclBfloat16; return true;
    case WK_F16: *type = ncclFloat16; return true;
    case WK_I64: *type = ncclInt64; return true;
    case WK_I32: *type = ncclInt32; return true;
    case WK_I8: *type = ncclInt8; return true;
    case WK_I16: *each = 2; /* fall through */
    default: *type = ncclUint8; return !sums || dtype == WK_U8;
    }
}

static ncclResult_t call(const exchange *e, const wk_device_transfer *t, ncclDataType_t type, size_t count) {
    static const ncclRedOp_t ops[] = { ncclSum, ncclAvg, ncclMax, ncclMin };
    const cudaStream_t stream = (cudaStream_t)e->stream;
    switch (t->kind) {
    case WK_ALL_REDUCE: return e->nccl->all_reduce(t->in, t->out, count, type, ops[t->combine], e->comm, stream);
    case WK_BROADCAST: return e->nccl->broadcast(t->in, t->out, count, type, t->root, e->comm, stream);
    case WK_ALL_GATHER: return e->nccl->all_gather(t->in, t->out, count, type, e->comm, stream);
    case WK_REDUCE_SCATTER:
        return e->nccl->reduce_scatter(t->in, t->out, count, type, ops[t->combine], e->comm, stream);
    default: return ncclInvalidArgument;
    }
}

static wk_status after_compute(const exchange *e) {
    wk_stream *compute = wk__cuda_stream(e->device);
    wk_event *now = NULL;
    if (!compute) return wk_error_code();
    WK_TRY(wk__cuda_event_record(compute, &now));
    wk_status status = wk__cuda_event_wait(e->stream, now);
    wk__cuda_event_destroy(now);
    return status;
}

static wk_status begin(void *state, const wk_device_transfer *t) {
    exchange *e = state;
    const bool sums = t->kind == WK_ALL_REDUCE || t->kind == WK_REDUCE_SCATTER;
    ncclDataType_t type;
    size_t each;
    if (!type_of(t->dtype, sums, &type, &each))
        return wk_fail(WK_DTYPE, "NCCL has no sums of %s", wk_dtype_name((wk_dtype)t->dtype));
    WK_TRY(wk__cuda_enter(e->device));
    WK_TRY(after_compute(e));
    e->stage = ENQUEUED;
    return answer(e, call(e, t, type, (size_t)t->count * each), "a collective");
}

/* Whether what was begun last is done: the joining, or a collective. */
static wk_status test(void *state, bool *done) {
    exchange *e = state;
    ncclResult_t now = ncclSuccess;
    *done = false;
    WK_TRY(wk__cuda_enter(e->device));
    const ncclResult_t asked = e->nccl->comm_get_async_error(e->comm, &now);
    if (asked != ncclSuccess) return refuse(e, asked, "asking how it goes");
    WK_TRY(answer(e, now, "a rank of the group"));
    if (now == ncclInProgress) return WK_OK;
    if (!e->joined) {
        e->joined = *done = true;
        e->stage = IDLE;
        return WK_OK;
    }
    if (e->stage == ENQUEUED) {
        WK_TRY(wk__cuda_event_record(e->stream, &e->end));
        e->stage = RUNNING;
    }
    const cudaError_t reached = e->stage == RUNNING ? cudaEventQuery((cudaEvent_t)e->end) : cudaSuccess;
    if (reached == cudaErrorNotReady) return WK_OK;
    wk__cuda_event_destroy(e->end);
    e->end = NULL;
    e->stage = IDLE;
    *done = true;
    return wk__cuda_status((int)reached, "a collective");
}

/* By any thread, while another is within: the communicator's calls then return with an error. */
static void abort_all(void *state) {
    const exchange *e = state;
    if (e && e->comm) (void)e->nccl->comm_abort(e->comm);
}

const wk_device_exchange wk__cuda_exchange = { make_id, join, begin, test, leave, abort_all };
