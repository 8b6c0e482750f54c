/* idx.c: libFuzzer over the IDX parser, and over files that may be packed by gzip: what is accepted lies wholly within
 * the bytes. */
#include "data/idx.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void look_at_file(const uint8_t *bytes, size_t size) {
    char path[64];
    wk__idx idx;
    int file = memfd_create("idx", MFD_CLOEXEC);
    if (file < 0 || write(file, bytes, size) != (ssize_t)size) abort();
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (wk__idx_open(path, &idx) != WK_OK && wk_error_code() != WK_FORMAT) abort();
    (void)close(file);
    wk__idx_close(&idx);
    wk_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    wk__idx idx = { 0 };
    wk_status status = wk__idx_parse(bytes, size, "fuzz", &idx);
    if (status != WK_OK && wk_error_code() != WK_FORMAT) abort();
    if (status == WK_OK) {
        int64_t count = 1;
        for (int i = 0; i < idx.rank; i++) count *= idx.dims[i];
        if (count < 0 || (uint64_t)count > size || idx.data < bytes || idx.data + count != bytes + size) abort();
    }
    wk_clear_error();
    look_at_file(bytes, size);
    return 0;
}
