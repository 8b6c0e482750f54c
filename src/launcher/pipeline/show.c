/* show.c: a pipeline as a tree of text, and as SVG.
 *
 * In the tree a stage stands below the last of those it comes after; the others are named beside it.
 */
#include "launcher/pipeline/pipeline.h"

#include <string.h>

static void put_line(wk_text *out, const wk__pipeline *p, size_t index) {
    static const char *const whens[] = { "", " (when failed)", " (always)" };
    const wk__stage *s = &p->stages[index];
    wk_text_printf(out, "%s%s", s->name, whens[s->when]);
    if (s->after_count > 1) wk_text_puts(out, " <-");
    for (size_t i = 0; i < s->after_count && s->after_count > 1; i++)
        wk_text_printf(out, "%s %s", i ? "," : "", p->stages[s->after[i]].name);
    if (s->state != WK__STAGE_WAITING) wk_text_printf(out, "  %s", wk__stage_words[s->state]);
    if (*s->handle) wk_text_printf(out, "  %s", s->handle);
    wk_text_puts(out, "\n");
}

/* Does the stage stand below that one?  SIZE_MAX: at the top. */
static bool stands_below(const wk__stage *s, size_t above) {
    return s->after_count ? s->after[s->after_count - 1] == above : above == SIZE_MAX;
}

static void put_below(wk_text *out, const wk__pipeline *p, size_t above, const char *indent) {
    size_t last = SIZE_MAX;
    for (size_t i = 0; i < p->count; i++)
        if (stands_below(&p->stages[i], above)) last = i;
    for (size_t i = 0; i < p->count && last != SIZE_MAX; i++) {
        if (!stands_below(&p->stages[i], above)) continue;
        wk_text_printf(out, "%s%s", indent, i == last ? "└─ " : "├─ ");
        put_line(out, p, i);
        char *deeper = wk_format("%s%s", indent, i == last ? "   " : "│  ");
        if (deeper) put_below(out, p, i, deeper);
        wk_free(deeper);
    }
}

char *wk__pipeline_tree(const wk__pipeline *p) {
    wk_text out = { 0 };
    wk_text_printf(&out, "%s\n", p->name);
    put_below(&out, p, SIZE_MAX, "");
    if (out.failed) wk_text_free(&out);
    return out.data;
}

/* ---- SVG: a column for each depth ---- */

enum { WIDTH = 170, HEIGHT = 44, GAP_X = 60, GAP_Y = 18, EDGE = 16 };

static void put_escaped(wk_text *out, const char *text) {
    for (; *text; text++) {
        const char *word = *text == '<'   ? "&lt;"
                           : *text == '>' ? "&gt;"
                           : *text == '&' ? "&amp;"
                           : *text == '"' ? "&quot;"
                                          : NULL;
        if (word)
            wk_text_puts(out, word);
        else
            wk_text_add(out, text, 1);
    }
}

typedef struct place {
    int column, row;
} place;

static int left_of(place at) {
    return EDGE + at.column * (WIDTH + GAP_X);
}

static int top_of(place at) {
    return EDGE + at.row * (HEIGHT + GAP_Y);
}

static void put_box(wk_text *out, const wk__stage *s, place at) {
    static const char *const colours[WK__STAGE_STATES] = { "#e8e8e8", "#bcd7f5", "#c5e8c5",
                                                           "#dcefd0", "#f5c0bc", "#f2ead0" };
    wk_text_printf(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\" fill=\"%s\" stroke=\"#555\"/>\n",
                   left_of(at), top_of(at), WIDTH, HEIGHT, colours[s->state]);
    wk_text_printf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">", left_of(at) + WIDTH / 2, top_of(at) + 19);
    put_escaped(out, s->name);
    wk_text_printf(out,
                   "</text>\n<text x=\"%d\" y=\"%d\" text-anchor=\"middle\" font-size=\"10\" fill=\"#555\">%s</text>\n",
                   left_of(at) + WIDTH / 2, top_of(at) + 35, wk__stage_words[s->state]);
}

static void put_edge(wk_text *out, place from, place to, wk__stage_when when) {
    static const char *const dashes[] = { "", " stroke-dasharray=\"5 3\"", " stroke-dasharray=\"2 3\"" };
    int x1 = left_of(from) + WIDTH;
    int y1 = top_of(from) + HEIGHT / 2;
    int x2 = left_of(to);
    int y2 = top_of(to) + HEIGHT / 2;
    wk_text_printf(out,
                   "<path d=\"M%d %d C%d %d %d %d %d %d\" fill=\"none\" stroke=\"#555\" marker-end=\"url(#tip)\"%s/>\n",
                   x1, y1, x1 + GAP_X / 2, y1, x2 - GAP_X / 2, y2, x2 - 4, y2, dashes[when]);
}

static void arrange(const wk__pipeline *p, place *places, int *columns, int *rows) {
    *columns = *rows = 0;
    for (size_t i = 0; i < p->count; i++) {
        places[i] = (place){ 0 };
        for (size_t k = 0; k < p->stages[i].after_count; k++)
            if (places[p->stages[i].after[k]].column >= places[i].column)
                places[i].column = places[p->stages[i].after[k]].column + 1;
        for (size_t k = 0; k < i; k++) places[i].row += places[k].column == places[i].column;
        if (places[i].column >= *columns) *columns = places[i].column + 1;
        if (places[i].row >= *rows) *rows = places[i].row + 1;
    }
}

char *wk__pipeline_svg(const wk__pipeline *p) {
    wk_text out = { 0 };
    int columns = 0;
    int rows = 0;
    place *places = wk_alloc((p->count + 1) * sizeof *places);
    if (!places) return NULL;
    arrange(p, places, &columns, &rows);
    wk_text_printf(
        &out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
        "font-size=\"13\">\n<defs><marker id=\"tip\" markerWidth=\"8\" markerHeight=\"8\" refX=\"6\" refY=\"4\" "
        "orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#555\"/></marker></defs>\n",
        2 * EDGE + columns * (WIDTH + GAP_X) - GAP_X, 2 * EDGE + rows * (HEIGHT + GAP_Y) - GAP_Y);
    for (size_t i = 0; i < p->count; i++)
        for (size_t k = 0; k < p->stages[i].after_count; k++)
            put_edge(&out, places[p->stages[i].after[k]], places[i], p->stages[i].when);
    for (size_t i = 0; i < p->count; i++) put_box(&out, &p->stages[i], places[i]);
    wk_text_puts(&out, "</svg>\n");
    wk_free(places);
    if (out.failed) wk_text_free(&out);
    return out.data;
}
