/* pool.c: pooling of images.
 *
 * Max pooling keeps, for each result, where in its window the maximum stood (one byte), so that backward touches
 * neither x nor y.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static bool is_channels_last(const wk_tensor *x) {
    return x->rank == 4 && !(x->flags & WK_TENSOR_CONTIGUOUS) && x->stride[1] == 1;
}

static void lay_out(wk_desc *desc, bool last) {
    if (!last) return;
    desc->strided = true;
    desc->stride[1] = 1;
    desc->stride[3] = desc->shape[1];
    desc->stride[2] = desc->shape[3] * desc->shape[1];
    desc->stride[0] = desc->shape[2] * desc->stride[2];
}

static wk_pool_opts with_defaults(wk_pool_opts opts) {
    for (int i = 0; i < 2; i++)
        if (opts.stride[i] == 0) opts.stride[i] = opts.kernel[i];
    return opts;
}

static wk_status pool_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0];
    const wk_pool_opts *opts = call->attrs;
    char text[160];
    if (x->rank != 4)
        return wk_bad_call(call, WK_SHAPE, "x %s, expected (N, C, H, W)", wk_describe(x, text, sizeof text));
    wk_desc desc = wk_desc_row_major((wk_dtype)x->dtype, 4, x->shape);
    for (int i = 0; i < 2; i++) {
        int64_t kernel = opts->kernel[i], stride = opts->stride[i], padding = opts->padding[i], size = x->shape[2 + i];
        if (kernel < 1 || stride < 1 || padding < 0 || padding > kernel / 2)
            return wk_bad_call(call, WK_INVALID,
                               "kernel %lld, stride %lld, padding %lld: expected at least 1, 1 and 0 to kernel / 2",
                               (long long)kernel, (long long)stride, (long long)padding);
        int64_t room = size + 2 * padding - kernel;
        if (room < 0)
            return wk_bad_call(call, WK_SHAPE, "a kernel of %lld does not fit x %s", (long long)kernel,
                               wk_describe(x, text, sizeof text));
        int64_t steps = (opts->ceil_mode ? room + stride - 1 : room) / stride + 1;
        if (opts->ceil_mode && (steps - 1) * stride >= size + padding) steps--; /* a window must start inside */
        desc.shape[2 + i] = steps;
    }
    lay_out(&desc, is_channels_last(x));
    out[0] = desc;
    return WK_OK;
}

static wk_status max_pool_shape(const wk_call *call, wk_desc out[]) {
    const wk_pool_opts *opts = call->attrs;
    WK_TRY(pool_shape(call, out));
    if (opts->kernel[0] * opts->kernel[1] > 255)
        return wk_bad_call(call, WK_UNSUPPORTED, "a window of %lld × %lld, at most 255 elements",
                           (long long)opts->kernel[0], (long long)opts->kernel[1]);
    out[1] = out[0];
    out[1].dtype = WK_U8;
    return WK_OK;
}

static wk_status backward_shape(const wk_call *call, wk_desc out[]) {
    const wk_pool_grad_attrs *attrs = call->attrs;
    out[0] = wk_desc_row_major((wk_dtype)call->in[0]->dtype, 4, attrs->dims.size);
    lay_out(&out[0], attrs->channels_last);
    return WK_OK;
}

static wk_cost pool_cost(const wk_call *call) {
    const wk_pool_opts *opts = call->attrs;
    return wk__cost_elements(call, (double)(opts->kernel[0] * opts->kernel[1]));
}
static wk_cost backward_cost(const wk_call *call) {
    return wk__cost_elements(call, 1);
}

static wk_op_def max_backward_row, avg_row, avg_backward_row;

static wk_pool_grad_attrs attrs_of(const wk_grad *g) {
    return (wk_pool_grad_attrs){ *(const wk_pool_opts *)g->attrs, wk__dims(g->in[0]), is_channels_last(g->in[0]) };
}
static wk_status max_grad(wk_grad *g) {
    const wk_pool_grad_attrs attrs = attrs_of(g);
    g->din[0] = wk_op_run2(&max_backward_row, &attrs, g->dout[0], g->out[1]);
    return WK_OK;
}
static wk_status avg_grad(wk_grad *g) {
    const wk_pool_grad_attrs attrs = attrs_of(g);
    g->din[0] = wk_op_run1(&avg_backward_row, &attrs, g->dout[0]);
    return WK_OK;
}
static wk_status avg_backward_grad(wk_grad *g) {
    g->din[0] = wk_op_run1(&avg_row, &((const wk_pool_grad_attrs *)g->attrs)->pool, g->dout[0]);
    return WK_OK;
}

