/* order.c: sort, top-k, the k-th least, median, quantiles.  Gradients go back to the places that the values came from.
 */
#define WK_NO_CALL_SITES
#include "tensor/ops/reduce/rows.h"

#include <math.h>

/* ---- shapes ---- */

/* The axis of a row that takes scalars as lines of one element; -1 with an error pending. */
static int line_axis(const wk_call *call, wk_optional axis, int64_t *length) {
    const wk_tensor *x = call->in[0];
    int64_t wanted = (int64_t)wk_optional_or(axis, -1);
    if (x->rank == 0 && (wanted == 0 || wanted == -1)) {
        *length = 1;
        return 0;
    }
    int at = wk__axis(call->op->name, x, wanted);
    if (at >= 0) *length = x->shape[at];
    return at;
}

static wk_status sort_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0];
    int64_t length;
    if (line_axis(call, ((const wk_sort_opts *)call->attrs)->axis, &length) < 0) return wk_error_code();
    out[0] = wk_desc_row_major((wk_dtype)x->dtype, x->rank, x->shape);
    out[1] = wk_desc_row_major(WK_I64, x->rank, x->shape);
    return WK_OK;
}
static wk_status topk_shape(const wk_call *call, wk_desc out[]) {
    const wk_topk_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0];
    int64_t length;
    int axis = line_axis(call, opts->axis, &length);
    if (axis < 0) return wk_error_code();
    if (opts->k < 0 || opts->k > length)
        return wk_bad_call(call, WK_INVALID, "k is %lld, expected 0 to %lld, the size of axis %d", (long long)opts->k,
                           (long long)length, axis);
    for (int i = 0; i < 2; i++) {
        out[i] = wk_desc_row_major(i ? WK_I64 : (wk_dtype)x->dtype, x->rank, x->shape);
        if (x->rank) out[i].shape[axis] = opts->k;
    }
    if (x->rank == 0 && opts->k == 0) return wk_bad_call(call, WK_INVALID, "k is 0 for a tensor without axes");
    return WK_OK;
}
static wk_status pick_shape(const wk_call *call, wk_desc out[], wk_optional opts_axis, bool keep, int64_t k) {
    const wk_tensor *x = call->in[0];
    int64_t length;
    int axis = line_axis(call, opts_axis, &length);
    if (axis < 0) return wk_error_code();
    if (length == 0) return wk_bad_call(call, WK_SHAPE, "axis %d is empty", axis);
    if (k < 1 || k > length)
        return wk_bad_call(call, WK_INVALID, "k is %lld, expected 1 to %lld, the size of axis %d", (long long)k,
                           (long long)length, axis);
    for (int i = 0; i < 2; i++) {
        reduced(x, x->rank ? 1u << axis : 0, keep, &out[i]);
        out[i].dtype = i ? WK_I64 : (wk_dtype)x->dtype;
    }
    return WK_OK;
}
static wk_status kthvalue_shape(const wk_call *call, wk_desc out[]) {
    const wk_kthvalue_opts *opts = call->attrs;
    return pick_shape(call, out, opts->axis, opts->keep_dims, opts->k);
}
static wk_status median_shape(const wk_call *call, wk_desc out[]) {
    const wk_median_opts *opts = call->attrs;
    return pick_shape(call, out, opts->axis, opts->keep_dims, 1);
}

/* ---- gradients ---- */

/* dy at its places; one that lost the axis gets it back as size 1. */
static wk_status scatter_grad(wk_grad *g, wk_optional opts_axis) {
    const wk_tensor *x = g->in[0];
    wk_tensor *d = g->dout[0], *places = g->out[1];
    if (x->rank == 0) {
        g->din[0] = wk_reshape(d, WK_SCALAR);
        return WK_OK;
    }
    int axis = (int)wk_optional_or(opts_axis, -1);
    if (axis < 0) axis += x->rank;
    if (places->rank < x->rank) {
        wk_dims dims = wk__dims(x);
        dims.size[axis] = 1;
        d = wk_reshape(d, dims);
        places = wk_reshape(places, dims);
    }
    g->din[0] = wk__add_at(d, places, axis, wk__dims(x));
    return WK_OK;
}
static wk_status sort_grad(wk_grad *g) {
    return scatter_grad(g, ((const wk_sort_opts *)g->attrs)->axis);
}
static wk_status topk_grad(wk_grad *g) {
    return scatter_grad(g, ((const wk_topk_opts *)g->attrs)->axis);
}
static wk_status kthvalue_grad(wk_grad *g) {
    return scatter_grad(g, ((const wk_kthvalue_opts *)g->attrs)->axis);
}
static wk_status median_grad(wk_grad *g) {
    return scatter_grad(g, ((const wk_median_opts *)g->attrs)->axis);
}

/* ---- samples ---- */

