/* tensor.h: what the floors above share about tensors: storage, the context, recording.
 *
 * A context is one line of execution: its pending error, scope stack, step arena (headers, tape nodes), memory cache
 * and mode word.  Every thread has one; code that moves work between threads binds its own.
 */
#ifndef WICK_SRC_TENSOR_H
#define WICK_SRC_TENSOR_H

#include "base/base.h"
#include "tensor/backend.h"
#include "wick/op.h"
#include "wick/random.h"

#include <stdatomic.h>

enum { WK__ALIVE = 0x57494b21, WK__DEAD = 0x44454144 };

/* Reference-counted memory.  `parent` is set for a slice of another storage (a gradient inside a DDP bucket): it has a
 * version of its own.  `scale` leaves room for quantised types. */
typedef struct wk_storage {
    atomic_uint references;
    uint32_t version; /* counts changes in place */
    uint8_t device;
    uint8_t size_class;                  /* of the cache; WK__POOLED, WK__NOT_CACHED */
    bool read_only;                      /* a mapped file, or memory that its owner shares for reading */
    bool planned;                        /* of a step's plan: the next step overwrites it */
    atomic_bool exposed;                 /* somebody has its address, and may write there without a word */
    bool constant;                       /* a frozen module's weight: copies in kernels' own layouts may be kept */
    _Atomic(struct wk__packed *) packed; /* those copies (packed.c) */
    void *data;
    size_t bytes;
    const char *changed_at; /* call site of the last change in place */
    struct wk_storage *parent;
    wk_tensor *scale;
    void (*deleter)(void *context, void *data);
    void *deleter_context;
    struct wk_storage *next_free;
} wk_storage;
/* The caller's memory; the backend's, which keeps large blocks itself. */
enum { WK__NOT_CACHED = 255, WK__POOLED = 254, WK__SIZE_CLASSES = 160 };

typedef struct wk__scope {
    struct wk__scope *outer;
    wk_tensor *tensors; /* made in it */
    wk__arena_mark mark;
    uint64_t serial;
} wk__scope;

/* The mode word: zero is the fast path (gradients on, nothing else). */
enum {
    WK__MODE_NO_GRAD = 1,
    WK__MODE_FAIL = 2,
    WK__MODE_ANOMALY = 4,
    WK__MODE_CHECK_RESULTS = 8,
    WK__MODE_AUTOCAST = 16,
    WK__MODE_COST = 32,
    WK__MODE_OBSERVED = 64,
    WK__MODE_CAPTURE = 128, /* a step is noted … */
    WK__MODE_REPLAY = 256,  /* … or goes as its plan says */
    WK__MODE_STEP = WK__MODE_CAPTURE | WK__MODE_REPLAY,
    WK__MODE_COMPARED = 63 /* those in which a call must fit its plan's */
};
enum { WK__TENSOR_PLANNED = 8 }; /* a header's flag: it belongs to a step's plan, and is never given back */

/* Mixed precision: the half type, and the casts of weights that are kept (autocast.c). */
typedef struct wk__cast_of_leaf {
    const wk_tensor *leaf; /* NULL: a free slot */
    const wk_storage *storage;
    uint32_t version; /* of the storage when it was cast */
    wk_tensor *cast;
} wk__cast_of_leaf;
typedef struct wk__autocast {
    wk_dtype dtype;
    int depth;        /* open wk_autocast_begin */
    wk__scope *scope; /* where the outermost began; NULL: outside of all, casts are not kept */
    wk__cast_of_leaf *cache;
    int used, capacity;
} wk__autocast;

/* Told of what a context runs (WK__MODE_OBSERVED): the profiler. */
typedef struct wk__observer {
    void (*ran)(struct wk__observer *observer, const wk_context *context, const wk_call *call, double start,
                double end);
    void (*context_ends)(struct wk__observer *observer);
} wk__observer;
/* Called when a thread's own context has been made; NULL: nobody asked. */
extern void (*wk__context_made)(void);

