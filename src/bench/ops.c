/* ops.c: `wick bench ops`: every row at its large samples, beside peers where they are asked for.
 *
 * Wick and its peers take turns, WK__BENCH_ROUNDS times each, and a ratio is the median of the rounds' ratios: what
 * slows the machine down for a while slows all.
 */
#include "bench/bench.h"

#include "base/base.h"
#include "tensor/sample.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

typedef struct work {
    const wk__bench_opts *opts;
    wk__bench_report report;
    wk__peer peer[WK__BENCH_MOST_PEERS];
    int n_peers;
    const wk_op_def *row;
    bool only_huge; /* the row has samples made for timing: the others are left out */
    bool shaped;    /* the row was run with the shapes given */
    int samples, differing, wrong;
} work;

/* ---- which rows ---- */

static int by_name(const void *a, const void *b) {
    return strcmp((*(const wk_op_def *const *)a)->name, (*(const wk_op_def *const *)b)->name);
}

/* Rows that serve gradients are timed with the rows whose gradient they are; optimizers with whole steps. */
static bool is_timed(const wk__bench_opts *opts, const wk_op_def *row) {
    if (strcmp(opts->pattern, row->name) == 0) return true;
    bool list_in_place = row->n_in == WK_LIST && row->mutates;
    return !row->internal && !list_in_place && fnmatch(opts->pattern, row->name, 0) == 0;
}

static wk_status unknown(const char *pattern) {
    const char **names = wk_alloc((size_t)wk_op_count() * sizeof *names);
    for (int id = 0; names && id < wk_op_count(); id++) names[id] = wk_op_get(id)->name;
    const char *nearest = names ? wk__nearest(pattern, names, (size_t)wk_op_count()) : NULL;
    (void)wk_fail(WK_NOT_FOUND, "no operation is called \"%s\"; %s%s%s`wick op --list` shows all", pattern,
                  nearest ? "did you mean \"" : "", nearest ? nearest : "", nearest ? "\"? " : "");
    wk_free(names);
    return WK_NOT_FOUND;
}

/* ---- one line ---- */

static double time_wick(const work *w, const wk__subject *subject, wk__bench_mode mode) {
    return wk__subject_time(subject, mode, w->opts->min_time / WK__BENCH_ROUNDS, w->opts->cold);
}

static double time_peer(work *w, int peer, const wk__subject *subject, wk__bench_mode mode) {
    return wk__peer_time(&w->peer[peer], subject, mode, w->opts->min_time / WK__BENCH_ROUNDS, w->opts->cold);
}

static void compare(const wk__bench_line *line, wk__bench_side *side) {
    double ratio[WK__BENCH_ROUNDS];
    for (int r = 0; r < WK__BENCH_ROUNDS; r++) ratio[r] = side->rounds[r] / line->rounds[r];
    side->ns = wk__bench_median(side->rounds, WK__BENCH_ROUNDS);
    side->ratio = wk__bench_median(ratio, WK__BENCH_ROUNDS);
    side->p = wk__rank_test(line->rounds, WK__BENCH_ROUNDS, side->rounds, WK__BENCH_ROUNDS);
}

static wk_status time_rounds(work *w, const wk__subject *subject, wk__bench_mode mode, wk__bench_line *line) {
    for (int r = 0; r < WK__BENCH_ROUNDS; r++) {
        line->rounds[r] = time_wick(w, subject, mode);
        for (int i = 0; i < w->n_peers; i++)
            if (!*line->side[i].note) line->side[i].rounds[r] = time_peer(w, i, subject, mode);
        if (wk_failed()) return wk_error_code();
    }
    line->wick_ns = wk__bench_median(line->rounds, WK__BENCH_ROUNDS);
    for (int i = 0; i < w->n_peers; i++)
        if (!*line->side[i].note) compare(line, &line->side[i]);
    return WK_OK;
}

static wk_status measure(work *w, const wk__subject *subject, wk__bench_mode mode, wk__bench_line line) {
    enum { ATTEMPTS = 5 };
    line.mode = wk__bench_mode_names[mode];
    line.cost = wk__subject_cost(subject, mode);
    line.limit = wk__subject_limit(subject, mode, &w->report.machine.roofs, w->opts->dtype, w->opts->cold);
    for (int i = 0; i < ATTEMPTS; i++) {
        WK_TRY(time_rounds(w, subject, mode, &line));
        if (w->opts->max_noise <= 0 || wk__bench_noise(line.rounds, WK__BENCH_ROUNDS) <= w->opts->max_noise) break;
    }
    return wk__report_add(&w->report, line);
}

