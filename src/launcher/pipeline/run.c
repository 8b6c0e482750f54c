/* run.c: a pipeline from beginning to end.
 *
 * Stages start as soon as what they come after has ended as `when` wishes.  Their apps are apps like any other: they go
 * on when this process is killed, and the run goes on with them when it is resumed.
 *
 * Slurm is given a stage before that, as a job that depends on those it waits for, where all of them are its jobs
 * already: then the queue itself keeps the order, whatever becomes of us.
 */
#include "launcher/pipeline/pipeline.h"

#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

static bool is_over(const wk__stage *s) {
    return s->state > WK__STAGE_RUNNING;
}

static bool is_good(const wk__stage *s) {
    return s->state == WK__STAGE_SUCCEEDED || s->state == WK__STAGE_CACHED;
}

static wk_status become(wk__pipeline *p, wk__stage *s, wk__stage_state state, const char *why) {
    s->state = state;
    (void)fprintf(stderr, "wick: stage %s: %s%s%s\n", s->name, wk__stage_words[state], *why ? " " : "", why);
    return wk__pipeline_write(p);
}

/* ---- may it start? ---- */

typedef enum verdict { WAIT, GO, SKIP } verdict;

static verdict judge(const wk__pipeline *p, const wk__stage *s) {
    size_t over = 0;
    size_t failed = 0;
    size_t good = 0;
    for (size_t i = 0; i < s->after_count; i++) {
        const wk__stage *before = &p->stages[s->after[i]];
        over += is_over(before);
        failed += before->state == WK__STAGE_FAILED;
        good += is_good(before);
    }
    if (s->when == WK__WHEN_SUCCESS) return over > good ? SKIP : good == s->after_count ? GO : WAIT;
    if (over < s->after_count) return WAIT;
    return s->when == WK__WHEN_ALWAYS || failed ? GO : SKIP;
}

static bool is_of_slurm(const wk__stage *s) {
    return s->scheduler && strcmp(s->scheduler, "slurm") == 0;
}

static char *job_of(const wk__stage *s) {
    wk_handle handle;
    if (!is_of_slurm(s) || s->state != WK__STAGE_RUNNING || wk_handle_parse(s->handle, &handle) != WK_OK) return NULL;
    char *path = wk__app_path(handle.app_id, "job");
    char *text = path ? wk__read_file(path, 64, NULL) : NULL;
    if (text) text[strcspn(text, "\n")] = '\0';
    wk_free(path);
    return text;
}

/* "afterok:12,afterok:13" of stages that run or wait in the queue; "" if that cannot be said. */
static void dependency(const wk__pipeline *p, const wk__stage *s, wk_text *out) {
    static const char *const words[] = { "afterok", "afternotok", "afterany" };
    wk_text_puts(out, "");
    if (!is_of_slurm(s) || s->cache) return;
    for (size_t i = 0; i < s->after_count; i++) {
        const wk__stage *before = &p->stages[s->after[i]];
        bool settled = s->when == WK__WHEN_SUCCESS && is_good(before);
        char *job = settled || before->retries || before->adds ? NULL : job_of(before);
        if (job)
            wk_text_printf(out, "%s%s:%s",
                           !out->size                    ? ""
                           : s->when == WK__WHEN_FAILURE ? "?"
                                                         : ",",
                           words[s->when], job);
        wk_free(job);
        if (job || settled) continue;
        wk_text_free(out);
        wk_text_puts(out, "");
        return;
    }
}

/* ---- start ---- */

static wk_cfg *options(const wk_scheduler_ops *ops, const wk__stage *s, const char *depends) {
    wk_text text = { 0 };
    wk_text_puts(&text, s->cfg ? s->cfg : "");
    if (*depends) wk_text_printf(&text, "%sdependency=\"%s\"", text.size ? "," : "", depends);
    if (*depends && !strstr(wk_text_get(&text), "sbatch="))
        wk_text_puts(&text, ",sbatch=\"--kill-on-invalid-dep=yes\"");
    wk_cfg *cfg = text.failed ? NULL : wk_cfg_parse(ops->name, ops->runopts, ops->runopt_count, text.data);
    wk_text_free(&text);
    return cfg;
}

static wk_status submit(wk__pipeline *p, wk__stage *s, const char *depends) {
    const wk_scheduler_ops *ops = wk_scheduler(s->scheduler ? s->scheduler : "local");
    char *folder = wk_format("%s/%s", p->directory, s->name);
    wk_appdef *app = ops && folder && wk__make_dirs(folder) == WK_OK ? wk__pipeline_app(p, s) : NULL;
    wk_cfg *cfg = app ? options(ops, s, depends) : NULL;
    wk_handle handle;
    wk_request *request = cfg ? wk_app_dryrun(app, ops->name, cfg, &handle) : NULL;
    char *name = request ? wk_handle_format(&handle) : NULL;
    wk_status status = name ? WK_OK : wk_error_code();
    if (name) {
        (void)snprintf(s->handle, sizeof s->handle, "%s", name);
        status = become(p, s, WK__STAGE_RUNNING, name);
    }
    if (status == WK_OK) status = wk_app_schedule(request, &handle);
    wk_free(name);
    wk_request_free(request);
    wk_cfg_free(cfg);
    wk_appdef_free(app);
    wk_free(folder);
    return status;
}

