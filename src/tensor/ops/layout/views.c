/* views.c: views made of reshape, permute and slice, and the two that are none of these: diagonals and windows. */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#include <string.h>

/* A composite row of one tensor and its attributes. */
#define VIEW(id, text, type, attr_defs)                                                   \
    static wk_op_def id##_row = { .name = #id,                                            \
                                  .doc = text,                                            \
                                  .n_in = 1,                                              \
                                  .n_out = 1,                                             \
                                  .composite = true,                                      \
                                  .attrs = attr_defs,                                     \
                                  .n_attrs = (int)(sizeof attr_defs / sizeof *attr_defs), \
                                  .attrs_size = sizeof(type),                             \
                                  .decompose = id##_parts,                                \
                                  .cost = wk__cost_nothing,                               \
                                  .samples = id##_samples }

/* ---- flatten, transpose, select: functions of layout.c under their names ---- */

typedef struct flatten_attrs {
    int64_t first_axis;
} flatten_attrs;
static wk_status flatten_parts(const wk_call *call, wk_tensor *out[]) {
    const int first = wk__axis("flatten", call->in[0], ((const flatten_attrs *)call->attrs)->first_axis);
    if (first >= 0) out[0] = wk_flatten(call->in[0], first);
    return WK_OK;
}
static void flatten_samples(wk_sampler *s) {
    const flatten_attrs all = { 0 }, images = { 1 };
    WK_CASE(s, "all", &all, { .dims = WK_DIMS(3, 4) });
    WK_CASE(s, "images", &images, { .dims = WK_DIMS(2, 3, 4, 5), .strided = true });
    WK_HUGE_CASE(s, "huge", &images, { .dims = WK_DIMS(8, 32, 56, 56) });
}
static const wk_attr_def flatten_attr_defs[] = { { "first_axis", WK_ATTR_INT, offsetof(flatten_attrs, first_axis), 0,
                                                   NULL, 0, "axes from here on become one" } };
VIEW(flatten, "axes made one", flatten_attrs, flatten_attr_defs);

typedef struct transpose_attrs {
    int64_t axis_a, axis_b;
} transpose_attrs;
static wk_status transpose_parts(const wk_call *call, wk_tensor *out[]) {
    const transpose_attrs *attrs = call->attrs;
    const int a = wk__axis("transpose", call->in[0], attrs->axis_a);
    const int b = wk__axis("transpose", call->in[0], attrs->axis_b);
    if (a >= 0 && b >= 0) out[0] = wk_transpose(call->in[0], a, b);
    return WK_OK;
}
static void transpose_samples(wk_sampler *s) {
    const transpose_attrs ends = { 0, -1 };
    WK_CASE(s, "ends", &ends, { .dims = WK_DIMS(3, 4, 5) });
    WK_HUGE_CASE(s, "huge", &ends, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def transpose_attr_defs[] = {
    { "axis_a", WK_ATTR_INT, offsetof(transpose_attrs, axis_a), 0, NULL, 0, "exchanged with" },
    { "axis_b", WK_ATTR_INT, offsetof(transpose_attrs, axis_b), 0, NULL, 0, "this one" },
};
VIEW(transpose, "two axes exchanged", transpose_attrs, transpose_attr_defs);

typedef struct select_attrs {
    int64_t axis, index;
} select_attrs;
static wk_status select_parts(const wk_call *call, wk_tensor *out[]) {
    const select_attrs *attrs = call->attrs;
    const int axis = wk__axis("select", call->in[0], attrs->axis);
    if (axis >= 0) out[0] = wk_select(call->in[0], axis, attrs->index);
    return WK_OK;
}
static void select_samples(wk_sampler *s) {
    const select_attrs last = { 1, -1 };
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(3, 4, 5) });
    WK_HUGE_CASE(s, "huge", &last, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def select_attr_defs[] = {
    { "axis", WK_ATTR_INT, offsetof(select_attrs, axis), 0, NULL, 0, "which goes away" },
    { "index", WK_ATTR_INT, offsetof(select_attrs, index), 0, NULL, 0, "along it; negative from the end" },
};
VIEW(select, "one element of an axis", select_attrs, select_attr_defs);

/* ---- squeeze, unsqueeze, unflatten, movedim ---- */

static wk_status squeeze_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_squeeze_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0];
    uint32_t mask;
    if (!wk__axes_mask(call, opts->axes, &mask)) return wk_error_code();
    wk_dims dims = { 0 };
    for (int axis = 0; axis < x->rank; axis++)
        if (!(mask >> axis & 1) || x->shape[axis] != 1) dims.size[dims.rank++] = x->shape[axis];
    out[0] = wk_reshape(call->in[0], dims);
    return WK_OK;
}
static void squeeze_samples(wk_sampler *s) {
    const wk_squeeze_opts all = { 0 }, some = { WK_DIMS(-1, 1) };
    WK_CASE(s, "all", &all, { .dims = WK_DIMS(1, 3, 1, 4) });
    WK_CASE(s, "some", &some, { .dims = WK_DIMS(1, 3, 4, 1) });
    WK_HUGE_CASE(s, "huge", &all, { .dims = WK_DIMS(1, 512, 1, 1024) });
}
static const wk_attr_def squeeze_attrs[] = { { "axes", WK_ATTR_DIMS, offsetof(wk_squeeze_opts, axes), 0, NULL, 0,
                                               "which may go; none: all" } };
