/* run.c: one run's directory as it stands.
 *
 * run.json says most of it, where there is one.  Without, the log's last words tell how the run ended, the name of the
 * event file when it began, and metrics.csv how far it came.  Whether somebody trains in it now tells the lock on the
 * directory, on this machine: a record that says "running" without that lock is one of a run that was killed.
 */
#include "train/runs/run.h"

#include "io/file.h"
#include "train/folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const wk__run_state_names[WK__RUN_STATES] = { "done", "stopped", "running", "failed", "unknown" };

/* ---- files ---- */

static bool has(const char *folder, const char *name) {
    char *path = wk_format("%s/%s", folder, name);
    bool is_there = path && access(path, F_OK) == 0;
    wk_free(path);
    return is_there;
}

bool wk__run_is(const char *path) {
    static const char *const signs[] = { "run.json", "metrics.csv", "metrics.jsonl", "log.txt" };
    for (size_t i = 0; i < WK_COUNT(signs); i++)
        if (has(path, signs[i])) return true;
    return false;
}

static void note_lack(wk__run *r, const char *name) {
    size_t size = strlen(r->lacks);
    (void)snprintf(r->lacks + size, sizeof r->lacks - size, "%s%s", size ? ", " : "", name);
}

/* NULL, without an error, where there is none. */
static json_t *read_json(const char *folder, const char *name) {
    if (!has(folder, name)) return NULL;
    char *path = wk_format("%s/%s", folder, name);
    json_error_t error;
    json_t *root = path ? json_load_file(path, 0, &error) : NULL;
    if (path && !json_is_object(root)) {
        (void)wk_fail(WK_FORMAT, "%s: line %d: %s", path, root ? 1 : error.line,
                      root ? "expected an object" : error.text);
        json_decref(root);
        root = NULL;
    }
    wk_free(path);
    return root;
}

static wk_status read_config(wk__run *r) {
    static const char *const names[] = { "config.yaml", "hparams.yaml" };
    for (size_t i = 0; i < WK_COUNT(names); i++) {
        if (!has(r->path, names[i])) continue;
        char *path = wk_format("%s/%s", r->path, names[i]);
        r->config = path ? wk__yaml_load(path) : NULL;
        wk_free(path);
        return r->config ? WK_OK : wk_error_code();
    }
    note_lack(r, "config.yaml");
    return WK_OK;
}

static wk_status read_metrics(wk__run *r) {
    static const char *const names[] = { "metrics.csv", "metrics.jsonl" };
    for (size_t i = 0; i < WK_COUNT(names); i++) {
        if (!has(r->path, names[i])) continue;
        char *path = wk_format("%s/%s", r->path, names[i]);
        wk_status status = path ? wk__run_table_read(&r->table, path) : WK_NO_MEMORY;
        wk_free(path);
        return status;
    }
    note_lack(r, "metrics.csv");
    return WK_OK;
}

static wk_status read_log(wk__run *r) {
    if (!has(r->path, "log.txt")) {
        note_lack(r, "log.txt");
        return WK_OK;
    }
    char *path = wk_format("%s/log.txt", r->path);
    size_t size;
    r->log = path ? wk__read_file(path, (size_t)1 << 28, &size) : NULL;
    wk_free(path);
    return r->log ? WK_OK : wk_error_code();
}

/* ---- settings ---- */

const char *wk__run_setting(const wk__run *r, const char *path) {
    const wk__yaml_node *node = r->config ? r->config->root : NULL;
    for (const char *at = path; node && *at;) {
        char key[128];
        size_t size = strcspn(at, ".");
        if (size >= sizeof key || node->kind != WK__YAML_MAPPING) return NULL;
        (void)snprintf(key, sizeof key, "%.*s", (int)size, at);
        node = wk__yaml_find(node, key);
        at += size + (at[size] == '.');
    }
    return node && node->kind == WK__YAML_SCALAR && !wk__yaml_is_null(node) ? node->text : NULL;
}

static int64_t setting_number(const wk__run *r, const char *path) {
    const char *text = wk__run_setting(r, path);
    char *end;
    long long value = text ? strtoll(text, &end, 10) : -1;
    return text && *text && !*end ? value : -1;
}

