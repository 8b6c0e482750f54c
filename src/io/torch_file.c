/* torch_file.c: files of torch.save: an archive that holds a pickle ("NAME/data.pkl") and the bytes of each storage
 * ("NAME/data/KEY"), as torch/serialization.py of PyTorch 1.6 and later writes them.
 *
 * Opening reads the pickle and lists what lies in it by path; a tensor's bytes are read, and their checksum asked, when
 * it is taken.
 */
#define WK_NO_CALL_SITES
#include "io/archive.h"
#include "io/pickle.h"
#include "io/torch_file.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_PICKLE = 64 << 20, LONGEST_PATH = 1000, DEEPEST = 64, MOST_VALUES = 1000000 };

typedef struct leaf {
    const char *name; /* in the arena */
    const wk__pickled *value;
    const char *text; /* of a plain value */
} leaf;

struct wk_torch_file {
    const char *path;
    char *held_path;
    wk__mapping mapping;
    wk__archive archive;
    wk__arena arena;
    char folder[WK__LONGEST_ENTRY + 1]; /* NAME */
    wk__torch_storage *storages;        /* of a file of PyTorch before 1.6, which is no archive */
    int n_storages;
    leaf *leaves; /* tensors first, then plain values */
    int tensors, count, capacity;
};

static const char kind[] = "a file of torch.save";

static wk_status bad(const wk_torch_file *f, const char *what) {
    return wk_fail(WK_FORMAT, "%s: %s", f->path, what);
}

/* ---- what lies in it ---- */

static const char *held_text(wk_torch_file *f, const char *text) {
    const size_t size = strlen(text) + 1;
    char *held = wk__arena_take(&f->arena, size);
    return held ? memcpy(held, text, size) : NULL;
}

static wk_status add_leaf(wk_torch_file *f, const char *path, const wk__pickled *value, const char *text) {
    if (f->count == MOST_VALUES) return bad(f, "more than a million values");
    if (f->count == f->capacity) {
        const int capacity = f->capacity ? 2 * f->capacity : 64;
        leaf *more = wk_realloc(f->leaves, (size_t)capacity * sizeof *more);
        if (!more) return WK_NO_MEMORY;
        f->leaves = more;
        f->capacity = capacity;
    }
    const char *name = held_text(f, path), *held = text ? held_text(f, text) : NULL;
    if (!name || (text && !held)) return WK_NO_MEMORY;
    f->leaves[f->count++] = (leaf){ name, value, held };
    return WK_OK;
}

