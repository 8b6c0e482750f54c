/* pool.c: pooling of images of two and three axes.
 *
 * Max pooling keeps, for each result, which tap of its window the maximum was (one byte; four for windows of more than
 * 255 elements), so that backward touches neither x nor y.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/ops/image/image.h"
#include "tensor/registry.h"

#include <string.h>

bool wk__is_channels_last(const wk_tensor *x) {
    return x->rank >= 4 && !(x->flags & WK_TENSOR_CONTIGUOUS) && x->stride[1] == 1;
}

static wk_desc pooled(wk_dtype dtype, int rank, const int64_t *shape, bool last) {
    return last ? wk__channels_last(dtype, rank, shape) : wk_desc_row_major(dtype, rank, shape);
}

static wk_pool_opts with_defaults(wk_pool_opts opts) {
    for (int i = 0; i < 3; i++) {
        if (opts.stride[i] == 0) opts.stride[i] = opts.kernel[i];
        if (opts.dilation[i] == 0) opts.dilation[i] = 1;
    }
    return opts;
}

static wk_op_def max_pool2d_row, max_pool3d_row, avg_pool2d_row, avg_pool3d_row;
static wk_op_def adaptive_max_pool2d_row, adaptive_max_pool3d_row;
static wk_op_def max_backward_row, avg_backward_row, positions_row;

static wk_status check_rank(const wk_call *call) {
    const wk_tensor *x = call->in[0];
    bool deep = call->op == &max_pool3d_row || call->op == &avg_pool3d_row || call->op == &adaptive_max_pool3d_row;
    char text[160];
    if (x->rank == (deep ? 5 : 4)) return WK_OK;
    return wk_bad_call(call, WK_SHAPE, "x %s, expected (N, C, %s)", wk_describe(x, text, sizeof text),
                       deep ? "D, H, W" : "H, W");
}

static wk_status pool_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0];
    const wk_pool_opts opts = with_defaults(*(const wk_pool_opts *)call->attrs);
    char text[160];
    WK_TRY(check_rank(call));
    int64_t shape[5] = { x->shape[0], x->shape[1] };
    for (int i = 0; i + 2 < x->rank; i++) {
        int64_t kernel = opts.kernel[i], stride = opts.stride[i], padding = opts.padding[i], size = x->shape[2 + i];
        if (kernel < 1 || stride < 1 || padding < 0 || padding > kernel / 2)
            return wk_bad_call(call, WK_INVALID,
                               "kernel %lld, stride %lld, padding %lld: expected at least 1, 1 and 0 to kernel / 2",
                               (long long)kernel, (long long)stride, (long long)padding);
        if (opts.dilation[i] < 1)
            return wk_bad_call(call, WK_INVALID, "dilation %lld, expected at least 1", (long long)opts.dilation[i]);
        if (kernel >= INT32_MAX || opts.dilation[i] >= INT32_MAX || padding >= INT32_MAX || stride >= INT32_MAX)
            return wk_bad_call(call, WK_INVALID, "a kernel of %lld, dilation %lld, stride %lld is too large",
                               (long long)kernel, (long long)opts.dilation[i], (long long)stride);
        int64_t room = size + 2 * padding - opts.dilation[i] * (kernel - 1) - 1;
        if (room < 0)
            return wk_bad_call(call, WK_SHAPE, "a kernel of %lld does not fit x %s", (long long)kernel,
                               wk_describe(x, text, sizeof text));
        int64_t steps = (opts.ceil_mode ? room + stride - 1 : room) / stride + 1;
        if (opts.ceil_mode && (steps - 1) * stride >= size + padding) steps--; /* a window must start inside */
        shape[2 + i] = steps;
    }
    if (opts.divisor < 0)
        return wk_bad_call(call, WK_INVALID, "divisor %lld, expected at least 1", (long long)opts.divisor);
    out[0] = pooled((wk_dtype)x->dtype, x->rank, shape, wk__is_channels_last(x));
    return WK_OK;
}

