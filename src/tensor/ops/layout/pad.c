/* pad.c: elements put around a tensor: a constant, or some of its own. */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

/* ---- a constant ---- */

/* Kernel: a constant around x; neither list has a negative size.  The attributes are pad's. */
static wk_status pad_constant_shape(const wk_call *call, wk_desc out[]) {
    const wk_pad_opts *opts = call->attrs;
    const wk_tensor *x = call->in[0];
    out[0] = wk_desc_row_major((wk_dtype)x->dtype, x->rank, x->shape);
    for (int i = 0; i < opts->before.rank; i++) {
        int64_t *size = &out[0].shape[x->rank - opts->before.rank + i];
        if (__builtin_add_overflow(*size, opts->before.size[i], size)
            || __builtin_add_overflow(*size, opts->after.size[i], size))
            return wk_bad_call(call, WK_SHAPE, "the padded axis %d is too long", x->rank - opts->before.rank + i);
    }
    return WK_OK;
}
static wk_status pad_constant_grad(wk_grad *g) {
    const wk_pad_opts *opts = g->attrs;
    wk_tensor *d = g->dout[0];
    int first = g->in[0]->rank - opts->before.rank;
    for (int i = 0; i < opts->before.rank; i++) {
        int64_t start = opts->before.size[i], size = g->in[0]->shape[first + i];
        if (start || opts->after.size[i]) d = wk_slice(d, first + i, start, start + size, 1);
    }
    g->din[0] = d;
    return WK_OK;
}
static void pad_constant_samples(wk_sampler *s) {
    const wk_pad_opts around = { WK_DIMS(1, 2), WK_DIMS(0, 1), WK_PAD_CONSTANT, 0.5 };
    WK_CASE(s, "around", &around, { .dims = WK_DIMS(2, 3, 4) });
}
static wk_op_def pad_constant_row = { .name = "pad_constant",
                                      .internal = true,
                                      .doc = "a constant around a tensor",
                                      .n_in = 1,
                                      .n_out = 1,
                                      .attrs_size = sizeof(wk_pad_opts),
                                      .zero_sized_runs = true,
                                      .shape = pad_constant_shape,
                                      .grad = pad_constant_grad,
                                      .cost = wk__cost_move,
                                      .samples = pad_constant_samples };

/* ---- its own elements ---- */

/* Kernel: elements of x around x, in every mode but the constant one.  The attributes are pad's; no number is negative,
 * and `edge_fits` along every axis. */
static wk_op_def pad_edges_row;

/* Each axis alone, the last one first: what went out to several places comes back from all. */
static wk_status pad_edges_grad(wk_grad *g) {
    const wk_pad_opts *opts = g->attrs;
    const wk_tensor *x = g->in[0];
    wk_tensor *d = g->dout[0];
    for (int i = opts->before.rank - 1; i >= 0 && d; i--) {
        int axis = x->rank - opts->before.rank + i;
        int64_t before = opts->before.size[i], size = x->shape[axis], total = d->shape[axis];
        if (total == size) continue;
        wk_tensor *index = wk__empty_on(0, WK_I64, WK_DIMS(total));
        for (int64_t k = 0; index && k < total; k++)
            ((int64_t *)index->data)[k] = wk__pad_source(k - before, size, opts->mode);
        wk_dims dims = wk__dims(d);
        dims.size[axis] = size;
        index = wk__placed(index);
        d = index ? wk__rows_added(d, index, axis, dims) : NULL;
    }
    g->din[0] = d;
    return WK_OK;
}
static void pad_edges_samples(wk_sampler *s) {
    const wk_pad_opts reflect = { WK_DIMS(2, 3), WK_DIMS(1, 0), WK_PAD_REFLECT, 0 },
                      first = { WK_DIMS(1, 0, 0), WK_DIMS(2, 0, 0), WK_PAD_CIRCULAR, 0 },
                      replicate = { WK_DIMS(1, 3), WK_DIMS(2, 4), WK_PAD_REPLICATE, 0 };
    WK_CASE(s, "reflect", &reflect, { .dims = WK_DIMS(2, 3, 4), .strided = true });
    WK_CASE(s, "first", &first, { .dims = WK_DIMS(2, 3, 4) });
    WK_CASE(s, "none", &replicate, { .dims = WK_DIMS(0, 3, 4) });
    WK_CASE(s, "large", &replicate, { .dims = WK_DIMS(5, 33, 65) });
}
static wk_op_def pad_edges_row = { .name = "pad_edges",
                                   .internal = true,
                                   .doc = "elements of a tensor around it",
                                   .n_in = 1,
                                   .n_out = 1,
                                   .attrs_size = sizeof(wk_pad_opts),
                                   .shape = pad_constant_shape,
                                   .grad = pad_edges_grad,
                                   .cost = wk__cost_move,
                                   .samples = pad_edges_samples };

/* ---- pad ---- */

static bool edge_fits(const wk_call *call, const wk_tensor *x, int axis, int64_t before, int64_t after, int mode) {
    static const char *const names[] = { "constant", "reflect", "replicate", "circular" };
    int64_t size = x->shape[axis], most = mode == WK_PAD_REFLECT ? size - 1 : size, total;
    bool fits = mode == WK_PAD_REPLICATE ? size > 0 : before <= most && after <= most;
    if (fits && !__builtin_add_overflow(size, before, &total) && !__builtin_add_overflow(total, after, &total))
        return true;
    (void)wk_bad_call(call, WK_SHAPE, "%s padding of %lld and %lld around axis %d of size %lld", names[mode],
                      (long long)before, (long long)after, axis, (long long)size);
    return false;
}

