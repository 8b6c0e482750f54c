// stream.cpp: streams, events, and graphs captured from streams.
//
// As every operation is finished when its call returns, streams are always idle and events always reached; what remains
// are the rules: handles that live, captures that begin and end on one stream and spread through events, and calls that
// may not be made while something is captured.  A graph is the list of operations in the order of their calls, which is
// one of the orders that the edges allow.
#include "state.h"

#include <atomic>
#include <chrono>
#include <new>

struct CUevent_st {
    unsigned magic;
    bool timed;
    std::chrono::steady_clock::time_point at;
    std::shared_ptr<cudaemu::Recording> capture; // recorded in a captured stream
};
struct CUgraph_st {
    std::shared_ptr<cudaemu::Recording> operations;
};
struct CUgraphExec_st {
    std::shared_ptr<cudaemu::Recording> operations;
};

namespace cudaemu {

static constexpr unsigned live_stream = 0x5354524Du, live_event = 0x45564E54u;
static std::atomic<int> captures{ 0 };

cudaError_t check_stream(cudaStream_t stream) {
    return stream && stream->magic != live_stream ? cudaErrorInvalidResourceHandle : cudaSuccess;
}

bool capturing_somewhere() {
    return captures.load(std::memory_order_relaxed) > 0;
}

static bool dead(cudaEvent_t event) {
    return !event || event->magic != live_event;
}

} // namespace cudaemu

using namespace cudaemu;

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags) {
    *stream = nullptr;
    if (flags & ~(unsigned)cudaStreamNonBlocking) return answer(cudaErrorInvalidValue);
    *stream = new (std::nothrow) CUstream_st{ live_stream, current_device(), nullptr, false };
    return answer(*stream ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream) {
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned int flags, int priority) {
    (void)priority;
    return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    if (!stream || check_stream(stream)) return answer(cudaErrorInvalidResourceHandle);
    if (stream->began) stream->capture->open = false, captures--;
    stream->magic = 0;
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (cudaError_t error = check_stream(stream)) return answer(error);
    return answer(stream && stream->capturing() ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    return cudaStreamSynchronize(stream);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags) {
    if (check_stream(stream) || dead(event)) return answer(cudaErrorInvalidResourceHandle);
    if (flags) return answer(cudaErrorInvalidValue);
    if (!event->capture || !event->capture->open) return answer(cudaSuccess);
    if (!stream || (stream->capturing() && stream->capture != event->capture))
        return answer(cudaErrorStreamCaptureInvalidated);
    stream->capture = event->capture;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags) {
    *event = new (std::nothrow) CUevent_st{ live_event, !(flags & cudaEventDisableTiming), {}, nullptr };
    return answer(*event ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaEventCreate(cudaEvent_t *event) {
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    if (dead(event)) return answer(cudaErrorInvalidResourceHandle);
    event->magic = 0;
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    if (dead(event) || check_stream(stream)) return answer(cudaErrorInvalidResourceHandle);
    event->capture = stream && stream->capturing() ? stream->capture : nullptr;
    if (event->timed) event->at = std::chrono::steady_clock::now();
    return answer(cudaSuccess);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    if (dead(event)) return answer(cudaErrorInvalidResourceHandle);
    return answer(event->capture && event->capture->open ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    return cudaEventQuery(event);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t from, cudaEvent_t to) {
    if (dead(from) || dead(to) || !from->timed || !to->timed) return answer(cudaErrorInvalidResourceHandle);
    *milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
    return answer(cudaSuccess);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
    (void)mode;
    if (!stream || check_stream(stream)) return answer(cudaErrorInvalidResourceHandle);
    if (stream->capturing()) return answer(cudaErrorIllegalState);
    stream->capture = std::make_shared<Recording>();
    stream->began = true;
    captures++;
    return answer(cudaSuccess);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    *graph = nullptr;
    if (!stream || check_stream(stream)) return answer(cudaErrorInvalidResourceHandle);
    if (!stream->began) return answer(cudaErrorIllegalState);
    stream->capture->open = false;
    *graph = new (std::nothrow) CUgraph_st{ std::move(stream->capture) };
    stream->capture = nullptr;
    stream->began = false;
    captures--;
    return answer(*graph ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status) {
    if (cudaError_t error = check_stream(stream)) return answer(error);
    *status = stream && stream->capturing() ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags) {
    if (!graph || flags) return answer(cudaErrorInvalidValue);
    *executable = new (std::nothrow) CUgraphExec_st{ graph->operations };
    return answer(*executable ? cudaSuccess : cudaErrorMemoryAllocation);
}

// A node stands for an operation, whatever it is: memory that a graph takes is in none.
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
    if (!graph) return answer(cudaErrorInvalidValue);
    const size_t all = graph->operations->operations.size();
    for (size_t i = 0; nodes && i < *count && i < all; i++)
        nodes[i] = reinterpret_cast<cudaGraphNode_t>(&graph->operations->operations[i]);
    *count = nodes && *count < all ? *count : all;
    return cudaSuccess;
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, enum cudaGraphNodeType *type) {
    *type = cudaGraphNodeTypeKernel;
    return answer(node ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    if (!executable) return answer(cudaErrorInvalidValue);
    std::shared_ptr<Recording> operations = executable->operations;
    return submit(stream, [operations] {
        for (const Operation &operation : operations->operations)
            if (cudaError_t error = operation()) return error;
        return cudaSuccess;
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return answer(graph ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
    delete executable;
    return answer(executable ? cudaSuccess : cudaErrorInvalidValue);
}
}
