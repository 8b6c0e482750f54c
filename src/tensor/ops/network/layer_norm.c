/* layer_norm.c: layer_norm and rms_norm: the last axes of each sample normalised.
 *
 * Forward keeps mean and 1/std (one number a row) because backward needs them; x itself is kept, y is not.  Backward is
 * one fused row; where it gets no mean and 1/std it makes them again from x.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

static wk_dtype statistics_dtype(const wk_tensor *x) {
    return x->dtype == WK_F64 ? WK_F64 : WK_F32;
}

/* How many last axes make a row: those of weight or bias, else as the attribute says; -1 with an error pending. */
static int row_axes(const wk_call *call, const wk_tensor *x, const wk_tensor *weight, const wk_tensor *bias) {
    const wk_layer_norm_opts *opts = call->attrs;
    const wk_tensor *given = weight ? weight : bias;
    int64_t axes = given ? given->rank : opts->axes ? opts->axes : 1;
    char one[160], other[160];
    if (axes < 1 || axes > x->rank) {
        (void)wk_bad_call(call, WK_SHAPE, "x %s, the last %lld axes asked for: expected 1 to %d",
                          wk_describe(x, one, sizeof one), (long long)axes, x->rank);
        return -1;
    }
    for (int k = 0; k < 2; k++) {
        const wk_tensor *t = k ? bias : weight;
        bool fits = !t || t->rank == axes;
        for (int i = 0; t && fits && i < axes; i++) fits = t->shape[i] == x->shape[x->rank - axes + i];
        bool same = !t || t->dtype == x->dtype || (t->dtype == WK_F32 && wk_dtype_size((wk_dtype)x->dtype) == 2);
        if (fits && same) continue;
        (void)wk_bad_call(call, fits ? WK_DTYPE : WK_SHAPE,
                          fits ? "%s is %s: x %s takes its own dtype, or f32 beside a half type"
                               : "%s has shape %s, expected the last axes of x %s",
                          k ? "bias" : "weight", wk_describe(t, one, sizeof one), wk_describe(x, other, sizeof other));
        return -1;
    }
    return (int)axes;
}

static wk_desc statistics(const wk_tensor *x, int axes) {
    return wk_desc_row_major(statistics_dtype(x), x->rank - axes, x->shape);
}

static wk_reduce_opts over_row(const wk_tensor *x, int axes) {
    wk_reduce_opts over = { .keep_dims = true };
    for (int i = x->rank - axes; i < x->rank; i++) over.axes.size[over.axes.rank++] = i;
    return over;
}

static wk_dims outer_dims(const wk_tensor *x, int axes) {
    wk_dims dims = wk__dims(x);
    dims.rank -= axes;
    return dims;
}

/* y, mean and 1/std of rows, centred or not. */
static wk_status row_parts(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, int axes, double eps, bool centred,
                           wk_tensor **y, wk_tensor **mean, wk_tensor **rstd) {
    const wk_reduce_opts over = over_row(x, axes);
    wk_dims outer = outer_dims(x, axes);
    wk_tensor *m = centred ? wk_mean(x, over) : NULL, *rest = centred ? wk_sub(x, m) : x;
    wk_tensor *square = wk_mean(wk_mul(rest, rest), over);
    wk_tensor *r =
        wk_div(wk_full((wk_dtype)x->dtype, WK_SCALAR, 1), wk_sqrt(wk_affine(square, (wk_affine_opts){ 1, eps })));
    *y = wk_mul(rest, r);
    if (weight) *y = wk_mul(*y, weight);
    if (bias) *y = wk_add(*y, bias);
    if (mean) *mean = wk_cast(wk_reshape(m, outer), statistics_dtype(x));
    *rstd = wk_cast(wk_reshape(r, outer), statistics_dtype(x));
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* ---- layer_norm: (x, weight, bias) -> y, mean, rstd ---- */

static wk_status layer_shape(const wk_call *call, wk_desc out[]) {
    int axes = row_axes(call, call->in[0], call->in[1], call->in[2]);
    if (axes < 0) return wk_error_code();
    out[0] = wk_desc_like(call->in[0]);
    out[1] = out[2] = statistics(call->in[0], axes);
    return WK_OK;
}
static wk_status layer_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_layer_norm_opts *opts = call->attrs;
    int axes = row_axes(call, call->in[0], call->in[1], call->in[2]);
    return row_parts(call->in[0], call->in[1], call->in[2], axes, wk_optional_or(opts->eps, 1e-5), true, &out[0],
                     &out[1], &out[2]);
}

