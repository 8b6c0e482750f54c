/* backward.c: the walk.
 *
 * The tape is in order of creation, so walking it backwards visits every node after all of its users.  A first walk
 * marks what the outputs depend on and counts, for each leaf, how many contributions will come; when gradients of
 * certain inputs are asked for, nodes that do not lead to one of them are found then.  A second walk calls the rules
 * (rule.c).  Both end at the lowest node that was reached, so a short walk over a long tape is short.
 *
 * A rule may walk itself (checkpoints, rules by parts): walks nest, and a node that an outer one has still to pass is
 * refused to an inner one.
 */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"
#include "tensor/registry.h"
#include "wick/ops.h"

#include <string.h>

typedef struct wk__walk {
    wk_context *context;
    const wk__request *ask;
    struct wk__walk *outer;
    struct wk_node *highest, *lowest;
    uint64_t serial;
    int waiting; /* nodes marked and not visited yet */
} walk;

static bool is_same(const wk_tensor *wanted, const wk_tensor *in) {
    if (!wanted) return false;
    if (wanted == in) return true;
    if (in->node || wanted->node) return wanted->node == in->node && wanted->output == in->output;
    return in->leaf && wanted->leaf == in->leaf;
}

static bool is_input(const walk *w, const wk_tensor *in) {
    for (int k = 0; k < w->ask->n_inputs; k++)
        if (is_same(w->ask->inputs[k], in)) return true;
    return false;
}

/* ---- first walk ---- */

static wk_status mark_node(walk *w, struct wk_node *node) {
    if (node->mark == w->serial) return WK_OK;
    if (node->consumed)
        return wk_fail(WK_STATE,
                       "backward: the part of the tape behind \"%s\" [%s] was consumed by an earlier backward; pass "
                       "retain_graph to that one",
                       node->op->name, wk__place(node->call_site));
    for (const walk *outer = w->outer; outer; outer = outer->outer)
        if (node->mark == outer->serial)
            return wk_fail(WK_STATE, "backward: \"%s\" [%s] is being walked by a backward that runs already",
                           node->op->name, wk__place(node->call_site));
    node->mark = w->serial;
    node->leads_to_input = false;
    for (int i = 0; i < node->n_out; i++) node->dout[i] = NULL;
    w->waiting++;
    if (!w->highest || node->number > w->highest->number) w->highest = node;
    return WK_OK;
}

static void capture_leaf(wk_context *context, wk_tensor *leaf) {
    if (leaf->leaf->hooks) wk__step_refuse(context, "a leaf has gradient hooks");
    wk__capture_leaf(context, leaf, leaf->leaf->gradient, leaf->leaf->empty);
}

static wk_status count_leaf(walk *w, wk_tensor *in) {
    struct wk_leaf *leaf = in->leaf;
    if (leaf->mark != w->serial) {
        for (const walk *outer = w->outer; outer; outer = outer->outer)
            if (leaf->mark == outer->serial)
                return wk_fail(WK_STATE, "backward: it reaches a leaf that a backward which runs already has still to "
                                         "finish; use wk_gradients inside hooks and rules");
        leaf->mark = w->serial;
        leaf->expected = 0;
        leaf->arriving = NULL;
        if (WK_UNLIKELY(w->context->mode & WK__MODE_CAPTURE)) capture_leaf(w->context, in);
    }
    leaf->expected++;
    return WK_OK;
}

static wk_status mark_operands(walk *w, const struct wk_node *node) {
    for (int i = 0; i < node->n_in; i++) {
        wk_tensor *in = node->in[i];
        if (!in || !wk__wants_grad(in)) continue;
        if (in->node) {
            if (!w->ask->stop_at_inputs || !is_input(w, in)) WK_TRY(mark_node(w, in->node));
        } else if (in->leaf && !w->ask->inputs) {
            WK_TRY(count_leaf(w, in));
        }
    }
    return WK_OK;
}

