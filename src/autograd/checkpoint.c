/* checkpoint.c: a part of the graph that backward makes again instead of keeping it.
 *
 * Forward notes the function's calls as always, reads from them which tensors outside its inputs it used (parameters,
 * mostly), and cuts them off the tape; one node stands for all.  So the first walk of a backward sees every leaf behind
 * it: counts of contributions, and with them DDP's order of sending, stay right.  The node's rule runs the function
 * again on stand-ins for the inputs, with the random state of the first time, and walks what that noted.  Chen et al.
 * 2016, "Training deep nets with sublinear memory cost".
 */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"
#include "wick/ops.h"

typedef struct checkpoint_attrs {
    wk_function function;
    void *context;
    const wk_generator *generator; /* as it was before the first run, in the step arena */
    int n_given;
} checkpoint_attrs;

static wk_status checkpoint_grad(wk_grad *g);
/* Not in the op table: it has no meaning without its function. */
static const wk_op_def checkpoint_row = { .name = "checkpoint",
                                          .doc = "a function that backward runs again",
                                          .n_in = WK_LIST,
                                          .saves_in = 1,
                                          .attrs_size = sizeof(checkpoint_attrs),
                                          .grad = checkpoint_grad };

/* ---- backward ---- */

static wk_status run_again(const wk_grad *g, bool create, wk_tensor **stand_in, wk_tensor **out) {
    const checkpoint_attrs *attrs = g->attrs;
    wk_context *context = wk__context();
    bool was = wk_enable_grad_begin();
    for (int i = 0; i < attrs->n_given; i++)
        stand_in[i] = g->in[i] ? wk__stand_in(g->in[i], wk__wants_grad(g->in[i]), create) : NULL;
    const wk_generator now = context->generator;
    context->generator = *attrs->generator;
    wk_status status =
        wk_failed() ? wk_error_code() : attrs->function(attrs->context, stand_in, attrs->n_given, out, g->call->n_out);
    context->generator = now;
    wk_enable_grad_end(was);
    return wk_failed() ? wk_error_code() : status;
}

static wk_status checkpoint_grad(wk_grad *g) {
    const checkpoint_attrs *attrs = g->attrs;
    wk_context *context = wk__context();
    bool create = !(context->mode & WK__MODE_NO_GRAD);
    struct wk_node *before = context->tape;
    wk_tensor *stand_in[WK_MAX_ARGUMENTS] = { NULL }, *out[WK_MAX_ARGUMENTS] = { NULL };
    int n_in = g->call->n_in;
    wk_tensor **wanted = wk__arena_take(&context->arena, (size_t)(n_in + 1) * sizeof *wanted);
    if (!wanted) return WK_NO_MEMORY;
    WK_TRY(run_again(g, create, stand_in, out));
    for (int i = 0; i < n_in; i++) wanted[i] = !g->needs[i] ? NULL : i < attrs->n_given ? stand_in[i] : g->in[i];
    wk_status status = wk__gradients(&(wk__request){ .outputs = out,
                                                     .seeds = g->dout,
                                                     .n_outputs = g->call->n_out,
                                                     .inputs = wanted,
                                                     .gradients = g->din,
                                                     .n_inputs = n_in,
                                                     .create = create,
                                                     .stop_at_inputs = true,
                                                     .in_parts = true });
    if (!create) wk__tape_cut(context, before);
    return status;
}

/* ---- forward ---- */

typedef struct operands {
    wk_tensor **tensor;
    int count, capacity;
} operands;

static bool add_operand(operands *all, wk_tensor *tensor) {
    if (all->count == all->capacity) {
        int capacity = all->capacity ? 2 * all->capacity : 32;
        wk_tensor **grown = wk_realloc(all->tensor, (size_t)capacity * sizeof *grown);
        if (!grown) return false;
        all->tensor = grown;
        all->capacity = capacity;
    }
    all->tensor[all->count++] = tensor;
    return true;
}

static bool is_among(const operands *all, int first, const wk_tensor *tensor) {
    for (int i = first; i < all->count; i++) {
        const wk_tensor *other = all->tensor[i];
        if (other == tensor || (tensor->node && other->node == tensor->node && other->output == tensor->output))
            return true;
    }
    return false;
}

