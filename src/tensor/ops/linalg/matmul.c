/* matmul.c: matrix products, and the linear layer with bias and activation in one pass. */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

/* ---- matmul ---- */

static wk_status matmul_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *a = call->in[0], *b = call->in[1];
    char one[160], other[160];
    if (a->rank < 2 || b->rank < 2)
        return wk_bad_call(call, WK_SHAPE, "%s · %s: both operands need at least two axes",
                           wk_describe(a, one, sizeof one), wk_describe(b, other, sizeof other));
    int64_t inner_a = a->shape[a->rank - 1], inner_b = b->shape[b->rank - 2];
    if (inner_a != inner_b)
        return wk_bad_call(call, WK_SHAPE, "%s · %s: inner dimensions %lld and %lld differ",
                           wk_describe(a, one, sizeof one), wk_describe(b, other, sizeof other), (long long)inner_a,
                           (long long)inner_b);
    int rank = a->rank > b->rank ? a->rank : b->rank;
    wk_desc desc = { .rank = rank, .dtype = (wk_dtype)a->dtype };
    for (int axis = 0; axis < rank - 2; axis++) {
        int from_a = axis - (rank - a->rank), from_b = axis - (rank - b->rank);
        int64_t size_a = from_a < 0 ? 1 : a->shape[from_a], size_b = from_b < 0 ? 1 : b->shape[from_b];
        if (size_a != size_b && size_a != 1 && size_b != 1)
            return wk_bad_call(call, WK_SHAPE, "%s · %s: leading axes do not broadcast",
                               wk_describe(a, one, sizeof one), wk_describe(b, other, sizeof other));
        desc.shape[axis] = size_a == 1 ? size_b : size_a;
    }
    desc.shape[rank - 2] = a->shape[a->rank - 2];
    desc.shape[rank - 1] = b->shape[b->rank - 1];
    out[0] = desc;
    return WK_OK;
}

static wk_op_def matmul_row;

static wk_status matmul_grad(wk_grad *g) {
    wk_tensor *d = g->dout[0], *a = g->in[0], *b = g->in[1];
    if (g->needs[0]) g->din[0] = wk__sum_to(wk__run_sink(&matmul_row, NULL, d, wk_transpose(b, -1, -2), g->sink[0]), a);
    if (g->needs[1]) g->din[1] = wk__sum_to(wk__run_sink(&matmul_row, NULL, wk_transpose(a, -1, -2), d, g->sink[1]), b);
    return WK_OK;
}

static wk_cost matmul_cost(const wk_call *call) {
    double inner = (double)call->in[0]->shape[call->in[0]->rank - 1];
    return (wk_cost){ 2 * inner * (double)call->out[0]->count, wk__operand_bytes(call) };
}

static void matmul_samples(wk_sampler *s) {
    WK_CASE(s, "small", NULL, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "odd", NULL, { .dims = WK_DIMS(37, 53) }, { .dims = WK_DIMS(53, 19) });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(6, 7), .strided = true }, { .dims = WK_DIMS(7, 5), .strided = true });
    WK_CASE(s, "batched", NULL, { .dims = WK_DIMS(2, 3, 4, 5) }, { .dims = WK_DIMS(3, 5, 6) });
    WK_CASE(s, "vectors", NULL, { .dims = WK_DIMS(2, 3, 1, 5), .strided = true }, { .dims = WK_DIMS(3, 5, 1) });
    WK_CASE(s, "column", NULL, { .dims = WK_DIMS(6, 7), .strided = true }, { .dims = WK_DIMS(7, 1), .strided = true });
    WK_CASE(s, "no inner", NULL, { .dims = WK_DIMS(3, 0) }, { .dims = WK_DIMS(0, 2) });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0, 3) }, { .dims = WK_DIMS(3, 2) });
    WK_CASE(s, "large", NULL, { .dims = WK_DIMS(128, 256) }, { .dims = WK_DIMS(256, 96) });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(256, 768) }, { .dims = WK_DIMS(768, 768) });
    WK_HUGE_CASE(s, "huge batch", NULL, { .dims = WK_DIMS(32, 64, 64) }, { .dims = WK_DIMS(32, 64, 64) });
}

