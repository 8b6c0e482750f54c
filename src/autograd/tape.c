/* tape.c: noting calls, and leaves.
 *
 * A node is one block of the step arena: the operands' headers, what is saved of them, the attributes.  It holds
 * references to storages only where the row says that backward needs the values.
 */
#include "autograd/tape.h"

#include <string.h>

static bool is_saved(uint8_t mask, bool list, int i) {
    return list ? mask != 0 : (mask >> i & 1) != 0;
}

static void save(wk__saved *saved, const wk_tensor *tensor) {
    saved->storage = wk__storage_hold(tensor->storage);
    saved->data = tensor->data;
    saved->version = tensor->storage->version;
}

wk_status wk__tape_record(wk_context *context, const wk_call *call) {
    const wk_op_def *op = call->op;
    int n_in = call->n_in, n_out = call->n_out;
    size_t pointers = (size_t)(n_in + 2 * n_out) * sizeof(wk_tensor *);
    size_t saves = (size_t)(n_in + n_out) * sizeof(wk__saved);
    char *block = wk__arena_take(&context->arena, sizeof(struct wk_node) + saves + pointers + op->attrs_size + 16);
    if (!block) return WK_NO_MEMORY;
    struct wk_node *node = (struct wk_node *)(void *)block;
    *node = (struct wk_node){ .previous = context->tape,
                              .op = op,
                              .call_site = context->call_site,
                              .n_in = n_in,
                              .n_out = n_out,
                              .number = context->tape_length + 1 };
    node->saved = (wk__saved *)(void *)(block + sizeof *node);
    node->in = (wk_tensor **)(void *)(block + sizeof *node + saves);
    node->out = node->in + n_in;
    node->dout = node->out + n_out;
    if (op->attrs_size) {
        uintptr_t end = (uintptr_t)(node->dout + n_out);
        void *attrs = block + (((end + 15) & ~(uintptr_t)15) - (uintptr_t)block);
        node->attrs = memcpy(attrs, call->attrs, op->attrs_size);
    }
    if (WK_UNLIKELY(context->mode & (WK__MODE_OBSERVED | WK__MODE_ANOMALY)) && context->layer) {
        size_t size = strlen(context->layer) + 1;
        char *layer = wk__arena_take(&context->arena, size); /* the module may be gone when backward runs */
        if (!layer) return WK_NO_MEMORY;
        node->layer = memcpy(layer, context->layer, size);
    }
    bool list = op->n_in == WK_LIST;
    for (int i = 0; i < n_in; i++) {
        wk_tensor *in = call->in[i];
        node->in[i] = in;
        node->saved[i].storage = NULL;
        if (!in) continue;
        if (in->flags & WK_TENSOR_KEPT) (void)wk_keep(in);
        if (is_saved(op->saves_in, list, i)) save(&node->saved[i], in);
    }
    for (int i = 0; i < n_out; i++) {
        wk_tensor *out = call->out[i];
        node->out[i] = out;
        node->dout[i] = NULL;
        node->saved[n_in + i].storage = NULL;
        if (is_saved(op->saves_out, false, i)) save(&node->saved[n_in + i], out);
        if ((op->internal_out >> i & 1) || !wk_dtype_is_float((wk_dtype)out->dtype)) continue;
        out->node = node;
        out->output = (uint16_t)i;
        out->flags |= WK_TENSOR_REQUIRES_GRAD;
    }
    context->tape = node;
    context->tape_length++;
    return WK_OK;
}

void wk__node_release(struct wk_node *node) {
    if (node->consumed) return;
    node->consumed = true;
    for (int i = 0; i < node->n_in + node->n_out; i++) {
        wk__storage_drop(node->saved[i].storage);
        node->saved[i].storage = NULL;
    }
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] && (node->in[i]->flags & WK_TENSOR_KEPT)) {
            wk_tensor *kept = node->in[i];
            node->in[i] = NULL;
            wk_release(kept);
        }
}

void wk__tape_cut(wk_context *context, struct wk_node *last) {
    for (struct wk_node *node = context->tape; node != last; node = node->previous) wk__node_release(node);
    context->tape = last;
    context->tape_length = last ? last->number : 0;
}

void wk__tape_clear(wk_context *context) {
    wk__tape_cut(context, NULL);
}

/* ---- leaves ---- */

void wk__leaf_destroy(struct wk_leaf *leaf) {
    wk_release(leaf->gradient);
    wk__leaf_drop_rows(leaf);
    wk__leaf_drop_half(leaf);
    wk__leaf_hooks_free(leaf);
    wk_free(leaf);
}

