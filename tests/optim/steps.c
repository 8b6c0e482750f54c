/* steps.c: fifty steps of each optimizer in f64, as PyTorch takes them, and their states. */
#define WK_NO_CALL_SITES
#include "optim/support.h"

#include <math.h>
#include <string.h>

typedef wk_optim *make(wk_tensor **p);
#define MAKE(name, constructor, options, ...)                                          \
    static wk_optim *name(wk_tensor **p) {                                             \
        return constructor(first_parameters(p, PARAMETERS), (options){ __VA_ARGS__ }); \
    }
MAKE(sgd_maximize, wk_sgd, wk_sgd_opts, .lr = 0.05, .momentum = 0.9, .dampening = 0.2, .maximize = true)
MAKE(sgd_nesterov, wk_sgd, wk_sgd_opts, .lr = 0.05, .momentum = 0.8, .nesterov = true, .weight_decay = 0.01)
MAKE(adam, wk_adam, wk_adam_opts, .lr = 0.01)
MAKE(adam_amsgrad, wk_adam, wk_adam_opts, .lr = 0.02, .beta1 = WK_SET(0.8), .beta2 = WK_SET(0.95), .amsgrad = true,
     .weight_decay = 0.1, .maximize = true)
MAKE(adamw_amsgrad, wk_adamw, wk_adamw_opts, .lr = 0.02, .beta1 = WK_SET(0.7), .beta2 = WK_SET(0.9), .amsgrad = true,
     .weight_decay = WK_SET(0.2))
MAKE(adamax, wk_adamax, wk_adamax_opts, .lr = 0)
MAKE(adamax_decay, wk_adamax, wk_adamax_opts, .lr = 0.02, .beta1 = WK_SET(0.8), .beta2 = WK_SET(0.9),
     .weight_decay = 0.1, .maximize = true)
MAKE(nadam, wk_nadam, wk_nadam_opts, .lr = 0)
MAKE(nadam_decay, wk_nadam, wk_nadam_opts, .lr = 0.02, .weight_decay = 0.1, .momentum_decay = WK_SET(0.01))
MAKE(nadam_decoupled, wk_nadam, wk_nadam_opts, .lr = 0.02, .weight_decay = 0.1, .decoupled_weight_decay = true)
MAKE(radam, wk_radam, wk_radam_opts, .lr = 0.01)
MAKE(radam_decay, wk_radam, wk_radam_opts, .lr = 0.02, .beta1 = WK_SET(0.8), .beta2 = WK_SET(0.95), .weight_decay = 0.1)
MAKE(radam_decoupled, wk_radam, wk_radam_opts, .lr = 0.02, .weight_decay = 0.1, .decoupled_weight_decay = true,
     .maximize = true)
MAKE(adagrad, wk_adagrad, wk_adagrad_opts, .lr = 0)
MAKE(adagrad_decay, wk_adagrad, wk_adagrad_opts, .lr = 0.1, .lr_decay = 0.05, .weight_decay = 0.1,
     .initial_accumulator_value = 0.3, .maximize = true)
MAKE(adadelta, wk_adadelta, wk_adadelta_opts, .lr = 0)
MAKE(adadelta_decay, wk_adadelta, wk_adadelta_opts, .lr = 0.5, .rho = WK_SET(0.8), .eps = 1e-3, .weight_decay = 0.1,
     .maximize = true)
MAKE(rmsprop, wk_rmsprop, wk_rmsprop_opts, .lr = 0)
MAKE(rmsprop_momentum, wk_rmsprop, wk_rmsprop_opts, .lr = 0.02, .alpha = WK_SET(0.9), .momentum = 0.8,
     .weight_decay = 0.1)
MAKE(rmsprop_centered, wk_rmsprop, wk_rmsprop_opts, .lr = 0.02, .alpha = WK_SET(0.9), .centered = true)
MAKE(rmsprop_all, wk_rmsprop, wk_rmsprop_opts, .lr = 0.02, .alpha = WK_SET(0.9), .centered = true, .momentum = 0.7,
     .eps = 1e-4, .maximize = true)
MAKE(rprop, wk_rprop, wk_rprop_opts, .lr = 0)
MAKE(rprop_etas, wk_rprop, wk_rprop_opts, .lr = 0.05, .etaminus = WK_SET(0.4), .etaplus = WK_SET(1.3),
     .step_min = WK_SET(1e-3), .step_max = WK_SET(0.2), .maximize = true)