static wk_status max_shape(const wk_call *call, wk_desc out[]) {
    const wk_pool_opts *opts = call->attrs;
    int64_t taps = 1;
    WK_TRY(pool_shape(call, out));
    for (int i = 0; i < out[0].rank - 2; i++) {
        if (taps > INT32_MAX / opts->kernel[i])
            return wk_bad_call(call, WK_UNSUPPORTED, "a window of more than %d elements", INT32_MAX);
        taps *= opts->kernel[i];
    }
    out[1] = out[0];
    out[1].dtype = taps <= 255 ? WK_U8 : WK_I32;
    return WK_OK;
}

static wk_status adaptive_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0];
    const wk_adaptive_pool_opts *opts = call->attrs;
    char text[160];
    WK_TRY(check_rank(call));
    int64_t shape[5] = { x->shape[0], x->shape[1] }, taps = 1;
    for (int i = 0; i + 2 < x->rank; i++) {
        int64_t size = x->shape[2 + i], steps = opts->size[i] ? opts->size[i] : size;
        if (steps < 1 || size < 1)
            return wk_bad_call(call, WK_SHAPE, "x %s to a size of %lld: expected at least 1",
                               wk_describe(x, text, sizeof text), (long long)steps);
        int64_t window = steps > size ? 2 : size / steps + 2; /* at most */
        if (steps > INT64_MAX / 2 / (size + 1) || taps > INT32_MAX / window)
            return wk_bad_call(call, WK_UNSUPPORTED, "a window of more than %d elements", INT32_MAX);
        taps *= window;
        shape[2 + i] = steps;
    }
    out[0] = pooled((wk_dtype)x->dtype, x->rank, shape, wk__is_channels_last(x));
    out[1] = out[0];
    out[1].dtype = taps <= 255 ? WK_U8 : WK_I32;
    return WK_OK;
}

static wk_status backward_shape(const wk_call *call, wk_desc out[]) {
    const wk_pool_grad_attrs *attrs = call->attrs;
    out[0] = pooled((wk_dtype)call->in[0]->dtype, attrs->dims.rank, attrs->dims.size, attrs->channels_last);
    return WK_OK;
}

static wk_status positions_shape(const wk_call *call, wk_desc out[]) {
    out[0] = wk_desc_row_major(WK_I64, call->in[0]->rank, call->in[0]->shape);
    return WK_OK;
}

static wk_cost pool_cost(const wk_call *call) {
    const wk_pool_opts *opts = call->attrs;
    double taps = 1;
    for (int i = 0; i + 2 < call->in[0]->rank; i++) taps *= (double)opts->kernel[i];
    return wk__cost_elements(call, taps);
}
static wk_cost adaptive_cost(const wk_call *call) {
    return (wk_cost){ (double)call->in[0]->count, wk__operand_bytes(call) };
}
static wk_cost backward_cost(const wk_call *call) {
    return wk__cost_elements(call, 1);
}

/* ---- gradients ---- */

static wk_pool_grad_attrs attrs_of(const wk_grad *g, bool adaptive) {
    wk_pool_grad_attrs attrs = { .dims = wk__dims(g->in[0]), .adaptive = adaptive };
    attrs.channels_last = wk__is_channels_last(g->in[0]);
    if (!adaptive) attrs.pool = with_defaults(*(const wk_pool_opts *)g->attrs);
    return attrs;
}
static wk_status max_grad(wk_grad *g) {
    const wk_pool_grad_attrs attrs = attrs_of(g, false);
    g->din[0] = wk_op_run2(&max_backward_row, &attrs, g->dout[0], g->out[1]);
    return WK_OK;
}
static wk_status adaptive_grad(wk_grad *g) {
    const wk_pool_grad_attrs attrs = attrs_of(g, true);
    g->din[0] = wk_op_run2(&max_backward_row, &attrs, g->dout[0], g->out[1]);
    return WK_OK;
}
static wk_status avg_grad(wk_grad *g) {
    const wk_pool_grad_attrs attrs = attrs_of(g, false);
    g->din[0] = wk_op_run1(&avg_backward_row, &attrs, g->dout[0]);
    return WK_OK;
}

wk_tensor *wk__max_pool_positions(wk_tensor *taps, const wk_pool_opts *opts, wk_dims x, bool adaptive) {
    wk_pool_grad_attrs attrs = { .dims = x, .adaptive = adaptive };
    if (!adaptive) attrs.pool = with_defaults(*opts);
    return wk_op_run1(&positions_row, &attrs, taps);
}

