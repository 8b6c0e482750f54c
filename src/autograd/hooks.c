/* hooks.c: functions that see gradients: of any tensor on their way, of leaves when they are complete.
 *
 * Hooks of a result lie in the step arena with its node; those of a leaf are memory of their own.  A hook may take
 * itself or others away while a backward runs: its record then stays, empty, until the leaf goes or gets another one.
 */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"
#include "wick/ops.h"

static wk_hook fresh_id(void) {
    static wk_hook ids;
    return __atomic_add_fetch(&ids, 1, __ATOMIC_RELAXED);
}

/* ---- running ---- */

static bool fits(const wk_tensor *given, const wk_tensor *gradient) {
    if (given->life != WK__ALIVE || given->rank != gradient->rank || given->dtype != gradient->dtype) return false;
    for (int axis = 0; axis < given->rank; axis++)
        if (given->shape[axis] != gradient->shape[axis]) return false;
    return true;
}

/* Into the outermost scope: it must live as long as the result whose gradient it is. */
static bool retain(wk__gradient_hook *hook, wk_tensor *gradient) {
    wk_context *context = wk__context();
    wk__scope *inner = context->scope, *outermost = inner;
    while (outermost->outer) outermost = outermost->outer;
    context->scope = outermost;
    wk_tensor *former = hook->retained;
    hook->retained = former ? wk_add(former, gradient) : wk__header_copy(context, gradient);
    context->scope = inner;
    return hook->retained != NULL;
}

wk_tensor *wk__hooks_run(wk__gradient_hook *hooks, int output, wk_tensor *gradient, bool keep_connected) {
    for (wk__gradient_hook *hook = hooks; hook; hook = hook->next) {
        if (hook->output != output || !hook->function) continue;
        wk_tensor *given = hook->function(hook->context, gradient);
        if (wk_failed()) return NULL;
        if (!given || given == gradient) continue;
        char a[160], b[160];
        if (!fits(given, gradient))
            return wk_fail_null(WK_SHAPE, "a gradient hook gave %s for a gradient %s", wk_describe(given, a, sizeof a),
                                wk_describe(gradient, b, sizeof b));
        wk_tensor *own = wk__header_copy(wk__context(), given); /* the walk drops what it has passed */
        if (!own) return NULL;
        if (!keep_connected) wk__tensor_drop(gradient);
        gradient = own;
    }
    for (wk__gradient_hook *hook = hooks; hook; hook = hook->next)
        if (hook->output == output && !hook->function && hook->id && !retain(hook, gradient)) return NULL;
    return gradient;
}

void wk__ready_hooks_run(wk_tensor *leaf) {
    for (wk__ready_hook *hook = leaf->leaf->ready; hook; hook = hook->next)
        if (hook->function) hook->function(hook->context, leaf);
}

/* ---- adding ---- */

static void free_empty(struct wk_leaf *leaf, bool all) {
    for (wk__gradient_hook **link = &leaf->hooks, *hook; (hook = *link);) {
        if (all || !hook->id) {
            *link = hook->next;
            wk_free(hook);
        } else {
            link = &hook->next;
        }
    }
    for (wk__ready_hook **link = &leaf->ready, *hook; (hook = *link);) {
        if (all || !hook->id) {
            *link = hook->next;
            wk_free(hook);
        } else {
            link = &hook->next;
        }
    }
}

void wk__leaf_hooks_free(struct wk_leaf *leaf) {
    free_empty(leaf, true);
}

