/* script.c: the sbatch script.
 *
 * Each role is a text for bash that a step runs on every task: it sets who the replica is, runs the program, and writes
 * down how it ended.  The texts stand in here-documents with quoted ends, every word of the user's in single quotes
 * within, so whatever an argument holds arrives as it is; variables are exported by the text, since srun's --export
 * cannot hold commas.  Secrets are not in the script: tasks read them from a file of mode 0600 in the app's directory.
 *
 * Roles are steps of their own (of a het group each, if there are several): their ranks count from 0.  When one fails
 * the others get SIGTERM, their grace, and SIGKILL.
 */
#include "launcher/slurm/slurm.h"

#include <stdlib.h>
#include <string.h>

/* A line that ends the here-document and stands nowhere in it. */
static char *end_of(wk__arena *arena, const char *text) {
    for (int number = 0;; number++) {
        char *end = number ? wk__arena_text(arena, "WICK_END_%d", number) : wk__arena_text(arena, "WICK_END");
        if (!end || !strstr(text, end)) return end;
    }
}

/* ---- the whole ---- */

static const char wait_for_steps[] = "code=0\n"
                                     "while ((${#steps[@]})); do\n"
                                     "  for i in \"${!steps[@]}\"; do\n"
                                     "    kill -0 \"${steps[i]}\" 2>/dev/null && continue\n"
                                     "    wait \"${steps[i]}\"; ended=$?\n"
                                     "    unset \"steps[i]\"\n"
                                     "    if ((ended && !code)); then code=$ended; stop; fi\n"
                                     "  done\n"
                                     "  ((${#steps[@]})) && { sleep 0.2 & wait $!; }\n"
                                     "done\n";

static void put_traps(wk_text *out, const wk__slurm_options *o) {
    double grace = wk_cfg_float(o->cfg, "grace");
    wk_text_printf(out,
                   "stop() { # the other roles: TERM, grace, KILL\n"
                   "  ((${#steps[@]})) || return\n"
                   "  kill -TERM \"${steps[@]}\" 2>/dev/null\n"
                   "  (sleep %g; scancel --signal=KILL \"$SLURM_JOB_ID\") >/dev/null 2>&1 &\n"
                   "}\n"
                   "signalled=0\n",
                   grace > 0 ? grace : 0.1);
    if (o->signal)
        wk_text_printf(out, "trap 'signalled=1; scancel --signal=%s \"$SLURM_JOB_ID\"' %s\n", o->signal, o->signal);
}

/* Restarts after a failure are counted by Slurm; one after the warning signal is none. */
static void put_end(wk_text *out, const wk__slurm_options *o) {
    wk_text_puts(out, "echo \"wick: steps ended with code $code\"\n");
    if (o->signal && wk_cfg_bool(o->cfg, "requeue"))
        wk_text_puts(out, "if ((signalled)); then scontrol requeue \"$SLURM_JOB_ID\" && exit 0; fi\n");
    wk_text_puts(out, "if ((code && TORCHX_MAX_RETRIES > ${SLURM_RESTART_COUNT:-0})); then\n"
                      "  scontrol requeue \"$SLURM_JOB_ID\" && exit $code\n"
                      "fi\n"
                      "echo \"${SLURM_RESTART_COUNT:-0} $code\" >\"$WICK_DIR/result.tmp\" && "
                      "mv -f \"$WICK_DIR/result.tmp\" \"$WICK_DIR/result\"\n"
                      "exit $code\n");
}

