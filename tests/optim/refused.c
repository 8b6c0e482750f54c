/* refused.c: what optimizers refuse, with the message; groups and selections. */
#define WK_NO_CALL_SITES
#include "optim/support.h"

#include <math.h>
#include <string.h>

static wk_tensor *one(wk_dtype dtype, wk_dims dims) {
    return wk_require_grad(wk_kept_zeros(dtype, dims), true);
}

static const char *const w = "w";

Test(refused, options) {
    wk_tensor *p = one(WK_F32, WK_DIMS(2, 2));
    const wk_named_tensors all = { &p, &w, 1 };
#define REFUSED(text, constructor, options, ...)                \
    cr_expect_null(constructor(all, (options){ __VA_ARGS__ })); \
    expect_message(NULL, text)
    REFUSED("SGD: lr is 0, expected a positive number", wk_sgd, wk_sgd_opts, .lr = 0);
    REFUSED("SGD: lr is nan, expected a positive number", wk_sgd, wk_sgd_opts, .lr = NAN);
    REFUSED("SGD: momentum is -1, expected at least 0", wk_sgd, wk_sgd_opts, .lr = 1, .momentum = -1);
    REFUSED("SGD: weight_decay is nan, expected at least 0", wk_sgd, wk_sgd_opts, .lr = 1, .weight_decay = NAN);
    REFUSED("SGD: dampening is inf, expected a finite number", wk_sgd, wk_sgd_opts, .lr = 1, .dampening = INFINITY);
    REFUSED("SGD: nesterov needs momentum > 0 and dampening 0", wk_sgd, wk_sgd_opts, .lr = 1, .nesterov = true);
    REFUSED("Adam: lr is -0.1, expected at least 0", wk_adam, wk_adam_opts, .lr = -0.1);
    REFUSED("Adam: beta1 is 1, expected in [0, 1)", wk_adam, wk_adam_opts, .beta1 = WK_SET(1));
    REFUSED("Adam: beta2 is nan, expected in [0, 1)", wk_adam, wk_adam_opts, .beta2 = WK_SET(NAN));
    REFUSED("AdamW: eps is -1, expected at least 0", wk_adamw, wk_adamw_opts, .eps = -1);
    REFUSED("Adamax: beta1 is -0.5, expected in [0, 1)", wk_adamax, wk_adamax_opts, .beta1 = WK_SET(-0.5));
    REFUSED("NAdam: momentum_decay is -1, expected at least 0", wk_nadam, wk_nadam_opts, .momentum_decay = WK_SET(-1));
    REFUSED("RAdam: lr is inf, expected at least 0", wk_radam, wk_radam_opts, .lr = INFINITY);
    REFUSED("Adagrad: lr_decay is -1, expected at least 0", wk_adagrad, wk_adagrad_opts, .lr_decay = -1);
    REFUSED("Adagrad: initial_accumulator_value is -1, expected at least 0", wk_adagrad, wk_adagrad_opts,
            .initial_accumulator_value = -1);
    REFUSED("Adadelta: rho is 1.5, expected in [0, 1]", wk_adadelta, wk_adadelta_opts, .rho = WK_SET(1.5));
    REFUSED("RMSprop: alpha is -1, expected at least 0", wk_rmsprop, wk_rmsprop_opts, .alpha = WK_SET(-1));
    REFUSED("Rprop: etaplus is 1, expected more than 1", wk_rprop, wk_rprop_opts, .etaplus = WK_SET(1));
    REFUSED("Rprop: step_max is 0, expected positive", wk_rprop, wk_rprop_opts, .step_max = WK_SET(0));
    REFUSED("ASGD: t0 is nan, expected a finite number", wk_asgd, wk_asgd_opts, .t0 = WK_SET(NAN));
    REFUSED("Lion: beta2 is 1, expected in [0, 1)", wk_lion, wk_lion_opts, .beta2 = WK_SET(1));
    REFUSED("LAMB: weight_decay is -1, expected at least 0", wk_lamb, wk_lamb_opts, .weight_decay = -1);
    REFUSED("Adafactor: d is 0.5, expected at least 1", wk_adafactor, wk_adafactor_opts, .d = WK_SET(0.5));
    REFUSED("Adafactor: beta2_decay is 1, expected at most 0", wk_adafactor, wk_adafactor_opts,
            .beta2_decay = WK_SET(1));
    REFUSED("Muon: ns_steps is 100, expected 1 to 99", wk_muon, wk_muon_opts, .ns_steps = 100);
    REFUSED("Muon: scale is 7, expected a wk_muon_scale", wk_muon, wk_muon_opts, .scale = 7);
    REFUSED("LBFGS: max_iter -1, max_eval 0, history_size 0: expected at least 1", wk_lbfgs, wk_lbfgs_opts,
            .max_iter = -1);
    REFUSED("LBFGS: lr is nan, expected at least 0", wk_lbfgs, wk_lbfgs_opts, .lr = NAN);
#undef REFUSED
    wk_release(p);
}

