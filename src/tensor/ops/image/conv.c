/* conv.c: convolution of images of two and three axes.
 *
 * Results are channels last: the library's and our own kernels vectorise over channels, and the pointwise, pooling and
 * normalising neighbours keep that layout, so that a chain of image operations is never reordered.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/ops/image/image.h"
#include "tensor/registry.h"

#include <string.h>

wk_desc wk__channels_last(wk_dtype dtype, int rank, const int64_t *shape /* N, C, … */) {
    wk_desc desc = wk_desc_row_major(dtype, rank, shape);
    desc.strided = true;
    desc.stride[1] = 1;
    uint64_t step = (uint64_t)shape[1]; /* may wrap: sizes that multiply to too much are refused when memory is taken */
    for (int axis = rank - 1; axis > 1; axis--) desc.stride[axis] = (int64_t)step, step *= (uint64_t)shape[axis];
    desc.stride[0] = (int64_t)step;
    return desc;
}

static wk_conv_opts with_defaults(wk_conv_opts opts) {
    for (int i = 0; i < 3; i++) {
        if (opts.stride[i] == 0) opts.stride[i] = 1;
        if (opts.dilation[i] == 0) opts.dilation[i] = 1;
    }
    if (opts.groups == 0) opts.groups = 1;
    return opts;
}

static wk_status check_opts(const wk_call *call, const wk_conv_opts *opts, int axes) {
    for (int i = 0; i < axes; i++) {
        if (opts->stride[i] < 1 || opts->dilation[i] < 1 || opts->padding[i] < 0)
            return wk_bad_call(call, WK_INVALID,
                               "stride %lld, dilation %lld, padding %lld: expected at least 1, 1 and 0",
                               (long long)opts->stride[i], (long long)opts->dilation[i], (long long)opts->padding[i]);
        if (opts->pad == WK_CONV_SAME && opts->stride[i] != 1)
            return wk_bad_call(call, WK_INVALID, "stride %lld, but padding \"same\" needs stride 1",
                               (long long)opts->stride[i]);
        /* The plans of libraries are found by these, 20 bits each; and no product of sizes below overflows. */
        enum { MOST = (1 << 20) - 1 };
        if (opts->stride[i] > MOST || opts->dilation[i] > MOST || opts->padding[i] > MOST || opts->groups > MOST)
            return wk_bad_call(call, WK_INVALID,
                               "stride %lld, dilation %lld, padding %lld, groups %lld: expected at most %d",
                               (long long)opts->stride[i], (long long)opts->dilation[i], (long long)opts->padding[i],
                               (long long)opts->groups, MOST);
    }
    if (opts->groups < 1)
        return wk_bad_call(call, WK_INVALID, "groups %lld, expected at least 1", (long long)opts->groups);
    return WK_OK;
}

static wk_status check_operands(const wk_call *call, const wk_conv_opts *opts, int axes) {
    const wk_tensor *x = call->in[0], *weight = call->in[1], *bias = call->in[2];
    char one[160], other[160];
    if (x->rank != axes + 2 || weight->rank != axes + 2)
        return wk_bad_call(call, WK_SHAPE, "x %s, weight %s: expected x (N, C, %s) and weight (K, C/groups, %s)",
                           wk_describe(x, one, sizeof one), wk_describe(weight, other, sizeof other),
                           axes == 2 ? "H, W" : "D, H, W", axes == 2 ? "R, S" : "T, R, S");
    int64_t channels = weight->shape[1] * opts->groups;
    if (x->shape[1] != channels || weight->shape[0] % opts->groups != 0)
        return wk_bad_call(call, WK_SHAPE, "x %s has %lld channels, weight %s in %lld group%s takes %lld",
                           wk_describe(x, one, sizeof one), (long long)x->shape[1],
                           wk_describe(weight, other, sizeof other), (long long)opts->groups,
                           opts->groups == 1 ? "" : "s", (long long)channels);
    if (bias && (bias->rank != 1 || bias->shape[0] != weight->shape[0]))
        return wk_bad_call(call, WK_SHAPE, "bias has shape %s, expected (%lld)", wk_describe(bias, one, sizeof one),
                           (long long)weight->shape[0]);
    return WK_OK;
}

