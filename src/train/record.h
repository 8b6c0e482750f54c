/* record.h: run.json, what a run says of itself: how it stands, what it trains, on what. */
#ifndef WICK_SRC_TRAIN_RECORD_H
#define WICK_SRC_TRAIN_RECORD_H

#include "wick/train.h"

#include <jansson.h>

/* On rank 0, when the directory is open: the run is under way.  A resumed run goes on with its beginning and its time.
 */
wk_status wk__record_start(wk_trainer *t, bool resumed);
/* How it ended: an error other than WK_CANCELLED is a failure, and its message the reason.  With it go the evaluation
 * and report.html. */
wk_status wk__record_end(wk_trainer *t, wk_status status, const char *message);

/* revision.c: the commit that the folder's repository is at, "" where there is none. */
void wk__revision(const char *folder, char *text, size_t size);

#endif
