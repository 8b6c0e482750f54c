/* kubernetes.c: options, and the request that a dry run shows: the objects as they would be submitted. */
#include "launcher/kube/kube.h"
#include "launcher/slurm/slurm.h"

#include <string.h>

static const wk_runopt options[] = {
    { "kind", WK_RUNOPT_STRING, "job", false,
      "what the app becomes: job (an indexed Job a role), jobset (JobSet), mpijob (Kubeflow v2beta1), volcano" },
    { "namespace", WK_RUNOPT_STRING, NULL, false, "namespace; else that of the kubeconfig's context" },
    { "queue", WK_RUNOPT_STRING, NULL, false, "queue of Volcano (required there), or of Kueue" },
    { "image", WK_RUNOPT_STRING, NULL, false, "image of roles that name none" },
    { "service_account", WK_RUNOPT_STRING, NULL, false, "account that pods run under" },
    { "priority_class", WK_RUNOPT_STRING, NULL, false, "priority class of the pods" },
    { "validate_spec", WK_RUNOPT_BOOL, "yes", false, "have the server check everything before anything is created" },
    { "reserved_millicpu", WK_RUNOPT_INT, "100", false,
      "how much less than its limit a container requests: CPU / 1000" },
    { "reserved_memmb", WK_RUNOPT_INT, "1024", false, "the same of memory, in MB" },
    { "efa_device_count", WK_RUNOPT_INT, NULL, false, "EFA devices of a pod; 0 takes away those of the resource" },
    { "ttl", WK_RUNOPT_INT, NULL, false, "seconds after which the cluster forgets an ended app" },
    { "grace", WK_RUNOPT_FLOAT, "30", false, "seconds between SIGTERM and SIGKILL" },
    WK__LOG_DIR_OF_CLUSTER,
    { "kubeconfig", WK_RUNOPT_STRING, NULL, false, "file that says where the cluster is; else $KUBECONFIG" },
    { "context", WK_RUNOPT_STRING, NULL, false, "context of the kubeconfig; else its current one" },
};

