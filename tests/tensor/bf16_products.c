/* bf16_products.c: large matrix products of bf16 by Wick's own kernels, which use tiles on processors that have them,
 * beside the same in f64: every order of operands, sizes that are no multiple of anything, and all that may follow a
 * product. */
#include "tensor/tuning.h"
#include "wick/op.h"
#include "wick/wick.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* A part of a tile, a tile and a bit, several panels; sums in one block, in several, in several packs; more rows (and
 * columns) than are kept at a time, both ways round. */
static const struct {
    int64_t m, n, k;
} shapes[] = {
    { 8, 8, 513 },    { 9, 40, 100 },   { 32, 32, 32 },    { 33, 65, 257 },    { 64, 31, 96 },   { 300, 130, 33 },
    { 17, 19, 4100 }, { 70, 40, 2050 }, { 260, 40, 1700 }, { 1100, 1030, 40 }, { 1300, 90, 48 }, { 40, 1290, 64 },
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static wk_tensor *drawn(int64_t rows, int64_t cols, bool turned, double from) {
    wk_tensor *x = wk_empty(WK_F32, turned ? WK_DIMS(cols, rows) : WK_DIMS(rows, cols));
    float *value = wk_data(x);
    for (int64_t i = 0; i < wk_count(x); i++)
        value[i] = (float)(fmod(0.618033988749895 * (double)(i + 1) + from, 1.0) - 0.5);
    x = wk_cast(x, WK_BF16);
    return turned ? wk_transpose(x, 0, 1) : x;
}

static wk_tensor *exactly(wk_tensor *x) {
    return wk_cast(x, WK_F64);
}

static wk_tensor *by(wk_by who, const char *row, wk_tensor *a, wk_tensor *b) {
    wk__forced forced = { .product = who };
    wk__cpu_force(&forced);
    wk_tensor *c = wk_op_run2(wk_op_find(row), NULL, a, b);
    wk__cpu_force(NULL);
    cr_assert_not_null(c, "%s", wk_message());
    return c;
}

/* Sums of k products of numbers up to a half are made in f32; one of bf16 is rounded once more. */
static void expect_near(wk_tensor *c, wk_tensor *exact, int64_t k, const char *what) {
    const double rounding = wk_dtype_get(c) == WK_BF16 ? 0x1p-8 : 0x1p-20;
    const double *wanted = wk_data(exact), *given = wk_data(wk_contiguous(exactly(c)));
    for (int64_t i = 0; i < wk_count(exact); i++) {
        const double bound = fabs(wanted[i]) * rounding + 1e-7 * sqrt((double)k) + 1e-6;
        cr_assert(fabs(given[i] - wanted[i]) <= bound, "%s: [%lld] is %.9g, expected %.9g within %.2g", what,
                  (long long)i, given[i], wanted[i], bound);
    }
}

static void expect_product(const char *row, int shape, int order) {
    wk_scope scope = wk_scope_begin();
    const int64_t m = shapes[shape].m, n = shapes[shape].n, k = shapes[shape].k;
    wk_tensor *a = drawn(m, k, order & 1, 0), *b = drawn(k, n, order & 2, 0.3);
    char what[80];
    (void)snprintf(what, sizeof what, "%s %lld x %lld x %lld, %s%s", row, (long long)m, (long long)n, (long long)k,
                   order & 1 ? "t" : "n", order & 2 ? "t" : "n");
    wk_tensor *exact = wk_matmul(exactly(a), exactly(b));
    wk_set_threads(1);
    wk_tensor *one = by(WK_BY_OWN, row, a, b);
    expect_near(one, exact, k, what);
    for (int threads = 2; threads < 20; threads += 5) { /* 17: more than there are panels */
        wk_set_threads(threads);
        wk_tensor *more = by(WK_BY_OWN, row, a, b);
        cr_expect_eq(
            memcmp(wk_data(one), wk_data(more), (size_t)wk_count(one) * (wk_dtype_get(one) == WK_BF16 ? 2 : 4)), 0,
            "%s: other bits on %d threads", what, threads);
    }
    wk_scope_end(scope);
}

Test(bf16_products, in_every_order_are_the_exact_ones_rounded) {
    for (int shape = 0; shape < SHAPES; shape++)
        for (int order = 0; order < 4; order++) expect_product("matmul", shape, order);
}

Test(bf16_products, in_f32_are_not_rounded) {
    for (int shape = 0; shape < SHAPES; shape++)
        for (int order = 0; order < 4; order++) expect_product("matmul_wide", shape, order);
}

Test(bf16_products, of_a_layer_add_its_bias_and_clear_negatives_but_not_nan) {
    for (int shape = 0; shape < SHAPES; shape++) {
        wk_scope scope = wk_scope_begin();
        const int64_t m = shapes[shape].m, n = shapes[shape].n, k = shapes[shape].k;
        wk_tensor *x = drawn(m, k, false, 0), *weight = drawn(n, k, false, 0.3), *bias = drawn(1, n, false, 0.6);
        bias = wk_select(bias, 0, 0);
        ((uint16_t *)wk_data(x))[k + 1] = 0x7fc0; /* a NaN in the second row */
        wk__forced forced = { .product = WK_BY_OWN };
        wk__cpu_force(&forced);
        wk_tensor *y = wk_linear(x, weight, bias, (wk_linear_opts){ .activation = WK_ACTIVATION_RELU });
        wk__cpu_force(NULL);
        const double *got = wk_data(exactly(y));
        for (int64_t j = 0; j < n; j++) cr_expect(isnan(got[n + j]));
        wk_tensor *exact = wk_relu(wk_add(wk_matmul(exactly(x), wk_transpose(exactly(weight), 0, 1)), exactly(bias)));
        for (int64_t j = 0; j < n; j++) ((double *)wk_data(exact))[n + j] = 0;
        for (int64_t j = 0; j < n; j++) ((uint16_t *)wk_data(y))[n + j] = 0;
        expect_near(y, exact, k, "linear");
        wk_scope_end(scope);
    }
}

/* The head's loss adds the gradient of each chunk to the one before. */
Test(bf16_products, of_chunks_are_added_up) {
    enum { ROWS = 150, WIDTH = 70, CLASSES = 530 };
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_require_grad(wk_keep(drawn(ROWS, WIDTH, false, 0)), true),
              *weight = wk_require_grad(wk_keep(drawn(CLASSES, WIDTH, false, 0.3)), true),
              *target = wk_empty(WK_I64, WK_DIMS(ROWS));
    for (int64_t i = 0; i < ROWS; i++) ((int64_t *)wk_data(target))[i] = i * 37 % CLASSES;
    wk__forced forced = { .product = WK_BY_OWN };
    wk__cpu_force(&forced);
    wk_tensor *loss = wk_linear_cross_entropy(x, weight, NULL, target, (wk_linear_cross_entropy_opts){ .chunk = 40 });
    cr_assert_not_null(loss, "%s", wk_message());
    cr_assert_eq(wk_backward(loss), WK_OK, "%s", wk_message());
    wk__cpu_force(NULL);
    wk_tensor *wide_x = wk_require_grad(wk_keep(exactly(wk_detach(x))), true),
              *wide_weight = wk_require_grad(wk_keep(exactly(wk_detach(weight))), true);
    cr_assert_eq(wk_backward(wk_cross_entropy(wk_matmul(wide_x, wk_transpose(wide_weight, 0, 1)), target,
                                              (wk_cross_entropy_opts){ 0 })),
                 WK_OK, "%s", wk_message());
    wk_tensor *const pairs[][2] = { { x, wide_x }, { weight, wide_weight } };
    for (int i = 0; i < 2; i++) {
        wk_tensor *given = wk_gradient(pairs[i][0]), *wanted = wk_gradient(pairs[i][1]);
        const double *right = wk_data(wanted), *got = wk_data(exactly(given));
        double error = 0, size = 0;
        for (int64_t j = 0; j < wk_count(wanted); j++)
            error = fmax(error, fabs(got[j] - right[j])), size = fmax(size, fabs(right[j]));
        cr_expect_lt(error, size * 0x1p-7, "gradient %d: off by %.3g of %.3g", i, error, size);
    }
    wk_tensor *kept[] = { x, weight, wide_x, wide_weight };
    for (int i = 0; i < 4; i++) wk_release(kept[i]);
    wk_scope_end(scope);
}
