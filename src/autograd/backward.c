/* backward.c: the walk.
 *
 * The tape is in order of creation, so walking it backwards visits every node after all of its users.  A first walk
 * marks what the output depends on and counts, for each leaf, how many contributions will come; a second one calls the
 * rules. Each rule runs in a scope of its own; what it gives is carried out as a header on the same storage, so that
 * everything else it made dies at once.
 */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"
#include "tensor/registry.h"
#include "wick/ops.h"

#include <string.h>

typedef struct walk {
    wk_context *context;
    wk_tensor *const *inputs; /* of wk_gradients; NULL: accumulate in leaves */
    wk_tensor **gradients;
    int n_inputs;
    bool retain, create;
    uint64_t serial;
} walk;

static const char *place(const char *call_site) {
    const char *slash = call_site ? strrchr(call_site, '/') : NULL;
    return slash ? slash + 1 : call_site ? call_site : "?";
}

/* ---- first walk ---- */

static wk_status mark_reachable(walk *w, struct wk_node *last) {
    last->mark = w->serial;
    for (struct wk_node *node = last; node; node = node->previous) {
        if (node->mark != w->serial) continue;
        if (node->consumed)
            return wk_fail(
                WK_STATE,
                "backward: the part of the tape behind \"%s\" [%s] was consumed by an earlier backward; pass "
                "retain_graph to that one",
                node->op->name, place(node->call_site));
        for (int i = 0; i < node->n_out; i++) node->dout[i] = NULL;
        for (int i = 0; i < node->n_in; i++) {
            wk_tensor *in = node->in[i];
            if (!in || !wk__wants_grad(in)) continue;
            if (in->node)
                in->node->mark = w->serial;
            else if (in->leaf) {
                if (in->leaf->mark != w->serial) {
                    in->leaf->mark = w->serial;
                    in->leaf->expected = 0;
                }
                in->leaf->expected++;
            }
        }
    }
    return WK_OK;
}

/* ---- contributions ---- */

/* Found once; threads that look at the same time find the same. */
static const wk_op_def *row(const char *name, _Atomic(const wk_op_def *) *cached) {
    const wk_op_def *found = atomic_load_explicit(cached, memory_order_acquire);
    if (found) return found;
    found = wk_op_find(name);
    atomic_store_explicit(cached, found, memory_order_release);
    return found;
}

/* gradient = contribution, or += it. */
static wk_status accumulate(wk_tensor *leaf, wk_tensor *contribution) {
    static _Atomic(const wk_op_def *) copy_row, add_row;
    wk_tensor *gradient = wk__leaf_gradient_for_writing(leaf), *out[1];
    if (!gradient) return wk_error_code();
    if (leaf->leaf->empty) {
        leaf->leaf->empty = false;
        if (contribution->data == gradient->data) return WK_OK; /* the rule wrote it in place */
        return wk_op_run_into(row("copy", &copy_row), &contribution, 1, out, NULL, gradient);
    }
    return wk_op_run_into(row("add", &add_row), (wk_tensor *[]){ gradient, contribution }, 2, out, NULL, gradient);
}

static void collect(walk *w, const wk_tensor *in, wk_tensor *contribution) {
    for (int k = 0; k < w->n_inputs; k++) {
        const wk_tensor *wanted = w->inputs[k];
        if (!wanted) continue;
        bool same = wanted == in || (in->node && wanted->node == in->node && wanted->output == in->output);
        if (same && contribution)
            w->gradients[k] = w->gradients[k] ? wk_add(w->gradients[k], contribution) : contribution;
    }
}