VIEW(squeeze, "axes of size 1 taken away", wk_squeeze_opts, squeeze_attrs);
wk_tensor *wk_squeeze(wk_tensor *x, wk_squeeze_opts opts) {
    return wk_op_run1(&squeeze_row, &opts, x);
}

typedef struct unsqueeze_attrs {
    int64_t axis;
} unsqueeze_attrs;
static wk_status unsqueeze_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_tensor *x = call->in[0];
    int64_t axis = ((const unsqueeze_attrs *)call->attrs)->axis, rank = x->rank;
    int64_t at = axis < 0 ? axis + rank + 1 : axis;
    if (at < 0 || at > rank || rank == WK_MAX_RANK)
        return wk_bad_call(call, WK_INVALID, "axis %lld of a result of rank %lld, at most %d", (long long)axis,
                           (long long)rank + 1, WK_MAX_RANK);
    wk_dims dims = { .rank = x->rank + 1 };
    for (int i = 0; i < dims.rank; i++) dims.size[i] = i < at ? x->shape[i] : i == at ? 1 : x->shape[i - 1];
    out[0] = wk_reshape(call->in[0], dims);
    return WK_OK;
}
static void unsqueeze_samples(wk_sampler *s) {
    const unsqueeze_attrs first = { 0 }, last = { -1 };
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(3, 4) });
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(3, 4), .strided = true });
    WK_HUGE_CASE(s, "huge", &first, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def unsqueeze_attr_defs[] = { { "axis", WK_ATTR_INT, offsetof(unsqueeze_attrs, axis), 0, NULL, 0,
                                                     "of the result" } };
VIEW(unsqueeze, "a new axis of size 1", unsqueeze_attrs, unsqueeze_attr_defs);
wk_tensor *wk_unsqueeze(wk_tensor *x, int axis) {
    const unsqueeze_attrs attrs = { axis };
    return wk_op_run1(&unsqueeze_row, &attrs, x);
}

static wk_status unflatten_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_unflatten_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0];
    int axis = wk__axis("unflatten", x, opts->axis), fresh = opts->sizes.rank, open = -1;
    if (axis < 0) return wk_error_code();
    if (fresh < 1 || x->rank - 1 + fresh > WK_MAX_RANK)
        return wk_bad_call(call, WK_SHAPE, "%d sizes for one axis of a tensor of rank %d", fresh, x->rank);
    wk_dims dims = { .rank = x->rank - 1 + fresh };
    int64_t product = 1;
    for (int i = 0; i < dims.rank; i++) {
        bool is_new = i >= axis && i < axis + fresh;
        dims.size[i] = i < axis ? x->shape[i] : is_new ? opts->sizes.size[i - axis] : x->shape[i - fresh + 1];
        if (is_new && dims.size[i] == -1)
            open = i;
        else if (is_new && __builtin_mul_overflow(product, dims.size[i], &product))
            product = -1;
    }
    if (open >= 0 && product > 0) dims.size[open] = x->shape[axis] / product, product *= dims.size[open];
    if (product != x->shape[axis])
        return wk_bad_call(call, WK_SHAPE, "the sizes do not multiply to %lld, the size of axis %d",
                           (long long)x->shape[axis], axis);
    out[0] = wk_reshape(call->in[0], dims);
    return WK_OK;
}
static void unflatten_samples(wk_sampler *s) {
    const wk_unflatten_opts middle = { 1, WK_DIMS(2, -1) };
    WK_CASE(s, "middle", &middle, { .dims = WK_DIMS(3, 8, 2) });
    WK_HUGE_CASE(s, "huge", &middle, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def unflatten_attrs[] = {
    { "axis", WK_ATTR_INT, offsetof(wk_unflatten_opts, axis), 0, NULL, 0, "to cut up" },
    { "sizes", WK_ATTR_DIMS, offsetof(wk_unflatten_opts, sizes), 0, NULL, 0, "of the new axes; one may be -1" },
};
VIEW(unflatten, "one axis made several", wk_unflatten_opts, unflatten_attrs);
wk_tensor *wk_unflatten(wk_tensor *x, int axis, wk_dims sizes) {
    const wk_unflatten_opts opts = { axis, sizes };
    return wk_op_run1(&unflatten_row, &opts, x);
}

static wk_status movedim_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_movedim_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0];
    int from = wk__axis("movedim", x, opts->from), to = from < 0 ? -1 : wk__axis("movedim", x, opts->to);
    if (to < 0) return wk_error_code();
    wk_dims axes = { .rank = x->rank };
    for (int i = 0, old = 0; i < x->rank; i++) {
        if (i != to && old == from) old++;
        axes.size[i] = i == to ? from : old++;
    }
    out[0] = wk_permute(call->in[0], axes);
    return WK_OK;
}
static void movedim_samples(wk_sampler *s) {
    const wk_movedim_opts back = { 0, -1 }, front = { 2, 0 };
    WK_CASE(s, "back", &back, { .dims = WK_DIMS(2, 3, 4, 5) });
    WK_CASE(s, "front", &front, { .dims = WK_DIMS(2, 3, 4) });
    WK_HUGE_CASE(s, "huge", &back, { .dims = WK_DIMS(8, 32, 56, 56) });
}
static const wk_attr_def movedim_attrs[] = {
    { "from", WK_ATTR_INT, offsetof(wk_movedim_opts, from), 0, NULL, 0, "axis that moves" },
    { "to", WK_ATTR_INT, offsetof(wk_movedim_opts, to), 0, NULL, 0, "where it then stands" },
};
VIEW(movedim, "one axis moved, the others in order", wk_movedim_opts, movedim_attrs);
wk_tensor *wk_movedim(wk_tensor *x, int from, int to) {
    const wk_movedim_opts opts = { from, to };
    return wk_op_run1(&movedim_row, &opts, x);
}

