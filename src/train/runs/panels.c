/* panels.c: see panels.h.
 *
 * Columns are named by what they measure with "train_" or "val_" before it and "_step" or "_epoch" behind: what is left
 * is the quantity, and has one chart.
 */
#include "train/runs/panels.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 900, MARGIN = 14 };

static bool starts(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

static void quantity_of(const char *column, char *text, size_t size) {
    static const char *const before[] = { "train_", "val_", "test_" }, *const behind[] = { "_step", "_epoch" };
    for (size_t i = 0; i < WK_COUNT(before); i++)
        if (starts(column, before[i]) && column[strlen(before[i])]) {
            column += strlen(before[i]);
            break;
        }
    size_t length = strlen(column);
    for (size_t i = 0; i < WK_COUNT(behind); i++) {
        size_t part = strlen(behind[i]);
        if (length > part && strcmp(column + length - part, behind[i]) == 0) {
            length -= part;
            break;
        }
    }
    (void)snprintf(text, size, "%.*s", (int)length, column);
}

static bool is_wanted(const char *column, const wk__panel_opts *opts) {
    char quantity[64];
    if (strcmp(column, "step") == 0 || strcmp(column, "epoch") == 0) return false;
    if (opts->n_metrics == 0) return true;
    quantity_of(column, quantity, sizeof quantity);
    for (int i = 0; i < opts->n_metrics; i++)
        if (strcmp(column, opts->metrics[i]) == 0 || strcmp(quantity, opts->metrics[i]) == 0) return true;
    return false;
}

/* Every metric that was asked for is somewhere. */
static wk_status check(const wk__source *sources, int count, const wk__panel_opts *opts) {
    for (int m = 0; m < opts->n_metrics; m++) {
        const wk__panel_opts one = { .metrics = &opts->metrics[m], .n_metrics = 1 };
        bool found = false;
        wk_text known = { 0 };
        for (int s = 0; s < count; s++)
            for (int c = 0; c < sources[s].table->columns; c++) {
                const char *column = sources[s].table->column[c];
                found = found || is_wanted(column, &one);
                if (s == 0 && strcmp(column, "step") != 0 && strcmp(column, "epoch") != 0)
                    wk_text_printf(&known, "%s%s", known.size ? ", " : "", column);
            }
        if (!found)
            (void)wk_fail(WK_NOT_FOUND, "no run has logged \"%s\"; %s has %s", opts->metrics[m], sources[0].name,
                          known.size ? wk_text_get(&known) : "nothing");
        wk_text_free(&known);
        if (!found) return wk_error_code();
    }
    return WK_OK;
}

static wk__panel *panel_of(wk__panels *p, const char *column) {
    char title[64];
    quantity_of(column, title, sizeof title);
    for (int i = 0; i < p->count; i++)
        if (strcmp(p->panel[i].title, title) == 0) return &p->panel[i];
    if (p->count == WK__MOST_PANELS)
        return wk_fail_null(WK_INVALID, "more than %d charts: choose with --metric", WK__MOST_PANELS);
    wk__panel *panel = &p->panel[p->count++];
    (void)snprintf(panel->title, sizeof panel->title, "%s", title);
    return panel;
}

/* The values of a column; of an epoch the last one, where the curve runs along epochs. */
static int points_of(const wk__run_table *t, int column, bool by_epoch, wk__point *points) {
    int x_column = wk__run_table_column(t, by_epoch ? "epoch" : "step"), count = 0;
    for (int64_t r = 0; r < t->rows; r++) {
        wk__point here = { x_column < 0 ? (double)r : t->cell[r * t->columns + x_column],
                           t->cell[r * t->columns + column] };
        if (isnan(here.x) || isnan(here.y)) continue;
        if (by_epoch && count && points[count - 1].x >= here.x) count--;
        points[count++] = here;
    }
    return count;
}

static wk_status add_curve(wk__panels *p, const wk__source *sources, int count, int s, int column, bool by_epoch) {
    const wk__run_table *t = sources[s].table;
    wk__point *points = wk_alloc((size_t)(t->rows + 1) * sizeof *points);
    int n = points ? points_of(t, column, by_epoch, points) : 0;
    wk__panel *panel = n ? panel_of(p, t->column[column]) : NULL;
    if (panel && panel->count == WK__MOST_CURVES) {
        (void)wk_fail(WK_INVALID, "more than %d curves of %s: choose with --metric", WK__MOST_CURVES, panel->title);
        panel = NULL;
    }
    char *name = !panel      ? NULL
                 : count > 1 ? wk_format("%s: %s", sources[s].name, t->column[column])
                             : wk_strdup(t->column[column]);
    if (!name) {
        wk_free(points);
        return wk_failed() ? wk_error_code() : WK_OK; /* a column without values */
    }
    /* Of several runs each has a colour, and its further columns are dashed. */
    bool repeats = panel->count > 0 && panel->curve[panel->count - 1].colour == s;
    panel->curve[panel->count] = (wk__curve){ .name = name,
                                              .points = points,
                                              .count = n,
                                              .colour = count > 1 ? s : panel->count,
                                              .dashed = count > 1 && repeats };
    panel->count++;
    return WK_OK;
}

/* Losses, then accuracies, then the others as they come, then what is no measure of the model. */
static int place_of(const wk__panel *panel) {
    static const char *const last[] = { "lr", "momentum", "images_per_second" };
    if (strcmp(panel->title, "loss") == 0) return 0;
    if (strcmp(panel->title, "accuracy") == 0) return 1;
    for (size_t i = 0; i < WK_COUNT(last); i++)
        if (starts(panel->title, last[i])) return 3 + (int)i;
    return 2;
}

/* By insertion: what is equal keeps its order. */
static wk_status sort(wk__panels *p) {
    wk__panel *kept = wk_alloc(sizeof *kept);
    if (!kept) return WK_NO_MEMORY;
    for (int i = 1; i < p->count; i++)
        for (int k = i; k > 0 && place_of(&p->panel[k]) < place_of(&p->panel[k - 1]); k--) {
            *kept = p->panel[k];
            p->panel[k] = p->panel[k - 1];
            p->panel[k - 1] = *kept;
        }
    wk_free(kept);
    return WK_OK;
}

wk_status wk__panels_make(wk__panels *p, const wk__source *sources, int count, wk__panel_opts opts) {
    *p = (wk__panels){ .panel = wk_alloc(WK__MOST_PANELS * sizeof *p->panel),
                       .x_name = opts.by_epoch ? "epoch" : "step",
                       .log = opts.log };
    wk_status status = p->panel ? check(sources, count, &opts) : WK_NO_MEMORY;
    for (int s = 0; s < count && status == WK_OK; s++)
        for (int c = 0; c < sources[s].table->columns && status == WK_OK; c++)
            if (is_wanted(sources[s].table->column[c], &opts))
                status = add_curve(p, sources, count, s, c, opts.by_epoch);
    if (status == WK_OK) status = sort(p);
    if (status != WK_OK) wk__panels_free(p);
    return status;
}

void wk__panels_free(wk__panels *p) {
    for (int i = 0; i < p->count; i++)
        for (int c = 0; c < p->panel[i].count; c++) {
            wk_free((void *)(uintptr_t)p->panel[i].curve[c].points);
            wk_free((void *)(uintptr_t)p->panel[i].curve[c].name);
        }
    wk_free(p->panel);
    *p = (wk__panels){ 0 };
}

static wk__chart chart_of(const wk__panels *p, int i) {
    return (wk__chart){ .title = p->panel[i].title,
                        .x_name = p->x_name,
                        .curves = p->panel[i].curve,
                        .count = p->panel[i].count,
                        .log = p->log };
}

wk_status wk__panels_save(const wk__panels *p, const char *path) {
    double height = 2 * MARGIN, top = MARGIN;
    for (int i = 0; i < p->count; i++) height += wk__chart_height(WIDTH, p->panel[i].count);
    wk__picture *picture = wk__picture_open(path, WIDTH, height);
    if (!picture) return wk_error_code();
    for (int i = 0; i < p->count; i++) {
        wk__chart chart = chart_of(p, i);
        double bottom = top + wk__chart_height(WIDTH, p->panel[i].count);
        wk__draw_chart(picture, (wk__box){ MARGIN, top, WIDTH - MARGIN, bottom }, &chart);
        top = bottom;
    }
    return wk__picture_close(picture, path);
}

wk_status wk__panel_inline(const wk__panels *p, int i, wk_text *page) {
    enum { NARROW = 620 };
    char what[100];
    double height = wk__chart_height(NARROW, p->panel[i].count);
    (void)snprintf(what, sizeof what, "%s over %ss", p->panel[i].title, p->x_name);
    wk__picture *picture = wk__picture_inline(page, NARROW, height, what);
    if (!picture) return wk_error_code();
    wk__chart chart = chart_of(p, i);
    wk__draw_chart(picture, (wk__box){ 0, 0, NARROW, height }, &chart);
    return wk__picture_inline_close(picture);
}
