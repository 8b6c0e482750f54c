/* step.c: capture and replay: what is replayed, what is not and why, and that bits never change. */
#include "support/allocator.h"
#include "support/refused.h"
#include "wick/autograd.h"
#include "wick/dlpack.h"
#include "wick/inplace.h"
#include "wick/op.h"
#include "wick/ops.h"
#include "wick/optim.h"
#include "wick/step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void open_suite(void) {
    wk_set_threads(1);
}
TestSuite(step, .init = open_suite);

enum { WIDTH = 8 };
static const wk_reduce_opts all = { .keep_dims = false };

/* Two layers with dropout between them. */
typedef struct net {
    wk_tensor *w1, *b1, *w2;
    wk_optim *optimizer;
} net;

static wk_tensor *parameter(wk_dims dims, double phase) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *t = wk_kept_zeros(WK_F32, dims), *values = wk_empty(WK_F32, dims);
    for (int64_t i = 0; i < wk_count(t); i++) ((float *)wk_data(values))[i] = (float)sin((double)i * 0.7 + phase) / 2;
    (void)wk_copy_into(t, values); /* its address stays unknown: the optimizer may keep its cast */
    wk_scope_end(scope);
    return wk_require_grad(t, true);
}
static net make(void) {
    net n = { parameter(WK_DIMS(WIDTH, WIDTH), 0), parameter(WK_DIMS(WIDTH), 1), parameter(WK_DIMS(4, WIDTH), 2),
              NULL };
    static const char *const names[] = { "w1", "b1", "w2" };
    n.optimizer =
        wk_adamw((wk_named_tensors){ (wk_tensor *[]){ n.w1, n.b1, n.w2 }, names, 3 }, (wk_adamw_opts){ .lr = 0.01 });
    wk_manual_seed(3);
    return n;
}
static void end(net *n) {
    wk_optim_destroy(n->optimizer);
    wk_release(n->w1);
    wk_release(n->b1);
    wk_release(n->w2);
    wk_step_forget(NULL);
}

static wk_tensor *batch(int64_t rows, int step) {
    wk_tensor *x = wk_empty(WK_F32, WK_DIMS(rows, WIDTH));
    for (int64_t i = 0; i < wk_count(x); i++) ((float *)wk_data(x))[i] = (float)cos((double)(i + 31 * step));
    return x;
}
static wk_tensor *forward(const net *n, wk_tensor *x) {
    wk_tensor *h = wk_linear(x, n->w1, n->b1, (wk_linear_opts){ .activation = WK_ACTIVATION_RELU });
    h = wk_dropout(h, wk_random_key(), (wk_dropout_opts){ 0.25 });
    return wk_linear(h, n->w2, NULL, (wk_linear_opts){ 0 });
}
static wk_tensor *loss_of(const net *n, wk_tensor *x) {
    wk_tensor *y = forward(n, x);
    return wk_mean(wk_mul(y, y), all);
}

/* One step of each kind that the tests mix; gives what the host reads. */
typedef double (*body)(net *n, int step);

static double plain(net *n, int step) {
    wk_tensor *loss = loss_of(n, batch(6, step));
    wk_zero_grad(n->optimizer);
    (void)wk_backward(loss);
    (void)wk_optim_step(n->optimizer);
    return wk_item(loss);
}

/* Every run that the two ways of a body differ in is an error. */
static wk_step_report compare(body function, int steps) {
    double losses[64];
    net n = make();
    for (int i = 0; i < steps; i++) {
        wk_scope scope = wk_scope_begin();
        losses[i] = function(&n, i);
        wk_scope_end(scope);
        cr_assert(!wk_failed(), "step %d: %s", i, wk_message());
    }
    float wanted[WIDTH * WIDTH];
    memcpy(wanted, wk_data(n.w1), sizeof wanted);
    end(&n);
    n = make();
    for (int i = 0; i < steps; i++) {
        wk_scope scope = wk_scope_begin();
        cr_assert_eq(wk_step_begin("train"), WK_OK, "%s", wk_message());
        double loss = function(&n, i);
        cr_expect_eq(loss, losses[i], "step %d: %.17g, without replay %.17g", i, loss, losses[i]);
        cr_expect_eq(wk_step_end(), WK_OK, "%s", wk_message());
        wk_scope_end(scope);
        cr_assert(!wk_failed(), "step %d: %s", i, wk_message());
    }
    cr_expect_arr_eq(wk_data(n.w1), wanted, sizeof wanted, "other weights");
    wk_step_report report = wk_step_describe("train");
    static char why[300]; /* it ends with the plans */
    (void)snprintf(why, sizeof why, "%s", report.why ? report.why : "");
    report.why = why;
    end(&n);
    return report;
}

