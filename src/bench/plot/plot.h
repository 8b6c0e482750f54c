/* plot.h: what the files of `wick bench plot` share: a picture with a frame, its axes, and what is drawn in it. */
#ifndef WICK_SRC_BENCH_PLOT_H
#define WICK_SRC_BENCH_PLOT_H

#include "bench/bench.h"
#include "bench/plot/canvas.h"

#include <jansson.h>

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
extern const wk__colour wk__black, wk__grey, wk__pale, wk__plot_colours[];
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

/* A logarithmic scale from `least` to `most`, along the frame's width or height. */
typedef struct wk__scale {
    double least, most, from, to; /* values; where they lie */
} wk__scale;

/* The scale that holds these values, with a little room around them. */
wk__scale wk__scale_around(double least, double most, double from, double to);
double wk__scale_at(const wk__scale *scale, double value);
/* Three digits: "0.05", "2", "1,000". */
void wk__plot_write_number(double value, char *text, size_t size);
/* A frame with grid and numbers; NULL: this axis has no scale. */
void wk__picture_axes(wk__picture *p, wk__box frame, const wk__scale *x, const char *x_name, const wk__scale *y,
                      const char *y_name);

/* ---- roofline.c, history.c ---- */

void wk__draw_roofline(wk__picture *p, const json_t *all);
/* Files of steps, from the earliest on. */
void wk__draw_history(wk__picture *p, json_t *const *files, int count);

/* ---- plot.c ---- */

enum { WK__PLOT_MOST_FILES = 200 };

typedef struct wk__plot_opts {
    const char *file[WK__PLOT_MOST_FILES], *to; /* NULL: beside the first file */
    int files;
} wk__plot_opts;

wk_status wk__bench_plot(const wk__plot_opts *opts);
/* "" where there is none */
const char *wk__plot_text(const json_t *object, const char *key);
double wk__plot_number(const json_t *object, const char *key);

#endif
