/* lr.c: stepping schedules, their state, and those that are made of others. */
#include "optim/lr.h"

#include <math.h>
#include <string.h>

static void free_state(wk_lr *s) {
    for (int i = 0; i < s->state_count; i++) wk_free(s->state_name[i]);
    wk_free(s->state_name);
    wk_free(s->state_tensor);
    s->state_count = 0;
    s->state_name = NULL;
    s->state_tensor = NULL;
}

void wk_lr_destroy(wk_lr *s) {
    if (!s) return;
    for (int i = 0; i < s->parts; i++) wk_lr_destroy(s->part[i]);
    free_state(s);
    wk_free(s->part);
    wk_free(s->milestones);
    wk_release(s->numbers);
    wk_free(s);
}

void wk_optim_begin_rates(wk_optim *o) {
    for (int g = 0; g < wk_optim_groups(o); g++) o->group[g].initial_lr = 0;
}

static int groups_of(const wk_lr *s) {
    return ((int)s->numbers->count - WK__LR_NUMBERS) / WK__LR_GROUP_NUMBERS;
}

wk_lr *wk__lr_create(const wk__lr_kind *kind, wk_optim *o) {
    if (wk_failed()) return NULL;
    if (!o) return wk_fail_null(WK_INVALID, "%s: the optimizer is NULL", kind->name);
    wk_lr *s = wk_alloc(sizeof *s);
    if (!s) return NULL;
    s->kind = kind;
    s->o = o;
    s->numbers = wk_kept_zeros(WK_F64, WK_DIMS(WK__LR_NUMBERS + o->groups * WK__LR_GROUP_NUMBERS));
    if (!s->numbers) {
        wk_lr_destroy(s);
        return NULL;
    }
    wk__lr_numbers(s)[WK__LR_TIME] = -1;
    for (int g = 0; g < o->groups; g++) {
        wk__group *group = &o->group[g];
        double lr = wk__scalars(group)[WK_STEP_LR];
        if (group->initial_lr == 0) group->initial_lr = lr;
        wk__lr_group(s, g)[WK__LR_BASE] = group->initial_lr;
        wk__lr_group(s, g)[WK__LR_NOW] = lr;
        wk__lr_group(s, g)[WK__LR_MOMENTUM] = NAN;
    }
    return s;
}

static const char *momentum_name(const wk_optim *o) {
    return wk_optim_has(o, "beta1") ? "beta1" : "momentum";
}

void wk__lr_set_momentum(wk_lr *s, int group, double value) {
    wk__lr_group(s, group)[WK__LR_MOMENTUM] = value;
    (void)wk_optim_set(s->o, group, momentum_name(s->o), value);
}

static void note_rates(wk_lr *s) {
    for (int g = 0; g < groups_of(s); g++) wk__lr_group(s, g)[WK__LR_NOW] = wk__scalars(&s->o->group[g])[WK_STEP_LR];
}

void wk__lr_apply(wk_lr *s) {
    for (int g = 0; g < groups_of(s); g++) {
        double *lr = &wk__scalars(&s->o->group[g])[WK_STEP_LR];
        *lr = s->kind->rate(s, g, *lr);
        if (s->kind->momentum) wk__lr_set_momentum(s, g, s->kind->momentum(s, g));
    }
    note_rates(s);
}

void wk__lr_restart(wk_lr *s) {
    wk__lr_numbers(s)[WK__LR_TIME] = 0;
    if (!s->kind->closed) {
        wk__lr_apply(s);
        return;
    }
    for (int g = 0; g < groups_of(s); g++) wk__scalars(&s->o->group[g])[WK_STEP_LR] = s->kind->closed(s, g);
    note_rates(s);
}

