/* rates.c: learning rates of fine-tuning: another one than the file's optimizer has, and groups of parameters with
 * rates of their own.
 *
 *   lr_groups: [ { match: "^features", scale: 0.1 }, { match: "bias$", lr: 1e-4 } ]
 *
 * A parameter belongs to the first group whose regular expression matches its name; the others stay in the optimizer's
 * first group.  Schedules drive each group from the rate that it begins with.
 */
#include "train/run.h"

#include "base/base.h"

#include <float.h>

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
    return status;
}

/* ---- groups ---- */

typedef struct rule {
    const char *match;
    wk_optional lr, scale;
} rule;

static int read_rules(const wk__run_config *c, rule rules[WK__MOST_GROUPS - 1]) {
    static const char *const known[] = { "match", "lr", "scale" };
    const wk__yaml_node *list = wk__yaml_find(c->root.node, "lr_groups");
    int count = 0;
    if (!list || wk__yaml_is_null(list) || wk__yaml_list(c->document, list, "lr_groups") != WK_OK) return 0;
    if (list->count > WK__MOST_GROUPS - 1) {
        (void)wk__yaml_fail(c->document, list, "lr_groups has %zu items, expected at most %d", list->count,
                            WK__MOST_GROUPS - 1);
        return 0;
    }
    for (const wk__yaml_node *item = list->first; item && !wk_failed(); item = item->next) {
        const wk_config one = { c->document, item };
        if (wk__yaml_map(c->document, item, "lr_groups") != WK_OK
            || wk__yaml_known(c->document, item, "lr_groups", known, WK_COUNT(known)) != WK_OK)
            return 0;
        rule *r = &rules[count++];
        *r = (rule){ wk_config_string(&one, "match", NULL),
                     { wk_config_has(&one, "lr"), wk_config_double(&one, "lr", DBL_MIN, DBL_MAX, 0) },
                     { wk_config_has(&one, "scale"), wk_config_double(&one, "scale", DBL_MIN, DBL_MAX, 1) } };
        if (!wk_failed() && (!r->match || r->lr.is_set == r->scale.is_set))
            (void)wk__yaml_fail(c->document, item,
                                "lr_groups: expected { match: REGEX, lr: X } or { match: REGEX, "
                                "scale: X }");
    }
    return wk_failed() ? 0 : count;
}

wk_status wk__lr_groups_check(const wk__run_config *c) {
    rule rules[WK__MOST_GROUPS - 1];
    const int count = read_rules(c, rules);
    for (int i = 0; i < count; i++) WK_TRY(wk__pattern_check(c, "lr_groups", rules[i].match));
    return wk_failed() ? wk_error_code() : WK_OK;
}

bool wk__has_lr_groups(const wk__run_config *c) {
    const wk__yaml_node *list = wk__yaml_find(c->root.node, "lr_groups");
    return list && !wk__yaml_is_null(list) && list->count > 0;
}

/* Each parameter's rule, -1 where none matches. */
static wk_status sort_out(wk_named_tensors all, wk_named_tensors mine, const rule *rules, int count, int *group) {
    for (int i = 0; i < mine.count; i++) group[i] = -1;
    for (int r = 0; r < count; r++) {
        wk_named_free(wk__named_by(all, "lr_groups", rules[r].match)); /* in the whole model something does */
        if (wk_failed()) return wk_error_code();
        wk_named_tensors some = wk_named_matching(mine, rules[r].match, false);
        for (int i = 0, k = 0; k < some.count; i++) { /* both in the same order */
            if (mine.tensor[i] != some.tensor[k]) continue;
            if (group[i] < 0) group[i] = r;
            k++;
        }
        wk_named_free(some);
    }
    return wk_failed() ? wk_error_code() : WK_OK;
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
                           double ratio[WK__MOST_GROUPS]) {
    rule rules[WK__MOST_GROUPS - 1];
    const int count = read_rules(t->config, rules);
    if (count == 0) return wk_failed() ? NULL : wk_make_optimizer(config, key, mine);
    int *group = wk_alloc(((size_t)mine.count + 1) * sizeof *group);
    wk_tensor **tensor = wk_alloc(((size_t)mine.count + 1) * sizeof *tensor);
    const char **name = wk_alloc(((size_t)mine.count + 1) * sizeof *name);
    wk_status status =
        group && tensor && name ? sort_out(wk_parameters(t->model), mine, rules, count, group) : WK_NO_MEMORY;
    wk_optim *optimizer =
        status == WK_OK ? wk_make_optimizer(config, key, of_group(mine, group, -1, tensor, name)) : NULL;
    const double base = optimizer ? wk_optim_lr(optimizer) : 0;
    for (int r = 0; r < count && optimizer && status == WK_OK; r++) {
        const wk_named_tensors some = of_group(mine, group, r, tensor, name);
        const double lr = rules[r].lr.is_set ? rules[r].lr.value : base * rules[r].scale.value;
        if (some.count == 0) continue; /* another optimizer's, or an earlier group has all of them */
        status = wk_optim_add_group(optimizer, some, (wk_group_opts){ .lr = WK_SET(lr) });
        if (status == WK_OK) ratio[wk_optim_groups(optimizer) - 1] = lr / base;
    }
    wk_free(name);
    wk_free(tensor);
    wk_free(group);
    if (status == WK_OK) return optimizer;
    wk_error_prefix("lr_groups");
    wk_optim_destroy(optimizer);
    return NULL;
}

double wk__rate_ratio(const wk__driven *d, int group) {
    return group < WK__MOST_GROUPS && d->ratio[group] > 0 ? d->ratio[group] : 1;
}

void wk__set_rates(const wk__driven *d, double lr) {
    for (int g = 0; g < wk_optim_groups(d->optimizer); g++)
        (void)wk_optim_set(d->optimizer, g, "lr", lr * wk__rate_ratio(d, g));
}
