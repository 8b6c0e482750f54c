/* nn.h: what the floors beside nn need of modules and do not find in wick/nn.h. */
#ifndef WICK_SRC_NN_H
#define WICK_SRC_NN_H

#include "wick/nn.h"

/* Whether what runs now has run before and is computed again for backward: statistics have been updated then. */
bool wk__is_run_again(void);
/* Each module of the tree, the root first. */
void wk__module_visit(wk_module *module, void (*visit)(void *context, wk_module *module), void *context);
/* The momentum of a batch normalisation's running statistics, to change; NULL for other modules. */
wk_optional *wk__batch_norm_momentum(wk_module *module);
/* What normalises a batch in training in place of wk_batch_norm, with its arguments. */
typedef wk_tensor *(*wk__batch_norm_function)(void *context, wk_tensor *x, wk_tensor *weight, wk_tensor *bias,
                                              wk_tensor *mean, wk_tensor *variance, wk_batch_norm_opts opts);
/* NULL: wk_batch_norm again.  False for other modules. */
bool wk__batch_norm_replace(wk_module *module, wk__batch_norm_function function, void *context);
bool wk__batch_norm_is_replaced(wk_module *module);

#endif
