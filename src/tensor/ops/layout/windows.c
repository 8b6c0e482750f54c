/* windows.c: sliding windows as a view, and what is made of it: unfold (im2col), fold (col2im).
 *
 * A window's elements lie `dilation` strides apart, so a new axis with that stride is all that is needed; the gradient
 * adds what overlaps, one position of the window after another, in order.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#include <string.h>

static wk_cost add_cost(const wk_call *call) {
    return (wk_cost){ (double)call->in[0]->count, wk__operand_bytes(call) };
}
static int64_t or_one(int64_t value) {
    return value ? value : 1;
}

static wk_status windows_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0];
    const wk_windows_opts *opts = call->attrs;
    int axis = wk__axis("windows", x, opts->axis);
    if (axis < 0) return wk_error_code();
    int64_t step = or_one(opts->step), dilation = or_one(opts->dilation);
    if (opts->size < 1 || step < 1 || dilation < 1 || step > INT32_MAX || dilation > INT32_MAX)
        return wk_bad_call(call, WK_INVALID, "size %lld, step %lld, dilation %lld: expected at least 1, less than 2^31",
                           (long long)opts->size, (long long)step, (long long)dilation);
    int64_t reach;
    if (__builtin_mul_overflow(dilation, opts->size - 1, &reach) || reach >= x->shape[axis])
        return wk_bad_call(call, WK_SHAPE,
                           "a window of %lld elements, %lld apart, does not fit into axis %d of size %lld",
                           (long long)opts->size, (long long)dilation, axis, (long long)x->shape[axis]);
    if (x->rank == WK_MAX_RANK) return wk_bad_call(call, WK_SHAPE, "x has rank %d already", x->rank);
    wk_desc desc = { .rank = x->rank + 1, .dtype = (wk_dtype)x->dtype, .view_of = 1 };
    memcpy(desc.shape, x->shape, sizeof desc.shape);
    memcpy(desc.stride, x->stride, sizeof desc.stride);
    desc.shape[axis] = (x->shape[axis] - 1 - reach) / step + 1;
    desc.stride[axis] = x->stride[axis] * step;
    desc.shape[x->rank] = opts->size;
    desc.stride[x->rank] = x->stride[axis] * dilation;
    out[0] = desc;
    return WK_OK;
}

static wk_op_def windows_row, windows_backward_row;

/* y (…, windows, …, size) added into zeros (…, length, …) */
static wk_tensor *add_windows(wk_tensor *y, wk_windows_opts windows, wk_dims dims) {
    windows.step = or_one(windows.step);
    windows.dilation = or_one(windows.dilation);
    const wk_windows_grad_attrs attrs = { windows, dims };
    return wk_op_run1(&windows_backward_row, &attrs, y);
}

static wk_status windows_grad(wk_grad *g) {
    wk_windows_opts opts = *(const wk_windows_opts *)g->attrs;
    if (opts.axis < 0) opts.axis += g->in[0]->rank;
    g->din[0] = add_windows(g->dout[0], opts, wk__dims(g->in[0]));
    return WK_OK;
}
static void windows_samples(wk_sampler *s) {
    const wk_windows_opts plain = { 1, 3, 0, 0 }, far = { -1, 3, 2, 2 }, apart = { 0, 2, 3, 0 };
    WK_CASE(s, "plain", &plain, { .dims = WK_DIMS(2, 7, 3) });
    WK_CASE(s, "far", &far, { .dims = WK_DIMS(2, 11), .strided = true });
    WK_CASE(s, "apart", &apart, { .dims = WK_DIMS(8, 3) });
    WK_HUGE_CASE(s, "huge", &plain, { .dims = WK_DIMS(16, 256, 128) });
}
static const wk_attr_def windows_attrs[] = {
    { "axis", WK_ATTR_INT, offsetof(wk_windows_opts, axis), 0, NULL, 0, "along which" },
    { "size", WK_ATTR_INT, offsetof(wk_windows_opts, size), 0, NULL, 0, "elements of a window" },
    { "step", WK_ATTR_INT, offsetof(wk_windows_opts, step), 0, NULL, 0, "between windows; 0 means 1" },
    { "dilation", WK_ATTR_INT, offsetof(wk_windows_opts, dilation), 0, NULL, 0, "between elements; 0 means 1" },
};
static wk_op_def windows_row = { .name = "windows",
                                 .doc = "a view of sliding windows along an axis",
                                 .n_in = 1,
                                 .n_out = 1,
                                 .attrs = windows_attrs,
                                 .n_attrs = 4,
                                 .attrs_size = sizeof(wk_windows_opts),
                                 .shape = windows_shape,
                                 .grad = windows_grad,
                                 .cost = wk__cost_nothing,
                                 .samples = windows_samples };
