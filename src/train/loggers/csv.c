/* csv.c: Lightning's CSVLogger, byte for byte: NAME/version_N/metrics.csv and hparams.yaml.
 *
 * The first line holds the sorted names, `step` among them; lines end with \r\n; a cell without a value is empty, and a
 * name that comes later has the file written anew.  Values are Python's repr of a float.
 */
#include "train/loggers/text.h"

#include "base/base.h"
#include "io/file.h"
#include "train/folder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const wk_arg wk__csv_args[] = {
    { "name", WK_ARG_TEXT, "default", "the folder below the run's" },
    { "flush_logs_every_n_steps", WK_ARG_INT, "100", "rows kept in memory" },
    { NULL, WK_ARG_INT, NULL, NULL },
};

enum { MOST_NAMES = 128 };
/* A row is a list of (name's number, value). */
typedef struct cell {
    int name;
    double value;
} cell;
typedef struct row {
    int64_t step, epoch;
    cell *cells;
    int count;
} row;
typedef struct csv {
    wk_logger base;
    const char *name;
    char *folder, *path;
    int64_t every;
    char *names[MOST_NAMES];
    int n_names;
    row *rows;
    size_t n_rows, capacity, written; /* rows already in the file */
    bool is_stale;                    /* is to be written anew: its first line lacks a name */
} csv;

static int name_number(csv *c, const char *name, int likely) {
    const int found = wk__name_index(c->names, c->n_names, name, likely);
    if (found >= 0) return found;
    if (c->n_names == MOST_NAMES || !(c->names[c->n_names] = wk_strdup(name))) return -1;
    c->is_stale = true;
    return c->n_names++;
}

/* The columns in their order. */
typedef struct column {
    const char *name;
    int number; /* of its name; STEP, EPOCH */
} column;
enum { STEP = MOST_NAMES, EPOCH };

static int by_name(const void *a, const void *b) {
    return strcmp(((const column *)a)->name, ((const column *)b)->name);
}

static void write_row(const row *r, const column *columns, int count, wk_text *out) {
    const double *value[MOST_NAMES] = { 0 };
    for (int i = 0; i < r->count; i++) value[r->cells[i].name] = &r->cells[i].value;
    for (int i = 0; i < count; i++) {
        char text[40];
        const int number = columns[i].number;
        if (i) wk_text_puts(out, ",");
        if (number >= MOST_NAMES)
            wk_text_printf(out, "%lld", (long long)(number == STEP ? r->step : r->epoch));
        else if (value[number])
            wk_text_puts(out, wk__python_float(*value[number], text));
    }
    wk_text_puts(out, "\r\n");
}

static wk_status append(const csv *c, const wk_text *text) {
    FILE *file = fopen(c->path, "ae");
    bool written = file && fwrite(wk_text_get(text), 1, text->size, file) == text->size;
    if (file && fclose(file) != 0) written = false;
    return written ? WK_OK : wk_fail(WK_IO, "%s: cannot write: %s", c->path, strerror(errno));
}

/* The rows that are not there yet, behind the others; all of them where the first line is another now. */
static wk_status write_file(csv *c) {
    column columns[MOST_NAMES + 2] = { { "step", STEP }, { "epoch", EPOCH } };
    int count = 2;
    for (int i = 0; i < c->n_names; i++) columns[count++] = (column){ c->names[i], i };
    qsort(columns, (size_t)count, sizeof *columns, by_name);
    wk_text text = { 0 };
    if (c->is_stale) {
        c->written = 0;
        for (int i = 0; i < count; i++) wk_text_printf(&text, "%s%s", i ? "," : "", columns[i].name);
        wk_text_puts(&text, "\r\n");
    }
    for (size_t i = c->written; i < c->n_rows; i++) write_row(&c->rows[i], columns, count, &text);
    wk_status status = text.failed   ? WK_NO_MEMORY
                       : c->is_stale ? wk__write_file(c->path, wk_text_get(&text), text.size)
                                     : append(c, &text);
    wk_text_free(&text);
    c->written = c->n_rows;
    c->is_stale = status != WK_OK; /* half a line, perhaps */
    return status;
}