static wk_status read_kind(const wk_cfg *cfg, wk__kube_kind *kind) {
    const char *word = wk_cfg_string(cfg, "kind");
    for (int i = 0; i < WK__KUBE_KINDS; i++)
        if (strcmp(word, wk__kube_kind_names[i]) == 0) {
            *kind = (wk__kube_kind)i;
            return WK_OK;
        }
    const char *near = wk__nearest(word, wk__kube_kind_names, WK__KUBE_KINDS);
    return wk_fail(WK_CONFIG, "kubernetes: kind is job, jobset, mpijob or volcano, not \"%.40s\"%s%s%s", word,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* Two roles whose names a cluster cannot tell apart. */
static wk_status check_names(const wk_appdef *app) {
    char a[WK__KUBE_NAME + 1];
    char b[WK__KUBE_NAME + 1];
    for (size_t i = 0; i < app->role_count; i++)
        for (size_t k = 0; k < i; k++) {
            wk__kube_role(app->roles[i].name, i, a);
            wk__kube_role(app->roles[k].name, k, b);
            if (strcmp(a, b) == 0)
                return wk_fail(WK_CONFIG, "kubernetes: roles \"%s\" and \"%s\" are both \"%s\" there; rename one",
                               app->roles[k].name, app->roles[i].name, a);
        }
    return WK_OK;
}

/* The app's name leaves room for what controllers put behind it: -ROLE-0-NUMBER, -launcher-xxxxx. */
static void name_app(wk__kube_maker *m) {
    size_t longest = sizeof "launcher" - 1;
    int64_t most = 1;
    char text[WK__KUBE_NAME + 1];
    for (size_t i = 0; i < m->app->role_count; i++) {
        wk__kube_role(m->app->roles[i].name, i, text);
        if (strlen(text) > longest) longest = strlen(text);
        if (m->app->roles[i].num_replicas > most) most = m->app->roles[i].num_replicas;
    }
    size_t digits = (size_t)snprintf(text, sizeof text, "%lld", (long long)most);
    wk__kube_name(m->request->app_id, WK__KUBE_NAME - longest - digits - 8, m->name);
}

/* The namespace of the context counts where none is said; a dry run needs no cluster. */
static wk_status fill(wk__kube_maker *m) {
    wk__error aside = { 0 };
    m->name_space = wk_cfg_string(m->cfg, "namespace");
    WK_TRY(read_kind(m->cfg, &m->kind));
    WK_TRY(check_names(m->app));
    if (!m->name_space) {
        wk__error *former = wk__error_bind(&aside);
        wk__kube_app place = { 0 };
        (void)snprintf(place.kubeconfig, sizeof place.kubeconfig, "%s",
                       wk_cfg_string(m->cfg, "kubeconfig") ? wk_cfg_string(m->cfg, "kubeconfig") : "");
        (void)snprintf(place.context, sizeof place.context, "%s",
                       wk_cfg_string(m->cfg, "context") ? wk_cfg_string(m->cfg, "context") : "");
        const wk__kube *kube = wk__kube_of(&place);
        m->name_space = kube ? kube->name_space : "default";
        (void)wk__error_bind(former);
    }
    if (aside.code == WK_NO_MEMORY) return wk_fail(WK_NO_MEMORY, "%s", aside.message);
    name_app(m);
    return wk__kube_manifest(m);
}

/* What schedule must know besides the objects. */
static wk_status note_cluster(wk__kube_maker *m) {
    wk_request *r = m->request;
    const char *kubeconfig = wk_cfg_string(m->cfg, "kubeconfig");
    const char *context = wk_cfg_string(m->cfg, "context");
    const char *const words[] = { wk__kube_kind_names[m->kind], m->name, m->name_space, kubeconfig ? kubeconfig : "",
                                  context ? context : "" };
    r->cluster = wk__arena_take(&r->arena, WK_COUNT(words) * sizeof *r->cluster);
    if (!r->cluster) return wk_error_code();
    for (size_t i = 0; i < WK_COUNT(words); i++) r->cluster[i] = wk__arena_text(&r->arena, "%s", words[i]);
    r->preflight = wk_cfg_bool(m->cfg, "validate_spec");
    return wk_error_code();
}

static wk_request *dryrun(const wk_appdef *app, const wk_cfg *cfg, const char *app_id) {
    char marker[32];
    const char *kind = wk_cfg_string(cfg, "kind");
    bool each = strcmp(kind, "volcano") == 0; /* there each replica has a template of its own */
    wk__slurm_marker(app, marker, sizeof marker);
    wk_request *r = wk__request_new_contained(app, "kubernetes", app_id, each ? NULL : marker);
    wk__kube_maker m = { .request = r, .app = app, .cfg = cfg, .marker = each ? NULL : marker };
    if (r && fill(&m) == WK_OK && note_cluster(&m) == WK_OK && wk__request_keep_logs(r, cfg) == WK_OK) return r;
    wk_request_free(r);
    return NULL;
}

static const char *const honoured[] = { "image",
                                        "port_map",
                                        "mounts",
                                        "min_replicas",
                                        "retry_policy",
                                        "resource.cpu",
                                        "resource.memMB",
                                        "resource.gpu",
                                        "resource.devices",
                                        "resource.capabilities",
                                        NULL };

const wk_scheduler_ops wk__kubernetes = {
    .api_version = WK_SCHEDULER_API,
    .size = sizeof(wk_scheduler_ops),
    .name = "kubernetes",
    .doc = "Jobs, JobSets, MPIJobs or Volcano Jobs of a Kubernetes cluster",
    .runopts = options,
    .runopt_count = WK_COUNT(options),
    .honoured = honoured,
    .dryrun = dryrun,
    .schedule = wk__kube_schedule,
    .describe = wk__kube_describe,
    .log_open = wk__kube_log_open,
    .cancel = wk__kube_cancel,
    .list = wk__kube_list_apps,
    .poll_seconds = 0.5,
    .forget = wk__kube_forget,
};
