/* manifest.c: the objects of an app.
 *
 *   job      an indexed Job for each role, and a headless Service through which its pods find each other
 *   jobset   one JobSet with a replicated Job for each role: a failure ends, or starts anew, all of them together
 *   volcano  one Volcano Job with a task for each replica, as TorchX writes it
 *   mpijob   one MPIJob (mpi.c)
 *
 * and a Secret where a role has secret variables.  All of them bear the app's name as a label.
 */
#include "launcher/kube/kube.h"

#include <string.h>

const char *const wk__kube_kind_names[WK__KUBE_KINDS] = { "job", "jobset", "mpijob", "volcano" };

static const wk__kube_type types[] = {
    { "batch/v1", "Job", "/apis/batch/v1/namespaces/", "jobs" },
    { "jobset.x-k8s.io/v1alpha2", "JobSet", "/apis/jobset.x-k8s.io/v1alpha2/namespaces/", "jobsets" },
    { "kubeflow.org/v2beta1", "MPIJob", "/apis/kubeflow.org/v2beta1/namespaces/", "mpijobs" },
    { "batch.volcano.sh/v1alpha1", "Job", "/apis/batch.volcano.sh/v1alpha1/namespaces/", "jobs" },
    { "v1", "Secret", "/api/v1/namespaces/", "secrets" },
    { "v1", "Service", "/api/v1/namespaces/", "services" },
};

const wk__kube_type *wk__kube_type_of(wk__kube_kind kind) {
    return &types[kind];
}

const wk__kube_type *wk__kube_type_named(const char *api_version, const char *kind) {
    for (size_t i = 0; i < WK_COUNT(types); i++)
        if (strcmp(types[i].api_version, api_version) == 0 && strcmp(types[i].kind, kind) == 0) return &types[i];
    return NULL;
}

const char *wk__kube_master(wk__kube_maker *m, size_t role) {
    const wk_role *r = &m->app->roles[role];
    wk__arena *arena = &m->doc->arena;
    char name[WK__KUBE_NAME + 1];
    if (m->kind == WK__KUBE_JOB) {
        wk__kube_role_name(m->request->app_id, r->name, role, r->num_replicas, name);
        return wk__arena_text(arena, "%s-0.%s", name, m->name);
    }
    if (m->kind == WK__KUBE_MPIJOB) return wk__arena_text(arena, "%s-worker-0.%s", m->name, m->name);
    wk__kube_role(r->name, role, name);
    return wk__arena_text(arena, "%s-%s-0-0.%s", m->name, name, m->name); /* Volcano's too: task ROLE-0, pod 0 */
}

/* ---- one object ---- */

static wk__yaml_node *begin(wk__kube_maker *m, const char *api_version, const char *kind) {
    wk__yaml_node *root = wk__yaml_new(m->doc, WK__YAML_MAPPING, NULL);
    m->doc->root = root;
    wk__kube_text(m, root, "apiVersion", api_version);
    wk__kube_text(m, root, "kind", kind);
    return root;
}

static void put_ttl(wk__kube_maker *m, wk__yaml_node *spec) {
    if (wk_cfg_is_set(m->cfg, "ttl")) wk__kube_number(m, spec, "ttlSecondsAfterFinished", wk_cfg_int(m->cfg, "ttl"));
}

static wk_status put_job_spec(wk__kube_maker *m, wk__yaml_node *parent, size_t role) {
    const wk_role *r = &m->app->roles[role];
    wk__yaml_node *spec = wk__kube_map(m, parent, "spec");
    wk__kube_text(m, spec, "completionMode", "Indexed");
    wk__kube_number(m, spec, "completions", r->num_replicas);
    wk__kube_number(m, spec, "parallelism", r->num_replicas);
    wk__kube_number(m, spec, "backoffLimit", m->kind == WK__KUBE_JOB ? r->max_retries : 0);
    if (m->kind == WK__KUBE_JOB) put_ttl(m, spec);
    return wk__kube_pod(m, wk__kube_map(m, spec, "template"), role, -1);
}

