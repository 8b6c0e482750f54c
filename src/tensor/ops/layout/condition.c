/* condition.c: elements by condition, and tables: nonzero, masked_*, one_hot, embedding.
 *
 * How many elements meet a condition depends on values: these rows say so (data_dependent).  With a size given, the
 * shape is fixed and the rest is filled.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#include <string.h>

#define I64  WK_SET_OF(WK_I64)
#define BOOL WK_SET_OF(WK_BOOL)

/* ---- nonzero ---- */

static wk_status positions_shape(const wk_call *call, wk_desc out[]) {
    const wk_positions_attrs *attrs = call->attrs;
    out[0] = wk_desc_row_major(WK_I64, 2, (int64_t[]){ attrs->size, call->in[0]->rank });
    return WK_OK;
}
static void positions_samples(wk_sampler *s) {
    const wk_positions_attrs room = { 12, -1 };
    WK_CASE(s, "room", &room, { .dims = WK_DIMS(3, 4), .kind = WK_SAMPLE_BOOL });
}
static wk_op_def positions_row = { .name = "nonzero_positions",
                                   .internal = true,
                                   .doc = "positions of true elements, and fill behind them",
                                   .n_in = 1,
                                   .n_out = 1,
                                   .attrs_size = sizeof(wk_positions_attrs),
                                   .dtype = { .allowed = { BOOL } },
                                   .shape = positions_shape,
                                   .not_differentiable = "its result is an index",
                                   .cost = wk__cost_move,
                                   .samples = positions_samples };

/* Positions of true elements of a row-major mask; how many there are. */
static wk_tensor *positions_of(const wk_call *call, wk_tensor *mask, const wk_nonzero_opts *opts, double fill,
                               int64_t *found) {
    mask = wk_contiguous(mask);
    wk_tensor *count = wk_sum(mask, (wk_reduce_opts){ 0 });
    if (!count) return NULL;
    *found = (int64_t)wk_item(count);
    wk_positions_attrs attrs = { *found, (int64_t)fill };
    if (opts->size.is_set) {
        if (!(opts->size.value >= 0) || opts->size.value > 0x1p62)
            return (void)wk_bad_call(call, WK_INVALID, "size is %g, expected at least 0", opts->size.value), NULL;
        attrs.size = (int64_t)opts->size.value;
    }
    return wk_op_run1(&positions_row, &attrs, mask);
}

static wk_tensor *as_mask(wk_tensor *x) {
    return x->dtype == WK_BOOL ? x : wk_ne(x, wk_zeros((wk_dtype)x->dtype, WK_SCALAR));
}

static wk_status nonzero_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_nonzero_opts *opts = call->attrs;
    wk_tensor *mask = as_mask(call->in[0]);
    int64_t found;
    out[0] = mask ? positions_of(call, mask, opts, opts->fill, &found) : NULL;
    return WK_OK;
}
static void nonzero_samples(wk_sampler *s) {
    const wk_nonzero_opts all = { { 0 }, 0 }, some = { WK_SET(4), -1 }, room = { WK_SET(20), -1 };
    WK_CASE(s, "matrix", &all, { .dims = WK_DIMS(3, 4) });
    WK_CASE(s, "cube", &all, { .dims = WK_DIMS(2, 3, 2), .strided = true });
    WK_CASE(s, "empty", &all, { .dims = WK_DIMS(0, 4) });
    WK_CASE(s, "some", &some, { .dims = WK_DIMS(3, 4) });
    WK_CASE(s, "room", &room, { .dims = WK_DIMS(3, 4) });
    WK_CASE(s, "large", &all, { .dims = WK_DIMS(65, 129) });
    WK_HUGE_CASE(s, "huge", &all, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def nonzero_attrs[] = {
    { "size", WK_ATTR_OPTIONAL, offsetof(wk_nonzero_opts, size), 0, NULL, 0, "rows of the result, whatever is found" },
    { "fill", WK_ATTR_FLOAT, offsetof(wk_nonzero_opts, fill), 0, NULL, 0, "of rows beyond those found" },
};
static wk_op_def nonzero_row = { .name = "nonzero",
                                 .doc = "positions of elements other than 0",
                                 .n_in = 1,
                                 .n_out = 1,
                                 .composite = true,
                                 .data_dependent = true,
                                 .not_differentiable = "its result is an index",
                                 .attrs = nonzero_attrs,
                                 .n_attrs = 2,
                                 .attrs_size = sizeof(wk_nonzero_opts),
                                 .decompose = nonzero_parts,
                                 .cost = wk__cost_move,
                                 .samples = nonzero_samples };
wk_tensor *wk_nonzero(wk_tensor *x, wk_nonzero_opts opts) {
    return wk_op_run1(&nonzero_row, &opts, x);
}

/* ---- masks ---- */

static wk_status masked_fill_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x = call->in[0];
    double value = ((const wk_masked_fill_opts *)call->attrs)->value;
    out[0] = wk_where(call->in[1], wk_full((wk_dtype)x->dtype, WK_SCALAR, value), x);
    return WK_OK;
}
static void masked_fill_samples(wk_sampler *s) {
    const wk_masked_fill_opts one = { 1 };
    WK_CASE(s, "same", &one, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(3, 4), .kind = WK_SAMPLE_BOOL });
    WK_CASE(s, "broadcast", &one, { .dims = WK_DIMS(3, 4), .strided = true },
            { .dims = WK_DIMS(4), .kind = WK_SAMPLE_BOOL });
    WK_CASE(s, "large", &one, { .dims = WK_DIMS(65, 129) }, { .dims = WK_DIMS(65, 129), .kind = WK_SAMPLE_BOOL });
    WK_HUGE_CASE(s, "huge", &one, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .kind = WK_SAMPLE_BOOL });
}
static const wk_attr_def masked_fill_attrs[] = { { "value", WK_ATTR_FLOAT, offsetof(wk_masked_fill_opts, value), 0,
                                                   NULL, 0, "where the mask is true" } };