static wk_op_def conv2d_row, conv2d_backward_input_row, conv2d_backward_weight_row;
static wk_op_def conv3d_row, conv3d_backward_input_row, conv3d_backward_weight_row;

static wk_status conv_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0], *weight = call->in[1];
    const wk_conv_opts opts = with_defaults(*(const wk_conv_opts *)call->attrs);
    int axes = call->op == &conv3d_row ? 3 : 2;
    char one[160], other[160];
    WK_TRY(check_opts(call, &opts, axes));
    WK_TRY(check_operands(call, &opts, axes));
    int64_t shape[5] = { x->shape[0], weight->shape[0] }, before[3];
    wk__conv_padding(&opts, axes, &weight->shape[2], before);
    for (int i = 0; i < axes; i++) {
        int64_t reach = opts.dilation[i] * (weight->shape[2 + i] - 1) + 1,
                room = opts.pad == WK_CONV_SAME ? x->shape[2 + i] - 1 : x->shape[2 + i] + 2 * before[i] - reach;
        if (room < 0 || weight->shape[2 + i] < 1)
            return wk_bad_call(call, WK_SHAPE,
                               "the kernel of weight %s reaches over %lld, x %s offers %lld with padding",
                               wk_describe(weight, other, sizeof other), (long long)reach,
                               wk_describe(x, one, sizeof one), (long long)(x->shape[2 + i] + 2 * before[i]));
        shape[2 + i] = room / opts.stride[i] + 1;
    }
    out[0] = wk__channels_last((wk_dtype)x->dtype, x->rank, shape);
    return WK_OK;
}

static wk_status backward_input_shape(const wk_call *call, wk_desc out[]) {
    const wk_conv_grad_attrs *attrs = call->attrs;
    out[0] = wk__channels_last((wk_dtype)call->in[0]->dtype, attrs->dims.rank, attrs->dims.size);
    return WK_OK;
}

static wk_status backward_weight_shape(const wk_call *call, wk_desc out[]) {
    const wk_conv_grad_attrs *attrs = call->attrs;
    wk_dtype dtype = (wk_dtype)call->in[0]->dtype;
    out[0] = wk_desc_row_major(dtype, attrs->dims.rank, attrs->dims.size);
    out[1] = wk_desc_row_major(dtype, 1, attrs->dims.size);
    return WK_OK;
}

/* ---- gradients: the three convolutions are each other's ---- */

wk_tensor *wk__conv_backward_input(wk_tensor *dy, wk_tensor *weight, const wk_conv_opts *conv, wk_dims dims) {
    wk_conv_grad_attrs attrs = { .conv = *conv, .dims = dims };
    attrs.conv.activation = WK_ACTIVATION_NONE;
    return wk_op_run2(dims.rank == 5 ? &conv3d_backward_input_row : &conv2d_backward_input_row, &attrs, dy, weight);
}

static wk_status backward_weight(wk_tensor *x, wk_tensor *dy, const wk_conv_opts *conv, const wk_tensor *weight,
                                 wk_tensor *const *sinks, wk_tensor *out[2]) {
    wk_conv_grad_attrs attrs = { .conv = *conv, .dims = wk__dims(weight) };
    attrs.conv.activation = WK_ACTIVATION_NONE;
    const wk_op_def *row = weight->rank == 5 ? &conv3d_backward_weight_row : &conv2d_backward_weight_row;
    return wk_op_run_into(row, (wk_tensor *[]){ x, dy }, 2, out, &attrs, sinks);
}

static wk_tensor *forward(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, const wk_conv_opts *conv) {
    return wk_op_run3(x->rank == 5 ? &conv3d_row : &conv2d_row, conv, x, weight, bias);
}

static wk_status conv_grad(wk_grad *g) {
    const wk_conv_opts *opts = g->attrs;
    wk_tensor *d = g->dout[0], *out[2];
    if (opts->activation == WK_ACTIVATION_RELU) d = wk__relu_backward(d, g->out[0]);
    if (g->needs[1] || g->needs[2]) {
        WK_TRY(backward_weight(g->in[0], d, opts, g->in[1], &g->sink[1], out));
        g->din[1] = out[0];
        g->din[2] = out[1];
    }
    if (g->needs[0]) g->din[0] = wk__conv_backward_input(d, g->in[1], opts, wk__dims(g->in[0]));
    return WK_OK;
}

