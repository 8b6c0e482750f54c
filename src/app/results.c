/* results.c: a few results under a key, in a folder or at a URL. */
#include "app/app.h"
#include "wick/files.h"

#include <string.h>

char *wk__app_read(const char *url) {
    enum { MOST_BYTES = 64 << 20 };
    return wk_file_load(url, MOST_BYTES, NULL);
}

/* BASE/KEY, a key of several parts too; free with wk_free. */
static char *under(const char *base, const char *key) {
    char *url = wk_strdup(base);
    while (url && *key) {
        const size_t size = strcspn(key, "/");
        char *part = wk_format("%.*s", (int)size, key);
        char *longer = part ? wk_url_join(url, part) : NULL;
        wk_free(part);
        wk_free(url);
        url = longer;
        key += size + strspn(key + size, "/");
    }
    return url;
}

static char *path_of(const char *base, const char *key) {
    if (!*base || !key || !*key || *key == '/' || strstr(key, ".."))
        return wk_fail_null(
            WK_INVALID,
            "results: expected a folder and a key such as \"1\" or \"attempt_1/out\", not \"%s\" and \"%s\"", base,
            key ? key : "");
    return under(base, key);
}

wk_status wk_results_put(const char *base, const char *key, const wk_field *fields, size_t count) {
    wk_text text = { 0 };
    char *path = path_of(base, key);
    wk_status status = path ? wk__json_put_fields(&text, fields, count, 2) : wk_error_code();
    const char *slash = strrchr(key ? key : "", '/');
    char *above = status == WK_OK && slash ? wk_format("%.*s", (int)(slash - key), key) : NULL;
    char *folder = status == WK_OK ? above ? under(base, above) : wk_strdup(base) : NULL;
    if (status == WK_OK) status = folder ? wk_folder_make(folder) : wk_error_code();
    if (status == WK_OK) status = wk_file_save(path, text.data, text.size);
    wk_free(folder);
    wk_free(above);
    wk_text_free(&text);
    wk_free(path);
    return status;
}

wk_fields *wk_results_get(const char *base, const char *key) {
    char *path = path_of(base, key);
    wk_fields *fields = path ? wk__fields_new() : NULL;
    char *text = fields ? wk__app_read(path) : NULL;
    if (!text && wk_error_code() == WK_NOT_FOUND) wk_clear_error();
    if (text) (void)wk__json_read_fields(text, path, NULL, fields);
    if (wk_failed()) {
        wk_fields_free(fields);
        fields = NULL;
    }
    wk_free(text);
    wk_free(path);
    return fields;
}
