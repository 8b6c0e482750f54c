/* tensor.c: headers: making, keeping, looking at them. */
#include "tensor/tensor.h"

#include <string.h>

/* ---- headers ---- */

void wk__header_flags(wk_tensor *tensor) {
    int64_t expected = 1;
    bool contiguous = true;
    for (int axis = tensor->rank - 1; axis >= 0; axis--) {
        if (tensor->shape[axis] != 1 && tensor->stride[axis] != expected) contiguous = false;
        expected *= tensor->shape[axis];
    }
    if (tensor->count == 0) contiguous = true;
    tensor->flags = (uint8_t)((tensor->flags & ~WK_TENSOR_CONTIGUOUS) | (contiguous ? WK_TENSOR_CONTIGUOUS : 0));
}

bool wk__header_shape(wk_tensor *tensor, wk_dtype dtype, int rank, const int64_t *shape, const char *who) {
    if ((unsigned)dtype >= WK_DTYPE_COUNT) {
        (void)wk_fail(WK_DTYPE, "%s: %d is no dtype", who, (int)dtype);
        return false;
    }
    if (rank < 0 || rank > WK_MAX_RANK) {
        (void)wk_fail(WK_SHAPE, "%s: rank %d, expected 0 to %d", who, rank, WK_MAX_RANK);
        return false;
    }
    int64_t count = 1;
    for (int axis = rank - 1; axis >= 0; axis--) {
        if (shape[axis] < 0) {
            (void)wk_fail(WK_SHAPE, "%s: size %lld of axis %d is negative", who, (long long)shape[axis], axis);
            return false;
        }
        tensor->shape[axis] = shape[axis];
        tensor->stride[axis] = count;
        int64_t factor = shape[axis] ? shape[axis] : 1; /* an empty axis must not hide an overflow of the others */
        if (__builtin_mul_overflow(count, factor, &count) || count > (INT64_C(1) << 46)) {
            (void)wk_fail(WK_SHAPE, "%s: the sizes multiply to more elements than memory can hold", who);
            return false;
        }
    }
    for (int axis = 0; axis < rank; axis++)
        if (shape[axis] == 0) count = 0;
    tensor->rank = (uint8_t)rank;
    tensor->dtype = (uint8_t)dtype;
    tensor->count = count;
    tensor->flags |= WK_TENSOR_CONTIGUOUS;
    return true;
}

wk_tensor *wk__header_create(wk_context *context) {
    wk__scope *scope = context->scope;
    if (WK_UNLIKELY(!scope))
        return wk_fail_null(WK_NO_SCOPE,
                            "a tensor was made with no open scope: call wk_scope_begin() first, or use a kept "
                            "tensor (wk_kept_zeros, wk_keep)");
    wk_tensor *tensor = wk__arena_take(&context->arena, sizeof *tensor);
    if (!tensor) return NULL;
    tensor->data = NULL;
    tensor->rank = tensor->dtype = tensor->device = tensor->flags = 0;
    tensor->life = WK__ALIVE;
    tensor->storage = NULL;
    tensor->node = NULL;
    tensor->leaf = NULL;
    tensor->references = 0;
    tensor->output = 0;
    tensor->next = scope->tensors;
    scope->tensors = tensor;
    return tensor;
}

wk_tensor *wk__header_copy(wk_context *context, const wk_tensor *tensor) {
    wk_tensor *copy = wk__header_create(context);
    if (!copy) return NULL;
    wk_tensor *next = copy->next;
    *copy = *tensor;
    copy->next = next;
    copy->references = 0;
    copy->flags &= (uint8_t) ~(WK_TENSOR_KEPT | WK__TENSOR_PLANNED);
    (void)wk__storage_hold(copy->storage);
    return copy;
}

void wk__tensor_drop(wk_tensor *tensor) {
    if (tensor->life == WK__DEAD) return;
    tensor->life = WK__DEAD;
    if (WK_UNLIKELY(tensor->flags & WK__TENSOR_PLANNED)) return;
    wk__storage_drop(tensor->storage);
    tensor->storage = NULL;
    tensor->data = NULL;
}

