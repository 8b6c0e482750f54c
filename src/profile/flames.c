/* flames.c: a flame graph, as Brendan Gregg drew them ("The Flame Graph", 2016): one box a caller, what it called on
 * top, widths are times.  Here the root is the run, then the phase, the modules from the outermost in, a composite
 * operation, the operation whose kernel ran.  The picture needs no script: a box's title says what it is.
 */
#include "profile/profile.h"

#include "base/base.h"

#include <string.h>

enum { WIDTH = 1200, HEIGHT = 18, MARGIN = 10, HEAD = 30, MOST_DEPTH = 64 };

typedef struct box {
    const char *name;
    size_t length; /* of the name */
    double seconds;
    int64_t calls;
    int child, next; /* numbers of boxes; 0: none */
    int depth;
} box;

typedef struct graph {
    box *box;
    int count, capacity, deepest;
} graph;

/* A child by name, made if it is not there; -1 without memory. */
static int child_of(graph *g, int parent, const char *name, size_t length) {
    int *link = &g->box[parent].child;
    for (; *link; link = &g->box[*link].next)
        if (g->box[*link].length == length && memcmp(g->box[*link].name, name, length) == 0) return *link;
    if (g->count == g->capacity) {
        int capacity = 2 * g->capacity;
        ptrdiff_t place = (char *)link - (char *)g->box;
        box *grown = wk_realloc(g->box, (size_t)capacity * sizeof *grown);
        if (!grown) return -1;
        g->box = grown;
        g->capacity = capacity;
        link = (int *)(void *)((char *)grown + place);
    }
    *link = g->count;
    int depth = g->box[parent].depth + 1;
    if (depth > g->deepest) g->deepest = depth;
    g->box[g->count] = (box){ .name = name, .length = length, .depth = depth };
    return g->count++;
}

static void add_to(graph *g, int at, const wk_profile_row *site) {
    g->box[at].seconds += site->seconds;
    g->box[at].calls += site->calls;
}

static bool add_site(graph *g, const wk_profile_row *site) {
    const char *words[MOST_DEPTH] = { wk__profile_phase_names[site->phase] };
    size_t lengths[MOST_DEPTH] = { strlen(words[0]) };
    int count = 1, at = 0;
    for (const char *word = site->module; *word && count < MOST_DEPTH - 2; count++) {
        words[count] = word;
        lengths[count] = strcspn(word, ".");
        word += lengths[count];
        word += *word == '.';
    }
    if (*site->composite) words[count] = site->composite, lengths[count++] = strlen(site->composite);
    words[count] = site->operation, lengths[count++] = strlen(site->operation);
    add_to(g, 0, site);
    for (int i = 0; i < count; i++) {
        at = child_of(g, at, words[i], lengths[i]);
        if (at < 0) return false;
        add_to(g, at, site);
    }
    return true;
}

/* ---- the picture ---- */

static void put_name(FILE *to, const char *name, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c == '<' || c == '>' || c == '&' || c == '"')
            (void)fprintf(to, "&#%d;", c);
        else if (c >= 0x20)
            (void)fputc(c, to);
    }
}

/* Warm colours that stay the same for a name. */
static void put_colour(FILE *to, const box *b) {
    unsigned hash = 2166136261U;
    for (size_t i = 0; i < b->length; i++) hash = (hash ^ (unsigned char)b->name[i]) * 16777619U;
    (void)fprintf(to, "#%02x%02x%02x", 205 + hash % 50, 90 + hash / 64 % 130, 40 + hash / 8192 % 50);
}

static void put_box(const graph *g, const box *b, double x, double width, FILE *to) {
    double whole = g->box[0].seconds;
    int y = HEAD + (g->deepest - b->depth) * HEIGHT;
    (void)fputs("<g><title>", to);
    put_name(to, b->name, b->length);
    (void)fprintf(to,
                  ": %.3f ms, %.1f%%, %lld calls</title><rect x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\" fill=\"",
                  1e3 * b->seconds, whole > 0 ? 100 * b->seconds / whole : 0, (long long)b->calls, x, y,
                  width > 0.3 ? width - 0.3 : width, HEIGHT - 1);
    put_colour(to, b);
    (void)fputs("\"/>", to);
    size_t room = (size_t)(width / 7.2); /* letters of 12 px */
    if (room >= 3) {
        bool whole_name = b->length <= room;
        (void)fprintf(to, "<text x=\"%.2f\" y=\"%d\">", x + 3, y + HEIGHT - 5);
        put_name(to, b->name, whole_name ? b->length : room - 2);
        (void)fprintf(to, "%s</text>", whole_name ? "" : "..");
    }
    (void)fputs("</g>\n", to);
}

static void put_tree(const graph *g, int at, double x, double scale, FILE *to) {
    const box *b = &g->box[at];
    if (b->seconds * scale < 0.1) return; /* nothing that one could see */
    put_box(g, b, x, b->seconds * scale, to);
    for (int child = b->child; child; child = g->box[child].next) {
        put_tree(g, child, x, scale, to);
        x += g->box[child].seconds * scale;
    }
}

static void put_picture(const graph *g, FILE *to) {
    int height = HEAD + (g->deepest + 1) * HEIGHT + MARGIN;
    (void)fprintf(
        to,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n"
        "<style>text{font:12px monospace;pointer-events:none}rect:hover{stroke:#000}</style>\n"
        "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
        "<text x=\"%d\" y=\"18\">kernels: %.3f ms; a box's width is its time, what it ran stands on it</text>\n",
        WIDTH, height, WIDTH, height, MARGIN, 1e3 * g->box[0].seconds);
    if (g->box[0].seconds > 0) put_tree(g, 0, MARGIN, (WIDTH - 2 * MARGIN) / g->box[0].seconds, to);
    (void)fputs("</svg>\n", to);
}

wk_status wk_profile_save_flames(const wk_profile *p, const char *path) {
    graph g = { .box = wk_alloc(64 * sizeof *g.box), .count = 1, .capacity = 64 };
    bool whole = g.box != NULL;
    if (whole) g.box[0] = (box){ .name = "all", .length = 3 };
    for (int i = 0; i < p->sites && whole; i++) whole = add_site(&g, &p->site[i]);
    FILE *to = whole ? fopen(path, "we") : NULL;
    if (to) put_picture(&g, to);
    bool written = to && !ferror(to);
    if (to) written = fclose(to) == 0 && written;
    wk_free(g.box);
    if (!whole) return WK_NO_MEMORY;
    return written ? WK_OK : wk_fail(WK_IO, "%s: cannot be written", path);
}
