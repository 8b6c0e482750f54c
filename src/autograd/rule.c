/* rule.c: one node's gradient rule.
 *
 * Operands are given back to the rule as they were: the memory that the tape saved, checked against its version.  The
 * rule runs in a scope of its own; what it gives is carried out as a header on the same storage, so that everything
 * else it made dies at once.
 */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"
#include "tensor/registry.h"
#include "wick/ops.h"

#include <string.h>

const char *wk__place(const char *call_site) {
    const char *slash = call_site ? strrchr(call_site, '/') : NULL;
    return slash ? slash + 1 : call_site ? call_site : "?";
}

/* A header without memory, for its shape. */
static wk_tensor *without_data(wk_context *context, const wk_tensor *header) {
    wk_tensor *shape = wk__header_create(context);
    if (!shape || !wk__header_shape(shape, (wk_dtype)header->dtype, header->rank, header->shape, "backward"))
        return NULL;
    shape->device = header->device;
    return shape;
}

/* An operand as the rule sees it: with its values where they were saved, else for its shape. */
static wk_tensor *restore(wk_context *context, const struct wk_node *node, wk_tensor *header, const wk__saved *saved,
                          bool spared) {
    if (!header || !saved->storage) return header;
    if (spared && saved->storage->version != saved->version) return without_data(context, header);
    if (saved->storage->version != saved->version)
        return wk_fail_null(
            WK_VERSION,
            "backward of \"%s\" [%s]: a tensor it needs was changed in place since, by the call at [%s]; "
            "change a copy instead",
            node->op->name, wk__place(node->call_site), wk__place(saved->storage->changed_at));
    if (header->life == WK__ALIVE && header->storage == saved->storage) return header;
    wk_tensor *live = wk__header_create(context);
    if (!live) return NULL;
    wk_tensor *next = live->next;
    *live = *header;
    live->next = next;
    live->life = WK__ALIVE;
    live->storage = wk__storage_hold(saved->storage);
    live->data = saved->data;
    live->flags &= (uint8_t) ~(WK_TENSOR_KEPT | WK__TENSOR_PLANNED); /* this header is nobody's but the scope's */
    return live;
}

static bool takes_gradient(const wk_tensor *in) {
    return !in->node && in->leaf && in->leaf->empty && !in->leaf->hooks && !in->leaf->row_index;
}

const wk_op_def *wk__known_row(const char *name, _Atomic(const wk_op_def *) *cached) {
    const wk_op_def *found = atomic_load_explicit(cached, memory_order_acquire);
    if (!found) atomic_store_explicit(cached, found = wk_op_find(name), memory_order_release);
    return found;
}
static _Atomic(const wk_op_def *) permute_row, cast_row, kept_cast_row;

wk_tensor *wk__turned_leaf(const wk_tensor *tensor) {
    const struct wk_node *view = tensor->node;
    return view && view->op == wk__known_row("permute", &permute_row) && !view->in[0]->node && view->in[0]->leaf
               ? view->in[0]
               : NULL;
}

wk_tensor *wk__turned_likewise(const wk_tensor *tensor, wk_tensor *other) {
    return wk_op_run1(tensor->node->op, tensor->node->attrs, other);
}

/* Whether nothing else contributes to its gradient. */
static bool is_last_of(const wk_tensor *leaf) {
    return takes_gradient(leaf) && leaf->leaf->mark && leaf->leaf->expected == 1;
}

/* Of a leaf with its axes in another order: its gradient in that order. */
static wk_tensor *sink_behind(const wk_tensor *turned) {
    const struct wk_node *view = turned->node;
    wk_tensor *leaf = wk__turned_leaf(turned);
    if (!leaf || view->hooks || view->dout[turned->output] || !is_last_of(leaf)) return NULL;
    wk_tensor *gradient = wk__leaf_gradient_for_writing(leaf);
    return gradient ? wk__turned_likewise(turned, gradient) : NULL;
}