/* dx is bilinear in dy and the weight. */
static wk_status backward_input_grad(wk_grad *g) {
    const wk_conv_opts *conv = &((const wk_conv_grad_attrs *)g->attrs)->conv;
    wk_tensor *d = g->dout[0], *out[2];
    if (g->needs[0]) g->din[0] = forward(d, g->in[1], NULL, conv);
    if (g->needs[1]) {
        WK_TRY(backward_weight(d, g->in[0], conv, g->in[1], NULL, out));
        g->din[1] = out[0];
    }
    return WK_OK;
}

/* dweight is bilinear in x and dy; dbias sums dy. */
static wk_status backward_weight_grad(wk_grad *g) {
    const wk_conv_opts *conv = &((const wk_conv_grad_attrs *)g->attrs)->conv;
    wk_tensor *dw = g->dout[0], *db = g->dout[1];
    if (g->needs[0] && dw) g->din[0] = wk__conv_backward_input(g->in[1], dw, conv, wk__dims(g->in[0]));
    if (!g->needs[1]) return WK_OK;
    if (dw) {
        g->din[1] = forward(g->in[0], dw, db, conv);
    } else if (db) {
        wk_dims one = { .rank = g->in[1]->rank, .size = { 1, -1, 1, 1, 1 } };
        g->din[1] = wk_expand(wk_reshape(db, one), wk__dims(g->in[1]));
    }
    return WK_OK;
}

/* ---- cost and samples ---- */

static wk_cost taps_cost(const wk_call *call, const wk_tensor *y, const wk_tensor *weight) {
    double taps = 2 * (double)y->count;
    for (int axis = 1; axis < weight->rank; axis++) taps *= (double)weight->shape[axis];
    return (wk_cost){ taps, wk__operand_bytes(call) };
}
static wk_cost conv_cost(const wk_call *call) {
    return taps_cost(call, call->out[0], call->in[1]);
}
static wk_cost backward_input_cost(const wk_call *call) {
    return taps_cost(call, call->in[0], call->in[1]);
}
static wk_cost backward_weight_cost(const wk_call *call) {
    return taps_cost(call, call->in[1], call->out[0]);
}

static const wk_conv_opts plain = { 0 }, relu = { .activation = WK_ACTIVATION_RELU },
                          strided = { .stride = { 2, 1 }, .padding = { 1, 2 } },
                          depthwise = { .groups = 3, .pad = WK_CONV_VALID, .padding = { 1, 1 } },
                          dilated = { .dilation = { 2, 2 }, .padding = { 2, 1 } },
                          grouped = { .groups = 2, .padding = { 1, 1 } },
                          same = { .pad = WK_CONV_SAME, .dilation = { 1, 3 } };

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
    WK_CASE(s, "same", &same, { .dims = WK_DIMS(1, 2, 4, 5) }, { .dims = WK_DIMS(3, 2, 2, 2) },
            { .kind = WK_SAMPLE_ABSENT });
    WK_CASE(s, "depthwise", &depthwise, { .dims = WK_DIMS(1, 3, 4, 5) }, { .dims = WK_DIMS(6, 1, 2, 3) },
            { .dims = WK_DIMS(6) });
    WK_CASE(s, "empty", &plain, { .dims = WK_DIMS(0, 2, 5, 5) }, { .dims = WK_DIMS(3, 2, 3, 3) },
            { .dims = WK_DIMS(3) });
    WK_CASE(s, "large", &relu, { .dims = WK_DIMS(4, 32, 26, 26) },
            { .dims = WK_DIMS(64, 32, 3, 3), .low = -0.1, .high = 0.1 }, { .dims = WK_DIMS(64) });
}
static void conv2d_backward_input_samples(wk_sampler *s) {
    const wk_conv_grad_attrs small = { plain, WK_DIMS(2, 3, 6, 5) }, wide = { strided, WK_DIMS(2, 3, 7, 6) },
                             groups = { grouped, WK_DIMS(2, 4, 5, 5) };
    WK_CASE(s, "small", &small, { .dims = WK_DIMS(2, 4, 4, 3) }, { .dims = WK_DIMS(4, 3, 3, 3) });
    WK_CASE(s, "stride", &wide, { .dims = WK_DIMS(2, 4, 4, 9), .strided = true }, { .dims = WK_DIMS(4, 3, 3, 2) });
    WK_CASE(s, "groups", &groups, { .dims = WK_DIMS(2, 6, 5, 5) }, { .dims = WK_DIMS(6, 2, 3, 3) });
}
static void conv2d_backward_weight_samples(wk_sampler *s) {
    const wk_conv_grad_attrs small = { plain, WK_DIMS(4, 3, 3, 3) }, wide = { strided, WK_DIMS(4, 3, 3, 2) },
                             groups = { grouped, WK_DIMS(6, 2, 3, 3) };
    WK_CASE(s, "small", &small, { .dims = WK_DIMS(2, 3, 6, 5) }, { .dims = WK_DIMS(2, 4, 4, 3) });
    WK_CASE(s, "stride", &wide, { .dims = WK_DIMS(2, 3, 7, 6) }, { .dims = WK_DIMS(2, 4, 4, 9), .strided = true });
    WK_CASE(s, "groups", &groups, { .dims = WK_DIMS(2, 4, 5, 5) }, { .dims = WK_DIMS(2, 6, 5, 5) });
}

