/* convert.c: a module's floats in another dtype, and a module on another device.
 *
 * Structs of layers point at their parameters' headers, so a header stays where it is and gets other memory.
 */
#define WK_NO_CALL_SITES
#include "autograd/tape.h"
#include "nn/freeze.h"
#include "nn/support.h"

/* The tensor's elements in the dtype, kept; NULL with an error pending. */
static wk_tensor *converted(wk_tensor *t, wk_dtype dtype) {
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_tensor *copy = wk_keep(wk_contiguous(wk_cast(wk_detach(t), dtype)));
    wk_no_grad_end(was);
    wk_scope_end(scope);
    return copy;
}

/* The tensor's elements on a device, kept; NULL with an error pending. */
static wk_tensor *moved(wk_tensor *t, int device) {
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_tensor *copy = wk_keep(wk_to_device(wk_detach(t), device));
    wk_no_grad_end(was);
    wk_scope_end(scope);
    return copy;
}

/* A graph that has seen the tensor finds it changed in place.  `copy` takes the old memory along. */
static void exchange(wk_tensor *t, wk_tensor *copy, const char *who) {
    wk_tensor old = *t;
    wk__storage_changed(t->storage, who);
    t->data = copy->data, t->storage = copy->storage, t->dtype = copy->dtype, t->device = copy->device;
    copy->data = old.data, copy->storage = old.storage, copy->dtype = old.dtype, copy->device = old.device;
    for (int i = 0; i < t->rank; i++) t->stride[i] = copy->stride[i];
    wk__header_flags(t);
    if (t->leaf) wk__leaf_place_gradient(t, NULL);
    wk_release(copy);
}

wk_status wk_module_to(wk_module *module, wk_dtype dtype) {
    if (wk_failed()) return WK_PENDING;
    if (!module) return wk_fail(WK_INVALID, "wk_module_to: the module is NULL");
    if (!wk__may_train(module, "wk_module_to")) return WK_STATE;
    if (dtype < 0 || dtype >= WK_DTYPE_COUNT || !wk_dtype_is_float(dtype))
        return wk_fail(WK_DTYPE, "wk_module_to: %s is no float type",
                       dtype < 0 || dtype >= WK_DTYPE_COUNT ? "the dtype" : wk_dtype_name(dtype));
    wk_named_tensors all = wk_state(module);
    wk_tensor **copies = all.count ? wk_alloc((size_t)all.count * sizeof(wk_tensor *)) : NULL;
    if (all.count && !copies) return wk_error_code();
    for (int i = 0; i < all.count && !wk_failed(); i++)
        if (all.tensor[i]->dtype != dtype && wk_dtype_is_float((wk_dtype)all.tensor[i]->dtype))
            copies[i] = converted(all.tensor[i], dtype);
    bool complete = !wk_failed();
    for (int i = 0; i < all.count; i++) {
        /* One that stands under several names has been exchanged under the first. */
        if (complete && copies[i] && all.tensor[i]->dtype != dtype)
            exchange(all.tensor[i], copies[i], "wk_module_to");
        else
            wk_release(copies[i]);
    }
    wk_free(copies);
    return complete ? WK_OK : wk_error_code();
}

/* What the host counts (num_batches_tracked) stays with it. */
static bool moves(const wk_tensor *t, int device) {
    bool is_count = t->rank == 0 && !wk_dtype_is_float((wk_dtype)t->dtype);
    return t->device != device && !is_count;
}

wk_status wk_module_to_device(wk_module *module, wk_device device) {
    if (wk_failed()) return WK_PENDING;
    if (!module) return wk_fail(WK_INVALID, "wk_module_to_device: the module is NULL");
    if (!wk__may_train(module, "wk_module_to_device")) return WK_STATE;
    wk_named_tensors all = wk_state(module);
    wk_tensor **copies = all.count ? wk_alloc((size_t)all.count * sizeof(wk_tensor *)) : NULL;
    if (all.count && !copies) return wk_error_code();
    for (int i = 0; i < all.count && !wk_failed(); i++)
        if (moves(all.tensor[i], device)) copies[i] = moved(all.tensor[i], device);
    bool complete = !wk_failed();
    for (int i = 0; i < all.count; i++) {
        /* One that stands under several names has been exchanged under the first. */
        if (complete && copies[i] && moves(all.tensor[i], device))
            exchange(all.tensor[i], copies[i], "wk_module_to_device");
        else
            wk_release(copies[i]);
    }
    wk_free(copies);
    return complete ? WK_OK : wk_error_code();
}
