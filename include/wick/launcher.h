/* wick/launcher.h: start programs on one machine or many, watch them, read their logs, end them.
 *
 * The nouns are TorchX's.  An *AppDef* (YAML) has *roles*; a role is a program, its arguments and environment, run as
 * `num_replicas` *replicas*.  A *scheduler* turns an AppDef into a *request* (`dryrun`, pure) and runs it (`schedule`).
 * An *AppHandle*, `scheduler://session/app_id`, names what runs; it works from any process of the same user, because
 * the state lies on disk ($WICK_STATE_DIR, else $XDG_STATE_HOME/wick, else ~/.local/state/wick).
 *
 * What a replica finds in its environment: RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, GROUP_RANK, ROLE_NAME,
 * ROLE_RANK, ROLE_WORLD_SIZE, MASTER_ADDR, MASTER_PORT, TORCHELASTIC_RESTART_COUNT, TORCHELASTIC_MAX_RESTARTS,
 * TORCHELASTIC_RUN_ID, TORCHELASTIC_ERROR_FILE, TORCHX_JOB_ID, WICK_APP_ID, WICK_REPLICA_DIR and, unless set,
 * OMP_NUM_THREADS.  Rank and world are those of the role.
 */
#ifndef WICK_LAUNCHER_H
#define WICK_LAUNCHER_H

#include "wick/base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- AppDef ------------------------------------------------------------------------------------------------------ */

/* Numbers and names are TorchX's. */
#define WK_APP_STATE_MAP(X) \
    X(UNSUBMITTED, 0)       \
    X(SUBMITTED, 1)         \
    X(PENDING, 2)           \
    X(RUNNING, 3)           \
    X(SUCCEEDED, 4)         \
    X(FAILED, 5)            \
    X(CANCELLED, 6)         \
    X(UNKNOWN, 7)
typedef enum wk_app_state {
#define WK_APP_STATE_ENUM(name, number) WK_APP_##name = number,
    WK_APP_STATE_MAP(WK_APP_STATE_ENUM)
#undef WK_APP_STATE_ENUM
} wk_app_state;
/* "RUNNING"; "UNKNOWN" for a number that is no state. */
WK_API const char *wk_app_state_name(wk_app_state state);
/* Succeeded, failed or cancelled: nothing changes any more. */
WK_API bool wk_app_state_is_terminal(wk_app_state state);

typedef struct wk_pair {
    const char *key, *value;
} wk_pair;

typedef enum wk_value_type { WK_VALUE_STRING, WK_VALUE_INT, WK_VALUE_FLOAT, WK_VALUE_BOOL } wk_value_type;

/* "node.kubernetes.io/instance-type": what a machine must have, by a dotted name. */
typedef struct wk_capability {
    const char *key, *value;
    wk_value_type type; /* as YAML reads the value */
} wk_capability;

/* -1: not said. */
typedef struct wk_resource {
    int64_t cpu, gpu, memory_mb;
    const wk_capability *capabilities;
    const wk_pair *devices /* name -> count, in decimal */, *tags;
    size_t capability_count, device_count, tag_count;
} wk_resource;

/* The resource of a name: one registered, "gpu.small", "aws_p5.48xlarge", or a fraction of one: "aws_p5.48xlarge_2" is
 * two of its eight GPUs with a quarter of the rest.  WK_NOT_FOUND with the nearest name pending. */
WK_API wk_status wk_resource_named(const char *name, wk_resource *resource);
/* Give a name to a resource, for this process; it goes before the built-in ones.  Everything is copied. */
WK_API wk_status wk_resource_register(const char *name, const wk_resource *resource);
/* The value of NAMESPACE.NAME if it is of that type (an integer is a float too, a truth value is no integer);
 * WK_NOT_FOUND if there is none, WK_CONFIG if it is of another type. */
WK_API wk_status wk_capability_get(const wk_resource *resource, const char *name_space, const char *name,
                                   wk_value_type type, const char **value);

typedef enum wk_mount_type { WK_MOUNT_BIND, WK_MOUNT_VOLUME, WK_MOUNT_DEVICE } wk_mount_type;
typedef struct wk_mount {
    wk_mount_type type;
    const char *src, *dst;
    bool read_only;
    const char *permissions; /* of a device: letters of "rwm" */
} wk_mount;

