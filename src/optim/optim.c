/* optim.c: what all optimizers share: groups of parameters, their state and options.
 *
 * What makes one optimizer different from another is its kind (optim.h): the names of its states and options, and
 * either the row that does the step or a function that computes one parameter's.
 */
#include "optim/optim.h"

#include "autograd/tape.h"

#include <math.h>
#include <string.h>

/* ---- entries and groups ---- */

static void entry_free(wk__entry *e) {
    if (e->parameter && e->parameter->leaf) wk__leaf_drop_half(e->parameter->leaf);
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
    wk_release(o->clip);
    wk_free(o->entry);
    wk_free(o->group);
    wk_free(o->list);
    wk_free(o->staged);
    wk_free(o->state_tensor);
    wk_free(o);
}

static bool fill(wk_tensor *t, double value) {
    if (!t) return false;
    return value == 0 || wk__fill_dense(t, value) == WK_OK;
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

wk_status wk__entry_state(const wk_optim *o, wk__entry *e) {
    const wk__optim_plan *plan = &o->plan;
    const wk_tensor *p = e->parameter;
    bool is_half = p->dtype == WK_BF16 || p->dtype == WK_F16;
    wk_dtype dtype = is_half ? WK_F32 : (wk_dtype)p->dtype;
    e->version = p->storage->version;
    e->step = wk_kept_zeros(WK_I64, WK_SCALAR);
    if (!e->step) return wk_error_code();
    if (is_half) {
        e->master = wk__kept_zeros_on(p->device, WK_F32, wk__dims(p));
        if (!e->master || wk_copy_into(e->master, e->parameter) != WK_OK) return wk_error_code();
    }
    for (int i = 0; i < WK_STEP_NUMBERS && plan->kind->number[i]; i++)
        if (!fill(e->number[i] = wk_kept_zeros(WK_F64, WK_SCALAR), plan->initial_number[i])) return wk_error_code();
    for (int i = 0; i < WK_STEP_STATES; i++) {
        if (!(plan->states >> i & 1)) continue;
        wk_dims dims = plan->kind->state_dims ? plan->kind->state_dims(p, i) : wk__dims(p);
        if (dims.rank >= 0 && !fill(e->state[i] = wk__kept_zeros_on(p->device, dtype, dims), plan->initial[i]))
            return wk_error_code();
    }
    return WK_OK;
}

static bool entry_fill(const wk_optim *o, wk__entry *e, const char *name, wk_tensor *p) {
    e->parameter = wk_keep(p);
    e->name = wk_strdup(name);
    return e->name && wk__entry_state(o, e) == WK_OK;
}

/* The longest call: scalars, the clipping's factor, and for each parameter all that a row may take. */
enum { LISTS = 4 + WK_STEP_NUMBERS + WK_STEP_STATES, MORE = 2 };

static bool grow(wk_optim *o, int more) {
    size_t count = (size_t)(o->count + more);
    wk__entry *entry = wk_realloc(o->entry, (count + 1) * sizeof *entry);
    if (entry) o->entry = entry;
    wk__group *group = entry ? wk_realloc(o->group, ((size_t)o->groups + 1) * sizeof *group) : NULL;
    if (group) o->group = group;
    wk_tensor **list = group ? wk_realloc(o->list, (MORE + LISTS * count) * sizeof *list) : NULL;
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
    o->clip_row = wk_op_find("clip_factor");
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
    if (o->stepped) return wk_fail(WK_STATE, "%s is shared out among ranks: groups come before that", o->plan.name);
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
