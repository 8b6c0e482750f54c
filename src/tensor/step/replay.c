/* replay.c: a step that goes as its plan says.
 *
 * A call is held against the entry that comes next; if it fits, the entry's kernels run at once.  So nothing is ever
 * behind what the user's code has asked for: any result may be read, and a call that does not fit needs nothing done
 * over, only the tape of the calls before it.
 */
#include "tensor/registry.h"
#include "tensor/step/plan.h"

#include <string.h>

/* ---- what fits ---- */

static bool is_like(const wk_tensor *a, const wk_tensor *b) {
    enum { COMPARED = WK_TENSOR_REQUIRES_GRAD | WK_TENSOR_CONTIGUOUS };
    if (a->rank != b->rank || a->dtype != b->dtype || a->device != b->device) return false;
    if ((a->flags ^ b->flags) & COMPARED) return false;
    size_t bytes = a->rank * sizeof a->shape[0];
    return memcmp(a->shape, b->shape, bytes) == 0 && memcmp(a->stride, b->stride, bytes) == 0;
}

/* Let `tensor` stand where the plan names this external; what was put off means the one before. */
static bool bind(wk_context *context, wk__external *e, wk_tensor *tensor) {
    if (e->fixed && tensor != e->tensor) return false;
    if (!e->fixed && (tensor->life != WK__ALIVE || tensor->node || !is_like(&e->like, tensor))) return false;
    e->tensor = tensor;
    if (tensor->data == e->data && tensor->storage == e->storage) return true;
    if (e->data && wk__step_flush(context) != WK_OK) return false;
    if (!e->fixed) {
        (void)wk__storage_hold(tensor->storage);
        wk__storage_drop(e->storage);
    }
    for (wk__planned *p = e->views; p; p = p->next_of_external) {
        p->header.data = (char *)tensor->data + p->offset;
        p->header.storage = tensor->storage;
    }
    e->data = tensor->data;
    e->storage = tensor->storage;
    return true;
}

static bool operand_fits(wk_context *context, const wk__operand *o, wk_tensor *tensor) {
    if (!tensor) return !o->planned && !o->external;
    if (o->wants_grad != wk__wants_grad(tensor)) return false;
    if (o->external) return bind(context, o->external, tensor);
    if (!o->planned) return false;
    if (tensor == &o->planned->header) return tensor->life == WK__ALIVE;
    return o->alias && tensor->life == WK__ALIVE && tensor->data == o->planned->header.data
           && is_like(&o->planned->header, tensor);
}

static bool entry_fits(wk_context *context, const wk__entry *e, const wk_call *call, wk_tensor *const *targets) {
    if (e->op != call->op || e->n_in != call->n_in || e->target != wk__step_target(call, targets)) return false;
    if (context->device != e->device || (context->mode & WK__MODE_COMPARED) != e->mode
        || context->autocast.dtype != e->half)
        return false;
    if (call->op && call->op->attrs_size && !wk__same_attrs(call->op, call->attrs, e->attrs)) return false;
    for (int i = 0; i < e->n_in; i++)
        if (!operand_fits(context, &e->in[i], call->in[i])) return false;
    for (const wk__leaf_state *l = e->leaves; l; l = l->next)
        if (!wk__leaf_is(l->leaf, l->gradient, l->empty)) return false;
    for (const wk__half_state *h = e->halves; h; h = h->next) {
        wk__leaf_wish_half(h->leaf, h->dtype);
        if (wk__leaf_half(h->leaf, h->dtype) != h->half) return false;
    }
    return true;
}

/* ---- running ---- */

static void note_changes(const wk__launch *l) {
    const wk_call *call = &l->call;
    for (int i = 0; i < call->n_out; i++)
        if (l->into >> i & 1) wk__storage_changed(call->out[i]->storage, l->call_site);
    for (int i = 0; i < call->n_in && l->mutates; i++)
        if (wk__writes(call, i)) wk__storage_changed(call->in[i]->storage, l->call_site);
}

static wk_status run(wk_context *context, const wk__entry *e) {
    const char *site = context->call_site, *layer = context->layer;
    wk_status status = WK_OK;
    context->step->in_backward = !e->op;
    for (int i = e->first; i < e->end && status == WK_OK; i++) {
        const wk__launch *l = &context->step->plan->launches[i];
        if (!e->op) context->call_site = l->call_site, context->layer = l->layer;
        if (l->fused) {
            status = wk__fused_run(context, l);
            i = wk__fused_end(l->fused) - 1;
        } else if (l->leaf) {
            context->mode &= ~(uint32_t)WK__MODE_REPLAY; /* who is told of it may run what it likes */
            status = wk__leaf_completed(l->leaf);
            context->mode |= WK__MODE_REPLAY;
        } else if (l->runs && !l->once) {
            note_changes(l);
            const bool later = l->put_off && !(context->mode & WK__MODE_OBSERVED);
            if (!l->call.device) status = wk__step_flush(context); /* it may write what numbers are read from */
            if (status == WK_OK) status = later ? wk__put_off(context, i) : wk__run_kernel(context, &l->call);
        }
    }
    context->step->in_backward = false;
    context->call_site = site;
    context->layer = layer;
    return status;
}