/* What ends with a failed replica.  Schedulers that know only APPLICATION say so. */
typedef enum wk_retry_policy { WK_RETRY_APPLICATION, WK_RETRY_ROLE, WK_RETRY_REPLICA } wk_retry_policy;

typedef struct wk_role {
    const char *name, *image /* "" if not said */, *entrypoint;
    const char **args;
    size_t arg_count;
    wk_pair *env;
    size_t env_count;
    int64_t num_replicas, min_replicas /* 0: not said */, max_retries;
    wk_retry_policy retry_policy;
    wk_resource resource;
    wk_pair *port_map; /* values are decimal */
    size_t port_count;
    wk_mount *mounts;
    size_t mount_count;
    wk_pair *workspace; /* local folder -> folder below the copy, "" for the copy itself */
    size_t workspace_count;
    struct wk__yaml_node *metadata; /* a mapping, or NULL */
} wk_role;

typedef struct wk_appdef {
    const char *name;
    wk_role *roles;
    size_t role_count;
    struct wk__yaml_node *metadata; /* a mapping, or NULL */
    struct wk__yaml *document;      /* owns everything above */
} wk_appdef;

/* An AppDef of a YAML file, by path or URL (wick/files.h), checked; NULL with "file:line:column: …" pending.  Files
 * named under `defaults` are laid under it, and ${env:NAME} or ${env:NAME,otherwise} in a value is replaced. */
WK_API wk_appdef *wk_appdef_load(const char *path);
/* The same with changes: "GROUP=OPTION" chooses another file of a group of `defaults`; "name=x", "roles.0.args.1=x" or,
 * by a role's name, "roles.trainer.num_replicas=4" set a value. */
WK_API wk_appdef *wk_appdef_compose(const char *path, const char *const *overrides /* (count) */, size_t count);
/* From memory; there are no `defaults` then, since it lies in no folder. */
WK_API wk_appdef *wk_appdef_parse(const char *text, size_t size, const char *name);
/* Write it, with its secrets, to a file of mode 0600 that loads to an equal AppDef. */
WK_API wk_status wk_appdef_save(const wk_appdef *app, const char *path);
WK_API void wk_appdef_free(wk_appdef *app);
/* The AppDef as YAML, values of env that look like secrets as ***; loads again.  Free with wk_free. */
WK_API char *wk_appdef_dump(const wk_appdef *app);

/* What ${img_root}, ${app_id}, ${replica_id} and ${rank0_env} stand for. */
typedef struct wk_macros {
    const char *img_root, *app_id, *replica_id, *rank0_env;
} wk_macros;
/* The text with macros replaced: `$$` is `$`, unknown ones stay.  Free with wk_free. */
WK_API char *wk_macros_substitute(const wk_macros *macros, const char *text);
/* A copy of the AppDef, with macros replaced in args, values of env, and metadata of its roles. */
WK_API wk_appdef *wk_macros_apply(const wk_macros *macros, const wk_appdef *app);

/* ---- names ------------------------------------------------------------------------------------------------------- */

typedef struct wk_handle {
    char scheduler[32], session[64], app_id[160];
} wk_handle;
/* "mpi://wick/fashion-mnist-x7k2q…"; the session may be empty. */
WK_API wk_status wk_handle_parse(const char *text, wk_handle *handle);
/* Free with wk_free. */
WK_API char *wk_handle_format(const wk_handle *handle);
/* "NAME-" and 64 random bits of /dev/urandom in letters that a host name may hold. */
WK_API wk_status wk_make_unique(const char *name, char *id, size_t size);

/* ---- run options ------------------------------------------------------------------------------------------------- */

typedef enum wk_runopt_type {
    WK_RUNOPT_STRING,
    WK_RUNOPT_INT,
    WK_RUNOPT_FLOAT,
    WK_RUNOPT_BOOL,
    WK_RUNOPT_LIST, /* a,b or a;b */
    WK_RUNOPT_DICT  /* k:v,k2:v2 */
} wk_runopt_type;

