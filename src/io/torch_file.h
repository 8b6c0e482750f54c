/* torch_file.h: the parsers alone, for bytes that come from elsewhere than a file. */
#ifndef WICK_SRC_IO_TORCH_FILE_H
#define WICK_SRC_IO_TORCH_FILE_H

#include "io/pickle.h"
#include "wick/io.h"

/* The files of PyTorch before 1.6: pickles and numbers behind each other. */
typedef struct wk__torch_storage {
    const char *key;
    const char *bytes; /* in the file */
    uint64_t size;
} wk__torch_storage;
bool wk__torch_is_old(const void *bytes, size_t size);
/* The value, and where the bytes of its storages lie (*count of them; wk_free them).  NULL with WK_FORMAT pending. */
const wk__pickled *wk__torch_read_old(const char *bytes, size_t size, const char *name, wk__arena *arena,
                                      wk__torch_storage **storages, int *count);

/* Like wk_torch_open on bytes that must outlive the handle. */
WK_API wk_torch_file *wk__torch_parse(const void *bytes, size_t size, const char *name);

#endif