static wk_status verify(work *w, const wk__subject *subject, wk__bench_line line) {
    for (int check = 0; check < WK__BENCH_CHECKS; check++) {
        if (!w->opts->verify[check]) continue;
        line.mode = wk__bench_check_names[check];
        w->wrong += !wk__subject_verify(subject, (wk__bench_check)check, line.note, sizeof line.note);
        if (wk_failed()) return wk_error_code();
        WK_TRY(wk__report_add(&w->report, line));
    }
    return WK_OK;
}

static wk_status count_traffic(work *w, const wk__subject *subject, wk__bench_line line) {
    static const char *const names[] = { "traffic", "traffic of grad" };
    bool all = !w->opts->modes[WK__BENCH_FORWARD] && !w->opts->modes[WK__BENCH_GRAD];
    for (int mode = 0; mode < WK__BENCH_MODES; mode++) {
        if (!(all || w->opts->modes[mode]) || (mode == WK__BENCH_GRAD && !subject->has_grad)) continue;
        line.mode = names[mode];
        WK_TRY(wk__subject_count_traffic(subject, (wk__bench_mode)mode, line.note, sizeof line.note));
        WK_TRY(wk__report_add(&w->report, line));
    }
    return WK_OK;
}

static void describe_operands(const wk__subject *subject, char *text, size_t size) {
    size_t at = 0;
    for (int i = 0; i < subject->n_in && at + 1 < size; i++) {
        char one[160] = "-";
        if (subject->in[i]) (void)wk_describe(subject->in[i], one, sizeof one);
        int length = snprintf(text + at, size - at, "%s%s", i ? ", " : "", one);
        at += length > 0 ? (size_t)length : 0;
    }
}

static wk_status run_sample(work *w, wk__subject *subject) {
    wk__bench_line line = { 0 };
    (void)snprintf(line.row, sizeof line.row, "%s", subject->row->name);
    (void)snprintf(line.sample, sizeof line.sample, "%s", subject->label);
    describe_operands(subject, line.operands, sizeof line.operands);
    if (w->n_peers == 0 || w->peer[0].is_library) WK_TRY(wk__subject_want_grad(subject, NULL, NULL));
    for (int i = 0; i < w->n_peers; i++) {
        line.side[i].peer = &w->peer[i];
        WK_TRY(wk__peer_prepare(&w->peer[i], subject, &line.side[i]));
        w->differing += line.side[i].differs;
    }
    WK_TRY(verify(w, subject, line));
    if (w->opts->traffic) return count_traffic(w, subject, line);
    for (int mode = 0; mode < WK__BENCH_MODES; mode++) {
        bool runs = w->opts->modes[mode] && (mode == WK__BENCH_FORWARD || subject->has_grad);
        if (runs) WK_TRY(measure(w, subject, (wk__bench_mode)mode, line));
    }
    return WK_OK;
}

/* A device may lack a kernel: one line says so, and the others are timed. */
static wk_status note_missing(work *w, const wk__subject *subject) {
    wk__bench_line line = { .mode = "-" };
    (void)snprintf(line.row, sizeof line.row, "%s", subject->row->name);
    (void)snprintf(line.sample, sizeof line.sample, "%s", subject->label);
    (void)snprintf(line.note, sizeof line.note, "%.*s", (int)strcspn(wk_message(), "\n"), wk_message());
    wk_clear_error();
    return wk__report_add(&w->report, line);
}

/* ---- the walk ---- */

static bool begins(const char *label, const char *word) {
    return strncmp(label, word, strlen(word)) == 0;
}

static void find_huge(wk_sampler *sampler, const char *label, const wk_sample_in *in, int n_in, const void *attrs) {
    work *w = sampler->context;
    (void)in, (void)n_in, (void)attrs;
    if (begins(label, "huge")) w->only_huge = true;
}

static bool is_asked_for(const work *w, const char *label) {
    if (w->opts->sample) return strcmp(label, w->opts->sample) == 0;
    if (w->opts->shapes) return !w->shaped; /* the first one that is large lends its attributes */
    return begins(label, w->only_huge ? "huge" : "large");
}

