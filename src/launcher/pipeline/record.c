/* record.c: what happened in a run, as JSON that is replaced whole after each change.
 *
 * The handle of an app is written before the app is started.  So whoever goes on with the run knows what may be
 * running, and an app that the store does not know was never started.
 */
#include "launcher/pipeline/pipeline.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

const char *const wk__stage_words[WK__STAGE_STATES] = {
    "WAITING", "RUNNING", "SUCCEEDED", "CACHED", "FAILED", "SKIPPED"
};

static json_t *stage_json(const wk__pipeline *p, const wk__stage *s) {
    json_t *outputs = json_object();
    json_t *after = json_array();
    for (size_t i = 0; i < s->output_count; i++)
        (void)json_object_set_new(outputs, s->outputs[i].key, wk__json_text(s->outputs[i].value));
    for (size_t i = 0; i < s->after_count; i++)
        (void)json_array_append_new(after, json_string(p->stages[s->after[i]].name));
    return json_pack("{s:s,s:s,s:s,s:i,s:o,s:o,s:b}", "name", s->name, "state", wk__stage_words[s->state], "handle",
                     s->handle, "attempt", s->attempt, "after", after, "outputs", outputs, "extended", s->extended);
}

wk_status wk__pipeline_write(const wk__pipeline *p) {
    json_t *stages = json_array();
    for (size_t i = 0; i < p->count; i++) (void)json_array_append_new(stages, stage_json(p, &p->stages[i]));
    json_t *root = json_pack("{s:s,s:s,s:o}", "id", p->id ? p->id : "", "name", p->name, "stages", stages);
    char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    char *path = wk_format("%s/record.json", p->directory);
    wk_status status = !text  ? wk_fail(WK_NO_MEMORY, "pipeline: no memory for its record")
                       : path ? wk__write_file(path, text, strlen(text))
                              : wk_error_code();
    free(text);
    wk_free(path);
    json_decref(root);
    return status;
}

/* ---- going on ---- */

static void take_outputs(wk__pipeline *p, wk__stage *s, const json_t *outputs) {
    for (size_t i = 0; i < s->output_count; i++) {
        const char *url = json_string_value(json_object_get(outputs, s->outputs[i].key));
        if (url) s->outputs[i].value = wk__arena_text(&p->arena, "%s", url);
    }
}

static void take_stage(wk__pipeline *p, wk__stage *s, const json_t *item) {
    const char *word = json_string_value(json_object_get(item, "state"));
    const char *handle = json_string_value(json_object_get(item, "handle"));
    for (int state = 0; state < WK__STAGE_STATES; state++)
        if (word && strcmp(word, wk__stage_words[state]) == 0) s->state = (wk__stage_state)state;
    (void)snprintf(s->handle, sizeof s->handle, "%s", handle ? handle : "");
    s->attempt = (int)json_integer_value(json_object_get(item, "attempt"));
    take_outputs(p, s, json_object_get(item, "outputs"));
}

wk_status wk__pipeline_read(wk__pipeline *p) {
    char *path = wk_format("%s/record.json", p->directory);
    char *text = path ? wk__read_file(path, 64 << 20, NULL) : NULL;
    json_t *root = text ? json_loads(text, 0, NULL) : NULL;
    const json_t *list = json_object_get(root, "stages");
    wk_status status = list ? WK_OK : wk_fail(WK_NOT_FOUND, "no record of a run in %s", p->directory);
    for (size_t i = 0; i < json_array_size(list) && status == WK_OK; i++) {
        const json_t *item = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(item, "name"));
        for (size_t k = 0; name && k < p->count; k++) {
            if (strcmp(p->stages[k].name, name) != 0) continue;
            take_stage(p, &p->stages[k], item);
            if (json_is_true(json_object_get(item, "extended"))) status = wk__pipeline_extend(p, k);
            break;
        }
    }
    json_decref(root);
    wk_free(text);
    wk_free(path);
    return status;
}

wk_status wk__pipeline_extend(wk__pipeline *p, size_t index) {
    char *path = wk__pipeline_stages_file(p, &p->stages[index]);
    bool there = path && wk__exists(path) && p->file_count < WK_COUNT(p->files);
    wk__yaml *file = there ? wk__yaml_load(path) : NULL;
    const wk__stage like = p->stages[index]; /* the array may move */
    p->stages[index].extended = true;
    wk_free(path);
    if (!there) return WK_OK;
    if (!file) return wk_error_code();
    p->files[p->file_count++] = file;
    return file->root ? wk__pipeline_add(p, file, file->root, &like, index) : WK_OK;
}