/* ---- diagonal ---- */

/* Axes and length of a diagonal of x; false with an error pending. */
static bool resolve_diagonal(const wk_tensor *x, const wk_diagonal_opts *opts, int *a, int *b, int64_t *length,
                             int64_t *start) {
    *a = wk__axis("diagonal", x, (int64_t)wk_optional_or(opts->axis_a, 0));
    *b = *a < 0 ? -1 : wk__axis("diagonal", x, (int64_t)wk_optional_or(opts->axis_b, 1));
    if (*b < 0) return false;
    if (*a == *b) {
        (void)wk__bad_argument("diagonal", WK_INVALID, "both axes are %d", *a);
        return false;
    }
    if (opts->offset < -INT32_MAX || opts->offset > INT32_MAX) {
        (void)wk__bad_argument("diagonal", WK_INVALID, "offset %lld, expected one between -2^31 and 2^31",
                               (long long)opts->offset);
        return false;
    }
    int64_t down = opts->offset < 0 ? -opts->offset : 0, right = opts->offset > 0 ? opts->offset : 0;
    int64_t rows = x->shape[*a] - down, columns = x->shape[*b] - right;
    *length = rows < columns ? rows : columns;
    if (*length < 0) *length = 0;
    *start = *length ? down * x->stride[*a] + right * x->stride[*b] : 0;
    return true;
}

