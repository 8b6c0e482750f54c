/* history.c: steps from file to file: ratios to the peer above, times below, a line for each workload. */
#include "bench/plot/plot.h"

#include "base/base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SERIES = 40 };

/* A workload beside one peer (mode: eager, compile, onnxruntime), where some file has it. */
typedef struct series {
    char name[60];
    const char *workload, *dtype, *mode;
} series;

typedef struct history {
    wk__picture *p;
    json_t *const *files;
    int count;
    series series[MOST_SERIES];
    int n_series;
} history;

typedef struct panel {
    const history *h;
    wk__box frame;
    wk__scale y;
    const char *key; /* of the line */
    double unit;
    bool eager; /* lines beside further peers are left out: they say the same of Wick */
} panel;

/* ---- what there is ---- */

static const json_t *line_of(const json_t *file, const series *s) {
    size_t i;
    json_t *line;
    json_array_foreach(json_object_get(file, "lines"), i, line) {
        if (strcmp(wk__plot_text(line, "workload"), s->workload) == 0
            && strcmp(wk__plot_text(line, "dtype"), s->dtype) == 0 && strcmp(wk__plot_text(line, "mode"), s->mode) == 0)
            return line;
    }
    return NULL;
}

static void add_series(history *h, const json_t *line) {
    series s = { .workload = wk__plot_text(line, "workload"),
                 .dtype = wk__plot_text(line, "dtype"),
                 .mode = wk__plot_text(line, "mode") };
    bool low = strcmp(s.dtype, "bf16") == 0 && !strstr(s.workload, "-bf16");
    const char *beside = strcmp(s.mode, "compile") == 0       ? ", compiled"
                         : strcmp(s.mode, "onnxruntime") == 0 ? ", onnxruntime"
                                                              : "";
    (void)snprintf(s.name, sizeof s.name, "%s%s%s", s.workload, low ? "-bf16" : "", beside);
    for (int i = 0; i < h->n_series; i++)
        if (strcmp(h->series[i].name, s.name) == 0) return;
    if (h->n_series < MOST_SERIES) h->series[h->n_series++] = s;
}

static void collect(history *h) {
    for (int k = 0; k < h->count; k++) {
        size_t i;
        json_t *line;
        json_array_foreach(json_object_get(h->files[k], "lines"), i, line) add_series(h, line);
    }
}

/* 0: this file has none. */
static double value_of(const panel *at, int file, const series *s) {
    if (at->eager && strcmp(s->mode, "eager") != 0) return 0;
    return wk__plot_number(line_of(at->h->files[file], s), at->key) / at->unit;
}

/* False where no file has such values. */
static bool set_scale(panel *at) {
    double least = INFINITY, most = 0;
    for (int s = 0; s < at->h->n_series; s++)
        for (int k = 0; k < at->h->count; k++) {
            double value = value_of(at, k, &at->h->series[s]);
            if (value > 0) least = fmin(least, value);
            most = fmax(most, value);
        }
    if (most > 0) at->y = wk__scale_around(least, most, at->frame.bottom, at->frame.top);
    return most > 0;
}

/* ---- lines ---- */

static double column(const panel *at, int file) {
    const double inset = 30, width = at->frame.right - at->frame.left - 2 * inset;
    return at->frame.left + inset + (at->h->count > 1 ? width * file / (at->h->count - 1) : width / 2);
}

/* Where a line ends, and what it ends with. */
typedef struct ending {
    wk__point at;
    double value, text_y;
    int series;
} ending;

/* The value is 0 where there is none. */
static ending draw_series(const panel *at, int number) {
    const wk__colour colour = wk__plot_colours[number % WK__PLOT_COLOURS];
    ending end = { .series = number };
    for (int k = 0; k < at->h->count; k++) {
        double value = value_of(at, k, &at->h->series[number]);
        if (!(value > 0)) continue;
        wk__point here = { column(at, k), wk__scale_at(&at->y, value) };
        /* The second time round the colours, dashed: then no two lines look alike. */
        if (end.value > 0) wk__picture_line(at->h->p, end.at, here, colour, 1.8, number / WK__PLOT_COLOURS % 2 == 1);
        wk__picture_marker(at->h->p, here, number, 4.5, colour);
        end = (ending){ here, value, here.y, number };
    }
    return end;
}

static int by_height(const void *a, const void *b) {
    double x = ((const ending *)a)->at.y, y = ((const ending *)b)->at.y;
    return (x > y) - (x < y);
}

/* Names at the right, each with a thin line from where its series ends: pushed apart from the top to the bottom, then
 * back up from the frame's end. */
