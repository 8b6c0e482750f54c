/* wick/dlpack.h: tensors shared with other libraries without a copy, by DLPack 1.0.
 *
 * The structs are those of dlpack.h (https://github.com/dmlc/dlpack, include/dlpack/dlpack.h, v1.0), member by member,
 * under names of our own so that both headers can be included: a pointer to one is a pointer to the other.  Whoever
 * holds such a struct calls its deleter when done, once, from any thread.
 */
#ifndef WICK_DLPACK_H
#define WICK_DLPACK_H

#include "wick/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { WK_DLPACK_MAJOR = 1, WK_DLPACK_MINOR = 0 };
enum { WK_DL_CPU = 1 };                                                                    /* DLDeviceType */
enum { WK_DL_INT = 0, WK_DL_UINT = 1, WK_DL_FLOAT = 2, WK_DL_BFLOAT = 4, WK_DL_BOOL = 6 }; /* DLDataTypeCode */
enum { WK_DL_READ_ONLY = 1, WK_DL_COPIED = 2 };                                            /* flags */

typedef struct wk_dl_device {
    int32_t type, id;
} wk_dl_device;
typedef struct wk_dl_dtype {
    uint8_t code, bits;
    uint16_t lanes;
} wk_dl_dtype;
typedef struct wk_dl_tensor { /* DLTensor */
    void *data;
    wk_dl_device device;
    int32_t ndim;
    wk_dl_dtype dtype;
    int64_t *shape;
    int64_t *strides; /* in elements; NULL: row major */
    uint64_t byte_offset;
} wk_dl_tensor;
typedef struct wk_dl_managed { /* DLManagedTensor */
    wk_dl_tensor tensor;
    void *manager_context;
    void (*deleter)(struct wk_dl_managed *self);
} wk_dl_managed;
typedef struct wk_dl_version {
    uint32_t major, minor;
} wk_dl_version;
typedef struct wk_dl_versioned { /* DLManagedTensorVersioned */
    wk_dl_version version;
    void *manager_context;
    void (*deleter)(struct wk_dl_versioned *self);
    uint64_t flags;
    wk_dl_tensor tensor;
} wk_dl_versioned;

/* A tensor's memory for another library, which sees later changes as Wick sees its: both forms hold the memory until
 * their deleter is called.  Errors: a tensor that wants a gradient (wk_detach it); memory that may only be read, in the
 * older form, which cannot say so. */
WK_API wk_dl_managed *wk_to_dlpack(wk_tensor *tensor);
WK_API wk_dl_versioned *wk_to_dlpack_versioned(wk_tensor *tensor);

/* A scoped tensor on another library's memory, strides and all; its deleter is called when the last reference goes.
 * On failure the caller keeps what it gave.  Errors, each by name: another device, another major version, an element
 * type that Wick has not (complex, eight-bit floats, several lanes), rank over 8, negative strides, memory that is not
 * aligned to its elements. */
WK_API wk_tensor *wk_from_dlpack(wk_dl_managed *managed);
WK_API wk_tensor *wk_from_dlpack_versioned(wk_dl_versioned *managed);

#ifdef __cplusplus
}
#endif
#endif
