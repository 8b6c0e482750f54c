/* step.c: names of steps and their plans. */
#include "wick/step.h"

#include "tensor/step/plan.h"

#include <stdlib.h>
#include <string.h>

static bool is_switched_off(void) {
    const char *wish = getenv("WICK_REPLAY");
    return wish && strcmp(wish, "0") == 0;
}

static wk__step_name *name_of(const wk_context *context, const char *name) {
    wk__step_name *n = context->step ? context->step->names : NULL;
    while (n && strcmp(n->name, name) != 0) n = n->next;
    return n;
}

static wk__step_name *make_name(wk_context *context, const char *name) {
    if (!context->step) context->step = wk_alloc(sizeof *context->step);
    if (!context->step) return NULL;
    wk__step_name *n = name_of(context, name);
    if (n) return n;
    size_t size = strlen(name) + 1;
    n = wk_alloc(sizeof *n + size);
    if (!n) return NULL;
    memcpy(n->name, name, size);
    n->next = context->step->names;
    context->step->names = n;
    return n;
}

void wk__step_note(wk__step_name *name, const char *why) {
    (void)snprintf(name->why, sizeof name->why, "%s", why);
    name->report.why = name->why;
    if (!name->told) wk_log_write(WK_LOG_INFO, "step \"%s\" runs as ever: %s", name->name, why);
    name->told = true;
}

/* ---- plans of a name ---- */

static void remove_plan(wk__step_name *name, wk__plan *plan) {
    for (wk__plan **link = &name->plans; *link; link = &(*link)->next)
        if (*link == plan) {
            *link = plan->next;
            break;
        }
    for (wk__plan *p = name->plans; p; p = p->next) {
        if (p->follower == plan) p->follower = NULL;
        if (p->avoided == plan) p->avoided = NULL;
    }
    if (name->last == plan) name->last = NULL;
    name->report.plans--;
    name->report.bytes -= plan->bytes;
    name->report.fused -= plan->n_fused;
    name->report.graphs -= plan->n_graphs;
    name->report.operations -= plan->n_operations;
    wk__plan_destroy(plan);
}

static void add_plan(wk__step_name *name, wk__plan *plan) {
    wk__plan **end = &name->plans;
    while (*end) end = &(*end)->next;
    *end = plan;
    if (++name->report.plans > WK__PLANS_OF_A_NAME) remove_plan(name, name->plans);
}

static bool may_begin(const wk_context *context, const wk__plan *plan) {
    return plan->n_entries > 0 && plan->threads == context->threads;
}

wk__plan *wk__step_candidate(const wk_context *context, const wk__plan *former) {
    wk__plan *plan = former ? former->next : context->step->name->plans;
    while (plan && !may_begin(context, plan)) plan = plan->next;
    return plan;
}

static bool get_memory(wk_context *context, wk__plan *plan) {
    wk__step_name *name = context->step->name;
    const bool placed = wk__plan_place(context, plan) == WK_OK;
    wk_memory_trim(); /* what the captured step used, but for what the plan has taken of it */
    if (placed) {
        name->report.bytes += plan->bytes;
        return true;
    }
    wk_clear_error();
    wk__step_note(name, "there is no memory for its plan");
    plan->bytes = 0; /* they do not count */
    return false;
}

bool wk__step_use(wk_context *context, wk__plan *plan) {
    wk__step *s = context->step;
    bool usable = plan->has_memory || get_memory(context, plan);
    if (usable && wk__plan_is_held(plan)) {
        wk__step_note(s->name, "a result of an earlier step is still held");
        usable = false;
    }
    if (!usable) {
        remove_plan(s->name, plan);
        return false;
    }
    wk__plan_reset(plan);
    if (s->plan) wk__plan_unbind(s->plan); /* it was tried */
    s->plan = plan;
    s->cursor = s->drop = 0;
    return true;
}

/* ---- begin and end ---- */

/* Captures cost time; where they do not come back they are not made. */
static bool is_worthwhile(const wk__step_name *name) {
    return !name->hopeless && (name->report.captured < 16 || name->report.replayed > 4 * name->report.captured);
}

void wk__step_capture(wk_context *context) {
    if (context->step->plan) wk__plan_unbind(context->step->plan);
    context->step->plan = NULL;
    if (is_worthwhile(context->step->name) && wk__capture_begin(context) != WK_OK) wk_clear_error();
}

/* What came after the last step before; else the plan that was made first, but for one that did not fit there. */
static wk__plan *expected(const wk_context *context) {
    const wk__plan *last = context->step->name->last;
    if (last && last->follower && may_begin(context, last->follower)) return last->follower;
    wk__plan *plan = wk__step_candidate(context, NULL);
    while (plan && last && plan == last->avoided) plan = wk__step_candidate(context, plan);
    return plan;
}

static void begin(wk_context *context) {
    enum { LOOKED_INTO = WK__MODE_FAIL | WK__MODE_ANOMALY | WK__MODE_CHECK_RESULTS | WK__MODE_COST };
    bool first = context->step->name->begun++ == 0; /* makes gradients and the optimizer's state */
    if (first || context->mode & LOOKED_INTO || is_switched_off()) return;
    wk__plan *plan = expected(context);
    if (plan && wk__step_use(context, plan))
        context->mode |= WK__MODE_REPLAY;
    else
        wk__step_capture(context);
}

wk_status wk_step_begin(const char *name) {
    wk_context *context = wk__context();
    if (!context) return WK_NO_MEMORY;
    if (wk_failed()) return WK_PENDING;
    if (!context->scope) return wk_fail(WK_NO_SCOPE, "wk_step_begin: no scope is open; call wk_scope_begin first");
    if (context->step && context->step->name)
        return wk_fail(WK_STATE, "wk_step_begin: the step \"%s\" has not ended", context->step->name->name);
    wk__step_name *n = make_name(context, name ? name : "");
    if (!n) return wk_error_code();
    context->step->name = n;
    begin(context);
    return WK_OK;
}