/* srun's options of a container: the image, and the places that tasks must reach. */
static void put_container(wk_text *out, const wk_role *role, const wk__slurm_options *o, const char *folder) {
    const char *how = wk_cfg_string(o->cfg, "container");
    wk_text mounts = { 0 };
    if (!how || !*role->image) return;
    bool pyxis = strcmp(how, "pyxis") == 0;
    wk_text_puts(out, pyxis ? " --container-image=" : " --container=");
    wk__slurm_quote(out, role->image, "\n");
    if (!pyxis) return; /* a bundle says itself what is mounted */
    wk_text_printf(&mounts, "%s:%s", folder, folder);
    for (size_t i = 0; i < role->mount_count; i++)
        wk_text_printf(&mounts, ",%s:%s%s", role->mounts[i].src, role->mounts[i].dst,
                       role->mounts[i].read_only ? ":ro" : "");
    wk_text_puts(out, " --container-mounts=");
    wk__slurm_quote(out, wk_text_get(&mounts), "\n");
    wk_text_free(&mounts);
}

static wk_status put_step(wk_text *out, const wk_request *r, const wk_role *role, size_t index,
                          const wk__slurm_options *o) {
    size_t count = 0;
    const char *const *more = wk_cfg_list(o->cfg, "srun", &count);
    wk_text_puts(out, "srun");
    if (r->role_count > 1) wk_text_printf(out, " --het-group=%zu", index);
    wk_text_printf(
        out,
        " --export=ALL --kill-on-bad-exit=1 --wait=60 --open-mode=append --output=\"$WICK_DIR/%s/%%t/stdout.log\""
        " --error=\"$WICK_DIR/%s/%%t/stderr.log\"",
        r->roles[index].name, r->roles[index].name);
    if (wk_cfg_string(o->cfg, "mpi")) {
        wk_text_puts(out, " --mpi=");
        wk__slurm_quote(out, wk_cfg_string(o->cfg, "mpi"), "\n");
    }
    for (size_t i = 0; i < count; i++) {
        wk_text_puts(out, " ");
        wk__slurm_quote(out, more[i], "\n");
    }
    char *folder = wk__app_path(r->app_id, NULL);
    if (folder) put_container(out, role, o, folder);
    wk_free(folder);
    WK_TRY(wk__slurm_step_options(out, role));
    wk_text_printf(out, " bash -c \"$before$role_%zu$after\" &\nsteps+=($!)\n", index);
    return WK_OK;
}

static int least_retries(const wk_request *r) {
    int least = r->roles[0].max_retries;
    for (size_t i = 1; i < r->role_count; i++)
        if (r->roles[i].max_retries < least) least = r->roles[i].max_retries;
    return least;
}

static wk_status put_head(wk_text *out, const wk_request *r, const wk_appdef *app, const wk__slurm_options *o,
                          const char *directory) {
    wk_text_printf(out, "#!/bin/bash\n#\n# Generated by wick %s: app %s\n#\n", wk_version(), r->app_id);
    WK_TRY(wk__slurm_directives(out, app, o));
    wk_text_puts(out, "\nexport WICK_DIR=");
    wk__slurm_quote(out, directory, "\n");
    wk_text_printf(out,
                   "\nexport WICK_APP_ID='%s' TORCHELASTIC_RUN_ID='%s' TORCHX_JOB_ID='slurm://%s/%s'\n"
                   "export PYTHONUNBUFFERED=1 SLURM_UNBUFFEREDIO=1 TORCHX_MAX_RETRIES=%d\n",
                   r->app_id, r->app_id, WK__SESSION, r->app_id, least_retries(r));
    wk_text_puts(out, "first_node() { # its name, or its address where Slurm alone knows the name\n"
                      "  local name; name=$(scontrol show hostnames \"$1\" | head -n 1)\n"
                      "  getent hosts \"$name\" >/dev/null && { echo \"$name\"; return; }\n"
                      "  scontrol show node \"$name\" | sed -n 's/.*NodeAddr=\\([^ ]*\\).*/\\1/p'\n"
                      "}\n");
    for (size_t i = 0; i < r->role_count; i++)
        wk_text_printf(out,
                       "WICK_MASTER_%zu=$(first_node \"${SLURM_JOB_NODELIST_HET_GROUP_%zu:-$SLURM_JOB_NODELIST}\")\n"
                       "export WICK_MASTER_%zu\n",
                       i, i, i);
    return WK_OK;
}

