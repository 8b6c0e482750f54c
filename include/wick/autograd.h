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
/* The gradient of a leaf, of its shape and dtype, owned by the leaf; NULL (no error) while it is empty.  Of the result
 * of an operation: what wk_retain_grad kept, a tensor of the outermost scope. */
WK_API wk_tensor *wk_gradient(const wk_tensor *tensor);
/* The gradient of a table whose embeddings are `sparse`: rows (K), i64, distinct and rising, and their values (K, …),
 * of the current scope; both NULL (no error) where the gradient is empty or not rows.  Asking for it with wk_gradient,
 * or adding one of another form, makes a whole tensor of it, from then on. */
WK_API wk_status wk_gradient_rows(const wk_tensor *leaf, wk_tensor **rows, wk_tensor **values);
/* Forget the gradient; its memory stays for the next one, and no pass over memory is made. */
WK_API void wk_clear_grad(wk_tensor *leaf);
/* Keep the gradient of an operation's result when a backward passes it; later ones add to it.  Nothing to do for a
 * leaf.  Errors: the tensor wants no gradient. */
WK_API wk_status wk_retain_grad(wk_tensor *tensor);

/* Gradients of a scalar with respect to every leaf it depends on are added to the leaves.  The tape behind it is
 * consumed. Errors: not a scalar, no leaf behind it, a tensor that backward needs was changed in place, a second time
 * through the same part of the tape. */
WK_API wk_status wk_backward(wk_tensor *scalar);
typedef struct wk_backward_opts {
    bool retain_graph; /* the tape may be walked again */
    bool create_graph; /* the walk itself is noted, for gradients of gradients; implies retain_graph */
} wk_backward_opts;
/* The same from any tensor, with its gradient given (NULL: ones, for a scalar).  Gradients of leaves are plain memory,
 * never part of a graph: for gradients of gradients, ask with wk_gradients. */
WK_API wk_status wk_backward_from(wk_tensor *output, wk_tensor *gradient, wk_backward_opts opts);

typedef struct wk_grad_opts {
    bool retain_graph; /* the tape may be walked again */
    bool create_graph; /* the gradients are part of a graph themselves; implies retain_graph */
    bool allow_unused; /* an input that no output depends on gets NULL; else that is an error */
} wk_grad_opts;
/* Gradients of Σ outputs[o] · grad_outputs[o] with respect to inputs, which may be leaves or results of operations;
 * nothing is accumulated in leaves, and only what lies between outputs and inputs is walked (and consumed).
 *
 *   grad_outputs  of the outputs' shapes and dtypes; NULL, or NULL entries: ones, for outputs of one element
 *   gradients     receives n_inputs scoped tensors
 *
 * Errors: as wk_backward; an unused input, by its number.  Matches torch.autograd.grad. */
WK_API wk_status wk_gradients(wk_tensor *const *outputs, int n_outputs, wk_tensor *const *grad_outputs,
                              wk_tensor *const *inputs, int n_inputs, wk_tensor **gradients, wk_grad_opts opts);
/* Its short name in calls.  (wk_grad alone is the type that gradient rules take, in wick/op.h.) */
#define wk_grad(...) wk_gradients(__VA_ARGS__)

/* Nothing is noted between begin and end; they nest: `bool was = wk_no_grad_begin(); …; wk_no_grad_end(was);` */
WK_API bool wk_no_grad_begin(void);
WK_API void wk_no_grad_end(bool was);
/* The contrary, inside the former. */
WK_API bool wk_enable_grad_begin(void);
WK_API void wk_enable_grad_end(bool was);
/* A scoped view cut off from the tape. */
WK_API wk_tensor *wk_detach(wk_tensor *tensor);

/* ---- hooks ------------------------------------------------------------------------------------------------------- */

/* What takes a hook away again; 0 is none. */
typedef uint64_t wk_hook;

/* Called with the complete gradient of a tensor before it goes on (or into a leaf).  Returns a replacement of the same
 * shape and dtype, or NULL to leave it. */
typedef wk_tensor *(*wk_gradient_hook)(void *context, wk_tensor *gradient);
/* Hooks of one tensor run in order of their addition, each on what the one before left.  Those of a leaf stay until
 * taken away or the leaf goes; those of a result live as long as its tape.  0 with an error pending: the tensor wants
 * no gradient, no memory.  Matches torch.Tensor.register_hook. */
WK_API wk_hook wk_on_gradient(wk_tensor *tensor, wk_gradient_hook hook, void *context);
/* Called once in each wk_backward, when the gradient of `leaf` has been added to it
 * (torch.Tensor.register_post_accumulate_grad_hook).  0 with an error pending: no leaf, no memory. */
WK_API wk_hook wk_on_gradient_ready(wk_tensor *leaf, void (*hook)(void *context, wk_tensor *leaf), void *context);
/* Take a hook of either kind away; one that is not there (0, taken away already) is left so. */
WK_API void wk_unhook(wk_tensor *tensor, wk_hook hook);

/* ---- functions of tensors ------------------------------------------------------------------------------------------
 */

/* Makes n_out results in the current scope from n_in inputs. */
typedef wk_status (*wk_function)(void *context, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out);
enum { WK_MAX_ARGUMENTS = 16 }; /* inputs, and outputs, of such a function */

/* Run a function without keeping what its backward needs: backward runs it again.  Gradients (of gradients too) reach
 * its inputs and whatever else it uses that wants one; the second run draws the same random numbers.  May be nested.
 *
 * What the function uses besides its inputs must be alive and unchanged when backward runs, and it must do the same
 * both times; running statistics are updated twice, as with torch.utils.checkpoint. */
