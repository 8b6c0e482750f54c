/* plot.c: `wick bench plot`: files of --json as pictures, through a plug-in that is opened when it is asked for. */
#include "bench/plot/plot.h"

#include "base/base.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 1100, HEIGHT = 720, MOST_PATH = 1024 };
#define PLUGIN "wick_cairo.so"

const char *wk__plot_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

double wk__plot_number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

/* ---- the plug-in ---- */

static void *try_open(const char *folder, size_t length, const char *middle) {
    char path[MOST_PATH];
    if ((size_t)snprintf(path, sizeof path, "%.*s%s/" PLUGIN, (int)length, folder, middle) >= sizeof path) return NULL;
    return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

/* Where WICK_PLUGIN_PATH says, beside this library, or in the folder "wick" there. */
static void *open_plugin(void) {
    const char *wish = getenv("WICK_PLUGIN_PATH"), *slash;
    Dl_info info;
    void *handle = wish && *wish ? try_open(wish, strlen(wish), "") : NULL;
    if (handle || !dladdr((void *)(uintptr_t)&wk__bench_plot, &info) || !info.dli_fname) return handle;
    slash = strrchr(info.dli_fname, '/');
    size_t length = slash ? (size_t)(slash - info.dli_fname) : 0;
    const char *folder = slash ? info.dli_fname : ".";
    handle = try_open(folder, slash ? length : 1, "");
    return handle ? handle : try_open(folder, slash ? length : 1, "/wick");
}

static const wk__canvas_ops *find_canvas(void) {
    void *handle = open_plugin();
    wk__canvas_plugin_function entry = NULL;
    if (!handle)
        return wk_fail_null(
            WK_NOT_FOUND, "plot needs the plug-in " PLUGIN " (%s); tools/install-deps installs cairo, then build again",
            dlerror());
    void *symbol = dlsym(handle, "wk_canvas_plugin");
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast from an object to a function pointer */
    const wk__canvas_ops *ops = entry ? entry() : NULL;
    if (!ops || ops->api_version != WK__CANVAS_API)
        return wk_fail_null(WK_UNSUPPORTED, PLUGIN " is of another version than this engine: build both together");
    return ops;
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

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), part = strlen(end);
    return length > part && strcmp(text + length - part, end) == 0;
}

/* NAME.json gives NAME.svg and NAME.png. */
static wk_status draw_beside(const work *w, int first) {
    static const char *const kinds[] = { "svg", "png" };
    const char *file = w->opts->file[first];
    size_t length = strlen(file) - (ends_with(file, ".json") ? 5 : 0);
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
    w->ops = find_canvas();
    if (!w->ops) return wk_error_code();
    if (o->to) return draw(w, 0, o->to);
    for (int i = 0; i < (w->steps ? 1 : o->files); i++) WK_TRY(draw_beside(w, i));
    return WK_OK;
}

wk_status wk__bench_plot(const wk__plot_opts *opts) {
    work w = { .opts = opts };
    if (opts->files == 0)
        return wk_fail(WK_CONFIG, "plot: expected files of `wick bench ops --json` or `steps --json`");
    if (opts->to && !ends_with(opts->to, ".svg") && !ends_with(opts->to, ".png"))
        return wk_fail(WK_CONFIG, "-o is \"%s\", expected NAME.svg or NAME.png", opts->to);
    wk_status status = draw_all(&w);
    for (int i = 0; i < opts->files; i++) json_decref(w.all[i]);
    return status;
}
