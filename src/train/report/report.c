/* report.c: see report.h.  The page is made of the directory alone, so that it can be made anew at any time. */
#include "train/report/report.h"

#include "io/file.h"
#include "train/runs/panels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void add_summary(wk_text *page, const wk__run *r) {
    char text[300], number[32], time[32];
    wk_text_puts(page, "<table>\n");
    wk__page_fact(page, "state", wk__run_state_names[r->state]);
    wk__page_fact(page, "reason", r->reason);
    if (r->epochs >= 0) {
        (void)snprintf(text, sizeof text, r->max_epochs >= 0 ? "%lld of %lld" : "%lld", (long long)r->epochs,
                       (long long)r->max_epochs);
        wk__page_fact(page, "epochs", text);
    }
    if (r->steps >= 0) {
        (void)snprintf(text, sizeof text, "%lld", (long long)r->steps);
        wk__page_fact(page, "steps", text);
    }
    int step = wk__run_table_column(&r->table, "step");
    if (r->best_row >= 0 && step >= 0) {
        (void)snprintf(text, sizeof text, "%s %s, at step %.0f", r->metric, wk__words_number(r->best, number),
                       r->table.cell[r->best_row * r->table.columns + step]);
        wk__page_fact(page, "best", text);
    }
    (void)snprintf(text, sizeof text, "%s UTC", wk__words_time(r->started, time));
    if (!isnan(r->started)) wk__page_fact(page, "started", text);
    if (!isnan(r->seconds)) wk__page_fact(page, "trained for", wk__words_duration(r->seconds, number));
    wk_text_puts(page, "</table>\n");
    if (!r->lacks[0]) return;
    wk_text_puts(page, "<p>The directory lacks ");
    wk__xml_escape(page, r->lacks);
    wk_text_puts(page, ": what these would tell is left out.</p>\n");
}

static wk_status add_curves(wk_text *page, const wk__run *r) {
    const wk__source source = { r->name, &r->table };
    wk__panels panels;
    if (r->table.rows == 0) return WK_OK;
    WK_TRY(wk__panels_make(&panels, &source, 1, (wk__panel_opts){ 0 }));
    wk_status status = WK_OK;
    if (panels.count) {
        wk__page_section(page, "Learning curves");
        wk_text_puts(page, "<div class=\"charts\">\n");
        for (int i = 0; i < panels.count && status == WK_OK; i++) status = wk__panel_inline(&panels, i, page);
        wk_text_puts(page, "</div>\n");
    }
    wk__panels_free(&panels);
    return status;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of the rows of metrics: validation and checkpoints are not in their times. */
static wk_status add_throughput(wk_text *page, const wk__run *r) {
    const wk__run_table *t = &r->table;
    int column = wk__run_table_column(t, "images_per_second"), count = 0;
    double *rates = column >= 0 ? wk_alloc((size_t)(t->rows + 1) * sizeof *rates) : NULL;
    if (column < 0) return WK_OK;
    if (!rates) return WK_NO_MEMORY;
    for (int64_t i = 0; i < t->rows; i++)
        if (!isnan(t->cell[i * t->columns + column])) rates[count++] = t->cell[i * t->columns + column];
    if (count) {
        char text[100];
        qsort(rates, (size_t)count, sizeof *rates, by_value);
        wk__page_section(page, "Throughput");
        wk_text_puts(page, "<table>\n");
        (void)snprintf(text, sizeof text, "%.0f items a second", (rates[(count - 1) / 2] + rates[count / 2]) / 2);
        wk__page_fact(page, "median", text);
        (void)snprintf(text, sizeof text, "%.0f to %.0f, over %d rows", rates[0], rates[count - 1], count);
        wk__page_fact(page, "from, to", text);
        wk_text_puts(page, "</table>\n");
    }
    wk_free(rates);
    return WK_OK;
}

/* Facts of run.json under their keys. */
static void add_facts(wk_text *page, const json_t *record, const char *const (*facts)[2], size_t count) {
    wk_text_puts(page, "<table>\n");
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(record, facts[i][0]);
        char number[32] = "";
        if (json_is_integer(value)) (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        wk__page_fact(page, facts[i][1], json_is_string(value) ? json_string_value(value) : number);
    }
    wk_text_puts(page, "</table>\n");
}

static void add_model(wk_text *page, const wk__run *r) {
    static const char *const facts[][2] = { { "model", "name" },
                                            { "parameters", "parameters" },
                                            { "train_items", "items to train on" },
                                            { "val_items", "items to evaluate on" },
                                            { "batch_size", "items a step, over all ranks" } };
    const char *summary = json_string_value(json_object_get(r->record, "summary"));
    if (!r->record) return;
    wk__page_section(page, "Model");
    add_facts(page, r->record, facts, WK_COUNT(facts));
    if (summary && *summary) wk__page_text(page, summary);
}

static void add_environment(wk_text *page, const wk__run *r) {
    static const char *const facts[][2] = {
        { "host", "host" },     { "processor", "processor" }, { "instructions", "instruction set" },
        { "device", "device" }, { "ranks", "ranks" },         { "threads", "threads a rank" },
        { "build", "build" },   { "revision", "revision" },   { "parts", "parts (the first and each resume)" }
    };
    if (!r->record) return;
    wk__page_section(page, "Environment");
    add_facts(page, r->record, facts, WK_COUNT(facts));
}

static void add_configuration(wk_text *page, const wk__run *r) {
    char *text = r->config && r->config->root ? wk__yaml_dump(r->config->root) : NULL;
    if (!text) return;
    wk__page_section(page, "Configuration");
    wk__page_text(page, text);
    wk_free(text);
}

static void add_log(wk_text *page, const wk__run *r) {
    enum { MOST = 20000 };
    size_t size = r->log ? strlen(r->log) : 0;
    const char *from = r->log;
    if (!size) return;
    if (size > MOST) { /* from the beginning of a line on */
        const char *line = strchr(r->log + size - MOST, '\n');
        from = line ? line + 1 : r->log + size - MOST;
    }
    wk__page_section(page, "Log");
    wk_text_printf(page, "<details><summary>%s</summary>\n", from > r->log ? "its last lines" : "all of it");
    wk__page_text(page, from);
    wk_text_puts(page, "</details>\n");
}

static wk_status make_page(wk_text *page, const wk__run *r) {
    wk__page_begin(page, r->name);
    add_summary(page, r);
    WK_TRY(add_curves(page, r));
    WK_TRY(wk__report_classes(page, r));
    wk__report_samples(page, r);
    WK_TRY(add_throughput(page, r));
    add_model(page, r);
    add_environment(page, r);
    add_configuration(page, r);
    add_log(page, r);
    wk__page_end(page);
    return wk_failed() ? wk_error_code() : page->failed ? WK_NO_MEMORY : WK_OK;
}

wk_status wk__report_write(const char *folder) {
    wk__run run;
    wk_text page = { 0 };
    WK_TRY(wk__run_open(&run, folder, NULL, NULL));
    char *path = wk_format("%s/report.html", run.path);
    wk_status status = path ? make_page(&page, &run) : WK_NO_MEMORY;
    if (status == WK_OK) status = wk__write_file(path, page.data, page.size);
    wk_text_free(&page);
    wk_free(path);
    wk__run_close(&run);
    return status == WK_OK && wk_failed() ? wk_error_code() : status;
}
