/* hooks.h: what module.c asks of hooks.c. */
#ifndef WICK_SRC_NN_HOOKS_H
#define WICK_SRC_NN_HOOKS_H

#include "wick/nn.h"

typedef struct wk__module_hook {
    struct wk__module_hook *next;
    wk_hook id;
    wk_forward_pre_hook before; /* one of the three */
    wk_forward_hook after;
    wk_backward_hook backward;
    void *context;
} wk__module_hook;

/* The module's list. */
wk__module_hook **wk__module_hooks(wk_module *module);
/* Forward without hooks, in the current scope; by_slots: forward_args where the class has both. */
wk_status wk__forward_plain(wk_module *module, bool by_slots, const wk_args *in, wk_args *out);
/* Forward with hooks, if there are any. */
wk_status wk__forward_any(wk_module *module, bool by_slots, const wk_args *in, wk_args *out);
/* The same as a checkpoint (recompute.c). */
wk_status wk__forward_recomputed(wk_context *context, wk_module *module, bool by_slots, const wk_args *in,
                                 wk_args *out);
/* Forward with them. */
wk_status wk__forward_hooked(wk_module *module, bool by_slots, const wk_args *in, wk_args *out);
void wk__module_hooks_free(wk__module_hook *hooks);

#endif
