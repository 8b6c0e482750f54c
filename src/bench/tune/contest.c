/* contest.c: one bucket: every implementation against the one that would be chosen.
 *
 * They take turns.  Who is far behind after the first round is out; the rest run as many rounds as the rank test needs
 * to tell chance from speed.  A table's line costs a reader's attention, so another implementation must be faster by 5
 * %.
 *
 * Products promise the same bits for every number of threads.  So one implementation is chosen for all of them: it must
 * win over 1 thread and all of them together without losing more than 3 % on either, an implementation whose bits
 * depend on the number is out, and OpenBLAS, which stays on one thread for their sake, takes part where the others do
 * so too: a line for larger products would hold on two threads what it lost on sixty.
 */
#define WK_NO_CALL_SITES
#include "bench/tune/tune.h"

#include "wick/ops.h"

#include <math.h>
#include <string.h>

enum { ROUNDS = 5, MOST_CANDIDATES = 4, MOST_TEAMS = 2 };
enum { FOR_TEAM = 1 << 19 }; /* multiplications from which on products are split over the team */
static const double GAIN = 1.05, LOSS = 1.03, FAR_BEHIND = 1.3, CHANCE = 0.01;

typedef struct candidate {
    wk_by by;
    double round[MOST_TEAMS][ROUNDS], ns[MOST_TEAMS]; /* ns: the median of the rounds run */
    bool out;
} candidate;

typedef struct contest {
    const wk__tune_case *of;
    candidate candidate[MOST_CANDIDATES]; /* the first one is what would be chosen */
    int count, team[MOST_TEAMS], teams;
    double seconds;
} contest;

static wk__forced wish(const contest *c, wk_by by) {
    return c->of->bucket.op == WK__TUNED_PRODUCT ? (wk__forced){ .product = by } : (wk__forced){ .convolution = by };
}

/* ---- who may take part ---- */

static wk_status run(const contest *c, wk__forced *forced, int threads, wk_tensor **out) {
    wk_set_threads(threads);
    wk__cpu_force(forced);
    wk_status status = wk__subject_run(&c->of->subject, WK__BENCH_FORWARD, out, NULL);
    wk__cpu_force(NULL);
    return status;
}

static bool same_bits(const wk_tensor *a, const wk_tensor *b) {
    return memcmp(a->data, b->data, (size_t)a->count * wk_dtype_size((wk_dtype)a->dtype)) == 0;
}

/* It takes the call, gives what the one that would be chosen gives, and where that is promised, the same bits on one
 * thread. */
static wk_status judge(const contest *c, wk_by by, bool *fit) {
    wk_tensor *out[2], *expected[2], *alone[2];
    char note[200] = "";
    int most = c->team[c->teams - 1];
    wk__forced forced = wish(c, by), choice = wish(c, WK_BY_CHOICE);
    *fit = false;
    WK_TRY(run(c, &forced, most, out));
    if (forced.declined || forced.last != by) return WK_OK;
    WK_TRY(run(c, &choice, most, expected));
    wk__bench_hold_against(out[0], expected[0], "result", wk__bench_tolerance(out, 1), note, sizeof note);
    *fit = !*note;
    if (c->teams < 2) return WK_OK;
    WK_TRY(run(c, &forced, 1, alone));
    *fit = *fit && same_bits(out[0], alone[0]);
    return WK_OK;
}

static wk_status gather(contest *c) {
    static const wk_by of_products[MOST_CANDIDATES] = { WK_BY_OWN, WK_BY_OPENBLAS, WK_BY_ONEDNN },
                       of_convolutions[MOST_CANDIDATES] = { WK_BY_OWN, WK_BY_DIRECT, WK_BY_WINOGRAD,
                                                            WK_BY_OWN_WINOGRAD };
    bool product = c->of->bucket.op == WK__TUNED_PRODUCT;
    wk_scope scope = wk_scope_begin();
    wk_tensor *out[2];
    wk__forced choice = wish(c, WK_BY_CHOICE);
    wk_status status = run(c, &choice, c->team[c->teams - 1], out);
    c->candidate[c->count++].by = choice.last;
    for (int i = 0; i < MOST_CANDIDATES && status == WK_OK; i++) {
        wk_by by = product ? of_products[i] : of_convolutions[i];
        bool fit = false;
        if (by == WK_BY_CHOICE || by == choice.last || (by == WK_BY_OPENBLAS && wk__tune_work(c->of) >= FOR_TEAM))
            continue;
        status = judge(c, by, &fit);
        if (fit) c->candidate[c->count++].by = by;
    }
    wk_scope_end(scope);
    return status;
}

/* ---- rounds ---- */

