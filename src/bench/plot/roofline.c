/* roofline.c: each measured line by its operations a byte and its operations a second, below the roofs of the machine
 * that its file was measured on (Williams, Waterman and Patterson 2009).
 */
#include "bench/plot/plot.h"

#include "base/base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_POINTS = 3000 };

typedef struct spot {
    double intensity, rate; /* operations a byte; 1e9 operations a second */
    double percent;         /* of the roof */
    const char *row;
    bool grad;
} spot;

typedef struct roofline {
    wk__picture *p;
    wk__box frame;
    wk__scale x, y;
    double peak; /* 1e9 operations a second, of the file's dtype */
    spot spots[MOST_POINTS];
    int count, left_out;
} roofline;

/* ---- what is drawn ---- */

static void collect(roofline *r, const json_t *lines) {
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line) {
        double ns = wk__plot_number(line, "wick_ns"), operations = wk__plot_number(line, "operations"),
               bytes = wk__plot_number(line, "bytes");
        bool drawn = ns > 0 && operations > 0 && bytes > 0 && r->count < MOST_POINTS;
        r->left_out += !drawn;
        if (!drawn) continue;
        r->spots[r->count++] = (spot){ operations / bytes, operations / ns, wk__plot_number(line, "percent_of_roof"),
                                       wk__plot_text(line, "row"), strcmp(wk__plot_text(line, "mode"), "grad") == 0 };
    }
}

static double peak_of(const json_t *all) {
    const json_t *roofs = json_object_get(all, "roofs");
    const char *dtype = wk__plot_text(all, "dtype");
    double f32 = wk__plot_number(roofs, "f32_operations_per_second"), own = f32;
    if (strcmp(dtype, "f64") == 0) own = wk__plot_number(roofs, "f64_operations_per_second");
    if (strcmp(dtype, "bf16") == 0) own = fmax(f32, wk__plot_number(roofs, "bf16_operations_per_second"));
    return own / 1e9;
}

static void set_scales(roofline *r, const json_t *levels) {
    double least_x = 0.1, most_x = 10, least_y = 0.5 * r->peak, most_y = r->peak;
    size_t i;
    json_t *level;
    json_array_foreach(levels, i, level) {
        double ridge = r->peak / (wk__plot_number(level, "bytes_per_second") / 1e9);
        most_x = fmax(most_x, 3 * ridge);
    }
    for (int k = 0; k < r->count; k++) {
        least_x = fmin(least_x, r->spots[k].intensity);
        most_x = fmax(most_x, r->spots[k].intensity);
        least_y = fmin(least_y, r->spots[k].rate);
        most_y = fmax(most_y, r->spots[k].rate);
    }
    r->x = wk__scale_around(least_x, most_x, r->frame.left, r->frame.right);
    r->y = wk__scale_around(least_y, most_y, r->frame.bottom, r->frame.top);
}

/* ---- roofs ---- */

static wk__point place(const roofline *r, double intensity, double rate) {
    return (wk__point){ wk__scale_at(&r->x, intensity), wk__scale_at(&r->y, rate) };
}

/* From where the level's line enters the frame to the peak; its name stands on it, for each level a step farther up,
 * since the lines of neighbouring levels may touch, and near its beginning, where few rows are. */
static void draw_level(const roofline *r, const json_t *level, size_t number) {
    char text[80];
    double rate = wk__plot_number(level, "bytes_per_second") / 1e9;
    double left = fmax(r->x.least, r->y.least / rate), ridge = r->peak / rate;
    if (left >= ridge) return;
    wk__point from = place(r, left, left * rate), to = place(r, ridge, r->peak);
    double share = fmin(0.9, (70 + 100 * (double)number) / (to.x - from.x));
    wk__picture_line(r->p, from, to, wk__grey, 1.5, false);
    (void)snprintf(text, sizeof text, "%s %.0f GB/s", wk__plot_text(level, "level"), rate);
    wk__picture_text_along(
        r->p, (wk__point){ from.x + share * (to.x - from.x), from.y + share * (to.y - from.y) }, text,
        (wk__text_style){ .size = 11, .angle = atan2(to.y - from.y, to.x - from.x), .colour = wk__grey });
}

