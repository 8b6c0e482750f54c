/* report.c: a workload as a line of the table and as JSON. */
#include "bench/steps/steps.h"

#include "base/base.h"

#include <math.h>

static const double MIB = 1024 * 1024;

/* ---- what follows from the rounds ---- */

static double median(const wk__steps_line *line, const double *rounds) {
    return wk__bench_median(rounds, line->rounds);
}

static bool has_peer(const wk__steps_line *line) {
    return line->peer.step[0] > 0;
}

typedef struct ratios {
    double rounds[WK__BENCH_MOST_ROUNDS], middle, least, greatest;
} ratios;

static ratios ratios_of(const wk__steps_line *line) {
    ratios r = { .least = INFINITY };
    for (int i = 0; i < line->rounds; i++) {
        r.rounds[i] = line->peer.step[i] / line->wick.step[i];
        r.least = fmin(r.least, r.rounds[i]);
        r.greatest = fmax(r.greatest, r.rounds[i]);
    }
    r.middle = median(line, r.rounds);
    return r;
}

/* What a side needs beyond the parameters, gradients and state that both must hold. */
static double beyond(const wk__steps_line *line, const wk__steps_side *side) {
    return median(line, side->peak) - (double)line->of->bytes->held * (double)line->parameters;
}

static double memory_ratio(const wk__steps_line *line) {
    double own = beyond(line, &line->wick);
    return own > 0 ? beyond(line, &line->peer) / own : 0;
}

/* By how many percent the exchange of gradients makes a step longer. */
static double exchange_of(const wk__steps_line *line, const wk__steps_side *side) {
    double bare = median(line, side->bare);
    return bare > 0 ? 100 * (median(line, side->step) / bare - 1) : 0;
}

static double percent_of_limit(const wk__steps_line *line) {
    return 100 * line->limit / median(line, line->wick.step);
}

/* ---- the table ---- */

void wk__steps_print_heading(void) {
    (void)printf("%-16s %10s %6s %10s %6s %14s %7s %15s %15s %6s\n", "workload", "wick ms", "noise", "peer ms", "ratio",
                 "least-greatest", "% limit", "start s", "peak MiB", "beyond");
}

/* "0.02 / 2.31"; without a peer "0.02 / -" */
static void print_pair(int width, const char *format, double own, double other, bool both) {
    char text[60], half[28] = "-";
    int length = snprintf(text, sizeof text, format, own);
    if (both) (void)snprintf(half, sizeof half, format, other);
    (void)snprintf(text + length, sizeof text - (size_t)length, " / %s", half);
    (void)printf(" %*s", width, text);
}

static void print_ratio(const wk__steps_line *line) {
    char span[40];
    if (!has_peer(line)) {
        (void)printf(" %10s %6s %14s", "-", "-", "-");
        return;
    }
    ratios r = ratios_of(line);
    (void)snprintf(span, sizeof span, "%.2f-%.2f", r.least, r.greatest);
    (void)printf(" %10.3f %6.2f %14s", 1e3 * median(line, line->peer.step), r.middle, span);
}

static void print_ranks(const wk__steps_line *line) {
    (void)printf("  exchange %+.1f %%, exposed %.2f ms", exchange_of(line, &line->wick),
                 1e3 * median(line, line->wick.exposed));
    if (has_peer(line)) (void)printf("; peer's exchange %+.1f %%", exchange_of(line, &line->peer));
}

static const char *title_of(const wk__steps_line *line) {
    static const char *const further[] = { [WK__TORCH_COMPILED] = "  compiled", [WK__ONNX_RUNTIME] = "  onnxruntime" };
    return line->against == WK__TORCH ? line->workload : further[line->against];
}

