/* optim.c: what all optimizers share: groups of parameters, their state, the step.
 *
 * What makes one optimizer different from another is its kind (optim.h): the names of its states and options, and
 * either the row that does the step or a function that computes one parameter's.
 */
#define WK_NO_CALL_SITES
#include "optim/optim.h"

#include "autograd/tape.h"
#include "wick/ops.h"

#include <math.h>
#include <string.h>

/* ---- entries and groups ---- */

static void entry_free(wk__entry *e) {
    wk_release(e->parameter);
    wk_release(e->master);
    wk_release(e->step);
    for (int i = 0; i < WK_STEP_NUMBERS; i++) wk_release(e->number[i]);
    for (int i = 0; i < WK_STEP_STATES; i++) wk_release(e->state[i]);
    wk_free(e->name);
    *e = (wk__entry){ 0 };
}

static void free_names(char **names, int count) {
    for (int i = 0; names && i < count; i++) wk_free(names[i]);
    wk_free(names);
}

void wk_optim_destroy(wk_optim *o) {
    if (!o) return;
    for (int i = 0; i < o->count; i++) entry_free(&o->entry[i]);
    for (int i = 0; i < o->groups; i++) wk_release(o->group[i].scalars);
    free_names(o->state_name, o->state_count);
    wk__lbfgs_destroy(o->lbfgs);
    wk_free(o->entry);
    wk_free(o->group);
    wk_free(o->list);
    wk_free(o->staged);
    wk_free(o->state_tensor);
    wk_free(o);
}

static bool fill(wk_tensor *t, double value) {
    if (!t) return false;
    for (int64_t i = 0; value != 0 && i < t->count; i++) wk__element_set(t->data, (wk_dtype)t->dtype, i, value);
    return true;
}

static wk_status refuse(const wk_optim *o, const char *name, const wk_tensor *p, const char *expected) {
    char text[160];
    return wk_fail(WK_DTYPE, "%s: parameter \"%s\" is %s, expected %s", o->plan.name, name,
                   wk_describe(p, text, sizeof text), expected);
}

static wk_status check_parameter(const wk_optim *o, const char *name, const wk_tensor *p) {
    const wk__optim_kind *kind = o->plan.kind;
    if (!p || !(WK_FLOATS >> p->dtype & 1) || !wk_is_contiguous(p))
        return p ? refuse(o, name, p, "f32, f64, bf16 or f16, row major")
                 : wk_fail(WK_INVALID, "%s: parameter \"%s\" is NULL", o->plan.name, name);
    const char *wanted = kind->refuses ? kind->refuses(p) : NULL;
    if (wanted) return refuse(o, name, p, wanted);
    for (int i = 0; i < o->count; i++)
        if (o->entry[i].parameter == p)
            return wk_fail(WK_EXISTS, "%s: parameter \"%s\" is in a group already, as \"%s\"", o->plan.name, name,
                           o->entry[i].name);
    return WK_OK;
}

static bool entry_fill(const wk_optim *o, wk__entry *e, const char *name, wk_tensor *p) {
    const wk__optim_plan *plan = &o->plan;
    bool is_half = p->dtype == WK_BF16 || p->dtype == WK_F16;
    wk_dtype dtype = is_half ? WK_F32 : (wk_dtype)p->dtype;
    e->parameter = wk_keep(p);
    e->version = p->storage->version;
    e->name = wk_strdup(name);
    e->step = wk_kept_zeros(WK_I64, WK_SCALAR);
    if (!e->name || !e->step) return false;
    if (is_half) {
        e->master = wk_kept_zeros(WK_F32, wk__dims(p));
        if (!e->master || wk_copy_into(e->master, p) != WK_OK) return false;
    }
    for (int i = 0; i < WK_STEP_NUMBERS && plan->kind->number[i]; i++)
        if (!fill(e->number[i] = wk_kept_zeros(WK_F64, WK_SCALAR), plan->initial_number[i])) return false;
    for (int i = 0; i < WK_STEP_STATES; i++) {
        if (!(plan->states >> i & 1)) continue;
        wk_dims dims = plan->kind->state_dims ? plan->kind->state_dims(p, i) : wk__dims(p);
        if (dims.rank >= 0 && !fill(e->state[i] = wk_kept_zeros(dtype, dims), plan->initial[i])) return false;
    }
    return true;
}

