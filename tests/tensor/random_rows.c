/* random_rows.c: the distributions of random operations: moments and a Kolmogorov-Smirnov distance, for fixed keys. */
#define WK_NO_CALL_SITES
#include "wick/ops.h"
#include "wick/random.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

enum { COUNT = 100003 };

static wk_tensor *key_of(int64_t seed, int64_t draw) {
    const int64_t words[] = { seed, draw };
    return wk_from_array(WK_I64, WK_DIMS(2), words);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The largest distance between the empirical and the true distribution function, times √n: above 1.95 with probability
 * 0.001 for a true sample (Kolmogorov). */
static double distance(wk_tensor *sample, double (*cdf)(double)) {
    wk_tensor *wide = wk_contiguous(wk_cast(sample, WK_F64));
    double *x = wk_data(wide), worst = 0, n = (double)wk_count(wide);
    qsort(x, (size_t)wk_count(wide), sizeof *x, by_value);
    for (int64_t i = 0; i < wk_count(wide); i++) {
        double f = cdf(x[i]);
        worst = fmax(worst, fmax(fabs(f - (double)i / n), fabs(f - (double)(i + 1) / n)));
    }
    return worst * sqrt(n);
}

static double uniform_cdf(double x) {
    return (x + 2) / 5;
}
static double normal_cdf(double x) {
    return 0.5 * erfc(-(x - 1) / 3 / sqrt(2));
}
static double exponential_cdf(double x) {
    return 1 - exp(-2 * x);
}

Test(random_rows, follow_their_distributions) {
    static const wk_dtype dtypes[] = { WK_F32, WK_F64 };
    for (int i = 0; i < 2; i++) {
        wk_scope scope = wk_scope_begin();
        wk_dims dims = WK_DIMS(COUNT);
        wk_tensor *u = wk_uniform(key_of(7, 1), (wk_uniform_opts){ dims, dtypes[i], WK_SET(-2), WK_SET(3) });
        wk_tensor *z = wk_normal(key_of(7, 2), (wk_normal_opts){ dims, dtypes[i], 1, WK_SET(3) });
        wk_tensor *e = wk_exponential(key_of(7, 3), (wk_exponential_opts){ dims, dtypes[i], WK_SET(2) });
        cr_assert(u && z && e, "%s", wk_message());
        cr_expect_lt(distance(u, uniform_cdf), 1.95, "uniform %s", wk_dtype_name(dtypes[i]));
        cr_expect_lt(distance(z, normal_cdf), 1.95, "normal %s", wk_dtype_name(dtypes[i]));
        cr_expect_lt(distance(e, exponential_cdf), 1.95, "exponential %s", wk_dtype_name(dtypes[i]));
        wk_scope_end(scope);
    }
}

static double truncated_cdf(double x) { /* of mean 1 and deviation 0.7, in [0, 3] */
    const double low = erf(-1 / 0.7 / sqrt(2)), high = erf(2 / 0.7 / sqrt(2));
    return (erf((x - 1) / 0.7 / sqrt(2)) - low) / (high - low);
}
Test(random_rows, truncated_normal_has_its_distribution) {
    static const wk_dtype dtypes[] = { WK_F32, WK_F64 };
    for (int i = 0; i < 2; i++) {
        wk_scope scope = wk_scope_begin();
        wk_truncated_normal_opts opts = { WK_DIMS(COUNT), dtypes[i], 1, WK_SET(0.7), WK_SET(0), WK_SET(3) };
        wk_tensor *x = wk_truncated_normal(key_of(8, 1), opts);
        cr_assert(x, "%s", wk_message());
        cr_expect_lt(distance(x, truncated_cdf), 1.95, "%s", wk_dtype_name(dtypes[i]));
        wk_scope_end(scope);
    }
}

/* Pearson's statistic of `seen` against `expected` counts. */
static double chi_square(const int64_t *seen, const double *expected, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) {
        const double apart = (double)seen[i] - expected[i];
        sum += apart * apart / expected[i];
    }
    return sum;
}

