/* half.c: a leaf's values in a half type, as autocast wants them, kept by the optimizer.
 *
 * Under autocast each step would cast each weight, which the optimizer had at hand when it changed it.  So autocast
 * says what it misses, and the next step of an optimizer's row makes memory for that and writes it along with the
 * weight: from then on the cast is a view, until somebody else changes the weight.  A weight whose address was given
 * out (wk_data, DLPack, memory of the caller's) may be changed without a word: it is cast in each step.
 */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"
#include "tensor/tensor.h"

static bool is_exposed(const wk_tensor *leaf) {
    return atomic_load_explicit(&leaf->storage->exposed, memory_order_relaxed);
}

wk_tensor *wk__leaf_half(const wk_tensor *leaf, wk_dtype dtype) {
    const struct wk_leaf *state = leaf->leaf;
    bool is_good = state->half && !is_exposed(leaf) && state->half->dtype == dtype
                   && state->half->device == leaf->device && state->half_of == leaf->storage
                   && state->half_version == leaf->storage->version;
    return is_good ? state->half : NULL;
}

void wk__leaf_wish_half(const wk_tensor *leaf, wk_dtype dtype) {
    __atomic_store_n(&leaf->leaf->half_wish, (uint8_t)dtype, __ATOMIC_RELAXED); /* threads may share a model */
}

void wk__leaf_drop_half(struct wk_leaf *leaf) {
    wk_release(leaf->half);
    leaf->half = NULL;
}

wk_status wk__leaf_make_half(const wk_tensor *leaf) {
    struct wk_leaf *state = leaf->leaf;
    const wk_dtype wish = (wk_dtype)__atomic_load_n(&state->half_wish, __ATOMIC_RELAXED);
    if (wk__leaf_half(leaf, wish)) return WK_OK;
    const bool wanted = wish != WK_F32 && leaf->dtype == WK_F32 && !is_exposed(leaf);
    state->half_of = NULL;
    if (wanted && state->half && state->half->dtype == wish && state->half->device == leaf->device) return WK_OK;
    wk__leaf_drop_half(state);
    if (!wanted) return WK_OK;
    state->half = wk__kept_zeros_on(leaf->device, wish, wk__dims(leaf));
    return state->half ? WK_OK : wk_error_code();
}

void wk__leaf_half_stepped(const wk_tensor *leaf, bool skipped) {
    struct wk_leaf *state = leaf->leaf;
    if (!skipped) state->half_of = leaf->storage;
    state->half_version = leaf->storage->version;
    wk__leaf_wish_half(leaf, WK_F32);
}
