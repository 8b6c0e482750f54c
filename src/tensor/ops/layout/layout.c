/* layout.c: operations that move no values, or only move them: views, copies, concatenation. */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#include <string.h>

static wk_desc view_of_first(const wk_tensor *x) {
    wk_desc desc = { .rank = x->rank, .dtype = (wk_dtype)x->dtype, .view_of = 1 };
    memcpy(desc.shape, x->shape, sizeof desc.shape);
    memcpy(desc.stride, x->stride, sizeof desc.stride);
    return desc;
}

/* ---- copy ---- */

static wk_status copy_shape(const wk_call *call, wk_desc out[]) {
    out[0] = wk_desc_row_major((wk_dtype)call->in[0]->dtype, call->in[0]->rank, call->in[0]->shape);
    return WK_OK;
}
static wk_status pass_grad(wk_grad *g) {
    g->din[0] = g->dout[0];
    return WK_OK;
}
static void copy_samples(wk_sampler *s) {
    WK_CASE(s, "contiguous", NULL, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "strided", NULL, { .dims = WK_DIMS(3, 4, 5), .strided = true });
    WK_CASE(s, "image", NULL, { .dims = WK_DIMS(2, 33, 5, 7), .strided = true });
    WK_CASE(s, "empty", NULL, { .dims = WK_DIMS(0, 2) });
    WK_HUGE_CASE(s, "huge", NULL, { .dims = WK_DIMS(512, 1024) });
}
static wk_op_def copy_row = { .name = "copy",
                              .doc = "the same values, row major",
                              .n_in = 1,
                              .n_out = 1,
                              .shape = copy_shape,
                              .grad = pass_grad,
                              .cost = wk__cost_move,
                              .samples = copy_samples };

wk_tensor *wk_contiguous(wk_tensor *x) {
    if (x && (x->flags & WK_TENSOR_CONTIGUOUS) && x->life == WK__ALIVE && !wk_failed()) return x;
    return wk_op_run1(&copy_row, NULL, x);
}

/* ---- reshape ---- */

/* Strides of a view of the new shape, if there is one: each run of new axes must fall on a run of old axes that lie
 * together in memory. */
static bool viewable(const wk_tensor *x, const wk_dims *dims, int64_t stride[]) {
    int old = 0, fresh = 0;
    int64_t old_shape[WK_MAX_RANK], old_stride[WK_MAX_RANK];
    int old_rank = 0;
    for (int axis = 0; axis < x->rank; axis++) {
        if (x->shape[axis] == 1) continue;
        old_shape[old_rank] = x->shape[axis];
        old_stride[old_rank++] = x->stride[axis];
    }
    while (old < old_rank) {
        int64_t old_size = old_shape[old], new_size = 1;
        int first_new = fresh, old_end = old + 1;
        while (new_size != old_size) {
            if (new_size < old_size) {
                if (fresh == dims->rank) return false;
                new_size *= dims->size[fresh++];
            } else {
                if (old_end == old_rank || old_stride[old_end - 1] != old_shape[old_end] * old_stride[old_end])
                    return false;
                old_size *= old_shape[old_end++];
            }
        }
        /* Axes merged on the way must lie together. */
        for (int axis = old; axis + 1 < old_end; axis++)
            if (old_stride[axis] != old_shape[axis + 1] * old_stride[axis + 1]) return false;
        int64_t step = old_stride[old_end - 1];
        for (int axis = fresh - 1; axis >= first_new; axis--) {
            stride[axis] = step;
            step *= dims->size[axis];
        }
        old = old_end;
    }
    for (; fresh < dims->rank; fresh++) stride[fresh] = 1; /* sizes of 1 at the end */
    return true;
}

