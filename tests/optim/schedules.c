/* schedules.c: thirty steps of each schedule over two groups, rates and momenta, as PyTorch gives them; state. */
#define WK_NO_CALL_SITES
#include "optim/support.h"
#include "wick/lr.h"

#include <math.h>
#include <string.h>

typedef wk_lr *make(wk_optim *o);

static double falling(void *context, int64_t t) {
    (void)context;
    return pow(0.9, (double)t) + 0.1;
}
static double shrinking(void *context, int64_t t) {
    (void)context;
    return 1 - 0.5 / (double)(t + 1);
}
static const int64_t milestones[] = { 3, 9, 9, 20 };

#define MAKE(name, call)              \
    static wk_lr *name(wk_optim *o) { \
        return call;                  \
    }
MAKE(lambda, wk_lambda_lr(o, falling, NULL))
MAKE(multiplicative, wk_multiplicative_lr(o, shrinking, NULL))
MAKE(step, wk_step_lr(o, (wk_step_lr_opts){ 4, WK_SET(0.3) }))
MAKE(multi_step, wk_multi_step_lr(o, (wk_multi_step_lr_opts){ milestones, 4, WK_SET(0.5) }))
MAKE(constant, wk_constant_lr(o, (wk_constant_lr_opts){ 0 }))
MAKE(constant_long, wk_constant_lr(o, (wk_constant_lr_opts){ WK_SET(0.25), 11 }))
MAKE(linear, wk_linear_lr(o, (wk_linear_lr_opts){ 0 }))
MAKE(linear_down, wk_linear_lr(o, (wk_linear_lr_opts){ WK_SET(0.9), WK_SET(0.2), 13 }))
MAKE(exponential, wk_exponential_lr(o, 0.9))
MAKE(polynomial, wk_polynomial_lr(o, (wk_polynomial_lr_opts){ 0 }))
MAKE(polynomial_power, wk_polynomial_lr(o, (wk_polynomial_lr_opts){ 17, WK_SET(2.5) }))
MAKE(cosine, wk_cosine_annealing_lr(o, (wk_cosine_lr_opts){ 12, 0.003 }))
MAKE(warm_restarts, wk_cosine_annealing_warm_restarts(o, (wk_warm_restarts_opts){ 5, 2, 0.001 }))
MAKE(warm_restarts_plain, wk_cosine_annealing_warm_restarts(o, (wk_warm_restarts_opts){ .t_0 = 7 }))
static wk_lr *sequential(wk_optim *o) {
    wk_lr *a = wk_constant_lr(o, (wk_constant_lr_opts){ WK_SET(0.1), 4 }), *b = wk_exponential_lr(o, 0.9);
    wk_lr *c = wk_cosine_annealing_lr(o, (wk_cosine_lr_opts){ .t_max = 9 });
    return wk_sequential_lr(o, (wk_lr *[]){ a, b, c }, 3, (int64_t[]){ 4, 15 });
}
static wk_lr *sequential_warmup(wk_optim *o) {
    wk_lr *a = wk_linear_lr(o, (wk_linear_lr_opts){ .start_factor = WK_SET(0.1), .total_iters = 5 });
    wk_lr *b = wk_step_lr(o, (wk_step_lr_opts){ 6, WK_SET(0.5) });
    return wk_sequential_lr(o, (wk_lr *[]){ a, b }, 2, (int64_t[]){ 5 });
}
static wk_lr *chained(wk_optim *o) {
    wk_lr *a = wk_constant_lr(o, (wk_constant_lr_opts){ WK_SET(0.1), 8 }), *b = wk_exponential_lr(o, 0.95);
    return wk_chained_lr(o, (wk_lr *[]){ a, b }, 2);
}
MAKE(cyclic, wk_cyclic_lr(o, (wk_cyclic_lr_opts){ 0.01, 0.2, .step_size_up = 4, .step_size_down = 7 }))
MAKE(cyclic_two, wk_cyclic_lr(o, (wk_cyclic_lr_opts){ .base_lr = 0.01,
                                                      .max_lr = 0.2,
                                                      .step_size_up = 4,
                                                      .mode = WK_CYCLIC_TRIANGULAR2,
                                                      .base_momentum = WK_SET(0.7),
                                                      .max_momentum = WK_SET(0.95) }))
