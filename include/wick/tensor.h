/* wick/tensor.h: tensors, their three lifetimes, contexts.
 *
 * A tensor is a header (shape, stride, dtype, a pointer) on a reference-counted storage.  Three lifetimes:
 *   scoped    what an operation returns belongs to the innermost open scope and goes with it;
 *   kept      wk_keep gives a header that outlives scopes, until wk_release;
 *   external  the caller's memory, with a deleter (wk_tensor_from_memory).
 * Parameters, optimizer state and buffers are kept tensors.
 */
#ifndef WICK_TENSOR_H
#define WICK_TENSOR_H

#include "wick/base.h"

#ifdef __cplusplus
#    include <initializer_list>
extern "C" {
#endif

#define WK_MAX_RANK 8

/* Every element type once: name, C type that stores it, bytes, safetensors name.  Append only. */
#define WK_DTYPE_MAP(X)                \
    X(F32, f32, float, 4, "F32")       \
    X(F64, f64, double, 8, "F64")      \
    X(BF16, bf16, uint16_t, 2, "BF16") \
    X(F16, f16, uint16_t, 2, "F16")    \
    X(I64, i64, int64_t, 8, "I64")     \
    X(I32, i32, int32_t, 4, "I32")     \
    X(I16, i16, int16_t, 2, "I16")     \
    X(I8, i8, int8_t, 1, "I8")         \
    X(U8, u8, uint8_t, 1, "U8")        \
    X(BOOL, bool, uint8_t, 1, "BOOL")

typedef enum wk_dtype {
#define WK_DTYPE_ENUM(name, text, type, bytes, stored) WK_##name,
    WK_DTYPE_MAP(WK_DTYPE_ENUM)
#undef WK_DTYPE_ENUM
        WK_DTYPE_COUNT
} wk_dtype;

WK_API const char *wk_dtype_name(wk_dtype dtype); /* "f32" */
WK_API size_t wk_dtype_size(wk_dtype dtype);      /* bytes an element */
WK_API bool wk_dtype_is_float(wk_dtype dtype);    /* f64, f32, bf16, f16 */

/* A shape by value: WK_DIMS(64, 3, 28, 28); WK_SCALAR has rank 0. */
typedef struct wk_dims {
    int rank;
    int64_t size[WK_MAX_RANK];
} wk_dims;
#ifdef __cplusplus
}
static inline wk_dims wk_dims_of(std::initializer_list<int64_t> sizes) {
    wk_dims dims = {};
    for (int64_t size : sizes)
        if (dims.rank < WK_MAX_RANK) dims.size[dims.rank++] = size;
    return dims;
}
#    define WK_DIMS(...) wk_dims_of({ __VA_ARGS__ })
#    define WK_SCALAR \
        wk_dims {}
