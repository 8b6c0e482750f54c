/* pieces.h: a CSV file in pieces of a few rows, each read when it is asked for: files larger than memory. */
#ifndef WICK_SRC_TASKS_PIECES_H
#define WICK_SRC_TASKS_PIECES_H

#include "tasks/table.h"

enum { WK__PIECE_ROWS = 64 };

typedef struct wk__pieces {
    int descriptor;
    char *path;
    wk__table head; /* the names of the columns; no rows */
    int64_t count, rows, room;
    int64_t *offset, *line; /* (count + 1): where each piece begins; the last: the end */
} wk__pieces;
/* Find where pieces begin: one pass over the file, in little memory.  Free also after an error.  Errors: those of
 * wk__table_read; a file that is no CSV. */
wk_status wk__pieces_open(wk__pieces *p, const char *path, bool header);
void wk__pieces_close(wk__pieces *p);
/* The rows of one; from several threads at once.  Errors: the file has changed since. */
wk_status wk__pieces_read(const wk__pieces *p, int64_t piece, wk__table *table);

#endif
