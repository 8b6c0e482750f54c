/* classes.c: losses of class scores beside the fused cross_entropy: with class weights, with probabilities as target,
 * from log-probabilities; and CTC. */
#define WK_NO_CALL_SITES
#include "tensor/ops/loss/losses.h"

#include <string.h>

#define I64 WK_SET_OF(WK_I64)

/* (N, C, d1, …) with the classes last, and the shape without them. */
static bool classes_last(const wk_call *call, wk_tensor *x, const wk_tensor *target, bool probabilities,
                         wk_tensor **moved) {
    bool fits = x->rank >= 1 && target->rank == (probabilities ? x->rank : x->rank - 1);
    int axis = x->rank > 1 ? 1 : 0;
    for (int i = 0, k = 0; fits && i < x->rank; i++)
        if (probabilities || i != axis) fits = x->shape[i] == target->shape[k++];
    char text[2][160];
    if (!fits) {
        (void)wk_bad_call(call, WK_SHAPE, "scores %s, target %s: expected (N, C, d1, …) and %s",
                          wk_describe(x, text[0], sizeof text[0]), wk_describe(target, text[1], sizeof text[1]),
                          probabilities ? "the same" : "(N, d1, …)");
        return false;
    }
    *moved = wk_movedim(x, axis, -1);
    return *moved != NULL;
}

static wk_status check_weight(const wk_call *call, const wk_tensor *weight, int64_t classes) {
    char text[160];
    if (!weight || (weight->rank == 1 && weight->shape[0] == classes)) return WK_OK;
    return wk_bad_call(call, WK_SHAPE, "weight %s, expected (%lld), the classes",
                       wk_describe(weight, text, sizeof text), (long long)classes);
}

static wk_tensor *total(wk_tensor *x) {
    return wk_sum(x, (wk_reduce_opts){ 0 });
}

/* Σ loss / Σ weight, 0 where there is no weight. */
static wk_tensor *weighted_mean(wk_tensor *loss, wk_tensor *weight) {
    wk_tensor *all = total(weight);
    if (!all) return NULL;
    wk_tensor *nothing = wk_eq(all, wk__number(all, 0));
    return wk_div(total(loss), wk_where(nothing, wk__number(all, 1), all));
}

/* What is lost at each place, and the weight of each; log_p has the classes last. */
static bool picked(wk_tensor *log_p, wk_tensor *target, wk_tensor *weight, double ignore, wk_tensor **loss,
                   wk_tensor **share) {
    wk_tensor *valid = wk_ne(target, wk_full(WK_I64, WK_SCALAR, ignore));
    wk_tensor *safe = wk_where(valid, target, wk_zeros(WK_I64, WK_SCALAR));
    wk_tensor *own = wk_squeeze(wk_gather(log_p, wk_unsqueeze(safe, -1), -1), (wk_squeeze_opts){ WK_DIMS(-1) });
    *share = wk_cast(valid, (wk_dtype)log_p->dtype);
    if (weight && safe) {
        wk_tensor *of_each =
            wk_reshape(wk_index_select(weight, wk_reshape(safe, WK_DIMS(safe->count)), 0), wk__dims(safe));
        *share = wk_mul(*share, of_each);
    }
    *loss = wk_neg(wk_mul(own, *share));
    return *loss && *share;
}

/* ---- nll_loss ---- */

static wk_status nll_loss_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_nll_loss_opts *opts = call->attrs;
    wk_tensor *log_p, *loss, *share;
    if (!classes_last(call, call->in[0], call->in[1], false, &log_p)) return wk_error_code();
    WK_TRY(check_weight(call, call->in[2], log_p->shape[log_p->rank - 1]));
    if (!picked(log_p, call->in[1], call->in[2], wk_optional_or(opts->ignore_index, -100), &loss, &share))
        return wk_error_code();
    out[0] = opts->reduction == WK_REDUCTION_MEAN ? weighted_mean(loss, share) : reduced(loss, opts->reduction);
    return WK_OK;
}
#define TARGET(high_, ...) \
    { .dims = WK_DIMS(__VA_ARGS__), .kind = WK_SAMPLE_INDEX, .high = high_ }