extern "C" {
#else
#    define WK_DIMS(...) ((wk_dims){ (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), { __VA_ARGS__ } })
#    define WK_SCALAR    ((wk_dims){ 0 })
#endif

typedef struct wk_tensor wk_tensor;

/* ---- context: what belongs to one line of execution -------------------------------------------------------------- */

/* Scope stack, pending error, gradient mode, tape, memory cache, thread budget.  Each thread has one of its own, made
 * on first use; a runtime that moves work between threads makes its own and binds it. */
typedef struct wk_context wk_context;
WK_API wk_context *wk_context_create(void);
/* The context must be bound to no thread; its scopes end with it. */
WK_API void wk_context_destroy(wk_context *context);
/* Bind to the current thread (NULL: back to the thread's own); gives what was bound before (NULL: the thread's own). */
WK_API wk_context *wk_context_bind(wk_context *context);

/* Threads that one operation may use on the CPU; 0 restores the default (OMP_NUM_THREADS, else the cores this process
 * may run on).  Per context. */
WK_API void wk_set_threads(int threads);
WK_API int wk_threads(void);

/* Mixed precision: between begin and end, matrix products and convolutions convert f32 operands to `dtype` (WK_BF16 or
 * WK_F16), and losses, exponentials, logarithms, powers, sums and softmax convert half operands to f32; what mixes its
 * operands (concat) takes the widest.  f64 is left alone.  Gradients flow through the casts, so f32 weights get f32
 * gradients.  Casts of weights are kept until the outermost end, so begin it inside the step's scope.  Backward and
 * optimizer steps are not affected.  Nests; `enabled` false switches it off inside.  Per context.  torch.autocast
 *     wk_autocast was = wk_autocast_begin(WK_BF16, true); …; wk_autocast_end(was); */
typedef struct wk_autocast {
    bool enabled;
    wk_dtype dtype;
} wk_autocast;
WK_API wk_autocast wk_autocast_begin(wk_dtype dtype, bool enabled);
WK_API void wk_autocast_end(wk_autocast was);
WK_API bool wk_autocast_is_on(void);

/* Give cached memory of this context back to the system. */
WK_API void wk_memory_trim(void);

/* ---- scopes --------------------------------------------------------------------------------------------------------
 */

/* Scopes nest.  When the outermost one ends, everything made in it is gone and the tape is empty. */
typedef struct wk_scope {
    void *record;
    uint64_t serial;
} wk_scope;
WK_API wk_scope wk_scope_begin(void);
/* Ends this scope and those still open inside it.  Works with an error pending. */
WK_API void wk_scope_end(wk_scope scope);
/* Give `tensor` to the scope around `scope` and return it: what a function with a scope of its own returns. */
WK_API wk_tensor *wk_scope_return(wk_scope scope, wk_tensor *tensor);

/* A header that outlives scopes, sharing the storage, cut off from the tape.  NULL stays NULL.  For a tensor that is
 * kept already: one more reference to it. */
WK_API wk_tensor *wk_keep(wk_tensor *tensor);
/* Give one reference back; NULL is fine. */
WK_API void wk_release(wk_tensor *tensor);

/* ---- making tensors
 * -------------------------------------------------------------------------------------------------- */

/* Scoped tensors, row major, on the CPU.  Errors: WK_SHAPE (negative size, too many elements), WK_NO_MEMORY,
 * WK_NO_SCOPE. */
WK_API wk_tensor *wk_empty(wk_dtype dtype, wk_dims dims);
WK_API wk_tensor *wk_zeros(wk_dtype dtype, wk_dims dims);
WK_API wk_tensor *wk_full(wk_dtype dtype, wk_dims dims, double value);
/* 0, 1, 2, … of the dtype i64. */
WK_API wk_tensor *wk_arange(int64_t count);
/* Copies `data` (row major, dims' product of elements). */
WK_API wk_tensor *wk_from_array(wk_dtype dtype, wk_dims dims, const void *data);
/* Uses the caller's memory; `deleter(context, data)` is called when the last reference goes (NULL: never).  On failure
 * the deleter is not called. */
WK_API wk_tensor *wk_from_memory(wk_dtype dtype, wk_dims dims, void *data, void (*deleter)(void *context, void *data),
                                 void *context);
/* Kept tensors, zeroed: release with wk_release. */
WK_API wk_tensor *wk_kept_zeros(wk_dtype dtype, wk_dims dims);

/* ---- looking at tensors
 * ---------------------------------------------------------------------------------------------- */

WK_API int wk_rank(const wk_tensor *tensor);
/* Size of an axis; negative axes count from the end.  0 for an axis that is not there. */
WK_API int64_t wk_size(const wk_tensor *tensor, int axis);
WK_API wk_dims wk_dims_get(const wk_tensor *tensor);
WK_API int64_t wk_count(const wk_tensor *tensor); /* elements */
WK_API wk_dtype wk_dtype_get(const wk_tensor *tensor);
WK_API bool wk_is_contiguous(const wk_tensor *tensor); /* row major without gaps */
/* The elements, only for contiguous tensors on the CPU: NULL with WK_INVALID pending otherwise.  Of a frozen module's
 * weight (wk_module_freeze) this counts as a change in place; a weight that is trained under autocast is cast in each
 * step from then on, for it may be written to at any time (wk_copy_into and wk_copy_out leave that to the optimizer).
 */
WK_API void *wk_data(wk_tensor *tensor);
/* One element as a double (row-major index); a pending error and 0 when out of range. */
WK_API double wk_at(const wk_tensor *tensor, int64_t index);
/* The value of a tensor of one element. */
WK_API double wk_item(const wk_tensor *tensor);
/* Copy all elements, row major, into `data` of `bytes` bytes, which must be exactly count × element size. */
WK_API wk_status wk_copy_out(const wk_tensor *tensor, void *data, size_t bytes);
/* Copy `source` (same shape; another dtype is converted) into a tensor that no graph holds; counts as a change in
 * place. */
WK_API wk_status wk_copy_into(wk_tensor *target, const wk_tensor *source);
/* The elements as NumPy prints them: zero means NumPy's own settings. */
typedef struct wk_format_opts {
    bool repr;             /* with "array(", commas and the dtype, as repr() does; else as str() */
    wk_optional precision; /* digits behind the point at most, 8 */
    int64_t threshold;     /* more elements are summarised, 1000 */
    int64_t edge_items;    /* then shown at each end of an axis, 3 */
    int64_t line_width;    /* 75 */
} wk_format_opts;
/* Text to be freed with wk_free; NULL with an error pending. */
WK_API char *wk_tensor_format(const wk_tensor *tensor, wk_format_opts opts);
/* The same and a newline, written to the stream. */
WK_API wk_status wk_tensor_print(const wk_tensor *tensor, FILE *stream);
/* "(64, 784) f32" into the buffer, which is returned. */
WK_API const char *wk_describe(const wk_tensor *tensor, char *buffer, size_t size);

#ifdef __cplusplus
}
#endif
#endif