static wk_status make_job(wk__kube_maker *m, size_t role) {
    const wk_role *r = &m->app->roles[role];
    char name[WK__KUBE_NAME + 1];
    wk__yaml_node *root = begin(m, types[WK__KUBE_JOB].api_version, types[WK__KUBE_JOB].kind);
    wk__kube_role_name(m->request->app_id, r->name, role, r->num_replicas, name);
    (void)wk__kube_metadata(m, root, name, (int)role, -1);
    return put_job_spec(m, root, role);
}

static int64_t least_retries(const wk_appdef *app) {
    int64_t least = app->roles[0].max_retries;
    for (size_t i = 1; i < app->role_count; i++)
        if (app->roles[i].max_retries < least) least = app->roles[i].max_retries;
    return least;
}

static wk_status make_jobset(wk__kube_maker *m, size_t unused) {
    (void)unused;
    wk__yaml_node *root = begin(m, types[WK__KUBE_JOBSET].api_version, types[WK__KUBE_JOBSET].kind);
    (void)wk__kube_metadata(m, root, m->name, -1, -1);
    wk__yaml_node *spec = wk__kube_map(m, root, "spec");
    wk__kube_number(m, wk__kube_map(m, spec, "failurePolicy"), "maxRestarts", least_retries(m->app));
    wk__yaml_node *network = wk__kube_map(m, spec, "network");
    wk__kube_flag(m, network, "enableDNSHostnames", true);
    wk__kube_flag(m, network, "publishNotReadyAddresses", true);
    put_ttl(m, spec);
    wk__yaml_node *jobs = wk__kube_list(m, spec, "replicatedJobs");
    for (size_t i = 0; i < m->app->role_count; i++) {
        char name[WK__KUBE_NAME + 1];
        wk__yaml_node *job = wk__kube_map(m, jobs, NULL);
        wk__kube_role(m->app->roles[i].name, i, name);
        wk__kube_text(m, job, "name", name);
        wk__kube_number(m, job, "replicas", 1);
        WK_TRY(put_job_spec(m, wk__kube_map(m, job, "template"), i));
    }
    return wk_error_code();
}

/* ---- Volcano ---- */

/* Without restarts a failure ends the gang; with them it starts anew what the policy says. */
static void put_policies(wk__kube_maker *m, wk__yaml_node *task, const wk_role *role) {
    static const char *const actions[] = { "RestartJob", "RestartTask", NULL };
    const char *action = role->max_retries > 0 ? actions[role->retry_policy] : "TerminateJob";
    static const char *const events[] = { "PodEvicted", "PodFailed" };
    wk__yaml_node *policies = wk__kube_list(m, task, "policies");
    for (size_t i = 0; i < WK_COUNT(events) && action; i++) {
        wk__yaml_node *policy = wk__kube_map(m, policies, NULL);
        wk__kube_text(m, policy, "action", action);
        wk__kube_text(m, policy, "event", events[i]);
    }
}

static wk_status put_task(wk__kube_maker *m, wk__yaml_node *tasks, size_t index, int k) {
    const wk_role *role = &m->app->roles[index];
    char name[WK__KUBE_NAME + 1];
    wk__yaml_node *task = wk__kube_map(m, tasks, NULL);
    wk__kube_role(role->name, index, name);
    wk__kube_text(m, task, "name", wk__arena_text(&m->doc->arena, "%s-%d", name, k));
    wk__kube_number(m, task, "replicas", 1);
    if (role->max_retries > 0) wk__kube_number(m, task, "maxRetry", role->max_retries);
    if (role->min_replicas > 0) wk__kube_number(m, task, "minAvailable", k < role->min_replicas);
    put_policies(m, task, role);
    return wk__kube_pod(m, wk__kube_map(m, task, "template"), index, k);
}

