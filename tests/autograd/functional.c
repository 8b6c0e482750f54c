/* functional.c: several outputs at once, products with Jacobians and Hessians, the matrices, samples one by one; each
 * against values worked out by hand or against another of them. */
#include "autograd/tape.h"
#include "support/sample.h"
#include "support/refused.h"
#include "wick/nn.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

SCOPED_SUITE(functional);

static const wk_reduce_opts all = { .keep_dims = false };

static wk_tensor *vector(int64_t count, const double *values) {
    return wk_from_array(WK_F64, WK_DIMS(count), values);
}
#define VECTOR(...) \
    vector((int64_t)(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)), (const double[]){ __VA_ARGS__ })

static wk_tensor *leaf_of(wk_tensor *values) {
    return wk_require_grad(wk_keep(values), true);
}

static void expect_values(const wk_tensor *tensor, const double *wanted, int64_t count, const char *what) {
    cr_assert(tensor && wk_count(tensor) == count, "%s: %s", what, wk_message());
    for (int64_t i = 0; i < count; i++)
        cr_expect_float_eq(wk_at(tensor, i), wanted[i], 1e-12 * (1 + fabs(wanted[i])), "%s[%d] is %.17g, not %.17g",
                           what, (int)i, wk_at(tensor, i), wanted[i]);
}
#define EXPECT_VALUES(tensor, ...)                           \
    expect_values((tensor), (const double[]){ __VA_ARGS__ }, \
                  (int64_t)(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)), #tensor)

static void expect_message(wk_status code, const char *wanted) {
    cr_expect_eq(wk_error_code(), code, "%s: %s", wk_status_name(wk_error_code()), wk_message());
    cr_expect_str_eq(wk_message(), wanted);
    wk_clear_error();
}

/* ---- wk_grad ---- */

