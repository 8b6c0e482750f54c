/* machine.c: what something was measured with, as a header and as JSON, and what the reports do with their numbers. */
#include "bench/bench.h"

#include "base/base.h"
#include "tensor/backend.h"
#include "tensor/tuning.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- what it was measured with ---- */

static void describe_build(char *text, size_t size, const char *isa) {
#ifdef WICK_DEBUG
    const char *kind = "debug";
#else
    const char *kind = "release";
#endif
    (void)snprintf(text, size, "wick %s, %s, %s, kernels %s", wk_version(), kind, WK_COMPILER, isa);
}

/* The tables that products and convolutions are chosen by, beside the rules. */
static void describe_tuning(char *text, size_t size) {
    const wk__tuning_state *tuning = wk__tuning();
    (void)snprintf(text, size, "%s%s%s%s", tuning->shipped_loaded ? tuning->family : "",
                   tuning->shipped_loaded && tuning->own_loaded ? ", " : "", tuning->own_loaded ? tuning->own : "",
                   tuning->shipped_loaded || tuning->own_loaded ? "" : "none");
}

void wk__machine_describe(wk__bench_machine *machine) {
    wk_device_info info = { 0 };
    (void)wk__cpu_device_info(&info);
    *machine = (wk__bench_machine){ .cores = info.threads, .threads = wk_threads(), .device = "cpu" };
    (void)snprintf(machine->processor, sizeof machine->processor, "%s", info.name);
    describe_build(machine->build, sizeof machine->build, info.instruction_set);
    describe_tuning(machine->tuning, sizeof machine->tuning);
    char *git[] = { "git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*", NULL };
    wk__first_line_of(git, machine->revision, sizeof machine->revision);
}

wk_status wk__machine_measure(wk__bench_machine *machine, wk_device device) {
    wk_device_info info = { 0 };
    wk__machine_describe(machine);
    if (device == WK_CPU) return wk__roofs_measure(&machine->roofs, machine->threads);
    WK_TRY(wk_device_describe(device, &info));
    (void)snprintf(machine->device, sizeof machine->device, "%s: %s, %s", wk_device_name(device), info.name,
                   info.instruction_set);
    return wk__roofs_measure_device(&machine->roofs, device);
}

void wk__machine_print(const wk__bench_machine *machine, const char *setting) {
    (void)printf("processor: %s, %d cores; threads: %d; %s\nbuild: %s; revision: %s; tuning tables: %s\n",
                 machine->processor, machine->cores, machine->threads, setting, machine->build,
                 *machine->revision ? machine->revision : "unknown", machine->tuning);
    if (strcmp(machine->device, "cpu") != 0) (void)printf("device: %s; ", machine->device);
    wk__roofs_print(&machine->roofs, stdout);
}

/* ---- numbers ---- */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void sort(double *sorted, const double *values, int count) {
    memcpy(sorted, values, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_value);
}

double wk__bench_median(const double *values, int count) {
    double sorted[WK__BENCH_MOST_ROUNDS];
    sort(sorted, values, count);
    return (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
}

/* Half of the rounds lie within so many percent of the median. */
double wk__bench_noise(const double *values, int count) {
    double sorted[WK__BENCH_MOST_ROUNDS];
    sort(sorted, values, count);
    double middle = wk__bench_median(values, count), spread = sorted[count * 3 / 4] - sorted[count / 4];
    return middle > 0 ? 100 * spread / middle : 0;
}

/* ---- JSON ---- */

json_t *wk__bench_numbers(const double *values, int count) {
    json_t *array = json_array();
    for (int r = 0; r < count; r++) (void)json_array_append_new(array, json_real(values[r]));
    return array;
}

static json_t *roofs_object(const wk__roofs *roofs) {
    json_t *levels = json_array();
    for (int i = 0; i < WK__ROOF_LEVELS && roofs->level[i].name; i++)
        (void)json_array_append_new(
            levels, json_pack("{s:s, s:f}", "level", roofs->level[i].name, "bytes_per_second", roofs->level[i].rate));
    return json_pack("{s:o, s:f, s:f, s:f, s:f}", "bandwidth", levels, "f32_operations_per_second", roofs->f32,
                     "f64_operations_per_second", roofs->f64, "bf16_operations_per_second", roofs->bf16,
                     "fork_join_seconds", roofs->fork_join);
}

json_t *wk__machine_object(const wk__bench_machine *machine, const char *kind) {
    char date[40] = "";
    time_t now = time(NULL);
    struct tm parts;
    if (gmtime_r(&now, &parts)) (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:o, s:o}", "kind", kind, "date", date, "processor",
                     machine->processor, "device", machine->device, "build", machine->build, "revision",
                     machine->revision, "tuning", machine->tuning, "threads", machine->threads, "roofs",
                     roofs_object(&machine->roofs), "lines", json_array());
}

static wk_status save_as(const json_t *all, const char *path) {
    FILE *file = fopen(path, "we");
    bool written = all && file && json_dumpf(all, file, JSON_INDENT(1)) == 0 && fputc('\n', file) != EOF;
    if (file) written = fclose(file) == 0 && written;
    return written ? WK_OK : wk_fail(WK_IO, "%s: cannot be written", path);
}

wk_status wk__bench_finish(json_t *all, const char *compare, const char *save) {
    wk_status status = all ? WK_OK : wk_fail(WK_NO_MEMORY, "no memory for the report");
    if (status == WK_OK && compare) status = wk__bench_compare(all, compare);
    if (status == WK_OK && save) status = save_as(all, save);
    json_decref(all);
    return status;
}
