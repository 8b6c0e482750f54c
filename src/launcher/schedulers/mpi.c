/* mpi.c: the scheduler `mpi`: one mpirun starts every replica of every role as a rank.
 *
 * Each role is an application context of one mpirun, so all of them share MPI_COMM_WORLD and the hosts are Open MPI's
 * affair.  What mpirun starts is not the program but wick's wrapper, which knows the request from the app's directory:
 * on several hosts the state directory must therefore lie on a shared file system, at the same path.
 *
 * The flags, and why (measured on Open MPI 4.1.4):
 *   --bind-to none            the default pins each rank of a small job to one core, OpenMP threads included
 *   --oversubscribe           slots are cores; more ranks are refused without it, and with `--host h:n` in its place
 *     mpi_yield_when_idle 1   ranks believe to have a core each and spin: an all-reduce of 8 bytes took 23 ms, not 3 us
 *   pml ob1, btl self,vader,tcp   MPI_Init takes 110 ms in place of 315: no probing for fabrics (`-cfg mca=pml:ucx`
 *                             on a machine that has one)
 *   oob_tcp_keepalive_*       with a hostfile: a link that is cut is noticed after 5 s (2 of silence, 3 questions), not
 * 480 odls_base_sigkill_timeout 1   mpirun sleeps through it whole, so grace is given by Wick's wrappers instead
 */
#include "launcher/launcher.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const wk_runopt options[] = {
    { "hostfile", WK_RUNOPT_STRING, NULL, false, "hosts and slots, as Open MPI reads them; the first holds rank 0" },
    { "rsh", WK_RUNOPT_STRING, NULL, false,
      "program that runs a command on another host, in place of ssh: PROGRAM HOST COMMAND" },
    { "oversubscribe", WK_RUNOPT_BOOL, NULL, false,
      "allow more ranks than cores; unless given: when ranks exceed this machine's cores and there is no hostfile" },
    { "bind", WK_RUNOPT_STRING, "none", false, "what mpirun binds each rank to: none, core, socket, numa, …" },
    { "mca", WK_RUNOPT_DICT, NULL, false, "parameters of Open MPI: mca=\"pml:ucx;btl_tcp_if_include:eth0\"" },
    { "np", WK_RUNOPT_INT, NULL, false, "number of ranks in place of num_replicas, for an app of one role" },
    { "args", WK_RUNOPT_LIST, NULL, false, "more arguments for mpirun, before the first role" },
    { "mpirun", WK_RUNOPT_STRING, "mpirun", false, "the program, by name or path" },
    { "grace", WK_RUNOPT_FLOAT, "5", false, "seconds between SIGTERM and SIGKILL when a rank must end" },
    WK__LOG_DIR,
};

/* The program's full path, from $PATH unless it has a slash. */
const char *wk__program_path(wk__arena *arena, const char *name) {
    if (strchr(name, '/')) return access(name, X_OK) == 0 ? wk__arena_text(arena, "%s", name) : NULL;
    const char *path = getenv("PATH");
    while (path && *path) {
        size_t size = strcspn(path, ":");
        char *file = wk__arena_text(arena, "%.*s/%s", (int)size, path, name);
        if (!file || access(file, X_OK) == 0) return file;
        path += size + (path[size] == ':');
    }
    return NULL;
}

const char *wk__hostfile_first(const char *text, size_t *size) {
    for (const char *at = text; *at; at += strcspn(at, "\n")) {
        at += strspn(at, " \t\r\n");
        *size = strcspn(at, " \t\r\n#");
        if (*size) return at;
    }
    return NULL;
}

/* Where rank 0 will be. */
static wk_status first_host(wk_request *r, const char *hostfile) {
    size_t size = 0;
    char *text = wk__read_file(hostfile, 1 << 20, NULL);
    if (!text) return wk_fail(WK_CONFIG, "mpi: hostfile \"%s\" cannot be read", hostfile);
    const char *host = wk__hostfile_first(text, &size);
    if (host)
        r->master = wk__arena_text(&r->arena, "%.*s", (int)size, host);
    else
        (void)wk_fail(WK_CONFIG, "mpi: no host in %s; a line a host: NAME slots=N", hostfile);
    wk_free(text);
    return wk_error_code();
}

typedef struct command {
    wk_request *request;
    const wk_pair *mca;
    size_t mca_count;
} command;

static void push(command *c, const char *word) {
    c->request->launcher[c->request->launcher_count++] = word;
}

static void push_mca(command *c, const char *key, const char *value) {
    push(c, "--mca");
    push(c, wk__arena_text(&c->request->arena, "%s", key));
    push(c, wk__arena_text(&c->request->arena, "%s", value));
}

/* Unless the user says otherwise. */
static void push_mca_default(command *c, const char *key, const char *value) {
    for (size_t i = 0; i < c->mca_count; i++)
        if (strcmp(c->mca[i].key, key) == 0) return;
    push_mca(c, key, value);
}