static wk_status diagonal_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0];
    int a, b;
    int64_t length, start;
    if (!resolve_diagonal(x, call->attrs, &a, &b, &length, &start)) return wk_error_code();
    wk_desc desc = { .dtype = (wk_dtype)x->dtype, .view_of = 1, .offset = start };
    for (int axis = 0; axis < x->rank; axis++) {
        if (axis == a || axis == b) continue;
        desc.shape[desc.rank] = x->shape[axis];
        desc.stride[desc.rank++] = x->stride[axis];
    }
    desc.shape[desc.rank] = length;
    desc.stride[desc.rank++] = x->stride[a] + x->stride[b];
    out[0] = desc;
    return WK_OK;
}
static wk_op_def diagonal_backward_row;
static wk_status diagonal_grad(wk_grad *g) {
    const wk_diagonal_grad_attrs attrs = { *(const wk_diagonal_opts *)g->attrs, wk__dims(g->in[0]) };
    g->din[0] = wk_op_run1(&diagonal_backward_row, &attrs, g->dout[0]);
    return WK_OK;
}
static void diagonal_samples(wk_sampler *s) {
    const wk_diagonal_opts main_one = { 0 }, above = { 1, WK_SET(-2), WK_SET(-1) }, below = { -2, { 0 }, { 0 } },
                           beyond = { 9, { 0 }, { 0 } };
    WK_CASE(s, "main", &main_one, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "above", &above, { .dims = WK_DIMS(2, 4, 3), .strided = true });
    WK_CASE(s, "below", &below, { .dims = WK_DIMS(5, 4, 2) });
    WK_CASE(s, "beyond", &beyond, { .dims = WK_DIMS(3, 3) });
    WK_HUGE_CASE(s, "huge", &main_one, { .dims = WK_DIMS(1024, 1024) });
}
static const wk_attr_def diagonal_attrs[] = {
    { "offset", WK_ATTR_INT, offsetof(wk_diagonal_opts, offset), 0, NULL, 0, "above the main diagonal" },
    { "axis_a", WK_ATTR_OPTIONAL, offsetof(wk_diagonal_opts, axis_a), 0, NULL, 0, "rows" },
    { "axis_b", WK_ATTR_OPTIONAL, offsetof(wk_diagonal_opts, axis_b), 0, NULL, 1, "columns" },
};
static wk_op_def diagonal_row = { .name = "diagonal",
                                  .doc = "a view of the diagonal of two axes",
                                  .n_in = 1,
                                  .n_out = 1,
                                  .attrs = diagonal_attrs,
                                  .n_attrs = 3,
                                  .attrs_size = sizeof(wk_diagonal_opts),
                                  .part = true,
                                  .shape = diagonal_shape,
                                  .grad = diagonal_grad,
                                  .cost = wk__cost_nothing,
                                  .samples = diagonal_samples };
