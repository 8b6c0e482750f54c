/* event_kinds.c: what event files hold besides scalars: text, histograms, images, curves of precision and recall,
 * layouts of charts, hyperparameters.
 *
 * Value: 1 tag, 4 image { 1 height, 2 width, 3 colorspace, 4 PNG }, 5 histo { 1 min, 2 max, 3 num, 4 sum, 5
 * sum_squares, 6 packed bucket_limit, 7 packed bucket }, 8 tensor { 1 dtype, 2 shape { 2 dim { 1 size } }, 5 packed
 * float_val, 8 string_val }, 9 metadata { 1 plugin_data { 1 plugin_name, 2 content } }.  Formats:
 * tensorflow/core/framework/summary.proto, tensorboard/plugins/hparams/plugin_data.proto.
 */
#include "io/event_file.h"

#include "io/png.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void text_field(wk_text *out, int field, const char *text) {
    wk__proto_bytes(out, field, text, strlen(text));
}
static void number_field(wk_text *out, int field, uint64_t value) {
    wk__proto_varint(out, (uint64_t)field << 3);
    wk__proto_varint(out, value);
}
/* A message as a field of another; it is freed. */
static void message_field(wk_text *out, int field, wk_text *message) {
    wk__proto_bytes(out, field, wk_text_get(message), message->size);
    out->failed = out->failed || message->failed;
    wk_text_free(message);
}

static void metadata(wk_text *value, const char *plugin, wk_text *content) {
    wk_text data = { 0 }, meta = { 0 };
    text_field(&data, 1, plugin);
    if (content && content->size > 0) message_field(&data, 2, content);
    message_field(&meta, 1, &data);
    message_field(value, 9, &meta);
}

/* ---- text ---- */