wk_tensor *wk_windows(wk_tensor *x, wk_windows_opts opts) {
    return wk_op_run1(&windows_row, &opts, x);
}

static wk_status windows_backward_shape(const wk_call *call, wk_desc out[]) {
    const wk_windows_grad_attrs *attrs = call->attrs;
    out[0] = wk_desc_row_major((wk_dtype)call->in[0]->dtype, attrs->dims.rank, attrs->dims.size);
    return WK_OK;
}
static wk_status windows_backward_grad(wk_grad *g) {
    g->din[0] = wk_windows(g->dout[0], ((const wk_windows_grad_attrs *)g->attrs)->windows);
    return WK_OK;
}
static void windows_backward_samples(wk_sampler *s) {
    const wk_windows_grad_attrs attrs = { { 1, 3, 2, 1 }, WK_DIMS(2, 7, 2) };
    WK_CASE(s, "overlap", &attrs, { .dims = WK_DIMS(2, 3, 2, 3) });
}
static wk_op_def windows_backward_row = { .name = "windows_backward",
                                          .internal = true,
                                          .doc = "windows added into zeros",
                                          .n_in = 1,
                                          .n_out = 1,
                                          .attrs_size = sizeof(wk_windows_grad_attrs),
                                          .dtype = { .allowed = { WK_NUMBERS } },
                                          .zero_sized_runs = true,
                                          .shape = windows_backward_shape,
                                          .grad = windows_backward_grad,
                                          .cost = add_cost,
                                          .samples = windows_backward_samples };

/* ---- unfold, fold ---- */

static wk_windows_opts along(const wk_unfold_opts *opts, int axis, int which) {
    return (wk_windows_opts){ axis, opts->kernel[which], or_one(opts->stride[which]), or_one(opts->dilation[which]) };
}

static wk_status unfold_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_unfold_opts *opts = call->attrs;
    wk_tensor *x = call->in[0];
    char text[160];
    if (x->rank != 4)
        return wk_bad_call(call, WK_SHAPE, "x is %s, expected (N, C, H, W)", wk_describe(x, text, sizeof text));
    if (opts->padding[0] || opts->padding[1]) {
        wk_dims pad = WK_DIMS(opts->padding[0], opts->padding[1]);
        x = wk_pad(x, (wk_pad_opts){ .before = pad, .after = pad });
    }
    /* (N, C, rows, W, kernel rows), these before the lines, which the gradient then adds up whole */
    wk_tensor *rows = wk_permute(wk_windows(x, along(opts, 2, 0)), WK_DIMS(0, 1, 4, 2, 3));
    wk_tensor *view = wk_windows(rows, along(opts, 4, 1));
    if (!view) return wk_error_code();
    int64_t columns = x->shape[1] * opts->kernel[0] * opts->kernel[1];
    out[0] = wk_reshape(wk_permute(view, WK_DIMS(0, 1, 2, 5, 3, 4)),
                        WK_DIMS(x->shape[0], columns, view->shape[3] * view->shape[4]));
    return WK_OK;
}

/* Numbers that no sum or product below can overflow. */
static bool is_sane(int64_t value) {
    return value >= 0 && value <= INT32_MAX;
}

static wk_status fold_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_fold_opts *opts = call->attrs;
    const wk_unfold_opts *w = &opts->windows;
    const wk_tensor *x = call->in[0];
    int64_t padded[2], count[2];
    for (int i = 0; i < 2; i++) {
        if (!is_sane(opts->size[i]) || !is_sane(w->kernel[i]) || !is_sane(w->stride[i]) || !is_sane(w->padding[i])
            || !is_sane(w->dilation[i]))
            return wk_bad_call(call, WK_INVALID,
                               "size %lld, kernel %lld, stride %lld, padding %lld, dilation %lld: "
                               "expected numbers from 0 to 2^31 - 1",
                               (long long)opts->size[i], (long long)w->kernel[i], (long long)w->stride[i],
                               (long long)w->padding[i], (long long)w->dilation[i]);
        padded[i] = opts->size[i] + 2 * w->padding[i];
        int64_t room = padded[i] - or_one(w->dilation[i]) * (w->kernel[i] - 1) - 1;
        if (w->kernel[i] < 1 || room < 0 || opts->size[i] < 1)
            return wk_bad_call(call, WK_SHAPE, "a window of %lld does not fit into a size of %lld",
                               (long long)w->kernel[i], (long long)opts->size[i]);
        count[i] = room / or_one(w->stride[i]) + 1;
    }
    int64_t kernel = w->kernel[0] * w->kernel[1];
    char text[160];
    if (x->rank != 3 || x->shape[1] % kernel != 0 || x->shape[2] != count[0] * count[1])
        return wk_bad_call(call, WK_SHAPE, "x is %s, expected (N, C · %lld, %lld)", wk_describe(x, text, sizeof text),
                           (long long)kernel, (long long)(count[0] * count[1]));
    int64_t n = x->shape[0], c = x->shape[1] / kernel;
    wk_tensor *split = wk_reshape(call->in[0], WK_DIMS(n, c, w->kernel[0], w->kernel[1], count[0], count[1]));
    wk_tensor *y = wk_permute(split, WK_DIMS(0, 1, 2, 4, 5, 3));
    y = add_windows(y, along(w, 4, 1), WK_DIMS(n, c, w->kernel[0], count[0], padded[1]));
    y = add_windows(wk_permute(y, WK_DIMS(0, 1, 3, 4, 2)), along(w, 2, 0), WK_DIMS(n, c, padded[0], padded[1]));
    for (int i = 0; i < 2; i++)
        if (w->padding[i]) y = wk_slice(y, 2 + i, w->padding[i], w->padding[i] + opts->size[i], 1);
    out[0] = wk_contiguous(y);
    return WK_OK;
}

