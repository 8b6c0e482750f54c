/* place.c: on which device a call runs, and its operands brought there.  Only numbers move: a tensor with axes stays
 * where it is, and the call that mixes devices is an error by name. */
#include "tensor/registry.h"

static bool is_host_operand(const wk_call *call, int i) {
    const wk_op_def *op = call->op;
    return op->n_in == WK_LIST ? op->host_in_list && op->host_in_list(call, i) : (op->host_in >> i & 1) != 0;
}

/* Where the call runs: on the first operand's device that is not the CPU; where there are none but what kernels read
 * on the host, on the context's. */
static int device_of_call(const wk_context *context, const wk_call *call) {
    bool any = false;
    for (int i = 0; i < call->n_in; i++) {
        const wk_tensor *tensor = call->in[i];
        if (!tensor || is_host_operand(call, i)) continue;
        if (tensor->device) return tensor->device;
        any = true;
    }
    return any ? 0 : context->device;
}

static wk_status refuse_devices(const wk_call *call, int i) {
    char one[160], other[160];
    int first = 0;
    while (!call->in[first] || call->in[first]->device != call->device || is_host_operand(call, first)) first++;
    return wk_bad_call(call, WK_DEVICE, "input %d is %s%s and input %d is %s%s; move one of them with wk_to_device",
                       first, wk_describe(call->in[first], one, sizeof one), call->device ? "" : " on cpu", i,
                       wk_describe(call->in[i], other, sizeof other), call->in[i]->device ? "" : " on cpu");
}

/* CPU tensors without axes are numbers: they go to where the call runs.  A step that is captured notes how. */
static wk_status place_operand(const wk_context *context, wk_call *call, int i, wk_tensor **placed) {
    wk_tensor *tensor = call->in[i];
    *placed = tensor;
    if (!tensor) return WK_OK;
    if (is_host_operand(call, i)) {
        if (!tensor->device) return WK_OK;
        return wk_bad_call(call, WK_DEVICE, "input %d is on %s, expected the CPU, where it is read", i,
                           wk_device_name(tensor->device));
    }
    if (tensor->device == call->device) return WK_OK;
    if (tensor->device || tensor->rank > 0 || (call->op->mutates >> i & 1)) return refuse_devices(call, i);
    const bool noted = context->mode & WK__MODE_CAPTURE;
    *placed = noted ? wk_to_device(tensor, call->device) : wk__number_on(tensor, call->device);
    return *placed ? WK_OK : wk_error_code();
}

wk_status wk__place_operands(wk_context *context, wk_call *call, wk_tensor *placed[WK_MAX_IN]) {
    if (call->op->moves) {
        call->device = call->in[0]->device;
        return WK_OK;
    }
    call->device = device_of_call(context, call);
    wk_tensor **in = placed;
    if (call->n_in > WK_MAX_IN) {
        in = wk__arena_take(&context->arena, (size_t)call->n_in * sizeof(wk_tensor *));
        if (!in) return WK_NO_MEMORY;
    }
    for (int i = 0; i < call->n_in; i++) WK_TRY(place_operand(context, call, i, &in[i]));
    call->in = in;
    return WK_OK;
}
