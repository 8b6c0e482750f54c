/* fault.c: every allocation of a training step, and of making a model and its optimizer, fails once.
 *
 * Each trial runs in a thread of its own, so that caches of threads and contexts are cold and their allocations can
 * fail too, and so that all they hold must have been given back when the thread has ended.
 */
#define WK_NO_CALL_SITES
#include "support/allocator.h"
#include "support/sample.h"
#include "wick/optim.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

enum { MOST_TRIALS = 3000 };

static wk_module *make_net(void) {
    wk_module *conv = wk_nn_conv2d(1, 4, 3, (wk_nn_conv2d_opts){ 0 });
    wk_module *pool = wk_nn_max_pool2d((wk_pool_opts){ .kernel = { 2, 2 } }), *drop = wk_nn_dropout(0.25);
    wk_module *flat = wk_nn_flatten(), *out = wk_nn_linear(36, 5, (wk_layer_opts){ 0 });
    return wk_nn_sequential_of((wk_module *[]){ conv, wk_nn_relu(), pool, drop, flat, out }, 6);
}

static wk_status step(wk_module *net, wk_optim *optim) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_full(WK_F32, WK_DIMS(3, 1, 8, 8), 0.5);
    wk_tensor *target = wk_from_array(WK_I64, WK_DIMS(3), (int64_t[]){ 0, 4, 2 });
    wk_zero_grad(optim);
    wk_status status = wk_backward(wk_cross_entropy(wk_forward(net, x), target, (wk_cross_entropy_opts){ 0 }));
    if (status == WK_OK) status = wk_clip_grad_norm(optim, 1, NULL);
    if (status == WK_OK) status = wk_optim_step(optim);
    wk_scope_end(scope);
    return status == WK_OK && wk_failed() ? wk_error_code() : status;
}

/* The weights' bits, to compare. */
typedef struct copy_of_weights {
    float values[400];
    int64_t count;
} copy_of_weights;
static void copy_weights(wk_module *net, copy_of_weights *copy) {
    wk_named_tensors all = wk_parameters(net);
    copy->count = 0;
    for (int i = 0; i < all.count; i++) {
        memcpy(copy->values + copy->count, all.tensor[i]->data, (size_t)wk_count(all.tensor[i]) * sizeof(float));
        copy->count += wk_count(all.tensor[i]);
    }
}

/* A step through hooks of all kinds and a checkpoint, and a Hessian's product, none of which lives in step(). */
static wk_status nothing_before(void *context, wk_module *module, wk_args *in) {
    (void)context, (void)module, (void)in;
    return WK_OK;
}
static wk_status nothing_backward(void *context, wk_module *module, wk_args *grad_in, const wk_args *grad_out) {
    (void)context, (void)module, (void)grad_in, (void)grad_out;
    return WK_OK;
}
static wk_tensor *halve(void *context, wk_tensor *gradient) {
    (void)context;
    return wk_scale(gradient, 0.5);
}
static void nothing_ready(void *context, wk_tensor *leaf) {
    (void)context, (void)leaf;
}
static wk_status net_loss(void *net, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    (void)n_in, (void)n_out;
    wk_tensor *target = wk_from_array(WK_I64, WK_DIMS(3), (int64_t[]){ 0, 4, 2 });
    out[0] = wk_cross_entropy(wk_forward(net, in[0]), target, (wk_cross_entropy_opts){ 0 });
    return out[0] ? WK_OK : wk_error_code();
}
static wk_status hooked_step(wk_module *net) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_full(WK_F32, WK_DIMS(3, 1, 8, 8), 0.5), *loss = NULL, *product, *first = NULL;
    wk_hook before = wk_on_forward_pre(net, nothing_before, NULL);
    wk_hook backward = before ? wk_on_backward(net, nothing_backward, NULL) : 0;
    wk_named_tensors parameters = wk_parameters(net);
    if (backward && parameters.count) first = parameters.tensor[0];
    wk_hook gradient = first ? wk_on_gradient(first, halve, NULL) : 0;
    wk_hook ready = gradient ? wk_on_gradient_ready(first, nothing_ready, NULL) : 0;
    wk_status status = ready ? wk_checkpoint(net_loss, net, &x, 1, &loss, 1) : wk_error_code();
    if (status == WK_OK) status = wk_retain_grad(loss);
    char *text = status == WK_OK ? wk_graph_dot(&loss, 1, (wk_graph_opts){ 0 }) : NULL;
    if (status == WK_OK && !text) status = wk_error_code();
    wk_free(text);
    if (status == WK_OK) status = wk_backward(loss);
    if (status == WK_OK) status = wk_hvp(net_loss, net, &x, 1, &x, &product);
    wk_scope_end(scope);
    if (first) {
        wk_unhook(first, gradient);
        wk_unhook(first, ready);
    }
    wk_module_unhook(net, before);
    wk_module_unhook(net, backward);
    return wk_failed() ? wk_error_code() : status;
}