/* The longest call: scalars, and for each parameter all that a row may take. */
enum { LISTS = 4 + WK_STEP_NUMBERS + WK_STEP_STATES };

static bool grow(wk_optim *o, int more) {
    size_t count = (size_t)(o->count + more);
    wk__entry *entry = wk_realloc(o->entry, (count + 1) * sizeof *entry);
    if (entry) o->entry = entry;
    wk__group *group = entry ? wk_realloc(o->group, ((size_t)o->groups + 1) * sizeof *group) : NULL;
    if (group) o->group = group;
    wk_tensor **list = group ? wk_realloc(o->list, (1 + LISTS * count) * sizeof *list) : NULL;
    if (list) o->list = list;
    if (!list || o->plan.kind->row) return list != NULL;
    wk__staged *staged = wk_realloc(o->staged, (count + 1) * (3 + WK_STEP_STATES) * sizeof *staged);
    if (staged) o->staged = staged;
    return staged != NULL;
}

static wk_status add_group(wk_optim *o, wk_named_tensors parameters, const double *scalars) {
    int before = o->count;
    if (!grow(o, parameters.count)) return wk_error_code();
    wk__group *group = &o->group[o->groups];
    *group = (wk__group){ wk_kept_zeros(WK_F64, WK_DIMS(WK_STEP_SCALARS)), before, parameters.count, 0 };
    wk_status status = group->scalars ? WK_OK : wk_error_code();
    if (status == WK_OK) memcpy(group->scalars->data, scalars, WK_STEP_SCALARS * sizeof(double));
    for (int i = 0; i < parameters.count && status == WK_OK; i++) {
        status = check_parameter(o, parameters.name[i], parameters.tensor[i]);
        wk__entry *e = &o->entry[o->count];
        *e = (wk__entry){ 0 };
        if (status != WK_OK) break;
        o->count++;
        if (!entry_fill(o, e, parameters.name[i], parameters.tensor[i])) status = wk_error_code();
    }
    o->groups++;
    if (status == WK_OK) status = wk__optim_name_state(o);
    if (status == WK_OK) return WK_OK;
    while (o->count > before) entry_free(&o->entry[--o->count]);
    wk_release(o->group[--o->groups].scalars);
    return status;
}

/* ---- options ---- */

static const char *range_text(wk__range range) {
    static const char *const texts[] = { "at least 0", "in [0, 1)", "in [0, 1]",       "positive",       "more than 1",
                                         "at least 1", "at most 0", "a finite number", "a finite number" };
    return texts[range];
}

static bool is_in_range(double value, wk__range range) {
    if (!isfinite(value)) return false;
    switch (range) {
    case WK__AT_LEAST_0: return value >= 0;
    case WK__BELOW_1: return value >= 0 && value < 1;
    case WK__UP_TO_1: return value >= 0 && value <= 1;
    case WK__ABOVE_0: return value > 0;
    case WK__ABOVE_1: return value > 1;
    case WK__AT_LEAST_1: return value >= 1;
    case WK__AT_MOST_0: return value <= 0;
    default: return true;
    }
}

static const wk__option common_options[] = { { "lr", WK__AT_LEAST_0 }, { "weight_decay", WK__AT_LEAST_0 } };

/* The option at a position of the scalars, NULL if there is none. */
static const wk__option *option_at(const wk__optim_kind *kind, int position) {
    if (position == WK_STEP_LR) return &common_options[0];
    if (position == WK_STEP_DECAY) return &common_options[1];
    if (position < WK_STEP_OPTION || position >= WK_STEP_SCALARS) return NULL;
    const wk__option *option = &kind->option[position - WK_STEP_OPTION];
    return option->name ? option : NULL;
}

