/* pointwise.c: operations element by element.
 *
 * Results have the layout of their operands where those agree, so that channels-last images stay channels last.
 * Gradients of operands that were broadcast are summed back to their shape.
 */
#define WK_NO_CALL_SITES
#include "tensor/ops/pointwise/rows.h"

#include <string.h>

/* ---- shapes, samples ---- */

static wk_status where_shape(const wk_call *call, wk_desc out[]) {
    return wk_desc_broadcast(call, (wk_dtype)call->in[1]->dtype, out);
}

static wk_status add_into_shape(const wk_call *call, wk_desc out[]) {
    (void)out;
    char text[2][160];
    if (wk__same_shape(call->in[0], call->in[1])) return WK_OK;
    return wk_bad_call(call, WK_SHAPE, "%s has another shape than %s",
                       wk_describe(call->in[1], text[1], sizeof text[1]),
                       wk_describe(call->in[0], text[0], sizeof text[0]));
}
static wk_cost add_into_cost(const wk_call *call) {
    return (wk_cost){ (double)call->in[0]->count, 1.5 * wk__operand_bytes(call) };
}
static void add_into_samples(wk_sampler *s) {
    WK_CASE(s, "same", NULL, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(3, 4, 5), .strided = true }, { .dims = WK_DIMS(3, 4, 5) });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0, 3) }, { .dims = WK_DIMS(0, 3) });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(129, 257) }, { .dims = WK_DIMS(129, 257) });
}

static wk_status cast_shape(const wk_call *call, wk_desc out[]) {
    const wk_cast_opts *opts = call->attrs;
    if ((unsigned)opts->dtype >= WK_DTYPE_COUNT) return wk_bad_call(call, WK_DTYPE, "%d is no dtype", (int)opts->dtype);
    return wk_desc_broadcast(call, opts->dtype, out);
}

static void affine_samples(wk_sampler *s) {
    const wk_affine_opts half = { 0.5, 0 }, both = { -1.5, 0.25 };
    WK_CASE(s, "scale", &half, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "both", &both, { .dims = WK_DIMS(3, 4, 5), .strided = true });
    WK_CASE(s, "large", &both, { .dims = WK_DIMS(129, 257) });
    WK_HUGE_CASE(s, "huge", &both, { .dims = WK_DIMS(512, 1024) });
}

static void where_samples(wk_sampler *s) {
    WK_CASE(s, "same", NULL, { .dims = WK_DIMS(4, 5), .kind = WK_SAMPLE_BOOL }, { .dims = WK_DIMS(4, 5) },
            { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "broadcast", NULL, { .dims = WK_DIMS(5), .kind = WK_SAMPLE_BOOL }, { .dims = WK_DIMS(4, 1) },
            { .dims = WK_SCALAR });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(3, 4, 5), .kind = WK_SAMPLE_BOOL },
            { .dims = WK_DIMS(3, 4, 5), .strided = true }, { .dims = WK_DIMS(3, 4, 5) });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024), .kind = WK_SAMPLE_BOOL },
                 { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(512, 1024) });
}

static void cast_samples(wk_sampler *s) {
    for (int dtype = 0; dtype < WK_DTYPE_COUNT; dtype++) {
        const wk_cast_opts opts = { (wk_dtype)dtype };
        WK_CASE(s, wk_dtype_name((wk_dtype)dtype), &opts, { .dims = WK_DIMS(5, 7), .margin = 0.05, .strided = true });
    }
    const wk_cast_opts half = { WK_BF16 }, wide = { WK_F64 };
    WK_HUGE_CASE(s, "huge bf16", &half, { .dims = WK_DIMS(512, 1024) });
    WK_HUGE_CASE(s, "huge f64", &wide, { .dims = WK_DIMS(512, 1024) });
}

/* ---- gradients ---- */

static wk_status add_grad(wk_grad *g) {
    for (int i = 0; i < 2; i++)
        if (g->needs[i]) g->din[i] = wk__sum_to(g->dout[0], g->in[i]);
    return WK_OK;
}

static wk_status sub_grad(wk_grad *g) {
    if (g->needs[0]) g->din[0] = wk__sum_to(g->dout[0], g->in[0]);
    if (g->needs[1]) g->din[1] = wk_neg(wk__sum_to(g->dout[0], g->in[1]));
    return WK_OK;
}

static wk_status mul_grad(wk_grad *g) {
    for (int i = 0; i < 2; i++)
        if (g->needs[i]) g->din[i] = wk__sum_to(wk_mul(g->dout[0], g->in[1 - i]), g->in[i]);
    return WK_OK;
}

