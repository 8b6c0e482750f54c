/* launches.c: how many operations a whole step hands to a device: none may come unseen. */
#include "device/other.h"
#include "wick/models.h"

#include <criterion/criterion.h>

/* GPT-2 of the published depth; its other sizes do not matter to the count. */
static int operations_of(bool halves) {
    enum { STEPS = 4, LENGTH = 32 };
    const wk_gpt2_opts sizes = { .heads = 2, .width = 128, .vocabulary = 512, .context = LENGTH, .dropout = WK_SET(0) };
    wk_scope outer = wk_scope_begin();
    wk_module *net = wk_gpt2(sizes);
    cr_assert_eq(wk_module_to_device(net, other()), WK_OK, "%s", wk_message());
    wk_optim *optimizer = wk_adamw(wk_parameters(net), (wk_adamw_opts){ .lr = 1e-3 });
    for (int step = 0; step < STEPS; step++) {
        wk_scope scope = wk_scope_begin();
        cr_assert_eq(wk_step_begin("train"), WK_OK);
        wk_tensor *tokens = wk_to_device(wk_reshape(wk_arange(2 * LENGTH), WK_DIMS(2, LENGTH)), other());
        wk_zero_grad(optimizer);
        wk_autocast was = wk_autocast_begin(WK_BF16, halves);
        wk_tensor *loss = wk_gpt2_loss(net, tokens, tokens, (wk_linear_cross_entropy_opts){ 0 });
        wk_autocast_end(was);
        (void)wk_backward(loss);
        (void)wk_optim_step(optimizer);
        cr_assert_eq(wk_step_end(), WK_OK, "%s", wk_message());
        wk_scope_end(scope);
    }
    const wk_step_report report = wk_step_describe("train");
    cr_assert_eq(report.graphs, 1, "%d graphs: %s", report.graphs, report.why ? report.why : "");
    wk_step_forget(NULL);
    wk_optim_destroy(optimizer);
    wk_module_destroy(net);
    wk_scope_end(outer);
    return report.operations;
}

/* PyTorch's eager mode: 375 operations, and 645 under autocast (benchmarks/peers/pytorch.py gpt2-t64 --launches). */
Test(device_launches, of_a_step_of_gpt2) {
    const int in_f32 = operations_of(false), in_halves = operations_of(true);
    cr_expect_leq(in_f32, 661, "%d operations in f32", in_f32);
    cr_expect_leq(in_halves, 762, "%d operations in bf16", in_halves);
}
