/* steps.c: steps that are captured and replayed on a device: the same bits as without, in graphs where that is said. */
#include "device/other.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 7, ROWS = 4 };

static void alone(void) {
    wk_set_threads(1);
}
TestSuite(device_steps, .init = alone);

/* ---- nets ---- */

static wk_module *perceptron(void) {
    return wk_nn_sequential(wk_nn_linear(64, 16, (wk_layer_opts){ 0 }), wk_nn_gelu(),
                            wk_nn_linear(16, 5, (wk_layer_opts){ 0 }));
}

static wk_module *with_dropout(void) {
    return wk_nn_sequential(wk_nn_linear(64, 16, (wk_layer_opts){ 0 }), wk_nn_tanh(), wk_nn_dropout(0.25),
                            wk_nn_linear(16, 16, (wk_layer_opts){ 0 }), wk_nn_relu(),
                            wk_nn_linear(16, 5, (wk_layer_opts){ 0 }));
}

static wk_module *convolutions(void) {
    return wk_nn_sequential(wk_nn_conv2d(1, 4, 3, (wk_nn_conv_opts){ .conv.padding = { 1, 1 } }),
                            wk_nn_batch_norm2d(4, (wk_nn_batch_norm_opts){ 0 }), wk_nn_relu(),
                            wk_nn_max_pool2d((wk_pool_opts){ .kernel = { 2, 2 } }), wk_nn_flatten(),
                            wk_nn_linear(64, 5, (wk_layer_opts){ 0 }));
}

static wk_module *attention(void) {
    return wk_nn_transformer_encoder_layer(
        8, 2, (wk_nn_transformer_opts){ .feedforward = 16, .dropout = WK_SET(0), .batch_first = true });
}

typedef struct net {
    wk_module *(*make)(void);
    wk_dims shape;       /* of a row of 64 elements */
    bool last_axis_only; /* classes are the mean over what else there is */
} net;
static const net nets[] = {
    { perceptron, { 1, { 64 } }, false },
    { with_dropout, { 1, { 64 } }, false },
    { convolutions, { 3, { 1, 8, 8 } }, false },
    { attention, { 2, { 8, 8 } }, true },
};

static void fill(wk_tensor *host, int step) {
    float *at = wk_data(host);
    for (int64_t i = 0; i < wk_count(host); i++) at[i] = (float)((i * 37 + step * 11) % 101) / 50 - 1;
}

/* ---- one step ---- */

typedef struct training {
    const net *of;
    wk_module *module;
    wk_optim *optimizer;
    wk_tensor *x, *twin, *target; /* kept, on the device */
    wk_tensor *given;             /* the elements of one of the first two, by turns */
    double loss[STEPS], norm[STEPS];
} training;

typedef void (*body)(training *t, int step);

static wk_tensor *loss_of(training *t, wk_tensor *x) {
    wk_tensor *y = wk_forward(t->module, x);
    if (t->of->last_axis_only) y = wk_mean(y, (wk_reduce_opts){ .axes = { 1, { 1 } } });
    return wk_cross_entropy(y, t->target, (wk_cross_entropy_opts){ 0 });
}

static void learn(training *t, int step, wk_tensor *loss) {
    wk_zero_grad(t->optimizer);
    (void)wk_backward(loss);
    (void)wk_optim_step(t->optimizer);
    t->loss[step] = wk_item(loss);
}

static void plain(training *t, int step) {
    wk_tensor *loss = loss_of(t, t->x);
    wk_zero_grad(t->optimizer);
    (void)wk_backward(loss);
    (void)wk_clip_grad_norm(t->optimizer, 0.5, &t->norm[step]);
    (void)wk_optim_step(t->optimizer);
    t->loss[step] = wk_item(loss);
}

static void in_halves(training *t, int step) {
    wk_autocast was = wk_autocast_begin(WK_BF16, true);
    wk_tensor *loss = loss_of(t, t->x);
    wk_autocast_end(was);
    learn(t, step, loss);
}

