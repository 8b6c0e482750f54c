/* lr_kinds.c: the schedules that are a formula.  Recursions are PyTorch's, in its order of operations. */
#include "optim/lr.h"

#include <math.h>
#include <string.h>

static const double PI = 3.141592653589793;

/* ---- by a function ---- */

static double lambda_rate(const wk_lr *s, int g, double lr) {
    (void)lr;
    return wk__lr_base(s, g) * s->function(s->context, (int64_t)wk__lr_time(s));
}
static double multiplicative_rate(const wk_lr *s, int g, double lr) {
    (void)g;
    return s->is_initial ? lr : lr * s->function(s->context, (int64_t)wk__lr_time(s));
}
static const wk__lr_kind lambda_kind = { .name = "LambdaLR", .rate = lambda_rate },
                         multiplicative_kind = { .name = "MultiplicativeLR", .rate = multiplicative_rate };

static wk_lr *by_function(const wk__lr_kind *kind, wk_optim *o, wk_lr_function f, void *context) {
    if (!f && !wk_failed()) return wk_fail_null(WK_INVALID, "%s: the function is NULL", kind->name);
    wk_lr *s = wk__lr_create(kind, o);
    if (!s) return NULL;
    s->function = f;
    s->context = context;
    return wk__lr_begin(s);
}
wk_lr *wk_lambda_lr(wk_optim *o, wk_lr_function f, void *context) {
    return by_function(&lambda_kind, o, f, context);
}
wk_lr *wk_multiplicative_lr(wk_optim *o, wk_lr_function f, void *context) {
    return by_function(&multiplicative_kind, o, f, context);
}

static double schedule_rate(const wk_lr *s, int g, double lr) {
    (void)lr;
    return wk_schedule_lr(&s->schedule, (int64_t)wk__lr_time(s)) * (wk__lr_base(s, g) / wk__lr_base(s, 0));
}
static const wk__lr_kind schedule_kind = { .name = "wk_schedule", .rate = schedule_rate };
wk_lr *wk_schedule_as_lr(wk_optim *o, wk_schedule schedule) {
    wk_lr *s = wk__lr_create(&schedule_kind, o);
    if (s) s->schedule = schedule;
    return wk__lr_begin(s);
}

/* ---- steps ---- */

static double step_rate(const wk_lr *s, int g, double lr) {
    (void)g;
    double t = wk__lr_time(s);
    bool is_due = t != 0 && fmod(t, (double)s->opts.step.step_size) == 0;
    return is_due ? lr * wk_optional_or(s->opts.step.gamma, 0.1) : lr;
}
static double step_closed(const wk_lr *s, int g) {
    double times = floor(wk__lr_time(s) / (double)s->opts.step.step_size);
    return wk__lr_base(s, g) * pow(wk_optional_or(s->opts.step.gamma, 0.1), times);
}
static const wk__lr_kind step_kind = { .name = "StepLR", .rate = step_rate, .closed = step_closed };
wk_lr *wk_step_lr(wk_optim *o, wk_step_lr_opts opts) {
    if (opts.step_size < 1 && !wk_failed())
        return wk_fail_null(WK_INVALID, "StepLR: step_size is %lld, expected at least 1", (long long)opts.step_size);
    wk_lr *s = wk__lr_create(&step_kind, o);
    if (s) s->opts.step = opts;
    return wk__lr_begin(s);
}

static double multi_step_rate(const wk_lr *s, int g, double lr) {
    (void)g;
    int times = 0;
    for (int i = 0; i < s->milestone_count; i++) times += (double)s->milestones[i] == wk__lr_time(s);
    return times ? lr * pow(s->opts.gamma, times) : lr;
}
static double multi_step_closed(const wk_lr *s, int g) {
    int times = 0;
    for (int i = 0; i < s->milestone_count; i++) times += (double)s->milestones[i] <= wk__lr_time(s);
    return wk__lr_base(s, g) * pow(s->opts.gamma, times);
}
static const wk__lr_kind multi_step_kind = { .name = "MultiStepLR",
                                             .rate = multi_step_rate,
                                             .closed = multi_step_closed };
wk_lr *wk_multi_step_lr(wk_optim *o, wk_multi_step_lr_opts opts) {
    if ((opts.count < 0 || (opts.count > 0 && !opts.milestones)) && !wk_failed())
        return wk_fail_null(WK_INVALID, "MultiStepLR: %d milestones, expected a list of them", opts.count);
    wk_lr *s = wk__lr_create(&multi_step_kind, o);
    if (!s) return NULL;
    s->opts.gamma = wk_optional_or(opts.gamma, 0.1);
    s->milestones = wk_alloc(((size_t)opts.count + 1) * sizeof *s->milestones);
    if (!s->milestones) {
        wk_lr_destroy(s);
        return NULL;
    }
    if (opts.count > 0) memcpy(s->milestones, opts.milestones, (size_t)opts.count * sizeof *s->milestones);
    s->milestone_count = opts.count;
    return wk__lr_begin(s);
}

