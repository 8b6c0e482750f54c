/* slurm.c: options, and the request that a dry run shows: the sbatch command and its script. */
#include "launcher/slurm/slurm.h"

#include <stdlib.h>
#include <string.h>

static const wk_runopt options[] = {
    { "account", WK_RUNOPT_STRING, NULL, false, "account to charge" },
    { "partition", WK_RUNOPT_STRING, NULL, false, "partition to run in" },
    { "time", WK_RUNOPT_STRING, NULL, false, "limit of run time: minutes, HH:MM:SS, days-hours" },
    { "comment", WK_RUNOPT_STRING, NULL, false, "comment of the job" },
    { "constraint", WK_RUNOPT_STRING, NULL, false, "features that nodes must have" },
    { "mail-user", WK_RUNOPT_STRING, NULL, false, "who gets mail" },
    { "mail-type", WK_RUNOPT_STRING, NULL, false, "about what: BEGIN, END, FAIL, …" },
    { "qos", WK_RUNOPT_STRING, NULL, false, "quality of service" },
    { "job_dir", WK_RUNOPT_STRING, NULL, false, "working directory of the batch script" },
    { "reservation", WK_RUNOPT_STRING, NULL, false, "reservation to run in" },
    { "nodelist", WK_RUNOPT_STRING, NULL, false, "nodes to run on" },
    { "exclude", WK_RUNOPT_STRING, NULL, false, "nodes not to run on" },
    { "dependency", WK_RUNOPT_STRING, NULL, false, "start after other jobs: afterok:123" },
    { "mpi", WK_RUNOPT_STRING, NULL, false, "how srun starts MPI programs: pmix, pmi2" },
    { "signal", WK_RUNOPT_STRING, NULL, false,
      "warn the programs before the time limit or a preemption: USR1@60, a signal and how many seconds before" },
    { "requeue", WK_RUNOPT_BOOL, NULL, false,
      "put the job back into the queue after a preemption or `signal`; failures are bounded by max_retries as ever" },
    { "container", WK_RUNOPT_STRING, NULL, false,
      "run roles in their images: pyxis (enroot; srun --container-image) or oci (srun --container, images are "
      "bundles)" },
    { "mem", WK_RUNOPT_BOOL, "yes", false, "ask for memory (resource.memMB); no where nodes do not declare theirs" },
    { "preflight", WK_RUNOPT_BOOL, "yes", false, "refuse a program that is not there on this machine" },
    { "sbatch", WK_RUNOPT_LIST, NULL, false, "more arguments for sbatch: --exclusive;--gres=gpu:2" },
    { "srun", WK_RUNOPT_LIST, NULL, false, "more arguments for srun: --cpu-bind=cores" },
    { "grace", WK_RUNOPT_FLOAT, "5", false, "seconds between SIGTERM and SIGKILL when a role must end for another" },
    WK__LOG_DIR_OF_CLUSTER,
    { "slurm_version", WK_RUNOPT_STRING, NULL, false, "write for this version (24.11), not for the one found here" },
};

/* sinfo says; where there is none, what most clusters have. */
static wk_status find_version(const wk_cfg *cfg, int *major, int *minor) {
    static const char *const argv[] = { "sinfo", "--version", NULL };
    const char *given = wk_cfg_string(cfg, "slurm_version");
    *major = 24;
    *minor = 5;
    if (given) {
        if (sscanf(given, "%d.%d", major, minor) == 2) return WK_OK;
        return wk_fail(WK_CONFIG, "slurm: slurm_version must be like 24.11, not \"%.40s\"", given);
    }
    wk__error aside = { 0 };
    wk__error *former = wk__error_bind(&aside);
    wk__command c;
    wk_status status = wk__command_run(argv, 10, &c);
    (void)wk__error_bind(former);
    if (aside.code == WK_NO_MEMORY) return wk_fail(WK_NO_MEMORY, "%s", aside.message);
    if (status == WK_OK) (void)wk__slurm_read_version(c.out.data, major, minor);
    wk__command_free(&c);
    return WK_OK;
}

/* "USR1@60" */
static wk_status read_signal(wk_request *r, wk__slurm_options *o) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    const char *text = wk_cfg_string(o->cfg, "signal");
    if (!text) return WK_OK;
    size_t size = strspn(text, letters);
    char *end = NULL;
    o->signal_seconds = text[size] == '@' ? strtoll(text + size + 1, &end, 10) : 60;
    if (!size || (text[size] && (text[size] != '@' || *end || end == text + size + 1)) || o->signal_seconds < 1
        || o->signal_seconds > 65535)
        return wk_fail(WK_CONFIG, "slurm: signal must be like USR1@60, not \"%.40s\"", text);
    o->signal = wk__arena_text(&r->arena, "%.*s", (int)size, text);
    return wk_error_code();
}

static wk_status fill(wk_request *r, const wk_appdef *app, const wk_cfg *cfg) {
    wk__slurm_options o = { .cfg = cfg };
    const char *container = wk_cfg_string(cfg, "container");
    if (container && strcmp(container, "pyxis") != 0 && strcmp(container, "oci") != 0)
        return wk_fail(WK_CONFIG, "slurm: container is pyxis or oci, not \"%.40s\"", container);
    WK_TRY(find_version(cfg, &o.major, &o.minor));
    WK_TRY(read_signal(r, &o));
    r->grace = wk_cfg_float(cfg, "grace");
    r->preflight = !container && wk_cfg_bool(cfg, "preflight");
    o.requeue = wk_cfg_bool(cfg, "requeue");
    for (size_t i = 0; i < app->role_count; i++) o.requeue = o.requeue || app->roles[i].max_retries > 0;
    WK_TRY(wk__request_keep_logs(r, cfg));
    return wk__slurm_script(r, app, &o);
}

static wk_request *dryrun(const wk_appdef *app, const wk_cfg *cfg, const char *app_id) {
    char marker[32];
    wk__slurm_marker(app, marker, sizeof marker);
    wk_request *r = wk__request_new_marked(app, "slurm", app_id, marker);
    if (r && fill(r, app, cfg) == WK_OK) return r;
    wk_request_free(r);
    return NULL;
}

static const char *const honoured[] = {
    "port_map", "workspace", "resource.cpu", "resource.memMB", "resource.gpu", NULL
};

const wk_scheduler_ops wk__slurm = {
    .api_version = WK_SCHEDULER_API,
    .size = sizeof(wk_scheduler_ops),
    .name = "slurm",
    .doc = "one sbatch job on a cluster with Slurm",
    .runopts = options,
    .runopt_count = WK_COUNT(options),
    .honoured = honoured,
    .dryrun = dryrun,
    .schedule = wk__slurm_schedule,
    .describe = wk__slurm_describe,
    .log_open = wk__supervised_log_open,
    .cancel = wk__slurm_cancel,
    .list = wk__slurm_list,
    .poll_seconds = 2,
};
