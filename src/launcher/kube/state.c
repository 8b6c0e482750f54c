/* state.c: what the cluster's objects say about an app and its replicas.  Nothing here asks anybody. */
#include "launcher/kube/kube.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *text(const json_t *object, const char *key) {
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static int number(const json_t *object, const char *key) {
    return (int)json_integer_value(json_object_get(object, key));
}

/* "2026-11-22T02:30:07Z" or with a fraction; 0 if it is none. */
static double time_of(const json_t *object, const char *key) {
    struct tm broken = { 0 };
    const char *word = text(object, key);
    if (sscanf(word, "%d-%d-%dT%d:%d:%d", &broken.tm_year, &broken.tm_mon, &broken.tm_mday, &broken.tm_hour,
               &broken.tm_min, &broken.tm_sec)
        != 6)
        return 0;
    broken.tm_year -= 1900;
    broken.tm_mon -= 1;
    return (double)timegm(&broken);
}

/* ---- objects ---- */

static const json_t *condition(const json_t *status, const char *type) {
    const json_t *list = json_object_get(status, "conditions");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (strcmp(text(item, "type"), type) == 0 && strcmp(text(item, "status"), "True") == 0) return item;
    }
    return NULL;
}

static void say(wk__kube_answer *a, const json_t *from) {
    const char *reason = text(from, "reason");
    const char *message = text(from, "message");
    (void)snprintf(a->reason, sizeof a->reason, "%s%s%s", reason, *reason && *message ? ": " : "", message);
}

/* Job, JobSet and MPIJob have conditions, each with a name of its own for success. */
static wk_app_state by_conditions(const json_t *status, wk__kube_answer *a) {
    static const char *const good[] = { "Complete", "Completed", "Succeeded" };
    const json_t *failed = condition(status, "Failed");
    for (size_t i = 0; i < WK_COUNT(good); i++)
        if (condition(status, good[i])) return WK_APP_SUCCEEDED;
    if (failed) {
        say(a, failed);
        return WK_APP_FAILED;
    }
    if (condition(status, "Suspended")) {
        (void)snprintf(a->reason, sizeof a->reason, "suspended");
        return WK_APP_PENDING;
    }
    return WK_APP_UNKNOWN; /* its pods tell */
}

static wk_app_state by_phase(const json_t *status, wk__kube_answer *a) {
    static const struct {
        const char *phase;
        wk_app_state state;
    } table[] = { { "Pending", WK_APP_PENDING },    { "Inqueue", WK_APP_PENDING },    { "Running", WK_APP_RUNNING },
                  { "Restarting", WK_APP_PENDING }, { "Completing", WK_APP_RUNNING }, { "Completed", WK_APP_SUCCEEDED },
                  { "Aborting", WK_APP_RUNNING },   { "Aborted", WK_APP_CANCELLED },  { "Terminating", WK_APP_RUNNING },
                  { "Terminated", WK_APP_FAILED },  { "Failed", WK_APP_FAILED } };
    const json_t *state = json_object_get(status, "state");
    const char *phase = text(state, "phase");
    for (size_t i = 0; i < WK_COUNT(table); i++)
        if (strcmp(phase, table[i].phase) == 0) {
            if (table[i].state == WK_APP_FAILED) say(a, state);
            if (table[i].state == WK_APP_FAILED && !*a->reason)
                (void)snprintf(a->reason, sizeof a->reason, "Volcano says %s", phase);
            return table[i].state;
        }
    return WK_APP_UNKNOWN;
}

/* Of several objects a failure counts, then whatever is not over. */
static void join(wk__kube_answer *all, const wk__kube_answer *one, bool first) {
    bool worse = one->state == WK_APP_FAILED && all->state != WK_APP_FAILED;
    bool livelier = all->state == WK_APP_SUCCEEDED && one->state != WK_APP_SUCCEEDED;
    int restarts = all->restarts > one->restarts ? all->restarts : one->restarts;
    if (first || worse || livelier) *all = *one;
    all->restarts = restarts;
}

void wk__kube_judge(wk__kube_kind kind, const json_t *objects, wk__kube_answer *answer) {
    const char *name = NULL;
    json_t *object = NULL;
    bool first = true;
    *answer = (wk__kube_answer){ .state = WK_APP_UNKNOWN };
    json_object_foreach((json_t *)(uintptr_t)objects, name, object) {
        wk__kube_answer one = { 0 };
        const json_t *status = json_object_get(object, "status");
        one.state = kind == WK__KUBE_VOLCANO ? by_phase(status, &one) : by_conditions(status, &one);
        if (one.state == WK_APP_UNKNOWN) one.state = WK_APP_SUBMITTED;
        one.restarts = kind == WK__KUBE_VOLCANO  ? number(status, "retryCount")
                       : kind == WK__KUBE_JOBSET ? number(status, "restarts")
                       : kind == WK__KUBE_JOB    ? number(status, "failed") - (one.state == WK_APP_FAILED)
                                                 : 0;
        join(answer, &one, first);
        first = false;
    }
}

