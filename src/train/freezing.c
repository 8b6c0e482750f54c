/* freezing.c: parameters that do not learn, by regular expressions of their names:
 *
 *   freeze: "^features"                 never, or
 *   unfreeze_at: { "^features.8": 2 }   not before this epoch
 *
 * What never learns is not given to the optimizer, so it has no state.  What learns later is: without a gradient every
 * optimizer leaves it alone.
 */
#include "train/run.h"

#include "base/base.h"

enum { MOST_PATTERNS = 64 };

static const wk__yaml_node *schedule_of(const wk__run_config *c) {
    const wk__yaml_node *map = wk__yaml_find(c->root.node, "unfreeze_at");
    return map && !wk__yaml_is_null(map) ? map : NULL;
}

bool wk__has_freezing(const wk__run_config *c) {
    return wk_config_has(&c->root, "freeze") || schedule_of(c);
}

wk_status wk__pattern_check(const wk__run_config *c, const char *key, const char *pattern) {
    wk_named_free(wk_named_matching((wk_named_tensors){ 0 }, pattern, false));
    if (!wk_failed()) return WK_OK;
    wk_clear_error();
    return wk_config_fail(&c->root, key, "%s: \"%s\" is no POSIX extended regular expression", key, pattern);
}

wk_status wk__freezing_check(const wk__run_config *c) {
    const char *pattern[MOST_PATTERNS];
    const int patterns = wk_config_strings(&c->root, "freeze", pattern, MOST_PATTERNS);
    for (int i = 0; i < patterns && !wk_failed(); i++) WK_TRY(wk__pattern_check(c, "freeze", pattern[i]));
    const wk__yaml_node *map = schedule_of(c);
    if (map) WK_TRY(wk__yaml_map(c->document, map, "unfreeze_at"));
    for (const wk__yaml_node *one = map ? map->first : NULL; one; one = one->next) {
        int64_t epoch;
        WK_TRY(wk__yaml_int(c->document, one, "unfreeze_at", 0, INT32_MAX, &epoch));
        WK_TRY(wk__pattern_check(c, "unfreeze_at", one->key));
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

wk_named_tensors wk__named_by(wk_named_tensors all, const char *key, const char *pattern) {
    wk_named_tensors some = wk_named_matching(all, pattern, false);
    if (wk_failed() || some.count > 0) return some;
    wk_text names = { 0 };
    for (int i = 0; i < all.count && i < 8; i++) wk_text_printf(&names, "%s%s", i ? ", " : "", all.name[i]);
    (void)wk_fail(WK_CONFIG, "%s: no parameter has a name that \"%s\" matches; there are %s%s (%d)", key, pattern,
                  wk_text_get(&names), all.count > 8 ? ", …" : "", all.count);
    wk_text_free(&names);
    return some;
}

/* For each parameter the epoch from which it learns, by the first expression that matches; -1 where none does.  To be
 * freed. */
static int64_t *epochs_of(const wk__run_config *c, wk_named_tensors all) {
    int64_t *epoch = wk_alloc(((size_t)all.count + 1) * sizeof *epoch);
    for (int i = 0; i < all.count && epoch; i++) epoch[i] = -1;
    const wk__yaml_node *map = epoch ? schedule_of(c) : NULL;
    for (const wk__yaml_node *one = map ? map->first : NULL; one && !wk_failed(); one = one->next) {
        int64_t from = 0;
        (void)wk__yaml_int(c->document, one, "unfreeze_at", 0, INT32_MAX, &from);
        wk_named_tensors some = wk__named_by(all, "unfreeze_at", one->key);
        int taken = 0;
        for (int i = 0, k = 0; k < some.count; i++) { /* both in the same order */
            if (all.tensor[i] != some.tensor[k]) continue;
            taken += epoch[i] < 0;
            if (epoch[i] < 0) epoch[i] = from;
            k++;
        }
        if (taken == 0 && !wk_failed())
            (void)wk_fail(WK_CONFIG, "unfreeze_at: all that \"%s\" matches an earlier expression has: put it first",
                          one->key);
        wk_named_free(some);
    }
    if (!wk_failed()) return epoch;
    wk_free(epoch);
    return NULL;
}

wk_status wk__freeze(wk_trainer *t) {
    const char *pattern[MOST_PATTERNS];
    const int patterns = wk_config_strings(&t->config->root, "freeze", pattern, MOST_PATTERNS);
    wk_named_tensors all = wk_parameters(t->model);
    if (patterns == 0 && !schedule_of(t->config)) return wk_failed() ? wk_error_code() : WK_OK;
    for (int p = 0; p < patterns && !wk_failed(); p++) {
        wk_named_tensors some = wk__named_by(all, "freeze", pattern[p]);
        for (int k = 0; k < some.count; k++) (void)wk_require_grad(some.tensor[k], false);
        wk_named_free(some);
    }
    int64_t *epoch = wk_failed() ? NULL : epochs_of(t->config, all);
    int learning = 0;
    for (int i = 0; i < all.count && epoch; i++) {
        if (epoch[i] >= 0) (void)wk_require_grad(all.tensor[i], true); /* the optimizer is to know it */
        learning += epoch[i] == 0 || (epoch[i] < 0 && wk_requires_grad(all.tensor[i]));
    }
    wk_free(epoch);
    if (wk_failed()) return wk_error_code();
    if (learning > 0) return WK_OK;
    return wk_fail(WK_CONFIG, "freeze and unfreeze_at leave no parameter to learn in the first epoch");
}

/* ---- those that learn later ---- */

typedef struct unfreezer {
    wk_callback base;
    const wk__run_config *config;
    int64_t *epoch; /* of each of the model's parameters */
} unfreezer;

static wk_status setup(wk_callback *self, wk_trainer *t) {
    unfreezer *u = (unfreezer *)self;
    wk_named_tensors all = wk_parameters(t->model);
    if (!(u->epoch = epochs_of(u->config, all))) return wk_error_code();
    for (int i = 0; i < all.count; i++)
        if (u->epoch[i] > 0) (void)wk_require_grad(all.tensor[i], false);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status train_epoch_start(wk_callback *self, wk_trainer *t) {
    const unfreezer *u = (const unfreezer *)self;
    const int64_t now = wk_trainer_epoch(t);
    wk_named_tensors all = wk_parameters(t->model);
    int freed = 0;
    for (int i = 0; i < all.count; i++) {
        if (u->epoch[i] < 0 || u->epoch[i] > now || wk_requires_grad(all.tensor[i])) continue;
        (void)wk_require_grad(all.tensor[i], true);
        freed++;
    }
    if (freed > 0)
        wk_trainer_say(t, "unfreeze_at: epoch %lld: %d more parameters learn from here on", (long long)now + 1, freed);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static void destroy(wk_callback *self) {
    wk_free(((unfreezer *)self)->epoch);
}

static const wk_callback_class class_ = { .name = "unfreeze_at",
                                          .size = sizeof(unfreezer),
                                          .setup = setup,
                                          .train_epoch_start = train_epoch_start,
                                          .destroy = destroy,
                                          .never_stops = true };

wk_callback *wk__unfreezer_create(const wk__run_config *config) {
    if (!schedule_of(config)) return NULL;
    unfreezer *u = (unfreezer *)wk_callback_create(&class_);
    if (u) u->config = config;
    return (wk_callback *)u;
}
