/* fusion.c: neighbours that run tile by tile in a replayed step: which do, that bits do not change, what they need. */
#include "wick/autograd.h"
#include "wick/op.h"
#include "wick/ops.h"
#include "wick/step.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 200, COLUMNS = 513, STEPS = 5 }; /* tiles do not divide it */
static const wk_reduce_opts all = { .keep_dims = false };

typedef struct leaves {
    wk_tensor *x, *row, *column, *number; /* (ROWS, COLUMNS), (COLUMNS), (ROWS, 1), () */
} leaves;
typedef wk_tensor *(*function)(const leaves *l);

static wk_tensor *leaf(wk_dims dims, double phase) {
    wk_tensor *t = wk_kept_zeros(WK_F32, dims);
    for (int64_t i = 0; i < wk_count(t); i++) ((float *)wk_data(t))[i] = (float)sin((double)i * 0.37 + phase);
    return wk_require_grad(t, true);
}

/* What one run gives: the function's results and all gradients of each step, one behind the other. */
typedef struct outcome {
    float *values;
    size_t count;
    wk_step_report report;
} outcome;

static void append(outcome *o, wk_tensor *t) {
    size_t count = (size_t)wk_count(t);
    o->values = realloc(o->values, (o->count + count) * sizeof *o->values);
    memcpy(o->values + o->count, wk_data(wk_contiguous(t)), count * sizeof *o->values);
    o->count += count;
}

static outcome run(function f, int threads, bool in_steps) {
    wk_set_threads(threads);
    leaves l = { leaf(WK_DIMS(ROWS, COLUMNS), 0), leaf(WK_DIMS(COLUMNS), 1), leaf(WK_DIMS(ROWS, 1), 2),
                 leaf(WK_SCALAR, 0.7) };
    wk_tensor *const each[] = { l.x, l.row, l.column, l.number };
    outcome o = { 0 };
    for (int step = 0; step < STEPS; step++) {
        wk_scope scope = wk_scope_begin();
        if (in_steps) cr_assert_eq(wk_step_begin("fused"), WK_OK, "%s", wk_message());
        for (int i = 0; i < 4; i++) wk_clear_grad(each[i]);
        wk_tensor *y = f(&l);
        cr_assert_not_null(y, "%s", wk_message());
        append(&o, y);
        cr_assert_eq(wk_backward(wk_sum(y, all)), WK_OK, "%s", wk_message());
        for (int i = 0; i < 4; i++)
            if (wk_gradient(each[i])) append(&o, wk_gradient(each[i]));
        if (in_steps) cr_assert_eq(wk_step_end(), WK_OK, "%s", wk_message());
        wk_scope_end(scope);
    }
    o.report = wk_step_describe("fused");
    wk_step_forget(NULL);
    for (int i = 0; i < 4; i++) wk_release(each[i]);
    return o;
}

static void expect_same(const outcome *a, const outcome *b, const char *how) {
    cr_assert_eq(a->count, b->count);
    for (size_t i = 0; i < a->count; i++)
        cr_assert(memcmp(&a->values[i], &b->values[i], sizeof(float)) == 0, "%s: value %zu of %zu is %.9g, not %.9g",
                  how, i, a->count, (double)a->values[i], (double)b->values[i]);
}

/* Without steps, with them on one and several threads, and without fusion: the same bits. */
static wk_step_report check(function f, int least) {
    outcome wanted = run(f, 1, false), fused = run(f, 1, true), many = run(f, 3, true);
    expect_same(&fused, &wanted, "fused");
    expect_same(&many, &wanted, "on three threads");
    cr_expect_eq(fused.report.replayed, STEPS - 2);
    cr_expect_geq(fused.report.fused, least, "%d launches are fused", fused.report.fused);
    (void)setenv("WICK_FUSION", "0", 1);
    outcome plain = run(f, 1, true);
    (void)unsetenv("WICK_FUSION");
    expect_same(&plain, &wanted, "not fused");
    cr_expect_eq(plain.report.fused, 0);
    /* The tiles of inner results are counted: two, of 16384 elements each, where memory was reused before. */
    cr_expect_leq(fused.report.bytes, plain.report.bytes + 2 * 16384 * sizeof(float));
    free(wanted.values), free(fused.values), free(many.values), free(plain.values);
    return fused.report;
}

static wk_tensor *chain(const leaves *l) {
    wk_tensor *y = wk_mul(wk_tanh(l->x), wk_sigmoid(wk_scale(l->x, 1.5)));
    return wk_add(wk_mul(y, y), wk_sin(y));
}
Test(fusion, a_stretch_of_backward) {
    check(chain, 4);
}

static wk_tensor *made_of_parts(const leaves *l) {
    return wk_tanhshrink(wk_relu6(wk_scale(l->x, 4)));
}
Test(fusion, rows_that_are_made_of_parts) {
    wk_step_report report = check(made_of_parts, 4);
    cr_expect_lt(report.bytes, (size_t)(9 * ROWS * COLUMNS * 4), "%zu bytes: tanh(x) needs none", report.bytes);
}

static wk_tensor *with_broadcasts(const leaves *l) {
    wk_tensor *y = wk_mul(wk_add(l->x, l->row), wk_exp(l->column));
    return wk_mul(wk_square(wk_sub(y, l->number)), wk_cos(y));
}
Test(fusion, broadcast_operands) {
    check(with_broadcasts, 4);
}

static wk_tensor *turned(const leaves *l) {
    wk_tensor *y = wk_transpose(l->x, 0, 1);
    return wk_mul(wk_atan(y), wk_mul(wk_cos(y), wk_sin(y)));
}
Test(fusion, another_order_of_axes) {
    check(turned, 2);
}

