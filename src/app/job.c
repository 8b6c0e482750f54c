/* job.c: this run's tracking, as its environment tells: which trackers there are, and whose child it is. */
#include "app/app.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TRACKERS = 8 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static wk_tracker *trackers[MOST_TRACKERS];
static size_t tracker_count;
static bool opened;

/* TORCHX_TRACKER_FSSPEC_CONFIG of the name "fsspec". */
static const char *config_of(const char *name, size_t size) {
    char variable[160];
    (void)snprintf(variable, sizeof variable, "TORCHX_TRACKER_%.*s_CONFIG", (int)(size < 120 ? size : 120), name);
    for (char *at = variable; *at; at++) *at = (char)toupper((unsigned char)*at);
    const char *config = getenv(variable);
    return config && *config ? config : NULL;
}

/* A tracker of somebody else's making (a Python module) has a configuration that is no file of ours: it is left out,
 * and said once. */
static void open_one(const char *name, size_t size) {
    const char *config = config_of(name, size);
    wk__error aside = { 0 };
    wk__error *former = wk__error_bind(&aside);
    wk_tracker *tracker = config && tracker_count < MOST_TRACKERS ? wk_tracker_configure(config) : NULL;
    (void)wk__error_bind(former);
    if (tracker)
        trackers[tracker_count++] = tracker;
    else
        wk_log_write(WK_LOG_WARNING, "tracker %.*s is left out: %s", (int)size, name,
                     config ? aside.message : "it has no configuration");
}

static wk_status open_all(void) {
    const char *parent = getenv("TORCHX_PARENT_RUN_ID");
    const char *names = getenv("TORCHX_TRACKERS");
    if (opened) return WK_OK;
    opened = true;
    if (!getenv("TORCHX_JOB_ID")) return WK_OK;
    for (const char *at = names; at && *at;) {
        size_t size = strcspn(at, ",");
        if (size) open_one(at, size);
        at += size + (at[size] == ',');
    }
    for (size_t i = 0; parent && *parent && i < tracker_count; i++)
        WK_TRY(wk_tracker_add_source(trackers[i], wk_job_id(), parent, NULL));
    return WK_OK;
}

wk_status wk_job_add_metadata(const wk_field *fields, size_t count) {
    (void)pthread_mutex_lock(&lock);
    wk_status status = open_all();
    for (size_t i = 0; i < tracker_count && status == WK_OK; i++)
        status = wk_tracker_add_metadata(trackers[i], wk_job_id(), fields, count);
    (void)pthread_mutex_unlock(&lock);
    return status;
}

wk_status wk_job_add_artifact(const char *name, const char *path, const wk_field *fields, size_t count) {
    (void)pthread_mutex_lock(&lock);
    wk_status status = open_all();
    for (size_t i = 0; i < tracker_count && status == WK_OK; i++)
        status = wk_tracker_add_artifact(trackers[i], wk_job_id(), name, path, fields, count);
    (void)pthread_mutex_unlock(&lock);
    return status;
}

wk_status wk_job_add_source(const char *source, const char *artifact) {
    (void)pthread_mutex_lock(&lock);
    wk_status status = open_all();
    for (size_t i = 0; i < tracker_count && status == WK_OK; i++)
        status = wk_tracker_add_source(trackers[i], wk_job_id(), source, artifact);
    (void)pthread_mutex_unlock(&lock);
    return status;
}

wk_tracked *wk_job_sources(void) {
    wk_tracked *sources = NULL;
    (void)pthread_mutex_lock(&lock);
    wk_status status = open_all();
    if (status == WK_OK && tracker_count) sources = wk_tracker_sources(trackers[0], wk_job_id(), NULL);
    (void)pthread_mutex_unlock(&lock);
    if (!sources && status == WK_OK && tracker_count == 0 && (sources = wk_alloc(sizeof *sources))
        && !(sources->owner = wk_alloc(sizeof(wk__arena)))) {
        wk_free(sources);
        sources = NULL;
    }
    return sources;
}