static wk_op_def layer_row, layer_backward_row, rms_row, rms_backward_row;

/* Gradients of the row's shape for the weight that is there, or f32 (f64) ones that nobody looks at. */
static wk_status backward_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[1], *weight = call->in[2];
    int axes = row_axes(call, x, weight, NULL);
    if (axes < 0) return wk_error_code();
    out[0] = wk_desc_like(x);
    wk_dtype dtype = weight ? (wk_dtype)weight->dtype : statistics_dtype(x);
    for (int k = 1; k < call->n_out; k++) out[k] = wk_desc_row_major(dtype, axes, x->shape + x->rank - axes);
    return WK_OK;
}

static wk_status layer_grad(wk_grad *g) {
    wk_tensor *out[3], *weight = g->in[1], *bias = g->in[2];
    wk_layer_norm_opts opts = *(const wk_layer_norm_opts *)g->attrs;
    if (weight || bias) opts.axes = weight ? weight->rank : bias->rank;
    WK_TRY(wk_op_run_into(&layer_backward_row, (wk_tensor *[]){ g->dout[0], g->in[0], weight, g->out[1], g->out[2] }, 5,
                          out, &opts, g->sink));
    g->din[0] = out[0];
    if (g->needs[1]) g->din[1] = out[1];
    if (g->needs[2]) g->din[2] = wk_cast(out[2], (wk_dtype)bias->dtype);
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* (dy, x, weight, mean, rstd): the bias changes nothing but must be there for its gradient. */
static wk_status layer_backward_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_layer_norm_opts *opts = call->attrs;
    wk_tensor *x = call->in[1], *weight = call->in[2];
    wk_dims dims = { .rank = weight ? weight->rank : opts->axes ? (int)opts->axes : 1 };
    for (int i = 0; i < dims.rank; i++) dims.size[i] = x->shape[x->rank - dims.rank + i];
    wk_dtype dtype = weight ? (wk_dtype)weight->dtype : statistics_dtype(x);
    wk_tensor *bias = wk_zeros(dtype, dims), *own_weight = weight ? weight : wk_full(dtype, dims, 1);
    return wk__gradient_of_parts(&layer_row, (wk_tensor *[]){ x, own_weight, bias }, opts,
                                 (wk_tensor *[]){ call->in[0], NULL, NULL }, out);
}

/* ---- rms_norm: (x, weight) -> y, rstd ---- */

/* The eps that PyTorch takes: the distance from 1 to the next number of x's dtype. */
static double rms_eps(const wk_layer_norm_opts *opts, const wk_tensor *x) {
    static const double smallest[] = { [WK_F32] = 0x1p-23, [WK_F64] = 0x1p-52, [WK_BF16] = 0x1p-7, [WK_F16] = 0x1p-10 };
    return wk_optional_or(opts->eps, smallest[x->dtype]);
}
static wk_status rms_shape(const wk_call *call, wk_desc out[]) {
    int axes = row_axes(call, call->in[0], call->in[1], NULL);
    if (axes < 0) return wk_error_code();
    out[0] = wk_desc_like(call->in[0]);
    out[1] = statistics(call->in[0], axes);
    return WK_OK;
}
static wk_status rms_parts(const wk_call *call, wk_tensor *out[]) {
    int axes = row_axes(call, call->in[0], call->in[1], NULL);
    return row_parts(call->in[0], call->in[1], NULL, axes, rms_eps(call->attrs, call->in[0]), false, &out[0], NULL,
                     &out[1]);
}
static wk_status rms_grad(wk_grad *g) {
    wk_tensor *out[2];
    wk_layer_norm_opts opts = *(const wk_layer_norm_opts *)g->attrs;
    if (g->in[1]) opts.axes = g->in[1]->rank;
    WK_TRY(wk_op_run_into(&rms_backward_row, (wk_tensor *[]){ g->dout[0], g->in[0], g->in[1], g->out[1] }, 4, out,
                          &opts, g->sink));
    g->din[0] = out[0];
    if (g->needs[1]) g->din[1] = out[1];
    return WK_OK;
}
static wk_status rms_backward_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_layer_norm_opts *opts = call->attrs;
    wk_tensor *x = call->in[1], *weight = call->in[2];
    wk_dims dims = { .rank = weight ? weight->rank : opts->axes ? (int)opts->axes : 1 };
    for (int i = 0; i < dims.rank; i++) dims.size[i] = x->shape[x->rank - dims.rank + i];
    if (!weight) weight = wk_full(statistics_dtype(x), dims, 1);
    return wk__gradient_of_parts(&rms_row, (wk_tensor *[]){ x, weight }, opts,
                                 (wk_tensor *[]){ call->in[0], NULL, NULL }, out);
}