wk_tensor *wk__pick_positions(wk_tensor *x, wk_tensor *positions) {
    if (!x || !positions) return NULL;
    wk_tensor *picked = wk_gather(wk_flatten(x, 2), wk_flatten(positions, 2), 2);
    return wk_reshape(picked, wk__dims(positions));
}

/* dx is linear in dy: each element of dy went to one of dx. */
static wk_status max_backward_grad(wk_grad *g) {
    const wk_pool_grad_attrs *attrs = g->attrs;
    g->din[0] =
        wk__pick_positions(g->dout[0], wk__max_pool_positions(g->in[1], &attrs->pool, attrs->dims, attrs->adaptive));
    return WK_OK;
}
static wk_status avg_backward_grad(wk_grad *g) {
    const wk_pool_grad_attrs *attrs = g->attrs;
    g->din[0] = wk_op_run1(attrs->dims.rank == 5 ? &avg_pool3d_row : &avg_pool2d_row, &attrs->pool, g->dout[0]);
    return WK_OK;
}

/* ---- samples ---- */

static const wk_pool_opts
    two = { .kernel = { 2, 2 }, .stride = { 2, 2 } },
    overlap = { .kernel = { 3, 3 }, .stride = { 2, 2 }, .padding = { 1, 1 } },
    hang = { .kernel = { 3, 2 }, .stride = { 2, 2 }, .ceil_mode = true, .exclude_padding = true },
    dilated = { .kernel = { 3, 2 }, .stride = { 1, 2 }, .padding = { 1, 0 }, .dilation = { 2, 3 } },
    by_seven = { .kernel = { 3, 3 }, .stride = { 2, 2 }, .padding = { 1, 1 }, .divisor = 7 },
    cube = { .kernel = { 2, 2, 2 }, .stride = { 2, 1, 2 } },
    cubes = { .kernel = { 3, 2, 2 }, .stride = { 2, 2, 1 }, .padding = { 1, 1, 0 }, .ceil_mode = true };