/* A record at the end of the tensor's list; NULL with an error pending. */
static wk__gradient_hook *add_gradient_hook(wk_tensor *tensor, const char *who) {
    if (!tensor) return wk_failed() ? NULL : wk_fail_null(WK_INVALID, "%s: the tensor is NULL", who);
    if (tensor->life != WK__ALIVE) return wk_fail_null(WK_DEAD_TENSOR, "%s: the tensor's scope has ended", who);
    char text[160];
    wk_context *context = wk__context();
    if (context->mode & WK__MODE_STEP) wk__step_needs_tape(context, "it hangs hooks on gradients");
    if (!wk__wants_grad(tensor) || (!tensor->node && !tensor->leaf))
        return wk_fail_null(WK_INVALID, "%s: %s wants no gradient", who, wk_describe(tensor, text, sizeof text));
    wk__gradient_hook *hook = tensor->node ? wk__arena_take(&context->arena, sizeof *hook) : wk_alloc(sizeof *hook);
    if (!hook) return NULL;
    *hook = (wk__gradient_hook){ .id = fresh_id(), .output = tensor->node ? tensor->output : 0 };
    wk__gradient_hook **link = tensor->node ? &tensor->node->hooks : &tensor->leaf->hooks;
    while (*link) link = &(*link)->next;
    *link = hook;
    return hook;
}

wk_hook wk_on_gradient(wk_tensor *tensor, wk_gradient_hook function, void *context) {
    wk__gradient_hook *hook = add_gradient_hook(tensor, "wk_on_gradient");
    if (!hook) return 0;
    hook->function = function;
    hook->context = context;
    return hook->id;
}

wk_hook wk_on_gradient_ready(wk_tensor *leaf, void (*function)(void *context, wk_tensor *leaf), void *context) {
    if (!leaf || !leaf->leaf) {
        (void)wk_fail(WK_INVALID, "wk_on_gradient_ready: the tensor is no leaf; use wk_require_grad");
        return 0;
    }
    wk__ready_hook *hook = wk_alloc(sizeof *hook);
    if (!hook) return 0;
    *hook = (wk__ready_hook){ .function = function, .context = context, .id = fresh_id() };
    wk__ready_hook **link = &leaf->leaf->ready;
    while (*link) link = &(*link)->next;
    *link = hook;
    return hook->id;
}

void wk_unhook(wk_tensor *tensor, wk_hook id) {
    if (!tensor || !id) return;
    struct wk_leaf *leaf = tensor->node ? NULL : tensor->leaf;
    for (wk__gradient_hook *hook = leaf           ? leaf->hooks
                                   : tensor->node ? tensor->node->hooks
                                                  : NULL;
         hook; hook = hook->next)
        if (hook->id == id) {
            hook->function = NULL;
            hook->id = 0;
        }
    for (wk__ready_hook *hook = leaf ? leaf->ready : NULL; hook; hook = hook->next)
        if (hook->id == id) {
            hook->function = NULL;
            hook->id = 0;
        }
    const wk_context *context = wk__context();
    if (leaf && context && !context->walk) free_empty(leaf, false);
}

/* ---- gradients of results ---- */

static wk__gradient_hook *retaining(const wk_tensor *tensor) {
    for (wk__gradient_hook *hook = tensor->node ? tensor->node->hooks : NULL; hook; hook = hook->next)
        if (hook->id && !hook->function && hook->output == tensor->output) return hook;
    return NULL;
}

wk_status wk_retain_grad(wk_tensor *tensor) {
    if (tensor && !tensor->node && tensor->leaf && wk__wants_grad(tensor)) return WK_OK;
    if (tensor && retaining(tensor)) return WK_OK;
    return add_gradient_hook(tensor, "wk_retain_grad") ? WK_OK : wk_failed() ? wk_error_code() : WK_INVALID;
}

wk_tensor *wk_gradient(const wk_tensor *tensor) {
    if (!tensor) return NULL;
    if (tensor->node) {
        const wk__gradient_hook *hook = retaining(tensor);
        return hook ? hook->retained : NULL;
    }
    if (!tensor->leaf) return NULL;
    /* Its form is not part of what the leaf is. */
    if (tensor->leaf->row_index && wk__leaf_rows_to_whole((wk_tensor *)(uintptr_t)tensor) != WK_OK) return NULL;
    return tensor->leaf->empty ? NULL : tensor->leaf->gradient;
}