static void one_sample(wk_sampler *sampler, const char *label, const wk_sample_in *in, int n_in, const void *attrs) {
    work *w = sampler->context;
    wk_sample_in shaped[WK__BENCH_MOST_IN];
    if (wk_failed() || !is_asked_for(w, label)) return;
    if (w->opts->shapes) {
        if (!w->opts->sample && !begins(label, w->only_huge ? "huge" : "large")) return;
        if (w->opts->shapes > n_in || n_in > WK__BENCH_MOST_IN) {
            (void)wk_fail(WK_CONFIG, "%s: --shape has %d shapes, the sample \"%s\" %d operands", w->row->name,
                          w->opts->shapes, label, n_in);
            return;
        }
        memcpy(shaped, in, (size_t)n_in * sizeof *in);
        for (int i = 0; i < w->opts->shapes; i++)
            if (w->opts->shape[i].rank >= 0) shaped[i].dims = w->opts->shape[i];
        in = shaped;
        w->shaped = true;
    }
    wk__subject subject = { .row = w->row, .label = label, .attrs = attrs, .device = w->opts->device };
    if (wk__subject_begin(&subject, w->opts->dtype, in, n_in) != WK_OK) return;
    wk_status status = run_sample(w, &subject);
    if (status == WK_UNSUPPORTED && w->opts->device) status = note_missing(w, &subject);
    if (status == WK_OK) w->samples++;
    wk__subject_end(&subject);
}

static wk_status run_row(work *w, const wk_op_def *row) {
    w->row = row;
    w->only_huge = w->shaped = false;
    row->samples(&(wk_sampler){ .emit = find_huge, .context = w, .huge = true });
    row->samples(&(wk_sampler){ .emit = one_sample, .context = w, .huge = true });
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* The rows that the pattern names, in order of name; how many. */
static int choose_rows(const wk__bench_opts *opts, const wk_op_def **rows, bool *known) {
    int count = 0;
    for (int id = 0; id < wk_op_count(); id++) {
        const wk_op_def *row = wk_op_get(id);
        if (!is_timed(opts, row)) continue;
        *known = true;
        if (wk__sample_serves(row, opts->dtype)) rows[count++] = row;
    }
    qsort(rows, (size_t)count, sizeof *rows, by_name);
    return count;
}

static wk_status walk(work *w, const wk_op_def *const *rows, int count) {
    WK_TRY(wk__report_begin(&w->report, w->opts, w->peer, w->n_peers));
    int before = 0, without = 0;
    wk_text missing = { 0 };
    wk_status status = WK_OK;
    for (int i = 0; i < count && status == WK_OK; i++, before = w->samples) {
        status = run_row(w, rows[i]);
        if (w->samples == before) wk_text_printf(&missing, "%s%s", without++ ? ", " : "", rows[i]->name);
    }
    if (status == WK_OK) {
        wk__report_summary(&w->report);
        if (without) (void)printf("no large sample: %s\n", wk_text_get(&missing));
        status = wk__bench_finish(wk__report_object(&w->report), w->opts->compare, w->opts->json);
    }
    if (status == WK_OK && w->opts->sample && w->samples == 0)
        status =
            wk_fail(WK_NOT_FOUND, "no row that \"%s\" names has a sample \"%s\"", w->opts->pattern, w->opts->sample);
    if (status == WK_OK && w->wrong) status = wk_fail(WK_STATE, "%d checks failed", w->wrong);
    if (status == WK_OK && w->differing)
        status = wk_fail(WK_STATE, "%d samples give other results than a peer's", w->differing);
    wk_text_free(&missing);
    wk__report_end(&w->report);
    return status;
}

static wk_status start_peers(work *w) {
    for (int i = 0; i < w->opts->n_peers; i++) {
        WK_TRY(wk__peer_start(&w->peer[i], w->opts->peer[i], wk_threads(), w->opts->device));
        w->n_peers++;
    }
    return WK_OK;
}

wk_status wk__bench_ops(const wk__bench_opts *opts) {
    const wk_op_def **rows = wk_alloc((size_t)wk_op_count() * sizeof *rows);
    if (!rows) return WK_NO_MEMORY;
    bool known = false;
    int count = choose_rows(opts, rows, &known);
    wk_set_threads(opts->threads);
    work w = { .opts = opts };
    wk_status status = WK_OK;
    if (!known)
        status = unknown(opts->pattern);
    else if (count == 0)
        status =
            wk_fail(WK_DTYPE, "no operation that \"%s\" names takes %s", opts->pattern, wk_dtype_name(opts->dtype));
    else
        status = start_peers(&w);
    if (status == WK_OK) status = walk(&w, rows, count);
    for (int i = 0; i < w.n_peers; i++) wk__peer_stop(&w.peer[i]);
    wk_free(rows);
    return status;
}
