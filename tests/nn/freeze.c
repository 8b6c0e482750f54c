/* freeze.c: modules frozen for inference: what they give, what they hold, what is refused. */
#define WK_NO_CALL_SITES
#include "support/allocator.h"
#include "support/golden.h"
#include "support/refused.h"
#include "wick/inplace.h"
#include "wick/nn.h"
#include "wick/optim.h"
#include "wick/step.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

static wk_module *mlp(void) {
    const wk_layer_opts plain = { 0 };
    return wk_nn_sequential(wk_nn_linear(48, 80, plain), wk_nn_relu(), wk_nn_dropout(0.5), wk_nn_linear(80, 96, plain),
                            wk_nn_relu(), wk_nn_linear(96, 10, plain));
}

static wk_tensor *input(int64_t rows, int number) {
    wk_tensor *x = wk_empty(WK_F32, WK_DIMS(rows, 48));
    for (int64_t i = 0; x && i < wk_count(x); i++) ((float *)wk_data(x))[i] = (float)sin(0.37 * (double)i + number);
    return x;
}

static void expect_near(wk_tensor *got, wk_tensor *wanted, double tolerance, const char *what) {
    cr_assert(got && wanted, "%s: %s", what, wk_message());
    golden_expect_close(wk_contiguous(got), wk_contiguous(wk_detach(wanted)), tolerance, what);
}

static wk_tensor *evaluate(wk_module *net, wk_tensor *x) {
    bool was = wk_no_grad_begin();
    wk_tensor *y = wk_forward(net, x);
    wk_no_grad_end(was);
    return y;
}

/* A frozen net and what it gave in evaluation mode before, for some rows. */
static wk_module *frozen(wk_module *net, wk_tensor *x, wk_tensor **wanted, wk_freeze_opts opts) {
    cr_assert_not_null(net, "%s", wk_message());
    wk_module_train(net, false);
    *wanted = evaluate(net, x);
    cr_assert_eq(wk_module_freeze(net, opts), WK_OK, "%s", wk_message());
    return net;
}

/* ---- results ---- */

Test(freeze, results_of_many_numbers_of_rows) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = input(70, 0), *wanted;
    wk_module *net = frozen(mlp(), x, &wanted, (wk_freeze_opts){ 0 });
    const int64_t rows[] = { 1, 2, 7, 64, 70 };
    for (int turn = 0; turn < 4; turn++)
        for (int i = 0; i < 5; i++)
            expect_near(wk_forward(net, wk_slice(x, 0, 0, rows[i], 1)), wk_slice(wanted, 0, 0, rows[i], 1), 2e-6,
                        "frozen");
    const wk_step_report report = wk_step_describe(wk_module_step(net));
    cr_expect_eq(report.plans, 5);
    cr_expect_geq(report.replayed, 8, "%lld", (long long)report.replayed);
    wk_module_destroy(net);
    wk_scope_end(scope);
}

/* A step's results are overwritten by the next; a forward's are not. */
Test(freeze, results_stay_while_others_are_made) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *wanted, *result[6];
    wk_module *net = frozen(mlp(), input(3, 0), &wanted, (wk_freeze_opts){ 0 });
    for (int i = 0; i < 6; i++) result[i] = wk_forward(net, input(3, i));
    cr_expect_geq(wk_step_describe(wk_module_step(net)).replayed, 4);
    expect_near(result[0], wanted, 2e-6, "the first");
    for (int i = 0; i < 6; i++) expect_near(result[i], wk_forward(net, input(3, i)), 0, "one of six");
    wk_module_destroy(net);
    wk_scope_end(scope);
}

Test(freeze, without_replay) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *wanted;
    wk_module *net = frozen(mlp(), input(3, 0), &wanted, (wk_freeze_opts){ .no_replay = true });
    cr_expect_null(wk_step_describe(wk_module_step(net)).why);
    expect_near(wk_forward(net, input(3, 0)), wanted, 2e-6, "without replay");
    cr_expect_eq(wk_step_describe(wk_module_step(net)).eager, 0);
    wk_module_destroy(net);
    wk_scope_end(scope);
}

Test(freeze, inside_of_a_step_it_is_part_of_it) {
    wk_scope all = wk_scope_begin();
    wk_tensor *wanted;
    wk_module *net = frozen(mlp(), input(3, 0), &wanted, (wk_freeze_opts){ 0 });
    for (int i = 0; i < 4; i++) {
        (void)wk_step_begin("ask");
        wk_tensor *y = wk_affine(wk_forward(net, input(3, 0)), (wk_affine_opts){ 2, 0 });
        wk_tensor *result = wk_keep(y);
        cr_expect_eq(wk_step_end(), WK_OK, "%s", wk_message());
        expect_near(result, wk_affine(wanted, (wk_affine_opts){ 2, 0 }), 4e-6, "in a step");
        wk_release(result);
    }
    cr_expect_eq(wk_step_describe(wk_module_step(net)).replayed, 0);
    wk_module_destroy(net);
    wk_scope_end(all);
}

