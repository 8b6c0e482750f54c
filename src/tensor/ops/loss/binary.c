/* binary.c: losses of probabilities of two outcomes. */
#define WK_NO_CALL_SITES
#include "tensor/ops/loss/losses.h"
#include "tensor/tensor.h"

static wk_tensor *run_weighted(const wk_op_def *row, const void *attrs, wk_tensor *const *in, int n_in) {
    wk_tensor *out[1];
    return wk_op_run(row, in, n_in, out, attrs) == WK_OK ? out[0] : NULL;
}

/* ---- binary_cross_entropy ---- */

/* log x, at least −100, with the gradient 1 / max(x, 1e-12): nowhere NaN or infinite, as PyTorch has it.  Below 1e-12 a
 * straight line gives the gradient, and what it and the logarithm of 1e-12 miss of the value is a constant. */
static wk_tensor *bounded_log(wk_tensor *x) {
    if (!x) return NULL;
    const double least = x->dtype == WK_F16 ? 1.0 / 65504 : 1e-12;
    wk_tensor *above = wk_log(at_least(x, least));
    wk_tensor *below = wk_scale(wk_clamp(x, (wk_clamp_opts){ .max = WK_SET(least) }), 1 / least);
    wk_context *context = wk__context();
    const uint32_t mode = context->mode;
    context->mode |= WK__MODE_NO_GRAD;
    wk_tensor *missing = wk_sub(wk_sub(at_least(wk_log(x), -100), above), below);
    context->mode = mode;
    return wk_add(above, wk_add(below, missing));
}

static wk_status binary_cross_entropy_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *p = call->in[0], *t = call->in[1], *weight = call->in[2];
    wk_tensor *yes = bounded_log(p), *no = bounded_log(line(p, -1, 1));
    wk_tensor *loss = wk_neg(wk_lerp(no, yes, t));
    if (weight) loss = wk_mul(loss, weight);
    out[0] = reduced(loss, ((const wk_loss_opts *)call->attrs)->reduction);
    return WK_OK;
}
static void binary_cross_entropy_samples(wk_sampler *s) {
    const wk_loss_opts mean = { 0 }, none = { WK_REDUCTION_NONE };
    const wk_sample_in p = { .dims = WK_DIMS(4, 5), .low = 0.05, .high = 0.95 };
    s->emit(s, "mean", (const wk_sample_in[]){ p, p, { .kind = WK_SAMPLE_ABSENT } }, 3, &mean);
    s->emit(s, "weight", (const wk_sample_in[]){ p, p, { .dims = WK_DIMS(5), .low = 0.5, .high = 2 } }, 3, &none);
    WK_HUGE_CASE(s, "huge", &mean, { .dims = WK_DIMS(512, 1024), .low = 0.05, .high = 0.95 },
                 { .dims = WK_DIMS(512, 1024), .low = 0.05, .high = 0.95 }, { .kind = WK_SAMPLE_ABSENT });
}
static const wk_attr_def binary_cross_entropy_attrs[] = { REDUCTION(wk_loss_opts) };
LOSS_ROW(binary_cross_entropy, "-weight (t log p + (1 - t) log(1 - p)), reduced", 3, 4, wk_loss_opts);
wk_tensor *wk_binary_cross_entropy(wk_tensor *p, wk_tensor *target, wk_tensor *weight, wk_loss_opts opts) {
    return run_weighted(&binary_cross_entropy_row, &opts, (wk_tensor *const[]){ p, target, weight }, 3);
}

/* ---- bce_with_logits ---- */

