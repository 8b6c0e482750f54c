/* support.h: what constructors of modules share. */
#ifndef WICK_SRC_NN_SUPPORT_H
#define WICK_SRC_NN_SUPPORT_H

#include "tensor/tensor.h"
#include "wick/nn.h"

/* The module; NULL, and nothing left of it, where an error is pending. */
static inline wk_module *wk__finished(wk_module *module) {
    if (!wk_failed()) return module;
    wk_module_destroy(module);
    return NULL;
}

/* A module with children under the names, "0", "1", … where names is NULL; takes all of them over, also when it fails.
 */
wk_module *wk__module_of(const wk_module_class *class_, const char *const *names, wk_module *const *children,
                         int count);

/* For a class's `freeze`: Linear layers that are always given the same x become parts of one weight (rows of all, K)
 * and bias, which the caller owns; both stay NULL where that cannot be.  layers.c */
wk_status wk__linear_join(wk_module *const *layers, int count, const wk_freeze_opts *opts, wk_tensor **weight,
                          wk_tensor **bias);

/* For functions that run the parts of a root by themselves: mixed precision as its own forward has it, where it is
 * frozen so; to be ended with wk_autocast_end.  freeze.c */
wk_autocast wk__frozen_autocast_begin(const wk_module *root);

static inline bool wk__positive(const char *who, const char *what, int64_t value) {
    if (value > 0) return true;
    (void)wk_fail(WK_INVALID, "%s: %s is %lld, expected at least 1", who, what, (long long)value);
    return false;
}

static inline wk_tensor *wk__ones(wk_dims dims) {
    wk_tensor *t = wk_kept_zeros(WK_F32, dims);
    return t ? wk_init_constant(t, 1) : NULL;
}

static inline wk_tensor *wk__uniform(wk_dims dims, double bound) {
    wk_tensor *t = wk_kept_zeros(WK_F32, dims);
    return t ? wk_init_uniform(t, -bound, bound) : NULL;
}

static inline wk_tensor *wk__bad_input(const wk_module *m, const wk_tensor *x, const char *expected) {
    char text[160];
    return wk_fail_null(WK_SHAPE, "%s (layer \"%s\"): x %s, expected %s", m->class_->name, m->path,
                        wk_describe(x, text, sizeof text), expected);
}

#endif
