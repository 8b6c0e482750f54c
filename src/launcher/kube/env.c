/* env.c: what a container finds in its environment.
 *
 * Kubernetes replaces $(NAME) in values and arguments, and takes $$ for $; so every `$` of the user's is doubled, and
 * ${replica_id}, which differs from pod to pod, is written $(RANK).  RANK itself is read off an annotation that the Job
 * controller gives to the pods of an indexed Job.  Values of secret variables stand in the app's Secret alone.
 */
#include "launcher/kube/kube.h"

#include <ctype.h>
#include <string.h>

static const char field_path[] = "[FIELD_PATH]";
static const char job_index[] = "metadata.annotations['batch.kubernetes.io/job-completion-index']";
static const char set_restarts[] = "metadata.labels['jobset.sigs.k8s.io/restart-attempt']";

const char *wk__kube_escape(wk__kube_maker *m, const char *text) {
    wk_text out = { 0 };
    size_t size = m->marker ? strlen(m->marker) : 0;
    wk_text_puts(&out, "");
    for (const char *at = text; *at; at++) {
        if (size && strncmp(at, m->marker, size) == 0) {
            wk_text_puts(&out, "$(RANK)");
            at += size - 1;
        } else if (*at == '$')
            wk_text_puts(&out, "$$");
        else
            wk_text_add(&out, at, 1);
    }
    const char *kept = out.failed ? NULL : wk__arena_text(&m->doc->arena, "%s", out.data);
    wk_text_free(&out);
    return kept ? kept : "";
}

void wk__kube_variable(wk__kube_maker *m, wk__yaml_node *env, const char *name, const char *value) {
    wk__yaml_node *item = wk__kube_map(m, env, NULL);
    wk__kube_text(m, item, "name", name);
    wk__kube_text(m, item, "value", value);
}

static void put_field(wk__kube_maker *m, wk__yaml_node *env, const char *name, const char *path) {
    wk__yaml_node *item = wk__kube_map(m, env, NULL);
    wk__kube_text(m, item, "name", name);
    wk__yaml_node *from = wk__kube_map(m, item, "valueFrom");
    wk__kube_text(m, wk__kube_map(m, from, "fieldRef"), "fieldPath", path);
}

static void put_secret(wk__kube_maker *m, wk__yaml_node *env, size_t role, const char *name) {
    wk__yaml_node *item = wk__kube_map(m, env, NULL);
    wk__kube_text(m, item, "name", name);
    wk__yaml_node *ref = wk__kube_map(m, wk__kube_map(m, item, "valueFrom"), "secretKeyRef");
    wk__kube_text(m, ref, "name", m->name);
    wk__kube_text(m, ref, "key", wk__arena_text(&m->doc->arena, "%zu.%s", role, name));
}

static const char *number(wk__kube_maker *m, int64_t value) {
    return wk__arena_text(&m->doc->arena, "%lld", (long long)value);
}

static bool has(const wk__program *p, const char *name) {
    for (size_t i = 0; i < p->env_count; i++)
        if (strcmp(p->env[i].key, name) == 0) return true;
    return false;
}

static void put_rank(wk__kube_maker *m, wk__yaml_node *env, int replica) {
    if (m->kind == WK__KUBE_MPIJOB) return; /* mpirun tells each process */
    if (replica >= 0)
        wk__kube_variable(m, env, "RANK", number(m, replica));
    else
        put_field(m, env, "RANK", job_index);
    wk__kube_variable(m, env, "ROLE_RANK", "$(RANK)");
    wk__kube_variable(m, env, "GROUP_RANK", "$(RANK)");
    wk__kube_variable(m, env, "LOCAL_RANK", "0");
    wk__kube_variable(m, env, "LOCAL_WORLD_SIZE", "1");
}

