/* memory.c: memory of devices, from the driver's stream-ordered pool, and pinned memory of the host.
 *
 * The pool keeps what is given back (its release threshold is "all"), so a steady step asks the system for nothing, and
 * it knows the stream's order, so a tensor may go while kernels that read it still wait their turn.  When nothing is
 * left the pool is emptied once and asked again; then the caller gets an error and everything that is there stays
 * usable.
 */
#include "cuda/cuda.h"

#include <stdatomic.h>
#include <stdint.h>

static struct {
    atomic_llong used, most;
    atomic_bool ready; /* the threshold is set */
} devices[WK_CUDA_DEVICES];

static cudaMemPool_t pool_of(int device) {
    cudaMemPool_t pool = NULL;
    if (cudaDeviceGetDefaultMemPool(&pool, device) != cudaSuccess) {
        (void)cudaGetLastError();
        return NULL;
    }
    if (!atomic_exchange(&devices[device].ready, true)) {
        uint64_t all = UINT64_MAX;
        (void)cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &all);
    }
    return pool;
}

static void count(int device, long long bytes) {
    long long used = atomic_fetch_add(&devices[device].used, bytes) + bytes, most = atomic_load(&devices[device].most);
    while (used > most && !atomic_compare_exchange_weak(&devices[device].most, &most, used)) {}
}

wk_status wk__cuda_memory_use(int device, wk_memory_use *use) {
    uint64_t reserved = 0;
    WK_TRY(wk__cuda_enter(device));
    cudaMemPool_t pool = pool_of(device);
    if (pool) (void)cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved);
    *use = (wk_memory_use){ .used = atomic_load(&devices[device].used), .most = atomic_load(&devices[device].most) };
    use->kept = (int64_t)reserved > use->used ? (int64_t)reserved - use->used : 0;
    return WK_OK;
}

static wk_status refuse(int device, size_t bytes) {
    wk_memory_use use = { 0 };
    size_t available = 0, total = 0;
    (void)cudaGetLastError();
    (void)cudaMemGetInfo(&available, &total);
    (void)wk__cuda_memory_use(device, &use);
    return wk_fail(WK_NO_MEMORY,
                   "out of memory on " WK_CUDA_NAME ":%d: %zu bytes were asked for; %lld are used, %zu of %zu are free",
                   device, bytes, (long long)use.used, available, total);
}

wk_status wk__cuda_allocate(int device, size_t bytes, wk_stream *stream, void **memory) {
    if (!stream) stream = wk__cuda_stream(device);
    if (!stream) return wk_error_code();
    WK_TRY(wk__cuda_enter(device));
    (void)pool_of(device);
    const size_t asked = bytes ? bytes : 1;
    cudaError_t error = cudaMallocAsync(memory, asked, (cudaStream_t)stream);
    if (error == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError();
        wk__cuda_trim(device);
        error = cudaMallocAsync(memory, asked, (cudaStream_t)stream);
    }
    if (error == cudaErrorMemoryAllocation) return refuse(device, bytes);
    WK_TRY(wk__cuda_status((int)error, "cudaMallocAsync"));
    count(device, (long long)bytes);
    return WK_OK;
}

void wk__cuda_release(int device, void *memory, size_t bytes, wk_stream *stream) {
    if (!stream) stream = wk__cuda_stream(device);
    if (!memory || !stream) return;
    (void)cudaFreeAsync(memory, (cudaStream_t)stream);
    count(device, -(long long)bytes);
}

void wk__cuda_trim(int device) {
    wk_stream *stream = wk__cuda_stream(device);
    if (!stream) return;
    (void)cudaStreamSynchronize((cudaStream_t)stream); /* what is still to be freed is freed */
    cudaMemPool_t pool = pool_of(device);
    if (pool) (void)cudaMemPoolTrimTo(pool, 0);
    (void)cudaGetLastError();
}

wk_status wk__cuda_host_allocate(size_t bytes, void **memory) {
    cudaError_t error = cudaMallocHost(memory, bytes ? bytes : 1);
    if (error != cudaErrorMemoryAllocation) return wk__cuda_status((int)error, "cudaMallocHost");
    (void)cudaGetLastError();
    return wk_fail(WK_NO_MEMORY, "out of memory: %zu bytes of pinned memory were asked for", bytes);
}

void wk__cuda_host_release(void *memory) {
    (void)cudaFreeHost(memory);
}

void *wk__cuda_scratch_take(wk_kernel_ctx *ctx, size_t bytes) {
    void *memory = NULL;
    return wk__cuda_allocate(wk__cuda_entered(), bytes, ctx->stream, &memory) == WK_OK ? memory : NULL;
}

void wk__cuda_scratch_give(wk_kernel_ctx *ctx, void *memory, size_t bytes) {
    wk__cuda_release(wk__cuda_entered(), memory, bytes, ctx->stream);
}
