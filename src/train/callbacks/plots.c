/* plots.c: pictures and tables in the run's directory: learning curves and confusion matrix as SVG and PNG, the
 * classes' report, pytorch-quik's table of losses.
 *
 * They are drawn of what the directory holds, after each epoch and once more when the run has ended: then its
 * evaluation is there.  Rank 0 draws.
 */
#include "train/callbacks/callbacks.h"

#include "io/file.h"
#include "train/report/report.h"
#include "train/runs/panels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const wk_arg wk__plots_args[] = {
    { "formats", WK_ARG_LIST, "[svg, png]", "png needs the plug-in wick_cairo.so" },
    { "metrics", WK_ARG_LIST, "", "curves of these alone: names of columns, or loss for all losses" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

enum { FORMATS = 2, MOST_METRICS = 32 };
static const char *const endings[FORMATS] = { "svg", "png" };

typedef struct plots {
    wk_callback base;
    bool format[FORMATS], trains; /* it came so far that there is something to draw */
    const char *metric[MOST_METRICS];
    int metrics;
    wk_loss_table losses;
} plots;

/* ---- pictures ---- */

static wk_status draw_curves(const plots *p, const wk__run *run) {
    const wk__source source = { run->name, &run->table };
    wk__panels panels;
    WK_TRY(wk__panels_make(&panels, &source, 1, (wk__panel_opts){ .metrics = p->metric, .n_metrics = p->metrics }));
    wk_status status = WK_OK;
    for (int f = 0; f < FORMATS && status == WK_OK && panels.count; f++) {
        if (!p->format[f]) continue;
        char *path = wk_format("%s/curves.%s", run->path, endings[f]);
        status = path ? wk__panels_save(&panels, path) : WK_NO_MEMORY;
        wk_free(path);
    }
    wk__panels_free(&panels);
    return status;
}

static wk_status draw_matrix(const wk__classes *c, const char *path) {
    const wk__matrix matrix = { c->counts, c->classes, c->names };
    double side = wk__matrix_side(&matrix);
    wk__picture *picture = wk__picture_open(path, side, side);
    if (!picture) return wk_error_code();
    wk__draw_matrix(picture, (wk__box){ 0, 0, side, side }, &matrix);
    return wk__picture_close(picture, path);
}

static wk_status write_text(const wk__run *run, const char *name, char *text) {
    char *path = text ? wk_format("%s/%s", run->path, name) : NULL;
    wk_status status = path ? wk__write_file(path, text, strlen(text)) : wk_error_code();
    wk_free(path);
    wk_free(text);
    return status;
}

static wk_status tell_classes(const plots *p, const wk__run *run) {
    wk__classes classes;
    if (!wk__classes_read(&classes, run->evaluation)) return wk_failed() ? wk_error_code() : WK_OK;
    wk_status status = write_text(run, "classes.txt", wk__classes_text(&classes));
    for (int f = 0; f < FORMATS && status == WK_OK; f++) {
        if (!p->format[f]) continue;
        char *path = wk_format("%s/confusion.%s", run->path, endings[f]);
        status = path ? draw_matrix(&classes, path) : WK_NO_MEMORY;
        wk_free(path);
    }
    wk__classes_free(&classes);
    return status;
}

static wk_status draw_all(const plots *p, const wk_trainer *t, bool at_end) {
    wk__run run;
    if (wk_trainer_rank(t) != 0 || !p->trains) return WK_OK;
    WK_TRY(wk__run_open(&run, wk_trainer_folder(t), NULL, NULL));
    wk_status status = run.table.rows ? draw_curves(p, &run) : WK_OK;
    if (status == WK_OK && at_end) status = tell_classes(p, &run);
    if (status == WK_OK) status = write_text(&run, "losses.txt", wk_loss_table_text(&p->losses));
    wk__run_close(&run);
    return status;
}

/* ---- hooks ---- */

/* Hours of training should not end with a picture that cannot be drawn. */
static wk_status setup(wk_callback *self, wk_trainer *t) {
    (void)t;
    return !((plots *)self)->format[1] || wk__cairo_canvas() ? WK_OK : wk_error_code();
}

static wk_status train_start(wk_callback *self, wk_trainer *t) {
    (void)t;
    ((plots *)self)->trains = true;
    return WK_OK;
}

/* The rows of the epoch before stand in metrics.csv now. */
static wk_status epoch_start(wk_callback *self, wk_trainer *t) {
    double paused = wk_now();
    wk_status status = wk_trainer_epoch(t) > 0 ? draw_all((plots *)self, t, false) : WK_OK;
    t->window_start += wk_now() - paused; /* the rate is that of training alone */
    return status;
}

static wk_status batch_end(wk_callback *self, wk_trainer *t) {
    double loss = wk_trainer_loss_value(t);
    if (isfinite(loss)) wk_loss_table_add(&((plots *)self)->losses, loss);
    return WK_OK;
}

static wk_status epoch_end(wk_callback *self, wk_trainer *t) {
    wk_loss_table *table = &((plots *)self)->losses;
    if (!wk_trainer_metric(t, "val_loss", &table->valid_loss)) table->valid_loss = 0; /* as quik, without validation */
    WK_TRY(wk_loss_table_write(table));
    table->row[table->count - 1].epoch = wk_trainer_epoch(t);
    return WK_OK;
}

static wk_status teardown(wk_callback *self, wk_trainer *t) {
    return draw_all((plots *)self, t, true);
}

/* ---- what a checkpoint keeps: the smoothed loss, the time, and the rows ---- */

static char *state(wk_callback *self) {
    const wk_loss_table *l = &((plots *)self)->losses;
    wk_text text = { 0 };
    wk_text_printf(&text, "%.17g %lld %.17g\n", l->smoothed.mean, (long long)l->smoothed.count,
                   l->started > 0 ? wk_now() - l->started : 0);
    for (int64_t i = 0; i < l->count; i++)
        wk_text_printf(&text, "%lld %.17g %.17g %.17g\n", (long long)l->row[i].epoch, l->row[i].train_loss,
                       l->row[i].valid_loss, l->row[i].seconds);
    if (!text.failed) return text.data;
    wk_text_free(&text);
    return NULL;
}

static wk_status load_state(wk_callback *self, const char *text) {
    wk_loss_table *l = &((plots *)self)->losses;
    double mean, elapsed;
    long long count, epoch;
    int used = 0;
    if (sscanf(text, "%lf %lld %lf\n%n", &mean, &count, &elapsed, &used) != 3 || used == 0)
        return wk_fail(WK_FORMAT, "state \"%.40s\" does not begin with three numbers", text);
    l->smoothed = (wk_smoothed){ .mean = mean, .count = count };
    l->started = wk_now() - elapsed;
    for (text += used; *text; text += used) {
        wk_loss_row row = { 0 };
        used = 0;
        if (sscanf(text, "%lld %lf %lf %lf\n%n", &epoch, &row.train_loss, &row.valid_loss, &row.seconds, &used) != 4
            || used == 0)
            return wk_fail(WK_FORMAT, "state \"%.40s\" is no row of losses", text);
        row.epoch = epoch;
        WK_TRY(wk_loss_table_put(l, row));
    }
    return WK_OK;
}

static void destroy(wk_callback *self) {
    wk_loss_table_free(&((plots *)self)->losses);
}

static const wk_callback_class class_ = { .name = "Plots",
                                          .size = sizeof(plots),
                                          .setup = setup,
                                          .train_start = train_start,
                                          .train_epoch_start = epoch_start,
                                          .train_batch_end = batch_end,
                                          .train_epoch_end = epoch_end,
                                          .teardown = teardown,
                                          .state = state,
                                          .load_state = load_state,
                                          .destroy = destroy,
                                          .never_stops = true };

wk_callback *wk__plots_build(const wk_config *args) {
    const char *words[FORMATS + 1];
    plots *p = (plots *)wk_callback_create(&class_);
    if (!p) return NULL;
    int count = wk_config_strings(args, "formats", words, FORMATS + 1);
    for (int f = 0; f < FORMATS; f++) p->format[f] = !wk_config_has(args, "formats");
    for (int i = 0; i < count; i++) {
        int f = 0;
        while (f < FORMATS && strcmp(words[i], endings[f]) != 0) f++;
        if (f == FORMATS)
            (void)wk_config_fail(args, "formats", "formats has \"%s\", expected svg and png", words[i]);
        else
            p->format[f] = true;
    }
    p->metrics = wk_config_strings(args, "metrics", p->metric, MOST_METRICS);
    return &p->base;
}
