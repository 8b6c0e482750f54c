/* scan.c: running sums, products and extrema along an axis.
 *
 * Gradients of products would divide by what may be 0; instead they are linear recurrences s[j] = b[j] + a[j] s[j - 1],
 * a row whose own gradient is a recurrence in the other direction.
 */
#define WK_NO_CALL_SITES
#include "tensor/ops/reduce/rows.h"

static wk_status axis_shape(const wk_call *call, wk_desc out[], wk_optional axis) {
    const wk_tensor *x = call->in[0];
    if ((x->rank || axis.is_set) && !(x->rank == 0 && (axis.value == 0 || axis.value == -1))
        && wk__axis(call->op->name, x, (int64_t)wk_optional_or(axis, -1)) < 0)
        return wk_error_code();
    out[0] = wk_desc_like(x);
    return WK_OK;
}
static wk_status scan_shape(const wk_call *call, wk_desc out[]) {
    return axis_shape(call, out, ((const wk_scan_opts *)call->attrs)->axis);
}
static wk_status sums_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(scan_shape(call, out));
    if (!wk_dtype_is_float(out->dtype)) out->dtype = WK_I64;
    return WK_OK;
}
static wk_status extremum_shape_of(const wk_call *call, wk_desc out[]) {
    WK_TRY(axis_shape(call, out, ((const wk_axis_opts *)call->attrs)->axis));
    out[1] = out[0];
    out[1].dtype = WK_I64;
    return WK_OK;
}
static wk_status linear_scan_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *a = call->in[0], *b = call->in[1];
    for (int i = 0; i < a->rank || i < b->rank; i++)
        if (a->rank != b->rank || a->shape[i] != b->shape[i])
            return wk_bad_call(call, WK_SHAPE, "factors and terms have different shapes");
    return scan_shape(call, out);
}

/* ---- gradients ---- */

static int axis_of(const wk_tensor *x, wk_optional axis) {
    int at = (int)wk_optional_or(axis, -1);
    return at < 0 ? at + x->rank : at;
}

/* Along an axis, what stood one element before (by > 0) or behind, in the direction of the scan; `fill` where nothing
 * did. */
static wk_tensor *shifted(wk_tensor *x, const wk_scan_opts *opts, int by, double fill) {
    if (!x || x->rank == 0 || x->count == 0) return x ? wk_full((wk_dtype)x->dtype, wk__dims(x), fill) : NULL;
    int axis = axis_of(x, opts->axis);
    wk_dims edge = wk__dims(x);
    edge.size[axis] = 1;
    wk_tensor *filled = wk_full((wk_dtype)x->dtype, edge, fill);
    bool back = (by > 0) != opts->reverse;
    wk_tensor *rest = wk_slice(x, axis, back ? 0 : 1, back ? x->shape[axis] - 1 : x->shape[axis], 1);
    return wk_concat((wk_tensor *[]){ back ? filled : rest, back ? rest : filled }, 2, axis);
}

static wk_op_def linear_scan_row;
static wk_tensor *linear_scan(wk_tensor *a, wk_tensor *b, const wk_scan_opts *opts, bool turned) {
    const wk_scan_opts direction = { opts->axis, opts->reverse != turned };
    return wk_op_run2(&linear_scan_row, &direction, a, b);
}

static wk_status cumsum_grad(wk_grad *g) {
    const wk_scan_opts *opts = g->attrs, turned = { opts->axis, !opts->reverse };
    g->din[0] = wk_cumsum(g->dout[0], turned);
    return WK_OK;
}
/* dx[k] = y[k - 1] s[k],  s[k] = dy[k] + x[k + 1] s[k + 1] */
static wk_status cumprod_grad(wk_grad *g) {
    wk_tensor *before = shifted(g->out[0], g->attrs, 1, 1);
    g->din[0] = wk_mul(before, linear_scan(shifted(g->in[0], g->attrs, -1, 0), g->dout[0], g->attrs, true));
    return WK_OK;
}
/* dx[k] = e^(x[k] - y[k]) s[k],  s[k] = dy[k] + e^(y[k] - y[k + 1]) s[k + 1]: no factor is above 1 */
static wk_status logcumsumexp_grad(wk_grad *g) {
    wk_tensor *x = g->in[0], *y = g->out[0];
    wk_tensor *decay = wk_exp(wk_sub(y, shifted(y, g->attrs, -1, 0)));
    g->din[0] = wk_mul(wk_exp(wk_sub(x, y)), linear_scan(decay, g->dout[0], g->attrs, true));
    return WK_OK;
}
/* t[k] = ds[k] + a[k + 1] t[k + 1];  db = t,  da[k] = t[k] s[k - 1] */
static wk_status linear_scan_grad(wk_grad *g) {
    wk_tensor *t = linear_scan(shifted(g->in[0], g->attrs, -1, 0), g->dout[0], g->attrs, true);
    if (g->needs[0]) g->din[0] = wk_mul(t, shifted(g->out[0], g->attrs, 1, 0));
    if (g->needs[1]) g->din[1] = t;
    return WK_OK;
}
static wk_status extremum_scan_grad(wk_grad *g) {
    int axis = axis_of(g->in[0], ((const wk_axis_opts *)g->attrs)->axis);
    g->din[0] = g->in[0]->rank ? wk__add_at(g->dout[0], g->out[1], axis, wk__dims(g->in[0])) : g->dout[0];
    return WK_OK;
}

