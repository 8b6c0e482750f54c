/* lookup.c: elements by position in more than one axis, by condition, and out of tables.
 *
 * Several indices become one: positions along the first axes are joined to a position in the flattened axes, which
 * index_select and scatter know.  A condition becomes the positions where it holds (nonzero), whose number depends on
 * values; with a size given, it does not.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#define I64 WK_SET_OF(WK_I64)

/* ---- take, take_along_axis ---- */

static wk_status take_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x = call->in[0], *index = call->in[1];
    wk_tensor *flat = wk_index_select(wk_reshape(x, WK_DIMS(x->count)), wk_reshape(index, WK_DIMS(index->count)), 0);
    out[0] = wk_reshape(flat, wk__dims(index));
    return WK_OK;
}
static void take_samples(wk_sampler *s) {
    WK_CASE(s, "matrix", NULL, { .dims = WK_DIMS(3, 4) },
            { .dims = WK_DIMS(2, 5), .kind = WK_SAMPLE_INDEX, .high = 12 });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(3, 4), .strided = true },
            { .dims = WK_DIMS(7), .kind = WK_SAMPLE_INDEX, .high = 12 });
    WK_CASE(s, "none", NULL, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(0), .kind = WK_SAMPLE_INDEX, .high = 12 });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(262144), .kind = WK_SAMPLE_INDEX, .high = 524288 });
}
static wk_op_def take_row = { .name = "take",
                              .doc = "elements of the flattened tensor by position",
                              .n_in = 2,
                              .n_out = 1,
                              .composite = true,
                              .dtype = { .allowed = { 0, I64 } },
                              .decompose = take_parts,
                              .cost = wk__cost_move,
                              .samples = take_samples };
wk_tensor *wk_take(wk_tensor *x, wk_tensor *index) {
    return wk_op_run2(&take_row, NULL, x, index);
}

static wk_status take_along_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x = call->in[0], *index = call->in[1];
    int axis = wk__axis("take_along_axis", x, ((const wk_index_opts *)call->attrs)->axis);
    if (axis < 0) return wk_error_code();
    if (index->rank != x->rank)
        return wk_bad_call(call, WK_SHAPE, "index has rank %d, x has rank %d: expected the same", index->rank, x->rank);
    wk_dims x_dims = wk__dims(x), index_dims = wk__dims(index);
    for (int a = 0; a < x->rank; a++) {
        if (a == axis) continue;
        if (x_dims.size[a] == 1) x_dims.size[a] = index_dims.size[a];
        if (index_dims.size[a] == 1) index_dims.size[a] = x_dims.size[a];
    }
    out[0] = wk_gather(wk_expand(x, x_dims), wk_expand(index, index_dims), axis);
    return WK_OK;
}
static void take_along_samples(wk_sampler *s) {
    const wk_index_opts rows = { 0 }, columns = { -1 };
    WK_CASE(s, "rows", &rows, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(2, 1), .kind = WK_SAMPLE_INDEX, .high = 3 });
    WK_CASE(s, "columns", &columns, { .dims = WK_DIMS(1, 4) },
            { .dims = WK_DIMS(3, 5), .kind = WK_SAMPLE_INDEX, .high = 4 });
    WK_HUGE_CASE(s, "huge", &columns, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .kind = WK_SAMPLE_INDEX, .high = 1024 });
}
static const wk_attr_def axis_attrs[] = { { "axis", WK_ATTR_INT, offsetof(wk_index_opts, axis), 0, NULL, 0,
                                            "indexed" } };
static wk_op_def take_along_row = { .name = "take_along_axis",
                                    .doc = "elements along an axis by position, other axes broadcast",
                                    .n_in = 2,
                                    .n_out = 1,
                                    .composite = true,
                                    .attrs = axis_attrs,
                                    .n_attrs = 1,
                                    .attrs_size = sizeof(wk_index_opts),
                                    .dtype = { .allowed = { 0, I64 } },
                                    .decompose = take_along_parts,
                                    .cost = wk__cost_move,
                                    .samples = take_along_samples };