struct wk_node;
struct wk__walk;
struct wk_context {
    wk__error *pending; /* this line of execution's error: `error`, or the thread's own slot */
    wk__error error;
    uint32_t mode;
    int threads;
    int device;            /* where tensors are made that no operand places */
    const char *call_site; /* "file:line" of the last operation called by name */
    const char *layer;     /* path of the module whose forward runs, for messages */
    const char *composite; /* the composite operation whose parts run, for messages */
    wk__scope *scope;
    uint64_t scope_serial;
    uint64_t step_serial; /* counts outermost scopes */
    wk__arena arena;
    struct wk_node *tape; /* last node */
    uint64_t tape_length;
    struct wk__walk *walk; /* the innermost backward that runs */
    wk_storage *cache[WK__SIZE_CLASSES];
    size_t cached_bytes;
    wk_cost cost;              /* of WK__MODE_COST */
    int64_t ops_until_failure; /* of WK__MODE_FAIL */
    wk_generator generator;
    wk__autocast autocast;
    struct wk__backward_hook *backward_hooks;
    wk__observer *observer;  /* of WK__MODE_OBSERVED */
    struct wk__step *step;   /* names of steps and their plans, or NULL */
    wk_noted_numbers *noted; /* while a graph's kernels are noted, or asked for their numbers */
    int process;             /* to refuse use in a forked child */
};

extern _Thread_local wk_context *wk__context_bound;
WK_API wk_context *wk__context_slow(void);
static inline wk_context *wk__context(void) {
    wk_context *context = wk__context_bound;
    return WK_LIKELY(context != NULL) ? context : wk__context_slow();
}

/* ---- storage ---- */
wk_storage *wk__storage_create(wk_context *context, int device, size_t bytes);
wk_storage *wk__storage_of_memory(void *data, size_t bytes, void (*deleter)(void *, void *), void *deleter_context);
/* A slice [offset, offset + bytes) with a version of its own. */
WK_API wk_storage *wk__storage_slice(wk_storage *parent, size_t offset, size_t bytes);
WK_API void wk__storage_drop(wk_storage *storage);
static inline wk_storage *wk__storage_hold(wk_storage *storage) {
    if (storage) (void)atomic_fetch_add_explicit(&storage->references, 1, memory_order_relaxed);
    return storage;
}

/* From now on copies of the storage's elements in other layouts may be kept with it (packed.c). */
void wk__storage_freeze(wk_storage *storage);
/* Give them back; the storage is like any other afterwards. */
void wk__storage_thaw(wk_storage *storage);

/* ---- devices ---- */
enum { WK__BACKENDS = 3, WK__DEVICES_OF_BACKEND = 8 };
/* Device 0 is the CPU; those of backend b ≥ 1 are numbered from 1 + (b − 1) · WK__DEVICES_OF_BACKEND. */
static inline int wk__backend_index(int device) {
    return device ? 1 + (device - 1) / WK__DEVICES_OF_BACKEND : 0;
}
static inline int wk__ordinal(int device) {
    return device ? (device - 1) % WK__DEVICES_OF_BACKEND : 0;
}
/* The backend of this name, opened where that has not been done, as its index; -1 with an error pending. */
int wk__backend_open(const char *name);
const wk_backend *wk__backend_at(int index); /* NULL: not opened */
/* From here on what no operand places is made on `device`; gives the former. */
static inline int wk__device_enter(wk_context *context, int device) {
    int former = context->device;
    context->device = device;
    return former;
}
/* Bytes between a device and the host, and within one; the host's are read or written on return. */
wk_status wk__copy_bytes(void *target, int target_device, const void *source, int source_device, size_t bytes);
/* The same elements on the CPU: the tensor itself, or a scoped copy, row major or dense as the tensor is. */
WK_API wk_tensor *wk__on_host(wk_tensor *tensor);
/* A tensor that host code has filled, on the context's device; NULL stays NULL. */
wk_tensor *wk__placed(wk_tensor *host);
/* wk_copy_out and wk_copy_into where one of the tensors is not on the CPU; checked already. */
wk_status wk__copy_out_device(const wk_tensor *tensor, void *data, size_t bytes);
wk_status wk__copy_into_device(wk_tensor *target, const wk_tensor *source);
/* A kept, zeroed tensor on a device. */
wk_tensor *wk__kept_zeros_on(int device, wk_dtype dtype, wk_dims dims);
/* A scoped tensor on a device, unset. */
wk_tensor *wk__empty_on(int device, wk_dtype dtype, wk_dims dims);
/* All elements, which lie without gaps, become `value`. */
wk_status wk__fill_dense(const wk_tensor *tensor, double value);
/* A CPU tensor of one element as a tensor of `device`: the number goes with the fill. */
wk_tensor *wk__number_on(wk_tensor *number, int device);

