/* freeze.h: what the files of nn share about frozen modules. */
#ifndef WICK_SRC_NN_FREEZE_H
#define WICK_SRC_NN_FREEZE_H

#include "wick/nn.h"

/* ---- freeze.c ---- */

/* What the root of a frozen tree knows. */
typedef struct wk__frozen wk__frozen;
void wk__frozen_free(wk__frozen *frozen);
/* The root's forward. */
wk_status wk__forward_frozen(wk_context *context, wk_module *module, bool by_slots, const wk_args *in, wk_args *out);
/* False with WK_STATE pending: it is frozen. */
bool wk__may_train(const wk_module *module, const char *who);

/* weight · scale (C), along the weight's axis `channels`, and bias · scale + shift in the place of both.  All or
 * nothing; WK_UNSUPPORTED without an error: they do not fit. */
wk_status wk__fold(wk_module *module, wk_tensor **weight, wk_tensor **bias, int channels, wk_tensor *scale,
                   wk_tensor *shift);
/* A class's parameters "weight" and "bias", where they are there. */
wk_status wk__freeze_weights(wk_module *module, wk_tensor **weight, wk_tensor **bias, const wk_freeze_opts *opts);

/* ---- module.c ---- */

wk__frozen **wk__module_frozen(wk_module *module);
/* wk_forward_args as it is without freezing. */
wk_status wk__forward_scoped(wk_context *context, wk_module *module, bool by_slots, const wk_args *in, wk_args *out);
/* A parameter or buffer of the module itself; NULL without an error: it has none of this name. */
wk_tensor *wk__module_member(wk_module *module, const char *name);
/* A tensor in the place of the member, which is released, or a new one; takes it over unless it fails. */
wk_status wk__module_put(wk_module *module, const char *name, wk_tensor *kept);
/* Without parameters and buffers from now on. */
void wk__module_strip(wk_module *module);

/* ---- layers.c ---- */

/* What a batch normalisation does in evaluation mode: y = x · scale + shift, (C) each; false: it is none, or goes by
 * the statistics of each batch; or an error is pending. */
bool wk__batch_norm_affine(wk_module *module, wk_tensor **scale, wk_tensor **shift);
/* It gives what it is given from now on. */
void wk__batch_norm_folded(wk_module *module);

/* ---- sequential.c ---- */

/* Whether forward gives what it is given, and nobody looks. */
bool wk__passes(wk_module *module);

#endif
