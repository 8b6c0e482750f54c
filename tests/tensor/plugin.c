/* plugin.c: operations of one's own (examples/own_op), and plug-ins that are none. */
#define WK_NO_CALL_SITES
#include "support/sample.h"
#include "wick/autograd.h"
#include "wick/ops.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const wk_op_def *own(const char *name) {
    cr_assert_eq(wk_plugin_open(WICK_OWN_OP), WK_OK, "%s", wk_message());
    const wk_op_def *row = wk_op_find(name);
    cr_assert_not_null(row);
    return row;
}

Test(plugin, its_kernel_computes) {
    const wk_op_def *row = own("squareplus");
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk__sample_draw(&(wk_sample_in){ .dims = WK_DIMS(200, 300) }, 0, WK_F32, WK__SAMPLE_AS_SAID);
    wk_tensor *y = wk_op_run1(row, NULL, x);
    cr_assert_not_null(y, "%s", wk_message());
    for (int64_t i = 0; i < wk_count(x); i += 101) {
        double v = wk_at(x, i);
        cr_expect_lt(fabs(wk_at(y, i) - (v + sqrt(v * v + 4)) / 2), 1e-6);
    }
    wk_scope_end(scope);
}

static const wk_op_def *under_test;
static wk_tensor *apply(void *context, wk_tensor *const *in, int n_in) {
    (void)context, (void)n_in;
    return wk_op_run1(under_test, NULL, in[0]);
}

Test(plugin, its_gradients_are_right) {
    static const char *const names[] = { "squareplus", "scaled_tanh" };
    for (int i = 0; i < 2; i++) {
        under_test = own(names[i]);
        wk_scope scope = wk_scope_begin();
        wk_tensor *x =
            wk_keep(wk__sample_draw(&(wk_sample_in){ .dims = WK_DIMS(3, 5) }, 0, WK_F64, WK__SAMPLE_AS_SAID));
        wk_scope_end(scope);
        (void)wk_require_grad(x, true);
        cr_expect_eq(wk_gradcheck(apply, NULL, &x, 1, (wk_gradcheck_opts){ .second_order = true, .tolerance = 1e-4 }),
                     WK_OK, "%s: %s", names[i], wk_message());
        wk_release(x);
    }
}

Test(plugin, what_it_does_not_serve_is_named) {
    const wk_op_def *row = own("squareplus");
    wk_scope scope = wk_scope_begin();
    cr_expect_null(wk_op_run1(row, NULL, wk_transpose(wk_zeros(WK_F32, WK_DIMS(2, 3)), 0, 1)));
    cr_expect(strstr(wk_message(), "squareplus: f32 is not supported on cpu"), "%s", wk_message());
    wk_clear_error();
    cr_expect_null(wk_op_run1(row, NULL, wk_zeros(WK_BF16, WK_DIMS(2))));
    cr_expect(strstr(wk_message(), "squareplus: input 0 is bf16, expected f32, f64"), "%s", wk_message());
    wk_clear_error();
    wk_scope_end(scope);
}

Test(plugin, opening_twice_is_fine_and_what_is_none_is_refused) {
    (void)own("squareplus");
    cr_expect_eq(wk_plugin_open(WICK_OWN_OP), WK_OK);
    cr_expect_eq(wk_plugin_open("/nowhere/plugin.so"), WK_IO);
    cr_expect(strstr(wk_message(), "/nowhere/plugin.so"), "%s", wk_message());
    wk_clear_error();
    cr_expect_eq(wk_plugin_open("libm.so.6"), WK_FORMAT);
    cr_expect_str_eq(wk_message(), "libm.so.6: exports no wick_plugin");
    wk_clear_error();
    cr_expect_eq(wk_op_register_kernel("squareplus", "tpu", 0, NULL), WK_NOT_FOUND);
    wk_clear_error();
    cr_expect_eq(wk_op_register_kernel("nothing", "cpu", 0, NULL), WK_NOT_FOUND);
    wk_clear_error();
}