static void unfold_samples(wk_sampler *s) {
    const wk_unfold_opts plain = { .kernel = { 2, 3 } },
                         full = { .kernel = { 3, 2 }, .stride = { 2, 1 }, .dilation = { 1, 2 }, .padding = { 1, 2 } };
    WK_CASE(s, "plain", &plain, { .dims = WK_DIMS(2, 2, 4, 5) });
    WK_CASE(s, "full", &full, { .dims = WK_DIMS(1, 3, 5, 4), .strided = true });
    WK_CASE(s, "large", &plain, { .dims = WK_DIMS(2, 8, 33, 31) });
    WK_HUGE_CASE(s, "huge", &plain, { .dims = WK_DIMS(2, 32, 56, 56) });
}
static void fold_samples(wk_sampler *s) {
    const wk_fold_opts plain = { { 4, 5 }, { .kernel = { 2, 3 } } },
                       full = { { 5, 4 },
                                { .kernel = { 3, 2 }, .stride = { 2, 1 }, .dilation = { 1, 2 }, .padding = { 1, 2 } } };
    WK_CASE(s, "plain", &plain, { .dims = WK_DIMS(1, 12, 9) });
    WK_CASE(s, "full", &full, { .dims = WK_DIMS(1, 6, 18) });
    const wk_fold_opts image = { { 56, 56 }, { .kernel = { 2, 3 } } };
    WK_HUGE_CASE(s, "huge", &image, { .dims = WK_DIMS(2, 192, 2970) });
}
#define WINDOW_ATTRS(type, at)                                                                                \
    { "kernel", WK_ATTR_INTS, offsetof(type, at kernel), 2, NULL, 0, "size of a window" },                    \
        { "stride", WK_ATTR_INTS, offsetof(type, at stride), 2, NULL, 0, "between windows; 0 means 1" },      \
        { "dilation", WK_ATTR_INTS, offsetof(type, at dilation), 2, NULL, 0, "between elements; 0 means 1" }, \
        { "padding", WK_ATTR_INTS, offsetof(type, at padding), 2, NULL, 0, "zeros around the image" },
static const wk_attr_def unfold_attrs[] = { WINDOW_ATTRS(wk_unfold_opts, ) };
static const wk_attr_def fold_attrs[] = { { "size", WK_ATTR_INTS, offsetof(wk_fold_opts, size), 2, NULL, 0,
                                            "height and width of the result" },
                                          WINDOW_ATTRS(wk_fold_opts, windows.) };
#define COMPOSITE(id, text, type)                                                             \
    static wk_op_def id##_row = { .name = #id,                                                \
                                  .doc = text,                                                \
                                  .n_in = 1,                                                  \
                                  .n_out = 1,                                                 \
                                  .composite = true,                                          \
                                  .attrs = id##_attrs,                                        \
                                  .n_attrs = (int)(sizeof id##_attrs / sizeof id##_attrs[0]), \
                                  .attrs_size = sizeof(type),                                 \
                                  .dtype = { .allowed = { WK_NUMBERS } },                     \
                                  .decompose = id##_parts,                                    \
                                  .cost = wk__cost_move,                                      \
                                  .samples = id##_samples };                                  \
    wk_tensor *wk_##id(wk_tensor *x, type opts) {                                             \
        return wk_op_run1(&id##_row, &opts, x);                                               \
    }
COMPOSITE(unfold, "windows of images as columns", wk_unfold_opts)
COMPOSITE(fold, "columns added back to images", wk_fold_opts)

wk_op_def *const wk__rows_windows[] = { &windows_row, &windows_backward_row, &unfold_row, &fold_row, NULL };
