/* resume.c: a run that begins with a checkpoint that its file names: `resume: PATH`, with `run_step` and
 * `load_optimizer`, as the LIIF-style trainers have them.
 *
 * The model is built from what the checkpoint tells of it, not from the file: a run that goes on with a file that was
 * changed in the meantime goes on with its own model.
 */
#include "train/checkpoint.h"
#include "train/folder.h"

#include <string.h>
#include <unistd.h>

char *wk__resume_path(const char *folder, const char *word) {
    const bool is_own = strcmp(word, "last") == 0 || strcmp(word, "best") == 0;
    return is_own ? wk__checkpoint_path(folder, word) : wk_strdup(word);
}

/* The checkpoint from which a run of this file would begin; *path NULL: from none that the file names. */
static wk_status chosen(const wk__yaml *document, wk__start start, char **path) {
    const wk_config root = { document, document->root };
    const char *resume = wk_config_string(&root, "resume", NULL),
               *output = wk_config_string(&root, "output", "runs/run");
    *path = NULL;
    if (wk_failed() || !resume) return wk_failed() ? wk_error_code() : WK_OK;
    char *last = wk__checkpoint_path(output, "last");
    const bool has_last = wk__resumes(start) && last && access(last, F_OK) == 0;
    *path = has_last ? wk_strdup(last) : wk__resume_path(output, resume);
    wk_free(last);
    return *path ? WK_OK : WK_NO_MEMORY;
}

/* Where the file says what the model is, in any layout; NULL: nowhere. */
static wk__yaml_node *model_in(const wk__yaml_node *root) {
    static const char *const wrappers[] = { "train_wrapper", "wrapper" };
    wk__yaml_node *found = wk__yaml_find(root, "model");
    for (size_t i = 0; i < WK_COUNT(wrappers) && !found; i++)
        found = wk__yaml_find(wk__yaml_find(wk__yaml_find(root, wrappers[i]), "args"), "model_spec");
    return found;
}

static wk_status replace(wk__yaml *document, wk__yaml_node *model, const char *text, const char *path) {
    wk__yaml *told = wk__yaml_parse(text, strlen(text), path);
    wk__yaml_node *copy =
        told && told->root && !wk__yaml_equal(told->root, model) ? wk__yaml_copy(document, told->root) : NULL;
    wk__yaml_free(told);
    if (!copy) return wk_failed() ? wk_error_code() : WK_OK;
    wk_log_write(WK_LOG_WARNING, "resume: the model is that of %s, which is not the file's", path);
    copy->key = model->key, copy->key_line = model->key_line, copy->key_column = model->key_column;
    copy->next = model->next;
    *model = *copy;
    return WK_OK;
}

wk_status wk__resume_model(wk__yaml *document, wk__start start) {
    char *path = NULL;
    if (!document->root || document->root->kind != WK__YAML_MAPPING) return WK_OK;
    WK_TRY(chosen(document, start, &path));
    if (!path) return WK_OK;
    wk__yaml_node *model = model_in(document->root);
    wk_safetensors *file = wk_safetensors_open(path);
    const char *text = file ? wk_safetensors_metadata(file, "model_spec") : NULL;
    wk_status status = file ? WK_OK : wk_error_code();
    if (!file) wk_error_prefix("resume");
    if (text && model) status = replace(document, model, text, path); /* older checkpoints tell of none */
    wk_safetensors_close(file);
    wk_free(path);
    return status;
}
