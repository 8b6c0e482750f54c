/* loss.c: cross-entropy as one row: from log_softmax and gather it would write and read the probabilities twice, and
 * its gradient would pass through a mostly zero matrix.  Forward keeps one log-sum-exp a row; backward makes the
 * probabilities again.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static wk_dtype loss_dtype(const wk_tensor *logits) {
    return logits->dtype == WK_F64 ? WK_F64 : WK_F32;
}

static wk_status check(const wk_call *call, const wk_tensor *logits, const wk_tensor *target) {
    const wk_cross_entropy_opts *opts = call->attrs;
    char one[160], other[160];
    if (logits->rank != 2 || target->rank != 1 || logits->shape[0] != target->shape[0])
        return wk_bad_call(call, WK_SHAPE, "logits %s, target %s: expected (N, C) and (N)",
                           wk_describe(logits, one, sizeof one), wk_describe(target, other, sizeof other));
    if (!(opts->label_smoothing >= 0 && opts->label_smoothing < 1))
        return wk_bad_call(call, WK_INVALID, "label_smoothing is %g, expected 0 ≤ label_smoothing < 1",
                           opts->label_smoothing);
    return WK_OK;
}

static wk_status forward_shape(const wk_call *call, wk_desc out[]) {
    const wk_cross_entropy_opts *opts = call->attrs;
    const wk_tensor *logits = call->in[0];
    WK_TRY(check(call, logits, call->in[1]));
    out[0] = wk_desc_row_major(loss_dtype(logits), opts->reduction == WK_REDUCTION_NONE ? 1 : 0, logits->shape);
    out[1] = wk_desc_row_major(loss_dtype(logits), 1, logits->shape);
    return WK_OK;
}

/* (dloss, logits, target, lse) -> dlogits */
static wk_status backward_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(check(call, call->in[1], call->in[2]));
    out[0] = wk_desc_row_major((wk_dtype)call->in[1]->dtype, 2, call->in[1]->shape);
    return WK_OK;
}

static wk_op_def backward_row;

static wk_status forward_grad(wk_grad *g) {
    wk_tensor *out[1];
    wk_tensor *const in[] = { g->dout[0], g->in[0], g->in[1], g->out[1] };
    if (!g->needs[0]) return WK_OK;
    WK_TRY(wk_op_run(&backward_row, in, 4, out, g->attrs));
    g->din[0] = out[0];
    return WK_OK;
}

/* dlogits = dloss · valid/n · (softmax(logits) - smooth one-hot), from the logits: lse is not a constant of them. */
static wk_status backward_decompose(const wk_call *call, wk_tensor *out[]) {
    const wk_cross_entropy_opts *opts = call->attrs;
    wk_tensor *dloss = call->in[0], *logits = call->in[1], *target = call->in[2];
    int64_t rows = logits->shape[0], classes = logits->shape[1];
    wk_dtype dtype = (wk_dtype)logits->dtype;
    wk_tensor *ignored = wk_full(WK_I64, WK_SCALAR, wk_optional_or(opts->ignore_index, -100));
    wk_tensor *valid = wk_reshape(wk_cast(wk_ne(target, ignored), dtype), WK_DIMS(rows, 1));
    wk_tensor *column = wk_reshape(wk_arange(classes), WK_DIMS(1, classes));
    wk_tensor *hot = wk_cast(wk_eq(wk_reshape(target, WK_DIMS(rows, 1)), column), dtype);
    double eps = opts->label_smoothing;
    wk_tensor *wanted = wk_affine(hot, (wk_affine_opts){ 1 - eps, eps / (double)(classes ? classes : 1) });
    wk_tensor *slope = wk_mul(wk_sub(wk_softmax(logits, (wk_axis_opts){ { 0 } }), wanted), valid);
    wk_tensor *weight = wk_cast(dloss, dtype);
    if (opts->reduction == WK_REDUCTION_NONE) weight = wk_reshape(weight, WK_DIMS(rows, 1));
    if (opts->reduction == WK_REDUCTION_MEAN)
        weight = wk_div(weight, wk_maximum(wk_sum(valid, (wk_reduce_opts){ 0 }), wk_full(dtype, WK_SCALAR, 1)));
    out[0] = wk_mul(slope, weight);
    return out[0] ? WK_OK : wk_error_code();
}

static wk_cost forward_cost(const wk_call *call) {
    return (wk_cost){ 12 * (double)call->in[0]->count, wk__operand_bytes(call) };
}
static wk_cost backward_cost(const wk_call *call) {
    return wk__cost_elements(call, 12);
}

