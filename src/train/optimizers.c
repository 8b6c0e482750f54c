/* optimizers.c: the optimizers by PyTorch's names, with PyTorch's args. */
#include "train/builtin.h"

#include "base/base.h"

#include <float.h>

static double number(const wk_config *args, const char *key, double otherwise) {
    return wk_config_double(args, key, 0, DBL_MAX, otherwise);
}
/* What must be more than 0; 0 stays "not given". */
static double positive(const wk_config *args, const char *key) {
    return wk_config_double(args, key, DBL_MIN, DBL_MAX, 0);
}
static wk_optional optional(const wk_config *args, const char *key) {
    return (wk_optional){ wk_config_has(args, key), wk_config_double(args, key, 0, DBL_MAX, 0) };
}

/* betas: [0.9, 0.999], or beta1 and beta2. */
static void betas(const wk_config *args, wk_optional *first, wk_optional *second) {
    double both[2];
    int count = wk_config_doubles(args, "betas", both, 2);
    *first = (wk_optional){ wk_config_has(args, "beta1"), wk_config_double(args, "beta1", 0, 1, 0.9) };
    *second = (wk_optional){ wk_config_has(args, "beta2"), wk_config_double(args, "beta2", 0, 1, 0.999) };
    if (count == 1) (void)wk_config_fail(args, "betas", "betas has one number, expected two");
    if (count < 2) return;
    for (int i = 0; i < 2; i++)
        if (!(both[i] >= 0 && both[i] < 1))
            (void)wk_config_fail(args, "betas", "betas holds %g, expected 0 to 1", both[i]);
    *first = WK_SET(both[0]);
    *second = WK_SET(both[1]);
}

static wk_optim *build_sgd(const wk_config *args, wk_named_tensors p) {
    const wk_sgd_opts opts = { .lr = wk_config_double(args, "lr", DBL_MIN, DBL_MAX, 1e-3),
                               .momentum = number(args, "momentum", 0),
                               .dampening = number(args, "dampening", 0),
                               .weight_decay = number(args, "weight_decay", 0),
                               .nesterov = wk_config_bool(args, "nesterov", false) };
    return wk_failed() ? NULL : wk_sgd(p, opts);
}
static wk_optim *build_adam(const wk_config *args, wk_named_tensors p) {
    wk_adam_opts opts = { .lr = positive(args, "lr"),
                          .eps = positive(args, "eps"),
                          .weight_decay = number(args, "weight_decay", 0),
                          .amsgrad = wk_config_bool(args, "amsgrad", false) };
    betas(args, &opts.beta1, &opts.beta2);
    return wk_failed() ? NULL : wk_adam(p, opts);
}
static wk_optim *build_adamw(const wk_config *args, wk_named_tensors p) {
    wk_adamw_opts opts = { .lr = positive(args, "lr"),
                           .eps = positive(args, "eps"),
                           .weight_decay = optional(args, "weight_decay"),
                           .amsgrad = wk_config_bool(args, "amsgrad", false) };
    betas(args, &opts.beta1, &opts.beta2);
    return wk_failed() ? NULL : wk_adamw(p, opts);
}
/* Those whose options are lr, betas, eps and weight_decay. */
#define LIKE_ADAM(name)                                                              \
    static wk_optim *build_##name(const wk_config *args, wk_named_tensors p) {       \
        wk_##name##_opts opts = { .lr = positive(args, "lr"),                        \
                                  .eps = positive(args, "eps"),                      \
                                  .weight_decay = number(args, "weight_decay", 0) }; \
        betas(args, &opts.beta1, &opts.beta2);                                       \
        return wk_failed() ? NULL : wk_##name(p, opts);                              \
    }
LIKE_ADAM(adamax)
LIKE_ADAM(nadam)
LIKE_ADAM(radam)
LIKE_ADAM(lamb)
static wk_optim *build_lion(const wk_config *args, wk_named_tensors p) {
    wk_lion_opts opts = { .lr = positive(args, "lr"), .weight_decay = number(args, "weight_decay", 0) };
    betas(args, &opts.beta1, &opts.beta2);
    return wk_failed() ? NULL : wk_lion(p, opts);
}
static wk_optim *build_adagrad(const wk_config *args, wk_named_tensors p) {
    const wk_adagrad_opts opts = { .lr = positive(args, "lr"),
                                   .lr_decay = number(args, "lr_decay", 0),
                                   .weight_decay = number(args, "weight_decay", 0),
                                   .initial_accumulator_value = number(args, "initial_accumulator_value", 0),
                                   .eps = positive(args, "eps") };
    return wk_failed() ? NULL : wk_adagrad(p, opts);
}
static wk_optim *build_adadelta(const wk_config *args, wk_named_tensors p) {
    const wk_adadelta_opts opts = { .lr = positive(args, "lr"),
                                    .rho = optional(args, "rho"),
                                    .eps = positive(args, "eps"),
                                    .weight_decay = number(args, "weight_decay", 0) };
    return wk_failed() ? NULL : wk_adadelta(p, opts);
}
static wk_optim *build_rmsprop(const wk_config *args, wk_named_tensors p) {
    const wk_rmsprop_opts opts = { .lr = positive(args, "lr"),
                                   .alpha = optional(args, "alpha"),
                                   .eps = positive(args, "eps"),
                                   .weight_decay = number(args, "weight_decay", 0),
                                   .momentum = number(args, "momentum", 0),
                                   .centered = wk_config_bool(args, "centered", false) };
    return wk_failed() ? NULL : wk_rmsprop(p, opts);
}
static wk_optim *build_adafactor(const wk_config *args, wk_named_tensors p) {
    const wk_adafactor_opts opts = { .lr = positive(args, "lr"),
                                     .d = optional(args, "d"),
                                     .weight_decay = number(args, "weight_decay", 0) };
    return wk_failed() ? NULL : wk_adafactor(p, opts);
}

