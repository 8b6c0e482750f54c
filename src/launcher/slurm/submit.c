/* submit.c: an app to Slurm: its files into its directory, its script to sbatch.
 *
 * The job's id goes into the file `job` last; whoever finds an app without it looks for a job of the app's name.
 */
#include "launcher/slurm/slurm.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A path that is not there would fail after hours in the queue. */
static wk_status preflight(const wk_request *r) {
    for (size_t i = 0; i < r->role_count; i++) {
        const wk__request_role *role = &r->roles[i];
        const char *program = role->programs[0].argv[0];
        const char *folder = *role->directory ? role->directory : r->directory;
        if (!strchr(program, '/')) continue;
        char *path = *program == '/' ? wk_strdup(program) : wk_format("%s/%s", folder, program);
        bool good = path && access(path, X_OK) == 0;
        wk_free(path);
        if (!good)
            return wk_fail(WK_CONFIG,
                           "slurm: role \"%s\": \"%s\" is no program here (in %s); -cfg preflight=no submits it anyway",
                           role->name, program, folder);
    }
    return WK_OK;
}

static wk_status make_folders(const wk_request *r, const char *directory) {
    for (size_t i = 0; i < r->role_count; i++)
        for (int k = 0; k < r->roles[i].replicas; k++) {
            char path[4096];
            (void)snprintf(path, sizeof path, "%s/%s/%d", directory, r->roles[i].name, k);
            WK_TRY(wk__make_dirs(path));
        }
    return WK_OK;
}

static wk_status write_in(const char *directory, const char *name, const char *text) {
    char *path = wk_format("%s/%s", directory, name);
    wk_status status = path ? wk__write_file(path, text, strlen(text)) : wk_error_code();
    wk_free(path);
    return status;
}

static wk_status write_files(const wk_request *r, const char *directory) {
    char *request = wk_format("%s/request", directory);
    wk_status status = request ? wk__request_write(r, request) : wk_error_code();
    wk_free(request);
    if (status == WK_OK) status = write_in(directory, "app.yaml", r->app_yaml);
    if (status == WK_OK) status = write_in(directory, "job.sh", r->script);
    for (size_t i = 0; i < r->role_count && status == WK_OK; i++) {
        char name[160];
        (void)snprintf(name, sizeof name, "secrets.%s", r->roles[i].name);
        char *text = wk__slurm_secrets(r, i);
        if (!text)
            status = wk_error_code();
        else if (*text)
            status = write_in(directory, name, text);
        wk_free(text);
    }
    return status;
}

wk_status wk__slurm_missing(const char *program) {
    if (wk_error_code() != WK_NOT_FOUND) return wk_error_code();
    wk_clear_error();
    return wk_fail(WK_NOT_FOUND,
                   "slurm: no program \"%s\"; install Slurm's client (slurm-client), or run without it: -s local",
                   program);
}

static wk_status submit(const wk_request *r, const char *directory) {
    wk__command c;
    wk_status status = wk__command_run(r->launcher, WK__SLURM_SECONDS, &c);
    char *end = NULL;
    long long job = status == WK_OK && c.code == 0 ? strtoll(wk_text_get(&c.out), &end, 10) : 0;
    if (status != WK_OK)
        status = wk__slurm_missing("sbatch");
    else if (job <= 0) {
        char *message = c.err.data;
        message[strcspn(message, "\n")] = '\0';
        status = wk_fail(WK_STATE, "slurm: %s", *message ? message : "sbatch gave no job id");
    } else {
        char text[32];
        (void)snprintf(text, sizeof text, "%lld\n", job);
        status = write_in(directory, "job", text);
    }
    wk__command_free(&c);
    return status;
}

wk_status wk__slurm_schedule(wk_request *r) {
    if (r->preflight) WK_TRY(preflight(r));
    char *directory = wk__app_path(r->app_id, NULL);
    wk_status status = directory ? WK_OK : wk_error_code();
    if (status == WK_OK) status = make_folders(r, directory);
    if (status == WK_OK) status = wk__request_copy_workspaces(r);
    if (status == WK_OK) status = write_files(r, directory);
    if (status == WK_OK) status = submit(r, directory);
    wk__store *store = status == WK_OK ? wk__store_open() : NULL;
    if (store) status = wk__store_update(store, r->app_id, WK_APP_SUBMITTED, 0, NULL);
    wk__store_close(store);
    wk_free(directory);
    return status;
}