wk_tensor *wk__product_of_others(wk_tensor *x) {
    if (!x || x->count == 0) return x;
    const wk_scan_opts last = { .reverse = false };
    wk_dims rest = wk__dims(x), one = rest;
    rest.size[x->rank - 1] -= 1;
    one.size[x->rank - 1] = 1;
    wk_dtype dtype = (wk_dtype)x->dtype;
    wk_tensor *start = wk_concat((wk_tensor *[]){ wk_zeros(dtype, rest), wk_full(dtype, one, 1) }, 2, x->rank - 1);
    wk_tensor *before = shifted(wk_cumprod(x, last), &last, 1, 1);
    return wk_mul(before, linear_scan(shifted(x, &last, -1, 0), start, &last, true));
}

/* ---- samples ---- */

static void scan_samples(wk_sampler *s) {
    const wk_scan_opts last = { .reverse = false }, first = { .axis = WK_SET(0) }, back = { WK_SET(1), true };
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(3, 7), .margin = 0.05 });
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(6, 3), .margin = 0.05, .strided = true });
    WK_CASE(s, "back", &back, { .dims = WK_DIMS(2, 5, 3), .margin = 0.05 });
    WK_CASE(s, "one", &last, { .dims = WK_DIMS(1), .margin = 0.05 });
    WK_CASE(s, "scalar", &last, { .dims = WK_SCALAR, .margin = 0.05 });
    WK_CASE(s, "empty", &last, { .dims = WK_DIMS(3, 0) });
    WK_CASE(s, "large", &last, { .dims = WK_DIMS(1031, 9), .margin = 0.05 });
    WK_HUGE_CASE(s, "huge", &last, { .dims = WK_DIMS(512, 1024), .low = 0.9, .high = 1.1 });
    WK_HUGE_CASE(s, "huge first", &first, { .dims = WK_DIMS(512, 1024), .low = 0.9, .high = 1.1 });
}
static void long_samples(wk_sampler *s) {
    scan_samples(s);
    const wk_scan_opts last = { .reverse = false }, first = { WK_SET(0), true };
    WK_CASE(s, "large, first", &first, { .dims = WK_DIMS(9, 150), .margin = 0.05 });
    WK_CASE(s, "large lines", &last, { .dims = WK_DIMS(33, 517), .margin = 0.05 });
}
static void extremum_samples(wk_sampler *s) {
    const wk_axis_opts last = { { 0 } }, first = { WK_SET(0) };
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(3, 17), .margin = 0.05 });
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(16, 3), .margin = 0.05, .strided = true });
    WK_CASE(s, "scalar", &last, { .dims = WK_SCALAR, .margin = 0.05 });
    WK_CASE(s, "empty", &last, { .dims = WK_DIMS(3, 0) });
    WK_CASE(s, "large, first", &first, { .dims = WK_DIMS(33, 150) });
    WK_CASE(s, "large", &last, { .dims = WK_DIMS(129, 257) });
    WK_HUGE_CASE(s, "huge", &last, { .dims = WK_DIMS(512, 1024), .margin = 0.000001 });
    WK_HUGE_CASE(s, "huge first", &first, { .dims = WK_DIMS(512, 1024), .margin = 0.000001 });
}
static void linear_scan_samples(wk_sampler *s) {
    const wk_scan_opts last = { .reverse = false }, back = { WK_SET(0), true };
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(3, 7), .low = -1, .high = 1 }, { .dims = WK_DIMS(3, 7) });
    WK_CASE(s, "back", &back, { .dims = WK_DIMS(6, 3), .low = -1, .high = 1, .strided = true },
            { .dims = WK_DIMS(6, 3) });
    WK_CASE(s, "large", &last, { .dims = WK_DIMS(129, 65), .low = -1, .high = 1 }, { .dims = WK_DIMS(129, 65) });
}