static wk_optim *build_rprop(const wk_config *args, wk_named_tensors p) {
    double etas[2], sizes[2];
    const int n_etas = wk_config_doubles(args, "etas", etas, 2),
              n_sizes = wk_config_doubles(args, "step_sizes", sizes, 2);
    wk_rprop_opts opts = { .lr = positive(args, "lr") };
    if (n_etas == 1 || n_sizes == 1) {
        const char *key = n_etas == 1 ? "etas" : "step_sizes";
        (void)wk_config_fail(args, key, "%s has one number, expected two", key);
    }
    if (n_etas == 2) opts.etaminus = WK_SET(etas[0]), opts.etaplus = WK_SET(etas[1]);
    if (n_sizes == 2) opts.step_min = WK_SET(sizes[0]), opts.step_max = WK_SET(sizes[1]);
    return wk_failed() ? NULL : wk_rprop(p, opts);
}
static wk_optim *build_asgd(const wk_config *args, wk_named_tensors p) {
    const wk_asgd_opts opts = { .lr = positive(args, "lr"),
                                .lambd = optional(args, "lambd"),
                                .alpha = optional(args, "alpha"),
                                .t0 = optional(args, "t0"),
                                .weight_decay = number(args, "weight_decay", 0) };
    return wk_failed() ? NULL : wk_asgd(p, opts);
}
static wk_optim *build_muon(const wk_config *args, wk_named_tensors p) {
    static const char *const scales[] = { "original", "match_rms_adamw", NULL };
    const wk_muon_opts opts = { .lr = positive(args, "lr"),
                                .weight_decay = optional(args, "weight_decay"),
                                .momentum = optional(args, "momentum"),
                                .no_nesterov = !wk_config_bool(args, "nesterov", true),
                                .eps = positive(args, "eps"),
                                .ns_steps = wk_config_int(args, "ns_steps", 1, 99, 0),
                                .scale = wk_config_choice(args, "adjust_lr_fn", scales, 0) };
    return wk_failed() ? NULL : wk_muon(p, opts);
}
static wk_optim *build_lbfgs(const wk_config *args, wk_named_tensors p) {
    static const char *const searches[] = { "none", "strong_wolfe", NULL };
    const wk_lbfgs_opts opts = { .lr = positive(args, "lr"),
                                 .max_iter = wk_config_int(args, "max_iter", 1, INT32_MAX, 0),
                                 .max_eval = wk_config_int(args, "max_eval", 1, INT32_MAX, 0),
                                 .tolerance_grad = optional(args, "tolerance_grad"),
                                 .tolerance_change = optional(args, "tolerance_change"),
                                 .history_size = wk_config_int(args, "history_size", 1, 1 << 20, 0),
                                 .strong_wolfe = wk_config_choice(args, "line_search_fn", searches, 0) == 1 };
    return wk_failed() ? NULL : wk_lbfgs(p, opts);
}

#define LR(text) \
    { "lr", WK_ARG_NUMBER, text, "learning rate" }
#define DECAY(text) \
    { "weight_decay", WK_ARG_NUMBER, text, NULL }
#define EPS(text) \
    { "eps", WK_ARG_NUMBER, text, NULL }
#define BETAS                                                                                               \
    { "betas", WK_ARG_LIST, "[0.9, 0.999]", "or beta1 and beta2" }, { "beta1", WK_ARG_NUMBER, "", NULL }, { \
        "beta2", WK_ARG_NUMBER, "", NULL                                                                    \
    }
#define END \
    { NULL, WK_ARG_INT, NULL, NULL }