/* Of a half copy that autocast made of a leaf in f32, turned or not: the leaf's gradient, as the copy lies. */
static wk_tensor *sink_behind_cast(const wk_tensor *half) {
    const struct wk_node *node = half->node;
    if (!node || node->hooks || node->dout[half->output]) return NULL;
    if (node->op == wk__known_row("permute", &permute_row)) {
        wk_tensor *sink = sink_behind_cast(node->in[0]);
        return sink ? wk__turned_likewise(half, sink) : NULL;
    }
    wk_tensor *from = node->in[0];
    const bool casts =
        node->op == wk__known_row("cast", &cast_row) || node->op == wk__known_row("kept_cast", &kept_cast_row);
    if (!casts || from->dtype != WK_F32) return NULL;
    if (from->node) return sink_behind(from);
    return from->leaf && is_last_of(from) ? wk__leaf_gradient_for_writing(from) : NULL;
}

static wk_tensor *sink_of(const struct wk_node *node, int i) {
    wk_tensor *in = node->in[i];
    for (int k = 0; k < node->n_in; k++) { /* one that stands twice gets two contributions */
        const wk_tensor *other = node->in[k];
        if (k != i && other && (in->node ? other->node == in->node : other->leaf == in->leaf)) return NULL;
    }
    if (in->node && node->op->wide_din >> i & 1 && WK_HALVES & WK_SET_OF(in->dtype)) return sink_behind_cast(in);
    if (in->node) return sink_behind(in);
    return takes_gradient(in) ? wk__leaf_gradient_for_writing(in) : NULL;
}

/* The gradient of a table as rows, put into its leaf at once; *given is false where the row or the leaf does not. */
static wk_status give_rows(const wk__rule_call *c, wk_grad *grad, bool *given) {
    wk_tensor *table = c->node->in[0], *index = NULL, *values = NULL;
    if (!c->needs[0] || !wk__leaf_takes_rows(table)) return WK_OK;
    WK_TRY(c->node->op->grad_rows(grad, &index, &values));
    *given = index != NULL;
    if (!index) return WK_OK;
    if (c->context->mode & WK__MODE_CAPTURE) wk__step_refuse(c->context, "a gradient is kept as rows");
    if (WK_UNLIKELY(c->context->mode & WK__MODE_ANOMALY)) WK_TRY(wk__anomaly_check(c->node, 0, values));
    return wk__leaf_add_rows(table, index, values);
}

static wk_status run(const wk__rule_call *c) {
    struct wk_node *node = c->node;
    int n_in = node->n_in;
    if (!node->op->grad)
        return wk_fail(WK_UNSUPPORTED, "backward: \"%s\" [%s] has no gradient: %s", node->op->name,
                       wk__place(node->call_site), node->op->not_differentiable);
    for (int i = 0; i < n_in + node->n_out; i++) {
        wk_tensor *header = i < n_in ? node->in[i] : node->out[i - n_in];
        bool spared = i >= n_in && (node->op->spares_out >> (i - n_in) & 1);
        c->operands[i] = restore(c->context, node, header, &node->saved[i], spared);
        if (header && !c->operands[i]) return wk_error_code();
    }
    wk_call call = { .op = node->op,
                     .in = c->operands,
                     .out = c->operands + n_in,
                     .attrs = node->attrs,
                     .n_in = n_in,
                     .n_out = node->n_out };
    wk_grad grad = { .call = &call,
                     .in = c->operands,
                     .out = c->operands + n_in,
                     .dout = node->dout,
                     .attrs = node->attrs,
                     .din = c->din,
                     .needs = c->needs,
                     .sink = c->sinks,
                     .sum = c->sum };
    bool as_rows = false;
    wk_status status = WK_OK;
    if (node->op->grad_rows && c->use_sinks) status = give_rows(c, &grad, &as_rows);
    for (int i = 0; i < n_in; i++) c->sinks[i] = c->use_sinks && c->needs[i] && !as_rows ? sink_of(node, i) : NULL;
    if (status == WK_OK && !as_rows) status = node->op->grad(&grad);
    if (wk_failed()) status = wk_error_code(); /* the cause: a rule's later calls only say that an error is pending */
    if (status != WK_OK) wk_error_prefix("backward of \"%s\" [%s]", node->op->name, wk__place(node->call_site));
    return status;
}

