/* resize.c: images of other sizes, and adaptive average pooling, one axis after the other.
 *
 * Every way of resizing is linear in x and separable: along one axis, each result is a sum of a few elements with
 * weights that depend on sizes alone.  So there is one row, whose gradient is the same row transposed.  Axes that
 * shrink go first and those that grow last, the outermost of the shrinking ones first (whole rows are added) and the
 * innermost of the growing ones first (the slow pass then has the least to do).
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/ops/image/image.h"
#include "tensor/registry.h"

#include <math.h>
#include <string.h>

/* Dense, the axes in memory in the order that they have in x. */
static wk_desc in_order_of(const wk_tensor *x, const int64_t *shape) {
    wk_desc desc = wk_desc_row_major((wk_dtype)x->dtype, x->rank, shape);
    if (x->flags & WK_TENSOR_CONTIGUOUS) return desc;
    int order[WK_MAX_RANK];
    for (int i = 0; i < x->rank; i++) {
        int at = i;
        for (; at > 0 && x->stride[order[at - 1]] < x->stride[i]; at--) order[at] = order[at - 1];
        order[at] = i;
    }
    desc.strided = true;
    int64_t step = 1;
    for (int i = x->rank - 1; i >= 0; i--) desc.stride[order[i]] = step, step *= shape[order[i]] ? shape[order[i]] : 1;
    return desc;
}

static wk_op_def resize_axis_row;

static wk_status resize_axis_shape(const wk_call *call, wk_desc out[]) {
    const wk_resize_axis_attrs *attrs = call->attrs;
    int64_t shape[WK_MAX_RANK];
    memcpy(shape, call->in[0]->shape, sizeof shape);
    shape[attrs->axis] = attrs->transposed ? attrs->from : attrs->to;
    out[0] = in_order_of(call->in[0], shape);
    return WK_OK;
}
static wk_status resize_axis_grad(wk_grad *g) {
    wk_resize_axis_attrs attrs = *(const wk_resize_axis_attrs *)g->attrs;
    attrs.transposed = !attrs.transposed;
    g->din[0] = wk_op_run1(&resize_axis_row, &attrs, g->dout[0]);
    return WK_OK;
}
static wk_cost resize_axis_cost(const wk_call *call) {
    static const double taps[] = { 1, 2, 4, 1, 1 };
    const wk_resize_axis_attrs *attrs = call->attrs;
    double most = (double)(call->in[0]->count > call->out[0]->count ? call->in[0]->count : call->out[0]->count);
    return (wk_cost){ 2 * most * taps[attrs->mode], wk__operand_bytes(call) };
}
static void resize_axis_samples(wk_sampler *s) {
    const wk_resize_axis_attrs up = { .axis = 1, .from = 4, .to = 7, .mode = WK_INTERPOLATE_LINEAR },
                               down = { .axis = 2, .from = 7, .to = 3, .mode = WK_INTERPOLATE_CUBIC },
                               back = {
                                   .axis = 0, .from = 3, .to = 5, .mode = WK_INTERPOLATE_LINEAR, .transposed = true
                               };
    WK_CASE(s, "up", &up, { .dims = WK_DIMS(2, 4, 3) });
    WK_CASE(s, "down", &down, { .dims = WK_DIMS(2, 3, 7), .strided = true });
    WK_CASE(s, "back", &back, { .dims = WK_DIMS(5, 4) });
}
static const wk_attr_def resize_axis_attrs[] = {
    { "axis", WK_ATTR_INT, offsetof(wk_resize_axis_attrs, axis), 0, NULL, 0, "which one" },
    { "from", WK_ATTR_INT, offsetof(wk_resize_axis_attrs, from), 0, NULL, 0, "its size" },
    { "to", WK_ATTR_INT, offsetof(wk_resize_axis_attrs, to), 0, NULL, 0, "its new size" },
    { "scale", WK_ATTR_FLOAT, offsetof(wk_resize_axis_attrs, scale), 0, NULL, 0, "to / from; 0: of the sizes" },
    { "mode", WK_ATTR_ENUM, offsetof(wk_resize_axis_attrs, mode), 0, "nearest|linear|cubic|area|nearest-exact", 0,
      "how" },
    { "align_corners", WK_ATTR_BOOL, offsetof(wk_resize_axis_attrs, align_corners), 0, NULL, 0, "keep the end points" },
    { "transposed", WK_ATTR_BOOL, offsetof(wk_resize_axis_attrs, transposed), 0, NULL, 0, "the gradient's way" },
};
static wk_op_def resize_axis_row = { .name = "resize_axis",
                                     .internal = true,
                                     .doc = "interpolation along one axis",
                                     .n_in = 1,
                                     .n_out = 1,
                                     .attrs = resize_axis_attrs,
                                     .n_attrs = 7,
                                     .attrs_size = sizeof(wk_resize_axis_attrs),
                                     .dtype = { .allowed = { WK_FLOATS } },
                                     .zero_sized_runs = true,
                                     .shape = resize_axis_shape,
                                     .grad = resize_axis_grad,
                                     .cost = resize_axis_cost,
                                     .samples = resize_axis_samples };

