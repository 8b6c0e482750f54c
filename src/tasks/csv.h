/* csv.h: a table's columns as numbers, for tables in memory and for those that are read row by row. */
#ifndef WICK_SRC_TASKS_CSV_H
#define WICK_SRC_TASKS_CSV_H

#include "tasks/table.h"
#include "tasks/tasks.h"

enum { WK__CSV_MOST_CATEGORIES = 4096 };
typedef enum wk__csv_missing { WK__CSV_REFUSE, WK__CSV_MEAN, WK__CSV_DROP } wk__csv_missing;

typedef struct wk__csv_column {
    int64_t at;
    bool is_target, names; /* names: categories, else numbers */
    const char **word;     /* of a category: its names, sorted */
    int64_t words;
    double mean, deviation;
} wk__csv_column;

typedef struct wk__csv {
    const wk_config *args;
    wk__table table;
    wk__csv_column *columns; /* the inputs, then the targets */
    int inputs, count;
    wk__csv_missing missing;
    bool classifies;
    int64_t *row; /* those that take part: (train), then (kept) */
    int64_t train, kept;
} wk__csv;
void wk__csv_free(wk__csv *p);

/* The columns that the args name; the words of categories are not known yet. */
wk_status wk__csv_columns(wk__csv *p);
wk_status wk__csv_check_words(const wk__csv *p, const wk__csv_column *c);
int wk__csv_by_text(const void *a, const void *b);
bool wk__csv_is_missing(const char *cell);
/* Whether a row takes part; an error for a gap that may not be. */
wk_status wk__csv_takes(const wk__csv *p, int64_t row, bool *taken);
/* A number; NAN for a missing one. */
wk_status wk__csv_number(const wk__csv *p, int64_t row, const wk__csv_column *c, double *value);
/* The number of a name; -1 for a missing one. */
int64_t wk__csv_word(const wk__csv *p, int64_t row, const wk__csv_column *c);
/* Population deviation, as scikit-learn's StandardScaler; 1 for a column that does not vary. */
void wk__csv_scale(wk__csv_column *c, double squares, int64_t count, bool scales);
/* Of columns `first` to `end` - 1: how many values they become; and a row's, into memory of zeros. */
int64_t wk__csv_width(const wk__csv *p, int first, int end);
wk_status wk__csv_write(const wk__csv *p, int64_t row, int first, int end, bool shifts, float *out);

/* csv_stream.c: the datasets of a file that is not held in memory.  Takes what it needs out of `p`. */
wk_status wk__csv_stream(wk__csv *p, const char *file, bool header, wk_dataset **train, wk_dataset **evaluation);

#endif
