// memory.cpp: memory of the emulated devices.
//
// It is the host's, so a kernel and a debugger see the same addresses.  Each allocation begins as 0xFF (NaN in every
// float type, -1 in every integer) and lies between two red zones that are looked at when it is freed; under the
// address sanitizer they are poisoned as well.  A copy says which of its ends lies on a device, and is refused where
// that is not so.
//
//   WICK_CUDAEMU_GUARD=1  the host that touches it dies (guard.h)
//   WICK_CUDAEMU_FAIL=k   the k-th allocation since the variable took this value fails
#include "guard.h"
#include "sanitizer.h"
#include "state.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

struct CUmemPoolHandle_st {
    unsigned long long threshold, most;
};

namespace cudaemu {

static constexpr size_t red_zone = 256;
static constexpr unsigned char red = 0xFE; // huge or NaN in every float type, so that reading it shows too

struct Allocation {
    size_t bytes;
    int device; // -1: page-locked memory of the host
};

static std::mutex lock;
static std::map<uintptr_t, Allocation> allocations;
static std::map<int, size_t> used;
static std::map<int, CUmemPoolHandle_st> pools;

static size_t rounded(size_t bytes) {
    return (bytes + 255) & ~(size_t)255;
}

// Counts down WICK_CUDAEMU_FAIL.
static bool must_fail() {
    static std::string seen;
    static unsigned long long left;
    const char *text = std::getenv("WICK_CUDAEMU_FAIL");
    if (seen != (text ? text : "")) {
        seen = text ? text : "";
        left = number_from("WICK_CUDAEMU_FAIL", 0);
    }
    return left > 0 && --left == 0;
}

static char *take_block(size_t bytes, int device) {
    return static_cast<char *>(device >= 0 && guard::on() ? guard::take(bytes) : std::aligned_alloc(256, bytes));
}

static void give_block(char *block, size_t bytes, int device) {
    if (device >= 0 && guard::on())
        guard::give(block, bytes);
    else
        std::free(block);
}

static cudaError_t allocate(void **memory, size_t bytes, int device) {
    *memory = nullptr;
    if (bytes == 0) return cudaSuccess;
    std::lock_guard<std::mutex> hold(lock);
    if (must_fail()) return cudaErrorMemoryAllocation;
    if (device >= 0 && used[device] + rounded(bytes) > memory_limit()) return cudaErrorMemoryAllocation;
    size_t whole = rounded(bytes) + 2 * red_zone;
    const guard::Open open;
    char *block = whole < bytes ? nullptr : take_block(whole, device);
    if (!block) return cudaErrorMemoryAllocation;
    char *at = block + red_zone;
    std::memset(block, red, red_zone);
    std::memset(at, 0xFF, bytes);
    std::memset(at + bytes, red, whole - red_zone - bytes);
    poison(block, red_zone);
    poison(at + bytes, whole - red_zone - bytes);
    allocations[(uintptr_t)at] = Allocation{ bytes, device };
    if (device >= 0) used[device] += rounded(bytes);
    if (device >= 0 && used[device] > pools[device].most) pools[device].most = used[device];
    *memory = at;
    return cudaSuccess;
}

// The first byte of a red zone that was written, as an offset from the allocation's start.
static bool find_damage(const unsigned char *at, size_t bytes, ptrdiff_t *offset) {
    for (ptrdiff_t i = -(ptrdiff_t)red_zone; i < (ptrdiff_t)(rounded(bytes) + red_zone); i++) {
        if (i == 0) i = (ptrdiff_t)bytes;
        if (at[i] == red) continue;
        *offset = i;
        return true;
    }
    return false;
}

static void check_red_zones(unsigned char *at, size_t bytes) {
    ptrdiff_t offset;
    unpoison(at - red_zone, rounded(bytes) + 2 * red_zone);
    if (!find_damage(at, bytes, &offset)) return;
    char text[160];
    std::snprintf(text, sizeof text, "an allocation of %zu bytes was written at byte %td, outside of it", bytes,
                  offset);
    keep_fault(text);
}

static cudaError_t release(void *memory, bool of_host) {
    if (!memory) return cudaSuccess;
    std::lock_guard<std::mutex> hold(lock);
    auto found = allocations.find((uintptr_t)memory);
    if (found == allocations.end() || (found->second.device < 0) != of_host) return cudaErrorInvalidValue;
    Allocation freed = found->second;
    allocations.erase(found);
    if (freed.device >= 0) used[freed.device] -= rounded(freed.bytes);
    const guard::Open open;
    check_red_zones(static_cast<unsigned char *>(memory), freed.bytes);
    give_block(static_cast<char *>(memory) - red_zone, rounded(freed.bytes) + 2 * red_zone, freed.device);
    return cudaSuccess;
}

// The allocation in which an address lies.
static bool find(const void *memory, uintptr_t *start, Allocation *in) {
    uintptr_t address = (uintptr_t)memory;
    auto next = allocations.upper_bound(address);
    if (next == allocations.begin()) return false;
    --next;
    if (address - next->first >= next->second.bytes) return false;
    *start = next->first;
    *in = next->second;
    return true;
}

bool device_allocation(const void *memory, uintptr_t *start, size_t *bytes) {
    std::lock_guard<std::mutex> hold(lock);
    Allocation in;
    if (!find(memory, start, &in) || in.device < 0) return false;
    *bytes = in.bytes;
    return true;
}

enum class Place { host, device, astride };

static Place place_of(const void *memory, size_t bytes) {
    uintptr_t start;
    size_t size;
    if (!device_allocation(memory, &start, &size)) return Place::host;
    return (uintptr_t)memory - start + bytes <= size ? Place::device : Place::astride;
}

// Whether both ends lie where the copy says.
static cudaError_t check_copy(const void *target, const void *source, size_t bytes, cudaMemcpyKind kind) {
    Place to = place_of(target, bytes), from = place_of(source, bytes);
    if (to == Place::astride || from == Place::astride) return cudaErrorInvalidValue;
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if ((unsigned)kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
    if (kind == cudaMemcpyDefault) return cudaSuccess;
    return to_device == (to == Place::device) && from_device == (from == Place::device) ? cudaSuccess
                                                                                        : cudaErrorInvalidValue;
}

static cudaError_t copy(void *target, const void *source, size_t bytes, cudaMemcpyKind kind) {
    if (bytes == 0) return cudaSuccess;
    if (cudaError_t error = check_copy(target, source, bytes, kind)) return error;
    std::memmove(target, source, bytes);
    return cudaSuccess;
}

static cudaError_t set(void *memory, int value, size_t bytes) {
    if (bytes == 0) return cudaSuccess;
    if (place_of(memory, bytes) != Place::device) return cudaErrorInvalidValue;
    std::memset(memory, value, bytes);
    return cudaSuccess;
}

// What is taken in a capture keeps its address as long as the graph; each launch finds it unset, and unset it again.
static cudaError_t allocate_in(Recording &capture, void **memory, size_t bytes) {
    if (cudaError_t error = allocate(memory, bytes, current_device())) return error;
    if (!*memory) return cudaSuccess;
    capture.memory.push_back(*memory);
    capture.operations.push_back([at = *memory, bytes] { return set(at, 0xFF, bytes); });
    return cudaSuccess;
}

static cudaError_t release_in(Recording &capture, void *memory) {
    uintptr_t start;
    size_t bytes;
    if (!memory) return cudaSuccess;
    const bool own = std::find(capture.memory.begin(), capture.memory.end(), memory) != capture.memory.end();
    if (!own || !device_allocation(memory, &start, &bytes)) return cudaErrorInvalidValue;
    capture.operations.push_back([memory, bytes] { return set(memory, 0xFF, bytes); });
    return cudaSuccess;
}

Recording::~Recording() {
    for (void *at : memory) (void)release(at, false);
}

} // namespace cudaemu

using namespace cudaemu;

extern "C" {

cudaError_t cudaMalloc(void **memory, size_t bytes) {
    if (capturing_somewhere()) return answer(cudaErrorStreamCaptureUnsupported);
    return answer(faulted() ? cudaErrorLaunchFailure : allocate(memory, bytes, current_device()));
}

cudaError_t cudaFree(void *memory) {
    if (capturing_somewhere()) return answer(cudaErrorStreamCaptureUnsupported);
    return answer(release(memory, false));
}

cudaError_t cudaMallocAsync(void **memory, size_t bytes, cudaStream_t stream) {
    if (cudaError_t error = check_stream(stream)) return answer(error);
    if (faulted()) return answer(cudaErrorLaunchFailure);
    if (stream && stream->capturing()) return answer(allocate_in(*stream->capture, memory, bytes));
    return answer(allocate(memory, bytes, current_device()));
}

cudaError_t cudaFreeAsync(void *memory, cudaStream_t stream) {
    if (cudaError_t error = check_stream(stream)) return answer(error);
    if (stream && stream->capturing()) return answer(release_in(*stream->capture, memory));
    return answer(release(memory, false));
}

cudaError_t cudaMallocHost(void **memory, size_t bytes) {
    return answer(allocate(memory, bytes, -1));
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned int flags) {
    return answer(flags ? cudaErrorInvalidValue : allocate(memory, bytes, -1));
}

cudaError_t cudaFreeHost(void *memory) {
    return answer(release(memory, true));
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *memory) {
    std::lock_guard<std::mutex> hold(lock);
    uintptr_t start;
    Allocation in{};
    bool known = find(memory, &start, &in);
    void *at = const_cast<void *>(memory);
    *attributes = cudaPointerAttributes{};
    attributes->device = known ? in.device : -1;
    attributes->type = !known ? cudaMemoryTypeUnregistered : in.device < 0 ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
    attributes->devicePointer = known ? at : nullptr;
    attributes->hostPointer = known && in.device >= 0 ? nullptr : at;
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *target, const void *source, size_t bytes, cudaMemcpyKind kind) {
    return cudaMemcpyAsync(target, source, bytes, kind, nullptr);
}

cudaError_t cudaMemcpyAsync(void *target, const void *source, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    return submit(stream, [=] { return copy(target, source, bytes, kind); });
}

cudaError_t cudaMemcpy2DAsync(void *target, size_t target_pitch, const void *source, size_t source_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
    if (width > target_pitch || width > source_pitch) return answer(cudaErrorInvalidValue);
    return submit(stream, [=] {
        cudaError_t error = cudaSuccess;
        for (size_t row = 0; row < height && !error; row++)
            error = copy(static_cast<char *>(target) + row * target_pitch,
                         static_cast<const char *>(source) + row * source_pitch, width, kind);
        return error;
    });
}

cudaError_t cudaMemcpyPeerAsync(void *target, int target_device, const void *source, int source_device, size_t bytes,
                                cudaStream_t stream) {
    if (target_device < 0 || target_device >= device_count() || source_device < 0 || source_device >= device_count())
        return answer(cudaErrorInvalidDevice);
    return cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToDevice, stream);
}

cudaError_t cudaMemset(void *memory, int value, size_t bytes) {
    return cudaMemsetAsync(memory, value, bytes, nullptr);
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream) {
    return submit(stream, [=] { return set(memory, value, bytes); });
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
    std::lock_guard<std::mutex> hold(lock);
    *total = memory_limit();
    size_t taken = used[current_device()];
    *available = *total > taken ? *total - taken : 0;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int device) {
    if (device < 0 || device >= device_count()) return answer(cudaErrorInvalidDevice);
    std::lock_guard<std::mutex> hold(lock);
    *pool = &pools[device];
    return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void *value) {
    std::lock_guard<std::mutex> hold(lock);
    unsigned long long number = *static_cast<unsigned long long *>(value);
    if (attribute == cudaMemPoolAttrReleaseThreshold)
        pool->threshold = number;
    else if (number == 0 && (attribute == cudaMemPoolAttrReservedMemHigh || attribute == cudaMemPoolAttrUsedMemHigh))
        pool->most = 0;
    else
        return answer(cudaErrorInvalidValue);
    return cudaSuccess;
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void *value) {
    std::lock_guard<std::mutex> hold(lock);
    unsigned long long now = 0;
    for (const auto &entry : pools)
        if (&entry.second == pool) now = used[entry.first];
    unsigned long long number = attribute == cudaMemPoolAttrReleaseThreshold ? pool->threshold
                                : attribute == cudaMemPoolAttrReservedMemHigh || attribute == cudaMemPoolAttrUsedMemHigh
                                    ? pool->most
                                    : now;
    std::memcpy(value, &number, sizeof number);
    return cudaSuccess;
}

// Nothing is kept back, so there is nothing to give.
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) {
    return cudaSuccess;
}
}
