/* epoch_files.c: checkpoints under the names that the plain loop of the LIIF-style trainers gives them: every n-th
 * epoch's is ckpt/epoch-N.pth, counted from 1; epoch-last.pth and epoch-best.pth are links to the run's own. */
#include "train/callbacks/callbacks.h"

#include "io/file.h"

const wk_arg wk__epoch_files_args[] = {
    { "every_n_epochs", WK_ARG_INT, "0", "0: epoch-last.pth and epoch-best.pth alone" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

typedef struct epoch_files {
    wk_callback base;
    int64_t every;
} epoch_files;

static wk_status save_epoch(wk_trainer *t, int64_t number) {
    char *path = wk_format("%s/ckpt/epoch-%lld.pth", wk_trainer_folder(t), (long long)number);
    const wk_status status = path ? wk_trainer_save(t, path, false) : WK_NO_MEMORY;
    wk_free(path);
    return status;
}

/* A checkpoint of the run's, which is there or `will_be`, by another name. */
static wk_status link_own(wk_trainer *t, const char *name, bool will_be) {
    char *own = wk__checkpoint_path(wk_trainer_folder(t), name),
         *target = wk_format("../checkpoints/%s.safetensors", name),
         *path = wk_format("%s/ckpt/epoch-%s.pth", wk_trainer_folder(t), name);
    wk_status status = own && target && path ? WK_OK : WK_NO_MEMORY;
    if (status == WK_OK && (will_be || wk__saver_has(t->saver, own)))
        status = wk__saved(t, wk__saver_link(t->saver, path, target));
    wk_free(path);
    wk_free(target);
    wk_free(own);
    return status;
}

static wk_status train_epoch_end(wk_callback *self, wk_trainer *t) {
    const epoch_files *f = (const epoch_files *)self;
    const int64_t number = wk_trainer_epoch(t) + 1;
    if (wk_trainer_rank(t) != 0 || !wk__has_checkpoints(t)) return WK_OK;
    char *folder = wk_format("%s/ckpt", wk_trainer_folder(t));
    wk_status status = folder ? wk__saved(t, wk__make_folder(folder)) : WK_NO_MEMORY;
    wk_free(folder);
    const bool is_whole = t->standing.epoch == number; /* max_steps may end it earlier */
    if (status == WK_OK && is_whole && f->every && number % f->every == 0) status = save_epoch(t, number);
    return status == WK_OK ? link_own(t, "last", true) : status;
}

static wk_status train_end(wk_callback *self, wk_trainer *t) {
    (void)self;
    return wk_trainer_rank(t) == 0 && wk__has_checkpoints(t) ? link_own(t, "best", false) : WK_OK;
}

static const wk_callback_class class_ = { .name = "EpochFiles",
                                          .size = sizeof(epoch_files),
                                          .train_epoch_end = train_epoch_end,
                                          .train_end = train_end,
                                          .runs_last = true,
                                          .never_stops = true };

wk_callback *wk__epoch_files_build(const wk_config *args) {
    epoch_files *f = (epoch_files *)wk_callback_create(&class_);
    if (f) f->every = wk_config_int(args, "every_n_epochs", 0, INT32_MAX, 0);
    return (wk_callback *)f;
}
