/* backend.h: what a device must offer, and what kernels get to see.  kernels/ includes this header and nothing else of
 * src.
 */
#ifndef WICK_SRC_TENSOR_BACKEND_H
#define WICK_SRC_TENSOR_BACKEND_H

#include "wick/device.h"
#include "wick/op.h"

#define WK_BACKEND_API 4

typedef struct wk_event wk_event;
typedef struct wk_device_graph wk_device_graph;

typedef enum wk_copy_kind { WK_COPY_HOST_TO_DEVICE, WK_COPY_DEVICE_TO_HOST, WK_COPY_DEVICE_TO_DEVICE } wk_copy_kind;

/* What a backend has taken of a device's memory, in bytes. */
typedef struct wk_memory_use {
    int64_t used; /* by tensors and by kernels that run */
    int64_t kept; /* given back, and waiting for the next request */
    int64_t most; /* that were used at once */
} wk_memory_use;

/* ---- collectives among the devices of several ranks ---- */

typedef enum wk_collective { WK_ALL_REDUCE, WK_BROADCAST, WK_ALL_GATHER, WK_REDUCE_SCATTER, WK_BARRIER } wk_collective;
typedef enum wk_combine { WK_COMBINE_SUM, WK_COMBINE_MEAN, WK_COMBINE_MAX, WK_COMBINE_MIN } wk_combine;
enum { WK_EXCHANGE_ID = 128 };

/* `count` elements of one rank's part, in memory of the device; in == out but for all_gather and reduce_scatter. */
typedef struct wk_device_transfer {
    wk_collective kind;
    const void *in;
    void *out;
    int64_t count;
    int dtype; /* a wk_dtype */
    wk_combine combine;
    int root;
} wk_device_transfer;

/* Called by one thread at a time (`abort`: by any).  Joining and transfers are begun, one at a time, and then tested
 * until done; a transfer begins behind what the device's stream holds. */
typedef struct wk_device_exchange {
    wk_status (*make_id)(char id[WK_EXCHANGE_ID]); /* one rank makes it, all join by it */
    wk_status (*join)(void **state, int device, const char id[WK_EXCHANGE_ID], int rank, int ranks);
    wk_status (*begin)(void *state, const wk_device_transfer *transfer);
    wk_status (*test)(void *state, bool *done);
    void (*leave)(void *state);
    void (*abort)(void *state);
} wk_device_exchange;

/* ---- numbers of the host in a graph ----
 *
 * A launch that is noted keeps its arguments for good.  Numbers that differ from step to step (a random key, a learning
 * rate) lie in the device's memory instead.  A kernel that takes such numbers is called three times for a graph: */
typedef enum wk_noted_phase {
    WK_NOTED_LAUNCHES, /* its launches are noted; they read at `device` what it writes to `host`, at the same offset */
    WK_NOTED_NUMBERS, /* before each launch of the graph: it writes them again, as many as then, and launches nothing */
    WK_NOTED_COUNTS   /* after each: what it counts on the host goes on */
} wk_noted_phase;
typedef struct wk_noted_numbers {
    wk_noted_phase phase;
    char *host;
    const char *device;
    size_t used, room; /* bytes; a kernel writes from `used` on, and moves it */
} wk_noted_numbers;

/* What a kernel's launches moved, as an emulated device counts it. */
typedef struct wk_kernel_traffic {
    char kernel[64];
    int64_t launches;
    int64_t read, written;     /* bytes of the sectors (32 bytes) that a launch touches, each once */
    int64_t requests, sectors; /* of warps to global memory, and the sectors that they touch, each time */
    int64_t asked;             /* bytes that these requests are about; what lanes share once */
    int64_t shared_requests;   /* of warps to shared memory */
    int64_t conflicts;         /* how often a bank had to answer once more */
} wk_kernel_traffic;

