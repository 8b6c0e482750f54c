/* runner.c: dry-run, schedule, describe, wait, cancel, delete: what the commands, and other programs, call. */
#include "launcher/launcher.h"

#include <ftw.h>
#include <stddef.h>
#include <string.h>

static wk_status store_app(const char *app_id, const char *name, const char *scheduler) {
    wk__store *store = wk__store_open();
    if (!store) return wk_error_code();
    wk_status status = wk__store_insert(store, app_id, name, scheduler);
    wk__store_close(store);
    return status;
}

/* An app whose scheduling failed must not stay as one that may still come. */
static void store_failure(const char *app_id) {
    wk__error kept = *wk__error_slot();
    wk_clear_error();
    wk__store *store = wk__store_open();
    if (store) (void)wk__store_update(store, app_id, WK_APP_FAILED, 0, kept.message);
    wk__store_close(store);
    *wk__error_slot() = kept;
}

/* metadata: {ui_url: "https://…?app=${app_id}"} of the app. */
static wk_status note_ui_url(wk_request *r, const wk_appdef *app, const char *app_id) {
    const wk__yaml_node *node = app->metadata ? wk__yaml_find(app->metadata, "ui_url") : NULL;
    const wk_macros macros = { .img_root = "", .app_id = app_id, .replica_id = "0", .rank0_env = "MASTER_ADDR" };
    if (!node || node->kind != WK__YAML_SCALAR) return WK_OK;
    char *text = wk_macros_substitute(&macros, node->text);
    if (text) r->ui_url = wk__arena_text(&r->arena, "%s", text);
    wk_free(text);
    return wk_error_code();
}

static wk_status write_ui_url(const wk_request *r, const char *app_id) {
    char *path = r->ui_url ? wk__app_path(app_id, "ui_url") : NULL;
    wk_status status = path ? wk__write_file(path, r->ui_url, strlen(r->ui_url)) : wk_error_code();
    wk_free(path);
    return status;
}

wk_request *wk_app_dryrun(const wk_appdef *app, const char *scheduler, const wk_cfg *cfg, wk_handle *handle) {
    wk__event event = wk__event_begin("dryrun");
    wk_request *request = NULL;
    wk_cfg *defaults = NULL;
    const wk_scheduler_ops *ops = wk_scheduler(scheduler);
    if (!ops) return NULL;
    (void)snprintf(handle->scheduler, sizeof handle->scheduler, "%s", ops->name);
    (void)snprintf(handle->session, sizeof handle->session, "%s", WK__SESSION);
    if (!cfg) cfg = defaults = wk_cfg_parse(ops->name, ops->runopts, ops->runopt_count, NULL);
    if (cfg && wk_make_unique(app->name, handle->app_id, sizeof handle->app_id) == WK_OK)
        request = ops->dryrun(app, cfg, handle->app_id);
    if (request && note_ui_url(request, app, handle->app_id) != WK_OK) {
        wk_request_free(request);
        request = NULL;
    }
    wk_cfg_free(defaults);
    wk__event_end(&event, ops->name, handle->app_id, app);
    return request;
}

wk_status wk_app_schedule(wk_request *request, const wk_handle *handle) {
    wk__event event = wk__event_begin("schedule");
    const wk_scheduler_ops *ops = wk_scheduler(handle->scheduler);
    if (!ops) return wk_error_code();
    wk_status status = store_app(handle->app_id, request->app_name, ops->name);
    if (status == WK_OK && (status = ops->schedule(request)) != WK_OK) store_failure(handle->app_id);
    if (status == WK_OK) status = write_ui_url(request, handle->app_id);
    wk__event_end(&event, ops->name, handle->app_id, NULL);
    return status;
}

wk_status wk_app_run(const wk_appdef *app, const char *scheduler, const char *cfg_text, wk_handle *handle) {
    const wk_scheduler_ops *ops = wk_scheduler(scheduler);
    wk_cfg *cfg = ops ? wk_cfg_parse(ops->name, ops->runopts, ops->runopt_count, cfg_text) : NULL;
    wk_request *request = cfg ? wk_app_dryrun(app, scheduler, cfg, handle) : NULL;
    wk_status status = request ? wk_app_schedule(request, handle) : wk_error_code();
    wk_request_free(request);
    wk_cfg_free(cfg);
    return status;
}

