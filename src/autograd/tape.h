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

/* One call.  Headers of operands live as long as the node (kept ones are held), so edges are in them: in[i]->node. */
struct wk_node {
    struct wk_node *previous;
    const wk_op_def *op;
    const char *call_site;
    const void *attrs;
    wk_tensor **in, **out;
    wk__saved *saved; /* n_in, then n_out */
    wk_tensor **dout; /* while a backward runs */
    int n_in, n_out;
    uint64_t mark; /* serial of the backward that reached it */
    bool consumed;
};

struct wk_leaf {
    wk_tensor *gradient; /* a kept tensor, or NULL before the first backward */
    bool empty;
    int expected; /* contributions still to come in this backward */
    uint64_t mark;
    void (*on_ready)(void *context, wk_tensor *leaf);
    void *on_ready_context;
};

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
void wk__node_release(struct wk_node *node);

#endif