static void draw_roofs(const roofline *r, const json_t *all, const json_t *levels) {
    char text[80];
    double fastest = 1e-9;
    size_t i;
    json_t *level;
    json_array_foreach(levels, i, level) {
        draw_level(r, level, i);
        fastest = fmax(fastest, wk__plot_number(level, "bytes_per_second") / 1e9);
    }
    wk__point from = place(r, fmax(r->x.least, r->peak / fastest), r->peak), to = place(r, r->x.most, r->peak);
    wk__picture_line(r->p, from, to, wk__grey, 1.5, false);
    (void)snprintf(text, sizeof text, "peak of %s: %.0f Gop/s", wk__plot_text(all, "dtype"), r->peak);
    wk__text_style style = { .size = 11, .colour = wk__grey };
    double width = r->p->ops->text_width(r->p->canvas, text, &style);
    wk__picture_text_along(r->p, (wk__point){ from.x - width / 2 - 12, from.y }, text, style);
}

/* ---- rows ---- */

static int by_percent(const void *a, const void *b) {
    double x = ((const spot *)a)->percent, y = ((const spot *)b)->percent;
    return (x > y) - (x < y);
}

static wk__colour colour_of(const spot *s) {
    return wk__plot_colours[s->grad];
}

static void draw_spots(roofline *r) {
    const double radius = 3.2;
    qsort(r->spots, (size_t)r->count, sizeof *r->spots, by_percent);
    for (int i = 0; i < r->count; i++) {
        wk__point at = place(r, r->spots[i].intensity, r->spots[i].rate);
        wk__picture_marker(r->p, at, r->spots[i].grad, r->spots[i].grad ? radius + 1 : radius, colour_of(&r->spots[i]));
        wk__picture_take(r->p, (wk__box){ at.x - radius, at.y - radius, at.x + radius, at.y + radius });
    }
    /* Where there is room for some names only: for those of rows that leave most to be won. */
    for (int i = 0; i < r->count; i++)
        (void)wk__picture_label(r->p, r->frame, place(r, r->spots[i].intensity, r->spots[i].rate), r->spots[i].row,
                                (wk__text_style){ .size = 10, .colour = colour_of(&r->spots[i]) });
}

static void draw_key(const roofline *r) {
    static const char *const names[] = { "forward", "forward and backward" };
    double x = r->frame.left + 14;
    for (int i = 0; i < 2; i++) {
        wk__text_style style = { .size = 12, .colour = wk__plot_colours[i] };
        double width = r->p->ops->text_width(r->p->canvas, names[i], &style), y = r->frame.top + 12;
        wk__picture_marker(r->p, (wk__point){ x, y }, i, 4.5, wk__plot_colours[i]);
        wk__picture_text(r->p, (wk__point){ x + 9, y }, names[i], style);
        wk__picture_take(r->p, (wk__box){ x - 5, y - 9, x + 12 + width, y + 9 });
        x += width + 32;
    }
}

void wk__draw_roofline(wk__picture *p, const json_t *all) {
    static roofline r;
    char title[160], first[300], second[300];
    const json_t *levels = json_object_get(json_object_get(all, "roofs"), "bandwidth");
    r = (roofline){ .p = p, .frame = { 80, 96, p->width - 24, p->height - 56 }, .peak = peak_of(all) };
    collect(&r, json_object_get(all, "lines"));
    int threads = (int)wk__plot_number(all, "threads");
    (void)snprintf(title, sizeof title, "Roofline of operations, %s, %d thread%s", wk__plot_text(all, "dtype"), threads,
                   threads == 1 ? "" : "s");
    (void)snprintf(first, sizeof first, "%s; revision %s; %s; caches %s", wk__plot_text(all, "processor"),
                   wk__plot_text(all, "revision"), wk__plot_text(all, "build"), wk__plot_text(all, "cache"));
    (void)snprintf(second, sizeof second, "%d lines; %d without operations or without a time are left out", r.count,
                   r.left_out);
    wk__picture_title(p, title, (const char *const[]){ first, second }, r.left_out ? 2 : 1);
    set_scales(&r, levels);
    wk__picture_axes(p, r.frame, &r.x, "operations a byte", &r.y, "10⁹ operations a second");
    draw_key(&r);
    draw_roofs(&r, all, levels);
    draw_spots(&r);
}