static void forward_samples(wk_sampler *s) {
    const wk_cross_entropy_opts mean = { .ignore_index = { 0 } },
                                smooth = { .label_smoothing = 0.1, .reduction = WK_REDUCTION_SUM },
                                none = { .reduction = WK_REDUCTION_NONE, .ignore_index = WK_SET(2) },
                                skip = { .ignore_index = WK_SET(1) };
    WK_CASE(s, "mean", &mean, { .dims = WK_DIMS(6, 10) }, { .dims = WK_DIMS(6), .kind = WK_SAMPLE_INDEX, .high = 10 });
    WK_CASE(s, "smooth", &smooth, { .dims = WK_DIMS(5, 7), .strided = true },
            { .dims = WK_DIMS(5), .kind = WK_SAMPLE_INDEX, .high = 7 });
    WK_CASE(s, "none", &none, { .dims = WK_DIMS(5, 3) }, { .dims = WK_DIMS(5), .kind = WK_SAMPLE_INDEX, .high = 3 });
    WK_CASE(s, "ignore", &skip, { .dims = WK_DIMS(9, 3) }, { .dims = WK_DIMS(9), .kind = WK_SAMPLE_INDEX, .high = 3 });
    WK_CASE(s, "wide", &mean, { .dims = WK_DIMS(3, 1031), .low = -30, .high = 30 },
            { .dims = WK_DIMS(3), .kind = WK_SAMPLE_INDEX, .high = 1031 });
    WK_HUGE_CASE(s, "huge", &mean, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512), .kind = WK_SAMPLE_INDEX, .high = 1024 });
    WK_HUGE_CASE(s, "huge smooth", &smooth, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512), .kind = WK_SAMPLE_INDEX, .high = 1024 });
}
static void backward_samples(wk_sampler *s) {
    /* lse must belong to the logits, which independent samples do not: covered through cross_entropy's gradient.  One
     * row of one class has lse = logit whatever they are drawn as, up to the factor that vanishes. */
    const wk_cross_entropy_opts sum = { .reduction = WK_REDUCTION_SUM };
    WK_CASE(s, "empty", &sum, { .dims = WK_SCALAR }, { .dims = WK_DIMS(0, 4) },
            { .dims = WK_DIMS(0), .kind = WK_SAMPLE_INDEX, .high = 4 }, { .dims = WK_DIMS(0) });
}

static const wk_attr_def attrs[] = {
    { "ignore_index", WK_ATTR_OPTIONAL, offsetof(wk_cross_entropy_opts, ignore_index), 0, NULL, -100,
      "target that is left out" },
    { "label_smoothing", WK_ATTR_FLOAT, offsetof(wk_cross_entropy_opts, label_smoothing), 0, NULL, 0, "in [0, 1)" },
    { "reduction", WK_ATTR_ENUM, offsetof(wk_cross_entropy_opts, reduction), 0, "mean|sum|none", 0, "over rows" },
};
static wk_op_def forward_row = { .name = "cross_entropy",
                                 .doc = "log Σ e^logits - logits[target]",
                                 .n_in = 2,
                                 .n_out = 2,
                                 .saves_in = 3,
                                 .saves_out = 2,
                                 .internal_out = 2,
                                 .attrs = attrs,
                                 .n_attrs = 3,
                                 .attrs_size = sizeof(wk_cross_entropy_opts),
                                 .zero_sized_runs = true,
                                 .dtype = { .allowed = { WK_FLOATS, WK_SET_OF(WK_I64) }, .autocast = WK_CAST_F32 },
                                 .shape = forward_shape,
                                 .grad = forward_grad,
                                 .cost = forward_cost,
                                 .samples = forward_samples };
static wk_op_def backward_row = { .name = "cross_entropy_backward",
                                  .internal = true,
                                  .doc = "gradient of cross_entropy",
                                  .n_in = 4,
                                  .n_out = 1,
                                  .key = 1,
                                  .saves_in = 15,
                                  .attrs = attrs,
                                  .n_attrs = 3,
                                  .attrs_size = sizeof(wk_cross_entropy_opts),
                                  .dtype = { .allowed = { WK_F32_F64, WK_FLOATS, WK_SET_OF(WK_I64), WK_F32_F64 } },
                                  .shape = backward_shape,
                                  .grad = wk__grad_by_parts,
                                  .decompose = backward_decompose,
                                  .cost = backward_cost,
                                  .samples = backward_samples };

wk_tensor *wk_cross_entropy(wk_tensor *logits, wk_tensor *target, wk_cross_entropy_opts opts) {
    wk_tensor *out[2];
    bool per_pixel = logits && target && logits->rank > 2 && target->rank == logits->rank - 1;
    wk_dims shape = target ? wk__dims(target) : (wk_dims){ 0 };
    if (per_pixel) { /* (N, C, d1, …) to (N · d1 · …, C) */
        wk_dims axes = { .rank = logits->rank };
        for (int i = 0; i < axes.rank; i++) axes.size[i] = i == 0 ? 0 : i == axes.rank - 1 ? 1 : i + 1;
        logits = wk_reshape(wk_permute(logits, axes), WK_DIMS(-1, logits->shape[1]));
        target = wk_reshape(target, WK_DIMS(-1));
    }
    if (wk_op_run(&forward_row, (wk_tensor *[]){ logits, target }, 2, out, &opts) != WK_OK) return NULL;
    return per_pixel && opts.reduction == WK_REDUCTION_NONE ? wk_reshape(out[0], shape) : out[0];
}

wk_op_def *const wk__rows_loss[] = { &forward_row, &backward_row, NULL };
