/* capture.c: noting what a step runs while it runs as ever.
 *
 * Headers live in the step's arena, so a pointer names one header for the whole step; a storage names a block from when
 * it is given out until it is given back.  What cannot be repeated is refused by name; the step itself is not
 * disturbed.
 */
#include "tensor/registry.h"
#include "tensor/step/plan.h"

#include <limits.h>
#include <string.h>

/* What a pointer stands for: a header, or a storage. */
typedef struct known {
    const void *pointer;
    wk__planned *planned;   /* a header is one of these two */
    wk__external *external; /* a storage may be one's memory, … */
    wk__block *block;       /* … hold what the step computed, or what a row made on the host */
    wk__constant *constant;
    bool by_row;
} known;

typedef struct wk__capture {
    known *map;
    size_t used, slots; /* a power of two */
    int depth;          /* calls inside of calls */
    int suspended;      /* code that a replay runs too */
    bool refused;
    char why[300];
} wk__capture;

void wk__step_refuse(wk_context *context, const char *format, ...) {
    wk__capture *c = context->step->capture;
    if (c->refused || c->suspended) return;
    va_list list;
    va_start(list, format);
    (void)vsnprintf(c->why, sizeof c->why, format, list);
    va_end(list);
    c->refused = true;
}

/* ---- what is known ---- */

static known *find(const wk__capture *c, const void *pointer) {
    size_t at = (size_t)(((uintptr_t)pointer >> 4) * 0x9e3779b97f4a7c15u >> 20);
    for (;; at++) {
        known *k = &c->map[at & (c->slots - 1)];
        if (!k->pointer || k->pointer == pointer) return k;
    }
}

static bool make_room(wk__capture *c) {
    if (2 * c->used < c->slots) return true;
    wk__capture larger = { .slots = c->slots ? 2 * c->slots : 1024 };
    larger.map = wk_alloc(larger.slots * sizeof *larger.map);
    if (!larger.map) return false;
    for (size_t i = 0; i < c->slots; i++)
        if (c->map[i].pointer) *find(&larger, c->map[i].pointer) = c->map[i];
    wk_free(c->map);
    c->map = larger.map;
    c->slots = larger.slots;
    return true;
}

/* Valid until the next one is entered. */
static known *enter(const wk_context *context, const void *pointer) {
    wk__capture *c = context->step->capture;
    if (!make_room(c)) return NULL;
    known *k = find(c, pointer);
    if (!k->pointer) c->used++;
    k->pointer = pointer;
    return k;
}

static bool is_known(const wk_context *context, const wk_tensor *tensor) {
    const known *k = find(context->step->capture, tensor);
    return k->planned || k->external;
}

static bool is_busy(const wk_context *context) {
    return !context->step->capture->suspended && !context->step->capture->refused;
}

/* A storage is given out or back: what it held is gone. */
void wk__capture_storage(wk_context *context, const wk_storage *storage) {
    known *k = find(context->step->capture, storage);
    if (k->block) k->block->death = context->step->plan->n_launches;
    k->block = NULL;
    k->by_row = false;
    k->constant = NULL;
    k->external = NULL;
}

void wk__capture_host(wk_context *context, const wk_tensor *tensor) {
    if (!is_busy(context) || context->step->capture->depth == 0) return;
    known *k = enter(context, tensor->storage);
    if (k) k->by_row = true;
}

/* ---- headers of the plan ---- */

static wk__plan *plan_of(const wk_context *context) {
    return context->step->plan;
}

static void *take(const wk_context *context, size_t size) {
    void *memory = wk__arena_take(&plan_of(context)->arena, size);
    return memory ? memset(memory, 0, size) : NULL;
}

static ptrdiff_t distance(const wk_tensor *tensor, const void *base) {
    return (const char *)tensor->data - (const char *)base;
}

