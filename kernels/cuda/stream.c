/* stream.c: one compute stream a device, and events.
 *
 * All kernels and copies of a device go through one stream, whichever thread asks: so nothing is used before it was
 * written, and memory given back is safe to hand out again.  Streams for copies beside it come from stream_create.
 */
#include "cuda/cuda.h"

#include <pthread.h>
#include <stdint.h>

static _Thread_local int entered = -1;
static cudaStream_t streams[WK_CUDA_DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

wk_status wk__cuda_enter(int device) {
    if (entered == device) return WK_OK;
    WK_TRY(wk__cuda_status((int)cudaSetDevice(device), "cudaSetDevice"));
    entered = device;
    return WK_OK;
}

int wk__cuda_entered(void) {
    return entered < 0 ? 0 : entered;
}

wk_stream *wk__cuda_stream(int device) {
    if (wk__cuda_enter(device) != WK_OK) return NULL;
    if (wk__cuda_noting(device)) return (wk_stream *)wk__cuda_noting(device);
    (void)pthread_mutex_lock(&lock);
    wk_status status = WK_OK;
    if (!streams[device])
        status = wk__cuda_status((int)cudaStreamCreateWithFlags(&streams[device], cudaStreamNonBlocking),
                                 "cudaStreamCreateWithFlags");
    wk_stream *stream = status == WK_OK ? (wk_stream *)streams[device] : NULL;
    (void)pthread_mutex_unlock(&lock);
    return stream;
}

wk_status wk__cuda_stream_create(int device, wk_stream **stream) {
    cudaStream_t made = NULL;
    WK_TRY(wk__cuda_enter(device));
    WK_TRY(wk__cuda_status((int)cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"));
    *stream = (wk_stream *)made;
    return WK_OK;
}

void wk__cuda_stream_destroy(wk_stream *stream) {
    if (stream) (void)cudaStreamDestroy((cudaStream_t)stream);
}

wk_status wk__cuda_stream_synchronise(wk_stream *stream) {
    return wk__cuda_status((int)cudaStreamSynchronize((cudaStream_t)stream), "cudaStreamSynchronize");
}

wk_status wk__cuda_event_record(wk_stream *stream, wk_event **event) {
    cudaEvent_t made = NULL;
    WK_TRY(wk__cuda_status((int)cudaEventCreateWithFlags(&made, cudaEventDisableTiming), "cudaEventCreateWithFlags"));
    wk_status status = wk__cuda_status((int)cudaEventRecord(made, (cudaStream_t)stream), "cudaEventRecord");
    if (status != WK_OK) (void)cudaEventDestroy(made);
    *event = status == WK_OK ? (wk_event *)made : NULL;
    return status;
}

wk_status wk__cuda_event_wait(wk_stream *stream, wk_event *event) {
    return wk__cuda_status((int)cudaStreamWaitEvent((cudaStream_t)stream, (cudaEvent_t)event, 0),
                           "cudaStreamWaitEvent");
}

void wk__cuda_event_destroy(wk_event *event) {
    if (event) (void)cudaEventDestroy((cudaEvent_t)event);
}