static wk_op_def masked_fill_row = { .name = "masked_fill",
                                     .doc = "a value where a mask is true, else x",
                                     .n_in = 2,
                                     .n_out = 1,
                                     .composite = true,
                                     .attrs = masked_fill_attrs,
                                     .n_attrs = 1,
                                     .attrs_size = sizeof(wk_masked_fill_opts),
                                     .dtype = { .allowed = { 0, BOOL } },
                                     .decompose = masked_fill_parts,
                                     .cost = wk__cost_move,
                                     .samples = masked_fill_samples };
wk_tensor *wk_masked_fill(wk_tensor *x, wk_tensor *mask, double value) {
    const wk_masked_fill_opts opts = { value };
    return wk_op_run2(&masked_fill_row, &opts, x, mask);
}

/* x and mask broadcast to each other and flattened, and the positions where mask is true. */
static bool flatten_masked(const wk_call *call, const wk_nonzero_opts *opts, wk_tensor **x, wk_tensor **positions,
                           int64_t *found) {
    wk_desc both;
    const wk_call pair = { .op = call->op, .in = call->in, .n_in = 2 };
    if (wk_desc_broadcast(&pair, WK_BOOL, &both) != WK_OK) return false;
    wk_dims dims = { .rank = both.rank };
    memcpy(dims.size, both.shape, sizeof dims.size);
    wk_tensor *mask = wk_expand(call->in[1], dims), *wide = wk_expand(call->in[0], dims);
    if (!mask || !wide) return false;
    *x = wk_reshape(wide, WK_DIMS(wide->count));
    wk_tensor *pairs = positions_of(call, wk_reshape(mask, WK_DIMS(mask->count)), opts, 0, found);
    *positions = pairs ? wk_reshape(pairs, WK_DIMS(pairs->shape[0])) : NULL;
    return *x && *positions;
}