/* ---- headers ---- */
/* A scoped header, fields unset but life, scope link and defaults; NULL with an error pending. */
wk_tensor *wk__header_create(wk_context *context);
/* Shape, row-major strides, count and flags from dims; false with WK_SHAPE pending. */
bool wk__header_shape(wk_tensor *tensor, wk_dtype dtype, int rank, const int64_t *shape, const char *who);
void wk__header_flags(wk_tensor *tensor); /* recompute CONTIGUOUS */
/* A scoped header that shares everything with `tensor`, node included. */
WK_API wk_tensor *wk__header_copy(wk_context *context, const wk_tensor *tensor);
/* Give the storage back now; the header stays for its shape. */
WK_API void wk__tensor_drop(wk_tensor *tensor);
/* A kept header on a slice of `storage`, row major. */
WK_API wk_tensor *wk__kept_on(wk_storage *storage, size_t offset, wk_dtype dtype, wk_dims dims);
/* Elements lie without gaps or overlaps, in whatever order of axes. */
WK_API bool wk__is_dense(const wk_tensor *tensor);
/* One element as a double, at an offset in elements from data. */
double wk__element_get(const void *data, wk_dtype dtype, int64_t index);
void wk__element_set(void *data, wk_dtype dtype, int64_t index, double value);
void wk__elements_fill(void *data, wk_dtype dtype, int64_t count, double value);
wk_dims wk__dims(const wk_tensor *tensor);

/* Whether a call of a row that writes in place writes its operand i. */
static inline bool wk__writes(const wk_call *call, int i) {
    return call->in[i] && (call->op->n_in == WK_LIST ? i > 0 : (call->op->mutates >> i & 1) != 0);
}
/* A change in place, by the call at `place`. */
static inline void wk__storage_changed(wk_storage *storage, const char *place) {
    storage->version++;
    storage->changed_at = place;
}
/* Whether elements may not be written one by one, and the reason in words. */
bool wk__not_writable(const wk_tensor *tensor, char *why, size_t size);
/* An output of a call has a NaN, while results are checked (anomaly mode). */
wk_status wk__check_results(const wk_call *call);
WK_API bool wk__has_nan(const wk_tensor *tensor);

/* ---- recording: declared here, defined by the autograd floor ---- */
wk_status wk__tape_record(wk_context *context, const wk_call *call);
/* Release what the nodes since `mark` hold (at the end of the outermost scope). */
void wk__tape_clear(wk_context *context);
void wk__leaf_destroy(struct wk_leaf *leaf);
/* The memory of a leaf's gradient (made if there is none) while it holds nothing and nobody else uses it: a forward
 * call may write the gradient there that its rule will give.  Claimed: the caller drops one reference to the storage
 * when its call is made.  NULL for other tensors, where hooks see the gradient or it is kept as rows, or with an error
 * pending. */
wk_tensor *wk__leaf_room(wk_tensor *tensor);
/* The leaf that the tensor is with its axes in another order, or NULL; and another tensor's axes in that order. */
wk_tensor *wk__turned_leaf(const wk_tensor *tensor);
wk_tensor *wk__turned_likewise(const wk_tensor *tensor, wk_tensor *other);
/* The values of a leaf in a half type, if its optimizer keeps them (borrowed), else NULL; and the wish that it do. */
wk_tensor *wk__leaf_half(const wk_tensor *leaf, wk_dtype dtype);
void wk__leaf_wish_half(const wk_tensor *leaf, wk_dtype dtype);
static inline bool wk__wants_grad(const wk_tensor *tensor) {
    return (tensor->flags & WK_TENSOR_REQUIRES_GRAD) != 0;
}

/* ---- steps: capture and replay (step/) ---- */

/* How a call ran: what its shape rule said, the memory it was given for its outputs (or NULL), whether a kernel ran, …
 */
