/* idx.h: the IDX format of MNIST and its kin. */
#ifndef WICK_SRC_DATA_IDX_H
#define WICK_SRC_DATA_IDX_H

#include "io/file.h"

/* One file of unsigned bytes: mapped when raw, unpacked into memory when gzip. */
typedef struct wk__idx {
    wk__mapping mapping;
    unsigned char *unpacked;
    const unsigned char *data; /* after the header */
    int rank;
    int64_t dims[4];
} wk__idx;

/* Errors: WK_IO, WK_FORMAT; the message begins with the path. */
WK_API wk_status wk__idx_open(const char *path, wk__idx *idx);
WK_API void wk__idx_close(wk__idx *idx);
/* The parser alone, on bytes that stay the caller's; `name` stands in messages. */
WK_API wk_status wk__idx_parse(const unsigned char *bytes, size_t size, const char *name, wk__idx *idx);

#endif