/* ---- towards a value ---- */

static double constant_rate(const wk_lr *s, int g, double lr) {
    (void)g;
    double factor = s->opts.constant.factor.value;
    if (wk__lr_time(s) == 0) return lr * factor;
    return wk__lr_time(s) == (double)s->opts.constant.total_iters ? lr * (1.0 / factor) : lr;
}
static double constant_closed(const wk_lr *s, int g) {
    double factor = s->opts.constant.factor.value;
    bool is_over = wk__lr_time(s) >= (double)s->opts.constant.total_iters;
    return wk__lr_base(s, g) * (factor + (is_over ? 1 - factor : 0));
}
static const wk__lr_kind constant_kind = { .name = "ConstantLR", .rate = constant_rate, .closed = constant_closed };
wk_lr *wk_constant_lr(wk_optim *o, wk_constant_lr_opts opts) {
    opts.factor = WK_SET(wk_optional_or(opts.factor, 1.0 / 3));
    if (opts.total_iters == 0) opts.total_iters = 5;
    if (!(opts.factor.value >= 0 && opts.factor.value <= 1) && !wk_failed())
        return wk_fail_null(WK_INVALID, "ConstantLR: factor is %g, expected in [0, 1]", opts.factor.value);
    wk_lr *s = wk__lr_create(&constant_kind, o);
    if (s) s->opts.constant = opts;
    return wk__lr_begin(s);
}

static double linear_rate(const wk_lr *s, int g, double lr) {
    (void)g;
    double t = wk__lr_time(s), total = (double)s->opts.linear.total_iters;
    double start = s->opts.linear.start_factor.value, change = s->opts.linear.end_factor.value - start;
    if (t == 0) return lr * start;
    if (s->is_initial || t > total) return lr;
    return lr * (1 + change / (total * start + (t - 1) * change));
}
static double linear_closed(const wk_lr *s, int g) {
    double total = (double)s->opts.linear.total_iters, start = s->opts.linear.start_factor.value;
    return wk__lr_base(s, g)
           * (start + (s->opts.linear.end_factor.value - start) * fmin(total, wk__lr_time(s)) / total);
}
static const wk__lr_kind linear_kind = { .name = "LinearLR", .rate = linear_rate, .closed = linear_closed };
wk_lr *wk_linear_lr(wk_optim *o, wk_linear_lr_opts opts) {
    opts.start_factor = WK_SET(wk_optional_or(opts.start_factor, 1.0 / 3));
    opts.end_factor = WK_SET(wk_optional_or(opts.end_factor, 1));
    if (opts.total_iters == 0) opts.total_iters = 5;
    bool fits = opts.start_factor.value > 0 && opts.start_factor.value <= 1 && opts.end_factor.value >= 0
                && opts.end_factor.value <= 1 && opts.total_iters > 0;
    if (!fits && !wk_failed())
        return wk_fail_null(WK_INVALID,
                            "LinearLR: start_factor %g, end_factor %g, total_iters %lld: expected in (0, 1], in [0, 1] "
                            "and at least 1",
                            opts.start_factor.value, opts.end_factor.value, (long long)opts.total_iters);
    wk_lr *s = wk__lr_create(&linear_kind, o);
    if (s) s->opts.linear = opts;
    return wk__lr_begin(s);
}

static double exponential_rate(const wk_lr *s, int g, double lr) {
    (void)g;
    return s->is_initial ? lr : lr * s->opts.gamma;
}
static double exponential_closed(const wk_lr *s, int g) {
    return wk__lr_base(s, g) * pow(s->opts.gamma, wk__lr_time(s));
}
static const wk__lr_kind exponential_kind = { .name = "ExponentialLR",
                                              .rate = exponential_rate,
                                              .closed = exponential_closed };
wk_lr *wk_exponential_lr(wk_optim *o, double gamma) {
    if (!(gamma >= 0) && !wk_failed())
        return wk_fail_null(WK_INVALID, "ExponentialLR: gamma is %g, expected at least 0", gamma);
    wk_lr *s = wk__lr_create(&exponential_kind, o);
    if (s) s->opts.gamma = gamma;
    return wk__lr_begin(s);
}

