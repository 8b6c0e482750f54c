/* hooks.c: functions that see what goes into modules, what comes out, and the gradients of both.
 *
 * For gradients a module's inputs and results each pass through a node of their own that changes nothing: its rule sees
 * all of them at once, and only what this use of the module contributes.
 */
#define WK_NO_CALL_SITES
#include "nn/hooks.h"
#include "tensor/tensor.h"

/* One run of a module with backward hooks, in the step arena. */
typedef struct passage {
    wk_module *module;
    wk_tensor *result[WK_MAX_SLOTS]; /* gradients of the results, once they have come */
    int n_in, n_out;
    bool input_wants; /* else the hooks run when the results' gradients have come */
} passage;

typedef struct border_attrs {
    passage *passage;
} border_attrs;

/* ---- backward ---- */

static wk_status run_backward_hooks(const passage *p, wk_args *in) {
    wk_args out = { .count = p->n_out };
    for (int i = 0; i < p->n_out; i++)
        if (p->result[i] && p->result[i]->life == WK__ALIVE) out.slot[i].tensor = p->result[i];
    for (wk__module_hook *hook = *wk__module_hooks(p->module), *next; hook; hook = next) {
        next = hook->next;
        if (hook->backward) WK_TRY(hook->backward(hook->context, p->module, in, &out));
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status entry_grad(wk_grad *g) {
    const passage *p = ((const border_attrs *)g->attrs)->passage;
    wk_args in = { .count = p->n_in };
    for (int i = 0; i < p->n_in; i++) in.slot[i].tensor = g->dout[i];
    WK_TRY(run_backward_hooks(p, &in));
    for (int i = 0; i < p->n_in; i++) g->din[i] = in.slot[i].tensor;
    return WK_OK;
}

static wk_status exit_grad(wk_grad *g) {
    passage *p = ((const border_attrs *)g->attrs)->passage;
    wk_context *context = wk__context();
    wk__scope *inner = context->scope;
    for (int i = 0; i < p->n_out; i++) {
        g->din[i] = g->dout[i];
        context->scope = inner->outer; /* until the walk ends */
        p->result[i] = g->dout[i] ? wk__header_copy(context, g->dout[i]) : NULL;
        context->scope = inner;
        if (g->dout[i] && !p->result[i]) return wk_error_code();
    }
    wk_args none = { .count = p->n_in };
    return p->input_wants ? WK_OK : run_backward_hooks(p, &none);
}

static const wk_op_def entry_row = { .name = "module_entry",
                                     .doc = "the inputs of a module with backward hooks",
                                     .n_in = WK_LIST,
                                     .attrs_size = sizeof(border_attrs),
                                     .grad = entry_grad };
static const wk_op_def exit_row = { .name = "module_exit",
                                    .doc = "the results of a module with backward hooks",
                                    .n_in = WK_LIST,
                                    .attrs_size = sizeof(border_attrs),
                                    .grad = exit_grad };

/* ---- forward ---- */

/* Let the tensors pass through a node; those that want no gradient go on as they are. */
static wk_status pass_border(const wk_op_def *row, passage *p, wk_args *args) {
    wk_context *context = wk__context();
    wk_tensor *in[WK_MAX_SLOTS], *out[WK_MAX_SLOTS];
    const border_attrs attrs = { p };
    for (int i = 0; i < args->count; i++) {
        in[i] = args->slot[i].tensor;
        if (!in[i]) return wk_fail(WK_INVALID, "module \"%s\": tensor %d is NULL", p->module->path, i);
        out[i] = wk__header_copy(context, in[i]);
        if (!out[i]) return wk_error_code();
        out[i]->node = NULL;
        out[i]->leaf = NULL;
    }
    const wk_call call = {
        .op = row, .in = in, .out = out, .attrs = &attrs, .n_in = args->count, .n_out = args->count
    };
    WK_TRY(wk__tape_record(context, &call));
    for (int i = 0; i < args->count; i++)
        if (wk__wants_grad(in[i])) args->slot[i].tensor = out[i];
    return WK_OK;
}

static bool any_wants(const wk_args *args) {
    for (int i = 0; i < args->count; i++)
        if (args->slot[i].tensor && wk__wants_grad(args->slot[i].tensor)) return true;
    return false;
}

wk_status wk__forward_hooked(wk_module *module, bool by_slots, const wk_args *given, wk_args *out) {
    wk_context *context = wk__context();
    wk_args in = *given;
    bool backward = false;
    for (wk__module_hook *hook = *wk__module_hooks(module), *next; hook; hook = next) {
        next = hook->next;
        backward = backward || hook->backward;
        if (hook->before) WK_TRY(hook->before(hook->context, module, &in));
    }
    passage *p = NULL;
    if (backward && !(context->mode & WK__MODE_NO_GRAD)) {
        p = wk__arena_take(&context->arena, sizeof *p);
        if (!p) return WK_NO_MEMORY;
        *p = (passage){ .module = module, .n_in = in.count, .input_wants = any_wants(&in) };
        if (p->input_wants) WK_TRY(pass_border(&entry_row, p, &in));
    }
    WK_TRY(wk__forward_plain(module, by_slots, &in, out));
    for (wk__module_hook *hook = *wk__module_hooks(module), *next; hook; hook = next) {
        next = hook->next;
        if (hook->after) WK_TRY(hook->after(hook->context, module, &in, out));
    }
    if (!p || !any_wants(out)) return wk_failed() ? wk_error_code() : WK_OK;
    p->n_out = out->count;
    return pass_border(&exit_row, p, out);
}

/* ---- adding ---- */

static wk_hook add(wk_module *module, wk__module_hook hook) {
    if (!module) {
        (void)wk_fail(WK_INVALID, "a hook for a module that is NULL");
        return 0;
    }
    wk__module_hook *own = wk_alloc(sizeof *own);
    if (!own) return 0;
    static wk_hook ids;
    hook.id = __atomic_add_fetch(&ids, 1, __ATOMIC_RELAXED);
    *own = hook;
    wk__module_hook **link = wk__module_hooks(module);
    while (*link) link = &(*link)->next;
    *link = own;
    return own->id;
}

wk_hook wk_on_forward_pre(wk_module *module, wk_forward_pre_hook hook, void *context) {
    return add(module, (wk__module_hook){ .before = hook, .context = context });
}

wk_hook wk_on_forward(wk_module *module, wk_forward_hook hook, void *context) {
    return add(module, (wk__module_hook){ .after = hook, .context = context });
}

wk_hook wk_on_backward(wk_module *module, wk_backward_hook hook, void *context) {
    return add(module, (wk__module_hook){ .backward = hook, .context = context });
}

void wk_module_unhook(wk_module *module, wk_hook id) {
    for (wk__module_hook **link = module ? wk__module_hooks(module) : NULL; link && *link; link = &(*link)->next)
        if ((*link)->id == id) {
            wk__module_hook *gone = *link;
            *link = gone->next;
            wk_free(gone);
            return;
        }
}

void wk__module_hooks_free(wk__module_hook *hooks) {
    for (wk__module_hook *hook = hooks, *next; hook; hook = next) {
        next = hook->next;
        wk_free(hook);
    }
}
