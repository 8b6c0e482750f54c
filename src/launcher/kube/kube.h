/* kube.h: the scheduler `kubernetes`: an app as objects of a cluster.
 *
 * names.c makes names that a cluster takes, pod.c a role's pods, env.c what they find in their environment, manifest.c
 * the objects around them, mpi.c those of an MPIJob; kubernetes.c has the options and the dry run.  config.c and
 * login.c read the kubeconfig, api.c speaks to the server, submit.c creates, watch.c follows what becomes of it,
 * state.c judges it, job.c tells and ends it, log.c reads.
 *
 * The image needs no wick: the number of a replica comes from the cluster (an annotation of its pod, which Kubernetes
 * puts into RANK), its end is read off the pod, and a structured error arrives as the container's termination message.
 * What is learnt is written where the other schedulers keep it, so status and messages survive the pods.
 */
#ifndef WICK_SRC_LAUNCHER_KUBE_H
#define WICK_SRC_LAUNCHER_KUBE_H

#include "launcher/net/http.h"

struct json_t;

/* ---- what there is to submit ---- */

typedef enum wk__kube_kind { WK__KUBE_JOB, WK__KUBE_JOBSET, WK__KUBE_MPIJOB, WK__KUBE_VOLCANO } wk__kube_kind;
enum { WK__KUBE_KINDS = 4, WK__KUBE_NAME = 63 /* the longest name of a host */ };

typedef struct wk__kube_type {
    const char *api_version, *kind; /* of the object */
    const char *folder;             /* "/apis/batch/v1/namespaces/" */
    const char *plural;
} wk__kube_type;
/* Of a kind of app, and of an object by its own words; NULL if wick makes no such object. */
const wk__kube_type *wk__kube_type_of(wk__kube_kind kind);
const wk__kube_type *wk__kube_type_named(const char *api_version, const char *kind);
/* "job", "jobset", "mpijob", "volcano". */
extern const char *const wk__kube_kind_names[WK__KUBE_KINDS];

/* Lower-case letters, digits and -, at most `room` characters: what is too long loses its middle, never its end. */
WK_API void wk__kube_name(const char *text, size_t room, char name[WK__KUBE_NAME + 1]);
/* A role's name within others, at most 24 characters. */
void wk__kube_role(const char *role, size_t index, char name[WK__KUBE_NAME + 1]);
/* "APP-ROLE" for a role's object; its pods' names, with their numbers, are names of hosts. */
WK_API void wk__kube_role_name(const char *app_id, const char *role, size_t index, int64_t replicas,
                               char name[WK__KUBE_NAME + 1]);
/* A text that may be a label's value. */
WK_API void wk__kube_label(const char *text, char label[WK__KUBE_NAME + 1]);

typedef struct wk__kube_maker {
    wk_request *request;
    const wk_appdef *app;
    const wk_cfg *cfg;
    wk__kube_kind kind;
    const char *name_space, *marker;
    char name[WK__KUBE_NAME + 1];
    wk__yaml *doc; /* of the object being made */
} wk__kube_maker;

/* Nodes put into a tree; a missing parent (no memory) is passed on, the error stays pending. */
wk__yaml_node *wk__kube_map(wk__kube_maker *m, wk__yaml_node *parent, const char *key);
wk__yaml_node *wk__kube_list(wk__kube_maker *m, wk__yaml_node *parent, const char *key);
void wk__kube_text(wk__kube_maker *m, wk__yaml_node *parent, const char *key, const char *text);
void wk__kube_number(wk__kube_maker *m, wk__yaml_node *parent, const char *key, int64_t number);
void wk__kube_flag(wk__kube_maker *m, wk__yaml_node *parent, const char *key, bool flag);
/* name, labels of the app and, role >= 0, of its role. */
wk__yaml_node *wk__kube_metadata(wk__kube_maker *m, wk__yaml_node *parent, const char *name, int role, int replica);