static void common_samples(wk_sampler *s) {
    WK_CASE(s, "two", &two, { .dims = WK_DIMS(2, 3, 6, 4), .margin = 0.05 });
    WK_CASE(s, "overlap", &overlap, { .dims = WK_DIMS(2, 3, 7, 5), .margin = 0.05 });
    WK_CASE(s, "ceil", &hang, { .dims = WK_DIMS(1, 2, 6, 5), .margin = 0.05 });
    WK_CASE(s, "strided", &overlap, { .dims = WK_DIMS(2, 5, 6, 6), .margin = 0.05, .strided = true });
    WK_CASE(s, "empty", &two, { .dims = WK_DIMS(0, 3, 6, 4) });
    WK_CASE(s, "large", &two, { .dims = WK_DIMS(4, 64, 24, 24), .margin = 0.05, .strided = true });
}
static void max_pool2d_samples(wk_sampler *s) {
    const wk_pool_opts wide = { .kernel = { 17, 16 }, .stride = { 1, 1 } };
    common_samples(s);
    WK_CASE(s, "dilated", &dilated, { .dims = WK_DIMS(2, 2, 6, 7), .margin = 0.05 });
    WK_CASE(s, "large window", &wide, { .dims = WK_DIMS(1, 9, 18, 18), .margin = 0.001 });
    WK_HUGE_CASE(s, "huge", &two, { .dims = WK_DIMS(8, 32, 56, 56) });
    WK_HUGE_CASE(s, "huge overlap", &overlap, { .dims = WK_DIMS(8, 32, 56, 56) });
}
static void avg_pool2d_samples(wk_sampler *s) {
    common_samples(s);
    WK_CASE(s, "divisor", &by_seven, { .dims = WK_DIMS(1, 2, 6, 5) });
    WK_HUGE_CASE(s, "huge", &two, { .dims = WK_DIMS(8, 32, 56, 56) });
    WK_HUGE_CASE(s, "huge overlap", &overlap, { .dims = WK_DIMS(8, 32, 56, 56) });
}
static void max_pool3d_samples(wk_sampler *s) {
    const wk_pool_opts far = { .kernel = { 2, 2, 3 }, .stride = { 1, 1, 1 }, .dilation = { 1, 2, 1 } };
    WK_CASE(s, "cube", &cube, { .dims = WK_DIMS(1, 2, 4, 4, 4), .margin = 0.005 });
    WK_CASE(s, "ceil", &cubes, { .dims = WK_DIMS(2, 2, 3, 4, 3), .margin = 0.005, .strided = true });
    WK_CASE(s, "dilated", &far, { .dims = WK_DIMS(1, 2, 3, 4, 4), .margin = 0.005 });
    WK_CASE(s, "empty", &cube, { .dims = WK_DIMS(0, 2, 4, 4, 4) });
    WK_CASE(s, "large", &cubes, { .dims = WK_DIMS(2, 24, 8, 12, 12), .margin = 0.0001 });
    WK_HUGE_CASE(s, "huge", &cube, { .dims = WK_DIMS(2, 16, 16, 28, 28) });
}
static void avg_pool3d_samples(wk_sampler *s) {
    wk_pool_opts cut = cubes, fixed = cube;
    cut.exclude_padding = true, fixed.divisor = 3;
    WK_CASE(s, "cube", &cube, { .dims = WK_DIMS(1, 2, 4, 4, 4) });
    WK_CASE(s, "ceil", &cubes, { .dims = WK_DIMS(2, 2, 3, 4, 3), .strided = true });
    WK_CASE(s, "exclude", &cut, { .dims = WK_DIMS(1, 2, 3, 4, 3) });
    WK_CASE(s, "divisor", &fixed, { .dims = WK_DIMS(1, 1, 4, 4, 4) });
    WK_CASE(s, "large", &cubes, { .dims = WK_DIMS(2, 24, 8, 12, 12) });
    WK_HUGE_CASE(s, "huge", &cube, { .dims = WK_DIMS(2, 16, 16, 28, 28) });
}
static void adaptive_max_pool2d_samples(wk_sampler *s) {
    const wk_adaptive_pool_opts odd = { { 3, 2 } }, one = { { 1, 1 } }, more = { { 7, 0 } };
    WK_CASE(s, "odd", &odd, { .dims = WK_DIMS(2, 2, 5, 7), .margin = 0.005 });
    WK_CASE(s, "one", &one, { .dims = WK_DIMS(2, 3, 4, 5), .margin = 0.005, .strided = true });
    WK_CASE(s, "more", &more, { .dims = WK_DIMS(1, 2, 4, 3), .margin = 0.005 });
    WK_CASE(s, "empty", &odd, { .dims = WK_DIMS(0, 2, 5, 7) });
    WK_CASE(s, "large", &one, { .dims = WK_DIMS(2, 20, 28, 28), .margin = 0.00005 });
    WK_HUGE_CASE(s, "huge", &one, { .dims = WK_DIMS(16, 64, 28, 28) });
    WK_HUGE_CASE(s, "huge odd", &odd, { .dims = WK_DIMS(16, 64, 28, 28) });
}
static void adaptive_max_pool3d_samples(wk_sampler *s) {
    const wk_adaptive_pool_opts odd = { { 2, 2, 3 } };
    WK_CASE(s, "odd", &odd, { .dims = WK_DIMS(1, 2, 3, 4, 5), .margin = 0.005 });
    WK_CASE(s, "large", &odd, { .dims = WK_DIMS(1, 9, 7, 14, 20), .margin = 0.00005 });
    WK_HUGE_CASE(s, "huge", &odd, { .dims = WK_DIMS(2, 16, 16, 28, 28) });
}
/* Windows over padding are covered through the gradient of max pooling: not every tap is legal there. */
static void max_backward_samples(wk_sampler *s) {
    const wk_pool_grad_attrs attrs = { two, WK_DIMS(2, 3, 6, 4), false, false };
    WK_CASE(s, "two", &attrs, { .dims = WK_DIMS(2, 3, 3, 2) },
            { .dims = WK_DIMS(2, 3, 3, 2), .kind = WK_SAMPLE_INDEX, .high = 4 });
}
static void positions_samples(wk_sampler *s) {
    const wk_pool_grad_attrs attrs = { two, WK_DIMS(2, 3, 6, 4), false, false };
    WK_CASE(s, "two", &attrs, { .dims = WK_DIMS(2, 3, 3, 2), .kind = WK_SAMPLE_INDEX, .high = 4 });
}
static void avg_backward_samples(wk_sampler *s) {
    const wk_pool_grad_attrs attrs = { two, WK_DIMS(2, 3, 6, 4), false, false },
                             lap = { overlap, WK_DIMS(2, 3, 7, 5), true, false };
    WK_CASE(s, "two", &attrs, { .dims = WK_DIMS(2, 3, 3, 2) });
    WK_CASE(s, "overlap", &lap, { .dims = WK_DIMS(2, 3, 4, 3) });
}

