/* tape.c: accumulation, retained graphs, versions, hooks, lifetimes, deep graphs, threads. */
#include "autograd/tape.h"
#include "support/sample.h"
#include "wick/nn.h"
#include "wick/optim.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

static const wk_reduce_opts all = { .keep_dims = false };

static wk_tensor *leaf(int64_t count, double value) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *tensor = wk_require_grad(wk_keep(wk_full(WK_F32, WK_DIMS(count), value)), true);
    wk_scope_end(scope);
    return tensor;
}
/* Σ x² has the gradient 2 x. */
static wk_tensor *squares(wk_tensor *x) {
    return wk_sum(wk_mul(x, x), all);
}
static double gradient_of(const wk_tensor *x) {
    wk_tensor *gradient = wk_gradient(x);
    return gradient ? wk_at(gradient, 0) : -1;
}
static void expect_begins(const char *wanted) {
    cr_expect(strncmp(wk_message(), wanted, strlen(wanted)) == 0, "message \"%s\"\nexpected \"%s…\"", wk_message(),
              wanted);
    wk_clear_error();
}

Test(tape, gradients_accumulate_until_cleared) {
    wk_tensor *x = leaf(3, 5);
    cr_expect_null(wk_gradient(x));
    for (int turn = 1; turn <= 2; turn++) {
        wk_scope scope = wk_scope_begin();
        cr_assert_eq(wk_backward(squares(x)), WK_OK, "%s", wk_message());
        cr_expect_eq(gradient_of(x), 10.0 * turn);
        wk_scope_end(scope);
    }
    wk_clear_grad(x);
    cr_expect_null(wk_gradient(x));
    wk_scope scope = wk_scope_begin();
    cr_assert_eq(wk_backward(squares(x)), WK_OK);
    wk_scope_end(scope);
    cr_expect_eq(gradient_of(x), 10.0, "a cleared gradient starts anew");
    wk_release(x);
}

Test(tape, a_graph_is_consumed_unless_retained) {
    wk_tensor *x = leaf(3, 5);
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = squares(x);
    cr_assert_eq(wk_backward_from(y, NULL, (wk_backward_opts){ .retain_graph = true }), WK_OK);
    cr_assert_eq(wk_backward(y), WK_OK, "%s", wk_message());
    cr_expect_eq(gradient_of(x), 20.0);
    cr_expect_eq(wk_backward(y), WK_STATE);
    expect_begins("backward: the part of the tape behind \"sum\" [tape.c:");
    cr_expect_eq(gradient_of(x), 20.0);
    wk_scope_end(scope);
    wk_release(x);
}

Test(tape, branches_that_share_a_part_of_the_graph) {
    wk_tensor *x = leaf(1, 3);
    wk_scope scope = wk_scope_begin();
    wk_tensor *shared = wk_mul(x, x), *y = wk_add(wk_mul(shared, shared), shared); /* x⁴ + x² */
    cr_assert_eq(wk_backward(wk_sum(y, all)), WK_OK);
    cr_expect_eq(gradient_of(x), 4.0 * 27 + 2 * 3);
    wk_scope_end(scope);
    wk_release(x);
}

Test(tape, a_changed_operand_is_found_and_both_places_named) {
    wk_tensor *x = leaf(3, 5);
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = squares(x);
    wk_tensor *none = wk_full(WK_F32, WK_DIMS(3), 1);
    cr_assert_eq(wk_copy_into(x, none), WK_OK);
    cr_expect_eq(wk_backward(y), WK_VERSION);
    cr_expect(strstr(wk_message(), "backward of \"mul\" [tape.c:"), "%s", wk_message());
    cr_expect(strstr(wk_message(), "was changed in place since, by the call at [wk_copy_into]; change a copy instead"),
              "%s", wk_message());
    wk_clear_error();
    cr_expect_null(wk_gradient(x));
    wk_scope_end(scope);
    wk_release(x);
}

Test(tape, an_optimizer_step_between_two_backwards_is_named) {
    wk_tensor *x = leaf(3, 5);
    const char *name = "x";
    wk_optim *optim = wk_sgd((wk_named_tensors){ &x, &name, 1 }, (wk_sgd_opts){ .lr = 1 });
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = squares(x);
    cr_assert_eq(wk_backward_from(y, NULL, (wk_backward_opts){ .retain_graph = true }), WK_OK);
    cr_assert_eq(wk_optim_step(optim), WK_OK);
    cr_expect_eq(wk_backward(y), WK_VERSION);
    cr_expect(strstr(wk_message(), "by the call at [wk_optim_step]"), "%s", wk_message());
    wk_clear_error();
    wk_scope_end(scope);
    wk_optim_destroy(optim);
    wk_release(x);
}