static void sort_samples(wk_sampler *s) {
    const wk_sort_opts up = { .descending = false }, down = { .descending = true }, first = { WK_SET(0), true };
    WK_CASE(s, "up", &up, { .dims = WK_DIMS(3, 17), .margin = 0.05 });
    WK_CASE(s, "down", &down, { .dims = WK_DIMS(3, 50), .margin = 0.01 });
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(16, 3), .margin = 0.05, .strided = true });
    WK_CASE(s, "scalar", &up, { .dims = WK_SCALAR, .margin = 0.05 });
    WK_CASE(s, "empty", &up, { .dims = WK_DIMS(3, 0) });
    WK_CASE(s, "large", &up, { .dims = WK_DIMS(33, 1031) });
    WK_CASE(s, "large, down", &down, { .dims = WK_DIMS(33, 257) });
    WK_HUGE_CASE(s, "huge", &up, { .dims = WK_DIMS(512, 1024), .margin = 0.000001 });
}
static void topk_samples(wk_sampler *s) {
    const wk_topk_opts five = { .k = 5 }, least = { 3, WK_SET(0), true, false }, places = { 40, { 0 }, false, true },
                       all = { .k = 9 }, none = { .k = 0 };
    WK_CASE(s, "largest", &five, { .dims = WK_DIMS(3, 17), .margin = 0.05 });
    WK_CASE(s, "least", &least, { .dims = WK_DIMS(16, 3), .margin = 0.05, .strided = true });
    WK_CASE(s, "all", &all, { .dims = WK_DIMS(2, 9), .margin = 0.05 });
    WK_CASE(s, "none", &none, { .dims = WK_DIMS(2, 9), .margin = 0.05 });
    WK_CASE(s, "places", &places, { .dims = WK_DIMS(2, 60), .margin = 0.01 });
    WK_CASE(s, "large", &five, { .dims = WK_DIMS(33, 1031) });
    WK_CASE(s, "large, many", &places, { .dims = WK_DIMS(33, 1031) });
    WK_HUGE_CASE(s, "huge", &five, { .dims = WK_DIMS(512, 1024), .margin = 0.000001 });
}
static void kthvalue_samples(wk_sampler *s) {
    const wk_kthvalue_opts fourth = { .k = 4 }, first = { 1, WK_SET(0), true }, many = { .k = 700 };
    WK_CASE(s, "last", &fourth, { .dims = WK_DIMS(3, 17), .margin = 0.05 });
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(16, 3), .margin = 0.05, .strided = true });
    WK_CASE(s, "scalar", &(const wk_kthvalue_opts){ .k = 1 }, { .dims = WK_SCALAR, .margin = 0.05 });
    WK_CASE(s, "large", &many, { .dims = WK_DIMS(33, 1031) });
    WK_HUGE_CASE(s, "huge", &many, { .dims = WK_DIMS(512, 1024), .margin = 0.000001 });
}
static void median_samples(wk_sampler *s) {
    const wk_median_opts last = { .keep_dims = false }, keep = { WK_SET(0), true };
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(3, 17), .margin = 0.05 });
    WK_CASE(s, "even", &last, { .dims = WK_DIMS(3, 32), .margin = 0.02 });
    WK_CASE(s, "keep", &keep, { .dims = WK_DIMS(16, 3), .margin = 0.05, .strided = true });
    WK_CASE(s, "large", &last, { .dims = WK_DIMS(33, 1031) });
    WK_HUGE_CASE(s, "huge", &last, { .dims = WK_DIMS(512, 1024), .margin = 0.000001 });
}
static void quantile_samples(wk_sampler *s) {
    static const char *const labels[] = { "linear", "lower", "higher", "midpoint", "nearest" };
    for (int i = 0; i < 5; i++) {
        const wk_quantile_opts opts = { .axis = WK_SET(1), .keep_dims = i == 2, .interpolation = i };
        WK_CASE(s, labels[i], &opts, { .dims = WK_DIMS(4, 13), .margin = 0.05, .strided = i == 1 },
                { .dims = WK_DIMS(3), .low = 0.05, .high = 0.95 });
    }
    const wk_quantile_opts all = { .axis = { 0 } }, first = { .axis = WK_SET(0) };
    WK_CASE(s, "all", &all, { .dims = WK_DIMS(4, 7), .margin = 0.05 },
            { .dims = WK_SCALAR, .low = 0.05, .high = 0.95 });
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(9, 4), .margin = 0.05 },
            { .dims = WK_DIMS(2), .low = 0.05, .high = 0.95 });
    WK_CASE(s, "large", &first, { .dims = WK_DIMS(1031, 9) }, { .dims = WK_DIMS(3), .low = 0.05, .high = 0.95 });
}

/* ---- rows ---- */

