/* step.c: the step of all optimizers: by one row a group, or computed parameter by parameter and then put in place.
 */
#define WK_NO_CALL_SITES
#include "optim/optim.h"

#include "autograd/tape.h"
#include "wick/ops.h"

#include <math.h>
#include <string.h>

/* A parameter that was written by somebody else since the last step is the master from now on. */
static wk_status refresh_master(wk__entry *e) {
    if (e->elsewhere || !e->master || e->version == e->parameter->storage->version) return WK_OK;
    WK_TRY(wk_copy_into(e->master, e->parameter));
    e->version = e->parameter->storage->version;
    return WK_OK;
}

/* The state lies where the parameter does: a module may have been moved since. */
static wk_status follow(wk_tensor **state, const wk_tensor *parameter) {
    if (!*state || (*state)->device == parameter->device) return WK_OK;
    wk_tensor *moved = wk__kept_zeros_on(parameter->device, (wk_dtype)(*state)->dtype, wk__dims(*state));
    if (!moved) return wk_error_code();
    wk_status status = wk_copy_into(moved, *state);
    wk_release(status == WK_OK ? *state : moved);
    if (status == WK_OK) *state = moved;
    return status;
}

static wk_status follow_parameters(wk_optim *o) {
    bool moved = false;
    for (int i = 0; i < o->count; i++) {
        wk__entry *e = &o->entry[i];
        const wk_tensor *before = e->state[0] ? e->state[0] : e->master;
        WK_TRY(follow(&e->master, e->parameter));
        for (int m = 0; m < WK_STEP_STATES; m++) WK_TRY(follow(&e->state[m], e->parameter));
        moved = moved || (e->state[0] ? e->state[0] : e->master) != before;
    }
    return moved ? wk__optim_name_state(o) : WK_OK;
}

/* Whether this rank is to step it now. */
static bool is_due(const wk__entry *e) {
    return !e->elsewhere && wk__has_gradient(e->parameter);
}

/* What a step writes rounded besides: a half parameter that has a master, or the copy that autocast asked for; or NULL.
 */
static wk_tensor *rounded_of(const wk__entry *e) {
    return e->master ? e->parameter : e->parameter->leaf->half;
}

/* Fill the call's list with the group's parameters that have a gradient; gives their number, -1 with an error
 * pending. */
static int64_t fill_list(wk_optim *o, const wk__group *group, wk_step_attrs *attrs) {
    wk__entry *entries = o->entry + group->first;
    int64_t n = 0;
    bool masters = false;
    for (int i = 0; i < group->count; i++)
        if (is_due(&entries[i])) n++, masters = masters || rounded_of(&entries[i]);
    *attrs = (wk_step_attrs){ .count = n, .states = o->plan.states, .masters = masters };
    o->list[0] = group->scalars;
    int64_t k = 1;
    for (int i = 0; i < group->count; i++) {
        wk__entry *e = &entries[i];
        if (!is_due(e)) continue;
        wk_tensor *gradient = wk_gradient(e->parameter);
        if (!gradient) return -1;
        int64_t at = k++;
        o->list[at] = e->master ? e->master : e->parameter;
        o->list[at += n] = gradient;
        o->list[at += n] = e->step;
        for (attrs->numbers = 0; attrs->numbers < WK_STEP_NUMBERS && e->number[attrs->numbers]; attrs->numbers++)
            o->list[at += n] = e->number[attrs->numbers];
        for (int m = 0; m < WK_STEP_STATES; m++)
            if (e->state[m]) o->list[at += n] = e->state[m];
        wk_tensor *rounded = rounded_of(e);
        if (masters) o->list[at + n] = rounded ? rounded : e->parameter;
    }
    attrs->clipped = o->clipped;
    return n;
}

static wk_status step_by_row(wk_optim *o, const wk__group *group) {
    wk_step_attrs attrs;
    for (int i = 0; i < group->count; i++) {
        const wk__entry *e = &o->entry[group->first + i];
        if (is_due(e) && !e->master) WK_TRY(wk__leaf_make_half(e->parameter));
    }
    int64_t n = fill_list(o, group, &attrs);
    if (n <= 0) return n ? wk_error_code() : WK_OK;
    for (int i = 0; i < group->count; i++) WK_TRY(refresh_master(&o->entry[group->first + i]));
    int64_t lists = 3 + attrs.numbers + attrs.masters;
    for (int m = 0; m < WK_STEP_STATES; m++) lists += attrs.states >> m & 1;
    int operands = (int)(1 + lists * n);
    if (attrs.clipped) o->list[operands++] = o->clip;
    WK_TRY(wk_op_run(o->row, o->list, operands, NULL, &attrs));
    const bool skipped = wk__scalars(group)[WK_STEP_FOUND_INF] != 0;
    for (int i = 0; i < group->count; i++) {
        wk__entry *e = &o->entry[group->first + i];
        e->version = e->parameter->storage->version;
        if (is_due(e) && !e->master) wk__leaf_half_stepped(e->parameter, skipped);
    }
    return WK_OK;
}

