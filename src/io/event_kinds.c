/* event_kinds.c: what event files hold besides scalars and media (event_media.c): text, histograms, curves of precision
 * and recall, layouts of charts, hyperparameters.
 *
 * Value: 1 tag, 5 histo { 1 min, 2 max, 3 num, 4 sum, 5 sum_squares, 6 packed bucket_limit, 7 packed bucket }, 8 tensor
 * { 1 dtype, 2 shape, 8 string_val }.  Formats: tensorflow/core/framework/summary.proto,
 * tensorboard/plugins/hparams/plugin_data.proto.
 */
#include "io/event_file.h"

#include "io/proto.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- text ---- */

void wk__event_text(wk_text *out, double wall_time, int64_t step, const char *tag, const char *text) {
    wk_text value = { 0 }, tensor = { 0 };
    char *full = wk_format("%s/text_summary", tag);
    wk__proto_text(&value, 1, full ? full : tag);
    wk__proto_number(&tensor, 1, 7); /* DT_STRING */
    wk__event_shape(&tensor, 2, WK_DIMS(1));
    wk__proto_text(&tensor, 8, text);
    wk__proto_message(&value, 8, &tensor);
    wk__event_metadata(&value, "text", NULL);
    value.failed = value.failed || !full;
    wk__event_summary(out, wall_time, step, &value);
    wk_free(full);
}

/* ---- histogram ---- */

enum { HALF = 774, BUCKETS = 2 * HALF + 1 }; /* 1e-12 · 1.1^k below 1e20, mirrored, and 0 */

static void make_limits(double limits[BUCKETS]) {
    double value = 1e-12;
    limits[HALF] = 0;
    for (int k = 0; k < HALF; k++, value *= 1.1) {
        limits[HALF + 1 + k] = value;
        limits[HALF - 1 - k] = -value;
    }
}

/* numpy.histogram's bucket: limits[i] ≤ value < limits[i + 1], the last one closed; what lies outside goes to the ends.
 */
static int bucket_of(const double limits[BUCKETS], double value) {
    int low = 0, high = BUCKETS - 1;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (value < limits[middle])
            high = middle;
        else
            low = middle;
    }
    return low;
}

void wk__event_histogram(wk_text *out, double wall_time, int64_t step, const char *tag, const double *values,
                         int64_t count) {
    static const int numbers = 5;
    double *limits = wk_alloc(2 * BUCKETS * sizeof *limits), *filled = limits ? limits + BUCKETS : NULL;
    double facts[5] = { INFINITY, -INFINITY, 0, 0, 0 }; /* min, max, num, sum, sum of squares */
    int first = BUCKETS, last = -1;
    if (limits) make_limits(limits);
    for (int64_t i = 0; limits && i < count; i++) {
        if (!isfinite(values[i])) continue;
        int at = bucket_of(limits, values[i]);
        filled[at]++;
        first = at < first ? at : first;
        last = at > last ? at : last;
        facts[0] = fmin(facts[0], values[i]);
        facts[1] = fmax(facts[1], values[i]);
        facts[2]++;
        facts[3] += values[i];
        facts[4] += values[i] * values[i];
    }
    if (last < 0) facts[0] = facts[1] = 0, first = last = HALF;
    wk_text value = { .failed = !limits }, histo = { 0 };
    wk__proto_text(&value, 1, tag);
    for (int i = 0; i < numbers; i++) wk__proto_double(&histo, i + 1, facts[i]);
    int from = first > 0 ? first - 1 : first; /* one empty bucket on the left, for its edge */
    if (limits) wk__proto_doubles(&histo, 6, limits + from + 1, last - from + 1);
    if (limits) wk__proto_doubles(&histo, 7, filled + from, last - from + 1);
    wk__proto_message(&value, 5, &histo);
    wk__event_summary(out, wall_time, step, &value);
    wk_free(limits);
}

/* ---- precision and recall ---- */

void wk__event_pr_curve(wk_text *out, double wall_time, int64_t step, const char *tag, const float *rows,
                        int thresholds) {
    wk_text value = { 0 }, content = { 0 };
    wk__proto_text(&value, 1, tag);
    wk__event_floats(&value, rows, WK_DIMS(WK__PR_ROWS, thresholds));
    wk__proto_number(&content, 2, (uint64_t)thresholds);
    wk__event_metadata(&value, "pr_curves", &content);
    wk__event_summary(out, wall_time, step, &value);
}

