/* picture.c: lines, markers and texts, and finding room for labels.
 *
 * A label goes to the first of eight places around its point where it covers neither a marker nor another label; where
 * all are taken it is left out, so whoever labels begins with what matters most.
 */
#include "plot/plot.h"

#include <math.h>

const wk__colour wk__black = { 30, 30, 30 }, wk__grey = { 120, 120, 120 }, wk__pale = { 225, 225, 225 },
                 wk__white = { 255, 255, 255 },
                 wk__plot_colours[] = { { 0, 114, 178 }, { 213, 94, 0 },   { 0, 158, 115 }, { 204, 121, 167 },
                                        { 230, 159, 0 }, { 86, 180, 233 }, { 30, 30, 30 } };

/* ---- marks ---- */

void wk__picture_line(wk__picture *p, wk__point from, wk__point to, wk__colour colour, double width, bool dashed) {
    p->ops->stroke(p->canvas, (wk__point[]){ from, to }, 2, colour, width, dashed);
}

void wk__picture_text(wk__picture *p, wk__point at, const char *text, wk__text_style style) {
    p->ops->text(p->canvas, at, text, &style);
}

void wk__picture_marker(wk__picture *p, wk__point at, int shape, double radius, wk__colour colour) {
    enum { MOST = 16 };
    /* corners and the first one's direction: circle, diamond, triangles up and down, square, hexagon, pentagon */
    static const struct {
        int corners;
        double turn;
    } shapes[] = { { MOST, 0 }, { 4, 0 }, { 3, -0.25 }, { 3, 0.25 }, { 4, 0.125 }, { 6, 0 }, { 5, -0.25 } };
    const int corners = shapes[shape % (int)WK_COUNT(shapes)].corners;
    wk__point corner[MOST];
    for (int i = 0; i < corners; i++) {
        double angle = 2 * 3.14159265358979 * (shapes[shape % (int)WK_COUNT(shapes)].turn + (double)i / corners);
        corner[i] = (wk__point){ at.x + radius * cos(angle), at.y + radius * sin(angle) };
    }
    p->ops->fill(p->canvas, corner, corners, colour);
}

/* ---- room ---- */

void wk__picture_take(wk__picture *p, wk__box box) {
    if (p->boxes < WK__PICTURE_MOST_BOXES) p->taken[p->boxes++] = box;
}

static bool is_free(const wk__picture *p, wk__box frame, wk__box box) {
    if (box.left < frame.left || box.right > frame.right || box.top < frame.top || box.bottom > frame.bottom)
        return false;
    for (int i = 0; i < p->boxes; i++) {
        const wk__box *other = &p->taken[i];
        if (box.left < other->right && other->left < box.right && box.top < other->bottom && other->top < box.bottom)
            return false;
    }
    return true;
}

bool wk__picture_label(wk__picture *p, wk__box frame, wk__point at, const char *text, wk__text_style style) {
    const double gap = 6, width = p->ops->text_width(p->canvas, text, &style), height = 1.15 * style.size;
    /* where the label's box begins, from the point */
    const wk__point places[] = {
        { gap, -height / 2 },
        { -gap - width, -height / 2 },
        { -width / 2, -gap - height },
        { -width / 2, gap },
        { gap / 2, -gap / 2 - height },
        { gap / 2, gap / 2 },
        { -gap / 2 - width, -gap / 2 - height },
        { -gap / 2 - width, gap / 2 },
    };
    style.anchor = WK__LEFT;
    for (size_t i = 0; i < WK_COUNT(places); i++) {
        wk__box box = { at.x + places[i].x, at.y + places[i].y, at.x + places[i].x + width,
                        at.y + places[i].y + height };
        if (!is_free(p, frame, box)) continue;
        const wk__point corners[] = {
            { box.left, box.top }, { box.right, box.top }, { box.right, box.bottom }, { box.left, box.bottom }
        };
        wk__picture_take(p, box);
        p->ops->fill(p->canvas, corners, 4, wk__white); /* over lines alone: no marker lies there */
        wk__picture_text(p, (wk__point){ box.left, (box.top + box.bottom) / 2 }, text, style);
        return true;
    }
    return false;
}

void wk__picture_text_along(wk__picture *p, wk__point at, const char *text, wk__text_style style) {
    double half = p->ops->text_width(p->canvas, text, &style) / 2 + 4, high = 0.6 * style.size;
    double along_x = half * cos(style.angle), along_y = half * sin(style.angle);
    double across_x = -high * sin(style.angle), across_y = high * cos(style.angle);
    wk__box box = { at.x - fabs(along_x), at.y - fabs(along_y), at.x + fabs(along_x), at.y + fabs(along_y) };
    const wk__point corners[] = { { at.x - along_x - across_x, at.y - along_y - across_y },
                                  { at.x + along_x - across_x, at.y + along_y - across_y },
                                  { at.x + along_x + across_x, at.y + along_y + across_y },
                                  { at.x - along_x + across_x, at.y - along_y + across_y } };
    p->ops->fill(p->canvas, corners, 4, wk__white);
    style.anchor = WK__CENTRE;
    wk__picture_text(p, at, text, style);
    box.top -= high;
    box.bottom += high;
    wk__picture_take(p, box);
}

/* ---- the title ---- */

void wk__picture_title(wk__picture *p, const char *title, const char *const *lines, int count) {
    const double left = 24, room = p->width - 2 * left;
    double y = 26;
    wk__picture_text(p, (wk__point){ left, y }, title,
                     (wk__text_style){ .size = 18, .bold = true, .colour = wk__black });
    for (int i = 0; i < count; i++) {
        wk__text_style style = { .size = 12, .colour = wk__grey };
        style.size *= fmin(1, room / fmax(1, p->ops->text_width(p->canvas, lines[i], &style)));
        y += i ? 16 : 22;
        wk__picture_text(p, (wk__point){ left, y }, lines[i], style);
    }
}