/* ---- breaking off ---- */

void wk__replay_stop(wk_context *context) {
    const wk__plan *plan = context->step->plan;
    int n = context->step->cursor, first = 0;
    for (int i = 0; i < n; i++)
        if (!plan->entries[i].op) first = plan->entries[i].end; /* a backward has consumed what was before */
    int end = n < plan->n_entries ? plan->entries[n].first : plan->n_launches;
    const char *site = context->call_site, *layer = context->layer;
    wk_status status = wk__step_flush(context);
    for (int i = first; i < end && status == WK_OK; i++) {
        const wk__launch *l = &plan->launches[i];
        context->call_site = l->call_site;
        context->layer = l->layer;
        if (l->taped) status = wk__tape_record(context, &l->call); /* a failure is pending, and the next call says so */
    }
    context->call_site = site;
    context->layer = layer;
    context->mode &= ~(uint32_t)WK__MODE_REPLAY;
    context->step->used = context->step->plan;
    context->step->plan = NULL;
}

void wk__replay_leave(wk_context *context, const char *why) {
    wk__step_note(context->step->name, why);
    wk__replay_stop(context);
}

static const char *name_of(const wk_op_def *op) {
    return op ? op->name : "backward";
}

static void leave_at(wk_context *context, const wk_call *call) {
    wk__step *s = context->step;
    const wk__entry *e = s->cursor < s->plan->n_entries ? &s->plan->entries[s->cursor] : NULL;
    char why[300], operand[100] = "no tensor";
    if (call->n_in > 0 && call->in[0]) (void)wk_describe(call->in[0], operand, sizeof operand);
    (void)snprintf(why, sizeof why, "call %d is %s of %s, the plan has %s%s", s->cursor + 1, name_of(call->op), operand,
                   e ? name_of(e->op) : "none", e && e->op == call->op ? " of others, or in another mode" : "");
    s->left = s->plan;
    wk__replay_leave(context, why);
}

/* ---- the call ---- */

/* Memory of results whose scope ended while capturing serves others from here on. */
static void end_scopes(wk__step *s) {
    const wk__plan *plan = s->plan;
    for (; s->drop < plan->n_drops && plan->drops[s->drop].entries <= s->cursor; s->drop++)
        plan->drops[s->drop].planned->header.life = WK__DEAD;
}

/* Before anything ran, another plan of the name may still be the right one. */
static const wk__entry *find_entry(wk_context *context, const wk_call *call, wk_tensor *const *targets) {
    wk__step *s = context->step;
    const wk__entry *e = s->cursor < s->plan->n_entries ? &s->plan->entries[s->cursor] : NULL;
    if (e && entry_fits(context, e, call, targets)) return e;
    if (s->cursor > 0) return NULL;
    const wk__plan *tried = s->plan;
    for (wk__plan *plan = wk__step_candidate(context, NULL), *next; plan; plan = next) {
        next = wk__step_candidate(context, plan);
        if (plan == tried || !wk__step_use(context, plan)) continue;
        if (entry_fits(context, &plan->entries[0], call, targets)) return &plan->entries[0];
    }
    return NULL;
}

bool wk__replay_call(wk_context *context, const wk_call *call, wk_tensor *const *targets, wk_status *status) {
    wk__step *s = context->step;
    end_scopes(s);
    const wk__entry *e = find_entry(context, call, targets);
    if (!e && s->cursor == 0) {
        context->mode &= ~(uint32_t)WK__MODE_REPLAY;
        wk__step_capture(context);
        return false;
    }
    if (!e) {
        leave_at(context, call);
        return false;
    }
    s->cursor++;
    *status = run(context, e);
    for (int i = 0; i < e->n_out; i++) {
        const wk__operand *o = &e->out[i];
        call->out[i] = o->planned ? &o->planned->header : o->external ? o->external->tensor : NULL;
        if (o->planned) o->planned->header.life = WK__ALIVE;
        if (*status != WK_OK) call->out[i] = NULL;
    }
    return true;
}
