/* wick/io.h: tensors in files: safetensors. */
#ifndef WICK_IO_H
#define WICK_IO_H

#include "wick/nn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An open safetensors file, mapped read-only. */
typedef struct wk_safetensors wk_safetensors;

/* Errors: WK_IO (missing, unreadable), WK_FORMAT (truncated, malformed; the message names the file and what is wrong).
 */
WK_API wk_safetensors *wk_safetensors_open(const char *path);
/* Tensors taken from it stay valid: they hold the mapping. */
WK_API void wk_safetensors_close(wk_safetensors *file);
WK_API int wk_safetensors_count(const wk_safetensors *file);
WK_API const char *wk_safetensors_name(const wk_safetensors *file, int i);
/* A scoped tensor on the mapping (do not write to it), NULL with WK_NOT_FOUND pending and the nearest name in the
 * message. */
WK_API wk_tensor *wk_safetensors_get(wk_safetensors *file, const char *name);
WK_API bool wk_safetensors_has(const wk_safetensors *file, const char *name);
/* A value of __metadata__, or NULL. */
WK_API const char *wk_safetensors_metadata(const wk_safetensors *file, const char *key);

typedef struct wk_metadata {
    const char *key, *value;
} wk_metadata;
/* Write all tensors (row major copies are made where needed) and metadata, atomically: the file at `path` is either the
 * old one or complete and on disk.  Byte for byte what the safetensors library writes for the same tensors and metadata
 * order. */
WK_API wk_status wk_safetensors_save(const char *path, wk_named_tensors tensors, const wk_metadata *metadata,
                                     int n_metadata);

/* Copy tensors of a file into a module's parameters and buffers.  Every one must be there with the same shape and
 * dtype; nothing is changed otherwise.  Errors name what is missing, unexpected, or of another shape or dtype. */
WK_API wk_status wk_module_load(wk_module *module, const char *path);
WK_API wk_status wk_module_save(wk_module *module, const char *path);
/* Only the checks of wk_load_named. */
WK_API wk_status wk_check_named(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what);
/* The same from an open file, for names that begin with `prefix` (which is taken off); names without it are ignored. */
WK_API wk_status wk_load_named(wk_safetensors *file, const char *prefix, wk_named_tensors targets, const char *what);

#ifdef __cplusplus
}
#endif
#endif
