/* ini.c: the format of .torchxconfig, which is that of Python's configparser with keys as they are written.
 *
 * Sections in brackets, `key = value` or `key: value`, comments in lines of their own, indented lines that continue a
 * value.  `None` is "not set"; `#FIXME:…`, which `configure` writes for what must be filled in, is too.
 */
#include "launcher/config/config.h"

#include <ctype.h>
#include <string.h>

typedef struct reader {
    wk__config *config;
    const char *path;
    size_t first; /* entry of this file: duplicates are errors within one */
    int line;
    const char *section;
    const char *key;
    wk_text value;
    int key_line;
} reader;

static wk_status fail(const reader *r, const char *message, const char *word) {
    return wk_fail(WK_CONFIG, "%s:%d: %s%s%s%s", r->path, r->line, message, word ? " \"" : "", word ? word : "",
                   word ? "\"" : "");
}

static char *keep(const reader *r, const char *text, size_t size) {
    while (size && isspace((unsigned char)*text)) text++, size--;
    while (size && isspace((unsigned char)text[size - 1])) size--;
    return wk__arena_text(&r->config->arena, "%.*s", (int)size, text);
}

/* The value is complete when the next key, section or the end comes. */
static wk_status finish(reader *r) {
    if (!r->key) return WK_OK;
    const char *value = keep(r, wk_text_get(&r->value), r->value.size);
    const char *where = wk__arena_text(&r->config->arena, "%s:%d", r->path, r->key_line);
    if (!value || !where) return wk_error_code();
    if (strcmp(value, "None") == 0 || strncmp(value, "#FIXME", 6) == 0) value = NULL;
    for (size_t i = r->first; i < r->config->count; i++)
        if (strcmp(r->config->entries[i].section, r->section) == 0 && strcmp(r->config->entries[i].key, r->key) == 0) {
            r->line = r->key_line;
            return fail(r, "duplicate key", r->key);
        }
    WK_TRY(wk__config_add(r->config, r->section, r->key, value, where));
    r->key = NULL;
    r->value.size = 0;
    return WK_OK;
}

static wk_status read_section(reader *r, const char *line, size_t size) {
    const char *close = memchr(line, ']', size);
    if (!close) return fail(r, "a section without its ]", NULL);
    r->section = keep(r, line + 1, (size_t)(close - line - 1));
    return r->section ? WK_OK : wk_error_code();
}

static wk_status read_key(reader *r, const char *line, size_t size) {
    size_t at = 0;
    while (at < size && line[at] != '=' && line[at] != ':') at++;
    if (!r->section) return fail(r, "a key before the first [section]", NULL);
    if (at == size) {
        const char *word = keep(r, line, size);
        return word ? fail(r, "expected key = value, not", word) : wk_error_code();
    }
    if (!(r->key = keep(r, line, at))) return wk_error_code();
    if (!*r->key) return fail(r, "a value without its key", NULL);
    r->key_line = r->line;
    wk_text_add(&r->value, line + at + 1, size - at - 1);
    return WK_OK;
}

static wk_status read_line(reader *r, const char *line, size_t size) {
    bool indented = size && isspace((unsigned char)*line);
    while (size && isspace((unsigned char)line[size - 1])) size--;
    size_t skip = 0;
    while (skip < size && isspace((unsigned char)line[skip])) skip++;
    if (skip == size || line[skip] == '#' || line[skip] == ';') return WK_OK;
    if (indented && r->key) {
        wk_text_puts(&r->value, "\n");
        wk_text_add(&r->value, line + skip, size - skip);
        return WK_OK;
    }
    WK_TRY(finish(r));
    return line[skip] == '[' ? read_section(r, line + skip, size - skip) : read_key(r, line + skip, size - skip);
}

wk_status wk__ini_read(wk__config *config, const char *text, const char *path) {
    reader r = { .config = config, .path = path, .first = config->count };
    wk_status status = WK_OK;
    wk_text_puts(&r.value, "");
    for (const char *at = text; *at && status == WK_OK;) {
        size_t size = strcspn(at, "\n");
        r.line++;
        status = read_line(&r, at, size);
        at += size + (at[size] == '\n');
    }
    if (status == WK_OK) status = finish(&r);
    wk_text_free(&r.value);
    return status;
}
