/* parametrise.h: what module.c asks of parametrise.c. */
#ifndef WICK_SRC_NN_PARAMETRISE_H
#define WICK_SRC_NN_PARAMETRISE_H

#include "wick/nn.h"

typedef struct wk__parametrised wk__parametrised;

/* The module's list. */
wk__parametrised **wk__module_parametrised(wk_module *module);
/* Put computed parameters where the module's forward looks for them, and take them away again. */
wk_status wk__parametrised_begin(wk_module *module);
void wk__parametrised_end(wk_module *module);
void wk__parametrised_free(wk__parametrised *list);
/* A parameter leaves the module: its reference is the caller's.  NULL with an error pending. */
wk_tensor *wk__module_take(wk_module *module, const char *name);

#endif
