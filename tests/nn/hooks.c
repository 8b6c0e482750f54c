/* hooks.c: hooks of modules: order, replacement, gradients of inputs and results, shared modules, several slots. */
#define WK_NO_CALL_SITES
#include "support/sample.h"
#include "support/refused.h"
#include "wick/nn.h"

#include <criterion/criterion.h>
#include <string.h>

SCOPED_SUITE(module_hooks);

static const wk_reduce_opts all = { .keep_dims = false };

static char order[200];
static void note(const char *word) {
    (void)strncat(order, word, sizeof order - strlen(order) - 1);
}

static wk_status before(void *context, wk_module *module, wk_args *in) {
    (void)module;
    note(context);
    in->slot[0].tensor = wk_scale(in->slot[0].tensor, 2);
    return WK_OK;
}
static wk_status after(void *context, wk_module *module, const wk_args *in, wk_args *out) {
    (void)module, (void)in;
    note(context);
    out->slot[0].tensor = wk_scale(out->slot[0].tensor, 10);
    return WK_OK;
}
typedef struct seen {
    int calls;
    double in, out, factor;
    bool had_in;
} seen;
static wk_status backward(void *context, wk_module *module, wk_args *grad_in, const wk_args *grad_out) {
    seen *s = context;
    (void)module;
    s->calls++;
    s->had_in = grad_in->slot[0].tensor != NULL;
    s->in = s->had_in ? wk_at(grad_in->slot[0].tensor, 0) : 0;
    s->out = grad_out->slot[0].tensor ? wk_at(grad_out->slot[0].tensor, 0) : -1;
    if (s->factor != 0) grad_in->slot[0].tensor = wk_scale(grad_in->slot[0].tensor, s->factor);
    return WK_OK;
}

/* y = w · x */
static wk_module *scale_module(float weight) {
    wk_module *m = wk_nn_linear(1, 1, (wk_layer_opts){ .no_bias = true });
    *(float *)wk_data(wk_parameters(m).tensor[0]) = weight;
    return m;
}
static wk_tensor *input(double value, bool wants) {
    wk_tensor *x = wk_keep(wk_full(WK_F32, WK_DIMS(1, 1), value));
    return wants ? wk_require_grad(x, true) : x;
}

Test(module_hooks, see_and_change_what_passes) {
    wk_module *m = scale_module(3);
    order[0] = '\0';
    wk_hook first = wk_on_forward_pre(m, before, "a"), second = wk_on_forward_pre(m, before, "b");
    wk_hook third = wk_on_forward(m, after, "c");
    cr_assert(first && second && third);
    wk_tensor *x = input(1, false);
    cr_expect_eq(wk_item(wk_forward(m, x)), 1 * 2 * 2 * 3 * 10.0);
    cr_expect_str_eq(order, "abc");
    wk_module_unhook(m, second);
    wk_module_unhook(m, second);
    cr_expect_eq(wk_item(wk_forward(m, x)), 60.0);
    wk_module_unhook(m, first);
    wk_module_unhook(m, third);
    cr_expect_eq(wk_item(wk_forward(m, x)), 3.0);
    wk_release(x);
    wk_module_destroy(m);
}

Test(module_hooks, gradients_of_this_use_alone) {
    wk_module *m = scale_module(3);
    seen s = { .factor = 0.5 };
    wk_hook hook = wk_on_backward(m, backward, &s);
    wk_tensor *x = input(1, true);
    wk_tensor *y = wk_forward(m, x);
    cr_assert_eq(wk_backward(wk_sum(wk_add(wk_scale(y, 7), wk_scale(x, 100)), all)), WK_OK, "%s", wk_message());
    cr_expect_eq(s.calls, 1);
    cr_expect_eq(s.out, 7.0);
    cr_expect_eq(s.in, 21.0);
    cr_expect_eq(wk_item(wk_gradient(x)), 10.5 + 100, "halved, beside what came another way");
    cr_expect_eq(wk_item(wk_gradient(wk_parameters(m).tensor[0])), 7.0);
    /* Used twice in a row: two runs, two calls. */
    s = (seen){ 0 };
    cr_assert_eq(wk_backward(wk_sum(wk_forward(m, wk_forward(m, x)), all)), WK_OK, "%s", wk_message());
    cr_expect_eq(s.calls, 2);
    cr_expect_eq(s.in, 9.0, "the first run's comes last");
    cr_expect_eq(s.out, 3.0);
    wk_module_unhook(m, hook);
    cr_assert_eq(wk_backward(wk_sum(wk_forward(m, x), all)), WK_OK);
    cr_expect_eq(s.calls, 2);
    wk_release(x);
    wk_module_destroy(m);
}