#define ANY ((wk_dtype_set)(WK_NUMBERS | WK_SET_OF(WK_BOOL)))
static wk_cost n_log_n(const wk_call *call) {
    return (wk_cost){ 10 * (double)call->in[0]->count, wk__operand_bytes(call) };
}
#define ROW(id, text, type)                                                            \
    static wk_op_def id##_row = { .name = #id,                                         \
                                  .doc = text,                                         \
                                  .n_in = 1,                                           \
                                  .n_out = 2,                                          \
                                  .saves_out = 2,                                      \
                                  .internal_out = 2,                                   \
                                  .attrs = id##_attrs,                                 \
                                  .n_attrs = sizeof id##_attrs / sizeof id##_attrs[0], \
                                  .attrs_size = sizeof(type),                          \
                                  .dtype = { .allowed = { ANY } },                     \
                                  .shape = id##_shape,                                 \
                                  .grad = id##_grad,                                   \
                                  .cost = n_log_n,                                     \
                                  .samples = id##_samples };                           \
    wk_tensor *wk_##id(wk_tensor *x, wk_tensor **indices, type opts) {                 \
        return run_two(&id##_row, &opts, x, indices);                                  \
    }
#define KEEP(type) \
    { "keep_dims", WK_ATTR_BOOL, offsetof(type, keep_dims), 0, NULL, 0, "leave the axis as size 1" }
static const wk_attr_def sort_attrs[] = {
    AXIS_ATTR(wk_sort_opts),
    { "descending", WK_ATTR_BOOL, offsetof(wk_sort_opts, descending), 0, NULL, 0, "the largest first" },
};
static const wk_attr_def topk_attrs[] = {
    { "k", WK_ATTR_INT, offsetof(wk_topk_opts, k), 0, NULL, 0, "how many" },
    AXIS_ATTR(wk_topk_opts),
    { "smallest", WK_ATTR_BOOL, offsetof(wk_topk_opts, smallest), 0, NULL, 0, "the least instead of the largest" },
    { "unsorted", WK_ATTR_BOOL, offsetof(wk_topk_opts, unsorted), 0, NULL, 0, "in the order of their places" },
};
static const wk_attr_def kthvalue_attrs[] = {
    { "k", WK_ATTR_INT, offsetof(wk_kthvalue_opts, k), 0, NULL, 0, "which, from 1, the least" },
    AXIS_ATTR(wk_kthvalue_opts),
    KEEP(wk_kthvalue_opts),
};
static const wk_attr_def median_attrs[] = { AXIS_ATTR(wk_median_opts), KEEP(wk_median_opts) };
ROW(sort, "elements in order along an axis, and where they stood", wk_sort_opts)
ROW(topk, "the k largest or least along an axis, and where they stood", wk_topk_opts)
ROW(kthvalue, "the k-th least along an axis, and where it stood", wk_kthvalue_opts)
ROW(median, "the lower median along an axis, and where it stood", wk_median_opts)

/* ---- of parts ---- */

static wk_status argsort_parts(const wk_call *call, wk_tensor *out[]) {
    (void)wk_sort(call->in[0], &out[0], *(const wk_sort_opts *)call->attrs);
    return out[0] ? WK_OK : wk_error_code();
}
static wk_op_def argsort_row = { .name = "argsort",
                                 .doc = "where the elements stood that are in order along an axis",
                                 .n_in = 1,
                                 .n_out = 1,
                                 .composite = true,
                                 .attrs = sort_attrs,
                                 .n_attrs = 2,
                                 .attrs_size = sizeof(wk_sort_opts),
                                 .dtype = { .allowed = { ANY } },
                                 .not_differentiable = "its result is an index",
                                 .decompose = argsort_parts,
                                 .cost = n_log_n,
                                 .samples = sort_samples };
wk_tensor *wk_argsort(wk_tensor *x, wk_sort_opts opts) {
    return wk_op_run1(&argsort_row, &opts, x);
}

/* Where the quantiles stand between sorted elements: the places below and above, and the weight of the upper one.
 * Places are computed in q's dtype, as PyTorch's are: in f32, 0.7 of ten steps is the seventh element. */
