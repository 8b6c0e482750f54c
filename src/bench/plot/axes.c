/* axes.c: logarithmic scales, their grid and numbers: ratios of times are what matters here, and those are distances.
 */
#include "bench/plot/plot.h"

#include "base/base.h"

#include <math.h>

wk__scale wk__scale_around(double least, double most, double from, double to) {
    const double room = 1.25; /* on each side; half a decade at least in all */
    least /= room;
    most *= room;
    double widen = fmax(1, sqrt(3.2 * least / most));
    return (wk__scale){ least / widen, most * widen, from, to };
}

double wk__scale_at(const wk__scale *s, double value) {
    return s->from + (s->to - s->from) * log(value / s->least) / log(s->most / s->least);
}

void wk__plot_write_number(double value, char *text, size_t size) {
    if (value >= 1000)
        (void)snprintf(text, size, "%.0f,%03d", floor(value / 1000), (int)fmod(value, 1000));
    else
        (void)snprintf(text, size, "%.3g", value);
}

typedef struct axis {
    const wk__scale *scale;
    wk__box frame;
    bool upright;
} axis;

static void draw_tick(wk__picture *p, const axis *a, double value, bool numbered) {
    char text[40];
    double at = wk__scale_at(a->scale, value);
    wk__point from = { a->upright ? a->frame.left : at, a->upright ? at : a->frame.bottom },
              to = { a->upright ? a->frame.right : at, a->upright ? at : a->frame.top };
    wk__picture_line(p, from, to, wk__pale, numbered ? 1 : 0.5, false);
    if (!numbered) return;
    wk__plot_write_number(value, text, sizeof text);
    wk__point place = { a->upright ? from.x - 7 : from.x, a->upright ? from.y : from.y + 14 };
    wk__picture_text(
        p, place, text,
        (wk__text_style){ .size = 12, .anchor = a->upright ? WK__RIGHT : WK__CENTRE, .colour = wk__black });
}

/* Every decade has a number, and 2, 3 and 5 too where there are few. */
static void draw_ticks(wk__picture *p, const axis *a) {
    bool few = log10(a->scale->most / a->scale->least) < 2.2;
    for (int power = (int)floor(log10(a->scale->least)); power <= (int)ceil(log10(a->scale->most)); power++)
        for (int digit = 1; digit < 10; digit++) {
            double value = digit * pow(10, power);
            bool numbered = digit == 1 || (few && (digit == 2 || digit == 3 || digit == 5));
            if (value >= a->scale->least && value <= a->scale->most) draw_tick(p, a, value, numbered);
        }
}

void wk__picture_axes(wk__picture *p, wk__box frame, const wk__scale *x, const char *x_name, const wk__scale *y,
                      const char *y_name) {
    const double pi = 3.14159265358979;
    if (x) draw_ticks(p, &(axis){ x, frame, false });
    if (y) draw_ticks(p, &(axis){ y, frame, true });
    const wk__point corners[] = { { frame.left, frame.top },
                                  { frame.left, frame.bottom },
                                  { frame.right, frame.bottom } };
    p->ops->stroke(p->canvas, corners, 3, wk__black, 1, false);
    wk__text_style style = { .size = 13, .anchor = WK__CENTRE, .colour = wk__black };
    wk__picture_text(p, (wk__point){ (frame.left + frame.right) / 2, frame.bottom + 38 }, x_name, style);
    style.angle = -pi / 2;
    wk__picture_text(p, (wk__point){ frame.left - 52, (frame.top + frame.bottom) / 2 }, y_name, style);
}
