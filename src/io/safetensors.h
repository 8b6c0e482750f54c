/* safetensors.h: the parser and the writer alone, for bytes that come from elsewhere than a file or go elsewhere. */
#ifndef WICK_SRC_IO_SAFETENSORS_H
#define WICK_SRC_IO_SAFETENSORS_H

#include "io/file.h"
#include "wick/io.h"

/* Like wk_safetensors_open on bytes that stay the caller's and must outlive the handle and every tensor taken from it;
 * `name` stands in messages. */
WK_API wk_safetensors *wk__safetensors_parse(const void *bytes, size_t size, const char *name);
/* The bytes that wk_safetensors_save would write, in place of what is in `to`. */
WK_API wk_status wk__safetensors_pack(wk_named_tensors tensors, const wk_metadata *metadata, int n_metadata,
                                      wk__pages *to);
/* A dtype's name in headers. */
extern const char *const wk__safetensors_dtypes[];

#endif