static void draw_names(const panel *at, ending *ends, int count) {
    const double step = 15, right = at->frame.right;
    double limit = at->frame.bottom;
    qsort(ends, (size_t)count, sizeof *ends, by_height);
    for (int i = 1; i < count; i++) ends[i].text_y = fmax(ends[i].text_y, ends[i - 1].text_y + step);
    for (int i = count - 1; i >= 0; i--, limit -= step) ends[i].text_y = fmin(ends[i].text_y, limit);
    for (int i = 0; i < count; i++) {
        char text[100], value[30];
        const wk__colour colour = wk__plot_colours[ends[i].series % WK__PLOT_COLOURS];
        const wk__point corner = { right - 14, ends[i].at.y };
        wk__plot_write_number(ends[i].value, value, sizeof value);
        (void)snprintf(text, sizeof text, "%s  %s", at->h->series[ends[i].series].name, value);
        wk__picture_line(at->h->p, ends[i].at, corner, colour, 0.7, false);
        wk__picture_line(at->h->p, corner, (wk__point){ right + 8, ends[i].text_y }, colour, 0.7, false);
        wk__picture_text(at->h->p, (wk__point){ right + 12, ends[i].text_y }, text,
                         (wk__text_style){ .size = 12, .colour = colour });
    }
}

static void draw_panel(const panel *at, const char *name, bool with_one) {
    ending ends[MOST_SERIES];
    int count = 0;
    wk__picture_axes(at->h->p, at->frame, NULL, "", &at->y, name);
    if (with_one && at->y.least < 1 && at->y.most > 1) {
        double y = wk__scale_at(&at->y, 1);
        wk__picture_line(at->h->p, (wk__point){ at->frame.left, y }, (wk__point){ at->frame.right, y }, wk__grey, 1.2,
                         true);
    }
    for (int s = 0; s < at->h->n_series; s++) {
        ends[count] = draw_series(at, s);
        count += ends[count].value > 0;
    }
    draw_names(at, ends, count);
}

/* Revisions below the lower panel, with days where there is room for all or every so many. */
static void draw_columns(const panel *at) {
    const double needed = 90, room = at->frame.right - at->frame.left;
    int each = (int)ceil(needed * at->h->count / room);
    for (int k = 0; k < at->h->count; k += each) {
        const json_t *file = at->h->files[k];
        char revision[14], date[11];
        (void)snprintf(revision, sizeof revision, "%.10s", wk__plot_text(file, "revision"));
        (void)snprintf(date, sizeof date, "%.10s", wk__plot_text(file, "date"));
        wk__point place = { column(at, k), at->frame.bottom + 15 };
        wk__text_style style = { .size = 11, .anchor = WK__CENTRE, .colour = wk__black };
        wk__picture_text(at->h->p, place, revision, style);
        place.y += 15;
        style.colour = wk__grey;
        wk__picture_text(at->h->p, place, date, style);
    }
}

/* ---- all ---- */

static bool is_same_in_all(const history *h, const char *key) {
    for (int k = 1; k < h->count; k++)
        if (strcmp(wk__plot_text(h->files[k], key), wk__plot_text(h->files[0], key)) != 0) return false;
    return true;
}

static void draw_title(const history *h) {
    const json_t *last = h->files[h->count - 1];
    char first[300], second[300];
    (void)snprintf(first, sizeof first, "%s; %s; revision %s; %d threads; peer %s",
                   is_same_in_all(h, "processor") ? wk__plot_text(last, "processor")
                                                  : "files of several processors, which say nothing of the code",
                   wk__plot_text(last, "build"), wk__plot_text(last, "revision"), (int)wk__plot_number(last, "threads"),
                   *wk__plot_text(last, "peer") ? wk__plot_text(last, "peer") : "none");
    (void)snprintf(second, sizeof second, "numbers at the right: those of the last file that has them");
    wk__picture_title(h->p, h->count > 1 ? "Steps, from revision to revision" : "Steps",
                      (const char *const[]){ first, second }, h->count > 1 ? 2 : 1);
}

void wk__draw_history(wk__picture *p, json_t *const *files, int count) {
    history h = { .p = p, .files = files, .count = count };
    const double names = 220, top = 84, bottom = p->height - 62;
    collect(&h);
    draw_title(&h);
    panel above = {
        .h = &h, .key = "ratio", .unit = 1, .frame = { 80, top, p->width - names, (top + bottom) / 2 - 14 }
    };
    panel below = { .h = &h, .key = "wick_ns", .unit = 1e6, .eager = true, .frame = above.frame };
    below.frame.bottom = bottom;
    if (set_scale(&above)) {
        draw_panel(&above, "ratio: peer's time over Wick's", true);
        below.frame.top = (top + bottom) / 2 + 14;
    }
    if (!set_scale(&below)) return;
    draw_panel(&below, "Wick's step, ms", false);
    draw_columns(&below);
}
