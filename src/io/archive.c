/* archive.c: zip archives through minizip, with stored or deflated entries.
 *
 * Reading is from memory, writing through a temporary file (file.h): minizip sees both through the functions below.
 * Names are keys, never paths: one that could leave a folder if the archive were unpacked is refused both ways.  Sizes
 * that an archive claims are held against what its compressed bytes can make before memory is taken.
 */
#include "io/archive.h"

#include <string.h>
#include <unistd.h>

enum { MOST_ENTRIES = 1 << 20 };
/* Deflate makes at most 1032 bytes of one (zlib's technical notes). */
enum { LARGEST_RATIO = 1032 };

/* ---- minizip on memory ---- */

static void *open_memory(void *opaque, const void *name, int mode) {
    (void)name, (void)mode;
    return opaque;
}
static uLong read_memory(void *opaque, void *stream, void *buffer, uLong size) {
    wk__archive *a = stream;
    (void)opaque;
    uint64_t left = a->at < a->size ? a->size - a->at : 0;
    a->ended = size > left;
    if (a->ended) size = (uLong)left;
    if (size) memcpy(buffer, a->bytes + a->at, size);
    a->at += size;
    return size;
}
static uLong write_memory(void *opaque, void *stream, const void *buffer, uLong size) {
    (void)opaque, (void)stream, (void)buffer, (void)size;
    return 0;
}
static ZPOS64_T tell_memory(void *opaque, void *stream) {
    (void)opaque;
    return ((wk__archive *)stream)->at;
}
static long seek_memory(void *opaque, void *stream, ZPOS64_T offset, int origin) {
    wk__archive *a = stream;
    (void)opaque;
    uint64_t from = origin == ZLIB_FILEFUNC_SEEK_SET ? 0 : origin == ZLIB_FILEFUNC_SEEK_CUR ? a->at : a->size;
    if (offset > a->size || from + offset > a->size) return -1;
    a->at = from + offset;
    return 0;
}
/* Without this minizip takes the end of the file for zeros. */
static int error_memory(void *opaque, void *stream) {
    (void)opaque;
    return ((const wk__archive *)stream)->ended;
}
static int nothing(void *opaque, void *stream) {
    (void)opaque, (void)stream;
    return 0;
}

/* ---- opening ---- */

wk_status wk__archive_bad(const wk__archive *a, const wk__archive_entry *entry, const char *what) {
    if (!entry) return wk_fail(WK_FORMAT, "%s: not %s that can be read: %s", a->path, a->kind, what);
    return wk_fail(WK_FORMAT, "%s: entry \"%s\": %s", a->path, entry->name, what);
}

static wk_status bad_name(const wk__archive *a, const char *name, const char *what) {
    return wk_fail(WK_FORMAT, "%s: entry \"%s\": %s", a->path, name, what);
}

/* A name that stays below any folder. */
static const char *wrong_with(const char *name) {
    if (!*name) return "an empty name";
    if (strlen(name) > WK__LONGEST_ENTRY) return "a name of more than 250 bytes";
    if (*name == '/' || strchr(name, '\\') || strchr(name, ':')) return "a name that is a path of its own";
    for (const char *at = name; at; at = strchr(at, '/')) {
        if (*at == '/') at++;
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0')) return "a name that leads out of its folder";
        if (*at == '/' || *at == '\0') return "a name with an empty part";
    }
    for (const char *at = name; *at; at++)
        if ((unsigned char)*at < ' ') return "a name with a control character";
    return NULL;
}

