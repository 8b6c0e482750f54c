/* panels.h: learning curves: which columns of metrics go into one chart. */
#ifndef WICK_SRC_TRAIN_RUNS_PANELS_H
#define WICK_SRC_TRAIN_RUNS_PANELS_H

#include "plot/plot.h"
#include "train/runs/run.h"

/* A run's report shows all that it logged: metrics.csv has at most so many columns. */
enum { WK__MOST_PANELS = 96, WK__MOST_CURVES = 96 };

/* Where curves are from. */
typedef struct wk__source {
    const char *name; /* of the run */
    const wk__run_table *table;
} wk__source;

typedef struct wk__panel {
    char title[64];
    wk__curve curve[WK__MOST_CURVES]; /* their points and names belong to the panel */
    int count;
} wk__panel;
typedef struct wk__panels {
    wk__panel *panel;
    int count;
    const char *x_name;
    bool log;
} wk__panels;

typedef struct wk__panel_opts {
    const char *const *metrics; /* names of columns, or "loss" for train_loss, val_loss and their kin; NULL: all */
    int n_metrics;
    bool by_epoch, log;
} wk__panel_opts;

/* A chart for each quantity, losses first; a curve for each run and column.  Errors: WK_NOT_FOUND (no run has such a
 * metric), WK_INVALID (more curves than can be told apart). */
wk_status wk__panels_make(wk__panels *panels, const wk__source *sources, int count, wk__panel_opts opts);
void wk__panels_free(wk__panels *panels);
/* One picture, the charts below each other. */
wk_status wk__panels_save(const wk__panels *panels, const char *path);
/* One chart of them, in a page. */
wk_status wk__panel_inline(const wk__panels *panels, int i, wk_text *page);

#endif
