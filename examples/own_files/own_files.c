/* own_files.c: a file system of one's own: `env`, whose files are the variables of this process's environment.
 *
 *   cc -shared -fPIC own_files.c -o own_files.so
 *   WICK_PLUGINS=./own_files.so wick copy env://HOME /dev/stdout
 *
 * It needs Wick's headers and none of its libraries: errors go through the host.
 */
#include "wick/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static const wk_files_host *host;

typedef struct variable {
    char *name; /* to write to; NULL: to read */
    char *text;
    size_t at, size;
} variable;

static const char *name_of(const char *url) {
    return url + strlen("env://");
}

static wk_status no_memory(void) {
    return host->fail(WK_NO_MEMORY, "out of memory");
}

static void close_file(void *file) {
    variable *v = file;
    free(v->name);
    free(v->text);
    free(v);
}

static wk_status open_file(const char *url, int64_t begin, int64_t end, void **file) {
    const char *value = getenv(name_of(url));
    if (!value) return host->fail(WK_NOT_FOUND, "there is no such variable");
    variable *v = calloc(1, sizeof *v);
    if (!v || !(v->text = strdup(value))) {
        free(v);
        return no_memory();
    }
    const size_t size = strlen(value);
    v->size = end >= 0 && (size_t)end < size ? (size_t)end : size;
    v->at = (size_t)begin < v->size ? (size_t)begin : v->size;
    *file = v;
    return WK_OK;
}

static wk_status read_file(void *file, void *bytes, size_t size, size_t *got) {
    variable *v = file;
    *got = v->size - v->at < size ? v->size - v->at : size;
    memcpy(bytes, v->text + v->at, *got);
    v->at += *got;
    return WK_OK;
}

static wk_status create_file(const char *url, void **file) {
    variable *v = calloc(1, sizeof *v);
    if (!v || !(v->name = strdup(name_of(url))) || !(v->text = calloc(1, 1))) {
        if (v) close_file(v);
        return no_memory();
    }
    *file = v;
    return WK_OK;
}

static wk_status write_file(void *file, const void *bytes, size_t size) {
    variable *v = file;
    if (memchr(bytes, '\0', size)) return host->fail(WK_INVALID, "a variable cannot hold a NUL");
    char *text = realloc(v->text, v->size + size + 1);
    if (!text) return no_memory();
    memcpy(text + v->size, bytes, size);
    v->text = text;
    v->size += size;
    v->text[v->size] = '\0';
    return WK_OK;
}

static wk_status commit_file(void *file) {
    const variable *v = file;
    if (setenv(v->name, v->text, 1) == 0) return WK_OK;
    return host->fail(WK_INVALID, "that is no name of a variable");
}

static wk_status stat_file(const char *url, wk_file_info *info) {
    const char *value = getenv(name_of(url));
    if (!*name_of(url)) {
        *info = (wk_file_info){ .kind = WK_FILE_FOLDER, .size = -1 };
        return WK_OK;
    }
    if (!value) return host->fail(WK_NOT_FOUND, "there is no such variable");
    *info = (wk_file_info){ .kind = WK_FILE_PLAIN, .size = (int64_t)strlen(value) };
    return WK_OK;
}

static wk_status list_folder(const char *url, wk_file_give give, void *context) {
    if (*name_of(url)) return host->fail(WK_INVALID, "variables lie in env:// alone");
    for (char **at = environ; *at; at++) {
        char name[256];
        const size_t size = strcspn(*at, "=");
        if (size == 0 || size >= sizeof name || memchr(*at, '/', size)) continue;
        (void)snprintf(name, sizeof name, "%.*s", (int)size, *at);
        const wk_file_info info = { .kind = WK_FILE_PLAIN, .size = (int64_t)strlen(*at + size + 1) };
        const wk_status status = give(context, name, &info);
        if (status != WK_OK) return status;
    }
    return WK_OK;
}

static wk_status remove_file(const char *url) {
    if (!getenv(name_of(url))) return host->fail(WK_NOT_FOUND, "there is no such variable");
    return unsetenv(name_of(url)) == 0 ? WK_OK : host->fail(WK_INVALID, "that is no name of a variable");
}

static const char *const schemes[] = { "env", NULL };

static const wk_file_system files = {
    .api_version = WK_FILES_API,
    .size = sizeof(wk_file_system),
    .schemes = schemes,
    .open = open_file,
    .read = read_file,
    .create = create_file,
    .write = write_file,
    .commit = commit_file,
    .close = close_file,
    .stat = stat_file,
    .list = list_folder,
    .remove = remove_file,
};

WK_API const wk_file_system *wk_files_plugin(const wk_files_host *given);
WK_API const wk_file_system *wk_files_plugin(const wk_files_host *given) {
    host = given;
    return given->api_version == WK_FILES_API ? &files : NULL;
}
