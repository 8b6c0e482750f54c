/* scatter.c: putting values at positions that a tensor names.
 *
 * Three rows have kernels: scatter (the last one wins), scatter_add, and scatter_fold (product, largest, smallest). The
 * forms by rows expand their index over the other axes (stride 0, nothing is copied); scatter_reduce is made of the
 * three, since a mean is a sum and a count.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#include <math.h>

static wk_cost move_cost(const wk_call *call) {
    return (wk_cost){ call->in[1] ? (double)call->in[1]->count : 0, wk__operand_bytes(call) };
}

/* ---- shape ---- */

static wk_status scatter_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0], *index = call->in[1], *source = call->in[2];
    int64_t axis = ((const wk_index_opts *)call->attrs)->axis;
    bool fits = index->rank == x->rank && source->rank == x->rank && axis >= 0 && axis < x->rank;
    for (int a = 0; fits && a < x->rank; a++)
        fits = index->shape[a] <= source->shape[a] && (a == axis || index->shape[a] <= x->shape[a]);
    char text[3][160];
    if (!fits)
        return wk_bad_call(
            call, WK_SHAPE,
            "x %s, index %s, source %s along axis %lld: ranks must agree, index be no larger than source "
            "nor, along other axes, than x",
            wk_describe(x, text[0], sizeof text[0]), wk_describe(index, text[1], sizeof text[1]),
            wk_describe(source, text[2], sizeof text[2]), (long long)axis);
    out[0] = wk_desc_row_major((wk_dtype)x->dtype, x->rank, x->shape);
    return WK_OK;
}

/* ---- gradients ---- */

/* What index picks of `from`, as large as source: nothing arrives where source is larger than index. */
static wk_tensor *picked(wk_tensor *from, wk_tensor *index, const wk_tensor *source, int axis) {
    wk_tensor *part = wk_gather(from, index, axis);
    wk_pad_opts pad = { .before = { .rank = source->rank }, .after = { .rank = source->rank } };
    bool larger = false;
    for (int a = 0; a < source->rank; a++) {
        pad.after.size[a] = source->shape[a] - index->shape[a];
        larger = larger || pad.after.size[a] > 0;
    }
    return larger ? wk_pad(part, pad) : part;
}
static wk_status scatter_grad(wk_grad *g) {
    int axis = (int)((const wk_index_opts *)g->attrs)->axis;
    wk_tensor *d = g->dout[0], *index = g->in[1];
    if (g->needs[0]) g->din[0] = wk_scatter(d, index, wk_zeros((wk_dtype)d->dtype, wk__dims(index)), axis);
    if (g->needs[2]) g->din[2] = picked(d, index, g->in[2], axis);
    return WK_OK;
}
static wk_status scatter_add_grad(wk_grad *g) {
    int axis = (int)((const wk_index_opts *)g->attrs)->axis;
    if (g->needs[0]) g->din[0] = g->dout[0];
    if (g->needs[2]) g->din[2] = picked(g->dout[0], g->in[1], g->in[2], axis);
    return WK_OK;
}

/* source as large as index */
static wk_tensor *used_part(wk_tensor *source, const wk_tensor *index) {
    for (int a = 0; a < index->rank && source; a++)
        if (source->shape[a] != index->shape[a]) source = wk_slice(source, a, 0, index->shape[a], 1);
    return source;
}

/* Those that hold the extremum share the gradient equally. */
static wk_status extremum_grad(wk_grad *g, int axis) {
    wk_tensor *x = g->in[0], *index = g->in[1], *source = used_part(g->in[2], index), *y = g->out[0];
    wk_dtype dtype = (wk_dtype)x->dtype;
    wk_tensor *own = wk_cast(wk_eq(x, y), dtype), *theirs = wk_cast(wk_eq(source, wk_gather(y, index, axis)), dtype);
    wk_tensor *share = wk_div(g->dout[0], wk_scatter_add(own, index, theirs, axis));
    if (g->needs[0]) g->din[0] = wk_mul(own, share);
    if (g->needs[2]) g->din[2] = wk_mul(theirs, wk_gather(share, index, axis));
    return WK_OK;
}

