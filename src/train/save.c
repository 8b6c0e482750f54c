/* save.c: a run's checkpoints as it goes on. */
#include "train/run.h"

#include "base/base.h"

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
                                     .accumulate = t->params->accumulate };
}

static wk_status save_at(wk_trainer *t, const char *path, bool weights_only) {
    if (t->rank != 0 || t->params->fast_dev_run) return WK_OK;
    WK_TRY(WK__HOOK(t, save_checkpoint));
    if (!weights_only) WK_TRY(wk__gather(t));
    t->standing.random_seed = wk_default_generator()->seed;
    t->standing.random_counter = wk_default_generator()->counter;
    const wk__checkpoint_context context = wk__context_of(t);
    wk_status status =
        weights_only ? wk__checkpoint_save_model(path, &context) : wk__checkpoint_save(path, &context, &t->standing);
    wk__gathered(t);
    return status;
}

wk_status wk__save(wk_trainer *t, const char *name) {
    char *path = wk__checkpoint_path(t->config->output, name);
    wk_status status = path ? save_at(t, path, false) : WK_NO_MEMORY;
    wk_free(path);
    return status == WK_OK ? wk__saves_end(t) : status;
}

wk_status wk_trainer_save(wk_trainer *t, const char *path, bool weights_only) {
    return save_at(t, path, weights_only);
}
