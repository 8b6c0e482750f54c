// nccl.cpp: NCCL among processes of one machine, over shared memory, with the behaviour of a communicator that does not block.
//
// Ranks meet in a segment that the id names.  A call only notes what is to be done and answers ncclInProgress;
// ncclCommGetAsyncError goes on with it as far as it goes without waiting: chunk by chunk each rank puts its part into its slot,
// and takes the others' once all are there.  Sums are in order of rank.  A rank whose process is gone is what NCCL
// calls a remote error, and is named.
#include "cuda/exchange/nccl.h"
#include "guard.h"
#include "state.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

constexpr int most_ranks = 16;
constexpr size_t chunk_bytes = 256 << 10; // of one rank

struct Slot {
    std::atomic<int> pid;
    std::atomic<uint64_t> given, taken; // how many chunks this rank has put there, and taken of all
    alignas(64) unsigned char bytes[chunk_bytes];
};
struct Segment {
    std::atomic<int> joined, aborted;
    Slot slots[most_ranks];
};

enum class Kind { none, all_reduce, broadcast, all_gather, reduce_scatter };

struct Job {
    Kind kind = Kind::none;
    const char *in;
    char *out;
    size_t count, size, done; // elements of a rank's part, bytes of one, elements that are through
    ncclDataType_t type;
    ncclRedOp_t op;
    int root;
};

} // namespace

struct ncclComm {
    Segment *segment;
    char name[64];
    int rank, ranks;
    uint64_t chunks; // that are through
    bool joined, given;
    std::atomic<bool> aborted;
    Job job;
    pollfd peers[most_ranks]; // their processes, once looked at; readable when one has ended
    char said[160];
};

