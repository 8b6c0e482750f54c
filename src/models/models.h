/* models.h: what the files of this folder share. */
#ifndef WICK_MODELS_SUPPORT_H
#define WICK_MODELS_SUPPORT_H

/* Messages name the line that called the model, not one of its own. */
#define WK_NO_CALL_SITES
#include "base/base.h"
#include "nn/support.h"
#include "wick/models.h"

#include <string.h>

/* An option whose zero means a default. */
static inline int64_t wk__or(int64_t given, int64_t otherwise) {
    return given ? given : otherwise;
}

/* A size that a model was given: large enough, and small enough that a few of them may be multiplied. */
static inline bool wk__size_fits(const char *who, const char *what, int64_t value, int64_t least) {
    if (value >= least && value <= 1 << 24) return true;
    if (!wk_failed())
        (void)wk_fail(WK_INVALID, "%s: %s is %lld, expected %lld to %d", who, what, (long long)value, (long long)least,
                      1 << 24);
    return false;
}

/* The sizes of a transformer, whose heads share its width. */
static inline bool wk__transformer_fits(const char *who, int64_t layers, int64_t heads, int64_t width) {
    if (!wk__size_fits(who, "layers", layers, 1) || !wk__size_fits(who, "heads", heads, 1)
        || !wk__size_fits(who, "width", width, 1))
        return false;
    if (layers > 1000) return wk_fail(WK_INVALID, "%s: %lld layers, at most 1000", who, (long long)layers), false;
    if (width % heads == 0) return true;
    (void)wk_fail(WK_INVALID, "%s: width %lld is no multiple of %lld heads", who, (long long)width, (long long)heads);
    return false;
}

/* Tensors beside the first input, by their names, or by their places where they have none; NULL where not given.  False
 * with an error pending: the first is missing, or a name is unknown. */
static inline bool wk__slots(const wk_module *module, const wk_args *in, const char *const *names, int count,
                             wk_tensor **found /* (count) */) {
    const char *who = module->class_->name;
    for (int i = 0; i < count; i++) found[i] = NULL;
    if (in->count < 1 || !in->slot[0].tensor)
        return wk_fail(WK_INVALID, "%s (layer \"%s\"): there is no input", who, module->path), false;
    for (int i = 1; i < in->count; i++) {
        const char *name = in->slot[i].name;
        int at = name ? 0 : i - 1;
        while (name && at < count && strcmp(names[at], name) != 0) at++;
        if (at < count) {
            found[at] = in->slot[i].tensor;
            continue;
        }
        const char *nearest = name ? wk__nearest(name, names, (size_t)count) : NULL;
        if (nearest)
            return wk_fail(WK_INVALID, "%s (layer \"%s\"): no input \"%s\"; did you mean \"%s\"?", who, module->path,
                           name, nearest),
                   false;
        return wk_fail(WK_INVALID, "%s (layer \"%s\"): no input \"%s\"", who, module->path,
                       name ? name : "of that many"),
               false;
    }
    return true;
}

/* A probability of dropping. */
static inline bool wk__probability_fits(const char *who, const char *what, double value) {
    if (value >= 0 && value < 1) return true;
    if (!wk_failed()) (void)wk_fail(WK_INVALID, "%s: %s is %g, expected 0 ≤ %s < 1", who, what, value, what);
    return false;
}

/* For loops over all modules that give each class its initial values: */
static inline bool wk__is(const wk_module *module, const char *name) {
    return strcmp(module->class_->name, name) == 0;
}
/* a parameter of a layer by its name; NULL, which wk_init_* pass by, if it has none. */
static inline wk_tensor *wk__own(wk_module *layer, const char *name) {
    wk_named_tensors all = wk_parameters(layer);
    for (int i = 0; i < all.count; i++)
        if (strcmp(all.name[i], name) == 0) return all.tensor[i];
    return NULL;
}

#endif