static void expect_report(wk_step_report got, int64_t eager, int64_t captured, int64_t replayed, const char *why) {
    cr_expect(got.eager == eager && got.captured == captured && got.replayed == replayed,
              "%lld eager, %lld captured, %lld replayed; expected %lld, %lld, %lld", (long long)got.eager,
              (long long)got.captured, (long long)got.replayed, (long long)eager, (long long)captured,
              (long long)replayed);
    cr_expect(strstr(got.why, why) && (*why || !*got.why), "reason \"%s\", expected \"%s\"", got.why, why);
}

/* ---- what is replayed ---- */

Test(step, is_replayed_from_the_third_on) {
    expect_report(compare(plain, 10), 1, 1, 8, "");
}

/* The last layer's gradient is made in forward, in the leaf's memory. */
static double with_a_head(net *n, int step) {
    wk_tensor *x = batch(6, step), *target = wk_from_array(WK_I64, WK_DIMS(6), (int64_t[]){ 0, 3, 1, 2, 2, 3 });
    wk_tensor *h = wk_linear(x, n->w1, n->b1, (wk_linear_opts){ .activation = WK_ACTIVATION_RELU });
    if (step % 2 == 0) wk_zero_grad(n->optimizer);
    wk_tensor *loss = wk_linear_cross_entropy(h, n->w2, NULL, target, (wk_linear_cross_entropy_opts){ .chunk = 4 });
    (void)wk_backward(step % 2 == 1 ? wk_scale(loss, 2) : loss);
    (void)wk_optim_step(n->optimizer);
    return wk_item(loss);
}
static double with_a_plain_head(net *n, int step) {
    return with_a_head(n, 2 * step);
}
Test(step, a_gradient_that_forward_makes) {
    expect_report(compare(with_a_plain_head, 8), 1, 1, 6, "");
    expect_report(compare(with_a_head, 20), 2, 2, 16, "the plan has linear_cross_entropy of others");
}

static double with_short_batches(net *n, int step) {
    wk_tensor *loss = loss_of(n, batch(step % 4 == 3 ? 2 : 6, step));
    wk_zero_grad(n->optimizer);
    (void)wk_backward(loss);
    (void)wk_optim_step(n->optimizer);
    return wk_item(loss);
}
Test(step, a_short_last_batch_has_a_plan_of_its_own) {
    expect_report(compare(with_short_batches, 16), 1, 2, 13, "");
}

static double accumulating(net *n, int step) {
    wk_tensor *loss = loss_of(n, batch(6, step));
    if (step % 2 == 0) wk_zero_grad(n->optimizer);
    (void)wk_backward(loss);
    if (step % 2 == 1) (void)wk_optim_step(n->optimizer);
    return wk_item(loss);
}
/* Which of the two comes is known from what came before; the first that was not expected goes on as ever. */
Test(step, accumulation_alternates_between_two_plans) {
    expect_report(compare(accumulating, 20), 2, 2, 16, "the plan has backward of others");
}

static double reading_in_between(net *n, int step) {
    wk_tensor *y = forward(n, batch(6, step));
    double seen = wk_at(y, 3);
    wk_tensor *loss = wk_mean(wk_mul(y, y), all);
    wk_zero_grad(n->optimizer);
    (void)wk_backward(loss);
    seen += wk_item(loss) + wk_at(wk_gradient(n->w2), 1);
    wk_optim_set_lr(n->optimizer, 0.01 / (step + 1));
    (void)wk_optim_step(n->optimizer);
    return seen + wk_at(y, 5);
}
Test(step, any_result_may_be_read_and_the_rate_may_change) {
    expect_report(compare(reading_in_between, 8), 1, 1, 6, "");
}

