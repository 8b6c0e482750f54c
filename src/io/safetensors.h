/* safetensors.h: the parser alone, for bytes that come from elsewhere than a file. */
#ifndef WICK_SRC_IO_SAFETENSORS_H
#define WICK_SRC_IO_SAFETENSORS_H

#include "wick/io.h"

/* Like wk_safetensors_open on bytes that stay the caller's and must outlive the handle and every tensor taken from it;
 * `name` stands in messages. */
WK_API wk_safetensors *wk__safetensors_parse(const void *bytes, size_t size, const char *name);

#endif