/* ---- pods ---- */

/* Which replica: by our label, or by what a controller noted. */
static int index_of(const json_t *metadata) {
    static const struct {
        const char *map, *key;
    } places[] = { { "labels", "wick/replica" },
                   { "annotations", "batch.kubernetes.io/job-completion-index" },
                   { "labels", "batch.kubernetes.io/job-completion-index" } };
    const char *part = text(json_object_get(metadata, "labels"), "training.kubeflow.org/job-role");
    if (strcmp(part, "worker") == 0) return -1; /* of an MPIJob its launcher tells */
    for (size_t i = 0; i < WK_COUNT(places); i++) {
        const char *value = text(json_object_get(metadata, places[i].map), places[i].key);
        if (*value >= '0' && *value <= '9') return (int)strtol(value, NULL, 10);
    }
    return -1;
}

static void take_end(wk__kube_pod_state *s, const json_t *ended) {
    int code = number(ended, "exitCode");
    int signal = number(ended, "signal");
    const char *reason = text(ended, "reason");
    s->told.ended = true;
    s->told.ended_at = time_of(ended, "finishedAt");
    s->told.started_at = time_of(ended, "startedAt");
    s->told.signal = signal ? signal : code > 128 && code < 160 ? code - 128 : 0;
    s->told.exit_code = s->told.signal ? 0 : code;
    if (code && strcmp(reason, "Error") != 0) (void)snprintf(s->reason, sizeof s->reason, "%s", reason);
    if (strcmp(reason, "OOMKilled") == 0)
        (void)snprintf(s->told.error, sizeof s->told.error, "out of memory (OOMKilled)");
    s->message = json_string_value(json_object_get(ended, "message"));
}

static void take_container(wk__kube_pod_state *s, const json_t *status) {
    const json_t *container = json_array_get(json_object_get(status, "containerStatuses"), 0);
    const json_t *state = json_object_get(container, "state");
    const json_t *running = json_object_get(state, "running");
    const json_t *waiting = json_object_get(state, "waiting");
    const json_t *ended = json_object_get(state, "terminated");
    s->told.attempt = number(container, "restartCount");
    s->started = running || ended;
    if (running) s->told.started_at = time_of(running, "startedAt");
    if (ended) take_end(s, ended);
    if (!waiting) return;
    s->waiting = true;
    const char *message = text(waiting, "message");
    (void)snprintf(s->reason, sizeof s->reason, "%s%s%s", text(waiting, "reason"), *message ? ": " : "", message);
}

/* Not yet on a node: why (no room, no such volume). */
static void take_schedule(wk__kube_pod_state *s, const json_t *status) {
    const json_t *list = json_object_get(status, "conditions");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (strcmp(text(item, "type"), "PodScheduled") != 0 || strcmp(text(item, "status"), "False") != 0) continue;
        (void)snprintf(s->reason, sizeof s->reason, "%s: %s", text(item, "reason"), text(item, "message"));
        s->waiting = true;
    }
}

/* A pod that failed though no container of it ended by itself: evicted, its node lost. */
static void take_phase(wk__kube_pod_state *s, const json_t *status) {
    const char *phase = text(status, "phase");
    bool failed = strcmp(phase, "Failed") == 0;
    if (failed && !s->told.ended) {
        s->told.ended = true;
        s->told.exit_code = 1;
        (void)snprintf(s->told.error, sizeof s->told.error, "%s: %s", text(status, "reason"), text(status, "message"));
        (void)snprintf(s->reason, sizeof s->reason, "%s", text(status, "reason"));
        s->started = true;
    }
}

void wk__kube_judge_pod(const json_t *pod, wk__kube_pod_state *s) {
    const json_t *metadata = json_object_get(pod, "metadata");
    const json_t *status = json_object_get(pod, "status");
    const char *role = text(json_object_get(metadata, "labels"), "wick/role");
    *s = (wk__kube_pod_state){ .role = *role ? (int)strtol(role, NULL, 10) : -1,
                               .replica = index_of(metadata),
                               .created = time_of(metadata, "creationTimestamp") };
    (void)snprintf(s->told.host, sizeof s->told.host, "%s", text(json_object_get(pod, "spec"), "nodeName"));
    take_container(s, status);
    if (!s->started && !s->waiting) take_schedule(s, status);
    take_phase(s, status);
    if (json_object_get(metadata, "deletionTimestamp")) s->told.stopped = true;
}
