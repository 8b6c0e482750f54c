/* report.c: what was measured, as a table that grows while it is measured, and as JSON. */
#include "bench/bench.h"

#include "base/base.h"
#include "tensor/backend.h"

#include <jansson.h>
#include <string.h>

static const double SLOW = 0.5; /* of the peer's speed */

/* ---- what it was measured with ---- */

static void describe_build(char *text, size_t size, const char *isa) {
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

void wk__report_begin(wk__bench_report *report, const wk__bench_opts *opts, const wk__peer *peer) {
    wk_device_info info = { 0 };
    (void)wk__cpu_device_info(&info);
    *report = (wk__bench_report){ .threads = wk_threads() };
    (void)snprintf(report->processor, sizeof report->processor, "%s", info.name);
    (void)snprintf(report->peer, sizeof report->peer, "%s", peer ? peer->name : "");
    describe_build(report->build, sizeof report->build, info.instruction_set);
    char *git[] = { "git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*", NULL };
    wk__first_line_of(git, report->revision, sizeof report->revision);
    (void)printf("processor: %s, %d cores; threads: %d; dtype: %s\nbuild: %s; revision: %s\n", report->processor,
                 info.threads, report->threads, wk_dtype_name(opts->dtype), report->build,
                 *report->revision ? report->revision : "unknown");
    if (peer) (void)printf("peer: %s; ratio: its time over Wick's, above 1 Wick is faster\n", peer->name);
    (void)printf("%-28s %-22s %-8s %11s %11s %6s %8s %9s\n", "row", "sample", "mode", "wick us", "peer us", "ratio",
                 "GB/s", "Gop/s");
}

/* ---- lines ---- */

static void print_line(const wk__bench_line *line) {
    (void)printf("%-28s %-22s %-8s %11.2f ", line->row, line->sample, line->mode, line->wick_ns / 1e3);
    if (line->peer_ns > 0)
        (void)printf("%11.2f %6.2f", line->peer_ns / 1e3, line->ratio);
    else
        (void)printf("%11s %6s", "-", "-");
    (void)printf(" %8.2f %9.2f", line->cost.bytes / line->wick_ns, line->cost.operations / line->wick_ns);
    (void)printf("%s%s\n", *line->note ? "  " : "", line->note);
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

wk_status wk__report_save(const wk__bench_report *report, const char *path) {
    json_t *lines = json_array();
    for (int i = 0; i < report->count; i++) {
        const wk__bench_line *line = &report->line[i];
        json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:f}", "row", line->row, "sample", line->sample,
                                   "operands", line->operands, "mode", line->mode, "wick_ns", line->wick_ns, "bytes",
                                   line->cost.bytes, "operations", line->cost.operations);
        if (line->peer_ns > 0) {
            (void)json_object_set_new(object, "peer_ns", json_real(line->peer_ns));
            (void)json_object_set_new(object, "ratio", json_real(line->ratio));
        }
        if (*line->note) (void)json_object_set_new(object, "note", json_string(line->note));
        (void)json_array_append_new(lines, object);
    }
    json_t *all =
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:o}", "processor", report->processor, "build", report->build, "revision",
                  report->revision, "peer", report->peer, "threads", report->threads, "lines", lines);
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