static wk_status masked_select_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_nonzero_opts *opts = call->attrs;
    wk_tensor *x, *positions;
    int64_t found;
    if (!flatten_masked(call, opts, &x, &positions, &found)) return wk_error_code();
    int64_t size = positions->count;
    if (size > found && x->count == 0) {
        out[0] = wk_full((wk_dtype)x->dtype, WK_DIMS(size), opts->fill);
        return WK_OK;
    }
    out[0] = wk_index_select(x, positions, 0);
    if (size > found) {
        wk_tensor *real = wk_lt(wk_arange(size), wk_full(WK_I64, WK_SCALAR, (double)found));
        out[0] = wk_where(real, out[0], wk_full((wk_dtype)x->dtype, WK_SCALAR, opts->fill));
    }
    return WK_OK;
}
static void masked_select_samples(wk_sampler *s) {
    const wk_nonzero_opts all = { { 0 }, 0 }, some = { WK_SET(3), -1 }, room = { WK_SET(20), 1 };
    WK_CASE(s, "same", &all, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(3, 4), .kind = WK_SAMPLE_BOOL });
    WK_CASE(s, "broadcast", &all, { .dims = WK_DIMS(3, 1), .strided = true },
            { .dims = WK_DIMS(4), .kind = WK_SAMPLE_BOOL });
    WK_CASE(s, "some", &some, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(3, 4), .kind = WK_SAMPLE_BOOL });
    WK_CASE(s, "room", &room, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(3, 4), .kind = WK_SAMPLE_BOOL });
    WK_HUGE_CASE(s, "huge", &all, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .kind = WK_SAMPLE_BOOL });
}
static wk_op_def masked_select_row = { .name = "masked_select",
                                       .doc = "elements where a mask is true, as a vector",
                                       .n_in = 2,
                                       .n_out = 1,
                                       .composite = true,
                                       .data_dependent = true,
                                       .attrs = nonzero_attrs,
                                       .n_attrs = 2,
                                       .attrs_size = sizeof(wk_nonzero_opts),
                                       .dtype = { .allowed = { WK_NUMBERS, BOOL } },
                                       .decompose = masked_select_parts,
                                       .cost = wk__cost_move,
                                       .samples = masked_select_samples };
wk_tensor *wk_masked_select(wk_tensor *x, wk_tensor *mask, wk_nonzero_opts opts) {
    return wk_op_run2(&masked_select_row, &opts, x, mask);
}

static wk_status masked_scatter_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x, *positions, *source = call->in[2];
    wk_dims dims = wk__dims(call->in[0]);
    int64_t found;
    wk_tensor *mask = wk_expand(call->in[1], dims);
    if (!mask) return wk_error_code();
    const wk_nonzero_opts all = { .fill = 0 };
    const wk_call pair = { .op = call->op, .in = (wk_tensor *const[]){ call->in[0], mask }, .n_in = 2 };
    if (!flatten_masked(&pair, &all, &x, &positions, &found)) return wk_error_code();
    if (source->count < found)
        return wk_bad_call(call, WK_SHAPE, "source has %lld elements, the mask is true at %lld places",
                           (long long)source->count, (long long)found);
    wk_tensor *used = wk_slice(wk_reshape(source, WK_DIMS(source->count)), 0, 0, found, 1);
    out[0] = wk_reshape(wk_scatter(x, positions, used, 0), dims);
    return WK_OK;
}
static void masked_scatter_samples(wk_sampler *s) {
    WK_CASE(s, "same", NULL, { .dims = WK_DIMS(3, 4) }, { .dims = WK_DIMS(3, 4), .kind = WK_SAMPLE_BOOL },
            { .dims = WK_DIMS(12) });
    WK_CASE(s, "broadcast", NULL, { .dims = WK_DIMS(3, 4), .strided = true },
            { .dims = WK_DIMS(4), .kind = WK_SAMPLE_BOOL }, { .dims = WK_DIMS(4, 3) });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024) },
                 { .dims = WK_DIMS(512, 1024), .kind = WK_SAMPLE_BOOL }, { .dims = WK_DIMS(512, 1024) });
}
static wk_op_def masked_scatter_row = { .name = "masked_scatter",
                                        .doc = "x with elements replaced, in order, where a mask is true",
                                        .n_in = 3,
                                        .n_out = 1,
                                        .composite = true,
                                        .data_dependent = true,
                                        .dtype = { .allowed = { WK_NUMBERS, BOOL, WK_NUMBERS }, .same = 5 },
                                        .decompose = masked_scatter_parts,
                                        .cost = wk__cost_move,
                                        .samples = masked_scatter_samples };
wk_tensor *wk_masked_scatter(wk_tensor *x, wk_tensor *mask, wk_tensor *source) {
    return wk_op_run3(&masked_scatter_row, NULL, x, mask, source);
}

/* ---- one_hot ---- */