/* ---- samples ---- */

static wk_cost forward_cost(const wk_call *call) {
    return wk__cost_elements(call, 8);
}
static wk_cost backward_cost(const wk_call *call) {
    return wk__cost_elements(call, 12);
}

#define ABSENT \
    { .kind = WK_SAMPLE_ABSENT }
static void layer_samples(wk_sampler *s) {
    const wk_layer_norm_opts plain = { 0 }, two = { .axes = 2 }, coarse = { .eps = WK_SET(0.1) };
    WK_CASE(s, "last", &plain, { .dims = WK_DIMS(3, 7) }, { .dims = WK_DIMS(7) }, { .dims = WK_DIMS(7) });
    WK_CASE(s, "two axes", &plain, { .dims = WK_DIMS(2, 3, 4), .strided = true }, { .dims = WK_DIMS(3, 4) },
            { .dims = WK_DIMS(3, 4), .strided = true });
    WK_CASE(s, "no weight", &two, { .dims = WK_DIMS(5, 2, 3) }, ABSENT, ABSENT);
    WK_CASE(s, "bias only", &coarse, { .dims = WK_DIMS(4, 5) }, ABSENT, { .dims = WK_DIMS(5) });
    WK_CASE(s, "weight only", &coarse, { .dims = WK_DIMS(4, 5) }, { .dims = WK_DIMS(5) }, ABSENT);
    WK_CASE(s, "all axes", &two, { .dims = WK_DIMS(4, 5) }, ABSENT, ABSENT);
    WK_CASE(s, "empty", &plain, { .dims = WK_DIMS(0, 4) }, { .dims = WK_DIMS(4) }, { .dims = WK_DIMS(4) });
    WK_CASE(s, "large", &plain, { .dims = WK_DIMS(67, 515), .low = 30, .high = 34 }, { .dims = WK_DIMS(515) },
            { .dims = WK_DIMS(515) });
    WK_HUGE_CASE(s, "huge", &plain, { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(1024) },
                 { .dims = WK_DIMS(1024) });
}
static void layer_backward_samples(wk_sampler *s) {
    const wk_layer_norm_opts plain = { 0 }, two = { .axes = 2 };
    WK_CASE(s, "weight", &plain, { .dims = WK_DIMS(9, 7) }, { .dims = WK_DIMS(9, 7) }, { .dims = WK_DIMS(7) }, ABSENT,
            ABSENT);
    WK_CASE(s, "no weight", &two, { .dims = WK_DIMS(3, 2, 4) }, { .dims = WK_DIMS(3, 2, 4), .strided = true }, ABSENT,
            ABSENT, ABSENT);
    WK_CASE(s, "large", &plain, { .dims = WK_DIMS(131, 260) }, { .dims = WK_DIMS(131, 260) }, { .dims = WK_DIMS(260) },
            ABSENT, ABSENT);
}
static void rms_samples(wk_sampler *s) {
    const wk_layer_norm_opts plain = { .eps = WK_SET(1e-6) }, two = { .axes = 2, .eps = WK_SET(0.1) };
    WK_CASE(s, "last", &plain, { .dims = WK_DIMS(3, 7) }, { .dims = WK_DIMS(7) });
    WK_CASE(s, "two axes", &plain, { .dims = WK_DIMS(2, 3, 4), .strided = true }, { .dims = WK_DIMS(3, 4) });
    WK_CASE(s, "no weight", &two, { .dims = WK_DIMS(5, 2, 3) }, ABSENT);
    WK_CASE(s, "empty", &plain, { .dims = WK_DIMS(0, 4) }, { .dims = WK_DIMS(4) });
    WK_CASE(s, "large", &plain, { .dims = WK_DIMS(67, 515) }, { .dims = WK_DIMS(515) });
    WK_HUGE_CASE(s, "huge", &plain, { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(1024) });
}
static void rms_backward_samples(wk_sampler *s) {
    const wk_layer_norm_opts plain = { 0 };
    WK_CASE(s, "weight", &plain, { .dims = WK_DIMS(9, 7) }, { .dims = WK_DIMS(9, 7) }, { .dims = WK_DIMS(7) }, ABSENT);
    WK_CASE(s, "no weight", &plain, { .dims = WK_DIMS(3, 8) }, { .dims = WK_DIMS(3, 8), .strided = true }, ABSENT,
            ABSENT);
    WK_CASE(s, "large", &plain, { .dims = WK_DIMS(131, 260) }, { .dims = WK_DIMS(131, 260) }, { .dims = WK_DIMS(260) },
            ABSENT);
}

