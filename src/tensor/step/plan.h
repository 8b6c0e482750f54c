/* plan.h: what a captured step is made of.
 *
 * A plan is a list of entries, one for each call that the user's code made, and of the launches behind them: the
 * kernels that ran, with headers of their own.  A header's memory has one of three bases: a block of the plan (what the
 * step computes; blocks that do not live at the same time share memory), an external tensor (what the step is given:
 * parameters, gradients, the batch, random keys), or a constant (what a row made on the host for its parts).
 *
 * On the CPU a launch runs as soon as its call is made.  A device's are put off until somebody asks for what comes of
 * them (device_graphs.c): a stretch that is met again goes to the device as one graph.
 */
#ifndef WICK_SRC_TENSOR_STEP_PLAN_H
#define WICK_SRC_TENSOR_STEP_PLAN_H

#include "tensor/tensor.h"
#include "wick/step.h"

/* Memory of a result and its views, from the launch that writes it to the launch before which it is given back. */
typedef struct wk__block {
    struct wk__block *next, *above; /* above: the next one in memory that has a place */
    size_t bytes, offset;
    int birth, death, device;
    bool changed;        /* written by a launch that found something there */
    bool shown, inner;   /* a caller has seen a result on it; it is in a fused group only, and has no memory */
    wk_storage *storage; /* NULL before the plan has memory */
} wk__block;

/* A header of the plan: handed out as a result, or an operand of a launch. */
typedef struct wk__planned {
    wk_tensor header; /* first: a wk_tensor of the plan is one of these */
    struct wk__planned *next, *next_of_external;
    wk__block *block; /* its base, or … */
    struct wk__external *external;
    struct wk__constant *constant;
    ptrdiff_t offset; /* in bytes from the base */
} wk__planned;

/* A fixed one is this tensor and no other: a leaf, or a kept one that a row found by itself.  Else any tensor like it
 * may come, and `stand_in` is what launches name. */
typedef struct wk__external {
    struct wk__external *next;
    wk_tensor *tensor; /* as bound last; held if it is fixed */
    wk_tensor like;
    bool fixed;
    wk__planned *stand_in; /* NULL before a launch needs it */
    wk__planned *views;    /* on its memory, the stand-in among them */
    const void *data;      /* where that is */
    wk_storage *storage;   /* held from the bind to the step's end, if it is not fixed */
} wk__external;

typedef struct wk__constant {
    struct wk__constant *next;
    wk_storage *storage, *pristine;
    bool written; /* by a launch: restored before each replay */
} wk__constant;

typedef struct wk__fused wk__fused;

typedef struct wk__launch {
    wk_call call;
    const char *call_site, *layer;
    wk_tensor *leaf; /* of an event, which has no call: this leaf's gradient is complete */
    bool runs;       /* a kernel; else a view, or nothing to do */
    bool taped, mutates;
    uint32_t into;    /* outputs, as bits, that are memory which was there before */
    bool put_off;     /* a device's, in which the host has no part but to give numbers */
    bool numbers;     /* which this one is given */
    bool ends;        /* and they do not wait: the host counts on, or may change them */
    bool once;        /* a constant goes to a device: when the plan gets its memory */
    wk__fused *fused; /* the group that begins here, or NULL */
} wk__launch;

typedef struct wk__operand {
    wk__planned *planned;   /* a result of the step, or … */
    wk__external *external; /* or neither: NULL */
    bool alias;             /* another header on the planned one's memory */
    bool wants_grad;
} wk__operand;

/* A leaf that a backward reaches. */
typedef struct wk__leaf_state {
    struct wk__leaf_state *next;
    wk_tensor *leaf;
    const wk_tensor *gradient;
    bool empty;
} wk__leaf_state;

/* A weight that autocast wanted in a half type, and its kept cast or NULL. */
typedef struct wk__half_state {
    struct wk__half_state *next;
    const wk_tensor *leaf, *half;
    wk_dtype dtype;
} wk__half_state;

typedef struct wk__entry {
    const wk_op_def *op; /* NULL: a backward */
    const void *attrs;
    uint32_t mode;
    int device;    /* the context's */
    wk_dtype half; /* of autocast */
    int n_in, n_out;
    wk__operand *in, *out;
    int target;     /* 1 + the operand whose memory output 0 is written into; 0: none */
    int first, end; /* launches */
    wk__leaf_state *leaves;
    wk__half_state *halves;
} wk__entry;

/* A result's scope ends, after so many entries. */
typedef struct wk__drop {
    wk__planned *planned;
    int entries;
} wk__drop;

/* All blocks of one device. */
typedef struct wk__room {
    struct wk__room *next;
    int device;
    size_t bytes;
    wk_storage *memory;
} wk__room;

/* A stretch of launches that went to a device together, with the addresses of what the plan was given. */
typedef struct wk__stretch {
    struct wk__stretch *next;
    int first, end;
    wk_device_graph *graph; /* NULL: met once, or it cannot be one */
    int operations;         /* of the graph */
    bool impossible;
    wk_noted_numbers numbers; /* of the host, for its launches; no room: they need none */
    size_t bytes;             /* of these */
    const void *given[];      /* (n_externals) */
} wk__stretch;

