/* files.h: the store's table as files; the same functions as those of the store, below a folder. */
#ifndef WICK_SRC_LAUNCHER_STATE_FILES_H
#define WICK_SRC_LAUNCHER_STATE_FILES_H

#include "launcher/launcher.h"

wk_status wk__files_insert(const char *folder, const char *app_id, const char *name, const char *scheduler);
/* A terminal state stays; of an app that is not there nothing happens. */
wk_status wk__files_update(const char *folder, const char *app_id, wk_app_state state, int restarts,
                           const char *message);
wk_status wk__files_remove(const char *folder, const char *app_id);
/* WK_NOT_FOUND, with no message, if there is none. */
wk_status wk__files_get(const char *folder, const char *app_id, wk__record *record);
wk_status wk__files_list(const char *folder, const char *scheduler, wk__record **records, size_t *count);

#endif
