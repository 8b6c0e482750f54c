/* files.c: the operations: find the system, check the URL, call, and name the URL in what went wrong.
 *
 * Systems speak of what happened alone ("No such file or directory"), so each message is put together in one place and
 * no system can forget to hide a password.
 */
#include "files/files.h"

#include <stdlib.h>
#include <string.h>

struct wk_file {
    const wk_file_system *system;
    void *handle;
    char *name; /* for messages */
    bool writes, committed;
};

/* "URL: MESSAGE", also where a plug-in forgot the message. */
static wk_status named(const char *url, wk_status status) {
    if (status == WK_OK) return WK_OK;
    if (!wk_failed()) (void)wk_fail(status, "failed (%s)", wk_status_text(status));
    wk__error kept = *wk__error_slot();
    wk_clear_error();
    char *mask = wk_url_mask(url);
    wk_clear_error();
    (void)wk_fail_at(kept.code, kept.file, kept.line, "%s: %s", mask ? mask : "a URL", kept.message);
    wk_free(mask);
    return kept.code;
}

static const wk_file_system *enter(const char *url) {
    if (wk_failed()) return NULL;
    const wk_file_system *system = *url ? wk__file_system(url) : wk_fail_null(WK_INVALID, "an empty URL");
    if (system && wk__url_scheme(url) && wk__url_fits(url, system) != WK_OK) system = NULL;
    if (!system) (void)named(url, wk_error_code());
    return system;
}

wk_status wk_url_check(const char *url) {
    return enter(url) ? WK_OK : wk_error_code();
}

static wk_status cannot(const char *url, const char *what) {
    return named(url, wk_fail(WK_UNSUPPORTED, "files there cannot be %s", what));
}

/* ---- streams ---- */

static wk_file *new_file(const char *url, const wk_file_system *system, bool writes) {
    wk_file *file = wk_alloc(sizeof *file);
    if (!file) return NULL;
    *file = (wk_file){ .system = system, .name = wk_strdup(url), .writes = writes };
    if (file->name) return file;
    wk_free(file);
    return NULL;
}

static wk_file *opened(wk_file *file, wk_status status) {
    if (status == WK_OK) return file;
    (void)named(file->name, status);
    wk_free(file->name);
    wk_free(file);
    return NULL;
}

wk_file *wk_file_open_range(const char *url, int64_t begin, int64_t end) {
    const wk_file_system *system = enter(url);
    if (!system) return NULL;
    if (begin < 0 || (end >= 0 && end < begin))
        return (void)named(url, wk_fail(WK_INVALID, "expected a range 0 <= begin <= end, not %lld to %lld",
                                        (long long)begin, (long long)end)),
               NULL;
    if (!system->open || !system->read || !system->close) return (void)cannot(url, "read"), NULL;
    wk_file *file = new_file(url, system, false);
    return file ? opened(file, system->open(url, begin, end < 0 ? -1 : end, &file->handle)) : NULL;
}

wk_file *wk_file_open(const char *url) {
    return wk_file_open_range(url, 0, -1);
}

wk_status wk_file_read(wk_file *file, void *bytes, size_t size, size_t *got) {
    *got = 0;
    if (wk_failed()) return wk_error_code();
    if (file->writes) return named(file->name, wk_fail(WK_STATE, "opened to be written, not read"));
    while (*got < size) {
        size_t part = 0;
        wk_status status = file->system->read(file->handle, (char *)bytes + *got, size - *got, &part);
        if (status != WK_OK) return named(file->name, status);
        if (part == 0) break;
        *got += part;
    }
    return WK_OK;
}

wk_file *wk_file_create(const char *url) {
    const wk_file_system *system = enter(url);
    if (!system) return NULL;
    if (!system->create || !system->write || !system->commit || !system->close)
        return (void)cannot(url, "written"), NULL;
    wk_file *file = new_file(url, system, true);
    return file ? opened(file, system->create(url, &file->handle)) : NULL;
}

wk_status wk_file_write(wk_file *file, const void *bytes, size_t size) {
    if (wk_failed()) return wk_error_code();
    if (!file->writes || file->committed)
        return named(file->name,
                     wk_fail(WK_STATE, file->writes ? "written after wk_file_commit" : "opened to be read"));
    return named(file->name, size ? file->system->write(file->handle, bytes, size) : WK_OK);
}

wk_status wk_file_commit(wk_file *file) {
    if (wk_failed()) return wk_error_code();
    if (!file->writes || file->committed)
        return named(file->name, wk_fail(WK_STATE, file->writes ? "committed twice" : "opened to be read"));
    file->committed = true;
    return named(file->name, file->system->commit(file->handle));
}

