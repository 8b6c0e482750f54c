/* launcher.h: what the launcher's files share.
 *
 * How the parts stand to each other while an app runs:
 *
 *   wick run ── forks ──> supervisor (wick __supervise, own session) ──> [mpirun ──>] wrapper (wick __rank) ──> program
 *
 * They talk through the app's directory, so that the same files serve one machine and a cluster with a shared file
 * system, and any later `wick status`:
 *
 *   <state>/wick.sqlite                      one row an app (store.c)
 *   <state>/apps/<app_id>/request            what is run, 0600 (request.c)
 *                         lock               held by the supervisor as long as it lives
 *                         attempt            which attempt runs, the supervisor's pid, ports
 *                         failed.K, stop.K   of attempt K: the first replica that failed; "end now"
 *                         cancel             somebody asked for the end
 *                         <role>/<k>/status  one replica's state (replica.c), stdout.log, stderr.log, error.json
 *
 * Liveness is told by locks and by parents, never by ages of files.
 */
#ifndef WICK_SRC_LAUNCHER_H
#define WICK_SRC_LAUNCHER_H

#include "wick/launcher.h"
#include "base/base.h"
#include "io/yaml.h"

#include <regex.h>
#include <signal.h>
#include <sys/types.h>

#define WK__SESSION "wick"

/* ---- spec/ ---- */
wk_appdef *wk__appdef_from(wk__yaml *document); /* takes the document over, also when it fails */
bool wk__is_role_name(const char *text);
/* "local ignores resource.memMB": once for each key that the scheduler does not honour. */
void wk__appdef_say_ignored(const wk_appdef *app, const wk_scheduler_ops *scheduler);
/* Parts of a role (role.c is their caller): NULL nodes leave *out as "not said". */
wk_status wk__resource_read(wk__yaml *doc, const wk__yaml_node *node, const char *where, wk_resource *out);
wk_status wk__mounts_read(wk__yaml *doc, const wk__yaml_node *node, const char *where, wk_role *role);
wk_status wk__workspace_read(wk__yaml *doc, const wk__yaml_node *node, wk_role *role);
/* Lay changes over a tree (overlay.c), in place; what is new belongs to `doc`. */
WK_API wk_status wk__overlay(wk__yaml *doc, wk__yaml_node *base, const wk__yaml_node *overlay);
/* The changes that a role's metadata has for a scheduler, from a file if they are in one; NULL: none. */
wk_status wk__overlay_of(wk__yaml *doc, const wk_role *role, const char *scheduler, const wk__yaml_node **out);
/* One of a few words; its index. */
wk_status wk__yaml_choice(wk__yaml *doc, const wk__yaml_node *node, const char *const *words, size_t count,
                          size_t *out);
/* ${env:NAME} in every value below the node; `$` of what comes in is doubled where macros are replaced later. */
wk_status wk__interpolate(wk__yaml *doc, wk__yaml_node *node, bool in_macros);
/* A text in which macros put back `text`: `$` doubled except before the four known ones. */
wk_status wk__escape_macros(wk_text *out, const char *text);
bool wk__is_secret(const char *env_name);
/* wk_appdef_dump without those variables, where it has "***" for their values. */
char *wk__appdef_dump_without_secrets(const wk_appdef *app);
/* Arguments as an interface of UTF-8 can carry them (carry.c): the same ones, or a shell that makes
 * them; a marker (NULL: none) within stays as it is. */
wk_status wk__carry(wk__arena *arena, const char *const *argv, size_t argc, const char *marker, const char ***out,
                    size_t *count);

/* ---- config/ ---- */
/* Where the copy of these folders (path, place below the copy) will lie: <state>/workspaces/HASH.  Changes nothing. */
char *wk__workspace_path(const wk_pair *folders, size_t count);
/* Make it, unless it is there. */
wk_status wk__workspace_copy(const wk_pair *folders, size_t count, const char *path);
/* Options in three steps: the text; one more, weaker (value NULL: explicitly none); defaults.  A key that the scheduler
 * does not have is named with its place in a warning. */
wk_cfg *wk__cfg_begin(const char *scheduler, const wk_runopt *options, size_t count, const char *text);
wk_status wk__cfg_add(wk_cfg *cfg, const char *key, const char *value, const char *where);
wk_cfg *wk__cfg_finish(wk_cfg *cfg); /* frees it when a required one is missing */

