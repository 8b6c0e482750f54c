/* npy.h: the parsers alone, for bytes that come from elsewhere than a file. */
#ifndef WICK_SRC_IO_NPY_H
#define WICK_SRC_IO_NPY_H

#include "wick/io.h"

/* What a header says. */
typedef struct wk__npy_header {
    wk_dtype dtype;
    bool swapped, fortran_order;
    wk_dims dims;
    size_t data; /* bytes before the elements */
} wk__npy_header;
/* `size` bytes of the file are there, which is `whole` bytes long; `name` stands in messages. */
WK_API wk_status wk__npy_parse(const void *bytes, size_t size, uint64_t whole, const char *name,
                               wk__npy_header *header);
/* A tensor from a whole file in memory. */
WK_API wk_tensor *wk__npy_read(const void *bytes, size_t size, const char *name);
/* The header that NumPy writes for a tensor; its length, 0 with an error pending. */
WK_API size_t wk__npy_header_text(const wk_tensor *tensor, const char *name, char *text, size_t size);
/* Elements as they lie in a file to a tensor: swapped, from column-major order, true as 1. */
wk_tensor *wk__npy_finish(wk_tensor *stored, const wk__npy_header *header);
/* A tensor to hold the elements in the file's order. */
wk_tensor *wk__npy_place(const wk__npy_header *header);

/* Like wk_npz_open on bytes that must outlive the handle. */
WK_API wk_npz *wk__npz_parse(const void *bytes, size_t size, const char *name);

#endif
