/* plan.c: a plan's memory and end. */
#include "tensor/step/plan.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

wk__plan *wk__plan_create(int threads) {
    wk__plan *plan = wk_alloc(sizeof *plan);
    if (plan) plan->threads = threads;
    return plan;
}

void wk__plan_destroy(wk__plan *plan) {
    if (!plan) return;
    wk__plan_unbind(plan);
    for (wk__external *e = plan->externals; e; e = e->next)
        if (e->fixed) wk_release(e->tensor);
    wk__stretches_destroy(plan);
    for (wk__block *b = plan->blocks; b; b = b->next) wk__storage_drop(b->storage);
    for (wk__constant *c = plan->constants; c; c = c->next) {
        wk__storage_drop(c->storage);
        wk__storage_drop(c->pristine);
    }
    for (wk__room *room = plan->rooms; room; room = room->next) wk__storage_drop(room->memory);
    wk__arena_destroy(&plan->arena);
    wk_free(plan->entries);
    wk_free(plan->launches);
    wk_free(plan->drops);
    wk_free(plan);
}

/* Where blocks of this size start.  Large ones with a page, as those that no plan places (kernels/cpu/pool.c tells
 * why); small ones with a line; a device's as what it gives out itself. */
static size_t unit_of(const wk__block *b) {
    return b->device ? 256 : b->bytes < (size_t)1 << 16 ? 64 : 4096;
}

