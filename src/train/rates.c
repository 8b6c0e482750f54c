/* rates.c: learning rates of fine-tuning: another one than the file's optimizer has, and groups of parameters with
 * rates of their own.
 *
 *   lr_groups: [ { match: "^features", scale: 0.1 }, { match: "bias$", lr: 1e-4 } ]
 *
 * A parameter belongs to the first group whose regular expression matches its name; the others stay in the optimizer's
 * first group.  Schedules drive each group from the rate that it begins with.
 *
 * What a FreezeUnfreeze lets learn by and by (initial_denom_lr) is a group too.  It has a part of its rate then, of
 * which schedules know nothing: whatever drives the rates finds the whole one in its place.
 */
#include "train/run.h"

#include "base/base.h"

#include <float.h>
#include <string.h>

wk_status wk__config_take_lr(wk__yaml *document) {
    const wk__yaml_node *root = document->root && document->root->kind == WK__YAML_MAPPING ? document->root : NULL;
    const wk__yaml_node *lr = root ? wk__yaml_find(root, "lr") : NULL, *optimizer;
    double value;
    if (!lr || wk__yaml_is_null(lr)) return WK_OK;
    WK_TRY(wk__yaml_double(document, lr, "lr", &value));
    optimizer = wk__yaml_find(root, "optimizer");
    if (!optimizer || optimizer->kind != WK__YAML_MAPPING)
        return wk__yaml_fail(document, lr, "lr is that of the section optimizer, which is missing");
    char *word = wk_format("optimizer.args.lr=%s", lr->text);
    wk_status status = word ? wk__yaml_set(document, word) : WK_NO_MEMORY;
    wk_free(word);
    if (status != WK_OK) return status;
    wk__yaml_node *set = wk__yaml_find(wk__yaml_find(optimizer, "args"), "lr"); /* messages name where lr stands */
    if (set) set->line = lr->line, set->column = lr->column, set->origin = lr->origin;
    return WK_OK;
}

/* ---- groups ---- */

enum { MOST_RULES = WK__MOST_GROUPS - 1, MOST_PATHS = 64 };
typedef struct rule {
    const char *match;     /* NULL: the modules of a FreezeUnfreeze */
    const wk_config *args; /* its */
    int freezer;
    wk_optional lr, scale;
} rule;

bool wk__is_below(const char *name, const char *path) {
    const size_t size = strlen(path);
    return strncmp(name, path, size) == 0 && (name[size] == '.' || name[size] == '\0');
}

/* Each FreezeUnfreeze whose parameters begin with a smaller rate; they come before lr_groups. */
static int read_freezers(const wk__run_config *c, rule rules[MOST_RULES]) {
    int count = 0, freezers = 0;
    for (int i = 0; i < c->callbacks; i++) {
        const wk__spec *spec = &c->callback[i];
        if (strcmp(spec->name, "FreezeUnfreeze") != 0) continue;
        freezers++;
        if (wk_config_has(&spec->args, "initial_denom_lr") && count < MOST_RULES)
            rules[count++] = (rule){ .args = &spec->args, .freezer = freezers, .scale = WK_SET(1) };
    }
    return count;
}

static void read_rule(const wk__run_config *c, const wk__yaml_node *item, rule *r) {
    static const char *const known[] = { "match", "lr", "scale" };
    const wk_config one = { c->document, item };
    if (wk__yaml_map(c->document, item, "lr_groups") != WK_OK
        || wk__yaml_known(c->document, item, "lr_groups", known, WK_COUNT(known)) != WK_OK)
        return;
    *r = (rule){ .match = wk_config_string(&one, "match", NULL),
                 .lr = { wk_config_has(&one, "lr"), wk_config_double(&one, "lr", DBL_MIN, DBL_MAX, 0) },
                 .scale = { wk_config_has(&one, "scale"), wk_config_double(&one, "scale", DBL_MIN, DBL_MAX, 1) } };
    if (!wk_failed() && (!r->match || r->lr.is_set == r->scale.is_set))
        (void)wk__yaml_fail(c->document, item,
                            "lr_groups: expected { match: REGEX, lr: X } or { match: REGEX, scale: X }");
}

static int read_rules(const wk__run_config *c, rule rules[MOST_RULES]) {
    int count = read_freezers(c, rules);
    const wk__yaml_node *list = wk__yaml_find(c->root.node, "lr_groups");
    if (!list || wk__yaml_is_null(list)) return count;
    if (wk__yaml_list(c->document, list, "lr_groups") != WK_OK) return 0;
    if (list->count + (size_t)count > MOST_RULES) {
        (void)wk__yaml_fail(c->document, list, "lr_groups has %zu items, expected at most %d", list->count,
                            MOST_RULES - count);
        return 0;
    }
    for (const wk__yaml_node *item = list->first; item && !wk_failed(); item = item->next)
        read_rule(c, item, &rules[count++]);
    return wk_failed() ? 0 : count;
}

wk_status wk__lr_groups_check(const wk__run_config *c) {
    rule rules[MOST_RULES];
    const int count = read_rules(c, rules);
    for (int i = 0; i < count; i++)
        if (rules[i].match) WK_TRY(wk__pattern_check(c, "lr_groups", rules[i].match));
    return wk_failed() ? wk_error_code() : WK_OK;
}

bool wk__has_lr_groups(const wk__run_config *c) {
    rule rules[MOST_RULES];
    return read_rules(c, rules) > 0;
}

static bool takes(const rule *r, wk_named_tensors some, int *at, const wk_named_tensors *all, int i) {
    const char *path[MOST_PATHS];
    if (r->match) { /* `some` is a selection of them, in the same order */
        const bool is_next = *at < some.count && some.tensor[*at] == all->tensor[i];
        *at += is_next;
        return is_next;
    }
    const int paths = wk_config_strings(r->args, "modules", path, MOST_PATHS);
    for (int k = 0; k < paths; k++)
        if (wk__is_below(all->name[i], path[k])) return true;
    return false;
}

