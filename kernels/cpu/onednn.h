/* onednn.h: oneDNN primitives with what Wick needs around them: a cache, layouts, the thread's memory objects. */
#ifndef WICK_KERNELS_CPU_ONEDNN_H
#define WICK_KERNELS_CPU_ONEDNN_H

#include "cpu/cpu.h"

#include <dnnl.h>

enum { WK_DNNL_KEY = 40, WK_DNNL_OPERANDS = 4 };

/* What a primitive is found by: kind, dtype, thread count, shapes, strides, attributes, in the caller's order. */
typedef struct wk_dnnl_key {
    int length;
    int64_t word[WK_DNNL_KEY];
} wk_dnnl_key;
static inline void wk__dnnl_key_add(wk_dnnl_key *key, int64_t word) {
    if (key->length < WK_DNNL_KEY) key->word[key->length++] = word;
}

/* A primitive's operand: the layout that the tensor has, the one that the primitive wants, and the way between. */
typedef struct wk_dnnl_operand {
    int argument; /* DNNL_ARG_… */
    bool output;
    dnnl_memory_t tensor, inner; /* the same object where no reorder is needed */
    dnnl_primitive_t reorder;    /* NULL: none, or the blocked copy below */
    int64_t blocked[4]; /* N, C, H, W: channels last <-> blocks of 16 channels, by Wick's own copy; N = 0: no */
    size_t offset;      /* of the inner layout in the reorder scratch */
    size_t bytes;       /* of the inner layout */
    uint64_t kept;      /* not 0: the inner layout is kept with the tensor, under this number */
} wk_dnnl_operand;

typedef struct wk_dnnl_plan {
    wk_dnnl_key key;
    dnnl_primitive_t primitive; /* NULL: known not to be supported */
    int count;
    wk_dnnl_operand operand[WK_DNNL_OPERANDS];
    dnnl_memory_t pad;
    size_t pad_bytes, inner_bytes;
    bool relu; /* of a blocked output: applied while it is copied */
} wk_dnnl_plan;

/* The calling thread's plan for a key; NULL if there is none yet. */
wk_dnnl_plan *wk__dnnl_find(const wk_dnnl_key *key);
/* An empty plan for the key in the thread's cache; NULL with an error pending. */
wk_dnnl_plan *wk__dnnl_add(const wk_dnnl_key *key);
dnnl_engine_t wk__dnnl_engine(void); /* NULL with an error pending */

/* Make `plan` run the primitive of `desc`, which is destroyed; false if that fails (the plan stays unsupported).
 * Reference implementations, hundreds of times slower than Wick's own kernels, are refused. */
bool wk__dnnl_set_primitive(wk_dnnl_plan *plan, dnnl_primitive_desc_t desc);
/* Add an operand; `inner` is the primitive's layout. */
bool wk__dnnl_add_operand(wk_dnnl_plan *plan, int argument, bool output, const dnnl_memory_desc_t *tensor,
                          const dnnl_memory_desc_t *inner);
/* The same of a weight that does not change (wk__is_constant): its inner layout is made once and kept. */
bool wk__dnnl_add_constant(wk_dnnl_plan *plan, int argument, const dnnl_memory_desc_t *tensor,
                           const dnnl_memory_desc_t *inner);
/* Attributes that let the caller give the scratchpad; NULL on failure. */
dnnl_primitive_attr_t wk__dnnl_attributes(void);

/* Run; data[i] is operand i's tensor.  `constant` is the weight that was added as one; NULL where none was. */
wk_status wk__dnnl_run(wk_dnnl_plan *plan, void *const *data, const wk_tensor *constant, int threads);

/* Set the team for library calls on this thread; gives the former size, to be set back. */
int wk__team_enter(int threads);
void wk__team_leave(int former, int threads);

/* x = max(x, 0), NaN stays NaN (oneDNN's own post-operation turns NaN into 0, which would hide a diverging model). */
void wk__relu_in_place(void *data, wk_dtype dtype, int64_t count, int threads);

#endif