static wk_tensor *create(wk_dtype dtype, wk_dims dims, const char *who) {
    wk_context *context = wk__context();
    if (!context || context->pending->code != WK_OK) return NULL;
    wk_tensor *tensor = wk__header_create(context);
    if (!tensor || !wk__header_shape(tensor, dtype, dims.rank, dims.size, who)) return NULL;
    tensor->device = (uint8_t)context->device;
    tensor->storage = wk__storage_create(context, context->device, (size_t)tensor->count * wk_dtype_size(dtype));
    if (!tensor->storage) return NULL;
    tensor->data = tensor->storage->data;
    if (WK_UNLIKELY(context->mode & WK__MODE_CAPTURE)) wk__capture_host(context, tensor);
    return tensor;
}

static wk_status clear(const wk_tensor *tensor) {
    if (tensor->device) return wk__fill_dense(tensor, 0);
    memset(tensor->data, 0, (size_t)tensor->count * wk_dtype_size((wk_dtype)tensor->dtype));
    return WK_OK;
}

wk_tensor *wk_empty(wk_dtype dtype, wk_dims dims) {
    return create(dtype, dims, "wk_empty");
}

wk_tensor *wk_zeros(wk_dtype dtype, wk_dims dims) {
    wk_tensor *tensor = create(dtype, dims, "wk_zeros");
    return tensor && clear(tensor) == WK_OK ? tensor : NULL;
}

wk_tensor *wk_full(wk_dtype dtype, wk_dims dims, double value) {
    wk_tensor *tensor = create(dtype, dims, "wk_full");
    return tensor && wk__fill_dense(tensor, value) == WK_OK ? tensor : NULL;
}

wk_tensor *wk_arange(int64_t count) {
    wk_context *context = wk__context();
    int device = context ? wk__device_enter(context, 0) : 0;
    wk_tensor *tensor = create(WK_I64, WK_DIMS(count), "wk_arange");
    for (int64_t i = 0; tensor && i < count; i++) ((int64_t *)tensor->data)[i] = i;
    if (context) (void)wk__device_enter(context, device);
    return wk__placed(tensor);
}

wk_tensor *wk_from_array(wk_dtype dtype, wk_dims dims, const void *data) {
    wk_tensor *tensor = create(dtype, dims, "wk_from_array");
    if (!tensor) return NULL;
    size_t bytes = (size_t)tensor->count * wk_dtype_size(dtype);
    return wk__copy_bytes(tensor->data, tensor->device, data, 0, bytes) == WK_OK ? tensor : NULL;
}

wk_tensor *wk_from_memory(wk_dtype dtype, wk_dims dims, void *data, void (*deleter)(void *context, void *data),
                          void *deleter_context) {
    wk_context *context = wk__context();
    if (!context || context->pending->code != WK_OK) return NULL;
    wk_tensor *tensor = wk__header_create(context);
    if (!tensor || !wk__header_shape(tensor, dtype, dims.rank, dims.size, "wk_from_memory")) return NULL;
    tensor->storage =
        wk__storage_of_memory(data, (size_t)tensor->count * wk_dtype_size(dtype), deleter, deleter_context);
    if (!tensor->storage) return NULL;
    atomic_store_explicit(&tensor->storage->exposed, true, memory_order_relaxed);
    tensor->data = data;
    if (WK_UNLIKELY(context->mode & WK__MODE_CAPTURE)) wk__capture_host(context, tensor);
    return tensor;
}

/* ---- kept ---- */

static wk_tensor *kept_header(void) {
    wk_tensor *tensor = wk_alloc(sizeof *tensor);
    if (!tensor) return NULL;
    tensor->life = WK__ALIVE;
    tensor->flags = WK_TENSOR_KEPT;
    tensor->references = 1;
    return tensor;
}

