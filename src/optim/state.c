/* state.c: an optimizer's state as named tensors, and selections of parameters by name. */
#include "optim/optim.h"

#include <regex.h>
#include <string.h>

typedef struct names {
    wk_tensor **tensor;
    char **name;
    int count;
    bool failed;
} names;

static void add(names *all, const char *key, const char *name, wk_tensor *tensor) {
    if (!tensor || all->failed) return;
    char *full = name ? wk_format("%s.%s", key, name) : wk_strdup(key);
    if (!full) {
        all->failed = true;
        return;
    }
    all->name[all->count] = full;
    all->tensor[all->count++] = tensor;
}

/* By state, then by parameter. */
static void add_entries(names *all, const wk_optim *o) {
    const wk__optim_kind *kind = o->plan.kind;
    for (int i = 0; i < o->count; i++) add(all, "step", o->entry[i].name, o->entry[i].step);
    for (int k = 0; k < WK_STEP_NUMBERS; k++)
        for (int i = 0; i < o->count; i++) add(all, kind->number[k], o->entry[i].name, o->entry[i].number[k]);
    for (int k = 0; k < WK_STEP_STATES; k++)
        for (int i = 0; i < o->count; i++) add(all, kind->state[k], o->entry[i].name, o->entry[i].state[k]);
    for (int i = 0; i < o->count; i++) add(all, "master", o->entry[i].name, o->entry[i].master);
}

wk_status wk__optim_name_state(wk_optim *o) {
    size_t most = (size_t)o->count * (2 + WK_STEP_NUMBERS + WK_STEP_STATES) + 1;
    names all = { wk_alloc(most * sizeof(wk_tensor *)), wk_alloc(most * sizeof(char *)), 0, false };
    if (!all.tensor || !all.name)
        all.failed = true;
    else
        add_entries(&all, o);
    char **old = all.failed ? all.name : o->state_name;
    int count = all.failed ? all.count : o->state_count;
    for (int i = 0; old && i < count; i++) wk_free(old[i]);
    wk_free(old);
    if (all.failed) {
        wk_free(all.tensor);
        return wk_error_code();
    }
    wk_free(o->state_tensor);
    o->state_tensor = all.tensor;
    o->state_name = all.name;
    o->state_count = all.count;
    return WK_OK;
}

wk_named_tensors wk_optim_state(wk_optim *o) {
    if (!o) return (wk_named_tensors){ 0 };
    if (o->lbfgs) return wk__lbfgs_state(o->lbfgs);
    return (wk_named_tensors){ o->state_tensor, (const char *const *)o->state_name, o->state_count };
}

wk_status wk_optim_state_changed(wk_optim *o) {
    if (!o) return wk_fail(WK_INVALID, "wk_optim_state_changed: the optimizer is NULL");
    for (int i = 0; i < o->count; i++) {
        wk__entry *e = &o->entry[i];
        if (!e->step) continue;
        int64_t step = *(const int64_t *)e->step->data;
        if (step < 0)
            return wk_fail(WK_FORMAT, "%s: the stored step count of \"%s\" is %lld", o->plan.name, e->name,
                           (long long)step);
        e->version = e->parameter->storage->version;
    }
    return o->lbfgs ? wk__lbfgs_state_changed(o) : WK_OK;
}

/* ---- selections ---- */

wk_named_tensors wk_named_matching(wk_named_tensors all, const char *pattern, bool others) {
    wk_named_tensors none = { 0 };
    if (wk_failed()) return none;
    regex_t regex;
    int code = regcomp(&regex, pattern ? pattern : "", REG_EXTENDED | REG_NOSUB);
    if (code != 0) {
        char text[200];
        (void)regerror(code, &regex, text, sizeof text);
        (void)wk_fail(WK_INVALID, "wk_named_matching: \"%s\": %s", pattern, text);
        return none;
    }
    size_t count = (size_t)all.count + 1;
    wk_tensor **tensor = wk_alloc(count * (sizeof(wk_tensor *) + sizeof(char *)));
    const char **name = tensor ? (const char **)(void *)(tensor + count) : NULL;
    int n = 0;
    for (int i = 0; tensor && i < all.count; i++) {
        if ((regexec(&regex, all.name[i], 0, NULL, 0) == 0) == others) continue;
        tensor[n] = all.tensor[i];
        name[n++] = all.name[i];
    }
    regfree(&regex);
    return tensor ? (wk_named_tensors){ tensor, name, n } : none;
}

void wk_named_free(wk_named_tensors list) {
    wk_free((void *)(uintptr_t)list.tensor);
}