/* ---- packed weights ---- */

Test(freeze, a_changed_weight_is_packed_again) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = input(64, 1), *wanted; /* so many rows are worth packing */
    wk_module *net = frozen(mlp(), x, &wanted, (wk_freeze_opts){ 0 });
    wk_module *plain = mlp();
    wk_module_train(plain, false);
    wk_tensor *weight = wk_module_tensor(net, "0.weight"), *other = wk_module_tensor(net, "3.weight");
    for (int i = 0; i < 6; i++) {
        (void)wk_forward(net, x);
        if (i % 2) {
            for (int64_t k = 0; k < wk_count(weight); k++) ((float *)wk_data(weight))[k] *= 1.5F;
        } else {
            bool was = wk_no_grad_begin();
            cr_expect_not_null(wk_copy_(other, wk_affine(other, (wk_affine_opts){ 0.5, 0.01 })), "%s", wk_message());
            wk_no_grad_end(was);
        }
        wk_named_tensors from = wk_state(net), to = wk_state(plain);
        for (int k = 0; k < from.count; k++) cr_assert_eq(wk_copy_into(to.tensor[k], from.tensor[k]), WK_OK);
        expect_near(wk_forward(net, x), evaluate(plain, x), 2e-6, "after a change");
    }
    wk_module_destroy(net);
    wk_module_destroy(plain);
    wk_scope_end(scope);
}

/* Blocks held once it has run, and what is still held when it is gone. */
static long hold(bool no_packing, long *left) {
    wk_scope scope = wk_scope_begin();
    wk_module *net = mlp();
    cr_assert_eq(wk_module_freeze(net, (wk_freeze_opts){ .no_packing = no_packing }), WK_OK, "%s", wk_message());
    for (int i = 0; i < 4; i++) (void)wk_forward(net, input(64, i));
    long held = allocator_held();
    wk_module_destroy(net);
    wk_scope_end(scope);
    wk_memory_trim();
    *left = allocator_held();
    return held;
}

Test(freeze, packed_copies_go_with_the_module) {
    long first, left;
    allocator_watch();
    wk_set_threads(1);
    (void)hold(false, &first); /* primitives, and the context's own memory, stay */
    (void)hold(true, &first);
    long plain = hold(true, &left), packed = hold(false, &left);
    cr_expect_leq(left, first, "%ld blocks more", left - first);
#if WICK_LIBRARIES
    cr_expect_eq(packed - plain, 2 * 2, "%ld blocks: copies of two weights, with their records", packed - plain);
#else
    cr_expect_eq(packed, plain, "Wick's own kernels pack nothing for good");
#endif
}

/* ---- memory ---- */

Test(freeze, a_forward_asks_the_system_for_nothing) {
    allocator_watch();
    wk_module *net = mlp();
    cr_assert_eq(wk_module_freeze(net, (wk_freeze_opts){ 0 }), WK_OK, "%s", wk_message());
    long before = 0;
    for (int i = 0; i < 12; i++) {
        if (i == 6) before = allocator_requests();
        wk_scope scope = wk_scope_begin();
        cr_assert_not_null(wk_forward(net, input(1, i)), "%s", wk_message());
        wk_scope_end(scope);
    }
    cr_expect_eq(allocator_requests() - before, 0, "%ld requests in six forwards", allocator_requests() - before);
    cr_expect_eq(wk_step_describe(wk_module_step(net)).replayed, 10);
    wk_module_destroy(net);
}

