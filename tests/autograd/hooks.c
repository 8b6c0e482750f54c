/* hooks.c: hooks of tensors, retained gradients, anomaly mode, walks inside walks. */
#include "support/sample.h"
#include "support/refused.h"
#include "wick/nn.h"
#include "wick/optim.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

SCOPED_SUITE(hooks);

static const wk_reduce_opts all = { .keep_dims = false };

static wk_tensor *leaf(double value) {
    return wk_require_grad(wk_keep(wk_full(WK_F64, WK_DIMS(2), value)), true);
}
static void expect_begins(wk_status code, const char *wanted) {
    cr_expect_eq(wk_error_code(), code, "%s", wk_status_name(wk_error_code()));
    cr_expect(strncmp(wk_message(), wanted, strlen(wanted)) == 0, "message \"%s\"\nexpected \"%s…\"", wk_message(),
              wanted);
    wk_clear_error();
}

typedef struct calls {
    int count;
    double seen, factor;
} calls;
static wk_tensor *look(void *context, wk_tensor *gradient) {
    calls *l = context;
    l->count++;
    l->seen = wk_at(gradient, 0);
    return l->factor != 0 ? wk_scale(gradient, l->factor) : NULL;
}

Test(hooks, of_a_result_see_its_whole_gradient_and_may_change_it) {
    wk_tensor *x = leaf(3);
    calls twice = { .factor = 2 }, only = { 0 };
    wk_tensor *square = wk_mul(x, x);
    cr_assert_neq(wk_on_gradient(square, look, &twice), 0);
    cr_assert_neq(wk_on_gradient(square, look, &only), 0);
    cr_assert_eq(wk_backward(wk_sum(wk_add(wk_scale(square, 4), wk_mul(square, square)), all)), WK_OK, "%s",
                 wk_message());
    cr_expect_eq(twice.count, 1);
    cr_expect_eq(twice.seen, 4.0 + 18, "the sum over both uses");
    cr_expect_eq(only.seen, 44.0, "the second one sees what the first one gave");
    cr_expect_eq(wk_at(wk_gradient(x), 0), 44.0 * 6);
    wk_release(x);
}

Test(hooks, of_a_leaf_see_the_sum_of_this_backward_alone) {
    wk_tensor *x = leaf(3);
    calls half = { .factor = 0.5 };
    wk_hook hook = wk_on_gradient(x, look, &half);
    for (int turn = 1; turn <= 2; turn++) {
        cr_assert_eq(wk_backward(wk_sum(wk_add(wk_mul(x, x), wk_scale(x, 4)), all)), WK_OK, "%s", wk_message());
        cr_expect_eq(half.count, turn);
        cr_expect_eq(half.seen, 10.0);
        cr_expect_eq(wk_at(wk_gradient(x), 0), 5.0 * turn);
    }
    wk_tensor *y = wk_sum(x, all), *d;
    cr_assert_eq(wk_grad(&y, 1, NULL, &x, 1, &d, (wk_grad_opts){ .retain_graph = true }), WK_OK);
    cr_expect_eq(wk_at(d, 0), 0.5, "gradients that are asked for pass hooks too");
    wk_unhook(x, hook);
    wk_unhook(x, hook);
    cr_assert_eq(wk_grad(&y, 1, NULL, &x, 1, &d, (wk_grad_opts){ 0 }), WK_OK);
    cr_expect_eq(wk_at(d, 0), 1.0);
    cr_expect_eq(half.count, 3);
    wk_release(x);
}

