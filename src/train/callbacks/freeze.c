/* freeze.c: parts of the model that do not learn for some epochs: fine-tuning's FreezeUnfreeze.
 *
 *   { name: FreezeUnfreeze, args: { modules: [features, classifier.0], unfreeze_at_epoch: 2 } }
 *
 * A frozen module's parameters get no gradient, and its normalisations stay in evaluation mode unless train_bn.
 * Weights without a gradient are left alone by every optimizer, so unfreezing needs no new group.  With
 * initial_denom_lr they are one from the beginning: its rate begins at the others' divided by this and is multiplied
 * each epoch until it is theirs, as Lightning's BackboneFinetuning has it.
 */
#include "train/callbacks/callbacks.h"

#include <float.h>
#include <math.h>
#include <string.h>

const wk_arg wk__freeze_args[] = {
    { "modules", WK_ARG_LIST, NULL, "paths of modules, as features.0" },
    { "unfreeze_at_epoch", WK_ARG_INT, "-1", "from 0 on; -1: never" },
    { "train_bn", WK_ARG_BOOL, "false", "frozen normalisations keep gathering statistics" },
    { "initial_denom_lr", WK_ARG_NUMBER, "1", "what the rate is divided by in the first epoch that they learn" },
    { "lr_multiplier", WK_ARG_NUMBER, "2", "and multiplied by from there on, epoch by epoch" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

enum { MOST = 64 };
typedef struct freezer {
    wk_callback base;
    const char *path[MOST];
    int count;
    int64_t until;
    bool train_bn, frozen, is_warmed;
    double denominator, multiplier;
} freezer;

static wk_status set(freezer *f, wk_trainer *t, bool frozen) {
    for (int i = 0; i < f->count; i++) {
        wk_module *module = wk_module_find(wk_trainer_model(t), f->path[i]);
        if (!module) return wk_error_code();
        wk_module_require_grad(module, !frozen);
    }
    f->frozen = frozen;
    return wk_failed() ? wk_error_code() : WK_OK;
}

static bool is_frozen_at(const freezer *f, int64_t epoch) {
    return f->until < 0 || epoch < f->until;
}

/* Validation has put the whole model back into training mode. */
static wk_status hold_modes(const freezer *f, wk_trainer *t) {
    for (int i = 0; i < f->count && f->frozen && !f->train_bn; i++) {
        wk_module *module = wk_module_find(wk_trainer_model(t), f->path[i]);
        if (!module) return wk_error_code();
        wk_module_train(module, false);
    }
    return WK_OK;
}

static wk_status setup(wk_callback *self, wk_trainer *t) {
    return set((freezer *)self, t, true); /* a path that is not there is told before anything runs */
}
/* The rate that they may have by now; it is counted from the epoch, so a resumed run has it too. */
static void warm(const freezer *f, wk_trainer *t, int64_t epoch) {
    int number = 0;
    for (int i = 0; i < t->callbacks; i++) {
        number += t->callback[i]->class_ == f->base.class_;
        if (t->callback[i] == &f->base) break;
    }
    wk__rates_warm(t, number, fmin(1, pow(f->multiplier, (double)(epoch - f->until)) / f->denominator));
}

static wk_status train_epoch_start(wk_callback *self, wk_trainer *t) {
    freezer *f = (freezer *)self;
    bool frozen = is_frozen_at(f, wk_trainer_epoch(t));
    if (frozen != f->frozen) {
        WK_TRY(set(f, t, frozen));
        wk_trainer_say(t, "FreezeUnfreeze: epoch %lld: %d modules learn from here on",
                       (long long)wk_trainer_epoch(t) + 1, f->count);
        for (int i = 0; i < f->count; i++) {
            wk_module *module = wk_module_find(wk_trainer_model(t), f->path[i]);
            if (module) wk_module_train(module, true);
        }
    }
    if (f->is_warmed && !frozen) warm(f, t, wk_trainer_epoch(t));
    return hold_modes(f, t);
}
static wk_status validation_end(wk_callback *self, wk_trainer *t) {
    return hold_modes((const freezer *)self, t);
}

static const wk_callback_class class_ = { .name = "FreezeUnfreeze",
                                          .size = sizeof(freezer),
                                          .setup = setup,
                                          .train_epoch_start = train_epoch_start,
                                          .validation_end = validation_end,
                                          .never_stops = true };

wk_callback *wk__freeze_build(const wk_config *args) {
    freezer *f = (freezer *)wk_callback_create(&class_);
    if (!f) return NULL;
    f->count = wk_config_strings(args, "modules", f->path, MOST);
    f->until = wk_config_int(args, "unfreeze_at_epoch", -1, INT32_MAX, -1);
    f->train_bn = wk_config_bool(args, "train_bn", false);
    f->is_warmed = wk_config_has(args, "initial_denom_lr");
    f->denominator = wk_config_double(args, "initial_denom_lr", 1, DBL_MAX, 1);
    f->multiplier = wk_config_double(args, "lr_multiplier", 1, DBL_MAX, 2);
    if (f->is_warmed && f->until < 0 && !wk_failed())
        (void)wk_config_fail(args, "initial_denom_lr", "initial_denom_lr needs unfreeze_at_epoch: these never learn");
    if (f->count == 0 && !wk_failed())
        (void)wk_config_fail(args, "modules", "modules is empty: expected paths of modules");
    return &f->base;
}
