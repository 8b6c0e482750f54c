/* table.h: tables in text files: CSV, TSV, JSON lines. */
#ifndef WICK_SRC_TASKS_TABLE_H
#define WICK_SRC_TASKS_TABLE_H

#include "base/base.h"

typedef struct wk__table {
    const char *path;
    int64_t rows, columns, room, names_room;
    const char **name; /* (columns) */
    const char **cell; /* (rows, columns); "" for an empty one */
    int64_t *line;     /* (rows): where a row begins, from 1 */
    char *text;        /* what CSV's cells point into */
    wk__arena arena;   /* and those of JSON */
    bool lends_names;  /* they are another table's */
} wk__table;
/* By the name's end: .tsv has tabs, .jsonl and .ndjson an object a line (its keys are columns), all others commas.  As
 * RFC 4180: quoted cells may hold delimiters, line breaks and doubled quotes; empty lines are left out.  Without
 * `header` columns are called 0, 1, ….  Errors name file, line and what was expected.  `path` must stay valid; free
 * with wk__table_free also after an error. */
WK_API wk_status wk__table_read(wk__table *table, const char *path, bool header);
/* The same of `size` bytes with a NUL behind them, which the table takes over. */
WK_API wk_status wk__table_parse(wk__table *table, const char *path, char *text, size_t size, bool header);
/* What is between cells, by the name's end; NUL for lines of JSON. */
char wk__table_delimiter(const char *path);
/* The rows of a piece of a CSV file, behind its header: of the columns of `like`, which must stay; `line` is that of
 * the first byte. */
wk_status wk__table_rows(wk__table *table, const wk__table *like, char *text, size_t size, int64_t line);
WK_API void wk__table_free(wk__table *table);
/* Its number; -1 with an error pending that lists the names. */
WK_API int64_t wk__table_column(const wk__table *table, const char *name);
static inline const char *wk__table_cell(const wk__table *table, int64_t row, int64_t column) {
    return table->cell[row * table->columns + column];
}
/* WK_FORMAT "PATH:LINE: …" */
wk_status wk__table_fail(const wk__table *table, int64_t row, const char *format, ...) WK_PRINTF(3, 4);

/* An order of `count` items whose last *kept (a part of them, drawn by the seed) are for evaluation; within each half
 * items stay in the file's order.  Free with wk_free. */
int64_t *wk__split_rows(int64_t count, double part, uint64_t seed, int64_t *kept);

#endif