static const wk_conv_opts deep = { .stride = { 2, 1, 2 }, .padding = { 1, 0, 2 } },
                          deep_dilated = { .dilation = { 1, 2, 1 }, .padding = { 0, 1, 1 }, .groups = 2 };
static void conv3d_samples(wk_sampler *s) {
    WK_CASE(s, "small", &plain, { .dims = WK_DIMS(2, 2, 3, 4, 3) }, { .dims = WK_DIMS(3, 2, 2, 2, 2) },
            { .dims = WK_DIMS(3) });
    WK_CASE(s, "stride", &deep, { .dims = WK_DIMS(1, 2, 4, 3, 4), .strided = true }, { .dims = WK_DIMS(2, 2, 3, 2, 2) },
            { .kind = WK_SAMPLE_ABSENT });
    WK_CASE(s, "groups", &deep_dilated, { .dims = WK_DIMS(1, 4, 2, 4, 3) }, { .dims = WK_DIMS(2, 2, 2, 2, 2) },
            { .dims = WK_DIMS(2) });
    WK_CASE(s, "same", &same, { .dims = WK_DIMS(1, 1, 3, 4, 2) }, { .dims = WK_DIMS(2, 1, 2, 2, 3) },
            { .dims = WK_DIMS(2) });
    WK_CASE(s, "empty", &plain, { .dims = WK_DIMS(0, 2, 3, 3, 3) }, { .dims = WK_DIMS(3, 2, 2, 2, 2) },
            { .dims = WK_DIMS(3) });
    WK_CASE(s, "large", &relu, { .dims = WK_DIMS(2, 16, 8, 14, 14) },
            { .dims = WK_DIMS(32, 16, 3, 3, 3), .low = -0.1, .high = 0.1 }, { .dims = WK_DIMS(32) });
}
static void conv3d_backward_input_samples(wk_sampler *s) {
    const wk_conv_grad_attrs wide = { deep, WK_DIMS(1, 2, 4, 3, 4) };
    WK_CASE(s, "stride", &wide, { .dims = WK_DIMS(1, 2, 2, 2, 4), .strided = true },
            { .dims = WK_DIMS(2, 2, 3, 2, 2) });
}
static void conv3d_backward_weight_samples(wk_sampler *s) {
    const wk_conv_grad_attrs wide = { deep, WK_DIMS(2, 2, 3, 2, 2) };
    WK_CASE(s, "stride", &wide, { .dims = WK_DIMS(1, 2, 4, 3, 4) },
            { .dims = WK_DIMS(1, 2, 2, 2, 4), .strided = true });
}

/* ---- rows ---- */