typedef struct trial {
    long k;
    bool reached; /* the k-th allocation came */
} trial;

static void check_failure(wk_status status, long k) {
    cr_expect_eq(status, WK_NO_MEMORY, "allocation %ld: status %s", k, wk_status_name(status));
    cr_expect_eq(wk_error_code(), WK_NO_MEMORY, "allocation %ld: pending \"%s\"", k, wk_message());
    cr_expect(strstr(wk_message(), "out of memory: ") != NULL, "allocation %ld: \"%s\"", k, wk_message());
    wk_clear_error();
}

static void *step_trial(void *argument) {
    trial *t = argument;
    static copy_of_weights before, after;
    wk_set_threads(1);
    wk_module *net = make_net();
    wk_optim *optim = wk_adamw(wk_parameters(net), (wk_adamw_opts){ 0 });
    cr_assert(net && optim, "%s", wk_message());
    copy_weights(net, &before);
    allocator_fail_at(t->k);
    wk_status status = step(net, optim);
    t->reached = allocator_has_failed();
    allocator_fail_at(0);
    copy_weights(net, &after);
    bool changed = memcmp(before.values, after.values, sizeof before.values) != 0;
    if (t->reached) {
        check_failure(status, t->k);
        cr_expect_not(changed, "allocation %ld failed and weights moved", t->k);
        cr_expect_eq(wk_optim_steps(optim), 0);
    } else {
        cr_expect_eq(status, WK_OK, "%s", wk_message());
        cr_expect(changed);
    }
    cr_expect_eq(step(net, optim), WK_OK, "the step after failure %ld: %s", t->k, wk_message());
    wk_clear_error();
    wk_optim_destroy(optim);
    wk_module_destroy(net);
    return NULL;
}

static void *hooked_trial(void *argument) {
    trial *t = argument;
    wk_set_threads(1);
    wk_module *net = make_net();
    cr_assert(net, "%s", wk_message());
    allocator_fail_at(t->k);
    wk_status status = hooked_step(net);
    t->reached = allocator_has_failed();
    allocator_fail_at(0);
    if (t->reached)
        check_failure(status, t->k);
    else
        cr_expect_eq(status, WK_OK, "%s", wk_message());
    cr_expect_eq(hooked_step(net), WK_OK, "the step after failure %ld: %s", t->k, wk_message());
    wk_clear_error();
    wk_module_destroy(net);
    return NULL;
}

static void *make_trial(void *argument) {
    trial *t = argument;
    wk_scope scope = wk_scope_begin();
    allocator_fail_at(t->k);
    wk_module *net = make_net();
    wk_optim *optim = net ? wk_adamw(wk_parameters(net), (wk_adamw_opts){ 0 }) : NULL;
    char *summary = optim ? wk_module_summary(net) : NULL;
    t->reached = allocator_has_failed();
    allocator_fail_at(0);
    if (t->reached) {
        cr_expect(!summary, "allocation %ld failed unnoticed", t->k);
        check_failure(wk_error_code(), t->k);
    } else {
        cr_expect(net && optim && summary, "%s", wk_message());
    }
    wk_free(summary);
    wk_optim_destroy(optim);
    wk_module_destroy(net);
    wk_scope_end(scope);
    return NULL;
}

/* Like make_trial, on a context whose first allocation may fail. */
static void *context_trial(void *argument) {
    trial *t = argument;
    allocator_fail_at(t->k);
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_full(WK_F32, WK_DIMS(3), 1), *y = wk_add(x, x);
    t->reached = allocator_has_failed();
    allocator_fail_at(0);
    if (t->reached) {
        cr_expect_null(y, "allocation %ld failed unnoticed", t->k);
        check_failure(wk_error_code(), t->k);
    } else {
        cr_expect_not_null(y, "%s", wk_message());
    }
    wk_scope_end(scope);
    return NULL;
}

static void run_thread(void *(*run)(void *), trial *t) {
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, run, t), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

static void run_trials(void *(*run)(void *), long least) {
    trial warm = { 0 };
    allocator_watch();
    run_thread(run, &warm); /* what the process keeps for good is there now */
    long held = allocator_held(), k = 1;
    for (; k < MOST_TRIALS; k++) {
        trial t = { .k = k };
        run_thread(run, &t);
        cr_assert_eq(allocator_held(), held, "after the failure of allocation %ld, %ld blocks are lost", k,
                     allocator_held() - held);
        if (!t.reached) break;
    }
    cr_log_info("%ld allocations failed in turn", k - 1);
    cr_expect_gt(k, least);
    cr_assert_lt(k, MOST_TRIALS);
}

Test(fault, every_allocation_of_a_step) {
    run_trials(step_trial, 20);
}
Test(fault, every_allocation_of_a_step_with_hooks_and_checkpoints) {
    run_trials(hooked_trial, 25);
}
Test(fault, every_allocation_of_making_a_model) {
    run_trials(make_trial, 40);
}
Test(fault, every_allocation_of_a_new_thread) {
    run_trials(context_trial, 3);
}
