/* lr_cycles.c: CyclicLR and OneCycleLR, which move the momentum (or beta1) against the rate. */
#include "optim/lr.h"

#include <math.h>

static const double PI = 3.141592653589793;

/* The optimizer must have what is to be cycled. */
static bool check_momentum(const wk__lr_kind *kind, wk_optim *o, bool cycles, wk_optional base, wk_optional most) {
    if (wk_failed()) return false;
    if (!cycles || !o) return true;
    if (!wk_optim_has(o, "beta1") && !wk_optim_has(o, "momentum"))
        (void)wk_fail(WK_INVALID, "%s: %s has neither momentum nor beta1; set no_cycle_momentum", kind->name,
                      wk_optim_name(o));
    else if (!(base.value >= 0 && base.value < 1 && most.value >= 0 && most.value < 1))
        (void)wk_fail(WK_INVALID, "%s: base_momentum %g, max_momentum %g: expected in [0, 1)", kind->name, base.value,
                      most.value);
    return !wk_failed();
}

/* ---- CyclicLR ---- */

/* How far from base to max, and by how much this cycle's height is scaled. */
static void cyclic_position(const wk_lr *s, double *fraction, double *height) {
    const wk_cyclic_lr_opts *c = &s->opts.cyclic;
    double t = wk__lr_time(s), total = (double)(c->step_size_up + c->step_size_down);
    double cycle = floor(1 + t / total), x = 1.0 + t / total - cycle, turn = (double)c->step_size_up / total;
    *fraction = x <= turn ? x / turn : (x - 1) / (turn - 1);
    *height = c->mode == WK_CYCLIC_TRIANGULAR2 ? 1 / pow(2, cycle - 1)
              : c->mode == WK_CYCLIC_EXP_RANGE ? pow(wk_optional_or(c->gamma, 1), t)
                                               : 1;
}
static double cyclic_rate(const wk_lr *s, int g, double lr) {
    (void)g, (void)lr;
    double fraction, height;
    cyclic_position(s, &fraction, &height);
    return s->opts.cyclic.base_lr + (s->opts.cyclic.max_lr - s->opts.cyclic.base_lr) * fraction * height;
}
static double cyclic_momentum(const wk_lr *s, int g) {
    (void)g;
    double fraction, height, base = s->opts.cyclic.base_momentum.value, most = s->opts.cyclic.max_momentum.value;
    cyclic_position(s, &fraction, &height);
    return most - (most - base) * fraction * height;
}
static const wk__lr_kind cyclic_kind = { .name = "CyclicLR", .rate = cyclic_rate }, cyclic_momentum_kind = {
    .name = "CyclicLR", .rate = cyclic_rate, .momentum = cyclic_momentum
};
wk_lr *wk_cyclic_lr(wk_optim *o, wk_cyclic_lr_opts opts) {
    const wk__lr_kind *kind = opts.no_cycle_momentum ? &cyclic_kind : &cyclic_momentum_kind;
    if (opts.step_size_up == 0) opts.step_size_up = 2000;
    if (opts.step_size_down == 0) opts.step_size_down = opts.step_size_up;
    opts.base_momentum = WK_SET(wk_optional_or(opts.base_momentum, 0.8));
    opts.max_momentum = WK_SET(wk_optional_or(opts.max_momentum, 0.9));
    if (!check_momentum(kind, o, !opts.no_cycle_momentum, opts.base_momentum, opts.max_momentum)) return NULL;
    if (!(opts.base_lr >= 0 && opts.max_lr >= 0) || opts.step_size_up < 1 || opts.step_size_down < 1)
        return wk_fail_null(WK_INVALID,
                            "CyclicLR: base_lr %g, max_lr %g, step_size_up %lld, step_size_down %lld: expected rates "
                            "of at least 0 and sizes of at least 1",
                            opts.base_lr, opts.max_lr, (long long)opts.step_size_up, (long long)opts.step_size_down);
    if (opts.mode < WK_CYCLIC_TRIANGULAR || opts.mode > WK_CYCLIC_EXP_RANGE)
        return wk_fail_null(WK_INVALID, "CyclicLR: mode is %d, expected a wk_cyclic_mode", opts.mode);
    for (int g = 0; g < wk_optim_groups(o); g++)
        if (o->group[g].initial_lr == 0) o->group[g].initial_lr = opts.base_lr;
    wk_lr *s = wk__lr_create(kind, o);
    if (s) s->opts.cyclic = opts;
    return wk__lr_begin(s);
}

/* ---- OneCycleLR ---- */

enum { INITIAL, MOST, LEAST };

typedef struct phase {
    double end;
    int start_lr, end_lr;
    bool starts_high, ends_high; /* the momentum */
} phase;

