/* grid_sample.c: images sampled at given places.
 *
 * Its gradient is one fused row, whose own derivatives go through parts: a sum over taps of gathered elements times
 * weights.  What of a tap does not change with the grid (where it is, whether it lies inside, how the place moves with
 * the grid) is a row without a gradient; the weights are polynomials of the place, made of operations, so that every
 * derivative is right.
 */
#define WK_NO_CALL_SITES
#include "tensor/op_attrs.h"
#include "tensor/ops/image/image.h"
#include "tensor/registry.h"

#include <string.h>

static wk_op_def grid_sample_row, backward_row, taps_row;

static int width_of(const wk_grid_sample_opts *opts) {
    return opts->mode == WK_GRID_NEAREST ? 1 : opts->mode == WK_GRID_CUBIC ? 4 : 2;
}

static wk_status grid_sample_shape(const wk_call *call, wk_desc out[]) {
    const wk_tensor *x = call->in[0], *grid = call->in[1];
    const wk_grid_sample_opts *opts = call->attrs;
    char one[160], other[160];
    bool fits = (x->rank == 4 || x->rank == 5) && grid->rank == x->rank && grid->shape[0] == x->shape[0]
                && grid->shape[grid->rank - 1] == x->rank - 2;
    if (!fits)
        return wk_bad_call(call, WK_SHAPE,
                           "x %s and grid %s: expected (N, C, H, W) and (N, H', W', 2), or (N, C, D, H, W) and "
                           "(N, D', H', W', 3)",
                           wk_describe(x, one, sizeof one), wk_describe(grid, other, sizeof other));
    if (opts->mode == WK_GRID_CUBIC && x->rank != 4)
        return wk_bad_call(call, WK_SHAPE, "x %s, but cubic sampling expects (N, C, H, W)",
                           wk_describe(x, one, sizeof one));
    int64_t shape[5] = { x->shape[0], x->shape[1] };
    for (int i = 2; i < x->rank; i++) {
        shape[i] = grid->shape[i - 1];
        if (x->shape[i] < 1) return wk_bad_call(call, WK_SHAPE, "x %s has no pixels", wk_describe(x, one, sizeof one));
    }
    out[0] = wk__is_channels_last(x) ? wk__channels_last((wk_dtype)x->dtype, x->rank, shape)
                                     : wk_desc_row_major((wk_dtype)x->dtype, x->rank, shape);
    return WK_OK;
}
static wk_status backward_shape(const wk_call *call, wk_desc out[]) {
    for (int k = 0; k < 2; k++) {
        const wk_tensor *like = call->in[1 + k];
        out[k] = wk_desc_row_major((wk_dtype)like->dtype, like->rank, like->shape);
    }
    return WK_OK;
}
static wk_status taps_shape(const wk_call *call, wk_desc out[]) {
    const wk_grid_attrs *attrs = call->attrs;
    const wk_tensor *grid = call->in[0];
    int64_t axes = grid->rank - 2, places = 1, taps = 1;
    for (int i = 0; i < axes; i++) places *= grid->shape[1 + i], taps *= width_of(&attrs->sample);
    for (int k = 0; k < 4; k++) {
        const int64_t shape[3] = { grid->shape[0], places, k < 2 ? taps : axes };
        out[k] = wk_desc_row_major(k ? (wk_dtype)grid->dtype : WK_I64, 3, shape);
    }
    return WK_OK;
}

static wk_status grid_sample_grad(wk_grad *g) {
    wk_tensor *out[WK_MAX_OUT];
    wk_tensor *const in[] = { g->dout[0], g->in[0], g->in[1] };
    WK_TRY(wk_op_run(&backward_row, in, 3, out, g->attrs));
    for (int i = 0; i < 2; i++) g->din[i] = g->needs[i] ? out[i] : NULL;
    return WK_OK;
}

/* ---- by parts ---- */

/* w(t) of each neighbour, highest power first: linear, and Keys 1981 with a = -0.75. */
static const double linear[2][4] = { { 0, 0, -1, 1 }, { 0, 0, 1, 0 } };
static const double cubic[4][4] = {
    { -0.75, 1.5, -0.75, 0 }, { 1.25, -2.25, 0, 1 }, { -1.25, 1.5, 0.75, 0 }, { 0.75, -0.75, 0, 0 }
};