namespace {

size_t size_of(ncclDataType_t type) {
    switch (type) {
    case ncclInt8:
    case ncclUint8: return 1;
    case ncclFloat16:
    case ncclBfloat16: return 2;
    case ncclInt32:
    case ncclFloat32: return 4;
    default: return 8;
    }
}

// ---- combining

template <class T> T combined(T a, T b, ncclRedOp_t op) {
    if (op == ncclMax) return a > b ? a : b;
    if (op == ncclMin) return a < b ? a : b;
    return (T)(a + b);
}

// Elements [from, from + count) of what every rank has given, in order of rank; C is the type that is computed in.
template <class T, class C, class Get, class Put>
void combine(const ncclComm &c, char *out, size_t from, size_t count, Get get, Put put) {
    for (size_t i = 0; i < count; i++) {
        auto of = [&](int rank) { return get(reinterpret_cast<const T *>(c.segment->slots[rank].bytes)[from + i]); };
        C all = of(0);
        for (int rank = 1; rank < c.ranks; rank++) all = combined<C>(all, of(rank), c.job.op);
        if (c.job.op == ncclAvg) all = (C)(all * (C)(1.0 / c.ranks));
        put(reinterpret_cast<T *>(out) + i, all);
    }
}
template <class T> void combine_plain(const ncclComm &c, char *out, size_t from, size_t count) {
    combine<T, T>(c, out, from, count, [](T x) { return x; }, [](T *to, T x) { *to = x; });
}

void combine_any(const ncclComm &c, char *out, size_t from, size_t count) {
    switch (c.job.type) {
    case ncclInt8: return combine_plain<int8_t>(c, out, from, count);
    case ncclUint8: return combine_plain<uint8_t>(c, out, from, count);
    case ncclInt32: return combine_plain<int32_t>(c, out, from, count);
    case ncclInt64: return combine_plain<int64_t>(c, out, from, count);
    case ncclFloat32: return combine_plain<float>(c, out, from, count);
    case ncclFloat64: return combine_plain<double>(c, out, from, count);
    case ncclFloat16:
        return combine<__half, float>(
            c, out, from, count, [](__half x) { return __half2float(x); },
            [](__half *to, float x) { *to = __float2half_rn(x); });
    case ncclBfloat16:
        return combine<__nv_bfloat16, float>(
            c, out, from, count, [](__nv_bfloat16 x) { return __bfloat162float(x); },
            [](__nv_bfloat16 *to, float x) { *to = __float2bfloat16_rn(x); });
    }
}

// ---- chunks

// Elements of a rank's part that go at once: of reduce_scatter a slot holds them for every rank.
size_t chunk_of(const ncclComm &c) {
    const size_t fits = chunk_bytes / c.job.size / (c.job.kind == Kind::reduce_scatter ? (size_t)c.ranks : 1);
    const size_t left = c.job.count - c.job.done;
    return left < fits ? left : fits;
}

void give(ncclComm &c) {
    const cudaemu::guard::Open open;
    const Job &j = c.job;
    unsigned char *slot = c.segment->slots[c.rank].bytes;
    const size_t n = chunk_of(c), bytes = n * j.size;
    for (int part = 0; part < (j.kind == Kind::reduce_scatter ? c.ranks : 1); part++)
        std::memcpy(slot + (size_t)part * bytes, j.in + ((size_t)part * j.count + j.done) * j.size, bytes);
    c.segment->slots[c.rank].given.store(c.chunks + 1, std::memory_order_release);
}

void take(ncclComm &c) {
    const cudaemu::guard::Open open;
    Job &j = c.job;
    const size_t n = chunk_of(c), bytes = n * j.size;
    char *out = j.out + j.done * j.size;
    if (j.kind == Kind::all_reduce) combine_any(c, out, 0, n);
    if (j.kind == Kind::reduce_scatter) combine_any(c, out, (size_t)c.rank * n, n);
    if (j.kind == Kind::broadcast) std::memcpy(out, c.segment->slots[j.root].bytes, bytes);
    for (int rank = 0; j.kind == Kind::all_gather && rank < c.ranks; rank++)
        std::memcpy(j.out + ((size_t)rank * j.count + j.done) * j.size, c.segment->slots[rank].bytes, bytes);
    c.segment->slots[c.rank].taken.store(c.chunks + 1, std::memory_order_release);
    c.chunks++;
    c.given = false;
    j.done += n;
    if (j.done == j.count) j.kind = Kind::none;
}

bool all_have(const ncclComm &c, std::atomic<uint64_t> Slot::*what, uint64_t chunks) {
    for (int rank = 0; rank < c.ranks; rank++)
        if ((c.segment->slots[rank].*what).load(std::memory_order_acquire) < chunks) return false;
    return true;
}

// ---- progress

// One that nobody has waited for yet has ended, too: kill() would still find it.
bool has_ended(ncclComm &c, int rank) {
    const int pid = c.segment->slots[rank].pid;
    pollfd &peer = c.peers[rank];
    if (!pid) return false;
    if (peer.events == 0) {
        peer.fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
        if (peer.fd < 0) return errno == ESRCH;
        peer.events = POLLIN;
    }
    return poll(&peer, 1, 0) == 1;
}

ncclResult_t look_at_peers(ncclComm &c) {
    if (c.aborted || c.segment->aborted) {
        std::snprintf(c.said, sizeof c.said, "the communicator was aborted");
        return ncclRemoteError;
    }
    for (int rank = 0; rank < c.ranks; rank++) {
        if (!has_ended(c, rank)) continue;
        std::snprintf(c.said, sizeof c.said, "rank %d of %d (process %d) is gone", rank, c.ranks,
                      c.segment->slots[rank].pid.load());
        return ncclRemoteError;
    }
    return ncclInProgress;
}

ncclResult_t progress(ncclComm &c) {
    if (!c.joined) {
        if (c.segment->joined < c.ranks) return look_at_peers(c);
        c.joined = true;
        if (c.rank == 0) shm_unlink(c.name);
    }
    while (c.job.kind != Kind::none) {
        // A slot is free again when all have taken what lay in it.
        if (!c.given && !all_have(c, &Slot::taken, c.chunks)) return look_at_peers(c);
        if (!c.given) give(c), c.given = true;
        if (!all_have(c, &Slot::given, c.chunks + 1)) return look_at_peers(c);
        take(c);
    }
    return ncclSuccess;
}

ncclResult_t start(ncclComm_t c, Job job, cudaStream_t stream) {
    if (!c || !c->joined || c->job.kind != Kind::none || cudaemu::check_stream(stream)) return ncclInvalidArgument;
    if (stream && stream->capturing()) return ncclInvalidArgument;
    job.size = size_of(job.type);
    job.done = 0;
    if (job.count == 0) return ncclSuccess;
    c->job = job;
    return ncclInProgress;
}

// ---- the functions

ncclResult_t get_unique_id(ncclUniqueId *id) {
    static std::atomic<int> number{ 0 };
    std::memset(id, 0, sizeof *id);
    std::snprintf(id->internal, sizeof id->internal, "/wick-nccl-%d-%d", (int)getpid(), number++);
    return ncclSuccess;
}

ncclResult_t comm_init_rank_config(ncclComm_t *comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t *config) {
    *comm = nullptr;
    if (config->blocking || ranks > most_ranks || rank < 0 || rank >= ranks) return ncclInvalidArgument;
    ncclComm *c = new (std::nothrow) ncclComm{};
    if (!c) return ncclSystemError;
    std::snprintf(c->name, sizeof c->name, "%.63s", id.internal);
    c->rank = rank, c->ranks = ranks;
    const int file = shm_open(c->name, O_RDWR | O_CREAT, 0600);
    void *memory = MAP_FAILED;
    if (file >= 0 && ftruncate(file, sizeof(Segment)) == 0)
        memory = mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0) ::close(file);
    if (memory == MAP_FAILED) {
        delete c;
        return ncclSystemError;
    }
    c->segment = static_cast<Segment *>(memory); // new memory is zeros
    c->segment->slots[rank].pid = (int)getpid();
    c->segment->joined++;
    *comm = c;
    return ncclInProgress;
}

