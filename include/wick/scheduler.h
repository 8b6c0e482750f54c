/* wick/scheduler.h: a scheduler of one's own, as a plug-in.
 *
 * A plug-in is a shared library with one function, found by its name:
 *
 *   const wk_scheduler_ops *wk_scheduler_plugin(void);
 *
 * WICK_PLUGINS names libraries, parted by colons; `wick run -s NAME` then knows it, and one with the name of a built-in
 * scheduler takes its place.  api_version and size of the struct are checked (WK_SCHEDULER_API); a library that cannot
 * be opened is named in a warning and costs nothing else.
 *
 * What follows are the parts that the built-in schedulers are made of: a scheduler that keeps its replicas' files where
 * they belong gets `wick status`, `log`, `describe`, `list` and `delete` from them.  examples/own_scheduler is one.
 */
#ifndef WICK_SCHEDULER_H
#define WICK_SCHEDULER_H

#include "wick/launcher.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a plug-in exports. */
typedef const wk_scheduler_ops *(*wk_scheduler_plugin_function)(void);

/* For dryrun: commands and environment of every replica, macros replaced.  Pure. */
WK_API wk_request *wk_request_new(const wk_appdef *app, const char *scheduler, const char *app_id);
WK_API const char *wk_request_app_id(const wk_request *request);

/* Everything is owned by the request. */
typedef struct wk_request_replica {
    const char *role, *directory; /* to run in */
    int replica, replicas;        /* of how many of this role */
    const char *const *argv;      /* NULL-terminated */
    const wk_pair *env;           /* (env_count), over the caller's own environment */
    size_t env_count;
} wk_request_replica;
/* The index-th of all replicas of all roles; false past the last. */
WK_API bool wk_request_replica_at(const wk_request *request, size_t index, wk_request_replica *replica);

/* For schedule, before anything runs: request, AppDef, folders of replicas and copies of workspaces on disk. */
WK_API wk_status wk_request_store(const wk_request *request);
/* <state>/apps/APP_ID/NAME: logs are ROLE/K/stdout.log and stderr.log.  Free with wk_free. */
WK_API char *wk_app_file(const char *app_id, const char *name);
/* Put down that a replica runs, or (ended) how it ended, as waitpid tells it. */
WK_API wk_status wk_replica_told(const char *app_id, const char *role, int replica, bool ended, int wait_status);

/* For describe: the state as the scheduler knows it (stored; a terminal one stays), the replicas' from their files.
 * WK_NOT_FOUND if there is no such app. */
WK_API wk_app_status *wk_app_status_of(const char *app_id, wk_app_state state, const char *message);
/* For log_open and list. */
WK_API wk_log_stream *wk_app_log_open(const char *app_id, const char *role, int replica, wk_log_kind kind);
WK_API wk_status wk_apps_of(const wk_scheduler_ops *scheduler, wk_app_entry **entries, size_t *count);

#ifdef __cplusplus
}
#endif
#endif
