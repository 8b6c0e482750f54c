/* pairs.c: losses between two tensors, element by element. */
#define WK_NO_CALL_SITES
#include "tensor/ops/loss/losses.h"

/* mean, sum, none, each with operands that broadcast somewhere */
#define PAIR_SAMPLES(id, type, low_a, high_a, low_b, high_b, ...)                 \
    static void id##_samples(wk_sampler *s) {                                     \
        type mean = { __VA_ARGS__ }, sum = mean, none = mean;                     \
        sum.reduction = WK_REDUCTION_SUM;                                         \
        none.reduction = WK_REDUCTION_NONE;                                       \
        wk_sample_in a = { .dims = WK_DIMS(4, 5), .low = low_a, .high = high_a }, \
                     b = { .dims = WK_DIMS(4, 5), .low = low_b, .high = high_b }; \
        s->emit(s, "mean", (const wk_sample_in[]){ a, b }, 2, &mean);             \
        a.strided = true;                                                         \
        s->emit(s, "sum", (const wk_sample_in[]){ a, b }, 2, &sum);               \
        s->emit(s, "none", (const wk_sample_in[]){ a, b }, 2, &none);             \
        a.dims = b.dims = WK_DIMS(129, 257);                                      \
        s->emit(s, "large", (const wk_sample_in[]){ a, b }, 2, &mean);            \
        a.strided = false;                                                        \
        a.dims = b.dims = WK_DIMS(512, 1024);                                     \
        WK_HUGE_CASE(s, "huge", &mean, a, b);                                     \
    }

/* ---- distances ---- */

static wk_status mse_loss_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_loss_opts *opts = call->attrs;
    out[0] = reduced(wk_square(wk_sub(call->in[0], call->in[1])), opts->reduction);
    return WK_OK;
}
static wk_status l1_loss_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_loss_opts *opts = call->attrs;
    out[0] = reduced(wk_abs(wk_sub(call->in[0], call->in[1])), opts->reduction);
    return WK_OK;
}

/* The parabola that goes on as a line, a row of its own: its parts would pass over the difference six times. */
static wk_status rounded_shape(const wk_call *call, wk_desc out[]) {
    return wk_desc_broadcast(call, (wk_dtype)call->in[0]->dtype, out);
}
static wk_status rounded_grad(wk_grad *g) {
    const wk_rounded_attrs *attrs = g->attrs;
    wk_tensor *slope =
        wk_clamp(wk_sub(g->in[0], g->in[1]), (wk_clamp_opts){ WK_SET(-attrs->edge), WK_SET(attrs->edge) });
    wk_tensor *d = wk_mul(attrs->factor == 1 ? g->dout[0] : wk_scale(g->dout[0], attrs->factor), slope);
    if (g->needs[0]) g->din[0] = wk__sum_to(d, g->in[0]);
    if (g->needs[1]) g->din[1] = wk_neg(wk__sum_to(d, g->in[1]));
    return WK_OK;
}
static void rounded_samples(wk_sampler *s) {
    const wk_rounded_attrs plain = { 1, 1 }, narrow = { 0.7, 2 };
    WK_CASE(s, "plain", &plain, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5), .low = -1, .high = 1 });
    WK_CASE(s, "narrow", &narrow, { .dims = WK_DIMS(3, 4, 5), .strided = true }, { .dims = WK_DIMS(4, 1) });
    WK_CASE(s, "empty", &plain, { .dims = WK_DIMS(0, 3) }, { .dims = WK_DIMS(3) });
    WK_CASE(s, "large", &narrow, { .dims = WK_DIMS(129, 257) }, { .dims = WK_DIMS(129, 257), .low = -1, .high = 1 });
}
static wk_op_def rounded_distance_row = { .name = "rounded_distance",
                                          .internal = true,
                                          .doc = "of a - b: a parabola that goes on as a line",
                                          .n_in = 2,
                                          .n_out = 1,
                                          .saves_in = 3,
                                          .attrs_size = sizeof(wk_rounded_attrs),
                                          .dtype = { .allowed = { WK_FLOATS, WK_FLOATS }, .same = 3, .promote = true },
                                          .shape = rounded_shape,
                                          .grad = rounded_grad,
                                          .cost = loss_cost,
                                          .samples = rounded_samples };

/* factor times: d² / 2 within ± edge, else edge (|d| − edge / 2) */
static wk_tensor *rounded(const wk_call *call, double edge, double factor) {
    const wk_rounded_attrs attrs = { edge, factor };
    return wk_op_run2(&rounded_distance_row, &attrs, call->in[0], call->in[1]);
}
static wk_status check_edge(const wk_call *call, const char *name, double edge, bool zero_too) {
    if (edge > 0 || (zero_too && edge == 0)) return WK_OK;
    return wk_bad_call(call, WK_INVALID, "%s is %g, expected %s 0", name, edge, zero_too ? "at least" : "more than");
}
static wk_status huber_loss_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_huber_opts *opts = call->attrs;
    double delta = wk_optional_or(opts->delta, 1);
    WK_TRY(check_edge(call, "delta", delta, false));
    out[0] = reduced(rounded(call, delta, 1), opts->reduction);
    return WK_OK;
}
static wk_status smooth_l1_loss_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_smooth_l1_opts *opts = call->attrs;
    double beta = wk_optional_or(opts->beta, 1);
    WK_TRY(check_edge(call, "beta", beta, true));
    wk_tensor *loss = beta > 0 ? rounded(call, beta, 1 / beta) : wk_abs(wk_sub(call->in[0], call->in[1]));
    out[0] = reduced(loss, opts->reduction);
    return WK_OK;
}

