/* norms.c: LayerNorm, RMSNorm, GroupNorm, InstanceNorm, LocalResponseNorm. */
#define WK_NO_CALL_SITES
#include "nn/support.h"
#include "wick/inplace.h"

/* ---- LayerNorm, RMSNorm ---- */

typedef struct row_norm {
    wk_module base;
    wk_tensor *weight, *bias;
    wk_dims shape;
    wk_layer_norm_opts opts;
} row_norm;

static bool fits(const row_norm *m, const wk_tensor *x) {
    bool same = x->rank >= m->shape.rank;
    for (int i = 0; same && i < m->shape.rank; i++) same = x->shape[x->rank - m->shape.rank + i] == m->shape.size[i];
    return same;
}
static wk_tensor *layer_norm_forward(wk_module *self, wk_tensor *x) {
    const row_norm *m = (row_norm *)self;
    if (!fits(m, x)) return wk__bad_input(self, x, "normalized_shape as its last axes");
    return wk_layer_norm(x, m->weight, m->bias, m->opts);
}
static wk_tensor *rms_norm_forward(wk_module *self, wk_tensor *x) {
    const row_norm *m = (row_norm *)self;
    if (!fits(m, x)) return wk__bad_input(self, x, "normalized_shape as its last axes");
    return wk_rms_norm(x, m->weight, m->opts);
}
static void row_norm_describe(const wk_module *self, char *buffer, size_t size) {
    const row_norm *m = (const row_norm *)self;
    size_t used = (size_t)snprintf(buffer, size, "(");
    for (int i = 0; i < m->shape.rank && used < size; i++)
        used += (size_t)snprintf(buffer + used, size - used, "%s%lld", i ? ", " : "", (long long)m->shape.size[i]);
    if (used < size && m->opts.eps.is_set)
        (void)snprintf(buffer + used, size - used, "), eps=%g, elementwise_affine=%s", m->opts.eps.value,
                       m->weight ? "true" : "false");
    else if (used < size)
        (void)snprintf(buffer + used, size - used, "), elementwise_affine=%s", m->weight ? "true" : "false");
}
static const wk_module_class layer_norm_class = {
    .name = "LayerNorm", .size = sizeof(row_norm), .forward = layer_norm_forward, .describe = row_norm_describe
};
static const wk_module_class rms_norm_class = {
    .name = "RMSNorm", .size = sizeof(row_norm), .forward = rms_norm_forward, .describe = row_norm_describe
};

static wk_module *make_row_norm(const wk_module_class *class_, wk_dims shape, wk_nn_norm_opts opts, bool with_bias) {
    if (wk_failed()) return NULL;
    if (!wk__positive(class_->name, "the number of axes", shape.rank)) return NULL;
    row_norm *m = (row_norm *)wk_module_create(class_);
    if (!m) return NULL;
    m->shape = shape;
    m->opts = (wk_layer_norm_opts){ .axes = shape.rank, .eps = opts.eps };
    if (!opts.no_affine) m->weight = wk_module_add_parameter(&m->base, "weight", wk__ones(shape));
    if (with_bias && !opts.no_affine && !opts.no_bias)
        m->bias = wk_module_add_parameter(&m->base, "bias", wk_kept_zeros(WK_F32, shape));
    return wk__finished(&m->base);
}
wk_module *wk_nn_layer_norm(wk_dims normalized_shape, wk_nn_norm_opts opts) {
    opts.eps = WK_SET(wk_optional_or(opts.eps, 1e-5));
    return make_row_norm(&layer_norm_class, normalized_shape, opts, true);
}
wk_module *wk_nn_rms_norm(wk_dims normalized_shape, wk_nn_norm_opts opts) {
    return make_row_norm(&rms_norm_class, normalized_shape, opts, false);
}

/* ---- GroupNorm ---- */

typedef struct group_norm {
    wk_module base;
    wk_tensor *weight, *bias;
    int64_t channels;
    wk_group_norm_opts opts;
} group_norm;

