/* table.c: tables in text files.  A CSV file is cut in place: its cells point into its bytes. */
#include "tasks/table.h"

#include "io/file.h"
#include "wick/random.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 30 };

wk_status wk__table_fail(const wk__table *t, int64_t row, const char *format, ...) {
    char message[700];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(message, sizeof message, format, list);
    va_end(list);
    return wk_fail(WK_FORMAT, "%s:%lld: %s", t->path, (long long)t->line[row], message);
}

static wk_status fail_at(const wk__table *t, int64_t line, const char *what) {
    return wk_fail(WK_FORMAT, "%s:%lld: %s", t->path, (long long)line, what);
}

/* Room for one row more. */
static wk_status grow(wk__table *t) {
    if (t->rows < t->room) return WK_OK;
    const int64_t room = t->room * 2 + 64;
    const char **cell = wk_realloc(t->cell, (size_t)(room * t->columns) * sizeof *cell);
    if (cell) t->cell = cell;
    int64_t *line = cell ? wk_realloc(t->line, (size_t)room * sizeof *line) : NULL;
    if (!line) return wk_error_code();
    t->line = line;
    t->room = room;
    return WK_OK;
}

static wk_status add_name(wk__table *t, const char *name) {
    if (t->columns == t->names_room) {
        const int64_t room = t->names_room * 2 + 16;
        const char **names = wk_realloc(t->name, (size_t)room * sizeof *names);
        if (!names) return wk_error_code();
        t->name = names;
        t->names_room = room;
    }
    t->name[t->columns++] = name;
    return WK_OK;
}

/* ---- CSV ---- */

typedef struct reader {
    wk__table *table;
    char *at;
    char delimiter;
    int64_t line;
} reader;

/* One cell; *last: the row ends behind it. */
static wk_status read_cell(reader *r, char **cell, bool *last) {
    char *out = *cell = r->at;
    bool quoted = *r->at == '"';
    const int64_t begun = r->line;
    for (r->at += quoted; *r->at; r->at++) {
        if (quoted && *r->at == '"') {
            if (r->at[1] != '"') break;
            r->at++;
        } else if (!quoted && (*r->at == r->delimiter || *r->at == '\n' || (*r->at == '\r' && r->at[1] == '\n'))) {
            break;
        }
        r->line += *r->at == '\n';
        *out++ = *r->at;
    }
    if (quoted && *r->at != '"') return fail_at(r->table, begun, "a quote is opened and not closed");
    r->at += quoted;
    r->at += *r->at == '\r' && r->at[1] == '\n';
    const char end = *r->at;
    if (quoted && end && end != r->delimiter && end != '\n')
        return fail_at(r->table, r->line, "there are characters behind a closing quote");
    *out = '\0';
    *last = end != r->delimiter;
    r->line += end == '\n';
    r->at += end != '\0';
    return WK_OK;
}

static void skip_empty_lines(reader *r) {
    for (;; r->line++, r->at++) {
        if (*r->at == '\r' && r->at[1] == '\n') r->at++;
        if (*r->at != '\n') return;
    }
}

static wk_status read_header(reader *r, bool header) {
    reader look = *r;
    char *cell, name[24];
    bool last = false;
    if (header) {
        while (!last) {
            WK_TRY(read_cell(r, &cell, &last));
            WK_TRY(add_name(r->table, cell));
        }
        return WK_OK;
    }
    /* Cells are counted on a copy of the line: reading takes quotes out. */
    char *copy = wk_strdup(r->at);
    if (!copy) return wk_error_code();
    wk_status status = WK_OK;
    for (look.at = copy; !last && status == WK_OK;) {
        if ((status = read_cell(&look, &cell, &last)) != WK_OK) break;
        (void)snprintf(name, sizeof name, "%lld", (long long)r->table->columns);
        char *kept = wk__arena_take(&r->table->arena, sizeof name);
        status = kept ? add_name(r->table, memcpy(kept, name, sizeof name)) : wk_error_code();
    }
    wk_free(copy);
    return status;
}

static wk_status read_row(reader *r) {
    wk__table *t = r->table;
    const int64_t line = r->line;
    int64_t count = 0;
    bool last = false;
    WK_TRY(grow(t));
    while (!last) {
        char *cell;
        WK_TRY(read_cell(r, &cell, &last));
        if (count < t->columns) t->cell[t->rows * t->columns + count] = cell;
        count++;
    }
    if (count != t->columns)
        return wk_fail(WK_FORMAT, "%s:%lld: %lld values, expected %lld", t->path, (long long)line, (long long)count,
                       (long long)t->columns);
    t->line[t->rows++] = line;
    return WK_OK;
}

static wk_status read_csv(wk__table *t, char delimiter, bool header) {
    reader r = { t, t->text, delimiter, 1 };
    if (strncmp(r.at, "\xEF\xBB\xBF", 3) == 0) r.at += 3;
    skip_empty_lines(&r);
    if (!*r.at) return wk_fail(WK_FORMAT, "%s: the file is empty, expected %s", t->path, header ? "a header" : "rows");
    WK_TRY(read_header(&r, header));
    for (skip_empty_lines(&r); *r.at; skip_empty_lines(&r)) WK_TRY(read_row(&r));
    return WK_OK;
}

/* ---- JSON lines ---- */

static const char *keep(wk__table *t, const char *text) {
    const size_t size = strlen(text) + 1;
    char *copy = wk__arena_take(&t->arena, size);
    return copy ? memcpy(copy, text, size) : NULL;
}