Test(refused, parameters) {
    wk_tensor *p[] = { one(WK_F32, WK_DIMS(3)), one(WK_F64, WK_DIMS(3)), wk_kept_zeros(WK_I64, WK_DIMS(3)) };
    const char *const names[] = { "a", "b", "c" };
    expect_message(wk_adam((wk_named_tensors){ p + 2, names + 2, 1 }, (wk_adam_opts){ 0 }),
                   "Adam: parameter \"c\" is (3) i64, expected f32, f64, bf16 or f16, row major");
    expect_message(wk_muon((wk_named_tensors){ p, names, 1 }, (wk_muon_opts){ 0 }),
                   "Muon: parameter \"a\" is (3) f32, expected a matrix; give the others to another optimizer");
    expect_message(wk_lbfgs((wk_named_tensors){ p, names, 2 }, (wk_lbfgs_opts){ 0 }),
                   "LBFGS: parameter \"b\" is (3) f64, expected all f32 or all f64");
    wk_tensor *twice[] = { p[0], p[0] };
    expect_message(wk_adam((wk_named_tensors){ twice, names, 2 }, (wk_adam_opts){ 0 }),
                   "Adam: parameter \"b\" is in a group already, as \"a\"");
    for (int i = 0; i < 3; i++) wk_release(p[i]);
}

Test(refused, groups) {
    wk_tensor *p[] = { one(WK_F32, WK_DIMS(3)), one(WK_F32, WK_DIMS(2)) };
    const char *const names[] = { "a", "b" };
    const wk_named_tensors first = { p, names, 1 }, second = { p + 1, names + 1, 1 };
    wk_optim *o = wk_adam(first, (wk_adam_opts){ 0 });
    expect_message(wk_optim_add_group(o, first, (wk_group_opts){ 0 }),
                   "Adam: parameter \"a\" is in a group already, as \"a\"");
    expect_message(wk_optim_add_group(o, second, (wk_group_opts){ .lr = WK_SET(-1) }),
                   "Adam: lr is -1, expected at least 0");
    expect_message(wk_optim_add_group(o, second, (wk_group_opts){ .momentum = WK_SET(0.5) }),
                   "Adam has no option \"momentum\" (known: lr, weight_decay, beta1, beta2, eps, "
                   "decoupled_weight_decay, amsgrad)");
    expect_message(wk_optim_add_group(NULL, second, (wk_group_opts){ 0 }), "wk_optim_add_group: the optimizer is NULL");
    cr_expect_eq(wk_optim_groups(o), 1);
    cr_expect_eq(wk_optim_state(o).count, 3);
    cr_assert_eq(wk_optim_add_group(o, second, (wk_group_opts){ .lr = WK_SET(0.5) }), WK_OK);
    cr_expect_eq(wk_optim_groups(o), 2);
    cr_expect_eq(wk_optim_state(o).count, 6);
    expect_message(wk_optim_set(o, 2, "lr", 1), "Adam has no group 2, there are 2");
    expect_message(wk_optim_set(o, 0, "lr", NAN), "Adam: lr is nan, expected at least 0");
    expect_message(wk_optim_set(o, 0, NULL, 0), "Adam has no option \"\" (known: lr, weight_decay, beta1, beta2, eps, "
                                                "decoupled_weight_decay, amsgrad)");
    expect_message(wk_optim_set(o, 0, "amsgrad", 1),
                   "Adam: amsgrad decides which states there are and stays as it was made");
    expect_message(wk_optim_get(o, 5, "lr"), "Adam has no group 5, there are 2");
    cr_expect_eq(wk_optim_set(o, 1, "beta1", 0.5), WK_OK);
    cr_expect_eq(wk_optim_get(o, 1, "beta1"), 0.5);
    cr_expect_eq(wk_optim_get(o, 0, "beta1"), 0.9);
    wk_optim_set_lr(o, 0.25);
    cr_expect_eq(wk_optim_get(o, 1, "lr"), 0.25);
    wk_optim_destroy(o);
    o = wk_sgd(first, (wk_sgd_opts){ .lr = 1 });
    expect_message(wk_optim_set(o, 0, "momentum", 0.5), "SGD was made without momentum and has no buffers for it");
    wk_optim_destroy(o);
    for (int i = 0; i < 2; i++) wk_release(p[i]);
}