wk_status wk__stage_rows(wk_optim *o, wk_tensor *target, wk_tensor *rows, wk_tensor *source) {
    wk_tensor *rounded = source ? wk_contiguous(wk_cast(source, (wk_dtype)target->dtype)) : NULL;
    if (!rounded) return wk_failed() ? wk_error_code() : WK_INTERNAL;
    o->staged[o->staged_count++] = (wk__staged){ target, rounded, rows };
    return WK_OK;
}

wk_status wk__stage(wk_optim *o, wk_tensor *target, wk_tensor *source) {
    return wk__stage_rows(o, target, NULL, source);
}

/* New values of one entry, in a scope of their own. */
static wk_status compute_entry(wk_optim *o, const wk__group *group, wk__entry *e) {
    wk_tensor *p = e->master ? e->master : e->parameter, *rows = NULL, *g;
    if (o->plan.kind->update_rows) {
        if (p->device)
            return wk_fail(WK_UNSUPPORTED, "%s: \"%s\" is on %s; rows of gradients are stepped on the CPU only",
                           o->plan.name, e->name, wk_device_name(p->device));
        WK_TRY(wk_gradient_rows(e->parameter, &rows, &g));
        if (!rows)
            return wk_fail(
                WK_UNSUPPORTED,
                "%s: the gradient of \"%s\" is a whole tensor, expected rows (wk_embedding with sparse); use "
                "another optimizer for it",
                o->plan.name, e->name);
    } else {
        g = wk_gradient(e->parameter);
    }
    g = wk_scale(wk_cast(g, (wk_dtype)p->dtype), wk__scalars(group)[WK_STEP_FACTOR]);
    if (!g) return wk_error_code();
    return rows ? o->plan.kind->update_rows(o, group, e, p, rows, g) : o->plan.kind->update(o, group, e, p, g);
}

static wk_status compute_group(wk_optim *o, const wk__group *group) {
    for (int i = 0; i < group->count; i++) {
        wk__entry *e = &o->entry[group->first + i];
        if (!is_due(e)) continue;
        WK_TRY(refresh_master(e));
        wk_scope scope = wk_scope_begin();
        const int from = o->staged_count;
        wk_status status = compute_entry(o, group, e);
        for (int k = from; k < o->staged_count; k++) {
            const wk__staged *s = &o->staged[k];
            if (e->master && s->target == e->master && status == WK_OK)
                status = wk__stage_rows(o, e->parameter, s->rows, s->source);
            (void)wk_scope_return(scope, o->staged[k].source);
        }
        if (o->staged_count > from) (void)wk_scope_return(scope, o->staged[from].rows);
        wk_scope_end(scope);
        WK_TRY(status);
    }
    return WK_OK;
}

/* Nothing that can fail on the CPU: all values are there. */
static wk_status commit(wk_optim *o) {
    for (int i = 0; i < o->staged_count; i++) {
        wk_tensor *target = o->staged[i].target, *source = o->staged[i].source, *rows = o->staged[i].rows;
        const size_t all = (size_t)source->count * wk_dtype_size((wk_dtype)target->dtype);
        const size_t row = rows && rows->count ? all / (size_t)rows->count : 0;
        if (!rows) WK_TRY(wk__copy_bytes(target->data, target->device, source->data, source->device, all));
        for (int64_t k = 0; rows && k < rows->count; k++)
            memcpy((char *)target->data + (size_t)((int64_t *)rows->data)[k] * row,
                   (char *)source->data + (size_t)k * row, row);
        target->storage->version++;
        target->storage->changed_at = "wk_optim_step";
    }
    for (int i = 0; i < o->count; i++) {
        wk__entry *e = &o->entry[i];
        if (!is_due(e)) continue;
        ++*(int64_t *)e->step->data;
        e->version = e->parameter->storage->version;
    }
    return WK_OK;
}

static wk_status step_by_parts(wk_optim *o) {
    if (wk__scalars(&o->group[0])[WK_STEP_FOUND_INF] != 0) return WK_OK;
    wk_scope scope = wk_scope_begin();
    o->staged_count = 0;
    wk_status status = WK_OK;
    for (int i = 0; i < o->groups && status == WK_OK; i++) status = compute_group(o, &o->group[i]);
    if (status == WK_OK) status = commit(o);
    wk_scope_end(scope);
    return status;
}