PAIR_SAMPLES(mse_loss, wk_loss_opts, -2, 2, -2, 2, 0)
PAIR_SAMPLES(huber_loss, wk_huber_opts, -2, 2, -1, 1, .delta = WK_SET(0.7))
PAIR_SAMPLES(smooth_l1_loss, wk_smooth_l1_opts, -2, 2, -1, 1, .beta = WK_SET(0.7))
/* Away from the corner at 0. */
PAIR_SAMPLES(l1_loss, wk_loss_opts, -2, -0.5, -0.4, 2, 0)

static const wk_attr_def mse_loss_attrs[] = { REDUCTION(wk_loss_opts) };
#define l1_loss_attrs mse_loss_attrs
static const wk_attr_def huber_loss_attrs[] = { NUMBER(wk_huber_opts, delta, 1, "where the parabola ends"),
                                                REDUCTION(wk_huber_opts) };
static const wk_attr_def smooth_l1_loss_attrs[] = { NUMBER(wk_smooth_l1_opts, beta, 1, "where the parabola ends"),
                                                    REDUCTION(wk_smooth_l1_opts) };
LOSS_ROW(mse_loss, "(a - b)², reduced", 2, 0, wk_loss_opts);
LOSS_ROW(l1_loss, "|a - b|, reduced", 2, 0, wk_loss_opts);
LOSS_ROW(huber_loss, "a parabola that goes on as a line, reduced", 2, 0, wk_huber_opts);
LOSS_ROW(smooth_l1_loss, "|a - b| with a round corner, reduced", 2, 0, wk_smooth_l1_opts);
wk_tensor *wk_mse_loss(wk_tensor *a, wk_tensor *b, wk_loss_opts opts) {
    return wk_op_run2(&mse_loss_row, &opts, a, b);
}
wk_tensor *wk_l1_loss(wk_tensor *a, wk_tensor *b, wk_loss_opts opts) {
    return wk_op_run2(&l1_loss_row, &opts, a, b);
}
wk_tensor *wk_huber_loss(wk_tensor *a, wk_tensor *b, wk_huber_opts opts) {
    return wk_op_run2(&huber_loss_row, &opts, a, b);
}
wk_tensor *wk_smooth_l1_loss(wk_tensor *a, wk_tensor *b, wk_smooth_l1_opts opts) {
    return wk_op_run2(&smooth_l1_loss_row, &opts, a, b);
}

/* ---- distributions ---- */

static wk_status kl_div_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_kl_div_opts *opts = call->attrs;
    wk_tensor *a = call->in[0], *t = call->in[1];
    wk_tensor *loss = opts->log_target ? wk_mul(wk_exp(t), wk_sub(t, a)) : wk_sub(wk_xlogy(t, t), wk_mul(t, a));
    if (opts->reduction < 3) {
        out[0] = reduced(loss, opts->reduction);
        return WK_OK;
    }
    if (a->rank < 1) return wk_bad_call(call, WK_SHAPE, "batchmean needs an axis to divide by");
    out[0] = wk_scale(reduced(loss, WK_REDUCTION_SUM), a->shape[0] ? 1 / (double)a->shape[0] : 0);
    return WK_OK;
}
static void kl_div_samples(wk_sampler *s) {
    const wk_kl_div_opts mean = { 0 }, logs = { WK_REDUCTION_SUM, true }, batch = { 3, false };
    const wk_sample_in a = { .dims = WK_DIMS(4, 5), .low = -4, .high = -0.1 },
                       t = { .dims = WK_DIMS(4, 5), .low = 0.05, .high = 1 };
    s->emit(s, "mean", (const wk_sample_in[]){ a, t }, 2, &mean);
    s->emit(s, "log target", (const wk_sample_in[]){ a, a }, 2, &logs);
    s->emit(s, "batchmean", (const wk_sample_in[]){ a, t }, 2, &batch);
    WK_HUGE_CASE(s, "huge", &mean, { .dims = WK_DIMS(512, 1024), .low = -4, .high = -0.1 },
                 { .dims = WK_DIMS(512, 1024), .low = 0.05, .high = 1 });
}
static const wk_attr_def kl_div_attrs[] = {
    { "reduction", WK_ATTR_ENUM, offsetof(wk_kl_div_opts, reduction), 0, "mean|sum|none|batchmean", 0,
      "over elements" },
    FLAG(wk_kl_div_opts, log_target, "the target holds logarithms"),
};
LOSS_ROW(kl_div, "Kullback-Leibler divergence from log-probabilities", 2, 0, wk_kl_div_opts);
wk_tensor *wk_kl_div(wk_tensor *a, wk_tensor *target, wk_kl_div_opts opts) {
    return wk_op_run2(&kl_div_row, &opts, a, target);
}

