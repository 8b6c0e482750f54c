/* arrange.c: the same elements elsewhere: flip, roll, repeat, pixel shuffle, triangles. */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#define COMPOSITE(id, text, inputs, optional, type)                                           \
    static wk_op_def id##_row = { .name = #id,                                                \
                                  .doc = text,                                                \
                                  .n_in = inputs,                                             \
                                  .optional_in = optional,                                    \
                                  .n_out = 1,                                                 \
                                  .composite = true,                                          \
                                  .attrs = id##_attrs,                                        \
                                  .n_attrs = (int)(sizeof id##_attrs / sizeof id##_attrs[0]), \
                                  .attrs_size = sizeof(type),                                 \
                                  .decompose = id##_parts,                                    \
                                  .cost = wk__cost_move,                                      \
                                  .samples = id##_samples }

/* ---- flip ---- */

static wk_status flip_shape(const wk_call *call, wk_desc out[]) {
    uint32_t mask;
    if (!wk__axes_mask(call, ((const wk_flip_opts *)call->attrs)->axes, &mask)) return wk_error_code();
    out[0] = wk_desc_row_major((wk_dtype)call->in[0]->dtype, call->in[0]->rank, call->in[0]->shape);
    return WK_OK;
}
static wk_status flip_grad(wk_grad *g) {
    g->din[0] = wk_flip(g->dout[0], *(const wk_flip_opts *)g->attrs);
    return WK_OK;
}
static void flip_samples(wk_sampler *s) {
    const wk_flip_opts all = { 0 }, last = { WK_DIMS(-1) }, two = { WK_DIMS(0, 2) };
    WK_CASE(s, "all", &all, { .dims = WK_DIMS(3, 4) });
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(3, 5), .strided = true });
    WK_CASE(s, "two", &two, { .dims = WK_DIMS(2, 3, 4) });
    WK_CASE(s, "empty", &all, { .dims = WK_DIMS(0, 4) });
    WK_CASE(s, "large", &last, { .dims = WK_DIMS(129, 257) });
    WK_HUGE_CASE(s, "huge", &last, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def flip_attrs[] = { { "axes", WK_ATTR_DIMS, offsetof(wk_flip_opts, axes), 0, NULL, 0,
                                            "reversed; none: all" } };
static wk_op_def flip_row = { .name = "flip",
                              .doc = "axes in reverse order",
                              .n_in = 1,
                              .n_out = 1,
                              .attrs = flip_attrs,
                              .n_attrs = 1,
                              .attrs_size = sizeof(wk_flip_opts),
                              .shape = flip_shape,
                              .grad = flip_grad,
                              .cost = wk__cost_move,
                              .samples = flip_samples };
wk_tensor *wk_flip(wk_tensor *x, wk_flip_opts opts) {
    return wk_op_run1(&flip_row, &opts, x);
}

/* ---- roll ---- */

/* Kernel: `shifts` has a number for each axis, at least 0 and less than its size (or 0). */
static wk_status roll_axes_shape(const wk_call *call, wk_desc out[]) {
    out[0] = wk_desc_row_major((wk_dtype)call->in[0]->dtype, call->in[0]->rank, call->in[0]->shape);
    return WK_OK;
}
static wk_status roll_axes_grad(wk_grad *g);
static void roll_axes_samples(wk_sampler *s) {
    const wk_roll_opts all = { .shifts = WK_DIMS(1, 2, 3) }, middle = { .shifts = WK_DIMS(0, 1, 0) };
    WK_CASE(s, "all", &all, { .dims = WK_DIMS(2, 3, 4) });
    WK_CASE(s, "middle", &middle, { .dims = WK_DIMS(2, 3, 4), .strided = true });
    WK_CASE(s, "large", &all, { .dims = WK_DIMS(3, 65, 130) });
}
static wk_op_def roll_axes_row = { .name = "roll_axes",
                                   .internal = true,
                                   .doc = "elements moved along each axis and round",
                                   .n_in = 1,
                                   .n_out = 1,
                                   .attrs_size = sizeof(wk_roll_opts),
                                   .shape = roll_axes_shape,
                                   .grad = roll_axes_grad,
                                   .cost = wk__cost_move,
                                   .samples = roll_axes_samples };
/* The same way on until all are back where they were. */
static wk_status roll_axes_grad(wk_grad *g) {
    wk_roll_opts opts = *(const wk_roll_opts *)g->attrs;
    for (int i = 0; i < opts.shifts.rank; i++)
        if (opts.shifts.size[i]) opts.shifts.size[i] = g->in[0]->shape[i] - opts.shifts.size[i];
    g->din[0] = wk_op_run1(&roll_axes_row, &opts, g->dout[0]);
    return WK_OK;
}

/* `shift` more along an axis. */
static void roll_on(wk_roll_opts *by, const wk_tensor *x, int axis, int64_t shift) {
    int64_t size = x->shape[axis], *sum = &by->shifts.size[axis];
    if (size == 0) return;
    shift %= size;
    if (shift < 0) shift += size;
    *sum = *sum < size - shift ? *sum + shift : *sum - (size - shift);
}
static wk_tensor *rolled(wk_tensor *x, const wk_roll_opts *by) {
    for (int i = 0; i < by->shifts.rank; i++)
        if (by->shifts.size[i]) return wk_op_run1(&roll_axes_row, by, x);
    return wk_reshape(x, wk__dims(x));
}

static wk_status roll_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_roll_opts *opts = call->attrs;
    wk_tensor *x = call->in[0];
    if (opts->axes.rank == 0 && opts->shifts.rank == 1) {
        wk_tensor *flat = wk_reshape(x, WK_DIMS(x->count));
        wk_roll_opts by = { .shifts = { .rank = 1 } };
        if (flat) roll_on(&by, flat, 0, opts->shifts.size[0]);
        out[0] = flat ? wk_reshape(rolled(flat, &by), wk__dims(x)) : NULL;
        return WK_OK;
    }
    if (opts->axes.rank != opts->shifts.rank)
        return wk_bad_call(call, WK_INVALID, "%d shifts for %d axes", opts->shifts.rank, opts->axes.rank);
    wk_roll_opts by = { .shifts = { .rank = x->rank } };
    for (int i = 0; i < opts->axes.rank; i++) {
        int axis = wk__axis("roll", x, opts->axes.size[i]);
        if (axis < 0) return wk_error_code();
        roll_on(&by, x, axis, opts->shifts.size[i]);
    }
    out[0] = rolled(x, &by);
    return WK_OK;
}
static void roll_samples(wk_sampler *s) {
    const wk_roll_opts flat = { WK_DIMS(2), { 0 } }, two = { WK_DIMS(1, -2), WK_DIMS(0, -1) },
                       full = { WK_DIMS(4), WK_DIMS(1) };
    WK_CASE(s, "flat", &flat, { .dims = WK_DIMS(3, 4) });
    WK_CASE(s, "two", &two, { .dims = WK_DIMS(3, 5), .strided = true });
    WK_CASE(s, "full", &full, { .dims = WK_DIMS(3, 4) });
    WK_CASE(s, "empty", &two, { .dims = WK_DIMS(0, 4) });
    WK_HUGE_CASE(s, "huge", &two, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def roll_attrs[] = {
    { "shifts", WK_ATTR_DIMS, offsetof(wk_roll_opts, shifts), 0, NULL, 0, "how far" },
    { "axes", WK_ATTR_DIMS, offsetof(wk_roll_opts, axes), 0, NULL, 0, "along which; none: the flattened tensor" },
};
COMPOSITE(roll, "elements moved along axes and round", 1, 0, wk_roll_opts);
wk_tensor *wk_roll(wk_tensor *x, wk_roll_opts opts) {
    return wk_op_run1(&roll_row, &opts, x);
}

/* ---- repeat ---- */

/* One axis after the other, the first ones first, while the tensor is still small. */
static wk_tensor *repeat_axis(wk_tensor *x, int axis, int64_t times) {
    if (!x || times == 1) return x;
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < axis; i++) outer *= x->shape[i];
    for (int i = axis; i < x->rank; i++) inner *= x->shape[i];
    wk_dims dims = wk__dims(x);
    if (__builtin_mul_overflow(dims.size[axis], times, &dims.size[axis]))
        return (void)wk__bad_argument("repeat", WK_SHAPE, "axis %d times %lld", axis, (long long)times), NULL;
    wk_tensor *spread = wk_expand(wk_reshape(x, WK_DIMS(outer, 1, inner)), WK_DIMS(outer, times, inner));
    return wk_reshape(spread, dims);
}

static wk_status repeat_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_dims *times = &((const wk_repeat_opts *)call->attrs)->times;
    wk_tensor *x = call->in[0];
    if (times->rank < x->rank || times->rank > WK_MAX_RANK)
        return wk_bad_call(call, WK_INVALID, "%d numbers for a tensor of rank %d", times->rank, x->rank);
    for (int i = 0; i < times->rank; i++)
        if (times->size[i] < 0)
            return wk_bad_call(call, WK_INVALID, "axis %d times %lld", i, (long long)times->size[i]);
    wk_dims dims = { .rank = times->rank };
    for (int i = 0; i < dims.rank; i++) {
        int own = i - (dims.rank - x->rank);
        dims.size[i] = own < 0 ? 1 : x->shape[own];
    }
    x = wk_reshape(x, dims);
    for (int i = 0; i < dims.rank; i++) x = repeat_axis(x, i, times->size[i]);
    out[0] = x;
    return WK_OK;
}
static void repeat_samples(wk_sampler *s) {
    const wk_repeat_opts rows = { WK_DIMS(2, 1) }, both = { WK_DIMS(2, 3, 2) }, none = { WK_DIMS(0, 2) };
    WK_CASE(s, "rows", &rows, { .dims = WK_DIMS(3, 4) });
    WK_CASE(s, "both", &both, { .dims = WK_DIMS(2, 3), .strided = true });
    WK_CASE(s, "none", &none, { .dims = WK_DIMS(2, 3) });
    WK_HUGE_CASE(s, "huge", &rows, { .dims = WK_DIMS(512, 1024) });
}
static const wk_attr_def repeat_attrs[] = { { "times", WK_ATTR_DIMS, offsetof(wk_repeat_opts, times), 0, NULL, 0,
                                              "along each axis, counted from the last" } };
