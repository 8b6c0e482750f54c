/* layers.c: layers with parameters: Linear, BatchNorm1d to 3d. */
#define WK_NO_CALL_SITES
#include "nn/freeze.h"
#include "nn/hooks.h"
#include "nn/linear.h"
#include "nn/nn.h"
#include "nn/parametrise.h"
#include "nn/support.h"

#include <math.h>

/* A kept f32 tensor, uniform in ± bound, drawn as PyTorch's initialisation draws it. */
static wk_tensor *uniform(wk_dims dims, double bound) {
    wk_tensor *tensor = wk_kept_zeros(WK_F32, dims);
    if (tensor) wk_random_uniform_f32(wk_default_generator(), tensor->data, tensor->count, -bound, bound);
    return tensor;
}

/* torch.nn.init.kaiming_uniform_ with a = sqrt(5), in its order of operations so that the last bit agrees. */
static double kaiming_bound(double fan_in) {
    double gain = sqrt(2.0 / (1 + sqrt(5.0) * sqrt(5.0)));
    return fan_in > 0 ? sqrt(3.0) * (gain / sqrt(fan_in)) : 0;
}
static double bias_bound(double fan_in) {
    return fan_in > 0 ? 1 / sqrt(fan_in) : 0;
}

static wk_module *finished(wk_module *module) {
    if (!wk_failed()) return module;
    wk_module_destroy(module);
    return NULL;
}

static bool positive(const char *who, const char *what, int64_t value) {
    if (value > 0) return true;
    (void)wk_fail(WK_INVALID, "%s: %s is %lld, expected at least 1", who, what, (long long)value);
    return false;
}

/* ---- Linear ---- */

typedef wk__linear linear;

static wk_tensor *linear_activated(wk_module *self, wk_tensor *x, int activation) {
    const linear *m = (linear *)self;
    if (m->folded && x->rank != 2)
        return wk__bad_input(self, x, "(N, in_features): the BatchNorm1d behind it was folded into it");
    if (!m->lora_a) return wk_linear(x, m->weight, m->bias, (wk_linear_opts){ .activation = activation });
    const wk_linear_opts plain = { .activation = WK_ACTIVATION_NONE };
    wk_tensor *low = wk_linear(wk_linear(x, m->lora_a, NULL, plain), m->lora_b, NULL, plain);
    wk_tensor *y = wk_add(wk_linear(x, m->weight, m->bias, plain), wk_scale(low, m->lora_scale));
    return activation == WK_ACTIVATION_RELU ? wk_relu(y) : y;
}
static wk_tensor *linear_forward(wk_module *self, wk_tensor *x) {
    return linear_activated(self, x, WK_ACTIVATION_NONE);
}
static void linear_describe(const wk_module *self, char *buffer, size_t size) {
    const linear *m = (const linear *)self;
    int used = snprintf(buffer, size, "in_features=%lld, out_features=%lld, bias=%s", (long long)wk_size(m->weight, 1),
                        (long long)wk_size(m->weight, 0), m->bias ? "true" : "false");
    if (m->lora_a && used > 0 && (size_t)used < size)
        (void)snprintf(buffer + used, size - (size_t)used, ", lora=%lld", (long long)wk_size(m->lora_a, 0));
}
static wk_status linear_freeze(wk_module *self, const wk_freeze_opts *opts) {
    linear *m = (linear *)self;
    if (m->lora_a && wk_lora_merge(self) == 0) return wk_error_code();
    return wk__freeze_weights(self, &m->weight, &m->bias, opts);
}
static wk_status linear_fold(wk_module *self, wk_tensor *scale, wk_tensor *shift) {
    linear *m = (linear *)self;
    WK_TRY(wk__fold(self, &m->weight, &m->bias, 0, scale, shift));
    m->folded = true;
    return WK_OK;
}
static const wk_module_class linear_class = { .name = "Linear",
                                              .size = sizeof(linear),
                                              .forward = linear_forward,
                                              .forward_activated = linear_activated,
                                              .describe = linear_describe,
                                              .freeze = linear_freeze,
                                              .fold = linear_fold };

