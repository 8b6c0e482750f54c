/* report.c: what was measured, as a table that grows while it is measured, and as JSON. */
#include "bench/bench.h"

#include "base/base.h"

#include <jansson.h>
#include <string.h>

static const double SLOW = 0.5; /* of the peer's speed */

wk_status wk__report_begin(wk__bench_report *report, const wk__bench_opts *opts, const wk__peer *peer) {
    char setting[40];
    *report = (wk__bench_report){ .opts = opts };
    (void)snprintf(report->peer, sizeof report->peer, "%s", peer ? peer->name : "");
    (void)snprintf(report->dtype, sizeof report->dtype, "%s", wk_dtype_name(opts->dtype));
    (void)snprintf(report->cache, sizeof report->cache, "%s", opts->cold ? "cold" : "hot");
    WK_TRY(wk__machine_measure(&report->machine));
    (void)snprintf(setting, sizeof setting, "dtype: %s; caches: %s", report->dtype, report->cache);
    wk__machine_print(&report->machine, setting);
    if (peer) (void)printf("peer: %s; ratio: its time over Wick's, above 1 Wick is faster\n", peer->name);
    (void)printf("%-28s %-22s %-8s %11s %6s %11s %6s %8s %9s %6s\n", "row", "sample", "mode", "wick us", "noise",
                 "peer us", "ratio", "GB/s", "Gop/s", "% roof");
    return WK_OK;
}

/* ---- lines ---- */

static double percent_of_roof(const wk__bench_line *line) {
    return line->wick_ns > 0 ? 100 * 1e9 * line->limit / line->wick_ns : 0;
}

static void print_line(const wk__bench_line *line) {
    (void)printf("%-28s %-22s %-8s ", line->row, line->sample, line->mode);
    if (line->wick_ns > 0)
        (void)printf("%11.2f %5.1f%% ", line->wick_ns / 1e3, wk__bench_noise(line->rounds, WK__BENCH_ROUNDS));
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

/* What to type to measure this line again. */
static json_t *repeat_line(const wk__bench_report *report, const wk__bench_line *line) {
    return json_sprintf("wick bench ops %s --sample '%s' --mode %s --dtype %s --threads %d --%s --min-time %g%s%s",
                        line->row, line->sample, line->mode, report->dtype, report->machine.threads, report->cache,
                        report->opts->min_time, report->opts->peer ? " --peer " : "",
                        report->opts->peer ? report->opts->peer : "");
}

static json_t *line_object(const wk__bench_report *report, const wk__bench_line *line) {
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:o}", "row", line->row, "sample", line->sample, "operands",
                               line->operands, "mode", line->mode, "repeat", repeat_line(report, line));
    if (line->wick_ns > 0) {
        json_t *times = json_pack("{s:f, s:o, s:f, s:f, s:f}", "wick_ns", line->wick_ns, "wick_rounds_ns",
                                  wk__bench_numbers(line->rounds, WK__BENCH_ROUNDS), "bytes", line->cost.bytes,
                                  "operations", line->cost.operations, "percent_of_roof", percent_of_roof(line));
        (void)json_object_update_new(object, times);
    }
    if (line->peer_ns > 0) {
        (void)json_object_set_new(object, "peer_ns", json_real(line->peer_ns));
        (void)json_object_set_new(object, "peer_rounds_ns", wk__bench_numbers(line->peer_rounds, WK__BENCH_ROUNDS));
        (void)json_object_set_new(object, "ratio", json_real(line->ratio));
    }
    if (*line->note) (void)json_object_set_new(object, "note", json_string(line->note));
    return object;
}

json_t *wk__report_object(const wk__bench_report *report) {
    json_t *all = wk__machine_object(&report->machine, "ops");
    (void)json_object_set_new(all, "peer", json_string(report->peer));
    (void)json_object_set_new(all, "dtype", json_string(report->dtype));
    (void)json_object_set_new(all, "cache", json_string(report->cache));
    for (int i = 0; i < report->count; i++)
        (void)json_array_append_new(json_object_get(all, "lines"), line_object(report, &report->line[i]));
    return all;
}

void wk__report_end(wk__bench_report *report) {
    wk_free(report->line);
    *report = (wk__bench_report){ 0 };
}