/* A gradient on its way to a leaf in f32, not rounded to the half that the operand is. */
static bool is_wide(const wk__rule_call *c, int i, const wk_tensor *din) {
    const wk_tensor *in = c->node->in[i], *sink = c->sinks[i], *dout = c->node->dout[0];
    if (din->dtype != WK_F32 || !(WK_HALVES & WK_SET_OF(in->dtype))) return false;
    return (sink && sink->dtype == WK_F32) || (c->node->n_out == 1 && dout && dout->dtype == WK_F32);
}

/* Carry a rule's result out of its scope, checked against the shape it must have. */
static wk_tensor *carry_out(const wk__rule_call *c, int i, wk_tensor *din) {
    if (!din) return NULL;
    const wk_tensor *in = c->node->in[i];
    bool fits = din->rank == in->rank && (din->dtype == in->dtype || is_wide(c, i, din));
    for (int axis = 0; fits && axis < din->rank; axis++) fits = din->shape[axis] == in->shape[axis];
    if (!fits) {
        char a[160], b[160];
        return wk_fail_null(WK_INTERNAL, "gradient rule of \"%s\": input %d is %s, its gradient %s", c->node->op->name,
                            i, wk_describe(in, a, sizeof a), wk_describe(din, b, sizeof b));
    }
    if (WK_UNLIKELY(c->context->mode & WK__MODE_ANOMALY) && wk__anomaly_check(c->node, i, din) != WK_OK) return NULL;
    return wk__header_copy(c->context, din);
}

/* Where the rule's constants are made: where the call ran. */
static int device_of(const struct wk_node *node) {
    return node->n_out > 0 && node->out[0] ? node->out[0]->device : 0;
}

wk_status wk__rule_run(wk__rule_call *c) {
    struct wk_node *node = c->node;
    bool any = false;
    for (int i = 0; i < node->n_out; i++) any = any || node->dout[i] != NULL;
    for (int i = 0; i < node->n_in; i++) c->din[i] = NULL;
    if (!any) return WK_OK;
    wk_scope inner = wk_scope_begin();
    wk__scope *rule_scope = c->context->scope;
    const char *outer = c->context->layer;
    if (node->layer) c->context->layer = node->layer;
    const int device = wk__device_enter(c->context, device_of(node));
    wk_status status = inner.record ? run(c) : wk_error_code();
    (void)wk__device_enter(c->context, device);
    c->context->layer = outer;
    if (status == WK_OK) {
        /* Headers made from here on belong to the scope around. */
        c->context->scope = rule_scope->outer;
        for (int i = 0; i < node->n_in && status == WK_OK; i++) {
            wk_tensor *given = c->needs[i] ? c->din[i] : NULL;
            c->din[i] = carry_out(c, i, given);
            if (given && !c->din[i]) status = wk_error_code();
        }
        c->context->scope = rule_scope;
    }
    wk_scope_end(inner);
    return status;
}

/* ---- rules of fused rows ---- */

wk_tensor *wk__stand_in(wk_tensor *operand, bool wants, bool create) {
    if (!operand || (!wants && !wk__wants_grad(operand))) return operand;
    if (create) return wk_reshape(operand, wk__dims(operand));
    wk_tensor *alone = wk_detach(operand);
    if (alone && wants) alone->flags |= WK_TENSOR_REQUIRES_GRAD;
    return alone;
}

/* The parts are run again on stand-ins for the operands, and their gradient is taken with respect to those.  While a
 * graph is made of the walk, a stand-in is a view of its operand and the parts' own walk is noted too: the result is
 * then a function of operands and incoming gradients like any other, to be derived again to any order. */
