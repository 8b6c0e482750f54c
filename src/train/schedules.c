/* schedules.c: learning-rate schedules by PyTorch's names.
 *
 * A schedule counts epochs, as those of the LIIF-style trainers do, unless `interval: step` says otherwise; cosine and
 * OneCycleLR, whose length follows from the run, count steps.
 */
#include "train/builtin.h"
#include "train/registry.h"

#include "base/base.h"

#include <float.h>
#include <math.h>

static wk_status made(const wk_config *args, wk_lr *lr, bool per_step, wk_built_schedule *built) {
    static const char *const intervals[] = { "epoch", "step", NULL };
    *built = (wk_built_schedule){ .lr = lr, .per_step = wk_config_choice(args, "interval", intervals, per_step) == 1 };
    if (!wk_failed()) return WK_OK;
    wk_lr_destroy(lr);
    built->lr = NULL;
    return wk_error_code();
}
static double number(const wk_config *args, const char *key, double otherwise) {
    return wk_config_double(args, key, 0, DBL_MAX, otherwise);
}
static wk_optional optional(const wk_config *args, const char *key) {
    return (wk_optional){ wk_config_has(args, key), wk_config_double(args, key, 0, DBL_MAX, 0) };
}
static int64_t count(const wk_config *args, const char *key, int64_t otherwise) {
    return wk_config_int(args, key, 1, INT64_MAX, otherwise);
}

