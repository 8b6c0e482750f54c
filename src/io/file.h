/* file.h: files that appear whole or not at all. */
#ifndef WICK_SRC_IO_FILE_H
#define WICK_SRC_IO_FILE_H

#include "base/base.h"

/* A file being written under a temporary name beside its own.  Zero-initialised means not open. */
typedef struct wk__writer {
    int descriptor;
    bool is_open;
    char *path, *temporary;
} wk__writer;

WK_API wk_status wk__writer_open(wk__writer *writer, const char *path);
WK_API wk_status wk__writer_add(wk__writer *writer, const void *bytes, size_t size);
/* fsync, rename over `path`, fsync the folder. */
WK_API wk_status wk__writer_commit(wk__writer *writer);
/* Remove what was written; nothing if committed.  Always safe to call. */
WK_API void wk__writer_abort(wk__writer *writer);
/* The three at once.  Large files that begin on a page (wk__pages) pass by the page cache where they can. */
WK_API wk_status wk__write_file(const char *path, const void *bytes, size_t size);

/* Bytes that begin on a page.  Zero-initialised means none. */
typedef struct wk__pages {
    char *bytes;
    size_t size, room;
    void *block;
} wk__pages;
/* `size` bytes with anything in them, in the memory that is there if it is enough.  Error: WK_NO_MEMORY. */
WK_API wk_status wk__pages_make(wk__pages *pages, size_t size);
WK_API void wk__pages_free(wk__pages *pages);
/* All bytes of a file, with a terminating NUL not counted in *size; free with wk_free.  Refuses more than `most` bytes.
 */
WK_API char *wk__read_file(const char *path, size_t most, size_t *size);
/* mkdir -p */
WK_API wk_status wk__make_folder(const char *path);
/* rm -rf, as far as it goes; links are not followed. */
WK_API void wk__remove_folder(const char *path);

/* A file mapped read-only. */
typedef struct wk__mapping {
    void *data;
    size_t size;
} wk__mapping;
WK_API wk_status wk__map(const char *path, wk__mapping *mapping);
/* The same; the file stays open as *descriptor, for the caller to close. */
wk_status wk__map_open(const char *path, wk__mapping *mapping, int *descriptor);
WK_API void wk__unmap(wk__mapping *mapping);

#endif