wk_tensor *wk_take_along_axis(wk_tensor *x, wk_tensor *index, int axis) {
    const wk_index_opts opts = { axis };
    return wk_op_run2(&take_along_row, &opts, x, index);
}

/* ---- several indices ---- */

/* Positions along the first `count` axes joined: a vector of positions in them flattened.  Each is looked up in a table
 * of its own axis's positions, which is where one out of range is found.  `shape` becomes that of the broadcast. */
static wk_tensor *join_positions(const wk_call *call, const wk_tensor *x, wk_tensor *const *index, int count,
                                 wk_dims *shape) {
    wk_tensor *joined = NULL;
    if (count < 1 || count > x->rank)
        return (void)wk_bad_call(call, WK_INVALID, "%d indices for a tensor of rank %d", count, x->rank), NULL;
    for (int i = 0; i < count; i++) {
        if (index[i]->dtype != WK_I64)
            return (void)wk_bad_call(call, WK_DTYPE, "index %d is %s, expected i64", i,
                                     wk_dtype_name((wk_dtype)index[i]->dtype)),
                   NULL;
        wk_tensor *flat = wk_reshape(index[i], WK_DIMS(index[i]->count));
        wk_tensor *checked = wk_reshape(wk_index_select(wk_arange(x->shape[i]), flat, 0), wk__dims(index[i]));
        wk_tensor *size = wk_full(WK_I64, WK_SCALAR, (double)x->shape[i]);
        joined = i ? wk_add(wk_mul(joined, size), checked) : checked;
    }
    if (!joined) return NULL;
    *shape = wk__dims(joined);
    return wk_reshape(joined, WK_DIMS(joined->count));
}

/* x with its first `count` axes flattened */
static wk_tensor *flatten_first(wk_tensor *x, int count) {
    wk_dims dims = { .rank = 1 + x->rank - count, .size = { 1 } };
    for (int i = 0; i < count; i++) dims.size[0] *= x->shape[i];
    for (int i = count; i < x->rank; i++) dims.size[1 + i - count] = x->shape[i];
    return wk_reshape(x, dims);
}

/* `shape`, then x's axes behind the first `count` */
static bool joined_shape(const wk_call *call, const wk_tensor *x, int count, wk_dims *shape) {
    if (shape->rank + x->rank - count > WK_MAX_RANK) {
        (void)wk_bad_call(call, WK_SHAPE, "the result has rank %d, at most %d", shape->rank + x->rank - count,
                          WK_MAX_RANK);
        return false;
    }
    for (int i = count; i < x->rank; i++) shape->size[shape->rank++] = x->shape[i];
    return true;
}

static wk_status index_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x = call->in[0];
    wk_dims shape;
    wk_tensor *positions = join_positions(call, x, call->in + 1, call->n_in - 1, &shape);
    if (!positions || !joined_shape(call, x, call->n_in - 1, &shape)) return wk_error_code();
    out[0] = wk_reshape(wk_index_select(flatten_first(x, call->n_in - 1), positions, 0), shape);
    return WK_OK;
}
static void index_samples(wk_sampler *s) {
    WK_CASE(s, "one", NULL, { .dims = WK_DIMS(4, 3) }, { .dims = WK_DIMS(2, 2), .kind = WK_SAMPLE_INDEX, .high = 4 });
    WK_CASE(s, "two", NULL, { .dims = WK_DIMS(4, 3, 2), .strided = true },
            { .dims = WK_DIMS(5, 1), .kind = WK_SAMPLE_INDEX, .high = 4 },
            { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .high = 3 });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(2048, 256) },
                 { .dims = WK_DIMS(2048), .kind = WK_SAMPLE_INDEX, .high = 2048 });
}
static wk_op_def index_row = { .name = "index",
                               .doc = "x at positions along its first axes",
                               .n_in = WK_LIST,
                               .n_out = 1,
                               .composite = true,
                               .decompose = index_parts,
                               .cost = wk__cost_move,
                               .samples = index_samples };
