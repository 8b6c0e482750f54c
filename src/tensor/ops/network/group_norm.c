/* group_norm.c: group_norm, and what is made of normalisations and windows: instance_norm, local_response_norm.
 *
 * A group of channels of one sample is a row of numbers, so the kernels are those of layer_norm.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static wk_dtype statistics_dtype(const wk_tensor *x) {
    return x->dtype == WK_F64 ? WK_F64 : WK_F32;
}

static wk_status check_channels(const wk_call *call, const wk_tensor *x, const wk_tensor *t, const char *what) {
    char one[160], other[160];
    if (t && (t->rank != 1 || t->shape[0] != x->shape[1]))
        return wk_bad_call(call, WK_SHAPE, "%s has shape %s, expected (%lld), the channels of x %s", what,
                           wk_describe(t, one, sizeof one), (long long)x->shape[1],
                           wk_describe(x, other, sizeof other));
    if (t && t->dtype != x->dtype && !(t->dtype == WK_F32 && wk_dtype_size((wk_dtype)x->dtype) == 2))
        return wk_bad_call(call, WK_DTYPE, "%s is %s: x %s takes its own dtype, or f32 beside a half type", what,
                           wk_describe(t, one, sizeof one), wk_describe(x, other, sizeof other));
    return WK_OK;
}

static wk_status check(const wk_call *call, const wk_tensor *x, const wk_tensor *weight, const wk_tensor *bias) {
    const wk_group_norm_opts *opts = call->attrs;
    char text[160];
    if (x->rank < 2) return wk_bad_call(call, WK_SHAPE, "x %s, expected (N, C, …)", wk_describe(x, text, sizeof text));
    if (opts->groups < 1 || x->shape[1] % opts->groups != 0)
        return wk_bad_call(call, WK_INVALID, "%lld groups do not divide the %lld channels of x %s evenly",
                           (long long)opts->groups, (long long)x->shape[1], wk_describe(x, text, sizeof text));
    WK_TRY(check_channels(call, x, weight, "weight"));
    return check_channels(call, x, bias, "bias");
}

static wk_status forward_shape(const wk_call *call, wk_desc out[]) {
    const wk_group_norm_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0];
    WK_TRY(check(call, x, call->in[1], call->in[2]));
    out[0] = wk_desc_like(x);
    out[1] = out[2] = wk_desc_row_major(statistics_dtype(x), 2, (int64_t[]){ x->shape[0], opts->groups });
    return WK_OK;
}

/* A vector over channels, shaped to broadcast against x. */
static wk_tensor *per_channel(wk_tensor *v, const wk_tensor *x) {
    wk_dims dims = { .rank = x->rank };
    for (int axis = 0; axis < x->rank; axis++) dims.size[axis] = axis == 1 ? x->shape[1] : 1;
    return wk_reshape(v, dims);
}

static wk_status forward_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_group_norm_opts *opts = call->attrs;
    wk_tensor *x = call->in[0], *weight = call->in[1], *bias = call->in[2];
    int64_t samples = x->shape[0], groups = opts->groups, length = samples && groups ? x->count / samples / groups : 0;
    const wk_reduce_opts over = { .axes = WK_DIMS(2), .keep_dims = true };
    wk_tensor *rows = wk_reshape(x, WK_DIMS(samples, groups, length)), *mean = wk_mean(rows, over);
    wk_tensor *rest = wk_sub(rows, mean), *square = wk_mean(wk_mul(rest, rest), over);
    wk_tensor *deviation = wk_sqrt(wk_affine(square, (wk_affine_opts){ 1, wk_optional_or(opts->eps, 1e-5) }));
    wk_tensor *rstd = wk_div(wk_full((wk_dtype)x->dtype, WK_SCALAR, 1), deviation);
    out[0] = wk_reshape(wk_mul(rest, rstd), wk__dims(x));
    if (weight) out[0] = wk_mul(out[0], per_channel(weight, x));
    if (bias) out[0] = wk_add(out[0], per_channel(bias, x));
    out[1] = wk_cast(wk_reshape(mean, WK_DIMS(samples, groups)), statistics_dtype(x));
    out[2] = wk_cast(wk_reshape(rstd, WK_DIMS(samples, groups)), statistics_dtype(x));
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* (dy, x, weight, mean, rstd) -> dx, dweight, dbias */
static wk_status backward_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[1], *weight = call->in[2];
    WK_TRY(check(call, x, weight, NULL));
    out[0] = wk_desc_like(x);
    out[1] = out[2] = wk_desc_row_major(weight ? (wk_dtype)weight->dtype : statistics_dtype(x), 1, &x->shape[1]);
    return WK_OK;
}

