/* pieces.c: see pieces.h.  Rows are found by a look at quotes and line ends alone; table.c reads them. */
#include "tasks/pieces.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 18, MOST_PIECE_BYTES = 1 << 28 };

typedef struct scan {
    wk__pieces *pieces;
    char delimiter;
    bool in_row, quoted, cell_begins,
        quote_before; /* quote_before: the last byte closed a quoted cell, or doubles it */
    int64_t at, line, row_at, row_line,
        row_end;           /* row_at: where the row under way begins; row_end: the end of the last */
    int64_t rows, head_at; /* head_at: where the first row begins */
    bool has_header, begun;
} scan;

static wk_status add_piece(wk__pieces *p, int64_t offset, int64_t line) {
    if (p->count + 1 >= p->room) {
        const int64_t room = 2 * p->room + 64;
        int64_t *offsets = wk_realloc(p->offset, (size_t)room * sizeof *offsets);
        if (offsets) p->offset = offsets;
        int64_t *lines = offsets ? wk_realloc(p->line, (size_t)room * sizeof *lines) : NULL;
        if (!lines) return wk_error_code();
        p->line = lines;
        p->room = room;
    }
    p->offset[p->count] = offset;
    p->line[p->count++] = line;
    return WK_OK;
}

/* A row ends before the place `at`. */
static wk_status end_row(scan *s) {
    s->in_row = false;
    s->row_end = s->at;
    if (!s->begun) s->head_at = s->row_at;
    const bool is_header = s->has_header && !s->begun;
    s->begun = true;
    if (is_header) return WK_OK;
    if (s->rows++ % WK__PIECE_ROWS == 0) WK_TRY(add_piece(s->pieces, s->row_at, s->row_line));
    return WK_OK;
}

static wk_status take(scan *s, char c) {
    s->at++;
    if (!s->in_row) {
        if (c == '\n') s->line++;
        if (c == '\n' || c == '\r') return WK_OK; /* an empty line */
        s->in_row = s->cell_begins = true;
        s->quoted = s->quote_before = false;
        s->row_at = s->at - 1;
        s->row_line = s->line;
    }
    if (s->cell_begins && c == '"') {
        s->cell_begins = false;
        s->quoted = true;
        return WK_OK;
    }
    s->cell_begins = false;
    if (s->quoted && c == '"') {
        s->quote_before = !s->quote_before;
        return WK_OK;
    }
    if (s->quote_before) s->quoted = s->quote_before = false;
    s->line += c == '\n';
    if (s->quoted) return WK_OK;
    s->cell_begins = c == s->delimiter;
    return c == '\n' ? end_row(s) : WK_OK;
}

static wk_status scan_file(scan *s) {
    char *bytes = wk_alloc_data(CHUNK);
    wk_status status = bytes ? WK_OK : WK_NO_MEMORY;
    while (status == WK_OK) {
        const ssize_t got = pread(s->pieces->descriptor, bytes, CHUNK, (off_t)s->at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = wk_fail(WK_IO, "%s: cannot be read: %s", s->pieces->path, strerror(errno));
        if (got <= 0) break;
        ssize_t i = s->at == 0 && got >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
        s->at += i;
        for (; i < got && status == WK_OK; i++) status = take(s, bytes[i]);
    }
    wk_free(bytes);
    if (status == WK_OK && s->in_row) status = end_row(s);
    return status;
}

/* So many bytes from a place, with a NUL behind them. */
static char *read_at(const wk__pieces *p, int64_t from, int64_t end) {
    if (end - from > MOST_PIECE_BYTES)
        return wk_fail_null(WK_FORMAT, "%s: %d rows of %lld bytes, at most %d are read at once", p->path,
                            WK__PIECE_ROWS, (long long)(end - from), MOST_PIECE_BYTES);
    char *bytes = wk_alloc_data((size_t)(end - from) + 1);
    int64_t got = 0;
    while (bytes && got < end - from) {
        const ssize_t part = pread(p->descriptor, bytes + got, (size_t)(end - from - got), (off_t)(from + got));
        if (part < 0 && errno == EINTR) continue;
        if (part <= 0) {
            wk_free(bytes);
            return wk_fail_null(WK_IO, "%s: %s", p->path,
                                part < 0 ? strerror(errno) : "it became shorter while it was read");
        }
        got += part;
    }
    if (bytes) bytes[got] = '\0';
    return bytes;
}

/* The names of the columns, with the first piece: a header alone is an error of the table's. */
static wk_status read_head(wk__pieces *p, int64_t from, bool header) {
    char *bytes = read_at(p, from, p->offset[p->count > 0]);
    return bytes ? wk__table_parse(&p->head, p->path, bytes, strlen(bytes), header) : wk_error_code();
}

wk_status wk__pieces_open(wk__pieces *p, const char *path, bool header) {
    *p = (wk__pieces){ .descriptor = -1 };
    if (!wk__table_delimiter(path))
        return wk_fail(WK_FORMAT, "%s: lines of JSON cannot be read piece by piece: make it a .csv or .tsv", path);
    if (!(p->path = wk_strdup(path))) return wk_error_code();
    p->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (p->descriptor < 0) return wk_fail(WK_IO, "%s: cannot be opened: %s", path, strerror(errno));
    scan s = { .pieces = p, .delimiter = wk__table_delimiter(path), .has_header = header, .line = 1 };
    WK_TRY(scan_file(&s));
    if (!s.begun) return wk_fail(WK_FORMAT, "%s: the file is empty, expected %s", path, header ? "a header" : "rows");
    const int64_t pieces = p->count;
    WK_TRY(add_piece(p, s.row_end, s.line));
    p->count = pieces;
    p->rows = s.rows;
    return read_head(p, s.head_at, header);
}

void wk__pieces_close(wk__pieces *p) {
    if (p->descriptor >= 0) (void)close(p->descriptor);
    wk__table_free(&p->head);
    wk_free(p->offset);
    wk_free(p->line);
    wk_free(p->path);
    *p = (wk__pieces){ .descriptor = -1 };
}

wk_status wk__pieces_read(const wk__pieces *p, int64_t piece, wk__table *table) {
    char *bytes = read_at(p, p->offset[piece], p->offset[piece + 1]);
    *table = (wk__table){ 0 };
    return bytes ? wk__table_rows(table, &p->head, bytes, strlen(bytes), p->line[piece]) : wk_error_code();
}