static int position_of(const wk__optim_kind *kind, const char *name) {
    for (int i = 0; i < WK_STEP_SCALARS; i++) {
        const wk__option *option = option_at(kind, i);
        if (option && strcmp(option->name, name) == 0) return i;
    }
    return -1;
}

static wk_status unknown_option(const wk_optim *o, const char *name) {
    char known[300] = "";
    size_t used = 0;
    for (int i = 0; i < WK_STEP_SCALARS && used < sizeof known; i++) {
        const wk__option *option = option_at(o->plan.kind, i);
        if (option) used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", option->name);
    }
    return wk_fail(WK_NOT_FOUND, "%s has no option \"%s\" (known: %s)", o->plan.name, name ? name : "", known);
}

static wk_status check_option(const wk_optim *o, int position, double value) {
    const wk__option *option = option_at(o->plan.kind, position);
    if (is_in_range(value, option->range)) return WK_OK;
    return wk_fail(WK_INVALID, "%s: %s is %g, expected %s", o->plan.name, option->name, value,
                   range_text(option->range));
}

wk_optim *wk__optim_create(const wk__optim_plan *plan, wk_named_tensors parameters) {
    if (wk_failed()) return NULL;
    wk_optim *o = wk_alloc(sizeof *o);
    if (!o) return NULL;
    o->plan = *plan;
    o->row = plan->kind->row ? wk_op_find(plan->kind->row) : NULL;
    o->norm_row = wk_op_find("global_norm");
    o->finite_row = wk_op_find("any_nonfinite");
    o->adjust_row = wk_op_find("adjust_list");
    o->plan.scalars[WK_STEP_FACTOR] = plan->maximize ? -1 : 1;
    wk_status status = WK_OK;
    for (int i = 0; i < WK_STEP_SCALARS && status == WK_OK; i++)
        if (option_at(plan->kind, i)) status = check_option(o, i, plan->scalars[i]);
    if (status == WK_OK) status = add_group(o, parameters, o->plan.scalars);
    if (status == WK_OK) return o;
    wk_optim_destroy(o);
    return NULL;
}

wk_status wk_optim_add_group(wk_optim *o, wk_named_tensors parameters, wk_group_opts opts) {
    if (wk_failed()) return WK_PENDING;
    if (!o) return wk_fail(WK_INVALID, "wk_optim_add_group: the optimizer is NULL");
    if (o->lbfgs) return wk_fail(WK_INVALID, "%s has one group only", o->plan.name);
    const struct {
        const char *name;
        wk_optional value;
    } given[] = { { "lr", opts.lr },
                  { "weight_decay", opts.weight_decay },
                  { "momentum", opts.momentum },
                  { "beta1", opts.beta1 },
                  { "beta2", opts.beta2 },
                  { "eps", opts.eps } };
    double scalars[WK_STEP_SCALARS];
    memcpy(scalars, o->plan.scalars, sizeof scalars);
    for (size_t i = 0; i < sizeof given / sizeof given[0]; i++) {
        if (!given[i].value.is_set) continue;
        int position = position_of(o->plan.kind, given[i].name);
        if (position < 0) return unknown_option(o, given[i].name);
        WK_TRY(check_option(o, position, given[i].value.value));
        scalars[position] = given[i].value.value;
    }
    return add_group(o, parameters, scalars);
}

int wk_optim_groups(const wk_optim *o) {
    return o ? o->groups : 0;
}

static wk_status check_group(const wk_optim *o, int group) {
    if (group >= 0 && group < o->groups) return WK_OK;
    return wk_fail(WK_NOT_FOUND, "%s has no group %d, there are %d", o->plan.name, group, o->groups);
}

static bool has_momentum(const wk_optim *o) {
    for (int i = 0; i < WK_STEP_STATES; i++)
        if ((o->plan.states >> i & 1) && strcmp(o->plan.kind->state[i], "momentum_buffer") == 0) return true;
    return false;
}

