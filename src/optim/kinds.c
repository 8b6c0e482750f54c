/* kinds.c: the optimizers that are a function of one element.
 *
 * Each is a table (its row, the names of its states and options, in the order in which its rule in
 * kernels/cpu/simd/optim/optimizer_body.h reads them) and a constructor that fills in PyTorch's defaults.
 */
#include "optim/optim.h"

#include <math.h>

static double or_default(double value, double otherwise) {
    return value != 0 ? value : otherwise;
}

#define BETAS                   \
    { "beta1", WK__BELOW_1 }, { \
        "beta2", WK__BELOW_1    \
    }
#define EPS \
    { "eps", WK__AT_LEAST_0 }

/* A plan whose options are the numbers listed. */
#define PLAN(kind_, name_, lr_, decay, mask, maximize_, ...)                                       \
    (wk__optim_plan) {                                                                             \
        .kind = &(kind_), .name = (name_), .states = (mask), .maximize = (maximize_), .scalars = { \
            (lr_),                                                                                 \
            1,                                                                                     \
            0,                                                                                     \
            (decay),                                                                               \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static const wk__optim_kind sgd_kind = {
    .row = "sgd_step",
    .state = { "momentum_buffer" },
    .option = { { "momentum", WK__AT_LEAST_0 }, { "dampening", WK__FINITE }, { "nesterov", WK__FIXED } },
};
wk_optim *wk_sgd(wk_named_tensors parameters, wk_sgd_opts opts) {
    if (wk_failed()) return NULL;
    if (!(opts.lr > 0) || !isfinite(opts.lr))
        return wk_fail_null(WK_INVALID, "SGD: lr is %g, expected a positive number", opts.lr);
    if (opts.nesterov && (!(opts.momentum > 0) || opts.dampening != 0))
        return wk_fail_null(WK_INVALID, "SGD: nesterov needs momentum > 0 and dampening 0");
    wk__optim_plan plan = PLAN(sgd_kind, "SGD", opts.lr, opts.weight_decay, opts.momentum != 0 ? 1 : 0, opts.maximize,
                               opts.momentum, opts.dampening, opts.nesterov);
    return wk__optim_create(&plan, parameters);
}

static const wk__optim_kind adam_kind = {
    .row = "adam_step",
    .state = { "exp_avg", "exp_avg_sq", "max_exp_avg_sq" },
    .option = { BETAS, EPS, { "decoupled_weight_decay", WK__FIXED }, { "amsgrad", WK__FIXED } },
};
wk_optim *wk_adam(wk_named_tensors parameters, wk_adam_opts opts) {
    wk__optim_plan plan = PLAN(adam_kind, "Adam", or_default(opts.lr, 1e-3), opts.weight_decay, opts.amsgrad ? 7 : 3,
                               opts.maximize, wk_optional_or(opts.beta1, 0.9), wk_optional_or(opts.beta2, 0.999),
                               or_default(opts.eps, 1e-8), 0, opts.amsgrad);
    return wk__optim_create(&plan, parameters);
}
wk_optim *wk_adamw(wk_named_tensors parameters, wk_adamw_opts opts) {
    wk__optim_plan plan = PLAN(adam_kind, "AdamW", or_default(opts.lr, 1e-3), wk_optional_or(opts.weight_decay, 0.01),
                               opts.amsgrad ? 7 : 3, opts.maximize, wk_optional_or(opts.beta1, 0.9),
                               wk_optional_or(opts.beta2, 0.999), or_default(opts.eps, 1e-8), 1, opts.amsgrad);
    return wk__optim_create(&plan, parameters);
}

static const wk__optim_kind adamax_kind = {
    .row = "adamax_step",
    .state = { "exp_avg", "exp_inf" },
    .option = { BETAS, EPS },
};
wk_optim *wk_adamax(wk_named_tensors parameters, wk_adamax_opts opts) {
    wk__optim_plan plan =
        PLAN(adamax_kind, "Adamax", or_default(opts.lr, 2e-3), opts.weight_decay, 3, opts.maximize,
             wk_optional_or(opts.beta1, 0.9), wk_optional_or(opts.beta2, 0.999), or_default(opts.eps, 1e-8));
    return wk__optim_create(&plan, parameters);
}

static const wk__optim_kind nadam_kind = {
    .row = "nadam_step",
    .state = { "exp_avg", "exp_avg_sq" },
    .number = { "mu_product" },
    .option = { BETAS, EPS, { "decoupled_weight_decay", WK__FIXED }, { "momentum_decay", WK__AT_LEAST_0 } },
};
wk_optim *wk_nadam(wk_named_tensors parameters, wk_nadam_opts opts) {
    wk__optim_plan plan =
        PLAN(nadam_kind, "NAdam", or_default(opts.lr, 2e-3), opts.weight_decay, 3, opts.maximize,
             wk_optional_or(opts.beta1, 0.9), wk_optional_or(opts.beta2, 0.999), or_default(opts.eps, 1e-8),
             opts.decoupled_weight_decay, wk_optional_or(opts.momentum_decay, 4e-3));
    plan.initial_number[0] = 1;
    return wk__optim_create(&plan, parameters);
}

static const wk__optim_kind radam_kind = {
    .row = "radam_step",
    .state = { "exp_avg", "exp_avg_sq" },
    .option = { BETAS, EPS, { "decoupled_weight_decay", WK__FIXED } },
};
wk_optim *wk_radam(wk_named_tensors parameters, wk_radam_opts opts) {
    wk__optim_plan plan = PLAN(radam_kind, "RAdam", or_default(opts.lr, 1e-3), opts.weight_decay, 3, opts.maximize,
                               wk_optional_or(opts.beta1, 0.9), wk_optional_or(opts.beta2, 0.999),
                               or_default(opts.eps, 1e-8), opts.decoupled_weight_decay);
    return wk__optim_create(&plan, parameters);
}

static const wk__optim_kind adagrad_kind = {
    .row = "adagrad_step",
    .state = { "sum" },
    .option = { { "lr_decay", WK__AT_LEAST_0 }, EPS, { "initial_accumulator_value", WK__AT_LEAST_0 } },
};
wk_optim *wk_adagrad(wk_named_tensors parameters, wk_adagrad_opts opts) {
    wk__optim_plan plan = PLAN(adagrad_kind, "Adagrad", or_default(opts.lr, 1e-2), opts.weight_decay, 1, opts.maximize,
                               opts.lr_decay, or_default(opts.eps, 1e-10), opts.initial_accumulator_value);
    plan.initial[0] = opts.initial_accumulator_value;
    return wk__optim_create(&plan, parameters);
}

static const wk__optim_kind adadelta_kind = {
    .row = "adadelta_step",
    .state = { "square_avg", "acc_delta" },
    .option = { { "rho", WK__UP_TO_1 }, EPS },
};
wk_optim *wk_adadelta(wk_named_tensors parameters, wk_adadelta_opts opts) {
    wk__optim_plan plan = PLAN(adadelta_kind, "Adadelta", or_default(opts.lr, 1), opts.weight_decay, 3, opts.maximize,
                               wk_optional_or(opts.rho, 0.9), or_default(opts.eps, 1e-6));
    return wk__optim_create(&plan, parameters);
}

static const wk__optim_kind rmsprop_kind = {
    .row = "rmsprop_step",
    .state = { "square_avg", "momentum_buffer", "grad_avg" },
    .option = { { "alpha", WK__AT_LEAST_0 }, EPS, { "momentum", WK__AT_LEAST_0 }, { "centered", WK__FIXED } },
};
wk_optim *wk_rmsprop(wk_named_tensors parameters, wk_rmsprop_opts opts) {
    int64_t states = 1 | (opts.momentum > 0 ? 2 : 0) | (opts.centered ? 4 : 0);
    wk__optim_plan plan =
        PLAN(rmsprop_kind, "RMSprop", or_default(opts.lr, 1e-2), opts.weight_decay, states, opts.maximize,
             wk_optional_or(opts.alpha, 0.99), or_default(opts.eps, 1e-8), opts.momentum, opts.centered);
    return wk__optim_create(&plan, parameters);
}

static const wk__optim_kind rprop_kind = {
    .row = "rprop_step",
    .state = { "prev", "step_size" },
    .option = { { "etaminus", WK__BELOW_1 },
                { "etaplus", WK__ABOVE_1 },
                { "step_min", WK__AT_LEAST_0 },
                { "step_max", WK__ABOVE_0 } },
};
wk_optim *wk_rprop(wk_named_tensors parameters, wk_rprop_opts opts) {
    wk__optim_plan plan =
        PLAN(rprop_kind, "Rprop", or_default(opts.lr, 1e-2), 0, 3, opts.maximize, wk_optional_or(opts.etaminus, 0.5),
             wk_optional_or(opts.etaplus, 1.2), wk_optional_or(opts.step_min, 1e-6), wk_optional_or(opts.step_max, 50));
    return wk__optim_create(&plan, parameters);
}

static const wk__optim_kind asgd_kind = {
    .row = "asgd_step",
    .state = { "ax" },
    .number = { "eta", "mu" },
    .option = { { "lambd", WK__AT_LEAST_0 }, { "alpha", WK__AT_LEAST_0 }, { "t0", WK__FINITE } },
};
wk_optim *wk_asgd(wk_named_tensors parameters, wk_asgd_opts opts) {
    wk__optim_plan plan =
        PLAN(asgd_kind, "ASGD", or_default(opts.lr, 1e-2), opts.weight_decay, 1, opts.maximize,
             wk_optional_or(opts.lambd, 1e-4), wk_optional_or(opts.alpha, 0.75), wk_optional_or(opts.t0, 1e6));
    plan.initial_number[0] = plan.scalars[WK_STEP_LR];
    plan.initial_number[1] = 1;
    return wk__optim_create(&plan, parameters);
}

static const wk__optim_kind lion_kind = {
    .row = "lion_step",
    .state = { "exp_avg" },
    .option = { BETAS },
};
wk_optim *wk_lion(wk_named_tensors parameters, wk_lion_opts opts) {
    wk__optim_plan plan = PLAN(lion_kind, "Lion", or_default(opts.lr, 1e-4), opts.weight_decay, 1, opts.maximize,
                               wk_optional_or(opts.beta1, 0.9), wk_optional_or(opts.beta2, 0.99));
    return wk__optim_create(&plan, parameters);
}
