/* safetensors.c: reading and writing the safetensors format.
 *
 * u64 header size, little endian | header, JSON, padded with spaces to 8 bytes | tensors, row major, without gaps.
 * Nothing of a file is believed: sizes, offsets, overlaps and dtypes are checked before a byte of data is handed out.
 * Format: https://github.com/huggingface/safetensors (README, "Format").
 */
#define WK_NO_CALL_SITES
#include "io/file.h"
#include "io/safetensors.h"
#include "tensor/tensor.h"
#include "wick/io.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_HEADER = 100000000 };

typedef struct entry {
    const char *name; /* owned by the JSON */
    wk_dtype dtype;
    wk_dims dims;
    uint64_t begin, end;
} entry;

struct wk_safetensors {
    atomic_uint references; /* the handle, and every tensor on the mapping */
    wk__mapping mapping;
    char *path;
    json_t *header;
    entry *entries;
    int count;
    const char *data;
};

static const char *const stored_names[] = {
#define STORED(name, text, type, bytes, stored) stored,
    WK_DTYPE_MAP(STORED)
#undef STORED
};

static void drop(void *context, void *data) {
    (void)data;
    wk_safetensors *file = context;
    if (atomic_fetch_sub(&file->references, 1) != 1) return;
    wk__unmap(&file->mapping);
    json_decref(file->header);
    wk_free(file->entries);
    wk_free(file->path);
    wk_free(file);
}

void wk_safetensors_close(wk_safetensors *file) {
    if (file) drop(file, NULL);
}

/* ---- reading ---- */

static wk_status bad(const wk_safetensors *file, const char *name, const char *what) {
    if (!name) return wk_fail(WK_FORMAT, "%s: not a valid safetensors file: %s", file->path, what);
    return wk_fail(WK_FORMAT, "%s: not a valid safetensors file: tensor \"%.80s\": %s", file->path, name, what);
}

static bool find_dtype(const char *text, wk_dtype *dtype) {
    for (int i = 0; i < WK_DTYPE_COUNT; i++)
        if (strcmp(stored_names[i], text) == 0) {
            *dtype = (wk_dtype)i;
            return true;
        }
    return false;
}

