/* kubeflow.c: a pipeline for Kubeflow Pipelines (its compiled form, schema 2.1.0), and an AppDef as a component.
 *
 * A task there is one container, so a stage must be one role of one replica with an image.  Secret variables are left
 * out: a Secret of the cluster must hold them.
 */
#include "launcher/pipeline/pipeline.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Names of tasks are lower-case letters, digits and -. */
static const char *task_name(wk__arena *arena, const char *name) {
    char *kept = wk__arena_text(arena, "%s", name);
    for (char *at = kept; at && *at; at++) {
        if (*at >= 'A' && *at <= 'Z') *at = (char)(*at - 'A' + 'a');
        if (*at == '_' || *at == '.') *at = '-';
    }
    return kept;
}

static wk_status check(const wk_appdef *app, const char *name) {
    const wk_role *r = &app->roles[0];
    if (app->role_count != 1 || r->num_replicas != 1)
        return wk_fail(WK_UNSUPPORTED,
                       "kubeflow: \"%s\" must be one role of one replica: a task there is one container", name);
    return *r->image ? WK_OK : wk_fail(WK_CONFIG, "kubeflow: \"%s\" has no image", name);
}

static json_t *environment(const wk_role *r, const char *name) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->env_count; i++) {
        if (wk__is_secret(r->env[i].key)) {
            wk_log_write(WK_LOG_WARNING, "kubeflow: the secret variable %s of \"%s\" is left out", r->env[i].key, name);
            continue;
        }
        (void)json_array_append_new(
            list, json_pack("{s:s,s:o}", "name", r->env[i].key, "value", wk__json_text(r->env[i].value)));
    }
    return list;
}

static json_t *words(const wk_role *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->arg_count; i++) (void)json_array_append_new(list, wk__json_text(r->args[i]));
    return list;
}

static json_t *container(const wk_appdef *app, const char *name) {
    static const wk_macros macros = {
        .img_root = "", .app_id = "{{$.pipeline_job_uuid}}", .replica_id = "0", .rank0_env = "MASTER_ADDR"
    };
    wk_appdef *filled = check(app, name) == WK_OK ? wk_macros_apply(&macros, app) : NULL;
    if (!filled) return NULL;
    const wk_role *r = &filled->roles[0];
    json_t *need = json_object();
    json_t *out = json_pack("{s:s,s:[s],s:o,s:o}", "image", r->image, "command", r->entrypoint, "args", words(r), "env",
                            environment(r, name));
    if (r->resource.cpu > 0) (void)json_object_set_new(need, "cpuLimit", json_real((double)r->resource.cpu));
    if (r->resource.memory_mb > 0)
        (void)json_object_set_new(need, "memoryLimit", json_real((double)r->resource.memory_mb / 1000));
    if (r->resource.gpu > 0)
        (void)json_object_set_new(need, "accelerator",
                                  json_pack("{s:s,s:s,s:s,s:s}", "count", "1", "resourceCount", "1", "type",
                                            "nvidia.com/gpu", "resourceType", "nvidia.com/gpu"));
    json_t *accelerator = json_object_get(need, "accelerator");
    char count[24];
    (void)snprintf(count, sizeof count, "%lld", (long long)r->resource.gpu);
    if (accelerator) (void)json_object_set_new(accelerator, "count", json_string(count));
    if (accelerator) (void)json_object_set_new(accelerator, "resourceCount", json_string(count));
    if (json_object_size(need)) (void)json_object_set(out, "resources", need);
    json_decref(need);
    wk_appdef_free(filled);
    return out;
}