static wk_status pad_parts(const wk_call *call, wk_tensor *out[]) {
    wk_pad_opts opts = *(const wk_pad_opts *)call->attrs;
    wk_tensor *x = call->in[0];
    bool edges = false;
    if (opts.before.rank != opts.after.rank || opts.before.rank > x->rank)
        return wk_bad_call(call, WK_INVALID, "%d numbers before and %d after, for a tensor of rank %d",
                           opts.before.rank, opts.after.rank, x->rank);
    for (int i = 0; i < opts.before.rank && x; i++) {
        int axis = x->rank - opts.before.rank + i;
        int64_t *before = &opts.before.size[i], *after = &opts.after.size[i];
        bool beyond = *before < -x->shape[axis] || *after < -x->shape[axis];
        int64_t start = *before < 0 && !beyond ? -*before : 0;
        int64_t stop = x->shape[axis] + (*after < 0 && !beyond ? *after : 0);
        if (beyond || start > stop)
            return wk_bad_call(call, WK_SHAPE, "more is cut off axis %d than its size %lld", axis,
                               (long long)x->shape[axis]);
        if (*before < 0 || *after < 0) x = wk_slice(x, axis, start, stop, 1);
        if (*before < 0) *before = 0;
        if (*after < 0) *after = 0;
        if (!x || opts.mode == WK_PAD_CONSTANT || (*before == 0 && *after == 0)) continue;
        if (!edge_fits(call, x, axis, *before, *after, opts.mode)) return wk_error_code();
        edges = true;
    }
    out[0] = x && opts.mode == WK_PAD_CONSTANT ? wk_op_run1(&pad_constant_row, &opts, x)
             : x && edges                      ? wk_op_run1(&pad_edges_row, &opts, x)
                                               : x;
    if (out[0] == call->in[0]) out[0] = wk_reshape(x, wk__dims(x));
    return WK_OK;
}
static void pad_samples(wk_sampler *s) {
    const wk_pad_opts one = { WK_DIMS(2), WK_DIMS(1), WK_PAD_CONSTANT, 0 },
                      two = { WK_DIMS(1, 0), WK_DIMS(2, 3), WK_PAD_CONSTANT, 1 },
                      cut = { WK_DIMS(-1, 1), WK_DIMS(1, -2), WK_PAD_CONSTANT, 1 },
                      reflect = { WK_DIMS(1, 2), WK_DIMS(2, 1), WK_PAD_REFLECT, 0 },
                      replicate = { WK_DIMS(3, 0), WK_DIMS(1, 2), WK_PAD_REPLICATE, 0 },
                      circular = { WK_DIMS(1, 2), WK_DIMS(2, 1), WK_PAD_CIRCULAR, 0 };
    WK_CASE(s, "one", &one, { .dims = WK_DIMS(2, 3) });
    WK_CASE(s, "two", &two, { .dims = WK_DIMS(2, 3, 4), .strided = true });
    WK_CASE(s, "cut", &cut, { .dims = WK_DIMS(3, 4) });
    WK_CASE(s, "empty", &one, { .dims = WK_DIMS(2, 0) });
    WK_CASE(s, "reflect", &reflect, { .dims = WK_DIMS(1, 2, 3, 4) });
    WK_CASE(s, "replicate", &replicate, { .dims = WK_DIMS(1, 2, 3, 4) });
    WK_CASE(s, "circular", &circular, { .dims = WK_DIMS(1, 2, 3, 4) });
    WK_HUGE_CASE(s, "huge", &two, { .dims = WK_DIMS(8, 32, 56, 56) });
    WK_HUGE_CASE(s, "huge reflect", &reflect, { .dims = WK_DIMS(8, 32, 56, 56) });
}
static const wk_attr_def pad_attrs[] = {
    { "before", WK_ATTR_DIMS, offsetof(wk_pad_opts, before), 0, NULL, 0, "elements before each of the last axes" },
    { "after", WK_ATTR_DIMS, offsetof(wk_pad_opts, after), 0, NULL, 0, "elements behind" },
    { "mode", WK_ATTR_ENUM, offsetof(wk_pad_opts, mode), 0, "constant|reflect|replicate|circular", 0,
      "what comes there" },
    { "value", WK_ATTR_FLOAT, offsetof(wk_pad_opts, value), 0, NULL, 0, "of the constant" },
};
static wk_op_def pad_row = { .name = "pad",
                             .doc = "elements put around a tensor",
                             .n_in = 1,
                             .n_out = 1,
                             .composite = true,
                             .attrs = pad_attrs,
                             .n_attrs = (int)(sizeof pad_attrs / sizeof pad_attrs[0]),
                             .attrs_size = sizeof(wk_pad_opts),
                             .decompose = pad_parts,
                             .cost = wk__cost_move,
                             .samples = pad_samples };
wk_tensor *wk_pad(wk_tensor *x, wk_pad_opts opts) {
    return wk_op_run1(&pad_row, &opts, x);
}

wk_op_def *const wk__rows_pad[] = { &pad_constant_row, &pad_edges_row, &pad_row, NULL };
