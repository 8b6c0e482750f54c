/* torch_old.c: files of torch.save before PyTorch 1.6: pickles of a magic number, a version, the machine, the value and
 * the keys of its storages; then of each storage its length and its numbers (torch/serialization.py, _legacy_save). */
#define WK_NO_CALL_SITES
#include "io/torch_file.h"

#include <string.h>

enum { VERSION = 1001, MOST_STORAGES = 1 << 20 };

static const unsigned char magic[] = { 0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46,
                                       0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.' };

bool wk__torch_is_old(const void *bytes, size_t size) {
    return size >= sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

typedef struct reader {
    const char *bytes, *name;
    size_t size, at;
    wk__arena *arena;
} reader;

static wk_status bad(const reader *r, const char *what) {
    return wk_fail(WK_FORMAT, "%s: byte %zu: %s", r->name, r->at, what);
}

static const wk__pickled *next(reader *r, wk__pickle_rest *rest) {
    const wk__pickled *value = wk__pickle_read(r->bytes + r->at, r->size - r->at, r->name, r->arena, rest);
    r->at += rest->used;
    return value;
}

static wk_status read_machine(reader *r) {
    wk__pickle_rest rest = { 0 };
    const wk__pickled *version = next(r, &rest), *machine = version ? next(r, &rest) : NULL;
    if (!machine) return wk_error_code();
    if (version->kind != WK__PICKLED_INTEGER || version->integer != VERSION)
        return bad(r, "a version that is not 1001");
    for (int64_t i = 0; machine->kind == WK__PICKLED_DICT && i + 1 < machine->count; i += 2) {
        const wk__pickled *key = machine->items[i], *value = machine->items[i + 1];
        if (key->kind == WK__PICKLED_TEXT && strcmp(key->text, "little_endian") == 0 && !value->integer)
            return bad(r, "its numbers are not little endian");
    }
    return WK_OK;
}

/* Bytes of one number of the storage with this key, as the value spoke of it; 0: it did not. */
static uint64_t number_size(const wk__pickled *mentioned, const char *key) {
    for (; mentioned; mentioned = mentioned->next)
        if (strcmp(mentioned->text, key) == 0) return mentioned->untyped ? 1 : wk_dtype_size(mentioned->dtype);
    return 0;
}

/* Its length, then its numbers. */
static wk_status read_storage(reader *r, const wk__pickled *mentioned, const wk__pickled *key, wk__torch_storage *s) {
    if (key->kind != WK__PICKLED_TEXT) return bad(r, "a storage whose key is no text");
    uint64_t count = 0;
    const uint64_t each = number_size(mentioned, key->text);
    if (r->size - r->at < 8) return bad(r, "it ends before its numbers");
    for (int i = 7; i >= 0; i--) count = count << 8 | (unsigned char)r->bytes[r->at + (size_t)i];
    r->at += 8;
    if (each == 0) return bad(r, "a storage that nothing speaks of");
    if (count > (r->size - r->at) / each) return bad(r, "it ends before its numbers");
    *s = (wk__torch_storage){ key->text, r->bytes + r->at, count * each };
    r->at += (size_t)(count * each);
    return WK_OK;
}

static wk_status read_storages(reader *r, const wk__pickled *mentioned, wk__torch_storage **storages, int *count) {
    wk__pickle_rest rest = { 0 };
    const wk__pickled *keys = next(r, &rest);
    if (!keys) return wk_error_code();
    if (keys->kind != WK__PICKLED_LIST || keys->count > MOST_STORAGES) return bad(r, "no list of storages");
    *storages = wk_alloc(((size_t)keys->count + 1) * sizeof **storages);
    if (!*storages) return WK_NO_MEMORY;
    for (; *count < keys->count; ++*count)
        WK_TRY(read_storage(r, mentioned, keys->items[*count], &(*storages)[*count]));
    return WK_OK;
}

const wk__pickled *wk__torch_read_old(const char *bytes, size_t size, const char *name, wk__arena *arena,
                                      wk__torch_storage **storages, int *count) {
    reader r = { bytes, name, size, sizeof magic, arena };
    wk__pickle_rest rest = { 0 };
    const wk__pickled *value = read_machine(&r) == WK_OK ? next(&r, &rest) : NULL;
    return value && read_storages(&r, rest.storages, storages, count) == WK_OK ? value : NULL;
}
