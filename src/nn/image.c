/* image.c: modules of images without parameters: pooling, padding, sizes, rearranging.  Each is a class, a call and its
 * options. */
#define WK_NO_CALL_SITES
#include "tensor/tensor.h"
#include "wick/nn.h"

#include <string.h>

#define WITH_OPTIONS(id, title, opts_type, call, text)                                                 \
    typedef struct id##_module {                                                                       \
        wk_module base;                                                                                \
        opts_type opts;                                                                                \
    } id##_module;                                                                                     \
    static wk_tensor *id##_forward(wk_module *self, wk_tensor *x) {                                    \
        const opts_type opts = ((const id##_module *)self)->opts;                                      \
        return call;                                                                                   \
    }                                                                                                  \
    static void id##_describe(const wk_module *self, char *buffer, size_t size) {                      \
        const opts_type *opts = &((const id##_module *)self)->opts;                                    \
        text;                                                                                          \
    }                                                                                                  \
    static const wk_module_class id##_class = {                                                        \
        .name = title, .size = sizeof(id##_module), .forward = id##_forward, .describe = id##_describe \
    };                                                                                                 \
    static wk_module *make_##id(opts_type opts) {                                                      \
        id##_module *m = wk_failed() ? NULL : (id##_module *)wk_module_create(&id##_class);            \
        if (m) m->opts = opts;                                                                         \
        return m ? &m->base : NULL;                                                                    \
    }

/* "kernel=3x3" */
static void sizes_text(char *buffer, size_t size, const char *name, const int64_t *sizes, int axes) {
    size_t used = (size_t)snprintf(buffer, size, "%s=", name);
    for (int i = 0; i < axes && used < size; i++)
        used += (size_t)snprintf(buffer + used, size - used, "%s%lld", i ? "x" : "", (long long)sizes[i]);
}

static bool has_kernel(const char *who, const int64_t *kernel, int axes) {
    for (int i = 0; i < axes; i++)
        if (kernel[i] < 1) {
            char text[100];
            sizes_text(text, sizeof text, "kernel", kernel, axes);
            (void)wk_fail(WK_INVALID, "%s: %s, expected at least 1 along each axis", who, text);
            return false;
        }
    return true;
}

#define POOL(id, title, axes, type)                                                                         \
    WITH_OPTIONS(id, title, type, wk_##id(x, opts), sizes_text(buffer, size, "kernel", opts->kernel, axes)) \
    wk_module *wk_nn_##id(type opts) {                                                                      \
        return wk_failed() || !has_kernel(title, opts.kernel, axes) ? NULL : make_##id(opts);               \
    }
POOL(max_pool1d, "MaxPool1d", 1, wk_pool_opts)
POOL(max_pool2d, "MaxPool2d", 2, wk_pool_opts)
POOL(max_pool3d, "MaxPool3d", 3, wk_pool_opts)
POOL(avg_pool1d, "AvgPool1d", 1, wk_pool_opts)
POOL(avg_pool2d, "AvgPool2d", 2, wk_pool_opts)
POOL(avg_pool3d, "AvgPool3d", 3, wk_pool_opts)
POOL(lp_pool1d, "LPPool1d", 1, wk_lp_pool_opts)
POOL(lp_pool2d, "LPPool2d", 2, wk_lp_pool_opts)
POOL(lp_pool3d, "LPPool3d", 3, wk_lp_pool_opts)

#define ADAPTIVE(id, title, axes)                                    \
    WITH_OPTIONS(id, title, wk_adaptive_pool_opts, wk_##id(x, opts), \
                 sizes_text(buffer, size, "size", opts->size, axes)) \
    wk_module *wk_nn_##id(wk_adaptive_pool_opts opts) {              \
        return make_##id(opts);                                      \
    }
ADAPTIVE(adaptive_max_pool1d, "AdaptiveMaxPool1d", 1)
ADAPTIVE(adaptive_max_pool2d, "AdaptiveMaxPool2d", 2)
ADAPTIVE(adaptive_max_pool3d, "AdaptiveMaxPool3d", 3)
ADAPTIVE(adaptive_avg_pool1d, "AdaptiveAvgPool1d", 1)
ADAPTIVE(adaptive_avg_pool2d, "AdaptiveAvgPool2d", 2)
ADAPTIVE(adaptive_avg_pool3d, "AdaptiveAvgPool3d", 3)