COMPOSITE(repeat, "the tensor side by side", 1, 0, wk_repeat_opts);
wk_tensor *wk_repeat(wk_tensor *x, wk_dims times) {
    const wk_repeat_opts opts = { times };
    return wk_op_run1(&repeat_row, &opts, x);
}

/* ---- repeat_interleave ---- */

/* Position i of the axis, repeats[i] times: an index as long as the sum, which depends on values. */
static wk_tensor *repeated_positions(const wk_call *call, wk_tensor *repeats, int64_t size) {
    char text[160];
    if (repeats->rank != 1 || repeats->shape[0] != size)
        return (void)wk_bad_call(call, WK_SHAPE, "repeats is %s, expected (%lld)",
                                 wk_describe(repeats, text, sizeof text), (long long)size),
               NULL;
    const int64_t *times = wk_data(wk__on_host(wk_contiguous(repeats)));
    int64_t total = 0;
    for (int64_t i = 0; times && i < size; i++)
        if (times[i] < 0 || __builtin_add_overflow(total, times[i], &total))
            return (void)wk_bad_call(call, WK_INVALID, "repeats[%lld] is %lld", (long long)i, (long long)times[i]),
                   NULL;
    wk_tensor *index = times ? wk__empty_on(0, WK_I64, WK_DIMS(total)) : NULL;
    int64_t *at = index ? index->data : NULL;
    for (int64_t i = 0; at && i < size; i++)
        for (int64_t k = 0; k < times[i]; k++) *at++ = i;
    return wk__placed(index);
}