void wk_file_close(wk_file *file) {
    if (!file) return;
    file->system->close(file->handle);
    wk_free(file->name);
    wk_free(file);
}

/* ---- whole files ---- */

char *wk_file_load(const char *url, size_t most, size_t *size) {
    enum { CHUNK = 64 * 1024 };
    wk_text text = { 0 };
    wk_file *file = wk_file_open(url);
    char *chunk = file ? wk_alloc_data(CHUNK) : NULL;
    wk_status status = chunk ? WK_OK : wk_error_code();
    wk_text_puts(&text, "");
    for (size_t got = CHUNK; status == WK_OK && got == CHUNK;) {
        status = wk_file_read(file, chunk, CHUNK, &got);
        if (status != WK_OK) break;
        if (text.size + got > most)
            status = named(url, wk_fail(WK_FORMAT, "more than the %zu bytes that are read of such a file", most));
        else
            wk_text_add(&text, chunk, got);
        if (text.failed) status = wk_error_code();
    }
    wk_file_close(file);
    wk_free(chunk);
    if (status != WK_OK || text.failed) wk_text_free(&text);
    if (size) *size = text.size;
    return text.data;
}

wk_status wk_file_save(const char *url, const void *bytes, size_t size) {
    wk_file *file = wk_file_create(url);
    if (!file) return wk_error_code();
    wk_status status = wk_file_write(file, bytes, size);
    if (status == WK_OK) status = wk_file_commit(file);
    wk_file_close(file);
    return status;
}

/* ---- what there is ---- */

wk_status wk_file_stat(const char *url, wk_file_info *info) {
    const wk_file_system *system = enter(url);
    *info = (wk_file_info){ .size = -1 };
    if (!system) return wk_error_code();
    return system->stat ? named(url, system->stat(url, info)) : cannot(url, "looked at");
}

wk_status wk_file_exists(const char *url, bool *exists) {
    wk_file_info info;
    *exists = false;
    const wk_file_system *system = enter(url);
    if (!system) return wk_error_code();
    if (!system->stat) return cannot(url, "looked at");
    wk_status status = system->stat(url, &info);
    *exists = status == WK_OK;
    if (status != WK_NOT_FOUND) return named(url, status);
    wk_clear_error();
    return WK_OK;
}

typedef struct listing {
    wk_file_list *list;
    size_t room;
} listing;

static wk_status take_entry(void *context, const char *name, const wk_file_info *info) {
    listing *l = context;
    wk_file_list *list = l->list;
    /* A name that leads elsewhere would make a recursive copy write there. */
    if (!*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return wk_fail(WK_FORMAT, "lists an entry \"%.80s\", which is no name", name);
    if (list->count == l->room) {
        size_t room = l->room ? 2 * l->room : 32;
        struct wk_file_item *items = wk_realloc(list->items, room * sizeof *items);
        if (!items) return wk_error_code();
        list->items = items;
        l->room = room;
    }
    size_t size = strlen(name) + 1;
    char *copy = wk__arena_take(list->owner, size);
    if (!copy) return wk_error_code();
    memcpy(copy, name, size);
    list->items[list->count++] = (struct wk_file_item){ copy, *info };
    return WK_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct wk_file_item *)a)->name, ((const struct wk_file_item *)b)->name);
}

wk_file_list *wk_folder_list(const char *url) {
    const wk_file_system *system = enter(url);
    if (!system) return NULL;
    if (!system->list) return (void)cannot(url, "listed"), NULL;
    listing l = { .list = wk_alloc(sizeof *l.list) };
    if (!l.list) return NULL;
    l.list->owner = wk_alloc(sizeof(wk__arena));
    wk_status status = l.list->owner ? system->list(url, take_entry, &l) : wk_error_code();
    if (status == WK_OK) {
        if (l.list->count) qsort(l.list->items, l.list->count, sizeof *l.list->items, by_name);
        return l.list;
    }
    (void)named(url, status);
    wk_file_list_free(l.list);
    return NULL;
}

void wk_file_list_free(wk_file_list *list) {
    if (!list) return;
    if (list->owner) wk__arena_destroy(list->owner);
    wk_free(list->owner);
    wk_free(list->items);
    wk_free(list);
}

wk_status wk_folder_make(const char *url) {
    const wk_file_system *system = enter(url);
    if (!system) return wk_error_code();
    return system->make_folder ? named(url, system->make_folder(url)) : WK_OK;
}

wk_status wk_file_remove(const char *url) {
    const wk_file_system *system = enter(url);
    if (!system) return wk_error_code();
    return system->remove ? named(url, system->remove(url)) : cannot(url, "removed");
}