static wk_status resolve(const wk_call *call, const wk_tensor *x, wk_dims *dims) {
    int free_axis = -1;
    int64_t product = 1;
    for (int axis = 0; axis < dims->rank; axis++) {
        if (dims->size[axis] == -1) {
            if (free_axis >= 0) return wk_bad_call(call, WK_SHAPE, "two sizes are -1");
            free_axis = axis;
        } else if (dims->size[axis] < 0 || __builtin_mul_overflow(product, dims->size[axis], &product)) {
            return wk_bad_call(call, WK_SHAPE, "size %lld of axis %d", (long long)dims->size[axis], axis);
        }
    }
    if (free_axis >= 0 && product > 0 && x->count % product == 0) {
        dims->size[free_axis] = x->count / product;
        product = x->count;
    }
    char text[160];
    if (free_axis >= 0 && dims->size[free_axis] < 0)
        return wk_bad_call(call, WK_SHAPE,
                           "%s has %lld elements, which the other sizes (their product is %lld) do not divide",
                           wk_describe(x, text, sizeof text), (long long)x->count, (long long)product);
    if (product != x->count)
        return wk_bad_call(call, WK_SHAPE, "%s has %lld elements, the sizes asked for multiply to %lld",
                           wk_describe(x, text, sizeof text), (long long)x->count, (long long)product);
    return WK_OK;
}

static wk_status reshape_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0];
    wk_dims dims = ((const wk_reshape_opts *)call->attrs)->dims;
    if (dims.rank < 0 || dims.rank > WK_MAX_RANK) return wk_bad_call(call, WK_SHAPE, "rank %d", dims.rank);
    WK_TRY(resolve(call, x, &dims));
    wk_desc desc = wk_desc_row_major((wk_dtype)x->dtype, dims.rank, dims.size);
    desc.view_of = 1;
    if (x->count == 0) {
        int64_t step = 1;
        for (int axis = dims.rank - 1; axis >= 0; axis--) {
            desc.stride[axis] = step;
            if (__builtin_mul_overflow(step, dims.size[axis] ? dims.size[axis] : 1, &step))
                return wk_bad_call(call, WK_SHAPE, "the sizes multiply to more elements than memory can hold");
        }
    } else if (!viewable(x, &dims, desc.stride)) {
        return wk_bad_call(call, WK_SHAPE, "no view of these strides has that shape; use wk_contiguous first");
    }
    out[0] = desc;
    return WK_OK;
}