/* ---- several axes ---- */

typedef struct resizing {
    int64_t size[3];
    double scale[3]; /* 0: of the sizes */
    int mode;
    bool align_corners;
} resizing;

static bool moves(const wk_tensor *x, const resizing *r, int i) {
    return r->size[i] != x->shape[2 + i]
           || (r->scale[i] != 0 && r->mode != WK_INTERPOLATE_LINEAR && r->mode != WK_INTERPOLATE_AREA);
}
static wk_tensor *along(wk_tensor *x, const resizing *r, int i) {
    const wk_resize_axis_attrs attrs = { .axis = 2 + i,
                                         .from = x->shape[2 + i],
                                         .to = r->size[i],
                                         .scale = r->scale[i],
                                         .mode = r->mode,
                                         .align_corners = r->align_corners };
    return wk_op_run1(&resize_axis_row, &attrs, x);
}

/* Half types are computed in f32 when there is more than one pass, and rounded once. */
static wk_tensor *resize(wk_tensor *x, const resizing *r) {
    int axes = x->rank - 2, passes = 0;
    wk_dtype dtype = (wk_dtype)x->dtype;
    const wk_tensor *first = x;
    for (int i = 0; i < axes; i++) passes += moves(x, r, i);
    if (!passes) return wk_reshape(x, wk__dims(x));
    if (passes > 1 && (dtype == WK_F16 || dtype == WK_BF16)) x = wk_cast(x, WK_F32);
    for (int i = 0; i < axes && x; i++)
        if (moves(first, r, i) && r->size[i] <= first->shape[2 + i]) x = along(x, r, i);
    for (int i = axes - 1; i >= 0 && x; i--)
        if (r->size[i] > first->shape[2 + i]) x = along(x, r, i);
    return wk_cast(x, dtype);
}

static wk_status check_image(const wk_call *call, int axes) {
    static const char *const names[] = { "", "L", "H, W", "D, H, W" };
    const wk_tensor *x = call->in[0];
    char text[160];
    if (x->rank != axes + 2)
        return wk_bad_call(call, WK_SHAPE, "x %s, expected (N, C, %s)", wk_describe(x, text, sizeof text), names[axes]);
    for (int i = 2; i < x->rank; i++)
        if (x->shape[i] < 1)
            return wk_bad_call(call, WK_SHAPE, "x %s has no pixels", wk_describe(x, text, sizeof text));
    return WK_OK;
}

static wk_status interpolate_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_interpolate_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0];
    char text[160];
    if (x->rank < 3 || x->rank > 5)
        return wk_bad_call(call, WK_SHAPE, "x %s, expected (N, C, …) with one to three axes of an image",
                           wk_describe(x, text, sizeof text));
    WK_TRY(check_image(call, x->rank - 2));
    if (opts->mode == WK_INTERPOLATE_CUBIC && x->rank != 4)
        return wk_bad_call(call, WK_SHAPE, "x %s, but cubic interpolation expects (N, C, H, W)",
                           wk_describe(x, text, sizeof text));
    bool corners = opts->mode == WK_INTERPOLATE_LINEAR || opts->mode == WK_INTERPOLATE_CUBIC;
    if (opts->align_corners && !corners)
        return wk_bad_call(call, WK_INVALID, "align_corners is for linear and cubic interpolation only");
    resizing r = { .mode = opts->mode, .align_corners = opts->align_corners };
    for (int i = 0; i + 2 < x->rank; i++) {
        double scale = opts->scale[i] != 0 ? opts->scale[i] : opts->scale[0];
        double size = opts->size[i] ? (double)opts->size[i] : floor((double)x->shape[2 + i] * scale);
        if (!(size >= 1 && size < 0x1p40))
            return wk_bad_call(call, WK_INVALID, "size %lld, scale %g of %lld pixels: expected at least one pixel",
                               (long long)opts->size[i], scale, (long long)x->shape[2 + i]);
        r.size[i] = (int64_t)size;
        if (!opts->size[i] && !opts->recompute_scale && opts->mode != WK_INTERPOLATE_AREA) r.scale[i] = scale;
    }
    out[0] = resize(call->in[0], &r);
    return WK_OK;
}