wk_status wk__grad_by_parts(wk_grad *grad) {
    wk_context *context = wk__context();
    const wk_op_def *op = grad->call->op;
    int n_in = grad->call->n_in;
    bool create = !(context->mode & WK__MODE_NO_GRAD);
    wk_tensor *in[WK_MAX_IN], *out[WK_MAX_OUT] = { NULL }, *given[WK_MAX_IN] = { NULL };
    if (n_in > WK_MAX_IN) return wk_fail(WK_INTERNAL, "\"%s\": a tensor list has no gradient by parts", op->name);
    bool was = wk_enable_grad_begin();
    wk_status status = WK_OK;
    for (int i = 0; i < n_in && status == WK_OK; i++) {
        in[i] = wk__stand_in(grad->in[i], grad->needs[i], create);
        if (grad->in[i] && !in[i]) status = wk_error_code();
    }
    wk_call call = *grad->call;
    call.in = in;
    call.out = out;
    if (status == WK_OK) status = op->decompose(&call, out);
    wk_enable_grad_end(was);
    if (status != WK_OK || wk_failed()) return wk_failed() ? wk_error_code() : status;
    /* Every stand-in ends the walk, also those whose gradient nobody asks for: what lies behind them is being walked.
     */
    wk_tensor *wanted[WK_MAX_IN], *seeds[WK_MAX_OUT] = { NULL };
    for (int i = 0; i < n_in; i++) wanted[i] = in[i] && wk__wants_grad(in[i]) ? in[i] : NULL;
    for (int k = 0; k < op->n_out; k++) /* parts may give more digits than the row does */
        if (out[k] && grad->dout[k]) seeds[k] = wk_cast(grad->dout[k], (wk_dtype)out[k]->dtype);
    status = wk__gradients(&(wk__request){ .outputs = out,
                                           .seeds = seeds,
                                           .n_outputs = op->n_out,
                                           .inputs = wanted,
                                           .gradients = given,
                                           .n_inputs = n_in,
                                           .create = create,
                                           .stop_at_inputs = true,
                                           .in_parts = true });
    for (int i = 0; i < n_in; i++) grad->din[i] = grad->needs[i] ? given[i] : NULL;
    return status;
}

/* A backward row's parts: its forward row's parts and their gradient, noted on the tape where the operands are. */
wk_status wk__gradient_of_parts(const wk_op_def *forward, wk_tensor *const *in, const void *attrs,
                                wk_tensor *const *dout, wk_tensor **din) {
    wk_context *context = wk__context();
    int n_in = forward->n_in;
    bool create = !(context->mode & WK__MODE_NO_GRAD);
    wk_tensor *own[WK_MAX_IN], *wanted[WK_MAX_IN], *out[WK_MAX_OUT] = { NULL }, *seeds[WK_MAX_OUT] = { NULL };
    bool was = wk_enable_grad_begin();
    wk_status status = WK_OK;
    for (int i = 0; i < n_in && status == WK_OK; i++) {
        bool is_float = in[i] && wk_dtype_is_float((wk_dtype)in[i]->dtype);
        own[i] = wk__stand_in(in[i], is_float, create && is_float && wk__wants_grad(in[i]));
        wanted[i] = is_float ? own[i] : NULL;
        if (in[i] && !own[i]) status = wk_error_code();
    }
    const wk_call call = {
        .op = forward, .in = own, .out = out, .attrs = attrs, .n_in = n_in, .n_out = forward->n_out
    };
    if (status == WK_OK) status = forward->decompose(&call, out);
    for (int k = 0; k < forward->n_out && status == WK_OK; k++) {
        if (!out[k] || !dout[k]) continue;
        /* A walk copies headers: what has no node of its own would not be found again behind them. */
        wk_tensor *seed = create && wk__wants_grad(dout[k]) ? wk_reshape(dout[k], wk__dims(dout[k])) : dout[k];
        seeds[k] = wk_cast(seed, (wk_dtype)out[k]->dtype);
    }
    wk_enable_grad_end(was);
    if (status != WK_OK || wk_failed()) return wk_failed() ? wk_error_code() : status;
    return wk__gradients(&(wk__request){ .outputs = out,
                                         .seeds = seeds,
                                         .n_outputs = forward->n_out,
                                         .inputs = wanted,
                                         .gradients = din,
                                         .n_inputs = n_in,
                                         .create = create,
                                         .stop_at_inputs = true,
                                         .in_parts = true });
}
