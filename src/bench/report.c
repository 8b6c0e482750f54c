/* report.c: what was measured, as a table that grows while it is measured, and as JSON. */
#include "bench/bench.h"

#include "base/base.h"

#include <jansson.h>
#include <string.h>

static const double SLOW = 0.5; /* of the peer's speed */

wk_status wk__report_begin(wk__bench_report *report, const wk__bench_opts *opts, const wk__peer *peers, int n_peers) {
    char setting[40];
    *report = (wk__bench_report){ .opts = opts, .peers = peers, .n_peers = n_peers };
    (void)snprintf(report->dtype, sizeof report->dtype, "%s", wk_dtype_name(opts->dtype));
    (void)snprintf(report->cache, sizeof report->cache, "%s", opts->cold ? "cold" : "hot");
    WK_TRY(wk__machine_measure(&report->machine, opts->device));
    (void)snprintf(setting, sizeof setting, "dtype: %s; caches: %s", report->dtype, report->cache);
    wk__machine_print(&report->machine, setting);
    for (int i = 0; i < n_peers; i++) (void)printf("%s%s", i ? ", " : "peer: ", peers[i].name);
    if (n_peers)
        (void)printf("; ratio: its time over Wick's, above 1 Wick is faster (~: by chance, as far as %d rounds tell)\n",
                     WK__BENCH_ROUNDS);
    (void)printf("%-28s %-22s %-8s %11s %6s %11s %6s  %8s %9s %6s%s\n", "row", "sample", "mode", "wick us", "noise",
                 "peer us", "ratio", "GB/s", "Gop/s", "% roof", n_peers > 1 ? "  peer" : "");
    return WK_OK;
}

/* ---- lines ---- */

static double percent_of_roof(const wk__bench_line *line) {
    return line->wick_ns > 0 ? 100 * 1e9 * line->limit / line->wick_ns : 0;
}

/* side NULL: there is no peer. */
static void print_side(const wk__bench_line *line, const wk__bench_side *side, bool named) {
    (void)printf("%-28s %-22s %-8s ", line->row, line->sample, line->mode);
    if (line->wick_ns <= 0) {
        (void)printf("%s\n", line->note);
        return;
    }
    (void)printf("%11.2f %5.1f%% ", line->wick_ns / 1e3, wk__bench_noise(line->rounds, WK__BENCH_ROUNDS));
    if (side && side->ns > 0)
        (void)printf("%11.2f %6.2f%s", side->ns / 1e3, side->ratio, side->p < 0.01 ? " " : "~");
    else
        (void)printf("%11s %6s ", "-", "-");
    (void)printf(" %8.2f %9.2f %6.1f", line->cost.bytes / line->wick_ns, line->cost.operations / line->wick_ns,
                 percent_of_roof(line));
    if (side && (named || *side->note)) (void)printf("  %s", side->peer->name);
    if (side && *side->note) (void)printf(": %s", side->note);
    (void)fputc('\n', stdout);
}

static void print_line(const wk__bench_report *report, const wk__bench_line *line) {
    bool timed = line->wick_ns > 0;
    for (int i = 0; timed && i < report->n_peers; i++) print_side(line, &line->side[i], report->n_peers > 1);
    if (!timed || report->n_peers == 0) print_side(line, NULL, false);
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
    print_line(report, &line);
    return WK_OK;
}

static void summarise(const wk__bench_report *report, int peer) {
    int compared = 0, slow = 0;
    for (int i = 0; i < report->count; i++) compared += report->line[i].side[peer].ratio > 0;
    (void)printf("%d lines compared with %s; below %.1f:", compared, report->peers[peer].name, SLOW);
    for (int i = 0; i < report->count; i++) {
        const wk__bench_line *line = &report->line[i];
        double ratio = line->side[peer].ratio;
        if (ratio <= 0 || ratio >= SLOW) continue;
        (void)printf("%s %s \"%s\" %s (%.2f)", slow++ ? "," : "", line->row, line->sample, line->mode, ratio);
    }
    (void)printf("%s\n", slow ? "" : " none");
}

void wk__report_summary(const wk__bench_report *report) {
    for (int i = 0; i < report->n_peers; i++) summarise(report, i);
}

/* What to type to measure this line again. */
static json_t *repeat_line(const wk__bench_report *report, const wk__bench_line *line) {
    return json_sprintf(
        "wick bench ops %s --sample '%s' --mode %s --dtype %s --threads %d --%s --min-time %g%s%s%s%s%s%s", line->row,
        line->sample, line->mode, report->dtype, report->machine.threads, report->cache, report->opts->min_time,
        report->opts->device ? " --device " : "", report->opts->device ? wk_device_name(report->opts->device) : "",
        report->opts->plugin ? " --plugin " : "", report->opts->plugin ? report->opts->plugin : "",
        report->opts->peers ? " --peer " : "", report->opts->peers ? report->opts->peers : "");
}

static json_t *side_object(const wk__bench_side *side) {
    json_t *object = json_pack("{s:s}", "peer", side->peer->name);
    if (side->ns > 0) {
        json_t *times =
            json_pack("{s:f, s:o, s:f, s:f}", "ns", side->ns, "rounds_ns",
                      wk__bench_numbers(side->rounds, WK__BENCH_ROUNDS), "ratio", side->ratio, "p", side->p);
        (void)json_object_update_new(object, times);
    }
    if (*side->note) (void)json_object_set_new(object, "note", json_string(side->note));
    return object;
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
    json_t *peers = json_array();
    for (int i = 0; line->wick_ns > 0 && i < report->n_peers; i++)
        (void)json_array_append_new(peers, side_object(&line->side[i]));
    if (json_array_size(peers) > 0) (void)json_object_set(object, "peers", peers);
    json_decref(peers);
    if (*line->note) (void)json_object_set_new(object, "note", json_string(line->note));
    return object;
}

json_t *wk__report_object(const wk__bench_report *report) {
    json_t *all = wk__machine_object(&report->machine, "ops"), *peers = json_array();
    for (int i = 0; i < report->n_peers; i++) (void)json_array_append_new(peers, json_string(report->peers[i].name));
    (void)json_object_set_new(all, "peers", peers);
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
