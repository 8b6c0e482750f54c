/* memory.c: what memory holds, by kind, and the batch that would fill it. */
#define WK_NO_CALL_SITES
#include "wick/autograd.h"
#include "wick/ops.h"
#include "wick/optim.h"
#include "wick/step.h"

#include <criterion/criterion.h>

static wk_memory after_steps(int64_t batch) {
    wk_module *m = wk_nn_sequential(wk_nn_linear(10, 200, (wk_layer_opts){ .no_bias = true }), wk_nn_relu(),
                                    wk_nn_linear(200, 5, (wk_layer_opts){ .no_bias = true }));
    wk_optim *optim = wk_adamw(wk_parameters(m), (wk_adamw_opts){ .lr = 0.01 });
    wk_tensor *x = wk_kept_zeros(WK_F32, WK_DIMS(batch, 10)), *y = wk_kept_zeros(WK_I64, WK_DIMS(batch));
    cr_expect_eq(wk_memory_of(m, optim).gradients, 0);
    for (int i = 0; i < 4; i++) {
        wk_scope scope = wk_scope_begin();
        (void)wk_step_begin("train");
        wk_tensor *loss = wk_cross_entropy(wk_forward(m, x), y, (wk_cross_entropy_opts){ .reduction = 0 });
        wk_zero_grad(optim);
        (void)wk_backward(loss);
        (void)wk_optim_step(optim);
        cr_assert_eq(wk_step_end(), WK_OK, "%s", wk_message());
        wk_scope_end(scope);
    }
    wk_memory memory = wk_memory_of(m, optim);
    wk_memory_trim();
    cr_expect_eq(wk_memory_of(NULL, NULL).cache, 0);
    wk_step_forget(NULL);
    cr_expect_eq(wk_memory_of(m, NULL).steps, 0);
    wk_release(x), wk_release(y);
    wk_optim_destroy(optim);
    wk_module_destroy(m);
    return memory;
}

Test(memory, is_told_by_kind) {
    wk_memory m = after_steps(64);
    const int64_t weights = 4 * (200 * 10 + 5 * 200);
    cr_expect_eq(m.parameters, weights);
    cr_expect_eq(m.gradients, weights);
    cr_expect_eq(m.optimizer, 2 * weights + 2 * 8, "%lld", (long long)m.optimizer); /* two moments, two step counts */
    cr_expect_gt(m.steps, 64 * 200 * 4);
    wk_scope scope = wk_scope_begin();
    (void)wk_zeros(WK_F32, WK_DIMS(1000));
    wk_scope_end(scope);
    cr_expect_geq(wk_memory_of(NULL, NULL).cache, 4000);
#ifndef __SANITIZE_ADDRESS__ /* under it large blocks are the heap's own */
    scope = wk_scope_begin();
    (void)wk_zeros(WK_F32, WK_DIMS(1000000));
    wk_scope_end(scope);
    cr_expect_geq(wk_memory_of(NULL, NULL).cache, 4000000);
#endif
}

/* An estimate from one batch tells what another one takes. */
Test(memory, largest_batch) {
    wk_memory small = after_steps(64), large = after_steps(640);
    int64_t fixed = large.parameters + large.gradients + large.optimizer;
    int64_t estimate = wk_memory_largest_batch(small, 64, fixed + large.steps);
    cr_expect(estimate > 500 && estimate < 700, "%lld, expected about 640", (long long)estimate);
    cr_expect_eq(wk_memory_largest_batch(small, 64, fixed), 0);
    cr_expect_eq(wk_memory_largest_batch(small, 0, 1 << 30), 0);
    cr_expect_eq(wk_memory_largest_batch((wk_memory){ .parameters = 1 }, 64, 1 << 30), 0);
}
