/* plugin.c: schedulers from shared libraries, and the parts that they build on (wick/scheduler.h). */
#include "launcher/launcher.h"
#include "wick/scheduler.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void open_plugin(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    wk_scheduler_plugin_function function = NULL;
    if (library) *(void **)&function = dlsym(library, "wk_scheduler_plugin");
    if (library && !function && dlsym(library, "wk_files_plugin")) return; /* files.h asks that one */
    if (!function) {
        wk_log_write(WK_LOG_WARNING, "plug-in %s left out: %s", path,
                     library ? "no wk_scheduler_plugin in it" : dlerror());
        if (library) (void)dlclose(library);
        return;
    }
    wk__error aside = { 0 };
    wk__error *former = wk__error_bind(&aside);
    const wk_scheduler_ops *ops = function();
    if (!ops || wk__scheduler_add(ops, true) != WK_OK)
        wk_log_write(WK_LOG_WARNING, "plug-in %s left out: %s", path, ops ? aside.message : "it offers no scheduler");
    (void)wk__error_bind(former);
}

void wk__plugins_open(void) {
    static bool done;
    const char *at = done ? NULL : getenv("WICK_PLUGINS");
    done = true;
    while (at && *at) {
        size_t size = strcspn(at, ":");
        char *path = size ? wk_format("%.*s", (int)size, at) : NULL;
        if (path) open_plugin(path);
        wk_free(path);
        at += size + (at[size] == ':');
    }
}

/* ---- parts ---- */

wk_request *wk_request_new(const wk_appdef *app, const char *scheduler, const char *app_id) {
    return wk__request_new(app, scheduler, app_id);
}

const char *wk_request_app_id(const wk_request *request) {
    return request->app_id;
}

bool wk_request_replica_at(const wk_request *request, size_t index, wk_request_replica *out) {
    for (size_t i = 0; i < request->role_count; i++) {
        const wk__request_role *role = &request->roles[i];
        if (index >= (size_t)role->replicas) {
            index -= (size_t)role->replicas;
            continue;
        }
        const wk__program *p = &role->programs[index];
        *out = (wk_request_replica){ .role = role->name,
                                     .directory = *role->directory ? role->directory : request->directory,
                                     .replica = (int)index,
                                     .replicas = role->replicas,
                                     .argv = p->argv,
                                     .env = p->env,
                                     .env_count = p->env_count };
        return true;
    }
    return false;
}

wk_status wk_request_store(const wk_request *r) {
    wk_request_replica replica;
    WK_TRY(wk__request_copy_workspaces(r));
    for (size_t i = 0; wk_request_replica_at(r, i, &replica); i++) {
        char rest[256];
        (void)snprintf(rest, sizeof rest, "%s/%d", replica.role, replica.replica);
        char *folder = wk__app_path(r->app_id, rest);
        wk_status status = folder ? wk__make_dirs(folder) : wk_error_code();
        wk_free(folder);
        WK_TRY(status);
    }
    char *request = wk__app_path(r->app_id, "request");
    char *yaml = wk__app_path(r->app_id, "app.yaml");
    wk_status status = request && yaml ? wk__request_write(r, request) : wk_error_code();
    if (status == WK_OK) status = wk__write_file(yaml, r->app_yaml, strlen(r->app_yaml));
    wk_free(request);
    wk_free(yaml);
    return status;
}

char *wk_app_file(const char *app_id, const char *name) {
    return wk__app_path(app_id, name);
}

wk_status wk_replica_told(const char *app_id, const char *role, int replica, bool ended, int wait_status) {
    char rest[256];
    wk__replica status;
    (void)snprintf(rest, sizeof rest, "%s/%d", role, replica);
    char *folder = wk__app_path(app_id, rest);
    if (!folder) return wk_error_code();
    if (!wk__replica_read(folder, &status)) status = (wk__replica){ .started_at = wk_wall_time() };
    (void)gethostname(status.host, sizeof status.host - 1);
    status.ended = ended;
    if (ended) {
        status.ended_at = wk_wall_time();
        status.exit_code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0;
        status.signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
    }
    wk_status result = wk__replica_write(folder, &status);
    wk_free(folder);
    return result;
}

wk_app_status *wk_app_status_of(const char *app_id, wk_app_state state, const char *message) {
    wk__record record;
    wk__store *store = wk__store_open();
    if (!store) return NULL;
    wk_status status = wk__store_get(store, app_id, &record);
    if (status == WK_OK && !wk_app_state_is_terminal(record.state)) {
        status = wk__store_update(store, app_id, state, record.restarts, message);
        if (status == WK_OK) status = wk__store_get(store, app_id, &record);
    }
    wk__store_close(store);
    return status == WK_OK ? wk__status_of(&record) : NULL;
}

wk_log_stream *wk_app_log_open(const char *app_id, const char *role, int replica, wk_log_kind kind) {
    return wk__supervised_log_open(app_id, role, replica, kind);
}

wk_status wk_apps_of(const wk_scheduler_ops *scheduler, wk_app_entry **entries, size_t *count) {
    wk__record *records = NULL;
    wk__store *store = wk__store_open();
    *entries = NULL;
    *count = 0;
    if (!store) return wk_error_code();
    wk_status status = wk__store_list(store, scheduler->name, &records, count);
    if (status == WK_OK && !(*entries = wk_alloc((*count + 1) * sizeof **entries))) status = wk_error_code();
    for (size_t i = 0; i < *count && status == WK_OK; i++) {
        if (!wk_app_state_is_terminal(records[i].state))
            status = wk__scheduler_state(scheduler, records[i].app_id, &records[i].state);
        wk__entry_of(&records[i], &(*entries)[i]);
    }
    wk_free(records);
    wk__store_close(store);
    return status;
}