/* dy y / v where v ≠ 0; a single zero in a product gets the product of the others, several get nothing. */
static wk_status product_grad(wk_grad *g, int axis) {
    const wk_scatter_fold_attrs *attrs = g->attrs;
    wk_tensor *x = g->in[0], *index = g->in[1], *source = used_part(g->in[2], index);
    wk_dtype dtype = (wk_dtype)x->dtype;
    wk_tensor *zero = wk_zeros(dtype, WK_SCALAR), *one = wk_full(dtype, WK_SCALAR, 1);
    wk_tensor *x_zero = wk_eq(x, zero), *s_zero = wk_eq(source, zero);
    wk_tensor *zeros = wk_scatter_add(wk_cast(x_zero, dtype), index, wk_cast(s_zero, dtype), axis);
    wk_tensor *const parts[] = { wk_where(x_zero, one, x), index, wk_where(s_zero, one, source) };
    wk_tensor *others[1];
    WK_TRY(wk_op_run(g->call->op, parts, 3, others, attrs));
    wk_tensor *d = g->dout[0];
    wk_tensor *full = wk_where(wk_eq(zeros, zero), wk_mul(d, others[0]), zero);
    wk_tensor *single = wk_where(wk_eq(zeros, one), wk_mul(d, others[0]), zero);
    if (g->needs[0]) g->din[0] = wk_where(x_zero, single, wk_div(full, parts[0]));
    if (g->needs[2])
        g->din[2] = wk_where(s_zero, wk_gather(single, index, axis), wk_div(wk_gather(full, index, axis), parts[2]));
    return WK_OK;
}

static wk_status fold_grad(wk_grad *g) {
    const wk_scatter_fold_attrs *attrs = g->attrs;
    int axis = (int)attrs->axis;
    WK_TRY(attrs->reduce == WK_SCATTER_PROD ? product_grad(g, axis) : extremum_grad(g, axis));
    /* What lies beyond the index has no part in the result. */
    const wk_tensor *source = g->in[2], *index = g->in[1];
    if (!g->needs[2] || !g->din[2] || g->din[2]->count == source->count) return WK_OK;
    wk_pad_opts pad = { .before = { .rank = source->rank }, .after = { .rank = source->rank } };
    for (int a = 0; a < source->rank; a++) pad.after.size[a] = source->shape[a] - index->shape[a];
    g->din[2] = wk_pad(g->din[2], pad);
    return WK_OK;
}

/* ---- samples ---- */

/* Positions of one line are all different in PyTorch's contract for scatter; here the last one wins, there any. */
static void scatter_samples(wk_sampler *s) {
    const wk_index_opts rows = { 0 }, columns = { 1 };
    WK_CASE(s, "one each", &rows, { .dims = WK_DIMS(5, 3) },
            { .dims = WK_DIMS(1, 3), .kind = WK_SAMPLE_INDEX, .high = 5 }, { .dims = WK_DIMS(1, 3) });
    WK_CASE(s, "part", &columns, { .dims = WK_DIMS(4, 5), .strided = true },
            { .dims = WK_DIMS(3, 1), .kind = WK_SAMPLE_INDEX, .high = 5 }, { .dims = WK_DIMS(4, 2) });
    WK_CASE(s, "none", &rows, { .dims = WK_DIMS(5, 3) }, { .dims = WK_DIMS(0, 3), .kind = WK_SAMPLE_INDEX, .high = 5 },
            { .dims = WK_DIMS(0, 3) });
    WK_HUGE_CASE(s, "huge one each", &rows, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(1, 1024), .kind = WK_SAMPLE_INDEX, .high = 512 }, { .dims = WK_DIMS(1, 1024) });
}
static void scatter_add_samples(wk_sampler *s) {
    const wk_index_opts rows = { 0 }, columns = { 1 };
    scatter_samples(s);
    WK_CASE(s, "many", &rows, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(6, 4), .kind = WK_SAMPLE_INDEX, .high = 3 },
            { .dims = WK_DIMS(6, 4) });
    WK_CASE(s, "cut", &columns, { .dims = WK_DIMS(4, 5) },
            { .dims = WK_DIMS(3, 4), .kind = WK_SAMPLE_INDEX, .high = 5 }, { .dims = WK_DIMS(4, 5), .strided = true });
    WK_CASE(s, "large", &rows, { .dims = WK_DIMS(63, 130) },
            { .dims = WK_DIMS(200, 130), .kind = WK_SAMPLE_INDEX, .high = 63 }, { .dims = WK_DIMS(200, 130) });
    WK_HUGE_CASE(s, "huge", &rows, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .kind = WK_SAMPLE_INDEX, .high = 512 }, { .dims = WK_DIMS(512, 1024) });
    WK_HUGE_CASE(s, "huge columns", &columns, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .kind = WK_SAMPLE_INDEX, .high = 1024 }, { .dims = WK_DIMS(512, 1024) });
}
static void fold_samples(wk_sampler *s) {
    const wk_scatter_fold_attrs prod = { 0, WK_SCATTER_PROD }, most = { 1, WK_SCATTER_AMAX },
                                least = { 0, WK_SCATTER_AMIN };
    WK_CASE(s, "prod", &prod, { .dims = WK_DIMS(3, 4), .margin = 0.2 },
            { .dims = WK_DIMS(4, 4), .kind = WK_SAMPLE_INDEX, .high = 3 }, { .dims = WK_DIMS(4, 4), .margin = 0.2 });
    WK_CASE(s, "amax", &most, { .dims = WK_DIMS(3, 4), .margin = 0.2 },
            { .dims = WK_DIMS(2, 6), .kind = WK_SAMPLE_INDEX, .high = 4 }, { .dims = WK_DIMS(3, 6), .margin = 0.2 });
    WK_CASE(s, "amin", &least, { .dims = WK_DIMS(3, 4), .margin = 0.2 },
            { .dims = WK_DIMS(4, 4), .kind = WK_SAMPLE_INDEX, .high = 3 }, { .dims = WK_DIMS(4, 4), .margin = 0.2 });
}