Test(tape, a_change_of_what_backward_does_not_need_is_fine) {
    wk_tensor *x = leaf(3, 5);
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = wk_sum(wk_scale(x, 3), all);
    cr_assert_eq(wk_copy_into(x, wk_full(WK_F32, WK_DIMS(3), 1)), WK_OK);
    cr_expect_eq(wk_backward(y), WK_OK, "%s", wk_message());
    cr_expect_eq(gradient_of(x), 3.0);
    wk_scope_end(scope);
    wk_release(x);
}

Test(tape, nothing_is_noted_without_gradients) {
    wk_tensor *x = leaf(3, 5);
    wk_scope scope = wk_scope_begin();
    bool outer = wk_no_grad_begin(), inner = wk_no_grad_begin();
    cr_expect(!outer && inner);
    wk_no_grad_end(inner);
    wk_tensor *y = squares(x);
    cr_expect_not(wk_requires_grad(y), "still inside the outer one");
    wk_no_grad_end(outer);
    cr_expect(wk_requires_grad(squares(x)));
    cr_expect_not(wk_requires_grad(wk_detach(squares(x))));
    cr_expect_eq(wk_backward(wk_sum(wk_mul(x, wk_detach(x)), all)), WK_OK);
    cr_expect_eq(gradient_of(x), 5.0, "a detached factor is a constant");
    wk_require_grad(x, false);
    cr_expect_not(wk_requires_grad(squares(x)), "a frozen leaf");
    wk_scope_end(scope);
    wk_release(x);
}

/* ---- hooks ---- */

typedef struct calls {
    int count;
    double seen;
} calls;
static void note(void *context, wk_tensor *x) {
    calls *c = context;
    c->count++;
    c->seen = gradient_of(x);
}
Test(tape, a_hook_runs_once_when_the_gradient_is_complete) {
    wk_tensor *x = leaf(2, 5), *other = leaf(2, 1);
    calls of_x = { 0 }, of_other = { 0 };
    wk_hook hook = wk_on_gradient_ready(x, note, &of_x);
    cr_assert_neq(hook, 0);
    cr_assert_neq(wk_on_gradient_ready(other, note, &of_other), 0);
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = wk_add(wk_add(wk_mul(x, x), x), wk_scale(x, 4)); /* three uses: 2 x + 1 + 4 */
    cr_assert_eq(wk_backward(wk_sum(y, all)), WK_OK);
    cr_expect_eq(of_x.count, 1);
    cr_expect_eq(of_x.seen, 15.0);
    cr_expect_eq(of_other.count, 0, "nothing depends on it");
    wk_unhook(x, hook);
    cr_assert_eq(wk_backward(squares(x)), WK_OK);
    cr_expect_eq(of_x.count, 1, "taken away");
    wk_scope_end(scope);
    wk_release(x);
    wk_release(other);
}

/* ---- gradients of what is no leaf ---- */

Test(tape, gradients_of_intermediate_tensors) {
    wk_tensor *x = leaf(1, 3);
    wk_scope scope = wk_scope_begin();
    wk_tensor *square = wk_mul(x, x), *unrelated = wk_scale(x, 2), *y = wk_sum(wk_mul(square, square), all), *d[3];
    const wk_grad_opts keep = { .retain_graph = true };
    wk_tensor *const inputs[] = { x, square, unrelated };
    cr_expect_eq(wk_grad(&y, 1, NULL, inputs, 3, d, keep), WK_INVALID);
    expect_begins("wk_gradients: no output depends on input 2, (1) f32; set allow_unused if that may be");
    cr_assert_eq(wk_grad(&y, 1, NULL, inputs, 3, d, (wk_grad_opts){ .allow_unused = true }), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_item(d[0]), 108.0); /* 4 x³ */
    cr_expect_eq(wk_item(d[1]), 18.0);  /* 2 x² */
    cr_expect_null(d[2]);
    cr_expect_null(wk_gradient(x), "leaves are not written");
    wk_scope_end(scope);
    wk_release(x);
}

