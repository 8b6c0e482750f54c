/* metrics.c: see wick/train/metrics.h.
 *
 * Every metric but auroc is a function of a vector of sums.  Updates run on the CPU, in f64: what they cost is small
 * beside the forward that made the predictions.
 */
#include "train/metrics/metrics.h"

#include "base/base.h"

#include <math.h>
#include <string.h>

static const char *const names[] = { "mean",  "accuracy", "precision", "recall", "f1",         "confusion_matrix",
                                     "auroc", "mse",      "mae",       "r2",     "perplexity", "psnr" };

wk_metric *wk_metric_create(const char *name, wk_metric_opts opts) {
    size_t kind = 0;
    if (wk_failed()) return NULL;
    while (kind < WK_COUNT(names) && strcmp(names[kind], name) != 0) kind++;
    if (kind == WK_COUNT(names)) {
        const char *near = wk__nearest(name, names, WK_COUNT(names));
        return wk_fail_null(WK_NOT_FOUND, "there is no metric \"%s\"%s%s%s", name, near ? "; did you mean \"" : "",
                            near ? near : "", near ? "\"?" : "");
    }
    bool by_class = kind >= WK__METRIC_ACCURACY && kind <= WK__METRIC_CONFUSION;
    if (by_class && (opts.classes < 2 || opts.classes > 4096))
        return wk_fail_null(WK_INVALID, "metric %s: %lld classes, expected 2 to 4096", name, (long long)opts.classes);
    if (opts.top_k < 0 || (by_class && opts.top_k > opts.classes))
        return wk_fail_null(WK_INVALID, "metric %s: top_k is %lld of %lld classes", name, (long long)opts.top_k,
                            (long long)opts.classes);
    wk_metric *m = wk_alloc(sizeof *m);
    if (!m) return NULL;
    m->kind = (wk__metric_kind)kind;
    m->opts = opts;
    if (m->opts.top_k == 0) m->opts.top_k = 1;
    m->n_sums = by_class ? opts.classes * opts.classes + 2 : 5;
    m->sums = wk_alloc((size_t)m->n_sums * sizeof *m->sums);
    if (m->sums) return m;
    wk_free(m);
    return NULL;
}

void wk_metric_destroy(wk_metric *m) {
    if (!m) return;
    wk_free(m->sums);
    wk_free(m->scores);
    wk_free(m);
}

const char *wk_metric_name(const wk_metric *m) {
    return names[m->kind];
}

void wk_metric_reset(wk_metric *m) {
    memset(m->sums, 0, (size_t)m->n_sums * sizeof *m->sums);
    m->n_scores = 0;
}

int64_t wk_metric_count(const wk_metric *m) {
    if (m->kind == WK__METRIC_CONFUSION) return m->opts.classes * m->opts.classes;
    bool by_class = m->kind >= WK__METRIC_ACCURACY && m->kind <= WK__METRIC_F1;
    return by_class && m->opts.average == WK_AVERAGE_NONE ? m->opts.classes : 1;
}

/* ---- updates ---- */

static wk_status fail_shapes(const wk_metric *m, const wk_tensor *prediction, const wk_tensor *target,
                             const char *expected) {
    char a[100] = "nothing", b[100] = "nothing";
    if (prediction) (void)wk_describe(prediction, a, sizeof a);
    if (target) (void)wk_describe(target, b, sizeof b);
    return wk_fail(WK_SHAPE, "metric %s: predictions are %s, targets %s: expected %s", wk_metric_name(m), a, b,
                   expected);
}

/* An f64 copy on the CPU: exact for every float type and for class numbers. */
static const double *numbers(wk_tensor *t) {
    wk_tensor *here = wk_contiguous(wk_cast(wk_to_device(t, WK_CPU), WK_F64));
    return here ? wk_data(here) : NULL;
}

static bool is_ignored(const wk_metric *m, double target) {
    return m->opts.ignore.is_set && target == m->opts.ignore.value;
}

/* The class of a row of scores, the first among equals; and whether `target` is among the k largest. */
static int64_t largest(const double *row, int64_t classes) {
    int64_t at = 0;
    for (int64_t c = 1; c < classes; c++)
        if (row[c] > row[at]) at = c;
    return at;
}
static bool is_in_top(const double *row, int64_t classes, int64_t target, int64_t k) {
    int64_t better = 0;
    for (int64_t c = 0; c < classes; c++) better += row[c] > row[target] || (row[c] == row[target] && c < target);
    return better < k;
}

