/* safetensors_write.c: writing the safetensors format: to a file, to memory for somebody who writes later, and to
 * several files with an index (model.safetensors.index.json, as Hugging Face's libraries name and read them).
 */
#define WK_NO_CALL_SITES
#include "io/file.h"
#include "io/safetensors.h"
#include "tensor/tensor.h"
#include "wick/io.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", wk__safetensors_dtypes[it->tensor->dtype], "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
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

/* ---- one file ---- */

typedef struct image {
    item *items; /* in the file's order */
    char *header;
    int count;
    size_t size;
} image;

static void image_free(image *im) {
    wk_free(im->header);
    wk_free(im->items);
}

static size_t bytes_of(const wk_tensor *t) {
    return (size_t)t->count * wk_dtype_size((wk_dtype)t->dtype);
}

static wk_status image_make(image *im, wk_named_tensors tensors, const wk_metadata *metadata, int n_metadata) {
    *im = (image){ .items = wk_alloc(((size_t)tensors.count + 1) * sizeof *im->items), .count = tensors.count };
    if (!im->items) return WK_NO_MEMORY;
    for (int i = 0; i < tensors.count; i++) {
        if (!tensors.tensor[i]) return wk_fail(WK_INVALID, "safetensors: tensor \"%s\" is NULL", tensors.name[i]);
        im->items[i] = (item){ tensors.name[i], tensors.tensor[i] };
        im->size += bytes_of(tensors.tensor[i]);
    }
    qsort(im->items, (size_t)im->count, sizeof *im->items, in_file_order);
    im->header = make_header(im->items, im->count, metadata, n_metadata);
    if (!im->header) return wk_error_code();
    im->size += 8 + strlen(im->header);
    return WK_OK;
}

/* Where the bytes go, one piece after the other: to a file, or (`at`) to memory. */
typedef struct sink {
    wk__writer writer;
    char *at;
} sink;

static wk_status put(sink *to, const void *bytes, size_t size) {
    if (!to->at) return wk__writer_add(&to->writer, bytes, size);
    if (size) memcpy(to->at, bytes, size);
    to->at += size;
    return WK_OK;
}

static wk_status put_image(sink *to, const image *im) {
    unsigned char size[8];
    uint64_t length = strlen(im->header);
    for (int i = 0; i < 8; i++) size[i] = (unsigned char)(length >> (8 * i));
    WK_TRY(put(to, size, 8));
    WK_TRY(put(to, im->header, length));
    for (int i = 0; i < im->count; i++) {
        wk_scope scope = wk_scope_begin();
        const wk_tensor *whole = wk_contiguous(wk__on_host(im->items[i].tensor));
        wk_status status = whole ? put(to, whole->data, bytes_of(whole)) : wk_error_code();
        wk_scope_end(scope);
        WK_TRY(status);
    }
    return WK_OK;
}

wk_status wk_safetensors_save(const char *path, wk_named_tensors tensors, const wk_metadata *metadata, int n_metadata) {
    if (wk_failed()) return WK_PENDING;
    image im;
    sink to = { .at = NULL };
    wk_status status = image_make(&im, tensors, metadata, n_metadata);
    if (status == WK_OK) status = wk__writer_open(&to.writer, path);
    if (status == WK_OK) status = put_image(&to, &im);
    if (status == WK_OK) status = wk__writer_commit(&to.writer);
    wk__writer_abort(&to.writer);
    image_free(&im);
    return status;
}

wk_status wk__safetensors_pack(wk_named_tensors tensors, const wk_metadata *metadata, int n_metadata, wk__pages *to) {
    if (wk_failed()) return WK_PENDING;
    image im;
    wk_status status = image_make(&im, tensors, metadata, n_metadata);
    if (status == WK_OK) status = wk__pages_make(to, im.size);
    if (status == WK_OK) status = put_image(&(sink){ .at = to->bytes }, &im);
    image_free(&im);
    return status;
}

