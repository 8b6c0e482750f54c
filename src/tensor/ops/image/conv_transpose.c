/* conv_transpose.c: transposed convolutions, and convolution along one axis.
 *
 * A transposed convolution is the gradient that a convolution has for its input, with the result's size as an
 * attribute; one axis is two axes of which one has a single element.  So no kernel is needed beyond those of conv.c.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/ops/image/image.h"
#include "tensor/registry.h"

/* The option of the last of two axes in the place of the first: numbers of an image without height. */
static void lift(int64_t option[3], int64_t first) {
    option[1] = option[0], option[0] = first;
}

static wk_tensor *along_channels(wk_tensor *bias, int rank) {
    wk_dims dims = { .rank = rank, .size = { 1, -1, 1, 1, 1 } };
    return wk_reshape(bias, dims);
}

/* ---- one axis ---- */

static wk_status conv1d_parts(const wk_call *call, wk_tensor *out[]) {
    wk_conv_opts opts = *(const wk_conv_opts *)call->attrs;
    wk_tensor *x = call->in[0], *weight = call->in[1];
    char one[160], other[160];
    if (x->rank != 3 || weight->rank != 3)
        return wk_bad_call(call, WK_SHAPE, "x %s, weight %s: expected x (N, C, L) and weight (K, C/groups, R)",
                           wk_describe(x, one, sizeof one), wk_describe(weight, other, sizeof other));
    lift(opts.stride, 1), lift(opts.padding, 0), lift(opts.dilation, 1);
    out[0] = wk_squeeze(wk_conv2d(wk_unsqueeze(x, 2), wk_unsqueeze(weight, 2), call->in[2], opts),
                        (wk_squeeze_opts){ WK_DIMS(2) });
    return WK_OK;
}

static void conv1d_samples(wk_sampler *s) {
    const wk_conv_opts plain = { 0 }, strided = { .stride = { 2 }, .padding = { 2 }, .dilation = { 2 } },
                       grouped = { .groups = 2, .pad = WK_CONV_SAME };
    WK_CASE(s, "small", &plain, { .dims = WK_DIMS(2, 3, 7) }, { .dims = WK_DIMS(4, 3, 3) }, { .dims = WK_DIMS(4) });
    WK_CASE(s, "stride", &strided, { .dims = WK_DIMS(2, 2, 9), .strided = true }, { .dims = WK_DIMS(3, 2, 3) },
            { .kind = WK_SAMPLE_ABSENT });
    WK_CASE(s, "groups", &grouped, { .dims = WK_DIMS(1, 4, 5) }, { .dims = WK_DIMS(2, 2, 2) }, { .dims = WK_DIMS(2) });
    WK_CASE(s, "empty", &plain, { .dims = WK_DIMS(0, 2, 5) }, { .dims = WK_DIMS(3, 2, 3) }, { .dims = WK_DIMS(3) });
    WK_CASE(s, "large", &plain, { .dims = WK_DIMS(4, 32, 200) },
            { .dims = WK_DIMS(48, 32, 5), .low = -0.2, .high = 0.2 }, { .dims = WK_DIMS(48) });
}
static const wk_attr_def conv1d_attrs[] = {
    { "stride", WK_ATTR_INTS, offsetof(wk_conv_opts, stride), 1, NULL, 0, "0 means 1" },
    { "padding", WK_ATTR_INTS, offsetof(wk_conv_opts, padding), 1, NULL, 0, "zeros on each side" },
    { "dilation", WK_ATTR_INTS, offsetof(wk_conv_opts, dilation), 1, NULL, 0, "0 means 1" },
    { "groups", WK_ATTR_INT, offsetof(wk_conv_opts, groups), 0, NULL, 0, "0 means 1" },
    { "pad", WK_ATTR_ENUM, offsetof(wk_conv_opts, pad), 0, "padding|valid|same", 0, "instead of a number" },
    { "activation", WK_ATTR_ENUM, offsetof(wk_conv_opts, activation), 0, "none|relu", 0, "fused" },
};

/* ---- transposed ---- */