wk_status wk_optim_set(wk_optim *o, int group, const char *name, double value) {
    if (wk_failed()) return WK_PENDING;
    if (!o) return wk_fail(WK_INVALID, "wk_optim_set: the optimizer is NULL");
    int position = name ? position_of(o->plan.kind, name) : -1;
    if (position < 0) return unknown_option(o, name);
    if (group != -1) WK_TRY(check_group(o, group));
    if (option_at(o->plan.kind, position)->range == WK__FIXED)
        return wk_fail(WK_INVALID, "%s: %s decides which states there are and stays as it was made", o->plan.name,
                       name);
    WK_TRY(check_option(o, position, value));
    if (strcmp(name, "momentum") == 0 && value != 0 && !has_momentum(o))
        return wk_fail(WK_INVALID, "%s was made without momentum and has no buffers for it", o->plan.name);
    for (int i = 0; i < o->groups; i++)
        if (group == -1 || group == i) wk__scalars(&o->group[i])[position] = value;
    return WK_OK;
}

double wk_optim_get(wk_optim *o, int group, const char *name) {
    int position = o && name ? position_of(o->plan.kind, name) : -1;
    if (!o)
        (void)wk_fail(WK_INVALID, "wk_optim_get: the optimizer is NULL");
    else if (position < 0)
        (void)unknown_option(o, name);
    else if (check_group(o, group) == WK_OK)
        return wk__scalars(&o->group[group])[position];
    return 0;
}

bool wk_optim_has(const wk_optim *o, const char *name) {
    return o && name && position_of(o->plan.kind, name) >= 0;
}

void wk_optim_set_lr(wk_optim *o, double lr) {
    for (int i = 0; o && i < o->groups; i++) wk__scalars(&o->group[i])[WK_STEP_LR] = lr;
}

double wk_optim_lr(const wk_optim *o) {
    return o ? wk__scalars(&o->group[0])[WK_STEP_LR] : 0;
}

/* ---- the step ---- */

/* A parameter that was written by somebody else since the last step is the master from now on. */
static wk_status refresh_master(wk__entry *e) {
    if (!e->master || e->version == e->parameter->storage->version) return WK_OK;
    WK_TRY(wk_copy_into(e->master, e->parameter));
    e->version = e->parameter->storage->version;
    return WK_OK;
}

/* Fill the call's list with the group's parameters that have a gradient; gives their number. */
static int64_t fill_list(wk_optim *o, const wk__group *group, wk_step_attrs *attrs) {
    wk__entry *entries = o->entry + group->first;
    int64_t n = 0;
    bool masters = false;
    for (int i = 0; i < group->count; i++)
        if (wk_gradient(entries[i].parameter)) n++, masters = masters || entries[i].master;
    *attrs = (wk_step_attrs){ .count = n, .states = o->plan.states, .masters = masters };
    o->list[0] = group->scalars;
    int64_t k = 1;
    for (int i = 0; i < group->count; i++) {
        wk__entry *e = &entries[i];
        wk_tensor *gradient = wk_gradient(e->parameter);
        if (!gradient) continue;
        int64_t at = k++;
        o->list[at] = e->master ? e->master : e->parameter;
        o->list[at += n] = gradient;
        o->list[at += n] = e->step;
        for (attrs->numbers = 0; attrs->numbers < WK_STEP_NUMBERS && e->number[attrs->numbers]; attrs->numbers++)
            o->list[at += n] = e->number[attrs->numbers];
        for (int m = 0; m < WK_STEP_STATES; m++)
            if (e->state[m]) o->list[at += n] = e->state[m];
        if (masters) o->list[at + n] = e->parameter;
    }
    return n;
}

static wk_status step_by_row(wk_optim *o, const wk__group *group) {
    wk_step_attrs attrs;
    int64_t n = fill_list(o, group, &attrs);
    if (n == 0) return WK_OK;
    for (int i = 0; i < group->count; i++) WK_TRY(refresh_master(&o->entry[group->first + i]));
    int64_t lists = 3 + attrs.numbers + attrs.masters;
    for (int m = 0; m < WK_STEP_STATES; m++) lists += attrs.states >> m & 1;
    WK_TRY(wk_op_run(o->row, o->list, (int)(1 + lists * n), NULL, &attrs));
    for (int i = 0; i < group->count; i++) {
        wk__entry *e = &o->entry[group->first + i];
        e->version = e->parameter->storage->version;
    }
    return WK_OK;
}