static wk_tensor *group_norm_forward(wk_module *self, wk_tensor *x) {
    const group_norm *m = (group_norm *)self;
    if (x->rank < 2 || x->shape[1] != m->channels) return wk__bad_input(self, x, "(N, C, …) with num_channels as C");
    return wk_group_norm(x, m->weight, m->bias, m->opts);
}
static void group_norm_describe(const wk_module *self, char *buffer, size_t size) {
    const group_norm *m = (const group_norm *)self;
    (void)snprintf(buffer, size, "%lld, %lld, eps=%g, affine=%s", (long long)m->opts.groups, (long long)m->channels,
                   wk_optional_or(m->opts.eps, 1e-5), m->weight ? "true" : "false");
}
static const wk_module_class group_norm_class = {
    .name = "GroupNorm", .size = sizeof(group_norm), .forward = group_norm_forward, .describe = group_norm_describe
};
wk_module *wk_nn_group_norm(int64_t groups, int64_t channels, wk_nn_norm_opts opts) {
    if (wk_failed() || !wk__positive("GroupNorm", "num_groups", groups)
        || !wk__positive("GroupNorm", "num_channels", channels))
        return NULL;
    if (channels % groups)
        return wk_fail_null(WK_INVALID, "GroupNorm: %lld groups do not divide %lld channels evenly", (long long)groups,
                            (long long)channels);
    group_norm *m = (group_norm *)wk_module_create(&group_norm_class);
    if (!m) return NULL;
    m->channels = channels;
    m->opts = (wk_group_norm_opts){ .groups = groups, .eps = opts.eps };
    if (!opts.no_affine) {
        m->weight = wk_module_add_parameter(&m->base, "weight", wk__ones(WK_DIMS(channels)));
        m->bias = wk_module_add_parameter(&m->base, "bias", wk_kept_zeros(WK_F32, WK_DIMS(channels)));
    }
    return wk__finished(&m->base);
}

/* ---- InstanceNorm ---- */

typedef struct instance_norm {
    wk_module base;
    wk_tensor *weight, *bias, *mean, *variance;
    wk_optional eps;
    double momentum;
    int64_t channels;
    int axes; /* behind the channels */
} instance_norm;

/* The batch's mean of what each sample has by itself; the unbiased variance.  PyTorch does not count these batches. */
static void track(instance_norm *m, wk_tensor *x) {
    bool was = wk_no_grad_begin();
    int64_t samples = x->shape[0], channels = x->shape[1],
            area = samples && channels ? x->count / samples / channels : 0;
    wk_tensor *rows = wk_cast(wk_reshape(x, WK_DIMS(samples, channels, area)), WK_F32);
    const wk_reduce_opts over = { .axes = WK_DIMS(2), .keep_dims = true }, batch = { .axes = WK_DIMS(0) };
    wk_tensor *mean = wk_mean(rows, over), *rest = wk_sub(rows, mean);
    wk_tensor *square = wk_scale(wk_sum(wk_mul(rest, rest), over), 1 / ((double)area - 1));
    wk_tensor *both[] = { wk_mean(wk_reshape(mean, WK_DIMS(samples, channels)), batch),
                          wk_mean(wk_reshape(square, WK_DIMS(samples, channels)), batch) };
    for (int k = 0; k < 2; k++) {
        wk_tensor *buffer = k ? m->variance : m->mean;
        (void)wk_affine_(buffer, (wk_affine_opts){ 1 - m->momentum, 0 });
        (void)wk_add_(buffer, wk_scale(both[k], m->momentum));
    }
    wk_no_grad_end(was);
}

