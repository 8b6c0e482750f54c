/* dlpack.c: DLPack out and in.  Out: one block holds the struct, shape, strides and a reference to the storage. */
#include "wick/dlpack.h"
#include "tensor/tensor.h"

#include <string.h>

/* ---- out ---- */

typedef struct outgoing {
    union {
        wk_dl_managed plain;
        wk_dl_versioned versioned;
    } as;
    int64_t shape[WK_MAX_RANK], stride[WK_MAX_RANK];
    wk_storage *storage;
} outgoing;

static void give_back(outgoing *out) {
    wk__storage_drop(out->storage);
    wk_free(out);
}
static void delete_plain(wk_dl_managed *self) {
    if (self) give_back(self->manager_context);
}
static void delete_versioned(wk_dl_versioned *self) {
    if (self) give_back(self->manager_context);
}

static const wk_dl_dtype dtypes[WK_DTYPE_COUNT] = {
    [WK_F32] = { WK_DL_FLOAT, 32, 1 }, [WK_F64] = { WK_DL_FLOAT, 64, 1 }, [WK_BF16] = { WK_DL_BFLOAT, 16, 1 },
    [WK_F16] = { WK_DL_FLOAT, 16, 1 }, [WK_I64] = { WK_DL_INT, 64, 1 },   [WK_I32] = { WK_DL_INT, 32, 1 },
    [WK_I16] = { WK_DL_INT, 16, 1 },   [WK_I8] = { WK_DL_INT, 8, 1 },     [WK_U8] = { WK_DL_UINT, 8, 1 },
    [WK_BOOL] = { WK_DL_BOOL, 8, 1 },
};

static outgoing *pack(wk_tensor *tensor, const char *who, wk_dl_tensor *packed) {
    char text[160];
    if (wk_failed()) return NULL;
    if (!tensor) return wk_fail_null(WK_INVALID, "%s: the tensor is NULL", who);
    if (tensor->life != WK__ALIVE) return wk_fail_null(WK_DEAD_TENSOR, "%s: the tensor's scope has ended", who);
    if (tensor->device)
        return wk_fail_null(WK_DEVICE, "%s: %s; only memory of the CPU is given out, use wk_to_device", who,
                            wk_describe(tensor, text, sizeof text));
    if (wk__wants_grad(tensor))
        return wk_fail_null(WK_INVALID, "%s: %s wants a gradient, which another library would not see; use wk_detach",
                            who, wk_describe(tensor, text, sizeof text));
    outgoing *out = wk_alloc(sizeof *out);
    if (!out) return NULL;
    memcpy(out->shape, tensor->shape, sizeof out->shape);
    memcpy(out->stride, tensor->stride, sizeof out->stride);
    out->storage = wk__storage_hold(tensor->storage);
    atomic_store_explicit(&tensor->storage->exposed, true, memory_order_relaxed);
    *packed = (wk_dl_tensor){ .data = tensor->data,
                              .device = { WK_DL_CPU, 0 },
                              .ndim = tensor->rank,
                              .dtype = dtypes[tensor->dtype],
                              .shape = out->shape,
                              .strides = out->stride };
    return out;
}

wk_dl_managed *wk_to_dlpack(wk_tensor *tensor) {
    wk_dl_tensor packed;
    if (tensor && tensor->life == WK__ALIVE && tensor->storage->read_only)
        return wk_fail_null(WK_INVALID, "wk_to_dlpack: the memory may only be read, which this form cannot say; use "
                                        "wk_to_dlpack_versioned, or a copy");
    outgoing *out = pack(tensor, "wk_to_dlpack", &packed);
    if (!out) return NULL;
    out->as.plain = (wk_dl_managed){ .tensor = packed, .manager_context = out, .deleter = delete_plain };
    return &out->as.plain;
}

wk_dl_versioned *wk_to_dlpack_versioned(wk_tensor *tensor) {
    wk_dl_tensor packed;
    outgoing *out = pack(tensor, "wk_to_dlpack_versioned", &packed);
    if (!out) return NULL;
    out->as.versioned = (wk_dl_versioned){ .version = { WK_DLPACK_MAJOR, WK_DLPACK_MINOR },
                                           .manager_context = out,
                                           .deleter = delete_versioned,
                                           .flags = tensor->storage->read_only ? WK_DL_READ_ONLY : 0,
                                           .tensor = packed };
    return &out->as.versioned;
}

/* ---- in ---- */

