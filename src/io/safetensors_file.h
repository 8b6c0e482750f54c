/* safetensors_file.h: an open file, as the reader has found it (safetensors.c) and the loader of models takes it
 * (safetensors_load.c). */
#ifndef WICK_SRC_IO_SAFETENSORS_FILE_H
#define WICK_SRC_IO_SAFETENSORS_FILE_H

#include "io/file.h"
#include "wick/io.h"

#include <jansson.h>
#include <stdatomic.h>

typedef struct wk__stored_tensor {
    const char *name; /* owned by the JSON */
    wk_dtype dtype;
    wk_dims dims;
    uint64_t begin, end;
    wk_safetensors *file; /* that holds it */
} wk__stored_tensor;

struct wk_safetensors {
    atomic_uint references; /* the handle, every tensor on the mapping, and an index of several files */
    wk__mapping mapping;
    int descriptor; /* of the mapped file; -1: bytes of the caller's, or an index */
    char *path;
    json_t *header;
    wk__stored_tensor *entries; /* as they lie */
    wk__stored_tensor **sorted; /* by name */
    int count;
    const char *data;
    wk_safetensors **shard; /* of an index: the files that it names */
    int shards;
};

/* A tensor by its name; NULL. */
const wk__stored_tensor *wk__stored_find(const wk_safetensors *file, const char *name);
/* WK_NOT_FOUND with the nearest name. */
wk_status wk__stored_not_found(const wk_safetensors *file, const char *name);

#endif