static wk_status deliver(walk *w, wk_tensor *in, wk_tensor *contribution) {
    if (w->inputs) collect(w, in, contribution);
    if (in->node) {
        if (!contribution) return WK_OK;
        wk_tensor **sum = &in->node->dout[in->output];
        *sum = *sum ? wk_add(*sum, contribution) : contribution;
        return *sum ? WK_OK : wk_error_code();
    }
    if (w->inputs || !in->leaf) return WK_OK;
    if (contribution) WK_TRY(accumulate(in, contribution));
    if (--in->leaf->expected == 0 && in->leaf->on_ready) in->leaf->on_ready(in->leaf->on_ready_context, in);
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* ---- one node ---- */

/* An operand as the rule sees it: with its values where they were saved, else for its shape. */
static wk_tensor *restore(walk *w, const struct wk_node *node, wk_tensor *header, const wk__saved *saved) {
    if (!header || !saved->storage) return header;
    if (saved->storage->version != saved->version)
        return wk_fail_null(
            WK_VERSION,
            "backward of \"%s\" [%s]: a tensor it needs was changed in place since, by the call at [%s]; "
            "change a copy instead",
            node->op->name, place(node->call_site), place(saved->storage->changed_at));
    if (header->life == WK__ALIVE && header->storage == saved->storage) return header;
    wk_tensor *live = wk__header_create(w->context);
    if (!live) return NULL;
    wk_tensor *next = live->next;
    *live = *header;
    live->next = next;
    live->life = WK__ALIVE;
    live->storage = wk__storage_hold(saved->storage);
    live->data = saved->data;
    live->flags &= (uint8_t)~WK_TENSOR_KEPT;
    return live;
}

static wk_tensor *sink_of(const walk *w, wk_tensor *in) {
    if (w->create || w->inputs || in->node || !in->leaf || !in->leaf->empty) return NULL;
    return wk__leaf_gradient_for_writing(in);
}

enum { SMALL = 16 };

static wk_status run_rule(walk *w, struct wk_node *node, wk_tensor **din, wk_tensor **operands, wk_tensor **sinks,
                          bool *needs) {
    int n_in = node->n_in;
    for (int i = 0; i < n_in + node->n_out; i++) {
        wk_tensor *header = i < n_in ? node->in[i] : node->out[i - n_in];
        operands[i] = restore(w, node, header, &node->saved[i]);
        if (header && !operands[i]) return wk_error_code();
        if (i >= n_in) continue;
        sinks[i] = needs[i] ? sink_of(w, header) : NULL;
    }
    wk_call call = {
        .op = node->op, .in = operands, .out = operands + n_in, .attrs = node->attrs, .n_in = n_in, .n_out = node->n_out
    };
    wk_grad grad = { .call = &call,
                     .in = operands,
                     .out = operands + n_in,
                     .dout = node->dout,
                     .attrs = node->attrs,
                     .din = din,
                     .needs = needs,
                     .sink = sinks };
    wk_status status = node->op->grad(&grad);
    if (wk_failed()) status = wk_error_code(); /* the cause: a rule's later calls only say that an error is pending */
    if (status != WK_OK) wk_error_prefix("backward of \"%s\" [%s]", node->op->name, place(node->call_site));
    return status;
}

/* Carry a rule's result out of its scope, checked against the shape it must have. */
static wk_tensor *carry_out(walk *w, const struct wk_node *node, int i, wk_tensor *din) {
    if (!din) return NULL;
    const wk_tensor *in = node->in[i];
    bool fits = din->rank == in->rank && din->dtype == in->dtype;
    for (int axis = 0; fits && axis < din->rank; axis++) fits = din->shape[axis] == in->shape[axis];
    if (!fits) {
        char a[160], b[160];
        return wk_fail_null(WK_INTERNAL, "gradient rule of \"%s\": input %d is %s, its gradient %s", node->op->name, i,
                            wk_describe(in, a, sizeof a), wk_describe(din, b, sizeof b));
    }
    return wk__header_copy(w->context, din);
}

/* What the node's rule gives for each input, carried out of the rule's scope; NULL where nothing comes. */
static wk_status contributions(walk *w, struct wk_node *node, wk_tensor **din, wk_tensor **sinks, wk_tensor **operands,
                               bool *needs) {
    bool any = false;
    for (int i = 0; i < node->n_out; i++) any = any || node->dout[i] != NULL;
    for (int i = 0; i < node->n_in; i++) {
        din[i] = NULL;
        needs[i] = node->in[i] && wk__wants_grad(node->in[i]);
    }
    if (!any) return WK_OK;
    wk_scope inner = wk_scope_begin();
    wk__scope *rule_scope = w->context->scope;
    wk_status status = inner.record ? run_rule(w, node, din, operands, sinks, needs) : wk_error_code();
    if (status == WK_OK) {
        /* Headers made from here on belong to the scope around. */
        w->context->scope = rule_scope->outer;
        for (int i = 0; i < node->n_in && status == WK_OK; i++) {
            wk_tensor *given = needs[i] ? din[i] : NULL;
            din[i] = carry_out(w, node, i, given);
            if (given && !din[i]) status = wk_error_code();
        }
        w->context->scope = rule_scope;
    }
    wk_scope_end(inner);
    return status;
}

static wk_status step_back(walk *w, struct wk_node *node) {
    int n_in = node->n_in;
    wk_tensor *small[4 * SMALL];
    bool small_needs[SMALL];
    wk_tensor **block = small;
    bool *needs = small_needs;
    if (n_in + node->n_out > SMALL) { /* a list */
        block = wk__arena_take(&w->context->arena, (size_t)(3 * n_in + node->n_out) * sizeof(wk_tensor *));
        needs = wk__arena_take(&w->context->arena, (size_t)n_in * sizeof *needs);
        if (!block || !needs) return WK_NO_MEMORY;
    }
    wk_tensor **din = block, **sinks = block + n_in, **operands = block + 2 * n_in;
    wk_status status = contributions(w, node, din, sinks, operands, needs);
    for (int i = 0; i < n_in && status == WK_OK; i++) {
        if (!needs[i]) continue;
        wk_tensor *in = node->in[i];
        bool is_leaf = in->node == NULL;
        status = deliver(w, in, din[i]);
        if (is_leaf && !w->inputs && din[i]) wk__tensor_drop(din[i]);
    }
    for (int i = 0; i < node->n_out; i++)
        if (node->dout[i] && !w->create && !w->inputs) wk__tensor_drop(node->dout[i]);
    if (!w->retain) wk__node_release(node);
    return status;
}

/* ---- the walk ---- */

static wk_status check_start(wk_tensor *output, wk_tensor *gradient) {
    if (!output) return wk_failed() ? wk_error_code() : wk_fail(WK_INVALID, "backward: the output is NULL");
    if (wk_failed()) return WK_PENDING;
    if (output->life != WK__ALIVE) return wk_fail(WK_DEAD_TENSOR, "backward: the output's scope has ended");
    char text[160];
    if (!output->node)
        return wk_fail(WK_INVALID,
                       "backward: %s depends on no tensor that wants a gradient (was it made under no_grad?)",
                       wk_describe(output, text, sizeof text));
    if (!gradient && output->count != 1)
        return wk_fail(WK_SHAPE, "backward: the output is %s, expected one element; reduce it, or give its gradient",
                       wk_describe(output, text, sizeof text));
    return WK_OK;
}

static wk_status walk_back(walk *w, wk_tensor *output, wk_tensor *gradient) {
    static uint64_t serials;
    wk_context *context = w->context;
    w->serial = __atomic_add_fetch(&serials, 1, __ATOMIC_RELAXED);
    WK_TRY(mark_reachable(w, output->node));
    if (!gradient) gradient = wk_full((wk_dtype)output->dtype, wk__dims(output), 1.0);
    wk_tensor *first = gradient ? wk__header_copy(context, gradient) : NULL;
    if (!first) return wk_error_code();
    struct wk_node *last = output->node;
    last->dout[output->output] = first;
    if (w->inputs) collect(w, output, first);
    uint32_t mode = context->mode;
    context->mode &= ~(uint32_t)WK__MODE_AUTOCAST; /* each rule runs in its forward's dtypes */
    if (!w->retain) wk__autocast_forget(context);  /* the casts' nodes will be consumed */
    if (w->create)
        context->mode &= ~(uint32_t)WK__MODE_NO_GRAD;
    else
        context->mode |= WK__MODE_NO_GRAD;
    wk_status status = WK_OK;
    for (struct wk_node *node = last; node && status == WK_OK; node = node->previous)
        if (node->mark == w->serial) status = step_back(w, node);
    context->mode = mode;
    return status;
}

void wk__backward_hook_add(wk__backward_hook *hook) {
    wk_context *context = wk__context();
    hook->next = context->backward_hooks;
    context->backward_hooks = hook;
}

void wk__backward_hook_remove(wk__backward_hook *hook) {
    wk_context *context = wk__context();
    for (wk__backward_hook **link = &context->backward_hooks; *link; link = &(*link)->next)
        if (*link == hook) {
            *link = hook->next;
            return;
        }
}

void wk__backward_ended(wk_status status) {
    wk_context *context = wk__context();
    for (wk__backward_hook *hook = context ? context->backward_hooks : NULL; hook; hook = hook->next)
        hook->ended(hook->argument, status);
}

static wk_status backward(wk_tensor *output, wk_tensor *gradient, wk_backward_opts opts) {
    WK_TRY(check_start(output, gradient));
    walk w = { .context = wk__context(),
               .retain = opts.retain_graph || opts.create_graph,
               .create = opts.create_graph };
    /* With create_graph the new nodes must outlive this call: no scope of its own. */
    wk_scope scope = opts.create_graph ? (wk_scope){ 0 } : wk_scope_begin();
    wk_status status = walk_back(&w, output, gradient);
    wk_scope_end(scope);
    return status;
}

wk_status wk_backward_from(wk_tensor *output, wk_tensor *gradient, wk_backward_opts opts) {
    wk_status status = backward(output, gradient, opts);
    wk__backward_ended(status);
    return status == WK_OK && wk_failed() ? wk_error_code() : status;
}

wk_status wk_backward(wk_tensor *scalar) {
    return wk_backward_from(scalar, NULL, (wk_backward_opts){ 0 });
}

wk_status wk_gradients(wk_tensor *output, wk_tensor *gradient, wk_tensor *const *inputs, int count,
                       wk_tensor **gradients, wk_backward_opts opts) {
    for (int i = 0; i < count; i++) gradients[i] = NULL;
    WK_TRY(check_start(output, gradient));
    walk w = { .context = wk__context(),
               .inputs = inputs,
               .gradients = gradients,
               .n_inputs = count,
               .retain = opts.retain_graph || opts.create_graph,
               .create = opts.create_graph };
    return walk_back(&w, output, gradient);
}

/* ---- rules of fused rows ---- */

wk_status wk__grad_by_parts(wk_grad *grad) {
    wk_context *context = wk__context();
    const wk_op_def *op = grad->call->op;
    if (!(context->mode & WK__MODE_NO_GRAD))
        return wk_fail(WK_UNSUPPORTED, "the third derivative through \"%s\" is not supported", op->name);
    /* Operands cut off from the tape that still ask to be noted: gradients are collected by their headers. */
    wk_tensor *in[WK_MAX_IN], *out[WK_MAX_OUT];
    for (int i = 0; i < grad->call->n_in; i++) {
        in[i] = grad->in[i] ? wk_detach(grad->in[i]) : NULL;
        if (in[i] && grad->needs[i]) in[i]->flags |= WK_TENSOR_REQUIRES_GRAD;
    }
    wk_call call = *grad->call;
    call.in = in;
    call.out = out;
    context->mode &= ~(uint32_t)WK__MODE_NO_GRAD;
    wk_status status = op->decompose(&call, out);
    context->mode |= WK__MODE_NO_GRAD;
    for (int k = 0; k < op->n_out && status == WK_OK; k++) {
        if (!grad->dout[k] || !out[k] || !out[k]->node) continue;
        wk_tensor *parts[WK_MAX_IN];
        status = wk_gradients(out[k], grad->dout[k], in, call.n_in, parts, (wk_backward_opts){ .retain_graph = true });
        for (int i = 0; i < call.n_in && status == WK_OK; i++)
            if (parts[i] && grad->needs[i]) grad->din[i] = grad->din[i] ? wk_add(grad->din[i], parts[i]) : parts[i];
    }
    return status == WK_OK && wk_failed() ? wk_error_code() : status;
}