MAKE(asgd, wk_asgd, wk_asgd_opts, .lr = 0.05)
MAKE(asgd_average, wk_asgd, wk_asgd_opts, .lr = 0.05, .lambd = WK_SET(0.02), .alpha = WK_SET(0.6), .t0 = WK_SET(10),
     .weight_decay = 0.1, .maximize = true)
MAKE(adafactor, wk_adafactor, wk_adafactor_opts, .lr = 0)
MAKE(adafactor_decay, wk_adafactor, wk_adafactor_opts, .lr = 0.05, .beta2_decay = WK_SET(-0.5), .d = WK_SET(1.2),
     .weight_decay = 0.1, .maximize = true)
MAKE(lion, wk_lion, wk_lion_opts, .lr = 0)
MAKE(lion_decay, wk_lion, wk_lion_opts, .lr = 0.01, .beta1 = WK_SET(0.8), .beta2 = WK_SET(0.95), .weight_decay = 0.1)
MAKE(lamb, wk_lamb, wk_lamb_opts, .lr = 0.02)
MAKE(lamb_decay, wk_lamb, wk_lamb_opts, .lr = 0.02, .beta1 = WK_SET(0.8), .beta2 = WK_SET(0.95), .weight_decay = 0.1)
static wk_optim *muon(wk_tensor **p) {
    return wk_muon(first_parameters(p, 2), (wk_muon_opts){ 0 });
}
static wk_optim *muon_plain(wk_tensor **p) {
    return wk_muon(
        first_parameters(p, 2),
        (wk_muon_opts){ .lr = 0.02, .momentum = WK_SET(0.8), .no_nesterov = true, .scale = WK_MUON_MATCH_RMS_ADAMW });
}
static wk_optim *groups(wk_tensor **p) {
    static const char *const others[] = { "second", "third" };
    wk_optim *o = wk_adamw(first_parameters(p, 1), (wk_adamw_opts){ .lr = 0.01 });
    wk_group_opts opts = {
        .lr = WK_SET(0.05), .weight_decay = WK_SET(0.3), .beta1 = WK_SET(0.5), .beta2 = WK_SET(0.9)
    };
    cr_assert_eq(wk_optim_add_group(o, (wk_named_tensors){ p + 1, others, 2 }, opts), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_optim_groups(o), 2);
    cr_expect_eq(wk_optim_get(o, 1, "weight_decay"), 0.3);
    cr_expect_eq(wk_optim_get(o, 0, "beta1"), 0.9);
    return o;
}