/* y = a / b:  da = dy / b,  db = -dy y / b */
static wk_status div_grad(wk_grad *g) {
    wk_tensor *by_b = wk_div(g->dout[0], g->in[1]);
    if (g->needs[0]) g->din[0] = wk__sum_to(by_b, g->in[0]);
    if (g->needs[1]) g->din[1] = wk__sum_to(wk_neg(wk_mul(by_b, g->out[0])), g->in[1]);
    return WK_OK;
}

/* Equal operands share the gradient, as PyTorch's do. */
static wk_status extremum_grad(wk_grad *g, bool larger) {
    wk_tensor *d = g->dout[0], *half = wk_scale(d, 0.5), *nothing = zero(d), *ties = wk_eq(g->in[0], g->in[1]);
    for (int i = 0; i < 2; i++) {
        if (!g->needs[i]) continue;
        wk_tensor *wins = (i == 0) == larger ? wk_gt(g->in[0], g->in[1]) : wk_lt(g->in[0], g->in[1]);
        g->din[i] = wk__sum_to(wk_where(ties, half, wk_where(wins, d, nothing)), g->in[i]);
    }
    return WK_OK;
}
static wk_status maximum_grad(wk_grad *g) {
    return extremum_grad(g, true);
}
static wk_status minimum_grad(wk_grad *g) {
    return extremum_grad(g, false);
}

static wk_status neg_grad(wk_grad *g) {
    g->din[0] = wk_neg(g->dout[0]);
    return WK_OK;
}
static wk_status abs_grad(wk_grad *g) {
    g->din[0] = wk_mul(g->dout[0], wk_sign(g->in[0]));
    return WK_OK;
}
static wk_status exp_grad(wk_grad *g) {
    g->din[0] = wk_mul(g->dout[0], g->out[0]);
    return WK_OK;
}
static wk_status log_grad(wk_grad *g) {
    g->din[0] = wk_div(g->dout[0], g->in[0]);
    return WK_OK;
}
static wk_status sqrt_grad(wk_grad *g) {
    g->din[0] = wk_scale(wk_div(g->dout[0], g->out[0]), 0.5);
    return WK_OK;
}
static wk_status sin_grad(wk_grad *g) {
    g->din[0] = wk_mul(g->dout[0], wk_cos(g->in[0]));
    return WK_OK;
}
static wk_status cos_grad(wk_grad *g) {
    g->din[0] = wk_neg(wk_mul(g->dout[0], wk_sin(g->in[0])));
    return WK_OK;
}
/* 2/√π exp(-x²) */
static wk_tensor *erf_slope(wk_tensor *x) {
    return wk_scale(wk_exp(wk_neg(wk_mul(x, x))), 1.1283791670955126);
}
static wk_status erf_grad(wk_grad *g) {
    g->din[0] = wk_mul(g->dout[0], erf_slope(g->in[0]));
    return WK_OK;
}
static wk_status tanh_grad(wk_grad *g) {
    g->din[0] = wk_mul(g->dout[0], wk_affine(wk_mul(g->out[0], g->out[0]), (wk_affine_opts){ -1, 1 }));
    return WK_OK;
}
static wk_status sigmoid_grad(wk_grad *g) {
    g->din[0] = wk_mul(g->dout[0], wk_mul(g->out[0], wk_affine(g->out[0], (wk_affine_opts){ -1, 1 })));
    return WK_OK;
}
static wk_status affine_grad(wk_grad *g) {
    g->din[0] = wk_scale(g->dout[0], ((const wk_affine_opts *)g->attrs)->scale);
    return WK_OK;
}
static wk_op_def cast_row;
static wk_status cast_grad(wk_grad *g) {
    const wk_cast_opts back = { .dtype = (wk_dtype)g->in[0]->dtype };
    wk_tensor *d = g->dout[0], *sink = g->sink[0];
    const bool is_turned = sink && sink->rank == 2 && !(sink->flags & WK_TENSOR_CONTIGUOUS);
    if ((wk_dtype)d->dtype == back.dtype)
        g->din[0] = d;
    else if (is_turned) /* in one pass */
        g->din[0] =
            wk_transpose(wk__run_sink(&cast_row, &back, wk_transpose(d, 0, 1), NULL, wk_transpose(sink, 0, 1)), 0, 1);
    else
        g->din[0] = wk__run_sink(&cast_row, &back, d, NULL, sink);
    return WK_OK;
}
static wk_status where_grad(wk_grad *g) {
    wk_tensor *nothing = zero(g->dout[0]);
    if (g->needs[1]) g->din[1] = wk__sum_to(wk_where(g->in[0], g->dout[0], nothing), g->in[1]);
    if (g->needs[2]) g->din[2] = wk__sum_to(wk_where(g->in[0], nothing, g->dout[0]), g->in[2]);
    return WK_OK;
}
static wk_op_def relu_backward_row;
static wk_status relu_grad(wk_grad *g) {
    g->din[0] = wk_op_run2(&relu_backward_row, NULL, g->dout[0], g->out[0]);
    return WK_OK;
}
/* Linear in dy; flat in y but for the step at 0. */
static wk_status relu_backward_grad(wk_grad *g) {
    if (g->needs[0]) g->din[0] = wk__sum_to(wk_op_run2(&relu_backward_row, NULL, g->dout[0], g->in[1]), g->in[0]);
    return WK_OK;
}
/* ---- rows ---- */

