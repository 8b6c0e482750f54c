/* folder.h: a run's directory: configuration as run, log, metrics, checkpoints.  Only rank 0 has one; on the others
 * every call does nothing. */
#ifndef WICK_SRC_TRAIN_FOLDER_H
#define WICK_SRC_TRAIN_FOLDER_H

#include "io/event_file.h"
#include "train/checkpoint.h"

#include <jansson.h>

enum { WK__MOST_COLUMNS = 96 };
typedef struct wk__folder {
    char *path;
    bool is_locked;
    int lock; /* a descriptor of the directory */
    FILE *log, *csv;
    FILE *early; /* what is said before the log is there: early_text */
    char *early_text;
    size_t early_size;
    char *column[WK__MOST_COLUMNS]; /* of metrics.csv, behind step and epoch */
    int columns;
    wk__event_file *events;
} wk__folder;

/* PATH/checkpoints/NAME.safetensors; free with wk_free. */
WK_API char *wk__checkpoint_path(const char *folder, const char *name);
/* Make the directory and keep other runs out of it until it is closed.  WK_EXISTS: another one is in it. */
wk_status wk__folder_lock(wk__folder *folder, const char *path);
/* Take away what an earlier run has left that would be taken for the new one's: its last and best checkpoint, event
 * files, images, predictions.  The directory is locked. */
wk_status wk__folder_clear(const wk__folder *folder);
/* Write the configuration; with `resumed_step` ≥ 0 go on in it, without rows of later steps.  The directory is locked.
 */
wk_status wk__folder_open(wk__folder *folder, const wk__run_config *config, int64_t resumed_step);
void wk__folder_close(wk__folder *folder);
/* A line to standard error and to log.txt; between wk__folder_lock and wk__folder_open it waits for the latter. */
void wk__folder_say(wk__folder *folder, const char *format, ...) WK_PRINTF(2, 3);
/* The same to log.txt alone. */
void wk__folder_note(wk__folder *folder, const char *line);
/* A file of the directory, whole or not at all. */
wk_status wk__folder_json(const wk__folder *folder, const char *name, const json_t *value);
/* A row of metrics.csv and of the event file. */
wk_status wk__folder_metrics(wk__folder *folder, int64_t step, int64_t epoch, const wk_logged *values, int count);
/* Where a name is in a list, which is looked through from `likely` on and around its end; -1: nowhere. */
int wk__name_index(char *const *names, int count, const char *name, int likely);
/* The name of a metric's scalar in event files. */
void wk__metric_tag(const char *name, char *tag, size_t size);

#endif
