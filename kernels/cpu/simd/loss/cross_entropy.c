/* cross_entropy.c: the loss of class scores and its gradient, without writing probabilities.
 *
 *   lse = log sum_j exp(x_j)      loss = (1 - eps)(lse - x_t) + eps / C sum_j (lse - x_j)
 *   dx_j = g (exp(x_j - lse) - (1 - eps) [j = t] - eps / C)        g: dloss, over the number of entries for a mean
 *
 * Forward keeps lse (one number a row); backward needs nothing else besides the logits.  The target is checked before
 * anything is written.  Rows are summed in f64 in their order, in blocks whose size depends on N alone.
 */
#include "cpu/simd/lines.h"

enum { MAX_BLOCKS = 64 };

typedef struct loss_plan {
    const wk_tensor *logits, *target; /* (N, C), (N) */
    int64_t rows, classes;
    int64_t ignored; /* the class that does not count */
    double smoothing;
    int reduction;
    char *loss, *lse; /* (N) or scalar; (N) */
    int64_t loss_step, lse_step;
    bool wide; /* loss and lse are f64 */
} loss_plan;

static int64_t target_of(const loss_plan *plan, int64_t row) {
    return ((const int64_t *)plan->target->data)[row * plan->target->stride[0]];
}

static void put(char *to, int64_t at, double value, bool wide) {
    if (wide)
        ((double *)(void *)to)[at] = value;
    else
        ((float *)(void *)to)[at] = (float)value;
}

static double get(const char *from, int64_t at, bool wide) {
    return wide ? ((const double *)(const void *)from)[at] : (double)((const float *)(const void *)from)[at];
}

static double logit(const wk_line *line, int64_t at) {
    const char *from = line->data + at * line->step * (int64_t)wk_size_of(line->dtype);
    if (line->dtype == WK_F64) return *(const double *)(const void *)from;
    if (line->dtype == WK_F32) return (double)*(const float *)(const void *)from;
    uint16_t half = *(const uint16_t *)(const void *)from;
    return (double)(line->dtype == WK_BF16 ? wk_load_bf16(half) : wk_load_f16(half));
}

static wk_line line_of(const wk_tensor *x, int64_t row) {
    return (wk_line){ (const char *)x->data + row * x->stride[0] * (int64_t)wk_size_of(x->dtype), x->stride[1],
                      x->shape[1], x->dtype };
}

/* Loss and lse of one row; an ignored row has an lse too, for nothing may be left unwritten. */
static double row_loss(const loss_plan *plan, int64_t row) {
    wk_line line = line_of(plan->logits, row);
    int64_t t = target_of(plan, row);
    double max = wk_line_max(&line), lse = max + log(wk_line_exp_sum(&line, max));
    put(plan->lse, row * plan->lse_step, lse, plan->wide);
    double loss = t == plan->ignored ? 0 : lse - logit(&line, t);
    if (plan->smoothing > 0 && t != plan->ignored) {
        double even = lse - wk_line_sum(&line) / (double)plan->classes;
        loss = (1 - plan->smoothing) * loss + plan->smoothing * even;
    }
    if (plan->reduction == WK_REDUCTION_NONE) put(plan->loss, row * plan->loss_step, loss, plan->wide);
    return loss;
}

static double block_loss(const loss_plan *plan, int block) {
    double total = 0;
    int64_t begin, end;
    wk_share(plan->rows, 1, block, MAX_BLOCKS, &begin, &end);
    for (int64_t row = begin; row < end; row++) total += row_loss(plan, row);
    return total;
}

/* Counts the rows that take part and refuses targets that are no class. */
static wk_status check_target(const loss_plan *plan, int64_t *counted) {
    *counted = 0;
    for (int64_t row = 0; row < plan->rows; row++) {
        int64_t t = target_of(plan, row);
        if (t == plan->ignored) continue;
        if (t < 0 || t >= plan->classes)
            return wk_fail(WK_INVALID, "cross_entropy: target[%lld] is %lld, expected 0 ≤ target < %lld",
                           (long long)row, (long long)t, (long long)plan->classes);
        ++*counted;
    }
    return WK_OK;
}

static loss_plan plan_of(const wk_tensor *logits, const wk_tensor *target, const wk_cross_entropy_opts *opts) {
    return (loss_plan){ .logits = logits,
                        .target = target,
                        .rows = logits->shape[0],
                        .classes = logits->shape[1],
                        .ignored = (int64_t)wk_optional_or(opts->ignore_index, -100),
                        .smoothing = opts->label_smoothing,
                        .reduction = opts->reduction };
}