static wk_status adaptive_parts(const wk_call *call, wk_tensor *out[], int axes) {
    const wk_adaptive_pool_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0];
    WK_TRY(check_image(call, axes));
    resizing r = { .mode = WK_INTERPOLATE_AREA };
    bool to_one = true;
    for (int i = 0; i < axes; i++) {
        r.size[i] = opts->size[i] ? opts->size[i] : x->shape[2 + i];
        if (r.size[i] < 1 || r.size[i] > INT64_MAX / 2 / (x->shape[2 + i] + 1))
            return wk_bad_call(call, WK_INVALID, "size %lld, expected at least 1", (long long)r.size[i]);
        to_one = to_one && r.size[i] == 1;
    }
    const wk_reduce_opts image = { .axes = { axes, { 2, 3, 4 } }, .keep_dims = true };
    out[0] = to_one ? wk_mean(call->in[0], image) : resize(call->in[0], &r);
    return WK_OK;
}

static wk_status channel_shuffle_parts(const wk_call *call, wk_tensor *out[]) {
    int64_t groups = ((const wk_channel_shuffle_opts *)call->attrs)->groups;
    wk_tensor *x = call->in[0];
    char text[160];
    if (x->rank < 3 || groups < 1 || x->shape[1] % groups != 0)
        return wk_bad_call(call, WK_SHAPE, "x %s in %lld groups: expected (N, groups · C, …)",
                           wk_describe(x, text, sizeof text), (long long)groups);
    wk_dims dims = wk__dims(x);
    wk_tensor *split = wk_unflatten(x, 1, WK_DIMS(groups, x->shape[1] / groups));
    out[0] = wk_reshape(wk_transpose(split, 1, 2), dims);
    return WK_OK;
}

/* ---- samples ---- */

