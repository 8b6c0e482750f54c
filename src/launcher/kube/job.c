/* job.c: what became of an app in its cluster, and its end.
 *
 * Each look writes what it learnt where the supervised schedulers keep it: a replica's `status`, its pod's name, its
 * structured error or the last lines it printed.  So an app's story stays when its pods are gone.
 *
 * A cancelled app is suspended: its pods end, its objects stay until `wick delete`.
 */
#include "launcher/kube/kube.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { SETTLE = 10 /* seconds until a new object must show */ };

typedef struct look {
    wk__kube_app app;
    wk_request *request;
    wk__kube_answer answer;
    wk__kube_pod_state *pods; /* (ranks): the newest of each replica */
    const char **names;       /* (ranks), of the pods */
    char waiting[400];        /* why a pod waits */
    int running, alive;
} look;

static bool is_cancelled(const char *app_id) {
    char *path = wk__app_path(app_id, "cancel");
    bool there = path && wk__exists(path);
    wk_free(path);
    return there;
}

/* ---- look ---- */

static void take_pod(look *l, const char *name, const json_t *pod) {
    wk__kube_pod_state s;
    wk__kube_judge_pod(pod, &s);
    bool known = s.role >= 0 && (size_t)s.role < l->request->role_count;
    if (!s.told.ended) l->alive++;
    if (!known || s.replica < 0 || s.replica >= l->request->roles[s.role].replicas) return;
    if (s.started && !s.told.ended) l->running++;
    if (s.waiting && *s.reason) (void)snprintf(l->waiting, sizeof l->waiting, "%s", s.reason);
    int rank = l->request->roles[s.role].first_rank + s.replica;
    const wk__kube_pod_state *other = &l->pods[rank];
    bool is_older = s.created < other->created || (s.created <= other->created && s.told.ended && !other->told.ended);
    if (l->names[rank] && is_older) return; /* times are whole seconds: of two in one, who still runs is the newer */
    l->pods[rank] = s;
    l->names[rank] = name;
}

/* ---- keep ---- */

static void write_in(const char *folder, const char *name, const char *text) {
    char *path = wk_format("%s/%s", folder, name);
    if (path) (void)wk__write_file(path, text, strlen(text));
    wk_free(path);
}

static bool is_equal(const wk__replica *a, const wk__replica *b) {
    return a->ended == b->ended && a->stopped == b->stopped && a->exit_code == b->exit_code && a->signal == b->signal
           && a->attempt == b->attempt && a->started_at >= b->started_at && a->started_at <= b->started_at
           && strcmp(a->host, b->host) == 0;
}

/* A termination message is the structured error that the program wrote, or the end of what it printed. */
static void keep_message(const char *folder, const char *message) {
    json_t *root = json_loads(message, 0, NULL);
    write_in(folder, json_object_get(root, "message") ? "error.json" : "stderr.log", message);
    json_decref(root);
}

static void keep_replica(look *l, const wk__request_role *role, int k, bool over) {
    int rank = role->first_rank + k;
    wk__replica before;
    wk__replica now = l->pods[rank].told;
    char rest[256];
    (void)snprintf(rest, sizeof rest, "%s/%d", role->name, k);
    char *folder = wk__app_path(l->app.app_id, rest);
    if (!folder) return;
    bool known = wk__replica_read(folder, &before);
    if (!l->names[rank] || (!l->pods[rank].started && !known)) {
        now = before; /* its pod is gone, or not yet there */
        if (over && known && !before.ended) now.ended = now.stopped = true;
    }
    if (over && known && !now.ended) now.ended = true, now.stopped = l->answer.state != WK_APP_SUCCEEDED;
    if (now.ended && now.ended_at <= 0) now.ended_at = wk_wall_time();
    if (l->names[rank]) write_in(folder, "pod", l->names[rank]);
    if (l->names[rank] && l->pods[rank].message && !(known && before.ended))
        keep_message(folder, l->pods[rank].message);
    bool any = known || (l->names[rank] && l->pods[rank].started);
    if (any && !(known && is_equal(&before, &now))) (void)wk__replica_write(folder, &now);
    wk_free(folder);
}

static void keep(look *l, bool over) {
    for (size_t i = 0; i < l->request->role_count; i++)
        for (int k = 0; k < l->request->roles[i].replicas; k++) keep_replica(l, &l->request->roles[i], k, over);
}

/* ---- both ---- */

static wk_status look_at_pods(look *l, wk__kube *k, bool fresh) {
    const json_t *pods = NULL;
    const char *name = NULL;
    json_t *pod = NULL;
    size_t ranks = (size_t)wk__request_ranks(l->request);
    l->running = l->alive = 0;
    *l->waiting = '\0';
    WK_TRY(wk__kube_look(k, &l->app, true, fresh, &pods));
    memset(l->pods, 0, (ranks + 1) * sizeof *l->pods); /* what they point to was of an earlier list */
    memset(l->names, 0, (ranks + 1) * sizeof *l->names);
    json_object_foreach((json_t *)(uintptr_t)pods, name, pod) take_pod(l, name, pod);
    return WK_OK;
}

