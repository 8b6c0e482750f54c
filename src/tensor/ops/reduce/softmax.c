/* softmax.c: softmax and its logarithm along an axis, with fused backward rows (built from primitives they would read
 * the result three times). */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static wk_status softmax_shape(const wk_call *call, wk_desc out[]) {
    const wk_axis_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0];
    if (wk__axis(call->op->name, x, (int64_t)wk_optional_or(opts->axis, -1)) < 0) return wk_error_code();
    if (call->n_in == 2) return wk_desc_broadcast(call, (wk_dtype)x->dtype, out);
    out[0] = wk_desc_like(x);
    return WK_OK;
}

static wk_cost softmax_cost(const wk_call *call) {
    return wk__cost_elements(call, 15);
}

static void softmax_samples(wk_sampler *s) {
    const wk_axis_opts last = { { 0 } }, first = { WK_SET(0) }, middle = { WK_SET(1) };
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(5, 10) });
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(5, 3) });
    WK_CASE(s, "middle", &middle, { .dims = WK_DIMS(2, 5, 3), .strided = true });
    WK_CASE(s, "columns", &first, { .dims = WK_DIMS(5, 20) });
    WK_CASE(s, "wide", &last, { .dims = WK_DIMS(3, 1031), .low = -30, .high = 30 });
    WK_CASE(s, "wide columns", &first, { .dims = WK_DIMS(7, 300) });
    WK_HUGE_CASE(s, "huge", &last, { .dims = WK_DIMS(512, 1024) });
    WK_HUGE_CASE(s, "huge first", &first, { .dims = WK_DIMS(512, 1024) });
}

static void backward_samples(wk_sampler *s) {
    const wk_axis_opts last = { { 0 } }, middle = { WK_SET(1) }, first = { WK_SET(0) };
    WK_CASE(s, "columns", &first, { .dims = WK_DIMS(5, 20) }, { .dims = WK_DIMS(5, 20), .low = 0.01, .high = 0.2 });
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(5, 10) }, { .dims = WK_DIMS(5, 10), .low = 0.01, .high = 0.2 });
    WK_CASE(s, "middle", &middle, { .dims = WK_DIMS(2, 5, 3), .strided = true },
            { .dims = WK_DIMS(2, 5, 3), .low = 0.01, .high = 0.2 });
}

static wk_tensor *sum_along(wk_tensor *x, const wk_axis_opts *opts) {
    return wk_sum(x, (wk_reduce_opts){ .axes = WK_DIMS((int64_t)wk_optional_or(opts->axis, -1)), .keep_dims = true });
}

static wk_op_def softmax_backward_row, log_softmax_backward_row;

static wk_status softmax_grad(wk_grad *g) {
    g->din[0] = wk_op_run2(&softmax_backward_row, g->attrs, g->dout[0], g->out[0]);
    return WK_OK;
}
static wk_status log_softmax_grad(wk_grad *g) {
    g->din[0] = wk_op_run2(&log_softmax_backward_row, g->attrs, g->dout[0], g->out[0]);
    return WK_OK;
}

/* dx = y (dy - Σ dy y) */
static wk_status softmax_backward_grad(wk_grad *g) {
    wk_tensor *d = g->dout[0], *dy = g->in[0], *y = g->in[1];
    if (g->needs[0]) g->din[0] = wk_op_run2(&softmax_backward_row, g->attrs, d, y);
    if (g->needs[1]) {
        wk_tensor *inner = wk_mul(d, wk_sub(dy, sum_along(wk_mul(dy, y), g->attrs)));
        g->din[1] = wk_sub(inner, wk_mul(dy, sum_along(wk_mul(d, y), g->attrs)));
    }
    return WK_OK;
}

/* dx = dy - e^y Σ dy */
static wk_status log_softmax_backward_grad(wk_grad *g) {
    wk_tensor *d = g->dout[0], *dy = g->in[0], *p = wk_exp(g->in[1]);
    if (g->needs[0]) g->din[0] = wk_sub(d, sum_along(wk_mul(d, p), g->attrs));
    if (g->needs[1]) g->din[1] = wk_neg(wk_mul(wk_mul(d, p), sum_along(dy, g->attrs)));
    return WK_OK;
}

static const wk_attr_def attrs[] = { { "axis", WK_ATTR_OPTIONAL, offsetof(wk_axis_opts, axis), 0, NULL, -1,
                                       "default the last" } };
#define ROW(id, text, inputs, keep_in, keep_out, rule, cases)                                 \
    static wk_op_def id##_row = {                                                             \
        .name = #id,                                                                          \
        .doc = text,                                                                          \
        .n_in = inputs,                                                                       \
        .internal = (inputs) == 2,                                                            \
        .n_out = 1,                                                                           \
        .saves_in = keep_in,                                                                  \
        .saves_out = keep_out,                                                                \
        .attrs = attrs,                                                                       \
        .n_attrs = 1,                                                                         \
        .attrs_size = sizeof(wk_axis_opts),                                                   \
        .dtype = { .allowed = { WK_FLOATS, WK_FLOATS }, .same = 3, .autocast = WK_CAST_F32 }, \
        .shape = softmax_shape,                                                               \
        .grad = rule,                                                                         \
        .cost = softmax_cost,                                                                 \
        .samples = cases                                                                      \
    }
ROW(softmax, "e^x / Σ e^x along an axis", 1, 0, 1, softmax_grad, softmax_samples);
ROW(log_softmax, "x - log Σ e^x along an axis", 1, 0, 1, log_softmax_grad, softmax_samples);
ROW(softmax_backward, "y (dy - Σ dy y)", 2, 3, 0, softmax_backward_grad, backward_samples);
ROW(log_softmax_backward, "dy - e^y Σ dy", 2, 3, 0, log_softmax_backward_grad, backward_samples);

wk_tensor *wk_softmax(wk_tensor *x, wk_axis_opts opts) {
    return wk_op_run1(&softmax_row, &opts, x);
}
wk_tensor *wk_log_softmax(wk_tensor *x, wk_axis_opts opts) {
    return wk_op_run1(&log_softmax_row, &opts, x);
}

wk_op_def *const wk__rows_softmax[] = { &softmax_row, &log_softmax_row, &softmax_backward_row,
                                        &log_softmax_backward_row, NULL };