static wk_tensor *instance_norm_forward(wk_module *self, wk_tensor *x) {
    instance_norm *m = (instance_norm *)self;
    static const char *const expected[] = { "(N, C, L) or (C, L)", "(N, C, H, W) or (C, H, W)",
                                            "(N, C, D, H, W) or (C, D, H, W)" };
    bool alone = x->rank == m->axes + 1;
    if (!alone && x->rank != m->axes + 2) return wk__bad_input(self, x, expected[m->axes - 1]);
    if (alone) x = wk_unsqueeze(x, 0);
    if (x && (m->weight || m->mean) && x->shape[1] != m->channels)
        return wk__bad_input(self, x, "num_features channels");
    wk_tensor *y;
    if (x && m->mean && !self->training) {
        y = wk_batch_norm(x, m->weight, m->bias, m->mean, m->variance, (wk_batch_norm_opts){ .eps = m->eps });
    } else {
        y = wk_instance_norm(x, m->weight, m->bias, (wk_instance_norm_opts){ .eps = m->eps });
        if (y && m->mean) track(m, x);
    }
    return alone && y ? wk_select(y, 0, 0) : y;
}
static void instance_norm_describe(const wk_module *self, char *buffer, size_t size) {
    const instance_norm *m = (const instance_norm *)self;
    (void)snprintf(buffer, size, "%lld, eps=%g, momentum=%g, affine=%s, track_running_stats=%s", (long long)m->channels,
                   wk_optional_or(m->eps, 1e-5), m->momentum, m->weight ? "true" : "false", m->mean ? "true" : "false");
}

static wk_module *make_instance_norm(const wk_module_class *class_, int64_t channels, wk_nn_instance_norm_opts opts,
                                     int axes) {
    if (wk_failed() || !wk__positive(class_->name, "num_features", channels)) return NULL;
    instance_norm *m = (instance_norm *)wk_module_create(class_);
    if (!m) return NULL;
    m->eps = opts.eps, m->momentum = wk_optional_or(opts.momentum, 0.1);
    m->channels = channels, m->axes = axes;
    if (opts.affine) {
        m->weight = wk_module_add_parameter(&m->base, "weight", wk__ones(WK_DIMS(channels)));
        m->bias = wk_module_add_parameter(&m->base, "bias", wk_kept_zeros(WK_F32, WK_DIMS(channels)));
    }
    if (opts.running_statistics) {
        m->mean = wk_module_add_buffer(&m->base, "running_mean", wk_kept_zeros(WK_F32, WK_DIMS(channels)));
        m->variance = wk_module_add_buffer(&m->base, "running_var", wk__ones(WK_DIMS(channels)));
        (void)wk_module_add_buffer(&m->base, "num_batches_tracked", wk_kept_zeros(WK_I64, WK_SCALAR));
    }
    return wk__finished(&m->base);
}
#define INSTANCE_NORM(n)                                                                             \
    static const wk_module_class instance_norm##n##d_class = { .name = "InstanceNorm" #n "d",        \
                                                               .size = sizeof(instance_norm),        \
                                                               .forward = instance_norm_forward,     \
                                                               .describe = instance_norm_describe }; \
    wk_module *wk_nn_instance_norm##n##d(int64_t channels, wk_nn_instance_norm_opts opts) {          \
        return make_instance_norm(&instance_norm##n##d_class, channels, opts, n);                    \
    }
INSTANCE_NORM(1)
INSTANCE_NORM(2)
INSTANCE_NORM(3)

/* ---- LocalResponseNorm ---- */

typedef struct response_norm {
    wk_module base;
    wk_local_response_norm_opts opts;
} response_norm;
static wk_tensor *response_norm_forward(wk_module *self, wk_tensor *x) {
    return wk_local_response_norm(x, ((const response_norm *)self)->opts);
}
static void response_norm_describe(const wk_module *self, char *buffer, size_t size) {
    const wk_local_response_norm_opts *o = &((const response_norm *)self)->opts;
    (void)snprintf(buffer, size, "%lld, alpha=%g, beta=%g, k=%g", (long long)o->size, wk_optional_or(o->alpha, 1e-4),
                   wk_optional_or(o->beta, 0.75), wk_optional_or(o->k, 1));
}
static const wk_module_class response_norm_class = { .name = "LocalResponseNorm",
                                                     .size = sizeof(response_norm),
                                                     .forward = response_norm_forward,
                                                     .describe = response_norm_describe };
wk_module *wk_nn_local_response_norm(wk_local_response_norm_opts opts) {
    if (wk_failed() || !wk__positive("LocalResponseNorm", "size", opts.size)) return NULL;
    response_norm *m = (response_norm *)wk_module_create(&response_norm_class);
    if (m) m->opts = opts;
    return m ? &m->base : NULL;
}