static wk_status update_classes(wk_metric *m, wk_tensor *prediction, wk_tensor *target) {
    int64_t classes = m->opts.classes, n = wk_size(target, 0);
    bool scores = wk_rank(prediction) == 2;
    if (wk_rank(target) != 1 || wk_size(prediction, 0) != n
        || (scores ? wk_size(prediction, 1) != classes : wk_rank(prediction) != 1))
        return fail_shapes(m, prediction, target, "(N, classes) or (N), and (N)");
    if (!scores && m->opts.top_k > 1) return fail_shapes(m, prediction, target, "(N, classes) scores for top_k");
    const double *p = numbers(prediction), *y = p ? numbers(target) : NULL;
    for (int64_t i = 0; y && i < n; i++) {
        if (is_ignored(m, y[i])) continue;
        int64_t actual = (int64_t)y[i], guess = scores ? largest(p + i * classes, classes) : (int64_t)p[i];
        if (actual < 0 || actual >= classes || guess < 0 || guess >= classes)
            return wk_fail(WK_INVALID, "metric %s: item %lld has target %g and prediction %lld, expected 0 to %lld",
                           wk_metric_name(m), (long long)i, y[i], (long long)guess, (long long)classes - 1);
        m->sums[actual * classes + guess]++;
        m->sums[classes * classes]++;
        m->sums[classes * classes + 1] +=
            scores ? is_in_top(p + i * classes, classes, actual, m->opts.top_k) : actual == guess;
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status update_pairs(wk_metric *m, wk_tensor *prediction, wk_tensor *target) {
    if (wk_count(prediction) != wk_count(target)) return fail_shapes(m, prediction, target, "one shape");
    const double *p = numbers(prediction), *y = p ? numbers(target) : NULL;
    for (int64_t i = 0; y && i < wk_count(target); i++) {
        double d = p[i] - y[i];
        m->sums[0] += m->kind == WK__METRIC_MAE ? fabs(d) : d * d;
        m->sums[1]++;
        m->sums[2] += y[i];
        m->sums[3] += y[i] * y[i];
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status update_mean(wk_metric *m, wk_tensor *prediction, wk_tensor *target) {
    if (target && wk_count(prediction) != wk_count(target))
        return fail_shapes(m, prediction, target, "weights of one shape with the values");
    const double *p = numbers(prediction), *w = p && target ? numbers(target) : NULL;
    for (int64_t i = 0; p && i < wk_count(prediction); i++) {
        m->sums[0] += p[i] * (w ? w[i] : 1);
        m->sums[1] += w ? w[i] : 1;
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status update_perplexity(wk_metric *m, wk_tensor *prediction, wk_tensor *target) {
    int64_t classes = wk_size(prediction, -1), n = wk_count(target);
    if (classes < 1 || wk_count(prediction) != n * classes)
        return fail_shapes(m, prediction, target, "(…, C) logits and (…) class numbers");
    const double *p = numbers(prediction), *y = p ? numbers(target) : NULL;
    for (int64_t i = 0; y && i < n; i++) {
        const double *row = p + i * classes;
        if (is_ignored(m, y[i])) continue;
        if (!(y[i] >= 0 && y[i] < (double)classes))
            return wk_fail(WK_INVALID, "metric perplexity: target %lld is %g, expected 0 to %lld", (long long)i, y[i],
                           (long long)classes - 1);
        double most = row[largest(row, classes)], sum = 0;
        for (int64_t c = 0; c < classes; c++) sum += exp(row[c] - most);
        m->sums[0] += most + log(sum) - row[(int64_t)y[i]];
        m->sums[1]++;
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

static wk_status update_auroc(wk_metric *m, wk_tensor *prediction, wk_tensor *target) {
    int64_t n = wk_count(target), columns = wk_rank(prediction) == 2 ? wk_size(prediction, 1) : 1;
    if (columns > 2 || wk_count(prediction) != n * columns)
        return fail_shapes(m, prediction, target, "(N) or (N, 2) scores and (N) of 0 and 1");
    const double *p = numbers(prediction), *y = p ? numbers(target) : NULL;
    if (!y) return wk_error_code();
    double *scores = wk_realloc(m->scores, (size_t)(m->n_scores + n + 1) * 2 * sizeof *scores);
    if (!scores) return WK_NO_MEMORY;
    m->scores = scores;
    for (int64_t i = 0; i < n; i++) {
        if ((y[i] != 0 && y[i] != 1) || isnan(p[i * columns + columns - 1]))
            return wk_fail(WK_INVALID,
                           "metric auroc: item %lld has target %g and score %g, expected 0 or 1 and a number",
                           (long long)i, y[i], p[i * columns + columns - 1]);
        scores[2 * m->n_scores] = p[i * columns + columns - 1];
        scores[2 * m->n_scores++ + 1] = y[i];
    }
    return WK_OK;
}

wk_status wk_metric_update(wk_metric *m, wk_tensor *prediction, wk_tensor *target) {
    if (wk_failed()) return wk_error_code();
    if (!prediction || (!target && m->kind != WK__METRIC_MEAN)) return fail_shapes(m, prediction, target, "both");
    wk_scope scope = wk_scope_begin();
    bool was = wk_no_grad_begin();
    wk_status status;
    switch (m->kind) {
    case WK__METRIC_MEAN: status = update_mean(m, prediction, target); break;
    case WK__METRIC_AUROC: status = update_auroc(m, prediction, target); break;
    case WK__METRIC_MSE:
    case WK__METRIC_MAE:
    case WK__METRIC_PSNR:
    case WK__METRIC_R2: status = update_pairs(m, prediction, target); break;
    case WK__METRIC_PERPLEXITY: status = update_perplexity(m, prediction, target); break;
    default: status = update_classes(m, prediction, target); break;
    }
    wk_no_grad_end(was);
    wk_scope_end(scope);
    return status;
}

double wk_smoothed_add(wk_smoothed *s, double value) {
    if (s->beta == 0) s->beta = 0.99;
    s->mean = s->beta * s->mean + (1 - s->beta) * value;
    s->count++;
    return s->mean / (1 - pow(s->beta, (double)s->count));
}
