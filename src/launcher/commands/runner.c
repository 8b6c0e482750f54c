/* runner.c: run, describe, wait, cancel: what the commands, and other programs, call. */
#include "launcher/launcher.h"

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

wk_status wk_app_run(const wk_appdef *app, const char *scheduler, const char *cfg_text, wk_handle *handle) {
    wk_status status = WK_OK;
    wk_cfg *cfg = NULL;
    wk_request *request = NULL;
    const wk_scheduler_ops *ops = wk_scheduler(scheduler);
    if (!ops) return wk_error_code();
    (void)snprintf(handle->scheduler, sizeof handle->scheduler, "%s", ops->name);
    (void)snprintf(handle->session, sizeof handle->session, "%s", WK__SESSION);
    WK_TRY_DONE(wk_make_unique(app->name, handle->app_id, sizeof handle->app_id));
    if (!(cfg = wk_cfg_parse(ops->name, ops->runopts, ops->runopt_count, cfg_text))
        || !(request = ops->dryrun(app, cfg, handle->app_id))) {
        status = wk_error_code();
        goto done;
    }
    WK_TRY_DONE(store_app(handle->app_id, app->name, ops->name));
    if ((status = ops->schedule(request)) != WK_OK) store_failure(handle->app_id);
done:
    wk_request_free(request);
    wk_cfg_free(cfg);
    return status;
}

wk_app_status *wk_app_describe(const wk_handle *handle) {
    const wk_scheduler_ops *ops = wk_scheduler(handle->scheduler);
    return ops ? ops->describe(handle->app_id) : NULL;
}

wk_status wk_app_wait(const wk_handle *handle, double seconds, wk_app_state *state) {
    if (!wk_scheduler(handle->scheduler)) return wk_error_code();
    double pause = 0.02;
    for (double start = wk_now();;) {
        WK_TRY(wk__app_state_of(handle->app_id, state));
        if (wk_app_state_is_terminal(*state)) return WK_OK;
        if (seconds > 0 && wk_now() - start > seconds)
            return wk_fail(WK_TIMEOUT, "%s is still %s after %.1f s", handle->app_id, wk_app_state_name(*state),
                           seconds);
        wk__sleep(pause);
        if (pause < 0.3) pause *= 1.5; /* short apps are seen at once, long ones cost nothing */
    }
}

wk_status wk_app_cancel(const wk_handle *handle) {
    const wk_scheduler_ops *ops = wk_scheduler(handle->scheduler);
    return ops ? ops->cancel(handle->app_id) : wk_error_code();
}
