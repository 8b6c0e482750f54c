/* tree.c: containers, finding, freezing, shared weights, the table of layers. */
#define WK_NO_CALL_SITES
#include "support/golden.h"
#include "wick/nn.h"
#include "wick/optim.h"

#include <math.h>
#include <string.h>

static wk_module *block(void) {
    return wk_nn_sequential(wk_nn_linear(4, 3, (wk_layer_opts){ 0 }), wk_nn_relu(),
                            wk_nn_linear(3, 2, (wk_layer_opts){ .no_bias = true }));
}

Test(tree, lists_and_dictionaries_hold_children) {
    wk_module *list = wk_nn_module_list(block(), wk_nn_identity());
    cr_assert_not_null(list, "%s", wk_message());
    cr_expect_not_null(wk_module_append(list, wk_nn_tanh()));
    cr_expect_eq(wk_module_count(list), 3);
    cr_expect_str_eq(wk_module_child(list, 2)->class_->name, "Tanh");
    cr_expect_null(wk_module_child(list, 3));
    const char *const names[] = { "encoder", "decoder" };
    wk_module *dict = wk_nn_module_dict_of(names, (wk_module *const[]){ list, block() }, 2);
    cr_assert_not_null(dict, "%s", wk_message());
    wk_named_tensors all = wk_parameters(dict);
    cr_assert_eq(all.count, 6);
    cr_expect_str_eq(all.name[0], "encoder.0.0.weight");
    cr_expect_str_eq(all.name[5], "decoder.2.weight");
    cr_expect_eq(wk_module_find(dict, "encoder.0.2"), wk_module_child(wk_module_child(list, 0), 2));
    cr_expect_eq(wk_module_find(list, "0.2"), wk_module_child(wk_module_child(list, 0), 2));
    cr_expect_eq(wk_module_tensor(dict, "decoder.0.bias"), all.tensor[4]);
    cr_expect_null(wk_module_find(dict, "encoder.0.3"));
    cr_expect(strstr(wk_message(), "there is no module \"encoder.0.3\"; did you mean \"encoder.0"), "%s", wk_message());
    wk_clear_error();
    cr_expect_null(wk_module_tensor(dict, "decoder.0.bios"));
    cr_expect_str_eq(wk_message(),
                     "there is no parameter or buffer \"decoder.0.bios\"; did you mean \"decoder.0.bias\"?");
    wk_clear_error();
    wk_module_destroy(dict);
}

Test(tree, a_list_has_no_forward) {
    wk_module *list = wk_nn_module_list(wk_nn_identity());
    wk_scope scope = wk_scope_begin();
    cr_expect_null(wk_forward(list, wk_zeros(WK_F32, WK_DIMS(2))));
    cr_expect_str_eq(wk_message(), "module \"\" (ModuleList) has no forward; run its children");
    wk_clear_error();
    wk_scope_end(scope);
    wk_module_destroy(list);
}

Test(tree, frozen_parameters_get_no_gradient) {
    wk_module *net = block();
    wk_module_require_grad(wk_module_child(net, 0), false);
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = wk_sum(wk_forward(net, wk_full(WK_F32, WK_DIMS(5, 4), 1)), (wk_reduce_opts){ 0 });
    cr_assert_eq(wk_backward(y), WK_OK, "%s", wk_message());
    cr_expect_null(wk_gradient(wk_module_tensor(net, "0.weight")));
    cr_expect_not_null(wk_gradient(wk_module_tensor(net, "2.weight")));
    wk_module_require_grad(net, true);
    cr_expect(wk_requires_grad(wk_module_tensor(net, "0.weight")));
    wk_scope_end(scope);
    wk_module_destroy(net);
}

Test(tree, shared_weights_count_once) {
    wk_module *net = wk_nn_module_list(wk_nn_linear(3, 3, (wk_layer_opts){ .no_bias = true }), wk_nn_identity());
    wk_tensor *weight = wk_module_tensor(net, "0.weight");
    cr_assert_not_null(wk_module_add_parameter(wk_module_child(net, 1), "weight", wk_keep(weight)));
    cr_expect_eq(wk_parameters(net).count, 1);
    cr_expect_eq(wk_state(net).count, 2);
    cr_expect_eq(wk_parameter_count(net), 9);
    wk_module_destroy(net);
}

