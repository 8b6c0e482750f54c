/* archive.h: zip archives of named byte strings, as NumPy and PyTorch keep tensors in them. */
#ifndef WICK_SRC_IO_ARCHIVE_H
#define WICK_SRC_IO_ARCHIVE_H

#include "io/file.h"

#include <unzip.h>
#include <zip.h>

enum { WK__LONGEST_ENTRY = 250 }; /* bytes of a name */

typedef struct wk__archive_entry {
    char *name;
    uint64_t size; /* of its bytes, unpacked */
    unz64_file_pos position;
} wk__archive_entry;

/* An archive that is read, from a mapping or from bytes in memory.  One thread at a time. */
typedef struct wk__archive {
    const char *path, *kind; /* kind: what the file should be, for messages ("an npz file"); not owned */
    wk__archive_entry *entries;
    int count;
    wk__mapping mapping;
    const char *bytes;
    uint64_t size, at;
    bool ended; /* the last read asked for more than there was */
    char *held_path;
    unzFile zip;
} wk__archive;

/* `archive` is zero-initialised; it is to be closed whatever comes back.  Errors: WK_IO, WK_FORMAT (no archive,
 * damaged, encrypted, a name twice or one that leads out of its folder, sizes that cannot be). */
WK_API wk_status wk__archive_open(wk__archive *archive, const char *path, const char *kind);
/* The same from bytes that must outlive it; `name` stands in messages. */
WK_API wk_status wk__archive_parse(wk__archive *archive, const void *bytes, size_t size, const char *name,
                                   const char *kind);
WK_API void wk__archive_close(wk__archive *archive);
/* NULL: there is none. */
WK_API const wk__archive_entry *wk__archive_find(const wk__archive *archive, const char *name);
/* WK_FORMAT with the file's and the entry's names (NULL: none) before `what`. */
WK_API wk_status wk__archive_bad(const wk__archive *archive, const wk__archive_entry *entry, const char *what);

/* Enter an entry, read its bytes in order, leave it: that it was read to its end and that its checksum is right are
 * asked by the last. */
WK_API wk_status wk__archive_enter(wk__archive *archive, const wk__archive_entry *entry);
WK_API wk_status wk__archive_read(wk__archive *archive, const wk__archive_entry *entry, void *bytes, uint64_t size);
WK_API wk_status wk__archive_leave(wk__archive *archive, const wk__archive_entry *entry, bool read_whole);

/* An archive that is written: whole under its name, or not at all.  Zero-initialised means not open. */
typedef struct wk__archive_writer {
    wk__writer file;
    zipFile zip;
    const char *path; /* not owned */
} wk__archive_writer;
WK_API wk_status wk__archive_create(wk__archive_writer *writer, const char *path);
/* An entry begins (`size` bytes are to come), gets bytes, ends. */
WK_API wk_status wk__archive_begin(wk__archive_writer *writer, const char *name, uint64_t size, bool compress);
WK_API wk_status wk__archive_add(wk__archive_writer *writer, const void *bytes, uint64_t size);
WK_API wk_status wk__archive_end(wk__archive_writer *writer);
/* With WK_OK: all of it to the disk and under its name; with another status: nothing, and that status. */
WK_API wk_status wk__archive_finish(wk__archive_writer *writer, wk_status status);

#endif
