/* compute.c: from the sums of all ranks to the numbers. */
#include "train/metrics/metrics.h"

#include "base/base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- over ranks ---- */

static wk_status reduce(const wk_metric *m, wk_group *group, double *sums) {
    memcpy(sums, m->sums, (size_t)m->n_sums * sizeof *sums);
    if (!group || wk_group_size(group) < 2) return WK_OK;
    wk_scope scope = wk_scope_begin();
    wk_tensor *all = wk_from_array(WK_F64, WK_DIMS(m->n_sums), sums);
    wk_status status = all ? wk_all_reduce(group, all, WK_REDUCE_SUM, NULL) : wk_error_code();
    if (status == WK_OK) memcpy(sums, wk_data(all), (size_t)m->n_sums * sizeof *sums);
    wk_scope_end(scope);
    return status;
}

/* Every rank's scores behind each other; ranks have different numbers of them, so each sends as many as the most. */
static wk_status gather(const wk_metric *m, wk_group *group, double **scores, int64_t *count) {
    int ranks = group ? wk_group_size(group) : 1;
    int64_t most = m->n_scores;
    wk_scope scope = wk_scope_begin();
    wk_tensor *counts = wk_zeros(WK_I64, WK_DIMS(ranks)), *mine = wk_from_array(WK_I64, WK_DIMS(1), &most);
    wk_status status = counts && mine ? WK_OK : wk_error_code();
    if (status == WK_OK && ranks > 1) status = wk_all_gather(group, mine, counts, NULL);
    if (status == WK_OK && ranks == 1) *(int64_t *)wk_data(counts) = most;
    const int64_t *each = status == WK_OK ? wk_data(counts) : NULL;
    for (int r = 0; each && r < ranks; r++) most = each[r] > most ? each[r] : most;
    wk_tensor *in = each ? wk_zeros(WK_F64, WK_DIMS(2 * most)) : NULL;
    wk_tensor *out = in && ranks > 1 ? wk_zeros(WK_F64, WK_DIMS(2 * most * ranks)) : in;
    if (in && m->n_scores) memcpy(wk_data(in), m->scores, (size_t)m->n_scores * 2 * sizeof(double));
    if (out && ranks > 1) status = wk_all_gather(group, in, out, NULL);
    if (status == WK_OK && !out) status = wk_error_code();
    *count = 0;
    *scores = status == WK_OK ? wk_alloc((size_t)(most * ranks + 1) * 2 * sizeof **scores) : NULL;
    for (int r = 0; *scores && r < ranks; r++) {
        const double *from = (const double *)wk_data(out) + 2 * most * r;
        if (each[r]) memcpy(*scores + 2 * *count, from, (size_t)each[r] * 2 * sizeof(double));
        *count += each[r];
    }
    wk_scope_end(scope);
    return status == WK_OK && !*scores ? WK_NO_MEMORY : status;
}

/* ---- auroc ---- */

