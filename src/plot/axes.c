/* axes.c: scales, their grid and numbers.  Logarithmic ones show ratios of times as distances; linear ones are for
 * what goes through zero. */
#include "plot/plot.h"

#include <math.h>

wk__scale wk__scale_around(double least, double most, double from, double to) {
    const double room = 1.25; /* on each side; half a decade at least in all */
    least /= room;
    most *= room;
    double widen = fmax(1, sqrt(3.2 * least / most));
    return (wk__scale){ least / widen, most * widen, from, to, false };
}

wk__scale wk__scale_linear(double least, double most, double room, double from, double to) {
    double span = most - least, least_span = 1e-9 * fmax(fabs(least), fabs(most));
    if (!(span > least_span)) { /* one value: something around it */
        double half = fmax(fabs(most) * 0.1, 1e-12);
        return (wk__scale){ least - half, most + half, from, to, true };
    }
    return (wk__scale){ least - room * span, most + room * span, from, to, true };
}

double wk__scale_at(const wk__scale *s, double value) {
    if (s->linear) return s->from + (s->to - s->from) * (value - s->least) / (s->most - s->least);
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

/* `text` NULL: no number. */
static void draw_tick(wk__picture *p, const axis *a, double value, const char *text) {
    double at = wk__scale_at(a->scale, value);
    wk__point from = { a->upright ? a->frame.left : at, a->upright ? at : a->frame.bottom },
              to = { a->upright ? a->frame.right : at, a->upright ? at : a->frame.top };
    wk__picture_line(p, from, to, wk__pale, text ? 1 : 0.5, false);
    if (!text) return;
    wk__point place = { a->upright ? from.x - 7 : from.x, a->upright ? from.y : from.y + 14 };
    wk__picture_text(
        p, place, text,
        (wk__text_style){ .size = 12, .anchor = a->upright ? WK__RIGHT : WK__CENTRE, .colour = wk__black });
}

/* Distances of 1, 2 or 5 times a power of ten, about `wanted` of them; as many digits as tell them apart. */
static void draw_linear_ticks(wk__picture *p, const axis *a, int wanted) {
    double span = a->scale->most - a->scale->least, power = pow(10, floor(log10(span / wanted)));
    double rest = span / wanted / power, step = power * (rest < 1.5 ? 1 : rest < 3.5 ? 2 : rest < 7.5 ? 5 : 10);
    int decimals = (int)fmax(0, ceil(-log10(step) - 1e-9));
    for (double k = ceil(a->scale->least / step); k * step <= a->scale->most; k++) {
        char text[40];
        double value = k * step;
        if (decimals > 5 || fabs(value) >= 1e6)
            (void)snprintf(text, sizeof text, "%.4g", k == 0 ? 0 : value);
        else
            (void)snprintf(text, sizeof text, "%.*f", decimals, k == 0 ? 0 : value);
        draw_tick(p, a, value, text);
    }
}

/* Every decade has a number, and 2, 3 and 5 too where there are few. */
static void draw_log_ticks(wk__picture *p, const axis *a) {
    bool few = log10(a->scale->most / a->scale->least) < 2.2;
    for (int power = (int)floor(log10(a->scale->least)); power <= (int)ceil(log10(a->scale->most)); power++)
        for (int digit = 1; digit < 10; digit++) {
            double value = digit * pow(10, power);
            bool numbered = digit == 1 || (few && (digit == 2 || digit == 3 || digit == 5));
            char text[40];
            wk__plot_write_number(value, text, sizeof text);
            if (value >= a->scale->least && value <= a->scale->most) draw_tick(p, a, value, numbered ? text : NULL);
        }
}

static void draw_ticks(wk__picture *p, const axis *a) {
    double length = a->upright ? a->frame.bottom - a->frame.top : a->frame.right - a->frame.left;
    if (a->scale->linear)
        draw_linear_ticks(p, a, (int)fmax(2, length / (a->upright ? 45 : 90)));
    else
        draw_log_ticks(p, a);
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
