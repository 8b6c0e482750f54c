/* plot.h: what the files of `wick bench plot` share. */
#ifndef WICK_SRC_BENCH_PLOT_H
#define WICK_SRC_BENCH_PLOT_H

#include "bench/bench.h"
#include "plot/plot.h"

#include <jansson.h>

/* ---- roofline.c, history.c ---- */

void wk__draw_roofline(wk__picture *p, const json_t *all);
/* Files of steps, from the earliest on. */
void wk__draw_history(wk__picture *p, json_t *const *files, int count);

/* ---- plot.c ---- */

enum { WK__PLOT_MOST_FILES = 200 };

typedef struct wk__plot_opts {
    const char *file[WK__PLOT_MOST_FILES], *to; /* NULL: beside the first file */
    int files;
} wk__plot_opts;

wk_status wk__bench_plot(const wk__plot_opts *opts);
/* "" where there is none */
const char *wk__plot_text(const json_t *object, const char *key);
double wk__plot_number(const json_t *object, const char *key);

#endif
