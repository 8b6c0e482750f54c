/* wick/app.h: what a program that is started by `wick run` (or by TorchX) may use while it runs.
 *
 * A library of its own, libwickapp: no tensors, no launcher, nothing to link but libc and one JSON library.  A program
 * that uses none of it runs as well.  Everything is told through the environment and files, in TorchX's forms, so that
 * each side may be Wick's or TorchX's:
 *
 *   ranks        who am I among how many, and what ranks agree on without a library for messages
 *   errors       the file that `wick status` shows the first failure of
 *   results      a few numbers by a key: what a trial of a search came to
 *   tracking     what a run was made with (metadata), made (artifacts) and came from (sources)
 */
#ifndef WICK_APP_H
#define WICK_APP_H

#include "wick/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- ranks ------------------------------------------------------------------------------------------------------- */

/* Of the environment (RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE); a program started by hand is rank 0 of 1. */
WK_API int wk_job_rank(void);
WK_API int wk_job_world_size(void);
WK_API int wk_job_local_rank(void);
WK_API int wk_job_local_world_size(void);
static inline bool wk_job_is_rank0(void) {
    return wk_job_rank() == 0;
}
static inline bool wk_job_is_local_rank0(void) {
    return wk_job_local_rank() == 0;
}
/* "mpi://wick/trainer-x7k2qv9wz4cd" (TORCHX_JOB_ID), "<UNDEFINED>" if nobody launched this. */
WK_API const char *wk_job_id(void);
/* How often the job was started again before (TORCHELASTIC_RESTART_COUNT). */
WK_API int wk_job_restart_count(void);

/* The sum of every rank's value, on every rank: all ranks of the role meet at MASTER_ADDR:MASTER_PORT, whoever comes
 * first. Calls must come in the same order on all ranks.  WK_TIMEOUT after `seconds` (0: 300), naming the ranks that
 * were missing. For agreeing on a few numbers; gradients go through a process group (wick/dist.h). */
WK_API wk_status wk_job_sum(double value, double seconds, double *sum);
/* Returns when every rank has called it. */
WK_API wk_status wk_job_barrier(double seconds);
/* What stands between the two runs first on rank 0, then on all others (a download, a cache). */
WK_API wk_status wk_job_rank0_first_begin(double seconds);
WK_API wk_status wk_job_rank0_first_end(double seconds);

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* Write the error file of this replica (TORCHELASTIC_ERROR_FILE), as torch's @record does; the first error stays.
 * Without such a variable nothing is written.  `code` (0: none) becomes "errorCode". */
WK_API wk_status wk_record_error(const char *message, int code);
/* On SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT write the error file with a backtrace, and to stderr; then the signal
 * ends the process as it would have.  Handlers that the program installs later replace it. */
WK_API wk_status wk_record_signals(void);
/* Both around a program's main function: if it returns other than 0, the pending error is recorded (or the code, if
 * none is pending).  Returns what main_function returned. */
WK_API int wk_record(int (*main_function)(int argc, char **argv), int argc, char **argv);

/* ---- named values ------------------------------------------------------------------------------------------------ */

typedef enum wk_field_type {
    WK_FIELD_TEXT,
    WK_FIELD_INT,
    WK_FIELD_FLOAT,
    WK_FIELD_BOOL,
    WK_FIELD_NONE, /* null */
    WK_FIELD_JSON  /* an array or object, as JSON in `text` */
} wk_field_type;

typedef struct wk_field {
    const char *name;
    wk_field_type type;
    const char *text;
    int64_t integer; /* of a bool: 0 or 1 */
    double number;
} wk_field;
static inline wk_field wk_field_text(const char *name, const char *text) {
    wk_field field = { name, WK_FIELD_TEXT, text, 0, 0 };
    return field;
}
static inline wk_field wk_field_int(const char *name, int64_t integer) {
    wk_field field = { name, WK_FIELD_INT, NULL, integer, 0 };
    return field;
}
static inline wk_field wk_field_float(const char *name, double number) {
    wk_field field = { name, WK_FIELD_FLOAT, NULL, 0, number };
    return field;
}
static inline wk_field wk_field_bool(const char *name, bool value) {
    wk_field field = { name, WK_FIELD_BOOL, NULL, value, 0 };
    return field;
}