/* (logits (N, C), target (N)) -> loss, lse (N) */
static wk_status cross_entropy(wk_kernel_ctx *ctx, const wk_call *call) {
    wk_tensor *loss = call->out[0], *lse = call->out[1];
    loss_plan plan = plan_of(call->in[0], call->in[1], call->attrs);
    plan.loss = loss->data;
    plan.lse = lse->data;
    plan.loss_step = loss->rank ? loss->stride[0] : 0;
    plan.lse_step = lse->stride[0];
    plan.wide = loss->dtype == WK_F64;
    int64_t counted;
    WK_TRY(check_target(&plan, &counted));
    double total[MAX_BLOCKS], sum = 0;
    int team = wk_cpu_team(ctx, 2 * plan.logits->count * (int64_t)wk_size_of(plan.logits->dtype));
    if (team == 1) {
        for (int b = 0; b < MAX_BLOCKS; b++) total[b] = block_loss(&plan, b);
    } else {
#pragma omp parallel for schedule(static) num_threads(team)
        for (int b = 0; b < MAX_BLOCKS; b++) total[b] = block_loss(&plan, b);
    }
    if (plan.reduction == WK_REDUCTION_NONE) return WK_OK;
    for (int b = 0; b < MAX_BLOCKS; b++) sum += total[b];
    if (plan.reduction == WK_REDUCTION_MEAN) sum = counted ? sum / (double)counted : 0;
    put(plan.loss, 0, sum, plan.wide);
    return WK_OK;
}

/* ---- gradient
 * -------------------------------------------------------------------------------------------------------- */

static void chunk_f32(float *restrict dx, const float *restrict x, double lse_, double g_, double even_, int64_t n) {
    float lse = (float)lse_, g = (float)g_, even = (float)even_;
    for (int64_t i = 0; i < n; i++) dx[i] = (wk_exp_of_negative(x[i] - lse) - even) * g;
}

static void chunk_f64(double *restrict dx, const double *restrict x, double lse, double g, double even, int64_t n) {
    for (int64_t i = 0; i < n; i++) dx[i] = (exp(x[i] - lse) - even) * g;
}

static void row_gradient(const loss_plan *plan, wk_tensor *dlogits, double g, int64_t row) {
    wk_line x = line_of(plan->logits, row), dx = line_of(dlogits, row);
    int64_t t = target_of(plan, row), size = (int64_t)wk_size_of(x.dtype);
    double lse = get(plan->lse, row * plan->lse_step, plan->wide), even = plan->smoothing / (double)plan->classes;
    bool direct = dx.step == 1 && !wk_is_half(dx.dtype);
    wk_staging source, result;
    if (t == plan->ignored) g = 0;
    for (int64_t at = 0; at < x.n; at += WK_CHUNK) {
        int64_t n = wk_chunk_length(at, x.n);
        const void *from = wk_line_chunk(&x, at, n, &source);
        char *to = (char *)dlogits->data + (row * dlogits->stride[0] + at * dx.step) * size;
        void *target = direct ? (void *)to : &result;
        if (g == 0)
            memset(target, 0, (size_t)n * sizeof(double) >> (x.dtype == WK_F64 ? 0 : 1));
        else if (x.dtype == WK_F64)
            chunk_f64(target, from, lse, g, even, n);
        else
            chunk_f32(target, from, lse, g, even, n);
        if (g != 0 && t >= at && t < at + n) {
            if (x.dtype == WK_F64)
                ((double *)target)[t - at] -= (1 - plan->smoothing) * g;
            else
                ((float *)target)[t - at] -= (float)((1 - plan->smoothing) * g);
        }
        if (!direct) wk_stage_out(to, &result, dx.dtype, dx.step, n);
    }
}

/* (dloss, logits (N, C), target (N), lse (N)) -> dlogits (N, C) */
static wk_status cross_entropy_backward(wk_kernel_ctx *ctx, const wk_call *call) {
    const wk_tensor *dloss = call->in[0], *lse = call->in[3];
    wk_tensor *dlogits = call->out[0];
    loss_plan plan = plan_of(call->in[1], call->in[2], call->attrs);
    if (!dlogits->count) return WK_OK;
    plan.lse = lse->data;
    plan.lse_step = lse->stride[0];
    plan.wide = lse->dtype == WK_F64;
    int64_t counted, dloss_step = dloss->rank && dloss->count > 1 ? dloss->stride[0] : 0;
    WK_TRY(check_target(&plan, &counted));
    double share = plan.reduction == WK_REDUCTION_MEAN && counted ? 1 / (double)counted : 1;
    wk_line given = { dloss->data, dloss_step, plan.rows, dloss->dtype };
    int team = wk_cpu_team(ctx, 2 * dlogits->count * (int64_t)wk_size_of(dlogits->dtype));
    if (team == 1) {
        for (int64_t row = 0; row < plan.rows; row++) row_gradient(&plan, dlogits, logit(&given, row) * share, row);
    } else {
#pragma omp parallel for schedule(static) num_threads(team)
        for (int64_t row = 0; row < plan.rows; row++) row_gradient(&plan, dlogits, logit(&given, row) * share, row);
    }
    return WK_OK;
}

WK_CPU_TABLE(cross_entropy) = {
    { "cross_entropy", WK_FLOATS, cross_entropy },
    { "cross_entropy_backward", WK_FLOATS, cross_entropy_backward },
    { 0 },
};