/* A number as Python writes it, shortest first. */
static void float_text(double value, char *text, size_t size) {
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(text, size, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    if (isnan(value)) (void)snprintf(text, size, "nan");
    const size_t length = strlen(text);
    if (!strpbrk(text, ".eni")) (void)snprintf(text + length, size - length, ".0");
}

static wk_status add_plain(wk_torch_file *f, const char *path, const wk__pickled *v) {
    char text[64];
    switch (v->kind) {
    case WK__PICKLED_NONE: return add_leaf(f, path, v, "None");
    case WK__PICKLED_BOOL: return add_leaf(f, path, v, v->integer ? "True" : "False");
    case WK__PICKLED_INTEGER: (void)snprintf(text, sizeof text, "%lld", (long long)v->integer); break;
    case WK__PICKLED_FLOAT: float_text(v->number, text, sizeof text); break;
    default: return add_leaf(f, path, v, v->text);
    }
    return add_leaf(f, path, v, text);
}

/* "path.key" in path's place; the length to go back to, -1: too long. */
static int64_t go_down(char *path, const wk__pickled *key, int64_t index) {
    const size_t length = strlen(path);
    const char *dot = length ? "." : "";
    const size_t room = LONGEST_PATH - length;
    int written = key && key->kind == WK__PICKLED_TEXT ? snprintf(path + length, room, "%s%s", dot, key->text)
                                                       : snprintf(path + length, room, "%s%lld", dot, (long long)index);
    return written < 0 || (size_t)written >= room ? -1 : (int64_t)length;
}

static wk_status list_values(wk_torch_file *f, char *path, const wk__pickled *v, int depth) {
    if (depth > DEEPEST) return bad(f, "values nested deeper than 64");
    if (v->kind == WK__PICKLED_TENSOR) return add_leaf(f, path, v, NULL);
    const bool is_dict = v->kind == WK__PICKLED_DICT;
    if (!is_dict && v->kind != WK__PICKLED_LIST && v->kind != WK__PICKLED_TUPLE) return add_plain(f, path, v);
    for (int64_t i = 0; i < v->count; i += is_dict ? 2 : 1) {
        const wk__pickled *key = is_dict ? v->items[i] : NULL;
        if (key && key->kind != WK__PICKLED_TEXT && key->kind != WK__PICKLED_INTEGER)
            return bad(f, "a dict whose keys are neither texts nor integers");
        const int64_t length = go_down(path, key, key ? key->integer : i);
        if (length < 0) return bad(f, "a path of more than 1000 bytes");
        WK_TRY(list_values(f, path, is_dict ? v->items[i + 1] : v->items[i], depth + 1));
        path[length] = '\0';
    }
    return WK_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Two values of one path could only be told apart by luck: {"a.b": x, "a": {"b": y}}. */
static wk_status check_names(const wk_torch_file *f) {
    const char **names = wk_alloc(((size_t)f->count + 1) * sizeof *names);
    if (!names) return WK_NO_MEMORY;
    for (int i = 0; i < f->count; i++) names[i] = f->leaves[i].name;
    qsort(names, (size_t)f->count, sizeof *names, by_name);
    wk_status status = WK_OK;
    for (int i = 1; i < f->count && status == WK_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = wk_fail(WK_FORMAT, "%s: two values have the path \"%s\"", f->path, names[i]);
    wk_free(names);
    return status;
}

/* Tensors before plain values, each in the file's order. */
static wk_status sort_leaves(wk_torch_file *f) {
    leaf *sorted = wk_alloc(((size_t)f->count + 1) * sizeof *sorted);
    if (!sorted) return WK_NO_MEMORY;
    int at = 0;
    for (int i = 0; i < f->count; i++)
        if (!f->leaves[i].text) sorted[at++] = f->leaves[i];
    f->tensors = at;
    for (int i = 0; i < f->count; i++)
        if (f->leaves[i].text) sorted[at++] = f->leaves[i];
    wk_free(f->leaves);
    f->leaves = sorted;
    f->capacity = f->count + 1;
    return WK_OK;
}

/* ---- opening ---- */

/* An entry's bytes with a NUL behind them; free with wk_free. */
static char *read_entry(wk_torch_file *f, const wk__archive_entry *entry, uint64_t most) {
    if (entry->size > most) {
        (void)wk__archive_bad(&f->archive, entry, "it is too large");
        return NULL;
    }
    char *bytes = wk_alloc((size_t)entry->size + 1);
    if (!bytes || wk__archive_enter(&f->archive, entry) != WK_OK) {
        wk_free(bytes);
        return NULL;
    }
    wk_status status = wk__archive_read(&f->archive, entry, bytes, entry->size);
    if (wk__archive_leave(&f->archive, entry, status == WK_OK) == WK_OK && status == WK_OK) return bytes;
    wk_free(bytes);
    return NULL;
}

static const wk__archive_entry *entry_of(const wk_torch_file *f, const char *name) {
    char full[2 * WK__LONGEST_ENTRY];
    (void)snprintf(full, sizeof full, "%s/%s", f->folder, name);
    return wk__archive_find(&f->archive, full);
}

/* The folder that holds data.pkl. */
static const wk__archive_entry *find_pickle(wk_torch_file *f) {
    static const char tail[] = "/data.pkl";
    for (int i = 0; i < f->archive.count; i++) {
        const char *name = f->archive.entries[i].name, *slash = strchr(name, '/');
        if (!slash || strcmp(slash, tail) != 0) continue;
        memcpy(f->folder, name, (size_t)(slash - name));
        return &f->archive.entries[i];
    }
    (void)wk__archive_bad(&f->archive, NULL, "it has no data.pkl");
    return NULL;
}

static wk_status check_byte_order(wk_torch_file *f) {
    const wk__archive_entry *entry = entry_of(f, "byteorder");
    if (!entry) return WK_OK; /* of versions that knew one only */
    char *text = read_entry(f, entry, 64);
    if (!text) return wk_error_code();
    wk_status status =
        strcmp(text, "little") == 0 ? WK_OK : wk__archive_bad(&f->archive, entry, "its numbers are not little endian");
    wk_free(text);
    return status;
}

/* The value of an archive, or of a file from before there were archives. */
static const wk__pickled *read_value(wk_torch_file *f, const void *bytes, size_t size) {
    wk__pickle_rest rest;
    if (wk__torch_is_old(bytes, size))
        return wk__torch_read_old(bytes, size, f->path, &f->arena, &f->storages, &f->n_storages);
    if (wk__archive_parse(&f->archive, bytes, size, f->path, kind) != WK_OK) return NULL;
    const wk__archive_entry *entry = find_pickle(f);
    char *text = entry && check_byte_order(f) == WK_OK ? read_entry(f, entry, LARGEST_PICKLE) : NULL;
    if (!text) return NULL;
    const wk__pickled *value = wk__pickle_read(text, (size_t)entry->size, f->path, &f->arena, &rest);
    wk_free(text);
    return value;
}

static wk_status parse(wk_torch_file *f, const void *bytes, size_t size, const char *name) {
    f->path = f->held_path = wk_strdup(name);
    char path[LONGEST_PATH] = "";
    const wk__pickled *value = f->path ? read_value(f, bytes, size) : NULL;
    if (!value) return wk_error_code();
    WK_TRY(list_values(f, path, value, 0));
    WK_TRY(check_names(f));
    return sort_leaves(f);
}

static wk_torch_file *opened(wk_torch_file *f, wk_status status) {
    if (status == WK_OK) return f;
    wk_torch_close(f);
    return NULL;
}

wk_torch_file *wk_torch_open(const char *path) {
    wk_torch_file *f = wk_failed() ? NULL : wk_alloc(sizeof *f);
    if (!f) return NULL;
    wk_status status = wk__map(path, &f->mapping);
    return opened(f, status == WK_OK ? parse(f, f->mapping.data, f->mapping.size, path) : status);
}

wk_torch_file *wk__torch_parse(const void *bytes, size_t size, const char *name) {
    wk_torch_file *f = wk_alloc(sizeof *f);
    return f ? opened(f, parse(f, bytes, size, name)) : NULL;
}

void wk_torch_close(wk_torch_file *f) {
    if (!f) return;
    wk__archive_close(&f->archive);
    wk__arena_destroy(&f->arena);
    wk__unmap(&f->mapping);
    wk_free(f->storages);
    wk_free(f->leaves);
    wk_free(f->held_path);
    wk_free(f);
}

int wk_torch_count(const wk_torch_file *f) {
    return f->tensors;
}
const char *wk_torch_name(const wk_torch_file *f, int i) {
    return i >= 0 && i < f->tensors ? f->leaves[i].name : NULL;
}
wk_dtype wk_torch_dtype(const wk_torch_file *f, int i) {
    return f->leaves[i].value->dtype;
}
wk_dims wk_torch_dims(const wk_torch_file *f, int i) {
    return f->leaves[i].value->dims;
}

const char *wk_torch_value(const wk_torch_file *f, const char *name) {
    for (int i = f->tensors; i < f->count; i++)
        if (strcmp(f->leaves[i].name, name) == 0) return f->leaves[i].text;
    return NULL;
}

/* ---- one tensor ---- */

static bool is_row_major(const wk__pickled *t) {
    int64_t stride = 1;
    for (int i = t->dims.rank - 1; i >= 0; i--) {
        if (t->dims.size[i] != 1 && t->strides.size[i] != stride) return false;
        stride *= t->dims.size[i];
    }
    return true;
}

/* Elements from where they lie in the storage to row-major order. */
static void arrange(const wk__pickled *t, wk_tensor *to, const char *from) {
    const size_t element = wk_dtype_size(t->dtype);
    int64_t index[WK_MAX_RANK] = { 0 }, at = t->integer;
    for (int64_t i = 0; i < to->count; i++) {
        memcpy((char *)to->data + (size_t)i * element, from + (size_t)at * element, element);
        for (int axis = t->dims.rank - 1; axis >= 0; axis--) {
            at += t->strides.size[axis];
            if (++index[axis] < t->dims.size[axis]) break;
            at -= t->strides.size[axis] * t->dims.size[axis];
            index[axis] = 0;
        }
    }
}

static wk_status read_storage(wk_torch_file *f, const wk__archive_entry *entry, void *to) {
    WK_TRY(wk__archive_enter(&f->archive, entry));
    wk_status status = wk__archive_read(&f->archive, entry, to, entry->size);
    wk_status left = wk__archive_leave(&f->archive, entry, status == WK_OK);
    return status == WK_OK ? left : status;
}

static uint64_t storage_bytes(const wk__pickled *storage) {
    return (uint64_t)storage->integer * (storage->untyped ? 1 : wk_dtype_size(storage->dtype));
}

/* Of an archive: straight to its place where it fills the storage, else through a copy of the storage. */
static wk_status fill_from_entry(wk_torch_file *f, const leaf *l, wk_tensor *to) {
    char name[WK__LONGEST_ENTRY + 1];
    if (snprintf(name, sizeof name, "data/%s", l->value->base->text) >= (int)sizeof name) name[0] = '\0';
    const wk__archive_entry *entry = entry_of(f, name);
    if (!entry)
        return wk_fail(WK_FORMAT, "%s: tensor \"%s\": its bytes, \"%s\", are not there", f->path, l->name, name);
    if (entry->size < storage_bytes(l->value->base))
        return wk__archive_bad(&f->archive, entry, "it is shorter than its storage");
    if (is_row_major(l->value) && entry->size == (uint64_t)to->count * wk_dtype_size((wk_dtype)to->dtype))
        return read_storage(f, entry, to->data);
    char *bytes = wk_alloc_data((size_t)entry->size + 1);
    wk_status status = bytes ? read_storage(f, entry, bytes) : WK_NO_MEMORY;
    if (status == WK_OK) arrange(l->value, to, bytes);
    wk_free(bytes);
    return status;
}

static wk_status fill_from_old(const wk_torch_file *f, const leaf *l, wk_tensor *to) {
    const wk__pickled *storage = l->value->base;
    for (int i = 0; i < f->n_storages; i++) {
        if (strcmp(f->storages[i].key, storage->text) != 0) continue;
        if (f->storages[i].size < storage_bytes(storage)) break;
        arrange(l->value, to, f->storages[i].bytes);
        return WK_OK;
    }
    return wk_fail(WK_FORMAT, "%s: tensor \"%s\": its numbers are not there", f->path, l->name);
}

static wk_tensor *read_tensor(wk_torch_file *f, const leaf *l) {
    wk_tensor *tensor = wk_empty(l->value->dtype, l->value->dims);
    if (!tensor) return NULL;
    return (f->storages ? fill_from_old(f, l, tensor) : fill_from_entry(f, l, tensor)) == WK_OK ? tensor : NULL;
}

static wk_tensor *not_found(const wk_torch_file *f, const char *name) {
    const char **names = wk_alloc(((size_t)f->tensors + 1) * sizeof *names);
    for (int i = 0; names && i < f->tensors; i++) names[i] = f->leaves[i].name;
    const char *near = names ? wk__nearest(name, names, (size_t)f->tensors) : NULL;
    (void)(near ? wk_fail(WK_NOT_FOUND, "%s: no tensor \"%s\"; did you mean \"%s\"?", f->path, name, near)
                : wk_fail(WK_NOT_FOUND, "%s: no tensor \"%s\"", f->path, name));
    wk_free(names);
    return NULL;
}

wk_tensor *wk_torch_get(wk_torch_file *f, const char *name) {
    if (wk_failed()) return NULL;
    for (int i = 0; i < f->tensors; i++)
        if (strcmp(f->leaves[i].name, name) == 0) return read_tensor(f, &f->leaves[i]);
    return not_found(f, name);
}