/* Both uses add to one gradient; the module that was tied outlives the other. */
Test(tree, tied_linear_shares_its_parameters) {
    wk_manual_seed(2);
    wk_module *first = wk_nn_linear(3, 3, (wk_layer_opts){ 0 });
    wk_tensor *weight = wk_module_tensor(first, "weight"), *bias = wk_module_tensor(first, "bias");
    wk_module *tied = wk_nn_linear_tied(weight, bias), *open = wk_nn_linear_tied(weight, NULL);
    cr_assert(tied && open, "%s", wk_message());
    cr_expect_eq(wk_module_tensor(tied, "weight"), weight);
    cr_expect_eq(wk_state(open).count, 1);
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_full(WK_F32, WK_DIMS(2, 3), 0.5);
    golden_expect_equal(wk_forward(tied, x), wk_forward(first, x), "tied");
    cr_assert_eq(wk_backward(wk_sum(wk_add(wk_forward(tied, x), wk_forward(first, x)), (wk_reduce_opts){ 0 })), WK_OK);
    cr_expect_eq(wk_at(wk_gradient(weight), 0), 2);
    cr_expect_eq(wk_at(wk_gradient(bias), 0), 4);
    cr_expect_null(wk_nn_linear_tied(bias, NULL));
    cr_expect(strstr(wk_message(), "Linear: weight (3) f32, bias none: expected parameters (out, in) and (out)"));
    wk_clear_error();
    cr_expect_null(wk_nn_linear_tied(weight, weight));
    wk_clear_error();
    cr_expect_null(wk_nn_linear_tied(x, NULL));
    wk_clear_error();
    wk_module_destroy(first);
    cr_expect_not_null(wk_forward(tied, x), "%s", wk_message());
    wk_scope_end(scope);
    wk_module_destroy(tied), wk_module_destroy(open);
}

Test(tree, the_table_tells_shapes_parameters_and_operations) {
    wk_module *net = wk_nn_sequential(wk_nn_conv2d(1, 8, 3, (wk_nn_conv2d_opts){ 0 }), wk_nn_relu(), wk_nn_flatten(),
                                      wk_nn_linear(8 * 26 * 26, 10, (wk_layer_opts){ 0 }));
    wk_scope scope = wk_scope_begin();
    char *table = wk_module_table(net, wk_zeros(WK_F32, WK_DIMS(2, 1, 28, 28)));
    cr_assert_not_null(table, "%s", wk_message());
    cr_expect(strstr(table, "0: Conv2d                        (2, 8, 26, 26) f32                   80"), "%s", table);
    cr_expect(
        strstr(table, "3: Linear                        (2, 10) f32                      54,090          216,320"),
        "%s", table);
    cr_expect(strstr(table, "54,170"), "%s", table);
    wk_free(table);
    cr_expect(net->training);
    wk_scope_end(scope);
    wk_module_destroy(net);
}

/* What is appended to a Sequential runs. */
Test(tree, sequential_runs_what_is_appended) {
    wk_scope scope = wk_scope_begin();
    wk_module *net = wk_nn_sequential(wk_nn_flatten()),
              *last = wk_module_append(net, wk_nn_linear(6, 2, (wk_layer_opts){ 0 }));
    cr_expect_str_eq(last->path, "1");
    wk_tensor *y = wk_forward(net, wk_zeros(WK_F32, WK_DIMS(3, 2, 3)));
    cr_assert_not_null(y, "%s", wk_message());
    cr_expect_eq(wk_size(y, 1), 2);
    wk_module_destroy(net);
    wk_scope_end(scope);
}

