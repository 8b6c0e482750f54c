/* table.c: rows of metrics as numbers: metrics.csv (Wick's, Lightning's) and metrics.jsonl. */
#include "train/runs/run.h"

#include "io/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_COLUMNS = 512 };

void wk__run_table_free(wk__run_table *t) {
    for (int i = 0; i < t->columns; i++) wk_free(t->column[i]);
    wk_free(t->column);
    wk_free(t->cell);
    *t = (wk__run_table){ 0 };
}

int wk__run_table_column(const wk__run_table *t, const char *name) {
    for (int i = 0; i < t->columns; i++)
        if (strcmp(t->column[i], name) == 0) return i;
    return -1;
}

double wk__run_table_last(const wk__run_table *t, int column) {
    for (int64_t r = t->rows - 1; r >= 0 && column >= 0; r--)
        if (!isnan(t->cell[r * t->columns + column])) return t->cell[r * t->columns + column];
    return NAN;
}

double wk__run_table_best(const wk__run_table *t, int column, bool largest, int64_t *row) {
    double best = NAN;
    *row = -1;
    for (int64_t r = 0; r < t->rows && column >= 0; r++) {
        double value = t->cell[r * t->columns + column];
        if (isnan(value) || (!isnan(best) && !(largest ? value > best : value < best))) continue;
        best = value;
        *row = r;
    }
    return best;
}

static wk_status add_column(wk__run_table *t, const char *name, size_t size) {
    if (t->columns == MOST_COLUMNS) return wk_fail(WK_FORMAT, "more than %d columns", MOST_COLUMNS);
    char *copy = wk_format("%.*s", (int)size, name);
    if (!copy) return WK_NO_MEMORY;
    t->column[t->columns++] = copy;
    return WK_OK;
}

/* ---- CSV: names and numbers, nothing quoted ---- */

/* The line's end without \r; `next` begins the one after it, NULL at the end of the text. */
static size_t line_of(const char *line, const char **next) {
    const char *end = strchr(line, '\n');
    size_t size = end ? (size_t)(end - line) : strlen(line);
    *next = end && end[1] ? end + 1 : NULL;
    return size && line[size - 1] == '\r' ? size - 1 : size;
}

static wk_status read_names(wk__run_table *t, const char *line, size_t size) {
    for (size_t at = 0; at <= size;) {
        size_t length = 0;
        while (at + length < size && line[at + length] != ',') length++;
        WK_TRY(add_column(t, line + at, length));
        at += length + 1;
    }
    return WK_OK;
}

static wk_status read_cells(double *cells, int columns, const char *line, size_t size, int64_t number) {
    size_t at = 0;
    int c = 0;
    for (; at <= size && c < columns; c++) {
        size_t length = 0;
        char text[64], *end;
        while (at + length < size && line[at + length] != ',') length++;
        cells[c] = NAN;
        if (length >= sizeof text) return wk_fail(WK_FORMAT, "line %lld: a cell is no number", (long long)number);
        memcpy(text, line + at, length);
        text[length] = '\0';
        if (length) cells[c] = strtod(text, &end);
        if (length && (*end || end == text))
            return wk_fail(WK_FORMAT, "line %lld: \"%s\" is no number", (long long)number, text);
        at += length + 1;
    }
    if (c == columns && at == size + 1) return WK_OK;
    return wk_fail(WK_FORMAT, "line %lld does not have the %d cells of the first one", (long long)number, columns);
}

static wk_status read_csv(wk__run_table *t, const char *text) {
    int64_t most = 0, number = 1;
    const char *line = text, *next;
    for (const char *c = text; *c; c++) most += *c == '\n';
    if (!*text) return wk_fail(WK_FORMAT, "the file is empty, expected a line of names");
    size_t size = line_of(line, &next);
    WK_TRY(read_names(t, line, size));
    if (!(t->cell = wk_alloc((size_t)(most + 1) * (size_t)t->columns * sizeof *t->cell))) return WK_NO_MEMORY;
    while ((line = next)) {
        size = line_of(line, &next);
        number++;
        /* The last line of a run that is just writing it may not be whole. */
        if (!next && !strchr(line, '\n')) break;
        if (size) WK_TRY(read_cells(t->cell + t->rows++ * t->columns, t->columns, line, size, number));
    }
    return WK_OK;
}

/* ---- JSON lines ---- */

/* Calls `visit` with each whole line's object. */
static wk_status each_line(const char *text, wk_status (*visit)(wk__run_table *, json_t *), wk__run_table *t) {
    int64_t number = 0;
    for (const char *line = text, *next; line && *line; line = next) {
        size_t size = line_of(line, &next);
        json_error_t error;
        number++;
        if (!next && !strchr(line, '\n')) break;
        json_t *object = json_loadb(line, size, 0, &error);
        wk_status status = json_is_object(object) ? visit(t, object)
                                                  : wk_fail(WK_FORMAT, "line %lld is no object of JSON: %s",
                                                            (long long)number, object ? "another value" : error.text);
        json_decref(object);
        WK_TRY(status);
    }
    return WK_OK;
}

static wk_status count_line(wk__run_table *t, json_t *object) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        if (wk__run_table_column(t, key) < 0) WK_TRY(add_column(t, key, strlen(key)));
    }
    t->rows++;
    return WK_OK;
}

static wk_status fill_line(wk__run_table *t, json_t *object) {
    double *cells = t->cell + t->rows++ * t->columns;
    for (int c = 0; c < t->columns; c++) {
        const json_t *value = json_object_get(object, t->column[c]);
        cells[c] = json_is_number(value) ? json_number_value(value) : NAN;
    }
    return WK_OK;
}

static wk_status read_jsonl(wk__run_table *t, const char *text) {
    WK_TRY(each_line(text, count_line, t));
    if (!(t->cell = wk_alloc((size_t)(t->rows * t->columns + 1) * sizeof *t->cell))) return WK_NO_MEMORY;
    t->rows = 0;
    return each_line(text, fill_line, t);
}

wk_status wk__run_table_parse(wk__run_table *t, const char *text, bool lines_of_json) {
    *t = (wk__run_table){ .column = wk_alloc(MOST_COLUMNS * sizeof(char *)) };
    wk_status status = !t->column ? WK_NO_MEMORY : lines_of_json ? read_jsonl(t, text) : read_csv(t, text);
    if (status != WK_OK) wk__run_table_free(t);
    return status;
}

wk_status wk__run_table_read(wk__run_table *t, const char *path) {
    size_t size, length = strlen(path);
    char *text = wk__read_file(path, (size_t)1 << 30, &size);
    *t = (wk__run_table){ 0 };
    if (!text) return wk_error_code();
    wk_status status = wk__run_table_parse(t, text, length > 6 && strcmp(path + length - 6, ".jsonl") == 0);
    if (status != WK_OK) wk_error_prefix("%s", path);
    wk_free(text);
    return status;
}
