/* board.h: where each rank of a host shows what it is doing, so that the others can name one that hangs. */
#ifndef WICK_SRC_DIST_BOARD_H
#define WICK_SRC_DIST_BOARD_H

#include "base/base.h"

typedef struct wk__board wk__board;

/* Open this job's board; NULL (no error) where it cannot be: messages are then less exact. */
wk__board *wk__board_open(int rank, int ranks);
/* All ranks have opened it: take its name away, the memory stays. */
void wk__board_unlink(wk__board *board);
void wk__board_close(wk__board *board);
/* This rank begins collective number `sequence`. */
void wk__board_begin(wk__board *board, uint64_t sequence, const char *what, int64_t bytes);
/* This rank's process runs: called once a second. */
void wk__board_stir(wk__board *board);
/* "rank 1 (last: all_reduce 57, 4.7 MB)" for every rank that has not begun `sequence` or whose process does not run;
 * false if none is known to lag. */
bool wk__board_laggards(const wk__board *board, uint64_t sequence, wk_text *text);

#endif