typedef struct wk_runopt {
    const char *name;
    wk_runopt_type type;
    const char *initial; /* as text; NULL: none */
    bool required;
    const char *help;
} wk_runopt;

/* Values by name, checked against the scheduler's table, defaults filled in. */
typedef struct wk_cfg wk_cfg;
/* `k=v,k2=a;b,k3="x,y"`: the last , or ; before the next key parts two options; quotes protect.  NULL text: defaults.
 */
WK_API wk_cfg *wk_cfg_parse(const char *scheduler, const wk_runopt *options, size_t count, const char *text);
WK_API void wk_cfg_free(wk_cfg *cfg);
/* Typed values; NULL, 0, false or an empty list when neither given nor defaulted. */
WK_API const char *wk_cfg_string(const wk_cfg *cfg, const char *name);
WK_API int64_t wk_cfg_int(const wk_cfg *cfg, const char *name);
WK_API double wk_cfg_float(const wk_cfg *cfg, const char *name);
WK_API bool wk_cfg_bool(const wk_cfg *cfg, const char *name);
WK_API bool wk_cfg_is_set(const wk_cfg *cfg, const char *name);
WK_API const char *const *wk_cfg_list(const wk_cfg *cfg, const char *name, size_t *count);
WK_API const wk_pair *wk_cfg_dict(const wk_cfg *cfg, const char *name, size_t *count);

/* ---- status ------------------------------------------------------------------------------------------------------ */

typedef struct wk_replica_status {
    int id;
    wk_app_state state;
    const char *hostname;  /* "" before it ran */
    int exit_code, signal; /* of an ended one; signal 0 if it exited by itself */
    bool ended, stopped;   /* stopped: ended because its gang was */
    double started_at, ended_at;
    const char *error;      /* why it could not start, or the message of its structured error file; "" if neither */
    const char *error_json; /* its structured error file as it lies there; "" if none */
    int error_code;         /* of that file; 0 if none */
    const char *last_line;  /* of standard error, "" if none */
    const char *directory;  /* holds stdout.log, stderr.log, error.json */
} wk_replica_status;

typedef struct wk_role_status {
    const char *role;
    wk_replica_status *replicas;
    size_t replica_count;
} wk_role_status;

typedef struct wk_app_status {
    wk_app_state state;
    int num_restarts;
    const char *message, *structured_error, *ui_url; /* "" if none */
    wk_role_status *roles;
    size_t role_count;
    void *owner;
} wk_app_status;
WK_API void wk_app_status_free(wk_app_status *status);
/* TorchX's text, or its JSON (an object, with a newline).  Free with wk_free. */
WK_API char *wk_app_status_text(const wk_app_status *status);
WK_API char *wk_app_status_json(const wk_app_status *status);

typedef struct wk_app_entry {
    wk_handle handle;
    char name[128];
    wk_app_state state;
    double created_at;
} wk_app_entry;

/* ---- schedulers -------------------------------------------------------------------------------------------------- */

#define WK_SCHEDULER_API 1u

/* What would be submitted; made by dryrun, run by schedule, so that a dry run cannot differ from a run. */
typedef struct wk_request wk_request;
WK_API void wk_request_free(wk_request *request);
/* Commands and environment, secrets as ***.  Free with wk_free. */
WK_API char *wk_request_print(const wk_request *request);

typedef enum wk_log_kind { WK_LOG_STDOUT, WK_LOG_STDERR } wk_log_kind;
typedef struct wk_log_stream wk_log_stream;
/* Up to `size` bytes that are there now; 0 bytes: nothing more at the moment.  Never waits. */
WK_API wk_status wk_log_read(wk_log_stream *stream, char *bytes, size_t size, size_t *got);
WK_API void wk_log_close(wk_log_stream *stream);