enum { MOST_LISTED = WK_MAX_RANK + 2 };
static wk_tensor *with_indices(const wk_op_def *row, const void *attrs, wk_tensor *x, wk_tensor *values,
                               wk_tensor *const *index, int count) {
    wk_tensor *in[MOST_LISTED] = { x, values }, *out[1];
    int first = values ? 2 : 1;
    if (count < 1 || count > WK_MAX_RANK)
        return wk_failed() ? NULL : ((void)wk__bad_argument(row->name, WK_INVALID, "%d indices", count), NULL);
    for (int i = 0; i < count; i++) in[first + i] = index[i];
    return wk_op_run(row, in, first + count, out, attrs) == WK_OK ? out[0] : NULL;
}
wk_tensor *wk_index(wk_tensor *x, wk_tensor *const *index, int count) {
    return with_indices(&index_row, NULL, x, NULL, index, count);
}

/* (x, values, index…) */
static wk_status index_put_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x = call->in[0], *values = call->in[1];
    int count = call->n_in - 2;
    wk_dims shape;
    wk_tensor *positions = join_positions(call, x, call->in + 2, count, &shape);
    if (!positions || !joined_shape(call, x, count, &shape)) return wk_error_code();
    wk_tensor *flat = flatten_first(x, count);
    if (!flat) return wk_error_code();
    wk_dims rows = wk__dims(flat), column = { .rank = flat->rank };
    rows.size[0] = positions->count;
    for (int i = 0; i < column.rank; i++) column.size[i] = i ? 1 : positions->count;
    wk_tensor *index = wk_expand(wk_reshape(positions, column), rows);
    wk_tensor *source = wk_reshape(wk_expand(values, shape), rows);
    bool add = ((const wk_index_put_opts *)call->attrs)->accumulate;
    out[0] = wk_reshape(add ? wk_scatter_add(flat, index, source, 0) : wk_scatter(flat, index, source, 0), wk__dims(x));
    return WK_OK;
}
static void index_put_samples(wk_sampler *s) {
    const wk_index_put_opts put = { false }, add = { true };
    WK_CASE(s, "put", &put, { .dims = WK_DIMS(4, 3) }, { .dims = WK_DIMS(1, 3) },
            { .dims = WK_DIMS(1), .kind = WK_SAMPLE_INDEX, .high = 4 });
    WK_CASE(s, "add", &add, { .dims = WK_DIMS(4, 3), .strided = true }, { .dims = WK_DIMS(3) },
            { .dims = WK_DIMS(5), .kind = WK_SAMPLE_INDEX, .high = 4 });
    WK_CASE(s, "add two", &add, { .dims = WK_DIMS(4, 3, 2) }, { .dims = WK_DIMS(6, 2) },
            { .dims = WK_DIMS(6), .kind = WK_SAMPLE_INDEX, .high = 4 },
            { .dims = WK_DIMS(6), .kind = WK_SAMPLE_INDEX, .high = 3 });
    WK_HUGE_CASE(s, "huge add", &add, { .dims = WK_DIMS(2048, 256) }, { .dims = WK_DIMS(2048, 256) },
                 { .dims = WK_DIMS(2048), .kind = WK_SAMPLE_INDEX, .high = 2048 });
}
static const wk_attr_def index_put_attrs[] = { { "accumulate", WK_ATTR_BOOL, offsetof(wk_index_put_opts, accumulate), 0,
                                                 NULL, 0, "add instead of replacing" } };
static wk_op_def index_put_row = { .name = "index_put",
                                   .doc = "x with values at positions along its first axes",
                                   .n_in = WK_LIST,
                                   .n_out = 1,
                                   .composite = true,
                                   .attrs = index_put_attrs,
                                   .n_attrs = 1,
                                   .attrs_size = sizeof(wk_index_put_opts),
                                   .dtype = { .allowed = { WK_NUMBERS } },
                                   .decompose = index_put_parts,
                                   .cost = wk__cost_move,
                                   .samples = index_put_samples };