void wk__steps_print(const wk__steps_line *line) {
    bool both = has_peer(line);
    (void)printf("%-16s %10.3f %5.1f%%", title_of(line), 1e3 * median(line, line->wick.step),
                 wk__bench_noise(line->wick.step, line->rounds));
    print_ratio(line);
    if (line->limit > 0)
        (void)printf(" %7.1f", percent_of_limit(line));
    else
        (void)printf(" %7s", "-");
    print_pair(15, "%.2f", median(line, line->wick.start), both ? median(line, line->peer.start) : 0, both);
    print_pair(15, "%.0f", median(line, line->wick.peak) / MIB, both ? median(line, line->peer.peak) / MIB : 0, both);
    if (both && memory_ratio(line) > 0)
        (void)printf(" %6.1f", memory_ratio(line));
    else
        (void)printf(" %6s", "-");
    if (line->ranks > 1) print_ranks(line);
    if (line->against == WK__TORCH_COMPILED) (void)printf("  first step %.1f s", median(line, line->peer.first));
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
}

/* ---- JSON ---- */

static json_t *in_ns(const wk__steps_line *line, const double *seconds) {
    double ns[WK__BENCH_MOST_ROUNDS];
    for (int i = 0; i < line->rounds; i++) ns[i] = 1e9 * seconds[i];
    return wk__bench_numbers(ns, line->rounds);
}

/* The keys of a side begin with its name, as those of `wick bench ops --json`. */
static void add_side(json_t *object, const char *prefix, const wk__steps_line *line, const wk__steps_side *side) {
    char key[40];
#define KEY(text) ((void)snprintf(key, sizeof key, "%s_" text, prefix), key)
    (void)json_object_set_new(object, KEY("ns"), json_real(1e9 * median(line, side->step)));
    (void)json_object_set_new(object, KEY("rounds_ns"), in_ns(line, side->step));
    (void)json_object_set_new(object, KEY("noise_percent"), json_real(wk__bench_noise(side->step, line->rounds)));
    (void)json_object_set_new(object, KEY("start_s"), json_real(median(line, side->start)));
    (void)json_object_set_new(object, KEY("first_step_s"), json_real(median(line, side->first)));
    (void)json_object_set_new(object, KEY("peak_bytes"), json_real(median(line, side->peak)));
    if (line->ranks > 1) (void)json_object_set_new(object, KEY("exchange_percent"), json_real(exchange_of(line, side)));
#undef KEY
}

static json_t *cost_object(const wk_cost *cost) {
    return json_pack("{s:f, s:f}", "operations", cost->operations, "bytes", cost->bytes);
}

static void add_limit(json_t *object, const wk__steps_line *line) {
    (void)json_object_set_new(object, "limit_ns", json_real(1e9 * line->limit));
    (void)json_object_set_new(object, "percent_of_limit", json_real(percent_of_limit(line)));
    (void)json_object_set_new(object, "forward", cost_object(&line->cost.forward));
    (void)json_object_set_new(object, "backward", cost_object(&line->cost.backward));
    (void)json_object_set_new(object, "optimizer", cost_object(&line->cost.optimizer));
}

static void add_ratio(json_t *object, const wk__steps_line *line) {
    ratios r = ratios_of(line);
    (void)json_object_set_new(object, "peer", json_string(line->peer.name));
    (void)json_object_set_new(object, "ratio", json_real(r.middle));
    (void)json_object_set_new(object, "ratio_least", json_real(r.least));
    (void)json_object_set_new(object, "ratio_greatest", json_real(r.greatest));
    if (memory_ratio(line) > 0) (void)json_object_set_new(object, "memory_ratio", json_real(memory_ratio(line)));
}

static const char *const modes[] = { "eager", "compile", "onnxruntime" };

json_t *wk__steps_object(const wk__steps_line *line, const char *repeat) {
    json_t *object = json_pack("{s:s, s:s, s:s, s:i, s:i, s:I, s:s}", "workload", line->workload, "dtype",
                               wk_dtype_name(line->dtype), "mode", modes[line->against], "ranks", line->ranks,
                               "threads", line->threads, "parameters", (json_int_t)line->parameters, "repeat", repeat);
    add_side(object, "wick", line, &line->wick);
    if (line->limit > 0) add_limit(object, line);
    if (line->ranks > 1)
        (void)json_object_set_new(object, "exposed_ns", json_real(1e9 * median(line, line->wick.exposed)));
    if (!has_peer(line)) return object;
    add_side(object, "peer", line, &line->peer);
    add_ratio(object, line);
    return object;
}
