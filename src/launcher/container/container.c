/* container.c: options of `podman` and `docker`, and their requests. */
#include "launcher/container/container.h"

#include <string.h>
#include <unistd.h>

static const wk_runopt options[] = {
    { "image", WK_RUNOPT_STRING, NULL, false, "image of roles that name none" },
    { "copy_env", WK_RUNOPT_LIST, NULL, false, "variables of this environment for the containers: AWS_*;HF_TOKEN" },
    { "env", WK_RUNOPT_DICT, NULL, false, "more variables: A:1,B:2" },
    { "privileged", WK_RUNOPT_BOOL, "no", false, "give the containers every right of the host" },
    { "network", WK_RUNOPT_STRING, "host", false,
      "host, none, or a network by name, which is made if it is not there; then replicas find each other by name" },
    { "init", WK_RUNOPT_BOOL, "yes", false, "a small init as first process, which passes signals on and reaps" },
    { "restart", WK_RUNOPT_STRING, NULL, false,
      "restart a container by itself: on-failure:3; max_retries restarts the whole app" },
    { "image_repo", WK_RUNOPT_STRING, NULL, false, "where to push images with a workspace in them" },
    { "args", WK_RUNOPT_LIST, NULL, false, "more arguments of `run`: args=\"--ulimit;nofile=20000\"" },
    { "grace", WK_RUNOPT_FLOAT, "5", false, "seconds between SIGTERM and SIGKILL when a replica must end" },
    WK__LOG_DIR,
};

static bool is_mode(const char *network) {
    static const char *const modes[] = { "host", "none", "bridge", "private", "slirp4netns", "pasta" };
    for (size_t i = 0; i < WK_COUNT(modes); i++)
        if (strcmp(network, modes[i]) == 0) return true;
    return strchr(network, ':') != NULL; /* container:ID, ns:PATH */
}

/* What schedule does before: the client, the network to make, and of each patch client, folder, base, name, push. */
static wk_status note_patches(wk__container_maker *m) {
    wk_request *r = m->request;
    const char *network = wk_cfg_string(m->cfg, "network");
    const char **at = wk__arena_take(&r->arena, (3 + 5 * r->role_count) * sizeof *at);
    r->patches = at;
    if (!at) return wk_error_code();
    *at++ = m->program;
    *at++ = is_mode(network) ? "" : wk__arena_text(&r->arena, "%s", network);
    for (size_t i = 0; i < r->role_count; i++) {
        const char *base = *m->app->roles[i].image ? m->app->roles[i].image : wk_cfg_string(m->cfg, "image");
        if (!r->roles[i].workspace_count) continue;
        *at++ = m->program;
        *at++ = r->roles[i].directory;
        *at++ = wk__arena_text(&r->arena, "%s", base);
        *at++ = m->images[i];
        *at++ = wk_cfg_string(m->cfg, "image_repo") ? "push" : "";
    }
    *at = NULL;
    return wk_error_code();
}

static wk_status fill(wk__container_maker *m) {
    wk_request *r = m->request;
    const char *network = wk_cfg_string(m->cfg, "network");
    r->grace = wk_cfg_float(m->cfg, "grace");
    m->images = wk__arena_take(&r->arena, (r->role_count + 1) * sizeof *m->images);
    if (!m->images) return wk_error_code();
    const char *path = wk__program_path(&r->arena, r->scheduler);
    m->program = path ? path : r->scheduler;
    for (size_t i = 0; i < r->role_count; i++) {
        const char *image = *m->app->roles[i].image ? m->app->roles[i].image : wk_cfg_string(m->cfg, "image");
        if (!image)
            return wk_fail(WK_CONFIG, "%s: role \"%s\" has no image (nor does -cfg image=… give one)", r->scheduler,
                           m->app->roles[i].name);
        m->images[i] = wk__arena_text(&r->arena, "%s", wk__container_patched(m, i));
    }
    if (strcmp(network, "host") != 0) { /* there the first replica of the first role is found by its name */
        char name[64];
        wk__container_name(r->app_id, r->roles[0].name, 0, name);
        r->master = wk__arena_text(&r->arena, "%s", name);
    }
    WK_TRY(wk__container_commands(m));
    return note_patches(m);
}

static wk_request *dryrun(const wk_appdef *app, const wk_cfg *cfg, const char *app_id, const char *scheduler) {
    wk_request *r = wk__request_new_contained(app, scheduler, app_id, NULL);
    wk__container_maker m = { .request = r, .app = app, .cfg = cfg, .docker = strcmp(scheduler, "docker") == 0 };
    if (r && fill(&m) == WK_OK && wk__request_keep_logs(r, cfg) == WK_OK) return r;
    wk_request_free(r);
    return NULL;
}

static wk_request *dryrun_podman(const wk_appdef *app, const wk_cfg *cfg, const char *app_id) {
    return dryrun(app, cfg, app_id, "podman");
}

static wk_request *dryrun_docker(const wk_appdef *app, const wk_cfg *cfg, const char *app_id) {
    return dryrun(app, cfg, app_id, "docker");
}

static wk_status schedule(wk_request *request) {
    WK_TRY(wk__container_prepare(request));
    return wk__supervised_schedule(request);
}

static wk_status list_podman(wk_app_entry **entries, size_t *count) {
    return wk__supervised_list("podman", entries, count);
}

static wk_status list_docker(wk_app_entry **entries, size_t *count) {
    return wk__supervised_list("docker", entries, count);
}

static const char *const honoured[] = {
    "image",          "port_map",     "mounts",           "workspace",    "resource.cpu",
    "resource.memMB", "resource.gpu", "resource.devices", "min_replicas", NULL
};

#define CONTAINER_OPS(program, words)                                                                            \
    {                                                                                                            \
        .api_version = WK_SCHEDULER_API, .size = sizeof(wk_scheduler_ops), .name = #program, .doc = words,       \
        .runopts = options, .runopt_count = WK_COUNT(options), .honoured = honoured, .dryrun = dryrun_##program, \
        .schedule = schedule, .describe = wk__supervised_describe, .log_open = wk__supervised_log_open,          \
        .cancel = wk__supervised_cancel, .list = list_##program,                                                 \
    }
const wk_scheduler_ops wk__podman = CONTAINER_OPS(podman, "containers of Podman on this machine");
const wk_scheduler_ops wk__docker = CONTAINER_OPS(docker, "containers of Docker on this machine");
