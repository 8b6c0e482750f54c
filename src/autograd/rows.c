/* rows.c: gradients of tables as rows: what an embedding with `sparse` leaves in its leaf.
 *
 * Contributions are put one behind the other and only added up when somebody asks.  Whoever asks for the gradient as a
 * tensor, or adds one, makes a whole table of them first; so every optimizer works, and those that know rows save.
 */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"
#include "tensor/registry.h"
#include "wick/ops.h"

/* Hooks, and those who wait for a gradient to be complete, see whole tables. */
bool wk__leaf_takes_rows(const wk_tensor *in) {
    return !in->node && in->leaf && !in->leaf->hooks && !in->leaf->ready;
}

void wk__leaf_drop_rows(struct wk_leaf *leaf) {
    wk_release(leaf->row_index);
    wk_release(leaf->row_values);
    leaf->row_index = leaf->row_values = NULL;
}

static wk_tensor *kept_behind(wk_tensor *before, wk_tensor *more) {
    return wk_keep(wk_concat(before ? (wk_tensor *[]){ before, more } : &more, before ? 2 : 1, 0));
}

wk_status wk__leaf_add_rows(wk_tensor *leaf, wk_tensor *index, wk_tensor *values) {
    struct wk_leaf *state = leaf->leaf;
    if (!state->empty) {
        wk_tensor *whole = wk__rows_added(values, index, 0, wk__dims(leaf));
        return whole ? wk__leaf_accumulate(leaf, whole) : wk_error_code();
    }
    wk_tensor *all = kept_behind(state->row_index, index), *all_values = kept_behind(state->row_values, values);
    if (!all || !all_values) {
        wk_release(all);
        wk_release(all_values);
        return wk_error_code();
    }
    wk__leaf_drop_rows(state);
    state->row_index = all;
    state->row_values = all_values;
    return WK_OK;
}

wk_status wk__leaf_rows_to_whole(wk_tensor *leaf) {
    struct wk_leaf *state = leaf->leaf;
    if (!state->row_index) return WK_OK;
    wk_context *context = wk__context();
    if (!context) return WK_NO_MEMORY;
    const uint32_t kept = context->mode & WK__MODE_NO_GRAD;
    context->mode |= WK__MODE_NO_GRAD;
    wk_scope scope = wk_scope_begin();
    wk_tensor *index = state->row_index, *values = state->row_values;
    wk_tensor *whole = wk__rows_added(values, index, 0, wk__dims(leaf));
    state->row_index = state->row_values = NULL;
    wk_status status = whole ? wk__leaf_accumulate(leaf, whole) : wk_error_code();
    if (status == WK_OK) {
        wk_release(index);
        wk_release(values);
    } else {
        state->row_index = index;
        state->row_values = values;
    }
    wk_scope_end(scope);
    context->mode = (context->mode & ~(uint32_t)WK__MODE_NO_GRAD) | kept; /* a replay may have ended inside */
    return status;
}

bool wk__has_gradient(const wk_tensor *tensor) {
    return tensor->leaf && (!tensor->leaf->empty || tensor->leaf->row_index);
}

wk_status wk_gradient_rows(const wk_tensor *leaf, wk_tensor **rows, wk_tensor **values) {
    *rows = *values = NULL;
    if (wk_failed()) return WK_PENDING;
    if (!leaf || !leaf->leaf || !leaf->leaf->row_index) return WK_OK;
    wk_tensor *place;
    *rows = wk_unique(leaf->leaf->row_index, &place, NULL);
    wk_dims dims = wk__dims(leaf);
    if (*rows) dims.size[0] = (*rows)->count;
    *values = *rows ? wk__rows_added(leaf->leaf->row_values, place, 0, dims) : NULL;
    return *values ? WK_OK : wk_error_code();
}