wk__linear *wk__linear_of(wk_module *module) {
    return module->class_ == &linear_class ? (linear *)module : NULL;
}

wk_tensor *wk__linear_draw(wk_dims dims, double fan_in, bool is_bias) {
    return uniform(dims, is_bias ? bias_bound(fan_in) : kaiming_bound(fan_in));
}

/* ---- several that see the same x, as one ---- */

static bool may_join(wk_module *const *layers, int count) {
    const linear *first = (const linear *)layers[0];
    for (int i = 0; i < count; i++) {
        const linear *m = (const linear *)layers[i];
        if (layers[i]->class_ != &linear_class || *wk__module_hooks(layers[i]) || *wk__module_parametrised(layers[i]))
            return false;
        if (!m->weight || !m->bias || m->lora_a || m->weight->shape[1] != first->weight->shape[1]) return false;
    }
    return true;
}

/* The part of `joined` from row `from` on, in the place of the layer's own. */
static wk_status become_part(wk_module *layer, const char *name, wk_tensor **own, wk_tensor *joined, int64_t from) {
    if (wk_failed()) return WK_PENDING;
    wk_tensor *part = wk_keep(wk_slice(joined, 0, from, from + (*own)->shape[0], 1));
    if (!part || wk__module_put(layer, name, part) != WK_OK) {
        wk_release(part);
        return wk_error_code();
    }
    *own = part;
    return WK_OK;
}

wk_status wk__linear_join(wk_module *const *layers, int count, const wk_freeze_opts *opts, wk_tensor **weight,
                          wk_tensor **bias) {
    enum { MOST = 8 };
    wk_tensor *weights[MOST], *biases[MOST];
    if (*weight || count > MOST || !may_join(layers, count)) return WK_OK;
    for (int i = 0; i < count; i++) {
        const linear *m = (const linear *)layers[i];
        wk_dtype dtype = opts->dtype == WK_F32 ? (wk_dtype)m->weight->dtype : opts->dtype;
        weights[i] = wk_cast(m->weight, dtype), biases[i] = wk_cast(m->bias, dtype);
    }
    wk_tensor *w = wk_keep(wk_concat(weights, count, 0)), *b = wk_keep(wk_concat(biases, count, 0));
    if (!w || !b) {
        wk_release(w);
        wk_release(b);
        return wk_error_code();
    }
    if (!opts->no_packing) wk__storage_freeze(w->storage);
    int64_t from = 0;
    for (int i = 0; i < count && !wk_failed(); i++) {
        linear *m = (linear *)layers[i];
        int64_t rows = m->weight->shape[0];
        (void)become_part(layers[i], "weight", &m->weight, w, from);
        (void)become_part(layers[i], "bias", &m->bias, b, from);
        from += rows;
    }
    if (wk_failed()) {
        wk_release(w);
        wk_release(b);
        return wk_error_code();
    }
    *weight = w, *bias = b;
    return WK_OK;
}

wk_module *wk_nn_linear(int64_t in_features, int64_t out_features, wk_layer_opts opts) {
    if (wk_failed() || !positive("Linear", "in_features", in_features)
        || !positive("Linear", "out_features", out_features))
        return NULL;
    linear *m = (linear *)wk_module_create(&linear_class);
    if (!m) return NULL;
    double fan_in = (double)in_features;
    m->weight =
        wk_module_add_parameter(&m->base, "weight", uniform(WK_DIMS(out_features, in_features), kaiming_bound(fan_in)));
    if (!opts.no_bias)
        m->bias = wk_module_add_parameter(&m->base, "bias", uniform(WK_DIMS(out_features), bias_bound(fan_in)));
    return finished(&m->base);
}