static wk_status make_volcano(wk__kube_maker *m, size_t unused) {
    (void)unused;
    const char *queue = wk_cfg_string(m->cfg, "queue");
    const char *priority = wk_cfg_string(m->cfg, "priority_class");
    if (!queue) return wk_fail(WK_CONFIG, "kubernetes: kind=volcano needs a queue: -cfg kind=volcano,queue=NAME");
    wk__yaml_node *root = begin(m, types[WK__KUBE_VOLCANO].api_version, types[WK__KUBE_VOLCANO].kind);
    (void)wk__kube_metadata(m, root, m->name, -1, -1);
    wk__yaml_node *spec = wk__kube_map(m, root, "spec");
    wk__kube_text(m, spec, "schedulerName", "volcano");
    wk__kube_text(m, spec, "queue", queue);
    if (priority) wk__kube_text(m, spec, "priorityClassName", priority);
    wk__kube_number(m, spec, "maxRetry", least_retries(m->app));
    put_ttl(m, spec);
    wk__yaml_node *plugins = wk__kube_map(m, spec, "plugins");
    (void)wk__kube_list(m, plugins, "env");
    wk__kube_text(m, wk__kube_list(m, plugins, "svc"), NULL, "--publish-not-ready-addresses");
    wk__yaml_node *tasks = wk__kube_list(m, spec, "tasks");
    for (size_t i = 0; i < m->app->role_count; i++)
        for (int k = 0; k < m->app->roles[i].num_replicas; k++) WK_TRY(put_task(m, tasks, i, k));
    return wk_error_code();
}

static wk_status make_mpijob(wk__kube_maker *m, size_t unused) {
    (void)unused;
    wk__yaml_node *root = begin(m, types[WK__KUBE_MPIJOB].api_version, types[WK__KUBE_MPIJOB].kind);
    (void)wk__kube_metadata(m, root, m->name, -1, -1);
    return wk__kube_mpijob(m, root);
}

/* ---- what goes with it ---- */

static wk_status make_service(wk__kube_maker *m, size_t unused) {
    (void)unused;
    wk__yaml_node *root = begin(m, "v1", "Service");
    (void)wk__kube_metadata(m, root, m->name, -1, -1);
    wk__yaml_node *spec = wk__kube_map(m, root, "spec");
    wk__kube_text(m, spec, "clusterIP", "None");
    wk__kube_flag(m, spec, "publishNotReadyAddresses", true);
    wk__kube_text(m, wk__kube_map(m, spec, "selector"), "app.kubernetes.io/instance", m->name);
    return wk_error_code();
}

static wk_status make_secret(wk__kube_maker *m, size_t unused) {
    (void)unused;
    wk__yaml_node *root = begin(m, "v1", "Secret");
    (void)wk__kube_metadata(m, root, m->name, -1, -1);
    wk__kube_text(m, root, "type", "Opaque");
    wk__yaml_node *data = wk__kube_map(m, root, "stringData");
    for (size_t i = 0; i < m->request->role_count; i++) {
        const wk__program *p = &m->request->roles[i].programs[0];
        for (size_t k = 0; k < p->env_count; k++)
            if (wk__is_secret(p->env[k].key))
                wk__kube_text(m, data, wk__arena_text(&m->doc->arena, "%zu.%s", i, p->env[k].key), "***");
    }
    return wk_error_code();
}

static wk_status add(wk__kube_maker *m, wk_text *out, wk_status (*make)(wk__kube_maker *, size_t), size_t role) {
    wk__yaml doc = { .name = m->app->document->name };
    m->doc = &doc;
    wk_status status = make(m, role);
    char *text = status == WK_OK ? wk__yaml_dump(doc.root) : NULL;
    if (text) wk_text_printf(out, "%s%s", out->size ? "---\n" : "", text);
    wk_free(text);
    wk__arena_destroy(&doc.arena);
    m->doc = NULL;
    return status == WK_OK ? wk_error_code() : status;
}

wk_status wk__kube_manifest(wk__kube_maker *m) {
    static wk_status (*const makers[])(wk__kube_maker *, size_t) = { make_job, make_jobset, make_mpijob, make_volcano };
    wk_text out = { 0 };
    size_t count = m->kind == WK__KUBE_JOB ? m->app->role_count : 1;
    wk_status status = wk__kube_has_secrets(m->request) ? add(m, &out, make_secret, 0) : WK_OK;
    if (status == WK_OK && m->kind == WK__KUBE_JOB) status = add(m, &out, make_service, 0);
    for (size_t i = 0; i < count && status == WK_OK; i++) status = add(m, &out, makers[m->kind], i);
    if (status == WK_OK) m->request->script = wk__arena_text(&m->request->arena, "%s", wk_text_get(&out));
    wk_text_free(&out);
    return status == WK_OK ? wk_error_code() : status;
}