Test(tape, gradients_of_gradients) {
    wk_tensor *x = leaf(1, 3);
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = wk_sum(wk_mul(wk_mul(x, x), x), all), *first, *second, *third;
    const wk_grad_opts create = { .create_graph = true };
    cr_assert_eq(wk_grad(&y, 1, NULL, &x, 1, &first, create), WK_OK);
    cr_assert_eq(wk_grad(&first, 1, NULL, &x, 1, &second, create), WK_OK);
    cr_assert_eq(wk_grad(&second, 1, NULL, &x, 1, &third, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_item(first), 27.0);
    cr_expect_eq(wk_item(second), 18.0);
    cr_expect_eq(wk_item(third), 6.0);
    wk_scope_end(scope);
    wk_release(x);
}

/* ---- gradients in someone else's memory ---- */

Test(tape, a_gradient_is_written_where_it_was_placed) {
    wk_tensor *weight = leaf(12, 0.5), *bucket = wk_kept_zeros(WK_F32, WK_DIMS(20));
    wk_tensor *place = wk__kept_on(bucket->storage, 16, WK_F32, WK_DIMS(12)); /* bytes: from element 4 on */
    cr_assert_not_null(place);
    wk__leaf_place_gradient(weight, place);
    for (int turn = 0; turn < 2; turn++) {
        wk_scope scope = wk_scope_begin();
        cr_assert_eq(
            wk_backward(wk_sum(wk_matmul(wk_full(WK_F32, WK_DIMS(2, 4), 1), wk_reshape(weight, WK_DIMS(4, 3))), all)),
            WK_OK);
        wk_scope_end(scope);
        for (int i = 0; i < 20; i++)
            cr_expect_eq(wk_at(bucket, i), i < 4 || i >= 16 ? 0.0 : 2.0 * (turn + 1), "element %d", i);
    }
    wk_release(weight);
    wk_release(bucket);
}

/* ---- lifetimes ---- */

typedef struct probe {
    wk_module base;
    wk_tensor *inside, *needed;
} probe;
static wk_tensor *probe_forward(wk_module *self, wk_tensor *x) {
    probe *p = (probe *)self;
    p->inside = wk_scale(x, 2); /* affine keeps nothing for backward */
    p->needed = wk_exp(p->inside);
    return wk_scale(p->needed, 3);
}
/* ---- one leaf in several places: what is written straight into its gradient must not meet the rest ---- */

static wk_tensor *numbers(double step) {
    return wk_affine(wk_reshape(wk_cast(wk_arange(9), WK_F32), WK_DIMS(3, 3)), (wk_affine_opts){ step, -1 });
}
static wk_tensor *times(wk_tensor *x, wk_tensor *weight) {
    return wk_linear(x, weight, NULL, (wk_linear_opts){ 0 });
}
static wk_tensor *turned(wk_tensor *w) {
    return wk_transpose(w, 0, 1);
}
static wk_tensor *squared(wk_tensor *w) {
    return wk_matmul(w, w);
}
static wk_tensor *turned_squared(wk_tensor *w) {
    wk_tensor *t = turned(w);
    return wk_matmul(t, t);
}
static wk_tensor *by_itself_turned(wk_tensor *w) {
    return wk_matmul(w, turned(w));
}
static wk_tensor *turned_once(wk_tensor *w) {
    return times(numbers(0.25), turned(w));
}
static wk_tensor *one_view_twice(wk_tensor *w) {
    wk_tensor *t = turned(w);
    return times(times(numbers(0.25), t), t);
}
static wk_tensor *two_views(wk_tensor *w) {
    return times(times(numbers(0.25), turned(w)), turned(w));
}
static wk_tensor *turned_and_not(wk_tensor *w) {
    return times(times(numbers(0.25), turned(w)), w);
}
static wk_tensor *not_and_turned(wk_tensor *w) {
    return times(times(numbers(0.25), w), turned(w));
}
static wk_tensor *turned_and_cast(wk_tensor *w) {
    return times(wk_cast(numbers(0.25), WK_F64), wk_cast(turned(w), WK_F64));
}
static wk_tensor *cast_twice(wk_tensor *w) {
    return wk_mul(wk_cast(w, WK_F64), times(wk_cast(numbers(0.25), WK_F64), wk_cast(turned(w), WK_F64)));
}

Test(tape, a_leaf_in_several_places_gets_all_of_its_gradient) {
    static wk_tensor *(*const functions[])(
        wk_tensor *) = { squared,   turned_squared, by_itself_turned, turned_once,     one_view_twice,
                         two_views, turned_and_not, not_and_turned,   turned_and_cast, cast_twice };
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *w = wk_require_grad(wk_keep(numbers(0.5)), true), *wanted;
        wk_tensor *y = wk_sum(wk_mul(functions[f](w), wk_cast(numbers(1), wk_dtype_get(functions[f](w)))), all);
        cr_assert_eq(wk_gradients(&y, 1, NULL, &w, 1, &wanted, (wk_grad_opts){ .retain_graph = true }), WK_OK, "%s",
                     wk_message());
        for (int turn = 1; turn <= 2; turn++) { /* into an empty gradient, and on top of one */
            cr_assert_eq(wk_backward_from(y, NULL, (wk_backward_opts){ .retain_graph = turn == 1 }), WK_OK, "%s",
                         wk_message());
            for (int64_t i = 0; i < 9; i++)
                cr_expect_float_eq(wk_at(wk_gradient(w), i), turn * wk_at(wanted, i), 1e-4,
                                   "function %zu, element %lld: %g, expected %d · %g", f, (long long)i,
                                   wk_at(wk_gradient(w), i), turn, wk_at(wanted, i));
        }
        wk_release(w);
        wk_scope_end(scope);
    }
}

