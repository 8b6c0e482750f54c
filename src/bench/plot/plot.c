/* plot.c: `wick bench plot`: files of --json as pictures, through a plug-in that is opened when it is asked for. */
#include "bench/plot/plot.h"

#include "base/base.h"

#include <stdlib.h>
#include <string.h>

enum { WIDTH = 1100, HEIGHT = 720, MOST_PATH = 1024 };

const char *wk__plot_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

double wk__plot_number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

/* ---- files ---- */

typedef struct work {
    const wk__plot_opts *opts;
    const wk__canvas_ops *ops;
    json_t *all[WK__PLOT_MOST_FILES];
    bool steps; /* else ops */
} work;

static wk_status load(work *w, int i) {
    json_error_t error;
    const char *path = w->opts->file[i];
    w->all[i] = json_load_file(path, 0, &error);
    if (!w->all[i])
        return wk_fail(WK_FORMAT, "%s: line %d: %s; expected a file of `wick bench ops --json` or `steps --json`", path,
                       error.line, error.text);
    const char *kind = wk__plot_text(w->all[i], "kind");
    bool steps = strcmp(kind, "steps") == 0;
    if (!json_is_array(json_object_get(w->all[i], "lines")) || (!steps && strcmp(kind, "ops") != 0))
        return wk_fail(WK_FORMAT, "%s: expected a file of `wick bench ops --json` or `steps --json`", path);
    if (json_array_size(json_object_get(w->all[i], "lines")) == 0)
        return wk_fail(WK_FORMAT, "%s: there are no lines in it to draw", path);
    if (i > 0 && steps != w->steps)
        return wk_fail(WK_CONFIG, "%s is of %s and %s of %s: give one kind at a time", w->opts->file[0],
                       w->steps ? "steps" : "ops", path, steps ? "steps" : "ops");
    w->steps = steps;
    return WK_OK;
}

/* ---- pictures ---- */

/* `first` alone for ops, all files for steps. */
static wk_status draw(const work *w, int first, const char *path) {
    static wk__picture p;
    p = (wk__picture){ .ops = w->ops, .width = WIDTH, .height = HEIGHT };
    p.canvas = w->ops->open(path, WIDTH, HEIGHT);
    if (!p.canvas) return wk_fail(WK_NO_MEMORY, "%s: no memory to draw it", path);
    if (w->steps)
        wk__draw_history(&p, w->all, w->opts->files);
    else
        wk__draw_roofline(&p, w->all[first]);
    const char *problem = w->ops->close(p.canvas);
    if (problem) return wk_fail(WK_IO, "%s: %s", path, problem);
    (void)printf("%s\n", path);
    return WK_OK;
}

/* NAME.json gives NAME.svg and NAME.png. */
static wk_status draw_beside(const work *w, int first) {
    static const char *const kinds[] = { "svg", "png" };
    const char *file = w->opts->file[first];
    size_t length = strlen(file);
    if (length > 5 && strcmp(file + length - 5, ".json") == 0) length -= 5;
    char path[MOST_PATH];
    for (size_t i = 0; i < WK_COUNT(kinds); i++) {
        if ((size_t)snprintf(path, sizeof path, "%.*s.%s", (int)length, file, kinds[i]) >= sizeof path)
            return wk_fail(WK_INVALID, "%s: the name is too long", file);
        WK_TRY(draw(w, first, path));
    }
    return WK_OK;
}

static wk_status draw_all(work *w) {
    const wk__plot_opts *o = w->opts;
    for (int i = 0; i < o->files; i++) WK_TRY(load(w, i));
    if (o->to && !w->steps && o->files > 1)
        return wk_fail(WK_CONFIG, "each file of ops is a picture of its own: -o takes one file");
    w->ops = wk__cairo_canvas();
    if (!w->ops) return wk_error_code();
    if (o->to) return draw(w, 0, o->to);
    for (int i = 0; i < (w->steps ? 1 : o->files); i++) WK_TRY(draw_beside(w, i));
    return WK_OK;
}

wk_status wk__bench_plot(const wk__plot_opts *opts) {
    work w = { .opts = opts };
    if (opts->files == 0)
        return wk_fail(WK_CONFIG, "plot: expected files of `wick bench ops --json` or `steps --json`");
    bool png;
    if (opts->to) WK_TRY(wk__picture_kind(opts->to, "-o", &png));
    wk_status status = draw_all(&w);
    for (int i = 0; i < opts->files; i++) json_decref(w.all[i]);
    return status;
}