static wk_op_def forward_row, backward_row;

static wk_status forward_grad(wk_grad *g) {
    wk_tensor *out[3];
    WK_TRY(wk_op_run_into(&backward_row, (wk_tensor *[]){ g->dout[0], g->in[0], g->in[1], g->out[1], g->out[2] }, 5,
                          out, g->attrs, g->sink));
    g->din[0] = out[0];
    if (g->needs[1]) g->din[1] = out[1];
    if (g->needs[2]) g->din[2] = wk_cast(out[2], (wk_dtype)g->in[2]->dtype);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status backward_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x = call->in[1], *weight = call->in[2];
    wk_dtype dtype = weight ? (wk_dtype)weight->dtype : statistics_dtype(x);
    wk_tensor *bias = wk_zeros(dtype, WK_DIMS(x->shape[1]));
    if (!weight) weight = wk_full(dtype, WK_DIMS(x->shape[1]), 1);
    return wk__gradient_of_parts(&forward_row, (wk_tensor *[]){ x, weight, bias }, call->attrs,
                                 (wk_tensor *[]){ call->in[0], NULL, NULL }, out);
}

static wk_cost forward_cost(const wk_call *call) {
    return wk__cost_elements(call, 8);
}
static wk_cost backward_cost(const wk_call *call) {
    return wk__cost_elements(call, 12);
}

#define ABSENT \
    { .kind = WK_SAMPLE_ABSENT }
static void forward_samples(wk_sampler *s) {
    const wk_group_norm_opts one = { .groups = 1 }, two = { .groups = 2 }, each = { .groups = 6, .eps = WK_SET(0.1) };
    WK_CASE(s, "two groups", &two, { .dims = WK_DIMS(2, 4, 3, 2) }, { .dims = WK_DIMS(4) }, { .dims = WK_DIMS(4) });
    WK_CASE(s, "one group", &one, { .dims = WK_DIMS(3, 4, 5), .strided = true }, ABSENT, { .dims = WK_DIMS(4) });
    WK_CASE(s, "a group each", &each, { .dims = WK_DIMS(2, 6, 5) }, ABSENT, ABSENT);
    WK_CASE(s, "no planes", &two, { .dims = WK_DIMS(5, 6) }, { .dims = WK_DIMS(6) }, { .dims = WK_DIMS(6) });
    WK_CASE(s, "empty", &two, { .dims = WK_DIMS(0, 4, 3) }, { .dims = WK_DIMS(4) }, ABSENT);
    WK_CASE(s, "large", &two, { .dims = WK_DIMS(5, 12, 17, 19) }, { .dims = WK_DIMS(12) }, { .dims = WK_DIMS(12) });
    const wk_group_norm_opts eight = { .groups = 8 };
    WK_HUGE_CASE(s, "huge", &eight, { .dims = WK_DIMS(8, 64, 28, 28) }, { .dims = WK_DIMS(64) },
                 { .dims = WK_DIMS(64) });
}
static void backward_samples(wk_sampler *s) {
    const wk_group_norm_opts two = { .groups = 2 };
    WK_CASE(s, "planes", &two, { .dims = WK_DIMS(2, 4, 3, 2) }, { .dims = WK_DIMS(2, 4, 3, 2) }, { .dims = WK_DIMS(4) },
            ABSENT, ABSENT);
    WK_CASE(s, "no planes", &two, { .dims = WK_DIMS(5, 6) }, { .dims = WK_DIMS(5, 6), .strided = true }, ABSENT, ABSENT,
            ABSENT);
    WK_CASE(s, "large", &two, { .dims = WK_DIMS(5, 12, 17, 19) }, { .dims = WK_DIMS(5, 12, 17, 19) },
            { .dims = WK_DIMS(12) }, ABSENT, ABSENT);
}

static const wk_attr_def attrs[] = {
    { "groups", WK_ATTR_INT, offsetof(wk_group_norm_opts, groups), 0, NULL, 0, "of channels, at least 1" },
    { "eps", WK_ATTR_OPTIONAL, offsetof(wk_group_norm_opts, eps), 0, NULL, 1e-5, "added to the variance" },
};
#define FLOATS5 \
    { WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_FLOATS }