static json_t *task(wk__pipeline *p, const wk__stage *s) {
    const char *name = task_name(&p->arena, s->name);
    json_t *out = json_pack("{s:{s:b},s:{s:s+},s:{s:s}}", "cachingOptions", "enableCache", s->cache, "componentRef",
                            "name", "comp-", name, "taskInfo", "name", name);
    json_t *after = json_array();
    for (size_t i = 0; i < s->after_count; i++)
        (void)json_array_append_new(after, json_string(task_name(&p->arena, p->stages[s->after[i]].name)));
    if (s->after_count) (void)json_object_set(out, "dependentTasks", after);
    if (s->when == WK__WHEN_ALWAYS && s->after_count)
        (void)json_object_set_new(out, "triggerPolicy", json_pack("{s:s}", "strategy", "ALL_UPSTREAM_TASKS_COMPLETED"));
    if (s->retries)
        (void)json_object_set_new(out, "retryPolicy",
                                  json_pack("{s:s,s:f,s:s,s:I}", "backoffDuration", "0s", "backoffFactor", 2.0,
                                            "backoffMaxDuration", "3600s", "maxRetryCount", (json_int_t)s->retries));
    json_decref(after);
    return out;
}

static wk_status add_stage(wk__pipeline *p, wk__stage *s, json_t *components, json_t *executors, json_t *tasks) {
    if (s->when == WK__WHEN_FAILURE)
        return wk_fail(WK_UNSUPPORTED, "kubeflow: stage \"%s\" runs only after a failure, which there cannot be said",
                       s->name);
    if (s->adds)
        return wk_fail(WK_UNSUPPORTED, "kubeflow: stage \"%s\" adds stages, which there cannot be done", s->name);
    wk_appdef *app = wk__pipeline_app(p, s);
    json_t *inner = app ? container(app, s->name) : NULL;
    wk_appdef_free(app);
    if (!inner) return wk_error_code();
    const char *name = task_name(&p->arena, s->name);
    char key[300];
    (void)snprintf(key, sizeof key, "comp-%s", name);
    (void)json_object_set_new(components, key, json_pack("{s:s+}", "executorLabel", "exec-", name));
    (void)snprintf(key, sizeof key, "exec-%s", name);
    (void)json_object_set_new(executors, key, json_pack("{s:o}", "container", inner));
    (void)json_object_set_new(tasks, name, task(p, s));
    return WK_OK;
}

/* JSON is YAML. */
static char *print(json_t *root) {
    char *text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS);
    char *kept = text ? wk_format("%s\n", text) : NULL;
    free(text);
    json_decref(root);
    return kept;
}

char *wk__pipeline_kubeflow(wk__pipeline *p) {
    json_t *components = json_object();
    json_t *executors = json_object();
    json_t *tasks = json_object();
    wk_status status = WK_OK;
    for (size_t i = 0; i < p->count && status == WK_OK; i++)
        status = add_stage(p, &p->stages[i], components, executors, tasks);
    json_t *root = json_pack("{s:o,s:{s:o},s:{s:s},s:{s:{s:o}},s:s,s:s}", "components", components, "deploymentSpec",
                             "executors", executors, "pipelineInfo", "name", task_name(&p->arena, p->name), "root",
                             "dag", "tasks", tasks, "schemaVersion", "2.1.0", "sdkVersion", "kfp-2.7.0");
    if (status == WK_OK) return print(root);
    json_decref(root);
    return NULL;
}

char *wk__kubeflow_component(const wk_appdef *app) {
    wk__arena arena = { 0 };
    json_t *inner = container(app, app->name);
    const char *name = inner ? task_name(&arena, app->name) : NULL;
    json_t *root =
        name ? json_pack("{s:{s+:{s:s+}},s:{s:{s+:{s:o}}},s:{s:s},s:{s:{s:{s:{s:{s:b},s:{s:s+},s:{s:s}}}}},s:s,s:s}",
                         "components", "comp-", name, "executorLabel", "exec-", name, "deploymentSpec", "executors",
                         "exec-", name, "container", inner, "pipelineInfo", "name", name, "root", "dag", "tasks", name,
                         "cachingOptions", "enableCache", 1, "componentRef", "name", "comp-", name, "taskInfo", "name",
                         name, "schemaVersion", "2.1.0", "sdkVersion", "kfp-2.7.0")
             : NULL;
    wk__arena_destroy(&arena);
    return root ? print(root) : NULL;
}