static void interpolate_samples(wk_sampler *s) {
    const wk_interpolate_opts nearest = { .scale = { 2 } }, line = { .size = { 9 }, .mode = WK_INTERPOLATE_LINEAR },
                              plane = { .size = { 3, 7 }, .mode = WK_INTERPOLATE_LINEAR },
                              corners = { .size = { 5, 7 }, .mode = WK_INTERPOLATE_LINEAR, .align_corners = true },
                              odd = { .scale = { 1.7, 0.6 }, .mode = WK_INTERPOLATE_LINEAR },
                              again = { .scale = { 1.7 }, .mode = WK_INTERPOLATE_LINEAR, .recompute_scale = true },
                              cubic = { .size = { 6, 3 }, .mode = WK_INTERPOLATE_CUBIC },
                              cubic_corners = { .size = { 2, 6 }, .mode = WK_INTERPOLATE_CUBIC, .align_corners = true },
                              cubic_scale = { .scale = { 1.3 }, .mode = WK_INTERPOLATE_CUBIC },
                              volume = { .size = { 2, 5, 3 }, .mode = WK_INTERPOLATE_LINEAR },
                              area = { .size = { 3, 2 }, .mode = WK_INTERPOLATE_AREA },
                              exact = { .size = { 3, 7 }, .mode = WK_INTERPOLATE_NEAREST_EXACT },
                              same = { .size = { 4, 3 } }, down = { .scale = { 0.7, 1.3 } },
                              large = { .scale = { 2 }, .mode = WK_INTERPOLATE_LINEAR };
    WK_CASE(s, "nearest", &nearest, { .dims = WK_DIMS(2, 2, 3, 4) });
    WK_CASE(s, "nearest line", &nearest, { .dims = WK_DIMS(2, 2, 5) });
    WK_CASE(s, "nearest odd", &down, { .dims = WK_DIMS(1, 2, 7, 5), .strided = true });
    WK_CASE(s, "exact", &exact, { .dims = WK_DIMS(1, 2, 5, 4) });
    WK_CASE(s, "linear", &line, { .dims = WK_DIMS(2, 3, 4) });
    WK_CASE(s, "bilinear", &plane, { .dims = WK_DIMS(2, 2, 5, 4), .strided = true });
    WK_CASE(s, "corners", &corners, { .dims = WK_DIMS(1, 2, 3, 4) });
    WK_CASE(s, "scale", &odd, { .dims = WK_DIMS(1, 2, 5, 6) });
    WK_CASE(s, "scale again", &again, { .dims = WK_DIMS(1, 2, 5, 3) });
    WK_CASE(s, "cubic", &cubic, { .dims = WK_DIMS(1, 2, 4, 5) });
    WK_CASE(s, "cubic corners", &cubic_corners, { .dims = WK_DIMS(1, 2, 5, 4) });
    WK_CASE(s, "cubic scale", &cubic_scale, { .dims = WK_DIMS(1, 2, 3, 4) });
    WK_CASE(s, "trilinear", &volume, { .dims = WK_DIMS(1, 2, 3, 3, 4) });
    WK_CASE(s, "area", &area, { .dims = WK_DIMS(1, 2, 5, 5) });
    WK_CASE(s, "same", &same, { .dims = WK_DIMS(1, 2, 4, 3) });
    WK_CASE(s, "empty", &line, { .dims = WK_DIMS(0, 3, 4) });
    WK_CASE(s, "large", &large, { .dims = WK_DIMS(2, 16, 20, 33) });
    WK_CASE(s, "large cubic", &cubic_scale, { .dims = WK_DIMS(2, 3, 40, 33) });
    const wk_interpolate_opts twice = { .scale = { 2 } };
    WK_HUGE_CASE(s, "huge nearest", &twice, { .dims = WK_DIMS(4, 32, 28, 28) });
    WK_HUGE_CASE(s, "huge bilinear", &large, { .dims = WK_DIMS(4, 32, 28, 28) });
}
static void adaptive_avg_pool1d_samples(wk_sampler *s) {
    const wk_adaptive_pool_opts three = { { 3 } };
    WK_CASE(s, "three", &three, { .dims = WK_DIMS(2, 3, 7) });
    WK_HUGE_CASE(s, "huge", &three, { .dims = WK_DIMS(16, 64, 512) });
}
static void adaptive_avg_pool2d_samples(wk_sampler *s) {
    const wk_adaptive_pool_opts odd = { { 3, 2 } }, one = { { 1, 1 } }, more = { { 7, 0 } };
    WK_CASE(s, "odd", &odd, { .dims = WK_DIMS(2, 2, 5, 7), .strided = true });
    WK_CASE(s, "one", &one, { .dims = WK_DIMS(2, 3, 4, 5) });
    WK_CASE(s, "more", &more, { .dims = WK_DIMS(1, 2, 4, 3) });
    WK_CASE(s, "large", &one, { .dims = WK_DIMS(2, 20, 28, 28) });
    WK_HUGE_CASE(s, "huge", &one, { .dims = WK_DIMS(16, 64, 28, 28) });
    WK_HUGE_CASE(s, "huge odd", &odd, { .dims = WK_DIMS(16, 64, 28, 28) });
}
static void adaptive_avg_pool3d_samples(wk_sampler *s) {
    const wk_adaptive_pool_opts odd = { { 2, 0, 3 } };
    WK_CASE(s, "odd", &odd, { .dims = WK_DIMS(1, 2, 3, 4, 5) });
    WK_HUGE_CASE(s, "huge", &odd, { .dims = WK_DIMS(2, 16, 16, 28, 28) });
}
static void channel_shuffle_samples(wk_sampler *s) {
    const wk_channel_shuffle_opts two = { 2 };
    WK_CASE(s, "two", &two, { .dims = WK_DIMS(2, 6, 3, 2) });
    WK_CASE(s, "line", &two, { .dims = WK_DIMS(1, 4, 5), .strided = true });
    WK_HUGE_CASE(s, "huge", &two, { .dims = WK_DIMS(8, 32, 56, 56) });
}