static wk_status poisson_nll_loss_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_poisson_nll_opts *opts = call->attrs;
    wk_tensor *a = call->in[0], *t = call->in[1], *loss;
    if (opts->rate_given)
        loss = wk_sub(a, wk_mul(t, wk_log(line(a, 1, wk_optional_or(opts->eps, 1e-8)))));
    else
        loss = wk_sub(wk_exp(a), wk_mul(t, a));
    if (opts->full) {
        wk_tensor *safe = at_least(t, 1); /* where t ≤ 1 the term is left out */
        wk_tensor *stirling =
            wk_add(wk_sub(wk_mul(safe, wk_log(safe)), safe), wk_scale(wk_log(wk_scale(safe, 6.283185307179586)), 0.5));
        loss = wk_add(loss, wk_where(wk_gt(t, wk__number(t, 1)), stirling, wk__number(t, 0)));
    }
    out[0] = reduced(loss, opts->reduction);
    return WK_OK;
}
static void poisson_nll_loss_samples(wk_sampler *s) {
    const wk_poisson_nll_opts logs = { 0 }, rate = { .rate_given = true, .reduction = WK_REDUCTION_SUM },
                              full = { .full = true, .reduction = WK_REDUCTION_NONE };
    const wk_sample_in a = { .dims = WK_DIMS(4, 5), .low = 0.1, .high = 2 },
                       t = { .dims = WK_DIMS(4, 5), .low = 1.1, .high = 6 };
    s->emit(s, "logarithms", (const wk_sample_in[]){ a, t }, 2, &logs);
    s->emit(s, "rate", (const wk_sample_in[]){ a, t }, 2, &rate);
    s->emit(s, "full", (const wk_sample_in[]){ a, t }, 2, &full);
    WK_HUGE_CASE(s, "huge", &logs, { .dims = WK_DIMS(512, 1024), .low = 0.1, .high = 2 },
                 { .dims = WK_DIMS(512, 1024), .low = 1.1, .high = 6 });
}
static const wk_attr_def poisson_nll_loss_attrs[] = {
    FLAG(wk_poisson_nll_opts, rate_given, "a is the rate, not its logarithm"),
    FLAG(wk_poisson_nll_opts, full, "with Stirling's approximation"),
    NUMBER(wk_poisson_nll_opts, eps, 1e-8, "added before the logarithm"),
    REDUCTION(wk_poisson_nll_opts),
};
LOSS_ROW(poisson_nll_loss, "negative log-likelihood of counts", 2, 0, wk_poisson_nll_opts);
wk_tensor *wk_poisson_nll_loss(wk_tensor *a, wk_tensor *target, wk_poisson_nll_opts opts) {
    return wk_op_run2(&poisson_nll_loss_row, &opts, a, target);
}

static wk_status gaussian_nll_loss_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_gaussian_nll_opts *opts = call->attrs;
    wk_tensor *v = at_least(call->in[2], wk_optional_or(opts->eps, 1e-6));
    wk_tensor *square = wk_square(wk_sub(call->in[0], call->in[1]));
    wk_tensor *loss = line(wk_add(wk_log(v), wk_div(square, v)), 0.5, opts->full ? 0.9189385332046727 : 0);
    out[0] = reduced(loss, opts->reduction);
    return WK_OK;
}
static void gaussian_nll_loss_samples(wk_sampler *s) {
    const wk_gaussian_nll_opts mean = { 0 }, full = { .full = true, .reduction = WK_REDUCTION_NONE };
    WK_CASE(s, "mean", &mean, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5) },
            { .dims = WK_DIMS(4, 5), .low = 0.3, .high = 2 });
    WK_CASE(s, "full", &full, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5) },
            { .dims = WK_DIMS(4, 1), .low = 0.3, .high = 2 });
    WK_HUGE_CASE(s, "huge", &mean, { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .low = 0.3, .high = 2 });
}
static const wk_attr_def gaussian_nll_loss_attrs[] = {
    FLAG(wk_gaussian_nll_opts, full, "with the constant"),
    NUMBER(wk_gaussian_nll_opts, eps, 1e-6, "least variance"),
    REDUCTION(wk_gaussian_nll_opts),
};
LOSS_ROW(gaussian_nll_loss, "negative log-likelihood of a normal distribution", 3, 0, wk_gaussian_nll_opts);
wk_tensor *wk_gaussian_nll_loss(wk_tensor *a, wk_tensor *target, wk_tensor *variance, wk_gaussian_nll_opts opts) {
    return wk_op_run3(&gaussian_nll_loss_row, &opts, a, target, variance);
}

wk_op_def *const wk__rows_pairs[] = { &rounded_distance_row, &mse_loss_row,          &l1_loss_row,
                                      &huber_loss_row,       &smooth_l1_loss_row,    &kl_div_row,
                                      &poisson_nll_loss_row, &gaussian_nll_loss_row, NULL };