/* Where in its plane (H · W) each result's maximum stood, (N · C, P · Q): the window's corner, then down by
 * offset / width rows of it and right by the rest.  The division is of small whole numbers, and safe from below. */
static wk_tensor *positions(wk_tensor *offsets /* (N, C, P, Q) u8 */, const wk_pool_grad_attrs *attrs) {
    const wk_pool_opts *pool = &attrs->pool;
    int64_t n = offsets->shape[0], c = offsets->shape[1], p = offsets->shape[2], q = offsets->shape[3];
    int64_t width = attrs->dims.size[3];
    double across = (double)pool->kernel[1];
    wk_tensor *offset = wk_cast(wk_contiguous(offsets), WK_F64);
    wk_tensor *row = wk_cast(wk_affine(offset, (wk_affine_opts){ 1 / across, 0.5 / across }), WK_I64);
    wk_tensor *jump = wk_full(WK_I64, WK_SCALAR, (double)(width - pool->kernel[1]));
    wk_tensor *inside = wk_add(wk_cast(offset, WK_I64), wk_mul(row, jump));
    wk_tensor *down = wk_mul(wk_arange(p), wk_full(WK_I64, WK_SCALAR, (double)(pool->stride[0] * width)));
    wk_tensor *right = wk_mul(wk_arange(q), wk_full(WK_I64, WK_SCALAR, (double)pool->stride[1]));
    wk_tensor *first = wk_full(WK_I64, WK_SCALAR, (double)(-pool->padding[0] * width - pool->padding[1]));
    wk_tensor *corner = wk_add(wk_add(wk_reshape(down, WK_DIMS(p, 1)), right), first);
    return wk_reshape(wk_add(inside, corner), WK_DIMS(n * c, p * q));
}

/* dx is dy put where the maxima stood: backwards, what stands there is picked. */
static wk_status max_backward_grad(wk_grad *g) {
    const wk_pool_grad_attrs *attrs = g->attrs;
    const int64_t *x = attrs->dims.size;
    if (!g->needs[0]) return WK_OK;
    wk_tensor *planes = wk_reshape(wk_contiguous(g->dout[0]), WK_DIMS(x[0] * x[1], x[2] * x[3]));
    g->din[0] = wk_reshape(wk_gather(planes, positions(g->in[1], attrs), 1), wk__dims(g->in[0]));
    return WK_OK;
}

static const wk_pool_opts two = { .kernel = { 2, 2 }, .stride = { 2, 2 } },
                          overlap = { .kernel = { 3, 3 }, .stride = { 2, 2 }, .padding = { 1, 1 } },
                          hang = { .kernel = { 3, 2 }, .stride = { 2, 2 }, .ceil_mode = true, .exclude_padding = true };
static void pool_samples(wk_sampler *s) {
    WK_CASE(s, "two", &two, { .dims = WK_DIMS(2, 3, 6, 4), .margin = 0.05 });
    WK_CASE(s, "overlap", &overlap, { .dims = WK_DIMS(2, 3, 7, 5), .margin = 0.05 });
    WK_CASE(s, "ceil", &hang, { .dims = WK_DIMS(1, 2, 6, 5), .margin = 0.05 });
    WK_CASE(s, "strided", &overlap, { .dims = WK_DIMS(2, 5, 6, 6), .margin = 0.05, .strided = true });
    WK_CASE(s, "empty", &two, { .dims = WK_DIMS(0, 3, 6, 4) });
    WK_CASE(s, "large", &two, { .dims = WK_DIMS(4, 64, 24, 24), .margin = 0.05, .strided = true });
}
/* Windows over padding are covered through max_pool2d's own gradient: not every index is legal there. */
static void max_backward_samples(wk_sampler *s) {
    const wk_pool_grad_attrs attrs = { two, WK_DIMS(2, 3, 6, 4), false };
    WK_CASE(s, "two", &attrs, { .dims = WK_DIMS(2, 3, 3, 2) },
            { .dims = WK_DIMS(2, 3, 3, 2), .kind = WK_SAMPLE_INDEX, .high = 4 });
}
static void avg_backward_samples(wk_sampler *s) {
    const wk_pool_grad_attrs attrs = { two, WK_DIMS(2, 3, 6, 4), false }, lap = { overlap, WK_DIMS(2, 3, 7, 5), true };
    WK_CASE(s, "two", &attrs, { .dims = WK_DIMS(2, 3, 3, 2) });
    WK_CASE(s, "overlap", &lap, { .dims = WK_DIMS(2, 3, 4, 3) });
}