WK_API wk_status wk_checkpoint(wk_function function, void *context, wk_tensor *const *in, int n_in, wk_tensor **out,
                               int n_out);

/* The following treat the inputs (floats) as the only variables and give scoped tensors outside every graph; a result
 * that does not depend on an input has zeros.  out may be NULL where the results themselves are not wanted.
 *
 * Σ cotangents · ∂out/∂in, one gradient an input; cotangents of the results' shapes, or NULL for results of one
 * element. */
WK_API wk_status wk_vjp(wk_function function, void *context, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out,
                        wk_tensor *const *cotangents, wk_tensor **gradients /* (n_in) */);
/* ∂out/∂in · tangents, one product a result; tangents of the inputs' shapes.  By two backward walks: the gradient is
 * linear in its cotangent, and the derivative of that is the product. */
WK_API wk_status wk_jvp(wk_function function, void *context, wk_tensor *const *in, int n_in, wk_tensor *const *tangents,
                        wk_tensor **out, int n_out, wk_tensor **products /* (n_out) */);
/* Hessian of a function with one result of one element, times vectors of the inputs' shapes. */
WK_API wk_status wk_hvp(wk_function function, void *context, wk_tensor *const *in, int n_in, wk_tensor *const *vectors,
                        wk_tensor **products /* (n_in) */);
/* The whole Jacobian of a function with one result, row by row: jacobians[i] has the result's shape, then that of
 * input i.  For small functions: one walk an element of the result. */
WK_API wk_status wk_jacobian(wk_function function, void *context, wk_tensor *const *in, int n_in,
                             wk_tensor **jacobians /* (n_in) */);
/* The whole Hessian of a function with one result of one element: hessians[i · n_in + j] has the shape of input i, then
 * that of input j. */
WK_API wk_status wk_hessian(wk_function function, void *context, wk_tensor *const *in, int n_in,
                            wk_tensor **hessians /* (n_in²) */);
/* Gradients of a loss, sample by sample: the function gets a batch of one (row s of each input, its first axis of size
 * 1) and gives one result of one element; gradients[p] has the shape (N, parameter p's…). */
WK_API wk_status wk_per_sample_grads(wk_function function, void *context, wk_tensor *const *in /* (N, …) */, int n_in,
                                     wk_tensor *const *parameters, int n_parameters,
                                     wk_tensor **gradients /* (n_parameters) */);

/* ---- looking for mistakes -----------------------------------------------------------------------------------------
 */

typedef struct wk_anomaly_opts {
    bool check_forward; /* results of operations too, at once */
} wk_anomaly_opts;
/* Until wk_anomaly_end, in this context: a NaN that a gradient rule gives is an error that names the forward operation,
 * its module and the line that called it.  Costs a pass over every gradient.  Gives what was on before. */
WK_API int wk_anomaly_begin(wk_anomaly_opts opts);
WK_API void wk_anomaly_end(int was);

typedef struct wk_graph_opts {
    wk_tensor *const *leaf; /* leaves with names of their own: the members of wk_parameters(module) */
    const char *const *name;
    int count;
} wk_graph_opts;
/* A part of the graph behind some tensors: an operation or a leaf. */
typedef struct wk_graph_part {
    uint64_t number;      /* no other part of the walk has it */
    const char *op;       /* its name; NULL: a leaf */
    const char *name;     /* of a leaf, as given, or NULL */
    wk_tensor *const *of; /* an operation's results, without those that only its gradient uses; the leaf */
    int count;
    const uint64_t *from; /* an operation's operands that want a gradient, by their numbers */
    int sources;
} wk_graph_part;
/* Call `visit` with each part behind some tensors, an operation before what it is made of, but its leaves before it.
 * The part lives as long as the call.  Ends with the first error that `visit` gives.  Errors: WK_INVALID (a tensor that
 * no operation gave, or that wants no gradient), WK_STATE (a backward has consumed a part, or is running). */
WK_API wk_status wk_graph_walk(wk_tensor *const *outputs, int n_outputs, wk_graph_opts opts,
                               wk_status (*visit)(void *context, const wk_graph_part *part), void *context);
/* The graph in DOT, for Graphviz: operations with the shapes of their results, leaves with their names, an edge an
 * operand.  Free with wk_free; NULL with an error pending. */
WK_API char *wk_graph_dot(wk_tensor *const *outputs, int n_outputs, wk_graph_opts opts);

/* A differentiable function under test: makes its result from n_in inputs in the current scope. */
typedef wk_tensor *(*wk_gradcheck_function)(void *context, wk_tensor *const *in, int n_in);
typedef struct wk_gradcheck_opts {
    double step;       /* of the central difference; 0 means 1e-6 */
    double tolerance;  /* |analytic − numeric| ≤ tolerance · (1 + |numeric|); 0 means 1e-5 */
    bool second_order; /* also check the gradient of the gradient */
} wk_gradcheck_opts;
/* Compare gradients with central differences.  inputs: f64; those that are leaves are checked.  Errors: WK_INVALID with
 * the row that made the result, the input, the element and both values. */
WK_API wk_status wk_gradcheck(wk_gradcheck_function function, void *context, wk_tensor *const *in, int n_in,
                              wk_gradcheck_opts opts);

#ifdef __cplusplus
}
#endif
#endif
