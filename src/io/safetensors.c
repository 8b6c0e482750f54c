/* safetensors.c: reading the safetensors format, and models that lie in several such files.
 *
 * u64 header size, little endian | header, JSON, padded with spaces to 8 bytes | tensors, row major, without gaps.
 * Nothing of a file is believed: sizes, offsets, overlaps and dtypes are checked before a byte of data is handed out.
 * Format: https://github.com/huggingface/safetensors (README, "Format").
 */
#define WK_NO_CALL_SITES
#include "io/safetensors.h"
#include "io/safetensors_file.h"
#include "tensor/tensor.h"
#include "wick/io.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGEST_HEADER = 100000000 };

const char *const wk__safetensors_dtypes[] = {
#define STORED(name, text, type, bytes, stored) stored,
    WK_DTYPE_MAP(STORED)
#undef STORED
};

static void drop(void *context, void *data) {
    (void)data;
    wk_safetensors *file = context;
    if (atomic_fetch_sub(&file->references, 1) != 1) return;
    wk__unmap(&file->mapping);
    if (file->descriptor >= 0) (void)close(file->descriptor);
    for (int i = 0; i < file->shards; i++) drop(file->shard[i], NULL);
    json_decref(file->header);
    wk_free(file->shard);
    wk_free(file->sorted);
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
        if (strcmp(wk__safetensors_dtypes[i], text) == 0) {
            *dtype = (wk_dtype)i;
            return true;
        }
    return false;
}

static wk_status read_shape(const wk_safetensors *file, json_t *shape, wk__stored_tensor *e) {
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

static wk_status read_entry(const wk_safetensors *file, json_t *object, wk__stored_tensor *e) {
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
    const wk__stored_tensor *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(wk__stored_tensor *const *)a)->name, (*(wk__stored_tensor *const *)b)->name);
}

/* A name is looked for as often as there are names: not one after the other. */
static void sort_names(wk_safetensors *file) {
    for (int i = 0; i < file->count; i++) file->sorted[i] = &file->entries[i];
    qsort(file->sorted, (size_t)file->count, sizeof(wk__stored_tensor *), by_name);
}

static wk_status make_room(wk_safetensors *file, size_t count) {
    file->entries = wk_alloc((count + 1) * sizeof *file->entries);
    file->sorted = wk_alloc((count + 1) * sizeof(wk__stored_tensor *));
    return file->entries && file->sorted ? WK_OK : WK_NO_MEMORY;
}

static wk_status read_entries(wk_safetensors *file, uint64_t data_size) {
    WK_TRY(make_room(file, json_object_size(file->header)));
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
        wk__stored_tensor *e = &file->entries[file->count++];
        e->name = name;
        e->file = file;
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
    sort_names(file);
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
    file->descriptor = -1;
    file->path = wk_strdup(path);
    if (file->path) return file;
    wk_safetensors_close(file);
    return NULL;
}

const wk__stored_tensor *wk__stored_find(const wk_safetensors *file, const char *name) {
    const wk__stored_tensor wanted = { .name = name }, *key = &wanted;
    wk__stored_tensor *const *found =
        file->count ? bsearch(&key, file->sorted, (size_t)file->count, sizeof(wk__stored_tensor *), by_name) : NULL;
    return found ? *found : NULL;
}

/* ---- several files, and an index that says which tensor is in which ---- */

static bool is_index(const char *path) {
    static const char ending[] = ".index.json";
    size_t size = strlen(path);
    return size >= sizeof ending && strcmp(path + size - sizeof ending + 1, ending) == 0;
}

/* The file of this name beside the index, opened once. */
static wk_safetensors *shard_of(wk_safetensors *index, const char *tensor, const char *name) {
    if (!name || !*name || strchr(name, '/') || strcmp(name, "..") == 0) {
        (void)wk_fail(WK_FORMAT, "%s: \"weight_map\" gives no file beside it for tensor \"%.80s\"", index->path,
                      tensor);
        return NULL;
    }
    const char *slash = strrchr(index->path, '/');
    const int folder = slash ? (int)(slash - index->path) + 1 : 0;
    char *path = wk_format("%.*s%s", folder, index->path, name);
    wk_safetensors *found = NULL;
    for (int i = 0; path && i < index->shards && !found; i++)
        if (strcmp(index->shard[i]->path, path) == 0) found = index->shard[i];
    if (path && !found && is_index(path))
        (void)wk_fail(WK_FORMAT, "%s: an index inside of an index: \"%s\"", index->path, name);
    else if (path && !found && (found = wk_safetensors_open(path)) != NULL)
        index->shard[index->shards++] = found;
    wk_free(path);
    return found;
}

static wk_status read_index(wk_safetensors *index) {
    size_t size;
    char *text = wk__read_file(index->path, LARGEST_HEADER, &size);
    if (!text) return wk_error_code();
    json_error_t error;
    index->header = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    wk_free(text);
    const char *name;
    json_t *map = json_object_get(index->header, "weight_map"), *value;
    if (!json_is_object(map))
        return wk_fail(WK_FORMAT, "%s: not an index of safetensors files: %s", index->path,
                       index->header ? "it has no object \"weight_map\"" : error.text);
    WK_TRY(make_room(index, json_object_size(map)));
    index->shard = wk_alloc((json_object_size(map) + 1) * sizeof(wk_safetensors *));
    if (!index->shard) return WK_NO_MEMORY;
    json_object_foreach(map, name, value) {
        wk_safetensors *shard = shard_of(index, name, json_string_value(value));
        if (!shard) return wk_error_code();
        const wk__stored_tensor *e = wk__stored_find(shard, name);
        if (!e)
            return wk_fail(WK_FORMAT, "%s: tensor \"%.80s\" is not in %s, where the index says it is", index->path,
                           name, shard->path);
        index->entries[index->count++] = *e;
    }
    sort_names(index);
    return WK_OK;
}

wk_safetensors *wk_safetensors_open(const char *path) {
    wk_safetensors *file = create(path);
    if (!file) return NULL;
    if (is_index(path)) {
        if (read_index(file) == WK_OK) return file;
    } else if (wk__map_open(file->path, &file->mapping, &file->descriptor) == WK_OK
               && parse(file, file->mapping.data, file->mapping.size) == WK_OK)
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

bool wk_safetensors_has(const wk_safetensors *file, const char *name) {
    return wk__stored_find(file, name) != NULL;
}

wk_status wk__stored_not_found(const wk_safetensors *file, const char *name) {
    const char **names = wk_alloc(((size_t)file->count + 1) * sizeof *names);
    for (int i = 0; names && i < file->count; i++) names[i] = file->entries[i].name;
    const char *near = names ? wk__nearest(name, names, (size_t)file->count) : NULL;
    wk_status status = near
                           ? wk_fail(WK_NOT_FOUND, "%s: no tensor \"%s\"; did you mean \"%s\"?", file->path, name, near)
                           : wk_fail(WK_NOT_FOUND, "%s: no tensor \"%s\"", file->path, name);
    wk_free(names);
    return status;
}

wk_tensor *wk_safetensors_get(wk_safetensors *handle, const char *name) {
    if (wk_failed()) return NULL;
    const wk__stored_tensor *e = wk__stored_find(handle, name);
    if (!e) {
        (void)wk__stored_not_found(handle, name);
        return NULL;
    }
    wk_safetensors *file = e->file;
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
    if (file->shard) { /* an index has its own */
        const char *own = json_string_value(json_object_get(json_object_get(file->header, "metadata"), key));
        return own || !file->shards ? own : wk_safetensors_metadata(file->shard[0], key);
    }
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}
