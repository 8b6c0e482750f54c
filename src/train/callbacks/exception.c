/* exception.c: a checkpoint of where a run was when it failed, or was stopped: Lightning's OnExceptionCheckpoint. */
#include "train/callbacks/callbacks.h"
#include "train/callbacks/names.h"

#include "io/file.h"

const wk_arg wk__on_exception_args[] = {
    { "dirpath", WK_ARG_TEXT, "", "OUTPUT/ckpt" },
    { "filename", WK_ARG_TEXT, "on_exception", "as {epoch:02d}-{val_loss:.3f}; .ckpt is added" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

typedef struct on_exception {
    wk_callback base;
    const char *folder, *filename;
} on_exception;

static wk_status setup(wk_callback *self, wk_trainer *t) {
    (void)self;
    if (!wk__is_shared_out(t)) return WK_OK;
    return wk_fail(WK_CONFIG,
                   "the optimizer is shared out: the ranks that have its other parts are not there when the "
                   "run fails; ModelCheckpoint with save_on_exception and save_weights_only saves the model");
}

static wk_status save(wk_callback *self, wk_trainer *t) {
    const on_exception *e = (const on_exception *)self;
    if (wk_trainer_rank(t) != 0) return WK_OK;
    char *name = wk__checkpoint_name(e->filename, true, t),
         *folder = e->folder ? wk_strdup(e->folder) : wk_format("%s/ckpt", wk_trainer_folder(t)),
         *path = name && folder ? wk_format("%s/%s.ckpt", folder, name) : NULL;
    wk_status status = path ? wk__make_folder(folder) : WK_NO_MEMORY;
    if (status == WK_OK) status = wk_trainer_save(t, path, false);
    if (status == WK_OK) wk_trainer_say(t, "OnExceptionCheckpoint: saved %s", path);
    wk_free(path);
    wk_free(folder);
    wk_free(name);
    return status;
}

static const wk_callback_class class_ = {
    .name = "OnExceptionCheckpoint", .size = sizeof(on_exception), .setup = setup, .exception = save
};

wk_callback *wk__on_exception_build(const wk_config *args) {
    on_exception *e = (on_exception *)wk_callback_create(&class_);
    if (!e) return NULL;
    e->folder = wk_config_string(args, "dirpath", NULL);
    e->filename = wk_config_string(args, "filename", "on_exception");
    return &e->base;
}