wk_app_status *wk_app_describe(const wk_handle *handle) {
    wk__event event = wk__event_begin("status");
    const wk_scheduler_ops *ops = wk_scheduler(handle->scheduler);
    wk_app_status *status = ops ? ops->describe(handle->app_id) : NULL;
    wk__event_end(&event, handle->scheduler, handle->app_id, NULL);
    return status;
}

/* How long to leave a scheduler alone between two looks: files cost nothing, Slurm's controller is asked sparingly. */
static double longest_pause(const wk_scheduler_ops *ops) {
    return ops->poll_seconds > 0.3 ? ops->poll_seconds : 0.3;
}

wk_status wk__scheduler_state(const wk_scheduler_ops *ops, const char *app_id, wk_app_state *state) {
    if (ops->poll_seconds <= 0) return wk__app_state_of(app_id, state);
    wk_app_status *status = ops->describe(app_id);
    if (!status) return wk_error_code();
    *state = status->state;
    wk_app_status_free(status);
    return WK_OK;
}

wk_status wk_app_wait(const wk_handle *handle, double seconds, wk_app_state *state) {
    const wk_scheduler_ops *ops = wk_scheduler(handle->scheduler);
    if (!ops) return wk_error_code();
    double pause = 0.02;
    for (double start = wk_now();;) {
        WK_TRY(wk__scheduler_state(ops, handle->app_id, state));
        if (wk_app_state_is_terminal(*state)) return WK_OK;
        if (seconds > 0 && wk_now() - start > seconds)
            return wk_fail(WK_TIMEOUT, "%s is still %s after %.1f s", handle->app_id, wk_app_state_name(*state),
                           seconds);
        wk__sleep(pause);
        if (pause < longest_pause(ops)) pause *= 1.5; /* short apps are seen at once, long ones cost nothing */
    }
}

wk_status wk_app_cancel(const wk_handle *handle) {
    wk__event event = wk__event_begin("cancel");
    const wk_scheduler_ops *ops = wk_scheduler(handle->scheduler);
    wk_status status = ops ? ops->cancel(handle->app_id) : wk_error_code();
    wk__event_end(&event, handle->scheduler, handle->app_id, NULL);
    return status;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    (void)remove(path);
    return 0;
}

wk_status wk_app_delete(const wk_handle *handle) {
    wk__event event = wk__event_begin("delete");
    wk_app_state state = WK_APP_UNKNOWN;
    const wk_scheduler_ops *ops = wk_scheduler(handle->scheduler);
    bool keeps = ops && ops->size > offsetof(wk_scheduler_ops, forget) && ops->forget;
    wk_status status = wk_app_cancel(handle);
    if (status == WK_OK) status = wk_app_wait(handle, 30, &state);
    if (status == WK_OK && keeps) status = ops->forget(handle->app_id);
    wk__store *store = status == WK_OK ? wk__store_open() : NULL;
    char *directory = store ? wk__app_path(handle->app_id, NULL) : NULL;
    if (directory) {
        status = wk__store_remove(store, handle->app_id);
        if (status == WK_OK) (void)nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    } else
        status = wk_error_code();
    wk_free(directory);
    wk__store_close(store);
    wk__event_end(&event, handle->scheduler, handle->app_id, NULL);
    return status;
}

wk_appdef *wk_app_definition(const wk_handle *handle) {
    wk__event event = wk__event_begin("describe");
    wk_app_state state = WK_APP_UNKNOWN;
    wk_appdef *app = NULL;
    char *path = wk__app_path(handle->app_id, "app.yaml");
    if (path && wk_scheduler(handle->scheduler) && wk__app_state_of(handle->app_id, &state) == WK_OK)
        app = wk__appdef_from(wk__yaml_load(path)); /* as it was run: nothing is interpolated again */
    wk_free(path);
    wk__event_end(&event, handle->scheduler, handle->app_id, app);
    return app;
}