BINARY(add, "a + b", WK_NUMBERS, 0, 0, add_grad)
static wk_op_def add_into_row = { .name = "add_into",
                                  .internal = true,
                                  .doc = "a = a + b",
                                  .n_in = 2,
                                  .mutates = IN0,
                                  .dtype = { .allowed = { WK_NUMBERS, WK_NUMBERS }, .same = IN0 | IN1 },
                                  .shape = add_into_shape,
                                  .not_differentiable = "it adds gradients up, which nothing depends on",
                                  .cost = add_into_cost,
                                  .samples = add_into_samples };
BINARY(sub, "a - b", WK_NUMBERS, 0, 0, sub_grad)
BINARY(mul, "a b", WK_NUMBERS, IN0 | IN1, 0, mul_grad)
BINARY(div, "a / b", WK_FLOATS, IN1, OUT0, div_grad)
BINARY(maximum, "the larger; NaN wins", WK_NUMBERS, IN0 | IN1, 0, maximum_grad)
BINARY(minimum, "the smaller; NaN wins", WK_NUMBERS, IN0 | IN1, 0, minimum_grad)
COMPARISON(eq, "a = b")
COMPARISON(ne, "a ≠ b")
COMPARISON(lt, "a < b")
COMPARISON(le, "a ≤ b")
COMPARISON(gt, "a > b")
COMPARISON(ge, "a ≥ b")
UNARY(neg, "-x", WK__SIGNED, 0, 0, neg_grad, cheap, unary_samples)
UNARY(abs, "|x|", WK_NUMBERS, IN0, 0, abs_grad, cheap, unary_samples)
UNARY(sign, "-1, 0 or 1", WK_NUMBERS, 0, 0, flat_grad, cheap, unary_samples)
UNARY(exp, "e^x", WK_FLOATS, 0, OUT0, exp_grad, dear, unary_samples)
UNARY(log, "natural logarithm", WK_FLOATS, IN0, 0, log_grad, dear, positive_samples)
UNARY(sqrt, "square root", WK_FLOATS, 0, OUT0, sqrt_grad, cheap, positive_samples)
UNARY(sin, "sine", WK_FLOATS, IN0, 0, sin_grad, dear, unary_samples)
UNARY(cos, "cosine", WK_FLOATS, IN0, 0, cos_grad, dear, unary_samples)
UNARY(erf, "error function", WK_FLOATS, IN0, 0, erf_grad, dear, unary_samples)
UNARY(tanh, "hyperbolic tangent", WK_FLOATS, 0, OUT0, tanh_grad, dear, unary_samples)
UNARY(sigmoid, "1 / (1 + e^-x)", WK_FLOATS, 0, OUT0, sigmoid_grad, dear, unary_samples)
UNARY(relu, "max(x, 0); NaN stays NaN", WK_FLOATS, 0, OUT0, relu_grad, cheap, unary_samples)

static wk_op_def relu_backward_row = { .name = "relu_backward",
                                       .internal = true,
                                       .doc = "dy where y > 0, else 0",
                                       .n_in = 2,
                                       .n_out = 1,
                                       .elementwise = true,
                                       .saves_in = IN1,
                                       .dtype = { .allowed = { WK_FLOATS, WK_FLOATS }, .same = 3 },
                                       .shape = like_operands,
                                       .grad = relu_backward_grad,
                                       .cost = cheap,
                                       .samples = binary_samples };