static wk_status one_hot_parts(const wk_call *call, wk_tensor *out[]) {
    int64_t classes = ((const wk_one_hot_opts *)call->attrs)->classes;
    wk_tensor *index = call->in[0];
    if (classes < 1) return wk_bad_call(call, WK_INVALID, "classes is %lld, expected at least 1", (long long)classes);
    if (classes > (INT64_C(1) << 46) / (index->count > 0 ? index->count : 1))
        return wk_bad_call(call, WK_SHAPE, "%lld classes of %lld indices are more than memory can hold",
                           (long long)classes, (long long)index->count);
    wk_tensor *places = wk_unsqueeze(index, -1);
    if (!places) return wk_error_code();
    wk_dims dims = wk__dims(places);
    dims.size[dims.rank - 1] = classes;
    wk_tensor *zeros = wk_expand(wk_zeros(WK_I64, WK_SCALAR), dims);
    out[0] = wk_scatter(zeros, places, wk_expand(wk_full(WK_I64, WK_SCALAR, 1), wk__dims(places)), -1);
    return WK_OK;
}
static void one_hot_samples(wk_sampler *s) {
    const wk_one_hot_opts five = { 5 };
    WK_CASE(s, "vector", &five, { .dims = WK_DIMS(4), .kind = WK_SAMPLE_INDEX, .high = 5 });
    WK_CASE(s, "matrix", &five, { .dims = WK_DIMS(2, 3), .kind = WK_SAMPLE_INDEX, .high = 5 });
    const wk_one_hot_opts thousand = { 1000 };
    WK_HUGE_CASE(s, "huge", &thousand, { .dims = WK_DIMS(512), .kind = WK_SAMPLE_INDEX, .high = 1000 });
}
static const wk_attr_def one_hot_attrs[] = { { "classes", WK_ATTR_INT, offsetof(wk_one_hot_opts, classes), 0, NULL, 0,
                                               "size of the new axis" } };
static wk_op_def one_hot_row = { .name = "one_hot",
                                 .doc = "1 at the index along a new last axis, else 0",
                                 .n_in = 1,
                                 .n_out = 1,
                                 .composite = true,
                                 .not_differentiable = "its input is an index",
                                 .attrs = one_hot_attrs,
                                 .n_attrs = 1,
                                 .attrs_size = sizeof(wk_one_hot_opts),
                                 .dtype = { .allowed = { I64 } },
                                 .decompose = one_hot_parts,
                                 .cost = wk__cost_move,
                                 .samples = one_hot_samples };
wk_tensor *wk_one_hot(wk_tensor *index, int64_t classes) {
    const wk_one_hot_opts opts = { classes };
    return wk_op_run1(&one_hot_row, &opts, index);
}

/* ---- embedding ---- */