wk_status wk__stage(wk_optim *o, wk_tensor *target, wk_tensor *source) {
    wk_tensor *rounded = source ? wk_contiguous(wk_cast(source, (wk_dtype)target->dtype)) : NULL;
    if (!rounded) return wk_failed() ? wk_error_code() : WK_INTERNAL;
    o->staged[o->staged_count++] = (wk__staged){ target, rounded };
    return WK_OK;
}

static wk_status compute_group(wk_optim *o, const wk__group *group) {
    for (int i = 0; i < group->count; i++) {
        wk__entry *e = &o->entry[group->first + i];
        wk_tensor *gradient = wk_gradient(e->parameter), *p = e->master ? e->master : e->parameter;
        if (!gradient) continue;
        WK_TRY(refresh_master(e));
        wk_scope scope = wk_scope_begin();
        wk_tensor *g = wk_scale(wk_cast(gradient, (wk_dtype)p->dtype), wk__scalars(group)[WK_STEP_FACTOR]);
        int from = o->staged_count;
        wk_status status = g ? o->plan.kind->update(o, group, e, p, g) : wk_error_code();
        for (int k = from; k < o->staged_count; k++) {
            if (e->master && o->staged[k].target == e->master && status == WK_OK)
                status = wk__stage(o, e->parameter, o->staged[k].source);
            (void)wk_scope_return(scope, o->staged[k].source);
        }
        wk_scope_end(scope);
        WK_TRY(status);
    }
    return WK_OK;
}

/* Nothing that can fail: all values are there. */
static void commit(wk_optim *o) {
    for (int i = 0; i < o->staged_count; i++) {
        wk_tensor *target = o->staged[i].target, *source = o->staged[i].source;
        memcpy(target->data, source->data, (size_t)target->count * wk_dtype_size((wk_dtype)target->dtype));
        target->storage->version++;
        target->storage->changed_at = "wk_optim_step";
    }
    for (int i = 0; i < o->count; i++) {
        wk__entry *e = &o->entry[i];
        if (!wk_gradient(e->parameter)) continue;
        ++*(int64_t *)e->step->data;
        e->version = e->parameter->storage->version;
    }
}

static wk_status step_by_parts(wk_optim *o) {
    if (wk__scalars(&o->group[0])[WK_STEP_FOUND_INF] != 0) return WK_OK;
    wk_scope scope = wk_scope_begin();
    o->staged_count = 0;
    wk_status status = WK_OK;
    for (int i = 0; i < o->groups && status == WK_OK; i++) status = compute_group(o, &o->group[i]);
    if (status == WK_OK) commit(o);
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
    uint32_t mode = context->mode;
    context->mode = (mode | WK__MODE_NO_GRAD) & ~(uint32_t)WK__MODE_AUTOCAST;
    wk_note_call("wk_optim_step"); /* what a backward says that comes too late */
    wk_status status = WK_OK;
    if (o->row)
        for (int i = 0; i < o->groups && status == WK_OK; i++) status = step_by_row(o, &o->group[i]);
    else
        status = step_by_parts(o);
    context->mode = mode;
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
        int64_t steps = *(const int64_t *)o->entry[i].step->data;
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
    for (int i = 0; i < o->count; i++) {
        wk_tensor *gradient = wk_gradient(o->entry[i].parameter);
        if (gradient) o->list[at + n++] = gradient;
    }
    return n;
}

void wk__optim_scale_factor(wk_optim *o, double factor) {
    for (int i = 0; i < o->groups; i++) wk__scalars(&o->group[i])[WK_STEP_FACTOR] *= factor;
}

double wk__optim_factor(const wk_optim *o) {
    return fabs(wk__scalars(&o->group[0])[WK_STEP_FACTOR]);
}

void wk__optim_reset_factor(wk_optim *o) {
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