/* (1 − t) x + (1 + (w − 1) t) softplus(−x) */
static wk_tensor *of_logits(wk_tensor *x, wk_tensor *t, wk_tensor *pos_weight) {
    wk_tensor *rest = wk_neg(wk_logsigmoid(x));
    if (pos_weight) rest = wk_mul(rest, line(wk_mul(line(pos_weight, 1, -1), t), 1, 1));
    return wk_add(wk_mul(line(t, -1, 1), x), rest);
}
static wk_status bce_with_logits_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *loss = of_logits(call->in[0], call->in[1], call->in[3]);
    if (call->in[2]) loss = wk_mul(loss, call->in[2]);
    out[0] = reduced(loss, ((const wk_loss_opts *)call->attrs)->reduction);
    return WK_OK;
}
static void bce_with_logits_samples(wk_sampler *s) {
    const wk_loss_opts mean = { 0 }, none = { WK_REDUCTION_NONE };
    const wk_sample_in x = { .dims = WK_DIMS(4, 5), .low = -6, .high = 6 },
                       t = { .dims = WK_DIMS(4, 5), .low = 0.05, .high = 0.95 }, absent = { .kind = WK_SAMPLE_ABSENT },
                       w = { .dims = WK_DIMS(5), .low = 0.5, .high = 2 };
    s->emit(s, "mean", (const wk_sample_in[]){ x, t, absent, absent }, 4, &mean);
    s->emit(s, "weight", (const wk_sample_in[]){ x, t, w, absent }, 4, &none);
    s->emit(s, "pos_weight", (const wk_sample_in[]){ x, t, absent, w }, 4, &mean);
    const wk_sample_in large = { .dims = WK_DIMS(129, 257), .low = 0.05, .high = 0.95 };
    s->emit(s, "large", (const wk_sample_in[]){ large, large, absent, absent }, 4, &mean);
    WK_HUGE_CASE(s, "huge", &mean, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .low = 0.05, .high = 0.95 }, { .kind = WK_SAMPLE_ABSENT },
                 { .kind = WK_SAMPLE_ABSENT });
}
#define bce_with_logits_attrs binary_cross_entropy_attrs
LOSS_ROW(bce_with_logits, "binary cross-entropy of sigmoid(x), reduced", 4, 12, wk_loss_opts);
wk_tensor *wk_bce_with_logits(wk_tensor *logits, wk_tensor *target, wk_tensor *weight, wk_tensor *pos_weight,
                              wk_loss_opts opts) {
    return run_weighted(&bce_with_logits_row, &opts, (wk_tensor *const[]){ logits, target, weight, pos_weight }, 4);
}

/* ---- multilabel_soft_margin_loss ---- */

static wk_status multilabel_soft_margin_loss_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *loss = of_logits(call->in[0], call->in[1], NULL);
    if (call->in[0]->rank < 1) return wk_bad_call(call, WK_SHAPE, "x has rank 0, expected (N, C)");
    if (call->in[2]) loss = wk_mul(loss, call->in[2]);
    loss = wk_mean(loss, (wk_reduce_opts){ .axes = WK_DIMS(-1) });
    out[0] = reduced(loss, ((const wk_loss_opts *)call->attrs)->reduction);
    return WK_OK;
}
static void multilabel_soft_margin_loss_samples(wk_sampler *s) {
    const wk_loss_opts mean = { 0 }, none = { WK_REDUCTION_NONE };
    const wk_sample_in x = { .dims = WK_DIMS(4, 5) }, t = { .dims = WK_DIMS(4, 5), .low = 0.05, .high = 0.95 };
    s->emit(s, "mean", (const wk_sample_in[]){ x, t, { .kind = WK_SAMPLE_ABSENT } }, 3, &mean);
    s->emit(s, "weight", (const wk_sample_in[]){ x, t, { .dims = WK_DIMS(5), .low = 0.5, .high = 2 } }, 3, &none);
    WK_HUGE_CASE(s, "huge", &mean, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .low = 0.05, .high = 0.95 }, { .kind = WK_SAMPLE_ABSENT });
}
#define multilabel_soft_margin_loss_attrs binary_cross_entropy_attrs
LOSS_ROW(multilabel_soft_margin_loss, "mean binary cross-entropy over labels, reduced", 3, 4, wk_loss_opts);
wk_tensor *wk_multilabel_soft_margin_loss(wk_tensor *x, wk_tensor *y, wk_tensor *weight, wk_loss_opts opts) {
    return run_weighted(&multilabel_soft_margin_loss_row, &opts, (wk_tensor *const[]){ x, y, weight }, 3);
}

/* ---- focal_loss, dice_loss ---- */