#define CONV_ATTRS(base, axes)                                                                                     \
    { "stride", WK_ATTR_INTS, base + offsetof(wk_conv_opts, stride), axes, NULL, 0, "0 means 1" },                 \
        { "padding", WK_ATTR_INTS, base + offsetof(wk_conv_opts, padding), axes, NULL, 0, "zeros on each side" },  \
        { "dilation", WK_ATTR_INTS, base + offsetof(wk_conv_opts, dilation), axes, NULL, 0, "0 means 1" },         \
        { "groups", WK_ATTR_INT, base + offsetof(wk_conv_opts, groups), 0, NULL, 0, "0 means 1" }, {               \
        "pad", WK_ATTR_ENUM, base + offsetof(wk_conv_opts, pad), 0, "padding|valid|same", 0, "instead of a number" \
    }
#define BY_THREADS                                                                                                \
    "sums over the batch (of the weight's gradient) and over channels (Winograd; without AVX-512 of the input's " \
    "gradient) are split between them"
#define ROWS(id, axes)                                                                                     \
    static const wk_attr_def id##_attrs[] = {                                                              \
        CONV_ATTRS(0, axes),                                                                               \
        { "activation", WK_ATTR_ENUM, offsetof(wk_conv_opts, activation), 0, "none|relu", 0, "fused" },    \
    };                                                                                                     \
    static const wk_attr_def id##_grad_attrs[] = {                                                         \
        CONV_ATTRS(offsetof(wk_conv_grad_attrs, conv), axes),                                              \
        { "dims", WK_ATTR_DIMS, offsetof(wk_conv_grad_attrs, dims), 0, NULL, 0, "shape of the gradient" }, \
    };                                                                                                     \
    static wk_op_def id##_row = {                                                                          \
        .name = #id,                                                                                       \
        .doc = "activation(cross-correlation + bias), channels last",                                      \
        .n_in = 3,                                                                                         \
        .n_out = 1,                                                                                        \
        .optional_in = 4,                                                                                  \
        .saves_in = 3,                                                                                     \
        .saves_out = 1,                                                                                    \
        .attrs = id##_attrs,                                                                               \
        .n_attrs = 6,                                                                                      \
        .attrs_size = sizeof(wk_conv_opts),                                                                \
        .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS }, .same = 7, .autocast = WK_CAST_LOW },   \
        .shape = conv_shape,                                                                               \
        .grad = conv_grad,                                                                                 \
        .cost = conv_cost,                                                                                 \
        .thread_dependent = BY_THREADS,                                                                    \
        .samples = id##_samples                                                                            \
    };                                                                                                     \
    GRADIENT(id, backward_input, "gradient of " #id " for x", 1)                                           \
    GRADIENT(id, backward_weight, "gradient of " #id " for weight and bias", 2)                            \
    wk_tensor *wk_##id(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_conv_opts opts) {              \
        const wk_conv_opts full = with_defaults(opts);                                                     \
        return wk_op_run3(&id##_row, &full, x, weight, bias);                                              \
    }
#define GRADIENT(id, part, text, outputs)                                                               \
    static wk_op_def id##_##part##_row = { .name = #id "_" #part,                                       \
                                           .internal = true,                                            \
                                           .doc = text,                                                 \
                                           .n_in = 2,                                                   \
                                           .n_out = outputs,                                            \
                                           .saves_in = 3,                                               \
                                           .attrs = id##_grad_attrs,                                    \
                                           .n_attrs = 6,                                                \
                                           .attrs_size = sizeof(wk_conv_grad_attrs),                    \
                                           .zero_sized_runs = true,                                     \
                                           .dtype = { .allowed = { WK_FLOATS, WK_FLOATS }, .same = 3 }, \
                                           .shape = part##_shape,                                       \
                                           .grad = part##_grad,                                         \
                                           .cost = part##_cost,                                         \
                                           .thread_dependent = BY_THREADS,                              \
                                           .samples = id##_##part##_samples };
ROWS(conv2d, 2)
ROWS(conv3d, 3)

wk_op_def *const wk__rows_conv[] = { &conv2d_row, &conv2d_backward_input_row, &conv2d_backward_weight_row,
                                     &conv3d_row, &conv3d_backward_input_row, &conv3d_backward_weight_row,
                                     NULL };