static wk_status check_transpose(const wk_call *call, const wk_conv_transpose_opts *opts, int axes) {
    const wk_tensor *x = call->in[0], *weight = call->in[1], *bias = call->in[2];
    char one[160], other[160];
    if (x->rank != axes + 2 || weight->rank != axes + 2 || x->shape[1] != weight->shape[0])
        return wk_bad_call(call, WK_SHAPE,
                           "x %s, weight %s: expected x (N, C, …) and weight (C, K/groups, …) of rank %d",
                           wk_describe(x, one, sizeof one), wk_describe(weight, other, sizeof other), axes + 2);
    if (opts->groups < 1 || x->shape[1] % opts->groups != 0)
        return wk_bad_call(call, WK_INVALID, "%lld groups do not divide the %lld channels of x",
                           (long long)opts->groups, (long long)x->shape[1]);
    enum { MOST = (1 << 20) - 1 }; /* as with conv2d: no product of sizes below overflows */
    for (int i = 0; i < axes; i++)
        if (opts->stride[i] < 0 || opts->stride[i] > MOST || opts->dilation[i] < 0 || opts->dilation[i] > MOST
            || opts->padding[i] < 0 || opts->padding[i] > MOST || opts->output_padding[i] < 0
            || opts->output_padding[i] > MOST || opts->groups > MOST)
            return wk_bad_call(
                call, WK_INVALID,
                "stride %lld, dilation %lld, padding %lld, output padding %lld, groups %lld: expected 0 to %d",
                (long long)opts->stride[i], (long long)opts->dilation[i], (long long)opts->padding[i],
                (long long)opts->output_padding[i], (long long)opts->groups, MOST);
    if (bias && (bias->rank != 1 || bias->shape[0] != weight->shape[1] * opts->groups))
        return wk_bad_call(call, WK_SHAPE, "bias has shape %s, expected (%lld)", wk_describe(bias, one, sizeof one),
                           (long long)(weight->shape[1] * opts->groups));
    for (int i = 0; i < axes; i++) {
        int64_t stride = opts->stride[i], dilation = opts->dilation[i], more = opts->output_padding[i];
        if (stride < 1 || dilation < 1 || opts->padding[i] < 0 || more < 0 || (more >= stride && more >= dilation))
            return wk_bad_call(call, WK_INVALID,
                               "stride %lld, dilation %lld, padding %lld, output_padding %lld: expected at least 1, 1, "
                               "0, and 0 to less than stride or dilation",
                               (long long)stride, (long long)dilation, (long long)opts->padding[i], (long long)more);
    }
    return WK_OK;
}

/* The sizes of the result; false where one of them is negative. */
static bool transposed_dims(wk_dims *dims, const wk_tensor *x, const wk_tensor *weight,
                            const wk_conv_transpose_opts *opts) {
    *dims = (wk_dims){ .rank = x->rank, .size = { x->shape[0], weight->shape[1] * opts->groups } };
    for (int i = 0; i + 2 < x->rank; i++) {
        int64_t reach = opts->dilation[i] * (weight->shape[2 + i] - 1) + 1;
        dims->size[2 + i] =
            (x->shape[2 + i] - 1) * opts->stride[i] - 2 * opts->padding[i] + reach + opts->output_padding[i];
        if (x->shape[2 + i] < 1 || weight->shape[2 + i] < 1 || dims->size[2 + i] < 1) return false;
    }
    return true;
}

/* A padding of the output that reaches over the stride is not one that the convolution's size rule rounds away: there
 * the full result is made, and cut and padded as said. */
static wk_tensor *cut_to_size(wk_tensor *x, wk_tensor *weight, wk_conv_transpose_opts opts, const wk_conv_opts *conv) {
    wk_conv_opts whole = *conv;
    wk_dims dims, before = { .rank = x->rank - 2 }, after = before;
    for (int i = 0; i + 2 < x->rank; i++) {
        before.size[i] = -opts.padding[i];
        after.size[i] = opts.output_padding[i] - opts.padding[i];
        whole.padding[i] = opts.padding[i] = opts.output_padding[i] = 0;
    }
    (void)transposed_dims(&dims, x, weight, &opts);
    return wk_pad(wk__conv_backward_input(x, weight, &whole, dims), (wk_pad_opts){ .before = before, .after = after });
}