static wk_status check_kind(const wk_dl_tensor *given, const char *who, wk_dtype *dtype) {
    if (given->device.type != WK_DL_CPU)
        return wk_fail(WK_DEVICE, "%s: the memory is on a device of type %d, expected the CPU (%d)", who,
                       (int)given->device.type, WK_DL_CPU);
    if (given->ndim < 0 || given->ndim > WK_MAX_RANK)
        return wk_fail(WK_SHAPE, "%s: rank %d, expected 0 to %d", who, (int)given->ndim, WK_MAX_RANK);
    if (given->ndim > 0 && !given->shape) return wk_fail(WK_INVALID, "%s: the shape is NULL", who);
    for (int d = 0; d < WK_DTYPE_COUNT; d++)
        if (dtypes[d].code == given->dtype.code && dtypes[d].bits == given->dtype.bits && given->dtype.lanes == 1) {
            *dtype = (wk_dtype)d;
            return WK_OK;
        }
    return wk_fail(WK_DTYPE, "%s: elements of code %d with %d bits and %d lanes have no dtype here", who,
                   given->dtype.code, given->dtype.bits, given->dtype.lanes);
}

/* Strides into the header; how many elements lie between the first and the end of the last. */
static wk_status take_strides(const wk_dl_tensor *given, const char *who, wk_tensor *tensor, int64_t *reach) {
    *reach = tensor->count ? 1 : 0;
    for (int axis = 0; axis < given->ndim && given->strides; axis++) {
        int64_t stride = given->strides[axis], step;
        if (tensor->shape[axis] <= 1 || tensor->count == 0) continue; /* says nothing */
        if (stride < 0)
            return wk_fail(WK_INVALID, "%s: axis %d has the stride %lld; negative ones are not held", who, axis,
                           (long long)stride);
        tensor->stride[axis] = stride;
        if (__builtin_mul_overflow(stride, tensor->shape[axis] - 1, &step)
            || __builtin_add_overflow(*reach, step, reach) || *reach > (INT64_C(1) << 46))
            return wk_fail(WK_SHAPE, "%s: strides that reach beyond all memory", who);
    }
    if (!given->strides) *reach = tensor->count;
    wk__header_flags(tensor);
    return WK_OK;
}

static wk_tensor *unpack(const wk_dl_tensor *given, const char *who, void (*deleter)(void *, void *), void *context) {
    wk_context *own = wk__context();
    wk_dtype dtype = WK_F32;
    int64_t reach;
    if (!own || check_kind(given, who, &dtype) != WK_OK) return NULL;
    size_t size = wk_dtype_size(dtype);
    wk_tensor *tensor = wk__header_create(own);
    if (!tensor || !wk__header_shape(tensor, dtype, given->ndim, given->shape, who)) return NULL;
    if (take_strides(given, who, tensor, &reach) != WK_OK) return NULL;
    if (tensor->count && !given->data) return wk_fail_null(WK_INVALID, "%s: the memory is NULL", who);
    char *data = given->data ? (char *)given->data + given->byte_offset : NULL;
    if (tensor->count && (uintptr_t)data % size != 0)
        return wk_fail_null(WK_INVALID, "%s: the memory is not aligned to elements of %zu bytes", who, size);
    tensor->storage = wk__storage_of_memory(data, (size_t)reach * size, deleter, context);
    if (!tensor->storage) return NULL;
    atomic_store_explicit(&tensor->storage->exposed, true, memory_order_relaxed);
    tensor->data = data;
    return tensor;
}

static void drop_plain(void *context, void *data) {
    (void)data;
    wk_dl_managed *managed = context;
    if (managed->deleter) managed->deleter(managed);
}
static void drop_versioned(void *context, void *data) {
    (void)data;
    wk_dl_versioned *managed = context;
    if (managed->deleter) managed->deleter(managed);
}

wk_tensor *wk_from_dlpack(wk_dl_managed *managed) {
    if (wk_failed()) return NULL;
    if (!managed) return wk_fail_null(WK_INVALID, "wk_from_dlpack: NULL was given");
    return unpack(&managed->tensor, "wk_from_dlpack", drop_plain, managed);
}

wk_tensor *wk_from_dlpack_versioned(wk_dl_versioned *managed) {
    if (wk_failed()) return NULL;
    if (!managed) return wk_fail_null(WK_INVALID, "wk_from_dlpack_versioned: NULL was given");
    if (managed->version.major != WK_DLPACK_MAJOR)
        return wk_fail_null(WK_FORMAT, "wk_from_dlpack_versioned: version %u.%u, expected %d", managed->version.major,
                            managed->version.minor, WK_DLPACK_MAJOR);
    wk_tensor *tensor = unpack(&managed->tensor, "wk_from_dlpack_versioned", drop_versioned, managed);
    if (tensor) tensor->storage->read_only = (managed->flags & WK_DL_READ_ONLY) != 0;
    return tensor;
}
