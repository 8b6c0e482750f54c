/* winograd.c: Wick's own Winograd convolution beside the direct sum in f64, and its bits. */
#include "tensor/tuning.h"
#include "wick/wick.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

typedef struct shape {
    int64_t n, c, k, height, width, padding;
    bool row_major; /* channels are planes of x and dy */
} shape;

/* Whole tiles, parts of tiles, one tile, less than one; fewer tiles than a block, and several blocks. */
static const shape shapes[] = {
    { 2, 16, 32, 8, 8, 1, false },    { 3, 32, 16, 7, 9, 1, false },  { 1, 48, 16, 14, 4, 0, false },
    { 9, 16, 16, 5, 6, 0, true },     { 5, 80, 96, 4, 4, 1, false },  { 4, 272, 16, 7, 7, 1, true },
    { 40, 16, 48, 14, 13, 1, false }, { 70, 16, 16, 8, 12, 1, true },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static wk_tensor *drawn(wk_dims dims, double from) {
    wk_tensor *x = wk_empty(WK_F32, dims);
    float *value = wk_data(x);
    for (int64_t i = 0; i < wk_count(x); i++)
        value[i] = (float)(fmod(0.618033988749895 * (double)(i + 1) + from, 1.0) - 0.5);
    return x;
}

static wk_tensor *image(const shape *s, int64_t channels, int64_t height, int64_t width, double from) {
    if (s->row_major) return drawn(WK_DIMS(s->n, channels, height, width), from);
    return wk_permute(drawn(WK_DIMS(s->n, height, width, channels), from), WK_DIMS(0, 3, 1, 2));
}

/* Without libraries there is no choice that could be noted. */
static void expect_by(const wk__forced *forced, wk_by by) {
    if (WICK_LIBRARIES) cr_expect_eq(forced->last, by, "by %s, not %s", wk__by_name(forced->last), wk__by_name(by));
}

enum { Y, DX, DWEIGHT, DBIAS, RESULTS };
static const char *const result_names[] = { "y", "dx", "dweight", "dbias" };

/* By Wick's direct sum: in f64. */
static void convolve(const shape *s, wk_by by, int threads, wk_tensor *result[RESULTS]) {
    wk__forced forced = { .convolution = by };
    wk_dtype dtype = by == WK_BY_OWN ? WK_F64 : WK_F32;
    int64_t height = s->height + 2 * s->padding - 2, width = s->width + 2 * s->padding - 2;
    wk_tensor *in[] = { wk_cast(image(s, s->c, s->height, s->width, 0), dtype),
                        wk_cast(drawn(WK_DIMS(s->k, s->c, 3, 3), 0.3), dtype),
                        wk_cast(drawn(WK_DIMS(s->k), 0.7), dtype) };
    wk_tensor *dy = wk_cast(image(s, s->k, height, width, 0.1), dtype);
    for (int i = 0; i < 3; i++) in[i] = wk_require_grad(wk_keep(in[i]), true);
    wk_set_threads(threads);
    wk__cpu_force(&forced);
    result[Y] = wk_conv2d(in[0], in[1], in[2], (wk_conv_opts){ .padding = { s->padding, s->padding } });
    cr_assert_eq(wk_backward_from(result[Y], dy, (wk_backward_opts){ 0 }), WK_OK, "%s", wk_message());
    wk__cpu_force(NULL);
    cr_expect_eq(forced.declined, 0);
    if (by != WK_BY_OWN) expect_by(&forced, by);
    for (int i = 0; i < 3; i++) {
        result[DX + i] = wk_neg(wk_contiguous(wk_gradient(in[i])));
        wk_release(in[i]);
    }
    result[Y] = wk_contiguous(wk_detach(result[Y]));
}

static double largest(const double *value, int64_t count) {
    double most = 0;
    for (int64_t i = 0; i < count; i++) most = fmax(most, fabs(value[i]));
    return most;
}

/* Seen: y 6.9e-6, dx 2.8e-6, dweight and dbias 1.4e-6; of the direct sum in f32 2.0e-6, 6.5e-7, 3.5e-6 and 2.3e-6. */
Test(winograd, all_passes_equal_the_direct_sum) {
    for (int i = 0; i < SHAPES; i++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *direct[RESULTS], *winograd[RESULTS];
        convolve(&shapes[i], WK_BY_OWN, 2, direct);
        convolve(&shapes[i], WK_BY_OWN_WINOGRAD, 2, winograd);
        for (int r = 0; r < RESULTS; r++) {
            const double *expected = wk_data(direct[r]), most = largest(expected, wk_count(direct[r]));
            const float *got = wk_data(winograd[r]);
            double error = 0;
            for (int64_t at = 0; at < wk_count(direct[r]); at++) error = fmax(error, fabs(got[at] - expected[at]));
            cr_expect_leq(error, 1.5e-5 * most, "shape %d, %s: %g of %g", i, result_names[r], error, most);
        }
        wk_scope_end(scope);
    }
}

Test(winograd, any_number_of_threads_gives_the_same_bits) {
    for (int i = 0; i < SHAPES; i++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *one[RESULTS], *three[RESULTS];
        convolve(&shapes[i], WK_BY_OWN_WINOGRAD, 1, one);
        convolve(&shapes[i], WK_BY_OWN_WINOGRAD, 3, three);
        for (int r = 0; r < RESULTS; r++)
            cr_expect_eq(memcmp(wk_data(one[r]), wk_data(three[r]), (size_t)wk_count(one[r]) * sizeof(float)), 0,
                         "shape %d, %s", i, result_names[r]);
        wk_scope_end(scope);
    }
}

Test(winograd, relu_and_bias_are_part_of_it) {
    wk__forced forced = { .convolution = WK_BY_OWN_WINOGRAD };
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = drawn(WK_DIMS(2, 16, 10, 7), 0), *weight = drawn(WK_DIMS(32, 16, 3, 3), 0.3),
              *bias = drawn(WK_DIMS(32), 0.7);
    wk_conv_opts opts = { .padding = { 1, 1 } }, with_relu = { .padding = { 1, 1 }, .activation = WK_ACTIVATION_RELU };
    ((float *)wk_data(x))[0] = NAN;
    wk__cpu_force(&forced);
    wk_tensor *fused = wk_contiguous(wk_conv2d(x, weight, bias, with_relu));
    wk_tensor *parts = wk_contiguous(wk_relu(wk_conv2d(x, weight, bias, opts)));
    wk__cpu_force(NULL);
    expect_by(&forced, WK_BY_OWN_WINOGRAD);
    cr_expect_eq(memcmp(wk_data(fused), wk_data(parts), (size_t)wk_count(fused) * sizeof(float)), 0);
    cr_expect(isnan(*(float *)wk_data(fused)), "NaN stays");
    wk_scope_end(scope);
}

Test(winograd, other_filters_are_left_to_the_direct_sum) {
    wk__forced forced = { .convolution = WK_BY_OWN_WINOGRAD };
    wk_scope scope = wk_scope_begin();
    wk__cpu_force(&forced);
    const wk_conv_opts other[] = { { .stride = { 2, 2 } }, { .dilation = { 2, 2 } }, { .groups = 2 } };
    for (int i = 0; i < 3; i++) {
        wk_tensor *weight = drawn(WK_DIMS(16, other[i].groups ? 8 : 16, 3, 3), 0.3);
        cr_expect_not_null(wk_conv2d(drawn(WK_DIMS(2, 16, 12, 12), 0), weight, NULL, other[i]));
        expect_by(&forced, WK_BY_DIRECT);
    }
    (void)wk_conv2d(drawn(WK_DIMS(2, 24, 12, 12), 0), drawn(WK_DIMS(16, 24, 3, 3), 0.3), NULL, (wk_conv_opts){ 0 });
    expect_by(&forced, WK_BY_DIRECT);
    cr_expect_not_null(
        wk_conv2d(drawn(WK_DIMS(2, 0, 12, 12), 0), wk_zeros(WK_F32, WK_DIMS(16, 0, 3, 3)), NULL, (wk_conv_opts){ 0 }));
    expect_by(&forced, WK_BY_DIRECT);
    wk__cpu_force(NULL);
    wk_scope_end(scope);
}