/* A text as it is, nothing for null, anything else as JSON writes it. */
static const char *text_of(wk__table *t, const json_t *value) {
    if (!value || json_is_null(value)) return "";
    if (json_is_string(value)) return keep(t, json_string_value(value));
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    const char *kept = text ? keep(t, text) : NULL;
    free(text);
    if (!kept && !wk_failed()) (void)wk_fail(WK_NO_MEMORY, "no memory for a row");
    return kept;
}

static wk_status add_object(wk__table *t, const json_t *object, int64_t line) {
    const char *key;
    json_t *value;
    if (t->rows == 0) json_object_foreach((json_t *)(uintptr_t)object, key, value) {
            const char *name = keep(t, key);
            WK_TRY(name ? add_name(t, name) : wk_error_code());
        }
    if (t->columns == 0) return fail_at(t, line, "an object without keys");
    WK_TRY(grow(t));
    for (int64_t i = 0; i < t->columns; i++)
        if (!(t->cell[t->rows * t->columns + i] = text_of(t, json_object_get(object, t->name[i]))))
            return wk_error_code();
    t->line[t->rows++] = line;
    return WK_OK;
}

static wk_status read_json(wk__table *t) {
    int64_t number = 1;
    for (char *line = t->text, *next; *line; line = next, number++) {
        char *end = strchr(line, '\n');
        next = end ? end + 1 : line + strlen(line);
        if (end) *end = '\0';
        if (!line[strspn(line, " \t\r")]) continue;
        json_error_t error;
        json_t *object = json_loads(line, 0, &error);
        wk_status status = WK_OK;
        if (!json_is_object(object))
            status = wk_fail(WK_FORMAT, "%s:%lld: expected an object: %s", t->path, (long long)number,
                             object ? "it is another value" : error.text);
        else
            status = add_object(t, object, number);
        json_decref(object);
        WK_TRY(status);
    }
    return WK_OK;
}

/* ---- any ---- */

static bool ends(const char *path, const char *with) {
    const size_t size = strlen(path), end = strlen(with);
    return size >= end && strcmp(path + size - end, with) == 0;
}

char wk__table_delimiter(const char *path) {
    if (ends(path, ".jsonl") || ends(path, ".ndjson")) return '\0';
    return ends(path, ".tsv") ? '\t' : ',';
}

wk_status wk__table_parse(wk__table *t, const char *path, char *text, size_t size, bool header) {
    *t = (wk__table){ .path = path, .text = text };
    if (strlen(t->text) != size) return wk_fail(WK_FORMAT, "%s: byte %zu is a NUL", path, strlen(t->text));
    const char delimiter = wk__table_delimiter(path);
    WK_TRY(delimiter ? read_csv(t, delimiter, header) : read_json(t));
    return t->rows > 0 ? WK_OK : wk_fail(WK_FORMAT, "%s: there are no rows in it", path);
}

wk_status wk__table_read(wk__table *t, const char *path, bool header) {
    size_t size = 0;
    char *text = wk__read_file(path, MOST_BYTES, &size);
    *t = (wk__table){ .path = path };
    return text ? wk__table_parse(t, path, text, size, header) : wk_error_code();
}

wk_status wk__table_rows(wk__table *t, const wk__table *like, char *text, size_t size, int64_t line) {
    *t = (wk__table){
        .path = like->path, .text = text, .name = like->name, .columns = like->columns, .lends_names = true
    };
    if (strlen(text) != size)
        return wk_fail(WK_FORMAT, "%s: a NUL, %zu bytes behind the beginning of line %lld", t->path, strlen(text),
                       (long long)line);
    reader r = { t, text, wk__table_delimiter(t->path), line };
    for (skip_empty_lines(&r); *r.at; skip_empty_lines(&r)) WK_TRY(read_row(&r));
    return WK_OK;
}

void wk__table_free(wk__table *t) {
    if (!t->lends_names) wk_free(t->name);
    wk_free(t->cell);
    wk_free(t->line);
    wk_free(t->text);
    wk__arena_destroy(&t->arena);
    *t = (wk__table){ 0 };
}

int64_t wk__table_column(const wk__table *t, const char *name) {
    wk_text known = { 0 };
    for (int64_t i = 0; i < t->columns; i++) {
        if (strcmp(t->name[i], name) == 0) {
            wk_text_free(&known);
            return i;
        }
        wk_text_printf(&known, "%s%s", i ? ", " : "", t->name[i]);
    }
    (void)wk_fail(WK_NOT_FOUND, "%s: no column \"%s\" (there are: %s)", t->path, name, wk_text_get(&known));
    wk_text_free(&known);
    return -1;
}

static int upwards(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int64_t *wk__split_rows(int64_t count, double part, uint64_t seed, int64_t *kept) {
    int64_t *order = wk_alloc((size_t)(count + 1) * sizeof *order);
    wk_generator *generator = order ? wk_alloc(sizeof *generator) : NULL;
    *kept = (int64_t)((double)count * part + 0.5);
    if (generator) {
        wk_generator_seed(generator, seed);
        wk_random_permutation(generator, order, count);
        qsort(order, (size_t)(count - *kept), sizeof *order, upwards);
        qsort(order + count - *kept, (size_t)*kept, sizeof *order, upwards);
    }
    wk_free(generator);
    if (!wk_failed()) return order;
    wk_free(order);
    return NULL;
}