Test(module_hooks, an_input_that_wants_no_gradient) {
    wk_module *m = scale_module(3);
    seen s = { 0 };
    (void)wk_on_backward(m, backward, &s);
    wk_tensor *x = input(1, false);
    cr_assert_eq(wk_backward(wk_sum(wk_scale(wk_forward(m, x), 5), all)), WK_OK, "%s", wk_message());
    cr_expect(s.calls == 1 && !s.had_in && s.out == 5.0);
    bool was = wk_no_grad_begin();
    cr_expect_eq(wk_item(wk_forward(m, x)), 3.0);
    wk_no_grad_end(was);
    cr_expect_eq(s.calls, 1);
    wk_release(x);
    wk_module_destroy(m);
}

Test(module_hooks, gradients_of_gradients_pass_them) {
    wk_module *m = scale_module(3);
    seen s = { 0 };
    (void)wk_on_backward(m, backward, &s);
    wk_tensor *x = input(2, true), *d, *dd;
    wk_tensor *y = wk_forward(m, wk_mul(x, x)); /* 3 x² */
    y = wk_sum(wk_mul(y, y), all);              /* 9 x⁴ */
    cr_assert_eq(wk_grad(&y, 1, NULL, &x, 1, &d, (wk_grad_opts){ .create_graph = true }), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_item(d), 9 * 4 * 8.0);
    cr_assert_eq(wk_grad(&d, 1, NULL, &x, 1, &dd, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_item(dd), 9 * 12 * 4.0);
    wk_release(x);
    wk_module_destroy(m);
}

/* A layer that Sequential would run together with the ReLU behind it is run alone when somebody looks. */
Test(module_hooks, inside_a_sequential) {
    wk_module *m = wk_nn_sequential(scale_module(-3), wk_nn_relu());
    wk_tensor *x = input(1, false);
    wk_tensor *fused = wk_forward(m, x);
    cr_expect_eq(wk_item(fused), 0.0);
    order[0] = '\0';
    wk_module *linear = scale_module(-3);
    (void)wk_on_forward(linear, after, "l");
    wk_module *hooked = wk_nn_sequential(linear, wk_nn_relu());
    cr_expect_eq(wk_item(wk_forward(hooked, wk_neg(x))), 30.0);
    cr_expect_str_eq(order, "l");
    wk_release(x);
    wk_module_destroy(m);
    wk_module_destroy(hooked);
}

/* ---- several slots ---- */

static wk_status sum_and_product(wk_module *self, const wk_args *in, wk_args *out) {
    (void)self;
    *out = (wk_args){ .count = 2,
                      .slot = { { "sum", wk_add(in->slot[0].tensor, in->slot[1].tensor) },
                                { "product", wk_mul(in->slot[0].tensor, in->slot[1].tensor) } } };
    return WK_OK;
}
static wk_status two_slots(void *context, wk_module *module, wk_args *grad_in, const wk_args *grad_out) {
    double *values = context;
    (void)module;
    for (int i = 0; i < 2; i++) {
        values[i] = grad_in->slot[i].tensor ? wk_item(grad_in->slot[i].tensor) : -1;
        values[2 + i] = grad_out->slot[i].tensor ? wk_item(grad_out->slot[i].tensor) : -1;
    }
    return WK_OK;
}
static wk_status refuses(void *context, wk_module *module, wk_args *in) {
    (void)context, (void)in;
    return wk_fail(WK_INVALID, "module \"%s\" is not for you", module->path);
}
Test(module_hooks, of_several_slots) {
    static const wk_module_class class_ = { .name = "Both",
                                            .size = sizeof(wk_module),
                                            .forward_args = sum_and_product };
    wk_module *m = wk_module_create(&class_);
    double values[4];
    (void)wk_on_backward(m, two_slots, values);
    wk_tensor *a = input(2, true), *b = input(5, true);
    const wk_args in = { .count = 2, .slot = { { "a", a }, { "b", b } } };
    wk_args out;
    cr_assert_eq(wk_forward_args(m, &in, &out), WK_OK, "%s", wk_message());
    cr_expect_str_eq(out.slot[1].name, "product");
    cr_assert_eq(wk_backward(wk_sum(wk_scale(out.slot[1].tensor, 3), all)), WK_OK, "%s", wk_message());
    cr_expect(values[0] == 15 && values[1] == 6 && values[2] == -1 && values[3] == 3);
    cr_expect_eq(wk_item(wk_gradient(a)), 15.0);
    (void)wk_on_forward_pre(m, refuses, NULL);
    cr_expect_eq(wk_forward_args(m, &in, &out), WK_INVALID);
    cr_expect_str_eq(wk_message(), "module \"\" is not for you");
    wk_clear_error();
    wk_release(a);
    wk_release(b);
    wk_module_destroy(m);
}