/* ---- rows ---- */

#define OPTS(field) offsetof(wk_interpolate_opts, field)
static const wk_attr_def interpolate_attrs[] = {
    { "size", WK_ATTR_INTS, OPTS(size), 3, NULL, 0, "of each axis; 0: by scale" },
    { "scale", WK_ATTR_FLOAT, OPTS(scale), 0, NULL, 0, "of the first axis" },
    { "scale_2", WK_ATTR_FLOAT, OPTS(scale[1]), 0, NULL, 0, "of the second; 0: as the first" },
    { "scale_3", WK_ATTR_FLOAT, OPTS(scale[2]), 0, NULL, 0, "of the third; 0: as the first" },
    { "mode", WK_ATTR_ENUM, OPTS(mode), 0, "nearest|linear|cubic|area|nearest-exact", 0, "how" },
    { "align_corners", WK_ATTR_BOOL, OPTS(align_corners), 0, NULL, 0, "keep the corners' centres" },
    { "recompute_scale", WK_ATTR_BOOL, OPTS(recompute_scale), 0, NULL, 0, "places by the sizes" },
};
static const wk_attr_def channel_shuffle_attrs[] = {
    { "groups", WK_ATTR_INT, offsetof(wk_channel_shuffle_opts, groups), 0, NULL, 0, "that take turns" },
};
#define ADAPTIVE(id, axes)                                                                                         \
    static const wk_attr_def id##_attrs[] = { { "size", WK_ATTR_INTS, offsetof(wk_adaptive_pool_opts, size), axes, \
                                                NULL, 0, "of the result; 0: as x" } };                             \
    static wk_status id##_parts(const wk_call *call, wk_tensor *out[]) {                                           \
        return adaptive_parts(call, out, axes);                                                                    \
    }                                                                                                              \
    COMPOSITE(id, "mean of windows that share the image", wk_adaptive_pool_opts, WK_FLOATS, WK_CAST_AS_IS)         \
    PLAIN(id, wk_adaptive_pool_opts)
#define PLAIN(id, type)                           \
    wk_tensor *wk_##id(wk_tensor *x, type opts) { \
        return wk_op_run1(&id##_row, &opts, x);   \
    }
#define COMPOSITE(id, text, type, dtypes, cast)                                               \
    static wk_op_def id##_row = { .name = #id,                                                \
                                  .doc = text,                                                \
                                  .n_in = 1,                                                  \
                                  .n_out = 1,                                                 \
                                  .composite = true,                                          \
                                  .attrs = id##_attrs,                                        \
                                  .n_attrs = (int)(sizeof id##_attrs / sizeof id##_attrs[0]), \
                                  .attrs_size = sizeof(type),                                 \
                                  .dtype = { .allowed = { dtypes }, .autocast = cast },       \
                                  .decompose = id##_parts,                                    \
                                  .cost = cost,                                               \
                                  .samples = id##_samples };
static wk_cost cost(const wk_call *call) {
    double most = (double)(call->in[0]->count > call->out[0]->count ? call->in[0]->count : call->out[0]->count);
    return (wk_cost){ 8 * most, wk__operand_bytes(call) };
}
COMPOSITE(interpolate, "images of another size", wk_interpolate_opts, WK_FLOATS, WK_CAST_F32)
PLAIN(interpolate, wk_interpolate_opts)
COMPOSITE(channel_shuffle, "channels of several groups in turn", wk_channel_shuffle_opts, 0, WK_CAST_AS_IS)
ADAPTIVE(adaptive_avg_pool1d, 1)
ADAPTIVE(adaptive_avg_pool2d, 2)
ADAPTIVE(adaptive_avg_pool3d, 3)

wk_tensor *wk_channel_shuffle(wk_tensor *x, int64_t groups) {
    const wk_channel_shuffle_opts opts = { groups };
    return wk_op_run1(&channel_shuffle_row, &opts, x);
}

wk_op_def *const wk__rows_resize[] = { &resize_axis_row,
                                       &interpolate_row,
                                       &channel_shuffle_row,
                                       &adaptive_avg_pool1d_row,
                                       &adaptive_avg_pool2d_row,
                                       &adaptive_avg_pool3d_row,
                                       NULL };
