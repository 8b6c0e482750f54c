/* results.c: a few results under a key, and the files and folders that the library writes. */
#include "app/app.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

wk_status wk__app_folders(const char *path) {
    char *copy = wk_strdup(path);
    if (!copy) return wk_error_code();
    int error = 0;
    for (char *at = copy + 1; !error; at++) {
        if (*at && *at != '/') continue;
        char letter = *at;
        *at = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) error = errno;
        *at = letter;
        if (!letter) break;
    }
    wk_free(copy);
    return error ? wk_fail(WK_IO, "%s: %s", path, strerror(error)) : WK_OK;
}

char *wk__app_read(const char *path) {
    wk_text text = { 0 };
    char chunk[4096];
    FILE *file = fopen(path, "re");
    if (!file) return wk_fail_null(errno == ENOENT ? WK_NOT_FOUND : WK_IO, "%s: %s", path, strerror(errno));
    wk_text_puts(&text, "");
    for (size_t got; (got = fread(chunk, 1, sizeof chunk, file)) > 0;) wk_text_add(&text, chunk, got);
    bool failed = ferror(file) != 0;
    (void)fclose(file);
    if (!failed && !text.failed) return text.data;
    wk_text_free(&text);
    return failed ? wk_fail_null(WK_IO, "%s: cannot be read", path) : NULL;
}

static char *path_of(const char *base, const char *key) {
    if (strncmp(base, "file://", 7) == 0) base += 7;
    if (!*base || !key || !*key || *key == '/' || strstr(key, ".."))
        return wk_fail_null(
            WK_INVALID,
            "results: expected a folder and a key such as \"1\" or \"attempt_1/out\", not \"%s\" and \"%s\"", base,
            key ? key : "");
    return wk_format("%s/%s", base, key);
}

static wk_status write_whole(const char *path, const wk_text *text) {
    char *aside = wk_format("%s.%ld.tmp", path, (long)getpid());
    FILE *file = aside ? fopen(aside, "we") : NULL;
    bool good = file && fwrite(text->data, 1, text->size, file) == text->size;
    if (file && fclose(file) != 0) good = false;
    if (good && rename(aside, path) != 0) good = false;
    if (!good && aside) (void)wk_fail(WK_IO, "%s: %s", path, strerror(errno));
    if (!good && file) (void)unlink(aside);
    wk_free(aside);
    return good ? WK_OK : wk_error_code();
}

wk_status wk_results_put(const char *base, const char *key, const wk_field *fields, size_t count) {
    wk_text text = { 0 };
    char *path = path_of(base, key);
    wk_status status = path ? wk__json_put_fields(&text, fields, count, 2) : wk_error_code();
    char *slash = path ? strrchr(path, '/') : NULL;
    if (status == WK_OK && slash) {
        *slash = '\0';
        status = wk__app_folders(path);
        *slash = '/';
    }
    if (status == WK_OK) status = write_whole(path, &text);
    wk_text_free(&text);
    wk_free(path);
    return status;
}

wk_fields *wk_results_get(const char *base, const char *key) {
    char *path = path_of(base, key);
    wk_fields *fields = path ? wk__fields_new() : NULL;
    char *text = fields && access(path, F_OK) == 0 ? wk__app_read(path) : NULL;
    if (text) (void)wk__json_read_fields(text, path, NULL, fields);
    if (wk_failed()) {
        wk_fields_free(fields);
        fields = NULL;
    }
    wk_free(text);
    wk_free(path);
    return fields;
}