static const wk_attr_def affine_attrs[] = {
    { "scale", WK_ATTR_FLOAT, offsetof(wk_affine_opts, scale), 0, NULL, 0, "factor" },
    { "shift", WK_ATTR_FLOAT, offsetof(wk_affine_opts, shift), 0, NULL, 0, "added" },
};
static wk_op_def affine_row = { .name = "affine",
                                .doc = "scale · x + shift",
                                .n_in = 1,
                                .n_out = 1,
                                .elementwise = true,
                                .attrs = affine_attrs,
                                .n_attrs = 2,
                                .attrs_size = sizeof(wk_affine_opts),
                                .dtype = { .allowed = { WK_FLOATS } },
                                .shape = like_operands,
                                .grad = affine_grad,
                                .cost = cheap,
                                .samples = affine_samples };
wk_tensor *wk_affine(wk_tensor *x, wk_affine_opts opts) {
    return wk_op_run1(&affine_row, &opts, x);
}

static const wk_attr_def cast_attrs[] = { { "dtype", WK_ATTR_DTYPE, offsetof(wk_cast_opts, dtype), 0, NULL, 0,
                                            "of the result" } };
static wk_op_def cast_row = { .name = "cast",
                              .doc = "conversion to another dtype",
                              .n_in = 1,
                              .n_out = 1,
                              .elementwise = true,
                              .attrs = cast_attrs,
                              .n_attrs = 1,
                              .attrs_size = sizeof(wk_cast_opts),
                              .shape = cast_shape,
                              .grad = cast_grad,
                              .cost = cheap,
                              .samples = cast_samples };
wk_tensor *wk_cast(wk_tensor *x, wk_dtype dtype) {
    if (x && x->dtype == dtype && x->life == WK__ALIVE && !wk_failed()) return x;
    const wk_cast_opts opts = { dtype };
    return wk_op_run1(&cast_row, &opts, x);
}

static wk_status kept_cast_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0], *kept = call->in[1];
    bool fits = x->rank == kept->rank;
    for (int axis = 0; fits && axis < x->rank; axis++) fits = x->shape[axis] == kept->shape[axis];
    if (!fits) return wk_bad_call(call, WK_SHAPE, "the copy's shape is not that of the tensor");
    out[0] = wk_desc_like(kept);
    memcpy(out[0].stride, kept->stride, sizeof kept->stride);
    out[0].view_of = 2;
    return WK_OK;
}
static void kept_cast_samples(wk_sampler *s) {
    WK_CASE(s, "matrix", NULL, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(3, 4) });
}
static wk_op_def kept_cast_row = { .name = "kept_cast",
                                   .internal = true,
                                   .doc = "a copy of x in a half type, which is there already, in place of a cast",
                                   .n_in = 2,
                                   .n_out = 1,
                                   .dtype = { .allowed = { WK_SET_OF(WK_F32),
                                                           WK_SET_OF(WK_BF16) | WK_SET_OF(WK_F16) } },
                                   .shape = kept_cast_shape,
                                   .grad = cast_grad,
                                   .cost = wk__cost_nothing,
                                   .samples = kept_cast_samples };
wk_tensor *wk__kept_cast(wk_tensor *leaf, wk_tensor *half) {
    return wk_op_run2(&kept_cast_row, NULL, leaf, half);
}

static wk_op_def where_row = { .name = "where",
                               .doc = "condition ? a : b",
                               .n_in = 3,
                               .n_out = 1,
                               .elementwise = true,
                               .key = 1,
                               .saves_in = IN0,
                               .dtype = { .allowed = { WK_SET_OF(WK_BOOL) }, .same = 6, .promote = true },
                               .shape = where_shape,
                               .grad = where_grad,
                               .cost = cheap,
                               .samples = where_samples };
wk_tensor *wk_where(wk_tensor *condition, wk_tensor *a, wk_tensor *b) {
    return wk_op_run3(&where_row, NULL, condition, a, b);
}

wk_op_def *const wk__rows_pointwise[] = {
    &add_row,       &add_into_row,
    &sub_row,       &mul_row,
    &div_row,       &maximum_row,
    &minimum_row,   &eq_row,
    &ne_row,        &lt_row,
    &le_row,        &gt_row,
    &ge_row,        &neg_row,
    &abs_row,       &sign_row,
    &exp_row,       &log_row,
    &sqrt_row,      &sin_row,
    &cos_row,       &erf_row,
    &tanh_row,      &sigmoid_row,
    &relu_row,      &relu_backward_row,
    &affine_row,    &cast_row,
    &kept_cast_row, &where_row,
    NULL,
};

wk_tensor *wk__relu_backward(wk_tensor *dy, wk_tensor *y) {
    return wk_op_run2(&relu_backward_row, NULL, dy, y);
}
