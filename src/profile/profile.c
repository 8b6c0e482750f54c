/* profile.c: noting what runs.
 *
 * Calls of one operation in one module and phase are one site; sites are found by hashing their names, so that names
 * may lie anywhere and die.  A profile never makes a run fail: where memory runs out it says that something is missing.
 */
#include "profile/profile.h"

#include "base/base.h"
#include "wick/op.h"

#include <stdlib.h>
#include <string.h>

const char *const wk__profile_phase_names[] = { "forward", "backward", "optimizer" };

/* ---- sites ---- */

typedef struct key {
    const char *operation, *composite, *module;
    wk_profile_phase phase;
} key;

static uint64_t hash_of(const key *k) {
    return wk__hash(wk__hash(wk__hash((uint64_t)k->phase + 1, k->operation), k->composite), k->module);
}

static bool is_site(const wk_profile_row *site, const key *k) {
    return site->phase == k->phase && strcmp(site->operation, k->operation) == 0
           && strcmp(site->composite, k->composite) == 0 && strcmp(site->module, k->module) == 0;
}

static uint32_t *slot_of(const wk_profile *p, const key *k) {
    size_t mask = (size_t)p->slots - 1, at = (size_t)hash_of(k) & mask;
    while (p->slot[at] && !is_site(&p->site[p->slot[at] - 1], k)) at = (at + 1) & mask;
    return &p->slot[at];
}

/* Room for one more, at most half of the slots taken. */
static bool grow_sites(wk_profile *p) {
    if (2 * (p->sites + 1) <= p->slots) return true;
    int slots = p->slots ? 2 * p->slots : 256;
    wk_profile_row *site = wk_realloc(p->site, (size_t)slots / 2 * sizeof *site);
    if (!site) return false;
    p->site = site;
    uint32_t *fresh = wk_alloc((size_t)slots * sizeof *fresh);
    if (!fresh) return false;
    wk_free(p->slot);
    p->slot = fresh;
    p->slots = slots;
    for (int i = 0; i < p->sites; i++) {
        const wk_profile_row *s = &p->site[i];
        const key k = { s->operation, s->composite, s->module, s->phase };
        *slot_of(p, &k) = (uint32_t)i + 1;
    }
    return true;
}

/* The names in one block; rows of operations may be of a plug-in, which may be closed. */
static bool name_site(wk_profile_row *site, const key *k) {
    size_t operation = strlen(k->operation) + 1, composite = strlen(k->composite) + 1, module = strlen(k->module) + 1;
    char *block = wk_alloc(operation + composite + module);
    if (!block) return false;
    site->operation = memcpy(block, k->operation, operation);
    site->composite = memcpy(block + operation, k->composite, composite);
    site->module = memcpy(block + operation + composite, k->module, module);
    return true;
}

/* The site's number; -1 without memory. */
static int64_t find_site(wk_profile *p, const key *k) {
    if (p->slots) {
        uint32_t found = *slot_of(p, k);
        if (found) return (int64_t)found - 1;
    }
    if (!grow_sites(p)) return -1;
    wk_profile_row site = { .phase = k->phase };
    if (!name_site(&site, k)) return -1;
    p->site[p->sites] = site;
    *slot_of(p, k) = (uint32_t)p->sites + 1;
    return p->sites++;
}

/* ---- calls ---- */

static bool grow_events(wk_profile *p) {
    if (p->events < p->capacity) return true;
    int64_t capacity = p->capacity ? 2 * p->capacity : 4096;
    if (capacity > WK__PROFILE_MOST_EVENTS) capacity = WK__PROFILE_MOST_EVENTS;
    if (p->events >= capacity) return false;
    wk__profile_event *event = wk_realloc(p->event, (size_t)capacity * sizeof *event);
    if (!event) return false;
    p->event = event;
    p->capacity = capacity;
    return true;
}

static wk_profile_phase phase_of(const wk_context *context, const wk_op_def *op) {
    if (strcmp(wk_op_family(op), "optim") == 0) return WK_PROFILE_OPTIMIZER;
    return context->walk || wk__step_is_in_backward(context) ? WK_PROFILE_BACKWARD : WK_PROFILE_FORWARD;
}

static void ran(wk__observer *observer, const wk_context *context, const wk_call *call, double start, double end) {
    wk_profile *p = (wk_profile *)observer;
    const key k = { call->op->name, context->composite ? context->composite : "", context->layer ? context->layer : "",
                    phase_of(context, call->op) };
    bool had_error = wk_failed();
    int64_t at = find_site(p, &k);
    if (at >= 0) {
        wk_profile_row *site = &p->site[at];
        wk_cost cost = call->op->cost(call);
        site->calls++;
        site->seconds += end - start;
        site->operations += cost.operations;
        site->bytes += cost.bytes;
    }
    if (at >= 0 && grow_events(p))
        p->event[p->events++] = (wk__profile_event){ (uint32_t)at, (float)(end - start), start - p->began };
    else if (p->events >= WK__PROFILE_MOST_EVENTS)
        p->dropped++;
    else
        p->lost = true;
    if (!had_error) wk_clear_error();
}

static void context_ends(wk__observer *observer) {
    wk_profile_end((wk_profile *)observer);
}

wk_profile *wk_profile_begin(void) {
    wk_context *context = wk__context();
    if (!context || wk_failed()) return NULL;
    if (context->observer)
        return wk_fail_null(WK_STATE, "wk_profile_begin: a profile of this context is under way; end it first");
    wk_profile *p = wk_alloc(sizeof *p);
    if (!p) return NULL;
    p->observer = (wk__observer){ ran, context_ends };
    p->context = context;
    p->began = wk_now();
    context->observer = &p->observer;
    context->mode |= WK__MODE_OBSERVED;
    return p;
}

void wk_profile_end(wk_profile *p) {
    if (!p || !p->context) return;
    p->ended = wk_now();
    if (p->context->observer == &p->observer) {
        p->context->observer = NULL;
        p->context->mode &= ~(uint32_t)WK__MODE_OBSERVED;
    }
    p->context = NULL;
}

void wk_profile_destroy(wk_profile *p) {
    if (!p) return;
    wk_profile_end(p);
    for (int i = 0; i < p->sites; i++) wk_free((void *)(uintptr_t)p->site[i].operation);
    wk_free(p->site);
    wk_free(p->slot);
    wk_free(p->event);
    wk_free(p);
}

/* ---- what was noted ---- */

double wk_profile_seconds(const wk_profile *p) {
    return (p->context ? wk_now() : p->ended) - p->began;
}

static int by_time(const void *a, const void *b) {
    double x = ((const wk_profile_row *)a)->seconds, y = ((const wk_profile_row *)b)->seconds;
    return (x < y) - (x > y);
}

int wk_profile_rows(const wk_profile *p, wk_profile_row *rows, int most) {
    if (most >= p->sites) {
        if (p->sites) memcpy(rows, p->site, (size_t)p->sites * sizeof *rows);
        qsort(rows, (size_t)p->sites, sizeof *rows, by_time);
        return p->sites;
    }
    wk_profile_row *all = most > 0 ? wk_alloc((size_t)p->sites * sizeof *all) : NULL;
    if (!all) return p->sites;
    memcpy(all, p->site, (size_t)p->sites * sizeof *all);
    qsort(all, (size_t)p->sites, sizeof *all, by_time);
    memcpy(rows, all, (size_t)most * sizeof *rows);
    wk_free(all);
    return p->sites;
}
