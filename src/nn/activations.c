/* activations.c: activations as modules.  All but PReLU and ReLU are a class, a call and, where there are some,
 * options. */
#define WK_NO_CALL_SITES
#include "tensor/tensor.h"
#include "wick/nn.h"

/* ReLU may be joined with the layer before it. */
static wk_tensor *relu_forward(wk_module *self, wk_tensor *x) {
    (void)self;
    return wk_relu(x);
}
static const wk_module_class relu_class = {
    .name = "ReLU", .size = sizeof(wk_module), .forward = relu_forward, .activation = WK_ACTIVATION_RELU
};
wk_module *wk_nn_relu(void) {
    return wk_failed() ? NULL : wk_module_create(&relu_class);
}

#define PLAIN(id, title)                                                                                             \
    static wk_tensor *id##_forward(wk_module *self, wk_tensor *x) {                                                  \
        (void)self;                                                                                                  \
        return wk_##id(x);                                                                                           \
    }                                                                                                                \
    static const wk_module_class id##_class = { .name = title, .size = sizeof(wk_module), .forward = id##_forward }; \
    wk_module *wk_nn_##id(void) {                                                                                    \
        return wk_failed() ? NULL : wk_module_create(&id##_class);                                                   \
    }
PLAIN(relu6, "ReLU6")
PLAIN(gelu, "GELU")
PLAIN(gelu_tanh, "GELU")
PLAIN(silu, "SiLU")
PLAIN(mish, "Mish")
PLAIN(sigmoid, "Sigmoid")
PLAIN(logsigmoid, "LogSigmoid")
PLAIN(tanh, "Tanh")
PLAIN(tanhshrink, "Tanhshrink")
PLAIN(softsign, "Softsign")
PLAIN(selu, "SELU")
PLAIN(hardsigmoid, "Hardsigmoid")
PLAIN(hardswish, "Hardswish")

#define WITH_OPTIONS(id, title, opts_type)                                                                             \
    typedef struct id##_module {                                                                                       \
        wk_module base;                                                                                                \
        opts_type opts;                                                                                                \
    } id##_module;                                                                                                     \
    static wk_tensor *id##_forward(wk_module *self, wk_tensor *x) {                                                    \
        return wk_##id(x, ((const id##_module *)self)->opts);                                                          \
    }                                                                                                                  \
    static const wk_module_class id##_class = { .name = title, .size = sizeof(id##_module), .forward = id##_forward }; \
    wk_module *wk_nn_##id(opts_type opts) {                                                                            \
        id##_module *m = wk_failed() ? NULL : (id##_module *)wk_module_create(&id##_class);                            \
        if (m) m->opts = opts;                                                                                         \
        return m ? &m->base : NULL;                                                                                    \
    }
WITH_OPTIONS(leaky_relu, "LeakyReLU", wk_leaky_relu_opts)
WITH_OPTIONS(elu, "ELU", wk_elu_opts)
WITH_OPTIONS(celu, "CELU", wk_elu_opts)
WITH_OPTIONS(hardtanh, "Hardtanh", wk_hardtanh_opts)
WITH_OPTIONS(hardshrink, "Hardshrink", wk_shrink_opts)
WITH_OPTIONS(softshrink, "Softshrink", wk_shrink_opts)
WITH_OPTIONS(threshold, "Threshold", wk_threshold_opts)
WITH_OPTIONS(softplus, "Softplus", wk_softplus_opts)
WITH_OPTIONS(glu, "GLU", wk_glu_opts)
WITH_OPTIONS(softmax, "Softmax", wk_axis_opts)
WITH_OPTIONS(log_softmax, "LogSoftmax", wk_axis_opts)

typedef struct prelu {
    wk_module base;
    wk_tensor *weight;
} prelu;
static wk_tensor *prelu_forward(wk_module *self, wk_tensor *x) {
    return wk_prelu(x, ((const prelu *)self)->weight);
}
static void prelu_describe(const wk_module *self, char *buffer, size_t size) {
    (void)snprintf(buffer, size, "num_parameters=%lld", (long long)wk_count(((const prelu *)self)->weight));
}
static const wk_module_class prelu_class = {
    .name = "PReLU", .size = sizeof(prelu), .forward = prelu_forward, .describe = prelu_describe
};
wk_module *wk_nn_prelu(wk_nn_prelu_opts opts) {
    if (wk_failed()) return NULL;
    if (opts.parameters < 0)
        return wk_fail_null(WK_INVALID, "PReLU: %lld parameters, expected at least 1", (long long)opts.parameters);
    prelu *m = (prelu *)wk_module_create(&prelu_class);
    if (!m) return NULL;
    wk_tensor *weight = wk_kept_zeros(WK_F32, WK_DIMS(opts.parameters ? opts.parameters : 1));
    m->weight =
        wk_module_add_parameter(&m->base, "weight", wk_init_constant(weight, wk_optional_or(opts.initial, 0.25)));
    if (m->weight) return &m->base;
    wk_module_destroy(&m->base);
    return NULL;
}