static wk_status reshape_grad(wk_grad *g) {
    g->din[0] = wk_reshape(g->dout[0], wk__dims(g->in[0]));
    return WK_OK;
}
static void reshape_samples(wk_sampler *s) {
    const wk_reshape_opts flat = { WK_DIMS(-1) }, split = { WK_DIMS(2, 2, 3, 5) };
    WK_CASE(s, "flat", &flat, { .dims = WK_DIMS(3, 4) });
    WK_CASE(s, "split", &split, { .dims = WK_DIMS(4, 15) });
    WK_CASE(s, "empty", &flat, { .dims = WK_DIMS(0, 4) });
    WK_HUGE_CASE(s, "huge", &flat, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def reshape_attrs[] = { { "dims", WK_ATTR_DIMS, offsetof(wk_reshape_opts, dims), 0, NULL, 0,
                                               "one may be -1" } };
static wk_op_def reshape_row = { .name = "reshape",
                                 .doc = "a view with another shape",
                                 .n_in = 1,
                                 .n_out = 1,
                                 .attrs = reshape_attrs,
                                 .n_attrs = 1,
                                 .attrs_size = sizeof(wk_reshape_opts),
                                 .shape = reshape_shape,
                                 .grad = reshape_grad,
                                 .cost = wk__cost_nothing,
                                 .samples = reshape_samples };

wk_tensor *wk_reshape(wk_tensor *x, wk_dims dims) {
    const wk_reshape_opts opts = { dims };
    if (x && x->life == WK__ALIVE && x->count && !wk_failed()) {
        int64_t stride[WK_MAX_RANK];
        wk_dims trial = dims;
        const wk_call call = { .op = &reshape_row };
        if (dims.rank >= 0 && dims.rank <= WK_MAX_RANK && resolve(&call, x, &trial) == WK_OK
            && !viewable(x, &trial, stride))
            x = wk_contiguous(x);
    }
    return wk_op_run1(&reshape_row, &opts, x);
}

wk_tensor *wk_flatten(wk_tensor *x, int first_axis) {
    if (!x) return wk_op_run1(&reshape_row, &(wk_reshape_opts){ 0 }, x);
    int first = wk__axis("flatten", x, first_axis);
    if (first < 0) return NULL;
    wk_dims dims = { .rank = first + 1 };
    memcpy(dims.size, x->shape, (size_t)first * sizeof dims.size[0]);
    dims.size[first] = 1;
    for (int axis = first; axis < x->rank; axis++) dims.size[first] *= x->shape[axis];
    return wk_reshape(x, dims);
}

/* ---- permute ---- */

static wk_status permute_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0];
    const wk_dims *axes = &((const wk_permute_opts *)call->attrs)->axes;
    if (axes->rank != x->rank)
        return wk_bad_call(call, WK_SHAPE, "%d axes named for a tensor of rank %d", axes->rank, x->rank);
    wk_desc desc = view_of_first(x);
    uint32_t seen = 0;
    for (int i = 0; i < x->rank; i++) {
        int axis = wk__axis("permute", x, axes->size[i]);
        if (axis < 0) return wk_error_code();
        if (seen >> axis & 1) return wk_bad_call(call, WK_INVALID, "axis %d is named twice", axis);
        seen |= 1u << axis;
        desc.shape[i] = x->shape[axis];
        desc.stride[i] = x->stride[axis];
    }
    out[0] = desc;
    return WK_OK;
}
static wk_status permute_grad(wk_grad *g) {
    const wk_dims *axes = &((const wk_permute_opts *)g->attrs)->axes;
    wk_dims inverse = { .rank = axes->rank };
    for (int i = 0; i < axes->rank; i++)
        inverse.size[axes->size[i] < 0 ? axes->size[i] + axes->rank : axes->size[i]] = i;
    g->din[0] = wk_permute(g->dout[0], inverse);
    return WK_OK;
}
static void permute_samples(wk_sampler *s) {
    const wk_permute_opts swap = { WK_DIMS(1, 0) }, cycle = { WK_DIMS(2, 0, -2) };
    WK_CASE(s, "swap", &swap, { .dims = WK_DIMS(3, 4) });
    WK_CASE(s, "cycle", &cycle, { .dims = WK_DIMS(3, 4, 5) });
    WK_HUGE_CASE(s, "huge", &cycle, { .dims = WK_DIMS(64, 128, 64) });
}
static const wk_attr_def permute_attrs[] = { { "axes", WK_ATTR_DIMS, offsetof(wk_permute_opts, axes), 0, NULL, 0,
                                               "old axis of each new one" } };
static wk_op_def permute_row = { .name = "permute",
                                 .doc = "a view with its axes in another order",
                                 .n_in = 1,
                                 .n_out = 1,
                                 .attrs = permute_attrs,
                                 .n_attrs = 1,
                                 .attrs_size = sizeof(wk_permute_opts),
                                 .shape = permute_shape,
                                 .grad = permute_grad,
                                 .cost = wk__cost_nothing,
                                 .samples = permute_samples };
wk_tensor *wk_permute(wk_tensor *x, wk_dims axes) {
    const wk_permute_opts opts = { axes };
    return wk_op_run1(&permute_row, &opts, x);
}
wk_tensor *wk_transpose(wk_tensor *x, int axis_a, int axis_b) {
    if (!x) return wk_permute(x, (wk_dims){ 0 });
    int a = wk__axis("transpose", x, axis_a), b = wk__axis("transpose", x, axis_b);
    if (a < 0 || b < 0) return NULL;
    wk_dims axes = { .rank = x->rank };
    for (int i = 0; i < x->rank; i++) axes.size[i] = i == a ? b : i == b ? a : i;
    return wk_permute(x, axes);
}

/* ---- expand ---- */