static size_t rounded(size_t bytes, size_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

static void point(wk__planned *p) {
    wk_storage *base = p->block ? p->block->storage : p->constant ? p->constant->storage : NULL;
    if (!base) return; /* an external's view: pointed when that is bound */
    p->header.storage = base;
    p->header.data = (char *)base->data + p->offset;
}

/* ---- where blocks lie ---- */

static int by_size(const void *a, const void *b) {
    const wk__block *x = *(wk__block *const *)a, *y = *(wk__block *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->birth - y->birth;
}

/* Into the lowest gap between those that live at the same time. */
static void place_block(wk__block **lowest, wk__block *b, size_t *total) {
    wk__block **link = lowest;
    const size_t unit = unit_of(b), bytes = rounded(b->bytes, unit);
    size_t at = 0;
    for (const wk__block *p = *lowest; p; p = p->above) {
        if (p->birth >= b->death || b->birth >= p->death) continue;
        if (p->offset >= at + bytes) break;
        const size_t end = rounded(p->offset + p->bytes, unit);
        if (end > at) at = end;
    }
    b->offset = at;
    if (at + bytes > *total) *total = at + bytes;
    while (*link && (*link)->offset < at) link = &(*link)->above;
    b->above = *link;
    *link = b;
}

/* The largest first (Pisarchyk and Lee 2020, "greedy by size"). */
static wk_status place_blocks(const wk__plan *plan, wk__room *room) {
    size_t count = 0;
    for (const wk__block *b = plan->blocks; b; b = b->next) count += !b->inner && b->device == room->device;
    wk__block **all = wk_alloc((count + 1) * sizeof *all), *lowest = NULL;
    if (!all) return WK_NO_MEMORY;
    count = 0;
    for (wk__block *b = plan->blocks; b; b = b->next)
        if (!b->inner && b->device == room->device) all[count++] = b;
    qsort(all, count, sizeof *all, by_size);
    room->bytes = 0;
    for (size_t i = 0; i < count; i++) place_block(&lowest, all[i], &room->bytes);
    wk_free(all);
    return WK_OK;
}

static wk__room *room_of(wk__plan *plan, int device) {
    wk__room *room = plan->rooms;
    while (room && room->device != device) room = room->next;
    if (room) return room;
    room = wk__arena_take(&plan->arena, sizeof *room);
    if (!room) return NULL;
    *room = (wk__room){ .next = plan->rooms, .device = device };
    return plan->rooms = room;
}

/* A row's constants that go to a device, into memory that nothing else writes: once, and that memory is theirs. */
static void find_moves_of_constants(wk__plan *plan) {
    for (int i = 0; i < plan->n_launches; i++) {
        const wk__launch *l = &plan->launches[i];
        for (int k = 0; k < l->call.n_out; k++)
            if (l->into >> k & 1 && wk__block_of(l->call.out[k])) wk__block_of(l->call.out[k])->changed = true;
        for (int k = 0; k < l->call.n_in && l->mutates; k++)
            if (wk__writes(&l->call, k) && wk__block_of(l->call.in[k])) wk__block_of(l->call.in[k])->changed = true;
    }
    for (int i = 0; i < plan->n_launches; i++) {
        wk__launch *l = &plan->launches[i];
        if (!l->runs || !l->call.op->moves || !(l->call.in[0]->flags & WK__TENSOR_PLANNED)) continue;
        const wk__constant *from = ((const wk__planned *)(const void *)l->call.in[0])->constant;
        wk__block *to = wk__block_of(l->call.out[0]);
        if (!from || from->written || !to || to->changed || !to->device) continue;
        l->once = true;
        to->birth = -1;
        to->death = INT_MAX;
    }
}

static wk_status place_rooms(wk_context *context, wk__plan *plan) {
    find_moves_of_constants(plan);
    for (const wk__block *b = plan->blocks; b; b = b->next)
        if (!room_of(plan, b->device)) return WK_NO_MEMORY;
    plan->bytes = 0;
    for (wk__room *room = plan->rooms; room; room = room->next) {
        WK_TRY(place_blocks(plan, room));
        plan->bytes += room->bytes;
        room->memory = wk__storage_create(context, room->device, room->bytes);
        if (!room->memory) return wk_error_code();
    }
    return WK_OK;
}

wk_status wk__plan_place(wk_context *context, wk__plan *plan) {
    WK_TRY(place_rooms(context, plan));
    for (wk__block *b = plan->blocks; b; b = b->next) {
        b->storage = wk__storage_slice(room_of(plan, b->device)->memory, b->offset, b->inner ? 0 : b->bytes);
        if (!b->storage) return wk_error_code();
        b->storage->planned = true;
    }
    for (wk__planned *p = plan->headers; p; p = p->next) point(p);
    for (int i = 0; i < plan->n_launches; i++)
        if (plan->launches[i].once) WK_TRY(wk__run_kernel(context, &plan->launches[i].call));
    plan->has_memory = true;
    return WK_OK;
}

void wk__plan_reset(wk__plan *plan) {
    for (wk__planned *p = plan->headers; p; p = p->next) p->header.node = NULL;
    for (int i = 0; i < plan->n_entries; i++)
        for (int k = 0; k < plan->entries[i].n_out; k++)
            if (plan->entries[i].out[k].planned) plan->entries[i].out[k].planned->header.life = WK__DEAD;
    for (const wk__constant *c = plan->constants; c; c = c->next)
        if (c->written)
            (void)wk__copy_bytes(c->storage->data, c->storage->device, c->pristine->data, c->storage->device,
                                 c->pristine->bytes);
}

void wk__plan_unbind(wk__plan *plan) {
    for (wk__external *e = plan->externals; e; e = e->next) {
        if (e->fixed) continue;
        wk__storage_drop(e->storage);
        e->storage = NULL;
        e->data = NULL;
    }
}

bool wk__plan_is_held(const wk__plan *plan) {
    for (const wk__block *b = plan->blocks; b; b = b->next)
        if (b->storage && atomic_load_explicit(&b->storage->references, memory_order_relaxed) != 1) return true;
    return false;
}

/* ---- two calls, two plans ---- */

int wk__step_target(const wk_call *call, wk_tensor *const *targets) {
    if (!targets) return 0;
    for (int i = 1; i < call->n_out; i++)
        if (targets[i]) return -1;
    for (int i = 0; i < call->n_in; i++)
        if (call->in[i] == targets[0]) return i + 1;
    return -1;
}

static size_t size_of(const wk_attr_def *attr) {
    switch (attr->type) {
    case WK_ATTR_INT: return sizeof(int64_t);
    case WK_ATTR_FLOAT: return sizeof(double);
    case WK_ATTR_BOOL: return sizeof(bool);
    case WK_ATTR_ENUM: return sizeof(int);
    case WK_ATTR_DTYPE: return sizeof(wk_dtype);
    case WK_ATTR_INTS: return (size_t)attr->length * sizeof(int64_t);
    case WK_ATTR_TEXT: return (size_t)attr->length;
    case WK_ATTR_OPTIONAL:
    case WK_ATTR_DIMS: return 0;
    }
    return 0;
}

static bool same_attr(const wk_attr_def *attr, const char *a, const char *b) {
    if (attr->type == WK_ATTR_DIMS) {
        wk_dims x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return x.rank == y.rank && memcmp(x.size, y.size, (size_t)x.rank * sizeof x.size[0]) == 0;
    }
    if (attr->type == WK_ATTR_OPTIONAL) {
        wk_optional x, y;
        memcpy(&x, a, sizeof x);
        memcpy(&y, b, sizeof y);
        return x.is_set == y.is_set && (!x.is_set || x.value == y.value);
    }
    return memcmp(a, b, size_of(attr)) == 0;
}

/* Byte by byte, or, where bytes between the members may differ, member by member; the table names all members of rows
 * that users call. */
bool wk__same_attrs(const wk_op_def *op, const void *a, const void *b) {
    if (memcmp(a, b, op->attrs_size) == 0) return true;
    if (op->internal || !op->n_attrs) return false;
    for (int i = 0; i < op->n_attrs; i++)
        if (!same_attr(&op->attrs[i], (const char *)a + op->attrs[i].offset, (const char *)b + op->attrs[i].offset))
            return false;
    return true;
}

static bool same_leaves(const wk__leaf_state *a, const wk__leaf_state *b) {
    for (; a && b; a = a->next, b = b->next)
        if (a->leaf != b->leaf || a->gradient != b->gradient || a->empty != b->empty) return false;
    return !a && !b;
}

static bool same_shape(const wk_tensor *a, const wk_tensor *b) {
    return a->rank == b->rank && a->dtype == b->dtype && memcmp(a->shape, b->shape, a->rank * sizeof a->shape[0]) == 0;
}

static bool same_operand(const wk__operand *a, const wk__operand *b) {
    if (!a->planned != !b->planned || !a->external != !b->external || a->wants_grad != b->wants_grad) return false;
    return (!a->planned || same_shape(&a->planned->header, &b->planned->header))
           && (!a->external || same_shape(&a->external->like, &b->external->like));
}

static bool same_entry(const wk__entry *a, const wk__entry *b) {
    if (a->op != b->op || a->mode != b->mode || a->half != b->half || a->target != b->target) return false;
    if (a->n_in != b->n_in || a->n_out != b->n_out || a->end - a->first != b->end - b->first) return false;
    for (int i = 0; i < a->n_in; i++)
        if (!same_operand(&a->in[i], &b->in[i])) return false;
    for (int i = 0; i < a->n_out; i++)
        if (!same_operand(&a->out[i], &b->out[i])) return false;
    return same_leaves(a->leaves, b->leaves)
           && (!a->op || !a->op->attrs_size || wk__same_attrs(a->op, a->attrs, b->attrs));
}

bool wk__plan_is_same(const wk__plan *a, const wk__plan *b) {
    if (a->n_entries != b->n_entries || a->n_launches != b->n_launches || a->threads != b->threads) return false;
    for (int i = 0; i < a->n_entries; i++)
        if (!same_entry(&a->entries[i], &b->entries[i])) return false;
    return true;
}