Test(hooks, stay_part_of_a_graph_of_the_walk) {
    wk_tensor *x = leaf(3), *first, *second;
    calls twice = { .factor = 2 };
    wk_tensor *square = wk_mul(x, x), *y = wk_sum(wk_mul(square, x), all);
    (void)wk_on_gradient(square, look, &twice);
    const wk_grad_opts create = { .create_graph = true };
    cr_assert_eq(wk_grad(&y, 1, NULL, &x, 1, &first, create), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_at(first, 0), 2 * 3.0 * 6 + 9); /* 2 x · 2 x + x² */
    wk_tensor *total = wk_sum(first, all);
    cr_assert_eq(wk_grad(&total, 1, NULL, &x, 1, &second, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    cr_expect_eq(twice.count, 2);
    cr_expect_eq(wk_at(second, 0), 8 * 3.0 + 2 * 2 * 3.0, "through x² once more: its hook doubles that part");
    wk_release(x);
}

static wk_tensor *too_long(void *context, wk_tensor *gradient) {
    (void)context, (void)gradient;
    return wk_zeros(WK_F64, WK_DIMS(3));
}
static wk_tensor *fails(void *context, wk_tensor *gradient) {
    (void)context;
    return wk_matmul(gradient, gradient);
}
Test(hooks, that_do_wrong) {
    wk_tensor *x = leaf(3), *plain = wk_zeros(WK_F64, WK_DIMS(2));
    (void)wk_on_gradient(x, too_long, NULL);
    cr_expect_eq(wk_backward(wk_sum(wk_mul(x, x), all)), WK_SHAPE);
    expect_begins(WK_SHAPE, "a gradient hook gave (3) f64 for a gradient (2) f64");
    cr_expect_null(wk_gradient(x));
    wk_tensor *other = leaf(2), *y = wk_mul(other, other);
    (void)wk_on_gradient(y, fails, NULL);
    cr_expect_eq(wk_backward(wk_sum(y, all)), WK_SHAPE);
    expect_begins(WK_SHAPE, "matmul: (2) f64 · (2) f64: both operands need at least two axes");
    cr_expect_eq(wk_on_gradient(plain, look, NULL), 0);
    expect_begins(WK_INVALID, "wk_on_gradient: (2) f64 wants no gradient");
    cr_expect_eq(wk_on_gradient_ready(y, NULL, NULL), 0);
    expect_begins(WK_INVALID, "wk_on_gradient_ready: the tensor is no leaf; use wk_require_grad");
    cr_expect_eq(wk_retain_grad(plain), WK_INVALID);
    expect_begins(WK_INVALID, "wk_retain_grad: (2) f64 wants no gradient");
    cr_assert_eq(wk_backward(wk_sum(wk_exp(other), all)), WK_OK, "a failed walk leaves nothing behind: %s",
                 wk_message());
    wk_release(x);
    wk_release(other);
}

typedef struct once {
    wk_tensor *x;
    wk_hook hook;
    int calls;
} once;
static wk_tensor *only_once(void *context, wk_tensor *gradient) {
    once *o = context;
    (void)gradient;
    o->calls++;
    wk_unhook(o->x, o->hook);
    return NULL;
}
static void ready_once(void *context, wk_tensor *x) {
    once *o = context;
    o->calls++;
    wk_unhook(x, o->hook);
}
Test(hooks, may_take_themselves_away) {
    wk_tensor *x = leaf(3);
    calls after = { 0 };
    once first = { .x = x }, ready = { .x = x };
    first.hook = wk_on_gradient(x, only_once, &first);
    ready.hook = wk_on_gradient_ready(x, ready_once, &ready);
    (void)wk_on_gradient(x, look, &after);
    for (int turn = 1; turn <= 3; turn++) {
        cr_assert_eq(wk_backward(wk_sum(wk_mul(x, x), all)), WK_OK);
        cr_expect_eq(first.calls, 1);
        cr_expect_eq(ready.calls, 1);
        cr_expect_eq(after.count, turn);
    }
    wk_release(x);
}

Test(hooks, retained_gradients) {
    wk_tensor *x = leaf(3);
    calls twice = { .factor = 2 };
    wk_tensor *square = wk_mul(x, x), *y = wk_sum(wk_scale(square, 5), all);
    cr_assert_eq(wk_retain_grad(square), WK_OK);
    cr_assert_eq(wk_retain_grad(square), WK_OK);
    cr_assert_eq(wk_retain_grad(x), WK_OK, "a leaf has its own");
    (void)wk_on_gradient(square, look, &twice);
    cr_expect_null(wk_gradient(square));
    cr_assert_eq(wk_backward_from(y, NULL, (wk_backward_opts){ .retain_graph = true }), WK_OK);
    cr_expect_eq(wk_at(wk_gradient(square), 0), 10.0, "after all hooks");
    cr_assert_eq(wk_backward(y), WK_OK);
    cr_expect_eq(wk_at(wk_gradient(square), 0), 20.0, "it adds up");
    cr_expect_eq(wk_at(wk_gradient(x), 0), 2 * 60.0);
    wk_release(x);
}

/* ---- walks inside walks ---- */

typedef struct inner {
    wk_tensor *of, *x;
    wk_status status;
    double value;
    bool accumulates;
} inner;
static wk_tensor *walk_inside(void *context, wk_tensor *gradient) {
    inner *i = context;
    (void)gradient;
    bool was = wk_enable_grad_begin();
    wk_tensor *y = i->of ? i->of : wk_sum(wk_mul(i->x, i->x), all), *d = NULL;
    wk_enable_grad_end(was);
    i->status = i->accumulates ? wk_backward(y) : wk_grad(&y, 1, NULL, &i->x, 1, &d, (wk_grad_opts){ 0 });
    i->value = d ? wk_at(d, 0) : -1;
    return NULL;
}
Test(hooks, may_ask_for_gradients_of_another_graph) {
    wk_tensor *x = leaf(3), *square = wk_mul(x, x);
    inner asks = { .x = x };
    (void)wk_on_gradient(square, walk_inside, &asks);
    cr_assert_eq(wk_backward(wk_sum(square, all)), WK_OK, "%s", wk_message());
    cr_expect_eq(asks.value, 6.0);
    cr_expect_eq(wk_at(wk_gradient(x), 0), 6.0, "counts of the outer walk are its own");
    wk_release(x);
}
Test(hooks, may_not_walk_what_is_being_walked) {
    wk_tensor *x = leaf(3), *square = wk_mul(x, x), *y = wk_sum(square, all);
    inner asks = { .x = x, .of = y };
    (void)wk_on_gradient(square, walk_inside, &asks);
    cr_expect_eq(wk_backward_from(y, NULL, (wk_backward_opts){ .retain_graph = true }), WK_STATE);
    expect_begins(WK_STATE, "backward: \"mul\" [hooks.c:");
    wk_tensor *other = wk_mul(x, x);
    asks = (inner){ .x = x, .accumulates = true };
    (void)wk_on_gradient(other, walk_inside, &asks);
    cr_expect_eq(wk_backward(wk_sum(other, all)), WK_STATE);
    expect_begins(WK_STATE, "backward: it reaches a leaf that a backward which runs already has still to finish");
    wk_release(x);
}

/* ---- anomaly mode ---- */

Test(hooks, a_nan_is_traced_to_the_operation_that_was_called) {
    wk_tensor *x = leaf(0), *y = wk_sum(wk_mul(wk_sqrt(x), wk_scale(x, 0)), all);
    cr_assert_eq(wk_backward_from(y, NULL, (wk_backward_opts){ .retain_graph = true }), WK_OK);
    cr_expect(isnan(wk_at(wk_gradient(x), 0)), "0 · ∞, and nobody says so");
    int was = wk_anomaly_begin((wk_anomaly_opts){ 0 });
    cr_expect_eq(wk_backward(y), WK_INVALID);
    cr_expect(strstr(wk_message(), "backward of \"sqrt\" [hooks.c:"), "%s", wk_message());
    cr_expect(strstr(wk_message(), "the gradient of its input 0, (2) f64, has a NaN"), "%s", wk_message());
    wk_clear_error();
    cr_expect_not_null(wk_log(wk_full(WK_F64, WK_DIMS(2), -1)), "results are not checked");
    wk_anomaly_end(was);
    wk_release(x);
}
Test(hooks, results_are_checked_on_request) {
    int was = wk_anomaly_begin((wk_anomaly_opts){ .check_forward = true });
    wk_tensor *minus = wk_full(WK_F32, WK_DIMS(2, 3), -1);
    cr_expect_null(wk_log(wk_transpose(minus, 0, 1)));
    expect_begins(WK_INVALID, "log: result 0, (3, 2) f32, has a NaN  [hooks.c:");
    int inside = wk_anomaly_begin((wk_anomaly_opts){ 0 });
    wk_anomaly_end(inside);
    cr_expect_null(wk_log(minus), "still on after an inner pair");
    wk_clear_error();
    wk_anomaly_end(was);
    cr_expect_not_null(wk_log(minus));
}