/* ---- schedulers/ ---- */
typedef struct wk__program { /* one role, ready to run; per replica because of ${replica_id} */
    const char **argv;
    size_t argc;
    wk_pair *env;
    size_t env_count;
} wk__program;

typedef struct wk__request_role {
    const char *name;
    int replicas, first_rank, max_retries;
    int least;                /* replicas with which the app goes on: min_replicas, or all of them */
    const char *directory;    /* to run in, "" for the request's */
    const wk_pair *workspace; /* what to copy there first; not kept in the file */
    size_t workspace_count;
    wk__program *programs; /* (replicas) */
} wk__request_role;

struct wk_request {
    wk__arena arena;
    const char *scheduler, *app_id, *app_name, *directory /* to run in */, *wick /* the binary */;
    const char *master; /* host of rank 0 */
    double grace;       /* seconds from TERM to KILL */
    bool bound;         /* mpirun pins each rank: its affinity is its share already */
    wk__request_role *roles;
    size_t role_count;
    const char **launcher; /* mpirun and its arguments, NULL-terminated; none: the supervisor starts each replica */
    size_t launcher_count;
    const char *app_yaml; /* the AppDef as run */
    const char *ui_url;   /* where to look at it, by its metadata; NULL */
    const char *script;   /* slurm: what sbatch gets; kubernetes: the objects; NULL elsewhere */
    const char *marker;   /* slurm, kubernetes: stands for ${replica_id} in programs */
    bool contained;       /* programs run in images */
    const char **cluster; /* kubernetes: kind, name, namespace, kubeconfig, context */
    const char **patches; /* containers: what to make before (container.c) */
    bool preflight;
    const char *log_url; /* where the logs are kept when it has ended, with the app's id; "": nowhere */
};

extern const wk_scheduler_ops wk__local;
extern const wk_scheduler_ops wk__mpi;
extern const wk_scheduler_ops wk__slurm;
extern const wk_scheduler_ops wk__kubernetes;
extern const wk_scheduler_ops wk__podman;
extern const wk_scheduler_ops wk__docker;
/* NULL past the last. */
const wk_scheduler_ops *wk__scheduler_at(size_t index);

/* Add a scheduler; from a plug-in it may stand in for a built-in one. */
wk_status wk__scheduler_add(const wk_scheduler_ops *ops, bool may_replace);
/* Those of WICK_PLUGINS, once. */
void wk__plugins_open(void);

wk_request *wk__request_new(const wk_appdef *app, const char *scheduler, const char *app_id);
/* The same with this text for ${replica_id} in every replica, until it is known; NULL: the number. */
wk_request *wk__request_new_marked(const wk_appdef *app, const char *scheduler, const char *app_id, const char *marker);
/* CUDA_VISIBLE_DEVICES of the replicas whose role asks for GPUs, out of this machine's (gpus.c). */
wk_status wk__request_split_gpus(wk_request *request, const wk_appdef *app);
/* The same for a container: there ${img_root} is nothing, and `wick` is that of the image. */
wk_request *wk__request_new_contained(const wk_appdef *app, const char *scheduler, const char *app_id,
                                      const char *marker);
/* Sum of replicas. */
int wk__request_ranks(const wk_request *request);
/* The first host that a hostfile's text names, and its length; NULL: none. */
WK_API const char *wk__hostfile_first(const char *text, size_t *size);
/* The option of all schedulers that have a supervisor, and taking it into the request. */
#define WK__LOG_DIR                                                                                    \
    {                                                                                                  \
        "log_dir", WK_RUNOPT_STRING, NULL, false,                                                      \
            "copy the logs there when the app has ended: a folder or a URL; LOG_DIR/APP_ID/ROLE/K/…" \
    }
/* The same where no supervisor stands beside the app. */
#define WK__LOG_DIR_OF_CLUSTER                                                                                      \
    {                                                                                                               \
        "log_dir", WK_RUNOPT_STRING, NULL, false,                                                                   \
            "with --wait: copy the logs there when the app has ended: a folder or a URL; LOG_DIR/APP_ID/ROLE/K/…" \
    }
wk_status wk__request_keep_logs(wk_request *request, const wk_cfg *cfg);
/* Do it, and write status.json beside them as the last file (keep.c). */
wk_status wk__logs_keep(const wk_request *request, wk_app_state state, const char *message);
/* The same of an app without a supervisor, by whoever has seen its end, through its scheduler's own streams (kept.c):
 * URL/ROLE/K/{stdout,stderr}.log, all attempts in one, error.json, and last status.json. */
