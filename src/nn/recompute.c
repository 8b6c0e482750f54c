/* recompute.c: modules that backward runs again instead of keeping what lies inside of them.
 *
 * A module's call becomes the function of a checkpoint (wk_checkpoint).  Which module, and the names of its slots, lie
 * in the step arena until backward has come by.
 */
#include "nn/hooks.h"
#include "nn/nn.h"
#include "tensor/tensor.h"

typedef struct call {
    wk_module *module;
    bool by_slots, has_run;
    wk_args in;
    const char *result; /* the name of the only one */
} call;

static _Thread_local int running_again;

bool wk__is_run_again(void) {
    return running_again > 0;
}

static wk_status run(void *user, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    call *c = user;
    wk_context *context = wk__context();
    const char *outer = context->layer;
    wk_args given = c->in, made = { 0 };
    const bool again = c->has_run;
    (void)n_out;
    for (int i = 0; i < n_in; i++) given.slot[i].tensor = in[i];
    context->layer = *c->module->path ? c->module->path : NULL;
    running_again += again;
    wk_status status = wk__forward_any(c->module, c->by_slots, &given, &made);
    running_again -= again;
    context->layer = outer;
    c->has_run = true;
    if (status == WK_OK && made.count != 1)
        return wk_fail(WK_INVALID, "module \"%s\" (%s) gives %d results: only one can be computed again",
                       c->module->path, c->module->class_->name, made.count);
    out[0] = made.slot[0].tensor;
    c->result = made.slot[0].name;
    return status;
}

wk_status wk__forward_recomputed(wk_context *context, wk_module *module, bool by_slots, const wk_args *in,
                                 wk_args *out) {
    call *c = wk__arena_take(&context->arena, sizeof *c);
    if (!c) return WK_NO_MEMORY;
    *c = (call){ .module = module, .by_slots = by_slots, .in = *in };
    wk_tensor *given[WK_MAX_SLOTS], *made = NULL;
    for (int i = 0; i < in->count; i++) given[i] = in->slot[i].tensor;
    WK_TRY(wk_checkpoint(run, c, given, in->count, &made, 1));
    *out = (wk_args){ .count = 1, .slot = { { c->result, made } } };
    return WK_OK;
}

int wk_module_recompute(wk_module *module, bool on) {
    if (!module) return 0;
    if (module->class_->is_block) {
        module->recompute = on;
        return 1;
    }
    int blocks = 0, children = wk_module_count(module);
    for (int i = 0; i < children; i++) blocks += wk_module_recompute(wk_module_child(module, i), on);
    return blocks;
}