/* ---- MaxUnpool ---- */

typedef struct unpool {
    wk_module base;
    wk_pool_opts opts;
    int axes;
} unpool;
static wk_status unpool_forward(wk_module *self, const wk_args *in, wk_args *out) {
    const unpool *m = (const unpool *)self;
    if (in->count != 2)
        return wk_fail(WK_INVALID, "%s: %d tensors, expected x and its indices", self->class_->name, in->count);
    wk_tensor *x = in->slot[0].tensor, *indices = in->slot[1].tensor;
    if (!x || !indices) return wk_fail(WK_INVALID, "%s: x or its indices are missing", self->class_->name);
    wk_unpool_opts sizes = { .size = { 0 } };
    for (int i = 0; i < m->axes && 2 + i < x->rank; i++) {
        int64_t kernel = m->opts.kernel[i], stride = m->opts.stride[i] ? m->opts.stride[i] : kernel;
        sizes.size[i] = (x->shape[2 + i] - 1) * stride - 2 * m->opts.padding[i] + kernel;
    }
    out->count = 1;
    out->slot[0].tensor = m->axes == 1   ? wk_max_unpool1d(x, indices, sizes)
                          : m->axes == 2 ? wk_max_unpool2d(x, indices, sizes)
                                         : wk_max_unpool3d(x, indices, sizes);
    return out->slot[0].tensor ? WK_OK : wk_error_code();
}
static void unpool_describe(const wk_module *self, char *buffer, size_t size) {
    const unpool *m = (const unpool *)self;
    sizes_text(buffer, size, "kernel", m->opts.kernel, m->axes);
}
#define UNPOOL(id, title, count)                                                                           \
    static const wk_module_class id##_class = {                                                            \
        .name = title, .size = sizeof(unpool), .forward_args = unpool_forward, .describe = unpool_describe \
    };                                                                                                     \
    wk_module *wk_nn_##id(wk_pool_opts opts) {                                                             \
        if (wk_failed() || !has_kernel(title, opts.kernel, count)) return NULL;                            \
        unpool *m = (unpool *)wk_module_create(&id##_class);                                               \
        if (m) m->opts = opts, m->axes = count;                                                            \
        return m ? &m->base : NULL;                                                                        \
    }
UNPOOL(max_unpool1d, "MaxUnpool1d", 1)
UNPOOL(max_unpool2d, "MaxUnpool2d", 2)
UNPOOL(max_unpool3d, "MaxUnpool3d", 3)
wk_tensor *wk_max_unpool_forward(wk_module *module, wk_tensor *x, wk_tensor *indices) {
    const wk_args in = { .count = 2, .slot = { { "x", x }, { "indices", indices } } };
    wk_args out = { 0 };
    return wk_forward_args(module, &in, &out) == WK_OK ? out.slot[0].tensor : NULL;
}

/* ---- padding ---- */

typedef struct pad {
    wk_module base;
    wk_pad_opts opts;
} pad;
static wk_tensor *pad_forward(wk_module *self, wk_tensor *x) {
    const pad *m = (const pad *)self;
    if (x->rank == m->opts.before.rank + 2 || x->rank == m->opts.before.rank + 1) return wk_pad(x, m->opts);
    char text[160];
    return wk_fail_null(WK_SHAPE, "%s (layer \"%s\"): x %s, expected rank %d", self->class_->name, self->path,
                        wk_describe(x, text, sizeof text), m->opts.before.rank + 2);
}
static void pad_describe(const wk_module *self, char *buffer, size_t size) {
    const pad *m = (const pad *)self;
    size_t used = 0;
    for (int i = 0; i < m->opts.before.rank && used < size; i++)
        used += (size_t)snprintf(buffer + used, size - used, "%s(%lld, %lld)", i ? ", " : "",
                                 (long long)m->opts.before.size[i], (long long)m->opts.after.size[i]);
    if (used < size && m->opts.value != 0) (void)snprintf(buffer + used, size - used, ", value=%g", m->opts.value);
}
#define PAD_CLASS(title) \
    { .name = title, .size = sizeof(pad), .forward = pad_forward, .describe = pad_describe }