wk_tensor *wk__kept_on(wk_storage *storage, size_t offset, wk_dtype dtype, wk_dims dims) {
    wk_tensor *tensor = kept_header();
    if (!tensor) return NULL;
    if (!wk__header_shape(tensor, dtype, dims.rank, dims.size, "a kept tensor")) {
        wk_free(tensor);
        return NULL;
    }
    tensor->storage = wk__storage_slice(storage, offset, (size_t)tensor->count * wk_dtype_size(dtype));
    if (!tensor->storage) {
        wk_free(tensor);
        return NULL;
    }
    tensor->data = tensor->storage->data;
    tensor->device = storage->device;
    return tensor;
}

wk_tensor *wk_kept_zeros(wk_dtype dtype, wk_dims dims) {
    return wk__kept_zeros_on(0, dtype, dims);
}

wk_tensor *wk__kept_zeros_on(int device, wk_dtype dtype, wk_dims dims) {
    wk_context *context = wk__context();
    if (!context || context->pending->code != WK_OK) return NULL;
    wk_tensor *tensor = kept_header();
    if (!tensor) return NULL;
    if (wk__header_shape(tensor, dtype, dims.rank, dims.size, "wk_kept_zeros"))
        tensor->storage = wk__storage_create(context, device, (size_t)tensor->count * wk_dtype_size(dtype));
    if (!tensor->storage) {
        wk_free(tensor);
        return NULL;
    }
    tensor->device = (uint8_t)device;
    tensor->data = tensor->storage->data;
    if (clear(tensor) == WK_OK) return tensor;
    wk_release(tensor);
    return NULL;
}

/* Of a step's result, whose memory the next step writes again; in the same layout where that has no gaps. */
static wk_tensor *keep_copy(const wk_tensor *tensor) {
    wk_tensor *kept = wk__kept_zeros_on(tensor->device, (wk_dtype)tensor->dtype, wk__dims(tensor));
    if (!kept) return NULL;
    if (wk__is_dense(tensor)) {
        memcpy(kept->stride, tensor->stride, sizeof kept->stride);
        wk__header_flags(kept);
        size_t bytes = (size_t)kept->count * wk_dtype_size((wk_dtype)kept->dtype);
        (void)wk__copy_bytes(kept->data, kept->device, tensor->data, tensor->device, bytes);
        return kept;
    }
    if (wk_copy_into(kept, tensor) == WK_OK) return kept;
    wk_release(kept);
    return NULL;
}

wk_tensor *wk_keep(wk_tensor *tensor) {
    if (!tensor) return NULL;
    if (tensor->life != WK__ALIVE) return wk_fail_null(WK_DEAD_TENSOR, "wk_keep: the tensor's scope has ended");
    if (tensor->flags & WK_TENSOR_KEPT) {
        (void)__atomic_add_fetch(&tensor->references, 1, __ATOMIC_RELAXED);
        return tensor;
    }
    if (WK_UNLIKELY(tensor->storage->planned)) return keep_copy(tensor);
    wk_tensor *kept = kept_header();
    if (!kept) return NULL;
    *kept = *tensor;
    kept->flags = (uint8_t)((tensor->flags & WK_TENSOR_CONTIGUOUS) | WK_TENSOR_KEPT);
    kept->references = 1;
    kept->node = NULL;
    kept->leaf = NULL;
    kept->next = NULL;
    (void)wk__storage_hold(kept->storage);
    return kept;
}

void wk_release(wk_tensor *tensor) {
    if (!tensor || !(tensor->flags & WK_TENSOR_KEPT)) return;
    if (__atomic_sub_fetch(&tensor->references, 1, __ATOMIC_ACQ_REL) != 0) return;
    if (tensor->leaf) wk__leaf_destroy(tensor->leaf);
    wk__storage_drop(tensor->storage);
    tensor->life = WK__DEAD;
    wk_free(tensor);
}

/* ---- looking ---- */

int wk_rank(const wk_tensor *tensor) {
    return tensor ? tensor->rank : 0;
}

int64_t wk_size(const wk_tensor *tensor, int axis) {
    if (!tensor) return 0;
    if (axis < 0) axis += tensor->rank;
    return axis >= 0 && axis < tensor->rank ? tensor->shape[axis] : 0;
}

