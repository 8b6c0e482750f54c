/* conv.c: two-dimensional convolution.
 *
 * Results are channels last: the library's and our own kernels vectorise over channels, and the pointwise, pooling and
 * normalising neighbours keep that layout, so that a chain of image operations is never reordered.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#include <string.h>

static wk_desc channels_last(wk_dtype dtype, const int64_t shape[4] /* N, C, H, W */) {
    wk_desc desc = wk_desc_row_major(dtype, 4, shape);
    desc.strided = true;
    desc.stride[1] = 1;
    desc.stride[3] = shape[1];
    desc.stride[2] = shape[3] * shape[1];
    desc.stride[0] = shape[2] * desc.stride[2];
    return desc;
}

static wk_conv2d_opts with_defaults(wk_conv2d_opts opts) {
    for (int i = 0; i < 2; i++) {
        if (opts.stride[i] == 0) opts.stride[i] = 1;
        if (opts.dilation[i] == 0) opts.dilation[i] = 1;
    }
    if (opts.groups == 0) opts.groups = 1;
    return opts;
}

static wk_status check_opts(const wk_call *call, const wk_conv2d_opts *opts) {
    for (int i = 0; i < 2; i++)
        if (opts->stride[i] < 1 || opts->dilation[i] < 1 || opts->padding[i] < 0)
            return wk_bad_call(call, WK_INVALID,
                               "stride %lld, dilation %lld, padding %lld: expected at least 1, 1 and 0",
                               (long long)opts->stride[i], (long long)opts->dilation[i], (long long)opts->padding[i]);
    /* The plans of libraries are found by these, 20 bits each; and no product of sizes below overflows. */
    enum { MOST = (1 << 20) - 1 };
    for (int i = 0; i < 2; i++)
        if (opts->stride[i] > MOST || opts->dilation[i] > MOST || opts->padding[i] > MOST || opts->groups > MOST)
            return wk_bad_call(call, WK_INVALID,
                               "stride %lld, dilation %lld, padding %lld, groups %lld: expected at most %d",
                               (long long)opts->stride[i], (long long)opts->dilation[i], (long long)opts->padding[i],
                               (long long)opts->groups, MOST);
    if (opts->groups < 1)
        return wk_bad_call(call, WK_INVALID, "groups %lld, expected at least 1", (long long)opts->groups);
    return WK_OK;
}

static wk_status conv2d_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0], *weight = call->in[1], *bias = call->in[2];
    const wk_conv2d_opts opts = with_defaults(*(const wk_conv2d_opts *)call->attrs);
    char one[160], other[160];
    WK_TRY(check_opts(call, &opts));
    if (x->rank != 4 || weight->rank != 4)
        return wk_bad_call(call, WK_SHAPE, "x %s, weight %s: expected x (N, C, H, W) and weight (K, C/groups, R, S)",
                           wk_describe(x, one, sizeof one), wk_describe(weight, other, sizeof other));
    int64_t channels = weight->shape[1] * opts.groups;
    if (x->shape[1] != channels || weight->shape[0] % opts.groups != 0)
        return wk_bad_call(call, WK_SHAPE, "x %s has %lld channels, weight %s in %lld group%s takes %lld",
                           wk_describe(x, one, sizeof one), (long long)x->shape[1],
                           wk_describe(weight, other, sizeof other), (long long)opts.groups,
                           opts.groups == 1 ? "" : "s", (long long)channels);
    if (bias && (bias->rank != 1 || bias->shape[0] != weight->shape[0]))
        return wk_bad_call(call, WK_SHAPE, "bias has shape %s, expected (%lld)", wk_describe(bias, one, sizeof one),
                           (long long)weight->shape[0]);
    int64_t shape[4] = { x->shape[0], weight->shape[0], 0, 0 };
    for (int i = 0; i < 2; i++) {
        int64_t reach = opts.dilation[i] * (weight->shape[2 + i] - 1) + 1,
                room = x->shape[2 + i] + 2 * opts.padding[i] - reach;
        if (room < 0 || weight->shape[2 + i] < 1)
            return wk_bad_call(call, WK_SHAPE,
                               "the kernel of weight %s reaches over %lld, x %s offers %lld with padding",
                               wk_describe(weight, other, sizeof other), (long long)reach,
                               wk_describe(x, one, sizeof one), (long long)(room + reach));
        shape[2 + i] = room / opts.stride[i] + 1;
    }
    out[0] = channels_last((wk_dtype)x->dtype, shape);
    return WK_OK;
}