static const wk_module_class pad_classes[3][4] = {
    { PAD_CLASS("ConstantPad1d"), PAD_CLASS("ReflectionPad1d"), PAD_CLASS("ReplicationPad1d"),
      PAD_CLASS("CircularPad1d") },
    { PAD_CLASS("ConstantPad2d"), PAD_CLASS("ReflectionPad2d"), PAD_CLASS("ReplicationPad2d"),
      PAD_CLASS("CircularPad2d") },
    { PAD_CLASS("ConstantPad3d"), PAD_CLASS("ReflectionPad3d"), PAD_CLASS("ReplicationPad3d"),
      PAD_CLASS("CircularPad3d") },
};
static wk_module *make_pad(wk_pad_opts opts, int axes) {
    if (wk_failed()) return NULL;
    if (opts.mode < 0 || opts.mode > WK_PAD_CIRCULAR || opts.before.rank != axes || opts.after.rank != axes)
        return wk_fail_null(WK_INVALID, "padding of %d axes: %d numbers before, %d behind, mode %d", axes,
                            opts.before.rank, opts.after.rank, opts.mode);
    pad *m = (pad *)wk_module_create(&pad_classes[axes - 1][opts.mode]);
    if (m) m->opts = opts;
    return m ? &m->base : NULL;
}
wk_module *wk_nn_pad1d(wk_pad_opts opts) {
    return make_pad(opts, 1);
}
wk_module *wk_nn_pad2d(wk_pad_opts opts) {
    return make_pad(opts, 2);
}
wk_module *wk_nn_pad3d(wk_pad_opts opts) {
    return make_pad(opts, 3);
}

/* ---- sizes and places ---- */

static const char *const modes[] = { "nearest", "linear", "cubic", "area", "nearest-exact" };
WITH_OPTIONS(upsample, "Upsample", wk_interpolate_opts, wk_interpolate(x, opts),
             (void)snprintf(buffer, size, "mode=%s", modes[opts->mode]))
wk_module *wk_nn_upsample(wk_interpolate_opts opts) {
    if (opts.mode >= WK_INTERPOLATE_NEAREST && opts.mode <= WK_INTERPOLATE_NEAREST_EXACT) return make_upsample(opts);
    return wk_fail_null(WK_INVALID, "Upsample: mode %d is none of wk_interpolate_mode", opts.mode);
}
WITH_OPTIONS(pixel_shuffle, "PixelShuffle", int, wk_pixel_shuffle(x, opts),
             (void)snprintf(buffer, size, "upscale_factor=%d", *opts))
wk_module *wk_nn_pixel_shuffle(int factor) {
    return make_pixel_shuffle(factor);
}
WITH_OPTIONS(pixel_unshuffle, "PixelUnshuffle", int, wk_pixel_unshuffle(x, opts),
             (void)snprintf(buffer, size, "downscale_factor=%d", *opts))
wk_module *wk_nn_pixel_unshuffle(int factor) {
    return make_pixel_unshuffle(factor);
}
WITH_OPTIONS(channel_shuffle, "ChannelShuffle", int64_t, wk_channel_shuffle(x, opts),
             (void)snprintf(buffer, size, "groups=%lld", (long long)*opts))
wk_module *wk_nn_channel_shuffle(int64_t groups) {
    return make_channel_shuffle(groups);
}
WITH_OPTIONS(unfold, "Unfold", wk_unfold_opts, wk_unfold(x, opts), sizes_text(buffer, size, "kernel", opts->kernel, 2))
wk_module *wk_nn_unfold(wk_unfold_opts opts) {
    return make_unfold(opts);
}
WITH_OPTIONS(fold, "Fold", wk_fold_opts, wk_fold(x, opts), sizes_text(buffer, size, "size", opts->size, 2))
wk_module *wk_nn_fold(wk_fold_opts opts) {
    return make_fold(opts);
}
WITH_OPTIONS(unflatten, "Unflatten", wk_unflatten_opts, wk_unflatten(x, (int)opts.axis, opts.sizes),
             (void)snprintf(buffer, size, "dim=%lld", (long long)opts->axis))
wk_module *wk_nn_unflatten(int axis, wk_dims sizes) {
    return make_unflatten((wk_unflatten_opts){ axis, sizes });
}