/* Each parameter's rule, the first that takes it; -1 where none does. */
static wk_status sort_out(wk_named_tensors all, const rule *rules, int count, int *group) {
    for (int i = 0; i < all.count; i++) group[i] = -1;
    for (int r = 0; r < count && !wk_failed(); r++) {
        wk_named_tensors some =
            rules[r].match ? wk__named_by(all, "lr_groups", rules[r].match) : (wk_named_tensors){ 0 };
        int at = 0, taken = 0;
        for (int i = 0; i < all.count && !wk_failed(); i++) {
            if (!takes(&rules[r], some, &at, &all, i) || group[i] >= 0) continue;
            group[i] = r;
            taken++;
        }
        if (taken == 0 && rules[r].match && !wk_failed())
            (void)wk_fail(WK_CONFIG, "lr_groups: all that \"%s\" matches belongs to an earlier group: put it first",
                          rules[r].match);
        wk_named_free(some);
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* Of a selection of all, in the same order; what is not among all belongs to no group. */
static void keep_those_of(wk_named_tensors all, wk_named_tensors mine, int *group) {
    int k = 0;
    for (int i = 0; i < all.count && k < mine.count; i++)
        if (all.tensor[i] == mine.tensor[k]) group[k++] = group[i];
    while (k < mine.count) group[k++] = -1;
}

/* A selection of `all`, into `into`, which has room for all. */
static wk_named_tensors of_group(wk_named_tensors all, const int *group, int which, wk_tensor **tensor,
                                 const char **name) {
    int count = 0;
    for (int i = 0; i < all.count; i++) {
        if (group[i] != which) continue;
        tensor[count] = all.tensor[i];
        name[count++] = all.name[i];
    }
    return (wk_named_tensors){ tensor, name, count };
}

wk_optim *wk__make_grouped(const wk_trainer *t, const wk_config *config, const char *key, wk_named_tensors mine,
                           wk__rate rate[WK__MOST_GROUPS]) {
    rule rules[MOST_RULES] = { { 0 } };
    const int count = read_rules(t->config, rules);
    if (count == 0) return wk_failed() ? NULL : wk_make_optimizer(config, key, mine);
    wk_named_tensors all = wk_parameters(t->model);
    int *group = wk_alloc(((size_t)(all.count > mine.count ? all.count : mine.count) + 1) * sizeof *group);
    wk_tensor **tensor = wk_alloc(((size_t)mine.count + 1) * sizeof *tensor);
    const char **name = wk_alloc(((size_t)mine.count + 1) * sizeof *name);
    wk_status status = group && tensor && name ? sort_out(all, rules, count, group) : WK_NO_MEMORY;
    if (status == WK_OK) keep_those_of(all, mine, group);
    wk_optim *optimizer =
        status == WK_OK ? wk_make_optimizer(config, key, of_group(mine, group, -1, tensor, name)) : NULL;
    const double base = optimizer ? wk_optim_lr(optimizer) : 0;
    for (int r = 0; r < count && optimizer && status == WK_OK; r++) {
        const wk_named_tensors some = of_group(mine, group, r, tensor, name);
        const double lr = rules[r].lr.is_set ? rules[r].lr.value : base * rules[r].scale.value;
        if (some.count == 0) continue; /* another optimizer's */
        status = wk_optim_add_group(optimizer, some, (wk_group_opts){ .lr = WK_SET(lr) });
        if (status == WK_OK)
            rate[wk_optim_groups(optimizer) - 1] = (wk__rate){ .ratio = lr / base, .freezer = rules[r].freezer };
    }
    wk_free(name);
    wk_free(tensor);
    wk_free(group);
    if (status == WK_OK) return optimizer;
    wk_optim_destroy(optimizer);
    return NULL;
}

double wk__rate_ratio(const wk__driven *d, int group) {
    return group < WK__MOST_GROUPS && d->rate[group].ratio > 0 ? d->rate[group].ratio : 1;
}

void wk__set_rates(const wk__driven *d, double lr) {
    for (int g = 0; g < wk_optim_groups(d->optimizer); g++)
        (void)wk_optim_set(d->optimizer, g, "lr", lr * wk__rate_ratio(d, g));
}

/* ---- rates on their way up ---- */

void wk__rates_warm(wk_trainer *t, int freezer, double part) {
    wk__rates_raise(t);
    for (int i = 0; i < t->optimizers; i++)
        for (int g = 0; g < WK__MOST_GROUPS; g++)
            if (t->driven[i].rate[g].freezer == freezer) t->driven[i].rate[g].part = part;
    wk__rates_lower(t);
}

void wk__rates_raise(wk_trainer *t) {
    for (int i = 0; i < t->optimizers; i++)
        for (int g = 0; g < WK__MOST_GROUPS; g++) {
            wk__rate *rate = &t->driven[i].rate[g];
            if (rate->whole > 0) (void)wk_optim_set(t->driven[i].optimizer, g, "lr", rate->whole);
            rate->whole = 0;
        }
}

void wk__rates_lower(wk_trainer *t) {
    for (int i = 0; i < t->optimizers; i++)
        for (int g = 0; g < WK__MOST_GROUPS && !wk_failed(); g++) {
            wk__rate *rate = &t->driven[i].rate[g];
            if (rate->whole > 0 || !(rate->part > 0 && rate->part < 1)) continue;
            rate->whole = wk_optim_get(t->driven[i].optimizer, g, "lr");
            (void)wk_optim_set(t->driven[i].optimizer, g, "lr", rate->whole * rate->part);
        }
}
