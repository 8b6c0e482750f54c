/* record.c: see record.h. */
#include "train/record.h"

#include "io/file.h"
#include "tensor/backend.h"
#include "train/report/report.h"
#include "train/run.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

static void set_text(json_t *record, const char *key, const char *text) {
    json_t *value = json_string(text);
    (void)json_object_set_new(record, key, value ? value : json_string("?"));
}

static void set_number(json_t *record, const char *key, int64_t value) {
    (void)json_object_set_new(record, key, json_integer((json_int_t)value));
}

static void describe_machine(const wk_trainer *t, json_t *record) {
    char host[256] = "", device[200], revision[80];
    wk_device_info info;
    if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
    set_text(record, "host", host);
    if (wk__cpu_device_info(&info) == WK_OK) {
        set_text(record, "processor", info.name);
        set_text(record, "instructions", info.instruction_set);
    }
    (void)snprintf(device, sizeof device, "%s", wk_device_name(t->device));
    if (t->device != WK_CPU && wk_device_describe(t->device, &info) == WK_OK)
        (void)snprintf(device, sizeof device, "%s: %.150s", wk_device_name(t->device), info.name);
    set_text(record, "device", device);
    set_number(record, "ranks", t->ranks);
    set_number(record, "threads", wk_threads());
    char *build = wk_format("wick %s, %s", wk_version(), WK_COMPILER);
    set_text(record, "build", build ? build : "?");
    wk_free(build);
    wk__revision(".", revision, sizeof revision);
    set_text(record, "revision", revision);
}

static void describe_model(wk_trainer *t, json_t *record) {
    const wk__checkpoint_context context = wk__context_of(t);
    char *summary = wk_module_summary(t->model);
    set_text(record, "model", context.model_name);
    set_text(record, "summary", summary ? summary : "");
    wk_free(summary);
    set_number(record, "parameters", wk_parameter_count(t->model));
    set_number(record, "train_items", t->train_data->count);
    set_number(record, "val_items", t->val_data ? t->val_data->count : 0);
    set_number(record, "batch_size", t->batch_size * t->ranks * wk__accumulate(t->params, 0));
}

/* What a run that goes on has been: when it began, and how long it has trained. */
static void take_over(const wk_trainer *t, json_t *record) {
    char *path = wk_format("%s/run.json", t->config->output);
    json_t *before = path ? json_load_file(path, 0, NULL) : NULL;
    const json_t *started = json_object_get(before, "started"), *seconds = json_object_get(before, "seconds");
    if (json_is_number(started)) (void)json_object_set_new(record, "started", json_real(json_number_value(started)));
    if (json_is_number(seconds)) (void)json_object_set_new(record, "seconds", json_real(json_number_value(seconds)));
    set_number(record, "parts", json_integer_value(json_object_get(before, "parts")) + 1);
    json_decref(before);
    wk_free(path);
}

wk_status wk__record_start(wk_trainer *t, bool resumed) {
    if (t->rank != 0) return WK_OK;
    json_t *record = json_pack("{s:i, s:s, s:s, s:f, s:n, s:f, s:i}", "version", 1, "state", "running", "reason", "",
                               "started", wk_wall_time(), "ended", "seconds", 0.0, "parts", 1);
    if (!record) return wk_fail(WK_NO_MEMORY, "no memory for the run's record");
    if (resumed) take_over(t, record);
    set_number(record, "epochs", t->standing.epoch);
    set_number(record, "steps", t->standing.step);
    describe_model(t, record);
    describe_machine(t, record);
    t->record = record;
    t->part_started = wk_now();
    return wk_failed() ? wk_error_code() : wk__folder_json(&t->folder, "run.json", record);
}

wk_status wk__record_end(wk_trainer *t, wk_status status, const char *message) {
    if (!t->record) return WK_OK;
    double before = json_number_value(json_object_get(t->record, "seconds"));
    set_text(t->record, "state", status == WK_OK ? "done" : status == WK_CANCELLED ? "stopped" : "failed");
    set_text(t->record, "reason", message);
    (void)json_object_set_new(t->record, "ended", json_real(wk_wall_time()));
    (void)json_object_set_new(t->record, "seconds", json_real(before + wk_now() - t->part_started));
    set_number(t->record, "epochs", t->standing.epoch);
    set_number(t->record, "steps", t->standing.step);
    wk_status written = wk__folder_json(&t->folder, "run.json", t->record);
    if (written == WK_OK) written = wk__evaluation_write(t);
    if (written == WK_OK) written = wk__report_write(t->config->output);
    json_decref(t->record);
    t->record = NULL;
    return written;
}