wk_module *wk_nn_linear_tied(wk_tensor *weight, wk_tensor *bias) {
    char one[160], other[160];
    if (wk_failed() || !weight) return NULL;
    bool fits = weight->rank == 2 && (weight->flags & WK_TENSOR_KEPT);
    if (fits && bias) fits = bias->rank == 1 && bias->shape[0] == weight->shape[0] && (bias->flags & WK_TENSOR_KEPT);
    if (!fits)
        return wk_fail_null(WK_SHAPE, "Linear: weight %s, bias %s: expected parameters (out, in) and (out)",
                            wk_describe(weight, one, sizeof one),
                            bias ? wk_describe(bias, other, sizeof other) : "none");
    linear *m = (linear *)wk_module_create(&linear_class);
    if (!m) return NULL;
    m->weight = wk_module_add_parameter(&m->base, "weight", wk_keep(weight));
    if (bias) m->bias = wk_module_add_parameter(&m->base, "bias", wk_keep(bias));
    return finished(&m->base);
}

/* ---- BatchNorm2d ---- */

typedef struct batch_norm {
    wk_module base;
    wk_tensor *weight, *bias, *mean, *variance, *batches;
    wk_batch_norm_opts opts;
    int64_t channels;
    bool cumulative;
    bool folded;                      /* into the layer before it: nothing is left to do */
    wk__batch_norm_function together; /* with the other ranks; NULL: alone */
    void *together_context;
} batch_norm;

static wk_tensor *normalise(batch_norm *m, wk_tensor *x, bool fits, const char *expected) {
    if (m->folded) return x;
    const bool again = m->base.training && wk__is_run_again();
    bool tracks = m->base.training && m->batches && !again;
    if (!fits) {
        char text[160];
        return wk_fail_null(WK_SHAPE, "%s (layer \"%s\"): x %s, expected %s", m->base.class_->name, m->base.path,
                            wk_describe(x, text, sizeof text), expected);
    }
    wk_batch_norm_opts opts = m->opts;
    opts.training = m->base.training || !m->mean;
    if (tracks && m->cumulative && !opts.momentum.is_set)
        opts.momentum = WK_SET(1 / ((double)((int64_t *)m->batches->data)[0] + 1));
    wk_tensor *mean = again ? NULL : m->mean, *variance = again ? NULL : m->variance;
    wk_tensor *y = m->together && m->base.training
                       ? m->together(m->together_context, x, m->weight, m->bias, mean, variance, opts)
                       : wk_batch_norm(x, m->weight, m->bias, mean, variance, opts);
    if (y && tracks) ((int64_t *)m->batches->data)[0]++;
    return y;
}
static wk_tensor *batch_norm1d_forward(wk_module *self, wk_tensor *x) {
    return normalise((batch_norm *)self, x, x->rank == 2 || x->rank == 3, "(N, C) or (N, C, L)");
}
static wk_tensor *batch_norm2d_forward(wk_module *self, wk_tensor *x) {
    return normalise((batch_norm *)self, x, x->rank == 4, "(N, C, H, W)");
}
static wk_tensor *batch_norm3d_forward(wk_module *self, wk_tensor *x) {
    return normalise((batch_norm *)self, x, x->rank == 5, "(N, C, D, H, W)");
}
static void batch_norm_describe(const wk_module *self, char *buffer, size_t size) {
    const batch_norm *m = (const batch_norm *)self;
    (void)snprintf(buffer, size, "%lld, eps=%g, momentum=%g%s%s", (long long)m->channels,
                   wk_optional_or(m->opts.eps, 1e-5), wk_optional_or(m->opts.momentum, 0.1),
                   m->folded ? ", folded" : "", m->together ? ", over all ranks" : "");
}
static bool batch_norm_passes(const wk_module *self) {
    return ((const batch_norm *)self)->folded;
}
#define BATCH_NORM(axes)                                                                                   \
    {                                                                                                      \
        .name = "BatchNorm" #axes "d", .size = sizeof(batch_norm), .forward = batch_norm##axes##d_forward, \
        .describe = batch_norm_describe, .passes = batch_norm_passes                                       \
    }