MAKE(cyclic_exp, wk_cyclic_lr(o, (wk_cyclic_lr_opts){ .base_lr = 0.01,
                                                      .max_lr = 0.2,
                                                      .step_size_up = 5,
                                                      .mode = WK_CYCLIC_EXP_RANGE,
                                                      .gamma = WK_SET(0.95),
                                                      .no_cycle_momentum = true }))
MAKE(one_cycle, wk_one_cycle_lr(o, (wk_one_cycle_lr_opts){ .max_lr = 0.3, .total_steps = 40 }))
MAKE(one_cycle_three, wk_one_cycle_lr(o, (wk_one_cycle_lr_opts){ .max_lr = 0.3,
                                                                 .total_steps = 42,
                                                                 .three_phase = true,
                                                                 .linear = true,
                                                                 .pct_start = WK_SET(0.35),
                                                                 .div_factor = WK_SET(10),
                                                                 .final_div_factor = WK_SET(100),
                                                                 .base_momentum = WK_SET(0.6) }))
MAKE(plateau,
     wk_reduce_lr_on_plateau(o, (wk_plateau_opts){
                                    .factor = WK_SET(0.5), .patience = WK_SET(2), .cooldown = 1, .min_lr = 1e-3 }))
MAKE(plateau_max, wk_reduce_lr_on_plateau(o, (wk_plateau_opts){ .max = true,
                                                                .factor = WK_SET(0.3),
                                                                .patience = WK_SET(3),
                                                                .threshold = WK_SET(0.05),
                                                                .absolute = true }))
MAKE(swa, wk_swa_lr(o, (wk_swa_lr_opts){ .swa_lr = 0.03 }))
MAKE(swa_linear, wk_swa_lr(o, (wk_swa_lr_opts){ .swa_lr = 0.2, .anneal_epochs = WK_SET(6), .linear = true }))

