/* tracker.c: `wick tracker`: what runs have noted about themselves (wick/app.h), in TorchX's words and tables.
 *
 * Which tracker: the first that the configuration names, as for `wick run`, or --root FOLDER.
 */
#include "launcher/commands/flags.h"
#include "launcher/config/config.h"
#include "app/app.h"

#include <jansson.h>
#include <string.h>

enum { COLUMNS = 3 };

typedef struct table {
    const char *heads[COLUMNS]; /* NULL past the last */
    const char *keys[COLUMNS];  /* of the same in JSON */
    json_t *rows;               /* an array of arrays of texts and values */
} table;

typedef struct options {
    const char *root, *parent, *artifact, *run;
    bool json, sources_only, descendants_only;
} options;

static wk_tracker *open_tracker(const char *root) {
    const wk_pair *named = NULL;
    size_t count = 0;
    if (root) return wk_tracker_open(root);
    wk__config *config = wk__config_load();
    if (!config) return NULL;
    wk_tracker *tracker = NULL;
    if (wk__config_section(config, "torchx:tracker", &named, &count) == WK_OK) {
        char section[160];
        (void)snprintf(section, sizeof section, "tracker:%.120s", count ? named[0].key : "");
        const char *file = count ? wk__config_get(config, section, "config") : NULL;
        if (!count)
            (void)wk_fail(WK_CONFIG,
                          "no tracker is configured: put [torchx:tracker] and [tracker:NAME] into .torchxconfig, "
                          "or say --root FOLDER");
        else if (!file)
            (void)wk_fail(WK_CONFIG, "[%s] has no `config`, a file with protocol=file and root_path=FOLDER", section);
        else
            tracker = wk_tracker_configure(file);
    }
    wk__config_free(config);
    return tracker;
}

/* ---- tables ---- */

static void add_row(table *t, json_t *first, json_t *second, json_t *third) {
    json_t *cells[COLUMNS] = { first, second, third };
    json_t *row = json_array();
    for (int i = 0; i < COLUMNS; i++)
        if (cells[i]) (void)json_array_append_new(row, cells[i]);
    (void)json_array_append_new(t->rows, row);
}

static void print_json(const table *t) {
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(t->rows); i++) {
        json_t *object = json_object();
        for (size_t c = 0; c < COLUMNS && t->keys[c]; c++)
            (void)json_object_set(object, t->keys[c], json_array_get(json_array_get(t->rows, i), c));
        (void)json_array_append_new(all, object);
    }
    (void)json_dumpf(all, stdout, JSON_INDENT(2));
    (void)fputc('\n', stdout);
    json_decref(all);
}

/* A text as it is, anything else as JSON; free with wk_free. */
static char *cell(const json_t *value) {
    if (json_is_string(value)) return wk_strdup(json_string_value(value));
    wk_text text = { 0 };
    wk_text_puts(&text, "");
    if (json_is_real(value)) {
        wk__json_put_number(&text, json_real_value(value));
        return text.data;
    }
    size_t size = value ? json_dumpb(value, NULL, 0, JSON_ENCODE_ANY) : 0;
    char *bytes = size ? wk_alloc(size) : NULL;
    if (bytes) wk_text_add(&text, bytes, json_dumpb(value, bytes, size, JSON_ENCODE_ANY));
    wk_free(bytes);
    return text.data;
}

static void print_text(const table *t) {
    size_t widths[COLUMNS] = { 0 };
    size_t columns = 0;
    while (columns < COLUMNS && t->heads[columns]) columns++;
    for (size_t c = 0; c < columns; c++) widths[c] = strlen(t->heads[c]) + 2;
    for (size_t i = 0; i < json_array_size(t->rows); i++)
        for (size_t c = 0; c < columns; c++) {
            char *text = cell(json_array_get(json_array_get(t->rows, i), c));
            if (text && strlen(text) > widths[c]) widths[c] = strlen(text);
            wk_free(text);
        }
    for (size_t c = 0; c < columns; c++)
        (void)printf("%-*s%s", c + 1 < columns ? (int)widths[c] : 0, t->heads[c], c + 1 < columns ? "  " : "\n");
    for (size_t c = 0; c < columns; c++) {
        for (size_t k = 0; k < widths[c]; k++) (void)fputc('-', stdout);
        (void)fputs(c + 1 < columns ? "  " : "\n", stdout);
    }
    for (size_t i = 0; i < json_array_size(t->rows); i++)
        for (size_t c = 0; c < columns; c++) {
            char *text = cell(json_array_get(json_array_get(t->rows, i), c));
            (void)printf("%-*s%s", c + 1 < columns ? (int)widths[c] : 0, text ? text : "",
                         c + 1 < columns ? "  " : "\n");
            wk_free(text);
        }
}

/* ---- what is listed ---- */

static json_t *maybe(const char *text) {
    return text ? wk__json_text(text) : json_string("");
}

static void list_jobs(wk_tracker *tracker, const options *o, table *t) {
    wk_tracked *runs = wk_tracker_runs(tracker, o->parent);
    *t = (table){ { "JOB ID" }, { "job_id" }, t->rows };
    for (size_t i = 0; runs && i < runs->count; i++) add_row(t, wk__json_text(runs->items[i].run), NULL, NULL);
    wk_tracked_free(runs);
}

