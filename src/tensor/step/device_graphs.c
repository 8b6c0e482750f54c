/* device_graphs.c: what a replay puts off for a device, and how it gets there.
 *
 * A launch costs the host more than a small kernel takes to run.  So a device's launches wait until something else goes
 * to its stream (all of that asks here first), and go there together.  The first time they do so one by one, which also
 * makes what kernels make once (descriptors, choices of an algorithm); when the same stretch is met again with the same
 * addresses, it is noted as a graph, which is one launch from then on.  Numbers of the host that its kernels read
 * (random keys, the optimizer's) lie on the device and are written again before each launch, in one copy.  They are the
 * same kernels with the same numbers, in the same order: bits are the same.
 */
#include "tensor/registry.h"
#include "tensor/step/plan.h"

#include <stdlib.h>
#include <string.h>

enum {
    LEAST = 3,           /* launches: fewer go as they are */
    MOST_STRETCHES = 64, /* of a plan: batches come to lie at a few addresses, buckets split a backward */
    ROOM = 1 << 16       /* bytes for numbers of a stretch: some 50 launches of the optimizer, or 4,000 keys */
};

static bool are_switched_off(void) {
    const char *wish = getenv("WICK_GRAPHS");
    return wish && strcmp(wish, "0") == 0;
}

static bool notes_numbers(const wk_call *call) {
    const wk_backend *backend = wk__backend_of(call->device);
    return backend->notes_numbers && backend->notes_numbers(call->op->name, wk__key_dtype(call));
}

void wk__note_host_part(wk__launch *l) {
    const wk_call *call = &l->call;
    if (!l->runs || !call->device || call->op->moves || !wk__backend_of(call->device)->graph_begin) return;
    for (int i = 0; i < call->n_out; i++)
        if (call->out[i] && call->out[i]->device != call->device) return;
    for (int i = 0; i < call->n_in; i++) {
        if (!call->in[i] || call->in[i]->device == call->device) continue;
        l->numbers = true;
        if (l->mutates && wk__writes(call, i)) l->ends = true;
        if (call->in[i]->flags & WK_TENSOR_KEPT) l->ends = true;
    }
    l->put_off = !l->numbers || notes_numbers(call);
}

/* ---- stretches ---- */

static void destroy(wk__stretch *s, int device) {
    const wk_backend *backend = wk__backend_of(device);
    if (s->graph) backend->graph_destroy(s->graph);
    if (s->numbers.device)
        backend->release(wk__ordinal(device), (void *)(uintptr_t)s->numbers.device, s->numbers.room, NULL);
    wk_free(s->numbers.host);
    wk_free(s);
}

/* The one device of its launches. */
static int device_of(const wk__plan *plan, int first) {
    return plan->launches[first].call.device;
}

void wk__stretches_destroy(wk__plan *plan) {
    for (wk__stretch *s = plan->stretches, *next; s; s = next) {
        next = s->next;
        destroy(s, device_of(plan, s->first));
    }
    plan->stretches = NULL;
    plan->n_stretches = 0;
}

/* Addresses on the host stand in no launch that is put off. */
static const void *given(const wk__external *e) {
    if (!e->like.device) return NULL;
    return e->fixed ? e->tensor->data : e->data;
}

static bool is_the_same(const wk__plan *plan, const wk__stretch *s, int first, int end) {
    if (s->first != first || s->end != end) return false;
    int i = 0;
    for (const wk__external *e = plan->externals; e; e = e->next)
        if (s->given[i++] != given(e)) return false;
    return true;
}

static void count_graph(wk__plan *plan, wk__step_name *name, const wk__stretch *s, int sign) {
    plan->n_graphs += sign;
    plan->n_operations += sign * s->operations;
    name->report.graphs += sign;
    name->report.operations += sign * s->operations;
}

static void forget_the_oldest(wk__plan *plan, wk__step_name *name) {
    wk__stretch **link = &plan->stretches;
    while ((*link)->next) link = &(*link)->next;
    if (!(*link)->graph && ++plan->in_vain == MOST_STRETCHES)
        wk__step_note(name, "what it is given lies elsewhere each time, so a device gets its kernels one by one");
    if ((*link)->graph) count_graph(plan, name, *link, -1);
    destroy(*link, device_of(plan, (*link)->first));
    *link = NULL;
    plan->n_stretches--;
}

/* The stretch that was met before, first in the list now; else it is noted as met, and the answer is NULL. */
static wk__stretch *meet(wk__plan *plan, wk__step_name *name, int first, int end) {
    for (wk__stretch **link = &plan->stretches; *link; link = &(*link)->next) {
        wk__stretch *s = *link;
        if (!is_the_same(plan, s, first, end)) continue;
        *link = s->next;
        s->next = plan->stretches;
        return plan->stretches = s;
    }
    wk__stretch *s = wk_alloc(sizeof *s + (size_t)plan->n_externals * sizeof s->given[0]);
    if (!s) {
        wk_clear_error(); /* it goes without */
        return NULL;
    }
    s->first = first;
    s->end = end;
    int i = 0;
    for (const wk__external *e = plan->externals; e; e = e->next) s->given[i++] = given(e);
    s->next = plan->stretches;
    plan->stretches = s;
    if (++plan->n_stretches > MOST_STRETCHES) forget_the_oldest(plan, name);
    return NULL;
}

/* ---- going ---- */

