/* report.c: what was measured, as a table that grows while it is measured, and as JSON. */
#include "bench/bench.h"

#include "base/base.h"
#include "tensor/backend.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const double SLOW = 0.5; /* of the peer's speed */

/* ---- what it was measured with ---- */

void wk__bench_describe_build(char *text, size_t size, const char *isa) {
#ifdef __clang__
    const char *compiler = "clang " __clang_version__;
#else
    const char *compiler = "gcc " __VERSION__;
#endif
#ifdef WICK_DEBUG
    const char *kind = "debug";
#else
    const char *kind = "release";
#endif
    (void)snprintf(text, size, "wick %s, %s, %s, kernels %s", wk_version(), kind, compiler, isa);
}

wk_status wk__report_begin(wk__bench_report *report, const wk__bench_opts *opts, const wk__peer *peer) {
    wk_device_info info = { 0 };
    (void)wk__cpu_device_info(&info);
    *report = (wk__bench_report){ .threads = wk_threads(), .opts = opts };
    (void)snprintf(report->processor, sizeof report->processor, "%s", info.name);
    (void)snprintf(report->peer, sizeof report->peer, "%s", peer ? peer->name : "");
    (void)snprintf(report->dtype, sizeof report->dtype, "%s", wk_dtype_name(opts->dtype));
    (void)snprintf(report->cache, sizeof report->cache, "%s", opts->cold ? "cold" : "hot");
    wk__bench_describe_build(report->build, sizeof report->build, info.instruction_set);
    char *git[] = { "git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*", NULL };
    wk__first_line_of(git, report->revision, sizeof report->revision);
    WK_TRY(wk__roofs_measure(&report->roofs, report->threads));
    (void)printf("processor: %s, %d cores; threads: %d; dtype: %s; caches: %s\nbuild: %s; revision: %s\n",
                 report->processor, info.threads, report->threads, report->dtype, report->cache, report->build,
                 *report->revision ? report->revision : "unknown");
    wk__roofs_print(&report->roofs, stdout);
    if (peer) (void)printf("peer: %s; ratio: its time over Wick's, above 1 Wick is faster\n", peer->name);
    (void)printf("%-28s %-22s %-8s %11s %6s %11s %6s %8s %9s %6s\n", "row", "sample", "mode", "wick us", "noise",
                 "peer us", "ratio", "GB/s", "Gop/s", "% roof");
    return WK_OK;
}

/* ---- lines ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double wk__bench_median(const double values[WK__BENCH_ROUNDS]) {
    double sorted[WK__BENCH_ROUNDS];
    memcpy(sorted, values, sizeof sorted);
    qsort(sorted, WK__BENCH_ROUNDS, sizeof *sorted, by_value);
    return sorted[WK__BENCH_ROUNDS / 2];
}

/* Half of the rounds lie within so many percent of the median. */
double wk__bench_noise(const double values[WK__BENCH_ROUNDS]) {
    double sorted[WK__BENCH_ROUNDS];
    memcpy(sorted, values, sizeof sorted);
    qsort(sorted, WK__BENCH_ROUNDS, sizeof *sorted, by_value);
    double middle = sorted[WK__BENCH_ROUNDS / 2];
    double spread = sorted[WK__BENCH_ROUNDS * 3 / 4] - sorted[WK__BENCH_ROUNDS / 4];
    return middle > 0 ? 100 * spread / middle : 0;
}

static double percent_of_roof(const wk__bench_line *line) {
    return line->wick_ns > 0 ? 100 * 1e9 * line->limit / line->wick_ns : 0;
}

static void print_line(const wk__bench_line *line) {
    (void)printf("%-28s %-22s %-8s ", line->row, line->sample, line->mode);
    if (line->wick_ns > 0)
        (void)printf("%11.2f %5.1f%% ", line->wick_ns / 1e3, wk__bench_noise(line->rounds));
    else
        (void)printf("%s", line->note);
    if (line->wick_ns > 0 && line->peer_ns > 0)
        (void)printf("%11.2f %6.2f", line->peer_ns / 1e3, line->ratio);
    else if (line->wick_ns > 0)
        (void)printf("%11s %6s", "-", "-");
    if (line->wick_ns > 0)
        (void)printf(" %8.2f %9.2f %6.1f%s%s", line->cost.bytes / line->wick_ns, line->cost.operations / line->wick_ns,
                     percent_of_roof(line), *line->note ? "  " : "", line->note);
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
}