static wk__planned *make_header(const wk_context *context, const wk_tensor *tensor) {
    wk__plan *plan = plan_of(context);
    wk__planned *p = take(context, sizeof *p);
    known *k = p ? enter(context, tensor) : NULL;
    if (!k) return NULL;
    p->header = *tensor;
    p->header.node = NULL;
    p->header.next = NULL;
    p->header.flags = (uint8_t)((tensor->flags & ~WK_TENSOR_KEPT) | WK__TENSOR_PLANNED);
    p->next = plan->headers;
    plan->headers = p;
    k->planned = p;
    return p;
}

/* A result with memory of its own. */
static wk__planned *on_block(const wk_context *context, const wk_tensor *tensor) {
    wk__planned *p = make_header(context, tensor);
    known *k = p ? enter(context, tensor->storage) : NULL;
    if (!k) return NULL;
    if (!k->block) {
        wk__block *b = take(context, sizeof *b);
        if (!b) return NULL;
        b->birth = plan_of(context)->n_launches - 1;
        b->death = INT_MAX;
        b->device = tensor->device;
        b->next = plan_of(context)->blocks;
        plan_of(context)->blocks = k->block = b;
    }
    if (k->block->bytes < tensor->storage->bytes) k->block->bytes = tensor->storage->bytes;
    p->block = k->block;
    p->offset = distance(tensor, tensor->storage->data);
    return p;
}

static wk_storage *copy_of(wk_context *context, const wk_storage *from) {
    wk_storage *copy = wk__storage_create(context, from->device, from->bytes);
    if (!copy || wk__copy_bytes(copy->data, copy->device, from->data, from->device, from->bytes) == WK_OK) return copy;
    wk__storage_drop(copy);
    return NULL;
}

/* What a row made on the host for its parts: as it is when it is used first. */
static wk__planned *on_constant(wk_context *context, const wk_tensor *tensor) {
    wk__plan *plan = plan_of(context);
    wk__constant *c = find(context->step->capture, tensor->storage)->constant;
    if (!c) {
        c = take(context, sizeof *c);
        if (!c) return NULL;
        c->next = plan->constants;
        plan->constants = c;
        c->storage = copy_of(context, tensor->storage);
        c->pristine = copy_of(context, tensor->storage);
        if (!c->storage || !c->pristine) return NULL;
        find(context->step->capture, tensor->storage)->constant = c;
    }
    wk__planned *p = make_header(context, tensor);
    if (!p) return NULL;
    p->constant = c;
    p->offset = distance(tensor, tensor->storage->data);
    return p;
}

static wk__planned *on_external(const wk_context *context, const wk_tensor *tensor, wk__external *e) {
    wk__planned *p = make_header(context, tensor);
    if (!p) return NULL;
    p->external = e;
    p->offset = distance(tensor, e->data);
    p->next_of_external = e->views;
    e->views = p;
    return p;
}

static wk__planned *on_operand(wk_context *context, const wk_tensor *tensor, const wk_tensor *operand) {
    const known *k = find(context->step->capture, operand);
    if (k->external) return on_external(context, tensor, k->external);
    if (k->planned->external) return on_external(context, tensor, k->planned->external);
    return k->planned->constant ? on_constant(context, tensor) : on_block(context, tensor);
}

static wk__external *make_external(const wk_context *context, wk_tensor *tensor, bool fixed) {
    wk__plan *plan = plan_of(context);
    wk__external *e = take(context, sizeof *e);
    known *k = e ? enter(context, tensor) : NULL;
    if (!k) return NULL;
    e->fixed = fixed || wk__wants_grad(tensor);
    e->tensor = e->fixed ? wk_keep(tensor) : tensor;
    e->like = *tensor;
    e->data = tensor->data;
    e->storage = e->fixed ? tensor->storage : wk__storage_hold(tensor->storage);
    e->next = plan->externals;
    plan->externals = e;
    plan->n_externals++;
    k->external = e;
    known *memory = enter(context, tensor->storage);
    if (!memory) return NULL;
    memory->external = e;
    return e;
}