wk_dims wk__dims(const wk_tensor *tensor) {
    wk_dims dims = { .rank = tensor->rank };
    memcpy(dims.size, tensor->shape, (size_t)tensor->rank * sizeof dims.size[0]);
    return dims;
}

wk_dims wk_dims_get(const wk_tensor *tensor) {
    return tensor ? wk__dims(tensor) : (wk_dims){ 0 };
}

int64_t wk_count(const wk_tensor *tensor) {
    return tensor ? tensor->count : 0;
}

wk_dtype wk_dtype_get(const wk_tensor *tensor) {
    return tensor ? (wk_dtype)tensor->dtype : WK_F32;
}

bool wk_is_contiguous(const wk_tensor *tensor) {
    return tensor && (tensor->flags & WK_TENSOR_CONTIGUOUS);
}

bool wk__is_dense(const wk_tensor *tensor) {
    if (tensor->flags & WK_TENSOR_CONTIGUOUS) return true;
    bool taken[WK_MAX_RANK] = { false };
    int64_t expected = 1;
    for (int placed = 0; placed < tensor->rank; placed++) {
        int found = -1;
        for (int axis = 0; axis < tensor->rank && found < 0; axis++)
            if (!taken[axis] && (tensor->shape[axis] == 1 || tensor->stride[axis] == expected)) found = axis;
        if (found < 0) return false;
        taken[found] = true;
        expected *= tensor->shape[found];
    }
    return true;
}

static bool readable(const wk_tensor *tensor, const char *who) {
    if (!tensor) {
        if (!wk_failed()) (void)wk_fail(WK_INVALID, "%s: the tensor is NULL", who);
        return false;
    }
    if (tensor->life != WK__ALIVE) {
        (void)wk_fail(WK_DEAD_TENSOR, "%s: the tensor's scope has ended", who);
        return false;
    }
    wk_context *context = wk__context();
    if (context && WK_UNLIKELY(context->mode & WK__MODE_CAPTURE)) wk__capture_look(context, who);
    return !context || wk__step_flush(context) == WK_OK; /* what the host may write now was asked for before */
}

void *wk_data(wk_tensor *tensor) {
    if (!readable(tensor, "wk_data")) return NULL;
    if (tensor->device)
        return wk_fail_null(WK_DEVICE,
                            "wk_data: the tensor is on %s, where the host cannot read; use wk_to_device or "
                            "wk_copy_out",
                            wk_device_name(tensor->device));
    if (!wk_is_contiguous(tensor))
        return wk_fail_null(WK_INVALID, "wk_data: the tensor is not row major; use wk_contiguous");
    atomic_store_explicit(&tensor->storage->exposed, true, memory_order_relaxed);
    if (WK_UNLIKELY(tensor->storage->constant)) wk__storage_changed(tensor->storage, "wk_data");
    return tensor->data;
}

static int64_t offset_of(const wk_tensor *tensor, int64_t index) {
    int64_t offset = 0;
    for (int axis = tensor->rank - 1; axis >= 0; axis--) {
        offset += index % tensor->shape[axis] * tensor->stride[axis];
        index /= tensor->shape[axis];
    }
    return offset;
}

/* The element at an offset; 0 with an error pending. */
static double element(const wk_tensor *tensor, int64_t offset) {
    const wk_dtype dtype = (wk_dtype)tensor->dtype;
    if (!tensor->device) return wk__element_get(tensor->data, dtype, offset);
    uint64_t copy = 0;
    const size_t size = wk_dtype_size(dtype);
    const char *from = (const char *)tensor->data + offset * (int64_t)size;
    if (wk__copy_bytes(&copy, 0, from, tensor->device, size) != WK_OK) return 0;
    return wk__element_get(&copy, dtype, 0);
}

double wk_at(const wk_tensor *tensor, int64_t index) {
    if (!readable(tensor, "wk_at")) return 0;
    if (index < 0 || index >= tensor->count) {
        (void)wk_fail(WK_INVALID, "wk_at: index %lld, the tensor has %lld elements", (long long)index,
                      (long long)tensor->count);
        return 0;
    }
    return element(tensor, offset_of(tensor, index));
}