static wk_status focal_loss_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_focal_opts *opts = call->attrs;
    wk_tensor *x = call->in[0], *t = call->in[1], *p = wk_sigmoid(x);
    double alpha = wk_optional_or(opts->alpha, 0.25), gamma = wk_optional_or(opts->gamma, 2);
    /* 1 − p_t = p + t − 2 p t */
    wk_tensor *miss = wk_sub(wk_add(p, t), wk_scale(wk_mul(p, t), 2));
    wk_tensor *loss = wk_mul(of_logits(x, t, NULL), wk_pow_scalar(miss, gamma));
    if (alpha >= 0) loss = wk_mul(loss, line(t, 2 * alpha - 1, 1 - alpha));
    out[0] = reduced(loss, opts->reduction);
    return WK_OK;
}
static void focal_loss_samples(wk_sampler *s) {
    const wk_focal_opts usual = { .reduction = WK_REDUCTION_NONE }, plain = { WK_SET(-1), WK_SET(1.5), 0 };
    const wk_sample_in x = { .dims = WK_DIMS(4, 5), .low = -4, .high = 4 },
                       t = { .dims = WK_DIMS(4, 5), .low = 0.05, .high = 0.95 };
    s->emit(s, "usual", (const wk_sample_in[]){ x, t }, 2, &usual);
    s->emit(s, "plain", (const wk_sample_in[]){ x, t }, 2, &plain);
    WK_HUGE_CASE(s, "huge", &plain, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .low = 0.05, .high = 0.95 });
}
static const wk_attr_def focal_loss_attrs[] = { NUMBER(wk_focal_opts, alpha, 0.25, "weight of the positive class"),
                                                NUMBER(wk_focal_opts, gamma, 2, "how little easy ones count"),
                                                REDUCTION(wk_focal_opts) };
LOSS_ROW(focal_loss, "binary cross-entropy that looks away from easy elements, reduced", 2, 0, wk_focal_opts);
wk_tensor *wk_focal_loss(wk_tensor *logits, wk_tensor *target, wk_focal_opts opts) {
    return wk_op_run2(&focal_loss_row, &opts, logits, target);
}

static wk_status dice_loss_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_dice_opts *opts = call->attrs;
    wk_tensor *p = call->in[0], *t = call->in[1];
    if (p->rank < 1) return wk_bad_call(call, WK_SHAPE, "p has rank 0, expected (N, …)");
    double smooth = wk_optional_or(opts->smooth, 1);
    wk_reduce_opts rest = { .axes = { .rank = p->rank - 1 } };
    for (int i = 1; i < p->rank; i++) rest.axes.size[i - 1] = i;
    wk_tensor *both = wk_mul(p, t), *all = wk_add(p, t);
    if (p->rank > 1) both = wk_sum(both, rest), all = wk_sum(all, rest);
    wk_tensor *ratio = wk_div(line(both, 2, smooth), line(all, 1, smooth));
    out[0] = reduced(line(ratio, -1, 1), opts->reduction);
    return WK_OK;
}
static void dice_loss_samples(wk_sampler *s) {
    const wk_dice_opts mean = { { 0 }, 0 }, none = { WK_SET(0.1), WK_REDUCTION_NONE };
    const wk_sample_in p = { .dims = WK_DIMS(3, 4, 5), .low = 0.05, .high = 0.95 };
    s->emit(s, "mean", (const wk_sample_in[]){ p, p }, 2, &mean);
    s->emit(s, "none", (const wk_sample_in[]){ p, p }, 2, &none);
    WK_HUGE_CASE(s, "huge", &mean, { .dims = WK_DIMS(8, 256, 256), .low = 0.05, .high = 0.95 },
                 { .dims = WK_DIMS(8, 256, 256), .low = 0.05, .high = 0.95 });
}
static const wk_attr_def dice_loss_attrs[] = { NUMBER(wk_dice_opts, smooth, 1, "added above and below"),
                                               REDUCTION(wk_dice_opts) };
LOSS_ROW(dice_loss, "one minus the overlap of two sets, reduced", 2, 0, wk_dice_opts);
wk_tensor *wk_dice_loss(wk_tensor *p, wk_tensor *target, wk_dice_opts opts) {
    return wk_op_run2(&dice_loss_row, &opts, p, target);
}

wk_op_def *const wk__rows_binary[] = {
    &binary_cross_entropy_row, &bce_with_logits_row, &multilabel_soft_margin_loss_row,
    &focal_loss_row,           &dice_loss_row,       NULL
};