Test(refused, steps_and_state) {
    wk_tensor *p = one(WK_F32, WK_DIMS(3));
    const wk_named_tensors all = { &p, &w, 1 };
    wk_optim *o = wk_adam(all, (wk_adam_opts){ 0 }), *l = wk_lbfgs(all, (wk_lbfgs_opts){ 0 });
    expect_message(wk_optim_step(NULL), "wk_optim_step: the optimizer is NULL");
    expect_message(wk_optim_step(l), "LBFGS steps by wk_optim_step_closure");
    expect_message(wk_optim_add_group(l, all, (wk_group_opts){ 0 }), "LBFGS has one group only");
    expect_message(wk_optim_step_closure(o, NULL, NULL, NULL),
                   "wk_optim_step_closure: the optimizer or the closure is NULL");
    expect_message(wk_clip_grad_norm(o, 0, NULL), "wk_clip_grad_norm: max_norm is 0, expected a positive number");
    expect_message(wk_clip_grad_norm_p(o, 1, (wk_clip_opts){ .p = -1 }, NULL),
                   "wk_clip_grad_norm: p is -1, expected a positive number");
    expect_message(wk_clip_grad_value(o, NAN), "wk_clip_grad_value: the limit is nan, expected at least 0");
    ((int64_t *)wk_data(wk_optim_state(o).tensor[0]))[0] = -4;
    expect_message(wk_optim_state_changed(o), "Adam: the stored step count of \"w\" is -4");
    ((double *)wk_data(wk_optim_state(l).tensor[5]))[2] = 1e6;
    expect_message(wk_optim_state_changed(l), "LBFGS: the stored numbers say 1e+06 pairs of 100 after 0 iterations");
    expect_message(wk_optim_state_changed(NULL), "wk_optim_state_changed: the optimizer is NULL");
    wk_optim_destroy(o);
    wk_optim_destroy(l);
    wk_release(p);
}

Test(refused, gradients_that_are_not_finite) {
    wk_tensor *p = one(WK_F32, WK_DIMS(3));
    wk_optim *o = wk_sgd((wk_named_tensors){ &p, &w, 1 }, (wk_sgd_opts){ .lr = 1 });
    wk_scope scope = wk_scope_begin();
    wk_tensor *factor = wk_full(WK_F32, WK_DIMS(3), INFINITY);
    cr_assert_eq(wk_backward(wk_sum(wk_mul(p, factor), (wk_reduce_opts){ 0 })), WK_OK);
    expect_message(wk_clip_grad_norm_p(o, 1, (wk_clip_opts){ .error_if_nonfinite = true }, NULL),
                   "wk_clip_grad_norm: the norm of the gradients is inf, so they cannot be clipped; find the loss that "
                   "is not finite, or allow it");
    wk_zero_grad(o);
    cr_assert_eq(wk_backward(wk_sum(p, (wk_reduce_opts){ 0 })), WK_OK);
    cr_expect_eq(wk_optim_step(o), WK_OK);
    cr_expect_eq(wk_at(p, 0), -1);
    wk_scope_end(scope);
    wk_optim_destroy(o);
    wk_release(p);
}