/* What cannot be started has failed, and the rest learns of it. */
static wk_status start(wk__pipeline *p, wk__stage *s, const char *depends) {
    if (s->cache) {
        WK_TRY(wk__cache_key(p, s));
        if (wk__cache_find(p, s)) return become(p, s, WK__STAGE_CACHED, "");
    }
    if (submit(p, s, depends) == WK_OK) return WK_OK;
    if (wk_error_code() == WK_NO_MEMORY) return WK_NO_MEMORY;
    char why[600];
    (void)snprintf(why, sizeof why, "(%s)", wk_message());
    wk_clear_error();
    return become(p, s, WK__STAGE_FAILED, why);
}

/* ---- watch ---- */

static wk_status ended(wk__pipeline *p, size_t index, wk_app_state state) {
    wk__stage *s = &p->stages[index];
    if (state == WK_APP_SUCCEEDED) {
        if (s->cache) {
            if (!*s->key) WK_TRY(wk__cache_key(p, s));
            WK_TRY(wk__cache_keep(s));
        }
        if (s->adds && !s->extended) WK_TRY(wk__pipeline_extend(p, index));
        return become(p, &p->stages[index], WK__STAGE_SUCCEEDED, "");
    }
    if (judge(p, s) == SKIP) return become(p, s, WK__STAGE_SKIPPED, "(its dependency cannot be met)");
    if (state == WK_APP_FAILED && s->attempt < s->retries) {
        s->attempt++;
        return become(p, s, WK__STAGE_WAITING, "(once more)");
    }
    return become(p, s, WK__STAGE_FAILED, s->handle);
}

/* An app that the store does not know was never started: we were killed before. */
static wk_status look(wk__pipeline *p, size_t index) {
    wk__stage *s = &p->stages[index];
    wk_handle handle;
    wk_app_state state = WK_APP_UNKNOWN;
    WK_TRY(wk_handle_parse(s->handle, &handle));
    const wk_scheduler_ops *ops = wk_scheduler(handle.scheduler);
    wk_status status = ops ? wk__scheduler_state(ops, handle.app_id, &state) : wk_error_code();
    if (status == WK_NOT_FOUND) {
        wk_clear_error();
        return become(p, s, WK__STAGE_WAITING, "(it had not started)");
    }
    WK_TRY(status);
    return wk_app_state_is_terminal(state) ? ended(p, index, state) : WK_OK;
}

static wk_status consider(wk__pipeline *p, wk__stage *s, bool stopped, bool room) {
    wk_text depends = { 0 };
    verdict v = stopped && s->when == WK__WHEN_SUCCESS ? SKIP : judge(p, s);
    wk_status status = WK_OK;
    if (v == SKIP) return become(p, s, WK__STAGE_SKIPPED, "");
    if (v == WAIT) dependency(p, s, &depends);
    if (v == GO && room) status = start(p, s, "");
    if (v == WAIT && depends.size) status = start(p, s, depends.data);
    wk_text_free(&depends);
    return status;
}

static void cancel_all(const wk__pipeline *p) {
    for (size_t i = 0; i < p->count; i++) {
        wk_handle handle;
        if (p->stages[i].state == WK__STAGE_RUNNING && wk_handle_parse(p->stages[i].handle, &handle) == WK_OK)
            if (wk_app_cancel(&handle) != WK_OK) wk_clear_error();
    }
}

/* One round over all stages; how many are not over. */
static wk_status step(wk__pipeline *p, int jobs, size_t *left) {
    size_t running = 0;
    bool failed = false;
    *left = 0;
    for (size_t i = 0; i < p->count; i++) { /* stages may be added on the way */
        if (p->stages[i].state == WK__STAGE_RUNNING) WK_TRY(look(p, i));
        failed = failed || p->stages[i].state == WK__STAGE_FAILED;
        running += p->stages[i].state == WK__STAGE_RUNNING;
    }
    if (failed && p->fail_fast) cancel_all(p);
    for (size_t i = 0; i < p->count; i++) {
        wk__stage *s = &p->stages[i];
        bool room = jobs <= 0 || running < (size_t)jobs;
        if (s->state == WK__STAGE_WAITING) {
            WK_TRY(consider(p, s, failed && p->fail_fast, room));
            running += s->state == WK__STAGE_RUNNING;
        }
        *left += !is_over(s);
    }
    return WK_OK;
}

wk_status wk__pipeline_run(wk__pipeline *p, int jobs) {
    struct sigaction action = { .sa_handler = on_interrupt };
    (void)sigaction(SIGINT, &action, NULL);
    size_t left = 1;
    WK_TRY(wk__pipeline_write(p));
    while (left && !interrupted) {
        WK_TRY(step(p, jobs, &left));
        if (left) wk__sleep(0.1);
    }
    if (interrupted)
        return wk_fail(WK_CANCELLED, "its apps go on without this terminal; go on with: wick pipeline run --resume %s",
                       p->id);
    for (size_t i = 0; i < p->count; i++)
        if (p->stages[i].state == WK__STAGE_FAILED)
            return wk_fail(WK_STATE, "%s: stage %s failed (%s)", p->id, p->stages[i].name,
                           *p->stages[i].handle ? p->stages[i].handle : "it did not start");
    return WK_OK;
}
