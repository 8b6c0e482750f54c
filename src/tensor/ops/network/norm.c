/* norm.c: batch normalisation.
 *
 * Forward keeps mean and 1/std (one number a channel each) because backward needs them; x itself is kept, y is not.
 * Backward is one fused row: from primitives it would read x five times.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static wk_dtype statistics_dtype(const wk_tensor *x) {
    return x->dtype == WK_F64 ? WK_F64 : WK_F32;
}

static wk_status check_vector(const wk_call *call, int i, const char *what, int64_t channels) {
    const wk_tensor *t = call->in[i];
    char one[160], other[160];
    if (!t || (t->rank == 1 && t->shape[0] == channels)) return WK_OK;
    return wk_bad_call(call, WK_SHAPE, "%s has shape %s, expected (%lld), the channels of x %s", what,
                       wk_describe(t, one, sizeof one), (long long)channels,
                       wk_describe(call->in[0], other, sizeof other));
}

static wk_status forward_shape(const wk_call *call, wk_desc out[]) {
    static const char *const names[] = { "x", "weight", "bias", "running_mean", "running_variance" };
    const wk_tensor *x = call->in[0];
    const wk_batch_norm_opts *opts = call->attrs;
    char text[160];
    if (x->rank < 2) return wk_bad_call(call, WK_SHAPE, "x %s, expected (N, C, …)", wk_describe(x, text, sizeof text));
    int64_t channels = x->shape[1];
    for (int i = 1; i < 5; i++) WK_TRY(check_vector(call, i, names[i], channels));
    if (!opts->training && (!call->in[3] || !call->in[4]))
        return wk_bad_call(call, WK_INVALID, "evaluation needs running_mean and running_variance");
    if (opts->training && channels && x->count / channels < 2)
        return wk_bad_call(call, WK_SHAPE, "x %s: training needs more than one value a channel",
                           wk_describe(x, text, sizeof text));
    out[0] = wk_desc_like(x);
    out[1] = out[2] = wk_desc_row_major(statistics_dtype(x), 1, &channels);
    return WK_OK;
}

/* (dy, x, weight, mean, rstd) -> dx, dweight, dbias */
static wk_status backward_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[1];
    out[0] = wk_desc_like(x);
    out[1] = out[2] =
        wk_desc_row_major((wk_dtype)(call->in[2] ? call->in[2]->dtype : call->in[3]->dtype), 1, &x->shape[1]);
    return WK_OK;
}

static wk_op_def backward_row;

static wk_status forward_grad(wk_grad *g) {
    wk_tensor *out[3];
    WK_TRY(wk_op_run(&backward_row, (wk_tensor *[]){ g->dout[0], g->in[0], g->in[1], g->out[1], g->out[2] }, 5, out,
                     g->attrs));
    for (int i = 0; i < 3; i++)
        if (g->needs[i]) g->din[i] = out[i];
    return WK_OK;
}

/* A vector over channels, shaped to broadcast against x. */
static wk_tensor *per_channel(wk_tensor *v, const wk_tensor *x) {
    wk_dims dims = { .rank = x->rank };
    for (int axis = 0; axis < x->rank; axis++) dims.size[axis] = axis == 1 ? x->shape[1] : 1;
    return wk_reshape(v, dims);
}

static wk_reduce_opts all_but_channels(const wk_tensor *x) {
    wk_reduce_opts opts = { .keep_dims = true };
    for (int axis = 0; axis < x->rank; axis++)
        if (axis != 1) opts.axes.size[opts.axes.rank++] = axis;
    return opts;
}

/* Starts from x: taking mean and rstd as constants would give wrong second derivatives in training. */
static wk_status backward_decompose(const wk_call *call, wk_tensor *out[]) {
    const wk_batch_norm_opts *opts = call->attrs;
    wk_tensor *dy = call->in[0], *x = call->in[1], *weight = call->in[2], *mean, *rstd;
    const wk_reduce_opts over = all_but_channels(x);
    if (opts->training) {
        mean = wk_mean(x, over);
        wk_tensor *centred = wk_sub(x, mean);
        wk_tensor *variance = wk_mean(wk_mul(centred, centred), over);
        wk_tensor *deviation = wk_sqrt(wk_affine(variance, (wk_affine_opts){ 1, wk_optional_or(opts->eps, 1e-5) }));
        rstd = wk_div(wk_full((wk_dtype)x->dtype, WK_SCALAR, 1), deviation);
    } else {
        mean = per_channel(call->in[3], x);
        rstd = per_channel(call->in[4], x);
    }
    wk_tensor *normal = wk_mul(wk_sub(x, mean), rstd);
    wk_dims channels = WK_DIMS(x->shape[1]);
    out[1] = wk_reshape(wk_sum(wk_mul(dy, normal), over), channels);
    out[2] = wk_reshape(wk_sum(dy, over), channels);
    wk_tensor *factor = weight ? wk_mul(per_channel(weight, x), rstd) : rstd;
    wk_tensor *inner = dy;
    if (opts->training)
        inner = wk_sub(wk_sub(dy, wk_mean(dy, over)), wk_mul(normal, wk_mean(wk_mul(dy, normal), over)));
    out[0] = wk_mul(factor, inner);
    return wk_failed() ? wk_error_code() : WK_OK;
}

