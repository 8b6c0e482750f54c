/* compare.c: what was measured now beside a file of an earlier time.
 *
 * Two lines differ where the rounds of one are faster than those of the other more often than chance would have it: the
 * test of Mann and Whitney (1947), by counting all orders that the rounds could stand in.  It asks nothing of how times
 * are distributed.
 */
#include "bench/bench.h"

#include "base/base.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

/* ---- the test ---- */

/* In how many of the orders of n and m rounds exactly u pairs have the second one first, for each u: the coefficients
 * of the Gaussian binomial, the product over i of (1 - q^(m+i)) / (1 - q^i). */
static void count_orders(int n, int m, double *ways /* (n m + 1) */) {
    memset(ways, 0, (size_t)(n * m + 1) * sizeof *ways);
    ways[0] = 1;
    for (int i = 1; i <= n; i++) {
        for (int u = n * m; u >= m + i; u--) ways[u] -= ways[u - m - i];
        for (int u = i; u <= n * m; u++) ways[u] += ways[u - i];
    }
}

double wk__rank_test(const double *a, int n, const double *b, int m) {
    double ways[WK__BENCH_MOST_ROUNDS * WK__BENCH_MOST_ROUNDS + 1], u = 0, all = 0, beyond = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < m; k++) u += b[k] < a[i] ? 1 : b[k] == a[i] ? 0.5 : 0;
    count_orders(n, m, ways);
    double least = fmin(u, n * m - u);
    for (int at = 0; at <= n * m; at++) {
        all += ways[at];
        if (at <= least) beyond += ways[at];
    }
    return fmin(1, 2 * beyond / all);
}

/* ---- the earlier file ---- */

/* What names a line, and the unit that its times are read in. */
static const struct kind {
    const char *name, *key[4], *unit;
    double ns;
} kinds[] = {
    { "ops", { "row", "sample", "mode", "operands" }, "us", 1e3 },
    { "steps", { "workload", "dtype", "mode" }, "ms", 1e6 },
};

static const char *text_of(const json_t *object, const char *key) {
    const char *text = key ? json_string_value(json_object_get(object, key)) : NULL;
    return text ? text : "";
}

static const struct kind *kind_of(const json_t *all) {
    for (size_t i = 0; i < WK_COUNT(kinds); i++)
        if (strcmp(text_of(all, "kind"), kinds[i].name) == 0) return &kinds[i];
    return NULL;
}

static bool is_same(const struct kind *kind, const json_t *a, const json_t *b) {
    for (size_t i = 0; i < WK_COUNT(kind->key); i++)
        if (strcmp(text_of(a, kind->key[i]), text_of(b, kind->key[i])) != 0) return false;
    return true;
}

/* The rounds of a line; how many. */
static int rounds_of(const json_t *line, double rounds[WK__BENCH_MOST_ROUNDS]) {
    const json_t *all = json_object_get(line, "wick_rounds_ns");
    int count = 0;
    size_t i;
    json_t *value;
    json_array_foreach(all, i, value) {
        if (count < WK__BENCH_MOST_ROUNDS && json_number_value(value) > 0) rounds[count++] = json_number_value(value);
    }
    return count;
}

static void print_pair(const struct kind *kind, const json_t *line, const json_t *old, int counts[3]) {
    double rounds[WK__BENCH_MOST_ROUNDS], old_rounds[WK__BENCH_MOST_ROUNDS];
    int count = rounds_of(line, rounds), old_count = rounds_of(old, old_rounds);
    double p = count && old_count ? wk__rank_test(old_rounds, old_count, rounds, count) : 1;
    double before = json_number_value(json_object_get(old, "wick_ns")),
           now = json_number_value(json_object_get(line, "wick_ns")), ratio = now > 0 ? before / now : 0;
    bool differs = p < 0.01;
    counts[!differs ? 0 : ratio > 1 ? 1 : 2]++;
    (void)printf("%-28s %-22s %-8s %11.2f %11.2f %6.2f %7.4f  %s\n", text_of(line, kind->key[0]),
                 text_of(line, kind->key[1]), text_of(line, kind->key[2]), before / kind->ns, now / kind->ns, ratio, p,
                 !differs    ? "same"
                 : ratio > 1 ? "faster"
                             : "slower");
}

/* What a comparison must not hide: times of another machine or setting say nothing of the code. */
static void warn_of(const json_t *before, const json_t *now, const char *key) {
    const char *a = text_of(before, key), *b = text_of(now, key);
    if (strcmp(a, b) != 0) (void)printf("warning: the earlier %s is \"%s\", this one \"%s\"\n", key, a, b);
}

static void warn_of_threads(const json_t *before, const json_t *now) {
    int a = (int)json_integer_value(json_object_get(before, "threads")),
        b = (int)json_integer_value(json_object_get(now, "threads"));
    if (a != b) (void)printf("warning: the earlier number of threads is %d, this one %d\n", a, b);
}

static json_t *load(const char *path, const char *kind) {
    json_error_t error;
    json_t *all = json_load_file(path, 0, &error);
    if (!all)
        return wk_fail_null(WK_FORMAT, "--compare %s: line %d: %s; expected a file of --json", path, error.line,
                            error.text);
    if (!json_is_array(json_object_get(all, "lines")))
        (void)wk_fail(WK_FORMAT, "--compare %s: there are no \"lines\"; expected a file of --json", path);
    else if (strcmp(text_of(all, "kind"), kind) != 0)
        (void)wk_fail(WK_FORMAT, "--compare %s: its kind is \"%s\"; expected a file of `wick bench %s --json`", path,
                      text_of(all, "kind"), kind);
    else
        return all;
    json_decref(all);
    return NULL;
}

wk_status wk__bench_check_earlier(const char *path, const char *kind) {
    json_t *all = load(path, kind);
    json_decref(all);
    return all ? WK_OK : wk_error_code();
}

wk_status wk__bench_compare(const json_t *now, const char *path) {
    const struct kind *kind = kind_of(now);
    json_t *all = load(path, kind->name), *line, *old;
    if (!all) return wk_error_code();
    int counts[3] = { 0 }, found = 0;
    size_t k, i;
    (void)printf("\nbeside %s, revision %s\n", path, text_of(all, "revision"));
    warn_of(all, now, "processor");
    warn_of(all, now, "dtype");
    warn_of(all, now, "cache");
    warn_of_threads(all, now);
    (void)printf("%-28s %-22s %-8s %8s %s %8s %s %6s %7s\n", kind->key[0], kind->key[1], kind->key[2], "before",
                 kind->unit, "now", kind->unit, "ratio", "p");
    json_array_foreach(json_object_get(now, "lines"), k, line){
        json_array_foreach(json_object_get(all, "lines"), i, old){ if (!is_same(kind, old, line)) continue;
    print_pair(kind, line, old, counts);
    found++;
    break;
}
}
(void)printf("%d lines compared: %d faster, %d slower (p < 0.01), %d the same; %d are not in the earlier file\n", found,
             counts[1], counts[2], counts[0], (int)k - found);
json_decref(all);
return WK_OK;
}