/* ---- how it stands ---- */

bool wk__metric_is_large(const char *name) {
    static const char *const small[] = { "loss", "mse", "mae", "perplexity", "error", "lr" };
    for (size_t i = 0; i < WK_COUNT(small); i++)
        if (strstr(name, small[i])) return false;
    return true;
}

/* A moment's shared lock is refused while the trainer holds its own. */
static bool is_locked(const char *path) {
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool locked = folder >= 0 && flock(folder, LOCK_SH | LOCK_NB) != 0;
    if (folder >= 0) (void)close(folder);
    return locked;
}

static bool is_here(const wk__run *r) {
    char host[256] = "";
    const char *of_run = json_string_value(json_object_get(r->record, "host"));
    return of_run && gethostname(host, sizeof host - 1) == 0 && strcmp(host, of_run) == 0;
}

/* The last line that says anything. */
static void last_line(const char *log, char *line, size_t size) {
    size_t end = strlen(log), start;
    while (end && (log[end - 1] == '\n' || log[end - 1] == '\r')) end--;
    for (start = end; start && log[start - 1] != '\n';) start--;
    (void)snprintf(line, size, "%.*s", (int)(end - start), log + start);
}

static void state_of_log(wk__run *r) {
    char line[400];
    if (!r->log) return;
    last_line(r->log, line, sizeof line);
    if (is_locked(r->path)) {
        r->state = WK__RUN_RUNNING;
    } else if (strncmp(line, "done in ", 8) == 0 || strncmp(line, "nothing is left to do", 21) == 0) {
        r->state = WK__RUN_DONE;
    } else {
        r->state = strstr(line, "--resume goes on from it") ? WK__RUN_STOPPED : WK__RUN_FAILED;
        (void)snprintf(r->reason, sizeof r->reason, "%s", line);
        if (r->state == WK__RUN_FAILED && strncmp(line, "epoch ", 6) == 0)
            (void)snprintf(r->reason, sizeof r->reason, "it ended without a word, after \"%.300s\"", line);
    }
}

static void state_of_record(wk__run *r) {
    const char *state = json_string_value(json_object_get(r->record, "state"));
    const char *reason = json_string_value(json_object_get(r->record, "reason"));
    for (int i = 0; state && i < WK__RUN_STATES; i++)
        if (strcmp(state, wk__run_state_names[i]) == 0) r->state = (wk__run_state)i;
    (void)snprintf(r->reason, sizeof r->reason, "%s", reason ? reason : "");
    if (r->state != WK__RUN_RUNNING || !is_here(r) || is_locked(r->path)) return;
    r->state = WK__RUN_FAILED;
    (void)snprintf(r->reason, sizeof r->reason, "it ended without a word: killed, or the machine went down");
}

/* events.out.tfevents.TIME.…: the earliest is the run's beginning; the log was last written at its end. */
static void times_of_files(wk__run *r) {
    static const char prefix[] = "events.out.tfevents.";
    struct stat about;
    const struct dirent *entry;
    DIR *folder = opendir(r->path);
    while (folder && (entry = readdir(folder)) != NULL) {
        if (strncmp(entry->d_name, prefix, sizeof prefix - 1) != 0) continue;
        double time = strtod(entry->d_name + sizeof prefix - 1, NULL);
        if (time > 0 && !(time >= r->started)) r->started = time;
    }
    if (folder) (void)closedir(folder);
    char *log = wk_format("%s/log.txt", r->path);
    if (log && r->state != WK__RUN_RUNNING && stat(log, &about) == 0) r->ended = (double)about.st_mtime;
    wk_free(log);
    if (r->ended >= r->started) r->seconds = r->ended - r->started;
}

