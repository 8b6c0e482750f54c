/* parts.c: gradients of slices, which are added to the part of the sum that they belong to. */
#include "support/refused.h"
#include "wick/autograd.h"
#include "wick/op.h"
#include "wick/ops.h"

SCOPED_SUITE(parts);

static const wk_reduce_opts all = { .keep_dims = false };

static wk_tensor *leaf(int64_t count) {
    return wk_require_grad(wk_keep(wk_cast(wk_arange(count), WK_F64)), true);
}
static wk_tensor *slice(wk_tensor *x, int64_t begin, int64_t end) {
    return wk_slice(x, 0, begin, end, 1);
}
static wk_tensor *times(wk_tensor *x, double factor) {
    return wk_sum(wk_scale(x, factor), all);
}
static void expect_values(wk_tensor *x, const double *wanted, const char *what) {
    cr_assert_not_null(x, "%s: %s", what, wk_message());
    for (int64_t i = 0; i < wk_count(x); i++)
        cr_expect_eq(wk_at(x, i), wanted[i], "%s: element %d is %g, expected %g", what, (int)i, wk_at(x, i), wanted[i]);
}

/* 1 on [0, 4), 10 on [2, 6), 100 on 1, 3 and 5. */
static wk_tensor *overlapping(wk_tensor *x) {
    wk_tensor *y = wk_add(times(slice(x, 0, 4), 1), times(slice(x, 2, 6), 10));
    return wk_add(y, times(wk_slice(x, 0, 1, 6, 2), 100));
}
static const double overlap[] = { 1, 101, 11, 111, 10, 110 };