static wk_status repeat_interleave_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_repeat_interleave_opts *opts = call->attrs;
    wk_tensor *x = call->in[0];
    if (!opts->axis.is_set) x = wk_reshape(x, WK_DIMS(x->count));
    int axis = x ? wk__axis("repeat_interleave", x, (int64_t)wk_optional_or(opts->axis, 0)) : -1;
    if (axis < 0) return wk_error_code();
    if (call->in[1]) {
        wk_tensor *positions = repeated_positions(call, call->in[1], x->shape[axis]);
        out[0] = positions ? wk_index_select(x, positions, axis) : NULL;
        return WK_OK;
    }
    if (opts->repeats < 0) return wk_bad_call(call, WK_INVALID, "repeats is %lld", (long long)opts->repeats);
    wk_dims dims = wk__dims(x);
    int64_t outer = 1, inner = 1;
    for (int i = 0; i <= axis; i++) outer *= x->shape[i];
    for (int i = axis + 1; i < x->rank; i++) inner *= x->shape[i];
    if (__builtin_mul_overflow(dims.size[axis], opts->repeats, &dims.size[axis]))
        return wk_bad_call(call, WK_SHAPE, "axis %d times %lld", axis, (long long)opts->repeats);
    wk_tensor *spread = wk_expand(wk_reshape(x, WK_DIMS(outer, 1, inner)), WK_DIMS(outer, opts->repeats, inner));
    out[0] = wk_reshape(spread, dims);
    return WK_OK;
}
static void repeat_interleave_samples(wk_sampler *s) {
    const wk_repeat_interleave_opts flat = { 2, { 0 } }, rows = { 3, WK_SET(0) }, own = { 0, WK_SET(1) };
    WK_CASE(s, "flat", &flat, { .dims = WK_DIMS(2, 3) }, { .kind = WK_SAMPLE_ABSENT });
    WK_CASE(s, "rows", &rows, { .dims = WK_DIMS(2, 3), .strided = true }, { .kind = WK_SAMPLE_ABSENT });
    WK_CASE(s, "own", &own, { .dims = WK_DIMS(2, 5) }, { .dims = WK_DIMS(5), .kind = WK_SAMPLE_INDEX, .high = 3 });
    WK_HUGE_CASE(s, "huge", &rows, { .dims = WK_DIMS(512, 1024) }, { .kind = WK_SAMPLE_ABSENT });
}
static const wk_attr_def repeat_interleave_attrs[] = {
    { "repeats", WK_ATTR_INT, offsetof(wk_repeat_interleave_opts, repeats), 0, NULL, 0, "of each element" },
    { "axis", WK_ATTR_OPTIONAL, offsetof(wk_repeat_interleave_opts, axis), 0, NULL, 0,
      "default: the flattened tensor" },
};
static wk_op_def repeat_interleave_row = { .name = "repeat_interleave",
                                           .doc = "each element several times in a row",
                                           .n_in = 2,
                                           .optional_in = 2,
                                           .n_out = 1,
                                           .composite = true,
                                           .data_dependent = true,
                                           .attrs = repeat_interleave_attrs,
                                           .n_attrs = 2,
                                           .attrs_size = sizeof(wk_repeat_interleave_opts),
                                           .dtype = { .allowed = { 0, WK_SET_OF(WK_I64) } },
                                           .decompose = repeat_interleave_parts,
                                           .cost = wk__cost_move,
                                           .samples = repeat_interleave_samples };