static double number_of(const json_t *record, const char *key) {
    const json_t *value = json_object_get(record, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int64_t count_of(const json_t *record, const char *key) {
    const json_t *value = json_object_get(record, key);
    return json_is_integer(value) ? json_integer_value(value) : -1;
}

static void read_record(wk__run *r) {
    state_of_record(r);
    r->started = number_of(r->record, "started");
    r->ended = number_of(r->record, "ended");
    r->seconds = number_of(r->record, "seconds");
    r->epochs = count_of(r->record, "epochs");
    r->steps = count_of(r->record, "steps");
    r->model = json_string_value(json_object_get(r->record, "model"));
    if (r->state == WK__RUN_RUNNING && is_here(r)) r->seconds = wk_wall_time() - r->started;
}

static void progress_of_table(wk__run *r) {
    double step = wk__run_table_last(&r->table, wk__run_table_column(&r->table, "step"));
    double epoch = wk__run_table_last(&r->table, wk__run_table_column(&r->table, "epoch"));
    bool is_over = r->state == WK__RUN_DONE && r->epochs >= 0;
    if (!isnan(step) && !is_over) r->steps = (int64_t)step;
    if (!isnan(epoch) && !is_over) r->epochs = (int64_t)epoch;
}

/* The checkpoint's monitor, or the accuracy, or a loss, whichever was logged. */
static void find_best(wk__run *r, const char *metric, const char *mode) {
    const char *own = wk__run_setting(r, "checkpoint.monitor"), *own_mode = wk__run_setting(r, "checkpoint.mode");
    const char *const wishes[] = { metric ? metric : own, "val_accuracy", "val_loss", "train_loss", "loss" };
    for (size_t i = 0; i < (metric ? 1 : WK_COUNT(wishes)); i++) {
        int column = wishes[i] ? wk__run_table_column(&r->table, wishes[i]) : -1;
        if (column < 0 || isnan(wk__run_table_last(&r->table, column))) continue;
        const char *word = mode ? mode : i == 0 && own && strcmp(own, wishes[i]) == 0 ? own_mode : NULL;
        (void)snprintf(r->metric, sizeof r->metric, "%s", wishes[i]);
        r->largest = word ? strcmp(word, "max") == 0 : wk__metric_is_large(wishes[i]);
        r->best = wk__run_table_best(&r->table, column, r->largest, &r->best_row);
        return;
    }
}

static wk_status read_all(wk__run *r, const char *metric, const char *mode) {
    WK_TRY(read_config(r));
    WK_TRY(read_metrics(r));
    WK_TRY(read_log(r));
    r->record = read_json(r->path, "run.json");
    r->evaluation = wk_failed() ? NULL : read_json(r->path, "evaluation.json");
    if (wk_failed()) return wk_error_code();
    if (r->record) {
        read_record(r);
    } else {
        note_lack(r, "run.json");
        state_of_log(r);
        times_of_files(r);
    }
    progress_of_table(r);
    r->max_epochs = setting_number(r, "trainer.max_epochs");
    if (!r->model) r->model = wk__run_setting(r, "model.name");
    find_best(r, metric, mode);
    return WK_OK;
}

wk_status wk__run_open(wk__run *r, const char *path, const char *metric, const char *mode) {
    struct stat about;
    *r = (wk__run){ .state = WK__RUN_UNKNOWN,
                    .epochs = -1,
                    .steps = -1,
                    .max_epochs = -1,
                    .best_row = -1,
                    .started = NAN,
                    .ended = NAN,
                    .seconds = NAN,
                    .best = NAN };
    if (!(r->path = wk_strdup(path))) return WK_NO_MEMORY;
    for (size_t size = strlen(r->path); size > 1 && r->path[size - 1] == '/';) r->path[--size] = '\0';
    const char *slash = strrchr(r->path, '/');
    r->name = slash && slash[1] ? slash + 1 : r->path;
    wk_status status = WK_OK;
    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode))
        status = wk_fail(WK_NOT_FOUND, "%s: there is no such directory", path);
    else if (!wk__run_is(path))
        status = wk_fail(WK_NOT_FOUND,
                         "%s: not the directory of a run: it has none of run.json, metrics.csv, metrics.jsonl and "
                         "log.txt, which `wick train` leaves in its output",
                         path);
    if (status == WK_OK) status = read_all(r, metric, mode);
    if (status != WK_OK) wk__run_close(r);
    return status;
}

void wk__run_close(wk__run *r) {
    wk__run_table_free(&r->table);
    wk__yaml_free(r->config);
    json_decref(r->record);
    json_decref(r->evaluation);
    wk_free(r->log);
    wk_free(r->path);
    *r = (wk__run){ 0 };
}