/* The host reads and writes in the midst of what has been put off. */
static void looks_in_between(training *t, int step) {
    wk_tensor *scaled = wk_mul(wk_add(t->x, wk_scalar(WK_F32, 0.25)), wk_scalar(WK_F32, 0.5 + step));
    float first[2];
    (void)wk_copy_out(wk_slice(wk_reshape(scaled, WK_DIMS(-1)), 0, 0, 2, 1), first, sizeof first);
    wk_tensor *loss = wk_mul(loss_of(t, scaled), wk_scalar(WK_F32, 1 / (1 + (double)(first[0] * first[0]))));
    t->norm[step] = wk_item(loss);
    wk_zero_grad(t->optimizer);
    (void)wk_backward(loss);
    t->loss[step] = wk_at(wk_gradient(wk_parameters(t->module).tensor[0]), 3);
    (void)wk_optim_step(t->optimizer);
}

/* What has been put off reads an operand before it is overwritten. */
static void overwrites(training *t, int step) {
    wk_tensor *squares = wk_mul(t->x, t->twin);
    (void)wk_copy_into(t->twin, wk_zeros(WK_F32, WK_DIMS(ROWS, 64)));
    wk_tensor *loss = loss_of(t, wk_add(squares, t->twin));
    learn(t, step, loss);
}

/* Every third step is another one. */
static void now_and_then_another(training *t, int step) {
    wk_tensor *loss = loss_of(t, t->x);
    if (step % 3 == 2) loss = wk_add(loss, wk_mean(wk_square(t->x), (wk_reduce_opts){ 0 }));
    learn(t, step, loss);
}

/* Batches that lie elsewhere each time: headers of their own, made before the step. */
static void takes_turns(training *t, int step) {
    wk_tensor *loss = loss_of(t, wk_reshape(t->given, WK_DIMS(ROWS, 64)));
    learn(t, step, loss);
}

/* ---- all steps ---- */

static void run(training *t, const net *of, body function, const char *name) {
    memset(t, 0, sizeof *t);
    t->of = of;
    wk_manual_seed(5);
    t->module = of->make();
    cr_assert_eq(wk_module_to_device(t->module, other()), WK_OK, "%s", wk_message());
    t->optimizer = wk_adamw(wk_parameters(t->module), (wk_adamw_opts){ .lr = 0.01 });
    wk_scope scope = wk_scope_begin();
    wk_dims dims = { of->shape.rank + 1, { ROWS } };
    memcpy(dims.size + 1, of->shape.size, (size_t)of->shape.rank * sizeof dims.size[0]);
    wk_tensor *host = wk_empty(WK_F32, dims);
    fill(host, 0);
    t->x = wk_keep(wk_to_device(host, other()));
    t->twin = wk_keep(wk_to_device(host, other()));
    t->target = wk_keep(wk_to_device(wk_from_array(WK_I64, WK_DIMS(ROWS), (int64_t[]){ 0, 1, 4, 2 }), other()));
    for (int step = 0; step < STEPS; step++) {
        wk_scope inner = wk_scope_begin();
        fill(host, step);
        (void)wk_copy_into(t->x, host);
        (void)wk_copy_into(t->twin, host);
        t->given = wk_reshape(step % 2 ? t->twin : t->x, WK_DIMS(-1));
        if (name) cr_assert_eq(wk_step_begin(name), WK_OK, "%s", wk_message());
        function(t, step);
        if (name) (void)wk_step_end();
        wk_scope_end(inner);
        cr_assert(!wk_failed(), "step %d: %s", step, wk_message());
    }
    wk_scope_end(scope);
    cr_assert_eq(wk_module_to_device(t->module, WK_CPU), WK_OK, "%s", wk_message());
}

static void end(training *t) {
    wk_optim_destroy(t->optimizer);
    wk_module_destroy(t->module);
    wk_release(t->x);
    wk_release(t->twin);
    wk_release(t->target);
}