#define POOL_ATTRS(base)                                                                                            \
    { "kernel", WK_ATTR_INTS, base + offsetof(wk_pool_opts, kernel), 2, NULL, 0, "window" },                        \
        { "stride", WK_ATTR_INTS, base + offsetof(wk_pool_opts, stride), 2, NULL, 0, "0 means the window" },        \
        { "padding", WK_ATTR_INTS, base + offsetof(wk_pool_opts, padding), 2, NULL, 0, "at most half the window" }, \
        { "ceil_mode", WK_ATTR_BOOL, base + offsetof(wk_pool_opts, ceil_mode), 0, NULL, 0, "round sizes up" }, {    \
        "exclude_padding", WK_ATTR_BOOL, base + offsetof(wk_pool_opts, exclude_padding), 0, NULL, 0,                \
            "average over what is there"                                                                            \
    }
static const wk_attr_def pool_attrs[] = { POOL_ATTRS(0) };
static const wk_attr_def grad_attrs[] = {
    POOL_ATTRS(offsetof(wk_pool_grad_attrs, pool)),
    { "dims", WK_ATTR_DIMS, offsetof(wk_pool_grad_attrs, dims), 0, NULL, 0, "shape of dx" },
    { "channels_last", WK_ATTR_BOOL, offsetof(wk_pool_grad_attrs, channels_last), 0, NULL, 0, "layout of dx" },
};
static wk_op_def max_row = { .name = "max_pool2d",
                             .doc = "largest of each window",
                             .n_in = 1,
                             .n_out = 2,
                             .saves_out = 2,
                             .internal_out = 2,
                             .attrs = pool_attrs,
                             .n_attrs = 5,
                             .attrs_size = sizeof(wk_pool_opts),
                             .dtype = { .allowed = { WK_FLOATS } },
                             .shape = max_pool_shape,
                             .grad = max_grad,
                             .cost = pool_cost,
                             .samples = pool_samples };
static wk_op_def max_backward_row = { .name = "max_pool2d_backward",
                                      .internal = true,
                                      .doc = "gradient of max_pool2d",
                                      .n_in = 2,
                                      .n_out = 1,
                                      .saves_in = 2,
                                      .attrs = grad_attrs,
                                      .n_attrs = 7,
                                      .attrs_size = sizeof(wk_pool_grad_attrs),
                                      .zero_sized_runs = true,
                                      .dtype = { .allowed = { WK_FLOATS, WK_SET_OF(WK_U8) } },
                                      .shape = backward_shape,
                                      .grad = max_backward_grad,
                                      .cost = backward_cost,
                                      .samples = max_backward_samples };
static wk_op_def avg_row = { .name = "avg_pool2d",
                             .doc = "mean of each window",
                             .n_in = 1,
                             .n_out = 1,
                             .attrs = pool_attrs,
                             .n_attrs = 5,
                             .attrs_size = sizeof(wk_pool_opts),
                             .dtype = { .allowed = { WK_FLOATS } },
                             .shape = pool_shape,
                             .grad = avg_grad,
                             .cost = pool_cost,
                             .samples = pool_samples };
static wk_op_def avg_backward_row = { .name = "avg_pool2d_backward",
                                      .internal = true,
                                      .doc = "gradient of avg_pool2d",
                                      .n_in = 1,
                                      .n_out = 1,
                                      .attrs = grad_attrs,
                                      .n_attrs = 7,
                                      .attrs_size = sizeof(wk_pool_grad_attrs),
                                      .zero_sized_runs = true,
                                      .dtype = { .allowed = { WK_FLOATS } },
                                      .shape = backward_shape,
                                      .grad = avg_backward_grad,
                                      .cost = backward_cost,
                                      .samples = avg_backward_samples };

wk_tensor *wk_max_pool2d(wk_tensor *x, wk_pool_opts opts) {
    const wk_pool_opts full = with_defaults(opts);
    return wk_op_run1(&max_row, &full, x);
}
wk_tensor *wk_avg_pool2d(wk_tensor *x, wk_pool_opts opts) {
    const wk_pool_opts full = with_defaults(opts);
    return wk_op_run1(&avg_row, &full, x);
}

wk_op_def *const wk__rows_pool[] = { &max_row, &max_backward_row, &avg_row, &avg_backward_row, NULL };