static wk_status backward_input_shape(const wk_call *call, wk_desc out[]) {
    const wk_conv2d_grad_attrs *attrs = call->attrs;
    out[0] = channels_last((wk_dtype)call->in[0]->dtype, attrs->dims.size);
    return WK_OK;
}

static wk_status backward_weight_shape(const wk_call *call, wk_desc out[]) {
    const wk_conv2d_grad_attrs *attrs = call->attrs;
    wk_dtype dtype = (wk_dtype)call->in[0]->dtype;
    out[0] = wk_desc_row_major(dtype, 4, attrs->dims.size);
    out[1] = wk_desc_row_major(dtype, 1, attrs->dims.size);
    return WK_OK;
}

/* ---- gradients: the three convolutions are each other's ---- */

static wk_op_def conv2d_row, backward_input_row, backward_weight_row;

static wk_tensor *backward_input(wk_tensor *dy, wk_tensor *weight, const wk_conv2d_opts *conv, const wk_tensor *x) {
    wk_conv2d_grad_attrs attrs = { .conv = *conv, .dims = wk__dims(x) };
    attrs.conv.activation = WK_ACTIVATION_NONE;
    return wk_op_run2(&backward_input_row, &attrs, dy, weight);
}

static wk_status backward_weight(wk_tensor *x, wk_tensor *dy, const wk_conv2d_opts *conv, const wk_tensor *weight,
                                 wk_tensor *sink, wk_tensor *out[2]) {
    wk_conv2d_grad_attrs attrs = { .conv = *conv, .dims = wk__dims(weight) };
    attrs.conv.activation = WK_ACTIVATION_NONE;
    return wk_op_run_into(&backward_weight_row, (wk_tensor *[]){ x, dy }, 2, out, &attrs, sink);
}

static wk_status conv2d_grad(wk_grad *g) {
    const wk_conv2d_opts *opts = g->attrs;
    wk_tensor *d = g->dout[0], *out[2];
    if (opts->activation == WK_ACTIVATION_RELU) d = wk__relu_backward(d, g->out[0]);
    if (g->needs[1] || g->needs[2]) {
        WK_TRY(backward_weight(g->in[0], d, opts, g->in[1], g->sink[1], out));
        g->din[1] = out[0];
        g->din[2] = out[1];
    }
    if (g->needs[0]) g->din[0] = backward_input(d, g->in[1], opts, g->in[0]);
    return WK_OK;
}

/* dx is bilinear in dy and the weight. */
static wk_status backward_input_grad(wk_grad *g) {
    const wk_conv2d_opts *conv = &((const wk_conv2d_grad_attrs *)g->attrs)->conv;
    wk_tensor *d = g->dout[0], *out[2];
    if (g->needs[0]) g->din[0] = wk_op_run3(&conv2d_row, conv, d, g->in[1], NULL);
    if (g->needs[1]) {
        WK_TRY(backward_weight(d, g->in[0], conv, g->in[1], NULL, out));
        g->din[1] = out[0];
    }
    return WK_OK;
}

/* dweight is bilinear in x and dy; dbias sums dy. */
static wk_status backward_weight_grad(wk_grad *g) {
    const wk_conv2d_opts *conv = &((const wk_conv2d_grad_attrs *)g->attrs)->conv;
    wk_tensor *dw = g->dout[0], *db = g->dout[1];
    if (g->needs[0] && dw) g->din[0] = backward_input(g->in[1], dw, conv, g->in[0]);
    if (!g->needs[1]) return WK_OK;
    if (dw)
        g->din[1] = wk_op_run3(&conv2d_row, conv, g->in[0], dw, db);
    else if (db)
        g->din[1] = wk_expand(wk_reshape(db, WK_DIMS(1, -1, 1, 1)), wk__dims(g->in[1]));
    return WK_OK;
}

/* ---- cost and samples ---- */