static const wk_module_class batch_norm_classes[] = { BATCH_NORM(1), BATCH_NORM(2), BATCH_NORM(3) };

static batch_norm *batch_norm_of(wk_module *module) {
    for (int i = 0; i < 3; i++)
        if (module->class_ == &batch_norm_classes[i]) return (batch_norm *)module;
    return NULL;
}

wk_optional *wk__batch_norm_momentum(wk_module *module) {
    batch_norm *m = batch_norm_of(module);
    return m ? &m->opts.momentum : NULL;
}

bool wk__batch_norm_replace(wk_module *module, wk__batch_norm_function function, void *context) {
    batch_norm *m = batch_norm_of(module);
    if (!m) return false;
    m->together = function;
    m->together_context = context;
    return true;
}

bool wk__batch_norm_is_replaced(wk_module *module) {
    const batch_norm *m = batch_norm_of(module);
    return m && m->together;
}

bool wk__batch_norm_affine(wk_module *module, wk_tensor **scale, wk_tensor **shift) {
    const batch_norm *m = batch_norm_of(module);
    if (!m || m->folded || !m->mean) return false;
    wk_tensor *deviation =
        wk_sqrt(wk_affine(m->variance, (wk_affine_opts){ .scale = 1, .shift = wk_optional_or(m->opts.eps, 1e-5) }));
    *scale = m->weight ? wk_div(m->weight, deviation) : wk_reciprocal(deviation);
    wk_tensor *moved = wk_neg(wk_mul(m->mean, *scale));
    *shift = m->bias ? wk_add(m->bias, moved) : moved;
    return *shift != NULL;
}

void wk__batch_norm_folded(wk_module *module) {
    batch_norm *m = (batch_norm *)module;
    m->folded = true;
    m->weight = m->bias = m->mean = m->variance = m->batches = NULL;
    wk__module_strip(module);
}

static wk_tensor *ones(int64_t count) {
    wk_tensor *tensor = wk_kept_zeros(WK_F32, WK_DIMS(count));
    for (int64_t i = 0; tensor && i < count; i++) ((float *)tensor->data)[i] = 1;
    return tensor;
}

static wk_module *make_batch_norm(int axes, int64_t channels, wk_nn_batch_norm_opts opts) {
    const wk_module_class *class_ = &batch_norm_classes[axes - 1];
    if (wk_failed() || !positive(class_->name, "channels", channels)) return NULL;
    batch_norm *m = (batch_norm *)wk_module_create(class_);
    if (!m) return NULL;
    m->channels = channels;
    m->cumulative = opts.cumulative;
    m->opts = (wk_batch_norm_opts){ .eps = opts.eps };
    if (!opts.cumulative) m->opts.momentum = opts.momentum;
    if (!opts.no_affine) {
        m->weight = wk_module_add_parameter(&m->base, "weight", ones(channels));
        m->bias = wk_module_add_parameter(&m->base, "bias", wk_kept_zeros(WK_F32, WK_DIMS(channels)));
    }
    if (!opts.no_running_statistics) {
        m->mean = wk_module_add_buffer(&m->base, "running_mean", wk_kept_zeros(WK_F32, WK_DIMS(channels)));
        m->variance = wk_module_add_buffer(&m->base, "running_var", ones(channels));
        m->batches = wk_module_add_buffer(&m->base, "num_batches_tracked", wk_kept_zeros(WK_I64, WK_SCALAR));
    }
    return finished(&m->base);
}

wk_module *wk_nn_batch_norm1d(int64_t channels, wk_nn_batch_norm_opts opts) {
    return make_batch_norm(1, channels, opts);
}
wk_module *wk_nn_batch_norm2d(int64_t channels, wk_nn_batch_norm_opts opts) {
    return make_batch_norm(2, channels, opts);
}
wk_module *wk_nn_batch_norm3d(int64_t channels, wk_nn_batch_norm_opts opts) {
    return make_batch_norm(3, channels, opts);
}
