/* fft.c: discrete Fourier transforms.
 *
 * Three rows of one axis have kernels; what users call are composites of them, an axis after the other.  A transform is
 * linear and its matrix symmetric, so its gradient is the transform in the other direction with the same factor.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/registry.h"

#include <math.h>

#define FULL_PRECISION (WK_SET_OF(WK_F32) | WK_SET_OF(WK_F64))

/* 5 n log2 n operations for complex lines, as is usual to count (Frigo and Johnson 2005); half as many for real ones.
 */
static wk_cost transform_cost(const wk_call *call, const wk_tensor *real, double factor) {
    const wk_fft_axis_attrs *attrs = call->attrs;
    const double n = (double)real->shape[attrs->axis];
    return (wk_cost){ factor * (double)real->count * (n > 1 ? log2(n) : 1), wk__operand_bytes(call) };
}
static wk_cost fft_axis_cost(const wk_call *call) {
    return transform_cost(call, call->in[0], 2.5);
}
static wk_cost rfft_axis_cost(const wk_call *call) {
    return transform_cost(call, call->in[0], 2.5);
}
static wk_cost irfft_axis_cost(const wk_call *call) {
    return transform_cost(call, call->out[0], 2.5);
}

/* ---- one axis ---- */

static wk_status check_length(const wk_call *call, int64_t n) {
    const int64_t axis = ((const wk_fft_axis_attrs *)call->attrs)->axis, longest = INT64_C(1) << 30;
    if (n >= 1 && n <= longest) return WK_OK;
    return wk_bad_call(call, WK_SHAPE, "axis %lld has %lld elements, expected 1 to %lld", (long long)axis, (long long)n,
                       (long long)longest);
}
static wk_status check_pairs(const wk_call *call) {
    const wk_tensor *x = call->in[0];
    const int64_t axis = ((const wk_fft_axis_attrs *)call->attrs)->axis;
    char text[160];
    if (x->rank >= 2 && x->shape[x->rank - 1] == 2 && axis >= 0 && axis < x->rank - 1) return WK_OK;
    return wk_bad_call(call, WK_SHAPE, "x is %s, expected complex numbers (…, 2) with an axis %lld",
                       wk_describe(x, text, sizeof text), (long long)axis);
}

static wk_status fft_axis_shape(const wk_call *call, wk_desc out[]) {
    WK_TRY(check_pairs(call));
    WK_TRY(check_length(call, call->in[0]->shape[((const wk_fft_axis_attrs *)call->attrs)->axis]));
    out[0] = wk_desc_row_major((wk_dtype)call->in[0]->dtype, call->in[0]->rank, call->in[0]->shape);
    return WK_OK;
}
static wk_status rfft_axis_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0];
    const int64_t axis = ((const wk_fft_axis_attrs *)call->attrs)->axis;
    char text[160];
    if (axis < 0 || axis >= x->rank || x->rank == WK_MAX_RANK)
        return wk_bad_call(call, WK_SHAPE, "x is %s, expected an axis %lld and a rank below %d",
                           wk_describe(x, text, sizeof text), (long long)axis, WK_MAX_RANK);
    WK_TRY(check_length(call, x->shape[axis]));
    wk_dims dims = wk__dims(x);
    dims.size[axis] = dims.size[axis] / 2 + 1;
    dims.size[dims.rank++] = 2;
    out[0] = wk_desc_row_major((wk_dtype)x->dtype, dims.rank, dims.size);
    return WK_OK;
}
static wk_status irfft_axis_shape(const wk_call *call, wk_desc out[]) {
    const wk_fft_axis_attrs *attrs = call->attrs;
    const wk_tensor *x = call->in[0];
    WK_TRY(check_pairs(call));
    WK_TRY(check_length(call, attrs->n));
    if (x->shape[attrs->axis] != attrs->n / 2 + 1)
        return wk_bad_call(call, WK_SHAPE, "axis %lld has %lld elements, expected %lld for a result of %lld",
                           (long long)attrs->axis, (long long)x->shape[attrs->axis], (long long)(attrs->n / 2 + 1),
                           (long long)attrs->n);
    wk_dims dims = wk__dims(x);
    dims.size[attrs->axis] = attrs->n;
    out[0] = wk_desc_row_major((wk_dtype)x->dtype, --dims.rank, dims.size);
    return WK_OK;
}

