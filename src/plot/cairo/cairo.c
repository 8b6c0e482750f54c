/* cairo.c: pictures through cairo: the plug-in wick_cairo.so, which pictures in PNG open.
 *
 * A plug-in, so that nothing else needs cairo, which brings a dozen libraries with it.
 */
#include "plot/canvas.h"

#include <cairo-svg.h>
#include <stdlib.h>
#include <string.h>

static const double PIXELS = 2; /* of a PNG, a unit: sharp on a screen of any kind */

typedef struct canvas {
    cairo_surface_t *surface;
    cairo_t *cairo;
    char *png; /* where to write it; NULL: an SVG, which is written as it is drawn */
} canvas;

static void *canvas_open(const char *path, double width, double height) {
    canvas *c = calloc(1, sizeof *c);
    size_t length = strlen(path);
    bool png = length > 4 && strcmp(path + length - 4, ".png") == 0;
    if (!c) return NULL;
    c->surface = png ? cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)(PIXELS * width), (int)(PIXELS * height))
                     : cairo_svg_surface_create(path, width, height);
    c->cairo = cairo_create(c->surface);
    if (png) {
        c->png = strdup(path);
        cairo_scale(c->cairo, PIXELS, PIXELS);
    }
    cairo_set_source_rgb(c->cairo, 1, 1, 1);
    cairo_paint(c->cairo);
    return c;
}

static void set_path(const canvas *c, const wk__point *points, int count, wk__colour colour) {
    cairo_set_source_rgb(c->cairo, colour.red / 255.0, colour.green / 255.0, colour.blue / 255.0);
    cairo_new_path(c->cairo);
    for (int i = 0; i < count; i++) cairo_line_to(c->cairo, points[i].x, points[i].y);
}

static void canvas_stroke(void *canvas_, const wk__point *points, int count, wk__colour colour, double width,
                          bool dashed) {
    const canvas *c = canvas_;
    static const double dash[] = { 5, 4 };
    set_path(c, points, count, colour);
    cairo_set_line_width(c->cairo, width);
    cairo_set_dash(c->cairo, dash, dashed ? 2 : 0, 0);
    cairo_stroke(c->cairo);
}

static void canvas_fill(void *canvas_, const wk__point *points, int count, wk__colour colour) {
    const canvas *c = canvas_;
    set_path(c, points, count, colour);
    cairo_fill(c->cairo);
}

static void set_font(const canvas *c, const wk__text_style *style) {
    cairo_select_font_face(c->cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           style->bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(c->cairo, style->size);
}

static double canvas_text_width(void *canvas_, const char *text, const wk__text_style *style) {
    const canvas *c = canvas_;
    cairo_text_extents_t extents;
    set_font(c, style);
    cairo_text_extents(c->cairo, text, &extents);
    return extents.x_advance;
}

static void canvas_text(void *canvas_, wk__point at, const char *text, const wk__text_style *style) {
    const canvas *c = canvas_;
    double width = canvas_text_width(canvas_, text, style), shift = style->anchor == WK__LEFT     ? 0
                                                                    : style->anchor == WK__CENTRE ? width / 2
                                                                                                  : width;
    cairo_save(c->cairo);
    cairo_translate(c->cairo, at.x, at.y);
    cairo_rotate(c->cairo, style->angle);
    cairo_move_to(c->cairo, -shift, 0.36 * style->size);
    cairo_set_source_rgb(c->cairo, style->colour.red / 255.0, style->colour.green / 255.0, style->colour.blue / 255.0);
    cairo_show_text(c->cairo, text);
    cairo_restore(c->cairo);
}

static const char *canvas_close(void *canvas_) {
    canvas *c = canvas_;
    if (!c) return cairo_status_to_string(CAIRO_STATUS_NO_MEMORY);
    cairo_status_t status = cairo_status(c->cairo);
    if (status == CAIRO_STATUS_SUCCESS && c->png) status = cairo_surface_write_to_png(c->surface, c->png);
    cairo_destroy(c->cairo);
    cairo_surface_finish(c->surface);
    if (status == CAIRO_STATUS_SUCCESS) status = cairo_surface_status(c->surface);
    cairo_surface_destroy(c->surface);
    free(c->png);
    free(c);
    return status == CAIRO_STATUS_SUCCESS ? NULL : cairo_status_to_string(status);
}

static const wk__canvas_ops ops = { WK__CANVAS_API, canvas_open,       canvas_stroke, canvas_fill,
                                    canvas_text,    canvas_text_width, canvas_close };

__attribute__((visibility("default"))) const wk__canvas_ops *wk_canvas_plugin(void);
const wk__canvas_ops *wk_canvas_plugin(void) {
    return &ops;
}