static wk_status look_at(look *l) {
    const json_t *objects = NULL;
    size_t ranks = (size_t)wk__request_ranks(l->request);
    wk__kube *k = wk__kube_of(&l->app);
    l->pods = k ? wk_alloc((ranks + 1) * sizeof *l->pods) : NULL;
    l->names = l->pods ? wk_alloc((ranks + 1) * sizeof *l->names) : NULL;
    if (!l->names) return wk_error_code();
    WK_TRY(
        wk__kube_look(k, &l->app, false, false, &objects)); /* before the pods: who is not over may still have some */
    wk__kube_judge(l->app.kind, objects, &l->answer);
    WK_TRY(look_at_pods(l, k, false));
    /* the two watches are not in step: when an end is seen, the pods known may be those before the last restart */
    if (wk_app_state_is_terminal(l->answer.state)) {
        keep(l, false);
        WK_TRY(look_at_pods(l, k, true));
    }
    for (size_t i = 1; i < ranks && l->app.kind == WK__KUBE_MPIJOB; i++) { /* all start and end with the launcher */
        l->pods[i] = l->pods[0];
        l->names[i] = l->names[0];
    }
    return WK_OK;
}

/* ---- judge ---- */

/* "trainer/1 ended with exit code 3 …" of the first that failed by itself. */
static void culprit(const look *l, char *sentence, size_t room) {
    double first = 0;
    *sentence = '\0';
    for (size_t i = 0; i < l->request->role_count; i++)
        for (int k = 0; k < l->request->roles[i].replicas; k++) {
            char rest[256];
            wk__replica r;
            (void)snprintf(rest, sizeof rest, "%s/%d", l->request->roles[i].name, k);
            char *folder = wk__app_path(l->app.app_id, rest);
            bool failed = folder && wk__replica_read(folder, &r) && r.ended && !r.stopped && (r.exit_code || r.signal);
            if (failed && (first <= 0 || r.ended_at < first)) {
                char *text = wk__replica_sentence(l->request->roles[i].name, k, &r, folder);
                if (text) (void)snprintf(sentence, room, "%s", text);
                wk_free(text);
                first = r.ended_at;
            }
            wk_free(folder);
        }
}

static wk_app_state live_state(const look *l) {
    if (l->running) return WK_APP_RUNNING;
    if (*l->waiting || l->alive) return WK_APP_PENDING;
    return l->answer.state;
}

static void judge(look *l, wk__record *record) {
    bool cancelled = is_cancelled(record->app_id);
    wk_app_state state = l->answer.state;
    *record->message = '\0';
    record->restarts = l->answer.restarts;
    if (state == WK_APP_UNKNOWN) { /* no object */
        if (!cancelled && wk_wall_time() - record->created_at < SETTLE) return;
        state = cancelled ? WK_APP_CANCELLED : WK_APP_FAILED;
        (void)snprintf(record->message, sizeof record->message, "its objects are gone from the cluster");
    } else if (state == WK_APP_SUBMITTED)
        state = live_state(l);
    if (cancelled && (state == WK_APP_FAILED || (state != WK_APP_SUCCEEDED && !l->alive))) state = WK_APP_CANCELLED;
    keep(l, wk_app_state_is_terminal(state));
    record->state = state;
    if (state == WK_APP_CANCELLED) (void)snprintf(record->message, sizeof record->message, "cancelled");
    if (state == WK_APP_PENDING)
        (void)snprintf(record->message, sizeof record->message, "%s", *l->waiting ? l->waiting : l->answer.reason);
    if (state != WK_APP_FAILED || *record->message) return;
    char sentence[1400];
    culprit(l, sentence, sizeof sentence);
    (void)snprintf(record->message, sizeof record->message, "%s%s%s%s", sentence, *sentence ? " (" : "",
                   l->answer.reason, *sentence ? ")" : "");
}

static void refresh(wk__record *record) {
    look l = { 0 };
    char *path = wk__app_path(record->app_id, "request");
    bool placed = wk__kube_app_read(record->app_id, &l.app);
    if (!placed) {
        if (wk_wall_time() - record->created_at >= SETTLE) {
            record->state = WK_APP_FAILED;
            (void)snprintf(record->message, sizeof record->message, "never submitted: the client ended before");
        }
        wk_free(path);
        return;
    }
    l.request = path ? wk__request_read(path) : NULL;
    if (l.request && look_at(&l) == WK_OK) judge(&l, record);
    if (wk_failed() && wk_error_code() != WK_NO_MEMORY) {
        wk_log_write(WK_LOG_WARNING, "%s; the state is the last one known", wk_message());
        wk_clear_error();
    }
    wk_free(l.pods);
    wk_free(l.names);
    wk_request_free(l.request);
    wk_free(path);
}

static wk_status renew(wk__store *store, wk__record *record) {
    if (wk_app_state_is_terminal(record->state)) return WK_OK;
    refresh(record);
    return wk_failed() ? wk_error_code()
                       : wk__store_update(store, record->app_id, record->state, record->restarts, record->message);
}

wk_app_status *wk__kube_describe(const char *app_id) {
    wk__record record;
    wk__store *store = wk__store_open();
    if (!store) return NULL;
    wk_status status = wk__store_get(store, app_id, &record);
    if (status == WK_OK) status = renew(store, &record);
    wk__store_close(store);
    return status == WK_OK ? wk__status_of(&record) : NULL;
}

wk_status wk__kube_list_apps(wk_app_entry **entries, size_t *count) {
    wk__record *records = NULL;
    wk__store *store = wk__store_open();
    *entries = NULL;
    *count = 0;
    if (!store) return wk_error_code();
    wk_status status = wk__store_list(store, "kubernetes", &records, count);
    if (status == WK_OK && !(*entries = wk_alloc((*count + 1) * sizeof **entries))) status = wk_error_code();
    for (size_t i = 0; i < *count && status == WK_OK; i++) {
        status = renew(store, &records[i]);
        wk__entry_of(&records[i], &(*entries)[i]);
    }
    wk_free(records);
    wk__store_close(store);
    return status;
}