/* ---- rows ---- */

static const wk_attr_def scan_attrs[] = {
    AXIS_ATTR(wk_scan_opts),
    { "reverse", WK_ATTR_BOOL, offsetof(wk_scan_opts, reverse), 0, NULL, 0, "from the end on" },
};
static wk_cost several(const wk_call *call) {
    return wk__cost_elements(call, 4);
}
#define SCAN(id, text, inputs, is_internal, dtypes, cast, keep_in, keep_out, shape_rule, rule, cases) \
    static wk_op_def id##_row = {                                                                     \
        .name = #id,                                                                                  \
        .internal = is_internal,                                                                      \
        .doc = text,                                                                                  \
        .n_in = inputs,                                                                               \
        .n_out = 1,                                                                                   \
        .saves_in = keep_in,                                                                          \
        .saves_out = keep_out,                                                                        \
        .attrs = scan_attrs,                                                                          \
        .n_attrs = 2,                                                                                 \
        .attrs_size = sizeof(wk_scan_opts),                                                           \
        .dtype = { .allowed = { dtypes, dtypes }, .same = (1 << (inputs)) - 1, .autocast = cast },    \
        .shape = shape_rule,                                                                          \
        .grad = rule,                                                                                 \
        .cost = several,                                                                              \
        .samples = cases                                                                              \
    }
SCAN(cumsum, "running sum", 1, false, 0, WK_CAST_F32, 0, 0, sums_shape, cumsum_grad, long_samples);
SCAN(cumprod, "running product", 1, false, 0, WK_CAST_F32, 1, 1, sums_shape, cumprod_grad, scan_samples);
SCAN(logcumsumexp, "running log Σ e^x", 1, false, WK_FLOATS, WK_CAST_AS_IS, 1, 1, scan_shape, logcumsumexp_grad,
     long_samples);
SCAN(linear_scan, "s[j] = b[j] + a[j] s[j - 1]", 2, true, WK_FLOATS, WK_CAST_AS_IS, 1, 1, linear_scan_shape,
     linear_scan_grad, linear_scan_samples);
wk_tensor *wk_cumsum(wk_tensor *x, wk_scan_opts opts) {
    return wk_op_run1(&cumsum_row, &opts, x);
}
wk_tensor *wk_cumprod(wk_tensor *x, wk_scan_opts opts) {
    return wk_op_run1(&cumprod_row, &opts, x);
}
wk_tensor *wk_logcumsumexp(wk_tensor *x, wk_scan_opts opts) {
    return wk_op_run1(&logcumsumexp_row, &opts, x);
}

static const wk_attr_def axis_attrs[] = { AXIS_ATTR(wk_axis_opts) };
#define EXTREMUM(id, text)                                                     \
    static wk_op_def id##_row = { .name = #id,                                 \
                                  .doc = text,                                 \
                                  .n_in = 1,                                   \
                                  .n_out = 2,                                  \
                                  .saves_out = 2,                              \
                                  .internal_out = 2,                           \
                                  .attrs = axis_attrs,                         \
                                  .n_attrs = 1,                                \
                                  .attrs_size = sizeof(wk_axis_opts),          \
                                  .shape = extremum_shape_of,                  \
                                  .grad = extremum_scan_grad,                  \
                                  .cost = several,                             \
                                  .samples = extremum_samples };               \
    wk_tensor *wk_##id(wk_tensor *x, wk_tensor **indices, wk_axis_opts opts) { \
        return run_two(&id##_row, &opts, x, indices);                          \
    }
EXTREMUM(cummax, "running maximum and where it stands; NaN stays")
EXTREMUM(cummin, "running minimum and where it stands; NaN stays")

wk_op_def *const wk__rows_scan[] = { &cumsum_row, &cumprod_row, &logcumsumexp_row, &linear_scan_row, &cummax_row,
                                     &cummin_row, NULL };
