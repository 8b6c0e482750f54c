/* matrix.c: a confusion matrix as pytorch-quik draws it: a cell a pair of classes, dark where there are few, white
 * numbers in it (black in the brightest), names along both sides, rows "Actual", columns "Predicted". */
#include "plot/plot.h"

#include <math.h>
#include <string.h>

enum { CELL = 56, SMALL_CELL = 22, MOST_LETTERS = 24 };

static double cell_of(int classes) {
    return classes <= 16 ? CELL : SMALL_CELL;
}

static double label_room(const wk__matrix *m) {
    size_t longest = 3;
    for (int c = 0; m->names && c < m->classes; c++)
        if (strlen(m->names[c]) > longest) longest = strlen(m->names[c]);
    return 46 + 7.4 * fmin((double)longest, MOST_LETTERS);
}

double wk__matrix_side(const wk__matrix *m) {
    return label_room(m) + cell_of(m->classes) * m->classes + 54;
}

/* gist_heat: red 1.5 x, green 2 x - 1, blue 4 x - 3, each held to [0, 1]; x runs from 0.01 to 0.9 in a hundred steps.
 */
static wk__colour heat(double share) {
    double x = 0.01 + 0.89 * floor(fmin(share, 0.9999) * 100) / 99, part[3] = { 1.5 * x, 2 * x - 1, 4 * x - 3 };
    uint8_t byte[3];
    for (int i = 0; i < 3; i++) byte[i] = (uint8_t)(255 * fmax(0, fmin(1, part[i])) + 0.5);
    return (wk__colour){ byte[0], byte[1], byte[2] };
}

/* A name that is cut, at a letter's end, where it is too long. */
static void name_of(const wk__matrix *m, int c, char *text, size_t size) {
    if (!m->names) {
        (void)snprintf(text, size, "%d", c);
        return;
    }
    size_t length = strlen(m->names[c]), kept = length > MOST_LETTERS ? MOST_LETTERS - 1 : length;
    while (kept < length && kept > 0 && ((unsigned char)m->names[c][kept] & 0xc0) == 0x80) kept--;
    (void)snprintf(text, size, "%.*s%s", (int)kept, m->names[c], kept < length ? "…" : "");
}

static void draw_cell(wk__picture *p, wk__point at, double side, double count, double most) {
    char text[32];
    const double share = most > 0 ? count / most : 0;
    const wk__point corners[] = { at, { at.x + side, at.y }, { at.x + side, at.y + side }, { at.x, at.y + side } };
    p->ops->fill(p->canvas, corners, 4, heat(share));
    (void)snprintf(text, sizeof text, "%.0f", count);
    wk__text_style style = { .size = side > 40 ? 14 : 9, .anchor = WK__CENTRE, .colour = { 254, 254, 254 } };
    if (share > 0.75) style.colour = (wk__colour){ 20, 20, 20 }; /* white on the brightest cells cannot be read */
    style.size *= fmin(1, (side - 2) / p->ops->text_width(p->canvas, text, &style));
    if (count > 0 || side > 40) wk__picture_text(p, (wk__point){ at.x + side / 2, at.y + side / 2 }, text, style);
}

void wk__draw_matrix(wk__picture *p, wk__box box, const wk__matrix *m) {
    const double side = cell_of(m->classes), left = box.left + label_room(m), top = box.top + 40,
                 half_turn = 3.14159265358979 / 2;
    double most = 0;
    for (int i = 0; i < m->classes * m->classes; i++) most = fmax(most, m->counts[i]);
    for (int row = 0; row < m->classes; row++)
        for (int column = 0; column < m->classes; column++)
            draw_cell(p, (wk__point){ left + column * side, top + row * side }, side,
                      m->counts[row * m->classes + column], most);
    double middle = side * m->classes / 2, bottom = top + 2 * middle;
    wk__text_style style = { .size = side > 40 ? 13 : 10, .colour = wk__black };
    for (int c = 0; c < m->classes; c++) {
        char name[4 * MOST_LETTERS];
        name_of(m, c, name, sizeof name);
        style.angle = 0;
        style.anchor = WK__RIGHT;
        wk__picture_text(p, (wk__point){ left - 8, top + (c + 0.5) * side }, name, style);
        style.angle = -half_turn;
        wk__picture_text(p, (wk__point){ left + (c + 0.5) * side, bottom + 8 }, name, style);
    }
    style = (wk__text_style){ .size = 15, .bold = true, .anchor = WK__CENTRE, .colour = wk__black };
    wk__picture_text(p, (wk__point){ left + middle, box.top + 22 }, "Predicted", style);
    style.angle = -half_turn;
    wk__picture_text(p, (wk__point){ box.left + 16, top + middle }, "Actual", style);
}
