/* run.h: runs that are over, or under way elsewhere, read from their directories.
 *
 * A directory is read as it is: what `wick train` writes today (run.json beside the rest), what it wrote before there
 * was run.json, and what others leave (metrics.csv and hparams.yaml of Lightning's CSVLogger).  What a directory lacks
 * is told, never made up.
 */
#ifndef WICK_SRC_TRAIN_RUNS_RUN_H
#define WICK_SRC_TRAIN_RUNS_RUN_H

#include "io/yaml.h"

#include <jansson.h>

/* ---- table.c: rows of metrics ---- */

typedef struct wk__run_table {
    char **column; /* as they stand in the file, step and epoch among them */
    int columns;
    double *cell; /* (rows, columns), NAN where a cell is empty */
    int64_t rows;
} wk__run_table;

/* metrics.csv or metrics.jsonl.  An error names file and line. */
WK_API wk_status wk__run_table_parse(wk__run_table *table, const char *text, bool lines_of_json);
WK_API wk_status wk__run_table_read(wk__run_table *table, const char *path);
WK_API void wk__run_table_free(wk__run_table *table);
/* -1: there is none. */
WK_API int wk__run_table_column(const wk__run_table *table, const char *name);
/* The last value of a column, NAN where it has none; the best one, and its row. */
double wk__run_table_last(const wk__run_table *table, int column);
double wk__run_table_best(const wk__run_table *table, int column, bool largest, int64_t *row);

/* ---- run.c ---- */

typedef enum wk__run_state {
    WK__RUN_DONE,
    WK__RUN_STOPPED, /* by a signal, with a checkpoint to go on from */
    WK__RUN_RUNNING,
    WK__RUN_FAILED,
    WK__RUN_UNKNOWN, /* nothing in the directory tells */
    WK__RUN_STATES
} wk__run_state;
extern const char *const wk__run_state_names[WK__RUN_STATES]; /* "done", … */

typedef struct wk__run {
    char *path;
    const char *name; /* the last part of the path */
    wk__run_state state;
    char reason[400];                  /* why it failed or stopped; "" */
    const char *model;                 /* NULL: unknown */
    int64_t epochs, max_epochs, steps; /* -1: unknown */
    double started, ended, seconds;    /* since 1970; trained, over all parts; NAN: unknown */
    char metric[64];                   /* what decides which epoch is the best; "" where nothing was logged */
    bool largest;                      /* it is to be large */
    double best;                       /* NAN: none */
    int64_t best_row;
    wk__run_table table;
    wk__yaml *config;   /* NULL: the directory has none */
    json_t *record;     /* run.json; NULL */
    json_t *evaluation; /* evaluation.json; NULL */
    char *log;          /* log.txt; NULL */
    char lacks[200];    /* "log.txt, run.json"; "" */
} wk__run;

/* Whether the directory holds anything of a run. */
bool wk__run_is(const char *path);
/* `metric` (NULL: the run's own) is what is compared; `mode` "min", "max" or NULL: by its name.  Errors: WK_NOT_FOUND
 * (no such directory, or nothing of a run in it), WK_FORMAT (a file in it is damaged). */
WK_API wk_status wk__run_open(wk__run *run, const char *path, const char *metric, const char *mode);
WK_API void wk__run_close(wk__run *run);
/* A scalar of the configuration by its dotted path; NULL. */
const char *wk__run_setting(const wk__run *run, const char *path);
/* Whether a metric of this name is better when it is larger. */
bool wk__metric_is_large(const char *name);

/* ---- find.c ---- */

typedef struct wk__run_list {
    wk__run *run;
    int count;
} wk__run_list;

/* All runs at or below a directory, four levels deep, by name; none below another one.  A directory whose files are
 * damaged is told on `notes` and left out. */
wk_status wk__runs_find(wk__run_list *list, const char *root, const char *metric, const char *mode, FILE *notes);
void wk__runs_free(wk__run_list *list);

/* ---- words.c: how numbers and times are written for people ---- */

/* "2026-01-31 12:00" in UTC, "1:02:03", "0.9123"; "-" for NAN. */
const char *wk__words_time(double seconds_since_1970, char text[32]);
const char *wk__words_duration(double seconds, char text[32]);
const char *wk__words_number(double value, char text[32]);
/* Texts that are equal, or numbers that are: 1e-3 is 0.001; NULL (not set) is itself alone. */
bool wk__same_value(const char *a, const char *b);
/* A json number; null for what is not finite. */
json_t *wk__json_number(double value);
json_t *wk__json_text(const char *text); /* NULL: null; bytes that are no UTF-8 become U+FFFD */

/* ls.c: what `ls --json` and `show --json` say of every run. */
json_t *wk__run_json(const wk__run *run);

/* ---- the doors ---- */

int wk__runs_ls_main(int argc, char **argv);
int wk__runs_show_main(int argc, char **argv);
int wk__runs_compare_main(int argc, char **argv);
int wk__runs_plot_main(int argc, char **argv);
int wk__runs_report_main(int argc, char **argv);
/* 2, with the problem and how to use it on stderr; 1, with the pending error there. */
int wk__runs_usage(const char *problem, const char *word);
int wk__runs_failed(void);

#endif
