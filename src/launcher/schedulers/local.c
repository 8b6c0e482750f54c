/* local.c: the scheduler `local`: each replica is a process of this machine. */
#include "launcher/launcher.h"

static const wk_runopt options[] = {
    { "auto_set_cuda_visible_devices", WK_RUNOPT_BOOL, "true", false,
      "give each replica the GPUs that its role asks for" },
    { "grace", WK_RUNOPT_FLOAT, "5", false, "seconds between SIGTERM and SIGKILL when a replica must end" },
    WK__LOG_DIR,
};

static wk_request *dryrun(const wk_appdef *app, const wk_cfg *cfg, const char *app_id) {
    wk_request *request = wk__request_new(app, "local", app_id);
    if (!request) return NULL;
    request->grace = wk_cfg_float(cfg, "grace");
    if (wk_cfg_bool(cfg, "auto_set_cuda_visible_devices")) (void)wk__request_split_gpus(request, app);
    if (!wk_failed() && wk__request_keep_logs(request, cfg) == WK_OK) return request;
    wk_request_free(request);
    return NULL;
}

static const char *const honoured[] = { "port_map", "workspace", "resource.gpu", "min_replicas", NULL };

const wk_scheduler_ops wk__local = {
    .api_version = WK_SCHEDULER_API,
    .size = sizeof(wk_scheduler_ops),
    .name = "local",
    .doc = "processes on this machine",
    .runopts = options,
    .runopt_count = WK_COUNT(options),
    .honoured = honoured,
    .dryrun = dryrun,
    .schedule = wk__supervised_schedule,
    .describe = wk__supervised_describe,
    .log_open = wk__supervised_log_open,
    .cancel = wk__supervised_cancel,
    .list = wk__local_list,
};