static wk_status expand_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0];
    const wk_dims *dims = &((const wk_expand_opts *)call->attrs)->dims;
    int missing = dims->rank - x->rank;
    wk_desc desc = wk_desc_row_major((wk_dtype)x->dtype, dims->rank, dims->size);
    desc.view_of = 1;
    bool fits = missing >= 0 && dims->rank <= WK_MAX_RANK;
    for (int axis = 0; fits && axis < dims->rank; axis++) {
        int64_t size = axis < missing ? 1 : x->shape[axis - missing];
        desc.stride[axis] = axis < missing || size == 1 ? 0 : x->stride[axis - missing];
        fits = size == 1 || size == dims->size[axis];
    }
    char from[160], to[160];
    if (!fits) {
        wk_tensor wanted = { .rank = (uint8_t)dims->rank, .dtype = x->dtype };
        memcpy(wanted.shape, dims->size, sizeof wanted.shape);
        return wk_bad_call(call, WK_SHAPE, "%s does not broadcast to %s", wk_describe(x, from, sizeof from),
                           wk_describe(&wanted, to, sizeof to));
    }
    out[0] = desc;
    return WK_OK;
}
static wk_status expand_grad(wk_grad *g) {
    g->din[0] = wk__sum_to(g->dout[0], g->in[0]);
    return WK_OK;
}
static void expand_samples(wk_sampler *s) {
    const wk_expand_opts wide = { WK_DIMS(2, 3, 4) };
    WK_CASE(s, "row", &wide, { .dims = WK_DIMS(4) });
    WK_CASE(s, "column", &wide, { .dims = WK_DIMS(3, 1) });
    WK_CASE(s, "scalar", &wide, { .dims = WK_SCALAR });
    const wk_expand_opts tall = { WK_DIMS(512, 1024) };
    WK_HUGE_CASE(s, "huge", &tall, { .dims = WK_DIMS(1024) });
}
static const wk_attr_def expand_attrs[] = { { "dims", WK_ATTR_DIMS, offsetof(wk_expand_opts, dims), 0, NULL, 0,
                                              "shape to fill" } };
static wk_op_def expand_row = { .name = "expand",
                                .doc = "a broadcast view",
                                .n_in = 1,
                                .n_out = 1,
                                .attrs = expand_attrs,
                                .n_attrs = 1,
                                .attrs_size = sizeof(wk_expand_opts),
                                .shape = expand_shape,
                                .grad = expand_grad,
                                .cost = wk__cost_nothing,
                                .samples = expand_samples };
wk_tensor *wk_expand(wk_tensor *x, wk_dims dims) {
    const wk_expand_opts opts = { dims };
    return wk_op_run1(&expand_row, &opts, x);
}

/* ---- slice ---- */