static const wk_arg sgd_args[] = {
    LR("1e-3"), { "momentum", WK_ARG_NUMBER, "0", NULL },   { "dampening", WK_ARG_NUMBER, "0", NULL },
    DECAY("0"), { "nesterov", WK_ARG_BOOL, "false", NULL }, END
};
static const wk_arg adam_args[] = {
    LR("1e-3"), BETAS, EPS("1e-8"), DECAY("0"), { "amsgrad", WK_ARG_BOOL, "false", NULL }, END
};
static const wk_arg adamw_args[] = {
    LR("1e-3"), BETAS, EPS("1e-8"), DECAY("0.01"), { "amsgrad", WK_ARG_BOOL, "false", NULL }, END
};
static const wk_arg adamax_args[] = { LR("2e-3"), BETAS, EPS("1e-8"), DECAY("0"), END };
static const wk_arg radam_args[] = { LR("1e-3"), BETAS, EPS("1e-8"), DECAY("0"), END };
static const wk_arg lamb_args[] = { LR("1e-3"), BETAS, EPS("1e-6"), DECAY("0"), END };
static const wk_arg lion_args[] = { LR("1e-4"), BETAS, DECAY("0"), END };
static const wk_arg adagrad_args[] = { LR("1e-2"),   { "lr_decay", WK_ARG_NUMBER, "0", NULL },
                                       DECAY("0"),   { "initial_accumulator_value", WK_ARG_NUMBER, "0", NULL },
                                       EPS("1e-10"), END };
static const wk_arg adadelta_args[] = { LR("1"), { "rho", WK_ARG_NUMBER, "0.9", NULL }, EPS("1e-6"), DECAY("0"), END };
static const wk_arg rmsprop_args[] = {
    LR("1e-2"), { "alpha", WK_ARG_NUMBER, "0.99", NULL }, EPS("1e-8"),
    DECAY("0"), { "momentum", WK_ARG_NUMBER, "0", NULL }, { "centered", WK_ARG_BOOL, "false", NULL },
    END
};
static const wk_arg adafactor_args[] = { LR("1e-2"), { "d", WK_ARG_NUMBER, "1", NULL }, DECAY("0"), END };

static const wk_arg rprop_args[] = {
    LR("1e-2"), { "etas", WK_ARG_LIST, "[0.5, 1.2]", NULL }, { "step_sizes", WK_ARG_LIST, "[1e-6, 50]", NULL }, END
};
static const wk_arg asgd_args[] = { LR("1e-2"),
                                    { "lambd", WK_ARG_NUMBER, "1e-4", NULL },
                                    { "alpha", WK_ARG_NUMBER, "0.75", NULL },
                                    { "t0", WK_ARG_NUMBER, "1e6", NULL },
                                    DECAY("0"),
                                    END };
static const wk_arg muon_args[] = {
    LR("1e-3"),
    DECAY("0.1"),
    { "momentum", WK_ARG_NUMBER, "0.95", NULL },
    { "nesterov", WK_ARG_BOOL, "true", NULL },
    EPS("1e-7"),
    { "ns_steps", WK_ARG_INT, "5", NULL },
    { "adjust_lr_fn", WK_ARG_TEXT, "original", "original or match_rms_adamw" },
    { "others", WK_ARG_SPEC, "", "the optimizer of parameters that are no matrices: { name: AdamW, args: { … } }" },
    { "others_too", WK_ARG_LIST, "[]", "paths whose matrices `others` takes too: embeddings, a head" },
    END
};
static const wk_arg lbfgs_args[] = { LR("1"),
                                     { "max_iter", WK_ARG_INT, "20", "of one step" },
                                     { "max_eval", WK_ARG_INT, "", "max_iter · 5 / 4" },
                                     { "tolerance_grad", WK_ARG_NUMBER, "1e-7", NULL },
                                     { "tolerance_change", WK_ARG_NUMBER, "1e-9", NULL },
                                     { "history_size", WK_ARG_INT, "100", NULL },
                                     { "line_search_fn", WK_ARG_TEXT, "none", "none or strong_wolfe" },
                                     END };

const wk_optimizer_entry wk__builtin_optimizers[] = {
    { { "SGD", NULL, sgd_args }, build_sgd },
    { { "Adam", NULL, adam_args }, build_adam },
    { { "AdamW", NULL, adamw_args }, build_adamw },
    { { "Adamax", NULL, adamax_args }, build_adamax },
    { { "NAdam", NULL, adamax_args }, build_nadam },
    { { "RAdam", NULL, radam_args }, build_radam },
    { { "Adagrad", NULL, adagrad_args }, build_adagrad },
    { { "Adadelta", NULL, adadelta_args }, build_adadelta },
    { { "RMSprop", NULL, rmsprop_args }, build_rmsprop },
    { { "Adafactor", NULL, adafactor_args }, build_adafactor },
    { { "Rprop", "for gradients of the whole data set", rprop_args }, build_rprop },
    { { "ASGD", NULL, asgd_args }, build_asgd },
    { { "Muon", "for matrices; `others` for the rest", muon_args }, build_muon },
    { { "LBFGS", "runs a batch as often as a step needs", lbfgs_args }, build_lbfgs },
    { { "LAMB", NULL, lamb_args }, build_lamb },
    { { "Lion", NULL, lion_args }, build_lion },
    { { NULL, NULL, NULL }, NULL },
};
