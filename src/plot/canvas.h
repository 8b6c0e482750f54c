/* canvas.h: what pictures are drawn with: the interface of the plug-in wick_cairo.so, which svg.c has too. */
#ifndef WICK_SRC_PLOT_CANVAS_H
#define WICK_SRC_PLOT_CANVAS_H

#include <stdbool.h>
#include <stdint.h>

enum { WK__CANVAS_API = 1 };

typedef struct wk__point {
    double x, y; /* from the left, from the top; about a 96th of an inch */
} wk__point;

typedef struct wk__colour {
    uint8_t red, green, blue;
} wk__colour;

typedef enum wk__anchor { WK__LEFT, WK__CENTRE, WK__RIGHT } wk__anchor;

typedef struct wk__text_style {
    double size, angle; /* of the letters; radians, clockwise */
    wk__anchor anchor;  /* which part of the text lies at its point; up and down it is the middle of small letters */
    wk__colour colour;
    bool bold;
} wk__text_style;

typedef struct wk__canvas_ops {
    uint32_t api_version;
    /* A white picture of this size; the path ends with ".svg" or ".png".  NULL without memory; what else goes wrong,
     * close tells. */
    void *(*open)(const char *path, double width, double height);
    void (*stroke)(void *canvas, const wk__point *points, int count, wk__colour colour, double width, bool dashed);
    void (*fill)(void *canvas, const wk__point *points, int count, wk__colour colour);
    void (*text)(void *canvas, wk__point at, const char *text, const wk__text_style *style);
    double (*text_width)(void *canvas, const char *text, const wk__text_style *style);
    /* Write the file; NULL, or what went wrong. */
    const char *(*close)(void *canvas);
} wk__canvas_ops;

/* The one symbol of the plug-in, "wk_canvas_plugin". */
typedef const wk__canvas_ops *(*wk__canvas_plugin_function)(void);

#endif