void wk__event_text(wk_text *out, double wall_time, int64_t step, const char *tag, const char *text) {
    wk_text value = { 0 }, tensor = { 0 }, shape = { 0 }, dim = { 0 };
    char *full = wk_format("%s/text_summary", tag);
    text_field(&value, 1, full ? full : tag);
    number_field(&dim, 1, 1);
    message_field(&shape, 2, &dim);
    number_field(&tensor, 1, 7); /* DT_STRING */
    message_field(&tensor, 2, &shape);
    text_field(&tensor, 8, text);
    message_field(&value, 8, &tensor);
    metadata(&value, "text", NULL);
    value.failed = value.failed || !full;
    wk__event_summary(out, wall_time, step, &value);
    wk_text_free(&value);
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

static void packed(wk_text *histo, int field, const double *values, int count) {
    wk_text bytes = { 0 };
    for (int i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        wk__proto_little(&bytes, bits, 8);
    }
    message_field(histo, field, &bytes);
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
    text_field(&value, 1, tag);
    for (int i = 0; i < numbers; i++) wk__proto_double(&histo, i + 1, facts[i]);
    int from = first > 0 ? first - 1 : first; /* one empty bucket on the left, for its edge */
    if (limits) packed(&histo, 6, limits + from + 1, last - from + 1);
    if (limits) packed(&histo, 7, filled + from, last - from + 1);
    message_field(&value, 5, &histo);
    wk__event_summary(out, wall_time, step, &value);
    wk_text_free(&value);
    wk_free(limits);
}

/* ---- image ---- */

wk_status wk__event_image(wk_text *out, double wall_time, int64_t step, const char *tag, const unsigned char *pixels,
                          int height, int width, int channels) {
    wk_text value = { 0 }, image = { 0 }, png = { 0 };
    WK_TRY(wk__png_encode(&png, pixels, height, width, channels));
    text_field(&value, 1, tag);
    number_field(&image, 1, (uint64_t)height);
    number_field(&image, 2, (uint64_t)width);
    number_field(&image, 3, (uint64_t)channels);
    message_field(&image, 4, &png);
    message_field(&value, 4, &image);
    metadata(&value, "images", NULL);
    wk__event_summary(out, wall_time, step, &value);
    wk_text_free(&value);
    return WK_OK;
}

/* ---- precision and recall ---- */

static void size_field(wk_text *shape, int64_t size) {
    wk_text dim = { 0 };
    number_field(&dim, 1, (uint64_t)size);
    message_field(shape, 2, &dim);
}

void wk__event_pr_curve(wk_text *out, double wall_time, int64_t step, const char *tag, const float *rows,
                        int thresholds) {
    wk_text value = { 0 }, tensor = { 0 }, shape = { 0 }, content = { 0 }, numbers = { 0 };
    text_field(&value, 1, tag);
    number_field(&tensor, 1, 1); /* DT_FLOAT */
    size_field(&shape, WK__PR_ROWS);
    size_field(&shape, thresholds);
    message_field(&tensor, 2, &shape);
    for (int i = 0; i < WK__PR_ROWS * thresholds; i++) {
        uint32_t bits;
        memcpy(&bits, &rows[i], sizeof bits);
        wk__proto_little(&numbers, bits, 4);
    }
    message_field(&tensor, 5, &numbers);
    message_field(&value, 8, &tensor);
    number_field(&content, 2, (uint64_t)thresholds);
    metadata(&value, "pr_curves", &content);
    wk__event_summary(out, wall_time, step, &value);
    wk_text_free(&value);
}

/* ---- custom scalars ---- */

/* Layout: 2 category { 1 title, 2 chart { 1 title, 2 multiline { 1 tag } } } */
void wk__event_layout(wk_text *out, double wall_time, const wk__board_chart *charts, int count) {
    wk_text value = { 0 }, layout = { 0 }, tensor = { 0 }, shape = { 0 };
    for (int i = 0, end; i < count; i = end) {
        wk_text category = { 0 };
        text_field(&category, 1, charts[i].category);
        for (end = i; end < count && strcmp(charts[end].category, charts[i].category) == 0; end++) {
            wk_text chart = { 0 }, lines = { 0 };
            text_field(&chart, 1, charts[end].title);
            text_field(&lines, 1, charts[end].tag);
            message_field(&chart, 2, &lines);
            message_field(&category, 2, &chart);
        }
        message_field(&layout, 2, &category);
    }
    text_field(&value, 1, "custom_scalars__config__");
    number_field(&tensor, 1, 7); /* DT_STRING */
    message_field(&tensor, 2, &shape);
    message_field(&tensor, 8, &layout);
    message_field(&value, 8, &tensor);
    metadata(&value, "custom_scalars", NULL);
    wk__event_summary(out, wall_time, 0, &value);
    wk_text_free(&value);
}

/* ---- hparams ---- */

static void hparams_summary(wk_text *out, double wall_time, const char *tag, int field, wk_text *message) {
    wk_text value = { 0 }, content = { 0 };
    text_field(&value, 1, tag);
    message_field(&content, field, message); /* version 0 is not written */
    metadata(&value, "hparams", &content);
    wk__event_summary(out, wall_time, 0, &value);
    wk_text_free(&value);
}

/* A google.protobuf.Value. */
static void hparam_value(wk_text *out, const wk__hparam *h) {
    if (h->kind == WK__HPARAM_NUMBER)
        wk__proto_double(out, 2, strtod(h->value, NULL));
    else if (h->kind == WK__HPARAM_BOOL)
        number_field(out, 4, strcmp(h->value, "true") == 0);
    else
        text_field(out, 3, h->value);
}

void wk__event_hparams(wk_text *out, double wall_time, const wk__hparam *hparams, int count, const char *const *metrics,
                       int n_metrics) {
    static const uint64_t types[] = { [WK__HPARAM_TEXT] = 1, [WK__HPARAM_BOOL] = 2, [WK__HPARAM_NUMBER] = 3 };
    wk_text experiment = { 0 }, start = { 0 };
    for (int i = 0; i < count; i++) {
        wk_text info = { 0 }, entry = { 0 }, value = { 0 };
        text_field(&info, 1, hparams[i].name);
        number_field(&info, 4, types[hparams[i].kind]);
        message_field(&experiment, 4, &info);
        hparam_value(&value, &hparams[i]);
        text_field(&entry, 1, hparams[i].name);
        message_field(&entry, 2, &value);
        message_field(&start, 1, &entry);
    }
    for (int i = 0; i < n_metrics; i++) {
        wk_text info = { 0 }, name = { 0 };
        text_field(&name, 2, metrics[i]);
        message_field(&info, 1, &name);
        message_field(&experiment, 5, &info);
    }
    wk__proto_double(&start, 5, wall_time);
    hparams_summary(out, wall_time, "_hparams_/experiment", 2, &experiment);
    hparams_summary(out, wall_time, "_hparams_/session_start_info", 3, &start);
}

void wk__event_session_end(wk_text *out, double wall_time, wk__session status) {
    wk_text end = { 0 };
    number_field(&end, 1, (uint64_t)status);
    wk__proto_double(&end, 2, wall_time);
    hparams_summary(out, wall_time, "_hparams_/session_end_info", 4, &end);
}
