/* curves.c: a chart of curves over one axis, with the names of the curves in rows below it. */
#include "plot/plot.h"

#include <math.h>

enum { TITLE = 34, BELOW = 58, ROW = 20, MOST_POINTS = 1600 };

double wk__chart_height(double width, int curves) {
    int rows = (curves + 1) / 2;
    return TITLE + 0.45 * width + BELOW + ROW * rows;
}

static bool is_drawn(const wk__chart *chart, wk__point value) {
    return isfinite(value.x) && isfinite(value.y) && (!chart->log || value.y > 0);
}

typedef struct frame {
    wk__picture *p;
    const wk__chart *chart;
    wk__box box;
    wk__scale x, y;
} frame;

/* False where there is nothing to draw. */
static bool set_scales(frame *f) {
    double least_x = INFINITY, most_x = -INFINITY, least_y = INFINITY, most_y = -INFINITY;
    for (int c = 0; c < f->chart->count; c++)
        for (int i = 0; i < f->chart->curves[c].count; i++) {
            wk__point value = f->chart->curves[c].points[i];
            if (!is_drawn(f->chart, value)) continue;
            least_x = fmin(least_x, value.x), most_x = fmax(most_x, value.x);
            least_y = fmin(least_y, value.y), most_y = fmax(most_y, value.y);
        }
    if (!(most_x >= least_x)) return false;
    f->x = wk__scale_linear(least_x, most_x, 0, f->box.left, f->box.right);
    f->y = f->chart->log ? wk__scale_around(least_y, most_y, f->box.bottom, f->box.top)
                         : wk__scale_linear(least_y, most_y, 0.06, f->box.bottom, f->box.top);
    return true;
}

/* Of more points than a chart has dots across, the lowest and the highest of each neighbourhood: what is seen stays,
 * and a run of a million steps has a page of ordinary size. */
static int thin(wk__point *line, int count) {
    const int each = (count + MOST_POINTS / 2 - 1) / (MOST_POINTS / 2);
    int kept = 0;
    if (count <= MOST_POINTS) return count;
    for (int from = 0; from < count; from += each) {
        int low = from, high = from, end = from + each < count ? from + each : count;
        for (int i = from; i < end; i++) {
            if (line[i].y > line[low].y) low = i;
            if (line[i].y < line[high].y) high = i;
        }
        wk__point first = line[low < high ? low : high], second = line[low < high ? high : low];
        line[kept++] = first;
        if (low != high) line[kept++] = second;
    }
    return kept;
}

static void draw_curve(const frame *f, const wk__curve *curve) {
    const wk__colour colour = wk__plot_colours[curve->colour % WK__PLOT_COLOURS];
    wk__point *line = wk_alloc((size_t)(curve->count + 1) * sizeof *line);
    int count = 0;
    for (int i = 0; line && i < curve->count; i++)
        if (is_drawn(f->chart, curve->points[i]))
            line[count++] =
                (wk__point){ wk__scale_at(&f->x, curve->points[i].x), wk__scale_at(&f->y, curve->points[i].y) };
    count = thin(line, count);
    if (count > 1) f->p->ops->stroke(f->p->canvas, line, count, colour, 1.8, curve->dashed);
    /* Few points are shown as such: a curve of one would be none. */
    for (int i = 0; i < count && count <= 40; i++)
        wk__picture_marker(f->p, line[i], curve->colour, count == 1 ? 4.5 : 2.6, colour);
    wk_free(line);
}

static void draw_names(const frame *f, double top) {
    double half = (f->box.right - f->box.left) / 2;
    for (int i = 0; i < f->chart->count; i++) {
        const wk__curve *curve = &f->chart->curves[i];
        double x = f->box.left + i % 2 * half, y = top + ROW * (i / 2);
        wk__colour colour = wk__plot_colours[curve->colour % WK__PLOT_COLOURS];
        wk__picture_line(f->p, (wk__point){ x, y }, (wk__point){ x + 26, y }, colour, 2.2, curve->dashed);
        wk__picture_marker(f->p, (wk__point){ x + 13, y }, curve->colour, 3.6, colour);
        wk__text_style style = { .size = 13, .colour = wk__black };
        double width = f->p->ops->text_width(f->p->canvas, curve->name, &style);
        style.size *= fmin(1, (half - 42) / fmax(1, width));
        wk__picture_text(f->p, (wk__point){ x + 34, y }, curve->name, style);
    }
}

void wk__draw_chart(wk__picture *p, wk__box box, const wk__chart *chart) {
    int rows = (chart->count + 1) / 2;
    frame f = { .p = p, .chart = chart };
    f.box = (wk__box){ box.left + 72, box.top + TITLE, box.right - 14, box.bottom - BELOW - ROW * rows };
    wk__picture_text(p, (wk__point){ f.box.left, box.top + 16 }, chart->title,
                     (wk__text_style){ .size = 15, .bold = true, .colour = wk__black });
    if (!set_scales(&f)) {
        wk__picture_text(p, (wk__point){ f.box.left, (f.box.top + f.box.bottom) / 2 }, "no values",
                         (wk__text_style){ .size = 13, .colour = wk__grey });
        return;
    }
    wk__picture_axes(p, f.box, &f.x, chart->x_name, &f.y, "");
    for (int i = 0; i < chart->count; i++) draw_curve(&f, &chart->curves[i]);
    draw_names(&f, f.box.bottom + BELOW);
}