static wk_status read_shape(const wk_safetensors *file, json_t *shape, entry *e) {
    if (!json_is_array(shape)) return bad(file, e->name, "\"shape\" is no list");
    if (json_array_size(shape) > WK_MAX_RANK) return bad(file, e->name, "rank over 8");
    e->dims.rank = (int)json_array_size(shape);
    for (int i = 0; i < e->dims.rank; i++) {
        json_t *size = json_array_get(shape, (size_t)i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return bad(file, e->name, "a size is no natural number");
        e->dims.size[i] = json_integer_value(size);
    }
    return WK_OK;
}

static wk_status read_entry(const wk_safetensors *file, json_t *object, entry *e) {
    const char *dtype = json_string_value(json_object_get(object, "dtype"));
    json_t *offsets = json_object_get(object, "data_offsets");
    if (!dtype || json_array_size(offsets) != 2 || json_object_size(object) != 3)
        return bad(file, e->name, "expected the keys dtype, shape and data_offsets [begin, end]");
    if (!find_dtype(dtype, &e->dtype)) return bad(file, e->name, "a dtype that Wick does not know");
    WK_TRY(read_shape(file, json_object_get(object, "shape"), e));
    json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (!json_is_integer(begin) || !json_is_integer(end) || json_integer_value(begin) < 0
        || json_integer_value(end) < json_integer_value(begin))
        return bad(file, e->name, "data_offsets are not in order");
    e->begin = (uint64_t)json_integer_value(begin);
    e->end = (uint64_t)json_integer_value(end);
    uint64_t bytes = wk_dtype_size(e->dtype);
    for (int i = 0; i < e->dims.rank; i++)
        if (__builtin_mul_overflow(bytes, (uint64_t)e->dims.size[i], &bytes))
            return bad(file, e->name, "its size overflows");
    if (bytes != e->end - e->begin) return bad(file, e->name, "its data_offsets do not fit its shape and dtype");
    return WK_OK;
}

static int by_offset(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static wk_status read_entries(wk_safetensors *file, uint64_t data_size) {
    file->entries = wk_alloc((json_object_size(file->header) + 1) * sizeof *file->entries);
    if (!file->entries) return WK_NO_MEMORY;
    const char *name;
    json_t *value;
    json_object_foreach(file->header, name, value) {
        if (strcmp(name, "__metadata__") == 0) {
            const char *key;
            json_t *text;
            if (!json_is_object(value)) return bad(file, NULL, "__metadata__ is no object");
            json_object_foreach(value, key, text) if (!json_is_string(text)) return bad(
                file, NULL, "__metadata__ holds something other than strings");
            continue;
        }
        entry *e = &file->entries[file->count++];
        e->name = name;
        WK_TRY(read_entry(file, value, e));
    }
    qsort(file->entries, (size_t)file->count, sizeof *file->entries, by_offset);
    uint64_t at = 0;
    for (int i = 0; i < file->count; i++) {
        if (file->entries[i].begin != at)
            return bad(file, file->entries[i].name, "it leaves a gap or overlaps its neighbour");
        at = file->entries[i].end;
    }
    if (at != data_size)
        return bad(file, NULL, at > data_size ? "the data is cut short" : "there are bytes after the last tensor");
    return WK_OK;
}

static wk_status parse(wk_safetensors *file, const unsigned char *bytes, size_t size) {
    if (size < 8) return bad(file, NULL, "it is shorter than its 8 byte header size");
    uint64_t header = 0;
    for (int i = 7; i >= 0; i--) header = header << 8 | bytes[i];
    if (header > LARGEST_HEADER) return bad(file, NULL, "its header claims more than 100 MB");
    if (header > size - 8) return bad(file, NULL, "the header is cut short");
    if (header == 0 || bytes[8] != '{') return bad(file, NULL, "its header is no JSON object");
    json_error_t error;
    file->header = json_loadb((const char *)bytes + 8, (size_t)header, JSON_REJECT_DUPLICATES, &error);
    if (!file->header) return bad(file, NULL, error.text);
    if (!json_is_object(file->header)) return bad(file, NULL, "its header is no JSON object");
    file->data = (const char *)bytes + 8 + header;
    return read_entries(file, size - 8 - header);
}

static wk_safetensors *create(const char *path) {
    if (wk_failed()) return NULL;
    wk_safetensors *file = wk_alloc(sizeof *file);
    if (!file) return NULL;
    atomic_store(&file->references, 1);
    file->path = wk_strdup(path);
    if (file->path) return file;
    wk_safetensors_close(file);
    return NULL;
}

wk_safetensors *wk_safetensors_open(const char *path) {
    wk_safetensors *file = create(path);
    if (!file) return NULL;
    if (wk__map(file->path, &file->mapping) == WK_OK && parse(file, file->mapping.data, file->mapping.size) == WK_OK)
        return file;
    wk_safetensors_close(file);
    return NULL;
}

wk_safetensors *wk__safetensors_parse(const void *bytes, size_t size, const char *name) {
    wk_safetensors *file = create(name);
    if (!file) return NULL;
    if (parse(file, bytes, size) == WK_OK) return file;
    wk_safetensors_close(file);
    return NULL;
}

int wk_safetensors_count(const wk_safetensors *file) {
    return file->count;
}

const char *wk_safetensors_name(const wk_safetensors *file, int i) {
    return i >= 0 && i < file->count ? file->entries[i].name : NULL;
}

static const entry *find(const wk_safetensors *file, const char *name) {
    for (int i = 0; i < file->count; i++)
        if (strcmp(file->entries[i].name, name) == 0) return &file->entries[i];
    return NULL;
}

bool wk_safetensors_has(const wk_safetensors *file, const char *name) {
    return find(file, name) != NULL;
}

static wk_status not_found(const wk_safetensors *file, const char *name) {
    const char **names = wk_alloc(((size_t)file->count + 1) * sizeof *names);
    for (int i = 0; names && i < file->count; i++) names[i] = file->entries[i].name;
    const char *near = names ? wk__nearest(name, names, (size_t)file->count) : NULL;
    wk_status status = near
                           ? wk_fail(WK_NOT_FOUND, "%s: no tensor \"%s\"; did you mean \"%s\"?", file->path, name, near)
                           : wk_fail(WK_NOT_FOUND, "%s: no tensor \"%s\"", file->path, name);
    wk_free(names);
    return status;
}

wk_tensor *wk_safetensors_get(wk_safetensors *file, const char *name) {
    if (wk_failed()) return NULL;
    const entry *e = find(file, name);
    if (!e) {
        (void)not_found(file, name);
        return NULL;
    }
    void *data = (void *)(uintptr_t)(file->data + e->begin);
    /* Other writers need not pad the header: a tensor that is not aligned is copied. */
    if ((uintptr_t)data % wk_dtype_size(e->dtype) != 0) return wk_from_array(e->dtype, e->dims, data);
    (void)atomic_fetch_add(&file->references, 1);
    wk_tensor *tensor = wk_from_memory(e->dtype, e->dims, data, drop, file);
    if (tensor)
        tensor->storage->read_only = true;
    else
        drop(file, NULL);
    return tensor;
}

const char *wk_safetensors_metadata(const wk_safetensors *file, const char *key) {
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

/* ---- writing ---- */

/* The library's order: dtype from the widest down, then name. */
static int dtype_rank(wk_dtype dtype) {
    static const int ranks[WK_DTYPE_COUNT] = { [WK_BOOL] = 0, [WK_U8] = 1,  [WK_I8] = 2,  [WK_I16] = 3, [WK_F16] = 4,
                                               [WK_BF16] = 5, [WK_I32] = 6, [WK_F32] = 7, [WK_F64] = 8, [WK_I64] = 9 };
    return ranks[dtype];
}

typedef struct item {
    const char *name;
    wk_tensor *tensor;
} item;

static int in_file_order(const void *a, const void *b) {
    const item *x = a, *y = b;
    int rank_x = dtype_rank((wk_dtype)x->tensor->dtype), rank_y = dtype_rank((wk_dtype)y->tensor->dtype);
    return rank_x != rank_y ? rank_y - rank_x : strcmp(x->name, y->name);
}

/* NULL where a text is not UTF-8 or memory ends; jansson does not tell which. */
static json_t *describe_item(const item *it, uint64_t begin, uint64_t end) {
    json_t *shape = json_array();
    for (int i = 0; i < it->tensor->rank; i++)
        if (json_array_append_new(shape, json_integer(it->tensor->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", stored_names[it->tensor->dtype], "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

static wk_status add_metadata(json_t *root, const wk_metadata *metadata, int count) {
    json_t *values = json_object();
    for (int i = 0; i < count; i++)
        if (json_object_set_new(values, metadata[i].key, json_string(metadata[i].value)) != 0) {
            json_decref(values);
            return wk_fail(WK_INVALID, "safetensors: metadata number %d is not valid UTF-8", i);
        }
    if (json_object_set_new(root, "__metadata__", values) != 0)
        return wk_fail(WK_NO_MEMORY, "safetensors: out of memory");
    return WK_OK;
}

static wk_status add_items(json_t *root, const item *items, int count) {
    uint64_t at = 0;
    for (int i = 0; i < count; i++) {
        uint64_t end = at + (uint64_t)items[i].tensor->count * wk_dtype_size((wk_dtype)items[i].tensor->dtype);
        if (json_object_get(root, items[i].name) || strcmp(items[i].name, "__metadata__") == 0)
            return wk_fail(WK_INVALID, "safetensors: two tensors have the name \"%s\", or it is reserved",
                           items[i].name);
        if (json_object_set_new(root, items[i].name, describe_item(&items[i], at, end)) != 0)
            return wk_fail(WK_INVALID, "safetensors: the name of tensor number %d is not valid UTF-8", i);
        at = end;
    }
    return WK_OK;
}

static char *make_header(const item *items, int count, const wk_metadata *metadata, int n_metadata) {
    json_t *root = json_object();
    wk_status status = n_metadata > 0 ? add_metadata(root, metadata, n_metadata) : WK_OK;
    if (status == WK_OK) status = add_items(root, items, count);
    char *text = status == WK_OK ? json_dumps(root, JSON_COMPACT) : NULL, *padded = NULL;
    json_decref(root);
    if (status == WK_OK && !text) (void)wk_fail(WK_NO_MEMORY, "safetensors: out of memory");
    size_t size = text ? strlen(text) : 0;
    if (text) padded = wk_alloc(size + 8);
    if (padded) {
        memcpy(padded, text, size);
        memset(padded + size, ' ', (8 - size % 8) % 8);
    }
    free(text); /* jansson's own allocation */
    return padded;
}

static wk_status write_items(wk__writer *writer, const char *header, const item *items, int count) {
    unsigned char size[8];
    uint64_t length = strlen(header);
    for (int i = 0; i < 8; i++) size[i] = (unsigned char)(length >> (8 * i));
    WK_TRY(wk__writer_add(writer, size, 8));
    WK_TRY(wk__writer_add(writer, header, length));
    for (int i = 0; i < count; i++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *whole = wk_contiguous(wk__on_host(items[i].tensor));
        wk_status status =
            whole ? wk__writer_add(writer, whole->data, (size_t)whole->count * wk_dtype_size((wk_dtype)whole->dtype))
                  : wk_error_code();
        wk_scope_end(scope);
        WK_TRY(status);
    }
    return wk__writer_commit(writer);
}

wk_status wk_safetensors_save(const char *path, wk_named_tensors tensors, const wk_metadata *metadata, int n_metadata) {
    if (wk_failed()) return WK_PENDING;
    wk_status status = WK_OK;
    char *header = NULL;
    wk__writer writer = { 0 };
    item *items = wk_alloc(((size_t)tensors.count + 1) * sizeof *items);
    if (!items) return WK_NO_MEMORY;
    for (int i = 0; i < tensors.count; i++)
        if (!tensors.tensor[i]) {
            status = wk_fail(WK_INVALID, "safetensors: tensor \"%s\" is NULL", tensors.name[i]);
            goto done;
        }
    for (int i = 0; i < tensors.count; i++) items[i] = (item){ tensors.name[i], tensors.tensor[i] };
    qsort(items, (size_t)tensors.count, sizeof *items, in_file_order);
    header = make_header(items, tensors.count, metadata, n_metadata);
    if (!header) {
        status = wk_error_code();
        goto done;
    }
    WK_TRY_DONE(wk__writer_open(&writer, path));
    status = write_items(&writer, header, items, tensors.count);
done:
    wk__writer_abort(&writer);
    wk_free(header);
    wk_free(items);
    return status;
}

/* ---- modules ---- */

static wk_status check_target(wk_safetensors *file, const char *full, const wk_tensor *target, const char *what) {
    const entry *e = find(file, full);
    if (!e) {
        (void)not_found(file, full);
        wk_error_prefix("loading %s", what);
        return wk_error_code();
    }
    bool fits = e->dtype == target->dtype && e->dims.rank == target->rank;
    for (int i = 0; fits && i < target->rank; i++) fits = e->dims.size[i] == target->shape[i];
    if (fits && !wk_is_contiguous(target))
        return wk_fail(WK_INVALID, "loading %s: \"%s\" is not row major", what, full);
    if (fits) return WK_OK;
    wk_tensor stored = { .rank = (uint8_t)e->dims.rank, .dtype = (uint8_t)e->dtype };
    memcpy(stored.shape, e->dims.size, sizeof stored.shape);
    char one[160], other[160];
    return wk_fail(WK_FORMAT, "%s: tensor \"%s\" is %s, %s expects %s: it belongs to another model", file->path, full,
                   wk_describe(&stored, one, sizeof one), what, wk_describe(target, other, sizeof other));
}

static bool is_wanted(const char *name, wk_named_tensors targets) {
    for (int i = 0; i < targets.count; i++)
        if (strcmp(targets.name[i], name) == 0) return true;
    return false;
}

static wk_status check_targets(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what) {
    char full[512];
    if (wk_failed()) return WK_PENDING;
    for (int i = 0; i < targets.count; i++) {
        (void)snprintf(full, sizeof full, "%s%s", prefix, targets.name[i]);
        WK_TRY(check_target(file, full, targets.tensor[i], what));
    }
    return WK_OK;
}

wk_status wk_check_named(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what) {
    size_t prefix_size = strlen(prefix);
    WK_TRY(check_targets(file, prefix, targets, what));
    for (int i = 0; i < file->count; i++) {
        const char *name = file->entries[i].name;
        if (strncmp(name, prefix, prefix_size) == 0 && !is_wanted(name + prefix_size, targets))
            return wk_fail(WK_FORMAT, "%s: tensor \"%s\" has no place in %s: it belongs to another model", file->path,
                           name, what);
    }
    return WK_OK;
}

static wk_status load_all(wk_safetensors *file, const char *prefix, wk_named_tensors targets) {
    char full[512];
    for (int i = 0; i < targets.count; i++) {
        (void)snprintf(full, sizeof full, "%s%s", prefix, targets.name[i]);
        const entry *e = find(file, full);
        const wk_tensor *target = targets.tensor[i];
        WK_TRY(wk__copy_bytes(target->data, target->device, file->data + e->begin, 0, (size_t)(e->end - e->begin)));
        wk__storage_changed(target->storage, "wk_load_named");
    }
    return WK_OK;
}

wk_status wk_load_named(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what) {
    WK_TRY(wk_check_named(file, prefix, targets, what));
    return load_all(file, prefix, targets);
}

wk_status wk_check_matching(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what) {
    return check_targets(file, prefix, targets, what);
}

wk_status wk_load_matching(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what) {
    WK_TRY(check_targets(file, prefix, targets, what));
    load_all(file, prefix, targets);
    return WK_OK;
}

wk_status wk_module_load(wk_module *module, const char *path) {
    if (wk_failed()) return WK_PENDING;
    wk_safetensors *file = wk_safetensors_open(path);
    if (!file) return wk_error_code();
    wk_status status = wk_load_named(file, "", wk_state(module), "the model");
    wk_safetensors_close(file);
    return status;
}

wk_status wk_module_save(wk_module *module, const char *path) {
    const wk_metadata format = { "format", "pt" };
    return wk_safetensors_save(path, wk_state(module), &format, 1);
}
