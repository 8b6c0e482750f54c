/* transfer.c: tensors made on a device, and elements that go from one device to another.
 *
 * What the host computes for a device (an index, a mask) is made on the CPU and placed; numbers go as an argument of a
 * fill, so that no memory of the host has to outlive the call.  Elements that lie with gaps are sent as the whole
 * stretch of memory that holds them, in one copy, and sorted on the host.
 */
#include "tensor/registry.h"

#include <string.h>

static wk_stream *stream_of(const wk_backend *backend, int device) {
    wk_context *context = wk__context();
    if (!context || wk__step_flush(context) != WK_OK) return NULL;
    return backend->stream ? backend->stream(wk__ordinal(device)) : NULL;
}

/* From one card to another through the host: rare, and right on every machine. */
static wk_status copy_across(void *target, int target_device, const void *source, int source_device, size_t bytes) {
    void *between = wk_alloc_data(bytes);
    if (!between) return WK_NO_MEMORY;
    wk_status status = wk__copy_bytes(between, 0, source, source_device, bytes);
    if (status == WK_OK) status = wk__copy_bytes(target, target_device, between, 0, bytes);
    if (status == WK_OK) status = wk_device_synchronise(target_device); /* which reads the memory until then */
    wk_free(between);
    return status;
}

wk_status wk__copy_bytes(void *target, int target_device, const void *source, int source_device, size_t bytes) {
    if (bytes == 0) return WK_OK;
    if (!target_device && !source_device) {
        memcpy(target, source, bytes);
        return WK_OK;
    }
    if (target_device && source_device && target_device != source_device)
        return copy_across(target, target_device, source, source_device, bytes);
    int device = target_device ? target_device : source_device;
    const wk_backend *backend = wk__backend_of(device);
    wk_stream *stream = stream_of(backend, device);
    if (!stream) return wk_error_code();
    wk_copy_kind kind = !target_device   ? WK_COPY_DEVICE_TO_HOST
                        : !source_device ? WK_COPY_HOST_TO_DEVICE
                                         : WK_COPY_DEVICE_TO_DEVICE;
    return backend->copy(wk__ordinal(device), target, source, bytes, kind, stream);
}

/* ---- making ---- */

wk_tensor *wk__empty_on(int device, wk_dtype dtype, wk_dims dims) {
    wk_context *context = wk__context();
    if (!context) return NULL;
    int former = wk__device_enter(context, device);
    wk_tensor *tensor = wk_empty(dtype, dims);
    (void)wk__device_enter(context, former);
    return tensor;
}

wk_status wk__fill_dense(const wk_tensor *tensor, double value) {
    if (tensor->count == 0) return WK_OK;
    if (!tensor->device) {
        wk__elements_fill(tensor->data, (wk_dtype)tensor->dtype, tensor->count, value);
        return WK_OK;
    }
    const wk_backend *backend = wk__backend_of(tensor->device);
    wk_stream *stream = stream_of(backend, tensor->device);
    if (!stream) return wk_error_code();
    double element[1];
    wk__element_set(element, (wk_dtype)tensor->dtype, 0, value);
    return backend->fill(wk__ordinal(tensor->device), tensor->data, element, wk_dtype_size((wk_dtype)tensor->dtype),
                         tensor->count, stream);
}

wk_tensor *wk__number_on(wk_tensor *number, int device) {
    if (wk__wants_grad(number)) return wk_to_device(number, device);
    wk_tensor *placed = wk__empty_on(device, (wk_dtype)number->dtype, wk__dims(number));
    if (!placed) return NULL;
    const wk_backend *backend = wk__backend_of(device);
    wk_stream *stream = stream_of(backend, device);
    size_t size = wk_dtype_size((wk_dtype)number->dtype);
    bool done = stream && backend->fill(wk__ordinal(device), placed->data, number->data, size, 1, stream) == WK_OK;
    return done ? placed : NULL;
}

wk_tensor *wk__placed(wk_tensor *host) {
    const wk_context *context = wk__context();
    if (!host || !context || context->device == host->device) return host;
    return wk_to_device(host, context->device);
}

/* ---- to the host ---- */

/* Bytes from element 0 to the end of the last. */
static size_t reach(const wk_tensor *tensor) {
    int64_t last = 0;
    for (int axis = 0; axis < tensor->rank; axis++) last += (tensor->shape[axis] - 1) * tensor->stride[axis];
    return tensor->count ? (size_t)(last + 1) * wk_dtype_size((wk_dtype)tensor->dtype) : 0;
}

/* A tensor of the CPU with the same shape and strides, on a copy of the stretch of memory. */
static wk_tensor *stretch_on_host(const wk_tensor *tensor) {
    size_t bytes = reach(tensor), size = wk_dtype_size((wk_dtype)tensor->dtype);
    wk_tensor *raw = wk__empty_on(0, (wk_dtype)tensor->dtype, WK_DIMS((int64_t)(bytes / size)));
    if (!raw || wk__copy_bytes(raw->data, 0, tensor->data, tensor->device, bytes) != WK_OK) return NULL;
    memcpy(raw->shape, tensor->shape, sizeof raw->shape);
    memcpy(raw->stride, tensor->stride, sizeof raw->stride);
    raw->rank = tensor->rank;
    raw->count = tensor->count;
    wk__header_flags(raw);
    return raw;
}