wk_status wk__logs_fetch(const wk_handle *handle, const wk_app_status *app, const char *url);
/* What lies at LOG_DIR/APP_ID: roles and how many replicas each has; one replica's log, all attempts in turn. */
wk_app_status *wk__kept_describe(const char *url);
wk_log_stream *wk__kept_log_open(const char *url, const char *role, int replica, wk_log_kind kind);
/* Make the copies of workspaces that it runs in. */
wk_status wk__request_copy_workspaces(const wk_request *request);
/* Fields separated by NUL: an argument holds any other byte. */
wk_status wk__request_write(const wk_request *request, const char *path);
wk_request *wk__request_read(const char *path);
char *wk__arena_text(wk__arena *arena, const char *format, ...) WK_PRINTF(2, 3);

/* schedule, describe, log_open, cancel, list of every scheduler that has a supervisor. */
wk_status wk__supervised_schedule(wk_request *request);
wk_app_status *wk__supervised_describe(const char *app_id);
wk_log_stream *wk__supervised_log_open(const char *app_id, const char *role, int replica, wk_log_kind kind);
wk_status wk__supervised_cancel(const char *app_id);
wk_status wk__supervised_list(const char *scheduler, wk_app_entry **entries, size_t *count);
wk_status wk__local_list(wk_app_entry **entries, size_t *count);
wk_status wk__mpi_list(wk_app_entry **entries, size_t *count);
/* A program of PATH, or a path to one, as a path; NULL (no error) if there is none. */
const char *wk__program_path(wk__arena *arena, const char *name);

/* ---- process/ ---- */
/* Physical cores this process may run on, at least 1. */
int wk__core_count(void);
/* Path of the wick binary: this one, or the one beside the library. */
wk_status wk__wick_path(char *path, size_t size);
/* Send the signal to every descendant of this process; how many there were. */
int wk__signal_descendants(int signal);
/* TERM to all descendants, KILL after `grace` seconds, until none is left and all are reaped. */
void wk__end_descendants(double grace);
/* pid and start time (clock ticks since boot): a pair that is never reused.  0: no such process. */
uint64_t wk__process_start(pid_t pid);
const char *wk__signal_name(int signal);
void wk__sleep(double seconds);

typedef struct wk__command {
    int code; /* 128 + signal if one ended it */
    wk_text out, err;
} wk__command;
/* Run a program of $PATH (NULL-terminated argv, empty stdin) to its end; WK_NOT_FOUND if there is none, WK_TIMEOUT
 * after that many seconds.  Free the command in any case. */
wk_status wk__command_run(const char *const *argv, double seconds, wk__command *command);
/* The same with more variables in its environment. */
wk_status wk__command_run_with(const char *const *argv, const wk_pair *env, size_t env_count, double seconds,
                               wk__command *command);
void wk__command_free(wk__command *command);

typedef struct wk__replica { /* content of the file `status` */
    int attempt;
    bool ended, stopped;
    int exit_code, signal;
    pid_t wrapper, pid;
    double started_at, ended_at;
    char host[128];
    char error[512];
} wk__replica;
wk_status wk__replica_write(const char *directory, const wk__replica *replica);
/* False if there is none (yet). */
bool wk__replica_read(const char *directory, wk__replica *replica);
/* Remove the container whose number its client left in a replica's folder, if it is still there; its exit code holds
 * the signal that ended the program (replica NULL: not asked). */
void wk__container_end(const char *directory, const char *client, wk__replica *replica);
/* Replace a file whole: readers see the old or the new one. */
wk_status wk__write_file(const char *path, const char *bytes, size_t size);
/* The file's content, or NULL (no error pending) if there is none. */
char *wk__read_file(const char *path, size_t most, size_t *size);
bool wk__exists(const char *path);

/* ---- state/ ---- */
const char *wk__state_dir(void);
/* <state>/apps/APP_ID[/REST] */
char *wk__app_path(const char *app_id, const char *rest);
wk_status wk__make_dirs(const char *path);
bool wk__is_on_network(const char *path);

