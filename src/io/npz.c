/* npz.c: NumPy's npz files: a zip archive of npy files, stored or deflated, through minizip.
 *
 * Reading is from a mapping, writing through a temporary file (file.h): minizip sees both through the functions below.
 * Names are keys, never paths: one that could leave a folder if the archive were unpacked is refused both ways.  Sizes
 * that an archive claims are held against what its compressed bytes can make before memory is taken.
 */
#define WK_NO_CALL_SITES
#include "io/file.h"
#include "io/npy.h"
#include "tensor/tensor.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <unzip.h>
#include <zip.h>

enum { LONGEST_NAME = 250, MOST_ENTRIES = 1 << 20 };
/* Deflate makes at most 1032 bytes of one (zlib's technical notes). */
enum { LARGEST_RATIO = 1032 };

typedef struct entry {
    char *name; /* without ".npy" */
    unz64_file_pos position;
    uint64_t size;
} entry;

struct wk_npz {
    char *path;
    wk__mapping mapping;
    const char *bytes;
    uint64_t size, at;
    bool ended; /* the last read asked for more than there was */
    unzFile zip;
    entry *entries;
    int count;
};

/* ---- minizip on memory ---- */

static void *open_memory(void *opaque, const void *name, int mode) {
    (void)name, (void)mode;
    return opaque;
}
static uLong read_memory(void *opaque, void *stream, void *buffer, uLong size) {
    wk_npz *z = stream;
    (void)opaque;
    uint64_t left = z->at < z->size ? z->size - z->at : 0;
    z->ended = size > left;
    if (z->ended) size = (uLong)left;
    if (size) memcpy(buffer, z->bytes + z->at, size);
    z->at += size;
    return size;
}
static uLong write_memory(void *opaque, void *stream, const void *buffer, uLong size) {
    (void)opaque, (void)stream, (void)buffer, (void)size;
    return 0;
}
static ZPOS64_T tell_memory(void *opaque, void *stream) {
    (void)opaque;
    return ((wk_npz *)stream)->at;
}
static long seek_memory(void *opaque, void *stream, ZPOS64_T offset, int origin) {
    wk_npz *z = stream;
    (void)opaque;
    uint64_t from = origin == ZLIB_FILEFUNC_SEEK_SET ? 0 : origin == ZLIB_FILEFUNC_SEEK_CUR ? z->at : z->size;
    if (offset > z->size || from + offset > z->size) return -1;
    z->at = from + offset;
    return 0;
}
/* Without this minizip takes the end of the file for zeros. */
static int error_memory(void *opaque, void *stream) {
    (void)opaque;
    return ((const wk_npz *)stream)->ended;
}
static int nothing(void *opaque, void *stream) {
    (void)opaque, (void)stream;
    return 0;
}

/* ---- opening ---- */

static wk_status bad(const wk_npz *z, const char *name, const char *what) {
    if (!name) return wk_fail(WK_FORMAT, "%s: not an npz file that can be read: %s", z->path, what);
    return wk_fail(WK_FORMAT, "%s: entry \"%s\": %s", z->path, name, what);
}

