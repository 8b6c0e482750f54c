/* declarations.c: reads Wick's own headers, which keep one form: a comment, then the declarations it is about, up to an
 * empty line or the next comment; a comment at the end of a line is about that line alone.  No parser of C: what does
 * not have that form is passed over, and a test sees to it that every operation is found.
 */
#include "inspect/declarations.h"

#include "io/file.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 20 };

typedef struct reader {
    wk__declarations *into;
    wk_text doc, statement;
    bool in_comment, in_statement, failed;
} reader;

static char *copy_of(const wk_text *text) {
    return wk_format("%s", wk_text_get(text));
}

static void clear(wk_text *text) {
    text->size = 0;
    if (text->data) text->data[0] = '\0';
}

/* ---- comments ---- */

/* One line of a comment without its marks, joined to `doc` with a space where it goes on. */
static void add_comment(wk_text *doc, const char *line, size_t size) {
    while (size && strchr(" \t/*", *line)) line++, size--;
    while (size && strchr(" \t/*", line[size - 1])) size--;
    if (doc->size && size) wk_text_puts(doc, "\n");
    wk_text_add(doc, line, size);
}

/* ---- declarations ---- */

static bool grow(wk__declarations *d) {
    if (d->count < d->capacity) return true;
    int capacity = d->capacity ? 2 * d->capacity : 64;
    wk__declaration *all = wk_alloc((size_t)capacity * sizeof *all);
    if (!all) return false;
    if (d->count) memcpy(all, d->all, (size_t)d->count * sizeof *all);
    wk_free(d->all);
    d->all = all;
    d->capacity = capacity;
    return true;
}

static void finish(reader *r, const char *beside, size_t size) {
    const char *text = wk_text_get(&r->statement), *name = strstr(text, "wk_"), *open = strchr(text, '(');
    while (open && open > text && name) { /* the word before the bracket */
        const char *next = strstr(name + 1, "wk_");
        if (!next || next > open) break;
        name = next;
    }
    r->in_statement = false;
    if (!open || !name || name > open || !grow(r->into)) {
        r->failed = r->failed || wk_failed();
        return;
    }
    wk_text own = { 0 };
    if (size) add_comment(&own, beside, size);
    wk__declaration *d = &r->into->all[r->into->count++];
    d->name = wk_format("%.*s", (int)(open - name), name);
    d->signature = copy_of(&r->statement);
    d->doc = own.size && r->doc.size ? wk_format("%s\n%s", own.data, r->doc.data) : copy_of(own.size ? &own : &r->doc);
    r->failed = r->failed || !d->name || !d->signature || !d->doc || own.failed;
    wk_text_free(&own);
}

static void add_statement(reader *r, const char *line, size_t size) {
    const char *end = memchr(line, ';', size);
    while (size && *line == ' ') line++, size--;
    size_t used = end ? (size_t)(end + 1 - line) : size;
    if (r->statement.size) wk_text_puts(&r->statement, " ");
    wk_text_add(&r->statement, line, used);
    if (end) finish(r, end + 1, size - used);
}

/* ---- lines ---- */

static void read_line(reader *r, const char *line, size_t size) {
    static const char mark[] = "WK_API ", section[] = "/* ----", inlined[] = "static inline ";
    if (r->in_comment) {
        add_comment(&r->doc, line, size);
        r->in_comment = !(size >= 2 && memcmp(line + size - 2, "*/", 2) == 0);
    } else if (r->in_statement) {
        add_statement(r, line, size);
    } else if (size == 0) {
        clear(&r->doc);
    } else if (strncmp(line, "/*", 2) == 0) {
        clear(&r->doc);
        r->in_comment = !(size >= 4 && memcmp(line + size - 2, "*/", 2) == 0);
        if (strncmp(line, section, sizeof section - 1) != 0) add_comment(&r->doc, line, size);
    } else if (strncmp(line, mark, sizeof mark - 1) == 0) {
        clear(&r->statement);
        r->in_statement = true;
        add_statement(r, line + sizeof mark - 1, size - (sizeof mark - 1));
    } else if (strncmp(line, inlined, sizeof inlined - 1) == 0 && memchr(line, '{', size)) {
        clear(&r->statement);
        const char *brace = memchr(line, '{', size);
        wk_text_printf(&r->statement, "%.*s;", (int)(brace - 1 - line - (int)sizeof inlined + 1),
                       line + sizeof inlined - 1);
        finish(r, "", 0);
    }
}

static wk_status read_header(const char *path, wk__declarations *into) {
    size_t size;
    char *text = wk__read_file(path, MOST_BYTES, &size);
    if (!text) return wk_error_code();
    reader r = { .into = into };
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        read_line(&r, line, length);
        line += length + (line[length] == '\n');
    }
    bool failed = r.failed || r.doc.failed || r.statement.failed;
    wk_text_free(&r.doc);
    wk_text_free(&r.statement);
    wk_free(text);
    return failed ? wk_fail(WK_NO_MEMORY, "%s: no memory for its declarations", path) : WK_OK;
}

static int is_header(const struct dirent *entry) {
    size_t length = strlen(entry->d_name);
    return length > 2 && strcmp(entry->d_name + length - 2, ".h") == 0;
}

wk_status wk__declarations_read(const char *folder, wk__declarations *into) {
    struct dirent **files;
    int count = scandir(folder, &files, is_header, alphasort);
    if (count < 0) return wk_fail(WK_IO, "%s: cannot be read; run this at the root of Wick's sources", folder);
    wk_status status = WK_OK;
    for (int i = 0; i < count; i++) {
        char *path = status == WK_OK ? wk_format("%s/%s", folder, files[i]->d_name) : NULL;
        if (path) status = read_header(path, into);
        wk_free(path);
        free(files[i]);
    }
    free(files);
    if (status == WK_OK && wk_failed()) status = wk_error_code();
    return status;
}

void wk__declarations_free(wk__declarations *declarations) {
    for (int i = 0; i < declarations->count; i++) {
        wk_free(declarations->all[i].name);
        wk_free(declarations->all[i].signature);
        wk_free(declarations->all[i].doc);
    }
    wk_free(declarations->all);
    *declarations = (wk__declarations){ 0 };
}

const wk__declaration *wk__declaration_of(const wk__declarations *declarations, const char *name) {
    for (int i = 0; i < declarations->count; i++)
        if (strcmp(declarations->all[i].name, name) == 0) return &declarations->all[i];
    return NULL;
}