static double validating(net *n, int step) {
    bool was = wk_no_grad_begin();
    double loss = wk_item(loss_of(n, batch(6, step)));
    wk_no_grad_end(was);
    return loss;
}
static double training_and_validating(net *n, int step) {
    return step % 3 == 2 ? validating(n, step) : plain(n, step);
}
Test(step, validation_under_the_same_name_is_found_by_its_mode) {
    expect_report(compare(training_and_validating, 15), 1, 2, 12, "");
}

static double with_half_precision(net *n, int step) {
    static wk_grad_scaler *scaler;
    if (step == 0) {
        wk_grad_scaler_destroy(scaler);
        scaler = wk_grad_scaler_create((wk_grad_scaler_opts){ .growth_interval = 3 });
    }
    wk_autocast was = wk_autocast_begin(WK_F16, true);
    wk_tensor *x = batch(6, step);
    if (step == 5) ((float *)wk_data(x))[0] = INFINITY;
    wk_tensor *loss = wk_cast(loss_of(n, x), WK_F32);
    wk_autocast_end(was);
    wk_zero_grad(n->optimizer);
    (void)wk_backward(wk_grad_scaler_scale(scaler, loss));
    (void)wk_grad_scaler_step(scaler, n->optimizer);
    (void)wk_grad_scaler_update(scaler);
    return step == 5 ? wk_grad_scaler_value(scaler) : wk_item(loss) + wk_grad_scaler_value(scaler);
}
Test(step, a_loss_scale_that_changes_and_a_step_that_is_skipped) {
    expect_report(compare(with_half_precision, 12), 2, 1, 9,
                  ""); /* the scale is too large at first: nothing is stepped,
                          and the optimizer keeps casts from the next on */
}

static double of_views(net *n, int step) {
    wk_tensor *x = batch(6, step);
    wk_tensor *half = wk_slice(x, 1, 0, WIDTH, 1), *w = wk_transpose(n->w1, 0, 1);
    wk_scope inner = wk_scope_begin();
    wk_tensor *y = wk_scope_return(inner, wk_add(wk_matmul(half, w), wk_detach(wk_scale(x, 0.5))));
    wk_scope_end(inner);
    wk_tensor *parts[2];
    (void)wk_split(y, 1, WIDTH / 2, parts, 2);
    wk_tensor *loss = wk_sum(wk_mul(parts[0], wk_exp(parts[1])), all);
    wk_zero_grad(n->optimizer);
    (void)wk_backward(loss);
    (void)wk_optim_step(n->optimizer);
    return wk_item(loss);
}
Test(step, views_scopes_and_what_is_detached) {
    expect_report(compare(of_views, 8), 1, 1, 6, "");
}

/* ---- what breaks off ---- */

/* In place or not is another call, though row and operands are the same. */
static double in_place_or_not(net *n, int step) {
    static wk_tensor *kept;
    if (step == 0) wk_release(kept), kept = wk_kept_zeros(WK_F32, WK_DIMS(6, WIDTH));
    wk_tensor *x = batch(6, step);
    if (step % 5 == 4)
        (void)wk_add(kept, x);
    else
        (void)wk_add_(kept, x);
    return plain(n, step) + wk_at(kept, 3);
}
Test(step, a_call_in_place_is_another_one) {
    wk_step_report report = compare(in_place_or_not, 15);
    cr_expect_geq(report.replayed, 8, "%lld", (long long)report.replayed);
}

/* What was saved in a scope that has ended is let go of too when a step has left its plan. */
static double saved_in_a_scope(net *n, int step) {
    wk_scope inner = wk_scope_begin();
    wk_tensor *y = wk_tanh(forward(n, batch(6, step)));
    y = wk_scope_return(inner, wk_mul(y, y));
    wk_scope_end(inner);
    wk_tensor *loss = wk_scale(wk_mean(y, all), step % 2 ? 4 : 1);
    wk_zero_grad(n->optimizer);
    (void)wk_backward(loss);
    (void)wk_optim_step(n->optimizer);
    return wk_item(loss);
}
Test(step, a_plan_that_was_left_is_held_by_nobody) {
    wk_step_report report = compare(saved_in_a_scope, 16);
    cr_expect_geq(report.replayed, 10, "%lld: %s", (long long)report.replayed, report.why);
}

