/* windows.c: accumulated gradients under one name of a step: its batches differ, so replays begin and break off all the
 * time, in the optimizer's step too.  The weights are those without steps. */
#define WK_NO_CALL_SITES
#include "optim/support.h"
#include "wick/step.h"

#include <string.h>

static void train(wk_module *model, const char *name) {
    wk_optim *optim = wk_sgd(wk_parameters(model), (wk_sgd_opts){ .lr = 0.05, .momentum = 0.9 });
    for (int epoch = 0; epoch < 4; epoch++)
        for (int batch = 0; batch < 20; batch++) { /* windows of three, and one of two */
            wk_scope scope = wk_scope_begin();
            if (name) (void)wk_step_begin(name);
            if (batch % 3 == 0) wk_zero_grad(optim);
            wk_tensor *x = wk_full(WK_F32, WK_DIMS(4, 8), batch * 0.1), *y = wk_zeros(WK_I64, WK_DIMS(4));
            wk_tensor *loss = wk_cross_entropy(wk_forward(model, x), y, (wk_cross_entropy_opts){ 0 });
            (void)wk_item(loss);
            (void)wk_backward(wk_affine(loss, (wk_affine_opts){ 1 / 3.0, 0 }));
            if (batch % 3 == 2 || batch == 19) (void)wk_optim_step(optim);
            if (name) (void)wk_step_end();
            wk_scope_end(scope);
            cr_assert(!wk_failed(), "epoch %d, batch %d: %s", epoch, batch, wk_message());
        }
    if (name) wk_step_forget(name);
    wk_optim_destroy(optim);
}

static wk_module *make_model(void) {
    wk_manual_seed(1);
    wk_module *first = wk_nn_linear(8, 4, (wk_layer_opts){ 0 }), *last = wk_nn_linear(4, 2, (wk_layer_opts){ 0 });
    return wk_nn_sequential_of((wk_module *[]){ first, wk_nn_relu(), last }, 3);
}

Test(windows, of_accumulated_batches_replay_to_the_same_bits) {
    wk_module *stepped = make_model(), *plain = make_model();
    train(stepped, "window");
    train(plain, NULL);
    wk_named_tensors a = wk_parameters(stepped), b = wk_parameters(plain);
    for (int i = 0; i < a.count; i++)
        cr_expect_eq(memcmp(wk_data(a.tensor[i]), wk_data(b.tensor[i]), (size_t)wk_count(a.tensor[i]) * sizeof(float)),
                     0, "%s differs", a.name[i]);
    wk_module_destroy(stepped);
    wk_module_destroy(plain);
}
