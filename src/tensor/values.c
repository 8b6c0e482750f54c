/* values.c: looking through all elements of a tensor, wherever they lie. */
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

static bool has_nan_on_device(const wk_tensor *tensor) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *host = wk__on_host((wk_tensor *)(uintptr_t)tensor);
    bool has = host && wk__has_nan(host);
    wk_scope_end(scope);
    return has;
}

bool wk__has_nan(const wk_tensor *tensor) {
    if (!wk_dtype_is_float((wk_dtype)tensor->dtype) || tensor->count == 0) return false;
    if (tensor->device) return has_nan_on_device(tensor);
    int64_t at[WK_MAX_RANK] = { 0 }, offset = 0;
    for (int64_t i = 0; i < tensor->count; i++) {
        if (isnan(wk__element_get(tensor->data, (wk_dtype)tensor->dtype, offset))) return true;
        for (int axis = tensor->rank - 1; axis >= 0; axis--) {
            offset += tensor->stride[axis];
            if (++at[axis] < tensor->shape[axis]) break;
            offset -= at[axis] * tensor->stride[axis];
            at[axis] = 0;
        }
    }
    return false;
}

wk_status wk__check_results(const wk_call *call) {
    for (int i = 0; i < call->n_out; i++) {
        char text[160];
        if (call->out[i] && wk__has_nan(call->out[i]))
            return wk_bad_call(call, WK_INVALID, "result %d, %s, has a NaN", i,
                               wk_describe(call->out[i], text, sizeof text));
    }
    return WK_OK;
}

bool wk__not_writable(const wk_tensor *tensor, char *why, size_t size) {
    char text[160];
    if (tensor->storage && tensor->storage->read_only) {
        (void)snprintf(why, size, "%s lies in memory that may only be read; write to a copy",
                       wk_describe(tensor, text, sizeof text));
        return true;
    }
    for (int axis = 0; axis < tensor->rank; axis++)
        if (tensor->stride[axis] == 0 && tensor->shape[axis] > 1) {
            (void)snprintf(why, size,
                           "%s is an expanded view, several elements share one place; write to a copy (wk_contiguous)",
                           wk_describe(tensor, text, sizeof text));
            return true;
        }
    return false;
}