static wk_op_def forward_row = { .name = "group_norm",
                                 .doc = "(x - mean) / sqrt(variance + eps) * weight + bias, by groups of channels",
                                 .n_in = 3,
                                 .n_out = 3,
                                 .optional_in = 6,
                                 .saves_in = 3,
                                 .saves_out = 6,
                                 .internal_out = 6,
                                 .attrs = attrs,
                                 .n_attrs = 2,
                                 .attrs_size = sizeof(wk_group_norm_opts),
                                 .dtype = { .allowed = FLOATS5, .autocast = WK_CAST_F32 },
                                 .shape = forward_shape,
                                 .grad = forward_grad,
                                 .decompose = forward_parts,
                                 .cost = forward_cost,
                                 .samples = forward_samples };
static wk_op_def backward_row = { .name = "group_norm_backward",
                                  .internal = true,
                                  .doc = "gradient of group_norm",
                                  .n_in = 5,
                                  .n_out = 3,
                                  .optional_in = 28,
                                  .saves_in = 31,
                                  .key = 1,
                                  .zero_sized_runs = true,
                                  .attrs = attrs,
                                  .n_attrs = 2,
                                  .attrs_size = sizeof(wk_group_norm_opts),
                                  .dtype = { .allowed = FLOATS5, .same = 3 },
                                  .shape = backward_shape,
                                  .grad = wk__grad_by_parts,
                                  .decompose = backward_parts,
                                  .cost = backward_cost,
                                  .samples = backward_samples };

wk_tensor *wk_group_norm(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_group_norm_opts opts) {
    return wk_op_run3(&forward_row, &opts, x, weight, bias);
}

/* ---- instance_norm: a group a channel ---- */

static wk_status instance_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_instance_norm_opts *opts = call->attrs;
    wk_tensor *x = call->in[0];
    char text[160];
    if (x->rank < 3)
        return wk_bad_call(call, WK_SHAPE, "x %s, expected (N, C, L, …)", wk_describe(x, text, sizeof text));
    if (x->shape[0] && x->shape[1] && x->count / x->shape[0] / x->shape[1] < 2)
        return wk_bad_call(call, WK_SHAPE, "x %s: more than one value a channel is needed",
                           wk_describe(x, text, sizeof text));
    if (!x->shape[1])
        out[0] = wk_contiguous(x);
    else
        out[0] =
            wk_group_norm(x, call->in[1], call->in[2], (wk_group_norm_opts){ .groups = x->shape[1], .eps = opts->eps });
    return out[0] ? WK_OK : wk_error_code();
}
static wk_cost instance_cost(const wk_call *call) {
    return (wk_cost){ 8 * (double)call->in[0]->count, wk__operand_bytes(call) };
}
static void instance_samples(wk_sampler *s) {
    const wk_instance_norm_opts plain = { 0 };
    WK_CASE(s, "plain", &plain, { .dims = WK_DIMS(2, 3, 4) }, { .dims = WK_DIMS(3) }, { .dims = WK_DIMS(3) });
    WK_CASE(s, "no weight", &plain, { .dims = WK_DIMS(2, 3, 2, 4), .strided = true }, ABSENT, ABSENT);
    WK_CASE(s, "large", &plain, { .dims = WK_DIMS(3, 5, 33, 65) }, ABSENT, ABSENT);
    WK_HUGE_CASE(s, "huge", &plain, { .dims = WK_DIMS(8, 64, 28, 28) }, ABSENT, ABSENT);
}
static const wk_attr_def instance_attrs[] = {
    { "eps", WK_ATTR_OPTIONAL, offsetof(wk_instance_norm_opts, eps), 0, NULL, 1e-5, "added to the variance" },
};
static wk_op_def instance_row = { .name = "instance_norm",
                                  .doc = "batch_norm of each sample alone",
                                  .n_in = 3,
                                  .n_out = 1,
                                  .optional_in = 6,
                                  .composite = true,
                                  .attrs = instance_attrs,
                                  .n_attrs = 1,
                                  .attrs_size = sizeof(wk_instance_norm_opts),
                                  .dtype = { .allowed = FLOATS5 },
                                  .decompose = instance_parts,
                                  .cost = instance_cost,
                                  .samples = instance_samples };