static double polynomial_rate(const wk_lr *s, int g, double lr) {
    (void)g;
    double t = wk__lr_time(s), total = (double)s->opts.polynomial.total_iters;
    if (s->is_initial || t > total) return lr;
    return lr * pow((1.0 - t / total) / (1.0 - (t - 1) / total), s->opts.polynomial.power.value);
}
static double polynomial_closed(const wk_lr *s, int g) {
    double total = (double)s->opts.polynomial.total_iters;
    return wk__lr_base(s, g) * pow(1.0 - fmin(total, wk__lr_time(s)) / total, s->opts.polynomial.power.value);
}
static const wk__lr_kind polynomial_kind = { .name = "PolynomialLR",
                                             .rate = polynomial_rate,
                                             .closed = polynomial_closed };
wk_lr *wk_polynomial_lr(wk_optim *o, wk_polynomial_lr_opts opts) {
    opts.power = WK_SET(wk_optional_or(opts.power, 1));
    if (opts.total_iters == 0) opts.total_iters = 5;
    if ((opts.total_iters < 1 || !isfinite(opts.power.value)) && !wk_failed())
        return wk_fail_null(WK_INVALID, "PolynomialLR: total_iters %lld, power %g: expected at least 1, and a number",
                            (long long)opts.total_iters, opts.power.value);
    wk_lr *s = wk__lr_create(&polynomial_kind, o);
    if (s) s->opts.polynomial = opts;
    return wk__lr_begin(s);
}

/* ---- cosines ---- */

static double cosine_closed(const wk_lr *s, int g) {
    double least = s->opts.cosine.eta_min, most = (double)s->opts.cosine.t_max;
    return least + (wk__lr_base(s, g) - least) * (1 + cos(PI * wk__lr_time(s) / most)) / 2;
}
static double cosine_rate(const wk_lr *s, int g, double lr) {
    double t = wk__lr_time(s), most = (double)s->opts.cosine.t_max, least = s->opts.cosine.eta_min;
    if (s->is_initial) return lr;
    if (wk__lr_numbers(s)[WK__LR_STEPS] == 1 && t > 0) return cosine_closed(s, g);
    if (fmod(t - 1 - most, 2 * most) == 0) return lr + (wk__lr_base(s, g) - least) * (1 - cos(PI / most)) / 2;
    return (1 + cos(PI * t / most)) / (1 + cos(PI * (t - 1) / most)) * (lr - least) + least;
}
static const wk__lr_kind cosine_kind = { .name = "CosineAnnealingLR", .rate = cosine_rate, .closed = cosine_closed };
wk_lr *wk_cosine_annealing_lr(wk_optim *o, wk_cosine_lr_opts opts) {
    if ((opts.t_max < 1 || !isfinite(opts.eta_min)) && !wk_failed())
        return wk_fail_null(WK_INVALID, "CosineAnnealingLR: t_max is %lld, expected at least 1", (long long)opts.t_max);
    wk_lr *s = wk__lr_create(&cosine_kind, o);
    if (s) s->opts.cosine = opts;
    return wk__lr_begin(s);
}

static double restarts_rate(const wk_lr *s, int g, double lr) {
    (void)lr;
    const double *n = wk__lr_numbers(s);
    double least = s->opts.restarts.eta_min;
    return least + (wk__lr_base(s, g) - least) * (1 + cos(PI * n[WK__LR_T_CUR] / n[WK__LR_T_I])) / 2;
}
static wk_status restarts_step(wk_lr *s) {
    double *n = wk__lr_numbers(s);
    if (n[WK__LR_TIME] < 0) {
        n[WK__LR_T_CUR] = 0;
        n[WK__LR_T_I] = (double)s->opts.restarts.t_0;
    } else if (++n[WK__LR_T_CUR] >= n[WK__LR_T_I]) {
        n[WK__LR_T_CUR] = fmod(n[WK__LR_T_CUR], n[WK__LR_T_I]);
        n[WK__LR_T_I] *= (double)s->opts.restarts.t_mult;
    }
    n[WK__LR_TIME]++;
    wk__lr_apply(s);
    return WK_OK;
}
static const wk__lr_kind restarts_kind = { .name = "CosineAnnealingWarmRestarts",
                                           .rate = restarts_rate,
                                           .step = restarts_step };
wk_lr *wk_cosine_annealing_warm_restarts(wk_optim *o, wk_warm_restarts_opts opts) {
    if (opts.t_mult == 0) opts.t_mult = 1;
    if ((opts.t_0 < 1 || opts.t_mult < 1) && !wk_failed())
        return wk_fail_null(WK_INVALID, "CosineAnnealingWarmRestarts: t_0 %lld, t_mult %lld: expected at least 1",
                            (long long)opts.t_0, (long long)opts.t_mult);
    wk_lr *s = wk__lr_create(&restarts_kind, o);
    if (s) s->opts.restarts = opts;
    return wk__lr_begin(s);
}

/* ---- swa ---- */