typedef struct wk__plan {
    struct wk__plan *next;
    struct wk__plan *follower, *avoided; /* the plan that fitted the step after it; one that did not */
    wk__arena arena;                     /* of everything here */
    wk__entry *entries;
    wk__launch *launches;
    wk__drop *drops; /* in their order */
    int n_entries, n_launches, n_drops, n_externals, most_entries, most_launches, most_drops;
    wk__block *blocks;
    wk__planned *headers;
    wk__external *externals;
    wk__constant *constants;
    wk__room *rooms;
    bool has_memory;        /* from the first replay on */
    wk__stretch *stretches; /* the one used last is the first */
    size_t bytes;           /* of all rooms */
    int threads, n_fused;   /* n_fused: launches in groups */
    int n_stretches, n_graphs, n_operations;
    int in_vain; /* stretches that were forgotten before they were met again */
} wk__plan;

enum { WK__PLANS_OF_A_NAME = 8 };
typedef struct wk__step_name {
    struct wk__step_name *next;
    wk__plan *plans;
    wk__plan *last; /* of the step before, or NULL */
    int64_t begun;
    wk_step_report report;
    char why[300];
    bool hopeless; /* a capture failed: what stands in its way stands in the code */
    bool told;
    char name[];
} wk__step_name;

/* The step that is open in a context. */
typedef struct wk__step {
    wk__step_name *names, *name; /* name: of the open step, or NULL */
    wk__plan *plan;              /* captured or replayed now */
    struct wk__capture *capture;
    int cursor, drop; /* the entry and the drop that come next */
    wk__plan *left;   /* whose replay broke off at a call that did not fit */
    wk__plan *used;   /* that was replayed, to its end or not */
    bool in_backward; /* whose kernels are replayed */
    int first, end;   /* launches that were put off; first == end: none */
} wk__step;

/* ---- plan.c ---- */
wk__plan *wk__plan_create(int threads);
void wk__plan_destroy(wk__plan *plan);
/* Memory for the blocks, and headers that point into it. */
wk_status wk__plan_place(wk_context *context, wk__plan *plan);
/* Before a replay: results of the last one are gone. */
void wk__plan_reset(wk__plan *plan);
/* After it: what the step was given is let go. */
void wk__plan_unbind(wk__plan *plan);
/* 1 + the operand that is the target of output 0, the only one; 0: there is no target; -1: it is none of them. */
int wk__step_target(const wk_call *call, wk_tensor *const *targets);
bool wk__same_attrs(const wk_op_def *op, const void *a, const void *b);
/* Whether two plans fit the same steps. */
bool wk__plan_is_same(const wk__plan *a, const wk__plan *b);
/* Whether somebody holds a result. */
bool wk__plan_is_held(const wk__plan *plan);

/* The block of a tensor of the plan; NULL: it stands on something else. */
static inline wk__block *wk__block_of(const wk_tensor *t) {
    return t && t->flags & WK__TENSOR_PLANNED ? ((const wk__planned *)(const void *)t)->block : NULL;
}

/* ---- fuse.c ---- */
bool wk__fusion_is_off(void);
/* Find launches that run tile by tile.  Before the plan has memory. */
wk_status wk__plan_fuse(wk__plan *plan);
/* Run the group that begins with this launch. */
wk_status wk__fused_run(wk_context *context, const wk__launch *first);
int wk__fused_end(const wk__fused *f);

/* ---- capture.c ---- */
wk_status wk__capture_begin(wk_context *context);
/* The finished plan, or NULL: with the reason in `why`, or an error is pending. */
wk__plan *wk__capture_end(wk_context *context, char *why, size_t size);
void wk__capture_needs_tape(wk_context *context, const char *why);

/* ---- device_graphs.c ---- */
/* Say of a launch whether it may be put off. */
void wk__note_host_part(wk__launch *launch);
/* Put this launch of the open plan off. */
wk_status wk__put_off(wk_context *context, int launch);
void wk__stretches_destroy(wk__plan *plan);

/* ---- replay.c ---- */
/* End the replay here: the tape becomes what it would be after the calls so far. */
void wk__replay_stop(wk_context *context);
/* The same before the plan's end, for a reason. */
void wk__replay_leave(wk_context *context, const char *why);

/* ---- step.c ---- */
/* The first plan of the open step's name after `former` (NULL: the first of all) that may begin now. */
wk__plan *wk__step_candidate(const wk_context *context, const wk__plan *former);
/* Make it the open step's plan; false: it could not be used, and is gone. */
bool wk__step_use(wk_context *context, wk__plan *plan);
/* Capture the open step, of which nothing has run yet, if that is worth it. */
void wk__step_capture(wk_context *context);
void wk__step_note(wk__step_name *name, const char *why);

#endif
