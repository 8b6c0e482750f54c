/* cuda.h: what the C side of CUDA kernels is written with.
 *
 * A file FAMILY/NAME.c takes calls apart, checks what its kernels do not take (WK_UNSUPPORTED before anything is
 * written: the row's parts run instead), and calls the launchers of FAMILY/NAME.cu, which FAMILY/NAME.h declares.
 * Everything of a device goes through one stream, so memory that was given back is used again in the stream's order,
 * and no kernel waits for the host or the host for a kernel.
 */
#ifndef WICK_KERNELS_CUDA_H
#define WICK_KERNELS_CUDA_H

#include "cuda/random/random.h"
#include "cuda/select.h"
#include "tensor/backend.h"
#include "tensor/op_attrs.h"

#include <cuda_runtime_api.h>

#ifdef WICK_CUDA_EMULATOR
#    define WK_CUDA_NAME "cudaemu"
#else
#    define WK_CUDA_NAME "cuda"
#endif
enum { WK_CUDA_DEVICES = 8 };

/* What a launcher answered, a cudaError_t, as a status: an error names the row and its operands' shapes. */
wk_status wk__cuda_launched(const wk_call *call, int error);
/* The same of a call of the runtime that belongs to no row. */
wk_status wk__cuda_status(int error, const char *what);

/* Make the device this thread's. */
wk_status wk__cuda_enter(int device);
/* The device that this thread entered last. */
int wk__cuda_entered(void);
/* Its stream; NULL with an error pending. */
wk_stream *wk__cuda_stream(int device);

/* Memory for one call of a kernel, in the order of its stream; give it back as soon as the last launch that uses it was
 * made.  NULL with an error pending. */
void *wk__cuda_scratch_take(wk_kernel_ctx *ctx, size_t bytes);
void wk__cuda_scratch_give(wk_kernel_ctx *ctx, void *memory, size_t bytes);

/* ---- members of the backend: memory.c, stream.c, graph.c ---- */
wk_status wk__cuda_allocate(int device, size_t bytes, wk_stream *stream, void **memory);
void wk__cuda_release(int device, void *memory, size_t bytes, wk_stream *stream);
void wk__cuda_trim(int device);
wk_status wk__cuda_memory_use(int device, wk_memory_use *use);
wk_status wk__cuda_host_allocate(size_t bytes, void **memory);
void wk__cuda_host_release(void *memory);
wk_status wk__cuda_stream_create(int device, wk_stream **stream);
void wk__cuda_stream_destroy(wk_stream *stream);
wk_status wk__cuda_stream_synchronise(wk_stream *stream);
wk_status wk__cuda_event_record(wk_stream *stream, wk_event **event);
wk_status wk__cuda_event_wait(wk_stream *stream, wk_event *event);
void wk__cuda_event_destroy(wk_event *event);
wk_status wk__cuda_graph_begin(int device);
wk_status wk__cuda_graph_end(int device, wk_device_graph **graph, int *operations);
wk_status wk__cuda_graph_launch(wk_device_graph *graph, wk_stream *stream);
void wk__cuda_graph_destroy(wk_device_graph *graph);
/* The stream that this thread notes a graph on; NULL: it notes none on this device. */
cudaStream_t wk__cuda_noting(int device);

/* ---- exchange/exchange.c ---- */
extern const wk_device_exchange wk__cuda_exchange;
/* ---- emulator/race.h ---- */
int wk__cudaemu_traffic(wk_kernel_traffic *rows, int most);

/* ---- numbers of the host (tensor/backend.h tells of noted ones) ---- */

/* Where a launch reads these numbers, aligned to 16 bytes; NULL: it carries them.  WK_NO_MEMORY: too many of a graph.
 */
wk_status wk__cuda_note(wk_kernel_ctx *ctx, const void *numbers, size_t bytes, const void **at);
/* Whether the call launches, now or later; else it is about its numbers alone. */
static inline bool wk_cuda_launches(const wk_kernel_ctx *ctx) {
    return !ctx->noted || ctx->noted->phase == WK_NOTED_LAUNCHES;
}

/* A row's key (2), which lies on the host. */
static inline wk_status wk_cuda_key_of(wk_kernel_ctx *ctx, const wk_tensor *tensor, wk_cuda_key *key) {
    const int64_t *words = tensor->data;
    const uint64_t both[2] = { (uint64_t)words[0], (uint64_t)words[tensor->stride[0]] };
    const void *at;
    WK_TRY(wk__cuda_note(ctx, both, sizeof both, &at));
    *key = (wk_cuda_key){ both[0], both[1], at };
    return WK_OK;
}

/* Whether elements lie row major without gaps. */
static inline bool wk_cuda_is_plain(const wk_tensor *tensor) {
    return (tensor->flags & WK_TENSOR_CONTIGUOUS) != 0;
}

#endif
