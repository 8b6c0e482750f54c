/* backend.c: the backends "cuda" and "cudaemu": one source, built against the CUDA runtime and against the emulator's.
 *
 * The driver is found by the runtime when the first call needs it; a machine without one gets the reason in a line.
 */
#include "cuda/cuda.h"
#include "cuda/layout/fill.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- errors ---- */

wk_status wk__cuda_status(int error, const char *what) {
    if (error == (int)cudaSuccess) return WK_OK;
    (void)cudaGetLastError();
    const cudaError_t code = (cudaError_t)error;
    return wk_fail(WK_DEVICE, WK_CUDA_NAME ": %s: %s (%s)", what, cudaGetErrorString(code), cudaGetErrorName(code));
}

static void describe_operands(const wk_call *call, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < call->n_in && i < 4 && used < size; i++) {
        char one[160];
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "",
                                 wk_describe(call->in[i], one, sizeof one));
    }
}

wk_status wk__cuda_launched(const wk_call *call, int error) {
    if (error == (int)cudaSuccess) return WK_OK;
    char operands[400];
    (void)cudaGetLastError();
    describe_operands(call, operands, sizeof operands);
    return wk_bad_call(call, WK_DEVICE, "%s (inputs %s)", cudaGetErrorString((cudaError_t)error), operands);
}

/* ---- devices ---- */

static char reason[300];
static int devices;
static pthread_once_t looked = PTHREAD_ONCE_INIT;

static void look(void) {
    int driver = 0, runtime = 0, count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    (void)cudaDriverGetVersion(&driver);
    (void)cudaRuntimeGetVersion(&runtime);
    (void)cudaGetLastError();
    if (error == cudaSuccess && count > 0) {
        devices = count < WK_CUDA_DEVICES ? count : WK_CUDA_DEVICES;
        return;
    }
    if (error == cudaErrorInsufficientDriver && driver == 0)
        (void)snprintf(reason, sizeof reason, "no NVIDIA driver is installed (libcuda.so.1 cannot be opened)");
    else if (error == cudaErrorInsufficientDriver)
        (void)snprintf(reason, sizeof reason,
                       "the NVIDIA driver serves CUDA %d.%d, this build needs %d.%d: install a newer driver",
                       driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    else
        (void)snprintf(reason, sizeof reason, "%s",
                       error == cudaSuccess ? "the driver finds no device" : cudaGetErrorString(error));
}

static const char *unavailable(void) {
    (void)pthread_once(&looked, look);
    return devices ? NULL : reason;
}

static int device_count(void) {
    (void)pthread_once(&looked, look);
    return devices;
}

static wk_status device_info(int device, wk_device_info *info) {
    struct cudaDeviceProp properties;
    WK_TRY(wk__cuda_status((int)cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties"));
    *info = (wk_device_info){ .threads = properties.multiProcessorCount, .memory = (int64_t)properties.totalGlobalMem };
    (void)snprintf(info->name, sizeof info->name, "%.95s", properties.name);
    (void)snprintf(info->instruction_set, sizeof info->instruction_set, "%d.%d", properties.major, properties.minor);
    return WK_OK;
}

/* ---- elements ---- */

static wk_status copy(int device, void *target, const void *source, size_t bytes, wk_copy_kind kind,
                      wk_stream *stream) {
    static const enum cudaMemcpyKind kinds[] = { [WK_COPY_HOST_TO_DEVICE] = cudaMemcpyHostToDevice,
                                                 [WK_COPY_DEVICE_TO_HOST] = cudaMemcpyDeviceToHost,
                                                 [WK_COPY_DEVICE_TO_DEVICE] = cudaMemcpyDeviceToDevice };
    WK_TRY(wk__cuda_enter(device));
    WK_TRY(wk__cuda_status((int)cudaMemcpyAsync(target, source, bytes, kinds[kind], (cudaStream_t)stream),
                           "cudaMemcpyAsync"));
    return kind == WK_COPY_DEVICE_TO_HOST ? wk__cuda_stream_synchronise(stream) : WK_OK;
}

static wk_status fill(int device, void *target, const void *element, size_t size, int64_t count, wk_stream *stream) {
    uint64_t bits = 0;
    memcpy(&bits, element, size);
    WK_TRY(wk__cuda_enter(device));
    return wk__cuda_status(wk__cuda_fill(target, bits, (int)size, count, stream), "fill");
}

static const char *last_error(void) {
    return cudaGetErrorString(cudaPeekAtLastError());
}

static const wk_backend backend = {
    .api_version = WK_BACKEND_API,
    .size = sizeof(wk_backend),
    .name = WK_CUDA_NAME,
    .unavailable = unavailable,
    .device_count = device_count,
    .device_info = device_info,
    .allocate = wk__cuda_allocate,
    .release = wk__cuda_release,
    .pooled = 1,
    .trim = wk__cuda_trim,
    .memory_use = wk__cuda_memory_use,
    .host_allocate = wk__cuda_host_allocate,
    .host_release = wk__cuda_host_release,
    .copy = copy,
    .fill = fill,
    .stream = wk__cuda_stream,
    .stream_create = wk__cuda_stream_create,
    .stream_destroy = wk__cuda_stream_destroy,
    .stream_synchronise = wk__cuda_stream_synchronise,
    .event_record = wk__cuda_event_record,
    .event_wait = wk__cuda_event_wait,
    .event_destroy = wk__cuda_event_destroy,
    .graph_begin = wk__cuda_graph_begin,
    .graph_end = wk__cuda_graph_end,
    .graph_launch = wk__cuda_graph_launch,
    .graph_destroy = wk__cuda_graph_destroy,
    .notes_numbers = wk__cuda_notes_numbers,
    .kernel = wk__cuda_kernel,
    .kernel_table = wk__cuda_kernel_table,
    .last_error = last_error,
    .exchange = &wk__cuda_exchange,
#ifdef WICK_CUDA_EMULATOR
    .traffic = wk__cudaemu_traffic,
#endif
};

__attribute__((visibility("default"))) const wk_backend *wick_backend(void);
const wk_backend *wick_backend(void) {
    return &backend;
}