/* ---- rows ---- */

#define POOL_ATTRS(base, axes)                                                                                         \
    { "kernel", WK_ATTR_INTS, base + offsetof(wk_pool_opts, kernel), axes, NULL, 0, "window" },                        \
        { "stride", WK_ATTR_INTS, base + offsetof(wk_pool_opts, stride), axes, NULL, 0, "0 means the window" },        \
        { "padding", WK_ATTR_INTS, base + offsetof(wk_pool_opts, padding), axes, NULL, 0, "at most half the window" }, \
        { "ceil_mode", WK_ATTR_BOOL, base + offsetof(wk_pool_opts, ceil_mode), 0, NULL, 0, "round sizes up" },
#define MAX_ATTRS(base, axes)                                                                         \
    POOL_ATTRS(base, axes) {                                                                          \
        "dilation", WK_ATTR_INTS, base + offsetof(wk_pool_opts, dilation), axes, NULL, 0, "0 means 1" \
    }
#define AVG_ATTRS(base, axes)                                                                                  \
    POOL_ATTRS(base, axes){                                                                                    \
        "exclude_padding",           WK_ATTR_BOOL, base + offsetof(wk_pool_opts, exclude_padding), 0, NULL, 0, \
        "average over what is there"                                                                           \
    },                                                                                                         \
    {                                                                                                          \
        "divisor", WK_ATTR_INT, base + offsetof(wk_pool_opts, divisor), 0, NULL, 0, "0: the window's size"     \
    }
static const wk_attr_def max_pool2d_attrs[] = { MAX_ATTRS(0, 2) }, max_pool3d_attrs[] = { MAX_ATTRS(0, 3) };
static const wk_attr_def avg_pool2d_attrs[] = { AVG_ATTRS(0, 2) }, avg_pool3d_attrs[] = { AVG_ATTRS(0, 3) };
#define ADAPTIVE_ATTRS(axes)                                                                                     \
    {                                                                                                            \
        { "size", WK_ATTR_INTS, offsetof(wk_adaptive_pool_opts, size), axes, NULL, 0, "of the result; 0: as x" } \
    }
static const wk_attr_def adaptive_max_pool2d_attrs[] = ADAPTIVE_ATTRS(2),
                         adaptive_max_pool3d_attrs[] = ADAPTIVE_ATTRS(3);
