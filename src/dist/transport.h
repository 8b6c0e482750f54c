/* transport.h: what carries the bytes between ranks: one struct of functions, called by one thread at a time (`abort`:
 * by any).  Collectives are begun and then tested until done, so that the group decides who polls, and how hard.
 */
#ifndef WICK_SRC_DIST_TRANSPORT_H
#define WICK_SRC_DIST_TRANSPORT_H

#include "base/base.h"
#include "tensor/backend.h"
#include "wick/dist.h"

#define WK_TRANSPORT_API 3

/* Memory that the ranks of a host have in common: a part each, one behind the other. */
typedef struct wk_region {
    char *memory;    /* NULL: there is none */
    size_t bytes;    /* of a part */
    int part, parts; /* this rank's, and how many */
} wk_region;

typedef struct wk_transfer {
    wk_collective kind;
    const void *in; /* all_reduce and broadcast work in place on out */
    void *out;
    int64_t count; /* elements of one rank's part */
    wk_dtype dtype;
    wk_reduce op; /* never MEAN, which is SUM with a scale */
    double
        scale; /* what the transport multiplies the result of all_reduce and reduce_scatter with (f32, f64), 1 mostly */
    int root;
    int device;              /* where the memory lies; 0: the CPU, else the group has another carry it (cards.c) */
    const wk_region *region; /* `out` lies in this rank's part, on every rank at the same place; NULL: elsewhere */
} wk_transfer;

typedef struct wk_transport {
    uint32_t api_version, size;
    const char *name;
    /* Join; gives this rank and how many there are.  `state` is passed to the rest. */
    wk_status (*open)(void **state, int *rank, int *ranks);
    wk_status (*begin)(void *state, const wk_transfer *transfer);
    /* One transfer at a time is under way. */
    wk_status (*test)(void *state, bool *done);
    void (*close)(void *state);
    /* End this rank with `code`, and the others, telling them why. */
    void (*abort)(void *state, int code, const char *reason);
    /* How gradients are summed, in a word. */
    const char *(*algorithm)(const void *state);
    /* Make a region with `bytes` a rank, or leave it without memory on all ranks.  All must call it, and wait in it. */
    wk_status (*share)(void *state, size_t bytes, wk_region *region);
} wk_transport;

/* A region may outlive its group. */
WK_API void wk__region_release(wk_region *region);

/* The symbol that a plugin exports: const wk_transport *wk_transport_plugin(void). */
typedef const wk_transport *(*wk_transport_plugin_function)(void);

const wk_transport *wk__transport_self(void);
const wk_transport *wk__transport_tcp(void);
/* "self" and "tcp" are here; else open wick_NAME.so: beside libwick, in its folder wick/, or in WICK_PLUGIN_PATH. */
const wk_transport *wk__transport_find(const char *name);

#endif
