/* svg.c: a canvas that writes SVG, into a file or into a page.
 *
 * cairo's SVG draws letters as outlines and needs its plug-in; a page that must be read by anybody, in the dark and by
 * a search, needs text.  Widths of letters are estimated (those of Helvetica and its kin): nothing that matters stands
 * on their exactness.
 */
#include "plot/plot.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct canvas {
    wk_text own, *out; /* where it is written; `own` of a file */
    char *path;        /* NULL: into a page */
} canvas;

/* ---- XML ---- */

/* The length of the UTF-8 sequence here that XML may hold; 0: there is none. */
static int sequence(const unsigned char *s) {
    if (*s < 0x80) return *s >= 0x20 || *s == '\t' || *s == '\n' || *s == '\r';
    int size = *s >= 0xc2 && *s < 0xe0 ? 2 : *s >= 0xe0 && *s < 0xf0 ? 3 : *s >= 0xf0 && *s < 0xf5 ? 4 : 0;
    for (int i = 1; i < size; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    bool too_long = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool no_character = (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf4 && s[1] >= 0x90)
                        || (s[0] == 0xef && s[1] == 0xbf && s[2] >= 0xbe);
    return too_long || no_character ? 0 : size;
}

void wk__xml_escape(wk_text *out, const char *text) {
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        int size = sequence(s);
        switch (*s) {
        case '&': wk_text_puts(out, "&amp;"); break;
        case '<': wk_text_puts(out, "&lt;"); break;
        case '>': wk_text_puts(out, "&gt;"); break;
        case '"': wk_text_puts(out, "&quot;"); break;
        case '\'': wk_text_puts(out, "&#39;"); break;
        default:
            if (size)
                wk_text_add(out, (const char *)s, (size_t)size);
            else
                wk_text_puts(out, "\xef\xbf\xbd");
        }
        s += size ? size : 1;
    }
}

/* ---- the canvas ---- */

static bool is(wk__colour a, wk__colour b) {
    return a.red == b.red && a.green == b.green && a.blue == b.blue;
}

/* In a page, what is no colour of a curve is the page's. */
static const char *colour_of(const canvas *c, wk__colour colour, char text[16]) {
    if (!c->path && is(colour, wk__black)) return "currentColor";
    if (!c->path && is(colour, wk__grey)) return "var(--grey)";
    if (!c->path && is(colour, wk__pale)) return "var(--line)";
    if (!c->path && is(colour, wk__white)) return "var(--paper)";
    (void)snprintf(text, 16, "#%02x%02x%02x", colour.red, colour.green, colour.blue);
    return text;
}

static void *canvas_open(const char *path, double width, double height) {
    canvas *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->out = &c->own;
    c->path = strdup(path);
    if (!c->path) {
        free(c);
        return NULL;
    }
    wk_text_printf(c->out,
                   "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" "
                   "width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" font-family=\"sans-serif\">\n"
                   "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
                   width, height, width, height);
    return c;
}

static void points_of(const canvas *c, const wk__point *points, int count) {
    wk_text_puts(c->out, " points=\"");
    for (int i = 0; i < count; i++) wk_text_printf(c->out, "%s%.2f,%.2f", i ? " " : "", points[i].x, points[i].y);
    wk_text_puts(c->out, "\"");
}

static void canvas_stroke(void *canvas_, const wk__point *points, int count, wk__colour colour, double width,
                          bool dashed) {
    const canvas *c = canvas_;
    char text[16];
    wk_text_puts(c->out, "<polyline");
    points_of(c, points, count);
    wk_text_printf(c->out, " fill=\"none\" stroke=\"%s\" stroke-width=\"%.2g\"%s/>\n", colour_of(c, colour, text),
                   width, dashed ? " stroke-dasharray=\"5 4\"" : "");
}

static void canvas_fill(void *canvas_, const wk__point *points, int count, wk__colour colour) {
    const canvas *c = canvas_;
    char text[16];
    wk_text_puts(c->out, "<polygon");
    points_of(c, points, count);
    wk_text_printf(c->out, " fill=\"%s\"/>\n", colour_of(c, colour, text));
}

static double canvas_text_width(void *canvas_, const char *text, const wk__text_style *style) {
    double width = 0;
    (void)canvas_;
    for (const char *s = text; *s; s++) {
        if (((unsigned char)*s & 0xc0) == 0x80) continue; /* the rest of a letter */
        width += strchr("iljtf.,:;'|!()[] ", *s) ? 0.3
                 : strchr("mwMW%", *s)           ? 0.86
                 : *s >= 'A' && *s <= 'Z'        ? 0.7
                                                 : 0.56;
    }
    return width * style->size * (style->bold ? 1.08 : 1);
}

static void canvas_text(void *canvas_, wk__point at, const char *text, const wk__text_style *style) {
    static const char *const anchors[] = { "start", "middle", "end" };
    const canvas *c = canvas_;
    char colour[16];
    /* down by a part of the letters' size, along their own upright */
    double down = 0.36 * style->size, x = at.x - down * sin(style->angle), y = at.y + down * cos(style->angle);
    wk_text_printf(c->out, "<text x=\"%.2f\" y=\"%.2f\" font-size=\"%.3g\" text-anchor=\"%s\" fill=\"%s\"%s", x, y,
                   style->size, anchors[style->anchor], colour_of(c, style->colour, colour),
                   style->bold ? " font-weight=\"bold\"" : "");
    if (style->angle != 0)
        wk_text_printf(c->out, " transform=\"rotate(%.4g %.2f %.2f)\"", style->angle * 180 / 3.14159265358979, x, y);
    wk_text_puts(c->out, ">");
    wk__xml_escape(c->out, text);
    wk_text_puts(c->out, "</text>\n");
}

static const char *write_all(const canvas *c) {
    FILE *file = fopen(c->path, "we");
    if (!file) return strerror(errno);
    bool written = fwrite(c->own.data, 1, c->own.size, file) == c->own.size;
    written = fclose(file) == 0 && written;
    return written ? NULL : strerror(errno);
}

static const char *canvas_close(void *canvas_) {
    canvas *c = canvas_;
    wk_text_puts(c->out, "</svg>\n");
    const char *problem = c->out->failed ? "out of memory" : c->path ? write_all(c) : NULL;
    wk_text_free(&c->own);
    free(c->path);
    free(c);
    return problem;
}

const wk__canvas_ops wk__svg_canvas = { WK__CANVAS_API, canvas_open,       canvas_stroke, canvas_fill,
                                        canvas_text,    canvas_text_width, canvas_close };

/* ---- in a page ---- */

wk__picture *wk__picture_inline(wk_text *into, double width, double height, const char *description) {
    canvas *c = calloc(1, sizeof *c);
    wk__picture *p = c ? wk_alloc(sizeof *p) : NULL;
    if (!p) {
        free(c);
        return wk_fail_null(WK_NO_MEMORY, "no memory to draw");
    }
    c->out = into;
    *p = (wk__picture){ .ops = &wk__svg_canvas, .canvas = c, .width = width, .height = height };
    wk_text_printf(into, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" font-family=\"sans-serif\" aria-label=\"", width,
                   height);
    wk__xml_escape(into, description);
    wk_text_puts(into, "\">\n");
    return p;
}

wk_status wk__picture_inline_close(wk__picture *p) {
    const char *problem = p->ops->close(p->canvas);
    wk_free(p);
    return problem ? wk_fail(WK_NO_MEMORY, "no memory to draw") : WK_OK;
}