ncclResult_t comm_get_async_error(ncclComm_t c, ncclResult_t *state) {
    *state = progress(*c);
    return ncclSuccess;
}

ncclResult_t comm_finalize(ncclComm_t c) {
    return c->job.kind == Kind::none ? ncclSuccess : ncclInProgress;
}

ncclResult_t comm_destroy(ncclComm_t c) {
    if (c->rank == 0) shm_unlink(c->name); // where not all have joined
    munmap(c->segment, sizeof(Segment));
    for (const pollfd &peer : c->peers)
        if (peer.events) ::close(peer.fd);
    delete c;
    return ncclSuccess;
}

// What runs ends with an error, here and in the others; the memory stays, for a thread may be within.
ncclResult_t comm_abort(ncclComm_t c) {
    c->aborted = true;
    c->segment->aborted = 1;
    shm_unlink(c->name);
    return ncclSuccess;
}

ncclResult_t all_reduce(const void *in, void *out, size_t count, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,
                        cudaStream_t stream) {
    return start(comm, Job{ Kind::all_reduce, static_cast<const char *>(in), static_cast<char *>(out), count, 0, 0, type, op, 0 },
                 stream);
}

ncclResult_t broadcast(const void *in, void *out, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                       cudaStream_t stream) {
    return start(
        comm, Job{ Kind::broadcast, static_cast<const char *>(in), static_cast<char *>(out), count, 0, 0, type, ncclSum, root },
        stream);
}

ncclResult_t all_gather(const void *in, void *out, size_t count, ncclDataType_t type, ncclComm_t comm, cudaStream_t stream) {
    return start(
        comm, Job{ Kind::all_gather, static_cast<const char *>(in), static_cast<char *>(out), count, 0, 0, type, ncclSum, 0 },
        stream);
}

ncclResult_t reduce_scatter(const void *in, void *out, size_t count, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm,
                            cudaStream_t stream) {
    return start(
        comm, Job{ Kind::reduce_scatter, static_cast<const char *>(in), static_cast<char *>(out), count, 0, 0, type, op, 0 },
        stream);
}

const char *get_error_string(ncclResult_t result) {
    switch (result) {
    case ncclSuccess: return "no error";
    case ncclInProgress: return "in progress";
    case ncclRemoteError: return "remote process exited or there was a network error";
    case ncclInvalidArgument: return "invalid argument";
    default: return "unhandled system error";
    }
}

const char *get_last_error(ncclComm_t comm) {
    return comm ? comm->said : "";
}

} // namespace

extern "C" const wk_nccl *wk__nccl_emulated(void) {
    static const wk_nccl table = {
        get_unique_id, comm_init_rank_config, comm_get_async_error, comm_finalize, comm_destroy,
        comm_abort,    all_reduce,            broadcast,            all_gather,    reduce_scatter,
        get_error_string, get_last_error,
    };
    return &table;
}
