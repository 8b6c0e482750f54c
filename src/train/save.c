/* save.c: a run's checkpoints as it goes on. */
#include "train/run.h"

#include "base/base.h"

#include <unistd.h>

wk__checkpoint_context wk__context_of(wk_trainer *t) {
    wk__spec model;
    bool has_model = wk__spec_read(&t->config->root, "model", false, &model) == WK_OK && model.name;
    return (wk__checkpoint_context){ .config = t->config,
                                     .trainer = t,
                                     .model = t->model,
                                     .model_name = has_model ? model.name : t->wrapper->class_->name,
                                     .optimizer = t->optimizers ? t->driven[0].optimizer : NULL,
                                     .rank = t->rank,
                                     .ranks = t->ranks,
                                     .batches = t->batches,
                                     .batch_size = t->batch_size,
                                     .own_order = t->params->own_order };
}

/* A disk that is full, or a folder that may not be written to, is no reason to end a run: it is told once, what was
 * saved before is there, and the next checkpoint may find room.  All other errors are, and a run's own folder that is
 * gone: nothing of the run would remain. */
wk_status wk__saved(wk_trainer *t, wk_status status) {
    if (status != WK_IO || wk_error_code() != WK_IO || access(t->config->output, F_OK) != 0) return status;
    (void)snprintf(t->unsaved, sizeof t->unsaved, "%s", wk_message());
    wk_clear_error();
    if (!t->told_unsaved)
        wk_trainer_say(t, "warning: %s: training goes on, and what was saved before stays; this is told once",
                       t->unsaved);
    t->told_unsaved = true;
    return WK_OK;
}

wk_status wk__saves_settle(wk_trainer *t) {
    return t->saver ? wk__saved(t, wk__saver_wait(t->saver)) : WK_OK;
}

wk_status wk__saves_finish(wk_trainer *t) {
    WK_TRY(wk__saves_settle(t));
    if (!t->saver || !wk__saver_failed(t->saver)) return WK_OK;
    return wk_fail(WK_IO, "%s; so the run ends without its last checkpoint", t->unsaved);
}

static wk_status save_at(wk_trainer *t, const char *path, bool weights_only) {
    if (t->rank != 0 || t->params->fast_dev_run) return WK_OK;
    WK_TRY(WK__HOOK(t, save_checkpoint));
    if (!weights_only) WK_TRY(wk__gather(t));
    t->standing.random_seed = wk_default_generator()->seed;
    t->standing.random_counter = wk_default_generator()->counter;
    const wk__checkpoint_context context = wk__context_of(t);
    const wk__standing *standing = weights_only ? NULL : &t->standing;
    const bool async = t->config->saves_async;
    wk__pages pages = async ? wk__saver_pages(t->saver) : (wk__pages){ 0 };
    wk_status status =
        async ? wk__checkpoint_pack(&context, standing, &pages) : wk__checkpoint_save(path, &context, standing);
    wk__gathered(t);
    if (!async) return wk__saved(t, wk__saver_written(t->saver, status));
    if (status == WK_OK) return wk__saved(t, wk__saver_write(t->saver, t->standing.step, wk_strdup(path), pages));
    wk__pages_free(&pages);
    return wk__saved(t, status);
}

bool wk__has_checkpoints(const wk_trainer *t) {
    return t->params->saves && !t->params->fast_dev_run;
}

wk_status wk__save(wk_trainer *t, const char *name) {
    if (!t->params->saves) return WK_OK;
    char *path = wk__checkpoint_path(t->config->output, name);
    wk_status status = path ? save_at(t, path, false) : WK_NO_MEMORY;
    wk_free(path);
    return status == WK_OK ? wk__saves_end(t) : status;
}

wk_status wk_trainer_save(wk_trainer *t, const char *path, bool weights_only) {
    return save_at(t, path, weights_only);
}
