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

/* In how many of the orders of n and m rounds exactly u pairs have the second one first. */
static double orders(int n, int m, int u) {
    static double table[WK__BENCH_ROUNDS + 1][WK__BENCH_ROUNDS + 1][WK__BENCH_ROUNDS * WK__BENCH_ROUNDS + 1];
    static bool filled;
    const int most = WK__BENCH_ROUNDS * WK__BENCH_ROUNDS;
    for (int i = 0; i <= WK__BENCH_ROUNDS && !filled; i++)
        for (int k = 0; k <= WK__BENCH_ROUNDS; k++)
            for (int at = 0; at <= most; at++)
                table[i][k][at] =
                    i == 0 || k == 0 ? at == 0 : (at >= k ? table[i - 1][k][at - k] : 0) + table[i][k - 1][at];
    filled = true;
    return table[n][m][u];
}

double wk__rank_test(const double *a, int n, const double *b, int m) {
    double u = 0, all = 0, beyond = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < m; k++) u += b[k] < a[i] ? 1 : b[k] == a[i] ? 0.5 : 0;
    double least = fmin(u, n * m - u);
    for (int at = 0; at <= n * m; at++) {
        all += orders(n, m, at);
        if (at <= least) beyond += orders(n, m, at);
    }
    return all > 0 ? fmin(1, 2 * beyond / all) : 1;
}

/* ---- the earlier file ---- */

static const char *text_of(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool is_same(const json_t *old, const wk__bench_line *line) {
    return strcmp(text_of(old, "row"), line->row) == 0 && strcmp(text_of(old, "sample"), line->sample) == 0
           && strcmp(text_of(old, "mode"), line->mode) == 0 && strcmp(text_of(old, "operands"), line->operands) == 0;
}

/* The rounds of a line; how many. */
static int rounds_of(const json_t *old, double rounds[WK__BENCH_ROUNDS]) {
    const json_t *all = json_object_get(old, "wick_rounds_ns");
    int count = 0;
    size_t i;
    json_t *value;
    json_array_foreach(all, i, value) {
        if (count < WK__BENCH_ROUNDS && json_number_value(value) > 0) rounds[count++] = json_number_value(value);
    }
    return count;
}

static void print_pair(const wk__bench_line *line, const json_t *old, int counts[3]) {
    double rounds[WK__BENCH_ROUNDS], before = json_number_value(json_object_get(old, "wick_ns"));
    int count = rounds_of(old, rounds);
    double p = count > 1 ? wk__rank_test(rounds, count, line->rounds, WK__BENCH_ROUNDS) : 1;
    double ratio = line->wick_ns > 0 ? before / line->wick_ns : 0;
    bool differs = p < 0.01;
    counts[!differs ? 0 : ratio > 1 ? 1 : 2]++;
    (void)printf("%-28s %-22s %-8s %11.2f %11.2f %6.2f %7.4f  %s\n", line->row, line->sample, line->mode, before / 1e3,
                 line->wick_ns / 1e3, ratio, p,
                 !differs    ? ""
                 : ratio > 1 ? "faster"
                             : "slower");
}

/* What a comparison must not hide: times of another machine or setting say nothing of the code. */
static void warn_of(const char *what, const char *before, const char *now) {
    if (strcmp(before, now) != 0)
        (void)printf("warning: the earlier %s is \"%s\", this one \"%s\"\n", what, before, now);
}

static json_t *load(const char *path) {
    json_error_t error;
    json_t *all = json_load_file(path, 0, &error);
    if (!all)
        return (void)wk_fail(WK_FORMAT, "--compare %s: line %d: %s; expected a file of --json", path, error.line,
                             error.text),
               NULL;
    if (json_is_array(json_object_get(all, "lines"))) return all;
    json_decref(all);
    return (void)wk_fail(WK_FORMAT, "--compare %s: there are no \"lines\"; expected a file of --json", path), NULL;
}

wk_status wk__bench_check_earlier(const char *path) {
    json_t *all = load(path);
    json_decref(all);
    return all ? WK_OK : wk_error_code();
}

wk_status wk__bench_compare(const wk__bench_report *report, const char *path) {
    json_t *all = load(path), *lines = json_object_get(all, "lines"), *old;
    if (!all) return wk_error_code();
    char threads[20], before[20];
    int counts[3] = { 0 }, found = 0;
    (void)snprintf(threads, sizeof threads, "%d", report->threads);
    (void)snprintf(before, sizeof before, "%d", (int)json_integer_value(json_object_get(all, "threads")));
    (void)printf("\nbeside %s, revision %s\n", path, text_of(all, "revision"));
    warn_of("processor", text_of(all, "processor"), report->processor);
    warn_of("dtype", text_of(all, "dtype"), report->dtype);
    warn_of("cache", text_of(all, "cache"), report->cache);
    warn_of("number of threads", before, threads);
    (void)printf("%-28s %-22s %-8s %11s %11s %6s %7s\n", "row", "sample", "mode", "before us", "now us", "ratio", "p");
    for (int k = 0; k < report->count; k++) {
        size_t i;
        json_array_foreach(lines, i, old) {
            if (!is_same(old, &report->line[k])) continue;
            print_pair(&report->line[k], old, counts);
            found++;
            break;
        }
    }
    (void)printf("%d lines compared: %d faster, %d slower (p < 0.01), %d as before; %d are not in the earlier file\n",
                 found, counts[1], counts[2], counts[0], report->count - found);
    json_decref(all);
    return WK_OK;
}