static double swa_share(const wk_lr *s, double t) {
    return s->opts.swa.linear ? t : (1 - cos(PI * t)) / 2;
}
static double swa_rate(const wk_lr *s, int g, double lr) {
    (void)g;
    double epochs = s->opts.swa.anneal_epochs.value, step = wk__lr_numbers(s)[WK__LR_STEPS] - 1;
    if (epochs == 0) step = fmax(1, step);
    double before = swa_share(s, fmax(0, fmin(1, (step - 1) / fmax(1, epochs)))), goal = s->opts.swa.swa_lr;
    double start = before == 1 ? goal : (lr - before * goal) / (1 - before);
    double now = swa_share(s, fmax(0, fmin(1, step / fmax(1, epochs))));
    return goal * now + start * (1 - now);
}
static const wk__lr_kind swa_kind = { .name = "SWALR", .rate = swa_rate };
wk_lr *wk_swa_lr(wk_optim *o, wk_swa_lr_opts opts) {
    opts.anneal_epochs = WK_SET(wk_optional_or(opts.anneal_epochs, 10));
    if (!(opts.swa_lr >= 0 && opts.anneal_epochs.value >= 0) && !wk_failed())
        return wk_fail_null(WK_INVALID, "SWALR: swa_lr %g, anneal_epochs %g: expected at least 0", opts.swa_lr,
                            opts.anneal_epochs.value);
    wk_lr *s = wk__lr_create(&swa_kind, o);
    if (s) s->opts.swa = opts;
    return wk__lr_begin(s);
}

/* ---- plateau ---- */

static bool is_better(const wk_plateau_opts *p, double now, double best) {
    double threshold = wk_optional_or(p->threshold, 1e-4);
    if (p->absolute) return p->max ? now > best + threshold : now < best - threshold;
    return p->max ? now > best * (1 + threshold) : now < best * (1 - threshold);
}

static void reduce(wk_lr *s) {
    const wk_plateau_opts *p = &s->opts.plateau;
    for (int g = 0; g < s->o->groups; g++) {
        double *lr = &wk__scalars(&s->o->group[g])[WK_STEP_LR];
        double less = fmax(*lr * wk_optional_or(p->factor, 0.1), p->min_lr);
        if (*lr - less > wk_optional_or(p->eps, 1e-8)) *lr = less;
    }
}

wk_status wk_lr_step_metric(wk_lr *s, double metric) {
    if (wk_failed()) return WK_PENDING;
    if (!s) return wk_fail(WK_INVALID, "wk_lr_step_metric: the schedule is NULL");
    if (s->kind != &wk__lr_plateau) return wk_fail(WK_INVALID, "%s takes no metric: use wk_lr_step", s->kind->name);
    double *n = wk__lr_numbers(s);
    n[WK__LR_TIME]++;
    if (is_better(&s->opts.plateau, metric, n[WK__LR_BEST])) {
        n[WK__LR_BEST] = metric;
        n[WK__LR_BAD] = 0;
    } else {
        n[WK__LR_BAD]++;
    }
    if (n[WK__LR_COOLDOWN] > 0) {
        n[WK__LR_COOLDOWN]--;
        n[WK__LR_BAD] = 0;
    }
    if (n[WK__LR_BAD] > wk_optional_or(s->opts.plateau.patience, 10)) {
        reduce(s);
        n[WK__LR_COOLDOWN] = (double)s->opts.plateau.cooldown;
        n[WK__LR_BAD] = 0;
    }
    for (int g = 0; g < s->o->groups; g++) wk__lr_group(s, g)[WK__LR_NOW] = wk__scalars(&s->o->group[g])[WK_STEP_LR];
    return WK_OK;
}

const wk__lr_kind wk__lr_plateau = { .name = "ReduceLROnPlateau" };
wk_lr *wk_reduce_lr_on_plateau(wk_optim *o, wk_plateau_opts opts) {
    double factor = wk_optional_or(opts.factor, 0.1);
    if (!(factor >= 0 && factor < 1) && !wk_failed())
        return wk_fail_null(WK_INVALID, "ReduceLROnPlateau: factor is %g, expected in [0, 1)", factor);
    if (!(opts.min_lr >= 0) && !wk_failed())
        return wk_fail_null(WK_INVALID, "ReduceLROnPlateau: min_lr is %g, expected at least 0", opts.min_lr);
    wk_lr *s = wk__lr_create(&wk__lr_plateau, o);
    if (!s) return NULL;
    s->opts.plateau = opts;
    wk__lr_numbers(s)[WK__LR_TIME] = 0;
    wk__lr_numbers(s)[WK__LR_BEST] = opts.max ? -INFINITY : INFINITY;
    return s;
}