static wk_status run_round(contest *c, int round) {
    for (int t = 0; t < c->teams; t++) {
        wk_set_threads(c->team[t]);
        for (int i = 0; i < c->count; i++) {
            candidate *one = &c->candidate[i];
            wk__forced forced = wish(c, one->by);
            if (one->out) continue;
            wk__cpu_force(&forced);
            one->round[t][round] = wk__subject_time(&c->of->subject, WK__BENCH_FORWARD, c->seconds, false);
            wk__cpu_force(NULL);
            if (wk_failed()) return wk_error_code();
            one->ns[t] = wk__bench_median(one->round[t], round + 1);
        }
    }
    return WK_OK;
}

/* How many times faster than the one that would be chosen: the mean over the teams; 0 where it loses on one of them. */
static double gain(const contest *c, const candidate *one) {
    double sum = 0;
    for (int t = 0; t < c->teams; t++) {
        double ratio = c->candidate[0].ns[t] / one->ns[t];
        if (ratio < 1 / LOSS) return 0;
        sum += log(ratio);
    }
    return exp(sum / c->teams);
}

static bool is_no_chance(const contest *c, const candidate *one) {
    for (int t = 0; t < c->teams; t++)
        if (wk__rank_test(c->candidate[0].round[t], ROUNDS, one->round[t], ROUNDS) < CHANCE) return true;
    return false;
}

/* How many are left besides the first. */
static int leave_behind(contest *c) {
    int left = 0;
    for (int i = 1; i < c->count; i++) {
        for (int t = 0; t < c->teams; t++)
            if (c->candidate[i].ns[t] > FAR_BEHIND * c->candidate[0].ns[t]) c->candidate[i].out = true;
        left += !c->candidate[i].out;
    }
    return left;
}

static wk_status run_rounds(contest *c, const candidate **best) {
    *best = &c->candidate[0];
    WK_TRY(run_round(c, 0));
    if (leave_behind(c) == 0) return WK_OK;
    for (int r = 1; r < ROUNDS; r++) WK_TRY(run_round(c, r));
    for (int i = 1; i < c->count; i++) {
        const candidate *one = &c->candidate[i];
        if (one->out || gain(c, one) < GAIN || !is_no_chance(c, one)) continue;
        if (gain(c, one) > gain(c, *best)) *best = one;
    }
    return WK_OK;
}

/* ---- the line ---- */

void wk__tune_bucket_text(const wk__bucket *bucket, char *text, size_t size) {
    int used = snprintf(text, size, "%s %s %s", wk__tuned_op_names[bucket->op],
                        wk_dtype_name(wk__tuned_dtype(bucket->dtype)), wk__tuned_form_name(bucket->op, bucket->form));
    for (int i = 0; i < wk__tuned_sizes(bucket->op) && (size_t)used + 1 < size; i++) {
        text[used++] = ' ';
        wk__tuned_step_text(bucket->op, i, bucket->step[i], text + used, size - (size_t)used);
        used += (int)strlen(text + used);
    }
}

/* "…: openblas  # us: openblas 0.91, onednn 1.08; 2 threads: …": the winner, and what it beats. */
static void write_line(const contest *c, const candidate *best, char *line, size_t size) {
    char bucket[200], times[200] = "";
    size_t used = 0;
    wk__tune_bucket_text(&c->of->bucket, bucket, sizeof bucket);
    for (int t = 0; t < c->teams && used < sizeof times; t++) {
        const candidate *rule = &c->candidate[0];
        if (t) used += (size_t)snprintf(times + used, sizeof times - used, "; on %d threads ", c->team[t]);
        used += (size_t)snprintf(times + used, sizeof times - used, "%.4g, %s %.4g", best->ns[t] / 1e3,
                                 wk__by_name(rule->by), rule->ns[t] / 1e3);
    }
    (void)snprintf(line, size, "%s: %s  # us: %s", bucket, wk__by_name(best->by), times);
}

/* A convolution is measured on the threads that its line is for; a small product stays on one anyway. */
static void set_teams(contest *c) {
    bool product = c->of->bucket.op == WK__TUNED_PRODUCT;
    c->team[c->teams++] = product ? 1 : c->of->threads;
    if (product && c->of->threads > 1 && wk__tune_work(c->of) >= FOR_TEAM) c->team[c->teams++] = c->of->threads;
}

wk_status wk__tune_contest(const wk__tune_case *of, double seconds, char *line, size_t size) {
    contest c = { .of = of, .seconds = seconds };
    const candidate *best = NULL;
    int before = wk_threads();
    *line = '\0';
    set_teams(&c);
    wk_status status = gather(&c);
    if (status == WK_OK && c.count > 1) status = run_rounds(&c, &best);
    if (status == WK_OK && best && best != &c.candidate[0]) write_line(&c, best, line, size);
    wk_set_threads(before);
    return status;
}
