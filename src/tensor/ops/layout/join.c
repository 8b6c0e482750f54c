/* join.c: cutting a tensor into views, and joining tensors along a new axis. */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

/* Rows with a list of outputs: the number is known before the parts run. */
#define CUT(id, text, type)                                                                   \
    static wk_op_def id##_row = { .name = #id,                                                \
                                  .doc = text,                                                \
                                  .n_in = 1,                                                  \
                                  .n_out = WK_LIST,                                           \
                                  .composite = true,                                          \
                                  .outputs = id##_count,                                      \
                                  .attrs = id##_attrs,                                        \
                                  .n_attrs = (int)(sizeof id##_attrs / sizeof id##_attrs[0]), \
                                  .attrs_size = sizeof(type),                                 \
                                  .decompose = id##_parts,                                    \
                                  .cost = wk__cost_nothing,                                   \
                                  .samples = id##_samples }

/* The row's outputs into the caller's array; how many, or 0 with an error pending. */
static int cut(const wk_op_def *row, const void *attrs, wk_tensor *x, wk_tensor **parts, int most) {
    int count = wk_op_outputs(row, &x, 1, attrs);
    if (count < 0) return 0;
    if (count > most) return (void)wk__bad_argument(row->name, WK_INVALID, "%d parts, but room for %d", count, most), 0;
    return wk_op_run(row, &x, 1, parts, attrs) == WK_OK ? count : 0;
}

/* ---- split ---- */

static int split_count(const wk_call *call) {
    const wk_split_opts *opts = call->attrs;
    int axis = wk__axis("split", call->in[0], opts->axis);
    if (axis < 0) return -1;
    int64_t length = call->in[0]->shape[axis];
    if (opts->size < 1 || length / opts->size > INT32_MAX - 1)
        return (void)wk_bad_call(call, WK_INVALID, "size is %lld for an axis of %lld, expected at least 1",
                                 (long long)opts->size, (long long)length),
               -1;
    return length ? (int)(length / opts->size + (length % opts->size != 0)) : 1;
}
static wk_status split_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_split_opts *opts = call->attrs;
    int axis = wk__axis("split", call->in[0], opts->axis);
    for (int i = 0; i < call->n_out; i++) out[i] = wk_slice(call->in[0], axis, i * opts->size, (i + 1) * opts->size, 1);
    return WK_OK;
}
static void split_samples(wk_sampler *s) {
    const wk_split_opts rows = { 0, 2 }, columns = { -1, 3 };
    WK_CASE(s, "rows", &rows, { .dims = WK_DIMS(5, 3) });
    WK_CASE(s, "columns", &columns, { .dims = WK_DIMS(2, 6), .strided = true });
    WK_CASE(s, "empty", &rows, { .dims = WK_DIMS(0, 3) });
    const wk_split_opts quarters = { 0, 128 };
    WK_HUGE_CASE(s, "huge", &quarters, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def split_attrs[] = {
    { "axis", WK_ATTR_INT, offsetof(wk_split_opts, axis), 0, NULL, 0, "along which" },
    { "size", WK_ATTR_INT, offsetof(wk_split_opts, size), 0, NULL, 0, "of each part but the last" },
};
CUT(split, "views of equal size along an axis, the last of what is left", wk_split_opts);
int wk_split(wk_tensor *x, int axis, int64_t size, wk_tensor **parts, int most) {
    const wk_split_opts opts = { axis, size };
    return cut(&split_row, &opts, x, parts, most);
}

static int split_sizes_count(const wk_call *call) {
    const wk_split_sizes_opts *opts = call->attrs;
    int axis = wk__axis("split_sizes", call->in[0], opts->axis);
    if (axis < 0) return -1;
    int64_t total = 0;
    bool fits = true;
    for (int i = 0; i < opts->sizes.rank; i++)
        fits = fits && opts->sizes.size[i] >= 0 && !__builtin_add_overflow(total, opts->sizes.size[i], &total);
    if (!fits || total != call->in[0]->shape[axis])
        return (void)wk_bad_call(call, WK_SHAPE, "the sizes do not add up to %lld, the size of axis %d",
                                 (long long)call->in[0]->shape[axis], axis),
               -1;
    return opts->sizes.rank;
}
static wk_status split_sizes_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_split_sizes_opts *opts = call->attrs;
    int axis = wk__axis("split_sizes", call->in[0], opts->axis);
    int64_t start = 0;
    for (int i = 0; i < call->n_out; i++) {
        out[i] = wk_slice(call->in[0], axis, start, start + opts->sizes.size[i], 1);
        start += opts->sizes.size[i];
    }
    return WK_OK;
}
static void split_sizes_samples(wk_sampler *s) {
    const wk_split_sizes_opts rows = { 0, WK_DIMS(1, 0, 4) };
    WK_CASE(s, "rows", &rows, { .dims = WK_DIMS(5, 3) });
    const wk_split_sizes_opts uneven = { 1, WK_DIMS(256, 512, 256) };
    WK_HUGE_CASE(s, "huge", &uneven, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def split_sizes_attrs[] = {
    { "axis", WK_ATTR_INT, offsetof(wk_split_sizes_opts, axis), 0, NULL, 0, "along which" },
    { "sizes", WK_ATTR_DIMS, offsetof(wk_split_sizes_opts, sizes), 0, NULL, 0, "of the parts" },
};
CUT(split_sizes, "views of the sizes given", wk_split_sizes_opts);
int wk_split_sizes(wk_tensor *x, int axis, wk_dims sizes, wk_tensor **parts) {
    const wk_split_sizes_opts opts = { axis, sizes };
    return cut(&split_sizes_row, &opts, x, parts, sizes.rank);
}

/* ---- chunk: split with the size that gives at most so many parts ---- */

static wk_split_opts chunk_as_split(const wk_call *call, int axis) {
    const wk_chunk_opts *opts = call->attrs;
    int64_t length = call->in[0]->shape[axis], size = (length + opts->chunks - 1) / opts->chunks;
    return (wk_split_opts){ axis, size ? size : 1 };
}
static int chunk_count(const wk_call *call) {
    const wk_chunk_opts *opts = call->attrs;
    int axis = wk__axis("chunk", call->in[0], opts->axis);
    if (axis < 0) return -1;
    if (opts->chunks < 1 || opts->chunks > INT32_MAX)
        return (void)wk_bad_call(call, WK_INVALID, "%lld chunks, expected at least 1", (long long)opts->chunks), -1;
    const wk_split_opts as_split = chunk_as_split(call, axis);
    const wk_call same = { .op = call->op, .in = call->in, .n_in = 1, .attrs = &as_split };
    return split_count(&same);
}
static wk_status chunk_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_split_opts as_split =
        chunk_as_split(call, wk__axis("chunk", call->in[0], ((const wk_chunk_opts *)call->attrs)->axis));
    const wk_call same = { .op = call->op, .in = call->in, .n_in = 1, .n_out = call->n_out, .attrs = &as_split };
    return split_parts(&same, out);
}
static void chunk_samples(wk_sampler *s) {
    const wk_chunk_opts rows = { 0, 3 }, columns = { 1, 2 };
    WK_CASE(s, "rows", &rows, { .dims = WK_DIMS(7, 3) });
    WK_CASE(s, "columns", &columns, { .dims = WK_DIMS(2, 6), .strided = true });
    WK_CASE(s, "few", &rows, { .dims = WK_DIMS(2, 3) });
    WK_HUGE_CASE(s, "huge", &columns, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def chunk_attrs[] = {
    { "axis", WK_ATTR_INT, offsetof(wk_chunk_opts, axis), 0, NULL, 0, "along which" },
    { "chunks", WK_ATTR_INT, offsetof(wk_chunk_opts, chunks), 0, NULL, 0, "at most so many parts" },
};
CUT(chunk, "at most so many views of equal size", wk_chunk_opts);
int wk_chunk(wk_tensor *x, int axis, int chunks, wk_tensor **parts) {
    const wk_chunk_opts opts = { axis, chunks };
    return cut(&chunk_row, &opts, x, parts, chunks);
}

/* ---- unbind ---- */

static int unbind_count(const wk_call *call) {
    int axis = wk__axis("unbind", call->in[0], ((const wk_unbind_opts *)call->attrs)->axis);
    if (axis < 0) return -1;
    if (call->in[0]->shape[axis] > INT32_MAX)
        return (void)wk_bad_call(call, WK_SHAPE, "axis %d has %lld elements", axis,
                                 (long long)call->in[0]->shape[axis]),
               -1;
    return (int)call->in[0]->shape[axis];
}
static wk_status unbind_parts(const wk_call *call, wk_tensor *out[]) {
    const int axis = wk__axis("unbind", call->in[0], ((const wk_unbind_opts *)call->attrs)->axis);
    for (int i = 0; i < call->n_out; i++) out[i] = wk_select(call->in[0], axis, i);
    return WK_OK;
}
static void unbind_samples(wk_sampler *s) {
    const wk_unbind_opts rows = { 0 }, columns = { -1 };
    WK_CASE(s, "rows", &rows, { .dims = WK_DIMS(3, 4) });
    WK_CASE(s, "columns", &columns, { .dims = WK_DIMS(2, 3, 4), .strided = true });
    WK_HUGE_CASE(s, "huge", &rows, { .dims = WK_DIMS(16, 64, 512) });
}
static const wk_attr_def unbind_attrs[] = { { "axis", WK_ATTR_INT, offsetof(wk_unbind_opts, axis), 0, NULL, 0,
                                              "which goes away" } };
CUT(unbind, "a view for each element of an axis", wk_unbind_opts);
int wk_unbind(wk_tensor *x, int axis, wk_tensor **parts, int most) {
    const wk_unbind_opts opts = { axis };
    return cut(&unbind_row, &opts, x, parts, most);
}

/* ---- stack ---- */

enum { MOST_STACKED = 4096 };

static wk_status stack_parts(const wk_call *call, wk_tensor *out[]) {
    int64_t wanted = ((const wk_concat_opts *)call->attrs)->axis, rank = call->in[0]->rank;
    int64_t axis = wanted < 0 ? wanted + rank + 1 : wanted;
    if (axis < 0 || axis > rank || call->n_in > MOST_STACKED)
        return wk_bad_call(call, WK_INVALID, "%d tensors along axis %lld of a result of rank %lld (at most %d tensors)",
                           call->n_in, (long long)wanted, (long long)rank + 1, MOST_STACKED);
    wk_tensor *raised[64], **parts = raised;
    if (call->n_in > 64) parts = wk_alloc((size_t)call->n_in * sizeof *parts);
    for (int i = 0; parts && i < call->n_in; i++) parts[i] = wk_unsqueeze(call->in[i], (int)axis);
    if (!wk_failed()) out[0] = wk_concat(parts, call->n_in, (int)axis);
    if (parts != raised) wk_free(parts);
    return WK_OK;
}
static void stack_samples(wk_sampler *s) {
    const wk_concat_opts first = { 0 }, last = { -1 };
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(2, 3) }, { .dims = WK_DIMS(2, 3) });
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(4) }, { .dims = WK_DIMS(4) }, { .dims = WK_DIMS(4) });
    WK_HUGE_CASE(s, "huge", &first, { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(512, 1024) });
    WK_HUGE_CASE(s, "huge last", &last, { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def stack_attrs[] = { { "axis", WK_ATTR_INT, offsetof(wk_concat_opts, axis), 0, NULL, 0,
                                             "of the result" } };
static wk_op_def stack_row = { .name = "stack",
                               .doc = "tensors of one shape joined along a new axis",
                               .n_in = WK_LIST,
                               .n_out = 1,
                               .composite = true,
                               .attrs = stack_attrs,
                               .n_attrs = 1,
                               .attrs_size = sizeof(wk_concat_opts),
                               .dtype = { .same = 1, .autocast = WK_CAST_WIDEST },
                               .decompose = stack_parts,
                               .cost = wk__cost_move,
                               .samples = stack_samples };
wk_tensor *wk_stack(wk_tensor *const *tensors, int count, int axis) {
    const wk_concat_opts opts = { axis };
    wk_tensor *out[1];
    if (count < 1)
        return wk_failed() ? NULL : ((void)wk__bad_argument("stack", WK_INVALID, "no tensors were given"), NULL);
    return wk_op_run(&stack_row, tensors, count, out, &opts) == WK_OK ? out[0] : NULL;
}

/* ---- meshgrid ---- */

static int meshgrid_count(const wk_call *call) {
    return call->n_in;
}
static wk_status meshgrid_parts(const wk_call *call, wk_tensor *out[]) {
    bool exchanged = ((const wk_meshgrid_opts *)call->attrs)->indexing == 1 && call->n_in > 1;
    wk_dims full = { .rank = call->n_in };
    if (call->n_in > WK_MAX_RANK)
        return wk_bad_call(call, WK_SHAPE, "%d vectors, expected at most %d", call->n_in, WK_MAX_RANK);
    for (int i = 0; i < call->n_in; i++) {
        int axis = exchanged && i < 2 ? 1 - i : i;
        if (call->in[i]->rank != 1)
            return wk_bad_call(call, WK_SHAPE, "input %d has rank %d, expected 1", i, call->in[i]->rank);
        full.size[axis] = call->in[i]->shape[0];
    }
    for (int i = 0; i < call->n_in; i++) {
        int axis = exchanged && i < 2 ? 1 - i : i;
        wk_dims own = { .rank = call->n_in };
        for (int k = 0; k < call->n_in; k++) own.size[k] = k == axis ? call->in[i]->shape[0] : 1;
        out[i] = wk_expand(wk_reshape(call->in[i], own), full);
    }
    return WK_OK;
}
static void meshgrid_samples(wk_sampler *s) {
    const wk_meshgrid_opts ij = { 0 }, xy = { 1 };
    WK_CASE(s, "ij", &ij, { .dims = WK_DIMS(3) }, { .dims = WK_DIMS(4) });
    WK_CASE(s, "xy", &xy, { .dims = WK_DIMS(2) }, { .dims = WK_DIMS(3) }, { .dims = WK_DIMS(4) });
    WK_HUGE_CASE(s, "huge", &ij, { .dims = WK_DIMS(512) }, { .dims = WK_DIMS(1024) });
}
static const wk_attr_def meshgrid_attrs[] = { { "indexing", WK_ATTR_ENUM, offsetof(wk_meshgrid_opts, indexing), 0,
                                                "ij|xy", 0, "xy exchanges the first two axes" } };
static wk_op_def meshgrid_row = { .name = "meshgrid",
                                  .doc = "coordinates of a grid",
                                  .n_in = WK_LIST,
                                  .n_out = WK_LIST,
                                  .composite = true,
                                  .outputs = meshgrid_count,
                                  .attrs = meshgrid_attrs,
                                  .n_attrs = 1,
                                  .attrs_size = sizeof(wk_meshgrid_opts),
                                  .dtype = { .same = 1 },
                                  .decompose = meshgrid_parts,
                                  .cost = wk__cost_nothing,
                                  .samples = meshgrid_samples };
wk_status wk_meshgrid(wk_tensor *const *vectors, int count, wk_meshgrid_opts opts, wk_tensor **grids) {
    if (count < 1) return wk__bad_argument("meshgrid", WK_INVALID, "no vectors were given");
    return wk_op_run(&meshgrid_row, vectors, count, grids, &opts);
}

wk_op_def *const wk__rows_join[] = { &split_row, &split_sizes_row, &chunk_row, &unbind_row,
                                     &stack_row, &meshgrid_row,    NULL };
