/* report.h: report.html, a page about a run that needs nothing but itself. */
#ifndef WICK_SRC_TRAIN_REPORT_H
#define WICK_SRC_TRAIN_REPORT_H

#include "train/runs/run.h"

/* Read the run's directory and write report.html into it.  Errors: those of wk__run_open, WK_IO. */
WK_API wk_status wk__report_write(const char *folder);

/* ---- classes.c: of evaluation.json ---- */

/* The matrix of a run, row by row, with names of its classes; false where there is none, or a damaged one. */
typedef struct wk__classes {
    double *counts; /* (classes, classes) */
    const char **names;
    int classes;
} wk__classes;
bool wk__classes_read(wk__classes *classes, const json_t *evaluation);
void wk__classes_free(wk__classes *classes);
/* scikit-learn's report as text; free with wk_free. */
char *wk__classes_text(const wk__classes *classes);
wk_status wk__report_classes(wk_text *page, const wk__run *run);
void wk__report_samples(wk_text *page, const wk__run *run);

/* ---- page.c: the pieces of a page ---- */

void wk__page_begin(wk_text *page, const char *title);
void wk__page_end(wk_text *page);
void wk__page_section(wk_text *page, const char *title);
/* A line of a table of two columns; nothing where the value is empty. */
void wk__page_fact(wk_text *page, const char *name, const char *value);
void wk__page_text(wk_text *page, const char *text); /* as it stands, in a box that scrolls */

#endif