wk_tensor *wk__on_host(wk_tensor *tensor) {
    if (!tensor || !tensor->device) return tensor;
    wk_context *context = wk__context();
    if (context && WK_UNLIKELY(context->mode & WK__MODE_CAPTURE))
        wk__step_refuse(context, "elements were copied to the host in its midst");
    return stretch_on_host(tensor);
}

wk_status wk__copy_out_device(const wk_tensor *tensor, void *data, size_t bytes) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *host = stretch_on_host(tensor);
    wk_status status = host ? wk_copy_out(host, data, bytes) : wk_error_code();
    wk_scope_end(scope);
    return status;
}

/* A row major copy on the CPU, of another dtype maybe. */
static wk_tensor *packed_on_host(const wk_tensor *from, wk_dtype dtype) {
    wk_tensor *host = from->device ? stretch_on_host(from) : NULL, *packed = wk__empty_on(0, dtype, wk__dims(from));
    if (!packed || (from->device && !host)) return NULL;
    return wk_copy_into(packed, host ? host : from) == WK_OK ? packed : NULL;
}

/* Through the host where the target has gaps: read the stretch, change its elements, write it back. */
static wk_status copy_into_stretch(wk_tensor *target, const wk_tensor *packed) {
    wk_tensor *stretch = stretch_on_host(target);
    if (!stretch) return wk_error_code();
    WK_TRY(wk_copy_into(stretch, packed));
    return wk__copy_bytes(target->data, target->device, stretch->data, 0, reach(target));
}

static wk_status copy_into(wk_tensor *target, const wk_tensor *source) {
    const size_t bytes = (size_t)target->count * wk_dtype_size((wk_dtype)target->dtype);
    const bool plain = target->dtype == source->dtype && wk_is_contiguous(source);
    if (plain && wk_is_contiguous(target))
        return wk__copy_bytes(target->data, target->device, source->data, source->device, bytes);
    wk_tensor *packed = packed_on_host(source, (wk_dtype)target->dtype);
    if (!packed) return wk_error_code();
    if (!target->device) return wk_copy_into(target, packed);
    if (!wk_is_contiguous(target)) return copy_into_stretch(target, packed);
    return wk__copy_bytes(target->data, target->device, packed->data, 0, bytes);
}

wk_status wk__copy_into_device(wk_tensor *target, const wk_tensor *source) {
    wk_scope scope = wk_scope_begin();
    wk_status status = copy_into(target, source);
    wk_scope_end(scope);
    return status;
}

/* ---- the row to_device ---- */

wk_status wk__run_to_device(wk_kernel_ctx *ctx, const wk_call *call) {
    (void)ctx;
    wk_tensor *in = call->in[0], *out = call->out[0];
    size_t bytes = (size_t)out->count * wk_dtype_size((wk_dtype)out->dtype);
    if (wk__is_dense(in)) return wk__copy_bytes(out->data, out->device, in->data, in->device, bytes);
    wk_context *context = wk__context();
    if (context->mode & WK__MODE_CAPTURE)
        wk__step_refuse(context, "elements that lie with gaps go from one device to another");
    wk_scope scope = wk_scope_begin();
    wk_tensor *packed = packed_on_host(in, (wk_dtype)in->dtype);
    wk_status status = packed ? wk__copy_bytes(out->data, out->device, packed->data, 0, bytes) : wk_error_code();
    wk_scope_end(scope);
    return status;
}

/* ---- pinned memory ---- */

typedef struct pinned {
    const wk_backend *backend;
    wk_device device;
} pinned;

/* The device may still read it. */
static void give_back(void *context, void *data) {
    pinned *p = context;
    if (!wk_failed()) (void)wk_device_synchronise(p->device);
    p->backend->host_release(data);
    wk_free(p);
}

wk_tensor *wk_pinned_zeros(wk_device device, wk_dtype dtype, wk_dims dims) {
    if (wk_failed()) return NULL;
    const wk_backend *backend = wk__backend_of(device);
    if (!backend || !backend->host_allocate) return wk_kept_zeros(dtype, dims);
    int64_t count = 1;
    for (int axis = 0; axis < dims.rank; axis++) count *= dims.size[axis] > 0 ? dims.size[axis] : 1;
    size_t bytes = (size_t)count * wk_dtype_size(dtype);
    pinned *p = wk_alloc(sizeof *p);
    void *memory = NULL;
    if (!p || backend->host_allocate(bytes, &memory) != WK_OK) {
        wk_free(p);
        return NULL;
    }
    *p = (pinned){ backend, device };
    memset(memory, 0, bytes);
    wk_scope scope = wk_scope_begin();
    wk_tensor *tensor = wk_from_memory(dtype, dims, memory, give_back, p), *kept = wk_keep(tensor);
    if (!tensor) give_back(p, memory);
    wk_scope_end(scope);
    return kept;
}