typedef struct wk__record {
    char app_id[160], name[128], scheduler[32];
    wk_app_state state;
    int restarts;
    double created_at, ended_at;
    char message[2048];
} wk__record;
typedef struct wk__store wk__store;
wk__store *wk__store_open(void);
void wk__store_close(wk__store *store);
wk_status wk__store_insert(wk__store *store, const char *app_id, const char *name, const char *scheduler);
/* A terminal state stays; message NULL leaves the former. */
wk_status wk__store_update(wk__store *store, const char *app_id, wk_app_state state, int restarts, const char *message);
wk_status wk__store_get(wk__store *store, const char *app_id, wk__record *record);
/* scheduler NULL: all.  Newest first; free with wk_free. */
wk_status wk__store_list(wk__store *store, const char *scheduler, wk__record **records, size_t *count);
/* An app that is not over but whose supervisor is gone becomes FAILED, in the store and in the record. */
void wk__reconcile(wk__store *store, wk__record *record);
/* The state alone: what a waiting client polls. */
wk_status wk__app_state_of(const char *app_id, wk_app_state *state);
/* The same of an app of any scheduler, asked at its own price. */
wk_status wk__scheduler_state(const wk_scheduler_ops *scheduler, const char *app_id, wk_app_state *state);
/* The whole status of an app whose record is up to date, from its request and its replicas' files. */
wk_app_status *wk__status_of(const wk__record *record);
void wk__entry_of(const wk__record *record, wk_app_entry *entry);
/* "trainer/1 was killed by SIGKILL on host a after 3.2 s; …" */
char *wk__replica_sentence(const char *role, int replica, const wk__replica *status, const char *directory);
/* Message of a structured error file (TorchX's nested or flat form, else the text itself); NULL if there is none. */
char *wk__error_file_message(const char *path, int *code, char **json);
/* Last non-empty line of a file, "" if none. */
void wk__last_line(const char *path, char *line, size_t size);

/* Which lines of which replicas; all zero: all of them. */
typedef struct wk__log_filter {
    const char *role;     /* NULL: every role */
    const char *replicas; /* "0,2", NULL: every one of the role */
    bool only_out, only_err;
    const regex_t *regex; /* a line must match, NULL: any */
    bool colour;          /* of the replicas' names */
    bool times;           /* before each line, and lines in the order of time where all are there */
    double since, until;  /* seconds since 1970, 0: no limit */
    const char *log_dir;  /* read what was kept there; NULL: ask the scheduler */
} wk__log_filter;
/* Follow the logs of an app until it ends, or print what is there. */
wk_status wk__log_print(const wk_handle *handle, const wk__log_filter *filter, bool follow, int descriptor,
                        volatile sig_atomic_t *interrupted);
/* Is this a terminal on which colours are wished (NO_COLOR is not set)? */
bool wk__has_colour(int descriptor);

/* What reads a log; it begins a struct of whoever made it. */
struct wk_log_stream {
    wk_status (*read)(wk_log_stream *stream, char *bytes, size_t size, size_t *got);
    void (*close)(wk_log_stream *stream);
};
/* Of a log in files: the attempt of the byte read last, and the offset behind it; 0 and 0 of any other. */
void wk__log_where(const wk_log_stream *stream, int *attempt, int64_t *offset);

/* When lines were written (times.c).  The wrapper looks at both logs now and then and notes how far they have come. */
typedef struct wk__times wk__times;
/* Of the replica in this folder; to be looked at again at the time that it gives (wk_now). */
wk__times *wk__times_open(const char *directory);
double wk__times_note(wk__times *times);
void wk__times_close(wk__times *times);
/* Read them: the time of the byte at `offset` of an attempt's log, 0 if it is not known. */
typedef struct wk__times_reader wk__times_reader;
wk__times_reader *wk__times_read(const char *directory, wk_log_kind kind);
double wk__times_at(wk__times_reader *reader, int attempt, int64_t offset);
void wk__times_reader_close(wk__times_reader *reader);

struct json_t;
/* A text as a JSON string, bytes that are not UTF-8 as U+FFFD; a tree as JSON. */
struct json_t *wk__json_text(const char *text);
struct json_t *wk__json_of(const wk__yaml_node *node);
wk_status wk__store_remove(wk__store *store, const char *app_id);

typedef struct wk__event {
    const char *api; /* NULL: nobody listens */
    double start, clock;
    int64_t cpu;
} wk__event;
wk__event wk__event_begin(const char *api);
/* The pending error is part of what is told. */
void wk__event_end(const wk__event *event, const char *scheduler, const char *app_id, const wk_appdef *app);

/* ---- commands/ ---- */
/* The AppDef and what the scheduler would run, on stdout. */
wk_status wk__print_dryrun(const wk_appdef *app, const wk_scheduler_ops *scheduler, const wk_cfg *cfg);
/* "wick: MESSAGE" to stderr; 2. */
int wk__usage_error(const char *format, ...) WK_PRINTF(1, 2);

#endif
