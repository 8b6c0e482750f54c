/* plot.h: pictures: marks and labels, axes, curves and tables of numbers, on a canvas that writes PNG or SVG. */
#ifndef WICK_SRC_PLOT_H
#define WICK_SRC_PLOT_H

#include "base/base.h"
#include "plot/canvas.h"

/* ---- picture.c ---- */

typedef struct wk__box {
    double left, top, right, bottom;
} wk__box;

enum { WK__PICTURE_MOST_BOXES = 4096 };

/* One that is being drawn, and where something lies already that no label may cover. */
typedef struct wk__picture {
    const wk__canvas_ops *ops;
    void *canvas;
    double width, height;
    wk__box taken[WK__PICTURE_MOST_BOXES];
    int boxes;
} wk__picture;

/* Colours that people with any kind of colour vision tell apart (Okabe and Ito 2008). */
extern const wk__colour wk__black, wk__grey, wk__pale, wk__white, wk__plot_colours[];
enum { WK__PLOT_COLOURS = 7 };

void wk__picture_line(wk__picture *p, wk__point from, wk__point to, wk__colour colour, double width, bool dashed);
void wk__picture_text(wk__picture *p, wk__point at, const char *text, wk__text_style style);
/* The shapes go round, as the colours do. */
void wk__picture_marker(wk__picture *p, wk__point at, int shape, double radius, wk__colour colour);
/* A line along another one, on white. */
void wk__picture_text_along(wk__picture *p, wk__point at, const char *text, wk__text_style style);
void wk__picture_take(wk__picture *p, wk__box box);
/* Beside a point, within a frame, where that covers nothing; false where there is no room. */
bool wk__picture_label(wk__picture *p, wk__box frame, wk__point at, const char *text, wk__text_style style);
/* A title, and smaller lines below it that are made to fit the width. */
void wk__picture_title(wk__picture *p, const char *title, const char *const *lines, int count);

/* ---- axes.c ---- */

/* A scale from `least` to `most`, along the frame's width or height; logarithmic unless `linear`. */
typedef struct wk__scale {
    double least, most, from, to; /* values; where they lie */
    bool linear;
} wk__scale;

/* The logarithmic scale that holds these values, with a little room around them. */
wk__scale wk__scale_around(double least, double most, double from, double to);
/* The linear one; `room` is the part of the span that is added on each side. */
wk__scale wk__scale_linear(double least, double most, double room, double from, double to);
double wk__scale_at(const wk__scale *scale, double value);
/* Three digits: "0.05", "2", "1,000". */
void wk__plot_write_number(double value, char *text, size_t size);
/* A frame with grid and numbers; NULL: this axis has no scale. */
void wk__picture_axes(wk__picture *p, wk__box frame, const wk__scale *x, const char *x_name, const wk__scale *y,
                      const char *y_name);

/* ---- open.c ---- */

/* Whether the path ends with .svg or .png, in *png which; else an error that names `what` ("-o"). */
wk_status wk__picture_kind(const char *path, const char *what, bool *png);
/* The canvas of the plug-in wick_cairo.so; NULL with an error pending: it is not there. */
const wk__canvas_ops *wk__cairo_canvas(void);
/* A picture that will be written to `path`, by the plug-in for PNG and without one for SVG; free it with
 * wk__picture_close, which writes it.  NULL with an error pending. */
wk__picture *wk__picture_open(const char *path, double width, double height);
wk_status wk__picture_close(wk__picture *picture, const char *path);

/* ---- svg.c ---- */

/* SVG of Wick's own: letters stay letters, so that a page can be searched.  The path is a file's. */
extern const wk__canvas_ops wk__svg_canvas;
/* One that goes into a page: no declaration before it, as wide as its place, and ink, grey, grid and paper are the
 * page's (currentColor, --grey, --line, --paper), so that it is readable in the dark.  The text is freed by the
 * caller. */
wk__picture *wk__picture_inline(wk_text *into, double width, double height, const char *description);
wk_status wk__picture_inline_close(wk__picture *picture);
/* Text with &, <, > and quotes as entities, bytes that XML cannot hold as U+FFFD. */
WK_API void wk__xml_escape(wk_text *out, const char *text);

/* ---- curves.c ---- */

/* Points from left to right; those that are not finite are left out. */
typedef struct wk__curve {
    const char *name;
    const wk__point *points; /* values, not places */
    int count;
    int colour; /* goes round */
    bool dashed;
} wk__curve;
typedef struct wk__chart {
    const char *title, *x_name;
    const wk__curve *curves;
    int count;
    bool log; /* the upright axis, where all values are positive */
} wk__chart;
/* The chart in a part of the picture, its title above and what the curves are below it. */
void wk__draw_chart(wk__picture *p, wk__box box, const wk__chart *chart);
/* How high a chart of so many curves should be to keep its proportions at a width. */
double wk__chart_height(double width, int curves);

/* ---- matrix.c ---- */

/* A confusion matrix: rows are what is, columns what was predicted (`classes` squared). */
typedef struct wk__matrix {
    const double *counts;
    int classes;
    const char *const *names; /* NULL: numbers */
} wk__matrix;
/* In pytorch-quik's colours: matplotlib's gist_heat from 0.01 to 0.9, white counts. */
void wk__draw_matrix(wk__picture *p, wk__box box, const wk__matrix *matrix);
/* The side of the square picture that it needs. */
double wk__matrix_side(const wk__matrix *matrix);

#endif