Test(parts, that_overlap_are_added_up_in_a_result_and_in_a_leaf) {
    wk_tensor *x = leaf(6), *d;
    wk_tensor *y = wk_scale(x, 1);
    cr_assert_eq(wk_backward(overlapping(y)), WK_OK, "%s", wk_message());
    expect_values(wk_gradient(x), overlap, "through a result");
    cr_assert_eq(wk_backward(overlapping(x)), WK_OK, "%s", wk_message());
    double twice[6];
    for (int i = 0; i < 6; i++) twice[i] = 2 * overlap[i];
    expect_values(wk_gradient(x), twice, "of a leaf, beside what it has");
    wk_tensor *loss = overlapping(x);
    cr_assert_eq(wk_grad(&loss, 1, NULL, &x, 1, &d, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    expect_values(d, overlap, "asked for");
    wk_tensor *both[2], *inputs[] = { x, x };
    loss = overlapping(x);
    cr_assert_eq(wk_grad(&loss, 1, NULL, inputs, 2, both, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    expect_values(both[0], overlap, "asked for twice");
    expect_values(both[1], overlap, "asked for twice");
    wk_release(x);
}

static wk_tensor *twice(void *context, wk_tensor *gradient) {
    (void)context;
    return wk_scale(gradient, 2);
}

Test(parts, of_a_leaf_with_a_hook_reach_it_as_one_sum) {
    wk_tensor *x = leaf(6);
    (void)wk_on_gradient(x, twice, NULL);
    cr_assert_eq(wk_backward(overlapping(x)), WK_OK, "%s", wk_message());
    double wanted[6];
    for (int i = 0; i < 6; i++) wanted[i] = 2 * overlap[i];
    expect_values(wk_gradient(x), wanted, "hooked");
    wk_release(x);
}

/* The gradient of a + b is one tensor for both: what a's slice adds must not show in b's. */
Test(parts, leave_gradients_alone_that_others_share) {
    wk_tensor *x = leaf(3), *z = leaf(3), *d[2];
    wk_tensor *a = wk_scale(x, 1), *b = wk_scale(z, 1), *sum = wk_add(a, b), *part = slice(a, 1, 2);
    wk_tensor *outputs[] = { sum, part }, *inputs[] = { a, b };
    wk_tensor *seeds[] = { wk_full(WK_F64, WK_DIMS(3), 1), wk_full(WK_F64, WK_DIMS(1), 5) };
    cr_assert_eq(wk_grad(outputs, 2, seeds, inputs, 2, d, (wk_grad_opts){ .retain_graph = true }), WK_OK, "%s",
                 wk_message());
    expect_values(d[0], (double[]){ 1, 6, 1 }, "a");
    expect_values(d[1], (double[]){ 1, 1, 1 }, "b");
    expect_values(seeds[0], (double[]){ 1, 1, 1 }, "the seed");
    wk_tensor *again[] = { a, part };
    cr_assert_eq(wk_grad(again, 2, seeds, &x, 1, d, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    expect_values(d[0], (double[]){ 1, 6, 1 }, "x");
    expect_values(seeds[0], (double[]){ 1, 1, 1 }, "the seed of what was sliced");
    wk_release(x);
    wk_release(z);
}

/* Gradients of gradients note every step, so nothing is added in place there. */
Test(parts, have_second_derivatives) {
    wk_tensor *x = leaf(4), *d, *second;
    wk_tensor *y = wk_add(wk_sum(wk_pow_scalar(slice(x, 0, 3), 3), all), wk_sum(wk_pow_scalar(slice(x, 1, 4), 3), all));
    cr_assert_eq(wk_grad(&y, 1, NULL, &x, 1, &d, (wk_grad_opts){ .create_graph = true }), WK_OK, "%s", wk_message());
    expect_values(d, (double[]){ 0, 6, 24, 27 }, "3 x²");
    wk_tensor *total = wk_sum(d, all);
    cr_assert_eq(wk_grad(&total, 1, NULL, &x, 1, &second, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    expect_values(second, (double[]){ 0, 12, 24, 18 }, "6 x");
    wk_release(x);
}

/* 64 parts: each moved once, and not 64 tensors. */
Test(parts, cost_what_the_tensor_has_and_not_as_often_as_there_are_parts) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_require_grad(wk_keep(wk_full(WK_F32, WK_DIMS(64, 100), 1)), true), *row[64], *d;
    wk_scope_end(scope);
    cr_assert_eq(wk_unbind(x, 0, row, 64), 64);
    wk_tensor *seed[64];
    for (int i = 0; i < 64; i++) seed[i] = wk_full(WK_F32, WK_DIMS(100), i);
    wk_cost_begin();
    cr_assert_eq(wk_grad(row, 64, seed, &x, 1, &d, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    wk_cost cost = wk_cost_end();
    for (int i = 0; i < 64; i++) cr_expect_eq(wk_at(d, 100 * i + 7), i);
    cr_expect_lt(cost.bytes, 5.0 * 64 * 100 * 4, "%g bytes", cost.bytes);
    wk_release(x);
}

/* A table that is looked up and multiplied by: the head's gradient comes first, rows are added to it where they belong;
 * with padding, twice the same row, and in each place that a sum may stand. */
static wk_tensor *of_a_table(wk_tensor *table) {
    wk_tensor *index = wk_from_array(WK_I64, WK_DIMS(4), (int64_t[]){ 2, 0, 2, 1 });
    wk_tensor *rows = wk_embedding(table, index, (wk_embedding_opts){ .padding_idx = WK_SET(1) });
    wk_tensor *weights = wk_reshape(wk_cast(wk_arange(8), WK_F64), WK_DIMS(4, 2));
    return wk_add(wk_sum(wk_mul(rows, weights), all), wk_sum(wk_scale(table, 100), all));
}
/* rows: 2 takes (0, 1) and (4, 5), 0 takes (2, 3), 1 is padding */
static const double of_table[] = { 102, 103, 100, 100, 104, 106 };

Test(parts, rows_of_a_table_are_added_to_what_it_has) {
    wk_tensor *x = wk_require_grad(wk_keep(wk_reshape(wk_cast(wk_arange(6), WK_F64), WK_DIMS(3, 2))), true), *d;
    cr_assert_eq(wk_backward(of_a_table(x)), WK_OK, "%s", wk_message());
    expect_values(wk_gradient(x), of_table, "of a leaf");
    cr_assert_eq(wk_backward(of_a_table(x)), WK_OK, "%s", wk_message());
    double twice[6];
    for (int i = 0; i < 6; i++) twice[i] = 2 * of_table[i];
    expect_values(wk_gradient(x), twice, "beside what it has");
    wk_clear_grad(x);
    cr_assert_eq(wk_backward(of_a_table(wk_scale(x, 1))), WK_OK, "%s", wk_message());
    expect_values(wk_gradient(x), of_table, "through a result");
    wk_tensor *loss = of_a_table(x);
    cr_assert_eq(wk_grad(&loss, 1, NULL, &x, 1, &d, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    expect_values(d, of_table, "asked for");
    wk_release(x);
}