static wk_status quantile_places(const wk_call *call, int64_t length, int how, wk_tensor **below, wk_tensor **above,
                                 wk_tensor **weight) {
    wk_tensor *q = call->in[1];
    wk_tensor *ranks = wk_scale(wk_reshape(q, WK_DIMS(q->count)), (double)(length - 1));
    *below = wk__empty_on(0, WK_I64, WK_DIMS(q->count));
    *above = wk__empty_on(0, WK_I64, WK_DIMS(q->count));
    if (!ranks || !*above) return wk_error_code();
    for (int64_t i = 0; i < q->count; i++) {
        double value = wk_at(q, i), place = wk_at(ranks, i);
        if (!(value >= 0 && value <= 1))
            return wk_bad_call(call, WK_INVALID, "q[%lld] is %g, expected 0 ≤ q ≤ 1", (long long)i, value);
        if (how == WK_INTERPOLATION_LOWER) place = floor(place);
        if (how == WK_INTERPOLATION_HIGHER) place = ceil(place);
        if (how == WK_INTERPOLATION_NEAREST) place = nearbyint(place);
        ((int64_t *)(*below)->data)[i] = (int64_t)floor(place);
        ((int64_t *)(*above)->data)[i] = (int64_t)ceil(place);
    }
    *below = wk__placed(*below);
    *above = wk__placed(*above);
    wk_dtype dtype = (wk_dtype)q->dtype;
    *weight = how == WK_INTERPOLATION_LINEAR ? wk_sub(ranks, wk_cast(*below, dtype)) : wk_scalar(dtype, 0.5);
    return *weight ? WK_OK : wk_error_code();
}

/* The sorted lines stand along the last axis; a line that ends with NaN is NaN all over. */
static wk_status quantile_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_quantile_opts *opts = call->attrs;
    wk_tensor *x = call->in[0], *q = call->in[1], *below = NULL, *above = NULL, *weight = NULL;
    if (q->rank > 1) return wk_bad_call(call, WK_SHAPE, "q has rank %d, expected a number or (K)", q->rank);
    bool whole = !opts->axis.is_set;
    wk_dims result = wk__dims(x);
    int axis = 0;
    if (!whole && (axis = wk__axis("quantile", x, (int64_t)opts->axis.value)) < 0) return wk_error_code();
    for (int i = 0; i < x->rank; i++)
        if (whole || i == axis) result.size[i] = 1;
    wk_tensor *lines = whole ? wk_reshape(x, WK_DIMS(-1)) : wk_transpose(x, axis, x->rank - 1);
    if (!lines) return wk_error_code();
    int last = lines->rank - 1;
    int64_t length = lines->shape[last];
    if (length == 0) return wk_bad_call(call, WK_SHAPE, "there are no elements to take quantiles of");
    WK_TRY(quantile_places(call, length, opts->interpolation, &below, &above, &weight));
    wk_tensor *sorted = wk_sort(lines, NULL, (wk_sort_opts){ .descending = false });
    wk_tensor *low = wk_index_select(sorted, below, last);
    wk_tensor *y = wk_lerp(low, wk_index_select(sorted, above, last), weight);
    wk_tensor *most = wk_slice(sorted, last, length - 1, length, 1);
    y = wk_where(wk_isnan(most), most, y); /* (…, K) */
    if (!whole) y = wk_transpose(y, axis, last);
    /* K goes to the front, and the axis goes or stays as size 1. */
    wk_dims order = { .rank = last + 1 }, shape = { 0 };
    order.size[0] = whole ? 0 : axis;
    for (int i = 0, at = 1; i <= last; i++)
        if (i != order.size[0]) order.size[at++] = i;
    if (q->rank) shape.size[shape.rank++] = q->count;
    for (int i = 0; i < x->rank; i++)
        if (opts->keep_dims || !(whole || i == axis)) {
            if (shape.rank == WK_MAX_RANK)
                return wk_bad_call(call, WK_SHAPE, "the result has more than %d axes", WK_MAX_RANK);
            shape.size[shape.rank++] = result.size[i];
        }
    return give(out, wk_reshape(wk_permute(y, order), shape));
}
static const wk_attr_def quantile_attrs[] = {
    { "axis", WK_ATTR_OPTIONAL, offsetof(wk_quantile_opts, axis), 0, NULL, 0, "not set: over all elements" },
    KEEP(wk_quantile_opts),
    { "interpolation", WK_ATTR_ENUM, offsetof(wk_quantile_opts, interpolation), 0,
      "linear|lower|higher|midpoint|nearest", 0, "between two elements" },
};
static wk_op_def quantile_row = {
    .name = "quantile",
    .doc = "quantiles along an axis or of all",
    .n_in = 2,
    .n_out = 1,
    .composite = true,
    .attrs = quantile_attrs,
    .n_attrs = 3,
    .attrs_size = sizeof(wk_quantile_opts),
    .dtype = { .allowed = { WK_F32_F64, WK_F32_F64 }, .same = 3, .autocast = WK_CAST_F32 },
    .decompose = quantile_parts,
    .cost = n_log_n,
    .samples = quantile_samples
};
wk_tensor *wk_quantile(wk_tensor *x, wk_tensor *q, wk_quantile_opts opts) {
    return wk_op_run2(&quantile_row, &opts, x, q);
}

wk_op_def *const wk__rows_order[] = { &sort_row,    &topk_row,     &kthvalue_row, &median_row,
                                      &argsort_row, &quantile_row, NULL };