static wk_op_def fft_axis_row, rfft_axis_row, irfft_axis_row;

static wk_status fft_axis_grad(wk_grad *g) {
    wk_fft_axis_attrs back = *(const wk_fft_axis_attrs *)g->attrs;
    back.inverse = !back.inverse;
    g->din[0] = wk_op_run1(&fft_axis_row, &back, g->dout[0]);
    return WK_OK;
}

/* The inner numbers of a half line stand for their conjugates too: they count half on the way back, and twice again
 * on the way there. */
static wk_status rfft_axis_grad(wk_grad *g) {
    wk_fft_axis_attrs back = *(const wk_fft_axis_attrs *)g->attrs;
    back.n = g->in[0]->shape[back.axis];
    back.inner = WK_SET(0.5 * wk_optional_or(back.inner, 1));
    g->din[0] = wk_op_run1(&irfft_axis_row, &back, g->dout[0]);
    return WK_OK;
}
static wk_status irfft_axis_grad(wk_grad *g) {
    wk_fft_axis_attrs there = *(const wk_fft_axis_attrs *)g->attrs;
    there.inner = WK_SET(2 * wk_optional_or(there.inner, 1));
    g->din[0] = wk_op_run1(&rfft_axis_row, &there, g->dout[0]);
    return WK_OK;
}

static void fft_axis_samples(wk_sampler *s) {
    const wk_fft_axis_attrs back = { .axis = 0, .inverse = true, .scale = WK_FFT_BY_LENGTH };
    const wk_fft_axis_attrs first = { .axis = 0 }, middle = { .axis = 1, .scale = WK_FFT_BY_ROOT };
    WK_CASE(s, "four", &first, { .dims = WK_DIMS(4, 2) });
    WK_CASE(s, "thirty", &back, { .dims = WK_DIMS(30, 2) });
    WK_CASE(s, "lines", &middle, { .dims = WK_DIMS(3, 8, 2, 2), .strided = true });
    WK_CASE(s, "large prime factor", &first, { .dims = WK_DIMS(58, 2) });
    WK_CASE(s, "no lines", &middle, { .dims = WK_DIMS(0, 8, 2) });
    WK_CASE(s, "large", &middle, { .dims = WK_DIMS(37, 896, 2) });
}
static void rfft_axis_samples(wk_sampler *s) {
    const wk_fft_axis_attrs first = { .axis = 0 }, last = { .axis = 1, .scale = WK_FFT_BY_ROOT };
    const wk_fft_axis_attrs weighed = { .axis = 0, .inner = WK_SET(3) };
    WK_CASE(s, "inner", &weighed, { .dims = WK_DIMS(6) });
    WK_CASE(s, "inner of an odd line", &weighed, { .dims = WK_DIMS(5, 2) });
    WK_CASE(s, "odd", &first, { .dims = WK_DIMS(15) });
    WK_CASE(s, "even", &last, { .dims = WK_DIMS(3, 14), .strided = true });
    WK_CASE(s, "one", &first, { .dims = WK_DIMS(1) });
    WK_CASE(s, "two", &first, { .dims = WK_DIMS(2, 3) });
}
static void irfft_axis_samples(wk_sampler *s) {
    const wk_fft_axis_attrs odd = { .axis = 0, .n = 15 }, even = { .axis = 1, .n = 14, .scale = WK_FFT_BY_LENGTH };
    const wk_fft_axis_attrs one = { .axis = 0, .n = 1 }, two = { .axis = 0, .n = 2 };
    const wk_fft_axis_attrs weighed = { .axis = 0, .n = 6, .inner = WK_SET(3) };
    const wk_fft_axis_attrs weighed_odd = { .axis = 0, .n = 5, .inner = WK_SET(3) };
    WK_CASE(s, "inner", &weighed, { .dims = WK_DIMS(4, 2) });
    WK_CASE(s, "inner of an odd line", &weighed_odd, { .dims = WK_DIMS(3, 2, 2) });
    WK_CASE(s, "odd", &odd, { .dims = WK_DIMS(8, 2) });
    WK_CASE(s, "even", &even, { .dims = WK_DIMS(3, 8, 2), .strided = true });
    WK_CASE(s, "one", &one, { .dims = WK_DIMS(1, 2) });
    WK_CASE(s, "two", &two, { .dims = WK_DIMS(2, 3, 2) });
}

