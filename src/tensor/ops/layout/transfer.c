/* transfer.c: the row that takes a tensor to another device.  Its kernel is the engine's own (src/tensor/transfer.c):
 * a copy belongs to no backend alone. */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#include <stddef.h>

static wk_status to_device_shape(const wk_call *call, wk_desc out[]) {
    const wk_to_device_attrs *a = call->attrs;
    const wk_tensor *x = call->in[0];
    if (a->device < 0 || a->device > UINT8_MAX || !wk__backend_of((int)a->device))
        return wk_bad_call(call, WK_DEVICE, "%lld is no device that wk_device_parse has given", (long long)a->device);
    out[0] = wk_desc_like(x);
    out[0].place = 1 + (int)a->device;
    return WK_OK;
}
static wk_status to_device_grad(wk_grad *g) {
    g->din[0] = wk_to_device(g->dout[0], g->in[0]->device);
    return WK_OK;
}
static void to_device_samples(wk_sampler *s) {
    WK_CASE(s, "contiguous", NULL, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(3, 4, 5), .strided = true });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0, 2) });
}
static const wk_attr_def to_device_attrs[] = { { "device", WK_ATTR_INT, offsetof(wk_to_device_attrs, device), 0, NULL,
                                                 0, "number of the device, 0 the CPU" } };
static wk_op_def to_device_row = { .name = "to_device",
                                   .internal = true, /* called as wk_to_device, see wick/device.h */
                                   .doc = "the same values on another device",
                                   .n_in = 1,
                                   .n_out = 1,
                                   .moves = true,
                                   .attrs = to_device_attrs,
                                   .n_attrs = 1,
                                   .attrs_size = sizeof(wk_to_device_attrs),
                                   .shape = to_device_shape,
                                   .grad = to_device_grad,
                                   .run = wk__run_to_device,
                                   .cost = wk__cost_move,
                                   .samples = to_device_samples };

wk_tensor *(wk_to_device)(wk_tensor *tensor, wk_device device) {
    if (tensor && tensor->device == device && tensor->life == WK__ALIVE && !wk_failed()) return tensor;
    return wk_op_run1(&to_device_row, &(const wk_to_device_attrs){ device }, tensor);
}

wk_op_def *const wk__rows_transfer[] = { &to_device_row, NULL };