static const wk_attr_def grad_attrs[] = {
    AVG_ATTRS(offsetof(wk_pool_grad_attrs, pool), 3),
    { "dilation", WK_ATTR_INTS, offsetof(wk_pool_grad_attrs, pool.dilation), 3, NULL, 0, "0 means 1" },
    { "dims", WK_ATTR_DIMS, offsetof(wk_pool_grad_attrs, dims), 0, NULL, 0, "shape of dx" },
    { "channels_last", WK_ATTR_BOOL, offsetof(wk_pool_grad_attrs, channels_last), 0, NULL, 0, "layout of dx" },
    { "adaptive", WK_ATTR_BOOL, offsetof(wk_pool_grad_attrs, adaptive), 0, NULL, 0, "windows by size" },
};
#define ROW(id, text, type, outputs, shape_, grad_, cost_)                                    \
    static wk_op_def id##_row = { .name = #id,                                                \
                                  .doc = text,                                                \
                                  .n_in = 1,                                                  \
                                  .n_out = outputs,                                           \
                                  .saves_out = outputs == 2 ? 2 : 0,                          \
                                  .internal_out = outputs == 2 ? 2 : 0,                       \
                                  .attrs = id##_attrs,                                        \
                                  .n_attrs = (int)(sizeof id##_attrs / sizeof id##_attrs[0]), \
                                  .attrs_size = sizeof(type),                                 \
                                  .dtype = { .allowed = { WK_FLOATS } },                      \
                                  .shape = shape_,                                            \
                                  .grad = grad_,                                              \
                                  .cost = cost_,                                              \
                                  .samples = id##_samples };                                  \
    wk_tensor *wk_##id(wk_tensor *x, type opts) {                                             \
        return wk_op_run1(&id##_row, &opts, x);                                               \
    }
ROW(max_pool2d, "largest of each window", wk_pool_opts, 2, max_shape, max_grad, pool_cost)
ROW(max_pool3d, "largest of each window of a volume", wk_pool_opts, 2, max_shape, max_grad, pool_cost)
ROW(avg_pool2d, "mean of each window", wk_pool_opts, 1, pool_shape, avg_grad, pool_cost)
ROW(avg_pool3d, "mean of each window of a volume", wk_pool_opts, 1, pool_shape, avg_grad, pool_cost)
ROW(adaptive_max_pool2d, "largest of windows that share the image", wk_adaptive_pool_opts, 2, adaptive_shape,
    adaptive_grad, adaptive_cost)
ROW(adaptive_max_pool3d, "largest of windows that share the volume", wk_adaptive_pool_opts, 2, adaptive_shape,
    adaptive_grad, adaptive_cost)

#define N_GRAD_ATTRS (int)(sizeof grad_attrs / sizeof grad_attrs[0])
static wk_op_def max_backward_row = { .name = "max_pool_backward",
                                      .internal = true,
                                      .doc = "gradient of max pooling",
                                      .n_in = 2,
                                      .n_out = 1,
                                      .saves_in = 2,
                                      .attrs = grad_attrs,
                                      .n_attrs = N_GRAD_ATTRS,
                                      .attrs_size = sizeof(wk_pool_grad_attrs),
                                      .zero_sized_runs = true,
                                      .dtype = { .allowed = { WK_FLOATS, WK_SET_OF(WK_U8) | WK_SET_OF(WK_I32) } },
                                      .shape = backward_shape,
                                      .grad = max_backward_grad,
                                      .cost = backward_cost,
                                      .samples = max_backward_samples };
static wk_op_def positions_row = { .name = "max_pool_positions",
                                   .internal = true,
                                   .doc = "row-major positions of maxima from their taps",
                                   .n_in = 1,
                                   .n_out = 1,
                                   .attrs = grad_attrs,
                                   .n_attrs = N_GRAD_ATTRS,
                                   .attrs_size = sizeof(wk_pool_grad_attrs),
                                   .dtype = { .allowed = { WK_SET_OF(WK_U8) | WK_SET_OF(WK_I32) } },
                                   .shape = positions_shape,
                                   .not_differentiable = "positions are whole numbers",
                                   .cost = backward_cost,
                                   .samples = positions_samples };
static wk_op_def avg_backward_row = { .name = "avg_pool_backward",
                                      .internal = true,
                                      .doc = "gradient of average pooling",
                                      .n_in = 1,
                                      .n_out = 1,
                                      .attrs = grad_attrs,
                                      .n_attrs = N_GRAD_ATTRS,
                                      .attrs_size = sizeof(wk_pool_grad_attrs),
                                      .zero_sized_runs = true,
                                      .dtype = { .allowed = { WK_FLOATS } },
                                      .shape = backward_shape,
                                      .grad = avg_backward_grad,
                                      .cost = backward_cost,
                                      .samples = avg_backward_samples };

wk_op_def *const wk__rows_pool[] = {
    &max_pool2d_row,   &max_pool3d_row,          &avg_pool2d_row, &avg_pool3d_row,          &max_backward_row,
    &avg_backward_row, &adaptive_max_pool2d_row, &positions_row,  &adaptive_max_pool3d_row, NULL
};