/* ---- rows ---- */

static const wk_attr_def axis_attrs[] = { { "axis", WK_ATTR_INT, offsetof(wk_index_opts, axis), 0, NULL, 0,
                                            "indexed" } };
#define ANY_NUMBER \
    { .allowed = { WK_NUMBERS, WK_SET_OF(WK_I64), WK_NUMBERS }, .same = 5 }
static wk_op_def scatter_row = { .name = "scatter",
                                 .doc = "x with values put at positions along an axis",
                                 .n_in = 3,
                                 .n_out = 1,
                                 .saves_in = 2,
                                 .attrs = axis_attrs,
                                 .n_attrs = 1,
                                 .attrs_size = sizeof(wk_index_opts),
                                 .dtype = ANY_NUMBER,
                                 .shape = scatter_shape,
                                 .grad = scatter_grad,
                                 .cost = move_cost,
                                 .samples = scatter_samples };
static wk_op_def scatter_add_row = {
    .name = "scatter_add",
    .doc = "x with values added at positions along an axis",
    .n_in = 3,
    .n_out = 1,
    .saves_in = 2,
    .attrs = axis_attrs,
    .n_attrs = 1,
    .attrs_size = sizeof(wk_index_opts),
    .dtype = { .allowed = { WK_NUMBERS, WK_SET_OF(WK_I64), WK_NUMBERS }, .same = 5, .autocast = WK_CAST_WIDEST },
    .shape = scatter_shape,
    .grad = scatter_add_grad,
    .cost = move_cost,
    .samples = scatter_add_samples
};
static wk_op_def fold_row = { .name = "scatter_fold",
                              .internal = true,
                              .doc = "x multiplied by, or compared with, values at positions along an axis",
                              .n_in = 3,
                              .n_out = 1,
                              .saves_in = 7,
                              .saves_out = 1,
                              .attrs_size = sizeof(wk_scatter_fold_attrs),
                              .dtype = ANY_NUMBER,
                              .shape = scatter_shape, /* the axis stands first in both structs */
                              .grad = fold_grad,
                              .cost = move_cost,
                              .samples = fold_samples };

static wk_tensor *along_axis(const wk_op_def *op, wk_tensor *x, wk_tensor *index, wk_tensor *source, int64_t axis) {
    int resolved = x ? wk__axis(op->name, x, axis) : 0;
    if (resolved < 0) return NULL;
    const wk_index_opts opts = { resolved };
    return wk_op_run3(op, &opts, x, index, source);
}
wk_tensor *wk_scatter(wk_tensor *x, wk_tensor *index, wk_tensor *source, int axis) {
    return along_axis(&scatter_row, x, index, source, axis);
}
wk_tensor *wk_scatter_add(wk_tensor *x, wk_tensor *index, wk_tensor *source, int axis) {
    return along_axis(&scatter_add_row, x, index, source, axis);
}

/* ---- scatter_reduce ---- */

/* What changes nothing when it is reduced with. */
static double identity_of(int reduce, wk_dtype dtype) {
    if (reduce == WK_SCATTER_PROD) return 1;
    if (reduce != WK_SCATTER_AMAX && reduce != WK_SCATTER_AMIN) return 0;
    bool largest = reduce == WK_SCATTER_AMIN;
    if (wk_dtype_is_float(dtype)) return largest ? (double)INFINITY : -(double)INFINITY;
    if (dtype == WK_U8) return largest ? 255 : 0;
    double half = ldexp(1, 8 * (int)wk_dtype_size(dtype) - 1);
    return !largest ? -half : dtype == WK_I64 ? 0x1.fffffffffffffp62 : half - 1;
}

static wk_tensor *mean_of_positions(wk_tensor *total, wk_tensor *index, int axis, bool with_self) {
    if (!total) return NULL;
    wk_dtype dtype = (wk_dtype)total->dtype;
    wk_tensor *start = wk_full(dtype, wk__dims(total), with_self ? 1 : 0);
    wk_tensor *count = wk_scatter_add(start, index, wk_expand(wk_full(dtype, WK_SCALAR, 1), wk__dims(index)), axis);
    count = wk_maximum(count, wk_full(dtype, WK_SCALAR, 1));
    return wk_dtype_is_float(dtype) ? wk_div(total, count) : wk_floor_divide(total, count);
}