static double taps(const wk_tensor *y, double channels_a_group, double r, double s) {
    return 2 * (double)y->count * channels_a_group * r * s;
}
static wk_cost conv2d_cost(const wk_call *call) {
    const wk_tensor *w = call->in[1];
    return (wk_cost){ taps(call->out[0], (double)w->shape[1], (double)w->shape[2], (double)w->shape[3]),
                      wk__operand_bytes(call) };
}
static wk_cost backward_input_cost(const wk_call *call) {
    const wk_tensor *w = call->in[1];
    return (wk_cost){ taps(call->in[0], (double)w->shape[1], (double)w->shape[2], (double)w->shape[3]),
                      wk__operand_bytes(call) };
}
static wk_cost backward_weight_cost(const wk_call *call) {
    const wk_tensor *w = call->out[0];
    return (wk_cost){ taps(call->in[1], (double)w->shape[1], (double)w->shape[2], (double)w->shape[3]),
                      wk__operand_bytes(call) };
}

static const wk_conv2d_opts plain = { 0 }, relu = { .activation = WK_ACTIVATION_RELU },
                            strided = { .stride = { 2, 1 }, .padding = { 1, 2 } },
                            dilated = { .dilation = { 2, 2 }, .padding = { 2, 1 } },
                            grouped = { .groups = 2, .padding = { 1, 1 } };

static void conv2d_samples(wk_sampler *s) {
    WK_CASE(s, "small", &plain, { .dims = WK_DIMS(2, 1, 6, 5) }, { .dims = WK_DIMS(3, 1, 3, 3) },
            { .dims = WK_DIMS(3) });
    WK_CASE(s, "relu", &relu, { .dims = WK_DIMS(2, 3, 6, 5) }, { .dims = WK_DIMS(4, 3, 3, 3) }, { .dims = WK_DIMS(4) });
    WK_CASE(s, "stride", &strided, { .dims = WK_DIMS(2, 3, 7, 6), .strided = true }, { .dims = WK_DIMS(4, 3, 3, 2) },
            { .kind = WK_SAMPLE_ABSENT });
    WK_CASE(s, "dilation", &dilated, { .dims = WK_DIMS(1, 2, 8, 9) }, { .dims = WK_DIMS(2, 2, 3, 3) },
            { .dims = WK_DIMS(2) });
    WK_CASE(s, "groups", &grouped, { .dims = WK_DIMS(2, 4, 5, 5) }, { .dims = WK_DIMS(6, 2, 3, 3) },
            { .dims = WK_DIMS(6) });
    WK_CASE(s, "empty", &plain, { .dims = WK_DIMS(0, 2, 5, 5) }, { .dims = WK_DIMS(3, 2, 3, 3) },
            { .dims = WK_DIMS(3) });
    WK_CASE(s, "large", &relu, { .dims = WK_DIMS(4, 32, 26, 26) },
            { .dims = WK_DIMS(64, 32, 3, 3), .low = -0.1, .high = 0.1 }, { .dims = WK_DIMS(64) });
}
static void backward_input_samples(wk_sampler *s) {
    const wk_conv2d_grad_attrs small = { plain, WK_DIMS(2, 3, 6, 5) }, wide = { strided, WK_DIMS(2, 3, 7, 6) },
                               groups = { grouped, WK_DIMS(2, 4, 5, 5) };
    WK_CASE(s, "small", &small, { .dims = WK_DIMS(2, 4, 4, 3) }, { .dims = WK_DIMS(4, 3, 3, 3) });
    WK_CASE(s, "stride", &wide, { .dims = WK_DIMS(2, 4, 4, 9), .strided = true }, { .dims = WK_DIMS(4, 3, 3, 2) });
    WK_CASE(s, "groups", &groups, { .dims = WK_DIMS(2, 6, 5, 5) }, { .dims = WK_DIMS(6, 2, 3, 3) });
}
static void backward_weight_samples(wk_sampler *s) {
    const wk_conv2d_grad_attrs small = { plain, WK_DIMS(4, 3, 3, 3) }, wide = { strided, WK_DIMS(4, 3, 3, 2) },
                               groups = { grouped, WK_DIMS(6, 2, 3, 3) };
    WK_CASE(s, "small", &small, { .dims = WK_DIMS(2, 3, 6, 5) }, { .dims = WK_DIMS(2, 4, 4, 3) });
    WK_CASE(s, "stride", &wide, { .dims = WK_DIMS(2, 3, 7, 6) }, { .dims = WK_DIMS(2, 4, 4, 9), .strided = true });
    WK_CASE(s, "groups", &groups, { .dims = WK_DIMS(2, 4, 5, 5) }, { .dims = WK_DIMS(2, 6, 5, 5) });
}