static wk_module *convolutions(void) {
    const wk_nn_conv2d_opts plain = { .conv = { .padding = { 1, 1 } } }, bare = { .no_bias = true };
    const wk_nn_batch_norm_opts norm = { 0 };
    return wk_nn_sequential(
        wk_nn_conv2d(2, 16, 3, plain), wk_nn_batch_norm2d(16, norm), wk_nn_relu(),
        wk_nn_conv_transpose2d(16, 6, 2, (wk_nn_conv_transpose_opts){ .conv = { .stride = { 2, 2 } } }),
        wk_nn_batch_norm2d(6, norm), wk_nn_conv2d(6, 4, 3, bare), wk_nn_batch_norm2d(4, norm), wk_nn_flatten(),
        wk_nn_linear(4 * 10 * 10, 8, (wk_layer_opts){ 0 }),
        wk_nn_batch_norm1d(8, (wk_nn_batch_norm_opts){ .no_affine = true }), wk_nn_relu());
}
static wk_tensor *image(void) {
    wk_tensor *x = wk_empty(WK_F32, WK_DIMS(3, 2, 6, 6));
    for (int64_t i = 0; x && i < wk_count(x); i++) ((float *)wk_data(x))[i] = (float)cos(0.7 * (double)(i * i % 97));
    return x;
}
/* With statistics and parameters that are not 0 and 1. */
static wk_module *seen_convolutions(void) {
    wk_module *net = convolutions();
    wk_named_tensors all = wk_parameters(net);
    for (int i = 0; i < all.count; i++)
        if (wk_rank(all.tensor[i]) == 1) (void)wk_init_uniform(all.tensor[i], 0.5, 1.5);
    bool was = wk_no_grad_begin();
    for (int i = 0; i < 3; i++) (void)wk_forward(net, image());
    wk_no_grad_end(was);
    return net;
}

Test(freeze, normalisations_are_folded) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = image(), *wanted;
    wk_module *net = frozen(seen_convolutions(), x, &wanted, (wk_freeze_opts){ 0 });
    for (int i = 0; i < 4; i++) expect_near(wk_forward(net, x), wanted, 1e-5, "folded");
    wk_named_tensors left = wk_state(net);
    cr_expect_eq(left.count, 8, "%d: weights and biases of four layers", left.count);
    cr_expect_not_null(wk_module_tensor(net, "5.bias"), "%s", wk_message());
    char *summary = wk_module_summary(net);
    cr_expect(strstr(summary, "BatchNorm2d(16, eps=1e-05, momentum=0.1, folded)"), "%s", summary);
    wk_free(summary);
    cr_expect_gt(wk_parameter_count(net), 0);
    wk_module_destroy(net);
    wk_scope_end(scope);
}

static wk_status look(void *context, wk_module *module, const wk_args *in, wk_args *out) {
    (void)module, (void)in, (void)out;
    ++*(int *)context;
    return WK_OK;
}

/* Hooks see what they saw before; weights that are computed in each forward stay so. */
Test(freeze, hooks_and_computed_weights_stay) {
    wk_scope scope = wk_scope_begin();
    int seen = 0;
    wk_tensor *x = image(), *wanted;
    wk_module *net = seen_convolutions();
    cr_assert_neq(wk_on_forward(wk_module_child(net, 0), look, &seen), 0);
    cr_assert_eq(
        wk_module_parametrise(wk_module_child(net, 5), "weight", (wk_parametrise_opts){ .kind = WK_WEIGHT_NORM }),
        WK_OK, "%s", wk_message());
    (void)frozen(net, x, &wanted, (wk_freeze_opts){ 0 });
    for (int i = 0; i < 4; i++) expect_near(wk_forward(net, x), wanted, 1e-5, "with a hook");
    cr_expect_eq(seen, 5);
    cr_expect_not_null(wk_module_tensor(net, "1.running_mean"), "%s", wk_message());
    cr_expect_not_null(wk_module_tensor(net, "6.running_mean"), "%s", wk_message());
    wk_module_destroy(net);
    wk_scope_end(scope);
}

Test(freeze, bf16_weights) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = image(), *wanted;
    wk_module *net = frozen(seen_convolutions(), x, &wanted, (wk_freeze_opts){ .dtype = WK_BF16 });
    cr_expect_eq(wk_dtype_get(wk_module_tensor(net, "0.weight")), WK_BF16);
    for (int i = 0; i < 4; i++) expect_near(wk_cast(wk_forward(net, x), WK_F32), wanted, 0.05, "bf16");
    wk_module_destroy(net);
    wk_scope_end(scope);
}

/* ---- training is refused ---- */

