/* open.c: a trained language model by a path: of a run, or in Hugging Face's layout. */
#include "tasks/tasks.h"

#include "train/checkpoint.h"
#include "train/config.h"
#include "train/folder.h"
#include "wick/tasks.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool exists(const char *folder, const char *name) {
    char *path = wk_format("%s/%s", folder, name);
    const bool there = path && access(path, F_OK) == 0;
    wk_free(path);
    return there;
}

/* The run that a checkpoint lies in: the nearest of the two folders above it with a config.yaml; free with wk_free. */
static char *run_of(const char *checkpoint) {
    char *folder = wk_strdup(checkpoint);
    for (int up = 0; folder && up < 2; up++) {
        char *slash = strrchr(folder, '/');
        if (slash)
            *slash = '\0';
        else
            (void)snprintf(folder, strlen(folder) + 1, ".");
        if (exists(folder, "config.yaml")) return folder;
        if (!slash) break;
    }
    wk_free(folder);
    return wk_failed() ? NULL
                       : wk_fail_null(WK_NOT_FOUND,
                                      "%s: no run around it (RUN/config.yaml with RUN/checkpoints/NAME.safetensors)",
                                      checkpoint);
}

static wk_module *build_model(const char *run) {
    wk__run_config config;
    char *file = wk_format("%s/config.yaml", run);
    wk_module *model = NULL;
    if (file && wk__run_config_load(&config, file, NULL, 0) == WK_OK) {
        model = wk_make_model(&config.root, "model");
        wk__run_config_free(&config);
    }
    wk_free(file);
    return model;
}

static wk_status open_run(wk__language *l, const char *run, const char *checkpoint) {
    char *tokenizer = wk_format("%s/tokenizer.json", run);
    if (!tokenizer) return wk_error_code();
    if (!exists(run, "tokenizer.json"))
        (void)wk_fail(WK_NOT_FOUND, "%s: no tokenizer.json in it: not a run of wrapper \"language_model\"", run);
    else
        l->tokenizer = wk_tokenizer_open(tokenizer);
    wk_free(tokenizer);
    l->model = l->tokenizer ? build_model(run) : NULL;
    if (!l->model) return wk_error_code();
    return wk__checkpoint_load_model(checkpoint, l->model);
}

/* Of GPT-2. */
static wk_status open_pretrained(wk__language *l, const char *folder) {
    l->tokenizer = wk_tokenizer_open(folder);
    l->model = l->tokenizer ? wk_pretrained_open(folder, (wk_pretrained_opts){ 0 }) : NULL;
    return l->model ? WK_OK : wk_error_code();
}

static wk_status open_folder(wk__language *l, const char *folder) {
    if (exists(folder, "config.json")) return open_pretrained(l, folder);
    if (!exists(folder, "config.yaml"))
        return wk_fail(WK_NOT_FOUND, "%s: neither a run's directory (config.yaml) nor a model's folder (config.json)",
                       folder);
    char *checkpoint = wk__checkpoint_path(folder, exists(folder, "checkpoints/best.safetensors") ? "best" : "last");
    wk_status status = checkpoint ? open_run(l, folder, checkpoint) : wk_error_code();
    wk_free(checkpoint);
    return status;
}

static wk_status open_file(wk__language *l, const char *path) {
    char *run = run_of(path);
    wk_status status = run ? open_run(l, run, path) : wk_error_code();
    wk_free(run);
    return status;
}

wk_status wk__language_open(wk__language *l, const char *path) {
    struct stat about;
    *l = (wk__language){ .end = -1 };
    if (stat(path, &about) != 0) return wk_fail(WK_NOT_FOUND, "%s: no such file or folder", path);
    WK_TRY(S_ISDIR(about.st_mode) ? open_folder(l, path) : open_file(l, path));
    wk_module_train(l->model, false);
    l->end = wk_tokenizer_id(l->tokenizer, "<|endoftext|>");
    return wk_failed() ? wk_error_code() : WK_OK;
}

void wk__language_close(wk__language *l) {
    wk_module_destroy(l->model);
    wk_tokenizer_destroy(l->tokenizer);
    *l = (wk__language){ .end = -1 };
}