/* Make a tensor known that no call of this step has made; false: it is refused, or memory ran out. */
static bool meet(wk_context *context, wk_tensor *tensor, bool inside) {
    if (tensor->flags & WK_TENSOR_KEPT) return make_external(context, tensor, inside) != NULL;
    if (tensor->node && !(inside && context->mode & WK__MODE_NO_GRAD)) { /* rules are given headers of saved operands */
        wk__step_refuse(context, "it uses a tensor with a graph behind it that none of its operations made");
        return false;
    }
    const known *memory = find(context->step->capture, tensor->storage);
    if (memory->external) return on_external(context, tensor, memory->external) != NULL;
    if (memory->block) return on_block(context, tensor) != NULL;
    if (memory->by_row) return on_constant(context, tensor) != NULL;
    if (!inside) return make_external(context, tensor, false) != NULL;
    wk__step_refuse(context, "a row uses a tensor that it was not given");
    return false;
}

/* ---- entries ---- */

static bool note_operand(wk_context *context, wk__operand *o, wk_tensor *tensor) {
    if (!tensor) return true;
    bool met = !is_known(context, tensor);
    if (met && !meet(context, tensor, false)) return false;
    const known *k = find(context->step->capture, tensor);
    *o = (wk__operand){ .planned = k->planned, .external = k->external, .alias = met && k->planned };
    o->wants_grad = wk__wants_grad(tensor);
    return true;
}

static bool make_place(void **array, int used, int *most, size_t size) {
    if (used < *most) return true;
    int capacity = *most ? 2 * *most : 64;
    void *grown = wk_realloc(*array, (size_t)capacity * size);
    if (!grown) return false;
    *array = grown;
    *most = capacity;
    return true;
}

static const void *copy_attrs(const wk_context *context, const wk_call *call) {
    void *copy = take(context, call->op->attrs_size + 1);
    return copy && call->op->attrs_size ? memcpy(copy, call->attrs, call->op->attrs_size) : copy;
}

static bool open_entry(wk_context *context, const wk_call *call, wk_tensor *const *targets) {
    wk__plan *plan = plan_of(context);
    void *entries = plan->entries;
    if (!make_place(&entries, plan->n_entries, &plan->most_entries, sizeof *plan->entries)) return false;
    plan->entries = entries;
    wk__entry *e = &plan->entries[plan->n_entries];
    *e = (wk__entry){ .op = call->op, .n_in = call->n_in, .first = plan->n_launches };
    e->mode = context->mode & WK__MODE_COMPARED;
    e->device = context->device;
    e->half = context->autocast.dtype;
    e->target = wk__step_target(call, targets);
    if (e->target < 0) wk__step_refuse(context, "a call writes into memory that is none of its operands'");
    e->in = take(context, (size_t)(call->n_in + 1) * sizeof *e->in);
    if (call->op) e->attrs = copy_attrs(context, call);
    if (!e->in || (call->op && !e->attrs)) return false;
    for (int i = 0; i < call->n_in; i++)
        if (!note_operand(context, &e->in[i], call->in[i])) return false;
    return true;
}

static bool close_entry(wk_context *context, wk_tensor *const *out, int n_out) {
    wk__plan *plan = plan_of(context);
    wk__entry *e = &plan->entries[plan->n_entries];
    e->end = plan->n_launches;
    e->n_out = n_out;
    e->out = take(context, (size_t)(n_out + 1) * sizeof *e->out);
    if (!e->out) return false;
    for (int i = 0; i < n_out; i++)
        if (!note_operand(context, &e->out[i], out[i])) return false;
    plan->n_entries++;
    return true;
}

void wk__capture_enter(wk_context *context, const wk_call *call, wk_tensor *const *targets) {
    wk__capture *c = context->step->capture;
    if (call->op && call->op->data_dependent)
        wk__step_refuse(context, "the shape of what %s gives depends on values", call->op->name);
    if (c->depth++ == 0 && is_busy(context) && !open_entry(context, call, targets))
        wk__step_refuse(context, "there is no memory for a plan");
}