/* ---- rows ---- */

#define CONV_ATTRS(base)                                                                                         \
    { "stride", WK_ATTR_INTS, base + offsetof(wk_conv2d_opts, stride), 2, NULL, 0, "0 means 1" },                \
        { "padding", WK_ATTR_INTS, base + offsetof(wk_conv2d_opts, padding), 2, NULL, 0, "zeros on each side" }, \
        { "dilation", WK_ATTR_INTS, base + offsetof(wk_conv2d_opts, dilation), 2, NULL, 0, "0 means 1" }, {      \
        "groups", WK_ATTR_INT, base + offsetof(wk_conv2d_opts, groups), 0, NULL, 0, "0 means 1"                  \
    }
static const wk_attr_def conv2d_attrs[] = {
    CONV_ATTRS(0),
    { "activation", WK_ATTR_ENUM, offsetof(wk_conv2d_opts, activation), 0, "none|relu", 0, "fused" },
};
static const wk_attr_def grad_attrs[] = {
    CONV_ATTRS(offsetof(wk_conv2d_grad_attrs, conv)),
    { "dims", WK_ATTR_DIMS, offsetof(wk_conv2d_grad_attrs, dims), 0, NULL, 0, "shape of the gradient" },
};
static wk_op_def conv2d_row = {
    .name = "conv2d",
    .doc = "activation(cross-correlation + bias), channels last",
    .n_in = 3,
    .n_out = 1,
    .optional_in = 4,
    .saves_in = 3,
    .saves_out = 1,
    .attrs = conv2d_attrs,
    .n_attrs = 5,
    .attrs_size = sizeof(wk_conv2d_opts),
    .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS }, .same = 7, .autocast = WK_CAST_LOW },
    .shape = conv2d_shape,
    .grad = conv2d_grad,
    .cost = conv2d_cost,
    .samples = conv2d_samples
};
static wk_op_def backward_input_row = { .name = "conv2d_backward_input",
                                        .internal = true,
                                        .doc = "gradient of conv2d for x",
                                        .n_in = 2,
                                        .n_out = 1,
                                        .saves_in = 3,
                                        .attrs = grad_attrs,
                                        .n_attrs = 5,
                                        .attrs_size = sizeof(wk_conv2d_grad_attrs),
                                        .zero_sized_runs = true,
                                        .dtype = { .allowed = { WK_FLOATS, WK_FLOATS }, .same = 3 },
                                        .shape = backward_input_shape,
                                        .grad = backward_input_grad,
                                        .cost = backward_input_cost,
                                        .samples = backward_input_samples };
static wk_op_def backward_weight_row = { .name = "conv2d_backward_weight",
                                         .internal = true,
                                         .doc = "gradient of conv2d for weight and bias",
                                         .n_in = 2,
                                         .n_out = 2,
                                         .saves_in = 3,
                                         .attrs = grad_attrs,
                                         .n_attrs = 5,
                                         .attrs_size = sizeof(wk_conv2d_grad_attrs),
                                         .zero_sized_runs = true,
                                         .dtype = { .allowed = { WK_FLOATS, WK_FLOATS }, .same = 3 },
                                         .shape = backward_weight_shape,
                                         .grad = backward_weight_grad,
                                         .cost = backward_weight_cost,
                                         .samples = backward_weight_samples };

wk_tensor *wk_conv2d(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_conv2d_opts opts) {
    const wk_conv2d_opts full = with_defaults(opts);
    return wk_op_run3(&conv2d_row, &full, x, weight, bias);
}

wk_op_def *const wk__rows_conv[] = { &conv2d_row, &backward_input_row, &backward_weight_row, NULL };