/* ---- custom scalars ---- */

/* Layout: 2 category { 1 title, 2 chart { 1 title, 2 multiline { 1 tag } } } */
void wk__event_layout(wk_text *out, double wall_time, const wk__board_chart *charts, int count) {
    wk_text value = { 0 }, layout = { 0 }, tensor = { 0 };
    for (int i = 0, end; i < count; i = end) {
        wk_text category = { 0 };
        wk__proto_text(&category, 1, charts[i].category);
        for (end = i; end < count && strcmp(charts[end].category, charts[i].category) == 0; end++) {
            wk_text chart = { 0 }, lines = { 0 };
            wk__proto_text(&chart, 1, charts[end].title);
            wk__proto_text(&lines, 1, charts[end].tag);
            wk__proto_message(&chart, 2, &lines);
            wk__proto_message(&category, 2, &chart);
        }
        wk__proto_message(&layout, 2, &category);
    }
    wk__proto_text(&value, 1, "custom_scalars__config__");
    wk__proto_number(&tensor, 1, 7); /* DT_STRING */
    wk__event_shape(&tensor, 2, (wk_dims){ 0 });
    wk__proto_message(&tensor, 8, &layout);
    wk__proto_message(&value, 8, &tensor);
    wk__event_metadata(&value, "custom_scalars", NULL);
    wk__event_summary(out, wall_time, 0, &value);
}

/* ---- hparams ---- */

static void hparams_summary(wk_text *out, double wall_time, const char *tag, int field, wk_text *message) {
    wk_text value = { 0 }, content = { 0 };
    wk__proto_text(&value, 1, tag);
    wk__proto_message(&content, field, message); /* version 0 is not written */
    wk__event_metadata(&value, "hparams", &content);
    wk__event_summary(out, wall_time, 0, &value);
}

/* A google.protobuf.Value. */
static void hparam_value(wk_text *out, const wk__hparam *h) {
    if (h->kind == WK__HPARAM_NUMBER)
        wk__proto_double(out, 2, strtod(h->value, NULL));
    else if (h->kind == WK__HPARAM_BOOL)
        wk__proto_number(out, 4, strcmp(h->value, "true") == 0);
    else
        wk__proto_text(out, 3, h->value);
}

void wk__event_hparams(wk_text *out, double wall_time, const wk__hparam *hparams, int count, const char *const *metrics,
                       int n_metrics) {
    static const uint64_t types[] = { [WK__HPARAM_TEXT] = 1, [WK__HPARAM_BOOL] = 2, [WK__HPARAM_NUMBER] = 3 };
    wk_text experiment = { 0 }, start = { 0 };
    for (int i = 0; i < count; i++) {
        wk_text info = { 0 }, entry = { 0 }, value = { 0 };
        wk__proto_text(&info, 1, hparams[i].name);
        wk__proto_number(&info, 4, types[hparams[i].kind]);
        wk__proto_message(&experiment, 4, &info);
        hparam_value(&value, &hparams[i]);
        wk__proto_text(&entry, 1, hparams[i].name);
        wk__proto_message(&entry, 2, &value);
        wk__proto_message(&start, 1, &entry);
    }
    for (int i = 0; i < n_metrics; i++) {
        wk_text info = { 0 }, name = { 0 };
        wk__proto_text(&name, 2, metrics[i]);
        wk__proto_message(&info, 1, &name);
        wk__proto_message(&experiment, 5, &info);
    }
    wk__proto_double(&start, 5, wall_time);
    hparams_summary(out, wall_time, "_hparams_/experiment", 2, &experiment);
    hparams_summary(out, wall_time, "_hparams_/session_start_info", 3, &start);
}

void wk__event_session_end(wk_text *out, double wall_time, wk__session status) {
    wk_text end = { 0 };
    wk__proto_number(&end, 1, (uint64_t)status);
    wk__proto_double(&end, 2, wall_time);
    hparams_summary(out, wall_time, "_hparams_/session_end_info", 4, &end);
}
