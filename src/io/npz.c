/* npz.c: NumPy's npz files: an archive of npy files. */
#define WK_NO_CALL_SITES
#include "io/archive.h"
#include "io/npy.h"
#include "tensor/tensor.h"

#include <string.h>

struct wk_npz {
    wk__archive archive;
    char **names; /* (archive.count): without ".npy" */
};

static const char kind[] = "an npz file";

/* ---- opening ---- */

/* Names as NumPy shows them; "x" and "x.npy" would be the same one. */
static wk_status make_names(wk_npz *z) {
    const wk__archive *a = &z->archive;
    z->names = wk_alloc(((size_t)a->count + 1) * sizeof *z->names);
    if (!z->names) return WK_NO_MEMORY;
    for (int i = 0; i < a->count; i++) {
        char *name = z->names[i] = wk_strdup(a->entries[i].name);
        if (!name) return WK_NO_MEMORY;
        const size_t length = strlen(name);
        if (length > 4 && strcmp(name + length - 4, ".npy") == 0) name[length - 4] = '\0';
        for (int k = 0; k < i; k++)
            if (strcmp(z->names[k], name) == 0) return wk__archive_bad(a, &a->entries[i], "it is there twice");
    }
    return WK_OK;
}

static wk_npz *opened(wk_npz *z, wk_status status) {
    if (status == WK_OK && make_names(z) == WK_OK) return z;
    wk_npz_close(z);
    return NULL;
}

wk_npz *wk__npz_parse(const void *bytes, size_t size, const char *name) {
    wk_npz *z = wk_alloc(sizeof *z);
    return z ? opened(z, wk__archive_parse(&z->archive, bytes, size, name, kind)) : NULL;
}

wk_npz *wk_npz_open(const char *path) {
    wk_npz *z = wk_failed() ? NULL : wk_alloc(sizeof *z);
    return z ? opened(z, wk__archive_open(&z->archive, path, kind)) : NULL;
}

void wk_npz_close(wk_npz *z) {
    if (!z) return;
    for (int i = 0; z->names && i < z->archive.count; i++) wk_free(z->names[i]);
    wk_free(z->names);
    wk__archive_close(&z->archive);
    wk_free(z);
}

int wk_npz_count(const wk_npz *z) {
    return z->archive.count;
}
const char *wk_npz_name(const wk_npz *z, int i) {
    return i >= 0 && i < z->archive.count ? z->names[i] : NULL;
}

/* ---- one entry ---- */

static wk_status read_header(wk__archive *a, const wk__archive_entry *e, wk_text *bytes, wk__npy_header *header) {
    char name[WK__LONGEST_ENTRY * 2 + 300], chunk[256];
    (void)snprintf(name, sizeof name, "%.300s: entry \"%s\"", a->path, e->name);
    /* The first ten bytes say how long the header is; it is read to its end and not beyond. */
    uint64_t have = e->size < 12 ? e->size : 12;
    WK_TRY(wk__archive_read(a, e, chunk, have));
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
        WK_TRY(wk__archive_read(a, e, chunk, part));
        wk_text_add(bytes, chunk, (size_t)part);
    }
    if (bytes->failed) return WK_NO_MEMORY;
    return wk__npy_parse(wk_text_get(bytes), bytes->size, e->size, name, header);
}

static wk_tensor *read_tensor(wk__archive *a, const wk__archive_entry *e) {
    wk__npy_header header = { .data = 0 };
    wk_text bytes = { 0 };
    wk_tensor *stored = NULL;
    if (read_header(a, e, &bytes, &header) == WK_OK) stored = wk__npy_place(&header);
    size_t have = bytes.size;
    if (stored && have > header.data) memcpy(stored->data, bytes.data + header.data, have - header.data);
    size_t early = have > header.data ? have - header.data : 0;
    wk_text_free(&bytes);
    if (stored && wk__archive_read(a, e, (char *)stored->data + early, e->size - have) != WK_OK) stored = NULL;
    if (wk__archive_leave(a, e, stored != NULL) != WK_OK) stored = NULL;
    return wk__npy_finish(stored, &header);
}

wk_tensor *wk_npz_get(wk_npz *z, const char *name) {
    if (wk_failed()) return NULL;
    const wk__archive_entry *e = NULL;
    for (int i = 0; i < z->archive.count && !e; i++)
        if (strcmp(z->names[i], name) == 0) e = &z->archive.entries[i];
    if (!e) return wk_fail_null(WK_NOT_FOUND, "%s: no entry \"%s\"", z->archive.path, name);
    return wk__archive_enter(&z->archive, e) == WK_OK ? read_tensor(&z->archive, e) : NULL;
}

/* ---- writing ---- */

static wk_status write_entry(wk__archive_writer *w, const char *name, wk_tensor *tensor, wk_npz_opts opts) {
    char header[512], full[WK__LONGEST_ENTRY + 8];
    if (!tensor || tensor->life != WK__ALIVE)
        return wk_fail(WK_INVALID, "%s: tensor \"%s\" is %s", w->path, name ? name : "",
                       tensor ? "used after its scope ended" : "NULL");
    const char *wrong = !name                                          ? "an entry without a name"
                        : !*name                                       ? "an empty name"
                        : strlen(name) + strlen(".npy") >= sizeof full ? "a name of more than 250 bytes"
                                                                       : NULL;
    if (wrong) return wk_fail(WK_INVALID, "%s: entry \"%.80s\": %s", w->path, name ? name : "", wrong);
    (void)snprintf(full, sizeof full, "%s.npy", name);
    size_t size = wk__npy_header_text(tensor, full, header, sizeof header);
    wk_tensor *whole = size ? wk_contiguous(wk__on_host(tensor)) : NULL;
    if (!whole) return wk_error_code();
    uint64_t bytes = (uint64_t)whole->count * wk_dtype_size((wk_dtype)whole->dtype);
    WK_TRY(wk__archive_begin(w, full, size + bytes, opts.compress));
    WK_TRY(wk__archive_add(w, header, size));
    WK_TRY(wk__archive_add(w, whole->data, bytes));
    return wk__archive_end(w);
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
    wk__archive_writer writer = { 0 };
    WK_TRY(check_names(path, tensors));
    wk_status status = wk__archive_create(&writer, path);
    for (int i = 0; i < tensors.count && status == WK_OK; i++) {
        wk_scope scope = wk_scope_begin();
        status = write_entry(&writer, tensors.name[i], tensors.tensor[i], opts);
        wk_scope_end(scope);
    }
    return wk__archive_finish(&writer, status);
}