Test(refused, scaling_out_of_order) {
    expect_message(wk_grad_scaler_create((wk_grad_scaler_opts){ .growth_factor = 1 }),
                   "GradScaler: scale 65536, growth_factor 1, backoff_factor 0.5, growth_interval 2000, tracker 0: "
                   "expected a positive number, one above 1, one in (0, 1), at least 1, at least 0");
    wk_tensor *p = one(WK_F32, WK_DIMS(3)), *h = one(WK_F16, WK_DIMS(3));
    wk_optim *o = wk_sgd((wk_named_tensors){ &p, &w, 1 }, (wk_sgd_opts){ .lr = 1 });
    wk_optim *half = wk_sgd((wk_named_tensors){ &h, &w, 1 }, (wk_sgd_opts){ .lr = 1 });
    wk_grad_scaler *s = wk_grad_scaler_create((wk_grad_scaler_opts){ 0 });
    expect_message(wk_grad_scaler_update(s), "wk_grad_scaler_update: no optimizer has stepped since the last one");
    cr_expect_eq(wk_grad_scaler_unscale(s, o), WK_OK);
    expect_message(wk_grad_scaler_unscale(s, o),
                   "wk_grad_scaler_unscale: SGD's gradients were unscaled already since the last update");
    cr_expect_eq(wk_grad_scaler_step(s, o), WK_OK);
    expect_message(wk_grad_scaler_step(s, o), "wk_grad_scaler_step: SGD has stepped already since the last update");
    expect_message(wk_grad_scaler_unscale(s, o),
                   "wk_grad_scaler_unscale: SGD has stepped already since the last update");
    cr_expect_eq(wk_grad_scaler_update(s), WK_OK);
    expect_message(wk_grad_scaler_step(s, NULL), "wk_grad_scaler_step: the scaler or the optimizer is NULL");
    wk_scope scope = wk_scope_begin();
    cr_assert_eq(wk_backward(wk_sum(wk_scale(h, 1024), (wk_reduce_opts){ 0 })), WK_OK);
    expect_message(wk_grad_scaler_unscale(s, half),
                   "wk_grad_scaler_unscale: an f16 gradient would lose what the scale saved; step without it, or keep "
                   "the weights in f32");
    wk_scope_end(scope);
    ((float *)wk_data(wk_grad_scaler_state(s).tensor[0]))[0] = 0;
    expect_message(
        wk_grad_scaler_state_changed(s),
        "GradScaler: scale 0, growth_factor 2, backoff_factor 0.5, growth_interval 2000, tracker 1: expected a "
        "positive number, one above 1, one in (0, 1), at least 1, at least 0");
    wk_grad_scaler_destroy(s);
    wk_optim_destroy(o);
    wk_optim_destroy(half);
    wk_release(p);
    wk_release(h);
}

Test(refused, averages) {
    wk_module *net = wk_nn_linear(2, 2, (wk_layer_opts){ 0 });
    expect_message(wk_average_create(NULL, (wk_average_opts){ 0 }), "wk_average_create: the model is NULL");
    expect_message(wk_average_create(net, (wk_average_opts){ .decay = WK_SET(1.5) }),
                   "wk_average_create: decay is 1.5, expected in [0, 1]");
    wk_average *a = wk_average_create(net, (wk_average_opts){ 0 });
    expect_message(wk_average_swap(a), "wk_average_swap: nothing has been averaged yet");
    expect_message(wk_average_update(NULL), "wk_average_update: the average is NULL");
    expect_message(wk_lookahead_create(NULL, (wk_lookahead_opts){ 0 }), "Lookahead: the optimizer is NULL");
    wk_optim *o = wk_adam(wk_parameters(net), (wk_adam_opts){ 0 });
    expect_message(wk_lookahead_create(o, (wk_lookahead_opts){ .alpha = WK_SET(2) }),
                   "Lookahead: k 0, alpha 2: expected at least 1, and in [0, 1]");
    expect_message(wk_update_batch_norm(net, NULL, NULL),
                   "wk_update_batch_norm: the model or the source of data is NULL");
    wk_optim_destroy(o);
    wk_average_destroy(a);
    wk_module_destroy(net);
}

Test(refused, selections_by_name) {
    wk_module *net = wk_nn_sequential_of(
        (wk_module *[]){ wk_nn_linear(2, 2, (wk_layer_opts){ 0 }), wk_nn_linear(2, 2, (wk_layer_opts){ 0 }) }, 2);
    wk_named_tensors all = wk_parameters(net), biases = wk_named_matching(all, "\\.bias$", false);
    wk_named_tensors others = wk_named_matching(all, "\\.bias$", true), none = wk_named_matching(all, "norm", false);
    cr_expect_eq(biases.count, 2);
    cr_expect_str_eq(biases.name[1], "1.bias");
    cr_expect_eq(others.count, 2);
    cr_expect_str_eq(others.name[0], "0.weight");
    cr_expect_eq(none.count, 0);
    wk_optim *o = wk_adamw(others, (wk_adamw_opts){ 0 });
    cr_expect_eq(wk_optim_add_group(o, biases, (wk_group_opts){ .weight_decay = WK_SET(0) }), WK_OK);
    wk_named_free(biases);
    wk_named_free(others);
    wk_named_free(none);
    cr_expect_eq(wk_optim_get(o, 0, "weight_decay"), 0.01);
    cr_expect_eq(wk_optim_get(o, 1, "weight_decay"), 0);
    cr_expect_str_eq(wk_optim_state(o).name[2], "step.0.bias");
    cr_expect_null(wk_named_matching(all, "(", false).tensor);
    cr_expect(strncmp(wk_message(), "wk_named_matching: \"(\": ", 24) == 0, "%s", wk_message());
    wk_clear_error();
    wk_optim_destroy(o);
    wk_module_destroy(net);
}