Test(freeze, cannot_be_trained) {
    static const char why[] =
        "module \"\" (Sequential) is frozen for inference and cannot be trained any more; make the "
        "model anew and load its weights";
    char message[300];
    wk_module *net = mlp();
    cr_assert_eq(wk_module_freeze(net, (wk_freeze_opts){ 0 }), WK_OK, "%s", wk_message());
    cr_expect(wk_module_is_frozen(net));
    (void)snprintf(message, sizeof message, "wk_parameters: %s", why);
    REFUSED_PLAINLY(wk_adamw(wk_parameters(net), (wk_adamw_opts){ 0 }), WK_STATE, message);
    wk_module_train(net, true);
    (void)snprintf(message, sizeof message, "wk_module_train: %s", why);
    expect_refused(WK_STATE, message, NULL);
    wk_module_train(net, false);
    cr_expect_not(wk_failed());
    cr_expect_eq(wk_module_to(net, WK_F64), WK_STATE);
    (void)snprintf(message, sizeof message, "wk_module_to: %s", why);
    expect_refused(WK_STATE, message, NULL);
    cr_expect_eq(wk_module_freeze(net, (wk_freeze_opts){ 0 }), WK_STATE);
    expect_refused(WK_STATE, "wk_module_freeze: the module (Sequential) is frozen already", NULL);
    wk_module_destroy(net);
    net = mlp();
    cr_expect_eq(wk_module_freeze(wk_module_child(net, 0), (wk_freeze_opts){ 0 }), WK_INVALID);
    expect_refused(WK_INVALID, "wk_module_freeze: module \"0\" (Linear) is part of another; freeze the root", NULL);
    cr_expect_eq(wk_module_freeze(net, (wk_freeze_opts){ .dtype = WK_F64 }), WK_DTYPE);
    expect_refused(WK_DTYPE, "wk_module_freeze: dtype is f64, expected f32, bf16 or f16", NULL);
    cr_expect_not(wk_module_is_frozen(net));
    wk_module_destroy(net);
}

/* A teacher inside of a graph: its results are constants. */
Test(freeze, gradients_end_at_it) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *wanted;
    wk_module *net = frozen(mlp(), input(3, 0), &wanted, (wk_freeze_opts){ 0 });
    wk_tensor *x = wk_require_grad(wk_keep(input(3, 0)), true);
    for (int i = 0; i < 4; i++) {
        wk_tensor *y = wk_forward(net, wk_affine(x, (wk_affine_opts){ 1, 0 }));
        expect_near(y, wanted, 2e-6, "a student's");
        cr_expect_not(wk_requires_grad(y));
    }
    cr_expect_eq(wk_step_describe(wk_module_step(net)).replayed, 2);
    wk_release(x);
    wk_module_destroy(net);
    wk_scope_end(scope);
}

Test(freeze, a_linear_layer_with_folded_channels_takes_rows_only) {
    wk_scope scope = wk_scope_begin();
    const wk_nn_batch_norm_opts norm = { 0 };
    wk_module *net = wk_nn_sequential(wk_nn_linear(4, 5, (wk_layer_opts){ 0 }), wk_nn_batch_norm1d(5, norm));
    cr_assert_eq(wk_module_freeze(net, (wk_freeze_opts){ 0 }), WK_OK, "%s", wk_message());
    REFUSED_PLAINLY(wk_forward(net, wk_zeros(WK_F32, WK_DIMS(2, 5, 4))), WK_SHAPE,
                    "Linear (layer \"0\"): x (2, 5, 4) f32, expected (N, in_features): the BatchNorm1d behind it was "
                    "folded into it");
    wk_module_destroy(net);
    wk_scope_end(scope);
}

/* ---- memory that runs out ---- */

typedef struct trial {
    long k;
    bool reached;
} trial;

/* Freezing or a forward fails, or nothing does; what comes after it is right. */
static void *run_trial(void *argument) {
    trial *t = argument;
    wk_set_threads(1);
    wk_scope scope = wk_scope_begin();
    wk_manual_seed(0);
    wk_module *net = seen_convolutions();
    wk_tensor *x = image();
    wk_module_train(net, false);
    wk_tensor *wanted = evaluate(net, x);
    allocator_fail_at(t->k);
    (void)wk_module_freeze(net, (wk_freeze_opts){ 0 });
    for (int i = 0; i < 4 && !wk_failed(); i++) (void)wk_forward(net, x);
    t->reached = allocator_has_failed();
    allocator_fail_at(0);
    if (wk_failed()) cr_expect_eq(wk_error_code(), WK_NO_MEMORY, "%ld: %s", t->k, wk_message());
    wk_clear_error();
    expect_near(wk_forward(net, x), wanted, 1e-5, "after a failure");
    if (!wk_module_step(net)) cr_expect_eq(wk_module_freeze(net, (wk_freeze_opts){ 0 }), WK_OK, "%s", wk_message());
    expect_near(wk_forward(net, x), wanted, 1e-5, "frozen again");
    wk_module_destroy(net);
    wk_scope_end(scope);
    return NULL;
}

Test(freeze, memory_runs_out_at_any_point, .timeout = 200) {
    allocator_watch();
    trial t = { .k = 1 };
    do {
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, run_trial, &t), 0);
        (void)pthread_join(thread, NULL);
        t.k++;
    } while (t.reached && t.k < 3000);
    cr_expect_gt(t.k, 50);
}