/* Fields read back; free with wk_fields_free. */
typedef struct wk_fields {
    wk_field *items;
    size_t count;
    void *owner;
} wk_fields;
WK_API void wk_fields_free(wk_fields *fields);
/* The field of that name, or NULL. */
WK_API const wk_field *wk_fields_find(const wk_fields *fields, const char *name);

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* BASE, a folder or a URL: BASE/KEY becomes the fields as JSON that a person can read, replaced whole; folders are
 * made.  By convention "l2norm/mean" names a statistic.  The file is byte for byte that of TorchX's
 * FsspecResultTracker. */
WK_API wk_status wk_results_put(const char *base, const char *key, const wk_field *fields /* (count) */, size_t count);
/* Empty fields if there is no such key; NULL with an error pending if it cannot be read. */
WK_API wk_fields *wk_results_get(const char *base, const char *key);

/* ---- tracking ---------------------------------------------------------------------------------------------------- */

/* Runs on disk, in the layout of TorchX's FsspecTracker, byte for byte:
 *
 *   ROOT/BASE32(run)/metadata/TIME_NS     {"metadata": {"lr": 0.1}}
 *   ROOT/BASE32(run)/artifacts/TIME_NS    {"name": "model", "path": "/m", "metadata": {…} or null}
 *   ROOT/BASE32(run)/sources/BASE32(source)   a line with the artifact's name, "" if none
 */
typedef struct wk_tracker wk_tracker;
/* ROOT is a folder that exists, or a URL (wick/files.h); reading needs one that can be listed, which http cannot. */
WK_API wk_tracker *wk_tracker_open(const char *root);
/* From a file with `protocol=file` and `root_path=/runs`, as TorchX's create(); of another protocol the root is the URL
 * PROTOCOL://ROOT_PATH. */
WK_API wk_tracker *wk_tracker_configure(const char *file);
WK_API void wk_tracker_close(wk_tracker *tracker);

WK_API wk_status wk_tracker_add_metadata(wk_tracker *tracker, const char *run, const wk_field *fields, size_t count);
/* fields NULL: no metadata of the artifact. */
WK_API wk_status wk_tracker_add_artifact(wk_tracker *tracker, const char *run, const char *name, const char *path,
                                         const wk_field *fields, size_t count);
/* artifact NULL: no particular one. */
WK_API wk_status wk_tracker_add_source(wk_tracker *tracker, const char *run, const char *source, const char *artifact);

/* Later values of a name stand for earlier ones. */
WK_API wk_fields *wk_tracker_metadata(wk_tracker *tracker, const char *run);

/* What was found; all of it is freed with wk_tracked_free. */
typedef struct wk_tracked {
    struct wk_tracked_item {
        const char *run;      /* run_ids, sources */
        const char *artifact; /* artifacts, sources: its name; NULL if none */
        const char *path;     /* artifacts */
        const char *metadata; /* artifacts: as JSON, "null" if none */
    } * items;
    size_t count;
    void *owner;
} wk_tracked;
WK_API void wk_tracked_free(wk_tracked *tracked);
/* One of each name, the latest; by name. */
WK_API wk_tracked *wk_tracker_artifacts(wk_tracker *tracker, const char *run);
/* artifact NULL: all. */
WK_API wk_tracked *wk_tracker_sources(wk_tracker *tracker, const char *run, const char *artifact);
/* parent NULL: all runs, else those that have it as a source. */
WK_API wk_tracked *wk_tracker_runs(wk_tracker *tracker, const char *parent);

/* This run: its id is wk_job_id(), its trackers those of TORCHX_TRACKERS whose TORCHX_TRACKER_NAME_CONFIG is a file as
 * above; the parent run (TORCHX_PARENT_RUN_ID) becomes a source.  Not launched, or without trackers: nothing is
 * written, and that is no error.  Each call goes to all of the trackers. */
WK_API wk_status wk_job_add_metadata(const wk_field *fields, size_t count);
WK_API wk_status wk_job_add_artifact(const char *name, const char *path, const wk_field *fields, size_t count);
WK_API wk_status wk_job_add_source(const char *source, const char *artifact);
/* Of the first tracker; empty without one. */
WK_API wk_tracked *wk_job_sources(void);

#ifdef __cplusplus
}
#endif
#endif