wk_tensor *wk_instance_norm(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_instance_norm_opts opts) {
    return wk_op_run3(&instance_row, &opts, x, weight, bias);
}

/* ---- local_response_norm: x / (k + alpha · mean of x² over `size` channels around)^beta ---- */

static wk_status response_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_local_response_norm_opts *opts = call->attrs;
    wk_tensor *x = call->in[0];
    char text[160];
    if (x->rank < 3)
        return wk_bad_call(call, WK_SHAPE, "x %s, expected (N, C, L, …)", wk_describe(x, text, sizeof text));
    if (opts->size < 1)
        return wk_bad_call(call, WK_INVALID, "size is %lld, expected at least 1", (long long)opts->size);
    if (!x->count) return (out[0] = wk_contiguous(x)) ? WK_OK : wk_error_code();
    int64_t plane = x->count / x->shape[0] / x->shape[1];
    wk_tensor *square = wk_reshape(wk_mul(x, x), WK_DIMS(x->shape[0], x->shape[1], plane));
    wk_pad_opts around = { .before = WK_DIMS(opts->size / 2, 0), .after = WK_DIMS((opts->size - 1) / 2, 0) };
    wk_tensor *windows = wk_windows(wk_pad(square, around), (wk_windows_opts){ .axis = 1, .size = opts->size });
    wk_tensor *mean = wk_reshape(wk_mean(windows, (wk_reduce_opts){ .axes = WK_DIMS(-1) }), wk__dims(x));
    wk_tensor *base =
        wk_affine(mean, (wk_affine_opts){ wk_optional_or(opts->alpha, 1e-4), wk_optional_or(opts->k, 1) });
    /* base is at least k: its power by exp and log */
    wk_tensor *divisor = wk_exp(wk_scale(wk_log(base), wk_optional_or(opts->beta, 0.75)));
    out[0] = wk_div(x, divisor);
    return out[0] ? WK_OK : wk_error_code();
}
static wk_cost response_cost(const wk_call *call) {
    const wk_local_response_norm_opts *opts = call->attrs;
    return (wk_cost){ (double)(10 + opts->size) * (double)call->in[0]->count, wk__operand_bytes(call) };
}
static void response_samples(wk_sampler *s) {
    const wk_local_response_norm_opts plain = { .size = 3 },
                                      even = { .size = 4, .alpha = WK_SET(0.5), .beta = WK_SET(1.5), .k = WK_SET(2) };
    WK_CASE(s, "odd", &plain, { .dims = WK_DIMS(2, 5, 3) });
    WK_CASE(s, "even", &even, { .dims = WK_DIMS(2, 3, 2, 2), .strided = true });
    WK_CASE(s, "large", &even, { .dims = WK_DIMS(2, 16, 13, 29) });
    const wk_local_response_norm_opts five = { .size = 5 };
    WK_HUGE_CASE(s, "huge", &five, { .dims = WK_DIMS(8, 64, 28, 28) });
}
static const wk_attr_def response_attrs[] = {
    { "size", WK_ATTR_INT, offsetof(wk_local_response_norm_opts, size), 0, NULL, 0, "channels that take part" },
    { "alpha", WK_ATTR_OPTIONAL, offsetof(wk_local_response_norm_opts, alpha), 0, NULL, 1e-4, "factor of the mean" },
    { "beta", WK_ATTR_OPTIONAL, offsetof(wk_local_response_norm_opts, beta), 0, NULL, 0.75, "exponent" },
    { "k", WK_ATTR_OPTIONAL, offsetof(wk_local_response_norm_opts, k), 0, NULL, 1, "added to it" },
};
static wk_op_def response_row = { .name = "local_response_norm",
                                  .doc = "x / (k + alpha * mean of squares of neighbouring channels)^beta",
                                  .n_in = 1,
                                  .n_out = 1,
                                  .composite = true,
                                  .attrs = response_attrs,
                                  .n_attrs = 4,
                                  .attrs_size = sizeof(wk_local_response_norm_opts),
                                  .dtype = { .allowed = FLOATS5 },
                                  .decompose = response_parts,
                                  .cost = response_cost,
                                  .samples = response_samples };
wk_tensor *wk_local_response_norm(wk_tensor *x, wk_local_response_norm_opts opts) {
    return wk_op_run1(&response_row, &opts, x);
}

wk_op_def *const wk__rows_group_norm[] = { &forward_row, &backward_row, &instance_row, &response_row, NULL };
