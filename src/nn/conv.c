/* conv.c: Conv1d to Conv3d and ConvTranspose1d to ConvTranspose3d: one struct, a class each. */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/tensor.h"
#include "nn/freeze.h"
#include "nn/nn.h"

#include <math.h>
#include <string.h>

typedef struct conv {
    wk_module base;
    wk_tensor *weight, *bias;
    wk_conv_opts opts;
    wk_conv_transpose_opts transpose;
    int padding_mode, axes;
} conv;

/* Padding of another kind than zeros is put around x first. */
static wk_tensor *padded(const conv *m, wk_tensor *x, wk_conv_opts *opts) {
    if (m->padding_mode == WK_PAD_CONSTANT || opts->pad == WK_CONV_VALID) return x;
    wk_pad_opts pad = { .mode = m->padding_mode, .before.rank = m->axes, .after.rank = m->axes };
    for (int i = 0; i < m->axes; i++) {
        int64_t dilation = opts->dilation[i] ? opts->dilation[i] : 1;
        int64_t total = opts->pad == WK_CONV_SAME ? dilation * (m->weight->shape[2 + i] - 1) : 2 * opts->padding[i];
        pad.before.size[i] = total / 2, pad.after.size[i] = total - total / 2;
        opts->padding[i] = 0;
    }
    opts->pad = WK_CONV_PADDING;
    return wk_pad(x, pad);
}

static wk_tensor *conv_activated(wk_module *self, wk_tensor *x, int activation) {
    const conv *m = (conv *)self;
    wk_conv_opts opts = m->opts;
    opts.activation = activation;
    x = padded(m, x, &opts);
    return m->axes == 1   ? wk_conv1d(x, m->weight, m->bias, opts)
           : m->axes == 2 ? wk_conv2d(x, m->weight, m->bias, opts)
                          : wk_conv3d(x, m->weight, m->bias, opts);
}
static wk_tensor *conv_forward(wk_module *self, wk_tensor *x) {
    return conv_activated(self, x, WK_ACTIVATION_NONE);
}
static wk_tensor *transpose_forward(wk_module *self, wk_tensor *x) {
    const conv *m = (conv *)self;
    return m->axes == 1   ? wk_conv_transpose1d(x, m->weight, m->bias, m->transpose)
           : m->axes == 2 ? wk_conv_transpose2d(x, m->weight, m->bias, m->transpose)
                          : wk_conv_transpose3d(x, m->weight, m->bias, m->transpose);
}

static wk_status conv_freeze(wk_module *self, const wk_freeze_opts *opts) {
    conv *m = (conv *)self;
    return wk__freeze_weights(self, &m->weight, &m->bias, opts);
}
static wk_status conv_fold(wk_module *self, wk_tensor *scale, wk_tensor *shift) {
    conv *m = (conv *)self;
    return wk__fold(self, &m->weight, &m->bias, 0, scale, shift);
}
/* Its weight is (in, out / groups, …): with groups a channel of the result has no axis of its own. */
static wk_status transpose_fold(wk_module *self, wk_tensor *scale, wk_tensor *shift) {
    conv *m = (conv *)self;
    if (m->transpose.groups > 1) return WK_UNSUPPORTED;
    return wk__fold(self, &m->weight, &m->bias, 1, scale, shift);
}

/* "3x3"; one number where `once` and all are equal. */
static const char *sizes_text(char text[80], const int64_t *sizes, int axes, bool once) {
    bool equal = once;
    for (int i = 1; i < axes; i++) equal = equal && sizes[i] == sizes[0];
    size_t used = 0;
    for (int i = 0; i < (equal ? 1 : axes); i++)
        used += (size_t)snprintf(text + used, 80 - used, "%s%lld", i ? "x" : "", (long long)sizes[i]);
    return text;
}
static void describe(const wk_module *self, char *buffer, size_t size, bool transposed) {
    static const char *const pads[] = { "", "valid", "same" };
    const conv *m = (const conv *)self;
    int64_t stride[3], groups = transposed ? m->transpose.groups : m->opts.groups;
    if (groups == 0) groups = 1;
    char kernel[80], by[80], padding[80];
    for (int i = 0; i < 3; i++) {
        stride[i] = transposed ? m->transpose.stride[i] : m->opts.stride[i];
        if (stride[i] == 0) stride[i] = 1;
    }
    int64_t in = m->weight->shape[transposed ? 0 : 1] * (transposed ? 1 : groups);
    int64_t out = m->weight->shape[transposed ? 1 : 0] * (transposed ? groups : 1);
    const char *pad = m->opts.pad
                          ? pads[m->opts.pad]
                          : sizes_text(padding, transposed ? m->transpose.padding : m->opts.padding, m->axes, true);
    (void)snprintf(buffer, size, "%lld, %lld, kernel=%s, stride=%s, padding=%s, bias=%s", (long long)in, (long long)out,
                   sizes_text(kernel, &m->weight->shape[2], m->axes, false), sizes_text(by, stride, m->axes, true), pad,
                   m->bias ? "true" : "false");
}
static void conv_describe(const wk_module *self, char *buffer, size_t size) {
    describe(self, buffer, size, false);
}
static void transpose_describe(const wk_module *self, char *buffer, size_t size) {
    describe(self, buffer, size, true);
}