wk_status wk__report_add(wk__bench_report *report, wk__bench_line line) {
    if (report->count == report->capacity) {
        int capacity = report->capacity ? 2 * report->capacity : 256;
        wk__bench_line *grown = wk_alloc((size_t)capacity * sizeof *grown);
        if (!grown) return WK_NO_MEMORY;
        if (report->count) memcpy(grown, report->line, (size_t)report->count * sizeof *grown);
        wk_free(report->line);
        report->line = grown;
        report->capacity = capacity;
    }
    report->line[report->count++] = line;
    print_line(&line);
    return WK_OK;
}

void wk__report_summary(const wk__bench_report *report) {
    if (!*report->peer) return;
    int compared = 0, slow = 0;
    for (int i = 0; i < report->count; i++) compared += report->line[i].ratio > 0;
    (void)printf("%d lines compared; below %.1f:", compared, SLOW);
    for (int i = 0; i < report->count; i++) {
        const wk__bench_line *line = &report->line[i];
        if (line->ratio <= 0 || line->ratio >= SLOW) continue;
        (void)printf("%s %s \"%s\" %s (%.2f)", slow++ ? "," : "", line->row, line->sample, line->mode, line->ratio);
    }
    (void)printf("%s\n", slow ? "" : " none");
}

static json_t *numbers(const double values[WK__BENCH_ROUNDS]) {
    json_t *array = json_array();
    for (int r = 0; r < WK__BENCH_ROUNDS; r++) (void)json_array_append_new(array, json_real(values[r]));
    return array;
}

/* What to type to measure this line again. */
static json_t *repeat_line(const wk__bench_report *report, const wk__bench_line *line) {
    return json_sprintf("wick bench ops %s --sample '%s' --mode %s --dtype %s --threads %d --%s --min-time %g%s%s",
                        line->row, line->sample, line->mode, report->dtype, report->threads, report->cache,
                        report->opts->min_time, report->opts->peer ? " --peer " : "",
                        report->opts->peer ? report->opts->peer : "");
}

static json_t *line_object(const wk__bench_report *report, const wk__bench_line *line) {
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:o}", "row", line->row, "sample", line->sample, "operands",
                               line->operands, "mode", line->mode, "repeat", repeat_line(report, line));
    if (line->wick_ns > 0) {
        json_t *times = json_pack("{s:f, s:o, s:f, s:f, s:f}", "wick_ns", line->wick_ns, "wick_rounds_ns",
                                  numbers(line->rounds), "bytes", line->cost.bytes, "operations", line->cost.operations,
                                  "percent_of_roof", percent_of_roof(line));
        (void)json_object_update_new(object, times);
    }
    if (line->peer_ns > 0) {
        (void)json_object_set_new(object, "peer_ns", json_real(line->peer_ns));
        (void)json_object_set_new(object, "peer_rounds_ns", numbers(line->peer_rounds));
        (void)json_object_set_new(object, "ratio", json_real(line->ratio));
    }
    if (*line->note) (void)json_object_set_new(object, "note", json_string(line->note));
    return object;
}

static json_t *roofs_object(const wk__roofs *roofs) {
    json_t *levels = json_array();
    for (int i = 0; i < WK__ROOF_LEVELS; i++)
        (void)json_array_append_new(
            levels, json_pack("{s:s, s:f}", "level", roofs->level[i].name, "bytes_per_second", roofs->level[i].rate));
    return json_pack("{s:o, s:f, s:f, s:f, s:f}", "bandwidth", levels, "f32_operations_per_second", roofs->f32,
                     "f64_operations_per_second", roofs->f64, "bf16_operations_per_second", roofs->bf16,
                     "fork_join_seconds", roofs->fork_join);
}

wk_status wk__report_save(const wk__bench_report *report, const char *path) {
    json_t *lines = json_array();
    for (int i = 0; i < report->count; i++) (void)json_array_append_new(lines, line_object(report, &report->line[i]));
    json_t *all =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:o, s:o}", "processor", report->processor, "build",
                  report->build, "revision", report->revision, "peer", report->peer, "dtype", report->dtype, "cache",
                  report->cache, "threads", report->threads, "roofs", roofs_object(&report->roofs), "lines", lines);
    FILE *file = fopen(path, "we");
    bool written = all && file && json_dumpf(all, file, JSON_INDENT(1)) == 0 && fputc('\n', file) != EOF;
    if (file) written = fclose(file) == 0 && written;
    json_decref(all);
    return written ? WK_OK : wk_fail(WK_IO, "%s: cannot be written", path);
}

void wk__report_end(wk__bench_report *report) {
    wk_free(report->line);
    *report = (wk__bench_report){ 0 };
}
