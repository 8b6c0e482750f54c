/* plot.c: `wick runs plot`: learning curves of one or several runs in one picture. */
#include "train/runs/panels.h"

#include <string.h>

enum { MOST_RUNS = 32, MOST_METRICS = 32 };

typedef struct wish {
    const char *run[MOST_RUNS], *metric[MOST_METRICS], *to, *x;
    int runs, metrics;
    bool log, json;
} wish;

static int parse(int argc, char **argv, wish *w) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        bool metric = strcmp(word, "--metric") == 0, to = strcmp(word, "-o") == 0, x = strcmp(word, "--x") == 0;
        if ((metric || to || x) && i + 1 == argc) return wk__runs_usage("a value is missing after", word);
        if (metric) {
            if (w->metrics == MOST_METRICS) return wk__runs_usage("more than 32 metrics", "");
            w->metric[w->metrics++] = argv[++i];
        } else if (to) {
            w->to = argv[++i];
        } else if (x) {
            w->x = argv[++i];
        } else if (strcmp(word, "--log") == 0) {
            w->log = true;
        } else if (strcmp(word, "--json") == 0) {
            w->json = true;
        } else if (word[0] != '-') {
            if (w->runs == MOST_RUNS) return wk__runs_usage("more than 32 runs", "");
            w->run[w->runs++] = word;
        } else {
            return wk__runs_usage("plot: cannot make sense of", word);
        }
    }
    if (w->runs == 0) return wk__runs_usage("plot takes directories of runs", "");
    if (w->x && strcmp(w->x, "step") != 0 && strcmp(w->x, "epoch") != 0)
        return wk__runs_usage("--x takes step or epoch, not", w->x);
    return 0;
}

static wk_status print_json(const wk__panels *p, const char *path) {
    json_t *charts = json_array();
    for (int i = 0; i < p->count; i++) {
        json_t *curves = json_array();
        for (int c = 0; c < p->panel[i].count; c++)
            (void)json_array_append_new(curves,
                                        json_pack("{s:o, s:i}", "name", wk__json_text(p->panel[i].curve[c].name),
                                                  "points", p->panel[i].curve[c].count));
        (void)json_array_append_new(
            charts, json_pack("{s:o, s:o}", "title", wk__json_text(p->panel[i].title), "curves", curves));
    }
    json_t *all = json_pack("{s:o, s:o}", "file", wk__json_text(path), "charts", charts);
    bool written = all && json_dumpf(all, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;
    json_decref(all);
    return written ? WK_OK : wk_fail(WK_IO, "stdout cannot be written");
}

static wk_status draw(const wish *w, const wk__source *sources) {
    const char *path = w->to ? w->to : "curves.svg";
    wk__panels panels;
    bool png;
    WK_TRY(wk__picture_kind(path, "-o", &png));
    WK_TRY(wk__panels_make(&panels, sources, w->runs,
                           (wk__panel_opts){ .metrics = w->metric,
                                             .n_metrics = w->metrics,
                                             .by_epoch = w->x && strcmp(w->x, "epoch") == 0,
                                             .log = w->log }));
    wk_status status = panels.count ? wk__panels_save(&panels, path)
                                    : wk_fail(WK_NOT_FOUND, "%s has logged no numbers to draw", sources[0].name);
    if (status == WK_OK && w->json)
        status = print_json(&panels, path);
    else if (status == WK_OK)
        (void)printf("%s\n", path);
    wk__panels_free(&panels);
    return status;
}

int wk__runs_plot_main(int argc, char **argv) {
    wish w = { 0 };
    wk__run run[MOST_RUNS];
    wk__source sources[MOST_RUNS] = { { NULL, NULL } };
    int code = parse(argc, argv, &w), opened = 0;
    if (code) return code;
    wk_status status = WK_OK;
    for (; opened < w.runs && status == WK_OK; opened += status == WK_OK)
        status = wk__run_open(&run[opened], w.run[opened], NULL, NULL);
    for (int i = 0; i < opened; i++) sources[i] = (wk__source){ run[i].name, &run[i].table };
    if (status == WK_OK) status = draw(&w, sources);
    for (int i = 0; i < opened; i++) wk__run_close(&run[i]);
    return status == WK_OK ? 0 : wk__runs_failed();
}