typedef struct wk_backend {
    uint32_t api_version, size;
    const char *name;
    /* NULL, or why there is no device: one line. */
    const char *(*unavailable)(void);
    int (*device_count)(void);
    wk_status (*device_info)(int device, wk_device_info *info);
    wk_status (*allocate)(int device, size_t bytes, wk_stream *stream, void **memory);
    void (*release)(int device, void *memory, size_t bytes, wk_stream *stream);
    /* Blocks of this size and larger are kept by the backend for the next request; smaller ones by the caller. */
    size_t pooled;
    void (*trim)(int device);                                /* give what is kept back to the system */
    wk_status (*memory_use)(int device, wk_memory_use *use); /* NULL: not counted */
    /* Memory of the host that a device reads while the host goes on; NULL: there is none such. */
    wk_status (*host_allocate)(size_t bytes, void **memory);
    void (*host_release)(void *memory);
    /* In the stream's order.  Memory of the host has been written on return, and read if it is not of host_allocate. */
    wk_status (*copy)(int device, void *target, const void *source, size_t bytes, wk_copy_kind kind, wk_stream *stream);
    /* `count` elements of `size` bytes (1, 2, 4 or 8), all equal to *element, which lies on the host; NULL on the CPU.
     */
    wk_status (*fill)(int device, void *target, const void *element, size_t size, int64_t count, wk_stream *stream);
    /* Streams and events: NULL members where every call is finished on return. */
    wk_stream *(*stream)(int device); /* the one that kernels run in; made when first asked for, NULL with an error */
    wk_status (*stream_create)(int device, wk_stream **stream);
    void (*stream_destroy)(wk_stream *stream);
    wk_status (*stream_synchronise)(wk_stream *stream);
    wk_status (*event_record)(wk_stream *stream, wk_event **event);
    wk_status (*event_wait)(wk_stream *stream, wk_event *event);
    void (*event_destroy)(wk_event *event);
    /* Graphs: from graph_begin on, what this thread puts on the device's stream is noted and does not run; graph_end
     * makes of it what one launch runs as often as wanted, with the same addresses and arguments, and tells of how many
     * operations it is.  It ends the noting in any case; graph NULL: to no end.  What cannot be noted (the host waits
     * for the device) is an error there or then.  NULL members: there are none. */
    wk_status (*graph_begin)(int device);
    wk_status (*graph_end)(int device, wk_device_graph **graph, int *operations);
    wk_status (*graph_launch)(wk_device_graph *graph, wk_stream *stream);
    void (*graph_destroy)(wk_device_graph *graph);
    /* Whether that kernel knows wk_kernel_ctx.noted; asked of rows that read operands on the host. */
    bool (*notes_numbers)(const char *op, wk_dtype dtype);
    /* Call part(context, rank, team) for each rank of a team of at most `threads`, all at once. */
    void (*parallel)(int threads, void (*part)(void *context, int rank, int team), void *context);
    /* Resolved once per row and dtype; NULL: not supported, the row's decomposition is taken or the error names it. */
    wk_kernel (*kernel)(const char *op, wk_dtype dtype);
    /* The name of the table where that kernel stands, for documents; NULL member or answer: not known. */
    const char *(*kernel_table)(const char *op, wk_dtype dtype);
    const char *(*last_error)(void);
    const wk_device_exchange *exchange; /* NULL: ranks cannot exchange this backend's memory */
    /* What each kernel has moved since this was last asked; how many, -1: nobody counts.  NULL: nobody could. */
    int (*traffic)(wk_kernel_traffic *rows, int most);
} wk_backend;

/* What a plugin, wick_NAME.so, exports as `wick_backend`. */
typedef const wk_backend *(*wk_backend_function)(void);

/* The CPU, always there. */
const wk_backend *wk__cpu_backend(void);
/* Its processor, instruction set, cores and memory. */
WK_API wk_status wk__cpu_device_info(wk_device_info *info);

/* The table where a row's kernel for a dtype stands; NULL: there is none, or the backend does not say. */
WK_API const char *wk__kernel_table(const wk_op_def *op, wk_device device, wk_dtype dtype);
/* The member `traffic` of a device's backend; NULL: it has none. */
typedef int (*wk_traffic_function)(wk_kernel_traffic *rows, int most);
WK_API wk_traffic_function wk__device_traffic(wk_device device);
/* How many calls of rows have run as their parts, in all threads. */
WK_API uint32_t wk__count_decompositions(void);

/* ---- weights that do not change: packed.c ---- */

/* Whether copies of the elements in another layout may be kept: a frozen module's weight. */
bool wk__is_constant(const wk_tensor *weight);
/* Fills `packed` from the weight's elements. */
typedef wk_status (*wk__pack)(void *context, void *packed);
/* The weight in a layout of the kernel's own: `bytes` bytes, aligned to 64, which `pack` filled when they were first
 * asked for and again after each change in place.  `layout` stands for the layouts of both, the weight's and the
 * packed one's: equal numbers, equal copies.  They live as long as the weight's storage.  NULL with an error pending.
 */
const void *wk__packed(const wk_tensor *weight, uint64_t layout, size_t bytes, wk__pack pack, void *context);

/* ---- roofs: kernels of the CPU that are no rows, for `wick bench` ----
 *
 * roof_read, roof_write, roof_copy (from) -> to, f32 of one size: what memory gives, each thread at its own share.
 * roof_multiply_add (count) -> sums (threads), f64: count becomes the number of operations done.
 * roof_fork_join: the team woken. */
typedef struct wk_roof_attrs {
    int64_t repeats;
} wk_roof_attrs;
/* NULL: there is none of this name for this dtype. */
WK_API wk_kernel wk__cpu_roof(const char *name, wk_dtype dtype);

#endif