static wk_conv_transpose_opts with_defaults(wk_conv_transpose_opts opts) {
    for (int i = 0; i < 3; i++) {
        if (opts.stride[i] == 0) opts.stride[i] = 1;
        if (opts.dilation[i] == 0) opts.dilation[i] = 1;
    }
    if (opts.groups == 0) opts.groups = 1;
    return opts;
}

static wk_status transpose_parts(const wk_call *call, wk_tensor *out[], int axes) {
    wk_conv_transpose_opts opts = with_defaults(*(const wk_conv_transpose_opts *)call->attrs);
    wk_tensor *x = call->in[0], *weight = call->in[1];
    WK_TRY(check_transpose(call, &opts, axes));
    wk_dims dims;
    char one[160], other[160];
    if (!transposed_dims(&dims, x, weight, &opts))
        return wk_bad_call(call, WK_SHAPE, "x %s, weight %s: nothing is left of the result",
                           wk_describe(x, one, sizeof one), wk_describe(weight, other, sizeof other));
    if (axes == 1) {
        lift(opts.stride, 1), lift(opts.padding, 0), lift(opts.dilation, 1), lift(opts.output_padding, 0);
        x = wk_unsqueeze(x, 2), weight = wk_unsqueeze(weight, 2);
        if (!weight) return wk_error_code();
        (void)transposed_dims(&dims, x, weight, &opts);
    }
    wk_conv_opts conv = { .groups = opts.groups };
    bool cut = false;
    for (int i = 0; i < 3; i++) {
        conv.stride[i] = opts.stride[i], conv.padding[i] = opts.padding[i], conv.dilation[i] = opts.dilation[i];
        cut = cut || opts.output_padding[i] >= opts.stride[i];
    }
    wk_tensor *y = cut ? cut_to_size(x, weight, opts, &conv) : wk__conv_backward_input(x, weight, &conv, dims);
    if (axes == 1) y = wk_squeeze(y, (wk_squeeze_opts){ WK_DIMS(2) });
    out[0] = y && call->in[2] ? wk_add(y, along_channels(call->in[2], y->rank)) : y;
    return WK_OK;
}

static void conv_transpose1d_samples(wk_sampler *s) {
    const wk_conv_transpose_opts plain = { 0 },
                                 strided = { .stride = { 3 }, .padding = { 1 }, .output_padding = { 2 } };
    WK_CASE(s, "small", &plain, { .dims = WK_DIMS(2, 3, 5) }, { .dims = WK_DIMS(3, 2, 3) }, { .dims = WK_DIMS(2) });
    WK_CASE(s, "stride", &strided, { .dims = WK_DIMS(2, 2, 4), .strided = true }, { .dims = WK_DIMS(2, 3, 3) },
            { .kind = WK_SAMPLE_ABSENT });
    WK_CASE(s, "large", &strided, { .dims = WK_DIMS(4, 32, 100) },
            { .dims = WK_DIMS(32, 24, 5), .low = -0.2, .high = 0.2 }, { .dims = WK_DIMS(24) });
}
static void conv_transpose2d_samples(wk_sampler *s) {
    const wk_conv_transpose_opts plain = { 0 },
                                 strided = { .stride = { 2, 3 }, .padding = { 1, 2 }, .output_padding = { 1, 0 } },
                                 grouped = { .groups = 2, .dilation = { 1, 2 }, .padding = { 0, 1 } },
                                 wide = { .dilation = { 3, 1 }, .padding = { 1, 0 }, .output_padding = { 2, 0 } };
    WK_CASE(s, "small", &plain, { .dims = WK_DIMS(2, 2, 3, 4) }, { .dims = WK_DIMS(2, 3, 2, 2) },
            { .dims = WK_DIMS(3) });
    WK_CASE(s, "stride", &strided, { .dims = WK_DIMS(1, 3, 3, 4), .strided = true }, { .dims = WK_DIMS(3, 2, 3, 4) },
            { .kind = WK_SAMPLE_ABSENT });
    WK_CASE(s, "groups", &grouped, { .dims = WK_DIMS(1, 4, 3, 3) }, { .dims = WK_DIMS(4, 2, 2, 3) },
            { .dims = WK_DIMS(4) });
    WK_CASE(s, "wide", &wide, { .dims = WK_DIMS(1, 2, 3, 3) }, { .dims = WK_DIMS(2, 2, 2, 2) }, { .dims = WK_DIMS(2) });
    WK_CASE(s, "large", &strided, { .dims = WK_DIMS(2, 32, 20, 20) },
            { .dims = WK_DIMS(32, 24, 4, 4), .low = -0.1, .high = 0.1 }, { .dims = WK_DIMS(24) });
}
static void conv_transpose3d_samples(wk_sampler *s) {
    const wk_conv_transpose_opts strided = { .stride = { 1, 2, 2 },
                                             .padding = { 0, 1, 1 },
                                             .output_padding = { 0, 1, 0 } };
    WK_CASE(s, "stride", &strided, { .dims = WK_DIMS(1, 2, 2, 3, 3) }, { .dims = WK_DIMS(2, 2, 2, 3, 3) },
            { .dims = WK_DIMS(2) });
    WK_CASE(s, "large", &strided, { .dims = WK_DIMS(1, 16, 6, 10, 10) },
            { .dims = WK_DIMS(16, 12, 3, 3, 3), .low = -0.1, .high = 0.1 }, { .kind = WK_SAMPLE_ABSENT });
}

