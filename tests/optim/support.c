/* support.c: parameters and gradients of optim.safetensors. */
#define WK_NO_CALL_SITES
#include "optim/support.h"

static const char *const names[PARAMETERS] = { "first", "second", "third" };

void make_parameters(wk_safetensors *file, wk_dtype dtype, wk_tensor *p[PARAMETERS]) {
    for (int i = 0; i < PARAMETERS; i++) {
        wk_tensor *start = golden_get(file, "start.%d", i);
        p[i] = wk_require_grad(wk_kept_zeros(dtype, wk_dims_get(start)), true);
        cr_assert(p[i] && wk_copy_into(p[i], start) == WK_OK, "%s", wk_message());
    }
}

void free_parameters(wk_tensor *p[PARAMETERS]) {
    for (int i = 0; i < PARAMETERS; i++) wk_release(p[i]);
}

wk_named_tensors first_parameters(wk_tensor **p, int count) {
    return (wk_named_tensors){ p, names, count };
}

void give_gradient(wk_safetensors *file, wk_tensor *p, int i, int step, double scale) {
    wk_tensor *g = wk_cast(wk_scale(golden_get(file, "gradient.%d.%d", step, i), scale), wk_dtype_get(p));
    cr_assert_eq(wk_backward(wk_sum(wk_mul(p, g), (wk_reduce_opts){ 0 })), WK_OK, "%s", wk_message());
}
