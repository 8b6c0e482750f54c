/* layers.c: which layer made the first number that is not finite.
 *
 * Asked only when a loss has failed, so it may cost: the step's forward runs once more, without gradients, with a hook
 * on every module.
 */
#include "train/run.h"

#include "base/base.h"

#include <math.h>

typedef struct search {
    wk_trainer *trainer;
    char *words;
    size_t size;
    struct {
        wk_module *module;
        wk_hook hook;
    } hooked[1024];
    int count;
    bool found;
} search;

static bool is_finite(wk_tensor *t) {
    if (!t || !wk_dtype_is_float(wk_dtype_get(t))) return true;
    wk_scope scope = wk_scope_begin();
    wk_tensor *all = wk_all(wk_isfinite(t), (wk_reduce_opts){ 0 });
    bool finite = !all || wk_item(all) != 0;
    wk_scope_end(scope);
    return finite;
}

static wk_status look(void *context, wk_module *module, const wk_args *in, wk_args *out) {
    search *s = context;
    (void)in;
    for (int i = 0; i < out->count && !s->found; i++) {
        if (is_finite(out->slot[i].tensor)) continue;
        s->found = true;
        (void)snprintf(s->words, s->size, "the first layer whose result is not finite is \"%s\" (%s)",
                       *module->path ? module->path : "the model itself", module->class_->name);
    }
    return WK_OK;
}

static void hook_one(void *context, wk_module *module) {
    search *s = context;
    if (s->count == (int)WK_COUNT(s->hooked)) return;
    s->hooked[s->count].module = module;
    s->hooked[s->count++].hook = wk_on_forward(module, look, s);
}

static bool blame_parameter(search *s) {
    wk_named_tensors all = wk_parameters(s->trainer->model);
    for (int i = 0; i < all.count; i++)
        if (!is_finite(all.tensor[i])) {
            (void)snprintf(s->words, s->size, "parameter \"%s\" is not finite", all.name[i]);
            return true;
        }
    return false;
}

void wk__blame_layer(wk_trainer *t, const wk_batch *batch, char *words, size_t size) {
    *words = '\0';
    search *s = wk_alloc(sizeof *s);
    wk_generator *kept = s ? wk_alloc(sizeof *kept) : NULL;
    if (!kept) {
        wk_free(s);
        wk_clear_error();
        return;
    }
    *s = (search){ .trainer = t, .words = words, .size = size };
    *kept = *wk_default_generator(); /* the masks of the next step are not to depend on this */
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    bool blamed = blame_parameter(s);
    if (!blamed && !t->wrapper->class_->steps_itself) {
        wk_module_apply(t->model, hook_one, s);
        (void)t->wrapper->class_->training_step(t->wrapper, t, batch);
        for (int i = 0; i < s->count; i++) wk_module_unhook(s->hooked[i].module, s->hooked[i].hook);
    }
    wk_no_grad_end(was);
    wk_scope_end(scope);
    wk_clear_error(); /* the search itself reports nothing */
    *wk_default_generator() = *kept;
    wk_free(kept);
    wk_free(s);
}