static const wk_attr_def axis_attrs[] = {
    { "axis", WK_ATTR_INT, offsetof(wk_fft_axis_attrs, axis), 0, NULL, 0, "transformed, from 0" },
    { "n", WK_ATTR_INT, offsetof(wk_fft_axis_attrs, n), 0, NULL, 0, "length of the real line" },
    { "inverse", WK_ATTR_BOOL, offsetof(wk_fft_axis_attrs, inverse), 0, NULL, 0, "the other direction" },
    { "scale", WK_ATTR_ENUM, offsetof(wk_fft_axis_attrs, scale), 0, "one|root|length", 0,
      "what results are divided by" },
    { "inner", WK_ATTR_OPTIONAL, offsetof(wk_fft_axis_attrs, inner), 0, NULL, 1, "factor of all but the ends" },
};
#define AXIS_ROW(id, text)                                                    \
    static wk_op_def id##_row = { .name = #id,                                \
                                  .internal = true,                           \
                                  .doc = text,                                \
                                  .n_in = 1,                                  \
                                  .n_out = 1,                                 \
                                  .attrs = axis_attrs,                        \
                                  .n_attrs = 5,                               \
                                  .attrs_size = sizeof(wk_fft_axis_attrs),    \
                                  .dtype = { .allowed = { FULL_PRECISION } }, \
                                  .shape = id##_shape,                        \
                                  .grad = id##_grad,                          \
                                  .cost = id##_cost,                          \
                                  .samples = id##_samples }
AXIS_ROW(fft_axis, "complex lines transformed");
AXIS_ROW(rfft_axis, "real lines transformed, half of the result");
AXIS_ROW(irfft_axis, "half a spectrum back to real lines");

/* ---- several axes ---- */

typedef struct plan {
    int axis[WK_MAX_RANK], count;
    int64_t size[WK_MAX_RANK]; /* 0: as it is */
    int scale;
} plan;

/* rank: of the complex tensor, without the pairs */
static wk_status plan_of(const wk_call *call, int rank, bool inverse, plan *p) {
    const wk_fft_opts *opts = call->attrs;
    uint32_t seen = 0;
    *p = (plan){ .count = opts->axes.rank ? opts->axes.rank : 1 };
    if (opts->axes.rank < 0 || p->count > rank || rank < 1)
        return wk_bad_call(call, WK_SHAPE, "%d axes of a complex tensor of rank %d", p->count, rank);
    if (opts->sizes.rank != 0 && opts->sizes.rank != p->count)
        return wk_bad_call(call, WK_INVALID, "%d sizes for %d axes", opts->sizes.rank, p->count);
    for (int i = 0; i < p->count; i++) {
        const int64_t wanted = opts->axes.rank ? opts->axes.size[i] : -1, axis = wanted < 0 ? wanted + rank : wanted;
        if (axis < 0 || axis >= rank || seen >> axis & 1)
            return wk_bad_call(call, WK_INVALID, "axis %lld of a complex tensor of rank %d%s", (long long)wanted, rank,
                               axis < 0 || axis >= rank ? "" : " is named twice");
        seen |= 1u << axis;
        p->axis[i] = (int)axis;
        p->size[i] = opts->sizes.rank ? opts->sizes.size[i] : 0;
        if (p->size[i] < 0 || (opts->sizes.rank && p->size[i] == 0))
            return wk_bad_call(call, WK_INVALID, "size %lld, expected at least 1", (long long)p->size[i]);
    }
    p->scale = opts->norm == WK_FFT_NORM_ORTHO                   ? WK_FFT_BY_ROOT
               : (opts->norm == WK_FFT_NORM_FORWARD) == !inverse ? WK_FFT_BY_LENGTH
                                                                 : WK_FFT_BY_ONE;
    return WK_OK;
}