typedef struct wk__ran {
    const wk_desc *descs;
    wk_tensor *const *targets;
    bool ran, taped, mutates;
} wk__ran;
/* While WK__MODE_CAPTURE is set: around each call (row NULL: a backward), and after each that is not made of others. */
void wk__capture_enter(wk_context *context, const wk_call *call, wk_tensor *const *targets);
void wk__capture_leave(wk_context *context, wk_tensor *const *out, int n_out, wk_status status);
void wk__capture_ran(wk_context *context, const wk_call *call, const wk__ran *how);
/* A storage is given out or back; a tensor has been made on the host; its values are looked at by `what`. */
void wk__capture_storage(wk_context *context, const wk_storage *storage);
void wk__capture_host(wk_context *context, const wk_tensor *tensor);
void wk__capture_look(wk_context *context, const char *what);
/* A header's scope ends. */
void wk__capture_drop(wk_context *context, const wk_tensor *tensor);
/* A backward reaches a leaf; the leaf's gradient is complete. */
void wk__capture_leaf(wk_context *context, wk_tensor *leaf, const wk_tensor *gradient, bool empty);
void wk__capture_leaf_ready(wk_context *context, wk_tensor *leaf);
/* Autocast wanted this leaf in this type, and found it kept (`half`) or not (NULL). */
void wk__capture_half(wk_context *context, const wk_tensor *leaf, wk_dtype dtype, const wk_tensor *half);
/* What runs between is run by a replay too, and not noted. */
void wk__capture_suspend(wk_context *context, bool on);
void wk__step_refuse(wk_context *context, const char *format, ...) WK_PRINTF(2, 3);
/* While WK__MODE_REPLAY is set: run the call as planned, or answer false, and the step goes on as ever. */
bool wk__replay_call(wk_context *context, const wk_call *call, wk_tensor *const *targets, wk_status *status);
/* What a replay has put off for a device goes to its stream now.  Called before anything else goes there, or is asked
 * for from there; nothing to do in most calls. */
wk_status wk__step_flush_slow(wk_context *context);
static inline wk_status wk__step_flush(wk_context *context) {
    return context->step ? wk__step_flush_slow(context) : WK_OK;
}
/* The step does something that needs the tape. */
void wk__step_needs_tape(wk_context *context, const char *why);
/* Of all plans that have been replayed. */
size_t wk__step_bytes(const wk_context *context);
void wk__step_close(wk_context *context);
bool wk__step_is_open(const wk_context *context);
/* As wk_step_forget of one name, whose record goes too; the open step, if it is another, goes on. */
void wk__step_remove(const char *name);
void wk__step_destroy(wk_context *context);
bool wk__step_is_in_backward(const wk_context *context);
wk_status wk__run_kernel(wk_context *context, const wk_call *call);
/* By which a row's kernels differ. */
wk_dtype wk__key_dtype(const wk_call *call);
/* Defined by the autograd floor: whether the leaf's gradient is in this state; it is full, and whoever waits is told.
 */
bool wk__leaf_is(const wk_tensor *leaf, const wk_tensor *gradient, bool empty);
wk_status wk__leaf_completed(wk_tensor *leaf);

/* For tests: the call number `count` from now (1: the next) fails; 0 takes that back. */
WK_API void wk__fail_after_ops(int64_t count);

/* ---- mixed precision ---- */
/* The cast of a leaf that is kept (wk__leaf_half): a view of that. */
wk_tensor *wk__kept_cast(wk_tensor *leaf, wk_tensor *half);
/* Where the call runs, and `call->in` with operands there; numbers that move are put into `placed` (place.c). */
wk_status wk__place_operands(wk_context *context, wk_call *call, wk_tensor *placed[WK_MAX_IN]);
/* Convert the operands of a row that has a class, into `converted`. */
wk_status wk__autocast_operands(wk_context *context, wk_call *call, wk_tensor *converted[WK_MAX_IN]);
/* Drop the kept casts. */
void wk__autocast_forget(wk_context *context);
/* A leaf in a half type: what the optimizer keeps of it as a view, or a cast, and the wish for the next time. */
wk_tensor *wk__autocast_leaf(wk_context *context, wk_tensor *leaf, wk_dtype dtype);
/* Give a row the class of torch.autocast's lists, if it says none itself. */
void wk__autocast_classify(wk_op_def *op);
/* For functions made of operations that belong to the f32 list: a half tensor as f32 while autocast is on. */
WK_API wk_tensor *wk__autocast_f32(wk_tensor *tensor);

/* ---- rows ---- */
/* Kernels of one row on one backend, by dtype of the key tensor. */
wk_kernel wk__kernel_for(const wk_op_def *op, int device, wk_dtype dtype);
const wk_backend *wk__backend_of(int device);

#endif