static wk_status scatter_reduce_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_scatter_reduce_opts *opts = call->attrs;
    wk_tensor *base = call->in[0], *index = call->in[1], *source = call->in[2];
    wk_dtype dtype = (wk_dtype)base->dtype;
    int axis = wk__axis("scatter_reduce", base, opts->axis);
    if (axis < 0) return wk_error_code();
    if (opts->exclude_self) {
        wk_tensor *identity = wk_full(dtype, wk__dims(index), identity_of(opts->reduce, dtype));
        base = wk_scatter(base, index, identity, axis);
    }
    if (opts->reduce == WK_SCATTER_SUM || opts->reduce == WK_SCATTER_MEAN) {
        out[0] = wk_scatter_add(base, index, source, axis);
        if (opts->reduce == WK_SCATTER_MEAN) out[0] = mean_of_positions(out[0], index, axis, !opts->exclude_self);
    } else {
        const wk_scatter_fold_attrs attrs = { axis, opts->reduce };
        out[0] = wk_op_run3(&fold_row, &attrs, base, index, source);
    }
    return WK_OK;
}
static void scatter_reduce_samples(wk_sampler *s) {
    static const char *const names[] = { "sum", "prod", "mean", "amax", "amin" };
    for (int reduce = WK_SCATTER_SUM; reduce <= WK_SCATTER_AMIN; reduce++) {
        const wk_scatter_reduce_opts all = { 0, reduce, false }, theirs = { 1, reduce, true };
        char label[40];
        (void)snprintf(label, sizeof label, "%s", names[reduce]);
        WK_CASE(s, label, &all, { .dims = WK_DIMS(3, 4), .margin = 0.2 },
                { .dims = WK_DIMS(5, 4), .kind = WK_SAMPLE_INDEX, .high = 3 },
                { .dims = WK_DIMS(5, 4), .margin = 0.2 });
        (void)snprintf(label, sizeof label, "%s without self", names[reduce]);
        WK_CASE(s, label, &theirs, { .dims = WK_DIMS(3, 4), .margin = 0.2, .strided = true },
                { .dims = WK_DIMS(3, 5), .kind = WK_SAMPLE_INDEX, .high = 4 },
                { .dims = WK_DIMS(3, 5), .margin = 0.2 });
    }
    const wk_scatter_reduce_opts most = { 1, WK_SCATTER_AMAX, false }, mean = { 1, WK_SCATTER_MEAN, false };
    WK_HUGE_CASE(s, "huge amax", &most, { .dims = WK_DIMS(512, 1024), .margin = 0.000001 },
                 { .dims = WK_DIMS(512, 1024), .kind = WK_SAMPLE_INDEX, .high = 1024 },
                 { .dims = WK_DIMS(512, 1024), .margin = 0.000001 });
    WK_HUGE_CASE(s, "huge mean", &mean, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .kind = WK_SAMPLE_INDEX, .high = 1024 }, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def scatter_reduce_attrs[] = {
    { "axis", WK_ATTR_INT, offsetof(wk_scatter_reduce_opts, axis), 0, NULL, 0, "indexed" },
    { "reduce", WK_ATTR_ENUM, offsetof(wk_scatter_reduce_opts, reduce), 0, "sum|prod|mean|amax|amin", 0,
      "how values meet" },
    { "exclude_self", WK_ATTR_BOOL, offsetof(wk_scatter_reduce_opts, exclude_self), 0, NULL, 0,
      "leave out what stood there" },
};
static wk_op_def scatter_reduce_row = { .name = "scatter_reduce",
                                        .doc = "x reduced with values at positions along an axis",
                                        .n_in = 3,
                                        .n_out = 1,
                                        .composite = true,
                                        .attrs = scatter_reduce_attrs,
                                        .n_attrs = 3,
                                        .attrs_size = sizeof(wk_scatter_reduce_opts),
                                        .dtype = ANY_NUMBER,
                                        .decompose = scatter_reduce_parts,
                                        .cost = move_cost,
                                        .samples = scatter_reduce_samples };
wk_tensor *wk_scatter_reduce(wk_tensor *x, wk_tensor *index, wk_tensor *source, wk_scatter_reduce_opts opts) {
    return wk_op_run3(&scatter_reduce_row, &opts, x, index, source);
}

wk_op_def *const wk__rows_scatter[] = { &scatter_row, &scatter_add_row, &fold_row, &scatter_reduce_row, NULL };