#define NAMED(name) \
    { #name, name }
static const struct {
    const char *name;
    make *make;
} schedules[] = { NAMED(lambda),
                  NAMED(multiplicative),
                  NAMED(step),
                  NAMED(multi_step),
                  NAMED(constant),
                  NAMED(constant_long),
                  NAMED(linear),
                  NAMED(linear_down),
                  NAMED(exponential),
                  NAMED(polynomial),
                  NAMED(polynomial_power),
                  NAMED(cosine),
                  NAMED(warm_restarts),
                  NAMED(warm_restarts_plain),
                  NAMED(sequential),
                  NAMED(sequential_warmup),
                  NAMED(chained),
                  NAMED(cyclic),
                  NAMED(cyclic_two),
                  NAMED(cyclic_exp),
                  NAMED(one_cycle),
                  NAMED(one_cycle_three),
                  NAMED(plateau),
                  NAMED(plateau_max),
                  NAMED(swa),
                  NAMED(swa_linear) };
enum { SCHEDULES = sizeof schedules / sizeof schedules[0], TIMES = 30 };

typedef struct pair {
    wk_tensor *p[2];
    wk_optim *o;
} pair;

static pair make_pair(bool is_adam) {
    static const char *const names[] = { "a", "b" };
    pair t;
    for (int i = 0; i < 2; i++) t.p[i] = wk_require_grad(wk_kept_zeros(WK_F32, WK_DIMS(1)), true);
    wk_named_tensors first = { t.p, names, 1 }, second = { t.p + 1, names + 1, 1 };
    t.o = is_adam ? wk_adam(first, (wk_adam_opts){ .lr = 0.1 })
                  : wk_sgd(first, (wk_sgd_opts){ .lr = 0.1, .momentum = 0.9 });
    cr_assert_eq(wk_optim_add_group(t.o, second, (wk_group_opts){ .lr = WK_SET(0.04) }), WK_OK, "%s", wk_message());
    return t;
}
static void free_pair(pair *t) {
    wk_optim_destroy(t->o);
    wk_release(t->p[0]);
    wk_release(t->p[1]);
}

static wk_status next(wk_lr *s, const char *name, double metric) {
    return strncmp(name, "plateau", 7) == 0 ? wk_lr_step_metric(s, metric) : wk_lr_step(s);
}

static void expect_rates(wk_optim *o, wk_tensor *wanted, int time, const char *what) {
    const char *momentum = wk_optim_has(o, "beta1") ? "beta1" : "momentum";
    for (int g = 0; g < 2; g++) {
        double lr = wk_optim_get(o, g, "lr"), m = wk_optim_get(o, g, momentum);
        double lr_wanted = wk_at(wanted, 4 * time + 2 * g), m_wanted = wk_at(wanted, 4 * time + 2 * g + 1);
        cr_expect(fabs(lr - lr_wanted) <= 1e-12 * lr_wanted + 1e-16,
                  "%s, time %d, group %d: rate %.17g, expected %.17g", what, time, g, lr, lr_wanted);
        cr_expect_float_eq(m, m_wanted, 1e-13, "%s, time %d, group %d: momentum %.17g, expected %.17g", what, time, g,
                           m, m_wanted);
    }
}

static void check(wk_safetensors *file, int which, bool is_adam) {
    wk_scope scope = wk_scope_begin();
    const char *name = schedules[which].name;
    wk_tensor *wanted = golden_find(file, "schedule/%s/%s", name, is_adam ? "adam" : "sgd");
    wk_tensor *metrics = golden_get(file, "schedule/metrics");
    if (!is_adam) cr_assert_not_null(wanted, "%s is not in the file", name);
    pair t = make_pair(is_adam);
    wk_lr *s = wanted ? schedules[which].make(t.o) : NULL;
    if (wanted) cr_assert_not_null(s, "%s: %s", name, wk_message());
    for (int time = 0; wanted && time < TIMES; time++) {
        expect_rates(t.o, wanted, time, name);
        cr_assert_eq(next(s, name, wk_at(metrics, time)), WK_OK, "%s: %s", name, wk_message());
    }
    wk_lr_destroy(s);
    free_pair(&t);
    wk_scope_end(scope);
}

Test(lr, each_as_pytorch) {
    wk_safetensors *file = golden_open("optim.safetensors");
    for (int which = 0; which < SCHEDULES; which++) {
        check(file, which, false);
        check(file, which, true);
    }
    wk_safetensors_close(file);
}

/* Eleven steps, the state carried over to a new schedule of a new optimizer, and on. */
Test(lr, goes_on_from_its_state) {
    wk_safetensors *file = golden_open("optim.safetensors");
    for (int which = 0; which < SCHEDULES; which++) {
        wk_scope scope = wk_scope_begin();
        const char *name = schedules[which].name;
        wk_tensor *wanted = golden_get(file, "schedule/%s/sgd", name), *metrics = golden_get(file, "schedule/metrics");
        pair one = make_pair(false), two = make_pair(false);
        wk_lr *a = schedules[which].make(one.o), *b = schedules[which].make(two.o);
        for (int time = 0; time < 11; time++) cr_assert_eq(next(a, name, wk_at(metrics, time)), WK_OK);
        wk_named_tensors from = wk_lr_state(a), to = wk_lr_state(b);
        cr_assert_eq(from.count, to.count);
        for (int i = 0; i < from.count; i++) {
            cr_expect_str_eq(from.name[i], to.name[i]);
            cr_assert_eq(wk_copy_into(to.tensor[i], from.tensor[i]), WK_OK);
        }
        wk_lr_destroy(a);
        cr_assert_eq(wk_lr_state_changed(b), WK_OK, "%s", wk_message());
        for (int time = 11; time < TIMES; time++) {
            expect_rates(two.o, wanted, time, name);
            cr_assert_eq(next(b, name, wk_at(metrics, time)), WK_OK);
        }
        wk_lr_destroy(b);
        free_pair(&one);
        free_pair(&two);
        wk_scope_end(scope);
    }
    wk_safetensors_close(file);
}

Test(lr, a_function_of_time_drives_groups) {
    pair t = make_pair(false);
    const wk_schedule cosine = { .kind = WK_SCHEDULE_COSINE, .base_lr = 0.1, .warmup_steps = 3, .total_steps = 10 };
    wk_lr *s = wk_schedule_as_lr(t.o, cosine);
    for (int time = 0; time < 12; time++) {
        cr_expect_float_eq(wk_optim_get(t.o, 0, "lr"), wk_schedule_lr(&cosine, time), 1e-16);
        cr_expect_float_eq(wk_optim_get(t.o, 1, "lr"), 0.4 * wk_schedule_lr(&cosine, time), 1e-16);
        cr_assert_eq(wk_lr_step(s), WK_OK);
    }
    wk_lr_destroy(s);
    free_pair(&t);
}

Test(lr, what_is_refused) {
    pair t = make_pair(false);
    expect_message(wk_step_lr(t.o, (wk_step_lr_opts){ 0 }), "StepLR: step_size is 0, expected at least 1");
    expect_message(wk_step_lr(NULL, (wk_step_lr_opts){ .step_size = 1 }), "StepLR: the optimizer is NULL");
    expect_message(wk_lambda_lr(t.o, NULL, NULL), "LambdaLR: the function is NULL");
    expect_message(wk_constant_lr(t.o, (wk_constant_lr_opts){ .factor = WK_SET(NAN) }),
                   "ConstantLR: factor is nan, expected in [0, 1]");
    expect_message(
        wk_linear_lr(t.o, (wk_linear_lr_opts){ .start_factor = WK_SET(0) }),
        "LinearLR: start_factor 0, end_factor 1, total_iters 5: expected in (0, 1], in [0, 1] and at least 1");
    expect_message(wk_exponential_lr(t.o, -1), "ExponentialLR: gamma is -1, expected at least 0");
    expect_message(wk_polynomial_lr(t.o, (wk_polynomial_lr_opts){ .total_iters = -1 }),
                   "PolynomialLR: total_iters -1, power 1: expected at least 1, and a number");
    expect_message(wk_cosine_annealing_lr(t.o, (wk_cosine_lr_opts){ 0 }),
                   "CosineAnnealingLR: t_max is 0, expected at least 1");
    expect_message(wk_cosine_annealing_warm_restarts(t.o, (wk_warm_restarts_opts){ 0 }),
                   "CosineAnnealingWarmRestarts: t_0 0, t_mult 1: expected at least 1");
    expect_message(wk_swa_lr(t.o, (wk_swa_lr_opts){ .swa_lr = -1 }),
                   "SWALR: swa_lr -1, anneal_epochs 10: expected at least 0");
    expect_message(wk_reduce_lr_on_plateau(t.o, (wk_plateau_opts){ .factor = WK_SET(1) }),
                   "ReduceLROnPlateau: factor is 1, expected in [0, 1)");
    expect_message(wk_sequential_lr(t.o, NULL, 0, NULL), "SequentialLR: expected at least one part");
    wk_lr *plateau_ = plateau(t.o);
    expect_message(wk_chained_lr(t.o, &plateau_, 1),
                   "ChainedScheduler: part 0 is a ReduceLROnPlateau, which cannot be a part of it");
    wk_lr *parts[] = { step(t.o), step(t.o), step(t.o) };
    expect_message(wk_sequential_lr(t.o, parts, 3, (int64_t[]){ 4, 4 }),
                   "SequentialLR: milestones 4, 4, expected ascending ones");
    wk_lr *s = step(t.o), *p = plateau(t.o);
    expect_message(wk_lr_step_metric(s, 1), "StepLR takes no metric: use wk_lr_step");
    expect_message(wk_lr_step(p), "ReduceLROnPlateau needs a metric: use wk_lr_step_metric");
    wk_lr_destroy(s);
    wk_lr_destroy(p);
    s = wk_one_cycle_lr(t.o, (wk_one_cycle_lr_opts){ .max_lr = 1, .total_steps = 2 });
    cr_expect_eq(wk_lr_step(s), WK_OK);
    cr_expect_eq(wk_lr_step(s), WK_OK);
    expect_message(wk_lr_step(s), "OneCycleLR: step 3 of 2: the cycle is over");
    ((double *)wk_data(wk_lr_state(s).tensor[0]))[0] = NAN;
    expect_message(wk_lr_state_changed(s), "OneCycleLR: the stored time is nan");
    ((double *)wk_data(wk_lr_state(s).tensor[0]))[0] = 1;
    ((double *)wk_data(wk_lr_state(s).tensor[0]))[6] = INFINITY;
    expect_message(wk_lr_state_changed(s), "OneCycleLR: number 6 of the stored state is inf");
    wk_lr_destroy(s);
    const char *name = "p";
    wk_tensor *p0 = wk_require_grad(wk_kept_zeros(WK_F32, WK_DIMS(1)), true);
    wk_optim *rprop = wk_rprop((wk_named_tensors){ &p0, &name, 1 }, (wk_rprop_opts){ 0 });
    expect_message(cyclic(rprop), "CyclicLR: Rprop has neither momentum nor beta1; set no_cycle_momentum");
    wk_optim_destroy(rprop);
    wk_release(p0);
    free_pair(&t);
}