wk_tensor *wk_repeat_interleave(wk_tensor *x, wk_tensor *repeats, wk_repeat_interleave_opts opts) {
    return wk_op_run2(&repeat_interleave_row, &opts, x, repeats);
}

/* ---- pixel shuffle ---- */

static wk_status shuffle(const wk_call *call, wk_tensor *out[], bool back) {
    int64_t f = ((const wk_shuffle_opts *)call->attrs)->factor;
    wk_tensor *x = call->in[0];
    char text[160];
    bool fits = x->rank >= 3 && f >= 1 && f < 1 << 15;
    int64_t c = fits ? x->shape[x->rank - 3] : 0, h = fits ? x->shape[x->rank - 2] : 0,
            w = fits ? x->shape[x->rank - 1] : 0;
    if (!fits || (back ? h % f || w % f : c % (f * f)))
        return wk_bad_call(call, WK_SHAPE, "x is %s, factor %lld: expected (…, %s)", wk_describe(x, text, sizeof text),
                           (long long)f, back ? "C, H · factor, W · factor" : "C · factor², H, W");
    int64_t outer = 1;
    for (int i = 0; i < x->rank - 3; i++) outer *= x->shape[i];
    wk_dims dims = wk__dims(x);
    int64_t *size = &dims.size[x->rank - 3];
    wk_tensor *moved;
    if (back) {
        moved = wk_permute(wk_reshape(x, WK_DIMS(outer, c, h / f, f, w / f, f)), WK_DIMS(0, 1, 3, 5, 2, 4));
        size[0] = c * f * f, size[1] = h / f, size[2] = w / f;
    } else {
        moved = wk_permute(wk_reshape(x, WK_DIMS(outer, c / (f * f), f, f, h, w)), WK_DIMS(0, 1, 4, 2, 5, 3));
        size[0] = c / (f * f), size[1] = h * f, size[2] = w * f;
    }
    out[0] = wk_reshape(moved, dims);
    return WK_OK;
}
static wk_status pixel_shuffle_parts(const wk_call *call, wk_tensor *out[]) {
    return shuffle(call, out, false);
}
static wk_status pixel_unshuffle_parts(const wk_call *call, wk_tensor *out[]) {
    return shuffle(call, out, true);
}
static void pixel_shuffle_samples(wk_sampler *s) {
    const wk_shuffle_opts two = { 2 }, three = { 3 };
    WK_CASE(s, "two", &two, { .dims = WK_DIMS(2, 8, 3, 2) });
    WK_CASE(s, "three", &three, { .dims = WK_DIMS(9, 2, 2), .strided = true });
    WK_HUGE_CASE(s, "huge", &two, { .dims = WK_DIMS(8, 32, 56, 56) });
}
static void pixel_unshuffle_samples(wk_sampler *s) {
    const wk_shuffle_opts two = { 2 }, three = { 3 };
    WK_CASE(s, "two", &two, { .dims = WK_DIMS(2, 2, 4, 6) });
    WK_CASE(s, "three", &three, { .dims = WK_DIMS(1, 3, 6), .strided = true });
    WK_HUGE_CASE(s, "huge", &two, { .dims = WK_DIMS(8, 32, 56, 56) });
}
static const wk_attr_def pixel_shuffle_attrs[] = { { "factor", WK_ATTR_INT, offsetof(wk_shuffle_opts, factor), 0, NULL,
                                                     0, "of height and width" } };