Test(random_rows, multinomial_follows_its_weights) {
    wk_scope scope = wk_scope_begin();
    const float weights[] = { 1, 0, 3, 0.5f, 5.5f };
    wk_tensor *p = wk_from_array(WK_F32, WK_DIMS(5), weights);
    wk_tensor *many = wk_multinomial(p, key_of(2, 2), (wk_multinomial_opts){ COUNT, true });
    int64_t seen[5] = { 0 }, first[4] = { 0 };
    for (int64_t i = 0; i < COUNT; i++) seen[(int64_t)wk_at(many, i)]++;
    cr_expect_eq(seen[1], 0);
    const int64_t possible[] = { seen[0], seen[2], seen[3], seen[4] };
    const double expected[] = { COUNT * 0.1, COUNT * 0.3, COUNT * 0.05, COUNT * 0.55 };
    cr_expect_lt(chi_square(possible, expected, 4), 16.3, "3 degrees of freedom, once in a thousand");

    /* Without replacement: every line its two positions, and the first as if there were one draw. */
    wk_tensor *lines = wk_expand(wk_from_array(WK_F32, WK_DIMS(1, 5), weights), WK_DIMS(20000, 5));
    wk_tensor *pairs = wk_multinomial(lines, key_of(2, 3), (wk_multinomial_opts){ 2, false });
    static const int among[] = { 0, -1, 1, 2, 3 };
    for (int64_t i = 0; i < 20000; i++) {
        const int64_t a = (int64_t)wk_at(pairs, 2 * i), b = (int64_t)wk_at(pairs, 2 * i + 1);
        cr_assert(a != b && a != 1 && b != 1, "%lld, %lld", (long long)a, (long long)b);
        first[among[a]]++;
    }
    const double of_first[] = { 2000, 6000, 1000, 11000 };
    cr_expect_lt(chi_square(first, of_first, 4), 16.3);
    wk_scope_end(scope);
}

Test(random_rows, stay_within_their_bounds) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *u = wk_uniform(key_of(1, 0), (wk_uniform_opts){ WK_DIMS(COUNT), WK_F32, WK_SET(0.1), WK_SET(0.3) });
    cr_expect_geq(wk_item(wk_amin(u, (wk_reduce_opts){ 0 })), 0.1f);
    cr_expect_lt(wk_item(wk_amax(u, (wk_reduce_opts){ 0 })), 0.3f);
    wk_tensor *k = wk_randint(key_of(1, 1), (wk_randint_opts){ WK_DIMS(COUNT), -3, 4 });
    int64_t seen[7] = { 0 };
    for (int64_t i = 0; i < COUNT; i++) seen[(int64_t)wk_at(k, i) + 3]++;
    for (int i = 0; i < 7; i++) /* binomial: five deviations */
        cr_expect_lt(fabs((double)seen[i] - COUNT / 7.0), 5 * sqrt(COUNT * 6 / 49.0), "%d seen %lld times", i - 3,
                     (long long)seen[i]);
    wk_scope_end(scope);
}

Test(random_rows, bernoulli_has_its_probabilities) {
    wk_scope scope = wk_scope_begin();
    static const double expected[] = { 0, 0.25, 0.9, 1 };
    for (int i = 0; i < 4; i++) {
        wk_tensor *y = wk_bernoulli(wk_full(WK_F32, WK_DIMS(COUNT), expected[i]), key_of(3, i));
        double p = wk_item(wk_mean(y, (wk_reduce_opts){ 0 })), q = expected[i];
        cr_expect_leq(fabs(p - q), 5 * sqrt(q * (1 - q) / COUNT) + 1e-6, "%g instead of %g", p, q);
    }
    wk_scope_end(scope);
}

Test(random_rows, a_permutation_holds_every_number_once) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *order = wk_permutation(key_of(5, 5), 1000);
    bool seen[1000] = { false };
    int64_t moved = 0;
    for (int64_t i = 0; i < 1000; i++) {
        int64_t at = (int64_t)wk_at(order, i);
        cr_assert(at >= 0 && at < 1000 && !seen[at]);
        seen[at] = true;
        moved += at != i;
    }
    cr_expect_gt(moved, 980);
    wk_scope_end(scope);
}

Test(random_rows, keys_are_drawn_in_order) {
    wk_scope scope = wk_scope_begin();
    wk_manual_seed(11);
    wk_tensor *first = wk_random_key(), *second = wk_random_key();
    cr_expect_eq(wk_at(first, 0), 11);
    cr_expect_eq(wk_at(second, 1), wk_at(first, 1) + 1);
    wk_scope_end(scope);
}