#define NAMED(name) \
    { #name, name }
static const struct {
    const char *name;
    make *make;
} optimizers[] = {
    NAMED(sgd_maximize),
    NAMED(sgd_nesterov),
    NAMED(adam),
    NAMED(adam_amsgrad),
    NAMED(adamw_amsgrad),
    NAMED(adamax),
    NAMED(adamax_decay),
    NAMED(nadam),
    NAMED(nadam_decay),
    NAMED(nadam_decoupled),
    NAMED(radam),
    NAMED(radam_decay),
    NAMED(radam_decoupled),
    NAMED(adagrad),
    NAMED(adagrad_decay),
    NAMED(adadelta),
    NAMED(adadelta_decay),
    NAMED(rmsprop),
    NAMED(rmsprop_momentum),
    NAMED(rmsprop_centered),
    NAMED(rmsprop_all),
    NAMED(rprop),
    NAMED(rprop_etas),
    NAMED(asgd),
    NAMED(asgd_average),
    NAMED(adafactor),
    NAMED(adafactor_decay),
    NAMED(lion),
    NAMED(lion_decay),
    NAMED(lamb),
    NAMED(lamb_decay),
    NAMED(muon),
    NAMED(muon_plain),
    NAMED(groups),
};
enum { OPTIMIZERS = sizeof optimizers / sizeof optimizers[0] };

/* The third parameter has no gradient in each third step: counts are per parameter. */
static bool has_gradient(int step, int which) {
    return which != 2 || step % 3 != 1;
}

static double tolerance_of(const char *name) {
    return strncmp(name, "muon", 4) == 0 ? 2e-3 : 1e-11; /* products rounded to bf16 inside */
}

static wk_tensor *state_named(wk_optim *o, const char *name) {
    wk_named_tensors state = wk_optim_state(o);
    for (int i = 0; i < state.count; i++)
        if (strcmp(state.name[i], name) == 0) return state.tensor[i];
    return NULL;
}

static int check_state(wk_safetensors *file, const char *optimizer, wk_optim *o) {
    static const char *const names[] = { "first", "second", "third" };
    char prefix[80], wicks[120], what[200];
    int checked = 0;
    (void)snprintf(prefix, sizeof prefix, "%s/state/", optimizer);
    for (int i = 0; i < wk_safetensors_count(file); i++) {
        const char *name = wk_safetensors_name(file, i), *dot = strrchr(name, '.');
        if (strncmp(name, prefix, strlen(prefix)) != 0) continue;
        const char *key = name + strlen(prefix);
        (void)snprintf(wicks, sizeof wicks, "%.*s.%s", (int)(dot - key), key, names[dot[1] - '0']);
        (void)snprintf(what, sizeof what, "%s, state %s", optimizer, wicks);
        wk_tensor *found = state_named(o, wicks);
        cr_assert_not_null(found, "%s: there is none", what);
        golden_expect_close(found, golden_get(file, "%s", name), tolerance_of(optimizer), what);
        checked++;
    }
    return checked;
}

static int check_step(wk_safetensors *file, const char *optimizer, int step, wk_tensor **p) {
    int checked = 0;
    for (int i = 0; i < PARAMETERS; i++) {
        wk_tensor *wanted = golden_find(file, "%s/%d.%d", optimizer, step, i);
        char what[120];
        (void)snprintf(what, sizeof what, "%s, step %d, parameter %d", optimizer, step, i);
        if (wanted) golden_expect_close(p[i], wanted, tolerance_of(optimizer), what), checked++;
    }
    return checked;
}

static void check(wk_safetensors *file, int which) {
    const char *name = optimizers[which].name;
    wk_scope outer = wk_scope_begin();
    wk_tensor *p[PARAMETERS];
    make_parameters(file, WK_F64, p);
    wk_optim *o = optimizers[which].make(p);
    cr_assert_not_null(o, "%s: %s", name, wk_message());
    int checked = 0;
    for (int step = 0; step < STEPS; step++) {
        wk_scope scope = wk_scope_begin();
        wk_zero_grad(o);
        for (int i = 0; i < PARAMETERS; i++)
            if (has_gradient(step, i)) give_gradient(file, p[i], i, step, 1);
        cr_assert_eq(wk_optim_step(o), WK_OK, "%s", wk_message());
        checked += check_step(file, name, step, p);
        if (step == STEPS - 1 && strcmp(name, "groups") != 0) (void)check_state(file, name, o);
        wk_scope_end(scope);
    }
    cr_expect_geq(checked, 8, "%s: %d comparisons", name, checked);
    cr_expect_eq(wk_optim_steps(o), STEPS);
    if (state_named(o, "step.third")) cr_expect_eq(wk_item(state_named(o, "step.third")), 33);
    wk_optim_destroy(o);
    free_parameters(p);
    wk_scope_end(outer);
}

Test(steps, fifty_of_each_as_pytorch) {
    wk_safetensors *file = golden_open("optim.safetensors");
    for (int which = 0; which < OPTIMIZERS; which++) check(file, which);
    wk_safetensors_close(file);
}

Test(steps, states_are_compared) {
    wk_safetensors *file = golden_open("optim.safetensors");
    wk_scope scope = wk_scope_begin();
    wk_tensor *p[PARAMETERS];
    make_parameters(file, WK_F64, p);
    wk_optim *o = adam_amsgrad(p);
    wk_named_tensors state = wk_optim_state(o);
    cr_expect_eq(state.count, 12); /* step and three moments of three parameters */
    cr_expect_str_eq(state.name[0], "step.first");
    cr_expect_str_eq(state.name[11], "max_exp_avg_sq.third");
    wk_optim_destroy(o);
    free_parameters(p);
    wk_scope_end(scope);
    wk_safetensors_close(file);
}

/* ---- L-BFGS ---- */

typedef struct problem {
    wk_tensor *matrix, *target, *x;
    int calls;
} problem;

static wk_tensor *regression(const problem *q) {
    wk_tensor *fit = wk_mse_loss(wk_tanh(wk_matmul(q->matrix, q->x)), q->target, (wk_loss_opts){ 0 });
    return wk_add(fit, wk_scale(wk_sum(wk_mul(q->x, q->x), (wk_reduce_opts){ 0 }), 0.01));
}

/* (1 − x)² + 100 (y − x²)² */
static wk_tensor *rosenbrock(wk_tensor *point) {
    wk_tensor *x = wk_select(point, 0, 0), *y = wk_select(point, 0, 1);
    wk_tensor *near = wk_affine(x, (wk_affine_opts){ -1, 1 }), *valley = wk_sub(y, wk_mul(x, x));
    return wk_add(wk_mul(near, near), wk_scale(wk_mul(valley, valley), 100));
}

static wk_status loss_of(void *context, double *loss) {
    problem *q = context;
    q->calls++;
    wk_scope scope = wk_scope_begin();
    wk_clear_grad(q->x);
    wk_tensor *total = q->matrix ? regression(q) : rosenbrock(q->x);
    wk_status status = wk_backward(total);
    if (status == WK_OK) *loss = wk_item(total);
    wk_scope_end(scope);
    return status;
}

/* Tolerance: without a line search a difference of 1e-14 at the start grows to 1e-10 in PyTorch too. */
static void check_lbfgs(wk_safetensors *file, const char *name, wk_lbfgs_opts opts) {
    wk_scope scope = wk_scope_begin();
    bool is_rosenbrock = strncmp(name, "rosenbrock", 10) == 0;
    problem q = { .calls = 0 };
    if (!is_rosenbrock) q.matrix = wk_keep(golden_get(file, "lbfgs/matrix"));
    if (!is_rosenbrock) q.target = wk_keep(golden_get(file, "lbfgs/target"));
    wk_tensor *start =
        is_rosenbrock ? wk_from_array(WK_F64, WK_DIMS(2, 1), (double[]){ -1.2, 1 }) : golden_get(file, "lbfgs/start");
    q.x = wk_require_grad(wk_kept_zeros(WK_F64, wk_dims_get(start)), true);
    cr_assert_eq(wk_copy_into(q.x, start), WK_OK);
    const char *x = "x";
    wk_optim *o = wk_lbfgs((wk_named_tensors){ &q.x, &x, 1 }, opts);
    cr_assert_not_null(o, "%s", wk_message());
    wk_tensor *losses = golden_get(file, "lbfgs/%s/losses", name);
    for (int step = 0; step < 6; step++) {
        double loss = 0;
        char what[60];
        (void)snprintf(what, sizeof what, "lbfgs %s, step %d", name, step);
        cr_assert_eq(wk_optim_step_closure(o, loss_of, &q, &loss), WK_OK, "%s", wk_message());
        cr_expect_float_eq(loss, wk_at(losses, step), 1e-9, "%s: loss %.15g", what, loss);
        golden_expect_close(q.x, golden_get(file, "lbfgs/%s/%d", name, step), 1e-9, what);
    }
    cr_expect_eq(q.calls, (int)wk_item(golden_get(file, "lbfgs/%s/evaluations", name)), "%s: %d calls", name, q.calls);
    wk_optim_destroy(o);
    wk_release(q.matrix);
    wk_release(q.target);
    wk_release(q.x);
    wk_scope_end(scope);
}

Test(steps, lbfgs_as_pytorch) {
    wk_safetensors *file = golden_open("optim.safetensors");
    check_lbfgs(file, "plain", (wk_lbfgs_opts){ .lr = 0.1, .max_iter = 6 });
    check_lbfgs(file, "memory", (wk_lbfgs_opts){ .lr = 0.15, .max_iter = 5, .history_size = 3 });
    check_lbfgs(file, "wolfe", (wk_lbfgs_opts){ .max_iter = 6, .strong_wolfe = true });
    check_lbfgs(file, "wolfe_far", (wk_lbfgs_opts){ .lr = 30, .max_iter = 7, .strong_wolfe = true });
    check_lbfgs(file, "wolfe_near",
                (wk_lbfgs_opts){ .lr = 1e-3, .max_iter = 5, .strong_wolfe = true, .history_size = 4 });
    check_lbfgs(file, "rosenbrock", (wk_lbfgs_opts){ .max_iter = 4, .strong_wolfe = true });
    check_lbfgs(file, "rosenbrock_far",
                (wk_lbfgs_opts){ .lr = 5, .max_iter = 3, .history_size = 2, .strong_wolfe = true });
    wk_safetensors_close(file);
}

/* What a step has left is enough to go on: in another optimizer, with the same bits. */
Test(steps, lbfgs_goes_on_from_its_state) {
    wk_scope scope = wk_scope_begin();
    problem q[2] = { { .calls = 0 }, { .calls = 0 } };
    wk_optim *o[2];
    const char *const name = "x";
    for (int i = 0; i < 2; i++) {
        q[i].x = wk_require_grad(wk_kept_zeros(WK_F64, WK_DIMS(2, 1)), true);
        cr_assert_eq(wk_copy_into(q[i].x, wk_from_array(WK_F64, WK_DIMS(2, 1), (double[]){ -1.2, 1 })), WK_OK);
        o[i] = wk_lbfgs((wk_named_tensors){ &q[i].x, &name, 1 },
                        (wk_lbfgs_opts){ .max_iter = 3, .history_size = 2, .strong_wolfe = true });
    }
    for (int step = 0; step < 2; step++) cr_assert_eq(wk_optim_step_closure(o[0], loss_of, &q[0], NULL), WK_OK);
    wk_named_tensors from = wk_optim_state(o[0]), to = wk_optim_state(o[1]);
    for (int i = 0; i < from.count; i++) cr_assert_eq(wk_copy_into(to.tensor[i], from.tensor[i]), WK_OK);
    cr_assert_eq(wk_copy_into(q[1].x, q[0].x), WK_OK);
    cr_assert_eq(wk_optim_state_changed(o[1]), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_optim_steps(o[1]), 2);
    for (int i = 0; i < 2; i++) cr_assert_eq(wk_optim_step_closure(o[i], loss_of, &q[i], NULL), WK_OK);
    golden_expect_equal(q[0].x, q[1].x, "the third step");
    for (int i = 0; i < 2; i++) {
        wk_optim_destroy(o[i]);
        wk_release(q[i].x);
    }
    wk_scope_end(scope);
}

/* ---- clipping ---- */

Test(steps, clipping_as_pytorch) {
    static const struct {
        const char *name;
        double most, p;
    } norms[] = { { "two", 1.5, 0 },   { "one", 3, 1 },    { "three", 0.7, 3 }, { "infinity", 0.4, INFINITY },
                  { "loose", 100, 2 }, { "value", 0.3, 0 } };
    wk_safetensors *file = golden_open("optim.safetensors");
    for (size_t k = 0; k < sizeof norms / sizeof norms[0]; k++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *p[PARAMETERS];
        make_parameters(file, WK_F64, p);
        wk_optim *o = wk_sgd(first_parameters(p, PARAMETERS), (wk_sgd_opts){ .lr = 0.1 });
        for (int i = 0; i < PARAMETERS; i++) give_gradient(file, p[i], i, 0, 1);
        wk_tensor *wanted = golden_find(file, "clip/%s/norm", norms[k].name);
        double norm = 0;
        if (wanted) {
            cr_assert_eq(wk_clip_grad_norm_p(o, norms[k].most, (wk_clip_opts){ .p = norms[k].p }, &norm), WK_OK);
            cr_expect_float_eq(norm, wk_item(wanted), 1e-12, "%s: %.15g", norms[k].name, norm);
        } else {
            cr_assert_eq(wk_clip_grad_value(o, norms[k].most), WK_OK, "%s", wk_message());
        }
        cr_assert_eq(wk_optim_step(o), WK_OK);
        for (int i = 0; i < PARAMETERS; i++)
            golden_expect_close(p[i], golden_get(file, "clip/%s/%d", norms[k].name, i), 1e-13, norms[k].name);
        wk_optim_destroy(o);
        free_parameters(p);
        wk_scope_end(scope);
    }
    wk_safetensors_close(file);
}

/* ---- shapes that are easily forgotten ---- */

Test(steps, empty_parameters_and_mixed_dtypes) {
    wk_scope scope = wk_scope_begin();
    static const char *const names[] = { "empty", "scalar", "wide", "half", "idle" };
    static const wk_dtype dtypes[] = { WK_F32, WK_F64, WK_F64, WK_F16, WK_F32 };
    const wk_dims dims[] = { WK_DIMS(0, 3), WK_SCALAR, WK_DIMS(3), WK_DIMS(300), WK_DIMS(2) };
    enum { COUNT = 5 };
    wk_tensor *p[COUNT];
    for (int i = 0; i < COUNT; i++) p[i] = wk_require_grad(wk_kept_zeros(dtypes[i], dims[i]), true);
    const wk_named_tensors all = { p, names, COUNT };
    wk_optim *optims[] = { wk_sgd(all, (wk_sgd_opts){ .lr = 1 }), wk_lamb(all, (wk_lamb_opts){ .lr = 1 }),
                           wk_adafactor(all, (wk_adafactor_opts){ 0 }), wk_asgd(all, (wk_asgd_opts){ .lr = 1 }) };
    for (int k = 0; k < 4; k++) {
        cr_assert_not_null(optims[k], "%s", wk_message());
        for (int i = 0; i + 1 < COUNT; i++) {
            wk_clear_grad(p[i]);
            cr_assert_eq(wk_backward(wk_sum(p[i], (wk_reduce_opts){ 0 })), WK_OK, "%s", wk_message());
        }
        double before = wk_at(p[3], 299);
        cr_assert_eq(wk_optim_step(optims[k]), WK_OK, "%s: %s", wk_optim_name(optims[k]), wk_message());
        cr_expect_lt(wk_at(p[1], 0), 0, "%s", wk_optim_name(optims[k]));
        cr_expect_lt(wk_at(p[3], 299), before, "%s", wk_optim_name(optims[k]));
        cr_expect_eq(wk_at(p[4], 0), 0, "%s moved what has no gradient", wk_optim_name(optims[k]));
        cr_expect_eq(wk_item(state_named(optims[k], "step.idle")), 0);
        cr_expect_eq(wk_item(state_named(optims[k], "step.half")), 1);
        wk_optim_destroy(optims[k]);
    }
    for (int i = 0; i < COUNT; i++) wk_release(p[i]);
    wk_scope_end(scope);
}

/* A step on one thread and on two gives the same bits, for all parameters at once. */
Test(steps, threads_do_not_matter) {
    wk_scope outer = wk_scope_begin();
    wk_tensor *p[2];
    const char *const name = "p";
    wk_optim *o[2];
    for (int i = 0; i < 2; i++) {
        p[i] = wk_require_grad(wk_kept_zeros(WK_BF16, WK_DIMS(90001)), true);
        o[i] = wk_nadam((wk_named_tensors){ &p[i], &name, 1 }, (wk_nadam_opts){ .weight_decay = 0.1 });
    }
    for (int step = 0; step < 3; step++)
        for (int i = 0; i < 2; i++) {
            wk_scope scope = wk_scope_begin();
            wk_set_threads(i + 1);
            wk_clear_grad(p[i]);
            wk_tensor *x = wk_reshape(wk_cast(wk_arange(90001), WK_F32), WK_DIMS(90001));
            wk_tensor *g = wk_cast(wk_sin(wk_scale(x, 0.1 + step)), WK_BF16);
            cr_assert_eq(wk_backward(wk_sum(wk_mul(p[i], g), (wk_reduce_opts){ 0 })), WK_OK, "%s", wk_message());
            cr_assert_eq(wk_clip_grad_norm(o[i], 5, NULL), WK_OK);
            cr_assert_eq(wk_optim_step(o[i]), WK_OK, "%s", wk_message());
            wk_scope_end(scope);
        }
    wk_set_threads(0);
    golden_expect_equal(p[0], p[1], "one thread and two");
    wk_named_tensors a = wk_optim_state(o[0]), b = wk_optim_state(o[1]);
    for (int i = 0; i < a.count; i++) golden_expect_equal(a.tensor[i], b.tensor[i], a.name[i]);
    for (int i = 0; i < 2; i++) {
        wk_optim_destroy(o[i]);
        wk_release(p[i]);
    }
    wk_scope_end(outer);
}
