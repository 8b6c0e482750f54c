/* wick/autograd.h: gradients.
 *
 * Operations on tensors that want gradients are noted on the tape of the current context; wk_backward walks it in
 * reverse. Leaves are kept tensors marked by wk_require_grad; their gradients accumulate until wk_clear_grad (or
 * wk_zero_grad of an optimizer).
 */
#ifndef WICK_AUTOGRAD_H
#define WICK_AUTOGRAD_H

#include "wick/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Mark a kept float tensor as a leaf (or unmark it); gives the tensor.  Errors: not kept, not a float type. */
WK_API wk_tensor *wk_require_grad(wk_tensor *tensor, bool wants);
WK_API bool wk_requires_grad(const wk_tensor *tensor);
/* The gradient of a leaf, of its shape and dtype, owned by the leaf; NULL (no error) while it is empty. */
WK_API wk_tensor *wk_gradient(const wk_tensor *leaf);
/* Forget the gradient; its memory stays for the next one, and no pass over memory is made. */
WK_API void wk_clear_grad(wk_tensor *leaf);

/* Gradients of a scalar with respect to every leaf it depends on are added to the leaves.  The tape behind it is
 * consumed. Errors: not a scalar, no leaf behind it, a tensor that backward needs was changed in place, a second time
 * through the same part of the tape. */
WK_API wk_status wk_backward(wk_tensor *scalar);
typedef struct wk_backward_opts {
    bool retain_graph; /* the tape may be walked again */
    bool create_graph; /* the walk itself is noted, for gradients of gradients; implies retain_graph */
} wk_backward_opts;
/* The same from any tensor, with its gradient given (NULL: ones, for a scalar). */
WK_API wk_status wk_backward_from(wk_tensor *output, wk_tensor *gradient, wk_backward_opts opts);
/* Gradients of `output` (weighted by `gradient`, NULL: ones for a scalar) with respect to `inputs`, which may be leaves
 * or results of operations; nothing is accumulated in leaves.  gradients[i] is a scoped tensor, NULL where nothing
 * depends. */
WK_API wk_status wk_gradients(wk_tensor *output, wk_tensor *gradient, wk_tensor *const *inputs, int count,
                              wk_tensor **gradients, wk_backward_opts opts);

/* Nothing is noted between begin and end; they nest: `bool was = wk_no_grad_begin(); …; wk_no_grad_end(was);` */
WK_API bool wk_no_grad_begin(void);
WK_API void wk_no_grad_end(bool was);
/* A scoped view cut off from the tape. */
WK_API wk_tensor *wk_detach(wk_tensor *tensor);

/* Called once in each backward, when the gradient of `leaf` is complete.  NULL takes the hook away. */
WK_API wk_status wk_on_gradient_ready(wk_tensor *leaf, void (*hook)(void *context, wk_tensor *leaf), void *context);

/* ---- numeric check --------------------------------------------------------------------------------------------------
 */

/* A differentiable function under test: makes its result from n_in inputs in the current scope. */
typedef wk_tensor *(*wk_gradcheck_function)(void *context, wk_tensor *const *in, int n_in);
typedef struct wk_gradcheck_opts {
    double step;       /* of the central difference; 0 means 1e-6 */
    double tolerance;  /* |analytic − numeric| ≤ tolerance · (1 + |numeric|); 0 means 1e-5 */
    bool second_order; /* also check the gradient of the gradient */
} wk_gradcheck_opts;
/* Compare gradients with central differences.  inputs: f64; those that are leaves are checked.  Errors: WK_INVALID with
 * the input, the element and both values. */
WK_API wk_status wk_gradcheck(wk_gradcheck_function function, void *context, wk_tensor *const *in, int n_in,
                              wk_gradcheck_opts opts);

#ifdef __cplusplus
}
#endif
#endif