static wk_status step(wk_lr *s) {
    if (s->kind->step) return s->kind->step(s);
    wk__lr_numbers(s)[WK__LR_STEPS]++;
    wk__lr_numbers(s)[WK__LR_TIME]++;
    wk__lr_apply(s);
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_lr *wk__lr_begin(wk_lr *s) {
    if (!s) return NULL;
    wk__lr_numbers(s)[WK__LR_STEPS] = 0;
    s->is_initial = true;
    wk_status status = step(s);
    s->is_initial = false;
    if (status == WK_OK) return s;
    wk_lr_destroy(s);
    return NULL;
}

wk_status wk_lr_step(wk_lr *s) {
    if (wk_failed()) return WK_PENDING;
    if (!s) return wk_fail(WK_INVALID, "wk_lr_step: the schedule is NULL");
    if (s->kind == &wk__lr_plateau)
        return wk_fail(WK_INVALID, "%s needs a metric: use wk_lr_step_metric", s->kind->name);
    if (groups_of(s) != s->o->groups)
        return wk_fail(WK_INVALID, "%s was made for %d groups, the optimizer has %d now", s->kind->name, groups_of(s),
                       s->o->groups);
    return step(s);
}

/* ---- state ---- */

static int count_state(const wk_lr *s) {
    int count = 1;
    for (int i = 0; i < s->parts; i++) count += count_state(s->part[i]);
    return count;
}

static bool add_state(wk_lr *root, wk_lr *s, const char *prefix) {
    char *name = wk_format("%snumbers", prefix);
    if (!name) return false;
    root->state_tensor[root->state_count] = s->numbers;
    root->state_name[root->state_count++] = name;
    for (int i = 0; i < s->parts; i++) {
        char *inner = wk_format("%s%d.", prefix, i);
        bool added = inner && add_state(root, s->part[i], inner);
        wk_free(inner);
        if (!added) return false;
    }
    return true;
}

wk_named_tensors wk_lr_state(wk_lr *s) {
    wk_named_tensors none = { 0 };
    if (!s) return none;
    if (!s->state_tensor) {
        size_t count = (size_t)count_state(s);
        s->state_tensor = wk_alloc(count * sizeof *s->state_tensor);
        s->state_name = wk_alloc(count * sizeof *s->state_name);
        if (!s->state_tensor || !s->state_name || !add_state(s, s, "")) {
            free_state(s);
            return none;
        }
    }
    return (wk_named_tensors){ s->state_tensor, (const char *const *)s->state_name, s->state_count };
}

static wk_status check_numbers(const wk_lr *s) {
    const double *n = wk__lr_numbers(s);
    double time = n[WK__LR_TIME];
    if (!(time >= -9e15 && time <= 9e15)) return wk_fail(WK_FORMAT, "%s: the stored time is %g", s->kind->name, time);
    for (int i = WK__LR_STEPS; i < WK__LR_NUMBERS; i++)
        if (i != WK__LR_BEST && !isfinite(n[i]))
            return wk_fail(WK_FORMAT, "%s: number %d of the stored state is %g", s->kind->name, i, n[i]);
    for (int i = 0; i < s->parts; i++) WK_TRY(check_numbers(s->part[i]));
    return WK_OK;
}

wk_status wk_lr_state_changed(wk_lr *s) {
    if (wk_failed()) return WK_PENDING;
    if (!s) return wk_fail(WK_INVALID, "wk_lr_state_changed: the schedule is NULL");
    WK_TRY(check_numbers(s));
    for (int g = 0; g < groups_of(s); g++) {
        const double *group = wk__lr_group(s, g);
        WK_TRY(wk_optim_set(s->o, g, "lr", group[WK__LR_NOW]));
        if (!isnan(group[WK__LR_MOMENTUM])) WK_TRY(wk_optim_set(s->o, g, momentum_name(s->o), group[WK__LR_MOMENTUM]));
    }
    return WK_OK;
}

/* ---- made of others ---- */

static void drop_parts(wk_lr *const *parts, int count) {
    for (int i = 0; i < count; i++) wk_lr_destroy(parts[i]);
}

static wk_lr *of_parts(const wk__lr_kind *kind, wk_optim *o, wk_lr *const *parts, int count, bool plain) {
    for (int i = 0; i < count && !wk_failed(); i++) {
        const wk__lr_kind *part = parts[i] ? parts[i]->kind : NULL;
        bool is_nested = part == &wk__lr_sequential || part == &wk__lr_chained;
        if (!part)
            (void)wk_fail(WK_INVALID, "%s: part %d is NULL", kind->name, i);
        else if (parts[i]->o != o)
            (void)wk_fail(WK_INVALID, "%s: part %d drives another optimizer", kind->name, i);
        else if (part == &wk__lr_plateau || (plain && is_nested))
            (void)wk_fail(WK_INVALID, "%s: part %d is a %s, which cannot be a part of it", kind->name, i, part->name);
    }
    if (count < 1 && !wk_failed()) (void)wk_fail(WK_INVALID, "%s: expected at least one part", kind->name);
    wk_lr *s = wk__lr_create(kind, o);
    if (s) s->part = wk_alloc((size_t)count * sizeof *s->part);
    if (!s || !s->part) {
        wk_lr_destroy(s);
        drop_parts(parts, count);
        return NULL;
    }
    memcpy(s->part, parts, (size_t)count * sizeof *parts);
    s->parts = count;
    return s;
}

/* The part that is on at a time: the first whose end has not come. */
static int part_at(const wk_lr *s, double time) {
    int i = 0;
    while (i < s->parts - 1 && time >= (double)s->milestones[i]) i++;
    return i;
}

static wk_status sequential_step(wk_lr *s) {
    double time = ++wk__lr_numbers(s)[WK__LR_TIME];
    int i = part_at(s, time);
    wk_status status = WK_OK;
    if (i > 0 && (double)s->milestones[i - 1] == time)
        wk__lr_restart(s->part[i]);
    else
        status = step(s->part[i]);
    note_rates(s);
    return status;
}
const wk__lr_kind wk__lr_sequential = { .name = "SequentialLR", .step = sequential_step };

wk_lr *wk_sequential_lr(wk_optim *o, wk_lr *const *parts, int count, const int64_t *milestones) {
    for (int i = 1; i + 1 < count && !wk_failed(); i++)
        if (milestones[i] <= milestones[i - 1])
            (void)wk_fail(WK_INVALID, "SequentialLR: milestones %lld, %lld, expected ascending ones",
                          (long long)milestones[i - 1], (long long)milestones[i]);
    wk_lr *s = of_parts(&wk__lr_sequential, o, parts, count, true);
    if (!s) return NULL;
    s->milestones = wk_alloc((size_t)count * sizeof *s->milestones);
    if (!s->milestones) {
        wk_lr_destroy(s);
        return NULL;
    }
    if (count > 1) memcpy(s->milestones, milestones, (size_t)(count - 1) * sizeof *milestones);
    /* Making the parts has moved the rates and each part's time: take both back, and begin with the first part. */
    for (int g = 0; g < o->groups; g++) wk__scalars(&o->group[g])[WK_STEP_LR] = o->group[g].initial_lr;
    for (int i = 0; i < count; i++) wk__lr_numbers(s->part[i])[WK__LR_TIME]--;
    wk__lr_numbers(s)[WK__LR_TIME] = 0;
    wk_lr *first = s->part[part_at(s, 0)];
    wk__lr_numbers(first)[WK__LR_STEPS] = 0;
    first->is_initial = true;
    wk_status status = step(first);
    first->is_initial = false;
    note_rates(s);
    if (status == WK_OK) return s;
    wk_lr_destroy(s);
    return NULL;
}

static wk_status chained_step(wk_lr *s) {
    wk__lr_numbers(s)[WK__LR_TIME]++;
    for (int i = 0; i < s->parts; i++) WK_TRY(step(s->part[i]));
    note_rates(s);
    return WK_OK;
}
const wk__lr_kind wk__lr_chained = { .name = "ChainedScheduler", .step = chained_step };

wk_lr *wk_chained_lr(wk_optim *o, wk_lr *const *parts, int count) {
    wk_lr *s = of_parts(&wk__lr_chained, o, parts, count, false);
    if (s) wk__lr_numbers(s)[WK__LR_TIME] = 0;
    return s;
}