static wk_status put_script(wk_text *out, wk_request *r, const wk_appdef *app, const wk__slurm_options *o,
                            const char *marker, const char *directory) {
    WK_TRY(put_head(out, r, app, o, directory));
    wk__slurm_shared(out);
    for (size_t i = 0; i < r->role_count; i++) {
        wk_text role = { 0 };
        wk_status status = wk__slurm_role(&role, r, i, marker);
        const char *end = status == WK_OK ? end_of(&r->arena, wk_text_get(&role)) : NULL;
        if (end)
            wk_text_printf(out, "\n# ---- role %s: %d tasks\nIFS= read -r -d '' role_%zu <<'%s'\n", r->roles[i].name,
                           r->roles[i].replicas, i, end);
        if (end) wk_text_puts(out, wk_text_get(&role));
        if (end) wk_text_printf(out, "%s\n", end);
        wk_text_free(&role);
        if (!end) return status == WK_OK ? wk_error_code() : status;
    }
    wk_text_puts(out, "\nsteps=()\n");
    put_traps(out, o);
    for (size_t i = 0; i < r->role_count; i++) WK_TRY(put_step(out, r, &app->roles[i], i, o));
    wk_text_puts(out, wait_for_steps);
    put_end(out, o);
    return out->failed ? wk_error_code() : WK_OK;
}

/* What is free text goes as arguments: no line of the script has to hold it. */
static wk_status build_command(wk_request *r, const wk__slurm_options *o, const char *directory) {
    static const char *const named[] = { "comment", "mail-user", "mail-type", "account", "dependency" };
    size_t more_count = 0;
    const char *const *more = wk_cfg_list(o->cfg, "sbatch", &more_count);
    r->launcher = wk__arena_take(&r->arena, (16 + WK_COUNT(named) + more_count) * sizeof *r->launcher);
    if (!r->launcher) return wk_error_code();
    size_t n = 0;
    r->launcher[n++] = "sbatch";
    r->launcher[n++] = "--parsable";
    r->launcher[n++] = wk__arena_text(&r->arena, "--job-name=%s", r->app_id);
    r->launcher[n++] = wk__arena_text(&r->arena, "--output=%s/slurm.log", directory);
    r->launcher[n++] = "--open-mode=append";
    const char *job_dir = wk_cfg_string(o->cfg, "job_dir");
    r->launcher[n++] = wk__arena_text(&r->arena, "--chdir=%s", job_dir ? job_dir : r->directory);
    if (o->signal)
        r->launcher[n++] = wk__arena_text(&r->arena, "--signal=B:%s@%lld", o->signal, (long long)o->signal_seconds);
    for (size_t i = 0; i < WK_COUNT(named); i++)
        if (wk_cfg_string(o->cfg, named[i]))
            r->launcher[n++] = wk__arena_text(&r->arena, "--%s=%s", named[i], wk_cfg_string(o->cfg, named[i]));
    for (size_t i = 0; i < more_count; i++) r->launcher[n++] = wk__arena_text(&r->arena, "%s", more[i]);
    r->launcher[n++] = wk__arena_text(&r->arena, "%s/job.sh", directory);
    r->launcher[n] = NULL;
    r->launcher_count = n;
    return wk_error_code();
}

wk_status wk__slurm_script(wk_request *r, const wk_appdef *app, const wk__slurm_options *o) {
    wk_text script = { 0 };
    char *directory = wk__app_path(r->app_id, NULL);
    wk_status status = directory ? put_script(&script, r, app, o, r->marker, directory) : wk_error_code();
    if (status == WK_OK) r->script = wk__arena_text(&r->arena, "%s", script.data);
    if (status == WK_OK) status = build_command(r, o, directory);
    wk_text_free(&script);
    wk_free(directory);
    return status;
}