/* Another dtype: values, integers, shared weights, gradients; and back. */
Test(tree, floats_in_another_dtype) {
    wk_module *net = wk_nn_sequential(wk_nn_conv2d(2, 3, 3, (wk_nn_conv2d_opts){ 0 }),
                                      wk_nn_batch_norm2d(3, (wk_nn_batch_norm_opts){ 0 }), wk_nn_flatten(),
                                      wk_nn_linear(12, 2, (wk_layer_opts){ 0 }), wk_nn_identity());
    wk_tensor *weight = wk_module_tensor(net, "3.weight");
    const double value = wk_at(weight, 5);
    cr_assert_not_null(wk_module_add_parameter(wk_module_child(net, 4), "weight", wk_keep(weight)));
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_affine(wk_reshape(wk_cast(wk_arange(2 * 2 * 4 * 4), WK_F32), WK_DIMS(2, 2, 4, 4)),
                             (wk_affine_opts){ 0.1, 0 });
    wk_tensor *single = wk_detach(wk_forward(net, x));
    cr_assert_eq(wk_backward(wk_sum(wk_forward(net, x), (wk_reduce_opts){ 0 })), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_module_to(net, WK_F64), WK_OK, "%s", wk_message());
    wk_named_tensors all = wk_state(net);
    for (int i = 0; i < all.count; i++)
        cr_expect_eq(wk_dtype_get(all.tensor[i]), strstr(all.name[i], "num_batches") ? WK_I64 : WK_F64, "%s",
                     all.name[i]);
    cr_expect(wk_at(weight, 5) == value);
    cr_expect_null(wk_gradient(weight));
    wk_tensor *y = wk_forward(net, wk_cast(x, WK_F64));
    cr_assert_not_null(y, "%s", wk_message());
    golden_expect_close(wk_cast(wk_detach(y), WK_F32), single, 1e-5, "f64");
    cr_assert_eq(wk_backward(wk_sum(y, (wk_reduce_opts){ 0 })), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_dtype_get(wk_gradient(weight)), WK_F64);
    cr_assert_eq(wk_module_to(net, WK_F32), WK_OK, "%s", wk_message());
    cr_expect(wk_at(weight, 5) == value);
    cr_expect_not_null(wk_forward(net, x), "%s", wk_message());
    wk_scope_end(scope);
    wk_module_destroy(net);
}

/* A graph that has seen the old values says so; what cannot be is refused and leaves all as it was. */
Test(tree, conversions_that_are_refused) {
    wk_module *net = wk_nn_linear(3, 2, (wk_layer_opts){ 0 });
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_require_grad(wk_keep(wk_zeros(WK_F32, WK_DIMS(1, 3))), true);
    wk_tensor *y = wk_sum(wk_forward(net, x), (wk_reduce_opts){ 0 });
    cr_expect_eq(wk_module_to(net, WK_I64), WK_DTYPE);
    cr_expect_str_eq(wk_message(), "wk_module_to: i64 is no float type");
    wk_clear_error();
    cr_expect_eq(wk_module_to(NULL, WK_F64), WK_INVALID);
    wk_clear_error();
    cr_expect_eq(wk_dtype_get(wk_module_tensor(net, "weight")), WK_F32);
    cr_assert_eq(wk_module_to(net, WK_F64), WK_OK);
    cr_expect_neq(wk_backward(y), WK_OK);
    cr_expect(strstr(wk_message(), "wk_module_to"), "%s", wk_message());
    wk_clear_error();
    wk_release(x);
    wk_scope_end(scope);
    wk_module_destroy(net);
}

/* Whole samples go, those that stay are scaled: a quarter of many. */
Test(tree, stochastic_depth_drops_samples) {
    wk_scope scope = wk_scope_begin();
    wk_module *drop = wk_nn_stochastic_depth(0.75);
    wk_manual_seed(4);
    wk_tensor *x = wk_full(WK_F32, WK_DIMS(400, 3, 2), 2), *y = wk_forward(drop, x);
    int kept = 0;
    for (int64_t i = 0; i < 400; i++) {
        const double first = wk_at(y, i * 6);
        cr_expect(first == 0 || first == 8, "%g", first);
        for (int64_t k = 1; k < 6; k++) cr_expect(wk_at(y, i * 6 + k) == first);
        kept += first != 0;
    }
    cr_expect(kept > 60 && kept < 140, "%d of 400 stay", kept);
    wk_module_train(drop, false);
    cr_expect_eq(wk_forward(drop, x), x);
    char *text = wk_module_summary(drop);
    cr_expect_str_eq(text, "StochasticDepth(p=0.75)\n");
    wk_free(text);
    wk_module_destroy(drop);
    cr_expect_null(wk_nn_stochastic_depth(1));
    cr_expect_str_eq(wk_message(), "StochasticDepth: p is 1, expected 0 ≤ p < 1");
    wk_clear_error();
    wk_scope_end(scope);
}