static void put_place(wk__kube_maker *m, wk__yaml_node *env, size_t role, const wk__program *p) {
    const wk_role *r = &m->app->roles[role];
    const char *image = *r->image ? r->image : wk_cfg_string(m->cfg, "image");
    const wk_pair all[] = {
        { "WORLD_SIZE", number(m, r->num_replicas) },
        { "ROLE_WORLD_SIZE", number(m, r->num_replicas) },
        { "ROLE_NAME", wk__kube_escape(m, r->name) },
        { "MASTER_ADDR", wk__kube_master(m, role) },
        { "MASTER_PORT", "29500" },
        { "TORCHELASTIC_MAX_RESTARTS", number(m, r->max_retries) },
        { "TORCHELASTIC_RUN_ID", m->request->app_id },
        { "TORCHELASTIC_ERROR_FILE", "/dev/termination-log" },
        { "TORCHX_JOB_ID", wk__arena_text(&m->doc->arena, "kubernetes://%s/%s", WK__SESSION, m->request->app_id) },
        { "TORCHX_IMAGE", image ? wk__kube_escape(m, image) : "" },
        { "WICK_APP_ID", m->request->app_id },
        { "PYTHONUNBUFFERED", "1" },
    };
    for (size_t i = 0; i < WK_COUNT(all); i++)
        if (!has(p, all[i].key)) wk__kube_variable(m, env, all[i].key, all[i].value);
    if (r->resource.cpu > 0 && !has(p, "OMP_NUM_THREADS"))
        wk__kube_variable(m, env, "OMP_NUM_THREADS", number(m, r->resource.cpu));
    if (m->kind == WK__KUBE_JOBSET)
        put_field(m, env, "TORCHELASTIC_RESTART_COUNT", set_restarts);
    else if (!has(p, "TORCHELASTIC_RESTART_COUNT"))
        wk__kube_variable(m, env, "TORCHELASTIC_RESTART_COUNT", "0");
}

/* A name that the API takes: letters, digits, - _ . and no digit first. */
static wk_status check_name(const char *role, const char *name) {
    bool good = *name && !isdigit((unsigned char)*name);
    for (const char *at = name; *at; at++) good = good && (isalnum((unsigned char)*at) || strchr("-_.", *at));
    if (good) return WK_OK;
    return wk_fail(WK_CONFIG, "kubernetes: role \"%s\": a variable cannot be named \"%.80s\" there", role, name);
}

static wk_status check_secret(wk__kube_maker *m, const char *role, const wk_pair *pair) {
    if (!m->marker || !strstr(pair->value, m->marker)) return WK_OK;
    return wk_fail(WK_CONFIG,
                   "kubernetes: role \"%s\": the secret variable %s cannot hold ${replica_id}: a Secret is "
                   "the same for all pods",
                   role, pair->key);
}

void wk__kube_env(wk__kube_maker *m, wk__yaml_node *env, size_t role, int replica) {
    const wk__request_role *r = &m->request->roles[role];
    const wk__program *p = &r->programs[replica < 0 ? 0 : replica];
    put_rank(m, env, replica);
    put_place(m, env, role, p);
    for (size_t i = 0; i < p->env_count; i++) {
        const wk_pair *pair = &p->env[i];
        if (check_name(r->name, pair->key) != WK_OK) return;
        if (wk__is_secret(pair->key)) {
            if (check_secret(m, r->name, pair) != WK_OK) return;
            put_secret(m, env, role, pair->key);
        } else if (strncmp(pair->value, field_path, sizeof field_path - 1) == 0)
            put_field(m, env, pair->key, pair->value + sizeof field_path - 1);
        else
            wk__kube_variable(m, env, pair->key, wk__kube_escape(m, pair->value));
    }
}

bool wk__kube_has_secrets(const wk_request *request) {
    for (size_t i = 0; i < request->role_count; i++) {
        const wk__program *p = &request->roles[i].programs[0];
        for (size_t k = 0; k < p->env_count; k++)
            if (wk__is_secret(p->env[k].key)) return true;
    }
    return false;
}