static int64_t clamp(int64_t at, int64_t size) {
    if (at < 0) at += size;
    return at < 0 ? 0 : at > size ? size : at;
}
/* Positions counted from the start, the step at least 1. */
static bool resolve_slice(const wk_tensor *x, wk_slice_opts *opts) {
    int axis = wk__axis("slice", x, opts->axis);
    if (axis < 0) return false;
    opts->axis = axis;
    if (opts->step == 0) opts->step = 1;
    if (opts->step < 0) {
        (void)wk__bad_argument("slice", WK_INVALID, "step %lld, expected at least 1", (long long)opts->step);
        return false;
    }
    if (opts->step > x->shape[axis]) opts->step = x->shape[axis] ? x->shape[axis] : 1; /* one element at most */
    opts->start = clamp(opts->start, x->shape[axis]);
    opts->stop = clamp(opts->stop, x->shape[axis]);
    if (opts->stop < opts->start) opts->stop = opts->start;
    return true;
}
static wk_status slice_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0];
    wk_slice_opts opts = *(const wk_slice_opts *)call->attrs;
    if (!resolve_slice(x, &opts)) return wk_error_code();
    wk_desc desc = view_of_first(x);
    desc.shape[opts.axis] = (opts.stop - opts.start + opts.step - 1) / opts.step;
    desc.stride[opts.axis] *= opts.step;
    desc.offset = opts.start * x->stride[opts.axis];
    out[0] = desc;
    return WK_OK;
}
static wk_op_def slice_backward_row;
static wk_status slice_grad(wk_grad *g) {
    wk_slice_grad_attrs attrs = { .slice = *(const wk_slice_opts *)g->attrs, .dims = wk__dims(g->in[0]) };
    if (!resolve_slice(g->in[0], &attrs.slice)) return wk_error_code();
    return wk_op_run_into(&slice_backward_row, g->dout, 1, g->din, &attrs, g->sink);
}
static void slice_samples(wk_sampler *s) {
    const wk_slice_opts head = { 0, 0, 2, 0 }, tail = { -1, -3, 100, 2 }, none = { 0, 2, 2, 1 };
    WK_CASE(s, "head", &head, { .dims = WK_DIMS(5, 3) });
    WK_CASE(s, "tail", &tail, { .dims = WK_DIMS(3, 7), .strided = true });
    WK_CASE(s, "empty", &none, { .dims = WK_DIMS(5, 3) });
    const wk_slice_opts inner = { 1, 256, 768, 1 };
    WK_HUGE_CASE(s, "huge", &inner, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def slice_attrs[] = {
    { "axis", WK_ATTR_INT, offsetof(wk_slice_opts, axis), 0, NULL, 0, "which" },
    { "start", WK_ATTR_INT, offsetof(wk_slice_opts, start), 0, NULL, 0, "first" },
    { "stop", WK_ATTR_INT, offsetof(wk_slice_opts, stop), 0, NULL, 0, "one past the last" },
    { "step", WK_ATTR_INT, offsetof(wk_slice_opts, step), 0, NULL, 0, "0 means 1" },
};
static wk_op_def slice_row = { .name = "slice",
                               .doc = "a view of a range of one axis",
                               .n_in = 1,
                               .n_out = 1,
                               .attrs = slice_attrs,
                               .n_attrs = 4,
                               .attrs_size = sizeof(wk_slice_opts),
                               .shape = slice_shape,
                               .part = true,
                               .grad = slice_grad,
                               .cost = wk__cost_nothing,
                               .samples = slice_samples };
wk_tensor *wk_slice(wk_tensor *x, int axis, int64_t start, int64_t stop, int64_t step) {
    const wk_slice_opts opts = { axis, start, stop, step };
    return wk_op_run1(&slice_row, &opts, x);
}
wk_tensor *wk_select(wk_tensor *x, int axis, int64_t index) {
    if (!x) return wk_op_run1(&slice_row, &(wk_slice_opts){ 0 }, x);
    int resolved = wk__axis("select", x, axis);
    if (resolved < 0) return NULL;
    int64_t size = x->shape[resolved], at = index < 0 ? index + size : index;
    if (at < 0 || at >= size)
        return (void)wk__bad_argument("select", WK_INVALID, "index %lld of axis %d, which has size %lld",
                                      (long long)index, resolved, (long long)size),
               NULL;
    wk_dims dims = { 0 };
    for (int i = 0; i < x->rank; i++)
        if (i != resolved) dims.size[dims.rank++] = x->shape[i];
    return wk_reshape(wk_slice(x, resolved, at, at + 1, 1), dims);
}

static wk_status slice_backward_shape(const wk_call *call, wk_desc out[]) {
    const wk_slice_grad_attrs *attrs = call->attrs;
    out[0] = wk_desc_row_major((wk_dtype)call->in[0]->dtype, attrs->dims.rank, attrs->dims.size);
    return WK_OK;
}
static wk_status slice_backward_grad(wk_grad *g) {
    g->din[0] = wk_op_run1(&slice_row, &((const wk_slice_grad_attrs *)g->attrs)->slice, g->dout[0]);
    return WK_OK;
}
static void slice_backward_samples(wk_sampler *s) {
    const wk_slice_grad_attrs attrs = { .slice = { 1, 1, 6, 2 }, .dims = WK_DIMS(2, 7) };
    WK_CASE(s, "middle", &attrs, { .dims = WK_DIMS(2, 3) });
}
static wk_op_def slice_backward_row = { .name = "slice_backward",
                                        .internal = true,
                                        .doc = "values put into a range of zeros",
                                        .n_in = 1,
                                        .n_out = 1,
                                        .attrs_size = sizeof(wk_slice_grad_attrs),
                                        .zero_sized_runs = true,
                                        .shape = slice_backward_shape,
                                        .grad = slice_backward_grad,
                                        .cost = wk__cost_move,
                                        .samples = slice_backward_samples };

/* ---- concat ---- */

static wk_status concat_shape(const wk_call *call, wk_desc out[]) {
    int64_t axis = ((const wk_concat_opts *)call->attrs)->axis;
    const wk_tensor *first = call->in[0];
    if (axis < 0 || axis >= first->rank)
        return wk_bad_call(call, WK_INVALID, "axis %lld of tensors of rank %d", (long long)axis, first->rank);
    wk_desc desc = wk_desc_row_major((wk_dtype)first->dtype, first->rank, first->shape);
    for (int i = 1; i < call->n_in; i++) {
        const wk_tensor *in = call->in[i];
        bool fits = in->rank == first->rank;
        for (int a = 0; fits && a < in->rank; a++) fits = a == axis || in->shape[a] == first->shape[a];
        char one[160], other[160];
        if (!fits)
            return wk_bad_call(call, WK_SHAPE, "tensor %d is %s, tensor 0 is %s: only axis %lld may differ", i,
                               wk_describe(in, one, sizeof one), wk_describe(first, other, sizeof other),
                               (long long)axis);
        desc.shape[axis] += in->shape[axis];
    }
    out[0] = desc;
    return WK_OK;
}
static wk_status concat_grad(wk_grad *g) {
    int axis = (int)((const wk_concat_opts *)g->attrs)->axis;
    int64_t start = 0;
    for (int i = 0; i < g->call->n_in; i++) {
        int64_t stop = start + g->in[i]->shape[axis];
        if (g->needs[i]) g->din[i] = wk_slice(g->dout[0], axis, start, stop, 1);
        start = stop;
    }
    return WK_OK;
}
static void concat_samples(wk_sampler *s) {
    const wk_concat_opts rows = { 0 }, columns = { 1 };
    WK_CASE(s, "rows", &rows, { .dims = WK_DIMS(2, 3) }, { .dims = WK_DIMS(1, 3) }, { .dims = WK_DIMS(4, 3) });
    WK_CASE(s, "columns", &columns, { .dims = WK_DIMS(2, 3), .strided = true }, { .dims = WK_DIMS(2, 0) },
            { .dims = WK_DIMS(2, 5) });
    WK_HUGE_CASE(s, "huge", &rows, { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(512, 1024) });
    WK_HUGE_CASE(s, "huge columns", &columns, { .dims = WK_DIMS(512, 1024) }, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def concat_attrs[] = { { "axis", WK_ATTR_INT, offsetof(wk_concat_opts, axis), 0, NULL, 0,
                                              "joined" } };
static wk_op_def concat_row = { .name = "concat",
                                .doc = "tensors joined along an axis",
                                .n_in = WK_LIST,
                                .n_out = 1,
                                .attrs = concat_attrs,
                                .n_attrs = 1,
                                .attrs_size = sizeof(wk_concat_opts),
                                .dtype = { .same = 1 },
                                .shape = concat_shape,
                                .grad = concat_grad,
                                .cost = wk__cost_move,
                                .samples = concat_samples };
wk_tensor *wk_concat(wk_tensor *const *tensors, int count, int axis) {
    if (count < 1)
        return wk_failed() ? NULL : ((void)wk__bad_argument("concat", WK_INVALID, "no tensors were given"), NULL);
    if (!tensors[0]) return wk_op_run1(&copy_row, NULL, NULL);
    int resolved = wk__axis("concat", tensors[0], axis);
    if (resolved < 0) return NULL;
    const wk_concat_opts opts = { resolved };
    wk_tensor *out[1];
    return wk_op_run(&concat_row, tensors, count, out, &opts) == WK_OK ? out[0] : NULL;
}

wk_op_def *const wk__rows_layout[] = { &copy_row,  &reshape_row,        &permute_row, &expand_row,
                                       &slice_row, &slice_backward_row, &concat_row,  NULL };