static wk_step_report compare(const net *of, body function) {
    static char why[300];
    training one, two;
    run(&one, of, function, NULL);
    run(&two, of, function, "device");
    for (int i = 0; i < STEPS; i++) {
        cr_expect_eq(one.loss[i], two.loss[i], "step %d: %.17g, replayed %.17g", i, one.loss[i], two.loss[i]);
        cr_expect_eq(one.norm[i], two.norm[i], "step %d: %.17g, replayed %.17g", i, one.norm[i], two.norm[i]);
    }
    wk_scope scope = wk_scope_begin();
    wk_named_tensors a = wk_state(one.module), b = wk_state(two.module);
    for (int i = 0; i < a.count; i++)
        cr_expect_eq(memcmp(wk_data(a.tensor[i]), wk_data(b.tensor[i]),
                            (size_t)wk_count(a.tensor[i]) * wk_dtype_size(wk_dtype_get(a.tensor[i]))),
                     0, "another \"%s\"", a.name[i]);
    wk_scope_end(scope);
    wk_step_report report = wk_step_describe("device");
    (void)snprintf(why, sizeof why, "%s", report.why ? report.why : "");
    report.why = why;
    end(&one);
    end(&two);
    wk_step_forget(NULL);
    return report;
}

static void expect_replayed(wk_step_report r, int64_t captured, int64_t replayed) {
    cr_expect(r.captured == captured && r.replayed == replayed, "captured %lld, replayed %lld: %s",
              (long long)r.captured, (long long)r.replayed, r.why);
}

/* A forward and its backward are one graph, dropout's keys with them; the host looks at the norm, and steps with what
 * it finds. */
Test(device_steps, go_there_as_graphs) {
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        wk_step_report r = compare(&nets[i], plain);
        expect_replayed(r, 1, STEPS - 2);
        cr_expect_eq(r.graphs, 1, "net %zu: %d graphs", i, r.graphs);
    }
}

/* Nobody looks before the optimizer has stepped. */
static void at_once(training *t, int step) {
    wk_tensor *loss = loss_of(t, t->x);
    wk_zero_grad(t->optimizer);
    (void)wk_backward(loss);
    (void)wk_clip_grad_norm(t->optimizer, 0.5, NULL);
    wk_optim_set_lr(t->optimizer, 0.01 / (1 + step));
    (void)wk_optim_step(t->optimizer);
    t->norm[step] = (double)wk_optim_steps(t->optimizer);
    t->loss[step] = wk_item(loss);
}
Test(device_steps, a_whole_step_is_one_graph) {
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        wk_step_report r = compare(&nets[i], at_once);
        expect_replayed(r, 1, STEPS - 2);
        cr_expect_eq(r.graphs, 1, "net %zu: %d graphs", i, r.graphs);
    }
}

/* Clipped where they lie, or by the host that asks for the norm, or by both. */
static void clips_there(training *t, int step) {
    wk_tensor *loss = loss_of(t, t->x);
    wk_zero_grad(t->optimizer);
    (void)wk_backward(loss);
    (void)wk_clip_grad_norm(t->optimizer, 0.5, NULL);
    if (step % 2) (void)wk_clip_grad_norm(t->optimizer, 0.5, &t->norm[step]);
    cr_expect(step % 2 == 0 || fabs(t->norm[step] - 0.5) < 1e-5, "the clipped norm is %g", t->norm[step]);
    (void)wk_optim_step(t->optimizer);
    t->loss[step] = wk_item(loss);
}
Test(device_steps, gradients_are_clipped_where_they_lie) {
    training one, two;
    run(&one, &nets[0], plain, NULL);
    run(&two, &nets[0], clips_there, NULL);
    for (int i = 0; i < STEPS; i++) {
        cr_expect(one.norm[i] > 0.5, "step %d: nothing to clip", i);
        cr_expect_float_eq(one.loss[i], two.loss[i], 1e-6, "step %d: %.17g, clipped there %.17g", i, one.loss[i],
                           two.loss[i]);
    }
    end(&one);
    end(&two);
}