wk_status wk_optim_step(wk_optim *o) {
    if (wk_failed()) {
        wk__backward_ended(WK_PENDING);
        return WK_PENDING;
    }
    if (!o) return wk_fail(WK_INVALID, "wk_optim_step: the optimizer is NULL");
    if (o->lbfgs) return wk_fail(WK_INVALID, "%s steps by wk_optim_step_closure", o->plan.name);
    wk_context *context = wk__context();
    const uint32_t switched = WK__MODE_NO_GRAD | WK__MODE_AUTOCAST, kept = context->mode & switched;
    context->mode = (context->mode | WK__MODE_NO_GRAD) & ~(uint32_t)WK__MODE_AUTOCAST;
    wk_note_call("wk_optim_step"); /* what a backward says that comes too late */
    wk_status status = follow_parameters(o);
    if (status == WK_OK && o->row)
        for (int i = 0; i < o->groups && status == WK_OK; i++) status = step_by_row(o, &o->group[i]);
    else if (status == WK_OK)
        status = step_by_parts(o);
    if (status == WK_OK && o->stepped) status = o->stepped(o->stepped_context, o);
    for (int i = 0; i < o->count && o->stepped; i++) { /* what this rank stepped has kept its values */
        const wk__entry *e = &o->entry[i];
        o->entry[i].version = e->parameter->storage->version;
        if (o->row && is_due(e) && !e->master) wk__leaf_half_stepped(e->parameter, true);
    }
    context->mode = (context->mode & ~switched) | kept; /* the replay of a step may have ended here */
    if (status != WK_OK) wk__backward_ended(status);
    wk__optim_reset_factor(o);
    wk__optim_set_found_inf(o, false);
    return status;
}

wk_status wk_optim_step_closure(wk_optim *o, wk_closure closure, void *context, double *loss) {
    if (wk_failed()) return WK_PENDING;
    if (!o || !closure) return wk_fail(WK_INVALID, "wk_optim_step_closure: the optimizer or the closure is NULL");
    double value = 0;
    if (o->lbfgs) {
        WK_TRY(wk__lbfgs_step(o, closure, context, &value));
    } else {
        wk_status status = closure(context, &value);
        if (status != WK_OK) return status;
        WK_TRY(wk_optim_step(o));
    }
    if (loss) *loss = value;
    return WK_OK;
}

void wk_zero_grad(wk_optim *o) {
    for (int i = 0; o && i < o->count; i++) wk_clear_grad(o->entry[i].parameter);
    if (o) wk__optim_reset_factor(o);
}

int64_t wk_optim_steps(const wk_optim *o) {
    int64_t most = 0;
    for (int i = 0; o && i < o->count; i++) {
        int64_t steps = o->entry[i].step ? *(const int64_t *)o->entry[i].step->data : 0;
        if (steps > most) most = steps;
    }
    return most;
}

const char *wk_optim_name(const wk_optim *o) {
    return o ? o->plan.name : "";
}

/* ---- what the next step does with gradients ---- */

int wk__optim_gradients(wk_optim *o, int at) {
    int n = 0;
    if (o->plan.kind->update_rows) {
        (void)wk_fail(WK_UNSUPPORTED, "%s: gradients that are rows are neither clipped nor unscaled", o->plan.name);
        return -1;
    }
    for (int i = 0; i < o->count; i++) {
        wk_tensor *gradient = wk_gradient(o->entry[i].parameter);
        if (gradient) o->list[at + n++] = gradient;
    }
    return wk_failed() ? -1 : n;
}

void wk__optim_scale_factor(wk_optim *o, double factor) {
    for (int i = 0; i < o->groups; i++) wk__scalars(&o->group[i])[WK_STEP_FACTOR] *= factor;
}

double wk__optim_factor(const wk_optim *o) {
    return fabs(wk__scalars(&o->group[0])[WK_STEP_FACTOR]);
}

wk_status wk__optim_settle_clip(wk_optim *o) {
    if (!o->clipped) return WK_OK;
    o->clipped = false;
    wk__optim_scale_factor(o, wk_item(o->clip));
    return wk_failed() ? wk_error_code() : WK_OK;
}

void wk__optim_reset_factor(wk_optim *o) {
    o->clipped = false;
    for (int i = 0; i < o->groups; i++) wk__scalars(&o->group[i])[WK_STEP_FACTOR] = o->plan.maximize ? -1 : 1;
}

void wk__optim_set_found_inf(wk_optim *o, bool found) {
    for (int i = 0; i < o->groups; i++) wk__scalars(&o->group[i])[WK_STEP_FOUND_INF] = found;
}

/* ---- small helpers of composed optimizers ---- */

wk_tensor *wk__sum_all(wk_tensor *x) {
    return wk_sum(x, (wk_reduce_opts){ 0 });
}

wk_tensor *wk__lerp(wk_tensor *a, wk_tensor *b, double weight) {
    return wk_add(a, wk_scale(wk_sub(b, a), weight));
}