static json_t *value_of(const wk_field *field) {
    switch (field->type) {
    case WK_FIELD_TEXT: return wk__json_text(field->text);
    case WK_FIELD_INT: return json_integer(field->integer);
    case WK_FIELD_FLOAT: return json_real(field->number);
    case WK_FIELD_BOOL: return json_boolean(field->integer);
    case WK_FIELD_JSON: return json_loads(field->text, 0, NULL);
    case WK_FIELD_NONE: break;
    }
    return json_null();
}

static void list_metadata(wk_tracker *tracker, const options *o, table *t) {
    wk_fields *fields = wk_tracker_metadata(tracker, o->run);
    *t = (table){ { "ID", "VALUE" }, { "id", "value" }, t->rows };
    for (size_t i = 0; fields && i < fields->count; i++)
        add_row(t, wk__json_text(fields->items[i].name), value_of(&fields->items[i]), NULL);
    wk_fields_free(fields);
}

static void list_artifacts(wk_tracker *tracker, const options *o, table *t) {
    wk_tracked *found = wk_tracker_artifacts(tracker, o->run);
    *t = (table){ { "ARTIFACT", "PATH", "METADATA" }, { "artifact", "path", "metadata" }, t->rows };
    for (size_t i = 0; found && i < found->count; i++) {
        const struct wk_tracked_item *a = &found->items[i];
        if (o->artifact && strcmp(o->artifact, a->artifact) != 0) continue;
        add_row(t, wk__json_text(a->artifact), wk__json_text(a->path), json_loads(a->metadata, JSON_DECODE_ANY, NULL));
    }
    wk_tracked_free(found);
}

/* Where a run came from, and which runs came from it: TorchX has the command, without what it shall do. */
static void list_lineage(wk_tracker *tracker, const options *o, table *t) {
    *t = (table){ { "RELATION", "JOB ID", "ARTIFACT" }, { "relation", "job_id", "artifact" }, t->rows };
    wk_tracked *sources = o->descendants_only ? NULL : wk_tracker_sources(tracker, o->run, o->artifact);
    for (size_t i = 0; sources && i < sources->count; i++)
        add_row(t, json_string("source"), wk__json_text(sources->items[i].run), maybe(sources->items[i].artifact));
    wk_tracked_free(sources);
    wk_tracked *children = o->sources_only || wk_failed() ? NULL : wk_tracker_runs(tracker, o->run);
    for (size_t i = 0; children && i < children->count; i++) {
        wk_tracked *links = wk_tracker_sources(tracker, children->items[i].run, o->artifact);
        for (size_t k = 0; links && k < links->count; k++)
            if (strcmp(links->items[k].run, o->run) == 0)
                add_row(t, json_string("descendant"), wk__json_text(children->items[i].run),
                        maybe(links->items[k].artifact));
        wk_tracked_free(links);
    }
    wk_tracked_free(children);
}

static const struct {
    const char *name;
    void (*fill)(wk_tracker *tracker, const options *o, table *t);
    bool of_a_run;
} lists[] = { { "jobs", list_jobs, false },
              { "metadata", list_metadata, true },
              { "artifacts", list_artifacts, true },
              { "lineage", list_lineage, true } };

int wk_tracker_main(int argc, char **argv) {
    static const char usage[] =
        "usage: wick tracker list jobs [--parent-run-id RUN_ID]\n"
        "       wick tracker list metadata RUN_ID\n"
        "       wick tracker list artifacts [--artifact NAME] RUN_ID\n"
        "       wick tracker list lineage [--sources-only | --descendants-only] [--artifact NAME] RUN_ID\n\n"
        "  --root FOLDER   a tracker's folder or URL, in place of the one that .torchxconfig names\n"
        "  --json          an array of objects\n\n"
        "example:  wick tracker list metadata local://wick/trainer-x7k2qv9wz4cd\n";
    options o = { 0 };
    const wk__flag flags[] = { { "--json", NULL, &o.json, NULL },
                               { "--root", NULL, NULL, &o.root },
                               { "--parent-run-id", NULL, NULL, &o.parent },
                               { "--artifact", NULL, NULL, &o.artifact },
                               { "--sources-only", NULL, &o.sources_only, NULL },
                               { "--descendants-only", NULL, &o.descendants_only, NULL } };
    size_t which = 0;
    bool asked = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    if (asked) return wk__flags_parse(argc, argv, usage, flags, WK_COUNT(flags), &o.run);
    while (argc > 2 && which < WK_COUNT(lists) && strcmp(argv[2], lists[which].name) != 0) which++;
    if (argc < 3 || strcmp(argv[1], "list") != 0 || which == WK_COUNT(lists))
        return wk__usage_error("tracker: expected `list` and one of jobs, metadata, artifacts, lineage\n%s", usage);
    int code = wk__flags_parse(argc - 2, argv + 2, usage, flags, WK_COUNT(flags), &o.run);
    if (code >= 0) return code;
    if (lists[which].of_a_run != (o.run != NULL))
        return wk__usage_error("tracker: `list %s` takes %s\n%s", lists[which].name,
                               lists[which].of_a_run ? "the id of a run" : "no run", usage);
    table t = { .rows = json_array() };
    wk_tracker *tracker = open_tracker(o.root);
    if (tracker) lists[which].fill(tracker, &o, &t);
    if (tracker && !wk_failed()) o.json ? print_json(&t) : print_text(&t);
    wk_tracker_close(tracker);
    json_decref(t.rows);
    return wk_failed() ? wk__report_code() : 0;
}