/* Cut, or continued with zeros. */
static wk_tensor *resized(wk_tensor *x, int axis, int64_t size) {
    if (!x || size == 0 || size == x->shape[axis]) return x;
    if (size < x->shape[axis]) return wk_slice(x, axis, 0, size, 1);
    wk_pad_opts more = { .mode = WK_PAD_CONSTANT };
    more.before.rank = more.after.rank = x->rank - axis;
    more.after.size[0] = size - x->shape[axis];
    return wk_pad(x, more);
}

static wk_tensor *along_pairs(wk_tensor *x, const plan *p, int i, bool inverse) {
    const wk_fft_axis_attrs attrs = { .axis = p->axis[i], .inverse = inverse, .scale = p->scale };
    return wk_op_run1(&fft_axis_row, &attrs, resized(x, p->axis[i], p->size[i]));
}

static wk_status pairs_parts(const wk_call *call, bool inverse, wk_tensor *out[]) {
    wk_tensor *x = call->in[0];
    char text[160];
    plan p;
    if (x->rank < 1 || x->shape[x->rank - 1] != 2)
        return wk_bad_call(call, WK_SHAPE, "x is %s, expected complex numbers (…, 2)",
                           wk_describe(x, text, sizeof text));
    WK_TRY(plan_of(call, x->rank - 1, inverse, &p));
    for (int i = p.count - 1; i >= 0; i--) x = along_pairs(x, &p, i, inverse);
    out[0] = x;
    return WK_OK;
}
static wk_status fft_parts(const wk_call *call, wk_tensor *out[]) {
    return pairs_parts(call, false, out);
}
static wk_status ifft_parts(const wk_call *call, wk_tensor *out[]) {
    return pairs_parts(call, true, out);
}
static wk_status rfft_parts(const wk_call *call, wk_tensor *out[]) {
    plan p;
    WK_TRY(plan_of(call, call->in[0]->rank, false, &p));
    const int last = p.count - 1;
    const wk_fft_axis_attrs attrs = { .axis = p.axis[last], .scale = p.scale };
    wk_tensor *x = wk_op_run1(&rfft_axis_row, &attrs, resized(call->in[0], p.axis[last], p.size[last]));
    for (int i = last - 1; i >= 0; i--) x = along_pairs(x, &p, i, false);
    out[0] = x;
    return WK_OK;
}
static wk_status irfft_parts(const wk_call *call, wk_tensor *out[]) {
    wk_tensor *x = call->in[0];
    char text[160];
    plan p;
    if (x->rank < 1 || x->shape[x->rank - 1] != 2)
        return wk_bad_call(call, WK_SHAPE, "x is %s, expected complex numbers (…, 2)",
                           wk_describe(x, text, sizeof text));
    WK_TRY(plan_of(call, x->rank - 1, true, &p));
    const int last = p.count - 1, axis = p.axis[last];
    const int64_t n = p.size[last] ? p.size[last] : 2 * (x->shape[axis] - 1);
    if (n < 1)
        return wk_bad_call(call, WK_SHAPE, "axis %d has %lld elements; name the size of the result", axis,
                           (long long)x->shape[axis]);
    for (int i = 0; i < last; i++) x = along_pairs(x, &p, i, true);
    const wk_fft_axis_attrs attrs = { .axis = axis, .n = n, .scale = p.scale };
    out[0] = wk_op_run1(&irfft_axis_row, &attrs, resized(x, axis, n / 2 + 1));
    return WK_OK;
}