wk_tensor *wk_require_grad(wk_tensor *tensor, bool wants) {
    if (!tensor) return NULL;
    if (!(tensor->flags & WK_TENSOR_KEPT))
        return wk_fail_null(WK_INVALID, "wk_require_grad: only a kept tensor can be a leaf; use wk_keep first");
    if (!wk_dtype_is_float((wk_dtype)tensor->dtype))
        return wk_fail_null(WK_DTYPE, "wk_require_grad: %s has no gradients", wk_dtype_name((wk_dtype)tensor->dtype));
    if (!wants) {
        tensor->flags &= (uint8_t)~WK_TENSOR_REQUIRES_GRAD;
        return tensor;
    }
    if (!tensor->leaf) {
        tensor->leaf = wk_alloc(sizeof *tensor->leaf);
        if (!tensor->leaf) return NULL;
        tensor->leaf->empty = true;
    }
    tensor->flags |= WK_TENSOR_REQUIRES_GRAD;
    return tensor;
}

bool wk_requires_grad(const wk_tensor *tensor) {
    return tensor && wk__wants_grad(tensor);
}

void wk_clear_grad(wk_tensor *leaf) {
    if (!leaf || !leaf->leaf) return;
    leaf->leaf->empty = true;
    wk__leaf_drop_rows(leaf->leaf);
}

void wk__leaf_place_gradient(wk_tensor *leaf, wk_tensor *gradient) {
    wk_release(leaf->leaf->gradient);
    wk__leaf_drop_rows(leaf->leaf);
    leaf->leaf->gradient = gradient;
    leaf->leaf->empty = true;
}

wk_tensor *wk__leaf_gradient_for_writing(wk_tensor *leaf) {
    struct wk_leaf *state = leaf->leaf;
    if (!state->gradient) state->gradient = wk__kept_zeros_on(leaf->device, (wk_dtype)leaf->dtype, wk__dims(leaf));
    return state->gradient;
}

/* Threads that share a model may be here at the same time: one of them makes the memory, and one gets it. */
wk_tensor *wk__leaf_room(wk_tensor *tensor) {
    struct wk_leaf *state = tensor->leaf;
    if (tensor->node || !state || !state->empty || state->hooks || state->row_index) return NULL;
    if (!__atomic_load_n(&state->gradient, __ATOMIC_ACQUIRE)) {
        wk_tensor *made = wk__kept_zeros_on(tensor->device, (wk_dtype)tensor->dtype, wk__dims(tensor)), *none = NULL;
        if (!made) return NULL;
        bool first =
            __atomic_compare_exchange_n(&state->gradient, &none, made, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
        if (!first) wk_release(made);
    }
    unsigned alone = 1;
    bool own = atomic_compare_exchange_strong(&state->gradient->storage->references, &alone, 2);
    return own ? state->gradient : NULL;
}

/* ---- modes ---- */

bool wk_no_grad_begin(void) {
    wk_context *context = wk__context();
    if (!context) return false;
    bool was = (context->mode & WK__MODE_NO_GRAD) != 0;
    context->mode |= WK__MODE_NO_GRAD;
    return was;
}

void wk_no_grad_end(bool was) {
    wk_context *context = wk__context();
    if (context && !was) context->mode &= ~(uint32_t)WK__MODE_NO_GRAD;
}

bool wk_enable_grad_begin(void) {
    wk_context *context = wk__context();
    if (!context) return true;
    bool was = !(context->mode & WK__MODE_NO_GRAD);
    context->mode &= ~(uint32_t)WK__MODE_NO_GRAD;
    return was;
}

void wk_enable_grad_end(bool was) {
    wk_context *context = wk__context();
    if (context && !was) context->mode |= WK__MODE_NO_GRAD;
}

wk_tensor *wk_detach(wk_tensor *tensor) {
    wk_context *context = wk__context();
    if (!tensor || !context || context->pending->code != WK_OK) return NULL;
    if (tensor->life != WK__ALIVE) return wk_fail_null(WK_DEAD_TENSOR, "wk_detach: the tensor's scope has ended");
    wk_tensor *view = wk__header_copy(context, tensor);
    if (!view) return NULL;
    view->node = NULL;
    view->leaf = NULL;
    view->flags &= (uint8_t)~WK_TENSOR_REQUIRES_GRAD;
    return view;
}