static int phases_of(const wk_one_cycle_lr_opts *c, phase out[3]) {
    double total = (double)c->total_steps, up = c->pct_start.value * total;
    out[0] = (phase){ up - 1, INITIAL, MOST, true, false };
    if (!c->three_phase) {
        out[1] = (phase){ total - 1, MOST, LEAST, false, true };
        return 2;
    }
    out[1] = (phase){ 2 * up - 2, MOST, INITIAL, false, true };
    out[2] = (phase){ total - 1, INITIAL, LEAST, true, true };
    return 3;
}

static double anneal(const wk_one_cycle_lr_opts *c, double start, double end, double share) {
    if (c->linear) return (end - start) * share + start;
    return end + (start - end) / 2.0 * (cos(PI * share) + 1);
}

/* The phase of the schedule's time, and how much of it is over. */
static phase phase_now(const wk_lr *s, double *share) {
    phase phases[3];
    int count = phases_of(&s->opts.one_cycle, phases), i = 0;
    double t = wk__lr_time(s);
    while (i < count - 1 && t > phases[i].end) i++;
    double start = i ? phases[i - 1].end : 0;
    *share = (t - start) / (phases[i].end - start);
    return phases[i];
}
static double one_cycle_rate(const wk_lr *s, int g, double lr) {
    (void)lr, (void)g;
    const wk_one_cycle_lr_opts *c = &s->opts.one_cycle;
    double initial = c->max_lr / c->div_factor.value;
    const double rates[] = { [INITIAL] = initial, [MOST] = c->max_lr, [LEAST] = initial / c->final_div_factor.value };
    double share;
    phase p = phase_now(s, &share);
    return anneal(c, rates[p.start_lr], rates[p.end_lr], share);
}
static double one_cycle_momentum(const wk_lr *s, int g) {
    (void)g;
    const wk_one_cycle_lr_opts *c = &s->opts.one_cycle;
    double share, low = c->base_momentum.value, high = c->max_momentum.value;
    phase p = phase_now(s, &share);
    return anneal(c, p.starts_high ? high : low, p.ends_high ? high : low, share);
}
static wk_status one_cycle_step(wk_lr *s) {
    if (wk__lr_time(s) + 1 > (double)s->opts.one_cycle.total_steps)
        return wk_fail(WK_INVALID, "OneCycleLR: step %.0f of %lld: the cycle is over", wk__lr_time(s) + 1,
                       (long long)s->opts.one_cycle.total_steps);
    wk__lr_numbers(s)[WK__LR_TIME]++;
    wk__lr_apply(s);
    return wk_failed() ? wk_error_code() : WK_OK;
}
static const wk__lr_kind one_cycle_kind = { .name = "OneCycleLR", .rate = one_cycle_rate, .step = one_cycle_step },
                         one_cycle_momentum_kind = { .name = "OneCycleLR",
                                                     .rate = one_cycle_rate,
                                                     .momentum = one_cycle_momentum,
                                                     .step = one_cycle_step };
wk_lr *wk_one_cycle_lr(wk_optim *o, wk_one_cycle_lr_opts opts) {
    const wk__lr_kind *kind = opts.no_cycle_momentum ? &one_cycle_kind : &one_cycle_momentum_kind;
    opts.pct_start = WK_SET(wk_optional_or(opts.pct_start, 0.3));
    opts.base_momentum = WK_SET(wk_optional_or(opts.base_momentum, 0.85));
    opts.max_momentum = WK_SET(wk_optional_or(opts.max_momentum, 0.95));
    opts.div_factor = WK_SET(wk_optional_or(opts.div_factor, 25));
    opts.final_div_factor = WK_SET(wk_optional_or(opts.final_div_factor, 1e4));
    if (!check_momentum(kind, o, !opts.no_cycle_momentum, opts.base_momentum, opts.max_momentum)) return NULL;
    bool fits = opts.max_lr > 0 && opts.total_steps > 0 && opts.pct_start.value >= 0 && opts.pct_start.value <= 1
                && opts.div_factor.value > 0 && opts.final_div_factor.value > 0;
    if (!fits)
        return wk_fail_null(WK_INVALID,
                            "OneCycleLR: max_lr %g, total_steps %lld, pct_start %g, div_factor %g, final_div_factor "
                            "%g: expected positive numbers, pct_start in [0, 1]",
                            opts.max_lr, (long long)opts.total_steps, opts.pct_start.value, opts.div_factor.value,
                            opts.final_div_factor.value);
    for (int g = 0; g < wk_optim_groups(o); g++) o->group[g].initial_lr = opts.max_lr / opts.div_factor.value;
    wk_lr *s = wk__lr_create(kind, o);
    if (s) s->opts.one_cycle = opts;
    return wk__lr_begin(s);
}
