/* slurm.h: the scheduler `slurm`: one sbatch script an app, one group of tasks a role.
 *
 * script.c writes the script, role.c what a task runs, submit.c gives it to sbatch, job.c asks what became of it,
 * query.c reads the answers of all versions of squeue, scontrol and sacct, slurm.c has the options.  Slurm needs no
 * wick on its nodes, only bash and the state directory at the same path: tasks write their logs and status files there,
 * in the places that the other schedulers use, so `wick log` and `wick status` read them in the same way.
 */
#ifndef WICK_SRC_LAUNCHER_SLURM_H
#define WICK_SRC_LAUNCHER_SLURM_H

#include "launcher/launcher.h"

typedef struct wk__slurm_options { /* texts in the request's arena */
    const wk_cfg *cfg;
    int major, minor;   /* of Slurm */
    const char *signal; /* "USR1" or NULL */
    int64_t signal_seconds;
    bool requeue;
} wk__slurm_options;

/* Sets request->script and request->launcher (sbatch and its arguments). */
wk_status wk__slurm_script(wk_request *request, const wk_appdef *app, const wk__slurm_options *options);
/* What stands for ${replica_id} until a task knows its own: a text that is in none of the AppDef's. */
void wk__slurm_marker(const wk_appdef *app, char *marker, size_t size);
/* What a role's tasks read in place of finding it in the script, "" if nothing; free with wk_free. */
char *wk__slurm_secrets(const wk_request *request, size_t role);

/* role.c */
/* In single quotes for bash; the marker becomes the task's own number. */
void wk__slurm_quote(wk_text *out, const char *text, const char *marker);
/* A role's own lines, and those that stand before and after them in every task. */
wk_status wk__slurm_role(wk_text *out, const wk_request *request, size_t index, const char *marker);
void wk__slurm_shared(wk_text *out);

/* directives.c: #SBATCH lines of all roles, and options of one role's srun. */
wk_status wk__slurm_directives(wk_text *out, const wk_appdef *app, const wk__slurm_options *options);
wk_status wk__slurm_step_options(wk_text *out, const wk_role *role);

/* "COMPLETED" -> WK_APP_SUCCEEDED, …; flags behind + or a space, and "CANCELLED by 0", do not matter. */
WK_API wk_app_state wk__slurm_state(const char *word);
typedef struct wk__slurm_answer {
    wk_app_state state; /* WK_APP_UNKNOWN: the job was not in it */
    char word[32];      /* Slurm's own, "TIMEOUT" */
    char reason[80];
    int restarts;
    long long job;
} wk__slurm_answer;
/* A job (or, with job 0, the job named `name`) in the output of squeue --json or sacct --json, of any version. */
WK_API bool wk__slurm_read_json(const char *text, long long job, const char *name, wk__slurm_answer *out);
/* The same in lines of `scontrol show job -o`, and of `sacct --parsable2 --format=JobID,JobName,State`. */
WK_API bool wk__slurm_read_scontrol(const char *text, long long job, const char *name, wk__slurm_answer *out);
WK_API bool wk__slurm_read_sacct(const char *text, long long job, const char *name, wk__slurm_answer *out);
/* "slurm 24.11.5" */
WK_API bool wk__slurm_read_version(const char *text, int *major, int *minor);

enum { WK__SLURM_SECONDS = 30 /* for one command of Slurm's */ };
/* After wk__command_run failed: if there is no such program, how to come by it. */
wk_status wk__slurm_missing(const char *program);
wk_status wk__slurm_schedule(wk_request *request);
wk_app_status *wk__slurm_describe(const char *app_id);
wk_status wk__slurm_cancel(const char *app_id);
wk_status wk__slurm_list(wk_app_entry **entries, size_t *count);

#endif