static void nll_loss_samples(wk_sampler *s) {
    const wk_nll_loss_opts mean = { 0 }, skip = { WK_SET(1), 0 }, none = { WK_SET(2), WK_REDUCTION_NONE };
    WK_CASE(s, "mean", &mean, { .dims = WK_DIMS(6, 5) }, TARGET(5, 6), { .kind = WK_SAMPLE_ABSENT });
    WK_CASE(s, "weight", &skip, { .dims = WK_DIMS(6, 4) }, TARGET(4, 6), { .dims = WK_DIMS(4), .low = 0.5, .high = 2 });
    WK_CASE(s, "pixels", &none, { .dims = WK_DIMS(2, 3, 4), .strided = true }, TARGET(3, 2, 4),
            { .dims = WK_DIMS(3), .low = 0.5, .high = 2 });
    WK_HUGE_CASE(s, "huge", &mean, { .dims = WK_DIMS(4096, 128) }, TARGET(128, 4096), { .kind = WK_SAMPLE_ABSENT });
}
static const wk_attr_def nll_loss_attrs[] = { NUMBER(wk_nll_loss_opts, ignore_index, -100, "target that is left out"),
                                              REDUCTION(wk_nll_loss_opts) };
#define SCORES_ROW(id, text, inputs, optional, type, targets, agree)                          \
    static wk_op_def id##_row = { .name = #id,                                                \
                                  .doc = text,                                                \
                                  .n_in = inputs,                                             \
                                  .n_out = 1,                                                 \
                                  .optional_in = optional,                                    \
                                  .composite = true,                                          \
                                  .attrs = id##_attrs,                                        \
                                  .n_attrs = (int)(sizeof id##_attrs / sizeof id##_attrs[0]), \
                                  .attrs_size = sizeof(type),                                 \
                                  .dtype = { .allowed = { WK_FLOATS, targets, WK_FLOATS },    \
                                             .same = agree,                                   \
                                             .promote = true,                                 \
                                             .autocast = WK_CAST_F32 },                       \
                                  .decompose = id##_parts,                                    \
                                  .cost = loss_cost,                                          \
                                  .samples = id##_samples }
SCORES_ROW(nll_loss, "-log_p[target], weighted and reduced", 3, 4, wk_nll_loss_opts, I64, 5);
wk_tensor *wk_nll_loss(wk_tensor *log_probabilities, wk_tensor *target, wk_tensor *weight, wk_nll_loss_opts opts) {
    return wk_op_run3(&nll_loss_row, &opts, log_probabilities, target, weight);
}

/* ---- cross_entropy with weights ---- */

static wk_status check_smoothing(const wk_call *call, double smoothing) {
    if (smoothing >= 0 && smoothing < 1) return WK_OK;
    return wk_bad_call(call, WK_INVALID, "label_smoothing is %g, expected 0 ≤ label_smoothing < 1", smoothing);
}

/* (1 − s) of the target's loss and s of the mean over all classes. */
static wk_status cross_entropy_weighted_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_cross_entropy_opts *opts = call->attrs;
    wk_tensor *x, *loss, *share, *weight = call->in[2];
    double s = opts->label_smoothing;
    WK_TRY(check_smoothing(call, s));
    if (!classes_last(call, call->in[0], call->in[1], false, &x)) return wk_error_code();
    int64_t classes = x->shape[x->rank - 1];
    WK_TRY(check_weight(call, weight, classes));
    wk_tensor *log_p = wk_log_softmax(x, (wk_axis_opts){ { 0 } });
    double ignore = wk_optional_or(opts->ignore_index, -100);
    if (!log_p || !picked(log_p, call->in[1], weight, ignore, &loss, &share)) return wk_error_code();
    if (s > 0) {
        wk_tensor *valid = wk_cast(wk_ne(call->in[1], wk_full(WK_I64, WK_SCALAR, ignore)), (wk_dtype)log_p->dtype);
        wk_tensor *all = wk_neg(wk_sum(wk_mul(log_p, weight), (wk_reduce_opts){ .axes = WK_DIMS(-1) }));
        loss = wk_add(wk_scale(loss, 1 - s), wk_scale(wk_mul(all, valid), s / (double)classes));
    }
    out[0] = opts->reduction == WK_REDUCTION_MEAN ? weighted_mean(loss, share) : reduced(loss, opts->reduction);
    return WK_OK;
}
static void cross_entropy_weighted_samples(wk_sampler *s) {
    const wk_cross_entropy_opts mean = { 0 }, smooth = { .ignore_index = WK_SET(1), .label_smoothing = 0.2 },
                                none = { .label_smoothing = 0.1, .reduction = WK_REDUCTION_NONE };
    const wk_sample_in weight = { .dims = WK_DIMS(5), .low = 0.5, .high = 2 };
    s->emit(s, "mean", (const wk_sample_in[]){ { .dims = WK_DIMS(6, 5) }, TARGET(5, 6), weight }, 3, &mean);
    s->emit(s, "smooth", (const wk_sample_in[]){ { .dims = WK_DIMS(6, 5), .strided = true }, TARGET(5, 6), weight }, 3,
            &smooth);
    s->emit(s, "pixels", (const wk_sample_in[]){ { .dims = WK_DIMS(2, 5, 3) }, TARGET(5, 2, 3), weight }, 3, &none);
    WK_HUGE_CASE(s, "huge", &mean, { .dims = WK_DIMS(512, 1024) }, TARGET(1024, 512),
                 { .dims = WK_DIMS(1024), .low = 0.5, .high = 2 });
}
static const wk_attr_def cross_entropy_weighted_attrs[] = {
    NUMBER(wk_cross_entropy_opts, ignore_index, -100, "target that is left out"),
    { "label_smoothing", WK_ATTR_FLOAT, offsetof(wk_cross_entropy_opts, label_smoothing), 0, NULL, 0, "in [0, 1)" },
    REDUCTION(wk_cross_entropy_opts),
};
SCORES_ROW(cross_entropy_weighted, "cross-entropy with a weight for each class", 3, 0, wk_cross_entropy_opts, I64, 5);
wk_tensor *wk_cross_entropy_weighted(wk_tensor *logits, wk_tensor *target, wk_tensor *weight,
                                     wk_cross_entropy_opts opts) {
    return wk_op_run3(&cross_entropy_weighted_row, &opts, logits, target, weight);
}