static wk_status build_constant(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    (void)args, (void)site;
    *built = (wk_built_schedule){ 0 };
    return WK_OK;
}
static wk_status build_step(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    const wk_step_lr_opts opts = { count(args, "step_size", 1), optional(args, "gamma") };
    return made(args, wk_step_lr(site->optimizer, opts), false, built);
}
static wk_status build_cosine(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    const wk_schedule schedule = { .kind = WK_SCHEDULE_COSINE,
                                   .base_lr = wk_optim_lr(site->optimizer),
                                   .warmup_steps = wk_config_int(args, "warmup_steps", 0, INT64_MAX, 0),
                                   .total_steps = site->total_steps,
                                   .min_lr = number(args, "min_lr", 0) };
    *built = (wk_built_schedule){ .lr = wk_failed() ? NULL : wk_schedule_as_lr(site->optimizer, schedule),
                                  .per_step = true };
    return wk_failed() ? wk_error_code() : WK_OK;
}
static wk_status build_multi_step(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    int64_t milestones[64];
    const wk_multi_step_lr_opts opts = { milestones, wk_config_ints(args, "milestones", milestones, 64),
                                         optional(args, "gamma") };
    return made(args, wk_multi_step_lr(site->optimizer, opts), false, built);
}
static wk_status build_exponential(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    return made(args, wk_exponential_lr(site->optimizer, number(args, "gamma", 0.1)), false, built);
}
static wk_status build_constant_factor(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    const wk_constant_lr_opts opts = { optional(args, "factor"), count(args, "total_iters", 5) };
    return made(args, wk_constant_lr(site->optimizer, opts), false, built);
}
static wk_status build_linear(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    const wk_linear_lr_opts opts = { optional(args, "start_factor"), optional(args, "end_factor"),
                                     count(args, "total_iters", 5) };
    return made(args, wk_linear_lr(site->optimizer, opts), false, built);
}
static wk_status build_polynomial(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    const wk_polynomial_lr_opts opts = { count(args, "total_iters", 5), optional(args, "power") };
    return made(args, wk_polynomial_lr(site->optimizer, opts), false, built);
}
static wk_status build_cosine_annealing(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    const wk_cosine_lr_opts opts = { count(args, "T_max", site->epochs), number(args, "eta_min", 0) };
    return made(args, wk_cosine_annealing_lr(site->optimizer, opts), false, built);
}
static wk_status build_restarts(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    const wk_warm_restarts_opts opts = { count(args, "T_0", 1), count(args, "T_mult", 1), number(args, "eta_min", 0) };
    return made(args, wk_cosine_annealing_warm_restarts(site->optimizer, opts), false, built);
}
static wk_status build_one_cycle(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    const wk_one_cycle_lr_opts opts = { .max_lr = wk_config_double(args, "max_lr", DBL_MIN, DBL_MAX, 0.1),
                                        .total_steps = count(args, "total_steps", site->total_steps),
                                        .pct_start = optional(args, "pct_start"),
                                        .no_cycle_momentum = !wk_config_bool(args, "cycle_momentum", true),
                                        .div_factor = optional(args, "div_factor"),
                                        .final_div_factor = optional(args, "final_div_factor"),
                                        .three_phase = wk_config_bool(args, "three_phase", false) };
    return made(args, wk_one_cycle_lr(site->optimizer, opts), true, built);
}
static wk_status build_plateau(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    static const char *const modes[] = { "min", "max", NULL };
    const wk_plateau_opts opts = { .max = wk_config_choice(args, "mode", modes, 0) == 1,
                                   .factor = optional(args, "factor"),
                                   .patience = optional(args, "patience"),
                                   .threshold = optional(args, "threshold"),
                                   .cooldown = wk_config_int(args, "cooldown", 0, INT64_MAX, 0),
                                   .min_lr = number(args, "min_lr", 0) };
    *built = (wk_built_schedule){ .lr = wk_failed() ? NULL : wk_reduce_lr_on_plateau(site->optimizer, opts),
                                  .wants_metric = true,
                                  .monitor = wk_config_string(args, "monitor", "val_loss") };
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* warmup_lr of the LIIF-style trainers: linear from `start` to `end` over total_iters epochs, then · exp_gamma each. */
typedef struct warmup {
    double start, end, gamma;
    int64_t total;
} warmup;
static double warmup_at(void *context, int64_t t) {
    const warmup *w = context;
    if (t + 1 >= w->total) return w->end * pow(w->gamma, (double)(t + 1 - w->total));
    return (double)t / (double)(w->total - 1) * (w->end - w->start) + w->start;
}
static wk_status build_warmup(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    warmup *w = wk_alloc(sizeof *w);
    if (!w) return WK_NO_MEMORY;
    *w = (warmup){ number(args, "start", 0), number(args, "end", 1), number(args, "exp_gamma", 1),
                   count(args, "total_iters", 5) };
    wk_status status = made(args, wk_lambda_lr(site->optimizer, warmup_at, w), false, built);
    if (status == WK_OK)
        built->context = w;
    else
        wk_free(w);
    return status;
}

/* MultiplicativeLR: times one factor after the other, the last again and again. */
enum { MOST_FACTORS = 256 };
typedef struct factors {
    int count;
    double factor[MOST_FACTORS];
} factors;
static double factor_at(void *context, int64_t t) {
    const factors *f = context;
    return f->factor[t > f->count ? f->count - 1 : t - 1];
}
static wk_status build_multiplicative(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    factors *f = wk_alloc(sizeof *f);
    if (!f) return WK_NO_MEMORY;
    f->count = wk_config_doubles(args, "factor", f->factor, MOST_FACTORS);
    for (int i = 0; i < f->count && !wk_failed(); i++)
        if (!(f->factor[i] > 0))
            (void)wk_config_fail(args, "factor", "factor holds %g, expected more than 0", f->factor[i]);
    if (f->count == 0 && !wk_failed()) (void)wk_config_fail(args, "factor", "factor is an empty list");
    wk_lr *lr = wk_failed() ? NULL : wk_multiplicative_lr(site->optimizer, factor_at, f);
    wk_status status = made(args, lr, false, built);
    if (status == WK_OK)
        built->context = f;
    else
        wk_free(f);
    return status;
}

static wk_status build_swa(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    static const char *const strategies[] = { "cos", "linear", NULL };
    const wk_swa_lr_opts opts = { .swa_lr = wk_config_double(args, "swa_lr", DBL_MIN, DBL_MAX, 0.05),
                                  .anneal_epochs = { wk_config_has(args, "anneal_epochs"),
                                                     (double)wk_config_int(args, "anneal_epochs", 0, INT32_MAX, 10) },
                                  .linear = wk_config_choice(args, "anneal_strategy", strategies, 0) == 1 };
    return made(args, wk_failed() ? NULL : wk_swa_lr(site->optimizer, opts), false, built);
}

/* LambdaLR of the LIIF-style trainers: its function is a spec. */
static wk_status build_lambda(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    return wk_make_schedule(args, "lr_lambda", site, built);
}

static wk_status build_cyclic(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    static const char *const modes[] = { "triangular", "triangular2", "exp_range", NULL };
    const wk_cyclic_lr_opts opts = { .base_lr = wk_config_double(args, "base_lr", 0, DBL_MAX, 1e-4),
                                     .max_lr = wk_config_double(args, "max_lr", DBL_MIN, DBL_MAX, 0.1),
                                     .step_size_up = count(args, "step_size_up", 0),
                                     .step_size_down = count(args, "step_size_down", 0),
                                     .mode = wk_config_choice(args, "mode", modes, 0),
                                     .gamma = optional(args, "gamma"),
                                     .no_cycle_momentum = !wk_config_bool(args, "cycle_momentum", true),
                                     .base_momentum = optional(args, "base_momentum"),
                                     .max_momentum = optional(args, "max_momentum") };
    return made(args, wk_failed() ? NULL : wk_cyclic_lr(site->optimizer, opts), true, built);
}

/* ---- schedules of schedules ---- */

enum { MOST_OF_LIST = 16 };

/* `schedulers: [spec, …]`, each built; a part is a function of time alone. */
static int build_list(const wk_config *args, const wk_schedule_site *site, wk_lr *parts[MOST_OF_LIST]) {
    const wk__yaml_node *node = args->node ? wk__yaml_find(args->node, "schedulers") : NULL;
    int built = 0;
    if (!node || wk__yaml_list(args->document, node, "schedulers") != WK_OK) return 0;
    if (node->count == 0 || node->count > MOST_OF_LIST)
        (void)wk_config_fail(args, "schedulers", "schedulers has %zu items, expected 1 to %d", node->count,
                             MOST_OF_LIST);
    for (const wk__yaml_node *item = node->first; item && !wk_failed(); item = item->next) {
        wk__spec spec;
        wk_built_schedule one = { 0 };
        if (wk__spec_of(args->document, item, "schedulers", &spec) != WK_OK) break;
        const wk_entry *entry = wk__entry_of(WK__KIND_SCHEDULE, &spec);
        if (!entry || ((const wk_schedule_entry *)(const void *)entry)->build(&spec.args, site, &one) != WK_OK) break;
        if (!one.lr || one.wants_metric || one.context) {
            wk_lr_destroy(one.lr);
            wk_free(one.context);
            (void)wk_config_fail(&spec.section, "name", "%s cannot be a part of another schedule", spec.name);
            break;
        }
        parts[built++] = one.lr;
    }
    return built;
}

static void drop_list(wk_lr *const *parts, int n) {
    for (int i = n - 1; i >= 0; i--) wk_lr_destroy(parts[i]);
}

static wk_status build_sequential(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    wk_lr *parts[MOST_OF_LIST];
    int64_t milestones[MOST_OF_LIST];
    const int n = build_list(args, site, parts), marks = wk_config_ints(args, "milestones", milestones, MOST_OF_LIST);
    if (!wk_failed() && marks != n - 1)
        (void)wk_config_fail(args, "milestones", "milestones has %d items, expected %d: one less than schedulers",
                             marks, n - 1);
    if (wk_failed()) {
        drop_list(parts, n);
        return wk_error_code();
    }
    return made(args, wk_sequential_lr(site->optimizer, parts, n, milestones), false, built);
}

static wk_status build_chained(const wk_config *args, const wk_schedule_site *site, wk_built_schedule *built) {
    wk_lr *parts[MOST_OF_LIST];
    const int n = build_list(args, site, parts);
    if (wk_failed()) {
        drop_list(parts, n);
        return wk_error_code();
    }
    return made(args, wk_chained_lr(site->optimizer, parts, n), false, built);
}

#define INTERVAL \
    { "interval", WK_ARG_TEXT, "epoch", "what it counts: epoch or step" }
#define END \
    { NULL, WK_ARG_INT, NULL, NULL }
#define N(name, otherwise) \
    { name, WK_ARG_NUMBER, otherwise, NULL }
#define I(name, otherwise) \
    { name, WK_ARG_INT, otherwise, NULL }
static const wk_arg step_args[] = { I("step_size", "1"), N("gamma", "0.1"), INTERVAL, END };
static const wk_arg cosine_args[] = { I("warmup_steps", "0"), N("min_lr", "0"), END };
static const wk_arg multi_step_args[] = { { "milestones", WK_ARG_LIST, NULL, NULL }, N("gamma", "0.1"), INTERVAL, END };
static const wk_arg exponential_args[] = { N("gamma", "0.1"), INTERVAL, END };
static const wk_arg constant_args[] = { N("factor", "0.333"), I("total_iters", "5"), INTERVAL, END };
static const wk_arg linear_args[] = { N("start_factor", "0.333"), N("end_factor", "1"), I("total_iters", "5"), INTERVAL,
                                      END };
static const wk_arg polynomial_args[] = { I("total_iters", "5"), N("power", "1"), INTERVAL, END };
static const wk_arg annealing_args[] = { { "T_max", WK_ARG_INT, "", "max_epochs" }, N("eta_min", "0"), INTERVAL, END };
static const wk_arg restarts_args[] = { I("T_0", NULL), I("T_mult", "1"), N("eta_min", "0"), INTERVAL, END };
static const wk_arg one_cycle_args[] = { N("max_lr", NULL),
                                         { "total_steps", WK_ARG_INT, "", "the run's" },
                                         N("pct_start", "0.3"),
                                         { "cycle_momentum", WK_ARG_BOOL, "true", NULL },
                                         N("div_factor", "25"),
                                         N("final_div_factor", "1e4"),
                                         { "three_phase", WK_ARG_BOOL, "false", NULL },
                                         { "interval", WK_ARG_TEXT, "step", NULL },
                                         END };
static const wk_arg plateau_args[] = { { "monitor", WK_ARG_TEXT, "val_loss", "the metric that is to get better" },
                                       { "mode", WK_ARG_TEXT, "min", "min or max" },
                                       N("factor", "0.1"),
                                       I("patience", "10"),
                                       N("threshold", "1e-4"),
                                       I("cooldown", "0"),
                                       N("min_lr", "0"),
                                       END };
static const wk_arg warmup_args[] = { N("start", NULL),    N("end", "1"), I("total_iters", "5"),
                                      N("exp_gamma", "1"), INTERVAL,      END };
static const wk_arg multiplicative_args[] = {
    { "factor", WK_ARG_LIST, NULL, "0.95, or one for each time, the last from there on" }, INTERVAL, END
};
static const wk_arg swa_args[] = { N("swa_lr", NULL),
                                   I("anneal_epochs", "10"),
                                   { "anneal_strategy", WK_ARG_TEXT, "cos", "cos or linear" },
                                   INTERVAL,
                                   END };
static const wk_arg lambda_args[] = { { "lr_lambda", WK_ARG_SPEC, NULL, "{ name: warmup_lr, args: { … } }" }, END };
static const wk_arg cyclic_args[] = { N("base_lr", NULL),
                                      N("max_lr", NULL),
                                      I("step_size_up", "2000"),
                                      { "step_size_down", WK_ARG_INT, "", "step_size_up" },
                                      { "mode", WK_ARG_TEXT, "triangular", "triangular, triangular2, exp_range" },
                                      N("gamma", "1"),
                                      { "cycle_momentum", WK_ARG_BOOL, "true", NULL },
                                      N("base_momentum", "0.8"),
                                      N("max_momentum", "0.9"),
                                      { "interval", WK_ARG_TEXT, "step", NULL },
                                      END };
#define PARTS \
    { "schedulers", WK_ARG_LIST, NULL, "[{ name, args }, …]" }
static const wk_arg sequential_args[] = {
    PARTS, { "milestones", WK_ARG_LIST, NULL, "when the second begins, the third, …" }, INTERVAL, END
};
static const wk_arg chained_args[] = { PARTS, INTERVAL, END };
const wk_schedule_entry wk__builtin_schedules[] = {
    { { "constant", "the optimizer's rate", NULL }, build_constant },
    { { "StepLR", NULL, step_args }, build_step },
    { { "cosine", "warm-up in steps, then a half cosine to the run's end", cosine_args }, build_cosine },
    { { "MultiStepLR", NULL, multi_step_args }, build_multi_step },
    { { "ExponentialLR", NULL, exponential_args }, build_exponential },
    { { "ConstantLR", NULL, constant_args }, build_constant_factor },
    { { "LinearLR", NULL, linear_args }, build_linear },
    { { "PolynomialLR", NULL, polynomial_args }, build_polynomial },
    { { "CosineAnnealingLR", NULL, annealing_args }, build_cosine_annealing },
    { { "CosineAnnealingWarmRestarts", NULL, restarts_args }, build_restarts },
    { { "OneCycleLR", NULL, one_cycle_args }, build_one_cycle },
    { { "CyclicLR", NULL, cyclic_args }, build_cyclic },
    { { "MultiplicativeLR", "times a factor each time", multiplicative_args }, build_multiplicative },
    { { "SWALR", "to one rate, and there it stays", swa_args }, build_swa },
    { { "SequentialLR", "one schedule after the other", sequential_args }, build_sequential },
    { { "ChainedScheduler", "the products of several", chained_args }, build_chained },
    { { "ReduceLROnPlateau", NULL, plateau_args }, build_plateau },
    { { "warmup_lr", "linear from start to end, then exponential", warmup_args }, build_warmup },
    { { "LambdaLR", "a function of the epoch", lambda_args }, build_lambda },
    { { NULL, NULL, NULL }, NULL },
};
