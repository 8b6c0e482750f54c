// runtime.cpp: errors, versions and devices of the emulated CUDA runtime.
//
//   WICK_CUDAEMU_DEVICES  how many devices there are (1; 0: none)
//   WICK_CUDAEMU_MEMORY   bytes of each (half of the machine's)
#include "state.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <unistd.h>

namespace cudaemu {

static thread_local cudaError_t last_error = cudaSuccess;
static thread_local int device = 0;
static std::atomic<bool> has_fault{ false };
static std::mutex fault_lock;
static char fault_text[768];

cudaError_t answer(cudaError_t error) {
    if (has_fault.load(std::memory_order_relaxed)) error = cudaErrorLaunchFailure;
    if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
    return error;
}

void keep_fault(const char *text) {
    std::lock_guard<std::mutex> hold(fault_lock);
    if (has_fault) return;
    std::snprintf(fault_text, sizeof fault_text, "unspecified launch failure: %s", text);
    has_fault = true;
}

bool faulted() {
    return has_fault.load(std::memory_order_relaxed);
}

unsigned long long number_from(const char *variable, unsigned long long otherwise) {
    const char *text = std::getenv(variable);
    return text && *text ? std::strtoull(text, nullptr, 10) : otherwise;
}

int device_count() {
    static const int count = (int)number_from("WICK_CUDAEMU_DEVICES", 1);
    return count;
}

int current_device() {
    return device;
}

static size_t memory_of_device() {
    size_t machine = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    return (size_t)number_from("WICK_CUDAEMU_MEMORY", machine / 2);
}

size_t memory_limit() {
    return memory_of_device();
}

} // namespace cudaemu

using namespace cudaemu;

extern "C" {

cudaError_t cudaGetLastError(void) {
    cudaError_t error = answer(last_error);
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void) {
    return answer(last_error);
}

const char *cudaGetErrorString(cudaError_t error) {
    if (error == cudaErrorLaunchFailure && faulted()) return fault_text;
    switch (error) {
#define TEXT(name, value, text) \
    case name: return text;
        WK_CUDAEMU_ERRORS(TEXT)
#undef TEXT
    }
    return "unrecognized error code";
}

const char *cudaGetErrorName(cudaError_t error) {
    switch (error) {
#define NAME(name, value, text) \
    case name: return #name;
        WK_CUDAEMU_ERRORS(NAME)
#undef NAME
    }
    return "unrecognized error code";
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
    return cudaRuntimeGetVersion(version);
}

cudaError_t cudaGetDeviceCount(int *count) {
    *count = device_count();
    return *count ? cudaSuccess : answer(cudaErrorNoDevice);
}

cudaError_t cudaGetDevice(int *current) {
    *current = device;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int wanted) {
    if (wanted < 0 || wanted >= device_count()) return answer(cudaErrorInvalidDevice);
    device = wanted;
    return cudaSuccess;
}

// The numbers of an H200: what is planned and launched on the emulated device is what would be on that one.
static const struct {
    cudaDeviceAttr attribute;
    int value;
} attributes[] = {
    { cudaDevAttrMaxThreadsPerBlock, 1024 },
    { cudaDevAttrMaxSharedMemoryPerBlock, 48 << 10 },
    { cudaDevAttrWarpSize, 32 },
    { cudaDevAttrClockRate, 1980000 },
    { cudaDevAttrMultiProcessorCount, 132 },
    { cudaDevAttrMemoryClockRate, 3201000 },
    { cudaDevAttrGlobalMemoryBusWidth, 6144 },
    { cudaDevAttrL2CacheSize, 60 << 20 },
    { cudaDevAttrComputeCapabilityMajor, 9 },
    { cudaDevAttrComputeCapabilityMinor, 0 },
    { cudaDevAttrMaxSharedMemoryPerMultiprocessor, 228 << 10 },
    { cudaDevAttrMaxSharedMemoryPerBlockOptin, 227 << 10 },
    { cudaDevAttrMemoryPoolsSupported, 1 },
};

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int of) {
    if (of < 0 || of >= device_count()) return answer(cudaErrorInvalidDevice);
    for (const auto &entry : attributes) {
        if (entry.attribute != attribute) continue;
        *value = entry.value;
        return cudaSuccess;
    }
    return answer(cudaErrorInvalidValue);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int of) {
    if (of < 0 || of >= device_count()) return answer(cudaErrorInvalidDevice);
    *properties = cudaDeviceProp();
    std::snprintf(properties->name, sizeof properties->name, "CUDA emulator");
    properties->totalGlobalMem = memory_of_device();
    properties->sharedMemPerBlock = 48 << 10;
    properties->sharedMemPerBlockOptin = 227 << 10;
    properties->sharedMemPerMultiprocessor = 228 << 10;
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = 1024;
    properties->major = 9;
    properties->multiProcessorCount = 132;
    properties->l2CacheSize = 60 << 20;
    properties->memoryBusWidth = 6144;
    return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int *can, int of, int peer) {
    if (of < 0 || of >= device_count() || peer < 0 || peer >= device_count()) return answer(cudaErrorInvalidDevice);
    *can = of != peer;
    return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned int flags) {
    if (peer < 0 || peer >= device_count() || peer == device) return answer(cudaErrorInvalidDevice);
    return answer(flags ? cudaErrorInvalidValue : cudaSuccess);
}

cudaError_t cudaDeviceSynchronize(void) {
    return answer(capturing_somewhere() ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}

cudaError_t cudaDeviceReset(void) {
    std::lock_guard<std::mutex> hold(fault_lock);
    has_fault = false;
    last_error = cudaSuccess;
    return cudaSuccess;
}
}