/* Whether a contribution to this operand is of use. */
static bool is_useful(const walk *w, const wk_tensor *in) {
    if (!in || !wk__wants_grad(in)) return false;
    if (!w->ask->inputs) return in->node || in->leaf;
    return is_input(w, in) || (in->node && in->node->mark == w->serial && in->node->leads_to_input);
}

static wk_status mark_reachable(walk *w) {
    struct wk_node *above = NULL;
    for (struct wk_node *node = w->highest; w->waiting > 0; node = node->previous) {
        if (!node) return wk_fail(WK_STATE, "backward: the graph was made in another context, or goes on in one");
        if (node->mark != w->serial) continue;
        w->waiting--;
        node->above = above;
        above = w->lowest = node;
        WK_TRY(mark_operands(w, node));
    }
    for (struct wk_node *node = w->lowest; node; node = node->above)
        for (int i = 0; i < node->n_in && !node->leads_to_input; i++) node->leads_to_input = is_useful(w, node->in[i]);
    return WK_OK;
}

/* ---- contributions ---- */

wk_status wk__leaf_accumulate(wk_tensor *leaf, wk_tensor *contribution) {
    static _Atomic(const wk_op_def *) copy_row, add_row;
    WK_TRY(wk__leaf_rows_to_whole(leaf));
    wk_tensor *gradient = wk__leaf_gradient_for_writing(leaf), *out[1];
    if (!gradient) return wk_error_code();
    if (leaf->leaf->empty) {
        leaf->leaf->empty = false;
        if (contribution->data == gradient->data) return WK_OK; /* the rule wrote it in place */
        return wk_op_run_into(wk__known_row("copy", &copy_row), &contribution, 1, out, NULL, &gradient);
    }
    return wk_op_run_into(wk__known_row("add", &add_row), (wk_tensor *[]){ gradient, contribution }, 2, out, NULL,
                          &gradient);
}

/* *sum = contribution, or their sum; both are taken over. */
static wk_status add_up(const walk *w, wk_tensor **sum, wk_tensor *contribution) {
    if (!*sum) {
        *sum = contribution;
        return WK_OK;
    }
    wk_tensor *total = wk_add(*sum, contribution);
    if (!w->ask->create) {
        wk__tensor_drop(*sum);
        wk__tensor_drop(contribution);
    }
    *sum = total;
    return total ? WK_OK : wk_error_code();
}

static wk_status collect(const walk *w, const wk_tensor *in, const wk_tensor *contribution) {
    for (int k = 0; k < w->ask->n_inputs; k++) {
        if (!is_same(w->ask->inputs[k], in)) continue;
        wk_tensor *own = wk__header_copy(w->context, contribution);
        if (!own) return wk_error_code();
        WK_TRY(add_up(w, &w->ask->gradients[k], own));
    }
    return WK_OK;
}

static wk_status deliver_to_leaf(const walk *w, wk_tensor *in, wk_tensor *contribution) {
    struct wk_leaf *leaf = in->leaf;
    if (contribution && leaf->hooks) {
        WK_TRY(add_up(w, &leaf->arriving, contribution));
    } else if (contribution) {
        WK_TRY(wk__leaf_accumulate(in, contribution));
        wk__tensor_drop(contribution);
    }
    if (--leaf->expected > 0) return WK_OK;
    leaf->mark = 0;
    if (leaf->arriving) {
        wk_tensor *whole = wk__hooks_run(leaf->hooks, 0, leaf->arriving, w->ask->create);
        leaf->arriving = NULL;
        if (!whole) return wk_error_code();
        WK_TRY(wk__leaf_accumulate(in, whole));
    }
    const bool captured = w->context->mode & WK__MODE_CAPTURE;
    if (WK_UNLIKELY(captured)) wk__capture_leaf_ready(w->context, in);
    if (WK_UNLIKELY(captured)) wk__capture_suspend(w->context, true);
    if (leaf->ready) wk__ready_hooks_run(in);
    if (WK_UNLIKELY(captured)) wk__capture_suspend(w->context, false);
    return wk_failed() ? wk_error_code() : WK_OK;
}

