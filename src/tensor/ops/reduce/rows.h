/* rows.h: what the files of this folder share: shapes of what loses axes, and spreading it over them again. */
#ifndef WICK_SRC_TENSOR_REDUCE_ROWS_H
#define WICK_SRC_TENSOR_REDUCE_ROWS_H

#include "tensor/op_attrs.h"
#include "tensor/registry.h"

/* Shape of x with the masked axes of size 1 (keep) or gone. */
static inline void reduced(const wk_tensor *x, uint32_t mask, bool keep, wk_desc *out) {
    out->rank = 0;
    for (int axis = 0; axis < x->rank; axis++) {
        if (!(mask >> axis & 1))
            out->shape[out->rank++] = x->shape[axis];
        else if (keep)
            out->shape[out->rank++] = 1;
    }
}

static inline wk_status reduce_shape(const wk_call *call, wk_desc out[]) {
    const wk_reduce_opts *opts = call->attrs;
    uint32_t mask;
    if (!wk__axes_mask(call, opts->axes, &mask)) return wk_error_code();
    reduced(call->in[0], mask, opts->keep_dims, out);
    out->dtype = (wk_dtype)call->in[0]->dtype;
    return WK_OK;
}

static inline wk_status sum_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(reduce_shape(call, out));
    if (!wk_dtype_is_float(out->dtype)) out->dtype = WK_I64;
    return WK_OK;
}

static inline wk_status extremum_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(reduce_shape(call, out));
    const wk_tensor *x = call->in[0];
    int64_t kept = 1;
    for (int i = 0; i < out->rank; i++) kept *= out->shape[i];
    if (x->count == 0 && kept > 0) return wk_bad_call(call, WK_SHAPE, "an empty axis has no extremum");
    return WK_OK;
}

static inline wk_cost one_per_input(const wk_call *call) {
    return (wk_cost){ (double)call->in[0]->count, wk__operand_bytes(call) };
}

/* A tensor of the reduced shape, spread over the axes again. */
static inline wk_tensor *spread(wk_tensor *reduced_tensor, const wk_tensor *x, wk_dims axes) {
    wk_dims kept = wk__dims(x);
    for (int i = 0; i < axes.rank; i++) kept.size[axes.size[i] < 0 ? axes.size[i] + x->rank : axes.size[i]] = 1;
    for (int i = 0; axes.rank == 0 && i < x->rank; i++) kept.size[i] = 1;
    return wk_expand(wk_reshape(reduced_tensor, kept), wk__dims(x));
}

static inline void reduce_samples(wk_sampler *s) {
    const wk_reduce_opts all = { 0 }, last = { .axes = WK_DIMS(-1) }, first = { .axes = WK_DIMS(0) };
    const wk_reduce_opts two = { .axes = WK_DIMS(0, 2), .keep_dims = true }, images = { .axes = WK_DIMS(0, 2, 3) };
    WK_CASE(s, "all", &all, { .dims = WK_DIMS(3, 4, 5) });
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(7, 33) });
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(33, 7) });
    WK_CASE(s, "keep", &two, { .dims = WK_DIMS(3, 4, 5) });
    WK_CASE(s, "strided", &two, { .dims = WK_DIMS(3, 4, 5), .strided = true });
    WK_CASE(s, "images", &images, { .dims = WK_DIMS(2, 3, 5, 4), .strided = true });
    WK_CASE(s, "one", &all, { .dims = WK_SCALAR });
    WK_CASE(s, "large", &last, { .dims = WK_DIMS(65, 1031) });
    WK_CASE(s, "large first", &first, { .dims = WK_DIMS(1031, 65) });
    const wk_reduce_opts planes = { .axes = WK_DIMS(2, 3) };
    WK_HUGE_CASE(s, "huge", &last, { .dims = WK_DIMS(512, 1024) });
    WK_HUGE_CASE(s, "huge first", &first, { .dims = WK_DIMS(512, 1024) });
    WK_HUGE_CASE(s, "huge all", &all, { .dims = WK_DIMS(512, 1024) });
    WK_HUGE_CASE(s, "huge planes", &planes, { .dims = WK_DIMS(16, 64, 28, 28) });
    WK_HUGE_CASE(s, "huge images", &images, { .dims = WK_DIMS(16, 64, 28, 28) });
    WK_HUGE_CASE(s, "huge short", &last, { .dims = WK_DIMS(16384, 32) });
}

#define REDUCE_ATTRS(type)                                                                       \
    { "axes", WK_ATTR_DIMS, offsetof(type, axes), 0, NULL, 0, "reduced axes; none: all" }, {     \
        "keep_dims", WK_ATTR_BOOL, offsetof(type, keep_dims), 0, NULL, 0, "leave them as size 1" \
    }
#define AXIS_ATTR(type) \
    { "axis", WK_ATTR_OPTIONAL, offsetof(type, axis), 0, NULL, -1, "default the last" }
/* A row of wk_reduce_opts; the file has a table reduce_attrs. */
#define REDUCTION(id, text, dtypes, cast, keep_in, keep_out, shape_rule, rule, cases)   \
    static wk_op_def id##_row = { .name = #id,                                          \
                                  .doc = text,                                          \
                                  .n_in = 1,                                            \
                                  .n_out = 1,                                           \
                                  .saves_in = keep_in,                                  \
                                  .saves_out = keep_out,                                \
                                  .attrs = reduce_attrs,                                \
                                  .n_attrs = 2,                                         \
                                  .attrs_size = sizeof(wk_reduce_opts),                 \
                                  .dtype = { .allowed = { dtypes }, .autocast = cast }, \
                                  .shape = shape_rule,                                  \
                                  .grad = rule,                                         \
                                  .cost = one_per_input,                                \
                                  .samples = cases };                                   \
    wk_tensor *wk_##id(wk_tensor *x, wk_reduce_opts opts) {                             \
        return wk_op_run1(&id##_row, &opts, x);                                         \
    }

/* Outputs of a row, or NULL in both with an error pending: the first is returned. */
static inline wk_tensor *run_two(const wk_op_def *op, const void *attrs, wk_tensor *x, wk_tensor **second) {
    wk_tensor *out[2] = { NULL, NULL };
    wk_status status = wk_op_run(op, (wk_tensor *const[]){ x }, 1, out, attrs);
    if (second) *second = status == WK_OK ? out[1] : NULL;
    return status == WK_OK ? out[0] : NULL;
}
/* What a composite row gives. */
static inline wk_status give(wk_tensor *out[], wk_tensor *y) {
    out[0] = y;
    return y ? WK_OK : wk_error_code();
}

#endif