static int by_score(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The rank-sum statistic, ties counting half: the area under the curve (Mann and Whitney 1947). */
static wk_status auroc(const wk_metric *m, wk_group *group, double *value) {
    double *all = NULL, positives = 0, area = 0;
    int64_t count = 0;
    WK_TRY(gather(m, group, &all, &count));
    qsort(all, (size_t)count, 2 * sizeof *all, by_score);
    double negatives_below = 0;
    for (int64_t i = 0, end; i < count; i = end) {
        double p = 0, n = 0;
        for (end = i; end < count && all[2 * end] == all[2 * i]; end++) {
            if (all[2 * end + 1] > 0)
                p++;
            else
                n++;
        }
        area += p * (negatives_below + n / 2);
        negatives_below += n;
        positives += p;
    }
    *value = positives > 0 && negatives_below > 0 ? area / (positives * negatives_below) : NAN;
    wk_free(all);
    return WK_OK;
}

/* ---- by class ---- */

typedef struct class_counts {
    double hits, guessed, actual;
} class_counts;

static class_counts counts_of(const double *matrix, int64_t classes, int64_t c) {
    class_counts k = { .hits = matrix[c * classes + c] };
    for (int64_t i = 0; i < classes; i++) {
        k.guessed += matrix[i * classes + c];
        k.actual += matrix[c * classes + i];
    }
    return k;
}

/* scikit-learn's zero_division: 0 where nothing was guessed, or nothing is there. */
static double ratio(double a, double b) {
    return b > 0 ? a / b : 0;
}

static double one_class(wk__metric_kind kind, class_counts k) {
    switch (kind) {
    case WK__METRIC_PRECISION: return ratio(k.hits, k.guessed);
    case WK__METRIC_F1: return ratio(2 * k.hits, k.guessed + k.actual);
    default: return ratio(k.hits, k.actual); /* recall, and the accuracy of a class */
    }
}

static double average(const wk_metric *m, const double *matrix) {
    int64_t classes = m->opts.classes;
    double sum = 0, weights = 0;
    for (int64_t c = 0; c < classes; c++) {
        class_counts k = counts_of(matrix, classes, c);
        double weight = m->opts.average == WK_AVERAGE_WEIGHTED ? k.actual : k.actual + k.guessed > 0;
        sum += weight * one_class(m->kind, k);
        weights += weight;
    }
    return weights > 0 ? sum / weights : NAN;
}

static void by_class(const wk_metric *m, const double *sums, double *values) {
    int64_t classes = m->opts.classes, cells = classes * classes;
    double right = 0;
    for (int64_t c = 0; c < classes; c++) right += sums[c * classes + c];
    bool is_micro =
        m->opts.average == WK_AVERAGE_MICRO || (m->kind == WK__METRIC_ACCURACY && m->opts.average == WK_AVERAGE_MACRO);
    if (m->kind == WK__METRIC_CONFUSION) {
        memcpy(values, sums, (size_t)cells * sizeof *values);
    } else if (m->opts.average == WK_AVERAGE_NONE) {
        for (int64_t c = 0; c < classes; c++) {
            class_counts k = counts_of(sums, classes, c);
            values[c] = k.actual + k.guessed > 0 ? one_class(m->kind, k) : NAN;
        }
    } else if (is_micro) {
        double hits = m->kind == WK__METRIC_ACCURACY ? sums[cells + 1] : right;
        *values = sums[cells] > 0 ? hits / sums[cells] : NAN;
    } else {
        *values = average(m, sums);
    }
}

static double of_sums(const wk_metric *m, const double *s) {
    if (!(s[1] > 0)) return NAN;
    switch (m->kind) {
    case WK__METRIC_R2: {
        double spread = s[3] - s[2] * s[2] / s[1];
        return spread > 0 ? 1 - s[0] / spread : NAN;
    }
    case WK__METRIC_PSNR: return -10 * log10(s[0] / s[1]);
    case WK__METRIC_PERPLEXITY: return exp(s[0] / s[1]);
    default: return s[0] / s[1];
    }
}

wk_status wk_metric_compute(wk_metric *m, wk_group *group, double *values, int64_t room) {
    if (wk_failed()) return wk_error_code();
    if (room < wk_metric_count(m))
        return wk_fail(WK_INVALID, "wk_metric_compute: %s gives %lld numbers, there is room for %lld",
                       wk_metric_name(m), (long long)wk_metric_count(m), (long long)room);
    if (m->kind == WK__METRIC_AUROC) return auroc(m, group, values);
    double *sums = wk_alloc((size_t)m->n_sums * sizeof *sums);
    wk_status status = sums ? reduce(m, group, sums) : WK_NO_MEMORY;
    if (status == WK_OK && m->kind >= WK__METRIC_ACCURACY && m->kind <= WK__METRIC_CONFUSION)
        by_class(m, sums, values);
    else if (status == WK_OK)
        *values = of_sums(m, sums);
    wk_free(sums);
    return status;
}

/* ---- the report ---- */

static int letters(const char *text) {
    int count = 0;
    for (const char *c = text; *c; c++) count += ((unsigned char)*c & 0xc0) != 0x80;
    return count;
}

static void report_row(wk_text *out, int width, const char *name, double precision, double recall, double f1,
                       double n) {
    wk_text_printf(out, "%*s%s  %9.2f %9.2f %9.2f %9.0f\n", width - letters(name), "", name, precision, recall, f1, n);
}

char *wk_classification_report(const double *matrix, int64_t classes, const char *const *class_names) {
    wk_text out = { 0 };
    double all = 0, right = 0, macro[3] = { 0 }, weighted[3] = { 0 };
    int width = 12; /* of "weighted avg" */
    for (int64_t c = 0; class_names && c < classes; c++)
        if (letters(class_names[c]) > width) width = letters(class_names[c]);
    wk_text_printf(&out, "%*s  %9s %9s %9s %9s\n\n", width, "", "precision", "recall", "f1-score", "support");
    for (int64_t c = 0; c < classes; c++) {
        static const wk__metric_kind kinds[] = { WK__METRIC_PRECISION, WK__METRIC_RECALL, WK__METRIC_F1 };
        class_counts k = counts_of(matrix, classes, c);
        double row[3];
        char number[24];
        for (int i = 0; i < 3; i++) {
            row[i] = one_class(kinds[i], k);
            macro[i] += row[i] / (double)classes;
            weighted[i] += row[i] * k.actual;
        }
        (void)snprintf(number, sizeof number, "%lld", (long long)c);
        report_row(&out, width, class_names ? class_names[c] : number, row[0], row[1], row[2], k.actual);
        all += k.actual;
        right += k.hits;
    }
    wk_text_printf(&out, "\n%*s  %9s %9s %9.2f %9.0f\n", width, "accuracy", "", "", ratio(right, all), all);
    report_row(&out, width, "macro avg", macro[0], macro[1], macro[2], all);
    report_row(&out, width, "weighted avg", ratio(weighted[0], all), ratio(weighted[1], all), ratio(weighted[2], all),
               all);
    if (!out.failed) return out.data;
    wk_text_free(&out);
    return wk_fail_null(WK_NO_MEMORY, "no memory for a report");
}