#define TRANSPOSE(id, axes)                                                                                            \
    static wk_status id##_parts(const wk_call *call, wk_tensor *out[]) {                                               \
        return transpose_parts(call, out, axes);                                                                       \
    }                                                                                                                  \
    static const wk_attr_def id##_attrs[] = {                                                                          \
        { "stride", WK_ATTR_INTS, offsetof(wk_conv_transpose_opts, stride), axes, NULL, 0, "0 means 1" },              \
        { "padding", WK_ATTR_INTS, offsetof(wk_conv_transpose_opts, padding), axes, NULL, 0, "cut off on each side" }, \
        { "output_padding", WK_ATTR_INTS, offsetof(wk_conv_transpose_opts, output_padding), axes, NULL, 0,             \
          "more at the end" },                                                                                         \
        { "dilation", WK_ATTR_INTS, offsetof(wk_conv_transpose_opts, dilation), axes, NULL, 0, "0 means 1" },          \
        { "groups", WK_ATTR_INT, offsetof(wk_conv_transpose_opts, groups), 0, NULL, 0, "0 means 1" },                  \
    };
TRANSPOSE(conv_transpose1d, 1)
TRANSPOSE(conv_transpose2d, 2)
TRANSPOSE(conv_transpose3d, 3)

static wk_cost cost(const wk_call *call) {
    const wk_tensor *weight = call->in[1];
    double operations = 2 * (double)call->out[0]->count * (double)weight->count;
    return (wk_cost){ operations / (double)(weight->shape[0] ? weight->shape[0] : 1), wk__operand_bytes(call) };
}
#define COMPOSITE(id, text, count, type)                                                                 \
    static wk_op_def id##_row = {                                                                        \
        .name = #id,                                                                                     \
        .doc = text,                                                                                     \
        .n_in = 3,                                                                                       \
        .n_out = 1,                                                                                      \
        .optional_in = 4,                                                                                \
        .composite = true,                                                                               \
        .attrs = id##_attrs,                                                                             \
        .n_attrs = count,                                                                                \
        .attrs_size = sizeof(type),                                                                      \
        .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS }, .same = 7, .autocast = WK_CAST_LOW }, \
        .decompose = id##_parts,                                                                         \
        .cost = cost,                                                                                    \
        .thread_dependent = "it is made of conv2d or conv3d",                                            \
        .samples = id##_samples                                                                          \
    };                                                                                                   \
    wk_tensor *wk_##id(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, type opts) {                    \
        return wk_op_run3(&id##_row, &opts, x, weight, bias);                                            \
    }
COMPOSITE(conv1d, "activation(cross-correlation + bias) along one axis", 6, wk_conv_opts)
COMPOSITE(conv_transpose1d, "transposed convolution along one axis", 5, wk_conv_transpose_opts)
COMPOSITE(conv_transpose2d, "transposed convolution", 5, wk_conv_transpose_opts)
COMPOSITE(conv_transpose3d, "transposed convolution of volumes", 5, wk_conv_transpose_opts)

wk_op_def *const wk__rows_conv_transpose[] = { &conv1d_row, &conv_transpose1d_row, &conv_transpose2d_row,
                                               &conv_transpose3d_row, NULL };