static void follow(wk__step_name *name, wk__plan *plan) {
    if (name->last) {
        name->last->follower = plan;
        if (name->last->avoided == plan) name->last->avoided = NULL;
    }
    name->last = plan;
}

static void do_not_follow(wk__step_name *name, wk__plan *plan) {
    wk__plan *last = name->last;
    if (last && plan) {
        last->avoided = plan;
        if (last->follower == plan) last->follower = NULL;
    }
    name->last = NULL;
}

/* An optimizer may have begun to keep casts in this very step: the next one will not go like it. */
static bool is_outdated(const wk__plan *plan) {
    for (int i = 0; i < plan->n_entries; i++)
        for (const wk__half_state *h = plan->entries[i].halves; h; h = h->next)
            if (wk__leaf_half(h->leaf, h->dtype) != h->half) return true;
    return false;
}

static void end_capture(wk_context *context) {
    wk__step_name *name = context->step->name;
    char why[300] = "";
    wk__plan *plan = wk__capture_end(context, why, sizeof why);
    if (*why) {
        name->hopeless = true;
        wk__step_note(name, why);
    }
    if (!plan || plan->n_entries == 0 || is_outdated(plan)) {
        wk__plan_destroy(plan);
        name->report.eager++;
        do_not_follow(name, NULL);
        return;
    }
    for (wk__plan *former = name->plans; former; former = former->next)
        if (wk__plan_is_same(former, plan)) { /* something else came in between, once */
            wk__plan_destroy(plan);
            name->report.eager++;
            follow(name, former);
            return;
        }
    if (!wk__fusion_is_off() && wk__plan_fuse(plan) != WK_OK) {
        wk_clear_error();
        wk__plan_destroy(plan);
        wk__step_note(name, "there is no memory for a plan");
        name->report.eager++;
        do_not_follow(name, NULL);
        return;
    }
    name->report.captured++;
    name->report.fused += plan->n_fused;
    add_plan(name, plan);
    follow(name, plan);
}

/* A step may end before its plan does: what it has done was done as planned. */
static void end_replay(wk_context *context) {
    wk__step *s = context->step;
    wk__plan *plan = s->plan;
    wk__replay_stop(context);
    s->name->report.replayed++;
    follow(s->name, plan);
}

void wk__step_close(wk_context *context) {
    wk__step *s = context->step;
    wk__step_name *name = s->name;
    if (!name) return;
    if (context->mode & WK__MODE_CAPTURE) {
        end_capture(context);
    } else if (context->mode & WK__MODE_REPLAY) {
        end_replay(context);
    } else {
        name->report.eager++;
        do_not_follow(name, s->left);
    }
    context->mode &= ~(uint32_t)WK__MODE_STEP;
    s->plan = NULL;
    if (s->used) wk__plan_unbind(s->used);
    s->left = s->used = NULL;
    s->name = NULL;
}

wk_status wk_step_end(void) {
    wk_context *context = wk__context();
    if (!context) return WK_NO_MEMORY;
    if (!context->step || !context->step->name)
        return wk_failed() ? WK_PENDING : wk_fail(WK_STATE, "wk_step_end: no step has begun");
    wk__step_close(context);
    return wk_failed() ? wk_error_code() : WK_OK;
}

void wk__step_needs_tape(wk_context *context, const char *why) {
    if (context->mode & WK__MODE_REPLAY)
        wk__replay_leave(context, why);
    else if (context->mode & WK__MODE_CAPTURE)
        wk__capture_needs_tape(context, why);
}

bool wk__step_is_open(const wk_context *context) {
    return context->step && context->step->name;
}

bool wk__step_is_in_backward(const wk_context *context) {
    return context->step && context->step->in_backward;
}

/* ---- looking, forgetting ---- */

wk_step_report wk_step_describe(const char *name) {
    const wk_context *context = wk__context();
    const wk__step_name *n = context ? name_of(context, name ? name : "") : NULL;
    return n ? n->report : (wk_step_report){ 0 };
}

size_t wk__step_bytes(const wk_context *context) {
    size_t bytes = 0;
    for (const wk__step_name *n = context->step ? context->step->names : NULL; n; n = n->next)
        for (const wk__plan *plan = n->plans; plan; plan = plan->next) bytes += plan->has_memory ? plan->bytes : 0;
    return bytes;
}

static void forget(wk__step_name *name) {
    while (name->plans) remove_plan(name, name->plans);
    name->begun = 0;
    name->report = (wk_step_report){ 0 };
    name->hopeless = name->told = false;
}

void wk_step_forget(const char *name) {
    wk_context *context = wk__context();
    if (!context || !context->step) return;
    wk__step_close(context);
    for (wk__step_name *n = context->step->names; n; n = n->next)
        if (!name || strcmp(n->name, name) == 0) forget(n);
}

void wk__step_remove(const char *name) {
    const wk_context *context = wk__context_bound;
    wk__step_name *n = context ? name_of(context, name) : NULL;
    if (!n || context->step->name == n) return;
    forget(n);
    wk__step_name **link = &context->step->names;
    while (*link != n) link = &(*link)->next;
    *link = n->next;
    wk_free(n);
}

void wk__step_destroy(wk_context *context) {
    wk_step_forget(NULL);
    for (wk__step_name *n = context->step ? context->step->names : NULL, *next; n; n = next) {
        next = n->next;
        wk_free(n);
    }
    wk_free(context->step);
    context->step = NULL;
}