bool wk__leaf_is(const wk_tensor *leaf, const wk_tensor *gradient, bool empty) {
    const struct wk_leaf *state = leaf->leaf;
    return state && state->gradient == gradient && state->empty == empty && !state->hooks && !state->row_index;
}

wk_status wk__leaf_completed(wk_tensor *leaf) {
    leaf->leaf->empty = false;
    if (leaf->leaf->ready) wk__ready_hooks_run(leaf);
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* Takes the contribution (which may be NULL) over. */
static wk_status deliver(const walk *w, wk_tensor *in, wk_tensor *contribution) {
    if (in->node && in->node->mark == w->serial)
        return contribution ? add_up(w, &in->node->dout[in->output], contribution) : WK_OK;
    if (!w->ask->inputs) return in->leaf ? deliver_to_leaf(w, in, contribution) : WK_OK;
    if (!contribution) return WK_OK;
    wk_status status = collect(w, in, contribution);
    if (!w->ask->create) wk__tensor_drop(contribution);
    return status;
}

/* ---- parts of a tensor ----
 *
 * The gradient of a slice is dy with zeros around it.  Where contributions stand already in memory that nobody else
 * sees, dy is added to that part of them: n slices cost one pass over the tensor and not n.
 */

static wk_tensor *sum_of_its_own(const walk *w, const wk_tensor *in) {
    wk_tensor *sum = NULL;
    if (in->node && in->node->mark == w->serial) {
        sum = in->node->dout[in->output];
    } else if (!w->ask->inputs) {
        if (!in->leaf) return NULL;
        if (!in->leaf->hooks) return in->leaf->empty ? NULL : in->leaf->gradient;
        sum = in->leaf->arriving;
    } else {
        int times = 0;
        for (int k = 0; k < w->ask->n_inputs; k++)
            if (is_same(w->ask->inputs[k], in)) sum = w->ask->gradients[k], times++;
        if (times != 1) return NULL;
    }
    bool own = sum && sum->flags & WK_TENSOR_CONTIGUOUS
               && atomic_load_explicit(&sum->storage->references, memory_order_relaxed) == 1;
    return own ? sum : NULL;
}

static wk_status add_to_part(const walk *w, const struct wk_node *node, bool *done) {
    static _Atomic(const wk_op_def *) add_row;
    wk_tensor *dy = node->dout[0], *sum = dy ? sum_of_its_own(w, node->in[0]) : NULL;
    *done = sum && sum->storage != dy->storage;
    if (!*done) return WK_OK;
    wk_tensor *part = wk_op_run1(node->op, node->attrs, sum);
    if (!part) return wk_error_code();
    WK_TRY(wk_op_run(wk__known_row("add_into", &add_row), (wk_tensor *[]){ part, dy }, 2, NULL, NULL));
    wk__tensor_drop(part);
    return deliver(w, node->in[0], NULL);
}

/* ---- one node ---- */

enum { SMALL = 16 };

static wk_status run_rule(const walk *w, struct wk_node *node) {
    int n_in = node->n_in;
    if (node->op->part && !w->ask->create && !(w->context->mode & WK__MODE_ANOMALY)) {
        bool done;
        wk_status status = add_to_part(w, node, &done);
        if (done) return status;
    }
    wk_tensor *small[4 * SMALL];
    bool small_needs[SMALL], *needs = small_needs;
    wk_tensor **block = small;
    if (n_in + node->n_out > SMALL) { /* a list */
        block = wk__arena_take(&w->context->arena, (size_t)(3 * n_in + node->n_out) * sizeof(wk_tensor *));
        needs = wk__arena_take(&w->context->arena, (size_t)n_in * sizeof *needs);
        if (!block || !needs) return WK_NO_MEMORY;
    }
    wk__rule_call call = { .context = w->context,
                           .node = node,
                           .din = block,
                           .sinks = block + n_in,
                           .operands = block + 2 * n_in,
                           .needs = needs,
                           .use_sinks = !w->ask->create && !w->ask->inputs };
    for (int i = 0; i < n_in; i++) needs[i] = is_useful(w, node->in[i]);
    if (n_in > 0 && node->op->adds && needs[0] && !w->ask->create && !(w->context->mode & WK__MODE_ANOMALY))
        call.sum = sum_of_its_own(w, node->in[0]);
    wk_status status = wk__rule_run(&call);
    for (int i = 0; i < n_in && status == WK_OK; i++)
        if (needs[i]) status = deliver(w, node->in[i], call.din[i]);
    return status;
}

/* The gradients of a node's results are complete: hooks see them, and whoever asked for them. */
static wk_status complete(const walk *w, const struct wk_node *node) {
    if (node->hooks && w->context->mode & WK__MODE_CAPTURE) wk__step_refuse(w->context, "a result has gradient hooks");
    for (int i = 0; i < node->n_out; i++) {
        if (!node->dout[i]) continue;
        if (node->hooks) {
            node->dout[i] = wk__hooks_run(node->hooks, i, node->dout[i], w->ask->create);
            if (!node->dout[i]) return wk_error_code();
        }
        const wk_tensor result = { .node = (struct wk_node *)(uintptr_t)node, .output = (uint16_t)i };
        if (w->ask->inputs) WK_TRY(collect(w, &result, node->dout[i]));
    }
    return WK_OK;
}

static wk_status step_back(const walk *w, struct wk_node *node) {
    wk_status status = complete(w, node);
    if (status == WK_OK && node->leads_to_input) status = run_rule(w, node);
    node->mark = 0;
    for (int i = 0; i < node->n_out; i++) {
        if (node->dout[i] && !w->ask->create) wk__tensor_drop(node->dout[i]);
        node->dout[i] = NULL;
    }
    if (node->leads_to_input && !w->ask->retain && !w->ask->create) wk__node_release(node);
    return status;
}

/* ---- the walk ---- */

static wk_status check_output(wk_tensor *output, const wk_tensor *seed) {
    char text[160], given[160];
    if (!output) return wk_failed() ? wk_error_code() : wk_fail(WK_INVALID, "backward: the output is NULL");
    if (wk_failed()) return WK_PENDING;
    if (output->life != WK__ALIVE) return wk_fail(WK_DEAD_TENSOR, "backward: the output's scope has ended");
    if (!wk__wants_grad(output))
        return wk_fail(WK_INVALID,
                       "backward: %s depends on no tensor that wants a gradient (was it made under no_grad?)",
                       wk_describe(output, text, sizeof text));
    if (!seed && output->count != 1)
        return wk_fail(WK_SHAPE, "backward: the output is %s, expected one element; reduce it, or give its gradient",
                       wk_describe(output, text, sizeof text));
    if (!seed) return WK_OK;
    if (seed->life != WK__ALIVE) return wk_fail(WK_DEAD_TENSOR, "backward: the scope of the gradient given has ended");
    bool fits = seed->rank == output->rank && seed->dtype == output->dtype;
    for (int axis = 0; fits && axis < seed->rank; axis++) fits = seed->shape[axis] == output->shape[axis];
    if (!fits)
        return wk_fail(WK_SHAPE, "backward: the gradient given is %s, the output %s",
                       wk_describe(seed, given, sizeof given), wk_describe(output, text, sizeof text));
    return WK_OK;
}

static const wk_tensor *seed_of(const wk__request *ask, int o) {
    return ask->seeds ? ask->seeds[o] : NULL;
}

/* Outputs of a rule's parts that nobody used, or that depend on nothing, are left out. */
static bool is_left_out(const wk__request *ask, int o) {
    const wk_tensor *output = ask->outputs[o];
    return ask->in_parts && (!seed_of(ask, o) || !output || !wk__wants_grad(output));
}

static wk_status mark_outputs(walk *w) {
    const wk__request *ask = w->ask;
    for (int o = 0; o < ask->n_outputs; o++) {
        if (is_left_out(ask, o)) continue;
        wk_tensor *output = ask->outputs[o];
        WK_TRY(check_output(output, seed_of(ask, o)));
        char text[160];
        if (!output->node && !ask->inputs)
            return wk_fail(WK_INVALID, "backward: %s is a leaf, not the result of an operation",
                           wk_describe(output, text, sizeof text));
        if (output->node && !(ask->stop_at_inputs && is_input(w, output))) WK_TRY(mark_node(w, output->node));
    }
    return mark_reachable(w);
}

static const wk_tensor *ones_like(wk_context *context, const wk_tensor *output) {
    const int device = wk__device_enter(context, output->device);
    const wk_tensor *ones = wk_full((wk_dtype)output->dtype, wk__dims(output), 1.0);
    (void)wk__device_enter(context, device);
    return ones;
}

static wk_status plant_seeds(const walk *w) {
    const wk__request *ask = w->ask;
    for (int o = 0; o < ask->n_outputs; o++) {
        if (is_left_out(ask, o)) continue;
        wk_tensor *output = ask->outputs[o];
        const wk_tensor *seed = seed_of(ask, o);
        if (!seed) seed = ones_like(w->context, output);
        wk_tensor *own = seed ? wk__header_copy(w->context, seed) : NULL;
        if (!own) return wk_error_code();
        WK_TRY(deliver(w, output, own));
    }
    return WK_OK;
}

uint64_t wk__walk_serial(void) {
    static uint64_t serials;
    return __atomic_add_fetch(&serials, 1, __ATOMIC_RELAXED);
}

static wk_status walk_back(walk *w) {
    wk_context *context = w->context;
    w->serial = wk__walk_serial();
    wk_status status = mark_outputs(w);
    /* Each rule runs in its forward's dtypes, and the casts' nodes are consumed unless the graph is retained. */
    const uint32_t switched = WK__MODE_NO_GRAD | WK__MODE_AUTOCAST;
    uint32_t kept = context->mode & switched;
    if (!w->ask->retain && !w->ask->create) wk__autocast_forget(context);
    context->mode &= ~switched;
    if (!w->ask->create) context->mode |= WK__MODE_NO_GRAD;
    if (status == WK_OK) status = plant_seeds(w);
    if (w->lowest)
        for (struct wk_node *node = w->highest; status == WK_OK; node = node->previous) {
            if (node->mark == w->serial) status = step_back(w, node);
            if (node == w->lowest) break;
        }
    context->mode = (context->mode & ~switched) | kept;
    return status;
}

wk_status wk__gradients(const wk__request *ask) {
    wk_context *context = wk__context();
    if (!context) return WK_NO_MEMORY;
    if (WK_UNLIKELY(context->mode & WK__MODE_STEP)) wk__step_needs_tape(context, "it asks for gradients of tensors");
    for (int k = 0; k < ask->n_inputs; k++) ask->gradients[k] = NULL;
    /* With create_graph the new nodes must outlive this call: no scope of its own. */
    wk_scope scope = ask->create ? (wk_scope){ 0 } : wk_scope_begin();
    walk w = { .context = context, .ask = ask, .outer = context->walk };
    context->walk = &w;
    wk_status status = walk_back(&w);
    context->walk = w.outer;
    for (int k = 0; k < ask->n_inputs; k++) {
        if (status == WK_OK && !ask->stop_at_inputs && ask->gradients[k] && !ask->inputs[k]->node
            && ask->inputs[k]->leaf && ask->inputs[k]->leaf->hooks) {
            ask->gradients[k] = wk__hooks_run(ask->inputs[k]->leaf->hooks, 0, ask->gradients[k], ask->create);
            if (!ask->gradients[k]) status = wk_error_code();
        }
        if (status != WK_OK) ask->gradients[k] = NULL;
        (void)wk_scope_return(scope, ask->gradients[k]);
    }
    wk_scope_end(scope);
    return status == WK_OK && wk_failed() ? wk_error_code() : status;
}

/* ---- what users call ---- */

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

static wk_status walk_from(wk_tensor *output, wk_tensor *gradient, wk_backward_opts opts) {
    return wk__gradients(&(wk__request){ .outputs = &output,
                                         .seeds = &gradient,
                                         .n_outputs = 1,
                                         .retain = opts.retain_graph,
                                         .create = opts.create_graph });
}

/* In a step that is captured or replayed. */
static wk_status backward_in_step(wk_context *context, wk_tensor *output, wk_tensor *gradient, wk_backward_opts opts) {
    const wk_call call = { .in = (wk_tensor *[]){ output, gradient }, .n_in = 2 };
    wk_status status;
    if (opts.retain_graph || opts.create_graph) wk__step_needs_tape(context, "a backward keeps its graph");
    if (output && (context->mode & WK__MODE_REPLAY) && wk__replay_call(context, &call, NULL, &status)) return status;
    if (!output || !(context->mode & WK__MODE_CAPTURE)) return walk_from(output, gradient, opts);
    wk__capture_enter(context, &call, NULL);
    status = walk_from(output, gradient, opts);
    wk__capture_leave(context, NULL, 0, status);
    return status;
}

wk_status wk_backward_from(wk_tensor *output, wk_tensor *gradient, wk_backward_opts opts) {
    wk_context *context = wk__context();
    const bool in_step = context && !wk_failed() && context->mode & WK__MODE_STEP;
    wk_status status = in_step ? backward_in_step(context, output, gradient, opts) : walk_from(output, gradient, opts);
    wk__backward_ended(status);
    return status == WK_OK && wk_failed() ? wk_error_code() : status;
}

wk_status wk_backward(wk_tensor *scalar) {
    return wk_backward_from(scalar, NULL, (wk_backward_opts){ 0 });
}

wk_status wk_gradients(wk_tensor *const *outputs, int n_outputs, wk_tensor *const *grad_outputs,
                       wk_tensor *const *inputs, int n_inputs, wk_tensor **gradients, wk_grad_opts opts) {
    for (int k = 0; k < n_inputs; k++) gradients[k] = NULL;
    if (wk_failed()) return WK_PENDING;
    if (n_outputs < 1 || n_inputs < 1)
        return wk_fail(WK_INVALID, "wk_gradients: %d outputs and %d inputs, expected at least one of each", n_outputs,
                       n_inputs);
    char text[160];
    for (int k = 0; k < n_inputs; k++) {
        if (!inputs[k]) return wk_fail(WK_INVALID, "wk_gradients: input %d is NULL", k);
        if (!wk__wants_grad(inputs[k]))
            return wk_fail(WK_INVALID, "wk_gradients: input %d, %s, wants no gradient; use wk_require_grad", k,
                           wk_describe(inputs[k], text, sizeof text));
    }
    WK_TRY(wk__gradients(&(wk__request){ .outputs = outputs,
                                         .seeds = grad_outputs,
                                         .n_outputs = n_outputs,
                                         .inputs = inputs,
                                         .gradients = gradients,
                                         .n_inputs = n_inputs,
                                         .retain = opts.retain_graph,
                                         .create = opts.create_graph }));
    for (int k = 0; k < n_inputs && !opts.allow_unused; k++)
        if (!gradients[k])
            return wk_fail(WK_INVALID,
                           "wk_gradients: no output depends on input %d, %s; set allow_unused if that may be", k,
                           wk_describe(inputs[k], text, sizeof text));
    return WK_OK;
}