/* ---- rows ---- */

static const wk_attr_def attrs[] = {
    { "axes", WK_ATTR_INT, offsetof(wk_layer_norm_opts, axes), 0, NULL, 0,
      "how many last axes make a row, where neither weight nor bias says it; 0 means 1" },
    { "eps", WK_ATTR_OPTIONAL, offsetof(wk_layer_norm_opts, eps), 0, NULL, 1e-5,
      "added to the variance; rms_norm: default the dtype's epsilon" },
};
#define FLOATS5 \
    { WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_FLOATS, WK_FLOATS }
#define COMMON .attrs = attrs, .n_attrs = 2, .attrs_size = sizeof(wk_layer_norm_opts)

static wk_op_def layer_row = { .name = "layer_norm",
                               .doc = "(x - mean) / sqrt(variance + eps) * weight + bias, over the last axes",
                               .n_in = 3,
                               .n_out = 3,
                               .optional_in = 6,
                               .saves_in = 3,
                               .saves_out = 6,
                               .internal_out = 6,
                               COMMON,
                               .dtype = { .allowed = FLOATS5, .autocast = WK_CAST_F32 },
                               .shape = layer_shape,
                               .grad = layer_grad,
                               .decompose = layer_parts,
                               .cost = forward_cost,
                               .samples = layer_samples };
static wk_op_def layer_backward_row = { .name = "layer_norm_backward",
                                        .internal = true,
                                        .doc = "gradient of layer_norm",
                                        .n_in = 5,
                                        .n_out = 3,
                                        .optional_in = 28,
                                        .saves_in = 31,
                                        .key = 1,
                                        .zero_sized_runs = true,
                                        COMMON,
                                        .dtype = { .allowed = FLOATS5, .same = 3 },
                                        .shape = backward_shape,
                                        .grad = wk__grad_by_parts,
                                        .decompose = layer_backward_parts,
                                        .cost = backward_cost,
                                        .samples = layer_backward_samples };
static wk_op_def rms_row = { .name = "rms_norm",
                             .doc = "x / sqrt(mean of x² + eps) * weight, over the last axes",
                             .n_in = 2,
                             .n_out = 2,
                             .optional_in = 2,
                             .saves_in = 3,
                             .saves_out = 2,
                             .internal_out = 2,
                             COMMON,
                             .dtype = { .allowed = FLOATS5, .autocast = WK_CAST_F32 },
                             .shape = rms_shape,
                             .grad = rms_grad,
                             .decompose = rms_parts,
                             .cost = forward_cost,
                             .samples = rms_samples };
static wk_op_def rms_backward_row = { .name = "rms_norm_backward",
                                      .internal = true,
                                      .doc = "gradient of rms_norm",
                                      .n_in = 4,
                                      .n_out = 2,
                                      .optional_in = 12,
                                      .saves_in = 15,
                                      .key = 1,
                                      .zero_sized_runs = true,
                                      COMMON,
                                      .dtype = { .allowed = FLOATS5, .same = 3 },
                                      .shape = backward_shape,
                                      .grad = wk__grad_by_parts,
                                      .decompose = rms_backward_parts,
                                      .cost = backward_cost,
                                      .samples = rms_backward_samples };

wk_tensor *wk_layer_norm(wk_tensor *x, wk_tensor *weight, wk_tensor *bias, wk_layer_norm_opts opts) {
    return wk_op_run3(&layer_row, &opts, x, weight, bias);
}
wk_tensor *wk_rms_norm(wk_tensor *x, wk_tensor *weight, wk_layer_norm_opts opts) {
    return wk_op_run2(&rms_row, &opts, x, weight);
}

wk_op_def *const wk__rows_layer_norm[] = { &layer_row, &layer_backward_row, &rms_row, &rms_backward_row, NULL };