static const wk_attr_def pixel_unshuffle_attrs[] = { { "factor", WK_ATTR_INT, offsetof(wk_shuffle_opts, factor), 0,
                                                       NULL, 0, "of height and width" } };
COMPOSITE(pixel_shuffle, "channels made pixels", 1, 0, wk_shuffle_opts);
COMPOSITE(pixel_unshuffle, "pixels made channels", 1, 0, wk_shuffle_opts);
wk_tensor *wk_pixel_shuffle(wk_tensor *x, int factor) {
    const wk_shuffle_opts opts = { factor };
    return wk_op_run1(&pixel_shuffle_row, &opts, x);
}
wk_tensor *wk_pixel_unshuffle(wk_tensor *x, int factor) {
    const wk_shuffle_opts opts = { factor };
    return wk_op_run1(&pixel_unshuffle_row, &opts, x);
}

/* ---- triangles ---- */

static wk_status triangle(const wk_call *call, wk_tensor *out[], bool lower) {
    int64_t diagonal = ((const wk_triangle_opts *)call->attrs)->diagonal;
    wk_tensor *x = call->in[0];
    if (x->rank < 2) return wk_bad_call(call, WK_SHAPE, "x has rank %d, expected at least 2", x->rank);
    int64_t rows = x->shape[x->rank - 2], columns = x->shape[x->rank - 1];
    wk_tensor *edge =
        wk_add(wk_reshape(wk_arange(rows), WK_DIMS(rows, 1)), wk_full(WK_I64, WK_SCALAR, (double)diagonal));
    wk_tensor *column = wk_arange(columns);
    wk_tensor *keep = lower ? wk_le(column, edge) : wk_ge(column, edge);
    out[0] = wk_where(keep, x, wk_zeros((wk_dtype)x->dtype, WK_SCALAR));
    return WK_OK;
}
static wk_status tril_parts(const wk_call *call, wk_tensor *out[]) {
    return triangle(call, out, true);
}
static wk_status triu_parts(const wk_call *call, wk_tensor *out[]) {
    return triangle(call, out, false);
}
static void tril_samples(wk_sampler *s) {
    const wk_triangle_opts main_one = { 0 }, above = { 1 }, below = { -2 };
    WK_CASE(s, "main", &main_one, { .dims = WK_DIMS(4, 5) });
    WK_CASE(s, "above", &above, { .dims = WK_DIMS(2, 4, 3), .strided = true });
    WK_CASE(s, "below", &below, { .dims = WK_DIMS(5, 4) });
    WK_CASE(s, "empty", &main_one, { .dims = WK_DIMS(0, 4) });
    WK_CASE(s, "large", &main_one, { .dims = WK_DIMS(129, 257) });
    WK_HUGE_CASE(s, "huge", &main_one, { .dims = WK_DIMS(512, 1024) });
}
#define triu_samples tril_samples
static const wk_attr_def tril_attrs[] = { { "diagonal", WK_ATTR_INT, offsetof(wk_triangle_opts, diagonal), 0, NULL, 0,
                                            "above the main one" } };
#define triu_attrs tril_attrs
COMPOSITE(tril, "zeros above a diagonal", 1, 0, wk_triangle_opts);
COMPOSITE(triu, "zeros below a diagonal", 1, 0, wk_triangle_opts);
wk_tensor *wk_tril(wk_tensor *x, wk_triangle_opts opts) {
    return wk_op_run1(&tril_row, &opts, x);
}
wk_tensor *wk_triu(wk_tensor *x, wk_triangle_opts opts) {
    return wk_op_run1(&triu_row, &opts, x);
}

wk_op_def *const wk__rows_arrange[] = { &flip_row,
                                        &roll_row,
                                        &roll_axes_row,
                                        &repeat_row,
                                        &repeat_interleave_row,
                                        &pixel_shuffle_row,
                                        &pixel_unshuffle_row,
                                        &tril_row,
                                        &triu_row,
                                        NULL };