static wk_status read_entry(wk__archive *a, wk__archive_entry *e) {
    unz_file_info64 info;
    char name[WK__LONGEST_ENTRY + 8] = "";
    if (unzGetCurrentFileInfo64(a->zip, &info, name, sizeof name, NULL, 0, NULL, 0) != UNZ_OK)
        return wk__archive_bad(a, NULL, "its directory is damaged");
    if (info.size_filename >= sizeof name || strlen(name) != info.size_filename)
        return wk__archive_bad(a, NULL, "the name of an entry is too long, or has a NUL");
    const char *wrong = wrong_with(name);
    if (wrong) return bad_name(a, name, wrong);
    if (info.flag & 1) return bad_name(a, name, "it is encrypted");
    if (info.compression_method != 0 && info.compression_method != Z_DEFLATED)
        return bad_name(a, name, "it is neither stored nor deflated");
    bool possible = info.compression_method == 0 ? info.uncompressed_size == info.compressed_size
                                                 : info.uncompressed_size <= info.compressed_size * LARGEST_RATIO + 64;
    if (info.compressed_size > a->size || !possible) return bad_name(a, name, "its size is not possible");
    if (wk__archive_find(a, name)) return bad_name(a, name, "it is there twice");
    e->size = info.uncompressed_size;
    if (unzGetFilePos64(a->zip, &e->position) != UNZ_OK) return bad_name(a, name, "its place is not known");
    e->name = wk_strdup(name);
    return e->name ? WK_OK : WK_NO_MEMORY;
}

static wk_status read_directory(wk__archive *a) {
    zlib_filefunc64_def functions = { open_memory, read_memory, write_memory, tell_memory,
                                      seek_memory, nothing,     error_memory, a };
    a->zip = unzOpen2_64(a->path, &functions);
    unz_global_info64 info;
    if (!a->zip || unzGetGlobalInfo64(a->zip, &info) != UNZ_OK)
        return wk__archive_bad(a, NULL, "it has no zip directory");
    if (info.number_entry > MOST_ENTRIES || info.number_entry > a->size / 46)
        return wk__archive_bad(a, NULL, "more entries than its bytes can hold");
    a->entries = wk_alloc(((size_t)info.number_entry + 1) * sizeof *a->entries);
    if (!a->entries) return WK_NO_MEMORY;
    int found = info.number_entry ? unzGoToFirstFile(a->zip) : UNZ_END_OF_LIST_OF_FILE;
    for (; found == UNZ_OK && (uint64_t)a->count < info.number_entry; found = unzGoToNextFile(a->zip)) {
        WK_TRY(read_entry(a, &a->entries[a->count]));
        a->count++;
    }
    return (uint64_t)a->count == info.number_entry ? WK_OK : wk__archive_bad(a, NULL, "its directory is damaged");
}

wk_status wk__archive_parse(wk__archive *a, const void *bytes, size_t size, const char *name, const char *kind) {
    a->bytes = bytes;
    a->size = size;
    a->kind = kind;
    a->path = a->held_path = wk_strdup(name);
    return a->path ? read_directory(a) : WK_NO_MEMORY;
}

wk_status wk__archive_open(wk__archive *a, const char *path, const char *kind) {
    WK_TRY(wk__map(path, &a->mapping));
    return wk__archive_parse(a, a->mapping.data, a->mapping.size, path, kind);
}

void wk__archive_close(wk__archive *a) {
    if (a->zip) (void)unzClose(a->zip);
    for (int i = 0; i < a->count; i++) wk_free(a->entries[i].name);
    wk_free(a->entries);
    wk__unmap(&a->mapping);
    wk_free(a->held_path);
    *a = (wk__archive){ 0 };
}

const wk__archive_entry *wk__archive_find(const wk__archive *a, const char *name) {
    for (int i = 0; i < a->count; i++)
        if (strcmp(a->entries[i].name, name) == 0) return &a->entries[i];
    return NULL;
}

/* ---- one entry ---- */

wk_status wk__archive_enter(wk__archive *a, const wk__archive_entry *e) {
    if (unzGoToFilePos64(a->zip, &e->position) == UNZ_OK && unzOpenCurrentFile(a->zip) == UNZ_OK) return WK_OK;
    return wk__archive_bad(a, e, "it cannot be opened: its own header says something else than the directory");
}

wk_status wk__archive_read(wk__archive *a, const wk__archive_entry *e, void *bytes, uint64_t size) {
    char *at = bytes;
    while (size > 0) {
        unsigned part = size > (1u << 30) ? 1u << 30 : (unsigned)size;
        int got = unzReadCurrentFile(a->zip, at, part);
        if (got <= 0) return wk__archive_bad(a, e, "its bytes are damaged or end too early");
        at += got;
        size -= (uint64_t)got;
    }
    return WK_OK;
}