static wk_status add_row(csv *c, int64_t step, int64_t epoch, const wk_logged *values, int count) {
    if (c->n_rows == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 64;
        row *rows = wk_realloc(c->rows, capacity * sizeof *rows);
        if (!rows) return WK_NO_MEMORY;
        c->rows = rows;
        c->capacity = capacity;
    }
    row *r = &c->rows[c->n_rows];
    *r = (row){ step, epoch, wk_alloc((size_t)count * sizeof(cell)), count };
    if (!r->cells) return WK_NO_MEMORY;
    c->n_rows++;
    for (int i = 0; i < count; i++) {
        r->cells[i] = (cell){ name_number(c, values[i].name, i > 0 ? r->cells[i - 1].name + 1 : 0), values[i].value };
        if (r->cells[i].name < 0) return wk_fail(WK_INVALID, "logger csv: more than %d names", MOST_NAMES);
    }
    return WK_OK;
}

/* The rows up to a step of an earlier part of the run. */
static wk_status read_rows(csv *c, int64_t last_step) {
    size_t size;
    char *text = wk__read_file(c->path, (size_t)1 << 30, &size), *save_line = NULL;
    if (!text) {
        wk_clear_error(); /* there was none */
        return WK_OK;
    }
    char *last_end = strrchr(text, '\n'); /* behind it: half a line of a run that was killed */
    text[last_end ? last_end - text : 0] = '\0';
    char *names[MOST_NAMES + 2], *header = strtok_r(text, "\r\n", &save_line);
    int count = 0;
    for (char *at = header; at && count < MOST_NAMES + 2;) {
        char *comma = strchr(at, ',');
        if (comma) *comma++ = '\0';
        names[count++] = at;
        at = comma;
    }
    wk_status status = WK_OK;
    for (char *line; status == WK_OK && header && (line = strtok_r(NULL, "\r\n", &save_line));) {
        wk_logged values[MOST_NAMES + 2];
        int n = 0;
        int64_t step = 0, epoch = 0;
        for (int i = 0; i < count && line; i++) {
            char *comma = strchr(line, ',');
            if (comma) *comma++ = '\0';
            if (strcmp(names[i], "step") == 0)
                step = strtoll(line, NULL, 10);
            else if (strcmp(names[i], "epoch") == 0)
                epoch = strtoll(line, NULL, 10);
            else if (*line)
                values[n++] = (wk_logged){ names[i], strtod(line, NULL) };
            line = comma;
        }
        if (step <= last_step) status = add_row(c, step, epoch, values, n);
    }
    wk_free(text);
    return status;
}

static wk_status start(wk_logger *self, const char *folder, const char *config, int64_t resumed_step) {
    csv *c = (csv *)self;
    c->folder = wk__version_folder(folder, c->name, resumed_step);
    c->path = c->folder ? wk_format("%s/metrics.csv", c->folder) : NULL;
    char *hparams = c->path ? wk_format("%s/hparams.yaml", c->folder) : NULL;
    wk_status status = hparams ? wk__write_file(hparams, config, strlen(config)) : wk_error_code();
    wk_free(hparams);
    return status == WK_OK && resumed_step >= 0 ? read_rows(c, resumed_step) : status;
}

static wk_status add(wk_logger *self, int64_t step, int64_t epoch, const wk_logged *values, int count) {
    csv *c = (csv *)self;
    WK_TRY(add_row(c, step, epoch - 1, values, count)); /* Lightning counts epochs from 0 */
    return (int64_t)(c->n_rows - c->written) >= c->every ? write_file(c) : WK_OK;
}

static wk_status flush(wk_logger *self) {
    csv *c = (csv *)self;
    return c->written < c->n_rows || c->is_stale ? write_file(c) : WK_OK;
}

static void destroy(wk_logger *self) {
    csv *c = (csv *)self;
    for (int i = 0; i < c->n_names; i++) wk_free(c->names[i]);
    for (size_t i = 0; i < c->n_rows; i++) wk_free(c->rows[i].cells);
    wk_free(c->rows);
    wk_free(c->folder);
    wk_free(c->path);
}

static const wk_logger_class class_ = { "csv", sizeof(csv), start, add, flush, destroy };

wk_logger *wk__csv_build(const wk_config *args) {
    csv *c = (csv *)wk_logger_create(&class_);
    if (!c) return NULL;
    c->name = wk_config_string(args, "name", "default");
    c->every = wk_config_int(args, "flush_logs_every_n_steps", 1, INT32_MAX, 100);
    return &c->base;
}