static wk_op_def matmul_row = {
    .name = "matmul",
    .doc = "matrix product, leading axes broadcast",
    .n_in = 2,
    .n_out = 1,
    .saves_in = 3,
    .dtype = { .allowed = { WK_FLOATS, WK_FLOATS }, .same = 3, .promote = true, .autocast = WK_CAST_LOW },
    .shape = matmul_shape,
    .grad = matmul_grad,
    .cost = matmul_cost,
    .samples = matmul_samples,
    .zero_sized_runs = false
};
wk_tensor *wk_matmul(wk_tensor *a, wk_tensor *b) {
    return wk_op_run2(&matmul_row, NULL, a, b);
}

/* Of halves, for the gradients of leaves in f32 that autocast made halves of. */
static wk_status matmul_wide_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(matmul_shape(call, out));
    out[0].dtype = WK_F32;
    return WK_OK;
}

static wk_status matmul_wide_decompose(const wk_call *call, wk_tensor *out[]) {
    out[0] = wk_matmul(wk_cast(call->in[0], WK_F32), wk_cast(call->in[1], WK_F32));
    return out[0] ? WK_OK : wk_error_code();
}

static wk_op_def matmul_wide_row = { .name = "matmul_wide",
                                     .doc = "matrix product of halves in f32, not rounded",
                                     .n_in = 2,
                                     .n_out = 1,
                                     .internal = true,
                                     .dtype = { .allowed = { WK_HALVES, WK_HALVES }, .same = 3 },
                                     .shape = matmul_wide_shape,
                                     .decompose = matmul_wide_decompose,
                                     .not_differentiable = "it makes gradients that nothing is derived of",
                                     .cost = matmul_cost,
                                     .samples = matmul_samples };

/* ---- linear ---- */

static wk_status linear_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0], *weight = call->in[1], *bias = call->in[2];
    char one[160], other[160];
    if (x->rank < 1 || weight->rank != 2)
        return wk_bad_call(call, WK_SHAPE, "x %s, weight %s: expected x (…, K) and weight (N, K)",
                           wk_describe(x, one, sizeof one), wk_describe(weight, other, sizeof other));
    if (x->shape[x->rank - 1] != weight->shape[1])
        return wk_bad_call(call, WK_SHAPE, "x %s has %lld features, weight %s takes %lld",
                           wk_describe(x, one, sizeof one), (long long)x->shape[x->rank - 1],
                           wk_describe(weight, other, sizeof other), (long long)weight->shape[1]);
    if (bias && (bias->rank != 1 || bias->shape[0] != weight->shape[0]))
        return wk_bad_call(call, WK_SHAPE, "bias has shape %s, expected (%lld), the rows of weight %s",
                           wk_describe(bias, one, sizeof one), (long long)weight->shape[0],
                           wk_describe(weight, other, sizeof other));
    out[0] = wk_desc_row_major((wk_dtype)x->dtype, x->rank, x->shape);
    out[0].shape[x->rank - 1] = weight->shape[0];
    return WK_OK;
}

/* a b for the gradient of `like`, which often is a transposed view of a parameter: then the product is made as the
 * parameter's gradient lies. */
static wk_tensor *product_like(const wk_tensor *like, wk_tensor *a, wk_tensor *b, wk_tensor *sink) {
    const wk_op_def *row = sink && sink->dtype != like->dtype ? &matmul_wide_row : &matmul_row;
    if (like->stride[0] != 1 || like->shape[1] < 2 || like->stride[1] < like->shape[0])
        return wk__run_sink(row, NULL, a, b, sink);
    wk_tensor *turned = sink ? wk_transpose(sink, 0, 1) : NULL;
    return wk_transpose(wk__run_sink(row, NULL, wk_transpose(b, 0, 1), wk_transpose(a, 0, 1), turned), 0, 1);
}