wk_tensor *wk_index_put(wk_tensor *x, wk_tensor *const *index, int count, wk_tensor *values, wk_index_put_opts opts) {
    if (!values) return wk_op_run1(&index_row, NULL, NULL);
    return with_indices(&index_put_row, &opts, x, values, index, count);
}

/* ---- rows by one index ---- */

/* index (K) seen as large as `like` with K along the axis */
static wk_tensor *expanded(const wk_call *call, wk_tensor *index, const wk_tensor *like, int axis) {
    if (index->rank != 1) return (void)wk_bad_call(call, WK_SHAPE, "index has rank %d, expected 1", index->rank), NULL;
    wk_dims dims = wk__dims(like), line = { .rank = like->rank };
    for (int a = 0; a < like->rank; a++) line.size[a] = a == axis ? index->count : 1;
    dims.size[axis] = index->count;
    return wk_expand(wk_reshape(index, line), dims);
}

static wk_status index_add_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_index_add_opts *opts = call->attrs;
    wk_tensor *x = call->in[0], *source = call->in[2];
    int axis = wk__axis("index_add", x, opts->axis);
    wk_tensor *index = axis < 0 ? NULL : expanded(call, call->in[1], x, axis);
    if (!index) return wk_error_code();
    if (opts->scale != 0 && opts->scale != 1)
        source = wk_mul(source, wk_full((wk_dtype)source->dtype, WK_SCALAR, opts->scale));
    out[0] = wk_scatter_add(x, index, source, axis);
    return WK_OK;
}
static wk_status index_copy_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x = call->in[0];
    int axis = wk__axis("index_copy", x, ((const wk_index_opts *)call->attrs)->axis);
    wk_tensor *index = axis < 0 ? NULL : expanded(call, call->in[1], x, axis);
    out[0] = index ? wk_scatter(x, index, call->in[2], axis) : NULL;
    return WK_OK;
}
static wk_status index_fill_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_index_fill_opts *opts = call->attrs;
    wk_tensor *x = call->in[0];
    int axis = wk__axis("index_fill", x, opts->axis);
    wk_tensor *index = axis < 0 ? NULL : expanded(call, call->in[1], x, axis);
    if (!index) return wk_error_code();
    out[0] =
        wk_scatter(x, index, wk_expand(wk_full((wk_dtype)x->dtype, WK_SCALAR, opts->value), wk__dims(index)), axis);
    return WK_OK;
}
static void index_add_samples(wk_sampler *s) {
    const wk_index_add_opts rows = { 0, 0 }, columns = { 1, 2 };
    WK_CASE(s, "rows", &rows, { .dims = WK_DIMS(4, 3) }, { .dims = WK_DIMS(6), .kind = WK_SAMPLE_INDEX, .high = 4 },
            { .dims = WK_DIMS(6, 3) });
    WK_CASE(s, "columns", &columns, { .dims = WK_DIMS(2, 4), .strided = true },
            { .dims = WK_DIMS(3), .kind = WK_SAMPLE_INDEX, .high = 4 }, { .dims = WK_DIMS(2, 3) });
    WK_HUGE_CASE(s, "huge", &rows, { .dims = WK_DIMS(2048, 256) },
                 { .dims = WK_DIMS(2048), .kind = WK_SAMPLE_INDEX, .high = 2048 }, { .dims = WK_DIMS(2048, 256) });
}
static void index_copy_samples(wk_sampler *s) {
    const wk_index_opts rows = { 0 }, columns = { 1 };
    WK_CASE(s, "rows", &rows, { .dims = WK_DIMS(4, 3) }, { .dims = WK_DIMS(1), .kind = WK_SAMPLE_INDEX, .high = 4 },
            { .dims = WK_DIMS(1, 3) });
    WK_CASE(s, "columns", &columns, { .dims = WK_DIMS(2, 4), .strided = true },
            { .dims = WK_DIMS(1), .kind = WK_SAMPLE_INDEX, .high = 4 }, { .dims = WK_DIMS(2, 1) });
    WK_HUGE_CASE(s, "huge", &rows, { .dims = WK_DIMS(2048, 256) },
                 { .dims = WK_DIMS(1), .kind = WK_SAMPLE_INDEX, .high = 2048 }, { .dims = WK_DIMS(1, 256) });
}
static void index_fill_samples(wk_sampler *s) {
    const wk_index_fill_opts rows = { 0, 3 }, columns = { -1, 0 };
    WK_CASE(s, "rows", &rows, { .dims = WK_DIMS(4, 3) }, { .dims = WK_DIMS(2), .kind = WK_SAMPLE_INDEX, .high = 4 });
    WK_CASE(s, "columns", &columns, { .dims = WK_DIMS(2, 4), .strided = true },
            { .dims = WK_DIMS(3), .kind = WK_SAMPLE_INDEX, .high = 4 });
    WK_HUGE_CASE(s, "huge", &rows, { .dims = WK_DIMS(2048, 256) },
                 { .dims = WK_DIMS(1024), .kind = WK_SAMPLE_INDEX, .high = 2048 });
}
static const wk_attr_def index_add_attrs[] = {
    { "axis", WK_ATTR_INT, offsetof(wk_index_add_opts, axis), 0, NULL, 0, "indexed" },
    { "scale", WK_ATTR_FLOAT, offsetof(wk_index_add_opts, scale), 0, NULL, 0, "of what is added; 0 means 1" },
};
static const wk_attr_def index_fill_attrs[] = {
    { "axis", WK_ATTR_INT, offsetof(wk_index_fill_opts, axis), 0, NULL, 0, "indexed" },
    { "value", WK_ATTR_FLOAT, offsetof(wk_index_fill_opts, value), 0, NULL, 0, "put there" },
};
#define BY_ROWS(id, text, inputs, type, attr_defs)                                                    \
    static wk_op_def id##_row = { .name = #id,                                                        \
                                  .doc = text,                                                        \
                                  .n_in = inputs,                                                     \
                                  .n_out = 1,                                                         \
                                  .composite = true,                                                  \
                                  .attrs = attr_defs,                                                 \
                                  .n_attrs = (int)(sizeof attr_defs / sizeof *attr_defs),             \
                                  .attrs_size = sizeof(type),                                         \
                                  .dtype = { .allowed = { WK_NUMBERS, I64, WK_NUMBERS }, .same = 5 }, \
                                  .decompose = id##_parts,                                            \
                                  .cost = wk__cost_move,                                              \
                                  .samples = id##_samples }
BY_ROWS(index_add, "x with rows added by index", 3, wk_index_add_opts, index_add_attrs);
BY_ROWS(index_copy, "x with rows replaced by index", 3, wk_index_opts, axis_attrs);
BY_ROWS(index_fill, "x with rows filled by index", 2, wk_index_fill_opts, index_fill_attrs);
wk_tensor *wk_index_add(wk_tensor *x, wk_tensor *index, wk_tensor *source, wk_index_add_opts opts) {
    return wk_op_run3(&index_add_row, &opts, x, index, source);
}
wk_tensor *wk_index_copy(wk_tensor *x, wk_tensor *index, wk_tensor *source, int axis) {
    const wk_index_opts opts = { axis };
    return wk_op_run3(&index_copy_row, &opts, x, index, source);
}
wk_tensor *wk_index_fill(wk_tensor *x, wk_tensor *index, int axis, double value) {
    const wk_index_fill_opts opts = { axis, value };
    return wk_op_run2(&index_fill_row, &opts, x, index);
}

wk_op_def *const wk__rows_lookup[] = { &take_row,      &take_along_row, &index_row,      &index_put_row,
                                       &index_add_row, &index_copy_row, &index_fill_row, NULL };