/* ---- several files ---- */

/* The end of the shard that begins with tensor `first`: one tensor at least. */
static int shard_end(wk_named_tensors tensors, int first, int64_t most) {
    int64_t bytes = 0;
    int end = first;
    while (end < tensors.count && (end == first || bytes + (int64_t)bytes_of(tensors.tensor[end]) <= most))
        bytes += (int64_t)bytes_of(tensors.tensor[end++]);
    return end;
}

/* DIR/model.safetensors is DIR/model-00001-of-00003.safetensors, … */
static char *shard_path(const char *path, int number, int count) {
    static const char ending[] = ".safetensors";
    size_t size = strlen(path), own = sizeof ending - 1;
    bool ends = size > own && strcmp(path + size - own, ending) == 0;
    return wk_format("%.*s-%05d-of-%05d%s", (int)(ends ? size - own : size), path, number, count, ending);
}

static wk_status write_index(const char *path, json_t *map, int64_t bytes) {
    json_t *index = json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)bytes, "weight_map", map);
    char *text = index ? json_dumps(index, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
    char *lines = text ? wk_format("%s\n", text) : NULL, *name = wk_format("%s.index.json", path);
    wk_status status = lines && name ? wk__write_file(name, lines, strlen(lines))
                                     : wk_fail(WK_NO_MEMORY, "safetensors: out of memory");
    wk_free(name);
    wk_free(lines);
    free(text);
    json_decref(index);
    return status;
}

static wk_status write_shards(const char *path, wk_named_tensors tensors, const wk_metadata *metadata, int n_metadata,
                              int64_t most, int count, json_t *map) {
    wk_status status = WK_OK;
    int64_t bytes = 0;
    for (int first = 0, number = 1; first < tensors.count && status == WK_OK; number++) {
        int end = shard_end(tensors, first, most);
        char *own = shard_path(path, number, count);
        if (!own) return WK_NO_MEMORY;
        const char *slash = strrchr(own, '/'), *name = slash ? slash + 1 : own;
        for (int i = first; i < end && status == WK_OK; i++) {
            bytes += (int64_t)bytes_of(tensors.tensor[i]);
            if (json_object_set_new(map, tensors.name[i], json_string(name)) != 0)
                status = wk_fail(WK_INVALID, "safetensors: the name of tensor number %d is not valid UTF-8", i);
        }
        const wk_named_tensors part = { tensors.tensor + first, tensors.name + first, end - first };
        if (status == WK_OK) status = wk_safetensors_save(own, part, metadata, n_metadata);
        wk_free(own);
        first = end;
    }
    return status == WK_OK ? write_index(path, map, bytes) : status;
}

wk_status wk_safetensors_save_sharded(const char *path, wk_named_tensors tensors, const wk_metadata *metadata,
                                      int n_metadata, int64_t most_bytes) {
    if (wk_failed()) return WK_PENDING;
    for (int i = 0; i < tensors.count; i++)
        if (!tensors.tensor[i]) return wk_fail(WK_INVALID, "safetensors: tensor \"%s\" is NULL", tensors.name[i]);
    if (most_bytes < 1)
        return wk_fail(WK_INVALID, "safetensors: files of %lld bytes, expected at least 1", (long long)most_bytes);
    int count = 0;
    for (int first = 0; first < tensors.count; first = shard_end(tensors, first, most_bytes)) count++;
    char *index = wk_format("%s.index.json", path);
    if (!index) return WK_NO_MEMORY;
    json_t *map = count > 1 ? json_object() : NULL;
    wk_status status = count > 1 ? write_shards(path, tensors, metadata, n_metadata, most_bytes, count, map)
                                 : wk_safetensors_save(path, tensors, metadata, n_metadata);
    if (status == WK_OK) (void)unlink(count > 1 ? path : index); /* what a reader might take for the model */
    json_decref(map);
    wk_free(index);
    return status;
}