static wk_status linear_grad(wk_grad *g) {
    const wk_linear_opts *opts = g->attrs;
    wk_tensor *x = g->in[0], *weight = g->in[1], *d = g->dout[0];
    if (opts->activation == WK_ACTIVATION_RELU) d = wk__relu_backward(d, g->out[0]);
    if (!d) return wk_error_code();
    if (g->needs[0]) g->din[0] = wk_matmul(d->rank == 1 ? wk_reshape(d, WK_DIMS(1, -1)) : d, weight);
    if (g->needs[0] && x->rank == 1) g->din[0] = wk_reshape(g->din[0], wk__dims(x));
    wk_tensor *rows = wk_reshape(d, WK_DIMS(d->count / (weight->shape[0] ? weight->shape[0] : 1), weight->shape[0]));
    if (g->needs[1]) {
        wk_tensor *inputs = wk_reshape(x, WK_DIMS(rows ? rows->shape[0] : 0, weight->shape[1]));
        g->din[1] = product_like(weight, wk_transpose(rows, 0, 1), inputs, g->sink[1]);
    }
    if (g->needs[2]) g->din[2] = wk__sum_rows(rows, g->sink[2]);
    return WK_OK;
}

static wk_cost linear_cost(const wk_call *call) {
    return (wk_cost){ 2 * (double)call->in[1]->shape[1] * (double)call->out[0]->count, wk__operand_bytes(call) };
}

static wk_status linear_decompose(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x = call->in[0], *y;
    if (x->rank == 1) x = wk_reshape(x, WK_DIMS(1, -1));
    y = wk_matmul(x, wk_transpose(call->in[1], 0, 1));
    if (call->in[2]) y = wk_add(y, call->in[2]);
    if (((const wk_linear_opts *)call->attrs)->activation == WK_ACTIVATION_RELU) y = wk_relu(y);
    if (call->in[0]->rank == 1) y = wk_reshape(y, WK_DIMS(-1));
    out[0] = y;
    return y ? WK_OK : wk_error_code();
}

static void linear_samples(wk_sampler *s) {
    const wk_linear_opts plain = { 0 }, relu = { WK_ACTIVATION_RELU };
    WK_CASE(s, "plain", &plain, { .dims = WK_DIMS(5, 7) }, { .dims = WK_DIMS(3, 7) }, { .dims = WK_DIMS(3) });
    WK_CASE(s, "relu", &relu, { .dims = WK_DIMS(5, 7) }, { .dims = WK_DIMS(3, 7) }, { .dims = WK_DIMS(3) });
    WK_CASE(s, "no bias", &plain, { .dims = WK_DIMS(5, 7), .strided = true }, { .dims = WK_DIMS(3, 7) },
            { .kind = WK_SAMPLE_ABSENT });
    WK_CASE(s, "three axes", &relu, { .dims = WK_DIMS(2, 5, 7) }, { .dims = WK_DIMS(4, 7) }, { .dims = WK_DIMS(4) });
    WK_CASE(s, "vector", &plain, { .dims = WK_DIMS(7) }, { .dims = WK_DIMS(4, 7) }, { .dims = WK_DIMS(4) });
    WK_CASE(s, "empty", &plain, { .dims = WK_DIMS(0, 7) }, { .dims = WK_DIMS(4, 7) }, { .dims = WK_DIMS(4) });
    WK_CASE(s, "large", &relu, { .dims = WK_DIMS(64, 784) }, { .dims = WK_DIMS(128, 784) }, { .dims = WK_DIMS(128) });
    WK_HUGE_CASE(s, "huge", &plain, { .dims = WK_DIMS(256, 768) }, { .dims = WK_DIMS(768, 768) },
                 { .dims = WK_DIMS(768) });
}

static const wk_attr_def linear_attrs[] = { { "activation", WK_ATTR_ENUM, offsetof(wk_linear_opts, activation), 0,
                                              "none|relu", 0, "fused" } };
static wk_op_def linear_row = {
    .name = "linear",
    .doc = "activation(x · weightᵀ + bias)",
    .n_in = 3,
    .n_out = 1,
    .optional_in = 4,
    .saves_in = 3,
    .saves_out = 1,
    .wide_din = 2 | 4,
    .attrs = linear_attrs,
    .n_attrs = 1,
    .attrs_size = sizeof(wk_linear_opts),
    .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS }, .same = 7, .autocast = WK_CAST_LOW },
    .shape = linear_shape,
    .grad = linear_grad,
    .decompose = linear_decompose,
    .cost = linear_cost,
    .samples = linear_samples
};
wk_tensor *wk_linear(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_linear_opts opts) {
    return wk_op_run3(&linear_row, &opts, x, weight, bias);
}

wk_op_def *const wk__rows_matmul[] = { &matmul_row, &matmul_wide_row, &linear_row, NULL };