static wk_status launch_each(wk_context *context, const wk__plan *plan, int first, int end) {
    const char *site = context->call_site, *layer = context->layer;
    wk_status status = WK_OK;
    for (int i = first; i < end && status == WK_OK; i++) {
        const wk__launch *l = &plan->launches[i];
        if (!l->runs || l->once || l->leaf) continue;
        context->call_site = l->call_site;
        context->layer = l->layer;
        status = wk__run_kernel(context, &l->call);
    }
    context->call_site = site;
    context->layer = layer;
    return status;
}

/* ---- as a graph ---- */

/* The launches that take numbers of the host, once more, for these alone. */
static wk_status ask_for_numbers(wk_context *context, const wk__plan *plan, wk__stretch *s, wk_noted_phase phase) {
    wk_status status = WK_OK;
    if (!s->numbers.room) return WK_OK;
    s->numbers.phase = phase;
    s->numbers.used = 0;
    context->noted = &s->numbers;
    for (int i = s->first; i < s->end && status == WK_OK; i++)
        if (plan->launches[i].numbers) status = wk__run_kernel(context, &plan->launches[i].call);
    context->noted = NULL;
    return status;
}

static wk_status make_room_for_numbers(const wk__plan *plan, wk__stretch *s, int device) {
    bool any = false;
    void *there = NULL;
    for (int i = s->first; i < s->end; i++) any = any || plan->launches[i].numbers;
    if (!any || s->numbers.host) return WK_OK;
    s->numbers.host = wk_alloc(ROOM);
    if (!s->numbers.host) return WK_NO_MEMORY;
    WK_TRY(wk__backend_of(device)->allocate(wk__ordinal(device), ROOM, NULL, &there));
    s->numbers.device = there;
    s->numbers.room = ROOM;
    return WK_OK;
}

static wk_status note_launches(wk_context *context, const wk__plan *plan, wk__stretch *s, int device) {
    const wk_backend *backend = wk__backend_of(device);
    WK_TRY(make_room_for_numbers(plan, s, device));
    WK_TRY(backend->graph_begin(wk__ordinal(device)));
    s->numbers.phase = WK_NOTED_LAUNCHES;
    s->numbers.used = 0;
    context->noted = s->numbers.room ? &s->numbers : NULL;
    wk_status status = launch_each(context, plan, s->first, s->end);
    context->noted = NULL;
    s->bytes = s->numbers.used;
    const wk_status ended = backend->graph_end(wk__ordinal(device), status == WK_OK ? &s->graph : NULL, &s->operations);
    return status == WK_OK ? ended : status;
}

/* The error stays with the launches that go one by one, if it is one for them too. */
static void forget_the_graph(wk_context *context, wk__plan *plan, wk__stretch *s) {
    const int device = device_of(plan, s->first);
    wk_log_write(WK_LOG_INFO, "step \"%s\": %d kernels go to %s one by one: %s", context->step->name->name,
                 s->end - s->first, wk_device_name(device), wk_message());
    wk_clear_error();
    s->impossible = true;
    if (!s->graph) return;
    wk__backend_of(device)->graph_destroy(s->graph);
    s->graph = NULL;
    count_graph(plan, context->step->name, s, -1);
}

/* False: it is none, and nothing has run. */
static bool is_graph(wk_context *context, wk__plan *plan, wk__stretch *s) {
    if (!s || s->impossible) return false;
    if (!s->graph && note_launches(context, plan, s, device_of(plan, s->first)) == WK_OK)
        count_graph(plan, context->step->name, s, 1);
    wk_status status = s->graph ? ask_for_numbers(context, plan, s, WK_NOTED_NUMBERS) : wk_error_code();
    if (status == WK_OK && s->numbers.used != s->bytes)
        status = wk_fail(WK_STATE, "its launches take %zu bytes of the host's numbers, and were noted with %zu",
                         s->numbers.used, s->bytes);
    if (status == WK_OK) return true;
    forget_the_graph(context, plan, s);
    return false;
}

static wk_status launch_graph(wk_context *context, const wk__plan *plan, wk__stretch *s, int device) {
    const wk_backend *backend = wk__backend_of(device);
    const int ordinal = wk__ordinal(device);
    wk_stream *stream = backend->stream(ordinal);
    if (!stream) return wk_error_code();
    if (s->bytes) /* read on return: they may be written again at once */
        WK_TRY(backend->copy(ordinal, (void *)(uintptr_t)s->numbers.device, s->numbers.host, s->bytes,
                             WK_COPY_HOST_TO_DEVICE, stream));
    WK_TRY(backend->graph_launch(s->graph, stream));
    return ask_for_numbers(context, plan, s, WK_NOTED_COUNTS);
}

static wk_status launch(wk_context *context, wk__plan *plan, int first, int end) {
    const bool as_ever = wk_failed() || context->mode & WK__MODE_OBSERVED || are_switched_off();
    wk__stretch *s = end - first < LEAST || as_ever ? NULL : meet(plan, context->step->name, first, end);
    if (is_graph(context, plan, s)) return launch_graph(context, plan, s, device_of(plan, first));
    return launch_each(context, plan, first, end);
}

wk_status wk__put_off(wk_context *context, int at) {
    wk__step *s = context->step;
    if (s->first < s->end && device_of(s->plan, s->first) != s->plan->launches[at].call.device)
        WK_TRY(wk__step_flush(context));
    if (s->first == s->end) s->first = at;
    s->end = at + 1;
    return s->plan->launches[at].ends ? wk__step_flush(context) : WK_OK;
}

wk_status wk__step_flush_slow(wk_context *context) {
    wk__step *s = context->step;
    if (s->first == s->end) return WK_OK;
    const int first = s->first, end = s->end;
    s->first = s->end = 0; /* what runs now asks here too */
    return launch(context, s->plan, first, end);
}