/* A row of parts that reads what it has just made in another order. */
static wk_status with_transpose(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *y = wk_tanh(wk_scale(call->in[0], 2));
    out[0] = wk_mul(wk_add(y, wk_transpose(y, 0, 1)), y);
    return out[0] ? WK_OK : wk_error_code();
}
static void matrix_samples(wk_sampler *s) {
    WK_CASE(s, "small", NULL, { .dims = WK_DIMS(3, 3) });
}
static wk_cost matrix_cost(const wk_call *call) {
    return (wk_cost){ (double)call->in[0]->count, 0 };
}
static wk_op_def symmetric_row = { .name = "symmetric",
                                   .doc = "y (y + yᵀ), y = tanh 2x",
                                   .n_in = 1,
                                   .n_out = 1,
                                   .composite = true,
                                   .dtype = { .allowed = { WK_SET_OF(WK_F32) } },
                                   .decompose = with_transpose,
                                   .cost = matrix_cost,
                                   .samples = matrix_samples };
static wk_tensor *symmetric(const leaves *l) {
    enum { SIDE = 300 };
    wk_tensor *square = wk_reshape(wk_slice(wk_reshape(l->x, WK_DIMS(-1)), 0, 0, SIDE * SIDE, 1), WK_DIMS(SIDE, SIDE));
    return wk_op_run1(&symmetric_row, NULL, square);
}
Test(fusion, what_is_read_in_another_order_is_made_before) {
    cr_assert_eq(wk_op_register(&symmetric_row), WK_OK, "%s", wk_message());
    check(symmetric, 2);
}

static wk_tensor *in_half(const leaves *l) {
    wk_tensor *y = wk_cast(l->x, WK_BF16);
    return wk_cast(wk_mul(wk_tanh(y), wk_mul(y, wk_sigmoid(y))), WK_F32);
}
Test(fusion, half_types_round_at_each_row) {
    check(in_half, 4);
}

/* Its two parts are looked at by the host between the calls. */
static wk_tensor *looked_at(const leaves *l) {
    wk_tensor *y = wk_tanhshrink(l->x);
    double first = wk_at(y, 0);
    return wk_scale(wk_tanhshrink(y), first == wk_at(y, 0) ? 2 : 3);
}
Test(fusion, results_may_be_read_as_ever) {
    check(looked_at, 2);
}

Test(fusion, small_tensors_are_left_alone) {
    wk_set_threads(1);
    wk_tensor *x = leaf(WK_DIMS(100), 0);
    for (int step = 0; step < STEPS; step++) {
        wk_scope scope = wk_scope_begin();
        (void)wk_step_begin("small");
        (void)wk_backward(wk_sum(wk_tanhshrink(x), all));
        (void)wk_step_end();
        wk_scope_end(scope);
    }
    cr_expect_eq(wk_step_describe("small").fused, 0);
    cr_expect_eq(wk_step_describe("small").replayed, STEPS - 2);
    wk_release(x);
}

/* ---- a kernel that fails in the midst of a group ---- */

static wk_status rest_of_square(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x = call->in[0];
    out[0] = wk_add(wk_remainder(wk_mul(x, x), call->in[1]), x);
    return out[0] ? WK_OK : wk_error_code();
}
static void no_samples(wk_sampler *s) {
    WK_CASE(s, "small", NULL, { .dims = WK_DIMS(3), .kind = WK_SAMPLE_INDEX, .low = 1, .high = 5 },
            { .dims = WK_DIMS(3), .kind = WK_SAMPLE_INDEX, .low = 1, .high = 5 });
}
static wk_cost no_cost(const wk_call *call) {
    return (wk_cost){ (double)call->in[0]->count, 0 };
}
static wk_op_def rest_row = { .name = "rest_of_square",
                              .doc = "x² mod y + x",
                              .n_in = 2,
                              .n_out = 1,
                              .composite = true,
                              .dtype = { .allowed = { WK_SET_OF(WK_I64), WK_SET_OF(WK_I64) } },
                              .not_differentiable = "whole numbers",
                              .decompose = rest_of_square,
                              .cost = no_cost,
                              .samples = no_samples };

Test(fusion, a_failing_kernel_fails_as_it_does_alone) {
    enum { COUNT = 70000 };
    cr_assert_eq(wk_op_register(&rest_row), WK_OK, "%s", wk_message());
    wk_set_threads(2);
    wk_tensor *x = wk_kept_zeros(WK_I64, WK_DIMS(COUNT)), *y = wk_kept_zeros(WK_I64, WK_DIMS(COUNT));
    int64_t *a = wk_data(x), *b = wk_data(y);
    for (int step = 0; step < 2 * STEPS; step++) {
        for (int64_t i = 0; i < COUNT; i++) a[i] = i + step, b[i] = 7;
        if (step == STEPS) b[COUNT - 9] = 0;
        wk_scope scope = wk_scope_begin();
        cr_assert_eq(wk_step_begin("rest"), WK_OK, "%s", wk_message());
        wk_tensor *rest = wk_op_run2(&rest_row, NULL, x, y);
        if (step == STEPS) {
            cr_expect_null(rest);
            cr_expect(strstr(wk_message(), "remainder: an integer is divided by zero"), "%s", wk_message());
            wk_clear_error();
        } else {
            cr_assert_not_null(rest, "%s", wk_message());
            for (int64_t i = 0; i < COUNT; i += 997) cr_expect_eq(wk_at(rest, i), (double)(a[i] * a[i] % 7 + a[i]));
        }
        (void)wk_step_end();
        wk_scope_end(scope);
    }
    cr_expect_eq(wk_step_describe("rest").fused, 3);
    wk_release(x);
    wk_release(y);
}
