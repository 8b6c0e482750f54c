/* open.c: pictures that become files: PNG through the plug-in wick_cairo.so, opened when it is asked for; SVG by
 * svg.c. */
#include "plot/plot.h"

#include <dlfcn.h>
#include <string.h>

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), part = strlen(end);
    return length > part && strcmp(text + length - part, end) == 0;
}

wk_status wk__picture_kind(const char *path, const char *what, bool *png) {
    *png = ends_with(path, ".png");
    if (*png || ends_with(path, ".svg")) return WK_OK;
    return wk_fail(WK_CONFIG, "%s is \"%s\", expected NAME.svg or NAME.png", what, path);
}

const wk__canvas_ops *wk__cairo_canvas(void) {
    wk_text reason = { 0 };
    void *handle = wk__plugin_library("cairo", &reason);
    wk__canvas_plugin_function entry = NULL;
    if (!handle)
        (void)wk_fail(WK_NOT_FOUND,
                      "a picture needs the plug-in wick_cairo.so, which is not there%s%s; tools/install-deps installs "
                      "cairo, then build again",
                      reason.size ? ": " : "", wk_text_get(&reason));
    wk_text_free(&reason);
    if (!handle) return NULL;
    void *symbol = dlsym(handle, "wk_canvas_plugin");
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast from an object to a function pointer */
    const wk__canvas_ops *ops = entry ? entry() : NULL;
    if (ops && ops->api_version == WK__CANVAS_API) return ops;
    return wk_fail_null(WK_UNSUPPORTED, "wick_cairo.so is of another version than this engine: build both together");
}

wk__picture *wk__picture_open(const char *path, double width, double height) {
    bool png;
    if (wk__picture_kind(path, "the picture", &png) != WK_OK) return NULL;
    const wk__canvas_ops *ops = png ? wk__cairo_canvas() : &wk__svg_canvas;
    wk__picture *p = ops ? wk_alloc(sizeof *p) : NULL;
    if (!p) return NULL;
    p->ops = ops;
    p->width = width;
    p->height = height;
    p->canvas = ops->open(path, width, height);
    if (p->canvas) return p;
    wk_free(p);
    return wk_fail_null(WK_NO_MEMORY, "%s: no memory to draw it", path);
}

wk_status wk__picture_close(wk__picture *p, const char *path) {
    const char *problem = p->ops->close(p->canvas);
    wk_free(p);
    return problem ? wk_fail(WK_IO, "%s: %s", path, problem) : WK_OK;
}