static wk_status build_command(command *c, const wk_cfg *cfg, const char *mpirun, const char *directory) {
    wk_request *r = c->request;
    size_t extra_count = 0;
    const char *const *extra = wk_cfg_list(cfg, "args", &extra_count);
    r->launcher =
        wk__arena_take(&r->arena, (48 + 3 * c->mca_count + extra_count + 7 * r->role_count) * sizeof *r->launcher);
    if (!r->launcher) return wk_error_code();
    const char *hostfile = wk_cfg_string(cfg, "hostfile");
    const char *bind = wk_cfg_string(cfg, "bind");
    bool crowded = wk_cfg_is_set(cfg, "oversubscribe") ? wk_cfg_bool(cfg, "oversubscribe")
                                                       : !hostfile && wk__request_ranks(r) > wk__core_count();
    r->bound = strcmp(bind, "none") != 0;
    push(c, mpirun);
    push(c, "--bind-to");
    push(c, wk__arena_text(&r->arena, "%s", bind));
    if (crowded) {
        push(c, "--oversubscribe");
        push_mca_default(c, "mpi_yield_when_idle", "1");
    }
    push_mca_default(c, "pml", "ob1");
    push_mca_default(c, "btl", "self,vader,tcp");
    push_mca_default(c, "odls_base_sigkill_timeout", "1");
    if (hostfile) {
        push_mca_default(c, "oob_tcp_keepalive_time", "2");
        push_mca_default(c, "oob_tcp_keepalive_intvl", "1");
        push_mca_default(c, "oob_tcp_keepalive_probes", "3");
    }
    if (wk_cfg_is_set(cfg, "rsh")) push_mca_default(c, "plm_rsh_agent", wk_cfg_string(cfg, "rsh"));
    for (size_t i = 0; i < c->mca_count; i++) push_mca(c, c->mca[i].key, c->mca[i].value);
    if (hostfile) {
        push(c, "--hostfile");
        push(c, wk__arena_text(&r->arena, "%s", hostfile));
    }
    for (size_t i = 0; i < extra_count; i++) push(c, wk__arena_text(&r->arena, "%s", extra[i]));
    for (size_t i = 0; i < r->role_count; i++) {
        if (i) push(c, ":");
        push(c, "-n");
        push(c, wk__arena_text(&r->arena, "%d", r->roles[i].replicas));
        push(c, r->wick);
        push(c, "__rank");
        push(c, directory);
        push(c, r->roles[i].name);
    }
    push(c, NULL);
    r->launcher_count--;
    return wk_error_code();
}

/* The AppDef with another number of replicas, on a copy. */
static wk_appdef *with_replicas(const wk_appdef *app, int64_t replicas) {
    if (app->role_count != 1)
        return wk_fail_null(WK_CONFIG, "mpi: np=%lld is for an app of one role; this one has %zu: set num_replicas",
                            (long long)replicas, app->role_count);
    if (replicas < 1 || replicas > 100000)
        return wk_fail_null(WK_CONFIG, "mpi: np must be from 1 to 100000, not %lld", (long long)replicas);
    static const wk_macros none = { 0 };
    wk_appdef *copy = wk_macros_apply(&none, app);
    if (copy) copy->roles[0].num_replicas = replicas;
    return copy;
}

static wk_request *dryrun(const wk_appdef *app, const wk_cfg *cfg, const char *app_id) {
    bool override = wk_cfg_is_set(cfg, "np");
    wk_appdef *changed = override ? with_replicas(app, wk_cfg_int(cfg, "np")) : NULL;
    if (override && !changed) return NULL;
    wk_request *r = wk__request_new(changed ? changed : app, "mpi", app_id);
    char *directory = wk__app_path(app_id, NULL);
    /* Which host has which GPUs only mpirun knows: on several, a program takes those of its LOCAL_RANK. */
    if (r && !wk_cfg_string(cfg, "hostfile")) (void)wk__request_split_gpus(r, changed ? changed : app);
    wk_appdef_free(changed);
    if (!r || !directory || wk_failed() || wk__request_keep_logs(r, cfg) != WK_OK) goto failed;
    r->grace = wk_cfg_float(cfg, "grace");
    const char *name = wk_cfg_string(cfg, "mpirun");
    const char *mpirun = wk__program_path(&r->arena, name);
    if (!mpirun) {
        (void)wk_fail(WK_NOT_FOUND,
                      "mpi: no program \"%s\"; install Open MPI with tools/install-deps, or run without it: -s local",
                      name);
        goto failed;
    }
    const char *hostfile = wk_cfg_string(cfg, "hostfile");
    if (hostfile && first_host(r, hostfile) != WK_OK) goto failed;
    command c = { .request = r };
    c.mca = wk_cfg_dict(cfg, "mca", &c.mca_count);
    if (build_command(&c, cfg, mpirun, wk__arena_text(&r->arena, "%s", directory)) != WK_OK) goto failed;
    wk_free(directory);
    return r;
failed:
    wk_free(directory);
    wk_request_free(r);
    return NULL;
}

static const char *const honoured[] = { "port_map", "workspace", "resource.gpu", NULL };

const wk_scheduler_ops wk__mpi = {
    .api_version = WK_SCHEDULER_API,
    .size = sizeof(wk_scheduler_ops),
    .name = "mpi",
    .doc = "ranks of one mpirun, on this machine or the hosts of a hostfile",
    .runopts = options,
    .runopt_count = WK_COUNT(options),
    .honoured = honoured,
    .dryrun = dryrun,
    .schedule = wk__supervised_schedule,
    .describe = wk__supervised_describe,
    .log_open = wk__supervised_log_open,
    .cancel = wk__supervised_cancel,
    .list = wk__mpi_list,
};