static wk_status embedding_shape(const wk_call *call, wk_desc out[]) {
    const wk_embedding_opts *opts = call->attrs;
    const wk_tensor *weight = call->in[0], *index = call->in[1];
    char text[160];
    if (weight->rank != 2)
        return wk_bad_call(call, WK_SHAPE, "weight is %s, expected (V, D)", wk_describe(weight, text, sizeof text));
    if (index->rank == WK_MAX_RANK) return wk_bad_call(call, WK_SHAPE, "index has rank %d already", index->rank);
    double rows = (double)weight->shape[0], padding = wk_optional_or(opts->padding_idx, 0);
    if (opts->padding_idx.is_set && !(padding >= -rows && padding < rows))
        return wk_bad_call(call, WK_INVALID, "padding_idx is %g, weight has %g rows", padding, rows);
    out[0] = wk_desc_row_major((wk_dtype)weight->dtype, index->rank, index->shape);
    out[0].shape[out[0].rank++] = weight->shape[1];
    return WK_OK;
}
/* What came for each index, (K, D), and the indices, (K). */
static wk_tensor *rows_of_embedding(const wk_grad *g, wk_tensor **flat) {
    const wk_tensor *index = g->in[1];
    *flat = wk_reshape(g->in[1], WK_DIMS(index->count));
    return wk_reshape(g->dout[0], WK_DIMS(index->count, g->in[0]->shape[1]));
}
/* Which indices are not those of the padding, (K); NULL where there is none. */
static wk_tensor *is_used(const wk_grad *g, wk_tensor *flat) {
    const wk_optional padding = ((const wk_embedding_opts *)g->attrs)->padding_idx;
    if (!padding.is_set) return NULL;
    const double row = padding.value < 0 ? padding.value + (double)g->in[0]->shape[0] : padding.value;
    return wk_ne(flat, wk_scalar(WK_I64, row));
}
static wk_status embedding_grad(wk_grad *g) {
    if (!g->needs[0]) return WK_OK;
    wk_tensor *flat, *d = rows_of_embedding(g, &flat), *used = is_used(g, flat);
    if (used) d = wk_where(wk_unsqueeze(used, 1), d, wk__number(d, 0));
    if (g->sum && d && g->sum->dtype == d->dtype) return wk__rows_add_to(g->sum, d, flat);
    g->din[0] = wk__rows_added(d, flat, 0, wk__dims(g->in[0]));
    return WK_OK;
}
static wk_status embedding_grad_rows(wk_grad *g, wk_tensor **index, wk_tensor **values) {
    if (!((const wk_embedding_opts *)g->attrs)->sparse) return WK_OK;
    wk_tensor *flat, *d = rows_of_embedding(g, &flat), *used = is_used(g, flat);
    if (used) {
        wk_tensor *places = wk_nonzero(used, (wk_nonzero_opts){ .fill = 0 });
        places = places ? wk_reshape(places, WK_DIMS(wk_count(places))) : NULL;
        d = wk_index_select(d, places, 0);
        flat = wk_index_select(flat, places, 0);
    }
    *index = d ? flat : NULL;
    *values = d;
    return wk_failed() ? wk_error_code() : WK_OK;
}
static void embedding_samples(wk_sampler *s) {
    const wk_embedding_opts plain = { .sparse = false }, padded = { .padding_idx = WK_SET(-1) },
                            rows = { .sparse = true };
    WK_CASE(s, "plain", &plain, { .dims = WK_DIMS(5, 3) },
            { .dims = WK_DIMS(2, 4), .kind = WK_SAMPLE_INDEX, .high = 5 });
    WK_CASE(s, "padded", &padded, { .dims = WK_DIMS(4, 3), .strided = true },
            { .dims = WK_DIMS(7), .kind = WK_SAMPLE_INDEX, .high = 4 });
    WK_CASE(s, "sparse", &rows, { .dims = WK_DIMS(5, 3) },
            { .dims = WK_DIMS(2, 4), .kind = WK_SAMPLE_INDEX, .high = 5 });
    WK_CASE(s, "none", &plain, { .dims = WK_DIMS(5, 3) }, { .dims = WK_DIMS(0), .kind = WK_SAMPLE_INDEX, .high = 5 });
    WK_CASE(s, "large", &plain, { .dims = WK_DIMS(100, 64) },
            { .dims = WK_DIMS(8, 50), .kind = WK_SAMPLE_INDEX, .high = 100 });
    WK_HUGE_CASE(s, "huge", &plain, { .dims = WK_DIMS(5000, 256) },
                 { .dims = WK_DIMS(32, 64), .kind = WK_SAMPLE_INDEX, .high = 5000 });
}
static const wk_attr_def embedding_attrs[] = {
    { "padding_idx", WK_ATTR_OPTIONAL, offsetof(wk_embedding_opts, padding_idx), 0, NULL, 0, "row without gradient" },
    { "sparse", WK_ATTR_BOOL, offsetof(wk_embedding_opts, sparse), 0, NULL, 0, "leave rows in a leaf, no whole table" },
};
static wk_op_def embedding_row = { .name = "embedding",
                                   .doc = "rows of a table by index",
                                   .n_in = 2,
                                   .n_out = 1,
                                   .saves_in = 2,
                                   .attrs = embedding_attrs,
                                   .n_attrs = 2,
                                   .attrs_size = sizeof(wk_embedding_opts),
                                   .dtype = { .allowed = { WK_FLOATS, I64 } },
                                   .zero_sized_runs = true,
                                   .shape = embedding_shape,
                                   .grad = embedding_grad,
                                   .grad_rows = embedding_grad_rows,
                                   .adds = true,
                                   .cost = wk__cost_move,
                                   .samples = embedding_samples };
wk_tensor *wk_embedding(wk_tensor *weight, wk_tensor *index, wk_embedding_opts opts) {
    return wk_op_run2(&embedding_row, &opts, weight, index);
}

wk_op_def *const wk__rows_condition[] = { &positions_row,      &nonzero_row, &masked_fill_row, &masked_select_row,
                                          &masked_scatter_row, &one_hot_row, &embedding_row,   NULL };
