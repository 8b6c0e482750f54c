/* writer.h: a run's checkpoints on their way to the disk, on a thread of their own where the run asks for it. */
#ifndef WICK_SRC_TRAIN_WRITER_H
#define WICK_SRC_TRAIN_WRITER_H

#include "base/base.h"
#include "io/file.h"
#include "wick/tensor.h"

typedef struct wk__saver wk__saver;

/* `background`: jobs run on a thread; else each call runs its job at once. */
wk__saver *wk__saver_create(bool background);
/* Waits for all jobs. */
void wk__saver_destroy(wk__saver *saver);
/* Jobs run in the order in which they are given.  A checkpoint is the first of a chain, what depends on it being there
 * is the rest: once a job has failed, those behind it in its chain do not run.
 *
 * Put a checkpoint's bytes into a file, whole or not at all; takes them over.  Those of an earlier step are waited for,
 * so that no more than one step's state is held. */
wk_status wk__saver_write(wk__saver *saver, int64_t step, char *path, wk__pages bytes);
/* Memory for the next checkpoint, which an earlier one has used and the system need not clear again; the caller's. */
wk__pages wk__saver_pages(wk__saver *saver);
/* The same of a checkpoint that the caller writes now, and has written with that status: WK_IO becomes the saver's. */
wk_status wk__saver_written(wk__saver *saver, wk_status status);
/* Text into a file. */
wk_status wk__saver_note(wk__saver *saver, const char *path, const char *text);
/* Remove a file; one that is not there is fine. */
wk_status wk__saver_remove(wk__saver *saver, const char *path);
/* A symbolic link at `path` to `target`, in place of what is there. */
wk_status wk__saver_link(wk__saver *saver, const char *path, const char *target);
/* Each of these tells of a job that has failed (WK_IO), once, whenever it was given.  This one waits for all. */
wk_status wk__saver_wait(wk__saver *saver);
/* Whether the last checkpoint could not be written; after wk__saver_wait. */
bool wk__saver_failed(wk__saver *saver);
/* Whether a file of this name is there, or on its way. */
bool wk__saver_has(wk__saver *saver, const char *path);

#endif