/* The scale overflows at first: such steps are left out, and those after them go on. */
static void scaled(training *t, int step) {
    static wk_grad_scaler *scaler;
    if (step == 0) scaler = wk_grad_scaler_create((wk_grad_scaler_opts){ .init_scale = 0x1p22, .growth_interval = 3 });
    wk_autocast was = wk_autocast_begin(WK_F16, true);
    wk_tensor *loss = loss_of(t, t->x);
    wk_autocast_end(was);
    wk_zero_grad(t->optimizer);
    (void)wk_backward(wk_grad_scaler_scale(scaler, loss));
    (void)wk_grad_scaler_unscale(scaler, t->optimizer);
    (void)wk_clip_grad_norm(t->optimizer, 0.5, NULL);
    (void)wk_grad_scaler_step(scaler, t->optimizer);
    (void)wk_grad_scaler_update(scaler);
    t->loss[step] = wk_item(loss);
    t->norm[step] = wk_grad_scaler_value(scaler);
    if (step == STEPS - 1) wk_grad_scaler_destroy(scaler);
}
Test(device_steps, some_are_left_out) {
    wk_step_report r = compare(&nets[0], scaled);
    cr_expect(r.replayed > 0 && r.graphs > 0, "%lld replayed, %d graphs: %s", (long long)r.replayed, r.graphs, r.why);
}

Test(device_steps, in_mixed_precision) {
    for (size_t i = 0; i < sizeof nets / sizeof *nets; i++) {
        wk_step_report r = compare(&nets[i], in_halves);
        expect_replayed(r, 1, STEPS - 2);
        cr_expect(r.graphs > 0, "net %zu", i);
    }
}

Test(device_steps, the_host_looks_in_their_midst) {
    wk_step_report r = compare(&nets[0], looks_in_between);
    expect_replayed(r, 1, STEPS - 2);
    cr_expect(r.graphs > 0);
}

Test(device_steps, operands_are_overwritten_in_their_midst) {
    wk_step_report r = compare(&nets[0], overwrites);
    expect_replayed(r, 1, STEPS - 2);
    cr_expect(r.graphs > 0);
}

Test(device_steps, of_several_kinds) {
    wk_step_report r = compare(&nets[0], now_and_then_another);
    cr_expect(r.replayed >= 2 && r.graphs > 0, "%lld replayed, %d graphs: %s", (long long)r.replayed, r.graphs, r.why);
}

Test(device_steps, graphs_may_be_switched_off) {
    (void)setenv("WICK_GRAPHS", "0", 1);
    wk_step_report r = compare(&nets[2], plain);
    (void)unsetenv("WICK_GRAPHS");
    expect_replayed(r, 1, STEPS - 2);
    cr_expect_eq(r.graphs, 0);
}

/* A batch is met under each address where it lies. */
Test(device_steps, batches_take_turns) {
    wk_step_report r = compare(&nets[0], takes_turns);
    expect_replayed(r, 1, STEPS - 2);
    cr_expect_eq(r.graphs, 2, "%d graphs", r.graphs);
}

/* No graph can be made of them, and that is said. */
Test(device_steps, batches_that_never_lie_twice) {
    enum { MANY = 160 };
    wk_module *module = perceptron();
    cr_assert_eq(wk_module_to_device(module, other()), WK_OK, "%s", wk_message());
    const bool was = wk_no_grad_begin();
    wk_scope scope = wk_scope_begin();
    wk_tensor *all = wk_to_device(wk_zeros(WK_F32, WK_DIMS(MANY, ROWS, 64)), other());
    for (int step = 0; step < MANY; step++) {
        wk_scope inner = wk_scope_begin();
        wk_tensor *batch = wk_select(all, 0, step);
        cr_assert_eq(wk_step_begin("elsewhere"), WK_OK, "%s", wk_message());
        (void)wk_item(wk_mean(wk_forward(module, batch), (wk_reduce_opts){ 0 }));
        (void)wk_step_end();
        wk_scope_end(inner);
        cr_assert(!wk_failed(), "step %d: %s", step, wk_message());
    }
    const wk_step_report r = wk_step_describe("elsewhere");
    expect_replayed(r, 1, MANY - 2);
    cr_expect_eq(r.graphs, 0);
    cr_expect(r.why && strstr(r.why, "lies elsewhere each time"), "%s", r.why);
    wk_scope_end(scope);
    wk_no_grad_end(was);
    wk_module_destroy(module);
}