Test(functional, several_outputs_in_one_walk) {
    wk_tensor *x = leaf_of(VECTOR(2, 3)), *y = leaf_of(VECTOR(5, 7)), *d[2];
    wk_tensor *product = wk_mul(x, y), *square = wk_mul(x, x), *total = wk_sum(product, all);
    wk_tensor *const outputs[] = { square, total }, *const seeds[] = { VECTOR(10, 100), NULL };
    wk_tensor *const inputs[] = { x, y };
    cr_assert_eq(wk_grad(outputs, 2, seeds, inputs, 2, d, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    EXPECT_VALUES(d[0], 10 * 2 * 2 + 5, 100 * 2 * 3 + 7);
    EXPECT_VALUES(d[1], 2, 3);
    cr_expect_null(wk_gradient(x));
    wk_release(x);
    wk_release(y);
}

Test(functional, an_input_that_is_an_output_and_one_named_twice) {
    wk_tensor *x = leaf_of(VECTOR(2, 3)), *square = wk_mul(x, x), *y = wk_sum(wk_mul(square, x), all), *d[3];
    wk_tensor *const outputs[] = { y, square }, *const seeds[] = { NULL, VECTOR(1, 1) };
    wk_tensor *const inputs[] = { square, x, x };
    cr_assert_eq(wk_grad(outputs, 2, seeds, inputs, 3, d, (wk_grad_opts){ .retain_graph = true }), WK_OK, "%s",
                 wk_message());
    EXPECT_VALUES(d[0], 2 + 1, 3 + 1);
    EXPECT_VALUES(d[1], 3 * 4 + 2 * 2, 3 * 9 + 2 * 3);
    EXPECT_VALUES(d[2], 3 * 4 + 2 * 2, 3 * 9 + 2 * 3);
    wk_tensor *const ones = VECTOR(1, 1);
    cr_assert_eq(wk_grad(&x, 1, &ones, &x, 1, d, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    EXPECT_VALUES(d[0], 1, 1);
    wk_release(x);
}

/* Only what lies between is walked: the rest may be walked again, and is not asked. */
Test(functional, what_leads_to_no_input_is_left_alone) {
    wk_tensor *x = leaf_of(VECTOR(2, 3)), *w = leaf_of(VECTOR(1, 1)), *d[1];
    wk_tensor *branch = wk_exp(w), *y = wk_sum(wk_mul(x, branch), all);
    cr_assert_eq(wk_grad(&y, 1, NULL, &x, 1, d, (wk_grad_opts){ 0 }), WK_OK);
    EXPECT_VALUES(d[0], exp(1), exp(1));
    cr_assert_eq(wk_backward(wk_sum(branch, all)), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_backward(y), WK_STATE);
    wk_clear_error();
    wk_release(x);
    wk_release(w);
}

Test(functional, requests_that_make_no_sense) {
    wk_tensor *x = leaf_of(VECTOR(2, 3)), *y = wk_mul(x, x), *plain = VECTOR(1, 2), *d[1], *three = VECTOR(1, 2, 3);
    cr_expect_eq(wk_grad(&y, 1, NULL, &x, 0, d, (wk_grad_opts){ 0 }), WK_INVALID);
    expect_message(WK_INVALID, "wk_gradients: 1 outputs and 0 inputs, expected at least one of each");
    cr_expect_eq(wk_grad(&y, 1, NULL, &plain, 1, d, (wk_grad_opts){ 0 }), WK_INVALID);
    expect_message(WK_INVALID, "wk_gradients: input 0, (2) f64, wants no gradient; use wk_require_grad");
    cr_expect_eq(wk_grad(&y, 1, &three, &x, 1, d, (wk_grad_opts){ 0 }), WK_SHAPE);
    expect_message(WK_SHAPE, "backward: the gradient given is (3) f64, the output (2) f64");
    cr_expect_eq(wk_grad(&y, 1, NULL, &x, 1, d, (wk_grad_opts){ 0 }), WK_SHAPE);
    expect_message(WK_SHAPE, "backward: the output is (2) f64, expected one element; reduce it, or give its gradient");
    cr_expect_eq(wk_grad(&plain, 1, NULL, &x, 1, d, (wk_grad_opts){ 0 }), WK_INVALID);
    expect_message(WK_INVALID,
                   "backward: (2) f64 depends on no tensor that wants a gradient (was it made under no_grad?)");
    wk_release(x);
}

/* ---- a derivative of any order, through rules made of parts ---- */

static wk_tensor *loss_of(wk_tensor *x) {
    static const int64_t classes[] = { 0, 2 };
    wk_tensor *target = wk_from_array(WK_I64, WK_DIMS(2), classes);
    return wk_cross_entropy(x, target, (wk_cross_entropy_opts){ .reduction = WK_REDUCTION_SUM });
}
/* Derivative of order `order` along a direction, by repeated differentiation. */
static double directional(wk_tensor *x, wk_tensor *direction, int order) {
    wk_tensor *y = loss_of(x), *d;
    for (int k = 0; k < order; k++) {
        if (wk_grad(&y, 1, NULL, &x, 1, &d, (wk_grad_opts){ .create_graph = true }) != WK_OK) return NAN;
        y = wk_sum(wk_mul(d, direction), all);
    }
    return wk_item(y);
}
Test(functional, the_fourth_derivative_of_a_fused_row) {
    wk_tensor *direction = wk_reshape(VECTOR(1, -0.5, 0.25, 0.3, 0.2, -1), WK_DIMS(2, 3));
    wk_tensor *x = leaf_of(wk_reshape(VECTOR(0.1, 0.7, -0.4, 1, -1, 0.5), WK_DIMS(2, 3)));
    for (int order = 2; order <= 4; order++) {
        double *element = wk_data(x), at[6], side[2], h = 1e-4;
        memcpy(at, element, sizeof at);
        for (int s = 0; s < 2; s++) {
            for (int i = 0; i < 6; i++) element[i] = at[i] + (s ? h : -h) * wk_at(direction, i);
            side[s] = directional(x, direction, order - 1);
        }
        memcpy(element, at, sizeof at);
        double numeric = (side[1] - side[0]) / (2 * h), analytic = directional(x, direction, order);
        cr_expect_float_eq(analytic, numeric, 1e-6, "order %d: %.12g, numeric %.12g: %s", order, analytic, numeric,
                           wk_message());
    }
    wk_release(x);
}

/* ---- products ---- */

/* (a · b, Σ a² b): two inputs, two results. */
static wk_status pair(void *context, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    (void)context, (void)n_in, (void)n_out;
    out[0] = wk_mul(in[0], in[1]);
    out[1] = wk_sum(wk_mul(wk_mul(in[0], in[0]), in[1]), all);
    return WK_OK;
}
Test(functional, products_with_a_jacobian) {
    wk_tensor *const in[] = { VECTOR(2, 3), VECTOR(5, 7) };
    wk_tensor *const tangents[] = { VECTOR(1, 0.5), VECTOR(-1, 2) };
    wk_tensor *out[2], *gradients[2], *products[2];
    wk_tensor *const cotangents[] = { VECTOR(1, 10), wk_full(WK_F64, WK_SCALAR, 100) };
    cr_assert_eq(wk_vjp(pair, NULL, in, 2, out, 2, cotangents, gradients), WK_OK, "%s", wk_message());
    EXPECT_VALUES(out[0], 10, 21);
    EXPECT_VALUES(out[1], 4 * 5 + 9 * 7);
    EXPECT_VALUES(gradients[0], 5 + 100 * 2 * 2 * 5, 70 + 100 * 2 * 3 * 7);
    EXPECT_VALUES(gradients[1], 2 + 400, 30 + 900);
    cr_assert_eq(wk_jvp(pair, NULL, in, 2, tangents, NULL, 2, products), WK_OK, "%s", wk_message());
    EXPECT_VALUES(products[0], 1 * 5 + 2 * -1, 0.5 * 7 + 3 * 2);
    EXPECT_VALUES(products[1], 2 * 2 * 5 * 1 + 2 * 3 * 7 * 0.5 + 4 * -1 + 9 * 2);
    cr_expect_not(wk_requires_grad(products[0]) || wk_requires_grad(gradients[0]) || wk_requires_grad(out[0]));
}

/* Σ a² b, and a function that leaves its second input alone. */
static wk_status cubic(void *context, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    (void)context, (void)n_in, (void)n_out;
    out[0] = wk_sum(wk_mul(wk_mul(in[0], in[0]), in[1]), all);
    return WK_OK;
}
static wk_status first_only(void *context, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    (void)context, (void)n_in, (void)n_out;
    out[0] = wk_scale(in[0], 3);
    return WK_OK;
}
Test(functional, products_with_a_hessian) {
    wk_tensor *const in[] = { VECTOR(2, 3), VECTOR(5, 7) };
    wk_tensor *const v[] = { VECTOR(1, 0.5), VECTOR(-1, 2) };
    wk_tensor *products[2], *hessians[4];
    cr_assert_eq(wk_hvp(cubic, NULL, in, 2, v, products), WK_OK, "%s", wk_message());
    EXPECT_VALUES(products[0], 2 * 5 * 1 + 2 * 2 * -1, 2 * 7 * 0.5 + 2 * 3 * 2);
    EXPECT_VALUES(products[1], 2 * 2 * 1, 2 * 3 * 0.5);
    cr_assert_eq(wk_hessian(cubic, NULL, in, 2, hessians), WK_OK, "%s", wk_message());
    EXPECT_VALUES(hessians[0], 10, 0, 0, 14);
    EXPECT_VALUES(hessians[1], 4, 0, 0, 6);
    EXPECT_VALUES(hessians[2], 4, 0, 0, 6);
    EXPECT_VALUES(hessians[3], 0, 0, 0, 0);
}

Test(functional, the_jacobian_whole) {
    wk_tensor *const in[] = { VECTOR(2, 3), VECTOR(5, 7) };
    wk_tensor *jacobians[2], *products[1];
    cr_assert_eq(wk_jacobian(first_only, NULL, in, 2, jacobians), WK_OK, "%s", wk_message());
    EXPECT_VALUES(jacobians[0], 3, 0, 0, 3);
    EXPECT_VALUES(jacobians[1], 0, 0, 0, 0);
    cr_expect_eq(wk_rank(jacobians[0]), 2);
    cr_assert_eq(wk_jvp(first_only, NULL, in, 2, in, NULL, 1, products), WK_OK, "%s", wk_message());
    EXPECT_VALUES(products[0], 6, 9);
}

/* Through a fused layer, on a graph of the caller's own, without gradients around: nothing of it matters. */
static wk_status layer(void *weight, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    (void)n_in, (void)n_out;
    out[0] = wk_softmax(wk_linear(in[0], weight, NULL, (wk_linear_opts){ 0 }), (wk_axis_opts){ .axis = { 0 } });
    return WK_OK;
}
Test(functional, of_a_graph_of_the_callers_own) {
    wk_tensor *weight = leaf_of(wk_reshape(VECTOR(1, 2, -1, 0.5, 0.25, -2), WK_DIMS(3, 2)));
    wk_tensor *leaf = leaf_of(wk_reshape(VECTOR(0.3, -0.2), WK_DIMS(1, 2))), *x = wk_scale(leaf, 2), *jacobian, *d;
    struct wk_node *before = wk__context_slow()->tape;
    bool was = wk_no_grad_begin();
    cr_assert_eq(wk_jacobian(layer, weight, &x, 1, &jacobian), WK_OK, "%s", wk_message());
    cr_expect(wk_no_grad_begin(), "the mode is as it was");
    wk_no_grad_end(was);
    cr_expect_eq(wk__context_slow()->tape, before, "nothing is left on the tape");
    for (int64_t k = 0; k < 3; k++) {
        wk_tensor *y;
        cr_assert_eq(layer(weight, &x, 1, &y, 1), WK_OK);
        wk_tensor *one = wk_select(y, 1, k);
        cr_assert_eq(wk_grad(&one, 1, NULL, &x, 1, &d, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
        for (int64_t i = 0; i < 2; i++) cr_expect_float_eq(wk_at(d, i), wk_at(jacobian, 2 * k + i), 1e-14);
    }
    wk_release(leaf);
    wk_release(weight);
}

/* ---- samples ---- */

static wk_status sample_loss(void *net, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    (void)n_in, (void)n_out;
    out[0] = wk_cross_entropy(wk_forward(net, in[0]), in[1], (wk_cross_entropy_opts){ .label_smoothing = 0.1 });
    return WK_OK;
}
Test(functional, gradients_sample_by_sample) {
    enum { N = 5 };
    wk_manual_seed(3);
    wk_module *net = wk_nn_sequential(wk_nn_linear(4, 6, (wk_layer_opts){ 0 }), wk_nn_relu(),
                                      wk_nn_linear(6, 3, (wk_layer_opts){ 0 }));
    wk_named_tensors parameters = wk_parameters(net);
    float values[N * 4];
    for (int i = 0; i < N * 4; i++) values[i] = (float)((i * 37) % 19) / 9.0F - 1;
    wk_tensor *const in[] = { wk_from_array(WK_F32, WK_DIMS(N, 4), values),
                              wk_from_array(WK_I64, WK_DIMS(N), (const int64_t[]){ 0, 2, 1, 1, 0 }) };
    wk_tensor *each[4], *loss;
    cr_assert_eq(wk_per_sample_grads(sample_loss, net, in, 2, parameters.tensor, 4, each), WK_OK, "%s", wk_message());
    cr_assert_eq(sample_loss(net, in, 2, &loss, 1), WK_OK);
    cr_assert_eq(wk_backward(loss), WK_OK);
    for (int p = 0; p < 4; p++) {
        wk_tensor *mean = wk_mean(each[p], (wk_reduce_opts){ .axes = WK_DIMS(0) });
        const wk_tensor *whole = wk_gradient(parameters.tensor[p]);
        cr_assert_eq(wk_count(mean), wk_count(whole));
        for (int64_t i = 0; i < wk_count(mean); i++) cr_expect_float_eq(wk_at(mean, i), wk_at(whole, i), 1e-6);
    }
    cr_expect_eq(
        wk_per_sample_grads(sample_loss, net, (wk_tensor *const[]){ in[0], loss }, 2, parameters.tensor, 4, each),
        WK_SHAPE);
    expect_message(WK_SHAPE, "wk_per_sample_grads: input 1 is () f32, expected a batch (N, …), N the same for all");
    wk_module_destroy(net);
}

Test(functional, arguments_that_make_no_sense) {
    wk_tensor *x = VECTOR(1, 2), *whole = wk_zeros(WK_I64, WK_DIMS(2)), *three = VECTOR(1, 2, 3), *result[1];
    cr_expect_eq(wk_jacobian(first_only, NULL, &whole, 1, result), WK_DTYPE);
    expect_message(WK_DTYPE, "wk_jacobian: input 0 is (2) i64, expected floats");
    cr_expect_eq(wk_hvp(first_only, NULL, &x, 1, &x, result), WK_SHAPE);
    expect_message(WK_SHAPE, "wk_hvp: the function's result is (2) f64, expected one element");
    cr_expect_eq(wk_jvp(first_only, NULL, &x, 1, &three, NULL, 1, result), WK_SHAPE);
    expect_message(WK_SHAPE, "wk_jvp: tangent 0 is (3) f64, expected (2) f64");
    cr_expect_eq(wk_vjp(first_only, NULL, &x, 1, NULL, 1, &three, result), WK_SHAPE);
    expect_message(WK_SHAPE, "wk_vjp: cotangent 0 is (3) f64, expected (2) f64");
    cr_expect_eq(wk_vjp(first_only, NULL, &x, 1, NULL, 1, NULL, result), WK_SHAPE);
    expect_message(WK_SHAPE, "wk_vjp: the function's result is (2) f64, expected one element");
}
