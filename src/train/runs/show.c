/* show.c: `wick runs show`: all that one run's directory tells. */
#include "train/runs/run.h"

#include <math.h>
#include <string.h>

static void print_fact(const char *name, const char *value) {
    (void)printf("%-12s %s\n", name, value);
}

/* What run.json says of machine and build, as it stands there. */
static void print_record(const json_t *record) {
    static const char *const keys[] = { "host",     "processor",  "device",      "ranks",     "threads",   "build",
                                        "revision", "parameters", "train_items", "val_items", "batch_size" };
    for (size_t i = 0; i < WK_COUNT(keys); i++) {
        const json_t *value = json_object_get(record, keys[i]);
        char number[32];
        if (json_is_integer(value)) {
            (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
            print_fact(keys[i], number);
        } else if (json_is_string(value) && *json_string_value(value)) {
            print_fact(keys[i], json_string_value(value));
        }
    }
}

static void print_metrics(const wk__run *r) {
    const wk__run_table *t = &r->table;
    (void)printf("\n%-28s %12s %12s  %s\n", "METRIC", "LAST", "BEST", "AT STEP");
    for (int c = 0; c < t->columns; c++) {
        char last[32], best[32];
        int64_t row;
        bool is_place = strcmp(t->column[c], "step") == 0 || strcmp(t->column[c], "epoch") == 0;
        double value = wk__run_table_best(t, c, wk__metric_is_large(t->column[c]), &row);
        int step = wk__run_table_column(t, "step");
        if (is_place || row < 0) continue;
        (void)printf("%-28s %12s %12s  ", t->column[c], wk__words_number(wk__run_table_last(t, c), last),
                     wk__words_number(value, best));
        if (step >= 0)
            (void)printf("%.0f\n", t->cell[row * t->columns + step]);
        else
            (void)printf("-\n");
    }
}

static void print_text(const wk__run *r) {
    char text[200], number[32], time[32];
    print_fact("run", r->path);
    print_fact("state", wk__run_state_names[r->state]);
    if (r->reason[0]) print_fact("reason", r->reason);
    print_fact("model", r->model ? r->model : "-");
    if (r->epochs >= 0) {
        (void)snprintf(text, sizeof text, r->max_epochs >= 0 ? "%lld of %lld" : "%lld", (long long)r->epochs,
                       (long long)r->max_epochs);
        print_fact("epochs", text);
    }
    if (r->steps >= 0) {
        (void)snprintf(text, sizeof text, "%lld", (long long)r->steps);
        print_fact("steps", text);
    }
    if (r->metric[0]) {
        (void)snprintf(text, sizeof text, "%s %s", r->metric, wk__words_number(r->best, number));
        print_fact("best", text);
    }
    print_fact("started", wk__words_time(r->started, time));
    print_fact("duration", wk__words_duration(r->seconds, number));
    print_record(r->record);
    if (r->lacks[0]) (void)printf("\nThe directory lacks %s: what these would tell is left out.\n", r->lacks);
    if (r->table.rows) print_metrics(r);
    char *config = r->config && r->config->root ? wk__yaml_dump(r->config->root) : NULL;
    if (config) (void)printf("\n%s", config);
    wk_free(config);
}

/* A mapping of the configuration as JSON; texts as they stand in the file. */
static json_t *config_json(const wk__yaml_node *node) {
    json_t *value;
    if (!node) return json_null();
    if (node->kind == WK__YAML_SCALAR) return wk__yaml_is_null(node) ? json_null() : wk__json_text(node->text);
    value = node->kind == WK__YAML_MAPPING ? json_object() : json_array();
    for (const wk__yaml_node *child = node->first; child; child = child->next) {
        if (node->kind == WK__YAML_MAPPING)
            (void)json_object_set_new(value, child->key, config_json(child));
        else
            (void)json_array_append_new(value, config_json(child));
    }
    return value;
}

static wk_status print_json(const wk__run *r) {
    json_t *object = wk__run_json(r), *metrics = json_array();
    for (int c = 0; c < r->table.columns; c++) {
        int64_t row;
        const char *name = r->table.column[c];
        if (strcmp(name, "step") == 0 || strcmp(name, "epoch") == 0) continue;
        double best = wk__run_table_best(&r->table, c, wk__metric_is_large(name), &row);
        if (row < 0) continue;
        (void)json_array_append_new(metrics, json_pack("{s:o, s:o, s:o}", "name", wk__json_text(name), "last",
                                                       wk__json_number(wk__run_table_last(&r->table, c)), "best",
                                                       wk__json_number(best)));
    }
    (void)json_object_set_new(object, "metrics", metrics);
    (void)json_object_set_new(object, "config", config_json(r->config ? r->config->root : NULL));
    (void)json_object_set_new(object, "record", r->record ? json_incref(r->record) : json_null());
    bool written = object && json_dumpf(object, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;
    json_decref(object);
    return written ? WK_OK : wk_fail(WK_IO, "stdout cannot be written");
}

int wk__runs_show_main(int argc, char **argv) {
    const char *path = NULL, *metric = NULL, *mode = NULL;
    bool json = false;
    for (int i = 1; i < argc; i++) {
        const char **into = strcmp(argv[i], "--metric") == 0 ? &metric : strcmp(argv[i], "--mode") == 0 ? &mode : NULL;
        if (into && i + 1 == argc) return wk__runs_usage("a value is missing after", argv[i]);
        if (into)
            *into = argv[++i];
        else if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (argv[i][0] != '-' && !path)
            path = argv[i];
        else
            return wk__runs_usage("show: cannot make sense of", argv[i]);
    }
    if (!path) return wk__runs_usage("show takes the directory of a run", "");
    if (mode && strcmp(mode, "min") != 0 && strcmp(mode, "max") != 0)
        return wk__runs_usage("--mode takes min or max, not", mode);
    wk__run run;
    wk_status status = wk__run_open(&run, path, metric, mode);
    if (status != WK_OK) return wk__runs_failed();
    if (json)
        status = print_json(&run);
    else
        print_text(&run);
    wk__run_close(&run);
    return status == WK_OK ? 0 : wk__runs_failed();
}