double wk_item(const wk_tensor *tensor) {
    if (!readable(tensor, "wk_item")) return 0;
    if (tensor->count != 1) {
        (void)wk_fail(WK_INVALID, "wk_item: the tensor has %lld elements, expected 1", (long long)tensor->count);
        return 0;
    }
    return element(tensor, 0);
}

wk_status wk_copy_out(const wk_tensor *tensor, void *data, size_t bytes) {
    if (!readable(tensor, "wk_copy_out")) return wk_error_code();
    size_t size = wk_dtype_size((wk_dtype)tensor->dtype);
    if (bytes != (size_t)tensor->count * size)
        return wk_fail(WK_INVALID, "wk_copy_out: a buffer of %zu bytes for %zu", bytes, (size_t)tensor->count * size);
    if (wk_is_contiguous(tensor)) return wk__copy_bytes(data, 0, tensor->data, tensor->device, bytes);
    if (tensor->device) return wk__copy_out_device(tensor, data, bytes);
    for (int64_t i = 0; i < tensor->count; i++)
        memcpy((char *)data + (size_t)i * size, (const char *)tensor->data + offset_of(tensor, i) * (int64_t)size,
               size);
    return WK_OK;
}

wk_status wk_copy_into(wk_tensor *target, const wk_tensor *source) {
    if (!readable(target, "wk_copy_into") || !readable(source, "wk_copy_into")) return wk_error_code();
    if (wk_failed()) return WK_PENDING;
    char why[300];
    if (target->node) return wk_fail(WK_INVALID, "wk_copy_into: the target is part of a graph");
    if (wk__not_writable(target, why, sizeof why)) return wk_fail(WK_INVALID, "wk_copy_into: %s", why);
    bool same = target->rank == source->rank;
    for (int axis = 0; same && axis < target->rank; axis++) same = target->shape[axis] == source->shape[axis];
    if (!same) {
        char a[160], b[160];
        return wk_fail(WK_SHAPE, "wk_copy_into: source %s, target %s", wk_describe(source, b, sizeof b),
                       wk_describe(target, a, sizeof a));
    }
    if (target->device || source->device) {
        WK_TRY(wk__copy_into_device(target, source));
    } else if (target->dtype == source->dtype && wk_is_contiguous(target) && wk_is_contiguous(source)) {
        if (target->count)
            memmove(target->data, source->data, (size_t)target->count * wk_dtype_size((wk_dtype)target->dtype));
    } else if (target->dtype == source->dtype) {
        size_t size = wk_dtype_size((wk_dtype)target->dtype);
        for (int64_t i = 0; i < target->count; i++)
            memcpy((char *)target->data + offset_of(target, i) * (int64_t)size,
                   (const char *)source->data + offset_of(source, i) * (int64_t)size, size);
    } else {
        for (int64_t i = 0; i < target->count; i++)
            wk__element_set(target->data, (wk_dtype)target->dtype, offset_of(target, i),
                            wk__element_get(source->data, (wk_dtype)source->dtype, offset_of(source, i)));
    }
    wk__storage_changed(target->storage, "wk_copy_into");
    return WK_OK;
}

const char *wk_describe(const wk_tensor *tensor, char *buffer, size_t size) {
    if (!tensor) {
        (void)snprintf(buffer, size, "NULL");
        return buffer;
    }
    size_t used = 0;
    (void)snprintf(buffer, size, "(");
    for (int axis = 0; axis < tensor->rank; axis++) {
        used = strlen(buffer);
        (void)snprintf(buffer + used, size - used, axis ? ", %lld" : "%lld", (long long)tensor->shape[axis]);
    }
    used = strlen(buffer);
    (void)snprintf(buffer + used, size - used, ") %s%s%s", wk_dtype_name((wk_dtype)tensor->dtype),
                   tensor->device ? " on " : "", tensor->device ? wk_device_name(tensor->device) : "");
    return buffer;
}