static void pairs_samples(wk_sampler *s) {
    const wk_fft_opts last = { .norm = 0 }, image = { .axes = WK_DIMS(-2, -1), .norm = WK_FFT_NORM_ORTHO };
    const wk_fft_opts cut = { .axes = WK_DIMS(0), .sizes = WK_DIMS(3), .norm = WK_FFT_NORM_FORWARD };
    const wk_fft_opts more = { .axes = WK_DIMS(-1, 0), .sizes = WK_DIMS(7, 4) };
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(2, 6, 2) });
    WK_CASE(s, "image", &image, { .dims = WK_DIMS(2, 3, 5, 2), .strided = true });
    WK_CASE(s, "cut", &cut, { .dims = WK_DIMS(5, 2, 2) });
    WK_CASE(s, "continued", &more, { .dims = WK_DIMS(3, 2, 2) });
    WK_CASE(s, "large line", &last, { .dims = WK_DIMS(65536, 2) });
    WK_CASE(s, "large image", &image, { .dims = WK_DIMS(4, 240, 256, 2) });
    WK_CASE(s, "large prime", &last, { .dims = WK_DIMS(2, 1021, 2) });
}
static void real_samples(wk_sampler *s) {
    const wk_fft_opts last = { .norm = 0 }, image = { .axes = WK_DIMS(-2, -1), .norm = WK_FFT_NORM_ORTHO };
    const wk_fft_opts more = { .axes = WK_DIMS(-1, 0), .sizes = WK_DIMS(3, 5), .norm = WK_FFT_NORM_FORWARD };
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(3, 9) });
    WK_CASE(s, "image", &image, { .dims = WK_DIMS(2, 3, 6), .strided = true });
    WK_CASE(s, "other sizes", &more, { .dims = WK_DIMS(4, 4) });
    WK_CASE(s, "large line", &last, { .dims = WK_DIMS(65536) });
    WK_CASE(s, "large image", &image, { .dims = WK_DIMS(4, 240, 256) });
}
static void half_samples(wk_sampler *s) {
    const wk_fft_opts last = { .norm = 0 }, image = { .axes = WK_DIMS(-2, -1), .norm = WK_FFT_NORM_ORTHO };
    const wk_fft_opts more = { .axes = WK_DIMS(-1, 0), .sizes = WK_DIMS(3, 7), .norm = WK_FFT_NORM_FORWARD };
    WK_CASE(s, "last", &last, { .dims = WK_DIMS(3, 5, 2) });
    WK_CASE(s, "image", &image, { .dims = WK_DIMS(2, 3, 4, 2), .strided = true });
    WK_CASE(s, "other sizes", &more, { .dims = WK_DIMS(5, 4, 2) });
    WK_CASE(s, "large line", &last, { .dims = WK_DIMS(32769, 2) });
    WK_CASE(s, "large image", &image, { .dims = WK_DIMS(4, 240, 129, 2) });
}
#define fft_samples   pairs_samples
#define ifft_samples  pairs_samples
#define rfft_samples  real_samples
#define irfft_samples half_samples

static wk_cost parts_cost(const wk_call *call) {
    const wk_tensor *x = call->in[0];
    return (wk_cost){ 2.5 * (double)x->count * log2((double)x->count + 2), 2 * wk__operand_bytes(call) };
}
static const wk_attr_def fft_attrs[] = {
    { "axes", WK_ATTR_DIMS, offsetof(wk_fft_opts, axes), 0, NULL, 0, "of the complex tensor; default: the last" },
    { "sizes", WK_ATTR_DIMS, offsetof(wk_fft_opts, sizes), 0, NULL, 0, "of the axes; default: as they are" },
    { "norm", WK_ATTR_ENUM, offsetof(wk_fft_opts, norm), 0, "backward|forward|ortho", 0, "which direction divides" },
};
#define ROW(id, text)                                                                                  \
    static wk_op_def id##_row = { .name = #id,                                                         \
                                  .doc = text,                                                         \
                                  .n_in = 1,                                                           \
                                  .n_out = 1,                                                          \
                                  .composite = true,                                                   \
                                  .attrs = fft_attrs,                                                  \
                                  .n_attrs = 3,                                                        \
                                  .attrs_size = sizeof(wk_fft_opts),                                   \
                                  .dtype = { .allowed = { FULL_PRECISION }, .autocast = WK_CAST_F32 }, \
                                  .decompose = id##_parts,                                             \
                                  .cost = parts_cost,                                                  \
                                  .samples = id##_samples };                                           \
    wk_tensor *wk_##id(wk_tensor *x, wk_fft_opts opts) {                                               \
        return wk_op_run1(&id##_row, &opts, x);                                                        \
    }
ROW(fft, "Fourier transform of complex numbers as pairs")
ROW(ifft, "inverse Fourier transform of complex numbers as pairs")
ROW(rfft, "Fourier transform of real numbers, half of the result as pairs")
ROW(irfft, "inverse Fourier transform to real numbers")

wk_op_def *const wk__rows_fft[] = { &fft_axis_row, &rfft_axis_row, &irfft_axis_row, &fft_row,
                                    &ifft_row,     &rfft_row,      &irfft_row,      NULL };
