/* ls.c: `wick runs ls`: the runs below a directory, chosen and in order. */
#include "train/runs/run.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WHERE = 16 };

typedef struct choice {
    const char *root, *sort, *states, *model, *name, *metric, *mode, *where[MOST_WHERE];
    int n_where;
    long limit; /* -1: all */
    bool reverse, json;
} choice;

/* ---- which ---- */

/* One of the words between commas. */
static bool is_among(const char *words, const char *word) {
    size_t size = strlen(word);
    for (const char *at = words; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, size) == 0 && (at[size] == ',' || !at[size])) return true;
    }
    return false;
}

static bool is_wanted(const choice *c, const wk__run *r) {
    if (c->states && !is_among(c->states, wk__run_state_names[r->state])) return false;
    if (c->model && (!r->model || fnmatch(c->model, r->model, 0) != 0)) return false;
    if (c->name && fnmatch(c->name, r->name, 0) != 0) return false;
    for (int i = 0; i < c->n_where; i++) {
        char key[200];
        const char *sign = strchr(c->where[i], '=');
        (void)snprintf(key, sizeof key, "%.*s", (int)(sign - c->where[i]), c->where[i]);
        const char *value = wk__run_setting(r, key);
        if (!wk__same_value(value, sign + 1)) return false;
    }
    return true;
}

static void choose(const choice *c, wk__run_list *list) {
    int kept = 0;
    for (int i = 0; i < list->count; i++) {
        if (is_wanted(c, &list->run[i]))
            list->run[kept++] = list->run[i];
        else
            wk__run_close(&list->run[i]);
    }
    list->count = kept;
}

/* ---- in which order ---- */

static int by_text(const char *a, const char *b) {
    return strcmp(a ? a : "", b ? b : "");
}

/* Larger before smaller; what is unknown last. */
static int by_number(double a, double b) {
    if (isnan(a) || isnan(b)) return isnan(a) - isnan(b);
    return (a < b) - (a > b);
}

static double goodness(const wk__run *r) {
    return r->largest ? r->best : -r->best;
}

#define ORDER(name, expression)                          \
    static int name(const void *a_, const void *b_) {    \
        const wk__run *a = a_, *b = b_;                  \
        int order = (expression);                        \
        return order ? order : strcmp(a->path, b->path); \
    }
ORDER(by_name, by_text(a->name, b->name))
ORDER(by_state, (int)a->state - (int)b->state)
ORDER(by_model, by_text(a->model, b->model))
ORDER(by_epochs, by_number((double)a->epochs, (double)b->epochs))
ORDER(by_steps, by_number((double)a->steps, (double)b->steps))
ORDER(by_best, by_number(goodness(a), goodness(b)))
ORDER(by_seconds, by_number(a->seconds, b->seconds))
ORDER(by_start, by_number(a->started, b->started))
#undef ORDER

static const struct {
    const char *name;
    int (*compare)(const void *, const void *);
} orders[] = { { "name", by_name },   { "state", by_state }, { "model", by_model },     { "epochs", by_epochs },
               { "steps", by_steps }, { "best", by_best },   { "seconds", by_seconds }, { "started", by_start } };

static void sort(const choice *c, wk__run_list *list) {
    for (size_t i = 0; i < WK_COUNT(orders) && list->count; i++)
        if (strcmp(orders[i].name, c->sort) == 0)
            qsort(list->run, (size_t)list->count, sizeof *list->run, orders[i].compare);
    for (int i = 0; c->reverse && i < list->count / 2; i++) {
        wk__run kept = list->run[i];
        list->run[i] = list->run[list->count - 1 - i];
        list->run[list->count - 1 - i] = kept;
    }
    while (c->limit >= 0 && list->count > c->limit) wk__run_close(&list->run[--list->count]);
}

/* ---- printing ---- */

json_t *wk__run_json(const wk__run *r) {
    json_t *best = json_pack("{s:o, s:o, s:s}", "metric", wk__json_text(r->metric[0] ? r->metric : NULL), "value",
                             wk__json_number(r->best), "mode", r->largest ? "max" : "min");
    json_t *object = json_pack("{s:o, s:o, s:s, s:o, s:o, s:o}", "name", wk__json_text(r->name), "path",
                               wk__json_text(r->path), "state", wk__run_state_names[r->state], "reason",
                               r->reason[0] ? wk__json_text(r->reason) : json_null(), "model", wk__json_text(r->model),
                               "best", best);
    const struct {
        const char *key;
        int64_t value;
    } counts[] = { { "epochs", r->epochs }, { "max_epochs", r->max_epochs }, { "steps", r->steps } };
    for (size_t i = 0; i < WK_COUNT(counts); i++)
        (void)json_object_set_new(object, counts[i].key,
                                  counts[i].value < 0 ? json_null() : json_integer(counts[i].value));
    (void)json_object_set_new(object, "started", wk__json_number(r->started));
    (void)json_object_set_new(object, "ended", wk__json_number(r->ended));
    (void)json_object_set_new(object, "seconds", wk__json_number(r->seconds));
    (void)json_object_set_new(object, "lacks", r->lacks[0] ? wk__json_text(r->lacks) : json_null());
    return object;
}