wk_status wk__archive_leave(wk__archive *a, const wk__archive_entry *e, bool read_whole) {
    char one;
    const bool is_longer = read_whole && unzReadCurrentFile(a->zip, &one, 1) != 0;
    const bool is_damaged = unzCloseCurrentFile(a->zip) != UNZ_OK;
    if (!read_whole) return WK_OK; /* whoever stopped before the end has said why */
    if (is_longer) return wk__archive_bad(a, e, "it is longer than it says");
    return is_damaged ? wk__archive_bad(a, e, "its checksum is wrong") : WK_OK;
}

/* ---- writing ---- */

static void *open_writer(void *opaque, const void *name, int mode) {
    (void)name, (void)mode;
    return opaque;
}
static uLong read_writer(void *opaque, void *stream, void *buffer, uLong size) {
    (void)opaque, (void)stream, (void)buffer, (void)size;
    return 0;
}
static uLong write_writer(void *opaque, void *stream, const void *buffer, uLong size) {
    (void)opaque;
    return wk__writer_add(stream, buffer, size) == WK_OK ? size : 0;
}
static ZPOS64_T tell_writer(void *opaque, void *stream) {
    (void)opaque;
    off_t at = lseek(((wk__writer *)stream)->descriptor, 0, SEEK_CUR);
    return at < 0 ? 0 : (ZPOS64_T)at;
}
static long seek_writer(void *opaque, void *stream, ZPOS64_T offset, int origin) {
    (void)opaque;
    int from = origin == ZLIB_FILEFUNC_SEEK_SET ? SEEK_SET : origin == ZLIB_FILEFUNC_SEEK_CUR ? SEEK_CUR : SEEK_END;
    return lseek(((wk__writer *)stream)->descriptor, (off_t)offset, from) < 0 ? -1 : 0;
}

static wk_status failed_writing(const wk__archive_writer *w) {
    return wk_failed() ? wk_error_code() : wk_fail(WK_IO, "%s: cannot write the archive", w->path);
}

wk_status wk__archive_create(wk__archive_writer *w, const char *path) {
    w->path = path;
    WK_TRY(wk__writer_open(&w->file, path));
    zlib_filefunc64_def functions = { open_writer, read_writer, write_writer, tell_writer,
                                      seek_writer, nothing,     nothing,      &w->file };
    w->zip = zipOpen2_64(path, APPEND_STATUS_CREATE, NULL, &functions);
    return w->zip ? WK_OK : wk_fail(WK_NO_MEMORY, "%s: out of memory", path);
}

wk_status wk__archive_begin(wk__archive_writer *w, const char *name, uint64_t size, bool compress) {
    /* A fixed date: equal contents give equal files. */
    const zip_fileinfo info = { .tmz_date = { .tm_mday = 1, .tm_mon = 0, .tm_year = 1980 } };
    const char *wrong = !name ? "an entry without a name" : wrong_with(name);
    if (wrong) return wk_fail(WK_INVALID, "%s: entry \"%s\": %s", w->path, name ? name : "", wrong);
    const bool is_large = size > 0xfff00000u;
    return zipOpenNewFileInZip64(w->zip, name, &info, NULL, 0, NULL, 0, NULL, compress ? Z_DEFLATED : 0,
                                 compress ? Z_DEFAULT_COMPRESSION : 0, is_large)
                   == ZIP_OK
               ? WK_OK
               : failed_writing(w);
}

wk_status wk__archive_add(wk__archive_writer *w, const void *bytes, uint64_t size) {
    for (uint64_t at = 0; at < size;) {
        unsigned part = size - at > (1u << 28) ? 1u << 28 : (unsigned)(size - at);
        if (zipWriteInFileInZip(w->zip, (const char *)bytes + at, part) != ZIP_OK) return failed_writing(w);
        at += part;
    }
    return WK_OK;
}

wk_status wk__archive_end(wk__archive_writer *w) {
    return zipCloseFileInZip(w->zip) == ZIP_OK ? WK_OK : failed_writing(w);
}

wk_status wk__archive_finish(wk__archive_writer *w, wk_status status) {
    if (w->zip && zipClose(w->zip, NULL) != ZIP_OK && status == WK_OK) status = failed_writing(w);
    if (status == WK_OK) status = wk__writer_commit(&w->file);
    wk__writer_abort(&w->file);
    w->zip = NULL;
    return status;
}