void wk__capture_leave(wk_context *context, wk_tensor *const *out, int n_out, wk_status status) {
    wk__capture *c = context->step->capture;
    if (status != WK_OK) wk__step_refuse(context, "a call failed");
    if (--c->depth == 0 && is_busy(context) && !close_entry(context, out, n_out))
        wk__step_refuse(context, "there is no memory for a plan");
}

void wk__capture_needs_tape(wk_context *context, const char *why) {
    if (context->step->capture->depth == 0) wk__step_refuse(context, "%s", why);
}

void wk__capture_look(wk_context *context, const char *what) {
    if (context->step->capture->depth > 0) wk__step_refuse(context, "a row, a gradient rule or a hook calls %s", what);
}

void wk__capture_suspend(wk_context *context, bool on) {
    context->step->capture->suspended += on ? 1 : -1;
}

void wk__capture_drop(wk_context *context, const wk_tensor *tensor) {
    const known *k = find(context->step->capture, tensor);
    if (!k->planned || !is_busy(context) || context->step->capture->depth > 0) return;
    wk__plan *plan = plan_of(context);
    void *drops = plan->drops;
    if (!make_place(&drops, plan->n_drops, &plan->most_drops, sizeof *plan->drops)) {
        wk__step_refuse(context, "there is no memory for a plan");
        return;
    }
    plan->drops = drops;
    plan->drops[plan->n_drops++] = (wk__drop){ k->planned, plan->n_entries };
}

/* ---- launches ---- */

static wk__launch *add_launch(const wk_context *context) {
    wk__plan *plan = plan_of(context);
    void *launches = plan->launches;
    if (!make_place(&launches, plan->n_launches, &plan->most_launches, sizeof *plan->launches)) return NULL;
    plan->launches = launches;
    wk__launch *l = &plan->launches[plan->n_launches];
    *l = (wk__launch){ .call_site = context->call_site };
    if (context->layer) {
        size_t size = strlen(context->layer) + 1;
        char *layer = take(context, size);
        if (!layer) return NULL;
        l->layer = memcpy(layer, context->layer, size);
    }
    plan->n_launches++;
    return l;
}

static bool name_operand(wk_context *context, wk_tensor **place, wk_tensor *tensor) {
    if (!tensor) return true;
    if (!is_known(context, tensor) && !meet(context, tensor, true)) return false;
    const known *k = find(context->step->capture, tensor);
    wk__external *e = k->external;
    if (e && !e->fixed && !e->stand_in) {
        e->stand_in = on_external(context, tensor, e);
        if (!e->stand_in) return false;
        find(context->step->capture, tensor)->planned = NULL; /* the pointer stands for the external as before */
    }
    *place = !e ? &k->planned->header : e->fixed ? tensor : &e->stand_in->header;
    return true;
}

static bool name_result(wk_context *context, wk_tensor **place, wk_tensor *tensor, wk_tensor *base) {
    if (is_known(context, tensor)) return name_operand(context, place, tensor); /* an operand, written in place */
    if (base && !is_known(context, base) && !meet(context, base, true)) return false;
    const wk__planned *p = base ? on_operand(context, tensor, base) : on_block(context, tensor);
    *place = p ? (wk_tensor *)(uintptr_t)&p->header : NULL;
    return p != NULL;
}

static void mark_written(const wk_context *context, const wk_call *call, int i) {
    const known *k = call->in[i] ? find(context->step->capture, call->in[i]) : NULL;
    if (k && k->planned && k->planned->constant) k->planned->constant->written = true;
}

static bool is_in_target(const wk_call *call, const wk__ran *how, int i) {
    return how->targets && how->targets[i] && call->out[i]->data == how->targets[i]->data;
}