static wk_status print_json(const wk__run_list *list) {
    json_t *all = json_array();
    for (int i = 0; i < list->count; i++) (void)json_array_append_new(all, wk__run_json(&list->run[i]));
    bool written = all && json_dumpf(all, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;
    json_decref(all);
    return written ? WK_OK : wk_fail(WK_IO, "stdout cannot be written");
}

static void count_text(int64_t done, int64_t of, char *text, size_t size) {
    if (done < 0)
        (void)snprintf(text, size, "-");
    else if (of > 0)
        (void)snprintf(text, size, "%lld/%lld", (long long)done, (long long)of);
    else
        (void)snprintf(text, size, "%lld", (long long)done);
}

static void print_line(const wk__run *r, int width) {
    char epochs[48], steps[32], number[32], best[110] = "-", time[32], duration[32];
    count_text(r->epochs, r->max_epochs, epochs, sizeof epochs);
    count_text(r->steps, -1, steps, sizeof steps);
    if (r->metric[0]) (void)snprintf(best, sizeof best, "%s %s", r->metric, wk__words_number(r->best, number));
    (void)printf("%-*s  %-8s %-14s %9s %9s  %-22s %9s  %s\n", width, r->name, wk__run_state_names[r->state],
                 r->model ? r->model : "-", epochs, steps, best, wk__words_duration(r->seconds, duration),
                 wk__words_time(r->started, time));
}

static void print_lines(const choice *c, const wk__run_list *list) {
    int width = 4;
    for (int i = 0; i < list->count; i++)
        if ((int)strlen(list->run[i].name) > width) width = (int)strlen(list->run[i].name);
    if (list->count)
        (void)printf("%-*s  %-8s %-14s %9s %9s  %-22s %9s  %s\n", width, "NAME", "STATE", "MODEL", "EPOCHS", "STEPS",
                     "BEST", "DURATION", "STARTED (UTC)");
    else
        (void)fprintf(stderr, "no runs below %s%s\n", c->root,
                      c->states || c->model || c->name || c->n_where ? " are like that" : "");
    for (int i = 0; i < list->count; i++) print_line(&list->run[i], width);
    for (int i = 0; i < list->count; i++)
        if (list->run[i].lacks[0])
            (void)fprintf(stderr, "%s lacks %s: what these would tell is \"-\"\n", list->run[i].path,
                          list->run[i].lacks);
}

/* ---- the command line ---- */

/* 0, or an exit code. */
static int check(const choice *c) {
    bool known = false;
    for (size_t i = 0; i < WK_COUNT(orders); i++) known = known || strcmp(orders[i].name, c->sort) == 0;
    if (!known)
        return wk__runs_usage("--sort takes name, state, model, epochs, steps, best, seconds or started, not", c->sort);
    if (c->mode && strcmp(c->mode, "min") != 0 && strcmp(c->mode, "max") != 0)
        return wk__runs_usage("--mode takes min or max, not", c->mode);
    for (int i = 0; i < c->n_where; i++)
        if (!strchr(c->where[i], '=') || c->where[i][0] == '=')
            return wk__runs_usage("--where takes KEY=VALUE, not", c->where[i]);
    for (const char *at = c->states; at && *at;) {
        char word[32];
        size_t size = strcspn(at, ",");
        (void)snprintf(word, sizeof word, "%.*s", (int)size, at);
        bool is_state = false;
        for (int i = 0; i < WK__RUN_STATES; i++) is_state = is_state || strcmp(word, wk__run_state_names[i]) == 0;
        if (!is_state) return wk__runs_usage("--state takes done, stopped, running, failed or unknown, not", word);
        at += size + (at[size] == ',');
    }
    return 0;
}

static int parse(int argc, char **argv, choice *c) {
    const struct {
        const char *option, **into;
    } options[] = { { "--sort", &c->sort }, { "--state", &c->states },  { "--model", &c->model },
                    { "--name", &c->name }, { "--metric", &c->metric }, { "--mode", &c->mode } };
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], **into = NULL;
        for (size_t k = 0; k < WK_COUNT(options); k++)
            if (strcmp(word, options[k].option) == 0) into = options[k].into;
        bool is_where = strcmp(word, "--where") == 0, is_limit = strcmp(word, "--limit") == 0;
        if ((into || is_where || is_limit) && i + 1 == argc) return wk__runs_usage("a value is missing after", word);
        if (into) {
            *into = argv[++i];
        } else if (is_where) {
            if (c->n_where == MOST_WHERE) return wk__runs_usage("--where can be given 16 times", "");
            c->where[c->n_where++] = argv[++i];
        } else if (is_limit) {
            char *end;
            c->limit = strtol(argv[++i], &end, 10);
            if (*end || end == argv[i] || c->limit < 0) return wk__runs_usage("--limit takes a number, not", argv[i]);
        } else if (strcmp(word, "--reverse") == 0) {
            c->reverse = true;
        } else if (strcmp(word, "--json") == 0) {
            c->json = true;
        } else if (word[0] != '-' && !c->root) {
            c->root = word;
        } else {
            return wk__runs_usage("ls: cannot make sense of", word);
        }
    }
    if (!c->root) c->root = "runs";
    if (!c->sort) c->sort = "name";
    return check(c);
}

int wk__runs_ls_main(int argc, char **argv) {
    choice c = { .limit = -1 };
    int code = parse(argc, argv, &c);
    wk__run_list list;
    if (code) return code;
    wk_status status = wk__runs_find(&list, c.root, c.metric, c.mode, stderr);
    if (status == WK_OK) {
        choose(&c, &list);
        sort(&c, &list);
        if (c.json)
            status = print_json(&list);
        else
            print_lines(&c, &list);
        wk__runs_free(&list);
    }
    return status == WK_OK ? 0 : wk__runs_failed();
}