wk_tensor *wk_diagonal(wk_tensor *x, wk_diagonal_opts opts) {
    return wk_op_run1(&diagonal_row, &opts, x);
}

static wk_status diagonal_backward_shape(const wk_call *call, wk_desc out[]) {
    const wk_diagonal_grad_attrs *attrs = call->attrs;
    out[0] = wk_desc_row_major((wk_dtype)call->in[0]->dtype, attrs->dims.rank, attrs->dims.size);
    return WK_OK;
}
static wk_status diagonal_backward_grad(wk_grad *g) {
    g->din[0] = wk_diagonal(g->dout[0], ((const wk_diagonal_grad_attrs *)g->attrs)->diagonal);
    return WK_OK;
}
static void diagonal_backward_samples(wk_sampler *s) {
    const wk_diagonal_grad_attrs attrs = { { 1, { 0 }, { 0 } }, WK_DIMS(4, 5) };
    WK_CASE(s, "above", &attrs, { .dims = WK_DIMS(4) });
}
static wk_op_def diagonal_backward_row = { .name = "diagonal_backward",
                                           .internal = true,
                                           .doc = "values put on a diagonal of zeros",
                                           .n_in = 1,
                                           .n_out = 1,
                                           .attrs_size = sizeof(wk_diagonal_grad_attrs),
                                           .zero_sized_runs = true,
                                           .shape = diagonal_backward_shape,
                                           .grad = diagonal_backward_grad,
                                           .cost = wk__cost_move,
                                           .samples = diagonal_backward_samples };

static wk_status diag_embed_parts(const wk_call *call, wk_tensor *out[]) {
    int64_t offset = ((const wk_diag_embed_opts *)call->attrs)->offset;
    const wk_tensor *x = call->in[0];
    if (x->rank < 1 || x->rank == WK_MAX_RANK)
        return wk_bad_call(call, WK_SHAPE, "x has rank %d, expected 1 to %d", x->rank, WK_MAX_RANK - 1);
    if (offset < -INT32_MAX || offset > INT32_MAX)
        return wk_bad_call(call, WK_SHAPE, "offset %lld, expected one between -2^31 and 2^31", (long long)offset);
    wk_diagonal_grad_attrs attrs = { { offset, WK_SET(-2), WK_SET(-1) }, wk__dims(x) };
    int64_t size = x->shape[x->rank - 1] + (offset < 0 ? -offset : offset);
    attrs.dims.size[attrs.dims.rank - 1] = attrs.dims.size[attrs.dims.rank] = size;
    attrs.dims.rank++;
    out[0] = wk_op_run1(&diagonal_backward_row, &attrs, call->in[0]);
    return WK_OK;
}
static void diag_embed_samples(wk_sampler *s) {
    const wk_diag_embed_opts main_one = { 0 }, below = { -1 };
    WK_CASE(s, "main", &main_one, { .dims = WK_DIMS(4) });
    WK_CASE(s, "below", &below, { .dims = WK_DIMS(2, 3) });
    WK_HUGE_CASE(s, "huge", &main_one, { .dims = WK_DIMS(64, 128) });
}
static const wk_attr_def diag_embed_attrs[] = { { "offset", WK_ATTR_INT, offsetof(wk_diag_embed_opts, offset), 0, NULL,
                                                  0, "above the main diagonal" } };
VIEW(diag_embed, "matrices of zeros with x on a diagonal", wk_diag_embed_opts, diag_embed_attrs);
wk_tensor *wk_diag_embed(wk_tensor *x, wk_diag_embed_opts opts) {
    return wk_op_run1(&diag_embed_row, &opts, x);
}

wk_op_def *const wk__rows_views[] = { &flatten_row,           &transpose_row,  &select_row,  &squeeze_row,
                                      &unsqueeze_row,         &unflatten_row,  &movedim_row, &diagonal_row,
                                      &diagonal_backward_row, &diag_embed_row, NULL };