Test(tape, activations_die_with_the_module_but_not_what_backward_needs) {
    static const wk_module_class class_ = { .name = "Probe", .size = sizeof(probe), .forward = probe_forward };
    probe *p = (probe *)wk_module_create(&class_);
    wk_tensor *x = leaf(4, 0);
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = wk_forward(&p->base, x);
    cr_expect_neq(p->inside->life, (uint32_t)WK__ALIVE, "an activation outlived its module");
    cr_expect_null(p->inside->data);
    cr_expect_neq(p->needed->life, (uint32_t)WK__ALIVE);
    cr_expect_null(wk_relu(p->needed));
    cr_expect_eq(wk_error_code(), WK_DEAD_TENSOR);
    wk_clear_error();
    cr_expect_eq(wk_at(y, 0), 3.0);
    cr_assert_eq(wk_backward(wk_sum(y, all)), WK_OK, "%s", wk_message());
    cr_expect_eq(gradient_of(x), 6.0);
    wk_scope_end(scope);
    wk_release(x);
    wk_module_destroy(&p->base);
}

Test(tape, a_leaf_released_before_backward_is_held_by_the_tape) {
    wk_tensor *x = leaf(4, 2), *weight = leaf(4, 3);
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = wk_sum(wk_mul(x, weight), all);
    wk_release(weight);
    cr_assert_eq(wk_backward(y), WK_OK, "%s", wk_message());
    cr_expect_eq(gradient_of(x), 3.0);
    wk_scope_end(scope);
    wk_release(x);
}

Test(tape, a_deep_graph_needs_no_stack) {
    wk_tensor *x = leaf(1, 1);
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = x, *one = wk_full(WK_F32, WK_DIMS(1), 1);
    for (int i = 0; i < 10000; i++) y = wk_mul(y, one);
    cr_assert_eq(wk_backward(wk_sum(y, all)), WK_OK, "%s", wk_message());
    cr_expect_eq(gradient_of(x), 1.0);
    wk_scope_end(scope);
    wk_release(x);
}

/* ---- threads ---- */

typedef struct worker {
    double start, gradient;
    bool ok;
} worker;
static void *work(void *argument) {
    worker *w = argument;
    wk_set_threads(1);
    wk_tensor *x = leaf(1000, w->start);
    w->ok = true;
    for (int turn = 0; turn < 200; turn++) {
        wk_scope scope = wk_scope_begin();
        wk_clear_grad(x);
        w->ok = w->ok && wk_backward(squares(wk_tanh(x))) == WK_OK;
        if (turn % 50 == 0) { /* an error here is nobody else's */
            w->ok = w->ok && !wk_matmul(x, x) && wk_failed();
            wk_clear_error();
        }
        w->gradient = gradient_of(x);
        wk_scope_end(scope);
    }
    wk_release(x);
    return NULL;
}
Test(tape, two_threads_each_with_a_tape) {
    worker alone[2] = { { .start = 0.5 }, { .start = -1 } }, together[2] = { { .start = 0.5 }, { .start = -1 } };
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) (void)work(&alone[i]);
    for (int i = 0; i < 2; i++) cr_assert_eq(pthread_create(&threads[i], NULL, work, &together[i]), 0);
    for (int i = 0; i < 2; i++) cr_assert_eq(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 2; i++) {
        cr_expect(alone[i].ok && together[i].ok);
        cr_expect_eq(alone[i].gradient, together[i].gradient);
    }
}

Test(tape, a_context_moves_between_threads) {
    wk_tensor *x = leaf(3, 5);
    wk_context *context = wk_context_create();
    wk_context *former = wk_context_bind(context);
    wk_scope scope = wk_scope_begin();
    wk_tensor *y = squares(x);
    (void)wk_context_bind(former);
    cr_expect_null(wk_relu(x), "this thread has no scope open");
    cr_expect_eq(wk_error_code(), WK_NO_SCOPE);
    wk_clear_error();
    (void)wk_context_bind(context);
    cr_expect_not(wk_failed(), "an error belongs to its context");
    cr_expect_eq(wk_backward(y), WK_OK, "%s", wk_message());
    wk_scope_end(scope);
    (void)wk_context_bind(former);
    wk_context_destroy(context);
    cr_expect_eq(gradient_of(x), 10.0);
    wk_release(x);
}