typedef struct wk_scheduler_ops {
    uint32_t api_version, size; /* WK_SCHEDULER_API; size of the struct, as it was known */
    const char *name, *doc;
    const wk_runopt *runopts;
    size_t runopt_count;
    const char *const *honoured; /* fields of a role it acts on, of those named in docs/launcher.md; NULL-terminated */
    /* Pure: changes neither the AppDef nor anything else. */
    wk_request *(*dryrun)(const wk_appdef *app, const wk_cfg *cfg, const char *app_id);
    /* Starts it; the id is known to the store before. */
    wk_status (*schedule)(wk_request *request);
    wk_app_status *(*describe)(const char *app_id);
    wk_log_stream *(*log_open)(const char *app_id, const char *role, int replica, wk_log_kind kind);
    wk_status (*cancel)(const char *app_id);                  /* returns at once; no effect on an ended app */
    wk_status (*list)(wk_app_entry **entries, size_t *count); /* newest first; free with wk_free */
    double poll_seconds; /* least time between two describes by a waiting client; 0: the store is asked, for free */
    /* Remove what the scheduler keeps of an ended app; NULL, or a struct that ends before it: nothing. */
    wk_status (*forget)(const char *app_id);
} wk_scheduler_ops;

/* The scheduler of that name, or NULL with an error that names those there are. */
WK_API const wk_scheduler_ops *wk_scheduler(const char *name);
/* Add one (static storage; another api_version is refused). */
WK_API wk_status wk_scheduler_register(const wk_scheduler_ops *ops);

/* ---- runner ------------------------------------------------------------------------------------------------------ */

/* What would run, under a handle that is new; cfg NULL for defaults.  Nothing happens yet. */
WK_API wk_request *wk_app_dryrun(const wk_appdef *app, const char *scheduler, const wk_cfg *cfg, wk_handle *handle);
/* Store it and start it, as wk_app_dryrun made it or as it was changed since. */
WK_API wk_status wk_app_schedule(wk_request *request, const wk_handle *handle);
/* Both.  cfg is text as after -cfg, NULL for defaults. */
WK_API wk_status wk_app_run(const wk_appdef *app, const char *scheduler, const char *cfg, wk_handle *handle);
/* NULL with WK_NOT_FOUND pending if there is no such app. */
WK_API wk_app_status *wk_app_describe(const wk_handle *handle);
/* Returns when the app has ended, or with WK_TIMEOUT after that many seconds (0: no limit). */
WK_API wk_status wk_app_wait(const wk_handle *handle, double seconds, wk_app_state *state);
WK_API wk_status wk_app_cancel(const wk_handle *handle);
/* Forget an app: cancel it, wait for its end (30 s at most), remove its logs and its row. */
WK_API wk_status wk_app_delete(const wk_handle *handle);
/* The AppDef that it was started from, values of secret variables as ***. */
WK_API wk_appdef *wk_app_definition(const wk_handle *handle);

/* The AppDef of a component ("utils.echo", "file.yaml:name", one of WICK_COMPONENT_PATH) and its arguments. */
WK_API wk_appdef *wk_component_build(const char *name, int argc, char *const *argv);

/* ---- commands of `wick`: argv[0] is the command's name; return the exit code --------------------------------------
 */

WK_API int wk_run_main(int argc, char **argv);
WK_API int wk_status_main(int argc, char **argv);
WK_API int wk_log_main(int argc, char **argv);
WK_API int wk_list_main(int argc, char **argv);
WK_API int wk_cancel_main(int argc, char **argv);
WK_API int wk_builtins_main(int argc, char **argv);
WK_API int wk_runopts_main(int argc, char **argv);
WK_API int wk_component_main(int argc, char **argv);
WK_API int wk_configure_main(int argc, char **argv);
WK_API int wk_describe_main(int argc, char **argv);
WK_API int wk_delete_main(int argc, char **argv);
WK_API int wk_agent_main(int argc, char **argv);
WK_API int wk_tracker_main(int argc, char **argv);
/* What the component utils.compute_world_size runs. */
WK_API int wk_world_main(int argc, char **argv);
WK_API int wk_pipeline_main(int argc, char **argv);
WK_API int wk_copy_main(int argc, char **argv);
WK_API int wk_monitor_main(int argc, char **argv);
WK_API int wk_serve_push_main(int argc, char **argv);
WK_API int wk_top_main(int argc, char **argv);
WK_API int wk_completion_main(int argc, char **argv);
WK_API int wk_man_main(int argc, char **argv);
/* The two that wick starts itself with: the supervisor of an app, and what stands around each replica. */
WK_API int wk_supervise_main(int argc, char **argv);
WK_API int wk_rank_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