static double changing_its_mind(net *n, int step) {
    wk_tensor *y = forward(n, batch(6, step));
    if (step == 4) y = wk_scale(y, 2);
    if (step == 6) y = wk_mul(y, y);
    wk_tensor *loss = wk_mean(wk_mul(y, y), all);
    wk_zero_grad(n->optimizer);
    (void)wk_backward(loss);
    (void)wk_optim_step(n->optimizer);
    return wk_item(loss);
}
Test(step, a_call_that_does_not_fit_goes_on_as_ever) {
    expect_report(compare(changing_its_mind, 12), 3, 2, 7, "call 5 is mean of (6, 4) f32, the plan has mul");
}

static double ending_early(net *n, int step) {
    wk_tensor *loss = loss_of(n, batch(6, step));
    if (step % 4 == 3) return wk_item(loss);
    wk_zero_grad(n->optimizer);
    (void)wk_backward(loss);
    (void)wk_optim_step(n->optimizer);
    return wk_item(loss);
}
Test(step, one_that_ends_before_its_plan) {
    expect_report(compare(ending_early, 16), 1, 1, 14, "");
}

/* The graph of a step without backward is there when it has ended. */
Test(step, whose_backward_comes_behind_it) {
    net n = make();
    for (int i = 0; i < 6; i++) {
        wk_scope scope = wk_scope_begin();
        wk_manual_seed(7);
        wk_tensor *loss = loss_of(&n, batch(6, i)), *wanted, *got;
        cr_assert_eq(wk_grad(&loss, 1, NULL, &n.w1, 1, &wanted, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
        wk_manual_seed(7);
        (void)wk_step_begin("forward");
        loss = loss_of(&n, batch(6, i));
        (void)wk_step_end();
        cr_assert_eq(wk_grad(&loss, 1, NULL, &n.w1, 1, &got, (wk_grad_opts){ 0 }), WK_OK, "%s", wk_message());
        cr_expect_arr_eq(wk_data(got), wk_data(wanted), WIDTH * WIDTH * sizeof(float), "step %d", i);
        wk_scope_end(scope);
    }
    cr_expect_eq(wk_step_describe("forward").replayed, 4, "%lld", (long long)wk_step_describe("forward").replayed);
    end(&n);
}

/* What a step is given is held until its backward has used it, and no longer than the step. */
static double given_for_a_moment(net *n, int step) {
    wk_scope inner = wk_scope_begin();
    wk_tensor *x = wk_cast(batch(6, step), WK_F32), *y = wk_scope_return(inner, forward(n, x));
    wk_scope_end(inner);
    (void)batch(6, step + 1); /* would take x's memory */
    wk_tensor *loss = wk_mean(wk_mul(y, y), all);
    wk_zero_grad(n->optimizer);
    (void)wk_backward(loss);
    (void)wk_optim_step(n->optimizer);
    return wk_item(loss);
}
static void count(void *counter, void *data) {
    (void)data;
    ++*(int *)counter;
}
Test(step, holds_what_it_is_given_until_it_ends) {
    expect_report(compare(given_for_a_moment, 8), 1, 1, 6, "");
    net n = make();
    float data[2 * WIDTH] = { 1 };
    int released = 0;
    for (int i = 0; i < 5; i++) {
        wk_scope scope = wk_scope_begin();
        (void)wk_step_begin("train");
        (void)forward(&n, wk_from_memory(WK_F32, WK_DIMS(2, WIDTH), data, count, &released));
        (void)wk_step_end();
        wk_scope_end(scope);
        cr_expect_eq(released, i + 1, "step %d: %d releases", i, released);
    }
    end(&n);
}

static double freezing(net *n, int step) {
    if (step == 5) (void)wk_require_grad(n->b1, false);
    return plain(n, step);
}
Test(step, a_leaf_that_is_frozen) {
    expect_report(compare(freezing, 9), 1, 2, 6, "");
}

/* ---- what is not captured ---- */

static double by_values(net *n, int step) {
    (void)wk_nonzero(batch(2, step), (wk_nonzero_opts){ 0 });
    return plain(n, step);
}
static wk_tensor *doubled(void *context, wk_tensor *gradient) {
    (void)context;
    return wk_scale(gradient, 2);
}
static double with_a_hook(net *n, int step) {
    wk_tensor *y = forward(n, batch(6, step));
    (void)wk_on_gradient(y, doubled, NULL);
    wk_tensor *loss = wk_mean(wk_mul(y, y), all);
    wk_zero_grad(n->optimizer);
    (void)wk_backward(loss);
    (void)wk_optim_step(n->optimizer);
    return wk_item(loss);
}
static double asking(net *n, int step) {
    wk_tensor *loss = loss_of(n, batch(6, step)), *d;
    (void)wk_grad(&loss, 1, NULL, &n->w1, 1, &d, (wk_grad_opts){ .retain_graph = true });
    return wk_at(d, 0) + wk_item(loss);
}
Test(step, what_cannot_be_repeated_is_named) {
    expect_report(compare(by_values, 6), 6, 0, 0, "the shape of what nonzero gives depends on values");
    expect_report(compare(with_a_hook, 6), 6, 0, 0, "it hangs hooks on gradients");
    expect_report(compare(asking, 6), 6, 0, 0, "it asks for gradients of tensors");
}

static double with_a_late_hook(net *n, int step) {
    return step == 5 ? with_a_hook(n, step) : plain(n, step);
}
static double asking_late(net *n, int step) {
    return step == 5 ? asking(n, step) : plain(n, step);
}
Test(step, what_needs_the_tape_gets_it) {
    expect_report(compare(with_a_late_hook, 8), 2, 1, 5, "it hangs hooks on gradients");
    expect_report(compare(asking_late, 8), 2, 1, 5, "it asks for gradients of tensors");
}

Test(step, is_switched_off_by_the_environment) {
    (void)setenv("WICK_REPLAY", "0", 1);
    expect_report(compare(plain, 6), 6, 0, 0, "");
    (void)unsetenv("WICK_REPLAY");
}

/* ---- results ---- */

Test(step, keeping_a_result_copies_it) {
    net n = make();
    wk_tensor *kept[6], *turned[6];
    double seen[6], corner[6];
    for (int i = 0; i < 6; i++) {
        wk_scope scope = wk_scope_begin();
        (void)wk_step_begin("train");
        wk_tensor *y = forward(&n, batch(6, i));
        kept[i] = wk_keep(y);
        turned[i] = wk_keep(wk_transpose(y, 0, 1));
        seen[i] = wk_at(y, 7), corner[i] = wk_at(y, 4);
        (void)wk_step_end();
        wk_scope_end(scope);
    }
    for (int i = 0; i < 6; i++) {
        cr_expect_eq(wk_at(kept[i], 7), seen[i], "step %d", i);
        cr_expect_eq(wk_at(turned[i], 1), corner[i], "step %d, a view", i);
        wk_release(kept[i]);
        wk_release(turned[i]);
    }
    cr_expect_eq(wk_step_describe("train").replayed, 4);
    end(&n);
}

Test(step, memory_that_somebody_holds_is_not_written_again) {
    net n = make();
    wk_dl_managed *held = NULL;
    double seen = 0;
    for (int i = 0; i < 8; i++) {
        wk_scope scope = wk_scope_begin();
        (void)wk_step_begin("train");
        wk_tensor *y = wk_detach(forward(&n, batch(6, i)));
        if (i == 4) held = wk_to_dlpack(y), seen = wk_at(y, 0);
        (void)wk_step_end();
        wk_scope_end(scope);
    }
    cr_assert_not_null(held, "%s", wk_message());
    cr_expect_eq(((const float *)held->tensor.data)[0], (float)seen);
    cr_expect(strstr(wk_step_describe("train").why, "still held"), "%s", wk_step_describe("train").why);
    held->deleter(held);
    end(&n);
}

Test(step, a_result_of_an_ended_scope_is_refused) {
    net n = make();
    for (int i = 0; i < 4; i++) {
        wk_scope scope = wk_scope_begin();
        (void)wk_step_begin("train");
        wk_scope inner = wk_scope_begin();
        wk_tensor *y = forward(&n, batch(6, i));
        wk_scope_end(inner);
        if (i < 3) {
            (void)forward(&n, batch(6, i));
        } else {
            cr_expect_null(wk_exp(y));
            cr_expect(strstr(wk_message(), "is used after its scope ended"), "%s", wk_message());
            wk_clear_error();
        }
        (void)wk_step_end();
        wk_scope_end(scope);
        wk_clear_error();
    }
    end(&n);
}

/* ---- errors ---- */

Test(step, begin_and_end_in_the_wrong_order) {
    cr_expect_eq(wk_step_begin("a"), WK_NO_SCOPE);
    expect_refused(WK_NO_SCOPE, "wk_step_begin: no scope is open; call wk_scope_begin first", NULL);
    wk_scope scope = wk_scope_begin();
    cr_expect_eq(wk_step_end(), WK_STATE);
    expect_refused(WK_STATE, "wk_step_end: no step has begun", NULL);
    cr_expect_eq(wk_step_begin("a"), WK_OK);
    cr_expect_eq(wk_step_begin("b"), WK_STATE);
    expect_refused(WK_STATE, "wk_step_begin: the step \"a\" has not ended", NULL);
    wk_scope_end(scope); /* ends the step */
    scope = wk_scope_begin();
    cr_expect_eq(wk_step_begin("b"), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_step_end(), WK_OK);
    wk_scope_end(scope);
    wk_step_forget(NULL);
}

Test(step, a_kernel_that_fails_in_a_replay) {
    wk_tensor *table = parameter(WK_DIMS(4, 3), 0);
    for (int i = 0; i < 8; i++) {
        wk_scope scope = wk_scope_begin();
        (void)wk_step_begin("look up");
        wk_tensor *index = wk_from_array(WK_I64, WK_DIMS(2), (int64_t[]){ 1, i == 5 ? 9 : 2 });
        wk_tensor *y = wk_exp(wk_embedding(table, index, (wk_embedding_opts){ 0 }));
        if (i == 5) {
            cr_expect_null(y);
            cr_expect_eq(wk_error_code(), WK_INVALID, "%s", wk_message());
            cr_expect(strstr(wk_message(), "9"), "%s", wk_message());
        } else {
            cr_expect_eq(wk_at(y, 0), (double)expf((float)wk_at(table, 3)), "step %d", i);
        }
        (void)wk_step_end();
        wk_scope_end(scope);
        wk_clear_error();
    }
    cr_expect_eq(wk_step_describe("look up").replayed, 6, "%lld", (long long)wk_step_describe("look up").replayed);
    wk_release(table);
    wk_step_forget(NULL);
}

/* ---- memory ---- */

Test(step, a_replayed_step_asks_the_system_for_nothing) {
    allocator_watch();
    net n = make();
    long before = 0;
    for (int i = 0; i < 12; i++) {
        if (i == 6) before = allocator_requests();
        wk_scope scope = wk_scope_begin();
        (void)wk_step_begin("train");
        (void)plain(&n, i);
        (void)wk_step_end();
        wk_scope_end(scope);
    }
    cr_expect_eq(allocator_requests() - before, 0, "%ld requests in six steps", allocator_requests() - before);
    cr_expect_eq(wk_step_describe("train").replayed, 10);
    end(&n);
}

/* Each request of the first steps fails once: an error or none, no leak, and the steps after it give what they must. */
Test(step, memory_runs_out_at_any_point) {
    allocator_watch();
    for (long k = 1;; k++) {
        net n = make();
        allocator_fail_at(k);
        for (int i = 0; i < 4; i++) {
            wk_scope scope = wk_scope_begin();
            (void)wk_step_begin("train");
            (void)plain(&n, i);
            (void)wk_step_end();
            wk_scope_end(scope);
            if (wk_failed()) cr_expect_eq(wk_error_code(), WK_NO_MEMORY, "%ld: %s", k, wk_message());
            wk_clear_error();
        }
        bool failed = allocator_has_failed();
        allocator_fail_at(0);
        wk_scope scope = wk_scope_begin();
        (void)wk_step_begin("train");
        cr_expect(isfinite(plain(&n, 4)), "%ld: %s", k, wk_message());
        (void)wk_step_end();
        wk_scope_end(scope);
        end(&n);
        if (!failed) break;
    }
}