static wk_status cross_entropy_probabilities_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_cross_entropy_opts *opts = call->attrs;
    wk_tensor *x, *t, *weight = call->in[2];
    double s = opts->label_smoothing;
    WK_TRY(check_smoothing(call, s));
    if (!classes_last(call, call->in[0], call->in[1], true, &x)
        || !classes_last(call, call->in[1], call->in[0], true, &t))
        return wk_error_code();
    int64_t classes = x->shape[x->rank - 1];
    WK_TRY(check_weight(call, weight, classes));
    if (s > 0) t = line(t, 1 - s, s / (double)classes);
    wk_tensor *loss = wk_mul(wk_log_softmax(x, (wk_axis_opts){ { 0 } }), t);
    if (weight) loss = wk_mul(loss, weight);
    out[0] = reduced(wk_neg(wk_sum(loss, (wk_reduce_opts){ .axes = WK_DIMS(-1) })), opts->reduction);
    return WK_OK;
}
static void cross_entropy_probabilities_samples(wk_sampler *s) {
    const wk_cross_entropy_opts mean = { 0 }, smooth = { .label_smoothing = 0.2, .reduction = WK_REDUCTION_SUM };
    const wk_sample_in weight = { .dims = WK_DIMS(5), .low = 0.5, .high = 2 },
                       t = { .dims = WK_DIMS(6, 5), .low = 0.05, .high = 1 };
    s->emit(s, "mean", (const wk_sample_in[]){ { .dims = WK_DIMS(6, 5) }, t, { .kind = WK_SAMPLE_ABSENT } }, 3, &mean);
    s->emit(s, "smooth", (const wk_sample_in[]){ { .dims = WK_DIMS(6, 5), .strided = true }, t, weight }, 3, &smooth);
    WK_HUGE_CASE(s, "huge", &mean, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .low = 0.05, .high = 1 }, { .kind = WK_SAMPLE_ABSENT });
}
#define cross_entropy_probabilities_attrs cross_entropy_weighted_attrs
SCORES_ROW(cross_entropy_probabilities, "cross-entropy against class probabilities", 3, 4, wk_cross_entropy_opts,
           WK_FLOATS, 7);
wk_tensor *wk_cross_entropy_probabilities(wk_tensor *logits, wk_tensor *target, wk_tensor *weight,
                                          wk_cross_entropy_opts opts) {
    return wk_op_run3(&cross_entropy_probabilities_row, &opts, logits, target, weight);
}

wk_op_def *const wk__rows_classes[] = { &nll_loss_row, &cross_entropy_weighted_row, &cross_entropy_probabilities_row,
                                        NULL };