/* A name that stays below any folder. */
static const char *wrong_with(const char *name) {
    if (!*name) return "an empty name";
    if (strlen(name) > LONGEST_NAME) return "a name of more than 250 bytes";
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

static wk_status read_entry(wk_npz *z, entry *e) {
    unz_file_info64 info;
    char name[LONGEST_NAME + 8] = "";
    if (unzGetCurrentFileInfo64(z->zip, &info, name, sizeof name, NULL, 0, NULL, 0) != UNZ_OK)
        return bad(z, NULL, "its directory is damaged");
    if (info.size_filename >= sizeof name || strlen(name) != info.size_filename)
        return bad(z, NULL, "the name of an entry is too long, or has a NUL");
    size_t length = strlen(name);
    if (length > 4 && strcmp(name + length - 4, ".npy") == 0) name[length - 4] = '\0';
    const char *wrong = wrong_with(name);
    if (wrong) return bad(z, name, wrong);
    if (info.flag & 1) return bad(z, name, "it is encrypted");
    if (info.compression_method != 0 && info.compression_method != Z_DEFLATED)
        return bad(z, name, "it is neither stored nor deflated");
    bool possible = info.compression_method == 0 ? info.uncompressed_size == info.compressed_size
                                                 : info.uncompressed_size <= info.compressed_size * LARGEST_RATIO + 64;
    if (info.compressed_size > z->size || !possible) return bad(z, name, "its size is not possible");
    for (const entry *other = z->entries; other < e; other++)
        if (strcmp(other->name, name) == 0) return bad(z, name, "it is there twice");
    e->size = info.uncompressed_size;
    if (unzGetFilePos64(z->zip, &e->position) != UNZ_OK) return bad(z, name, "its place is not known");
    e->name = wk_strdup(name);
    return e->name ? WK_OK : WK_NO_MEMORY;
}

static wk_status read_directory(wk_npz *z) {
    zlib_filefunc64_def functions = { open_memory, read_memory, write_memory, tell_memory,
                                      seek_memory, nothing,     error_memory, z };
    z->zip = unzOpen2_64(z->path, &functions);
    unz_global_info64 info;
    if (!z->zip || unzGetGlobalInfo64(z->zip, &info) != UNZ_OK) return bad(z, NULL, "it has no zip directory");
    if (info.number_entry > MOST_ENTRIES || info.number_entry > z->size / 46)
        return bad(z, NULL, "more entries than its bytes can hold");
    z->entries = wk_alloc(((size_t)info.number_entry + 1) * sizeof *z->entries);
    if (!z->entries) return WK_NO_MEMORY;
    int found = info.number_entry ? unzGoToFirstFile(z->zip) : UNZ_END_OF_LIST_OF_FILE;
    for (; found == UNZ_OK && (uint64_t)z->count < info.number_entry; found = unzGoToNextFile(z->zip)) {
        WK_TRY(read_entry(z, &z->entries[z->count]));
        z->count++;
    }
    return (uint64_t)z->count == info.number_entry ? WK_OK : bad(z, NULL, "its directory is damaged");
}

static wk_npz *open_bytes(wk_npz *z, const void *bytes, size_t size, const char *name) {
    z->bytes = bytes;
    z->size = size;
    z->path = wk_strdup(name);
    if (z->path && read_directory(z) == WK_OK) return z;
    wk_npz_close(z);
    return NULL;
}

wk_npz *wk__npz_parse(const void *bytes, size_t size, const char *name) {
    wk_npz *z = wk_alloc(sizeof *z);
    return z ? open_bytes(z, bytes, size, name) : NULL;
}

wk_npz *wk_npz_open(const char *path) {
    wk_npz *z = wk_failed() ? NULL : wk_alloc(sizeof *z);
    if (!z) return NULL;
    if (wk__map(path, &z->mapping) != WK_OK) {
        wk_npz_close(z);
        return NULL;
    }
    return open_bytes(z, z->mapping.data, z->mapping.size, path);
}

void wk_npz_close(wk_npz *z) {
    if (!z) return;
    if (z->zip) (void)unzClose(z->zip);
    for (int i = 0; i < z->count; i++) wk_free(z->entries[i].name);
    wk_free(z->entries);
    wk__unmap(&z->mapping);
    wk_free(z->path);
    wk_free(z);
}

int wk_npz_count(const wk_npz *z) {
    return z->count;
}
const char *wk_npz_name(const wk_npz *z, int i) {
    return i >= 0 && i < z->count ? z->entries[i].name : NULL;
}

/* ---- one entry ---- */

/* Exactly so many bytes. */
static wk_status read_all(wk_npz *z, const entry *e, void *bytes, uint64_t size) {
    char *at = bytes;
    while (size > 0) {
        unsigned part = size > (1u << 30) ? 1u << 30 : (unsigned)size;
        int got = unzReadCurrentFile(z->zip, at, part);
        if (got <= 0) return bad(z, e->name, "its bytes are damaged or end too early");
        at += got;
        size -= (uint64_t)got;
    }
    return WK_OK;
}

static wk_status read_header(wk_npz *z, const entry *e, wk_text *bytes, wk__npy_header *header) {
    char name[LONGEST_NAME * 2 + 300], chunk[256];
    (void)snprintf(name, sizeof name, "%.300s: entry \"%s\"", z->path, e->name);
    /* The first ten bytes say how long the header is; it is read to its end and not beyond. */
    uint64_t have = e->size < 12 ? e->size : 12;
    WK_TRY(read_all(z, e, chunk, have));
    wk_text_add(bytes, chunk, (size_t)have);
    const unsigned char *b = (const unsigned char *)chunk;
    uint64_t wanted = 0;
    if (have == 12) {
        wanted = (uint64_t)(b[8] | b[9] << 8) + (b[6] == 1 ? 10 : 12);
        if (b[6] > 1) wanted += (uint64_t)b[10] << 16 | (uint64_t)b[11] << 24;
    }
    while (bytes->size < wanted && bytes->size < e->size && bytes->size <= 70000) {
        uint64_t part = wanted - bytes->size;
        if (part > sizeof chunk) part = sizeof chunk;
        if (part > e->size - bytes->size) part = e->size - bytes->size;
        WK_TRY(read_all(z, e, chunk, part));
        wk_text_add(bytes, chunk, (size_t)part);
    }
    if (bytes->failed) return WK_NO_MEMORY;
    return wk__npy_parse(wk_text_get(bytes), bytes->size, e->size, name, header);
}

static wk_tensor *read_tensor(wk_npz *z, const entry *e) {
    wk__npy_header header = { .data = 0 };
    wk_text bytes = { 0 };
    wk_tensor *stored = NULL;
    if (read_header(z, e, &bytes, &header) == WK_OK) stored = wk__npy_place(&header);
    size_t have = bytes.size;
    if (stored && have > header.data) memcpy(stored->data, bytes.data + header.data, have - header.data);
    size_t early = have > header.data ? have - header.data : 0;
    wk_text_free(&bytes);
    if (stored && read_all(z, e, (char *)stored->data + early, e->size - have) != WK_OK) stored = NULL;
    char one;
    if (stored && unzReadCurrentFile(z->zip, &one, 1) != 0) {
        (void)bad(z, e->name, "it is longer than it says");
        stored = NULL;
    }
    return wk__npy_finish(stored, &header);
}

wk_tensor *wk_npz_get(wk_npz *z, const char *name) {
    if (wk_failed()) return NULL;
    const entry *e = NULL;
    for (int i = 0; i < z->count && !e; i++)
        if (strcmp(z->entries[i].name, name) == 0) e = &z->entries[i];
    if (!e) return wk_fail_null(WK_NOT_FOUND, "%s: no entry \"%s\"", z->path, name);
    if (unzGoToFilePos64(z->zip, &e->position) != UNZ_OK || unzOpenCurrentFile(z->zip) != UNZ_OK) {
        (void)bad(z, e->name, "it cannot be opened: its own header says something else than the directory");
        return NULL;
    }
    wk_tensor *tensor = read_tensor(z, e);
    bool damaged = unzCloseCurrentFile(z->zip) != UNZ_OK;
    if (tensor && damaged) {
        (void)bad(z, e->name, "its checksum is wrong");
        return NULL;
    }
    return tensor;
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

static wk_status failed_writing(const char *path) {
    return wk_failed() ? wk_error_code() : wk_fail(WK_IO, "%s: cannot write the archive", path);
}

static wk_status write_entry(zipFile zip, const char *path, const char *name, wk_tensor *tensor, wk_npz_opts opts) {
    char header[512], full[LONGEST_NAME + 8];
    /* A fixed date: equal tensors give equal files. */
    const zip_fileinfo info = { .tmz_date = { .tm_mday = 1, .tm_mon = 0, .tm_year = 1980 } };
    const char *wrong = !name ? "an entry without a name" : wrong_with(name);
    if (wrong) return wk_fail(WK_INVALID, "%s: entry \"%s\": %s", path, name ? name : "", wrong);
    if (!tensor || tensor->life != WK__ALIVE)
        return wk_fail(WK_INVALID, "%s: tensor \"%s\" is %s", path, name,
                       tensor ? "used after its scope ended" : "NULL");
    (void)snprintf(full, sizeof full, "%s.npy", name);
    size_t size = wk__npy_header_text(tensor, full, header, sizeof header);
    wk_tensor *whole = size ? wk_contiguous(wk__on_host(tensor)) : NULL;
    if (!whole) return wk_error_code();
    uint64_t bytes = (uint64_t)whole->count * wk_dtype_size((wk_dtype)whole->dtype);
    if (zipOpenNewFileInZip64(zip, full, &info, NULL, 0, NULL, 0, NULL, opts.compress ? Z_DEFLATED : 0,
                              opts.compress ? Z_DEFAULT_COMPRESSION : 0, bytes > 0xfff00000u)
        != ZIP_OK)
        return failed_writing(path);
    bool fine = zipWriteInFileInZip(zip, header, (unsigned)size) == ZIP_OK;
    for (uint64_t at = 0; fine && at < bytes;) {
        unsigned part = bytes - at > (1u << 28) ? 1u << 28 : (unsigned)(bytes - at);
        fine = zipWriteInFileInZip(zip, (const char *)whole->data + at, part) == ZIP_OK;
        at += part;
    }
    return zipCloseFileInZip(zip) == ZIP_OK && fine ? WK_OK : failed_writing(path);
}

static wk_status check_names(const char *path, wk_named_tensors tensors) {
    for (int i = 0; i < tensors.count; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(tensors.name[i], tensors.name[k]) == 0)
                return wk_fail(WK_INVALID, "%s: two tensors are called \"%s\"", path, tensors.name[i]);
    return WK_OK;
}

wk_status wk_npz_save(const char *path, wk_named_tensors tensors, wk_npz_opts opts) {
    if (wk_failed()) return WK_PENDING;
    wk__writer writer = { 0 };
    WK_TRY(check_names(path, tensors));
    WK_TRY(wk__writer_open(&writer, path));
    zlib_filefunc64_def functions = { open_writer, read_writer, write_writer, tell_writer,
                                      seek_writer, nothing,     nothing,      &writer };
    zipFile zip = zipOpen2_64(path, APPEND_STATUS_CREATE, NULL, &functions);
    wk_status status = zip ? WK_OK : wk_fail(WK_NO_MEMORY, "%s: out of memory", path);
    for (int i = 0; i < tensors.count && status == WK_OK; i++) {
        wk_scope scope = wk_scope_begin();
        status = write_entry(zip, path, tensors.name[i], tensors.tensor[i], opts);
        wk_scope_end(scope);
    }
    if (zip && zipClose(zip, NULL) != ZIP_OK && status == WK_OK) status = failed_writing(path);
    if (status == WK_OK) status = wk__writer_commit(&writer);
    wk__writer_abort(&writer);
    return status;
}