typedef struct parts {
    int axes, width, taps;
    wk_tensor *index, *inside;             /* (N, P, taps) */
    wk_tensor *slope[3];                   /* (N, P) */
    wk_tensor *weight[3][4], *slant[3][4]; /* of one axis, (N, P); slant: its derivative by the place; NULL: zero */
    wk_tensor *image;                      /* x (N, C, pixels) */
    wk_dims dims;                          /* of x */
} parts;

static wk_tensor *polynomial(wk_tensor *t, const double *c) {
    if (c[0] == 0 && c[1] == 0) return wk_affine(t, (wk_affine_opts){ c[2], c[3] });
    wk_tensor *y = wk_affine(t, (wk_affine_opts){ c[0], c[1] });
    y = wk_affine(wk_mul(y, t), (wk_affine_opts){ 1, c[2] });
    return wk_affine(wk_mul(y, t), (wk_affine_opts){ 1, c[3] });
}

static wk_status make_parts(parts *p, wk_tensor *x, wk_tensor *grid, const wk_grid_sample_opts *opts) {
    wk_grid_attrs attrs = { *opts, wk__dims(x) };
    wk_tensor *out[WK_MAX_OUT];
    WK_TRY(wk_op_run(&taps_row, &grid, 1, out, &attrs));
    *p = (parts){ .axes = grid->rank - 2, .width = width_of(opts), .taps = 1, .index = out[0], .inside = out[1] };
    p->dims = attrs.image;
    p->image = wk_flatten(x, 2);
    wk_tensor *numbers = wk_reshape(grid, wk__dims(out[2]));
    wk_tensor *places = wk_add(wk_mul(numbers, out[2]), out[3]);
    for (int d = 0; d < p->axes; d++) {
        p->taps *= p->width;
        p->slope[d] = wk_select(out[2], 2, d);
        wk_tensor *t = wk_select(places, 2, d);
        for (int k = 0; k < p->width && p->width > 1; k++) {
            const double *c = p->width == 2 ? linear[k] : cubic[k];
            const double slant[4] = { 0, 3 * c[0], 2 * c[1], c[2] };
            p->weight[d][k] = polynomial(t, c);
            p->slant[d][k] = polynomial(t, slant);
        }
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* Weight of tap t, or (by ≥ 0) its derivative by number `by` of the grid: (N, P). */
static wk_tensor *tap_weight(const parts *p, int t, int by) {
    wk_tensor *product = wk_select(p->inside, 2, t);
    for (int d = 0, rest = t; d < p->axes && p->width > 1; d++, rest /= p->width)
        product = wk_mul(product,
                         d == by ? wk_mul(p->slant[d][rest % p->width], p->slope[d]) : p->weight[d][rest % p->width]);
    return product;
}

/* The image's elements at tap t of each place: (N, C, P). */
static wk_tensor *tap_values(const parts *p, int t, wk_tensor **index) {
    wk_tensor *at = wk_unsqueeze(wk_select(p->index, 2, t), 1);
    if (!at) return NULL;
    *index = wk_expand(at, WK_DIMS(p->dims.size[0], p->dims.size[1], at->shape[2]));
    return wk_gather(p->image, *index, 2);
}

static wk_status grid_sample_backward_parts(const wk_call *call, wk_tensor *out[]) {
    parts p;
    wk_tensor *index = NULL, *x = call->in[1], *grid = call->in[2], *dy = wk_flatten(call->in[0], 2);
    WK_TRY(make_parts(&p, x, grid, call->attrs));
    wk_tensor *dx = wk_zeros((wk_dtype)x->dtype, wk__dims(p.image)), *numbers[3] = { NULL };
    for (int t = 0; t < p.taps && !wk_failed(); t++) {
        wk_tensor *values = tap_values(&p, t, &index), *weight = wk_unsqueeze(tap_weight(&p, t, -1), 1);
        dx = wk_scatter_add(dx, index, wk_mul(dy, weight), 2);
        wk_tensor *match = wk_sum(wk_mul(dy, values), (wk_reduce_opts){ .axes = WK_DIMS(1) });
        for (int d = 0; d < p.axes && p.width > 1; d++) {
            wk_tensor *part = wk_mul(match, tap_weight(&p, t, d));
            numbers[d] = numbers[d] ? wk_add(numbers[d], part) : part;
        }
    }
    out[0] = wk_reshape(dx, p.dims);
    out[1] = p.width > 1 ? wk_reshape(wk_stack(numbers, p.axes, 2), wk__dims(grid))
                         : wk_zeros((wk_dtype)grid->dtype, wk__dims(grid));
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* ---- samples ---- */

static wk_cost sample_cost(const wk_call *call) {
    double taps = 1;
    for (int i = 2; i < call->in[0]->rank; i++) taps *= width_of(call->attrs);
    return wk__cost_elements(call, 2 * taps);
}
static wk_cost backward_cost(const wk_call *call) {
    double taps = 1;
    for (int i = 2; i < call->in[0]->rank; i++) taps *= width_of(call->attrs);
    return (wk_cost){ 4 * taps * (double)call->in[0]->count, wk__operand_bytes(call) };
}
static wk_cost taps_cost(const wk_call *call) {
    return wk__cost_elements(call, 4);
}

#define GRID(...) \
    { .dims = WK_DIMS(__VA_ARGS__), .low = -1.3, .high = 1.3 }
static void grid_sample_samples(wk_sampler *s) {
    const wk_grid_sample_opts plain = { 0 }, corners = { .align_corners = true },
                              border = { .padding = WK_GRID_BORDER }, mirror = { .padding = WK_GRID_REFLECTION },
                              mirror_corners = { .padding = WK_GRID_REFLECTION, .align_corners = true },
                              nearest = { .mode = WK_GRID_NEAREST, .padding = WK_GRID_BORDER },
                              cubic_zeros = { .mode = WK_GRID_CUBIC },
                              cubic_mirror = { .mode = WK_GRID_CUBIC,
                                               .padding = WK_GRID_REFLECTION,
                                               .align_corners = true },
                              cubic_border = { .mode = WK_GRID_CUBIC, .padding = WK_GRID_BORDER };
    WK_CASE(s, "zeros", &plain, { .dims = WK_DIMS(2, 2, 3, 4) }, GRID(2, 2, 3, 2));
    WK_CASE(s, "corners", &corners, { .dims = WK_DIMS(1, 2, 3, 5), .strided = true }, GRID(1, 2, 3, 2));
    WK_CASE(s, "border", &border, { .dims = WK_DIMS(1, 2, 3, 4) }, GRID(1, 3, 2, 2));
    WK_CASE(s, "mirror", &mirror, { .dims = WK_DIMS(1, 2, 3, 3) }, GRID(1, 3, 3, 2));
    WK_CASE(s, "mirror corners", &mirror_corners, { .dims = WK_DIMS(1, 2, 3, 4) }, GRID(1, 3, 3, 2));
    WK_CASE(s, "nearest", &nearest, { .dims = WK_DIMS(1, 2, 3, 4) }, GRID(1, 3, 3, 2));
    WK_CASE(s, "cubic", &cubic_zeros, { .dims = WK_DIMS(1, 2, 4, 3) }, GRID(1, 2, 3, 2));
    WK_CASE(s, "cubic mirror", &cubic_mirror, { .dims = WK_DIMS(1, 1, 4, 5) }, GRID(1, 2, 3, 2));
    WK_CASE(s, "cubic border", &cubic_border, { .dims = WK_DIMS(1, 1, 4, 3) }, GRID(1, 2, 3, 2));
    WK_CASE(s, "volume", &plain, { .dims = WK_DIMS(1, 2, 2, 3, 3) }, GRID(1, 2, 2, 2, 3));
    WK_CASE(s, "volume nearest", &nearest, { .dims = WK_DIMS(1, 2, 2, 3, 3) }, GRID(1, 2, 2, 2, 3));
    WK_CASE(s, "empty", &plain, { .dims = WK_DIMS(0, 2, 3, 4) }, GRID(0, 2, 3, 2));
    WK_CASE(s, "large", &plain, { .dims = WK_DIMS(2, 9, 20, 20) }, GRID(2, 30, 31, 2));
    WK_HUGE_CASE(s, "huge", &plain, { .dims = WK_DIMS(2, 16, 64, 64) }, GRID(2, 64, 64, 2));
}
static void backward_samples(wk_sampler *s) {
    const wk_grid_sample_opts plain = { 0 }, cubic_mirror = { .mode = WK_GRID_CUBIC, .padding = WK_GRID_REFLECTION };
    WK_CASE(s, "zeros", &plain, { .dims = WK_DIMS(1, 2, 2, 3) }, { .dims = WK_DIMS(1, 2, 3, 4) }, GRID(1, 2, 3, 2));
    WK_CASE(s, "cubic", &cubic_mirror, { .dims = WK_DIMS(1, 1, 2, 2) }, { .dims = WK_DIMS(1, 1, 4, 3) },
            GRID(1, 2, 2, 2));
}
static void taps_samples(wk_sampler *s) {
    const wk_grid_attrs attrs = { { 0 }, WK_DIMS(1, 2, 3, 4) };
    WK_CASE(s, "zeros", &attrs, GRID(1, 2, 3, 2));
}

/* ---- rows ---- */

#define SAMPLE_ATTRS(base)                                                                                               \
    {                                                                                                                    \
        "mode", WK_ATTR_ENUM, base + offsetof(wk_grid_sample_opts, mode), 0, "linear|nearest|cubic", 0, "between pixels" \
    },                                                                                                                   \
        { "padding", WK_ATTR_ENUM,         base + offsetof(wk_grid_sample_opts, padding), 0, "zeros|border|reflection",  \
          0,         "what stands outside" },                                                                            \
    {                                                                                                                    \
        "align_corners", WK_ATTR_BOOL, base + offsetof(wk_grid_sample_opts, align_corners), 0, NULL, 0,                  \
            "-1 and 1 are the corners' centres"                                                                          \
    }
static const wk_attr_def sample_attrs[] = { SAMPLE_ATTRS(0) };
static const wk_attr_def taps_attrs[] = {
    SAMPLE_ATTRS(0), { "image", WK_ATTR_DIMS, offsetof(wk_grid_attrs, image), 0, NULL, 0, "shape of x" }
};
static wk_op_def grid_sample_row = {
    .name = "grid_sample",
    .doc = "an image at given places",
    .n_in = 2,
    .n_out = 1,
    .saves_in = 3,
    .attrs = sample_attrs,
    .n_attrs = 3,
    .attrs_size = sizeof(wk_grid_sample_opts),
    .dtype = { .allowed = { WK_FLOATS, WK_FLOATS }, .same = 3, .autocast = WK_CAST_F32 },
    .shape = grid_sample_shape,
    .grad = grid_sample_grad,
    .cost = sample_cost,
    .samples = grid_sample_samples
};
static wk_op_def backward_row = { .name = "grid_sample_backward",
                                  .internal = true,
                                  .doc = "gradient of grid_sample for x and grid",
                                  .n_in = 3,
                                  .n_out = 2,
                                  .saves_in = 7,
                                  .attrs = sample_attrs,
                                  .n_attrs = 3,
                                  .attrs_size = sizeof(wk_grid_sample_opts),
                                  .dtype = { .allowed = { WK_FLOATS, WK_FLOATS, WK_FLOATS }, .same = 7 },
                                  .zero_sized_runs = true,
                                  .shape = backward_shape,
                                  .grad = wk__grad_by_parts,
                                  .decompose = grid_sample_backward_parts,
                                  .cost = backward_cost,
                                  .samples = backward_samples };
static wk_op_def taps_row = { .name = "grid_taps",
                              .internal = true,
                              .doc = "neighbours of the places of a grid",
                              .n_in = 1,
                              .n_out = 4,
                              .attrs = taps_attrs,
                              .n_attrs = 4,
                              .attrs_size = sizeof(wk_grid_attrs),
                              .dtype = { .allowed = { WK_FLOATS } },
                              .shape = taps_shape,
                              .not_differentiable = "what it says of a place does not change with the place",
                              .cost = taps_cost,
                              .samples = taps_samples };

wk_tensor *wk_grid_sample(wk_tensor *x, wk_tensor *grid, wk_grid_sample_opts opts) {
    return wk_op_run2(&grid_sample_row, &opts, x, grid);
}

/* ---- affine_grid ---- */

/* Centres of `count` pixels in [-1, 1], along one axis of the grid. */
static wk_tensor *centres(wk_dtype dtype, int64_t count, bool corners, int axis, int rank) {
    wk_dims dims = { .rank = rank, .size = { 1, 1, 1, 1, 1 } };
    dims.size[axis] = count;
    double step = corners ? (count > 1 ? 2 / (double)(count - 1) : 0) : 2 / (double)count;
    double first = corners ? (count > 1 ? -1 : 0) : -1 + 1 / (double)count;
    wk_tensor *wide = wk_cast(wk_arange(count), dtype == WK_F64 ? WK_F64 : WK_F32);
    return wk_reshape(wk_cast(wk_affine(wide, (wk_affine_opts){ step, first }), dtype), dims);
}

static wk_status affine_grid_parts(const wk_call *call, wk_tensor *out[]) {
    const wk_affine_grid_opts *opts = call->attrs;
    wk_tensor *theta = call->in[0];
    int axes = opts->dims.rank - 2;
    char text[160];
    if (theta->rank != 3 || (axes != 2 && axes != 3) || theta->shape[0] != opts->dims.size[0] || theta->shape[1] != axes
        || theta->shape[2] != axes + 1)
        return wk_bad_call(call, WK_SHAPE,
                           "theta %s, dims of rank %d: expected (N, 2, 3) and (N, C, H, W), or (N, 3, 4) "
                           "and (N, C, D, H, W)",
                           wk_describe(theta, text, sizeof text), opts->dims.rank);
    /* A plane for each coordinate, so that rows are long, from the slowest axis on, so that one sum alone is whole. */
    wk_dims dims = { .rank = axes + 2, .size = { opts->dims.size[0], axes, 1, 1, 1 } };
    wk_tensor *sum = wk_reshape(wk_select(theta, 2, axes), dims);
    for (int d = axes - 1; d >= 0; d--) {
        int64_t size = opts->dims.size[axes + 1 - d];
        if (size < 1) return wk_bad_call(call, WK_SHAPE, "an image of %lld pixels", (long long)size);
        wk_tensor *along = centres((wk_dtype)theta->dtype, size, opts->align_corners, axes + 1 - d, axes + 2);
        sum = wk_add(sum, wk_mul(along, wk_reshape(wk_select(theta, 2, d), dims)));
    }
    out[0] = wk_contiguous(wk_movedim(sum, 1, -1));
    return WK_OK;
}
static void affine_grid_samples(wk_sampler *s) {
    const wk_affine_grid_opts plane = { WK_DIMS(2, 1, 3, 4), false }, corners = { WK_DIMS(1, 2, 1, 5), true },
                              volume = { WK_DIMS(1, 1, 2, 3, 4), false };
    WK_CASE(s, "plane", &plane, { .dims = WK_DIMS(2, 2, 3) });
    WK_CASE(s, "corners", &corners, { .dims = WK_DIMS(1, 2, 3) });
    WK_CASE(s, "volume", &volume, { .dims = WK_DIMS(1, 3, 4), .strided = true });
    const wk_affine_grid_opts image = { WK_DIMS(8, 1, 128, 128), false };
    WK_HUGE_CASE(s, "huge", &image, { .dims = WK_DIMS(8, 2, 3) });
}
static const wk_attr_def affine_grid_attrs[] = {
    { "dims", WK_ATTR_DIMS, offsetof(wk_affine_grid_opts, dims), 0, NULL, 0, "shape of the image" },
    { "align_corners", WK_ATTR_BOOL, offsetof(wk_affine_grid_opts, align_corners), 0, NULL, 0,
      "-1 and 1 are the corners' centres" },
};
static wk_op_def affine_grid_row = { .name = "affine_grid",
                                     .doc = "places of an affine map",
                                     .n_in = 1,
                                     .n_out = 1,
                                     .composite = true,
                                     .attrs = affine_grid_attrs,
                                     .n_attrs = 2,
                                     .attrs_size = sizeof(wk_affine_grid_opts),
                                     .dtype = { .allowed = { WK_FLOATS } },
                                     .decompose = affine_grid_parts,
                                     .cost = taps_cost,
                                     .samples = affine_grid_samples };
wk_tensor *wk_affine_grid(wk_tensor *theta, wk_affine_grid_opts opts) {
    return wk_op_run1(&affine_grid_row, &opts, theta);
}

wk_op_def *const wk__rows_grid_sample[] = { &grid_sample_row, &backward_row, &taps_row, &affine_grid_row, NULL };