static bool is_training(const wk_call *call) {
    return ((const wk_batch_norm_opts *)call->attrs)->training;
}

static wk_cost forward_cost(const wk_call *call) {
    return wk__cost_elements(call, 7);
}
static wk_cost backward_cost(const wk_call *call) {
    return wk__cost_elements(call, 11);
}

static void forward_samples(wk_sampler *s) {
    const wk_batch_norm_opts train = { .training = true }, evaluate = { 0 };
    WK_CASE(s, "train", &train, { .dims = WK_DIMS(4, 3, 2, 5) }, { .dims = WK_DIMS(3) }, { .dims = WK_DIMS(3) },
            { .dims = WK_DIMS(3) }, { .dims = WK_DIMS(3), .low = 0.5, .high = 2 });
    WK_CASE(s, "train strided", &train, { .dims = WK_DIMS(4, 3, 2, 5), .strided = true }, { .kind = WK_SAMPLE_ABSENT },
            { .kind = WK_SAMPLE_ABSENT }, { .kind = WK_SAMPLE_ABSENT }, { .kind = WK_SAMPLE_ABSENT });
    WK_CASE(s, "two axes", &train, { .dims = WK_DIMS(6, 5) }, { .dims = WK_DIMS(5) }, { .dims = WK_DIMS(5) },
            { .kind = WK_SAMPLE_ABSENT }, { .kind = WK_SAMPLE_ABSENT });
    WK_CASE(s, "evaluate", &evaluate, { .dims = WK_DIMS(2, 3, 4) }, { .dims = WK_DIMS(3) }, { .dims = WK_DIMS(3) },
            { .dims = WK_DIMS(3) }, { .dims = WK_DIMS(3), .low = 0.5, .high = 2 });
    WK_HUGE_CASE(s, "huge train", &train, { .dims = WK_DIMS(8, 64, 28, 28) }, { .dims = WK_DIMS(64) },
                 { .dims = WK_DIMS(64) }, { .dims = WK_DIMS(64) }, { .dims = WK_DIMS(64), .low = 0.5, .high = 2 });
    WK_HUGE_CASE(s, "huge evaluate", &evaluate, { .dims = WK_DIMS(8, 64, 28, 28) }, { .dims = WK_DIMS(64) },
                 { .dims = WK_DIMS(64) }, { .dims = WK_DIMS(64) }, { .dims = WK_DIMS(64), .low = 0.5, .high = 2 });
}
static void backward_samples(wk_sampler *s) {
    const wk_batch_norm_opts evaluate = { 0 };
    WK_CASE(s, "evaluate", &evaluate, { .dims = WK_DIMS(4, 3, 2, 5) }, { .dims = WK_DIMS(4, 3, 2, 5) },
            { .dims = WK_DIMS(3) }, { .dims = WK_DIMS(3) }, { .dims = WK_DIMS(3), .low = 0.5, .high = 2 });
}

static const wk_attr_def attrs[] = {
    { "training", WK_ATTR_BOOL, offsetof(wk_batch_norm_opts, training), 0, NULL, 0,
      "use and track the batch's statistics" },
    { "momentum", WK_ATTR_OPTIONAL, offsetof(wk_batch_norm_opts, momentum), 0, NULL, 0.1, "of the running statistics" },
    { "eps", WK_ATTR_OPTIONAL, offsetof(wk_batch_norm_opts, eps), 0, NULL, 1e-5, "added to the variance" },
};
static wk_op_def forward_row = { .name = "batch_norm",
                                 .doc = "(x - mean) / sqrt(variance + eps) * weight + bias, by channel",
                                 .n_in = 5,
                                 .n_out = 3,
                                 .optional_in = 30,
                                 .saves_in = 3,
                                 .saves_out = 6,
                                 .internal_out = 6,
                                 .mutates = 24,
                                 .mutates_now = is_training,
                                 .attrs = attrs,
                                 .n_attrs = 3,
                                 .attrs_size = sizeof(wk_batch_norm_opts),
                                 .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_FLOATS } },
                                 .shape = forward_shape,
                                 .grad = forward_grad,
                                 .cost = forward_cost,
                                 .samples = forward_samples };
static wk_op_def backward_row = { .name = "batch_norm_backward",
                                  .internal = true,
                                  .doc = "gradient of batch_norm",
                                  .n_in = 5,
                                  .n_out = 3,
                                  .optional_in = 4,
                                  .saves_in = 31,
                                  .key = 1,
                                  .attrs = attrs,
                                  .n_attrs = 3,
                                  .attrs_size = sizeof(wk_batch_norm_opts),
                                  .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_FLOATS } },
                                  .shape = backward_shape,
                                  .grad = wk__grad_by_parts,
                                  .decompose = backward_decompose,
                                  .cost = backward_cost,
                                  .samples = backward_samples };

wk_tensor *wk_batch_norm(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_tensor *running_mean,
                         wk_tensor *running_variance, wk_batch_norm_opts opts) {
    wk_tensor *out[3];
    wk_tensor *const in[] = { x, weight, bias, running_mean, running_variance };
    return wk_op_run(&forward_row, in, 5, out, &opts) == WK_OK ? out[0] : NULL;
}

wk_op_def *const wk__rows_norm[] = { &forward_row, &backward_row, NULL };