/* The template {metadata, spec} of a role's pods.  replica < 0: each learns its number from an annotation. */
wk_status wk__kube_pod(wk__kube_maker *m, wk__yaml_node *template, size_t role, int replica);
void wk__kube_env(wk__kube_maker *m, wk__yaml_node *env, size_t role, int replica);
void wk__kube_variable(wk__kube_maker *m, wk__yaml_node *env, const char *name, const char *value);
/* As an argument or variable must be written: `$` doubled, the marker as $(RANK). */
const char *wk__kube_escape(wk__kube_maker *m, const char *text);
/* Sets request->script: all objects, as YAML, parted by lines "---"; values of the Secret are ***. */
wk_status wk__kube_manifest(wk__kube_maker *m);
wk_status wk__kube_mpijob(wk__kube_maker *m, wk__yaml_node *root);
/* Has a role secret variables?  They travel in a Secret, each under "INDEX.NAME". */
bool wk__kube_has_secrets(const wk_request *request);
/* The host of rank 0 of a role. */
const char *wk__kube_master(wk__kube_maker *m, size_t role);

/* ---- the server ---- */

typedef struct wk__kube {
    wk__arena arena;
    wk__http_server server;
    const char *name_space;
    const char *kubeconfig, *context; /* as asked for; NULL */
    wk__yaml *files[16];              /* as read */
    size_t file_count;
    const wk__yaml *exec_file;
    const wk__yaml_node *exec; /* of the user: a plug-in to ask before the first call; NULL */
    bool logged_in;
} wk__kube;
/* By a kubeconfig ($KUBECONFIG, ~/.kube/config) or, inside a pod, its service account.  Asks nobody. */
WK_API wk__kube *wk__kube_open(const char *kubeconfig, const char *context);
WK_API void wk__kube_close(wk__kube *kube);
/* Run the exec plug-in of the user and take token or certificate from its answer. */
wk_status wk__kube_login(wk__kube *kube);
/* Base64 as text, in the arena; NULL with an error. */
char *wk__kube_decode(wk__arena *arena, const char *text, const char *what);

/* One call.  Statuses below 400, and `bear` if it is that one, are WK_OK; else the server's message is the error.
 * *out (NULL: not wanted) is to be freed with json_decref. */
WK_API wk_status wk__kube_call(wk__kube *kube, const char *method, const char *path, const struct json_t *body,
                               long bear, long *status, struct json_t **out);

/* ---- what becomes of it ---- */

typedef struct wk__kube_app { /* where an app's objects lie: the file `cluster` in its directory */
    char app_id[160], name[WK__KUBE_NAME + 1], name_space[WK__KUBE_NAME + 1], kubeconfig[1024], context[256];
    wk__kube_kind kind;
} wk__kube_app;
bool wk__kube_app_read(const char *app_id, wk__kube_app *app);
wk_status wk__kube_app_write(const wk__kube_app *app);
/* The cluster of an app, kept open in this process. */
wk__kube *wk__kube_of(const wk__kube_app *app);

/* The app's objects (pods: its pods) by name: a list at first (fresh: again), then what a watch tells.  Owned by the
 * cache, good until the next call. */
wk_status wk__kube_look(wk__kube *kube, const wk__kube_app *app, bool pods, bool fresh, const struct json_t **items);

typedef struct wk__kube_answer {
    wk_app_state state; /* WK_APP_UNKNOWN: there is no object */
    int restarts;
    char reason[512];
} wk__kube_answer;
/* What the controllers of objects (by name) say. */
WK_API void wk__kube_judge(wk__kube_kind kind, const struct json_t *objects, wk__kube_answer *answer);
typedef struct wk__kube_pod_state {
    int role, replica; /* -1: not one of the app's replicas */
    bool started, waiting;
    wk__replica told;
    char reason[400];    /* why it waits or failed, in the cluster's words */
    const char *message; /* the termination message; NULL */
    double created;
} wk__kube_pod_state;
WK_API void wk__kube_judge_pod(const struct json_t *pod, wk__kube_pod_state *state);

wk_status wk__kube_schedule(wk_request *request);
wk_app_status *wk__kube_describe(const char *app_id);
wk_log_stream *wk__kube_log_open(const char *app_id, const char *role, int replica, wk_log_kind kind);
wk_status wk__kube_cancel(const char *app_id);
wk_status wk__kube_forget(const char *app_id);
wk_status wk__kube_list_apps(wk_app_entry **entries, size_t *count);

#endif