/* ---- making them ---- */

static bool positive(const char *who, const char *what, int64_t value) {
    if (value > 0) return true;
    (void)wk_fail(WK_INVALID, "%s: %s is %lld, expected at least 1", who, what, (long long)value);
    return false;
}

/* A weight (rows, columns, kernel…) and a bias of `out`, as torch.nn's reset_parameters draws them. */
static wk_module *make(const wk_module_class *class_, int axes, int64_t in, int64_t out, int64_t kernel,
                       const int64_t *kernels, int64_t groups, bool transposed, bool bias) {
    if (groups == 0) groups = 1;
    const char *who = class_->name;
    if (wk_failed() || !positive(who, "in_channels", in) || !positive(who, "out_channels", out)
        || !positive(who, "groups", groups))
        return NULL;
    if (in % groups || out % groups)
        return wk_fail_null(WK_INVALID, "%s: %lld groups divide neither %lld nor %lld channels evenly", who,
                            (long long)groups, (long long)in, (long long)out);
    wk_dims dims = { .rank = axes + 2, .size = { transposed ? in : out, transposed ? out / groups : in / groups } };
    double fan_in = (double)dims.size[1];
    for (int i = 0; i < axes; i++) {
        int64_t size = kernels[i] ? kernels[i] : kernel;
        if (!positive(who, "kernel", size)) return NULL;
        dims.size[2 + i] = size, fan_in *= (double)size;
    }
    conv *m = (conv *)wk_module_create(class_);
    if (!m) return NULL;
    m->axes = axes;
    m->weight = wk_module_add_parameter(&m->base, "weight", wk_kept_zeros(WK_F32, dims));
    if (m->weight) (void)wk_init_kaiming_uniform(m->weight, (wk_kaiming_opts){ .slope = sqrt(5) });
    if (bias) {
        m->bias = wk_module_add_parameter(&m->base, "bias", wk_kept_zeros(WK_F32, WK_DIMS(out)));
        if (m->bias) (void)wk_init_uniform(m->bias, -1 / sqrt(fan_in), 1 / sqrt(fan_in));
    }
    if (!wk_failed()) return &m->base;
    wk_module_destroy(&m->base);
    return NULL;
}

#define CONV(id, title, count)                                                                                       \
    static const wk_module_class id##_class = { .name = title,                                                       \
                                                .size = sizeof(conv),                                                \
                                                .forward = conv_forward,                                             \
                                                .forward_activated = conv_activated,                                 \
                                                .describe = conv_describe,                                           \
                                                .freeze = conv_freeze,                                               \
                                                .fold = conv_fold };                                                 \
    wk_module *wk_nn_##id(int64_t in_channels, int64_t out_channels, int64_t kernel, wk_nn_conv_opts opts) {         \
        conv *m = (conv *)make(&id##_class, count, in_channels, out_channels, kernel, opts.kernel, opts.conv.groups, \
                               false, !opts.no_bias);                                                                \
        if (m) m->opts = opts.conv, m->padding_mode = opts.padding_mode;                                             \
        return m ? &m->base : NULL;                                                                                  \
    }
CONV(conv1d, "Conv1d", 1)
CONV(conv2d, "Conv2d", 2)
CONV(conv3d, "Conv3d", 3)

#define TRANSPOSE(id, title, count)                                                                                    \
    static const wk_module_class id##_class = { .name = title,                                                         \
                                                .size = sizeof(conv),                                                  \
                                                .forward = transpose_forward,                                          \
                                                .describe = transpose_describe,                                        \
                                                .freeze = conv_freeze,                                                 \
                                                .fold = transpose_fold };                                              \
    wk_module *wk_nn_##id(int64_t in_channels, int64_t out_channels, int64_t kernel, wk_nn_conv_transpose_opts opts) { \
        conv *m = (conv *)make(&id##_class, count, in_channels, out_channels, kernel, opts.kernel, opts.conv.groups,   \
                               true, !opts.no_bias);                                                                   \
        if (m) m->transpose = opts.conv;                                                                               \
        return m ? &m->base : NULL;                                                                                    \
    }
TRANSPOSE(conv_transpose1d, "ConvTranspose1d", 1)
TRANSPOSE(conv_transpose2d, "ConvTranspose2d", 2)
TRANSPOSE(conv_transpose3d, "ConvTranspose3d", 3)