static bool name_all(wk_context *context, wk__launch *l, const wk_call *call, const wk__ran *how) {
    wk_tensor **in = take(context, (size_t)(call->n_in + call->n_out + 1) * sizeof *in), **out = in + call->n_in;
    const void *attrs = in ? copy_attrs(context, call) : NULL;
    if (!attrs) return false;
    for (int i = 0; i < call->n_in; i++)
        if (!name_operand(context, &in[i], call->in[i])) return false;
    for (int i = 0; i < call->n_out; i++) {
        wk_tensor *base = how->descs[i].view_of ? call->in[how->descs[i].view_of - 1] : NULL;
        if (is_in_target(call, how, i)) base = how->targets[i];
        if (!name_result(context, &out[i], call->out[i], base)) return false;
    }
    for (int i = 0; i < call->n_in && how->mutates; i++) mark_written(context, call, i);
    l->call = (wk_call){ call->op, in, out, attrs, call->n_in, call->n_out, call->device };
    return true;
}

void wk__capture_ran(wk_context *context, const wk_call *call, const wk__ran *how) {
    if (!is_busy(context)) return;
    wk__launch *l = add_launch(context);
    if (!l || !name_all(context, l, call, how)) {
        wk__step_refuse(context, "there is no memory for a plan");
        return;
    }
    l->runs = how->ran;
    l->taped = how->taped;
    l->mutates = how->mutates;
    for (int i = 0; i < call->n_out; i++)
        if (is_in_target(call, how, i)) l->into |= 1U << i;
    wk__note_host_part(l);
}

/* ---- backward ---- */

/* Room for what is noted of the entry that is made now; NULL: there is none, or no memory. */
static void *take_for_entry(wk_context *context, size_t size) {
    if (!is_busy(context) || context->step->capture->depth == 0) return NULL;
    void *room = take(context, size);
    if (!room) wk__step_refuse(context, "there is no memory for a plan");
    return room;
}

void wk__capture_leaf(wk_context *context, wk_tensor *leaf, const wk_tensor *gradient, bool empty) {
    wk__leaf_state *state = take_for_entry(context, sizeof *state);
    if (!state) return;
    wk__entry *e = &plan_of(context)->entries[plan_of(context)->n_entries];
    *state = (wk__leaf_state){ e->leaves, leaf, gradient, empty };
    e->leaves = state;
}

void wk__capture_half(wk_context *context, const wk_tensor *leaf, wk_dtype dtype, const wk_tensor *half) {
    wk__half_state *state = take_for_entry(context, sizeof *state);
    if (!state) return;
    wk__entry *e = &plan_of(context)->entries[plan_of(context)->n_entries];
    *state = (wk__half_state){ e->halves, leaf, half, dtype };
    e->halves = state;
}

void wk__capture_leaf_ready(wk_context *context, wk_tensor *leaf) {
    if (!is_busy(context)) return;
    wk__launch *l = add_launch(context);
    if (l)
        l->leaf = leaf;
    else
        wk__step_refuse(context, "there is no memory for a plan");
}

/* ---- a step ---- */

wk_status wk__capture_begin(wk_context *context) {
    wk__step *s = context->step;
    s->plan = wk__plan_create(context->threads);
    s->capture = s->plan ? wk_alloc(sizeof *s->capture) : NULL;
    if (!s->capture || !make_room(s->capture)) {
        wk_free(s->capture);
        s->capture = NULL;
        wk__plan_destroy(s->plan);
        s->plan = NULL;
        return wk_error_code();
    }
    context->mode |= WK__MODE_CAPTURE;
    return WK_OK;
}

wk__plan *wk__capture_end(wk_context *context, char *why, size_t size) {
    wk__step *s = context->step;
    wk__capture *c = s->capture;
    wk__plan *plan = s->plan;
    context->mode &= ~(uint32_t)WK__MODE_CAPTURE;
    s->capture = NULL;
    s->plan = NULL;
    wk__plan_unbind(plan);
    if (c->refused) (void)snprintf(why, size, "%s", c->why);
    if (c->refused || wk_failed()) {
        wk__plan_destroy(plan);
        plan = NULL;
    }
    wk_free(c->map);
    wk_free(c);
    return plan;
}
