// state.h: what the files of the emulated runtime share: errors, the streams, and how an operation is put on a stream.
//
// An operation runs when it is called, so a stream has no queue: it holds only what is being captured on it.  A fault
// in a kernel is kept for good, as on a device: every later call answers cudaErrorLaunchFailure until cudaDeviceReset.
#ifndef WICK_CUDAEMU_STATE_H
#define WICK_CUDAEMU_STATE_H

#include "guard.h"

#include <cuda_runtime_api.h>

#include <functional>
#include <memory>
#include <vector>

namespace cudaemu {

using Operation = std::function<cudaError_t()>;
struct Recording {
    std::vector<Operation> operations;
    std::vector<void *> memory; // taken while it was captured: the graph's
    bool open = true;           // until the stream where the capture began ends it
    Recording() = default;
    Recording(const Recording &) = delete;
    Recording &operator=(const Recording &) = delete;
    ~Recording(); // in memory.cpp
};

} // namespace cudaemu

struct CUstream_st {
    unsigned magic;
    int device;
    std::shared_ptr<cudaemu::Recording> capture; // the last one; see capturing()
    bool began;                                  // the capture began here and ends here
    bool capturing() const { return capture && capture->open; }
};

namespace cudaemu {

// Remembers the error of a call for cudaGetLastError and returns it; what was found in a kernel goes before.
cudaError_t answer(cudaError_t error);
// Keeps the first fault found, in words.
void keep_fault(const char *text);
bool faulted();
// cudaErrorInvalidResourceHandle for a stream that was destroyed or never was.
cudaError_t check_stream(cudaStream_t stream);
// Whether any stream of the process is being captured: what cannot be captured is refused meanwhile.
bool capturing_somewhere();
int device_count();
int current_device();
size_t memory_limit(); // of each device, in bytes
// The number in an environment variable; `otherwise` where it is not set.
unsigned long long number_from(const char *variable, unsigned long long otherwise);

// Runs the operation, or notes it in the graph that is being captured on the stream.
template <class F> cudaError_t submit(cudaStream_t stream, F operation) {
    if (cudaError_t error = check_stream(stream)) return answer(error);
    if (faulted()) return answer(cudaErrorLaunchFailure);
    if (stream && stream->capturing()) {
        stream->capture->operations.push_back(Operation(operation));
        return cudaSuccess;
    }
    const guard::Open open;
    return answer(operation());
}

} // namespace cudaemu

#endif