/* What the calls noted after `before` used that wants a gradient and was there before them. */
static bool find_captured(const wk_context *context, const struct wk_node *before, operands *all) {
    int given = all->count;
    uint64_t first = before ? before->number + 1 : 1;
    for (const struct wk_node *node = context->tape; node != before; node = node->previous)
        for (int i = 0; i < node->n_in; i++) {
            wk_tensor *in = node->in[i];
            if (!in || !wk__wants_grad(in)) continue;
            bool is_outside = in->node ? in->node->number < first : in->leaf != NULL;
            if (is_outside && !is_among(all, given, in) && !add_operand(all, in)) return false;
        }
    return true;
}

/* Run the function in a scope of its own; its results belong to the scope around, in no graph. */
static wk_status run_first(const checkpoint_attrs *attrs, wk_tensor *const *in, wk_tensor **out, int n_out) {
    wk_context *context = wk__context();
    wk_tensor *made[WK_MAX_ARGUMENTS] = { NULL };
    wk_scope scope = wk_scope_begin();
    if (!scope.record) return wk_error_code();
    wk__scope *inner = context->scope;
    wk_status status = attrs->function(attrs->context, in, attrs->n_given, made, n_out);
    if (status == WK_OK && wk_failed()) status = wk_error_code();
    context->scope = inner->outer;
    for (int k = 0; k < n_out && status == WK_OK; k++) {
        out[k] = made[k] ? wk__header_copy(context, made[k]) : NULL;
        if (!made[k]) status = wk_fail(WK_INVALID, "wk_checkpoint: the function gave no result %d", k);
        if (!out[k]) {
            status = wk_error_code();
            break;
        }
        out[k]->node = NULL;
        out[k]->leaf = NULL;
        out[k]->flags &= (uint8_t)~WK_TENSOR_REQUIRES_GRAD;
    }
    context->scope = inner;
    wk_scope_end(scope);
    return status;
}

static wk_status note(wk_context *context, const checkpoint_attrs *attrs, const struct wk_node *before, operands *all,
                      wk_tensor **out, int n_out) {
    bool found = find_captured(context, before, all);
    wk__tape_cut(context, (struct wk_node *)(uintptr_t)before);
    if (!found) return WK_NO_MEMORY;
    bool wants = all->count > attrs->n_given;
    for (int i = 0; i < attrs->n_given; i++) wants = wants || (all->tensor[i] && wk__wants_grad(all->tensor[i]));
    if (!wants) return WK_OK;
    return wk__tape_record(
        context,
        &(wk_call){
            .op = &checkpoint_row, .in = all->tensor, .out = out, .attrs = attrs, .n_in = all->count, .n_out = n_out });
}

wk_status wk_checkpoint(wk_function function, void *user, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    wk_context *context = wk__context();
    if (!context) return WK_NO_MEMORY;
    for (int k = 0; k < n_out; k++) out[k] = NULL;
    if (wk_failed()) return WK_PENDING;
    if (context->mode & WK__MODE_STEP) wk__step_needs_tape(context, "it calls wk_checkpoint");
    if (n_in < 0 || n_in > WK_MAX_ARGUMENTS || n_out < 1 || n_out > WK_MAX_ARGUMENTS)
        return wk_fail(WK_INVALID, "wk_checkpoint: %d inputs and %d results, at most %d of each", n_in, n_out,
                       WK_MAX_ARGUMENTS);
    wk_generator *generator = wk__arena_take(&context->arena, sizeof *generator);
    if (!generator) return WK_NO_MEMORY;
    *generator = context->generator;
    const checkpoint_attrs attrs = { function, user, generator, n_in };
    if (context->mode & WK__MODE_NO_GRAD) return run_first(&attrs, in, out, n_out);
    struct wk_node *before = context->tape;
    operands all = { 0 };
    wk_tensor *stand_in[WK_MAX_ARGUMENTS];
    wk_status status = WK_OK;
    for (int i = 0; i < n_in && status == WK_OK; i++) {
        stand_in[i] = in[i] ? wk__stand_in(in[i], wk__wants_grad(in[i]), false) : NULL;
        if ((in[i] && !stand_in[i]) || !add_operand(&all, in[i])) status = wk_error_code();
    }
    if (status == WK_OK) status = run_first(&attrs, stand_in, out, n_out);
    if (status == WK_OK)
        status = note(context, &attrs, before, &all, out, n_out);
    else
        wk__tape_cut(context, before);
    if (status != WK_OK)
        for (int k = 0; k < n_out; k++) out[k] = NULL;
    wk_free(all.tensor);
    return status;
}
