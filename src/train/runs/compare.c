/* compare.c: `wick runs compare`: settings that differ and what came of them, beside each other. */
#include "train/flatten.h"
#include "train/runs/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RUNS = 16, MOST_METRICS = 32, MOST_ROWS = 512 };

typedef struct comparison {
    const char *path[MOST_RUNS], *metric[MOST_METRICS];
    int runs, metrics;
    bool all, json;
    wk__run run[MOST_RUNS];
    wk__setting *settings[MOST_RUNS]; /* of each run */
    int n_settings[MOST_RUNS];
    const char *key[MOST_ROWS]; /* settings that are shown */
    int keys;
    const char *column[MOST_ROWS]; /* metrics that are shown */
    int columns;
} comparison;

/* NULL where the run does not say. */
static const char *value_of(const comparison *c, int run, const char *key) {
    for (int i = 0; i < c->n_settings[run]; i++)
        if (strcmp(c->settings[run][i].name, key) == 0) return c->settings[run][i].node->text;
    return NULL;
}

static bool differs(const comparison *c, const char *key) {
    for (int r = 1; r < c->runs; r++)
        if (!wk__same_value(value_of(c, 0, key), value_of(c, r, key))) return true;
    return false;
}

static bool is_among(const char *const *names, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

/* In the order of the first file that has them; where the runs lie differs always. */
static void collect_keys(comparison *c) {
    for (int r = 0; r < c->runs; r++)
        for (int i = 0; i < c->n_settings[r] && c->keys < MOST_ROWS; i++) {
            const char *key = c->settings[r][i].name;
            if (strcmp(key, "output") == 0 || is_among(c->key, c->keys, key)) continue;
            if (c->all || differs(c, key)) c->key[c->keys++] = key;
        }
}

static wk_status collect_columns(comparison *c) {
    for (int r = 0; r < c->runs; r++)
        for (int i = 0; i < c->run[r].table.columns && c->columns < MOST_ROWS; i++) {
            const char *name = c->run[r].table.column[i];
            bool is_place = strcmp(name, "step") == 0 || strcmp(name, "epoch") == 0;
            bool is_wanted = c->metrics ? is_among(c->metric, c->metrics, name) : !is_place;
            if (is_wanted && !is_among(c->column, c->columns, name) && !isnan(wk__run_table_last(&c->run[r].table, i)))
                c->column[c->columns++] = name;
        }
    for (int i = 0; i < c->metrics; i++)
        if (!is_among(c->column, c->columns, c->metric[i]))
            return wk_fail(WK_NOT_FOUND, "no run has logged \"%s\"", c->metric[i]);
    return WK_OK;
}

static double last_of(const comparison *c, int run, const char *name) {
    return wk__run_table_last(&c->run[run].table, wk__run_table_column(&c->run[run].table, name));
}

/* ---- printing ---- */

static int width_of(const comparison *c, int run) {
    size_t width = strlen(c->run[run].name);
    for (int i = 0; i < c->keys; i++) {
        const char *value = value_of(c, run, c->key[i]);
        if (value && strlen(value) > width) width = strlen(value);
    }
    return width < 10 ? 10 : width > 40 ? 40 : (int)width;
}

typedef const char *(*cell_function)(const comparison *c, int run, const char *name, char text[48]);

static const char *setting_cell(const comparison *c, int run, const char *name, char text[48]) {
    const char *value = value_of(c, run, name);
    (void)text;
    return value ? value : "-";
}

static const char *metric_cell(const comparison *c, int run, const char *name, char text[48]) {
    return wk__words_number(last_of(c, run, name), text);
}

static const char *state_cell(const comparison *c, int run, const char *name, char text[48]) {
    const wk__run *r = &c->run[run];
    if (strcmp(name, "state") == 0) return wk__run_state_names[r->state];
    if (strcmp(name, "duration") == 0) return wk__words_duration(r->seconds, text);
    if (strcmp(name, "steps") == 0 && r->steps >= 0) {
        (void)snprintf(text, 48, "%lld", (long long)r->steps);
        return text;
    }
    return "-";
}

static void print_rows(const comparison *c, const char *title, const char *const *names, int count,
                       cell_function cell) {
    if (count == 0) return;
    (void)printf("%-32s", title);
    for (int r = 0; r < c->runs; r++) (void)printf("  %*s", width_of(c, r), *title ? c->run[r].name : "");
    (void)printf("\n");
    for (int i = 0; i < count; i++) {
        (void)printf("%-32s", names[i]);
        for (int r = 0; r < c->runs; r++) {
            char text[48];
            (void)printf("  %*s", width_of(c, r), cell(c, r, names[i], text));
        }
        (void)printf("\n");
    }
}

static void print_text(const comparison *c) {
    static const char *const facts[] = { "state", "steps", "duration" };
    print_rows(c, "RUN", facts, WK_COUNT(facts), state_cell);
    if (c->keys)
        (void)printf("\n");
    else
        (void)printf("\nno setting differs\n");
    print_rows(c, "SETTING", c->key, c->keys, setting_cell);
    if (c->columns) (void)printf("\n");
    print_rows(c, "LAST VALUE", c->column, c->columns, metric_cell);
    for (int r = 0; r < c->runs; r++)
        if (c->run[r].lacks[0])
            (void)fprintf(stderr, "%s lacks %s: what these would tell is \"-\"\n", c->run[r].path, c->run[r].lacks);
}

static wk_status print_json(const comparison *c) {
    json_t *runs = json_array(), *settings = json_array(), *metrics = json_array();
    for (int r = 0; r < c->runs; r++) (void)json_array_append_new(runs, wk__run_json(&c->run[r]));
    for (int i = 0; i < c->keys; i++) {
        json_t *values = json_array();
        for (int r = 0; r < c->runs; r++) (void)json_array_append_new(values, wk__json_text(value_of(c, r, c->key[i])));
        (void)json_array_append_new(settings,
                                    json_pack("{s:o, s:o}", "name", wk__json_text(c->key[i]), "values", values));
    }
    for (int i = 0; i < c->columns; i++) {
        json_t *values = json_array();
        for (int r = 0; r < c->runs; r++)
            (void)json_array_append_new(values, wk__json_number(last_of(c, r, c->column[i])));
        (void)json_array_append_new(metrics,
                                    json_pack("{s:o, s:o}", "name", wk__json_text(c->column[i]), "values", values));
    }
    json_t *all = json_pack("{s:o, s:o, s:o}", "runs", runs, "settings", settings, "metrics", metrics);
    bool written = all && json_dumpf(all, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;
    json_decref(all);
    return written ? WK_OK : wk_fail(WK_IO, "stdout cannot be written");
}

/* ---- the command line ---- */

static int parse(int argc, char **argv, comparison *c) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--metric") == 0) {
            if (i + 1 == argc) return wk__runs_usage("a value is missing after", word);
            if (c->metrics == MOST_METRICS) return wk__runs_usage("more than 32 metrics", "");
            c->metric[c->metrics++] = argv[++i];
        } else if (strcmp(word, "--all") == 0) {
            c->all = true;
        } else if (strcmp(word, "--json") == 0) {
            c->json = true;
        } else if (word[0] != '-') {
            if (c->runs == MOST_RUNS) return wk__runs_usage("more than 16 runs", "");
            c->path[c->runs++] = word;
        } else {
            return wk__runs_usage("compare: cannot make sense of", word);
        }
    }
    return c->runs < 2 ? wk__runs_usage("compare takes two directories of runs, or more", "") : 0;
}

static wk_status compare(comparison *c, int *opened) {
    for (; *opened < c->runs; (*opened)++) {
        int r = *opened;
        WK_TRY(wk__run_open(&c->run[r], c->path[r], NULL, NULL));
        if (!(c->settings[r] = wk_alloc(WK__MOST_SETTINGS * sizeof *c->settings[r]))) {
            wk__run_close(&c->run[r]);
            return WK_NO_MEMORY;
        }
        c->n_settings[r] = wk__settings(c->run[r].config, c->settings[r]);
    }
    collect_keys(c);
    WK_TRY(collect_columns(c));
    if (c->json) return print_json(c);
    print_text(c);
    return WK_OK;
}

int wk__runs_compare_main(int argc, char **argv) {
    comparison *c = wk_alloc(sizeof *c);
    int opened = 0, code = c ? parse(argc, argv, c) : wk__runs_failed();
    wk_status status = code ? WK_OK : compare(c, &opened);
    for (int r = 0; c && r < opened; r++) {
        wk_free(c->settings[r]);
        wk__run_close(&c->run[r]);
    }
    wk_free(c);
    return code ? code : status == WK_OK ? 0 : wk__runs_failed();
}
