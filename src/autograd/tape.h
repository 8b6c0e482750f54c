/* tape.h: the tape's nodes and the gradient state of leaves. */
#ifndef WICK_SRC_AUTOGRAD_TAPE_H
#define WICK_SRC_AUTOGRAD_TAPE_H

#include "tensor/tensor.h"
#include "wick/autograd.h"

/* What backward needs of one operand: the memory, and its version when it was noted. */
typedef struct wk__saved {
    wk_storage *storage; /* NULL: not saved */
    void *data;
    uint32_t version;
} wk__saved;

/* A function on the gradient of one output of a node or of a leaf; or, without one, the order to keep that gradient. */
typedef struct wk__gradient_hook {
    struct wk__gradient_hook *next;
    wk_gradient_hook function;
    void *context;
    wk_hook id;
    int output;          /* of the node; 0 for a leaf */
    wk_tensor *retained; /* what was kept, without a function */
} wk__gradient_hook;

/* A function that is told when a leaf's gradient is complete. */
typedef struct wk__ready_hook {
    struct wk__ready_hook *next;
    void (*function)(void *context, wk_tensor *leaf);
    void *context;
    wk_hook id;
} wk__ready_hook;

/* One call.  Headers of operands live as long as the node (kept ones are held), so edges are in them: in[i]->node. */
struct wk_node {
    struct wk_node *previous;
    const wk_op_def *op;
    const char *call_site;
    const char *layer; /* while an observer or anomaly mode wants to know: the module that ran it */
    const void *attrs;
    wk_tensor **in, **out;
    wk__saved *saved; /* n_in, then n_out */
    wk_tensor **dout; /* while a backward runs */
    int n_in, n_out;
    uint64_t number;          /* grows along the tape */
    uint64_t mark;            /* serial of the backward that reached it and has not passed it yet */
    struct wk_node *above;    /* the node that this backward reached before */
    wk__gradient_hook *hooks; /* in the step arena */
    bool leads_to_input;      /* this backward runs its rule */
    bool consumed;
};

struct wk_leaf {
    wk_tensor *gradient; /* a kept tensor, or NULL before the first backward */
    bool empty;
    wk_tensor *row_index, *row_values; /* kept, or both NULL: a gradient as rows (rows.c); then empty is true */
    int expected;                      /* contributions still to come in this backward */
    uint64_t mark;
    wk_tensor *arriving;      /* their sum, where hooks must see it whole */
    wk__gradient_hook *hooks; /* of its own memory */
    wk__ready_hook *ready;
    wk_tensor *half; /* kept by an optimizer (half.c), or NULL: the values of half_of when its version was this */
    const struct wk_storage *half_of;
    uint32_t half_version;
    uint8_t half_wish; /* the type that autocast has asked for since the optimizer's last step; f32: none */
};

/* Gradients of several outputs: added to leaves, or (inputs given) handed back. */
typedef struct wk__request {
    wk_tensor *const *outputs, *const *seeds;
    int n_outputs;
    wk_tensor *const *inputs;
    wk_tensor **gradients;
    int n_inputs;
    bool retain, create;
    bool stop_at_inputs; /* what lies behind an input is somebody else's */
    bool in_parts;       /* part of a rule: outputs that lead nowhere are left out */
} wk__request;
wk_status wk__gradients(const wk__request *request);
/* Never the same twice. */
uint64_t wk__walk_serial(void);

/* ---- hooks.c ---- */
/* The gradient as its hooks leave it; NULL with an error pending. */
wk_tensor *wk__hooks_run(wk__gradient_hook *hooks, int output, wk_tensor *gradient, bool keep_connected);
void wk__ready_hooks_run(wk_tensor *leaf);
void wk__leaf_hooks_free(struct wk_leaf *leaf);

/* ---- half.c: for optimizers ---- */
/* Before a step by row: leaf->half is memory for what autocast has asked for, or NULL. */
wk_status wk__leaf_make_half(const wk_tensor *leaf);
/* After it.  `skipped`: weight and copy are as they were. */
void wk__leaf_half_stepped(const wk_tensor *leaf, bool skipped);
void wk__leaf_drop_half(struct wk_leaf *leaf);

/* ---- rule.c ---- */

/* What one node's rule gives for each input, carried out of a scope of its own; NULL where nothing comes. */
typedef struct wk__rule_call {
    wk_context *context;
    struct wk_node *node;
    wk_tensor **din, **operands, **sinks;
    bool *needs;    /* set by the caller */
    wk_tensor *sum; /* what input 0 has got already, where the rule may add to it; or NULL */
    bool use_sinks;
} wk__rule_call;
wk_status wk__rule_run(wk__rule_call *call);
const char *wk__place(const char *call_site);
/* A row by name, found once; threads that look at the same time find the same. */
const wk_op_def *wk__known_row(const char *name, _Atomic(const wk_op_def *) *cached);
/* Operands for a second run of a call: cut off from the tape, or (create) connected to it through a view. */
wk_tensor *wk__stand_in(wk_tensor *operand, bool wants, bool create);

/* A NaN that a rule has given, while anomaly mode is on. */
wk_status wk__anomaly_check(const struct wk_node *node, int input, const wk_tensor *gradient);

/* Told when a backward of this context has ended, well or not, and when an optimizer refuses to step because an error
 * is pending: DDP finishes its exchange there, or ends the other ranks. */
typedef struct wk__backward_hook {
    void (*ended)(void *argument, wk_status status);
    void *argument;
    struct wk__backward_hook *next;
} wk__backward_hook;
WK_API void wk__backward_hook_add(wk__backward_hook *hook);
WK_API void wk__backward_hook_remove(wk__backward_hook *hook);
void wk__backward_ended(wk_status status);

/* Put the leaf's gradient into memory that someone else lays out (a bucket); takes over one reference to `gradient`. */
WK_API void wk__leaf_place_gradient(wk_tensor *leaf, wk_tensor *gradient);
/* The gradient's memory whatever its state (made if there is none), marked as full. */
WK_API wk_tensor *wk__leaf_gradient_for_writing(wk_tensor *leaf);
/* gradient = contribution, or += it. */
wk_status wk__leaf_accumulate(wk_tensor *leaf, wk_tensor *contribution);

/* ---- rows.c ---- */
bool wk__leaf_takes_rows(const wk_tensor *in);
/* Add values (K, …) at rows index (K) of the leaf's gradient. */
wk_status wk__leaf_add_rows(wk_tensor *leaf, wk_tensor *index, wk_tensor *values);
void wk__leaf_drop_rows(struct wk_leaf *leaf);
/* Make a whole tensor of a gradient that is rows. */
wk_status wk__leaf_rows_to_whole(wk_tensor *leaf);
/* Whether a leaf has a gradient in either form. */
bool wk__has_gradient(const wk_tensor *tensor);

void wk__node_release(struct wk_node *node);
/* Forget the calls noted after `last` (NULL: all). */
void wk__tape_cut(wk_context *context, struct wk_node *last);

#endif
